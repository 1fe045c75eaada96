"""What does a score mean? The map from a reranker's raw score to the probability that a passage is relevant, and how true it is."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from search.documents import counted
from search.errors import InvalidDataset
from search.reranking.recipe import Recipe

Method = Literal["platt", "isotonic"]
Scores = NDArray[np.float64]
Relevant = NDArray[np.bool_]
_CLOSE = 1e-10  # to 0, of the gradient for a pair
_BINS = 10
_NOT_RISING = "higher scores are not more often relevant here, so no probability follows from them"


@dataclass(frozen=True)
class Calibration:
    """A map from score to probability, and what it is worth on queries that it was not fitted to.

    Attributes:
        method: how it was fitted.
        queries: how many had passages scored.
        found: what a recipe says of it: scale and bias, or points.
        before: how true the map was that the model had; None if it had none.
        after: how true the new one is: each query by a map fitted to the other folds.
    """

    method: Method
    queries: int
    found: dict[str, Any]
    before: "Reliability | None"
    after: "Reliability"

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as JSON takes it."""
        return asdict(self)


@dataclass(frozen=True)
class Bin:
    """Pairs with probabilities from `low` to below `high`: how many, the mean probability, and the share that is relevant."""

    low: float
    high: float
    pairs: int
    probability: float
    relevant: float


@dataclass(frozen=True)
class Reliability:
    """How true probabilities are.

    Attributes:
        pairs: how many were looked at.
        base_rate: the share that is relevant.
        error: expected calibration error, the mean gap between probability and share over bins of equal width (arXiv:1706.04599).
        brier: mean squared difference between probability and relevance.
        skill: Brier skill score: 1 - brier over that of always saying the base rate; 0 is no knowledge, 1 is all.
        bins: those that hold pairs.
    """

    pairs: int
    base_rate: float
    error: float
    brier: float
    skill: float
    bins: tuple[Bin, ...]

    def __str__(self) -> str:
        return f"expected calibration error {self.error:.3f}, Brier skill {self.skill:+.2f} over always saying {self.base_rate:.3f}"


def calibrate(
    judged: Sequence[tuple[Scores, Relevant]], method: Method, before: Callable[[float], float | None], *, folds: int = 5
) -> Calibration:
    """Fit a map to all queries, and measure it on each fold of queries with one fitted to the others.

    Args:
        judged: of each query, the scores of its candidates (n,) and whether they are relevant (n,).
        method: "platt", two numbers, for any amount of data; "isotonic", any rising curve, for thousands of pairs.
        before: the map that there is, or None for every score.
        folds: parts that the queries are dealt into.

    Raises:
        InvalidDataset: too few queries, too few pairs of one kind, or higher scores are not more often relevant.
    """
    judged = [query for query in judged if len(query[0])]
    if len(judged) < folds:
        scored = counted(len(judged), "query has", "queries have")
        message = f"{scored} scored passages, and {folds} folds need as many at least; judge more queries"
        raise InvalidDataset(message)
    everything = _joined(judged)
    dealt = np.random.default_rng(0).permutation(len(judged)) % folds
    after: list[Scores] = []
    truth: list[Relevant] = []
    for fold in range(folds):
        recipe = Recipe(**_fitted(method, *_joined([q for q, dealt_to in zip(judged, dealt, strict=True) if dealt_to != fold])))
        scores, relevant = _joined([q for q, dealt_to in zip(judged, dealt, strict=True) if dealt_to == fold])
        after.append(np.array([recipe.probability(float(score)) for score in scores], np.float64))
        truth.append(relevant)
    chances = [before(float(score)) for score in everything[0]]
    known = None if None in chances else reliability(np.array(chances, np.float64), everything[1])
    parameters = _fitted(method, *everything)
    return Calibration(method, len(judged), parameters, known, reliability(np.concatenate(after), np.concatenate(truth)))


