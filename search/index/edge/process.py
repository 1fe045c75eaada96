"""Qdrant Edge in a process of its own: the engine lets no other thread run while it works, and a service has others to answer.

The parent asks, one call after the other, over a pair of sockets; the child ends when the parent does. What passes through is plain
data: points, payloads, filters. A child that died, or was ended because it no longer answers, is started again by the next call,
and its collections are opened anew.
"""

import itertools
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.errors import CollectionNotFound, IndexFailure, IndexFaulted, IndexTimeout, SearchError
from search.index.bases import EmbeddedIndex, WordsAsMade
from search.index.collections import CollectionInfo, HealthCheck, Restored
from search.index.contract import (
    Attempt,
    CollectionSpec,
    Matches,
    OnBuild,
    PlainFilter,
    Point,
    Query,
    Record,
    VectorIndex,
    once,
)
from search.index.edge.folder import Claims, DataFolder, User, read_owner
from search.network.deadlines import left_of, within
from search.settings import StorageSettings
from search.system.forks import abandon, watch
from search.system.garbage import collect
from search.system.interpreter import interpreter

if TYPE_CHECKING:
    from search.index.edge.index import EdgeIndex

_PAGE = 256
_ENDS_WITHIN_S = 30
_CLOSES_WITHIN_S = 5
# A query takes milliseconds, or seconds where a filter has to look at every one of many passages. A count or a page may have to
# look at all of a large collection; what writes or opens may build a graph of hundreds of thousands of vectors, or replay a log:
# minutes, in which the engine is busy throughout.
_SHORT = {"query", "names", "aliases", "previous", "switch", "unalias"}
_SHORT_S = 30.0
_LONG_S = 3600.0
_STILL_S = 30.0  # without using the processor at all: stopped, deadlocked, or waiting for a disk that does not answer
_UNREADY_AFTER_S = 5.0  # of that
_LOOKED_AT_EVERY_S = 0.5


