"""Which documents may be found? Qdrant's own filter language, narrowed to what means the same on every engine.

Fields: `document_id`, `title`, `headings`, `page`, `number` (of the chunk), `media_type`, `modified` (seconds since 1970), and
`metadata.…` for whatever a document brought along.
Conditions: match (value, any, except), range (numbers), values_count, is_empty, is_null, has_id, nested, and filters within filters
under must, should, must_not and min_should. Text match, dates and geography depend on payload indexes and are refused.

A condition tests something: one that every passage passes, or none could, is refused with its place (`match: null`, `any: []`, a
`values_count` of at least 0, an empty filter within a filter). Only the whole filter may be empty, and means everything. Nothing is
converted on the way: "1" is a string, 1.0 is no whole number, true is neither 1 nor 1.0.
"""

import json
import math
import operator
import re
import reprlib
import sys
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from pydantic import BaseModel

from search.documents import encodable, without_repeats
from search.errors import UnsupportedFilter

if TYPE_CHECKING:
    from qdrant_client.models import Filter

Kind = Literal["number", "text", "boolean"]
_CLAUSES = ("must", "should", "must_not")
_FIELDS = ("document_id", "title", "headings", "page", "number", "media_type", "modified")
_OF_TEXT, _OF_WHOLE_NUMBERS = {"document_id", "title", "headings", "media_type"}, {"page", "number"}
_ALWAYS_THERE = {"document_id", "title", "number"}  # not so "media_type", in old collections
_TESTS = ("match", "range", "values_count", "is_empty", "is_null")
_MATCHES = ("value", "any", "except")
_BOUNDS = ("gt", "gte", "lt", "lte")
_NOT_OFFERED = {
    *("geo_bounding_box", "geo_radius", "geo_polygon", "has_vector", "slice"),
    *("text", "text_any", "phrase", "prefix", "substring"),
}

_DEEPEST = 20  # filters within filters
_MOST_CONDITIONS = 5_000
_MOST_VALUES = 100_000  # that conditions name, all together
_MOST_COMBINATIONS = 10_000  # of conditions under min_should: the engine estimates each, however many there are
_LONGEST_JSON = 4_000_000  # characters
_LONGEST_PATH = 20_000  # characters, as many as the metadata of a document may have
_MOST_STEPS = 70  # of a path; metadata is at most 60 levels deep
_COMPARED = 100  # whole numbers of a match
_SHOWN = reprlib.Repr()  # of a value, in a message
_SHOWN.maxstring = _SHOWN.maxother = _SHOWN.maxlong = 80
_SHOWN.maxlevel = 2

_INEXACT_FROM, _INEXACT_TO = 2.0**53, 2.0**63  # where engines round whole numbers to 64-bit floats before they compare them
_SEGMENT = r"""(?:[A-Za-z0-9_-]+|"[^"\\]*")(?:\[[0-9]{0,9}\])*"""
_PATH = re.compile(rf"{_SEGMENT}(?:\.{_SEGMENT})*")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")
_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*")  # in quotes
_EXAMPLE = '{"must": [{"key": "metadata.year", "range": {"gte": 2020}}]}'


def to_plain(filter: "Filter | Mapping[str, Any] | str", *, any_field: bool = False, own: bool = True) -> dict[str, Any]:
    """Check a filter, which is an object, plain data or JSON, and return it as plain data.

    Args:
        filter: what was asked for.
        any_field: whether fields have any names, as in a collection that another program filled.
        own: whether the package's own fields hold what it writes there, and not what another program did.

    Raises:
        UnsupportedFilter: not a filter, an unknown field, a condition that tests nothing, a value that no document could have, or
            an operator that engines understand differently. The message names the place.
    """
    data = _parsed(filter) if isinstance(filter, str) else filter
    return _Check(own=own).filter(data, "", 0, nested=any_field)


def fields_of(filter: Mapping[str, Any]) -> Iterator[str]:
    """The payload fields that a plain filter asks about, those inside nested objects left out."""
    for condition in conditions_of(filter):
        if "key" in condition:
            yield condition["key"]
        elif "nested" in condition or "is_empty" in condition or "is_null" in condition:
            yield next(iter(condition.values()))["key"]
        elif "has_id" not in condition:
            yield from fields_of(condition)


