"""The command that reports near-duplicates, and removes what is certain when it is told to."""

import os
import pty
import subprocess
from pathlib import Path

import pytest
from commands import COMMAND, as_json, error, search, wrong
from qdrant_client import QdrantClient
from standin import QdrantStandIn
from theirs import LAYOUTS, fill, on
from upstream import everywhere

from search import Document, Settings, open_search
from search.embedding.dense import FastEmbedEmbedder

CATS = "Cats sleep for most of the day, wherever it is warm, and hunt mice in the barn at night. Nobody has taught them how."


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
    done = search("dedupe", "--delete", "--yes", "--data-dir", with_a_copy)
    assert "1 stay, since its text differs in case: b\\x1b" in done.stdout
    assert done.stdout.endswith("1 removed; what is ingested again comes back\n")
    assert documents(with_a_copy) == {"a", "b\x1b", "c"}
    assert as_json("dedupe", "--delete", "--yes", "--data-dir", with_a_copy)["removed"] == []
    none = search("dedupe", "--data-dir", with_a_copy).stdout
    assert "nothing was removed; --delete removes none of them\n1 stay, since its text differs in case: b\\x1b" in none
    for option in (("--delete-near", "1"), ("--any-metadata",), ("--yes",)):
        assert "never files" in wrong("dedupe", with_a_copy, *option)


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
