"""Tables as people have them: without a column id or text, with columns of any kind, and with nothing of them lost."""

import datetime as dt
import io
import json
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sheets import xlsx

from search.documents import Document, Rejection
from search.reading import Reading, tables
from search.reading.child import Limits
from search.reading.fragments import without_html
from search.reading.records import TEXTS, TITLES

pytestmark = pytest.mark.usefixtures("reader_kept")
linux = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")


def read(*paths: Path, **options: Any) -> list[Document | Rejection]:
    return list(Reading([str(path) for path in paths], **options))


def taken(*paths: Path, **options: Any) -> list[Document]:
    items = read(*paths, **options)
    assert not [str(item) for item in items if isinstance(item, Rejection)]
    return [item for item in items if isinstance(item, Document)]


def rejected(*paths: Path, **options: Any) -> list[str]:
    return [str(item) for item in read(*paths, **options) if isinstance(item, Rejection)]


def csv(folder: Path, text: str, name: str = "books.csv") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


# What was taken before


BEFORE = {
    "a.csv": "id,text,title,year,ratio,note,empty\nx1,Some text.,T,2020,0.5,as is,\nx2,More.,,1999,12.25,7 up,\n",
    "b.tsv": "id\ttext\tname\tdescription\n7\tSome text.\tN\tD\n8\tMore.\t\tD2\n",
    "c.csv": "id;text;Title;ID\n1;Some text.;T;5\n2;More.;U;6\n",
    "d.jsonl": '{"id": "d1", "text": "Some text.", "title": "T", "metadata": {"year": 2020, "empty": null, "list": []}}\n'
    '{"_id": "d2", "text": "More.", "media_type": "text/markdown", "modified": 5}\n',
}
DOCUMENTS = [
    Document("x1", "Some text.", "T", {"year": 2020, "ratio": 0.5, "note": "as is"}),
    Document("x2", "More.", "", {"year": 1999, "ratio": 12.25, "note": "7 up"}),
    Document("7", "Some text.", "", {"name": "N", "description": "D"}),
    Document("8", "More.", "", {"description": "D2"}),
    Document("1", "Some text.", "", {"Title": "T", "ID": 5}),
    Document("2", "More.", "", {"Title": "U", "ID": 6}),
    Document("d1", "Some text.", "T", {"year": 2020, "empty": None, "list": []}),
    Document("d2", "More.", "", {}, "text/markdown"),
]


def test_what_was_taken_before_makes_the_same_documents(tmp_path: Path) -> None:
    """A collection of before holds these; to ingest its source again changes none."""
    folder = tmp_path / "notes"
    for name, text in BEFORE.items():
        csv(folder, text, name)
    for which in (folder, tmp_path / "notes"):
        documents = taken(which)
        assert documents == DOCUMENTS
        assert [one.content_hash() for one in documents] == [one.content_hash() for one in DOCUMENTS]
        assert len({one.folder for one in documents}) == len(BEFORE)
    assert documents[-1].modified == 5
    named = taken(folder / "b.tsv", fields={"text": "description", "title": "headline"})  # which no other column stands in for
    assert named[0] == Document("7", "D", "", {"name": "N", "text": "Some text."})
    table = pa.table({"id": [1], "text": ["x"], "description": ["D"], "Name": ["N"], "tags": [["a"]], "at": [{"lat": 1.5}]})
    pq.write_table(table, tmp_path / "e.parquet")
    assert taken(tmp_path / "e.parquet") == [
        Document("1", "x", "", {"description": "D", "Name": "N", "tags": ["a"], "at": {"lat": 1.5}})
    ]


def test_fields_for_tables_leave_lines_of_json_alone_that_lack_them(tmp_path: Path) -> None:
    csv(tmp_path, "nr,words\n5,Some text.\n", "a.csv")
    csv(tmp_path, '{"id": "1", "text": "x"}\n', "b.jsonl")
    assert taken(tmp_path, fields={"id": "nr", "text": "words"}) == [Document("5", "Some text."), Document("1", "x")]


# Ids


def test_rows_without_an_id_go_by_their_file_and_number(tmp_path: Path) -> None:
    file = csv(tmp_path / "notes", 'title,text\nA,"One\ntext"\n\nB,Two\n')
    one, two = taken(file)
    assert (one.id, two.id) == ("notes/books.csv#1", "notes/books.csv#2")
    assert (one.origin, two.origin) == ("notes/books.csv:3", "notes/books.csv:5")  # where the lines are that they end at
    assert (one.title, one.metadata) == ("A", {})
    assert one.folder
    assert taken(file, prefix="two/")[0].id == "two/notes/books.csv#1"
    other = csv(tmp_path / "other" / "notes", "title,text\nA,One\n")
    assert taken(other)[0].folder != one.folder  # so that an ingestion can say that the one replaces the other


def test_a_key_column_keeps_ids_whatever_is_edited_elsewhere(tmp_path: Path) -> None:
    file = csv(tmp_path, "isbn,name,description\n02,B,Two\n01,A,One\n")
    assert [one.id for one in taken(file, fields={"id": "isbn"})] == ["02", "01"]
    csv(tmp_path, "isbn,name,description\n03,C,Three\n02,B,Two\n01,A,One\n")
    after = taken(file, fields={"id": "isbn"})
    assert [one.id for one in after] == ["03", "02", "01"]
    assert {one.folder.count("/") for one in after} == {1}  # of the folder and the file, which may be another's by then
    both = taken(file, fields={"id": "isbn,name"})
    assert [one.id for one in both] == ["03/C", "02/B", "01/A"]


@pytest.mark.parametrize("name", ["id", "_id", "ID", "Id"])
def test_what_a_column_of_ids_is_called(name: str, tmp_path: Path) -> None:
    (one,) = taken(csv(tmp_path, f"{name},text\n007,x\n"))
    assert one == Document("007", "x")


# Text and title


@pytest.mark.parametrize("text", [*TEXTS, "Content", "BODY"])
@pytest.mark.parametrize("title", [*TITLES, "Name"])
def test_what_columns_of_text_and_title_are_called(text: str, title: str, tmp_path: Path) -> None:
    (one,) = taken(csv(tmp_path, f"{title},year,{text},place\nT,2020,Words.,Rome\n"))
    assert one == Document(f"{tmp_path.name}/books.csv#1", "Words.", "T", {"year": 2020, "place": "Rome"})


def test_without_a_column_of_text_all_of_them_are_lines(tmp_path: Path) -> None:
    (one, two) = taken(csv(tmp_path, "isbn,author,title,year,price\n01,Woolf,Waves,1931,9.5\n02,,Orlando,1928,8\n"))
    assert one == Document(f"{tmp_path.name}/books.csv#1", "isbn: 01\nauthor: Woolf", "Waves", {"year": 1931, "price": 9.5})
    assert two.text == "isbn: 02"


def test_several_columns_that_might_be_the_text_are_lines(tmp_path: Path) -> None:
    (one,) = taken(csv(tmp_path, "name,heading,body,description,n\nN,H,B.,D.,5\n"))
    assert (one.title, one.text, one.metadata) == ("", "name: N\nheading: H\nbody: B.\ndescription: D.", {"n": 5})


def test_a_row_with_nothing_but_a_title_is_its_text(tmp_path: Path) -> None:
    one, two, *rest = taken(csv(tmp_path, "title,description\nA,One\nB,\n,\n"))
    assert (one.title, one.text) == ("A", "One")
    assert (two.title, two.text) == ("", "B")
    assert rest == []  # a row of empty values is none
    (only,) = taken(csv(tmp_path, "title\nA\n"))
    assert (only.title, only.text) == ("", "A")
    (_, none) = read(csv(tmp_path, "id,text,title\n1,x,T\n2,,U\n"))
    assert "(2): it has no text" in str(none)  # where the columns are called so, nothing is guessed


