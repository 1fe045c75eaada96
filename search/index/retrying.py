"""How long is a failing server borne with? Transient failures are tried again, ever later, until patience runs out."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import dropwhile
from typing import Any, TypeVar

from search.errors import IndexFailure, IndexOverloaded
from search.index.bases import WrappedIndex
from search.index.contract import (
    Attempt,
    CollectionSpec,
    EmbedWords,
    Matches,
    OnBuild,
    PlainFilter,
    Point,
    Query,
    Record,
    VectorIndex,
)

Answer = TypeVar("Answer")
_NOT_READY = 503
OnWait = Callable[[IndexFailure, float], None]  # called before every pause, with the failure and the seconds


@dataclass(frozen=True)
class Patience:
    """How failures are waited out.

    Attributes:
        total_s: seconds a request may fail until it is given up; 0 tries once.
        first_s: the longest first pause; it doubles with every failure …
        longest_s: … up to this, which also bounds what a server asks for by Retry-After.
    """

    total_s: float = 120.0
    first_s: float = 0.5
    longest_s: float = 30.0


class Attempts:
    """Carries out requests that may be done twice, and tries them again while they fail in a way that may pass.

    Until a server has answered, if only that it is busy, a failure is told at once: a URL that leads nowhere should say so now.
    Pauses are drawn between nothing and their longest (full jitter), so that many clients do not come back at once.
    """

    def __init__(self, patience: Patience, on_wait: OnWait | None = None) -> None:
        self._patience = patience
        self._on_wait = on_wait
        self._answered = False

    def __call__(self, ask: Callable[[], Answer]) -> Answer:
        """Ask until there is an answer, or patience runs out."""
        started = time.monotonic()
        longest = self._patience.first_s
        while True:
            try:
                answer = ask()
            except IndexFailure as error:
                self._answered |= not error.transient or _is_there(error)
                pause = random.uniform(0, longest)  # noqa: S311  # no secret
                if isinstance(error, IndexOverloaded) and error.retry_after_s is not None:
                    pause = max(pause, min(error.retry_after_s, self._patience.longest_s))
                if not (error.transient and self._answered) or time.monotonic() + pause > started + self._patience.total_s:
                    raise
                if self._on_wait:
                    self._on_wait(error, pause)
                time.sleep(pause)
                longest = min(2 * longest, self._patience.longest_s)
            else:
                self._answered = True
                return answer


def _is_there(error: IndexFailure) -> bool:
    """Whether a failure is a server's word that it is busy, or not ready yet."""
    return isinstance(error, IndexOverloaded) or getattr(error.__cause__, "status_code", None) == _NOT_READY


class PatientIndex(WrappedIndex):
    """An index whose requests are tried again while they fail in a way that may pass. For work that may be done twice.

    Discarding is tried once: there may be no server any more.
    """

    def __init__(self, index: VectorIndex, attempts: Attempts) -> None:
        super().__init__(index)
        self._patiently = attempts

    def ensure(self, spec: CollectionSpec, *, create: bool, writing: bool = False) -> None:
        """Open the collection; `create` makes one that is missing, and `writing` opens one to write to."""
        self._patiently(lambda: self._index.ensure(spec, create=create, writing=writing))

    def claimed(self, attempt: Attempt | None = None, *, removing: bool = False) -> AbstractContextManager[Any]:
        """Be the only writer for the time of a context; requests for it are tried again, too."""
        return self._index.claimed(attempt or self._patiently, removing=removing)

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points, replacing those with the same id."""
        self._patiently(lambda: self._index.upsert(points))

    def query(self, query: Query, limit: int) -> Matches:
        """The `limit` best points by vector, by words, or by both, as the query says, best first."""
        return self._patiently(lambda: self._index.query(query, limit))

    def delete(self, *, ids: Sequence[str] = (), filter: PlainFilter | None = None) -> None:
        """Remove points by id, or all that pass a filter."""
        self._patiently(lambda: self._index.delete(ids=ids, filter=filter))

    def scroll(
        self,
        filter: PlainFilter | None = None,
        fields: Sequence[str] | None = None,
        *,
        vectors: bool = False,
        start: str | None = None,
    ) -> Iterator[Record]:
        """Every point that passes the filter, by id, from `start` on, with the named payload fields, and `vectors` if wanted."""
        rest = self._index.scroll(filter, fields, vectors=vectors, start=start)
        last: str | None = None

        def following() -> Record | None:
            nonlocal rest
            try:
                return next(rest, None)
            except IndexFailure:  # which ends the iterator; another one begins at the last record
                rest = self._index.scroll(filter, fields, vectors=vectors, start=last or start)
                if last is not None:
                    rest = dropwhile(lambda record: record.id == last, rest)
                raise

        while (record := self._patiently(following)) is not None:
            last = record.id
            yield record

    def count(self, filter: PlainFilter | None = None) -> int:
        """How many points pass the filter."""
        return self._patiently(lambda: self._index.count(filter))

    def can_add_words(self) -> bool:
        """Whether a collection without words can be given some where it is."""
        return self._patiently(self._index.can_add_words)

    def add_words(
        self,
        lexical: str,
        embed: EmbedWords,
        attempt: Attempt | None = None,
        on_added: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Give every passage its words; requests for it are tried again, too."""
        return self._index.add_words(lexical, embed, attempt or self._patiently, on_added)

    def optimize(self, on_build: OnBuild | None = None) -> None:
        """Build the search graph now."""
        self._patiently(lambda: self._index.optimize(on_build))
