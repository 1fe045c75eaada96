"""How many connections are held, and whose: against strangers who hold as many as they can, on a service with few descriptors."""

import errno
import json
import logging
import os
import re
import resource
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, load_pem_private_key
from serving import serving, slowed, wait_until, with_birds

from search.api.keys import check_listening, new_key
from search.api.listening import bound, is_taken
from search.documents import Document
from search.errors import InvalidSettings, SearchError
from search.searcher import open_search
from search.settings import ServiceSettings, Settings

COMMAND = Path(sys.executable).parent / "search"
# Limits are set by the process itself, before it becomes the service.
LIMITED = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, ({0}, {1})); os.execv(sys.argv[1], sys.argv[1:])"
PLAIN = Settings(reranker={"kind": "none"}).reranker


class Process(NamedTuple):
    url: str
    pid: int
    log: Path

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.url.partition("://")[2].split(":")
        return host, int(port)


@contextmanager
def process(tmp_path: Path, files: tuple[int, int], **environment: str) -> Iterator[Process]:
    """A real service, that may open no more files than so many."""
    given = {"SEARCH_DATA_DIR": str(tmp_path / "data"), "SEARCH_RERANKER__KIND": "none", **environment}
    log = tmp_path / "log"
    command = [sys.executable, "-c", LIMITED.format(*files), str(COMMAND), "serve", "--port", "0"]
    with log.open("w") as errors, subprocess.Popen(command, env={**os.environ, **given}, stderr=errors) as started:
        try:
            wait_until(lambda: "listening on " in log.read_text() or started.poll() is not None, 60)
            assert started.poll() is None, log.read_text()
            yield Process(re.findall(r"listening on (\S+)", log.read_text())[0], started.pid, log)
        finally:
            started.send_signal(signal.SIGTERM)
            started.wait(60)


def stuffed(tmp_path: Path) -> None:
    with open_search(Settings(data_dir=tmp_path / "data", reranker={"kind": "none"})) as searcher:
        searcher.ingest([Document(id="a", text="Cats sleep.")])


