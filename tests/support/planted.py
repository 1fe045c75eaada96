"""A reranker with a fault in it: the one part of a search that tests may replace, to see it fail."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from search.reranking.contract import Deadline, Scoring
from search.reranking.recipe import Recipe
from search.settings import ActiveDevice


@dataclass
class Planted:
    """A reranker that says what it is told to."""

    scores: Sequence[float]
    recipe: Recipe = field(default_factory=Recipe)
    error: Exception | None = None
    delay_s: float = 0.0
    name: str = "planted"
    device: ActiveDevice = "cpu"
    verified: str = ""

    def score(self, query: str, texts: Sequence[str], *, deadline: Deadline | None = None) -> Scoring:
        time.sleep(self.delay_s)
        if self.error:
            raise self.error
        tokens = np.ones(len(self.scores), np.int64)
        return Scoring(np.array(self.scores, np.float32), tokens, tokens, 1, 1)
