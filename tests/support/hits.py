"""Hits as a search gives them, of documents that are cut where a test says."""

from collections.abc import Sequence
from typing import Any

from search.documents import Hit, SearchResult


def hit(rank: int, document_id: str, text: str, start: int = 0, **more: Any) -> Hit:
    """A hit at a rank, whose text begins somewhere in its document."""
    values: dict[str, Any] = {"title": "", "metadata": {}, "after": "", **more}
    return Hit(
        chunk_id=f"{document_id}/{start}",
        document_id=document_id,
        text=text,
        start=start,
        end=start + len(text),
        retrieval_rank=rank,
        retrieval_score=1 / rank,
        tokens_seen=1,
        tokens_total=1,
        unknown_share=0.0,
        rank=rank,
        score=1 / rank,
        rerank_score=None,
        rerank_probability=None,
        **values,
    )


def cut(document_id: str, text: str, spans: Sequence[tuple[int, int]], ranks: Sequence[int], **more: Any) -> list[Hit]:
    """The passages of a document with these spans, at these ranks; what stands between them is known, as by an ingestion."""
    ends = [*(start for start, _ in spans[1:]), len(text)]
    return [
        hit(rank, document_id, text[start:end], start, after=text[end:following], **more)
        for rank, (start, end), following in zip(ranks, spans, ends, strict=True)
    ]


def result(*hits: Hit, query: str = "What sleeps?") -> SearchResult:
    """A result of these hits, by their ranks."""
    timings = dict.fromkeys(("embed", "retrieve", "rerank", "total"), 0.0)
    ranked = tuple(sorted(hits, key=lambda one: one.rank))
    return SearchResult(query, ranked, "skipped", "reranking is switched off", "cosine similarity", "e", None, "cpu", None, timings)
