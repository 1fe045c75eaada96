"""Every metric of the service, in one place, in Prometheus' format."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from search.documents import SearchResult

_TOKENS = tuple(2.0**power for power in range(6, 18))
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counted since the start."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self.requests = Counter(
            "search_requests_total", "Requests by route, method and status.", ["route", "method", "status"], registry=own
        )
        self.request_seconds = Histogram(
            "search_request_seconds", "From the first byte in to the last byte out.", ["route"], buckets=_SECONDS, registry=own
        )
        self.stage_seconds = Histogram(
            "search_stage_seconds", "Of a search: queue, embed, retrieve, rerank.", ["stage"], buckets=_SECONDS, registry=own
        )
        self.rerank_status = Counter(
            "search_rerank_status_total", "Searches by what became of their reranking.", ["status"], registry=own
        )
        self.texts = Counter("search_reranked_texts_total", "Texts that a reranker has judged.", registry=own)
        self.tokens = Histogram(
            "search_reranked_tokens", "Tokens of texts that a reranker has read for a request.", buckets=_TOKENS, registry=own
        )
        self.refusals = Counter("search_overloaded_total", "Requests refused, since they would have waited too long.", registry=own)
        self.waiting = Gauge("search_queue_waiting", "Requests that wait for their turn.", registry=own)
        self.running = Gauge("search_queue_running", "Requests that have their turn.", registry=own)
        self.ready = Gauge("search_ready", "Whether the service takes requests.", registry=own)
        self.index_ok = Gauge("search_index_ok", "Whether a Qdrant server's check is well.", ["check"], registry=own)
        self.index_figures = Gauge("search_index", "What a Qdrant server tells of the collection.", ["figure"], registry=own)
        self.index_asked = Gauge("search_index_asked_timestamp_seconds", "When the server told that last.", registry=own)
        self.memory = Gauge(
            "search_resident_memory_bytes",
            "Memory of the service with its models, without the engine's process.",
            registry=own,
        )
        self.model_memory = Gauge(
            "search_model_memory_bytes", "By how much a model made it grow, on the CPU's side.", ["model"], registry=own
        )

    def searched(self, result: SearchResult, queued_s: float) -> None:
        """Count a search."""
        for stage in ("embed", "retrieve", "rerank"):
            self.stage_seconds.labels(stage).observe(result.timings_ms[stage] / 1000)
        self.stage_seconds.labels("queue").observe(queued_s)
        self.rerank_status.labels(result.rerank_status).inc()
        if result.reranked:
            self.judged(result.reranked, result.rerank_tokens)

    def judged(self, texts: int, tokens: int) -> None:
        """Count what a reranker has read for a request."""
        self.texts.inc(texts)
        self.tokens.observe(tokens)

    @contextmanager
    def loading(self, model: str) -> Iterator[None]:
        """Tell how much memory a model takes that is loaded, and used, meanwhile."""
        before = _resident_bytes()
        yield
        self.model_memory.labels(model).set(max(0, _resident_bytes() - before))

    def written(self) -> bytes:
        """All of them."""
        self.memory.set(_resident_bytes())
        return generate_latest(self.registry)


def _resident_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:  # not Linux: the highest so far, in kB or, on a Mac, in bytes
        highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return highest if sys.platform == "darwin" else highest * 1024
