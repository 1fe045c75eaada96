"""A collection's files as the engine has them open: for one caller at a time, and exchanged for those of a graph that was built."""

import contextlib
import ctypes
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import qdrant_edge as edge

from search.errors import IndexCorrupt, IndexFailure, IndexFull, IndexHindered, IndexRejected
from search.index.edge.building import Building, settle
from search.index.edge.conversion import GRAPH_FROM_BYTES
from search.index.edge.folder import Awake
from search.system.files import hindrance, is_full, lack_of_room
from search.system.interpreter import has_interpreter

_REMOVED = 0.2  # of all points: from there on the engine builds a segment anew without them …
_LEAST = 1_000  # … if it has so many, by its defaults
_VERSION = 8  # bytes of a point in a segment that takes no more, whose removed points are bits in another file

_log = logging.getLogger("search.index")


class OpenShard:
    """What collections of one process share. The engine lets no other thread run while it works, so taking turns costs nothing."""

    def __init__(self, folder: Path, opened: edge.EdgeShard, awake: Awake) -> None:
        self._folder = folder
        self._opened: edge.EdgeShard | None = opened  # None where it rests or another one takes its place, until somebody needs it
        self._awake = awake
        self._turn = threading.Lock()
        self._tending = threading.Lock()  # held by whoever begins a building, waits for it or takes it
        self._building: Building | None = None
        self._since: list[edge.UpdateOperation] = []  # what was written since it began
        self.ahead = self._bytes = 0  # points, and about how many bytes that is
        self._in_vain = False  # the last one, in which there was nothing to do
        self.failure: IndexFailure | None = None  # of the last one
        self.written = self.removed = 0  # points, since the last one began
        self._removed_before = 0
        self._flushed = False  # what a log told that was left by a process that was killed
        self._closed = False
        awake.used(self)

    @contextlib.contextmanager
    def use(self) -> Iterator[edge.EdgeShard]:
        """The engine's own object, for one call that writes nothing."""
        try:
            with self._turn, translated():
                yield self._open()
        finally:
            self._awake.used(self)

    def rest(self) -> bool:
        """Close the files until they are needed again; whether they are closed, which they are not while they are at work."""
        if not self._turn.acquire(blocking=False):
            return False
        try:
            if self._building is not None:
                return False
            opened, self._opened = self._opened, None
            if opened is not None:
                with translated():
                    opened.close()
        except IndexFailure as failure:  # none of whoever asked something else
            _log.warning("%s", failure)
        finally:
            self._turn.release()
        return True

    def _open(self) -> edge.EdgeShard:
        if self._opened is None:
            if self._closed:
                raise IndexRejected(f"the collection in {self._folder.parent} was closed meanwhile; open it again")
            settle(self._folder)
            self._opened = edge.EdgeShard.load(str(self._folder))
        return self._opened

    def update(self, operation: edge.UpdateOperation, points: int = 0, size: int = 0) -> None:
        """Write; how many points, if any, and about how many bytes."""
        if (building := self._building) is not None:
            building.copied()  # searches go on
        with self.use() as opened:
            if self._building is not None:  # which may have begun just now
                self._building.copied()
            before = opened.info().points_count
            opened.update(operation)
            if self._building is not None:
                self._since.append(operation)
                self.ahead += points
                self._bytes += size
            self.written += points
            self.removed += max(0, before + points - opened.info().points_count)

    @property
    def building(self) -> bool:
        """Whether a graph is being built."""
        return self._building is not None

    @property
    def copying(self) -> bool:
        """Whether what writes would wait, since files are copied of which a graph is to be built."""
        return self._building is not None and self._building.copying

    def is_due(self, bytes_each: int) -> bool:
        """Whether the engine would find something to do that is worth it: enough vectors without a graph, or enough removed ones.

        `bytes_each` is the size of a dense one.
        """
        if self._in_vain and self.written + self.removed < _LEAST:
            return False
        with self.use() as opened:
            if not self._flushed:
                opened.flush()
                self._flushed = True
            points = opened.info().points_count
            with_graph, gone = _with_graph(self._folder)
        ahead = max(self.written, points - with_graph)
        removed = max(self.removed, gone)
        share = removed / max(1, removed + points)
        return ahead * bytes_each >= GRAPH_FROM_BYTES or (removed >= _LEAST and share > _REMOVED)

    def begin(self, check: Callable[[], object]) -> None:
        """Begin to build the graph, unless one is being built; `check` raises where there is no room."""
        with self._tending:
            if self._building is None:
                check()
                with self.use() as opened:
                    self.failure = None
                    opened.flush()
                    if has_interpreter():
                        self._building = Building(self._folder)
                    else:
                        self._in_vain = not opened.optimize()
                        self._opened = None
                        opened.close()
                self.written, self.removed, self._removed_before = 0, 0, self.removed

    def end(self, check: Callable[[int], object], *, wait: bool) -> None:
        """Search by what was built, once it is; with `wait` wait for it. For errors see `Building.outcome`.

        `check` raises where there is no room for so many bytes, which were written since it began, once more.

        Of every point written since it was opened the engine keeps the entries of payload indexes in memory, about a kilobyte,
        though by now they stand in the segments' files. It frees them now.
        """
        if not self._tending.acquire(blocking=wait):
            return
        try:
            building = self._building
            if building is None or not (wait or building.ended):
                return
            try:
                self._in_vain = not building.outcome()
                with self._turn, translated():
                    if not self._in_vain and self._building is building:  # else it was closed meanwhile
                        check(self._bytes)
                        self._take(building)
            except IndexFailure as failure:
                self.failure = failure
                self.removed += self._removed_before
                raise
            finally:
                with self._turn:
                    building.stop()
                    self._forget()
        finally:
            self._tending.release()
        with contextlib.suppress(OSError, AttributeError):  # only where the C library is GNU's
            ctypes.CDLL("libc.so.6").malloc_trim(0)

    def _take(self, building: Building) -> None:
        if self._since:  # before it takes the place: killed in between, nothing that was acknowledged is lost
            built = edge.EdgeShard.load(str(building.copy))
            for operation in self._since:
                built.update(operation)
            built.close()
            building.sync()
        if self._opened is not None:
            opened, self._opened = self._opened, None
            opened.close()
        building.take_place()
        self._open()

    def _forget(self) -> None:
        self._building, self._since = None, []
        self.ahead = self._bytes = 0

    def close(self) -> None:
        """Write everything down and close the files; what is being built is given up."""
        with self._turn, translated():
            if self._building is not None:
                self._building.stop()
                self._forget()
            if self._opened is not None:
                self._opened.close()
            self._closed = True
        self._awake.forget(self)


