"""How far is it? A bar on a terminal, a plain line now and then elsewhere; always on stderr, so that stdout stays data."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from search.system.terminal import clean

if TYPE_CHECKING:
    from rich.console import Console

_SECONDS_BETWEEN_LINES = 5.0


class ProgressReport:
    """One task with its rate and, where the total is known, the time left."""

    def __init__(self, what: str, unit: str, total: int | None, console: "Console | None" = None) -> None:
        """Describe the task.

        Args:
            what: the task, such as "ingesting".
            unit: what is counted, in the plural.
            total: how many there are, None if unknown.
            console: where to write; stderr if left out.
        """
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self._what = clean(what)
        self._unit = unit
        self._total = total
        self._console = console or Console(stderr=True)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
        )
        self._bars = Bars(*columns, TimeRemainingColumn(), console=self._console, transient=True)
        self._task = self._bars.add_task(self._what, total=total, rate="")
        self._started = time.monotonic()
        self._line_due = self._started + _SECONDS_BETWEEN_LINES

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._console.is_terminal:
            self._bars.stop()

    def update(self, done: int, note: str = "", *, total: int | None = None) -> None:
        """Show how much is done, a remark such as the number of rejections, and of how many, if that has become known."""
        self._total = total or self._total
        now = time.monotonic()
        rate = done / max(now - self._started, 1e-9)
        shown = f"{rate:,.0f} {self._unit}/s{f', {clean(note)}' if note else ''}"
        if self._console.is_terminal:
            self._bars.update(self._task, completed=done, total=self._total, rate=shown)
        elif now >= self._line_due:
            self._line_due = now + _SECONDS_BETWEEN_LINES
            of = f"/{self._total:,}" if self._total else ""
            left = f", {(self._total - done) / rate:,.0f} s left" if self._total and rate > 0 else ""
            self._console.print(f"{self._what} {done:,}{of} {self._unit}, {shown}{left}", highlight=False, markup=False)
