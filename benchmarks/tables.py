"""The table of README.md, from the figures on record: `python benchmarks/tables.py` prints it, a test compares."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def quality() -> str:
    """What reranking does to every judged set."""
    rows = []
    for name, measured in _figures("quality").items():
        before, after = (_short(measured["runs"][run]["nDCG@10"]) for run in ("retrieval", "reranked"))
        gain = measured["gain"]
        interval = f"{_signed(gain['nDCG@10'])} [{_signed(gain['low'])}, {_signed(gain['high'])}]"
        milliseconds = f"{measured['latency_ms']['reranked']:.0f}"
        rows.append(
            f"| {name} | {measured['domain']} | {measured['queries']:,} | {before} → {after} | {interval} | {milliseconds} |"
        )
    gains = [measured["gain"]["nDCG@10"] for measured in _figures("quality").values()]
    rows.append(f"| mean | | | | {_signed(sum(gains) / len(gains))} | |")
    head = "| set | to the reranker | queries | nDCG@10 | gain, 95 % interval | ms |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def _figures(name: str) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())["figures"]
    return figures


def _short(value: float) -> str:
    return f"{value:.4f}".removeprefix("0")


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("0.", ".", 1)


if __name__ == "__main__":
    print(quality())
