"""Judged data: the commands that tell whether reranking helps, by which configuration, and what its scores mean."""

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from search.cli.configurations import configurations
from search.cli.options import AsJson, Collection, DataDir, NoRerank, Split, Tenant, WrongUsage, load_settings, print_json, usage
from search.cli.paths import path
from search.cli.progress import ProgressReport
from search.documents import Retrieval, counted
from search.errors import InvalidDataset, InvalidQuery
from search.factory import build_corpus_index
from search.searcher import Searcher, open_search
from search.settings import ChatSettings, NoReranker, Settings
from search.system.terminal import note, show

if TYPE_CHECKING:
    from search.evaluation.calibration import Calibration
    from search.evaluation.datasets import Dataset
    from search.evaluation.runs import Configuration
    from search.evaluation.verdict import Evaluation

_ROUNDING = 1e-9  # of a mean
Method = Literal["platt", "isotonic"]
DatasetPath = Annotated[
    Path,
    typer.Argument(
        metavar="DATASET",
        parser=path,
        help='A BEIR folder, TREC judgements, or JSON lines such as {"query": "…", "relevant": ["id"]}.',
    ),
]
Queries = Annotated[Path | None, typer.Option(help="The queries of a file of judgements.", parser=path, show_default=False)]
Corpus = Annotated[
    Path | None,
    typer.Option(help="The documents, as JSON lines.", parser=path, show_default="the folder's, or else the collection"),
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
            help="nDCG@k, nDCG(exp)@k, MAP, RR@k, Recall@k or P@k; verdicts are about the first.",
            show_default="nDCG@10, MAP, RR@10, Recall and P",
        ),
    ] = None,
    fail_under: Annotated[
        list[str] | None, typer.Option(metavar="MEASURE=VALUE", help="Exit with 1 if a reranked run has less.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for a report: a page, pictures, TREC runs, figures of every query.", parser=path, show_default=False
        ),
    ] = None,
    data_dir: DataDir = None,
    collection: Collection = None,
    tenant: Tenant = None,
    *,
    every_retrieval: Annotated[
        bool, typer.Option("--every-retrieval", help="Also by vectors, words and both, each alone and reranked.")
    ] = False,
    fail_if_worse: Annotated[bool, typer.Option("--fail-if-worse", help="Exit with 1 if reranking hurts.")] = False,
    no_rerank: NoRerank = False,
    as_json: AsJson = False,
) -> None:
    """Does reranking help on judged data, and by how much? Vectors are kept for the next time."""
    from search.evaluation.datasets import load_dataset
    from search.evaluation.measures import MEASURES, Measure

    if out:  # which draws
        from search.evaluation.report import check_folder, write_report

    with usage():
        floors = [_floor(words) for words in fail_under or ()]
        names = list(dict.fromkeys([*(measure or MEASURES), *(name for name, _ in floors)]))
        for name in names:
            Measure.of(name)  # before anything is loaded
    loaded = load_dataset(dataset, split, queries=queries, corpus=corpus)
    _check_place(loaded, collection, tenant)
    settings = load_settings(data_dir, collection, tenant=tenant)
    compared = settings.model_copy(update={"reranker": NoReranker()}) if no_rerank else settings
    with open_search(settings) as searcher:
        depths = depth or [settings.depth]
        further = [part for part in (depths[0] // 2, depths[0] // 4) if part] if out and len(depths) == 1 else []
        wanted = [*(others or ()), *(_every_retrieval(compared) if every_retrieval else ())]
        with usage():
            chosen = configurations(compared, depths, wanted, further=further)
        if out:
            check_folder(out, ["retrieval", *(one.name for one in chosen)])
        if fail_if_worse and all(one.reranker is None for one in chosen):
            raise WrongUsage("--fail-if-worse needs something that is reranked, and nothing is")
        evaluation = _run(searcher, loaded, chosen, names, keep_hits=out is not None)
    if as_json:
        print_json(evaluation.to_dict())
    else:
        _print(evaluation)
    if out:
        page = write_report(evaluation, out, _probability(chosen))
        (note if as_json else show)(f"report: {page}")
    _judge(evaluation, floors, fail_if_worse=fail_if_worse)


def calibrate(
    dataset: DatasetPath,
    split: Split = None,
    queries: Queries = None,
    corpus: Corpus = None,
    method: Annotated[Method, typer.Option(help="platt: two numbers, for few data; isotonic: any rising curve.")] = "platt",
    folds: Annotated[int, typer.Option(min=2, help="Parts of the queries, each measured by a map fitted to the others.")] = 5,
    data_dir: DataDir = None,
    collection: Collection = None,
    tenant: Tenant = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report, and keep nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give the reranker's score a meaning: the probability of being relevant, by your judgements. Then --min-score can be used."""
    from search.evaluation.calibration import calibrate as fit
    from search.evaluation.datasets import load_dataset
    from search.evaluation.runs import Configuration
    from search.models import locate
    from search.reranking import calibrated

    loaded = load_dataset(dataset, split, queries=queries, corpus=corpus)
    _check_place(loaded, collection, tenant)
    settings = load_settings(data_dir, collection, tenant=tenant)
    chosen = settings.reranker
    with open_search(settings) as searcher:
        reranker = searcher.reranker
        if reranker is None or isinstance(chosen, ChatSettings | NoReranker) or reranker.recipe.compares:
            message = "only a reranker that scores each passage by itself can be calibrated: a cross-encoder, or a causal model"
            raise InvalidQuery(message)
        evaluation = _run(searcher, loaded, [Configuration("reranked", reranker, settings.depth)], ["nDCG@10"])
    answers = evaluation.answers[1]
    failures = (
        f"reranking failed on {counted(len(answers.failures), 'query', 'queries')}: {next(iter(answers.failures.values()), '')}"
    )
    if not answers.scored:
        raise InvalidQuery(failures if answers.failures else "no passage was scored, so there is nothing to learn from")
    calibration = fit(evaluation.judged(answers), method, reranker.recipe.probability, folds=folds)
    judged = f"{counted(calibration.queries, 'query', 'queries')}, {counted(calibration.after.pairs, 'passage')}"
    source = f"{method} on {loaded.name} ({loaded.split}): {judged}"
    notes = [*evaluation.notes, *([failures] if answers.failures else [])]
    if earlier := reranker.recipe.calibrated_on:
        notes.append(f"the map before was fitted too ({earlier}); on the same judgements it looks better than it is")
    useful = calibration.after.skill > 0
    file = calibrated.map_file(chosen.model, locate(chosen.model), settings.data_dir)
    report = {"reranker": reranker.name, "kept_in": None if dry_run or not useful else str(file), "source": source, "notes": notes}
    if as_json:
        print_json(report | calibration.to_dict())
    else:
        _print_calibration(calibration, f"{reranker.name}, {source}", notes)
    if not useful:
        message = "on queries that the map was not fitted to, its probabilities say no more than the base rate; nothing was kept"
        raise InvalidDataset(message)
    if not dry_run:
        calibrated.keep(file, calibration.found | {"calibrated_on": source})
        (note if as_json else show)(f"kept in {file}: --min-score is now the least probability")


def _check_place(dataset: "Dataset", collection: str | None, tenant: str | None) -> None:
    """WrongUsage if the command line names where to search, and the data set has documents of its own."""
    for option, value in (("--collection", collection), ("--tenant", tenant)):
        if dataset.documents and value is not None:
            message = f"{option} {value} would not be searched: {dataset.name} has documents of its own; leave out one of them"
            raise WrongUsage(message)


def _every_retrieval(settings: Settings) -> list[str]:
    """What differs from the settings' own retrieval: the other ways to find candidates, each alone and reranked."""
    ways = [way for way in get_args(Retrieval) if way != settings.retrieval]
    alone = [f"retrieval={way} reranker.kind=none" for way in ways]
    return alone if isinstance(settings.reranker, NoReranker) else [*alone, *(f"retrieval={way}" for way in ways)]


def _probability(chosen: "Sequence[Configuration]") -> "Callable[[float], float | None] | None":
    """What the score of the configuration that a report shows means, if it reranks."""
    reranker = chosen[0].reranker if chosen else None
    return None if reranker is None else reranker.recipe.probability


def _print_calibration(calibration: "Calibration", title: str, notes: Sequence[str]) -> None:
    show(title)
    for name, measured in (("before", calibration.before), ("after", calibration.after)):
        show(f"  {name:6}  {measured or 'no probabilities'}")
    show("  probability   passages   mean   relevant")
    for one in calibration.after.bins:
        show(f"  {one.low:.1f} to {one.high:.1f}   {one.pairs:9,}  {one.probability:.3f}   {one.relevant:.3f}")
    show("after is measured on queries that the map was not fitted to; passages that nobody judged count as not relevant")
    for remark in notes:
        show(f"note: {remark}")


def _run(
    searcher: Searcher, dataset: "Dataset", chosen: "list[Configuration]", names: Sequence[str], *, keep_hits: bool = False
) -> "Evaluation":
    """Measure, on the data set's own corpus or on the collection."""
    from search.evaluation.verdict import evaluate as run
    from search.query.fusion import Mix

    own = dataset.documents
    index = build_corpus_index(searcher.settings, dataset.corpus_hash, searcher.embedder) if own else searcher.index
    with closing(index), ProgressReport("evaluating", "steps") as report:
        return run(
            dataset,
            searcher.embedder,
            index,
            chosen,
            names=names,
            retrieval=searcher.settings.retrieval,
            mix=Mix.of(searcher.settings.lexical),
            lexical=searcher.words.description if own else "",
            words=searcher.words,
            keep_hits=keep_hits,
            on_progress=lambda what, done, total: report.update(done, what, total=total),
        )


def _print(evaluation: "Evaluation") -> None:
    dataset = evaluation.dataset
    asked = counted(len(dataset.queries), "query", "queries")
    show(f"{dataset.name} ({dataset.split}): {asked}, {counted(evaluation.documents, 'document')}")
    width = max(len(answers.name) for answers in evaluation.answers)
    columns = [f"{name:>{max(len(name), 6)}}" for name in evaluation.names]
    show(f"  {'':{width}}  {'  '.join(columns)}   ms a query: median, 95 %")
    for answers in evaluation.answers:
        values = evaluation.means[answers.name].values()
        figures = "  ".join(f"{value:>{len(column)}.4f}" for value, column in zip(values, columns, strict=True))
        milliseconds = evaluation.milliseconds(answers)["total"]
        show(f"  {answers.name:{width}}  {figures}   {milliseconds['p50']:.0f}, {milliseconds['p95']:.0f}")
    for answers in [answers for answers in evaluation.answers[1:] if not answers.extra]:
        show(f"{answers.name}: {evaluation.verdict(answers)}")
        if answers.reranker is None:
            show(f"  order by {answers.ranking}")
            continue
        ceiling = ", ".join(f"{name} {value:.4f}" for name, value in evaluation.ceiling(answers).items())
        show(f"  order by {answers.ranking}; the best order of these candidates would have {ceiling}")
        if answers.passages_cut or answers.queries_cut:
            scored = sum(len(documents) for _, documents in answers.scored.values())
            queries = f", and of {counted(answers.queries_cut, 'query', 'queries')}" if answers.queries_cut else ""
            show(f"  {answers.reranker} did not read the end of {answers.passages_cut:,} of {counted(scored, 'passage')}{queries}")
        if failures := answers.failures:
            failed = counted(len(failures), "query, which stays", "queries, which stay")
            show(f"  reranking failed on {failed} in retrieval order: {next(iter(failures.values()))}")
    for remark in evaluation.notes:
        show(f"note: {remark}")


def _judge(evaluation: "Evaluation", floors: list[tuple[str, float]], *, fail_if_worse: bool) -> None:
    """Exit with 1 where a condition of the command line does not hold."""
    faults = []
    reranked = [answers for answers in evaluation.answers[1:] if answers.reranker is not None and not answers.extra]
    for answers in reranked or evaluation.answers:
        if fail_if_worse and evaluation.gains[answers.name].judgement == "hurts":
            faults.append(f"{answers.name} is worse than retrieval alone")
        if fail_if_worse and answers.failures:
            asked = counted(len(answers.documents), "query", "queries")
            faults.append(f"{answers.name} failed on {len(answers.failures):,} of {asked}")
        reached = evaluation.means[answers.name]
        faults += [
            f"{answers.name} has {name} {reached[name]:.4f}, less than {floor:g}"
            for name, floor in floors
            if reached[name] < floor - _ROUNDING
        ]
    for fault in faults:
        note(f"search: {fault}")
    if faults:
        raise typer.Exit(1)


def _floor(words: str) -> tuple[str, float]:
    name, _, value = words.partition("=")
    try:
        floor = float(value)
    except ValueError:
        floor = math.nan
    if not math.isfinite(floor):
        raise InvalidQuery(f"--fail-under {words!r}: write a measure and a number, such as nDCG@10=0.65")
    return name, floor
