"""How do the passages of a collection that has no words come to some, where they are, while it is searched?

The server adds a sparse vector to the collection, which is then filled; see docs/decisions.md, 74.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from qdrant_client import QdrantClient, models

from search.errors import IndexFaulted, IndexRejected
from search.index.contract import LEXICAL, Attempt, CollectionSpec, EmbedWords
from search.index.server.claims import Claim
from search.index.server.connection import numbers_of
from search.index.server.conversion import noted, to_sparse
from search.index.server.errors import Translated, too_large
from search.index.server.limits import Limits
from search.index.server.reserved import passages_only, replaceable
from search.index.server.sharding import Sharding, inherited, is_keyed

IN_PLACE = (1, 19)  # the server's version that was tried
_NOTE = "adding"  # in the collection's metadata
_PASSES = 3  # the second one finds nothing to do, unless a replica was behind


def can_be_added(client: QdrantClient, target: str, sharding: Sharding) -> bool:
    """Whether the server adds vectors to a collection, and this one is to stay as it is otherwise by the settings."""
    version = numbers_of(client.info().version)
    if version is None or version < IN_PLACE:
        return False
    config = client.get_collection(target).config
    if is_keyed(config.params) or inherited(sharding, config) != inherited(Sharding(), config):
        return False
    somebodys = LEXICAL in (config.params.sparse_vectors or {}) and not noted(config, _NOTE)
    return not somebodys


class AddedWords:
    """The words that a collection is given, within the claim of one writer."""

    def __init__(
        self,
        client: QdrantClient,
        target: str,
        limits: Limits,
        claim: Claim,
        translated: Translated,
    ) -> None:
        self._client = client
        self._target = target
        self._limits = limits
        self._claim = claim
        self._translated = translated
        self._most: int | None = None  # passages in one write, once something in between took less than it was sent

    def add(self, lexical: str, embed: EmbedWords, attempt: Attempt, on_added: Callable[[int], None]) -> int:
        """Give every passage its words; those that have them from before a kill keep them. How many were given some now.

        Raises:
            IndexBusy: another process took over.
            IndexFailure: the server gave up; the same call again goes on from there.
        """
        attempt(lambda: self._make_room(lexical))
        added = 0
        for _ in range(_PASSES):
            before = added
            for records in self._lacking(attempt):
                vectors = embed([record.payload or {} for record in records])
                points = [
                    models.PointVectors(id=record.id, vector={LEXICAL: to_sparse(vector)})
                    for record, vector in zip(records, vectors, strict=True)
                    if vector is not None
                ]
                if points:
                    attempt(partial(self._write, points))
                added += len(points)
                on_added(added)
            if added == before:
                attempt(lambda: self._note(lexical))
                return added
        raise IndexFaulted(f"passages of collection {self._target!r} do not keep the words that they are given; look at its nodes")

    def _make_room(self, lexical: str) -> None:
        """Have the vector there, empty or filled with these words in part."""
        self._claim.number()
        with self._translated():
            config = self._client.get_collection(self._target).config
            there, begun = LEXICAL in (config.params.sparse_vectors or {}), noted(config, _NOTE).get("lexical")
            if begun != lexical:
                if there:  # with others
                    self._client.delete_vector_name(self._target, LEXICAL)
                self._client.update_collection(self._target, metadata={_NOTE: {"lexical": lexical}})
            idf = CollectionSpec(1, "", lexical).idf
            params = models.SparseVectorConfig(modifier=models.Modifier.IDF if idf else None)
            self._client.create_vector_name(self._target, LEXICAL, models.SparseVectorNameConfig(sparse=params))

    def _lacking(self, attempt: Attempt) -> Iterator[list[models.Record]]:
        """The passages without words, as many at a time as the server takes in one write."""
        filled = models.HasVectorCondition(has_vector=LEXICAL)
        wanted = passages_only(models.Filter(must_not=[filled]))
        limit = min(self._limits.page, self._limits.upserted or self._limits.page)
        offset: models.ExtendedPointId | None = None

        def read() -> tuple[list[models.Record], models.ExtendedPointId | None]:
            with self._translated():
                return self._client.scroll(self._target, wanted, limit, offset=offset, with_payload=True, with_vectors=False)

        while True:
            records, offset = attempt(read)
            if records:
                yield records
            if offset is None:
                return

    def _write(self, points: Sequence[models.PointVectors]) -> None:
        left = points
        while left:
            some = left[: self._most]
            try:
                self._send(some)
            except IndexRejected as error:
                if len(some) == 1 or not too_large(error):
                    raise
                self._most = len(some) // 2
                continue
            left = left[len(some) :]

    def _send(self, points: Sequence[models.PointVectors]) -> None:
        number = self._claim.number()
        condition = None if number is None else replaceable(number)

        def send(ordering: models.WriteOrdering | None) -> None:
            with self._translated():
                self._client.update_vectors(self._target, points, wait=True, ordering=ordering, update_filter=condition)

        self._claim.write(number, send)

    def _note(self, lexical: str) -> None:
        self._claim.number()
        with self._translated():
            self._client.update_collection(self._target, metadata={"lexical": lexical, _NOTE: {}})
