"""The report: one page that a browser shows with the network off and that everyone can read, and files that others read."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import markupsafe
import numpy as np
import pytest
import pytrec_eval
from judged import Oracle, knowing, stories

from search.embedding.dense import FastEmbedEmbedder
from search.errors import InvalidSettings
from search.evaluation.charts import Chart, quality
from search.evaluation.datasets import Dataset
from search.evaluation.report import write_report
from search.evaluation.runs import Configuration
from search.evaluation.statistics import Gain
from search.evaluation.verdict import Evaluation, evaluate
from search.index.edge.index import EdgeIndex
from search.reranking.recipe import Recipe

SCRIPT = "<script>document.title = 'taken'</script> & <b>bold</b>"


@pytest.fixture(scope="module")
def topics() -> Dataset:
    """A hundred queries, one of which would run a script if it could."""
    syllables = ["ka", "lo", "mi", "ner", "tu"]
    found = stories([f"{a}{b}{c}" for a in syllables for b in syllables for c in syllables[:1]])
    first = next(iter(found.queries))
    return replace(found, queries={**found.queries, first: f"{found.queries[first]} {SCRIPT}"})


@pytest.fixture(scope="module")
def evaluation(topics: Dataset, tmp_path_factory: pytest.TempPathFactory, bundled_embedder: FastEmbedEmbedder) -> Evaluation:
    """A reranker that knows most answers, is wrong on some and fails on one, beside one that knows nothing."""
    knows = knowing(topics)
    queries = list(topics.queries.values())
    wrong = set(np.random.default_rng(0).choice(queries[5:], 14, replace=False))
    worth = {True: (0.0, -6.0), False: (-3.0, 5.0)}  # of what is not relevant, and of what is
    passages = [document.passage for document in topics.documents]
    grades = {q: {text: worth[q in wrong][int(text in knows.grades[q])] for text in passages} for q in queries}
    reranker = replace(knows, grades=grades, recipe=Recipe(scale=2.0), broken=queries[-1])
    nothing = Oracle({query: {} for query in queries}, name="nothing")
    index = EdgeIndex(tmp_path_factory.mktemp("data"), "topics")
    wanted = (("reranked", reranker, 20), ("depth 5", reranker, 5), ("model=a/b c", nothing, 10))
    chosen = [Configuration(*one) for one in wanted]
    found = evaluate(topics, bundled_embedder, index, chosen, keep_hits=True)
    index.close()
    return found


@pytest.fixture(scope="module")
def folder(evaluation: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("report") / "new"
    assert write_report(evaluation, made, Recipe(scale=2.0).probability) == made / "report.html"
    return made


def test_files_for_other_programs(folder: Path, evaluation: Evaluation, topics: Dataset) -> None:
    assert sorted(file.name for file in folder.iterdir()) == [
        "0-retrieval.run",
        "1-reranked.run",
        "2-depth-5.run",
        "3-model=a-b-c.run",
        "gains.png",
        "quality.png",
        "queries.jsonl",
        "reliability.png",
        "report.html",
        "result.json",
    ]
    told = json.loads((folder / "result.json").read_text())
    assert sorted(told.pop("files")) == sorted(file.name for file in folder.iterdir() if file.name != "result.json")
    assert told == json.loads(json.dumps(evaluation.to_dict()))
    rows = [json.loads(line) for line in (folder / "queries.jsonl").read_text().splitlines()]
    assert [row["_id"] for row in rows] == list(topics.queries)
    assert np.mean([row["runs"]["reranked"]["nDCG@10"] for row in rows]) == pytest.approx(evaluation.means["reranked"]["nDCG@10"])
    for name in ("gains", "quality", "reliability"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_run_files_are_trecs(folder: Path, evaluation: Evaluation, topics: Dataset) -> None:
    """What trec_eval makes of the file is what was measured, though ids have spaces in them."""
    qrels = {spaced(q): {spaced(d): grade for d, grade in grades.items()} for q, grades in topics.qrels.items()}
    with (folder / "1-reranked.run").open() as lines:
        run = pytrec_eval.parse_run(lines)
    values = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"}).evaluate(run)
    assert np.mean([values[query]["ndcg_cut_10"] for query in qrels]) == pytest.approx(evaluation.means["reranked"]["nDCG@10"])
    best = spaced(evaluation.answers[1].documents["kakaka 0"][0])
    assert (folder / "1-reranked.run").read_text().splitlines()[0].split("\t") == ["kakaka%200", "Q0", best, "1", "-1", "reranked"]


def spaced(name: str) -> str:
    return name.replace(" ", "%20")


def test_the_page_is_one_file(folder: Path, evaluation: Evaluation) -> None:
    page = (folder / "report.html").read_text()
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "the reranker oracle failed: out of order" in page
    assert evaluation.verdict(evaluation.answers[1]) in page
    assert page.count("<details>") == 20
    alone = replace(evaluation, answers=evaluation.answers[:1])
    assert "Nothing was reranked" in write_report(alone, folder.parent / "alone").read_text()
    assert not (folder.parent / "alone" / "quality.png").exists()


def test_ways_of_retrieval_that_nothing_reranks_are_reported_beside_others(
    tmp_path: Path, bundled_embedder: FastEmbedEmbedder
) -> None:
    few = stories(["cats", "dogs"])
    reranked, dense = Configuration("reranked", knowing(few), 5), Configuration("dense", None, 5, retrieval="dense")
    index = EdgeIndex(tmp_path / "data", "few")
    for chosen in ([reranked, dense], [dense]):
        found = evaluate(few, bundled_embedder, index, chosen, keep_hits=True)
        page = write_report(found, tmp_path / "report").read_text()
        assert '<tr><th scope="row">dense</th><td class="text short">no evidence</td>' in page
        assert ("How the orders came about" in page) == (reranked in chosen)
        assert "Recall@0" not in page
        legend = quality(found).figure.axes[0].get_legend()
        assert legend is not None
        assert " dense: not reranked, cosine similarity" in [text.get_text() for text in legend.get_texts()]
    index.close()


def test_a_report_takes_the_place_of_an_earlier_one_and_of_nothing_else(evaluation: Evaluation, tmp_path: Path) -> None:
    (tmp_path / "1-mine.run").write_text("mine")
    (tmp_path / "photo.png").write_text("mine")
    alone = replace(evaluation, answers=evaluation.answers[:1])
    write_report(alone, tmp_path)
    kept = {"1-mine.run", "photo.png", "0-retrieval.run", "queries.jsonl", "report.html", "result.json"}
    assert {file.name for file in tmp_path.iterdir()} == kept
    write_report(evaluation, tmp_path)
    assert (tmp_path / "quality.png").is_file()
    write_report(alone, tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == kept


@pytest.mark.parametrize("name", ["queries.jsonl", "result.json", "report.html", "gains.png", "reliability.png", "1-reranked.run"])
def test_a_file_of_anothers_is_never_lost(name: str, evaluation: Evaluation, tmp_path: Path) -> None:
    for theirs in ("mine", '{"files": ["2024-bm25.run"]}'):
        (tmp_path / name).write_text(theirs)
        (tmp_path / "2024-bm25.run").write_text("mine")
        with pytest.raises(InvalidSettings, match=f"has a {name} that is of no report, and would be lost; name another folder"):
            write_report(evaluation, tmp_path, Recipe(scale=2.0).probability)
        assert {file.name for file in tmp_path.iterdir()} == {name, "2024-bm25.run"}
        assert (tmp_path / name).read_text() == theirs


def test_a_report_that_was_not_finished_can_be_replaced(
    evaluation: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report(evaluation, tmp_path)
    whole = {file.name for file in tmp_path.iterdir()}
    with monkeypatch.context() as patched:
        patched.setattr(Chart, "write_png", failing)
        with pytest.raises(InvalidSettings, match="no room"):
            write_report(replace(evaluation, answers=evaluation.answers[:2]), tmp_path)
    write_report(evaluation, tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == whole


def failing(*_: object) -> None:
    message = "no room"
    raise OSError(message)


def test_names_that_no_report_has_written_are_not_believed(evaluation: Evaluation, tmp_path: Path) -> None:
    write_report(evaluation, tmp_path)
    told = json.loads((tmp_path / "result.json").read_text())
    (tmp_path / "notes.md").write_text("mine")
    (tmp_path / "result.json").write_text(json.dumps(told | {"files": [*told["files"], "notes.md", "..", "../x", 5]}))
    write_report(evaluation, tmp_path)
    assert (tmp_path / "notes.md").read_text() == "mine"
    (tmp_path / "result.json").write_text("[" * 100_000)
    with pytest.raises(InvalidSettings, match=r"has a result\.json that is of no report"):
        write_report(evaluation, tmp_path)


def test_a_gain_that_is_the_same_for_every_query_is_drawn(evaluation: Evaluation, tmp_path: Path) -> None:
    """Rounding then leaves an interval whose end lies on the wrong side of the mean, by next to nothing."""
    found = replace(evaluation, answers=evaluation.answers[:2])
    found.__dict__["gains"] = {"reranked": Gain(0.3, 0.30000000000000004, 0.29999999999999993, 0.06)}
    write_report(found, tmp_path)
    assert (tmp_path / "quality.png").is_file()


def test_the_same_evaluation_gives_the_same_page(folder: Path, evaluation: Evaluation, tmp_path: Path) -> None:
    again = write_report(evaluation, tmp_path, Recipe(scale=2.0).probability)
    assert again.read_bytes() == (folder / "report.html").read_bytes()


def test_a_folder_that_cannot_be_written(evaluation: Evaluation, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidSettings, match="file cannot be written"):
        write_report(evaluation, tmp_path / "file")


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (375, 700)], ids=["desktop", "phone"])
def test_a_browser_shows_it_with_the_network_off(browser: Any, folder: Path, width: int, height: int) -> None:
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(viewport={"width": width, "height": height}, offline=True, bypass_csp=True)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if not request.url.startswith(("file:", "data:")) else None)
    page.goto((folder / "report.html").as_uri())
    assert page.title() == "Does reranking help on topics?"
    assert page.locator("figure img").count() == 3
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")  # nothing sticks out
    row = page.locator("details tbody tr").first
    assert not row.is_visible()
    page.keyboard.press("Tab")
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert row.is_visible()
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert said == []
    context.close()


NAMES = [r"a$\q$b", "$", r"\frac{", "_hidden", "<b>&amp;", "a\nb", "表", "x" * 250, "#%^{}~\\", "$$", "a$b_c^{$"]


@pytest.mark.filterwarnings("ignore:Glyph")  # a font may lack a character, which is told and costs nothing
def test_names_that_mean_something_to_a_typesetter(evaluation: Evaluation, tmp_path: Path) -> None:
    """A reranker's name is that of its folder. None costs the report, and each is in the legend."""
    first, one = evaluation.answers[:2]
    renamed = [replace(one, name=name, reranker=name, line=number) for number, name in enumerate(NAMES)]
    strange = replace(evaluation, answers=[first, *renamed], dataset=replace(evaluation.dataset, name=NAMES[0]))
    page = write_report(strange, tmp_path / "report").read_text()
    legend = quality(strange).figure.axes[0].get_legend()
    assert legend is not None
    shown = [text.get_text() for text in legend.get_texts()]
    for name in NAMES:
        assert str(markupsafe.escape(name)) in page
        assert any(text.strip().startswith(f"{name}: {name},") for text in shown)
    files = {file.name for file in (tmp_path / "report").glob("*.run")}
    assert len(files) == len(NAMES) + 1
    assert max(map(len, files)) < 200


