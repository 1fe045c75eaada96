"""Near-duplicates: the command that reports them."""

import sys
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.options import AsJson, Collection, DataDir, Tenant, load_settings, print_json
from search.cli.output import clip
from search.cli.progress import ProgressReport
from search.errors import InvalidQuery, SearchError
from search.searcher import Searcher, open_search
from search.settings import EdgeSettings, Settings
from search.system.terminal import note, show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from search.deduplication.finding import Progress
    from search.deduplication.report import Duplicates

_UNITS = {"reading documents": "documents", "finding candidates": "passages", "comparing pairs": "pairs"}


def dedupe(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Files and folders to compare instead of a collection.", show_default=False),
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="The least probability that a document which is reported is a duplicate, above 0 and up to 1.")
    ] = 0.9,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with the differences marked, too, into this file.", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    collection: Collection = None,
    tenant: Tenant = None,
    *,
    no_rerank: Annotated[bool, typer.Option("--no-rerank", help="Judge by words, numbers and names alone.")] = False,
    as_json: AsJson = False,
) -> None:
    """Report documents that say the same as another one, in clusters with a representative; nothing is removed.

    The representative is the longest text, of equal ones the oldest, then the first by id.
    """
    from search.deduplication.finding import check_threshold

    check_threshold(threshold)
    settings = load_settings(data_dir, collection, tenant=tenant)
    with _compared(settings, paths or []) as searcher:
        found = _found(searcher, threshold, rerank=not no_rerank)
    if html:
        _write_page(found, html)
    if as_json:
        print_json(found.to_dict())
    else:
        _print(found, html)


@contextmanager
def _compared(settings: Settings, paths: list[Path]) -> "Iterator[Searcher]":
    """The collection; or one of files, which lasts as long as it is compared."""
    if not paths:
        with open_search(settings) as searcher:
            yield searcher
        return
    from search.reading import read

    with TemporaryDirectory(prefix="search-dedupe-") as folder:
        own = settings.model_copy(
            update={"index": EdgeSettings(), "data_dir": Path(folder), "collection": "files", "tenant_field": None, "tenant": None}
        )
        with open_search(own) as searcher:
            # By the path as it was named: two folders may have one name.
            documents = chain.from_iterable(read(path, prefix=_above(path)) for path in paths)
            with ProgressReport("reading files", "documents", None) as report:
                done = searcher.ingest(documents, on_progress=lambda progress: report.update(progress.documents))
            for rejection in done.rejections:
                note(f"rejected {rejection}")
            if not done.added:
                raise InvalidQuery(f"there is no document in {', '.join(map(str, paths))} to compare")
            yield searcher


def _above(path: Path) -> str:
    """What goes before the names of its files, which begin with that of the folder."""
    above = path.as_posix().rpartition("/")[0] if path.is_dir() else path.parent.as_posix().rpartition("/")[0]
    return f"{above}/" if above.strip("/. ") else ""


def _found(searcher: Searcher, threshold: float, *, rerank: bool) -> "Duplicates":
    reports: dict[str, ProgressReport] = {}

    def show_progress(progress: "Progress") -> None:
        if progress.step not in reports:
            for before in reports.values():
                before.__exit__(None, None, None)
            reports[progress.step] = ProgressReport(progress.step, _UNITS[progress.step], progress.total)
            reports[progress.step].__enter__()
        reports[progress.step].update(progress.done, total=progress.total)

    try:
        return searcher.duplicates(threshold=threshold, rerank=rerank, on_progress=show_progress)
    finally:
        for report in list(reports.values())[-1:]:
            report.__exit__(*sys.exc_info())


def _print(found: "Duplicates", html: Path | None) -> None:
    for cluster in found.clusters:
        show(_line("=", "", cluster.representative.id, cluster.representative.text))
        for one in cluster.duplicates:
            show(_line("-", "same" if one.kind == "identical" else f"{one.probability:.3f}", one.document.id, one.document.text))
    share = "" if found.expected_share is None else f", of which {found.expected_share:.1%} are expected to be true ones"
    show(
        f"{len(found.duplicate_ids):,} near-duplicates in {len(found.clusters):,} clusters{share}; {found.documents:,} documents, "
        f"{found.pairs:,} pairs judged by {found.confirmed_by}, {found.seconds:.1f} s"
    )
    for remark in found.notes:
        show(f"note: {remark}")
    if html:
        show(f"the differences are marked in {html}")


def _line(mark: str, chance: str, document_id: str, text: str) -> str:
    return f"{mark} {chance:>5}  {document_id}: {clip(' '.join(text[:400].split()), 100)}"


def _write_page(found: "Duplicates", file: Path) -> None:
    from search.deduplication.page import to_html

    try:
        file.write_text(to_html(found), encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise SearchError(f"the page cannot be written to {file}: {error.strerror}") from error
