"""No file takes more than its share: what asks for too much time or memory is rejected, and the next one is read."""

import fcntl
import io
import json
import os
import signal
import subprocess
import sys
import termios
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from copy import copy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pypdf
import pytest
from papers import docx, epub, odt, pdf, pptx

from search.documents import Document, Rejection
from search.errors import InvalidDocument, ReaderFailed
from search.reading import Reading, child, lines, separated
from search.reading import pdf as reading_pdf
from search.reading.child import Limits, Reader
from search.reading.files import SourceFile

LIMITS = Limits(seconds=5, memory_mb=400)
linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit a process's memory")


def read(*paths: object, limits: Limits = LIMITS) -> list[Document | Rejection]:
    return list(Reading([str(path) for path in paths], limits=limits))


def children(of: int | None = None) -> set[int]:
    """Processes whose parent is this one, or another."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = status.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == (of or os.getpid()) and state != "Z":
            found.add(int(status.parent.name))
    return found


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    if sys.platform != "linux":
        yield
        return
    before = children()
    yield
    assert children() == before


def repeated_page(times: int, words: int) -> bytes:
    writer = pypdf.PdfWriter()
    writer.append(pypdf.PdfReader(io.BytesIO(pdf(["word " * words]))))
    pages: Any = writer.root_object["/Pages"]
    for _ in range(times - 1):
        pages["/Kids"].append(pages["/Kids"][0])
    pages[pypdf.generic.NameObject("/Count")] = pypdf.generic.NumberObject(times)
    writer.write(written := io.BytesIO())
    return written.getvalue()


@cache
def busy_docx() -> bytes:
    """Of elements without number that are well packed, but not too well."""
    return docx([("Normal", str(number)) for number in range(250_000)])


@linux
def test_a_file_that_takes_too_long_is_rejected_and_the_next_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(busy_docx())
    (tmp_path / "b.html").write_text("<p>Fine.</p>")
    slow, fine = read(tmp_path, limits=Limits(seconds=0.5))
    assert isinstance(slow, Rejection)
    assert slow.document_id == f"{tmp_path.name}/a.docx"
    assert "s of processor time; split it, or raise SEARCH_INGESTION__FILE_SECONDS" in slow.reason
    assert isinstance(fine, Document)
    assert fine.text == "Fine.\n"


@linux
def test_a_file_that_takes_too_much_memory_is_rejected_and_the_next_is_read(tmp_path: Path) -> None:
    """Parquet, whose library aborts or raises; and HTML, whose tree is Python's."""
    values = pa.ListArray.from_arrays([0, 50_000_000], np.zeros(50_000_000, np.int32))
    pq.write_table(pa.table({"id": ["1"], "text": ["x"], "n": values}), tmp_path / "a.parquet", compression="zstd")
    (tmp_path / "b.html").write_text("<b>" * 3_000_000)
    (tmp_path / "c.html").write_text("<p>Fine.</p>")
    assert (tmp_path / "a.parquet").stat().st_size < 3_000
    table, page, fine = read(tmp_path, limits=Limits(60, 250))
    assert [item.reason for item in (table, page) if isinstance(item, Rejection)] == [
        "reading it takes more than 250 MB of memory; split it, or raise SEARCH_INGESTION__FILE_MEMORY_MB"
    ] * 2
    assert isinstance(fine, Document)


_MEMORY, _TIME, _UNPACKED = " MB of memory; split it", " s of processor time; split it", "unpacks to far more than a document has"
BOMBS: dict[str, tuple[str, Callable[[], bytes], Limits, str]] = {
    "a chapter that packs too well": ("epub", lambda: epub("x", ["<p>word</p>" * 500_000]), LIMITS, _UNPACKED),
    "a slide that packs too well": ("pptx", lambda: pptx([("x", "word " * 1_000_000)]), LIMITS, _UNPACKED),
    "paragraphs that pack too well": ("odt", lambda: odt([(0, "word")] * 300_000), LIMITS, _UNPACKED),
    "a long chapter": ("epub", lambda: epub("x", ["".join(f"<p>{one}</p>" for one in range(600_000))]), Limits(60, 250), _MEMORY),
    "many slides": ("pptx", lambda: pptx([("x", "word " * 190_000)] * 30), Limits(60, 200), _MEMORY),
    "numbered paragraphs": ("odt", lambda: odt([(0, str(number)) for number in range(500_000)]), Limits(60, 150), _MEMORY),
    "many cells": ("ipynb", lambda: b'{"cells": [' + b"{}," * 2_000_000 + b"{}]}", Limits(60, 150), _MEMORY),
    "lines without end": ("rtf", lambda: rb"{\rtf1 " + rb"x\par " * 150_000 + b"}", Limits(60, 150), _MEMORY),
    "a deep page": ("eml", lambda: b"From: a\nContent-Type: text/html\n\n" + b"<b>" * 1_000_000, Limits(60, 150), _MEMORY),
    "many receivers": ("eml", lambda: b"To: " + b"<a@b>, " * 40_000 + b"a@b\n\nText.\n", Limits(0.5), _TIME),
}


