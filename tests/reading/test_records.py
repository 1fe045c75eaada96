"""Objects of JSON as people have them: ids that are numbers, fields of any name, and nothing of them lost or laid over another."""

import io
import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from sheets import xlsx

from search.documents import Document, Rejection
from search.errors import InvalidDocument
from search.reading import Reading, lines
from search.reading.child import Limits


def read(*values: Any, source: str = "a.jsonl", fields: dict[str, str] | None = None, folder: str = "") -> list[Any]:
    content = "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values).encode()
    return list(lines.jsonl(io.BytesIO(content), source, fields, folder))


def one(value: Any, **options: Any) -> Document:
    (document,) = read(value, **options)
    assert isinstance(document, Document), str(document)
    return document


def reason(value: Any, **options: Any) -> str:
    (rejection,) = read(value, **options)
    assert isinstance(rejection, Rejection)
    return rejection.reason


def test_ids_may_be_whole_numbers() -> None:
    assert one({"id": 7, "text": "x"}) == Document("7", "x")
    assert one({"_id": 2**70, "text": "x"}).id == str(2**70)
    for value in (True, None, 1.5, [1], {"a": 1}):
        assert "the id must be a string or a whole number, not " in reason({"id": value, "text": "x"})


def test_further_fields_are_metadata() -> None:
    document = one({"id": "1", "text": "x", "author": "y", "tags": [], "at": {"lat": 1}, "no": None, "metadata": {"year": 2020}})
    assert document == Document("1", "x", "", {"year": 2020, "author": "y", "tags": [], "at": {"lat": 1}, "no": None})


def test_a_field_that_stands_in_the_metadata_too() -> None:
    said = reason({"id": "1", "text": "x", "author": "y", "metadata": {"author": "y"}})
    assert said == "author stands in the object and under its metadata, too; name it once"
    assert one({"id": "1", "text": "x", "metadata": {"text": "y", "id": 5}}).metadata == {"text": "y", "id": 5}


def test_fields_that_are_null() -> None:
    assert one({"id": "1", "text": "x", "title": None, "metadata": None, "modified": None, "media_type": None}) == Document(
        "1", "x"
    )
    assert reason({"id": "1", "text": None}) == "there is no text"


def test_what_is_called_like_a_documents_own() -> None:
    document = one({"id": 1, "text": "x", "modified": "2020-01-01", "media_type": "book"})
    assert (document.metadata, document.modified) == ({"modified": "2020-01-01", "media_type": "book"}, None)
    assert one({"id": 1, "text": "x", "modified": 5, "media_type": "text/markdown"}).modified == 5
    assert "modified is seconds since 1970" in reason({"id": "1", "text": "x", "modified": "2020-01-01"})  # as ever


def test_objects_without_an_id_go_by_their_line() -> None:
    document = read({"text": "x"}, {"title": "T", "body": "y"}, folder="f")[1]
    assert document == Document("a.jsonl#2", "y", "T")
    assert (document.folder, document.origin) == ("f", "a.jsonl:2")
    assert one({"id": "1", "text": "x", "more": 5}, folder="f").folder == ""
    said = reason({"text": "x"}, source=lines.STDIN)
    assert said == "there is no id, and standard input has no name to make one of; name it with --field id=NAME"
    assert one({"nr": 5, "text": "x"}, source=lines.STDIN, fields={"id": "nr"}).id == "5"


def test_text_and_title_by_the_usual_names_or_all_strings() -> None:
    assert one({"id": 1, "headline": "T", "content": "x", "n": 5}) == Document("1", "x", "T", {"n": 5})
    assert one({"id": 1, "question": "Why?", "answer": "So.", "n": 5}) == Document("1", "question: Why?\nanswer: So.", "", {"n": 5})
    assert one({"id": 1, "text": ["One.", "Two."]}).text == "One.\nTwo."
    assert one({"id": 1, "content": {"en": "x"}, "note": "y"}) == Document(
        "1", "note: y\ncontent.en: x", "", {"content": {"en": "x"}}
    )
    assert reason({"id": 1, "n": 5}) == "there is no text"
    for fields in ({}, {"text": "text"}):
        assert "the field text holds lists or objects; write it as a string" in reason({"id": 1, "text": [1, "x"]}, fields=fields)


