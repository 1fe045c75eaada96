"""What do words cost? Beside vectors alone: in ingestion, in a query, on disk and in memory.

    .venv/bin/python benchmarks/lexical.py CORPUS.jsonl

Passages of a BEIR corpus, repeated up to 20,000 with vectors drawn by chance, in two collections of Qdrant Edge that take turns,
one with words and one without. Memory is what a process has of its own that opens one and asks it.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import record
from numpy.typing import NDArray

from search.documents import Chunk, Retrieval
from search.embedding.dense import FastEmbedEmbedder
from search.embedding.sparse import describe, words_like
from search.index.contract import CollectionSpec, Point, Query
from search.index.edge.index import EdgeIndex
from search.index.points import find, to_candidate, to_point
from search.ingestion.embedding import with_words
from search.settings import LexicalSettings

POINTS, BLOCK, EMBEDDED, ROUNDS, DEPTH, LISTED = 20_000, 1_000, 512, 5, 20, 100
WORDS = describe(LexicalSettings())
ASK = """
import sys, resource, pathlib, numpy as np
from search.index.contract import CollectionSpec, Query
from search.index.edge.index import EdgeIndex
from search.embedding.sparse import words_like
index = EdgeIndex(pathlib.Path(sys.argv[1]), sys.argv[2])
index.ensure(CollectionSpec(int(sys.argv[3]), "any"), create=False)
words = words_like(index.spec.lexical)
vector = np.ones(int(sys.argv[3]), np.float32)
for text in sys.argv[4:]:
    index.query(Query(vector, words and words.embed_query(text), "hybrid" if words else "dense", listed=100), 20)
print([line.split()[1] for line in open("/proc/self/status") if line.startswith("RssAnon")][0])
"""


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def unit_rows(rows: int, dimension: int, seed: int) -> NDArray[np.float32]:
    """Vectors of length 1, drawn by chance."""
    drawn = np.random.default_rng(seed).normal(size=(rows, dimension))
    unit: NDArray[np.float32] = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return unit


def passages(corpus: Path, embedder: FastEmbedEmbedder) -> tuple[list[Point], list[str], float]:
    """Points without words, queries, and seconds that one passage takes to embed."""
    texts = [one["text"] for one in map(json.loads, corpus.read_text(encoding="utf-8").splitlines()) if one["text"].strip()]
    texts = [" ".join(text.split()[:130]) for text in texts]  # as long as passages of 200 tokens are
    took = [seconds(partial(embedder.embed_passages, texts[at : at + 64])) / 64 for at in range(0, EMBEDDED, 64)]
    tally = embedder.tokenizer.tally(["-"])[0]
    made = [
        to_point(Chunk(f"d{number}", 0, texts[number % len(texts)], 0, 1), vector, tally, 200, "r", 1, 1)
        for number, vector in enumerate(unit_rows(POINTS, embedder.dimension, 0))
    ]
    return made, [" ".join(text.split()[3:11]) for text in texts[::97]][:50], statistics.median(took)


def folder_mb(folder: Path) -> float:
    """Megabytes on disk."""
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file()) / 1e6


def main() -> None:
    """Measure and record."""
    embedder = FastEmbedEmbedder("all-MiniLM-L6-v2", device="cpu", cache=Path(tempfile.gettempdir()))
    points, queries, embedding_s = passages(Path(sys.argv[1]), embedder)
    words = words_like(WORDS)
    assert words  # noqa: S101  # they are described above
    with tempfile.TemporaryDirectory() as folder:
        kinds = {"vectors": "", "vectors and words": WORDS}
        open_ = {kind: EdgeIndex(Path(folder) / kind, "bench") for kind in kinds}
        for kind, index in open_.items():
            index.ensure(CollectionSpec(embedder.dimension, "any", kinds[kind]), create=True)
        writing: dict[str, list[float]] = {kind: [] for kind in kinds}
        for at in range(0, POINTS, BLOCK):
            for kind, index in open_.items():
                writing[kind].append(seconds(partial(_write, index, points[at : at + BLOCK])))
                if at + BLOCK == POINTS:  # at once, since the graph is built beside, and would take the other one's time
                    writing[kind].append(seconds(index.optimize))
        asking: dict[str, list[float]] = {kind: [] for kind in kinds}
        for vector, query in zip(unit_rows(ROUNDS * len(queries), embedder.dimension, 1), ROUNDS * queries, strict=True):
            for kind, index in open_.items():
                asking[kind].append(seconds(partial(_ask, index, vector, query)))
        for index in open_.values():
            index.close()
        each_ms = {kind: 1000 * sum(times) / POINTS for kind, times in writing.items()}
        memory = {kind: _memory(Path(folder) / kind, embedder.dimension, queries) for kind in kinds}
        disk = {kind: folder_mb(Path(folder) / kind) for kind in kinds}
    more = (each_ms["vectors and words"] - each_ms["vectors"]) / (1000 * embedding_s)
    figures: dict[str, Any] = {
        "points": POINTS,
        "embedding, ms a passage": 1000 * embedding_s,
        "writing and building the graph, ms a passage": each_ms,
        "ingestion takes longer by a share of embedding of": more,
        "retrieving, ms, median": {kind: 1000 * statistics.median(times) for kind, times in asking.items()},
        "retrieving, ms, 95 %": {kind: 1000 * float(np.percentile(times, 95)) for kind, times in asking.items()},
        "disk, kB a passage": {kind: 1000 * size / POINTS for kind, size in disk.items()},
        "memory of its own after 50 queries, MB": memory,
    }
    record.write("lexical", figures)


def _write(index: EdgeIndex, points: list[Point]) -> None:
    index.upsert(with_words(points, index.spec.lexical))


def _ask(index: EdgeIndex, vector: NDArray[np.float32], query: str) -> None:
    words = words_like(index.spec.lexical)
    way: Retrieval = "hybrid" if words else "dense"
    found = find(index, Query(vector, words.embed_query(query) if words else None, way, listed=LISTED), DEPTH)
    for rank, match in enumerate(found.matches, 1):
        to_candidate(match, rank)


def _memory(folder: Path, dimension: int, queries: list[str]) -> float:
    command = [sys.executable, "-c", ASK, str(folder), "bench", str(dimension), *queries]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) / 1000


if __name__ == "__main__":
    main()
