"""What becomes of a checkpoint? The exported model, its recipe found on held-out queries, and the card that tells of both."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from search.errors import InvalidDataset
from search.evaluation.calibration import Reliability, fit_platt, reliability
from search.export.model_folder import export
from search.export.precision import Precision
from search.models.files import sha256
from search.reranking.cross_encoder import CrossEncoder
from search.reranking.recipe import Recipe
from training.card import FENCE, Figures, Source, card
from training.mixture import Example
from training.tuning import HeldOut, Scores, best_weight, means, pairs, per_query, score, weight_curve

_PACKAGES = ("two-stage-search", "torch", "sentence-transformers", "transformers")


@dataclass(frozen=True)
class Finish:
    """How a checkpoint is used and told of.

    Attributes:
        precision: of the model that is written.
        window: tokens it reads.
        depth: candidates that are reranked when the recipe is found.
        base: the checkpoint training began with.
        base_licence: its licence.
        splits: the judgements that were read, by data set.
        licences: of the data, by data set.
        command: what was typed.
    """

    precision: Precision
    window: int
    depth: int
    base: Path
    base_licence: str
    splits: Mapping[str, str]
    licences: Mapping[str, str]
    command: str


def finish(
    chosen: Finish, examples: Sequence[Example], held_out: Sequence[HeldOut], out: Path, *, taught: Collection[str] = ()
) -> str:
    """Write the folder `model` in `out`, its card last, and recipe and card beside the checkpoint.

    Args:
        chosen: how.
        examples: what the run learned from.
        held_out: what it did not.
        out: the run's folder.
        taught: data sets that earlier runs learned from.

    Returns:
        The card.

    Raises:
        ModelError: the checkpoint cannot be exported, or the export not be served.
    """
    folder = out / "model"
    held_out = [replace(query, candidates=query.candidates[: chosen.depth]) for query in held_out]
    shutil.rmtree(folder, ignore_errors=True)  # of a call that was stopped here
    export(str(out / "checkpoint"), folder, precision=chosen.precision, max_tokens=chosen.window, cache=out)
    scores = score(held_out, CrossEncoder(str(folder), device="cpu", cache=out))
    parts: dict[str, tuple[list[HeldOut], list[Scores]]] = {}
    for query, logits in zip(held_out, scores, strict=True):
        queries, rows = parts.setdefault(query.part, ([], []))
        queries.append(query)
        rows.append(logits)
    counts = Counter(example.dataset for example in examples)
    weight = best_weight(weight_curve(*parts["choose"]), chosen.splits.keys() - counts.keys() - set(taught))
    if weight == 0:
        print("on held-out queries the reranker helps at no share: its recipe says 0, which is retrieval order", flush=True)
    exported = Recipe.read(json.loads((folder / "recipe.json").read_text(encoding="utf-8")), "the exported recipe")
    recipe = exported.model_copy(update={"weight": weight, "weight_over_hybrid": weight, **_map(*parts["calibrate"])})
    prepared, fitted = (json.loads((out / name).read_text(encoding="utf-8")) for name in ("prepared.json", "fitted.json"))
    text = card(
        base=f"{_name(chosen.base)} ({chosen.base_licence}, sha256 {sha256(chosen.base / 'model.safetensors')})",
        sources=[Source(n, split, counts[n], chosen.licences.get(n, "unstated")) for n, split in chosen.splits.items()],
        commands=[*_commands(chosen.base), chosen.command],
        weights=fitted["weights"],
        checkpoint_sha256=sha256(out / "checkpoint" / "model.safetensors"),
        recipe=recipe.to_dict(),
        depth=chosen.depth,
        figures=Figures(*(means(per_query(*parts["check"], share)) for share in (0.0, 1.0, weight))),
        calibration=_checked(recipe, *parts["check"]),
        made=prepared | {name: version(name) for name in _PACKAGES},
        log=_course(out / "log.jsonl"),
    )
    for target in (out / "checkpoint", folder):
        (target / "recipe.json").write_text(json.dumps(recipe.to_dict(), indent=1) + "\n", encoding="utf-8")
        (target / "README.md").write_text(text, encoding="utf-8")
    return text


def _name(checkpoint: Path) -> str:
    """The name of a checkpoint's folder, or of the run that left it."""
    folder = checkpoint.resolve()
    return folder.parent.name if folder.name == "checkpoint" else folder.name


def _commands(base: Path) -> list[str]:
    """What was typed to make the base, if it is the checkpoint of an earlier run."""
    told = base / "README.md"
    if not (base / "recipe.json").is_file() or not told.is_file():
        return []
    return re.findall(rf"^{FENCE}\n(.*?)\n{FENCE}$", told.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def _map(held_out: Sequence[HeldOut], scores: Sequence[Scores]) -> dict[str, float]:
    """The recipe's map from score to probability; none where held-out queries give none."""
    try:
        scale, bias = fit_platt(*pairs(held_out, scores))
    except InvalidDataset as error:
        print(f"the model gets no map from its score to a probability: {error}", flush=True)
        return {}
    return {"scale": scale, "bias": bias}


def _checked(recipe: Recipe, held_out: Sequence[HeldOut], scores: Sequence[Scores]) -> Reliability | None:
    if not recipe.has_probability:
        return None
    logits, relevant = pairs(held_out, scores)
    return reliability(np.array([recipe.probability(float(logit)) for logit in logits]), relevant)


def _course(log: Path) -> list[dict[str, Any]]:
    """The measurements of the log, by step; where a stopped run repeated steps, the last counts."""
    measured: dict[int, dict[str, Any]] = {}
    with log.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:  # it was being written when the run was killed
                continue
            if "held_out_ndcg" in entry:
                measured[entry["step"]] = entry
    return [measured[step] for step in sorted(measured)]
