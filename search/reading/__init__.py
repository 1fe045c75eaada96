"""Which documents do some paths hold? Files of many kinds, folders of them, patterns, or JSON lines on standard input.

Nothing is dropped without a word: what cannot be taken comes out as a Rejection, with its place and the reason.
"""

import os
import shutil
import sys
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import groupby
from os import PathLike, fspath
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from search import kinds
from search.documents import Document, Rejection, check_flags
from search.errors import InvalidDocument, InvalidQuery
from search.reading import lines, records, tables, text
from search.reading.archives import Most, unpacked
from search.reading.child import Limits, Reader
from search.reading.files import ARCHIVES, Listing, SourceFile, is_compressed
from search.reading.named import Named

STDIN = "-"
_OF_MANY = (*lines.SUFFIXES, *tables.SUFFIXES)
_PAGES = frozenset(kinds.PAGES.values())


class Extent(NamedTuple):
    """How large a file is."""

    name: str
    bytes: int
    documents: int  # rejected ones included


class Reading:
    """The documents of files, folders and patterns, as `search ingest` reads them, and as `Searcher.ingest` takes them.

    Files are listed when this is made, and read, one after the other, when it is iterated. What cannot be read comes out among the
    documents as a Rejection.

    Attributes:
        left_out: files below these paths that are of other kinds, or that an ignore file or a pattern names; links to folders.
        outside: links that lead out of the folder they are in; they are not read.
        notes: lines of ignore files that mean nothing, and archives with links; when all was read, also what `fields` names and no
            record has.
    """

    def __init__(
        self,
        paths: str | PathLike[str] | Iterable[str | PathLike[str]],
        *,
        exclude: Iterable[str] = (),
        ignore_files: bool = True,
        encoding: str | None = None,
        fields: Mapping[str, str] | None = None,
        again: bool = False,
        prefix: str = "",
        kind: str | None = None,
        archives: bool = False,
        limits: Limits | None = None,
    ) -> None:
        """List the files.

        Args:
            paths: files, folders, patterns such as "notes/**/*.md", or "-" for JSON lines on standard input.
            exclude: patterns, as in a .gitignore file, of what to leave out below folders.
            ignore_files: whether .gitignore and .searchignore below a folder say what to leave out.
            encoding: of text, CSV and TSV; None finds it out, and metadata.encoding says so where it is not UTF-8.
            fields: where tables and JSON have id, text and title: {"text": "body"}; several, "name,description"; a path,
                "body.content"; and what of these is metadata, too: {"metadata": "name"}. See search.reading.records.
            again: whether JSON lines that an earlier run rejected may name whole files to be read again, anywhere. Not for lines of
                others: they could name any file.
            prefix: goes before all ids, such as "two/": folders of the same name give the same ones otherwise, and so do tables
                whose rows are numbered.
            kind: of all files, whatever their names say: text, markdown, html, a language such as python, or a suffix.
            archives: whether zip and tar archives are read as folders: unpacked into a temporary one, which goes when this does.
                Archives in archives are not. Files compressed by gzip, bzip2, xz or zstd are read in any case, and are folders of
                one file with archives.
            limits: what reading one file of those that are read in a child process may take.

        Raises:
            InvalidDocument: a path that does not exist, holds nothing that can be read, or is an archive; a prefix without a name
                or without a slash at its end; an encoding, a field or a kind that there is not.
            InvalidQuery: an argument of another type.
        """
        check_flags(ignore_files=ignore_files, again=again, archives=archives)
        if isinstance(paths, str | PathLike):
            paths = [paths]
        several = _several("paths", paths, str | PathLike, "give a path, or several", "paths are strings or path-like")
        patterns = _several("exclude", exclude, str, "give a list of patterns", "patterns are strings")
        _check(prefix, "" if kind is None else kind, limits)
        self._encoding = text.known_encoding(encoding)
        self._again = again
        self._prefix = prefix
        self._fields = records.checked({} if fields is None else fields)
        self._limits = limits or Limits()
        media_type = kinds.named(kind) if kind else ""
        options: dict[str, Any] = {"exclude": patterns, "ignore_files": ignore_files, "media_type": media_type}
        self._sources: list[Listing | None] = [
            None if path == STDIN else Listing.of(path, _OF_MANY, prefix=prefix, archives=archives, **options)
            for path in map(fspath, several)
        ]
        packed = [archive for source in self._sources if source for archive in source.archives]
        self._sources += self._unpacked(packed, options, alone=not archives) if packed else []
        listings = [source for source in self._sources if source]
        self.left_out = [str(file) for source in listings for file in source.left_out]
        self.outside = [str(file) for source in listings for file in source.outside]
        self.notes = self._noted = [note for source in listings for note in source.notes]

    def __iter__(self) -> Iterator[Document | Rejection]:
        """Read everything, in order.

        Raises:
            ReaderFailed: no process can be started for what is read in one of its own.
        """
        named = Named(self._fields)
        with Reader(self._limits) as reader:
            for source in self._sources:
                if source is None:
                    items = self._with_files(lines.jsonl(sys.stdin.buffer, lines.STDIN, self._fields, named=named), reader)
                    yield from (self._apart(item, "") for item in items)
                    continue
                yield from source.refused
                for many, files in groupby(source.files, _of_many):
                    read = partial(self._tables, named=named) if many else self._documents
                    yield from read(files, reader)
        had_tables = any(source is None or any(map(_of_many, source.files)) for source in self._sources)
        self.notes = self._noted + named.notes(had_tables=had_tables)

    def count(self) -> int | None:
        """How many documents there will be, rejected ones included; None for standard input."""
        extents = self.extents()
        return None if extents is None else sum(one.documents for one in extents)

    def extents(self) -> list[Extent] | None:
        """How large each file is, in order; None for standard input, which has no end that is known.

        What is refused unread, such as an archive, is of no bytes.
        """
        if None in self._sources:
            return None
        extents: list[Extent] = []
        with Reader(self._limits) as reader:
            for source in filter(None, self._sources):
                extents += (Extent(one.source, 0, 1) for one in source.refused)
                extents += (Extent(file.name, _size(file), self._count(file, reader)) for file in source.files)
        return extents

    def _unpacked(self, archives: Iterable[SourceFile], options: Mapping[str, Any], *, alone: bool) -> list[Listing]:
        """What is in some archives, or compressed files, each in a folder that goes with this reading."""
        folder = Path(tempfile.mkdtemp(prefix="search-"))
        weakref.finalize(self, _remove, folder, os.getpid())
        listings: list[Listing] = []
        with Reader(self._limits) as reader:
            for number, archive in enumerate(archives):
                place = folder / str(number)
                listings.append(unpacked(archive, place, reader, _OF_MANY, options, Most(), alone=alone))
                if not listings[-1].files:
                    shutil.rmtree(place, ignore_errors=True)  # others need the room
        return [Listing.together(listings)] if alone else listings

    def _documents(self, files: Iterable[SourceFile], reader: Reader) -> Iterator[Document | Rejection]:
        """Read files of one document each. Pages are with the reader while texts in front of them are read."""
        files = list(files)
        with closing(reader.pages(file for file in files if _is_page(file))) as read:
            for file in files:
                if _is_page(file):
                    item = next(read)
                else:
                    item = file.whole(lambda stream, source: text.read(stream, source, self._encoding))
                yield _placed(item, file, file.places())

    def _tables(self, files: Iterable[SourceFile], reader: Reader, named: Named) -> Iterator[Document | Rejection]:
        """Read files of many documents each."""
        for file in files:
            inside, places = file.inside(), file.places()
            for item in file.steadily(lambda stream, source: self._rows(stream, source, reader, named)):
                yield _placed(self._apart(item, inside), file, places)

    def _rows(self, stream: BinaryIO, file: SourceFile, reader: Reader, named: Named) -> Iterable[Document | Rejection]:
        suffix = _suffix(file)
        if suffix in lines.SUFFIXES:
            return self._with_files(lines.jsonl(stream, file.name, self._fields, file.folder, named), reader)
        if suffix in tables.IN_A_CHILD:
            return reader.rows(stream, file, self._fields, named)
        return tables.read_table(stream, file, self._fields, self._encoding, named)

    def _count(self, file: SourceFile, reader: Reader) -> int:
        """How many documents a file holds, rejected ones included."""
        if not _of_many(file):
            return 1
        suffix = _suffix(file)
        try:
            with file.open() as stream:
                if suffix in lines.SUFFIXES:
                    return lines.count(stream)
                return (reader if suffix in tables.IN_A_CHILD else tables).count(stream, file, self._fields)
        except (OSError, ValueError, InvalidDocument):
            return 1  # the rejection of the file

    def _apart(self, item: Document | Rejection, inside: str) -> Document | Rejection:
        """What has an id of its own, not one of its file's name, with the prefix before it, and with where it was read."""
        if isinstance(item, Document):
            return item if item.folder or not (inside or self._prefix) else item.read_at(inside, prefix=self._missing(item.id))
        if not (item.document_id and self._prefix):
            return item
        return replace(item, document_id=self._missing(item.document_id) + item.document_id)

    def _missing(self, document_id: str) -> str:
        """What goes before an id that does not begin with the prefix yet."""
        return "" if document_id.startswith(self._prefix) else self._prefix

    def _with_files(self, items: Iterator[Document | Rejection | SourceFile], reader: Reader) -> Iterator[Document | Rejection]:
        """Read the files, too, that a file of rejects names."""
        for item in items:
            if not isinstance(item, SourceFile):
                yield item
            elif not self._again:
                yield item.reject("a rejected file; ingest it by itself, or all that this file names with --again")
            elif _of_many(item):
                yield item.reject("a file of many documents; ingest it by itself")
            elif is_compressed(item.path):
                yield item.reject("a compressed file; ingest it by itself")
            elif _suffix(item) in ARCHIVES:
                yield item.reject("an archive; ingest it with --archives, or unpack it")
            else:
                yield from self._documents([item], reader)


