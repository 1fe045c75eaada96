"""How is a query answered? Retrieve, rerank, and an account of what happened."""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from search.documents import Hit, Retrieval, SearchResult, check_query, counted
from search.embedding.dense import Embedder
from search.embedding.sparse import WordsLike, words_like
from search.errors import CollectionNotFound, IndexFailure, InvalidQuery
from search.index.contract import PlainFilter, VectorIndex
from search.index.filters import to_plain
from search.index.tenants import TenantIndex
from search.inference.tokens import MUCH_UNKNOWN
from search.query.fusion import Mix
from search.query.misfits import let_pass, misfits
from search.query.options import SearchOptions
from search.query.ranking import partly_read, rank, too_long, unread_query
from search.query.retrieval import NO_WORD, Retrieved, Retriever
from search.reranking.contract import Deadline, Reranker, Scoring
from search.reranking.recipe import Recipe

if TYPE_CHECKING:
    from qdrant_client.models import Filter


class SearchService:
    """Two stages over one collection. Safe to call from several threads."""

    def __init__(
        self,
        embedder: Embedder,
        index: VectorIndex,
        reranker: Callable[[], Reranker | None],
        mix: Mix | None = None,
        words: WordsLike = words_like,
    ) -> None:
        """Keep the parts.

        Args:
            embedder: the one the collection was built with.
            index: the collection; opened on the first search.
            reranker: gives the second stage when it is first needed, None for retrieval alone.
            mix: how much words and vectors count in retrieval order.
            words: gives what makes words like the collection's.
        """
        self._embedder = embedder
        self._index = index
        self._retriever = Retriever(embedder, index, mix, words)
        self._reranker = reranker

    def over(self, part: VectorIndex) -> "SearchService":
        """The same over a part of the collection; see search.index.tenants."""
        made = copy.copy(self)
        made._index, made._retriever = part, self._retriever.over(part)  # noqa: SLF001  # another of its kind
        return made

    def reranked_by(self, reranker: Callable[[], Reranker | None]) -> "SearchService":
        """The same with another second stage."""
        made = copy.copy(self)
        made._reranker = reranker  # noqa: SLF001  # another of its kind
        return made

    def search(self, query: str, options: SearchOptions) -> SearchResult:
        """Answer a query, by options with a limit and a depth.

        Raises:
            InvalidQuery: an empty query, a min_score that the reranker has no probability for, or words that a collection has not.
            UnsupportedFilter: see search.index.filters.
            IndexFailure: the collection cannot be searched. A failing reranker raises nothing.
            ModelError: the embedder failed, or the reranker cannot be loaded.
        """
        check_query(query)
        limit, depth, min_score = options.limit, options.depth, options.min_score
        if limit is None or depth is None:
            raise InvalidQuery("a limit and a depth are wanted; SearchOptions.by gives those of the settings")
        plain = plain_filter(options.filter, self._index)
        reranker = self._reranker() if options.rerank else None
        _check_min_score(min_score, reranker)
        started = time.perf_counter()
        deadline = None if options.budget_ms is None else Deadline.after_ms(options.budget_ms)
        first_stage = self._retriever.retrieve(
            query, depth, retrieval=options.retrieval, share=options.lexical_share, filter=plain, deadline=deadline
        )
        candidates = first_stage.candidates
        retrieved = time.perf_counter()
        ranking = rank(query, candidates, reranker, deadline, retrieval=first_stage.ranking)
        ended = time.perf_counter()
        reranked = [hit for hit in ranking.hits if hit.rerank_score is not None]
        good = [hit for hit in ranking.hits if _good_enough(hit, min_score)]
        hits = (good if options.group_by is None else _best_of_each(good))[:limit]
        warnings = [
            *first_stage.warnings,
            *self._query_warnings(query, ranking.scoring, first_stage),
            *_hit_warnings(hits, first_stage.retrieval, reranker, ranking.scoring),
            *_probability_warnings(hits, reranker, ranking.scoring, min_score),
            *self._collection_warnings(first_stage, plain),
            *(let_pass(plain, hits) if plain else []),
        ]
        documents = len({hit.document_id for hit in ranking.hits})
        if options.group_by and documents < limit and len(candidates) == depth:
            warnings.append(
                f"the {depth} candidates are of {counted(documents, 'document')}, fewer than {limit}; raise depth for more"
            )
        return SearchResult(
            query=query,
            hits=tuple(hits),
            rerank_status=ranking.status,
            reason=ranking.reason,
            ranking=ranking.words,
            retrieval=first_stage.retrieval,
            retrieval_ranking=first_stage.ranking,
            embedder=self._embedder.name,
            reranker=reranker.name if reranker else None,
            device=self._embedder.device,
            rerank_device=reranker.device if reranker else None,
            timings_ms=_timings(started, started + first_stage.embed_s, retrieved, ended),
            warnings=tuple(warnings),
            empty_because="" if hits else self._empty_because(first_stage, ranking.hits, plain, min_score),
            reranked=len(reranked),
            rerank_tokens=sum(hit.tokens_seen for hit in reranked),
        )

    def _query_warnings(self, query: str, scoring: Scoring | None, first_stage: Retrieved) -> list[str]:
        retrieval, tokenizer = first_stage.retrieval, self._embedder.tokenizer
        read = tokenizer.cut_query(query, tokenizer.query_window)
        seen = {}
        if retrieval != "lexical" and read.seen < read.total:
            seen["embedder"] = read.seen
        if scoring and scoring.query_tokens_seen < scoring.query_tokens_total:
            seen["reranker"] = scoring.query_tokens_seen
        warnings = partly_read(query, seen)
        unknown = tokenizer.tally([read.text])[0].unknown_share
        if retrieval != "lexical" and unknown > MUCH_UNKNOWN:
            advice = "try another model"
            if retrieval == "hybrid":
                by_words = any(candidate.lexical_score for candidate in first_stage.candidates)
                advice = "so its words count for more" if by_words else "nor has a passage a word of it, so this order says little"
            warnings.append(f"{unknown:.0%} of the query's tokens are unknown to {self._embedder.name}; {advice}")
        return warnings

    def _collection_warnings(self, first_stage: Retrieved, filter: PlainFilter | None) -> list[str]:
        """What the collection lacks."""
        warnings = []
        if first_stage.damaged:
            one, several = "point that was found holds no passage, and was", "points that were found hold no passage, and were"
            warnings.append(f"{counted(first_stage.damaged, one, several)} left out; search doctor names some")
        if not first_stage.candidates and filter is not None:
            warnings += misfits(self._index, filter)
        return warnings

    def _empty_because(
        self, first_stage: Retrieved, ranked: Sequence[Hit], filter: PlainFilter | None, min_score: float | None
    ) -> str:
        """Why there is no hit."""
        if min_score is not None and ranked:
            best = max(hit.rerank_probability or 0 for hit in ranked)
            return f"no hit reached min_score {min_score:g}; the best one has {_below(best, min_score)}"
        if first_stage.damaged:
            return "no hit holds a passage"
        with suppress(IndexFailure):  # a server's strict mode may refuse to count by this filter
            if self._index.count() == 0:
                return self._holds_nothing()
            if filter is not None and self._index.count(filter) == 0:
                return f"the filter excludes all of {counted(self._index.count(), 'passage')}"
        if first_stage.retrieval == "lexical" and first_stage.wordless:
            return f"{NO_WORD}; retrieval by vectors, or by both, finds passages"
        if first_stage.retrieval == "lexical":
            among = f" of the tenant {self._index.tenant.name!r}" if isinstance(self._index, TenantIndex) else ""
            among += " that passes the filter" if filter else ""
            return f"no passage{among} has a word of the query; retrieval by vectors, or by both, finds others"
        return "nothing was found"

    def _holds_nothing(self) -> str:
        name = self._index.name
        if isinstance(self._index, TenantIndex):
            return f"the tenant {self._index.tenant.name!r} has no documents in collection {name!r}: ingest some for it first"
        if self._index.spec.layout:
            return f"the collection {name!r} is empty, and filled by another program"
        return f"the collection {name!r} is empty: ingest documents first, as with `search ingest`"


