"""A server's answer is bounded in time and size, and no URL or key that is secret stands in a message."""

import gzip
import json
import logging
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import grpc
import httpcore
import httpx
import numpy as np
import pytest
import trustme
from commands import search
from qdrant_client import QdrantClient
from standin import Fault, QdrantStandIn
from standin_grpc import GrpcStandIn

from search.client import AsyncClient, Client
from search.documents import Document
from search.errors import (
    CollectionNotFound,
    IndexDenied,
    IndexFailure,
    IndexFaulted,
    IndexFull,
    IndexGarbled,
    IndexOverloaded,
    IndexRejected,
    IndexTimeout,
    IndexUnreachable,
    InvalidSettings,
    SearchError,
)
from search.export.checkpoint import fetch as fetch_checkpoint
from search.index.contract import CollectionSpec, Point, Query
from search.index.server import transport
from search.index.server.collections import QdrantCollections
from search.index.server.connection import Protocol, connect
from search.index.server.described import Described
from search.index.server.index import QdrantIndex
from search.index.server.limits import Limits
from search.inference.fastembed import Embedders, fetch
from search.network.addresses import checked_key, read_address, without_secrets
from search.network.transport import _Backend
from search.reranking.chat import ChatReranker
from search.searcher import open_search
from search.settings import ServerSettings, Settings, StorageSettings

SPEC = CollectionSpec(4, "model@1")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
Answer = Callable[[socket.socket], None]


