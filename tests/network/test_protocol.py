"""Points go over gRPC where the same server speaks it, and over REST otherwise: found out once, in a bounded time, and told."""

import json
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from qdrant_client import QdrantClient
from serving import wait_until
from standin import Fault, QdrantStandIn
from standin_grpc import GrpcStandIn

from search.cli.doctor import examine
from search.documents import Document, Retrieval
from search.errors import IndexRejected, IndexTimeout, IndexUnreachable, InvalidSettings
from search.index.contract import CollectionSpec, Point, Query
from search.index.server.connection import ServerClient, connect
from search.index.server.index import QdrantIndex
from search.network.deadlines import left_of, within
from search.searcher import Searcher, open_search
from search.settings import Settings

SPEC = CollectionSpec(4, "model@1")
VECTOR = np.array([1, 0, 0, 0], np.float32)
POINT = "3f0a3c5e-1111-4f2b-9a50-000000000001"
TEXTS = [Document(id=f"d{i}", text=f"Number {i} is about cats.", metadata={"year": 2000 + i}) for i in range(12)]


@pytest.fixture
def both(standin_grpc: GrpcStandIn) -> GrpcStandIn:
    return standin_grpc


def opened(url: str, model_folder: Path, tmp_path: Path, **index: Any) -> Searcher:
    where = {"engine": "qdrant", "url": url, **index}
    model = {"model": str(model_folder / "embedder-mean")}
    return open_search(Settings(index=where, embedder=model, reranker={"kind": "none"}, data_dir=tmp_path))


def told(searcher: Searcher) -> str:
    return next(one.detail for one in examine(searcher.settings) if one.name == "protocol")


def test_points_go_over_grpc_where_it_is_spoken(
    standin: QdrantStandIn, both: GrpcStandIn, model_folder: Path, tmp_path: Path
) -> None:
    """And everything else goes over REST; the answers are the same."""
    with opened(standin.url, model_folder, tmp_path, protocol="rest") as searcher:
        searcher.ingest(TEXTS)
        query: dict[str, Any] = {"limit": 5, "filter": {"must": [{"key": "metadata.year", "range": {"gte": 2003}}]}}
        expected = [(hit.document_id, hit.text, dict(hit.metadata)) for hit in searcher.search("cats 5", **query).hits]
        scores = [hit.score for hit in searcher.search("cats 5", **query).hits]
        assert told(searcher) == "REST (as the settings say)"
        assert not both.calls
    with opened(standin.url, model_folder, tmp_path, grpc_port=both.port) as searcher:
        standin.headers.clear()
        result = searcher.search("cats 5", **query)
        assert [(hit.document_id, hit.text, dict(hit.metadata)) for hit in result.hits] == expected
        assert [hit.score for hit in result.hits] == pytest.approx(scores, abs=1e-6)
        assert both.calls.count("HealthCheck") == 1
        report = searcher.ingest([*TEXTS, Document(id="new", text="Another one.")])
        assert (report.unchanged, report.added) == (12, 1)
        assert searcher.count() == 13
        searcher.delete(ids=["new"])
        assert searcher.count() == 12
        assert {"query/batch", "scroll", "count", "upsert", "delete"} <= set(both.calls)
        assert both.calls.count("HealthCheck") == 1  # it is found out once
        assert told(searcher) == f"points over gRPC (port {both.port}), the rest over REST"


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        ({}, "REST (the URL's port is not 6333, and no grpc_port is set)"),
        ({"protocol": "rest", "grpc_port": 1}, "REST (as the settings say)"),
        ({"grpc": False, "grpc_port": 1}, "REST (as the settings say)"),
        ({"grpc_port": 1}, "REST (no gRPC at port 1: UNAVAILABLE)"),
    ],
)
def test_rest_otherwise_and_why(
    index: dict[str, Any], reason: str, standin: QdrantStandIn, model_folder: Path, tmp_path: Path
) -> None:
    with opened(standin.url, model_folder, tmp_path, **index) as searcher:
        assert searcher.ingest(TEXTS).added == 12
        assert len(searcher.search("cats").hits) == 10
        assert told(searcher) == reason


