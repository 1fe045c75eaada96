"""Filters from outside are checked before an engine sees them."""

import json
import math
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models
from qdrant_client.models import Filter

from search.documents import Document
from search.errors import UnsupportedFilter
from search.index.filters import asks_anything, fields_of, path_of, to_plain
from search.searcher import open_search
from search.settings import Settings


def test_an_object_plain_data_and_json_are_one_filter() -> None:
    plain = {"must": [{"key": "metadata.year", "range": {"gte": 2020}}], "must_not": [{"is_empty": {"key": "page"}}]}
    expected = to_plain(plain)
    assert to_plain(json.dumps(plain)) == expected
    assert to_plain(Filter.model_validate(plain)) == expected
    assert expected["must"][0]["range"] == {"gte": 2020}
    assert sorted(fields_of(expected)) == ["metadata.year", "page"]


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
    "a misspelt path": ({"must": [{"key": "metdata.path", "match": {"value": 1}}]}, r"did you mean 'metadata\.path'"),
    "a misspelt field": ({"must": [{"key": "titel", "match": {"value": 1}}]}, r"did you mean 'title'"),
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


def on(test: Any) -> dict[str, Any]:
    return {"must": [{"key": "metadata.a", **test}]}


TESTS_NOTHING: dict[str, tuple[Any, str]] = {
    "a key alone": ({"must_not": [{"key": "metadata.a"}]}, r"at must_not\[0\]: a key alone tests nothing"),
    "match of null": (on({"match": None}), r"at must\[0\]: match of null tests nothing"),
    "empty match": (on({"match": {}}), r"at must\[0\]\.match: .*one of value, any, except"),
    "match of a null value": (on({"match": {"value": None}}), r"at must\[0\]\.match: .*one of value, any, except"),
    "match of two": (on({"match": {"value": 1, "any": [1]}}), r"at must\[0\]\.match: .*it has 2"),
    "any of none": (on({"match": {"any": []}}), r"at must\[0\]\.match\.any: is an empty list"),
    "except none": (on({"match": {"except": []}}), r"at must\[0\]\.match\.except: is an empty list"),
    "range without bounds": (on({"range": {}}), r"at must\[0\]\.range: a range without a bound"),
    "range of null": (on({"range": {"gte": None}}), r"at must\[0\]\.range: a range without a bound"),
    "bounds that are swapped": (
        on({"range": {"gte": 2004, "lte": 2001}}),
        r"at must\[0\]\.range: nothing lies between 2004 and 2001",
    ),
    "bounds that meet, one excluded": (on({"range": {"gt": 1, "lte": 1}}), r"at must\[0\]\.range: nothing lies between 1 and 1"),
    "counts that are swapped": (on({"values_count": {"gte": 3, "lte": 2}}), r"no count is at least 3 and at most 2"),
    "counts between two": (on({"values_count": {"gt": 1, "lt": 2}}), r"no count is at least 2 and at most 1"),
    "count without bounds": (on({"values_count": {}}), r"at must\[0\]\.values_count: a values_count without a bound"),
    "any count": (on({"values_count": {"gte": 0}}), "tests nothing: every field"),
    "no count": (on({"values_count": {"gte": 0, "lt": 0}}), "tests nothing: no field"),
    "is_null of null": (on({"is_null": None}), "is_null of null tests nothing"),
    "no ids": ({"must_not": [{"has_id": []}]}, r"at must_not\[0\]\.has_id: is an empty list"),
    "nested of nothing": (
        {"must": [{"nested": {"key": "metadata.a", "filter": {}}}]},
        r"at must\[0\]\.nested\.filter: .*tests nothing",
    ),
    "nested of empty clauses": (
        {"must": [{"nested": {"key": "metadata.a", "filter": {"must": [], "should": []}}}]},
        "tests nothing",
    ),
    "ids in nested": (
        {"must_not": [{"nested": {"key": "metadata.a", "filter": {"must": [{"has_id": [str(uuid.uuid4())]}]}}}]},
        "has_id inside nested",
    ),
    "an empty filter inside": ({"must": [{}]}, r"at must\[0\]: .*tests nothing"),
    "empty clauses inside": ({"must_not": {"must": [], "must_not": None}}, r"at must_not\[0\]: .*tests nothing"),
    "empty far inside": (
        {"should": [{"must": [{"must_not": [{}]}]}]},
        r"at should\[0\]\.must\[0\]\.must_not\[0\]: .*tests nothing",
    ),
    "some of none": ({"min_should": {"conditions": [], "min_count": 1}}, "more than the 0 conditions"),
    "two of one": ({"must_not": [{"min_should": {"conditions": [on({"is_null": True})], "min_count": 2}}]}, "nothing could pass"),
    "an empty filter in some": ({"min_should": {"conditions": [{}], "min_count": 1}}, r"at min_should\.conditions\[0\]: .*nothing"),
}


