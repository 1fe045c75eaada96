"""How a collection is kept is decided by settings, and does not change what is found."""

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import qdrant_edge as edge
from serving import wait_until
from standin import QdrantStandIn

from search.documents import SparseVector
from search.errors import IndexFaulted, IndexFull, IndexRejected, InvalidSettings
from search.factory import build_collections
from search.index.contract import CollectionSpec, Point, Query, VectorIndex
from search.index.edge import builder, building
from search.index.edge.index import EdgeIndex
from search.index.edge.process import EdgeProcess
from search.settings import Settings

RNG = np.random.default_rng(7)


def build_index(settings: Settings) -> VectorIndex:
    return build_collections(settings).named(settings.collection, settings.storage)


SPEC = CollectionSpec(1024, "model@1")
ENOUGH = 3_000  # vectors, of 12 MB, for the engine to build a graph and to quantize them


def points(count: int) -> list[Point]:
    centres = RNG.normal(size=(20, 1024))
    vectors = (centres[RNG.integers(0, 20, count)] + RNG.normal(size=(count, 1024))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [
        Point(
            f"00000000-0000-0000-0000-{i:012}",
            vector,
            {"document_id": str(i), "metadata": {"year": 2000 + i % 20, "draft": i % 3 == 0}},
        )
        for i, vector in enumerate(vectors)
    ]


@pytest.mark.parametrize("quantization", ["none", "scalar", "binary"])
def test_quantized_vectors_are_rescored_with_whole_ones(quantization: str, tmp_path: Path, in_full: bool) -> None:  # noqa: FBT001
    """The scores are those of the whole vectors."""
    storage = {"quantization": quantization, "oversampling": 8, "on_disk": True, "on_disk_payload": True, "hnsw_m": 24}
    index = build_index(Settings(data_dir=tmp_path, storage=storage))
    index.ensure(SPEC, create=True)
    written = points(12_000 if in_full else ENOUGH)
    index.upsert(written)
    index.optimize()
    assert bool(list(tmp_path.rglob("quantized.data"))) == (quantization != "none")
    matrix = np.array([point.vector for point in written])
    shared, asked = [], []
    for query in matrix[:50] + 0.02 * RNG.normal(size=(50, 1024)).astype(np.float32):
        unit = query / np.linalg.norm(query)
        exact = {written[i].id for i in np.argsort(-(matrix @ unit))[:10]}
        matches = index.query(Query(unit), 10)
        asked.append((unit, matches))
        shared.append(len(exact & {match.id for match in matches}) / 10)
        scores = [float(written[int(match.id[-12:])].vector @ unit) for match in matches]
        assert [match.score for match in matches] == pytest.approx(scores, abs=1e-5)
    assert np.mean(shared) > (0.97 if quantization != "binary" else 0.5)  # a bit a dimension knows little of vectors at random
    index.close()
    index = build_index(Settings(data_dir=tmp_path, storage={"quantization": "none" if quantization != "none" else "binary"}))
    index.ensure(SPEC, create=False)  # it is searched by what it is, not by what these settings say
    assert [index.query(Query(unit), 10) for unit, _ in asked] == [matches for _, matches in asked]
    index.close()


def test_what_an_interrupted_run_left_undone_and_what_another_removed_is_seen_to_by_the_next(tmp_path: Path) -> None:
    index = build_index(Settings(data_dir=tmp_path))
    index.ensure(SPEC, create=True)
    index.upsert(points(ENOUGH))
    index.close()  # as if the run had ended here
    again = build_index(Settings(data_dir=tmp_path))
    assert isinstance(again, EdgeIndex)
    again.ensure(SPEC, create=True)
    assert again.details()["indexed_vectors"] < ENOUGH
    told: list[int] = []
    again.optimize(told.append)
    assert again.details()["indexed_vectors"] == ENOUGH
    again.delete(ids=[f"00000000-0000-0000-0000-{i:012}" for i in range(1_000)])
    again.close()
    third = build_index(Settings(data_dir=tmp_path))
    third.ensure(SPEC, create=False)
    third.optimize(told.append)
    third.optimize(told.append)
    assert told == [ENOUGH, ENOUGH - 1_000]
    assert third.count() == ENOUGH - 1_000
    third.close()


def test_passages_that_replaced_others_get_their_graph_by_the_next_run(tmp_path: Path) -> None:
    index, spec = EdgeIndex(tmp_path / "closed", "documents"), replace(SPEC, lexical="words")
    index.ensure(spec, create=True)
    written = [one._replace(lexical=SparseVector([1], [1.0])) for one in points(ENOUGH + 1_350)]
    index.upsert(written[:ENOUGH])
    index.optimize()
    index.upsert(written[-2_700:])  # half of them, in place of others
    shutil.copytree(tmp_path / "closed", tmp_path / "killed")
    index.close()
    for left in ("closed", "killed"):
        again = EdgeIndex(tmp_path / left, "documents")
        again.ensure(spec, create=False)
        assert again.begin() == len(written)
        again.close()


def test_payload_indexes_are_made_before_the_load_and_for_what_is_there(tmp_path: Path) -> None:
    fields = {"metadata.year": "integer", "metadata.draft": "bool", "title": "keyword"}
    plain, indexed = Settings(data_dir=tmp_path), Settings(data_dir=tmp_path, storage={"payload_indexes": fields})
    recent = {"must": [{"key": "metadata.year", "range": {"gte": 2018}}, {"key": "metadata.draft", "match": {"value": True}}]}
    found: list[int] = []
    for settings in (plain, indexed, indexed):
        index = build_index(settings)
        assert isinstance(index, EdgeIndex)
        if found:
            index.ensure(SPEC, create=False)  # to be searched first
        index.ensure(SPEC, create=True)
        index.upsert(points(300))
        found.append(index.count(recent))
        schema = set(index.details()["payload_indexes"])
        assert (schema >= {"metadata.year", "title", "_booleans"}) == (settings is indexed)
        index.close()
    assert found == [found[0]] * 3
    assert found[0] > 0


STORED: dict[str, dict[str, Any]] = {
    "storage.quantization": {"quantization": "scalar"},
    "storage.on_disk": {"on_disk": True},
    "storage.on_disk_payload": {"on_disk_payload": True},
    "storage.hnsw_m": {"hnsw_m": 24},
    "storage.hnsw_ef_construct": {"hnsw_ef_construct": 200},
}


@pytest.mark.parametrize("engine", ["edge", "edge process", "memory", "standin"])
def test_it_tells_by_which_settings_it_was_made_otherwise(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    given = {"edge": {"engine": "edge"}, "edge process": {"engine": "edge", "own_process": True}, "memory": {"engine": "memory"}}
    standin = request.getfixturevalue("standin") if engine == "standin" else None
    settings = Settings(data_dir=tmp_path, index=given[engine] if standin is None else standin.index)
    engines = build_collections(settings)
    spec = CollectionSpec(8, "model@1")

    def differing(create: bool = False, **storage: Any) -> tuple[str, ...]:  # noqa: FBT001, FBT002
        index = engines.named("documents", Settings(storage=storage).storage)
        assert index.differing == ()
        index.ensure(spec, create=create)
        told = index.differing
        index.close()
        return told

    try:
        assert differing(create=True) == ()
        assert differing() == differing(quantization="none") == differing(oversampling=5) == ()
        for name, one in STORED.items():
            assert differing(**one) == (name,)
        assert differing(create=True, **{name: value for one in STORED.values() for name, value in one.items()}) == tuple(STORED)
        index = engines.named("quantized", Settings(storage=STORED["storage.quantization"]).storage)
        index.ensure(spec, create=True)
        index.close()
        for quantization, told in ((None, ()), ("scalar", ()), ("none", ("storage.quantization",))):
            index = engines.named("quantized", Settings(storage={"quantization": quantization}).storage)
            index.ensure(spec, create=False)
            assert index.differing == told
            index.close()
    finally:
        engines.close()


@pytest.mark.parametrize(("on_disk", "kind"), [(None, "mmap"), (True, "mmap"), (False, "in_ram_mmap")])
def test_texts_stay_on_disk_unless_the_settings_want_them_in_memory(*, on_disk: bool | None, kind: str, tmp_path: Path) -> None:
    index = build_index(Settings(data_dir=tmp_path, storage={"on_disk_payload": on_disk}))
    index.ensure(SPEC, create=True)
    index.upsert(points(3))
    assert {json.loads(file.read_text())["config"]["payload_storage_type"]["type"] for file in tmp_path.rglob("segment.json")} == {
        kind
    }
    assert len(index.query(Query(points(1)[0].vector), 3)) == 3
    index.close()


def test_a_server_is_told_all_of_it(standin: QdrantStandIn) -> None:
    storage = {"quantization": "scalar", "on_disk": True, "hnsw_m": 32, "payload_indexes": {"metadata.year": "integer"}}
    server = {"engine": "qdrant", "url": standin.url, "shards": 3, "replicas": 2, "write_consistency": 1}
    index = build_index(Settings(index=server, storage=storage))
    index.ensure(SPEC, create=True)
    index.upsert(points(3))
    index.query(Query(points(1)[0].vector), 1)
    index.close()
    made = next(body for request, body in standin.bodies if request.startswith("PUT /collections/") and "vectors" in body)
    assert made["quantization_config"] == {"scalar": {"type": "int8", "always_ram": True}}
    assert (made["vectors"]["on_disk"], made["on_disk_payload"], made["hnsw_config"]["m"]) == (True, False, 32)
    assert (made["shard_number"], made["replication_factor"], made["write_consistency_factor"]) == (3, 2, 1)
    order = [json.dumps(body) for request, body in standin.bodies if "/index" in request or request.endswith("/points")]
    assert "metadata.year" in order[2]
    assert '"points"' in order[3]  # after the indexes
    rescored = {"quantization": {"rescore": True, "oversampling": 3.0}}
    plain = build_index(Settings(index=server))
    plain.ensure(SPEC, create=False)
    plain.query(Query(points(1)[0].vector), 1)
    plain.close()
    asked = [one["params"] for request, body in standin.bodies if request.endswith("/query/batch") for one in body["searches"]]
    assert asked == [rescored] * 2


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ({"quantization": "float"}, "storage.quantization"),
        ({"oversampling": 0.5}, "storage.oversampling"),
        ({"payload_indexes": {"year": "integer"}}, "storage.payload_indexes"),
        ({"payload_indexes": {"metadata.year": "date"}}, "storage.payload_indexes"),
    ],
)
def test_settings_out_of_range(storage: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSettings, match=message):
        Settings(storage=storage)