def test_a_firewall_that_says_nothing_costs_a_second_once(standin: QdrantStandIn) -> None:
    with socket.socket() as silent:  # it never accepts: its queue is full, and more connections wait
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        port = silent.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)  # noqa: FBT003  # the name is of the standard library
            one.connect_ex(("127.0.0.1", port))
        index = made(standin.url, protocol="auto", grpc_port=port)
        index.ensure(SPEC, create=True)
        started = time.monotonic()
        assert index.count() == 0
        assert time.monotonic() - started < 3
        started = time.monotonic()
        assert index.count() == 0
        assert time.monotonic() - started < 0.5
        index.close()
        index = made(standin.url, protocol="auto", grpc_port=port)
        index.ensure(SPEC, create=False)
        started = time.monotonic()
        assert index.query(Query(VECTOR, timeout_s=0.6), 5) == []  # over REST, in the time that is left
        assert time.monotonic() - started < 0.7
        standin.requests.clear()
        index.query(Query(VECTOR, timeout_s=0.6), 5)
        assert "GET /" not in standin.requests  # what is not known is not asked again at once
        node = index._client.nodes.nodes[0]  # type: ignore[attr-defined]
        assert node.over_grpc is None
        assert node.spoken() == f"REST (no gRPC at port {port}: DEADLINE_EXCEEDED)"  # with all the time that it takes
        index.close()
        for one in waiting:
            one.close()


