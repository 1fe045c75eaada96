"""Python processes forked from one that has everything imported, which takes a third of a second or more.

Such a process is no fork of the tests' own: it has no thread, no lock and no model of theirs, runs as the main program and ends by
way of all finalisers. tests/index/test_edge_process.py starts processes of Qdrant Edge as users do.
"""

import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

ENGINE = "search.index.edge.process"
OF_ENGINES = ("search.index.edge.collections",)  # and not the module itself, which is run
OF_SEARCHERS = (
    "qdrant_client",
    "search.embedding.dense",
    "search.index.edge.collections",
    "search.index.filters",
    "search.index.server.collections",
    "search.ingestion.chunking",
    "search.query.service",
    "search.searcher",
)
_LONGEST = 1 << 17  # bytes of a message


class Forked:
    """As much of subprocess.Popen as is used."""

    def __init__(self, answer: int) -> None:
        self._answer = os.fdopen(answer, "rb", buffering=0)  # its number; and its exit status, once it has ended
        self.pid = int(self._answer.readline())
        self.returncode: int | None = None

    def __del__(self) -> None:
        self._answer.close()

    def poll(self) -> int | None:
        """The exit status, negative that of a signal, if it has ended."""
        if self.returncode is None and select.select([self._answer], [], [], 0)[0]:
            self.returncode = int(self._answer.readline())
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not.
        """
        if self.returncode is None:
            select.select([self._answer], [], [], timeout)
        if (status := self.poll()) is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return status

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


@cache
def _parent(imports: tuple[str, ...]) -> socket.socket:
    """The process that forks, which ends with the last one that may ask it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, __file__, str(theirs.fileno()), *imports]
        subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, cwd="/").returncode = 0  # nobody waits
    return ours


def ready(imports: tuple[str, ...]) -> None:
    """Have that process now, for this one and its forks; else each of them would have one of its own."""
    _parent(imports)


def start(
    imports: tuple[str, ...],
    arguments: Sequence[str],
    *,
    handles: Mapping[int, int] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Forked:
    """Do what `python ARGUMENTS` does, with -m MODULE or -c CODE, in a session of its own.

    Args:
        imports: modules that the process finds imported.
        arguments: of Python's own, none is heeded.
        handles: of this process, by the number that the other gets each as; from 3 on another, which stands for it in arguments.
        environment: in place of this process's.
    """
    handles = handles or {}
    ours, theirs = os.pipe()
    try:
        told = [list(arguments), list(handles), str(Path.cwd()), dict(os.environ if environment is None else environment)]
        socket.send_fds(_parent(imports), [json.dumps(told).encode()], [theirs, *handles.values()])
    finally:
        os.close(theirs)
    return Forked(ours)


@contextmanager
def engines_forked() -> Iterator[None]:
    """Whoever starts a process of Qdrant Edge has it forked."""

    def forked(command: Sequence[str], *, pass_fds: Sequence[int], **_: Any) -> Forked:
        return start(OF_ENGINES, command[1:], handles={number: number for number in pass_fds})

    with patch(f"{ENGINE}.subprocess", SimpleNamespace(**{**vars(subprocess), "Popen": forked})):
        yield


def _asked(asking: socket.socket) -> list[str]:
    """Fork for each message; returns in the new process alone, with its arguments."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, received, _, _ = socket.recv_fds(asking, _LONGEST, 8)
        if not message:
            sys.exit()
        answer, *given = received
        if os.fork() == 0:
            asking.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if (child := os.fork()) == 0:
                os.close(answer)
                return _begun(given, *json.loads(message))
            for handle in given:
                os.close(handle)
            os.write(answer, f"{child}\n".encode())
            os.write(answer, f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n".encode())
            os._exit(0)
        for handle in (answer, *given):
            os.close(handle)


def _begun(given: list[int], arguments: list[str], numbers: list[int], folder: str, environment: dict[str, str]) -> list[str]:
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for handle, number in zip(given, numbers, strict=True):
        if number < 3:
            os.dup2(handle, number)
            os.close(handle)
        else:
            arguments = [str(handle) if one == str(number) else one for one in arguments]
    return arguments


if __name__ == "__main__":
    for name in sys.argv[2:]:
        import_module(name)
    gc.freeze()  # else each one, as it ends, would look through all of that for garbage, and copy the memory that it is in
    arguments_ = _asked(socket.socket(fileno=int(sys.argv[1])))
    if "-m" in arguments_:
        module, *sys.argv[1:] = arguments_[arguments_.index("-m") + 1 :]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        code, *sys.argv[1:] = arguments_[arguments_.index("-c") + 1 :]
        exec(compile(code, "<forked>", "exec"), globals())  # noqa: S102  # the tests' own
