"""What went wrong at a Qdrant server, in this package's terms.

Who is to blame decides what becomes of it: a request is refused for what it holds only by INVALID_ARGUMENT, 400, 409, 413 or 422
(IndexRejected, which a document may be the cause of). Whatever else goes wrong is the server's or the network's.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import grpc
import httpx
from pydantic import ValidationError
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from search.errors import (
    CollectionNotFound,
    IndexDenied,
    IndexFailure,
    IndexFaulted,
    IndexFull,
    IndexGarbled,
    IndexOverloaded,
    IndexRejected,
    IndexTimeout,
    IndexUnreachable,
    SearchError,
)
from search.index.server.keys import FORBIDDEN, UNKNOWN, denied, known
from search.index.server.transport import AnswerRefusedError

_SERVER_ERROR, _NO_STATUS = 500, 600
_REDIRECT, _CLIENT_ERROR, _LARGE = 300, 400, 413
_TOO_LARGE = (
    *("bytes) is larger than allowed (limit: ", "JSON payload has exceeded limit"),  # of Qdrant, with 400
    *("decoded message length too large", "http2 header with status: 413"),  # over gRPC, of Qdrant and of a proxy
)
_FULL_DISK = (
    *("no space left on device", "os error 28)", "not enough disk space", "exceeds available disk space"),
    *("disk quota exceeded", "os error 122)", "disk usage is at"),
)
_FULL_MEMORY = "memory usage is at"
_FULL_COLLECTION = re.compile(r"max [a-z ]+ limit of \S+ reached", re.IGNORECASE)  # of points, or of bytes of vectors or payloads
_NEVER = "request larger than"  # than all that a rate limit ever allows, in which the server has "than than"
_NO_QUORUM = ("leader is not established", "consensus operation commit failed")
_NO_REPLICAS = (
    *("enough active replicas", "has no active replica", "have active replicas", "at least one `active` replica"),
    *("failed to apply operation", "ordering via leader peer", "no leader could be selected"),
)
_OF_THE_WAY = (IndexUnreachable, IndexTimeout, IndexGarbled, IndexDenied)  # what may be the fault of what stands between
# How the server writes what another node answered it: 'status: …, message: "…", details: [], metadata: MetadataMap { headers: {} }'
_OF_NODE = re.compile(r'status: \w+, message: "((?:[^"\\]|\\.)*)".*?MetadataMap \{[^}]*\}+(?: \})?', re.DOTALL)
IN_MEMORY = ":memory:"
Translated = Callable[[], AbstractContextManager[None]]  # stands around requests, as `translated` does
_LONGEST_DETAIL = 500  # characters; an answer may be of any length …
_LONGEST_READ = 5_000  # … and what is looked for in it must not take for ever


@contextlib.contextmanager
def translated(server: str) -> Iterator[None]:
    """Around requests: whatever the client raises becomes an error of ours."""
    try:
        yield
    except SearchError:  # of this package already
        raise
    except Exception as error:
        failure = translate(error, server)
        if isinstance(failure, _OF_THE_WAY) and (notes := getattr(error, "__notes__", None)):
            failure.args = ("; ".join([str(failure), *notes]),)
        raise failure from error


def translate(error: Exception, server: str) -> IndexFailure:
    """Say in this package's terms what went wrong. Covers every exception the client raises; a test holds it to that."""
    match error:
        case ResourceExhaustedResponse():
            return _overloaded(server, float(error.retry_after_s), "")
        case QdrantException():  # an answer of 429, with a Retry-After that the client does not understand
            return _overloaded(server, None, "")
        case UnexpectedResponse():
            return _from_answer(error, server)
        case ResponseHandlingException():
            return _from_source(error.source, server)
        case json.JSONDecodeError() | RecursionError() | UnicodeError() | AssertionError():  # while it read an answer
            return _from_source(error, server)
        case ValueError() if not isinstance(error, ValidationError) and not server.endswith(IN_MEMORY):
            return _from_source(error, server)  # likewise: a server's refusals are no ValueErrors, but those in memory are
        case grpc.RpcError():
            return _from_grpc(error, server)
        case _:
            return IndexRejected(f"{server} cannot do that: {error}")