def _timings(started: float, embedded: float, retrieved: float, ended: float) -> dict[str, float]:
    """Milliseconds of each stage, and of all."""
    seconds = {"embed": embedded - started, "retrieve": retrieved - embedded, "rerank": ended - retrieved, "total": ended - started}
    return {stage: took * 1000 for stage, took in seconds.items()}


def _hit_warnings(hits: Sequence[Hit], retrieval: Retrieval, reranker: Reranker | None, scoring: Scoring | None) -> list[str]:
    warnings = []
    if totals := [hit.tokens_total for hit in hits if hit.truncated]:
        some = f"{len(totals):,} of {counted(len(hits), 'passage')}"
        recipe, query = (reranker.recipe, scoring.query_tokens_seen) if reranker and scoring else (Recipe(), 0)
        longer = too_long(some, len(totals), totals, query, recipe)
        warnings.append(f"{longer} and judged by {'its' if len(totals) == 1 else 'their'} beginning")
    unknown = sum(hit.unknown_share > MUCH_UNKNOWN for hit in hits)
    if unknown and retrieval != "lexical":
        warnings.append(f"{_of(hits, unknown, 'has', 'have')} more than {MUCH_UNKNOWN:.0%} of tokens unknown to the embedder")
    return warnings


def _of(hits: Sequence[Hit], number: int, one: str, several: str) -> str:
    """Some of the hits, and their verb."""
    return f"{number:,} of {counted(len(hits), 'passage')} {one if number == 1 else several}"


