"""Which documents may be found? Qdrant's own filter language, narrowed to what means the same on every engine.

Fields: `document_id`, `title`, `headings`, `page`, `number` (of the chunk), `media_type`, `modified` (seconds since 1970), and
`metadata.…` for whatever a document brought along.
Conditions: match (value, any, except), range (numbers), values_count, is_empty, is_null, has_id, nested, and filters within filters
under must, should, must_not and min_should. Text match, dates and geography depend on payload indexes and are refused.
"""

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from qdrant_client.models import Filter

from search.errors import UnsupportedFilter

__all__ = ["Filter", "asks_anything", "fields_of", "to_plain"]

_CLAUSES = ("must", "should", "must_not")
_FIELDS = ("document_id", "title", "headings", "page", "number", "media_type", "modified")
_FIELD_CONDITIONS = {"match", "range", "values_count", "is_empty", "is_null"}
_MATCHES = {"value", "any", "except"}


def to_plain(filter: Filter | Mapping[str, Any] | str) -> dict[str, Any]:
    """Check a filter, given as an object, plain data or JSON, and give it as plain data.

    Raises:
        UnsupportedFilter: not a filter, an unknown field, or an operator that engines understand differently.
    """
    try:
        if isinstance(filter, str):
            parsed = Filter.model_validate(json.loads(filter))
        else:
            parsed = filter if isinstance(filter, Filter) else Filter.model_validate(filter)
    except ValidationError as error:
        places = sorted({".".join(str(part) for part in problem["loc"][:3]) for problem in error.errors()})
        message = f"not a Qdrant filter (at {'; '.join(places[:3])}); an example: {_EXAMPLE}"
        raise UnsupportedFilter(message) from error
    except ValueError as error:
        message = f"the filter is not JSON ({error}); an example: {_EXAMPLE}"
        raise UnsupportedFilter(message) from error
    plain = parsed.model_dump(mode="json", by_alias=True, exclude_none=True)
    _check_filter(plain, nested=False)
    return plain


def fields_of(filter: Mapping[str, Any]) -> Iterator[str]:
    """The payload fields that a plain filter asks about, those inside nested objects left out."""
    for condition in _conditions(filter):
        if "key" in condition:
            yield condition["key"]
        elif "nested" in condition or "is_empty" in condition or "is_null" in condition:
            yield next(iter(condition.values()))["key"]
        elif "has_id" not in condition:
            yield from fields_of(condition)


def asks_anything(filter: Mapping[str, Any]) -> bool:
    """Whether there is a condition in it; without one, every passage passes."""
    leaves = {"key", "nested", "is_empty", "is_null", "has_id"}
    return any(leaves & condition.keys() or asks_anything(condition) for condition in _conditions(filter))


_PATH = re.compile(r"""(?:[A-Za-z0-9_-]+|"[^"]+")(?:\[\d*\])*(?:\.(?:[A-Za-z0-9_-]+|"[^"]+")(?:\[\d*\])*)*""")
_EXAMPLE = '{"must": [{"key": "metadata.year", "range": {"gte": 2020}}]}'


def _conditions(filter: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for clause in _CLAUSES:
        conditions = filter.get(clause, [])
        yield from conditions if isinstance(conditions, list) else [conditions]
    yield from filter.get("min_should", {}).get("conditions", [])


def _check_filter(filter: Mapping[str, Any], *, nested: bool) -> None:
    for condition in _conditions(filter):
        if "key" in condition:
            _check_key(condition["key"], nested=nested)
            _check_field_condition(condition, nested=nested)
        elif "nested" in condition:
            _check_key(condition["nested"]["key"], nested=nested)
            _check_filter(condition["nested"]["filter"], nested=True)
        elif "is_empty" in condition or "is_null" in condition:
            _check_key(next(iter(condition.values()))["key"], nested=nested)
        elif "has_vector" in condition:
            _refuse("has_vector")
        elif "has_id" in condition:
            _check_ids(condition["has_id"])
        else:
            _check_filter(condition, nested=nested)
    if filter.get("min_should", {}).get("min_count", 1) < 1:
        message = "min_should needs a min_count of at least 1"
        raise UnsupportedFilter(message)


def _check_ids(ids: list[Any]) -> None:
    for chunk_id in ids:
        try:
            uuid.UUID(chunk_id)
        except (ValueError, AttributeError, TypeError) as error:
            message = f"has_id takes the chunk_id of hits, which are UUIDs, not {chunk_id!r}"
            raise UnsupportedFilter(message) from error


def _check_key(key: str, *, nested: bool) -> None:
    if not _PATH.fullmatch(key):
        message = f"{key!r} is no path of a field; put names with other characters than letters, digits, _ and - in double quotes"
        raise UnsupportedFilter(message)
    if not (nested or key in _FIELDS or key.startswith("metadata.")):
        message = f"unknown filter field {key!r}; there are {', '.join(_FIELDS)} and metadata.NAME (did you mean 'metadata.{key}'?)"
        raise UnsupportedFilter(message)


def _check_field_condition(condition: Mapping[str, Any], *, nested: bool) -> None:
    tests = condition.keys() - {"key"}
    for operator in tests - _FIELD_CONDITIONS:
        _refuse(operator)
    if len(tests) > 1:
        _refuse(f"{' and '.join(sorted(tests))} in one condition")
    for operator in condition.get("match", {}).keys() - _MATCHES:
        _refuse(f"match.{operator}")
    if isinstance(condition.get("match", {}).get("value"), bool):
        if nested:
            _refuse("match of a boolean inside nested")
        if re.search(r"\[\d+\]", condition["key"]):
            _refuse("match of a boolean at a place in a list")
    if any(isinstance(bound, str) for bound in condition.get("range", {}).values()):
        _refuse("range of dates")


def _refuse(operator: str) -> None:
    message = (
        f"the filter operator {operator!r} does not mean the same on every engine and is not offered; "
        "there are match (value, any, except), range of numbers, values_count, is_empty, is_null, has_id and nested"
    )
    raise UnsupportedFilter(message)
