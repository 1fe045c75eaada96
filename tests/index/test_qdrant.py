"""A Qdrant server that is down, slow, busy, locked or not Qdrant: each has its own error, and nothing is left over."""

import inspect
import json
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import qdrant_client.http.exceptions as http_exceptions
import trustme
from qdrant_client import QdrantClient
from qdrant_client.common import client_exceptions
from serving import serving
from standin import Fault, QdrantStandIn
from standin_grpc import GrpcStandIn
from theirs import fill
from upstream import everywhere

from search.documents import Document
from search.embedding.dense import FastEmbedEmbedder
from search.errors import (
    CollectionNotFound,
    IndexDenied,
    IndexFailure,
    IndexFaulted,
    IndexFull,
    IndexGarbled,
    IndexMismatch,
    IndexOverloaded,
    IndexRejected,
    IndexTimeout,
    IndexUnreachable,
)
from search.index.contract import CollectionSpec, Point, Query
from search.index.server.collections import QdrantCollections
from search.index.server.connection import connect
from search.index.server.errors import translate
from search.index.server.index import QdrantIndex
from search.searcher import open_search
from search.settings import Settings, StorageSettings

SPEC = CollectionSpec(4, "model@1")
ID = "8c0d6a8e-5a39-5f0c-9a5e-0d8c1c3a6b1f"


def point(text: str = "", number: int = 0) -> Point:
    return Point(f"{number:08d}{ID[8:]}", np.ones(4, np.float32), {"document_id": "d", "text": text})


def opened(url: str, **options: object) -> QdrantIndex:
    return QdrantIndex(connect(url, **options), "documents", url)  # type: ignore[arg-type]  # a test's own options


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def index(standin: QdrantStandIn) -> QdrantIndex:
    index = opened(standin.url, timeout_s=1)
    index.ensure(SPEC, create=True)
    index.upsert([point()])
    return index


