"""A filter that is accepted means on every engine, with every payload index, what Qdrant documents: the same as in plain Python."""

import json
import random
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as edge
from hypothesis import HealthCheck, Phase, given, settings, strategies
from hypothesis.strategies import SearchStrategy
from qdrant_client import QdrantClient, models
from standin import QdrantStandIn
from upstream import KEY, NODE_URLS, REAL, SPREAD

from search.errors import UnsupportedFilter
from search.index.contract import CollectionSpec, Point, Query, VectorIndex
from search.index.edge.index import EdgeIndex
from search.index.exact import exact, indexed_path, number_of_conditions
from search.index.filters import to_plain
from search.index.server.connection import connect, in_memory
from search.index.server.conversion import to_filter, to_schema
from search.index.server.index import QdrantIndex
from search.index.server.limits import limits_of
from search.index.server.sharding import Sharding
from search.settings import StorageSettings

SPEC = CollectionSpec(4, "model@1")

# What documents hold …

NUMBERS = [-1, 0, 1, 2, 3, 2**53 - 1, 2**53, 2**53 + 1, 2**60, -(2**63), 2**63 - 1, -0.0, 1.0, 1.5, 2.0, 2.5, -1.0, 1e300, 2.0**60]
STRINGS = ["a", "b", "c", "", "1", "true", "é", "日本", "A", "x" * 300]
SCALARS = [None, True, False, *NUMBERS, *STRINGS]
ODD_VALUES = [
    [],
    [None],
    [[]],
    [[None]],
    [["a"]],
    [["a", "b"]],
    [[1]],
    ["a", []],
    {},
    {"x": 1},
    {"x": "a"},
    [{"x": 1}],
    [{"x": ["a", 1]}],
]
INDEXED = [
    *("metadata.k", "metadata.s", "metadata.n", "metadata.m.x", "metadata.o[].x", 'metadata."due date"', "metadata.k[0]"),
    *("metadata.t[]", "title", "headings", "page", "modified", "number", "media_type"),
]
KINDS = ["keyword", "integer", "float", "bool"]


def any_value(rng: random.Random, depth: int = 0) -> Any:
    match rng.randrange(8 if depth < 2 else 5):
        case 5:
            return [any_value(rng, depth + 1) for _ in range(rng.randrange(4))]
        case 6:
            return {name: any_value(rng, depth + 1) for name in rng.sample(["x", "y", "a b"], rng.randrange(3))}
        case 7:
            return rng.choice(ODD_VALUES)
        case _:
            return rng.choice(SCALARS)


def corpus(seed: int, size: int) -> list[Point]:
    """Every scalar and every odd value once, and then what chance brings."""
    rng = random.Random(seed)  # noqa: S311  # repeatable, not secret
    points = []
    for number, first in enumerate([*SCALARS, *ODD_VALUES, *([None] * size)]):
        metadata = {name: any_value(rng) for name in ("k", "m", "t", "due date", "a.b") if rng.random() < 0.7}
        metadata["s"] = rng.choice([rng.choice(STRINGS), rng.choices(STRINGS, k=rng.randrange(3))])
        metadata["n"] = rng.choice([rng.choice(NUMBERS), rng.choices(NUMBERS, k=rng.randrange(3))])
        metadata["o"] = [
            {name: any_value(rng, 1) for name in rng.sample("xyz", rng.randrange(1, 4))} for _ in range(rng.randrange(3))
        ]
        if number < len(SCALARS) + len(ODD_VALUES):
            metadata["k"] = first
        payload = {
            "document_id": f"d{number // 2}",
            "number": number % 2,
            "title": rng.choice(["a", "b", ""]),
            "headings": rng.choices(STRINGS, k=rng.randrange(3)),
            "page": rng.choice([None, 1, 2]),
            "media_type": "text/plain",
            "modified": rng.choice([None, 1.0, 1.5, 2]),
            "metadata": metadata,
        }
        vector = np.array([rng.gauss(0, 1) for _ in range(4)], np.float32)
        points.append(Point(str(uuid.UUID(int=rng.getrandbits(128), version=4)), vector / np.linalg.norm(vector), payload))
    return points


POINTS = corpus(seed=1, size=200)


# … what filters ask of them …