def test_several_columns_may_be_named(tmp_path: Path) -> None:
    file = csv(tmp_path, 'name,blurb,review,"a,b"\nN,Blurb.,Review.,both\nM,,Review.,both\n')
    one, two = taken(file, fields={"text": "blurb,review", "title": "name"})
    assert (one.title, one.text, one.metadata) == ("N", "Blurb.\n\nReview.", {"a,b": "both"})
    assert two.text == "Review."
    assert taken(file, fields={"text": "blurb, review"})[0].text == one.text
    assert taken(file, fields={"text": "a,b"})[0].text == "both"  # a column that is called so
    reason = "has no column summary but name, blurb, review, a,b; name them with --field text=COLUMN"
    assert reason in rejected(file, fields={"text": "blurb,summary"})[0]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet", ".xlsx"])
def test_a_column_may_be_text_and_metadata_at_once(suffix: str, tmp_path: Path) -> None:
    row = {"id": "k1", "name": "Kettle", "body": "It boils.", "year": 1999}
    file = write_rows(tmp_path / f"a{suffix}", [row])
    plain = {"text": "name,body"}
    (one,) = taken(file, fields=plain)
    (both,) = taken(file, fields=plain | {"metadata": "name, id"})
    assert (one.text, dict(one.metadata)) == ("Kettle\n\nIt boils.", {"year": 1999} | sheet(suffix))
    assert both == replace(one, metadata={"id": "k1", "name": "Kettle", **one.metadata})
    (guessed,) = taken(file, fields={"metadata": "body"})  # of which the rest is found out as ever
    assert (guessed.text, guessed.title) == ("It boils.", "Kettle")
    assert dict(guessed.metadata) == {"body": "It boils.", "year": 1999} | sheet(suffix)


def sheet(suffix: str) -> dict[str, str]:
    return {"sheet": "Sheet1"} if suffix == ".xlsx" else {}


def write_rows(file: Path, rows: list[dict[str, Any]]) -> Path:
    match file.suffix:
        case ".csv" | ".tsv":
            between = "," if file.suffix == ".csv" else "\t"
            file.write_text("".join(f"{between.join(map(str, row))}\n" for row in (rows[0], *(row.values() for row in rows))))
        case ".jsonl":
            file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case ".json":
            file.write_text(json.dumps(rows))
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), file)
        case _:
            file.write_bytes(xlsx({"Sheet1": [list(rows[0]), *(list(row.values()) for row in rows)]}))
    return file


def test_metadata_that_is_named_and_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1,x\n")
    reason = "has no column kind but id, text; name them with --field metadata=COLUMN"
    assert reason in rejected(tmp_path / "a.csv", fields={"metadata": "kind"})[0]
    reason = "has no column nr and no kind but id, text; name them with --field id=COLUMN --field metadata=COLUMN"
    assert reason in rejected(tmp_path / "a.csv", fields={"metadata": "kind", "id": "nr"})[0]
    (tmp_path / "b.jsonl").write_text('{"id": "1", "text": "x"}\n{"id": "2", "words": "y", "kind": {"of": "z", "in": 5}}\n')
    one, two = taken(tmp_path / "b.jsonl", fields={"text": "words,text,kind.of", "metadata": "kind.of"})
    assert (one, two) == (Document("1", "x"), Document("2", "y\n\nz", metadata={"kind": {"of": "z", "in": 5}}))
    (tmp_path / "c.csv").write_text("id,year\n1,1999\n")
    assert "| 1 | 1999 |" in taken(tmp_path / "c.csv", fields={"metadata": "year"})[0].text  # without texts it is one document


def test_columns_of_one_name_are_numbered(tmp_path: Path) -> None:
    (one,) = taken(csv(tmp_path, "name,Due,Due,Due_2,Due\nRent,soon,1,x,later\n"))
    assert (one.title, one.text, one.metadata) == ("Rent", "Due: soon\nDue_2: x\nDue_4: later", {"Due_3": 1})


def test_columns_of_one_name_are_numbered_in_parquet_too(tmp_path: Path) -> None:
    table = pa.table([["Rent"], ["soon"], [1], ["x"], ["later"]], names=["name", "Due", "Due", "Due_2", "Due"])
    pq.write_table(table, tmp_path / "a.parquet")
    (one,) = taken(tmp_path / "a.parquet")
    assert (one.title, one.text, one.metadata) == ("Rent", "Due: soon\nDue_2: x\nDue_4: later", {"Due_3": 1})
    (named,) = taken(tmp_path / "a.parquet", fields={"text": "Due_4"})
    assert named.text == "later"


def test_a_row_of_numbers_among_texts(tmp_path: Path) -> None:
    item, total = taken(csv(tmp_path, "item,remark,price\nPier,Deep.,5\n,,7\n"))
    assert item.text == "item: Pier\nremark: Deep."
    assert (total.text, total.metadata) == ("price: 7", {"price": 7})


def test_a_long_table_of_numbers_says_what_it_leaves_out(tmp_path: Path) -> None:
    (table,) = taken(csv(tmp_path, "angle,a|b\n" + "".join(f"{number},{number / 7}\n" for number in range(5_000))))
    assert len(table.text) <= 20_000
    assert table.text.startswith("| angle | a\\|b |\n| --- | --- |\n| 0 | 0.0 |\n")
    assert table.text.count("\n") - 2 + table.metadata["rows_left_out"] == 5_000


def test_a_table_without_text(tmp_path: Path) -> None:
    file = csv(tmp_path, "id,year\n1,2020\n2,2021\n")
    (whole,) = taken(file)
    assert (whole.id, whole.title, whole.media_type) == (f"{tmp_path.name}/books.csv", "books", "text/markdown")
    assert whole.text == "| id | year |\n| --- | --- |\n| 1 | 2020 |\n| 2 | 2021 |\n"
    assert taken(file, fields={"text": "year"})[1] == Document("2", "2021")
    assert "has no column body but id, year" in rejected(file, fields={"text": "body"})[0]
    for text in ("just one line about cows\n", "a,b\n\n\n", ""):
        assert (
            "has no rows below the names of its columns; a text is read as one with --as text" in rejected(csv(tmp_path, text))[0]
        )
    assert taken(csv(tmp_path, "just one line about cows\n"), kind="text")[0].text == "just one line about cows\n"


# Metadata


def test_a_column_has_one_type(tmp_path: Path) -> None:
    rows = ["1,first,1.10,01234,1.5,123456789012345678.12,9007199254740993,-3", "2,second,1.1,12345,2,0.1234567890123456789,5,0"]
    file = csv(tmp_path, "id,text,version,zip,amount,long,whole,small\n" + "\n".join(rows) + "\n3,third,2.0,,3,7,,\n")
    one, two, three = taken(file)
    assert one.metadata == {
        "version": "1.10",
        "zip": "01234",
        "amount": 1.5,
        "long": "123456789012345678.12",
        "whole": "9007199254740993",
        "small": -3,
    }
    assert two.metadata == {
        "version": "1.1",
        "zip": "12345",
        "amount": 2,
        "long": "0.1234567890123456789",
        "whole": "5",
        "small": 0,
    }
    assert three.metadata == {"version": "2.0", "amount": 3, "long": "7"}


MIXED = [
    {"id": "1", "text": "x", "year": 1999, "good": True, "at": {"lat": 1, "of": [{"n": 5}]}, "tags": [7], "size": 1, "no": None},
    {"id": "2", "text": "y", "year": "2000", "good": "no", "at": {"lat": "2.50", "of": [{"n": "5"}]}, "tags": ["a"], "size": 1.5},
    {"id": "3", "text": "z", "year": None, "good": False, "at": {"lat": -0.5}, "no": 5, "pair": ["N", 51.5]},
]
ONE_TYPE = [
    {"year": "1999", "good": "true", "at": {"lat": "1", "of": [{"n": "5"}]}, "tags": ["7"], "size": 1, "no": None},
    {"year": "2000", "good": "no", "at": {"lat": "2.50", "of": [{"n": "5"}]}, "tags": ["a"], "size": 1.5},
    {"year": None, "good": "false", "at": {"lat": "-0.5"}, "no": 5, "pair": ["N", 51.5]},
]


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "lines.json"])
def test_a_name_of_json_has_one_type(name: str, tmp_path: Path) -> None:
    rows = "\n".join(map(json.dumps, MIXED)) if name != "a.json" else json.dumps(MIXED)
    file = csv(tmp_path, rows, name)
    assert [dict(one.metadata) for one in taken(file)] == ONE_TYPE
    assert [repr(one.metadata.get("size")) for one in taken(file)] == ["1", "1.5", "None"]
    kept = taken(file, fields={"metadata": "id", "text": "year,text"})
    assert [(one.text, one.metadata["id"]) for one in kept] == [("1999\n\nx", "1"), ("2000\n\ny", "2"), ("z", "3")]


