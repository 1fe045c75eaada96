"""Qwen3, Qwen2, Llama and Mistral as a graph of fused operators: from right-padded tokens to the scores at a few places."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper

from search.export.graph import CONTRIB, Array, GraphBuilder, Tensor
from search.export.rope import rope_tables
from search.export.shapes import DecoderShape
from search.inference.graph_io import LENGTH, LENGTHS, LOG_PROBABILITIES, PAST, PLACES, PRESENT, SCORES, TARGETS, TOKENS, memory

Weights = Mapping[str, Tensor]
Rows = Sequence[int] | Literal["score", "all"]


def build_decoder(
    weights: Weights,
    shape: DecoderShape,
    config: Mapping[str, Any],
    rows: Rows,
    graph: GraphBuilder,
    *,
    max_tokens: int,
    path: Path,
    continues: bool = False,
) -> onnx.ModelProto:
    """Build the graph and write it.

    Inputs: `input_ids` int64 (batch, length), padded on the right with anything; `lengths` int32 (batch,), real tokens of each row;
    `length` int32 (), the padded length; `places` int64 (n, 2), row and token of each wanted score.
    Output, float32: `scores` (n, rows); with rows "all", `log_probabilities` (n,) of the tokens `targets` int64 (n,) to come next.

    A graph that `continues` can go on from what it has read: it also takes `past_key.N` and `past_value.N` (batch, kv_heads,
    past, head_size) for each layer N, empty or of a single row, and gives `present_key.N` and `present_value.N`; `lengths` and
    `length` then count the past. These cost memory for every token of a batch, so only prompts with much in common are worth them,
    and only graphs in float32, which the CPU runs.

    `rows` says which rows of the head are read: token ids; "score" for a classifier's only one; "all" for log-probabilities.
    `config` is config.json, for the rotary embeddings; the builder is empty, and knows the precision.
    """
    for name, table in zip(("cos", "sin"), rope_tables(config, shape.head_size, max_tokens), strict=True):
        graph.constant(name, graph.precision.cast(table))
    one = graph.constant("one", np.array(1, np.int32))
    graph.node("Sub", [LENGTHS, one], ["last"])  # GroupQueryAttention wants the place of the last real token
    residual = graph.lookup(weights["model.embed_tokens.weight"], TOKENS, "embedded")
    scale = graph.value("norm.0", weights["model.layers.0.input_layernorm.weight"])
    hidden = _normed(graph, shape, residual, scale, "normed.0")
    for number in range(len(shape.windows)):
        hidden, residual = _layer(graph, weights, shape, number, hidden, residual, continues=continues)
    inputs = [
        helper.make_tensor_value_info(TOKENS, TensorProto.INT64, ["batch", LENGTH]),
        helper.make_tensor_value_info(LENGTHS, TensorProto.INT32, ["batch"]),
        helper.make_tensor_value_info(LENGTH, TensorProto.INT32, []),
        helper.make_tensor_value_info(PLACES, TensorProto.INT64, ["n", 2]),
    ]
    if rows == "all":
        inputs.append(helper.make_tensor_value_info(TARGETS, TensorProto.INT64, ["n"]))
    outputs = [_output(graph, weights, shape, rows, hidden)]
    if continues:
        inputs += _memory(PAST, shape, PAST)
        outputs += _memory(PRESENT, shape, "all")
    return graph.model("decoder", inputs, outputs, path)


def _output(graph: GraphBuilder, weights: Weights, shape: DecoderShape, rows: Rows, hidden: str) -> onnx.ValueInfoProto:
    """What is read of the head at each place."""
    if rows == "all":
        name = _log_probabilities(graph, weights, shape, hidden)
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"])
    head = _head(weights, shape, rows)
    floats = _float(graph, hidden, "final")
    name = graph.node("MatMul", [floats, graph.constant("head", head.T)], [SCORES])
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", head.shape[0]])


def _normed(graph: GraphBuilder, shape: DecoderShape, x: str, scale: str, out: str) -> str:
    """RMSNorm over the last axis."""
    return graph.node("SimplifiedLayerNormalization", [x, scale], [out], axis=-1, epsilon=shape.epsilon, stash_type=1)


def _memory(which: str, shape: DecoderShape, tokens: str) -> list[onnx.ValueInfoProto]:
    """Keys and values of every layer, for so many tokens."""
    sizes: list[str | int] = ["batch", shape.kv_heads, tokens, shape.head_size]
    names = (name for layer in range(len(shape.windows)) for name in memory(which, layer))
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name in names]


def _layer(
    graph: GraphBuilder, weights: Weights, shape: DecoderShape, number: int, hidden: str, residual: str, *, continues: bool
) -> tuple[str, str]:
    """One transformer layer: normalised and plain stream in, both out. After the last attention only the wanted places go on."""
    prefix = f"model.layers.{number}."
    last = number == len(shape.windows) - 1

    def dense(x: str, names: Sequence[str], out: str, *, bias: bool) -> str:
        x = graph.linear(x, [weights[f"{prefix}{name}.weight"] for name in names], f"{out}.{number}")
        if not bias:
            return x
        biases = [graph.precision.cast(weights[f"{prefix}{name}.bias"][:]) for name in names]
        return graph.node("Add", [x, graph.constant(f"{out}.{number}.bias", np.concatenate(biases))], [f"{out}.{number}.biased"])

    def add_norm(x: str, skip: str, norm: str, out: str) -> tuple[str, str]:
        scale = graph.value(norm, weights[norm])
        outputs = [f"{out}.{number}", "", "", f"{out}.{number}.sum"]
        graph.node("SkipSimplifiedLayerNormalization", [x, skip, scale], outputs, CONTRIB, epsilon=shape.epsilon)
        return outputs[0], outputs[3]

    qkv = dense(hidden, [f"self_attn.{name}_proj" for name in "qkv"], "qkv", bias=shape.qkv_bias)
    attended = _attention(graph, weights, shape, number, qkv, continues=continues)
    if last:
        attended = graph.node("GatherND", [attended, PLACES], ["attended.wanted"])
        residual = graph.node("GatherND", [residual, PLACES], ["residual.wanted"])
    out = dense(attended, ["self_attn.o_proj"], "out", bias=shape.output_bias)
    hidden, residual = add_norm(out, residual, f"{prefix}post_attention_layernorm.weight", "attended.normed")
    gate_up = dense(hidden, ["mlp.gate_proj", "mlp.up_proj"], "gate_up", bias=shape.mlp_bias)
    gate, up = (f"{name}.{number}" for name in ("gate", "up"))
    graph.node("Split", [gate_up], [gate, up], axis=-1, num_outputs=2)
    silu = graph.node("Mul", [gate, graph.node("Sigmoid", [gate], [f"{gate}.sigmoid"])], [f"{gate}.silu"])
    gated = graph.node("Mul", [silu, up], [f"{gate}.up"])
    down = dense(gated, ["mlp.down_proj"], "down", bias=shape.mlp_bias)
    following = "model.norm.weight" if last else f"model.layers.{number + 1}.input_layernorm.weight"
    return add_norm(down, residual, following, "layer")


def _attention(graph: GraphBuilder, weights: Weights, shape: DecoderShape, number: int, qkv: str, *, continues: bool) -> str:
    inputs = [qkv, "", ""]
    if shape.head_norm:  # which no kernel on the CPU does by itself
        sizes = [shape.heads * shape.head_size, *[shape.kv_heads * shape.head_size] * 2]
        inputs = [f"{name}.{number}" for name in "qkv"]
        graph.node("Split", [qkv, graph.constant(f"sizes.{number}", np.array(sizes, np.int64))], inputs, axis=-1)
        by_head = graph.constant(f"by_head.{number}", np.array([0, 0, -1, shape.head_size], np.int64))
        flat = graph.constant(f"flat.{number}", np.array([0, 0, -1], np.int64))
        for place, which in enumerate("qk"):
            name = f"model.layers.{number}.self_attn.{which}_norm.weight"
            split = graph.node("Reshape", [inputs[place], by_head], [f"{which}.{number}.heads"])
            scale = graph.value(name, weights[name])
            normed = _normed(graph, shape, split, scale, f"{which}.{number}.normed")
            inputs[place] = graph.node("Reshape", [normed, flat], [f"{which}.{number}.flat"])
    # The kernel on CUDA writes keys and values to these outputs whether or not anybody reads them, and fails without.
    past, present = (list(memory(which, number)) for which in (PAST, PRESENT))
    return graph.node(
        "GroupQueryAttention",
        [*inputs, *(past if continues else ["", ""]), "last", LENGTH, "cos", "sin"],
        [f"attention.{number}", *present],
        CONTRIB,
        num_heads=shape.heads,
        kv_num_heads=shape.kv_heads,
        scale=shape.head_size**-0.5,
        do_rotary=1,
        local_window_size=shape.windows[number],
    )


def _head(weights: Weights, shape: DecoderShape, rows: Sequence[int] | Literal["score"]) -> Array:
    """The wanted rows (rows, width) in float32: few enough to keep their precision."""
    if rows == "score":
        return weights["score.weight"][:].astype(np.float32)
    table = weights["model.embed_tokens.weight" if shape.tied else "lm_head.weight"]
    return np.concatenate([table[slice(row, row + 1)].astype(np.float32) for row in rows])


def _log_probabilities(graph: GraphBuilder, weights: Weights, shape: DecoderShape, hidden: str) -> str:
    """Logit of the target less the logarithm of the sum over the vocabulary, which stays in float32."""
    table = weights["model.embed_tokens.weight" if shape.tied else "lm_head.weight"]
    if graph.precision.bits is None:
        stored = "embedded.table" if shape.tied else graph.table("head", table)
        logits = graph.node("Gemm", [hidden, stored], ["logits"], transB=1)
    else:
        logits = graph.linear(hidden, [table], "logits")
    logits = _float(graph, logits, "logits.float")
    axis = graph.constant("axis", np.array([1], np.int64))
    total = graph.node("ReduceLogSumExp", [logits, axis], ["logits.total"], keepdims=0)
    column = graph.node("Unsqueeze", [TARGETS, axis], ["targets.column"])
    chosen = graph.node(
        "Squeeze", [graph.node("GatherElements", [logits, column], ["logits.chosen"], axis=1), axis], ["logits.target"]
    )
    return graph.node("Sub", [chosen, total], [LOG_PROBABILITIES])


def _float(graph: GraphBuilder, x: str, out: str) -> str:
    if graph.precision.calculated_in == "fp32":
        return x
    return graph.node("Cast", [x], [out], to=TensorProto.FLOAT)