def test_searches_go_on_while_memory_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.index.edge.index._OPTIMIZED_EVERY", 2_750)  # enough for a graph, twice
    index = build_index(Settings(data_dir=tmp_path))
    assert isinstance(index, EdgeIndex)
    index.ensure(SPEC, create=True)
    written = points(6_000)
    index.upsert(written[:125])
    first, ended = index._opened._opened, threading.Event()
    found: list[str] = []

    def ask() -> None:
        while not ended.is_set():
            found.append(index.query(Query(written[7].vector), 1)[0].id)
            assert index.count() >= 125

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask) for _ in range(2)]
        for at in range(125, 6_000, 125):
            index.upsert(written[at : at + 125])
        index.optimize()
        ended.set()
        for one in asking:
            one.result()
    assert index._opened._opened is not first
    assert set(found) == {written[7].id}
    assert index.details()["indexed_vectors"] > 5_000
    assert sorted(record.id for record in index.scroll(fields=[])) == [point.id for point in written]
    index.close()


SMALL = CollectionSpec(8, "model@1")


def small(count: int, seed: int = 0) -> list[Point]:
    vectors = np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)
    ids = [f"00000000-0000-0000-{seed:04}-{number:012}" for number in range(count)]
    return [Point(one, vector, {"document_id": str(at % 5)}) for at, (one, vector) in enumerate(zip(ids, vectors, strict=True))]


