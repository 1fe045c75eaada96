"""Does a cross-encoder in int8 or int4 keep the order that it gives in float32?

    .venv/bin/python benchmarks/quantization.py CHECKPOINT DATASETS/scifact

For 50 queries of the train split, or of the test split where there is none, the 20 closest passages by the bundled embedder are
scored in every precision; figures are Kendall's tau-b within a query, averaged. Vectors are kept in the folder of the settings.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import record
from numpy.typing import NDArray

from search import Settings, open_search
from search.evaluation.datasets import load_dataset
from search.export.model_folder import export
from search.export.precision import precision
from search.query.retrieval import Retriever
from search.reranking.cross_encoder import CrossEncoder

QUERIES, CANDIDATES, MAX_TOKENS = 50, 20, 128
PRECISIONS = {
    "fp16": precision("fp16"),
    "int8, block 32": precision("int8", None, 32),
    "int8, block 64": precision("int8", None, 64),
    "int4, block 16": precision("int4", None, 16),
    "int4, block 32": precision("int4", None, 32),
    "int4, block 64": precision("int4", None, 64),
}


def tau(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Kendall's tau-b: pairs in the same order less pairs in the other, as a share of all, ties left out on each side."""
    upper = np.triu_indices(len(a), 1)
    first, second = (np.sign(x[:, None] - x[None, :])[upper] for x in (a, b))
    return float((first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum()))


def main() -> None:
    """Export, score and record."""
    checkpoint, dataset = sys.argv[1:]
    loaded = load_dataset(Path(dataset), None)
    with tempfile.TemporaryDirectory() as folder, open_search(Settings(collection="quantization")) as searcher:
        searcher.ingest(loaded.documents)
        queries = list(loaded.queries.values())[:QUERIES]
        candidates = [
            [
                found.passage
                for found in Retriever(searcher.embedder, searcher.index).retrieve(query, CANDIDATES, retrieval="dense").candidates
            ]
            for query in queries
        ]
        scores: dict[str, list[NDArray[np.float32]]] = {}
        for name, chosen in {"fp32": precision("fp32"), **PRECISIONS}.items():
            out = Path(folder) / name
            export(checkpoint, out, precision=chosen, max_tokens=MAX_TOKENS, cache=Path(folder))
            reranker = CrossEncoder(str(out), device="cpu", cache=Path(folder))
            scores[name] = [reranker.score(query, texts).scores for query, texts in zip(queries, candidates, strict=True)]
    figures: dict[str, Any] = {"queries": QUERIES, "candidates": CANDIDATES, "dataset": Path(dataset).name}
    figures["mean Kendall tau-b to fp32"] = {
        name: float(np.mean([tau(a, b) for a, b in zip(scores["fp32"], scores[name], strict=True)])) for name in PRECISIONS
    }
    record.write("quantization", figures)


if __name__ == "__main__":
    main()
