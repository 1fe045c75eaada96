"""Requests that come whether or not earlier ones were answered: below capacity none fails, above it the rest is served in time.

And while they come, the index fails in every way it can, and the engine tidies up.
"""

import asyncio
import os
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
from serving import Served, resident, serving, slowed, wait_until, with_birds
from standin import Fault, QdrantStandIn

from search.index.contract import Point
from search.searcher import Searcher
from search.settings import Settings

ASK = {"query": "Which bird sings?"}
QUEUE_S = 0.4


class Answered(NamedTuple):
    status: int
    seconds: float
    retry_after: str | None


async def arrivals(url: str, per_s: float, seconds: float, body: dict[str, Any]) -> list[Answered]:
    """Send requests evenly spaced."""
    answers: list[Answered] = []
    limits = httpx.Limits(max_connections=400, max_keepalive_connections=400)
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=limits) as http:

        async def ask() -> None:
            started = time.monotonic()
            answer = await http.post("/v1/search", json=body)
            answers.append(Answered(answer.status_code, time.monotonic() - started, answer.headers.get("retry-after")))

        async with asyncio.TaskGroup() as group:
            began = time.monotonic()
            for number in range(int(per_s * seconds)):
                await asyncio.sleep(max(0.0, began + number / per_s - time.monotonic()))
                group.create_task(ask())
    return answers


def one_by_one(served: Served, number: int) -> list[float]:
    """Seconds of requests that nobody else's are beside."""
    return [asyncio.run(arrivals(served.url, 4, 0.25, ASK))[0].seconds for _ in range(number)]


def p95(values: list[float]) -> float:
    return sorted(values)[int(0.95 * len(values))]


@pytest.fixture
def served(settings: Settings) -> Iterator[Served]:
    with serving(settings, with_birds, queue_s=QUEUE_S) as one:
        yield one


@pytest.mark.timeout(600)
def test_nothing_fails_below_capacity_and_above_it_the_rest_is_served_in_time(served: Served, in_full: bool) -> None:  # noqa: FBT001
    slow = slowed(served, 0.05)
    seconds = 60 if in_full else 3
    alone = one_by_one(served, 15)
    capacity = 1 / statistics.median(alone)
    for share in (0.3, 0.6, 0.8) if in_full else (0.3, 0.6):
        answers = asyncio.run(arrivals(served.url, share * capacity, seconds, ASK))
        assert {answer.status for answer in answers} == {200}, share
    held = resident(served)
    for share in (1.5, 3):
        most = max(capacity, 1 / slow.seconds)  # however busy the machine was when the capacity was measured
        answers = asyncio.run(arrivals(served.url, share * most, seconds, ASK))
        alone += one_by_one(served, 5)  # by now the machine may be busier than it was
        accepted = [answer.seconds for answer in answers if answer.status == 200]
        refused = [answer for answer in answers if answer.status == 429]
        assert len(accepted) + len(refused) == len(answers), share
        assert len(accepted) > 0.5 * capacity * seconds, share
        assert refused
        assert p95(accepted) < p95(alone) + QUEUE_S + 0.2, share  # and this machine's moods
        assert all(int(answer.retry_after or "0") >= 1 for answer in refused)
    assert resident(served) - held < 30e6
    assert served.service.reading.running == served.service.reading.waiting == 0


FAULTS = {
    "slow": Fault(delay_s=0.3),
    "slower than it may be": Fault(delay_s=1.5),
    "refusing": Fault(503),
    "broken": Fault(500),
    "dead in the middle of a request": Fault(reset=True),
    "dead in the middle of an answer": Fault(cut=True),
    "speaking nonsense": Fault(200, body=b"<html>"),
}


def test_an_index_that_fails_in_the_middle_costs_those_requests(standin: QdrantStandIn, settings: Settings) -> None:
    index = Settings(index={"engine": "qdrant", "url": standin.url, "timeout_s": 1}).index
    with serving(settings.model_copy(update={"index": index}), with_birds, queue_s=60) as served:
        for name, fault in FAULTS.items():
            standin.faults += [fault] * 4
            answers = asyncio.run(arrivals(served.url, 10, 1, ASK))
            standin.faults.clear()
            statuses = [answer.status for answer in answers]
            expected = 502 if name == "speaking nonsense" else 503
            assert set(statuses) == ({200} if name == "slow" else {200, expected}), name
            assert all(answer.retry_after == "2" for answer in answers if answer.status == 503), name
            assert statuses.count(200) >= 6, name
            assert served.http.post("/v1/search", json=ASK).json()["rerank_status"] == "full", name
            assert served.service.reading.running == 0, name


def test_an_engine_that_is_killed_in_the_middle_costs_the_requests_of_that_moment(settings: Settings) -> None:
    index = Settings(index={"engine": "edge", "own_process": True}).index
    with serving(settings.model_copy(update={"index": index}), with_birds, queue_s=60) as served, ThreadPoolExecutor(1) as pool:
        process: Any = served.searcher.collections
        coming = pool.submit(lambda: asyncio.run(arrivals(served.url, 25, 4, {**ASK, "rerank": False})))
        for _ in range(3):
            time.sleep(0.8)
            wait_until(lambda: process._child, 10)
            os.kill(process._child[0].pid, signal.SIGKILL)
        statuses = [answer.status for answer in coming.result()]
    assert set(statuses) <= {200, 503}
    assert statuses.count(503) <= 6
    assert statuses.count(200) >= 90


def test_health_is_answered_while_the_engine_tidies_up(settings: Settings) -> None:
    def many(searcher: Searcher) -> None:
        with_birds(searcher)
        vectors = np.random.default_rng(0).normal(size=(8_000, searcher.embedder.dimension)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        payload = next(iter(searcher.index.scroll())).payload
        ids = [f"00000000-0000-0000-0000-{number:012}" for number in range(len(vectors))]
        searcher.index.upsert([Point(one, vector, {**payload, "chunk_id": one}) for one, vector in zip(ids, vectors, strict=True)])

    index = Settings(index={"engine": "edge", "own_process": True}).index
    with serving(settings.model_copy(update={"index": index}), many) as served:

        def built() -> bool:
            return int(served.searcher.collections.info("documents").details["indexed_vectors"]) >= 8_000

        assert not built()
        served.searcher.index.optimize()  # which a service does not wait for
        tidying = threading.Thread(target=wait_until, args=(built, 60))
        took: list[float] = []
        tidying.start()
        began = time.monotonic()
        while tidying.is_alive():
            for path in ("/healthz", "/readyz"):
                started = time.monotonic()
                assert served.http.get(path).status_code == 200
                took.append(time.monotonic() - started)
            time.sleep(0.02)
        assert time.monotonic() - began > 1
        assert p95(took) < 0.05
