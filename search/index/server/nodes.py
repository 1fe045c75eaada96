"""Which node of a cluster answers a request, and over what: gRPC for points where it is spoken, REST for everything else.

All of them hold the same collections. One is asked until it fails; it is then left out for a while, and the next one is asked.
"""

import math
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import grpc
import httpx
from qdrant_client import models
from qdrant_client.grpc import HealthCheckRequest
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse
from qdrant_client.qdrant_remote import QdrantRemote

from search.index.server.transport import BoundedTransport
from search.network.deadlines import left_of, within

_READS = {"count", "query_batch_points", "query_points", "retrieve", "scroll"}
_WRITES = {"batch_update_points", "delete", "overwrite_payload", "set_payload", "delete_payload", "update_vectors", "upsert"}
# Carried out twice, these do more or fail; the others come to the same, since points have ids, and what is there may stay.
_ONCE = {"create_snapshot", "delete_collection", "delete_snapshot", "recover_snapshot", "update_collection_aliases"}
# Answered at once by a node that is well. What has to be agreed on, or is much to write, may take its time anywhere.
_QUICK = _READS | {
    "cluster_status",
    "collection_cluster_info",
    "collection_exists",
    "get_aliases",
    "get_collection",
    "get_collections",
    "info",
}
_FEW = 10  # points of a quick write, such as a writer's claim
_PROBED_S = 1.0  # what a firewall that says nothing costs, once
_UNKNOWN_FOR_S = 5.0  # after it could not be found out what is spoken; REST is, until then
_LOOKED_AT_EVERY_S = 60.0  # where gRPC was spoken, and is not any more
_SILENT = (grpc.StatusCode.DEADLINE_EXCEEDED, None)  # in all the time that there is
_LEFT_OUT_S, _LONGEST_LEFT_OUT_S, _DOUBLED_AT_MOST = 5.0, 60.0, 10
_SERVER_ERROR, _LATER = 500, {408, 425, 429}
_NOT_READY = {502, 503, 504}
_NO_LEADER = ("leader is not established", "consensus operation commit failed")


_rest_alone: ContextVar[bool] = ContextVar("rest_alone", default=False)


@contextmanager
def over_rest() -> Iterator[None]:
    """Ask for points over REST in a context, too: a claim has a point without vectors, which nobody has tried over gRPC."""
    before = _rest_alone.set(True)
    try:
        yield
    finally:
        _rest_alone.reset(before)


@dataclass(frozen=True)
class Agreement:
    """How many replicas have a say, in Qdrant's terms; None leaves it to the server.

    Attributes:
        read_consistency: replicas that are asked and have to agree: a number, "majority", "quorum" or "all".
        write_ordering: "weak", "medium" or "strong".
    """

    read_consistency: int | str | None = None
    write_ordering: str | None = None

    def of(self, name: str) -> dict[str, Any]:
        """The arguments of a method of the client that say so."""
        if name in _READS and self.read_consistency is not None:
            wanted = self.read_consistency
            return {"consistency": wanted if isinstance(wanted, int) else models.ReadConsistencyType(wanted)}
        if name in _WRITES and self.write_ordering is not None:
            return {"ordering": models.WriteOrdering(self.write_ordering)}
        return {}


class _OverGrpc(QdrantRemote):
    """Keeps its calls to the time that a context gives them, and is soon back after the server was gone."""

    def _init_grpc_channel(self) -> None:
        if not self._grpc_channel_pool:
            super()._init_grpc_channel()
            self._grpc_channel_pool = [grpc.intercept_channel(one, _Bounded()) for one in self._grpc_channel_pool]


class _Bounded(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]  # grpc ships no types
    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return continuation(_Details(client_call_details), request)


class _Details(grpc.ClientCallDetails):  # type: ignore[misc]
    def __init__(self, details: Any) -> None:
        self.method, self.metadata, self.credentials = details.method, details.metadata, details.credentials
        self.timeout = left_of(details.timeout)
        self.wait_for_ready = getattr(details, "wait_for_ready", None)
        self.compression = getattr(details, "compression", None)


