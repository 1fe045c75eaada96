"""The commands for whoever keeps a collection."""

import io
import json
import os
import subprocess
import sys
import zipfile
from itertools import takewhile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from commands import as_json, error, search, wrong
from papers import docx, epub, pptx, scanned
from sheets import xlsx
from standin import QdrantStandIn
from standin_grpc import GrpcStandIn

from search.cli.output import noting_rejections
from search.documents import Document, Rejection
from search.errors import IndexFull
from search.index.contract import CollectionSpec
from search.index.edge.index import EdgeIndex
from search.ingestion.report import Remark
from search.reading import read
from search.searcher import open_search
from search.settings import Settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    for name in ("a", "b", "c", "d"):
        (folder / f"{name}.md").write_text(f"# About {name}\n\nThe text of {name}.\n")
    return folder


def test_sync_and_its_guard(folder: Path, tmp_path: Path) -> None:
    where = ("--data-dir", tmp_path / "data")
    search("ingest", folder, *where)
    (folder / "a.md").write_text("# About a\n\nAnother text.\n")
    (folder / "b.md").unlink()
    (folder / "c.md").rename(folder / "e.md")
    shown = search("ingest", folder, "--sync", "--dry-run", "--max-delete", 2, *where).stdout
    assert shown == (
        "~ notes/a.md\n+ notes/e.md\n- notes/b.md\n- notes/c.md\nwould be: 1 added, 1 changed, 1 unchanged, 2 removed, 0 rejected\n"
    )
    judged = search("ingest", folder, "--sync", "--dry-run", *where, status=1)
    assert judged.stdout == shown.replace("- ", "! ").replace("2 removed", "0 removed")
    because = "2 of 4 documents are more than the 0 that may be; --dry-run lists them, and --max-delete 2 lets them go\n"
    assert f"search: 2 documents would not be removed: {because}" in judged.stderr
    listed = json.loads(search("ingest", folder, "--sync", "--dry-run", "--json", *where, status=1).stdout)["changes"]
    assert [one["document_id"] for one in listed if one["change"] == "kept"] == ["notes/b.md", "notes/c.md"]
    guarded = search("ingest", folder, "--sync", *where, status=1)
    assert guarded.stdout.startswith("1 added, 1 changed, 1 unchanged, 0 removed, 0 rejected; 2 passages written in ")
    assert f"search: 2 documents were not removed: {because}" in guarded.stderr
    done = as_json("ingest", folder, "--sync", "--max-delete", "70%", *where)
    assert (done["removed"], done["kept"], done["unchanged"]) == (2, 0, 3)
    changes = as_json("ingest", folder, "--sync", "--dry-run", *where)
    assert (changes["changes"], changes["dry_run"]) == ([], True)


def test_fields_that_no_record_has_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "1", "Title": "T", "text": "x"}\n')
    command = ("ingest", tmp_path / "a.jsonl", "--field", "title=title", "--data-dir", tmp_path / "data")
    told = "no record has title, which is named for title; is Title meant?"
    done = search(*command)
    assert done.stdout.startswith("1 added")
    assert done.stderr.endswith(f"note: {told}\n")
    again = search(*command, "--json")
    assert json.loads(again.stdout)["notes"] == [told]
    assert told in again.stderr
    (tmp_path / ".searchignore").write_text("[x\n")
    noted = as_json("ingest", tmp_path, "--data-dir", tmp_path / "data")["notes"]
    assert len(noted) == 1
    assert "can match nothing" in noted[0]


def test_rejects_go_to_a_file_and_come_back_from_it(folder: Path, tmp_path: Path) -> None:
    where = ("--data-dir", tmp_path / "data")
    rejects = tmp_path / "rejects.jsonl"
    (folder / "bad.jsonl").write_text('{"id": "x", "text": " "}\n')
    search("ingest", folder, "--rejects", rejects, *where)
    assert json.loads(rejects.read_text())["rejected"]["reason"] == "document 'x' has no text; leave it out or give it some"
    rejects.write_text(rejects.read_text().replace('\\"text\\": \\" \\"', '\\"text\\": \\"Mended.\\"'))
    assert as_json("ingest", rejects, "--rejects", rejects, *where)["added"] == 1
    assert rejects.read_text() == ""
    assert "the file of rejects cannot be written to" in error("ingest", folder, "--rejects", tmp_path / "absent" / "r", *where)


