"""Asking: the commands that search a collection, say why, and rank texts."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from search.cli.configurations import changes_of
from search.cli.options import AsJson, Collection, DataDir, Depth, Limit, NoRerank, load_settings, print_json
from search.documents import check_query
from search.errors import InvalidQuery
from search.factory import build_reranker
from search.searcher import open_search
from search.settings import varied
from search.system.terminal import note, show

if TYPE_CHECKING:
    from search.query.service import GroupBy


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

    with open_search(load_settings(data_dir, collection)) as searcher:
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


def explain(
    text: Annotated[str | None, typer.Argument(metavar="QUERY", help="What to look for.", show_default=False)] = None,
    depth: Depth = None,
    filter: Annotated[str | None, typer.Option(help="A Qdrant filter as JSON.", show_default=False)] = None,
    save: Annotated[Path | None, typer.Option(help="Write a trace, to be replayed.", show_default=False)] = None,
    replay: Annotated[Path | None, typer.Option(help="Rank a trace's candidates again.", show_default=False)] = None,
    changes: Annotated[str, typer.Option("--with", metavar="SETTINGS", help='Such as "reranker.weight=1 depth=10".')] = "",
    data_dir: DataDir = None,
    collection: Collection = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Where did each stage put every candidate of a query, and why? Or: what would other settings have made of a saved one?"""
    from search.cli.output import print_explanation, print_replay
    from search.query.replay import replay as run
    from search.query.replay import save as write

    if (text is None) == (replay is None):
        message = "give a query, or --replay and a file that --save wrote"
        raise InvalidQuery(message)
    wanted = changes_of(changes)
    settings = varied(load_settings(data_dir, collection), wanted)
    with open_search(settings) as searcher:
        if text is not None:
            deep = settings.depth if depth is None else depth
            result = searcher.search(text, limit=deep, depth=deep, filter=filter)
            if save:
                write(result, save)
            if as_json:
                print_json(result.to_dict())
            else:
                print_explanation(result)
            return
        reranker = searcher.reranker
        if reranker is None:
            message = "the settings switch reranking off (SEARCH_RERANKER__KIND=none), so there is nothing to replay with"
            raise InvalidQuery(message)
        shown = settings.depth if depth is None and "depth" in wanted else depth
        found = run(replay or Path(), reranker, shown, searcher.embedder.name)
    if as_json:
        print_json(found.to_dict())
    else:
        print_replay(found)


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
