"""Documents are checked when they are made; ids and hashes depend on content alone."""

import json
import math
import re
import tracemalloc
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.context.values import Citation, Citations, Context, LeftOut, Source
from search.documents import (
    Chunk,
    Document,
    Hit,
    RankedText,
    Rejection,
    RerankResult,
    SearchResult,
    counted,
    half_surrogate,
)
from search.errors import InvalidDocument
from search.ingestion.report import IngestReport, Progress, Remark
from search.query.options import SearchOptions
from search.reading import Reading

INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "no id": ({"id": " "}, "no id"),
    "no text": ({"text": ""}, "has no text"),
    "white text": ({"text": " \n\u2003"}, "has no text"),
    "id of another type": ({"id": 5}, "id must be a string, not int"),
    "title of another type": ({"title": None}, "title must be a string"),
    "half a surrogate pair": ({"text": "caf\udce9"}, "surrogate"),
    "metadata that is a list": ({"metadata": []}, "must be an object"),
    "NaN": ({"metadata": {"a": {"b": [1, math.nan]}}}, r"metadata\.a\.b\[1\] is nan"),
    "infinity": ({"metadata": {"a": -math.inf}}, r"metadata\.a is -inf"),
    "a date": ({"metadata": {"a": datetime(2020, 1, 1, tzinfo=UTC)}}, r"metadata\.a is a datetime"),
    "a set": ({"metadata": {"a": {1}}}, r"metadata\.a is a set"),
    "nested too deeply": ({"metadata": {"a": json.loads("[" * 70 + "]" * 70)}}, "more than 60 levels deep"),
    "an integer beyond 64 bits": ({"metadata": {"a": 2**63}}, r"metadata\.a is beyond 64 bits"),
    "a surrogate in a key": ({"metadata": {"\ud800": 1}}, "keys must be strings that UTF-8"),
    "a key that is no string": ({"metadata": {1: "a"}}, "keys must be strings"),
    "a surrogate in metadata": ({"metadata": {"a": "\ud800"}}, r"metadata\.a holds half"),
}


VALUES = (Document, Hit, SearchResult, Rejection, RankedText, RerankResult, Context, Source, LeftOut, Citation, Citations)


@pytest.mark.parametrize("kind", [*VALUES, IngestReport, Progress, Remark, SearchOptions])
def test_help_says_what_each_field_is(kind: type[Any]) -> None:
    attributes = (kind.__doc__ or "").partition("    Attributes:\n")[2].partition("\n\n")[0]
    told = dict(re.findall(r"^ {8}(\w+): (.+(?:\n {12}.+)*)", attributes, re.MULTILINE))
    assert sorted(told) == sorted(field.name for field in fields(kind))
    assert [words for words in told.values() if words.startswith("…") or not words.endswith(".")] == []
    if kind in VALUES:
        hints = get_type_hints(kind)
        assert [name for name in told if type(None) in get_args(hints[name]) and "None" not in told[name]] == []


@pytest.mark.parametrize("name", INVALID)
def test_invalid_documents_say_where(name: str) -> None:
    given_fields, message = INVALID[name]
    with pytest.raises(InvalidDocument, match=message):
        Document(**({"id": "1", "text": "x"} | given_fields))


def test_metadata_becomes_plain_data_of_its_own() -> None:
    inner = {"b": [1, (2, 3)]}
    document = Document(id="1", text="x", metadata=MappingProxyType({"a": MappingProxyType(inner)}))
    inner["b"].append(4)
    assert document.metadata == {"a": {"b": [1, [2, 3]]}}


def test_content_hash_depends_on_content_alone() -> None:
    document = Document(id="1", text="x", title="t", metadata={"a": 1, "b": [True, None]})
    assert document.content_hash() == Document(id="1", text="x", title="t", metadata={"b": [True, None], "a": 1}).content_hash()
    others = [
        Document(id="2", text="x", title="t", metadata=document.metadata),
        Document(id="1", text="y", title="t", metadata=document.metadata),
        Document(id="1", text="x", title="u", metadata=document.metadata),
        Document(id="1", text="x", title="t"),
    ]
    hashes = {document.content_hash(), document.content_hash("chunked otherwise"), *(other.content_hash() for other in others)}
    assert len(hashes) == 6


def test_chunk_ids_are_fixed_for_good() -> None:
    chunk = Chunk("doc", 0, "text", 0, 4, "title", {"a": 1})
    assert chunk.id == "ac530d70-0f54-55a8-85f3-5c6a7808fac2"  # a collection on disk depends on it
    assert chunk.id == Chunk("doc", 0, "text", 7, 11, "title").id


