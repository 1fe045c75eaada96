"""The one point of a collection that is no passage: the claim of its writer; and the numbers of claims that passages carry.

The point has no vectors, so that no search finds it, and none of the fields that passages are asked by. Whoever counts, pages or
deletes leaves it out here. It is written on conditions alone, which the shard decides, with no more than the right to write points.
"""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from qdrant_client import QdrantClient, models

from search.errors import IndexFaulted, IndexGarbled, IndexTimeout
from search.index.contract import Payload
from search.index.server.errors import Translated
from search.index.server.nodes import over_rest

Answer = TypeVar("Answer")
Note = dict[str, Any]

RESERVED = "7c0e5b1a-4a5e-4c1a-8f00-c1a1ed000001"  # random by its version, so that earlier ones take it for another program's
NUMBER = "claim"  # of the payload of a passage: the number of the claim under which it was written
_WRITER = "writer"  # of the reserved point's
_LENIENT_S = 60.0  # after a leader was lost
_NO_LEADER, _NOT_ALL = "ordering", "enough active replicas"  # in the words of a server that cannot write, or read, like that


class Ordering:
    """In which order writes reach the replicas of a shard: through its leader, so that all decide a condition alike.

    With the default order, replicas that get two conditional writes at once disagree for good. Where the leader is lost,
    writes go through another replica that is alive, until it has been back for a while.
    """

    def __init__(self) -> None:
        self._strong_from = 0.0

    def write(self, send: Callable[[models.WriteOrdering], Answer]) -> Answer:
        """Send a write that may be sent twice, and whose errors are of this package."""
        if time.monotonic() >= self._strong_from:
            try:
                return send(models.WriteOrdering.STRONG)
            except (IndexFaulted, IndexTimeout) as error:
                if isinstance(error, IndexFaulted) and _NO_LEADER not in str(error):
                    raise
                self._strong_from = time.monotonic() + _LENIENT_S
        return send(models.WriteOrdering.MEDIUM)


class ReservedPoint:
    """The note of the writer of one collection."""

    def __init__(
        self,
        client: QdrantClient,
        target: str,
        ordering: Ordering,
        translated: Translated,
        key: str | None = None,
    ) -> None:
        """Keep what reaches it; `key` is that of the shards that hold it, where shards have keys."""
        self._client = client
        self._target = target
        self._key = key
        self._ordering = ordering
        self._translated = translated

    def read(self) -> Note:
        """The note that is there, as most replicas have it; empty if there is none, IndexGarbled if another program wrote there."""
        try:
            found = self._retrieved(models.ReadConsistencyType.MAJORITY)
        except IndexFaulted as error:
            if _NOT_ALL not in str(error):  # a replica is lost, and the others have to do
                raise
            found = self._retrieved(None)
        if not found:
            return {}
        note: Any = (found[0].payload or {}).get(_WRITER)
        match note:
            case {"claim": str(), "who": str(), "beat": int(), "number": int()}:
                return dict(note)
            case _:
                raise IndexGarbled(
                    f"the point {RESERVED} of collection {self._target!r} is kept for the claim of its writer, and another program "
                    "wrote into it; remove it while nobody writes (POST /collections/NAME/points/delete)",
                    transient=False,
                )

    def put(self, note: Note, instead_of: Note) -> None:
        """Write a note if the one that is there is still the given one; an empty one stands for none at all.

        The server does not say whether it did; whoever wants to know reads.
        """
        here = models.HasIdCondition(has_id=[RESERVED])
        if instead_of:
            same = [
                models.FieldCondition(key=f"{_WRITER}.{name}", match=models.MatchValue(value=instead_of[name]))
                for name in ("claim", "number", "beat")
            ]
            condition, mode = models.Filter(must=same), models.UpdateMode.UPSERT
        else:  # a condition that the point itself never meets: servers before 1.17 know no modes, and would overwrite
            condition, mode = models.Filter(must_not=[here]), models.UpdateMode.INSERT_ONLY
        point = models.PointStruct(id=RESERVED, vector={}, payload={_WRITER: note})

        def send(ordering: models.WriteOrdering) -> None:
            with self._translated(), over_rest():
                self._client.upsert(
                    self._target,
                    [point],
                    wait=True,
                    ordering=ordering,
                    shard_key_selector=self._key,
                    update_filter=condition,
                    update_mode=mode,
                )

        self._ordering.write(send)

    def _retrieved(self, consistency: models.ReadConsistencyType | None) -> list[models.Record]:
        with self._translated(), over_rest():
            return self._client.retrieve(self._target, [RESERVED], with_payload=True, consistency=consistency)


def is_reserved(client: QdrantClient, target: str) -> bool:
    """Whether a collection has the reserved point yet."""
    with over_rest():
        return bool(client.retrieve(target, [RESERVED], with_payload=False, with_vectors=False))


def is_unused(client: QdrantClient, target: str) -> bool:
    """Whether a collection holds no passage, and nobody has claimed it who has not let go."""
    with over_rest():
        most = models.ReadConsistencyType.MAJORITY
        points, _ = client.scroll(target, limit=2, with_payload=[_WRITER], with_vectors=False, consistency=most)
    notes: list[Any] = [(point.payload or {}).get(_WRITER) for point in points if point.id == RESERVED]
    return len(notes) == len(points) and all(isinstance(note, dict) and not note.get("claim") for note in notes)


def passages_only(filter: models.Filter | None, number: int | None = None) -> models.Filter:
    """A filter that leaves the reserved point out, and passages that a later claim than `number` wrote."""
    wanted = filter or models.Filter()
    must_not = wanted.must_not or []
    conditions = must_not if isinstance(must_not, list) else [must_not]
    left_out: list[Any] = [models.HasIdCondition(has_id=[RESERVED])]
    if number is not None:
        left_out.append(models.FieldCondition(key=NUMBER, range=models.Range(gt=number)))
    return wanted.model_copy(update={"must_not": [*conditions, *left_out]})


def replaceable(number: int) -> models.Filter:
    """The points that a claim of this number may overwrite: those that no later one wrote."""
    return models.Filter(must_not=[models.FieldCondition(key=NUMBER, range=models.Range(gt=number))])


def numbered(payload: Payload, number: int | None) -> dict[str, Any]:
    """A payload as it is written under a claim of this number, or under none."""
    return {**payload, NUMBER: number} if number is not None else dict(payload)


def unnumbered(payload: Payload) -> Payload:
    """A stored payload of this package without the number of its claim."""
    return {name: value for name, value in payload.items() if name != NUMBER} if NUMBER in payload else payload
