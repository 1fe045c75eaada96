"""How far is it? A bar on a terminal, a plain line now and then elsewhere; always on stderr, so that stdout stays data."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import PurePath
from types import TracebackType
from typing import TYPE_CHECKING, Self

from search.documents import Document, Rejection, counted
from search.system.terminal import clean

if TYPE_CHECKING:
    from rich.console import Console

    from search.ingestion.report import Progress
    from search.reading import Extent

Clock = Callable[[], float]  # seconds
_SECONDS_BETWEEN_LINES = 5.0
_SECONDS_BETWEEN_LOOKS = 0.1  # while documents are read
_MEGABYTE = 1_000_000
_MINUTES_FROM_S = 120
_HOURS_FROM_S = 7200
_RECENT_S = 30.0  # or a third of all seconds, by which the time left is told, and by all in which anything was embedded
_FEWEST = 4  # steps that are recent
_DENSITY = {  # characters of text for each byte, before any file was read; 1 for others …
    **dict.fromkeys((".pdf", ".docx", ".pptx", ".odt", ".epub", ".msg"), 0.1),
    **dict.fromkeys((".html", ".htm", ".xhtml", ".eml", ".ipynb"), 0.3),
}
_BELIEVED = 50_000  # … and of how many bytes that counts for


class Bar:
    """A line that says what is being done, how much of it is, and the time left."""

    def __init__(self, what: str, console: "Console | None" = None, clock: Clock = time.monotonic) -> None:
        """Describe the task.

        Args:
            what: the task, such as "ingesting".
            console: where to write; stderr if left out.
            clock: tells when the next line is due.
        """
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bars

        self._what = clean(what)
        self._console = console or Console(stderr=True)
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[words]}", markup=False))
        self._bars = Bars(*columns, console=self._console, transient=True)
        self._task = self._bars.add_task(self._what, total=None, words="")
        self._clock = clock
        self._line_due = clock() + _SECONDS_BETWEEN_LINES

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._console.is_terminal:
            self._bars.stop()

    def stage(self, words: str) -> None:
        """Show at once what is done from now on, of which nobody knows how far it is."""
        self._what, self._line_due = words, self._clock()
        self._bars.update(self._task, description=words)
        self.show("", None, None)

    def show(self, words: str, share: float | None, seconds_left: float | None) -> None:
        """Show how far it is: in words, as a share of the work, 0 to 1, and by the seconds left; None where that is unknown."""
        left = "" if seconds_left is None else f", {_duration(seconds_left)} left"
        line = clean(words) + left
        if self._console.is_terminal:
            self._bars.update(self._task, completed=share or 0, total=None if share is None else 1, words=line)
        elif self._clock() >= self._line_due:
            self._line_due = self._clock() + _SECONDS_BETWEEN_LINES
            self._console.print(f"{self._what} {line}".rstrip(), highlight=False, markup=False, soft_wrap=True)


class ProgressReport(Bar):
    """One task of things of one kind, with its rate and, where the total is known, the time left."""

    def __init__(self, what: str, unit: str, console: "Console | None" = None) -> None:
        """Describe the task, as `Bar` does, and what is counted, in the plural."""
        super().__init__(what, console)
        self._unit = unit
        self._total: int | None = None
        self._started = time.monotonic()

    def update(self, done: int, note: str = "", *, total: int | None = None) -> None:
        """Show how much is done, a remark such as the number of rejections, and of how many, if that has become known."""
        self._total = total or self._total
        rate = done / max(time.monotonic() - self._started, 1e-9)
        of = f"/{self._total:,}" if self._total else ""
        words = f"{done:,}{of} {self._unit}, {rate:,.0f} {self._unit}/s" + (f", {note}" if note else "")
        left = (self._total - done) / rate if self._total and rate > 0 else None
        self.show(words, min(done / self._total, 1) if self._total else None, left)


class IngestionReport(Bar):
    """How far an ingestion is: documents, passages and the share of its bytes, with the time left."""

    def __init__(
        self, what: str, extents: "Sequence[Extent] | None", console: "Console | None" = None, clock: Clock = time.monotonic
    ) -> None:
        """Describe the task, as `Bar` does, and the files that are read, in order; None where nobody knows how much comes."""
        super().__init__(what, console, clock)
        self._total = None if extents is None else sum(one.documents for one in extents)
        self._bytes = sum(one.bytes for one in extents or ())
        self._work = None if extents is None else Workload(extents)
        self._look_due = clock()
        self._documents = 0  # read
        self._progress: Progress | None = None

    def reading(self, items: Iterable[Document | Rejection]) -> Iterator[Document | Rejection]:
        """The same items, counted as they are read."""
        for item in items:
            self._documents += 1
            if self._work:
                self._work.read(item)
            if (now := self._clock()) >= self._look_due:
                self._look_due = now + _SECONDS_BETWEEN_LOOKS
                self._show()
            yield item

    def update(self, progress: "Progress") -> None:
        """Show what has been written."""
        self._progress = progress
        if progress.building:
            self.stage(graph_of(progress.building))
            return
        if self._work:
            self._work.done(progress.characters, progress.seconds, progress.tokens)
        self._show()

    def _show(self) -> None:
        progress = self._progress
        share = self._work.share if self._work else None
        parts = [] if share is None or not self._bytes else [f"{share:.0%} of {_size(self._bytes)}"]
        if progress is None:
            parts.append(f"{self._of_all(self._documents)} read")
        else:
            done, unit = (progress.tokens, "tokens") if progress.tokens else (progress.documents, "documents")
            parts += [self._of_all(progress.documents)]
            parts += [counted(progress.chunks, "passage")] if progress.chunks else []
            parts += [f"{done / max(progress.seconds, 1e-9):,.0f} {unit}/s"]
            parts += [f"{progress.rejected:,} rejected"] if progress.rejected else []
        self.show(", ".join(parts), share, self._work.seconds_left if self._work else None)

    def _of_all(self, number: int) -> str:
        if self._total is None:
            return counted(number, "document")
        return f"{number:,}/{counted(max(number, self._total), 'document')}"  # a file may grow while others are read


class Workload:
    """How much of the text of some files is done with, and how long the rest will take.

    The text of files that are not read yet is estimated by their bytes, and by how much text files of the same kind had for theirs.
    """

    def __init__(self, extents: "Sequence[Extent]") -> None:
        self._files = list(extents)
        self._suffixes = [PurePath(file.name).suffix.lower() for file in self._files]
        self._at = 0  # the file that is being read …
        self._items = 0  # … how many of its documents are, …
        self._share = 0.0  # … and what share of its bytes that is
        self._left: dict[str, float] = dict.fromkeys(self._suffixes, 0.0)  # bytes
        for suffix, file in zip(self._suffixes, self._files, strict=True):
            self._left[suffix] += file.bytes
        self._seen: dict[str, tuple[float, float]] = {}  # bytes and characters, by suffix, too
        self._read = 0  # characters
        self._done = 0.0
        self._steps: deque[tuple[float, float]] = deque([(0.0, 0.0)])  # seconds, characters that were done by then
        self._tokens = 0  # embedded by then
        self._embedded = (0.0, 0.0)  # seconds and characters of the steps that embedded anything

    def read(self, item: Document | Rejection) -> None:
        """A document was read, or rejected."""
        source = item.source if isinstance(item, Rejection) else item.origin
        characters = len(item.text) if isinstance(item, Document) else 0
        self._read += characters
        at = next((at for at in range(self._at, len(self._files)) if _is_of(source, self._files[at].name)), None)
        if at is None:  # a folder, or what a file of rejects names
            return
        while self._at < at:
            self._advance(1)
            self._at, self._items, self._share = self._at + 1, 0, 0
        self._items += 1
        self._advance(min(self._items / max(self._files[at].documents, 1), 1), characters)

    def done(self, characters: float, seconds: float, tokens: int = 0) -> None:
        """So many characters are done with, after so many seconds of work in which so many tokens were embedded."""
        before, earlier = self._steps[-1]
        if tokens > self._tokens:  # what was there already takes no time, and says nothing of what is new
            took, of = self._embedded
            self._embedded, self._tokens = (took + seconds - before, of + characters - earlier), tokens
        self._done = characters
        self._steps.append((seconds, characters))
        while len(self._steps) > _FEWEST and self._steps[1][0] <= seconds - max(_RECENT_S, seconds / 3):
            self._steps.popleft()

    @property
    def share(self) -> float:
        """Of the work that is done, 0 to 1."""
        whole = self._whole()
        return min(self._done / whole, 1) if whole else 0

    @property
    def seconds_left(self) -> float | None:
        """How long the rest will take; None if nothing tells yet."""
        (since, before), (until, now) = self._steps[0], self._steps[-1]
        seconds, characters = self._embedded  # a step that is slow, such as one that builds the graph, does not count alone
        seconds, characters = seconds + until - since, characters + now - before
        if characters <= 0 or seconds <= 0:
            return None
        return max(self._whole() - self._done, 0) * seconds / characters

    def _whole(self) -> float:
        """Characters in all."""
        return self._read + sum(left * self._density(suffix) for suffix, left in self._left.items())

    def _density(self, suffix: str) -> float:
        size, characters = self._seen.get(suffix, (0, 0))
        return (characters + _BELIEVED * _DENSITY.get(suffix, 1)) / (size + _BELIEVED)

    def _advance(self, share: float, characters: int = 0) -> None:
        """This share of the present file is read, and of its text so many characters more."""
        suffix = self._suffixes[self._at]
        size = max(share - self._share, 0) * self._files[self._at].bytes
        seen, before = self._seen.get(suffix, (0.0, 0.0))
        self._seen[suffix] = seen + size, before + characters
        self._left[suffix] -= size
        self._share = max(share, self._share)


def graph_of(passages: int) -> str:
    """What is done last, and takes minutes where there are many."""
    return f"building the graph of {counted(passages, 'passage')}"


def _is_of(source: str, name: str) -> bool:
    """Whether an item comes from a file: from all of it, from a line, or from a sheet."""
    return source.startswith(name) and source[len(name) : len(name) + 1] in {"", ":", "#"}


def _size(number: int) -> str:
    return f"{number / 1_000_000:,.1f} MB" if number >= _MEGABYTE / 10 else f"{number / 1000:,.1f} kB"


def _duration(seconds: float) -> str:
    if seconds < _MINUTES_FROM_S:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < _HOURS_FROM_S else f"{seconds / 3600:.1f} h"
