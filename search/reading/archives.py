"""What is in an archive? The child process that reads files unpacks it and writes nothing; this process writes what comes of it.

Nothing is written outside a new folder, whatever names say, and an archive that is damaged gives nothing, not a part.
"""

import base64
import bz2
import gzip
import io
import lzma
import os
import shutil
import stat
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from errno import EDQUOT, ENOSPC
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, BinaryIO, NamedTuple, Self

from search.documents import Rejection, counted
from search.errors import InvalidDocument
from search.kinds import MAILBOX
from search.reading.files import AN_ARCHIVE, Listing, SourceFile
from search.system.extras import how_to_install

if TYPE_CHECKING:
    from search.reading.child import Reader

_PIECE = 1 << 18  # bytes handed over at once
_DEEPEST = 100  # folders in each other
_BLOCK = 4096  # bytes that a file or a folder takes, whatever is in it
_LOOKED_EVERY = 1000  # files and folders made, after which the disk is looked at again
_ENCRYPTED = 1  # a bit of a zip entry's flags
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, OSError, EOFError)
_NO_HEADER = (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError, tarfile.EmptyHeaderError)  # type: ignore[attr-defined]


class _Left(io.RawIOBase):
    """A stream that stays open when this is closed."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._stream.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


def _zstandard(stream: BinaryIO) -> Any:
    import pyarrow as pa  # Python has none before 3.14

    return pa.CompressedInputStream(_Left(stream), "zstd")


_COMPRESSED: dict[bytes, Any] = {  # by how they begin
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
    b"\x28\xb5\x2f\xfd": _zstandard,
}


class Most(NamedTuple):
    """How much an archive may hold."""

    bytes: int = 4_000_000_000  # unpacked
    files: int = 200_000  # and folders
    left_free: int = 500_000_000  # bytes of the disk


class Member(NamedTuple):
    """A file in an archive."""

    name: str
    modified: float  # seconds since 1970
    unpackable: str = ""  # why it cannot be unpacked; empty if it can


def unpacked(
    archive: SourceFile,
    folder: Path,
    reader: "Reader",
    tables: Sequence[str],
    options: Mapping[str, Any],
    most: Most,
    *,
    alone: bool = False,
) -> Listing:
    """Unpack an archive, or one file that is compressed, into a new folder, and list what is in it under the archive's name.

    See `Listing.of` for tables, options, and a compressed file that is read by itself, under its own name. Files that cannot be
    unpacked are refused; so is the whole archive, if it is damaged or holds too much.
    """
    folder.mkdir()
    try:
        with archive.open() as stream:
            rejections, links = _unpack(reader.contents(stream, archive, alone=alone), archive, folder, tables, most)
    except (InvalidDocument, OSError) as error:
        reason = str(error) if isinstance(error, InvalidDocument) else f"cannot be unpacked: {error.strerror}"
        is_document = alone and not archive.path.stem.lower().endswith(tuple(tables))
        return Listing.refusing((archive.reject if is_document else archive.reject_many)(reason))
    is_named = alone and not archive.within  # such a file is read whatever is in it
    start = folder / archive.path.stem if is_named else folder
    try:
        listing = Listing.of(str(start), tables, archive=archive, alone=alone, **options)
    except InvalidDocument as error:  # there is nothing to read in it
        if alone and not is_named:
            return replace(Listing.refusing(), left_out=[archive.path])
        listing = Listing.refusing(archive.reject(str(error).removeprefix(f"{start} ")))
    if alone:
        return _fitting(listing)
    return replace(
        listing,
        left_out=[archive.path / path.relative_to(folder) for path in listing.left_out],
        refused=[*rejections, *listing.refused],
        notes=[*(note.replace(str(folder), str(archive.path), 1) for note in listing.notes), *_noted(archive.path, links)],
    )


def _fitting(listing: Listing) -> Listing:
    """What is in a compressed file, unless that is a document that is too large."""
    for file in listing.files:
        try:
            if file.media_type not in {"", MAILBOX}:
                file.snapshot().stream.close()
        except (InvalidDocument, OSError) as error:
            return Listing.refusing(file.reject(str(error)))
    return listing


def _noted(archive: Path, links: Sequence[str]) -> list[str]:
    """That an archive holds links."""
    if not links:
        return []
    return [f"{archive}: left out {counted(len(links), 'link')}, such as {links[0]!r}; unpack it to follow links"]


def _unpack(
    content: Iterable[tuple[str, Any]], archive: SourceFile, folder: Path, tables: Sequence[str], most: Most
) -> tuple[list[Rejection], list[str]]:
    """Write the files of an archive into a folder; those that were not, each with the reason; and the names of links."""
    rejections, links = [], []
    with _Writer(folder, most) as writer:
        for kind, value in content:
            if kind == "piece":
                writer.write(base64.b64decode(value))
                continue
            if kind == "link":
                links.append(value)
                continue
            member = Member(*value)
            if reason := writer.begin(member) if not member.unpackable else member.unpackable:
                name = f"{archive.name}/{member.name}"
                of_many = name.lower().endswith(tuple(tables))  # of which nobody knows the documents
                rejections.append(Rejection(name, None, None if of_many else name, reason))
    return rejections, links


class _Writer:
    """Writes one file after the other below a folder."""

    def __init__(self, folder: Path, most: Most) -> None:
        self._folder = folder
        self._most = most
        self._room = most.bytes
        self._made = 0  # files and folders
        self._take(0)
        self._file: tuple[BinaryIO, Path, float] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def begin(self, member: Member) -> str:
        """Begin a file; the reason if it cannot be, and is passed over."""
        self._end()
        path = PurePosixPath(member.name.lstrip("/"))
        if ".." in path.parts or not path.name:
            return "its name leads out of the archive; unpack it"
        if len(path.parts) > _DEEPEST:
            return f"it lies in more than {_DEEPEST} folders; unpack it"
        target = self._folder / path
        try:
            folders = next(depth for depth, one in enumerate(target.parents) if one == self._folder or one.is_dir())
            self._take(1 + folders)
            target.parent.mkdir(parents=True, exist_ok=True)
            self._file = target.open("wb"), target, member.modified
        except (OSError, ValueError) as error:  # a file where a folder should be, a name that is too long, or holds a zero byte
            if isinstance(error, OSError) and error.errno in {ENOSPC, EDQUOT}:
                raise
            return f"cannot be unpacked: {error.strerror if isinstance(error, OSError) else error}"
        return ""

    def write(self, piece: bytes) -> None:
        """Go on with the file, if it has begun."""
        self._take(0, len(piece))
        if self._file:
            self._file[0].write(piece)

    def _take(self, entries: int, size: int = 0) -> None:
        """Account for files and folders that are to be made, and bytes that are to be written."""
        before, self._made = self._made, self._made + entries
        if self._made > self._most.files:
            raise InvalidDocument(f"holds more than {self._most.files:,} files and folders; unpack it")
        self._room -= size + entries * _BLOCK
        if before // _LOOKED_EVERY < self._made // _LOOKED_EVERY or not self._made:  # others write, too
            self._room = min(self._room, shutil.disk_usage(self._folder).free - self._most.left_free)
        if self._room < 0:
            raise InvalidDocument(f"holds more than {self._most.bytes:,} bytes, or than the disk has room for; unpack it elsewhere")

    def _end(self) -> None:
        if self._file:
            stream, path, modified = self._file
            self._file = None
            stream.close()
            try:
                os.utime(path, (modified, modified))
            except (ValueError, OverflowError, OSError):  # a time that there is not
                os.utime(path, (0, 0))


# What follows runs in the child.


def contents(stream: BinaryIO, file: SourceFile, *, alone: bool = False) -> Iterator[tuple[str, Any]]:
    """What is in a zip or tar archive, or in a compressed file: each `Member`, and behind it its content in pieces of base64.

    Of symbolic links there are the names; folders and devices are passed over.

    Raises:
        InvalidDocument: it is damaged, no archive, or one though it is to be a file by itself.
    """
    try:
        beginning = stream.read(tarfile.BLOCKSIZE)
        stream.seek(0)
        opened = next((opened for mark, opened in _COMPRESSED.items() if beginning.startswith(mark)), None)
        if opened is not None:
            with opened(stream) as plain:
                is_tar = _is_tar(plain.read(tarfile.BLOCKSIZE))
            if is_tar and alone:
                raise InvalidDocument(AN_ARCHIVE)
            stream.seek(0)
            with opened(stream) as plain:
                if is_tar:
                    yield from _of_tar(plain)
                else:
                    yield "member", Member(file.path.stem, os.fstat(stream.fileno()).st_mtime)
                    yield from _pieces(plain)
        elif alone:
            raise InvalidDocument("damaged, or not compressed as its name says; rename it, or leave it out")
        elif not _is_tar(beginning) and zipfile.is_zipfile(stream):  # which a tar may end with
            yield from _of_zip(stream)
        else:
            stream.seek(0)
            yield from _of_tar(stream)
    except ModuleNotFoundError as error:
        raise InvalidDocument(how_to_install(error)) from error
    except _DAMAGED as error:
        raise InvalidDocument(f"damaged{'' if alone else ', or no archive'}: {error}") from error


def _is_tar(beginning: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(beginning, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _of_zip(stream: BinaryIO) -> Iterator[tuple[str, Any]]:
    with zipfile.ZipFile(stream) as archive:
        for entry in archive.infolist():
            mode = entry.external_attr >> 16
            if stat.S_ISLNK(mode):
                yield "link", entry.filename
            if entry.is_dir() or (stat.S_IFMT(mode) and not stat.S_ISREG(mode)):
                continue
            try:
                modified = time.mktime((*entry.date_time, 0, 0, -1))
            except (OverflowError, ValueError):
                modified = 0.0
            if entry.flag_bits & _ENCRYPTED:
                yield "member", Member(entry.filename, modified, "encrypted; unpack it with its password")
                continue
            try:
                content = archive.open(entry)
            except NotImplementedError as error:  # a method of compression
                yield "member", Member(entry.filename, modified, f"cannot be unpacked: {error}")
                continue
            yield "member", Member(entry.filename, modified)
            with content:
                yield from _pieces(content)


def _of_tar(stream: IO[bytes]) -> Iterator[tuple[str, Any]]:
    with closing(tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header)) as archive:
        for entry in archive:
            if entry.issym():
                yield "link", entry.name
            elif entry.islnk():
                yield "member", Member(entry.name, entry.mtime, "a hard link; unpack it")
            elif entry.isreg() and (content := archive.extractfile(entry)):
                yield "member", Member(entry.name, entry.mtime)
                yield from _pieces(content)
            archive.members.clear()  # type: ignore[attr-defined]  # which it would keep
    while stream.read(_PIECE):
        pass  # a compressed file tells at its end whether it is whole


class _Header(tarfile.TarInfo):
    """A header that is damaged or missing ends reading with an error; tarfile takes it for the end of the archive."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except _NO_HEADER as error:
            raise tarfile.ReadError(str(error)) from error


def _pieces(content: IO[bytes]) -> Iterator[tuple[str, str]]:
    for piece in iter(partial(content.read, _PIECE), b""):
        yield "piece", base64.b64encode(piece).decode()
