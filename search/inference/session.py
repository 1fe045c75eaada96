"""One ONNX graph, ready to run: every operator where it belongs, inputs and outputs bound, errors in this project's words."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from search.errors import DeviceUnavailable
from search.inference.runtime import CPU, Provider, left_to_parent, share_cores
from search.inference.tokens import LEAST_ROOM
from search.models.tokenizer_files import positions
from search.settings import CudaSettings
from search.system.forks import watch

_CUDA = "CUDAExecutionProvider"
_MOST_POSITIONS = 2048  # tried: a larger table is hardly ever one of positions that were learnt, and takes much memory to try
_LIGHT = {"Shape", "Squeeze", "Unsqueeze", "Sub"}  # on a few numbers a text, which may well stay on the CPU


def feed(session: Any, encodings: Sequence[Any]) -> dict[str, NDArray[np.int64]]:
    """What an encoder's graph reads of encoded texts that are padded to one length: int64 (texts, tokens) for each input."""
    columns = {"input_ids": "ids", "token_type_ids": "type_ids", "attention_mask": "attention_mask"}
    named = {entry.name for entry in session.get_inputs()}
    return {
        name: np.array([getattr(encoding, column) for encoding in encodings], np.int64)
        for name, column in columns.items()
        if name in named
    }


def fit_window(tokenizer: Any, session: Any, config: Mapping[str, Any]) -> None:
    """Shorten a tokenizer's window to the positions that config.json states, if the graph fails with one token more.

    Some tokenizers state more than the graph has, and every longer text would be an error.

    Args:
        tokenizer: cuts texts to its window.
        session: ONNX Runtime's own, of the graph.
        config: the model's config.json.
    """
    there, truncation = positions(config), tokenizer.truncation
    if there is None or truncation is None or not LEAST_ROOM <= there < min(truncation["max_length"], _MOST_POSITIONS + 1):
        return
    quiet = onnxruntime.RunOptions()
    quiet.log_severity_level = 4
    runs = []
    for length in (there, there + 1):
        tokenizer.enable_truncation(**truncation | {"max_length": length})
        try:
            session.run(None, feed(session, tokenizer.encode_batch(["a " * length])), quiet)
            runs.append(True)
        except Exception:  # ONNX Runtime has many kinds; what else is wrong is told by those who ask the model
            runs.append(False)
    tokenizer.enable_truncation(**truncation | ({"max_length": there} if runs == [True, False] else {}))


class Session:
    """An ONNX Runtime session over a file.

    Attributes:
        raw: ONNX Runtime's own.
        inputs: what the graph reads, with its dimensions.
        outputs: what it gives.
    """

    def __init__(
        self,
        graph: Path,
        provider: Provider,
        threads: int | None,
        cuda: CudaSettings,
        weights: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        """Load the graph; `weights` stand in the place of what the file has under their names, and are shared, not copied.

        Raises:
            DeviceUnavailable: an operator would silently run on the CPU.
        """
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # an error reaches the caller as one
        options.intra_op_num_threads = threads or 0
        share_cores(options)
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        options.enable_mem_pattern = provider != CPU  # a plan of memory for each shape, which hardly any batch repeats
        self._weights = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in (weights or {}).items()}
        for name, value in self._weights.items():
            options.add_initializer(name, value)
        self.raw = onnxruntime.InferenceSession(str(graph), options, providers=[provider], enable_fallback=0)
        self._name = graph.parent.name
        watch(self)
        self.inputs = {entry.name: entry.shape for entry in self.raw.get_inputs()}
        self.outputs = [entry.name for entry in self.raw.get_outputs()]
        self._run_options = onnxruntime.RunOptions()
        if self.raw.get_providers()[0] == _CUDA:
            self._refuse_fallback()
            if cuda.shrink:
                self._run_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", f"gpu:{cuda.device}")

    def after_fork(self) -> None:
        """The threads of the runtime are gone in a forked child."""
        self.raw = left_to_parent(self._name, self.raw)

    def _refuse_fallback(self) -> None:
        strays = {
            node.op_type
            for part in self.raw.get_provider_graph_assignment_info()
            if part.ep_name != _CUDA
            for node in part.get_nodes()
        }
        if strays - _LIGHT:
            message = (
                f"CUDA has no kernel for {', '.join(sorted(strays - _LIGHT))} in this precision; export the model as fp16 or bf16"
            )
            raise DeviceUnavailable(message)

    def run(self, feed: Mapping[str, NDArray[Any]], outputs: Mapping[str, str]) -> dict[str, Any]:
        """Run the graph.

        Args:
            feed: an array for each input, or a value that an earlier run left on the device.
            outputs: what is wanted, and where: "host" gives arrays, "device" values to be fed again.
        """
        binding = self.raw.io_binding()
        for name, value in feed.items():
            if isinstance(value, np.ndarray):
                binding.bind_cpu_input(name, np.asarray(value, order="C"))  # which leaves a scalar one
            else:
                binding.bind_ortvalue_input(name, value)
        on_device = "cuda" if self.raw.get_providers()[0] == _CUDA else "cpu"
        for name, place in outputs.items():
            binding.bind_output(name, "cpu" if place == "host" else on_device)
        self.raw.run_with_iobinding(binding, self._run_options)
        values = zip(outputs, binding.get_outputs(), strict=True)
        return {name: value.numpy() if outputs[name] == "host" else value for name, value in values}