def _them(number: int) -> str:
    return "it" if number == 1 else "them"


def _probability_warnings(
    hits: Sequence[Hit], reranker: Reranker | None, scoring: Scoring | None, min_score: float | None
) -> list[str]:
    """Where hits have no probability, and what `min_score` could not judge."""
    warnings = []
    unread = sum(hit.rerank_score is not None and hit.rerank_probability is None for hit in hits)
    if reranker is not None and scoring is not None and scoring.query_unread:
        warnings.append(unread_query(reranker.name))
    elif reranker is not None and reranker.recipe.has_probability and unread:
        lacking = "it has no probability" if unread == 1 else "they have no probability"
        warnings.append(f"{_of(hits, unread, 'holds', 'hold')} no word that {reranker.name} knows, so {lacking}")
    if min_score is not None and (unjudged := sum(hit.rerank_score is None for hit in hits)):
        warnings.append(f"{_of(hits, unjudged, 'was', 'were')} not reranked, so min_score could not judge {_them(unjudged)}")
    if min_score is not None and unread:
        warnings.append(f"{_of(hits, unread, 'has', 'have')} no probability, so min_score could not judge {_them(unread)}")
    return warnings


def _best_of_each(hits: Sequence[Hit]) -> list[Hit]:
    """The first hit of each document, ranked anew."""
    best: dict[str, Hit] = {}
    for hit in hits:
        best.setdefault(hit.document_id, hit)
    return [replace(hit, rank=rank) for rank, hit in enumerate(best.values(), 1)]


def _good_enough(hit: Hit, min_score: float | None) -> bool:
    return min_score is None or hit.rerank_probability is None or hit.rerank_probability >= min_score


def _below(value: float, limit: float) -> str:
    """A number in as many digits, two at least, as show that it is below the limit."""
    return next((shown for digits in range(2, 17) if float(shown := f"{value:.{digits}f}") < limit), f"{value!r}")


def _check_min_score(min_score: float | None, reranker: Reranker | None) -> None:
    if min_score is not None and reranker is not None and not reranker.recipe.has_probability:
        raise InvalidQuery(f"the reranker {reranker.name} has no map from its score to a probability; search calibrate fits one")


def plain_filter(filter: "Filter | Mapping[str, Any] | str | None", index: VectorIndex) -> PlainFilter | None:
    """A filter of an open collection as plain data; None for none. See search.index.filters for errors."""
    if filter is None:
        return None
    try:
        own = not index.spec.layout
    except CollectionNotFound:  # which is said once it is searched
        own = True
    return to_plain(filter, own=own)
