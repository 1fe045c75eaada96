"""How long may a server's answer take, and how large may it be? httpx bounds neither: its clock starts again at every byte.

A request may take its timeout, and longer only while its bytes come faster than a slow line carries them. An answer that was
compressed unasked is refused, since it could unpack to anything; and a compressed one costs 40 ms over REST: Qdrant sends it in
small segments that wait for each other's acknowledgement.
"""

import math
import threading
import time
from collections.abc import Iterable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import httpcore
import httpx

LARGEST_ANSWER = 100_000_000  # bytes; a page of 256 passages with vectors and much metadata has some 40 MB
_SLOWEST = 100_000  # bytes a second
_PIECE = 65_536  # bytes that are sent before the clock is looked at
_LEAST_S = 0.001  # which sockets take for a timeout
_LONGEST_WAIT_S = 86_400
_PLAIN = {"", "identity"}


class AnswerRefusedError(Exception):
    """An answer that no Qdrant would send."""


class BoundedTransport(httpx.BaseTransport):
    """Carries requests out within bounds of time and size."""

    def __init__(self, carrier: httpx.HTTPTransport, timeout_s: float) -> None:
        """Take a transport, whose connections are watched from now on.

        Args:
            carrier: has not been used before.
            timeout_s: seconds for a request, where it names none.
        """
        self._carrier = carrier
        self._timeout_s = timeout_s
        self._clock = _Clock()
        pool = carrier._pool  # noqa: SLF001  # httpx takes no backend, httpcore does; a test holds both to it
        pool._network_backend = _Backend(self._clock)  # noqa: SLF001  # likewise

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request.

        Raises:
            httpx.TimeoutException: the answer did not begin in time.
            httpx.TransportError: there was none.
            AnswerRefusedError: it is compressed, or too large.
        """
        request.headers["Accept-Encoding"] = "identity"
        seconds = request.extensions.get("timeout", {}).get("read") or self._timeout_s
        self._clock.start(seconds)
        answer = self._carrier.handle_request(request)
        try:
            _check_head(answer.headers)
        except AnswerRefusedError:
            answer.close()
            raise
        if "Retry-After" in answer.headers:
            _count_in_seconds(answer.headers)
        assert isinstance(answer.stream, httpx.SyncByteStream)  # noqa: S101  # of a synchronous transport
        return httpx.Response(
            answer.status_code, headers=answer.headers, stream=_Bounded(answer.stream), extensions=answer.extensions
        )

    def close(self) -> None:
        """Close the connections."""
        self._carrier.close()


class _Clock(threading.local):
    """When the request of this thread is late."""

    ends = math.inf

    def start(self, seconds: float) -> None:
        self.ends = time.monotonic() + seconds

    def moved(self, size: int) -> None:
        self.ends += size / _SLOWEST

    def left(self, timeout: float | None) -> float:
        left = self.ends - time.monotonic()
        return left if timeout is None else min(timeout, left)


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


class _Backend(httpcore.NetworkBackend):
    """Opens connections that keep to the clock."""

    def __init__(self, clock: _Clock) -> None:
        self._clock = clock
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = max(self._clock.left(timeout), _LEAST_S)
        stream = self._backend.connect_tcp(host, port, left, local_address, socket_options)
        return _Stream(stream, self._clock)


class _Stream(httpcore.NetworkStream):
    """A connection."""

    def __init__(self, stream: httpcore.NetworkStream, clock: _Clock) -> None:
        self._stream = stream
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if (left := self._clock.left(timeout)) <= 0:
            message = "the answer was not complete in time"
            raise httpcore.ReadTimeout(message)
        received = self._stream.read(max_bytes, left)
        self._clock.moved(len(received))
        return received

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE):
            if (left := self._clock.left(timeout)) <= 0:
                message = "the request was not taken in time"
                raise httpcore.WriteTimeout(message)
            piece = buffer[start : start + _PIECE]
            self._stream.write(piece, left)
            self._clock.moved(len(piece))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = max(self._clock.left(timeout), _LEAST_S)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left), self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _check_head(headers: httpx.Headers) -> None:
    if headers.get("Content-Encoding", "").strip().lower() not in _PLAIN:
        message = "sends compressed answers though it was asked for plain ones; leave out what stands in front of it"
        raise AnswerRefusedError(message)
    length = headers.get("Content-Length", "0")
    if length.isascii() and length.isdecimal() and (len(length) > len(str(LARGEST_ANSWER)) or int(length) > LARGEST_ANSWER):
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
