"""How does the app listen? Uvicorn, with a limit on the time a request's head may take, and an end that loses nothing."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from search.api.app import build_app
from search.api.service import Service

OnListening = Callable[[str], None]
_log = logging.getLogger("search.api")


def build_server(service: Service, *, on_listening: OnListening | None = None) -> uvicorn.Server:
    """What listens, when it is run, until it is told to end.

    Args:
        service: what is served.
        on_listening: called with the URL when requests are taken.
    """
    limits = service.limits
    config = uvicorn.Config(
        build_app(service),
        host=limits.host,
        port=limits.port,
        http=type("Protocol", (_Protocol,), {"receive_s": limits.receive_s}),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=limits.shutdown_s,
        ssl_certfile=limits.certificate,
        ssl_keyfile=limits.private_key,
    )
    return _Server(config, service, on_listening)


class _Server(uvicorn.Server):
    """Says where it listens, and is unready as soon as it is to end."""

    def __init__(self, config: uvicorn.Config, service: Service, on_listening: OnListening | None) -> None:
        super().__init__(config)
        self._service = service
        self._on_listening = on_listening

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self._on_listening and self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            scheme = "https" if self._service.limits.certificate else "http"
            self._on_listening(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}")

    async def shutdown(self, sockets: Any = None) -> None:
        self._service.ready = False
        await super().shutdown(sockets)


class _Protocol(H11Protocol):
    """HTTP, for clients that send a request's head in time: a slow one would otherwise hold a connection for ever."""

    receive_s = 20.0
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch()

    def handle_events(self) -> None:
        super().handle_events()
        cycle: Any = self.cycle  # None until there is a request
        if cycle is not None and not cycle.response_complete:
            self._unwatch()

    def on_response_complete(self) -> None:
        self._watch()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)

    def _watch(self) -> None:
        self._unwatch()
        self._late = self.loop.call_later(self.receive_s, self._too_late)

    def _unwatch(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_late(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
