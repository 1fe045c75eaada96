"""How does a collection get its graph while it is searched and written to? From a copy of its files, in a process of its own.

collections/NAME/shard.building.…  the copy, called otherwise each time, lest one that outlives its parent meets another
collections/NAME/shard.before      the files in whose place it came, for a moment

The engine lets nobody else have a turn while it builds, for seconds or minutes. What is killed at any time leaves the files as they
were, or as they are to be.
"""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from search.errors import IndexFaulted, IndexFull
from search.index.edge.builder import sync
from search.system.files import is_full
from search.system.forks import watch
from search.system.interpreter import interpreter

_PROGRAM = Path(__file__).with_name("builder.py")
_COPY = ".building."


class Building:
    """A graph that is being built."""

    def __init__(self, folder: Path) -> None:
        """Start; nothing may be written to the folder until it is `copied`."""
        self._folder = folder
        self.copy = folder.with_name(f"{folder.name}{_COPY}{secrets.token_hex(4)}")
        try:
            command = [interpreter(), "-P", str(_PROGRAM), str(folder), str(self.copy), json.dumps(sys.path)]
            self._process = subprocess.Popen(  # noqa: S603  # our own
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C would reach it before it can ignore that
            )
        except OSError as error:  # no descriptors, no memory, no interpreter
            message = f"the process that builds the graph of {folder.parent} cannot be started: {error}; {_AGAIN}"
            raise IndexFaulted(message) from error
        self._said: Any = None
        self._hearing = threading.Lock()  # whoever writes and whoever waits for the end hear the first word
        watch(self)

    def copied(self) -> None:
        """Wait until the folder may be written to again."""
        with self._hearing:
            if self._said is None:
                self._said = self._hear()

    @property
    def copying(self) -> bool:
        """Whether `copied` would wait."""
        stdout = self._process.stdout
        return self._said is None and stdout is not None and not wait([stdout.fileno()], 0)

    @property
    def ended(self) -> bool:
        """Whether its outcome is there without waiting."""
        return self._process.poll() is not None

    def outcome(self) -> bool:
        """Wait for the end; whether there was anything to do.

        Raises:
            IndexFull: the disk has no room for the copy.
            IndexFaulted: the process ended otherwise than it should.
        """
        try:
            self.copied()
            said = self._hear() if self._said == "copied" else self._said
            self._process.wait()
        except BaseException:
            self.stop()
            raise
        if "built" in said:
            return bool(said["built"])
        self.stop()
        why = said.get("error") or f"its process ended with {self._process.returncode}"
        message = f"the graph of {self._folder.parent} could not be built ({why}); {_AGAIN}"
        raise (IndexFull if is_full(RuntimeError(why)) else IndexFaulted)(message)

    def sync(self) -> None:
        """Have the copy on the disk, to which something was written after it was built."""
        sync(self.copy)

    def take_place(self) -> None:
        """Put what was built in the place of the folder, which nobody has open; `settle` sees to it if that is cut short."""
        before = _before(self._folder)
        shutil.rmtree(before, ignore_errors=True)
        self._folder.rename(before)
        self.copy.rename(self._folder)
        descriptor = os.open(self._folder.parent, os.O_RDONLY)
        with contextlib.suppress(OSError):  # CIFS, FUSE and 9p cannot sync a folder
            os.fsync(descriptor)
        os.close(descriptor)
        shutil.rmtree(before, ignore_errors=True)

    def stop(self) -> None:
        """End it, and leave nothing behind."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()
        shutil.rmtree(self.copy, ignore_errors=True)

    def _hear(self) -> Any:
        with contextlib.suppress(ValueError):  # it ended in the middle of a line, or another thread gave it up
            return json.loads(self._process.stdout.readline() if self._process.stdout else b"")
        return {}

    def after_fork(self) -> None:
        """It ends when nobody holds the near end of its input, which a forked child may do for longer than its parent."""
        if self._process.stdin and not self._process.stdin.closed:
            os.close(self._process.stdin.fileno())


_AGAIN = "what was written stays and is searched without it, and the next ingestion builds it"


def settle(folder: Path) -> None:
    """Bring a folder that nobody has open in order after a process that was killed while it built a graph, or took its place."""
    before = _before(folder)
    if before.exists() and not folder.exists():
        before.rename(folder)
    for left in (before, *folder.parent.glob(f"{folder.name}{_COPY}*")):
        shutil.rmtree(left, ignore_errors=True)


def _before(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.before")
