"""Why does no passage pass a filter? For want of a field, or of values of the kind that it compares."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

from search.documents import Hit
from search.errors import IndexFailure, UnsupportedFilter
from search.index.contract import PlainFilter, VectorIndex
from search.index.filters import Kind, any_of, fields_of, kinds_of

_FIELDS_LOOKED_AT = 5
_STEP = re.compile(r'"([^"]*)"|([A-Za-z0-9_-]+)(?![0-9]*\])')  # of a path
_FOUND_BY: Mapping[Literal["number", "boolean"], str] = {
    "number": "a range or a number finds numbers alone; match finds texts, such as dates, and booleans as they stand",
    "boolean": "true and false without quotes find booleans alone, and a text, as of a table's column, is found in quotes",
}


def misfits(index: VectorIndex, filter: PlainFilter) -> list[str]:
    """In words, the fields that a filter asks about and no passage has, or has of another kind; of the first few."""
    names = sorted(set(fields_of(filter)))[:_FIELDS_LOOKED_AT]  # each is asked about
    absent = [name for name in names if _is_any(index, {"must_not": [{"is_empty": {"key": name}}]}) is False]
    asked = sorted({one for one in kinds_of(filter) if one[0] in names and one[0] not in absent})
    return [
        *(f"no document has the field {name!r} that the filter asks about" for name in absent),
        *(words for one in asked if (words := _misfit(index, *one))),
    ]


def _misfit(index: VectorIndex, name: str, kind: Kind, numbers: Sequence[int]) -> str:
    """How a field that is there holds nothing of the kind that a filter compares it with, or a number of it as 1.0."""
    if kind != "text":
        if _is_any(index, {"must": [any_of(kind, name)]}) is False:
            return f"no document has a {kind} in the field {name!r} that the filter asks about; {_FOUND_BY[kind]}"
        return _with_point(index, name, numbers)
    for other in _FOUND_BY:
        if _is_any(index, {"must_not": [{"is_empty": {"key": name}}, any_of(other, name)]}) is False:
            there = f"all that have the field {name!r} have a {other} there"
            return f"{there}, and the filter asks for a text; write it without quotes"
    return ""


def _with_point(index: VectorIndex, name: str, numbers: Sequence[int]) -> str:
    """Which of some whole numbers a field holds as 1.0; in one request where it is none."""

    def held(some: Sequence[int]) -> bool:
        alike = [{"key": name, "range": {"gte": one, "lte": one}} for one in some]
        return bool(_is_any(index, {"must": [{"should": alike}], "must_not": [{"key": name, "match": {"any": [*some]}}]}))

    number = next((one for one in numbers if held([one])), None) if numbers and held(numbers) else None
    if number is None:
        return ""
    return f"the field {name!r} holds {float(number)!r}, which a match with {number} does not find; a range does: {_range(number)}"


def let_pass(filter: PlainFilter, hits: Iterable[Hit]) -> list[str]:
    """In words, the whole numbers that `must_not` means to exclude and that hits hold as 1991.0."""
    found = []
    for name, _, numbers in kinds_of({"must": filter.get("must_not", [])}):
        steps = [quoted or plain for quoted, plain in _STEP.findall(name)]
        held = {one for hit in hits for one in _fractions({"metadata": hit.metadata}, steps)} if numbers else set()
        if (number := next((one for one in numbers if one in held), None)) is not None:
            passes = f"the field {name!r} of hits holds {float(number)!r}, which must_not with a match of {number} lets pass"
            found.append(f"{passes}; a range excludes it: {_range(number)}")
    return found


def _range(number: int) -> str:
    return f'{{"gte": {number}, "lte": {number}}}'


def _fractions(value: Any, steps: Sequence[str]) -> Iterator[float]:
    """The numbers with a point where a path leads, into lists, too."""
    match value:
        case list() | tuple():
            for one in value:
                yield from _fractions(one, steps)
        case Mapping() if steps:
            yield from _fractions(value.get(steps[0]), steps[1:])
        case float() if not steps:
            yield value


def _is_any(index: VectorIndex, filter: PlainFilter) -> bool | None:
    """Whether a passage passes, of which the first is looked for, since to count all takes long; None where a server does not say.

    In strict mode it does not look for a kind by an index of another.
    """
    with suppress(IndexFailure, UnsupportedFilter):
        return next(iter(index.scroll(filter, fields=["document_id"])), None) is not None
    return None