@pytest.mark.parametrize("options", [(), ("--sync",), ("--dry-run",)])
def test_no_collection_is_made_of_documents_that_are_all_rejected(options: tuple[str, ...], tmp_path: Path) -> None:
    where = ("--data-dir", tmp_path / "data")
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"id": "x", "text": " "}\n')
    done = search("ingest", bad, *options, *where, status=1)
    assert "0 added" in done.stdout
    assert "1 rejected" in done.stdout
    assert "there is no collection 'documents'" in error("query", "anything", *where)
    assert as_json("collections", "list", *where)["collections"] == []
    bad.write_text('{"id": "x", "text": "Good."}\n')
    assert as_json("ingest", bad, *where)["added"] == 1


def test_a_full_disk_under_the_file_of_rejects_is_told_and_loses_nothing(folder: Path, tmp_path: Path) -> None:
    where = ("--data-dir", tmp_path / "data")
    (folder / "bad.jsonl").write_text('{"id": "x", "text": " "}\n')
    rejects = tmp_path / "rejects.jsonl"
    (tmp_path / "rejects.jsonl.unfinished").symlink_to("/dev/full")
    message = search("ingest", folder, "--rejects", rejects, *where, status=1).stderr.splitlines()[-1]
    assert message.startswith(f"search: the file of rejects cannot be written to {rejects}: No space left on device; name another")
    (tmp_path / "rejects.jsonl.unfinished").unlink()
    done = as_json("ingest", folder, "--rejects", rejects, *where)
    assert (done["added"] + done["unchanged"], done["rejected"]) == (4, 1)
    assert json.loads(rejects.read_text())["rejected"]["document_id"] == "x"


