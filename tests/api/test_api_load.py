"""Under load, under faults, and told to end: nothing hangs, nothing accepted is lost, and what is refused is refused at once."""

import asyncio
import errno
import gc
import json
import math
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from serving import Served, serving, slowed, wait_until, with_birds
from standin import Fault, QdrantStandIn
from starlette.requests import Request

from search.api.admission import Admission
from search.api.server import build_server
from search.api.state import Service
from search.errors import IndexBusy, SearchError, ServiceOverloaded
from search.index.edge.folder import DataFolder
from search.searcher import Searcher, open_search
from search.settings import Settings

FULL: list[tuple[str, str, str, dict[str, Any]]] = [
    ("search", "texts", "/v1/search", {"query": "Which bird sings?"}),
    ("search", "texts", "/v2/rerank", {"query": "x", "documents": ["a", "b"]}),
    ("write", "documents", "/v1/documents", {"documents": [{"id": f"new{i}", "text": f"Word {i} and more."} for i in range(300)]}),
]

# The command, with an engine that stands still given up after three seconds, not thirty.
SOON_GIVEN_UP = """
from search.cli.app import main
from search.index.edge import process
process._STILL_S, process._UNREADY_AFTER_S = 3.0, 1.0
main()
"""

# The command, with a write that takes long.
SLOW_TO_WRITE = """
import sys, time
from search.cli.app import main
from search.searcher import Searcher, open_search
Searcher.ingest = lambda *_, **__: (print("writing", file=sys.stderr, flush=True), time.sleep(120))
main()
"""


@pytest.fixture
def served(settings: Settings) -> Iterator[Served]:
    with serving(settings, with_birds, queue_s=0.4) as one:
        yield one


@pytest.fixture
def patient(settings: Settings) -> Iterator[Served]:
    with serving(settings, with_birds, queue_s=10) as one:
        yield one


@pytest.mark.parametrize("fault", ["raises", "wrong length", "NaN"])
def test_a_failing_reranker_degrades_searches_and_fails_rerank_requests(fault: str, served: Served) -> None:
    slowed(served, 0, fault)
    told = served.http.post("/v1/search", json={"query": "Which bird sings?"}).json()
    assert (told["rerank_status"], len(told["hits"])) == ("failed", 8)
    assert "minilm-reranker" in told["reason"]
    answer = served.http.post("/rerank", json={"query": "x", "texts": ["a", "b"]})
    assert (answer.status_code, answer.json()["error_type"]) == (424, "Backend")
    assert "out of order" not in answer.text
    assert served.http.post("/v2/rerank", json={"query": "x", "documents": ["a", "b"]}).status_code == 500


def test_overload_is_refused_at_once_and_the_rest_is_served_in_time(served: Served) -> None:
    slowed(served, 0.2)
    alone = []
    for _ in range(8):
        started = time.monotonic()
        served.http.post("/v1/search", json={"query": "learn how long it takes"})
        alone.append(time.monotonic() - started)

    def ask(http: httpx.Client) -> tuple[int, float, str]:
        started = time.monotonic()
        answer = http.post("/v1/search", json={"query": "Which bird sings?"})
        return answer.status_code, time.monotonic() - started, answer.headers.get("retry-after", "")

    with ExitStack() as stack, ThreadPoolExecutor(16) as pool:
        clients = [stack.enter_context(httpx.Client(base_url=served.url, timeout=30)) for _ in range(16)]
        for client in clients:
            client.get("/healthz")
        answers = list(pool.map(ask, clients))
    taken = [seconds for status, seconds, _ in answers if status == 200]
    refused = [(seconds, wait) for status, seconds, wait in answers if status == 429]
    assert len(taken) + len(refused) == 16
    in_time = 1 + int(0.4 / (1.5 * statistics.median(alone)))  # beside the one at work; 2 or 3 where a search takes what is added
    assert min(2, in_time) <= len(taken) <= 6
    assert max(taken) < 0.4 + 3 * 0.25 + 0.3  # the queue, what it takes itself, and this machine's moods
    assert all(int(wait) >= 1 for _, wait in refused)
    assert statistics.median(seconds for seconds, _ in refused) < 0.3
    assert "search_overloaded_total " + f"{len(refused)}.0" in served.http.get("/metrics").text
    answer = served.http.post("/v1/search", json={"query": "and again"})
    assert answer.status_code == 200


