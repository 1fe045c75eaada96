"""Bytes on a command line that are no UTF-8, and names that nothing can have: one line that says so, and nothing changed."""

import json
import os
from pathlib import Path

import pytest
from commands import error, search, search_apart, wrong

from search.documents import Document
from search.searcher import open_search
from search.settings import Settings

HALF = b"caf\xff"  # which Python reads as half of a surrogate pair


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    with open_search(Settings(data_dir=folder)) as searcher:
        searcher.ingest([Document("a", "Cats sleep.")])
    return folder


REFUSED: dict[str, tuple[list[bytes], str]] = {
    "a query": ([b"query", HALF], "the query holds half of a surrogate pair"),
    "a query to explain": ([b"explain", HALF], "the query holds half of a surrogate pair"),
    "an id to delete": ([b"delete", HALF], "ids[0] holds half of a surrogate pair"),
    "an id to update": ([b"update", b'{"a": 1}', HALF], "ids[0] holds half of a surrogate pair"),
    "an alias": ([b"collections", b"alias", HALF, b"documents"], "cannot name a collection"),
    "an alias that is a path": ([b"collections", b"alias", b"../evil", b"documents"], "cannot name a collection"),
    "an alias with a space": ([b"collections", b"alias", b"a b", b"documents"], "cannot name a collection"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_line_says_what_is_wrong(name: str, data_dir: Path) -> None:
    arguments, message = REFUSED[name]
    run = search_apart if name == "a query" else search  # as Python decodes the bytes of a command line
    done = run(*map(os.fsdecode, arguments), "--data-dir", data_dir, status=2)
    assert done.stderr.count("\n") == 1, done.stderr
    assert message in done.stderr


def test_metadata_to_set_is_checked(data_dir: Path) -> None:
    half = "metadata.a holds half of a surrogate pair"
    for content, told in (
        (b'{"a": "caf\xff"}', half),
        (b'{"a": "\\ud800"}', half),
        (b'{"\\ud800": 1}', "strings that UTF-8 can store"),
    ):
        assert told in wrong("update", os.fsdecode(content), "a", "--data-dir", data_dir)


ONE = '{"must": [{"key": "metadata.a", "match": {"value": 1}}]}'
WRONG = {
    "limit is 0": ("query", "x", "--limit", 0),
    "depth 3 is less than limit 5": ("query", "x", "--limit", 5, "--depth", 3),
    "lexical_share is 2": ("query", "x", "--lexical-share", 2),
    "--lexical-share changes nothing of what --replay ranks again": ("explain", "--replay", "x", "--lexical-share", 0.5),
    "min_score is 2": ("context", "x", "--min-score", 2),
    "budget_ms is 0": ("query", "x", "--budget-ms", 0),
    "depth is 0; rerank at least 1 candidate": ("explain", "x", "--depth", 0),
    "depth is -1; rerank at least 1 candidate": ("query", "x", "--depth", -1),
    "depth is more than 2,147,483,647": ("explain", "x", "--depth", 2**31),
    "less than limit 10; raise depth, the number of candidates that hits are chosen from, or lower limit": (
        "query",
        "x",
        "--depth",
        2,
    ),
    "the query is empty": ("query", " "),
    "the filter is not JSON": ("query", "x", "--filter", "["),
    "unknown filter field": ("delete", "--filter", '{"must": [{"key": "x", "match": {"value": 1}}]}'),
    "name the documents that are meant": ("update", '{"a": 1}'),
    "name documents by ids or by a filter, not by both": ("delete", "x", "--filter", ONE),
    "for those of some ids that pass a filter, add to its must": ("update", '{"a": 1}', "x", "--filter", ONE),
    "METADATA is not JSON": ("update", "nothing", "x"),
    "an object with at least one field": ("update", "[]", "x"),
    "--max-delete is '120%'": ("ingest", ".", "--max-delete", "120%"),
    "--field is 'text'": ("ingest", ".", "--field", "text"),
    "there is no encoding": ("ingest", ".", "--encoding", "none"),
    "there is no kind of file": ("ingest", ".", "--as", "none"),
    "the prefix is": ("ingest", ".", "--prefix", "none"),
    "--key is for the service": ("delete", "x", "--key", "y"),
    "cannot be indexed as 'keyword'": ("collections", "index", "a", "b", "keyword"),
    "name the collection that the alias leads to": ("collections", "alias", "a"),
    "cannot name a collection": ("collections", "restore", ".", "--as", "../x"),
    "no collection is called '../x'": ("query", "x", "--collection", "../x"),
    "is no measure": ("evaluate", ".", "--measure", "F1"),
    "write a measure and a number": ("evaluate", ".", "--fail-under", "nDCG@10"),
    "'reranker.weight' is no setting": ("explain", "x", "--with", "reranker.weight"),
    "give a query, or --replay": ("explain",),
    "there is no scope 'b'": ("key", "a", "--scope", "b"),
    "is no address of a service": ("delete", "x", "--url", "ftp://x"),
    "threshold is 2": ("dedupe", "--threshold", 2),
    "--rollback and --anew do not go together": ("reindex", "--rollback", "--anew"),
    "--rollback and --queries do not go together": ("reindex", "--queries", "nothing", "--rollback"),
    "--rollback and --no-check do not go together": ("reindex", "--rollback", "--no-check"),
    "--rollback and --drop-unowned do not go together": ("reindex", "--rollback", "--drop-unowned"),
    "--no-check and --queries do not go together": ("reindex", "--no-check", "--queries", "nothing"),
    "--no-check and --judged do not go together": ("reindex", "--no-check", "--judged", "nothing"),
    "--no-check and --min-overlap do not go together": ("reindex", "--no-check", "--min-overlap", 0),
    "--no-check and --split do not go together": ("reindex", "--no-check", "--split", "dev"),
    "name it with --judged": ("reindex", "--split", "dev"),
    "--judged and --min-overlap do not go together": ("reindex", "--judged", "nothing", "--min-overlap", 0.5),
}
TYPED = [
    ("query", "x", "--retrieval", "dens"),
    ("query", "x", "--group-by", "documents"),
    ("serve", "--log", "xml"),
    ("serve", "--port", 99999),
]


@pytest.mark.parametrize("message", WRONG)
def test_an_argument_that_is_wrong_by_itself_is_wrong_usage(message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH_DATA_DIR", str(tmp_path / "data"))
    assert message in wrong(*WRONG[message])
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("arguments", TYPED)
def test_what_has_names_or_bounds_of_its_own_is_refused_with_them(arguments: tuple[object, ...]) -> None:
    assert "Invalid value for '--" in search(*arguments, status=2).stderr


EMPTY = [
    ("ingest", "-", "--data-dir"),
    ("query", "x", "--data-dir"),
    ("ingest", "-", "--rejects"),
    ("collections", "snapshot", "documents", "--to"),
    ("collections", "restore"),
    ("reindex", "--queries"),
    ("reindex", "--judged"),
    ("evaluate",),
    ("evaluate", ".", "--out"),
    ("evaluate", ".", "--queries"),
    ("evaluate", ".", "--corpus"),
    ("dedupe",),
    ("dedupe", ".", "--html"),
    ("--config",),
    ("export", "."),
    ("export", ".", "x", "--golden"),
    ("explain", "x", "--save"),
    ("explain", "--replay"),
    ("context", "x", "--save"),
    ("context", "x", "--tokenizer"),
    ("citations",),
]


@pytest.mark.parametrize("arguments", EMPTY)
def test_a_path_that_is_empty_is_refused(arguments: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a variable that is not set; it would be the working folder."""
    monkeypatch.chdir(tmp_path)
    for given, message in [("", "the path is empty"), ("~nobody-of-this-name/x", "~nobody-of-this-name has no home folder here")]:
        assert message in " ".join(search(*arguments, given, status=2).stderr.split())
    assert not list(tmp_path.iterdir())


def test_a_tilde_is_the_home_folder(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home" / "queries.txt").parent.mkdir()
    (tmp_path / "home" / "queries.txt").write_text("What sleeps?\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    search("collections", "snapshot", "documents", "--to=~/copy", "--data-dir", data_dir)
    search("collections", "restore", "~/copy", "--data-dir=~/data")
    line = json.dumps({"id": "b", "text": "Dogs bark."}) + "\n{"
    search("ingest", "-", "--rejects=~/rejects", "--data-dir=~/data", stdin=line)
    search("reindex", "--queries=~/queries.txt", "--data-dir=~/data")
    assert {one.name for one in (tmp_path / "home").iterdir()} == {"copy", "data", "queries.txt", "rejects"}
    assert [one.name for one in tmp_path.iterdir()] == ["home"]


def test_what_only_the_collection_knows_is_no_wrong_usage(data_dir: Path) -> None:
    assert "there is no collection 'b'" in error("query", "x", "--collection", "b", "--data-dir", data_dir)
    assert "invalid settings: depth" in error("query", "x", "--collection", "../x", "--data-dir", data_dir, SEARCH_DEPTH="0")
