"""Trains tiny models in every way and prints what came of it: run by an interpreter that has torch, for tests that have not.

python tests/support/fits.py CHECKPOINT FOLDER
"""

import hashlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

from sentence_transformers.cross_encoder import CrossEncoder
from training.fitting import LOSSES, Fitting
from training.mixture import Example
from training.trainer import _Trimmed, fit, in_order
from training.tuning import HeldOut

from search.documents import Candidate
from search.errors import InferenceFailed

WORDS = ["cat", "ship", "volcano", "violin", "bee", "glacier", "bridge", "comet"]
QUERIES = {f"q{i}": f"where is the {word}" for i, word in enumerate(WORDS)}
GOOD, BAD = ("here stands", "sun moon and stars"), ("nothing of", "left right or behind")
PASSAGES = {f"d{i}": f"{(GOOD, BAD)[i % 2][0]} {word} {(GOOD, BAD)[i % 2][1]}" for i, word in enumerate(WORDS)}
TEXTS = {"toy": (QUERIES, PASSAGES)}
COUNT = len(WORDS)
EXAMPLES = [  # a passage of an even number is relevant, whatever is asked: a tiny model learns that in a few steps
    Example("toy", f"q{i % COUNT}", tuple(f"d{(2 * i + step) % COUNT}" for step in (0, 1, 3)), (1.0, 0.0, 0.0)) for i in range(80)
]


def held_out() -> list[HeldOut]:
    found = [
        Candidate(d, d, text, "", {}, 0, len(text), 1 + i, 1 - i / 10, 1, 1, 0.0) for i, (d, text) in enumerate(PASSAGES.items())
    ]
    return [HeldOut("toy", "choose", text, tuple(found), {"d0": 1, "d2": 1}) for text in list(QUERIES.values())[:3]]


def losses_of(folder: Path) -> list[float]:
    return [entry["loss"] for line in (folder / "log.jsonl").read_text().splitlines() if "loss" in (entry := json.loads(line))]


def weights_of(folder: Path) -> str:
    return hashlib.sha256((folder / "checkpoint" / "model.safetensors").read_bytes()).hexdigest()


def main(base: str, folder: Path) -> dict[str, Any]:
    plan = Fitting(base, queries=4, steps=20, learning_rate=3e-3, warmup=0.0, max_tokens=32, bf16=False, evaluate_every=4)

    def trained(name: str, plan: Fitting, **limits: Any) -> bool:
        (folder / name).mkdir(parents=True, exist_ok=True)
        return fit(plan, EXAMPLES, TEXTS, held_out(), folder / name, device="cpu", **limits)

    told: dict[str, Any] = {"losses": {}}
    for loss in LOSSES:
        trained(loss, replace(plan, loss=loss))
        told["losses"][loss] = losses_of(folder / loss)
    trained("again", replace(plan, loss="bce"))
    told["order"] = list(in_order(range(6), batch_size=4, drop_last=False))
    stops = 0
    while not trained("stopped", replace(plan, loss="bce"), minutes=0.0 if stops < 3 else None):
        stops += 1
    told |= {"stops": stops, "stopped": losses_of(folder / "stopped")}
    told["weights"] = {name: weights_of(folder / name) for name in ("bce", "again", "stopped")}
    trained("seeded", replace(plan, seed=1))
    told["weights"]["seeded"] = weights_of(folder / "seeded")
    trained("averaged", replace(plan, learning_rate=1e-3), average=2)
    for _ in range(19):  # a step a call: no state but every fourth is one that an unstopped run has, too
        trained("stopped late", replace(plan, learning_rate=1e-3), average=2, minutes=0.0)
    trained("stopped late", replace(plan, learning_rate=1e-3), average=2)
    told["weights"] |= {name: weights_of(folder / name) for name in ("averaged", "stopped late")}
    trained("rounded", replace(plan, bf16=True))
    told["rounded"] = losses_of(folder / "rounded")
    trained("rounded again", replace(plan, bf16=True))
    told["weights"] |= {name: weights_of(folder / name) for name in ("rounded", "rounded again")}
    try:
        trained("diverged", replace(plan, loss="mse", learning_rate=1e30))
    except InferenceFailed as error:
        told["diverged"] = str(error)
    trained("frozen", replace(plan, freeze=1))
    trained("patient", replace(plan, patience=1, learning_rate=0.0))
    told["patient"] = losses_of(folder / "patient")
    frozen, free = (
        CrossEncoder(str(folder / name / "checkpoint"), device="cpu")[0].model.state_dict() for name in ("frozen", "bce")
    )
    start = CrossEncoder(base, num_labels=1, device="cpu")[0].model.state_dict()
    moved = {name for name in start if not (frozen[name] == start[name]).all()}
    told["moved"] = sorted({part for name in moved for part in ("embeddings", "layer.0", "layer.1", "classifier") if part in name})
    told["all moved"] = any("embeddings" in name and not (free[name] == start[name]).all() for name in start)
    whole = CrossEncoder(str(folder / "bce" / "checkpoint"), device="cpu")
    trimmed = _Trimmed(str(folder / "bce" / "checkpoint"), device="cpu")
    pairs = [(query, passage) for query in QUERIES.values() for passage in PASSAGES.values()]
    features = whole.preprocess(pairs)
    difference = (whole(dict(features))["scores"] - trimmed(dict(features))["scores"]).abs().max()
    told["trimming changes"] = float(difference)
    return told


if __name__ == "__main__":
    print("RESULT " + json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
