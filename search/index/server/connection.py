"""How is a Qdrant server or cluster reached? One client, made from settings, with nothing sent yet."""

import functools
import inspect
import re
import ssl
import threading
import urllib.request
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
from qdrant_client import QdrantClient

from search.errors import IndexFailure, IndexFaulted, IndexGarbled, IndexRejected
from search.index.server.errors import translated
from search.index.server.nodes import Agreement, Node, Nodes
from search.index.server.transport import LARGEST_ANSWER, BoundedTransport
from search.network.addresses import Address, checked_key, is_local, plain_name, read_address, without_secrets
from search.network.transport import by_proxy
from search.system.files import open_regular
from search.system.forks import Unusable, abandon, watch

Protocol = Literal["auto", "grpc", "rest"]
REST_PORT, GRPC_PORT = 6333, 6334
_RECONNECTED_WITHIN_MS = 2_000  # gRPC would wait up to two minutes before it looks again
OLDEST = (1, 16)  # whose collections hold metadata


class ServerClient(QdrantClient):
    """qdrant-client's own, over several nodes.

    Connects anew in a forked child: two processes on one connection would read each other's answers.
    """

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes
        # Its own remote asks nobody: not now for the version, which `search doctor` does, and not later.
        super().__init__(url=nodes.nodes[0].url, check_compatibility=False, transport=httpx.BaseTransport())
        self._client: Any = nodes
        watch(self)

    def after_fork(self) -> None:
        """Make all connections anew."""
        abandoned = self.nodes
        abandon(abandoned)
        self._client = Unusable("the connection to the Qdrant server", IndexFaulted, "open another")  # should the rest fail
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the parent was warned
            self.nodes = self._client = abandoned.again()


def connect(
    url: str,
    *,
    urls: Sequence[str] = (),
    api_key: str | None = None,
    protocol: Protocol | None = None,
    grpc_port: int | None = None,
    timeout_s: int = 10,
    ca_file: Path | None = None,
    agreement: Agreement | None = None,
) -> ServerClient:
    """Make a client; nothing is sent yet.

    Args:
        url: http:// or https://, with a port unless it is 6333; a user and password in it are sent as such.
        urls: of other nodes of the same cluster, asked where this one does not answer.
        api_key: sent with every request.
        protocol: for points; "auto": gRPC where the same server speaks it. None: "grpc" if there is a port for it, else "rest".
        grpc_port: of every node; None: 6334 for "grpc", and for "auto" with a URL of port 6333.
        timeout_s: seconds until a request counts as lost.
        ca_file: PEM file of a private certificate authority.
        agreement: of replicas.

    Raises:
        IndexRejected: a URL, the proxy or the certificate file cannot be used.
        InvalidSettings: the API key cannot be sent.
    """
    key = checked_key(api_key, "the index's api_key")
    chosen: Protocol = protocol or ("rest" if grpc_port is None else "grpc")
    addresses = [_address(one, chosen) for one in dict.fromkeys((url, *urls))]
    try:
        authority = _contents(ca_file) if ca_file else None
        verify = ssl.create_default_context(cafile=str(ca_file)) if ca_file else None
    except (OSError, ValueError) as error:
        raise IndexRejected(f"the certificate authority in {ca_file} cannot be read: {error}") from error
    nodes = [_node(one, key, chosen, grpc_port, timeout_s, (verify, authority)) for one in addresses]
    return ServerClient(Nodes(nodes, timeout_s, agreement or Agreement()))


def _contents(file: Path) -> bytes:
    with open_regular(file) as stream:
        return stream.read()


def _address(url: str, protocol: Protocol) -> Address:
    try:
        address = read_address(url)
    except ValueError as error:
        message = f"{without_secrets(url)!r} is not the URL of a Qdrant server: {error}; write it like http://127.0.0.1:6333"
        raise IndexRejected(message) from error
    if address.credentials and protocol == "grpc":
        raise IndexRejected("a user and password in the server's URL work over REST only; leave them or grpc out")
    return address


