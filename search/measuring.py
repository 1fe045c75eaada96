"""What does whoever measures ask for? Does reranking help, which configuration is best: commands on judged data."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.assembly import build_corpus_index, needs_extra, open_search
from search.errors import InvalidQuery
from search.options import AsJson, Collection, DataDir, NoRerank, load_settings, print_json
from search.progress import ProgressReport
from search.settings import NoReranker
from search.variants import configurations

if TYPE_CHECKING:
    from search.evaluation.result import Evaluation

DatasetPath = Annotated[
    Path,
    typer.Argument(
        metavar="DATASET", help='A BEIR folder, TREC judgements, or JSON lines such as {"query": "…", "relevant": ["id"]}.'
    ),
]
Split = Annotated[str | None, typer.Option(help="Which judgements of a folder.", show_default="test, else dev")]
Queries = Annotated[Path | None, typer.Option(help="The queries of a file of judgements.", show_default=False)]
Corpus = Annotated[
    Path | None, typer.Option(help="The documents, as JSON lines.", show_default="the folder's, or else the collection")
]


def evaluate(
    dataset: DatasetPath,
    split: Split = None,
    queries: Queries = None,
    corpus: Corpus = None,
    depth: Annotated[
        list[int] | None, typer.Option(help="Candidates reranked; may be given several times.", show_default="the settings'")
    ] = None,
    others: Annotated[
        list[str] | None,
        typer.Option(
            "--with", metavar="SETTINGS", help='Compare also, such as "reranker.weight=1" or "reranker.model=… depth=50".'
        ),
    ] = None,
    measure: Annotated[
        list[str] | None,
        typer.Option(
            help="nDCG@k, nDCG(exp)@k, MAP, RR@k, Recall@k or P@k; verdicts are about the first.", show_default="the usual"
        ),
    ] = None,
    fail_under: Annotated[
        list[str] | None, typer.Option(metavar="MEASURE=VALUE", help="Exit with 1 if a reranked run has less.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for a report: a page, pictures, TREC runs, figures of every query.", show_default=False),
    ] = None,
    data_dir: DataDir = None,
    collection: Collection = None,
    *,
    fail_if_worse: Annotated[bool, typer.Option("--fail-if-worse", help="Exit with 1 if reranking hurts.")] = False,
    no_rerank: NoRerank = False,
    as_json: AsJson = False,
) -> None:
    """Does reranking help on judged data, and by how much? Vectors are kept for the next time."""
    with needs_extra():
        from search.evaluation.datasets import load_dataset
        from search.evaluation.measures import MEASURES, Measure
        from search.evaluation.report import write_report
        from search.evaluation.result import evaluate as run

    floors = dict(_floor(words) for words in fail_under or ())
    names = list(dict.fromkeys([*(measure or MEASURES), *floors]))
    for name in names:
        Measure.of(name)  # before anything is loaded
    loaded = load_dataset(dataset, split, queries=queries, corpus=corpus)
    settings = load_settings(data_dir, collection)
    compared = settings.model_copy(update={"reranker": NoReranker()}) if no_rerank else settings
    with open_search(settings) as searcher, ProgressReport("evaluating", "steps", None) as report:
        depths = depth or [settings.depth]
        # For a report's curve, half and a quarter of a single depth, too, whose scores are there anyway.
        further = [part for part in (depths[0] // 2, depths[0] // 4) if part] if out and len(depths) == 1 else []
        chosen = configurations(compared, depths, others or (), further=further)
        index = build_corpus_index(settings, loaded.corpus_hash, searcher.embedder) if loaded.documents else searcher.index
        try:
            evaluation = run(
                loaded,
                searcher.embedder,
                index,
                chosen,
                names=names,
                keep_hits=out is not None,
                on_progress=lambda what, done, total: report.update(done, what, total=total),
            )
        finally:
            index.close()
    page = write_report(evaluation, out, chosen[0].reranker.recipe.probability if chosen else None) if out else None
    if as_json:
        print_json(evaluation.to_dict())
    else:
        _print(evaluation)
        if page:
            print(f"report: {page}")
    _judge(evaluation, floors, fail_if_worse=fail_if_worse)


def _print(evaluation: "Evaluation") -> None:
    dataset = evaluation.dataset
    print(f"{dataset.name} ({dataset.split}): {len(dataset.queries):,} queries, {evaluation.documents:,} documents")
    width = max(len(answers.name) for answers in evaluation.answers)
    columns = [f"{name:>{max(len(name), 6)}}" for name in evaluation.names]
    print(f"  {'':{width}}  {'  '.join(columns)}   ms a query: median, 95 %")
    for answers in evaluation.answers:
        values = evaluation.means[answers.name].values()
        figures = "  ".join(f"{value:>{len(column)}.4f}" for value, column in zip(values, columns, strict=True))
        milliseconds = evaluation.milliseconds(answers)["total"]
        print(f"  {answers.name:{width}}  {figures}   {milliseconds['p50']:.0f}, {milliseconds['p95']:.0f}")
    for answers in evaluation.answers[1:]:
        print(f"{answers.name}: {evaluation.verdict(answers)}")
        ceiling = ", ".join(f"{name} {value:.4f}" for name, value in evaluation.ceiling(answers).items())
        print(f"  order by {answers.ranking}; the best order of these candidates would have {ceiling}")
        if answers.passages_cut or answers.queries_cut:
            scored = sum(len(documents) for _, documents in answers.scored.values())
            print(f"  {answers.reranker} did not read the end of {answers.passages_cut:,} of {scored:,} passages", end="")
            print(f", and of {answers.queries_cut:,} queries" if answers.queries_cut else "")
        if failures := answers.failures:
            print(
                f"  reranking failed on {len(failures):,} queries, which stay in retrieval order: {next(iter(failures.values()))}"
            )
    for note in evaluation.notes:
        print(f"note: {note}")


def _judge(evaluation: "Evaluation", floors: dict[str, float], *, fail_if_worse: bool) -> None:
    """Exit with 1 where a condition of the command line does not hold."""
    faults = []
    for answers in evaluation.answers[1:] or evaluation.answers:
        if fail_if_worse and answers.reranker and evaluation.gains[answers.name].judgement == "hurts":
            faults.append(f"{answers.name} is worse than retrieval alone")
        reached = evaluation.means[answers.name]
        faults += [
            f"{answers.name} has {name} {reached[name]:.4f}, less than {floor:g}"
            for name, floor in floors.items()
            if reached[name] < floor
        ]
    for fault in faults:
        print(f"search: {fault}", file=sys.stderr)
    if faults:
        raise typer.Exit(1)


def _floor(words: str) -> tuple[str, float]:
    name, _, value = words.partition("=")
    try:
        return name, float(value)
    except ValueError as error:
        message = f"--fail-under {words!r}: write a measure and a number, such as nDCG@10=0.65"
        raise InvalidQuery(message) from error
