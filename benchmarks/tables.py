"""The tables of README.md and docs/benchmarks.md, by the figures on record: `python benchmarks/tables.py` prints them."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def quality() -> str:
    """What reranking does to every judged set."""
    figures = _figures("quality")
    rows = []
    for name, measured in figures.items():
        before, after = (_short(measured["runs"][run]["nDCG@10"]) for run in ("retrieval", "reranked"))
        told = measured["configurations"]["reranked"]
        gain = told["gain"]
        interval = f"{_signed(gain['difference'])} [{_signed(gain['low'])}, {_signed(gain['high'])}]"
        cells = [name, measured["domain"], f"{measured['queries']:,}", f"{before} → {after}", interval, told["verdict"]]
        rows.append(f"| {' | '.join(cells)} | {told['latency_ms']['rerank']['p50']:.0f} |")
    gains = [measured["configurations"]["reranked"]["gain"]["difference"] for measured in figures.values()]
    rows.append(f"| mean | | | | {_signed(sum(gains) / len(gains))} | | |")
    head = "| set | to the reranker | queries | nDCG@10 | gain, 95 % interval | verdict | ms |"
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows])


def depth() -> str:
    """nDCG@10 and milliseconds by depth and window."""
    figures = _figures("depth")
    points = {(point["tokens"], point["depth"]): point for point in figures["curve"]}
    windows, depths = sorted({tokens for tokens, _ in points}), sorted({depth for _, depth in points})
    rows = []
    for window in windows:
        cells = [f"{_short(p['nDCG@10'])} · {p['median_ms']:.0f}" for p in (points[window, depth] for depth in depths)]
        rows.append(f"| {window} tokens | {' | '.join(cells)} |")
    return "\n".join([f"| nDCG@10 · ms | {' | '.join(map(str, depths))} |", f"|---|{'---|' * len(depths)}", *rows])


def startup() -> str:
    """What commands cost from a shell."""
    figures = _figures("startup")
    rows = []
    for command in list(figures["medians"])[1:]:  # behind Python's own start
        cost, least = (figures[kind][command]["now"] for kind in ("medians", "least"))
        name, comma, more = command.partition(",")
        rows.append(f"| `{name}`{comma}{more} | {cost['wall_s']:.2f} · {least['wall_s']:.2f} | {cost['peak_mb']:.0f} |")
    return "\n".join(["| command | seconds, median · least | peak memory, MB |", "|---|---|---|", *rows])


def _figures(name: str) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())["figures"]
    return figures


def _short(value: float) -> str:
    return f"{value:.4f}".removeprefix("0")


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("0.", ".", 1)


if __name__ == "__main__":
    print(quality(), depth(), startup(), sep="\n\n")
