"""How does a program search a running service? With the values and errors of the library, at once or with await.

    from search.client import Client

    with Client("http://127.0.0.1:8000") as client:
        result = client.search("Where do cats sleep?", limit=5)

For a service with keys, pass one as `key`; `AsyncClient` has the same methods, to be awaited.
"""

import dataclasses
import functools
import inspect
import json
import math
import operator
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from numbers import Real
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Self, TypeAlias, TypeVar, Union, Unpack
from urllib.parse import quote

import anyio
import anyio.lowlevel
import httpx

from search import errors
from search.documents import (
    Document,
    Hit,
    Json,
    Number,
    Rejection,
    SearchResult,
    check_flags,
    check_query,
    check_strings,
    checked_ids,
    counted,
    first_where,
    half_surrogate,
)
from search.errors import (
    InvalidInput,
    InvalidQuery,
    InvalidSettings,
    SearchError,
    ServiceOverloaded,
    ServiceRefused,
    ServiceUnreachable,
)
from search.index.filters import to_plain
from search.ingestion.report import IngestReport, OnChange, OnProgress, OnRejection, Remark
from search.ingestion.sending import TOO_LARGE, Sending
from search.network.addresses import checked_key, read_address, without_secrets
from search.network.transport import Clock, by_proxy, watch_client
from search.query.options import Choices, SearchOptions
from search.settings.sections import checked_tenant
from search.system.forks import abandon, watch

if TYPE_CHECKING:
    from qdrant_client import models

Value = TypeVar("Value")
Http = TypeVar("Http", httpx.Client, httpx.AsyncClient)
Filter: TypeAlias = Union["models.Filter", Mapping[str, Any], str]
Attempt: TypeAlias = Callable[[Callable[[], Any]], Any]

_TIMEOUT_S = 60.0
_ANSWER_MB = 100.0
_MEGABYTE = 1_000_000
_OVERLOADED = 429
_UNFIT = 422
_ELSEWHERE = range(300, 400)
_LONGEST_WAIT_S = 3600
_MOST = 1e9  # seconds, which sockets take, or megabytes
_FAILURES = (httpx.HTTPError, httpx.InvalidURL, UnicodeError)  # UnicodeError: a host that no name server could know
_CLOSED = "this client is closed; make another"
_FIELDS = ("id", "text", "title", "metadata", "media_type", "modified")
_OPTIONS = tuple(field.name for field in dataclasses.fields(SearchOptions))


class Scores(list[float]):
    """Scores of texts, in the order of the texts.

    Attributes:
        warnings: what the reranker did not read: the end of the query, or of texts, or what has no word that it knows.
    """

    warnings: tuple[str, ...] = ()


class _Call(NamedTuple, Generic[Value]):
    """An HTTP request, and the functions that read the body of its response, and add what its headers say."""

    method: str
    path: str
    body: Mapping[str, Any] | None
    read: Callable[[Any], Value]
    add_headers: Callable[[Value, Mapping[str, str]], None] = lambda value, headers: None  # noqa: ARG005  # most say nothing more


def _known(value: Value) -> _Call[Value]:
    """The answer to what needs no request."""
    return _Call("", "", None, lambda _: value)


