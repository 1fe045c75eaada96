"""What a server and its collection tell of themselves, in `search doctor` and as metrics: what is wrong comes with its remedy."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import as_json, search
from serving import serving
from standin import Fault, QdrantStandIn

from search.cli.doctor import examine
from search.documents import Document
from search.searcher import open_search
from search.settings import Settings

TEXTS = [Document(id=f"d{i}", text=f"Number {i} is about cats.") for i in range(6)]
SUBJECTS = ("server", "nodes", "shards", "optimizer", "payload indexes", "slow filters", "size")


@pytest.fixture
def cluster() -> Iterator[QdrantStandIn]:
    with QdrantStandIn(nodes=3) as server:
        yield server


def filled(server: QdrantStandIn, tmp_path: Path, **index: Any) -> Settings:
    where = {"engine": "qdrant", "url": server.url, **index}
    settings = Settings(index=where, data_dir=tmp_path, reranker={"kind": "none"})
    with open_search(settings) as searcher:
        searcher.ingest(TEXTS)
    return settings


def found(settings: Settings) -> dict[str, tuple[bool, str]]:
    return {one.name: (one.ok, one.detail) for one in examine(settings)}


def test_one_server_that_is_well(standin: QdrantStandIn, tmp_path: Path) -> None:
    told = found(filled(standin, tmp_path))
    assert [name for name in told if name in SUBJECTS] == list(SUBJECTS)
    assert all(told[name][0] for name in SUBJECTS)
    assert told["server"][1] == f"Qdrant 1.19.0 at {standin.url}"
    assert told["nodes"][1] == "one, which is no cluster"
    assert told["shards"][1] == "1, each with 1 replica: 1 Active"
    assert told["optimizer"][1] == "nothing to do"
    assert told["payload indexes"][1] == "document_id (keyword), revision (keyword)"
    assert told["size"][1].startswith("6 points in ")


def test_before_anything_is_ingested_the_server_alone_is_told(cluster: QdrantStandIn, tmp_path: Path) -> None:
    told = found(Settings(index={"engine": "qdrant", "url": cluster.url}, data_dir=tmp_path, reranker={"kind": "none"}))
    assert "nothing ingested yet" in told["collection"][1]
    assert told["nodes"] == (True, "3")
    assert "shards" not in told
    assert "points" not in told


@pytest.mark.parametrize(
    ("version", "ok", "words"),
    [
        ("1.15.2", False, "upgrade it, one minor version after the other: collections need 1.16 or newer"),
        ("1.17.0", True, "1.16 is the least, and 1.19 the one that this package is measured with"),
        ("1.18.2", True, "from 1.19 on a collection without words is given some where it is"),
        ("2.0.1", True, "Qdrant 2.0.1 at"),
        ("unknown", True, "it does not tell its version ('unknown'), of which 1.16 is the least"),
    ],
)
def test_versions(version: str, ok: bool, words: str, standin: QdrantStandIn, tmp_path: Path) -> None:  # noqa: FBT001
    settings = filled(standin, tmp_path)
    standin.version = version
    assert found(settings)["server"][0] == ok
    assert words in found(settings)["server"][1]


def test_nodes_that_are_lost_and_a_quorum_that_is_not_there(cluster: QdrantStandIn, tmp_path: Path) -> None:
    settings = filled(cluster, tmp_path, shards=3, replicas=2)
    assert found(settings)["shards"] == (True, "3, each with 2 replicas: 6 Active")
    cluster.lost = {1}
    told = found(settings)
    assert not told["nodes"][0]
    assert "1 do not answer the one that was asked: http://node1:6335/ (Connection refused)" in told["nodes"][1]
    assert "no leader" not in told["nodes"][1]
    assert not told["shards"][0]
    assert "3, each with 2 replicas: 4 Active, 2 Dead; replicas are missing: 2 of shards 0, 1; start the nodes" in told["shards"][1]
    cluster.lost = {1, 2}
    told = found(settings)
    assert "they have no leader, so too few of them are there for a quorum" in told["nodes"][1]
    assert "no replica of shard 1 answers, so searches fail; start the nodes that hold them" in told["shards"][1]


@pytest.mark.parametrize(
    ("ailing", "ok", "words"),
    [
        ({}, True, "not at work, 2 segments of 300 points to be optimized"),
        ({"status": "yellow"}, True, "at work, 2 segments of 300 points to be optimized"),
        ({"status": "grey"}, True, "with which it begins at the next write"),
        ({"status": "red"}, False, "some operation failed and was not recovered"),
        ({"optimizer_status": {"error": "out of space"}}, False, "it failed: out of space; look into the server's log"),
        ({"update_queue": {"length": 5, "deferred_points": 3}}, True, "5 updates in its queue, 3 points not yet found"),
        ({"warnings": [{"message": "careful"}]}, True, "the server warns: careful"),
    ],
)
def test_the_optimizer(ailing: dict[str, Any], ok: bool, words: str, standin: QdrantStandIn, tmp_path: Path) -> None:  # noqa: FBT001
    settings = filled(standin, tmp_path)
    standin.ailing, standin.queued = ailing, {"queued_optimizations": 1, "queued_segments": 2, "queued_points": 300}
    told = found(settings)["optimizer"]
    assert told[0] == ok
    assert words in told[1]
    assert "nothing to do" not in told[1]


def test_payload_indexes_that_are_missing(standin: QdrantStandIn, tmp_path: Path) -> None:
    settings = filled(standin, tmp_path)
    wanting = settings.model_copy(
        update={"storage": settings.storage.model_copy(update={"payload_indexes": {"metadata.year": "integer"}})}
    )
    ok, words = found(wanting)["payload indexes"]
    assert not ok
    assert "missing: metadata.year integer; the next ingestion makes them" in words
    standin.strict = {"unindexed_filtering_retrieve": False}
    assert "strict mode refuses filters on other fields" in found(settings)["payload indexes"][1]


def test_what_a_key_may_not_ask_and_an_older_server_does_not_know_is_no_problem(standin: QdrantStandIn, tmp_path: Path) -> None:
    settings = filled(standin, tmp_path)
    answer = standin.answer

    def limited(method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == "/cluster":
            return 403, "Forbidden: Global access is required"
        if path.endswith(("/optimizations", "/cluster")):
            return 404, "Not found"
        return answer(method, path, body)

    standin.answer = limited  # type: ignore[method-assign]
    told = found(settings)
    assert told["nodes"] == (True, "not told to this API key, which may not ask for it")
    assert told["shards"] == (True, "not told by a server of this version")
    assert told["optimizer"] == (True, "nothing to do")


def test_the_command(cluster: QdrantStandIn, tmp_path: Path) -> None:
    filled(cluster, tmp_path, shards=3, replicas=2)
    where: dict[str, Any] = {"SEARCH_INDEX__ENGINE": "qdrant", "SEARCH_INDEX__URL": cluster.url, "SEARCH_DATA_DIR": str(tmp_path)}
    assert as_json("doctor", **where)["ok"]
    cluster.lost = {2}
    told = search("doctor", status=1, **where).stdout
    assert re.search(r"^PROBLEM  shards +3, each with 2 replicas: 4 Active, 2 Dead; replicas are missing", told, re.MULTILINE)
    assert re.search(r"^PROBLEM  nodes ", told, re.MULTILINE)


def figures(text: str) -> dict[str, float]:
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("search_index"))
    return {name: float(value) for name, value in lines}


def test_metrics_have_the_same_figures(cluster: QdrantStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = filled(cluster, tmp_path, shards=3, replicas=2)
    cluster.lost = {1}
    with serving(settings) as served:
        told = figures(served.http.get("/metrics").text)
        assert told['search_index{figure="nodes"}'] == 3
        assert told['search_index{figure="replicas_missing"}'] == 2
        assert told['search_index{figure="replicas_dead"}'] == 2
        assert told['search_index{figure="points"}'] == 6
        assert (told['search_index_ok{check="shards"}'], told['search_index_ok{check="payload_indexes"}']) == (0, 1)
        assert abs(told["search_index_asked_timestamp_seconds"] - time.time()) < 60
        asked = len(cluster.requests)
        cluster.lost = set()
        assert figures(served.http.get("/metrics").text) == told  # as it was a moment ago
        assert len(cluster.requests) == asked
        monkeypatch.setattr("search.api.health._EVERY_S", 0.0)
        told = figures(served.http.get("/metrics").text)
        assert told['search_index{figure="replicas_missing"}'] == 0
        assert told['search_index{figure="replicas_dead"}'] == 0
        assert told['search_index_ok{check="shards"}'] == 1


def test_a_server_that_does_not_answer_costs_metrics_their_news_and_searches_nothing(
    standin: QdrantStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = filled(standin, tmp_path)
    monkeypatch.setattr("search.api.health._WAITED_S", 0.2)
    with serving(settings) as served:
        standin.faults.append(Fault(delay_s=2.0))
        began = time.monotonic()
        assert "search_index_ok" not in "".join(figures(served.http.get("/metrics").text))
        assert served.http.post("/v1/search", json={"query": "cats"}).status_code == 200
        assert time.monotonic() - began < 1.5
        time.sleep(2.5)
        assert figures(served.http.get("/metrics").text)['search_index_ok{check="server"}'] == 1
        monkeypatch.setattr("search.api.health._EVERY_S", 0.0)
        standin.faults += [Fault(500)] * 20
        told = figures(served.http.get("/metrics").text)
        assert told['search_index_ok{check="server"}'] == 0
        assert not [name for name in told if name.startswith("search_index{")]  # what it told before is not what it tells


def test_an_engine_without_a_server_has_none_of_it(settings: Settings) -> None:
    with open_search(settings) as searcher:
        searcher.ingest(TEXTS)
    assert not set(found(settings)) & set(SUBJECTS)
    with serving(settings) as served:
        assert [name for name in figures(served.http.get("/metrics").text) if "{" in name] == []


def _noted(field: str, *schemas: Any, collection: str = "documents.v1") -> dict[str, Any]:
    """As a node of version 1.19 notes it."""
    actions = [
        {
            "message": f"Create an index on field '{field}'",
            "action": {
                "method": "PUT",
                "uri": f"/collections/{collection}/index",
                "headers": {"content-type": "application/json"},
                "body": {"field_name": field, "field_schema": schema},
            },
        }
        for schema in schemas
    ]
    return {
        "id": f"UNINDEXED_FIELD/{collection}/{field}",
        "description": f"Unindexed field '{field}' might be slowing queries down in collection '{collection}'",
        "solution": {"immediate": actions[0]} if len(actions) == 1 else {"immediate_choice": actions},
        "timestamp": "2026-11-29T12:00:00Z",
        "related_collection": collection,
    }


def test_filters_that_were_slow_are_named_with_the_index_that_helps(cluster: QdrantStandIn, tmp_path: Path) -> None:
    settings = filled(cluster, tmp_path, urls=cluster.urls[1:])
    assert found(settings)["slow filters"] == (True, "none that the server noted")
    cluster.issues = [
        _noted("metadata.city", "uuid", {"type": "keyword", "is_tenant": False}),
        _noted("metadata.due date", "integer", "float"),
        _noted("metadata.body", {"type": "text", "tokenizer": "word"}),
        _noted("elsewhere", "keyword", collection="other"),
        {"id": "TOO_MANY_COLLECTIONS/x", "solution": {"refactor": "fewer"}, "related_collection": None},
    ]
    ok, told = found(settings)["slow filters"]
    assert not ok
    assert told.startswith("by metadata.city, metadata.due date, metadata.body; these fields have no index")
    assert "`search collections index documents.v1 metadata.city keyword`" in told
    assert "`search collections index documents.v1 'metadata.due date' float`" in told
    assert "metadata.body TYPE`" in told
    assert "elsewhere" not in told
    cluster.issues = [_noted("metadata.tags[]", "keyword")]
    assert found(settings)["slow filters"][1].endswith(
        "`search collections index documents.v1 metadata.tags keyword` makes them faster, once filters name metadata.tags in place "
        "of metadata.tags[]"
    )
    cluster.lost.add(2)
    assert not found(settings)["slow filters"][0]
