"""Training as it is run: every loss learns, a stopped run goes on as if it had not been, and what comes out can be served.

The trainer needs torch, which this project does not: .venv-train (see scripts/train_reranker.py) or TRAIN_PYTHON has it.
"""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from judged import write
from tiny import BUNDLED, SHAPE, VOCABULARY, tiny_weights

from search.export.model_folder import export
from search.export.precision import precision
from search.models.files import sha256
from search.reranking.cross_encoder import CrossEncoder

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("TRAIN_PYTHON") or ROOT / ".venv-train" / "bin" / "python")
LOSSES = ("bce", "mse", "ranknet", "margin-mse", "listnet", "plistmle", "lambda", "infonce")

pytestmark = [
    pytest.mark.skipif(not PYTHON.is_file(), reason="no environment to train in; scripts/train_reranker.py says how to make one"),
    pytest.mark.timeout(1200),  # for a machine that does four such things at once
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
    known = {
        "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("", "scripts", "tests/support")),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",  # several, of a process among others, would wait for each other
        **environment,
    }
    return subprocess.Popen(
        [PYTHON, *map(str, arguments)],
        env={**os.environ, **known},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def fits(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = training(ROOT / "tests" / "support" / "fits.py", base, tmp_path_factory.mktemp("fits"))
    said, _ = run.communicate(timeout=1000)
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
    assert fits["weights"]["rounded again"] == fits["weights"]["rounded"]
    assert fits["weights"]["seeded"] != fits["weights"]["bce"]


def test_frozen_layers_stay_as_they_are(fits: dict[str, Any]) -> None:
    assert fits["moved"] == ["classifier", "layer.1"]
    assert fits["all moved"]


def test_the_mean_of_states_is_the_same_whenever_a_run_was_stopped(fits: dict[str, Any]) -> None:
    assert fits["weights"]["stopped late"] == fits["weights"]["averaged"]


def test_examples_come_in_the_order_they_were_drawn(fits: dict[str, Any]) -> None:
    assert fits["order"] == [[0, 1, 2, 3], [4, 5]]


def test_half_precision_learns_as_well(fits: dict[str, Any]) -> None:
    assert fits["rounded"] == pytest.approx(fits["losses"]["bce"], abs=0.1)
    assert fits["rounded"] != fits["losses"]["bce"]


def test_a_diverging_run_says_so(fits: dict[str, Any]) -> None:
    assert "lower --learning-rate" in fits["diverged"]


def test_patience_ends_a_run_that_no_longer_gets_better(fits: dict[str, Any]) -> None:
    assert len(fits["patient"]) == 2


def test_batches_in_parts_of_like_length_score_as_whole_ones(fits: dict[str, Any]) -> None:
    assert fits["trimming changes"] < 1e-5


SIZES = (
    "--steps 6 --queries 4 --negatives 3 --evaluate-every 1 --held-out 5 --average 2 --max-tokens 64 --precision fp32 --warmup 0"
)


def arguments(folder: Path, base: Path, *more: str | Path) -> list[str | Path]:
    run: list[str | Path] = ["--base", base, "--out", folder / "run", "--data", folder / "toy", "test", "1"]
    return [ROOT / "scripts" / "train_reranker.py", *run, "--data-dir", folder / "data", *SIZES.split(), *more]


def dataset(folder: Path, name: str = "toy", said: str = "it is said", mark: str = "d") -> Path:
    things = ("cat", "ship", "bee", "comet", "violin", "bridge")
    words = [f"{colour}{thing}" for colour in ("red", "blue", "green", "black", "white") for thing in things]
    texts = {f"{mark}{i}": f"Of the {word} {said} that it was seen in {1900 + i}." for i, word in enumerate(words)}
    corpus = [{"_id": number, "title": "", "text": text} for number, text in texts.items()]
    queries = [{"_id": f"q{i}", "text": f"when was the {word} seen"} for i, word in enumerate(words)]
    return write(folder / name, corpus, queries, "".join(f"q{i}\t{mark}{i}\t1\n" for i in range(len(words))))


def done(*given: str | Path, **environment: str) -> str:
    run = training(*given, **environment)
    said, _ = run.communicate(timeout=500)
    assert run.returncode == 0, said[-3000:]
    return said


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
    said = done(*arguments(tmp_path, base, "--licence", "toy", "CC0 1.0"))
    assert not re.search("^step 1 of 6", said, re.MULTILINE)
    assert "step 6 of 6" in said
    assert sha256(tmp_path / "run" / "examples.jsonl") == examples
    folder = tmp_path / "run" / "model"
    recipe = json.loads((folder / "recipe.json").read_text())
    assert recipe["weights"] == "int8"
    card = (folder / "README.md").read_text()
    assert sha256(tmp_path / "run" / "checkpoint" / "model.safetensors") in card
    assert "| toy | test | 24 | CC0 1.0 |" in card
    assert "--steps 6" in card
    assert re.search(r"The checkpoint is the (state|mean) of .* of 6: sha256", card)
    course = card.split("In the course of training")[1]
    assert [int(step) for step in re.findall(r"^\| (\d+) \|", course, re.MULTILINE)] == list(range(1, 7))  # none twice
    reranker = CrossEncoder(str(folder), device="cpu", cache=tmp_path)
    assert reranker.recipe.weight == recipe.get("weight", 1.0)
    assert recipe["weight_over_hybrid"] == recipe.get("weight", 1.0)  # as it was found, over whatever finds candidates
    assert np.isfinite(reranker.score("when was the redcat seen", ["Of the redcat"]).scores).all()
    export(str(tmp_path / "run" / "checkpoint"), tmp_path / "twice", precision=precision("int8"), max_tokens=64, cache=tmp_path)
    assert sha256(tmp_path / "twice" / "model.onnx") == sha256(folder / "model.onnx")
    assert json.loads((tmp_path / "twice" / "recipe.json").read_text()) == recipe
    assert "is finished" in done(*arguments(tmp_path, base))
    (folder / "README.md").unlink()
    other = training(*arguments(tmp_path, base, "--seed", "1"))
    said, _ = other.communicate(timeout=500)
    assert other.returncode == 1
    assert "holds a run with another --seed" in said
    said = done(*arguments(tmp_path, base, "--window", "32", "--reranked", "10"))  # decides nothing about the weights
    assert "step" not in said.split("# Reranker")[0]
    assert json.loads((folder / "recipe.json").read_text())["max_tokens"] == 32
    assert "on its best 10" in said


def test_several_data_sets_a_share_of_nothing_and_a_teacher(base: Path, tmp_path: Path) -> None:
    dataset(tmp_path)
    dataset(tmp_path, "copy", mark="c")
    dataset(tmp_path, "other", said="nobody in this world has any doubt")
    more = [
        "--data",
        str(tmp_path / "copy"),
        "test",
        "1",
        "--data",
        str(tmp_path / "other"),
        "test",
        "0",
        "--teacher",
    ]
    said = done(*arguments(tmp_path, base, *more), SEARCH_RERANKER__MAX_TOKENS="64")
    assert "minilm-reranker labels 24 examples" in said
    examples = [json.loads(line) for line in (tmp_path / "run" / "examples.jsonl").read_text().splitlines()]
    assert {example["dataset"] for example in examples} == {"toy", "copy"}
    assert all(0 < label < 1 for example in examples for label in example["labels"])
    assert 15 <= kept_of(said) < 45  # those of "other", and of the copies what is not trained on under the other name
    assert "teacher minilm-reranker" in (tmp_path / "run" / "model" / "README.md").read_text()


def test_a_run_goes_on_from_another_s_checkpoint(base: Path, tmp_path: Path) -> None:
    dataset(tmp_path)
    dataset(tmp_path, "copy", mark="c")
    copy = ["--data", str(tmp_path / "copy"), "test"]
    first = done(*arguments(tmp_path, base, *copy, "0", "--steps", "2"))
    second = ["--base", str(tmp_path / "run" / "checkpoint"), "--out", str(tmp_path / "second"), *copy, "1", "--seed", "1"]
    said = done(*arguments(tmp_path, base, *second, "--after", str(tmp_path / "run")))
    assert kept_of(said) < kept_of(first)  # what the first run taught is still known
    card = (tmp_path / "second" / "model" / "README.md").read_text()
    assert "trained from run (unstated, sha256" in card
    assert len(re.findall(r"^python .*train_reranker.py", card, re.MULTILINE)) == 2
    one, two = (sha256(tmp_path / run / "checkpoint" / "model.safetensors") for run in ("run", "second"))
    assert one != two
    lacking = training(*arguments(tmp_path, base, "--out", tmp_path / "third", "--after", tmp_path / "second"))
    assert "copy was taught earlier" in lacking.communicate(timeout=500)[0]
    nowhere = training(*arguments(tmp_path, base, "--out", tmp_path / "third", "--after", tmp_path / "nowhere"))
    assert "there is no run in this folder" in nowhere.communicate(timeout=500)[0]


def kept_of(said: str) -> int:
    return int(re.findall(r"(\d+) of \d+ held-out queries", said)[0])


REFUSED = {
    "no such base": (["--base", "nowhere"], "has no model.safetensors"),
    "two of one name": (["--data", "TOY", "test", "2"], "two data sets are called toy"),
    "share in words": (["--data", "OTHER", "test", "half"], "the share of other is 'half'"),
    "too deep": (["--reranked", "40"], "candidates"),
    "too wide": (["--window", "128"], "--max-tokens 64"),
    "nothing taught": (["--teacher", "--loss", "infonce"], "reads no labels"),
    "no negatives": (["--negatives", "0"], "--negatives is 0; give at least 1"),
    "licence of nothing": (["--licence", "toys", "MIT"], "no data set is called so; there are toy"),
    "all held out": (["--held-out", "30"], "hold out fewer"),
    "no teacher": (["--teacher"], "the settings name no reranker"),
}


@pytest.fixture(scope="module")
def refused(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What is said to each of the above, by one process: loading torch takes longest."""
    folder = tmp_path_factory.mktemp("refused")
    places = {"TOY": str(dataset(folder)), "OTHER": str(dataset(folder, "other"))}
    commands = {
        name: [str(word) for word in arguments(folder, base, *(places.get(word, word) for word in given))[1:]]
        for name, (given, _) in REFUSED.items()
    }
    script = f"""
import json, sys
sys.path.insert(0, {str(ROOT / "scripts")!r})
import train_reranker
said = {{}}
for name, command in json.loads({json.dumps(json.dumps(commands))}).items():
    sys.argv[1:] = command
    try:
        train_reranker.main()
    except SystemExit as refusal:
        said[name] = str(refusal)
print("RESULT " + json.dumps(said))
"""
    said = done("-c", script, SEARCH_RERANKER__KIND="none")
    told: dict[str, str] = json.loads(said.split("RESULT ")[1])
    return told


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused_before_it_takes_time(refused: dict[str, str], name: str) -> None:
    assert REFUSED[name][1] in refused[name]
