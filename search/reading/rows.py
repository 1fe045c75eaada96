"""What is a table before documents are made of it?"""

import datetime as dt
import decimal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from search.errors import InvalidDocument
from search.reading.records import FIELDS, storable


class Malformed(NamedTuple):
    """A row that fits no document."""

    reason: str
    values: list[str]
    is_short: bool = False  # it fits if its last columns are empty


class Row(NamedTuple):
    """A row and where it is."""

    line: int  # for people: of a file of text the line that it ends at
    number: int  # among the rows
    values: dict[str, Any] | Malformed
    replaced: int = 0  # characters of it that stand for damaged bytes


class Table(NamedTuple):
    """What a file or a sheet holds."""

    names: list[str]  # of its columns
    texts: list[str]  # those of them that hold text, in order
    rows: Iterator[Row]  # all of them
    to_json: Callable[[str, Any], Any]  # what a value is as metadata, by column and value
    sheet: str = ""  # its name, where a file has several
    whole: bool = True  # whether it is one document, if it has no texts
    remarks: Mapping[str, Any] = {}  # what was guessed of all of it


def distinct(columns: Mapping[int, str]) -> dict[int, str]:
    """Columns by place, those of one name numbered apart.

    Raises:
        InvalidDocument: two are called as what a document is made of, and nobody knows which is meant.
    """
    distinct: dict[int, str] = {}
    taken, seen = set(columns.values()), Counter[str]()
    for at, name in columns.items():
        seen[name] += 1
        if seen[name] > 1 and name in FIELDS:
            raise InvalidDocument(f"has the column {name!r} twice; name its columns apart")
        while (one := f"{name}_{seen[name]}" if seen[name] > 1 else name) in taken and seen[name] > 1:
            seen[name] += 1
        taken.add(one)
        distinct[at] = one
    return distinct


def plain(value: Any) -> Any:
    """What JSON can hold of a value of a Parquet column; a document says what of it is refused."""
    match value:
        case dt.date() | dt.time():
            return value.isoformat()
        case decimal.Decimal() | dt.timedelta():
            return str(value)
        case bytes():
            return _decoded(value)
        case Mapping():
            return {key: plain(inner) for key, inner in value.items()}
        case list():
            return [plain(inner) for inner in value]
        case _:
            return storable(value)


def _decoded(value: bytes) -> str | bytes:
    """Text where it is UTF-8: many writers leave out that a column holds text."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