@pytest.mark.parametrize("name", TESTS_NOTHING)
def test_a_condition_that_tests_nothing_is_refused_with_its_place(name: str) -> None:
    refused, message = TESTS_NOTHING[name]
    deeper = {"must": [{"should": [{"key": "metadata.b", "match": {"value": 1}}, {"must_not": [refused]}]}]}
    for written in (refused, json.dumps(refused)):
        with pytest.raises(UnsupportedFilter, match=message):
            to_plain(written)
    with pytest.raises(UnsupportedFilter, match=r"must\[0\]\.should\[1\]\.must_not\[0\]|inside nested"):
        to_plain(deeper)


def test_only_the_whole_filter_may_be_empty() -> None:
    whole: list[Any] = [{}, {"must": []}, {"must": None, "should": []}, "{}", Filter(), Filter(must=[])]
    for everything in whole:
        plain = to_plain(everything)
        assert plain == {}
        assert not asks_anything(plain)
    one = {"must": [], "should": [], "must_not": [{"is_null": {"key": "metadata.a"}}]}
    assert to_plain(one) == {"must_not": one["must_not"]}  # an empty clause beside others adds nothing
    assert asks_anything(to_plain(one))


IMPOSSIBLE: dict[str, tuple[Any, str]] = {
    "beyond 64 bits": (on({"match": {"value": 2**63}}), r"at must\[0\]\.match\.value: 9223372036854775808 is beyond 64 bits"),
    "below 64 bits": (on({"match": {"any": [1, -(2**63) - 1]}}), r"at must\[0\]\.match\.any\[1\]: -9223372036854775809 is beyond"),
    "of 5,000 digits": (on({"match": {"value": 10**5_000}}), "beyond 64 bits"),
    "half a surrogate pair": (on({"match": {"value": "a\ud83d"}}), r"at must\[0\]\.match\.value: .*surrogate"),
    "half of one in a list": (on({"match": {"except": ["b", "\udc00"]}}), r"at must\[0\]\.match\.except\[1\]: .*surrogate"),
    "half of one in a path": ({"must": [{"is_null": {"key": 'metadata."\ud83d"'}}]}, r"at must\[0\]\.is_null: .*surrogate"),
    "no number": (on({"range": {"gte": math.nan}}), r"at must\[0\]\.range\.gte: nan is no number"),
    "infinity": (on({"range": {"lt": math.inf}}), r"at must\[0\]\.range\.lt: inf is no number"),
    "no number, as JSON": ('{"must": [{"key": "metadata.a", "range": {"gt": NaN}}]}', "nan is no number"),
    "a range that engines round": (on({"range": {"gt": 2**53}}), r"at must\[0\]\.range\.gt: 9007199254740992 is beyond 2\^53"),
    "a range of floats that engines round": (on({"range": {"lte": -(2.0**63)}}), r"beyond 2\^53"),
    "a range beyond 64 bits": (on({"range": {"lte": 10**400}}), "beyond 64 bits"),
    "a negative count": (on({"values_count": {"gte": -1}}), r"at must\[0\]\.values_count\.gte: a count is a whole number"),
    "text in the place of a page": (
        {"must_not": [{"key": "page", "match": {"value": "3"}}]},
        "page holds numbers, and '3' is none",
    ),
    "text among numbers": ({"must": [{"key": "number", "match": {"any": ["0"]}}]}, "number holds numbers, and '0' is none"),
    "a number for a name": ({"must": [{"key": "document_id", "match": {"value": 1}}]}, "document_id holds text, and 1 is none"),
    "a boolean for a page": ({"must_not": [{"key": "page", "match": {"value": True}}]}, "page holds numbers, and True is none"),
    "a negative page": ({"must": [{"key": "page", "match": {"except": [-1]}}]}, "-1 is no page"),
    "a range of titles": ({"must_not": [{"key": "title", "range": {"gte": 1}}]}, "title holds text, which no range finds"),
    "between two pages": (
        {"must_not": [{"key": "page", "range": {"gt": 1.2, "lt": 1.8}}]},
        "no whole number from 0 on lies within",
    ),
    "before the first passage": ({"must_not": [{"key": "number", "range": {"lt": 0}}]}, "no whole number from 0 on lies within"),
    "beyond all numbers": (on({"range": {"gt": 1.7976931348623157e308}}), "no number lies beyond the largest"),
    "a path deeper than documents": ({"must": [{"is_null": {"key": "metadata." + "a." * 100 + "a"}}]}, "deeper than any document"),
    "a path of a megabyte": ({"must": [{"is_null": {"key": "metadata." + "a" * 1_000_000}}]}, "1,000,009 characters"),
    "a name with a quote": ({"must": [{"is_null": {"key": 'metadata."a\\"b"'}}]}, "no path of a field"),
    "a backslash": ({"must": [{"is_null": {"key": 'metadata."a\\b"'}}]}, "no path of a field"),
    "a place of other digits": ({"must": [{"is_null": {"key": "metadata.a[\u0661]"}}]}, "no path of a field"),
    "a place beyond any list": ({"must": [{"is_null": {"key": f"metadata.a[{2**64}]"}}]}, "no path of a field"),
}