class EdgeProcess:
    """All collections in one folder, as `EdgeCollections` has them, held by a child process."""

    def __init__(self, data_dir: Path) -> None:
        """Name the folder; the child starts with the first call."""
        self.location = str(data_dir)
        self.ended = 0  # children
        self.waits = True  # whether `optimize` returns when the graph is built, or when that has begun
        self._still_s = 0.0  # for so long the child has owed an answer and done nothing
        self._turn = threading.Lock()  # held by whoever talks with the child
        self.claims = Claims()
        self._closing = False
        self._unclosed: list[int] = []  # tickets of collections that were let go of while the child was at work
        self._child: tuple[subprocess.Popen[bytes], Connection] | None = None
        self._tickets = itertools.count()
        watch(self)

    def call(self, name: str, *arguments: Any) -> Any:
        """Have a method of the child called.

        Raises:
            IndexFailure: whatever it raised there; IndexFaulted if the child died of it or cannot be started, IndexTimeout if it
                does not answer.
        """
        with self.turn(_SHORT_S if name in _SHORT else None):
            return self.exchange(name, *arguments)

    @contextmanager
    def turn(self, longest_s: float | None = None) -> Iterator[None]:
        """For calls that belong together: nobody else's come between, and no child ends but by one of them.

        Args:
            longest_s: that the turn is waited for, if others do not take less by search.network.deadlines; None for any time.

        Raises:
            IndexFaulted: this is being closed.
            IndexTimeout: others take longer.
        """
        if not self._turn.acquire(timeout=-1 if (within_s := left_of(longest_s)) is None else within_s):
            raise IndexTimeout(f"Qdrant Edge is at work on what came before, for more than {within_s:.1f} s; try again later")
        try:
            if self._closing:
                raise IndexFaulted("the process of Qdrant Edge is being closed; open another searcher")
            while self._unclosed and self._child:
                with suppress(IndexFailure):  # nobody waits for it
                    self.exchange("close", self._unclosed.pop())
            self._unclosed.clear()
            yield
        finally:
            self._turn.release()

    def let_go(self, ticket: int, opened_after: int) -> None:
        """Close a collection that was opened when so many children had ended; with the next call, if the child is at work."""
        if not self._turn.acquire(timeout=_CLOSES_WITHIN_S):
            self._unclosed.append(ticket)
            return
        try:
            if opened_after == self.ended and self._child:
                self.exchange("close", ticket)
        except IndexFailure:
            if opened_after == self.ended:  # else the child is gone, and everything it had open with it
                raise
        finally:
            self._turn.release()

    def exchange(self, name: str, *arguments: Any) -> Any:
        """Call a method of the child; for whoever has the turn."""
        process, connection = self._child or self._start()
        try:
            connection.send((name, arguments))
            self._wait_for_answer(process, connection, _SHORT_S if name in _SHORT else _LONG_S)
            answer, error = connection.recv()
        except (TimeoutError, BlockingIOError) as late:
            process.kill()
            self._end(process, connection)
            message = f"the process of Qdrant Edge did not answer to {name} and was ended; the next request starts it again"
            raise IndexTimeout(message) from late
        except (EOFError, OSError) as lost:
            self._end(process, connection)
            message = f"the process of Qdrant Edge ended with {process.returncode}; the next request starts it again"
            raise IndexFaulted(message) from lost
        except BaseException:  # in between: the answer would be taken for that of the next call
            self._end(process, connection)
            raise
        if error is not None:
            try:
                raise error
            finally:
                del error  # which would hold its traceback, which holds it, and this
        return answer

    def names(self) -> list[str]:
        """The collections, without aliases."""
        return list(self.call("names"))

    def aliases(self) -> dict[str, str]:
        """The collection that each alias leads to."""
        return dict(self.call("aliases"))

    def previous(self, alias: str) -> str | None:
        """The collection that an alias led to before its last switch, if that is still there."""
        collection: str | None = self.call("previous", alias)
        return collection

    def info(self, name: str, *, exact: bool = False) -> CollectionInfo:
        """What is known of a collection, by its name or an alias, or `exact`ly by its name."""
        info: CollectionInfo = self.call("info", name, exact)
        return info

    def health(self, name: str, declared: Mapping[str, str]) -> list[HealthCheck]:  # noqa: ARG002
        """Nothing: there is no server."""
        return []

    def named(self, name: str, storage: StorageSettings, like: str | None = None) -> VectorIndex:  # noqa: ARG002
        """What is searched and filled by a name, not yet opened. There is one machine, so it is like any other."""
        return _Index(self, next(self._tickets), name, storage, None)

    def open(self, name: str, storage: StorageSettings, purpose: str = "", like: str | None = None) -> VectorIndex:  # noqa: ARG002
        """A collection by its own name, not yet opened. There is one machine, so it is like any other."""
        return _Index(self, next(self._tickets), name, storage, purpose)

    def index_field(self, name: str, field: str, kind: str) -> None:
        """Make a payload index, in place."""
        self.call("index_field", name, field, kind)

    def check_alias(self, alias: str) -> None:
        """Any name can be led anywhere."""

    def switch(self, alias: str, name: str) -> None:
        """Lead an alias to a collection, in one step."""
        self.call("switch", alias, name)

    def unalias(self, alias: str) -> None:
        """Forget an alias; the collection stays."""
        self.call("unalias", alias)

    def drop(self, name: str) -> None:
        """Remove a collection for good."""
        self.call("drop", name)

    def snapshot(self, name: str, into: Path | None = None) -> str:
        """Copy a collection's folder, `into` another one if one is named; where the copy is."""
        return str(self.call("snapshot", name, into))

    def restore(self, folder: Path, name: str | None = None) -> Restored:
        """Make a collection of a copy."""
        return Restored(*self.call("restore", folder, name))

    @property
    def stuck(self) -> bool:
        """Whether the child owes an answer and has done nothing for seconds. Asked without waiting."""
        return self._still_s >= _UNREADY_AFTER_S

    def close(self) -> None:
        """End the child, which writes everything down first, within a bounded time. Closing twice is no error."""
        self._closing = True  # or those who wait for their turn would start another child
        try:
            if not self._turn.acquire(timeout=_ENDS_WITHIN_S):
                self.abort()  # which ends the call under way
                self._turn.acquire()
            try:
                if self._child:
                    self._end(*self._child)
            finally:
                self._turn.release()
        finally:
            self._closing = False

    def abort(self) -> None:
        """Kill the child now, whatever it does; a call under way fails. What was acknowledged is in its log."""
        if (child := self._child) is not None:
            child[0].kill()

    def after_fork(self) -> None:
        """Two processes on one connection would read each other's answers: a forked child starts an engine of its own."""
        self._turn, self._closing, self._unclosed, self.claims = threading.Lock(), False, [], Claims()
        if self._child is not None:
            abandon(*self._child)
            os.close(self._child[1].fileno())  # or the engine would not see the parent end
            self._child = None
            self.ended += 1  # so that whatever was open is opened anew

    def _start(self) -> tuple[subprocess.Popen[bytes], Connection]:
        if not self.ended and User.this().is_of(read_owner(Path(self.location, "owner.json"))):
            collect()  # the one that has its engine at work there may have been dropped
        try:
            ours, theirs = socket.socketpair()
            with ours, theirs:
                for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):  # lest it stops in the middle of a message
                    ours.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", int(_STILL_S), 0))
                command = [interpreter(), "-P", "-m", "search.index.edge.process", str(theirs.fileno()), self.location]
                command.append(json.dumps(User.this()))
                process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)  # noqa: S603  # our own
                self._child = (process, Connection(ours.detach()))
        except OSError as error:  # no descriptors, no memory, no interpreter
            raise IndexFaulted(f"the process of Qdrant Edge cannot be started: {error}; the next request tries again") from error
        return self._child

    def _end(self, process: subprocess.Popen[bytes], connection: Connection) -> None:
        self._child = None
        self.ended += 1
        connection.close()
        until, quiet = time.monotonic() + _ENDS_WITHIN_S, _Stillness(process.pid)
        while process.poll() is None and time.monotonic() < until and quiet.seconds() < _UNREADY_AFTER_S:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LOOKED_AT_EVERY_S)
        process.kill()
        with suppress(subprocess.TimeoutExpired):  # a disk that does not answer keeps even what was killed
            process.wait(_UNREADY_AFTER_S)
        self._still_s = 0.0

    def _wait_for_answer(self, process: subprocess.Popen[bytes], connection: Connection, longest_s: float) -> None:
        """Wait while the child is at work; TimeoutError if it has done nothing for long, or takes too long."""
        quiet, waited = _Stillness(process.pid), 0.0
        while not connection.poll(_LOOKED_AT_EVERY_S):
            waited += _LOOKED_AT_EVERY_S  # by turns, not by the clock, which goes on while this process is stopped itself
            self._still_s = quiet.seconds()
            if waited >= longest_s or self._still_s >= _STILL_S:
                raise TimeoutError
        self._still_s = 0.0


