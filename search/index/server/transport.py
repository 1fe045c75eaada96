"""How long may a Qdrant server's answer take, and how large may it be?

An answer that was compressed unasked is refused, since it could unpack to anything; and a compressed one costs 40 ms over REST:
Qdrant sends it in small segments that wait for each other's acknowledgement.
"""

import math
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import httpx

from search.network.deadlines import left_of
from search.network.transport import Clock, keep_to

LARGEST_ANSWER = 100_000_000  # bytes; a page of 256 passages with vectors and much metadata has some 40 MB
_LONGEST_WAIT_S = 86_400
_PLAIN = {"", "identity"}


class AnswerRefusedError(Exception):
    """An answer that no Qdrant would send."""


class BoundedTransport(httpx.BaseTransport):
    """Carries requests out within bounds of time and size."""

    def __init__(self, carrier: httpx.HTTPTransport, timeout_s: float) -> None:
        """Watch a transport that was not used before; `timeout_s` is for requests that name none."""
        self.bounded = True  # in size
        self._carrier = carrier
        self._timeout_s = timeout_s
        self._clock = Clock()
        keep_to(self._clock, carrier)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request.

        Raises:
            httpx.TimeoutException: the answer did not begin in time.
            httpx.TransportError: there was none.
            AnswerRefusedError: it is compressed, or too large.
        """
        request.headers["Accept-Encoding"] = "identity"
        seconds = left_of(request.extensions.get("timeout", {}).get("read") or self._timeout_s) or self._timeout_s
        self._clock.start(seconds)
        answer = self._carrier.handle_request(request)
        try:
            _check_head(answer.headers, bounded=self.bounded)
        except AnswerRefusedError:
            answer.close()
            raise
        if "Retry-After" in answer.headers:
            _count_in_seconds(answer.headers)
        assert isinstance(answer.stream, httpx.SyncByteStream)  # noqa: S101  # of a synchronous transport
        return httpx.Response(
            answer.status_code,
            headers=answer.headers,
            stream=_Bounded(answer.stream) if self.bounded else answer.stream,
            extensions=answer.extensions,
        )

    def close(self) -> None:
        """Close the connections."""
        self._carrier.close()


class _Bounded(httpx.SyncByteStream):
    """The body of an answer."""

    def __init__(self, stream: httpx.SyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for piece in self._stream:
            size += len(piece)
            if size > LARGEST_ANSWER:
                raise AnswerRefusedError(_too_large())
            yield piece

    def close(self) -> None:
        self._stream.close()


def _check_head(headers: httpx.Headers, *, bounded: bool) -> None:
    if headers.get("Content-Encoding", "").strip().lower() not in _PLAIN:
        message = "sends compressed answers though it was asked for plain ones; leave out what stands in front of it"
        raise AnswerRefusedError(message)
    length = headers.get("Content-Length", "0")
    if (
        bounded
        and length.isascii()
        and length.isdecimal()
        and (len(length) > len(str(LARGEST_ANSWER)) or int(length) > LARGEST_ANSWER)
    ):
        raise AnswerRefusedError(_too_large())


def _too_large() -> str:
    return f"gave an answer of more than {LARGEST_ANSWER // 1_000_000} MB; is SEARCH_INDEX__URL right? If it is, ask for less depth"


def _count_in_seconds(headers: httpx.Headers) -> None:
    """Write Retry-After as whole seconds, the only form that qdrant-client understands; drop what says nothing."""
    text = headers.pop("Retry-After").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError, IndexError, OverflowError):
            return
    if not math.isnan(seconds):
        headers["Retry-After"] = str(math.ceil(min(max(seconds, 0), _LONGEST_WAIT_S)))
