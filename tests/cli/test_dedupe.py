"""The command that reports near-duplicates, and removes what is certain when it is told to."""

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from commands import COMMAND, as_json, error, search, wrong
from qdrant_client import QdrantClient
from standin import QdrantStandIn
from theirs import LAYOUTS, fill, on
from upstream import everywhere

from search import Document, Settings, open_search
from search.embedding.dense import FastEmbedEmbedder

CATS = "Cats sleep for most of the day, wherever it is warm, and hunt mice in the barn at night. Nobody has taught them how."
DOUGH = "Dough rises because yeast makes gas."


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    with open_search(Settings(data_dir=folder)) as searcher:
        searcher.ingest(
            [Document("a", CATS), Document("b\x1b", CATS.upper()), Document("c", "Dough rises because yeast makes gas.")]
        )
    return folder


@pytest.fixture
def with_a_copy(data_dir: Path) -> Path:
    with open_search(Settings(data_dir=data_dir)) as searcher:
        searcher.ingest([Document("copy", f"{CATS}\n")])
    return data_dir


def documents(data_dir: Path) -> set[str]:
    with open_search(Settings(data_dir=data_dir)) as searcher:
        return {hit.document_id for hit in searcher.search("cats", limit=10, rerank=False).hits}


def test_a_report_removes_nothing(data_dir: Path, tmp_path: Path) -> None:
    done = search("dedupe", "--data-dir", data_dir, "--html", tmp_path / "found.html")
    assert "= " in done.stdout
    assert "same  b\\x1b: CATS SLEEP" in done.stdout
    assert "1 near-duplicate in 1 cluster" in done.stdout
    assert (tmp_path / "found.html").read_text().startswith("<!doctype html>")
    told = as_json("dedupe", "--data-dir", data_dir)
    assert (told["duplicates"], told["documents"]) == (1, 3)
    assert documents(data_dir) == {"a", "b\x1b", "c"}


@pytest.mark.parametrize("threshold", ["0", "1.5", "-1", "nan"])
def test_thresholds_out_of_range(threshold: str, data_dir: Path) -> None:
    assert "threshold is" in wrong("dedupe", "--data-dir", data_dir, f"--threshold={threshold}")


def test_a_page_that_cannot_be_written(data_dir: Path, tmp_path: Path) -> None:
    for place in (tmp_path / "nowhere" / "found.html", tmp_path):
        said = error("dedupe", "--data-dir", data_dir / "none", "--html", place)  # whose collection nobody has looked for yet
        assert f"the page cannot be written to {place}" in said
    page = tmp_path / "found.html"
    page.write_text("an earlier one")
    assert "there is no collection" in error("dedupe", "--data-dir", data_dir / "none", "--html", page)
    assert page.read_text() == "an earlier one"


def test_folders_of_one_name_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("one", "two"):
        (tmp_path / place / "docs").mkdir(parents=True)
        (tmp_path / place / "docs" / "a.txt").write_text(CATS)
    monkeypatch.chdir(tmp_path)
    told = as_json("dedupe", "one/docs", "two/docs/a.txt")
    (cluster,) = told["clusters"]
    assert cluster["representative"]["document_id"] == "one/docs/a.txt"
    assert [one["document_id"] for one in cluster["duplicates"]] == ["two/docs/a.txt"]


def names(told: dict[str, Any]) -> set[str]:
    """Of all that a report of one cluster names."""
    (cluster,) = told["clusters"]
    return {one["document_id"] for one in (cluster["representative"], *cluster["duplicates"])}


def test_rows_of_tables_that_number_them_alike_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "old.csv").write_text(f'id,text\n1,"{CATS}"\n2,{DOUGH}\n')
    (tmp_path / "csv" / "new.csv").write_text(f'id,text\n1,Jupiter has many moons.\n2,"{CATS}"\n3,Rivers lead to the sea.\n')
    monkeypatch.chdir(tmp_path)
    for paths in (["csv/old.csv", "csv/new.csv"], ["csv"]):
        told = as_json("dedupe", *paths)
        assert (told["documents"], told["rejected"], told["rejections"], told["notes"]) == (5, 0, [], [])
        assert names(told) == {"csv/old.csv#1", "csv/new.csv#2"}


def test_rows_of_one_file_with_one_id_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [{"id": "1", "text": CATS}, {"text": DOUGH}, {"id": "1", "text": CATS.upper()}, {"id": "2", "text": DOUGH.upper()}]
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    monkeypatch.chdir(tmp_path.parent)
    told = as_json("dedupe", f"{tmp_path.name}/rows.jsonl")
    assert (told["documents"], told["duplicates"]) == (4, 2)
    found = {one["document_id"].removeprefix(f"{tmp_path.name}/") for cluster in told["clusters"] for one in cluster["duplicates"]}
    assert found == {"rows.jsonl:3#1", "rows.jsonl:4#2"}  # since the second line, which has no id, is rows.jsonl#2


