"""How does the app listen? Uvicorn, with limits on connections and on slow clients, and an end that loses nothing."""

import asyncio
import logging
import socket
import sys
import time
from collections.abc import Callable, Collection
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from search.api.app import build_app
from search.api.listening import Connections, Listener, bound, room, unheard
from search.api.state import CLOSES_S, Service
from search.documents import counted
from search.errors import SearchError

OnListening = Callable[[str], None]
OnEnding = Callable[[float], None]

_log = logging.getLogger("search.api")

_ALL_CLOSES_S = 30.0  # with what comes after requests and writes …
_HURRIED_S = 5.0  # … and if it is told again to end
_LOOKS_EVERY_S = 0.1
_KERNEL_BUFFER = 262_144  # bytes; in a larger one, a client that reads slowly looks like one that does not read


def build_server(service: Service, *, on_listening: OnListening | None = None, on_ending: OnEnding | None = None) -> uvicorn.Server:
    """The uvicorn server of a service, whose `run` raises SearchError where it cannot listen.

    It tells its URL when requests are taken, and when it begins to end, or is told again to, in how many seconds all is to be over.

    Raises:
        InvalidSettings: the system lets this process open too few files.
    """
    limits = service.limits
    connections = Connections(room(limits.max_connections))
    config = uvicorn.Config(
        build_app(service),
        host=limits.host.strip("[]"),  # of IPv6, in a URL
        port=limits.port,
        loop="asyncio",
        http=type("Protocol", (_Protocol,), {"receive_s": limits.receive_s, "all": connections}),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        ssl_certfile=limits.certificate,
        ssl_keyfile=limits.private_key,
    )
    return _Server(config, service, connections, on_listening, on_ending)


class _Server(uvicorn.Server):
    """Accepts within limits, says where it listens, and is unready as soon as it is to end."""

    def __init__(
        self,
        config: uvicorn.Config,
        service: Service,
        connections: Connections,
        on_listening: OnListening | None,
        on_ending: OnEnding | None,
    ) -> None:
        super().__init__(config)
        self._service = service
        self._connections = connections
        self._on_ending = on_ending
        self._on_listening = on_listening

    async def startup(self, sockets: Any = None) -> None:  # noqa: ARG002  # uvicorn's, of others that listen for it
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(1)
        try:
            listening = bound(self.config.host, self.config.port)
        except (OSError, UnicodeError) as error:  # UnicodeError: a host that no name server could know
            await self.lifespan.shutdown()
            raise SearchError(unheard(self._service.limits.host, self.config.port, error)) from error
        receive_s = self._service.limits.receive_s
        listener = Listener(listening, self._connections, self._protocol, tls=self.config.ssl, handshake_s=receive_s)
        listener.start()
        self.servers = [cast("asyncio.Server", listener)]  # which uvicorn closes
        self.started = True
        if self._on_listening:
            host, port = listening[0].getsockname()[:2]
            scheme = "https" if self._service.limits.certificate else "http"
            self._on_listening(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}")

    def _protocol(self) -> asyncio.BaseProtocol:
        kind = cast("type[_Protocol]", self.config.http_protocol_class)
        return kind(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    def handle_exit(self, sig: int, frame: Any) -> None:
        super().handle_exit(sig, frame)
        if self.force_exit and self._on_ending:
            self._on_ending(_HURRIED_S)

    async def shutdown(self, sockets: Any = None) -> None:  # noqa: ARG002  # see startup
        """Let what was accepted end, and writes for longer; what does not is told so. A second interrupt waits for none of them."""
        service, state = self._service, self.server_state
        service.ready = False
        if self._on_ending:
            self._on_ending(service.limits.shutdown_s + _ALL_CLOSES_S)
        for server in self.servers:
            server.close()
        for connection in list(state.connections):
            connection.shutdown()
        await self._ended(time.monotonic() + service.limits.shutdown_s, state.tasks, state.connections)
        service.closes_by = time.monotonic() + CLOSES_S
        _tell(state.tasks - service.writing)
        await self._ended(service.closes_by, service.writing)
        _tell(service.writing)
        if self.force_exit:
            service.closes_by = time.monotonic()
        await self.lifespan.shutdown()

    async def _ended(self, until: float, *under_way: Collection[Any]) -> None:
        """Wait until nothing is under way, or for so long, on the clock of time.monotonic."""
        while any(under_way) and time.monotonic() < until and not self.force_exit:  # noqa: ASYNC110  # uvicorn's, which tells nobody
            await asyncio.sleep(_LOOKS_EVERY_S)


def _tell(tasks: Collection["asyncio.Task[Any]"]) -> None:
    """End requests; the gate tells their clients."""
    if tasks:
        _log.warning("503 for %s that did not end in time", counted(len(tasks), "request"))
    for task in list(tasks):
        task.cancel()


class _Protocol(H11Protocol):
    """HTTP, for clients that send a request's head in time, and read its answer: others would hold a connection for ever."""

    receive_s = 20.0
    all: Connections  # this one is among them
    address = ""
    opening: "asyncio.Task[None] | None" = None
    _known = False
    _late: asyncio.TimerHandle | None = None
    _unread = 0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._since = time.monotonic()

    @property
    def known(self) -> bool:
        """See Held."""
        scope: Any = self.scope  # None until there is a request
        return self._known or (scope is not None and "admitted" in scope["state"])

    @property
    def waits_since(self) -> float | None:
        """See Held. It also waits for the rest of a body, and for room in the kernel for an answer."""
        served = self._at_work() and not self.cycle.more_body and not self.flow.write_paused
        return None if served else self._since

    def leave(self) -> None:
        """See Held."""
        if self.opening is not None:
            self.opening.cancel()
        else:
            self.transport.abort()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BUFFER)
        if self.all.full:
            self.app_state = {**self.app_state, "full": True}  # which the gate answers, in the words of its route
        self._watch()

    def handle_events(self) -> None:
        super().handle_events()
        if self._at_work() and not self.flow.write_paused:
            self._unwatch()

    def _should_upgrade(self) -> bool:
        return False  # there is nothing to upgrade to; uvicorn would say so twice a request

    def on_response_complete(self) -> None:
        self._known = self.known
        self._watch()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._at_work():
            self._unwatch()

    def connection_lost(self, exc: Exception | None) -> None:
        self.all.gone(self)
        self._unwatch()
        super().connection_lost(exc)

    def _at_work(self) -> bool:
        cycle: Any = self.cycle  # None until there is a request
        return cycle is not None and not cycle.response_complete

    def _watch(self) -> None:
        self._unwatch()
        self._unread = self.transport.get_write_buffer_size()
        self._late = self.loop.call_later(self.receive_s, self._too_late)

    def _unwatch(self) -> None:
        self._since = time.monotonic()
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_late(self) -> None:
        unread = self.transport.get_write_buffer_size()
        if 0 < unread < self._unread:
            self._watch()
        elif unread:
            self.transport.abort()  # to close it would wait until it is read
        else:
            self.transport.close()
