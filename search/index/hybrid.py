"""How do two lists become one? The points that vectors and words find, each with both scores, whatever the engine."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from search.documents import SparseVector
from search.index.contract import Match, Payload, PlainFilter, Query, Vector, to_engine_id


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


def matches(query: Query, limit: int, ask: Callable[[Sequence[Listing]], list[list[Scored]]]) -> list[Match]:
    """The points that a query finds. Scores that a list lacks are requested by id, so all of them are exact.

    Args:
        query: what is looked for.
        limit: points of each list.
        ask: sends several listings in one request.
    """
    dense = Listing(query.vector, limit, query.filter)
    if query.retrieval == "dense":
        return [Match(*one) for one in ask([dense])[0]]
    if query.lexical is None:
        return [Match(*one, 0.0) for one in ask([dense])[0]] if query.retrieval == "hybrid" else []
    lexical = Listing(query.lexical, limit, query.filter, payload=False)  # most of it comes with the list by vectors
    if query.retrieval == "lexical":
        by_words, by_vector = ask([lexical])[0], []
    else:
        by_vector, by_words = ask([dense, lexical])
    cosines = {one.id: one for one in by_vector}
    words = {one.id: one for one in by_words}
    open_listings = [
        Listing(query.vector, limit, _these([one for one in words if one not in cosines])),
        Listing(query.lexical, limit, _these([one for one in cosines if one not in words]), payload=False),
    ]
    open_listings = [listing for listing in open_listings if listing.filter]
    if open_listings:
        for listing, scored in zip(open_listings, ask(open_listings), strict=True):
            (cosines if listing.payload else words).update({one.id: one for one in scored})
    # What has no word of the query is in no list by words; what has no cosine was deleted meanwhile.
    ids = [one for one in dict.fromkeys([*(one.id for one in by_vector), *(one.id for one in by_words)]) if one in cosines]
    return [Match(one, cosines[one].score, cosines[one].payload, words[one].score if one in words else 0.0) for one in ids]


def _these(ids: Sequence[str]) -> PlainFilter:
    """A filter for points by their ids; empty for none."""
    return {"must": [{"has_id": [to_engine_id(one) for one in ids]}]} if ids else {}
