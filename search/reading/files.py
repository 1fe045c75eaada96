"""Which files does a path stand for? Folders without what is hidden or ignored; and a file as it was at one moment."""

import hashlib
import itertools
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from errno import EFBIG, ENAMETOOLONG, EXDEV
from functools import lru_cache
from glob import has_magic
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from search import kinds
from search.documents import Document, Json, Rejection
from search.errors import InvalidDocument
from search.reading.patterns import IgnoreRules, glob
from search.system import files as regular
from search.system.posix import check_posix

_COMPRESSED = frozenset((".gz", ".bz2", ".xz", ".zst"))
UNPACKED = _COMPRESSED | {".zip", ".tar", ".tgz", ".tbz2", ".txz", ".tzst"}
ARCHIVES = UNPACKED | {".7z", ".rar"}
_OF_FOLDERS = "reading folders and patterns"
AN_ARCHIVE = "an archive; unpack it, or read what is in it with --archives"
IGNORE_FILES = (".gitignore", ".searchignore")
LONGEST = 64_000_000  # bytes; longer lines and files are skipped unread, so that memory stays bounded
_LARGEST_PACKED = 4_000_000_000  # bytes, of a document whose pictures are not read
_LONGEST_IGNORE_FILE = 1_000_000  # bytes
_SHOWN = 100  # characters of a line of an ignore file
TRIES = 3  # to read a file that others write at the same time
_KINDS_SHOWN = 8
_HIDDEN = (".", "~$")  # how names begin of what is hidden, and of what Office keeps beside a document that is open
CHANGED = "changed while it was read; ingest it again"

Item = Document | Rejection
Rules = tuple[Path, IgnoreRules]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file and the name it goes by: that of its folder, and its place in it."""

    path: Path
    name: str
    within: Path | None = None  # the folder, without links in its path, that a link may not lead out of
    folder: str = ""  # a hash of the one that the name begins with
    media_type: str = ""  # of what is in it, if that is one document, or many mails; empty if its name has to say so
    archive: "SourceFile | None" = (
        None  # that it was unpacked from; the compressed file, of the same name, if it was read by itself
    )
    root: Path | None = None  # the folder that the name begins with, without links in its path …
    prefix: str = ""  # … and what goes before that

    def open(self) -> BinaryIO:
        """Open the file for reading.

        Raises:
            OSError: it cannot be opened, is no regular file, or leads out of its folder by now.
        """
        return open_regular(self.path, self.within)

    def reject(self, reason: str) -> Rejection:
        """A rejection of the whole file."""
        return Rejection(self.name, None, self.name, reason, self.place())

    def reject_many(self, reason: str) -> Rejection:
        """A rejection of a file of many documents, whose ids are unknown."""
        return Rejection(self.name, None, None, reason, self.place())

    def inside(self) -> str:
        """Where something of the file with an id of its own was read: the folder's hash, and the file's behind a slash."""
        name = f"{self.name}/{self.path.name}" if self.archive and self.archive.name == self.name else self.name
        path = self.archive.path / name if self.archive else self.path.resolve()
        return f"{self.folder}/{_hash_of(path)}" if self.folder else ""

    def places(self) -> list[tuple[str, str]]:
        """Names that it would go by if another folder of its path were named, or it by itself, each with that folder's hash.

        What is compressed has one as a file of an archive, and one by itself.
        """
        if self.archive:
            rest = self.name.removeprefix(self.archive.name)
            inside = f"/{self.path.name}"
            rests = ["", inside] if is_compressed(self.archive.path) and rest in {"", inside} else [rest]
            archives = [(self.archive.name, self.folder), *self.archive.places()]
            return [(name + one, folder) for name, folder in archives for one in rests if name + one != self.name]
        if self.root is None:
            return []
        path = self.root / self.name.removeprefix(_begun(self.root, self.prefix))
        others = (folder for folder in path.parents if folder != self.root)
        return [(_begun(folder, self.prefix) + path.relative_to(folder).as_posix(), _hash_of(folder)) for folder in others]

    def place(self) -> dict[str, Json]:
        """What a file of rejects says of it, to be read again: where it is, or the archive that it was unpacked from."""
        file = self.archive or self
        return {"file": str(file.path.absolute()), "name": file.name}

    def snapshot(self) -> "Snapshot":
        """Open the file to read it as one document.

        Raises:
            OSError: see `open`.
            InvalidDocument: it is too large.
        """
        snapshot = Snapshot(self.open())
        is_packed = (self.media_type or kinds.by_name(self.path)) in kinds.PACKED
        most = _LARGEST_PACKED if is_packed else LONGEST
        if snapshot.status.st_size > most:
            snapshot.stream.close()
            raise InvalidDocument(f"larger than {most:,} bytes; split it")
        return snapshot

    def whole(self, parse: Callable[[BinaryIO, "SourceFile"], Item]) -> Item:
        """Read the file as one document, with the time it was written at; what changes meanwhile is read again."""
        try:
            for _ in range(TRIES):
                snapshot = self.snapshot()
                with snapshot.stream as stream:
                    item = parse(stream, self)
                    if snapshot.is_current():
                        if isinstance(item, Rejection):
                            return item
                        return item.read_at(self.folder, modified=snapshot.status.st_mtime)
        except InvalidDocument as error:
            return self.reject(str(error))
        except OSError as error:
            return self.reject(f"cannot be read: {error.strerror}")
        return self.reject(CHANGED)

    def steadily(self, items: Callable[[BinaryIO, "SourceFile"], Iterable[Item]]) -> Iterator[Item]:
        """Documents of a file of many; at its end, whether it changed meanwhile. A file that cannot be read is a rejection."""
        try:
            with self.open() as stream:
                snapshot = Snapshot(stream)
                yield from items(stream, self)
                if not snapshot.is_current():
                    yield Rejection(self.name, None, None, CHANGED)
        except OSError as error:
            yield Rejection(self.name, None, None, f"cannot be read: {error.strerror}")


class Snapshot:
    """An open file, as it was when it was opened."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.status = os.fstat(stream.fileno())

    def is_current(self) -> bool:
        """Whether it has not changed since."""
        now = os.fstat(self.stream.fileno())
        return (now.st_ino, now.st_size, now.st_mtime_ns) == (self.status.st_ino, self.status.st_size, self.status.st_mtime_ns)


