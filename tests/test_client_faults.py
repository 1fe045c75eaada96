"""What a client makes of services that answer badly, and of addresses that are none: spoken to over real sockets."""

import asyncio
import email.utils
import gzip
import json
import re
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from commands import error

from search.client import AsyncClient, Client
from search.documents import Document
from search.errors import InvalidInput, InvalidSettings, SearchError, ServiceOverloaded, ServiceRefused, ServiceUnreachable
from search.network.addresses import without_secrets

Answer = Callable[[socket.socket], None]


@contextmanager
def answering(answer: Answer) -> Iterator[tuple[str, list[bytes]]]:
    """A service that reads each request and then does something; its address, and what it read."""
    heard: list[bytes] = []
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            try:
                client, _ = listening.accept()
            except TimeoutError:
                continue
            with client, suppress(OSError):
                client.settimeout(10)
                heard.append(client.recv(65536))
                answer(client)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", heard
        finally:
            over.set()
            thread.join(30)


def whole(status: str, body: bytes, *headers: str) -> Answer:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers])
    return lambda client: client.sendall(head.encode() + b"\r\n\r\n" + body)


def asked(url: str, kind: str, **options: Any) -> SearchError:
    """The error that a search ends in."""

    async def ask() -> None:
        async with AsyncClient(url, **options) as client:
            await client.search("x")

    def search() -> None:
        if kind == "await":
            asyncio.run(ask())
            return
        with Client(url, **options) as client:
            client.search("x")

    with pytest.raises(SearchError) as raised:
        search()
    return raised.value


both = pytest.mark.parametrize("kind", ["at once", "await"])


@both
@pytest.mark.parametrize("part", ["head", "body"])
def test_an_answer_byte_by_byte_is_given_up_in_time(part: str, kind: str) -> None:
    def trickle(client: socket.socket) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
        if part == "body":
            client.sendall(head)
        for byte in b"X" * 600 if part == "body" else b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 600:
            client.sendall(bytes([byte]))
            time.sleep(0.05)

    with answering(trickle) as (url, _):
        started = time.monotonic()
        error = asked(url, kind, timeout_s=1)
        assert time.monotonic() - started < 10
    assert isinstance(error, ServiceUnreachable)
    assert "no whole answer within 1 s" in str(error)


def test_the_clock_is_each_requests_own() -> None:
    def slow(client: socket.socket) -> None:
        time.sleep(0.6)
        whole("200 OK", b'{"passages": 3}')(client)

    with answering(slow) as (url, _), Client(url, timeout_s=2) as client:
        assert [client.count() for _ in range(5)] == [3] * 5


@both
def test_an_answer_without_end_is_given_up(kind: str) -> None:
    sent = 0

    def flood(client: socket.socket) -> None:
        nonlocal sent
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 600000000\r\n\r\n")
        while sent < 600_000_000:
            sent += client.send(b" " * 65536)

    with answering(flood) as (url, _):
        error = asked(url, kind, max_answer_mb=1)
    assert isinstance(error, ServiceRefused)
    assert "more than 1 MB; ask for less at once, or raise max_answer_mb" in str(error)
    assert sent < 30_000_000


@both
def test_what_is_packed_is_not_unpacked(kind: str) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    with answering(whole("200 OK", bomb, "Content-Encoding: gzip")) as (url, heard):
        error = asked(url, kind)
    assert isinstance(error, ServiceRefused)
    assert "an encoding that was not asked for" in str(error)
    assert b"\r\nAccept-Encoding: identity\r\n" in heard[0]


@both
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
def test_the_key_goes_nowhere_else(status: str, kind: str) -> None:
    with answering(whole("200 OK", b"{}")) as (other, heard), answering(whole(status, b"", f"Location: {other}/")) as (url, _):
        error = asked(url, kind, key="sk_secret")
    assert heard == []
    assert isinstance(error, ServiceRefused)
    assert f"answered HTTP {status[:3]}: give the address that it leads to" in str(error)


@both
def test_what_a_proxy_does_not_let_through_is_told_as_too_large(kind: str) -> None:
    with answering(whole("413 Request Entity Too Large", b"<html>nginx</html>")) as (url, _):
        error = asked(url, kind)
        with Client(url) as client:
            report = client.ingest([Document("a", "Cats."), Document("b", "Dogs.")])
    assert str(error).endswith("answered HTTP 413: send less at once, or raise what a proxy in between lets through")
    assert [(one.document_id, one.reason) for one in report.rejections] == [("a", str(error)), ("b", str(error))]


def test_when_to_come_again_may_be_a_date() -> None:
    soon = email.utils.formatdate(time.time() + 30, usegmt=True)
    past = email.utils.formatdate(time.time() - 30, usegmt=True)
    body = json.dumps({"error": {"type": "ServiceOverloaded", "message": "too much"}}).encode()
    for told, least, most in (
        *(
            ("7", 7, 7),
            (soon, 20, 31),
            (past, 1, 1),
            ("soon", 1, 1),
            ("", 1, 1),
            ("-5", 1, 1),
            ("1.5", 1, 1),
            ("9" * 5000, 1, 3600),
        ),
        *(("99999999999", 3600, 3600), ("Fri, 99 Foo 2026 99:00:00 GMT", 1, 1), ("Wed, 21 Oct 2015 07:28:00", 1, 1)),
    ):
        for content in (body, b"<html>busy</html>"):
            with answering(whole("429 Too Many Requests", content, f"Retry-After: {told}")) as (url, _):
                error = asked(url, "at once")
            assert isinstance(error, ServiceOverloaded), told
            assert least <= error.retry_after_s <= most, told


