"""What stands in a table of CSV or TSV, in whatever way programs write them?"""

import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TextIO

from search.documents import counted
from search.errors import InvalidDocument
from search.reading import text
from search.reading.columns import number as number_of
from search.reading.files import LONGEST
from search.reading.records import IDS, TEXTS, TITLES
from search.reading.rows import Malformed, Row, Table, distinct

_LAYOUT, _BEGINNING = 20, 10_000  # lines that tell how a table is written, and characters of them
_MOST_VALUES = 1_000_000  # of a row of CSV
_BLOCK = 1_000_000  # characters
_SEPARATORS = ",;\t|"
_SEP = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # the first line that Excel writes, and reads
_QUOTED = re.compile(r'((?:^|[,;\t|]) *+)"[^"]*+(?:""[^"]*+)*+(?:"|\Z)', re.MULTILINE)  # a value, of one line or several
_GOES_ON = "\r"  # in place of the end of a line in quotes: no line has it
_MOST_LACKING = 1000  # columns of a row, which takes as long as if they were there
_CERTAIN = 3  # columns, of a header that nothing sets apart from what stands above it


def read_separated(binary: BinaryIO, file: Path, encoding: tuple[str, str]) -> Table:
    """A table of CSV or TSV. It is read twice, since a column is of numbers only if all of its values are.

    Raises:
        InvalidDocument: its header is none, or its encoding is another one.
    """
    names, numbers, filled, short = _types(binary, file, encoding)
    columns = distinct(
        {at: (name.strip() and name) or f"column_{at + 1}" for at, name in enumerate(names) if name.strip() or at in filled}
    )
    are_numbers = {name for at, name in columns.items() if at in numbers}

    def to_json(name: str, value: Any) -> Any:
        return number_of(value) if name in are_numbers else value

    def rows() -> Iterator[Row]:
        for number, (line, found) in enumerate(itertools.islice(separated_rows(binary, file, encoding), 1, None), 1):
            row = _filled_up(found, len(names)) if short else found
            if isinstance(row, Malformed):
                yield Row(line, number, row)
            elif any(row):
                replaced = sum(value.count("\ufffd") for value in row) if encoding[1] == "replace" else 0
                yield Row(line, number, {name: row[at] for at, name in columns.items()}, replaced)

    of_text = filled - numbers
    texts = [name for at, name in columns.items() if at in of_text]
    above = _above(binary, file, encoding)
    remarks = ({"lines_above_header": above} if above else {}) | ({"short_rows": short} if short else {})
    return Table(list(columns.values()), texts, rows(), to_json, remarks=remarks)


def _types(binary: BinaryIO, file: Path, encoding: tuple[str, str]) -> tuple[list[str], set[int], set[int], int]:
    """The names of columns; which of them hold numbers alone, and which anything; and how many rows are short and may be filled up.

    A number is one that would be written the same again: 01234, 1.10 and what has more digits than a float holds stay text.
    Rows are filled up where others are of the header's length: else it is no header of theirs.
    """
    rows = separated_rows(binary, file, encoding)
    header = next(rows)[1]
    names = [] if isinstance(header, Malformed) else header
    unfilled, numbers = set(range(len(names))), set(range(len(names)))  # as far as is known
    short, has_whole = 0, False
    try:
        for _, found in rows:
            if isinstance(found, Malformed) and not found.is_short:
                continue
            row = found.values if isinstance(found, Malformed) else found
            is_short = row is not found
            short += is_short
            has_whole = has_whole or not is_short
            values = {at: row[at] for at in (range(len(row)) if is_short else unfilled | numbers) if row[at]}
            unfilled -= values.keys()
            numbers -= {at for at, value in values.items() if at in numbers and number_of(value) is None}
    except InvalidDocument:
        pass  # which comes again, behind the rows before
    return names, numbers - unfilled, set(range(len(names))) - unfilled, short if has_whole else 0


