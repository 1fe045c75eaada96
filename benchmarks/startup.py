"""What does a command cost from a shell? Wall and processor seconds and memory, of this checkout and others, by turns.

    .venv/bin/python benchmarks/startup.py [--other before=/path/to/checkout] [--runs 15]

Each checkout has collections of its own, made by it with the default settings: "notes" of 20 sentences, and "docs", the project's
own documentation, whose passages fill the reranker's window. The page cache is warm. Memory is the greatest that was resident,
mapped files included.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import record

ROOT = Path(__file__).parents[1]
MAIN = "import sys; sys.argv[0] = 'search'; from search.cli.app import main; main()"
TEXTS = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "docs"]
COMMANDS = {
    "python -c pass": [],
    "search --help": ["--help"],
    "search query, 20 sentences": ["query", "When do cats sleep?", "--collection", "notes"],
    "search query, 20 long passages": ["query", "How are documents reranked?", "--collection", "docs"],
    "search query --no-rerank": ["query", "How are documents reranked?", "--collection", "docs", "--no-rerank"],
    "search ingest, one small file": ["ingest", "note.txt", "--collection", "new"],
    "search collections list": ["collections", "list"],
    "search doctor": ["doctor", "--collection", "docs"],
}


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--other", action="append", default=[], metavar="NAME=PATH", help="A checkout to compare with.")
    parser.add_argument("--runs", type=int, default=15)
    arguments = parser.parse_args()
    checkouts = {"now": ROOT} | {name: Path(path) for name, path in (other.split("=", 1) for other in arguments.other)}
    figures: dict[str, dict[str, list[dict[str, float]]]] = {command: defaultdict(list) for command in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        for name, checkout in checkouts.items():
            prepare(checkout, Path(folder) / name)
        for turn in range(arguments.runs + 1):
            for command, words in COMMANDS.items():
                for name, checkout in checkouts.items() if turn % 2 else reversed(checkouts.items()):
                    if command.startswith("search ingest"):
                        run(checkout, Path(folder) / name, ["collections", "drop", "new", "--yes"])
                    cost = run(checkout, Path(folder) / name, words)
                    if turn:  # the first run only warms the page cache
                        figures[command][name].append(cost)
    summaries = {
        name: {
            command: {
                checkout: {key: round(choose([cost[key] for cost in costs]), 3) for key in costs[0]}
                for checkout, costs in by.items()
            }
            for command, by in figures.items()
        }
        for name, choose in (("medians", statistics.median), ("least", min))
    }
    record.write("startup", {"runs": arguments.runs, **summaries})


def prepare(checkout: Path, home: Path) -> None:
    """The collections."""
    home.mkdir()
    (home / "note.txt").write_text("Cats sleep for most of the day.\n")
    notes = [f"Cat number {number} sleeps {number} hours a day, and hunts at dawn and at dusk." for number in range(1, 21)]
    (home / "notes.jsonl").write_text("".join(f'{{"id": "{number}", "text": "{note}"}}\n' for number, note in enumerate(notes)))
    for collection, paths in (("notes", ["notes.jsonl"]), ("docs", [str(ROOT / text) for text in TEXTS]), ("new", ["note.txt"])):
        run(checkout, home, ["ingest", *paths, "--collection", collection])


def run(checkout: Path, home: Path, words: list[str]) -> dict[str, Any]:
    """One command in a process of its own, which must succeed: what it took."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SEARCH_")}
    environment |= {"PYTHONPATH": str(checkout), "SEARCH_DATA_DIR": str(home / "data"), "HOME": str(home)}
    command = [sys.executable, "-c", MAIN if words else "pass", *words]
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=home, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        errors = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} failed: {errors.decode()}")
    return {"wall_s": wall, "cpu_s": usage.ru_utime + usage.ru_stime, "peak_mb": usage.ru_maxrss / 1024}


if __name__ == "__main__":
    main()
