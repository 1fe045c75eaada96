"""How does the engine fare? Asked when metrics are read, at most twice a minute, and in a thread of its own.

No search ever waits for it: a server that does not answer costs metrics their news, and nobody else anything.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from search.api.metrics import Metrics
from search.errors import SearchError
from search.index.collections import HealthCheck

_EVERY_S = 30.0
_WAITED_S = 1.0  # for the answer; later, the next reading has it

_log = logging.getLogger("search.api")


class EngineHealth:
    """What an engine says of itself, as metrics."""

    def __init__(self, ask: Callable[[], Sequence[HealthCheck]], metrics: Metrics) -> None:
        """Keep the parts.

        Args:
            ask: the engine, for seconds if need be.
            metrics: what the answers become.
        """
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
