"""Which documents does a file of JSON hold? One for each object of an array or each row of a table, or the file as one."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import replace
from typing import Any, BinaryIO, NamedTuple

from search.documents import Document, Rejection, without_repeats
from search.errors import InvalidDocument
from search.reading import lines
from search.reading.columns import Path, Types
from search.reading.files import LONGEST, Item, SourceFile, read_whole
from search.reading.named import Named
from search.reading.records import (
    AS_IT_IS,
    document_of,
    id_of,
    key_of,
    missing,
    reading_of,
    storable,
    strings_of,
    titled,
    without_strings,
)

_STRING = r'("(?:[^"\\]|\\.)*"?)'  # an open one goes on to the end, lest each quotation mark begin another search for it
_COMMENT = re.compile(rf"{_STRING}|//[^\r\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_LAST_COMMA = re.compile(rf"{_STRING}|,(?=\s*[\]}}])", re.DOTALL)
_VISIBLE = re.compile(r"[^\r\n]")  # lines stay as they are counted
_SENTENCE = re.compile(r"\S\s+\S|[?\u3002\uff1f]")  # several words, or a question
_BLOCK = 1_000_000  # characters
_SEVERAL = 2  # records, columns
_NO_CHANCE = 8  # values of lists that are of one length, objects of the same fields
_ALIKE = 0.75  # of all names in records those that most of these have


def read_objects(stream: BinaryIO, file: SourceFile, fields: Mapping[str, str], named: Named) -> Iterator[Item]:
    """The objects of an array, or of the one array that an object holds, or the rows of a table; else the file is one document.

    Objects of the same fields that stand in an object are records, too, and their names there are ids and titles. Strings beside
    objects are left out, which the first document remarks.

    `named` takes note of which fields there are.

    Raises:
        InvalidDocument: it is no JSON, or too large.
    """
    if _is_lines(stream):
        yield from (item for item in lines.jsonl(stream, file.name, fields, file.folder, named) if not isinstance(item, SourceFile))
        return
    held = _held(_parsed(stream), fields)
    types = Types()
    for one in held.objects or [held.about]:
        if isinstance(one, dict):
            named.see(one)
            with suppress(RecursionError):  # which is said of that object
                types.see(one, without=AS_IT_IS)
    strings = held.strings
    for number, one in enumerate(held.objects, 1):
        if not isinstance(one, str):
            item = _of_object(one, number, held.name(number), file, fields, types.of_text)
            if strings and isinstance(item, Document):
                item, strings = replace(item, remarks={**item.remarks, "strings_left_out": strings}), 0
            yield item
    if held.about is not None and (whole := _of_file(held.about, stream, file, fields, needed=not held.objects)):
        yield whole


def count(stream: BinaryIO, fields: Mapping[str, str]) -> int:
    """How many documents there may be."""
    if _is_lines(stream):
        return lines.count(stream)
    held = _held(_parsed(stream), fields)
    return len(held.objects) - held.strings + (not held.objects or any(strings_of(held.about)))


def _of_object(
    value: Any, number: int, called: str, file: SourceFile, fields: Mapping[str, str], of_text: AbstractSet[Path]
) -> Item:
    name, reason = None, f"not an object but {type(value).__name__}"
    if isinstance(value, dict):
        name = id_of(value)
        try:
            key, origin = key_of(file.name, called or number), f"{file.name}:{number}"
            document = document_of(value, fields, key, of_text, origin=origin, folder=file.folder)
            return titled(document, called)
        except InvalidDocument as error:
            reason = str(error)
    content = {"line": json.dumps(value, ensure_ascii=False), **reading_of(fields, of_text, called)}
    return Rejection(file.name, number, str(name) if isinstance(name, str | int) else None, reason, content)


def _of_file(value: Any, stream: BinaryIO, file: SourceFile, fields: Mapping[str, str], *, needed: bool) -> Item | None:
    """A file as one document: its strings are the text, unless it has one, and what is no string is metadata."""
    about: dict[str, Any] = {"origin": file.name, "folder": file.folder, "modified": os.fstat(stream.fileno()).st_mtime}
    try:
        if needed and isinstance(value, Mapping) and _has_text(value, fields):
            return document_of(value, fields, file.name, **about)
        words = "\n".join(strings_of(value))
        if not words:
            return file.reject("there is no text in it") if needed else None
        rest = storable(without_strings(value))
        metadata = {"path": file.name} | (rest if isinstance(rest, dict) else {} if rest is None else {"values": rest})
        title = value.get("title") if isinstance(value, dict) else None
        return Document(file.name, words, title if isinstance(title, str) else file.path.stem, metadata, **about)
    except InvalidDocument as error:
        return file.reject(str(error))


def _has_text(value: Mapping[str, Any], fields: Mapping[str, str]) -> bool:
    """Whether an object says which of it is the text."""
    absent, named = missing(list(value), "text", fields)
    return len(absent) < named or (not named and isinstance(value.get("text"), str))


class _Held(NamedTuple):
    """What a value of JSON holds."""

    about: Any  # what is a document for the file; None for nothing
    objects: Sequence[Any] = ()  # what is one for each object, in its order
    names: Sequence[str] = ()  # of the objects, where they have some

    @property
    def strings(self) -> int:
        """How many strings stand among the objects, as comments do."""
        return sum(isinstance(one, str) for one in self.objects)

    def name(self, number: int) -> str:
        """The name of the object of this number, "" where it has none."""
        return self.names[number - 1] if self.names else ""


def _held(value: Any, fields: Mapping[str, str]) -> _Held:
    if isinstance(value, list):
        kinds = Counter(map(type, value))
        return _Held(None, value) if kinds[dict] >= max(1, kinds[str]) else _Held(value)
    if not isinstance(value, dict):
        return _Held(value)
    if (rows := _rows(value)) and any(any(strings_of(row)) for row in rows):
        return _Held(None, rows)
    if _has_text(value, fields):
        return _Held(value)
    if _are_records(value):
        return _Held(None, [*value.values()], [*value])
    arrays = [name for name, inner in value.items() if isinstance(inner, list) and any(isinstance(one, dict) for one in inner)]
    if len(arrays) == 1:
        return _Held({name: inner for name, inner in value.items() if name != arrays[0]}, value[arrays[0]])
    return _Held(value)


def _rows(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of a table that is written by its columns, lists of one length or objects of numbered values; else none."""
    if value.keys() >= {"columns", "data"} and value.keys() <= {"columns", "data", "index"}:  # as pandas splits it
        names, rows = value["columns"], value["data"]
        if isinstance(rows, list) and isinstance(names, list) and all(isinstance(name, str) for name in names):
            fit = len({*names}) == len(names) and all(isinstance(row, list) and len(row) == len(names) for row in rows)
            index = value.get("index") or [None] * len(rows)
            if not (fit and isinstance(index, list) and len(index) == len(rows)):
                return []
            labels = ({"index": one} if isinstance(one, str) else {} for one in index)
            return [{**label, **dict(zip(names, row, strict=True))} for label, row in zip(labels, rows, strict=True)]
    columns = [*value.values()]
    if len(columns) < _SEVERAL:
        return []
    if all(isinstance(column, list) for column in columns):
        return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)] if _are_columns(columns) else []
    if all(isinstance(column, dict) and column for column in columns) and not any(map(str.isdecimal, value)):
        numbers = columns[0].keys()
        of_rows = len(numbers) > 1 and [*numbers] == [str(number) for number in range(len(numbers))]  # 404 says something
        if of_rows and all(column.keys() == numbers for column in columns):
            return [{name: column[number] for name, column in value.items()} for number in numbers]
    return []


