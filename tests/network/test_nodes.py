"""Several URLs of one cluster: a node that is lost or hangs costs no request, no write and no claim."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from standin import Fault, QdrantStandIn
from standin_grpc import GrpcStandIn

from search.cli.doctor import examine
from search.documents import Document
from search.errors import IndexFaulted, IndexRejected, IndexTimeout, IndexUnreachable
from search.index.contract import CollectionSpec, Point, Query
from search.index.server.collections import QdrantCollections
from search.index.server.connection import ServerClient, connect
from search.index.server.index import QdrantIndex
from search.index.server.nodes import Agreement
from search.searcher import Searcher, open_search
from search.settings import Settings

SPEC = CollectionSpec(4, "model@1")
VECTOR = np.array([1, 0, 0, 0], np.float32)
POINTS = [Point(str(number), VECTOR, {"text": "x", "number": number}) for number in range(5)]
TEXTS = [Document(id=f"d{i}", text=f"Number {i} is about cats.") for i in range(40)]


@pytest.fixture
def cluster() -> Iterator[QdrantStandIn]:
    with QdrantStandIn(nodes=3) as server:
        yield server


def made(server: QdrantStandIn, **options: Any) -> tuple[QdrantIndex, ServerClient]:
    client = connect(server.url, urls=server.urls[1:], **options)
    return QdrantIndex(client, "documents", " or ".join(server.urls)), client


def opened(server: QdrantStandIn, model_folder: Path, tmp_path: Path, **index: Any) -> Searcher:
    where = {"engine": "qdrant", "url": server.url, "urls": server.urls[1:], **index}
    model = {"model": str(model_folder / "embedder-mean")}
    return open_search(Settings(index=where, embedder=model, reranker={"kind": "none"}, data_dir=tmp_path))


def test_a_node_that_is_lost_costs_neither_a_read_nor_a_write(cluster: QdrantStandIn) -> None:
    index, client = made(cluster)
    index.ensure(SPEC, create=True)
    index.upsert(POINTS)
    assert set(cluster.served) == {0}
    cluster.served.clear()
    cluster.lost = {0}
    assert index.count() == 5
    assert [one.id for one in index.query(Query(VECTOR), 2)]
    index.upsert([Point("9", VECTOR, {"text": "y"})])
    index.delete(ids=["0"])
    assert index.count() == 5
    assert len(list(index.scroll())) == 5
    assert cluster.served.count(0) == 1
    cluster.lost = {0, 1}
    assert index.count() == 5
    cluster.lost = {1, 2}  # the first is back, though it is left out, and the others are gone
    assert index.count() == 5
    cluster.lost = {0, 1, 2}
    with pytest.raises(IndexUnreachable, match=f"at {cluster.urls[0]} or {cluster.urls[1]} or {cluster.urls[2]} cannot be reached"):
        index.count()
    cluster.lost = set()
    assert index.count() == 5
    client.close()


def test_a_node_that_works_is_kept_to(cluster: QdrantStandIn) -> None:
    """And one that is left out is not asked in between, so that no search pays for it."""
    index, client = made(cluster)
    index.ensure(SPEC, create=True)
    cluster.lost = {0}
    index.count()
    cluster.served.clear()
    for _ in range(20):
        index.count()
    assert set(cluster.served) == {1}
    cluster.lost = {1}
    cluster.served.clear()
    index.count()
    assert list(cluster.served) == [1, 2]  # not 0: it is left out for five seconds
    client.close()


def test_an_ingestion_and_searches_go_on_while_nodes_come_and_go(
    cluster: QdrantStandIn, model_folder: Path, tmp_path: Path
) -> None:
    with opened(cluster, model_folder, tmp_path) as searcher:
        answer, counted = cluster.answer, [0]

        def answering(method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
            counted[0] += 1
            cluster.lost = {counted[0] // 3 % 3}  # one after the other, whatever is going on
            return answer(method, path, body)

        cluster.answer = answering  # type: ignore[method-assign]
        for start in range(0, 40, 8):
            report = searcher.ingest(TEXTS[start : start + 8])
            assert (report.added, report.rejected) == (8, 0)
            assert searcher.search("cats", limit=5).hits
        cluster.lost = set()
        assert searcher.count() == 40
        assert set(cluster.served) == {0, 1, 2}


def test_a_write_whose_answer_is_lost_is_sent_to_another_node(cluster: QdrantStandIn) -> None:
    index, client = made(cluster)
    index.ensure(SPEC, create=True)
    cluster.faults.append(Fault(cut=True))  # it was carried out
    index.upsert(POINTS)
    assert index.count() == 5
    assert [request for request in cluster.requests if request.startswith("PUT") and request.endswith("/points")] == [
        "PUT /collections/documents.v1/points"
    ] * 2
    client.close()


def test_what_would_do_harm_twice_is_not_sent_twice(cluster: QdrantStandIn) -> None:
    index, client = made(cluster)
    index.ensure(SPEC, create=True)
    collections = QdrantCollections(client, cluster.url)
    collections.unalias("documents")
    cluster.requests.clear()
    cluster.faults.extend([*[Fault()] * 3, Fault(cut=True)])
    with pytest.raises(IndexUnreachable):
        collections.drop("documents.v1")
    assert [one for one in cluster.requests if one.startswith("DELETE")] == ["DELETE /collections/documents.v1"]
    assert collections.names() == []
    client.close()


@pytest.mark.parametrize("status", [502, 503])
def test_a_node_that_is_starting_is_passed_over(status: int, cluster: QdrantStandIn) -> None:
    index, client = made(cluster)
    index.ensure(SPEC, create=True)
    cluster.faults.append(Fault(status))
    assert index.count() == 0
    body = b'{"status": {"error": "Service internal error: leader is not established within 10s"}}'
    cluster.faults.append(Fault(500, body=body))  # it is cut off from the others
    assert index.count() == 0
    cluster.faults.extend([Fault(500, body=body)] * 3)
    with pytest.raises(IndexFaulted, match="too few nodes"):
        index.count()
    cluster.faults.append(Fault(400))  # the request's fault is that at every node
    with pytest.raises(IndexRejected):
        index.count()
    client.close()


def test_a_node_that_hangs_costs_a_third_of_the_timeout_and_the_budget_holds(cluster: QdrantStandIn) -> None:
    index, client = made(cluster, timeout_s=3)
    index.ensure(SPEC, create=True)
    index.upsert(POINTS)
    cluster.stopped = {0}
    started = time.monotonic()
    with pytest.raises(IndexTimeout, match="300 ms that a budget left it"):
        index.query(Query(VECTOR, timeout_s=0.3), 5)
    assert time.monotonic() - started < 1
    started = time.monotonic()
    assert len(index.query(Query(VECTOR, timeout_s=0.3), 5)) == 5  # by now another one is asked
    assert time.monotonic() - started < 0.3
    client.nodes.nodes[0].left_out_until = 0
    client.nodes.asked = client.nodes.nodes[0]
    started = time.monotonic()
    assert index.count() == 5
    assert 0.9 < time.monotonic() - started < 2
    cluster.stopped = set()
    client.close()


def test_a_write_of_many_points_has_its_time(cluster: QdrantStandIn) -> None:
    """A cluster that is busy would get it from every node otherwise."""
    index, client = made(cluster, timeout_s=3)
    index.ensure(SPEC, create=True)
    for points, nodes in ((POINTS, [0, 1]), ([Point(str(n), VECTOR, {"text": "x"}) for n in range(50)], [1])):
        cluster.served.clear()
        cluster.faults.append(Fault(delay_s=1.5))  # a third is one second
        index.upsert(points)
        assert list(cluster.served) == nodes
    cluster.faults.append(Fault(delay_s=1.5))
    cluster.served.clear()
    QdrantCollections(client, cluster.url).unalias("documents")  # asks for aliases first
    assert list(cluster.served)[-1:] == [2]
    client.close()


def test_a_claim_is_not_lost_with_a_node_that_hangs(cluster: QdrantStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is renewed at another node before anybody thinks that its holder is dead."""
    monkeypatch.setattr("search.index.server.lease._RENEWED_EVERY_S", 0.3)
    monkeypatch.setattr("search.index.server.lease._DEAD_AFTER_S", 1.2)
    index, client = made(cluster, timeout_s=1)
    index.ensure(SPEC, create=True)
    with index.claimed():
        cluster.stopped = {0}
        time.sleep(2)
        cluster.served.clear()
        index.upsert(POINTS)
        assert 0 not in cluster.served
    cluster.stopped = set()
    assert index.count() == 5
    client.close()