PATHS = [
    *("metadata.k", "metadata.s", "metadata.n", "metadata.m", "metadata.m.x", "metadata.o", "metadata.o[].x", "metadata.o[0].x"),
    *(
        "metadata.k[]",
        "metadata.k[0]",
        "metadata.k[].x",
        "metadata.k[][]",
        'metadata."due date"',
        'metadata."a.b"',
        "metadata.absent",
    ),
    *(
        "metadata.t",
        "metadata.t[]",
        "metadata.t[].x[]",
        'metadata.m."a b"',
        "title",
        "headings",
        "page",
        "modified",
        "number",
        "document_id",
    ),
]
INNER_PATHS = ["x", "y", "x[]", "x.y", '"a b"', "x[0]"]
INTEGERS = [number for number in NUMBERS if isinstance(number, int)]
BOUNDS = [number for number in NUMBERS if not 2**53 <= abs(number) <= 2**63]


OWN: dict[str, list[Any]] = {
    "title": ["a", ""],
    "headings": ["a", "b"],
    "page": [0, 1],
    "modified": [1, -1],
    "number": [0, 1],
    "document_id": ["d0", "d1"],
}
OUTER_PATHS = ["metadata.o", "metadata.k", "metadata.o[]", "metadata.t", "metadata.k[]"]
Draw = Callable[[SearchStrategy[Any]], Any]


def one_of(draw: Draw, values: list[Any]) -> Any:
    return draw(strategies.sampled_from(values))


def bounds(draw: Draw, numbers: list[Any]) -> dict[str, Any]:
    least, most = sorted([one_of(draw, numbers), one_of(draw, numbers)])
    both = [{"gte": least, "lte": most}, {"gte": least, "lte": most} if most - least <= 1 else {"gt": least, "lt": most}]
    chosen: dict[str, Any] = one_of(draw, [*both, {"gt": least}, {"gte": least}, {"lt": most}, {"lte": most}])
    return chosen


def field_condition(draw: Draw, paths: list[str], *, nested: bool) -> dict[str, Any]:
    key = one_of(draw, paths)
    drawn = any_condition(draw, key, nested=nested)
    if not nested and key in OWN:
        try:
            to_plain({"must": [drawn]})
        except UnsupportedFilter:  # nothing that such a field holds, or all of it, would pass
            return {"key": key, "match": {one_of(draw, ["any", "except"]): [one_of(draw, OWN[key])]}}
    return drawn


def any_condition(draw: Draw, key: str, *, nested: bool) -> dict[str, Any]:
    match one_of(draw, ["value", "any", "except", "except", "boolean", "range", "values_count", "field", "unary"]):
        case "value":
            return {"key": key, "match": {"value": one_of(draw, [*INTEGERS, *STRINGS])}}
        case "any" | "except" as kind:
            values = one_of(draw, [INTEGERS, STRINGS])
            return {"key": key, "match": {kind: draw(strategies.lists(strategies.sampled_from(values), min_size=1, max_size=3))}}
        case "boolean" if not nested and "[0]" not in key:
            return {"key": key, "match": {"value": draw(strategies.booleans())}}
        case "range":
            return {"key": key, "range": bounds(draw, BOUNDS)}
        case "values_count":
            some = bounds(draw, [0, 1, 2, 3])
            return {"key": key, "values_count": {"gte": 1} if some == {"gte": 0} or some.get("lt") == 0 else some}
        case "field":
            return {"key": key, one_of(draw, ["is_empty", "is_null"]): draw(strategies.booleans())}
    return {one_of(draw, ["is_empty", "is_null"]): {"key": key}}


def condition(draw: Draw, depth: int, *, nested: bool) -> dict[str, Any]:
    match one_of(draw, ["field", "field", "field", "field", "filter", "nested", "ids"]):
        case "filter" if depth < 3:
            return clauses(draw, depth + 1, nested=nested)
        case "nested" if depth < 3:
            inner = clauses(draw, depth + 1, nested=True)
            return {"nested": {"key": one_of(draw, ["y", "x"] if nested else OUTER_PATHS), "filter": inner}}
        case "ids" if not nested:
            places = draw(strategies.lists(strategies.integers(0, len(POINTS) - 1), min_size=1, max_size=5))
            return {"has_id": [POINTS[place].id for place in places]}
    return field_condition(draw, INNER_PATHS if nested else PATHS, nested=nested)


