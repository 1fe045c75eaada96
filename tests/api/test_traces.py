"""Traces reach a collector that speaks OTLP over HTTP, and nobody needs one."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import ValidationError
from serving import serving

from search.documents import Document
from search.errors import IndexTimeout
from search.searcher import Searcher
from search.settings import ServiceSettings, Settings

pytest.importorskip("opentelemetry.sdk")
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def filled(searcher: Searcher) -> None:
    searcher.ingest([Document(id=f"bird{i}", text=f"Bird number {i} sings at dawn.") for i in range(8)])


class Collector:
    """What came in, as spans."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, str]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            disable_nagle_algorithm = True  # or every answer waits 40 ms for an acknowledgement

            def do_POST(self) -> None:
                from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

                assert self.path == "/v1/traces"
                body = self.rfile.read(int(self.headers["content-length"]))
                for of in ExportTraceServiceRequest.FromString(body).resource_spans:
                    collector.resources.append({one.key: one.value.string_value for one in of.resource.attributes})
                    collector.spans += [span for scope in of.scope_spans for span in scope.spans]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]


@pytest.fixture
def collector() -> Iterator[Collector]:
    one = Collector()
    thread = threading.Thread(target=one.server.serve_forever)
    thread.start()
    yield one
    one.server.shutdown()
    thread.join()
    one.server.server_close()


def told(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def test_a_request_is_a_trace_with_its_stages(
    collector: Collector, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    query = "Which secret bird sings?"
    with caplog.at_level("INFO", logger="search.api"), serving(settings, filled, traces_url=collector.url) as served:
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        answer = served.http.post("/v1/search", json={"query": query}, headers=headers).json()
        served.http.post("/v1/search/batch", json={"searches": [{"query": query}, {"query": query, "rerank": False}]})
        served.http.post("/rerank", json={"query": query, "texts": ["a", "b"]})
        served.http.get("/v1/documents/bird1")
        served.http.post("/v1/documents", json={"documents": [{"id": "secret", "text": "A secret."}]})
        assert served.http.post("/v1/search", json={"query": query, "collection": "secret"}).status_code == 404
        served.http.get("/healthz")
    spans = {span.span_id: span for span in collector.spans}
    assert len(spans) == len(collector.spans)

    request = next(span for span in collector.spans if span.trace_id.hex() == TRACE and span.name == "POST /v1/search")
    assert (request.parent_span_id.hex(), request.kind) == (PARENT, request.SPAN_KIND_SERVER)
    assert told(request) == {
        "http.request.method": "POST",
        "http.route": "/v1/search",
        "http.response.status_code": 200,
        "search.request_id": answer["request_id"],
    }
    lines = [getattr(record, "fields", {}) for record in caplog.records]
    assert [line["request_id"] for line in lines if line.get("trace_id") == TRACE] == [answer["request_id"]]

    search = next(span for span in collector.named("search") if span.parent_span_id == request.span_id)
    assert told(search) == {
        "search.depth": settings.depth,
        "search.embedder": "all-MiniLM-L6-v2",
        "search.reranker": "minilm-reranker",
        "search.rerank_status": "full",
        "search.reranked": 8,
        "search.rerank_tokens": answer["rerank_tokens"],
    }
    stages = [span for span in collector.spans if span.parent_span_id == search.span_id]
    assert [span.name for span in stages] == ["queue", "embed", "retrieve", "rerank"]
    took = {span.name: (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6 for span in stages}
    assert took == pytest.approx({name: answer["timings_ms"][name] for name in took}, abs=0.01)
    for span in (search, *stages):
        assert request.start_time_unix_nano <= span.start_time_unix_nano
        assert span.end_time_unix_nano <= request.end_time_unix_nano

    batch = collector.named("POST /v1/search/batch")[0]
    inner = [span for span in collector.named("search") if span.parent_span_id == batch.span_id]
    assert [told(span)["search.rerank_status"] for span in inner] == ["full", "skipped"]
    assert [told(span)["search.reranked"] for span in collector.named("rerank") if span.attributes] == [2]
    assert [len(collector.named(name)) for name in ("look", "write")] == [1, 1]
    failed = next(span for span in collector.named("search") if span.status.code)
    assert failed.status.message == "CollectionNotFound"
    assert spans[failed.parent_span_id].status.code == 0  # the client's fault
    assert not any("healthz" in span.name for span in collector.spans)
    assert "secret" not in str(collector.spans)
    assert collector.resources[0] | {"service.name": "two-stage-search", "deployment.environment": "test"} == collector.resources[0]


def test_a_failure_of_the_service_is_an_error(collector: Collector, settings: Settings) -> None:
    with serving(settings, filled, traces_url=collector.url) as served:

        def fail(*_: object) -> None:
            raise IndexTimeout("the server at 10.0.0.1 does not answer")

        served.searcher.embedder.embed_query = fail  # type: ignore[method-assign, assignment]
        assert served.http.post("/v1/search", json={"query": "x"}).status_code == 503
    request = collector.named("POST /v1/search")[0]
    assert (request.status.code, told(request)["http.response.status_code"]) == (2, 503)
    assert collector.named("search")[0].status.message == "IndexTimeout"
    assert "10.0.0.1" not in str(collector.spans)


def test_a_collector_that_says_nothing_costs_nothing_but_its_traces(settings: Settings) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with serving(settings, filled, traces_url=f"http://127.0.0.1:{silent.getsockname()[1]}") as served:
            for _ in range(3):
                assert served.http.post("/v1/search", json={"query": "x"}).status_code == 200
            ends = time.monotonic()
        assert time.monotonic() - ends < 4.5


def test_without_a_collector_nothing_of_it_is_loaded() -> None:
    script = """
import sys
from search.api.traces import Traces
with Traces(None).request("x", {}):
    print("opentelemetry" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_collector_needs_its_library() -> None:
    script = """
import sys
sys.modules["opentelemetry"] = None
from search.api.traces import Traces
Traces("http://127.0.0.1:4318")
"""
    failed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False).stderr
    assert "install this package with its extra traces" in failed


@pytest.mark.parametrize("url", ["127.0.0.1:4318", "http://user:secret@127.0.0.1:4318", "http://127.0.0.1:4318?token=secret"])
def test_an_address_holds_no_secrets(url: str) -> None:
    with pytest.raises(ValidationError, match="traces_url"):
        ServiceSettings(traces_url=url)
