"""Bytes on a command line that are no UTF-8, and names that nothing can have: one line that says so, and nothing changed."""

import json
import os
from pathlib import Path

import pytest
from commands import search, search_apart

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
    done = run(*map(os.fsdecode, arguments), "--data-dir", data_dir, status=1)
    assert done.stderr.count("\n") == 1, done.stderr
    assert message in done.stderr


def test_metadata_to_set_is_checked(data_dir: Path) -> None:
    for content in (b'{"a": "caf\xff"}', b'{"a": "\\ud800"}', b'{"\\ud800": 1}'):
        done = search("update", os.fsdecode(content), "a", "--json", "--data-dir", data_dir, status=1)
        assert "Traceback" not in done.stderr
        assert json.loads(done.stdout)["rejected"] == 1
