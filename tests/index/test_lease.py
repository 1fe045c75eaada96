"""One writer at a time, also among machines, and a dead one keeps nobody waiting for long."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient, models
from standin import Fault, QdrantStandIn
from upstream import everywhere

from search.documents import Document
from search.errors import IndexBusy, IndexDenied, IndexFailure, IndexGarbled, IndexTimeout
from search.index.server import lease
from search.index.server.lease import Clock, Lease, Metadata
from search.index.server.reserved import RESERVED
from search.ingestion.reindexing import lead
from search.searcher import Searcher, open_search
from search.settings import Settings

pytestmark = pytest.mark.usefixtures("numbers_from_one")


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease that is renewed, watched and given up in a tenth of the time."""
    for name in ("_RENEWED_EVERY_S", "_DEAD_AFTER_S", "_LOOKED_AT_EVERY_S"):
        monkeypatch.setattr(lease, name, getattr(lease, name) / 10)


def opened(server: QdrantStandIn, model_folder: Path) -> Searcher:
    return open_search(
        Settings(index=server.index, embedder={"model": str(model_folder / "embedder-mean")}, reranker={"kind": "none"})
    )


def slowly(begun: threading.Event, end: threading.Event) -> Iterator[Document]:
    yield Document(id="a", text="The first.")
    begun.set()
    assert end.wait(30)
    yield Document(id="b", text="The second.")


