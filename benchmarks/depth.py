"""How deep, and how much of a passage? nDCG@10 against milliseconds, on queries that were held out from training.

    .venv/bin/python benchmarks/depth.py RUN/held_out.jsonl --model minilm-reranker --take 15

The file is what scripts/train_reranker.py keeps of its held-out queries; those of its part "choose" are used, as many of each
data set as --take says. Quality is of all of them at the recipe's share; times are of every third, interleaved over settings.
"""

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import record

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from training.tuning import HeldOut, means, overall, per_query, read, score

from search.reranking.cross_encoder import CrossEncoder

WINDOWS = (128, 192, 256)
DEPTHS = (5, 10, 15, 20, 25, 30)


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("held_out", type=Path)
    parser.add_argument("--model", default="minilm-reranker")
    parser.add_argument("--take", type=int, default=15)
    arguments = parser.parse_args()
    queries = taken(arguments.held_out, arguments.take)
    rerankers = {window: CrossEncoder(arguments.model, device="cpu", cache=Path(), max_tokens=window) for window in WINDOWS}
    figures: dict[str, Any] = {
        "queries": len(queries),
        "retrieval": overall(per_query(queries, [np.zeros(len(query.candidates)) for query in queries], 0)),
        "curve": [],
    }
    if narrow := [window for window, reranker in rerankers.items() if reranker.recipe.max_tokens != window]:
        parser.error(f"{arguments.model} reads fewer than {narrow[0]} tokens")
    timed = queries[::3]
    for reranker in rerankers.values():
        reranker.score(timed[0].query, [candidate.passage for candidate in timed[0].candidates])  # to warm up
    milliseconds: dict[tuple[int, int], list[float]] = defaultdict(list)
    for query in timed:
        for window, reranker in rerankers.items():
            for depth in DEPTHS:
                passages = [candidate.passage for candidate in query.candidates[:depth]]
                started = time.perf_counter()
                reranker.score(query.query, passages)
                milliseconds[window, depth].append((time.perf_counter() - started) * 1000)
    for window, reranker in rerankers.items():
        scores = score(queries, reranker)
        weight = reranker.recipe.weight
        for depth in DEPTHS:
            quality = per_query(queries, scores, weight, depth)
            point = {"tokens": window, "depth": depth, "weight": weight, "nDCG@10": overall(quality), "by_dataset": means(quality)}
            figures["curve"].append(point | {"median_ms": float(np.median(milliseconds[window, depth]))})
            told = f"{figures['curve'][-1]['median_ms']:.0f} ms"
            print(f"{window} tokens, depth {depth}: {overall(quality):.4f}  {told}  share {weight:g}")
    record.write("depth", figures)


def taken(file: Path, count: int) -> list[HeldOut]:
    """The first held-out queries of each data set's part "choose"."""
    by_dataset: dict[str, list[HeldOut]] = defaultdict(list)
    for query in read(file):
        if query.part == "choose" and query.candidates:
            by_dataset[query.dataset].append(query)
    return [query for queries in by_dataset.values() for query in queries[:count]]


if __name__ == "__main__":
    main()
