"""Nothing is dropped without a word: every file of every kind comes out as documents or rejections."""

import builtins
import contextlib
import datetime as dt
import decimal
import io
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pypdf
import pytest
from commands import as_json
from papers import docx, pdf

from search.documents import Document, Rejection
from search.errors import InvalidDocument
from search.reading import Reading, pages, separated, tables
from search.reading import files as reading_files
from search.reading.files import SourceFile
from search.reading.text import decode

pytestmark = pytest.mark.usefixtures("reader_kept")
WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def read(*paths: object, **options: Any) -> list[Document | Rejection]:
    return list(Reading([str(path) for path in paths], **options))


def taken(*paths: object, **options: Any) -> list[Document]:
    found = read(*paths, **options)
    assert not [item for item in found if isinstance(item, Rejection)]
    return [item for item in found if isinstance(item, Document)]


def rejected(*paths: object, **options: Any) -> list[str]:
    return [str(item) for item in read(*paths, **options) if isinstance(item, Rejection)]


def ids(found: Sequence[Document | Rejection]) -> list[str]:
    return [item.id for item in found if isinstance(item, Document)]


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"The text of {name}.")
    return folder


# Which files


def test_a_folder_is_read_in_order_with_paths_as_ids(tmp_path: Path) -> None:
    folder = fill(tmp_path / "notes", "b/two.md", ".git/f.txt", "e.xyz", "f.py", "g.txt")
    (folder / "e.xyz").write_bytes(b"\0")
    (folder / "f.py").write_bytes(b"")
    (folder / "g.txt").write_bytes(b"")
    (folder / "b" / "two.md").write_text("\n# The *title*\n\ntext", encoding="utf-8")
    (folder / "a.TXT").write_text("text", encoding="utf-8")
    (folder / "d.txt").write_text(" ", encoding="utf-8")
    os.utime(folder / "a.TXT", (1e9, 1e9))
    reading = Reading([str(folder)])
    a, two, d, g = reading
    assert a == Document("notes/a.TXT", "text", "a", {"path": "notes/a.TXT"})
    assert isinstance(a, Document)
    assert a.modified == 1e9
    assert two == Document("notes/b/two.md", "\n# The *title*\n\ntext", "The *title*", {"path": "notes/b/two.md"}, "text/markdown")
    assert str(d) == "notes/d.txt: it has no text; leave it out or give it some"
    assert "has no text" in str(g)
    assert reading.count() == 4
    assert reading.left_out == [str(folder / "e.xyz"), str(folder / "f.py")]
    (alone,) = taken(folder / "b" / "two.md")
    assert isinstance(two, Document)
    assert alone == replace(two, id="b/two.md", metadata={"path": "b/two.md"})


@pytest.mark.parametrize(
    ("name", "title"),
    [("login.defs", "login.defs"), ("app.2024.log", "app.2024.log"), (".bashrc", ".bashrc"), ("a.b.txt", "a.b"), ("a.py", "a")],
)
def test_a_file_without_a_title_keeps_a_suffix_that_says_nothing_of_it(name: str, title: str, tmp_path: Path) -> None:
    (document,) = taken(fill(tmp_path, name) / name)
    assert isinstance(document, Document)
    assert document.title == title


