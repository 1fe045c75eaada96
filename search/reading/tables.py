"""Which documents stand in a table? One a row of CSV, TSV, Parquet or a spreadsheet, one a mail; of JSON, what `objects` says."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, BinaryIO

from search.documents import Document, Rejection, listed
from search.errors import InvalidDocument
from search.reading import objects, sheets, text
from search.reading.files import Item, SourceFile
from search.reading.named import Named
from search.reading.parquet import read_parquet
from search.reading.records import FIELDS, Roles, key_of, missing, roles, values_of, without_vectors
from search.reading.rows import Malformed, Row, Table, plain
from search.reading.separated import read_separated, separated_rows
from search.reading.unread import unread
from search.system.extras import how_to_install

_JSON = (".json", ".geojson", ".jsonld")
SUFFIXES = (".csv", ".tsv", ".parquet", ".mbox", *_JSON, *sheets.SUFFIXES)
IN_A_CHILD = (".parquet", ".mbox", *_JSON, *sheets.SUFFIXES)  # which libraries read that may be made to take any amount of memory
_MOST_WHOLE = 20_000  # characters of a table without texts
_BAR = r"\|"  # in a cell of Markdown


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
            wholly = "" if suffix in sheets.SUFFIXES or suffix == ".parquet" else "; a text is read as one with --as text"
            # By the name of the file, which no row has: a sync of a table that was emptied removes its rows.
            yield file.reject("holds no mail" if suffix == ".mbox" else f"has no rows below the names of its columns{wholly}")
    except ModuleNotFoundError as error:
        yield file.reject_many(how_to_install(error))
    except InvalidDocument as error:
        yield file.reject_many(str(error))


def _items(stream: BinaryIO, file: SourceFile, fields: Mapping[str, str], encoding: str | None, named: Named) -> Iterator[Item]:
    suffix = file.path.suffix.lower()
    if suffix in _JSON:
        yield from objects.read_objects(stream, file, fields, named)
    elif suffix == ".mbox":
        from search.reading import mail  # which a table does not need

        yield from mail.documents(stream, file)
    elif suffix in sheets.SUFFIXES:
        said: dict[str, Any] = {**unread(stream)}
        stream.seek(0)
        items = (
            [one] if isinstance(one, Document | Rejection) else _documents(one, file, fields, named)
            for one in sheets.read_sheets(stream, file)
        )
        yield from _remarked(itertools.chain.from_iterable(items), said, said)
    elif suffix == ".parquet":
        yield from _documents(read_parquet(stream), file, fields, named)
    else:
        used = (encoding, "strict") if encoding else text.detect_stream(stream)
        table = read_separated(stream, file.path, used)
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
    if suffix in sheets.SUFFIXES:
        return sum(sum(1 for _ in one.rows) if isinstance(one, Table) else 1 for one in sheets.read_sheets(stream, file))
    if suffix != ".parquet":
        in_any_encoding = (text.UTF_8, "surrogateescape")
        rows = itertools.islice(separated_rows(stream, file.path, in_any_encoding), 1, None)
        return sum(isinstance(row, Malformed) or any(row) for _, row in rows)
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(stream) as table:
        return int(table.metadata.num_rows)


def _documents(table: Table, file: SourceFile, fields: Mapping[str, str], named: Named) -> Iterator[Item]:
    name = f"{file.name}#{table.sheet}" if table.sheet else file.name
    parts = None
    is_named = any(field in fields for field in FIELDS)
    rows = iter(table.rows)
    for one in rows:
        line, number, row, replaced = one
        if isinstance(row, Malformed):
            yield Rejection(name, line, None, row.reason, {"row": row.values})
        elif not (table.texts or is_named) and table.whole and sum(map(len, table.names)) < _MOST_WHOLE:
            named.see(row)
            yield from _whole(table, itertools.chain([one], rows), name, file)
        else:
            parts = parts or _roles(table, fields)
            named.see(row)
            remarks = {"replaced_characters": replaced} if replaced else {}
            yield _document(row, table, parts, (name, line, key_of(file.name, number, table.sheet), file.folder), remarks)


def _whole(table: Table, rows: Iterator[Row], name: str, file: SourceFile) -> Iterator[Item]:
    """A table without texts is one document, with as many of its rows as make sense of its columns."""
    written = [_line(table.names), _line(["---"] * len(table.names))]
    size, left_out = sum(map(len, written)), 0
    for line, _, row, _ in rows:
        if isinstance(row, Malformed):
            yield Rejection(name, line, None, row.reason, {"row": row.values})
            continue
        one = _line("" if value is None else str(plain(value)) for value in row.values())
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


def _roles(table: Table, fields: Mapping[str, str]) -> Roles:
    """What the columns are.

    Raises:
        InvalidDocument: those that the user named are not there, or none holds text.
    """
    by_field = {field: missing(table.names, field, fields)[0] for field in ("id", "text", "metadata")}
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
    row: Mapping[str, Any], table: Table, parts: Roles, place: tuple[str, int, str, str], remarks: Mapping[str, Any]
) -> Item:
    source, line, key, folder = place
    cells = {name: plain(value) for name, value in row.items()}
    try:
        values = values_of(cells, parts, table.texts, key)
    except InvalidDocument as error:
        return Rejection(source, line, None, str(error))
    given = {name: _without_bytes(value) for name, value in values["metadata"].items()}
    if left_out := sum(map(_bytes_in, values["metadata"].values())):
        remarks = {**remarks, "bytes_left_out": left_out}
    given, vectors = without_vectors(given, parts)
    remarks = {**remarks, **vectors}
    rest = {name: table.to_json(name, value) for name, value in given.items() if value is not None and value != ""}
    if not (parts.by_name or parts.text or values["text"].strip()):  # a row of numbers among texts, such as a sum
        values["text"] = "\n".join(f"{name}: {value}" for name, value in rest.items())
    values["metadata"] = {**({"sheet": table.sheet} if table.sheet else {}), **remarks, **rest}
    try:
        return Document(**values, origin=f"{source}:{line}", folder="" if parts.id else folder, remarks=remarks)
    except InvalidDocument as error:
        return Rejection(source, line, values["id"] or None, str(error), values)


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
