"""Collections: the commands that list, switch, drop, snapshot, reindex and push them."""

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.cli.options import (
    AsJson,
    Collection,
    DataDir,
    Split,
    Tenant,
    WrongUsage,
    confirm,
    load_settings,
    note_damage,
    note_removed_repeats,
    note_repeated,
    note_wait,
    print_json,
    print_report,
    text_of,
    usage,
)
from search.cli.output import note_rejections
from search.cli.paths import path
from search.cli.progress import ProgressReport, graph_of
from search.documents import counted, listed
from search.errors import IndexCorrupt, IndexFull, IndexHindered, InvalidQuery, InvalidSettings
from search.factory import build_collections, build_words
from search.searcher import Searcher, open_search
from search.settings import EdgeSettings, MemorySettings, PayloadType, checked_collection
from search.system.terminal import note, show

if TYPE_CHECKING:
    from search.ingestion.adopting import Adoption
    from search.ingestion.judging import Judged
    from search.ingestion.pushing import Push
    from search.ingestion.reindexing import ReindexReport
    from search.ingestion.report import IngestReport, Progress

_MIN_OVERLAP = 0.5
Name = Annotated[str, typer.Argument(help="A collection, or an alias of one.")]
Unaliased = Annotated[str, typer.Argument(help="A collection that no alias leads to; an alias itself is refused.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

collections = typer.Typer(
    name="collections",
    help="List, describe, rename by alias, copy and drop collections.",
    no_args_is_help=True,
)


@collections.command("list")
def list_(data_dir: DataDir = None, *, as_json: AsJson = False) -> None:
    """List collections and the aliases that lead to them."""
    with closing(build_collections(load_settings(data_dir, None))) as engine:
        names, aliases = engine.names(), engine.aliases()
    rows = [{"name": name, "aliases": [alias for alias, target in aliases.items() if target == name]} for name in names]
    if as_json:
        print_json({"location": engine.location, "collections": rows})
        return
    for row in rows:
        show(f"{row['name']:40} {', '.join(row['aliases'])}")
    if not rows:
        show(f"there are no collections in {engine.location}")


@collections.command()
def info(name: Name, data_dir: DataDir = None, *, as_json: AsJson = False) -> None:
    """Describe a collection: passages, embedder, storage."""
    with closing(build_collections(load_settings(data_dir, None))) as engine:
        description = engine.info(name)
        previous = {alias: engine.previous(alias) for alias in description.aliases}
    fields: dict[str, Any] = {
        "name": description.name,
        "location": description.location,
        **description.described(),
        "previous": {alias: name for alias, name in previous.items() if name},
        **description.details,
    }
    if as_json:
        print_json(fields)
        return
    for key, value in fields.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else json.dumps(value) if isinstance(value, dict) else value
        show(f"{key:16} {'-' if shown in ('', None, '{}') else shown}")


@collections.command()
def alias(
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="The name that leads there.")],
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The collection.", show_default=False)] = None,
    data_dir: DataDir = None,
    *,
    remove: Annotated[bool, typer.Option("--remove", help="Forget the alias; the collection stays.")] = False,
) -> None:
    """Lead an alias to a collection, or to where another alias leads now, in one step, or forget it."""
    if (name is None) != remove:
        raise WrongUsage("name the collection that the alias leads to, or --remove it")
    with usage():
        if name is not None:
            checked_collection(alias)
    with closing(build_collections(load_settings(data_dir, None))) as engine:
        if name is None:
            engine.unalias(alias)
        else:
            from search.ingestion.reindexing import lead

            name = lead(engine, alias, name)
    show(f"{alias} {f'leads to {name}' if name else 'is forgotten'}")


@collections.command()
def drop(name: Unaliased, data_dir: DataDir = None, *, yes: Yes = False) -> None:
    """Remove a collection for good, unless an alias leads to it."""
    with closing(build_collections(load_settings(data_dir, None))) as engine:
        try:
            points = counted(engine.info(name, exact=True).points, "passage")
        except (IndexCorrupt, IndexFull, IndexHindered):  # a disk may be full, and this makes room
            points = "passages that cannot be counted"
        if not yes:
            confirm(f"Remove {name} with {points} from {engine.location} for good?")
        engine.drop(name)
    show(f"{name} is removed, {points}")


