"""What can be searched of a collection that another program filled? Which of its vectors, and where its passages lie.

Found by some of its points, the same ones each time: what a document is must not change from one process to the next.
"""

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import grpc
import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from search.errors import IndexMismatch, UnsupportedFilter
from search.index.contract import CollectionSpec, to_vector
from search.index.filters import to_plain
from search.index.layout import Layout, find_layout, without_field
from search.index.server.conversion import to_filter
from search.index.server.limits import Limits, limits_of
from search.network.deadlines import within
from search.settings import LayoutSettings

_FIRST, _FURTHER = 64, 8  # points that are looked at, from the beginning, and each time twice as far behind it
_NUMBERS, _UUIDS = 2**64, 2**128  # below which ids are
_BEGINNING = 8  # points, by which another collection is noticed behind its name
_ANEW = "choose another --collection, or have it filled anew with one vector a point that is compared by cosine"
_LOOKED_FOR_S = 2.0  # for a field that the settings name: without an index, a server reads all points
_UNIT = 0.01  # how far from 1 the length of a vector may be whose dot product is to be a cosine


class Wanted(NamedTuple):
    """What is known of it before it is looked at."""

    chosen: LayoutSettings
    section: str  # where the settings say so, for messages
    dimension: int
    noted: str = ""  # the layout that a copy was made by


def spec_and_layout(
    client: QdrantClient, target: str, config: models.CollectionConfig, wanted: Wanted
) -> tuple[CollectionSpec, Layout]:
    """The spec and the layout of such a collection; the spec's fingerprint is empty, since nothing tells the embedder.

    Its dimension chooses one of several vectors, where the settings do not.

    Raises:
        IndexMismatch: it cannot be searched by cosine similarity, or holds no text.
    """
    params = config.params.vectors
    vectors = params if isinstance(params, Mapping) else {"": params} if params else {}
    chosen, under = wanted.chosen, f"under {wanted.section} in search.toml"
    if not vectors:
        raise IndexMismatch(f"it has no dense vectors; {_ANEW}")
    remedy = f"say where its passages lie ({under}), or choose another --collection"
    try:
        name = _vector(vectors, chosen.vector, wanted.dimension)
    except IndexMismatch as error:
        raise IndexMismatch(f"{error}; {remedy}") from error
    vector = vectors[name]
    if problem := _unsearchable(name, vector):
        raise IndexMismatch(f"{problem}; {_ANEW}")
    counted = None if chosen.filter is None else _checked(chosen.filter, under)
    limits = limits_of(config)
    counting = to_filter(counted, indexed_only=limits.indexed_only, most=limits.conditions)
    sample = _sample(client, target, name, limits.page, counting)
    if not sample and counted is not None and client.scroll(target, limit=1, with_payload=False)[0]:
        raise IndexMismatch(f"the `filter` {under} excludes all of its points; it asks fields by the names that they have there")
    if vector.distance == models.Distance.DOT:
        lengths = [float(np.linalg.norm(one)) for point in sample if (one := named(point.vector, name)) is not None]
        if any(abs(length - 1) > _UNIT for length in lengths):
            raise IndexMismatch(f"its vectors are compared by dot product, and are not of length 1; {_ANEW}")
    payloads = [point.payload or {} for point in sample]
    try:
        layout = replace(find_layout(payloads, chosen, name, wanted.noted), filter=counted)
    except IndexMismatch as error:
        raise IndexMismatch(f"{error}; {remedy}") from error
    if payloads:
        _check_fields(client, target, layout, wanted, payloads)
    begins = _digest(sample[: _beginning(limits)], name)
    return CollectionSpec(vector.size, "", layout=str(layout), adopted=layout.noted, beginning=begins), layout


def beginning(client: QdrantClient, target: str, layout: Layout, limits: Limits) -> str:
    """`CollectionSpec.beginning` as it is by now."""
    counting = to_filter(layout.filter, indexed_only=limits.indexed_only, most=limits.conditions)
    vectors = [layout.vector] if layout.vector else True
    first, _ = client.scroll(target, counting, _beginning(limits), with_payload=True, with_vectors=vectors)
    return _digest(first, layout.vector)


def _beginning(limits: Limits) -> int:
    return min(_BEGINNING, limits.page)