@contextmanager
def raw_server(answer: Answer) -> Iterator[str]:
    """Answers the first request of every connection as it likes."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65_536)
                    answer(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    ended.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)


def names(url: str, timeout_s: int = 1) -> list[str]:
    collections = QdrantCollections(connect(url, timeout_s=timeout_s), url)
    try:
        return collections.names()
    finally:
        collections.close()


def dripping(head: bytes) -> Answer:
    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        with suppress(OSError):
            for _ in range(400):
                connection.sendall(b" ")
                time.sleep(0.1)

    return answer


@pytest.mark.parametrize(
    "head", [HEAD + b"Content-Length: 1000\r\n\r\n", HEAD + b"X-Long: ", b"HTTP/1.1 "], ids=["body", "headers", "status line"]
)
def test_a_server_that_drips_is_given_up_in_time(head: bytes) -> None:
    with raw_server(dripping(head)) as url:
        started = time.monotonic()
        with pytest.raises(IndexTimeout):
            names(url)
        assert time.monotonic() - started < 10  # of 40


def test_a_long_answer_that_comes_steadily_is_waited_for() -> None:
    """Longer than the timeout in all, and never that long in between."""
    body = b'{"result": {"collections": []}, "status": "ok", "time": 0.0}' + b" " * 1_500_000

    def answer(connection: socket.socket) -> None:
        connection.sendall(HEAD + f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode())
        for start in range(0, len(body), 300_000):
            connection.sendall(body[start : start + 300_000])
            time.sleep(0.4)

    with raw_server(answer) as url:
        started = time.monotonic()
        assert names(url) == []
        assert time.monotonic() - started > 1.5


@pytest.mark.parametrize("told", [True, False], ids=["by its length", "by its bytes"])
def test_an_answer_without_end_is_not_read(told: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001
    monkeypatch.setattr(transport, "LARGEST_ANSWER", 1_000_000)
    sent = 0

    def answer(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(HEAD + (b"Content-Length: 600000000\r\n\r\n" if told else b"\r\n"))
        with suppress(OSError):
            for _ in range(6_000):
                sent += connection.send(b" " * 100_000)

    with raw_server(answer) as url, pytest.raises(IndexGarbled, match="more than 1 MB"):
        names(url, 5)
    assert sent < 20_000_000


def test_a_compressed_answer_is_refused_and_none_is_asked_for(standin: QdrantStandIn) -> None:
    body = gzip.compress(b" " * 50_000_000)

    def answer(connection: socket.socket) -> None:
        connection.sendall(HEAD + f"Content-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    with raw_server(answer) as url, pytest.raises(IndexGarbled, match="compressed answers though it was asked for plain ones"):
        names(url, 5)

    client = connect(standin.url)
    assert client.get_collections().collections == []
    assert standin.headers[-1]["accept-encoding"] == "identity"
    client.close()


def test_large_pages_pass(standin: QdrantStandIn) -> None:
    """A page with vectors, and 200 candidates with texts, as they are."""
    index = QdrantIndex(connect(standin.url), "documents", standin.url)
    spec = CollectionSpec(1024, "model@1")
    index.ensure(spec, create=True)
    points = [Point(f"{i:08d}-5a39-5f0c-9a5e-0d8c1c3a6b1f", np.ones(1024, np.float32), {"text": "x" * 4_000}) for i in range(300)]
    index.upsert(points)
    assert len(list(index.scroll(vectors=True))) == 300
    assert len(index.query(Query(np.ones(1024, np.float32)), 200)) == 200
    index.close()


def test_libraries_are_as_the_transport_takes_them() -> None:
    """httpx hands no backend on to httpcore, so the transport sets it; should either be built otherwise, this says so."""
    carrier = httpx.HTTPTransport()
    bounded = transport.BoundedTransport(carrier, 1.0)
    assert isinstance(carrier._pool, httpcore.ConnectionPool)
    assert isinstance(carrier._pool._network_backend, _Backend)
    bounded.close()


# Every status, and every kind of garbage


def kind_of(status: int) -> type[IndexFailure]:
    known: dict[int, type[IndexFailure]] = {
        **dict.fromkeys((400, 409, 413, 422), IndexRejected),
        **dict.fromkeys((401, 403, 407), IndexDenied),
        404: CollectionNotFound,
        **dict.fromkeys((408, 504), IndexTimeout),
        **dict.fromkeys((425, 502, 503), IndexUnreachable),
        429: IndexOverloaded,
        507: IndexFull,
    }
    return known.get(status, IndexFaulted if 500 <= status < 600 else IndexGarbled)


def test_every_status_has_its_error(standin: QdrantStandIn) -> None:
    collections = QdrantCollections(connect(standin.url), standin.url)
    for status in range(203, 700):
        body = b"" if status in {204, 304} else b'{"status": {"error": "planted"}, "time": 0.0}'
        standin.faults.append(Fault(status, (("Location", "http://127.0.0.1:1/"),), body=body))
        with pytest.raises(IndexFailure) as caught:
            collections.names()
        assert type(caught.value) is kind_of(status), status
        assert len(str(caught.value)) < 400
    standin.faults.append(Fault(404, body=b"<html>nothing here</html>"))
    with pytest.raises(IndexGarbled, match="knows nothing of collections"):
        collections.names()
    standin.faults.append(Fault(500, body=b'{"status": {"error": "' + b"x" * 100_000 + b'"}}'))
    with pytest.raises(IndexFaulted) as caught:
        collections.names()
    assert len(str(caught.value)) < 1_000
    collections.close()


GARBAGE = {
    "nothing": b"",
    "a page": b"<html></html>",
    "half": b'{"result": {"coll',
    "no UTF-8": b'{"result": "\xff\xfe"}',
    "half a surrogate pair": b'{"result": "\\ud800"}',
    "null": b"null",
    "null as result": b'{"result": null, "status": "ok", "time": 0}',
    "a number": b"5",
    "a list": b"[]",
    "other fields": b'{"result": {"collections": [{"name": 5}]}}',
    "deep": b'{"result": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "deep objects": b'{"result": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    "a long number": b'{"result": ' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_never_the_requests_fault(name: str, standin: QdrantStandIn) -> None:
    index = QdrantIndex(connect(standin.url, timeout_s=5), "documents", standin.url)
    index.ensure(SPEC, create=True)
    asked: list[Callable[[], object]] = [
        lambda: index.query(Query(np.ones(4, np.float32)), 3),
        index.count,
        lambda: list(index.scroll(vectors=True)),
        lambda: index.delete(ids=["8c0d6a8e-5a39-5f0c-9a5e-0d8c1c3a6b1f"]),
        lambda: index.ensure(SPEC, create=True),
        lambda: QdrantCollections(index._client, standin.url).names(),
    ]
    for ask in asked:
        standin.faults.append(Fault(200, body=GARBAGE[name]))
        with suppress(IndexGarbled):  # or it is let pass, where the answer says nothing that anybody needs
            ask()
        standin.faults.clear()
    index.close()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (format_datetime(datetime.now(UTC) + timedelta(days=2)), 86_400),
        (format_datetime(datetime.now(UTC) + timedelta(hours=12)), 43_200),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("7", 7),
        ("1.5", 2),
        ("-4", 0),
        ("9" * 5_000, 86_400),
        ("inf", 86_400),
        ("soon", None),
        ("nan", None),
        ("", None),
    ],
    ids=["in two days", "in half a day", "long ago", "7 s", "1.5 s", "-4 s", "ever", "inf", "soon", "nan", "nothing"],
)
def test_a_server_says_in_any_way_when_to_come_again(value: str, expected: float | None, standin: QdrantStandIn) -> None:
    collections = QdrantCollections(connect(standin.url), standin.url)
    standin.faults.append(Fault(429, (("Retry-After", value),)))
    with pytest.raises(IndexOverloaded) as caught:
        collections.names()
    wait = caught.value.retry_after_s
    assert wait is None if expected is None else wait is not None and 0.95 * expected <= wait <= expected
    collections.close()


# gRPC


def opened(client: QdrantClient, location: str) -> QdrantIndex:
    """An index of a server that answers nothing of what opens one."""
    index = QdrantIndex(client, "documents", location)
    index._open = Described("documents", SPEC, Limits(), StorageSettings(), None, {}, None, keyed_by_others=False, differing=())
    return index


@contextmanager
def grpc_server(
    status: grpc.StatusCode | None, detail: str = "", answer: bytes = b"", credentials: grpc.ServerCredentials | None = None
) -> Iterator[int]:
    """Answers every call with a status, or with some bytes; over TLS, if there are credentials for it."""

    class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
        def service(self, handler_call_details: object) -> object:
            del handler_call_details

            def call(_: bytes, context: grpc.ServicerContext) -> bytes:
                if status is not None:
                    context.abort(status, detail)
                return answer

            return grpc.unary_unary_rpc_method_handler(call)

    server = grpc.server(ThreadPoolExecutor(2), handlers=[Handler()])
    address = "127.0.0.1:0"
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    server.start()
    yield port
    server.stop(None).wait()


@pytest.mark.parametrize(
    ("status", "detail", "kind"),
    [
        (grpc.StatusCode.INTERNAL, "Service internal error: 1 of 2 operations failed", IndexFaulted),
        (grpc.StatusCode.UNKNOWN, "", IndexFaulted),
        (grpc.StatusCode.ABORTED, "planted", IndexFaulted),
        (grpc.StatusCode.INTERNAL, "No space left on device: WAL buffer size exceeds available disk space", IndexFull),
        (grpc.StatusCode.INVALID_ARGUMENT, "Vector dimension error", IndexRejected),
        (grpc.StatusCode.UNIMPLEMENTED, "planted", IndexGarbled),
    ],
)
def test_over_grpc_only_a_bad_argument_is_the_points_fault(status: grpc.StatusCode, detail: str, kind: type[IndexFailure]) -> None:
    with grpc_server(status, detail) as port:
        index = opened(connect("http://127.0.0.1:1", grpc_port=port, timeout_s=5), "http://127.0.0.1:1")
        with pytest.raises(kind):
            index.upsert([Point("1", np.ones(4, np.float32), {})])
        index.close()


def test_a_large_answer_over_grpc_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.index.server.connection.LARGEST_ANSWER", 1_000_000)
    with grpc_server(None, answer=b"\0" * 2_000_000) as port:
        index = opened(connect("http://127.0.0.1:1", grpc_port=port, timeout_s=5), "http://127.0.0.1:1")
        with pytest.raises(IndexGarbled, match="too large") as caught:
            index.count()
        assert not caught.value.transient
        index.close()


# TLS, and its absence


class Authorities(NamedTuple):
    """Two of them, and a server's certificate of the first."""

    known: Path
    other: Path
    context: ssl.SSLContext
    credentials: grpc.ServerCredentials


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Authorities:
    folder = tmp_path_factory.mktemp("authorities")
    known, other = trustme.CA(), trustme.CA()
    for authority, name in ((known, "known"), (other, "other")):
        authority.cert_pem.write_to_path(str(folder / f"{name}.pem"))
    certificate = known.issue_cert("127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    chain = b"".join(one.bytes() for one in certificate.cert_chain_pems)
    credentials = grpc.ssl_server_credentials([(certificate.private_key_pem.bytes(), chain)])
    return Authorities(folder / "known.pem", folder / "other.pem", context, credentials)


def test_an_authority_that_is_not_known_is_named(authorities: Authorities) -> None:
    with QdrantStandIn(tls=authorities.context) as server:
        for ca_file in (None, authorities.other):
            collections = QdrantCollections(connect(server.url, ca_file=ca_file), server.url)
            with pytest.raises(IndexUnreachable, match=r"an authority that is not known here; .*SEARCH_INDEX__CA_FILE"):
                collections.names()
            collections.close()
        collections = QdrantCollections(connect(server.url, ca_file=authorities.known), server.url)
        assert collections.names() == []
        collections.close()
        by_name = server.url.replace("127.0.0.1", "localhost")
        collections = QdrantCollections(connect(by_name, ca_file=authorities.known), by_name)
        with pytest.raises(IndexUnreachable, match="its certificate is for another name; write that one in SEARCH_INDEX__URL"):
            collections.names()
        collections.close()


def test_a_certificate_that_has_expired_is_named(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", not_after=datetime(2020, 1, 2, tzinfo=UTC)).configure_cert(context)
    with QdrantStandIn(tls=context) as server:
        collections = QdrantCollections(connect(server.url, ca_file=tmp_path / "ca.pem"), server.url)
        with pytest.raises(IndexUnreachable, match="its certificate has expired; have it renewed"):
            collections.names()
        collections.close()


def test_http_and_https_taken_for_each_other_are_told(standin: QdrantStandIn) -> None:
    secure = standin.url.replace("http:", "https:")
    collections = QdrantCollections(connect(secure), secure)
    with pytest.raises(IndexUnreachable, match="it does not speak TLS there; write http:// in SEARCH_INDEX__URL"):
        collections.names()
    collections.close()
    with speaking_tls() as url:
        collections = QdrantCollections(connect(url), url)
        with pytest.raises(IndexUnreachable, match="if it speaks TLS, write https:// in SEARCH_INDEX__URL"):
            collections.names()
        collections.close()


@contextmanager
def speaking_tls() -> Iterator[str]:
    """A port that answers plain HTTP as rustls does: with an alert."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"\x15\x03\x01\x00\x02\x02\x32")

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def test_a_private_authority_holds_for_grpc_too(authorities: Authorities) -> None:
    with grpc_server(grpc.StatusCode.NOT_FOUND, "planted", credentials=authorities.credentials) as port:
        for ca_file, kind, words in (
            (authorities.known, CollectionNotFound, "planted"),
            (authorities.other, IndexUnreachable, "an authority that is not known here"),
            (None, IndexUnreachable, "an authority that is not known here"),
        ):
            client = connect("https://127.0.0.1:1", grpc_port=port, timeout_s=5, ca_file=ca_file)
            index = opened(client, "https://127.0.0.1:1")
            with pytest.raises(kind, match=words):
                index.upsert([Point("1", np.ones(4, np.float32), {})])
            index.close()


def test_grpc_is_found_behind_a_private_authority(authorities: Authorities) -> None:
    with QdrantStandIn(tls=authorities.context) as server, GrpcStandIn(server, authorities.credentials) as port:
        index = QdrantIndex(
            connect(server.url, protocol="auto", grpc_port=port.port, ca_file=authorities.known), "documents", server.url
        )
        index.ensure(SPEC, create=True)
        index.upsert([Point("1", np.ones(4, np.float32), {})])
        assert index.count() == 1
        assert port.calls == ["HealthCheck", "upsert", "count"]
        index.close()


# What a cluster says

WITHOUT_QUORUM = [
    "Service internal error: Waiting for consensus operation commit failed. Timeout set at: 10 seconds",
    "Service internal error: Failed to propose operation: leader is not established within 10s",
]
TONIC = (
    'Service internal error: Tonic error: status: Unavailable, message: "Failed to connect to http://node1:6335/, error: transport '
    'error", details: [], metadata: MetadataMap { headers: {} }'
)


@pytest.mark.parametrize("detail", WITHOUT_QUORUM)
def test_a_cluster_without_quorum_is_named(detail: str, standin: QdrantStandIn) -> None:
    collections = QdrantCollections(connect(standin.url), standin.url)
    standin.faults.append(Fault(500, body=json.dumps({"status": {"error": detail}}).encode()))
    with pytest.raises(IndexFaulted, match=r"too few nodes of the cluster .* reach each other .* start those that are missing"):
        collections.names()
    collections.close()
    with grpc_server(grpc.StatusCode.INTERNAL, detail) as port:
        index = opened(connect("http://127.0.0.1:1", grpc_port=port, timeout_s=5), "http://127.0.0.1:1")
        with pytest.raises(IndexFaulted, match="too few nodes"):
            index.upsert([Point("1", np.ones(4, np.float32), {})])
        index.close()


def test_what_nodes_told_each_other_is_shown_without_its_wrapping(standin: QdrantStandIn) -> None:
    collections = QdrantCollections(connect(standin.url), standin.url)
    standin.faults.append(Fault(500, body=json.dumps({"status": {"error": TONIC}}).encode()))
    with pytest.raises(IndexFaulted) as caught:
        collections.names()
    collections.close()
    assert "Tonic error: Failed to connect to http://node1:6335/, error: transport error; try again" in str(caught.value)
    assert "MetadataMap" not in str(caught.value)


# URLs

MALFORMED = [
    *("", "http", "http://", "http:///path", "//127.0.0.1:6333", "127.0.0.1:6333", "localhost:6333", "ftp://127.0.0.1", "http:/a"),
    *("http://127.0.0.1:99999", "http://127.0.0.1:-1", "http://127.0.0.1:0", "http://127.0.0.1:port", "http://127.0.0.1:6 333"),
    *("http://[::1", "http://::1]", "http://[::1]]:6333", "http://[zz]:6333", "http://[127.0.0.1]", "http://a:b:c"),
    *(
        "http://127.0.0.1 :6333",
        " http://127.0.0.1",
        "http://127.0.0.1\n",
        "http://127.0.0.1\t:6333",
        "http://a b",
        "http://a\x00b",
    ),
    *(
        "http://bücher.example",
        "http://127.0.0.1:\uff16\uff13",
        "http://\uff11.0.0.1",
        "http://a..b",
        "http://-a",
        f"http://{'a' * 64}",
    ),
    *(
        f"http://{'a.' * 140}a",
        "http://a?key=s3cret",
        "http://a#s3cret",
        "http://a\\@b",
        "http://user:s3cret@",
        "http://user:s3/cret@a",
        "http://user:s3cret/@127.0.0.1:1",
    ),
    *("http://user:s3cret@a:port", "user:s3cret@a", "http://user:s3cret@b@[::1", "http:user:s3cret@a", "http://%zz"),
]


@pytest.mark.parametrize("url", MALFORMED)
def test_a_malformed_url_is_named_and_shows_nothing_secret(url: str) -> None:
    with pytest.raises(IndexRejected, match=r"is not the URL of a Qdrant server: .*; write it like") as caught:
        connect(url)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1", "https://[::1]:6333", "http://a_b.example.com:6333/", "https://x.example/prefix", "HTTP://LOCALHOST:1"],
)
def test_urls_that_are_fine(url: str) -> None:
    connect(url).close()


def test_what_a_url_shows() -> None:
    for url in (
        "http://user:s3cret@host:6333/a",
        "http://s3cret@host:6333/a",
        "http://u:s3@cret@host:6333/a",
        "http://u:s3/cret@host:6333/a",
    ):
        assert without_secrets(url) == "http://host:6333/a"
    assert without_secrets("http://host/a?key=s3cret#x") == "http://host/a"
    assert without_secrets("http://host:6333") == "http://host:6333"
    assert without_secrets(":memory:") == ":memory:"
    assert read_address("http://user:p%40ss@host:1/a") == ("http://host:1/a", "host", ("user", "p@ss"))


def test_user_and_password_are_sent_and_never_shown(standin: QdrantStandIn, caplog: pytest.LogCaptureFixture) -> None:
    url = standin.url.replace("//", "//user:s3cret@")
    with caplog.at_level(logging.DEBUG):
        collections = QdrantCollections(connect(url), url)
        assert collections.names() == []
        assert standin.headers[-1]["authorization"] == "Basic dXNlcjpzM2NyZXQ="
        shown = [collections.location]
        standin.faults.append(Fault(500))
        with pytest.raises(IndexFaulted) as failed:
            collections.names()
        with pytest.raises(CollectionNotFound) as absent:
            collections.info("absent")
        index = QdrantIndex(connect(url), "absent", url)
        with pytest.raises(CollectionNotFound) as none:
            index.ensure(SPEC, create=False)
    index.close()
    collections.close()
    shown += [str(failed.value), str(absent.value), str(none.value), caplog.text, repr(ServerSettings(url=url))]
    assert all("s3cret" not in one for one in shown)
    assert str(ServerSettings(url=url).url) == url
    with pytest.raises(IndexRejected, match="over REST only"):
        connect(url, grpc_port=6334)


def test_the_doctor_shows_no_password_of_any_node(cluster: QdrantStandIn, model_folder: Path) -> None:
    first, *others = [url.replace("//", "//user:s3cret@") for url in cluster.urls]
    environment = {"SEARCH_INDEX__ENGINE": "qdrant", "SEARCH_INDEX__URL": first, "SEARCH_INDEX__URLS": json.dumps(others)}
    environment |= {"SEARCH_EMBEDDER__MODEL": str(model_folder / "embedder-mean"), "SEARCH_RERANKER__KIND": "none"}

    def examined(status: int, **changed: str) -> str:
        done = search("doctor", status=status, **environment | changed)
        assert "s3cret" not in done.stdout + done.stderr
        return done.stdout + done.stderr

    assert f"documents at {' or '.join(cluster.urls)}: nothing ingested yet" in examined(0)
    assert cluster.headers[-1]["authorization"] == "Basic dXNlcjpzM2NyZXQ="
    cluster.lost = {1}
    assert cluster.urls[1] in examined(1)
    cluster.lost = {0, 1, 2}
    assert "cannot be reached" in examined(1)
    cluster.lost = set()
    cluster.faults += [Fault(500)] * 20
    assert "planted" in examined(1)
    cluster.faults.clear()
    examined(1, SEARCH_INDEX__URL="http://user:s3cret@[::1")
    examined(1, SEARCH_INDEX__URLS='["ftp://user:s3cret@nowhere"]')


def test_a_key_that_cannot_be_sent_is_not_quoted() -> None:
    for key in ("s3cret\n", "s3cret key", "schlüssel"):
        with pytest.raises(
            InvalidSettings, match="the index's api_key holds white space or a character that is not ASCII"
        ) as caught:
            connect("http://127.0.0.1:6333", api_key=key)
        assert key.strip() not in str(caught.value)
    assert checked_key(None, "it") is None


def test_this_machine_is_asked_past_a_proxy(standin: QdrantStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert names(standin.url) == []


def test_this_machine_is_asked_past_a_proxy_over_grpc_too(
    standin: QdrantStandIn, standin_grpc: GrpcStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    url = standin.url.replace("127.0.0.1", "localhost")
    index = QdrantIndex(connect(url, protocol="grpc", grpc_port=standin_grpc.port, timeout_s=3), "documents", url)
    index.ensure(SPEC, create=True)
    assert index.count() == 0
    assert standin_grpc.calls == ["count"]
    index.close()


@pytest.mark.parametrize("protocol", ["grpc", "auto"])
@pytest.mark.parametrize(
    "environment",
    [
        {"https_proxy": "http://127.0.0.1:1"},
        *(
            {"http_proxy": "http://127.0.0.1:1", **one}
            for one in (
                {"NO_PROXY": "127.0.0.1"},
                {"no_proxy": "*"},
            )
        ),
    ],
    ids=["of https alone", "left out in capitals", "left out by a star"],
)
def test_grpc_goes_past_a_proxy_wherever_rest_does(
    environment: dict[str, str],
    protocol: Protocol,
    standin: QdrantStandIn,
    standin_grpc: GrpcStandIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr("search.index.server.connection.is_local", lambda _: False)  # as of another machine
    client = connect(standin.url, protocol=protocol, grpc_port=standin_grpc.port, timeout_s=3)
    index = QdrantIndex(client, "documents", standin.url)
    index.ensure(SPEC, create=True)
    assert index.count() == 0
    assert "count" in standin_grpc.calls
    index.close()


def test_where_a_server_listens_everywhere_is_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    for url in ("http://0.0.0.0:6333", "http://[::]:6333"):
        client = connect(url)
        assert client.nodes.nodes[0].proxy is None
        client.close()


def test_connections_are_kept(standin: QdrantStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new one for each request would cost as much again."""
    opened: list[Any] = []
    connect_to = socket.create_connection

    def counted(*args: Any, **options: Any) -> socket.socket:
        opened.append(args)
        return connect_to(*args, **options)

    monkeypatch.setattr(socket, "create_connection", counted)
    index = QdrantIndex(connect(standin.url, protocol="rest"), "documents", standin.url)
    index.ensure(SPEC, create=True)
    for _ in range(20):
        index.count()
    assert len(opened) == 1
    index.close()


def test_the_settings_say_how_many_replicas_agree(standin: QdrantStandIn, model_folder: Path) -> None:
    index = {**standin.index, "protocol": "rest", "read_consistency": "majority", "write_ordering": "medium"}
    settings = Settings(index=index, embedder={"model": str(model_folder / "embedder-mean")}, reranker={"kind": "none"})
    with open_search(settings) as searcher:
        searcher.ingest([Document("a", "A cat.")])
        standin.queries.clear()
        searcher.search("cat")
        searcher.count()
    assert standin.queries
    asked = {path.rpartition("/points/")[2]: query for path, query in standin.queries if "/points/" in path}
    assert asked["query/batch"]["consistency"] == asked["count"]["consistency"] == ["majority"]


def test_others_are_asked_by_the_proxy_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def proxy() -> None:
        connection, _ = listener.accept()
        with connection:
            requests.append(connection.recv(65_536))
            body = b'{"result": {"collections": []}, "status": "ok", "time": 0.0}'
            connection.sendall(HEAD + f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)

    thread = threading.Thread(target=proxy, daemon=True)
    thread.start()
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{listener.getsockname()[1]}")
    monkeypatch.delenv("no_proxy", raising=False)
    assert names("http://qdrant.example:6333", 5) == []
    thread.join(10)
    listener.close()
    assert requests[0].startswith(b"GET http://qdrant.example:6333/collections ")
    monkeypatch.setenv("http_proxy", "127.0.0.1:1")  # as is customary, without a scheme
    connect("http://qdrant.example:6333").close()


UNUSABLE = [
    "nonsense://user:s3cret@[",
    "http://user:s3/cret@a",
    "socks9://user:s3cret@a",
    "socks5://user:s3cret@a",
    "http://user:s3\n@a",
]


WHO = ["server", "service", "service, asynchronously", "chat", "model", "checkpoint"]


def _ask(who: str, scheme: str, cache: Path) -> Any:
    url = f"{scheme}://qdrant.example:6333"
    match who:
        case "server":
            return connect(url)
        case "service":
            return Client(url)
        case "service, asynchronously":
            return AsyncClient(url)
        case "chat":
            return ChatReranker(url, "a-model").score("q", ["a", "b"])
        case "model":
            return fetch("BAAI/bge-small-en-v1.5", Embedders, cache)
        case _:
            return fetch_checkpoint("a/checkpoint", None, cache)


@pytest.mark.parametrize("proxy", UNUSABLE)
@pytest.mark.parametrize("who", WHO)
def test_a_proxy_that_cannot_be_used_is_told_of_and_shows_nothing_secret(
    who: str, proxy: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, proxy)
    with pytest.raises(SearchError, match=r"^the proxy that the environment names .* cannot be used; write it like") as caught:
        _ask(who, "http", tmp_path)
    assert "s3" not in "".join(traceback.format_exception(caught.value)).replace(who, "")


@pytest.mark.parametrize("content", [None, "no certificate"])
@pytest.mark.parametrize("who", WHO)
def test_certificates_of_the_environment_that_cannot_be_read_are_told_of(
    who: str, content: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(SearchError, match=r"^the certificates that the environment names \(SSL_CERT_FILE, SSL_CERT_DIR\) cannot"):
        _ask(who, "https", tmp_path)


def _bad_gateway(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
@pytest.mark.parametrize("there", [False, True])
def test_a_proxy_that_does_not_get_through_is_named(
    protocol: Literal["rest", "grpc"],
    there: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The environment names it, and nobody thinks of that."""
    with raw_server(_bad_gateway) as url:
        port = url.rpartition(":")[2] if there else "1"
        for variable in ("http_proxy", "https_proxy", "grpc_proxy"):
            monkeypatch.setenv(variable, f"http://user:s3cret@127.0.0.1:{port}")
        monkeypatch.delenv("no_proxy", raising=False)
        server = "http://qdrant.example:6333"
        index = opened(connect(server, protocol=protocol, timeout_s=3), server)
        with pytest.raises((IndexUnreachable, IndexTimeout)) as caught:
            index.count()
        told = str(caught.value)
        assert f"by the proxy http://127.0.0.1:{port} of the environment (NO_PROXY=qdrant.example leaves it out)" in told
        assert "s3cret" not in told
        index.close()


@pytest.mark.parametrize(
    "detail",
    [
        "Service internal error: The replica set for shard 0 on peer 1000 does not have enough active replicas",
        "Service internal error: The replica set for shard 0 on peer 1000 has no active replica",
        "Service internal error: Failed to apply operation to at least one `Active` replica. Please retry. tonic",
        "Service internal error: Failed to apply update with Strong ordering via leader peer 1002: tonic",
        "Service internal error: Cannot update shard documents.v1:0 with Strong ordering because no leader could be selected",
    ],
)
def test_too_few_replicas_are_named(detail: str, standin: QdrantStandIn) -> None:
    """In the words of Qdrant's source."""
    standin.faults.append(Fault(500, body=json.dumps({"status": {"error": detail}, "time": 0.0}).encode()))
    with pytest.raises(IndexFaulted, match=r"too few replicas of a shard can be reached .* start the nodes") as caught:
        names(standin.url)
    assert caught.value.transient
