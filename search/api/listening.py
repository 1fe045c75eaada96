"""Which connections are held? As many as the descriptors allow, and when they are few, none of somebody who only holds it.

Accepting is done here, and not by asyncio's servers: a connection counts before its TLS handshake, one too many is closed at
once, and a lack of descriptors neither stops accepting nor fills the log.
"""

import asyncio
import functools
import logging
import math
import resource
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT
from ipaddress import ip_network
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from search.errors import InvalidSettings, SearchError

_log = logging.getLogger("search.api")
_RESERVE = 128  # descriptors for what is opened later: the index and its process, a server's answers, logs, traces
_FEWEST = 16  # connections that are worth a service
_BACKLOG = 2048
_AT_ONCE = 16  # connections accepted before others have a turn, and those that were ended have let go of their descriptors
_SHARE = 16  # of the connections that are served, one in so many makes room for new ones at a time
_GRACE_S = 1.0  # in which a new client says something
_PAUSE_S = 0.1  # when none can be accepted
_WARN_EVERY_S = 60.0


class Room(NamedTuple):
    """How many connections there may be."""

    served: int  # requests on more of them are refused
    held: int  # more of them are closed


class Held(Protocol):
    """A connection."""

    address: str
    opening: "asyncio.Task[None] | None"

    @property
    def known(self) -> bool:
        """Whether a request of it was admitted to a route that requires a scope."""

    @property
    def waits_since(self) -> float | None:
        """Since when it waits for its client, on the clock of time.monotonic; None while the client waits for the service."""

    def leave(self) -> None:
        """Close it at once."""