def clauses(draw: Draw, depth: int, *, nested: bool) -> dict[str, Any]:
    chosen = one_of(
        draw, [["must"], ["must"], ["should"], ["must_not"], ["min_should"], ["must", "must_not"], ["should", "must_not"]]
    )
    whole: dict[str, Any] = {}
    for clause in chosen:
        conditions = [
            condition(draw, depth, nested=nested) for _ in range(draw(strategies.integers(1, 3 - depth if depth < 2 else 1)))
        ]
        if clause == "min_should":
            whole[clause] = {"conditions": conditions, "min_count": draw(strategies.integers(1, len(conditions)))}
        else:
            whole[clause] = conditions
    return whole


@strategies.composite
def filters(draw: strategies.DrawFn) -> dict[str, Any]:
    return clauses(draw, 0, nested=False)


# … and the answer, as Qdrant documents it.


def values_at(value: Any, path: str) -> list[Any]:
    if not path:
        return [value]
    if path.startswith("[]"):
        return [found for one in (value if isinstance(value, list) else []) for found in values_at(one, path[2:])]
    if path.startswith("["):
        place, _, rest = path[1:].partition("]")
        return values_at(value[int(place)], rest) if isinstance(value, list) and int(place) < len(value) else []
    path = path.removeprefix(".")
    if path.startswith('"'):
        name, _, rest = path[1:].partition('"')
    else:
        ends = min((path.find(mark) for mark in ".[" if mark in path), default=len(path))
        name, rest = path[:ends], path[ends:]
    return values_at(value[name], rest) if isinstance(value, dict) and name in value else []


def same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


def matches_one(value: Any, test: Mapping[str, Any]) -> bool:
    match test:
        case {"value": wanted}:
            return same(value, wanted)
        case {"any": values}:
            return any(same(value, one) for one in values)
        case {"except": values}:
            return value is not None and not any(same(value, one) for one in values)
    raise AssertionError(test)


def within(value: Any, test: Mapping[str, float]) -> bool:
    compare: dict[str, Callable[[float, float], bool]] = {
        "gt": lambda one, other: one > other,
        "gte": lambda one, other: one >= other,
        "lt": lambda one, other: one < other,
        "lte": lambda one, other: one <= other,
    }
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and all(compare[name](value, bound) for name, bound in test.items())


def count_of(value: Any) -> int:
    return len(value) if isinstance(value, list) else int(value is not None)


def flat_at(payload: Any, path: str) -> list[Any]:
    return [one for value in values_at(payload, path) for one in (value if isinstance(value, list) else [value])]


def expected(condition: Mapping[str, Any], point_id: str, payload: Any) -> bool:
    match condition:
        case {"has_id": ids}:
            return point_id in ids
        case {"is_empty": {"key": key}}:
            return all(value is None or value == [] for value in values_at(payload, key))
        case {"is_null": {"key": key}}:
            return any(value is None or (isinstance(value, list) and None in value) for value in values_at(payload, key))
        case {"nested": {"key": key, "filter": inner}}:
            lists = [value for value in values_at(payload, key.removesuffix("[]")) if isinstance(value, list)]
            return any(expected(inner, "", one) for elements in lists for one in elements if isinstance(one, dict))
        case {"key": key, "values_count": counts}:
            return any(within(count_of(value), counts) for value in values_at(payload, key) or [None])
        case {"key": key, "match": wanted}:
            return any(matches_one(value, wanted) for value in flat_at(payload, key))
        case {"key": key, "range": limits}:
            return any(within(value, limits) for value in flat_at(payload, key))
    return (
        all(expected(one, point_id, payload) for one in condition.get("must", []))
        and not any(expected(one, point_id, payload) for one in condition.get("must_not", []))
        and ("should" not in condition or any(expected(one, point_id, payload) for one in condition["should"]))
        and (
            "min_should" not in condition
            or sum(expected(one, point_id, payload) for one in condition["min_should"]["conditions"])
            >= condition["min_should"]["min_count"]
        )
    )


# The engines.


def filled(index: VectorIndex, *, optimized: bool = False) -> VectorIndex:
    index.ensure(SPEC, create=True)
    index.upsert(POINTS)
    if optimized:
        index.optimize()
    return index


def indexed(kind: str) -> StorageSettings:
    return StorageSettings.model_validate({"payload_indexes": {} if kind == "none" else dict.fromkeys(INDEXED, kind)})


