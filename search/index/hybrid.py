"""How do two lists become one? The points that vectors and words find, each with both scores, in one order, whatever the engine.

Lists are requested without payloads: reading those of two hundred points takes longer than finding them. Where requests travel, the
payloads of the best come with the one that fills in open scores, as far as it can be foreseen which ones they are; elsewhere they
are read once these are known.
"""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from search.documents import Fusion, SparseVector
from search.index.contract import Match, Matches, Payload, PlainFilter, Query, Vector, to_engine_id

Scores = NDArray[np.float64]
Ranks = NDArray[np.int64]  # from 1, in a list; 0 for what is not in it
Among = slice | NDArray[np.bool_]  # which of the values

_PROBABLE = 2  # payloads for each point that goes on: of every ten queries, one to four then lack another's, at a depth of 20
_RARE, _MANY = 10, 100  # words are rare if fewer points than that have any of them, in a collection of at least so many points
_NEAREST = 5.0  # standard deviations that a cosine counts at most: among near-equal passages a stranger has many, and says little
_EQUAL = 300  # points, at least, of which those that have the same words are looked at: a millisecond
_ALL = slice(None)
_RRF_K = 2  # of reciprocal rank fusion, as Qdrant has it


class Listing(NamedTuple):
    """What an engine is asked for: the points that are closest to one vector."""

    vector: Vector | SparseVector
    limit: int
    filter: PlainFilter | None
    payload: bool = True


Scored = tuple[Any, float, Payload]
"""A point of such a list: its id as the engine has it, its score, its payload. Making text of hundreds of ids takes as long as
filling in their scores does."""

Ask = Callable[[Sequence[Listing]], list[list[Scored]]]
Read = Callable[[Sequence[Any]], Mapping[Any, Payload]]  # of points by their ids, as far as they are there


def matches(query: Query, limit: int, ask: Ask, read: Read | None = None, most: int | None = None) -> Matches:
    """The `limit` best points for a query, best first; equal ones by cosine, then in the order of ids, so that answers repeat.

    Scores that a list lacks are requested by id, so all of them are exact. `ask` sends several listings in one request. Without
    `read`, payloads are asked for together with open scores, though of too many: two requests, and rarely a third for those that
    were not expected to be wanted. `most` is how many points the engine gives at once.
    """
    if query.retrieval == "dense":
        closest = _best_first(ask([Listing(query.vector, limit, query.filter)])[0])[:limit]  # parts may give more
        return Matches(Match(str(one), cosine, payload, dense_rank=rank) for rank, (one, cosine, payload) in enumerate(closest, 1))
    listed = max(limit, query.listed) if query.retrieval == "hybrid" else limit
    wanted = [query.vector if query.retrieval == "hybrid" else None, query.lexical]
    most = min(max(2 * listed, _EQUAL), most or sys.maxsize)
    asked = min(listed + 1, most) if query.retrieval == "lexical" else listed  # one more, to see whether it equals the last
    listings = [Listing(one, asked, query.filter, payload=False) for one in wanted if one is not None]
    also = [Listing(query.vector, len(query.also), _these([*map(to_engine_id, query.also)]), payload=False)] if query.also else []
    probes = [Listing(probe, 1, query.scope, payload=False) for probe in query.probes]
    answers = ask([*listings, *also, *probes])
    if absent := [at for at, points in enumerate(answers[len(listings) + len(also) :]) if not points]:
        return Matches(absent=absent)
    beside = answers[len(listings)] if also else []
    lists = iter(answers)
    by_vector, by_words = (_best_first(next(lists)) if one is not None else [] for one in wanted)
    if query.retrieval == "lexical" and len(by_words) > listed:
        by_words = _with_equals(by_words, listed, lambda: ask([listings[0]._replace(limit=most)])[0])
    else:
        by_vector, by_words = by_vector[:listed], by_words[:listed]
    union = _Union(query, by_vector, [one for one in by_words if one[1] > 0], beside)
    payloads = {one: payload for one, _, payload in _completed(union, 0 if read else _PROBABLE * limit, listed, ask)}
    order = union.order()
    best = order[:limit] + [row for row in order[limit:] if union.ids[row[0]] in union.beside]
    if query.retrieval == "lexical":  # whose order it is, with the closest first among equal ones
        union.lexical_ranks[[at for at, *_ in best]] = range(1, len(best) + 1)
    if lacking := [one for at, *_ in best if (one := union.ids[at]) not in payloads]:
        payloads |= (read or _by(ask, query.vector))(lacking)
    dense, lexical = union.dense_ranks.tolist(), union.lexical_ranks.tolist()
    return Matches(
        Match(str(one), cosine, payloads[one], words, dense[at] or None, lexical[at] or None, score, union.share)
        for at, cosine, words, score in best
        if (one := union.ids[at]) in payloads  # else it was deleted meanwhile
    )


