"""Does a person find what they ask for? Questions and identifiers, as people type them, about Python's own documentation.

    .venv/bin/python benchmarks/questions.py

`questions.jsonl` holds the questions with the names that answer them; the documentation is that of the Python that runs this, as
`search demo` ingests it, so that the set needs no download. How many have an answer first, and among the first ten.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import record

from search import Settings, open_search
from search.cli.demo import prepare

QUESTIONS = Path(__file__).parent / "questions.jsonl"


def main() -> None:
    """Ingest, ask and record."""
    with tempfile.TemporaryDirectory() as folder:
        with open_search(Settings(data_dir=folder)) as searcher:
            passages = prepare(searcher, lambda _: None)
        command = [
            str(Path(sys.executable).parent / "search"),
            "evaluate",
            str(QUESTIONS),
            "--every-retrieval",
            "--json",
            "--data-dir",
            folder,
        ]
        command += ["--measure", "P@1", "--measure", "Recall@10", "--measure", "nDCG@10"]
        measured = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    names = {"retrieval": "hybrid", "reranked": "hybrid, reranked", "retrieval=dense": "dense, reranked"}
    names |= {"retrieval=lexical": "lexical, reranked"}
    runs: dict[str, Any] = {names.get(name, name): values for name, values in measured["runs"].items()}
    asked = measured["queries"]
    first = {name: round(values["P@1"] * asked) for name, values in runs.items()}
    for name, values in runs.items():
        print(f"{name}: {first[name]} of {asked} first, nDCG@10 {values['nDCG@10']:.4f}", file=sys.stderr)
    record.write("questions", {"questions": asked, "passages": passages, "answered first": first, "runs": runs})


if __name__ == "__main__":
    main()