def test_numbers_beyond_64_bits_make_text_of_all_numbers_of_their_column(tmp_path: Path) -> None:
    rows = [{"id": "1", "text": "x", "hash": 5, "of": [7]}, {"id": "2", "text": "y", "hash": 2**64 - 1, "of": [2**63]}]
    file = csv(tmp_path, "\n".join(map(json.dumps, rows)), "a.jsonl")
    metadata = [{"hash": "5", "of": ["7"]}, {"hash": "18446744073709551615", "of": ["9223372036854775808"]}]
    assert [one.metadata for one in taken(file)] == metadata
    kind = pa.uint64()
    columns = {
        "id": ["1", "2"],
        "text": ["x", "y"],
        "hash": pa.array([5, 2**64 - 1], kind),
        "of": pa.array([[7], [2**63]], pa.list_(kind)),
        "in": pa.array([{"a": 5, "b": 5}, {"a": 2**63, "b": None}], pa.struct([("a", kind), ("b", kind)])),
        "map": pa.array([[("k", 5)], [("k", 2**63)]], pa.map_(pa.string(), kind)),
        "size": pa.array([5, 2**63 - 1], kind),
    }
    for rows_of_a_group in (1, 2):
        pq.write_table(pa.table(columns), tmp_path / "a.parquet", row_group_size=rows_of_a_group)
        one, two = taken(tmp_path / "a.parquet")
        assert one.metadata == {**metadata[0], "in": {"a": "5", "b": 5}, "map": {"k": "5"}, "size": 5}
        assert two.metadata == {
            **metadata[1],
            "in": {"a": "9223372036854775808", "b": None},
            "map": {"k": "9223372036854775808"},
            "size": 2**63 - 1,
        }


def test_metadata_of_documents_in_json_is_taken_as_it_is(tmp_path: Path) -> None:
    """Its writer says of which types its values are, as in a request."""
    documents = [
        {"id": "1", "text": "x", "title": "T", "metadata": {"year": 1999}},
        {"id": 2, "text": "y", "metadata": {"year": "2000"}, "n": 5},
        {"id": "3", "text": "z", "title": "U", "n": "6"},
    ]
    file = csv(tmp_path, "\n".join(map(json.dumps, documents)), "a.jsonl")
    assert [one.metadata for one in taken(file)] == [{"year": 1999}, {"year": "2000", "n": "5"}, {"n": "6"}]


def test_a_rejected_line_comes_again_with_the_types_of_its_file(tmp_path: Path) -> None:
    rows = [{"id": "1", "text": " ", "year": 1999, "at": {"n": 1}}, {"id": "2", "text": "y", "year": "2000", "at": {"n": "x"}}]
    for name, text in (("a.jsonl", "\n".join(map(json.dumps, rows))), ("a.json", json.dumps(rows))):
        bad, _ = read(csv(tmp_path, text, name))
        assert isinstance(bad, Rejection)
        again = csv(tmp_path, bad.to_line().replace('\\" \\"', '\\"Mended.\\"'), "rejects.jsonl")
        assert taken(again) == [Document("1", "Mended.", metadata={"year": "1999", "at": {"n": "1"}})]


def test_a_rejected_record_comes_again_by_its_name(tmp_path: Path) -> None:
    rows = {name: {"body": "Of packets.", "of": 1, "metadata": {key: 2}} for name, key in (("TCP", "of"), ("UDP", "in"))}
    bad, _ = read(write(tmp_path, rows))
    assert isinstance(bad, Rejection)
    (again,) = taken(csv(tmp_path, bad.to_line().replace('\\"of\\": 2', ""), "rejects.jsonl"))
    assert (again.id, again.title) == (f"{tmp_path.name}/a.json#TCP", "TCP")


def test_an_id_that_is_none_stays_none_among_others(tmp_path: Path) -> None:
    rows = [{"key": True, "text": "x"}, {"key": "a", "text": "y"}, {"key": 1.5, "text": "z"}, {"key": 7, "text": "w"}]
    items = read(csv(tmp_path, "\n".join(map(json.dumps, rows)), "a.jsonl"), fields={"id": "key"})
    assert [one.id for one in items if isinstance(one, Document)] == ["a", "7"]
    assert "the key must be a string or a whole number, not bool" in str(items[0])


def test_lines_that_are_no_records_do_not_count_for_types(tmp_path: Path) -> None:
    deep = "[" * 900 + '"x"' + "]" * 900
    rows = [
        '{"id": "1", "text": "x", "n": 5}',
        "no JSON",
        "[1]",
        '{"id": "2", "deep": ' + deep + "}",
        '{"n": "six"',
        "",
        '{"n": "\xff"}',
    ]
    file = tmp_path / "a.jsonl"
    file.write_bytes("\n".join(rows).encode("latin-1"))
    items = read(file)
    assert items[0] == Document("1", "x", metadata={"n": 5})
    assert len(items) == 6


@linux
def test_types_of_many_names_take_little_memory(tmp_path: Path) -> None:
    import resource

    file = tmp_path / "a.jsonl"
    with file.open("w") as stream:
        stream.writelines(f'{{"id": {number}, "text": "x", "name {number}": {number}}}\n' for number in range(100_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(isinstance(one, Document) for one in Reading([str(file)])) == 100_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 15_000  # kB


@pytest.mark.parametrize(
    "value", ["1.10", "01", "-0", "1e5", "1.", ".5", "+1", "0.10", " 1", "1_000", "९", "9007199254740993", "1" * 400]
)
def test_numbers_that_would_be_written_otherwise_stay_text(value: str, tmp_path: Path) -> None:
    (one, two) = taken(csv(tmp_path, f"id,text,n\n1,x,{value}\n2,y,5\n"))
    assert (one.metadata, two.metadata) == ({"n": value}, {"n": "5"})


@pytest.mark.parametrize("value", ["0", "-7", "1.5", "2.0", "0.00001", "-0.5", "9007199254740992", "1234567.891"])
def test_numbers_that_would_be_written_the_same_are_numbers(value: str, tmp_path: Path) -> None:
    (one,) = taken(csv(tmp_path, f"id,text,n\n1,x,{value}\n"))
    assert one.metadata == {"n": float(value)}


def test_columns_without_a_name(tmp_path: Path) -> None:
    assert taken(csv(tmp_path, "id,text,,\n1,hello there,,\n2,second text,,\n")) == [
        Document("1", "hello there"),
        Document("2", "second text"),
    ]
    assert taken(csv(tmp_path, ",id,text,,\n0,1,x,,y\n")) == [Document("1", "x", "", {"column_1": 0, "column_5": "y"})]
    assert taken(csv(tmp_path, "id,text\n1,x,,,\n")) == [Document("1", "x")]  # as spreadsheets write rows
    (long,) = rejected(csv(tmp_path, "id,text\n1,x,,y\n"))
    assert "the row has 4 values and the header 2 columns" in long


def test_a_bad_byte_far_down_loses_nothing_above(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"id,text,n\n" + b"".join(b"%d,x,5\n" % number for number in range(2000)) + "z,é,5\n".encode("latin-1"))
    items = read(file, encoding="utf-8")
    assert len(items) > 1000
    assert items[0] == Document("0", "x", "", {"n": 5})
    assert "not utf-8: invalid continuation byte; name another --encoding" in str(items[-1]) or "not utf-8" in str(items[-1])


@linux
def test_a_long_table_is_read_in_little_memory(tmp_path: Path) -> None:
    """Its columns' types are found out in a pass of their own, which keeps nothing."""
    import resource

    file = tmp_path / "a.csv"
    with file.open("w") as stream:
        stream.write("name,description,n\n")
        stream.writelines(f"N{number},{'word ' * 40},{number}\n" for number in range(150_000))
    assert file.stat().st_size > 30_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    number = sum(one.metadata == {"n": at} for at, one in enumerate(Reading([str(file)])) if isinstance(one, Document))
    assert number == 150_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 15_000  # kB


# CSV as programs write it


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ('"Net, EUR";"Gross, EUR";Text\n"1,00";"1,19";Rent\n', [("Rent",)]),
        (
            'Name;"Address (street, no, zip, city)";Note\nBob;"A St, 1";good\n',
            [("Address (street, no, zip, city): A St, 1\nNote: good", "Bob")],
        ),
        ("sep=;\nName;Note\nMia;likes cheese, wine\n", [("Note: likes cheese, wine", "Mia")]),
        ("\ufeffSEP=\t\r\nName\tNote\r\nMia\tlikes, cheese\r\n", [("Note: likes, cheese", "Mia")]),
        ('name, comment\nBob, "good, man"\nAl, "bad"\n', [("comment: good, man", "Bob"), ("comment: bad", "Al")]),
        ('name,comment\nBob, "good, man"\nAl, bad\n', [("comment: good, man", "Bob"), ("comment: bad", "Al")]),
        ("name,comment\nBob, good\n", [("comment:  good", "Bob")]),
    ],
)
def test_separators_and_blanks(content: str, rows: list[tuple[str, ...]], tmp_path: Path) -> None:
    file = csv(tmp_path, content)
    assert [(one.text, one.title) for one in taken(file)] == [(*row, "")[:2] for row in rows]
    assert Reading([str(file)]).count() == len(rows)
    assert not any(one.remarks for one in taken(file))


