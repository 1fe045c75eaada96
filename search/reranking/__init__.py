"""How relevant is a text to a query? The contract every reranker keeps, and the recipe that says how to use its scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from search.deadline import Deadline
from search.settings import ActiveDevice

Vector = NDArray[np.float32]
IntVector = NDArray[np.int64]


class Scoring(NamedTuple):
    """What a reranker says of n texts, in their order."""

    scores: Vector  # (n,) float32, raw logits, higher is more relevant; NaN where the deadline left it unscored
    tokens_seen: IntVector  # (n,) tokens of each text that the model read …
    tokens_total: IntVector  # (n,) … of how many; both 0 where it is unscored
    query_tokens_seen: int
    query_tokens_total: int


@dataclass(frozen=True)
class Recipe:
    """How a model's scores are used.

    Attributes:
        weight: share of the reranker in the ranking: 1 ranks by its score alone; below, by a mix of z-normalised scores.
        max_tokens: the model's window for query and text together, special tokens included.
    """

    weight: float = 1.0
    max_tokens: int = 512

    @classmethod
    def from_json(cls, recipe: Mapping[str, Any], max_tokens: int, weight: float | None = None) -> "Recipe":
        """Read a model's recipe.json; an explicit weight wins."""
        stated = float(recipe.get("weight", 1.0)) if weight is None else weight
        if not 0 <= stated <= 1:
            message = f"the weight in recipe.json is {stated:g}; it is a share, between 0 and 1"
            raise ValueError(message)
        return cls(weight=stated, max_tokens=max_tokens)


class Reranker(Protocol):
    """Scores texts against a query. It never sorts: the service does."""

    name: str
    device: ActiveDevice
    recipe: Recipe

    def score(self, query: str, texts: Sequence[str], *, deadline: Deadline | None = None) -> Scoring:
        """Score each text; under a deadline, a prefix of them."""