def room(max_connections: int) -> Room:
    """How many connections the descriptors allow, of which it raises the limit as far as it may; InvalidSettings if hardly any."""
    held = max(2 * max_connections, max_connections + 16)
    limit, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = _descriptors()
    wanted = used + _RESERVE + held
    if limit != resource.RLIM_INFINITY and limit < wanted:
        more = wanted if allowed == resource.RLIM_INFINITY else min(wanted, allowed)
        with suppress(ValueError, OSError, OverflowError):  # macOS allows fewer than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, allowed))
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY:
        held = min(held, limit - used - min(_RESERVE, limit // 4))
    if held < _FEWEST:
        raise InvalidSettings(f"the system lets this process open {limit} files, which is too few; raise it with ulimit -n")
    served = min(max_connections, held * 3 // 4)
    if served < max_connections:
        _log.warning(
            "max_connections is %d, but the system lets this process open %d files, which is enough for %d connections: "
            "requests on more are refused; raise it with ulimit -n, or set SEARCH_SERVICE__MAX_CONNECTIONS",
            *(max_connections, limit, served),
        )
    return Room(served, held)


class Connections:
    """Those that are held."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._held: set[Held] = set()
        self._last_eviction = -math.inf  # on the clock of time.monotonic

    @property
    def full(self) -> bool:
        """Whether requests of the newest one are refused."""
        return len(self._held) > self._room.served

    def let_in(self, connection: Held) -> bool:
        """Hold one more, if need be in another's place; False if it is too many.

        Above the number that is served, those of strangers go who had time to say something; above the number that is held, those
        of strangers at all, or else one of others that waits for its client; never one whose client waits for an answer. Several
        go at a time, since to choose takes time.
        """
        now, spare = time.monotonic(), self._room.served // _SHARE
        over = len(self._held) - self._room.served
        if over >= 0 and now - self._last_eviction > _PAUSE_S:
            self._last_eviction = now
            self.leave(over + 1 + spare, known=False, before=now - _GRACE_S)
        if len(self._held) >= self._room.held and not (self.leave(max(1, spare), known=False) or self.leave(1)):
            return False
        self._held.add(connection)
        return True

    def leave(self, most: int, *, known: bool = True, before: float = math.inf) -> int:
        """Close connections: unknown ones first, of the address with most of them, longest waiting first; how many were closed.

        Only those count that wait since before a time on the clock of time.monotonic; known ones only if they may be closed, too.
        """
        waiting = [
            (connection, since)
            for connection in self._held
            if (known or not connection.known) and (since := connection.waits_since) is not None and since < before
        ]
        number = Counter(connection.address for connection, _ in waiting)
        waiting.sort(key=lambda pair: (pair[0].known, -number[pair[0].address], pair[1]))
        for connection, _ in waiting[:most]:
            self._held.discard(connection)
            connection.leave()
        return min(most, len(waiting))

    def gone(self, connection: Held) -> None:
        """Forget a connection that has ended."""
        self._held.discard(connection)

    def close(self) -> None:
        """End those whose TLS handshake is under way; the others end with their requests."""
        for connection in list(self._held):
            if connection.opening is not None:
                connection.leave()


class Listener:
    """Accepts connections, until it is closed. What uvicorn does to the servers of asyncio can be done to it."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        connections: Connections,
        make: Callable[[], Any],
        *,
        tls: ssl.SSLContext | None,
        handshake_s: float,
    ) -> None:
        """Keep what is needed; `start` begins. What `make` gives is the asyncio protocol of a new connection, and a `Held`."""
        self.sockets = list(sockets)
        self._connections = connections
        self._make = make
        self._tls: dict[str, Any] = {}
        if tls is not None:
            self._tls = {"ssl": tls, "ssl_handshake_timeout": handshake_s}
        self._loop = asyncio.get_running_loop()
        self._paused: dict[socket.socket, asyncio.TimerHandle] = {}
        self._last_warning = -_WARN_EVERY_S

    def start(self) -> None:
        """Accept from now on."""
        for sock in self.sockets:
            sock.settimeout(0)
            self._loop.add_reader(sock, self._accept, sock)

    def close(self) -> None:
        """Accept nothing more."""
        for sock in self.sockets:
            if sock in self._paused:
                self._paused.pop(sock).cancel()
            self._loop.remove_reader(sock)
            sock.close()
        self._connections.close()

    async def wait_closed(self) -> None:
        """There is nothing to wait for."""

    def _accept(self, listening: socket.socket) -> None:
        for number in range(_AT_ONCE):
            try:
                accepted, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # too few descriptors or too little memory: what waits, waits in the kernel
                if number:
                    return  # there may be nothing that waits
                self._warn("connections cannot be accepted now: %s", error)
                self._connections.leave(1)
                self._loop.remove_reader(listening)
                self._paused[listening] = self._loop.call_later(_PAUSE_S, self._resume, listening)
                return
            connection = self._make()
            connection.address = _network(address[0])
            if self._connections.let_in(connection):
                connection.opening = self._loop.create_task(self._open(accepted, connection))
                connection.opening.add_done_callback(functools.partial(_leave_unopened, accepted))
            else:
                accepted.close()
                self._warn("there are more connections than can be held, and all of them are in use: new ones are closed")

    async def _open(self, accepted: socket.socket, connection: Any) -> None:
        with suppress(OSError):  # its client has gone
            # asyncio does so only where a socket names its protocol. Without, a keep-alive connection waits 40 ms for every answer.
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await self._loop.connect_accepted_socket(lambda: connection, accepted, **self._tls)
        except (OSError, asyncio.CancelledError):  # no handshake, or none in time; or its place was needed
            self._connections.gone(connection)
        finally:
            connection.opening = None

    def _resume(self, listening: socket.socket) -> None:
        del self._paused[listening]
        self._loop.add_reader(listening, self._accept, listening)

    def _warn(self, message: str, *values: object) -> None:
        if time.monotonic() - self._last_warning > _WARN_EVERY_S:
            self._last_warning = time.monotonic()
            _log.warning(message, *values)


def _leave_unopened(accepted: socket.socket, opening: "asyncio.Task[None]") -> None:
    if opening.cancelled():  # before it began
        accepted.close()


def bound(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen at every address of a host which this machine has; localhost may be ::1 where IPv6 is off.

    Raises:
        OSError: they cannot, or it has none of them; none is left open.
    """
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    try:
        for family, _, _, _, address in dict.fromkeys(
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        ):
            try:
                sockets.append(socket.create_server(address, family=family, backlog=_BACKLOG))
            except OSError as error:
                if error.errno not in {EADDRNOTAVAIL, EAFNOSUPPORT}:
                    raise
                absent = error
        if absent is not None and not sockets:
            raise absent
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def unheard(host: str, port: int, error: OSError | UnicodeError) -> str:
    """Why nothing can listen, and what to do; UnicodeError: a host that no name server could know."""
    elsewhere = "choose another with --host or SEARCH_SERVICE__HOST, such as 127.0.0.1"
    if isinstance(error, socket.gaierror | UnicodeError):
        return f"nothing can listen on {host}: there is no such name; {elsewhere}"
    reasons = {
        EADDRINUSE: "the port is taken; choose another with --port or SEARCH_SERVICE__PORT",
        EACCES: "this user may not use the port; choose one above 1023 with --port or SEARCH_SERVICE__PORT",
        EADDRNOTAVAIL: f"this machine has no such address; {elsewhere}",
    }
    return f"nothing can listen on {host}:{port}: {reasons.get(error.errno or 0, error)}"


def is_taken(host: str, port: int) -> bool:
    """Whether a program listens there already, which may be the service itself.

    Raises:
        SearchError: none can.
    """
    try:
        for sock in bound(host.strip("[]"), port):
            sock.close()
    except (OSError, UnicodeError) as error:
        if getattr(error, "errno", None) == EADDRINUSE:
            return True
        raise SearchError(unheard(host, port, error)) from error
    return False


def _network(address: str) -> str:
    """Whose an address is: of IPv6, everybody has as many as they like in a network of their own."""
    return str(ip_network(f"{address.partition('%')[0]}/64", strict=False)) if ":" in address else address


def _descriptors() -> int:
    for folder in ("/proc/self/fd", "/dev/fd"):
        with suppress(OSError):
            return len(list(Path(folder).iterdir()))
    return _RESERVE