def test_a_column_behind_a_blank_is_named_without_it(tmp_path: Path) -> None:
    assert taken(csv(tmp_path, 'name, comment\nBob, "good"\n'), fields={"text": "comment"})[0].text == "good"


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_last_columns_that_a_row_lacks_are_empty(suffix: str, tmp_path: Path) -> None:
    """Excel leaves out what is empty from the 17th row on."""
    rows = ["id,text,n,Extra", "1,One.,5,x", "2,Two.,6", "3,Three.", "4,Four.,,,,", "5,Five.,,,,more"]
    file = csv(tmp_path, "\n".join(rows).replace(",", "\t" if suffix == ".tsv" else ",") + "\n", f"a{suffix}")
    *documents, long = read(file)
    assert documents == [
        Document("1", "One.", "", {"n": 5, "Extra": "x"}),
        Document("2", "Two.", "", {"n": 6}),
        Document("3", "Three."),
        Document("4", "Four."),
    ]
    assert [one.remarks for one in documents if isinstance(one, Document)] == [{"short_rows": 2}, {}, {}, {}]
    assert "the row has 6 values and the header 4 columns; quote values that hold" in str(long)
    assert Reading([str(file)]).count() == 5


def test_no_row_is_filled_up_where_none_is_of_the_headers_length(tmp_path: Path) -> None:
    bad = rejected(csv(tmp_path, "Report, 2020\nName\nMia\n"))
    assert [line.rpartition(": ")[2] for line in bad] == [
        "the row has 1 value and the header 2 columns; quote values that hold ',', and delete what stands above the header"
    ] * 2


@pytest.mark.parametrize(
    ("above", "words"),
    [
        ("Sales of 2020\n\n", 1),
        ("# made by a program, today\n# for nobody\n", 2),
        ("\n\n", 0),
        ("Sales, all of them\n", 1),
        ('"Sales; net"\n', 1),
    ],
)
@pytest.mark.parametrize("separator", [",", ";"])
def test_lines_above_a_header(above: str, words: int, separator: str, tmp_path: Path) -> None:
    rows = "".join(f"M{row};great;{row}\n" for row in range(30))
    file = csv(tmp_path, above + f"Name;Note;Pieces\n{rows}".replace(";", separator))
    documents = taken(file)
    assert documents[1] == Document(f"{tmp_path.name}/books.csv#2", "Note: great", "M1", {"Pieces": 1})
    assert documents[1].origin == f"{tmp_path.name}/books.csv:{above.count(chr(10)) + 3}"
    assert documents[0].remarks == ({"lines_above_header": words} if words else {})
    assert Reading([str(file)]).count() == 30
    (short,) = taken(csv(tmp_path, "Sales\nName;Note\nMia;great\n"))
    assert (short.text, short.title) == ("Note: great", "Mia")


def test_a_header_with_separators_in_quotes_below_a_title(tmp_path: Path) -> None:
    (document,) = taken(csv(tmp_path, 'Sales\n\n"Name, full","City"\n"Doe, J","Rome"\n'))
    assert (document.text, document.remarks) == ("Name, full: Doe, J\nCity: Rome", {"lines_above_header": 1})


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ('text,id\n"Kites:\nred,blue,green\nbig,small,tiny\n",1\n"Boats:\nwhite,black,grey\n",2\n', ["Kites:", "Boats:"]),
        ('note;label\n"Kites\nred;blue\nbig;small\n";x\n', ["note: Kites"]),
        ('code,lang,n\n"a = ""b""\nfoo,bar,baz,qux\nx,y,z,w\n",py,1\n', ['code: a = "b"']),
    ],
)
def test_lines_in_a_value_are_no_header(content: str, texts: list[str], tmp_path: Path) -> None:
    documents = taken(csv(tmp_path, content))
    assert [(one.text.partition("\n")[0], one.remarks) for one in documents] == [(text, {}) for text in texts]


@pytest.mark.parametrize(
    "content",
    [
        "text\nHello, you\nBye, me\n",
        "Line\nHello, you\nBye, me\n",
        "Sales\nName,Note\nMia,x\n",
        '"a","b"\n"1","x","y"\n"2","z","w"\n',  # as R numbers rows
    ],
)
def test_what_may_be_no_header_is_none(content: str, tmp_path: Path) -> None:
    bad = rejected(csv(tmp_path, content))
    assert len(bad) == 2
    assert "delete what stands above the header" in bad[0]


def test_a_line_of_any_length_above_a_header_is_one(tmp_path: Path) -> None:
    rows = "".join(f"M{row},great,Rome\n" for row in range(3))
    assert len(rejected(csv(tmp_path, f"Sales\n{'word ' * 5_000}\nName,Note,City\n{rows}"))) == 4


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "content",
    [
        lambda: f"{','.join(f'c{at}' for at in range(10_000))}\n{'x,' * 9_999}x\n" + "a\n" * 10_000,
        lambda: "sep= \n" + f"{' ' * 9_990}\n" * 20,
        lambda: f"{'a,' * 400_000}a\n" * 2,
    ],
)
def test_no_table_takes_long(content: Callable[[], str], tmp_path: Path) -> None:
    file = csv(tmp_path, content())
    assert sum(1 for _ in Reading([str(file)])) == Reading([str(file)]).count()


def test_a_row_that_lacks_thousands_of_columns_is_none(tmp_path: Path) -> None:
    names = ",".join(f"c{at}" for at in range(1_002))
    first, *others = read(csv(tmp_path, f"{names}\n{'x,' * 1_001}x\na,b\na\n"))
    assert isinstance(first, Document)
    assert first.remarks == {"short_rows": 1}
    assert [type(one) for one in others] == [Document, Rejection]


# Parquet


def test_parquet_with_two_columns_of_a_name(tmp_path: Path) -> None:
    table = pa.table([["1"], ["first"], ["second"]], names=["id", "text", "text"])
    pq.write_table(table, tmp_path / "a.parquet")
    assert "has the column 'text' twice; name its columns apart" in rejected(tmp_path / "a.parquet")[0]


