"""How is a query answered? Retrieve, rerank, and an account of what happened."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from search.documents import Candidate, Hit, SearchResult, check_number, check_query, checked_whole
from search.embedding.dense import Embedder
from search.errors import InvalidQuery
from search.index.contract import CollectionSpec, PlainFilter, VectorIndex
from search.index.points import Found, find
from search.inference.tokens import MUCH_UNKNOWN, goes_on, head
from search.query.ranking import rank, unread_query
from search.reranking.contract import Reranker, Scoring
from search.reranking.deadline import Deadline

if TYPE_CHECKING:
    from qdrant_client.models import Filter

_FIELDS_LOOKED_AT = 5
GroupBy = Literal["document"]


class SearchService:
    """Two stages over one collection. Safe to call from several threads."""

    def __init__(self, embedder: Embedder, index: VectorIndex, reranker: Callable[[], Reranker | None]) -> None:
        """Keep the parts.

        Args:
            embedder: the one the collection was built with.
            index: the collection; opened on the first search.
            reranker: gives the second stage when it is first needed, None for retrieval alone.
        """
        self._embedder = embedder
        self._index = index
        self._reranker = reranker
        self._checked = False

    def search(
        self,
        query: str,
        *,
        limit: int,
        depth: int,
        filter: "Filter | Mapping[str, Any] | str | None" = None,
        budget_ms: float | None = None,
        min_score: float | None = None,
        rerank: bool = True,
        group_by: GroupBy | None = None,
    ) -> SearchResult:
        """Answer a query.

        Args:
            query: what is looked for.
            limit: hits returned.
            depth: candidates retrieved and reranked, at least `limit`.
            filter: which documents may be found; see search.index.filters.
            budget_ms: milliseconds for everything. What is not reranked by then keeps retrieval order, and the result says so.
            min_score: the least probability of being relevant, 0 to 1, by the reranker's own map. What was not reranked, or holds
                nothing that the reranker can read, has none and is kept, and the result says so; so does all, if it cannot read
                the query.
            rerank: False for retrieval order.
            group_by: "document" gives of each document its best passage only.

        Raises:
            InvalidQuery: an empty query, an argument of another type, limit and depth that do not fit, or a min_score that the
                reranker has no probability for.
            UnsupportedFilter: see search.index.filters.
            IndexFailure: the collection cannot be searched. A failing reranker raises nothing.
            ModelError: the embedder failed, or the reranker cannot be loaded.
        """
        _check(query, limit, depth, budget_ms, min_score)
        _check_choices(rerank, group_by)
        plain = plain_filter(filter)
        reranker = self._reranker() if rerank else None
        _check_min_score(min_score, reranker)
        started = time.perf_counter()
        deadline = None if budget_ms is None else Deadline.after_ms(budget_ms)
        vector = self._embedder.embed_query(query)
        embedded = time.perf_counter()
        candidates, damaged = self._retrieve(vector, depth, plain)
        retrieved = time.perf_counter()
        ranking = rank(query, candidates, reranker, deadline)
        ended = time.perf_counter()
        reranked = [hit for hit in ranking.hits if hit.rerank_score is not None]
        good = [hit for hit in ranking.hits if _good_enough(hit, min_score)]
        hits = (good if group_by is None else _best_of_each(good))[:limit]
        warnings = [*self._query_warnings(query, ranking.scoring), *_hit_warnings(hits)]
        unread = sum(hit.rerank_score is not None and hit.rerank_probability is None for hit in hits)
        if reranker is not None and ranking.scoring is not None and ranking.scoring.query_unread:
            warnings.append(unread_query(reranker.name))
        elif reranker is not None and reranker.recipe.has_probability and unread:
            warnings.append(
                f"{unread} of {len(hits)} passages hold no word that {reranker.name} knows, so they have no probability"
            )
        if damaged:
            warnings.append(f"{damaged} points that were found hold no passage, and were left out; search doctor names some")
        if group_by and len(hits) < min(limit, len(candidates)) and len(candidates) == depth:
            warnings.append(f"the {depth} candidates are of {len(hits)} documents, fewer than {limit}; raise depth for more")
        if min_score is not None and (unjudged := sum(hit.rerank_score is None for hit in hits)):
            warnings.append(f"{unjudged} of {len(hits)} passages were not reranked, so min_score could not judge them")
        if min_score is not None and unread:
            warnings.append(f"{unread} of {len(hits)} passages have no probability, so min_score could not judge them")
        if plain is not None and not candidates:
            warnings += self._missing_fields(plain)
        return SearchResult(
            query=query,
            hits=tuple(hits),
            rerank_status=ranking.status,
            reason=ranking.reason,
            ranking=ranking.words,
            embedder=self._embedder.name,
            reranker=reranker.name if reranker else None,
            device=self._embedder.device,
            rerank_device=reranker.device if reranker else None,
            timings_ms={
                "embed": (embedded - started) * 1000,
                "retrieve": (retrieved - embedded) * 1000,
                "rerank": (ended - retrieved) * 1000,
                "total": (ended - started) * 1000,
            },
            warnings=tuple(warnings),
            reranked=len(reranked),
            rerank_tokens=sum(hit.tokens_seen for hit in reranked),
        )

    def retrieve(self, query: str, depth: int) -> list[Candidate]:
        """The first stage alone: the `depth` closest chunks, closest first."""
        _check(query, depth, depth, None, None)
        return self._retrieve(self._embedder.embed_query(query), depth, None).candidates

    def _retrieve(self, vector: NDArray[np.float32], depth: int, filter: PlainFilter | None) -> Found:
        if not self._checked:  # once: on a server it costs two requests
            self._index.ensure(CollectionSpec(self._embedder.dimension, self._embedder.fingerprint), create=False)
            self._checked = True
        return find(self._index, vector, depth, filter)

    def _query_warnings(self, query: str, scoring: Scoring | None) -> list[str]:
        warnings = []
        tokenizer = self._embedder.tokenizer
        tally = tokenizer.tally([head(query, tokenizer.max_tokens)])[0]
        more = goes_on(query, tokenizer.max_tokens)
        room = tokenizer.max_tokens - tokenizer.special_tokens(pair=False)
        least = "at least " if more else ""
        if tally.tokens > room or more:
            warnings.append(f"the query has {least}{tally.tokens} tokens and the embedder read {min(tally.tokens, room)}")
        if scoring and scoring.query_tokens_seen < scoring.query_tokens_total:
            total, seen = scoring.query_tokens_total, scoring.query_tokens_seen
            warnings.append(f"the query has {least}{total} tokens and the reranker read {seen}")
        if tally.unknown_share > MUCH_UNKNOWN:
            warnings.append(
                f"{tally.unknown_share:.0%} of the query's tokens are unknown to {self._embedder.name}; try another model"
            )
        return warnings

    def _missing_fields(self, filter: PlainFilter) -> list[str]:
        from search.index.filters import fields_of  # costs half a second, and only filters need it

        names = sorted(set(fields_of(filter)))[:_FIELDS_LOOKED_AT]  # each is counted
        absent = [name for name in names if self._index.count({"must_not": [{"is_empty": {"key": name}}]}) == 0]
        return [f"no document has the field {name!r} that the filter asks about" for name in absent]


def _hit_warnings(hits: Sequence[Hit]) -> list[str]:
    warnings = []
    truncated = sum(hit.truncated for hit in hits)
    if truncated:
        warnings.append(f"{truncated} of {len(hits)} passages were longer than the model's window and judged by their beginning")
    unknown = sum(hit.unknown_share > MUCH_UNKNOWN for hit in hits)
    if unknown:
        warnings.append(f"{unknown} of {len(hits)} passages have more than {MUCH_UNKNOWN:.0%} of tokens unknown to the embedder")
    return warnings


def _best_of_each(hits: Sequence[Hit]) -> list[Hit]:
    """The first hit of each document, ranked anew."""
    best: dict[str, Hit] = {}
    for hit in hits:
        best.setdefault(hit.document_id, hit)
    return [replace(hit, rank=rank) for rank, hit in enumerate(best.values(), 1)]


def _good_enough(hit: Hit, min_score: float | None) -> bool:
    return min_score is None or hit.rerank_probability is None or hit.rerank_probability >= min_score


def _check_min_score(min_score: float | None, reranker: Reranker | None) -> None:
    problem = ""
    if min_score is not None and not 0 <= min_score <= 1:
        problem = f"min_score is {min_score:g}; it is a probability, between 0 and 1"
    elif min_score is not None and reranker is not None and not reranker.recipe.has_probability:
        problem = f"the reranker {reranker.name} has no map from its score to a probability; search calibrate fits one"
    if problem:
        raise InvalidQuery(problem)


def plain_filter(filter: "Filter | Mapping[str, Any] | str | None") -> PlainFilter | None:
    """A filter as plain data; None for none. See search.index.filters for errors."""
    if filter is None:
        return None

    from search.index.filters import to_plain  # costs half a second, and only filters need it

    return to_plain(filter)


def _check_choices(rerank: Any, group_by: Any) -> None:
    if not isinstance(rerank, bool):
        message = f"rerank is a {type(rerank).__name__}; it can be True or False"
        raise InvalidQuery(message)
    if group_by is not None and group_by != "document":
        message = f"group_by is {group_by!r}; it can be 'document', or be left out"
        raise InvalidQuery(message)


def _check(query: str, limit: int, depth: int, budget_ms: float | None, min_score: float | None) -> None:
    check_query(query)
    checked_whole("limit", limit)
    checked_whole("depth", depth)
    for name, number in (("budget_ms", budget_ms), ("min_score", min_score)):
        if number is not None:
            check_number(name, number)
    problem = ""
    if limit < 1:
        problem = f"limit is {limit}; ask for at least 1 hit"
    elif depth < limit:
        problem = f"depth {depth} is less than limit {limit}; raise depth, the number of candidates that hits are chosen from"
    elif budget_ms is not None and not 0 < budget_ms < math.inf:
        problem = f"budget_ms is {budget_ms:g}; give a positive number of milliseconds, or none"
    if problem:
        raise InvalidQuery(problem)