def test_what_is_not_compared_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text(CATS)
    (tmp_path / "docs" / "empty.txt").write_text("")
    (tmp_path / "docs" / "old.zip").write_bytes(b"PK")
    (tmp_path / "docs" / "out.txt").symlink_to(tmp_path / "other.txt")
    (tmp_path / "docs" / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    (tmp_path / "other.txt").write_text(CATS)
    monkeypatch.chdir(tmp_path)
    told = as_json("dedupe", "docs", "docs/a.txt", tmp_path / "docs" / "a.txt")
    assert (told["documents"], told["duplicates"], told["rejected"]) == (1, 0, 2)
    reasons = {one["source"]: one["reason"] for one in told["rejections"]}
    assert reasons.keys() == {"docs/empty.txt", "docs/old.zip"}
    assert reasons["docs/old.zip"].endswith("with --archives (an option of search ingest: ingest it, and compare the collection)")
    assert told["notes"] == [
        "1 file was left out (1 .png), such as docs/picture.png: without a text, or named by an ignore file",
        "1 link leads out of its folder, and was left out, such as docs/out.txt; name the file itself to compare it",
        "2 documents were named again, and compared once",
        "2 documents were rejected, and not compared",
    ]
    assert "note: 2 documents were rejected, and not compared\n" in search("dedupe", "docs").stdout
    assert "an option of search ingest" in error("dedupe", "docs/old.zip")


def test_folders_of_one_name_above_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, name in (("a/notes", "x"), ("notes", "x"), ("notes", "z")):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / f"{name}.txt").write_text(CATS)
    monkeypatch.chdir(tmp_path / "a")
    for paths in (["notes", "../notes"], ["notes/x.txt", "../notes/*.txt"], ["notes", "../notes/x.txt", "../notes/z.txt"]):
        assert names(as_json("dedupe", *paths)) == {"notes/x.txt", "../notes/x.txt", "../notes/z.txt"}
    assert names(as_json("dedupe", "..")) == {"../a/notes/x.txt", "../notes/x.txt", "../notes/z.txt"}
    assert names(as_json("dedupe", "../**/x.txt", tmp_path / "notes")) == {
        "../a/notes/x.txt",
        "../notes/x.txt",
        f"{tmp_path}/notes/z.txt",
    }


def test_files_have_the_names_that_they_were_named_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "b" / "b").mkdir(parents=True)
    (tmp_path / "b" / "x.txt").write_text(CATS)
    (tmp_path / "b" / "b" / "x.txt").write_text(CATS)
    (tmp_path / "link").symlink_to(tmp_path / "b" / "b")
    monkeypatch.chdir(tmp_path / "b")
    assert names(as_json("dedupe", ".")) == {"b/x.txt", "b/b/x.txt"}
    assert names(as_json("dedupe", "x.txt", "b")) == {"b/x.txt", f"{tmp_path}/b/b/x.txt"}  # two of one name, of which one has it
    assert names(as_json("dedupe", "x.txt", "../link")) == {"b/x.txt", "../link/x.txt"}
    assert names(as_json("dedupe", tmp_path / "b")) == {f"{tmp_path}/b/x.txt", f"{tmp_path}/b/b/x.txt"}
    assert as_json("dedupe", "b", "../link")["documents"] == 1  # which are one folder


