"""How is a query to be answered? One value, whichever face asks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, get_args

from search.documents import Retrieval, check_flags, check_number, checked_whole
from search.errors import InvalidQuery
from search.settings import MOST_HITS, Settings

if TYPE_CHECKING:
    from qdrant_client.models import Filter

GroupBy = Literal["document"]


class Choices(TypedDict, total=False):
    """The same as arguments by name."""

    limit: int | None
    depth: int | None
    filter: "Filter | Mapping[str, Any] | str | None"
    budget_ms: float | None
    min_score: float | None
    rerank: bool
    retrieval: Retrieval | None
    lexical_share: float | None
    group_by: GroupBy | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """What may be chosen for a query; None for what the settings say.

    Attributes:
        limit: hits returned.
        depth: candidates retrieved and reranked, at least `limit`.
        filter: which documents may be found; see search.index.filters.
        budget_ms: milliseconds for everything. What is not reranked by then keeps retrieval order, and the result says so. A server
            that has not answered by then, and in half a second, is an error.
        min_score: the least probability of being relevant, 0 to 1, by the reranker's own map. What was not reranked, or holds
            nothing that the reranker can read, has none and is kept, and the result says so; so does all, if it cannot read
            the query.
        rerank: False for retrieval order.
        retrieval: "hybrid", by vectors and words; "dense" or "lexical", by one of them. A collection without words is searched by
            vectors, and the result says so.
        lexical_share: of the words in retrieval order, 0 to 1; without, .3, and more where the embedder cannot read the query.
        group_by: "document" gives of each document its best passage only.

    Raises:
        InvalidQuery: a value of another type or out of range, or a limit and a depth that do not fit.
    """

    limit: int | None = None
    depth: int | None = None
    filter: "Filter | Mapping[str, Any] | str | None" = None
    budget_ms: float | None = None
    min_score: float | None = None
    rerank: bool = True
    retrieval: Retrieval | None = None
    lexical_share: float | None = None
    group_by: GroupBy | None = None

    def __post_init__(self) -> None:
        for name in ("limit", "depth"):
            if getattr(self, name) is not None:
                checked_whole(name, getattr(self, name))
        for name in ("budget_ms", "min_score", "lexical_share"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name))
        check_flags(rerank=self.rerank)
        if problem := self._problem():
            raise InvalidQuery(problem)

    def _problem(self) -> str:
        group_by: Any = self.group_by
        for name, least in (("depth", "rerank at least 1 candidate"), ("limit", "ask for at least 1 hit")):
            value = getattr(self, name)
            if value is not None and value < 1:
                return f"{name} is {value}; {least}"
            if value is not None and value > MOST_HITS:
                return f"{name} is more than {MOST_HITS:,}, which no engine is asked for; give less"
        if self.depth is not None and self.limit is not None and self.depth < self.limit:
            return (
                f"depth {self.depth} is less than limit {self.limit}; raise depth, the number of candidates that hits are chosen "
                "from, or lower limit"
            )
        if self.budget_ms is not None and not 0 < self.budget_ms < math.inf:
            return f"budget_ms is {self.budget_ms:g}; give a positive number of milliseconds, or none"
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            return f"min_score is {self.min_score:g}; it is a probability, between 0 and 1"
        if self.lexical_share is not None and not 0 <= self.lexical_share <= 1:
            return f"lexical_share is {self.lexical_share:g}; it is a share, between 0 and 1"
        if self.retrieval is not None and self.retrieval not in get_args(Retrieval):
            return f"retrieval is {self.retrieval!r}; it can be 'hybrid', 'dense' or 'lexical', or be left out"
        if group_by is not None and group_by != "document":
            return f"group_by is {group_by!r}; it can be 'document', or be left out"
        return ""

    def by(self, settings: Settings) -> Self:
        """The same with what the settings say in the place of None; a depth that they do not say for so many hits is the limit."""
        limit = settings.limit if self.limit is None else self.limit
        depth = max(settings.depth, limit) if self.depth is None else self.depth
        budget_ms = settings.budget_ms if self.budget_ms is None else self.budget_ms
        retrieval = self.retrieval or ("dense" if settings.lexical.model == "none" else settings.retrieval)
        return replace(self, limit=limit, depth=depth, budget_ms=budget_ms, retrieval=retrieval)
