"""Who writes to a collection of a server? One at a time, by a note in the collection that its writer renews: docs/decisions.md, 24.

Earlier versions of this package keep their note in the collection's metadata. It is honoured, and where the API key may write
there, one is kept there for them.
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
from typing import Any, NamedTuple, Protocol, Self

from search.errors import IndexBusy, IndexDenied, IndexFailure, IndexFaulted
from search.index.contract import Attempt, once

Note = dict[str, Any]

_RENEWED_EVERY_S = 3.0
_DEAD_AFTER_S = 12.0
_SURE_FOR = 0.8  # of that time a writer goes on without a renewal: clocks may differ in speed by as much as the rest
_LOOKED_AT_EVERY_S = 0.5
_SETTLED_AFTER_S = 0.1  # two that write a note into the metadata at once both read the later one then


def _command() -> str:
    """What this process runs, for people: the program, and which command of ours. Arguments of others may be secret."""
    program, *rest = sys.argv or [""]
    command = rest[:1] if Path(program).name == "search" else []
    return " ".join([program, *(word for word in command if word.isidentifier())])[:200]


def _first_number() -> int:
    """The number of a claim where no note is: higher than any that a note may have had which was lost, as with its shard."""
    return time.time_ns() // 1_000_000  # nobody claims a thousand times a second for long


class Noted(Protocol):
    """Where the note of the writer stands."""

    def read(self) -> Note:
        """The note that is there; empty if there is none."""

    def put(self, note: Note, instead_of: Note) -> None:
        """Write a note if the one that is there is still the given one; an empty one stands for none at all."""


class Metadata(NamedTuple):
    """Where earlier versions keep theirs: whoever wrote last has it."""

    read: Callable[[], Note]  # empty if there is none
    write: Callable[[Note], None]  # IndexDenied for a key that may write points alone


class Clock:
    """What time it is, and how it passes: on this machine, so that nobody else's clock counts."""

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let them pass."""
        time.sleep(seconds)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Let them pass until the event is set; whether it is."""
        return event.wait(seconds)


