"""Who writes to a collection of a server? One at a time, by a note in the collection that its writer renews.

Nobody's clock counts but one's own: a note is dead when it has not changed for as long as the one who waits has watched it.
"""

import contextlib
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from search.errors import IndexBusy, IndexFailure
from search.index.contract import Attempt, once

Note = dict[str, Any]

_RENEWED_EVERY_S = 3.0
_DEAD_AFTER_S = 12.0
_LOOKED_AT_EVERY_S = 0.5
_SETTLED_AFTER_S = 0.1  # two that write a note at once both read the later one then


def _command() -> str:
    """What this process runs, for people: the program, and which command of ours. Arguments of others may be secret."""
    program, *rest = sys.argv or [""]
    command = rest[:1] if Path(program).name == "search" else []
    return " ".join([program, *(word for word in command if word.isidentifier())])[:200]


class Lease:
    """Being the writer, for the time of a context."""

    def __init__(self, what: str, read: Callable[[], Note], write: Callable[[Note], None], attempt: Attempt = once) -> None:
        """Prepare to ask.

        Args:
            what: is written to, for people.
            read: the note that is there, empty if there is none.
            write: replaces it.
            attempt: carries out the requests by which this becomes the writer; renewing and letting go is tried once.
        """
        self._attempt = attempt
        self._renewed_at = time.monotonic()
        self._what = what
        self._read = read
        self._write = write
        self._claim = uuid.uuid4().hex
        self._who = f"process {os.getpid()} on {socket.gethostname()} ({_command()})"
        self._ended = threading.Event()
        self._renewing = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._one_at_a_time = threading.Lock()
        self._pid = os.getpid()
        self._beat = 0
        self._lost = ""

    def check(self) -> None:
        """Go on only while nobody else has taken over. A claim that could not be renewed in time is looked after now.

        Raises:
            IndexBusy: another process thought this one dead.
            IndexFailure: the note cannot be read or written now.
        """
        if not self._lost and time.monotonic() > self._renewed_at + _DEAD_AFTER_S:
            self._renew()
        if self._lost:
            raise IndexBusy(f"{self._what} is written to by {self._lost} now, since this process did not renew its claim in time")

    def __enter__(self) -> Self:
        """Become the writer.

        Raises:
            IndexBusy: another one is.
        """
        self._wait_for_the_dead()
        self._attempt(lambda: self._write({"claim": self._claim, "who": self._who, "beat": self._beat}))
        time.sleep(_SETTLED_AFTER_S)
        note = self._attempt(self._read)
        if note.get("claim") != self._claim:
            self._refuse(note)
        self._renewed_at = time.monotonic()
        self._renewing.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if os.getpid() != self._pid:  # a forked child unwinds; the note is its parent's
            return
        self._ended.set()
        self._renewing.join()
        try:
            if not self._lost and self._read().get("claim") == self._claim:
                self._write({})
        except IndexFailure:
            pass  # it dies by itself

    def _wait_for_the_dead(self) -> None:
        note = self._attempt(self._read)
        watched_until = time.monotonic() + _DEAD_AFTER_S
        while note and time.monotonic() < watched_until:
            time.sleep(_LOOKED_AT_EVERY_S)
            now = self._attempt(self._read)
            if now and now != note:
                self._refuse(now)
            note = now

    def _refuse(self, note: Note) -> None:
        raise IndexBusy(f"{self._what} is being written to by {note.get('who', 'another process')}: wait until it is done")

    def _keep(self) -> None:
        while not self._lost and not self._ended.wait(_RENEWED_EVERY_S):
            with contextlib.suppress(IndexFailure):  # the server may be back in time
                self._renew()

    def _renew(self) -> None:
        with self._one_at_a_time:
            note = self._read()
            if note.get("claim") != self._claim:
                self._lost = str(note.get("who", "another process"))
                return
            self._beat += 1
            self._write({"claim": self._claim, "who": self._who, "beat": self._beat})
            self._renewed_at = time.monotonic()