@pytest.mark.parametrize(
    ("value", "text", "title"),
    [
        (
            {"type": "Feature", "properties": {"name": "Como", "about": "A deep lake"}, "geometry": {"coordinates": [9.2, 46]}},
            "type: Feature\nproperties.name: Como\nproperties.about: A deep lake",
            "",
        ),
        (
            {"key": "AB-1", "fields": {"summary": "Login fails", "open": True}},
            "key: AB-1\nfields.summary: Login fails",
            "Login fails",
        ),
        (
            {"key": "AB-5", "attributes": {"title": "<p>The pump</p>", "icon": {"48x48": "https://a.b/c.png"}}},
            "key: AB-5\nattributes.title: The pump",
            "The pump",
        ),
        (
            {"key": "AB-2", "author": {"title": "Dr.", "web": "https://a.b"}},
            "key: AB-2\nauthor.title: Dr.\nauthor.web: https://a.b",
            "",
        ),
        ({"key": "AB-3", "fields": {"title": "x" * 301, "summary": [1]}}, f"key: AB-3\nfields.title: {'x' * 301}", ""),
        (
            {
                "key": "AB-4",
                "of": {"self": "https://a.b/1", "avatarUrls": {"1": "https://a.b/2", "2": "https://a.b/3"}, "icon": "a kite"},
            },
            "key: AB-4\nof.icon: a kite",
            "",
        ),
        ({"title": "Talk", "mapping": {"a": {"parts": ["Hi.", "Bye."]}}}, "mapping.a.parts: Hi.\nmapping.a.parts: Bye.", "Talk"),
    ],
)
def test_texts_in_objects_are_found_beside_strings_of_their_own(value: dict[str, Any], text: str, title: str) -> None:
    """And stay metadata, by which they are filtered."""
    document = one(value)
    assert (document.text, document.title) == (text, title)
    assert document.metadata == {name: inner for name, inner in value.items() if not isinstance(inner, str)}


def test_texts_in_objects_are_none_where_a_text_is_named_or_called_so() -> None:
    value = {"id": 1, "title": "T", "note": "x", "of": {"y": "z"}, "metadata": {"words": "w"}}
    assert one({**value, "body": "Words."}).text == "Words."
    assert one(value, fields={"text": "note"}).text == "x"
    assert one(value, fields={"title": "of.y"}) == Document("1", "title: T\nnote: x", "z", {"words": "w"})


def test_pictures_among_texts_are_none() -> None:
    picture = f"data:image/png;base64,{'iVBORw0K' * 100}"
    parts = [{"type": "text", "text": "Hi."}, {"type": "image_url", "image_url": {"url": picture}}]
    lines = "role: user\ncontent.type: text\ncontent.text: Hi.\ncontent.type: image_url\ncontent.image_url.url: data:,"
    assert one({"role": "user", "content": parts}).text == lines
    assert one({"note": "A kite.", "icon": picture}).text == "note: A kite.\nicon: data:,"
    assert one({"of": {"icon": picture}}).text == "of.icon: data:,"


def test_a_text_in_pieces_is_joined() -> None:
    """As Telegram and services of language models write it."""
    link = {"type": "link", "text": "https://x.y"}
    assert one({"id": 1, "text": ["See ", link, " now"]}).text == "See https://x.y now"
    assert one({"id": 1, "text": [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}]}).text == "One.\nTwo."
    said = reason({"id": 1, "text": ["See ", {"of": {"words": "A kite"}}]})
    assert said == "the field text holds lists or objects; name one of text with --field text=text.of.words"


def test_named_fields_and_paths() -> None:
    value = {"key": 5, "body": {"content": "Words.", "lang": "en"}, "head": "T", "metadata": {"words": "Inner."}}
    fields = {"id": "key", "text": "body.content", "title": "head"}
    assert one(value, fields=fields) == Document("5", "Words.", "T", {"words": "Inner.", "body": {"lang": "en"}})
    both = one(value, fields={"id": "key", "text": "body.content,metadata.words"})
    assert (both.text, both.metadata) == ("Words.\n\nInner.", {"body": {"lang": "en"}, "head": "T"})
    assert reason({"key": 5, "x": "y"}, fields=fields) == "there is no body.content but key, x"
    assert reason({"body": {"content": "x"}}, fields=fields) == "there is no key but body"
    assert one({"key": 5, "a": "x"}, fields={"id": "key", "text": "a,b"}).text == "x"  # of several, those that there are
    assert one({"id": "1", "text": "x"}, fields=fields) == Document("1", "x")  # as ever: fields were for tables
    assert one({"id": "1", "text": "x", "title": "Y"}, fields={"text": "title"}) == Document("1", "Y", "Y", {"text": "x"})


