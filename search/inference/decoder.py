"""A language model that reads prompts and gives the scores at a few places: one prefill, no generation."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from search.errors import DeviceUnavailable, InferenceFailed
from search.inference.batching import bucket, plan_batches
from search.inference.runtime import load_on, loading, running
from search.inference.session import Session
from search.models import ModelFolder
from search.settings import CudaSettings, Device

Scores = NDArray[np.float32]
Row = Sequence[int]  # the tokens of one prompt


class Decoder:
    """A graph that `search export` wrote from a decoder checkpoint. Safe to call from several threads.

    Attributes:
        device: where it runs.
    """

    def __init__(
        self,
        folder: ModelFolder,
        *,
        activations: str,
        device: Device = "auto",
        threads: int | None = None,
        cuda: CudaSettings | None = None,
        batch_tokens: int = 8192,
    ) -> None:
        """Load the graph.

        Args:
            folder: its folder.
            activations: what it calculates in: "fp32", "fp16" or "bf16".
            device: see `load_on`; a model in float32 has no kernels on CUDA, one in bfloat16 none on the CPU.
            threads: threads it may use; None for all cores.
            cuda: how the GPU is used.
            batch_tokens: padded tokens in one batch.

        Raises:
            DeviceUnavailable: the device cannot run this precision.
            ModelCorrupt: ONNX Runtime cannot load the graph.
        """
        self._name = folder.name
        self._batch_tokens = batch_tokens
        options = cuda or CudaSettings()
        if device == "cuda" and activations == "fp32":
            message = f"{folder.name} calculates in fp32, for which CUDA has no attention kernel; export it with --activations fp16"
            raise DeviceUnavailable(message)
        wanted: Device = "cpu" if activations == "fp32" else device
        with loading(folder.name):
            self._session, self.device = load_on(
                wanted,
                lambda provider: _session(folder, provider, threads, options, activations),
                lambda session: session.raw,
                options,
            )

    def scores(self, rows: Sequence[Row]) -> Scores:
        """The scores after each prompt.

        Returns:
            (rows, scores of the head) float32; a row's do not depend on the others.

        Raises:
            InferenceFailed: the model gave an error, or a score that is not a number.
            OutOfMemory: a batch does not fit the device.
        """
        return self._run(rows, [range(len(row) - 1, len(row)) for row in rows], "scores")

    def log_probabilities(self, rows: Sequence[Row], spans: Sequence[range]) -> list[Scores]:
        """For each row the log-probability of each token in its span, given all before it; the first token of a row has none."""
        places = [range(max(span.start, 1) - 1, span.stop - 1) for span in spans]
        values = self._run(rows, places, "log_probabilities")
        return np.split(values, np.cumsum([len(span) for span in places])[:-1])

    def _run(self, rows: Sequence[Row], places: Sequence[range], output: Literal["scores", "log_probabilities"]) -> Scores:
        """The output at each place of each row, in their order."""
        starts = np.concatenate([[0], np.cumsum([len(span) for span in places])]).astype(np.int64)
        found: Scores | None = None
        lengths = [bucket(len(row)) if self.device == "cuda" else len(row) for row in rows]
        for batch in plan_batches(lengths, self._batch_tokens):
            feed = _padded([rows[i] for i in batch], lengths[batch[0]])
            feed["places"] = np.array([(n, place) for n, i in enumerate(batch) for place in places[i]], np.int64).reshape(-1, 2)
            if output == "log_probabilities":
                feed["targets"] = np.array([rows[i][place + 1] for i in batch for place in places[i]], np.int64)
            with running(self._name):
                values: Scores = self._session.run(feed, {output: "host"})[output]
            if not np.isfinite(values).all():
                message = (
                    f"the model {self._name} gave a score that is not a number; export it as bf16 or fp32, which do not overflow"
                )
                raise InferenceFailed(message)
            if found is None:
                found = np.empty((starts[-1], *values.shape[1:]), np.float32)
            found[np.concatenate([np.arange(starts[i], starts[i + 1]) for i in batch])] = values
        return np.empty((0, 1), np.float32) if found is None else found


def _session(folder: ModelFolder, provider: Any, threads: int | None, cuda: CudaSettings, activations: str) -> Session:
    if activations == "bf16" and isinstance(provider, str):
        message = f"{folder.name} calculates in bf16, which the CPU has no kernels for; export it as int8, int4 or fp32"
        raise DeviceUnavailable(message)
    return Session(folder.path / folder.graph, provider, threads, cuda)


def _padded(rows: Sequence[Row], length: int) -> dict[str, NDArray[Any]]:
    """Right-padded tokens; what the padding holds is no matter, for no real token can see it."""
    ids = np.zeros((len(rows), length), np.int64)
    for padded, row in zip(ids, rows, strict=True):
        padded[: len(row)] = row
    lengths = np.array([len(row) for row in rows], np.int32)
    return {"input_ids": ids, "lengths": lengths, "length": np.array(length, np.int32)}
