"""How much time do requests have that are made further down? Said by whoever knows, kept to by whatever sends them."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_SHORTEST_S = 0.001  # none would mean no limit to some

_within: ContextVar[float | None] = ContextVar("within", default=None)  # seconds that requests of a context have at most


@contextmanager
def within(seconds: float | None) -> Iterator[None]:
    """Give the requests of a context no more than so many seconds each; None: as many as they have anyway.

    In a context that gives fewer already, it stays at those.
    """
    before = _within.set(None if (left := left_of(seconds)) is None else max(left, _SHORTEST_S))
    try:
        yield
    finally:
        _within.reset(before)


def left_of(seconds: float | None) -> float | None:
    """So many seconds, or fewer if the context gives fewer; None for any number."""
    return min((one for one in (seconds, _within.get()) if one is not None), default=None)
