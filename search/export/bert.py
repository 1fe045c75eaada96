"""BERT, RoBERTa and XLM-RoBERTa as graphs of fused operators: an encoder (token vectors) or a cross-encoder (one logit a pair)."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper

from search.export.graph import CONTRIB, Array, GraphBuilder, Tensor
from search.export.shapes import BertShape

Head = Literal["encoder", "classifier"]
Weights = Mapping[str, Tensor]
Tensors = Callable[[str], Tensor]  # by name


def build_bert(weights: Weights, shape: BertShape, head: Head, graph: GraphBuilder, path: Path | None = None) -> onnx.ModelProto:
    """Build the graph.

    Inputs are `input_ids`, `attention_mask` and, where the model knows several types, `token_type_ids`, int64 (batch, length),
    padded on the right. Output, float32: "encoder" gives `last_hidden_state` (batch, length, width), "classifier" `logits`
    (batch, 1). Names of weights may have the family's prefix or not; the builder is empty, and knows the precision.
    """
    names = {name.removeprefix(shape.prefix): name for name in weights}

    def tensor(name: str) -> Tensor:
        """By its name without prefix; a missing one is still the checkpoint's to complain of."""
        return weights[names.get(name, name)]

    hidden = _embeddings(graph, tensor, shape)
    for number in range(shape.layers):
        hidden = _layer(graph, tensor, shape, number, hidden)
    if head == "encoder":
        name = "last_hidden_state"
        if graph.precision.calculated_in == "fp32":
            graph.node("Identity", [hidden], [name])
        else:
            graph.node("Cast", [hidden], [name], to=TensorProto.FLOAT)
        dimensions: list[str | int] = ["batch", "length", shape.width]
    else:
        name = _classifier(graph, tensor, hidden, pooled=shape.prefix == "bert.")
        dimensions = ["batch", 1]
    wanted = ("input_ids", "attention_mask", "token_type_ids")[: 3 if shape.types > 1 else 2]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in wanted]
    return graph.model("bert", inputs, [helper.make_tensor_value_info(name, TensorProto.FLOAT, dimensions)], path)


def _embeddings(graph: GraphBuilder, tensor: Tensors, shape: BertShape) -> str:
    length = graph.node("Shape", ["input_ids"], ["length"], start=1, end=2)
    start = graph.constant("zero", np.array([0], np.int64))
    positions = tensor("embeddings.position_embeddings.weight")[:][shape.first_position :].astype(np.float32)
    types = tensor("embeddings.token_type_embeddings.weight")
    if shape.types == 1:
        positions = positions + types[:]
    table = graph.constant("positions.table", graph.precision.cast(positions))
    placed = graph.node("Slice", [table, start, length], ["positions"])
    words = graph.lookup(tensor("embeddings.word_embeddings.weight"), "input_ids", "words")
    if shape.types > 1:
        kinds = graph.node("Gather", [graph.value("types.table", types), "token_type_ids"], ["types"])
        placed = graph.node("Add", [kinds, placed], ["placed"])
    # One int32 length a row, rather than a mask, keeps MultiHeadAttention on its fast path for right-padded batches.
    mask = graph.node("Cast", ["attention_mask"], ["mask32"], to=TensorProto.INT32)
    graph.node("ReduceSum", [mask, graph.constant("one", np.array([1], np.int64))], ["lengths"], keepdims=0)
    norm = [graph.value(f"embedded.{part}", tensor(f"embeddings.LayerNorm.{part}")) for part in ("weight", "bias")]
    return graph.node("SkipLayerNormalization", [words, placed, *norm], ["embedded"], CONTRIB, epsilon=shape.epsilon)


def _layer(graph: GraphBuilder, tensor: Tensors, shape: BertShape, number: int, x: str) -> str:
    prefix = f"encoder.layer.{number}."

    def value(name: str) -> str:
        return graph.value(prefix + name, tensor(prefix + name))

    def dense_add_norm(y: str, skip: str, part: str) -> str:
        y = graph.linear(y, [tensor(f"{prefix}{part}.dense.weight")], f"{prefix}{part}.matmul")
        tail = [value(f"{part}.{name}") for name in ("LayerNorm.weight", "LayerNorm.bias", "dense.bias")]
        return graph.node("SkipLayerNormalization", [y, skip, *tail], [prefix + part], CONTRIB, epsilon=shape.epsilon)

    parts = [f"{prefix}attention.self.{name}" for name in ("query", "key", "value")]
    packed = graph.linear(x, [tensor(f"{part}.weight") for part in parts], f"{prefix}qkv.matmul")
    biases = np.concatenate([graph.precision.cast(tensor(f"{part}.bias")[:]) for part in parts])
    qkv = graph.node("Add", [packed, graph.constant(f"{prefix}qkv.bias", biases)], [f"{prefix}qkv"])
    sizes = graph.constant(f"{prefix}sizes", np.array([shape.width] * 3, np.int64))
    names = [f"{prefix}{name}" for name in "qkv"]
    graph.node("Split", [qkv, sizes], names, axis=-1)
    attention = graph.node("MultiHeadAttention", [*names, "", "lengths"], [f"{prefix}attention"], CONTRIB, num_heads=shape.heads)
    x = dense_add_norm(attention, x, "attention.output")
    up = graph.linear(x, [tensor(f"{prefix}intermediate.dense.weight")], f"{prefix}up.matmul")
    up = graph.node("BiasGelu", [up, value("intermediate.dense.bias")], [f"{prefix}up"], CONTRIB)
    return dense_add_norm(up, x, "output")


def _classifier(graph: GraphBuilder, tensor: Tensors, hidden: str, *, pooled: bool) -> str:
    """A dense layer, tanh and the classifier, on the first token; small, so they keep float32.

    BERT's dense layer is its pooler; RoBERTa's belongs to its head.
    """
    dense, out = ("pooler.dense", "classifier") if pooled else ("classifier.dense", "classifier.out_proj")

    def parts(kind: str, name: str) -> list[str]:
        return [graph.constant(f"{kind}.{part}", _float(tensor(f"{name}.{part}"))) for part in ("weight", "bias")]

    first = graph.node("Gather", [hidden, graph.constant("first", np.array(0, np.int64))], ["cls"], axis=1)
    if graph.precision.calculated_in != "fp32":
        first = graph.node("Cast", [first], ["cls.float"], to=TensorProto.FLOAT)
    linear = graph.node("Gemm", [first, *parts("pooler", dense)], ["pooled.linear"], transB=1)
    return graph.node("Gemm", [graph.node("Tanh", [linear], ["pooled"]), *parts("classifier", out)], ["logits"], transB=1)


def _float(tensor: Tensor) -> Array:
    return tensor[:].astype(np.float32)
