"""How do reading, embedding and writing go on at the same time? By two threads, a few steps behind the one that reads."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from itertools import islice
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")
Half = TypeVar("Half")
Done = TypeVar("Done")


class Relay(Generic[Half, Done]):
    """Carries steps out in order, each in two halves: while one thread does the second half of a step, another does the next first.

    The caller gets the results of earlier steps, and an exception of one, in its own thread. Once one has raised, no half of a
    later one begins: later steps may depend on the one that failed.
    """

    def __init__(self, steps: int) -> None:
        """Bound the steps that are under way."""
        self._steps = steps
        self._first = ThreadPoolExecutor(1, thread_name_prefix="ingestion-embedding")
        self._second = ThreadPoolExecutor(1, thread_name_prefix="ingestion-writing")
        self._pending: deque[Future[Future[Done]]] = deque()
        self._failed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._first.shutdown(cancel_futures=True)
        self._second.shutdown(cancel_futures=True)

    def do(self, first: Callable[[], Half], second: Callable[[Half], Done]) -> list[Done]:
        """Queue a step, as soon as there is room for it; the results of earlier steps that have finished."""
        results = []
        while self._pending and (len(self._pending) >= self._steps or _through(self._pending[0])):
            results.append(self._pending.popleft().result().result())

        def halves() -> Future[Done]:
            half = self._unless_failed(first)
            return self._second.submit(lambda: self._unless_failed(lambda: second(half)))

        self._pending.append(self._first.submit(halves))
        return results

    def _unless_failed(self, half: Callable[[], Item]) -> Item:
        if self._failed.is_set():
            raise CancelledError
        try:
            return half()
        except BaseException:
            self._failed.set()
            raise

    def finish(self) -> Iterator[Done]:
        """Wait for all steps; their results, each as it comes."""
        while self._pending:
            yield self._pending.popleft().result().result()


def in_groups(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items, the last one shorter."""
    iterator = iter(items)
    while group := list(islice(iterator, size)):
        yield group


def _through(step: Future[Future[Done]]) -> bool:
    return step.done() and (step.exception() is not None or step.result().done())
