"""A builder for ONNX graphs: nodes and initializers by name, weights in the chosen precision, large ones streamed."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from search.export.precision import Precision
from search.export.quantization import quantize_blocks, quantize_rows

Array = NDArray[Any]

CONTRIB = "com.microsoft"  # the operator domain of ONNX Runtime's fused operators
_INLINE = 16_384  # bytes up to which an initializer stays in the graph's own file
_ALIGNMENT = 65_536  # so that ONNX Runtime can map the file into memory on every system
_BYTE = 8  # bits
_EXACT_BLOCK = 32
_CHUNK = 1 << 24  # weights of a table held in memory at once


class Tensor(Protocol):
    """A checkpoint's tensor: an array, or one that is read from disk when it is sliced."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its dimensions."""

    def __getitem__(self, part: slice) -> Array:
        """Rows of it."""


class GraphBuilder:
    """Collects the nodes and initializers of one graph. Every method that adds one returns the name of the value it made."""

    def __init__(self, precision: Precision, weights: IO[bytes] | None = None) -> None:
        """Begin a graph, which names the file of its large initializers by the file's name; None keeps them in the graph."""
        self.precision = precision
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[TensorProto] = []

    def node(self, op: str, inputs: Sequence[str], outputs: Sequence[str], domain: str = "", **attributes: Any) -> str:
        """Append one operator; unwanted optional inputs and outputs are empty strings."""
        self._nodes.append(helper.make_node(op, list(inputs), list(outputs), domain=domain, **attributes))
        return outputs[0]

    def constant(self, name: str, array: Array) -> str:
        """Store an array as it is."""
        return self._store(name, array.dtype, array.shape, [array])

    def value(self, name: str, tensor: Tensor) -> str:
        """Store a tensor in the type of activations."""
        return self.constant(name, self.precision.cast(tensor[:]))

    def linear(self, x: str, parts: Sequence[Tensor], out: str) -> str:
        """Multiply `x` (…, inputs) by the transpose of the parts (outputs, inputs), one below another, as a checkpoint stores them.

        On the CPU most integer kernels also round `x`, by blocks within a row, so a row's result never depends on its batch.
        """
        if self.precision.bits is None:
            weight = np.concatenate([self.precision.cast(part[:]) for part in parts])
            return self.node("MatMul", [x, self.constant(f"{out}.weight", weight.T)], [out])
        outputs, inputs = sum(part.shape[0] for part in parts), parts[0].shape[1]
        bits, block = self.precision.bits, self.precision.block_size
        rounded = (quantize_blocks(part[chunk], block, bits, self.precision.dtype) for part in parts for chunk in _chunks(part))
        blocks, scales = self._quantized(out, "weight", np.uint8, (outputs, -(-inputs // block), block * bits // 8), rounded)
        attributes = {"K": inputs, "N": outputs, "bits": bits, "block_size": block}
        # Level 4 rounds `x` to int8. With int4 in larger blocks that kernel's results were seen to depend on the batch.
        level = 4 if bits == _BYTE or block <= _EXACT_BLOCK else 0
        return self.node("MatMulNBits", [x, blocks, scales], [out], CONTRIB, **attributes, accuracy_level=level)

    def _quantized(
        self, out: str, what: str, dtype: Any, shape: Sequence[int], rounded: Iterable[tuple[Array, Array]]
    ) -> tuple[str, str]:
        """Store integers chunk by chunk, and behind them their scales."""
        scales: list[Array] = []

        def integers() -> Iterator[Array]:
            for chunk, scale in rounded:
                scales.append(self.precision.cast(scale))
                yield chunk

        name = self._store(f"{out}.{what}", np.dtype(dtype), shape, integers())
        return name, self.constant(f"{out}.scale", np.concatenate(scales))

    def lookup(self, table: Tensor, indices: str, out: str) -> str:
        """Take the rows of `table` that `indices` name."""
        if self.precision.bits is None:
            return self.node("Gather", [self.table(f"{out}.table", table), indices], [out])
        rounded = (quantize_rows(table[chunk], self.precision.dtype) for chunk in _chunks(table))
        rows, scales = self._quantized(out, "table", np.int8, table.shape, rounded)
        floats = self.node(
            "Cast", [self.node("Gather", [rows, indices], [f"{out}.int8"])], [f"{out}.float"], to=self.precision.tensor_type
        )
        return self.node("Mul", [floats, self.node("Gather", [scales, indices], [f"{out}.scales"])], [out])

    def table(self, name: str, table: Tensor) -> str:
        """Store a large tensor in the type of activations, rows by rows."""
        return self._store(name, self.precision.dtype, table.shape, (self.precision.cast(table[chunk]) for chunk in _chunks(table)))

    def model(
        self, name: str, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto], path: Path | None = None
    ) -> onnx.ModelProto:
        """Close the graph; with a path, write it there, beside the file of its weights."""
        graph = helper.make_graph(self._nodes, name, list(inputs), list(outputs), self._initializers)
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid(CONTRIB, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="two-stage-search")
        if self._weights is not None:
            self._weights.flush()
        if path is not None:
            path.write_bytes(model.SerializeToString(deterministic=True))
        return model

    def _store(self, name: str, dtype: Any, shape: Sequence[int], chunks: Iterable[Array]) -> str:
        tensor = TensorProto(name=name, data_type=helper.np_dtype_to_tensor_dtype(dtype), dims=shape)
        if self._weights is None or int(np.prod(shape)) * dtype.itemsize <= _INLINE:
            tensor.raw_data = b"".join(chunk.tobytes() for chunk in chunks)
        else:
            start = self._weights.tell()
            start += self._weights.write(bytes(-start % _ALIGNMENT))
            for chunk in chunks:
                self._weights.write(np.ascontiguousarray(chunk).view(np.uint8).data)
            tensor.data_location = TensorProto.EXTERNAL
            length = self._weights.tell() - start
            for key, value in {"location": Path(self._weights.name).name, "offset": start, "length": length}.items():
                tensor.external_data.add(key=key, value=str(value))
        self._initializers.append(tensor)
        return name


def _chunks(table: Tensor) -> Iterator[slice]:
    rows, width = table.shape
    step = max(1, _CHUNK // width)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))
