"""Asking: the commands that search a collection, say why, and rank texts."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from search.cli.configurations import changes_of
from search.cli.options import AsJson, Collection, DataDir, Depth, Limit, NoRerank, RetrievalMode, Tenant, load_settings, print_json
from search.context.counting import counter
from search.context.values import Context, Form
from search.errors import InvalidQuery
from search.searcher import open_search
from search.settings import varied
from search.system.terminal import note, show

if TYPE_CHECKING:
    from search.documents import Retrieval, SearchResult
    from search.query.options import GroupBy


FilterJson = Annotated[str | None, typer.Option(help="A Qdrant filter as JSON.", show_default=False)]
MinScore = Annotated[float | None, typer.Option(help="Least probability of being relevant, 0 to 1.", show_default="any")]


def query(
    text: Annotated[str, typer.Argument(help="What to look for.")],
    limit: Limit = None,
    depth: Depth = None,
    filter: FilterJson = None,
    budget_ms: Annotated[float | None, typer.Option(help="Milliseconds; what is not reranked by then says so.")] = None,
    min_score: MinScore = None,
    group_by: Annotated[
        str | None, typer.Option(help='"document" shows of each document its best passage only.', show_default="all passages")
    ] = None,
    retrieval: RetrievalMode = None,
    data_dir: DataDir = None,
    collection: Collection = None,
    tenant: Tenant = None,
    *,
    no_rerank: NoRerank = False,
    as_json: AsJson = False,
) -> None:
    """Search a collection."""
    from search.cli.output import print_result

    with open_search(load_settings(data_dir, collection, tenant=tenant)) as searcher:
        result = searcher.search(
            text,
            limit=limit,
            depth=depth,
            filter=filter,
            budget_ms=budget_ms,
            min_score=min_score,
            rerank=not no_rerank,
            retrieval=cast("Retrieval | None", retrieval),
            group_by=cast("GroupBy | None", group_by),
        )
    if as_json:
        print_json(result.to_dict())
    else:
        print_result(result)


def context(
    text: Annotated[str, typer.Argument(metavar="QUERY", help="What the language model is to answer.")],
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="For all of it, numbers, headings and prompt included.", show_default="2000")
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="The model's tokenizer.json, or its folder.", show_default="characters ÷ 4")
    ] = None,
    form: Annotated[Form, typer.Option(help="messages: for a chat endpoint, with a prompt that asks for citations.")] = "text",
    limit: Annotated[int | None, typer.Option(help="Passages considered.", show_default="depth")] = None,
    depth: Depth = None,
    filter: FilterJson = None,
    min_score: MinScore = None,
    retrieval: RetrievalMode = None,
    data_dir: DataDir = None,
    collection: Collection = None,
    tenant: Tenant = None,
    *,
    no_rerank: NoRerank = False,
    as_json: AsJson = False,
) -> None:
    """Print what a language model needs to answer a question: passages within a budget of tokens, numbered to be cited."""
    settings = load_settings(data_dir, collection, tenant=tenant)
    counts = counter(tokenizer or settings.context.tokenizer)
    with open_search(settings) as searcher:
        result = searcher.search(
            text,
            limit=next(one for one in (limit, depth, settings.depth) if one is not None),
            depth=depth,
            filter=filter,
            min_score=min_score,
            rerank=not no_rerank,
            retrieval=cast("Retrieval | None", retrieval),
        )
    made = result.context(max_tokens=max_tokens or settings.context.max_tokens, tokenizer=counts, form=form)
    if as_json:
        account = {"rerank_status": result.rerank_status, "reason": result.reason, "warnings": result.warnings}
        print_json(made.to_dict() | account)
        return
    if form == "messages":
        print_json({"messages": made.messages})
    else:
        show(*made.text.split("\n"))
    _tell(made, result)


def _tell(made: Context, result: "SearchResult") -> None:
    """Say on stderr what a context has, and what it has not."""
    note(f"{len(made.sources)} sources, {made.tokens:,} of {made.max_tokens:,} tokens ({made.counted_by})")
    for reason, words in (("budget", "for which no room was left"), ("duplicate", "whose text is that of another one")):
        if ranks := [one.rank for one in made.left_out if one.reason == reason]:
            note(f"left out: {len(ranks)} passages {words}, the first of rank {ranks[0]}")
    for shortened in (source for source in made.sources if source.cut):
        note(f"the passage of rank {shortened.ranks[0]} was shortened, since it is longer than the budget by itself")
    if result.rerank_status != "full" and result.hits:
        note(f"note: reranking: {result.rerank_status} ({result.reason})")
    for warning in result.warnings:
        note(f"note: {warning}")


def explain(
    text: Annotated[str | None, typer.Argument(metavar="QUERY", help="What to look for.", show_default=False)] = None,
    depth: Depth = None,
    filter: FilterJson = None,
    save: Annotated[Path | None, typer.Option(help="Write a trace, to be replayed.", show_default=False)] = None,
    replay: Annotated[Path | None, typer.Option(help="Rank a trace's candidates again.", show_default=False)] = None,
    changes: Annotated[str, typer.Option("--with", metavar="SETTINGS", help='Such as "reranker.weight=1 depth=10".')] = "",
    retrieval: RetrievalMode = None,
    data_dir: DataDir = None,
    collection: Collection = None,
    tenant: Tenant = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Where did each stage put every candidate of a query, and why? Or: what would other settings have made of a saved one?"""
    from search.cli.output import print_explanation, print_replay
    from search.query.replay import replay as run
    from search.query.replay import save as write

    if (text is None) == (replay is None):
        raise InvalidQuery("give a query, or --replay and a file that --save wrote")
    wanted = changes_of(changes)
    settings = varied(load_settings(data_dir, collection, tenant=tenant), wanted)
    with open_search(settings) as searcher:
        if text is not None:
            deep = settings.depth if depth is None else depth
            way = cast("Retrieval | None", retrieval)
            result = searcher.search(text, limit=deep, depth=deep, filter=filter, retrieval=way)
            if save:
                write(result, save)
            if as_json:
                print_json(result.to_dict())
            else:
                print_explanation(result)
            return
        reranker = searcher.reranker
        if reranker is None:
            raise InvalidQuery("the settings switch reranking off (SEARCH_RERANKER__KIND=none), so there is nothing to replay with")
        shown = settings.depth if depth is None and "depth" in wanted else depth
        replayed = run(replay or Path(), reranker, shown, searcher.embedder.name)
    if as_json:
        print_json(replayed.to_dict())
    else:
        print_replay(replayed)


def rerank(
    text: Annotated[str, typer.Argument(metavar="QUERY", help="What the texts are judged against.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Rank texts from stdin, one a line, by the reranker's score alone."""
    try:
        lines = re.split("[\r\n]", sys.stdin.buffer.read().decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidQuery(f"standard input is not UTF-8 at byte {error.start + 1}; convert it") from error
    texts = [line for line in lines if line.strip()]
    if not texts:
        raise InvalidQuery("there is nothing to rank; give one text a line on standard input")
    with open_search(load_settings(None, None)) as searcher:
        result = searcher.rerank(text, texts)
    if as_json:
        print_json(result.to_dict())
        return
    for one in result.results:
        show(f"{one.score:8.3f}  {one.text}")
    for warning in result.warnings:
        note(f"note: {warning}")
