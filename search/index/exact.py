"""What becomes of a filter, so that it means the same with a payload index as without one, and on every engine's version.

An engine asks a payload index instead of the documents, and an index does not hold all that documents hold:

- That of whole numbers also holds 1.0, as 1, and no fractions. So fields declared as integers are indexed as floats, which the
  engine asks for ranges only, and a match on whole numbers goes with the range that they lie in: the range finds the few, the match
  looks at them.
- `except` asks the index of strings for other strings, and so never finds the numbers, booleans, objects and lists that differ,
  too. They are requested beside it, by conditions that no index answers. Of lists that hold lists one kind is missed: those of
  null, of an empty list and of nothing else than what is excepted. Without an index, `except` says all of that by itself.
- `is_null` of a list that holds a null: Qdrant 1.19.0 says no, the embedded engine yes.

An engine that finds points by the payload indexes of all conditions of a filter looks at none of them again. With one condition
twice under `min_should`, points pass that should not (seen on Edge); by Qdrant 1.19.0's source (`iter_filtered_points`), also with
one under `should` and `must_not`. So what stands in a filter already goes out as a filter within the filter.

Inside `nested` an index only names candidates, by the path from the document on. One whose field is empty in some element is
no candidate of `is_empty`, which an index takes to mean all of them; negated twice, the condition goes to no index.

A server in strict mode that refuses conditions without an index gets filters as they are, and
fields of whole numbers indexed as such: there, and in collections that earlier versions made and nobody has written to since, an
index of whole numbers finds 1.0 by a match on 1 and misses fractions in ranges.
"""

import re
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, NamedTuple

from search.index.contract import PlainFilter
from search.index.filters import conditions_of, with_each

_EXACT_BELOW = 2**53  # whole numbers that are the same as 64-bit floats
_LARGEST = 1.7976931348623157e308
_QUOTED_FOR_NOTHING = re.compile(r'"([A-Za-z0-9_-]+)"')  # a name in a path
_LAST_WILDCARD = re.compile(r'((?:"[^"]*"|[^"])+)\[\]\.((?:"[^"]*"|[^"])+)')


class _Engine(NamedTuple):
    """What the conditions are for."""

    null_in_lists: bool
    indexed: Collection[str] | None
    brief: bool

    def may_index(self, key: str) -> bool:
        """Whether there may be a payload index by which a field is asked."""
        return self.indexed is None or _QUOTED_FOR_NOTHING.sub(r"\1", key) in self.indexed


def exact(
    filter: PlainFilter, *, null_in_lists: bool = False, indexed: Collection[str] | None = None, brief: bool = False
) -> PlainFilter:
    """A plain filter, checked before, in conditions that engines agree on.

    Args:
        filter: which points.
        null_in_lists: whether `is_null` needs a condition for lists, too, since the engine may not look into them by itself.
        indexed: the fields that have a payload index, which all others need no conditions for; None if any may have one.
        brief: whether conditions are left out that only make it faster.
    """
    return apart(_filter(filter, _Engine(null_in_lists, indexed, brief), nested=False))


def apart(filter: PlainFilter) -> PlainFilter:
    """A plain filter in which no condition stands twice, other than within a filter of its own."""
    seen: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}

    def once(condition: Mapping[str, Any]) -> Mapping[str, Any]:
        alike = seen.setdefault((_QUOTED_FOR_NOTHING.sub(r"\1", condition.get("key", "")), *sorted(condition)), [])
        alike.append(condition)  # whose values, which may be thousands, are compared only where there are others of that kind
        return {"must": [condition]} if len(alike) > 1 and _sign(condition) in map(_sign, alike[:-1]) else condition

    if len(list(conditions_of(filter))) < 2:  # noqa: PLR2004  # such as hundreds of ids by themselves
        return filter
    return with_each(filter, once)


def _sign(value: Any) -> str:
    """The same for what an engine takes for the same condition, in whatever order values stand, and however paths and numbers."""
    match value:
        case Mapping():
            return f"{{{','.join(sorted(f'{name}:{_sign(one)}' for name, one in value.items()))}}}"
        case list():
            return f"[{','.join(sorted(map(_sign, value)))}]"
        case str():
            return _QUOTED_FOR_NOTHING.sub(r"\1", repr(value))
        case bool():
            return repr(value)
        case int() | float():
            return f"{value!r} {float(value)!r}" if isinstance(value, int) and abs(value) >= _EXACT_BELOW else repr(float(value))
        case _:  # an id, as an engine has it
            return repr(value)


