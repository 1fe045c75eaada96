"""What do commands have in common? Options, settings, and how an object is printed."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.cli.paths import path
from search.documents import Retrieval, counted
from search.errors import CollectionNotFound, InvalidInput, InvalidQuery, InvalidSettings, ModelError, SearchError
from search.settings import LexicalSettings, Settings, unknown_names
from search.system.files import open_regular
from search.system.terminal import clean, note

if TYPE_CHECKING:
    from search.embedding.sparse_models import SparseEmbedders
    from search.index.contract import VectorIndex
    from search.searcher import Searcher

DataDir = Annotated[Path | None, typer.Option(parser=path, help="The folder of the collections.", show_default=False)]
Collection = Annotated[str | None, typer.Option(help="Which collection.", show_default=False)]
Tenant = Annotated[
    str | None, typer.Option(help="Whose documents, where several customers share a collection.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def by_settings(default: object) -> str:
    """What help says of an option that the settings decide, which have a default themselves."""
    return f"the settings', {default}"


DEFAULTS = Settings.model_construct()
Limit = Annotated[int | None, typer.Option(help="Hits shown.", show_default=by_settings(DEFAULTS.limit))]
Depth = Annotated[
    int | None,
    typer.Option(help="Candidates retrieved and reranked.", show_default=f"{by_settings(DEFAULTS.depth)}, or limit if more"),
]
RetrievalMode = Annotated[
    Retrieval | None,
    typer.Option(
        "--retrieval",
        help="hybrid: by vectors and words; dense, lexical: by one of them.",
        show_default=by_settings(DEFAULTS.retrieval),
    ),
]
Split = Annotated[str | None, typer.Option(help="Which judgements of a folder.", show_default="test, else dev")]
NoRerank = Annotated[bool, typer.Option("--no-rerank", help="Keep retrieval order.")]
CONFIG: ContextVar[Path | None] = ContextVar("config", default=None)  # what --config names, before the command


class WrongUsage(SearchError):
    """An argument or option is wrong by itself, whatever the collection holds."""


def load_settings(data_dir: Path | None, collection: str | None, **more: Any) -> Settings:
    """The settings, with what the command line says; variables that mean nothing are noted."""
    for unknown in unknown_names():
        note(f"note: {unknown}")
    values = {"config": CONFIG.get(), "data_dir": data_dir, "collection": collection, **more}
    try:
        return Settings(**{name: value for name, value in values.items() if value is not None})
    except InvalidSettings as error:
        Settings(config=CONFIG.get())  # whose own faults come first
        raise WrongUsage(str(error)) from error


@contextmanager
def usage() -> Iterator[None]:
    """Around what looks at the command line alone: WrongUsage, in the place of what is wrong with it."""
    try:
        yield
    except InvalidInput as error:
        raise WrongUsage(str(error)) from error


def confirm(question: str) -> None:
    """Ask before something is removed for good.

    Raises:
        typer.Abort: the answer is no.
        InvalidQuery: nobody answers.
    """
    try:
        agreed = typer.confirm(clean(question), err=True)
    except typer.Abort as error:
        note("")  # the question's line has no end
        if sys.stdin.isatty():
            raise
        raise InvalidQuery("nobody answers here, and nothing was removed; add --yes") from error
    if not agreed:
        raise typer.Abort


def note_wait(failure: SearchError, seconds: float) -> None:
    """Say on stderr that a server is waited for."""
    note(f"{failure}; trying again in {seconds:.1f} s")


def note_differing(searcher: "Searcher") -> None:
    """Say on stderr which settings a collection was made by otherwise, if it is open."""
    if names := differing(searcher.whole_index, searcher.settings.lexical, searcher.words):
        note(f"note: the collection keeps how it was made, not {names} of the settings; `search reindex` brings it over")


def differing(index: "VectorIndex", lexical: LexicalSettings, words: "SparseEmbedders") -> str:
    """The settings that a collection was made by otherwise, listed; empty for none, or if it is not open."""
    names = list(index.differing)
    with suppress(CollectionNotFound, ModelError):  # a model that is not here is told of where it is needed
        if made := index.spec.lexical:
            names += _differing_words(made, lexical, words)
    return " and ".join(names)


def _differing_words(made: str, lexical: LexicalSettings, words: "SparseEmbedders") -> list[str]:
    """Likewise of the words; a model, which goes by name and hash, is looked for only where one made those of the collection."""
    from search.embedding.sparse import noted

    kept, by = noted(made)
    if kept is None or "version" in by:
        return ["lexical (words of this version)"]
    own, found = noted(words.description) if by and lexical.model not in {"bm25", "none"} else (lexical, {})
    if own is None:
        return ["lexical"]
    names = [f"lexical.{name}" for name in ("model", "language", "fields") if getattr(kept, name) != getattr(own, name)]
    return names or (["lexical.model"] if by != found else [])


def note_repeated(repeated: int, one: str, several: str = "") -> None:
    """Say on stderr how many points repeated a passage, and what became of one, or of several if that is said otherwise."""
    if repeated:
        points = counted(repeated, "point repeated a passage of another", "points repeated passages of others")
        note(f"{points}, and {one if repeated == 1 else several or one}")


def note_removed_repeats(repeated: int, *, dry_run: bool = False) -> None:
    """Say on stderr how many points were removed since they repeated a passage of another, or would be."""
    note_repeated(repeated, *(("would be removed",) if dry_run else ("was removed", "were removed")))


def note_damage(damaged: int, foreign: int, one: str, several: str = "") -> None:
    """Say on stderr how many points of a collection hold no passage, and what became of them; likewise."""
    if damaged:
        note(f"{counted(damaged, 'point')} held no whole passage, and {one if damaged == 1 else several or one}")
    if foreign:
        points = counted(foreign, "point was", "points were")
        note(f"{points} written by another program, and left alone; search doctor names some")


def print_report(report: Any, show_it: Callable[[Any], object], *, as_json: bool) -> None:
    """What came of a command: its `to_dict` as JSON, or by a function for people."""
    if as_json:
        print_json(report.to_dict())
    else:
        show_it(report)


def content_of(file: Path) -> bytes:
    """What stands in a file that somebody named; InvalidQuery if it cannot be read."""
    try:
        with open_regular(file, or_pipe=True) as stream:
            return stream.read()
    except (OSError, ValueError) as error:  # a name that no file can have
        raise InvalidQuery(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def text_of(file: Path | None) -> str:
    """The text in a file, or on standard input where none is named; likewise."""
    content = sys.stdin.buffer.read() if file is None else content_of(file)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InvalidQuery(f"{file or 'standard input'} is not UTF-8 at byte {error.start + 1}; convert it") from error


def print_json(value: dict[str, Any]) -> None:
    """One object on one line."""
    written = json.dumps(value, default=list)  # in ASCII, which every terminal and pipe can carry …
    sys.stdout.write(written.replace("\x7f", "\\u007f") + "\n")  # … but for what ASCII deletes with
