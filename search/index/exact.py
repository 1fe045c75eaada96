"""What becomes of a filter, so that it means the same with a payload index as without one, and on every engine's version.

An engine asks a payload index instead of the documents, and an index does not hold all that documents hold:

- That of whole numbers also holds 1.0, as 1, and no fractions. So fields declared as integers are indexed as floats, which the
  engine asks for ranges only, and a match on whole numbers goes with the range that they lie in: the range finds the few, the match
  looks at them.
- `except` asks the index of strings for other strings, and so never finds the numbers, booleans, objects and lists that differ,
  too. They are requested beside it, by conditions that no index answers. Of lists that hold lists one kind is missed: those of
  null, of an empty list and of nothing else than what is excepted.
- `is_null` of a list that holds a null: Qdrant 1.19.0 says no, the embedded engine yes.

Inside `nested` an index only names candidates, by the path from the document on. One whose field is empty in some element is
no candidate of `is_empty`, which an index takes to mean all of them; negated twice, the condition goes to no index.

A server in strict mode that refuses conditions without an index gets filters as they are, and
fields of whole numbers indexed as such: there, and in collections that earlier versions made and nobody has written to since, an
index of whole numbers finds 1.0 by a match on 1 and misses fractions in ranges.
"""

import re
from collections.abc import Mapping
from typing import Any

from search.index.contract import PlainFilter

_EXACT_BELOW = 2**53  # whole numbers that are the same as 64-bit floats
_LARGEST = 1.7976931348623157e308
_LAST_WILDCARD = re.compile(r'((?:"[^"]*"|[^"])+)\[\]\.((?:"[^"]*"|[^"])+)')


def exact(filter: PlainFilter, *, null_in_lists: bool = False) -> PlainFilter:
    """A plain filter, checked before, in conditions that engines agree on.

    Args:
        filter: which points.
        null_in_lists: whether `is_null` needs a condition for lists, too, since the engine may not look into them by itself.
    """
    return _filter(filter, nested=False, null_in_lists=null_in_lists)


def indexed_path(field: str, *, indexed_only: bool = False) -> str:
    """The path to index for a field: that of a list holds its elements anyway, and `exact` counts on it being the list's.

    Where filters go out as they are, a server looks for an index of the path that they name.
    """
    return field if indexed_only else field.removesuffix("[]")


def _filter(filter: PlainFilter, *, nested: bool, null_in_lists: bool) -> dict[str, Any]:
    rewritten: dict[str, Any] = {}
    for clause, conditions in filter.items():
        if clause == "min_should":
            some = [_condition(one, nested=nested, null_in_lists=null_in_lists) for one in conditions["conditions"]]
            rewritten[clause] = {**conditions, "conditions": some}
        else:
            listed = conditions if isinstance(conditions, list) else [conditions]
            rewritten[clause] = [_condition(one, nested=nested, null_in_lists=null_in_lists) for one in listed]
    return rewritten


def _condition(condition: Mapping[str, Any], *, nested: bool, null_in_lists: bool) -> Mapping[str, Any]:
    match condition:
        case {"key": str(key), "match": {"value": int(number)}} if not (nested or isinstance(number, bool)):
            return _with_range(condition, key, [number])
        case {"key": str(key), "match": {"any": [int(), *_] as numbers}} if not nested:
            return _with_range(condition, key, numbers)
        case {"key": str(key), "match": {"except": list(values)}} if not nested:
            return _except(key, values)
        case {"is_empty": _} if nested:
            return {"must_not": [{"must_not": [condition]}]}
        case {"is_null": {"key": str(key)}} if null_in_lists:
            return {"should": [condition, _holds_null(key)]}
        case {"nested": {"key": key, "filter": inner}}:
            return {"nested": {"key": key, "filter": _filter(inner, nested=True, null_in_lists=null_in_lists)}}
        case {"key": _} | {"is_empty": _} | {"is_null": _} | {"has_id": _}:
            return condition
        case _:
            return _filter(condition, nested=nested, null_in_lists=null_in_lists)


def _with_range(condition: Mapping[str, Any], key: str, numbers: list[int]) -> Mapping[str, Any]:
    """A match on whole numbers, and the range that an index of floats finds them in; one range, since each reads every document."""
    if any(abs(number) >= _EXACT_BELOW for number in numbers):
        return condition
    return {"must": [condition, {"key": key, "range": {"gte": min(numbers), "lte": max(numbers)}}]}


def _holds_null(key: str) -> Mapping[str, Any]:
    """A list with a null in it, and not only in a list inside it."""
    return {"must": [{"is_null": {"key": f"{key}[]"}}], "must_not": [{"is_null": {"key": f"{key}[][]"}}]}


def _except(key: str, values: list[Any]) -> Mapping[str, Any]:
    """A value that is none of these, whatever it is, null apart."""
    condition = {"key": key, "match": {"except": values}}
    if several := _LAST_WILDCARD.fullmatch(key):
        outer, inner = several.groups()
        return {"nested": {"key": outer, "filter": {"must": [{"key": inner, "match": {"except": values}}]}}}
    listed = {"match": {"any": values}}
    in_list = f"{key}[]"
    in_lists = f"{key}[][]"
    no_null = [{"is_null": {"key": key}}, {"is_null": {"key": in_list}}]
    return {
        "should": [
            condition,
            {"must": [{"key": key, "values_count": {"gte": 1}}], "must_not": [{"key": key, **listed}, *no_null]},
            {"key": in_list, "match": {"except": values}},
            # A list inside the list is a value of its own, whatever it holds: several, one of these, null, or nothing.
            {"key": in_list, "values_count": {"gte": 2}},
            {"key": in_lists, **listed},
            {"is_null": {"key": in_lists}},
            {"must": [{"key": in_list, **listed}, {"key": in_list, "values_count": {"lte": 0}}], "must_not": no_null[1:]},
        ]
    }
