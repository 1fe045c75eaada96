"""How good is a ranking? The field's measures by trec_eval, query by query."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
import pytrec_eval

from search.errors import InvalidQuery

Run = Mapping[str, Mapping[str, float]]  # query id -> document id -> score, higher is better
Qrels = Mapping[str, Mapping[str, int]]  # query id -> document id -> grade, above 0 is relevant
Measures = Mapping[str, Mapping[str, float]]  # query id -> measure -> value

MEASURES = ("nDCG@10", "MAP", "RR@10", "Recall@10", "Recall@100", "P@10")
_KINDS = {"nDCG": "ndcg_cut", "nDCG(exp)": "ndcg_cut", "MAP": "map", "RR": "recip_rank", "Recall": "recall", "P": "P"}
_NAME = re.compile(r"(nDCG|nDCG\(exp\)|MAP|RR|Recall|P)(?:@([1-9][0-9]{0,3}))?")
_WHOLE = 1000  # documents of a ranking, as trec_eval's runs usually hold
_HIGHEST_GRADE = 16  # trec_eval keeps a table of all grades up to the highest, which are 65,536 then


class Measure(NamedTuple):
    """A measure by name.

    `nDCG@k` has linear gain, the grade itself; `nDCG(exp)@k` exponential gain, 2^grade - 1. Both divide by log2(rank + 1) and by
    the best value that the judgements allow. `RR@k` is 0 where no relevant document stands among the first k. MAP looks at the
    first 1,000.
    """

    kind: str
    cutoff: int | None  # None of MAP

    @classmethod
    def of(cls, name: str) -> Self:
        """Read a name; InvalidQuery if there is no such measure."""
        match = _NAME.fullmatch(name)
        if match is None or (match[2] is None) != (match[1] == "MAP"):
            message = f"{name!r} is no measure; there are nDCG@k, nDCG(exp)@k, MAP, RR@k, Recall@k and P@k, for k up to 9,999"
            raise InvalidQuery(message)
        return cls(match[1], int(match[2]) if match[2] else None)

    @property
    def reach(self) -> int:
        """How many documents of a ranking it looks at."""
        return self.cutoff or _WHOLE


def ranked(documents: Sequence[str]) -> dict[str, float]:
    """A ranking as a run has it: falling scores, so that no tie can change its order."""
    return {document: float(-place) for place, document in enumerate(documents)}


def measure(run: Run, qrels: Qrels, names: Sequence[str] = MEASURES) -> dict[str, dict[str, float]]:
    """Measures of each judged query, as `trec_eval -c` gives them.

    Equal scores stand in falling order of document ids. A judged query that the run lacks counts 0, and so does one without a
    relevant document. Documents that nobody judged are not relevant.

    Raises:
        InvalidQuery: an unknown measure, or grades beyond 16 with exponential gain.
    """
    metrics = {name: Measure.of(name) for name in names}
    grades = {query: {document: max(grade, 0) for document, grade in judged.items()} for query, judged in qrels.items()}
    answers = {query: dict(run.get(query, {})) for query in qrels}
    scores = {name: _evaluated(metric, answers, grades) for name, metric in metrics.items()}
    return {query: {name: by_query.get(query, 0.0) for name, by_query in scores.items()} for query in qrels}


def mean(measures: Measures) -> dict[str, float]:
    """Average over the queries."""
    names = list(next(iter(measures.values()), ()))
    return {name: float(np.mean([values[name] for values in measures.values()])) for name in names}


def _evaluated(metric: Measure, answers: dict[str, dict[str, float]], grades: dict[str, dict[str, int]]) -> dict[str, float]:
    if metric.kind == "nDCG(exp)":
        if max((grade for judged in grades.values() for grade in judged.values()), default=0) > _HIGHEST_GRADE:
            name = f"nDCG(exp)@{metric.cutoff}"
            message = f"{name}: 2^grade - 1 of a grade above {_HIGHEST_GRADE} is beyond measure; take nDCG@{metric.cutoff}"
            raise InvalidQuery(message)
        grades = {query: {document: 2**grade - 1 for document, grade in judged.items()} for query, judged in grades.items()}
    elif metric.kind in {"RR", "MAP"}:  # trec_eval has no cutoff for them, so they get no more than the first
        answers = {query: _first(documents, metric.reach) for query, documents in answers.items()}
    family = _KINDS[metric.kind]
    cut = metric.cutoff is not None and metric.kind != "RR"
    evaluator = pytrec_eval.RelevanceEvaluator(grades, {f"{family}.{metric.cutoff}" if cut else family})
    key = f"{family}_{metric.cutoff}" if cut else family
    return {query: float(values[key]) for query, values in evaluator.evaluate(answers).items()}


def _first(documents: dict[str, float], count: int) -> dict[str, float]:
    """The best, in trec_eval's order."""
    best = sorted(documents, key=lambda document: (documents[document], document), reverse=True)[:count]
    return {document: documents[document] for document in best}
