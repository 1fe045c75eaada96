"""How far an ingestion is, by what is written and by what is still to be read; and how long the rest takes."""

import io
import time
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

import pytest
from commands import search
from papers import pdf
from rich.console import Console

from search.cli import progress
from search.cli.progress import IngestionReport, ProgressReport, Workload
from search.documents import Document, Rejection
from search.embedding.dense import FastEmbedEmbedder
from search.index.edge.index import EdgeIndex
from search.ingestion import run
from search.ingestion.chunking import Chunker
from search.ingestion.report import IngestReport, Progress
from search.reading import Extent, Reading

TENTH = 0.1


class Clocked:
    """A real embedder that takes a tenth of a millisecond of a clock's time for each character, however busy this machine is.

    Of real time it takes a fiftieth of that at the least, or it would be done before what reads beside it has begun.
    """

    def __init__(self, embedder: FastEmbedEmbedder) -> None:
        self._embedder = embedder
        self.now = 1000.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    def embed_passages(self, texts: Sequence[str]) -> Any:
        vectors = self._embedder.embed_passages(texts)
        seconds = sum(map(len, texts)) / 10_000
        time.sleep(seconds / 50)
        self.now += seconds
        return vectors

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clocked(quick_embedder: FastEmbedEmbedder, monkeypatch: pytest.MonkeyPatch) -> Clocked:
    clock = Clocked(quick_embedder)
    monkeypatch.setattr(run, "time", clock)
    return clock


def forecasts(clock: Clocked, folder: Path, data: Path) -> tuple[list[tuple[float, float, float]], str, IngestReport]:
    """Of a real ingestion: after how many seconds which share was said to be done, and how many seconds to be left."""
    reading = Reading([str(folder)])
    out = io.StringIO()
    said: list[tuple[float, float, float]] = []
    index = EdgeIndex(data, "documents")
    began = clock.now
    with IngestionReport("ingesting", reading.extents(), Console(file=out, width=200), clock.monotonic) as report:

        def update(progress: Progress) -> None:
            report.update(progress)
            work = report._work
            assert work
            if work.seconds_left is not None:
                said.append((progress.seconds, work.share, work.seconds_left))

        embedder: Any = clock
        chunker = Chunker(clock.tokenizer, 100, 10)
        done = run.Ingestion(embedder, index, chunker, max_characters=10**9, on_progress=update).run(report.reading(reading))
    index.close()
    assert said[-1][1] == pytest.approx(1)
    return [(seconds, share, left) for seconds, share, left in said if clock.now > began], out.getvalue(), done


def words(number: int) -> str:
    return " ".join(f"word{number % 97} and other{number % 89} words." for number in range(number)) + "\n\n"


def markdown(folder: Path) -> None:
    """112 files of many lengths, in one group."""
    for number in range(112):
        (folder / f"{number:03}.md").write_text(f"# File {number}\n\n" + words(10 + 2 * (number * 37 % 112)))


def mixed(folder: Path) -> None:
    """Short texts first; then pictures with a few words, which are most of the bytes; then a table, which is most of the text."""
    for number in range(150):
        (folder / f"a{number:03}.txt").write_text(words(40))
    for number in range(20):
        (folder / f"b{number:02}.pdf").write_bytes(pdf([f"Page {number}."]) + b"%" + b"x" * 100_000)
    (folder / "c.csv").write_text("id,text\n" + "".join(f"r{number},{words(60).strip()}\n" for number in range(600)))


