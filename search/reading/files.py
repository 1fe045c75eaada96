"""Which files does a path stand for? Folders without what is hidden or ignored; and a file as it was at one moment."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from glob import has_magic
from pathlib import Path
from typing import Any

from pathspec import GitIgnoreSpec

from search.documents import Document, Rejection
from search.errors import InvalidDocument

ARCHIVES = frozenset((".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar"))
IGNORE_FILES = (".gitignore", ".searchignore")
LONGEST = 64_000_000  # bytes; longer lines and files are skipped unread, so that memory stays bounded
_TRIES = 3  # to read a file that others write at the same time

Item = Document | Rejection
Spec = tuple[Path, GitIgnoreSpec]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file and the name it goes by: that of its folder, and its place in it."""

    path: Path
    name: str

    def reject(self, reason: str, line: int | None = None) -> Rejection:
        """A rejection of the whole file, or of a line of it."""
        if line is not None:
            return Rejection(self.name, line, None, reason)
        return Rejection(self.name, None, self.name, reason, {"file": str(self.path.absolute()), "name": self.name})

    def reject_many(self, reason: str) -> Rejection:
        """A rejection of a file of many documents, of which nobody knows the ids then."""
        return Rejection(self.name, None, None, reason, {"file": str(self.path.absolute()), "name": self.name})

    def whole(self, parse: Callable[[bytes, "SourceFile"], Item]) -> Item:
        """Read the file as one document, with the time it was written at; what changes meanwhile is read again."""
        try:
            for _ in range(_TRIES):
                before = self.path.stat()
                if before.st_size > LONGEST:
                    return self.reject(f"larger than {LONGEST:,} bytes; split it")
                content = self.path.read_bytes()
                if _same(before, self.path.stat()):
                    break
            else:
                return self.reject("changed while it was read; ingest it again")
        except OSError as error:
            return self.reject(f"cannot be read: {error.strerror}")
        try:
            found = parse(content, self)
        except InvalidDocument as error:
            return self.reject(str(error))
        if isinstance(found, Document):
            return replace(found, modified=before.st_mtime)
        return found

    def steadily(self, items: Iterable[Item]) -> Iterator[Item]:
        """Documents of a file of many; at its end, whether it changed meanwhile. A file that cannot be read is a rejection."""
        try:
            before = self.path.stat()
            yield from items
            if not _same(before, self.path.stat()):
                yield Rejection(self.name, None, None, "changed while it was read; ingest it again")
        except OSError as error:
            yield Rejection(self.name, None, None, f"cannot be read: {error.strerror}")


@dataclass(frozen=True)
class Listing:
    """What a path stands for."""

    files: list[SourceFile]
    left_out: list[Path]
    refused: list[Rejection]

    @classmethod
    def of(cls, path: str, kinds: Sequence[str], *, exclude: Sequence[str], ignore_files: bool) -> "Listing":
        """List a file, a folder with everything below it, or what a pattern matches, in order.

        Raises:
            InvalidDocument: the path does not exist, is an archive, or nothing in it can be read.
        """
        given = Path(path).expanduser()
        unreadable: list[Rejection] = []
        if given.is_dir():
            root, found = given, list(_below(given, exclude, unreadable, ignore_files=ignore_files))
        elif given.exists():
            root, found = given.parent, [(given, True)]
        elif has_magic(path):
            root, found = _matching(given, exclude)
        else:
            root, found = given, []
        if not found and not given.exists():
            message = f"{path} {'matches no file' if has_magic(path) else 'does not exist'}"
            raise InvalidDocument(message)
        above = root.resolve().name
        files = [SourceFile(file, f"{above}/{file.relative_to(root).as_posix()}".lstrip("/")) for file, taken in found if taken]
        readable = [file for file in files if file.path.suffix.lower() in kinds]
        archives = [file for file in files if file.path.suffix.lower() in ARCHIVES]
        if given.is_file() and archives:
            message = f"{path} is an archive; unpack it and ingest the folder"
            raise InvalidDocument(message)
        if not (readable or unreadable):
            message = f"{path} holds no {', '.join(kinds)}; convert it, or write its documents as JSON lines"
            raise InvalidDocument(message)
        known = {file.path for file in [*readable, *archives]}
        left_out = [file for file, _ in found if file not in known]
        return cls(readable, left_out, [*unreadable, *(file.reject("an archive; unpack it") for file in archives)])


def missing(error: ModuleNotFoundError) -> str:
    """Why a file cannot be read without a library."""
    return f"{error.name} is not installed; install this package with its extra files, as in pip install '.[cpu,files]'"


def _below(root: Path, exclude: Sequence[str], unreadable: list[Rejection], *, ignore_files: bool) -> Iterator[tuple[Path, bool]]:
    """The files below a folder that are not hidden, in order, each with whether it is wanted; folders that cannot be read."""

    def walk(folder: Path, above: list[Spec], *, wanted: bool) -> Iterator[tuple[Path, bool]]:
        try:
            specs = [*above, *((folder, _spec(folder / name)) for name in IGNORE_FILES if ignore_files)]
            with os.scandir(folder) as entries:
                visible = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
        except OSError as error:
            unreadable.append(Rejection(str(folder), None, None, f"cannot be read: {error.strerror}"))
            return
        for entry in visible:
            path = folder / entry.name
            try:
                is_folder = entry.is_dir()
            except OSError as error:  # a link that leads to itself
                unreadable.append(Rejection(str(path), None, None, f"cannot be read: {error.strerror}"))
                continue
            if not is_folder:
                yield path, wanted and not _ignored(path, specs, is_folder=False)
            elif entry.is_symlink():
                yield path, False  # it may lead in a circle
            else:
                yield from walk(path, specs, wanted=wanted and not _ignored(path, specs, is_folder=True))

    return walk(root, [(root, GitIgnoreSpec.from_lines(exclude))], wanted=True)


def _matching(pattern: Path, exclude: Sequence[str]) -> tuple[Path, list[tuple[Path, bool]]]:
    """The folder in front of a pattern, and the files that match, each with whether it is wanted."""
    first = next(i for i, part in enumerate(pattern.parts) if has_magic(part))
    root = Path(*pattern.parts[:first])
    spec = GitIgnoreSpec.from_lines(exclude)
    matches = sorted(file for file in root.glob("/".join(pattern.parts[first:])) if file.is_file())
    places = [(file, file.relative_to(root)) for file in matches]
    visible = [(file, place) for file, place in places if not any(part.startswith(".") for part in place.parts)]
    return root, [(file, not spec.match_file(place.as_posix())) for file, place in visible]


def _spec(file: Path) -> GitIgnoreSpec:
    return GitIgnoreSpec.from_lines(file.read_text("utf-8", "replace").splitlines() if file.is_file() else [])


def _ignored(path: Path, specs: list[Spec], *, is_folder: bool) -> bool:
    """What the innermost pattern that speaks of a path says of it."""
    for folder, spec in reversed(specs):
        verdict = spec.check_file(path.relative_to(folder).as_posix() + "/" * is_folder).include
        if verdict is not None:
            return verdict
    return False


def _same(before: os.stat_result, after: os.stat_result) -> bool:
    def marks(stat: os.stat_result) -> tuple[Any, ...]:
        return stat.st_ino, stat.st_size, stat.st_mtime_ns

    return marks(before) == marks(after)
