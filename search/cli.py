"""The command `search`: parsing and printing only. Data goes to stdout, progress and logs to stderr."""

import io
import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from search import measuring, operating
from search.assembly import Searcher, build_reranker, open_search
from search.documents import Rejection, check_query
from search.errors import IndexFailure, InvalidQuery, SearchError
from search.options import AsJson, Collection, DataDir, Depth, Limit, NoRerank, load_settings, print_json
from search.settings import Settings

app = typer.Typer(
    name="search",
    help="Two-stage search: retrieve with Qdrant, rerank with an ONNX cross-encoder.",
    epilog="Every setting can be given as an environment variable such as SEARCH_EMBEDDER__MODEL, in .env or in search.toml.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def root(
    *,
    debug: Annotated[bool, typer.Option(help="Show the traceback of an error; may stand anywhere on the line.")] = False,
) -> None:
    """Two-stage search: retrieve with Qdrant, rerank with an ONNX cross-encoder."""
    if not debug:
        logging.getLogger("search").addHandler(logging.NullHandler())  # results say what failed; no need to say it twice


@app.command()
def demo(data_dir: DataDir = None) -> None:
    """Index the documentation of this Python's standard library and answer ten questions from it."""
    from search.demo import COLLECTION, QUESTIONS, place_of_answer, prepare
    from search.printing import TOP, print_question
    from search.progress import ProgressReport

    print("Two-stage search over the documentation of this Python's standard library.", flush=True)
    answered = 0
    with _open(data_dir, COLLECTION) as searcher:
        with ProgressReport("ingesting", "documents", None) as report:
            passages = prepare(searcher, lambda progress: report.update(progress.documents))
        print(f"{passages:,} passages indexed in {searcher.settings.data_dir}\n")
        for number, question in enumerate(QUESTIONS, 1):
            result = searcher.search(question.text, limit=searcher.settings.depth)
            place = place_of_answer(question, result)
            answered += place is not None and place <= TOP
            print_question(number, question, result)
    print(f"{answered} of {len(QUESTIONS)} expected answers in the top {TOP}. Ask your own:")
    print(f'    search query "read a file line by line" --collection {COLLECTION}{f" --data-dir {data_dir}" if data_dir else ""}')


@app.command()
def ingest(
    paths: Annotated[list[str], typer.Argument(metavar="PATH…", help="JSON lines, .txt or .md files, folders, or - for stdin.")],
    data_dir: DataDir = None,
    collection: Collection = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Add documents to a collection; changed ones are replaced, unchanged ones left alone. Safe to run again."""
    from search.progress import ProgressReport
    from search.reading import count, left_out, read

    counts = [count(path) for path in paths]
    total = None if None in counts else sum(number or 0 for number in counts)
    documents = (document for path in paths for document in read(path))

    for path in paths:
        if path != "-" and (others := left_out(path)):
            print(f"left out {len(others):,} files of other kinds in {path}, such as {others[0]}", file=sys.stderr)

    def warn(rejection: Rejection) -> None:
        print(f"rejected {rejection}", file=sys.stderr)

    def wait(failure: IndexFailure, seconds: float) -> None:
        print(f"{failure}; trying again in {seconds:.1f} s", file=sys.stderr)

    with _open(data_dir, collection) as searcher, ProgressReport("ingesting", "documents", total) as report:
        done = searcher.ingest(
            documents,
            on_progress=lambda progress: report.update(
                progress.documents, f"{progress.rejected:,} rejected" if progress.rejected else ""
            ),
            on_rejection=warn,
            on_wait=wait,
        )
    if as_json:
        print_json(done.to_dict())
    else:
        print(
            f"{done.added:,} added, {done.changed:,} changed, {done.unchanged:,} unchanged, {done.rejected:,} rejected; "
            f"{done.chunks:,} passages written in {done.seconds:.1f} s"
        )
        if done.unknown:
            print(f"{done.unknown:,} documents are largely unknown to the embedder; another model may suit their language")
    if done.rejected and not done.added + done.changed + done.unchanged:
        raise typer.Exit(1)


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
    data_dir: DataDir = None,
    collection: Collection = None,
    *,
    no_rerank: NoRerank = False,
    as_json: AsJson = False,
) -> None:
    """Search a collection."""
    from search.printing import print_result

    with _open(data_dir, collection) as searcher:
        result = searcher.search(
            text, limit=limit, depth=depth, filter=filter, budget_ms=budget_ms, min_score=min_score, rerank=not no_rerank
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
    from search.ranking import best_first

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
    reranker = build_reranker(Settings())
    if reranker is None:
        message = "the settings switch reranking off (SEARCH_RERANKER__KIND=none)"
        raise InvalidQuery(message)
    scoring = reranker.score(text, texts)
    rows: list[dict[str, Any]] = [
        {
            "index": i,
            "score": float(scoring.scores[i]),
            "probability": reranker.recipe.probability(float(scoring.scores[i])),
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
        print(f"{row['score']:8.3f}  {row['text']}")
    if scoring.query_tokens_seen < scoring.query_tokens_total:
        print(
            f"note: the reranker read {scoring.query_tokens_seen} of the query's {scoring.query_tokens_total} tokens",
            file=sys.stderr,
        )
    if cut := sum(row["tokens_seen"] < row["tokens_total"] for row in rows):
        print(f"note: {cut} of {len(rows)} texts were longer than the model's window", file=sys.stderr)


for command in (measuring.evaluate, measuring.explain, measuring.calibrate, operating.export, operating.models, operating.doctor):
    app.command()(command)


def main() -> None:
    """Run the command; one line for an error of ours, the traceback only with --debug."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a character that a terminal cannot show is no reason to stop
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(["--debug", *arguments] if debug else arguments)
    except SearchError as error:
        if debug:
            raise
        print(f"search: {error}", file=sys.stderr)
        sys.exit(1)


def _open(data_dir: Path | None, collection: str | None) -> Searcher:
    return open_search(load_settings(data_dir, collection))
