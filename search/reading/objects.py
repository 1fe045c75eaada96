"""Which documents does a file of JSON hold? One for each object of an array, or the file as one."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Any, BinaryIO

from search.documents import Document, Rejection, without_repeats
from search.errors import InvalidDocument
from search.reading import lines
from search.reading.columns import Path, Types
from search.reading.files import LONGEST, Item, SourceFile, read_at_most
from search.reading.named import Named
from search.reading.records import AS_IT_IS, document_of, id_of, key_of, missing, reading_of, storable, strings_of, without_strings

_STRING = r'("(?:[^"\\]|\\.)*"?)'  # an open one goes on to the end, lest each quotation mark begin another search for it
_COMMENT = re.compile(rf"{_STRING}|//[^\r\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_LAST_COMMA = re.compile(rf"{_STRING}|,(?=\s*[\]}}])", re.DOTALL)
_VISIBLE = re.compile(r"[^\r\n]")  # lines stay as they are counted
_BLOCK = 1_000_000  # characters


def read_objects(stream: BinaryIO, file: SourceFile, fields: Mapping[str, str], named: Named) -> Iterator[Item]:
    """The objects of an array, or of the one array that an object holds; else the file is one document.

    `named` takes note of which fields there are.

    Raises:
        InvalidDocument: it is no JSON, or too large.
    """
    if _is_lines(stream):
        yield from (item for item in lines.jsonl(stream, file.name, fields, file.folder, named) if not isinstance(item, SourceFile))
        return
    value = _parsed(stream)
    wrapper, objects = _objects(value, fields)
    types = Types()
    for one in objects or [value]:
        if isinstance(one, dict):
            named.see(one)
            with suppress(RecursionError):  # which is said of that object
                types.see(one, without=AS_IT_IS)
    for number, one in enumerate(objects, 1):
        yield _of_object(one, number, file, fields, types.of_text)
    if wrapper is not None and (item := _of_file(wrapper, stream, file, fields, needed=not objects)):
        yield item


def count(stream: BinaryIO, fields: Mapping[str, str]) -> int:
    """How many documents there may be."""
    if _is_lines(stream):
        return lines.count(stream)
    wrapper, objects = _objects(_parsed(stream), fields)
    return len(objects) + (not objects or any(strings_of(wrapper)))


def _of_object(value: Any, number: int, file: SourceFile, fields: Mapping[str, str], of_text: AbstractSet[Path]) -> Item:
    name, reason = None, f"not an object but {type(value).__name__}"
    if isinstance(value, dict):
        name = id_of(value)
        try:
            key, origin = key_of(file.name, number), f"{file.name}:{number}"
            return document_of(value, fields, key, of_text, origin=origin, folder=file.folder)
        except InvalidDocument as error:
            reason = str(error)
    content = {"line": json.dumps(value, ensure_ascii=False), **reading_of(fields, of_text)}
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


def _objects(value: Any, fields: Mapping[str, str]) -> tuple[Any, list[Any]]:
    """What of a value is a document for the file, and what is one for each object."""
    if isinstance(value, list) and any(isinstance(one, dict) for one in value):
        return None, value
    if isinstance(value, dict) and not _has_text(value, fields):
        arrays = [name for name, inner in value.items() if isinstance(inner, list) and any(isinstance(one, dict) for one in inner)]
        if len(arrays) == 1:
            return {name: inner for name, inner in value.items() if name != arrays[0]}, value[arrays[0]]
    return value, []


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
    content = read_at_most(stream, LONGEST)
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