class Lease:
    """Being the writer, for the time of a context.

    Attributes:
        number: of this claim, higher than that of every claim before.
    """

    def __init__(self, what: str, noted: Noted, earlier: Metadata, attempt: Attempt = once, clock: Clock | None = None) -> None:
        """Prepare to ask for being the writer of something, called `what` for people.

        `attempt` carries out the requests by which this becomes the writer; renewing and letting go is tried once.
        """
        self._attempt = attempt
        self._clock = clock or Clock()
        self._what = what
        self._noted = noted
        self._earlier = _Earlier(earlier, self._clock)
        self._claim = uuid.uuid4().hex
        self._who = f"process {os.getpid()} on {socket.gethostname()} ({_command()})"
        self._ended = threading.Event()
        self._renewing = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._one_at_a_time = threading.Lock()
        self._pid = os.getpid()
        self._before: Note = {}  # what was there when this one asked
        self._note: Note = {}  # as it was last seen to be there
        self._beat = 0
        self._sure_until = 0.0
        self._lost = ""
        self._said = False  # that it was lost
        self.number = 0

    def check(self) -> None:
        """Go on only while nobody else has taken over. A claim that could not be renewed in time is looked after now.

        Raises:
            IndexBusy: another process thought this one dead.
            IndexFailure: the note cannot be read or written now.
        """
        if not self._lost and self._clock.monotonic() > self._sure_until:
            self._renew()
        if self._lost:
            self._said = True
            raise IndexBusy(
                f"{self._what} is written to by {self._lost} now, which took this process for dead or did not see its claim"
            )
        if self._clock.monotonic() > self._sure_until:
            raise IndexFaulted(f"the claim to {self._what} could not be renewed in time; try again")

    def watch(self) -> None:
        """Go on only while nobody has claimed since this one asked, for who does without the claim that there was no room for.

        Raises:
            IndexBusy: somebody has.
            IndexFailure: the note cannot be read now.
        """
        found = self._noted.read()
        other = found if found not in ({}, self._before) and found.get("claim") != self._claim else self._earlier.other()
        if other:
            raise IndexBusy(
                f"{self._what} is written to by {other.get('who') or 'another process'} now, which saw no claim of this one, as "
                "there is no room for one; what is left to remove stays until the same is run again"
            )

    def __enter__(self) -> Self:
        """Become the writer; IndexBusy if another one is."""
        before = self._before = self._free()
        self._attempt(lambda: self._refuse_earlier(before))
        self.number = int(before["number"]) + 1 if before else _first_number()
        self._note = self._renewed()
        asked = self._clock.monotonic()
        mine = False
        try:
            self._attempt(lambda: self._noted.put(self._note, before))
            note = self._attempt(self._noted.read)
            mine = note.get("claim") == self._claim
            if not mine:
                self._refuse(note)
            self._sure_until = asked + self._sure_for
            self._attempt(lambda: self._earlier.announce(self._note))
            self._clock.sleep(_SETTLED_AFTER_S)
            if other := self._attempt(self._earlier.other):
                self._refuse(other)
        except BaseException:
            self._let_go()
            if mine:  # so what stands there now is no other's, see watch
                self._before = self._released()
            raise
        self._renewing.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if os.getpid() != self._pid:  # a forked child unwinds; the note is its parent's
            return
        self._ended.set()
        self._renewing.join()
        self._let_go()
        if kind is None and self._lost and not self._said:  # what was written last may have been refused
            self.check()

    @property
    def _sure_for(self) -> float:
        return _SURE_FOR * _DEAD_AFTER_S

    def _renewed(self) -> Note:
        """The note with another beat: each is written once, so that whoever finds it knows since when it may be there."""
        self._beat += 1
        note = {"claim": self._claim, "who": self._who, "beat": self._beat, "number": self.number}
        return {**note, **self._earlier.buried}

    def _refuse_earlier(self, before: Note) -> None:
        if note := self._watched(self._earlier.other(before), self._earlier.other):
            self._earlier.bury(note)

    def _free(self) -> Note:
        """The note that this one's takes the place of: that of one who let go, or is dead."""
        return self._watched(self._attempt(self._noted.read), lambda: self._attempt(self._noted.read))

    def _watched(self, note: Note, read: Callable[[], Note]) -> Note:
        """What stands in the place of a note when its claim was let go, or stood still until it is dead; IndexBusy if it moved."""
        watched_until = self._clock.monotonic() + _DEAD_AFTER_S
        while note.get("claim") and self._clock.monotonic() < watched_until:
            self._clock.sleep(_LOOKED_AT_EVERY_S)
            now = read()
            if now.get("claim") and now != note:
                self._refuse(now)
            note = now
        return note

    def _refuse(self, note: Note) -> None:
        raise IndexBusy(f"{self._what} is being written to by {note.get('who') or 'another process'}: wait until it is done")

    def _keep(self) -> None:
        while not self._lost and not self._clock.wait(self._ended, _RENEWED_EVERY_S):
            with contextlib.suppress(IndexFailure):  # the server may be back in time
                self._renew()
            if not self._lost:
                with contextlib.suppress(IndexFailure):
                    self._heed_earlier()

    def _renew(self) -> None:
        with self._one_at_a_time:
            for _ in range(2):  # the last one may have been written after all, though it seemed to fail
                asked = self._clock.monotonic()
                note = self._renewed()
                self._noted.put(note, self._note)
                found = self._noted.read()
                if found and found.get("claim") != self._claim:
                    self._lost = str(found.get("who") or "another process")
                    return
                self._note = found
                if found.get("beat") == note["beat"]:
                    self._sure_until = asked + self._sure_for
                    return

    def _heed_earlier(self) -> None:
        """Give way to an earlier version, which could not see this one's note; tell it of this one, where that is possible."""
        if other := self._earlier.other():
            self._lost = str(other.get("who") or "another process")
            return
        self._earlier.announce(self._note)

    def _released(self) -> Note:
        return {"claim": "", "who": "", "beat": 0, "number": self.number, **self._earlier.buried}

    def _let_go(self) -> None:
        with contextlib.suppress(IndexFailure):  # else it dies by itself
            released = self._released()
            self._noted.put(released, self._note)
            found = self._noted.read()
            if found.get("claim") == self._claim:  # as another renewal left it, which seemed to fail
                self._noted.put(released, found)
            elif found.get("number", 0) > self.number and not self._lost:
                self._lost = str(found.get("who") or "another process")
            self._earlier.withdraw(self._claim)


class _Earlier:
    """The notes of earlier versions, and the one that is kept for them."""

    def __init__(self, metadata: Metadata, clock: Clock) -> None:
        self._metadata = metadata
        self._clock = clock
        self._announced_from = 0.0  # when the next one is tried
        self._denied = False
        self.buried: Note = {}  # what is kept with a note of today of one that was dead, and could not be taken away

    def other(self, note: Note | None = None) -> Note:
        """The note of an earlier version, if there is one that may be alive; `note` is the one of today, which knows dead ones."""
        if note and "buried" in note:
            self.buried = {"buried": note["buried"]}
        there = self._metadata.read()
        if not there.get("claim") or "number" in there or self._mark(there) == self.buried.get("buried"):
            return {}
        return there

    def bury(self, note: Note) -> None:
        """Take note that this one is dead."""
        self.buried = {"buried": self._mark(note)}

    def announce(self, note: Note) -> None:
        """Keep a note for earlier versions, unless the key may not."""
        if self._denied or self._clock.monotonic() < self._announced_from:
            return
        try:
            self._metadata.write({name: note[name] for name in ("claim", "who", "beat", "number")})
        except IndexDenied:
            self._denied = True
        except IndexFailure:
            self._announced_from = self._clock.monotonic() + _DEAD_AFTER_S
            raise

    def withdraw(self, claim: str) -> None:
        """Remove that note."""
        if not self._denied and self._metadata.read().get("claim") == claim:
            self._metadata.write({})

    @staticmethod
    def _mark(note: Note) -> str:
        return f"{note.get('claim')} {note.get('beat')}"
