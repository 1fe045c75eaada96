"""What does a search of a Qdrant server cost beside its own work, over REST and over gRPC?

    .venv/bin/python benchmarks/server.py                                       # the tests' stand-in for a server
    QDRANT_URL=http://127.0.0.1:6333 .venv/bin/python benchmarks/server.py      # and a real one, gRPC at QDRANT_GRPC_PORT or 6334

Requests a second, p50 and p95 of one request after the other, by depth: how many passages of 120 words it brings. The stand-in
sends as the server does: compressed answers to whoever accepts them, in small segments that wait for each other's
acknowledgement. It computes each answer once and gives the same again, so that what is measured is the way there and back, and
what the client makes of it; its gRPC port, in Python, is slow with many passages. "as before" is qdrant-client as it comes, with
its connections kept.
"""

import os
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import record
from qdrant_client import QdrantClient

from search.index.contract import CollectionSpec, Point, Query
from search.index.server.connection import connect
from search.index.server.index import QdrantIndex

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from standin import QdrantStandIn
from standin_grpc import GrpcStandIn

DEPTHS, POINTS, DIMENSION = (20, 100, 500), 2_000, 384
SECONDS, LEAST = 4.0, 30  # of each measurement, and requests in it


def quantile(values: list[float], share: float) -> float:
    """The value that so many are not above."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def measured(index: QdrantIndex) -> dict[str, dict[str, float]]:
    """Milliseconds and requests a second, by depth."""
    draw = np.random.default_rng(2)
    query = Query(draw.standard_normal(DIMENSION).astype(np.float32))
    figures = {}
    for depth in DEPTHS:
        took: list[float] = []
        for _ in range(5):
            assert len(index.query(query, depth)) == depth  # noqa: S101  # else something else is measured
        began = time.perf_counter()
        while time.perf_counter() < began + SECONDS or len(took) < LEAST:
            started = time.perf_counter()
            index.query(query, depth)
            took.append((time.perf_counter() - started) * 1000)
        whole = time.perf_counter() - began
        figures[str(depth)] = {
            "p50_ms": statistics.median(took),
            "p95_ms": quantile(took, 0.95),
            "requests_per_s": len(took) / whole,
        }
    return figures


def filled(url: str, name: str, **options: Any) -> QdrantIndex:
    """A collection of passages."""
    draw = np.random.default_rng(1)
    index = QdrantIndex(connect(url, **options), name, url)
    index.ensure(CollectionSpec(DIMENSION, "benchmark@1"), create=True)
    words = [f"word{number}" for number in range(500)]
    for start in range(0, POINTS, 250):
        vectors = draw.standard_normal((250, DIMENSION)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        texts = [" ".join(draw.choice(words, 120)) for _ in vectors]
        points = []
        for number, (vector, text) in enumerate(zip(vectors, texts, strict=True), start):
            payload = {"document_id": str(number), "text": text, "metadata": {"year": number}}
            points.append(Point(str(uuid.UUID(int=number)), vector, payload))
        index.upsert(points)
    return index


@contextmanager
def opened(client: QdrantClient, name: str, url: str) -> Iterator[QdrantIndex]:
    """The same collection by another client."""
    index = QdrantIndex(client, name, url)
    index.ensure(CollectionSpec(DIMENSION, "benchmark@1"), create=False)
    yield index
    index.close()


def compared(url: str, name: str, grpc_port: int, key: str | None = None) -> dict[str, Any]:
    """The same requests over each of the ways."""
    ways: dict[str, Callable[[], QdrantClient]] = {
        "REST as before": lambda: QdrantClient(
            url=url, api_key=key, limits=httpx.Limits(max_keepalive_connections=8), check_compatibility=False
        ),
        "REST": lambda: connect(url, api_key=key),
        "gRPC": lambda: connect(url, api_key=key, grpc_port=grpc_port),
    }
    figures = {}
    for way, made in ways.items():
        with opened(made(), name, url) as index:
            figures[way] = measured(index)
    return figures


def remembering(server: QdrantStandIn) -> None:
    """Have the stand-in compute each answer to a query once."""
    answer, known = server.answer, dict[str, Any]()

    def answering(method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if not path.endswith("/query/batch"):
            return answer(method, path, body)
        key = str([one["limit"] for one in body["searches"]])
        if key not in known:
            known[key] = answer(method, path, body)
        found: tuple[int, Any] = known[key]
        return found

    server.answer = answering  # type: ignore[method-assign]


def main() -> None:
    """Measure, and write benchmarks/results/server.json."""
    figures: dict[str, Any] = {"points": POINTS, "dimension": DIMENSION}
    with QdrantStandIn() as server, GrpcStandIn(server) as port:
        filled(server.url, "benchmark").close()
        server.chunked = True
        remembering(server)
        figures["stand-in"] = compared(server.url, "benchmark", port.port)
    if url := os.environ.get("QDRANT_URL"):
        name, key = f"benchmark-{uuid.uuid4()}", os.environ.get("QDRANT_API_KEY")
        index = filled(url, name, api_key=key)
        try:
            figures["server"] = {"version": connect(url, api_key=key).info().version}
            figures["server"] |= compared(url, name, int(os.environ.get("QDRANT_GRPC_PORT", "6334")), key)
        finally:
            client = connect(url, api_key=key)
            client.delete_collection(f"{name}.v1")
            index.close()
    record.write("server", figures)


if __name__ == "__main__":
    main()
