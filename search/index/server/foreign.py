"""What can be searched of a collection that another program filled? Which of its vectors, and where its passages lie."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models

from search.errors import IndexMismatch, UnsupportedFilter
from search.index.contract import CollectionSpec, to_vector
from search.index.filters import to_plain
from search.index.layout import SAMPLED, Layout, find_layout
from search.index.server.limits import limits_of
from search.settings import LayoutSettings

_UNIT = 0.01  # how far from 1 the length of a vector may be whose dot product is to be a cosine


def described(
    client: QdrantClient, target: str, config: models.CollectionConfig, chosen: LayoutSettings, dimension: int
) -> tuple[CollectionSpec, Layout]:
    """The spec and the layout of such a collection; the spec's fingerprint is empty, since nothing tells the embedder.

    Its dimension chooses one of several vectors, where the settings do not.

    Raises:
        IndexMismatch: it cannot be searched by cosine similarity, or holds no text; the message ends without the remedy.
    """
    params = config.params.vectors
    vectors = params if isinstance(params, Mapping) else {"": params} if params else {}
    name = _vector(vectors, chosen.vector, dimension)
    vector = vectors[name]
    if vector.multivector_config is not None:
        raise IndexMismatch(f"its vector {name!r} is a list of vectors, one for each token")
    if vector.distance not in {models.Distance.COSINE, models.Distance.DOT}:
        raise IndexMismatch(f"its vectors are compared by {vector.distance.value} distance, not by cosine similarity")
    sample = _sample(client, target, name, limits_of(config).page)
    if vector.distance == models.Distance.DOT:
        lengths = [float(np.linalg.norm(one)) for point in sample if (one := named(point.vector, name)) is not None]
        if any(abs(length - 1) > _UNIT for length in lengths):
            raise IndexMismatch("its vectors are compared by dot product, and are not of length 1")
    layout = find_layout([point.payload or {} for point in sample], chosen, name)
    if chosen.filter is not None:
        layout = replace(layout, filter=_checked(chosen.filter))
    return CollectionSpec(vector.size, "", layout=str(layout), adopted=layout.of_documents), layout


def _sample(client: QdrantClient, target: str, vector: str, page: int) -> list[models.Record | models.ScoredPoint]:
    """Points from the beginning, which may all be of one document, and, where there are more, from all over."""
    number, vectors = min(SAMPLED, page), [vector] if vector else True
    sample: dict[Any, models.Record | models.ScoredPoint] = {}
    first, more = client.scroll(target, limit=number, with_payload=True, with_vectors=vectors)
    sample |= {point.id: point for point in first}
    anywhere = models.QueryRequest(
        query=models.SampleQuery(sample=models.Sample.RANDOM), limit=number, with_payload=True, with_vector=vectors
    )
    for _ in range(0 if more is None else math.ceil(SAMPLED / number)):
        (answer,) = client.query_batch_points(target, [anywhere])
        sample |= {point.id: point for point in answer.points}
    return list(sample.values())


def named(vectors: Any, name: str) -> Any:
    """The vector of that name, of those that a server gave of a point; None if it has none."""
    return to_vector(vectors.get(name) if isinstance(vectors, Mapping) else None if name else vectors)


def _vector(vectors: Mapping[str, models.VectorParams], chosen: str | None, dimension: int) -> str:
    """The name of the vector that is searched: the one that the settings name, the only one, or the only one that fits."""
    fitting = [name for name, params in vectors.items() if params.size == dimension]
    names = ", ".join(f"{name!r} ({params.size})" for name, params in vectors.items()) or "none"
    if chosen is not None:
        if chosen not in vectors:
            raise IndexMismatch(f"it has no vector {chosen!r}; there are: {names}")
        return chosen
    if len(vectors) == 1:
        return next(iter(vectors))
    if len(fitting) != 1:
        raise IndexMismatch(f"it is not plain which of its vectors to search (there are, with their dimensions: {names})")
    return fitting[0]


def _checked(filter: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return to_plain(filter, any_field=True)
    except UnsupportedFilter as error:
        raise IndexMismatch(f"its filter cannot be asked: {error}") from error
