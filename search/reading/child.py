"""Who reads a file that may be made to do harm? A child process with limits of time and memory, used again for the next file.

A page or a table of a few kilobytes can ask its library for gigabytes or for hours. Here such a file ends its reader at most, and
is rejected; the next one gets a new reader. The child is handed open files and nothing else: it knows no setting, no key and no
path, inherits no descriptor and next to nothing of the environment. It ends with its parent. What passes between the two is JSON
behind its length, never pickled objects, since whoever takes over the child must not take over the parent.

Pages are handed over a few ahead (docs/decisions.md, 38). Answers ahead wait in the child and in the socket's buffer, which bounds
them: the parent takes none before its turn.
"""

import json
import math
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

from search.documents import Document, Rejection
from search.errors import InvalidDocument, ReaderFailed
from search.kinds import MAILBOX
from search.reading.files import CHANGED, TRIES, Item, Snapshot, SourceFile
from search.reading.named import Named
from search.system.interpreter import interpreter
from search.system.posix import check_posix

_LENGTH = struct.Struct(">I")
_BLOCK = 1 << 16  # bytes received at a time
_MEGABYTE = 1_000_000
_AHEAD = 8  # files that the child has at most, with the one that is waited for …
_AHEAD_BYTES = 1 << 15  # … while their requests are no longer than this, which any socket holds: nobody waits to hand over more
_WALL = 5  # times as long as the processor may be used, in a step that waits for it …
_WALL_S = 60.0  # … and so many seconds on top
_STARTS_WITHIN_S = 60.0
_ENDS_WITHIN_S = 5.0
_LOOKS_EVERY_S = 1.0  # whether its parent is there
_RETIRES_AT = 0.25  # of its memory that a child does not give back after a file
_BETWEEN_S = 60.0  # of the processor, for what is no file's doing


class Limits(NamedTuple):
    """What reading one file may take."""

    seconds: float = 30  # of the processor, and as many again for each megabyte of the file; of a table, for each row
    memory_mb: int = 1000

    def seconds_for(self, size: int) -> float:
        """For a file of so many bytes."""
        return self.seconds * (1 + size / _MEGABYTE)


