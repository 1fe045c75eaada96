"""Which documents stand in a table? One a row of CSV, TSV or Parquet."""

import csv
import datetime as dt
import decimal
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TextIO

from search.documents import Document, Rejection, listed
from search.errors import InvalidDocument
from search.reading import text
from search.reading.files import LONGEST, SourceFile, missing

SUFFIXES = (".csv", ".tsv", ".parquet")
IN_A_CHILD = (".parquet",)  # which libraries read that may be made to take any amount of memory
_COLUMNS = ("id", "text", "title")  # every other column is metadata
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d+)?")
_ROWS = 16  # read at a time: texts may be long
_MOST_VALUES = 1_000_000  # of a row of CSV
_BLOCK = 1_000_000  # characters

Item = Document | Rejection


class _Malformed(NamedTuple):
    """A row that fits no document."""

    reason: str
    values: list[str]


def read_table(stream: BinaryIO, file: SourceFile, fields: Mapping[str, str], encoding: str | None) -> Iterator[Item]:
    """Read one document a row of CSV, TSV or Parquet. Columns that are no id, text or title are metadata.

    Args:
        stream: the open file.
        file: its name.
        fields: how the columns for id, text and title are called, where it is otherwise.
        encoding: of CSV and TSV; None finds it out.
    """
    try:
        is_parquet = file.path.suffix.lower() == ".parquet"
        rows = _parquet(stream) if is_parquet else _csv(stream, file.path, encoding)
        to_json = _plain if is_parquet else _number
        for line, row in rows:
            if isinstance(row, _Malformed):
                yield Rejection(file.name, line, None, row.reason, {"row": row.values})
                continue
            if absent := [fields.get(name, name) for name in _COLUMNS[:2] if fields.get(name, name) not in row]:
                there = listed(list(map(str, row)))
                yield file.reject_many(f"has no column {' and no '.join(absent)} but {there}; name them with --field text=COLUMN")
                return
            yield _document(row, fields, to_json, f"{file.name}:{line}")
    except ModuleNotFoundError as error:
        yield file.reject_many(missing(error))
    except InvalidDocument as error:
        yield file.reject_many(str(error))


def count(stream: BinaryIO, file: SourceFile) -> int:
    """How many rows there are."""
    if file.path.suffix.lower() != ".parquet":
        return sum(1 for _ in _csv(stream, file.path, "latin-1"))  # whatever its encoding, its rows are as many
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(stream) as table:
        return int(table.metadata.num_rows)


def checked(fields: Mapping[str, str]) -> Mapping[str, str]:
    """Columns by field.

    Raises:
        InvalidDocument: a field that is none of id, text, title.
    """
    if unknown := sorted(fields.keys() - set(_COLUMNS)):
        raise InvalidDocument(f"{unknown[0]!r} is no field; name the columns for {', '.join(_COLUMNS)}, as in text=body")
    return fields


def _document(row: Mapping[str, Any], fields: Mapping[str, str], to_json: Callable[[Any], Any], origin: str) -> Item:
    columns = {name: fields.get(name, name) for name in _COLUMNS}
    cells = {name: _plain(row.get(column)) for name, column in columns.items()}
    values = {name: "" if value is None else str(value) for name, value in cells.items()}
    metadata = {
        name: to_json(value) for name, value in row.items() if name not in columns.values() and value is not None and value != ""
    }
    source, _, line = origin.rpartition(":")
    for name, value in cells.items():
        if isinstance(value, bytes | list | Mapping):
            what = "bytes that are no text" if isinstance(value, bytes) else "lists or objects; name a column of text with --field"
            return Rejection(source, int(line), None, f"the column {columns[name]} holds {what}")
    try:
        return Document(values["id"], values["text"], values["title"], metadata, origin=origin)
    except InvalidDocument as error:
        return Rejection(source, int(line), values["id"] or None, str(error), {**values, "metadata": metadata})


