"""Which documents stand in a table? One a row of CSV, TSV, Parquet or a spreadsheet, one a mail; of JSON, what `objects` says."""

import csv
import datetime as dt
import decimal
import io
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TextIO

from search.documents import Document, Rejection, counted, listed, without_repeats
from search.errors import InvalidDocument
from search.kinds import BEGINNING, other_than
from search.reading import objects, text
from search.reading.columns import EXACT, Types, as_text
from search.reading.columns import Path as Names
from search.reading.columns import number as number_of
from search.reading.files import LONGEST, Item, SourceFile, missing
from search.reading.named import Named
from search.reading.passwords import ENCRYPTED, needs_password
from search.reading.records import FIELDS, IDS, TEXTS, TITLES, Roles, key_of, roles, storable, values_of
from search.reading.records import missing as missing_columns
from search.reading.unread import unread

_SHEETS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
_JSON = (".json", ".geojson", ".jsonld")
SUFFIXES = (".csv", ".tsv", ".parquet", ".mbox", *_JSON, *_SHEETS)
IN_A_CHILD = (".parquet", ".mbox", *_JSON, *_SHEETS)  # which libraries read that may be made to take any amount of memory
_SCANNED = 1000  # rows whose numbers are looked at at a time
_ROWS = 16  # read at a time: texts may be long
_MOST_VALUES = 1_000_000  # of a row of CSV
_BLOCK = 1_000_000  # characters
_MOST_WHOLE = 20_000  # characters of a table without texts
_LONGEST_REPEATED = 200  # characters of a cell of several rows that stand in each of them
_SEPARATORS = ",;\t|"
_SEP = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # the first line that Excel writes, and reads
_QUOTED = re.compile(r'((?:^|[,;\t|]) *+)"[^"]*+(?:""[^"]*+)*+(?:"|\Z)', re.MULTILINE)  # a value, of one line or several
_GOES_ON = "\r"  # in place of the end of a line in quotes: no line has it
_LAYOUT, _BEGINNING = 20, 10_000  # lines that tell how a table is written, and characters of them
_MOST_LACKING = 1000  # columns of a row, which takes as long as if they were there
_CERTAIN = 3  # columns, of a header that nothing sets apart from what stands above it
_BAR = r"\|"  # in a cell of Markdown


class _Malformed(NamedTuple):
    """A row that fits no document."""

    reason: str
    values: list[str]
    is_short: bool = False  # it fits if its last columns are empty


class _Row(NamedTuple):
    """A row and where it is."""

    line: int  # for people: of a file of text the line that it ends at
    number: int  # among the rows
    values: dict[str, Any] | _Malformed
    replaced: int = 0  # characters of it that stand for damaged bytes


class _Table(NamedTuple):
    """What a file or a sheet holds."""

    names: list[str]  # of its columns
    texts: list[str]  # those of them that hold text, in order
    rows: Iterator[_Row]  # all of them
    to_json: Callable[[str, Any], Any]  # what a value is as metadata, by column and value
    sheet: str = ""  # its name, where a file has several
    whole: bool = True  # whether it is one document, if it has no texts
    remarks: Mapping[str, Any] = {}  # what was guessed of all of it


def read_table(
    stream: BinaryIO, file: SourceFile, fields: Mapping[str, str], encoding: str | None, named: Named | None = None
) -> Iterator[Item]:
    """Read one document a row; see `records` for what of it is id, text and title, and for fields. Everything else is metadata.

    The encoding is that of CSV and TSV; None finds it out. `named` takes note of which fields there are.
    """
    suffix = file.path.suffix.lower()
    is_empty = True
    try:
        for item in _items(stream, file, fields, encoding, named or Named(fields)):
            is_empty = False
            yield item
        if is_empty:
            wholly = "" if suffix in _SHEETS or suffix == ".parquet" else "; a text is read as one with --as text"
            # By the name of the file, which no row has: a sync of a table that was emptied removes its rows.
            yield file.reject("holds no mail" if suffix == ".mbox" else f"has no rows below the names of its columns{wholly}")
    except ModuleNotFoundError as error:
        yield file.reject_many(missing(error))
    except InvalidDocument as error:
        yield file.reject_many(str(error))