def test_lists_of_strings_are_text_and_other_columns_metadata(tmp_path: Path) -> None:
    columns = {
        "id": ["1"],
        "text": [["How deep is it?", "Twelve metres."]],
        "title": [["A", "B"]],
        "tags": [["x", "y"]],
        "at": [{"lat": 1.5, "in": {"place": "Rome"}}],
        "names": pa.array([[("de", "Rom")]], pa.map_(pa.string(), pa.string())),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    (one,) = taken(tmp_path / "a.parquet")
    assert (one.text, one.title) == ("How deep is it?\nTwelve metres.", "A, B")
    assert one.metadata == {"tags": ["x", "y"], "at": {"lat": 1.5, "in": {"place": "Rome"}}, "names": {"de": "Rom"}}
    (inside,) = taken(tmp_path / "a.parquet", fields={"text": "at.in.place", "title": "tags"})
    assert (inside.text, inside.title) == ("Rome", "x, y")
    assert (inside.metadata["at"], inside.metadata["text"]) == ({"lat": 1.5}, ["How deep is it?", "Twelve metres."])


def test_maps_of_parquet_are_objects(tmp_path: Path) -> None:
    names = pa.map_(pa.string(), pa.string())
    columns = {
        "id": ["1"],
        "text": pa.array([[("de", "Rom."), ("en", "Rome.")]], names),
        "years": pa.array([[(753, [("of", "founding")])]], pa.map_(pa.int64(), names)),
        "in": pa.array([{"all": [[("a", "b")], []]}], pa.struct([("all", pa.list_(names))])),
        "empty": pa.array([[]], names),
        "days": pa.array([[(dt.date(2026, 4, 21), True)]], pa.map_(pa.date32(), pa.bool_())),
        "none": pa.array([None], names),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    (one,) = taken(tmp_path / "a.parquet", fields={"text": "text.en", "title": "years.753.of"})
    metadata = {"text": {"de": "Rom."}, "in": {"all": [{"a": "b"}, {}]}, "empty": {}, "days": {"2026-04-21": True}}
    assert one == Document("1", "Rome.", "founding", metadata)


def test_a_map_with_a_name_twice_is_refused_as_an_object_of_json_is(tmp_path: Path) -> None:
    tags = pa.array([[("a", 1), ("a", 2)], [("a", 1)]], pa.map_(pa.string(), pa.int64()))
    pq.write_table(pa.table({"id": ["1", "2"], "text": ["x", "y"], "tags": tags}), tmp_path / "a.parquet")
    twice, fine = read(tmp_path / "a.parquet")
    assert str(twice).endswith("a.parquet:1: the row cannot be read: 'a' stands twice in one object")
    assert fine == Document("2", "y", metadata={"tags": {"a": 1}})


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet"])
@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"de": "Rom.", "en": "Rome."}, "text.de"),
        ({"n": 1, "of": {"m": 2, "in": {"place": "Rome."}}}, "text.of.in.place"),
        ([{"n": 1, "says": "Rome."}, {"n": 2, "says": "Oslo."}], "text.says"),
        ({"parts": ["Rome.", "Oslo."]}, "text.parts"),
    ],
)
def test_a_text_of_objects_says_what_to_name(suffix: str, value: Any, named: str, tmp_path: Path) -> None:
    file = write_rows(tmp_path / f"a{suffix}", [{"id": "1", "text": value}])
    what = "column" if suffix == ".parquet" else "field"
    assert rejected(file)[0].endswith(f"the {what} text holds lists or objects; name one of text with --field text={named}")
    assert "Rom" in taken(file, fields={"text": named})[0].text


def test_parquet_without_ids_and_text(tmp_path: Path) -> None:
    columns = {"name": ["A"], "plot": pa.array(["Words."]).dictionary_encode(), "year": [2020], "good": [True], "rating": [None]}
    pq.write_table(pa.table(columns), tmp_path / "films.parquet")
    (one,) = taken(tmp_path / "films.parquet")
    key = f"{tmp_path.name}/films.parquet#1"
    assert one == Document(key, "plot: Words.", "A", {"year": 2020, "good": True})
    assert one.folder


# Spreadsheets


def test_each_sheet_is_a_table(tmp_path: Path) -> None:
    book = xlsx(
        {
            "Books": [["id", "text", "price", "sold", "version"], [1, "One.", 9.5, True, 1.5], ["b", "Two.", 8, False, "2.0"]],
            "Empty": [],
            "People & co": [["Name", "Description"], [None, None], ["Woolf", "Wrote."]],
        }
    )
    (tmp_path / "a.xlsx").write_bytes(book)
    one, two, three = taken(tmp_path / "a.xlsx")
    assert one == Document("1", "One.", "", {"sheet": "Books", "price": 9.5, "sold": True, "version": "1.5"})
    assert two == Document("b", "Two.", "", {"sheet": "Books", "price": 8, "sold": False, "version": "2.0"})
    assert three == Document(f"{tmp_path.name}/a.xlsx#People & co!3", "Wrote.", "Woolf", {"sheet": "People & co"})
    assert three.origin == f"{tmp_path.name}/a.xlsx#People & co:3"
    assert three.folder
    assert Reading([str(tmp_path / "a.xlsx")]).count() == 3


def test_what_stands_above_a_header_is_not_lost(tmp_path: Path) -> None:
    rows: list[list[Any]] = [["Sales of 2020"], [], [None, "Place", "Sold on", "Pieces"]]
    rows += [[None, "Rome", 43831, 5], [None, "Oslo", 43832, 7]]
    sheets: dict[str, list[list[Any]]] = {"S": rows, "Note": [["Only a remark."]], "Twice": [["a", "a"], [1, 2]]}
    (tmp_path / "a.xlsx").write_bytes(xlsx(sheets, days=2))
    above, rome, oslo, note, twice = read(tmp_path / "a.xlsx")
    name = f"{tmp_path.name}/a.xlsx#"
    assert above == Document(f"{name}S!1", "Sales of 2020", "", {"sheet": "S"})
    assert rome == Document(f"{name}S!4", "Place: Rome", "", {"sheet": "S", "Sold on": "2020-01-01", "Pieces": 5})
    assert isinstance(oslo, Document)
    assert oslo.metadata["Pieces"] == 7
    assert note == Document(f"{name}Note!1", "Only a remark.", "", {"sheet": "Note"})
    assert twice == Document(
        f"{name}Twice", "| a | a_2 |\n| --- | --- |\n| 1 | 2 |\n", "Twice", {"sheet": "Twice"}, "text/markdown"
    )


def test_cells_of_several_rows_of_a_sheet_stand_in_each(tmp_path: Path) -> None:
    rows: list[list[Any]] = [[], [None, "House", "Monarch", "From"], [None, "Plantagenet", "Richard", 1189]]
    rows += [
        [None, None, "John", 1199],
        [None, None, None, None],
        [None, "long " * 100, "Edward", 1461],
        [None, None, "Henry", 1485],
    ]
    (tmp_path / "a.xlsx").write_bytes(xlsx({"Kings": rows}, merged=["B3:B5", "B6:B7", "C3:D3"]))
    texts = [document.text for document in taken(tmp_path / "a.xlsx")]
    assert texts == [
        "House: Plantagenet\nMonarch: Richard",
        "House: Plantagenet\nMonarch: John",
        f"House: {'long ' * 100}\nMonarch: Edward",
        "Monarch: Henry",  # or a long text would be repeated for thousands of rows
    ]


@pytest.mark.parametrize(
    ("rows", "merged", "texts"),
    [
        (
            [
                ["Pump", "Plan", None, "Done"],
                [None, "From", "Until", "By"],
                ["Red", "May", "June", "Ada"],
                ["Blue", "July", "", "Eve"],
            ],
            ["A1:A2", "B1:C1"],
            None,  # `Done` reaches over no row
        ),
        (
            [["Pump", "Plan", None, "Note"], [None, "From", "Until", None], ["Red", "May", "June", "Loud"]],
            ["A1:A2", "B1:C1", "D1:D2"],
            ["Pump: Red\nPlan: From: May\nPlan: Until: June\nNote: Loud"],
        ),
        (
            [["The plan"], ["Plan", None, "Done", None], ["From", "Until", "From", "Until"], ["May", "June", "July", "August"]],
            ["A1:D1", "A2:B2", "C2:D2"],
            ["The plan", "Plan: From: May\nPlan: Until: June\nDone: From: July\nDone: Until: August"],
        ),
        (
            [["Name", None, "Place", None], ["Ada", "Lovelace", "London", "UK"], ["Grace", "Hopper", "New York", "US"]],
            ["A1:B1", "C1:D1"],
            None,  # the second row may be the first of all people
        ),
    ],
)
def test_merged_names_of_groups_stand_before_those_of_their_columns(
    rows: list[list[Any]], merged: list[str], texts: list[str] | None, tmp_path: Path
) -> None:
    (tmp_path / "a.xlsx").write_bytes(xlsx({"S": rows}, merged=merged))
    found = taken(tmp_path / "a.xlsx")
    if texts is None:
        assert len(found) == len(rows) - 1  # the first row alone is the header
    else:
        assert [document.text for document in found] == texts
        assert found[-1].origin == f"{tmp_path.name}/a.xlsx#S:{len(rows)}"


