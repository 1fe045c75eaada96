"""What does the service add to a search, and what does it do under load?

    .venv/bin/python benchmarks/service.py            # half an hour
    .venv/bin/python benchmarks/service.py --short    # a minute at 80 % of capacity instead of five, fewer passages

One `search serve` with its settings as they are, over an embedded collection of 10,000 passages of 100 to 200 tokens, asked by
this process. Overhead: time of a request less what models and index take, depth 30. Throughput: one client against eight, each
asking again as soon as it was answered, or when it was told to, by turns; what is answered until the time is up counts, and a
refusal does not; with the one second of waiting that the settings allow, and with ten. Arrivals: evenly spaced, whether or not
earlier ones were answered, at 80 % and 300 % of what one client gets. The page: from the key that sends a query to the frame that
shows its results, in a headless browser. Sharing: what batches of several requests could gain.
"""

import argparse
import asyncio
import itertools
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import record
from ingestion import text

_OK, _REFUSED = 200, 429
QUESTIONS = [
    "the winter harbour and its engines",
    "a letter from the mountain",
    "where is the copper market",
    "glass in the garden",
]
SEARCH = Path(sys.executable).parent / "search"


@contextmanager
def service(data: Path, **settings: str) -> Iterator[str]:
    """A service of its own process, until the context ends."""
    environment = {**os.environ, "SEARCH_DATA_DIR": str(data), **settings}
    command = [str(SEARCH), "serve", "--port", "0", "--log", "none"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr  # noqa: S101  # asked for above
        yield next(line.split()[-1] for line in process.stderr if line.startswith("listening"))
        process.terminate()


def overhead(url: str, asked: int = 60) -> dict[str, float]:
    """Milliseconds of a request beyond models and index."""
    beyond, whole = [], []
    with httpx.Client(base_url=url, timeout=60) as http:
        for number in range(asked):
            body = {"query": QUESTIONS[number % len(QUESTIONS)], "limit": 10, "depth": 30}
            started = time.perf_counter()
            told = http.post("/v1/search", json=body).raise_for_status().json()
            took = (time.perf_counter() - started) * 1000
            beyond.append(took - sum(told["timings_ms"][stage] for stage in ("embed", "retrieve", "rerank")))
            whole.append(took)
    return {"median_ms": statistics.median(beyond), "p95_ms": quantile(beyond, 0.95), "request_median_ms": statistics.median(whole)}


def quantile(values: list[float], share: float) -> float:
    """The value that so many are not above."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


class Asker:
    """A connection that asks with as little work as can be, since whoever measures has the same two cores."""

    def __init__(self, url: str) -> None:
        """Keep the address."""
        self._address = url.removeprefix("http://").split(":")

    async def __aenter__(self) -> Self:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection(self._address[0], int(self._address[1]))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Part."""
        self._writer.close()

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, float]:
        """The status, and the seconds after which to come again."""
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        await self._reader.readexactly(int(headers["content-length"]))
        return int(lines[0].split()[1]), float(headers.get("retry-after", "0"))


async def closed(url: str, clients: int, seconds: float) -> dict[str, Any]:
    """So many clients, each of which asks as soon as it was answered; beside them, how fast health is answered."""
    statuses: list[int] = []
    latencies: list[float] = []
    health: list[float] = []
    began = answered = time.monotonic()
    ends = began + seconds
    bodies = itertools.cycle(json.dumps({"query": question}).encode() for question in QUESTIONS)
    refused_ones: list[bytes] = []  # asked anew by who comes next, so that all are answered equally often: some take longer

    async def client() -> None:
        nonlocal answered
        async with Asker(url) as asker:
            while (started := time.monotonic()) < ends:
                body = refused_ones.pop() if refused_ones else next(bodies)
                status, come_again = await asker.ask("POST", "/v1/search", body)
                statuses.append(status)
                if status == _OK:
                    answered = time.monotonic()
                    latencies.append(answered - started)
                else:
                    refused_ones.append(body)
                    await asyncio.sleep(max(0.0, min(come_again, ends - time.monotonic())))

    async def watch() -> None:
        async with Asker(url) as asker:
            while (started := time.monotonic()) < ends:
                assert (await asker.ask("GET", "/healthz"))[0] == _OK  # noqa: S101  # whatever else is done
                health.append((time.monotonic() - started) * 1000)
                await asyncio.sleep(0.05)

    async with asyncio.timeout(seconds + 120):
        await asyncio.gather(watch(), *(client() for _ in range(clients)))
    good, refused = statuses.count(_OK), statuses.count(_REFUSED)
    return {
        "clients": clients,
        "searches_per_s": good / (answered - began),
        "p95_s": quantile(latencies, 0.95),
        "healthz_p95_ms": quantile(health, 0.95),
        "refused": refused,
        "failed": len(statuses) - good - refused,
    }


