"""What do the bundled models reach on judged data, beside what is published?

    .venv/bin/python benchmarks/quality.py DATASETS/scifact [DATASETS/med …]

Each argument is a BEIR folder. Vectors are kept under the data folder of the settings. A set is in-domain where the reranker was
trained on its train split or on texts of its corpus, and zero-shot otherwise.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import record

PUBLISHED = {"scifact": {"nDCG@10": 0.6451, "Recall@100": 0.925}}  # of all-MiniLM-L6-v2, retrieval alone
IN_DOMAIN = {"scifact", "nq-qed"}


def main() -> None:
    """Evaluate each data set by the command itself and record."""
    figures: dict[str, Any] = {}
    for dataset in sys.argv[1:]:
        command = [str(Path(sys.executable).parent / "search"), "evaluate", dataset, "--json"]
        measured = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        name = measured["dataset"]
        published = PUBLISHED.get(name, {})
        figures[name] = measured | {"published": published, "domain": "in-domain" if name in IN_DOMAIN else "zero-shot"}
        retrieval, reranked = measured["runs"]["retrieval"], measured["runs"]["reranked"]
        beside = "".join(f"  {measure} {retrieval[measure]:.4f}, published {value}" for measure, value in published.items())
        print(f"{name}: {retrieval['nDCG@10']:.4f} -> {reranked['nDCG@10']:.4f}, {told(measured)}{beside}", flush=True)
    print(f"mean gain {np.mean([gain(measured)['difference'] for measured in figures.values()]):+.4f}")
    record.write("quality", figures)


def gain(measured: dict[str, Any]) -> dict[str, Any]:
    """What reranking adds to nDCG@10, with its interval."""
    found: dict[str, Any] = measured["configurations"]["reranked"]["gain"]
    return found


def told(measured: dict[str, Any]) -> str:
    """The verdict."""
    words: str = measured["configurations"]["reranked"]["words"]
    return words


if __name__ == "__main__":
    main()