def open_regular(path: Path, within: Path | None = None) -> BinaryIO:
    """Open a regular file for reading: never a pipe, which would wait for a writer, nor a device, which may have no end.

    Args:
        path: of the file; links are followed.
        within: a folder without links in its path that the file has to be in; whatever is put in place of a part of the path
            meanwhile is not followed.

    Raises:
        OSError: it cannot be opened, is no regular file, or is somewhere else.
    """
    if within is None:
        return regular.open_regular(path)
    resolved = path.resolve(strict=True)
    if not resolved.is_relative_to(within):
        raise OSError(EXDEV, "it leads out of its folder", str(path))
    *folders, name = resolved.relative_to(within).parts
    here = os.open(within, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for folder in folders:
            inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = inner
        return regular.open_regular(Path(name), here)
    finally:
        os.close(here)


def read_whole(stream: BinaryIO) -> bytes:
    """All of a file.

    Raises:
        InvalidDocument: it has more bytes than are read of one.
    """
    content = stream.read(LONGEST + 1)
    if len(content) > LONGEST:
        raise InvalidDocument(f"larger than {LONGEST:,} bytes; split it")
    return content


@dataclass(frozen=True)
class Listing:
    """What a path stands for."""

    files: list[SourceFile]  # what can be read
    left_out: list[Path]  # files without a text, empty ones, files that an ignore file or a pattern names, and links to folders
    outside: list[Path]  # links to what is not in the folder
    refused: list[Rejection]  # what cannot be listed, archives, and documents of formats that cannot be read
    notes: list[str]  # lines of ignore files that mean nothing, and archives with links
    archives: list[SourceFile]  # that are to be unpacked, and compressed files

    @classmethod
    def refusing(cls, *rejections: Rejection) -> "Listing":
        """A listing without a file."""
        return cls([], [], [], list(rejections), [], [])

    @classmethod
    def together(cls, listings: Sequence["Listing"]) -> "Listing":
        """What some paths stand for, one after the other."""
        return cls(**{one.name: [item for listing in listings for item in getattr(listing, one.name)] for one in fields(cls)})

    @classmethod
    def of(
        cls,
        path: str,
        tables: Sequence[str],
        *,
        exclude: Sequence[str],
        ignore_files: bool,
        prefix: str = "",
        media_type: str = "",
        archives: bool = False,
        archive: SourceFile | None = None,
        alone: bool = False,
    ) -> "Listing":
        """List a file, a folder with everything below it, or what a pattern matches, in order. A prefix goes before their names.

        A link is taken where it leads to a file inside the folder, under its own name; a file named by itself may lead anywhere.

        Args:
            path: of a file or a folder, or a pattern.
            tables: suffixes of files of many documents.
            exclude: patterns of what to leave out.
            ignore_files: whether ignore files have a say.
            prefix: of all names.
            media_type: of all files, whatever their names say; those without a text are left out of folders all the same.
            archives: whether archives are to be unpacked; files that are compressed are in any case.
            archive: that the folder was unpacked from; names begin with its name, or are that, if it was a file by itself.
            alone: whether it was.

        Raises:
            InvalidDocument: the path is empty, does not exist, is an archive, or nothing in it can be read; or a pattern of
                `exclude` can match nothing.
            SearchError: it is a folder or a pattern, and this is no POSIX system.
        """
        if not path:
            raise InvalidDocument("a path is empty; write . for the working folder")
        start, walk = regular.expanded(path), _Walk(exclude, ignore_files=ignore_files)
        try:
            start.absolute()
        except FileNotFoundError as error:
            raise InvalidDocument(f"{path} would be in a working folder that is gone; change into one that is there") from error
        if denied := _denied(start):
            return cls.refusing(Rejection(path, None, None, f"cannot be read: {denied}"))
        root, paths, within = _gone_through(start, walk)
        if not (paths or walk.refused or start.exists()):
            raise InvalidDocument(f"{path} {'matches no file' if has_magic(path) else 'does not exist'}")
        outside = [file for file, _ in paths if within and file.is_symlink() and not file.resolve().is_relative_to(within)]
        apart = set(outside)
        above = root.resolve()
        folder, place = (archive.folder, f"{archive.name}/") if archive else (_hash_of(above), _begun(above, prefix))
        about: dict[str, Any] = {"archive": archive} if archive else {"root": above, "prefix": prefix}
        wanted = [
            SourceFile(
                file, archive.name if archive and alone else place + file.relative_to(root).as_posix(), within, folder, **about
            )
            for file, is_wanted in paths
            if is_wanted and file not in apart
        ]
        unpacked = [file for file in wanted if not archive and _is_unpacked(file.path, archives=archives)]
        apart.update(file.path for file in unpacked)
        others = [file for file in wanted if file.path not in apart]
        files, refused = _readable(others, tables) if not media_type else (_of_kind(others, media_type), [])
        if within is None and refused:
            raise InvalidDocument(f"{path} is {refused[0][1]}")
        if not (files or refused or walk.refused or unpacked):
            raise InvalidDocument(_nothing_in(path, outside, [file.path for file in wanted]))
        known = {file.path for file in [*files, *(file for file, _ in refused)]} | apart
        left_out = [file for file, _ in paths if file not in known]
        return cls(files, left_out, outside, [*walk.refused, *(one.reject(why) for one, why in refused)], walk.notes, unpacked)


def is_compressed(path: Path) -> bool:
    """Whether a file is another one that is compressed, by its name; an archive of several is none."""
    return path.suffix.lower() in _COMPRESSED and Path(path.stem).suffix.lower() != ".tar"


def _is_unpacked(path: Path, *, archives: bool) -> bool:
    return is_compressed(path) or (archives and path.suffix.lower() in UNPACKED)


def _begun(folder: Path, prefix: str) -> str:
    """What the names of files below a folder begin with."""
    return prefix + f"{folder.name}/".lstrip("/")


@lru_cache
def _hash_of(path: Path) -> str:
    return hashlib.blake2b(os.fsencode(path), digest_size=6).hexdigest()


def _gone_through(start: Path, walk: "_Walk") -> tuple[Path, list[tuple[Path, bool]], Path | None]:
    """What names begin behind; the files, each with whether it is wanted; and the folder that links may not lead out of."""
    if start.is_dir():
        check_posix(_OF_FOLDERS)
        return start, list(walk.below(start)), start.resolve()
    if start.exists():
        return start.parent, [(start, True)], None
    if has_magic(str(start)):
        check_posix(_OF_FOLDERS)
        root, pattern = _taken_apart(start)
        return root, sorted(walk.matching(root, pattern)), root.resolve()
    return start, [], None


def _readable(files: Sequence[SourceFile], tables: Sequence[str]) -> tuple[list[SourceFile], list[tuple[SourceFile, str]]]:
    """What can be read of some files, each with what is in it; and documents that cannot be read, each with the reason."""
    readable: list[SourceFile] = []
    refused: list[tuple[SourceFile, str]] = []
    for file in files:
        suffix = file.path.suffix.lower()
        if file.within is not None and kinds.is_of_machines(file.path):
            continue
        if suffix in ARCHIVES:
            refused.append((file, AN_ARCHIVE if suffix in UNPACKED and not file.archive else "an archive; unpack it"))
        elif why := kinds.unreadable(file.path):
            refused.append((file, why))
        elif suffix in tables:
            readable.append(file)
        elif media_type := _media_type(file):
            readable.append(replace(file, media_type=media_type))
    return readable, refused


def _of_kind(files: Sequence[SourceFile], media_type: str) -> list[SourceFile]:
    """Those of some files that may be of a kind, each as being of it."""
    is_packed = media_type in kinds.OFFICE.values() or media_type == kinds.PDF
    return [
        replace(file, media_type=media_type)
        for file in files
        if file.within is None or is_packed or kinds.is_text(_beginning(file))
    ]


def _beginning(file: SourceFile) -> bytes:
    """The first bytes of a file; some letter of one that cannot be read, whose rejection says why."""
    try:
        with file.open() as stream:
            return stream.read(kinds.BEGINNING)
    except OSError:
        return b"x"


def _media_type(file: SourceFile) -> str:
    """What is in a file; empty if it is nothing to read. A file that was named by itself is always something to read."""
    by_name = kinds.by_name(file.path)
    try:
        if by_name:
            if file.within is None or by_name not in kinds.SOURCE:
                return by_name
            status = file.path.stat()  # code may be empty; any other text that is, is told: it may be written to just now
            return "" if stat.S_ISREG(status.st_mode) and not status.st_size else by_name
        with file.open() as stream:
            beginning = stream.read(kinds.BEGINNING)
    except OSError:
        return by_name or kinds.PLAIN  # whose rejection says why it cannot be read
    if file.within and kinds.is_link(beginning):
        return ""
    return kinds.media_type(file.path, beginning) or ("" if file.within else kinds.PLAIN)


def _nothing_in(path: str, outside: Sequence[Path], wanted: Sequence[Path]) -> str:
    """Why there is nothing to read."""
    if outside:
        return f"{path} holds nothing but links that lead out of it; name the files themselves, such as {outside[0]}"
    if wanted:
        return (
            f"{path} holds no file with a text in it, only {by_kind(wanted)}; convert them, or write their documents as JSON lines"
        )
    return f"{path} holds no file that is not hidden or left out"


def by_kind(files: Sequence[Path]) -> str:
    """How many there are of each kind, as in "3 .png, 1 .zip"."""
    counts = Counter(file.suffix.lower() or "without a suffix" for file in files)
    shown = [f"{count:,} {suffix}" for suffix, count in counts.most_common(_KINDS_SHOWN)]
    others = sum(counts.values()) - sum(count for _, count in counts.most_common(_KINDS_SHOWN))
    return ", ".join([*shown, *([f"{others:,} others"] if others else [])])


class _Level(NamedTuple):
    """A folder that is being gone through."""

    entries: Iterator[tuple[Path, bool]]  # which are left
    rules: list[Rules]  # of it and the folders above
    wanted: bool


class _Walk:
    """Goes through folders, without what is hidden; links to folders, which may lead in a circle, only a pattern follows."""

    def __init__(self, exclude: Sequence[str], *, ignore_files: bool) -> None:
        self.refused: list[Rejection] = []
        self.notes: list[str] = []
        self._exclude = IgnoreRules(exclude)
        self._ignore_files = IGNORE_FILES if ignore_files else ()
        for line, why in self._exclude.unusable:
            message = f"--exclude is {_clipped(line)}, which can match nothing: {why}; write it as in a .gitignore file"
            raise InvalidDocument(message)

    def below(self, root: Path) -> Iterator[tuple[Path, bool]]:
        """The files below a folder, in order, each with whether it is wanted."""
        levels = [self._level(root, [(root, self._exclude)], wanted=True)]
        while levels:
            level = levels[-1]
            for path, is_folder in level.entries:
                wanted = level.wanted and not _ignored(path, level.rules, is_folder=is_folder)
                if is_folder and not path.is_symlink():
                    levels.append(self._level(path, level.rules, wanted=wanted))
                    break
                yield path, wanted and not is_folder
            else:
                levels.pop()

    def matching(self, root: Path, pattern: str) -> Iterator[tuple[Path, bool]]:
        """The files that match a pattern, in no order, each with whether it is wanted; ignore files have no say.

        Only folders are opened that may lead to a match. A link to one inside the root is followed where a part of the pattern
        matches its name; what ** stands for holds no links, as below a folder. Of links that are not followed there are the links.
        """
        if not root.is_dir():
            return
        within, regex, parts = root.resolve(), glob(pattern), pattern.split("/")
        deep = "**" in parts
        steps = [glob(part) for part in itertools.takewhile("**".__ne__, parts)]  # what each folder's name has to match
        folders = [(root, 0)]
        while folders:
            folder, level = folders.pop()
            for path, is_folder in self._entries(folder, steps[level] if level < len(steps) else None):
                place = path.relative_to(root).as_posix()
                if not is_folder:
                    if regex.fullmatch(place):
                        yield path, not self._exclude.ignores(place)
                elif deep or level + 1 < len(steps):
                    target = path.resolve() if path.is_symlink() else None
                    if target is None or (level < len(steps) and _leads_on(folder, target, within)):
                        folders.append((path, level + 1))
                    else:
                        yield path, not target.is_relative_to(within)

    def _level(self, folder: Path, above: list[Rules], *, wanted: bool) -> "_Level":
        try:
            rules = [(folder, self._rules(folder / name)) for name in self._ignore_files]
        except OSError as error:
            self.refused.append(Rejection(str(folder), None, None, f"cannot be read: {error.filename}: {error.strerror}"))
            return _Level(iter(()), above, wanted)
        return _Level(self._entries(folder), [*above, *(pair for pair in rules if pair[1])], wanted)

    def _entries(self, folder: Path, names: re.Pattern[str] | None = None) -> Iterator[tuple[Path, bool]]:
        """What is in a folder and not hidden, by such names, with whether it is a folder; what cannot be read is refused."""
        try:
            (folder / "..").stat()  # who may list a folder and not enter it, learns nothing of what is in there
            with os.scandir(folder) as entries:
                visible = [entry for entry in entries if not entry.name.startswith(_HIDDEN)]
        except OSError as error:
            self.refused.append(Rejection(str(folder), None, None, f"cannot be read: {error.strerror}"))
            return
        for entry in sorted(visible, key=lambda entry: entry.name):
            if names and not names.fullmatch(entry.name):
                continue
            try:
                yield folder / entry.name, entry.is_dir()
            except OSError as error:  # a link that leads to itself
                self.refused.append(Rejection(str(folder / entry.name), None, None, f"cannot be read: {error.strerror}"))

    def _rules(self, file: Path) -> IgnoreRules:
        """The rules of an ignore file, none if there is no file. One that cannot be read raises: it may name what must stay out."""
        try:
            with open_regular(file) as stream:
                content = stream.read(_LONGEST_IGNORE_FILE + 1)
        except FileNotFoundError:
            return IgnoreRules(())
        except OSError:
            if file.is_dir():
                return IgnoreRules(())
            raise
        if len(content) > _LONGEST_IGNORE_FILE:
            raise OSError(EFBIG, f"it is larger than {_LONGEST_IGNORE_FILE:,} bytes", str(file))
        rules = IgnoreRules(content.decode("utf-8-sig", "replace").split("\n"))
        self.notes += [f"{file}: {_clipped(line)} can match nothing and is passed over: {why}" for line, why in rules.unusable]
        return rules


def _denied(path: Path) -> str:
    """Why this process may not look whether a path exists; empty if it may.

    Raises:
        InvalidDocument: no file has a name so long.
    """
    try:
        path.stat()
    except PermissionError as error:
        return error.strerror or str(error)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == ENAMETOOLONG:
            raise InvalidDocument(f"{_clipped(str(path))} does not exist: no file has a name so long") from error
    return ""


def _taken_apart(pattern: Path) -> tuple[Path, str]:
    """The folder in front of a pattern, and the pattern below it."""
    first = next(i for i, part in enumerate(pattern.parts) if has_magic(part))
    return Path(*pattern.parts[:first]), "/".join(pattern.parts[first:])


def _leads_on(folder: Path, target: Path, within: Path) -> bool:
    """Whether a link in a folder leads to one inside the root, and not back to where it comes from."""
    return target.is_relative_to(within) and not folder.resolve().is_relative_to(target)


def _clipped(line: str) -> str:
    return repr(line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…")


def _ignored(path: Path, rules: list[Rules], *, is_folder: bool) -> bool:
    """What the innermost pattern that speaks of a path says of it."""
    for folder, patterns in reversed(rules):
        verdict = patterns.verdict(path.relative_to(folder).as_posix(), is_folder=is_folder)
        if verdict is not None:
            return verdict
    return False