def kinds_of(filter: Mapping[str, Any]) -> Iterator[tuple[str, Kind, tuple[int, ...]]]:
    """The payload fields whose values a plain filter compares, and with what; those inside nested objects left out.

    Of whole numbers also the first few, below 2^53, that a match asks for.
    """
    for condition in conditions_of(filter):
        match condition:
            case {"key": key, "range": _}:
                yield key, "number", ()
            case {"key": key, "match": {"value": str() | bool() as value} | {"any": [str() as value, *_]}}:
                yield key, "text" if isinstance(value, str) else "boolean", ()
            case {"key": key, "match": {"value": int(number)}}:
                yield key, "number", _comparable([number])
            case {"key": key, "match": {"any": [*numbers]}}:
                yield key, "number", _comparable(numbers)
            case {"key": _} | {"nested": _} | {"is_empty": _} | {"is_null": _} | {"has_id": _}:
                pass
            case _:
                yield from kinds_of(condition)


def _comparable(numbers: Sequence[int]) -> tuple[int, ...]:
    return tuple(number for number in numbers[:_COMPARED] if abs(number) < _INEXACT_FROM)


def any_of(kind: Literal["number", "boolean"], key: str) -> dict[str, Any]:
    """The condition that a field holds a number, or a boolean."""
    if kind == "number":
        return {"key": key, "range": {"gte": -sys.float_info.max}}
    return {"should": [{"key": key, "match": {"value": value}} for value in (True, False)]}


def asks_anything(filter: Mapping[str, Any]) -> bool:
    """Whether there is a condition in a plain filter; without one, every passage passes."""
    return any(True for _ in conditions_of(filter))


def path_of(*names: str) -> str | None:
    """The path that leads through these names to a field, as filters write it; None if there is no way to write it."""
    steps = [name if _PLAIN_NAME.fullmatch(name) else f'"{name}"' for name in names]
    path = ".".join(steps)
    return path if _path_problem(path) is None else None