def _from_answer(error: UnexpectedResponse, server: str) -> IndexFailure:
    status, detail = error.status_code or 0, _detail(error)
    if status == 404 and not detail:  # noqa: PLR2004  # somebody else's answer, where Qdrant would say which collection
        return IndexGarbled(f"{server} knows nothing of collections (404); is SEARCH_INDEX__URL right?")
    if _REDIRECT <= status < _CLIENT_ERROR:
        where = _shortened(error.headers.get("Location", "")) or "elsewhere"
        return IndexGarbled(
            f"{server} redirects to {where} ({status}), which is not followed; set SEARCH_INDEX__URL to where it is"
        )
    if status == 507:  # noqa: PLR2004  # "insufficient storage"
        return _full(server, detail or "it says no more")
    if status in {UNKNOWN, FORBIDDEN}:
        return denied(status, detail or known(_shortened(error.content.decode(errors="replace"))), server)
    if _is_too_large(status, detail):
        return _too_large(server, detail or f"{status}")
    if (status >= _SERVER_ERROR or _FULL_COLLECTION.search(detail)) and (trouble := _of_cluster(detail, server)) is not None:
        return trouble
    return _from_status(status, detail or error.reason_phrase or "no reason given", server)


def _from_status(status: int, detail: str, server: str) -> IndexFailure:
    match status:
        case 404:
            return CollectionNotFound(f"{server} knows no such collection: {detail}")
        case 405 if "standalone mode" in detail:
            return IndexRejected(
                f"{server} runs alone ({detail}), and shard keys are for clusters: start it with QDRANT__CLUSTER__ENABLED=true, "
                "which makes it the first node of one, or leave out SEARCH_INDEX__SHARD_KEY"
            )
        case 407:
            return IndexDenied(f"the proxy before {server} did not let the request through (407); set its user and password")
        case 408 | 504:
            return IndexTimeout(f"{server} took too long; raise SEARCH_INDEX__TIMEOUT_S or try again")
        case 429:
            return _overloaded(server, None, detail)
        case 425 | 502 | 503:
            return IndexUnreachable(f"{server} is not ready ({status}); try again")
        case _ if _SERVER_ERROR <= status < _NO_STATUS:
            return IndexFaulted(f"{server} failed on the request ({status}): {detail}; try again, and look into its log")
        case 400 | 409 | 422:
            return IndexRejected(f"{server} refused the request ({status}): {detail}")
        case _:
            return IndexGarbled(f"{server} gave an answer that is not Qdrant's ({status}: {detail}); is SEARCH_INDEX__URL right?")


def too_large(error: IndexRejected) -> bool:
    """Whether a request was refused for its size, so that half of it may pass."""
    cause = error.__cause__
    if isinstance(cause, grpc.Call):
        return _is_too_large(None, cause.details() or "")
    return isinstance(cause, UnexpectedResponse) and _is_too_large(cause.status_code, _detail(cause))


def _is_too_large(status: int | None, detail: str) -> bool:
    return status == _LARGE or any(words in detail for words in _TOO_LARGE)


def _too_large(server: str, said: str) -> IndexRejected:
    return IndexRejected(
        f"{server}, or a proxy before it, does not take so much in one request ({said}); raise what it takes: client_max_body_size "
        "of nginx, service.max_request_size_mb of Qdrant"
    )


def _from_source(source: Exception, server: str) -> IndexFailure:
    match source:
        case AnswerRefusedError():
            return IndexGarbled(f"{server} {source}", transient=False)
        case httpx.TimeoutException():
            return IndexTimeout(f"{server} did not answer in time; raise SEARCH_INDEX__TIMEOUT_S or try again")
        case httpx.TransportError() | OSError():
            problem = _of_connection(str(source)) or "is it running, and is SEARCH_INDEX__URL right?"
            return IndexUnreachable(f"{server} cannot be reached ({source}); {problem}")
        case _:
            kind = type(source).__name__
            return IndexGarbled(f"{server} gave an answer that is not Qdrant's ({kind}); is SEARCH_INDEX__URL right?")


def _of_connection(reason: str) -> str:
    """What is probably wrong with a connection that could not be made or used; empty where the reason tells nothing."""
    problems = {
        "Hostname mismatch": "its certificate is for another name; write that one in SEARCH_INDEX__URL",
        "IP address mismatch": "its certificate is for another address; write its name in SEARCH_INDEX__URL",
        "certificate has expired": "its certificate has expired; have it renewed",
        "CERTIFICATE_VERIFY_FAILED": "its certificate is of an authority that is not known here; name that one's PEM file "
        "(SEARCH_INDEX__CA_FILE, ca_file under [index])",
        "WRONG_VERSION_NUMBER": "it does not speak TLS there; write http:// in SEARCH_INDEX__URL",
        "illegal ": "it does not speak plain HTTP there; if it speaks TLS, write https:// in SEARCH_INDEX__URL",
    }
    return next((words for sign, words in problems.items() if sign in reason), "")