ROWS = [{"id": "1", "Title": "T", "text": "x", "body": {"none": None, "words": "y"}}, {"id": "2", "text": "z"}]


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "lines.json", "object.json", "a.parquet"])
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"title": "title"}, "no record has title, which is named for title; is Title meant?"),
        ({"title": "text,Titel"}, "no record has Titel, which is named for title; is Title meant?"),
        ({"title": "nothing"}, "no record has nothing, which is named for title, but id, Title, text, body"),
        ({"text": "text,body.word"}, "no record has body.word, which is named for text; is body.words meant?"),
        (
            {"text": "text,body.else"},
            "no record has body.else, which is named for text, but body.none, body.words, id, Title, text, body",
        ),
        ({"text": "text", "metadata": "ids"}, "no record has ids, which is named for metadata; is id meant?"),
    ],
)
def test_what_is_named_and_in_no_record_is_told(name: str, fields: dict[str, str], said: str, tmp_path: Path) -> None:
    match name:
        case "a.parquet":
            pyarrow.parquet.write_table(pa.Table.from_pylist(ROWS), tmp_path / name)
        case "a.json":
            (tmp_path / name).write_text(json.dumps(ROWS))
        case "object.json":
            (tmp_path / name).write_text(json.dumps(ROWS[0]))
        case _:
            (tmp_path / name).write_text("\n".join(map(json.dumps, ROWS)))
    reading = Reading([str(tmp_path)], fields=fields)
    assert reading.notes == []
    for _ in range(2):
        refused = name == "a.parquet" and "metadata" in fields  # a table without a column that is named is no table to read
        assert all(isinstance(item, Rejection) == refused for item in reading)
        assert reading.notes == ([] if refused else [said])


@pytest.mark.parametrize("suffix", [".geojson", ".jsonld"])
def test_json_of_other_names(suffix: str, tmp_path: Path) -> None:
    features = [{"type": "Feature", "properties": {"about": about}} for about in ("A deep lake.", "A wide lake.")]
    (tmp_path / f"a{suffix}").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    reading = Reading([str(tmp_path)])
    assert [one.text.splitlines()[-1] for one in reading if isinstance(one, Document)] == [
        "properties.about: A deep lake.",
        "properties.about: A wide lake.",
        "type: FeatureCollection",
    ]
    assert reading.count() == 3


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_a_title_that_no_table_has_is_told(suffix: str, tmp_path: Path) -> None:
    rows = [["id", "Title", "text"], ["1", "T", "x"], ["2", "U", "y"]]
    file = tmp_path / f"a{suffix}"
    file.write_bytes("".join(f"{','.join(row)}\n" for row in rows).encode() if suffix == ".csv" else xlsx({"S": rows}))
    reading = Reading([str(file)], fields={"title": "Titles"})
    assert [item.id for item in reading if isinstance(item, Document)] == ["1", "2"]
    assert reading.notes == ["no record has Titles, which is named for title; is Title meant?"]
    file.write_bytes(b"id,year\n1,1999\n" if suffix == ".csv" else xlsx({"S": [["id", "year"], [1, 1999]]}))
    reading = Reading([str(file)], fields={"metadata": "place"})  # of a table without texts, which is one document
    assert len(list(reading)) == 1
    assert reading.notes == ["no record has place, which is named for metadata, but id, year"]