FAULTS: dict[str, tuple[Fault, type[IndexFailure], str]] = {
    "wrong key": (Fault(401), IndexDenied, "SEARCH_INDEX__API_KEY"),
    "forbidden": (Fault(403), IndexDenied, "SEARCH_INDEX__API_KEY"),
    "a proxy's own user": (
        Fault(401, body=b"<html>401 Authorization Required</html>"),
        IndexDenied,
        "stands before .* its user and",
    ),
    "a gateway's rules": (Fault(403, body=b'{"message": "Forbidden"}'), IndexDenied, "stands before .* let this request through"),
    "collection gone": (Fault(404), CollectionNotFound, "planted"),
    "bad request": (Fault(400), IndexRejected, "planted"),
    "bad request, plain text": (Fault(400, body=b"oh no"), IndexRejected, "400"),
    "busy": (Fault(429), IndexOverloaded, "try again later"),
    "busy, try later": (Fault(429, (("Retry-After", "7"),)), IndexOverloaded, "in 7 s"),
    "server error": (Fault(500), IndexFaulted, "500"),
    "not ready": (Fault(503), IndexUnreachable, "not ready"),
    "gateway": (Fault(504), IndexTimeout, "SEARCH_INDEX__TIMEOUT_S"),
    "not Qdrant": (Fault(200, body=b"<html>hello</html>"), IndexGarbled, "not Qdrant's"),
    "other JSON": (Fault(200, body=b'{"result": 5}'), IndexGarbled, "not Qdrant's"),
    "slow": (Fault(delay_s=1.5), IndexTimeout, "in time"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_and_passes(name: str, index: QdrantIndex, standin: QdrantStandIn) -> None:
    fault, kind, message = FAULTS[name]
    standin.faults.append(fault)
    with pytest.raises(kind, match=message) as caught:
        index.query(Query(np.ones(4, np.float32)), 1)
    assert caught.value.__cause__ is not None
    assert len(index.query(Query(np.ones(4, np.float32)), 1)) == 1
    index.close()


def test_retry_after_is_handed_on(index: QdrantIndex, standin: QdrantStandIn) -> None:
    standin.faults += [Fault(429, (("Retry-After", "7"),)), Fault(429)]
    for expected in (7.0, None):
        with pytest.raises(IndexOverloaded) as caught:
            index.count()
        assert caught.value.retry_after_s == expected
    index.close()


@pytest.mark.parametrize("options", [{}, {"grpc_port": 1}], ids=["rest", "grpc"])
def test_server_down(options: dict[str, int]) -> None:
    port = free_port()
    index = opened(f"http://127.0.0.1:{port}", **({"grpc_port": port} if options else {}))
    with pytest.raises(IndexUnreachable, match="cannot be reached"):
        index.ensure(SPEC, create=True)
    index.close()


def test_what_a_proxy_takes_of_a_request_is_kept_to(standin: QdrantStandIn) -> None:
    """As nginx takes 1 MB, unless it is told otherwise."""
    index = opened(standin.url)
    index.ensure(SPEC, create=True)
    standin.largest = 30_000
    index.upsert([point("x" * 1_000, number) for number in range(100)])
    assert index.count() == 100
    sent = len(standin.requests)
    index.upsert([point("y" * 1_000, number) for number in range(100)])
    assert {record.payload["text"][0] for record in index.scroll()} == {"y"}
    assert len(standin.requests) - sent < 12  # what it takes is known by then
    with pytest.raises(IndexRejected, match=r"\(413\).*client_max_body_size of nginx.*one passage alone has about 40 kB"):
        index.upsert([point("z", 0), point("z" * 40_000, 1), point("z", 2)])
    index.close()


def test_what_the_server_itself_takes_of_a_request_is_kept_to(standin: QdrantStandIn) -> None:
    """It refuses more than its max_request_size_mb with 400."""
    index = opened(standin.url)
    index.ensure(SPEC, create=True)
    answer = standin.answer

    def answered(method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if (size := len(json.dumps(body))) > 30_000:
            return 400, f"JSON payload ({size} bytes) is larger than allowed (limit: 30000 bytes)."
        return answer(method, path, body)

    standin.answer = answered  # type: ignore[method-assign]
    index.upsert([point("x" * 1_000, number) for number in range(100)])
    assert index.count() == 100
    with pytest.raises(IndexRejected, match=r"is larger than allowed.*service\.max_request_size_mb.*one passage alone"):
        index.upsert([point("z" * 40_000, 1)])
    index.close()


def test_a_long_document_gets_past_a_proxy_whole(
    standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    standin.largest = 100_000
    text = "\n\n".join(f"Chapter {number}. " + "The tides of the sea follow the moon. " * 20 for number in range(40))
    fill(QdrantClient(url=standin.url, check_compatibility=False), bundled_embedder)
    with open_search(Settings(data_dir=tmp_path, index=standin.index)) as searcher:
        report = searcher.ingest([Document("long", text), Document("short", "A cat.")])
        assert (report.added, report.rejected) == (2, 0)
        assert searcher.get("long").text == text
        assert searcher.beside("ours").adopt("theirs").ingest.added == 10


def test_server_that_stops() -> None:
    with QdrantStandIn() as server:
        index = opened(server.url)
        index.ensure(SPEC, create=True)
    with pytest.raises(IndexUnreachable):
        index.count()
    index.close()


def test_key_is_sent_and_never_shown() -> None:
    with QdrantStandIn(api_key="s3cret") as server:
        index = opened(server.url, api_key="s3cret")
        index.ensure(SPEC, create=True)
        index.close()
        for options in ({}, {"api_key": "wr0ng"}):
            denied = opened(server.url, **options)
            with pytest.raises(IndexDenied) as caught:
                denied.ensure(SPEC, create=True)
            assert "wr0ng" not in str(caught.value)
            denied.close()


def test_tls_with_a_private_authority(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    with QdrantStandIn(tls=context) as server:
        trusting = opened(server.url, ca_file=ca_file)
        trusting.ensure(SPEC, create=True)
        trusting.upsert([point()])
        assert trusting.count() == 1
        trusting.close()
        doubting = opened(server.url)
        with pytest.raises(IndexUnreachable, match=r"(?i)certificate"):
            doubting.ensure(SPEC, create=True)
        doubting.close()


@pytest.mark.parametrize("healthy", range(8))
def test_a_creation_that_was_interrupted_is_finished(healthy: int, standin: QdrantStandIn) -> None:
    """Before the version, the collection, its alias, its payload indexes, or the look at it in the end."""
    index = opened(standin.url)
    standin.faults += [*[Fault()] * healthy, Fault(503)]
    with pytest.raises(IndexUnreachable):
        index.ensure(SPEC, create=True)
    standin.faults.clear()
    standin.requests.clear()
    index.ensure(SPEC, create=True)
    assert standin.indexed["documents.v1"] == {"document_id": "keyword", "revision": "keyword"}
    assert "POST /collections/aliases" in (standin.requests if healthy < 5 else ["POST /collections/aliases"])
    index.upsert([point()])
    assert index.count() == 1
    index.close()


@pytest.mark.parametrize(("version", "told"), [("1.15.5", "version 1.15.5, and collections need 1.16"), ("0.11.7", "upgrade it")])
def test_a_server_that_is_too_old_is_told_before_anything_is_made(version: str, told: str, standin: QdrantStandIn) -> None:
    standin.version = version
    index = opened(standin.url)
    with pytest.raises(IndexRejected, match=told):
        index.ensure(SPEC, create=True)
    assert standin.answer("GET", "/collections", {})[1] == {"collections": []}
    index.close()


@pytest.mark.parametrize("version", ["1.16.0", "v2.0.1-dev", "unknown"])
def test_a_server_whose_version_is_new_or_hidden_is_taken(version: str, standin: QdrantStandIn) -> None:
    standin.version = version
    index = opened(standin.url)
    index.ensure(SPEC, create=True)
    assert index.count() == 0
    index.close()


def test_payload_indexes_are_asked_for_where_they_are_missing(standin: QdrantStandIn) -> None:
    index = opened(standin.url)
    index.ensure(SPEC, create=True)
    index.close()
    standin.requests.clear()
    storage = StorageSettings(payload_indexes={"metadata.year": "integer", "metadata.tags[]": "keyword"})
    index = QdrantIndex(connect(standin.url), "documents", standin.url, storage)
    index.ensure(SPEC, create=True)
    index.close()
    made = {"document_id": "keyword", "revision": "keyword", "metadata.year": "float", "metadata.tags": "keyword"}
    assert standin.indexed["documents.v1"] == made
    assert standin.requests.count("PUT /collections/documents.v1/index") == 2
    standin.indexed["documents.v1"]["metadata.year"] = "integer"  # as earlier versions made it
    standin.requests.clear()
    for _ in range(2):
        index = QdrantIndex(connect(standin.url), "documents", standin.url, storage)
        index.ensure(SPEC, create=True)
        index.close()
    assert standin.requests.count("PUT /collections/documents.v1/index") == 1
    assert standin.indexed["documents.v1"] == made  # one that nobody asks for any more stays


@everywhere
def test_two_creators_at_once(standin: QdrantStandIn) -> None:
    index = opened(standin.url)
    made = {"vectors": {"size": 4, "distance": "Cosine"}, "metadata": {"fingerprint": "model@1"}}
    standin.answer("PUT", "/collections/documents.v1", made)  # and its alias not yet
    index.ensure(SPEC, create=True)
    index.close()


@pytest.mark.parametrize("grpc_port", [None, 6334])
def test_a_private_authority_that_cannot_be_read_is_told(grpc_port: int | None, tmp_path: Path) -> None:
    with pytest.raises(IndexRejected, match="cannot be read"):
        connect("https://127.0.0.1:6333", ca_file=tmp_path / "ca.pem", grpc_port=grpc_port)


@pytest.mark.parametrize("url", ["localhost:6333", "ftp://127.0.0.1", "http://", ""])
def test_url_that_is_none(url: str) -> None:
    with pytest.raises(IndexRejected, match="write it like"):
        connect(url)


def test_authority_that_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(IndexRejected, match="cannot be read"):
        connect("https://127.0.0.1:6333", ca_file=tmp_path / "absent.pem")
    (tmp_path / "empty.pem").touch()
    with pytest.raises(IndexRejected, match="cannot be read"):
        connect("https://127.0.0.1:6333", ca_file=tmp_path / "empty.pem")


@everywhere
def test_a_collection_of_somebody_else(standin: QdrantStandIn) -> None:
    index = opened(standin.url)
    standin.answer("PUT", "/collections/documents", {"vectors": {"size": 4, "distance": "Cosine"}})
    with pytest.raises(IndexMismatch, match="not made by this package"):
        index.ensure(SPEC, create=True)
    index.close()


@pytest.mark.parametrize("garbage", [5, "text", ["list"], None])
@everywhere
def test_metadata_that_somebody_else_wrote(garbage: object, standin: QdrantStandIn) -> None:
    """Anybody may write into it; what is not as this package writes it counts as not written."""
    index, collections = opened(standin.url), QdrantCollections(connect(standin.url), standin.url)
    index.ensure(SPEC, create=True)
    standin.answer("PATCH", "/collections/documents.v1", {"metadata": {"previous": garbage, "writer": garbage}})
    with index.claimed():
        index.upsert([point()])
    assert collections.previous("documents") is None
    collections.switch("live", "documents.v1")
    standin.answer("PATCH", "/collections/documents.v1", {"metadata": {"fingerprint": [garbage]}})
    assert collections.info("documents").spec is None
    with pytest.raises(IndexMismatch, match="not made by this package"):
        index.ensure(SPEC, create=False)
    index.close()
    collections.close()


def test_large_writes_are_split(index: QdrantIndex, standin: QdrantStandIn) -> None:
    standin.requests.clear()
    index.upsert([point("x" * 3_000_000, number) for number in range(5)])
    assert len([request for request in standin.requests if request.startswith("PUT")]) == 3
    assert index.count() == 5
    index.close()


def test_every_exception_of_the_client_is_translated() -> None:
    headers = httpx.Headers()
    examples: dict[type[Exception], list[Exception]] = {
        http_exceptions.UnexpectedResponse: [http_exceptions.UnexpectedResponse(s, "", b"", headers) for s in (400, 401, 404, 500)],
        http_exceptions.ResponseHandlingException: [
            http_exceptions.ResponseHandlingException(source)
            for source in (httpx.ConnectError("x"), httpx.ReadTimeout("x"), ValueError("x"), ssl.SSLError("x"))
        ],
        client_exceptions.ResourceExhaustedResponse: [client_exceptions.ResourceExhaustedResponse("x", 3)],
        client_exceptions.QdrantException: [client_exceptions.QdrantException("x")],
        http_exceptions.ApiException: [http_exceptions.ApiException("x")],
        grpc.RpcError: [grpc.RpcError("x")],
        ValueError: [ValueError("x")],
        RuntimeError: [RuntimeError("x")],
        NotImplementedError: [NotImplementedError("x")],
    }
    defined = {
        value
        for module in (http_exceptions, client_exceptions)
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Exception)
    }
    assert defined <= examples.keys()
    for errors in examples.values():
        for error in errors:
            assert isinstance(translate(error, "the server"), IndexFailure)


@pytest.mark.parametrize("code", list(grpc.StatusCode), ids=lambda code: code.name)
def test_every_grpc_status_is_translated(code: grpc.StatusCode) -> None:
    """Only what is truly the request's fault is IndexRejected, which a document may be rejected for."""

    class Failed(grpc.RpcError, grpc.Call):  # type: ignore[misc]  # grpc ships no types
        def __init__(self, details: str | None = "planted") -> None:
            self._details = details

        def code(self) -> grpc.StatusCode:
            return code

        def details(self) -> str | None:
            return self._details

        def _unused(self, *_: object) -> None:
            raise AssertionError

        initial_metadata = trailing_metadata = is_active = time_remaining = cancel = add_callback = _unused

    kinds = {
        "UNAUTHENTICATED": IndexDenied,
        "PERMISSION_DENIED": IndexDenied,
        "NOT_FOUND": CollectionNotFound,
        "DEADLINE_EXCEEDED": IndexTimeout,
        "RESOURCE_EXHAUSTED": IndexOverloaded,
        "UNAVAILABLE": IndexUnreachable,
        "UNIMPLEMENTED": IndexGarbled,
        **dict.fromkeys(("INVALID_ARGUMENT", "ALREADY_EXISTS", "OUT_OF_RANGE"), IndexRejected),
    }
    for details in ("planted", None, ""):
        assert type(translate(Failed(details), "the server")) is kinds.get(code.name, IndexFaulted)
    assert IndexFaulted.transient
    assert type(translate(Failed("Service internal error: No space left on device (os error 28)"), "the server")) is IndexFull
    larger = type(translate(Failed("Received message larger than max (900 vs. 100)"), "the server"))
    assert larger is (IndexGarbled if code.name == "RESOURCE_EXHAUSTED" else kinds.get(code.name, IndexFaulted))


DISK = "Disk usage is at 96% of total capacity, exceeding the configured limit of 95%. Help: Reduce disk usage."
MEMORY = "Resident memory usage is at 91% of total memory, exceeding the configured limit of 90%."
POINTS = "Bad request: Max points count limit of 40 reached!"
RATE = "Rate limiting exceeded: Write rate limit exceeded, request larger than than rate limiter capacity, please try to split it"


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
@pytest.mark.parametrize(
    ("status", "text", "kind", "told"),
    [
        (507, DISK, IndexFull, "the disk of the Qdrant server"),
        (507, MEMORY, IndexFull, "the memory of the Qdrant server"),
        (400, POINTS, IndexFull, "the collection at the Qdrant server"),
        (429, RATE, IndexRejected, "raise the rate limits"),
        (429, "Rate limiting exceeded: Write rate limit exceeded, retry later", IndexOverloaded, "asks for fewer requests"),
    ],
)
def test_what_has_no_room_is_told_alike_over_both_protocols(
    status: int, text: str, kind: type[IndexFailure], told: str, protocol: str, standin: QdrantStandIn, standin_grpc: GrpcStandIn
) -> None:
    index = opened(standin.url, protocol=protocol, grpc_port=standin_grpc.port)
    index.ensure(SPEC, create=True)
    standin.refusals = {"PUT */points": (status, text)}
    with pytest.raises(kind, match=told) as caught:
        index.upsert([point()])
    assert caught.value.transient is (kind is IndexOverloaded)
    index.close()


def test_a_budget_bounds_a_server_that_is_slow(standin: QdrantStandIn, model_folder: Path, tmp_path: Path) -> None:
    index = {"engine": "qdrant", "url": standin.url}
    settings = Settings(
        data_dir=tmp_path, index=index, embedder={"model": str(model_folder / "embedder-mean")}, reranker={"kind": "none"}
    )
    with open_search(settings) as searcher:
        searcher.ingest([Document(id="1", text="Cats sleep.")])
        assert searcher.search("cats").hits
        standin.faults.append(Fault(delay_s=4))
        started = time.monotonic()
        with pytest.raises(IndexTimeout, match=r"did not answer in the \d+ ms that a budget left it"):
            searcher.search("cats", budget_ms=700)
        assert time.monotonic() - started < 3
        standin.faults.clear()
        assert searcher.search("cats", budget_ms=2_000).hits


def test_a_budget_bounds_the_first_search_too(standin: QdrantStandIn, model_folder: Path, tmp_path: Path) -> None:
    """Which looks for the collection, and opens it."""
    index = {"engine": "qdrant", "url": standin.url, "timeout_s": 20}
    settings = Settings(
        data_dir=tmp_path, index=index, embedder={"model": str(model_folder / "embedder-mean")}, reranker={"kind": "none"}
    )
    with open_search(settings) as searcher:
        searcher.ingest([Document("a", "A cat.")])
    with open_search(settings) as searcher:
        searcher.embedder.embed_query("loaded")
        standin.stopped.add(0)
        started = time.monotonic()
        with pytest.raises(IndexTimeout, match=r"a budget left it \d+ ms, so give a larger budget_ms, or none"):
            searcher.search("cats", budget_ms=600)
        assert time.monotonic() - started < 5
        standin.stopped.clear()
        assert searcher.search("cats", budget_ms=5_000).hits
    with serving(settings) as served:
        standin.stopped.add(0)
        started = time.monotonic()
        asked = {"query": "cats", "collection": "another", "budget_ms": 600}
        assert served.http.post("/v1/search", json=asked).status_code == 503
        assert time.monotonic() - started < 5
        standin.stopped.clear()


@pytest.mark.parametrize("name", ["documents", "theirs"])
def test_a_budget_bounds_all_that_opening_takes(
    name: str, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, client: QdrantClient, tmp_path: Path
) -> None:
    if name == "theirs":
        fill(client, bundled_embedder)
    else:
        with open_search(Settings(data_dir=tmp_path, index=standin.index)) as searcher:
            searcher.ingest([Document(id="1", text="Cats sleep.")])
    with open_search(Settings(data_dir=tmp_path, index=standin.index, collection=name, reranker={"kind": "none"})) as searcher:
        searcher.embedder.embed_query("warm")
        standin.faults.extend([Fault(delay_s=0.4)] * 20)
        started = time.monotonic()
        with pytest.raises(IndexTimeout, match="a budget left it"):
            searcher.search("cats", budget_ms=600)
        assert time.monotonic() - started < 1.5
        standin.faults.clear()
        assert searcher.search("cats", budget_ms=5_000).hits