def _filled_up(row: list[str] | Malformed, columns: int) -> list[str] | Malformed:
    """A row whose last columns, which many programs leave out where they are empty, are there."""
    return row.values + [""] * (columns - len(row.values)) if isinstance(row, Malformed) and row.is_short else row


def separated_rows(binary: BinaryIO, file: Path, encoding: tuple[str, str]) -> Iterator[tuple[int, list[str] | Malformed]]:
    """The header and rows of its length, with the lines that they end at; of an encoding see `text.detect_stream`."""
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST))
    with _decoded_lines(binary, encoding) as stream:
        yield from _rows(stream, _layout(stream, "\t" if file.suffix.lower() == ".tsv" else ""))


def _above(binary: BinaryIO, file: Path, encoding: tuple[str, str]) -> int:
    """How many lines of words stand above the header."""
    with _decoded_lines(binary, encoding) as stream:
        return _layout(stream, "\t" if file.suffix.lower() == ".tsv" else "").words


@contextmanager
def _decoded_lines(binary: BinaryIO, encoding: tuple[str, str]) -> Iterator[TextIO]:
    """A file of CSV from its beginning.

    Raises:
        InvalidDocument: it is none, or of another encoding.
    """
    binary.seek(0)
    used, errors = encoding
    stream = io.TextIOWrapper(binary, "utf-8-sig" if used == text.UTF_8 else used, errors, newline="")
    try:
        yield stream
    except csv.Error as error:  # of the header
        raise InvalidDocument(f"not CSV: {error}; a text is read as one with --as text") from error
    except UnicodeDecodeError as error:
        raise InvalidDocument(f"not {used}: {error.reason}; name another --encoding, or convert it") from error
    finally:
        stream.detach()  # whoever opened the file closes it


class _Layout(NamedTuple):
    """How a table is written.

    Attributes:
        above: lines above the header, …
        words: … of which so many hold anything.
        separator: between values.
        spaced: whether blanks behind a separator are no part of a value.
    """

    above: int
    words: int
    separator: str
    spaced: bool


def _layout(stream: TextIO, separator: str) -> _Layout:
    """How a table is written, by its first lines and a separator, if that is known. The stream is at its beginning again then."""
    lines = [stream.readline(LONGEST)]
    with suppress(UnicodeDecodeError):  # which comes again, behind the rows before
        while len(lines) <= _LAYOUT and lines[-1].endswith(("\n", "\r")):
            lines.append(stream.readline(_BEGINNING))
    stream.seek(0)
    lines = [*(line.strip("\r\n") for line in lines), ""]  # also below the only one
    bare = _outside_of_quotes(lines)
    first = next((at for at, line in enumerate(bare) if line.strip()), 0)
    if of_excel := _SEP.fullmatch(lines[first]):
        head, words, separator = first + 1, 0, of_excel[1]
    else:
        head = _head(lines, bare, first, separator)
        words = sum(1 for line in bare[:head] if line.strip())
        separator = separator or max(_SEPARATORS, key=bare[head].count)
    parts = bare[head].split(separator)[1:]
    spaced = separator not in "\t " and (
        bool(parts and all(part.startswith(" ") for part in parts))
        or any(re.search(f'{re.escape(separator)} +"', line) for line in bare)
    )
    return _Layout(head, words, separator, spaced)


def _outside_of_quotes(lines: Sequence[str]) -> list[str]:
    """As many lines, without what stands in quotes; those that a value goes on in are empty, what is behind it is in the first."""
    bare: list[str] = []
    rows = _QUOTED.sub(lambda found: found[1] + '""' + _GOES_ON * found[0].count("\n"), "\n".join(lines))
    for row in rows.split("\n"):
        bare += [row.replace(_GOES_ON, ""), *[""] * row.count(_GOES_ON)]
    return bare


