"""Who may do what, how much may be sent, and what is said to others."""

import contextlib
import hashlib
import json
import logging
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from commands import as_json, error, search, wrong
from fastapi import FastAPI
from serving import JSON, Served, serving, wait_until

from search.api.app import build_routes
from search.api.gate import rule_of
from search.api.keys import new_key
from search.documents import Document
from search.searcher import Searcher
from search.settings import Settings

SCOPES = {"search": {"search"}, "write": {"write"}, "admin": {"admin"}, "all": {"search", "write", "admin"}}
KEYS = {name: new_key() for name in SCOPES}
API_KEYS = {name: {"sha256": digest, "scopes": SCOPES[name]} for name, (_, digest) in KEYS.items()}
OPEN = {"/healthz", "/health", "/readyz", "/openapi.json", "/", "/style.css", "/script.js", "/icon.svg"}


def filled(searcher: Searcher) -> None:
    searcher.ingest([Document(id="a", text="Cats sleep.")])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    given = Settings(data_dir=tmp_path_factory.mktemp("data"), reranker={"kind": "none"})
    with serving(given, filled, api_keys=API_KEYS, receive_s=1.0, max_body_mb=0.1, origins={"https://good.example"}) as one:
        yield one


def told(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.fields for record in caplog.records if hasattr(record, "fields")]


def routes(served: Served) -> list[Any]:
    app: FastAPI = build_routes(served.service)
    return list(app.routes)


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {KEYS[name][0]}"}


def test_every_route_has_a_rule_and_keeps_it(served: Served) -> None:
    asked = 0
    for route in routes(served):
        rule = rule_of(route)
        assert rule in {"open", "search", "write", "admin"}, f"{route.path} has no rule"
        assert (rule == "open") == (route.path in OPEN)
        if rule == "open":
            continue
        path = route.path.replace("{name}", "documents").replace("{document_id:path}", "a")
        for method in route.methods:
            for name, headers in {"none": {}, "wrong": {"Authorization": "Bearer x"}, **{n: bearer(n) for n in KEYS}}.items():
                answer = served.http.request(method, path, headers=headers)
                expected = 401 if name in {"none", "wrong"} else 200 if rule in SCOPES[name] else 403
                assert (answer.status_code in {401, 403}) == (expected != 200), (path, method, name, answer.text)
                if expected != 200:
                    assert answer.status_code == expected
                    asked += 1
    assert asked > 40


def test_who_is_refused_hears_so_as_tei_would_say_it(served: Served) -> None:
    for headers, status, kind in [
        ({}, 401, "Unauthorized"),
        (bearer("write"), 403, "Forbidden"),
        (bearer("search"), 501, "Backend"),
    ]:
        answer = served.http.post("/rerank", json={"query": "x", "texts": ["a"]}, headers=headers)
        assert (answer.status_code, answer.json()["error_type"]) == (status, kind)


def test_a_key_may_come_in_either_header(served: Served) -> None:
    for headers in (bearer("search"), {"X-API-Key": KEYS["search"][0]}, {"authorization": f"bearer {KEYS['search'][0]}"}):
        assert served.http.post("/v1/search", json={"query": "x"}, headers=headers).status_code == 200
    refused = served.http.post("/v1/search", json={"query": "x"})
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert "send Authorization: Bearer KEY" in refused.json()["error"]["message"]
    tei = served.http.post("/rerank", json={"query": "x", "texts": ["a"]})
    assert tei.json() == {"error": "a key is needed: send Authorization: Bearer KEY", "error_type": "Unauthorized"}
    for odd in (b"Bearer \xff\xfe", b"Basic YTpi", b"Bearer", b""):
        assert served.http.post("/v1/search", json={"query": "x"}, headers={b"Authorization": odd}).status_code == 401


def test_who_asked_is_known_and_neither_key_nor_query_is_written_down(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="search.api"):
        ids = [
            served.http.post("/v1/search", json={"query": "a secret question"}, headers=headers).headers["X-Request-ID"]
            for headers in (bearer("search"), {"Authorization": "Bearer a-secret-key"})
        ]
        wait_until(lambda: set(ids) <= {one["request_id"] for one in told(caplog)})  # the line is written after the answer
    assert [(one["key"], one["status"]) for one in told(caplog) if one["request_id"] in ids] == [("search", 200), (None, 401)]
    assert "secret" not in caplog.text + json.dumps(told(caplog))
    assert KEYS["search"][0] not in caplog.text