@pytest.mark.usefixtures("quickly")
@everywhere
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
@everywhere
def test_a_dead_writer_is_succeeded(standin: QdrantStandIn, model_folder: Path) -> None:
    environment = {
        **os.environ,
        **standin.environment,
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

    def lease(self, earlier: Metadata | None = None, clock: Clock | None = None) -> Lease:
        return Lease("it", self, earlier or Metadata(dict, lambda _: None), clock=clock)

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
@everywhere
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


# Time that a test moves, and renewals that it asks for


class Moved(Clock):
    """A clock that goes on when it is slept by, or set."""

    def __init__(self) -> None:
        self.time = 0.0
        self.meanwhile: list[Callable[[], None]] = []

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        for happens in self.meanwhile:
            happens()

    def wait(self, event: threading.Event, seconds: float) -> bool:  # nothing is renewed by itself
        return event.wait()


def test_a_writer_stops_before_others_may_think_it_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    board, clock = Board(), Moved()

    def gone(note: dict[str, Any], instead_of: dict[str, Any]) -> None:  # noqa: ARG001
        raise IndexTimeout("gone")

    with board.lease(clock=clock) as held:
        began = board.note
        with monkeypatch.context() as patched:
            patched.setattr(board, "put", gone)
            clock.time += 9
            held.check()
            clock.time += 1
            with pytest.raises(IndexFailure):
                held.check()
        held.check()
        assert board.note["beat"] != began["beat"]
        clock.time += 9
        held.check()


def test_a_renewal_whose_answer_was_lost_is_not_taken_for_a_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its writer would think it new when it is looked after again, though others have watched it since it was written."""
    board, clock = Board(), Moved()
    put = board.put

    def unheard(note: dict[str, Any], instead_of: dict[str, Any]) -> None:
        put(note, instead_of)
        raise IndexTimeout("no answer")

    with board.lease(clock=clock) as held:
        clock.time += 3
        with monkeypatch.context() as patched:
            patched.setattr(board, "put", unheard)
            with pytest.raises(IndexTimeout):
                held._renew()
        written = board.note
        clock.time += 8
        held.check()
        assert board.note["beat"] > written["beat"]


def test_whoever_lost_hears_of_it_at_the_end_at_the_latest() -> None:
    """Its last batch may have been refused by the server, without a word."""
    board = Board()
    with pytest.raises(IndexBusy, match="written to by process 7 on elsewhere now"), board.lease(clock=Moved()):
        board.note = {"claim": "another", "who": "process 7 on elsewhere", "beat": 0, "number": 2}
    with pytest.raises(IndexBusy, match="written to by another process now"), Board().lease(clock=Moved()) as held:
        held._noted.note = {"claim": "", "who": "", "beat": 0, "number": 2}  # type: ignore[attr-defined]  # and let go again


def test_numbers_rise_over_those_who_let_go_or_died() -> None:
    board = Board()
    for number in (1, 2):
        with board.lease(clock=Moved()) as held:
            assert held.number == board.note["number"] == number
        assert board.note == {"claim": "", "who": "", "beat": 0, "number": number}
    board.note = {"claim": "dead", "who": "process 9", "beat": 5, "number": 7}
    clock = Moved()
    with board.lease(clock=clock) as held:
        assert held.number == 8
        assert clock.time >= lease._DEAD_AFTER_S


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"writer": 5},
        {"writer": {}},
        {"writer": {"claim": "x", "who": "y", "beat": 0}},
        {"writer": {"claim": "x", "who": "y", "beat": 0, "number": "2"}},
        {"writer": {"claim": 5, "who": "y", "beat": 0, "number": 2}},
        {"writer": {"claim": "x", "who": ["y"], "beat": 0.5, "number": True}},
    ],
)
@everywhere
def test_what_another_program_left_in_its_place_is_told(
    payload: dict[str, Any], standin: QdrantStandIn, client: QdrantClient, model_folder: Path
) -> None:
    with opened(standin, model_folder) as searcher:
        searcher.ingest([Document(id="a", text="x")])
        client.upsert("documents", [models.PointStruct(id=RESERVED, vector={}, payload=payload)])
        with pytest.raises(IndexGarbled, match=rf"point {RESERVED} of .*'documents.v1' .* another program .* remove it") as caught:
            searcher.ingest([Document(id="b", text="x")])
        assert not caught.value.transient  # and was not waited for
        client.delete("documents", [RESERVED])
        assert searcher.ingest([Document(id="b", text="x")]).added == 1


# Notes of earlier versions, in the collection's metadata


class Kept:
    """The note that earlier versions keep; a key for one collection may not write there."""

    def __init__(self, *, allowed: bool = True) -> None:
        self.note: dict[str, Any] = {}
        self.allowed = allowed
        self.metadata = Metadata(lambda: dict(self.note), self.write)

    def write(self, note: dict[str, Any]) -> None:
        if not self.allowed:
            raise IndexDenied("not with this key")
        self.note = note

    def beat(self) -> None:
        self.note = {**self.note, "beat": self.note["beat"] + 1}


OLD = {"claim": "old", "who": "process 3 of an earlier version", "beat": 0}


def test_a_living_claim_of_an_earlier_version_is_honoured() -> None:
    board, kept, clock = Board(), Kept(), Moved()
    kept.note = dict(OLD)
    clock.meanwhile.append(kept.beat)
    with (
        pytest.raises(IndexBusy, match="is being written to by process 3 of an earlier version"),
        board.lease(kept.metadata, clock),
    ):
        pytest.fail("it lives")
    assert board.note == {}


@pytest.mark.parametrize("allowed", [True, False])
def test_a_dead_one_is_waited_for_once(*, allowed: bool) -> None:
    board, kept = Board(), Kept(allowed=allowed)
    kept.note = dict(OLD)
    waited = []
    for _ in range(3):
        clock = Moved()
        with board.lease(kept.metadata, clock) as held:
            held._renew()
            held._heed_earlier()
            held.check()
            waited.append(clock.time >= lease._DEAD_AFTER_S)
    assert waited == [True, False, False]
    assert kept.note == ({} if allowed else OLD)
    kept.note = {**OLD, "beat": 1}  # not dead after all
    clock = Moved()
    clock.meanwhile.append(kept.beat)
    with pytest.raises(IndexBusy, match="an earlier version"), board.lease(kept.metadata, clock):
        pytest.fail("it lives")


def test_earlier_versions_see_a_claim_where_the_key_allows_it() -> None:
    """They refuse while a note there changes within twelve seconds."""
    board, kept, clock = Board(), Kept(), Moved()
    with board.lease(kept.metadata, clock) as held:
        first = kept.note
        assert first["claim"] == board.note["claim"]
        clock.time += 3
        held._renew()
        held._heed_earlier()
        assert kept.note["claim"] == first["claim"]
        assert kept.note["beat"] != first["beat"]
    assert kept.note == {}


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("at_once", [True, False])
def test_one_that_comes_later_and_cannot_see_this_one_is_given_way_to(*, allowed: bool, at_once: bool) -> None:
    board, kept, clock = Board(), Kept(allowed=allowed), Moved()

    def comes() -> None:
        kept.note = dict(OLD)

    if at_once:
        clock.meanwhile.append(comes)
        with pytest.raises(IndexBusy, match="an earlier version"), board.lease(kept.metadata, clock):
            pytest.fail("the other one had the last word")
    else:
        with board.lease(kept.metadata, clock) as held:
            held.check()
            comes()
            held._heed_earlier()
            with pytest.raises(IndexBusy, match="an earlier version"):
                held.check()
    assert board.note["claim"] == ""
    assert kept.note == OLD


def test_a_note_left_for_earlier_versions_is_not_taken_for_one_of_theirs() -> None:
    """As when its writer died: what counts is the one of today, and nobody waits twice."""
    board, kept, clock = Board(), Kept(), Moved()
    kept.note = {**OLD, "number": 4}
    with board.lease(kept.metadata, clock) as held:
        held.check()
        assert clock.time < 1


@pytest.mark.usefixtures("quickly")
@everywhere
def test_the_note_in_the_metadata_of_a_collection(standin: QdrantStandIn, client: QdrantClient, model_folder: Path) -> None:
    with opened(standin, model_folder) as searcher:
        searcher.ingest([Document(id="a", text="x")])
        client.update_collection("documents", metadata={"writer": OLD})
        ended = threading.Event()

        def beat() -> None:
            for number in iter(range(1, 1000)):
                if ended.wait(0.2):
                    return
                client.update_collection("documents", metadata={"writer": {**OLD, "beat": number}})

        thread = threading.Thread(target=beat)
        thread.start()
        with pytest.raises(IndexBusy, match="process 3 of an earlier version"):
            searcher.ingest([Document(id="b", text="x")])
        ended.set()
        thread.join()
        assert searcher.ingest([Document(id="b", text="x")]).added == 1
        assert (client.get_collection("documents").config.metadata or {})["writer"] == {}
