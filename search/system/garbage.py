"""What still holds a searcher that was dropped? Cycles, and the last error, of which interactive Pythons keep the frames."""

import gc
import sys
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType

_OURS = __name__.partition(".")[0]


def collect() -> None:
    """Free what was dropped: what waits in a cycle, and what this package's calls held that the last error ended.

    Frames of others stay as they are, for whoever looks into them.
    """
    for trace in _traces(getattr(sys, "last_value", None)):
        if trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] == _OURS:
            with suppress(RuntimeError):  # it goes on
                trace.tb_frame.clear()
    gc.collect()


def _traces(error: BaseException | None) -> Iterator[TracebackType]:
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        waiting += [one.__cause__, one.__context__]
        trace = one.__traceback__
        while trace is not None:
            yield trace
            trace = trace.tb_next