class _Calls:
    """The requests of both clients, checked as the library checks them, and how the bodies of their responses are read."""

    def __init__(self, collection: str | None) -> None:
        self._collection = collection

    def search(self, query: str, **options: Unpack[Choices]) -> _Call[SearchResult]:
        chosen = _chosen(options)
        check_query(query)
        return _Call("POST", "/v1/search", self._body(query=query, **chosen), _result)

    def search_many(self, queries: Sequence[str], **options: Unpack[Choices]) -> _Call[list[SearchResult | SearchError]]:
        chosen = _chosen(options)
        searches = [self._body(query=query, **chosen) for query in check_strings(queries, "queries", "queries")]
        if not searches:
            return _known([])
        return _Call("POST", "/v1/search/batch", {"searches": searches}, _results)

    def ingest(self, documents: Sequence[Document], *, dry_run: bool) -> _Call[IngestReport]:
        fields = [{name: getattr(document, name) for name in _FIELDS} for document in documents]
        return _Call("POST", "/v1/documents", self._body(documents=fields, dry_run=dry_run), _report)

    def update(
        self, metadata: Mapping[str, Json], ids: Sequence[str], filter: Filter | None, *, dry_run: bool
    ) -> _Call[IngestReport]:
        check_flags(dry_run=dry_run)
        named = {"ids": checked_ids(ids, filter), "filter": _plain(filter), "dry_run": dry_run}
        return _Call("PATCH", "/v1/documents", self._body(metadata=metadata) | self._body(**named), _report)

    def delete(self, ids: Sequence[str], filter: Filter | None, *, dry_run: bool, on_change: OnChange | None) -> _Call[Number]:
        check_flags(dry_run=dry_run)
        checked = checked_ids(ids, filter)
        named = [one for one in checked if one]  # no document has an empty id, and no service takes one
        if checked and not named:
            return _known(Number())
        selection = self._body(ids=named, filter=_plain(filter), dry_run=dry_run)

        def read(body: Any) -> Number:
            if on_change:
                for document_id in body["document_ids"]:
                    on_change("removed", str(document_id))
            return _count(body, "removed")

        return _Call("POST", "/v1/documents/delete", selection, read)

    def get(self, document_id: str) -> _Call[Document]:
        check_strings([document_id], "document_id", "ids")
        where = "" if self._collection is None else f"?collection={_in_url(self._collection)}"
        return _Call("GET", f"/v1/documents/{_in_url(document_id)}{where}", None, functools.partial(_document, document_id))

    def count(self, filter: Filter | None) -> _Call[Number]:
        return _Call("POST", "/v1/documents/count", self._body(filter=_plain(filter)), lambda body: _count(body, "passages"))

    def rerank(self, query: str, texts: Sequence[str], *, raw: bool) -> _Call[Scores]:
        check_flags(raw=raw)
        check_query(query)
        checked = check_strings(texts, "texts", "texts")
        if not checked:
            raise InvalidQuery("there is nothing to rank; give at least one text")

        def read(body: Any) -> Scores:
            scores = {one["index"]: float(one["score"]) for one in body}
            return Scores(scores[i] for i in range(len(checked)))

        def add_headers(scores: Scores, headers: Mapping[str, str]) -> None:
            if int(headers.get("x-truncated-queries", 0)):
                scores.warnings += ("the query is longer than what the reranker reads of it",)
            if cut := int(headers.get("x-truncated-texts", 0)):
                verb = "was" if cut == 1 else "were"
                scores.warnings += (f"{cut:,} of {counted(len(checked), 'text')} {verb} longer than the model's window",)
            if int(headers.get("x-unread-queries", 0)):
                scores.warnings += ("the reranker knows no word of the query, so its scores say little",)
            if unread := int(headers.get("x-unread-texts", 0)):
                verb = "holds" if unread == 1 else "hold"
                scores.warnings += (f"{unread:,} of {counted(len(checked), 'text')} {verb} no word that the reranker knows",)

        return _Call("POST", "/rerank", {"query": query, "texts": checked, "raw_scores": raw}, read, add_headers)

    def named(self) -> _Call[str]:
        """The name of the collection, which the service has where none was given."""
        if self._collection is not None:
            return _known(self._collection)
        return _Call("GET", "/v1/collections", None, lambda body: str(body["default"]))

    def facets(self, name: str) -> _Call[dict[str, Any]]:
        return _Call("GET", f"/v1/collections/{_in_url(name)}/facets", None, dict)

    def _body(self, **fields: Any) -> dict[str, Any]:
        known = fields if self._collection is None else {**fields, "collection": self._collection}
        return {name: value for name, value in known.items() if value is not None}


class _Connected(ABC, Generic[Http]):
    """What both clients keep: the address, and connections to it."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        collection: str | None = None,
        tenant: str | None = None,
        timeout_s: float = _TIMEOUT_S,
        max_answer_mb: float = _ANSWER_MB,
    ) -> None:
        """Keep the address; no request is sent yet.

        Args:
            url: of the service, such as http://127.0.0.1:8000.
            key: if the service needs one.
            collection: None for the one that the service names.
            tenant: whose documents are meant, where several customers share them and the key does not say it.
            timeout_s: seconds until a request counts as lost, from the first byte that is sent to the last one of the answer.
            max_answer_mb: megabytes of the largest answer that is read.

        Raises:
            InvalidSettings: the URL is none, the key cannot stand in a header, no tenant is called so, or a number is none.
        """
        self._calls = _Calls(collection)
        self._service = _Service(url, key, tenant, timeout_s, max_answer_mb)
        self._http: Http = self._connected()
        watch(self)

    def after_fork(self) -> None:
        """Connect anew in a forked child: two processes on one connection would read each other's answers."""
        abandon(self._http)
        self._http = self._connected()

    @abstractmethod
    def _connected(self) -> Http: ...


