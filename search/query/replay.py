"""What would another configuration have made of a query? A saved answer, and the same candidates ranked again."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from search.documents import Hit, SearchResult
from search.errors import InvalidQuery
from search.query.options import SearchOptions
from search.query.ranking import Ranking, rank
from search.reranking.contract import Reranker
from search.system.files import check_writable, open_regular, writing

_VERSION = 1
_TOP = 10
_ACCOUNT = ("embedder", "reranker", "ranking", "rerank_status", "reason", "timings_ms")


@dataclass(frozen=True)
class Move:
    """A candidate under two configurations.

    Attributes:
        hit: as it stands now.
        rank: where it stood, from 1.
        rerank_score: what the reranker said of it then; None if it did not.
        score: what the order was by then.
    """

    hit: Hit
    rank: int
    rerank_score: float | None
    score: float | None


@dataclass(frozen=True)
class Replay:
    """A saved answer beside a new ranking of its candidates.

    Attributes:
        query: the one that was answered.
        before: the saved answer's own account: embedder, reranker, ranking, status, timings.
        now: the new ranking.
        reranker: the one that made it …
        milliseconds: … and how long it took.
        moves: all candidates, in their new order.
        overlap: share of the ten first hits that are the same, whatever their order.
        notes: what should be known before the two are compared.
    """

    query: str
    before: Mapping[str, Any]
    now: Ranking
    reranker: str
    milliseconds: float
    moves: Sequence[Move]
    overlap: float
    notes: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as JSON takes it."""
        return {
            "query": self.query,
            "before": dict(self.before),
            "now": {
                "reranker": self.reranker,
                "ranking": self.now.words,
                "rerank_status": self.now.status,
                "reason": self.now.reason,
                "timings_ms": {"rerank": self.milliseconds},
            },
            "overlap@10": self.overlap,
            "notes": list(self.notes),
            "candidates": [
                {
                    "document_id": move.hit.document_id,
                    "retrieval_rank": move.hit.retrieval_rank,
                    "retrieval_score": move.hit.retrieval_score,
                    "before": {"rank": move.rank, "rerank_score": move.rerank_score, "score": move.score},
                    "moved": move.rank - move.hit.rank,
                    "now": {"rank": move.hit.rank, "rerank_score": move.hit.rerank_score, "score": move.hit.score},
                }
                for move in self.moves
            ],
        }


def save(result: SearchResult, file: Path) -> None:
    """Write an answer with all its candidates, to be replayed, over an earlier file; InvalidQuery if it cannot be written."""
    with writing("the trace", file):
        file.write_text(json.dumps({"version": _VERSION, **result.to_dict()}, default=list) + "\n", encoding="utf-8")


def check(file: Path) -> None:
    """Find out whether an answer can be written there, before there is one; InvalidQuery if not."""
    with writing("the trace", file):
        check_writable(file)


def replay(file: Path, reranker: Reranker, depth: int | None, embedder: str) -> Replay:
    """Rank the candidates of an answer again that `save` wrote.

    The reranker sees the first `depth` of them, or all, and the others follow in retrieval order. It is noted where they come from
    another embedder than the settings'.

    Raises:
        InvalidQuery: the file is no trace, or the depth is below 1.
    """
    saved = _read(file)
    query, hits = saved.query, sorted(saved.hits, key=lambda hit: hit.retrieval_rank)
    account = {name: getattr(saved, name) for name in _ACCOUNT}
    SearchOptions(depth=depth)
    notes = []
    if account["embedder"] != embedder:
        notes.append(f"the candidates were retrieved by {account['embedder']}, not by {embedder}; only the order is another")
    if depth is not None and depth > len(hits):
        notes.append(f"the trace has {len(hits)} candidates, fewer than the depth of {depth}; save it with more")
    started = time.perf_counter()
    now = rank(query, hits[:depth], reranker)
    milliseconds = (time.perf_counter() - started) * 1000
    rest = [replace(hit, score=None, rerank_score=None, rerank_probability=None) for hit in hits[len(now.hits) :]]
    before = {hit.chunk_id: hit for hit in hits}
    placed = [replace(hit, rank=place) for place, hit in enumerate([*now.hits, *rest], 1)]
    moves = [Move(hit, (old := before[hit.chunk_id]).rank, old.rerank_score, old.score) for hit in placed]
    first = {hit.chunk_id for hit in placed[:_TOP]}
    same = first & {hit.chunk_id for hit in hits if hit.rank <= _TOP}
    return Replay(query, account, now, reranker.name, milliseconds, moves, len(same) / max(1, len(first)), notes)


def _read(file: Path) -> SearchResult:
    from pydantic import TypeAdapter, ValidationError

    try:
        with open_regular(file, or_pipe=True) as stream:
            content = stream.read()
        trace = json.loads(content)
        version = trace["version"]
        if version != _VERSION:
            raise InvalidQuery(f"{file} is a trace of version {version}, and this program reads version {_VERSION}; save it again")
        saved = TypeAdapter(SearchResult).validate_json(json.dumps(trace), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise _no_trace(file, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise _no_trace(file, str(error) or type(error).__name__) from error
    if "rerank" not in saved.timings_ms:
        raise _no_trace(file, "timings_ms.rerank: Field required")
    return saved


def _no_trace(file: Path, reason: str) -> InvalidQuery:
    return InvalidQuery(f"{file} is no trace that search explain --save wrote: {reason}")
