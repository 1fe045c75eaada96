"""Documents: the commands that add, change and remove them."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.cli.options import (
    AsJson,
    Collection,
    DataDir,
    Tenant,
    WrongUsage,
    load_settings,
    note_damage,
    note_differing,
    note_removed_repeats,
    note_wait,
    print_json,
    usage,
)
from search.cli.paths import path
from search.cli.progress import graph_of
from search.documents import Rejection, counted, listed, without_repeats
from search.errors import IndexBusy, InvalidDocument
from search.searcher import Searcher, open_search
from search.settings import Settings
from search.system.terminal import note, show

if TYPE_CHECKING:
    from search.cli.remote import Remote
    from search.ingestion.report import IngestReport, Remark
    from search.reading import Reading

Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID…]", help="Documents; or --filter says which.", show_default=False)]
OfFilter = Annotated[
    str | None,
    typer.Option(
        "--filter", help="Documents with a passage that passes a Qdrant filter, as JSON; not beside ids.", show_default=False
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Write nothing, and show what would change.")]
Counted = Annotated[
    bool, typer.Option("--dry-run", help="Write nothing, and show what would change; with --url only of how many documents.")
]
MaxDelete = Annotated[
    str, typer.Option(help="The most documents that --sync may remove: a number, or a share of all, as 20% or 0.2.")
]
Rejects = Annotated[
    Path | None,
    typer.Option(parser=path, help="Write what is rejected to this file; mended, it can be ingested.", show_default=False),
]
Exclude = Annotated[
    list[str] | None, typer.Option(help="Leave out what matches, as in .gitignore.", metavar="PATTERN", show_default=False)
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        help="Where tables and JSON have id, text or title: text=body, text=name,blurb, text=body.content; "
        "metadata=name keeps what is one of these as metadata, too.",
        metavar="NAME=COLUMN",
        show_default=False,
    ),
]
Kind = Annotated[
    str | None,
    typer.Option(
        "--as", help="What all files are, whatever their names say: text, markdown, html, python, .docx …", show_default=False
    ),
]
Archives = Annotated[bool, typer.Option("--archives", help="Read zip and tar archives like folders, and so compressed files.")]
Encoding = Annotated[str | None, typer.Option(help="Of text and CSV files.", show_default="detected")]
Url = Annotated[str | None, typer.Option(help="Of a running search serve, which owns the data folder.", show_default=False)]
Key = Annotated[
    str | None, typer.Option(help="For the service; SEARCH_CLIENT_KEY does not show in lists of processes.", show_default=False)
]
Prefix = Annotated[str, typer.Option(help="Goes before all ids, such as two/.", metavar="NAME/", show_default=False)]
Target = Callable[[], AbstractContextManager["Searcher | Remote"]]
_ADDRESS = "http://127.0.0.1:8000"
_REMARKED = {  # what a reader remarked, as a document has it and as several do, and what may be done about it
    "replaced_characters": ("holds", "hold", "bytes that are no UTF-8, in whose place a mark stands"),
    "encoding": ("is not in UTF-8 and was read", "are not in UTF-8 and were read", "as"),
    "pages_without_text": ("has", "have", "pages that are pictures; recognise their text first (OCR)"),
    "damaged_pages": ("has", "have", "pages that cannot be read"),
    "missing_pages": ("lacks", "lack", "pages that it names"),
    "charts_left_out": ("has", "have", "charts, which are not read"),
    "diagrams_left_out": ("has", "have", "diagrams, which are not read"),
    "objects_left_out": ("has", "have", "embedded objects, which are not read"),
    "comments_left_out": ("has", "have", "comments, which are not read"),
    "notes_left_out": ("has", "have", "notes of the speaker that cannot be read"),
    "boxes_left_out": ("has", "have", "text boxes, which are not read"),
    "formulas_left_out": ("has", "have", "formulas without a value; open and save it in a program for spreadsheets"),
    "outputs_left_out": ("has", "have", "outputs of which the end is not read"),
    "bytes_left_out": ("has", "have", "values of bytes that are no text, which are left out"),
    "vectors_left_out": ("has", "have", "vectors, which are left out"),
    "strings_left_out": ("holds", "hold", "strings beside objects, which are left out"),
    "lines_above_header": ("has", "have", "lines above the header, which are not read"),
    "short_rows": ("has", "have", "rows without their last columns, which are taken as empty"),
    "rows_left_out": ("has", "have", "more rows than one document holds, which are left out"),
}
_OF_SHEETS = ("comments_left_out", "charts_left_out", "objects_left_out", "boxes_left_out", "formulas_left_out")
_OF_TABLES = ("encoding", "lines_above_header", "short_rows", "strings_left_out")  # which no row has as metadata
_OF_A_ROW = {  # which says it for all of its file
    **{kind: f"the first of a spreadsheet with {_REMARKED[kind][2]}" for kind in _OF_SHEETS},
    **{kind: f"the first of a table with {_REMARKED[kind][2]}" for kind in _OF_TABLES},
    "encoding": "the first of a table that is not in UTF-8 and was read as",
    "strings_left_out": "the first of a file with strings beside objects, which are left out",
}
_OF_PAGES = {"pages_without_text", "damaged_pages"}
_NAMED = 5  # documents of each kind of remark; --json names all
_DASH = "\u2013"
_RANGES = 12  # of pages of a document
_SIGNS = {"added": "+", "changed": "~", "removed": "-", "kept": "!"}


def ingest(
    paths: Annotated[list[str], typer.Argument(metavar="PATH…", help="Files, folders, patterns, or - for JSON lines on stdin.")],
    max_delete: MaxDelete = "20%",
    rejects: Rejects = None,
    exclude: Exclude = None,
    field: Columns = None,
    encoding: Encoding = None,
    kind: Kind = None,
    prefix: Prefix = "",
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = None,
    collection: Collection = None,
    tenant: Tenant = None,
    *,
    sync: Annotated[bool, typer.Option("--sync", help="Also remove documents that are not there any more.")] = False,
    dry_run: Counted = False,
    no_ignore: Annotated[bool, typer.Option("--no-ignore", help="Take also what .gitignore and .searchignore name.")] = False,
    archives: Archives = False,
    again: Annotated[bool, typer.Option("--again", help="Read also whole files that a file of --rejects names.")] = False,
    as_json: AsJson = False,
) -> None:
    """Add documents to a collection; changed ones are replaced, unchanged ones left alone. Safe to run again.

    Reads tables, spreadsheets, JSON, text and source code, Markdown, HTML, PDF, office documents, mail and notebooks.
    """
    from search.reading import Reading
    from search.reading.child import Limits

    settings = load_settings(data_dir, collection, tenant=tenant)
    with usage():
        most = _amount(max_delete)
        options: dict[str, Any] = {
            "exclude": exclude or [],
            "ignore_files": not no_ignore,
            "encoding": encoding,
            "fields": dict(_pair(pair) for pair in field or []),
            "again": again,
            "prefix": prefix,
            "kind": kind,
            "archives": archives,
            "limits": Limits(settings.ingestion.file_seconds, settings.ingestion.file_memory_mb),
        }
        Reading([], **options)  # what is wrong with them, whatever there is to read
        _check_place(url, key, data_dir, sync=sync)
    reading = Reading(paths, **options)
    _note_left_out(reading)
    noted = len(reading.notes)
    changes: list[dict[str, str]] = []
    done = _ingested(
        reading,
        lambda: _target(settings, url, key, collection),
        rejects,
        sync=sync,
        max_delete=most,
        dry_run=dry_run,
        on_change=(lambda state, one: changes.append({"change": state, "document_id": one})) if dry_run else None,
    )
    if as_json:
        about = {"left_out": reading.left_out, "outside": reading.outside, "notes": reading.notes}
        print_json(done.to_dict() | about | ({"changes": changes} if dry_run and not url else {}))
    else:
        for change in changes:
            show(f"{_SIGNS[change['change']]} {change['document_id']}")
        _show_counts(done, sync=sync, dry_run=dry_run)
    _note_remarks(done)
    for remark in reading.notes[noted:]:
        note(f"note: {remark}")
    _note_findings(done, dry_run=dry_run)
    if done.kept or (done.rejected and not done.added + done.changed + done.unchanged):
        raise typer.Exit(1)


def _ingested(reading: "Reading", target: Target, rejects: Path | None, **options: Any) -> "IngestReport":
    """`Searcher.ingest` with a progress bar; rejections are noted, and written to the file of rejects."""
    from search.cli.output import noting_rejections
    from search.cli.progress import IngestionReport

    with ExitStack() as stack:
        write_rejected = stack.enter_context(_writing_rejects(rejects)) if rejects else None
        searcher = stack.enter_context(target())
        what = "comparing" if options["dry_run"] else "ingesting"
        report = stack.enter_context(IngestionReport(what, reading.extents()))
        tell = stack.enter_context(noting_rejections(f"{rejects or '--rejects FILE'} has each"))

        def warn(rejection: Rejection) -> None:
            tell(rejection)
            if write_rejected:
                write_rejected(rejection.to_line())

        items = report.reading(reading)
        done = searcher.ingest(items, on_progress=report.update, on_rejection=warn, on_wait=note_wait, **options)
        if isinstance(searcher, Searcher):
            note_differing(searcher)
    return done


def _note_remarks(done: "IngestReport") -> None:
    """Say what readers left out or could not tell for certain, and of which documents; what is said of most of them first."""
    groups: dict[tuple[str, str, str], list[Remark]] = {}
    for remark in done.remarks:
        groups.setdefault(_words_of(remark), []).append(remark)
    for (one, several, what), remarks in sorted(groups.items(), key=lambda group: -len(group[1])):
        kind, number = remarks[0].kind, len(remarks)
        note(f"{counted(number, f'document {one}', f'documents {several}')} {what}")
        shown = [_shown(remark) for remark in remarks[:_NAMED]]
        shown = shown if kind in _OF_PAGES else [", ".join(shown)]
        more = f"and {counted(number - _NAMED, 'more document')}; --json names them all" if number > _NAMED else ""
        for line in [*shown, *([f"… {more}"] if more else [])]:
            note(f"  {line}")
    for kind, number in done.remarked.items():
        if unnamed := number - sum(remark.kind == kind for remark in done.remarks):
            note(f"{counted(unnamed, 'more document')} with metadata.{kind}, which nothing names")


def _words_of(remark: "Remark") -> tuple[str, str, str]:
    """The verb of one document, that of several, and the rest."""
    one, several, what = _REMARKED.get(remark.kind, ("has", "have", "what is not read"))
    of_a_row = remark.source != remark.document_id and remark.kind in _OF_A_ROW
    if of_a_row:
        one, several, what = "is", "are", _OF_A_ROW[remark.kind]
    if remark.kind == "encoding":
        what = f"{what} {remark.found}"
    return one, several, what if of_a_row and remark.kind in _OF_TABLES else f"{what} (metadata.{remark.kind})"


def _shown(remark: "Remark") -> str:
    """A document, and how much of it is meant."""
    name = listed([remark.document_id])
    name = name if remark.source == remark.document_id else f"{name} ({listed([remark.source])})"
    match remark.found:
        case [*pages]:
            return f"{name}: {_ranges(pages)}"
        case int():
            return f"{name}: {remark.found:,}"
        case _:
            return name


def _ranges(pages: Sequence[Any]) -> str:
    """Numbers of pages, of which several in a row are a range."""
    runs: list[list[int]] = []
    for page in pages:
        if runs and page == runs[-1][-1] + 1:
            runs[-1][1:] = [page]
        else:
            runs.append([page])
    shown = ", ".join(_DASH.join(map(str, run)) for run in runs[:_RANGES])
    return f"{'page' if len(pages) == 1 else 'pages'} {shown}{', …' if len(runs) > _RANGES else ''}"


def _show_counts(done: "IngestReport", *, sync: bool, dry_run: bool) -> None:
    reused = f", {done.reused:,} of them without being embedded again," if done.reused else ""
    show(
        f"{'would be: ' if dry_run else ''}{done.added:,} added, {done.changed:,} changed, {done.unchanged:,} unchanged, "
        + (f"{done.removed:,} removed, " if sync else "")
        + f"{done.rejected:,} rejected"
        + ("" if dry_run else f"; {counted(done.chunks, 'passage')} written{reused} in {done.seconds:.1f} s")
    )
    if done.unknown:
        documents = counted(done.unknown, "document is", "documents are")
        show(f"{documents} largely unknown to the embedder; another model may suit their language")


def _note_findings(done: "IngestReport", *, dry_run: bool) -> None:
    """Damaged points, documents of another folder with the same ids, and documents that a sync did not remove."""
    anew = " or written anew"
    note_damage(done.damaged, done.foreign, *(("would be removed",) if dry_run else (f"was removed{anew}", f"were removed{anew}")))
    note_removed_repeats(done.repeated, dry_run=dry_run)
    if done.elsewhere:
        verb = "would be" if dry_run else "was" if done.elsewhere == 1 else "were"
        others = f"{counted(done.elsewhere, 'document')} that {verb} changed or removed"
        note(
            f"{others} had been read elsewhere, such as {listed(done.elsewhere_ids)}: folders of the same name give the same ids, "
            "and so do tables with an id column; ingest one of them with --prefix NAME/ to keep both"
        )
    if done.doubled:
        new, there = done.doubled_ids[0]
        verbs = ("would stand", "would stand") if dry_run else ("stands", "stand")
        others = f"{counted(done.doubled, f'document {verbs[0]}', f'documents {verbs[1]}')} there twice"
        is_compressed = f"{new}/".startswith(f"{there}/") or there.startswith(f"{new}/")
        why, way = (
            ("what is compressed has another id with --archives", "ingest it either way")
            if is_compressed
            else ("an id begins with the folder that is named", "name the same folder")
        )
        note(
            f"{others}, since {why}: {listed([new])} is also {listed([there])}; "
            f"remove one of them (search delete), and {way} each time"
        )
    if done.kept:
        verb = "would not be" if dry_run else "was not" if done.kept == 1 else "were not"
        note(f"search: {counted(done.kept, 'document')} {verb} removed: {done.kept_because}")


def delete(
    ids: Ids = None,
    filter: OfFilter = None,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = None,
    collection: Collection = None,
    tenant: Tenant = None,
    *,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Remove documents from a collection, by ids or by a filter, not both."""
    gone: list[str] = []
    settings = load_settings(data_dir, collection, tenant=tenant)
    _check_chosen(ids, filter, url, key, data_dir)
    with _target(settings, url, key, collection) as searcher:
        removed = searcher.delete(
            ids=ids or [],
            filter=filter,
            dry_run=dry_run,
            on_change=lambda _, document_id: gone.append(document_id),
            on_wait=note_wait,
            on_build=lambda passages: note(f"{graph_of(passages)}, without what was removed"),
        )
    there = set(gone)
    absent = [one for one in dict.fromkeys(ids or []) if one not in there]
    if absent:
        note(f"{counted(len(absent), 'document is', 'documents are')} not there: {listed(absent)}")
    for warning in removed.warnings:
        note(f"note: {warning}")
    if as_json:
        about = {"document_ids": gone, "not_found": absent, "warnings": list(removed.warnings)}
        print_json({"removed": removed, "dry_run": dry_run, **about})
        return
    for document_id in gone if dry_run else []:
        show(f"- {document_id}")
    show(f"{'would be: ' if dry_run else ''}{removed:,} removed")