def _csv(binary: BinaryIO, file: Path, encoding: str | None) -> Iterator[tuple[int, dict[str, Any] | _Malformed]]:
    """Rows with the lines they end at."""
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST))
    used = encoding or text.detect_stream(binary)
    binary.seek(0)
    stream = io.TextIOWrapper(binary, "utf-8-sig" if used == text.UTF_8 else used, newline="")
    try:
        yield from _rows(stream, "\t" if file.suffix.lower() == ".tsv" else "")
    except csv.Error as error:  # of the header
        raise InvalidDocument(f"not CSV: {error}") from error
    except UnicodeDecodeError as error:
        raise InvalidDocument(f"not {used}: {error.reason}; name another --encoding, or convert it") from error
    finally:
        stream.detach()  # whoever opened the file closes it


class _Lines:
    """Lines of CSV, of which no row takes more than so much memory.

    Attributes:
        number: of the last line that was read, from 1.
    """

    def __init__(self, stream: TextIO, delimiter: str) -> None:
        self.number = 0
        self._stream = stream
        self._delimiter = delimiter
        self.begin_row()

    def begin_row(self) -> None:
        self._characters, self._values = LONGEST, _MOST_VALUES  # that are left

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._stream.readline(self._characters + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self._characters -= len(line)
        self._values -= line.count(self._delimiter)
        if self._characters >= 0 and self._values >= 0:
            return line
        while line and not line.endswith(("\n", "\r")):
            line = self._stream.readline(_BLOCK)
        limits = f"{LONGEST:,} characters or {_MOST_VALUES:,} values"
        raise csv.Error(f"it has more than {limits}; split it, or write its documents as JSON lines")


def _rows(stream: TextIO, delimiter: str) -> Iterator[tuple[int, dict[str, Any] | _Malformed]]:
    first = stream.readline(LONGEST)
    stream.seek(0)
    delimiter = delimiter or max(",;\t|", key=first.count)
    lines = _Lines(stream, delimiter)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    header = next(reader, [])
    if twice := [name for name, times in Counter(header).items() if times > 1]:
        raise InvalidDocument(f"has the column {listed(twice[:1])!r} twice; name its columns apart")
    while True:
        behind = lines.number
        lines.begin_row()
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield lines.number, _Malformed(f"the row behind line {behind} is not CSV: {error}", [])
            continue
        if len(row) == len(header):
            yield lines.number, dict(zip(header, row, strict=True))
        elif row:
            yield lines.number, _Malformed(f"the row has {len(row)} values and the header {len(header)} columns", row)


def _parquet(stream: BinaryIO) -> Iterator[tuple[int, dict[str, Any] | _Malformed]]:
    """Rows with their numbers, from 1."""
    import pyarrow as pa
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(stream) as table:
            for batch in table.iter_batches(_ROWS):
                for at in range(batch.num_rows):
                    number += 1
                    try:
                        yield (
                            number,
                            {name: column[at].as_py() for name, column in zip(batch.schema.names, batch.columns, strict=True)},
                        )
                    except MemoryError:
                        raise
                    except (ValueError, OverflowError, pa.ArrowException) as error:  # a time in nanoseconds, text that is none
                        yield number, _Malformed(f"the row cannot be read: {error}", [])
    except MemoryError:  # Arrow's is one of its other errors, too
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InvalidDocument(f"cannot be read as Parquet behind row {number}: {error}") from error


def _number(value: str) -> Any:
    """The number that a value is written as, by JSON's rules; else the value."""
    return json.loads(value) if _NUMBER.fullmatch(value) else value


def _plain(value: Any) -> Any:
    """What JSON can hold of a value of a Parquet column; a document says what of it is refused."""
    match value:
        case dt.date() | dt.time():
            return value.isoformat()
        case decimal.Decimal():
            return str(value)
        case bytes():
            return _decoded(value)
        case Mapping():
            return {key: _plain(inner) for key, inner in value.items()}
        case list() | tuple():  # a tuple is an entry of a map
            return [_plain(inner) for inner in value]
        case _:
            return value


def _decoded(value: bytes) -> str | bytes:
    """Text where it is UTF-8: many writers leave out that a column holds text."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
