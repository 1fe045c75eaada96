"""How much faster is Qdrant Edge than qdrant-client's local mode on disk, the other engine without a server?

    .venv/bin/python benchmarks/engines.py

20,000 vectors of 384 dimensions around 400 centres, with a payload like ours, written in blocks and queried, the engines taking
turns: first as written (Edge scans exactly), then after Edge has built its graph, as it does at the end of an ingestion.
"""

import statistics
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import record
from numpy.typing import NDArray
from qdrant_client import QdrantClient

from search.index.contract import CollectionSpec, Point, Query, VectorIndex
from search.index.edge.index import EdgeIndex
from search.index.server.index import QdrantIndex

POINTS, DIMENSION, BLOCK, QUERIES, ROUNDS = 20_000, 384, 2_000, 60, 4
A_TENTH = {"must": [{"key": "metadata.n", "range": {"lt": POINTS // 10}}]}

Engines = dict[str, VectorIndex]


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def clustered(rng: np.random.Generator, centres: NDArray[np.float64], rows: int) -> NDArray[np.float32]:
    """Vectors that lie in groups, as those of texts do."""
    near = centres[rng.integers(0, len(centres), rows)]
    vectors: NDArray[np.float32] = (near + 0.8 * rng.normal(size=(rows, DIMENSION))).astype(np.float32)
    return vectors


def write(engines: Engines, vectors: NDArray[np.float32]) -> dict[str, float]:
    """Points a second: the median over blocks, block by block in turn."""
    taken: dict[str, list[float]] = {name: [] for name in engines}
    for first in range(0, POINTS, BLOCK):
        block = [
            Point(str(uuid.UUID(int=i)), vectors[i], {"document_id": f"d{i}", "text": "Some words. " * 40, "metadata": {"n": i}})
            for i in range(first, first + BLOCK)
        ]
        for name, engine in engines.items():
            taken[name].append(seconds(lambda engine=engine, block=block: engine.upsert(block)))  # type: ignore[misc]
    return {name: BLOCK / statistics.median(times) for name, times in taken.items()}


def query(engines: Engines, queries: NDArray[np.float32], filter: dict[str, Any] | None) -> dict[str, float]:
    """Milliseconds a query, the engines taking turns at all of them, and how many of the ten closest they agree on."""
    taken: dict[str, list[float]] = {name: [] for name in engines}
    found: dict[str, list[set[str]]] = {name: [] for name in engines}
    for _ in range(ROUNDS):
        for name, engine in engines.items():
            for vector in queries:
                started = time.perf_counter()
                matches = engine.query(Query(vector, filter=filter), 10)
                taken[name].append(time.perf_counter() - started)
                found[name].append({match.id for match in matches})
    agreed = [len(one & other) / 10 for one, other in zip(found["edge"], found["local mode"], strict=True)]
    median = {name: statistics.median(times) * 1000 for name, times in taken.items()}
    return {**median, "edge is faster by": median["local mode"] / median["edge"], "overlap@10": statistics.mean(agreed)}


def main() -> None:
    """Measure and record."""
    warnings.filterwarnings("ignore", "Local mode is not recommended", UserWarning)
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(400, DIMENSION))
    vectors, queries = clustered(rng, centres, POINTS), clustered(rng, centres, QUERIES)
    with tempfile.TemporaryDirectory() as folder:
        engines: Engines = {
            "edge": EdgeIndex(Path(folder) / "edge", "bench"),
            "local mode": QdrantIndex(QdrantClient(path=str(Path(folder) / "local")), "bench", folder),
        }
        for engine in engines.values():
            engine.ensure(CollectionSpec(DIMENSION, "random"), create=True)
        rates = write(engines, vectors)
        figures: dict[str, Any] = {
            "points": POINTS,
            "dimension": DIMENSION,
            "written, points/s": {**rates, "edge is faster by": rates["edge"] / rates["local mode"]},
            "exact query, ms": query(engines, queries, None),
            "exact query of a tenth by filter, ms": query(engines, queries, A_TENTH),
            "building edge's graph, s": seconds(engines["edge"].optimize),
            "query, ms": query(engines, queries, None),
            "query of a tenth by filter, ms": query(engines, queries, A_TENTH),
        }
        for engine in engines.values():
            engine.close()
    record.write("engines", figures)


if __name__ == "__main__":
    main()
