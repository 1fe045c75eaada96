"""Every engine keeps the contract, and the same filter finds the same documents on each."""

import math
import threading
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import OpenIndex
from numpy.typing import NDArray

from search.errors import CollectionNotFound, IndexMismatch, IndexRejected
from search.index.contract import CollectionSpec, Point, Query, VectorIndex
from search.index.edge.index import EdgeIndex
from search.index.filters import to_plain
from search.index.server.connection import in_memory
from search.index.server.index import QdrantIndex

SPEC = CollectionSpec(8, "model@1")
RNG = np.random.default_rng(5)


def vector() -> NDArray[np.float32]:
    values = RNG.normal(size=8)
    unit: NDArray[np.float32] = (values / np.linalg.norm(values)).astype(np.float32)
    return unit


def make_points(number: int) -> list[Point]:
    """Documents with metadata of every kind that filters ask about, some of it missing."""
    points = []
    for i in range(number):
        metadata: dict[str, Any] = {
            "year": 2000 + i % 20,
            "score": i / 7,
            "lang": ("en", "de", "zh")[i % 3],
            "draft": i % 4 == 0,
            "flags": [True, i % 2 == 0],
            "tags": [f"t{i % 5}", f"u{i % 2}"] if i % 6 else [],
            "of a.b": i % 5,
            "x.y": i % 9 == 0,
            "x": {"y": i % 7 == 0},
            "nothing": None if i % 3 else "something",
            "authors": [{"name": f"a{i % 3}", "age": 20 + i % 10, "active": i % 7 < 3}, {"name": "b", "age": 60}],
        }
        if i % 8 == 0:
            del metadata["lang"]
        payload = {"document_id": f"d{i // 2}", "number": i % 2, "title": f"Title {i % 3}", "metadata": metadata}
        points.append(Point(str(uuid.uuid5(uuid.NAMESPACE_OID, str(i))), vector(), payload))
    return points


POINTS = make_points(80)
FILTERS: dict[str, dict[str, Any]] = {
    "match string": {"must": [{"key": "metadata.lang", "match": {"value": "de"}}]},
    "match integer": {"must": [{"key": "metadata.year", "match": {"value": 2003}}]},
    "match boolean": {"must": [{"key": "metadata.draft", "match": {"value": True}}]},
    "match false": {"must_not": [{"key": "metadata.draft", "match": {"value": False}}]},
    "match boolean of a dotted name": {"must": [{"key": 'metadata."x.y"', "match": {"value": True}}]},
    "match boolean in an object": {"must": [{"key": "metadata.x.y", "match": {"value": True}}]},
    "match boolean, quoted for no need": {"must": [{"key": 'metadata."draft"', "match": {"value": True}}]},
    "match boolean in list": {"must": [{"key": "metadata.flags", "match": {"value": False}}]},
    "match boolean in objects": {"must": [{"key": "metadata.authors[].active", "match": {"value": True}}]},
    "match in list": {"must": [{"key": "metadata.tags", "match": {"value": "t2"}}]},
    "match any": {"must": [{"key": "metadata.lang", "match": {"any": ["de", "zh"]}}]},
    "match any integer": {"must": [{"key": "metadata.year", "match": {"any": [2001, 2002]}}]},
    "match except": {"must": [{"key": "metadata.lang", "match": {"except": ["de"]}}]},
    "match document": {"must": [{"key": "document_id", "match": {"value": "d3"}}]},
    "match title": {"must": [{"key": "title", "match": {"value": "Title 1"}}]},
    "match number": {"must": [{"key": "number", "match": {"value": 1}}]},
    "quoted path": {"must": [{"key": 'metadata."of a.b"', "match": {"value": 2}}]},
    "range": {"must": [{"key": "metadata.year", "range": {"gte": 2005, "lt": 2010}}]},
    "range of fractions": {"must": [{"key": "metadata.score", "range": {"gt": 3.5, "lte": 8.25}}]},
    "values count": {"must": [{"key": "metadata.tags", "values_count": {"gte": 1}}]},
    "is empty": {"must": [{"is_empty": {"key": "metadata.lang"}}]},
    "is empty list": {"must": [{"is_empty": {"key": "metadata.tags"}}]},
    "is null": {"must": [{"is_null": {"key": "metadata.nothing"}}]},
    "has id": {"must": [{"has_id": [POINTS[3].id, POINTS[40].id]}]},
    "nested": {
        "must": [
            {
                "nested": {
                    "key": "metadata.authors",
                    "filter": {"must": [{"key": "name", "match": {"value": "a1"}}, {"key": "age", "range": {"gt": 24}}]},
                }
            }
        ]
    },
    "inside list": {"must": [{"key": "metadata.authors[].age", "range": {"gt": 28, "lt": 50}}]},
    "should": {"should": [{"key": "metadata.lang", "match": {"value": "de"}}, {"key": "metadata.draft", "match": {"value": True}}]},
    "must not": {"must_not": [{"key": "metadata.lang", "match": {"value": "de"}}]},
    "min should": {
        "min_should": {
            "conditions": [
                {"key": "metadata.lang", "match": {"value": "de"}},
                {"key": "metadata.draft", "match": {"value": True}},
                {"key": "metadata.year", "range": {"gte": 2010}},
            ],
            "min_count": 2,
        }
    },
    "filter in filter": {
        "must": [
            {"should": [{"key": "metadata.lang", "match": {"value": "zh"}}, {"is_empty": {"key": "metadata.lang"}}]},
            {"must_not": [{"key": "metadata.year", "range": {"lt": 2004}}]},
        ]
    },
    "one condition without a list": {"must": {"key": "metadata.lang", "match": {"value": "de"}}},
    "unknown field": {"must": [{"key": "metadata.absent", "match": {"value": "de"}}]},
    "not unknown field": {"must_not": [{"key": "metadata.absent", "match": {"value": "de"}}]},
    "nothing asked": {},
}


