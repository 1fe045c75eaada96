"""Asking: the commands that search a collection, say why, and rank texts."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.cli.configurations import changes_of
from search.cli.options import (
    DEFAULTS,
    AsJson,
    Collection,
    DataDir,
    Depth,
    Limit,
    NoRerank,
    RetrievalMode,
    Tenant,
    WrongUsage,
    by_settings,
    content_of,
    load_settings,
    note_differing,
    print_json,
    print_report,
    text_of,
    usage,
)
from search.cli.paths import path
from search.context.counting import counter
from search.context.values import Context, Form
from search.documents import check_query, counted
from search.errors import InvalidQuery
from search.query.options import GroupBy, SearchOptions
from search.searcher import open_search
from search.settings import NoReranker, Settings, varied
from search.system.files import check_writable, writing
from search.system.terminal import note, show

if TYPE_CHECKING:
    from search.documents import SearchResult


FilterJson = Annotated[str | None, typer.Option(help="A Qdrant filter as JSON.", show_default=False)]
_LINE_END = re.compile(r"\r\n|[\r\n]")  # of events; texts in them may hold other ones
MinScore = Annotated[float | None, typer.Option(help="Least probability of being relevant, 0 to 1.", show_default="any")]
LexicalShare = Annotated[
    float | None,
    typer.Option(help="Of the words in retrieval order, 0 to 1.", show_default="the settings'"),
]
BudgetMs = Annotated[
    float | None,
    typer.Option(help="Milliseconds; what is not reranked by then says so.", show_default=by_settings("none")),
]
OfEach = Annotated[
    GroupBy | None,
    typer.Option("--group-by", help='"document" shows of each document its best passage only.', show_default="all passages"),
]


def query(
    text: Annotated[str, typer.Argument(help="What to look for.")],
    limit: Limit = None,
    depth: Depth = None,
    filter: FilterJson = None,
    budget_ms: BudgetMs = None,
    min_score: MinScore = None,
    group_by: OfEach = None,
    retrieval: RetrievalMode = None,
    lexical_share: LexicalShare = None,
    data_dir: DataDir = None,
    collection: Collection = None,
    tenant: Tenant = None,
    *,
    no_rerank: NoRerank = False,
    as_json: AsJson = False,
) -> None:
    """Search a collection."""
    from search.cli.output import print_result

    settings = load_settings(data_dir, collection, tenant=tenant)
    asked = _asked(
        settings,
        text,
        limit=limit,
        depth=depth,
        filter=filter,
        budget_ms=budget_ms,
        min_score=min_score,
        rerank=not no_rerank,
        retrieval=retrieval,
        lexical_share=lexical_share,
        group_by=group_by,
    )
    with open_search(settings) as searcher:
        result = searcher.search(text, **asked)
        note_differing(searcher)
    print_report(result, print_result, as_json=as_json)


def context(
    text: Annotated[str, typer.Argument(metavar="QUERY", help="What the language model is to answer.")],
    max_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="For all of it, numbers, headings and prompt included.",
            show_default=by_settings(DEFAULTS.context.max_tokens),
        ),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="The model's tokenizer.json, or its folder.", parser=path, show_default=by_settings("characters ÷ 4")),
    ] = None,
    form: Annotated[Form, typer.Option(help="messages: for a chat endpoint, with a prompt that asks for citations.")] = "text",
    model: Annotated[
        str | None, typer.Option(help="Who answers: stands beside the messages, as endpoints ask for.", show_default=False)
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(help="Write it as JSON, too, for search citations.", metavar="FILE", parser=path, show_default=False),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Passages considered.", show_default="depth")] = None,
    depth: Depth = None,
    filter: FilterJson = None,
    budget_ms: BudgetMs = None,
    min_score: MinScore = None,
    group_by: OfEach = None,
    retrieval: RetrievalMode = None,
    lexical_share: LexicalShare = None,
    data_dir: DataDir = None,
    collection: Collection = None,
    tenant: Tenant = None,
    *,
    no_rerank: NoRerank = False,
    as_json: AsJson = False,
) -> None:
    """Print what a language model needs to answer a question: passages within a budget of tokens, numbered to be cited."""
    if model is not None and form != "messages":
        raise WrongUsage("--model names who is sent messages; add --form messages")
    if save:
        with writing("the context", save):
            check_writable(save)
    settings = load_settings(data_dir, collection, tenant=tenant)
    asked = _asked(
        settings,
        text,
        limit=(depth or settings.depth) if limit is None else limit,
        depth=depth,
        filter=filter,
        budget_ms=budget_ms,
        min_score=min_score,
        rerank=not no_rerank,
        retrieval=retrieval,
        lexical_share=lexical_share,
        group_by=group_by,
    )
    counts = counter(tokenizer or settings.context.tokenizer)
    with open_search(settings) as searcher:
        result = searcher.search(text, **asked)
        note_differing(searcher)
    options = settings.context
    made = result.context(max_tokens=max_tokens or options.max_tokens, tokenizer=counts, form=form, metadata=options.metadata)
    if save:
        with writing("the context", save):
            save.write_text(json.dumps(made.to_dict()) + "\n", encoding="utf-8")
    named = {} if model is None else {"model": model}
    if as_json:
        names = ("rerank_status", "reason", "warnings", "empty_because")
        account = {name: getattr(result, name) for name in names}
        print_json(named | made.to_dict() | account)
        return
    if form == "messages":
        print_json({**named, "messages": made.messages})
    else:
        show(*made.text.split("\n"))
    _tell(made, result)


def _asked(settings: Settings, query: str, **options: Any) -> dict[str, Any]:
    """The options of a search; WrongUsage if they or the query are none, whatever is searched."""
    from search.index.filters import to_plain

    with usage():
        check_query(query)
        SearchOptions(**options).by(settings)
        if options["filter"] is not None:
            to_plain(options["filter"], own=False)  # what another program's fields hold is not known yet
    return options


def _tell(made: Context, result: "SearchResult") -> None:
    """Say on stderr what a context has, and what it has not."""
    from search.cli.output import why_empty

    if not result.hits:
        note(why_empty(result))
    note(f"{counted(len(made.sources), 'source')}, {made.tokens:,} of {made.max_tokens:,} tokens ({made.counted_by})")
    for reason, words in (("budget", "for which no room was left"), ("duplicate", "whose text is that of another one")):
        if ranks := [one.rank for one in made.left_out if one.reason == reason]:
            note(f"left out: {counted(len(ranks), 'passage')} {words}, the first of rank {ranks[0]}")
    for shortened in (source for source in made.sources if source.cut):
        note(f"the passage of rank {shortened.ranks[0]} was shortened, since it is longer than the budget by itself")
    if result.rerank_status != "full" and result.hits:
        note(f"note: reranking: {result.rerank_status} ({result.reason})")
    for warning in result.warnings:
        note(f"note: {warning}")


def citations(
    context: Annotated[
        Path, typer.Argument(metavar="CONTEXT.json", help="What search context --json or --save wrote.", parser=path)
    ],
    answer: Annotated[
        Path | None,
        typer.Argument(
            metavar="[ANSWER]",
            help="A file of the answer, or of a chat endpoint's reply with it.",
            parser=path,
            show_default="standard input",
        ),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Lead the numbers in brackets of an answer back to the sources of the context it was made from, and name those without one."""
    from search.context.citing import citations as found_in

    given = content_of(context)
    try:
        saved = json.loads(given)
    except (ValueError, RecursionError) as error:
        raise InvalidQuery(f"{context} is no JSON: {error}; give what search context --save or --json wrote") from error
    try:
        made = Context.from_dict(saved)
    except InvalidQuery as error:
        raise InvalidQuery(f"{context}: {error}") from error
    said = _said(text_of(answer))
    cited = found_in(said, made)
    if as_json:
        print_json({"answer": said, **cited.to_dict()})
        return
    for source in cited.sources:
        pages = "" if source.page is None else f", page {source.page}"
        title = f" · {source.title}" if source.title else ""
        show(f"[{source.number}] {source.document_id}, characters {source.start} to {source.end}{pages}{title}")
    for one in cited.unresolved:
        note(f"cites nothing: {said[one.start : one.end]} at characters {one.start} to {one.end}")
    nothing = f"; {counted(len(cited.unresolved), 'leads', 'lead')} to none" if cited.unresolved else ""
    sources = f"{len(cited.sources)} of {counted(len(made.sources), 'source')} {'is' if len(cited.sources) == 1 else 'are'}"
    note(f"{sources} cited, by {counted(len(cited.resolved), 'number')}{nothing}")


