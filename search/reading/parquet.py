"""What stands in a table of Parquet?"""

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any, BinaryIO

from search.documents import without_repeats
from search.errors import InvalidDocument
from search.kinds import BEGINNING, other_than
from search.reading.columns import Path as Names
from search.reading.columns import Types, as_text
from search.reading.rows import Malformed, Row, Table, distinct, plain

_SCANNED = 1000  # rows whose numbers are looked at at a time
_ROWS = 16  # read at a time: texts may be long
_INDEX = re.compile(r"__index_level_\d+__")  # how pandas calls the numbers of its rows


def read_parquet(stream: BinaryIO) -> Table:
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
    names = list(distinct(dict(enumerate(schema.names))).values())
    of_pandas = {one.name for one in schema if _INDEX.fullmatch(one.name) and pa.types.is_integer(one.type)}
    kinds = [kind.value_type if pa.types.is_dictionary(kind) else kind for kind in schema.types]
    texts = [name for name, kind in zip(names, kinds, strict=True) if pa.types.is_string(kind) or pa.types.is_large_string(kind)]
    nested = [(name, kind) for name, kind in zip(names, schema.types, strict=True) if pa.types.is_nested(kind)]
    of_text = _beyond_64_bits(stream, names)

    def to_json(name: str, value: Any) -> Any:
        return as_text({name: value}, of_text)[name] if of_text else value

    kept = [name for name in names if name not in of_pandas]
    return Table(kept, texts, _parquet_rows(stream, names, nested, of_pandas), to_json, whole=False)


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


def _parquet_rows(stream: BinaryIO, names: list[str], nested: list[tuple[str, Any]], without: AbstractSet[str]) -> Iterator[Row]:
    """Rows of columns of these names, but some of these. Nested ones are given with their types of Arrow."""
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
                        cells = zip(names, columns, strict=True)
                        row = {name: column[at].as_py() for name, column in cells if name not in without}
                        row |= {name: _with_objects(row[name], kind) for name, kind in nested}
                        yield Row(number, number, row)
                    except MemoryError:
                        raise
                    except (ValueError, OverflowError, pa.ArrowException) as error:  # a time in nanoseconds, text that is none
                        yield Row(number, number, Malformed(f"the row cannot be read: {error}", []))
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
        return without_repeats([(str(plain(key)), _with_objects(inner, kind.item_type)) for key, inner in value])
    if pa.types.is_struct(kind):
        return {one.name: _with_objects(value[one.name], one.type) for one in kind}
    return [_with_objects(inner, kind.value_type) for inner in value]
