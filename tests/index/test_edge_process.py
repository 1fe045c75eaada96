"""The engine in a process of its own: nobody waits for it but who asks, and its death costs one request."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pytest
from serving import wait_until

from search.documents import Document
from search.errors import CollectionNotFound, IndexBusy, IndexFaulted, IndexFull, IndexRejected, IndexTimeout
from search.index.contract import CollectionSpec, Point, Query, VectorIndex
from search.index.edge import folder
from search.index.edge.folder import DataFolder, User
from search.index.edge.index import EdgeIndex
from search.index.edge.process import EdgeProcess, _Child
from search.searcher import open_search
from search.settings import Settings, StorageSettings

SPEC = CollectionSpec(256, "model@1")


def points(count: int, seed: int = 0) -> list[Point]:
    vectors = np.random.default_rng(seed).normal(size=(count, 256)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = [f"00000000-0000-0000-{seed:04}-{number:012}" for number in range(count)]
    return [Point(one, vector, {"document_id": one}) for one, vector in zip(ids, vectors, strict=True)]


@pytest.fixture
def as_users_start_it() -> Iterator[None]:
    """Elsewhere processes are forked from one that has everything imported."""
    with patch("search.index.edge.process.subprocess", subprocess):
        yield


def child_of(process: EdgeProcess) -> int:
    assert process._child
    return process._child[0].pid


@pytest.fixture
def process(tmp_path: Path) -> Iterator[EdgeProcess]:
    one = EdgeProcess(tmp_path)
    yield one
    one.close()


@pytest.fixture
def index(process: EdgeProcess) -> VectorIndex:
    made = process.named("a", StorageSettings())
    made.ensure(SPEC, create=True)
    return made


@pytest.mark.usefixtures("as_users_start_it")
def test_a_searcher_over_it_does_all_that_others_do(tmp_path: Path, model_folder: Path) -> None:
    model = {"model": str(model_folder / "embedder-mean")}
    settings = Settings(data_dir=tmp_path, embedder=model, reranker={"kind": "none"}, index={"engine": "edge", "own_process": True})
    with open_search(settings) as searcher:
        documents = [Document(id=str(number), text=f"Document {number}.") for number in range(600)]
        assert searcher.ingest(documents).added == 600
        assert searcher.ingest(documents[1:], sync=True).removed == 1
        assert searcher.update({"a": 1}, ids=["7"]).changed == 1
        assert searcher.reindex(check=False).switched
        assert searcher.search("Document 7").hits[0].document_id
        assert searcher.collections.aliases() == {"documents": "documents.v2"}
        assert searcher.roll_back() == ("documents.v2", "documents")
        searcher.collections.switch("other", "documents.v2")
        searcher.collections.unalias("other")
        assert searcher.search("Document 7").hits
        assert len(list(searcher.index.scroll(fields=["document_id"]))) == 599
        process = searcher.collections
        assert isinstance(process, EdgeProcess)
        child = child_of(process)
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    with open_search(settings.model_copy(update={"index": Settings().index})) as searcher:  # and the folder is free
        assert searcher.index.name == "documents"
        assert searcher.search("Document 7").hits


@pytest.mark.usefixtures("as_users_start_it")
def test_errors_come_through_as_they_are(tmp_path: Path) -> None:
    process = EdgeProcess(tmp_path)
    with pytest.raises(CollectionNotFound, match="there is no collection 'x'"):
        process.info("x")
    index = process.named("a", StorageSettings())
    with pytest.raises(CollectionNotFound, match="call ensure"):
        index.count()
    with pytest.raises(CollectionNotFound, match="`search ingest` makes one"):
        index.ensure(SPEC, create=False)
    index.ensure(SPEC, create=True)
    other = EdgeProcess(tmp_path)
    with pytest.raises(IndexBusy, match=rf"in use by process {os.getpid()} .* whose Qdrant Edge is process {child_of(process)}: "):
        DataFolder(tmp_path, User(1, "another", (), "in another container")).hold()
    with pytest.raises(IndexBusy, match="in use by another searcher of this program"):
        other.named("a", StorageSettings()).ensure(SPEC, create=False)
    with pytest.raises(IndexFaulted, match="failed on nonsense"):
        process.call("nonsense")
    other.close()
    index.close()
    process.close()
    process.close()


@pytest.mark.parametrize(
    ("command", "way"),
    [
        ("/usr/bin/search serve --port", r"ask that service over HTTP .*, stop it for what only commands do, or give this one"),
        ("/usr/bin/search ingest notes", "wait until it is done, or give this one"),
    ],
)
def test_who_has_a_folder_tells_what_to_do(command: str, way: str, tmp_path: Path) -> None:
    with (
        DataFolder(tmp_path, User(1, command, (), "one")).held(),
        pytest.raises(IndexBusy, match=rf"{command}\), whose Qdrant Edge is process \d+: {way} another --data-dir"),
    ):
        DataFolder(tmp_path, User(2, "search collections snapshot", (), "two")).hold()


@pytest.mark.usefixtures("as_users_start_it")
def test_a_child_that_dies_costs_one_request(process: EdgeProcess, index: VectorIndex) -> None:
    index.upsert(points(100))
    os.kill(child_of(process), signal.SIGKILL)
    with pytest.raises(IndexFaulted, match="ended with -9; the next request starts it again"):
        index.count()
    assert index.count() == 100


def test_of_those_who_wait_while_a_child_dies_one_fails(process: EdgeProcess, index: VectorIndex) -> None:
    index.upsert(points(100))
    child = stopped(process)
    with ThreadPoolExecutor(6) as pool:
        counts = [pool.submit(index.count) for _ in range(6)]
        time.sleep(1)  # all of them have called, and one has the turn
        os.kill(child, signal.SIGKILL)
        errors = [count.exception(60) for count in counts]
    (error,) = filter(None, errors)
    assert "ended with -9" in str(error)
    assert [count.result() for count in counts if count.exception() is None] == [100] * 5


def test_closing_after_the_child_has_died_closes_everything(tmp_path: Path, model_folder: Path) -> None:
    model = {"model": str(model_folder / "embedder-mean")}
    settings = Settings(data_dir=tmp_path, embedder=model, reranker={"kind": "none"}, index={"engine": "edge", "own_process": True})
    searcher = open_search(settings)
    for one in (searcher, searcher.beside("other"), searcher.beside("third")):
        one.ingest([Document(id="1", text="Document 1.")])
    process = searcher.collections
    assert isinstance(process, EdgeProcess)
    os.kill(child_of(process), signal.SIGKILL)
    searcher.close()
    assert process._child is None
    with open_search(settings) as again:
        assert again.search("Document 1").hits


class _Closing:
    def __init__(self, closed: list["_Closing"]) -> None:
        self._closed = closed

    def close(self) -> None:
        self._closed.append(self)
        raise IndexFull("the disk is full")


def test_one_part_that_cannot_be_closed_keeps_no_other_open() -> None:
    closed: list[Any] = []
    searcher = open_search(Settings(reranker={"kind": "none"}))
    beside = searcher.beside("other")
    parts = {(one, name): _Closing(closed) for one in (searcher, beside) for name in ("index", "collections")}
    for (one, name), part in parts.items():
        one._parts._parts[name] = part
    with pytest.raises(IndexFull):
        searcher.close()
    assert closed == [
        parts[beside, "index"],
        parts[beside, "collections"],
        parts[searcher, "index"],
        parts[searcher, "collections"],
    ]


@pytest.mark.parametrize("closing", ["index", "process"])
def test_closing_waits_for_nobody_without_bound(
    process: EdgeProcess, index: VectorIndex, closing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.index.edge.process._CLOSES_WITHIN_S", 0.5, raising=False)
    monkeypatch.setattr("search.index.edge.process._ENDS_WITHIN_S", 0.5)
    other = process.named("b", StorageSettings())
    other.ensure(SPEC, create=True)
    child = stopped(process)
    with ThreadPoolExecutor(3) as pool:
        counts = [pool.submit(index.count) for _ in range(2)]
        time.sleep(0.5)
        started = time.monotonic()
        (other if closing == "index" else process).close()
        assert time.monotonic() - started < 15
        if closing == "index":
            os.kill(child, signal.SIGCONT)
            assert [count.result(60) for count in counts] == [0, 0]
            process.drop("b")  # which nobody has open
        else:
            assert all(isinstance(count.exception(60), IndexFaulted) for count in counts)
            assert process._child is None


def test_only_what_is_short_whatever_the_size_has_a_short_limit(
    process: EdgeProcess, index: VectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.index.edge.process._SHORT_S", 0.0)  # what takes longer than this is ended
    limits = []
    monkeypatch.setattr(process, "_wait_for_answer", lambda _, __, longest_s: limits.append(longest_s))
    index.upsert(points(10))
    assert index.count() == 10
    assert len(list(index.scroll())) == 10
    assert min(limits) > 1000
    index.query(Query(points(1)[0].vector), 1)
    process.names()
    process.aliases()
    assert limits[-3:] == [0.0] * 3


class Optimized(NamedTuple):
    """What happened meanwhile."""

    took: float
    longest_query: float
    passages: list[int]  # as whoever waits was told
    pauses: list[float]  # between two looks at the clock
    children: set[int]  # before and after


@pytest.fixture(scope="module")
def optimized(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Optimized]:
    """A collection whose graph takes longer to build than a short request may take."""
    process = EdgeProcess(tmp_path_factory.mktemp("large"))
    index = process.named("a", StorageSettings())
    index.ensure(SPEC, create=True)
    index.upsert(points(12_000))
    child = child_of(process)
    ended = threading.Event()
    pauses = [0.0]

    def tick() -> None:
        last = time.monotonic()
        while not ended.is_set():
            time.sleep(0.005)
            now = time.monotonic()
            pauses.append(now - last)
            last = now

    ticking = threading.Thread(target=tick)
    ticking.start()
    started = time.monotonic()
    queried, passages, wanted = [0.0], list[int](), Query(points(1)[0].vector)
    with patch.multiple("search.index.edge.process", _SHORT_S=1.0, _STILL_S=10.0), ThreadPoolExecutor(1) as pool:
        optimizing = pool.submit(index.optimize, passages.append)
        while not optimizing.done():
            began = time.monotonic()
            assert index.query(wanted, 1)[0].score == pytest.approx(1)
            queried.append(time.monotonic() - began)
            time.sleep(0.02)
        optimizing.result()
    took = time.monotonic() - started
    ended.set()
    ticking.join()
    yield Optimized(took, max(queried), passages, pauses, {child, child_of(process)})
    process.close()


def test_other_threads_go_on_while_the_engine_works(optimized: Optimized) -> None:
    assert optimized.took > 1  # in this process it would have stood still for as long
    assert max(optimized.pauses) < optimized.took / 2


def test_searches_go_on_while_a_graph_is_built(optimized: Optimized) -> None:
    assert optimized.passages == [12_000]
    assert optimized.longest_query < optimized.took / 2


def test_what_takes_long_and_works_is_waited_for(optimized: Optimized) -> None:
    assert optimized.took > 1  # as long as a short request may take
    assert len(optimized.children) == 1


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    script = f"""
import os, signal
from pathlib import Path
from search.index.edge.process import EdgeProcess
process = EdgeProcess(Path({str(tmp_path)!r}))
process.names()
print(process._child[0].pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    child = int(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False).stdout)
    until = time.monotonic() + 20
    while (
        time.monotonic() < until and Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split()
    ):
        time.sleep(0.05)
    assert time.monotonic() < until


