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
        measured |= {"published": PUBLISHED.get(name), "domain": "in-domain" if name in IN_DOMAIN else "zero-shot"}
        figures[name] = measured
        before, after = (measured["runs"][run]["nDCG@10"] for run in ("retrieval", "reranked"))
        gain = measured["gain"]
        print(f"{name}: {before:.4f} -> {after:.4f}  {gain['nDCG@10']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]", flush=True)
    print(f"mean gain {np.mean([measured['gain']['nDCG@10'] for measured in figures.values()]):+.4f}")
    record.write("quality", figures)


if __name__ == "__main__":
    main()