class _Union:
    """The points of both lists, each at its place in `ids` and in all arrays; what is not known of it is NaN, or rank 0."""

    def __init__(
        self, query: Query, by_vector: Sequence[Scored], by_words: Sequence[Scored], beside: Sequence[Scored] = ()
    ) -> None:
        self.query = query
        self.places = {one: at for at, (one, _, _) in enumerate(by_vector)}
        closest = slice(len(self.places))
        with_words = [self.places.setdefault(one, len(self.places)) for one, _, _ in by_words]
        self.beside = {one for one, _, _ in beside}
        self.listed = len(self.places)  # of both lists, over which scores are normalised
        with_cosine = [self.places.setdefault(one, len(self.places)) for one, _, _ in beside]
        self.ids = list(self.places)
        self.cosines, self.words = np.full((2, len(self.ids)), np.nan)
        self.dense_ranks, self.lexical_ranks = np.zeros((2, len(self.ids)), np.int64)
        self.cosines[with_cosine] = [score for _, score, _ in beside]
        self.cosines[closest] = [score for _, score, _ in by_vector]
        self.words[with_words] = [score for _, score, _ in by_words]
        self.dense_ranks[closest] = range(1, len(by_vector) + 1)
        self.lexical_ranks[with_words] = range(1, len(by_words) + 1)
        self.lowest = [points[-1][1] if points else 0.0 for points in (by_vector, by_words)]
        rare = query.rare_share is not None and 0 < len(by_words) < _RARE and len(by_vector) >= _MANY
        share = query.rare_share if rare and query.rare_share is not None else query.share
        silent = not by_words and query.rare_share is not None  # else the share is the user's
        self.share = 0.0 if silent else share

    def order(self, no_cosine: float = np.nan, no_words: float = 0.0) -> list[tuple[int, float, float, float]]:
        """The places of the points, with cosines, scores of words and the scores that they are ordered by, best first.

        Args:
            no_cosine: taken for cosines that are not known; NaN: such a point is left out, since it was deleted meanwhile.
            no_words: taken for scores of words that are not known; those of points without any are 0.
        """
        dense = np.where(np.isnan(self.cosines), no_cosine, self.cosines)
        places = np.flatnonzero(~np.isnan(dense))
        if not places.size:
            return []
        dense, lexical = dense[places], np.where(np.isnan(self.words), no_words, self.words)[places]
        scores = lexical
        if self.query.retrieval == "hybrid":
            share, fused = self.share, _FUSIONS[self.query.fusion]
            among = places < self.listed if self.beside and self.listed else _ALL
            near = np.minimum(fused(dense, self.dense_ranks[places], among), _NEAREST)
            scores = share * fused(lexical, self.lexical_ranks[places], among) + (1 - share) * near
        order = np.lexsort((-dense, -scores))
        rows = list(zip(*(row[order].tolist() for row in (places, dense, lexical, scores)), strict=True))
        if len({*scores.tolist()}) < len(rows):
            rows.sort(key=lambda row: (-row[3], -row[1], _id_order(self.ids[row[0]])))
        return rows