def test_a_row_of_a_sheet_that_is_rejected_comes_again(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(xlsx({"S": [["text", "n"], ["x", 1], [None, 2]]}))
    _, bad = read(tmp_path / "a.xlsx")
    assert isinstance(bad, Rejection)
    file = tmp_path / "rejects.jsonl"
    file.write_text(bad.to_line().replace('"text": ""', '"text": "Mended."'))
    assert taken(file) == [Document(f"{tmp_path.name}/a.xlsx#S!3", "Mended.", "", {"sheet": "S", "n": 2})]


@pytest.mark.parametrize("suffix", ["xlsx", "xls", "ods", "xlsm", "xlsb"])
@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\3\4 cut"], ids=["empty", "garbage", "zip"])
def test_damaged_spreadsheets_are_rejected(suffix: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / f"a.{suffix}").write_bytes(content)
    assert f"cannot be read as {suffix.upper()}" in rejected(tmp_path / f"a.{suffix}")[0]


@linux
def test_a_sheet_that_would_take_all_memory(tmp_path: Path) -> None:
    """A few hundred bytes with a cell in the last corner."""
    book = xlsx({"S": [["text", "n"], ["x", 1]]})
    cell = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    (tmp_path / "a.xlsx").write_bytes(_patched(book, b"</sheetData>", cell))
    (tmp_path / "b.csv").write_text("id,text\n1,Fine.\n")
    bad, fine = read(tmp_path, limits=Limits(10, 400))
    assert "reading it takes more than 400 MB of memory" in str(bad)
    assert fine == Document("1", "Fine.")


def _patched(book: bytes, old: bytes, new: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book)) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(old, new))
    return out.getvalue()


# JSON


def write(folder: Path, value: Any, name: str = "a.json") -> Path:
    return csv(folder, json.dumps(value, ensure_ascii=False), name)


def test_an_array_of_objects(tmp_path: Path) -> None:
    file = write(
        tmp_path, [{"id": 1, "title": "T", "text": "One.", "year": 2020, "at": {"lat": 1.5}}, {"name": "N", "body": "Two."}]
    )
    one, two = taken(file)
    assert one == Document("1", "One.", "T", {"year": 2020, "at": {"lat": 1.5}})
    assert two == Document(f"{tmp_path.name}/a.json#2", "Two.", "N")
    assert (one.origin, one.folder.partition("/")[0]) == (f"{tmp_path.name}/a.json:1", two.folder)
    assert Reading([str(file)]).count() == 2


def test_an_object_that_holds_one_array_of_objects(tmp_path: Path) -> None:
    value: dict[str, Any] = {"count": 2, "tags": ["a"], "results": [{"id": "1", "text": "One."}, {"id": "2", "text": "Two."}]}
    one, two, rest = taken(write(tmp_path, value))
    assert (one.id, two.id) == ("1", "2")
    assert rest == Document(f"{tmp_path.name}/a.json", "tags: a", "a", {"path": f"{tmp_path.name}/a.json", "count": 2})
    del value["tags"], value["count"]
    assert len(taken(write(tmp_path, value))) == 2


def test_any_other_json_is_one_document(tmp_path: Path) -> None:
    value = {
        "name": "app",
        "scripts": {"build": "make all"},
        "keywords": ["a", "b"],
        "size": 5,
        "deep": {"n": [1, "x"]},
        "no": None,
    }
    (one,) = taken(write(tmp_path, value))
    name = f"{tmp_path.name}/a.json"
    assert one.text == "name: app\nscripts.build: make all\nkeywords: a\nkeywords: b\ndeep.n: x"
    assert (one.id, one.title, one.metadata) == (name, "a", {"path": name, "size": 5, "deep": {"n": [1]}})
    assert one.modified == (tmp_path / "a.json").stat().st_mtime
    assert one.folder
    assert taken(write(tmp_path, ["x", "y"]))[0].text == "x\ny"
    assert taken(write(tmp_path, {"a": [{"t": "x"}], "b": [{"t": "y"}]}))[0].text == "a.t: x\nb.t: y"  # two arrays
    assert taken(write(tmp_path, {"title": "T", "text": "x", "n": [{"a": 1}]})) == [Document(name, "x", "T", {"n": [{"a": 1}]})]
    assert "there is no text in it" in rejected(write(tmp_path, {"n": 5}))[0]
    assert read(write(tmp_path, [])) == [] or "there is no text" in rejected(tmp_path / "a.json")[0]


ROWS: dict[str, tuple[Any, list[tuple[str, str, str]]]] = {  # id behind the file's name, title, text
    "by their ids": ({"0": {"q": "Who?", "n": 1}, "1": {"q": "What?", "n": 2}}, [("#0", "", "q: Who?"), ("#1", "", "q: What?")]),
    "by names": (
        {"TCP": {"of": "a stream", "in": "y"}, "UDP": {"of": "single packets", "in": "v"}},
        [("#TCP", "TCP", "of: a stream\nin: y"), ("#UDP", "UDP", "of: single packets\nin: v")],
    ),
    "many by names": ({one: {"of": "x"} for one in "abcdefgh"}, [(f"#{one}", one, "of: x") for one in "abcdefgh"]),
    "settings": (
        {"db": {"host": "x", "port": 1}, "cache": {"host": "y", "port": 2}},
        [("", "a", "db.host: x\ncache.host: y")],
    ),
    "of other fields": ({"a": {"b": "x", "c": "y"}, "d": {"c": "z", "e": "v"}}, [("", "a", "a.b: x\na.c: y\nd.c: z\nd.e: v")]),
    "of numbers": ({"a": {"n": 1, "s": "x"}, "b": {"n": 2}}, [("", "a", "a.s: x")]),
    "columns with objects": (
        {"q": list("abcdefgh"), "a": [{"t": "v"}] * 8},
        [(f"#{at}", "", f"q: {one}\na.t: v") for at, one in enumerate("abcdefgh", 1)],
    ),
    "lists beside objects": (
        {"extends": ["x", "y"], "plugins": ["v", "w"], "overrides": [{"t": "r"}, {"t": "s"}]},
        [("#1", "", "t: r"), ("#2", "", "t: s"), ("", "a", "extends: x\nextends: y\nplugins: v\nplugins: w")],
    ),
    "long columns": (
        {"t": list("abcdefgh"), "n": [*range(8)]},
        [(f"#{at}", "", f"t: {one}") for at, one in enumerate("abcdefgh", 1)],
    ),
    "two lists of one length": ({"a": ["x", "y"], "b": ["v", "w"]}, [("", "a", "a: x\na: y\nb: v\nb: w")]),
    "lists of objects": ({"a": [{"t": "x"}] * 2, "b": [{"t": "y"}] * 2}, [("", "a", "a.t: x\na.t: x\nb.t: y\nb.t: y")]),
    "columns by numbers": ({"q": {"0": "x", "1": "y"}, "n": {"0": 1, "1": 2}}, [("#1", "", "q: x"), ("#2", "", "q: y")]),
    "split": (
        {"columns": ["q", "n"], "index": ["i", 5], "data": [["x", 1], ["y", 2]]},
        [("#1", "", "index: i\nq: x"), ("#2", "", "q: y")],
    ),
    "split, of an index that is none": (
        {"columns": ["q"], "index": 5, "data": [["x"], ["y"]]},
        [("", "a", "columns: q\ndata: x\ndata: y")],
    ),
    "split, of fewer labels": (
        {"columns": ["q"], "index": ["i"], "data": [["x"], ["y"]]},
        [("", "a", "columns: q\nindex: i\ndata: x\ndata: y")],
    ),
    "split, twice of a name": (
        {"columns": ["q", "q"], "data": [["x", "v"], ["y", "w"]]},
        [("", "a", "columns: q\ncolumns: q\ndata: x\ndata: v\ndata: y\ndata: w")],
    ),
    "columns by numbers that say something": (
        {"q": {"400": "x", "404": "y"}, "n": {"400": "v", "404": "w"}},
        [("", "a", "q.400: x\nq.404: y\nn.400: v\nn.404: w")],
    ),
    "strings beside objects": (["// of a", {"q": "x"}, {"q": "y"}], [("#2", "", "q: x"), ("#3", "", "q: y")]),
    "objects beside strings": (["x", "y", {"q": "z"}], [("", "a", "x\ny\nq: z")]),
}


