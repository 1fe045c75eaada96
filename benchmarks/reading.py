"""What does it cost to read files in a child process with limits, beside reading them in the process itself?

    .venv/bin/python benchmarks/reading.py
    .venv/bin/python benchmarks/reading.py --before CHECKOUT FOLDER

The second measures how long this package takes to read a folder as ingestion does, and how long that of another checkout takes.

A thousand HTML pages of some 2 kB, and two hundred PDFs of two pages with 20 lines each. Both ways take turns, each time in a new
process, from its first file to its last: so each loads the libraries once, and the child's start counts. Settings are loaded
beforehand, as they are in every ingestion. The time of the processor is that of parent and child together.
"""

import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import record

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from papers import pdf

TURNS, TURNS_BEFORE = 15, 5
WORDS = ["harbour", "winter", "engine", "copper", "letter", "garden", "signal", "mountain", "paper", "river", "glass", "market"]

READ = """
import resource, sys, time
import search.settings
from search.reading import Reading, pages
from search.reading.files import Listing
def here(folder):
    return (file.whole(pages.read) for file in Listing.of(folder, (), exclude=(), ignore_files=True).files)
def used():
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, kinds))
way, folder = sys.argv[1:]
before, started = used(), time.perf_counter()
characters = sum(len(item.text) for item in (here(folder) if way == "in the process" else Reading([folder])))
print(time.perf_counter() - started, used() - before, characters)
"""
WAYS = ("in the process", "in a child")
READ_ALL = """
import sys, time
import search.settings
from search.reading import Reading
started = time.perf_counter()
items = list(Reading([sys.argv[1]]))
taken = time.perf_counter() - started
documents = [item for item in items if hasattr(item, "text")]
print(taken, len(documents), sum(len(document.text) for document in documents))
"""


def sentences(draw: random.Random, count: int) -> list[str]:
    """Of 5 to 15 words."""
    return [" ".join(draw.choices(WORDS, k=draw.randrange(5, 15))).capitalize() + "." for _ in range(count)]


def page(draw: random.Random) -> str:
    """A page as many are: something around it, headings, paragraphs with links, a list and a table."""
    links = "".join(f'<li><a href="/{word}">{word}</a></li>' for word in WORDS[:4])
    rows = "".join(f"<tr><td>{word}</td><td>{draw.randrange(100)}</td></tr>" for word in WORDS[:4])
    first, second, third = (" ".join(sentences(draw, 4)) for _ in range(3))
    return (
        f"<!doctype html><html><head><meta charset=utf-8><title>{draw.choice(WORDS)}</title></head><body>"
        f"<nav><ul>{links}</ul></nav><main><h1>{sentences(draw, 1)[0]}</h1><p>{first}</p>"
        f"<h2>{sentences(draw, 1)[0]}</h2><p>{second} "
        f'<a href="/more">More</a> <b>of it</b>.</p><ul>{links}</ul><p>{third}</p><table>{rows}</table></main></body></html>'
    )


def paper(draw: random.Random) -> bytes:
    """A PDF of two pages with 20 lines each."""
    return pdf([") Tj 0 -14 Td (".join(sentences(draw, 20)) for _ in range(2)])


def measured(way: str, folder: Path) -> tuple[float, float, int]:
    """Seconds that pass, seconds of the processor, and characters of all texts."""
    wall, cpu, characters = subprocess.run(
        [sys.executable, "-c", READ, way, str(folder)], capture_output=True, text=True, check=True
    ).stdout.split()
    return float(wall), float(cpu), int(characters)


def compared(folder: Path) -> dict[str, Any]:
    """Both ways in turns. Of each turn the ratio, since what else the machine does changes from turn to turn."""
    taken: dict[str, list[tuple[float, float, int]]] = {way: [] for way in WAYS}
    for turn in range(TURNS + 1):
        for way in WAYS if turn % 2 else reversed(WAYS):
            taken[way].append(measured(way, folder))
    here, child = (zip(*taken[way][1:], strict=True) for way in WAYS)  # the first turn warms up
    figures: dict[str, Any] = {"files": len(list(folder.iterdir()))}
    for name, ours, theirs in zip(("wall_s", "cpu_s", "characters"), here, child, strict=True):
        ratios = sorted(one / other for other, one in zip(ours, theirs, strict=True))
        figures[name] = {
            **dict(zip(WAYS, map(statistics.median, (ours, theirs)), strict=True)),
            "ratio": statistics.median(ratios),
            "quartiles": statistics.quantiles(ratios)[::2],
            "ratio_of_the_fastest": min(theirs) / min(ours),
        }
    return figures


def beside(before: Path, folder: Path) -> dict[str, Any]:
    """Seconds, documents and characters of a folder, read by this package and by that of another checkout, in turns."""
    packages = {"now": Path(__file__).parents[1], "before": before}
    runs: dict[str, list[tuple[float, ...]]] = {name: [] for name in packages}
    for turn in range(TURNS_BEFORE + 1):
        for name in packages if turn % 2 else reversed(packages):
            environment = {**os.environ, "PYTHONPATH": str(packages[name])}
            command = [sys.executable, "-c", READ_ALL, str(folder)]
            answer = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=folder)
            runs[name].append(tuple(map(float, answer.stdout.split())))
    figures: dict[str, Any] = {
        name: dict(zip(("wall_s", "documents", "characters"), map(statistics.median, zip(*turns[1:], strict=True)), strict=True))
        for name, turns in runs.items()
    }
    ratios = [old[0] / new[0] for old, new in zip(runs["before"][1:], runs["now"][1:], strict=True)]
    quartiles = statistics.quantiles(ratios)[::2]
    return {"turns": TURNS_BEFORE, **figures, "times_faster": statistics.median(ratios), "quartiles": quartiles}


def main() -> None:
    """Measure, and write benchmarks/results/reading.json, or reading_before.json."""
    if sys.argv[1:2] == ["--before"]:
        record.write("reading_before", beside(*map(Path, sys.argv[2:4])))
        return
    draw = random.Random(1)  # noqa: S311  # no secret
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as root:
        html, papers = Path(root) / "html", Path(root) / "pdf"
        html.mkdir()
        papers.mkdir()
        for number in range(1000):
            (html / f"{number:04}.html").write_text(page(draw))
        for number in range(200):
            (papers / f"{number:03}.pdf").write_bytes(paper(draw))
        figures = {"turns": TURNS, "html": compared(html), "pdf": compared(papers)}
    record.write("reading", {"load": [load, os.getloadavg()[0]], **figures})


if __name__ == "__main__":
    main()
