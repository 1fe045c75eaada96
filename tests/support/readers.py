"""The process that reads files, kept for the next test: it is made to read one after the other, and takes a while to start."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from search.reading.child import Limits, Reader, _Child


@contextmanager
def kept() -> Iterator[None]:
    """Whoever has read everything leaves its process to the next one with the same limits."""
    idle: dict[Limits, _Child] = {}

    def start(reader: Reader) -> _Child:
        child = idle.pop(reader._limits, None)
        reader._child = child if child and child.process.poll() is None else _Child(reader._limits)
        return reader._child

    def leave(reader: Reader, *_: object) -> None:
        child = reader._present()
        if child and not child.waiting and reader._limits not in idle:
            idle[reader._limits], reader._child = child, None
        reader._end()

    with patch.multiple(Reader, _start=start, __exit__=leave):
        yield
    for child in idle.values():
        child.end()
