"""BERT as a graph of ONNX Runtime's fused operators: an encoder (token vectors) or a cross-encoder (one logit a pair)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from search.export.graph import CONTRIB, GraphBuilder, Precision

Head = Literal["encoder", "classifier"]
Weights = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class BertShape:
    """What the graph needs to know of a checkpoint's config.json."""

    layers: int
    heads: int
    width: int
    epsilon: float

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "BertShape":
        """Read a Hugging Face config.

        Raises:
            ValueError: not a BERT with absolute positions and exact GELU, the only kind this graph computes.
        """
        wanted = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
        for key, value in wanted.items():
            if config.get(key, value) != value:
                message = f"config.json has {key} = {config[key]!r}; this graph computes {value!r} only"
                raise ValueError(message)
        return cls(
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            width=config["hidden_size"],
            epsilon=config["layer_norm_eps"],
        )


def build_bert(weights: Weights, shape: BertShape, head: Head, precision: Precision = "fp32") -> onnx.ModelProto:
    """Build the graph.

    Inputs are `input_ids`, `attention_mask` and `token_type_ids`, int64 (batch, length), padded on the right.
    Output: "encoder" gives `last_hidden_state` (batch, length, width), "classifier" gives `logits` (batch, 1), float32.

    Args:
        weights: the checkpoint's tensors by name, with or without the prefix `bert.`.
        shape: the checkpoint's dimensions.
        head: what stands on top of the last layer.
        precision: how the matrices are stored; arithmetic between them is float32 in any case.
    """
    tensors = {name.removeprefix("bert."): tensor.astype(np.float32) for name, tensor in weights.items()}
    graph = GraphBuilder(precision)
    hidden = _embeddings(graph, tensors, shape)
    for number in range(shape.layers):
        hidden = _layer(graph, tensors, shape, number, hidden)
    if head == "encoder":
        name = graph.node("Identity", [hidden], ["last_hidden_state"])
        dimensions: list[str | int] = ["batch", "length", shape.width]
    else:
        name = _classifier(graph, tensors, hidden)
        dimensions = ["batch", 1]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    return graph.model("bert", inputs, helper.make_tensor_value_info(name, TensorProto.FLOAT, dimensions))


def _embeddings(graph: GraphBuilder, tensors: Weights, shape: BertShape) -> str:
    length = graph.node("Shape", ["input_ids"], ["length"], start=1, end=2)
    start = graph.constant("zero", np.array([0], np.int64))
    table = graph.constant("positions.table", tensors["embeddings.position_embeddings.weight"])
    positions = graph.node("Slice", [table, start, length], ["positions"])
    words = graph.lookup(tensors["embeddings.word_embeddings.weight"], "input_ids", "words")
    type_table = graph.constant("types.table", tensors["embeddings.token_type_embeddings.weight"])
    types = graph.node("Gather", [type_table, "token_type_ids"], ["types"])
    placed = graph.node("Add", [types, positions], ["placed"])
    # One int32 length a row, rather than a mask, keeps MultiHeadAttention on its fast path for right-padded batches.
    mask = graph.node("Cast", ["attention_mask"], ["mask32"], to=TensorProto.INT32)
    graph.node("ReduceSum", [mask, graph.constant("one", np.array([1], np.int64))], ["lengths"], keepdims=0)
    norm = [graph.constant(f"embedded.{part}", tensors[f"embeddings.LayerNorm.{part}"]) for part in ("weight", "bias")]
    return graph.node("SkipLayerNormalization", [words, placed, *norm], ["embedded"], CONTRIB, epsilon=shape.epsilon)


def _layer(graph: GraphBuilder, tensors: Weights, shape: BertShape, number: int, x: str) -> str:
    prefix = f"encoder.layer.{number}."

    def constant(name: str) -> str:
        return graph.constant(prefix + name, tensors[prefix + name])

    def dense_add_norm(y: str, skip: str, part: str) -> str:
        y = graph.linear(y, tensors[f"{prefix}{part}.dense.weight"], f"{prefix}{part}.matmul")
        tail = [constant(f"{part}.{name}") for name in ("LayerNorm.weight", "LayerNorm.bias", "dense.bias")]
        return graph.node("SkipLayerNormalization", [y, skip, *tail], [prefix + part], CONTRIB, epsilon=shape.epsilon)

    parts = [f"{prefix}attention.self.{name}" for name in ("query", "key", "value")]
    packed = graph.linear(x, np.concatenate([tensors[f"{part}.weight"] for part in parts]), f"{prefix}qkv.matmul")
    bias = graph.constant(f"{prefix}qkv.bias", np.concatenate([tensors[f"{part}.bias"] for part in parts]))
    qkv = graph.node("Add", [packed, bias], [f"{prefix}qkv"])
    sizes = graph.constant(f"{prefix}sizes", np.array([shape.width] * 3, np.int64))
    names = [f"{prefix}{name}" for name in "qkv"]
    graph.node("Split", [qkv, sizes], names, axis=-1)
    attention = graph.node("MultiHeadAttention", [*names, "", "lengths"], [f"{prefix}attention"], CONTRIB, num_heads=shape.heads)
    x = dense_add_norm(attention, x, "attention.output")
    up = graph.linear(x, tensors[f"{prefix}intermediate.dense.weight"], f"{prefix}up.matmul")
    up = graph.node("BiasGelu", [up, constant("intermediate.dense.bias")], [f"{prefix}up"], CONTRIB)
    return dense_add_norm(up, x, "output")


def _classifier(graph: GraphBuilder, tensors: Weights, hidden: str) -> str:
    """Pooler and classifier on the first token; small, so they keep float32."""
    first = graph.node("Gather", [hidden, graph.constant("first", np.array(0, np.int64))], ["cls"], axis=1)
    pooler = [graph.constant(f"pooler.{part}", tensors[f"pooler.dense.{part}"]) for part in ("weight", "bias")]
    pooled = graph.node("Tanh", [graph.node("Gemm", [first, *pooler], ["pooled.linear"], transB=1)], ["pooled"])
    head = [graph.constant(f"classifier.{part}", tensors[f"classifier.{part}"]) for part in ("weight", "bias")]
    return graph.node("Gemm", [pooled, *head], ["logits"], transB=1)