def _items(stream: BinaryIO, file: SourceFile, fields: Mapping[str, str], encoding: str | None, named: Named) -> Iterator[Item]:
    suffix = file.path.suffix.lower()
    if suffix in _JSON:
        yield from objects.read_objects(stream, file, fields, named)
    elif suffix == ".mbox":
        from search.reading import mail  # which a table does not need

        yield from mail.documents(stream, file)
    elif suffix in _SHEETS:
        said: dict[str, Any] = {**unread(stream)}
        stream.seek(0)
        sheets = (
            [one] if isinstance(one, Document | Rejection) else _documents(one, file, fields, named)
            for one in _sheets(stream, file)
        )
        yield from _remarked(itertools.chain.from_iterable(sheets), said, said)
    elif suffix == ".parquet":
        yield from _documents(_parquet(stream), file, fields, named)
    else:
        used = (encoding, "strict") if encoding else text.detect_stream(stream)
        table = _csv(stream, file.path, used)
        said = {**({} if used[0] == text.UTF_8 else {"encoding": used[0]}), **table.remarks}
        yield from _remarked(_documents(table, file, fields, named), said, {})


def _remarked(items: Iterable[Item], remarks: Mapping[str, Any], metadata: Mapping[str, Any]) -> Iterator[Item]:
    """Items of a file of which something is to be remarked: the first document says it for all, the whole file as its metadata."""
    for item in items:
        if remarks and isinstance(item, Document):
            about = remarks if item.origin == item.id else metadata
            yield replace(item, metadata={**about, **item.metadata}, remarks={**remarks, **item.remarks})
            remarks = {}
        else:
            yield item


def count(stream: BinaryIO, file: SourceFile, fields: Mapping[str, str]) -> int:
    """How many documents there may be, rejected ones included; 1 of a table without rows, which is rejected as a whole."""
    if file.path.suffix.lower() in _JSON:
        return objects.count(stream, fields)
    return max(_count_rows(stream, file), 1)


def _count_rows(stream: BinaryIO, file: SourceFile) -> int:
    suffix = file.path.suffix.lower()
    if suffix == ".mbox":
        return sum(line.startswith(b"From ") for line in stream)  # about: of texts some begin so, too
    if suffix in _SHEETS:
        return sum(sum(1 for _ in one.rows) if isinstance(one, _Table) else 1 for one in _sheets(stream, file))
    if suffix != ".parquet":
        rows = itertools.islice(_csv_rows(stream, file.path, (text.UTF_8, "surrogateescape")), 1, None)  # in any encoding as many
        return sum(isinstance(row, _Malformed) or any(row) for _, row in rows)
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(stream) as table:
        return int(table.metadata.num_rows)


def _documents(table: _Table, file: SourceFile, fields: Mapping[str, str], named: Named) -> Iterator[Item]:
    name = f"{file.name}#{table.sheet}" if table.sheet else file.name
    parts = None
    is_named = any(field in fields for field in FIELDS)
    rows = iter(table.rows)
    for one in rows:
        line, number, row, replaced = one
        if isinstance(row, _Malformed):
            yield Rejection(name, line, None, row.reason, {"row": row.values})
        elif not (table.texts or is_named) and table.whole and sum(map(len, table.names)) < _MOST_WHOLE:
            named.see(row)
            yield from _whole(table, itertools.chain([one], rows), name, file)
        else:
            parts = parts or _roles(table, fields)
            named.see(row)
            remarks = {"replaced_characters": replaced} if replaced else {}
            yield _document(row, table, parts, (name, line, key_of(file.name, number, table.sheet), file.folder), remarks)


def _whole(table: _Table, rows: Iterator[_Row], name: str, file: SourceFile) -> Iterator[Item]:
    """A table without texts is one document, with as many of its rows as make sense of its columns."""
    written = [_line(table.names), _line(["---"] * len(table.names))]
    size, left_out = sum(map(len, written)), 0
    for line, _, row, _ in rows:
        if isinstance(row, _Malformed):
            yield Rejection(name, line, None, row.reason, {"row": row.values})
            continue
        one = _line("" if value is None else str(_plain(value)) for value in row.values())
        size += len(one)
        if size > _MOST_WHOLE:
            left_out += 1
        else:
            written.append(one)
    remarks = {"rows_left_out": left_out} if left_out else {}
    about = {"sheet": table.sheet, **remarks} if table.sheet else remarks
    title = table.sheet or file.path.stem
    try:
        yield Document(name, "".join(written), title, about, "text/markdown", origin=name, folder=file.folder, remarks=remarks)
    except InvalidDocument as error:
        yield Rejection(name, None, None, str(error))


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(' '.join(cell.split()).replace('|', _BAR) for cell in cells)} |\n"


