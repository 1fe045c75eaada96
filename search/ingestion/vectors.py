"""Which points do passages become? Embedded, in the thread that embeds; a document that the model fails on is kept apart."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from search.embedding import Embedder
from search.errors import InferenceFailed
from search.index import Point
from search.index.points import to_point
from search.ingestion.planning import Passage


class Embedded(NamedTuple):
    """Points, and the documents that the embedder failed on, with the reason."""

    points: list[Point]
    refused: dict[str, str]


class Vectors:
    """Embeds step by step."""

    def __init__(self, embedder: Embedder) -> None:
        """Keep the embedder."""
        self._embedder = embedder
        self._taken = False  # anything

    def embed(self, passages: Sequence[Passage]) -> Embedded:
        """Embed passages.

        Raises:
            ModelError: the embedder gave up, or fails on whatever it is given.
        """
        try:
            points = self._to_points(passages)
        except InferenceFailed as error:
            points, refused = self._one_by_one(passages)
            if not self._taken:
                raise error from None
            return Embedded(points, refused)
        self._taken |= bool(points)
        return Embedded(points, {})

    def _one_by_one(self, passages: Sequence[Passage]) -> Embedded:
        points: list[Point] = []
        refused: dict[str, str] = {}
        for document_id, group in groupby(passages, lambda one: one.chunk.document_id):
            try:
                points += self._to_points(list(group))
                self._taken = True
            except InferenceFailed as reason:
                refused[document_id] = str(reason)
        return Embedded(points, refused)

    def _to_points(self, passages: Sequence[Passage]) -> list[Point]:
        if not passages:
            return []
        tokenizer = self._embedder.tokenizer
        window = tokenizer.max_tokens - tokenizer.special_tokens(pair=False)
        texts = [one.chunk.passage for one in passages]
        vectors = self._embedder.embed_passages(texts)
        return [
            to_point(one.chunk, vector, tally, window, one.revision, one.chunks, one.generation)
            for one, vector, tally in zip(passages, vectors, tokenizer.tally(texts), strict=True)
        ]