def test_a_port_that_goes_is_left_for_rest_until_it_is_back(standin: QdrantStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.index.server.nodes._UNKNOWN_FOR_S", 0.0)
    monkeypatch.setattr("search.index.server.nodes._LOOKED_AT_EVERY_S", 0.3)
    with GrpcStandIn(standin) as port:
        index = made(standin.url, protocol="auto", grpc_port=port.port)
        index.ensure(SPEC, create=True)
        index.upsert([Point(POINT, VECTOR, {"document_id": "d"})])
        assert {"HealthCheck", "upsert"} <= set(port.calls)
    node = index._client.nodes.nodes[0]  # type: ignore[attr-defined]
    for _ in range(3):
        assert [found.id for found in index.query(Query(VECTOR), 5)] == [POINT]
    assert node.reason == f"no gRPC at port {port.port}: UNAVAILABLE"
    with GrpcStandIn(standin, port=port.port) as again:
        wait_until(lambda: index.count() == 1 and "count" in again.calls, 10)
        assert node.spoken() == f"points over gRPC (port {port.port}), the rest over REST"
    index.close()
    index = made(standin.url, protocol="grpc", grpc_port=port.port)
    index.ensure(SPEC, create=False)
    with pytest.raises(IndexUnreachable, match="over gRPC"):  # as the settings say
        index.count()
    index.close()


def test_to_find_out_takes_no_more_than_the_budget(standin: QdrantStandIn, both: GrpcStandIn) -> None:
    index = made(standin.url, protocol="auto", grpc_port=both.port)
    index.ensure(SPEC, create=True)
    standin.requests.clear()
    standin.faults.append(Fault(delay_s=2))
    started = time.monotonic()
    assert index.query(Query(VECTOR, timeout_s=0.6), 5) == []
    assert time.monotonic() - started < 0.7
    assert both.calls == []
    index.close()


def test_one_who_has_little_time_does_not_wait_for_whoever_finds_out(standin: QdrantStandIn, both: GrpcStandIn) -> None:
    index = made(standin.url, protocol="auto", grpc_port=both.port)
    index.ensure(SPEC, create=True)
    node = index._client.nodes.nodes[0]  # type: ignore[attr-defined]
    with node._one_at_a_time:
        started = time.monotonic()
        index.query(Query(VECTOR, timeout_s=0.6), 5)
        assert time.monotonic() - started < 0.6
    assert index.count() == 0
    assert node.over_grpc
    index.close()


def test_a_server_that_does_not_answer_is_not_asked_by_every_request_what_it_speaks(
    standin: QdrantStandIn, both: GrpcStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.index.server.nodes._UNKNOWN_FOR_S", 0.3)
    index = made(standin.url, protocol="auto", grpc_port=both.port)
    index.ensure(SPEC, create=True)
    standin.faults.append(Fault(503))
    standin.requests.clear()
    for _ in range(5):
        assert index.count() == 0
    assert standin.requests.count("GET /") == 0  # the only one got the fault
    assert not both.calls
    time.sleep(0.3)
    assert index.count() == 0
    assert both.calls == ["HealthCheck", "count"]
    index.close()


@pytest.mark.parametrize(("seconds", "least"), [((1.0, 5.0), 1.0), ((5.0, 1.0), 1.0), ((None, 2.0), 2.0), ((2.0, None), 2.0)])
def test_time_that_is_given_twice_is_the_shorter_one(seconds: tuple[float | None, float | None], least: float) -> None:
    with within(seconds[0]), within(seconds[1]):
        assert left_of(None) == left_of(9.0) == least
        assert left_of(0.5) == 0.5
    with within(-1.0):
        left = left_of(5.0)
        assert left is not None
        assert 0 < left < 0.1


def test_no_request_waits_for_an_acknowledgement(standin: QdrantStandIn, both: GrpcStandIn) -> None:
    """As one does, for 40 ms, that accepts compressed answers, which the server sends in small segments."""

    def median(client: Any) -> float:
        index, took = QdrantIndex(client, "documents", standin.url), []
        index.ensure(SPEC, create=True)
        index.upsert([Point(str(number), VECTOR, {"text": "x" * number}) for number in range(20)])
        for _ in range(15):
            started = time.perf_counter()
            index.query(Query(VECTOR), 20)
            took.append(time.perf_counter() - started)
        index.close()
        return statistics.median(took)

    standin.chunked = True
    kept = httpx.Limits(max_keepalive_connections=8)
    assert median(QdrantClient(url=standin.url, limits=kept, check_compatibility=False)) > 0.035
    assert median(connect(standin.url)) < 0.035
    assert median(connect(standin.url, grpc_port=both.port)) < 0.035


def made(url: str, **options: Any) -> QdrantIndex:
    return QdrantIndex(connect(url, **options), "documents", url)


def spoken(client: ServerClient) -> str:
    try:
        return client.nodes.nodes[0].spoken()
    finally:
        client.close()


def test_another_server_at_the_grpc_port_is_not_written_to(standin: QdrantStandIn) -> None:
    with QdrantStandIn() as other, GrpcStandIn(other) as port:
        other.version = "1.18.1"
        index = made(standin.url, protocol="auto", grpc_port=port.port)
        index.ensure(SPEC, create=True)
        index.upsert([Point("1", VECTOR, {"text": "x"})])
        assert index.count() == 1
        assert port.calls == ["HealthCheck"]
        index.close()
        assert spoken(connect(standin.url, protocol="auto", grpc_port=port.port)) == (
            f"REST (at port {port.port} another server answers, of version 1.18.1)"
        )


def test_what_cannot_hold_grpc_is_not_asked(both: GrpcStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    for url, reason in (
        ("http://127.0.0.1:6333/prefix", "REST (the URL has a path, and gRPC has none)"),
        ("http://user:s3cret@127.0.0.1:6333", "REST (the URL has a user and password, which gRPC does not send)"),
    ):
        assert spoken(connect(url, protocol="auto", grpc_port=both.port)) == reason
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    client = connect("http://qdrant.example:6333", protocol="auto", grpc_port=both.port)
    assert spoken(client) == "REST (a proxy stands between, named by the environment)"
    assert not both.calls


def test_a_server_that_is_not_there_yet_is_looked_at_again(standin: QdrantStandIn, both: GrpcStandIn) -> None:
    client = connect(standin.url, protocol="auto", grpc_port=both.port)
    node = client.nodes.nodes[0]
    for fault in (Fault(reset=True), Fault(503), Fault(429)):
        standin.faults.append(fault)
        assert node.spoken() == "REST (it does not answer now)"
    standin.faults.clear()
    assert node.spoken() == f"points over gRPC (port {both.port}), the rest over REST"
    client.close()


def test_a_gateway_that_hides_the_version_is_asked_over_rest(standin: QdrantStandIn, both: GrpcStandIn) -> None:
    standin.faults.append(Fault(404))
    told = spoken(connect(standin.url, protocol="auto", grpc_port=both.port))
    assert told == "REST (its version is not told, by which the gRPC port would be known to be its own)"


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_a_query_by_vectors_is_one_request_and_one_by_both_two(
    protocol: str, standin: QdrantStandIn, both: GrpcStandIn, model_folder: Path, tmp_path: Path
) -> None:
    """The second has the scores that a list lacks, and the payloads."""
    with opened(standin.url, model_folder, tmp_path, protocol=protocol, grpc_port=both.port) as searcher:
        searcher.ingest(TEXTS)
        asked: list[tuple[Retrieval, int]] = [("dense", 1), ("hybrid", 2)]
        for retrieval, number in asked:
            searcher.search("cats 5", retrieval=retrieval)
            standin.requests.clear()
            assert searcher.search("cats 5", retrieval=retrieval).hits
            assert standin.requests == ["POST /collections/documents.v1/points/query/batch"] * number


def test_a_budget_holds_over_grpc_to_the_millisecond(standin: QdrantStandIn, both: GrpcStandIn) -> None:
    index = made(standin.url, protocol="grpc", grpc_port=both.port)
    index.ensure(SPEC, create=True)
    standin.faults.append(Fault(delay_s=2))
    started = time.monotonic()
    with pytest.raises(IndexTimeout, match="300 ms that a budget left it"):
        index.query(Query(VECTOR, timeout_s=0.3), 5)
    assert time.monotonic() - started < 1
    index.close()


def test_a_server_that_was_gone_is_spoken_to_again_soon(standin: QdrantStandIn) -> None:
    """gRPC would wait for up to two minutes."""
    with GrpcStandIn(standin) as port:
        index = made(standin.url, protocol="grpc", grpc_port=port.port)
        index.ensure(SPEC, create=True)
        assert index.count() == 0
        number = port.port
    for _ in range(30):
        with pytest.raises(IndexUnreachable):
            index.count()
        time.sleep(0.1)
    with GrpcStandIn(standin, port=number):
        for left in reversed(range(40)):
            try:
                index.count()
                break
            except IndexUnreachable:
                assert left
                time.sleep(0.1)
    index.close()


def test_the_old_setting_and_the_new_one() -> None:
    def given(**index: Any) -> str:
        return str(Settings(index={"engine": "qdrant", **index}).index.spoken)  # type: ignore[union-attr]

    assert [given(), given(grpc=True), given(grpc=False), given(protocol="rest")] == ["auto", "grpc", "rest", "rest"]
    assert given(grpc=True, protocol="grpc") == "grpc"
    with pytest.raises(InvalidSettings, match="grpc = true and protocol = 'rest' contradict each other; leave grpc out"):
        given(grpc=True, protocol="rest")
    with pytest.raises(IndexRejected, match="over REST only"):
        connect("http://user:s3cret@127.0.0.1:6333", protocol="grpc")


FORKED = """
import json, os, sys
from search.index.contract import CollectionSpec
from search.index.server.connection import connect
from search.index.server.index import QdrantIndex

url, port, name = sys.argv[1:]
index = QdrantIndex(connect(url, protocol="auto", grpc_port=int(port)), name, url)
index.ensure(CollectionSpec(4, "model@1"), create=False)
before = index.count()
read, write = os.pipe()
if (child := os.fork()) == 0:
    os.write(write, json.dumps([index.count() for _ in range(20)]).encode())
    os._exit(0)
os.close(write)
mine = [before, *(index.count() for _ in range(20))]
with os.fdopen(read) as stream:
    print(json.dumps([mine, json.loads(stream.read() or "null"), os.waitpid(child, 0)[1]]))
"""


def test_a_forked_child_speaks_grpc_by_connections_of_its_own(standin: QdrantStandIn) -> None:
    """Forked by a process that serves no gRPC itself: what serves it does not survive a fork."""
    with GrpcStandIn(standin) as port:
        index = made(standin.url, protocol="auto", grpc_port=port.port)
        index.ensure(SPEC, create=True)
        index.upsert([Point(str(number), VECTOR, {"text": "x", "number": number}) for number in range(5)])
        port.calls.clear()
        command = [sys.executable, "-c", FORKED, standin.url, str(port.port), index.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == [[5] * 21, [5] * 20, 0]
        assert port.calls.count("HealthCheck") == 1
        assert port.calls.count("count") == 41
        index.close()


def test_claims_go_over_rest_and_passages_over_grpc(
    standin: QdrantStandIn, both: GrpcStandIn, model_folder: Path, tmp_path: Path
) -> None:
    """Under the conditions of a claim, which hold over gRPC, too."""
    with opened(standin.url, model_folder, tmp_path, grpc_port=both.port) as searcher:
        assert searcher.ingest(TEXTS).added == len(TEXTS)
        assert searcher.ingest(TEXTS[:6], sync=True, max_delete=1.0).removed == 6
        assert len(searcher.search("cats", limit=20).hits) == 6
    assert {"upsert", "delete"} <= set(both.calls)
    assert "strong" in both.ordering
    index = QdrantIndex(connect(standin.url, grpc_port=both.port), "claimed", standin.url)
    index.ensure(SPEC, create=True)
    with index.claimed():
        index.upsert([Point(POINT, VECTOR, {"document_id": "later"})])
    with index.claimed():
        assert index._claim.lease
        index._claim.lease.number = 0  # as that of one who was taken for dead
        index.upsert([Point(POINT, VECTOR, {"document_id": "earlier"})])
        index.delete(ids=[POINT])
    assert [record.payload["document_id"] for record in index.scroll()] == ["later"]
    assert both.calls.count("upsert") >= 3
    index.close()
