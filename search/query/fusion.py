"""In which order does the first stage stand? Cosine similarity and the score of the words, mixed by one share."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from search.documents import Candidate, Retrieval
from search.index.contract import Match
from search.index.points import to_candidate

SHARE = 0.3  # of the words; see docs/decisions.md, 47
_UNREADABLE = 1 / 3  # share of a query's tokens that a model cannot read, from which on it has no vote


def vote(unread: float) -> float:
    """How much a model counts that cannot read this share of a query's tokens: 1 where it reads them all, 0 from a third on."""
    return 1 - min(1.0, unread / _UNREADABLE)


def ranked(matches: Sequence[Match], retrieval: Retrieval, share: float, listed: int, depth: int | None = None) -> list[Candidate]:
    """The passages that were found, in retrieval order; equal scores by cosine, then in the order of ids, so that answers repeat.

    Args:
        matches: as search.index.points.find gives them.
        retrieval: what they are ranked by: both scores, or one of them.
        share: of the words, 0 to 1; for both: share * z(words) + (1 - share) * z(cosine), z over all that were found.
        listed: how many were asked for by each score; what stands behind these was found by the other one.
        depth: how many are wanted; None for all.
    """
    if not matches:
        return []
    dense = np.array([match.score for match in matches], np.float64)
    lexical = np.array([match.lexical or 0.0 for match in matches], np.float64)
    scores = {"dense": dense, "lexical": lexical, "hybrid": share * z(lexical) + (1 - share) * z(dense)}[retrieval]
    ids = np.array([match.id for match in matches])
    dense_ranks = _ranks(dense, ids, listed) if retrieval != "lexical" else [None] * len(matches)
    lexical_ranks = _ranks(np.where(lexical > 0, lexical, -np.inf), ids, listed) if retrieval != "dense" else [None] * len(matches)
    return [
        replace(
            to_candidate(matches[at], rank),
            dense_rank=dense_ranks[at],
            lexical_rank=lexical_ranks[at],
            fusion_score=None if retrieval == "dense" else float(scores[at]),
        )
        for rank, at in enumerate(np.lexsort((ids, -dense, -scores))[:depth], 1)
    ]


def z(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean 0, standard deviation 1; all zeros for a single value or equal ones."""
    spread = values.std()
    centred: NDArray[np.float64] = values - values.mean()
    return centred / spread if spread > 0 else np.zeros_like(values)


def _ranks(scores: NDArray[np.float64], ids: NDArray[np.str_], listed: int) -> list[int | None]:
    ranks: list[int | None] = [None] * len(scores)
    for rank, at in enumerate(np.lexsort((ids, -scores))[:listed], 1):
        ranks[at] = rank if np.isfinite(scores[at]) else None
    return ranks
