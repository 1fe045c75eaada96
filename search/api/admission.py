"""How much is done at a time? A few threads run models; what would wait for longer than allowed is refused at once.

Turns are taken in the order of arrival. Long work is done in parts, each of which takes its turn anew, so that a large request
does not keep small ones waiting. The expected wait is estimated from how long work has taken so far.
"""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from search.errors import ServiceOverloaded
from search.system.forks import abandon, watch

Done = TypeVar("Done")

_LEARNING = 0.3  # weight of the newest measurement
_OUTLIER = 4  # times what was known: more than that teaches no more
_FIRST_GUESS_S = 0.02  # for a text, until something was measured
_LONGEST_S = 30.0  # of a Retry-After


@dataclass(eq=False)
class _Ticket:
    expected_s: float
    arrived: float
    began: float | None = None  # written by the thread, as is:
    took: float | None = None


class Admission:
    """A queue in front of a pool of threads, used from one event loop."""

    def __init__(self, name: str, workers: int, queue_s: float) -> None:
        """Start the pool, whose threads' names begin with this one, with an empty queue, in which work may wait for `queue_s`."""
        self._name = name
        self._workers = workers
        self._pool = self._threads()
        watch(self)
        self._queue_s = queue_s
        self._tickets: dict[_Ticket, None] = {}  # queued and running work, in the order of arrival
        self._unit_s: dict[str, float] = {}
        self._retry_until = 0.0  # the latest time that a Retry-After named, on the clock of time.monotonic

    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._workers, thread_name_prefix=self._name)

    def after_fork(self) -> None:
        """A forked child has neither the threads nor their work: it begins with an empty queue."""
        abandon(self._pool)
        self._pool = self._threads()
        self._tickets = {}

    @property
    def waiting(self) -> int:
        """Number of requests in the queue."""
        return sum(ticket.began is None for ticket in self._tickets)

    @property
    def running(self) -> int:
        """Number of requests that run."""
        return len(self._tickets) - self.waiting

    def expected_wait_s(self) -> float:
        """Expected seconds in the queue of a request that arrives now."""
        if len(self._tickets) < self._workers:
            return 0.0
        now = time.monotonic()
        left = (ticket.expected_s - (now - (ticket.began or now)) for ticket in self._tickets)
        return sum(max(0.0, seconds) for seconds in left) / self._workers

    def refuse_if_full(self, own_s: float | None = None) -> None:
        """Refuse a request that arrives now; its own work is expected to take so long, else as long as the mean of the others.

        Raises:
            ServiceOverloaded: it would wait longer than `queue_s`.
        """
        if (expected := self.expected_wait_s()) > self._queue_s:
            others = [ticket.expected_s for ticket in self._tickets]
            raise self._refusal(expected, sum(others) / len(others) if own_s is None else own_s)

    async def run(self, work: Callable[[], Done], *, kind: str, units: int, let_in: bool = False) -> tuple[Done, float]:
        """Queue work, and run it in a thread.

        Cancelled in the queue, the work is dropped; cancelled while it runs, the thread goes on, and holds its place until it ends.

        Args:
            work: a function without arguments.
            kind: of work, whose units take about the same time.
            units: amount of work, such as the number of texts.
            let_in: it belongs to a request that was let in before: it is not refused, however long it waits.

        Returns:
            The result of the work, and the seconds in the queue.

        Raises:
            ServiceOverloaded: it would wait longer than `queue_s`.
        """
        expected = self._expected_s(kind, units)
        if not let_in:
            self.refuse_if_full(expected)
        loop = asyncio.get_running_loop()
        ticket = _Ticket(expected, time.monotonic())

        def timed() -> Done:
            ticket.began = time.monotonic()
            answer = work()
            ticket.took = time.monotonic() - ticket.began
            return answer

        def free(finished: "asyncio.Future[Done]") -> None:
            del self._tickets[ticket]
            failed = finished.cancelled() or finished.exception()  # read even where nobody waits any more, lest asyncio complain
            if not failed and ticket.took is not None:
                self._measured(kind, ticket.took / max(1, units))

        submitted = self._pool.submit(timed)
        self._tickets[ticket] = None
        waiting = asyncio.wrap_future(submitted)
        waiting.add_done_callback(free)
        expiry = None if let_in else loop.call_later(self._queue_s, submitted.cancel)  # which does nothing when it has begun
        try:
            answer = await asyncio.shield(waiting)
        except asyncio.CancelledError as error:
            left = (task := asyncio.current_task()) is not None and task.cancelling()
            if waiting.cancelled() and not left:
                raise self._refusal(self.expected_wait_s(), expected) from error
            submitted.cancel()
            raise
        finally:
            if expiry:
                expiry.cancel()
        return answer, (ticket.began or ticket.arrived) - ticket.arrived

    async def run_parts(self, parts: Sequence[tuple[Callable[[], Done], int]], *, kind: str) -> tuple[list[Done], float]:
        """As `run`, part after part, each with its units; the first alone can be refused, and the seconds are those it waited."""
        done = [await self.run(work, kind=kind, units=units, let_in=at > 0) for at, (work, units) in enumerate(parts)]
        return [answer for answer, _ in done], done[0][1]

    def units_in(self, kind: str, seconds: float) -> int:
        """How many units take so many seconds."""
        return int(seconds / self._unit_s.get(kind, _FIRST_GUESS_S))

    def learn(self, kind: str, unit_s: float) -> None:
        """Set the seconds of a unit, as measured."""
        self._unit_s[kind] = unit_s

    def close(self, within_s: float = _LONGEST_S) -> bool:
        """Finish running work, cancel queued work; whether the threads ended in time."""
        ending = threading.Thread(target=self._pool.shutdown, kwargs={"wait": True, "cancel_futures": True}, daemon=True)
        ending.start()
        ending.join(within_s)
        return not ending.is_alive()

    def _measured(self, kind: str, unit_s: float) -> None:
        known = self._unit_s.get(kind, unit_s)
        self._unit_s[kind] = known + _LEARNING * (min(unit_s, _OUTLIER * known) - known)

    def _expected_s(self, kind: str, units: int) -> float:
        return units * self._unit_s.get(kind, _FIRST_GUESS_S)

    def _refusal(self, expected_wait: float, own: float) -> ServiceOverloaded:
        """Refused clients get staggered Retry-After values, lest they all come back at once and are refused again."""
        now = time.monotonic()
        free = max(self._retry_until, now + expected_wait - self._queue_s)
        self._retry_until = min(free + own / self._workers, now + _LONGEST_S)
        seconds = max(1, math.ceil(min(free - now, _LONGEST_S)))
        return ServiceOverloaded(
            f"too much to do: this would wait longer than {self._queue_s:g} s; come again in {seconds} s", seconds
        )