def _from_grpc(error: grpc.RpcError, server: str) -> IndexFailure:
    code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
    detail = _shortened((error.details() if isinstance(error, grpc.Call) else str(error)) or "no reason given")
    if (trouble := _of_cluster(detail, server)) is not None:
        return trouble
    match code:
        case grpc.StatusCode.UNAUTHENTICATED | grpc.StatusCode.PERMISSION_DENIED:
            return denied(UNKNOWN if code is grpc.StatusCode.UNAUTHENTICATED else FORBIDDEN, detail, server)
        case grpc.StatusCode.NOT_FOUND:
            return _from_status(404, detail, server)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return _from_status(504, detail, server)
        case grpc.StatusCode.RESOURCE_EXHAUSTED if "larger than max" in detail:
            return IndexGarbled(f"{server} gave an answer that is too large ({detail}); ask for less depth", transient=False)
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return _overloaded(server, None, detail)
        case grpc.StatusCode.UNAVAILABLE:
            problem = _of_connection(detail) or "is SEARCH_INDEX__GRPC_PORT right?"
            return IndexUnreachable(f"{server} cannot be reached over gRPC ({detail}); {problem}")
        case grpc.StatusCode.UNIMPLEMENTED:
            message = f"{server} gave an answer that is not Qdrant's ({detail}); is SEARCH_INDEX__GRPC_PORT right?"
            return IndexGarbled(message, transient=False)
        case grpc.StatusCode.INVALID_ARGUMENT | grpc.StatusCode.ALREADY_EXISTS | grpc.StatusCode.OUT_OF_RANGE:
            return IndexRejected(f"{server} refused the request: {detail}")
        case _:  # INTERNAL, UNKNOWN, ABORTED and so on, as when a node is lost: never the request's fault
            return IndexFaulted(f"{server} failed on the request ({code.name}): {detail}; try again, and look into its log")


def _overloaded(server: str, retry_after_s: float | None, detail: str) -> IndexFailure:
    if _NEVER in detail.lower():
        return IndexRejected(
            f"{server} refused the request for ever ({detail}); raise the rate limits of the collection's strict mode"
        )
    wait = "later" if retry_after_s is None else f"in {retry_after_s:g} s"
    return IndexOverloaded(f"{server} asks for fewer requests; try again {wait}", retry_after_s)


def _full(server: str, detail: str) -> IndexFull:
    what = "the collection at" if _FULL_COLLECTION.search(detail) else "the disk of"
    what = "the memory of" if _FULL_MEMORY in detail.lower() else what
    return IndexFull(
        f"{what} {server} is full ({detail}); make room there (search delete works, and so do search dedupe --delete and an "
        "ingestion with --sync that adds nothing) and run the same again, what was written stays"
    )


def _of_cluster(detail: str, server: str) -> IndexFailure | None:
    """What a server's words tell, whatever its status: that it has no room, gets too much or misses nodes; None for neither."""
    if _is_too_large(None, detail):
        return _too_large(server, detail)
    if _is_full(detail):
        return _full(server, detail)
    if any(words in detail for words in _NO_QUORUM):
        return IndexFaulted(
            f"too few nodes of the cluster of {server} reach each other to agree on anything ({detail}); start those that are "
            "missing (search doctor names them) and run the same again"
        )
    if any(words in detail.lower() for words in _NO_REPLICAS):
        return IndexFaulted(
            f"too few replicas of a shard can be reached at {server} ({detail}); start the nodes that are missing (search doctor "
            "names them) and run the same again"
        )
    return None


def _is_full(detail: str) -> bool:
    return any(words in detail.lower() for words in (*_FULL_DISK, _FULL_MEMORY)) or bool(_FULL_COLLECTION.search(detail))


def _detail(error: UnexpectedResponse) -> str:
    """What Qdrant says in its answer; empty if it is not Qdrant's."""
    try:
        status = json.loads(error.content)["status"]
        return _shortened(str(status.get("error", status) if isinstance(status, dict) else status))
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _shortened(text: str) -> str:
    line = " ".join(_OF_NODE.sub(r"\1", text[:_LONGEST_READ]).split())
    return line if len(line) <= _LONGEST_DETAIL else f"{line[:_LONGEST_DETAIL]} …"