@pytest.mark.usefixtures("reader_kept")
@pytest.mark.parametrize("fill", [markdown, mixed])
def test_the_time_left_after_a_tenth_of_the_work(fill: Any, clocked: Clocked, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    fill(folder)
    (tmp_path / "a.pdf").write_bytes(pdf(["One."]))
    assert list(Reading([str(tmp_path / "a.pdf")]))  # by a process that has started by then
    said, shown, done = forecasts(clocked, folder, tmp_path / "data")
    whole = said[-1][0]
    assert done.chunks > 1500
    later = [
        (seconds, left) for seconds, _, left in said if TENTH * whole <= seconds <= 0.8 * whole
    ]  # embedding is up to four steps ahead
    assert len(later) >= 4
    for seconds, left in later:
        assert 0.5 < left / (whole - seconds) < 2, (seconds, left, whole)
    lines = shown.splitlines()
    assert len(lines) >= 4
    assert all(" MB, " in line and " passages, " in line and " documents, " in line for line in lines[1:])


def test_the_time_left_of_a_run_that_goes_on(clocked: Clocked, tmp_path: Path) -> None:
    """What is there already takes next to no time, and says nothing of the rest."""
    folder = tmp_path / "notes"
    folder.mkdir()
    for number in range(400):
        (folder / f"a{number:03}.txt").write_text(words(60))
    forecasts(clocked, folder, tmp_path / "data")
    for number in range(400):
        (folder / f"b{number:03}.txt").write_text(words(60))
    said, _, done = forecasts(clocked, folder, tmp_path / "data")
    assert (done.unchanged, done.added) == (400, 400)
    whole = said[-1][0]
    later = [(seconds, left) for seconds, _, left in said if 0.4 * whole <= seconds <= 0.8 * whole]
    assert later
    for seconds, left in later:
        assert 0.4 < left / (whole - seconds) < 2, (seconds, left, whole)


@pytest.mark.parametrize("known", [0, 100_000], ids=["all new", "most there already"])
def test_one_slow_step_says_little_of_the_rest(known: int) -> None:
    """As the engine builds its graph meanwhile."""
    work = Workload([Extent("a.txt", known + 100_000, 1)])
    work.done(known, 1)
    said: list[float] = []
    for second in [*range(2, 102), *range(202, 300)]:  # a hundred characters each
        step = len(said) + 1
        work.done(known + 100 * step, second, 20 * step)
        said.append(float(work.seconds_left or 0))
    assert said[99] == pytest.approx(900, rel=0.1)
    assert said[98] < said[100] < 2 * 1_800  # as it goes on if every hundredth step is that slow
    assert 1_000 < said[-1] < 1.5 * 1_200


def test_the_kind_of_a_file_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def path(name: str) -> PurePath:
        looked.append(name)
        return PurePath(name)

    monkeypatch.setattr(progress, "PurePath", path)
    work = Workload([Extent("a.jsonl", 1_000, 10), Extent("b.csv", 1_000, 10)])
    for number in range(20):
        work.read(Document(str(number), "x", origin=f"{'a.jsonl' if number < 10 else 'b.csv'}:{number}"))
    assert looked == ["a.jsonl", "b.csv"]
    assert work._left == pytest.approx({".jsonl": 0, ".csv": 0})


@pytest.mark.parametrize(
    ("chunks", "tokens", "shown"),
    [(0, 0, "2 documents/s"), (4, 0, "4 passages, 2 documents/s"), (4, 900, "4 passages, 300 tokens/s")],
)
def test_nothing_is_said_of_what_is_not_done(chunks: int, tokens: int, shown: str) -> None:
    """In a dry run, or where all is there already, nothing is embedded."""
    out, now = io.StringIO(), [0.0]
    with IngestionReport("comparing", None, Console(file=out, width=200), lambda: now[0]) as report:
        now[0] += 6
        report.update(Progress(6, chunks, tokens, 0, 3.0, 5))
    assert out.getvalue() == f"comparing 6 documents, {shown}\n"


def test_documents_count_as_soon_as_they_are_whole(clocked: Clocked, tmp_path: Path) -> None:
    """112 files are one group, and of the first ones nothing was said until the last one was written."""
    folder = tmp_path / "notes"
    folder.mkdir()
    markdown(folder)
    counts: list[tuple[int, int]] = []
    index = EdgeIndex(tmp_path / "data", "documents")
    embedder: Any = clocked
    ingestion = run.Ingestion(
        embedder,
        index,
        Chunker(clocked.tokenizer, 100, 10),
        max_characters=10**9,
        on_progress=lambda progress: counts.append((progress.documents, progress.chunks)),
    )
    ingestion.run(Reading([str(folder)]))
    index.close()
    steps = [documents for documents, _ in counts]
    assert steps == sorted(steps)
    assert steps[-1] == 112
    assert len({documents for documents in steps if 0 < documents < 112}) >= 4


def test_what_is_read_of_which_file() -> None:
    files = [Extent("n/a.csv", 1000, 4), Extent("n/b.pdf", 10_000, 1), Extent("n/c.xlsx", 500, 2), Extent("n/d.txt", 2000, 1)]
    work = Workload(files)
    unread = 3500 + 0.1 * 10_000
    assert (work.share, work.seconds_left) == (0, None)
    assert work._whole() == pytest.approx(unread)
    work.read(Document("1", "x" * 500, origin="n/a.csv:2"))
    assert work._left[".csv"] == 750
    work.read(Rejection("n/a.csv", 3, None, "no"))
    assert work._left[".csv"] == 500
    work.read(Document("y", "x", origin="other.txt"))  # which a file of rejects names
    work.read(Document("2", "x" * 100, origin="n/c.xlsx#Sheet:2"))  # b.pdf gave nothing
    assert work._left == {".csv": 0, ".pdf": 0, ".xlsx": 250, ".txt": 2000}
    work.done(300, 3)
    assert work.share == pytest.approx(300 / work._whole())
    assert work.seconds_left == pytest.approx((work._whole() - 300) / 100)
    work.done(10**6, 4)
    assert (work.share, work.seconds_left) == (1, 0)


def test_nobody_knows_how_much_comes_on_standard_input() -> None:
    out, now = io.StringIO(), [0.0]
    with IngestionReport("ingesting", None, Console(file=out, width=200), lambda: now[0]) as report:
        for item in report.reading([Document("1", "x")]):
            assert isinstance(item, Document)
            now[0] += 6
            report.update(Progress(1, 2, 300, 1, 3.0, 5))
            report.update(Progress(1, 2, 300, 1, 3.0, 5, building=7_000))
    assert out.getvalue() == "ingesting 1 document, 2 passages, 100 tokens/s, 1 rejected\nbuilding the graph of 7,000 passages\n"


def test_reading_shows_itself_before_anything_is_written() -> None:
    out, now = io.StringIO(), [0.0]
    extents = [Extent("a.md", 1000, 1), Extent("b.md", 1000, 1)]
    with IngestionReport("ingesting", extents, Console(file=out, width=200), lambda: now[0]) as report:
        for _ in report.reading([Document("a.md", "x", origin="a.md"), Document("b.md", "x", origin="b.md")]):
            now[0] += 10
    assert out.getvalue() == "ingesting 0% of 2.0 kB, 2/2 documents read\n"


def test_what_is_refused_unread_counts_among_all(tmp_path: Path) -> None:
    for name in ("a.zip", "b.txt", "c.ppt"):
        (tmp_path / name).write_text("Text.")
    reading = Reading([str(tmp_path)])
    assert [(one.name.rpartition("/")[2], one.bytes) for one in reading.extents() or []] == [
        ("a.zip", 0),
        ("c.ppt", 0),
        ("b.txt", 5),
    ]
    assert shown_of(reading, reading.extents()) == "ingesting 0% of 0.0 kB, 3/3 documents read\n"


def test_no_more_are_read_than_there_are(tmp_path: Path) -> None:
    """A file may grow while others are read."""
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n')
    reading = Reading([str(tmp_path)])
    extents = reading.extents()
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n{"text": "y"}\n')
    assert shown_of(reading, extents) == "ingesting 0% of 0.0 kB, 2/2 documents read\n"


def shown_of(reading: Reading, extents: Sequence[Extent] | None) -> str:
    """The last line of what is shown while documents are read."""
    out, now = io.StringIO(), [0.0]
    with IngestionReport("ingesting", extents, Console(file=out, width=200), lambda: now[0]) as report:
        for _ in report.reading(reading):
            now[0] += 10
    return out.getvalue().splitlines(keepends=True)[-1]


@pytest.mark.parametrize(("seconds", "shown"), [(5, "5 s"), (600, "10 min"), (9000, "2.5 h")])
def test_how_the_time_left_is_written(seconds: int, shown: str) -> None:
    out = io.StringIO()
    report = ProgressReport("evaluating", "steps", Console(file=out, width=200))
    report._started -= seconds
    report._line_due = 0
    report.update(1, "a note", total=2)
    assert out.getvalue().startswith("evaluating 1/2 steps, ")
    assert out.getvalue().endswith(f", a note, {shown} left\n")


def test_a_terminal_has_a_bar() -> None:
    out = io.StringIO()
    with IngestionReport("ingesting", [Extent("a.md", 300_000, 1)], Console(file=out, width=120, force_terminal=True)) as report:
        list(report.reading([Document("a.md", "x" * 300_000, origin="a.md")]))
        report.update(Progress(0, 5, 500, 0, 3.0, 100_000))
    shown = out.getvalue()
    assert "33% of 0.3 MB, 0/1 document, 5 passages, 167 tokens/s, 6 s left" in shown


def test_json_stays_alone_on_stdout(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Text.")
    assert search("ingest", tmp_path / "a.txt", "--json", "--data-dir", tmp_path / "data").stdout.startswith('{"added": 1, ')