read = Reading  # as programs call it


def _check(prefix: Any, kind: Any, limits: Any) -> None:
    """Refuse what is of another type, and a prefix that is none."""
    for name, value in (("prefix", prefix), ("kind", kind)):
        if not isinstance(value, str):
            raise InvalidQuery(f"{name} is a {type(value).__name__}; give a string")
    if not isinstance(limits, Limits | None):
        raise InvalidQuery(f"limits is a {type(limits).__name__}; give Limits")
    if prefix and not (prefix.endswith("/") and prefix.strip("/ ")):
        raise InvalidDocument(f"the prefix is {prefix!r}; write a name with a slash at its end, such as two/")


def _several(name: str, given: Any, kind: Any, advice: str, are: str) -> list[Any]:
    """Some values, if they are of a kind."""
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise InvalidQuery(f"{name} is a {type(given).__name__}; {advice}")
    values = list(given)
    if wrong := [one for one in values if not isinstance(one, kind)]:
        raise InvalidQuery(f"{name} holds a {type(wrong[0]).__name__}; {are}")
    return values


def _remove(folder: Path, owner: int) -> None:
    """Remove a temporary folder, unless this is a fork of the process that made it and goes on with it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def _placed(item: Document | Rejection, file: SourceFile, places: Sequence[tuple[str, str]]) -> Document | Rejection:
    """What has an id of its file's name, with the ids that it would have by that file's other names."""
    if isinstance(item, Rejection) or not item.folder or item.folder != file.folder or not item.id.startswith(file.name):
        return item
    rest = item.id.removeprefix(file.name)
    return item.read_at(item.folder, places=tuple((name + rest, folder) for name, folder in places))


def _suffix(file: SourceFile) -> str:
    return ".mbox" if file.media_type == kinds.MAILBOX else file.path.suffix.lower()


def _of_many(file: SourceFile) -> bool:
    """Whether it holds many documents."""
    return file.media_type in {"", kinds.MAILBOX} and _suffix(file) in _OF_MANY


def _is_page(file: SourceFile) -> bool:
    """Whether a library reads it, in a process of its own."""
    return (file.media_type or kinds.by_name(file.path)) in _PAGES


def _size(file: SourceFile) -> int:
    try:
        return file.path.stat().st_size
    except OSError:
        return 0
