"""How does the engine fare, and does it answer at all? Asked in threads of their own.

No search ever waits for that: a server that does not answer costs metrics their news, and the service its readiness.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from search.api.metrics import Metrics
from search.errors import IndexFaulted, IndexGarbled, IndexTimeout, IndexUnreachable, SearchError
from search.index.collections import HealthCheck

_EVERY_S = 30.0
_WAITED_S = 1.0  # for the answer; later, the next reading has it
_LOST = (IndexUnreachable, IndexTimeout, IndexFaulted, IndexGarbled)  # no answer, or none of an engine
_LOST_AFTER = 2  # searches in a row
_PROBED_EVERY_S = 1.0

_log = logging.getLogger("search.api")


class EngineHealth:
    """What an engine says of itself, as metrics."""

    def __init__(self, ask: Callable[[], Sequence[HealthCheck]], metrics: Metrics) -> None:
        """Keep what asks the engine, for seconds if need be, and what the answers become."""
        self._ask = ask
        self._metrics = metrics
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="health")
        self._asking: Future[None] | None = None
        self._asked_at = float("-inf")
        self._told: set[str] = set()  # figures

    async def refresh(self) -> None:
        """Have it asked again if the last time is a while ago, and wait for the answer for a moment."""
        if (self._asking is None or self._asking.done()) and time.monotonic() > self._asked_at + _EVERY_S:
            self._asked_at = time.monotonic()
            self._asking = self._thread.submit(self._note)
        if self._asking is not None:
            await asyncio.wait({asyncio.wrap_future(self._asking)}, timeout=_WAITED_S)

    def _note(self) -> None:
        try:
            checks = list(self._ask())
        except SearchError as error:
            _log.warning("the engine does not say how it fares: %s", error)
            checks = [HealthCheck("server", ok=False, detail=str(error))]
        figures = {name: value for check in checks for name, value in check.figures.items()}
        for check in checks:
            self._metrics.index_ok.labels(check.name.replace(" ", "_")).set(check.ok)
        for name, value in figures.items():
            self._metrics.index_figures.labels(name).set(value)
        for name in self._told - figures.keys():  # what is not told any more is not what it was
            self._metrics.index_figures.remove(name)
        self._told = set(figures)
        if checks:
            self._metrics.index_asked.set_to_current_time()

    def close(self) -> None:
        """Ask no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)


class Reachability:
    """Whether the engine answers, by what becomes of searches; once it does not, it is asked until it does again."""

    def __init__(self, ask: Callable[[], object], on_change: Callable[[bool], object]) -> None:
        """Keep what asks the engine what searches ask, and who is told whether it answers, whenever that changed."""
        self._ask = ask
        self._on_change = on_change
        self._failed = 0  # searches in a row
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self.answers = True  # as far as is known

    def heard(self, failure: BaseException | None) -> None:
        """Learn what became of a search. Safe to call from several threads."""
        with self._lock:
            self._failed = self._failed + 1 if isinstance(failure, _LOST) else 0
            if self._failed < _LOST_AFTER or not self.answers or self._closed.is_set():
                return
            self.answers = False
            self._on_change(self.answers)
        _log.error("%d searches in a row got no answer from the engine, the last one: %s", _LOST_AFTER, failure)
        threading.Thread(target=self._probe, name="probe", daemon=True).start()

    def _probe(self) -> None:
        while not self._closed.is_set():
            try:
                self._ask()
            except SearchError as failure:
                if not isinstance(failure, _LOST):  # as of a collection that is not there: it answers
                    break
            except Exception:
                _log.exception("what asks whether the engine answers failed")
            else:
                break
            self._closed.wait(_PROBED_EVERY_S)
        with self._lock:
            if not self._closed.is_set():
                self._failed = 0
                self.answers = True
                self._on_change(self.answers)
                _log.info("the engine answers again")

    def close(self) -> None:
        """Ask no more."""
        with self._lock:
            self._closed.set()