class Reader:
    """A child process that starts with the first file, and anew after each that ended it; ReaderFailed if none can be started."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._child: _Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def pages(self, files: Iterable[SourceFile]) -> Generator[Item]:
        """Read pages, an item for each file, in order; see `pages.read`. What changes meanwhile is read again.

        Files are taken a few ahead of the items.
        """
        coming, ahead = iter(files), deque[_Page]()
        try:
            while True:
                ahead.extend(map(_Page, islice(coming, _AHEAD - len(ahead))))
                if not ahead:
                    return
                self._hand_over(ahead)
                if item := self._item_of(ahead[0]):
                    ahead.popleft().close()
                    yield item
        finally:
            for page in ahead:
                page.close()
            if self._child and self._child.waiting:
                self._end()

    def rows(self, stream: BinaryIO, file: SourceFile, fields: Mapping[str, str], named: Named | None = None) -> Iterator[Item]:
        """Read a table; see `tables.read_table`. What ends the child is a rejection behind the rows before."""
        named = named or Named(fields)
        try:
            for kind, value in self._ask("rows", stream, file, fields):
                if kind == "named":
                    named.add(value)
                else:
                    yield _item(kind, value, file)
        except InvalidDocument as error:
            named.forget()
            yield file.reject_many(str(error))

    def count(self, stream: BinaryIO, file: SourceFile, fields: Mapping[str, str]) -> int:
        """How many documents a table has; see `contents` for errors."""
        ((_, number),) = self._ask("count", stream, file, fields)
        return int(number)

    def contents(self, stream: BinaryIO, file: SourceFile, *, alone: bool = False) -> Iterator[tuple[str, Any]]:
        """What is in an archive; see `archives.contents`.

        Raises:
            InvalidDocument: it cannot be unpacked, or not within the limits.
        """
        yield from self._ask("content" if alone else "contents", stream, file)

    def _hand_over(self, pages: Iterable["_Page"]) -> None:
        """Open and send those that the present child has not got, in order."""
        for page in pages:
            child = self._present()
            if page.rejection or (child and page.child is child):
                continue
            if child and sum(size for size, _ in child.waiting) > _AHEAD_BYTES:
                return
            if stream := page.open():
                page.child = child or self._start()
                page.child.send("page", stream, page.file)

    def _item_of(self, page: "_Page") -> Item | None:
        """Wait for the item of the first page without one; None if it has to be handed over again."""
        if not page.child:
            return page.rejection
        try:
            ((kind, value),) = self._answers(page.child)
            modified = page.unchanged_since()
            if modified is not None:
                about = {"modified": modified, "folder": page.file.folder} if kind == "document" else {}
                return _item(kind, value | about, page.file)
        except InvalidDocument as error:
            return page.file.reject(str(error))
        if self._child and self._child.waiting:
            self._end()  # it would answer those behind first
        return page.rejection

    def _ask(self, what: str, stream: BinaryIO, file: SourceFile, fields: Mapping[str, str] | None = None) -> Iterator[Any]:
        """Send a file; what comes back."""
        child = self._present()
        if child and child.waiting:  # pages that nobody has waited for, which it would answer first
            self._end()
        child = self._child or self._start()
        child.send(what, stream, file, fields)
        return self._answers(child)

    def _answers(self, child: "_Child") -> Iterator[tuple[str, Any]]:
        """What comes back for the first file without an answer. Unless it goes on from there, the child is ended.

        Raises:
            InvalidDocument: the file cannot be read, or not within the limits.
        """
        refused, goes_on = None, False
        try:
            while True:
                kind, value = child.receive()
                match kind:
                    case "end":
                        child.waiting.popleft()
                        goes_on = not value
                        break
                    case "refused":
                        refused = value
                    case _:
                        yield kind, value
        finally:
            if not goes_on:
                self._end()
        if refused:
            raise InvalidDocument(refused)

    def _present(self) -> "_Child | None":
        """The child; none in a fork of the process that started it, which goes on with it."""
        if self._child and self._child.owner != os.getpid():
            self._child.forget()
            self._child = None
        return self._child

    def _start(self) -> "_Child":
        self._child = _Child(self._limits)
        return self._child

    def _end(self) -> None:
        child, self._child = self._present(), None
        if child:
            child.end()


class _Page:
    """A file that is handed over, until its item is there.

    Attributes:
        child: which has it.
        rejection: of what no child can read.
    """

    def __init__(self, file: SourceFile) -> None:
        self.file = file
        self.child: _Child | None = None
        self.rejection: Item | None = None
        self._snapshot: Snapshot | None = None
        self._tries = TRIES

    def open(self) -> BinaryIO | None:
        """Open the file anew: another child may have read some of it."""
        self.close()
        try:
            self._snapshot = self.file.snapshot()
        except InvalidDocument as error:
            self.rejection = self.file.reject(str(error))
        except OSError as error:
            self.rejection = self.file.reject(f"cannot be read: {error.strerror}")
        return self._snapshot.stream if self._snapshot else None

    def close(self) -> None:
        """Close the file; no child has it then."""
        if self._snapshot:
            self._snapshot.stream.close()
        self.child = self._snapshot = None

    def unchanged_since(self) -> float | None:
        """When the file was last written to, in seconds since 1970; None if that was after it was opened: its answer is void."""
        if self._snapshot and self._snapshot.is_current():
            return self._snapshot.status.st_mtime
        self.close()
        self._tries -= 1
        if not self._tries:
            self.rejection = self.file.reject(CHANGED)
        return None


class _Child:
    """The process and the socket to it.

    Attributes:
        owner: the process that started it.
        waiting: the requests that it has not answered, each with its bytes and how many seconds it may take.
    """

    def __init__(self, limits: Limits) -> None:
        """Start it.

        Raises:
            ReaderFailed: it does not start.
            SearchError: this is no POSIX system.
        """
        check_posix("reading pages, PDF, office documents, spreadsheets, archives, Parquet and JSON files")
        from search.settings import child_environment  # which the child, importing this file, has no use for

        self.owner = os.getpid()
        self.waiting = deque[tuple[int, float]]()
        self._limits = limits
        self._buffer = bytearray()
        package = Path(__file__).absolute().parents[2]  # the very one that runs here, then whatever its libraries are found by
        try:
            command = [interpreter(), "-P", "-m", __name__, str(os.getpid()), str(limits.memory_mb * _MEGABYTE)]
            self._connection, child_end = socket.socketpair()
        except OSError as error:
            raise ReaderFailed(_not_started(error)) from error
        try:
            with child_end:
                self.process = subprocess.Popen(  # noqa: S603  # our own
                    command,
                    stdin=child_end.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,  # libraries quote what they read
                    cwd="/",
                    env=child_environment(
                        PYTHONPATH=os.pathsep.join(map(str, (package, *(Path(entry).absolute() for entry in sys.path if entry)))),
                        ARROW_DEFAULT_MEMORY_POOL="system",  # which the limit of memory counts as used, and gives back
                        MALLOC_ARENA_MAX="1",
                        OMP_NUM_THREADS="1",
                    ),
                )
        except OSError as error:
            self._connection.close()
            raise ReaderFailed(_not_started(error)) from error
        if not self._is_ready():
            self.end()
            raise ReaderFailed(
                f"the process that reads files ended with {self.process.returncode} before it read any; "
                f"see what `{' '.join(command[:-2])}` says"
            )

    def send(self, what: str, stream: BinaryIO, file: SourceFile, fields: Mapping[str, str] | None = None) -> None:
        """Hand over a file. If it has died meanwhile, receiving says how."""
        seconds = self._limits.seconds_for(os.fstat(stream.fileno()).st_size)
        request = {
            "what": what,
            "path": file.path.name + ".mbox" * (file.media_type == MAILBOX),  # tables are read by their suffix
            "name": file.name,
            "folder": file.folder,
            "media_type": file.media_type,
            "fields": dict(fields or {}),
            "seconds": seconds,
        }
        content = _encoded(request)
        message = _LENGTH.pack(len(content)) + content
        self.waiting.append((len(message), seconds))
        with suppress(OSError):
            self._connection.settimeout(_WALL_S)
            sent = socket.send_fds(self._connection, [message], [stream.fileno()])
            self._connection.sendall(message[sent:])

    def receive(self) -> tuple[str, Any]:
        """The next piece of the answer for the first file that waits for one.

        Raises:
            InvalidDocument: it did not come; why.
            ReaderFailed: this is a fork of the process that handed over the file.
        """
        if self.owner != os.getpid():
            raise ReaderFailed("the process was forked while a file was being read; read it in one process only")
        deadline = time.monotonic() + _WALL * self.waiting[0][1] + _WALL_S
        length = _LENGTH.unpack(self._received(_LENGTH.size, deadline))[0]
        if length > self._limits.memory_mb * _MEGABYTE:
            raise InvalidDocument("its reader answered with more than it may have in memory; leave it out")
        kind, value = json.loads(self._received(length, deadline).decode("utf-8", "surrogatepass"))
        return kind, value

    def end(self) -> None:
        """Kill it. It holds no state that it would have to save."""
        self._connection.close()
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):  # it may be in a call to a file system that does not answer
            self.process.wait(_ENDS_WITHIN_S)

    def forget(self) -> None:
        """Leave the child to the process that this one was forked from."""
        self._connection.close()
        self.process.returncode = 0  # of no child of ours, which otherwise would be called unfinished

    def _is_ready(self) -> bool:
        try:
            self._connection.settimeout(_STARTS_WITHIN_S)
            return bool(self._connection.recv(1))
        except OSError:
            return False

    def _received(self, size: int, deadline: float) -> bytes:
        """Receive exactly this number of bytes."""
        while len(self._buffer) < size:
            try:
                self._connection.settimeout(max(deadline - time.monotonic(), 0.001))
                block = self._connection.recv(_BLOCK)
            except TimeoutError as error:
                raise InvalidDocument("reading it makes no progress; leave it out, or convert it") from error
            except OSError:
                block = b""
            if not block:
                raise InvalidDocument(self._exit_reason())
            self._buffer += block
        received = bytes(self._buffer[:size])
        del self._buffer[:size]
        return received

    def _exit_reason(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_ENDS_WITHIN_S)
        status = self.process.returncode
        if status == -signal.SIGXCPU:
            return (
                f"reading it takes more than {self.waiting[0][1]:,.0f} s of processor time; split it, "
                "or raise SEARCH_INGESTION__FILE_SECONDS"
            )
        if status in {-signal.SIGKILL, -signal.SIGABRT, _OUT_OF_MEMORY}:  # what libraries do that get no memory
            return (
                f"reading it takes more than {self._limits.memory_mb:,} MB of memory; split it, "
                "or raise SEARCH_INGESTION__FILE_MEMORY_MB"
            )
        cause = signal.Signals(-status).name if status and status < 0 else f"status {status}"
        return f"reading it ended the process that read it ({cause}); it may be damaged"


def _not_started(error: OSError) -> str:
    return f"no process can be started to read files in: {error.strerror}; files of text and JSON lines need none"


def _item(kind: str, value: dict[str, Any], file: SourceFile) -> Item:
    """What the child made of a file, or of a row of it. A rejection of all of it says where that is, which no child knows."""
    if kind == "document":
        return Document(**value)
    rejection = Rejection(**value)
    if rejection.content != SourceFile(Path("/", file.path.name), file.name).place():
        return rejection
    return (file.reject_many if rejection.document_id is None else file.reject)(rejection.reason)


def _encoded(value: Any) -> bytes:
    """A message as JSON, without its length."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


