"""Training as it is run: every loss learns, a stopped run goes on as if it had not been, and what comes out can be served.

The trainer needs torch, which this project does not: .venv-train (see scripts/train_reranker.py) or TRAIN_PYTHON has it.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy
from test_evaluation import write
from tiny import BUNDLED, SHAPE, VOCABULARY, tiny_weights

from search.export.model_folder import export
from search.export.precision import precision
from search.models import sha256
from search.reranking.cross_encoder import CrossEncoder

ROOT = Path(__file__).parents[1]
PYTHON = Path(os.environ.get("TRAIN_PYTHON") or ROOT / ".venv-train" / "bin" / "python")
LOSSES = ("bce", "mse", "ranknet", "margin-mse", "listnet", "plistmle", "lambda", "infonce")

pytestmark = [
    pytest.mark.skipif(not PYTHON.is_file(), reason="no environment to train in; scripts/train_reranker.py says how to make one"),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder of two layers with the bundled vocabulary, as it is before any fine-tuning."""
    folder = tmp_path_factory.mktemp("base")
    weights = {name: values * 0.3 for name, values in tiny_weights(3).items() if not name.startswith("classifier")}
    safetensors.numpy.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": VOCABULARY,
        "hidden_size": SHAPE.width,
        "intermediate_size": 4 * SHAPE.width,
        "num_hidden_layers": SHAPE.layers,
        "num_attention_heads": SHAPE.heads,
        "max_position_embeddings": 512,
        "layer_norm_eps": SHAPE.epsilon,
        "hidden_act": "gelu",
        "pad_token_id": 0,
    }
    (folder / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "special_tokens_map.json", "tokenizer_config.json"):
        (folder / name).write_bytes((BUNDLED / "all-MiniLM-L6-v2" / name).read_bytes())
    return folder


def training(*arguments: str | Path, **environment: str) -> "subprocess.Popen[str]":
    known = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "HF_HUB_OFFLINE": "1", **environment}
    return subprocess.Popen(
        [PYTHON, *map(str, arguments)],
        env={**os.environ, **known},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def fits(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = training(ROOT / "tests" / "fits.py", base, tmp_path_factory.mktemp("fits"))
    said, _ = run.communicate(timeout=280)
    results = [line for line in said.splitlines() if line.startswith("RESULT ")]
    assert results, said[-3000:]
    told: dict[str, Any] = json.loads(results[0].removeprefix("RESULT "))
    return told


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_learns(fits: dict[str, Any], loss: str) -> None:
    values = fits["losses"][loss]
    assert len(values) == 5
    assert values[-1] < 0.9 * values[0]


def test_a_stopped_run_goes_on_to_the_same_weights(fits: dict[str, Any]) -> None:
    assert fits["stops"] == 3
    assert fits["weights"]["stopped"] == fits["weights"]["bce"]
    assert fits["stopped"][-1] == pytest.approx(fits["losses"]["bce"][-1])


def test_a_seed_gives_the_same_weights_and_another_does_not(fits: dict[str, Any]) -> None:
    assert fits["weights"]["again"] == fits["weights"]["bce"]
    assert fits["weights"]["seeded"] != fits["weights"]["bce"]


def test_frozen_layers_stay_as_they_are(fits: dict[str, Any]) -> None:
    assert fits["moved"] == ["classifier", "layer.1"]
    assert fits["all moved"]


def test_patience_ends_a_run_that_no_longer_gets_better(fits: dict[str, Any]) -> None:
    assert len(fits["patient"]) == 2


def test_batches_in_parts_of_like_length_score_as_whole_ones(fits: dict[str, Any]) -> None:
    assert fits["trimming changes"] < 1e-5


SIZES = "--steps 6 --queries 4 --negatives 3 --evaluate-every 1 --held-out 5 --average 2 --max-tokens 64 --precision fp32"


def arguments(folder: Path, base: Path, *more: str) -> list[str | Path]:
    run: list[str | Path] = ["--base", base, "--out", folder / "run", "--data", folder / "toy", "test", "1"]
    return [ROOT / "scripts" / "train_reranker.py", *run, "--data-dir", folder / "data", *SIZES.split(), *more]


def dataset(folder: Path) -> Path:
    things = ("cat", "ship", "bee", "comet", "violin", "bridge")
    words = [f"{colour}{thing}" for colour in ("red", "blue", "green", "black", "white") for thing in things]
    texts = {f"d{i}": f"Of the {word} it is said that it was seen in {1900 + i}." for i, word in enumerate(words)}
    corpus = [{"_id": name, "title": "", "text": text} for name, text in texts.items()]
    queries = [{"_id": f"q{i}", "text": f"when was the {word} seen"} for i, word in enumerate(words)]
    return write(folder / "toy", corpus, queries, "".join(f"q{i}\td{i}\t1\n" for i in range(len(words))))


def test_a_killed_run_goes_on_and_its_model_is_served(base: Path, tmp_path: Path) -> None:
    dataset(tmp_path)
    said = ""
    with training(*arguments(tmp_path, base)) as killed:
        assert killed.stdout
        for line in killed.stdout:
            said += line
            if line.startswith("step 3 of 6") and "loss" not in line:
                killed.kill()
    assert (tmp_path / "run" / "examples.jsonl").is_file(), said[-3000:]
    examples = sha256(tmp_path / "run" / "examples.jsonl")
    run = training(*arguments(tmp_path, base, "--licence", "toy", "CC0 1.0"))
    said, _ = run.communicate(timeout=200)
    assert run.returncode == 0, said[-3000:]
    assert "step 1 of 6" not in said
    assert "step 6 of 6" in said
    assert sha256(tmp_path / "run" / "examples.jsonl") == examples
    folder = tmp_path / "run" / "model"
    recipe = json.loads((folder / "recipe.json").read_text())
    assert recipe["weights"] == "int8"
    assert recipe["scale"] > 0
    card = (folder / "README.md").read_text()
    assert sha256(tmp_path / "run" / "checkpoint" / "model.safetensors") in card
    assert "| toy | test | 24 | CC0 1.0 |" in card
    assert "--steps 6" in card
    reranker = CrossEncoder(str(folder), device="cpu", cache=tmp_path)
    assert reranker.recipe.probability(float(reranker.score("when was the redcat seen", ["Of the redcat"]).scores[0])) is not None
    export(str(tmp_path / "run" / "checkpoint"), tmp_path / "twice", precision=precision("int8"), max_tokens=64, cache=tmp_path)
    assert sha256(tmp_path / "twice" / "model.onnx") == sha256(folder / "model.onnx")
    again = training(*arguments(tmp_path, base))
    assert "is finished" in again.communicate(timeout=100)[0]
    (folder / "README.md").unlink()
    other = training(*arguments(tmp_path, base, "--seed", "1"))
    said, _ = other.communicate(timeout=100)
    assert other.returncode == 1
    assert "other arguments" in said
