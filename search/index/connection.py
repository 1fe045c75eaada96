"""How is a Qdrant server reached? One client, made from settings, with nothing sent yet."""

import ipaddress
import ssl
import warnings
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from qdrant_client import QdrantClient

from search.errors import IndexRejected


def connect(
    url: str, *, api_key: str | None = None, grpc_port: int | None = None, timeout_s: int = 10, ca_file: Path | None = None
) -> QdrantClient:
    """Make a client; nothing is sent yet.

    Args:
        url: http:// or https://, with a port unless it is 6333.
        api_key: sent with every request.
        grpc_port: speak gRPC for points at this port; None for REST.
        timeout_s: seconds until a request counts as lost.
        ca_file: PEM file of a private certificate authority.

    Raises:
        IndexRejected: the URL or the certificate file cannot be used.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        message = f"{url!r} is not the URL of a Qdrant server; write it like http://127.0.0.1:6333"
        raise IndexRejected(message)
    if ca_file and grpc_port:
        message = "a private certificate authority works over REST only; leave out ca_file or grpc"
        raise IndexRejected(message)
    try:
        verify = ssl.create_default_context(cafile=str(ca_file)) if ca_file else True
    except OSError as error:
        message = f"the certificate authority in {ca_file} cannot be read: {error}"
        raise IndexRejected(message) from error
    with warnings.catch_warnings():
        if _is_loopback(parts.hostname):  # a key that never leaves this machine needs no warning
            warnings.filterwarnings("ignore", "Api key is used with an insecure connection", UserWarning)
        return QdrantClient(
            url=url,
            api_key=api_key,
            prefer_grpc=grpc_port is not None,
            grpc_port=grpc_port or 6334,
            timeout=timeout_s,
            check_compatibility=False,  # it would ask the server now; `search doctor` does
            limits=httpx.Limits(max_keepalive_connections=8),  # without it the client keeps no connection to localhost
            verify=verify,
        )


def in_memory() -> QdrantClient:
    """qdrant-client's own engine: exact, slow, and gone with the process."""
    return QdrantClient(":memory:")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
