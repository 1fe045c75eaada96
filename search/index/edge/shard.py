"""A collection's files as the engine has them open: for one caller at a time, and opened anew when memory is to be given back."""

import contextlib
import ctypes
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import qdrant_edge as edge

from search.errors import IndexCorrupt, IndexFailure, IndexFull, IndexRejected
from search.system.files import is_full


class OpenShard:
    """What collections of one process share. The engine lets no other thread run while it works, so taking turns costs nothing."""

    def __init__(self, folder: Path, opened: edge.EdgeShard) -> None:
        self._folder = folder
        self._opened = opened
        self._turn = threading.Lock()

    @contextlib.contextmanager
    def use(self) -> Iterator[edge.EdgeShard]:
        """The engine's own object, for one call."""
        with self._turn, translated():
            yield self._opened

    def optimize(self) -> None:
        """Merge segments and build the graph, if there is anything to do; and free what the engine keeps in memory until it closes.

        Of every point written since it was opened it keeps the entries of payload indexes, about a kilobyte, though by now they
        stand in the segments' files.
        """
        with self._turn, translated():
            if self._opened.optimize():
                self._opened.close()
                self._opened = edge.EdgeShard.load(str(self._folder))
        with contextlib.suppress(OSError, AttributeError):  # only where the C library is GNU's
            ctypes.CDLL("libc.so.6").malloc_trim(0)

    def close(self) -> None:
        """Write everything down and close the files."""
        with self.use() as opened:
            opened.close()


def room_to_open(folder: Path, *, payload_on_disk: bool) -> int:
    """Bytes that the disk has not set aside yet, and that to open a collection takes.

    The engine maps its files, and touches all of vectors and payload indexes. Words, and a payload that stays on disk, take no more
    than the log holds, where the system ended before they were written down.
    """
    log, kept, touched = 0, 0, 0
    for file in filter(Path.is_file, folder.rglob("*")):
        place = file.relative_to(folder).parts
        part = "".join(place[2:3])  # segments/ID/PART/…
        if place[0] == "wal":
            log += 512 * file.stat().st_blocks
        elif part.startswith("vector_storage-") or (part == "payload_storage" and payload_on_disk):
            kept += _holes(file)
        else:
            touched += _holes(file)
    return touched + min(kept, log)


def _holes(file: Path) -> int:
    with file.open("rb") as stream:
        state = os.fstat(stream.fileno())
        data = at = 0
        with contextlib.suppress(OSError):  # no data behind this
            while at < state.st_size:
                start = os.lseek(stream.fileno(), at, os.SEEK_DATA)
                at = os.lseek(stream.fileno(), start, os.SEEK_HOLE)
                data += at - start
    # A compressed file takes fewer blocks than it has bytes, and one that was set aside in advance has holes on paper only.
    return max(0, min(state.st_size - data, state.st_size - 512 * state.st_blocks))


def load(name: str, folder: Path) -> edge.EdgeShard:
    """Open the files of a collection; IndexCorrupt if they cannot be opened."""
    try:
        with translated():
            return edge.EdgeShard.load(str(folder))
    except IndexFull:
        raise
    except IndexFailure as error:
        message = f"collection {name!r} cannot be opened ({error}); restore or delete the folder {folder.parent}"
        raise IndexCorrupt(message) from error


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Edge raises bare exceptions with a sentence in them, and panics that are not even exceptions."""
    try:
        yield
    except IndexFailure:
        raise
    except Exception as error:
        if is_full(error):
            raise IndexFull(f"the disk of the collection is full ({error}); make room and run the same again") from error
        raise IndexRejected(f"Qdrant Edge refused the request: {error}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # the binding's own, a BaseException that cannot be imported
            raise
        raise IndexCorrupt(f"Qdrant Edge gave up, the collection's files may be damaged: {error}") from error
