"""What becomes of locks, models and connections in a forked process? A child has copies of them, and one thread.

Locks may be held by threads that are gone, so are the threads of models and of Qdrant Edge, and connections and locked files are
the parent's. So whatever holds such a thing says what to do in a child: lock anew, open anew, or say that it cannot be used there.
"""

import contextlib
import ctypes
import gc
import itertools
import os
import threading
import weakref
from typing import Any, NoReturn, Protocol

from search.errors import SearchError


class Forkable(Protocol):
    """Something that a forked child cannot use as it is."""

    def after_fork(self) -> None:
        """Called in the child, before anything else there: in its only thread, and under no lock."""


ancestors: list[int] = []  # the processes that this one is a fork of, nearest first
_watched: "weakref.WeakValueDictionary[int, Any]" = weakref.WeakValueDictionary()  # in the order of their making
_numbers = itertools.count()
_forking = threading.RLock()
_collects = True  # whether the garbage collector was on before the fork that is under way


def watch(holder: Forkable) -> None:
    """Have `after_fork` called in every child that is forked while the object lives, in the order of their being watched."""
    _watched[next(_numbers)] = holder


def abandon(*parts: object) -> None:
    """Never finalise these: to close what is the parent's would wait for threads that are gone, or write into its files."""
    for part in parts:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(part))


class Unusable:
    """In the place of something that did not survive a fork: any use of it is an error that says so."""

    def __init__(self, what: str, kind: type[SearchError], advice: str) -> None:
        """Say what it was.

        Args:
            what: for people, such as "the model all-MiniLM-L6-v2".
            kind: of the error.
            advice: what to do.
        """
        self.__dict__["_error"] = (kind, f"{what} was opened by process {os.getppid()}, of which this one is a fork; {advice}")

    def __getattr__(self, name: str) -> NoReturn:
        kind, message = self.__dict__["_error"]
        raise kind(message)


def _hold_collector() -> None:
    global _collects  # noqa: PLW0603  # under the lock
    _forking.acquire()
    _collects = gc.isenabled()
    gc.disable()


def _let_collector_go() -> None:
    if _collects:
        gc.enable()
    _forking.release()


def _in_child() -> None:
    if _watched:
        gc.freeze()  # what was garbage in the parent stays: to finalise a model in a cycle would wait for its threads, too
    _let_collector_go()
    ancestors.insert(0, os.getppid())
    for holder in list(_watched.values()):
        try:
            holder.after_fork()
        except Exception as error:  # whatever one of them cannot do, the others must
            _spoil(holder, error)


def _spoil(holder: Any, error: Exception) -> None:
    """Make an object unusable that still holds what is the parent's."""
    what = f"a {type(holder).__name__} (which could not be made anew: {error!r})"
    state = dict(holder.__dict__)
    abandon(state)
    holder.__dict__.clear()
    with contextlib.suppress(TypeError):  # of another layout; empty, it is of no use either
        holder.__class__ = Unusable
    Unusable.__init__(holder, what, SearchError, "open another here")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold_collector, after_in_parent=_let_collector_go, after_in_child=_in_child)
