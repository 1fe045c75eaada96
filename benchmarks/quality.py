"""What do the bundled models reach on judged data: by vectors, by words, by both, and reranked? Beside what is published.

    .venv/bin/python benchmarks/quality.py DATASETS/scifact [DATASETS/med …]

Each argument is a BEIR folder. Vectors are kept under the data folder of the settings. A set is in-domain where the reranker was
trained on its train split or on texts of its corpus, and zero-shot otherwise.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import record

RERANKED = "retrieval=hybrid reranker.kind=cross-encoder"
OTHERS = ("retrieval=lexical reranker.kind=none", "retrieval=hybrid reranker.kind=none", RERANKED)
PUBLISHED = {"scifact": {"nDCG@10": 0.6451, "Recall@100": 0.925}}  # of all-MiniLM-L6-v2, retrieval alone
IN_DOMAIN = {"scifact", "nq-qed"}


def main() -> None:
    """Evaluate each data set by the command itself and record."""
    figures: dict[str, Any] = {}
    for dataset in sys.argv[1:]:
        command = [str(Path(sys.executable).parent / "search"), "evaluate", dataset, "--json", "--no-rerank"]
        command += [word for other in OTHERS for word in ("--with", other)]
        dense = {**os.environ, "SEARCH_RETRIEVAL": "dense"}  # which gains are against
        measured = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, env=dense).stdout)
        name = measured["dataset"]
        published = PUBLISHED.get(name, {})
        figures[name] = measured | {"published": published, "domain": "in-domain" if name in IN_DOMAIN else "zero-shot"}
        beside = "".join(f", published {measure} {value}" for measure, value in published.items())
        reached = ", ".join(f"{run} {values['nDCG@10']:.4f}" for run, values in measured["runs"].items())
        print(f"{name}: {reached}{beside}", flush=True)
    for run in ("hybrid", RERANKED):
        gains = [measured["configurations"][run]["gain"]["difference"] for measured in figures.values()]
        print(f"mean gain of {run} over vectors alone: {np.mean(gains):+.4f}")
    record.write("quality", figures)


if __name__ == "__main__":
    main()
