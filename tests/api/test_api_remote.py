"""A service whose reranker is behind a chat endpoint, or whose collection is on a server, that comes and goes."""

import asyncio
import logging
import socket
from collections import deque
from pathlib import Path

import pytest
from chatting import Answer, ChatStandIn
from mcp import Client as Assistant
from scopes import token
from serving import serving, wait_until, with_pets
from standin import Fault, QdrantStandIn

from search.api.state import Service
from search.mcp_server import build_assistant
from search.searcher import open_search
from search.settings import Settings


@pytest.fixture
def port() -> int:
    """Where nobody answers, until a test listens there."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        number: int = one.getsockname()[1]
    return number


def asking(settings: Settings, port: int) -> Settings:
    chat = {"kind": "chat", "url": f"http://127.0.0.1:{port}/v1", "model": "a-model"}
    return settings.model_copy(update={"reranker": Settings(reranker=chat).reranker})


def test_the_service_starts_while_the_reranker_is_down(settings: Settings, port: int, caplog: pytest.LogCaptureFixture) -> None:
    with serving(asking(settings, port), with_pets) as served:
        assert "did not answer" in caplog.text
        assert served.http.get("/readyz").status_code == 200
        told = served.http.post("/v1/search", json={"query": "What sleeps?"}).raise_for_status().json()
        assert (told["rerank_status"], len(told["hits"])) == ("failed", 3)
        with ChatStandIn(port):
            told = served.http.post("/v1/search", json={"query": "What sleeps?"}).raise_for_status().json()
            assert (told["rerank_status"], told["reason"]) == ("full", "")


def test_the_service_starts_while_the_reranker_is_silent(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("search.api.state._WARM_REMOTE_MS", 200.0)
    with ChatStandIn() as silent, open_search(asking(settings, int(silent.url.split(":")[2].split("/")[0]))) as searcher:
        silent.planted.append(Answer(silent=True))
        service = Service(searcher.settings, searcher)
        service.warm_up()
        assert service.ready
        assert "did not answer within 0.2 s" in caplog.text
        assert len(silent.requests) == 1
        service.close()


def test_where_the_reranker_is_stays_here(settings: Settings, port: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with serving(asking(settings, port), with_pets) as served:
        answer = served.http.post("/v1/search", json={"query": "x"}, headers={"X-Request-Id": "mine"})
        assert answer.json()["reason"] == "the reranker a-model failed; the log of the service has the rest under request mine"
        batch = served.http.post("/v1/search/batch", json={"searches": [{"query": "x"}]})
        scored = served.http.post("/rerank", json={"query": "x", "texts": ["a", "b"]})
        assert "127.0.0.1" not in answer.text + batch.text + scored.text
        assert f"request mine: the reranker a-model failed: http://127.0.0.1:{port}" in caplog.text

        async def ask() -> None:
            async with Assistant(build_assistant(served.searcher, may_ingest=False)) as assistant:
                found = (await assistant.call_tool("search", {"query": "What sleeps?"})).structured_content
                assert found
                assert found["notes"][0].startswith("the reranker failed")
                assert "127.0.0.1" not in str(found)

        asyncio.run(ask())


def test_what_a_model_writes_of_passages_is_not_logged(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with ChatStandIn() as server, serving(asking(settings, int(server.url.split(":")[2].split("/")[0])), with_pets) as served:
        server.planted += [Answer("The first says that cats sleep, which answers What sleeps?")] * 2
        told = served.http.post("/v1/search", json={"query": "What sleeps?"}).raise_for_status().json()
        served.http.post("/rerank", json={"query": "What sleeps?", "texts": ["a", "b"]})
        assert (told["rerank_status"], server.planted) == ("failed", deque())
        assert caplog.text.count("named no passage (it wrote 58 characters)") >= 2
        assert "cats sleep" not in caplog.text
        assert "What sleeps?" not in caplog.text


@pytest.mark.parametrize("how", ["gone", "silent", "a proxy's page", "no replica"])
def test_it_is_unready_while_its_server_does_not_answer(how: str, settings: Settings, standin: QdrantStandIn) -> None:
    index = Settings(index={**standin.index, "timeout_s": 1}).index
    with serving(settings.model_copy(update={"index": index}), with_pets) as served:

        def search() -> int:
            return served.http.post("/v1/search", json={"query": "What sleeps?", "rerank": False}).status_code

        def ready() -> bool:
            return served.http.get("/readyz").status_code == 200

        standin.faults.append(Fault(500))
        assert search() == 503
        assert search() == 200  # one that failed says little
        standin.faults.append(Fault(400))
        standin.faults.append(Fault(400))
        assert {search(), search()} == {422}
        assert ready()
        if how == "gone":
            standin.lost.add(0)
        elif how == "silent":
            standin.stopped.add(0)
        elif how == "no replica":
            replicas = "Service internal error: The replica set for shard 0 on peer 1000 has no active replica"
            standin.refusals = {"POST */query/batch": (500, replicas)}
        else:
            standin.faults.extend([Fault(200, body=b"<html>Back soon</html>")] * 1000)
        assert {search(), search()} <= {502, 503, 504}
        assert not ready()
        assert "search_ready 0.0" in served.http.get("/metrics").text
        if standin.refusals:
            asked = standin.requests.count("POST /collections/documents.v1/points/query/batch")
            wait_until(lambda: standin.requests.count("POST /collections/documents.v1/points/query/batch") > asked, 10)
        assert not ready()
        standin.lost.clear()
        standin.stopped.clear()
        standin.faults.clear()
        standin.refusals = {}
        wait_until(ready, 10)  # by itself
        assert "search_ready 1.0" in served.http.get("/metrics").text
        assert search() == 200


def test_a_key_for_aliases_alone_searches_what_they_lead_to(model_folder: Path, tmp_path: Path) -> None:
    with QdrantStandIn(api_key="secret-key") as standin:
        embedder = {"model": str(model_folder / "embedder-mean")}

        def of(collection: str, key: str) -> Settings:
            index = {**standin.index, "api_key": key}
            return Settings(index=index, collection=collection, embedder=embedder, reranker={"kind": "none"}, data_dir=tmp_path)

        for name in ("documents", "manuals", "secrets"):
            with open_search(of(name, "secret-key")) as searcher:
                with_pets(searcher)
        key = token("secret-key", [{"collection": name, "access": "r"} for name in ("documents", "manuals")])
        with serving(of("documents", key)) as served:
            for name, status in {"documents": 200, "manuals": 200, "secrets": 404, "absent": 404}.items():
                search = served.http.post("/v1/search", json={"query": "What sleeps?", "collection": name})
                facets = served.http.get(f"/v1/collections/{name}/facets")
                assert (name, search.status_code, facets.status_code) == (name, status, status)
