"""How relevant is a text to a query? The contract every reranker keeps."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from search.documents import check_strings
from search.reranking.recipe import Recipe


@dataclass(frozen=True)
class Deadline:
    """A point in time on the monotonic clock, in seconds."""

    at: float

    @classmethod
    def after_ms(cls, budget_ms: float) -> "Deadline":
        """The point `budget_ms` milliseconds from now."""
        return cls(time.monotonic() + budget_ms / 1000)

    @property
    def remaining_ms(self) -> float:
        """Milliseconds left, negative when it has passed."""
        return (self.at - time.monotonic()) * 1000

    @property
    def expired(self) -> bool:
        """Whether it has passed."""
        return self.remaining_ms <= 0


Vector = NDArray[np.float32]
IntVector = NDArray[np.int64]
BoolVector = NDArray[np.bool_]


class Scoring(NamedTuple):
    """What a reranker says of n texts, in their order."""

    scores: Vector  # (n,) float32, in the unit of the recipe, higher is more relevant; NaN where the deadline left it unscored
    tokens_seen: IntVector  # (n,) tokens of each text that the model read …
    tokens_total: IntVector  # (n,) … of how many, at least: none is read far beyond the window; both 0 where it is unscored
    query_tokens_seen: int
    query_tokens_total: int
    unread: BoolVector | None = None  # (n,) where the model knows no word of the text, or none of the query; None: not looked at
    query_unread: bool = False  # whether it knows none of the query
    query_unknown_share: float = 0.0  # share of the query's tokens outside its vocabulary, 0 to 1

    @classmethod
    def joined(cls, parts: Sequence["Scoring"]) -> "Scoring":
        """Of the texts of all parts, in their order; the query is as the first part has it."""
        scores, seen, total = (np.concatenate(column) for column in zip(*(part[:3] for part in parts), strict=True))
        looked_at = [part.unread for part in parts if part.unread is not None]
        unread = np.concatenate(looked_at) if len(looked_at) == len(parts) else None
        return parts[0]._replace(scores=scores, tokens_seen=seen, tokens_total=total, unread=unread)

    def probability(self, recipe: Recipe, place: int) -> float | None:
        """The chance that a text is relevant, 0 to 1; None where the recipe has no map, or the score is of what was not read."""
        if self.query_unread or (self.unread is not None and self.unread[place]):
            return None
        return recipe.probability(float(self.scores[place]))


class Reranker(Protocol):
    """Scores texts against a query. It never sorts: the service does.

    Attributes:
        name: how results and errors call it.
        recipe: how its scores are used.
        verified: whose golden scores it gave when it was loaded; "" if nobody's but its own.
    """

    name: str
    recipe: Recipe
    verified: str

    @property
    def device(self) -> str:
        """Where it runs: "cpu", "cuda" or "remote"."""

    def score(self, query: str, texts: Sequence[str], *, deadline: Deadline | None = None) -> Scoring:
        """Score each text; under a deadline, a prefix of them.

        Raises:
            InvalidQuery: see check_texts.
            InferenceFailed: the model gave an error, or a score that is not a number.
            OutOfMemory: a batch does not fit the device.
        """


def check_texts(query: str, texts: Sequence[str]) -> None:
    """Refuse, as an InvalidQuery, what no reranker can read: half of a surrogate pair, and one text in the place of several."""
    check_strings([query], "query", "queries")
    check_strings(texts, "texts", "texts")


def slices(count: int, size: int, deadline: Deadline | None) -> Iterator[slice]:
    """The texts in one slice, or under a deadline in slices of their order until it has passed."""
    step = count if deadline is None else size
    for start in range(0, count, max(1, step)):
        if deadline is not None and deadline.expired:
            return
        yield slice(start, min(start + step, count))