def test_a_canvas_is_read_as_its_cards(tmp_path: Path) -> None:
    def node(kind: str, x: int, y: int, size: int = 10, **said: object) -> dict[str, object]:
        return {"id": f"{kind}{x}.{y}", "type": kind, "x": x, "y": y, "width": size, "height": size, **said}

    nodes = [
        node("group", 0, 100, 500, label="Harbour"),
        node("group", 90, 190, 50, label="Cellar"),
        node("group", 900, 900, label="Empty"),
        node("text", 100, 200, text="The **pump** is red."),
        node("text", 0, 150, text="Ships lie there."),
        node("file", 0, 120, file="Notes/Ships.md"),
        node("text", 0, 0, text="What we know"),
        node("link", 20, 0, url="https://example.org/pumps"),
        node("text", 40, 0),
    ]
    edges = [{"id": "e", "fromNode": "text0.0", "toNode": "text0.150", "label": "leads to"}, {"id": "f"}]
    canvas, other, none = tmp_path / "map.canvas", tmp_path / "other.canvas", tmp_path / "none.canvas"
    canvas.write_text(json.dumps({"nodes": nodes, "edges": edges}), encoding="utf-8")
    other.write_text('{"nodes": [{"text": "no place"}]}', encoding="utf-8")
    none.write_text("no JSON", encoding="utf-8")
    (document,) = taken(canvas)
    assert (document.title, document.media_type) == ("map", "text/markdown")
    assert document.text == (
        "What we know\n\nhttps://example.org/pumps\n\n# Harbour\n\nNotes/Ships.md\n\nShips lie there.\n\n"
        "# Cellar\n\nThe **pump** is red.\n\nEmpty\n\nleads to\n"
    )
    assert [one.text for one in taken(other, none)] == ['{"nodes": [{"text": "no place"}]}', "no JSON"]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("A.\n\n%% not this %%\n\nB.\n", "A.\n\n\n\nB.\n"),
        ("A.\n%%\nnor this\n\nnor that\n%%\nB.\n", "A.\n\nB.\n"),
        ("A.\r\n%%\r\nnot this\r\n%%\r\nB.\r\n", "A.\r\n\nB.\r\n"),
        ("Print %% for it, or %% again: %%DATE%%\n%%{init: 1}%%\n%%\nB.\n", None),
        ("```\n%%\n% a header of LaTeX\n%%\n% b %%\n```\n%% c\n", None),
    ],
)
def test_comments_of_obsidian_are_no_text(written: str, shown: str | None, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(written, encoding="utf-8", newline="")
    (document,) = taken(tmp_path / "a.md")
    assert document.text == (written if shown is None else shown)


def test_what_office_keeps_beside_an_open_document_stops_no_sync(tmp_path: Path) -> None:
    folder = fill(tmp_path / "n", "a.txt", "b.txt")
    options = ("--sync", "--max-delete", "100%", "--data-dir", tmp_path / "data")
    assert as_json("ingest", folder, *options)["added"] == 2
    for name in ("~$table.xlsx", "~$letter.docx", ".~lock.letter.odt#"):
        (folder / name).write_bytes(b"\x04Bob" + b" \0" * 80)
    (folder / "b.txt").unlink()
    report = as_json("ingest", folder, *options)
    assert (report["removed"], report["rejected"]) == (1, 0)
    assert ids(read(f"{folder}/*")) == ["n/a.txt"]


def test_ignore_files_and_patterns_leave_files_out(tmp_path: Path) -> None:
    folder = fill(tmp_path / "notes", "a.txt", "b.log.txt", "out/c.txt", "sub/d.txt", "sub/keep.txt", "sub/deep/e.txt", "tmp.txt")
    (folder / ".gitignore").write_text("# comment\n*.log.txt\nout/\nkeep.txt\n")
    (folder / "sub" / ".searchignore").write_text("/d.txt\n!keep.txt\n")
    assert ids(read(folder)) == ["notes/a.txt", "notes/sub/deep/e.txt", "notes/sub/keep.txt", "notes/tmp.txt"]
    assert ids(read(folder, exclude=["tmp*", "deep/"])) == ["notes/a.txt", "notes/sub/keep.txt"]
    assert len(ids(read(folder, ignore_files=False))) == 7
    left_out = Reading([str(folder)]).left_out
    assert sorted(Path(file).name for file in left_out) == ["b.log.txt", "c.txt", "d.txt"]


def test_patterns_stand_for_what_they_match(tmp_path: Path) -> None:
    folder = fill(tmp_path / "notes", "a.txt", "b.md", "sub/c.md", "sub/.hidden.md")
    assert ids(read(folder / "**" / "*.md")) == ["notes/b.md", "notes/sub/c.md"]
    assert ids(read(folder / "*.md", folder / "a.txt")) == ["notes/b.md", "notes/a.txt"]
    assert ids(read(folder / "**" / "*.md", exclude=["sub/"])) == ["notes/b.md"]
    with pytest.raises(InvalidDocument, match="matches no file"):
        read(folder / "*.pdf")
    (folder / "[x].txt").write_text("A name with brackets is a name, not a pattern.")
    assert ids(read(folder / "[x].txt")) == ["notes/[x].txt"]


def test_patterns_follow_links_to_folders_inside(tmp_path: Path) -> None:
    folder = fill(tmp_path, "root/real/x.md", "root/real/deep/x.md", "other/x.md") / "root"
    (folder / "inl").symlink_to("real")
    (folder / "out").symlink_to("../other")
    (folder / "real" / "up").symlink_to(folder)
    reading = Reading([str(folder / "*" / "x.md")])
    assert ids(list(reading)) == ["root/inl/x.md", "root/real/x.md"]
    assert (reading.outside, reading.left_out) == ([str(folder / "out")], [])
    deeper = Reading([str(folder / "*" / "*" / "x.md")])
    assert ids(list(deeper)) == ["root/inl/deep/x.md", "root/real/deep/x.md"]
    assert deeper.outside == [str(folder / "out")]
    assert deeper.left_out == [str(folder / name / "up") for name in ("inl", "real")]  # a circle
    anywhere = Reading([str(folder / "**" / "x.md")])
    assert ids(list(anywhere)) == ["root/real/deep/x.md", "root/real/x.md"]
    assert anywhere.outside == [str(folder / "out")]
    assert anywhere.left_out == [str(folder / "inl"), str(folder / "real" / "up")]
    with pytest.raises(InvalidDocument, match="holds nothing but links that lead out of it"):
        Reading([str(folder / "o*" / "x.md")])


@pytest.mark.parametrize("pattern", ["*/docs/*.md", "*/docs/**/*.md", "m?/docs/*.md"])
def test_patterns_open_no_folder_in_vain(pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = fill(tmp_path / "home", "me/docs/a.md", "me/private/b.md", "me/private/docs/c.md", "me/d.md")
    (home / "me" / "itself").symlink_to("itself")
    opened = []
    scandir = os.scandir

    def listed(folder: Path) -> Any:
        opened.append(folder.relative_to(home).as_posix())
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", listed)
    assert [str(item.id) for item in read(home / pattern) if isinstance(item, Document)] == ["home/me/docs/a.md"]
    assert opened == [".", "me", "me/docs"]
    assert rejected(home / pattern) == []
    with pytest.raises(InvalidDocument, match=r"absent/\*.md matches no file"):
        Reading([str(tmp_path / "absent" / "*.md")])
    with pytest.raises(InvalidDocument, match="matches no file"):
        Reading([str(home / "me" / "d.md" / "*.md")])


@pytest.mark.parametrize("pattern", ["", "**/*.txt"], ids=["folder", "pattern"])
def test_folders_in_each_other_without_end(pattern: str, tmp_path: Path) -> None:
    folders = [fill(tmp_path / "notes", "b.txt")]
    for _ in range(1500):
        folders.append(folders[-1] / "a")
        folders[-1].mkdir()
    (folders[-1] / "c.txt").write_text("Deep.")
    try:
        assert ids(read(folders[0] / pattern)) == [f"notes/{'a/' * 1500}c.txt", "notes/b.txt"]
    finally:
        (folders[-1] / "c.txt").unlink()
        for folder in reversed(folders[1:]):  # since shutil.rmtree calls itself
            folder.rmdir()


def test_archives_are_refused(tmp_path: Path) -> None:
    folder = fill(tmp_path / "notes", "a.txt", "b.tar.gz")
    assert rejected(folder) == ["notes/b.tar.gz: an archive; unpack it, or read what is in it with --archives"]
    assert ids(read(folder)) == ["notes/a.txt"]
    with pytest.raises(InvalidDocument, match="is an archive; unpack it"):
        read(folder / "b.tar.gz")


def test_links_are_followed_to_files_in_the_folder_only(tmp_path: Path) -> None:
    folder = fill(tmp_path, "secret.txt", "notes/c.txt", "notes/sub/d.txt", "other/e.txt") / "notes"
    (folder / "a.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "b.txt").symlink_to(tmp_path / "gone.txt")
    (folder / "circle").symlink_to(folder)
    (folder / "inside.txt").symlink_to("sub/d.txt")
    (folder / "itself").symlink_to(folder / "itself")
    (folder / "lost.txt").symlink_to(folder / "gone.txt")
    (folder / "sub" / "up.txt").symlink_to("../../secret.txt")
    reading = Reading([str(folder)])
    loop, plain, inside, broken, deep = reading
    assert "itself: cannot be read: Too many levels of symbolic links" in str(loop)
    assert str(broken) == "notes/lost.txt: cannot be read: No such file or directory"
    assert inside == Document("notes/inside.txt", "The text of notes/sub/d.txt.", "inside", {"path": "notes/inside.txt"})
    assert ids([plain, deep]) == ["notes/c.txt", "notes/sub/d.txt"]
    assert reading.left_out == [str(folder / "circle")]
    assert reading.outside == [str(folder / name) for name in ("a.txt", "b.txt", "sub/up.txt")]
    assert ids(read(folder / "*.txt")) == ["notes/c.txt", "notes/inside.txt"]
    assert Reading([str(folder / "*.txt")]).outside == [str(folder / name) for name in ("a.txt", "b.txt")]
    assert ids(read(folder / "a.txt")) == ["notes/a.txt"]  # named by itself
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "a.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(InvalidDocument, match="holds nothing but links that lead out of it; name the files themselves"):
        read(tmp_path / "only")
    (tmp_path / "link").symlink_to(folder)
    assert ids(read(tmp_path / "link"))[0] == "notes/c.txt"  # a folder, too, may be named by a link


def test_a_link_that_leads_out_only_when_the_file_is_opened(tmp_path: Path) -> None:
    folder = fill(tmp_path, "secret/a.txt", "notes/a.txt", "notes/b.jsonl", "notes/c.csv", "notes/sub/a.txt") / "notes"
    reading = Reading([str(folder)])
    for name in ("a.txt", "b.jsonl", "c.csv"):
        (folder / name).unlink()
        (folder / name).symlink_to(tmp_path / "secret" / "a.txt")
    (folder / "sub" / "a.txt").unlink()
    (folder / "sub").rmdir()
    (folder / "sub").symlink_to(tmp_path / "secret")
    reasons = [item.reason for item in reading if isinstance(item, Rejection)]
    assert reasons == ["cannot be read: it leads out of its folder"] * 4


def test_a_part_of_the_path_that_is_replaced_while_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the check and the opening: the part is not followed."""
    folder = fill(tmp_path, "secret/a.txt", "notes/sub/a.txt") / "notes"
    resolve = Path.resolve

    def replaced(path: Path, *, strict: bool = False) -> Path:
        resolved = resolve(path, strict=strict)
        if strict:
            (folder / "sub").rename(folder / "moved")
            (folder / "sub").symlink_to(tmp_path / "secret")
        return resolved

    reading = Reading([str(folder)])
    monkeypatch.setattr(Path, "resolve", replaced)
    assert [str(item) for item in reading] == ["notes/sub/a.txt: cannot be read: Not a directory"]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("suffix", [".txt", ".md", ".html", ".pdf", ".docx", ".csv", ".tsv", ".parquet", ".jsonl"])
def test_only_regular_files_are_opened(suffix: str, tmp_path: Path) -> None:
    folder = fill(tmp_path / "notes", "z.txt")
    os.mkfifo(folder / f"a{suffix}")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / f"b{suffix}"))
        (folder / f"c{suffix}").symlink_to("/dev/zero")
        pipe, other, fine = read(folder)
        assert "cannot be read: it is a named pipe and no regular file" in str(pipe)
        assert "cannot be read: it is a socket and no regular file" in str(other)
        assert ids([fine]) == ["notes/z.txt"]
        assert Reading([str(folder)]).count() == 3
    (alone,) = rejected(folder / f"c{suffix}")
    assert "cannot be read: it is a device and no regular file" in alone


def test_a_file_that_is_a_pipe_only_when_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fill(tmp_path / "notes", "a.txt")
    open_ = os.open

    def replaced(path: Any, flags: int, **options: Any) -> int:
        if str(path) == "a.txt":
            (folder / "a.txt").unlink()
            os.mkfifo(folder / "a.txt")
        return open_(path, flags, **options)

    monkeypatch.setattr(os, "open", replaced)
    assert "cannot be read: it is a named pipe and no regular file" in rejected(folder)[0]


@pytest.mark.timeout(30)
def test_an_ignore_file_that_cannot_be_read_lets_nothing_in(tmp_path: Path) -> None:
    """It may name what nobody should find."""
    folder = fill(tmp_path / "notes", "a.txt", "pipe/b.txt", "device/c.txt", "long/d.txt", "folder/e.txt")
    os.mkfifo(folder / "pipe" / ".gitignore")
    (folder / "device" / ".searchignore").symlink_to("/dev/zero")
    (folder / "long" / ".gitignore").write_text("x\n" * 500_001)
    (folder / "folder" / ".gitignore").mkdir()
    found = read(folder)
    assert ids(found) == ["notes/a.txt", "notes/folder/e.txt"]
    device, long, pipe = [str(item) for item in found if isinstance(item, Rejection)]
    assert "device/.searchignore: it is a device and no regular file" in device
    assert "long/.gitignore: it is larger than 1,000,000 bytes" in long
    assert "pipe/.gitignore: it is a named pipe and no regular file" in pipe
    assert len(ids(read(folder, ignore_files=False))) == 5


@pytest.mark.timeout(30)
def test_lines_of_ignore_files_that_mean_nothing_are_told(tmp_path: Path) -> None:
    folder = fill(tmp_path / "notes", "a.txt", f"{'a' * 200}.txt", "b.txt")
    (folder / ".gitignore").write_bytes("\ufeffb.txt\r\n[[:none:]]\n*a*a*a*a*a*a*a*a*a*a*b\n[x\n".encode())
    reading = Reading([str(folder)])
    assert ids(list(reading)) == ["notes/a.txt", f"notes/{'a' * 200}.txt"]
    place = folder / ".gitignore"
    assert reading.notes == [
        f"{place}: '[[:none:]]' can match nothing and is passed over: there is no class [:none:]",
        f"{place}: '[x' can match nothing and is passed over: its [ has no ]",
    ]
    with pytest.raises(InvalidDocument, match=r"--exclude is '\[a', which can match nothing: its \[ has no \]"):
        read(folder, exclude=["[a"])
    assert len(ids(read(folder, exclude=["*a*a*a*a*a*a*a*a*a*a*b"]))) == 2
    with pytest.raises(InvalidDocument, match="matches no file"):
        read(folder / "*a*a*a*a*a*a*a*a*a*a*b")


def test_a_folder_that_cannot_be_read_is_a_rejection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fill(tmp_path / "notes", "a.txt", "locked/b.txt")
    scandir = os.scandir

    def locked(path: Any) -> Any:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)  # for root, who runs tests in some places, everything can be read
    assert rejected(folder) == [f"{folder / 'locked'}: cannot be read: Permission denied"]
    assert ids(read(folder)) == ["notes/a.txt"]


@contextmanager
def nobody() -> Iterator[Path]:
    """A folder that is everybody's, without root's rights, to whom all is open, and who runs tests in some places."""
    own = os.geteuid(), os.getegid()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        os.setegid(65534 if own[0] == 0 else own[1])
        os.seteuid(65534 if own[0] == 0 else own[0])
        try:
            yield Path(folder)
        finally:
            os.seteuid(own[0])
            os.setegid(own[1])
            subprocess.run(["chmod", "-R", "u+rwx", folder], check=True)


@pytest.mark.parametrize("ignore_files", [True, False])
def test_folders_that_cannot_be_entered_are_told_and_passed_over(ignore_files: bool, tmp_path: Path) -> None:  # noqa: FBT001
    assert taken(fill(tmp_path, "a.txt"), ignore_files=ignore_files)  # with what Python loads for it, which others may not

    def found(*parts: str) -> list[str]:
        items = read(home.joinpath("notes", *parts), ignore_files=ignore_files)
        return [str(item).replace(f"{home}/notes", "") if isinstance(item, Rejection) else item.id for item in items]

    with nobody() as home:
        folder = fill(home / "notes", "a.txt", "closed/b.txt", "closed/deep/c.txt", "listed/d.txt", "listed/deep/e.txt")
        (folder / "link.txt").symlink_to("closed/b.txt")
        (folder / "links").symlink_to("closed/deep")
        (folder / "listed" / "link.txt").symlink_to("../a.txt")
        (folder / "closed").chmod(0)
        (folder / "listed").chmod(0o444)
        refused = [f"/{name}: cannot be read: Permission denied" for name in ("link.txt", "links", "closed", "listed")]
        cases: list[tuple[str, ...]] = [(), ("**", "*.txt")]
        for parts in cases:
            told = [re.sub(r"(: cannot be read): .*/\.gitignore", r"\1", one) for one in found(*parts)]
            assert sorted(told) == sorted([*refused, "notes/a.txt"])
        cases = [("closed",), ("closed", "b.txt"), ("closed", "deep"), ("closed", "*.txt"), ("listed", "deep", "*.txt"), ("links",)]
        for parts in cases:
            (one,) = found(*parts)
            assert one.startswith(f"/{'/'.join(parts)}")
            assert one.endswith(": Permission denied")
        cases = [("listed",), ("listed", "d.txt"), ("listed", "*.txt"), ("lin*", "*.txt"), ("link.txt",)]
        for parts in cases:
            assert all(one.endswith(": Permission denied") for one in found(*parts))
            assert found(*parts)


@pytest.mark.parametrize("path", [".", "*.md", "notes"])
def test_a_working_folder_that_is_gone_holds_nothing(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(InvalidDocument, match="a working folder that is gone; change into"):
        read(path)


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidDocument, match=r"a path is empty; write \. for the working folder"):
        Reading([""])
    with pytest.raises(InvalidDocument, match="does not exist"):
        read(tmp_path / "absent.jsonl")
    with pytest.raises(InvalidDocument, match="~no-such-user/x does not exist"):
        read("~no-such-user/x")
    for path in ("n" * 304, f"{tmp_path}/{'ü' * 130}.md", f"{tmp_path}/*{'n' * 304}*", f"{'n' * 304}/*.md", "a/" * 3000):
        with pytest.raises(InvalidDocument, match="…' does not exist: no file has a name so long"):
            Reading([path])
    for name in ("a.xyz", "b.png", "c.png"):
        (tmp_path / name).write_bytes(b"\x89\0\1")
    with pytest.raises(
        InvalidDocument,
        match=r"holds no file with a text in it, only 2 \.png, 1 \.xyz; convert them, or write their documents as JSON lines",
    ):
        read(tmp_path)
    assert "not text: it holds zero bytes" in rejected(tmp_path / "a.xyz")[0]


def test_a_file_too_large_to_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_files, "LONGEST", 100)
    (tmp_path / "a.txt").write_text("x" * 200)
    assert rejected(tmp_path / "a.txt")[0].endswith("larger than 100 bytes; split it")


def test_files_that_vanish_are_rejected(tmp_path: Path) -> None:
    reading = Reading([str(fill(tmp_path / "n", "a.txt", "b.jsonl", "c.csv"))])
    for name in ("a.txt", "b.jsonl", "c.csv"):
        (tmp_path / "n" / name).unlink()
    assert [str(item) for item in reading] == [
        "n/a.txt: cannot be read: No such file or directory",
        "n/b.jsonl: cannot be read: No such file or directory",
        "n/c.csv: cannot be read: No such file or directory",
    ]
    assert reading.count() == 3


@pytest.mark.parametrize("name", ["a.txt", "a.html"])
@pytest.mark.parametrize("writes", [1, 99])
def test_a_file_that_changes_while_it_is_read(writes: int, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read again if somebody writes to it; and given up if somebody always does. Never a mixture."""
    file = tmp_path / name
    file.write_text("old")
    written: list[int] = []
    open_ = reading_files.open_regular

    def meanwhile(path: Path, within: Path | None = None) -> Any:
        stream = open_(path, within)
        if len(written) < writes:
            written.append(1)
            monkeypatch.setattr(os, "fstat", changing)
        return stream

    def changing(descriptor: int) -> os.stat_result:
        status = fstat(descriptor)
        monkeypatch.setattr(os, "fstat", fstat)
        file.write_text("new" * len(written))
        return status

    fstat = os.fstat
    monkeypatch.setattr(reading_files, "open_regular", meanwhile)
    (found,) = read(file)
    if writes == 1:
        assert isinstance(found, Document)
        assert found.text.strip() == "new"
    else:
        assert str(found).endswith("changed while it was read; ingest it again")


def test_a_file_of_many_that_changes_while_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"id": "1", "text": "x"}\n{"id": "2", "text": "y"}\n')
    reading = iter(Reading([str(file)]))
    assert isinstance(next(reading), Document)
    with file.open("a") as stream:
        stream.write('{"id": "3", "text": "z"}\n')
    assert [str(item) for item in reading][-1].endswith("a.jsonl: changed while it was read; ingest it again")


# Encodings


TEXTS = {
    "cp1252": "Das Café ist schön, naïve Gäste sind überall.",
    "cp932": "これは日本語の文章です。東京は日本の首都です。",
    "gb18030": "这是一个中文句子。北京是中国的首都。",
    "cp949": "이것은 한국어 문장입니다. 서울은 한국의 수도입니다.",
    "cp1251": "Это русский текст. Москва столица России.",
    "cp1250": "Zażółć gęślą jaźń. Źródło jest żywe.",
    "utf-16": "Text with a byte order mark.",
}


@pytest.mark.parametrize("encoding", TEXTS)
def test_encodings_are_found_out_and_told(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(TEXTS[encoding].encode(encoding))
    (document,) = taken(tmp_path / "a.txt")
    assert document.text == TEXTS[encoding]
    assert document.metadata["encoding"] == encoding


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (("Der See — er ist tief. " * 9).encode() + b"\x9d", ("Der See — er ist tief. \ufffd", {"replaced_characters": 1})),
        (
            b"x " * 150_000 + "Die Fähre fährt über den See.".encode("cp1252"),
            ("Die Fähre fährt über den See.", {"encoding": "cp1252"}),
        ),
        ("船は港を出た。".encode("iso2022_jp"), ("船は港を出た。", {"encoding": "iso2022_jp"})),
        ("הספינה יצאה מהנמל.".encode("cp1255"), ("הספינה יצאה מהנמל.", {"encoding": "cp1255"})),
        (
            "Gemi limandan ayr\u0131ld\u0131, şehir kayboldu.".encode("cp1254"),
            ("Gemi limandan ayr\u0131ld\u0131, şehir kayboldu.", {"encoding": "cp1254"}),
        ),
        ("naïve café".encode("cp1252"), ("naïve café", {"encoding": "cp1252"})),
        ("Grüße".encode("utf-16-le"), ("Grüße", {"encoding": "utf-16-le"})),
    ],
    ids=["damaged", "late", "stateful", "Hebrew", "Turkish", "few letters", "wide"],
)
def test_encodings_of_hard_texts(content: bytes, text: tuple[str, Any], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    (document,) = taken(tmp_path / "a.txt")
    assert document.text.endswith(text[0])
    assert document.metadata == {"path": document.id} | text[1]


DAMAGED = {
    "a letter beside it": ("Der Fährmann war ".encode() + b"m\xfcde.", "Der Fährmann war m\ufffdde."),
    "a quote beside it": ("the ship\u2019s ".encode() + b"log\x92", "the ship\u2019s log\ufffd"),
    "half a letter": ("Größe".encode()[:-2] + b"e", "Grö\ufffde"),
    "two letters of Russian beside it": ("я и ".encode() + b"\xd1", "я и \ufffd"),
    "a letter of three bytes": ("船は".encode() + "港".encode()[1:], "船は\ufffd\ufffd"),
    "none in ASCII": (b"The ferry leaves at \xff noon.", "The ferry leaves at \ufffd noon."),
    "no letter of any encoding": (b"The ferry \x81 leaves.", "The ferry \ufffd leaves."),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_byte_of_a_short_text_does_not_throw_utf_8_away(name: str, tmp_path: Path) -> None:
    content, text = DAMAGED[name]
    (tmp_path / "a.txt").write_bytes(content)
    for encoding in (None, "utf-8"):
        (document,) = taken(tmp_path / "a.txt", encoding=encoding)
        assert document.text == text
        assert document.metadata == {"path": document.id, "replaced_characters": text.count("\ufffd")}


def test_what_was_replaced_before_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("The sign \ufffd was lost before, ".encode() + b"this one \xe5 is lost now.")
    (document,) = taken(tmp_path / "a.txt")
    assert document.text == "The sign \ufffd was lost before, this one \ufffd is lost now."
    assert document.metadata == {"path": document.id, "replaced_characters": 1}
    western = "Die Straße führt über die Brücke und zurück. "
    (tmp_path / "a.txt").write_bytes((western * 3 + "The ferry leaves. " * 90).encode("cp1252") + "\ufffd".encode())
    (document,) = taken(tmp_path / "a.txt")
    assert document.text.startswith(western)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Cr\u00e8me br\u00fbl\u00e9e", "cp1252"),
        ("\u00a9 2026 Harbour Board", "cp1252"),
        ("\u00c0 la carte", "cp1252"),
        ("L\u00f6wenbr\u00e4u \u2013 3 \u20ac", "cp1252"),
        ("20 \u00b0C in the cabin", "cp1252"),
    ],
)
def test_few_letters_of_another_encoding_are_no_damage(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == (text, encoding, 0)


REPEATED = {
    "cp1252": (
        "19 €",
        "20 °C",
        "Hauptstraße 5",
        "Orléans",
        "Größe;weiß",
        "Café;19 €",
        "José García;Peñón;Málaga",
        "Hélène Lefèvre;façade;5 €",
        "São João;Évora;irmãos",
        "Garçon \u2013 “menu” à 12 €…",
        "Nicolò;città;è già lì",
        "§ 5;gemäß;30 m²",
        "½ cup;crème fraîche",
        "Acme® widgets™;© 2020",
        "naïve;België;één",
        "¿Qué?;£5;nº 3",
        "Øster;Bjørn;København",
        "Straße;Größe;Maße;Fuß;Gruß;heiß",
        "Umlauts: äöü",
        "äöü;ÄÖÜ",
        "åäö",
        "æøå",
    ),
    "cp1250": ("Łódź;Wrocław;Poznań;Gdańsk", "Győr;Szőke;Erdő", "Kowalski;ul. Świętokrzyska;Wrocław", "Žižka;Náměstí Míru;Příbram"),
    "cp1251": ("Москва;Имя;Цена", "шт;ед;да;нет", "дядя"),
    "cp1253": ("Αθήνα;Οδός Ερμού",),
    "cp1254": ("Y\u0131lmaz;İstanbul;Beyoğlu",),
    "cp850": ("Größe;weiß;Äpfel;Käse;Brötchen",),
    "koi8-r": ("Иванов;ул. Ленина;Москва",),
    "cp932": ("田中;東京都港区;価格",),
    "gb18030": ("名称;价格",),
    "big5": ("台北市;價格;王小明",),
}


@pytest.mark.parametrize(("encoding", "text"), [(encoding, text) for encoding, texts in REPEATED.items() for text in texts])
@pytest.mark.parametrize("rows", [5, 300])
def test_what_a_table_repeats_tells_its_encoding_no_better(encoding: str, text: str, rows: int) -> None:
    table = "Name;Text\n" + "".join(f"item {row};{text};{row}\n" for row in range(rows))
    assert decode(table.encode(encoding)).text == table


def test_a_long_word_of_signs_takes_no_time() -> None:
    started = time.monotonic()
    with contextlib.suppress(InvalidDocument):
        decode(("\u2014" * 200_000).encode("cp1252") + b"\x81")
    assert time.monotonic() - started < 5


def test_a_text_that_is_not_utf_8_is_not_read_as_that(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Größe über Maß, schöne Grüße".encode("cp1252"))
    assert "not utf-8 at byte 3; name another --encoding" in rejected(tmp_path / "a.txt", encoding="utf-8")[0]


def test_utf_8_needs_no_telling(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + TEXTS["cp932"].encode())
    (document,) = taken(tmp_path / "a.txt")
    assert (document.text, "encoding" in document.metadata) == (TEXTS["cp932"], False)


def test_an_encoding_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Ελληνικά".encode("cp1253"))
    assert taken(tmp_path / "a.txt", encoding="cp1253")[0].text == "Ελληνικά"
    assert "not ascii at byte 1; name another --encoding" in rejected(tmp_path / "a.txt", encoding="ascii")[0]
    for name in ("klingon", "rot13", "undefined"):
        with pytest.raises(InvalidDocument, match=f"there is no encoding '{name}'"):
            Reading([str(tmp_path)], encoding=name)
    (tmp_path / "b.txt").write_bytes(b"\xef\xbb\xbfText")
    (marked,) = taken(tmp_path / "b.txt", encoding="UTF-8")
    assert (marked.text, "encoding" in marked.metadata) == ("Text", False)


@pytest.mark.parametrize(
    "text",
    [
        "Привет, мир. Добрый день.",
        "Die Fähre fährt über den See; 1 + 1 ist 2, die Größe auch.",
        "\ufeffŘeka teče kolem přístavu do moře.",
        "Con tàu đã rời bến cảng.",
        "船は港を出た。東京は日本の首都です。",
        "이것은 한국어 문장입니다. 서울은 한국의 수도입니다.",
    ],
)
def test_utf_7_is_found_out_and_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(text.encode("utf-7"))
    (document,) = taken(tmp_path / "a.txt")
    assert (document.text, document.metadata["encoding"]) == (text.removeprefix("\ufeff"), "utf-7")


@pytest.mark.parametrize(
    "text",
    [
        "+abc- and a+b-c, C++ and +49-89",
        "+abc-\n" * 20,
        "+AOQ- is a letter of UTF-7.",
        "--- a\n+++ b\n+foo\n+bar\n",
        "https://a.example/?q=large+language+models",
        "a\x1b(B+abc- of a terminal",
        "Content-Transfer-Encoding: base64\n\niVBORw0KGgo+AAAANSUhEUgAAAAUA+AAAFCAYAAACNbyblAAAAHElEQVQI12P4\n",
    ],
)
def test_what_has_plus_signs_is_no_utf_7(text: str) -> None:
    assert decode(text.encode()) == (text, "utf-8", 0)


@pytest.mark.parametrize("encoding", ["iso2022_jp_2", "utf-7"])
def test_tables_that_are_ascii_to_look_at(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("id,text\n1,船は港を出た。東京は日本の首都です。\n".encode(encoding))
    assert taken(tmp_path / "a.csv")[0].text == "船は港を出た。東京は日本の首都です。"


@pytest.mark.parametrize("content", [b"\x7fELF\0\0\1\2", bytes(range(1, 256)) * 20], ids=["zeros", "noise"])
def test_what_is_no_text_is_rejected(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    assert "name the --encoding" in rejected(tmp_path / "a.txt")[0]


def test_without_the_extra_only_utf_8_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "chardet", None)
    assert decode(b"caf\xc3\xa9") == ("café", "utf-8", 0)
    with pytest.raises(
        InvalidDocument, match=r"cannot be told \(chardet is not installed; install .* files.*\); name the --encoding"
    ):
        decode(b"caf\xe9")


# Pages


def test_html_becomes_markdown_without_its_furniture(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        "<html><head><title> The\n page </title><style>p {}</style></head><body><nav>Menu</nav><main><h1>Top</h1>"
        "<p>Some <b>bold</b> words and a <a href='x'>link</a>, 2 * 3 * 4 and snake_case.</p><h2>Code</h2><pre>"
        "<code>x = 1\ny = 2</code></pre><ul><li>one</li></ul>"
        "<table><tr><th>a</th></tr><tr><td>1</td></tr></table></main><script>alert(1)</script></body></html>"
    )
    (page,) = taken(tmp_path / "a.html")
    assert (page.title, page.media_type) == ("The page", "text/html")
    assert page.text == (
        "# Top\n\nSome bold words and a link, 2 * 3 * 4 and snake_case.\n\n## Code\n\n```\nx = 1\ny = 2\n```\n\n- one\n\n"
        "| a |\n| --- |\n| 1 |\n"
    )


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_lines_of_html_may_end_as_on_other_systems(end: str, tmp_path: Path) -> None:
    page = "<body>\n<h1>Top</h1>\n<pre>\n\nx = 1\n\n\n\ny = 2\n</pre>\n<p>One\ntwo.</p>\n</body>"
    (tmp_path / "a.html").write_bytes(page.encode())
    (tmp_path / "b.html").write_bytes(page.replace("\n", end).encode())
    assert taken(tmp_path / "b.html")[0].text == taken(tmp_path / "a.html")[0].text


def test_every_article_of_a_page_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<body><h1>Blog</h1><article>One.</article><article>Two.</article></body>")
    assert all(word in taken(tmp_path / "a.html")[0].text for word in ("Blog", "One.", "Two."))
    (tmp_path / "b.html").write_text("<body><p>Cookies!</p><article>One.</article></body>")
    assert taken(tmp_path / "b.html")[0].text == "One.\n"


@pytest.mark.parametrize("declared", ["", "<meta charset='utf-8'>", "<meta charset='klingon'>"])
def test_html_that_does_not_say_its_encoding(declared: str, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_bytes(f"{declared}<p>Très bien, où est le café ?</p>".encode("cp1252"))
    assert taken(tmp_path / "a.html")[0].text == "Très bien, où est le café ?\n"


def test_html_says_its_own_encoding(tmp_path: Path) -> None:
    page = "<html><head><meta charset='windows-1251'></head><body>Москва столица</body></html>"
    (tmp_path / "a.htm").write_bytes(page.encode("cp1251"))
    (document,) = taken(tmp_path / "a.htm")
    assert (document.text, document.title) == ("Москва столица\n", "a")


def test_pdf_keeps_its_pages_apart(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf(["Cats sleep.", "Dogs bark."], "On animals"))
    (document,) = taken(tmp_path / "a.pdf")
    assert (document.title, document.text, document.media_type) == ("On animals", "Cats sleep.\fDogs bark.", "application/pdf")


def test_a_scanned_pdf_has_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf(["", ""]))
    assert "recognise its text first (OCR)" in rejected(tmp_path / "a.pdf")[0]


def test_an_encrypted_pdf_is_rejected(tmp_path: Path) -> None:
    writer = pypdf.PdfWriter(io.BytesIO(pdf(["Secret."])))
    writer.encrypt("password", algorithm="RC4-128")
    writer.write(tmp_path / "a.pdf")
    assert "is encrypted; save it without a password" in rejected(tmp_path / "a.pdf")[0]


def test_word_becomes_markdown(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(
        docx([("Heading1", "Animals"), ("Normal", "Cats sleep."), ("Heading2", "Dogs"), ("", "Bark.")])
    )
    (document,) = taken(tmp_path / "a.docx")
    assert (document.title, document.text, document.media_type) == (
        "Animals",
        "## Animals\n\nCats sleep.\n\n### Dogs\n\nBark.\n",
        WORD,
    )


def test_a_word_document_that_unpacks_to_too_much(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(docx([("Normal", "a" * 2_000_000)]))
    assert "unpacks to far more than a document has" in rejected(tmp_path / "a.docx")[0]
    (tmp_path / "b.docx").write_bytes(docx([("Normal", "a" * 900_000)]))
    assert len(taken(tmp_path / "b.docx")[0].text) == 900_001
    white = bytes(3_000_000)  # a picture, which is never read
    (tmp_path / "c.docx").write_bytes(docx([("Normal", "Text")], {"word/media/image1.bmp": white}))
    assert taken(tmp_path / "c.docx")[0].text == "Text\n"
    for name in ("word/styles.XML", "word/_rels/document.xml.rels"):
        (tmp_path / "d.docx").write_bytes(docx([("Normal", "Text")], {name: white}))
        assert "unpacks to far more than a document has" in rejected(tmp_path / "d.docx")[0]


@pytest.mark.parametrize("suffix", ["pdf", "docx", "parquet"])
@pytest.mark.parametrize("content", [b"", b"garbage", b"%PDF-1.4 cut", b"PK\3\4 cut"], ids=["empty", "garbage", "pdf", "zip"])
def test_damaged_files_are_rejected(suffix: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / f"a.{suffix}").write_bytes(content)
    (reason,) = rejected(tmp_path / f"a.{suffix}")
    assert "cannot be read as" in reason


def test_html_nested_beyond_reason_is_rejected_or_read(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<div>" * 20_000 + "deep" + "</div>" * 20_000)
    assert len(read(tmp_path / "a.html")) == 1


@pytest.mark.parametrize(
    ("name", "library"),
    [("a.html", "selectolax.lexbor"), ("a.docx", "kreuzberg"), ("a.pdf", "pypdfium2"), ("a.parquet", "pyarrow.parquet")],
)
def test_an_extra_that_is_not_installed_is_named(name: str, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).write_bytes(b"something")
    monkeypatch.setitem(sys.modules, library, None)
    if library == "pyarrow.parquet":
        absent = hide("pyarrow")
        monkeypatch.setattr(builtins, "__import__", absent)
    with (tmp_path / name).open("rb") as stream:  # as the child does it
        file = SourceFile(tmp_path / name, name)
        (found,) = tables.read_table(stream, file, {}, None) if library == "pyarrow.parquet" else [pages.read(stream, file)]
    reason = str(found)
    assert "is not installed; install this package with its extra files, as in pip install '.[files]'" in reason


def hide(library: str) -> Callable[..., Any]:
    """Python's import without a library that other parts have imported already."""
    real = builtins.__import__

    def absent(name: str, *arguments: Any, **options: Any) -> Any:
        if name.split(".", maxsplit=1)[0] == library:
            raise ModuleNotFoundError(name=library)
        return real(name, *arguments, **options)

    return absent


# Tables


def test_rows_of_csv_with_metadata(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        '\ufeffid,text,title,year,price,zip,note\n1,"A, ""quoted""\ntext",T,2020,-1.50,01234,\n2,Short,,1e5,12.,7 up,x\n',
        encoding="utf-8",
    )
    assert taken(tmp_path / "a.csv") == [
        Document("1", 'A, "quoted"\ntext', "T", {"year": "2020", "price": "-1.50", "zip": "01234"}),
        Document("2", "Short", "", {"year": "1e5", "price": "12.", "zip": "7 up", "note": "x"}),
    ]
    assert Reading([str(tmp_path / "a.csv")]).count() == 2


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ";"), ("a.csv", "|"), ("a.csv", "\t"), ("a.tsv", "\t")])
def test_delimiters(name: str, delimiter: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(f'id{delimiter}text\n1{delimiter}"one, two; three"\n')
    assert taken(tmp_path / name) == [Document("1", "one, two; three")]


def test_columns_can_be_called_otherwise(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("nr,words,id\n007,Some text,5\n")
    assert taken(tmp_path / "a.csv", fields={"id": "nr", "text": "words"}) == [Document("007", "Some text", "", {"id": 5})]
    absent = rejected(tmp_path / "a.csv", fields={"text": "body"})[0]
    assert "has no column body but nr, words, id; name them with --field text=COLUMN" in absent
    with pytest.raises(InvalidDocument, match="'author' is no field"):
        Reading([str(tmp_path)], fields={"author": "nr"})


def test_bad_rows_are_rejected_with_their_line_and_the_next_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1\n2,fine\n,no id\n\n4, \n")
    one, two, three, four = read(tmp_path / "a.csv")
    assert isinstance(one, Rejection)
    assert (one.line, one.document_id) == (2, "1")
    assert "has no text" in one.reason
    assert two == Document("2", "fine")
    assert "a.csv:4: the document has no id" in str(three)
    assert "a.csv:6 (4): it has no text" in str(four)


def test_a_quote_that_never_ends_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id,text\n1,fine\n2,"y" z\n3,fine\n4,"never\n5,ends\n')
    one, two, three, four = read(tmp_path / "a.csv")
    assert (one, three) == (Document("1", "fine"), Document("3", "fine"))
    assert "a.csv:3: the row behind line 2 is not CSV" in str(two)
    assert "a.csv:6: the row behind line 4 is not CSV: unexpected end of data" in str(four)


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_encodings_of_csv(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("id,text\n1,Größe und Maß\n".encode(encoding))
    assert taken(tmp_path / "a.csv") == [Document("1", "Größe und Maß")]
    assert "not ascii: ordinal not in range(128); name another --encoding" in rejected(tmp_path / "a.csv", encoding="ascii")[0]


@pytest.mark.parametrize("damaged", [b"Am H\xfcgel, sch\xc3\xb6n", b"at \xff noon"])
def test_a_damaged_byte_of_a_table_is_replaced_and_counted(damaged: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'id,text\n1,first\n2,"' + damaged + b'"\n')
    text = damaged.decode("utf-8", "replace")
    assert taken(tmp_path / "a.csv") == [Document("1", "first"), Document("2", text, "", {"replaced_characters": 1})]


@pytest.mark.parametrize("suffix", [".csv", ".txt"])
@pytest.mark.parametrize(
    ("text", "encoding"), [("Größe weiß über Köln", "cp1252"), ("Größe weiß über Köln", "utf-8"), ("ул. Ленина", "cp1251")]
)
def test_a_table_that_begins_with_ascii(text: str, encoding: str, suffix: str, tmp_path: Path) -> None:
    rows = [*(f"{row};plain words" for row in range(15_000)), *(f"{row};{text} {row}" for row in range(15_000, 15_500))]
    (tmp_path / f"a{suffix}").write_bytes("\n".join(["id;text", *rows, ""]).encode(encoding))
    documents = taken(tmp_path / f"a{suffix}")
    assert documents[-1].text.endswith(f"{text} 15499" if suffix == ".csv" else f"{text} 15499\n")
    assert documents[0].remarks == ({"encoding": encoding} if encoding != "utf-8" else {})


def test_a_row_with_damaged_bytes_is_remarked(tmp_path: Path) -> None:
    content = "id;text\n" + "".join(f"{row};Größe\n" for row in range(30_000))
    (tmp_path / "a.csv").write_bytes(content.encode() + b"x;at \xff noon\n")
    *others, damaged = taken(tmp_path / "a.csv")
    assert (damaged.text, damaged.remarks) == ("at \ufffd noon", {"replaced_characters": 1})
    assert not any(one.remarks for one in others)


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_lines_of_csv_may_end_as_on_other_systems(end: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(separated, "LONGEST", 1000)
    row = "1,Größe und Maß".encode()
    (tmp_path / "a.csv").write_bytes(end.join([b"id,text", row, b"2," + b"x" * 2000, b"3,fine"]) + end)
    one, long, three = read(tmp_path / "a.csv")
    assert (one, three) == (Document("1", "Größe und Maß"), Document("3", "fine"))
    assert "a.csv:3: the row behind line 2 is not CSV: it has more than 1,000 characters" in str(long)


def test_a_column_that_stands_twice(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text,id\n1,x,2\n")
    assert "has the column 'id' twice" in rejected(tmp_path / "a.csv")[0]


def test_a_field_longer_than_pythons_csv_takes_by_default(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1," + "word " * 100_000 + "\n")
    assert len(taken(tmp_path / "a.csv")[0].text) == 500_000


def test_rows_of_parquet(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": [1, 2, 3],
            "text": ["one", None, "three"],
            "day": pa.array([18_000, 18_001, None], pa.date32()),
            "tags": [["a", "b"], [], None],
            "where": [{"lat": 1.5}, {"lat": None}, {"lat": 2.0}],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    one, two, three = read(tmp_path / "a.parquet")
    assert one == Document("1", "one", "", {"day": "2019-04-14", "tags": ["a", "b"], "where": {"lat": 1.5}})
    assert "a.parquet:2 (2): it has no text" in str(two)
    assert three == Document("3", "three", "", {"where": {"lat": 2.0}})
    assert Reading([str(tmp_path / "a.parquet")]).count() == 3
    pq.write_table(pa.table({"id": ["1"], "text": ["x"], "blob": [b"\xff"]}), tmp_path / "b.parquet")
    assert taken(tmp_path / "b.parquet") == [Document("1", "x", "", {"bytes_left_out": 1})]


def test_values_of_parquet_that_json_has_not(tmp_path: Path) -> None:
    times = pa.array([1_600_000_000_000_000_123, None], pa.timestamp("ns"))
    pq.write_table(pa.table({"id": [b"1", b"2"], "text": [b"one", b"two"], "at": times}), tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet")
    assert len(found) == 2
    assert found[1] == Document("2", "two")
    pq.write_table(pa.table({"id": ["1"], "text": [b"\xff\xfe"]}), tmp_path / "b.parquet")
    assert "the column text holds bytes that are no text" in rejected(tmp_path / "b.parquet")[0]


def test_maps_of_parquet_hold_what_other_columns_hold(tmp_path: Path) -> None:
    prices = pa.array([[("a", decimal.Decimal("1.5"))]], pa.map_(pa.string(), pa.decimal128(5, 2)))
    days = pa.array([{"of": [[("b", dt.date(2020, 1, 2))]]}], pa.struct({"of": pa.list_(pa.map_(pa.binary(), pa.date32()))}))
    pq.write_table(pa.table({"id": ["1"], "text": ["x"], "prices": prices, "days": days}), tmp_path / "a.parquet")
    (found,) = taken(tmp_path / "a.parquet")
    assert found.metadata == {"prices": {"a": "1.50"}, "days": {"of": [{"b": "2020-01-02"}]}}


@pytest.mark.parametrize("field", ["id", "text", "title"])
def test_columns_of_lists_and_objects_are_no_text(field: str, tmp_path: Path) -> None:
    columns = {"id": ["1"], "text": ["x"]} | {field: pa.array([{"a": [b"\xff"]}])}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert f"a.parquet:1: the column {field} holds lists or objects" in rejected(tmp_path / "a.parquet")[0]


DAY = dt.timedelta(days=1)
UNWRITABLE = {
    "bytes": (pa.array([b"\xff\xfe"]), None, 1),
    "duration": (pa.array([dt.timedelta(seconds=5)]), "0:00:05", 0),
    "nanoseconds": (pa.array([5_000_000_001], pa.duration("ns")), "0:00:05", 0),
    "time": (pa.array([1_600_000_000_000_000_123], pa.timestamp("ns")), "2020-09-13T12:26:40", 0),
    "nested": (pa.array([{"a": [{"bytes": b"\xff", "lasts": DAY}]}]), {"a": [{"lasts": "1 day, 0:00:00"}]}, 1),
    "map": (pa.array([[("a", b"\xff"), ("b", b"x")]], pa.map_(pa.string(), pa.binary())), {"b": "x"}, 1),
}


@pytest.mark.parametrize("name", UNWRITABLE)
def test_of_a_row_bytes_are_left_out_and_durations_are_text(name: str, tmp_path: Path) -> None:
    values, found, left_out = UNWRITABLE[name]
    pq.write_table(pa.table({"id": ["1"], "text": ["one"], name: values}), tmp_path / "a.parquet")
    (document,) = taken(tmp_path / "a.parquet")
    remarks = {"bytes_left_out": left_out} if left_out else {}
    assert document == Document("1", "one", "", remarks | ({} if found is None else {name: found}))
    assert document.remarks == remarks


def test_a_rejection_of_what_json_cannot_hold_is_written_without_it() -> None:
    for value in (b"\xff", dt.timedelta(1), dt.date(2020, 1, 2), decimal.Decimal(1), {1, 2}):
        line = json.loads(Rejection("documents", None, "1", "too odd", {"id": "1", "metadata": {"a": value}}).to_line())
        assert line == {"rejected": {"source": "documents", "line": None, "document_id": "1", "reason": "too odd"}}


# What was rejected


def test_a_file_of_rejects_is_ingested_again(tmp_path: Path) -> None:
    """Each kind of rejection, written down, mended where it lies, and read again."""
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"\0")
    (folder / "b.jsonl").write_text('{"id": "b", "text": "", "year": 1}\n')
    (folder / "c.csv").write_text("id,text\nc,\n")
    again = Rejection.of(Document("d", "Whole.", "T", {"x": 1}, "text/markdown", 5.0), "too long, then")
    found = [item for item in read(folder) if isinstance(item, Rejection)]
    file = tmp_path / "rejects.jsonl"
    file.write_text("".join(rejection.to_line() for rejection in [*found, again]))
    whys = [json.loads(line)["rejected"] for line in file.read_text().splitlines()]
    assert [why["document_id"] for why in whys] == ["notes/a.txt", "b", "c", "d"]
    assert len(rejected(file)) == 3
    assert rejected(file)[0].endswith("ingest it by itself, or all that this file names with --again")
    (folder / "a.txt").write_text("Mended.")
    mended = file.read_text().replace('text\\": \\"\\"', 'text\\": \\"A line.\\"').replace('"text": ""', '"text": "Mended, too."')
    file.write_text(mended)
    a, b, c, d = taken(file, again=True)
    assert (a.id, a.text) == ("notes/a.txt", "Mended.")
    assert (b.id, b.text) == ("b", "A line.")
    assert (c.id, c.text) == ("c", "Mended, too.")
    assert d == Document("d", "Whole.", "T", {"x": 1}, "text/markdown")
    assert d.modified == 5.0


def test_a_line_that_is_no_text_stays_rejected_until_it_is_mended(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"id": "1", "text": "caf\xe9"}\n')
    (found,) = read(tmp_path / "a.jsonl")
    assert isinstance(found, Rejection)
    (tmp_path / "rejects.jsonl").write_text(found.to_line())
    assert "not UTF-8 at byte 25" in rejected(tmp_path / "rejects.jsonl")[0]
    (tmp_path / "rejects.jsonl").write_text('{"rejected": {}, "base64": "no base 64"}\n')
    assert "not JSON" in rejected(tmp_path / "rejects.jsonl")[0]


@pytest.mark.parametrize(
    ("name", "damaged"),
    [("a.pdf", b"%PDF-1.4"), ("a.json", b'{"x": 1'), ("b.json", b'{"x": "a", "x": "b"}'), ("a.parquet", b"PAR1"), ("a.txt", b"\0")],
)
def test_a_file_of_rejects_says_where_a_file_is_whoever_read_it(name: str, damaged: bytes, tmp_path: Path) -> None:
    """Also what a child process read, which is told no path."""
    file = tmp_path / name
    file.write_bytes(damaged)
    (rejection,) = read(file)
    assert isinstance(rejection, Rejection)
    assert rejection.content == {"file": str(file), "name": f"{tmp_path.name}/{name}"}


def test_a_file_of_rejects_names_only_files_of_one_document(tmp_path: Path) -> None:
    file = tmp_path / "rejects.jsonl"
    lines: list[dict[str, Any]] = [
        {"rejected": {}, "file": str(tmp_path / name), "name": name} for name in ("rejects.jsonl", "a.zip")
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    many, archive = rejected(file, again=True)
    assert "a file of many documents; ingest it by itself" in many
    assert "an archive; ingest it with --archives, or unpack it" in archive


def test_what_is_lost_or_guessed_of_a_page_is_remarked(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_bytes("<p>Grüße aus München, schöne Grüße".encode() + b" \xff")
    (tmp_path / "b.html").write_bytes("<p>Привет, как дела? Сегодня хорошая погода, и мы идём гулять.".encode("cp1251"))
    assert [document.remarks for document in taken(tmp_path)] == [{"replaced_characters": 1}, {"encoding": "cp1251"}]