def _completed(union: _Union, foreseen: int, listed: int, ask: Ask) -> list[Scored]:
    """Fill in the scores that one list lacks; as many points, with payloads, as are to be foreseen to be the best."""
    query = union.query
    # In the place of an unknown score, the lowest of its list: what lies below that is hardly among the best.
    order = [union.ids[at] for at, *_ in union.order(*union.lowest)] if foreseen else []
    probable = order[:foreseen] + [one for one in order[foreseen:] if one in union.beside]
    open_cosines, open_words = ([union.ids[at] for at in np.flatnonzero(np.isnan(row))] for row in (union.cosines, union.words))
    if int((union.lexical_ranks > 0).sum()) < listed:  # a shorter list has them all
        open_words = []
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
            scores[[union.places[one] for one, _, _ in answer]] = [score for _, score, _ in answer]
    return with_payload


def _with_equals(points: list[Scored], limit: int, ask_for_more: Callable[[], list[Scored]]) -> list[Scored]:
    """The `limit` best of more, with all that equal the last of them, which engines give in no order that repeats."""
    if points[limit][1] == points[limit - 1][1]:
        points = _best_first(ask_for_more())  # what was written meanwhile may have changed all scores
    lowest = min((score for _, score, _ in points[:limit]), default=0.0)
    return [one for one in points if one[1] >= lowest]


def _by(ask: Ask, vector: Vector) -> Read:
    """Reads payloads by what asks for lists."""
    return lambda ids: {one: payload for one, _, payload in ask([Listing(vector, len(ids), _these(ids))])[0]}


def z(values: Scores, among: Among = _ALL) -> Scores:
    """Mean 0, standard deviation 1 over all values, or those of them that are named; all zeros for a single value or equal ones."""
    centred: Scores = values - values[among].mean()
    spread = math.sqrt((centred[among] * centred[among]).mean())
    return centred / spread if spread > 0 else np.zeros_like(values)


def _reciprocal_rank(values: Scores, ranks: Ranks, among: Among) -> Scores:  # noqa: ARG001  # as the others are called
    """Qdrant's RRF with its own k: 1 / (k + rank - 1), and nothing for what is not in the list."""
    return np.where(ranks > 0, 1 / (_RRF_K + ranks - 1), 0.0)


def _distribution(values: Scores, ranks: Ranks, among: Among) -> Scores:  # noqa: ARG001  # likewise
    """Qdrant's DBSF: the place between three standard deviations below and above the list's mean, and 0 for what is not in it."""
    listed = ranks > 0
    low, high = (values[listed].mean() + side * 3 * values[listed].std(ddof=1) for side in (-1, 1)) if listed.sum() > 1 else (0, 0)
    return np.where(listed, (values - low) / (high - low) if high > low else 0.5, 0.0)


_FUSIONS: Mapping[Fusion, Callable[[Scores, Ranks, Among], Scores]] = {
    "zscore": lambda values, _, among: z(values, among),
    "rrf": _reciprocal_rank,
    "dbsf": _distribution,
}


def _best_first(points: list[Scored]) -> list[Scored]:
    """Each point once, though a list that was asked for in parts may have it several times; equal ones by their ids."""
    if any(one[1] <= after[1] for one, after in pairwise(points)):
        points = sorted(points, key=lambda one: (-one[1], _id_order(one[0])))
    if len({one for one, _, _ in points}) == len(points):
        return points
    best: dict[Any, Scored] = {}
    for one in points:
        best.setdefault(one[0], one)
    return list(best.values())


def _id_order(id: Any) -> tuple[bool, Any]:
    """As engines order ids: numbers first, which only other programs give, then UUIDs."""
    return not isinstance(id, int), id


def _these(ids: Sequence[Any]) -> PlainFilter:
    """A filter for points by their ids; empty for none."""
    return {"must": [{"has_id": ids}]} if ids else {}