@pytest.mark.parametrize("kind", ROWS)
def test_tables_that_are_written_as_objects(kind: str, tmp_path: Path) -> None:
    value, expected = ROWS[kind]
    file = write(tmp_path, value)
    documents = taken(file)
    name = f"{tmp_path.name}/a.json"
    assert [(one.id.removeprefix(name), one.title, one.text) for one in documents] == expected
    assert Reading([str(file)]).count() == len(documents)
    said = {"strings_left_out": 1} if kind == "strings beside objects" else {}
    assert (documents[0].remarks, documents[0].metadata.get("strings_left_out")) == (said, None)


MARKED = (
    "<p>Gore-Tex&nbsp;membrane</p><!-- <p>no</p> --><ul><li>Free <b>returns</b> &amp; more</li></ul><script>if (a<b) c()</script>"
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (MARKED, "Gore-Tex membrane\n\n- Free returns & more"),
        ("Light.<br>Dry &amp; warm", "Light.\nDry & warm"),
        ("One.\n\nTwo <a href='x'>more</a> &#8217;s", "One.\n\nTwo more \u2019s"),
        ("<div>How to write <script> here?", "<div>How to write <script> here?"),
        ("<p>How to write <script> here</b>", "How to write  here</b>"),
        ("<p>10<sup>6</sup> m<sup>th</sup> of H<sub>2</sub>O</p>", "10^6 mth of H2O"),
        (f"<p>a&#{'1' * 5000};b</p>", f"a&#{'1' * 5000};b"),
        *(
            (plain, plain)
            for plain in (
                "Use the <code> tag &amp; the <pre> tag",
                "<a>",
                "Close a <p> by </p>?",
                "List<String> &amp; a <T>",
                "Tom &amp; Jerry",
                "<item>x</item>",
                "a < b > c",
                "A `<p>` &amp; more",
            )
        ),
    ],
)
def test_html_in_a_cell_is_read_as_such(value: str, text: str, tmp_path: Path) -> None:
    (of_csv,) = taken(csv(tmp_path, 'name,description\nBoots,"' + value.replace('"', '""') + '"\n'))
    of_lines, nested = taken(
        csv(tmp_path, "\n".join(json.dumps(one) for one in ({"body": value}, {"in": {"side": value}})), "a.jsonl")
    )
    assert (of_csv.text, of_lines.text, nested.text) == (text, text, f"in.side: {text}")
    own = {"id": "1", "text": value}
    assert taken(write(tmp_path, [own]))[0].text == value  # a document as it is


