"""How does a large collection of Qdrant Edge fare? Its disk, its memory, how long its graph and its queries take.

    .venv/bin/python benchmarks/size.py CORPUS.jsonl [POINTS]

Passages of a BEIR corpus with words, repeated up to 200,000, with vectors drawn by chance, which are the hardest to search.
"""

import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path

import lexical
import numpy as np
import record

from search.embedding.dense import FastEmbedEmbedder
from search.index.contract import CollectionSpec, Point
from search.index.edge.index import EdgeIndex

_WARMING = 50  # queries that are not counted


def main() -> None:
    """Measure and record."""
    lexical.POINTS = int(sys.argv[2]) if len(sys.argv) > 2 else 200_000  # noqa: PLR2004  # the corpus comes first
    embedder = FastEmbedEmbedder("all-MiniLM-L6-v2", device="cpu", cache=Path(tempfile.gettempdir()))
    points, queries, _ = lexical.passages(Path(sys.argv[1]), embedder)
    with tempfile.TemporaryDirectory() as folder:
        index = EdgeIndex(Path(folder), "bench")
        index.ensure(CollectionSpec(embedder.dimension, "any", lexical.WORDS), create=True)
        written = sum(lexical.seconds(partial(lexical._write, index, block)) for block in _blocks(points))  # noqa: SLF001  # as there
        growing = lexical.folder_mb(Path(folder))
        graph = lexical.seconds(index.optimize)
        vectors = lexical.unit_rows(_WARMING + 2 * len(queries), embedder.dimension, 1)
        asked = [
            1000 * lexical.seconds(partial(lexical._ask, index, vector, queries[number % len(queries)]))  # noqa: SLF001
            for number, vector in enumerate(vectors)
        ][_WARMING:]
        index.close()
        figures = {
            "points": len(points),
            "writing, ms a passage": 1000 * written / len(points),
            "building the graph, s": graph,
            "disk before the graph is built, MB": growing,
            "disk, MB": lexical.folder_mb(Path(folder)),
            "retrieving, ms, median": statistics.median(asked),
            "retrieving, ms, 95 %": float(np.percentile(asked, 95)),
            "memory of its own after 50 queries, MB": lexical._memory(Path(folder), embedder.dimension, queries),  # noqa: SLF001
        }
    record.write("size", figures)


def _blocks(points: list[Point]) -> list[list[Point]]:
    return [points[at : at + lexical.BLOCK] for at in range(0, len(points), lexical.BLOCK)]


if __name__ == "__main__":
    main()
