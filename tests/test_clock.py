"""A clock that is set back, or never stands twice the same, changes nothing: which version is the newer one is counted."""

import ast
import itertools
import os
import time
from pathlib import Path

import pytest
from upstream import SERVERS, Serve

from search.reading import Reading
from search.searcher import Searcher, open_search
from search.settings import Settings

PACKAGE = Path(__file__).parents[1] / "search"
WALL = {"time", "time_ns", "now", "utcnow", "today", "strftime", "localtime", "gmtime"}  # of time, datetime and date


def test_nothing_asks_the_wall_clock_but_to_tell_it() -> None:
    asked = [
        f"{file.relative_to(PACKAGE)}: {node.func.attr}"
        for file in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WALL
    ]
    assert asked == [
        *("api/routes/rerank.py: time", "api/state.py: time", "api/traces.py: time_ns"),
        *("client.py: now", "index/edge/collections.py: strftime"),
        "index/server/lease.py: time_ns",  # of which the numbers of claims begin, where no note says one
        "index/server/snapshots.py: now",  # which tells whose an unfinished collection is
        "index/server/transport.py: time",  # Retry-After may be a date
    ]


@pytest.fixture
def backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock finds it an hour earlier."""
    clock = itertools.count(2_000_000_000, -3_600)
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    monkeypatch.setattr(time, "time_ns", lambda: next(clock) * 10**9)
    monkeypatch.setattr(time, "strftime", lambda _: "20260101-000000")


@pytest.fixture(params=["edge", *SERVERS])
def settings(request: pytest.FixtureRequest, serve: Serve, tmp_path: Path, model_folder: Path) -> Settings:
    index = {} if request.param == "edge" else {"index": serve(request.param).index}
    model = {"model": str(model_folder / "embedder-mean")}
    return Settings(data_dir=tmp_path / "data", embedder=model, reranker={"kind": "none"}, **index)


def found(searcher: Searcher) -> dict[str, str]:
    return {hit.document_id: hit.text for hit in searcher.search("Which version?", limit=50).hits}


@pytest.mark.usefixtures("backwards")
def test_a_clock_that_goes_back(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()

    def write(name: str, text: str, modified: float) -> None:
        (folder / name).write_text(text)
        os.utime(folder / name, (modified, modified))

    write("a.txt", "Version 1.", 2_000_000_000)
    write("b.txt", "Of no version.", 2_000_000_000)
    with open_search(settings) as searcher:
        assert searcher.ingest(Reading([str(folder)]), sync=True).added == 2
        for version in (2, 3):
            write("a.txt", f"Version {version}.", 2_000_000_000 - version * 10_000)  # newer, and older by the clock
            report = searcher.ingest(Reading([str(folder)]), sync=True)
            assert (report.changed, report.unchanged) == (1, 1)
            assert found(searcher) == {"notes/a.txt": f"Version {version}.", "notes/b.txt": "Of no version."}
        assert searcher.reindex(check=False).switched
        (folder / "b.txt").unlink()
        write("a.txt", "Version 4.", 1)
        assert searcher.ingest(Reading([str(folder)]), sync=True, max_delete=1).removed == 1
        assert found(searcher) == {"notes/a.txt": "Version 4."}