@pytest.mark.parametrize("part", ["<", "<p ", "<a", "<script>", "<!--", "&", " ", "\n \n"])
@pytest.mark.timeout(20)
def test_tags_are_looked_for_once(part: str) -> None:
    assert isinstance(without_html("<p>" + part * (1_000_000 // len(part)) + "&amp;>"), str)


def test_vectors_are_left_out_and_told(tmp_path: Path) -> None:
    vector, short, numbers, prices = [0.5, -1] * 32, [-0.5, 0.5, *[0.5] * 61], [*range(-1, 63)], [9.95] * 64
    row = {"body": "x", "vector": vector, "short": short, "numbers": numbers, "prices": prices}
    table = {**{name: [value] for name, value in row.items()}, "__index_level_0__": [7], "__index_level_1__": ["of text"]}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    kept = {"vectors_left_out": 1, "short": short, "numbers": numbers, "prices": prices}
    (of_lines,) = taken(csv(tmp_path, json.dumps(row), "a.jsonl"))
    (of_parquet,) = taken(tmp_path / "a.parquet")
    assert (of_lines.metadata, of_parquet.metadata) == (kept, kept | {"__index_level_1__": "of text"})
    assert of_lines.remarks == of_parquet.remarks == {"vectors_left_out": 1}
    for file in ("a.jsonl", "a.parquet"):
        named = taken(tmp_path / file, fields={"metadata": "vector"})[0]
        assert (named.metadata["vector"], dict(named.remarks)) == (vector, {})


def test_paths_into_objects(tmp_path: Path) -> None:
    value = [
        {"key": 5, "body": {"content": "Words.", "lang": "en"}, "a.b": "dotted"},
        {"key": 6, "body": {"content": "More."}, "says": [{"what": "x"}, {"what": "y"}, {"who": "z"}]},
    ]
    file = write(tmp_path, value)
    one, two = taken(file, fields={"id": "key", "text": "body.content"})
    assert one == Document("5", "Words.", "", {"body": {"lang": "en"}, "a.b": "dotted"})
    assert two == Document("6", "More.", "", {"says": [{"what": "x"}, {"what": "y"}, {"who": "z"}]})
    said = read(file, fields={"id": "key", "text": "says.what"})
    assert "there is no says.what but key, body, a.b" in str(said[0])
    assert said[1] == Document("6", "x\ny", "", {"body": {"content": "More."}, "says": [{"who": "z"}]})
    (_, dotted) = reversed(read(file, fields={"id": "key", "text": "a.b,body.content"}))
    assert dotted == Document("5", "dotted\n\nWords.", "", {"body": {"lang": "en"}})
    top = write(tmp_path, {"body": {"content": "Words."}, "notes": [{"x": "y"}]})
    assert taken(top, fields={"text": "body.content"})[0].text == "Words."


def test_items_that_are_no_documents_are_rejected_and_come_again(tmp_path: Path) -> None:
    file = write(tmp_path, [{"key": 1, "body": "x"}, None, {"key": 2, "body": " "}], "items.json")
    fields = {"id": "key", "text": "body"}
    one, none, bad = read(file, fields=fields)
    assert one == Document("1", "x")
    assert "items.json:2: not an object but NoneType" in str(none)
    assert isinstance(bad, Rejection)
    again = tmp_path / "rejects.jsonl"
    again.write_text(bad.to_line().replace('\\" \\"', '\\"Mended.\\"'))
    assert taken(again) == [Document("2", "Mended.")]  # by the columns that were named then


def test_lines_of_json_by_another_name(tmp_path: Path) -> None:
    file = csv(tmp_path, '{"id": 1, "text": "One."}\n{"id": 2, "text": "Two."}\n', "a.json")
    assert [one.id for one in taken(file)] == ["1", "2"]
    assert Reading([str(file)]).count() == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'[{"text": ', "not JSON: Expecting value"),
        (b'[{"text": "caf\xe9"}]', "not utf-8 at byte 15; convert it"),
        (b"[" * 100_000, "not JSON"),
        (b"", "not JSON"),
        (b'{"a": 1, // no comment\n', "not JSON: Expecting property name"),
        (b'{"a": 1, /* two\nlines */ "b": 2 "c"}', "line 2 column 17"),
        (b'{"a": "b" /* open }', "not JSON"),
        (b'{"a": "open // \n}', "not JSON"),
        (b'{"a": 1,, }', "not JSON"),
    ],
)
def test_json_that_is_none(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    assert reason in rejected(tmp_path / "a.json")[0]
    assert Reading([str(tmp_path / "a.json")]).count() == 1


SETTINGS = """// what the compiler is told
{
  "name": "a \\"//\\" and, ] /* of a string */", /* and
  more */ "links": ["http://a.example", "b",],  // ,}
}
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_with_comments_is_read_without_them(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_bytes(SETTINGS.encode(encoding))
    [document] = taken(tmp_path / "settings.json")
    assert document.text == 'name: a "//" and, ] /* of a string */\nlinks: http://a.example\nlinks: b'


@pytest.mark.parametrize("part", ['"', '\\"', "/*", "//", ", ", '"\\'])
@pytest.mark.timeout(20)
def test_comments_are_looked_for_once(part: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"[" + part.encode() * 1_000_000)
    assert "not JSON" in rejected(tmp_path / "a.json")[0]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_encodings_of_json(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes('[{"id": "1", "text": "Größe"}]'.encode(encoding))
    assert taken(tmp_path / "a.json") == [Document("1", "Größe")]


@linux
def test_json_that_would_take_all_memory(tmp_path: Path) -> None:
    """Of a few megabytes: each of its values takes some fifty times its bytes."""
    (tmp_path / "a.json").write_bytes(b"[" + b"[]," * 6_000_000 + b"1]")
    (tmp_path / "b.csv").write_text("id,text\n1,Fine.\n")
    bad, fine = read(tmp_path, limits=Limits(30, 300))
    assert "reading it takes more than 300 MB of memory" in str(bad)
    assert fine == Document("1", "Fine.")


def test_a_file_of_json_that_is_too_large(tmp_path: Path) -> None:
    with (tmp_path / "a.json").open("wb") as stream:
        stream.write(b'["')
        stream.truncate(64_000_001)
    assert "larger than 64,000,000 bytes; split it" in rejected(tmp_path / "a.json")[0]


# How many there will be


@pytest.mark.parametrize(
    ("name", "content", "fields", "number"),
    [
        ("a.csv", "id,text\n", {}, 1),  # the rejection of a table without rows
        ("a.csv", "id,text\n1,x\n,\n", {}, 1),
        ("a.csv", 'id,text\n1,x\n2,"y" z\n', {}, 2),
        ("a.mbox", "no mail\n", {}, 1),
        ("a.json", '{"notes": "x", "rows": [{"text": "y"}, {"text": "z"}]}', {}, 3),
        ("a.json", '{"notes": 5, "rows": [{"text": "y"}, {"text": "z"}]}', {}, 2),
        ("a.json", '{"body": {"of": "x"}, "rows": [{"text": "y"}, {"text": "z"}]}', {"text": "body.of"}, 1),
        ("a.json", '{"text": "x", "rows": [{"words": "y"}, {"words": "z"}]}', {"text": "words"}, 3),
        ("a.json", "{", {}, 1),
    ],
)
def test_as_many_are_counted_as_come(name: str, content: str, fields: dict[str, str], number: int, tmp_path: Path) -> None:
    reading = Reading([str(csv(tmp_path, content, name))], fields=fields)
    assert (reading.count(), len(list(reading))) == (number, number)


@pytest.mark.parametrize("suffix", [".parquet", ".xlsx"])
def test_a_table_without_rows_counts_as_its_rejection(suffix: str, tmp_path: Path) -> None:
    if suffix == ".parquet":
        pq.write_table(pa.table({"id": pa.array([], pa.string())}), tmp_path / f"a{suffix}")
    else:
        (tmp_path / f"a{suffix}").write_bytes(xlsx({"Empty": []}))
    reading = Reading([str(tmp_path)])
    assert (reading.count(), len(list(reading))) == (1, 1)


# Small files of every kind that went wrong once, where they are


SHARED = Path(__file__).parents[3] / "shared" / "cases" / "files"
RIGHT: Mapping[str, list[Document]] = {
    "csv/version.csv": [
        Document("1", "first", "", {"version": "1.10", "zip": "01234", "amount": "1.50", "long": "123456789012345678.12"}),
        Document("2", "second", "", {"version": "1.1", "zip": "12345", "amount": "2", "long": "0.1234567890123456789"}),
        Document("3", "third", "", {"version": "2.0", "zip": "99999", "amount": "3", "long": "7"}),
    ],
    "csv/trailing_empty_columns.csv": [Document("1", "hello there"), Document("2", "second text")],
    "parquet/text_list.parquet": [Document("1", "How deep is it?\nTwelve metres.")],
}


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared cases are not beside this checkout")
@pytest.mark.parametrize("name", RIGHT)
def test_shared_cases(name: str) -> None:
    assert taken(SHARED / name) == RIGHT[name]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared cases are not beside this checkout")
def test_shared_cases_that_are_refused_or_long() -> None:
    assert "has the column 'text' twice" in rejected(SHARED / "parquet/dup_text.parquet")[0]
    chinese, *_ = taken(SHARED / "jsonl/chinese_metadata.jsonl")
    assert len(chinese.metadata["summary"]) == 4000


def test_the_extra_that_reads_spreadsheets_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from search.reading.files import SourceFile

    (tmp_path / "a.xlsx").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with (tmp_path / "a.xlsx").open("rb") as stream:  # as the child does it
        (item,) = tables.read_table(stream, SourceFile(tmp_path / "a.xlsx", "a.xlsx"), {}, None)
    assert "python_calamine is not installed; install this package with its extra files" in str(item)


def test_quotes_in_tab_separated_lines_may_be_a_part_of_the_text(tmp_path: Path) -> None:
    """Many programs write no quotes around values there; a row that fits with them is read with them, as ever."""
    rows = ['1\t"quoted\tx"\ty', '2\t"Gulls" cry.\tz', '3\t"Owls\tz', '4\tAn "apt" name\tz', '5\t"ends\tz', "6\tplain\tz"]
    file = csv(tmp_path, "id\ttext\tn\n" + "\n".join(rows) + "\n", "a.tsv")
    assert [(one.id, one.text) for one in taken(file)] == [
        ("1", "quoted\tx"),
        ("2", '"Gulls" cry.'),
        ("3", '"Owls'),
        ("4", 'An "apt" name'),
        ("5", '"ends'),
        ("6", "plain"),
    ]
    assert [one.origin.rpartition(":")[2] for one in taken(file)] == ["2", "3", "4", "5", "6", "7"]
    assert Reading([str(file)]).count() == 6
    bad = rejected(csv(tmp_path, 'id\ttext\n1\t"x" y\tz\n2\tfine\n', "a.tsv"))
    assert len(bad) == 1
    assert "a.tsv:2: the row behind line 1 is not CSV" in bad[0]
    assert len(rejected(csv(tmp_path, 'id,text\n1,"x" y\n', "a.csv"))) == 1


def test_a_sheet_of_open_document(tmp_path: Path) -> None:
    kind = "application/vnd.oasis.opendocument"
    rows: list[list[str | int]] = [["title", "text", "pieces"], ["T", "Words.", 5]]
    cells = "".join(
        "<table:table-row>"
        + "".join(
            f'<table:table-cell office:value-type="float" office:value="{one}"/>'
            if isinstance(one, int)
            else f'<table:table-cell office:value-type="string"><text:p>{one}</text:p></table:table-cell>'
            for one in row
        )
        + "</table:table-row>"
        for row in rows
    )
    names = "".join(f' xmlns:{one}="urn:oasis:names:tc:opendocument:xmlns:{one}:1.0"' for one in ("office", "table", "text"))
    content = f"<office:document-content{names}><office:body><office:spreadsheet>"
    content += f'<table:table table:name="S">{cells}</table:table></office:spreadsheet></office:body></office:document-content>'
    with zipfile.ZipFile(tmp_path / "a.ods", "w") as archive:
        archive.writestr("mimetype", f"{kind}.spreadsheet")
        archive.writestr("content.xml", content)
        manifest = '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>'
        archive.writestr("META-INF/manifest.xml", manifest)
    (one,) = taken(tmp_path / "a.ods")
    assert one == Document(f"{tmp_path.name}/a.ods#S!2", "Words.", "T", {"sheet": "S", "pieces": 5})