def opened(data: Path) -> EdgeIndex:
    index = EdgeIndex(data, "documents")
    index.ensure(SMALL, create=True)
    return index


def of(*numbers: int) -> dict[str, Any]:
    return {"must": [{"key": "document_id", "match": {"any": [str(one) for one in numbers]}}]}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("filled")
    index = opened(data)
    index.upsert(small(6_000))
    index.close()
    return data


@pytest.fixture
def data(filled: Path, tmp_path: Path) -> Path:
    return shutil.copytree(filled, tmp_path / "data")


def ids(index: EdgeIndex) -> list[str]:
    return [record.id for record in index.scroll(fields=[])]


def test_a_collection_is_built_anew_once_a_fifth_of_it_is_gone(data: Path) -> None:
    index, told = opened(data), list[int]()
    index.optimize(told.append)
    index.upsert(small(1, 1))
    index.delete(filter=of(4))  # a fifth, less what was written
    index.optimize(told.append)
    assert told == []
    before = index._opened._opened
    index.delete(filter=of(3))
    index.optimize(told.append)
    index.optimize(told.append)
    assert told == [3_601]
    assert index._opened._opened is not before
    assert len(ids(index)) == 3_601
    taken = sum(512 * file.stat().st_blocks for file in data.rglob("*"))
    assert taken < 60_000_000  # of 140; the rest is zeros
    index.close()