def test_what_another_program_wrote_is_not_known() -> None:
    for asked in (
        {"key": "document_id", "match": {"value": 42}},
        {"is_empty": {"key": "title"}},
        {"key": "page", "range": {"lt": 0}},
    ):
        assert to_plain({"must": [asked]}, own=False)
        with pytest.raises(UnsupportedFilter):
            to_plain({"must": [asked]})


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_no_document_could_have_is_refused_with_its_place(name: str) -> None:
    refused, message = IMPOSSIBLE[name]
    with pytest.raises(UnsupportedFilter, match=message) as raised:
        to_plain(refused)
    assert len(str(raised.value)) < 500
    str(raised.value).encode()  # it can be printed and sent


CONVERTED: dict[str, tuple[Any, str]] = {
    "match of a fraction": (on({"match": {"value": 1.5}}), r"at must\[0\]\.match\.value: .*not 1\.5.*range"),
    "match of a whole fraction": (on({"match": {"value": 1.0}}), r"not 1\.0"),
    "match of bytes": (on({"match": {"value": b"a"}}), "a string, a whole number or a boolean"),
    "match of a list": (on({"match": {"value": ["a"]}}), "a string, a whole number or a boolean"),
    "match that is none": (on({"match": "x"}), r"at must\[0\]\.match\): this is no object: 'x'"),
    "unknown match": (on({"match": {"values": "x"}}), r"at must\[0\]\.match\): 'values' is none of value, any, except"),
    "any of one": (on({"match": {"any": "abc"}}), r"at must\[0\]\.match\.any: needs a list"),
    "any of two kinds": (on({"match": {"any": ["a", 1]}}), r"at must\[0\]\.match\.any: lists strings and whole numbers"),
    "any of booleans": (on({"match": {"any": [True]}}), r"at must\[0\]\.match\.any\[0\]: .*not True"),
    "range of a number in quotes": (
        on({"range": {"gte": "5"}}),
        r"range\.gte: a range needs numbers, not '5'; leave out the quotes",
    ),
    "range of a fraction in quotes": (on({"range": {"lt": " -1.5e3 "}}), "not ' -1.5e3 '; leave out the quotes"),
    "range of a date": (on({"range": {"gte": "2024-05-01"}}), "range of dates"),
    "range of what is no number": (on({"range": {"gte": "nan"}}), "range of dates"),
    "range of a boolean": (on({"range": {"gte": True}}), r"at must\[0\]\.range\.gte: a range needs numbers, not True"),
    "unknown bound": (on({"range": {"from": 1}}), r"at must\[0\]\.range\): 'from' is none of gt, gte, lt, lte"),
    "count of a string": (on({"values_count": {"gte": "1"}}), r"values_count\.gte: a count is a whole number from 0 on, not '1'"),
    "count of a fraction": (on({"values_count": {"gte": 1.0}}), "a count is a whole number"),
    "count of a boolean": (on({"values_count": {"gte": True}}), "a count is a whole number"),
    "is_empty of a string": (on({"is_empty": "yes"}), r"at must\[0\]\.is_empty: needs true or false, not 'yes'"),
    "is_null of a number": (on({"is_null": 1}), "needs true or false, not 1"),
    "min_count of a string": ({"min_should": {"conditions": [on({"is_null": True})], "min_count": "1"}}, "min_count of at least 1"),
    "min_count of a boolean": (
        {"min_should": {"conditions": [on({"is_null": True})], "min_count": True}},
        "min_count of at least 1",
    ),
    "conditions that are none": ({"min_should": {"conditions": {}, "min_count": 1}}, "needs conditions, a list"),
    "ids that are none": ({"must": [{"has_id": "x"}]}, r"at must\[0\]\.has_id: needs a list"),
    "a key that is none": ({"must": [{"key": 1, "match": {"value": 1}}]}, r"at must\[0\]: needs a key"),
    "nested without a key": ({"must": [{"nested": {"filter": {}}}]}, r"at must\[0\]\.nested: needs a key"),
    "a condition that is none": ({"must": ["x"]}, r"at must\[0\]\): this is no object: 'x'"),
    "more beside is_null": ({"must": [{"is_null": {"key": "metadata.a"}, "must": []}]}, r"'must' is none of is_null"),
    "slice": ({"must": [{"slice": {"total": 2, "index": 0}}]}, "slice"),
    "prefix": (on({"match": {"prefix": "a"}}), r"match\.prefix"),
    "no filter": (7, "not a Qdrant filter: this is no object: 7"),
    "a clause twice": ('{"must": [{"is_null": {"key": "metadata.a"}}], "must": []}', "'must' stands twice"),
    "a date of an object": (
        Filter(must=[models.FieldCondition(key="metadata.a", range=models.DatetimeRange(gte="2020-01-01T00:00:00Z"))]),
        "range of dates",
    ),
}