class Node:
    """One server."""

    def __init__(
        self,
        url: str,
        options: Callable[[], dict[str, Any]],
        grpc_port: int | None,
        reason: str = "",
        proxy: str | None = None,
    ) -> None:
        """Prepare to ask; nothing is sent yet.

        Args:
            url: of its REST interface, without user and password.
            options: of a `QdrantRemote`, made anew for each.
            grpc_port: where it may speak gRPC, which is found out when it is first asked for points; None for REST alone.
            reason: why either is spoken, where nothing is to be found out; empty otherwise.
            proxy: that stands between, for people.
        """
        self.proxy = proxy
        self.url, self.grpc_port, self.reason = url, grpc_port, reason
        self._options = options
        self.over_grpc = False if grpc_port is None else True if reason else None  # None: not known yet
        self.rest = QdrantRemote(**options())
        self._grpc: QdrantRemote | None = None
        self._one_at_a_time = threading.Lock()
        self.failures = 0  # in a row
        self.left_out_until = 0.0
        self._unknown_until = 0.0  # whether it speaks gRPC
        self._spoken_before = False  # which then went without a word, and was looked at again

    def ask(self, name: str, /, *args: Any, **options: Any) -> Any:
        """Carry out a method of the client."""
        if name not in _READS | _WRITES or _rest_alone.get():
            return getattr(self.rest, name)(*args, **options)
        started, whole = time.monotonic(), left_of(None)
        remote = self._of_points(None if whole is None else whole / 2)  # the request itself needs some
        with within(None if whole is None else whole - (time.monotonic() - started)):
            try:
                return getattr(remote, name)(*args, **options)
            except grpc.RpcError as error:
                code = error.code() if isinstance(error, grpc.Call) else None
                if self.reason or not (code == grpc.StatusCode.UNAVAILABLE or (code, whole) == _SILENT):
                    raise
                self.over_grpc, self._spoken_before = None, True
                if code != grpc.StatusCode.UNAVAILABLE:  # the next request finds out which of the two says nothing
                    raise
                self._unknown_until = time.monotonic() + _UNKNOWN_FOR_S
        with within(None if whole is None else whole - (time.monotonic() - started)):
            return getattr(self.rest, name)(*args, **options)

    def files(self, timeout_s: float) -> httpx.Client:
        """A client for answers of any size, which may take so long to begin; to be closed."""
        options = self._options()
        transport: BoundedTransport = options["transport"]
        transport.bounded = False
        headers = {} if options["api_key"] is None else {"api-key": options["api_key"]}
        return httpx.Client(base_url=self.url, transport=transport, timeout=timeout_s, headers=headers, auth=options["auth"])

    @property
    def host(self) -> str:
        """Where it is, without the port."""
        return urlsplit(self.url).hostname or ""

    def leave_out(self) -> None:
        """Ask others first, for a while that is longer each time."""
        doubled = min(self.failures, _DOUBLED_AT_MOST)  # a float has no room for what thousands of failures would come to
        self.left_out_until = time.monotonic() + min(_LEFT_OUT_S * 2**doubled, _LONGEST_LEFT_OUT_S)
        self.failures += 1

    def spoken(self) -> str:
        """What is spoken with it, for people; found out now, if it is not known yet."""
        self._unknown_until = 0.0
        self._of_points(None)
        if self.over_grpc:
            return f"points over gRPC (port {self.grpc_port}), the rest over REST"
        return f"REST ({self.reason})" if self.reason else "REST"

    def again(self) -> "Node":
        """The same, with connections of its own."""
        fresh = Node(self.url, self._options, self.grpc_port, self.reason, self.proxy)
        fresh.over_grpc = self.over_grpc
        return fresh

    def close(self) -> None:
        """Close the connections."""
        for remote in (self.rest, self._grpc):
            if remote is not None:
                remote.close()

    def _of_points(self, seconds: float | None) -> QdrantRemote:
        """What points go over; if that is to be found out first, in so many seconds, or in as many as it takes."""
        if self.grpc_port is None or self.over_grpc is False:
            return self.rest
        if self.over_grpc and self._grpc is not None:
            return self._grpc
        if not self.over_grpc and time.monotonic() < self._unknown_until:
            return self.rest
        started = time.monotonic()
        waits = 0 if self._spoken_before and not self.over_grpc else -1 if seconds is None or self.over_grpc else seconds
        if not self._one_at_a_time.acquire(timeout=waits):
            return self.rest
        try:
            if self._grpc is None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # a key without TLS was warned of
                    self._grpc = _OverGrpc(**self._options(), prefer_grpc=True, grpc_port=self.grpc_port)
            if self.over_grpc is None and time.monotonic() >= self._unknown_until:
                left = math.inf if seconds is None else seconds - (time.monotonic() - started)
                self.over_grpc, self.reason = self._found_out(min(left, 2 * _PROBED_S))
                lasting = self.over_grpc is False and self._spoken_before  # it may be spoken again one day
                self._unknown_until = time.monotonic() + (_LOOKED_AT_EVERY_S if lasting else _UNKNOWN_FOR_S)
                self.over_grpc = None if lasting else self.over_grpc
            return self._grpc if self.over_grpc else self.rest
        finally:
            self._one_at_a_time.release()

    def _found_out(self, seconds: float) -> tuple[bool | None, str]:
        """Whether the same server speaks gRPC, and if not, why; None if it cannot be said now, or not in so many seconds."""
        assert self._grpc is not None  # noqa: S101  # made by whoever calls this
        ends = time.monotonic() + seconds
        try:
            with within(min(_PROBED_S, seconds)):
                version = self.rest.info().version
        except Exception as error:
            status = getattr(error, "status_code", None) or 0
            if isinstance(error, UnexpectedResponse | ValueError) and status < _SERVER_ERROR and status not in _LATER:
                return False, "its version is not told, by which the gRPC port would be known to be its own"
            return None, "it does not answer now"
        left = left_of(min(_PROBED_S, max(ends - time.monotonic(), 0.0))) or 0.0
        try:
            told = self._grpc.grpc_root.HealthCheck(HealthCheckRequest(), timeout=left)
        except grpc.RpcError as error:
            code = error.code() if isinstance(error, grpc.Call) else None
            if code == grpc.StatusCode.DEADLINE_EXCEEDED and left < _PROBED_S:
                return None, f"no answer over gRPC at port {self.grpc_port} in {left * 1000:.0f} ms"
            return False, f"no gRPC at port {self.grpc_port}: {code.name if code else type(error).__name__}"
        if told.version != version:
            return False, f"at port {self.grpc_port} another server answers, of version {told.version or 'unknown'}"
        return True, ""


