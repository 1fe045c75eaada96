"""The command that reports near-duplicates."""

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
    done = search("dedupe", "--data-dir", data_dir, "--html", tmp_path / "found.html")
    assert "= " in done.stdout
    assert "same  b\\x1b: CATS SLEEP" in done.stdout
    assert "1 near-duplicates in 1 clusters" in done.stdout
    assert (tmp_path / "found.html").read_text().startswith("<!doctype html>")
    told = as_json("dedupe", "--data-dir", data_dir)
    assert (told["duplicates"], told["documents"]) == (1, 3)
    assert documents(data_dir) == {"a", "b\x1b", "c"}


@pytest.mark.parametrize("threshold", ["0", "1.5", "-1", "nan"])
def test_thresholds_out_of_range(threshold: str, data_dir: Path) -> None:
    assert "threshold is" in error("dedupe", "--data-dir", data_dir, f"--threshold={threshold}")


def test_a_page_that_cannot_be_written(data_dir: Path, tmp_path: Path) -> None:
    assert "cannot be written" in error("dedupe", "--data-dir", data_dir, "--html", tmp_path / "nowhere" / "found.html")


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


def test_collections_of_other_programs_are_to_be_adopted_first(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    """Since their points do not say how they make a document."""
    payload, vector, _ = LAYOUTS["LangChain"]
    fill(client, bundled_embedder, payload, vector)
    settings = on(standin, tmp_path)
    environment = {"SEARCH_INDEX__ENGINE": "qdrant", "SEARCH_INDEX__URL": standin.url, "SEARCH_COLLECTION": settings.collection}
    assert "(search adopt) and compare that" in error("dedupe", **environment)