def test_what_is_written_while_a_graph_is_built_is_there_afterwards(data: Path) -> None:
    index, more = opened(data), small(50, 1)
    index.delete(filter=of(3, 4))
    with paused_builder() as copying:
        assert index.begin() == 3_600
        wait_until(lambda: copying(data), 20)
        index.upsert(more)
        index.delete(filter=of(2))
        written = ids(index)
        assert index.is_building()
    index.optimize()
    assert ids(index) == written
    assert index.query(Query(more[5].vector / np.linalg.norm(more[5].vector)), 1)[0].id == more[5].id
    index.close()
    again = opened(data)
    assert ids(again) == written
    again.close()


def test_a_copy_shares_the_files_into_which_the_engine_writes_no_more(tmp_path: Path) -> None:
    index, written = build_index(Settings(data_dir=tmp_path, storage={"quantization": "scalar"})), points(ENOUGH)
    assert isinstance(index, EdgeIndex)
    index.ensure(replace(SPEC, lexical="words"), create=True)
    index.upsert([one._replace(lexical=SparseVector([at % 9], [1.0])) for at, one in enumerate(written[:-10])])
    index.optimize()
    index.delete(ids=[one.id for one in written[:1000]])
    with paused_builder() as copying:
        assert index.begin()
        wait_until(lambda: copying(tmp_path) and not index.must_hold_off(), 20)
        (copy,) = tmp_path.rglob("shard.building*")
        shared = {file: file.read_bytes() for file in copy.rglob("*") if file.is_file() and file.stat().st_nlink == 2}
        assert sum(map(len, shared.values())) > 4096 * ENOUGH  # all vectors, for one
        assert not any(file.match("*.json") or file.match("*/id_tracker.deleted") or "wal" in file.parts for file in shared)
        index.upsert([one._replace(payload={"document_id": "new"}) for one in written[990:1020]])
        index.upsert(written[-10:])
        index.delete(ids=[one.id for one in written[1100:1200]])
        index.delete(filter={"must": [{"key": "document_id", "match": {"any": ["1250", "1251"]}}]})
        index.index_field("metadata.year", "integer")
        some: list[Any] = [one.id for one in written[1300:1400]]
        for change in (  # by which nothing here writes, and another release might
            edge.UpdateOperation.set_payload(some, {"metadata": {"year": 1}}),
            edge.UpdateOperation.delete_payload(some, ["metadata"]),
            edge.UpdateOperation.overwrite_payload(some, {"document_id": "new"}),
            edge.UpdateOperation.clear_payload(some),
        ):
            index._opened.update(change)
        with index._opened.use() as opened:
            opened.flush()
        assert {file.name for file in shared if file.match("page_*.dat")} == {"page_0.dat"}
        assert shared == {file: file.read_bytes() for file in shared}
    index.optimize()
    assert ids(index) == [one.id for one in [*written[990:1100], *written[1200:1250], *written[1252:]]]
    index.close()


def test_where_files_cannot_be_linked_they_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "as FAT says it")

    (old := tmp_path / "matrix.dat").write_bytes(b"vectors")
    for name, links in (("linked", 2), ("copied", 1)):
        builder._copy({str(old)}, str(old), str(tmp_path / name))
        assert (tmp_path / name).read_bytes() == b"vectors"
        assert (tmp_path / name).stat().st_nlink == links
        monkeypatch.setattr(os, "link", refused)