def _said(answer: str) -> str:
    """What a chat endpoint's reply says, also in parts or streamed; any other text is the answer itself.

    Raises:
        InvalidQuery: the reply is an error, or has no text.
    """
    replies = _replies(answer)
    if not replies:
        return answer
    if fault := next(filter(None, (one.get("error") for one in replies)), None):
        words = str(fault.get("message", fault) if isinstance(fault, dict) else fault)
        raise InvalidQuery(f"the endpoint's reply is an error: {' '.join(words.split())[:200]}; ask it again")
    if text := "".join(map(_text_of, replies)):
        return text
    raise InvalidQuery("the endpoint's reply has no text; ask it again")


def _replies(answer: str) -> list[dict[str, Any]]:
    """The objects that an endpoint sent, of a streamed reply one for each event; none if this is no such reply."""
    lines = [line for line in _LINE_END.split(answer) if line.strip() and not line.startswith((":", "event:", "id:", "retry:"))]
    events = [line.removeprefix("data:").strip() for line in lines if line.startswith("data:")]
    try:
        sent = (
            [json.loads(one) for one in events if one != "[DONE]"] if lines and len(events) == len(lines) else [json.loads(answer)]
        )
    except (ValueError, RecursionError):
        return []
    return sent if all(isinstance(one, dict) and (one.get("error") or "choices" in one) for one in sent) else []