def test_a_matplotlibrc_in_the_working_folder_has_no_say(tmp_path: Path) -> None:
    """It may be somebody else's, and `text.usetex` starts programs."""
    script = """
import sys, numpy as np
from search.evaluation.calibration import reliability
from search.evaluation.charts import reliability_diagram
sys.stdout.buffer.write(reliability_diagram(reliability(np.array([.1, .2, .9]), np.array([False, True, True]))).svg())
"""

    def drawn() -> bytes:
        return subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, check=True).stdout

    plain = drawn()
    assert b"<svg" in plain
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfigure.facecolor: red\nlines.linewidth: 9\n")
    assert drawn() == plain


def test_a_home_folder_that_cannot_be_written_to_is_passed_over(tmp_path: Path) -> None:
    """In silence; the library's list of fonts is then kept nowhere."""
    (tmp_path / "home").write_text("a file")
    script = "import os; from search.system.caches import importing_matplotlib\nwith importing_matplotlib():\n    import matplotlib"
    script += "\nprint(matplotlib.get_configdir(), os.path.isdir(matplotlib.get_configdir()), 'MPLCONFIGDIR' in os.environ)"
    command = [sys.executable, "-c", script]
    variables = {**os.environ, "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    folder, *rest = done.stdout.split()
    assert (done.stderr, Path(folder).parent, rest) == ("", tmp_path, ["True", "False"])
    assert not Path(folder).exists()