def test_searches_go_on_while_files_are_copied_and_whoever_writes_waits(data: Path) -> None:
    index = opened(data)
    index.delete(filter=of(3, 4))
    with ThreadPoolExecutor(3) as pool:
        with paused_builder("    shutil.copytree"):
            index.begin()
            optimizing, writing = pool.submit(index.optimize), pool.submit(index.upsert, small(50, 1))
            with pytest.raises(TimeoutError):
                writing.result(0.1)
            assert pool.submit(index.count).result(10) == 3_600
        writing.result(20)
        optimizing.result(20)
    assert len(ids(index)) == 3_650
    index.close()


def test_what_was_written_meanwhile_is_on_the_disk_before_the_copy_takes_its_place(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, fsync = list[str](), os.fsync

    def noted(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    index = opened(data)
    index.delete(filter=of(3, 4))
    with paused_builder():
        index.begin()
        index.upsert(small(50, 1))
    monkeypatch.setattr(os, "fsync", noted)
    index.optimize()
    assert any("shard.building" in one and one.endswith("id_tracker.mappings") for one in synced)
    index.close()


def test_no_room_for_what_was_written_meanwhile(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = opened(data)
    index.delete(filter=of(3, 4))
    with paused_builder():
        index.begin()
        index.upsert(small(50, 1))
    monkeypatch.setattr("search.index.edge.index._COPIES", 10**9)
    with pytest.raises(IndexFull):
        index.optimize()
    assert len(ids(index)) == 3_650
    index.close()


def test_a_graph_that_cannot_take_its_place_costs_nothing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(self: building.Building) -> None:
        self._folder.rename(building._before(self._folder))
        raise OSError(errno.EIO, "no such luck")

    index = opened(data)
    index.delete(filter=of(3, 4))
    with monkeypatch.context() as failing:
        failing.setattr(building.Building, "take_place", half)
        with pytest.raises(IndexRejected, match="no such luck"):
            index.optimize()
    assert len(ids(index)) == 3_600
    index.upsert(small(50, 1))
    index.close()
    again = opened(data)
    assert len(ids(again)) == 3_650
    again.close()


def test_what_is_closed_when_its_graph_is_built_stays_as_it_is(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Since somebody else may have the folder by now."""

    def closed(self: building.Building) -> bool:
        built = outcome(self)
        index.close()
        return built

    index, outcome = opened(data), building.Building.outcome
    index.delete(filter=of(3, 4))
    index.begin()
    monkeypatch.setattr(building.Building, "outcome", closed)
    index._opened.end(index._check_room, wait=True)
    assert sorted(one.name for one in (data / "collections/documents").iterdir() if one.is_dir()) == ["shard"]


@pytest.mark.parametrize("frozen", [False, True])
def test_where_no_python_can_be_started_a_graph_is_built_in_place(
    data: Path, monkeypatch: pytest.MonkeyPatch, *, frozen: bool
) -> None:
    index = opened(data)
    index.delete(filter=of(3, 4))
    if frozen:
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    else:
        monkeypatch.setattr(sys, "executable", "/usr/bin/uwsgi")
        monkeypatch.setattr(sys, "exec_prefix", "/nowhere")
    assert index._opened.is_due(32)
    index.optimize()
    assert not index._opened.is_due(32)
    assert len(ids(index)) == 3_600
    index.close()


def test_what_builds_a_graph_may_die_in_the_child_of_a_child(data: Path) -> None:
    process, told = EdgeProcess(data), list[int]()

    def killed(passages: int) -> None:
        assert not told
        told.append(passages)
        os.kill(builder_of(process), signal.SIGKILL)

    index = process.named("documents", Settings().storage)
    index.ensure(SMALL, create=True)
    index.delete(filter=of(3, 4))
    with pytest.raises(IndexFaulted, match="ended with -9"):
        index.optimize(killed)
    index.optimize(told.append)
    assert told == [3_600, 3_600]
    process.close()


def test_others_have_their_turn_with_the_child_while_files_are_copied(data: Path) -> None:
    process = EdgeProcess(data)
    index = process.named("documents", Settings().storage)
    index.ensure(SMALL, create=True)
    index.delete(filter=of(3, 4))
    stopped = list[int]()

    def stop(_: int) -> None:
        stopped.append(builder_of(process))
        os.kill(stopped[0], signal.SIGSTOP)

    with ThreadPoolExecutor(3) as pool:
        optimizing = pool.submit(index.optimize, stop)
        wait_until(lambda: bool(stopped), 20)
        writing = pool.submit(index.upsert, small(50, 1))
        try:
            with pytest.raises(TimeoutError):
                writing.result(0.1)
            assert pool.submit(index.count).result(10) == 3_600
        finally:
            os.kill(stopped[0], signal.SIGCONT)
        writing.result(20)
        optimizing.result(20)
    assert index.count() == 3_650
    process.close()


def builder_of(process: EdgeProcess) -> int:
    assert process._child
    child = process._child[0].pid
    return int(Path(f"/proc/{child}/task/{child}/children").read_text())


@contextlib.contextmanager
def paused_builder(at: str = "    shard = edge.") -> Iterator[Callable[[Path], bool]]:
    """Who builds waits, by default once it has copied the files, until the context ends; gives what tells whether it has."""
    program = building._PROGRAM.read_text()
    with tempfile.TemporaryDirectory() as folder:
        slow, pause = Path(folder, "builder.py"), Path(folder, "pause")
        waits = f"    while Path({str(pause)!r}).exists(): __import__('time').sleep(0.01)\n"
        marked = program.replace(at, waits + at)
        assert marked != program
        slow.write_text(marked)
        pause.touch()
        with patch.object(building, "_PROGRAM", slow):
            yield lambda data: any(data.rglob("shard.building*"))
        pause.unlink()


def test_what_builds_a_graph_may_die(data: Path) -> None:
    index = opened(data)
    index.delete(filter=of(3, 4))
    with paused_builder():
        index.begin()
        assert index._opened._building
        index._opened._building._process.kill()
        with pytest.raises(IndexFaulted, match=r"could not be built \(its process ended with -9\); what was written stays"):
            index._opened.end(index._check_room, wait=True)
    assert sorted(one.name for one in (data / "collections/documents").iterdir() if one.is_dir()) == ["shard"]
    index.optimize()
    assert len(ids(index)) == 3_600
    index.close()


def test_closing_gives_up_what_is_being_built(data: Path) -> None:
    index = opened(data)
    index.delete(filter=of(3, 4))
    with paused_builder():
        index.begin()
        assert index._opened._building
        process = index._opened._building._process
        assert os.getpgid(process.pid) == process.pid  # so Ctrl-C is not for it
        index.close()
        assert process.returncode == -signal.SIGKILL
    assert not list(data.rglob("shard.building*"))


def test_what_builds_a_graph_ends_with_its_parent(data: Path) -> None:
    """Though the engine lets no Python run in it, and the parent has forked."""
    with paused_builder():
        script = f"""
import os, signal, sys
from pathlib import Path
from search.index.edge import builder, building
building._PROGRAM = Path({str(building._PROGRAM)!r})
one = building.Building(Path({str(data)!r}, "collections/documents/shard"))
one.copied()
if (fork := os.fork()) == 0:
    os.closerange(1, 3)
    signal.pause()
print(one._process.pid, fork, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        builder, fork = map(int, done.stdout.split())
        stat = Path(f"/proc/{builder}/stat")
        try:
            wait_until(lambda: not stat.exists() or "Z" in stat.read_text().split(), 20)
        finally:
            os.kill(fork, signal.SIGKILL)
    index = opened(data)
    assert not list(data.rglob("shard.building*"))
    assert len(ids(index)) == 6_000
    index.close()


@pytest.mark.parametrize("at", ["before", "between", "after"])
def test_whoever_is_killed_while_a_graph_takes_its_place_leaves_it_whole(data: Path, at: str) -> None:
    folder = data / "collections/documents/shard"
    shutil.copytree(
        folder, folder.with_name("shard.building.1" if at == "between" else f"shard.{'building.1' if at == 'before' else 'before'}")
    )
    if at == "between":
        folder.rename(folder.with_name("shard.before"))
    index = opened(data)
    assert len(ids(index)) == 6_000
    assert sorted(one.name for one in folder.parent.iterdir() if one.is_dir()) == ["shard"]
    index.close()
