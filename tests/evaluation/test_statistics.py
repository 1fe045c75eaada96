"""Is a difference more than chance? Against what theory says, and on cases of which everyone knows the answer."""

from itertools import product

import numpy as np
import pytest

from search.evaluation.statistics import gain


def test_the_interval_is_that_of_the_paired_bootstrap() -> None:
    rng = np.random.default_rng(4)
    before = rng.random(400)
    after = before + rng.normal(0.05, 0.2, 400)
    differences = after - before
    found = gain(before, after)
    assert found.difference == pytest.approx(differences.mean())
    half = 1.96 * differences.std() / np.sqrt(len(differences))  # what the normal distribution says of so many
    assert found.low == pytest.approx(differences.mean() - half, abs=0.003)
    assert found.high == pytest.approx(differences.mean() + half, abs=0.003)
    assert gain(before, after) == found  # the same each time


def test_few_queries_are_tried_in_every_assignment_of_signs() -> None:
    differences = np.array([0.3, 0.1, 0.2, -0.05, 0.4, 0.25])
    signs = np.array(list(product((-1, 1), repeat=len(differences))))
    means = (signs * differences).mean(axis=1)
    expected = np.mean(np.abs(means) >= differences.mean() - 1e-12)
    assert gain(np.zeros(6), differences).p == pytest.approx(expected)


def test_chance_alone_is_seldom_taken_for_a_gain() -> None:
    rng = np.random.default_rng(0)
    judgements = [gain(np.zeros(60), rng.normal(0, 0.2, 60)).judgement for _ in range(60)]
    assert judgements.count("no evidence") >= 52


@pytest.mark.parametrize(
    ("differences", "judgement"),
    [
        (np.full(40, 0.01), "helps"),
        (np.full(40, -0.01), "hurts"),
        (np.zeros(40), "no evidence"),
        (np.array([1.0]), "no evidence"),  # one query is an anecdote
        (np.array([0.5, 0.4, 0.3]), "no evidence"),  # three of a kind come by chance in one case of four
        (np.array([0.1, -0.1] * 20), "no evidence"),
    ],
)
def test_verdicts(differences: np.ndarray, judgement: str) -> None:
    assert gain(np.full(len(differences), 0.5), 0.5 + differences).judgement == judgement
