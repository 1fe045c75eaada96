"""How is a Qdrant server reached? One client, made from settings, with nothing sent yet."""

import re
import ssl
import urllib.request
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from qdrant_client import QdrantClient

from search.errors import IndexFailure, IndexFaulted, IndexRejected
from search.index.server.errors import translated
from search.index.server.transport import LARGEST_ANSWER, BoundedTransport
from search.network.addresses import Address, checked_key, is_local, read_address, without_secrets
from search.system.forks import Unusable, abandon, watch

OLDEST = (1, 16)  # whose collections hold metadata


class _Client(QdrantClient):
    """Connects anew in a forked child: two processes on one connection would read each other's answers."""

    def __init__(self, carried: Callable[[], BoundedTransport], **options: Any) -> None:
        self._carried = carried
        self._options = options
        super().__init__(**options, transport=carried())
        watch(self)

    def after_fork(self) -> None:
        abandon(self._client)
        self._client: Any = Unusable("the connection to the Qdrant server", IndexFaulted, "open another")  # should the rest fail
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the parent was warned
            super().__init__(**self._options, transport=self._carried())


def connect(
    url: str, *, api_key: str | None = None, grpc_port: int | None = None, timeout_s: int = 10, ca_file: Path | None = None
) -> QdrantClient:
    """Make a client; nothing is sent yet.

    Args:
        url: http:// or https://, with a port unless it is 6333; a user and password in it are sent as such.
        api_key: sent with every request.
        grpc_port: speak gRPC for points at this port; None for REST.
        timeout_s: seconds until a request counts as lost.
        ca_file: PEM file of a private certificate authority.

    Raises:
        IndexRejected: the URL, the proxy or the certificate file cannot be used.
        InvalidSettings: the API key cannot be sent.
    """
    try:
        address = read_address(url)
    except ValueError as error:
        message = f"{without_secrets(url)!r} is not the URL of a Qdrant server: {error}; write it like http://127.0.0.1:6333"
        raise IndexRejected(message) from error
    if address.credentials and grpc_port:
        raise IndexRejected("a user and password in the server's URL work over REST only; leave them or grpc out")
    local = is_local(address.host)
    try:
        verify = ssl.create_default_context(cafile=str(ca_file)) if ca_file else address.url.startswith("https:")
        authority = ca_file.read_bytes() if ca_file else None
    except OSError as error:
        raise IndexRejected(f"the certificate authority in {ca_file} cannot be read: {error}") from error
    # Without limits the client keeps no connection to localhost.
    carrier: dict[str, Any] = {"verify": verify, "limits": httpx.Limits(max_keepalive_connections=8), "proxy": _proxy(address)}

    def carried() -> BoundedTransport:
        return BoundedTransport(httpx.HTTPTransport(**carrier), timeout_s)

    try:
        carried().close()
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        message = "the proxy that the environment names (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) cannot be used; write it like http://host:3128"
        raise IndexRejected(message) from error
    grpc_options: dict[str, Any] = {"grpc.max_receive_message_length": LARGEST_ANSWER}
    if authority is not None:
        grpc_options["root_certificates"] = authority
    if local:
        grpc_options["grpc.enable_http_proxy"] = 0
    with warnings.catch_warnings():
        if local:  # a key that never leaves this machine needs no warning
            warnings.filterwarnings("ignore", "Api key is used with an insecure connection", UserWarning)
        return _Client(
            carried,
            url=address.url,
            api_key=checked_key(api_key, "the index's api_key"),
            prefer_grpc=grpc_port is not None,
            grpc_port=grpc_port or 6334,
            grpc_options=grpc_options,
            timeout=timeout_s,
            check_compatibility=False,  # it would ask the server now; `search doctor` does
            auth=address.credentials,
        )


def check_version(client: QdrantClient, location: str) -> None:
    """Refuse a server that is too old to make a collection on; one that does not tell its version is taken.

    Raises:
        IndexRejected: it is older than Qdrant 1.16, which notes what a collection was made for, and has IDF and queries in batches.
    """
    try:
        with translated(location):
            version = client.info().version
    except IndexFailure as error:
        if error.transient:
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
    if is_local(address.host) or urllib.request.proxy_bypass(address.host):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(address.url.partition(":")[0]) or proxies.get("all")
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"  # as is customary


def in_memory() -> QdrantClient:
    """qdrant-client's own engine: exact, slow, and gone with the process."""
    return QdrantClient(":memory:")