def test_health_is_answered_while_models_work(served: Served) -> None:
    texts = ["word " * 150] * 100
    took: list[float] = []
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(lambda: served.http.post("/rerank", json={"query": "x", "texts": texts}).status_code)
        time.sleep(0.3)
        with httpx.Client(base_url=served.url) as http:
            while not working.done():
                started = time.monotonic()
                assert http.get("/healthz").status_code == 200
                took.append(time.monotonic() - started)
                time.sleep(0.02)
        assert working.result() == 200
    assert len(took) > 20
    assert statistics.median(took) < 0.05


def test_a_large_request_does_not_keep_small_ones_waiting(patient: Served) -> None:
    served = patient
    slow = slowed(served, 0.1)
    with ThreadPoolExecutor(1) as pool:
        large = pool.submit(lambda: served.http.post("/rerank", json={"query": "x", "texts": ["a"] * 320}))
        time.sleep(0.5)
        started = time.monotonic()
        with httpx.Client(base_url=served.url) as http:
            assert http.post("/rerank", json={"query": "x", "texts": ["a"]}).status_code == 200
        assert time.monotonic() - started < 0.8
        assert not large.done()
        assert large.result().status_code == 200
    assert slow.calls > 10  # parts


def reranking(served: Served, texts: int) -> socket.socket:
    """A client that asks for a reranking, and can leave before the answer."""
    host, port = served.url.removeprefix("http://").split(":")
    body = json.dumps({"query": "x", "texts": ["a"] * texts}).encode()
    head = f"POST /rerank HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    client = socket.create_connection((host, int(port)))
    client.sendall(head.encode() + body)
    return client


def test_metrics_forget_clients_that_leave(patient: Served) -> None:
    """In the middle of their turn, and while they wait for it; and they show who waits before anybody is done."""
    slowed(patient, 1.0)

    def gauges() -> tuple[float, float]:
        values = dict(line.rsplit(" ", 1) for line in patient.http.get("/metrics").text.splitlines() if line[0] != "#")
        return float(values["search_queue_running"]), float(values["search_queue_waiting"])

    with reranking(patient, 4):
        wait_until(lambda: gauges() == (1, 0))
        with reranking(patient, 4):
            wait_until(lambda: gauges() == (1, 1))
        wait_until(lambda: gauges() == (1, 0))
    wait_until(lambda: gauges() == (0, 0))


def test_a_client_that_goes_away_frees_its_place(patient: Served) -> None:
    served = patient
    slow = slowed(served, 0.15)
    with reranking(served, 640):
        time.sleep(0.4)
    time.sleep(0.5)
    calls = slow.calls
    assert 1 <= calls < 8  # of 10 parts at least
    time.sleep(0.5)
    assert slow.calls == calls
    assert served.service.reading.running == served.service.reading.waiting == 0


def test_a_budget_counts_the_wait(patient: Served) -> None:
    served = patient
    slowed(served, 0.3)
    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=served.url) as other:
        first = pool.submit(lambda: other.post("/v1/search", json={"query": "x"}).json())
        time.sleep(0.1)
        told = served.http.post("/v1/search", json={"query": "x", "budget_ms": 150}).json()
        assert (told["rerank_status"], len(told["hits"])) == ("skipped", 8)
        assert told["timings_ms"]["queue"] > 100
        assert first.result()["rerank_status"] == "full"


def test_the_server_gone_and_back(standin: QdrantStandIn, settings: Settings) -> None:
    index = Settings(index={"engine": "qdrant", "url": standin.url}).index
    with serving(settings.model_copy(update={"index": index}), with_birds) as served:
        ask = {"query": "Which bird sings?"}
        assert served.http.post("/v1/search", json=ask).status_code == 200
        standin.faults += [Fault(503)] * 3
        gone = served.http.post("/v1/search", json=ask)
        assert (gone.status_code, gone.headers["retry-after"]) == (503, "2")
        standin.faults.clear()
        assert served.http.post("/v1/search", json=ask).status_code == 200