@pytest.mark.parametrize("name", CONVERTED)
def test_nothing_is_converted_and_the_place_is_named(name: str) -> None:
    refused, message = CONVERTED[name]
    with pytest.raises(UnsupportedFilter, match=message):
        to_plain(refused)


def test_many_names_in_an_object_take_no_time() -> None:
    names = ", ".join(f'"name{number}": 1' for number in range(100_000))
    began = time.perf_counter()
    with pytest.raises(UnsupportedFilter, match="'name7' stands twice in one object"):
        to_plain(f'{{{names}, "name7": 1}}')
    assert time.perf_counter() - began < 10  # it took minutes to count each


def test_what_means_the_same_is_written_the_same() -> None:
    assert to_plain(on({"values_count": {"gte": 0, "lt": 9}})) == on({"values_count": {"lt": 9}})
    chunk_id = uuid.uuid4()
    assert to_plain({"must": {"has_id": [chunk_id, str(chunk_id).upper(), chunk_id.hex]}}) == {
        "must": [{"has_id": [str(chunk_id)] * 3}]
    }
    assert to_plain(on({"is_empty": True})) == {"must": [{"is_empty": {"key": "metadata.a"}}]}
    assert to_plain(on({"is_null": False})) == {"must": [{"must_not": [{"is_null": {"key": "metadata.a"}}]}]}
    condition = models.FieldCondition(key="metadata.a", match=models.MatchExcept(**{"except": [1]}))
    expected = on({"match": {"except": [1]}})
    assert to_plain({"must": [condition]}) == to_plain(Filter(must=condition)) == expected
    assert to_plain(on({"range": {"gte": 2**53 - 1, "lt": 1e300}})) == on({"range": {"gte": 2**53 - 1, "lt": 1e300}})


def held(levels: int) -> Any:
    inner: Any = {"key": "metadata.a", "match": {"value": 1}}
    for _ in range(levels):
        inner = {"must": [inner]}
    return inner


