"""Points, filters and settings in the terms of qdrant-client's own types."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from qdrant_client import models

from search.documents import SparseVector
from search.index.contract import LEXICAL, CollectionSpec, PlainFilter, Point, to_engine_id
from search.index.exact import apart, exact, number_of_conditions
from search.index.server.reserved import numbered
from search.index.server.sharding import Sharding, to_note, to_params
from search.settings import StorageSettings

MOST_BYTES = 8_000_000  # of a request: the server takes 32 MB; smaller requests time out less
_BYTES_PER_NUMBER = 22  # of a vector, written as JSON
_BYTES_PER_WORD = 34  # of a sparse one, with its index
OF_TENANTS = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
_QUANTIZATIONS: dict[str, models.QuantizationConfig | None] = {
    "none": None,
    "scalar": models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)),
    "binary": models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True)),
}


def to_creation(
    spec: CollectionSpec,
    storage: StorageSettings,
    sharding: Sharding,
    purpose: str,
    like: models.QuantizationConfig | None = None,
) -> dict[str, Any]:
    """How a collection is made; quantized `like` another one, with all it has of that, unless the storage names another kind."""
    named = storage.quantization or (_kind_of(like) if like else "none")
    words = {LEXICAL: models.SparseVectorParams(modifier=models.Modifier.IDF if spec.idf else None)}
    return {
        "vectors_config": models.VectorParams(size=spec.dimension, distance=models.Distance.COSINE, on_disk=storage.on_disk),
        "sparse_vectors_config": words if spec.lexical else None,
        "metadata": {
            "fingerprint": spec.fingerprint,
            "lexical": spec.lexical,
            "storage": storage.model_dump(),
            "purpose": purpose,
            **({"tenant": spec.tenant} if spec.tenant else {}),
            **({"adopted": spec.adopted} if spec.adopted else {}),
            **to_note(sharding),
        },
        "on_disk_payload": bool(storage.on_disk_payload),
        "hnsw_config": models.HnswConfigDiff(m=storage.hnsw_m, ef_construct=storage.hnsw_ef_construct),
        "quantization_config": like if like and named == _kind_of(like) else _QUANTIZATIONS[named],
        **to_params(sharding),
    }


def to_search_params(storage: StorageSettings, most: float | None = None) -> models.SearchParams | None:
    """How it is searched: what quantized vectors find is rescored with whole ones; `most` bounds the oversampling."""
    if storage.quantization in {None, "none"}:
        return None
    rescored = models.QuantizationSearchParams(rescore=True, oversampling=min(storage.oversampling, most or storage.oversampling))
    return models.SearchParams(quantization=rescored)


def spec_of(config: models.CollectionConfig) -> CollectionSpec | None:
    """What a collection was made for; None if this package did not make it."""
    fingerprint = (config.metadata or {}).get("fingerprint")
    if not isinstance(fingerprint, str) or not isinstance(config.params.vectors, models.VectorParams):
        return None
    lexical = (config.metadata or {}).get("lexical")
    has_words = isinstance(lexical, str) and LEXICAL in (config.params.sparse_vectors or {})
    tenant = (config.metadata or {}).get("tenant", "")  # whatever stands there, settings that do not name it are refused
    adopted = (config.metadata or {}).get("adopted", "")
    words = str(lexical) if has_words else ""
    return CollectionSpec(config.params.vectors.size, fingerprint, words, tenant=str(tenant), adopted=str(adopted))


def to_point(point: Point, number: int | None = None) -> models.PointStruct:
    """A point with its vectors as the client takes it, under the claim of a number; one without a word has no sparse vector."""
    dense = point.vector.tolist()
    vectors: Any = dense if point.lexical is None else {"": dense, LEXICAL: to_sparse(point.lexical)}
    return models.PointStruct(id=to_engine_id(point.id), vector=vectors, payload=numbered(point.payload, number))


def to_sparse(vector: SparseVector) -> models.SparseVector:
    """A sparse vector as the client takes it."""
    return models.SparseVector(indices=list(vector.indices), values=list(vector.values))


def noted(config: models.CollectionConfig, name: str) -> dict[str, Any]:
    """What this package noted under a name in a collection's metadata, where anybody may write; empty if it is no object."""
    note = (config.metadata or {}).get(name)
    return dict(note) if isinstance(note, Mapping) else {}


def quantization_of(config: models.CollectionConfig) -> str:
    """The kind of a collection's quantization: "none", "scalar", "binary", or one that this package does not make."""
    quantization = quantization_config_of(config)
    return _kind_of(quantization) if quantization else "none"


def quantization_config_of(config: models.CollectionConfig) -> models.QuantizationConfig | None:
    """How a collection is quantized: as its one dense vector says, or else as a whole."""
    vectors = config.params.vectors
    listed = list(vectors.values()) if isinstance(vectors, Mapping) else [vectors]
    own = listed[0].quantization_config if len(listed) == 1 and listed[0] else None
    return own or config.quantization_config


def _kind_of(quantization: models.QuantizationConfig) -> str:
    return next(iter(quantization.model_dump()))


def to_filter(
    filter: PlainFilter | None,
    *,
    indexed_only: bool = False,
    most: int | None = None,
    indexed: Callable[[], Collection[str]] = tuple,
) -> models.Filter | None:
    """A plain filter, checked before, as the client takes it.

    Args:
        filter: which points.
        indexed_only: whether the server refuses conditions that no index answers; those of a filter then go out as they are.
        most: conditions that the server takes, if that is bounded; a filter of more goes out in as few as mean the same.
        indexed: looks up the fields that have a payload index now, where that matters.
    """
    if filter is None:
        return None
    if indexed_only:
        return models.Filter.model_validate(apart(filter))
    wanted = exact(filter, null_in_lists=True)
    for brief in (False, True):
        if most is not None and number_of_conditions(wanted) > most:
            wanted = exact(filter, null_in_lists=True, indexed=indexed(), brief=brief)
    return models.Filter.model_validate(wanted)


def to_schema(kind: str, *, indexed_only: bool = False) -> models.PayloadSchemaType:
    """How a field is indexed: whole numbers as floats (see search.index.exact), unless the server would then refuse a match."""
    return models.PayloadSchemaType("float" if kind == "integer" and not indexed_only else kind)


def bytes_of(points: Sequence[Point]) -> int:
    """About how many bytes points have in a request."""
    words = sum(len(point.lexical.indices) for point in points if point.lexical is not None) * _BYTES_PER_WORD
    numbers = sum(len(point.vector) for point in points) * _BYTES_PER_NUMBER
    return numbers + words + sum(len(json.dumps(dict(point.payload))) for point in points)


def by_bytes(points: Sequence[Point], most: int | None = None, most_bytes: int = MOST_BYTES) -> Iterator[list[Point]]:
    """Points in requests of a size that servers take, of `most` points each where that is bounded."""
    batch: list[Point] = []
    room = most_bytes
    for point in points:
        size = bytes_of([point])
        if batch and (size > room or len(batch) == most):
            yield batch
            batch, room = [], most_bytes
        batch.append(point)
        room -= size
    if batch:
        yield batch
