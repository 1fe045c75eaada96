"""Documents of files that are compared without a collection: each once, by a name of its own that leads to it."""

import io
import json
import sys
from pathlib import Path

import pytest
from sheets import xlsx

from search.deduplication.files import Files
from search.documents import Document, Rejection

MAIL = "From a@example.org Mon Jan  1 00:00:00 2024\nSubject: {}\n\nCats sleep for most of the day.\n\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder."""
    folder = tmp_path / "here"
    (folder / "docs").mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def names(*paths: str | Path) -> list[str]:
    files = Files(map(Path, paths))
    return [item.id if isinstance(item, Document) else f"rejected {item.source}" for item in files]


def test_what_has_an_id_of_its_own_goes_by_its_file_and_that() -> None:
    Path("docs/rows.csv").write_text("id,text\n7,Cats sleep.\n8,Dogs bark.\n7,Cats purr.\n")
    Path("docs/numbered.csv").write_text("name,text\na,Cats sleep.\nb,Dogs bark.\n")
    lines = '{"id": "docs/a.md", "text": "Cats sleep."}', '{"text": "Dogs bark."}', '{"id": "2", "text": "Cats purr."}'
    Path("docs/lines.jsonl").write_text("\n".join(lines))
    Path("docs/one.json").write_text('{"id": "x", "text": "Cats sleep."}')
    Path("docs/several.json").write_text('[{"id": "x", "text": "Cats sleep."}, {"text": "Dogs bark."}]')
    Path("docs/mails.mbox").write_text(MAIL.format("one") + MAIL.format("two"))
    Path("docs/a.md").write_text("---\nid: x\ntitle: Cats\n---\nCats sleep.\n")
    assert names("docs") == [
        "docs/a.md",
        "docs/lines.jsonl#docs/a.md",
        "docs/lines.jsonl#2",
        "docs/lines.jsonl:3#2",
        "docs/mails.mbox#1",
        "docs/mails.mbox#2",
        "docs/numbered.csv#1",
        "docs/numbered.csv#2",
        "docs/one.json#x",
        "docs/rows.csv#7",
        "docs/rows.csv#8",
        "docs/rows.csv:4#7",
        "docs/several.json#x",
        "docs/several.json#2",
    ]


def test_a_file_and_a_row_may_have_one_name(folder: Path) -> None:
    Path("docs/rows.csv").write_text("id,text\n7,Cats sleep.\n")
    Path("docs/rows.csv#7").write_text("Dogs bark.")
    assert names("docs") == ["docs/rows.csv#7", f"{folder}/docs/rows.csv#7"]


def test_sheets_are_told_apart() -> None:
    rows = [["id", "text"], ["7", "Cats sleep for most of the day."]]
    Path("docs/book.xlsx").write_bytes(xlsx({"old": rows, "new": rows}))
    assert names("docs/book.xlsx") == ["docs/book.xlsx#old#7", "docs/book.xlsx#new#7"]


def test_lines_on_standard_input_go_by_that(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "".join(f"{json.dumps({'id': 'x', 'text': text})}\n" for text in ("Cats sleep.", "Dogs bark."))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    assert names("-") == ["stdin#x", "stdin:2#x"]


def test_a_file_comes_out_once_whatever_leads_to_it(folder: Path) -> None:
    Path("docs/a.txt").write_text("Cats sleep.")
    Path("docs/rows.csv").write_text("id,text\n7,Cats sleep.\n")
    Path("docs/empty.txt").write_text("")
    (folder.parent / "link").symlink_to(folder / "docs")
    expected = ["docs/a.txt", "rejected docs/empty.txt", "docs/rows.csv#7"]
    again = ("docs", "docs/a.txt", "docs/*", "**/*.csv", "../here/docs", "../link", folder, folder / "docs" / "rows.csv", ".")
    for path in again:
        assert names("docs", path) == expected, path
    files = Files([Path("docs"), Path("../link")])
    assert len(list(files)) == 3
    assert files.notes() == ["2 documents were named again, and compared once"]


def test_rejections_name_files_as_they_were_named() -> None:
    Path("../rows.jsonl").write_text('{"id": "x", "text": ""}\n[]\n')
    Path("../empty.txt").write_text("")
    found = [item for item in Files([Path("../rows.jsonl"), Path("../empty.txt")]) if isinstance(item, Rejection)]
    assert [str(item).partition("; ")[0] for item in found] == [
        "../rows.jsonl:1 (x): it has no text",
        "../rows.jsonl:2: not an object but list",
        "../empty.txt: it has no text",
    ]
    assert found[2].reason.startswith("document '../empty.txt' has no text")


def test_options_that_readers_advise_are_said_to_be_of_ingestion() -> None:
    Path("docs/a.txt").write_bytes(b"Cats\0sleep")
    Path("docs/rows.csv").write_text("number,other\n1,2\n")
    Path("docs/b.csv").write_text("text,text\nCats,Dogs\n")
    reasons = {item.source: item.reason for item in Files([Path("docs")]) if isinstance(item, Rejection)}
    assert any("--" in reason for reason in reasons.values())
    for source, reason in reasons.items():
        assert ("--" in reason) == reason.endswith("(an option of search ingest: ingest it, and compare the collection)"), source


def test_a_path_that_no_name_can_hold_is_a_rejection(tmp_path: Path) -> None:
    odd = tmp_path / "bad\udc80" / "docs"
    odd.mkdir(parents=True)
    (odd / "a.txt").write_text("Cats sleep.")
    (item,) = Files([odd])
    assert isinstance(item, Rejection)
    assert "half of a surrogate pair" in item.reason
