"""The service on a free port of this machine, spoken to over real HTTP."""

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import httpx
import numpy as np
import uvicorn

from search.api.server import build_server
from search.api.state import Service
from search.documents import Document
from search.reranking.contract import Scoring
from search.searcher import Searcher, open_search
from search.settings import Settings

PETS = [
    Document(id="pets/cats.md", text="Cats sleep most of the day.", title="Cats", metadata={"legs": 4, "kind": "cat"}),
    Document(id="birds", text="Birds sing at dawn.", metadata={"legs": 2, "kind": "bird", "tags": ["air", "song"]}),
    Document(id="dogs", text="Dogs bark at night, and sleep in the day.", metadata={"legs": 4, "kind": "dog", "good": True}),
]
FOUR = {"must": [{"key": "metadata.legs", "match": {"value": 4}}]}
BIRDS = [Document(id=f"bird{i}", text=f"Bird number {i} sings at dawn.") for i in range(8)]
JSON = {"Content-Type": "application/json"}


def with_pets(searcher: Searcher) -> None:
    searcher.ingest(PETS)


def with_birds(searcher: Searcher) -> None:
    searcher.ingest(BIRDS)


class Served(NamedTuple):
    url: str
    service: Service
    searcher: Searcher
    http: httpx.Client
    server: uvicorn.Server


@contextmanager
def serving(settings: Settings, prepare: Any = None, **service: Any) -> Iterator[Served]:
    """Serve until the context ends. `prepare` gets the searcher first; the rest are settings of the service."""
    chosen = Settings.model_validate({**dict(settings), "service": {**dict(settings.service), "port": 0, **service}})
    urls: list[str] = []
    listening = threading.Event()

    def tell(url: str) -> None:
        urls.append(url)
        listening.set()

    with open_search(chosen) as searcher:
        if prepare:
            prepare(searcher)
        served = Service(chosen, searcher)
        with patch("search.api.state._WARM_TEXTS", 1):  # which are of a length; the time of each is told by one, too
            served.warm_up()
        server = build_server(served, on_listening=tell)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            assert listening.wait(60)
            with httpx.Client(base_url=urls[0], timeout=60) as http:
                yield Served(urls[0], served, searcher, http, server)
        finally:
            server.should_exit = True
            thread.join(60)


def resident(served: Served) -> float:
    return float(re.findall(r"search_resident_memory_bytes ([\d.e+]+)", served.http.get("/metrics").text)[0])


class Slow:
    """A reranker that takes its time, or fails in some way."""

    def __init__(self, reranker: Any, seconds: float, fault: str = "") -> None:
        self._reranker = reranker
        self.seconds = seconds
        self.fault = fault
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reranker, name)

    def score(self, query: str, texts: Sequence[str], **options: Any) -> Scoring:
        self.calls += 1
        time.sleep(self.seconds)
        if self.fault == "raises":
            message = "out of order"
            raise RuntimeError(message)
        scoring: Scoring = self._reranker.score(query, texts, **options)
        if self.fault == "wrong length":
            return scoring._replace(scores=scoring.scores[:-1])
        if self.fault == "NaN":
            return scoring._replace(scores=np.full_like(scoring.scores, np.nan))
        return scoring


def slowed(served: Served, seconds: float, fault: str = "") -> Slow:
    slow = Slow(served.searcher.reranker, seconds, fault)
    served.searcher._parts._parts["reranker"] = slow
    served.searcher._parts._parts.pop("service", None)
    return slow


def wait_until(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    """Let what happens beside the test come about."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.01)