class Client(_Connected[httpx.Client]):
    """Asks a service, one request after the other or from several threads. Use it as a context manager, or close it."""

    def _connected(self) -> httpx.Client:
        self._clock = Clock()
        with by_proxy(InvalidSettings):
            http = httpx.Client(**self._service.options)
        watch_client(self._clock, http)
        return http

    def search(self, query: str, **options: Unpack[Choices]) -> SearchResult:
        """Answer a query.

        Args:
            query: what to look for.
            options: as in Searcher.search, see SearchOptions.

        Raises:
            InvalidQuery: as in the library, like the other errors of this package; also for what is beyond the service's limits.
            ServiceOverloaded: too much to do; `retry_after_s` says when to come again.
            ServiceUnreachable: no answer.
            ServiceRefused: anything else, such as a key that may not.
        """
        return self._sent(self._calls.search(query, **options))

    def search_many(self, queries: Sequence[str], **options: Unpack[Choices]) -> list[SearchResult | SearchError]:
        """Answer several queries in one request; an error stands in the place of an answer where a query fails. See `search`."""
        return self._sent(self._calls.search_many(queries, **options))

    def ingest(
        self,
        documents: Iterable[Document | Rejection],
        *,
        dry_run: bool = False,
        on_progress: OnProgress | None = None,
        on_rejection: OnRejection | None = None,
        attempt: Attempt = operator.call,
    ) -> IngestReport:
        """Add documents, replace changed ones, leave unchanged ones alone, in requests of some dozens.

        Args:
            documents: and rejections, as `read` gives them, which the report counts, too.
            dry_run: write nothing.
            on_progress: is called after every request.
            on_rejection: is called for every rejection.
            attempt: sends a request by calling what it is given, again if it likes, and returns the answer. By itself one that
                fails ends the run; what was written stays, and the same call again goes on from there.

        Raises:
            InvalidDocument: an item is neither a Document nor a Rejection.
            SearchError: as in `search`.
        """
        check_flags(dry_run=dry_run)
        sending = Sending(on_progress, on_rejection)
        for part in sending.parts(documents):
            request = functools.partial(self._sent, self._calls.ingest(part, dry_run=dry_run))
            try:
                report = attempt(request)
            except SearchError as error:
                sending.refuse(part, error)
            else:
                sending.take(part, report)
        return sending.report(dry_run=dry_run)

    def update(
        self, metadata: Mapping[str, Json], *, ids: Sequence[str] = (), filter: Filter | None = None, dry_run: bool = False
    ) -> IngestReport:
        """Change the metadata of documents; see Searcher.update, and `search` for errors."""
        return self._sent(self._calls.update(metadata, ids, filter, dry_run=dry_run))

    def delete(
        self,
        *,
        ids: Sequence[str] = (),
        filter: Filter | None = None,
        dry_run: bool = False,
        on_change: OnChange | None = None,
    ) -> Number:
        """Remove documents; how many there were. See Searcher.delete, and `search` for errors."""
        return self._sent(self._calls.delete(ids, filter, dry_run=dry_run, on_change=on_change))

    def get(self, document_id: str) -> Document:
        """A document as it came; DocumentNotFound if there is none."""
        return self._sent(self._calls.get(document_id))

    def count(self, filter: Filter | None = None) -> Number:
        """How many passages pass a filter, or there are."""
        return self._sent(self._calls.count(filter))

    def rerank(self, query: str, texts: Sequence[str], *, raw: bool = False) -> Scores:
        """Score texts, in their order: probabilities, or the reranker's own scores. Their `warnings` say what it did not read."""
        return self._sent(self._calls.rerank(query, texts, raw=raw))

    def facets(self) -> dict[str, Any]:
        """What there is to filter by; see Searcher.facets."""
        return self._sent(self._calls.facets(self._sent(self._calls.named())))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _sent(self, call: _Call[Value]) -> Value:
        if not call.method:
            return call.read(None)
        content = _written(call.body)
        if self._http.is_closed:
            raise SearchError(_CLOSED)
        self._clock.start(self._service.timeout_s)
        try:
            with self._http.stream(call.method, call.path, content=content) as response:
                whole = _Whole(self._service, response)
                for piece in response.iter_raw():
                    whole.add(piece)
        except _FAILURES as error:
            raise self._service.unreachable(error) from error
        except RuntimeError as error:
            if self._http.is_closed:  # meanwhile
                raise SearchError(_CLOSED) from error
            raise
        return whole.read(call)


