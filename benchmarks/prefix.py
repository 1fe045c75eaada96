"""Does it pay to read what all prompts of a query begin with only once?

    .venv/bin/python benchmarks/prefix.py

A random model of Qwen3-Reranker-0.6B's width and a quarter of its layers, in int8 on the CPU, scores 20 prompts whose own part has
about 170 tokens, after common parts as long as those of real prompts. Both ways take turns; figures are medians.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import record

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from checkpoints import CONFIGS, write_checkpoint

from search.export.checkpoint import Checkpoint
from search.export.decoder import build_decoder
from search.export.graph import GraphBuilder
from search.export.precision import precision
from search.export.shapes import DecoderShape
from search.inference.decoder import Decoder
from search.models import ModelFolder

PREFIXES = {"zerank: its query": 20, "Qwen3-Reranker: system text, instruction, query": 90, "a few examples": 400}
PROMPTS, OWN, TURNS = 20, 170, 7
SHAPE = {
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 7,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 100_000,
}


def main() -> None:
    """Measure and record."""
    figures: dict[str, Any] = {}
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        source = Checkpoint(write_checkpoint(Path(folder) / "checkpoint", {**CONFIGS["qwen3"], **SHAPE}))
        shape, chosen = DecoderShape.from_config(source.config), precision("int8")
        decoders = {}
        for way, continues in (("once", True), ("always", False)):
            out = Path(folder) / way
            out.mkdir()
            with (out / "model.onnx.data").open("wb") as data:
                options: dict[str, Any] = {"max_tokens": 1024, "path": out / "model.onnx", "continues": continues}
                build_decoder(source, shape, source.config, [5], GraphBuilder(chosen, data), **options)
            model = ModelFolder(way, out, "model.onnx", {}, {})
            decoders[way] = Decoder(model, activations="fp32", max_tokens=1024, device="cpu")
        for name, length in PREFIXES.items():
            common = rng.integers(1000, 100_000, length).tolist()
            rows = [common + rng.integers(1000, 100_000, own).tolist() for own in rng.integers(OWN - 60, OWN + 60, PROMPTS)]
            taken: dict[str, list[float]] = {"once": [], "always": []}
            for _ in range(TURNS):
                for way, decoder in decoders.items():
                    started = time.perf_counter()
                    decoder.scores(rows)
                    taken[way].append(time.perf_counter() - started)
            medians = {way: statistics.median(seconds[1:]) for way, seconds in taken.items()}
            figures[name] = {
                "common tokens": length,
                "share of all tokens": length * PROMPTS / sum(map(len, rows)),
                "pairs/s, read once": PROMPTS / medians["once"],
                "pairs/s, read always": PROMPTS / medians["always"],
                "faster by": medians["always"] / medians["once"],
            }
    record.write("prefix", figures)


if __name__ == "__main__":
    main()