def throughput(url: str, turns: int) -> dict[str, Any]:
    """One client and eight, by turns of two minutes."""
    rounds = [asyncio.run(closed(url, clients, 30)) for clients in (1, 8, 8, 1) * turns]
    one, eight = ([r["searches_per_s"] for r in rounds if r["clients"] == clients] for clients in (1, 8))
    figures = {"one_per_s": statistics.median(one), "eight_per_s": statistics.median(eight)}
    return figures | {"eight_against_one": statistics.median(eight) / statistics.median(one), "rounds": rounds}


async def arrivals(url: str, rate: float, seconds: float) -> dict[str, Any]:
    """Requests that come evenly spaced, whether or not earlier ones were answered."""
    answers: list[tuple[int, float]] = []
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=httpx.Limits(max_connections=1000)) as http:

        async def ask(number: int) -> None:
            started = time.monotonic()
            answer = await http.post("/v1/search", json={"query": QUESTIONS[number % len(QUESTIONS)]})
            answers.append((answer.status_code, time.monotonic() - started))

        async with asyncio.TaskGroup() as group:
            began = time.monotonic()
            for number in range(int(rate * seconds)):
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
                group.create_task(ask(number))
    accepted = [took for status, took in answers if status == _OK]
    refused = [took for status, took in answers if status == _REFUSED]
    return {
        "rate_per_s": rate,
        "seconds": seconds,
        "accepted": len(accepted),
        "refused": len(refused),
        "failed": len(answers) - len(accepted) - len(refused),
        "accepted_p95_s": quantile(accepted, 0.95),
        "refused_median_s": statistics.median(refused) if refused else None,
    }


# In the page: milliseconds from the key that sends a query to the frame after the one that shows the results. The browser tells it,
# since a driver, which looks now and then, sees them up to half a second late.
_SHOWN = """() => new Promise((told) => {
  let pressed;
  addEventListener("keydown", (event) => { if (event.key === "Enter") pressed = event.timeStamp; }, true);
  new MutationObserver(() => requestAnimationFrame(() => requestAnimationFrame((now) => told(now - pressed))))
    .observe(document.getElementById("results"), { childList: true });
})"""


def page(url: str) -> dict[str, float] | None:
    """Seconds from the key that sends a query, typed fast, to its results; each in a fresh page, the first on a fresh service."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return None
    from playwright.sync_api import sync_playwright

    took = []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for question in QUESTIONS:
            opened = browser.new_page()
            opened.goto(url)
            opened.evaluate(f"() => {{ window.shown = ({_SHOWN})() }}")
            opened.get_by_role("searchbox").press_sequentially(question, delay=50)
            opened.keyboard.press("Enter")
            took.append(opened.evaluate("() => window.shown") / 1000)
            opened.close()
        browser.close()
    return {"first_s": took[0], "median_s": statistics.median(took)}


def sharing(rounds: int = 15) -> dict[str, float]:
    """How much faster 32 texts are judged at once than in eight requests of four."""
    from search import Settings
    from search.factory import build_reranker

    reranker = build_reranker(Settings())
    assert reranker  # noqa: S101  # the default one
    draw = random.Random(3)  # noqa: S311  # no secret
    texts = [text(draw) for _ in range(32)]

    def seconds(work: Callable[[], Any]) -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    together, apart = [], []
    for _ in range(rounds):
        together.append(seconds(lambda: reranker.score("the winter harbour", texts)))
        apart.append(seconds(lambda: [reranker.score("the winter harbour", texts[at : at + 4]) for at in range(0, 32, 4)]))
    return {"eight_requests_of_four_against_one_of_32": statistics.median(apart) / statistics.median(together)}


def main() -> None:
    """Measure, and write benchmarks/results/service.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true")
    short = parser.parse_args().short
    passages, minutes, turns = (2_000, 1, 1) if short else (10_000, 5, 6)
    draw = random.Random(1)  # noqa: S311  # no secret
    with tempfile.TemporaryDirectory() as root:
        documents = ({"id": str(n), "text": text(draw), "metadata": {"year": 2000 + n % 20}} for n in range(passages))
        lines = [json.dumps(document) for document in documents]
        (Path(root) / "corpus.jsonl").write_text("\n".join(lines))
        data = Path(root) / "data"
        subprocess.run([SEARCH, "ingest", Path(root) / "corpus.jsonl", "--data-dir", data], check=True, capture_output=True)
        figures: dict[str, Any] = {"passages": passages}
        with service(data) as url:
            figures["page"] = page(url)
            figures["overhead_at_depth_30"] = overhead(url)
            figures["throughput"] = throughput(url, turns)
            capacity = figures["throughput"]["one_per_s"]
            figures["at_80_percent"] = asyncio.run(arrivals(url, 0.8 * capacity, 60 * minutes))
            figures["at_300_percent"] = asyncio.run(arrivals(url, 3 * capacity, 30))
            memory = next(line for line in httpx.get(f"{url}/metrics").text.splitlines() if line.startswith("search_resident"))
            figures["resident_memory_mb_at_the_end"] = float(memory.split()[1]) / 1e6
        with service(data, SEARCH_SERVICE__QUEUE_S="10") as url:
            figures["throughput_with_a_queue_of_10_s"] = throughput(url, turns)
    figures["sharing"] = sharing()
    record.write("service", figures)


if __name__ == "__main__":
    main()
