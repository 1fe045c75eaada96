"""Which documents stand in a file of JSON lines, or of what an earlier run rejected?"""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from search.documents import Document, Rejection, listed
from search.errors import InvalidDocument
from search.reading.files import LONGEST, SourceFile

SUFFIXES = (".jsonl",)
_MOST_VALUES = 1_000_000  # in a line
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?+', re.DOTALL)
_FIELDS = {"id", "text", "title", "metadata", "media_type", "modified"}

Item = Document | Rejection


def jsonl(stream: BinaryIO, source: str) -> Iterator[Item | SourceFile]:
    """Read one document a line: {"id": …, "text": …, "title": …, "metadata": {…}}. Blank lines are passed over.

    A line of a file of rejects holds what was rejected and why. It is taken again; a file that it names comes out as such.
    """
    number = 0
    while line := stream.readline(LONGEST):
        number += 1
        if not line.endswith(b"\n") and len(line) == LONGEST:
            while (rest := stream.readline(LONGEST)) and not rest.endswith(b"\n"):
                pass
            yield Rejection(source, number, None, f"the line is longer than {LONGEST:,} bytes; split the document")
        elif line.strip():
            yield _parse(line, source, number)


def count(stream: BinaryIO) -> int:
    """How many lines are not blank."""
    return sum(1 for line in iter(lambda: stream.readline(LONGEST), b"") if line.strip())


def _parse(line: bytes, source: str, number: int) -> Item | SourceFile:
    if (values := _values(line)) > _MOST_VALUES:
        why = f"some {values:,} values are more than a document has ({_MOST_VALUES:,}); keep text in one string"
        return Rejection(source, number, None, why)
    try:
        fields = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        why = f"not UTF-8 at byte {error.start + 1} of the line; convert it"
        return Rejection(source, number, None, why, {"base64": base64.b64encode(line.rstrip(b"\r\n")).decode()})
    except (ValueError, RecursionError) as error:
        return _refused(line, source, number, f"not JSON: {error}")
    match fields:
        case {"rejected": dict(), "line": str(again)}:
            return _parse(again.encode("utf-8", "surrogatepass"), source, number)
        case {"rejected": dict(), "base64": str(again)}:
            return _parse(_bytes(again), source, number)
        case {"rejected": dict(), "file": str(path), "name": str(name)}:
            return SourceFile(Path(path), name)
        case {"rejected": {"reason": str(reason)}} if not {"id", "_id", "text"} & fields.keys():
            return _refused(line, source, number, f"it names what was rejected and does not hold it; mend it where it is: {reason}")
        case dict():
            return _document(fields, line, source, number)
        case _:
            return _refused(line, source, number, f"not an object but {type(fields).__name__}")


def _document(fields: dict[str, Any], line: bytes, source: str, number: int) -> Item:
    if isinstance(fields.get("rejected"), dict):
        del fields["rejected"]
    if "_id" in fields and "id" not in fields:  # as BEIR writes it
        fields["id"] = fields.pop("_id")
    name = fields["id"] if isinstance(fields.get("id"), str) else None
    if extra := sorted(fields.keys() - _FIELDS):
        return _refused(line, source, number, f"unknown fields {listed(extra)}; put them under metadata", name)
    if missing := sorted({"id", "text"} - fields.keys()):
        return _refused(line, source, number, f"there is no {' and no '.join(missing)}", name)
    try:
        return Document(**fields, origin=f"{source}:{number}")
    except InvalidDocument as error:
        return _refused(line, source, number, str(error), name)


def _values(line: bytes) -> int:
    """How many values stand in JSON, at most. In memory each takes some fifty times its two bytes here."""
    if _marks(line) > _MOST_VALUES:
        line = _STRING.sub(b"", line)  # which takes longer, and commas in texts are none between values
    return _marks(line)


def _marks(line: bytes) -> int:
    return line.count(b",") + line.count(b"[") + line.count(b"{")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def _refused(line: bytes, source: str, number: int, reason: str, name: str | None = None) -> Rejection:
    return Rejection(source, number, name, reason, {"line": line.decode("utf-8", "replace").rstrip("\r\n")})
