"""Which vectors do passages have? Embedded, in the thread that embeds; documents that the model fails on are reported apart."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Generic, TypeVar

from search.embedding.dense import Embedder
from search.embedding.sparse import WordsLike, words_like
from search.errors import InferenceFailed
from search.index.contract import Point, Vector
from search.index.points import searchable_text
from search.ingestion.planning import Passage

Embedded = tuple[list[tuple[Passage, Vector]], dict[str, str]]  # passages; documents that the embedder failed on, and why
Given = TypeVar("Given")
Made = TypeVar("Made")


def with_vectors(embedder: Embedder, passages: Sequence[Passage]) -> list[tuple[Passage, Vector]]:
    """Passages with their vectors; those that have one already are not embedded.

    Raises:
        ModelError: the embedder failed.
    """
    fresh = [one.chunk.passage for one in passages if one.vector is None]
    vectors = iter(embedder.embed_passages(fresh) if fresh else ())
    return [(one, next(vectors) if one.vector is None else one.vector) for one in passages]


def with_words(points: Sequence[Point], lexical: str, like: WordsLike = words_like) -> list[Point]:
    """Points with the words of their passages, by what a collection says of them; as they are, where words do not count there.

    Raises:
        IndexMismatch: such words cannot be made here.
        ModelError: the model of the words failed.
    """
    words = like(lexical)
    if words is None:
        return [point._replace(lexical=None) for point in points]
    vectors = words.embed_passages([searchable_text(point.payload, words.fields) for point in points])
    return [point._replace(lexical=vector) for point, vector in zip(points, vectors, strict=True)]


class Apart(Generic[Given, Made]):
    """Has a model work on passages: on all together and, if it fails on these, on those of each document by themselves."""

    def __init__(self, work: Callable[[Sequence[Given]], list[Made]], document_of: Callable[[Given], str]) -> None:
        """Keep what is done with passages, and what says whose they are."""
        self._work = work
        self._document_of = document_of
        self._succeeded = False  # with anything

    def work(self, passages: Sequence[Given]) -> tuple[list[Made], dict[str, str]]:
        """What comes of passages in their order, and the documents that the model failed on, with the reason.

        Raises:
            ModelError: the model gave up, or fails on every document.
        """
        made: list[Made] = []
        refused: dict[str, str] = {}
        try:
            made += self._work(passages)
        except InferenceFailed as failure:
            for document_id, group in groupby(passages, self._document_of):
                try:
                    made += self._work(list(group))
                except InferenceFailed as reason:
                    refused[document_id] = str(reason)
            if not (made or self._succeeded):
                raise failure from None
        self._succeeded |= bool(made)
        return made, refused
