"""How long may a request over HTTP take in all? httpx bounds only its parts: its clock starts again at every byte.

A request may take its timeout, and longer only while its bytes come faster than a slow line carries them.
"""

import contextlib
import math
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import httpcore
import httpx

from search.errors import SearchError

_SLOWEST = 100_000  # bytes a second
_PIECE = 65_536  # bytes that are sent before the clock is looked at
_LEAST_S = 0.001  # which sockets take for a timeout


@contextlib.contextmanager
def by_proxy(refused: type[SearchError]) -> Iterator[None]:
    """Around what makes a client, which reads the environment's proxies and the file of certificates that it trusts.

    If one of them cannot be used, it is `refused` by an error of that kind.
    """
    try:
        yield
    except OSError as error:
        raise refused(
            "the certificates that the environment names (SSL_CERT_FILE, SSL_CERT_DIR) cannot be read: "
            f"{error.strerror or type(error).__name__}; name a PEM file that is there, or unset them"
        ) from error
    except (ValueError, ImportError, httpx.InvalidURL):
        raise refused(
            "the proxy that the environment names (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) cannot be used; write it like http://host:3128"
        ) from None  # the cause would repeat a password


def check_proxies(refused: type[SearchError]) -> None:
    """Refuse proxies and certificates of the environment that cannot be used, before a library tells of them; see `by_proxy`."""
    with by_proxy(refused):
        httpx.Client().close()


class Clock(threading.local):
    """When the request of this thread is late."""

    ends = math.inf

    def start(self, seconds: float) -> None:
        """Begin a request that may take so many seconds."""
        self.ends = time.monotonic() + seconds

    def moved(self, size: int) -> None:
        """Give more time for bytes that were sent or received."""
        self.ends += size / _SLOWEST

    def left(self, timeout: float | None) -> float:
        """Seconds until the request is late, no more than a timeout; not positive if it is."""
        left = self.ends - time.monotonic()
        return left if timeout is None else min(timeout, left)


def watch_client(clock: Clock, client: httpx.Client) -> None:
    """Have a client that was not used before keep to a clock, whichever way it takes, by a proxy or not."""
    for carrier in (client._transport, *client._mounts.values()):  # noqa: SLF001  # httpx gives no other way
        if isinstance(carrier, httpx.HTTPTransport):
            keep_to(clock, carrier)


def keep_to(clock: Clock, carrier: httpx.HTTPTransport) -> None:
    """Have a transport that was not used before keep to a clock. httpx takes no backend, httpcore does; a test holds both to it."""
    pool = carrier._pool  # noqa: SLF001
    pool._network_backend = _Backend(clock)  # noqa: SLF001


class _Backend(httpcore.NetworkBackend):
    """Opens connections that keep to the clock."""

    def __init__(self, clock: Clock) -> None:
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

    def __init__(self, stream: httpcore.NetworkStream, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if (left := self._clock.left(timeout)) <= 0:
            raise httpcore.ReadTimeout("the answer was not complete in time")
        received = self._stream.read(max_bytes, left)
        self._clock.moved(len(received))
        return received

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE):
            if (left := self._clock.left(timeout)) <= 0:
                raise httpcore.WriteTimeout("the request was not taken in time")
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