def update(
    metadata: Annotated[
        str, typer.Argument(metavar="METADATA", help="Fields to set, as a JSON object; null removes one.", show_default=False)
    ],
    ids: Ids = None,
    filter: OfFilter = None,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = None,
    collection: Collection = None,
    tenant: Tenant = None,
    *,
    dry_run: Counted = False,
    as_json: AsJson = False,
) -> None:
    """Change the metadata of documents in a collection, by ids or by a filter, not both, without embedding them again."""
    from search.cli.output import noting_rejections
    from search.ingestion.changes import check_patch

    try:
        fields = json.loads(metadata, object_pairs_hook=without_repeats)
    except (ValueError, RecursionError) as error:
        raise WrongUsage(f"""METADATA is not JSON ({error}); write an object, such as '{{"status": "archived"}}'""") from error
    with usage():
        check_patch(fields)
    changed: list[str] = []
    settings = load_settings(data_dir, collection, tenant=tenant)
    _check_chosen(ids, filter, url, key, data_dir)
    with _target(settings, url, key, collection) as searcher, noting_rejections("--json names them") as tell:
        done = searcher.update(
            fields,
            ids=ids or [],
            filter=filter,
            dry_run=dry_run,
            on_change=lambda _, document_id: changed.append(document_id),
            on_rejection=tell,
            on_wait=note_wait,
        )
    note_removed_repeats(done.repeated, dry_run=dry_run)
    for warning in done.warnings:
        note(f"note: {warning}")
    if as_json:
        print_json(done.to_dict() | ({} if url else {"document_ids": changed}))
    else:
        for document_id in changed if dry_run else []:
            show(f"~ {document_id}")
        would = "would be: " if dry_run else ""
        show(f"{would}{done.changed:,} changed, {done.unchanged:,} were so already, {done.rejected:,} rejected")
    if done.rejected:
        raise typer.Exit(1)


