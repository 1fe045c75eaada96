"""The command `search`: parsing and printing only. Data goes to stdout, progress and logs to stderr."""

import io
import logging
import shlex
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from search.cli import collections, evaluate, ingest, models, serve
from search.cli.options import CONFIG, AsJson, Collection, DataDir, Depth, Limit, NoRerank, load_settings, print_json
from search.documents import check_query
from search.errors import InvalidQuery, SearchError
from search.factory import build_reranker
from search.searcher import Searcher, open_search
from search.system.terminal import clean_lines, note, show

if TYPE_CHECKING:
    from search.query.service import GroupBy

app = typer.Typer(
    name="search",
    help="Two-stage search: retrieve with Qdrant, rerank with an ONNX cross-encoder.",
    epilog="Every setting can be given as an environment variable such as SEARCH_EMBEDDER__MODEL, in .env or in search.toml, "
    "of the working folder or yours (~/.config/two-stage-search).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def root(
    config: Annotated[
        Path | None,
        typer.Option(help="A file of settings to read instead of search.toml, also SEARCH_CONFIG.", show_default=False),
    ] = None,
    *,
    debug: Annotated[bool, typer.Option(help="Show the traceback of an error; may stand anywhere on the line.")] = False,
) -> None:
    """Two-stage search: retrieve with Qdrant, rerank with an ONNX cross-encoder."""
    CONFIG.set(config)
    if not debug:
        logging.getLogger("search").addHandler(logging.NullHandler())  # results say what failed; no need to say it twice


@app.command()
def demo(data_dir: DataDir = None) -> None:
    """Index the documentation of this Python's standard library and answer ten questions from it."""
    from search.cli.demo import COLLECTION, QUESTIONS, place_of_answer, prepare
    from search.cli.output import TOP, print_question
    from search.cli.progress import ProgressReport

    show("Two-stage search over the documentation of this Python's standard library.", flush=True)
    answered = 0
    with _open(data_dir, COLLECTION) as searcher:
        with ProgressReport("ingesting", "documents", None) as report:
            passages = prepare(searcher, lambda progress: report.update(progress.documents))
        show(f"{passages:,} passages indexed in {searcher.settings.data_dir}", "")
        for number, question in enumerate(QUESTIONS, 1):
            result = searcher.search(question.text, limit=searcher.settings.depth)
            place = place_of_answer(question, result)
            answered += place is not None and place <= TOP
            print_question(number, question, result)
    show(f"{answered} of {len(QUESTIONS)} expected answers in the top {TOP}. Ask your own:")
    where = f" --data-dir {shlex.quote(str(data_dir))}" if data_dir else ""
    show(f'    search query "read a file line by line" --collection {COLLECTION}{where}')


app.command()(ingest.ingest)
app.command()(ingest.update)
app.command()(ingest.delete)


@app.command()
def query(
    text: Annotated[str, typer.Argument(help="What to look for.")],
    limit: Limit = None,
    depth: Depth = None,
    filter: Annotated[str | None, typer.Option(help="A Qdrant filter as JSON.", show_default=False)] = None,
    budget_ms: Annotated[float | None, typer.Option(help="Milliseconds; what is not reranked by then says so.")] = None,
    min_score: Annotated[
        float | None, typer.Option(help="Least probability of being relevant, 0 to 1.", show_default="any")
    ] = None,
    group_by: Annotated[
        str | None, typer.Option(help='"document" shows of each document its best passage only.', show_default="all passages")
    ] = None,
    data_dir: DataDir = None,
    collection: Collection = None,
    *,
    no_rerank: NoRerank = False,
    as_json: AsJson = False,
) -> None:
    """Search a collection."""
    from search.cli.output import print_result

    with _open(data_dir, collection) as searcher:
        result = searcher.search(
            text,
            limit=limit,
            depth=depth,
            filter=filter,
            budget_ms=budget_ms,
            min_score=min_score,
            rerank=not no_rerank,
            group_by=cast("GroupBy | None", group_by),
        )
    if as_json:
        print_json(result.to_dict())
    else:
        print_result(result)