def _with_graph(folder: Path) -> tuple[int, int]:
    """How many points are in segments with a graph, and how many were removed from these, which the engine counts as indexed."""
    points = removed = 0
    for graph in folder.glob("segments/*/vector_index/graph.bin"):
        segment = graph.parent.parent
        points += (segment / "id_tracker.versions").stat().st_size // _VERSION
        removed += int.from_bytes((segment / "id_tracker.deleted").read_bytes()).bit_count()
    return points - removed, removed


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
    """Open the files of a collection; IndexCorrupt if they cannot be opened, and the reason is not this machine."""
    try:
        with translated():
            return edge.EdgeShard.load(str(folder))
    except IndexFailure as error:
        if isinstance(error, IndexFull):
            raise
        if isinstance(error, IndexHindered):
            raise IndexHindered(f"collection {name!r} cannot be opened: {error}") from error
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
            raise IndexFull(f"{lack_of_room('the collection', error)} and run the same again") from error
        if remedy := hindrance(error):
            raise IndexHindered(f"Qdrant Edge could not go on: {error}; {remedy}") from error
        raise IndexRejected(f"Qdrant Edge refused the request: {error}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # the binding's own, a BaseException that cannot be imported
            raise
        if remedy := hindrance(error):
            raise IndexHindered(f"Qdrant Edge gave up: {error}; {remedy}") from error
        raise IndexCorrupt(f"Qdrant Edge gave up, the collection's files may be damaged: {error}") from error