def test_a_full_disk_of_the_server_is_told_and_searches_go_on(standin: QdrantStandIn, settings: Settings) -> None:
    index = Settings(index={"engine": "qdrant", "url": standin.url}).index
    with serving(settings.model_copy(update={"index": index}), with_birds) as served:
        answer = standin.answer

        def failing(method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
            if (method, path.endswith("/points")) == ("PUT", True):
                return 500, "Service internal error: No space left on device (os error 28)"
            return answer(method, path, body)

        standin.answer = failing  # type: ignore[method-assign]
        new = {"documents": [{"id": "new", "text": "A new bird."}]}
        for method, path, body in (
            ("POST", "/v1/documents", new),
            ("PATCH", "/v1/documents", {"ids": ["bird1"], "metadata": {"seen": True}}),
        ):
            full = served.http.request(method, path, json=body)
            assert (full.status_code, full.json()["error"]["type"]) == (507, "IndexFull"), path
            assert full.json()["error"]["message"].startswith(
                "there is no room left for the collection; the log of the service has the"
            )
            assert standin.url not in full.text
        assert served.http.post("/v1/search", json={"query": "Which bird sings?"}).status_code == 200
        standin.answer = answer  # type: ignore[method-assign]
        assert served.http.post("/v1/documents", json=new).json()["added"] == 1


def test_the_engine_killed_costs_one_request(settings: Settings) -> None:
    index = Settings(index={"engine": "edge", "own_process": True}).index
    with serving(settings.model_copy(update={"index": index}), with_birds) as served:
        process: Any = served.searcher.collections
        os.kill(process._child[0].pid, signal.SIGKILL)
        statuses = [served.http.post("/v1/search", json={"query": "Which bird sings?"}).status_code for _ in range(3)]
        assert statuses == [503, 200, 200]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_engine_that_stands_still_is_told_of_and_does_not_keep_the_service_from_ending(
    number: int, tmp_path: Path, model_folder: Path
) -> None:
    chosen = {"SEARCH_EMBEDDER__MODEL": str(model_folder / "embedder-mean"), "SEARCH_RERANKER__KIND": "none"}
    environment = {**os.environ, **chosen, "SEARCH_DATA_DIR": str(tmp_path), "SEARCH_SERVICE__SHUTDOWN_S": "1"}
    command = [sys.executable, "-c", SOON_GIVEN_UP, "serve", "--port", "0", "--log", "none"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process, ThreadPoolExecutor(2) as pool:
        try:
            assert process.stderr
            url = process.stderr.readline().split()[-1]
            httpx.post(f"{url}/v1/documents", json={"documents": [{"id": "1", "text": "Birds sing."}]}, timeout=60)
            engine = json.loads((tmp_path / "owner.json").read_text())["engine"]
            os.kill(engine, signal.SIGSTOP)
            asking = [
                pool.submit(httpx.post, f"{url}/v1/search", json={"query": "birds"}, timeout=120),
                pool.submit(httpx.get, f"{url}/v1/documents/1", timeout=120),
            ]
            wait_until(lambda: httpx.get(f"{url}/readyz", timeout=10).status_code == 503, 30)
            assert httpx.get(f"{url}/healthz", timeout=10).status_code == 200
            if number == signal.SIGINT:  # waited for, they are answered; and the next request starts the engine again
                assert 503 in {one.result().status_code for one in asking} <= {200, 429, 503}
                wait_until(lambda: httpx.post(f"{url}/v1/search", json={"query": "b"}, timeout=60).status_code == 200, 60)
                assert httpx.get(f"{url}/readyz", timeout=10).status_code == 200
                os.kill(json.loads((tmp_path / "owner.json").read_text())["engine"], signal.SIGSTOP)
                asking = [pool.submit(httpx.post, f"{url}/v1/search", json={"query": "birds"}, timeout=120)]
            process.send_signal(number)
            process.wait(60)
        finally:
            process.kill()
    folder = DataFolder(tmp_path)  # which the engine holds no longer

    def is_free() -> bool:
        with suppress(IndexBusy):
            folder.hold()
            return True
        return False

    wait_until(is_free, 20)
    folder.let_go()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_was_accepted_is_finished_when_it_is_told_to_end(number: signal.Signals, tmp_path: Path) -> None:
    environment = {**os.environ, "SEARCH_DATA_DIR": str(tmp_path), "SEARCH_SERVICE__QUEUE_S": "30"}
    command = [str(Path(sys.executable).parent / "search"), "serve", "--port", "0", "--log", "none"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr
        url = process.stderr.readline().split()[-1]
        documents = [{"id": str(i), "text": f"Bird {i} sings. " + "word " * 150} for i in range(8)]
        assert httpx.post(f"{url}/v1/documents", json={"documents": documents}, timeout=60).json()["added"] == 8
        outcomes: list[str] = []
        accepted = threading.Barrier(7)

        def ask() -> None:
            with httpx.Client(base_url=url, timeout=60) as http:
                http.get("/healthz")
                accepted.wait()
                try:
                    outcomes.append(http.post("/v1/search", json={"query": "Which bird sings?"}).json()["rerank_status"])
                except httpx.ConnectError:
                    outcomes.append("not accepted")

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        accepted.wait()
        time.sleep(0.4)  # all of them are there, one after the other is being answered
        os.killpg(process.pid, number)  # as a terminal that closes does, to the engine's process, too
        for thread in threads:
            thread.join()
        assert outcomes == ["full"] * 6
        assert process.wait(30) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/healthz")


LATE: list[tuple[str, str, dict[str, Any] | None]] = [
    ("POST", "/v1/search", {"query": "Which bird sings?"}),
    ("POST", "/v1/search/batch", {"searches": [{"query": "Which bird sings?"}]}),
    ("POST", "/v1/context", {"query": "Which bird sings?"}),
    ("POST", "/v2/rerank", {"query": "x", "documents": ["a", "b"]}),
    ("POST", "/rerank", {"query": "x", "texts": ["a", "b"]}),
    ("GET", "/v1/documents/bird1", None),
    ("GET", "/v1/collections/documents/facets", None),
]


def ended_amid(
    served: Served, requests: list[tuple[str, str, dict[str, Any] | None]], then: Callable[[], Any] = lambda: None
) -> list[httpx.Response]:
    """What requests are answered that are under way when the service is told to end; something happens behind that."""
    with ThreadPoolExecutor(len(requests)) as pool:
        asking = [pool.submit(httpx.request, method, served.url + path, json=body, timeout=60) for method, path, body in requests]
        queues = served.service.queues.values()
        wait_until(lambda: sum(queue.running + queue.waiting for queue in queues) == len(requests), 30)
        served.server.should_exit = True
        then()
        return [one.result() for one in asking]


def test_what_does_not_end_in_time_is_told_so(settings: Settings) -> None:
    """Each in the words of its route."""
    over = threading.Event()
    with serving(settings, with_birds, queue_s=60, shutdown_s=1) as served:
        for queue in served.service.queues.values():  # whose threads are at something else, so that all wait for their turn
            for _ in range(queue._workers):
                queue._pool.submit(over.wait, 60)
        answers = ended_amid(served, LATE)
        over.set()
    message = "the service ends, and did not come to this; send it again when it is back"
    assert {answer.status_code for answer in answers} == {503}
    assert {(answer.headers["retry-after"], answer.headers["connection"]) for answer in answers} == {("2", "close")}
    rerank, tei = answers[3].json(), answers[4].json()
    assert (rerank["message"], rerank["error"]["type"]) == (message, "ServiceEnding")
    assert tei == {"error": message, "error_type": "Unhealthy"}
    for answer in [*answers[:3], *answers[5:]]:
        assert answer.json()["error"] == {
            "type": "ServiceEnding",
            "message": message,
            "request_id": answer.headers["x-request-id"],
        }


@pytest.mark.parametrize(("more_s", "status"), [(20.0, 200), (0.5, 503)])
def test_a_write_has_longer_to_end_and_its_client_hears_of_it(more_s: float, status: int, settings: Settings) -> None:
    write, over = Searcher.ingest, threading.Event()

    def slow(searcher: Searcher, *arguments: Any, **options: Any) -> Any:
        over.wait(60)
        return write(searcher, *arguments, **options)

    new: dict[str, Any] = {"documents": [{"id": "new", "text": "A new bird."}]}
    brief = patch("search.api.server.CLOSES_S", more_s)
    with brief, serving(settings, with_birds, shutdown_s=1) as served, patch.object(Searcher, "ingest", slow):

        def end_late() -> None:
            wait_until(lambda: served.service.closes_by < math.inf, 30)  # the time for what is no write is over
            over.set()

        (answer,) = ended_amid(served, [("POST", "/v1/documents", new)], end_late if status == 200 else lambda: None)
        over.set()
    assert answer.status_code == status
    if status == 200:
        assert answer.json()["added"] == 1
    else:
        error = answer.json()["error"]
        assert error["type"] == "ServiceEnding"
        assert error["message"].endswith("what was written stays, and the same request again finishes the rest")


def answers_at(url: str) -> bool:
    """Whether anything listens there."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) == 0


def test_a_second_interrupt_ends_it_at_once_and_tells_clients(tmp_path: Path) -> None:
    environment = {**os.environ, "SEARCH_DATA_DIR": str(tmp_path), "SEARCH_RERANKER__KIND": "none"}
    command = [sys.executable, "-c", SLOW_TO_WRITE, "serve", "--port", "0"]
    new = {"documents": [{"id": "new", "text": "A new bird."}]}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process, ThreadPoolExecutor(1) as pool:
        assert process.stderr
        url = next(line for line in process.stderr if line.startswith("listening on ")).split()[-1]
        asked = pool.submit(httpx.post, f"{url}/v1/documents", json=new, timeout=100)
        assert "writing\n" in process.stderr
        process.send_signal(signal.SIGINT)
        wait_until(lambda: not answers_at(url), 30)
        process.send_signal(signal.SIGINT)
        answer = asked.result()
        told = process.stderr.read()
        assert process.wait(60) == 1
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "ServiceEnding")
    assert "Traceback" not in told


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        command = [str(Path(sys.executable).parent / "search"), "serve", "--port", str(taken.getsockname()[1])]
        environment = {**os.environ, "SEARCH_DATA_DIR": str(tmp_path), "SEARCH_RERANKER__KIND": "none"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the port is taken; choose another with --port" in done.stderr


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("no-such-name.invalid", "there is no such name; choose another with --host"),
        ("a..b", "there is no such name; choose another with --host"),
        ("192.0.2.1", "this machine has no such address; choose another with --host"),
    ],
)
def test_a_host_where_nothing_can_listen(host: str, told: str, settings: Settings) -> None:
    chosen = settings.model_copy(update={"service": settings.service.model_copy(update={"host": host, "port": 0})})
    with open_search(chosen) as searcher, pytest.raises(SearchError, match=f"nothing can listen on {re.escape(host)}.*{told}"):
        build_server(Service(chosen, searcher)).run()


def test_a_port_for_which_the_user_has_no_rights(settings: Settings) -> None:
    refusing = patch("search.api.server.bound", side_effect=PermissionError(errno.EACCES, "Permission denied"))
    with refusing, open_search(settings) as searcher, pytest.raises(SearchError, match="choose one above 1023"):
        build_server(Service(settings, searcher)).run()


def test_an_address_of_ipv6_as_urls_have_it(settings: Settings) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serving(settings, with_birds, host="[::1]") as served:
        assert served.url.startswith("http://[::1]:")
        assert served.http.get("/readyz").json() == {"ready": True}


# The queue by itself


def placed(admission: Admission, names: str, done: list[str]) -> list[asyncio.Task[Any]]:
    """Work of 0.1 s for each name, which then stands in `done`."""

    def work(name: str) -> None:
        time.sleep(0.1)
        done.append(name)

    return [asyncio.create_task(admission.run(partial(work, name), kind="x", units=1)) for name in names]


def test_turns_are_taken_in_order_and_a_place_is_given_up() -> None:
    async def play() -> list[str]:
        admission = Admission("test", 1, 10)
        done: list[str] = []

        tasks = placed(admission, "abcd", done)
        await asyncio.sleep(0.02)
        assert (admission.running, admission.waiting) == (1, 3)
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (admission.running, admission.waiting) == (0, 0)
        admission.close()
        return done

    assert asyncio.run(play()) == ["a", "c", "d"]


def test_closed_it_ends_what_was_begun_and_refuses_what_waits() -> None:
    async def play() -> list[str]:
        admission = Admission("test", 1, 10)
        done: list[str] = []

        tasks = placed(admission, "abc", done)
        await asyncio.sleep(0.02)
        admission.close()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(outcome, ServiceOverloaded) for outcome in outcomes] == [False, True, True]
        return done

    assert asyncio.run(play()) == ["a"]


def test_failures_free_their_place_and_teach_nothing() -> None:
    async def play() -> None:
        admission = Admission("test", 2, 1)

        def fail() -> None:
            message = "no"
            raise ValueError(message)

        for _ in range(5):
            with pytest.raises(ValueError, match="no"):
                await admission.run(fail, kind="x", units=1)
        assert (admission.running, admission.expected_wait_s()) == (0, 0.0)
        admission.learn("x", 1.0)
        first = asyncio.create_task(admission.run(lambda: time.sleep(0.2), kind="x", units=2))
        second = asyncio.create_task(admission.run(lambda: time.sleep(0.2), kind="x", units=2))
        await asyncio.sleep(0.01)
        with pytest.raises(ServiceOverloaded, match="come again in 1 s") as refused:
            await admission.run(lambda: None, kind="x", units=1)
        assert refused.value.retry_after_s == 1
        await asyncio.gather(first, second)
        admission.close()

    asyncio.run(play())


def test_nothing_is_left_of_work_that_fails_when_nobody_waits_for_it() -> None:
    complaints: list[Any] = []

    def fail() -> None:
        time.sleep(0.1)
        message = "no"
        raise ValueError(message)

    async def play() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
        admission = Admission("test", 1, 1)
        leaving = asyncio.create_task(admission.run(fail, kind="x", units=1))
        await asyncio.sleep(0.02)
        leaving.cancel()
        await asyncio.sleep(0.2)
        assert admission.running == 0
        admission.close()
        del leaving
        gc.collect()

    asyncio.run(play())
    assert complaints == []


def test_who_is_refused_is_told_to_come_again_after_the_others() -> None:
    async def play() -> list[int]:
        admission = Admission("test", 1, 0.5)
        admission.learn("x", 10.0)
        running = asyncio.create_task(admission.run(lambda: time.sleep(0.2), kind="x", units=1))
        await asyncio.sleep(0.01)
        told = []
        for _ in range(5):
            with pytest.raises(ServiceOverloaded) as refused:
                await admission.run(lambda: None, kind="x", units=1)
            told.append(refused.value.retry_after_s)
        await running
        await admission.run(lambda: None, kind="x", units=1)  # a place that is free is had, whatever others were told
        admission.close()
        return told

    assert asyncio.run(play()) == [10, 20, 30, 30, 30]


def ask_by_hand(url: str, path: str, *, body_after_s: float | None = None) -> tuple[int, dict[str, str], Any]:
    """What answers a request of which only the head is sent; or, on a connection that is to close, the body some time later."""
    host, port = url.removeprefix("http://").split(":")
    size = 3_000_000
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        closing = "" if body_after_s is None else "connection: close\r\n"
        head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\n{closing}content-type: application/json\r\ncontent-length: {size}\r\n\r\n"
        connection.sendall(head.encode())
        if body_after_s is not None:
            time.sleep(body_after_s)
            connection.sendall(b'{"query": "x", "documents": ["a"]'.ljust(size - 1) + b"}")
        with connection.makefile("rb") as answer:
            status = int(answer.readline().split()[1])
            lines = iter(lambda: answer.readline().strip().decode(), "")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            return status, headers, json.loads(answer.read(int(headers["content-length"])))


@contextmanager
def occupied(served: Served, queue: str, kind: str, path: str, body: dict[str, Any]) -> Iterator[None]:
    """A queue whose thread is at work on a request that is expected to take long, until the context ends."""
    goes_on = threading.Event()

    def held(work: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given, **named: work(*given, **named) if goes_on.wait(30) else None

    slow = slowed(served, 0)
    slow.score = held(slow.score)  # type: ignore[method-assign]
    served.searcher.ingest = held(served.searcher.ingest)  # type: ignore[method-assign]
    served.service.queues[queue].learn(kind, 9.0)
    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=served.url, timeout=60) as other, ExitStack() as stack:
        stack.callback(goes_on.set)
        first = pool.submit(lambda: other.post(path, json=body).status_code)
        wait_until(lambda: served.service.queues[queue].running == 1)
        yield
        goes_on.set()
        assert first.result() == 200


@pytest.mark.parametrize(("queue", "kind", "path", "body"), FULL)
def test_what_finds_the_queue_full_is_refused_before_its_body_is_read(
    queue: str, kind: str, path: str, body: dict[str, Any], served: Served
) -> None:
    with occupied(served, queue, kind, path, body):
        status, headers, told = ask_by_hand(served.url, path)
        assert (status, int(headers["retry-after"]) > 5) == (429, True)
        assert "too much to do" in (told["message"] if "rerank" in path else told["error"]["message"])
        assert "search_overloaded_total 1.0" in served.http.get("/metrics").text
        assert served.http.post(path, json={}).status_code == 429  # it would be malformed, but nobody has read it
        assert served.http.get("/v1/collections").status_code == 200  # another queue
    assert served.http.post(path, json={}).status_code == 422


def test_where_the_connection_ends_with_the_answer_the_body_is_read_first(served: Served) -> None:
    with occupied(served, *FULL[1]):
        status, headers, told = ask_by_hand(served.url, "/v2/rerank", body_after_s=0.3)
        assert (status, headers["connection"], "too much to do" in told["message"]) == (429, "close", True)


def test_every_route_that_waits_names_its_queue(served: Served) -> None:
    paths: dict[str, Any] = served.http.get("/openapi.json").json()["paths"]
    ways = {(path, way): told for path, ways in paths.items() for way, told in ways.items() if told["x-scope"] != "open"}
    assert {told["x-queue"] for told in ways.values() if "x-queue" in told} <= set(served.service.queues)
    without = {path for (path, _), told in ways.items() if "x-queue" not in told}
    assert without == {"/rerank", "/info", "/v1/models", "/v1/models/{name}", "/metrics", "/v1/collections/{name}/facets"}


def test_a_wait_that_was_not_foreseen_ends_in_time() -> None:
    async def play() -> float:
        admission = Admission("test", 1, 0.3)
        admission.learn("x", 0.01)
        slow = asyncio.create_task(admission.run(lambda: time.sleep(1.0), kind="x", units=1))
        await asyncio.sleep(0.02)
        started = time.monotonic()
        with pytest.raises(ServiceOverloaded):
            await admission.run(lambda: None, kind="x", units=1)
        took = time.monotonic() - started
        await slow
        assert admission.units_in("x", 1.0) > 20  # one outlier teaches little
        assert (admission.waiting, admission.running) == (0, 0)
        admission.close()
        return took

    assert asyncio.run(play()) < 0.8


def test_a_batch_that_cannot_begin_is_refused(served: Served) -> None:
    slowed(served, 1.0)
    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=served.url, timeout=30) as other:
        first = pool.submit(lambda: other.post("/v1/search", json={"query": "x"}).status_code)
        time.sleep(0.1)
        batch = served.http.post("/v1/search/batch", json={"searches": [{"query": "x"}, {"query": "y"}]})
        assert (batch.status_code, first.result()) == (429, 200)


def test_a_batch_that_had_a_turn_is_not_refused_whatever_came_of_it(served: Served) -> None:
    slowed(served, 0.6)
    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=served.url, timeout=30) as other:
        looking = served.service.searcher

        def crowded(request: Request, collection: str | None, **options: Any) -> Searcher:
            if collection == "nowhere":  # others come while the first of the batch has its turn
                crowd.append(pool.submit(lambda: other.post("/v1/search", json={"query": "x"}).status_code))
                time.sleep(0.2)
                served.service.reading.learn("texts", 1.0)
            return looking(request, collection, **options)

        crowd: list[Any] = []
        served.service.reading.learn("texts", 0.001)  # so that the crowd is let in
        served.service.searcher = crowded  # type: ignore[method-assign]
        searches = [{"query": "x", "collection": "nowhere"}, {"query": "y"}]
        batch = served.http.post("/v1/search/batch", json={"searches": searches})
        assert [one.get("rerank_status") or one["error"]["type"] for one in batch.json()["results"]] == [
            "CollectionNotFound",
            "full",
        ]
        assert crowd[0].result() == 200


def test_a_write_does_not_wait_long_for_a_server_that_is_gone(standin: QdrantStandIn, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "SEARCH_DATA_DIR": str(tmp_path),
        "SEARCH_INDEX__ENGINE": "qdrant",
        "SEARCH_RERANKER__KIND": "none",
    }
    environment["SEARCH_INDEX__URL"] = standin.url
    command = [str(Path(sys.executable).parent / "search"), "serve", "--port", "0", "--log", "none"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        url = process.stderr.readline().split()[-1]
        document = {"documents": [{"id": "a", "text": "Cats."}]}
        assert httpx.post(f"{url}/v1/documents", json=document, timeout=60).json()["added"] == 1
        standin.faults += [Fault(503)] * 1000
        started = time.monotonic()
        answer = httpx.post(f"{url}/v1/documents", json={"documents": [{"id": "b", "text": "Dogs."}]}, timeout=60)
        assert (answer.status_code, time.monotonic() - started < 30) == (503, True)
        standin.faults.clear()
        process.terminate()
        assert process.wait(30) == 0
