"""What arrives on the wire, well-formed or not: spoken by hand to a running service, with and without keys."""

import io
import json
import logging
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from commands import COMMAND, error, search
from serving import JSON, Served, serving

from search.api.keys import new_key
from search.api.logs import write_logs
from search.documents import Document
from search.searcher import Searcher
from search.settings import Settings

KEY, DIGEST = new_key()


def filled(searcher: Searcher) -> None:
    searcher.ingest([Document(id="a", text="Cats sleep.")])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Without keys."""
    given = Settings(data_dir=tmp_path_factory.mktemp("data"), reranker={"kind": "none"})
    with serving(given, filled, receive_s=1.0, max_body_mb=0.1, hosts={"Search.Example"}) as one:
        yield one


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    given = Settings(data_dir=tmp_path_factory.mktemp("keyed"), reranker={"kind": "none"})
    keys = {"all": {"sha256": DIGEST, "scopes": {"search", "write", "admin"}}}
    with serving(given, filled, receive_s=1.0, max_body_mb=0.1, api_keys=keys, origins={"https://good.example"}) as one:
        one.http.headers["X-API-Key"] = KEY
        yield one


def said(served: Served, *parts: bytes, pause_s: float = 0.0, wait_s: float = 10.0) -> bytes:
    """All that is answered on one connection, until the service ends it."""
    host, port = served.url.removeprefix("http://").split(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=wait_s) as client:
        try:
            for part in parts:
                client.sendall(part)
                if select.select([client], [], [], pause_s)[0]:
                    answer += client.recv(65536)
                    if not answer.startswith(b"HTTP/1.1 100 "):
                        break
            while read := client.recv(65536):
                answer += read
        except ConnectionError:
            pass
    return answer


# What is repeated to a client

LONG = "x" * 90_000


@pytest.mark.parametrize(
    ("method", "path", "body", "headers"),
    [
        ("POST", "/v1/search", {"query": "x", LONG: 1}, {}),
        ("POST", "/v1/search", {"query": "x", "collection": LONG}, {}),
        ("POST", "/v1/search", {"query": "x", "group_by": LONG}, {}),
        ("POST", "/v1/search", {"query": "x", "filter": {"must": [{"key": LONG, "match": {"value": 1}}]}}, {}),
        ("POST", "/v1/search", {"query": "x", "filter": {"must": [{"has_id": [LONG]}]}}, {}),
        ("POST", "/v1/search", {"query": "x", "filter": {LONG: 1}}, {}),
        ("POST", "/v1/search", [LONG], {}),
        ("POST", "/v1/search/batch", {"searches": [{"query": "x", LONG: 1}]}, {}),
        ("POST", "/v1/documents", {"documents": [{"id": "a", "text": "x", LONG: 1}]}, {}),
        ("POST", "/rerank", {"query": "x", "texts": ["a"], LONG: 1}, {}),
        ("POST", "/v1/rerank", {"query": "x", "documents": ["a"], LONG: 1}, {}),
        ("GET", f"/v1/documents/{LONG[:9_000]}", None, {}),
        ("GET", f"/v1/collections/{LONG[:9_000]}", None, {}),
        ("GET", f"/v1/documents/a?collection={LONG[:9_000]}", None, {}),
        ("GET", f"/{LONG[:9_000]}", None, {}),
        ("GET", "/v1/collections", None, {"Host": LONG[:9_000]}),
        ("GET", "/v1/collections", None, {"X-Request-Id": LONG[:9_000]}),
        ("POST", "/v1/search", {"query": "x"}, {"Content-Type": LONG[:9_000]}),
    ],
)
def test_little_is_repeated_of_what_was_sent(served: Served, method: str, path: str, body: object, headers: dict[str, str]) -> None:
    content = None if body is None else json.dumps(body)
    answer = served.http.request(method, path, content=content, headers=JSON | headers)
    assert answer.status_code >= 400 or "X-Request-Id" in headers or path == "/v1/documents"  # which tells of each by itself
    assert len(answer.content) + sum(len(name) + len(value) for name, value in answer.headers.items()) < 2_500
    assert answer.text.count("x") < 700
    if LONG in (body if isinstance(body, dict) else {}):
        assert len(re.findall("x{20,}", answer.text)) <= 3  # once or, for Cohere and the others, three times over
        assert max(map(len, re.findall("x+", answer.text)), default=0) <= 100


def test_what_to_do_next_is_not_cut_away(served: Served) -> None:
    told = served.http.post("/v1/search", json={"query": "x", "filter": {"must": [{"key": LONG[:9_000], "match": {"value": 1}}]}})
    assert told.json()["error"]["message"].startswith("the filter at must[0]: unknown filter field 'xxx")
    assert "and metadata" in told.json()["error"]["message"]


# Where it is said to be


@pytest.mark.parametrize("path", ["/v1/search/", "/v1/collections/", "/healthz/", "/readyz/", "/metrics/"])
def test_no_answer_leads_elsewhere(keyed: Served, path: str) -> None:
    for method in ("GET", "POST", "HEAD"):
        answer = keyed.http.request(method, path, headers={"Host": "evil.example"})
        assert (answer.status_code, answer.headers.get("location")) in {(404, None), (405, None)}
        assert "evil" not in answer.text
    double = said(keyed, b"GET //evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert double.startswith(b"HTTP/1.1 404 ")
    assert b"evil" not in double


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *((one, 200) for one in ("LOCALHOST", "LocalHost:80", "localhost.", "localhost.:8000", "127.0.0.1", "127.8.9.1:1")),
        *((one, 200) for one in ("[::1]", "[::1]:80", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]:8000", "localhost:")),
        *((one, 200) for one in ("search.example", "SEARCH.example.", "search.EXAMPLE:443")),
        *((one, 421) for one in ("evil.example", "localhost.evil.example", "[::2]", "127.0.0.1.evil.example", "[::1", "10.0.0.1")),
        *((one, 421) for one in ("localhost:80:80", "localhost@evil.example", "localhost..", "[localhost]x", "")),
    ],
)
def test_names_are_compared_as_names_are(served: Served, host: str, status: int) -> None:
    assert served.http.get("/v1/collections", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    "path", ["/healthz", "/health", "/readyz", "/", "/style.css", "/openapi.json", "/metrics", "/v1/collections", "/v1/documents/a"]
)
def test_head_is_answered_where_get_is(keyed: Served, path: str) -> None:
    head, get = keyed.http.head(path), keyed.http.get(path)
    assert (head.status_code, get.status_code) == (200, 200)
    assert head.content == b""
    assert head.headers["content-type"] == get.headers["content-type"]
    assert keyed.http.get("/healthz").status_code == 200  # on the same connection
    del keyed.http.headers["X-API-Key"]
    assert keyed.http.head(path).status_code == keyed.http.get(path).status_code
    keyed.http.headers["X-API-Key"] = KEY
    refused = keyed.http.head("/v1/search/batch")
    assert refused.status_code == 405
    assert keyed.http.put("/healthz").headers["allow"] == "GET, HEAD"


# Heads and bodies


def test_oddities_of_heads_are_refused(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    head = b"Host: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    for odd in (
        b"GET /healthz HTTP/1.1\r\n\r\n",  # no Host
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"GET /" + b"x" * 400_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(60_000)) + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 400_000 + b"\r\n\r\n",
        b"POST /v1/search HTTP/1.1\r\n" + head + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /v1/search HTTP/1.1\r\n" + head + b"Content-Length: -1\r\n\r\nhello",
        b"POST /v1/search HTTP/1.1\r\n" + head + b"Content-Length: 1e3\r\n\r\nhello",
        b"POST /v1/search HTTP/1.1\r\n" + head + b"Content-Length: " + b"9" * 30 + b"\r\n\r\nhello",
        b"POST /v1/search HTTP/1.1\r\n" + head + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/search HTTP/1.1\r\n" + head + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/search HTTP/1.1\r\n" + head + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/search HTTP/1.1\r\n" + head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"POST /v1/search HTTP/1.1\r\n" + head + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffffff\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Folded: a\n b\r\nbad line\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Null: a\x00b\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS greeting
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ):
        answer = said(served, odd)
        status = answer[9:12]
        assert status in {b"400", b"404", b"413", b"421", b""}, (odd[:100], answer[:100])
        assert len(answer) < 1_500
    assert served.http.get("/healthz").status_code == 200
    assert "Traceback" not in caplog.text


def test_content_length_beside_chunks_smuggles_nothing(served: Served) -> None:
    """What follows a body must not be taken for another request."""
    inner = b"GET /v1/collections HTTP/1.1\r\nHost: localhost\r\n\r\n"
    body = b"0\r\n\r\n" + inner
    head = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    sent = head + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n" % len(body) + body
    assert said(served, sent).count(b"HTTP/1.1 ") == 1


def test_bodies_without_end_are_ended(served: Served) -> None:
    head = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    trickled = said(served, head, *[b"1\r\nx\r\n"] * 60, pause_s=0.1)
    assert b" 408 " in trickled[:20]
    flood = said(served, head, *[b"ffff\r\n" + b"x" * 65535 + b"\r\n"] * 50)
    assert b" 413 " in flood[:20] or flood == b""  # the answer is lost where more was sent than was read
    comment = said(served, head, b"1;" + b"x" * 100_000 + b"\r\n")
    assert comment[9:12] in {b"400", b"408", b""}


def test_who_expects_to_be_told_to_go_on_is(served: Served) -> None:
    head = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
    body = b'{"query": "cats"}'
    answer = said(served, head + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body), body, pause_s=0.3)
    assert answer.startswith(b"HTTP/1.1 100 ")
    assert b"HTTP/1.1 200 " in answer
    refused = said(served, head.replace(b"localhost", b"evil.example") + b"Content-Length: 17\r\n\r\n")
    assert refused.startswith(b"HTTP/1.1 421 ")  # and is not told to send it
    large = said(served, head + b"Content-Length: 9000000\r\n\r\n")
    assert large.startswith(b"HTTP/1.1 413 ")


def test_requests_may_follow_one_another_unasked(served: Served) -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert said(served, one * 99 + last).count(b"HTTP/1.1 200 OK") == 100


def test_http_1_0(served: Served) -> None:
    answer = said(served, b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b'{"status":"ok"}')
    body = b'{"query": "cats"}'
    head = b"POST /v1/search HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    assert b'"hits"' in said(served, head % len(body) + body)


def test_no_header_is_made_of_what_is_sent(served: Served) -> None:
    for odd in (b"a b", b"a\tb", b"x" * 129, b"\xc3\xa9", b'"><script>', b"a;b"):
        answer = said(
            served, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Request-Id: " + odd + b"\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert odd not in answer
    path = b"/v1/documents/%0d%0aX-Evil:%201%00%1b%5b2J"
    answer = said(served, b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"\r\nX-Evil" not in answer
    assert b"\x1b" not in answer


def test_pages_of_others_learn_nothing(keyed: Served) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for headers in (asked, asked | {"Access-Control-Request-Headers": "x-api-key"}):
        answer = keyed.http.options("/v1/search", headers=headers)
        assert answer.status_code == 400
        assert "access-control-allow-origin" not in answer.headers
    good = keyed.http.options("/v1/search", headers=asked | {"Origin": "https://good.example"})
    assert good.headers["access-control-allow-origin"] == "https://good.example"
    del keyed.http.headers["X-API-Key"]
    read = keyed.http.post("/v1/search", json={"query": "x"}, headers={"Origin": "https://evil.example"})
    keyed.http.headers["X-API-Key"] = KEY
    assert read.status_code == 401
    assert "access-control-allow-origin" not in read.headers


def test_only_json_is_taken_however_it_is_framed(served: Served) -> None:
    """A form of another page can send the rest without asking first."""
    head = b"POST /v1/documents/delete HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: text/plain\r\n"
    body = b'{"ids": ["a"]}'
    for sent in (b"Content-Length: 14\r\n\r\n" + body, b"Transfer-Encoding: chunked\r\n\r\ne\r\n" + body + b"\r\n0\r\n\r\n"):
        assert said(served, head + sent).startswith(b"HTTP/1.1 415 ")
    assert served.http.get("/v1/documents/a").status_code == 200


def test_a_log_for_people_moves_no_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    names = ("search", "uvicorn", "opentelemetry")
    before = [(name, logging.getLogger(name).handlers, logging.getLogger(name).level) for name in names]
    try:
        write_logs(as_json=False)
        try:
            raise ValueError("a\x1b]52;c;ZXZpbA==\x07\x9b2J")  # noqa: TRY301  # so that there is a traceback
        except ValueError:
            logging.getLogger("search.api").exception("request\x1b[2J %s failed", "\r\x08")
    finally:
        for name, handlers, level in before:
            logging.getLogger(name).handlers, logging.getLogger(name).propagate = handlers, True
            logging.getLogger(name).setLevel(level)
    lines = written.getvalue()
    assert not [one for one in lines if one != "\n" and (ord(one) < 32 or 127 <= ord(one) < 160)]
    assert r"request\x1b[2J \r\x08 failed" in lines
    assert lines.count("\n") > 3  # a traceback keeps its lines


# Signs of life


def running(tmp_path: Path, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    given = {"SEARCH_DATA_DIR": str(tmp_path / "data"), "SEARCH_RERANKER__KIND": "none", **environment}
    command = [*arguments, str(COMMAND), "serve", "--port", "0", "--log", "none"]
    return subprocess.Popen(command, env={**os.environ, **given}, stderr=subprocess.PIPE, text=True, start_new_session=True)


def test_nohup_is_respected(tmp_path: Path) -> None:
    with running(tmp_path, "nohup") as process:
        assert process.stderr
        url = next(line for line in process.stderr if line.startswith("listening on ")).split()[-1]
        os.killpg(process.pid, signal.SIGHUP)
        time.sleep(0.5)
        assert httpx.get(f"{url}/readyz").json() == {"ready": True}
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_health_is_asked_for_as_the_settings_say(tmp_path: Path, settings: Settings) -> None:
    trustme = pytest.importorskip("trustme")
    certificate = trustme.CA().issue_cert("search.example")  # no name of this machine
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    pair = {"certificate": tmp_path / "cert.pem", "private_key": tmp_path / "key.pem"}
    plain = settings.model_copy(update={"reranker": Settings(reranker={"kind": "none"}).reranker})
    for options in ({}, pair):
        with serving(plain, filled, **options) as served:
            port = served.url.rpartition(":")[2]
            told: dict[str, Any] = {f"SEARCH_SERVICE__{name.upper()}": str(value) for name, value in options.items()}
            for host in ("127.0.0.1", "0.0.0.0"):  # noqa: S104  # it is asked at 127.0.0.1
                done = search("health", SEARCH_SERVICE__PORT=port, SEARCH_SERVICE__HOST=host, **told)
                assert (done.stdout, done.stderr) == (f"{served.url} is ready\n", "")
            assert search("health", "--port", port, **told).stdout == f"{served.url} is ready\n"
            served.service.ready = False
            assert error("health", "--port", port, **told) == f"search: {served.url} is not ready (HTTP 503)\n"
            wrong = {} if options else {f"SEARCH_SERVICE__{name.upper()}": str(value) for name, value in pair.items()}
            assert "does not answer" in error("health", "--port", port, **wrong)
    assert "http://127.0.0.1:1 does not answer" in error("health", SEARCH_SERVICE__PORT="1")
    assert "name it with --port" in error("health", SEARCH_SERVICE__PORT="0")


def test_health_waits_for_nobody() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        started = time.monotonic()
        assert "does not answer (timed out)" in error("health", "--port", silent.getsockname()[1])
        assert time.monotonic() - started < 20
