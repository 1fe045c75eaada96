"""What is written of an evaluation? A page to read, figures for a paper, and files for other programs."""

import base64
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from search.documents import Hit, counted
from search.errors import InvalidSettings
from search.evaluation import charts
from search.evaluation.runs import Answers
from search.evaluation.verdict import Evaluation
from search.system.files import replace_file

_LISTED = 10  # queries with the largest gains, and with the largest losses
_SHOWN = 280  # characters of a passage
_LONGEST_NAME = 100  # characters of a file's name
_FIGURES = "result.json"  # which also names what else the report wrote
_RUN = re.compile(r"[0-9]+-[A-Za-z0-9._=-]+\.run")
_FILES = ("report.html", "queries.jsonl", "quality.png", "gains.png", "reliability.png")

Probability = Callable[[float], float | None]


def write_report(evaluation: Evaluation, folder: Path, probability: Probability | None = None) -> Path:
    """Write what an evaluation came to, in place of an earlier report.

    Args:
        evaluation: made with `keep_hits`. The first configuration is the one that is looked at query by query.
        folder: gets report.html, quality.png, gains.png and reliability.png, result.json, queries.jsonl with the measures of
            every query, and NUMBER-NAME.run, a TREC run file, for each configuration. Files that result.json names, of an earlier
            report, are removed first, and no others.
        probability: of the first configuration's reranker, from its score; None: it has no such map.

    Returns:
        The page: one file that loads nothing.

    Raises:
        InvalidSettings: the folder cannot be written to, or a file of another's would be lost.
    """
    drawn = list(_charts(evaluation, probability))
    names = [answers.name for answers in evaluation.answers]
    earlier = check_folder(folder, names)
    files = ["report.html", "queries.jsonl", *(f"{chart.name}.png" for chart in drawn), *_runs(names)]
    figures = evaluation.to_dict()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # First, and with both reports' files, so that one that was not finished can be replaced, too.
        _write_figures(folder, figures, {*earlier, *files})
        for stale in earlier:
            (folder / stale).unlink(missing_ok=True)
        for chart in drawn:
            chart.write_png(folder)
        with (folder / "queries.jsonl").open("w", encoding="utf-8") as rows:
            for query, text in evaluation.dataset.queries.items():
                runs = {name: values[query] for name, values in evaluation.measures.items()}
                rows.write(json.dumps({"_id": query, "text": text, "runs": runs}, ensure_ascii=False) + "\n")
        for name, answers in zip(_runs(names), evaluation.answers, strict=True):
            (folder / name).write_text(trec_run(answers), encoding="utf-8")
        page = folder / "report.html"
        page.write_text(render(evaluation, drawn), encoding="utf-8")
        _write_figures(folder, figures, files)
    except OSError as error:
        raise InvalidSettings(f"{folder} cannot be written: {error}") from error
    return page


def check_folder(folder: Path, names: Iterable[str]) -> list[str]:
    """The files of an earlier report in a folder, before anything is measured or written.

    Args:
        folder: need not be there.
        names: of all that is to be compared, retrieval alone first.

    Raises:
        InvalidSettings: it cannot be written to, or holds a file of such a name that no report of ours has written.
    """
    try:
        held = [name for name in (_FIGURES, *_FILES, *_runs(names)) if os.path.lexists(folder / name)]
        earlier = _written(folder / _FIGURES)
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise InvalidSettings(f"{folder} cannot be written to; name another folder for the report")
    except OSError as error:
        raise InvalidSettings(f"{folder} cannot be written: {error}") from error
    if foreign := [name for name in held if name not in {*earlier, *([_FIGURES] if earlier else [])}]:
        raise InvalidSettings(f"{folder} has a {foreign[0]} that is of no report, and would be lost; name another folder")
    return earlier


def _write_figures(folder: Path, figures: dict[str, Any], files: Iterable[str]) -> None:
    replace_file(folder / _FIGURES, json.dumps(figures | {"files": sorted(files)}, indent=1) + "\n")


def _written(figures: Path) -> list[str]:
    """What a report in this folder wrote beside its figures; nothing if these are another's."""
    try:
        report = json.loads(figures.read_bytes()) if figures.is_file() else None
    except (ValueError, RecursionError):
        return []
    files = report.get("files") if isinstance(report, dict) and "configurations" in report else None
    return [name for name in files if name in _FILES or _RUN.fullmatch(str(name))] if isinstance(files, list) else []


def trec_run(answers: Answers) -> str:
    """A run as trec_eval reads it: query, Q0, document, rank, score, tag.

    Scores fall with the rank, so that none are equal. White space in ids, which would be the end of one, is written as in URLs.
    """
    tag = _file_name(answers.name)
    return "".join(
        f"{_unspaced(query)}\tQ0\t{_unspaced(document)}\t{place}\t{-place}\t{tag}\n"
        for query, documents in answers.documents.items()
        for place, document in enumerate(documents, 1)
    )