def _roles(table: _Table, fields: Mapping[str, str]) -> Roles:
    """What the columns are.

    Raises:
        InvalidDocument: those that the user named are not there, or none holds text.
    """
    by_field = {field: missing_columns(table.names, field, fields)[0] for field in ("id", "text", "metadata")}
    wanting = [field for field, names in by_field.items() if names]
    absent = [name for field in wanting for name in by_field[field]]
    if not absent:
        parts = roles(table.names, table.texts, fields)
        if parts.text or parts.title or {(name,) for name in table.texts} - set(parts.id):
            return parts
        absent = [name for name in ("id", "text") if not getattr(parts, name)]
    named = " ".join(f"--field {field}=COLUMN" for field in wanting or ["text"])
    raise InvalidDocument(f"has no column {' and no '.join(absent)} but {listed(table.names)}; name them with {named}")


def _document(
    row: Mapping[str, Any], table: _Table, parts: Roles, place: tuple[str, int, str, str], remarks: Mapping[str, Any]
) -> Item:
    source, line, key, folder = place
    cells = {name: _plain(value) for name, value in row.items()}
    try:
        values = values_of(cells, parts, table.texts, key)
    except InvalidDocument as error:
        return Rejection(source, line, None, str(error))
    given = {name: _without_bytes(value) for name, value in values["metadata"].items()}
    if left_out := sum(map(_bytes_in, values["metadata"].values())):
        remarks = {**remarks, "bytes_left_out": left_out}
    rest = {name: table.to_json(name, value) for name, value in given.items() if value is not None and value != ""}
    if not (parts.by_name or parts.text or values["text"].strip()):  # a row of numbers among texts, such as a sum
        values["text"] = "\n".join(f"{name}: {value}" for name, value in rest.items())
    values["metadata"] = {**({"sheet": table.sheet} if table.sheet else {}), **remarks, **rest}
    try:
        return Document(**values, origin=f"{source}:{line}", folder="" if parts.id else folder, remarks=remarks)
    except InvalidDocument as error:
        return Rejection(source, line, values["id"] or None, str(error), values)


def _csv(binary: BinaryIO, file: Path, encoding: tuple[str, str]) -> _Table:
    """A table of CSV or TSV. It is read twice, since a column is of numbers only if all of its values are.

    Raises:
        InvalidDocument: its header is none, or its encoding is another one.
    """
    names, numbers, filled, short = _types(binary, file, encoding)
    columns = _distinct(
        {at: (name.strip() and name) or f"column_{at + 1}" for at, name in enumerate(names) if name.strip() or at in filled}
    )
    are_numbers = {name for at, name in columns.items() if at in numbers}

    def to_json(name: str, value: Any) -> Any:
        return number_of(value) if name in are_numbers else value

    def rows() -> Iterator[_Row]:
        for number, (line, found) in enumerate(itertools.islice(_csv_rows(binary, file, encoding), 1, None), 1):
            row = _filled_up(found, len(names)) if short else found
            if isinstance(row, _Malformed):
                yield _Row(line, number, row)
            elif any(row):
                replaced = sum(value.count("\ufffd") for value in row) if encoding[1] == "replace" else 0
                yield _Row(line, number, {name: row[at] for at, name in columns.items()}, replaced)

    of_text = filled - numbers
    texts = [name for at, name in columns.items() if at in of_text]
    above = _above(binary, file, encoding)
    remarks = ({"lines_above_header": above} if above else {}) | ({"short_rows": short} if short else {})
    return _Table(list(columns.values()), texts, rows(), to_json, remarks=remarks)


def _distinct(columns: Mapping[int, str]) -> dict[int, str]:
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


