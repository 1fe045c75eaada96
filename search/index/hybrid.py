"""How do two lists become one? The points that vectors and words find, each with both scores, in one order, whatever the engine.

Lists are requested without payloads: reading those of two hundred points takes longer than finding them. Where requests travel, the
payloads of the best come with the one that fills in open scores, as far as it can be foreseen which ones they are.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from search.documents import Fusion, SparseVector
from search.index.contract import Match, Matches, Payload, PlainFilter, Query, Vector, to_engine_id

Scores = NDArray[np.float64]

_PROBABLE = 2  # payloads for each point that goes on: of every ten queries, about one then lacks another's, at a depth of 20
_RARE, _MANY = 10, 100  # words are rare if fewer points than that have any of them, in a collection of at least so many points
_NEAREST = 5.0  # standard deviations that a cosine counts at most: among near-equal passages a stranger has many, and says little
_RRF_K = 2  # of reciprocal rank fusion, as Qdrant has it


class Listing(NamedTuple):
    """What an engine is asked for: the points that are closest to one vector."""

    vector: Vector | SparseVector
    limit: int
    filter: PlainFilter | None
    payload: bool = True


class Scored(NamedTuple):
    """A point of such a list."""

    id: str
    score: float
    payload: Payload


Ask = Callable[[Sequence[Listing]], list[list[Scored]]]


def matches(query: Query, limit: int, ask: Ask, *, foresee: bool = True) -> Matches:
    """The `limit` best points for a query, best first; equal ones by cosine, then in the order of ids, so that answers repeat.

    Scores that a list lacks are requested by id, so all of them are exact.

    Args:
        query: what is looked for.
        limit: how many points.
        ask: sends several listings in one request.
        foresee: ask for payloads together with open scores, though of too many: two requests, and rarely a third for those
            that were not expected to be wanted. Otherwise there are three, of which none asks for too much.
    """
    if query.retrieval == "dense":
        closest = sorted(ask([Listing(query.vector, limit, query.filter)])[0], key=_best_first)[:limit]  # parts may give more
        return Matches(Match(*one, dense_rank=rank) for rank, one in enumerate(closest, 1))
    listed = max(limit, query.listed) if query.retrieval == "hybrid" else limit
    wanted = [query.vector if query.retrieval == "hybrid" else None, query.lexical]
    listings = [Listing(one, listed, query.filter, payload=False) for one in wanted if one is not None]
    answers = ask([*listings, *(Listing(probe, 1, query.scope, payload=False) for probe in query.probes)])
    if absent := [at for at, points in enumerate(answers[len(listings) :]) if not points]:
        return Matches(absent=absent)
    lists = iter(answers)
    by_vector, by_words = (sorted(next(lists), key=_best_first)[:listed] if one is not None else [] for one in wanted)
    union = _Union(query, by_vector, [one for one in by_words if one.score > 0])
    payloads = {one.id: one.payload for one in _completed(union, _PROBABLE * limit if foresee else 0, listed, ask)}
    best = union.order()[:limit]
    if lacking := [one for one, _ in best if one not in payloads]:
        payloads |= {one.id: one.payload for one in ask([Listing(query.vector, limit, _these(lacking))])[0]}
    return Matches(
        Match(
            one,
            union.cosines[one],
            payloads[one],
            union.words.get(one, 0.0),
            union.dense.get(one),
            union.lexical.get(one),
            score,
            union.share,
        )
        for one, score in best
        if one in payloads  # else it was deleted meanwhile
    )


class _Union:
    """The points of both lists, with what is known of their scores."""

    def __init__(self, query: Query, by_vector: Sequence[Scored], by_words: Sequence[Scored]) -> None:
        self.query = query
        self.cosines = {one.id: one.score for one in by_vector}
        self.words = {one.id: one.score for one in by_words}
        self.dense = {one.id: rank for rank, one in enumerate(by_vector, 1)}
        self.lexical = {one.id: rank for rank, one in enumerate(by_words, 1)}
        self.ids = list(dict.fromkeys([*self.cosines, *self.words]))
        rare = query.rare_share is not None and 0 < len(by_words) < _RARE and len(by_vector) >= _MANY
        self.share = query.rare_share if rare and query.rare_share is not None else query.share

    def order(self, *, no_cosine: float | None = None, no_words: float = 0.0) -> list[tuple[str, float]]:
        """The points with the scores that they are ordered by, best first.

        Args:
            no_cosine: taken for cosines that are not known; None: such a point is left out, since it was deleted meanwhile.
            no_words: taken for scores of words that are not known; those of points without any are 0.
        """
        ids = [one for one in self.ids if no_cosine is not None or one in self.cosines]
        if not ids:
            return []
        dense = np.array([self.cosines.get(one, no_cosine) for one in ids], np.float64)
        lexical = np.array([self.words.get(one, no_words) for one in ids], np.float64)
        scores = lexical
        if self.query.retrieval == "hybrid":
            share, fused = self.share, _FUSIONS[self.query.fusion]
            near = np.minimum(fused(dense, ids, self.dense), _NEAREST)
            scores = share * fused(lexical, ids, self.lexical) + (1 - share) * near
        return [(ids[at], float(scores[at])) for at in np.lexsort((np.array(ids), -dense, -scores))]


def _completed(union: _Union, foreseen: int, listed: int, ask: Ask) -> list[Scored]:
    """Fill in the scores that one list lacks; as many points, with payloads, as are to be foreseen to be the best."""
    query = union.query
    probable: list[str] = []
    if foreseen:  # in the place of an unknown score, the lowest of its list: what lies below that is hardly among the best
        least = {"no_cosine": min(union.cosines.values(), default=0.0), "no_words": min(union.words.values(), default=0.0)}
        probable = [one for one, _ in union.order(**least)[:foreseen]]
    open_cosines = [one for one in union.ids if one not in union.cosines]
    open_words = [one for one in union.ids if one not in union.words and len(union.words) >= listed]  # a shorter list has them all
    listings = [
        (union.cosines, Listing(query.vector, len(open_cosines), _these(open_cosines), payload=False)),
        (union.words, Listing(query.lexical or query.vector, len(open_words), _these(open_words), payload=False)),
        (None, Listing(query.vector, len(probable), _these(probable))),
    ]
    listings = [(scores, listing) for scores, listing in listings if listing.filter]
    with_payload: list[Scored] = []
    for (scores, _), answer in zip(listings, ask([listing for _, listing in listings]) if listings else [], strict=True):
        if scores is None:
            with_payload = answer
        else:
            scores.update({one.id: one.score for one in answer})
    return with_payload


def z(values: Scores) -> Scores:
    """Mean 0, standard deviation 1; all zeros for a single value or equal ones."""
    spread = values.std()
    centred: Scores = values - values.mean()
    return centred / spread if spread > 0 else np.zeros_like(values)


def _reciprocal_rank(values: Scores, ids: Sequence[str], ranks: Mapping[str, int]) -> Scores:  # noqa: ARG001  # as the others are called
    """Qdrant's RRF with its own k: 1 / (k + rank - 1), and nothing for what is not in the list."""
    return np.array([1 / (_RRF_K + ranks[one] - 1) if one in ranks else 0.0 for one in ids], np.float64)


def _distribution(values: Scores, ids: Sequence[str], ranks: Mapping[str, int]) -> Scores:
    """Qdrant's DBSF: the place between three standard deviations below and above the list's mean, and 0 for what is not in it."""
    listed = np.array([one in ranks for one in ids], bool)
    low, high = (values[listed].mean() + side * 3 * values[listed].std(ddof=1) for side in (-1, 1)) if listed.sum() > 1 else (0, 0)
    return np.where(listed, (values - low) / (high - low) if high > low else 0.5, 0.0)


_FUSIONS: Mapping[Fusion, Callable[[Scores, Sequence[str], Mapping[str, int]], Scores]] = {
    "zscore": lambda values, *_: z(values),
    "rrf": _reciprocal_rank,
    "dbsf": _distribution,
}


def _best_first(one: Scored) -> tuple[float, str]:
    return -one.score, one.id


def _these(ids: Sequence[str]) -> PlainFilter:
    """A filter for points by their ids; empty for none."""
    return {"must": [{"has_id": [to_engine_id(one) for one in ids]}]} if ids else {}
