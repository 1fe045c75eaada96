"""Is a difference more than chance? Paired bootstrap and randomisation over the queries, and what follows from both."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Judgement = Literal["helps", "no evidence", "hurts"]

_RESAMPLES = 10_000
_BATCH = 500  # resamples held in memory at once
_LEVEL = 0.05


@dataclass(frozen=True)
class Gain:
    """What one run has over another, query by query.

    Attributes:
        difference: the mean over the queries.
        low: of its 95% confidence interval, percentiles of 10,000 paired bootstrap resamples (-1 for a single query) …
        high: … and its upper end.
        p: the chance of a difference this large if the runs were alike: two-sided randomisation test, 10,000 assignments of signs
            (all of them, where there are no more).
    """

    difference: float
    low: float
    high: float
    p: float

    @property
    def judgement(self) -> Judgement:
        """The verdict: both the interval and the test must speak for a difference."""
        if self.p < _LEVEL and self.low > 0:
            return "helps"
        if self.p < _LEVEL and self.high < 0:
            return "hurts"
        return "no evidence"

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as JSON takes it."""
        return asdict(self)


def gain(before: Values, after: Values) -> Gain:
    """Compare two runs by a measure of each query (n,), at least one, in the same order."""
    from scipy import stats  # which takes longer to import than all else here

    differences = after - before
    if not differences.any():
        return Gain(0.0, 0.0, 0.0, 1.0)
    if len(differences) == 1:  # one query is an anecdote
        return Gain(float(differences[0]), -1.0, 1.0, 1.0)
    sample = (differences,)
    options = {"n_resamples": _RESAMPLES, "batch": _BATCH, "rng": np.random.default_rng(0)}
    interval = stats.bootstrap(sample, np.mean, method="percentile", **options).confidence_interval
    test = stats.permutation_test(sample, np.mean, permutation_type="samples", vectorized=True, **options)
    return Gain(float(differences.mean()), float(interval.low), float(interval.high), float(test.pvalue))
