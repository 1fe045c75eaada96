"""What does an export of zerank-1-small's true shape cost, and does it answer on this CPU?

    .venv/bin/python benchmarks/export.py [WEIGHTS …]

Writes a random bf16 checkpoint of 1.7 billion parameters in shards (3.4 GB) into a temporary folder, exports it by the command, and
loads the integer models. Random weights measure time and memory honestly, and quality not at all.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ml_dtypes
import record
import safetensors.numpy

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from checkpoints import tensors, tokenizer

from search.reranking.recipe import find

CONFIG = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "vocab_size": 151936,
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "hidden_act": "silu",
    "max_position_embeddings": 40960,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1e6,
    "tie_word_embeddings": True,
}
SHARD = 1_000_000_000
ASK = """
import json, sys, time
from search.reranking.causal import CausalReranker
from search.reranking.language_model import LanguageModel
started = time.perf_counter()
reranker = CausalReranker(LanguageModel(sys.argv[1], device="cpu"))
loaded = time.perf_counter()
texts = ["the cat sleeps on the mat " * 12] * 8
scoring = reranker.score("when does the cat sleep?", texts)
seconds = time.perf_counter() - loaded
print(json.dumps({"load_and_self_test_s": loaded - started, "pairs": 8, "tokens": int(scoring.tokens_seen[0]),
    "pairs_per_s": 8 / seconds}))
"""


def write_checkpoint(folder: Path) -> None:
    """Random weights in shards of about a gigabyte, one in memory at a time."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    tokenizer().save(str(folder / "tokenizer.json"))
    weight_map: dict[str, str] = {}
    shard: dict[str, Any] = {}

    def flush() -> None:
        name = f"model-{len(set(weight_map.values())) + 1:05}.safetensors"
        safetensors.numpy.save_file(shard, folder / name)
        weight_map.update(dict.fromkeys(shard, name))
        shard.clear()

    for name, tensor in tensors(CONFIG):
        shard[name] = tensor.astype(ml_dtypes.bfloat16)
        if sum(part.nbytes for part in shard.values()) > SHARD:
            flush()
    flush()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def watched(command: list[str]) -> tuple[str, float, float]:
    """Standard output, seconds, and the largest resident memory in GB of a command."""
    started = time.perf_counter()
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            peak = max([peak, *(int(kilobytes) for kilobytes in re.findall(r"VmHWM:\s+(\d+)", status))])
            time.sleep(0.05)
        output = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(process.returncode)
    return output, time.perf_counter() - started, peak * 1024 / 1e9


def main() -> None:
    """Export, load and record."""
    figures: dict[str, Any] = {}
    search = str(Path(sys.executable).with_name("search"))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "zerank-shape"
        write_checkpoint(source)
        figures["checkpoint, GB"] = sum(file.stat().st_size for file in source.glob("*.safetensors")) / 1e9
        recipe = Path(folder) / "recipe.json"
        told = find("zerank-1-small").to_dict()
        del told["head"]["ids"]  # the small tokenizer's are others
        recipe.write_text(json.dumps(told))
        for weights in sys.argv[1:] or ["fp16", "int8", "int4"]:
            out = Path(folder) / weights
            command = [search, "export", str(source), str(out), "--weights", weights, "--recipe", str(recipe), "--json"]
            report, seconds, peak = watched(command)
            size = json.loads(report)["megabytes"] / 1000
            figures[weights] = {"size, GB": size, "seconds": seconds, "peak resident memory, GB": peak}
            if weights.startswith("int"):
                answer, _, peak = watched([sys.executable, "-c", ASK, str(out)])
                figures[weights]["on this CPU"] = {**json.loads(answer), "peak resident memory, GB": peak}
    record.write("export", figures)


if __name__ == "__main__":
    main()
