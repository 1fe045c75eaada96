"""The command that reports near-duplicates, and removes them when it is told to."""

from pathlib import Path

import pytest
from commands import as_json, error, search
from qdrant_client import QdrantClient
from standin import QdrantStandIn
from theirs import LAYOUTS, fill, on

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


def documents(data_dir: Path) -> set[str]:
    with open_search(Settings(data_dir=data_dir)) as searcher:
        return {hit.document_id for hit in searcher.search("cats", limit=10, rerank=False).hits}


def test_a_report_removes_nothing(data_dir: Path, tmp_path: Path) -> None:
    for dry in ((), ("--dry-run",)):
        done = search("dedupe", "--data-dir", data_dir, "--html", tmp_path / "found.html", *dry)
        assert "= " in done.stdout
        assert "- " in done.stdout
        assert "same  b\\x1b: CATS SLEEP" in done.stdout
        assert "1 near-duplicates in 1 clusters" in done.stdout
        assert "nothing was removed; --delete removes" in done.stdout
    assert (tmp_path / "found.html").read_text().startswith("<!doctype html>")
    told = as_json("dedupe", "--data-dir", data_dir)
    assert (told["dry_run"], told["duplicates"], told["documents"]) == (True, 1, 3)
    assert documents(data_dir) == {"a", "b\x1b", "c"}


def test_delete_removes_all_but_the_representatives(data_dir: Path) -> None:
    told = error("dedupe", "--data-dir", data_dir, "--delete")
    assert "nobody can answer here" in told
    assert "add --yes" in told
    assert documents(data_dir) == {"a", "b\x1b", "c"}
    assert "1 removed" in search("dedupe", "--data-dir", data_dir, "--delete", "--yes").stdout
    assert documents(data_dir) == {"a", "c"}
    assert as_json("dedupe", "--data-dir", data_dir, "--delete", "--yes")["duplicates"] == 0


def test_delete_asks_on_a_terminal(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.cli.dedupe._can_ask", lambda: True)
    done = search("dedupe", "--data-dir", data_dir, "--delete", stdin="n\n", status=1)
    assert "Remove 1 documents from documents for good?" in done.stderr
    assert documents(data_dir) == {"a", "b\x1b", "c"}
    assert "1 removed" in search("dedupe", "--data-dir", data_dir, "--delete", stdin="y\n").stdout
    assert documents(data_dir) == {"a", "c"}


@pytest.mark.parametrize("threshold", ["0", "1.5", "-1", "nan"])
def test_thresholds_out_of_range(threshold: str, data_dir: Path) -> None:
    assert "threshold is" in error("dedupe", "--data-dir", data_dir, f"--threshold={threshold}", "--delete", "--yes")
    assert documents(data_dir) == {"a", "b\x1b", "c"}


def test_a_page_that_cannot_be_written_removes_nothing(data_dir: Path, tmp_path: Path) -> None:
    told = error("dedupe", "--data-dir", data_dir, "--delete", "--yes", "--html", tmp_path / "nowhere" / "found.html")
    assert "cannot be written" in told
    assert "nothing was removed" in told
    assert documents(data_dir) == {"a", "b\x1b", "c"}


def test_files_are_compared_without_a_collection(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text(CATS)
    (tmp_path / "notes" / "b.md").write_text(f"*{CATS.lower()}*")
    told = as_json("dedupe", tmp_path / "notes", SEARCH_DATA_DIR=str(tmp_path / "data"))
    assert told["duplicates"] == 1
    assert not (tmp_path / "data").exists()
    assert "removes documents from a collection, never files" in error("dedupe", tmp_path / "notes", "--delete", "--yes")
    (tmp_path / "empty").mkdir()
    error("dedupe", tmp_path / "empty")


def test_collections_of_other_programs_are_only_read(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    payload, vector, _ = LAYOUTS["LangChain"]
    fill(client, bundled_embedder, payload, vector)
    settings = on(standin, tmp_path)
    before = len(standin.requests)
    with open_search(settings) as searcher:
        found = searcher.duplicates()
    assert found.documents == 10
    environment = {"SEARCH_INDEX__ENGINE": "qdrant", "SEARCH_INDEX__URL": standin.url, "SEARCH_COLLECTION": settings.collection}
    told = error("dedupe", "--delete", "--yes", **environment)
    assert "made by another program, and is only read" in told
    read = ("/query/batch", "/scroll", "/count")
    assert [one for one in standin.requests[before:] if not one.startswith("GET ") and not one.endswith(read)] == []
