"""A filter in the terms of Qdrant Edge's own types."""

from collections.abc import Mapping
from typing import Any

import qdrant_edge as edge

from search.index import PlainFilter, booleans


def to_edge(filter: PlainFilter | None) -> edge.Filter | None:
    """A plain filter, checked before, as Edge takes it."""
    if filter is None:
        return None
    clauses: dict[str, Any] = {
        clause: [_to_condition(condition) for condition in _as_list(filter[clause])]
        for clause in ("must", "should", "must_not")
        if clause in filter
    }
    if "min_should" in filter:
        wanted = filter["min_should"]
        conditions = [_to_condition(condition) for condition in wanted["conditions"]]
        clauses["min_should"] = edge.MinShould(conditions, wanted["min_count"])
    return edge.Filter(**clauses)


def _as_list(conditions: Any) -> list[Any]:
    return conditions if isinstance(conditions, list) else [conditions]


def _to_condition(condition: Mapping[str, Any]) -> Any:
    match condition:
        case {"key": key, "match": {"value": bool(value)}}:
            return edge.FieldCondition(key=booleans.FIELD, match=edge.MatchValue(booleans.name(key, value=value)))
        case {"key": key, **rest}:
            return edge.FieldCondition(key=key, **_to_tests(rest))
        case {"nested": {"key": key, "filter": inner}}:
            return edge.NestedCondition(key, to_edge(inner) or edge.Filter())
        case {"is_empty": {"key": key}}:
            return edge.IsEmptyCondition(key)
        case {"is_null": {"key": key}}:
            return edge.IsNullCondition(key)
        case {"has_id": ids}:
            return edge.HasIdCondition(set(ids))
        case _:
            return to_edge(condition)


def _to_tests(tests: Mapping[str, Any]) -> dict[str, Any]:
    converted = dict(tests)
    match tests.get("match"):
        case {"value": value}:
            converted["match"] = edge.MatchValue(value)
        case {"any": values}:
            converted["match"] = edge.MatchAny(values)
        case {"except": values}:
            converted["match"] = edge.MatchExcept(values)
    if "range" in tests:
        converted["range"] = edge.RangeFloat(**tests["range"])
    if "values_count" in tests:
        converted["values_count"] = edge.ValuesCount(**tests["values_count"])
    return converted