@linux
@pytest.mark.parametrize("name", BOMBS)
def test_a_file_of_any_kind_that_would_take_too_much_is_rejected_and_the_next_is_read(name: str, tmp_path: Path) -> None:
    suffix, make, limits, reason = BOMBS[name]
    (tmp_path / f"a.{suffix}").write_bytes(make())
    (tmp_path / "b.html").write_text("<p>Fine.</p>")
    bomb, fine = read(tmp_path, limits=limits)
    assert isinstance(bomb, Rejection), bomb
    assert reason in bomb.reason
    assert isinstance(fine, Document), fine


@linux
def test_many_long_texts_of_a_small_table_are_read(tmp_path: Path) -> None:
    """A few kB that would be 2 GB at once: a row after the other they are a megabyte each."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 500, pa.int32()), pa.array(["x" * 1_000_000]))
    table = pa.table({"id": [str(number) for number in range(500)], "text": texts})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd")
    count = 0
    for item in Reading([str(tmp_path / "a.parquet")], limits=LIMITS):
        assert isinstance(item, Document)
        assert len(item.text) == 1_000_000
        count += 1
    assert count == 500


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "page",
    [
        f"<p>a{' ' * 100_000}b</p>",
        f"<pre>a{' ' * 100_000}b</pre>",
        f"<li>a{' ' * 100_000}b</li><td>{chr(9) * 100_000}c</td>",
        "<table><tr>" + "<td colspan=1000>x</td>" * 5_000 + "</tr></table>",
        f"<table><tr><td colspan={'9' * 5000}>x</td><td colspan=²>y</td></tr></table>",
    ],
    ids=["blanks", "code", "tabs", "wide cells", "no number"],
)
def test_html_that_took_long(page: str, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(page)
    (document,) = read(tmp_path / "a.html")
    assert isinstance(document, Document), document
    assert len(document.text) < 10_000_000


def test_a_page_that_stands_in_a_document_thousands_of_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = repeated_page(1_000, 200)
    started = time.process_time()
    reading_pdf.read(few)
    twice_as_long = 20 * (time.process_time() - started)  # as ten times as many pages take, where this machine is a slow one
    (tmp_path / "a.pdf").write_bytes(repeated_page(10_000, 200))
    (document,) = read(tmp_path / "a.pdf", limits=LIMITS._replace(seconds=max(LIMITS.seconds, twice_as_long)))
    assert isinstance(document, Document), document
    assert document.text.count("\f") == 9_999
    monkeypatch.setattr(reading_pdf, "LONGEST", 9_000_000)
    with pytest.raises(InvalidDocument, match="has more than 9,000,000 characters; split it"):
        reading_pdf.read((tmp_path / "a.pdf").read_bytes())


def test_a_header_of_many_columns(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(60_000)]
    (tmp_path / "a.csv").write_text(f"id,text,{','.join(names)}\n1,x{',' * 60_000}\n2,y,5{',' * 59_999}\n")
    assert read(tmp_path / "a.csv") == [Document("1", "x"), Document("2", "y", "", {"c0": 5})]
    (tmp_path / "b.csv").write_text(f"{','.join(names)}\n1{',' * 59_999}\n")
    (reason,) = [str(item) for item in read(tmp_path / "b.csv")]
    assert "has no column id and no text but c0, c1" in reason
    assert "and 59,980 more; name them with" in reason
    assert len(reason) < 500


def test_rows_of_csv_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(separated, "LONGEST", 1000)
    monkeypatch.setattr(separated, "_MOST_VALUES", 50)
    file = tmp_path / "a.csv"
    file.write_text(f'id,text\n1,{"x" * 2000}\n2,fine\n3{"," * 60}\n4,fine\n5,"{("y" * 90 + chr(10)) * 20}"\n')
    found = read(file)
    assert [item.id for item in found if isinstance(item, Document)] == ["2", "4"]
    long, many, *rest = [item for item in found if isinstance(item, Rejection)]
    assert str(long) == (
        f"{tmp_path.name}/a.csv:2: the row behind line 1 is not CSV: it has more than 1,000 characters or 50 values; split it, "
        "or write its documents as JSON lines"
    )
    assert many.line == 4
    assert rest
    assert Reading([str(file)]).count() == len(found)


@pytest.mark.timeout(60)
def test_a_table_of_zeros(tmp_path: Path) -> None:
    with (tmp_path / "a.csv").open("wb") as stream:
        stream.write(b"id,text\n")
        stream.truncate(150_000_000)
    reading = Reading([str(tmp_path / "a.csv")])
    assert reading.count() in {1, 2}
    assert "not text: it holds zero bytes" in str(next(iter(reading)))


def test_a_line_of_json_with_more_values_than_a_document_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_MOST_VALUES", 1000)
    many = json.dumps({"id": "1", "text": "x", "metadata": {"a": [[]] * 1000}})
    commas = json.dumps({"id": "2", "text": ',[{"\\' * 2000})
    torn = '{"id": "' + ",x" * 2000
    rejected, taken, bad = lines.jsonl(io.BytesIO(f"{many}\n{commas}\n{torn}\n".encode()), "f")
    assert str(rejected) == "f:1: some 2,004 values are more than a document has (1,000); keep text in one string"
    assert isinstance(taken, Document)
    assert isinstance(bad, Rejection)
    assert "not JSON" in bad.reason


# The child


def reader_of(reader: Reader) -> int:
    assert reader._child
    return reader._child.process.pid


def page(reader: Reader, file: Path, text: str = "<p>x</p>") -> Document | Rejection:
    file.write_text(text)
    return next(reader.pages([SourceFile(file, file.name)]))


def test_one_child_reads_many_files_and_starts_with_the_first(tmp_path: Path) -> None:
    with Reader(LIMITS) as reader:
        assert reader._child is None
        page(reader, tmp_path / "a.html")
        first = reader_of(reader)
        page(reader, tmp_path / "b.html")
        assert reader_of(reader) == first
    assert reader._child is None
    before = children()
    (tmp_path / "c.txt").write_text("Text needs none.")
    reading = iter(Reading([str(tmp_path / "c.txt"), str(tmp_path / "a.html")]))
    next(reading)
    assert children() == before
    next(reading)
    assert len(children()) == len(before) + 1
    del reading  # which ends it


@linux
def test_a_child_inherits_nothing_but_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH_CLIENT_KEY", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    secret, inherited = os.pipe()
    os.set_inheritable(secret, True)  # noqa: FBT003  # as other programs leave them
    try:
        with Reader(LIMITS) as reader:
            page(reader, tmp_path / "a.html")
            place = Path(f"/proc/{reader_of(reader)}")
            assert b"secret" not in (place / "environ").read_bytes()
            assert b"SEARCH_" not in (place / "environ").read_bytes()
            descriptors = {str(link.readlink()) for link in (place / "fd").iterdir()}
            assert {kind.partition(":")[0] for kind in descriptors} <= {"socket", "/dev/null"}, descriptors
            assert len([one for one in descriptors if one.startswith("socket")]) == 1
            assert str((place / "cwd").readlink()) == "/"
    finally:
        os.close(secret)
        os.close(inherited)


@linux
def test_a_child_that_crashes(tmp_path: Path) -> None:
    with Reader(LIMITS) as reader:
        page(reader, tmp_path / "a.html")
        os.kill(reader_of(reader), signal.SIGSEGV)
        item = page(reader, tmp_path / "b.html")
        assert "reading it ended the process that read it (SIGSEGV); it may be damaged" in str(item)
        assert isinstance(page(reader, tmp_path / "c.html"), Document)


@linux
def test_a_child_that_makes_no_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_WALL", 0)
    monkeypatch.setattr(child, "_WALL_S", 2.0)
    with Reader(LIMITS) as reader:
        page(reader, tmp_path / "a.html")
        os.kill(reader_of(reader), signal.SIGSTOP)
        item = page(reader, tmp_path / "b.html")
        assert "reading it makes no progress" in str(item)
        assert isinstance(page(reader, tmp_path / "c.html"), Document)


@linux
def test_a_child_that_keeps_much_memory_is_replaced(tmp_path: Path) -> None:
    with Reader(Limits(5, 200)) as reader:  # of which the libraries take a quarter
        pq.write_table(pa.table({"id": ["1"], "text": ["x"]}), tmp_path / "a.parquet")
        with (tmp_path / "a.parquet").open("rb") as stream:
            assert list(reader.rows(stream, SourceFile(tmp_path / "a.parquet", "a"), {})) == [Document("1", "x")]
        assert reader._child is None


def test_a_child_that_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.html").write_text("<p>x</p>")
    false = tmp_path / "false.py"
    false.symlink_to("/bin/false")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "absent.py"))
    with pytest.raises(ReaderFailed, match="no process can be started to read files in: No such file or directory"):
        read(tmp_path)
    monkeypatch.setattr(sys, "executable", str(false))
    with pytest.raises(ReaderFailed, match=r"ended with 1 before it read any; see what `.*false.py -P -m search.reading.child`"):
        read(tmp_path)


@pytest.mark.parametrize("program", [None, "", "/usr/bin/uwsgi"])
def test_where_python_is_embedded_the_one_of_its_environment_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str | None
) -> None:
    (tmp_path / "a.html").write_text("<p>x</p>")
    monkeypatch.setattr(sys, "executable", program)
    assert texts(read(tmp_path)) == ["x"]
    monkeypatch.setattr(sys, "exec_prefix", "/nowhere")
    with pytest.raises(ReaderFailed, match=r"no Python to start it with \(it is embedded in .*no /nowhere/bin/python3\.\d+\); run"):
        read(tmp_path)


# Pages ahead


def fill(folder: Path, count: int, text: str = "") -> list[SourceFile]:
    folder.mkdir(exist_ok=True)
    files = [SourceFile(folder / f"{number:02}.html", f"{number:02}") for number in range(count)]
    for file in files:
        file.path.write_text(f"<p>{file.name}{text}</p>")
    return files


def texts(items: Iterable[Document | Rejection]) -> list[str]:
    return [item.text.strip() if isinstance(item, Document) else item.reason for item in items]


def test_pages_are_handed_over_a_few_ahead(tmp_path: Path) -> None:
    """Not more than a few: nobody may want them."""
    files = fill(tmp_path / "n", 30)
    coming = iter(files)
    with Reader(LIMITS) as reader, closing(reader.pages(coming)) as pages:
        assert texts([next(pages)]) == ["00"]
        assert reader._child
        assert len(reader._child.waiting) == child._AHEAD - 1
        first = reader_of(reader)
        assert len(list(copy(coming))) == 30 - child._AHEAD
        assert texts(pages) == [file.name for file in files[1:]]
        assert not reader._child.waiting
        assert reader_of(reader) == first


@linux
def test_who_stops_early_leaves_nothing_open(tmp_path: Path) -> None:
    fill(tmp_path / "n", 20)
    before = len(list(Path("/proc/self/fd").iterdir()))
    reading = iter(Reading([str(tmp_path / "n")]))
    next(reading)
    assert len(list(Path("/proc/self/fd").iterdir())) > before
    del reading
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@linux
def test_the_page_that_exceeds_a_limit_is_the_one_that_is_rejected(tmp_path: Path) -> None:
    """Not one before it, that is answered and not taken yet, nor one behind it, that the same child has, too."""
    files = fill(tmp_path, 12)
    for number in (3, 4, 9):
        files[number] = SourceFile(tmp_path / f"{number}.docx", "busy")
        files[number].path.write_bytes(busy_docx())
    files[6].path.write_text("<b>" * 3_000_000)
    wanted = [file.name for file in files]
    with Reader(Limits(0.5, 400)) as reader:
        for number, item in enumerate(reader.pages(files)):
            if number in {3, 4, 9}:
                assert "s of processor time; split it" in str(item)
            elif number == 6:
                assert isinstance(item, Rejection)
            else:
                assert texts([item]) == [wanted[number]]
            time.sleep(0.2)  # in which the child goes ahead


@linux
def test_a_child_that_crashes_over_pages_ahead(tmp_path: Path) -> None:
    """What it has answered by then stands; the first that it has not is rejected, and the others are read."""
    files = fill(tmp_path / "n", 20, "x" * 100_000)
    with Reader(LIMITS) as reader, closing(reader.pages(files)) as pages:
        items = [next(pages)]
        time.sleep(1)  # the child waits for somebody to take what it has read
        os.kill(reader_of(reader), signal.SIGSEGV)
        items += pages
    assert [item.document_id if isinstance(item, Rejection) else item.id for item in items] == [file.name for file in files]
    (rejected,) = [item for item in items if isinstance(item, Rejection)]
    assert "(SIGSEGV)" in rejected.reason
    assert items.index(rejected) < child._AHEAD


@linux
def test_a_page_that_changes_after_it_was_read_ahead(tmp_path: Path) -> None:
    files = fill(tmp_path / "n", 20)
    with Reader(LIMITS) as reader, closing(reader.pages(files)) as pages:
        items = [next(pages)]
        time.sleep(1)
        files[3].path.write_text("<p>changed</p>")
        files[5].path.unlink()
        items += pages
    assert texts(items) == [*(file.name for file in files[:3]), "changed", "04", "cannot be read: No such file or directory"] + [
        file.name for file in files[6:]
    ]


@linux
def test_answers_ahead_take_no_memory_here(tmp_path: Path) -> None:
    """However long: they wait in the child until they are wanted."""
    files = fill(tmp_path / "n", 5, "x" * 5_000_000)
    with Reader(LIMITS) as reader:
        for item in reader.pages(files):
            time.sleep(0.2)
            assert isinstance(item, Document)
            assert len(item.text) > 5_000_000
            if reader._child:
                unread = array("i", [0])
                fcntl.ioctl(reader._child._connection, termios.FIONREAD, unread)
                assert len(reader._child._buffer) + unread[0] < 1_000_000


@pytest.mark.timeout(30)
def test_long_names_block_nobody(tmp_path: Path) -> None:
    """Of characters that JSON writes as six: requests that fill the socket would meet answers that fill it, too."""
    names = [f"{number:02}" + "\x01" * 4000 for number in range(20)]
    (tmp_path / "a.html").write_text("<p>x</p>")
    with Reader(LIMITS) as reader:
        items = []
        for item in reader.pages(SourceFile(tmp_path / "a.html", name) for name in names):
            items.append(item)
            assert not reader._child or sum(size for size, _ in reader._child.waiting) < 2 * child._AHEAD_BYTES
    assert [item.id for item in items if isinstance(item, Document)] == names


@linux
def test_a_child_that_retires_leaves_pages_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "retires.py"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nfrom search.reading import child\n"
        "child._RETIRES_AT = 0\nchild._main(*map(int, sys.argv[-2:]))\n"
    )
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    files = fill(tmp_path / "n", 10)
    with Reader(LIMITS) as reader:
        for item, file in zip(reader.pages(files), files, strict=True):
            assert texts([item]) == [file.name]
            assert reader._child is None


def test_a_page_that_is_refused_does_not_end_its_reader(tmp_path: Path) -> None:
    writer = pypdf.PdfWriter()
    writer.append(pypdf.PdfReader(io.BytesIO(pdf(["Secret."]))))
    writer.encrypt("password", algorithm="RC4-128")
    writer.write(tmp_path / "b.pdf")
    with Reader(LIMITS) as reader:
        page(reader, tmp_path / "a.html")
        first = reader_of(reader)
        assert "is encrypted" in str(next(reader.pages([SourceFile(tmp_path / "b.pdf", "b.pdf")])))
        assert reader_of(reader) == first


def test_a_table_among_pages_that_are_ahead(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["1"], "text": ["x"]}), tmp_path / "a.parquet")
    files = fill(tmp_path / "n", 10)
    with Reader(LIMITS) as reader, closing(reader.pages(files)) as pages:
        items = [next(pages)]
        with (tmp_path / "a.parquet").open("rb") as stream:
            assert list(reader.rows(stream, SourceFile(tmp_path / "a.parquet", "a"), {})) == [Document("1", "x")]
        items += pages
    assert texts(items) == [file.name for file in files]


def test_files_of_all_kinds_come_in_order(tmp_path: Path) -> None:
    names = ["a.html", "b.md", "c.pdf", "d.csv", "e.html", "f.txt", "g.parquet", "h.html", "i.html", "j.jsonl", "k.txt", "l.docx"]
    contents = {
        ".html": b"<p>x</p>",
        ".pdf": pdf(["x"]),
        ".docx": docx([("Normal", "x")]),
        ".csv": b"id,text\n1,x\n",
        ".jsonl": b'{"id": "1", "text": "x"}\n',
    }
    for name in names:
        (tmp_path / name).write_bytes(contents.get(Path(name).suffix, b"x"))
    pq.write_table(pa.table({"id": ["1"], "text": ["x"]}), tmp_path / "g.parquet")
    items = read(tmp_path)
    assert [Path(item.origin.partition(":")[0]).name for item in items if isinstance(item, Document)] == names


# Its end


@linux
@pytest.mark.parametrize("held", [False, True], ids=["alone", "while a fork holds the connection"])
def test_a_child_ends_with_its_parent(held: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """Though the parent is killed, and the child is at work."""
    (tmp_path / "a.docx").write_bytes(busy_docx())
    script = f"""