def test_what_is_too_large_or_too_slow_is_refused(served: Served) -> None:
    big = served.http.post("/v1/search", content=b'{"query": "' + b"x" * 200_000 + b'"}', headers=bearer("search") | JSON)
    assert (big.status_code, big.json()["error"]["type"]) == (413, "TooLarge")
    host, port = served.url.removeprefix("http://").split(":")

    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 5_000

    untold = served.http.post("/v1/search", content=chunks(), headers=bearer("search") | JSON)
    assert untold.status_code == 413
    for sent in (b"", b"POST /v1/search HTT", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "):  # a head that never ends
        with socket.create_connection((host, int(port))) as slow:
            slow.sendall(sent)
            slow.settimeout(5)
            started = time.monotonic()
            assert slow.recv(100) == b""
            assert 0.5 < time.monotonic() - started < 4
    with socket.create_connection((host, int(port))) as slow:  # a body that never ends
        key = KEYS["search"][0]
        slow.sendall(f"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n".encode())
        slow.sendall(b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
        slow.settimeout(5)
        assert b" 408 " in slow.recv(100)
    kept = httpx.Client(base_url=served.url)
    with kept:  # while one that says something now and then is kept
        for _ in range(3):
            assert kept.get("/healthz").status_code == 200
            time.sleep(0.5)


@pytest.mark.parametrize(("each_s", "whole"), [(0.1, True), (None, False)])
def test_who_does_not_read_the_answer_is_left(each_s: float | None, whole: bool, settings: Settings) -> None:  # noqa: FBT001
    given = settings.model_copy(update={"reranker": Settings(reranker={"kind": "none"}).reranker})

    def large(searcher: Searcher) -> None:
        searcher.ingest([Document(id=str(i), text=f"Cat {i} sleeps.", metadata={"of": "x" * 19_000}) for i in range(8)])

    with serving(given, large, receive_s=0.5) as served, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_000_000)
        host, port = served.url.removeprefix("http://").split(":")
        client.connect((host, int(port)))
        client.settimeout(10)
        body = json.dumps({"searches": [{"query": "cats"}] * 100})
        head = f"POST /v1/search/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        client.sendall(f"{head}\r\n\r\n{body}".encode())
        received = 0
        if each_s is None:
            time.sleep(4)
        with contextlib.suppress(ConnectionResetError):
            while received < 15_000_000 and (part := client.recv(500_000, socket.MSG_WAITALL)):
                received += len(part)
                time.sleep(each_s or 0)
        assert (received >= 15_000_000) == whole
        assert served.http.get("/healthz").status_code == 200


def test_more_connections_than_are_allowed(settings: Settings) -> None:
    given = settings.model_copy(update={"reranker": Settings(reranker={"kind": "none"}).reranker})
    ask = {"query": "cats"}
    with serving(given, filled, max_connections=2) as served, httpx.Client(base_url=served.url) as other:
        for client in (served.http, other):
            assert client.post("/v1/search", json=ask).status_code == 200
        refused = httpx.post(f"{served.url}/v1/search", json=ask)
        assert (refused.status_code, refused.json()["error"]["type"]) == (503, "TooManyConnections")
        assert (refused.headers["retry-after"], refused.headers["connection"]) == ("1", "close")
        assert httpx.post(f"{served.url}/rerank", json={"query": "x", "texts": ["a"]}).json()["error_type"] == "Unhealthy"
        health = httpx.get(f"{served.url}/healthz")
        assert (health.status_code, health.headers["connection"]) == (200, "close")
        other.close()
        wait_until(lambda: httpx.post(f"{served.url}/v1/search", json=ask).status_code == 200)


def test_only_pages_that_are_named_may_call_it(served: Served) -> None:
    def preflight(origin: str, headers: str = "authorization") -> httpx.Response:
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": headers}
        return served.http.options("/v1/search", headers=asked)

    assert preflight("https://good.example").headers["access-control-allow-origin"] == "https://good.example"
    assert "access-control-allow-origin" not in preflight("https://bad.example").headers
    assert preflight("https://good.example", "content-type, traceparent, tracestate, x-api-key, x-tenant").status_code == 200
    assert preflight("https://good.example", "x-strange").status_code == 400
    answer = served.http.get("/v1/collections", headers={"Origin": "https://good.example", **bearer("search")})
    assert answer.headers["access-control-expose-headers"] == "*"  # all of them, as no cookies are sent
    headers = served.http.get("/").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "server" not in headers


def test_without_keys_a_strange_name_is_refused(settings: Settings) -> None:
    """A web page that gave this machine's address a name of its own could otherwise read everything."""
    given = settings.model_copy(update={"reranker": Settings(reranker={"kind": "none"}).reranker})
    with serving(given, hosts={"search.example"}) as served:
        for host, status in {
            "127.0.0.1": 200,
            "localhost:8000": 200,
            "[::1]:80": 200,
            "search.example": 200,
            "evil.example": 421,
        }.items():
            answer = served.http.get("/v1/collections", headers={"Host": host})
            assert answer.status_code == status, host
        assert served.http.post("/v1/search", content=b'{"query": "x"}', headers={"Content-Type": "text/plain"}).status_code == 415


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.com"])  # noqa: S104  # which is refused
def test_without_keys_it_does_not_listen_to_others(host: str) -> None:
    assert f"{host} is reached by others, and there are no keys" in error("serve", "--host", host)


def test_half_of_what_tls_needs_is_refused(tmp_path: Path) -> None:
    assert "TLS needs both" in error("serve", SEARCH_SERVICE__CERTIFICATE=str(tmp_path / "c.pem"))


def test_a_kept_key_is_added_to_the_users_own_file(tmp_path: Path) -> None:
    own = tmp_path / "config" / "two-stage-search" / "search.toml"
    one = as_json("key", "one", "--keep")
    assert one["file"] == str(own)
    assert own.stat().st_mode & 0o777 == 0o600
    own.write_text(f"limit = 3\n{own.read_text()}")
    assert f"{own} lets it in (write)" in search("key", "日本", "--scope", "write", "--keep").stdout
    settings = Settings()
    assert (settings.limit, settings.service.api_keys["one"].sha256) == (3, one["sha256"])
    assert settings.service.api_keys["日本"].scopes == {"write"}
    assert search("key", "three", "--if-none").stderr == "there are keys already: one, 日本\n"
    assert as_json("key", "three", "--if-none") == {"name": "three", "key": None, "keys": ["one", "日本"]}


def test_a_key_that_cannot_be_kept_is_not_made(tmp_path: Path) -> None:
    own = tmp_path / "config" / "two-stage-search" / "search.toml"
    search("key", "one", "--keep")
    before = own.read_bytes()
    taken = f'{own} has [service.api_keys."one"], or what stands in its place: choose another name, or take that out first'
    assert error("key", "one", "--keep") == f"search: {taken}\n"
    assert own.read_bytes() == before
    own.chmod(0o646)
    assert "others than you may write it" in error("key", "two", "--keep")
    own.write_bytes(b"limit = ")
    own.chmod(0o600)
    assert f"the settings in {own} cannot be read: " in error("key", "two", "--keep")
    own.unlink()
    own.mkdir()
    assert search("key", "two", "--keep", status=1).stderr == f"search: {own} cannot be written: Is a directory\n"
    own.rmdir()
    own.parent.rmdir()
    own.parent.write_text("a file where the folder would be")
    assert f"{own} cannot be written: " in error("key", "two", "--keep")


@pytest.mark.parametrize("team", ["team", "é", "数-据", "a_b", "²"])
def test_a_key_is_made_shown_once_and_kept_as_a_hash(team: str, tmp_path: Path) -> None:
    made = as_json("key", team, "--scope", "search", "--scope", "write")
    assert made["sha256"] == hashlib.sha256(made["key"].encode()).hexdigest()
    assert len(made["key"]) > 40
    shown = search("key", team).stdout
    toml, _, variable = shown.partition("in a search.toml of yours:\n\n")[2].partition(
        "\n\nor, as the only one, in the environment:\n\n"
    )
    name, _, value = variable.strip().partition("=")
    key = re.findall(r"sk_\S+", shown)[0]
    for folder, lines, environment in ((tmp_path / "a", toml, {}), (tmp_path / "b", "", {name: value})):
        folder.mkdir()
        (folder / "search.toml").write_text(lines, encoding="utf-8")
        told = subprocess.run(
            [sys.executable, "-c", f"from search import Settings; print(Settings().service.api_keys[{team!r}])"],
            cwd=folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert hashlib.sha256(key.encode()).hexdigest() in told, lines
    assert "there is no scope 'root'" in wrong("key", team, "--scope", "root")


@pytest.mark.parametrize("name", ["a b", "a.b", 'a"b', "a'b", "a\nb", "a\\b", "", "]", "a#"])
def test_what_would_need_quoting_names_no_key(name: str) -> None:
    assert "cannot name a key" in wrong("key", name)


def test_tls(tmp_path: Path, settings: Settings) -> None:
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    given = settings.model_copy(update={"reranker": Settings(reranker={"kind": "none"}).reranker})
    with serving(given, certificate=tmp_path / "cert.pem", private_key=tmp_path / "key.pem") as served:
        assert served.url.startswith("https://")
        import ssl

        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        assert httpx.get(f"{served.url}/healthz", verify=context).status_code == 200