def may_open(files: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < files:
        if hard != resource.RLIM_INFINITY and hard < files:
            pytest.skip(f"the test itself needs {files} open files, and may have {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


def held(stack: ExitStack, address: tuple[str, int], number: int, source: str = "127.0.0.1") -> list[socket.socket]:
    """Connections of somebody who says nothing on them."""
    made: list[socket.socket] = []
    for _ in range(number):
        with suppress(OSError):
            made.append(stack.enter_context(socket.create_connection(address, timeout=5, source_address=(source, 0))))
    return made


def ended(one: socket.socket) -> bool:
    one.settimeout(0)
    try:
        return one.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the engine's process in /proc")
def test_a_port_without_the_right_to_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert is_taken("127.0.0.1", listening.getsockname()[1])
    assert not is_taken("localhost", 0)

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")  # who runs the tests may have the right

    monkeypatch.setattr(socket, "create_server", refused)
    with pytest.raises(
        SearchError, match=r"on 127\.0\.0\.1:80: this user may not use the port; choose one above 1023 with --port or"
    ):
        is_taken("127.0.0.1", 80)


def test_strangers_who_hold_all_they_can_stop_nothing(tmp_path: Path) -> None:
    may_open(1400)
    stuffed(tmp_path)
    key, digest = new_key()
    keys = json.dumps({"a": {"sha256": digest, "scopes": ["search"]}})
    ask = {"query": "cats"}
    with process(tmp_path, (1024, 1024), SEARCH_SERVICE__API_KEYS=keys) as one, ExitStack() as stack:
        known = stack.enter_context(httpx.Client(base_url=one.url, headers={"X-API-Key": key}, timeout=10))
        assert known.post("/v1/search", json=ask).status_code == 200
        strangers = held(stack, one.address, 1050)
        for path in ("/healthz", "/readyz"):
            assert httpx.get(one.url + path, timeout=10).status_code == 200
        assert known.post("/v1/search", json=ask).status_code == 200
        time.sleep(1.2)  # so much time they have
        assert httpx.post(f"{one.url}/v1/search", json=ask, headers={"X-API-Key": key}, timeout=10).status_code == 200
        assert sum(map(ended, strangers)) >= 540
        os.kill(child_of(one.pid), signal.SIGKILL)
        assert [known.post("/v1/search", json=ask).status_code for _ in range(2)] == [503, 200]
        time.sleep(1)
        assert one.log.stat().st_size < 10_000
        assert 'Traceback (most recent call last):\n  File "asyncio' not in one.log.read_text()


def test_a_lack_of_descriptors_is_survived_and_told_once(tmp_path: Path) -> None:
    """They may also be gone for other reasons."""
    script = """
import logging, os, sys, time, socket, resource
import httpx
from serving import serving
from search.settings import Settings
logging.basicConfig()
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
settings = Settings(data_dir=sys.argv[1], reranker={"kind": "none"})
with serving(settings, max_connections=20) as served:
    host, port = served.url.removeprefix("http://").split(":")
    clients = [socket.create_connection((host, int(port))) for _ in range(3)]
    assert served.http.get("/healthz").status_code == 200  # so they are accepted
    waiting = [socket.socket() for _ in range(3)]
    taken = []
    try:
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    for one in waiting:
        one.connect((host, int(port)))
    time.sleep(2)
    for one in taken:
        os.close(one)
    waiting[0].settimeout(10)
    waiting[0].sendall(b"GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    print(waiting[0].recv(12).decode())
    print(httpx.get(f"{served.url}/healthz").status_code)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "support")}
    command = [sys.executable, "-c", script, str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=100)
    assert done.stdout.split() == ["HTTP/1.1", "200", "200"], done.stderr[-3000:]
    assert done.stderr.count("Too many open files") == 1
    assert "Traceback" not in done.stderr


def test_a_kept_connection_waits_for_no_acknowledgement(tmp_path: Path) -> None:
    """Head and body are two segments; the second waited 40 ms for the acknowledgement of the first (Nagle's algorithm)."""
    with serving(Settings(data_dir=tmp_path / "data", reranker=PLAIN)) as served:
        took = []
        for _ in range(50):
            started = time.monotonic()
            assert served.http.get("/healthz").status_code == 200
            took.append(time.monotonic() - started)
    assert statistics.median(took) < 0.02


@pytest.mark.parametrize(
    ("files", "most", "served", "most_files"),
    [((1024, 1024), 500, 500, 1024), ((1024, 1024), 5000, 660, 1024), ((128, 128), 500, 66, 128), ((256, 4096), 500, 500, 1200)],
)
def test_as_many_connections_as_the_descriptors_allow(files: tuple[int, int], most: int, served: int, most_files: int) -> None:
    script = f"""
import logging, resource
logging.basicConfig(format="%(message)s")
resource.setrlimit(resource.RLIMIT_NOFILE, {files})
from search.api.listening import room
print(*room({most}), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    requests, connections, limit = map(int, done.stdout.split())
    assert served * 0.8 <= requests <= min(most, served * 1.1)
    assert requests < connections < limit
    assert files[0] <= limit <= most_files
    assert (f"max_connections is {most}, but the system lets this process open {limit} files" in done.stderr) == (requests < most)


def test_no_descriptors_to_speak_of(tmp_path: Path) -> None:
    given = {"SEARCH_DATA_DIR": str(tmp_path), "SEARCH_RERANKER__KIND": "none"}
    command = [sys.executable, "-c", LIMITED.format(24, 24), str(COMMAND), "serve", "--port", "0", "--log", "none"]
    done = subprocess.run(command, env={**os.environ, **given}, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "open 24 files, which is too few; raise it with ulimit -n" in done.stderr
    assert done.stderr.count("\n") == 1


def test_more_than_can_be_held_while_all_are_in_use(settings: Settings) -> None:
    """Who waits for an answer keeps the connection; one more is closed at once, and not left to wait."""
    with (
        serving(settings, with_birds, queue_s=60, max_connections=2) as served,
        ExitStack() as stack,
        ThreadPoolExecutor(20) as pool,
    ):
        slowed(served, 0.3)

        def ask() -> int:
            return httpx.post(f"{served.url}/v1/search", json={"query": "x"}, timeout=60).status_code

        asking = [pool.submit(ask) for _ in range(2)]
        wait_until(lambda: served.service.reading.running + served.service.reading.waiting == 2)
        host, port = served.url.removeprefix("http://").split(":")
        strangers = held(stack, (host, int(port)), 40)
        assert {one.result() for one in asking} == {200}
        wait_until(lambda: sum(map(ended, strangers)) >= 22)
        assert httpx.get(f"{served.url}/healthz").status_code == 200


def test_who_holds_most_makes_room(settings: Settings) -> None:
    given = settings.model_copy(update={"reranker": PLAIN})
    with serving(given, with_birds, max_connections=10) as served, ExitStack() as stack:
        assert served.http.post("/v1/search", json={"query": "x"}).status_code == 200
        host, port = served.url.removeprefix("http://").split(":")
        [quiet] = held(stack, (host, int(port)), 1, "127.0.0.2")
        many = held(stack, (host, int(port)), 50, "127.0.0.3")
        wait_until(lambda: sum(map(ended, many)) >= 26)
        time.sleep(1.2)
        assert httpx.get(f"{served.url}/healthz").status_code == 200
        wait_until(lambda: sum(map(ended, many)) >= 41)
        assert not ended(many[-1])  # the newest
        assert not ended(quiet)  # though it waits longer than any other
        quiet.settimeout(10)
        quiet.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in quiet.recv(100)
        assert served.http.post("/v1/search", json={"query": "x"}).status_code == 200


def test_a_crowd_of_good_clients_is_answered_and_not_cut_off(settings: Settings) -> None:
    """New ones have a second to say something, before others take their places."""
    given = settings.model_copy(update={"reranker": PLAIN})
    with serving(given, with_birds, max_connections=10) as served, ExitStack() as stack:
        host, port = served.url.removeprefix("http://").split(":")
        started = time.monotonic()
        crowd = held(stack, (host, int(port)), 20)
        body = b'{"query": "cats"}'
        head = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
        for one in crowd:
            one.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        if time.monotonic() - started > 0.8:
            pytest.skip("this machine is too slow now: the clients themselves took longer than they may")
        statuses = sorted(one.recv(65536)[9:12] for one in crowd)
        assert set(statuses) <= {b"200", b"429", b"503"}
        assert statuses.count(b"503") >= 5


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200,  # and the answers are not read
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
        b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_whoever_waits_for_its_client_makes_room(sent: bytes, settings: Settings) -> None:
    given = settings.model_copy(update={"reranker": PLAIN})
    with serving(given, with_birds, max_connections=5) as served, ExitStack() as stack:
        host, port = served.url.removeprefix("http://").split(":")
        for one in held(stack, (host, int(port)), 40):
            with suppress(OSError):
                one.sendall(sent)
        for _ in range(20):
            assert httpx.get(f"{served.url}/healthz", timeout=10).status_code == 200


def test_upgrades_are_not_spoken_of(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    given = settings.model_copy(update={"reranker": PLAIN})
    with serving(given, with_birds) as served:
        for protocol in ("websocket", "h2c"):
            answer = served.http.get("/healthz", headers={"Connection": "Upgrade", "Upgrade": protocol})
            assert answer.status_code == 200
    assert "upgrade" not in caplog.text.lower()
    assert "WebSocket" not in caplog.text


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    trustme = pytest.importorskip("trustme")
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return folder


def test_what_is_no_pair_for_tls_is_refused(tls: Path) -> None:
    check_listening(ServiceSettings(certificate=tls / "cert.pem", private_key=tls / "key.pem"))
    (tls / "none.pem").write_text("no certificate")
    locked = load_pem_private_key((tls / "key.pem").read_bytes(), None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    (tls / "locked.pem").write_bytes(locked)
    for certificate, key in (("none", "none"), ("ca", "key"), ("cert", "none"), ("cert", "locked")):
        with pytest.raises(InvalidSettings, match="do not fit for TLS"):
            check_listening(ServiceSettings(certificate=tls / f"{certificate}.pem", private_key=tls / f"{key}.pem"))


def test_tls_handshakes_that_do_not_come_are_not_waited_for(tls: Path, settings: Settings) -> None:
    given = settings.model_copy(update={"reranker": PLAIN})
    pair: dict[str, Any] = {"certificate": tls / "cert.pem", "private_key": tls / "key.pem"}
    with serving(given, receive_s=1.0, **pair) as served, ExitStack() as stack:
        host, port = served.url.removeprefix("https://").split(":")
        [quiet] = held(stack, (host, int(port)), 1)
        quiet.settimeout(20)
        started = time.monotonic()
        with suppress(ConnectionError):
            assert quiet.recv(1) == b""
        assert 0.5 < time.monotonic() - started < 10


def test_tls_handshakes_count_as_connections(tls: Path, settings: Settings) -> None:
    given = settings.model_copy(update={"reranker": PLAIN})
    pair: dict[str, Any] = {"certificate": tls / "cert.pem", "private_key": tls / "key.pem"}
    context = ssl.create_default_context(cafile=str(tls / "ca.pem"))
    with serving(given, max_connections=5, **pair) as served, ExitStack() as stack:
        host, port = served.url.removeprefix("https://").split(":")
        strangers = held(stack, (host, int(port)), 60)
        wait_until(lambda: sum(map(ended, strangers)) >= 39)
        assert httpx.get(f"{served.url}/healthz", verify=context).status_code == 200
        kept = [stack.enter_context(httpx.Client(base_url=served.url, verify=context)) for _ in range(15)]
        assert [one.get("/healthz").status_code for one in kept] == [200] * 15  # each takes another's place


def test_what_is_no_tls_costs_nothing(tls: Path, settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    given = settings.model_copy(update={"reranker": PLAIN})
    pair: dict[str, Any] = {"certificate": tls / "cert.pem", "private_key": tls / "key.pem"}
    context = ssl.create_default_context(cafile=str(tls / "ca.pem"))
    with serving(given, **pair) as served, ExitStack() as stack:
        host, port = served.url.removeprefix("https://").split(":")
        for sent in (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x00" * 1000, b"\x16\x03\x01\x00\x05hello"):
            [one] = held(stack, (host, int(port)), 1)
            one.sendall(sent)
            with suppress(ConnectionError):
                while one.recv(1000):
                    pass
        assert httpx.get(f"{served.url}/healthz", verify=context).status_code == 200
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING and "no collection" not in record.message]


ABSENT = (socket.AF_INET, ("192.0.2.1", 0))  # an address of nobody's machine (RFC 5737)
UNKNOWN = (99, ("127.0.0.1", 0))  # a family that no system has
HERE = (socket.AF_INET, ("127.0.0.1", 0))


@pytest.mark.parametrize("addresses", [(ABSENT, HERE), (UNKNOWN, HERE), (HERE, ABSENT, UNKNOWN)])
def test_addresses_that_this_machine_does_not_have(addresses: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as ::1 of localhost, where IPv6 is off."""
    resolve_to(addresses, monkeypatch)
    (listening,) = bound("host", 0)
    with listening:
        assert listening.getsockname()[0] == "127.0.0.1"


def test_a_host_of_which_this_machine_has_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to((UNKNOWN, ABSENT), monkeypatch)
    with pytest.raises(OSError, match="annot assign requested address") as caught:
        bound("host", 0)
    assert caught.value.errno == errno.EADDRNOTAVAIL


def test_an_address_in_use_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        resolve_to((HERE, (socket.AF_INET, taken.getsockname())), monkeypatch)
        with pytest.raises(OSError, match="in use"):
            bound("host", 0)


def resolve_to(addresses: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [(family, socket.SOCK_STREAM, 0, "", address) for family, address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: entries)