def _check_place(url: str | None, key: str | None, data_dir: Path | None, *, sync: bool = False) -> None:
    """Refuse options about a folder here and about a service that do not go together."""
    if url is None and key is not None:
        raise WrongUsage("--key is for the service that --url names")
    if url is not None and data_dir is not None:
        raise WrongUsage("--data-dir names a folder here, and the service of --url has its own; leave out one of them")
    if url is not None and sync:
        from search.cli.remote import NO_SYNC

        raise WrongUsage(NO_SYNC)


def _check_chosen(ids: list[str] | None, filter: str | None, url: str | None, key: str | None, data_dir: Path | None) -> None:
    """Refuse what names no documents, or names them twice, wherever they are."""
    from search.ingestion.lookup import Selection

    _check_place(url, key, data_dir)
    with usage():
        Selection(ids or [], filter)


@contextmanager
def _target(settings: Settings, url: str | None, key: str | None, collection: str | None) -> "Iterator[Searcher | Remote]":
    """What takes the documents: the collection itself, or the service that owns its folder."""
    if url is None:
        try:
            with open_search(settings) as searcher:
                yield searcher
        except IndexBusy as error:
            if "--url" in str(error):
                raise
            raise IndexBusy(f"{error}; if it is a service, give its address with --url, such as {_ADDRESS}") from error
        return
    from search.cli.remote import TIMEOUT_S, Remote
    from search.client import Client

    if key is None and settings.client_key:
        key = settings.client_key.get_secret_value()
    with usage():
        client = Client(url, key=key, collection=collection, tenant=settings.tenant, timeout_s=TIMEOUT_S)
    with client:
        yield Remote(client, settings.ingestion.patience_s)


