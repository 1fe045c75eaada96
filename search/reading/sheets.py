"""What stands in the sheets of a workbook?"""

import datetime as dt
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, BinaryIO

from search.documents import Document, Rejection
from search.errors import InvalidDocument
from search.kinds import other_than
from search.reading.columns import EXACT
from search.reading.files import LONGEST, Item, SourceFile
from search.reading.passwords import ENCRYPTED, needs_password
from search.reading.records import key_of
from search.reading.rows import Row, Table, distinct, plain

SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
_WIDEST_GROUP = 100  # columns
_ROWS_OF_GROUPS = 2  # of a header with names of groups
_LONGEST_REPEATED = 200  # characters of a cell of several rows that stand in each of them


def read_sheets(stream: BinaryIO, file: SourceFile) -> Iterator[Table | Item]:
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


def _sheet(sheet: Any, file: SourceFile) -> Iterator[Table | Item]:
    first = sheet.start[1] if sheet.start else 0
    filled = [
        (number, sum(cell != "" for cell in row)) for number, row in enumerate(sheet.iter_rows(), 1) if any(map(_is_filled, row))
    ]
    head = next((number for number, cells in filled if cells > 1), filled[0][0] if filled else 0)
    if filled and head == filled[-1][0]:
        head = 0  # of nothing
    below = _below_groups(sheet, head)
    last = head + bool(below)  # row of the header
    kinds: dict[int, set[str]] = {}
    names: list[str] = []
    for number, row in enumerate(sheet.iter_rows(), 1):
        if number == head:
            names = [below.get(at - 1) or _written(cell).strip() or f"column_{first + at}" for at, cell in enumerate(row, 1)]
        elif number < head or not head:
            if words := " ".join(_written(cell) for cell in row if _is_filled(cell)):
                key = key_of(file.name, number, sheet.name)
                origin = f"{file.name}#{sheet.name}:{number}"
                yield Document(key, words, metadata={"sheet": sheet.name}, origin=origin, folder=file.folder)
        else:
            for at, cell in enumerate(row if number > last else ()):
                if _is_filled(cell):
                    kinds.setdefault(at, set()).add(_kind(cell))
    if not head:
        return
    try:
        columns = distinct({at: name for at, name in enumerate(names) if at in kinds or not name.startswith("column_")})
    except InvalidDocument as error:
        yield Rejection(f"{file.name}#{sheet.name}", head, None, str(error))
        return
    texts = [name for at, name in columns.items() if kinds.get(at) == {"text"} or len(kinds.get(at, ())) > 1]
    yield Table(list(columns.values()), texts, _sheet_rows(sheet, last, columns, set(texts)), lambda _, value: value, sheet.name)


def _below_groups(sheet: Any, head: int) -> dict[int, str]:
    """Names of columns by place, where the cells above them are merged to name groups of them; empty where that is not certain.

    What has no group reaches down over both rows; where all have one, names that come again in another group, or stand above what
    is no text, are those of columns.
    """
    left = sheet.start[1] if sheet.start else 0
    of_group: dict[int, int] = {}
    tall: set[int] = set()
    for (top, column), (bottom, end) in sheet.merged_cell_ranges or () if head else ():
        if top == bottom == head - 1 and end - column < _WIDEST_GROUP:
            of_group |= dict.fromkeys(range(column - left, end - left + 1), column - left)
        elif (top, bottom) == (head - 1, head):
            tall.add(column - left)
    above = [list(map(_cell, row)) for row in islice(sheet.iter_rows(), head - 1, head + 2)] if of_group else []
    if len(above) <= _ROWS_OF_GROUPS:
        return {}
    groups, columns, first = above
    named = {at: cell.strip() for at, cell in enumerate(columns) if isinstance(cell, str) and _is_filled(cell)}
    is_header = len(named) == sum(map(_is_filled, columns)) and of_group.keys() <= named.keys() and not named.keys() & tall
    is_above = {at for at, cell in enumerate(groups) if _is_filled(cell)} == {*of_group.values()} | tall
    is_told = tall or len({*named.values()}) < len(named) or any(_is_filled(cell) and not isinstance(cell, str) for cell in first)
    if not (is_header and is_above and is_told and any(map(_is_filled, first))):
        return {}
    return {at: f"{_written(groups[of_group[at]]).strip()}: {name}" if at in of_group else name for at, name in named.items()}


def _sheet_rows(sheet: Any, head: int, names: Mapping[int, str], texts: set[str]) -> Iterator[Row]:
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
        yield Row(number, number, {name: _written(cell) if name in texts else _cell(cell) for name, cell in given.items()})
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
            return plain(cell)


def _written(cell: Any) -> str:
    return str(_cell(cell))