def test_over_grpc_another_node_is_asked_too(cluster: QdrantStandIn) -> None:
    with GrpcStandIn(cluster) as first, GrpcStandIn(cluster) as second:
        client = connect(cluster.url, urls=cluster.urls[1:2], grpc_port=first.port)
        client.nodes.nodes[1].grpc_port = second.port
        index = QdrantIndex(client, "documents", cluster.url)
        index.ensure(SPEC, create=True)
        index.upsert(POINTS)
        assert second.calls == []
        cluster.faults.append(Fault(503))  # UNAVAILABLE
        index.upsert(POINTS)
        assert index.count() == 5
        assert (first.calls, second.calls) == (["upsert", "upsert"], ["upsert", "count"])
        client.close()


def test_consistency_and_ordering_are_as_the_settings_say(cluster: QdrantStandIn) -> None:
    agreement = Agreement("majority", "strong")
    asked: list[str] = []
    index, client = made(cluster, agreement=agreement)
    node = client.nodes.nodes[0]
    send = node.rest.openapi_client.client.send

    def sending(request: Any, *rest: Any) -> Any:
        asked.append(str(request.url))
        return send(request, *rest)

    node.rest.openapi_client.client.send = sending  # type: ignore[assignment, method-assign]
    index.ensure(SPEC, create=True)
    index.upsert(POINTS)
    index.delete(ids=["1"])
    index.count()
    list(index.scroll())
    index.query(Query(VECTOR), 1)
    told = {urlsplit(one).path.rpartition("documents.v1")[2]: parse_qs(urlsplit(one).query) for one in asked}
    for path in ("/points", "/points/delete"):
        assert told[path]["ordering"] == ["strong"], told
    for path in ("/points/count", "/points/scroll", "/points/query/batch"):
        assert told[path]["consistency"] == ["majority"]
    client.close()
    with GrpcStandIn(cluster) as port:
        for consistency in (2, "quorum", "all", None):
            index, client = made(cluster, grpc_port=port.port, agreement=Agreement(consistency, "medium"))
            index.ensure(SPEC, create=False)
            index.upsert(POINTS)
            assert index.count() == 5
            assert (port.ordering[-1], port.consistency[-1]) == ("medium", consistency)
            client.close()