def _digest(records: Sequence[models.Record], vector: str) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for record in records:
        digest.update(json.dumps([record.id, record.payload], sort_keys=True, default=str).encode("utf-8", "surrogatepass"))
        one = named(record.vector, vector)
        told = None if one is None else (int(one.argmax()), int(one.argmin()))  # digits may vary in the last ones
        digest.update(str(told).encode())
    return digest.hexdigest()


def _sample(client: QdrantClient, target: str, vector: str, page: int, filter: models.Filter | None) -> list[models.Record]:
    """Points from the beginning, which may all be of one document, and from ever further behind it: the same ones each time."""

    def read(offset: Any, number: int) -> tuple[list[models.Record], Any]:
        vectors = [vector] if vector else True
        return client.scroll(target, filter, min(number, page), offset=offset, with_payload=True, with_vectors=vectors)

    sample, more = read(None, _FIRST)
    while more is not None and (offset := _further([one.id for one in sample])) is not None:
        points, more = read(offset, _FURTHER)
        sample += points
    return sample


def _further(ids: Sequence[Any]) -> int | str | None:
    """An id behind those that were read, twice as far from the first of its kind; None behind the last that there may be."""
    kind = type(ids[-1])  # numbers come first, then UUIDs
    first, last = (
        one if isinstance(one, int) else uuid.UUID(one).int for one in (next(i for i in ids if type(i) is kind), ids[-1])
    )
    step = 1
    while first + step <= last:
        step *= 2
    if kind is int:
        return first + step if first + step < _NUMBERS else str(uuid.UUID(int=0))
    return str(uuid.UUID(int=first + step)) if first + step < _UUIDS else None


def _check_fields(client: QdrantClient, target: str, layout: Layout, wanted: Wanted, payloads: Sequence[Mapping[str, Any]]) -> None:
    """Refuse settings that name fields which no point has.

    Raises:
        IndexMismatch: they do; the message says which may be meant.
    """
    for lacking in without_field(layout, wanted.chosen, payloads):
        has = models.Filter(must_not=[models.IsEmptyCondition(is_empty=models.PayloadField(key=lacking.path))])
        try:
            with within(_LOOKED_FOR_S):
                there = lacking.elsewhere and client.scroll(target, has, limit=1, with_payload=False)[0]
        except (UnexpectedResponse, ResponseHandlingException, grpc.RpcError):  # as by strict mode, or after too long
            continue
        if not there:
            raise IndexMismatch(
                f"`{lacking.setting}` is {lacking.path}, and no point has {lacking.what}; mend it under {wanted.section} in "
                "search.toml, or leave it out"
            )


def named(vectors: Any, name: str) -> Any:
    """The vector of that name, of those that a server gave of a point; None if it has none."""
    return to_vector(vectors.get(name) if isinstance(vectors, Mapping) else None if name else vectors)


def _vector(vectors: Mapping[str, models.VectorParams], chosen: str | None, dimension: int) -> str:
    """The name of the vector that is searched: the one that the settings name, the only one, or the only one that fits."""
    fitting = [name for name, one in vectors.items() if one.size == dimension and not _unsearchable(name, one)]
    names = ", ".join(f"{name!r} ({params.size})" for name, params in vectors.items())
    if chosen is not None:
        if chosen not in vectors:
            raise IndexMismatch(f"it has no vector {chosen!r}; there are: {names}")
        return chosen
    if len(vectors) == 1:
        return next(iter(vectors))
    if len(fitting) != 1:
        raise IndexMismatch(f"it is not plain which of its vectors to search (there are, with their dimensions: {names})")
    return fitting[0]


def _unsearchable(name: str, vector: models.VectorParams) -> str:
    """Why a vector cannot be searched; empty if it can."""
    if vector.multivector_config is not None:
        return f"its vector {name!r} is a list of vectors, one for each token"
    if vector.distance not in {models.Distance.COSINE, models.Distance.DOT}:
        return f"its vectors are compared by {vector.distance.value} distance, not by cosine similarity"
    return ""


def _checked(filter: Mapping[str, Any], under: str) -> Mapping[str, Any]:
    try:
        return to_plain(filter, any_field=True)
    except UnsupportedFilter as error:
        raise IndexMismatch(f"its filter cannot be asked: {error}; mend `filter` {under}") from error
