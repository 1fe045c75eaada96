"""How does a program search a running service? With the values and errors of the library, at once or with await.

from search.client import AsyncClient, Client

with Client("http://127.0.0.1:8000", key="sk_…") as client:
result = client.search("Where do cats sleep?", limit=5)
"""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar
from urllib.parse import quote

import httpx

from search import errors
from search.addresses import apart, checked_key, without_secrets
from search.documents import Document, Hit, Json, Rejection, SearchResult, check_strings, half_surrogate
from search.errors import InvalidQuery, SearchError, ServiceOverloaded, ServiceRefused, ServiceUnreachable
from search.ingestion.report import IngestReport

Value = TypeVar("Value")
Filter = Mapping[str, Any]

_TIMEOUT_S = 60.0
_OVERLOADED = 429
_FIELDS = ("id", "text", "title", "metadata", "media_type", "modified")


class _Call(NamedTuple, Generic[Value]):
    """A request, and what its answer is read as."""

    method: str
    path: str
    body: Mapping[str, Any] | None
    read: Callable[[Any], Value]

    @property
    def content(self) -> bytes | None:
        """The body in JSON.

        Raises:
            InvalidQuery: JSON cannot hold it.
        """
        if self.body is None:
            return None
        try:
            return json.dumps(self.body, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as error:  # of a kind that JSON has not, NaN, half of a surrogate pair
            place = half_surrogate(self.body)
            reason = str(error) if place is None else f"{place} holds half of a surrogate pair"
            message = f"this cannot be sent as JSON ({reason}); use strings, finite numbers, booleans, None, lists and dicts"
            raise InvalidQuery(message) from error


class _Calls:
    """What can be asked, and how the answers are read."""

    def __init__(self, collection: str | None) -> None:
        self._collection = collection

    def search(self, query: str, **options: Any) -> _Call[SearchResult]:
        return _Call("POST", "/v1/search", self._body(query=query, **options), _result)

    def search_many(self, queries: Sequence[str], **options: Any) -> _Call[list[SearchResult | SearchError]]:
        searches = [self._body(query=query, **options) for query in check_strings(queries, "queries", "queries")]
        return _Call("POST", "/v1/search/batch", {"searches": searches}, _results)

    def ingest(self, documents: Sequence[Document], *, dry_run: bool) -> _Call[IngestReport]:
        given = [{name: getattr(document, name) for name in _FIELDS} for document in documents]
        return _Call("POST", "/v1/documents", self._body(documents=given, dry_run=dry_run), _report)

    def update(
        self, metadata: Mapping[str, Json], ids: Sequence[str], filter: Filter | None, *, dry_run: bool
    ) -> _Call[IngestReport]:
        named = {"ids": check_strings(ids, "ids", "document ids"), "filter": filter, "dry_run": dry_run}
        return _Call("PATCH", "/v1/documents", self._body(metadata=metadata) | self._body(**named), _report)

    def delete(self, ids: Sequence[str], filter: Filter | None, *, dry_run: bool) -> _Call[int]:
        body = self._body(ids=check_strings(ids, "ids", "document ids"), filter=filter, dry_run=dry_run)
        return _Call("POST", "/v1/documents/delete", body, lambda told: int(told["removed"]))

    def get(self, document_id: str) -> _Call[Document]:
        where = "" if self._collection is None else f"?collection={quote(self._collection, safe='')}"
        return _Call("GET", f"/v1/documents/{quote(document_id, safe='')}{where}", None, functools.partial(_document, document_id))

    def count(self, filter: Filter | None) -> _Call[int]:
        return _Call("POST", "/v1/documents/count", self._body(filter=filter), lambda told: int(told["passages"]))

    def rerank(self, query: str, texts: Sequence[str], *, raw: bool) -> _Call[list[float]]:
        given = check_strings(texts, "texts", "texts")

        def read(told: Any) -> list[float]:
            scores = {one["index"]: float(one["score"]) for one in told}
            return [scores[i] for i in range(len(given))]

        return _Call("POST", "/rerank", {"query": query, "texts": given, "raw_scores": raw}, read)

    def _body(self, **fields: Any) -> dict[str, Any]:
        known = fields if self._collection is None else {**fields, "collection": self._collection}
        return {name: value for name, value in known.items() if value is not None}


class Client:
    """Asks a service, one request after the other or from several threads. Use it as a context manager, or close it."""

    def __init__(self, url: str, *, key: str | None = None, collection: str | None = None, timeout_s: float = _TIMEOUT_S) -> None:
        """Keep where it is; nothing is asked yet.

        Args:
            url: of the service, such as http://127.0.0.1:8000.
            key: if it asks for one.
            collection: None for the one that the service names.
            timeout_s: seconds until a request counts as lost.
        """
        self._calls = _Calls(collection)
        self._http = httpx.Client(**_where(url), headers=_headers(key), timeout=timeout_s)

    def search(self, query: str, **options: Any) -> SearchResult:
        """Answer a query.

        Args:
            query: what to look for.
            options: limit, depth, filter, group_by, min_score, budget_ms, rerank, as in Searcher.search.

        Raises:
            InvalidQuery: as in the library, like the other errors of this package.
            ServiceOverloaded: too much to do; `retry_after_s` says when to come again.
            ServiceUnreachable: no answer.
            ServiceRefused: anything else, such as a key that may not.
        """
        return self._sent(self._calls.search(query, **options))

    def search_many(self, queries: Sequence[str], **options: Any) -> list[SearchResult | SearchError]:
        """Answer several queries in one request; an error stands in the place of an answer that cannot be given. See `search`."""
        return self._sent(self._calls.search_many(queries, **options))

    def ingest(self, documents: Sequence[Document], *, dry_run: bool = False) -> IngestReport:
        """Add documents, replace changed ones, leave unchanged ones alone; some hundreds in one call. For errors see `search`."""
        return self._sent(self._calls.ingest(documents, dry_run=dry_run))

    def update(
        self, metadata: Mapping[str, Json], *, ids: Sequence[str] = (), filter: Filter | None = None, dry_run: bool = False
    ) -> IngestReport:
        """Change the metadata of documents; see Searcher.update, and `search` for errors."""
        return self._sent(self._calls.update(metadata, ids, filter, dry_run=dry_run))

    def delete(self, *, ids: Sequence[str] = (), filter: Filter | None = None, dry_run: bool = False) -> int:
        """Remove documents; how many there were. See Searcher.delete, and `search` for errors."""
        return self._sent(self._calls.delete(ids, filter, dry_run=dry_run))

    def get(self, document_id: str) -> Document:
        """A document as it came; ServiceRefused if there is none."""
        return self._sent(self._calls.get(document_id))

    def count(self, filter: Filter | None = None) -> int:
        """How many passages pass a filter, or there are."""
        return self._sent(self._calls.count(filter))

    def rerank(self, query: str, texts: Sequence[str], *, raw: bool = False) -> list[float]:
        """Score texts, in their order: probabilities, or the reranker's own scores."""
        return self._sent(self._calls.rerank(query, texts, raw=raw))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _sent(self, call: _Call[Value]) -> Value:
        try:
            return _read(call, self._http.request(call.method, call.path, content=call.content))
        except httpx.TransportError as error:
            raise _unreachable(self._http.base_url, error) from error


class AsyncClient:
    """The same with await."""

    def __init__(self, url: str, *, key: str | None = None, collection: str | None = None, timeout_s: float = _TIMEOUT_S) -> None:
        """See Client."""
        self._calls = _Calls(collection)
        self._http = httpx.AsyncClient(**_where(url), headers=_headers(key), timeout=timeout_s)

    async def search(self, query: str, **options: Any) -> SearchResult:
        """See Client, as for all below."""
        return await self._sent(self._calls.search(query, **options))

    async def search_many(self, queries: Sequence[str], **options: Any) -> list[SearchResult | SearchError]:
        """Answer several queries in one request."""
        return await self._sent(self._calls.search_many(queries, **options))

    async def ingest(self, documents: Sequence[Document], *, dry_run: bool = False) -> IngestReport:
        """Add or replace documents."""
        return await self._sent(self._calls.ingest(documents, dry_run=dry_run))

    async def update(
        self, metadata: Mapping[str, Json], *, ids: Sequence[str] = (), filter: Filter | None = None, dry_run: bool = False
    ) -> IngestReport:
        """Change the metadata of documents."""
        return await self._sent(self._calls.update(metadata, ids, filter, dry_run=dry_run))

    async def delete(self, *, ids: Sequence[str] = (), filter: Filter | None = None, dry_run: bool = False) -> int:
        """Remove documents."""
        return await self._sent(self._calls.delete(ids, filter, dry_run=dry_run))

    async def get(self, document_id: str) -> Document:
        """A document as it came."""
        return await self._sent(self._calls.get(document_id))

    async def count(self, filter: Filter | None = None) -> int:
        """How many passages pass a filter, or there are."""
        return await self._sent(self._calls.count(filter))

    async def rerank(self, query: str, texts: Sequence[str], *, raw: bool = False) -> list[float]:
        """Score texts."""
        return await self._sent(self._calls.rerank(query, texts, raw=raw))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def _sent(self, call: _Call[Value]) -> Value:
        try:
            return _read(call, await self._http.request(call.method, call.path, content=call.content))
        except httpx.TransportError as error:
            raise _unreachable(self._http.base_url, error) from error


def _where(url: str) -> dict[str, Any]:
    """User and password apart from the URL, which is logged and shown."""
    base_url, credentials = apart(url)
    return {"base_url": base_url, "auth": credentials}


def _headers(key: str | None) -> dict[str, str]:
    credentials = {"Authorization": f"Bearer {checked_key(key, 'the key')}"} if key else {}
    return {"Content-Type": "application/json"} | credentials


def _read(call: _Call[Value], answer: httpx.Response) -> Value:
    if answer.is_success:
        return call.read(answer.json())
    try:
        told = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        told = f"HTTP {answer.status_code}"
    if isinstance(told, str):  # of /rerank
        told = {"type": "", "message": told}
    wait = answer.headers.get("Retry-After", "")
    raise _error(answer.status_code, told, int(wait) if wait.isdecimal() else 1)


def _error(status: int, told: Mapping[str, Any], retry_after_s: int = 1) -> SearchError:
    """The error that the service met, where it is one of this package."""
    if status == _OVERLOADED:
        return ServiceOverloaded(told["message"], retry_after_s)
    kind = getattr(errors, str(told["type"]), None)
    if isinstance(kind, type) and issubclass(kind, SearchError):
        try:
            return kind(told["message"])
        except TypeError:  # it needs to know more
            pass
    return ServiceRefused(told["message"])


def _unreachable(url: httpx.URL, error: httpx.TransportError) -> ServiceUnreachable:
    where, why = without_secrets(str(url)), str(error) or type(error).__name__
    return ServiceUnreachable(f"the service at {where} does not answer ({why}): is `search serve` running there?")


def _result(told: Mapping[str, Any]) -> SearchResult:
    known = {field.name for field in dataclasses.fields(Hit)}
    hits = tuple(Hit(**{name: _frozen(value) for name, value in hit.items() if name in known}) for hit in told["hits"])
    fields = {field.name: told[field.name] for field in dataclasses.fields(SearchResult)}
    return SearchResult(**{**fields, "hits": hits, "warnings": tuple(told["warnings"])})


def _frozen(value: Json) -> Json:
    return tuple(value) if isinstance(value, list) else value


def _results(told: Mapping[str, Any]) -> list[SearchResult | SearchError]:
    return [_error(0, one["error"]) if "error" in one else _result(one) for one in told["results"]]


def _document(document_id: str, told: Mapping[str, Any]) -> Document:
    if told.get("id") != document_id:  # "." and ".." name no document in an address
        message = f"the service cannot be asked for the document {document_id!r} by its id"
        raise ServiceRefused(message)
    return Document(**told)


def _report(told: Mapping[str, Any]) -> IngestReport:
    rejections = tuple(Rejection(**one) for one in told["rejections"])
    return IngestReport(**{**told, "rejections": rejections})