@collections.command()
def index(
    name: Name,
    field: Annotated[str, typer.Argument(help="That filters ask about, such as metadata.year.")],
    kind: Annotated[PayloadType, typer.Argument(metavar="TYPE", help="keyword, integer, float or bool.")],
    data_dir: DataDir = None,
) -> None:
    """Index a field for filters, in place. A server in strict mode filters by indexed fields only; elsewhere it is for speed."""
    from search.index.collections import checked_index

    with usage():
        checked_index(field, kind)
    with closing(build_collections(load_settings(data_dir, None))) as engine:
        engine.index_field(name, field, kind)
    show(f"{field} is indexed as {kind} in {name}; write it under [storage.payload_indexes], too, so that a new collection has it")


@collections.command()
def snapshot(
    name: Name,
    to: Annotated[
        Path | None,
        typer.Option(
            parser=path,
            metavar="FOLDER",
            help="Where to; it is made. From a server, every shard is fetched from a node that holds it whole.",
            show_default="snapshots/ of the data folder; a server keeps its own",
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Copy a collection as it is now; print where the copy is."""
    from search.index.manifests import read_manifest

    with closing(build_collections(load_settings(data_dir, None))) as engine:
        show(engine.snapshot(name, to))
    if to is not None and read_manifest(to).details.get("written_meanwhile"):
        note(
            f"{name} was written to meanwhile; each part of the copy is as it was at its turn, and may hold documents that were "
            "changed both as they were and as they are, or a part of them: ingest again after restoring it, or take another copy"
        )


@collections.command()
def restore(
    folder: Annotated[Path, typer.Argument(parser=path, metavar="FOLDER", help="That search collections snapshot made.")],
    name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="The collection that becomes of it.", show_default="as it was called")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Make a collection of a snapshot: whole, or not at all. Nothing that is there is overwritten."""
    with usage():
        if name is not None:
            checked_collection(name)
    with closing(build_collections(load_settings(data_dir, None))) as engine:
        done = engine.restore(folder, name)
        leading = [alias for alias, target in engine.aliases().items() if target == done.name]
    show(f"{done.name} is restored, {counted(done.points, 'passage')}" + (f"; {', '.join(leading)} leads there" if leading else ""))


def reindex(
    queries: Annotated[
        Path | None,
        typer.Option(
            parser=path,
            help="Ask these of both collections, one a line; or those of --judged, as search evaluate reads them.",
            show_default="beginnings of documents",
        ),
    ] = None,
    judged: Annotated[
        Path | None,
        typer.Option(parser=path, help="Decide by nDCG@10 on judgements, as search evaluate reads them.", show_default=False),
    ] = None,
    split: Split = None,
    min_overlap: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="The least share of the first ten documents that both find.", show_default=str(_MIN_OVERLAP)
        ),
    ] = None,
    data_dir: DataDir = None,
    collection: Collection = None,
    *,
    no_check: Annotated[bool, typer.Option("--no-check", help="Do not compare the new collection with the live one.")] = False,
    drop_unowned: Annotated[
        bool, typer.Option("--drop-unowned", help="Leave out what names no tenant, where several customers share the collection.")
    ] = False,
    anew: Annotated[bool, typer.Option("--anew", help="Fill a new collection though nothing differs from the settings.")] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="Lead the name back to the collection before.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a collection to the embedder, chunking, words and storage of the settings, while it is searched. Safe to run again.

    A new collection is filled beside the live one, compared with it, and then the name is led to it in one step. The old one stays.
    Where nothing but words is missing, a server (Qdrant 1.19 or newer) adds them to the live one, unless there is something to ask.
    Where nothing differs from the settings and nothing is damaged, nothing is copied, unless --queries or --judged ask for a
    comparison; payload indexes that are missing are made in place.
    """
    apart = {"no_check": no_check, "judged": judged, "split": split, "queries": queries, "min_overlap": min_overlap}
    _check_together(rollback=rollback, **apart, drop_unowned=drop_unowned, anew=anew)
    if split is not None and judged is None:
        raise WrongUsage("--split chooses among the judgements of a folder; name it with --judged")
    settings = load_settings(data_dir, collection)
    with open_search(settings) as searcher:
        if rollback:
            _rolled_back(searcher, as_json=as_json)
            return
        with ProgressReport("reindexing", "documents") as report:
            done = searcher.reindex(
                check=not no_check,
                queries=_lines(queries) if queries and not judged else [],
                judged=_judged(judged, split, queries) if judged else None,
                min_overlap=_MIN_OVERLAP if min_overlap is None else min_overlap,
                drop_unowned=drop_unowned,
                only_if_needed=not anew,
                on_progress=lambda progress: _show_reindexing(report, progress),
                on_wait=note_wait,
            )
    _note_left_out(done)
    print_report(done, lambda done: _show_reindexed(settings.collection, done), as_json=as_json)
    if not done.switched and done.check:
        anyway = "lower --min-overlap and run it again" if judged is None else "run it again with --no-check instead of --judged"
        note(f"search: {settings.collection} stays with {done.live}: {done.check.because}; look into it, or {anyway}")
        raise typer.Exit(1)


def _check_together(**options: Any) -> None:
    """Refuse options of a reindexing that say nothing beside others: going back fills nothing, judgements decide alone."""
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None and value is not False]
    checking = {"--judged", "--split", "--queries", "--min-overlap"}
    for one, others in {"--rollback": {*given}, "--no-check": checking, "--judged": {"--min-overlap"}}.items():
        if one in given and (other := next((name for name in given if name in others - {one}), None)):
            raise WrongUsage(f"{one} and {other} do not go together; leave out one of them")


def _show_reindexing(report: ProgressReport, progress: "Progress") -> None:
    if progress.building:
        report.stage(graph_of(progress.building))
    else:
        report.update(progress.documents, counted(progress.chunks, "passage"))


def _rolled_back(searcher: Searcher, *, as_json: bool) -> None:
    left, now = searcher.roll_back()
    if as_json:
        print_json({"left": left, "live": now})
    else:
        show(f"{searcher.settings.collection} leads to {now} again, no longer to {left}; set the settings back, too")


def _note_left_out(done: "ReindexReport") -> None:
    """Say what stays in the collection before, and which judgements did not count."""
    one, several = f"stays in {done.live}", f"stay in {done.live}"
    note_damage(done.damaged, done.foreign, one, several)
    note_repeated(done.repeated, one, several)
    if done.unowned:
        note(counted(done.unowned, f"passage that names no tenant {one}", f"passages that name no tenant {several}"))
    for remark in done.check.notes if done.check else ():
        note(f"note: {remark}")


def _show_reindexed(name: str, done: "ReindexReport") -> None:
    if done.as_is:
        show(f"{done.live} is as the settings want it, so nothing was copied; --anew fills a new collection all the same")
        return
    if done.worded is not None:
        given = counted(done.worded, "passage was given words where it is", "passages were given words where they are")
        show(f"{done.live}: {given}; nothing was copied, or embedded again")
        return
    embedded = f"{counted(done.ingest.chunks - done.ingest.reused, 'passage')} embedded"
    if done.copied:
        show(f"{done.new}: {counted(done.copied, 'passage')} copied without being embedded again, {embedded}")
    else:
        show(f"{done.new}: {embedded}, {counted(done.ingest.unchanged, 'document was', 'documents were')} there already")
    if done.check:
        ndcg = f", nDCG@10 {done.check.live_ndcg:.3f} → {done.check.new_ndcg:.3f}" if done.check.new_ndcg is not None else ""
        by = ", by vectors alone, since the old words cannot be made here" if done.check.retrieval == "dense" else ""
        asked = counted(done.check.queries, "query", "queries")
        show(f"{asked}{by}: {done.check.overlap:.0%} of the first 10 documents are the same{ndcg}")
    if done.switched:
        show(f"{name} leads to {done.new}; {done.live} stays until `search collections drop {done.live}`")


def adopt(
    name: Annotated[str, typer.Argument(metavar="THEIRS", help="What another program filled on the Qdrant server.")],
    collection: Annotated[str, typer.Option("--as", metavar="OURS", help="The collection that becomes of it.", show_default=False)],
    data_dir: DataDir = None,
    tenant: Tenant = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would come; write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Copy a collection of another program into one of your own, to ingest into and sync. Embeds nothing. Safe to run again.

    Its vectors are kept, words are added, and it stays as it is. Points of one document become its passages.
    """
    settings = load_settings(data_dir, collection, tenant=tenant)
    with open_search(settings) as searcher, ProgressReport("copying", "documents") as report:
        done = searcher.adopt(
            name, dry_run=dry_run, on_progress=lambda progress: report.update(progress.documents), on_wait=note_wait
        )
    note_rejections(done.ingest.rejections)
    if done.left_out:
        points = counted(done.left_out, "point holds no text or no vector, and is", "points hold no text or no vector, and are")
        note(f"{points} left out (such as {', '.join(done.examples)})")
    note_removed_repeats(done.ingest.repeated, dry_run=dry_run)
    print_report(done, lambda done: _show_adopted(collection, done), as_json=as_json)


def _show_adopted(collection: str, done: "Adoption") -> None:
    ingest = done.ingest
    show(f"{done.source}: {counted(done.points, 'point')}; {done.layout}")
    if done.apart:
        names, each = ("names", "it") if done.apart == 1 else ("name", "each")
        show(f"{done.apart:,} of them {names} a document that others name, too, and nothing tells their order: {each} is by itself")
    if ingest.dry_run:
        show(f"{_counts(ingest)}: so it would be, and nothing was written")
    else:
        _show_written(ingest, collection)


def _show_written(ingest: "IngestReport", where: str) -> None:
    show(f"{_counts(ingest)}; {counted(ingest.chunks, 'passage')} written to {where} in {ingest.seconds:.1f} s")


def _counts(ingest: "IngestReport") -> str:
    counts = f"{ingest.added:,} added, {ingest.changed:,} changed, {ingest.unchanged:,} unchanged, {ingest.rejected:,} rejected"
    return counts + (f", {ingest.kept:,} kept as they are ({ingest.kept_because})" if ingest.kept else "")


def push(
    data_dir: DataDir = None,
    collection: Collection = None,
    tenant: Tenant = None,
    *,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Also replace documents that were ingested or updated on the server.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy the embedded collection to the server that the settings name, without embedding it again. Safe to run again.

    Run again, it brings what is new or changed here. Documents that were ingested or updated on the server stay as they are there,
    unless --overwrite says otherwise, and nothing is removed there.
    """
    settings = load_settings(data_dir, collection, tenant=tenant)
    if isinstance(settings.index, EdgeSettings | MemorySettings):
        message = (
            "name the server to copy to: SEARCH_INDEX__ENGINE=qdrant, SEARCH_INDEX__URL=… and, if need be, SEARCH_INDEX__API_KEY"
        )
        raise InvalidSettings(message)
    from search.ingestion.pushing import push

    with (
        closing(build_collections(settings.model_copy(update={"index": EdgeSettings()}))) as embedded,
        closing(build_collections(settings)) as server,
        ProgressReport("copying", "documents") as report,
    ):
        words = build_words(settings)
        done = push(
            embedded,
            server,
            settings,
            words=words,
            overwrite=overwrite,
            on_progress=lambda progress: report.update(progress.documents),
            on_wait=note_wait,
        )
    ingest = done.ingest
    note_rejections(ingest.rejections)
    note_damage(ingest.damaged, ingest.foreign, "was not copied", "were not copied")
    note_removed_repeats(ingest.repeated)
    _note_what_stays(done)
    print_report(done, lambda done: _show_written(done.ingest, server.location), as_json=as_json)


def _note_what_stays(done: "Push") -> None:
    if done.ingest.kept:
        kept = counted(done.ingest.kept, "document was", "documents were")
        note(f"{kept} written there, and not by a push (such as {listed(done.kept_ids)}); --overwrite replaces what is there")
    if done.only_there:
        only = counted(done.only_there, "document is", "documents are")
        note(f"{only} there and not here (such as {listed(done.only_there_ids)}); push removes nothing")


def _lines(file: Path) -> list[str]:
    queries = [line.strip() for line in text_of(file).split("\n") if line.strip()]
    if not queries:
        raise InvalidQuery(f"{file} holds no query; write one a line")
    return queries


def _judged(source: Path, split: str | None, queries: Path | None) -> "Judged":
    from search.evaluation.datasets import load_dataset
    from search.ingestion.judging import Judged

    dataset = load_dataset(source, split, queries=queries, with_corpus=False)
    return Judged(dataset.queries, dataset.qrels)
