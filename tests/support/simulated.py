"""Time that passes only when everybody sleeps: threads take turns, one at a time, so that a test of hours takes seconds."""

import heapq
import itertools
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from search.index.server.lease import Clock


class SimulatedTime(Clock):
    """A clock for threads that do nothing but work and sleep. Whoever sleeps least runs next, and no other thread meanwhile."""

    def __init__(self) -> None:
        self._now = 0.0
        self._changed = threading.Condition()
        self._sleeping: list[tuple[float, int, threading.Event]] = []
        self._order = itertools.count()
        self._working = 0

    def run(self, actors: list[Callable[[], None]]) -> None:
        """Have them all act, from now on, until they have done."""
        failures: list[BaseException] = []

        def act(actor: Callable[[], None]) -> None:
            self.sleep(0)
            try:
                actor()
            except BaseException as error:  # raised below, in the test's own thread
                failures.append(error)
            finally:
                self._rest()

        self._working = len(actors)  # so that nobody begins before all of them have come
        threads = [threading.Thread(target=act, args=[actor], daemon=True) for actor in actors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    def monotonic(self) -> float:
        """Seconds since the beginning."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let others work for so long."""
        awake = threading.Event()
        with self._changed:
            until = self._now + seconds
            if self._working == 1 and self._sleeping and until < self._sleeping[0][0]:  # nobody else has a turn before
                self._now = until
                return
            heapq.heappush(self._sleeping, (until, next(self._order), awake))
        self._rest()
        awake.wait()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Likewise, for a thread of `thread`, and not beyond an event."""
        thread: Any = threading.current_thread()
        awake = threading.Event()
        entry = (self._now + seconds, next(self._order), awake)
        with self._changed:
            heapq.heappush(self._sleeping, entry)
        if thread.working:
            thread.working = False
            self._rest()
        while not awake.wait(0.005):
            with self._changed:
                if event.is_set() and not awake.is_set():
                    self._sleeping.remove(entry)
                    heapq.heapify(self._sleeping)
                    return True
        thread.working = True
        return event.is_set()

    def _rest(self) -> None:
        with self._changed:
            self._working -= 1
            if not self._working and self._sleeping:
                self._now, _, awake = heapq.heappop(self._sleeping)
                self._working = 1
                awake.set()

    def thread(self, target: Callable[[], None]) -> threading.Thread:
        """A thread for which others wait without working."""
        return _Waited(self, target)

    def lock(self) -> "_Lock":
        """A lock likewise."""
        return _Lock(self)


class _Waited(threading.Thread):
    def __init__(self, time: SimulatedTime, target: Callable[[], None]) -> None:
        super().__init__(target=target, daemon=True)
        self._time = time
        self.working = False  # whether others wait for it

    def run(self) -> None:
        super().run()
        if self.working:
            self._time._rest()

    def join(self, timeout: float | None = None) -> None:
        seconds = 0.01
        while self.is_alive():
            super().join(0.005)  # it may be about to end
            if self.is_alive():
                self._time.sleep(seconds)
                seconds *= 2
        super().join(timeout)


class _Lock:
    def __init__(self, time: SimulatedTime) -> None:
        self._time = time
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        seconds = 0.01
        while not self._lock.acquire(blocking=False):
            self._time.sleep(seconds)
            seconds *= 2

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._lock.release()