def test_size_and_depth_are_bounded_before_anything_is_built() -> None:
    to_plain(held(20))
    to_plain({"must": [{"key": "metadata.a", "match": {"any": list(range(100_000))}}]})
    itself: dict[str, Any] = {}
    itself["must"] = [itself]
    one = {"key": "metadata.a", "match": {"value": 1}}
    long_list = {"key": "metadata.a", "match": {"any": list(range(60_000))}}
    began = time.monotonic()
    for refused, message in (
        (held(30), "20 levels deep"),
        (held(900), "20 levels deep"),
        ('{"must": [' * 100_000, "not JSON"),
        ('{"must": [' * 100_000 + "]}" * 100_000, "not JSON"),
        (itself, "20 levels deep"),
        ({"must": [{}] * 3_000_000}, "more than 5,000 conditions"),
        ({"must": [held(1)] * 3_000, "should": [one] * 3_000}, "more than 5,000 conditions"),
        ({"should": [long_list, long_list]}, "more than 100,000 values"),
        ('{"must": [' + "{}," * 2_000_000 + "{}]}", "characters are more"),
        ({"must": {f"a{number}": 1 for number in range(1_000_000)}}, "is none of"),
        (on({"match": {"value": {"a": list(range(1_000_000))}}}), "a string, a whole number"),
    ):
        with pytest.raises(UnsupportedFilter, match=message) as raised:
            to_plain(refused)
        assert len(str(raised.value)) < 1_000
    assert time.monotonic() - began < 20  # building models of these takes minutes and gigabytes


def test_min_should_of_more_combinations_than_an_engine_can_estimate_is_refused() -> None:
    def some(conditions: int, least: int) -> dict[str, Any]:
        return {"min_should": {"conditions": [{"is_null": {"key": "metadata.a"}}] * conditions, "min_count": least}}

    for conditions, least in ((5_000, 1), (4_999, 4_999), (140, 2), (140, 138), (15, 7)):
        to_plain(some(conditions, least))
    several = {"must": [some(15, 7), some(15, 8)]}
    began = time.monotonic()
    for refused in (some(30, 15), some(22, 11), some(4_000, 2_000), some(143, 2), several):
        with pytest.raises(UnsupportedFilter, match="more than 10,000 combinations"):
            to_plain(refused)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("name", ["due date", "Straße", "a.b", "日本", "a[0]", "year", "a-b_c", "", "[]", "'", "ß\n"])
def test_a_path_is_quoted_where_it_must_be(name: str) -> None:
    path = path_of("metadata", name)
    assert path
    assert to_plain({"must": [{"is_null": {"key": path}}]}) == {"must": [{"is_null": {"key": path}}]}


@pytest.mark.parametrize("name", ['"', 'a"b', "a\\b", "\ud83d", "x" * 20_000])
def test_names_that_no_path_can_be_written_for(name: str) -> None:
    assert path_of("metadata", name) is None


EVERYTHING = [
    {"must_not": [{"key": "metadata.team"}]},
    {"must_not": [{"key": "metadata.team", "match": None}]},
    {"must_not": [{"key": "metadata.team", "match": {"any": []}}]},
    {"must_not": [{"has_id": []}]},
    {"must": [{"key": "metadata.team", "values_count": {"gte": 0}}]},
    {"must_not": [{"min_should": {"conditions": [{"is_null": {"key": "title"}}], "min_count": 2}}]},
]


@pytest.mark.parametrize("refused", EVERYTHING, ids=str)
def test_nothing_is_removed_changed_counted_or_found_by_what_tests_nothing(
    refused: dict[str, Any], tmp_path: Path, model_folder: Path
) -> None:
    chosen = {"embedder": {"model": str(model_folder / "embedder-mean")}, "reranker": {"kind": "none"}}
    with open_search(Settings(data_dir=tmp_path / "data", **chosen)) as searcher:
        searcher.ingest([Document(id=name, text=f"About {name}.", metadata={"team": name}) for name in ("sales", "support")])
        ways: list[Callable[[], Any]] = [
            lambda: searcher.delete(filter=refused),
            lambda: searcher.update({"team": "none"}, filter=refused),
            lambda: searcher.count(refused),
            lambda: searcher.search("about", filter=refused),
        ]
        for way in ways:
            with pytest.raises(UnsupportedFilter, match=r"at must(_not)?\[0\]"):
                way()
        assert searcher.count() == 2
        assert searcher.count({"must": [{"key": "metadata.team", "match": {"value": "none"}}]}) == 0


@pytest.mark.timeout(20)
def test_a_bound_that_is_hardly_a_number_is_refused_at_once() -> None:
    for bound in ("1" * 300_000 + "x", " " * 300_000 + "x", "1." + "1" * 300_000 + "x", "1e" + "1" * 300_000 + "x"):
        with pytest.raises(UnsupportedFilter):
            to_plain({"must": [{"key": "metadata.n", "range": {"gte": bound}}]})
