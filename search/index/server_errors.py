"""What went wrong at a Qdrant server, in this package's terms."""

import contextlib
import json
from collections.abc import Iterator

import grpc
import httpx
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from search.errors import (
    CollectionNotFound,
    IndexDenied,
    IndexFailure,
    IndexFaulted,
    IndexGarbled,
    IndexOverloaded,
    IndexRejected,
    IndexTimeout,
    IndexUnreachable,
)

_SERVER_ERROR = 500


@contextlib.contextmanager
def translated(server: str) -> Iterator[None]:
    """Around requests: whatever the client raises becomes an error of ours."""
    try:
        yield
    except IndexFailure:
        raise
    except Exception as error:
        raise translate(error, server) from error


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
    return IndexGarbled(f"{server} gave an answer that is not Qdrant's ({type(source).__name__}); is SEARCH_INDEX__URL right?")


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
