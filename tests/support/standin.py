"""A stand-in for a Qdrant server: its REST interface over qdrant-client's in-memory engine, with faults on demand."""

import gzip
import hashlib
import io
import json
import socket
import ssl
import sys
import threading
import time
from collections import deque
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, unquote, urlsplit

from qdrant_client import QdrantClient, models
from scopes import Access, Denied, access_of

_SEGMENT = 1_000  # bytes of a chunk


class Fault(NamedTuple):
    """What the next request gets instead of its answer."""

    status: int = 0  # 0 answers as usual, after the delay
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b'{"status": {"error": "planted"}, "time": 0.0}'
    delay_s: float = 0.0  # a client that does not wait so long leaves, and the request is carried out all the same
    reset: bool = False  # the connection breaks, before the request is carried out
    cut: bool = False  # the answer breaks off, after it was


class _Server(ThreadingHTTPServer):
    """Says nothing of clients that are gone: some tests kill them."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class QdrantStandIn:
    """Serves one in-memory Qdrant on a free port of 127.0.0.1."""

    def __init__(self, api_key: str | None = None, tls: ssl.SSLContext | None = None, nodes: int = 1) -> None:
        self.api_key = api_key
        self.faults: deque[Fault] = deque()
        self.turned_away: set[tuple[str, str]] | None = None  # requests that met a busy server, as all do once; None: none does
        self.requests: list[str] = []
        self.bodies: deque[tuple[str, dict[str, Any]]] = deque(maxlen=100)  # of the last requests
        self.headers: deque[dict[str, str]] = deque(maxlen=100)  # likewise, in small letters
        self.queries: deque[tuple[str, dict[str, list[str]]]] = deque(maxlen=100)  # likewise, behind the paths
        self.version = "1.19.0"
        self.chunked = False  # like the server: compressed, if that is accepted, in small segments that wait for each other
        self.largest: int | None = None  # bytes of a request; what is larger gets a proxy's 413
        self.refused = ""  # points with this in their text are refused, as some server's limits would have it
        self.refusals: dict[str, tuple[int, str]] = {}  # what requests get in place of answers, by patterns such as "PUT */index"
        self.nodes = nodes  # of the cluster, each with a URL of its own; `url` is that of the first, number 0
        self.dead: set[int] = set()  # shards that the first node does not hold whole at the moment
        self.lost: set[int] = set()  # nodes that are gone
        self.stopped: set[int] = set()  # nodes that take requests and say nothing
        self.served: deque[int] = deque(maxlen=1000)  # which node got each request
        self.leaderless = False  # whether the node that leads the replicas of a shard is gone, and with it one of each
        self.issues: list[dict[str, Any]] = []  # what each node noted of slow searches
        self.ailing: dict[str, Any] = {}  # what collections tell instead of being well, such as their optimizer's status
        self.strict: dict[str, Any] = {}  # strict mode of all collections
        self._spread: dict[str, dict[str, Any]] = {}  # how collections were made
        self.files: dict[str, bytes] = {}  # snapshots of shards that nodes hold, by path
        self.queued = {"queued_optimizations": 0, "queued_segments": 0, "queued_points": 0}  # what the optimizer has before it
        self.ailing_upload = False  # a node takes a shard in, and holds none of it
        self.shard_keys: dict[str, dict[str, int]] = {}  # of collections that are sharded by them: over how many shards each
        self.held: dict[str, dict[Any, str]] = {}  # the key that each of their points was written under
        self._placed: dict[str, list[int]] = {}  # the nodes that there were when a collection was made
        self._stale: dict[tuple[str, int], set[int]] = {}  # nodes that hold nothing of a shard, of those that should
        self.indexed: dict[str, dict[str, Any]] = {}  # payload indexes: type by field by collection; filters ask none of them
        self._quantized: dict[str, Any] = {}  # likewise; vectors are compared whole all the same
        self._client = QdrantClient(":memory:")
        self._lock = threading.Lock()
        self.closed = False
        self._asked = threading.local()  # the request that a thread answers, and the node that it is sent to
        self._servers = [_Server(("127.0.0.1", 0), _handler(self, node)) for node in range(nodes)]
        if tls:
            for server in self._servers:
                server.socket = tls.wrap_socket(server.socket, server_side=True)
        self.urls = [f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}" for server in self._servers]
        self.url = self.urls[0]
        poll: dict[str, Any] = {"kwargs": {"poll_interval": 0.02}}
        self._threads = [threading.Thread(target=server.serve_forever, **poll) for server in self._servers]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.closed = True
        self.stopped.clear()
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()
        self._client.close()

    @property
    def index(self) -> dict[str, Any]:
        """Settings of an index that is here."""
        return {"engine": "qdrant", "url": self.url, **({"urls": self.urls[1:]} if self.nodes > 1 else {})}

    @property
    def environment(self) -> dict[str, str]:
        """The same as variables."""
        given = self.index.items()
        return {f"SEARCH_INDEX__{name.upper()}": one if isinstance(one, str) else json.dumps(one) for name, one in given}

    @property
    def query(self) -> dict[str, list[str]]:
        """What stands behind the path of the request that this thread answers."""
        return getattr(self._asked, "query", {})

    @query.setter
    def query(self, query: dict[str, list[str]]) -> None:
        self._asked.query = query

    @property
    def content_type(self) -> str:
        """Of the body of that request."""
        return getattr(self._asked, "content_type", "application/json")

    @content_type.setter
    def content_type(self, kind: str) -> None:
        self._asked.content_type = kind

    @property
    def node(self) -> int:
        """Which node answers in this thread."""
        return getattr(self._asked, "node", 0)

    @node.setter
    def node(self, number: int) -> None:
        self._asked.node = number

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Carry a request out; the status and the result."""
        if refused := self._taken(f"{method} {path}", body):
            return refused
        with self._lock:
            match [method, *map(unquote, path.strip("/").split("/"))]:
                case ["GET", ""]:
                    return 200, None
                case ["GET", "collections", name, "exists"]:
                    return 200, {"exists": self._client.collection_exists(name)}
                case ["PUT", "collections", name] if self._client.collection_exists(name):
                    return 409, f"Collection `{name}` already exists!"
                case ["PUT", "collections", name]:
                    return 200, self._create(name, body)
                case ["GET", "aliases"]:
                    return 200, _plain(self._client.get_aliases())
                case ["GET", "collections"]:
                    return 200, _plain(self._client.get_collections())
                case ["POST", "collections", "aliases"]:
                    return 200, self._client.update_collection_aliases([_alias(action) for action in body["actions"]])
                case [_, "collections", name, *_] if not self._client.collection_exists(name):
                    return 404, f"Collection `{name}` doesn't exist!"
                case ["GET", "collections", name]:
                    return 200, self._told(name)
                case [_, "collections", name, "vectors", vector]:
                    return self._named_vector(method, name, vector, body)
                case ["GET", "issues"]:
                    return 200, {"issues": self.issues}
                case ["GET", "cluster"]:
                    return 200, self._status()
                case ["GET", "collections", name, "optimizations"]:
                    return 200, {"summary": {"idle_segments": 0, **self.queued}, "running": []}
                case ["GET", "collections", name, "cluster"]:
                    return 200, self._cluster(self._own_name(name), self._client.count(name).count)
                case ["PATCH", "collections", name]:
                    if "strict_mode_config" in body:
                        self._spread[self._own_name(name)]["strict"] = body["strict_mode_config"]
                    return 200, self._client.update_collection(name, metadata=body.get("metadata"))
                case ["DELETE", "collections", name] if name in {one.alias_name for one in self._client.get_aliases().aliases}:
                    return 404, f"Collection `{name}` doesn't exist!"
                case ["DELETE", "collections", name]:
                    for kept in (self.indexed, self.shard_keys, self.held):
                        kept.pop(name, None)
                    return 200, self._client.delete_collection(name)
                case ["POST", "collections", name, "snapshots"]:
                    return 200, {"name": f"{name}-1.snapshot", "size": 1}
                case ["PUT", "collections", name, "index"]:
                    self.indexed.setdefault(self._own_name(name), {})[body["field_name"]] = body["field_schema"]
                    return 200, {"operation_id": 0, "status": "completed"}
                case ["PUT", "collections", name, "shards"]:
                    return self._create_key(self._own_name(name), body)
                case ["POST" | "PUT", "collections", name, "points", *_] if missed := self._missed(name, path, body):
                    return missed
                case ["POST" | "PUT", "collections", name, "points", *_] if refusal := self._refusal(
                    path, body, self.indexed.get(self._own_name(name), {})
                ):
                    return 400, f"Bad request: {refusal}"
                case ["PUT", "collections", name, "points"]:
                    if self.refused and any(self.refused in point["payload"].get("text", "") for point in body["points"]):
                        return 400, f"a limit forbids {self.refused}"
                    points = [models.PointStruct.model_validate(point) for point in body["points"]]
                    self._hold(self._own_name(name), body)
                    condition, mode = _filter(body, "update_filter"), body.get("update_mode")
                    return 200, _plain(self._client.upsert(name, points, update_filter=condition, update_mode=mode))
                case ["PUT", "collections", name, "points", "vectors"]:
                    vectors = [models.PointVectors.model_validate(one) for one in body["points"]]
                    return 200, _plain(self._client.update_vectors(name, vectors, update_filter=_filter(body, "update_filter")))
                case ["POST", "collections", name, "points"]:
                    found = self._client.retrieve(name, body["ids"], body.get("with_payload", True), body.get("with_vector", False))
                    return 200, [_plain(record) for record in found]
                case ["POST", "collections", name, "points", "delete"]:
                    selector: Any = models.FilterSelector if "filter" in body else models.PointIdsList
                    return 200, _plain(self._client.delete(name, selector.model_validate(_without_lists(body))))
                case ["POST", "collections", name, "points", "query", "batch"]:
                    whole = [{**one, "params": None} for one in body["searches"]]  # all vectors are compared as they are
                    searches = [models.QueryRequest.model_validate(_without_lists(one)) for one in whole]
                    return 200, [_plain(answer) for answer in self._client.query_batch_points(name, searches)]
                case ["POST", "collections", name, "points", "scroll"]:
                    records, offset = self._client.scroll(
                        name,
                        self._there(name, body),
                        body["limit"],
                        offset=body.get("offset"),
                        with_payload=body["with_payload"],
                        with_vectors=body["with_vector"],
                    )
                    return 200, {"points": [_plain(record) for record in records], "next_page_offset": offset}
                case ["POST", "collections", name, "points", "count"]:
                    return 200, {"count": self._client.count(name, self._there(name, body)).count}
                case _:
                    return 404, f"the stand-in has no {method} {path}"

    def _taken(self, request: str, body: dict[str, Any]) -> tuple[int, str] | None:
        self.requests.append(request)
        self.bodies.append((request, body))
        written = len(body.get("points", [])) if request.startswith("PUT") else 0
        if written > self.strict.get("write_rate_limit", written):
            reason = "request larger than than rate limiter capacity, please try to split your request"
            return 429, f"Rate limiting exceeded: Write rate limit exceeded, {reason}"
        return next((refusal for pattern, refusal in self.refusals.items() if fnmatchcase(request, pattern)), None)

    def _create_key(self, name: str, body: dict[str, Any]) -> tuple[int, Any]:
        if self.nodes == 1:
            return 405, "Qdrant is running in standalone mode"
        keys = self.shard_keys.get(name)
        if keys is None:
            return 400, "Bad request: Shard Key cannot be created with Auto sharding method"
        if body["shard_key"] in keys:
            return 400, f"Bad request: Sharding key {body['shard_key']} already exists for collection {name}"
        keys[body["shard_key"]] = body.get("shards_number") or self._spread[name]["shard_number"]
        return 200, True

    def _missed(self, name: str, path: str, body: dict[str, Any]) -> tuple[int, str] | None:
        """Narrow requests to what lies under the shard keys that they name; or why that cannot be, in the server's words."""
        name = self._own_name(name)
        if (keys := self.shard_keys.get(name)) is None:
            return None
        write = path.endswith(("/points", "/vectors", "/delete")) and "ids" not in body
        for one in [body, *body.get("searches", [])]:
            match one.get("shard_key"):
                case None if write:
                    return 400, "Wrong input: Shard key not specified"
                case None:
                    continue
                case {"target": target, "fallback": fallback}:
                    chosen = [target if target in keys else fallback]
                case str(key):
                    chosen = [key]
                case several:
                    chosen = list(several)
            if missing := [key for key in chosen if key not in keys]:
                return 404, f"Shard key {missing[0]} not found"
            one["shard_key"] = chosen
            if "points" not in one:
                ids = [point for point, key in self.held[name].items() if key in chosen]
                must = (one.get("filter") or {}).get("must") or []
                here = {"has_id": ids}
                one["filter"] = {**(one.get("filter") or {}), "must": [*(must if isinstance(must, list) else [must]), here]}
        return None

    def _hold(self, name: str, body: dict[str, Any]) -> None:
        """Note under which key points lie: a real server would have those twice that are written under two."""
        for point in body["points"] if name in self.shard_keys else []:
            (key,) = body["shard_key"]
            there = self.held[name].setdefault(point["id"], key)
            if there != key and self._client.retrieve(name, [point["id"]]):
                raise AssertionError(f"point {point['id']} is under {there} and written under {key}")
            self.held[name][point["id"]] = key

    def _told(self, name: str) -> dict[str, Any]:
        """What a collection tells of itself."""
        told: dict[str, Any] = _plain(self._client.get_collection(name))
        own = self._own_name(name)
        told["config"]["params"] |= {key: value for key, value in self._spread.get(own, {}).items() if key != "strict"}
        told["config"]["strict_mode_config"] = self._spread.get(own, {}).get("strict")
        told["config"]["quantization_config"] = self._quantized.get(own)
        told |= self.ailing
        if self.strict:
            told["config"]["strict_mode_config"] = {"enabled": True, **self.strict}
        told["payload_schema"] = {field: _schema(kind) for field, kind in self.indexed.get(own, {}).items()}
        return told

    def _named_vector(self, method: str, name: str, vector: str, body: dict[str, Any]) -> tuple[int, Any]:
        """A vector that a collection is given, or that is taken from all of its points."""
        if tuple(map(int, self.version.split(".")[:2])) < (1, 18):
            return 404, ""
        if method == "DELETE":
            return 200, _plain(self._client.delete_vector_name(name, vector))
        return 200, _plain(self._client.create_vector_name(name, vector, models.SparseVectorNameConfig.model_validate(body)))

    def _refusal(self, path: str, body: dict[str, Any], indexed: dict[str, Any]) -> str:
        """Why strict mode refuses a request, in the server's words; empty if it does not."""
        strict, searches = self.strict, body.get("searches", [])
        filters = [one.get("filter") or {} for one in [body, *searches]]
        sizes = [
            ("limit", "max_query_limit", max([0, body.get("limit") or 0, *(one["limit"] for one in searches)])),
            ("search batch size", "search_max_batchsize", len(searches)),
            ("upsert limit", "upsert_max_batchsize", len(body.get("points", []) if path.endswith(("/points", "/vectors")) else [])),
            ("oversampling", "search_max_oversampling", max([0, *map(_oversampling, searches)])),
        ]
        for name, setting, size in sizes:
            if size > strict.get(setting, size):
                return f'Limit exceeded {size} > {strict[setting]} for "{name}". Help: Reduce the "{name}" parameter.'
        if body.get("exact") and strict.get("search_allow_exact") is False:
            return "Exact search disabled! Help: Set exact=false."
        kind = "update" if path.endswith("/delete") else "retrieve"
        if strict.get(f"unindexed_filtering_{kind}") is False:
            for field, types in (asked for one in filters for asked in _asked(one)):
                schema: Any = indexed.get(field)
                if (schema["type"] if isinstance(schema, dict) else schema) not in types:
                    return (
                        f'Index required but not found for "{field}" of one of the following types: [{", ".join(types)}]. '
                        "Help: Create an index for this key or use a different filter."
                    )
        for one in filters:
            number, size = len(conditions(one)), max(map(len, _values(one)), default=0)
            if number > strict.get("filter_max_conditions", number):
                reached = f"Filter condition limit reached ({number} > {strict['filter_max_conditions']})"
                return f"{reached}. Help: Reduce the amount of conditions of your filter."
            if size > strict.get("condition_max_size", size):
                reached = f"Condition size limit reached ({size} > {strict['condition_max_size']})"
                return f"{reached}. Help: Reduce the size of your condition."
        return ""

    def _own_name(self, name: str) -> str:
        return {one.alias_name: one.collection_name for one in self._client.get_aliases().aliases}.get(name, name)

    def _cluster(self, name: str, points: int) -> dict[str, Any]:
        """Where shards lie, as a node tells it: a shard's replicas stand on nodes that follow each other."""
        of_keys = [key for key, number in self.shard_keys.get(name, {}).items() for _ in range(number)]
        shards = len(of_keys) if name in self.shard_keys else self._spread[name]["shard_number"]
        places = self._places(name)
        key_of = {shard: {"shard_key": key} for shard, key in enumerate(of_keys)}
        local = [
            {
                "shard_id": shard,
                **key_of.get(shard, {}),
                "points_count": points // shards,
                "state": "Dead" if self._is_dead(shard, node) else "Active",
            }
            for shard, node in places
            if node == self.node
        ]
        remote = [
            {
                "shard_id": shard,
                **key_of.get(shard, {}),
                "peer_id": 1000 + node,
                "state": "Dead" if self._is_dead(shard, node) else "Active",
            }
            for shard, node in places
            if node != self.node
        ]
        return {
            "peer_id": 1000 + self.node,
            "shard_count": shards,
            "local_shards": local,
            "remote_shards": remote,
            "shard_transfers": [],
        }

    def _places(self, name: str) -> list[tuple[int, int]]:
        """Which nodes hold which shards."""
        spread, nodes = self._spread[name], self._placed[name]
        replicas = range(min(spread["replication_factor"], len(nodes)))
        shards = sum(self.shard_keys[name].values()) if name in self.shard_keys else spread["shard_number"]
        return [(shard, nodes[(shard + copy) % len(nodes)]) for shard in range(shards) for copy in replicas]

    def shard_file(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> tuple[int, Any]:
        """Snapshots of shards: written, given, removed and taken in by the node that holds the shard; bytes for a file."""
        self.requests.append(f"{method} {path}")
        name, shard = unquote(path.split("/")[2]), int(path.split("/")[4])
        with self._lock:
            if not self._client.collection_exists(name) or (shard, self.node) not in self._places(name):
                return 404, f"Not found: Shard {shard} not found"
            match [method, *path.split("/")[6:]]:
                case ["POST"]:
                    file = f"{name}-shard-{shard}-{len(self.files)}.snapshot"
                    data = json.dumps([_plain(one) for one in self._of_shard(name, shard)]).encode()
                    self.files[f"{path}/{file}"] = data
                    return 200, {"name": file, "size": len(data), "checksum": hashlib.sha256(data).hexdigest()}
                case ["POST", "upload"]:
                    return 200, self._take_in(name, shard, query["priority"][0], body)
                case ["GET", _]:
                    return 200, self.files[path]
                case _:
                    del self.files[path]
                    return 200, True

    def _take_in(self, name: str, shard: int, priority: str, body: bytes) -> bool:
        data = body[body.index(b"\r\n\r\n") + 4 : body.rindex(b"\r\n--")]
        points = [models.PointStruct.model_validate(one) for one in json.loads(data)]
        holders = {node for part, node in self._places(name) if part == shard}
        stale = self._stale.setdefault((name, shard), holders - {self.node})
        stale -= {self.node} if priority == "no_sync" else holders
        if self.ailing_upload:
            stale.add(self.node)
        if points:
            self._client.upsert(name, points)
        return True

    def _of_shard(self, name: str, shard: int) -> list[Any]:
        records = self._client.scroll(name, limit=1_000_000, with_vectors=True)[0]
        number = self._spread[name]["shard_number"]
        return [one for one in records if hashlib.sha256(str(one.id).encode()).digest()[0] % number == shard]

    def _there(self, name: str, body: dict[str, Any]) -> models.Filter | None:
        """A filter that leaves out the points which the replicas lack that the node reads from: its own, where it has one."""
        wanted, name = _filter(body), self._own_name(name)
        gone = [shard for (of, shard), nodes in self._stale.items() if of == name and self.node in nodes]
        lacking = [point.id for shard in gone for point in self._of_shard(name, shard)]
        return (
            models.Filter(must=[wanted] if wanted else None, must_not=[models.HasIdCondition(has_id=lacking)])
            if lacking
            else wanted
        )

    def _is_dead(self, shard: int, node: int) -> bool:
        return node in self.lost or (node == 0 and shard in self.dead)

    def _status(self) -> dict[str, Any]:
        if self.nodes == 1:
            return {"status": "disabled"}
        nodes = {1000 + node: f"http://node{node}:6335/" for node in range(self.nodes)}
        error = {"count": 7, "latest_error": "Connection refused", "latest_error_timestamp": "2026-11-28T12:00:00Z"}
        quorum = len(self.lost) < self.nodes / 2
        return {
            "status": "enabled",
            "peer_id": 1000 + self.node,
            "peers": {str(peer): {"uri": uri} for peer, uri in nodes.items()},
            "raft_info": {
                "term": 3,
                "commit": 90,
                "pending_operations": 0 if quorum else 2,
                "leader": 1000 if quorum else None,
                "role": "Leader" if quorum else "Candidate",
                "is_voter": True,
            },
            "consensus_thread_status": {"consensus_thread_status": "working", "last_update": "2026-11-28T12:00:00Z"},
            "message_send_failures": {nodes[1000 + node]: error for node in sorted(self.lost)},
        }

    def _create(self, name: str, body: dict[str, Any]) -> bool:
        self._spread[name] = {
            "shard_number": body.get("shard_number") or self.nodes,
            "replication_factor": body.get("replication_factor") or 1,
            "write_consistency_factor": body.get("write_consistency_factor") or 1,
        }
        if body.get("sharding_method") == "custom":
            self._spread[name] |= {"sharding_method": "custom", "shard_number": body.get("shard_number") or 1}
            self.shard_keys[name], self.held[name] = {}, {}
        self._quantized[name] = body.get("quantization_config")
        self._placed[name] = [node for node in range(self.nodes) if node not in self.lost]
        params, given = models.VectorParams.model_validate, body["vectors"]
        vectors = params(given) if "size" in given else {key: params(one) for key, one in given.items()}
        sparse = {key: models.SparseVectorParams.model_validate(one) for key, one in (body.get("sparse_vectors") or {}).items()}
        return self._client.create_collection(name, vectors, sparse_vectors_config=sparse or None, metadata=body.get("metadata"))


def _handler(standin: QdrantStandIn, node: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True  # or every answer waits 40 ms for an acknowledgement
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve()

        do_PUT = do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815  # the names are http.server's

        def log_message(self, format: str, *args: object) -> None:
            """Keep the tests' output clean."""

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            standin.headers.append(headers)
            standin.node = node
            standin.served.append(node)
            while node in standin.stopped:
                time.sleep(0.02)
            fault = standin.faults.popleft() if standin.faults else Fault()
            time.sleep(fault.delay_s)
            if standin.closed:
                self.close_connection = True
                return
            if standin.turned_away is not None and (self.command, self.path) not in standin.turned_away:
                standin.turned_away.add((self.command, self.path))
                fault = Fault(503)
            if standin.largest is not None and len(body) > standin.largest:
                fault = Fault(413, body=b"<html><h1>413 Request Entity Too Large</h1></html>")
            if fault.reset or node in standin.lost:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            elif fault.status:
                self._send(fault.status, fault.body, fault.headers)
            else:
                try:
                    status, result = self._answered(access_of(standin.api_key, headers, self.path), body)
                    if isinstance(result, bytes):
                        self._send(status, result, cut=fault.cut, kind="application/octet-stream")
                        return
                except Denied as error:
                    self._send(error.status, error.text.encode())
                    return
                envelope = {"result": result, "status": "ok"} if status == 200 else {"status": {"error": result}}
                if self.path == "/":
                    envelope = {"title": "qdrant - vector search engine", "version": standin.version}
                body = json.dumps({**envelope, "time": 0.0}).encode()
                if standin.chunked:
                    self._send_in_segments(status, body)
                else:
                    self._send(status, body, cut=fault.cut)

        def _send_in_segments(self, status: int, body: bytes) -> None:
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            if "gzip" in self.headers.get("Accept-Encoding", ""):
                self.send_header("Content-Encoding", "gzip")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                packed = gzip.compress(body, 1)
                for start in range(0, len(packed), _SEGMENT):
                    piece = packed[start : start + _SEGMENT]
                    self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                self.wfile.write(b"0\r\n\r\n")
                return
            self.send_header("Content-Length", str(len(body)))
            self._end(body)

        def _end(self, body: bytes) -> None:
            """The head and the body in one write."""
            connection, self.wfile = self.wfile, io.BytesIO()
            self.end_headers()
            whole, self.wfile = self.wfile.getvalue() + body, connection
            self.wfile.write(whole)

        def _answered(self, access: Access, body: bytes) -> tuple[int, Any]:
            path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
            if refusal := access.refusal(self.command, path):
                return 403, f"Forbidden: {refusal}"
            if standin.leaderless and query.get("ordering") == ["strong"]:
                return 500, "Service internal error: Failed to apply update with Strong ordering via leader peer 1002: tonic"
            if standin.leaderless and query.get("consistency") == ["majority"]:
                return 500, "Service internal error: The replica set for shard 0 on peer 1000 does not have enough active replicas"
            standin.queries.append((f"{self.command} {path}", query))
            standin.query, standin.content_type = query, self.headers.get("Content-Type", "application/json")
            if "/shards/" in path:
                return standin.shard_file(self.command, path, query, body)
            try:
                status, result = standin.answer(self.command, path, json.loads(body or b"{}"))
            except ValueError as error:  # what the engine refuses
                return 400, str(error)
            return status, access.shown(path, result) if status == 200 else result

        def _send(
            self,
            status: int,
            body: bytes,
            headers: tuple[tuple[str, str], ...] = (),
            *,
            cut: bool = False,
            kind: str = "application/json",
        ) -> None:
            try:
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self._end(body[: len(body) // 2] if cut else body)
                self.close_connection |= cut
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client did not wait, as some tests want it

    return Handler


def _alias(action: dict[str, Any]) -> models.AliasOperations:
    model = models.DeleteAliasOperation if "delete_alias" in action else models.CreateAliasOperation
    return model.model_validate(action)


def _schema(kind: Any) -> dict[str, Any]:
    return {"points": 0, **({"data_type": kind["type"], "params": kind} if isinstance(kind, dict) else {"data_type": kind})}


def _filter(body: dict[str, Any], name: str = "filter") -> models.Filter | None:
    return models.Filter.model_validate(_without_lists(body[name])) if body.get(name) else None


def _without_lists(value: Any) -> Any:
    """A filter, or what holds one, in which null is a value that is null: the server looks into no list for it, the engine does."""
    match value:
        case {"is_null": {"key": str(key)}}:
            return {"must": [value], "must_not": [{"is_null": {"key": f"{key}[]"}}]}
        case dict():
            return {name: _without_lists(one) for name, one in value.items()}
        case list():
            return [_without_lists(one) for one in value]
        case _:
            return value


def _oversampling(search: dict[str, Any]) -> float:
    return float((((search.get("params") or {}).get("quantization")) or {}).get("oversampling") or 0)


def _asked(filter: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """The fields of a filter, with the types of indexes that answer it."""
    fields: list[tuple[str, list[str]]] = []
    for condition in conditions(filter):
        match condition:
            case {"is_empty": {"key": key}} | {"is_null": {"key": key}}:
                fields.append((key, ["bool", "float", "integer", "keyword"]))
            case {"key": key, "range": dict()}:
                fields.append((key, ["float", "integer"]))
            case {"key": key, "match": dict(match)}:
                value = next(iter(match.values()))
                first = value[0] if isinstance(value, list) and value else value
                fields.append(
                    (key, ["bool"] if isinstance(first, bool) else ["integer"] if isinstance(first, int) else ["keyword"])
                )
    return fields


def conditions(filter: dict[str, Any], prefix: str = "") -> list[dict[str, Any]]:
    """The conditions of a filter, those within others one by one, as the server counts them, with whole paths."""
    listed: list[dict[str, Any]] = []
    for clause in ("must", "should", "must_not", "min_should"):
        found: Any = filter.get(clause) or []
        some = found["conditions"] if clause == "min_should" and found else found
        for one in some if isinstance(some, list) else [some]:
            match one:
                case {"nested": {"key": key, "filter": inner}}:
                    listed += conditions(inner, f"{prefix}{key.removesuffix('[]')}[].")
                case {"key": key}:
                    listed.append({**one, "key": prefix + key})
                case {"is_empty": {"key": key}} | {"is_null": {"key": key}}:
                    listed.append({next(iter(one)): {"key": prefix + key}})
                case {"has_id": _}:
                    listed.append(one)
                case _:
                    listed += conditions(one, prefix)
    return listed


def _values(filter: dict[str, Any]) -> list[list[Any]]:
    """The values that conditions list."""
    matches = [{"has_id": one.get("has_id"), **(one.get("match") or {})} for one in conditions(filter)]
    return [values for one in matches for values in one.values() if isinstance(values, list)]


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json", by_alias=True, exclude_none=True)


if __name__ == "__main__":
    with QdrantStandIn(nodes=int(sys.argv[1]) if sys.argv[1:] else 1) as alone:
        print(",".join(alone.urls), flush=True)
        sys.stdin.read()