@given(st.lists(st.tuples(st.text(max_size=5), st.integers(0, 3), st.text(max_size=5)), min_size=2, max_size=2, unique=True))
def test_chunks_that_differ_have_ids_that_differ(chunks: list[tuple[str, int, str]]) -> None:
    made = [Chunk(document, number, text, 0, len(text)) for document, number, text in chunks]
    encodable = all(chunk.text.isprintable() and chunk.document_id.isprintable() for chunk in made)
    if encodable:
        assert made[0].id != made[1].id


def test_paths_of_values_take_no_memory_until_one_is_told() -> None:
    """A long name over many values: to write each path down would take 100,000 characters 4,000 times."""
    half = {"a" * 100_000: [*([0] * 4_000), "\ud800"]}
    tracemalloc.start()
    place = half_surrogate(half)
    with pytest.raises(InvalidDocument, match="holds half of a surrogate pair"):
        Document(id="a", text="b", metadata=half)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert place
    assert place.startswith("aaa")
    assert most < 20_000_000


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("\ud800", ""),
        ({"a": {"b": [1, {"c": "\ud800"}], "d": 2}}, "a.b[1].c"),
        ({"a": [[], ["x", "\ud800"]]}, "a[1][1]"),
        ([{"x": "y"}, "\ud800"], "[1]"),
        ({"a": {"\ud800": 1}}, "a"),
        ({"a": {"b": ["x"] * 3}, "c": ["y", {"d": 1}]}, None),
    ],
)
def test_where_half_of_a_surrogate_pair_is(value: Any, place: str | None) -> None:
    assert half_surrogate(value) == place


@pytest.mark.parametrize("modified", [10**400, -(10**5000), float("nan"), True, "now"], ids=["long", "huge", "nan", "bool", "text"])
def test_a_time_is_a_number_of_seconds(modified: Any) -> None:
    with pytest.raises(InvalidDocument, match="modified is seconds since 1970, not "):
        Document("a", "A text.", modified=modified)


def test_where_a_document_was_read_is_set_without_another_check() -> None:
    document = Document("a", "A text.", "A title", {"b": [1]}, "text/markdown", 3.5, "file:1")
    placed = document.read_at("folder", prefix="two/")
    assert placed == replace(document, id="two/a")
    assert (placed.folder, placed.modified, placed.origin, document.folder) == ("folder", 3.5, "file:1", "")
    assert placed.metadata is document.metadata  # which nobody can change
    assert document.read_at("", modified=0.0).modified == 0.0
    assert document.id == "a"
    with pytest.raises(InvalidDocument, match="the document's id holds half of a surrogate pair"):
        document.read_at("", prefix="\ud800/")


def test_what_is_read_is_checked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows with ids of their own, which get the place of their file, and files."""
    checked: list[str] = []
    check = Document.__post_init__

    def noted(self: Document) -> None:
        checked.append(self.text)
        check(self)

    monkeypatch.setattr(Document, "__post_init__", noted)
    (tmp_path / "rows.jsonl").write_text('{"id": "a", "text": "One."}\n{"id": "b", "text": "Two."}\n')
    (tmp_path / "rows.csv").write_text("id,text\nc,Three.\n")
    (tmp_path / "page.md").write_text("Four.\n")
    read = list(Reading([str(tmp_path)], prefix="two/"))
    folder = f"two/{tmp_path.name}"
    assert sorted(one.id for one in read if isinstance(one, Document)) == ["two/a", "two/b", "two/c", f"{folder}/page.md"]
    assert all(one.folder for one in read if isinstance(one, Document))
    assert sorted(checked) == ["Four.\n", "One.", "Three.", "Two."]


@pytest.mark.parametrize(
    ("number", "told"), [(0, "0 queries"), (1, "1 query"), (2, "2 queries"), (1_000, "1,000 queries"), (-1, "-1 queries")]
)
def test_what_is_counted_agrees_with_its_number(number: int, told: str) -> None:
    assert counted(number, "query", "queries") == told
    assert counted(number, "word") == f"{number:,} word{'' if number == 1 else 's'}"


def test_no_message_has_the_plural_of_one_thing() -> None:
    """Numbers in front of nouns are written by `counted`, unless there are always several."""
    nouns = "documents|passages|points|files|links|queries|rejections|clusters|near-duplicates|sources|segments"
    number = re.compile(rf"\{{(?:len\([^{{}}]*\)|[\w.]+)(?::,)?\}} (?:{nouns})\b")
    package = Path(__file__).parents[1] / "search"
    found = {f"{file.name}: {one}" for file in package.rglob("*.py") for one in number.findall(file.read_text("utf-8"))}
    assert found == {
        "chat.py: {len(window)} passages",  # what a model is told, and was trained on
        "archives.py: {self._most.files:,} files",  # limits
        "listening.py: {limit} files",
        "proof.py: {_LOOKED_AT} points",
        "reindexing.py: {_TOP} documents",
        "restoring.py: {len(records)} points",  # whose order is not known
        "damage.py: {repeated} passages",  # the number is of points
        "snapshots.py: {wanted} points",  # may be a range
    }