def _node(
    address: Address,
    api_key: str | None,
    protocol: Protocol,
    grpc_port: int | None,
    timeout_s: int,
    trusted: tuple[Any, bytes | None],
) -> Node:
    """One node, not yet asked; `trusted` is what its certificate is checked by, for REST and for gRPC."""
    local, proxy, (verify, authority) = _is_here(address.host), _proxy(address), trusted
    # Without limits the client keeps no connection to localhost.
    secure = address.url.startswith("https:")
    carrier: dict[str, Any] = {"verify": verify or secure, "limits": httpx.Limits(max_keepalive_connections=8), "proxy": proxy}
    grpc_options: dict[str, Any] = {
        "grpc.max_receive_message_length": LARGEST_ANSWER,
        "grpc.initial_reconnect_backoff_ms": 200,
        "grpc.max_reconnect_backoff_ms": _RECONNECTED_WITHIN_MS,
    }
    if authority is not None:
        grpc_options["root_certificates"] = authority
    if proxy is None:  # gRPC reads the environment otherwise
        grpc_options["grpc.enable_http_proxy"] = 0

    def options() -> dict[str, Any]:
        return {
            "url": address.url,
            "api_key": api_key,
            "grpc_options": dict(grpc_options),
            "timeout": timeout_s,
            "check_compatibility": False,
            "auth": address.credentials,
            "transport": BoundedTransport(httpx.HTTPTransport(**carrier), timeout_s),
        }

    with by_proxy(IndexRejected):
        httpx.HTTPTransport(**carrier).close()
    port, reason = _over(address, protocol, grpc_port, proxied=proxy is not None)
    if api_key and not (local or secure):
        warnings.warn(
            f"the key for the Qdrant server goes to {address.host} without TLS, and whoever is in between can read it; write "
            "https:// in SEARCH_INDEX__URL, if the server speaks that",
            stacklevel=1,
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Api key is used with an insecure connection", UserWarning)
        return Node(address.url, options, port, reason, proxy and without_secrets(proxy))


def _over(address: Address, protocol: Protocol, grpc_port: int | None, *, proxied: bool) -> tuple[int | None, str]:
    """The port for gRPC, if it is to be spoken or tried, and why it is, or neither; no reason where that is to be found out."""
    if protocol == "rest":
        return None, "as the settings say"
    if protocol == "grpc":
        return grpc_port or GRPC_PORT, "as the settings say"
    parts = urlsplit(address.url)
    if parts.path.strip("/"):
        return None, "the URL has a path, and gRPC has none"
    if address.credentials:
        return None, "the URL has a user and password, which gRPC does not send"
    if proxied:
        return None, "a proxy stands between, named by the environment"
    if grpc_port is None and parts.port not in {None, REST_PORT}:
        return None, f"the URL's port is not {REST_PORT}, and no grpc_port is set"
    return grpc_port or GRPC_PORT, ""


def check_version(client: QdrantClient, location: str) -> None:
    """Refuse a server that is too old to make a collection on; one that does not tell its version is taken.

    Raises:
        IndexRejected: it is older than Qdrant 1.16, which notes what a collection was made for, and has IDF and queries in batches.
    """
    try:
        with translated(location):
            version = client.info().version
    except IndexFailure as error:
        if error.transient and not isinstance(error, IndexGarbled):
            raise
        return  # a gateway hides it, say
    numbers = numbers_of(version)
    if numbers is not None and numbers < OLDEST:
        raise IndexRejected(
            f"the Qdrant server at {without_secrets(location)} is version {version}, and collections need "
            f"{OLDEST[0]}.{OLDEST[1]} or newer; upgrade it, one minor version after the other, "
            "or use the embedded engine (SEARCH_INDEX__ENGINE=edge)"
        )


def numbers_of(version: str) -> tuple[int, int] | None:
    """The first two numbers of a server's version; None if it tells none."""
    numbers = re.match(r"v?(\d+)\.(\d+)", version)
    return (int(numbers[1]), int(numbers[2])) if numbers else None


def _proxy(address: Address) -> str | None:
    """The proxy that the environment names for an address; none for this machine."""
    if _is_here(address.host) or urllib.request.proxy_bypass(address.host):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(address.url.partition(":")[0]) or proxies.get("all")
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"  # as is customary


def _is_here(host: str) -> bool:
    """Whether requests to a host stay on this machine, as do those to where a server listens everywhere."""
    return is_local(host) or plain_name(host) in {"0.0.0.0", "::"}  # noqa: S104  # nothing listens here


def in_memory() -> QdrantClient:
    """qdrant-client's own engine: exact, slow, and gone with the process."""
    return _InMemory()


class _InMemory(QdrantClient):
    """One request at a time: the engine reads arrays that another thread's request is making longer."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self._turn = threading.RLock()
        for name, method in inspect.getmembers(self._client, inspect.ismethod):
            if not name.startswith("_"):
                setattr(self._client, name, self._in_turn(method))
        watch(self)

    def after_fork(self) -> None:
        """In a forked child, a thread whose turn it was is gone."""
        self._turn = threading.RLock()

    def _in_turn(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def called(*args: Any, **options: Any) -> Any:
            with self._turn:
                return method(*args, **options)

        return called
