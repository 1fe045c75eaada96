"""Random checkpoints of every family, as their trainers leave them. Imports nothing of this project."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from tokenizers.trainers import BpeTrainer

Array = NDArray[Any]
_WORDS = (
    r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""  # Qwen's
)
Config = dict[str, Any]

DTYPES = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
_DECODER: Config = {
    "vocab_size": 512,
    "hidden_size": 128,
    "intermediate_size": 288,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_act": "silu",
    "max_position_embeddings": 1024,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
}
_ENCODER: Config = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_act": "gelu",
    "max_position_embeddings": 130,
    "layer_norm_eps": 1e-12,
    "num_labels": 1,
}


def _decoder(architecture: str, model_type: str, **changed: Any) -> Config:
    return {"architectures": [architecture], "model_type": model_type, **_DECODER, **changed}


_LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
CONFIGS: dict[str, Config] = {
    "qwen3": _decoder("Qwen3ForCausalLM", "qwen3", head_dim=64, tie_word_embeddings=True, rope_theta=1e6),
    "qwen3-wide-head": _decoder("Qwen3ForCausalLM", "qwen3", head_dim=128, num_key_value_heads=4, attention_bias=True),
    "qwen3-classifier": _decoder("Qwen3ForSequenceClassification", "qwen3", head_dim=64, num_labels=1, pad_token_id=0),
    "qwen3-sliding": _decoder(
        "Qwen3ForCausalLM", "qwen3", head_dim=64, use_sliding_window=True, sliding_window=12, max_window_layers=1
    ),
    "qwen2": _decoder("Qwen2ForCausalLM", "qwen2", num_key_value_heads=1, tie_word_embeddings=True),
    "llama": _decoder("LlamaForCausalLM", "llama", num_key_value_heads=4, attention_bias=True, mlp_bias=True, rms_norm_eps=1e-5),
    "llama-linear": _decoder("LlamaForCausalLM", "llama", rope_scaling={"rope_type": "linear", "factor": 4.0}),
    "llama-llama3": _decoder("LlamaForCausalLM", "llama", head_dim=48, rope_theta=5e5, rope_scaling=_LLAMA3),
    "llama-yarn": _decoder(
        "LlamaForCausalLM", "llama", rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
    ),
    "llama-classifier": _decoder("LlamaForSequenceClassification", "llama", num_labels=1, pad_token_id=0),
    "mistral": _decoder("MistralForCausalLM", "mistral", head_dim=64, sliding_window=16),
    "mistral-whole": _decoder("MistralForCausalLM", "mistral", sliding_window=None, hidden_size=96, head_dim=32),
    "bert": {"architectures": ["BertForSequenceClassification"], "model_type": "bert", **_ENCODER, "type_vocab_size": 2},
    "roberta": {
        "architectures": ["RobertaForSequenceClassification"],
        "model_type": "roberta",
        **_ENCODER,
        "type_vocab_size": 1,
        "pad_token_id": 1,
        "layer_norm_eps": 1e-5,
    },
    "xlm-roberta": {
        "architectures": ["XLMRobertaForSequenceClassification"],
        "model_type": "xlm-roberta",
        **_ENCODER,
        "num_attention_heads": 2,
        "type_vocab_size": 1,
        "pad_token_id": 1,
        "layer_norm_eps": 1e-5,
    },
}


def is_decoder(config: Mapping[str, Any]) -> bool:
    return "rms_norm_eps" in config


def tensors(config: Mapping[str, Any], seed: int = 1, gain: float = 1.0) -> Iterator[tuple[str, Array]]:
    """Every tensor of a checkpoint, at a scale that makes every part of the model matter to its scores.

    A decoder's matrices are multiplied by `gain`: the larger, the more do roundings grow from layer to layer.
    """
    rng = np.random.default_rng(seed)

    def matrix(outputs: int, inputs: int, scale: float = 1.0) -> Array:
        values: Array = (rng.standard_normal((outputs, inputs)) * scale / np.sqrt(inputs)).astype(np.float32)
        return values

    def norm(width: int) -> Array:
        return (1 + 0.3 * rng.standard_normal(width)).astype(np.float32)

    def bias(width: int) -> Array:
        return (0.3 * rng.standard_normal(width)).astype(np.float32)

    width, inner, vocabulary = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    if not is_decoder(config):
        yield from _encoder_tensors(config, matrix, norm, bias)
        return
    kind, head = config["model_type"], config.get("head_dim") or width // config["num_attention_heads"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    yield "model.embed_tokens.weight", matrix(vocabulary, width, np.sqrt(width) * 0.5 * gain)
    for number in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{number}"
        with_bias = config.get("attention_bias", False)
        for name, outputs, inputs in (("q", queries, width), ("k", keys, width), ("v", keys, width), ("o", width, queries)):
            yield f"{prefix}.self_attn.{name}_proj.weight", matrix(outputs, inputs, 2.0 * gain)
            if with_bias or (kind == "qwen2" and name != "o"):
                yield f"{prefix}.self_attn.{name}_proj.bias", bias(outputs)
        if kind == "qwen3":
            for name in "qk":
                yield f"{prefix}.self_attn.{name}_norm.weight", norm(head) * 1.5
        for name, outputs, inputs in (("gate", inner, width), ("up", inner, width), ("down", width, inner)):
            yield f"{prefix}.mlp.{name}_proj.weight", matrix(outputs, inputs, 1.5 * gain)
            if config.get("mlp_bias"):
                yield f"{prefix}.mlp.{name}_proj.bias", bias(outputs)
        yield f"{prefix}.input_layernorm.weight", norm(width)
        yield f"{prefix}.post_attention_layernorm.weight", norm(width)
    yield "model.norm.weight", norm(width)
    if "Classification" in config["architectures"][0]:
        yield "score.weight", matrix(1, width, 2.0)
    elif not config["tie_word_embeddings"]:
        yield "lm_head.weight", matrix(vocabulary, width, 2.0)


def _encoder_tensors(config: Mapping[str, Any], matrix: Any, norm: Any, bias: Any) -> Iterator[tuple[str, Array]]:
    width, inner = config["hidden_size"], config["intermediate_size"]
    bert = config["model_type"] == "bert"
    prefix = "bert." if bert else "roberta."
    for name, rows in (("word", "vocab_size"), ("position", "max_position_embeddings"), ("token_type", "type_vocab_size")):
        yield f"{prefix}embeddings.{name}_embeddings.weight", matrix(config[rows], width, np.sqrt(width))
    norms = [f"{prefix}embeddings"]
    for number in range(config["num_hidden_layers"]):
        layer = f"{prefix}encoder.layer.{number}"
        for name, outputs, inputs in (
            *((f"attention.self.{part}", width, width) for part in ("query", "key", "value")),
            ("attention.output.dense", width, width),
            ("intermediate.dense", inner, width),
            ("output.dense", width, inner),
        ):
            yield f"{layer}.{name}.weight", matrix(outputs, inputs, 2.0)
            yield f"{layer}.{name}.bias", bias(outputs)
        norms += [f"{layer}.attention.output", f"{layer}.output"]
    for name in norms:
        yield f"{name}.LayerNorm.weight", norm(width)
        yield f"{name}.LayerNorm.bias", bias(width)
    for name, outputs in (
        ("bert.pooler.dense" if bert else "classifier.dense", width),
        ("classifier" if bert else "classifier.out_proj", 1),
    ):
        yield f"{name}.weight", matrix(outputs, width, 6.0 if outputs == 1 else 1.0)
        yield f"{name}.bias", bias(outputs)


def write_checkpoint(
    folder: Path, config: Mapping[str, Any], *, seed: int = 1, gain: float = 1.0, dtype: str = "float32", shards: int = 1
) -> Path:
    """A checkpoint without a tokenizer; in several shards if asked, each written before the next is made."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**config, "dtype": dtype}))
    held: list[dict[str, Array]] = [{} for _ in range(shards)]
    for number, (name, tensor) in enumerate(tensors(config, seed, gain)):
        held[number % shards][name] = tensor.astype(DTYPES[dtype])
    if shards == 1:
        safetensors.numpy.save_file(held[0], folder / "model.safetensors")
        return folder
    weight_map: dict[str, str] = {}
    for number, part in enumerate(held, 1):
        file = f"model-{number:05}-of-{shards:05}.safetensors"
        safetensors.numpy.save_file(part, folder / file)
        weight_map |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def tokenizer() -> Tokenizer:
    """A byte-level tokenizer of Qwen's kind, with its added tokens and with one token for each word that recipes read."""
    corpus = ["Yes", "No", "yes", "no", *[" Yes", " No", " A", " B"], *"ABCDEFGHIJKLMNOPQRST"] * 20
    corpus += ["the cat sleeps on the mat", "a document about dogs and cats", "What is the answer?", "passage query relevant"] * 5
    made = Tokenizer(BPE())
    made.pre_tokenizer = Sequence([Split(Regex(_WORDS), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)])
    made.decoder = ByteLevelDecoder()
    made.train_from_iterator(corpus, BpeTrainer(vocab_size=440, initial_alphabet=ByteLevel.alphabet(), show_progress=False))
    made.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    made.add_tokens(["<think>", "</think>"])
    return made


def token_rows(config: Mapping[str, Any], lengths: tuple[int, ...], seed: int = 2) -> list[list[int]]:
    """Random tokens, the special ones at the beginning of the vocabulary left out."""
    rng = np.random.default_rng(seed)
    return [rng.integers(8, config["vocab_size"], length).tolist() for length in lengths]
