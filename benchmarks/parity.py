"""Do exported models agree with transformers on shapes that no test uses?

    torch/bin/python benchmarks/parity.py [MODELS]

Needs torch, transformers and this package with its extra export in one environment (see scripts/record_golden.py). Draws random
shapes of every family and ragged batches of 1 to 16 rows, and compares in float32, each row with transformers' score for it alone.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import record
import torch
import transformers

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

from checkpoints import CONFIGS, is_decoder, token_rows, write_checkpoint
from record_golden import moved

from search.export.bert import build_bert
from search.export.checkpoint import Checkpoint
from search.export.decoder import build_decoder
from search.export.graph import GraphBuilder
from search.export.precision import Precision
from search.export.shapes import BertShape, DecoderShape
from search.inference.decoder import Decoder
from search.models import ModelFolder

TOKENS = [5, 11, 100]
FAMILIES = ("qwen3", "qwen2", "llama", "mistral", "qwen3-classifier", "bert", "roberta", "xlm-roberta")


def drawn(name: str, rng: np.random.Generator) -> dict[str, Any]:
    """A shape of a family that differs from the tests' in everything."""
    if not is_decoder(CONFIGS[name]):
        heads = int(rng.choice([2, 3, 6]))
        sizes = {"hidden_size": 24 * heads, "intermediate_size": int(rng.integers(50, 200)), "num_attention_heads": heads}
        return {**CONFIGS[name], **sizes, "num_hidden_layers": int(rng.integers(1, 5)), "vocab_size": int(rng.integers(300, 900))}
    kv_heads, ratio = int(rng.choice([1, 2, 3])), int(rng.choice([1, 2, 4]))
    config = {
        **CONFIGS[name],
        "hidden_size": 48 * int(rng.integers(2, 8)),  # which every number of heads divides
        "intermediate_size": int(rng.integers(100, 500)),
        "num_hidden_layers": int(rng.integers(2, 6)),  # in a single layer the last token sees all, mask or not
        "num_key_value_heads": kv_heads,
        "num_attention_heads": kv_heads * ratio,
        "head_dim": int(rng.choice([16, 32, 64, 128])),
        "vocab_size": int(rng.integers(300, 900)),
        "rope_theta": float(rng.choice([1e4, 1e5, 1e6])),
        "rms_norm_eps": float(rng.choice([1e-5, 1e-6])),
    }
    if "Classification" not in config["architectures"][0]:
        config["tie_word_embeddings"] = bool(rng.integers(2))
    if name == "mistral":
        config["sliding_window"] = int(rng.integers(5, 80)) if rng.integers(2) else None
    if name == "qwen2":  # whose head size is always width / heads
        config["hidden_size"] = config["num_attention_heads"] * config["head_dim"]
        del config["head_dim"]
    return config


def ours(source: Checkpoint, folder: Path, rows: list[list[int]], classes: Any) -> Any:
    """Scores of the exported graph, all rows at once."""
    path = folder / "model.onnx"
    with (folder / "model.onnx.data").open("wb") as data:
        graph = GraphBuilder(Precision(), data)
        if is_decoder(source.config):
            shape = DecoderShape.from_config(source.config)
            build_decoder(source, shape, source.config, classes, graph, max_tokens=1024, path=path)
        else:
            build_bert(source, BertShape.from_config(source.config), "classifier", graph, path)
    if is_decoder(source.config):
        return Decoder(ModelFolder("model", folder, path.name, {}, {}), activations="fp32", max_tokens=1024, device="cpu").scores(
            rows
        )
    import onnxruntime  # search has switched its telemetry off by now

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    length = max(map(len, rows))
    feed = {
        "input_ids": np.array([row + [9] * (length - len(row)) for row in rows]),
        "attention_mask": (np.arange(length) < np.array([[len(row)] for row in rows])).astype(np.int64),
        "token_type_ids": np.zeros((len(rows), length), np.int64),
    }
    return session.run(None, {entry.name: feed[entry.name] for entry in session.get_inputs()})[0]


def compare(config: dict[str, Any], seed: int) -> tuple[float, float, dict[str, float]]:
    """The largest difference between the two, the deviation of the scores, and by how much one moves without each part."""
    rng = np.random.default_rng(seed)
    longest = 400 if is_decoder(config) else 120
    rows = token_rows(config, tuple(int(length) for length in rng.integers(1, longest, rng.integers(1, 17))), seed)
    classifier = "Classification" in config["architectures"][0]
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        checkpoint = write_checkpoint(Path(folder) / "checkpoint", config, seed=seed, gain=0.5, shards=2)
        model = getattr(transformers, config["architectures"][0]).from_pretrained(checkpoint, dtype=torch.float32)
        outputs = [model(torch.tensor([row])).logits[0] for row in rows]
        expected = np.array([(output if classifier else output[-1, TOKENS]).numpy() for output in outputs])
        moves = moved(model, max(rows, key=len), None if classifier else TOKENS) if is_decoder(config) else {}
        found = ours(Checkpoint(checkpoint), Path(folder), rows, "score" if classifier else TOKENS)
    return float(np.abs(found - expected).max()), float(expected.std()), moves


def main() -> None:
    """Compare and record."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    figures: dict[str, Any] = {"versions": {"torch": torch.__version__, "transformers": transformers.__version__}, "models": count}
    for name in FAMILIES:
        seeds = range(1000, 1000 + count)
        found = [compare(drawn(name, np.random.default_rng(seed)), seed) for seed in seeds]
        differences, deviations, moves = zip(*found, strict=True)
        figures[name] = {"largest difference": max(differences), "median deviation of scores": float(np.median(deviations))}
        for part in moves[0]:
            figures[name][f"movement without {part}, least and median"] = [
                min(each[part] for each in moves),
                float(np.median([each[part] for each in moves])),
            ]
    record.write("parity", figures)


if __name__ == "__main__":
    main()
