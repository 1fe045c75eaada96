"""Which documents do files hold that are compared without a collection? Each once, by a name of its own that leads to it."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from glob import has_magic
from pathlib import Path
from typing import NamedTuple

from search.documents import Document, Rejection, counted, listed
from search.errors import InvalidDocument
from search.reading import STDIN, Reading
from search.reading.child import Limits
from search.reading.files import by_kind
from search.system.files import expanded

_OF_INGESTION = re.compile(r"--(?:again|archives|as|encoding|field)\b")  # what readers advise, and a comparison has not


class Files:
    """The documents of files, folders and patterns, as they are compared; what cannot be read comes out as a Rejection.

    A file goes by its path as it was named, one of the working folder by that folder's name; a row or an object with an id of its
    own by its file and that, `csv/old.csv#1`. Where another file has that name, the whole path is in its place; where another row
    has it, the line is named, too: `csv/old.csv:4#1`.
    """

    def __init__(self, paths: Iterable[Path], limits: Limits | None = None) -> None:
        """List the files.

        Raises:
            InvalidDocument: a path that does not exist, holds nothing that can be read, or is an archive.
        """
        self._sources = [(_Root.of(path), _listed(path, limits)) for path in map(expanded, paths)]
        self._files: dict[str, str] = {}  # whole paths by the names of files
        self._ids: set[str] = set()
        self._read: set[tuple[str, str]] = set()  # what came out, by where it is
        self._again = 0

    def __iter__(self) -> Iterator[Document | Rejection]:
        """Read everything, in order."""
        for root, reading in self._sources:
            for item in reading:
                place = _place(root, item)
                if place in self._read:
                    self._again += isinstance(item, Document)
                    continue
                self._read.add(place)
                yield self._named(root, item) if isinstance(item, Document) else _refused(root, item)

    def notes(self) -> list[str]:
        """What is not compared and no rejection says, when all was read."""
        readings = [reading for _, reading in self._sources]
        left_out = [file for reading in readings for file in reading.left_out]
        outside = [file for reading in readings for file in reading.outside]
        notes = [note for reading in readings for note in reading.notes]
        if left_out:
            files = counted(len(left_out), "file was", "files were")
            kinds = by_kind([Path(file) for file in left_out])
            notes.append(f"{files} left out ({kinds}), such as {left_out[0]}: without a text, or named by an ignore file")
        if outside:
            links = counted(len(outside), "link leads out of its folder, and was", "links lead out of their folders, and were")
            notes.append(f"{links} left out, such as {outside[0]}; name the file itself to compare it")
        if self._again:
            notes.append(f"{counted(self._again, 'document was', 'documents were')} named again, and compared once")
        return notes

    def _named(self, root: "_Root", document: Document) -> Document | Rejection:
        """The document by its name here."""
        place = root.below(document.origin)
        head, _, line = place.rpartition(":")
        file = head if head and line.isdecimal() else place
        begun = root.named
        if self._files.setdefault(root.named + file, root.whole + file) != root.whole + file:
            begun = root.whole
        if _is_numbered(document):
            names = [begun + root.below(document.id), begun + place, root.whole + place]
        else:
            names = [f"{begun}{file}#{document.id}", f"{begun}{place}#{document.id}", f"{root.whole}{place}#{document.id}"]
        name = next((one for one in names if one not in self._ids), names[-1])
        self._ids.add(name)
        try:
            return replace(document, id=name, origin=begun + place, folder="", places=())
        except InvalidDocument as error:  # a path that UTF-8 cannot store
            return Rejection(begun + place, None, None, str(error))


class _Root(NamedTuple):
    """The folder that the names of files begin with, in three ways; each with a slash at its end."""

    begun: str = ""  # as readers name it
    named: str = ""  # as it was named
    whole: str = ""  # its whole path, without links

    @classmethod
    def of(cls, path: Path) -> "_Root":
        """That of a file, a folder or a pattern; nothing for standard input."""
        if str(path) == STDIN:
            return cls()
        folder = _folder_of(path)
        resolved = Path(os.path.realpath(folder))
        begun = f"{resolved.name}/".lstrip("/")
        whole = f"{resolved.as_posix().rstrip('/')}/"
        return cls(begun, f"{folder.as_posix().rstrip('/')}/" if folder != Path() else begun or whole, whole)

    def below(self, name: str) -> str:
        """A name without its beginning."""
        return name.removeprefix(self.begun)


def _place(root: _Root, item: Document | Rejection) -> tuple[str, str]:
    """Where it was read, whichever folder of its path was named; and what tells it from others there."""
    if isinstance(item, Rejection):
        return f"{root.whole}{root.below(item.source)}:{item.line}", item.reason.removeprefix(_called(item.document_id))
    return root.whole + root.below(item.origin), root.whole + root.below(item.id) if _is_numbered(item) else item.id


def _is_numbered(document: Document) -> bool:
    """Whether its id is its file's name, with a number behind it if there are several in the file."""
    return bool(document.folder) and "/" not in document.folder


def _folder_of(path: Path) -> Path:
    """The folder behind which readers begin the names of what a path stands for."""
    if os.path.isdir(path):  # noqa: PTH112 -- which raises nothing where nobody may look
        return path
    if has_magic(str(path)) and not os.path.exists(path):  # noqa: PTH110 -- likewise
        return Path(*path.parts[: next(at for at, part in enumerate(path.parts) if has_magic(part))])
    return path.parent


def _listed(path: Path, limits: Limits | None) -> Reading:
    try:
        return Reading(path, limits=limits)
    except InvalidDocument as error:
        raise InvalidDocument(_here(str(error))) from error


def _refused(root: _Root, item: Rejection) -> Rejection:
    """The rejection with the name of its file here."""
    source = item.source
    if root.begun and source.startswith(root.begun):
        source = root.named + root.below(source)
    document_id = source if item.document_id == item.source else item.document_id
    reason, called = item.reason, _called(item.document_id)
    if reason.startswith(called):
        reason = _called(document_id) + reason.removeprefix(called)
    return replace(item, source=source, document_id=document_id, reason=_here(reason))


def _called(document_id: str | None) -> str:
    """How a reason begins that names a document."""
    return f"document {listed([document_id])!r} " if document_id else ""


def _here(reason: str) -> str:
    """A reason, with whose option it is that it names."""
    if _OF_INGESTION.search(reason):
        return f"{reason} (an option of search ingest: ingest it, and compare the collection)"
    return reason