def conditions_of(filter: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The conditions of all clauses of a plain filter, without those inside them."""
    for clause in _CLAUSES:
        yield from filter.get(clause, [])
    yield from filter.get("min_should", {}).get("conditions", [])


def with_each(filter: Mapping[str, Any], change: Callable[[Mapping[str, Any]], Any]) -> dict[str, Any]:
    """A plain filter with what becomes of each of these conditions in its place."""
    changed: dict[str, Any] = {clause: [change(one) for one in filter[clause]] for clause in _CLAUSES if clause in filter}
    if "min_should" in filter:
        some = filter["min_should"]
        changed["min_should"] = {**some, "conditions": [change(one) for one in some["conditions"]]}
    return changed


def _parsed(text: str) -> Any:
    if len(text) > _LONGEST_JSON:
        _refuse("", f"{len(text):,} characters are more than the {_LONGEST_JSON:,} that a filter may have")
    try:
        return json.loads(text, object_pairs_hook=without_repeats)
    except (ValueError, RecursionError) as error:
        raise UnsupportedFilter(f"the filter is not JSON ({error}); an example: {_EXAMPLE}") from error


class _Check:
    """Goes once through a filter and counts conditions, values and combinations, so that no size or depth of it can do harm."""

    def __init__(self, *, own: bool) -> None:
        self._own = own
        self._conditions = 0
        self._values = 0
        self._combinations = 0

    def filter(self, filter: Any, place: str, depth: int, *, nested: bool) -> dict[str, Any]:
        """A filter at a place, as plain data without its empty clauses."""
        if depth > _DEEPEST:
            _refuse(place, f"filters stand in one another more than {_DEEPEST} levels deep; flatten them")
        clauses = _object(filter, place, (*_CLAUSES, "min_should"), whole=True)
        plain: dict[str, Any] = {}
        for clause in _CLAUSES:
            at = _at(place, clause)
            conditions = clauses.get(clause)
            listed = [] if conditions is None else conditions if _is_list(conditions) else [conditions]
            if listed:
                plain[clause] = self._all(listed, at, depth, nested=nested)
        if clauses.get("min_should") is not None:
            plain["min_should"] = self._min_should(clauses["min_should"], _at(place, "min_should"), depth, nested=nested)
        if depth and not plain:
            _refuse(place, "is an empty filter, which tests nothing; write a condition, or leave it out")
        return plain

    def _all(self, conditions: Sequence[Any], place: str, depth: int, *, nested: bool) -> list[dict[str, Any]]:
        self._conditions += len(conditions)
        if self._conditions > _MOST_CONDITIONS:
            _refuse(place, f"more than {_MOST_CONDITIONS:,} conditions; ask for less at once, or list values in one `match: any`")
        return [self._condition(one, f"{place}[{number}]", depth, nested=nested) for number, one in enumerate(conditions)]

    def _min_should(self, min_should: Any, place: str, depth: int, *, nested: bool) -> dict[str, Any]:
        fields = _object(min_should, place, ("conditions", "min_count"))
        least: Any = fields.get("min_count")
        if not _is_int(least) or least < 1:
            _refuse(place, "min_should needs a min_count of at least 1, a whole number")
        conditions: Any = fields.get("conditions")
        if not _is_list(conditions):
            _refuse(place, "min_should needs conditions, a list")
        if least > len(conditions):
            _refuse(place, f"min_count is {_shown(least)}, more than the {len(conditions):,} conditions: nothing could pass")
        checked = self._all(conditions, _at(place, "conditions"), depth, nested=nested)
        self._combinations += _combinations(len(checked), least)
        if self._combinations > _MOST_COMBINATIONS:
            _refuse(place, f"{least} of {len(checked)} conditions are more than {_MOST_COMBINATIONS:,} combinations; ask for fewer")
        return {"conditions": checked, "min_count": least}

    def _condition(self, condition: Any, place: str, depth: int, *, nested: bool) -> dict[str, Any]:
        fields = _object(condition, place)
        if "key" in fields:
            return self._field(fields, place, nested=nested)
        kind = next((name for name in ("nested", "is_empty", "is_null", "has_id") if name in fields), None)
        if kind is None:
            return self.filter(fields, place, depth + 1, nested=nested)
        inside = _object(fields, place, (kind,))[kind]
        at = _at(place, kind)
        match kind:
            case "nested":
                parts = _object(inside, at, ("key", "filter"))
                key = _checked_path(parts.get("key"), at, nested=nested)
                return {
                    "nested": {"key": key, "filter": self.filter(parts.get("filter"), _at(at, "filter"), depth + 1, nested=True)}
                }
            case "has_id":
                return {"has_id": self._ids(inside, at, nested=nested)}
            case _:
                key = _checked_path(_object(inside, at, ("key",)).get("key"), at, nested=nested)
                if self._own and not nested:
                    _check_own(key, kind, True, at)  # noqa: FBT003  # it is what is_empty alone says
                return {kind: {"key": key}}

    def _ids(self, ids: Any, place: str, *, nested: bool) -> list[str]:
        if nested:
            _refuse_operator(place, "has_id inside nested")
        checked = []
        for chunk_id in self._list(ids, place, "no passage has one of no ids"):
            try:
                checked.append(str(chunk_id if isinstance(chunk_id, uuid.UUID) else uuid.UUID(chunk_id)))
            except (ValueError, AttributeError, TypeError):
                _refuse(place, f"has_id takes the chunk_id of hits, which are UUIDs, not {_shown(chunk_id)}")
        return checked

    def _list(self, values: Any, place: str, none: str) -> Sequence[Any]:
        if not _is_list(values):
            _refuse(place, f"needs a list, not {_shown(values)}")
        if not values:
            _refuse(place, f"is an empty list, which tests nothing: {none}")
        self._values += len(values)
        if self._values > _MOST_VALUES:
            _refuse(place, f"more than {_MOST_VALUES:,} values; ask for less at once")
        listed: Sequence[Any] = values
        return listed

    def _field(self, condition: Mapping[str, Any], place: str, *, nested: bool) -> dict[str, Any]:
        key = _checked_path(condition["key"], place, nested=nested)
        tests = {name: test for name, test in condition.items() if name != "key" and test is not None}
        for name in tests.keys() - {*_TESTS}:
            if name in _NOT_OFFERED:
                _refuse_operator(place, name)
            _refuse_form(place, f"{_shown(name)} is none of key, {', '.join(_TESTS)}")
        if len(tests) > 1:
            _refuse_operator(place, f"{' and '.join(sorted(tests))} in one condition")
        if not tests:
            null = [name for name in condition if name in _TESTS]
            what = f"{null[0]} of null tests" if null else "a key alone tests"
            _refuse(place, f"{what} nothing; write one of {', '.join(_TESTS)} beside {_shown(key)}")
        name, test = next(iter(tests.items()))
        at = _at(place, name)
        other: Callable[[Any, str], Any] = _NUMERIC.get(name, _boolean)
        checked = self._match(key, test, at, nested=nested) if name == "match" else other(test, at)
        if self._own and not nested:
            _check_own(key, name, checked, at)
        if isinstance(checked, bool):
            return {name: {"key": key}} if checked else {"must_not": [{name: {"key": key}}]}
        return {"key": key, name: checked}

    def _match(self, key: str, test: Any, place: str, *, nested: bool) -> dict[str, Any]:
        fields = _object(test, place)
        for name in fields.keys() - {*_MATCHES}:
            if name in _NOT_OFFERED:
                _refuse_operator(place, f"match.{name}")
            _refuse_form(place, f"{_shown(name)} is none of {', '.join(_MATCHES)}")
        values_by_name = {name: value for name, value in fields.items() if value is not None}
        if len(values_by_name) != 1:
            _refuse(place, f"match of {_shown(key)} needs one of {', '.join(_MATCHES)}; it has {len(values_by_name)}")
        name, value = next(iter(values_by_name.items()))
        at = _at(place, name)
        if name == "value":
            if isinstance(value, bool):
                _check_boolean(key, at, nested=nested)
            else:
                _check_value(value, at)
            return {"value": value}
        none = "no value is one of none" if name == "any" else "every value is another than none; write is_empty under must_not"
        values = list(self._list(value, at, none))
        for number, one in enumerate(values):
            _check_value(one, f"{at}[{number}]", listed=True)
        if len({isinstance(one, str) for one in values}) > 1:
            _refuse(at, "lists strings and whole numbers; write a condition for each, side by side")
        return {name: values}


def _combinations(conditions: int, least: int) -> int:
    """How many choices there are; no more is counted than matters."""
    combinations = 1
    for chosen in range(1, min(least, conditions - least) + 1):
        combinations = combinations * (conditions - chosen + 1) // chosen
        if combinations > _MOST_COMBINATIONS:
            break
    return combinations


def _check_boolean(key: str, place: str, *, nested: bool) -> None:
    if nested:
        _refuse_operator(place, "match of a boolean inside nested")
    if re.search(r"\[\d+\]", key):
        _refuse_operator(place, "match of a boolean at a place in a list")


def _check_value(value: Any, place: str, *, listed: bool = False) -> None:
    """Refuse what is no string or whole number, or none that a document could have."""
    if isinstance(value, str):
        if not value.isascii() and not encodable(value):
            _refuse(place, f"{_shown(value)} holds half of a surrogate pair, which no document could have")
    elif _is_int(value):
        if not -(2**63) <= value < 2**63:
            _refuse(place, f"{_shown(value)} is beyond 64 bits, which no document could have")
    else:
        what = "a string or a whole number" if listed else "a string, a whole number or a boolean"
        hint = "; a number with a fraction is found by range" if isinstance(value, float) else ""
        _refuse(place, f"match needs {what}, not {_shown(value)}{hint}")


def _check_own(key: str, name: str, test: Any, place: str) -> None:
    """Refuse what every passage passes, or none, by what the package's own fields hold: under must_not it would be all of them."""
    if key not in _FIELDS:
        return
    match name:
        case "match":
            for value in (one for values in test.values() for one in (values if isinstance(values, list) else [values])):
                _check_own_value(key, value, place)
        case "range" if key in _OF_TEXT:
            _refuse(place, f"{key} holds text, which no range finds; match does")
        case "range" if key in _OF_WHOLE_NUMBERS and _is_between_whole_numbers(test):
            _refuse(place, f"no whole number from 0 on lies within the bounds, and {key} is one; widen them")
        case "values_count" if key != "headings":
            possible = (1,) if key in _ALWAYS_THERE else (0, 1)
            if len({_passes(count, test) for count in possible}) == 1:
                _refuse(place, f"tests nothing: of {key} a passage has one value{'' if len(possible) == 1 else ', or none'}")
        case "is_empty" | "is_null" if key in _ALWAYS_THERE:
            _refuse(place, f"tests nothing: every passage has a {key}")


def _check_own_value(key: str, value: Any, place: str) -> None:
    if isinstance(value, bool) or isinstance(value, str) != (key in _OF_TEXT):
        _refuse(place, f"{key} holds {'text' if key in _OF_TEXT else 'numbers'}, and {_shown(value)} is none")
    if key in _OF_WHOLE_NUMBERS and value < 0:
        _refuse(place, f"{_shown(value)} is no {key} that a passage could have")


def _is_between_whole_numbers(bounds: Mapping[str, float]) -> bool:
    least = max(math.floor(bounds["gt"]) + 1 if "gt" in bounds else 0, math.ceil(bounds.get("gte", 0)))
    below = math.ceil(bounds["lt"]) - 1 if "lt" in bounds else math.inf
    return least > min(below, math.floor(bounds["lte"]) if "lte" in bounds else math.inf)


def _passes(count: int, bounds: Mapping[str, int]) -> bool:
    compared = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}
    return all(compared[name](count, bound) for name, bound in bounds.items())