@pytest.fixture
def index(open_index: OpenIndex) -> VectorIndex:
    index = open_index("documents")
    index.ensure(SPEC, create=True)
    return index


def ids(index: VectorIndex, filter: dict[str, Any] | None) -> set[str]:
    return {match.id for match in index.query(Query(POINTS[0].vector, filter=filter), 1000)}


def test_query_gives_the_closest_first_with_cosine_scores(index: VectorIndex) -> None:
    index.upsert(POINTS)
    query = vector()
    exact = sorted(((float(point.vector @ query), point.id) for point in POINTS), reverse=True)
    matches = index.query(Query(query), 10)
    assert [match.id for match in matches] == [point_id for _, point_id in exact[:10]]
    assert [match.score for match in matches] == pytest.approx([score for score, _ in exact[:10]], abs=1e-5)
    by_id = {point.id: point for point in POINTS}
    assert all(match.payload == by_id[match.id].payload for match in matches)


def test_a_filter_means_the_same_on_every_engine(index: VectorIndex) -> None:
    reference = QdrantIndex(in_memory(), "reference", ":memory:")
    reference.ensure(SPEC, create=True)
    reference.upsert(POINTS)
    index.upsert(POINTS)
    for name, asked in FILTERS.items():
        plain = to_plain(asked)
        expected = ids(reference, plain)
        assert ids(index, plain) == expected, name
        assert index.count(plain) == len(expected), name
        assert {record.id for record in index.scroll(plain)} == expected, name
        index.delete(filter=plain)
        assert ids(index, None) == {point.id for point in POINTS} - expected, name
        index.upsert([point for point in POINTS if point.id in expected])  # for the next one
    reference.close()


def test_the_filters_above_choose_something() -> None:
    reference = QdrantIndex(in_memory(), "reference", ":memory:")
    reference.ensure(SPEC, create=True)
    reference.upsert(POINTS)
    sizes = {name: reference.count(to_plain(asked)) for name, asked in FILTERS.items()}
    everything = {"not unknown field", "nothing asked"}
    nothing = {"unknown field"}
    assert {name for name, size in sizes.items() if size == len(POINTS)} == everything
    assert {name for name, size in sizes.items() if size == 0} == nothing
    reference.close()