import os, time
from search.reading import Reading
from search.reading.child import Reader
start = Reader._start
def started(self):
    found = start(self)
    if {held} and os.fork() == 0:
        time.sleep(30)
        os._exit(0)
    print(found.process.pid, flush=True)
    return found
Reader._start = started
list(Reading([{str(tmp_path / "a.docx")!r}]))
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout
    one = int(parent.stdout.readline())
    forks = children(parent.pid) - {one}
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while alive(one) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(one)
    for fork in forks:
        os.kill(fork, signal.SIGKILL)


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


WAYS = {
    "a script without a guard": "print(read())",
    "a daemonic process": """
import multiprocessing
process = multiprocessing.get_context("fork").Process(target=lambda: print(read(), flush=True), daemon=True)
process.start()
process.join()
""",
    "a thread": """
import threading
thread = threading.Thread(target=lambda: print(read()))
thread.start()
thread.join()
""",
    "a fork between two files": """
import os
reading = iter(Reading([folder]))
found = [next(reading).id]
forked = os.fork()
found += [item.id for item in reading]
if forked:
    os.waitpid(forked, 0)
    print(found)
else:
    assert found == ["pages/a.html", "pages/b.html", "pages/c.html"], found
    os._exit(0)
""",
    "changed folders": """
import os, sys
os.chdir("/")
print(read())
""",
}


@linux
@pytest.mark.parametrize("way", WAYS)
def test_it_works_in(way: str, tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / f"{name}.html").write_text(f"<p>{name}</p>")
    script = tmp_path / "script.py"
    script.write_text(
        f"from search.reading import Reading\nfolder = {str(folder)!r}\n"
        f"def read(): return [item.id for item in Reading([folder])]\n{WAYS[way]}"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == "['pages/a.html', 'pages/b.html', 'pages/c.html']"


@linux
def test_a_fork_in_the_middle_of_a_table(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": list(map(str, range(5000))), "text": ["x" * 1000] * 5000}), tmp_path / "a.parquet")
    script = f"""
import os
from search.errors import InvalidDocument, ReaderFailed
from search.reading import Reading
reading = iter(Reading([{str(tmp_path / "a.parquet")!r}]))
next(reading)
if forked := os.fork():
    os.waitpid(forked, 0)
    print(1 + sum(1 for _ in reading))
else:
    try:
        list(reading)
    except ReaderFailed as error:
        print(error, flush=True)
    os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=100)
    assert done.stdout.splitlines() == [
        "the process was forked while a file was being read; read it in one process only",
        "5000",
    ], done.stderr
