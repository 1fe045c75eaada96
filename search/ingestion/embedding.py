"""Which vectors do passages have? Embedded, in the thread that embeds; documents that the model fails on are reported apart."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from search.embedding.dense import Embedder
from search.embedding.sparse import WordsLike, words_like
from search.errors import InferenceFailed
from search.index.contract import Point, Vector
from search.index.points import searchable_text
from search.ingestion.planning import Passage


class Embedded(NamedTuple):
    """Passages with their vectors, and the documents that the embedder failed on, with the reason."""

    passages: list[tuple[Passage, Vector]]
    refused: dict[str, str]


def with_words(points: Sequence[Point], lexical: str, like: WordsLike = words_like) -> list[Point]:
    """Points with the words of their passages, by what a collection says of them; as they are, where words do not count there.

    Args:
        points: of passages.
        lexical: the description of the collection's words.
        like: gives what makes such words.

    Raises:
        IndexMismatch: such words cannot be made here.
        ModelError: the model of the words failed.
    """
    words = like(lexical)
    if words is None:
        return [point._replace(lexical=None) for point in points]
    vectors = words.embed_passages([searchable_text(point.payload, words.fields) for point in points])
    return [point._replace(lexical=vector) for point, vector in zip(points, vectors, strict=True)]


class Vectors:
    """Embeds step by step."""

    def __init__(self, embedder: Embedder) -> None:
        """Keep the embedder."""
        self._embedder = embedder
        self._taken = False  # anything

    def embed(self, passages: Sequence[Passage]) -> Embedded:
        """Embed passages.

        Raises:
            ModelError: the embedder gave up, or fails on every passage.
        """
        try:
            embedded = self._together(passages)
        except InferenceFailed as error:
            retried = self._one_by_one(passages)
            if not self._taken:
                raise error from None
            return retried
        self._taken |= bool(embedded)
        return Embedded(embedded, {})

    def _one_by_one(self, passages: Sequence[Passage]) -> Embedded:
        embedded: list[tuple[Passage, Vector]] = []
        refused: dict[str, str] = {}
        for document_id, group in groupby(passages, lambda one: one.chunk.document_id):
            try:
                embedded += self._together(list(group))
                self._taken = True
            except InferenceFailed as reason:
                refused[document_id] = str(reason)
        return Embedded(embedded, refused)

    def _together(self, passages: Sequence[Passage]) -> list[tuple[Passage, Vector]]:
        fresh = [one.chunk.passage for one in passages if one.vector is None]
        vectors = iter(self._embedder.embed_passages(fresh) if fresh else ())
        return [(one, next(vectors) if one.vector is None else one.vector) for one in passages]
