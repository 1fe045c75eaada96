"""Nothing is dropped without a word: every line and file comes out as a document or a rejection."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from search import reading
from search.documents import Document, Rejection
from search.errors import InvalidDocument
from search.reading import count, left_out, read, read_jsonl

LINES: dict[str, tuple[bytes, str]] = {
    "malformed": (b'{"id": "1", "text": ', "not JSON"),
    "not an object": (b'["1", "x"]', "not an object but list"),
    "not UTF-8": (b'{"id": "1", "text": "caf\xe9"}', "not UTF-8 at byte 25"),
    "no id": (b'{"text": "x"}', "there is no id"),
    "no text": (b'{"id": "1"}', "there is no text"),
    "empty text": (b'{"id": "1", "text": "  "}', "has no text"),
    "number as id": (b'{"id": 1, "text": "x"}', "id must be a string"),
    "NaN metadata": (b'{"id": "1", "text": "x", "metadata": {"a": NaN}}', r"metadata.a is nan"),
    "unknown field": (b'{"id": "1", "text": "x", "author": "y"}', "unknown fields author; put them under metadata"),
    "half a surrogate pair": (b'{"id": "1", "text": "\\ud800"}', "surrogate"),
    "deeply nested": (b"[" * 100_000, "not JSON"),
}


@pytest.mark.parametrize("name", LINES)
def test_a_bad_line_is_rejected_with_its_place_and_the_next_is_read(name: str) -> None:
    line, reason = LINES[name]
    good = b'{"id": "2", "text": "x"}'
    rejected, taken = read_jsonl(io.BytesIO(line + b"\n\n" + good), "some.jsonl")
    assert isinstance(rejected, Rejection)
    assert (rejected.source, rejected.line) == ("some.jsonl", 1)
    assert reason in rejected.reason
    assert str(rejected).startswith("some.jsonl:1")
    assert taken == Document(id="2", text="x")


def test_a_line_too_long_to_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_LONGEST_LINE", 100)
    long = json.dumps({"id": "1", "text": "x" * 500}).encode()
    rejected, taken = read_jsonl(io.BytesIO(long + b'\n{"id": "2", "text": "x"}\n'), "f")
    assert isinstance(rejected, Rejection)
    assert "longer than 100 bytes" in rejected.reason
    assert taken == Document(id="2", text="x")


def test_jsonl_fields(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(
        '\ufeff{"id": "1", "text": "x", "title": "t", "metadata": {"year": 2020}}\n{"_id": "2", "text": "as BEIR writes it"}\n',
        encoding="utf-8",
    )
    assert list(read(str(file))) == [Document("1", "x", "t", {"year": 2020}), Document("2", "as BEIR writes it")]
    assert count(str(file)) == 2


def test_a_folder_is_read_in_order_with_paths_as_ids(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "b" / "two.md").write_text("\n# The *title*\n\ntext", encoding="utf-8")
    (tmp_path / "a.TXT").write_text("text", encoding="utf-8")
    (tmp_path / "c.txt").write_bytes(b"caf\xe9")
    (tmp_path / "d.txt").write_text(" ", encoding="utf-8")
    (tmp_path / "e.pdf").write_bytes(b"%PDF")
    (tmp_path / ".git" / "f.txt").write_text("text", encoding="utf-8")
    a, two, c, d = read(str(tmp_path))
    above = tmp_path.name  # the folder's name tells documents of two folders apart
    assert a == Document(f"{above}/a.TXT", "text", "a", {"path": f"{above}/a.TXT"})
    assert two == Document(f"{above}/b/two.md", "\n# The *title*\n\ntext", "The *title*", {"path": f"{above}/b/two.md"})
    assert (str(c), str(d)) == (
        f"{above}/c.txt ({above}/c.txt): not UTF-8 at byte 4; convert it",
        f"{above}/d.txt ({above}/d.txt): document '{above}/d.txt' has no text; leave it out or give it some",
    )
    assert count(str(tmp_path)) == 4
    assert left_out(str(tmp_path)) == [str(tmp_path / "e.pdf")]
    assert list(read(str(tmp_path / "b" / "two.md"))) == [replace(two, id="b/two.md", metadata={"path": "b/two.md"})]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(b'{"id": "1", "text": "x"}\n{')

    monkeypatch.setattr("sys.stdin", Stdin)
    taken, rejected = read("-")
    assert taken == Document("1", "x")
    assert isinstance(rejected, Rejection)
    assert (rejected.source, rejected.line) == ("stdin", 2)
    assert count("-") is None


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidDocument, match="does not exist"):
        list(read(str(tmp_path / "absent.jsonl")))
    (tmp_path / "a.pdf").touch()
    with pytest.raises(InvalidDocument, match="holds no"):
        list(read(str(tmp_path)))
    with pytest.raises(InvalidDocument, match=r"holds no \.jsonl, \.txt, \.md"):
        list(read(str(tmp_path / "a.pdf")))


def test_links_are_followed_and_broken_ones_rejected(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.txt").write_text("text")
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.txt").symlink_to(tmp_path / "elsewhere.txt")
    (folder / "b.txt").symlink_to(tmp_path / "gone.txt")
    linked, broken = read(str(folder))
    assert linked == Document("notes/a.txt", "text", "a", {"path": "notes/a.txt"})
    assert str(broken) == "notes/b.txt (notes/b.txt): cannot be read: No such file or directory"


def test_a_file_too_large_to_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_LONGEST_LINE", 100)
    (tmp_path / "a.txt").write_text("x" * 200)
    (rejected,) = read(str(tmp_path / "a.txt"))
    assert isinstance(rejected, Rejection)
    assert rejected.reason == "larger than 100 bytes; split it"


def test_files_that_vanish_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = [(tmp_path / name, name) for name in ("a.txt", "b.jsonl")]
    monkeypatch.setattr(reading, "files", lambda _: gone)
    assert [str(rejection) for rejection in read(str(tmp_path))] == [
        "a.txt (a.txt): cannot be read: No such file or directory",
        "b.jsonl: cannot be read: No such file or directory",
    ]
    assert count(str(tmp_path)) == 2