@pytest.fixture(scope="module", params=["edge", "edge, optimized", "memory", "standin", *REAL])
def engines(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, VectorIndex]]:
    """The same documents in an engine without payload indexes, and with each kind of them."""
    opened: dict[str, VectorIndex] = {}
    with ExitStack() as stack:
        match request.param:
            case "memory":
                opened["none"] = filled(QdrantIndex(in_memory(), "documents", ":memory:"))
            case "standin":
                standin = stack.enter_context(QdrantStandIn())
                opened["none"] = filled(QdrantIndex(connect(standin.url), "documents", standin.url))
            case "server" | "cluster":
                url, *others = NODE_URLS if request.param == "cluster" else [request.getfixturevalue("server_url")]
                sharding = Sharding(**SPREAD) if others else Sharding()
                for kind in ("none", *KINDS):
                    client = connect(url, urls=others, api_key=KEY)
                    name = f"test-filters-{uuid.uuid4()}"
                    opened[kind] = filled(QdrantIndex(client, name, url, indexed(kind), sharding, owned=False, aliased=False))
                    stack.callback(client.close)
                    stack.callback(client.delete_collection, name)
            case which:
                for kind in ("none", *KINDS):
                    folder = tmp_path_factory.mktemp("edge")
                    opened[kind] = filled(EdgeIndex(folder, "documents", indexed(kind)), optimized="optimized" in which)
        for index in opened.values():
            stack.callback(index.close)
        yield opened


def compare(engines: dict[str, VectorIndex], raw: dict[str, Any]) -> None:
    plain = to_plain(raw)
    right = {point.id for point in POINTS if expected(plain, point.id, point.payload)}
    for kind, index in engines.items():
        found = {record.id for record in index.scroll(plain, ["document_id"])}
        wrong = {str(point.payload["metadata"]) for point in POINTS if point.id in right ^ found}
        assert found == right, (kind, plain, len(wrong), sorted(wrong)[:3])
        assert index.count(plain) == len(right), (kind, plain)
        assert {match.id for match in index.query(Query(POINTS[0].vector, filter=plain), 1000)} == right, (kind, plain)


def exhaustively(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )


def test_a_filter_means_the_same_everywhere(engines: dict[str, VectorIndex], in_full: bool) -> None:  # noqa: FBT001  # a fixture
    @exhaustively(5_000 if in_full else 60)
    @given(filters())
    def check(raw: dict[str, Any]) -> None:
        compare(engines, raw)

    check()


FALSE, A, B = ({"key": "metadata.k", "match": {"value": value}} for value in (False, "a", "b"))
TITLED = {"key": "title", "match": {"value": "a"}}
FROM_ONE, FROM_1_0 = ({"key": "metadata.k", "range": {"gte": one}} for one in (1, 1.0))
LISTED, LISTED_AGAIN = ({"key": "metadata.k", "match": {"any": values}} for values in (["a", "c"], ["c", "a"]))
NEITHER = {"has_id": [next(point.id for point in POINTS if point.payload["title"] == "b" and "k" not in point.payload["metadata"])]}
ASKED: dict[str, dict[str, Any]] = {
    "match 1, which an index of whole numbers finds in 1.0": {"must": [{"key": "metadata.k", "match": {"value": 1}}]},
    "one of several": {"must": [{"key": "metadata.n", "match": {"any": [1, 2]}}]},
    "a large number": {"must": [{"key": "metadata.k", "match": {"value": 2**60}}]},
    "numbers beyond floats": {"must": [{"key": "metadata.n", "match": {"any": [2**53 + 1, 1]}}]},
    "except, which an index of strings asks of strings": {"must": [{"key": "metadata.k", "match": {"except": ["a"]}}]},
    "except, which an index of numbers asks of numbers": {"must": [{"key": "metadata.k", "match": {"except": [1]}}]},
    "except in objects": {"must": [{"key": "metadata.o[].x", "match": {"except": ["a"]}}]},
    "except in a list": {"must": [{"key": "metadata.t[]", "match": {"except": ["a"]}}]},
    "fractions in a range": {"must": [{"key": "metadata.k", "range": {"gt": 1, "lt": 2}}]},
    "null in a list": {"must": [{"is_null": {"key": "metadata.k"}}]},
    "empty in some of the objects": {"must": [{"nested": {"key": "metadata.o", "filter": {"must": [{"is_empty": {"key": "x"}}]}}}]},
    "a boolean that counts twice": {"min_should": {"conditions": [FALSE, NEITHER, FALSE], "min_count": 2}},
    "a string that counts twice": {"min_should": {"conditions": [TITLED, NEITHER, TITLED], "min_count": 2}},
    "numbers that count twice": {"min_should": {"conditions": [FROM_ONE, NEITHER, FROM_1_0], "min_count": 2}},
    "what may be and must not": {"should": [A, B], "must_not": [A]},
    "what must be and must not": {"must": [A], "must_not": [A]},
    "the same in another order": {"should": [LISTED, B], "must_not": [LISTED_AGAIN]},
    "the same path in quotes": {"should": [A, B], "must_not": [{**A, "key": 'metadata."k"'}]},
    "a quoted name": {"must": [{"key": 'metadata."due date"', "match": {"except": [1]}}]},
}