def test_a_fault_of_a_server_over_grpc_ends_the_run_and_rejects_no_good_document(
    folder: Path, tmp_path: Path, standin: QdrantStandIn, standin_grpc: GrpcStandIn, model_folder: Path
) -> None:
    """Though it meets the same document whenever that is written, as where one shard of several is broken."""
    server = standin.environment | {"SEARCH_INDEX__PROTOCOL": "grpc", "SEARCH_INDEX__GRPC_PORT": str(standin_grpc.port)}
    environment = server | {"SEARCH_EMBEDDER__MODEL": str(model_folder / "embedder-mean"), "SEARCH_INGESTION__PATIENCE_S": "0"}
    answer = standin.answer

    def failing(method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        points = body["points"] if (method, path.endswith("/points")) == ("PUT", True) else []
        if any(point["payload"].get("document_id") == "notes/c.md" for point in points):
            return 500, "Service internal error: 1 of 2 operations failed"
        return answer(method, path, body)

    standin.answer = failing  # type: ignore[method-assign]
    rejects = tmp_path / "rejects.jsonl"
    failed = search("ingest", folder, "--rejects", rejects, status=1, **environment)
    assert "failed on the request (INTERNAL): Service internal error: 1 of 2 operations failed; try again" in failed.stderr
    assert "rejected" not in failed.stdout + failed.stderr
    assert not rejects.exists()
    standin.answer = answer  # type: ignore[method-assign]
    done = as_json("ingest", folder, **environment)
    assert (done["added"], done["rejected"]) == (4, 0)


def test_encodings_and_columns(tmp_path: Path) -> None:
    where = ("--data-dir", tmp_path / "data")
    (tmp_path / "old.txt").write_bytes("Das Café ist schön.".encode("cp1252"))
    done = search("ingest", tmp_path / "old.txt", *where)
    assert "1 document is not in UTF-8 and was read as cp1252 (metadata.encoding)\n" in done.stderr
    (tmp_path / "t.csv").write_text("nr;body\n7;Gulls cry.\n")
    search("ingest", tmp_path / "t.csv", "--field", "id=nr", "--field", "text=body", *where)
    assert as_json("query", "What cries?", *where)["hits"][0]["document_id"] == "7"
    (tmp_path / "u.csv").write_text("Of 2020\n\nid,text,n\n8,Owls hoot.,1\n9,Owls sleep.\n")
    told = search("ingest", tmp_path / "u.csv", *where).stderr
    assert f"is the first of a table with lines above the header, which are not read\n  8 ({tmp_path.name}/u.csv:4): 1\n" in told
    assert "is the first of a table with rows without their last columns, which are taken as empty\n  8 (" in told
    assert "write NAME=COLUMN" in wrong("ingest", tmp_path / "t.csv", "--field", "nr", *where)
    assert "'nr' is no field" in wrong("ingest", tmp_path / "t.csv", "--field", "nr=id", *where)
    assert "there is no encoding 'x'" in wrong("ingest", tmp_path / "t.csv", "--encoding", "x", *where)


def test_one_is_a_document_and_a_share_has_a_point_or_a_percent_sign(folder: Path, tmp_path: Path) -> None:
    where = ("--data-dir", tmp_path / "data")
    search("ingest", folder, *where)
    for name in ("b", "c", "d"):
        (folder / f"{name}.md").unlink()
    for amount in ("1", "0.5", "50%"):
        assert "3 documents were not removed" in search("ingest", folder, "--sync", "--max-delete", amount, *where, status=1).stderr
    for amount in ("1.0", "100%"):
        assert " 3 removed" in search("ingest", folder, "--sync", "--dry-run", "--max-delete", amount, *where).stdout


@pytest.mark.parametrize("amount", ["many", "2.5", "%", "150%", "nan", "inf%", "-1", "9" * 5000])
def test_amounts_that_are_none(amount: str, folder: Path) -> None:
    assert "write a number of documents, such as 50, or a share, such as 20%" in wrong("ingest", folder, "--max-delete", amount)


def test_deleting(folder: Path, tmp_path: Path) -> None:
    where = ("--data-dir", tmp_path / "data")
    search("ingest", folder, *where)
    title = '{"must": [{"key": "title", "match": {"value": "About b"}}]}'
    assert search("delete", "--filter", title, "--dry-run", *where).stdout == "- notes/b.md\nwould be: 1 removed\n"
    done = search("delete", "notes/a.md", "nobody", "notes/x.md", "nobody", *where)
    assert (done.stdout, done.stderr) == ("1 removed\n", "2 documents are not there: nobody, notes/x.md\n")
    with patch("search.index.edge.shard._LEAST", 1):
        done = search("delete", "--filter", title, "--json", *where)
    answer = json.loads(done.stdout)
    assert done.stderr == "building the graph of 2 passages, without what was removed\n"
    assert answer == {"removed": 1, "dry_run": False, "document_ids": ["notes/b.md"], "not_found": [], "warnings": []}
    assert "name the documents that are meant" in wrong("delete", *where)
    assert "there is no collection 'other'" in error("delete", "x", "--collection", "other", *where)
    with open_search(Settings(data_dir=tmp_path / "data")) as searcher:
        full = patch.object(EdgeIndex, "_check_building", side_effect=IndexFull)
        with patch("search.index.edge.shard._LEAST", 1), full as checked:
            assert searcher.delete(ids=["notes/c.md"]) == 1  # which makes room, and does not fail for want of it
        assert checked.called
        assert searcher.ingest([Document(id="notes/d.md", text="Only this.")], sync=True).removed == 0
        assert [hit.document_id for hit in searcher.search("what?").hits] == ["notes/d.md"]


def test_the_best_passage_of_each_document(tmp_path: Path) -> None:
    where = ("--data-dir", tmp_path / "data")
    (tmp_path / "a.md").write_text("# Cats\n\nCats sleep.\n\n## Food\n\nCats eat mice.\n\n# Dogs\n\nDogs bark.\n")
    search("ingest", tmp_path / "a.md", *where)
    hits = as_json("query", "What do cats eat?", *where)["hits"]
    assert [hit["headings"] for hit in hits][:1] == [["Cats", "Food"]]
    assert len(hits) == 3
    assert len(as_json("query", "What do cats eat?", "--group-by", "document", *where)["hits"]) == 1
    dogs = '{"must": [{"key": "headings", "match": {"value": "Dogs"}}]}'
    assert [hit["text"] for hit in as_json("query", "x", "--filter", dogs, *where)["hits"]] == ["# Dogs\n\nDogs bark."]
    new = '{"must": [{"key": "modified", "range": {"gt": 1000000000}}, {"key": "media_type", "match": {"value": "text/markdown"}}]}'
    assert len(as_json("query", "x", "--filter", new, *where)["hits"]) == 3
    assert "'x' is not one of 'document'" in search("query", "x", "--group-by", "x", *where, status=2).stderr


def test_a_table_as_it_is_and_a_filter_by_what_stands_in_it(tmp_path: Path) -> None:
    where = ("--data-dir", tmp_path / "data")
    (tmp_path / "parts.csv").write_text("name,description,zip,price\nBolt,Holds.,01234,2\nNut,Holds bolts.,12345,0.5\n")
    assert as_json("ingest", tmp_path / "parts.csv", *where)["added"] == 2
    by_zip = '{"must": [{"key": "metadata.zip", "match": {"value": "01234"}}]}'
    assert [hit["title"] for hit in as_json("query", "x", "--filter", by_zip, *where)["hits"]] == ["Bolt"]
    cheap = '{"must": [{"key": "metadata.price", "range": {"lt": 1}}]}'
    hits = as_json("query", "x", "--filter", cheap, *where)["hits"]
    assert [(hit["document_id"], hit["metadata"]) for hit in hits] == [
        (f"{tmp_path.name}/parts.csv#2", {"zip": "12345", "price": 0.5})
    ]
    assert as_json("ingest", tmp_path / "parts.csv", *where)["unchanged"] == 2


def test_what_readers_remark_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.txt").write_bytes("The harbour \u2014 it is deep \u2014 lies north. ".encode() * 30 + b"\x9d of it.")
    (folder / "b.pptx").write_bytes(pptx([("Top", "Text")], {"ppt/charts/chart1.xml": "<c/>"}))
    (folder / "c.png").write_bytes(b"\x89PNG\0")
    (folder / "d.csv").write_text("metadata\n1\n")
    where = ("--data-dir", tmp_path / "data")
    done = search("ingest", folder, "--as", "text", "--json", *where)
    assert json.loads(done.stdout)["left_out"] == [str(folder / "b.pptx"), str(folder / "c.png")]
    assert "left out 2 files (1 .pptx, 1 .png), such as" in done.stderr
    assert "1 document holds bytes that are no UTF-8, in whose place a mark stands (metadata.replaced_characters)\n" in done.stderr
    assert "1 document has charts, which are not read (metadata.charts_left_out)\n" in search("ingest", folder, *where).stderr
    assert "there is no kind of file 'x'" in wrong("ingest", folder, "--as", "x", *where)
    (folder / "d.docx").write_bytes(docx([("", "Text")], {"word/comments.xml": b"<w:comments><w:comment /></w:comments>"}))
    workbook = io.BytesIO(xlsx({"Sheet1": [["id", "text"], ["a", "One."], ["b", "Two."]]}))
    with zipfile.ZipFile(workbook, "a") as archive:
        archive.writestr("xl/threadedComments/threadedComment1.xml", "<threadedComment />")
    (folder / "e.xlsx").write_bytes(workbook.getvalue())
    told = search("ingest", folder, *where).stderr
    assert "1 document has comments, which are not read (metadata.comments_left_out)\n" in told
    assert "1 document is the first of a spreadsheet with comments, which are not read (metadata.comments_left_out)\n" in told


@pytest.fixture
def remarkable(tmp_path: Path) -> Path:
    """Files of which readers leave something out, each in another way, and two that only say so in words of their own."""
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "report.pdf").write_bytes(scanned([*["One.", "Two.", "", "Four.", "Five.", "Six."], *[""] * 3, "Ten."]))
    (folder / "long.pdf").write_bytes(scanned(["One.", *[""] * 30]))
    for number in range(6):
        (folder / f"scan{number}.pdf").write_bytes(scanned([f"{number}.", ""]))
    (folder / "a.pptx").write_bytes(pptx([("Top", "Text")], {f"ppt/charts/chart{number}.xml": "<c/>" for number in (1, 2)}))
    (folder / "b.pptx").write_bytes(pptx([("Top", "Text")], {"ppt/diagrams/data1.xml": "<c/>"}))
    (folder / "c.docx").write_bytes(docx([("", "Text")], {"word/comments.xml": b"<w:comments><w:comment /></w:comments>"}))
    workbook = io.BytesIO(xlsx({"Sheet1": [["id", "text"], ["a", "One."], ["b", "Two."]]}))
    with zipfile.ZipFile(workbook, "a") as archive:
        archive.writestr("xl/threadedComments/threadedComment1.xml", "<threadedComment />")
    (folder / "d.xlsx").write_bytes(workbook.getvalue())
    (folder / "e.txt").write_bytes("The harbour \u2014 it is deep \u2014 lies north. ".encode() * 30 + b"\x9d of it.")
    (folder / "f.txt").write_bytes("Die Kühe stehen “draußen” vor der Tür und fressen Gräser. ".encode("cp1252") * 9)
    (folder / "f.csv").write_bytes("id;text\n1;Die Kühe stehen draußen.\n2;Gräser.\n".encode("cp1252"))
    (folder / "g.csv").write_text("number\n" + "".join(f"{number}\n" for number in range(200_000)))
    pages = "".join(f'<item id="{name}" href="{name}.xhtml" media-type="application/xhtml+xml"/>' for name in ("c0", "gone"))
    package = f'<package><manifest>{pages}</manifest><spine><itemref idref="c0"/><itemref idref="gone"/></spine></package>'
    (folder / "g.epub").write_bytes(epub("T", ["<p>Here.</p>"], {"book.opf": package}))
    (folder / "h.md").write_text("---\nencoding: of the title\npages_without_text: [3]\n---\nText.\n")
    (folder / "i.json").write_text('{"encoding": "none", "text": "Text.", "comments_left_out": 5}')
    return folder


