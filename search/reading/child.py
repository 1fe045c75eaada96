"""Who reads a file that may be made to do harm? A child process with limits of time and memory, used again for the next file.

A page or a table of a few kilobytes can ask its library for gigabytes or for hours. Here such a file ends its reader at most, and
is rejected; the next one gets a new reader. The child is handed open files and nothing else: it knows no setting, no key and no
path, inherits no descriptor and next to nothing of the environment. It ends with its parent. What passes between the two is JSON
behind its length, never pickled objects, since whoever takes over the child must not take over the parent.
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
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

from search.documents import Document, Rejection
from search.errors import InvalidDocument, ReaderFailed
from search.reading.files import Item, SourceFile

_LENGTH = struct.Struct(">I")
_BLOCK = 1 << 16  # bytes received at a time
_MEGABYTE = 1_000_000
_WALL = 5  # times as long as the processor may be used, in a step that waits for it …
_WALL_S = 60.0  # … and so many seconds on top
_STARTS_WITHIN_S = 60.0
_ENDS_WITHIN_S = 5.0
_LOOKS_EVERY_S = 1.0  # whether its parent is there
_RETIRES_AT = 0.25  # of its memory that a child does not give back after a file


class Limits(NamedTuple):
    """What reading one file may take."""

    seconds: float = 30  # of the processor, and as many again for each megabyte of the file; of a table, for each row
    memory_mb: int = 1000

    def seconds_for(self, size: int) -> float:
        """For a file of so many bytes."""
        return self.seconds * (1 + size / _MEGABYTE)


class Reader:
    """A child process that starts with the first file, and anew after each one that ended it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._child: tuple[subprocess.Popen[bytes], socket.socket] | None = None
        self._owner = 0  # the process that started the child

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def page(self, stream: BinaryIO, file: SourceFile) -> Item:
        """Read a page; see `pages.read`.

        Raises:
            InvalidDocument: it cannot be read, or not within the limits.
            ReaderFailed: no child can be started.
        """
        (item,) = [_item(*answer) for answer in self._ask("page", stream, file)]
        return item

    def rows(self, stream: BinaryIO, file: SourceFile, fields: Mapping[str, str]) -> Iterator[Item]:
        """Read a table; see `tables.read_table`. What ends the child is a rejection behind the rows before.

        Raises:
            ReaderFailed: no child can be started.
        """
        try:
            for answer in self._ask("rows", stream, file, dict(fields)):
                yield _item(*answer)
        except InvalidDocument as error:
            yield file.reject_many(str(error))

    def count(self, stream: BinaryIO, file: SourceFile) -> int:
        """How many rows a table has.

        Raises:
            InvalidDocument: it cannot be read, or not within the limits.
            ReaderFailed: no child can be started.
        """
        ((_, number),) = self._ask("count", stream, file)
        return int(number)

    def _ask(self, what: str, stream: BinaryIO, file: SourceFile, fields: Mapping[str, str] | None = None) -> Iterator[Any]:
        """Hand over a file; what comes back."""
        if self._child and self._owner != os.getpid():
            self._forget()
        seconds = self._limits.seconds_for(os.fstat(stream.fileno()).st_size)
        process, connection = self._child or self._start()
        request = {"what": what, "path": file.path.name, "name": file.name, "fields": fields or {}, "seconds": seconds}
        content = json.dumps(request).encode()
        finished = False
        try:
            with suppress(OSError):  # it has died; receiving says how
                connection.settimeout(_WALL_S)
                message = _LENGTH.pack(len(content)) + content
                sent = socket.send_fds(connection, [message], [stream.fileno()])
                connection.sendall(message[sent:])
            answers = self._answers(process, connection, _WALL * seconds + _WALL_S, f"more than {seconds:,.0f} s of processor time")
            for kind, value in answers:
                if kind == "end":
                    finished = not value
                    return
                if kind == "refused":
                    raise InvalidDocument(value)
                yield kind, value
        finally:
            if not finished:
                self._end()

    def _answers(
        self, process: subprocess.Popen[bytes], connection: socket.socket, wall_s: float, too_long: str
    ) -> Iterator[tuple[str, Any]]:
        buffer = bytearray()
        while True:
            deadline = time.monotonic() + wall_s
            length = _LENGTH.unpack(self._received(connection, buffer, _LENGTH.size, deadline, process, too_long))[0]
            if length > self._limits.memory_mb * _MEGABYTE:
                message = "its reader answered with more than it may have in memory; leave it out"
                raise InvalidDocument(message)
            kind, value = json.loads(
                self._received(connection, buffer, length, deadline, process, too_long).decode("utf-8", "surrogatepass")
            )
            yield kind, value

    def _received(
        self,
        connection: socket.socket,
        buffer: bytearray,
        size: int,
        deadline: float,
        process: subprocess.Popen[bytes],
        too_long: str,
    ) -> bytes:
        """So many bytes of an answer.

        Raises:
            InvalidDocument: they did not come; why.
        """
        while len(buffer) < size:
            if self._owner != os.getpid():
                message = "the process was forked while a file was being read; read it in one process only"
                raise ReaderFailed(message)
            try:
                connection.settimeout(max(deadline - time.monotonic(), 0.001))
                block = connection.recv(_BLOCK)
            except TimeoutError as error:
                message = "reading it makes no progress; leave it out, or convert it"
                raise InvalidDocument(message) from error
            except OSError:
                block = b""
            if not block:
                raise InvalidDocument(self._cause_of_death(process, too_long))
            buffer += block
        taken = bytes(buffer[:size])
        del buffer[:size]
        return taken

    def _cause_of_death(self, process: subprocess.Popen[bytes], too_long: str) -> str:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_ENDS_WITHIN_S)
        status = process.returncode
        if status == -signal.SIGXCPU:
            return f"reading it takes {too_long}; split it, or raise SEARCH_INGESTION__FILE_SECONDS"
        if status in {-signal.SIGKILL, -signal.SIGABRT, _OUT_OF_MEMORY}:  # what libraries do that get no memory
            return (
                f"reading it takes more than {self._limits.memory_mb:,} MB of memory; split it, "
                "or raise SEARCH_INGESTION__FILE_MEMORY_MB"
            )
        how = signal.Signals(-status).name if status and status < 0 else f"status {status}"
        return f"reading it ended the process that read it ({how}); it may be damaged"

    def _start(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        from search.settings import child_environment  # which the child, importing this file, has no use for

        package = Path(__file__).absolute().parents[2]  # the very one that runs here, then whatever its libraries are found by
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise ReaderFailed(_not_started(error)) from error
        try:
            with theirs:
                command = [sys.executable, "-P", "-m", __name__, str(os.getpid()), str(self._limits.memory_mb * _MEGABYTE)]
                process = subprocess.Popen(  # noqa: S603  # our own
                    command,
                    stdin=theirs.fileno(),
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
            ours.close()
            raise ReaderFailed(_not_started(error)) from error
        self._child, self._owner = (process, ours), os.getpid()
        try:
            ours.settimeout(_STARTS_WITHIN_S)
            greeting = ours.recv(1)
        except OSError:
            greeting = b""
        if not greeting:
            self._end()
            message = (
                f"the process that reads files ended with {process.returncode} before it read any; "
                f"see what `{' '.join(command[:-2])}` says"
            )
            raise ReaderFailed(message)
        return self._child

    def _end(self) -> None:
        """End the child. It keeps nothing, so it need not be asked."""
        if self._child and self._owner != os.getpid():
            self._forget()
        if self._child:
            (process, connection), self._child = self._child, None
            connection.close()
            process.kill()
            with suppress(subprocess.TimeoutExpired):  # it may be in a call to a file system that does not answer
                process.wait(_ENDS_WITHIN_S)

    def _forget(self) -> None:
        """Leave the child to the process that this one was forked from."""
        if self._child:
            (process, connection), self._child = self._child, None
            connection.close()
            process.returncode = 0  # of no child of ours, which otherwise would be called unfinished


def _not_started(error: OSError) -> str:
    return f"no process can be started to read files in: {error.strerror}; files of text and JSON lines need none"


def _item(kind: str, value: dict[str, Any]) -> Item:
    return Document(**value) if kind == "document" else Rejection(**value)


# What follows runs in the child.

_OUT_OF_MEMORY = 137


def _serve(connection: socket.socket, memory: int) -> None:
    from search.reading import pages, tables

    _limit(memory)
    connection.sendall(b"+")
    out = connection.makefile("wb")

    def answer(kind: str, value: Any) -> None:
        content = json.dumps([kind, value], ensure_ascii=False).encode("utf-8", "surrogatepass")
        out.write(_LENGTH.pack(len(content)))
        out.write(content)

    while True:
        header, descriptors, *_ = socket.recv_fds(connection, _LENGTH.size, 1)
        if not header:
            return  # the parent is done, or gone
        request = json.loads(_exactly(connection, _LENGTH.unpack(header)[0]))
        file = SourceFile(Path(request["path"]), request["name"])
        seconds = request["seconds"]
        _allow(seconds)
        with os.fdopen(descriptors[0], "rb") as stream:
            try:
                match request["what"]:
                    case "page":
                        answer(*_told(pages.read(stream, file)))
                    case "rows":
                        for item in tables.read_table(stream, file, request["fields"], None):
                            answer(*_told(item))
                            out.flush()
                            _allow(seconds)
                    case _:
                        answer("count", tables.count(stream, file))
            except MemoryError:
                os._exit(_OUT_OF_MEMORY)
            except InvalidDocument as error:
                answer("refused", str(error))
            except Exception as error:
                answer("refused", f"cannot be read: {str(error) or type(error).__name__}")
        answer("end", _memory() > memory * _RETIRES_AT)
        out.flush()


def _told(item: Item) -> tuple[str, dict[str, Any]]:
    if isinstance(item, Document):
        names = ("id", "text", "title", "metadata", "media_type", "modified", "origin")
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
    """So much of the processor from now on; whoever takes more is ended by the system."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    until = math.ceil(time.process_time() + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (until if hard == resource.RLIM_INFINITY else min(until, hard), hard))


def _memory() -> int:
    """Bytes of data that this process has now; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[5]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _end_with(parent: int) -> None:
    """End this process when its parent has ended: the connection tells it, but not if a fork of the parent holds it open, too."""
    while os.getppid() == parent:
        time.sleep(_LOOKS_EVERY_S)
    os._exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what interrupts the parent, ends this by and by
    threading.Thread(target=_end_with, args=[int(sys.argv[1])], daemon=True).start()
    with suppress(OSError):  # the parent is gone
        _serve(socket.socket(fileno=0), int(sys.argv[2]))
