"""One writer at a time, also among machines, and a dead one keeps nobody waiting for long."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standin import Fault, QdrantStandIn

from search.documents import Document
from search.errors import IndexBusy
from search.index.server import lease
from search.index.server.lease import Lease
from search.ingestion.reindexing import lead
from search.searcher import Searcher, open_search
from search.settings import Settings


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease that is renewed, watched and given up in a tenth of the time."""
    for name in ("_RENEWED_EVERY_S", "_DEAD_AFTER_S", "_LOOKED_AT_EVERY_S"):
        monkeypatch.setattr(lease, name, getattr(lease, name) / 10)


def opened(server: QdrantStandIn, model_folder: Path) -> Searcher:
    index = {"engine": "qdrant", "url": server.url}
    return open_search(Settings(index=index, embedder={"model": str(model_folder / "embedder-mean")}, reranker={"kind": "none"}))


def slowly(begun: threading.Event, end: threading.Event) -> Iterator[Document]:
    yield Document(id="a", text="The first.")
    begun.set()
    assert end.wait(30)
    yield Document(id="b", text="The second.")


@pytest.mark.usefixtures("quickly")
def test_of_two_that_ingest_one_wins_and_the_other_says_so(standin: QdrantStandIn, model_folder: Path) -> None:
    begun, end = threading.Event(), threading.Event()
    reports: list[Any] = []
    with opened(standin, model_folder) as first, opened(standin, model_folder) as second:
        thread = threading.Thread(target=lambda: reports.append(first.ingest(slowly(begun, end))))
        thread.start()
        assert begun.wait(30)
        for refused in (
            lambda: second.ingest([Document(id="c", text="x")]),
            lambda: second.delete(ids=["a"]),
            second.reindex,
            lambda: lead(second.collections, "documents", "documents.v1"),
        ):
            with pytest.raises(IndexBusy, match=rf"is being written to by process {os.getpid()} on .*: wait until it is done"):
                refused()
        assert second.ingest([Document(id="c", text="x")], dry_run=True).added == 1
        end.set()
        thread.join()
        assert reports[0].added == 2
        assert second.ingest([Document(id="c", text="x")]).added == 1


HOLD = """
import sys, time
from search import Document, Settings, open_search
def documents():
    yield Document(id="a", text="x")
    print("begun", flush=True)
    time.sleep(60)
    yield Document(id="b", text="y")
with open_search(Settings(reranker={"kind": "none"})) as searcher:
    searcher.ingest(documents())
"""


@pytest.mark.usefixtures("quickly")
def test_a_dead_writer_is_succeeded(standin: QdrantStandIn, model_folder: Path) -> None:
    environment = {
        **os.environ,
        "SEARCH_INDEX__ENGINE": "qdrant",
        "SEARCH_INDEX__URL": standin.url,
        "SEARCH_EMBEDDER__MODEL": str(model_folder / "embedder-mean"),
    }
    with subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGKILL)
    started = time.monotonic()
    with opened(standin, model_folder) as searcher:
        assert searcher.ingest([Document(id="a", text="x")]).added == 1
    assert time.monotonic() - started > lease._DEAD_AFTER_S


class Board:
    """Where a note stands."""

    def __init__(self) -> None:
        self.note: dict[str, Any] = {}

    def lease(self) -> Lease:
        return Lease("it", self)

    def read(self) -> dict[str, Any]:
        return dict(self.note)

    def put(self, note: dict[str, Any], instead_of: dict[str, Any]) -> None:
        if self.note == instead_of:
            self.note = note


@pytest.mark.usefixtures("quickly")
def test_who_was_away_too_long_is_told() -> None:
    """As when a machine sleeps: its note stands still, another one takes over, and it wakes up."""
    board = Board()
    with board.lease() as held:
        held.check()
        board.note = {"claim": "another", "who": "process 7 on elsewhere", "beat": 0, "number": 2}
        deadline = time.monotonic() + 5
        while not held._lost and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(IndexBusy, match="written to by process 7 on elsewhere now"):
            held.check()
    assert board.note["claim"] == "another"  # which is let be


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["search", "ingest", "notes"], "search ingest"),
        (["fill.py", "--key=s3cret"], "fill.py"),
        (["fill.py", "http://user:s3cret@host"], "fill.py"),
        (["fill.py", "s3cret"], "fill.py"),
        (["search", "--data-dir=x"], "search"),
        ([], ""),
    ],
)
def test_a_note_shows_nothing_secret(arguments: list[str], shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", arguments)
    board = Board()
    with board.lease():
        assert board.note["who"].endswith(f" ({shown})")


def test_two_that_write_a_note_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board()
    other = {"claim": "other", "who": "process 8", "beat": 0, "number": 1}
    put = board.put

    def second(note: dict[str, Any], instead_of: dict[str, Any]) -> None:
        put(other, instead_of)
        put(note, instead_of)

    monkeypatch.setattr(board, "put", second)
    with pytest.raises(IndexBusy, match="being written to by process 8"), board.lease():
        pytest.fail("both thought that they had won")


@pytest.mark.usefixtures("quickly")
def test_a_claim_outlives_a_server_that_fails(standin: QdrantStandIn, model_folder: Path) -> None:
    begun, end = threading.Event(), threading.Event()
    with opened(standin, model_folder) as searcher:
        thread = threading.Thread(target=lambda: searcher.ingest(slowly(begun, end)))
        thread.start()
        assert begun.wait(30)
        standin.faults += [Fault(503)] * 3
        deadline = time.monotonic() + 20
        while standin.faults and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not standin.faults
        end.set()
        thread.join()
        assert searcher.index.count() == 2