@both
@pytest.mark.parametrize(
    ("status", "body"),
    [
        *(("200 OK", body) for body in (b"<html>", b"", b"[]", b"{}", b"null", b"\xff\xfe", b'{"hits": 5}', b"[" * 100_000)),
        *(("200 OK", body) for body in (b'{"hits": [1]}', b'{"hits": [{}], "warnings": []}', b'"x"')),
        *(("502 Bad Gateway", body) for body in (b"<html>", b"", b"[]", b'{"error": 5}', b'{"error": {}}', b'{"error": null}')),
        *(("502 Bad Gateway", body) for body in (b'{"error": {"type": [], "message": {}}}', b'{"error": [1, 2]}')),
    ],
)
def test_what_no_such_service_would_say(status: str, body: bytes, kind: str) -> None:
    with answering(whole(status, body)) as (url, _):
        assert isinstance(asked(url, kind), ServiceRefused)


@both
@pytest.mark.parametrize("garbage", [b"", b"\x00\x01", b"HTTP/1.1 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"])
def test_what_is_no_http(garbage: bytes, kind: str) -> None:
    with answering(lambda client: client.sendall(garbage)) as (url, _):
        assert isinstance(asked(url, kind), ServiceUnreachable)


# Addresses

SECRETS = [
    *("http://user:s3cret@127.0.0.1:1", "http://user:s3cret@127.0.0.1:1/search?key=s3cret", "http://s3cret@127.0.0.1:1"),
    *("http://user:a/s3cret@127.0.0.1:1", "http://user:a?s3cret@127.0.0.1:1", "http://user:a#s3cret@127.0.0.1:1"),
    *("http://user:a@s3cret@127.0.0.1:1", "user:s3cret@127.0.0.1:1", "http://user:s3cret@127.0.0.1:x", "http://user:s3cret@[::1"),
    *("ftp://user:s3cret@127.0.0.1", "http://user:s3cret@", "//user:s3cret@127.0.0.1", "http://user:s3cret @127.0.0.1:1"),
    *("http://127.0.0.1:1?key=s3cret", "http://127.0.0.1:1#s3cret"),
]


@both
@pytest.mark.parametrize("url", SECRETS)
def test_passwords_in_an_address_are_not_repeated(url: str, kind: str) -> None:
    error = asked(url, kind)
    assert "s3cret" not in "".join(traceback.format_exception(error))
    assert "s3cret" not in without_secrets(url)


BAD = [
    *(
        "",
        "localhost",
        "localhost:8000",
        "//x",
        "http://",
        "http://:8000",
        "http://[::1",
        "http://[::1]x",
        "http://[x]",
        "ftp://x",
        "http://h:x",
    ),
    *(
        "http://h:99999999",
        "http://h:-1",
        "http://h:0",
        "http://a b",
        "http://a..b:1",
        f"http://{'a' * 70}.de",
        "http://\x00",
        "http:/x",
    ),
    *("http://h\n", "http://h?x=1", "http://h#x", "http://\ud800", "unix:///tmp/x", "http://@"),
]


@both
@pytest.mark.parametrize("url", BAD)
def test_what_is_no_address_is_said_to_be_none(url: str, kind: str) -> None:
    error = asked(url, kind)
    assert isinstance(error, InvalidSettings)
    assert re.search("is no address of a service.*; write it like http://127.0.0.1:8000", str(error))


@pytest.mark.parametrize("url", [None, 5, b"http://127.0.0.1:1"])
def test_what_is_not_even_text(url: Any) -> None:
    with pytest.raises(InvalidSettings, match="is no address of a service"):
        Client(url)


def test_the_command_says_so_in_one_line() -> None:
    pytest.importorskip("mcp")
    told = error("mcp", "--url", "http://user:s3cret@127.0.0.1:x", status=2)
    assert "'http://127.0.0.1:x' is no address of a service" in told
    assert "s3cret" not in told


# Keys, and what cannot be sent


@pytest.mark.parametrize("key", ["sk_s3cret\n", "sk_s3cret x", "sk_s3crét", "s3cret\x00"])
def test_a_key_that_cannot_be_sent_is_not_repeated(key: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(InvalidSettings, match="white space or a character that is not ASCII") as raised:
            kind("http://127.0.0.1:1", key=key)
        assert "s3cret" not in str(raised.value)


def test_a_password_and_a_key_both_arrive() -> None:
    with answering(whole("200 OK", b'{"passages": 3}')) as (url, heard), Client(url.replace("//", "//a:b@"), key="sk_1") as client:
        assert client.count() == 3
    assert b"\r\nAuthorization: Basic YTpi\r\n" in heard[0]
    assert b"\r\nX-API-Key: sk_1\r\n" in heard[0]


def test_what_cannot_be_sent_is_the_callers() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with Client("http://127.0.0.1:1") as client:
        for value in ("\ud800", float("nan"), {1, 2}, deep):
            with pytest.raises(InvalidInput, match="cannot be sent as JSON"):
                client.update({"a": value}, ids=["x"])
        with pytest.raises(InvalidInput, match="not a Qdrant filter"):
            client.search("x", filter={"must": deep})
        with pytest.raises(InvalidInput, match=r"cannot stand in an address|half of a surrogate pair"):
            client.get("\ud800")
        with pytest.raises(ServiceUnreachable, match="does not answer"):
            client.get("x" * 100_000)


def test_a_number_beyond_all_bounds() -> None:
    with answering(whole("200 OK", b'{"removed": 1e999}')) as (url, _), Client(url) as client, pytest.raises(ServiceRefused):
        client.delete(ids=["a"])
