"""A Qdrant server or cluster, and qdrant-client's in-memory mode for tests: one collection of either."""

import contextlib
import ipaddress
import json
import ssl
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import httpx
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from search.errors import (
    CollectionNotFound,
    IndexDenied,
    IndexFailure,
    IndexFaulted,
    IndexMismatch,
    IndexOverloaded,
    IndexRejected,
    IndexTimeout,
    IndexUnreachable,
)
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

_PAGE = 256
_MAX_REQUEST_BYTES = 8_000_000  # the server takes 32 MB; smaller requests time out less
_CONFLICT = 409
_SERVER_ERROR = 500
_BYTES_PER_NUMBER = 22  # of a vector, written as JSON


class QdrantIndex:
    """One collection, reached through a client that this object owns."""

    def __init__(self, client: QdrantClient, name: str, location: str) -> None:
        self.name = name
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
                self.name, query=vector.tolist(), limit=limit, query_filter=_to_model(filter), with_payload=True
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

    def _create(self, spec: CollectionSpec) -> None:
        vectors = models.VectorParams(size=spec.dimension, distance=models.Distance.COSINE)
        try:
            self._client.create_collection(self.name, vectors, metadata={"fingerprint": spec.fingerprint})
        except UnexpectedResponse as error:
            if error.status_code != _CONFLICT:  # another process was quicker; what it made is compared next
                raise

    def _create_payload_indexes(self) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Payload indexes have no effect in the local Qdrant", UserWarning)
            for field in KEYWORD_FIELDS:
                self._client.create_payload_index(self.name, field, models.PayloadSchemaType.KEYWORD)

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


def translate(error: Exception, server: str) -> IndexFailure:
    """Say in this package's terms what went wrong. Covers every exception the client raises; a test holds it to that."""
    match error:
        case ResourceExhaustedResponse():
            return _overloaded(server, float(error.retry_after_s))
        case UnexpectedResponse():
            return _from_status(error.status_code or 0, _detail(error), server)
        case ResponseHandlingException():
            return _from_source(error.source, server)
        case json.JSONDecodeError():
            return _from_source(error, server)
        case grpc.RpcError():
            return _from_grpc(error, server)
        case _:
            return IndexRejected(f"{server} cannot do that: {error}")


def _from_status(status: int, detail: str, server: str) -> IndexFailure:
    match status:
        case 401 | 403:
            return IndexDenied(f"{server} did not accept the API key; set SEARCH_INDEX__API_KEY")
        case 404:
            return CollectionNotFound(f"{server} knows no such collection: {detail}")
        case 408 | 504:
            return IndexTimeout(f"{server} took too long; raise SEARCH_INDEX__TIMEOUT_S or try again")
        case 429:
            return _overloaded(server, None)
        case 502 | 503:
            return IndexUnreachable(f"{server} is not ready ({status}); try again")
        case _ if status >= _SERVER_ERROR:
            return IndexFaulted(f"{server} failed on the request ({status}): {detail}; try again, and look into its log")
        case _:
            return IndexRejected(f"{server} refused the request ({status}): {detail}")


def _from_source(source: Exception, server: str) -> IndexFailure:
    if isinstance(source, httpx.TimeoutException):
        return IndexTimeout(f"{server} did not answer in time; raise SEARCH_INDEX__TIMEOUT_S or try again")
    if isinstance(source, (httpx.TransportError, OSError)):
        return IndexUnreachable(f"{server} cannot be reached ({source}); is it running, and is SEARCH_INDEX__URL right?")
    return IndexRejected(f"{server} gave an answer that is not Qdrant's ({type(source).__name__}); is SEARCH_INDEX__URL right?")


def _from_grpc(error: grpc.RpcError, server: str) -> IndexFailure:
    code = error.code() if isinstance(error, grpc.Call) else None
    detail = error.details() if isinstance(error, grpc.Call) else str(error)
    match code:
        case grpc.StatusCode.UNAUTHENTICATED | grpc.StatusCode.PERMISSION_DENIED:
            return _from_status(401, detail, server)
        case grpc.StatusCode.NOT_FOUND:
            return _from_status(404, detail, server)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return _from_status(504, detail, server)
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return _overloaded(server, None)
        case grpc.StatusCode.UNAVAILABLE:
            return IndexUnreachable(f"{server} cannot be reached over gRPC ({detail}); is SEARCH_INDEX__GRPC_PORT right?")
        case _:
            return IndexRejected(f"{server} refused the request: {detail}")


def _overloaded(server: str, retry_after_s: float | None) -> IndexOverloaded:
    wait = "later" if retry_after_s is None else f"in {retry_after_s:g} s"
    return IndexOverloaded(f"{server} asks for fewer requests; try again {wait}", retry_after_s)


def _detail(error: UnexpectedResponse) -> str:
    try:
        status = json.loads(error.content)["status"]
        return str(status.get("error", status) if isinstance(status, dict) else status)
    except (ValueError, KeyError, TypeError):
        return error.reason_phrase or "no reason given"


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