def stopped(process: EdgeProcess) -> int:
    child = child_of(process)
    os.kill(child, signal.SIGSTOP)
    return child


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.index.edge.process._STILL_S", 2.0)
    monkeypatch.setattr("search.index.edge.process._UNREADY_AFTER_S", 0.7)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("call", ["count", "upsert", "upsert of more than the sockets hold", "optimize"])
def test_a_child_that_stands_still_costs_one_request(process: EdgeProcess, index: VectorIndex, call: str) -> None:
    index.upsert(points(100))
    child = stopped(process)
    asking: Future[Any]
    with ThreadPoolExecutor(1) as pool:
        match call:
            case "count":
                asking = pool.submit(index.count)
            case "optimize":
                asking = pool.submit(index.optimize)
            case "upsert":
                asking = pool.submit(index.upsert, points(1))
            case _:
                asking = pool.submit(index.upsert, points(3_000))
        if not call.startswith("upsert of"):  # where the sender waits in the kernel
            wait_until(lambda: process.stuck, 20)
        with pytest.raises(IndexTimeout, match=r"did not answer to .* and was ended; the next request starts it again"):
            asking.result(60)
    assert not process.stuck
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert index.count() == 100


@pytest.mark.parametrize("limit", ["a budget", "a query's own"])
def test_a_query_waits_for_its_turn_no_longer_than_it_may(
    process: EdgeProcess, index: VectorIndex, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Query(points(1)[0].vector, timeout_s=0.2 if limit == "a budget" else None)
    monkeypatch.setattr("search.index.edge.process._SHORT_S", 30.0 if limit == "a budget" else 0.2)
    with process.turn(), ThreadPoolExecutor(1) as pool:  # as whoever counts a large collection has it
        started = time.monotonic()
        asking = pool.submit(index.query, wanted, 1)
        with pytest.raises(IndexTimeout, match=r"at work on what came before, for more than 0\.2 s; try again later"):
            asking.result(20)
        assert time.monotonic() - started < 10
    assert index.count() == 0


@pytest.mark.usefixtures("impatient")
def test_closing_ends_a_child_that_stands_still(process: EdgeProcess, index: VectorIndex) -> None:
    child = stopped(process)
    with ThreadPoolExecutor(1) as pool:
        started = time.monotonic()
        asking = pool.submit(index.count)
        pool.submit(process.close).result(60)
        assert time.monotonic() - started < 30
        assert isinstance(asking.exception(60), IndexTimeout | IndexFaulted)
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    process.names()
    stopped(process)  # and nobody asks it anything
    started = time.monotonic()
    process.close()
    assert time.monotonic() - started < 30


@pytest.mark.usefixtures("as_users_start_it")
def test_a_child_that_cannot_be_started_is_a_fault_that_may_pass(
    process: EdgeProcess, index: VectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.kill(child_of(process), signal.SIGKILL)
    with pytest.raises(IndexFaulted, match="ended with -9"):
        index.count()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", "/nowhere/python")
        for _ in range(2):
            with pytest.raises(IndexFaulted, match=r"cannot be started: .*No such file.*; the next request tries again"):
                index.count()
        patched.setattr(sys, "executable", "/usr/bin/uwsgi")
        patched.setattr(sys, "exec_prefix", "/nowhere")
        with pytest.raises(IndexFaulted, match=r"no Python to start it with \(it is embedded in /usr/bin/uwsgi, and"):
            index.count()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(IndexFaulted, match=r"cannot be started: .*Too many open files"):
            index.count()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    monkeypatch.setattr(sys, "executable", "/usr/bin/uwsgi")  # beside which the environment has a Python
    assert index.count() == 0


def with_open_files(data: Path) -> set[str]:
    """The collections of which this process maps files."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    return {line.partition("/collections/")[2].partition("/")[0] for line in maps if f"{data}/collections/" in line}


def test_of_many_collections_those_used_last_have_their_files_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "_MOST_AWAKE", 2)
    data = DataFolder(tmp_path)
    indexes = {name: EdgeIndex(data, name) for name in "abc"}
    for number, index in enumerate(indexes.values(), 1):
        index.ensure(SPEC, create=True)
        index.upsert(points(number))
    assert with_open_files(tmp_path) == {"b", "c"}
    records = indexes["b"].scroll()
    next(records)
    assert indexes["a"].count() == 1
    indexes["a"].upsert(points(3, seed=1))
    assert with_open_files(tmp_path) == {"a", "b"}
    assert [index.count() for index in indexes.values()] == [4, 2, 3]
    assert len(list(records)) == 1
    again = EdgeIndex(data, "a")
    again.ensure(SPEC, create=False)
    assert len(again.query(Query(points(3, seed=1)[0].vector), 9)) == 4
    resting = indexes["b"]._opened
    for index in (again, *indexes.values()):
        index.close()
    assert with_open_files(tmp_path) == set()
    with pytest.raises(IndexRejected, match="closed meanwhile; open it again"), resting.use():
        pass
    assert (tmp_path / "owner.json").exists() is False


def test_what_was_not_used_for_a_while_closes_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "_AWAKE", 1)
    child = _Child(DataFolder(tmp_path))
    for ticket, name in enumerate("abc"):
        child.answer("ensure", (ticket, name, StorageSettings(), None, SPEC, True, True))
    assert child.look_after()
    assert with_open_files(tmp_path) == {*"abc"}
    monkeypatch.setattr(folder, "_IDLE_S", 0.0)
    assert child.look_after()
    child.answer("count", (1,))
    assert not child.look_after()
    assert with_open_files(tmp_path) == {"b"}
    assert [child.answer("count", (ticket,)) for ticket in range(3)] == [0, 0, 0]
    child.close()