class _Stillness:
    """For how long has a process not used the processor? Looked at every `_LOOKED_AT_EVERY_S`."""

    def __init__(self, pid: int) -> None:
        self._stat = Path(f"/proc/{pid}/stat")
        self._used = self._ticks()
        self._seconds = 0.0

    def seconds(self) -> float:
        """Since when it stands still; 0 where the system does not say."""
        used = self._ticks()
        self._seconds = self._seconds + _LOOKED_AT_EVERY_S if used and used == self._used else 0.0
        self._used = used
        return self._seconds

    def _ticks(self) -> tuple[str, ...]:
        try:
            return tuple(self._stat.read_text().rpartition(")")[2].split()[11:13])  # user and system time
        except OSError:
            return ()


class _Index(EmbeddedIndex, WordsAsMade):
    """One collection, as `EdgeIndex` has it."""

    def __init__(self, process: EdgeProcess, ticket: int, name: str, storage: StorageSettings, purpose: str | None) -> None:
        self.name = name
        self.location = f"{process.location}/collections/{name}"
        self._process = process
        self._ticket = ticket
        self._opening = (name, storage, purpose)
        self._opened_after = 0  # so many children had ended
        self._keeps_folder = False  # in the child, for a collection that is to be made

    @property
    def target(self) -> str:
        return Path(self.location).name

    def ensure(self, spec: CollectionSpec, *, create: bool, writing: bool = False) -> None:
        with self._process.turn(None if create or writing else _SHORT_S):
            self._ensure(spec, create=create, writing=writing)

    def claimed(self, attempt: Attempt = once, *, removing: bool = False) -> AbstractContextManager[Any]:  # noqa: ARG002  # the contract's
        """Keep those out that reach the collection by another name; no other process does, since the child owns the data folder."""
        return self._process.claims.of(self.target)

    def upsert(self, points: Sequence[Point]) -> None:
        self._hold_off()
        self._call("write", list(points))

    def query(self, query: Query, limit: int) -> Matches:
        with within(query.timeout_s):
            found: Matches = self._call("query", query, limit)
        return found

    def delete(self, *, ids: Sequence[str] = (), filter: PlainFilter | None = None) -> None:
        self._hold_off()
        self._call("delete", list(ids), filter)

    def scroll(
        self,
        filter: PlainFilter | None = None,
        fields: Sequence[str] | None = None,
        *,
        vectors: bool = False,
        start: str | None = None,
    ) -> Iterator[Record]:
        while True:
            records, start = self._call("scroll", filter, fields, vectors, start)
            yield from records
            if start is None:
                return

    def count(self, filter: PlainFilter | None = None) -> int:
        return int(self._call("count", filter))

    def optimize(self, on_build: OnBuild | None = None) -> None:
        while (building := self._call("begin")) is not None and self._process.waits:
            if on_build:
                on_build(building)
            while self._call("must_wait"):
                time.sleep(_LOOKED_AT_EVERY_S)

    def discard(self) -> None:
        if self._keeps_folder:
            self.close()
        else:
            self._call("discard")

    def close(self) -> None:
        opened, self._spec, self._keeps_folder = self._spec or self._keeps_folder, None, False
        if opened:
            self._process.let_go(self._ticket, self._opened_after)

    def _ensure(self, spec: CollectionSpec, *, create: bool, writing: bool) -> None:
        try:
            opened = self._process.exchange("ensure", self._ticket, *self._opening, spec, create, writing)
        except CollectionNotFound:
            if writing:
                self._keeps_folder, self._opened_after = True, self._process.ended
            raise
        self.location, self._spec, self._differing = opened
        self._keeps_folder, self._opened_after = False, self._process.ended

    def _hold_off(self) -> None:
        while self._call("must_hold_off"):  # others have their turn
            time.sleep(_LOOKED_AT_EVERY_S)

    def _call(self, method: str, *arguments: Any) -> Any:
        with self._process.turn(_SHORT_S if method in _SHORT else None):
            spec = self.spec
            if self._opened_after != self._process.ended:  # that child has died
                self._ensure(spec, create=False, writing=False)
            return self._process.exchange(method, self._ticket, *arguments)


