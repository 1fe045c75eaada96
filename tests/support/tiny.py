"""Tiny random models with the true shape of real ones, in the folders that real ones come in."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import safetensors.numpy
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from tokenizers import Tokenizer

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
HUB_SPLADE = ("prithivida/Splade_PP_en_v1", "Qdrant/Splade_PP_en_v1", "model.onnx")
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
    _other_files(folder, max_tokens)
    if head == "encoder":
        (folder / "1_Pooling").mkdir()
        modes = {f"pooling_mode_{mode}": mode.startswith(pooling) for mode in ("mean_tokens", "cls_token")}
        _write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": SHAPE.width, **modes})
    return folder


def _other_files(folder: Path, max_tokens: int) -> None:
    for name in ("tokenizer.json", "special_tokens_map.json"):
        shutil.copy(BUNDLED / "all-MiniLM-L6-v2" / name, folder)
    _write(folder / "tokenizer_config.json", {"model_max_length": max_tokens, "pad_token": "[PAD]"})
    _write(folder / "config.json", {"model_type": "bert", "hidden_size": SHAPE.width, "pad_token_id": 0})


def tiny_splade(
    folder: Path, *, seed: int = 7, bias: float = -7.0, fails_on: str = "", graph: str = "model.onnx", max_tokens: int = 64
) -> Path:
    """A masked language model: a logit for each word of the vocabulary, of which some 100 in a text are above zero.

    Args:
        folder: to be made.
        seed: of the weights.
        bias: of all logits; none is above zero by -1e6, none a number by NaN.
        fails_on: a word whose texts have logits that are no numbers.
        graph: the file, relative to the folder.
        max_tokens: the window.
    """
    model = build_bert(tiny_weights(seed), SHAPE, "encoder", GraphBuilder(FP32))
    decoder = np.random.default_rng(seed).normal(size=(SHAPE.width, VOCABULARY)).astype(np.float32) * 0.25
    constants = {"decoder": decoder, "decoder.bias": np.array(bias, np.float32)}
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    model.graph.node.append(helper.make_node("MatMul", ["last_hidden_state", "decoder"], ["decoded"]))
    model.graph.node.append(helper.make_node("Add", ["decoded", "decoder.bias"], ["logits"]))
    _gives(model, {"logits": ["batch", "length", VOCABULARY]})
    if fails_on:
        table = next(one for one in model.graph.initializer if one.name == "words.table")
        rows = numpy_helper.to_array(table).copy()
        rows[Tokenizer.from_file(str(BUNDLED / "all-MiniLM-L6-v2" / "tokenizer.json")).token_to_id(fails_on)] = np.nan
        table.CopyFrom(numpy_helper.from_array(rows, table.name))
    return _written(model, folder, graph, max_tokens)


def tiny_bm42(folder: Path, *, stop_words: tuple[str, ...] = ("the", "of")) -> Path:
    """A model whose sixth layer gives the attention of each token to each."""
    model = build_bert(tiny_weights(7), SHAPE, "encoder", GraphBuilder(FP32))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1]), "heads"))
    layers: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Transpose", ["last_hidden_state"], "turned", {"perm": [0, 2, 1]}),
        ("MatMul", ["last_hidden_state", "turned"], "products", {}),
        ("Softmax", ["products"], "attention", {"axis": -1}),
        ("Unsqueeze", ["attention", "heads"], "attention_6", {}),
    ]
    for kind, inputs, output, attributes in layers:
        model.graph.node.append(helper.make_node(kind, inputs, [output], **attributes))
    _gives(model, {"last_hidden_state": ["batch", "length", SHAPE.width], "attention_6": ["batch", 1, "length", "length"]})
    _written(model, folder, "model.onnx", 64)
    (folder / "stopwords.txt").write_text("\n".join(stop_words))
    return folder


def tiny_minicoil(folder: Path) -> Path:
    """A model that has four numbers for each of some words, by their context."""
    model = build_bert(tiny_weights(7), SHAPE, "encoder", GraphBuilder(FP32))
    _written(model, folder, "onnx/model.onnx", 64)
    known = ["cat", "sleep", "bark", "pump"]
    weights = np.random.default_rng(7).normal(size=(1 + len(known), SHAPE.width, 4)).astype(np.float32)
    np.save(folder / "minicoil.triplet.model.npy", weights)
    _write(folder / "minicoil.triplet.model.vocab", {"vocab": known, "stem_mapping": {word: word for word in known}})
    (folder / "stopwords.txt").write_text("the\nof")
    return folder


def tiny_bm25(folder: Path) -> Path:
    """FastEmbed's own BM25: no graph, and lists of stop words."""
    from fastembed.sparse.bm25 import supported_bm25_models

    folder.mkdir(parents=True)
    _write(folder / "config.json", {})
    for name in supported_bm25_models[0].additional_files:
        (folder / name).write_text("the\nof" if name == "english.txt" else "der\nvon")
    return folder


def _gives(model: onnx.ModelProto, outputs: dict[str, list[str | int]]) -> None:
    del model.graph.output[:]
    model.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in outputs.items())


def _written(model: onnx.ModelProto, folder: Path, graph: str, max_tokens: int) -> Path:
    (folder / graph).parent.mkdir(parents=True)
    (folder / graph).write_bytes(model.SerializeToString(deterministic=True))
    _other_files(folder, max_tokens)
    return folder


def into_hub_cache(folder: Path, cache: Path, _name: str, repository: str, graph: str) -> None:
    """Lay a model folder out as a download of a repository of the model hub."""
    root = cache / f"models--{repository.replace('/', '--')}"
    revision = "0" * 40
    snapshot = root / "snapshots" / revision
    (snapshot / graph).parent.mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(revision)
    shutil.copy(next(folder.glob("model.*"), folder / graph), snapshot / graph)
    for file in folder.glob("*.json"):
        shutil.copy(file, snapshot)
    for pattern in ("*.txt", "minicoil.*"):  # of sparse models
        for file in folder.glob(pattern):
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