def _bounds(test: Any, place: str, kind: str) -> dict[str, Any]:
    bounds = {name: bound for name, bound in _object(test, place, _BOUNDS).items() if bound is not None}
    if not bounds:
        _refuse(place, f"a {kind} without a bound tests nothing; write one of {', '.join(_BOUNDS)}")
    return bounds


def _range(test: Any, place: str) -> dict[str, float]:
    bounds = _bounds(test, place, "range")
    for name, bound in bounds.items():
        at = _at(place, name)
        if isinstance(bound, str) and _NUMBER.fullmatch(bound):
            _refuse(at, f"a range needs numbers, not {_shown(bound)}; leave out the quotes")
        if isinstance(bound, str) or hasattr(bound, "isoformat"):
            _refuse_operator(at, "range of dates")
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            _refuse(at, f"a range needs numbers, not {_shown(bound)}")
        if isinstance(bound, float) and not math.isfinite(bound):
            _refuse(at, f"{bound} is no number that a document could have")
        if _INEXACT_FROM <= abs(bound) <= _INEXACT_TO:
            _refuse(at, f"{_shown(bound)} is beyond 2^53, where engines round whole numbers before comparing them; match is exact")
        if abs(bound) > _INEXACT_TO and isinstance(bound, int):
            _refuse(at, f"{_shown(bound)} is beyond 64 bits, which no document could have")
    if max(bounds.get("gt", 0), -bounds.get("lt", 0)) >= sys.float_info.max:
        _refuse(place, "no number lies beyond the largest that there is")
    _check_order(bounds, place)
    return bounds