# What follows runs in the child.

_OUT_OF_MEMORY = 137


def _serve(connection: socket.socket, memory: int) -> None:
    from search.reading import archives, pages, tables  # noqa: F401  # before memory is short

    _limit(memory)
    connection.sendall(b"+")
    out = connection.makefile("wb")

    def answer(kind: str, value: Any) -> None:
        content = _encoded([kind, value])
        out.write(_LENGTH.pack(len(content)))
        out.write(content)

    while True:
        header, descriptors, *_ = socket.recv_fds(connection, _LENGTH.size, 1)
        if not header:
            return  # the parent is done, or gone
        request = json.loads(_exactly(connection, _LENGTH.unpack(header)[0]))
        file = SourceFile(Path(request["path"]), request["name"], None, request["folder"], request["media_type"])  # in /
        _allow(request["seconds"])
        with os.fdopen(descriptors[0], "rb") as stream:
            try:
                for kind, value in _answers(request, stream, file):
                    answer(kind, value)
                    if request["what"] == "rows":
                        out.flush()
            except MemoryError:
                os._exit(_OUT_OF_MEMORY)
            except InvalidDocument as error:
                answer("refused", str(error))
            except Exception as error:
                answer("refused", f"cannot be read: {str(error) or type(error).__name__}")
        _allow(_BETWEEN_S)
        answer("end", _memory() > memory * _RETIRES_AT)
        out.flush()