def _head(lines: Sequence[str], bare: Sequence[str], first: int, separator: str) -> int:
    """Which line is the header: the first one, unless no other has as many values, and the line below a later one has, none more.

    Args:
        lines: the first ones.
        bare: the same without what stands in quotes.
        first: the first of them that is not blank.
        separator: if it is known.
    """
    counts = {sign: [line.count(sign) for line in bare] for sign in separator or _SEPARATORS}
    signs = [max(counts, key=lambda sign, at=at: counts[sign][at]) for at in range(len(bare))]  # type: ignore[misc]

    def below(at: int) -> list[int]:
        return [counts[signs[at]][one] for one in range(at + 1, len(bare)) if bare[one].strip()]

    if 0 < counts[signs[first]][first] in below(first) or bare[first].strip().casefold() in {*TEXTS, *TITLES, *IDS}:
        return first
    for at in range(first + 1, len(bare)):
        names = next(csv.reader([lines[at]], delimiter=signs[at]), [])
        above = counts[signs[at]][first:at]
        is_apart = (
            len(names) >= _CERTAIN or signs[at] != "," or any(not line.strip() or line.startswith("#") for line in bare[first:at])
        )
        is_header = all(name and name == name.strip() and number_of(name) is None for name in names) and len({*names}) == len(names)
        is_whole = counts[signs[at]][at] == len(names) - 1  # not of a value of several lines
        if is_apart and is_header and is_whole and max(above) < len(names) - 1 == max(below(at), default=0) == below(at)[0]:
            return at
    return first


class _Lines:
    """Lines of CSV, of which no row takes more than so much memory.

    Attributes:
        number: of the last line that was read, from 1.
        row: the lines of the present row, where they are tab-separated.
    """

    def __init__(self, stream: TextIO, delimiter: str) -> None:
        self.number = 0
        self._stream = stream
        self._delimiter = delimiter
        self.begin_row()

    def begin_row(self) -> None:
        self._characters, self._values = LONGEST, _MOST_VALUES  # that are left
        self.row: list[str] = []

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
            if self._delimiter == "\t":
                self.row.append(line)
            return line
        while line and not line.endswith(("\n", "\r")):
            line = self._stream.readline(_BLOCK)
        self.row.clear()  # which lacks the line
        limits = f"{LONGEST:,} characters or {_MOST_VALUES:,} values"
        raise csv.Error(f"it has more than {limits}; split it, or write its documents as JSON lines")


def _rows(stream: TextIO, layout: _Layout) -> Iterator[tuple[int, list[str] | Malformed]]:
    lines = _Lines(stream, layout.separator)
    for _ in range(layout.above):
        next(lines)
    lines.begin_row()
    reader = csv.reader(lines, delimiter=layout.separator, skipinitialspace=layout.spaced, strict=True)
    header = next(reader, [])
    yield lines.number, header
    while True:
        behind = lines.number
        lines.begin_row()
        try:
            row: list[str] | Malformed = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            row = Malformed(f"the row behind line {behind} is not CSV: {error}", [])
        if not isinstance(row, Malformed) and len(row) > len(header) and not any(row[len(header) :]):
            row = row[: len(header)]
        if not isinstance(row, Malformed) and row and len(row) != len(header):
            said = f"the row has {counted(len(row), 'value')} and the header {counted(len(header), 'column')}"
            why = f"{said}; quote values that hold {layout.separator!r}, and delete what stands above the header"
            row = Malformed(why, row, is_short=0 < len(header) - len(row) <= _MOST_LACKING)
        if isinstance(row, Malformed) and (plain := _unquoted(lines.row, len(header))):
            yield from enumerate(plain, behind + 1)
        elif row:
            yield lines.number, row


def _unquoted(row: list[str], columns: int) -> list[list[str]]:
    """Lines with tabs between values of which quotes are a part, as many programs write them; none if they do not fit."""
    plain = [line.rstrip("\r\n").split("\t") for line in row]
    return plain if all(len(values) == columns for values in plain) else []
