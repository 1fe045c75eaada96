"""What does a score mean? The map from a reranker's raw score to the probability that a passage is relevant, and how true it is."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.errors import InvalidDataset

Scores = NDArray[np.float64]
Relevant = NDArray[np.bool_]
_STEPS = 100  # of Newton's method with backtracking, which needs about ten
_CLOSE = 1e-10
_BINS = 10


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

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as JSON takes it."""
        return asdict(self)


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
    positives, negatives = int(relevant.sum()), int((~relevant).sum())
    if not positives or not negatives:
        message = f"{positives} relevant and {negatives} other pairs: a probability needs some of both; judge more queries"
        raise InvalidDataset(message)
    centre, spread = float(scores.mean()), float(scores.std()) or 1.0
    design = np.stack([(scores - centre) / spread, np.ones_like(scores)], axis=1)
    targets = np.where(relevant, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def cost(weights: Scores) -> float:
        margins = design @ weights
        return float(np.logaddexp(0, margins).sum() - targets @ margins)

    weights = np.array([0.0, np.log((positives + 1) / (negatives + 1))])
    for _ in range(_STEPS):
        probability = 0.5 * (1 + np.tanh(design @ weights / 2))
        gradient = design.T @ (probability - targets)
        if np.abs(gradient).max() < _CLOSE * len(scores):
            break
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        while cost(weights - step) > cost(weights) and np.abs(step).max() > _CLOSE:  # too far: the curvature changes on the way
            step /= 2
        weights -= step
    slope = float(weights[0]) / spread
    if slope <= 0:
        message = "higher scores are not more often relevant here, so no probability follows from them"
        raise InvalidDataset(message)
    return 1 / slope, float(weights[1]) - slope * centre


def reliability(probabilities: Scores, relevant: Relevant) -> Reliability:
    """Compare probabilities with what is relevant.

    Args:
        probabilities: (n,), at least one.
        relevant: (n,), whether each pair is relevant.
    """
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
