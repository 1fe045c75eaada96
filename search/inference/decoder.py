"""A language model that reads prompts and gives the scores at a few places: one prefill, no generation."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from search.errors import DeviceUnavailable, InferenceFailed, ModelIncomplete
from search.inference.batching import bucket, plan_batches
from search.inference.graph_io import LENGTH, LENGTHS, PAST, PLACES, PRESENT, TARGETS, TOKENS
from search.inference.runtime import load_on, loading, running
from search.inference.session import Session
from search.models import ModelFolder
from search.settings import CudaSettings, Device

Scores = NDArray[np.float32]
Row = Sequence[int]  # the tokens of one prompt
Place = tuple[int, int]  # a row, and a token in it
Output = Literal["scores", "log_probabilities"]

_BATCH_TOKENS: dict[str, int] = {"cpu": 1024, "cuda": 16_384}  # larger ones gain nothing on the CPU
_INPUTS = {TOKENS, LENGTHS, LENGTH, PLACES}
_PLACES = 256  # of log-probabilities in one run, each of which takes as many numbers as there are words
_WARM_TOKENS = 256
_WORTHWHILE = 16  # tokens that rows must have in common before they are read apart


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
        max_tokens: int,
        device: Device = "auto",
        threads: int | None = None,
        cuda: CudaSettings | None = None,
        batch_tokens: int | None = None,
    ) -> None:
        """Load the graph, which calculates in `activations` ("fp32", "fp16" or "bf16") and reads rows of up to `max_tokens`.

        A model in float32 has no kernels on CUDA, one in bfloat16 none on the CPU. Other choices are those of CausalSettings and
        Settings.

        Raises:
            DeviceUnavailable: the device cannot run this precision.
            ModelCorrupt: ONNX Runtime cannot load the graph.
            ModelIncomplete: it is another graph than `search export` writes of a language model.
        """
        self._name = folder.name
        self._max_tokens = max_tokens
        options = cuda or CudaSettings()
        if options.attention == "auto":  # the one kernel known to leave padding alone and to plan nothing anew for each shape
            options = options.model_copy(update={"attention": "flash"})
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
        self._batch_tokens = batch_tokens or _BATCH_TOKENS[self.device]
        inputs = self._session.inputs
        if missing := sorted(_INPUTS - set(inputs)):
            message = f"the graph of {folder.name} has no input {missing[0]}: it is no export of a language model; export it again"
            raise ModelIncomplete(message)
        self._past = {name: _past_size(folder.name, shape) for name, shape in inputs.items() if name.startswith(PAST)}
        self._share_prefix = bool(self._past)  # what all rows begin with is read once, where the graph can go on from there

    def check_head(self, output: Output, width: int) -> None:
        """Run two tokens, and see that the graph gives what a recipe reads: an output, with so many numbers at each place.

        Raises:
            ModelIncomplete: it has another number, or no such output.
        """
        if output not in self._session.outputs:
            message = f"the graph of {self._name} has no output {output}, which its recipe reads; export it again with this recipe"
            raise ModelIncomplete(message)
        try:
            with self.whole_prompts():
                values = self._run([[0, 0]], [range(1)], output)
        except InferenceFailed:
            return  # the self-test says why
        if values.shape != ((1, width) if output == "scores" else (1,)):
            sizes = " x ".join(map(str, values.shape[1:])) or "1"
            message = f"the graph of {self._name} gives {sizes} scores, and its recipe reads {width}; export it again with it"
            raise ModelIncomplete(message)

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

    def warm_up(self) -> None:
        """Run a full batch once, so that a GPU has its memory and kernels before the first query."""
        output: Output = "scores" if "scores" in self._session.outputs else "log_probabilities"
        length = min(_WARM_TOKENS, self._max_tokens)
        rows = [[0] * length] * max(1, self._batch_tokens // length if self.device == "cuda" else 1)
        self._run(rows, [range(1)] * len(rows), output)

    @contextmanager
    def whole_prompts(self) -> Iterator[None]:
        """Read every row whole meanwhile, in batches, though rows begin alike."""
        shared, self._share_prefix = self._share_prefix, False
        try:
            yield
        finally:
            self._share_prefix = shared

    def _run(self, rows: Sequence[Row], places: Sequence[range], output: Output) -> Scores:
        """The output at each place of each row, in their order."""
        if output == "scores" and self._share_prefix and (shared := _common(rows)) >= _WORTHWHILE:
            return self._after_prefix(rows, shared)
        by_place: dict[tuple[int, int], Scores] = {}
        lengths = [self._padded_length(len(row)) for row in rows]
        for batch in plan_batches(lengths, self._batch_tokens):
            for part in _few_places([(i, place) for i in batch for place in places[i]]):
                held = sorted({i for i, _ in part}, key=batch.index)
                number = {i: n for n, i in enumerate(held)}
                feed = _padded([rows[i] for i in held], lengths[batch[0]])
                feed[PLACES] = np.array([(number[i], place) for i, place in part], np.int64)
                if output == "log_probabilities":
                    feed[TARGETS] = np.array([rows[i][place + 1] for i, place in part], np.int64)
                empty = {name: np.empty((len(held), *size), np.float32) for name, size in self._past.items()}
                by_place |= zip(part, self._checked(feed | empty, output), strict=True)
        ordered = [by_place[i, place] for i, span in enumerate(places) for place in span]
        return np.array(ordered, np.float32) if ordered else np.empty((0, 1) if output == "scores" else 0, np.float32)

    def _padded_length(self, length: int) -> int:
        """On a GPU one of a few, but never more than the graph can read."""
        return min(bucket(length), self._max_tokens) if self.device == "cuda" else length

    def _after_prefix(self, rows: Sequence[Row], shared: int) -> Scores:
        """The scores, with the first tokens read once and each row going on from there by itself, as the kernel wants it."""
        feed = _padded([rows[0][:shared]], shared) | {name: np.empty((1, *size), np.float32) for name, size in self._past.items()}
        feed[PLACES] = np.empty((0, 2), np.int64)
        present = {name: name.replace(PAST, PRESENT) for name in self._past}
        with running(self._name):
            read = self._session.run(feed, dict.fromkeys(present.values(), "device"))
        past = {name: read[gives] for name, gives in present.items()}
        scores = []
        for row in rows:
            feed = _padded([row[shared:]], len(row) - shared)
            feed |= {LENGTHS: np.array([len(row)], np.int32), LENGTH: np.array(len(row), np.int32)}
            feed[PLACES] = np.array([(0, len(row) - shared - 1)], np.int64)
            scores.append(self._checked(feed | past, "scores"))
        return np.concatenate(scores)

    def _checked(self, feed: Mapping[str, Any], output: Output) -> Scores:
        with running(self._name):
            values: Scores = self._session.run(feed, {output: "host"})[output]
        if not np.isfinite(values).all():
            message = f"the model {self._name} gave a score that is not a number; export it as bf16 or fp32, which do not overflow"
            raise InferenceFailed(message)
        return values


def _past_size(name: str, shape: Sequence[Any]) -> tuple[int, int, int]:
    """Heads, tokens and width of what a row remembers, of no tokens yet."""
    match shape:
        case [_, int(heads), _, int(width)]:
            return heads, 0, width
    message = f"the graph of {name} takes a past of the shape {shape}: it is no export of a language model; export it again"
    raise ModelIncomplete(message)


def _few_places(places: Sequence[Place]) -> list[Sequence[Place]]:
    return [places[start : start + _PLACES] for start in range(0, len(places), _PLACES)]


def _common(rows: Sequence[Row]) -> int:
    """How many tokens several rows begin with alike, the last of each left out, which has to be read for its own sake."""
    if len(rows) < 2:  # noqa: PLR2004 -- several
        return 0
    first, last = min(map(list, rows)), max(map(list, rows))
    alike = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return min(alike, *(len(row) - 1 for row in rows))


def _session(folder: ModelFolder, provider: Any, threads: int | None, cuda: CudaSettings, activations: str) -> Session:
    if activations == "bf16" and isinstance(provider, str):
        message = f"{folder.name} calculates in bf16, which the CPU has no kernels for; export it as int8, int4 or fp32"
        raise DeviceUnavailable(message)
    try:
        return Session(folder.path / folder.graph, provider, threads, cuda)
    except Exception as error:
        if activations != "bf16" or "NOT_IMPLEMENTED" not in str(error):
            raise
        message = f"{folder.name} calculates in bf16 and not all of it can run on CUDA here ({error}); run `search doctor`"
        raise DeviceUnavailable(message) from error


def _padded(rows: Sequence[Row], length: int) -> dict[str, NDArray[Any]]:
    """Right-padded tokens; what the padding holds is no matter, for no real token can see it."""
    ids = np.zeros((len(rows), length), np.int64)
    for padded, row in zip(ids, rows, strict=True):
        padded[: len(row)] = row
    lengths = np.array([len(row) for row in rows], np.int32)
    return {TOKENS: ids, LENGTHS: lengths, LENGTH: np.array(length, np.int32)}