def test_upsert_replaces_and_delete_removes(index: VectorIndex) -> None:
    index.upsert(POINTS[:5])
    index.upsert([POINTS[0]._replace(payload={"document_id": "new"})])
    assert index.count() == 5
    assert index.count({"must": [{"key": "document_id", "match": {"value": "new"}}]}) == 1
    index.delete(ids=[POINTS[1].id, str(uuid.uuid4())])
    index.delete(ids=[])
    assert ids(index, None) == {POINTS[i].id for i in (0, 2, 3, 4)}


def test_scroll_gives_everything_once_and_only_the_wanted_fields(index: VectorIndex) -> None:
    points = make_points(600)
    index.upsert(points)
    records = list(index.scroll(fields=["document_id"]))
    assert sorted(record.id for record in records) == sorted(point.id for point in points)
    assert all(record.payload.keys() == {"document_id"} for record in records)
    index.optimize()
    assert index.count() == 600
    assert next(iter(index.query(Query(points[7].vector), 1))).id == points[7].id


def test_no_point_is_lost_or_doubled_where_a_page_ends(index: VectorIndex) -> None:
    points = make_points(513)
    for already, number in ((0, 255), (255, 256), (256, 257), (257, 511), (511, 512), (512, 513)):
        index.upsert(points[already:number])
        expected = sorted(point.id for point in points[:number])
        assert [record.id for record in index.scroll(fields=[])] == expected
        last = expected[-min(number, 256) :]
        assert [record.id for record in index.scroll(fields=[], start=last[0])] == last


def test_empty_collection(index: VectorIndex) -> None:
    index.upsert([])
    assert index.query(Query(vector()), 5) == []
    assert index.count() == 0
    assert list(index.scroll()) == []


def test_ensure_twice_is_no_error_and_another_embedder_is(index: VectorIndex) -> None:
    index.ensure(SPEC, create=True)
    index.ensure(SPEC, create=False)
    for other in (CollectionSpec(8, "model@2"), CollectionSpec(16, "model@1")):
        with pytest.raises(IndexMismatch, match="--collection"):
            index.ensure(other, create=True)


def test_the_target_is_the_collection_that_the_name_leads_to(index: VectorIndex) -> None:
    assert index.target in {index.name, f"{index.name}.v1"}


def test_a_collection_that_does_not_exist(open_index: OpenIndex) -> None:
    with pytest.raises(CollectionNotFound, match="search ingest"):
        open_index("absent").ensure(SPEC, create=False)


def test_vectors_that_are_not_finite_are_refused(index: VectorIndex) -> None:
    with pytest.raises(IndexRejected, match="not finite"):
        index.upsert([POINTS[0], POINTS[1]._replace(vector=np.full(8, math.nan, np.float32))])
    assert index.count() == 0


def test_vectors_of_another_length_are_refused(index: VectorIndex) -> None:
    index.upsert(POINTS[:3])
    with pytest.raises(IndexRejected):
        index.query(Query(np.ones(5, np.float32)), 3)


def test_closing_twice(open_index: OpenIndex) -> None:
    index = open_index("documents")
    index.ensure(SPEC, create=True)
    index.close()
    index.close()


def test_a_renamed_model_is_the_same_model(index: VectorIndex) -> None:
    index.ensure(CollectionSpec(8, "renamed@1"), create=False)


def test_edge_keeps_what_was_written(tmp_path: Path) -> None:
    first = EdgeIndex(tmp_path, "documents")
    first.ensure(SPEC, create=True)
    first.upsert(POINTS)
    first.close()
    second = EdgeIndex(tmp_path, "documents")
    second.ensure(SPEC, create=False)
    assert ids(second, None) == {point.id for point in POINTS}
    second.close()
    with pytest.raises(CollectionNotFound, match="ensure"):
        second.count()


@pytest.mark.parametrize("_", range(4))  # as one time alone goes well by chance
def test_the_engine_in_memory_is_read_while_another_thread_writes(_: int) -> None:
    index = QdrantIndex(in_memory(), "documents", ":memory:")
    index.ensure(SPEC, create=True)
    points = make_points(600)
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for start in range(0, len(points), 10):
                index.upsert(points[start : start + 10])
        except BaseException as error:  # which the test tells
            failures.append(error)

    writing = threading.Thread(target=write)
    writing.start()
    while writing.is_alive():
        list(index.scroll(fields=["document_id"]))
    writing.join()
    assert failures == []
    assert index.count() == len(points)
