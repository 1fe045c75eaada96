"""Tiny random models with the true shape of real ones, in the folders that real ones come in."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from search.export.bert import Head, build_bert
from search.export.graph import GraphBuilder
from search.export.precision import Precision
from search.export.shapes import BertShape

BUNDLED = Path(__file__).parents[2] / "search" / "models"
SHAPE = BertShape(layers=2, heads=4, width=64, epsilon=1e-12)
FP32 = Precision()
VOCABULARY = 30522
POSITIONS = 512

# Names that FastEmbed serves, with the repository and the file it would download.
# FastEmbed does not normalise the vectors of this embedder, so that ours must.
HUB_EMBEDDER = (
    "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
    "Qdrant/paraphrase-multilingual-MiniLM-L12-v2-onnx-Q",
    "model_optimized.onnx",
)
HUB_STATIC = ("minishlab/potion-base-8M", "minishlab/potion-base-8M", "model.safetensors")
HUB_CROSS_ENCODER = ("Xenova/ms-marco-MiniLM-L-6-v2", "Xenova/ms-marco-MiniLM-L-6-v2", "onnx/model.onnx")


def tiny_weights(seed: int, *, width: int = SHAPE.width, layers: int = SHAPE.layers) -> dict[str, NDArray[np.float32]]:
    """A random checkpoint, large enough in scale that every part of the graph matters to the result."""
    rng = np.random.default_rng(seed)

    def matrix(*shape: int) -> NDArray[np.float32]:
        values: NDArray[np.float32] = (rng.normal(size=shape) * (2.0 / np.sqrt(shape[-1]))).astype(np.float32)
        return values

    def norm(prefix: str) -> dict[str, NDArray[np.float32]]:
        return {
            f"{prefix}.LayerNorm.weight": (1 + 0.2 * rng.normal(size=width)).astype(np.float32),
            f"{prefix}.LayerNorm.bias": (0.2 * rng.normal(size=width)).astype(np.float32),
        }

    weights = {
        "embeddings.word_embeddings.weight": matrix(VOCABULARY, width),
        "embeddings.position_embeddings.weight": matrix(POSITIONS, width),
        "embeddings.token_type_embeddings.weight": matrix(2, width),
        **norm("embeddings"),
        "pooler.dense.weight": matrix(width, width),
        "pooler.dense.bias": matrix(width),
        "classifier.weight": matrix(1, width) * 4,
        "classifier.bias": matrix(1),
    }
    for number in range(layers):
        prefix = f"encoder.layer.{number}"
        sizes = {
            "attention.self.query": (width, width),
            "attention.self.key": (width, width),
            "attention.self.value": (width, width),
            "attention.output.dense": (width, width),
            "intermediate.dense": (4 * width, width),
            "output.dense": (width, 4 * width),
        }
        for name, (outputs, inputs) in sizes.items():
            weights[f"{prefix}.{name}.weight"] = matrix(outputs, inputs)
            weights[f"{prefix}.{name}.bias"] = matrix(outputs)
        weights |= norm(f"{prefix}.attention.output") | norm(f"{prefix}.output")
    return weights


def tiny_model(
    folder: Path, head: Head, *, pooling: str = "mean", precision: Precision = FP32, max_tokens: int = 64, seed: int = 7
) -> Path:
    """Write a model folder as a user might have it."""
    folder.mkdir(parents=True)
    graph = build_bert(tiny_weights(seed), SHAPE, head, GraphBuilder(precision))
    (folder / "model.onnx").write_bytes(graph.SerializeToString(deterministic=True))
    for name in ("tokenizer.json", "special_tokens_map.json"):
        shutil.copy(BUNDLED / "all-MiniLM-L6-v2" / name, folder)
    _write(folder / "tokenizer_config.json", {"model_max_length": max_tokens, "pad_token": "[PAD]"})
    _write(folder / "config.json", {"model_type": "bert", "hidden_size": SHAPE.width, "pad_token_id": 0})
    if head == "encoder":
        (folder / "1_Pooling").mkdir()
        modes = {f"pooling_mode_{mode}": mode.startswith(pooling) for mode in ("mean_tokens", "cls_token")}
        _write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": SHAPE.width, **modes})
    return folder


def into_hub_cache(folder: Path, cache: Path, _name: str, repository: str, graph: str) -> None:
    """Lay a model folder out as a download of a repository of the model hub."""
    root = cache / f"models--{repository.replace('/', '--')}"
    revision = "0" * 40
    snapshot = root / "snapshots" / revision
    (snapshot / graph).parent.mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(revision)
    shutil.copy(next(folder.glob("model.*")), snapshot / graph)
    for file in folder.glob("*.json"):
        shutil.copy(file, snapshot)


def tiny_static_model(folder: Path) -> Path:
    """A model that is a table of vectors, one a token."""
    folder.mkdir(parents=True)
    table = np.random.default_rng(9).normal(size=(VOCABULARY, 32)).astype(np.float32)
    safetensors.numpy.save_file({"embeddings": table}, folder / "model.safetensors")
    shutil.copy(BUNDLED / "all-MiniLM-L6-v2" / "tokenizer.json", folder)
    _write(folder / "config.json", {"model_type": "model2vec", "normalize": True})
    return folder


def _write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content))