@app.command()
def rerank(
    text: Annotated[str, typer.Argument(metavar="QUERY", help="What the texts are judged against.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Rank texts from stdin, one a line, by the reranker's score alone."""
    from search.query.ranking import best_first, unread_query

    try:
        lines = sys.stdin.buffer.read().decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        message = f"standard input is not UTF-8 at byte {error.start + 1}; convert it"
        raise InvalidQuery(message) from error
    check_query(text)
    texts = [line.rstrip("\r") for line in lines if line.strip()]
    if not texts:
        message = "there is nothing to rank; give one text a line on standard input"
        raise InvalidQuery(message)
    reranker = build_reranker(load_settings(None, None))
    if reranker is None:
        message = "the settings switch reranking off (SEARCH_RERANKER__KIND=none)"
        raise InvalidQuery(message)
    scoring = reranker.score(text, texts)
    rows: list[dict[str, Any]] = [
        {
            "index": i,
            "score": float(scoring.scores[i]),
            "probability": scoring.probability(reranker.recipe, i),
            "tokens_seen": int(scoring.tokens_seen[i]),
            "tokens_total": int(scoring.tokens_total[i]),
            "text": texts[i],
        }
        for i in best_first(scoring.scores)
    ]
    if as_json:
        seen = {"query_tokens_seen": scoring.query_tokens_seen, "query_tokens_total": scoring.query_tokens_total}
        print_json(
            {
                "query": text,
                **seen,
                "reranker": reranker.name,
                "device": reranker.device,
                "verified": reranker.verified,
                "results": rows,
            }
        )
        return
    for row in rows:
        show(f"{row['score']:8.3f}  {row['text']}")
    if scoring.query_tokens_seen < scoring.query_tokens_total:
        note(
            f"note: the reranker read {scoring.query_tokens_seen} of the query's {scoring.query_tokens_total} tokens",
        )
    if cut := sum(row["tokens_seen"] < row["tokens_total"] for row in rows):
        note(f"note: {cut} of {len(rows)} texts were longer than the model's window")
    if scoring.query_unread:
        note(f"note: {unread_query(reranker.name)}")


for command in (
    *(evaluate.evaluate, evaluate.explain, evaluate.calibrate),
    *(collections.reindex, collections.push),
    *(serve.serve, serve.health, serve.key, serve.mcp),
    *(models.export, models.models, models.doctor),
):
    app.command()(command)
app.add_typer(collections.collections)


def main() -> None:
    """Run the command; one line for an error of ours, the traceback only with --debug."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a character that a terminal cannot show is no reason to stop
    sys.excepthook = _print_fault
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        status = app(["--debug", *arguments] if debug else arguments, standalone_mode=False)
    except typer.Abort:
        note("search: given up")
        status = 1
    except SearchError as error:
        if debug:
            note(*traceback.format_exc().splitlines())
        else:
            note(f"search: {error}")
        status = 1
    except Exception as error:
        if not isinstance(getattr(error, "exit_code", None), int):  # of wrong usage, whose class typer does not export
            raise
        status = _wrong_usage(error)
    sys.exit(status if isinstance(status, int) else 0)


def _wrong_usage(error: Any) -> int:
    """Say what is wrong with the command line, which may have names of files from anywhere; the exit status."""
    from typer.rich_utils import rich_format_error

    message = clean_lines(error.format_message())
    error.format_message = lambda: message
    rich_format_error(error)
    return int(error.exit_code)


def _print_fault(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A fault of ours, with its traceback."""
    note(*"".join(traceback.format_exception(kind, error, trace)).splitlines())


def _open(data_dir: Path | None, collection: str | None) -> Searcher:
    return open_search(load_settings(data_dir, collection))