def _values_count(test: Any, place: str) -> dict[str, int]:
    bounds = _bounds(test, place, "values_count")
    for name, bound in bounds.items():
        if not _is_int(bound) or not 0 <= bound < 2**32:
            _refuse(_at(place, name), f"a count is a whole number from 0 on, not {_shown(bound)}")
    if bounds.get("lt") == 0:
        _refuse(place, "tests nothing: no field has less than 0 values")
    if bounds.get("gte") == 0:  # which every field has, absent ones included
        if bounds.keys() == {"gte"}:
            _refuse(place, "tests nothing: every field, absent ones included, has at least 0 values")
        del bounds["gte"]
    if bounds.get("gt") == 2**32 - 1 or bounds == {"lte": 2**32 - 1}:
        _refuse(place, f"tests nothing: no field has more than {2**32 - 1:,} values")
    least = max(bounds.get("gte", 0), bounds.get("gt", -1) + 1)
    most = min(bounds.get("lte", least), bounds.get("lt", least + 1) - 1)
    if least > most:
        _refuse(place, f"tests nothing: no count is at least {least:,} and at most {most:,}; swap the bounds")
    return bounds


def _boolean(test: Any, place: str) -> bool:
    if not isinstance(test, bool):
        _refuse(place, f"needs true or false, not {_shown(test)}")
    return test