@pytest.mark.parametrize("brief", [False, True])
def test_a_filter_means_the_same_in_few_conditions(
    brief: bool,  # noqa: FBT001
    engines: dict[str, VectorIndex],
    in_full: bool,  # noqa: FBT001  # a fixture
) -> None:
    """As it goes out to a collection whose strict mode takes few, by the payload indexes that there are."""
    paths = {kind: set() if kind == "none" else {indexed_path(field) for field in INDEXED} for kind in engines}

    @exhaustively(2_500 if in_full else 30)
    @given(filters())
    def check(raw: dict[str, Any]) -> None:
        plain = to_plain(raw)
        right = {point.id for point in POINTS if expected(plain, point.id, point.payload)}
        for kind, index in engines.items():
            few = exact(plain, null_in_lists=True, indexed=paths[kind], brief=brief)
            assert number_of_conditions(few) <= number_of_conditions(exact(plain, null_in_lists=True))
            with pytest.MonkeyPatch.context() as patched:
                for engine in ("edge", "server"):
                    patched.setattr(f"search.index.{engine}.conversion.exact", lambda *_, few=few, **__: few)
                found = {record.id for record in index.scroll(plain, ["document_id"])}
            assert found == right, (kind, plain)

    check()


@pytest.mark.parametrize(("few", "most"), [(False, 9), (True, 8)])
def test_how_many_conditions_one_becomes(few: bool, most: int) -> None:  # noqa: FBT001
    numbers = {
        "metadata.k": {"must": [{"key": "metadata.k", "match": {"except": ["a"]}}]},
        "metadata.o[].x": {"must": [{"key": "metadata.o[].x", "match": {"except": ["a"]}}]},
        "metadata.n": {"must": [{"key": "metadata.n", "match": {"any": [1, 2]}}]},
    }
    for path, plain in numbers.items():
        indexed = exact(to_plain(plain), null_in_lists=True, indexed=[path], brief=few)
        expected_of = {"metadata.k": most, "metadata.o[].x": 1, "metadata.n": 1 if few else 2}
        assert number_of_conditions(indexed) == expected_of[path]
        quoted = json.loads(json.dumps(plain).replace(".k", '.\\"k\\"'))
        assert number_of_conditions(exact(to_plain(quoted), indexed=[path], brief=few)) == expected_of[path]
        assert number_of_conditions(exact(to_plain(plain), indexed=["metadata.z"])) == 1


@pytest.mark.parametrize("name", ASKED)
def test_where_engines_and_payload_indexes_differ_by_themselves(engines: dict[str, VectorIndex], name: str) -> None:
    compare(engines, ASKED[name])


NOTHING: list[dict[str, Any]] = [
    {"key": "metadata.k"},
    {"key": "metadata.k", "match": None},
    {"key": "metadata.k", "match": {"any": []}},
    {"key": "metadata.k", "range": {}},
    {"key": "metadata.k", "range": {"gte": 2, "lt": 1}},
    {"key": "metadata.k", "values_count": {"gte": 0}},
    {"key": "metadata.k", "values_count": {"gte": 2, "lt": 2}},
    {"key": "metadata.k", "values_count": {"gt": 2**32 - 1}},
    {"key": "metadata.k", "values_count": {"lte": 2**32 - 1}},
    {"key": "document_id", "values_count": {"gt": 1}},
    {"key": "page", "values_count": {"lte": 1}},
    {"is_empty": {"key": "document_id"}},
    {"key": "number", "is_null": False},
    {"has_id": []},
    {"nested": {"key": "metadata.o", "filter": {"must": []}}},
    {"should": []},
    {},
]