class AsyncClient(_Connected[httpx.AsyncClient]):
    """The same with await, in one event loop: its connections belong to that."""

    def _connected(self) -> httpx.AsyncClient:
        self._loop: object = None  # that it was first used in
        self._closed = False
        with by_proxy(InvalidSettings):
            return httpx.AsyncClient(**self._service.options)

    async def search(self, query: str, **options: Unpack[Choices]) -> SearchResult:
        """See Client, as for all below."""
        return await self._sent(self._calls.search(query, **options))

    async def search_many(self, queries: Sequence[str], **options: Unpack[Choices]) -> list[SearchResult | SearchError]:
        """Answer several queries in one request."""
        return await self._sent(self._calls.search_many(queries, **options))

    async def ingest(
        self,
        documents: Iterable[Document | Rejection] | AsyncIterable[Document | Rejection],
        *,
        dry_run: bool = False,
        on_progress: OnProgress | None = None,
        on_rejection: OnRejection | None = None,
        attempt: Attempt = operator.call,
    ) -> IngestReport:
        """Add or replace documents, drawn in the event loop, of an async generator, too; an attempt is awaited."""
        check_flags(dry_run=dry_run)
        sending = Sending(on_progress, on_rejection)
        async with aclosing(sending.parts_of_either(documents)) as parts:
            async for part in parts:
                request = functools.partial(self._sent, self._calls.ingest(part, dry_run=dry_run))
                try:
                    answer = attempt(request)
                    report = await answer if inspect.isawaitable(answer) else answer
                except SearchError as error:
                    sending.refuse(part, error)
                else:
                    sending.take(part, report)
        return sending.report(dry_run=dry_run)

    async def update(
        self, metadata: Mapping[str, Json], *, ids: Sequence[str] = (), filter: Filter | None = None, dry_run: bool = False
    ) -> IngestReport:
        """Change the metadata of documents."""
        return await self._sent(self._calls.update(metadata, ids, filter, dry_run=dry_run))

    async def delete(
        self,
        *,
        ids: Sequence[str] = (),
        filter: Filter | None = None,
        dry_run: bool = False,
        on_change: OnChange | None = None,
    ) -> Number:
        """Remove documents."""
        return await self._sent(self._calls.delete(ids, filter, dry_run=dry_run, on_change=on_change))

    async def get(self, document_id: str) -> Document:
        """A document as it came."""
        return await self._sent(self._calls.get(document_id))

    async def count(self, filter: Filter | None = None) -> Number:
        """How many passages pass a filter, or there are."""
        return await self._sent(self._calls.count(filter))

    async def rerank(self, query: str, texts: Sequence[str], *, raw: bool = False) -> Scores:
        """Score texts."""
        return await self._sent(self._calls.rerank(query, texts, raw=raw))

    async def facets(self) -> dict[str, Any]:
        """What there is to filter by."""
        return await self._sent(self._calls.facets(await self._sent(self._calls.named())))

    async def close(self) -> None:
        """Close the connections, in the event loop that made them; in another one, as theirs has ended, use the client no more."""
        self._closed = True
        if self._loop in {None, anyio.lowlevel.current_token()}:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def _sent(self, call: _Call[Value]) -> Value:
        if not call.method:
            return call.read(None)
        content = _written(call.body)
        self._check_loop()
        try:
            with anyio.fail_after(self._service.timeout_s):
                async with self._http.stream(call.method, call.path, content=content) as response:
                    whole = _Whole(self._service, response)
                    async for piece in response.aiter_raw():
                        whole.add(piece)
        except (*_FAILURES, TimeoutError) as error:
            raise self._service.unreachable(error) from error
        except RuntimeError as error:
            if self._closed:  # meanwhile
                raise SearchError(_CLOSED) from error
            raise
        return whole.read(call)

    def _check_loop(self) -> None:
        if self._closed:
            raise SearchError(_CLOSED)
        here = anyio.lowlevel.current_token()
        if self._loop not in {None, here}:
            raise SearchError("this client is of another event loop; make one in each")
        self._loop = here


