"""From a checkpoint to a served language model, by commands and settings alone."""

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from commands import COMMAND, as_json, error, search, wrong
from languages import GOLDEN, checkpoint, exported, recipe_file

from search.cli.app import main
from search.reranking.recipe import names

PAIRS = GOLDEN["texts"]
TRUE_SCORES: list[float] = GOLDEN["models"]["qwen3"]["pairs"]["zerank"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    recipe_file(tmp_path, "zerank-1-small", max_tokens=512)
    return checkpoint(tmp_path / "checkpoint", "qwen3", shards=2)


def causal(folder: Path, **more: Any) -> dict[str, Any]:
    return {"SEARCH_RERANKER__KIND": "causal", "SEARCH_RERANKER__MODEL": str(folder), "SEARCH_DEVICE": "cpu", **more}


def test_from_a_checkpoint_to_answers(source: Path, tmp_path: Path) -> None:
    recipe, out = tmp_path / "zerank-1-small-tiny.json", tmp_path / "model"
    golden = tmp_path / "golden.jsonl"
    lines = [
        {"query": query, "document": document, "score": score, "source": "transformers 5"}
        for (query, document), score in zip(PAIRS, TRUE_SCORES, strict=True)
    ]
    golden.write_text("\n".join(map(json.dumps, lines)))
    report = as_json("export", source, out, "--recipe", recipe, "--golden", golden)
    assert report | {"seconds": 0, "megabytes": 0} == {
        "folder": str(out),
        "architecture": "Qwen3ForCausalLM",
        "weights": "fp32",
        "activations": "fp32",
        "devices": ["cpu"],
        "recipe": str(recipe),
        "max_tokens": 512,
        "golden": 4,
        "megabytes": 0,
        "seconds": 0,
        "note": "Stated as Apache-2.0: check the model card before you use it.",
    }
    query, document = PAIRS[0]
    ranked = as_json("rerank", query, stdin=f"dogs\n{document}\n", **causal(out))
    assert (ranked["reranker"], ranked["device"], ranked["verified"]) == ("model", "cpu", "transformers 5")
    found = next(row for row in ranked["results"] if row["text"] == document)
    assert found["score"] == pytest.approx(TRUE_SCORES[0], abs=2e-4)
    assert 0 < found["probability"] < 0.5
    (tmp_path / "notes.jsonl").write_text(json.dumps({"id": "cat", "text": document}))
    settings = causal(out, SEARCH_DATA_DIR=str(tmp_path / "data"))
    search("ingest", tmp_path / "notes.jsonl", **settings)
    answer = as_json("query", query, **settings)
    assert answer["rerank_status"] == "full"
    assert answer["hits"][0]["rerank_score"] == pytest.approx(TRUE_SCORES[0], abs=2e-4)
    assert answer["hits"][0]["rerank_probability"] == pytest.approx(found["probability"])
    assert "(probability 0.0" in search("query", query, **settings).stdout
    assert as_json("query", query, "--min-score", 0.5, **settings)["hits"] == []
    assert "between 0 and 1" in wrong("query", query, "--min-score", 5, **settings)
    doctor = search("doctor", **settings).stdout
    assert "model, weight 1, 512 tokens, on cpu, verified by transformers 5" in doctor


def test_what_an_export_says_at_a_terminal(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    told = search(
        "export", source, out, "--recipe", tmp_path / "zerank-1-small-tiny.json", "--weights", "int4", "--max-tokens", 300
    )
    assert f"{out}: Qwen3ForCausalLM in int4, 1 MB" in told.stdout
    assert "prompts of up to 300 tokens" in told.stdout
    assert "unverified: no golden scores came with it" in told.stdout
    assert "runs on cpu; for cuda, --weights fp16 or bf16, or --activations" in told.stdout
    assert "note: Stated as Apache-2.0" in told.stdout
    assert "unverified: its recipe has no golden scores of others" in search("doctor", **causal(out)).stdout
    assert "exists already" in error("export", source, out)
    assert "say with --recipe" in error("export", source, tmp_path / "other")
    assert "weights int5 are not known" in wrong("export", source, tmp_path / "other", "--weights", "int5")
    assert "which has no revision abc" in error("export", source, tmp_path / "other", "--revision", "abc")


def test_the_help_names_every_recipe() -> None:
    told = " ".join(search("export", "--help", COLUMNS="200").stdout.replace("│", " ").split())
    assert ", ".join(names()) in told


def test_a_model_that_fails_its_self_test_is_not_served(tmp_path: Path) -> None:
    golden = tmp_path / "golden.jsonl"
    golden.write_text(json.dumps({"query": "a", "document": "b", "score": 100, "source": "nobody"}))
    settings = causal(exported(tmp_path, "qwen3", "zerank-2", golden=golden))
    assert "whose score is 100.000 by nobody" in error("rerank", "cat", stdin="dog\n", **settings)
    assert "whose score is 100.000 by nobody" in search("doctor", status=1, **settings).stdout


@pytest.mark.parametrize("library", ["onnx", "safetensors", "ml_dtypes"])
def test_a_missing_extra_is_named(library: str, tmp_path: Path) -> None:
    script = f"import sys; sys.modules[{library!r}] = None; from search.cli.app import main; main()"
    command = [sys.executable, "-c", script, "export", str(tmp_path), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"search: {library} is not installed; install this package with its extra export")


def test_memory_that_runs_out_is_an_error_and_the_model_goes_on(tmp_path: Path) -> None:
    """The real thing: the process may have no more memory than the model needs for small batches."""
    folder = exported(tmp_path, "llama", "yes-no", max_tokens=1000)
    script = f"""
import resource
from search.errors import OutOfMemory
from search.inference.decoder import Decoder
from search.models import locate
model = Decoder(locate({str(folder)!r}), activations="fp32", max_tokens=1000, device="cpu", threads=1, batch_tokens=4_000_000)
before = model.scores([[9] * 10])
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 300_000_000, resource.RLIM_INFINITY))
try:
    model.scores([[n % 500 + 8] * 1000 for n in range(4000)])
except OutOfMemory as error:
    assert "set its batch_tokens lower" in str(error), error
    assert (model.scores([[9] * 10]) == before).all()
    print("went on")
"""
    if not Path("/proc/self/statm").is_file():
        pytest.skip("only Linux tells how much memory a process has")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "went on\n", done.stderr[-2000:]


def test_what_writes_nothing_says_nothing_of_it_when_it_is_interrupted(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Interrupted()))
    monkeypatch.setattr(sys, "argv", ["search", "rerank", "ingest"])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with pytest.raises(SystemExit, match="130"):
        main()
    assert capfd.readouterr().err == "search: interrupted\n"


def test_what_is_interrupted_says_what_is_kept(tmp_path: Path) -> None:
    command = [str(COMMAND), "ingest", "-", "--data-dir", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as ingesting:
        while not (tmp_path / "owner.json").exists():
            assert ingesting.poll() is None
            time.sleep(0.02)
        ingesting.send_signal(signal.SIGINT)
        said = ingesting.communicate()[1]
    assert ingesting.returncode == 130
    assert said.endswith("search: interrupted; what was written stays, and the same command goes on from there\n")