def planted(draw: Draw, filter: dict[str, Any], nothing: dict[str, Any]) -> dict[str, Any]:
    """The filter, and somewhere in it a condition that tests nothing."""
    clause = one_of(draw, list(filter))
    inside = filter[clause]["conditions"] if clause == "min_should" else filter[clause]
    place = draw(strategies.integers(0, len(inside)))
    deeper = [one for one in inside if not {"key", "nested", "is_empty", "is_null", "has_id"} & one.keys()]
    if deeper and draw(strategies.booleans()):
        one = one_of(draw, deeper)
        changed = [planted(draw, one, nothing) if other is one else other for other in inside]
    else:
        changed = [*inside[:place], nothing, *inside[place:]]
    return {**filter, clause: {**filter[clause], "conditions": changed} if clause == "min_should" else changed}


@exhaustively(300)
@given(strategies.data())
def test_wherever_a_condition_tests_nothing_it_is_refused(data: strategies.DataObject) -> None:
    raw = clauses(data.draw, 0, nested=False)
    to_plain(raw)
    with pytest.raises(UnsupportedFilter, match=r"nothing"):
        to_plain(planted(data.draw, raw, data.draw(strategies.sampled_from(NOTHING))))


def test_an_index_of_whole_numbers_that_an_earlier_version_made_is_made_anew(tmp_path: Path) -> None:
    before = filled(EdgeIndex(tmp_path, "documents"))
    assert isinstance(before, EdgeIndex)
    with before._opened.use() as shard:
        shard.update(edge.UpdateOperation.create_field_index("metadata.k", edge.PayloadSchemaType.Integer))
    before.close()
    again = EdgeIndex(tmp_path, "documents", indexed("integer"))
    again.ensure(SPEC, create=True)
    for asked in ASKED.values():
        compare({"integer": again}, asked)
    again.close()


@pytest.mark.parametrize("forbidden", ["unindexed_filtering_retrieve", "unindexed_filtering_update"])
def test_a_server_that_refuses_what_no_index_answers_gets_filters_and_indexes_as_they_are(forbidden: str) -> None:
    plain = to_plain(ASKED["match 1, which an index of whole numbers finds in 1.0"])
    strict = models.StrictModeConfigOutput(enabled=True, **{forbidden: False})
    config = QdrantClient(":memory:")
    config.create_collection("documents", vectors_config={})
    told = config.get_collection("documents").config
    assert not limits_of(told).indexed_only
    lenient = (models.StrictModeConfigOutput(enabled=True), strict.model_copy(update={"enabled": False}))
    assert not any(limits_of(told.model_copy(update={"strict_mode_config": one})).indexed_only for one in lenient)
    assert limits_of(told.model_copy(update={"strict_mode_config": strict})).indexed_only
    assert to_filter(plain, indexed_only=True) == models.Filter.model_validate(plain)
    assert to_filter(plain) != models.Filter.model_validate(plain)
    assert [to_schema("integer", indexed_only=strict) for strict in (True, False)] == ["integer", "float"]
    config.close()


def test_the_stand_in_sees_no_null_in_lists_either(standin: QdrantStandIn) -> None:
    """As a server does by itself, so that what goes out to it is what finds them."""
    index = filled(QdrantIndex(connect(standin.url), "documents", standin.url))
    client = QdrantClient(url=standin.url, check_compatibility=False)
    null = {"must": [{"is_null": {"key": "metadata.k"}}]}
    raw, _ = client.scroll("documents", models.Filter.model_validate(null), 1000, with_payload=["metadata"])
    assert {repr((one.payload or {})["metadata"]["k"]) for one in raw} == {"None"}
    found = [record.payload["metadata"]["k"] for record in index.scroll(null, ["metadata"])]
    assert [None] in found
    assert len(found) > len(raw) > 0
    client.close()
    index.close()


def without_lists(condition: Mapping[str, Any], payload: Any) -> bool:
    """As a server of 1.19.0 answers: null is a value that is null, and no list that holds one."""
    if "is_null" in condition:
        return any(value is None for value in values_at(payload, condition["is_null"]["key"]))
    return (
        all(without_lists(one, payload) for one in condition.get("must", []))
        and not any(without_lists(one, payload) for one in condition.get("must_not", []))
        and ("should" not in condition or any(without_lists(one, payload) for one in condition["should"]))
    )


@pytest.mark.parametrize("value", [*SCALARS, *ODD_VALUES, [None, 1], ["a", None, {}], [[None], 1], [[1], None]], ids=repr)
def test_a_server_that_sees_no_null_in_lists_is_asked_for_it(value: Any) -> None:
    plain = to_plain({"must": [{"is_null": {"key": "metadata.k"}}]})
    payload = {"metadata": {"k": value}}
    assert without_lists(exact(plain, null_in_lists=True), payload) == expected(plain, "", payload)