class _Service:
    """The address of a service, and how long and how large a response may be."""

    def __init__(self, url: str, key: str | None, tenant: str | None, timeout_s: float, max_answer_mb: float) -> None:
        try:
            address = read_address(url)
            httpx.URL(address.url)
        except (ValueError, TypeError, AttributeError, httpx.InvalidURL) as error:
            why = f": {error}" if type(error) is ValueError else ""
            shown = without_secrets(str(url))[:100]
            message = f"{shown!r} is no address of a service{why}; write it like http://127.0.0.1:8000"
            raise InvalidSettings(message) from None  # the cause would repeat a password
        self.url = address.url.rstrip("/")
        self.timeout_s = _positive("timeout_s", timeout_s)
        self.most = int(_positive("max_answer_mb", max_answer_mb) * _MEGABYTE)
        headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}  # what is packed may be without end
        if (checked := checked_key(key, "the key for the service")) is not None:
            # Name and password, for a proxy in between, go where the key would.
            headers |= {"X-API-Key": checked} if address.credentials else {"Authorization": f"Bearer {checked}"}
        if tenant is not None:
            try:
                headers["X-Tenant"] = quote(checked_tenant(tenant), safe="")
            except ValueError as error:
                raise InvalidSettings(str(error)) from None
        self.options: dict[str, Any] = {
            "base_url": address.url,
            "auth": address.credentials,
            "headers": headers,
            "timeout": self.timeout_s,
        }

    def unreachable(self, error: Exception) -> ServiceUnreachable:
        """The error for a request without a response."""
        late = isinstance(error, TimeoutError | httpx.TimeoutException)
        what = f"no whole answer within {self.timeout_s:g} s" if late else str(error) or type(error).__name__
        message = f"the service at {self.url} does not answer ({what}): is `search serve` running there?"
        return ServiceUnreachable(message)


class _Whole:
    """A response that is read piece by piece, up to the most bytes that are allowed."""

    def __init__(self, service: _Service, response: httpx.Response) -> None:
        self._service = service
        self._response = response
        self._content = bytearray()
        if response.headers.get("Content-Encoding", "identity") != "identity":
            message = f"the service at {service.url} answered in an encoding that was not asked for; mend the proxy in between"
            raise ServiceRefused(message)

    def add(self, piece: bytes) -> None:
        """Add a piece of the body; ServiceRefused if that is too large then."""
        self._content += piece
        if len(self._content) > self._service.most:
            limit = f"{self._service.most / _MEGABYTE:g} MB"
            message = f"the service at {self._service.url} answered more than {limit}; ask for less at once, or raise max_answer_mb"
            raise ServiceRefused(message)

    def read(self, call: _Call[Value]) -> Value:
        """The value of a successful response.

        Raises:
            SearchError: the response is an error, or none that this service would send.
        """
        status, url = self._response.status_code, self._service.url
        try:
            body = json.loads(self._content)
            if self._response.is_success:
                value = call.read(body)
                call.add_headers(value, self._response.headers)
                return value
            details = body["error"]
            if isinstance(details, str):  # of /rerank
                details = {"type": "", "message": details}
            error = _error(status, {"type": details["type"], "message": str(details["message"])}, self._retry_after_s())
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as odd:
            what = f"HTTP {status}" if not self._response.is_success else "something else than search serve does"
            message = f"the service at {url} answered {what}: {_advice(status)}"
            retry = self._retry_after_s()
            raise ServiceOverloaded(message, retry) if status == _OVERLOADED else ServiceRefused(message, status) from odd
        raise error

    def _retry_after_s(self) -> int:
        """The seconds of the header Retry-After, which may also hold a date; 1 without the header."""
        header = self._response.headers.get("Retry-After", "")
        try:
            seconds = int(header) if header.isdecimal() else (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError):  # neither a number nor a date, or a date without a zone
            return 1
        return max(1, math.ceil(min(seconds, _LONGEST_WAIT_S)))


def _advice(status: int) -> str:
    """What to do where a response is none of this service's."""
    if status == TOO_LARGE:
        return "send less at once, or raise what a proxy in between lets through"
    return "give the address that it leads to" if status in _ELSEWHERE else "is `search serve` running there?"