def test_a_node_that_was_gone_for_days_is_still_an_unreachable_one() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and nobody listens
        client = connect(f"http://127.0.0.1:{free.getsockname()[1]}")
        node = client.nodes.nodes[0]
        node.failures = 5_000
        node.leave_out()
        assert 50 < node.left_out_until - time.monotonic() <= 60
        for _ in range(3):
            with pytest.raises(IndexUnreachable) as raised:
                QdrantIndex(client, "documents", node.url).ensure(SPEC, create=True)
            assert raised.value.transient
        client.close()


def test_doctor_looks_at_each_address(cluster: QdrantStandIn, model_folder: Path, tmp_path: Path) -> None:
    with opened(cluster, model_folder, tmp_path, replicas=3) as searcher:
        searcher.ingest(TEXTS[:3])
        told = {one.name: one for one in examine(searcher.settings)}["protocol"]
        assert told.ok
        assert all(f"{url} (Qdrant 1.19.0): REST" in told.detail for url in cluster.urls)
        cluster.lost = {2}
        told = {one.name: one for one in examine(searcher.settings)}["protocol"]
        assert not told.ok
        assert f"1 of 3 addresses does not answer: the Qdrant server at {cluster.urls[2]} cannot be reached" in told.detail
        assert len(searcher.search("cats").hits) == 3