def _types(binary: BinaryIO, file: Path, encoding: tuple[str, str]) -> tuple[list[str], set[int], set[int], int]:
    """The names of columns; which of them hold numbers alone, and which anything; and how many rows are short and may be filled up.

    A number is one that would be written the same again: 01234, 1.10 and what has more digits than a float holds stay text.
    Rows are filled up where others are of the header's length: else it is no header of theirs.
    """
    rows = _csv_rows(binary, file, encoding)
    header = next(rows)[1]
    names = [] if isinstance(header, _Malformed) else header
    unfilled, numbers = set(range(len(names))), set(range(len(names)))  # as far as is known
    short, has_whole = 0, False
    try:
        for _, found in rows:
            if isinstance(found, _Malformed) and not found.is_short:
                continue
            row = found.values if isinstance(found, _Malformed) else found
            is_short = row is not found
            short += is_short
            has_whole = has_whole or not is_short
            values = {at: row[at] for at in (range(len(row)) if is_short else unfilled | numbers) if row[at]}
            unfilled -= values.keys()
            numbers -= {at for at, value in values.items() if at in numbers and number_of(value) is None}
    except InvalidDocument:
        pass  # which comes again, behind the rows before
    return names, numbers - unfilled, set(range(len(names))) - unfilled, short if has_whole else 0


def _filled_up(row: list[str] | _Malformed, columns: int) -> list[str] | _Malformed:
    """A row whose last columns, which many programs leave out where they are empty, are there."""
    return row.values + [""] * (columns - len(row.values)) if isinstance(row, _Malformed) and row.is_short else row


def _csv_rows(binary: BinaryIO, file: Path, encoding: tuple[str, str]) -> Iterator[tuple[int, list[str] | _Malformed]]:
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


def _rows(stream: TextIO, layout: _Layout) -> Iterator[tuple[int, list[str] | _Malformed]]:
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
            row: list[str] | _Malformed = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            row = _Malformed(f"the row behind line {behind} is not CSV: {error}", [])
        if not isinstance(row, _Malformed) and len(row) > len(header) and not any(row[len(header) :]):
            row = row[: len(header)]
        if not isinstance(row, _Malformed) and row and len(row) != len(header):
            said = f"the row has {counted(len(row), 'value')} and the header {counted(len(header), 'column')}"
            why = f"{said}; quote values that hold {layout.separator!r}, and delete what stands above the header"
            row = _Malformed(why, row, is_short=0 < len(header) - len(row) <= _MOST_LACKING)
        if isinstance(row, _Malformed) and (plain := _unquoted(lines.row, len(header))):
            yield from enumerate(plain, behind + 1)
        elif row:
            yield lines.number, row


def _unquoted(row: list[str], columns: int) -> list[list[str]]:
    """Lines with tabs between values of which quotes are a part, as many programs write them; none if they do not fit."""
    plain = [line.rstrip("\r\n").split("\t") for line in row]
    return plain if all(len(values) == columns for values in plain) else []


def _parquet(stream: BinaryIO) -> _Table:
    """A table of Parquet.

    Raises:
        InvalidDocument: it is none, or two columns are called as what a document is made of.
    """
    import pyarrow as pa
    import pyarrow.parquet

    try:
        schema = pyarrow.parquet.ParquetFile(stream).schema_arrow
    except MemoryError:  # Arrow's is one of its other errors, too
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        stream.seek(0)
        found = other_than("", stream.read(BEGINNING))
        raise InvalidDocument(f"cannot be read as Parquet{f': {found}' if found else f' behind row 0: {error}'}") from error
    names = list(_distinct(dict(enumerate(schema.names))).values())
    kinds = [kind.value_type if pa.types.is_dictionary(kind) else kind for kind in schema.types]
    texts = [name for name, kind in zip(names, kinds, strict=True) if pa.types.is_string(kind) or pa.types.is_large_string(kind)]
    nested = [(name, kind) for name, kind in zip(names, schema.types, strict=True) if pa.types.is_nested(kind)]
    of_text = _beyond_64_bits(stream, names)

    def to_json(name: str, value: Any) -> Any:
        return as_text({name: value}, of_text)[name] if of_text else value

    return _Table(names, texts, _parquet_rows(stream, names, nested), to_json, whole=False)