def _positive(name: str, value: Any) -> float:
    """A number of seconds or megabytes; InvalidSettings if it is none."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not 0 < value <= _MOST:
        shown = f"{value:g}" if isinstance(value, float) else f"{value!r:.100}"
        raise InvalidSettings(f"{name} is {shown}; give a number above 0, {_MOST:,.0f} at most")
    return float(value)


def _in_url(name: str) -> str:
    try:
        return quote(name, safe="") if name.strip(".") else "%2E" * len(name)  # "." and ".." would lead elsewhere
    except (UnicodeError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{str(name)[:100]!r} is no id or name: it cannot stand in an address; mend it") from error


def _chosen(options: Choices) -> dict[str, Any]:
    """The options of a search as they are sent; for errors see SearchOptions, and search.index.filters."""
    if unknown := [name for name in options if name not in _OPTIONS]:
        raise TypeError(f"a search has no option {unknown[0]!r}; it has {', '.join(_OPTIONS)}")
    checked = SearchOptions(**options)
    chosen = {name: getattr(checked, name) for name in _OPTIONS} | {"filter": _plain(checked.filter)}
    # Such as numpy's, which JSON does not know.
    return {name: value.item() if hasattr(value, "item") else value for name, value in chosen.items()}


def _plain(filter: Filter | None) -> dict[str, Any] | None:
    """A filter as plain data; UnsupportedFilter where it means nothing in any collection."""
    return None if filter is None else to_plain(filter, own=False)  # what fields hold is known where they are


def _written(body: Mapping[str, Any] | None) -> bytes | None:
    """What is sent; InvalidQuery if JSON cannot hold it."""
    if body is None:
        return None
    try:
        content = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_as_dict).encode()
    except UnicodeError:
        raise _unfit(f"{half_surrogate(body)} holds half of a surrogate pair") from None
    except (ValueError, TypeError, RecursionError) as error:  # of a kind that JSON has not, NaN, an object inside itself
        raise _unfit(str(error)[:200]) from error
    if (found := first_where(body, _has_other_names)) is not None:  # of which JSON would make strings
        raise _unfit(f"{found[0]} has a name that is no string")
    return content


def _unfit(reason: str) -> InvalidQuery:
    return InvalidQuery(f"this cannot be sent as JSON ({reason}); use strings, finite numbers, booleans, None, lists and dicts")


def _as_dict(value: Any) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"JSON has no {type(value).__name__}")


def _has_other_names(value: Json) -> bool:
    return isinstance(value, Mapping) and not all(isinstance(name, str) for name in value)


def _error(status: int, details: Mapping[str, Any], retry_after_s: int = 1) -> SearchError:
    """The error that the service met, where it is one of this package."""
    if status == _OVERLOADED:
        return ServiceOverloaded(details["message"], retry_after_s)
    kind = getattr(errors, str(details["type"]), None)
    if isinstance(kind, type) and issubclass(kind, SearchError):
        try:
            return kind(details["message"])
        except TypeError:  # it needs to know more
            pass
    if status == _UNFIT:
        return InvalidQuery(details["message"])
    return ServiceRefused(details["message"], status or None)


def _result(body: Mapping[str, Any]) -> SearchResult:
    known = {field.name for field in dataclasses.fields(Hit)}
    hits = tuple(Hit(**{name: _frozen(value) for name, value in hit.items() if name in known}) for hit in body["hits"])
    later = {"retrieval", "retrieval_ranking", "empty_because"}  # than the first services
    fields = {
        field.name: body[field.name] for field in dataclasses.fields(SearchResult) if field.name in body or field.name not in later
    }
    return SearchResult(**{**fields, "hits": hits, "warnings": tuple(body["warnings"])})


def _frozen(value: Json) -> Json:
    return tuple(value) if isinstance(value, list) else value


def _results(body: Mapping[str, Any]) -> list[SearchResult | SearchError]:
    return [_error(0, one["error"]) if "error" in one else _result(one) for one in body["results"]]


def _count(body: Mapping[str, Any], name: str) -> Number:
    return Number.of(int(body[name]), map(str, body.get("warnings", ())))  # which the first services did not send


def _document(document_id: str, body: Mapping[str, Any]) -> Document:
    if body.get("id") != document_id:  # where a proxy in between understands an address otherwise
        raise ServiceRefused(f"the service cannot be asked for the document {document_id!r} by its id")
    return Document(**body)


def _report(body: Mapping[str, Any]) -> IngestReport:
    rejections = tuple(Rejection(**one) for one in body["rejections"])
    listed = {"elsewhere_ids": tuple(body.get("elsewhere_ids", ())), "doubled_ids": tuple(map(tuple, body.get("doubled_ids", ())))}
    remarks = tuple(Remark(**one) for one in body.get("remarks", ()))
    return IngestReport(
        **{**body, "rejections": rejections, "remarks": remarks, "warnings": tuple(body.get("warnings", ())), **listed}
    )