def number_of_conditions(filter: PlainFilter) -> int:
    """How many conditions a plain filter has, as servers count them: those within others one by one, and no filter itself."""
    return sum(map(_number, conditions_of(filter)))


def _number(condition: Mapping[str, Any]) -> int:
    match condition:
        case {"nested": {"filter": inner}}:
            return number_of_conditions(inner)
        case {"key": _} | {"is_empty": _} | {"is_null": _} | {"has_id": _}:
            return 1
        case _:
            return number_of_conditions(condition)


def indexed_path(field: str, *, indexed_only: bool = False) -> str:
    """The path to index for a field: that of a list holds its elements anyway, and `exact` counts on it being the list's.

    Where filters go out as they are, a server looks for an index of the path that they name.
    """
    return field if indexed_only else field.removesuffix("[]")


def _filter(filter: PlainFilter, engine: _Engine, *, nested: bool) -> dict[str, Any]:
    return with_each(filter, partial(_condition, engine=engine, nested=nested))


def _condition(condition: Mapping[str, Any], engine: _Engine, *, nested: bool) -> Mapping[str, Any]:
    match condition:
        case {"key": str(key), "match": {"value": int(number)}} if not (nested or isinstance(number, bool)):
            return _with_range(condition, key, [number], engine)
        case {"key": str(key), "match": {"any": [int(), *_] as numbers}} if not nested:
            return _with_range(condition, key, numbers, engine)
        case {"key": str(key), "match": {"except": list(values)}} if not nested and engine.may_index(key):
            return _except(key, values, brief=engine.brief)
        case {"is_empty": _} if nested:
            return {"must_not": [{"must_not": [condition]}]}
        case {"is_null": {"key": str(key)}} if engine.null_in_lists:
            return {"should": [condition, _holds_null(key)]}
        case {"nested": {"key": key, "filter": inner}}:
            return {"nested": {"key": key, "filter": _filter(inner, engine, nested=True)}}
        case {"key": _} | {"is_empty": _} | {"is_null": _} | {"has_id": _}:
            return condition
        case _:
            return _filter(condition, engine, nested=nested)


def _with_range(condition: Mapping[str, Any], key: str, numbers: list[int], engine: _Engine) -> Mapping[str, Any]:
    """A match on whole numbers, and the range that an index of floats finds them in; one range, since each reads every document."""
    if engine.brief or not engine.may_index(key) or any(abs(number) >= _EXACT_BELOW for number in numbers):
        return condition
    return {"must": [condition, {"key": key, "range": {"gte": min(numbers), "lte": max(numbers)}}]}


def _holds_null(key: str) -> Mapping[str, Any]:
    """A list with a null in it, and not only in a list inside it."""
    return {"must": [{"is_null": {"key": f"{key}[]"}}], "must_not": [{"is_null": {"key": f"{key}[][]"}}]}


def _except(key: str, values: list[Any], *, brief: bool) -> Mapping[str, Any]:
    """A value that is none of these, whatever it is, null apart."""
    condition = {"key": key, "match": {"except": values}}
    if several := _LAST_WILDCARD.fullmatch(key):
        outer, inner = several.groups()
        return {"nested": {"key": outer, "filter": {"must": [{"key": inner, "match": {"except": values}}]}}}
    listed = {"match": {"any": values}}
    in_list = f"{key}[]"
    in_lists = f"{key}[][]"
    # Without null, something of which nothing is one of these; or one of these beside an empty list, which is a value of its own.
    without_null = {
        "must_not": [{"is_null": {"key": in_list}}],
        "should": [
            {"must": [{"key": key, "values_count": {"gte": 1}}], "must_not": [{"key": key, **listed}]},
            {"must": [{"key": in_list, **listed}, {"key": in_list, "values_count": {"lte": 0}}]},
        ],
    }
    every = [
        without_null,
        {"key": in_list, "match": {"except": values}},
        # A list inside the list is a value of its own, whatever it holds: something, or null.
        {"key": in_lists, "values_count": {"gte": 1}},
        {"is_null": {"key": in_lists}},
    ]
    # The first one an index answers, for most. The elements of a list are several values, of which one may be null.
    return {"should": every if brief and not key.endswith("[]") else [condition, *every]}
