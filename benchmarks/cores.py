"""What is gained by models that share the cores, against ONNX Runtime's own ways?

    .venv/bin/python benchmarks/cores.py

Two processes over the same 500 passages, of which one has `share_cores` taken out, asked by turns: searches with the settings as
they are, reranking alone, passages and queries embedded alone. Ratios of medians; below 1, sharing is faster.
"""

import argparse
import multiprocessing
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import record
from ingestion import text
from service import QUESTIONS

_TURNS = 20
_PAUSE_S = 0.2  # so that threads that look out for more work do it on nobody's time


def work(pipe: Connection, data: Path, *, shared: bool) -> None:
    """Answer names of work with the seconds it took."""
    from search import Settings
    from search.documents import Document
    from search.inference import runtime
    from search.searcher import open_search

    if not shared:
        runtime.share_cores = lambda options: None  # noqa: ARG005  # of the same shape
    draw = random.Random(5)  # noqa: S311  # no secret
    texts = [text(draw) for _ in range(500)]
    with open_search(Settings(data_dir=data)) as searcher:
        searcher.ingest([Document(id=str(number), text=one) for number, one in enumerate(texts)])
        reranker, embedder = searcher.reranker, searcher.embedder
        assert reranker  # noqa: S101  # the default one
        works: dict[str, Callable[[], Any]] = {
            "search": lambda: [searcher.search(question) for question in QUESTIONS],
            "rerank": lambda: reranker.score(QUESTIONS[0], texts[:32]),
            "passages": lambda: embedder.embed_passages(texts[:64]),
            "queries": lambda: [embedder.embed_query(f"{question} {n}") for question in QUESTIONS for n in range(25)],
        }
        for one in works.values():
            one()
        pipe.send(list(works))
        while name := pipe.recv():
            started = time.perf_counter()
            works[name]()
            pipe.send(time.perf_counter() - started)


def main() -> None:
    """Measure, and write benchmarks/results/cores.json."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    processes = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as root:
        asked: dict[bool, Connection] = {}
        for shared in (False, True):
            asked[shared], theirs = processes.Pipe()
            processes.Process(target=work, args=(theirs, Path(root) / str(shared)), kwargs={"shared": shared}).start()
        names: list[str] = [pipe.recv() for pipe in asked.values()].pop()
        took: dict[tuple[str, bool], list[float]] = {(name, shared): [] for name in names for shared in asked}
        for turn in range(_TURNS):
            for name in names:
                for shared in (turn % 2 == 0, turn % 2 == 1):
                    time.sleep(_PAUSE_S)
                    asked[shared].send(name)
                    took[name, shared].append(asked[shared].recv())
        for pipe in asked.values():
            pipe.send("")
    medians = {name: {shared: statistics.median(took[name, shared]) for shared in asked} for name in names}
    figures = {name: {"shared_s": m[True], "not_shared_s": m[False], "ratio": m[True] / m[False]} for name, m in medians.items()}
    record.write("cores", figures)


if __name__ == "__main__":
    main()