def _beyond_64_bits(stream: BinaryIO, names: list[str]) -> set[Names]:
    """What holds whole numbers that need 64 bits without a sign, which filters have not: all of such a column become text."""
    import pyarrow as pa
    import pyarrow.compute
    import pyarrow.parquet

    types = Types()
    try:
        with pyarrow.parquet.ParquetFile(stream) as table:
            schema = table.schema_arrow
            columns = [(name, one) for name, one in zip(names, schema, strict=True) if _is_unsigned(one.type)]
            for batch in table.iter_batches(_SCANNED, columns=[one.name for _, one in columns]) if columns else ():
                for (name, one), column in zip(columns, batch.columns, strict=True):
                    nested = pa.types.is_nested(one.type)
                    for value in column if nested else pyarrow.compute.min_max(column).values():
                        types.see({name: _with_objects(value.as_py(), one.type)})
    except MemoryError:  # Arrow's is one of its other errors, too
        raise
    except (pa.ArrowException, OSError, ValueError):
        pass  # which comes again, behind the rows before
    return types.of_text


def _is_unsigned(kind: Any) -> bool:
    """Whether a type of Arrow has whole numbers of 64 bits without a sign in it."""
    return str(kind) == "uint64" or any(_is_unsigned(kind.field(at).type) for at in range(kind.num_fields))


def _parquet_rows(stream: BinaryIO, names: list[str], nested: list[tuple[str, Any]]) -> Iterator[_Row]:
    """Rows of columns of these names. Nested ones are given with their types of Arrow."""
    import pyarrow as pa
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(stream) as table:
            for batch in table.iter_batches(_ROWS):
                columns = [_in_microseconds(column) for column in batch.columns]
                for at in range(batch.num_rows):
                    number += 1
                    try:
                        row = {name: column[at].as_py() for name, column in zip(names, columns, strict=True)}
                        row |= {name: _with_objects(row[name], kind) for name, kind in nested}
                        yield _Row(number, number, row)
                    except MemoryError:
                        raise
                    except (ValueError, OverflowError, pa.ArrowException) as error:  # a time in nanoseconds, text that is none
                        yield _Row(number, number, _Malformed(f"the row cannot be read: {error}", []))
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InvalidDocument(f"cannot be read as Parquet behind row {number}: {error}") from error


def _in_microseconds(column: Any) -> Any:
    """A column of times or durations in nanoseconds, which Python has not, cut to microseconds; any other as it is."""
    import pyarrow as pa

    match column.type:
        case pa.TimestampType(unit="ns", tz=zone):
            return column.cast(pa.timestamp("us", zone), safe=False)
        case pa.DurationType(unit="ns"):
            return column.cast(pa.duration("us"), safe=False)
        case _:
            return column


def _with_objects(value: Any, kind: Any) -> Any:
    """A value of this type of Arrow, which makes pairs of a map: here it is an object.

    Raises:
        ValueError: a name stands twice in it.
    """
    import pyarrow as pa

    if value is None or not pa.types.is_nested(kind):
        return value
    if pa.types.is_map(kind):
        return without_repeats([(str(_plain(key)), _with_objects(inner, kind.item_type)) for key, inner in value])
    if pa.types.is_struct(kind):
        return {one.name: _with_objects(value[one.name], one.type) for one in kind}
    return [_with_objects(inner, kind.value_type) for inner in value]


def _sheets(stream: BinaryIO, file: SourceFile) -> Iterator[_Table | Item]:
    """The sheets of a workbook, each a table under its header; what stands above it are documents of their own.

    Raises:
        InvalidDocument: it is no workbook.
    """
    import python_calamine as calamine

    kind = file.path.suffix[1:].upper()
    try:
        with calamine.CalamineWorkbook.from_filelike(stream) as workbook:
            for about in workbook.sheets_metadata:
                if about.typ == calamine.SheetTypeEnum.WorkSheet:
                    yield from _sheet(workbook.get_sheet_by_name(about.name), file)
    except calamine.PasswordError as error:
        raise InvalidDocument(f"cannot be read as {kind}: {ENCRYPTED}") from error
    except (calamine.CalamineError, calamine.XmlError, calamine.ZipError, OSError, ValueError) as error:
        stream.seek(0)
        content = stream.read(LONGEST)
        because = ENCRYPTED if needs_password(content) else other_than("", content) or str(error)
        raise InvalidDocument(f"cannot be read as {kind}: {because}") from error


