"""A builder for ONNX graphs: nodes and initializers by name, and weights in the precision that was asked for."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from search.export.quantization import quantize_blocks, quantize_rows

Precision = Literal["fp32", "int8"]
Array = NDArray[Any]

CONTRIB = "com.microsoft"  # the operator domain of ONNX Runtime's fused operators
BLOCK = 64  # weights that share one scale in an int8 matrix


class GraphBuilder:
    """Collects the nodes and initializers of one graph. Every method returns the name of the value it made."""

    def __init__(self, precision: Precision) -> None:
        self.precision = precision
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []

    def node(self, op: str, inputs: Sequence[str], outputs: Sequence[str], domain: str = "", **attributes: Any) -> str:
        """Append one operator; unwanted optional inputs and outputs are empty strings."""
        self._nodes.append(helper.make_node(op, list(inputs), list(outputs), domain=domain, **attributes))
        return outputs[0]

    def constant(self, name: str, array: Array) -> str:
        """Store an array as it is."""
        self._initializers.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def linear(self, x: str, weight: Array, out: str) -> str:
        """Multiply `x` (…, inputs) by the transpose of `weight` (outputs, inputs), as a checkpoint stores it.

        In int8 the kernel also rounds `x`, block by block within each row, so a row's result never depends on its batch.
        """
        if self.precision == "fp32":
            return self.node("MatMul", [x, self.constant(f"{out}.weight", weight.T)], [out])
        blocks, scales = quantize_blocks(weight, BLOCK)
        outputs, inputs = weight.shape
        names = [x, self.constant(f"{out}.weight", blocks), self.constant(f"{out}.scale", scales)]
        return self.node("MatMulNBits", names, [out], CONTRIB, K=inputs, N=outputs, bits=8, block_size=BLOCK, accuracy_level=4)

    def lookup(self, table: Array, indices: str, out: str) -> str:
        """Take the rows of `table` that `indices` name."""
        if self.precision == "fp32":
            return self.node("Gather", [self.constant(f"{out}.table", table), indices], [out])
        rows, scales = quantize_rows(table)
        integers = self.node("Gather", [self.constant(f"{out}.table", rows), indices], [f"{out}.int8"])
        floats = self.node("Cast", [integers], [f"{out}.float"], to=onnx.TensorProto.FLOAT)
        scale = self.node("Gather", [self.constant(f"{out}.scale", scales), indices], [f"{out}.scales"])
        return self.node("Mul", [floats, scale], [out])

    def model(self, name: str, inputs: Sequence[onnx.ValueInfoProto], output: onnx.ValueInfoProto) -> onnx.ModelProto:
        """Close the graph and check it."""
        graph = helper.make_graph(self._nodes, name, list(inputs), [output], self._initializers)
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid(CONTRIB, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="two-stage-search")
        onnx.checker.check_model(model)
        return model
