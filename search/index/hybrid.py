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
    """The points that a query finds. Scores that a list leaves open are asked for by id, so all of them are exact.

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
    lexical = Listing(query.lexical, limit, query.filter)
    if query.retrieval == "lexical":
        by_words, by_vector = ask([lexical])[0], []
    else:
        by_vector, by_words = ask([dense, lexical])
    payloads = {one.id: one.payload for one in (*by_vector, *by_words)}
    cosines = {one.id: one.score for one in by_vector}
    words = {one.id: one.score for one in by_words}
    open_listings = [
        Listing(vector, len(ids), {"must": [{"has_id": [to_engine_id(one) for one in ids]}]}, payload=False)
        for vector, known in ((query.vector, cosines), (query.lexical, words))
        if (ids := [one for one in payloads if one not in known])
    ]
    if open_listings:
        for listing, found in zip(open_listings, ask(open_listings), strict=True):
            scores = words if isinstance(listing.vector, SparseVector) else cosines
            scores.update({one.id: one.score for one in found})
    # What has no word of the query is in no list by words; what has no cosine was deleted meanwhile.
    return [Match(one, cosines[one], payload, words.get(one, 0.0)) for one, payload in payloads.items() if one in cosines]