@pytest.mark.parametrize("option", ["--collection", "--tenant", "--data-dir"])
def test_options_of_a_collection_are_none_of_files(option: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(CATS)
    assert f"{option} is of a collection" in wrong("dedupe", tmp_path / "a.txt", option, "other")
    environment = {"SEARCH_COLLECTION": "other", "SEARCH_DATA_DIR": str(tmp_path / "data")}
    assert as_json("dedupe", tmp_path / "a.txt", **environment)["documents"] == 1


def test_files_are_compared_without_a_collection(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text(CATS)
    (tmp_path / "notes" / "b.md").write_text(f"{CATS.lower()}\n")
    told = as_json("dedupe", tmp_path / "notes", SEARCH_DATA_DIR=str(tmp_path / "data"))
    assert told["duplicates"] == 1
    assert not (tmp_path / "data").exists()
    (tmp_path / "empty").mkdir()
    error("dedupe", tmp_path / "empty")


def test_equal_files_are_one_cluster_whatever_their_names(tmp_path: Path) -> None:
    for at in range(60):
        (tmp_path / f"note {at}.txt").write_text(CATS)
    (tmp_path / "edited.txt").write_text(CATS.replace("most", "much"))
    (tmp_path / "other.txt").write_text("Dough rises because yeast makes gas.")
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text("def add(first, second):\n    return first + second\n")
    told = as_json("dedupe", tmp_path, "--threshold", 1)
    assert sorted(len(cluster["duplicates"]) for cluster in told["clusters"]) == [1, 59]


@everywhere
def test_collections_of_other_programs_are_to_be_adopted_first(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    """Since their points do not say how they make a document."""
    payload, vector, _ = LAYOUTS["LangChain"]
    fill(client, bundled_embedder, payload, vector)
    settings = on(standin, tmp_path)
    environment = {**standin.environment, "SEARCH_COLLECTION": settings.collection}
    assert "(search adopt) and compare that" in error("dedupe", **environment)


def test_nothing_is_removed_but_with_delete_and_an_answer(with_a_copy: Path) -> None:
    assert "nothing was removed; --delete removes 1 of them, after asking" in search("dedupe", "--data-dir", with_a_copy).stdout
    planned = as_json("dedupe", "--dry-run", "--data-dir", with_a_copy)
    assert planned["removable"] == [{"document_id": "copy", "instead": "a"}]
    assert "removed" not in planned
    for refused in (("--delete",), ("--delete", "--json")):
        assert "nobody can answer here; look at the report, then add --yes" in error("dedupe", *refused, "--data-dir", with_a_copy)
    assert documents(with_a_copy) == {"a", "b\x1b", "c", "copy"}
    with patch("search.index.edge.shard._LEAST", 1):
        done = search("dedupe", "--delete", "--yes", "--data-dir", with_a_copy)
    assert "building the graph of 3 passages\n" in done.stderr
    assert "1 stay, since its text differs in case: b\\x1b" in done.stdout
    assert done.stdout.endswith("1 removed; what is ingested again comes back\n")
    assert documents(with_a_copy) == {"a", "b\x1b", "c"}
    assert as_json("dedupe", "--delete", "--yes", "--data-dir", with_a_copy)["removed"] == []
    none = search("dedupe", "--data-dir", with_a_copy).stdout
    assert "nothing was removed; --delete removes none of them\n1 stay, since its text differs in case: b\\x1b" in none
    for option in (("--delete-near", "1"), ("--any-metadata",), ("--yes",)):
        assert "never files" in wrong("dedupe", with_a_copy, *option)


def test_what_would_let_copies_with_other_metadata_go_is_said(data_dir: Path) -> None:
    with open_search(Settings(data_dir=data_dir)) as searcher:
        searcher.ingest([Document("d", CATS, metadata={"size (cm)": 1}), Document("e", CATS, metadata={"size (cm)": 2})])
    told = search("dedupe", "--data-dir", data_dir).stdout
    assert "2 stay, since it differs in metadata.size (cm) (--any-metadata lets them go): d, e\n" in told
    assert "1 stay, since its text differs in case: b\\x1b\n" in told
    assert {one["document_id"] for one in as_json("dedupe", "--any-metadata", "--data-dir", data_dir)["removable"]} == {"d", "e"}


def test_others_go_from_a_probability_on_that_is_given(with_a_copy: Path) -> None:
    assert "near is 0.5, below the threshold" in wrong(
        "dedupe", "--delete", "--yes", "--delete-near", 0.5, "--data-dir", with_a_copy
    )
    told = as_json("dedupe", "--delete", "--yes", "--delete-near", 0.99, "--data-dir", with_a_copy)
    assert {one["document_id"] for one in told["removed"]} == {"b\x1b", "copy"}
    assert documents(with_a_copy) == {"a", "c"}


def test_files_are_never_deleted(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(CATS)
    assert "never files" in wrong("dedupe", tmp_path / "a.txt", tmp_path / "b.txt", "--delete", "--yes")
    assert (tmp_path / "b.txt").is_file()


@pytest.mark.parametrize(("answer", "left"), [("n\n", {"a", "b\x1b", "c", "copy"}), ("y\n", {"a", "b\x1b", "c"})])
def test_on_a_terminal_it_asks(answer: str, left: set[str], with_a_copy: Path) -> None:
    ours, theirs = pty.openpty()
    command = [str(COMMAND), "dedupe", "--delete", "--data-dir", str(with_a_copy)]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as asking:
        os.write(ours, answer.encode())
        _, told = asking.communicate(timeout=120)
    os.close(ours)
    os.close(theirs)
    assert b"Remove 1 document from documents for good?" in told
    assert documents(with_a_copy) == left
