"""Filters from outside are checked before an engine sees them."""

import json
from typing import Any

import pytest

from search.errors import UnsupportedFilter
from search.index.filters import Filter, fields_of, to_plain


def test_an_object_plain_data_and_json_are_one_filter() -> None:
    plain = {"must": [{"key": "metadata.year", "range": {"gte": 2020}}], "must_not": [{"is_empty": {"key": "title"}}]}
    expected = to_plain(plain)
    assert to_plain(json.dumps(plain)) == expected
    assert to_plain(Filter.model_validate(plain)) == expected
    assert expected["must"][0]["range"] == {"gte": 2020}
    assert sorted(fields_of(expected)) == ["metadata.year", "title"]


def test_fields_inside_filters_are_found() -> None:
    inner = {"must": [{"key": "metadata.a", "match": {"value": 1}}]}
    nested = {"nested": {"key": "metadata.c", "filter": {"must": [{"key": "x", "match": {"value": 1}}]}}}
    by_id = {"has_id": ["8c0d6a8e-5a39-5f0c-9a5e-0d8c1c3a6b1f"]}
    plain = to_plain(
        {
            "should": [inner, by_id, nested],
            "min_should": {"conditions": [inner], "min_count": 1},
        }
    )
    assert sorted(fields_of(plain)) == ["metadata.a", "metadata.a", "metadata.c"]


REFUSED: dict[str, tuple[Any, str]] = {
    "not JSON": ("{", "not JSON"),
    "not an object": ("[]", "not a Qdrant filter"),
    "unknown clause": ({"most": []}, "not a Qdrant filter"),
    "unknown operator": ({"must": [{"key": "metadata.a", "matches": {"value": 1}}]}, "not a Qdrant filter"),
    "unknown field": ({"must": [{"key": "year", "match": {"value": 1}}]}, r"did you mean 'metadata\.year'"),
    "unknown field inside": ({"must": [{"should": [{"is_empty": {"key": "year"}}]}]}, "unknown filter field 'year'"),
    "unknown nested field": ({"must": [{"nested": {"key": "a", "filter": {}}}]}, "unknown filter field 'a'"),
    "text match": ({"must": [{"key": "metadata.a", "match": {"text": "x"}}]}, r"match\.text"),
    "dates": ({"must": [{"key": "metadata.a", "range": {"gte": "2020-01-01T00:00:00Z"}}]}, "range of dates"),
    "geography": (
        {"must": [{"key": "metadata.a", "geo_radius": {"center": {"lat": 0, "lon": 0}, "radius": 1}}]},
        "geo_radius",
    ),
    "boolean at a place": ({"must": [{"key": "metadata.a[0]", "match": {"value": True}}]}, "at a place in a list"),
    "two tests in one": (
        {"must": [{"key": "metadata.a", "match": {"value": True}, "range": {"gt": 1}}]},
        "match and range in one condition",
    ),
    "boolean in nested": (
        {"must": [{"nested": {"key": "metadata.a", "filter": {"must": [{"key": "b", "match": {"value": True}}]}}}]},
        "boolean inside nested",
    ),
    "path with a space": ({"must": [{"key": "metadata.a b", "match": {"value": 1}}]}, "in double quotes"),
    "path of nothing": ({"must": [{"is_null": {"key": ""}}]}, "no path of a field"),
    "id that is none": ({"must": [{"has_id": ["nope"]}]}, "UUIDs, not 'nope'"),
    "number as id": ({"must": [{"has_id": [3]}]}, "UUIDs, not 3"),
    "at least none": ({"min_should": {"conditions": [], "min_count": 0}}, "at least 1"),
    "has vector": ({"must": [{"has_vector": "x"}]}, "has_vector"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_engines_understand_differently_is_refused(name: str) -> None:
    refused, message = REFUSED[name]
    with pytest.raises(UnsupportedFilter, match=message):
        to_plain(refused)
