"""Of which type are the values of a column? All of one: text, where numbers would not give them back as they are written."""

import decimal
import math
import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

EXACT = 2**53  # up to which a float holds every whole number
_LARGEST = 2**63  # what whole numbers of filters reach up to
_TYPES = {str: "text", bool: "truth", int: "number", float: "number"}
_MOST_NAMES = 10_000  # of which the types are known: objects may have others each
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d+)?")

Path = tuple[str, ...]  # of names, outermost first


class Types:
    """Of which types the values of records are, by the names that lead to them.

    A name whose values are of several types is of text. Null is of any type. A list counts by the values in it, as for filters; one
    that is of several types itself stays what it is, as do objects.

    Attributes:
        of_text: names of several types, or of whole numbers beyond 64 bits, which are text as well.
    """

    def __init__(self) -> None:
        self.of_text: set[Path] = set()
        self._types: dict[Path, str] = {}

    def see(self, record: Mapping[str, Any], *, without: AbstractSet[str] = frozenset()) -> None:
        """Take note of the values of a record, without those of some names."""
        for name, value in record.items():
            if name not in without:
                self._see(value, (name,))

    def _see(self, value: Any, path: Path) -> None:
        if kind := _type(value):
            known = self._types.get(path)
            if known is None and len(self._types) < _MOST_NAMES:
                self._types[path] = kind
            elif known not in {None, kind}:
                self.of_text.add(path)
        elif isinstance(value, Mapping):
            for name, inner in value.items():
                self._see(inner, (*path, name))
        elif isinstance(value, list):
            has_one_type = len(_types_in(value)) == 1
            for inner in value:
                if has_one_type or isinstance(inner, Mapping | list):
                    self._see(inner, path)


def as_text(record: Mapping[str, Any], of_text: AbstractSet[Path]) -> dict[str, Any]:
    """A record with text in place of every value whose name is of text; see `Types`."""
    names = {path[0] for path in of_text}
    return {name: _as_text(value, (name,), of_text) if name in names else value for name, value in record.items()}


def _as_text(value: Any, path: Path, of_text: AbstractSet[Path]) -> Any:
    match value:
        case Mapping():
            return {name: _as_text(inner, (*path, name), of_text) for name, inner in value.items()}
        case list() if len(_types_in(value)) > 1:
            return [_as_text(inner, path, of_text) if isinstance(inner, Mapping | list) else inner for inner in value]
        case list():
            return [_as_text(inner, path, of_text) for inner in value]
        case bool() if path in of_text:
            return "true" if value else "false"
        case int() | float() if path in of_text and not (isinstance(value, float) and math.isnan(value)):
            return str(value)
        case _:
            return value


def _types_in(values: Iterable[Any]) -> set[str]:
    """Of which types what stands in a list itself is."""
    return {kind for value in values if not isinstance(value, Mapping | list) and (kind := _type(value))}


def _type(value: Any) -> str:
    """The type of a value as filters know it; empty of what has none, or is a number without an end."""
    kind = _TYPES.get(type(value), "")
    if kind != "number" or -_LARGEST <= value < _LARGEST:
        return kind
    return "text" if isinstance(value, int) else kind if math.isfinite(value) else ""


def number(written: str) -> int | float | None:
    """The number that would be written like this; None if there is none."""
    if not _NUMBER.fullmatch(written):
        return None
    if "." not in written:
        whole = int(written)
        return whole if str(whole) == written and abs(whole) <= EXACT else None
    found = float(written)
    same = repr(found) == written or (written[-1] != "0" and decimal.Decimal(repr(found)) == decimal.Decimal(written))
    return found if same else None