def render(evaluation: Evaluation, drawn: list[charts.Chart]) -> str:
    """The page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    configurations = evaluation.answers[1:]
    return environment.get_template("report.html").render(
        title=f"Does reranking help on {evaluation.dataset.name}?",
        dataset=evaluation.dataset,
        queries=len(evaluation.dataset.queries),
        documents=evaluation.documents,
        embedder=evaluation.embedder,
        made=f"measured by two-stage-search {version('two-stage-search')}",
        notes=evaluation.notes,
        measures=evaluation.names,
        configurations=[_configuration(evaluation, answers) for answers in configurations],
        rows=[
            {"name": a.name, "means": evaluation.means[a.name].values(), "milliseconds": evaluation.milliseconds(a)}
            for a in evaluation.answers
        ],
        stages=["embed", "retrieve", *(["rerank"] if any(one.reranker for one in configurations) else []), "total"],
        charts=[{"title": chart.title, "words": chart.words, "image": base64.b64encode(chart.svg()).decode()} for chart in drawn],
        lists=_lists(evaluation, configurations[0]) if configurations else [],
    )


def _charts(evaluation: Evaluation, probability: Probability | None) -> Iterator[charts.Chart]:
    if not evaluation.answers[1:]:
        return
    main = evaluation.answers[1]
    yield charts.quality(evaluation)
    yield charts.gains(evaluation, main)
    if probability and (measured := evaluation.reliability(main, probability)):
        yield charts.reliability_diagram(measured)


def _configuration(evaluation: Evaluation, answers: Answers) -> dict[str, Any]:
    scored = sum(len(documents) for _, documents in answers.scored.values())
    ceiling = evaluation.ceiling(answers) if answers.reranker else {}
    return {
        "name": answers.name,
        "verdict": evaluation.verdict(answers),
        "gain": evaluation.gains[answers.name],
        "milliseconds": evaluation.milliseconds(answers),
        "reranker": answers.reranker,
        "device": answers.device,
        "depth": answers.depth,
        "ranking": answers.ranking,
        "ceiling": ", ".join(f"{name} {value:.4f}" for name, value in ceiling.items()),
        "cut": f"{answers.passages_cut:,} of {counted(scored, 'passage')}, {counted(answers.queries_cut, 'query', 'queries')}",
        "statuses": ", ".join(f"{status} {count:,}" for status, count in answers.statuses.items()),
        "failures": answers.failures,
    }


def _lists(evaluation: Evaluation, answers: Answers) -> list[dict[str, Any]]:
    """The queries that gain most and those that lose most, with the passages that moved."""
    before, after = evaluation.values("retrieval"), evaluation.values(answers.name)
    rows = sorted(zip(evaluation.dataset.queries, before, after, strict=True), key=lambda row: row[1] - row[2])
    gaining = [row for row in rows if row[2] > row[1]][:_LISTED]
    losing = [row for row in reversed(rows) if row[2] < row[1]][:_LISTED]
    measure = evaluation.names[0]
    return [
        {
            "title": title,
            "words": f"{answers.name} against retrieval alone, by {measure}." if chosen else "None.",
            "queries": [_query(evaluation, answers, *row) for row in chosen],
        }
        for title, chosen in (("What gained most", gaining), ("What lost most", losing))
    ]


def _query(evaluation: Evaluation, answers: Answers, query: str, before: float, after: float) -> dict[str, Any]:
    grades = evaluation.dataset.qrels[query]
    considered = set(answers.considered[query])
    missing = [document for document, grade in grades.items() if grade > 0 and document not in considered]
    return {
        "id": query,
        "text": evaluation.dataset.queries[query],
        "before": before,
        "after": after,
        "difference": after - before,
        "missing": ", ".join(missing[:5]) + (f" and {len(missing) - 5:,} more" if len(missing) > 5 else ""),  # noqa: PLR2004
        "hits": [_hit(hit, grades.get(hit.document_id, 0)) for hit in answers.hits[query]],
    }


def _hit(hit: Hit, grade: int) -> dict[str, Any]:
    by = hit.retrieval_rank - hit.rank
    text = " ".join(hit.text.split())
    return {
        "before": hit.retrieval_rank,
        "after": hit.rank,
        "moved": f"↑{by}" if by > 0 else f"↓{-by}" if by < 0 else "",
        "grade": grade,
        "cosine": hit.retrieval_score,
        "words": hit.lexical_score,
        "score": hit.rerank_score,
        "document": hit.document_id,
        "title": hit.title,
        "text": text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…",
        "cut": hit.truncated,
    }


def _unspaced(name: str) -> str:
    return re.sub(r"\s", lambda space: quote(space[0]), name)


def _runs(names: Iterable[str]) -> list[str]:
    return [f"{number}-{_file_name(name)}.run" for number, name in enumerate(names)]


def _file_name(name: str) -> str:
    """A configuration's name as a file may have it."""
    return re.sub(r"[^A-Za-z0-9._=-]+", "-", name)[:_LONGEST_NAME].strip("-.") or "run"
