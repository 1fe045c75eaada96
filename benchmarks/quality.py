"""What do the bundled models reach on judged data, beside what is published?

    .venv/bin/python benchmarks/quality.py DATASETS/scifact [DATASETS/med …]

Each argument is a BEIR folder. Vectors are kept under the data folder of the settings.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import record

PUBLISHED = {"scifact": {"nDCG@10": 0.6451, "Recall@100": 0.925}}  # of all-MiniLM-L6-v2, retrieval alone


def main() -> None:
    """Evaluate each data set by the command itself and record."""
    figures: dict[str, Any] = {}
    for dataset in sys.argv[1:]:
        command = [str(Path(sys.executable).parent / "search"), "evaluate", dataset, "--json"]
        measured = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        figures[measured["dataset"]] = measured | {"published": PUBLISHED.get(measured["dataset"])}
    record.write("quality", figures)


if __name__ == "__main__":
    main()
