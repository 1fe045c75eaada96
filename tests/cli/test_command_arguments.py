"""Bytes on a command line that are no UTF-8, and names that nothing can have: one line that says so, and nothing changed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from search.documents import Document
from search.searcher import open_search
from search.settings import Settings

SEARCH = str(Path(sys.executable).parent / "search")
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
    done = subprocess.run(
        [SEARCH.encode(), *arguments, b"--data-dir", bytes(data_dir)], capture_output=True, check=False, timeout=60
    )
    told = done.stderr.decode()
    assert (done.returncode, told.count("\n")) == (1, 1), told
    assert message in told


def test_metadata_to_set_is_checked(data_dir: Path) -> None:
    for content in (b'{"a": "caf\xff"}', b'{"a": "\\ud800"}', b'{"\\ud800": 1}'):
        command = [SEARCH.encode(), b"update", content, b"a", b"--json", b"--data-dir", bytes(data_dir)]
        done = subprocess.run(command, capture_output=True, check=False, timeout=60)
        assert b"Traceback" not in done.stderr
        assert json.loads(done.stdout)["rejected"] == 1
        assert done.returncode == 1