_NUMERIC: Mapping[str, Callable[[Any, str], Any]] = {"range": _range, "values_count": _values_count}


def _check_order(bounds: Mapping[str, float], place: str) -> None:
    """Refuse bounds that no number lies between: under must_not they would pass everything."""
    least = max((bound for name, bound in bounds.items() if name in {"gt", "gte"}), default=-math.inf)
    most = min((bound for name, bound in bounds.items() if name in {"lt", "lte"}), default=math.inf)
    excluded = bounds.get("gt") == least or bounds.get("lt") == most
    if least > most or (least == most and excluded):
        _refuse(place, f"nothing lies between {_shown(least)} and {_shown(most)}; swap the bounds, or widen them")


def _checked_path(path: Any, place: str, *, nested: bool) -> str:
    if not isinstance(path, str):
        _refuse(place, f"needs a key, the path of a field as a string, not {_shown(path)}")
    problem = _path_problem(path)
    if problem:
        _refuse(place, problem)
    if not (nested or path in _FIELDS or path.startswith("metadata.")):
        known = f"there are {', '.join(_FIELDS)} and metadata.NAME"
        _refuse(place, f"unknown filter field {_shown(path)}; {known} (did you mean {_shown(_likely(path))}?)")
    checked: str = path
    return checked


def _likely(path: str) -> str:
    """The field that was meant by one that there is not: a name that is spelt like it, or one of metadata."""
    first, _, rest = path.partition(".")
    close = get_close_matches(first, ["metadata"] if rest else _FIELDS, 1, 0.7)
    return f"metadata.{path}" if not close else f"{close[0]}.{rest}" if rest else close[0]


def _path_problem(path: str) -> str | None:
    if len(path) > _LONGEST_PATH:
        return f"a path of {len(path):,} characters leads to no field; {_LONGEST_PATH:,} are the most"
    if not _PATH.fullmatch(path):
        return (
            f"{_shown(path)} is no path of a field; put names with other characters than letters, digits, _ and - in double quotes "
            '(a name with " or \\ in it cannot be asked about)'
        )
    if not path.isascii() and not encodable(path):
        return f"{_shown(path)} holds half of a surrogate pair, which no document could have"
    if len(re.findall(r'"[^"]*"|\.|\[', path)) > _MOST_STEPS:
        return f"{_shown(path)} leads deeper than any document is"
    return None


def _object(value: Any, place: str, names: Collection[str] = (), *, whole: bool = False) -> Mapping[str, Any]:
    """A value that is an object of these names, or of any."""
    if isinstance(value, BaseModel):
        try:
            value = value.model_dump(by_alias=True, exclude_none=True, warnings=False)
        except (ValueError, RecursionError) as error:
            _refuse(place, f"cannot be read ({error})")
    if not isinstance(value, Mapping):
        _refuse_form(place, f"this is no object: {_shown(value)}")
    if names:
        for name in value:
            if name in _NOT_OFFERED:
                _refuse_operator(place, name)
            if name not in names:
                conditions = ", key, nested, is_empty, is_null, has_id" if whole and place else ""
                _refuse_form(place, f"{_shown(name)} is none of {', '.join(names)}{conditions}")
    fields: Mapping[str, Any] = value
    return fields


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes | bytearray)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _at(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _shown(value: Any) -> str:
    try:
        return _SHOWN.repr(value)
    except (ValueError, RecursionError):  # numbers of thousands of digits
        return "what is too large to be shown"


def _refuse(place: str, problem: str) -> NoReturn:
    raise UnsupportedFilter(f"the filter at {place}: {problem}" if place else f"the filter {problem}")


def _refuse_form(place: str, problem: str) -> NoReturn:
    raise UnsupportedFilter(f"not a Qdrant filter{f' (at {place})' if place else ''}: {problem}; an example: {_EXAMPLE}")


def _refuse_operator(place: str, operator: str) -> NoReturn:
    raise UnsupportedFilter(
        f"the filter operator {operator!r} (at {place or 'the top'}) does not mean the same on every engine and is not offered; "
        f"there are match ({', '.join(_MATCHES)}), range of numbers, values_count, is_empty, is_null, has_id and nested"
    )
