"""Tiny random language models, exported as a user exports them, and the definitions they are compared with."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from checkpoints import CONFIGS, Config, tensors, write_checkpoint
from numpy.typing import NDArray

from search.export.model_folder import export
from search.export.precision import precision
from search.reranking.recipe import find

Array = NDArray[Any]
GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden.json").read_text(encoding="utf-8"))


def checkpoint(folder: Path, name: str, **options: Any) -> Path:
    """A checkpoint with its tokenizer."""
    write_checkpoint(folder, CONFIGS[name], **options)
    (folder / "tokenizer.json").write_text(json.dumps(GOLDEN["tokenizer"]), encoding="utf-8")
    return folder


def recipe_file(folder: Path, name: str, **changed: Any) -> Path:
    """A recipe of the package for these models: their tokens have other ids, and nobody published scores for them."""
    recipe = find(name).to_dict() | changed
    recipe["head"].pop("ids", None)
    recipe = {key: value for key, value in recipe.items() if key not in {"models", "golden"}}
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}-tiny.json"
    file.write_text(json.dumps(recipe))
    return file


def exported(folder: Path, name: str, recipe: str, *, weights: str = "fp32", golden: Path | None = None, **changed: Any) -> Path:
    """A model folder, ready to serve."""
    file = recipe_file(folder, recipe, **{"max_tokens": 512, **changed})
    source = checkpoint(folder / "checkpoint", name)
    out = folder / "model"
    export(str(source), out, precision=precision(weights), recipe=str(file), golden=golden, cache=folder)
    return out


@cache
def _weights(name: str) -> Mapping[str, Array]:
    return {key: tensor.astype(np.float64) for key, tensor in tensors(CONFIGS[name])}


def reference_logits(name: str, row: list[int]) -> Array:
    """Logits (tokens, vocabulary) of one row without padding, from the definitions, in float64.

    Root-mean-square norm (arXiv:1910.07467), rotary positions (arXiv:2104.09864), grouped queries (arXiv:2305.13245), SwiGLU
    (arXiv:2002.05202). Neither windows nor scaled positions.
    """
    config: Config = CONFIGS[name]
    w = _weights(name)
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    size = config.get("head_dim") or config["hidden_size"] // heads
    count = len(row)

    def norm(x: Array, key: str) -> Array:
        scaled: Array = x / np.sqrt((x**2).mean(-1, keepdims=True) + config["rms_norm_eps"])
        return scaled * w[key]

    def dense(x: Array, key: str) -> Array:
        result: Array = x @ w[f"{key}.weight"].T + w.get(f"{key}.bias", np.zeros(1))
        return result

    angles = np.arange(count)[:, None] / config["rope_theta"] ** (np.arange(size // 2) * 2 / size)

    def turned(x: Array) -> Array:
        a, b = x[..., : size // 2], x[..., size // 2 :]
        return np.concatenate([a * np.cos(angles) - b * np.sin(angles), b * np.cos(angles) + a * np.sin(angles)], -1)

    x = w["model.embed_tokens.weight"][row]
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        hidden = norm(x, f"{prefix}.input_layernorm.weight")
        q, k, v = (dense(hidden, f"{prefix}.self_attn.{part}_proj").reshape(count, -1, size) for part in "qkv")
        if config["model_type"] == "qwen3":
            q, k = (norm(part, f"{prefix}.self_attn.{which}_norm.weight") for part, which in ((q, "q"), (k, "k")))
        q, k, v = (part.transpose(1, 0, 2) for part in (q, k, v))
        k, v = (np.repeat(part, heads // kv_heads, axis=0) for part in (k, v))
        scores = turned(q) @ turned(k).transpose(0, 2, 1) / np.sqrt(size)
        scores = np.where(np.tril(np.ones((count, count), bool)), scores, -np.inf)
        chances = np.exp(scores - scores.max(-1, keepdims=True))
        chances /= chances.sum(-1, keepdims=True)
        x = x + dense((chances @ v).transpose(1, 0, 2).reshape(count, -1), f"{prefix}.self_attn.o_proj")
        hidden = norm(x, f"{prefix}.post_attention_layernorm.weight")
        gate = dense(hidden, f"{prefix}.mlp.gate_proj")
        x = x + dense(gate / (1 + np.exp(-gate)) * dense(hidden, f"{prefix}.mlp.up_proj"), f"{prefix}.mlp.down_proj")
    head = w["model.embed_tokens.weight"] if config["tie_word_embeddings"] else w["lm_head.weight"]
    logits: Array = norm(x, "model.norm.weight") @ head.T
    return logits