class Nodes:
    """In the place of the client's own remote: each of its methods, carried out by a node that answers."""

    def __init__(self, nodes: Sequence[Node], timeout_s: float, agreement: Agreement) -> None:
        """Take over one node at least, of which the first one is asked first.

        Where others are left to ask, one has a third of `timeout_s` for what is quick. The agreement is for requests that say
        nothing else.
        """
        self.nodes = list(nodes)
        self._timeout_s = timeout_s
        self._agreement = agreement
        self.asked = self.nodes[0]  # the last one that answered

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """A method of the client."""
        if name.startswith("_") or not hasattr(QdrantRemote, name):
            raise AttributeError(name)
        return partial(self._carry_out, name)

    def again(self) -> "Nodes":
        """The same, with connections of their own."""
        return Nodes([node.again() for node in self.nodes], self._timeout_s, self._agreement)

    def close(self, **_: Any) -> None:
        """Close all connections."""
        for node in self.nodes:
            node.close()

    def _carry_out(self, name: str, /, *args: Any, **options: Any) -> Any:
        options |= {key: value for key, value in self._agreement.of(name).items() if options.get(key) is None}
        started, whole = time.monotonic(), left_of(None)
        failed: Exception | None = None
        for node, is_last in self._in_turn():
            seconds = None if whole is None else whole - (time.monotonic() - started)
            if failed is not None and seconds is not None and seconds <= 0:
                break
            patience = None if is_last or not _is_quick(name, options) else self._timeout_s / 3
            try:
                with within(min((one for one in (seconds, patience) if one is not None), default=None)):
                    answer = node.ask(name, *args, **options)
            except Exception as error:
                if node.proxy:
                    error.add_note(f"it is asked by the proxy {node.proxy} of the environment (NO_PROXY={node.host} leaves it out)")
                if not _is_the_nodes(error, repeatable=name not in _ONCE):
                    raise
                node.leave_out()
                failed = error
            else:
                self.asked, node.failures = node, 0
                return answer
        assert failed is not None  # noqa: S101  # there is a node
        raise failed

    def _in_turn(self) -> Iterator[tuple[Node, bool]]:
        """The nodes in the order in which they are asked, each with whether it is the last."""
        first = self.nodes.index(self.asked)
        ring = [*self.nodes[first:], *self.nodes[:first]]
        now = time.monotonic()
        ring.sort(key=lambda node: max(node.left_out_until - now, 0.0))
        return ((node, node is ring[-1]) for node in ring)


def _is_quick(name: str, options: Mapping[str, Any]) -> bool:
    points = options.get("points")
    return name in _QUICK or (name == "upsert" and isinstance(points, list) and len(points) <= _FEW)


def _is_the_nodes(error: Exception, *, repeatable: bool) -> bool:
    """Whether another node may do better, and may be asked: nothing was sent, or it does no harm to send it twice."""
    match error:
        case ResponseHandlingException(source=httpx.ConnectError() | httpx.ConnectTimeout()):
            return True
        case _ if not repeatable:
            return False
        case ResponseHandlingException(source=httpx.TransportError()):
            return True
        case UnexpectedResponse():
            words = error.content.decode(errors="replace")
            return error.status_code in _NOT_READY or any(one in words for one in _NO_LEADER)
        case grpc.RpcError() if isinstance(error, grpc.Call):
            lost = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
            return error.code() in lost or any(one in (error.details() or "") for one in _NO_LEADER)
        case _:
            return False
