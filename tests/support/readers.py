"""Reading single files; and the process that reads, kept for the next test: it is made to read one after the other."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from search.documents import Document
from search.reading import Reading
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


def readers_of(name: str) -> tuple[Callable[[Path, bytes], Document | str], Callable[[Path, bytes], Document]]:
    """What reads a file of this name in a folder: as a document or the words of its rejection, and as a document."""

    def read(folder: Path, content: bytes) -> Document | str:
        (folder / name).write_bytes(content)
        (item,) = Reading([str(folder / name)])
        return item if isinstance(item, Document) else str(item)

    def taken(folder: Path, content: bytes) -> Document:
        document = read(folder, content)
        assert isinstance(document, Document), document
        return document

    return read, taken
