"""The service on a free port of this machine, spoken to over real HTTP."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx

from search.api.server import build_server
from search.api.state import Service
from search.searcher import Searcher, open_search
from search.settings import Settings


class Served(NamedTuple):
    url: str
    service: Service
    searcher: Searcher
    http: httpx.Client


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
        served.warm_up()
        server = build_server(served, on_listening=tell)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            assert listening.wait(60)
            with httpx.Client(base_url=urls[0], timeout=60) as http:
                yield Served(urls[0], served, searcher, http)
        finally:
            server.should_exit = True
            thread.join(60)


def wait_until(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    """Let what happens beside the test come about."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.01)
