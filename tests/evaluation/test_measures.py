"""Measures by their definitions: a plain reference, written from the formulas, on random runs with ties, gaps and odd grades."""

import math
from collections.abc import Mapping

import numpy as np
import pytest

from search.errors import InvalidQuery
from search.evaluation.measures import MEASURES, mean, measure, ranked

NAMES = [*MEASURES, "nDCG@3", "nDCG(exp)@10", "nDCG(exp)@3", "RR@3", "RR@1000", "Recall@5", "P@1", "P@30"]


def by_definition(name: str, answer: Mapping[str, float], grades: Mapping[str, int]) -> float:
    """One measure of one query. Equal scores stand in falling order of ids, as trec_eval has them."""
    order = sorted(answer, key=lambda document: (answer[document], document), reverse=True)
    kind, _, cutoff = name.partition("@")
    k = int(cutoff or len(order))
    gains = [max(grades.get(document, 0), 0) for document in order]
    relevant = sum(grade > 0 for grade in grades.values())

    def dcg(gains: list[int]) -> float:
        worth = [2**gain - 1 if kind == "nDCG(exp)" else gain for gain in gains]
        return float(sum(gain / math.log2(place + 1) for place, gain in enumerate(worth[:k], 1)))

    match kind:
        case "nDCG" | "nDCG(exp)":
            best = dcg(sorted((max(grade, 0) for grade in grades.values()), reverse=True))
            return dcg(gains) / best if best else 0.0
        case "RR":
            return next((1 / place for place, gain in enumerate(gains[:k], 1) if gain > 0), 0.0)
        case "Recall":
            return sum(gain > 0 for gain in gains[:k]) / relevant if relevant else 0.0
        case "P":
            return sum(gain > 0 for gain in gains[:k]) / k
        case "MAP":
            found = [sum(gain > 0 for gain in gains[:place]) / place for place, gain in enumerate(gains, 1) if gain > 0]
            return sum(found) / relevant if relevant else 0.0
    raise AssertionError(kind)


@pytest.mark.parametrize("seed", range(25))
def test_measures_follow_their_definitions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    documents = [f"d{i}" for i in range(300)]
    lowest = -2 if seed % 2 else 0
    qrels: dict[str, dict[str, int]] = {}
    run: dict[str, dict[str, float]] = {}
    for number in range(12):
        judged = rng.choice(documents, rng.integers(1, 40), replace=False)
        qrels[f"q{number}"] = {str(document): int(rng.integers(lowest, 4)) for document in judged}
        if number % 5:  # the others are missing
            found = rng.permutation(documents)[: rng.integers(1, 200)]
            run[f"q{number}"] = {str(document): float(rng.integers(0, 20)) for document in found}  # with many ties
    qrels["barren"] = {"d1": 0, "d2": 0}
    run["barren"] = {"d1": 1.0}
    run["unjudged"] = {"d1": 1.0}
    measured = measure(run, qrels, NAMES)
    assert measured.keys() == qrels.keys()
    for query, grades in qrels.items():
        expected = {name: by_definition(name, run.get(query, {}), grades) for name in NAMES}
        assert measured[query] == pytest.approx(expected, abs=1e-6)
    assert mean(measured)["MAP"] == pytest.approx(np.mean([values["MAP"] for values in measured.values()]))


def test_a_missing_answer_counts_as_zero() -> None:
    qrels = {"q1": {"d1": 1}, "q2": {"d2": 1}}
    found = mean(measure({"q1": ranked(["d1"])}, qrels))
    assert found == {"nDCG@10": 0.5, "MAP": 0.5, "RR@10": 0.5, "Recall@10": 0.5, "Recall@100": 0.5, "P@10": 0.05}
    assert measure({"q1": ranked([*(f"x{i}" for i in range(10)), "d1"])}, qrels)["q1"]["RR@10"] == 0


def test_a_ranking_has_no_ties() -> None:
    assert measure({"q": ranked(["z", "a"])}, {"q": {"z": 1}}, ["RR@10"])["q"]["RR@10"] == 1
    assert measure({"q": ranked(["a", "z"])}, {"q": {"z": 1}}, ["RR@10"])["q"]["RR@10"] == 0.5


@pytest.mark.parametrize("name", ["ndcg@10", "nDCG", "nDCG@0", "MAP@10", "F1@10", "P", "Recall@-1", ""])
def test_what_is_no_measure(name: str) -> None:
    with pytest.raises(InvalidQuery, match="is no measure; there are nDCG@k"):
        measure({}, {"q": {"d": 1}}, [name])


def test_grades_beyond_exponential_gain() -> None:
    assert measure({"q": ranked(["d"])}, {"q": {"d": 16}}, ["nDCG(exp)@10"])["q"]["nDCG(exp)@10"] == 1
    with pytest.raises(InvalidQuery, match="grade above 16 is beyond measure; take nDCG@10"):
        measure({"q": ranked(["d"])}, {"q": {"d": 17}}, ["nDCG(exp)@10"])


def test_map_looks_at_the_first_thousand_whatever_else_is_measured() -> None:
    run = {"q": ranked([f"d{place}" for place in range(1, 1102)])}
    for last, expected in (("d1000", 1 / 1000), ("d1001", 0.0)):
        for names in (["MAP"], ["MAP", "Recall@2000"]):
            assert measure(run, {"q": {last: 1}}, names)["q"]["MAP"] == pytest.approx(expected)