def _text_of(reply: dict[str, Any]) -> str:
    """The text of the first choice, "" if it has none."""
    try:
        choice = reply["choices"][0]
        said = next((choice[name] for name in ("message", "delta") if name in choice), None)
        content = choice["text"] if said is None else said.get("content")
        parts = [{"text": content}] if isinstance(content, str) else content
        return "".join(part["text"] for part in parts if part.get("type", "text") == "text")
    except (LookupError, TypeError, AttributeError):
        return ""


def explain(
    text: Annotated[str | None, typer.Argument(metavar="QUERY", help="What to look for.", show_default=False)] = None,
    depth: Annotated[
        int | None, typer.Option(help="Candidates retrieved and reranked.", show_default=by_settings(DEFAULTS.depth))
    ] = None,
    filter: FilterJson = None,
    save: Annotated[Path | None, typer.Option(help="Write a trace, to be replayed.", parser=path, show_default=False)] = None,
    replay: Annotated[Path | None, typer.Option(help="Rank a trace's candidates again.", parser=path, show_default=False)] = None,
    changes: Annotated[str, typer.Option("--with", metavar="SETTINGS", help='Such as "reranker.weight=1 depth=10".')] = "",
    retrieval: RetrievalMode = None,
    lexical_share: LexicalShare = None,
    data_dir: DataDir = None,
    collection: Collection = None,
    tenant: Tenant = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Where did each stage put every candidate of a query, and why? Or: what would other settings have made of a saved one?"""
    from search.cli.output import print_explanation
    from search.query.replay import check
    from search.query.replay import save as write

    if (text is None) == (replay is None):
        raise WrongUsage("give a query, or --replay and a file that --save wrote")
    with usage():
        wanted = changes_of(changes)
    for name, value in {"depth": depth, "retrieval": retrieval}.items():
        if value is not None and name in wanted:
            raise WrongUsage(f"--{name} and --with {name}=… are one setting; leave out one of them")
    if replay is not None:
        of_search = {"filter": filter, "retrieval": retrieval, "lexical_share": lexical_share}
        _check_replay(wanted, **of_search, save=save, data_dir=data_dir, tenant=tenant)
        _replay(replay, load_settings(None, collection), wanted, depth, as_json=as_json)
        return
    if save:
        check(save)
    settings = load_settings(data_dir, collection, tenant=tenant)
    with usage():
        settings = varied(settings, wanted)
    deep = settings.depth if depth is None else depth
    query = text or ""
    asked = _asked(settings, query, limit=deep, depth=deep, filter=filter, retrieval=retrieval, lexical_share=lexical_share)
    with open_search(settings) as searcher:
        result = searcher.search(query, **asked)
    if save:
        write(result, save)
    print_report(result, print_explanation, as_json=as_json)


def _check_replay(wanted: Mapping[str, str], **of_search: object) -> None:
    """Refuse what says nothing of candidates that are there."""
    options = {f"--{name.replace('_', '-')}": value for name, value in of_search.items()}
    for option, value in {**options, "--with retrieval": wanted.get("retrieval")}.items():
        if value is not None:
            raise WrongUsage(f"{option} changes nothing of what --replay ranks again; leave out one of them")


def _replay(file: Path, settings: Settings, wanted: Mapping[str, str], depth: int | None, *, as_json: bool) -> None:
    """Rank the candidates of a trace again, with what --with changes; of a collection, only the name of the embedder counts."""
    from search.cli.output import print_replay
    from search.query.replay import replay

    with usage():
        settings = varied(settings, wanted)
        deep = settings.depth if depth is None and "depth" in wanted else depth
        SearchOptions(limit=1, depth=deep)
    if isinstance(settings.reranker, NoReranker):
        if "reranker.kind" in wanted:
            raise WrongUsage("--with reranker.kind=none leaves nothing to replay with; leave it out, or name another kind")
        message = "reranker.kind is none in the settings, which leaves nothing to replay with; name one by --with reranker.kind=…"
        raise InvalidQuery(message)
    with open_search(settings) as searcher:
        assert searcher.reranker is not None  # noqa: S101  # as the settings name one
        replayed = replay(file, searcher.reranker, deep, searcher.embedder.name)
    print_report(replayed, print_replay, as_json=as_json)


def rerank(
    text: Annotated[str, typer.Argument(metavar="QUERY", help="What the texts are judged against.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Rank texts from stdin, one a line, by the reranker's score alone."""
    lines = re.split("[\r\n]", text_of(None))
    texts = [line for line in lines if line.strip()]
    if not texts:
        raise InvalidQuery("there is nothing to rank; give one text a line on standard input")
    with usage():
        check_query(text)
    with open_search(load_settings(None, None)) as searcher:
        result = searcher.rerank(text, texts)
    if as_json:
        print_json(result.to_dict())
        return
    for one in result.results:
        show(f"{one.score:8.3f}  {one.text}")
    for warning in result.warnings:
        note(f"note: {warning}")
