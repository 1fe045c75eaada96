"""Which documents stand in a file of JSON lines, or of what an earlier run rejected?"""

import base64
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from search.documents import Rejection, without_repeats
from search.errors import InvalidDocument
from search.reading.columns import Path as Names
from search.reading.columns import Types
from search.reading.files import LONGEST, Item, SourceFile
from search.reading.named import Named
from search.reading.records import AS_IT_IS, NAMED, document_of, id_of, key_of, reading_of, titled

SUFFIXES = (".jsonl", ".ndjson")
STDIN = "stdin"
_MOST_VALUES = 1_000_000  # in a line
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?+', re.DOTALL)


def jsonl(
    stream: BinaryIO, source: str, fields: Mapping[str, str] | None = None, folder: str = "", named: Named | None = None
) -> Iterator[Item | SourceFile]:
    """Read one document a line: {"id": …, "text": …, "title": …, "metadata": {…}}, or any other object, see `records`.

    A file is read twice, since a name is of one type in all of its lines; of standard input each line stands for itself.

    Blank lines are passed over. A line of a file of rejects holds what was rejected and why. It is taken again; a file that it
    names comes out as such.

    Args:
        stream: the open file.
        source: its name, which goes before the numbers of lines as id where there is none.
        fields: see `records.roles`.
        folder: a hash of the one that the name begins with.
        named: takes note of which fields there are.
    """
    place = _Place(source, fields or {}, folder, named, of_text=frozenset() if source == STDIN else _of_text(stream))
    for number, line in _lines(stream):
        if line is None:
            yield Rejection(source, number, None, f"the line is longer than {LONGEST:,} bytes; split the document")
        elif line.strip():
            yield _parse(line, place.at(number))


def count(stream: BinaryIO) -> int:
    """How many lines are not blank."""
    return sum(1 for line in iter(lambda: stream.readline(LONGEST), b"") if line.strip())


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Lines with their numbers; None for one that is too long."""
    for number in itertools.count(1):
        if not (line := stream.readline(LONGEST)):
            return
        is_whole = line.endswith(b"\n") or len(line) < LONGEST
        rest = b"" if is_whole else line
        while rest and (rest := stream.readline(LONGEST)) and not rest.endswith(b"\n"):
            pass
        yield number, line if is_whole else None


def _of_text(stream: BinaryIO) -> AbstractSet[Names]:
    """The names of a file whose values are text; see `Types`. Lines that are no objects have no say."""
    types = Types()
    for _, line in _lines(stream):
        if line is None or _values(line) > _MOST_VALUES:
            continue
        with suppress(ValueError, RecursionError):
            if isinstance(record := json.loads(line), dict) and "rejected" not in record:
                types.see(record, without=AS_IT_IS)
    stream.seek(0)
    return types.of_text


class _Place(NamedTuple):
    """Where a line stands, and how it is read."""

    source: str
    fields: Mapping[str, str]
    folder: str = ""
    named: Named | None = None
    number: int = 0
    key: str = ""  # the id of an object that has none
    called: str = ""  # the name of an object among others, which may be its title
    of_text: AbstractSet[Names] = frozenset()  # names whose values are text

    def at(self, number: int) -> "_Place":
        key = "" if self.source == STDIN else key_of(self.source, number)
        return self._replace(number=number, key=key)

    def before(self, rejected: Mapping[str, Any], reading: Mapping[str, Any]) -> "_Place":
        """The same for what an earlier run rejected, by the name that it had there, and read as there; see `reading_of`."""
        match rejected:
            case {"source": str(source), "line": int(number)} if source != STDIN:
                called = str(reading.get("called") or "")
                place = self._replace(key=key_of(source, called or number), called=called, folder="")
            case _:
                place = self
        fields, paths = reading.get("fields"), reading.get("of_text")
        place = place._replace(of_text=frozenset(filter(None, map(_path, paths if isinstance(paths, list) else []))))
        if not isinstance(fields, dict):
            return place
        named = {field: name for field, name in fields.items() if field in NAMED and isinstance(name, str)}
        return place._replace(fields={**named, **self.fields})

    def refuse(self, line: bytes, reason: str, name: str | None = None) -> Rejection:
        reading = reading_of(self.fields, self.of_text, self.called)
        content = {"line": line.decode("utf-8", "replace").rstrip("\r\n"), **reading}
        return Rejection(self.source, self.number, name, reason, content)


def _parse(line: bytes, place: _Place) -> Item | SourceFile:
    if (values := _values(line)) > _MOST_VALUES:
        why = f"some {values:,} values are more than a document has ({_MOST_VALUES:,}); keep text in one string"
        return Rejection(place.source, place.number, None, why)
    try:
        text = line.decode("utf-8-sig" if place.number == 1 else "utf-8")
        fields = json.loads(text, object_pairs_hook=without_repeats)
    except UnicodeDecodeError as error:
        why = f"not UTF-8 at byte {error.start + 1} of the line; convert it"
        content = {"base64": base64.b64encode(line.rstrip(b"\r\n")).decode()}
        return Rejection(place.source, place.number, None, why, content)
    except (ValueError, RecursionError) as error:
        return place.refuse(line, f"not JSON: {error}")
    match fields:
        case {"rejected": dict(rejected), "line": str(again)}:
            return _parse(again.encode("utf-8", "surrogatepass"), place.before(rejected, fields))
        case {"rejected": dict(rejected), "base64": str(again)}:
            return _parse(_bytes(again), place.before(rejected, fields))
        case {"rejected": dict(), "file": str(path), "name": str(name)}:
            return SourceFile(Path(path), name)
        case {"rejected": {"reason": str(reason)}} if not {"id", "_id", "text"} & fields.keys():
            return place.refuse(line, f"it names what was rejected and does not hold it; mend it where it is: {reason}")
        case dict():
            return _document(fields, line, place)
        case _:
            return place.refuse(line, f"not an object but {type(fields).__name__}")


def _document(fields: dict[str, Any], line: bytes, place: _Place) -> Item:
    is_again = isinstance(fields.get("rejected"), dict)  # its id, text and title are called so by now
    if is_again:
        place = place.before(fields.pop("rejected"), {})
    elif place.named:
        place.named.see(fields)
    name = id_of(fields)
    try:
        origin = f"{place.source}:{place.number}"
        named = {} if is_again else place.fields
        document = document_of(fields, named, place.key, place.of_text, origin=origin, folder=place.folder)
        return titled(document, place.called)
    except InvalidDocument as error:
        return place.refuse(line, str(error), str(name) if isinstance(name, str | int) else None)


def _path(names: Any) -> Names:
    """Names that lead to a value; () if they are none."""
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else ()


def _values(line: bytes) -> int:
    """How many values stand in JSON, at most. In memory each takes some fifty times its two bytes here."""
    if len(line) <= _MOST_VALUES:
        return len(line)
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
