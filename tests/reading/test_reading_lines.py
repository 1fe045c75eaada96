"""Nothing is dropped without a word: every line of JSON comes out as a document or a rejection."""

import io
import json
from pathlib import Path

import pytest

from search.documents import Document, Rejection
from search.reading import Reading, lines

LINES: dict[str, tuple[bytes, str]] = {
    "malformed": (b'{"id": "1", "text": ', "not JSON"),
    "not an object": (b'["1", "x"]', "not an object but list"),
    "not UTF-8": (b'{"id": "1", "text": "caf\xe9"}', "not UTF-8 at byte 25"),
    "no text": (b'{"id": "1"}', "there is no text"),
    "empty text": (b'{"id": "1", "text": "  "}', "has no text"),
    "list as id": (b'{"id": [1], "text": "x"}', "the id must be a string or a whole number, not list"),
    "fraction as id": (b'{"id": 1.5, "text": "x"}', "the id must be a string or a whole number, not float"),
    "object as text": (b'{"id": "1", "text": {"en": "x"}}', "the field text holds lists or objects; name one of text with --field"),
    "field twice": (
        b'{"id": "1", "text": "x", "metadata": {"author": "z"}, "author": "y"}',
        "author stands in the object and under its metadata, too; name it once",
    ),
    "name twice": (b'{"id": "1", "text": "x", "text": "y"}', "not JSON: 'text' stands twice in one object"),
    "name twice in metadata": (b'{"id": "1", "text": "x", "metadata": {"a": 1, "a": 1}}', "'a' stands twice in one object"),
    "half a surrogate pair": (b'{"id": "1", "text": "\\ud800"}', "surrogate"),
    "deeply nested": (b"[" * 100_000, "not JSON"),
}


@pytest.mark.parametrize("name", LINES)
def test_a_bad_line_is_rejected_with_its_place_and_the_next_is_read(name: str) -> None:
    line, reason = LINES[name]
    good = b'{"id": "2", "text": "x"}'
    rejected, taken = lines.jsonl(io.BytesIO(line + b"\n\n" + good), "some.jsonl")
    assert isinstance(rejected, Rejection)
    assert (rejected.source, rejected.line) == ("some.jsonl", 1)
    assert reason in rejected.reason
    assert str(rejected).startswith("some.jsonl:1")
    assert taken == Document(id="2", text="x")


def test_a_line_too_long_to_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LONGEST", 100)
    long = json.dumps({"id": "1", "text": "x" * 500}).encode()
    rejected, taken = lines.jsonl(io.BytesIO(long + b'\n{"id": "2", "text": "x"}\n'), "f")
    assert isinstance(rejected, Rejection)
    assert "longer than 100 bytes" in rejected.reason
    assert taken == Document(id="2", text="x")


def test_jsonl_fields(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(
        '\ufeff{"id": "1", "text": "x", "title": "t", "metadata": {"year": 2020}}\n{"_id": "2", "text": "as BEIR writes it"}\n',
        encoding="utf-8",
    )
    assert list(Reading([str(file)])) == [Document("1", "x", "t", {"year": 2020}), Document("2", "as BEIR writes it")]
    assert Reading([str(file)]).count() == 2


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(b'{"id": "1", "text": "x"}\n{')

    monkeypatch.setattr("sys.stdin", Stdin)
    taken, rejected = Reading(["-"])
    assert taken == Document("1", "x")
    assert isinstance(rejected, Rejection)
    assert (rejected.source, rejected.line) == ("stdin", 2)
    assert Reading(["-"]).count() is None
