"""Does a person find what they ask for in documentation that others wrote? English and Chinese, Markdown and reStructuredText.

    .venv/bin/python benchmarks/documentation.py FOLDER [CORPUS…]

FOLDER holds checkouts of rust-lang/book, python/peps, vuejs-translations/docs-zh-cn and microsoft/TypeScript-Website by their own
names; none of it is kept here. `documentation.jsonl` holds questions as people type them, each with its corpus and the files that
answer it: `relevant` were written from the files' names and titles before anything was searched; `also` are those among the first
hits of all runs that answer, too, judged one by one without knowing which run had found them. How many questions have a file of
either kind first, and how many one that was named beforehand. Collections stay in FOLDER/data, so that a second run embeds only
what changed.
"""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import record

QUESTIONS = Path(__file__).parent / "documentation.jsonl"
SEARCH = Path(sys.executable).parent / "search"
CORPORA = {
    "book": "src",
    "docs-zh-cn": "src",
    "TypeScript-Website": "packages/documentation/copy/en",
    "peps": "peps",
}
NAMES = {
    "retrieval": "hybrid",
    "reranked": "hybrid, reranked",
    "retrieval=dense": "dense, reranked",
    "retrieval=lexical": "lexical, reranked",
}


def main() -> None:
    """Ingest, ask and record."""
    root = Path(sys.argv[1])
    questions = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    first: Counter[str] = Counter()
    first_named: Counter[str] = Counter()
    corpora: dict[str, Any] = {}
    for corpus in sys.argv[2:] or CORPORA:
        inside = CORPORA[corpus]
        where = ("--data-dir", str(root / "data"), "--collection", corpus)
        ingested = _json("ingest", str(root / corpus / inside), *where)
        asked = [one for one in questions if one["corpus"] == corpus]
        named = _runs([(one["query"], one["relevant"]) for one in asked], where)
        runs = _runs([(one["query"], [*one["relevant"], *one.get("also", [])]) for one in asked], where)
        corpora[corpus] = {
            "commit": _commit(root / corpus),
            "documents": sum(ingested[state] for state in ("added", "changed", "unchanged")),
            "rejected": ingested["rejected"],
            "questions": len(asked),
            "answered first": {name: round(values["P@1"] * len(asked)) for name, values in runs.items()},
            "named beforehand": {name: round(values["P@1"] * len(asked)) for name, values in named.items()},
            "RR@10": {name: values["RR@10"] for name, values in runs.items()},
        }
        first.update(corpora[corpus]["answered first"])
        first_named.update(corpora[corpus]["named beforehand"])
    asked_of_all = sum(one["questions"] for one in corpora.values())
    figures = {"questions": asked_of_all, "answered first": dict(first), "named beforehand": dict(first_named), "corpora": corpora}
    record.write("documentation", figures)


def _runs(judged: list[tuple[str, list[str]]], where: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Measures of every run, by its name."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(json.dumps({"query": query, "relevant": relevant}) + "\n" for query, relevant in judged)
        file.flush()
        measured = _json("evaluate", file.name, "--every-retrieval", "--measure", "P@1", "--measure", "RR@10", *where)
    return {NAMES.get(name, name): values for name, values in measured["runs"].items()}


def _json(*arguments: str) -> dict[str, Any]:
    done = subprocess.run([SEARCH, *arguments, "--json"], stdout=subprocess.PIPE, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _commit(checkout: Path) -> str:
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
