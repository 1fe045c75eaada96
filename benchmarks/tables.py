"""The tables of README.md and docs/benchmarks.md, by the figures on record: `python benchmarks/tables.py` prints them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

RERANKED = "retrieval=hybrid reranker.kind=cross-encoder"  # as benchmarks/quality.py calls it
RESULTS = Path(__file__).parent / "results"


def quality() -> str:
    """What words and reranking do to every judged set."""
    figures = _figures("quality")
    runs = ("hybrid", RERANKED)
    rows = []
    for name, measured in figures.items():
        reached = [_short(measured["runs"][run]["nDCG@10"]) for run in ("retrieval", *runs)]
        gains = [measured["configurations"][run]["gain"] for run in runs]
        intervals = [f"{_signed(gain['difference'])} [{_signed(gain['low'])}, {_signed(gain['high'])}]" for gain in gains]
        cells = [name, f"{measured['queries']:,}", reached[0], reached[1], intervals[0], reached[2], intervals[1]]
        rows.append(f"| {' | '.join(cells)} |")
    means = [_mean(measured["runs"][run]["nDCG@10"] for measured in figures.values()) for run in ("retrieval", *runs)]
    over = [_signed(mean - means[0]) for mean in means[1:]]
    rows.append(f"| mean | | {_short(means[0])} | {_short(means[1])} | {over[0]} | {_short(means[2])} | {over[1]} |")
    head = "| nDCG@10 | queries | vectors | + words | gain, 95 % interval | + reranker | gain, 95 % interval |"
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


def documentation() -> str:
    """How many questions about others' documentation have an answer first."""
    figures = _figures("documentation")
    rows = []
    for name, corpus in [*figures["corpora"].items(), ("together", figures)]:
        first = [corpus["answered first"][run] for run in ("dense", "hybrid", "hybrid, reranked")]
        rows.append(f"| {name} | {corpus['questions']} | {' | '.join(map(str, first))} |")
    return "\n".join(["| corpus | questions | vectors | vectors and words | reranked |", "|---|---|---|---|---|", *rows])


def context() -> str:
    """How often the passage that answers a question is in its context, and in plain passages of as many tokens."""
    kinds = _figures("context")["kinds"]
    budgets = (500, 1000, 2000)
    rows = []
    for order, words in (("reranked", "reranked"), ("retrieval", "in the order of retrieval")):
        for kind, what in (("context", "context"), ("plain", "plain passages")):
            held = [kinds[f"{kind}, {order}, {budget}"] for budget in budgets]
            cells = [f"{one['holds the relevant passage']:.1%} [{one['low']:.1%}, {one['high']:.1%}]" for one in held]
            rows.append(f"| {what}, {words} | {' | '.join(cells)} |".replace("%", " %"))
    head = "| the whole passage that answers is in it | 500 tokens | 1,000 tokens | 2,000 tokens |"
    return "\n".join([head, "|---|---|---|---|", *rows])


def dedupe() -> str:
    """Near-duplicates by kind at the default threshold and at a lower one, and near misses that were joined."""
    figures = _figures("dedupe")
    lower, usual = "0.5", str(figures["threshold"])
    rows = []
    for kind, measured in figures["by kind"].items():
        looked = figures["planted pairs among the candidates"][kind]["share"]
        cells = [
            _interval(measured["recall"]),
            _interval(measured["precision"]),
            _two(figures["recall, by threshold"][lower][kind]),
        ]
        rows.append(f"| {kind} | {' | '.join(cells)} | {_two(looked)} |")
    for kind, measured in figures["wrongly joined"].items():
        cells = [_interval(measured), "", _two(figures["wrongly joined, by threshold"][lower][kind])]
        rows.append(f"| near miss: {kind} | wrongly joined: {' | '.join(cells)} | |")
    head = f"| planted | recall at {usual} | precision at {usual} | recall at {lower} | among the candidates |"
    return "\n".join([head, "|---|---|---|---|---|", *rows])


def _interval(share: dict[str, Any]) -> str:
    if share["share"] is None:
        return "-"
    return f"{_two(share['share'])} [{_two(share['low'])}, {_two(share['high'])}]"


def _two(value: float) -> str:
    return f"{abs(value):.2f}".removeprefix("0") if value < 1 else "1"


def _figures(name: str) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())["figures"]
    return figures


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def _short(value: float) -> str:
    return f"{value:.4f}".removeprefix("0")


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("0.", ".", 1)


if __name__ == "__main__":
    print(quality(), depth(), startup(), documentation(), context(), dedupe(), sep="\n\n")