def _answers(request: Mapping[str, Any], stream: BinaryIO, file: SourceFile) -> Iterator[tuple[str, Any]]:
    from search.reading import archives, pages, tables

    match request["what"]:
        case "page":
            yield _plain(pages.read(stream, file))
        case "rows":
            named = Named(request["fields"])
            for item in tables.read_table(stream, file, request["fields"], None, named):
                yield _plain(item)
                _allow(request["seconds"])
            yield "named", named.to_dict()
        case "contents" | "content":
            yield from archives.contents(stream, file, alone=request["what"] == "content")
        case _:
            yield "count", tables.count(stream, file, request["fields"])


def _plain(item: Item) -> tuple[str, dict[str, Any]]:
    if isinstance(item, Document):
        names = ("id", "text", "title", "metadata", "media_type", "modified", "origin", "folder", "remarks")
        return "document", {name: getattr(item, name) for name in names}
    return "rejection", asdict(item)


def _exactly(connection: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        content += connection.recv(size - len(content)) or sys.exit(0)
    return content


def _limit(memory: int) -> None:
    import resource

    for limit, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_DATA, memory)):
        hard = resource.getrlimit(limit)[1]
        lowered = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (lowered, lowered))


def _allow(seconds: float) -> None:
    """Limit the CPU seconds from now on; the system kills a process that takes more."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    until = math.ceil(time.process_time() + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (until if hard == resource.RLIM_INFINITY else min(until, hard), hard))


def _memory() -> int:
    """Bytes of data that this process has now; 0 where the system has no /proc."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[5]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _end_with(parent: int) -> None:
    """End this process when its parent has ended. The connection ends, too, unless a fork of the parent holds it open."""
    while os.getppid() == parent:
        time.sleep(_LOOKS_EVERY_S)
    os._exit(0)


def _main(parent: int, memory: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what interrupts the parent, ends this by and by
    threading.Thread(target=_end_with, args=[parent], daemon=True).start()
    with suppress(OSError):  # the parent is gone
        _serve(socket.socket(fileno=0), memory)


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]))
