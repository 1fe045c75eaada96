"""What do indexes have in common? The embedded engine's, those around another one, those that keep the words of their making."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from search.errors import CollectionNotFound, IndexRejected
from search.index.contract import Attempt, CollectionSpec, EmbedWords, OnBuild, VectorIndex, once


def not_open(name: str) -> CollectionNotFound:
    """The error for what is asked of a collection that is not open."""
    return CollectionNotFound(
        f"collection {name!r} is not open, or no longer, as after a reindexing: searcher.opened() gives it open, and "
        "searcher.using() keeps it so for the time of a context; on an index of your own call ensure() first"
    )


class EmbeddedIndex:
    """What an index of Qdrant Edge says of its collection, once that is open, in this process or in one of its own."""

    name: str
    _spec: CollectionSpec | None = None  # as it was made
    _differing: tuple[str, ...] = ()

    @property
    def spec(self) -> CollectionSpec:
        """What the collection was made for."""
        if self._spec is None:
            raise not_open(self.name)
        return self._spec

    @property
    def differing(self) -> tuple[str, ...]:
        """Settings that the open collection was made by otherwise."""
        return self._differing

    def check_writable(self) -> None:
        """Every collection of this engine is."""


class WrappedIndex:
    """An index around another one, which answers whatever a class of this kind does not say otherwise."""

    def __init__(self, index: VectorIndex) -> None:
        self._index = index
        self.name, self.location = index.name, index.location

    @property
    def target(self) -> str:
        """The collection that the name led to."""
        return self._index.target

    @property
    def spec(self) -> CollectionSpec:
        """What the collection was made for."""
        return self._index.spec

    @property
    def differing(self) -> tuple[str, ...]:
        """Settings that the collection was made by otherwise."""
        return self._index.differing

    def ensure(self, spec: CollectionSpec, *, create: bool, writing: bool = False) -> None:
        """Open the collection; `create` makes one that is missing, and `writing` opens one to write to."""
        self._index.ensure(spec, create=create, writing=writing)

    def check_writable(self) -> None:
        """Refuse what is never written to."""
        self._index.check_writable()

    def claimed(self, attempt: Attempt = once, *, removing: bool = False) -> AbstractContextManager[Any]:
        """Be the only writer of the whole collection for the time of a context."""
        return self._index.claimed(attempt, removing=removing)

    def optimize(self, on_build: OnBuild | None = None) -> None:
        """Build the search graph of the whole collection now."""
        self._index.optimize(on_build)

    def discard(self) -> None:
        """Remove the collection again, if it was made for nothing: while it holds no point of anybody's."""
        self._index.discard()

    def close(self) -> None:
        """Close the index."""
        self._index.close()


class WordsAsMade:
    """For what gives no collection words that it was not made with."""

    def can_add_words(self) -> bool:
        """Never."""
        return False

    def add_words(
        self, lexical: str, embed: EmbedWords, attempt: Attempt = once, on_added: Callable[[int], None] = lambda _: None
    ) -> int:
        """Refuse it: IndexRejected, always."""
        del lexical, embed, attempt, on_added
        raise IndexRejected("this collection gets no words where it is; `search reindex` copies it into one that has them")