class _Child:
    """What the parent's calls come to: methods of the real collections."""

    def __init__(self, data: DataFolder) -> None:
        from search.index.edge.collections import EdgeCollections

        self._collections = EdgeCollections(data)
        self._awake = data.awake
        self._open: dict[int, EdgeIndex] = {}

    def answer(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """Call the method that a request names."""
        match name, arguments:
            case "info", (collection, exact):
                return self._collections.info(collection, exact=exact)
            case "names" | "aliases" | "previous" | "index_field" | "switch" | "unalias" | "drop" | "snapshot" | "restore", _:
                return getattr(self._collections, name)(*arguments)
            case "ensure", (ticket, collection, storage, purpose, spec, create, writing):
                index = self._open.get(ticket) or self._made(collection, storage, purpose)
                if writing:
                    self._open[ticket] = index  # though there is nothing to open: it keeps the folder then
                index.ensure(spec, create=create, writing=writing)
                self._open[ticket] = index
                return index.location, index.spec, index.differing
            case "close", (ticket,):
                if (closing := self._open.pop(ticket, None)) is not None:  # else an earlier child had it open
                    closing.close()
                return None
            case "delete", (ticket, ids, filter):
                return self._open[ticket].delete(ids=ids, filter=filter)
            case "scroll", (ticket, filter, fields, vectors, start):
                records = self._open[ticket].scroll(filter, fields, vectors=vectors, start=start)
                page = list(itertools.islice(records, _PAGE + 1))
                return page[:_PAGE], page[_PAGE].id if len(page) > _PAGE else None
            case "write" | "query" | "count" | "begin" | "must_hold_off" | "must_wait" | "discard", (ticket, *rest):
                return getattr(self._open[ticket], name)(*rest)
            case _:
                raise ValueError("there is no such call")

    def look_after(self) -> bool:
        """Take over graphs that are built, and have rest what is idle; whether there will be more of that to do."""
        for index in self._open.values():
            index.look_after()
        return self._awake.rest_idle() or any(index.is_building() for index in self._open.values())

    def close(self) -> None:
        """Write everything down."""
        with ExitStack() as closing:  # all of them, whatever one raises
            closing.callback(self._collections.close)
            for index in self._open.values():
                closing.callback(index.close)

    def _made(self, name: str, storage: StorageSettings, purpose: str | None) -> "EdgeIndex":
        return self._collections.named(name, storage) if purpose is None else self._collections.open(name, storage, purpose)


def _serve(connection: Connection, data: DataFolder) -> None:
    child = _Child(data)
    try:
        while True:
            while not connection.poll(_LOOKED_AT_EVERY_S if child.look_after() else None):
                pass
            name, arguments = connection.recv()
            answer, error = None, None
            try:
                answer = child.answer(name, arguments)
            except SearchError as raised:
                error = raised
            except Exception as raised:
                error = IndexFaulted(f"Qdrant Edge failed on {name}: {raised!r}")
            connection.send((answer, error))
    except (EOFError, OSError):
        pass  # the parent is done, or gone
    finally:
        child.close()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what ends the parent, ends this by and by
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal that closes sends it to both
    _serve(Connection(int(sys.argv[1])), DataFolder(Path(sys.argv[2]), User(*json.loads(sys.argv[3]))))