def fit_isotonic(scores: Scores, relevant: Relevant) -> list[tuple[float, float]]:
    """Isotonic regression: the closest rising curve, as its levels at the mean score of each; for the rest see `fit_platt`.

    Returns:
        Scores and probabilities, both rising.
    """
    from scipy.optimize import isotonic_regression

    _both_kinds(relevant)
    values, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    shares = np.bincount(place, weights=relevant.astype(np.float64)) / counts
    fitted = isotonic_regression(shares, weights=counts)
    bounds = fitted.blocks
    if len(bounds) < 3:  # noqa: PLR2004  # one level for all
        raise InvalidDataset(_NOT_RISING)
    pieces = [slice(start, end) for start, end in pairwise(bounds)]
    return [(float(np.average(values[p], weights=counts[p])), float(np.clip(fitted.x[p.start], 0, 1))) for p in pieces]


def fit_platt(scores: Scores, relevant: Relevant) -> tuple[float, float]:
    """Platt scaling: the likeliest probability 1 / (1 + exp(-(score / scale + bias))), with Platt's targets against overfitting.

    Args:
        scores: (n,), raw scores.
        relevant: (n,), whether each pair is relevant.

    Returns:
        Scale, above 0, and bias.

    Raises:
        InvalidDataset: one kind of pair is missing, or higher scores are not more often relevant.
    """
    from scipy.optimize import minimize

    positives, negatives = _both_kinds(relevant)
    centre, spread = float(scores.mean()), float(scores.std()) or 1.0
    design = np.stack([(scores - centre) / spread, np.ones_like(scores)], axis=1)
    targets = np.where(relevant, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def cost(weights: Scores) -> tuple[float, Scores]:
        """How unlikely the targets are, and its gradient."""
        margins = design @ weights
        probability = 0.5 * (1 + np.tanh(margins / 2))
        return float(np.logaddexp(0, margins).sum() - targets @ margins), design.T @ (probability - targets)

    start = np.array([0.0, np.log((positives + 1) / (negatives + 1))])
    weights = minimize(cost, start, method="BFGS", jac=True, options={"gtol": _CLOSE * len(scores)}).x
    slope = float(weights[0]) / spread
    if slope <= 0:
        raise InvalidDataset(_NOT_RISING)
    return 1 / slope, float(weights[1]) - slope * centre


def reliability(probabilities: Scores, relevant: Relevant) -> Reliability:
    """Compare probabilities (n,), at least one, with whether each pair is relevant (n,)."""
    truth = relevant.astype(np.float64)
    base = float(truth.mean())
    brier = float(np.mean((probabilities - truth) ** 2))
    chance = base * (1 - base)
    places = np.minimum((probabilities * _BINS).astype(int), _BINS - 1)
    bins = []
    for place in range(_BINS):
        inside = places == place
        if inside.any():
            pairs, mean, share = int(inside.sum()), float(probabilities[inside].mean()), float(truth[inside].mean())
            bins.append(Bin(place / _BINS, (place + 1) / _BINS, pairs, mean, share))
    error = sum(b.pairs * abs(b.probability - b.relevant) for b in bins) / len(truth)
    return Reliability(len(truth), base, error, brier, 1 - brier / chance if chance else 0.0, tuple(bins))


def _fitted(method: Method, scores: Scores, relevant: Relevant) -> dict[str, Any]:
    if method == "isotonic":
        return {"points": fit_isotonic(scores, relevant)}
    scale, bias = fit_platt(scores, relevant)
    return {"scale": scale, "bias": bias}


def _both_kinds(relevant: Relevant) -> tuple[int, int]:
    positives, negatives = int(relevant.sum()), int((~relevant).sum())
    if not positives or not negatives:
        message = f"{positives} relevant and {negatives} other pairs: a probability needs some of both; judge more queries"
        raise InvalidDataset(message)
    return positives, negatives


def _joined(judged: Sequence[tuple[Scores, Relevant]]) -> tuple[Scores, Relevant]:
    return np.concatenate([scores for scores, _ in judged]), np.concatenate([relevant for _, relevant in judged])
