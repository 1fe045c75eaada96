"""A Qdrant server or cluster, and qdrant-client's in-memory mode for tests: one collection of either."""

import contextlib
import ipaddress
import json
import ssl
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from search.errors import CollectionNotFound, IndexFailure, IndexMismatch, IndexRejected
from search.index import (
    KEYWORD_FIELDS,
    CollectionSpec,
    Match,
    PlainFilter,
    Point,
    Record,
    Vector,
    check_points,
    check_spec,
)
from search.index.server_errors import translate
from search.settings import StorageSettings

_PAGE = 256
_MAX_REQUEST_BYTES = 8_000_000  # the server takes 32 MB; smaller requests time out less
_CONFLICT = 409
_BYTES_PER_NUMBER = 22  # of a vector, written as JSON


_QUANTIZATIONS: dict[str, models.ScalarQuantization | models.BinaryQuantization | None] = {
    "none": None,
    "scalar": models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)),
    "binary": models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True)),
}


@dataclass(frozen=True)
class Sharding:
    """Over how many machines a collection is spread; None leaves it to the server."""

    shards: int | None = None
    replicas: int | None = None
    write_consistency: int | None = None


class QdrantIndex:
    """One collection, reached through a client that this object owns."""

    def __init__(
        self,
        client: QdrantClient,
        name: str,
        location: str,
        storage: StorageSettings | None = None,
        sharding: Sharding | None = None,
    ) -> None:
        """Keep the names; `storage` and `sharding` say how the collection is kept if it is made."""
        self.name = name
        self._storage = storage or StorageSettings()
        self._sharding = sharding or Sharding()
        self.location = location
        self._client = client

    def ensure(self, spec: CollectionSpec, *, create: bool) -> None:
        """Open the collection, making it if asked to.

        Raises:
            CollectionNotFound: it does not exist and is not to be made.
            IndexMismatch: it was made for another spec, or not by this package.
        """
        with self._translated():
            if not self._client.collection_exists(self.name):
                if not create:
                    message = f"there is no collection {self.name!r} at {self.location}; `search ingest` makes one"
                    raise CollectionNotFound(message)
                self._create(spec)
            if create:
                self._create_payload_indexes()  # again, lest a creation was interrupted before them
            stored = self._client.get_collection(self.name).config
        metadata = stored.metadata or {}
        if "fingerprint" not in metadata or not isinstance(stored.params.vectors, models.VectorParams):
            message = f"collection {self.name!r} at {self.location} was not made by this package; choose another --collection"
            raise IndexMismatch(message)
        check_spec(self.name, CollectionSpec(stored.params.vectors.size, metadata["fingerprint"]), spec)

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points, replacing those with the same id, in requests the server takes."""
        check_points(points)
        for batch in _by_bytes(points):
            converted = [models.PointStruct(id=p.id, vector=p.vector.tolist(), payload=dict(p.payload)) for p in batch]
            with self._translated():
                self._client.upsert(self.name, converted, wait=True)

    def query(self, vector: Vector, limit: int, filter: PlainFilter | None = None) -> list[Match]:
        """The `limit` closest points that pass the filter, closest first."""
        with self._translated():
            answer = self._client.query_points(
                self.name,
                query=vector.tolist(),
                limit=limit,
                query_filter=_to_model(filter),
                with_payload=True,
                search_params=self._params,
            )
        return [Match(str(point.id), point.score, point.payload or {}) for point in answer.points]

    def delete(self, *, ids: Sequence[str] = (), filter: PlainFilter | None = None) -> None:
        """Remove points by id, or all that pass a filter."""
        with self._translated():
            if ids:
                self._client.delete(self.name, models.PointIdsList(points=list(ids)), wait=True)
            if filter is not None:
                self._client.delete(self.name, models.FilterSelector(filter=models.Filter.model_validate(filter)), wait=True)

    def scroll(self, filter: PlainFilter | None = None, fields: Sequence[str] | None = None) -> Iterator[Record]:
        """Every point that passes the filter, with the named payload fields or all of them."""
        offset = None
        wanted: bool | list[str] = True if fields is None else list(fields)
        while True:
            with self._translated():
                records, offset = self._client.scroll(self.name, _to_model(filter), _PAGE, offset=offset, with_payload=wanted)
            yield from (Record(str(record.id), record.payload or {}) for record in records)
            if offset is None:
                return

    def count(self, filter: PlainFilter | None = None) -> int:
        """How many points pass the filter."""
        with self._translated():
            return self._client.count(self.name, count_filter=_to_model(filter), exact=True).count

    def optimize(self) -> None:
        """Nothing to ask for: the server optimizes by itself."""

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @property
    def _params(self) -> models.SearchParams | None:
        if self._storage.quantization == "none":
            return None
        rescored = models.QuantizationSearchParams(rescore=True, oversampling=self._storage.oversampling)
        return models.SearchParams(quantization=rescored)

    def _create(self, spec: CollectionSpec) -> None:
        storage = self._storage
        vectors = models.VectorParams(size=spec.dimension, distance=models.Distance.COSINE, on_disk=storage.on_disk)
        try:
            self._client.create_collection(
                self.name,
                vectors,
                metadata={"fingerprint": spec.fingerprint},
                on_disk_payload=storage.on_disk_payload,
                hnsw_config=models.HnswConfigDiff(m=storage.hnsw_m, ef_construct=storage.hnsw_ef_construct),
                quantization_config=_QUANTIZATIONS[storage.quantization],
                shard_number=self._sharding.shards,
                replication_factor=self._sharding.replicas,
                write_consistency_factor=self._sharding.write_consistency,
            )
        except UnexpectedResponse as error:
            if error.status_code != _CONFLICT:  # another process was quicker; what it made is compared next
                raise

    def _create_payload_indexes(self) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Payload indexes have no effect in the local Qdrant", UserWarning)
            for field, kind in {**dict.fromkeys(KEYWORD_FIELDS, "keyword"), **self._storage.payload_indexes}.items():
                self._client.create_payload_index(self.name, field, models.PayloadSchemaType(kind))

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except IndexFailure:
            raise
        except Exception as error:
            raise translate(error, f"the Qdrant server at {self.location}") from error


def connect(
    url: str, *, api_key: str | None = None, grpc_port: int | None = None, timeout_s: int = 10, ca_file: Path | None = None
) -> QdrantClient:
    """Make a client; nothing is sent yet.

    Args:
        url: http:// or https://, with a port unless it is 6333.
        api_key: sent with every request.
        grpc_port: speak gRPC for points at this port; None for REST.
        timeout_s: seconds until a request counts as lost.
        ca_file: PEM file of a private certificate authority.

    Raises:
        IndexRejected: the URL or the certificate file cannot be used.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        message = f"{url!r} is not the URL of a Qdrant server; write it like http://127.0.0.1:6333"
        raise IndexRejected(message)
    if ca_file and grpc_port:
        message = "a private certificate authority works over REST only; leave out ca_file or grpc"
        raise IndexRejected(message)
    try:
        verify = ssl.create_default_context(cafile=str(ca_file)) if ca_file else True
    except OSError as error:
        message = f"the certificate authority in {ca_file} cannot be read: {error}"
        raise IndexRejected(message) from error
    with warnings.catch_warnings():
        if _is_loopback(parts.hostname):  # a key that never leaves this machine needs no warning
            warnings.filterwarnings("ignore", "Api key is used with an insecure connection", UserWarning)
        return QdrantClient(
            url=url,
            api_key=api_key,
            prefer_grpc=grpc_port is not None,
            grpc_port=grpc_port or 6334,
            timeout=timeout_s,
            check_compatibility=False,  # it would ask the server now; `search doctor` does
            limits=httpx.Limits(max_keepalive_connections=8),  # without it the client keeps no connection to localhost
            verify=verify,
        )


def in_memory() -> QdrantClient:
    """qdrant-client's own engine: exact, slow, and gone with the process."""
    return QdrantClient(":memory:")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _to_model(filter: PlainFilter | None) -> models.Filter | None:
    return None if filter is None else models.Filter.model_validate(filter)


def _by_bytes(points: Sequence[Point]) -> Iterator[list[Point]]:
    batch: list[Point] = []
    room = _MAX_REQUEST_BYTES
    for point in points:
        size = len(point.vector) * _BYTES_PER_NUMBER + len(json.dumps(dict(point.payload)))
        if batch and size > room:
            yield batch
            batch, room = [], _MAX_REQUEST_BYTES
        batch.append(point)
        room -= size
    if batch:
        yield batch
