"""What does a client hear of a failure? A status, and a body as the client it speaks to expects it, with what to do next."""

from collections.abc import Mapping
from typing import Any

from search.errors import (
    CollectionForeign,
    CollectionNotFound,
    DocumentIncomplete,
    DocumentNotFound,
    IndexBusy,
    IndexCorrupt,
    IndexDenied,
    IndexFailure,
    IndexFull,
    IndexGarbled,
    IndexHindered,
    IndexMismatch,
    IndexOverloaded,
    IndexRejected,
    InvalidInput,
    ModelError,
    OutOfMemory,
    ReindexRefused,
    SearcherClosed,
    SearchError,
    ServiceOverloaded,
)

# The first that fits. Messages of faults of the service name no paths and no servers.
_STATUS: tuple[tuple[type[SearchError], int], ...] = (
    (ServiceOverloaded, 429),
    (DocumentNotFound, 404),
    (InvalidInput, 422),
    (DocumentIncomplete, 409),
    (CollectionNotFound, 404),
    (IndexBusy, 409),
    (IndexMismatch, 409),
    (ReindexRefused, 409),
    (IndexFull, 507),
    (IndexGarbled, 502),
    (IndexRejected, 422),
    (IndexDenied, 502),
    (IndexCorrupt, 500),
    (IndexHindered, 500),
    (IndexOverloaded, 503),
    (IndexFailure, 503),  # unreachable, too slow, faulted: it may pass
    (OutOfMemory, 503),
    (SearcherClosed, 503),  # a collection that is being dropped
    (ModelError, 500),
    (SearchError, 500),
)
# Likewise: what there is to say to somebody else, in whose hands it is not.
_WORDS: tuple[tuple[type[SearchError], str], ...] = (
    (CollectionNotFound, "there is no such collection; GET /v1/collections lists them"),
    (IndexBusy, "the collection is in use, by this service or by another process; try again when that is done"),
    (
        CollectionForeign,
        "another program made the collection, which is searched and never written to; `search adopt` copies it",
    ),
    (IndexMismatch, "the collection was made with another embedder than this service's"),
    (IndexGarbled, "what answers in the place of the collection's server is no Qdrant"),
    (IndexRejected, "the engine refuses the request as it stands"),
    (IndexFull, "there is no room left for the collection"),
    (IndexHindered, "the service's machine cannot open or write the collection; its log says why"),
    (IndexFailure, "the collection cannot be reached now"),
    (OutOfMemory, "the model has too little memory for this now"),
    (SearcherClosed, "the collection was closed meanwhile, as one is that is dropped; try again"),
    (ModelError, "the model failed"),
    (SearchError, "the service failed"),
)
_PASSES = 503
_RETRY_AFTER_S = 2
_BACKEND = 424  # TEI's for a model that fails
_OWN = 500  # from here on it is the service's fault
_QUOTED = 100  # characters of anything that a client sent
_LONGEST = 600  # characters of a message, whose end says what to do next …
_ENDING = 200  # … in so many

# TEI's names, by status, and ours where it has none.
_TEI = {401: "Unauthorized", 403: "Forbidden", 429: "Overloaded", 503: "Unhealthy"}
_OBJECTS = {"model_type", "model_attributes_type", "dict_type"}  # of faults: what is no object


class Refused(Exception):  # it is what happened
    """An answer that is no success: what is wrong with the request, or what may not be."""

    def __init__(self, status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> None:
        if len(message) > _LONGEST:  # it quotes too much
            message = f"{message[: _LONGEST - _ENDING]} … {message[-_ENDING:]}"
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.headers = headers or {}


def unended(*, written: bool) -> Refused:
    """What to answer to a request that is under way when the time of a service that ends is over; if it may have written."""
    message = "the service ends, and did not come to this; send it again when it is back"
    if written:
        message = "the service ends before this does: what was written stays, and the same request again finishes the rest"
    return Refused(_PASSES, "ServiceEnding", message, {"Retry-After": str(_RETRY_AFTER_S)})


def quoted(sent: object) -> str:
    """As much of what a client sent as a message may repeat."""
    text = str(sent)
    return repr(text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…")


def said(fault: Mapping[str, Any]) -> str:
    """What is wrong with a value, as the validation has it, in words of JSON."""
    return "Input should be an object" if fault["type"] in _OBJECTS else str(fault["msg"]).removeprefix("Value error, ")


def refused(error: SearchError, request_id: str, remedy: str = "") -> Refused:
    """What to answer to an error of this package; `remedy` comes after the words for it."""
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    headers: dict[str, str] = {}
    if isinstance(error, ServiceOverloaded):
        headers["Retry-After"] = str(error.retry_after_s)
    elif status == _PASSES:
        headers["Retry-After"] = str(_RETRY_AFTER_S)
    message, words = str(error), next(words for kind, words in _WORDS if isinstance(error, kind))
    if status >= _OWN:
        message = f"{words}; the log of the service has the rest under request {request_id}"
    elif isinstance(error, IndexFailure) and not isinstance(error, DocumentIncomplete):
        message = words + remedy
    return Refused(status, type(error).__name__, message, headers)


def status(dialect: str, refusal: Refused) -> int:
    """The status of a refusal, as a kind of client expects it."""
    return _BACKEND if dialect == "tei" and refusal.status == _OWN else refusal.status


def body(dialect: str, refusal: Refused, request_id: str) -> dict[str, Any]:
    """A refusal as a kind of client expects it.

    Args:
        dialect: "tei" for its /rerank, "rerank" for what Cohere's, Jina's and vLLM's clients call, "" for our own API.
        refusal: the status, type and message.
        request_id: by which the log knows it.
    """
    match dialect:
        case "tei":
            other = "Backend" if refusal.status >= _OWN else "Validation"
            name = "Empty" if refusal.kind == "Empty" else _TEI.get(refusal.status, other)
            return {"error": refusal.message, "error_type": name}
        case "rerank":  # Cohere reads message, Jina detail, vLLM error
            details = {"message": refusal.message, "type": refusal.kind, "param": None, "code": refusal.status}
            return {"message": refusal.message, "detail": refusal.message, "id": request_id, "error": details}
        case _:
            return {"error": {"type": refusal.kind, "message": refusal.message, "request_id": request_id}}