def _sheet(sheet: Any, file: SourceFile) -> Iterator[_Table | Item]:
    first = sheet.start[1] if sheet.start else 0
    filled = [
        (number, sum(cell != "" for cell in row)) for number, row in enumerate(sheet.iter_rows(), 1) if any(map(_is_filled, row))
    ]
    head = next((number for number, cells in filled if cells > 1), filled[0][0] if filled else 0)
    if filled and head == filled[-1][0]:
        head = 0  # of nothing
    kinds: dict[int, set[str]] = {}
    names: list[str] = []
    for number, row in enumerate(sheet.iter_rows(), 1):
        if number == head:
            names = [_written(cell).strip() or f"column_{first + at}" for at, cell in enumerate(row, 1)]
        elif number < head or not head:
            if words := " ".join(_written(cell) for cell in row if _is_filled(cell)):
                key = key_of(file.name, number, sheet.name)
                origin = f"{file.name}#{sheet.name}:{number}"
                yield Document(key, words, metadata={"sheet": sheet.name}, origin=origin, folder=file.folder)
        else:
            for at, cell in enumerate(row):
                if _is_filled(cell):
                    kinds.setdefault(at, set()).add(_kind(cell))
    if not head:
        return
    try:
        columns = _distinct({at: name for at, name in enumerate(names) if at in kinds or not name.startswith("column_")})
    except InvalidDocument as error:
        yield Rejection(f"{file.name}#{sheet.name}", head, None, str(error))
        return
    texts = [name for at, name in columns.items() if kinds.get(at) == {"text"} or len(kinds.get(at, ())) > 1]
    yield _Table(list(columns.values()), texts, _sheet_rows(sheet, head, columns, set(texts)), lambda _, value: value, sheet.name)


def _sheet_rows(sheet: Any, head: int, names: Mapping[int, str], texts: set[str]) -> Iterator[_Row]:
    """The rows below a header; a cell of several rows stands in each of them that has anything else."""
    left = sheet.start[1] if sheet.start else 0
    reaching = {
        (top + 1, column - left): bottom + 1 for (top, column), (bottom, _) in sheet.merged_cell_ranges or () if bottom > top
    }
    above: dict[int, tuple[Any, int]] = {}  # by column, a cell that reaches down, and to which row
    for number, row in enumerate(sheet.iter_rows(), 1):
        if number <= head or not any(map(_is_filled, row)):
            continue
        cells = dict(enumerate(row)) | {at: cell for at, (cell, last) in above.items() if number <= last}
        given = {name: cells[at] for at, name in names.items()}
        yield _Row(number, number, {name: _written(cell) if name in texts else _cell(cell) for name, cell in given.items()})
        here = {at: reaching[number, at] for at in names if (number, at) in reaching}
        above |= {at: (row[at], last) for at, last in here.items() if len(_written(row[at])) <= _LONGEST_REPEATED}


def _is_filled(cell: Any) -> bool:
    return cell != "" and not (isinstance(cell, str) and not cell.strip())


def _kind(cell: Any) -> str:
    match cell:
        case str():
            return "text"
        case bool():
            return "truth"
        case int() | float():
            return "number"
        case _:
            return "time"


def _cell(cell: Any) -> Any:
    """A cell as plain data: what a spreadsheet holds is a float even where it is shown as a whole number."""
    match cell:
        case float() if cell.is_integer() and abs(cell) <= EXACT:
            return int(cell)
        case dt.timedelta():
            return str(cell)
        case _:
            return _plain(cell)


def _written(cell: Any) -> str:
    return str(_cell(cell))


def _plain(value: Any) -> Any:
    """What JSON can hold of a value of a Parquet column; a document says what of it is refused."""
    match value:
        case dt.date() | dt.time():
            return value.isoformat()
        case decimal.Decimal() | dt.timedelta():
            return str(value)
        case bytes():
            return _decoded(value)
        case Mapping():
            return {key: _plain(inner) for key, inner in value.items()}
        case list():
            return [_plain(inner) for inner in value]
        case _:
            return storable(value)


def _decoded(value: bytes) -> str | bytes:
    """Text where it is UTF-8: many writers leave out that a column holds text."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _without_bytes(value: Any) -> Any:
    """Plain data without what is bytes and no text, such as a picture; None for such a value itself."""
    match value:
        case bytes():
            return None
        case Mapping():
            return {name: _without_bytes(inner) for name, inner in value.items() if not isinstance(inner, bytes)}
        case list():
            return [_without_bytes(inner) for inner in value if not isinstance(inner, bytes)]
        case _:
            return value


def _bytes_in(value: Any) -> int:
    """How many values in plain data are bytes."""
    inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return isinstance(value, bytes) + sum(map(_bytes_in, inside))
