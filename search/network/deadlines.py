"""How much time do requests have that are made further down? Said by whoever knows, kept to by whatever sends them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_SHORTEST_S = 0.001  # none would mean no limit to some

_within: ContextVar[float | None] = ContextVar("within", default=None)  # seconds that requests of a context have at most
_until: ContextVar[float | None] = ContextVar("until", default=None)  # when those of a context have to be over


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


@contextmanager
def together(seconds: float | None) -> Iterator[None]:
    """Give the requests of a context no more than so many seconds together, as `within` gives them to each."""
    before = _until.get()
    ends = None if seconds is None else time.monotonic() + seconds
    token = _until.set(min((one for one in (ends, before) if one is not None), default=None))
    try:
        yield
    finally:
        _until.reset(token)


def left_of(seconds: float | None) -> float | None:
    """So many seconds, or fewer if the context gives fewer; None for any number."""
    ends = _until.get()
    left = None if ends is None else max(ends - time.monotonic(), _SHORTEST_S)
    return min((one for one in (seconds, _within.get(), left) if one is not None), default=None)
