"""Near-duplicates: the command that reports them, and removes what is certain when it is told to."""

import sys
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from search.cli.options import AsJson, Collection, DataDir, Tenant, WrongUsage, confirm, load_settings, note_wait, print_json, usage
from search.cli.output import clip, noting_rejections
from search.cli.paths import path
from search.cli.progress import ProgressReport, graph_of
from search.documents import counted
from search.errors import InvalidQuery
from search.searcher import Searcher, open_search
from search.settings import EdgeSettings, Settings
from search.system.files import check_writable, writing
from search.system.terminal import show

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from search.deduplication.finding import Progress
    from search.deduplication.removing import Kept, Removal
    from search.deduplication.report import Duplicates
    from search.documents import Rejection

_SHOWN = 5  # ids, for each reason
_UNITS = {"reading documents": "documents", "finding candidates": "passages", "comparing pairs": "pairs"}


def dedupe(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]...", help="Files and folders to compare instead of a collection.", parser=path, show_default=False
        ),
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="The least probability that a document which is reported is a duplicate, above 0 and up to 1.")
    ] = 0.9,
    html: Annotated[
        Path | None,
        typer.Option(help="Write a page with the differences marked, too, into this file.", parser=path, show_default=False),
    ] = None,
    data_dir: DataDir = None,
    collection: Collection = None,
    tenant: Tenant = None,
    *,
    delete: Annotated[
        bool,
        typer.Option(
            "--delete/--dry-run",
            help="Of documents with the same text, title and metadata, leave one in the collection and remove the others, after "
            "asking.",
        ),
    ] = False,
    near: Annotated[
        float | None,
        typer.Option(
            "--delete-near",
            metavar="P",
            help="With --delete, remove others of at least this probability, too: look at the report first, since one word may "
            "turn the sense of a text.",
            show_default=False,
        ),
    ] = None,
    any_metadata: Annotated[
        bool, typer.Option("--any-metadata", help="With --delete, whatever title, media type and metadata are lost by it.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    rerank: Annotated[
        bool, typer.Option("--rerank/--no-rerank", help="Ask the reranker about likely pairs, too; --json shows what it says.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Report documents that say the same as another one, in clusters with a representative; --delete removes what is certain.

    The representative is the longest text, of equal ones the oldest, then the first by id.
    """
    removes = delete or near is not None or any_metadata or yes
    if paths:
        _check_files(removes=removes, data_dir=data_dir, collection=collection, tenant=tenant)
    _check(threshold, near, html, delete=delete, can_ask=yes or (not as_json and sys.stdin.isatty()))
    from search.deduplication.removing import planned

    settings = load_settings(data_dir, collection, tenant=tenant)
    with _compared(settings, paths or []) as (searcher, read):
        found = _found(searcher, threshold, read.notes if read else (), rerank=rerank)
        if not as_json:
            _print(found)
        if html:
            _write_page(found, html, told=not as_json)
        plan = None if paths else planned(found, near=near, any_metadata=any_metadata)
        if plan and delete and not as_json:
            _print_kept(plan.kept)
        if plan and delete and plan.removed:
            if not yes:
                confirm(f"Remove {counted(len(plan.removed), 'document')} from {found.collection} for good?")
            stay = len(plan.kept)
            plan = _removed(searcher, found, near, any_metadata=any_metadata)
            if not as_json:
                _print_kept(plan.kept[stay:])
    if as_json:
        outcome = _outcome(plan, delete=delete) if plan else read.to_dict() if read else {}
        print_json(found.to_dict() | outcome)
    elif plan:
        _print_removal(plan, delete=delete)


class _Read(NamedTuple):
    """What of files is not compared."""

    rejected: int
    rejections: "tuple[Rejection, ...]"  # the first thousand
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data; the notes are among those of what was found."""
        return {"rejected": self.rejected, "rejections": [one.to_dict() for one in self.rejections]}


def _check_files(*, removes: bool, **of_collections: object) -> None:
    """Refuse what says nothing of files."""
    for name, value in of_collections.items():
        if value is not None:
            option = f"--{name.replace('_', '-')}"
            raise WrongUsage(f"{option} is of a collection, and paths are compared without one; leave out one of them")
    if removes:
        raise WrongUsage(
            "documents are removed from a collection, never files: leave out --delete, --delete-near, --any-metadata and --yes, "
            "and remove files yourself"
        )


def _check(threshold: float, near: float | None, html: Path | None, *, delete: bool, can_ask: bool) -> None:
    """Refuse what makes no sense before anything is read."""
    from search.deduplication.finding import check_threshold
    from search.deduplication.removing import check_near

    with usage():
        check_near(near, check_threshold(threshold))
    if html:
        with writing("the page", html):
            check_writable(html)
    if delete and not can_ask:
        raise InvalidQuery(
            "--delete asks before it removes anything, and nobody can answer here; look at the report, then add --yes"
        )


def _removed(searcher: Searcher, found: "Duplicates", near: float | None, *, any_metadata: bool) -> "Removal":
    with ProgressReport("removing documents", "documents") as report:
        return searcher.remove_duplicates(
            found,
            near=near,
            any_metadata=any_metadata,
            on_progress=lambda progress: _show_removal(report, progress),
            on_wait=note_wait,
        )


def _show_removal(report: ProgressReport, progress: "Progress") -> None:
    if progress.step == "building the graph" and progress.total:
        report.stage(graph_of(progress.total))
    else:
        report.update(progress.done, total=progress.total)


def _outcome(plan: "Removal", *, delete: bool) -> dict[str, Any]:
    """What went and what stays, as plain data; or what would go."""
    outcome = plan.to_dict()
    return outcome if delete else {"removable": outcome["removed"], "kept": outcome["kept"]}


def _print_removal(outcome: "Removal", *, delete: bool) -> None:
    if delete:
        show(f"{len(outcome.removed):,} removed" + ("; what is ingested again comes back" if outcome.removed else ""))
    elif outcome.removed:
        show(f"nothing was removed; --delete removes {len(outcome.removed):,} of them, after asking, and one of each text stays")
    elif outcome.kept:
        show("nothing was removed; --delete removes none of them")
        _print_kept(outcome.kept)


def _print_kept(kept: "Sequence[Kept]") -> None:
    """Why documents stay: for each reason the first few."""
    causes: dict[str, list[Kept]] = {}
    for one in kept:
        causes.setdefault(one.cause, []).append(one)
    for cause, ones in causes.items():
        more = f" and {len(ones) - _SHOWN:,} more" if len(ones) > _SHOWN else ""
        let_go = f" (--any-metadata lets {'it' if len(ones) == 1 else 'them'} go)" if ones[0].fields else ""
        show(f"{len(ones):,} stay, since {cause}{let_go}: {', '.join(one.document_id for one in ones[:_SHOWN])}{more}")


@contextmanager
def _compared(settings: Settings, paths: list[Path]) -> "Iterator[tuple[Searcher, _Read | None]]":
    """The collection; or one of files, which lasts as long as it is compared, and what else became of these."""
    if not paths:
        with open_search(settings) as searcher:
            yield searcher, None
        return
    from search.deduplication.files import Files
    from search.reading.child import Limits

    files = Files(paths, Limits(settings.ingestion.file_seconds, settings.ingestion.file_memory_mb))
    with TemporaryDirectory(prefix="search-dedupe-") as folder:
        own = settings.model_copy(
            update={"index": EdgeSettings(), "data_dir": Path(folder), "collection": "files", "tenant_field": None, "tenant": None}
        )
        with open_search(own) as searcher:
            with ProgressReport("reading files", "documents") as report, noting_rejections("not compared either") as tell:
                done = searcher.ingest(
                    files,
                    on_progress=lambda progress: report.update(progress.documents),
                    on_rejection=tell,
                )
            if not done.added:
                raise InvalidQuery(f"there is no document in {', '.join(map(str, paths))} to compare")
            rejected = counted(
                done.rejected, "document was rejected, and not compared", "documents were rejected, and not compared"
            )
            notes = (*files.notes(), *([rejected] if done.rejected else []))
            yield searcher, _Read(done.rejected, done.rejections, notes)


def _found(searcher: Searcher, threshold: float, notes: "Sequence[str]", *, rerank: bool) -> "Duplicates":
    """What is found, with further notes."""
    reports: dict[str, ProgressReport] = {}
    with ExitStack() as shown:

        def show_progress(progress: "Progress") -> None:
            if progress.step not in reports:
                shown.close()  # the step before
                reports[progress.step] = shown.enter_context(ProgressReport(progress.step, _UNITS[progress.step]))
            reports[progress.step].update(progress.done, total=progress.total)

        found = searcher.duplicates(threshold=threshold, rerank=rerank, on_progress=show_progress)
    return replace(found, notes=(*found.notes, *notes))


def _print(found: "Duplicates") -> None:
    for cluster in found.clusters:
        show(_line("=", "", cluster.representative.id, cluster.representative.text))
        for one in cluster.duplicates:
            show(_line("-", "same" if one.kind == "identical" else f"{one.probability:.3f}", one.document.id, one.document.text))
    share = "" if found.expected_share is None else f", of which {found.expected_share:.1%} are expected to be true ones"
    show(
        f"{counted(len(found.duplicate_ids), 'near-duplicate')} in {counted(len(found.clusters), 'cluster')}{share}; "
        f"{counted(found.documents, 'document')}, {counted(found.pairs, 'pair')} judged by {found.confirmed_by}, "
        f"{found.seconds:.1f} s"
    )
    for remark in found.notes:
        show(f"note: {remark}")


def _line(mark: str, chance: str, document_id: str, text: str) -> str:
    return f"{mark} {chance:>5}  {document_id}: {clip(' '.join(text[:400].split()), 100)}"


def _write_page(found: "Duplicates", file: Path, *, told: bool) -> None:
    from search.deduplication.page import to_html

    with writing("the page", file):
        file.write_text(to_html(found), encoding="utf-8", errors="backslashreplace")
    if told:
        show(f"the differences are marked in {file}")