REMARKED = {
    "pages_without_text": 8,
    "missing_pages": 1,
    "charts_left_out": 1,
    "diagrams_left_out": 1,
    "comments_left_out": 2,
    "replaced_characters": 1,
    "encoding": 2,
    "rows_left_out": 1,
}


@pytest.mark.parametrize("prefix", ["", "two/"])
def test_a_run_names_documents_and_pages_of_which_something_is_left_out(prefix: str, remarkable: Path, tmp_path: Path) -> None:
    where = ("--data-dir", tmp_path / "data", *(("--prefix", prefix) if prefix else ()))
    done = search("ingest", remarkable, "--json", *where)
    told = done.stderr
    papers = f"{prefix}papers"
    assert (
        "8 documents have pages that are pictures; recognise their text first (OCR) (metadata.pages_without_text)\n"
        f"  {papers}/long.pdf: pages 2\u201331\n"
        f"  {papers}/report.pdf: pages 3, 7\u20139\n"
        f"  {papers}/scan0.pdf: page 2\n"
        f"  {papers}/scan1.pdf: page 2\n"
        f"  {papers}/scan2.pdf: page 2\n"
        "  … and 3 more documents; --json names them all\n"
    ) in told
    assert f"1 document lacks pages that it names (metadata.missing_pages)\n  {papers}/g.epub: 1\n" in told
    assert f"1 document has charts, which are not read (metadata.charts_left_out)\n  {papers}/a.pptx: 2\n" in told
    assert f"1 document has diagrams, which are not read (metadata.diagrams_left_out)\n  {papers}/b.pptx: 1\n" in told
    assert f"1 document has comments, which are not read (metadata.comments_left_out)\n  {papers}/c.docx: 1\n" in told
    first = "1 document is the first of a spreadsheet with comments, which are not read (metadata.comments_left_out)\n"
    assert f"{first}  {prefix}a ({papers}/d.xlsx#Sheet1:2): 1\n" in told
    assert f"in whose place a mark stands (metadata.replaced_characters)\n  {papers}/e.txt: 1\n" in told
    assert f"1 document is not in UTF-8 and was read as cp1252 (metadata.encoding)\n  {papers}/f.txt\n" in told
    assert f"is the first of a table that is not in UTF-8 and was read as cp1252\n  {prefix}1 ({papers}/f.csv:2)\n" in told
    assert f"more rows than one document holds, which are left out (metadata.rows_left_out)\n  {papers}/g.csv: " in told
    report = json.loads(done.stdout)
    assert report["remarked"] == REMARKED
    assert len(report["remarks"]) == sum(REMARKED.values())
    found = {(one["kind"], one["source"]): one["found"] for one in report["remarks"] if one["document_id"].startswith(papers)}
    assert found["pages_without_text", f"{papers}/report.pdf"] == [3, 7, 8, 9]
    assert found["pages_without_text", f"{papers}/long.pdf"] == list(range(2, 32))
    assert found["encoding", f"{papers}/f.txt"] == "cp1252"
    assert (found["charts_left_out", f"{papers}/a.pptx"], found["replaced_characters", f"{papers}/e.txt"]) == (2, 1)
    assert as_json("ingest", remarkable, "--dry-run", *where)["remarks"] == report["remarks"]  # though nothing is new
    with open_search(Settings(data_dir=tmp_path / "data")) as searcher:
        assert searcher.get(f"{papers}/long.pdf").metadata["pages_without_text"] == list(range(2, 22))  # in every passage
        counted = searcher.ingest(read(remarkable / "report.pdf"), dry_run=True)
    assert counted.remarks == (Remark("pages_without_text", "papers/report.pdf", "papers/report.pdf", [3, 7, 8, 9]),)