def _note_left_out(reading: "Reading") -> None:
    from search.reading.files import by_kind

    if reading.left_out:
        kinds = by_kind([Path(file) for file in reading.left_out])
        others = f"{counted(len(reading.left_out), 'file')} ({kinds}), such as {reading.left_out[0]}"
        note(f"left out {others}: without a text, links to folders, or named by an ignore file or a pattern")
    if reading.outside:
        links = f"{counted(len(reading.outside), 'link')}, such as {reading.outside[0]}"
        lead = "it leads out of its folder; name the file itself to take it"
        lead = lead if len(reading.outside) == 1 else "they lead out of their folder; name the files themselves to take them"
        note(f"left out {links}: {lead}")
    for remark in reading.notes:
        note(f"note: {remark}")


@contextmanager
def _writing_rejects(file: Path) -> Iterator[Callable[[str], None]]:
    """Writes lines of a file that takes its name when it is whole: what is being ingested may have this name.

    Raises:
        InvalidDocument: it cannot be written. What was ingested by then stays.
    """
    unfinished = file.with_name(f"{file.name}.unfinished")
    with _named_in_errors(file):
        stream = unfinished.open("w", encoding="utf-8", errors="backslashreplace", buffering=1)

    def write(line: str) -> None:
        with _named_in_errors(file):
            stream.write(line)

    try:
        yield write
    finally:
        with _named_in_errors(file):
            stream.close()
    with _named_in_errors(file):
        unfinished.replace(file)


@contextmanager
def _named_in_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InvalidDocument(
            f"the file of rejects cannot be written to {file}: {error.strerror}; name another place, and run it again"
        ) from error


def _amount(text: str) -> float:
    """A number of documents, as an int; or a share of them, as a float, from "20%" or "0.2"."""
    try:
        if text.isdecimal():
            return int(text)  # of any length that Python reads
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise InvalidDocument(f"--max-delete is {text!r}; write a number of documents, such as 50, or a share, such as 20% or 0.2")
    return share


def _pair(text: str) -> tuple[str, str]:
    name, equals, column = text.partition("=")
    if not equals:
        raise InvalidDocument(f"--field is {text!r}; write NAME=COLUMN, such as text=body")
    return name, column
