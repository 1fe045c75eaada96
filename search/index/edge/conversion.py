"""Filters and settings in the terms of Qdrant Edge's own types."""

from collections.abc import Mapping
from typing import Any

import qdrant_edge as edge

from search.documents import SparseVector
from search.index.contract import LEXICAL, CollectionSpec, PlainFilter, Point, to_engine_id
from search.index.edge import booleans
from search.index.exact import exact
from search.index.filters import with_each
from search.settings import StorageSettings

GRAPH_FROM_BYTES = 10_240_000  # of vectors without a graph, as the engine has it by default
_LARGEST_SEGMENT = 50_000  # vectors; larger ones would take ever more time and memory to be built again
_FULL_SCAN_KB = 10_000  # of vectors; a filter that leaves less is answered without the graph, as on the server
SCHEMAS = {
    "keyword": edge.PayloadSchemaType.Keyword,
    "integer": edge.PayloadSchemaType.Float,  # see search.index.exact
    "float": edge.PayloadSchemaType.Float,
}

ON_DISK = edge.KeywordIndexParams(memory=edge.Memory.Cold)
OF_TENANTS = edge.KeywordIndexParams(is_tenant=True)


def to_edge(filter: PlainFilter | None) -> edge.Filter | None:
    """A plain filter, checked before, as Edge takes it."""
    return None if filter is None else _to_filter(exact(filter))


def _to_filter(filter: PlainFilter) -> edge.Filter:
    clauses = with_each(filter, _to_condition)
    if "min_should" in clauses:
        clauses["min_should"] = edge.MinShould(**clauses["min_should"])
    return edge.Filter(**clauses)


def _to_condition(condition: Mapping[str, Any]) -> Any:
    match condition:
        case {"key": key, "match": {"value": bool(value)}}:
            return edge.FieldCondition(key=booleans.FIELD, match=edge.MatchValue(booleans.name(key, value=value)))
        case {"key": key, **rest}:
            return edge.FieldCondition(key=key, **_to_tests(rest))
        case {"nested": {"key": key, "filter": inner}}:
            return edge.NestedCondition(key, _to_filter(inner))
        case {"is_empty": {"key": key}}:
            return edge.IsEmptyCondition(key)
        case {"is_null": {"key": key}}:
            return edge.IsNullCondition(key)
        case {"has_id": ids}:
            return edge.HasIdCondition(set(ids))
        case _:
            return _to_filter(condition)


def _to_tests(tests: Mapping[str, Any]) -> dict[str, Any]:
    converted = dict(tests)
    match tests.get("match"):
        case {"value": value}:
            converted["match"] = edge.MatchValue(value)
        case {"any": values}:
            converted["match"] = edge.MatchAny(values)
        case {"phrase": words}:
            converted["match"] = edge.MatchPhrase(words)
        case {"except": values}:
            converted["match"] = edge.MatchExcept(values)
    if "range" in tests:
        converted["range"] = edge.RangeFloat(**tests["range"])
    if "values_count" in tests:
        converted["values_count"] = edge.ValuesCount(**tests["values_count"])
    return converted


def to_point(point: Point) -> edge.Point:
    """A point with its vectors as Edge takes it; one without a word has no sparse vector."""
    dense = point.vector.tolist()
    vectors = dense if point.lexical is None else {"": dense, LEXICAL: to_sparse(point.lexical)}
    return edge.Point(to_engine_id(point.id), vectors, booleans.with_names(point.payload))


def to_sparse(vector: SparseVector) -> edge.SparseVector:
    """A sparse vector as Edge takes it."""
    return edge.SparseVector(list(vector.indices), list(vector.values))


def to_config(spec: CollectionSpec, storage: StorageSettings) -> edge.EdgeConfig:
    """How a collection is made."""
    quantization: Any = None
    match storage.quantization:
        case "scalar":
            quantization = edge.ScalarQuantizationConfig(edge.ScalarType.Int8, always_ram=True)
        case "binary":
            quantization = edge.BinaryQuantizationConfig(always_ram=True)
    vectors = edge.EdgeVectorParams(
        size=spec.dimension,
        distance=edge.Distance.Cosine,
        on_disk=storage.on_disk,
        quantization_config=quantization,
        hnsw_config=edge.HnswIndexConfig(storage.hnsw_m, storage.hnsw_ef_construct, _FULL_SCAN_KB),
    )
    optimizers = edge.EdgeOptimizersConfig(max_segment_size=_LARGEST_SEGMENT * 4 * spec.dimension // 1024)
    words = edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf if spec.idf else None, memory=edge.Memory.Cold)
    return edge.EdgeConfig(
        vectors=vectors,
        sparse_vectors={LEXICAL: words} if spec.lexical else None,
        on_disk_payload=storage.on_disk_payload is not False,
        optimizers=optimizers,
        id_tracker_memory=edge.Memory.Cold,
    )


def to_search_params(storage: StorageSettings) -> edge.SearchParams | None:
    """How it is searched: what quantized vectors find is rescored with whole ones."""
    if storage.quantization in {None, "none"}:
        return None
    rescored = edge.QuantizationSearchParams(rescore=True, oversampling=storage.oversampling)
    return edge.SearchParams(quantization=rescored)