def _are_columns(lists: Sequence[Sequence[Any]]) -> bool:
    """Whether lists are of one length, and hardly by chance: most of them hold texts, and they are long."""
    length = len(lists[0])
    if length < _NO_CHANCE or any(len(one) != length for one in lists):
        return False
    of_objects = sum(any(isinstance(inner, dict) for inner in one) for one in lists)
    of_texts = sum(any(isinstance(inner, str) for inner in one) for one in lists)
    return of_texts >= max(of_objects, 1)


def _are_records(value: Mapping[str, Any]) -> bool:
    """Whether the values of an object are objects of the same fields with a text each, as by their ids.

    Few of them that hold single words, such as the hosts of a database and of a cache, are settings of one program.
    """
    objects = [*value.values()]
    if len(objects) < _SEVERAL or not all(isinstance(one, dict) for one in objects):
        return False
    names = Counter(name for one in objects for name in one)
    shared = sum(times for times in names.values() if times > len(objects) / 2)
    texts = [[inner for inner in one.values() if isinstance(inner, str)] for one in objects]
    are_said = len(objects) >= _NO_CHANCE or all(any(map(_SENTENCE.search, one)) for one in texts)
    return shared >= _ALIKE * names.total() and all(texts) and are_said


def _is_lines(stream: BinaryIO) -> bool:
    """Whether a file is JSON lines by another name: its first line is an object, and there is another line."""
    stream.seek(0)
    first = stream.readline(LONGEST)
    more = stream.read(_BLOCK).strip()
    stream.seek(0)
    try:
        return bool(more) and isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def _parsed(stream: BinaryIO) -> Any:
    """What a file of JSON holds.

    Raises:
        InvalidDocument: it is none, or too large.
    """
    content = read_whole(stream)
    try:
        try:
            return json.loads(content, object_pairs_hook=without_repeats)
        except json.JSONDecodeError:
            if (plain := _without_comments(content.decode(json.detect_encoding(content)))) is None:
                raise
            return json.loads(plain, object_pairs_hook=without_repeats)
    except UnicodeDecodeError as error:
        raise InvalidDocument(f"not {error.encoding} at byte {error.start + 1}; convert it") from error
    except (ValueError, RecursionError) as error:
        raise InvalidDocument(f"not JSON: {error}") from error


def _without_comments(content: str) -> str | None:
    """JSON as settings of programs have it, with comments and last commas; they are blanked. None if there are none."""
    bare = _COMMENT.sub(lambda part: part[1] or _VISIBLE.sub(" ", part[0]), content.removeprefix("\ufeff"))
    plain = _LAST_COMMA.sub(lambda part: part[1] or " ", bare)
    return None if plain == content else plain