def test_links_that_are_left_out_are_named_in_json_too(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.md").write_text("Text.")
    (folder / "link.md").symlink_to(tmp_path / "elsewhere.md")
    assert as_json("ingest", folder, "--data-dir", tmp_path / "data")["outside"] == [str(folder / "link.md")]


def test_words_of_the_settings_that_a_collection_does_not_take_are_noted(folder: Path, tmp_path: Path) -> None:
    where = ("--data-dir", tmp_path / "data")
    other: dict[str, Any] = {"SEARCH_LEXICAL__LANGUAGE": "german", "SEARCH_LEXICAL__FIELDS": '["metadata.isbn"]'}
    assert search("ingest", folder, "--dry-run", *where, **other).stderr == ""
    assert search("ingest", folder, *where).stderr == ""

    def kept(*names: str) -> str:
        told = " and ".join(names)
        return f"note: the collection keeps how it was made, not {told} of the settings; `search reindex` brings it over\n"

    commands = (("ingest", folder), ("ingest", folder, "--dry-run"), ("query", "text"), ("query", "text", "--json"))
    changed = ("lexical.language", "lexical.fields")
    for command in commands:
        assert search(*command, *where, **other).stderr == kept(*changed)
        assert search(*command, *where, SEARCH_LEXICAL__MODEL="none").stderr == kept("lexical.model")
        assert search(*command, *where, SEARCH_LEXICAL__SHARE="0.5").stderr == ""
    assert search("context", "text", *where, **other).stderr.startswith(kept(*changed))
    assert search("query", "text", *where, **other, SEARCH_STORAGE__HNSW_M="8").stderr == kept("storage.hnsw_m", *changed)
    otherwise = "made otherwise than lexical.language and lexical.fields of the settings (search reindex brings it over)"
    assert otherwise in search("doctor", *where, **other).stdout
    search("reindex", *where, **other)
    assert search("ingest", folder, *where, **other).stderr == search("query", "text", *where, **other).stderr == ""
    assert "made otherwise" not in search("doctor", *where, **other).stdout


OTHER_WORDS = (
    "note: the collection keeps how it was made, not lexical (words of this version) of the settings; "
    "`search reindex` brings it over\n"
)


def test_words_of_another_version_are_noted_where_passages_are_found_by_vectors(tmp_path: Path) -> None:
    with open_search(Settings(data_dir=tmp_path / "data")) as searcher:
        spec = CollectionSpec(searcher.embedder.dimension, searcher.embedder.fingerprint, lexical='{"version": 99}')
        searcher.index.ensure(spec, create=True)
    told = search("query", "text", "--retrieval", "dense", "--data-dir", tmp_path / "data").stderr
    assert told == OTHER_WORDS


def test_words_of_the_first_version_are_noted_and_kept(folder: Path, tmp_path: Path) -> None:
    with open_search(Settings(data_dir=tmp_path / "data")) as searcher:
        lexical = searcher.words.description.replace('"version": 3', '"version": 1')
        searcher.index.ensure(CollectionSpec(searcher.embedder.dimension, searcher.embedder.fingerprint, lexical), create=True)
    where = ("--data-dir", tmp_path / "data")
    assert search("ingest", folder, *where).stderr == OTHER_WORDS
    found = search("query", "text", "--retrieval", "lexical", *where)
    assert (found.stderr, found.stdout[:3]) == (OTHER_WORDS, "  1")
    assert "made otherwise than lexical (words of this version) of the settings" in search("doctor", *where).stdout
    serve = [str(Path(sys.executable).parent / "search"), "serve", "--port", "0", *map(str, where)]
    shared = {**os.environ, "SEARCH_TENANT_FIELD": "metadata.customer"}  # of all tenants, for none alone
    with subprocess.Popen(serve, stderr=subprocess.PIPE, text=True, env=shared) as process:
        assert process.stderr
        said = list(takewhile(lambda line: not line.startswith("listening on "), process.stderr))
        process.terminate()
    assert OTHER_WORDS in said
    assert process.returncode == 0, said
    search("reindex", *where)
    assert search("query", "text", *where).stderr == ""


def test_storage_of_the_settings_that_a_collection_does_not_take_is_noted(folder: Path, tmp_path: Path) -> None:
    where = ("--data-dir", tmp_path / "data")
    other: dict[str, Any] = {"SEARCH_STORAGE__QUANTIZATION": "scalar", "SEARCH_STORAGE__HNSW_M": "24"}
    assert search("ingest", folder, "--dry-run", *where, **other).stderr == ""
    assert search("ingest", folder, *where).stderr == ""
    kept = (
        "note: the collection keeps how it was made, not storage.quantization and storage.hnsw_m of the settings; "
        "`search reindex` brings it over\n"
    )
    for command in (("ingest", folder), ("ingest", folder, "--dry-run"), ("query", "text"), ("query", "text", "--json")):
        assert search(*command, *where, **other).stderr == kept
    assert search("context", "text", *where, **other).stderr.startswith(kept)
    otherwise = "made otherwise than storage.quantization and storage.hnsw_m of the settings (search reindex brings it over)"
    assert otherwise in search("doctor", *where, **other).stdout
    search("reindex", *where, **other)
    assert search("ingest", folder, *where, **other).stderr == search("query", "text", *where, **other).stderr == ""
    assert "made otherwise" not in search("doctor", *where, **other).stdout


def test_what_is_rejected_for_one_reason_is_known_as_such_by_any_id(capsys: pytest.CaptureFixture[str]) -> None:
    with noting_rejections("all of them") as tell:
        for number, name in enumerate("abcdefgh", 1):
            tell(Rejection("a.json", number, name, f"document {name!r} has no text"))
    lines = capsys.readouterr().err.splitlines()
    assert (len(lines), lines[-1]) == (6, "rejected 3 more: document '…' has no text (all of them)")


def test_of_what_is_rejected_for_one_reason_a_few_are_named(tmp_path: Path) -> None:
    """Whoever runs it again and again reads no hundred lines that say the same."""
    folder, rejects = tmp_path / "notes", tmp_path / "rejects.jsonl"
    folder.mkdir()
    (folder / "py.typed").touch()
    (folder / "a.json").write_text(json.dumps(["// comment", *({"text": f"Of {at}."} for at in range(9)), *range(8)]))
    for at in range(7):
        (folder / f"{at}.txt").touch()
    where = ("--data-dir", tmp_path / "data")
    done = search("ingest", folder, "--rejects", rejects, *where)
    lines = done.stderr.splitlines()
    assert sum("not an object but int" in line for line in lines) == 6
    assert f"rejected 3 more: not an object but int ({rejects} has each)" in lines
    empty = "rejected 2 more: document '…' has no text; leave it out or give it some (--rejects FILE has each)"
    assert empty in search("ingest", folder, *where).stderr
    assert (len(rejects.read_text().splitlines()), "15 rejected" in done.stdout) == (15, True)
    assert lines[0].startswith(f"left out 1 file (1 .typed), such as {folder / 'py.typed'}: ")
    told = "1 document is the first of a file with strings beside objects, which are left out"
    assert told in done.stderr
