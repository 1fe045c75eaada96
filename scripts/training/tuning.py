"""What belongs into the recipe? The share in the mix and the map to a probability, found on queries that were held out."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.documents import Candidate
from search.evaluation.measures import measure, ranked
from search.query.ranking import best_first, mixed
from search.reranking.contract import Reranker

WEIGHTS = tuple(round(0.05 * step, 2) for step in range(21))
_NOISE = 0.005  # nDCG@10 that a data set may lose where the mean gains
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class HeldOut:
    """A query that the model is not trained on, with what retrieval found for it.

    Attributes:
        dataset: the name of the data set.
        part: what it is held out for.
        query: its text.
        candidates: as retrieval has them, best first.
        grades: of the judged documents, found or not.
    """

    dataset: str
    part: str
    query: str
    candidates: tuple[Candidate, ...]
    grades: Mapping[str, int]

    @property
    def relevant(self) -> NDArray[np.bool_]:
        """Which candidates are relevant."""
        return np.array([self.grades.get(candidate.document_id, 0) > 0 for candidate in self.candidates], bool)


def write(held_out: Iterable[HeldOut], file: Path) -> None:
    """One JSON line a query; the file is there whole or not at all."""
    unfinished = file.with_suffix(".unfinished")
    with unfinished.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(asdict(query), ensure_ascii=False) + "\n" for query in held_out)
    unfinished.replace(file)


def read(file: Path) -> list[HeldOut]:
    """What `write` wrote."""
    with file.open(encoding="utf-8") as lines:  # not splitlines(): it takes more for the end of a line than JSON does
        rows = [json.loads(line) for line in lines]
    return [HeldOut(**row | {"candidates": tuple(Candidate(**candidate) for candidate in row["candidates"])}) for row in rows]


def score(held_out: Sequence[HeldOut], reranker: Reranker) -> list[Scores]:
    """The reranker's raw scores of every query's candidates."""
    return [reranker.score(q.query, [c.passage for c in q.candidates]).scores.astype(np.float64) for q in held_out]


def pairs(held_out: Sequence[HeldOut], scores: Sequence[Scores]) -> tuple[Scores, NDArray[np.bool_]]:
    """All candidates of all queries in one row: their scores, and whether they are relevant."""
    return np.concatenate(scores), np.concatenate([query.relevant for query in held_out])


def per_query(held_out: Sequence[HeldOut], scores: Sequence[Scores], weight: float, depth: int | None = None) -> dict[str, Scores]:
    """nDCG@10 of every query, by data set.

    Args:
        held_out: the queries.
        scores: the reranker's, of every query's candidates.
        weight: the reranker's share; 0 is retrieval alone.
        depth: how many candidates are reranked, the others following in retrieval order; None for all.
    """
    run, qrels = {}, {}
    for number, (query, logits) in enumerate(zip(held_out, scores, strict=True)):
        retrieval = np.array([candidate.first_stage_score for candidate in query.candidates])
        order = best_first(mixed(logits[:depth], retrieval[:depth], weight)) if len(logits) else []
        order += range(len(order), len(logits))
        run[str(number)] = ranked([query.candidates[place].document_id for place in order])
        qrels[str(number)] = query.grades
    measures = measure(run, qrels)
    by_dataset: dict[str, list[float]] = {}
    for number, query in enumerate(held_out):
        by_dataset.setdefault(query.dataset, []).append(measures[str(number)]["nDCG@10"])
    return {name: np.array(values) for name, values in by_dataset.items()}


def means(by_dataset: Mapping[str, Scores]) -> dict[str, float]:
    """The mean over the queries of each data set."""
    return {name: float(values.mean()) for name, values in by_dataset.items()}


def overall(by_dataset: Mapping[str, Scores]) -> float:
    """The mean over the data sets, each counting the same."""
    return float(np.mean(list(means(by_dataset).values())))


def weight_curve(held_out: Sequence[HeldOut], scores: Sequence[Scores]) -> dict[float, dict[str, Scores]]:
    """nDCG@10 of every query, by share of the reranker and data set."""
    return {weight: per_query(held_out, scores, weight) for weight in WEIGHTS}


def best_weight(curve: Mapping[float, Mapping[str, Scores]], unseen: Collection[str] = ()) -> float:
    """The share that a recipe states: the best among those that leave no data set below retrieval alone.

    The mean over the data sets that were held out whole counts as much as that over all others, for a user's data is more like the
    former. A data set counts as left below if it loses more than .005 and more than two standard errors of its mean difference:
    of ten data sets that gain nothing, one standard error would stop most shares by chance.

    Args:
        curve: as `weight_curve` gives it.
        unseen: the data sets of which nothing was taught.
    """

    def loses(before: Scores, after: Scores) -> bool:
        differences = after - before
        return bool(-differences.mean() > max(_NOISE, 2 * differences.std() / np.sqrt(len(differences))))

    def worth(values: Mapping[str, Scores]) -> float:
        kinds = [{n: v for n, v in values.items() if (n in unseen) is kind} for kind in (False, True)]
        return float(np.mean([overall(kind) for kind in kinds if kind]))

    retrieval = curve[0.0]
    safe = [weight for weight, values in curve.items() if not any(loses(retrieval[name], values[name]) for name in values)]
    return max(safe, key=lambda weight: (worth(curve[weight]), -weight))


def best_mean(curve: Mapping[float, Mapping[str, Scores]]) -> float:
    """The share with the best mean over the data sets, whichever of them loses by it.

    States of a model are compared by this: of the few queries that this takes, those of some data set always lose.
    """
    return max(curve, key=lambda weight: (overall(curve[weight]), -weight))