def test_what_one_record_has_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    (tmp_path / "b.csv").write_text("nr,words,headline\n5,Some text.,H\n")
    (tmp_path / "c.json").write_text('[{"id": "1", "text": "x", "a,b": "y", "none": null}]')
    for fields in (
        {"id": "nr", "text": "words", "title": "headline", "metadata": "headline"},  # which the other files lack
        {"text": "text", "title": "a,b", "metadata": "none"},
        {"text": "body.words,text", "title": "Title"},
        {"text": "body.words,text", "title": "body.none"},
    ):
        reading = Reading([str(tmp_path)], fields=fields)
        assert list(reading)
        assert reading.notes == []


@pytest.mark.parametrize("column", ["", " ", ",", " , "])
def test_a_field_that_names_nothing_is_refused(column: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "1", "text": "x"}\n')
    with pytest.raises(InvalidDocument, match="no column is named for title; name one, as in text=body"):
        Reading([str(tmp_path)], fields={"title": column})
    assert list(Reading([str(tmp_path)], fields={"text": "text, ,"})) == [Document("1", "x")]


def test_fields_that_nothing_has_a_place_for(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Text.")
    reading = Reading([str(tmp_path)], fields={"title": "name", "text": "words"})
    assert len(list(reading)) == 1
    assert reading.notes == ["no table and no JSON was read, for which title, text of --field would be"]
    (tmp_path / "b.csv").write_text("id,words\n1,x\n")
    reading = Reading([str(tmp_path / "b.csv")], fields={"id": "nr", "metadata": "kind"})
    assert "has no column nr and no kind but id, words" in str(next(iter(reading)))
    assert list(reading)
    assert reading.notes == []  # the rejection says it


def test_what_a_file_of_rejects_holds_is_not_told(tmp_path: Path) -> None:
    """Its documents have the fields already."""
    (tmp_path / "a.csv").write_text("nr,words,n\n5,,1\n")
    (bad,) = Reading([str(tmp_path / "a.csv")], fields={"id": "nr", "text": "words"})
    assert isinstance(bad, Rejection)
    (tmp_path / "rejects.jsonl").write_text(bad.to_line().replace('"text": ""', '"text": "Mended."'))
    reading = Reading([str(tmp_path / "rejects.jsonl")], fields={"id": "nr", "text": "words"})
    assert list(reading) == [Document("5", "Mended.", metadata={"n": 1})]
    assert reading.notes == []


def test_a_reader_that_dies_says_nothing_of_fields(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"[" + b"[]," * 6_000_000 + b"1]")
    reading = Reading([str(tmp_path)], fields={"title": "name"}, limits=Limits(30, 300))
    assert "more than 300 MB of memory" in str(next(iter(reading)))
    assert list(reading)
    assert reading.notes == []


def test_lines_that_were_rejected_keep_the_id_that_they_would_have_had(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.jsonl").write_text('{"text": "x"}\n{"text": " "}\n{"nr": 1, "words": ""}\n{"words": "x"}\n')
    items = list(Reading([str(folder)], fields={"id": "nr", "text": "words"}))
    file = tmp_path / "rejects.jsonl"
    file.write_text("".join(item.to_line() for item in items if isinstance(item, Rejection)))
    assert len(file.read_text().splitlines()) == 4
    file.write_text(file.read_text().replace('\\"words\\": \\"\\"', '\\"words\\": \\"Mended.\\"'))
    documents = [item for item in Reading([str(file)]) if isinstance(item, Document)]
    assert documents == [Document("1", "Mended.")]  # by the fields that were named then
    items = list(Reading([str(folder)]))
    file.write_text("".join(item.to_line() for item in items if isinstance(item, Rejection)).replace('\\" \\"', '\\"Mended.\\"'))
    documents = [item for item in Reading([str(file)]) if isinstance(item, Document)]
    assert documents[0] == Document("notes/a.jsonl#2", "Mended.")


@pytest.mark.parametrize("suffix", ["jsonl", "ndjson"])
def test_both_suffixes_of_json_lines(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"a.{suffix}").write_text('{"id": 1, "text": "x"}\n')
    reading = Reading([str(tmp_path)])
    assert list(reading) == [Document("1", "x")]
    assert reading.count() == 1


def test_the_library_reads_what_the_command_reads(tmp_path: Path) -> None:
    import search

    (tmp_path / "a.csv").write_text("nr,words\n5,Some text.\n")
    fields = {"id": "nr", "text": "words"}
    for paths in (tmp_path, str(tmp_path), [tmp_path / "a.csv"], iter([str(tmp_path / "a.csv")])):
        reading = search.read(paths, fields=fields)
        assert list(reading) == [Document("5", "Some text.")]
    (tmp_path / "b.xyz").write_bytes(b"\0\1")
    assert search.read(tmp_path, exclude=["b.*"]).left_out == [str(tmp_path / "b.xyz")]
    with search.open_search(search.Settings(data_dir=tmp_path / "data")) as searcher:
        assert searcher.ingest(search.read(tmp_path / "a.csv", fields=fields)).added == 1


def test_an_object_whose_strings_are_all_deeper() -> None:
    value = {"id": 1, "size": 5, "of": {"name": "Rome", "size": 7, "tags": ["a", "b"]}, "metadata": {"year": "2020"}}
    assert one(value) == Document("1", "of.name: Rome\nof.tags: a\nof.tags: b", "", {"year": "2020", "size": 5, "of": {"size": 7}})
    assert reason({"id": 1, "of": {"size": 7}, "metadata": {"year": "2020"}}) == "there is no text"


@pytest.mark.parametrize("deep", ["[" * 900 + '"x"' + "]" * 900, '{"a":' * 900 + '"x"' + "}" * 900], ids=["lists", "objects"])
def test_an_object_of_hundreds_of_levels_ends_nothing(deep: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"id": 1, "deep": {deep}}}\n{{"id": 2, "text": "Fine."}}\n')
    (tmp_path / "b.json").write_text(f'[{{"id": 3, "text": "Fine."}}, {{"id": 1, "deep": {deep}}}]')
    items = list(Reading([str(tmp_path)]))
    assert [item.id for item in items if isinstance(item, Document)] == ["2", "3"]
    assert [item.reason for item in items if isinstance(item, Rejection)] == [
        "its values are too deep in each other; flatten them"
    ] * 2


def test_a_time_of_hundreds_of_digits_ends_nothing() -> None:
    huge, fine = read({"id": 1, "text": "A text.", "modified": 10**400}, {"id": 2, "text": "Fine."})
    assert huge == Document("1", "A text.", metadata={"modified": "1" + "0" * 400})
    assert fine == Document("2", "Fine.")


def test_what_is_not_a_number_is_no_value() -> None:
    nan = float("nan")
    assert one({"id": "a", "text": "A text.", "title": nan, "modified": nan, "media_type": nan, "metadata": nan}) == Document(
        "a", "A text."
    )
    assert one({"id": 1, "text": "A text.", "title": nan, "year": 1}) == Document("1", "A text.", metadata={"year": 1})
    assert reason({"id": math.inf, "text": "A text."}) == "the id must be a string or a whole number, not float"
    assert reason({"id": "a", "text": "A text.", "title": math.inf}) == "the document's title must be a string, not float"


def test_numbers_that_json_or_filters_have_not_reject_nothing(tmp_path: Path) -> None:
    numbers = '"hash": 18446744073709551615, "of": [{{"a": NaN, "b": 1e999}}], "n": -9223372036854775808'
    value = f'{{{{"id": "{{}}", "text": "A text.", {numbers}}}}}'
    (tmp_path / "a.jsonl").write_text(f"{value.format('1')}\n")
    (tmp_path / "b.json").write_text(f"[{value.format('2')}]")
    (tmp_path / "c.json").write_text('{"name": "A text.", "metadata": {"hash": 18446744073709551615}, "of": [NaN]}')
    columns = {"id": ["4"], "text": ["A text."], "hash": pa.array([2**64 - 1], pa.uint64()), "a": [math.nan], "b": [math.inf]}
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "d.parquet")
    first, second, third, fourth = Reading([str(tmp_path)])
    metadata = {"hash": "18446744073709551615", "of": [{"a": None, "b": "inf"}], "n": -(2**63)}
    assert (first, second) == (Document("1", "A text.", metadata=metadata), Document("2", "A text.", metadata=metadata))
    assert isinstance(third, Document)
    assert third.metadata == {"path": f"{tmp_path.name}/c.json", "metadata": {"hash": metadata["hash"]}, "of": [None]}
    assert fourth == Document("4", "A text.", metadata={"hash": metadata["hash"], "b": "inf"})
