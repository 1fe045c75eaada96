"""Real Qdrant servers for tests: those that QDRANT_URL and QDRANT_URLS name, behind a port where each test is alone.

Its collections have names of its own on the server, and are dropped in the end. Faults, and what the stand-in notes of requests,
are here, too; what it lets a test set of the server itself is not.
"""

import json
import os
import shutil
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote, urlencode

import httpx
import pytest
from standin import QdrantStandIn

SERVER_URL = os.environ.get("QDRANT_URL", "")
NODE_URLS = [url for url in os.environ.get("QDRANT_URLS", "").split(",") if url]
KEY = os.environ.get("QDRANT_API_KEY")
_NONE = pytest.mark.skipif(
    not (SERVER_URL or shutil.which("qdrant")), reason="QDRANT_URL names no Qdrant server, and there is no qdrant binary"
)
REAL = [pytest.param("server", marks=_NONE), *(["cluster"] if NODE_URLS else [])]
OVER_GRPC = ["server, gRPC"] if os.environ.get("QDRANT_GRPC_PORT") else []
SERVERS = ["standin", *REAL]
KINDS = {"standin", "server", "cluster"}
Serve = Callable[[str], QdrantStandIn]  # the fixture that opens one of them
_NO_CLUSTER = pytest.mark.skipif(not NODE_URLS, reason="QDRANT_URLS names no nodes of a Qdrant cluster")
on_every_cluster = pytest.mark.parametrize("cluster", ["standin", pytest.param("cluster", marks=_NO_CLUSTER)], indirect=True)
everywhere = pytest.mark.parametrize("standin", SERVERS, indirect=True)  # of tests that set nothing of the stand-in itself
SPREAD: dict[str, Any] = {"shards": 3, "replicas": 2, "write_consistency": 2}  # so that what one node took, another one tells
_NAMED = {"collection_name", "alias_name"}


def in_one_shard(environment: dict[str, str]) -> dict[str, str]:
    """An index over several nodes that each hold all of a collection: a node copies, and counts the words of, what it holds."""
    spread = {"SEARCH_INDEX__SHARDS": "1", "SEARCH_INDEX__REPLICAS": "3"}
    return environment | (spread if spread.keys() <= environment.keys() else {})


class Upstream(QdrantStandIn):
    """A port for each node of a real server."""

    def __init__(self, urls: list[str]) -> None:
        super().__init__(nodes=len(urls))
        self.prefix = f"test-{uuid.uuid4().hex[:12]}-"
        self._snapshots: set[str] = set()  # files that bear the name of a collection
        headers = {"accept-encoding": "identity", **({"api-key": KEY} if KEY else {})}
        # The server ends connections that are idle for five seconds.
        limits = httpx.Limits(keepalive_expiry=2)
        self._upstream = [httpx.Client(base_url=url, headers=headers, limits=limits, timeout=60, trust_env=False) for url in urls]
        self.version = self._upstream[0].get("/").json()["version"]

    @property
    def index(self) -> dict[str, Any]:
        """Settings of an index that is here; over several nodes, so spread that each matters."""
        return super().index | (SPREAD if len(self._upstream) > 1 else {})

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        super().__exit__(kind, error, trace)
        self.node = 0
        self.query = {}
        for alias in self._forward("GET", "/aliases")[1]["aliases"]:
            gone = {"delete_alias": {"alias_name": alias["alias_name"]}}
            self._forward("POST", "/collections/aliases", json.dumps({"actions": [gone]}).encode())
        for collection in self._forward("GET", "/collections")[1]["collections"]:
            self._forward("DELETE", f"/collections/{quote(collection['name'], safe='')}")
        for client in self._upstream:
            client.close()

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Have the server carry a request out."""
        self.requests.append(f"{method} {path}")
        self.bodies.append((f"{method} {path}", body))
        if path == "/":
            return 200, None
        return self._forward(method, path, json.dumps(self._renamed(body)).encode() if method != "GET" else b"")

    def shard_file(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> tuple[int, Any]:
        """Likewise what is about snapshots of shards."""
        del query
        self.requests.append(f"{method} {path}")
        return self._forward(method, path, body)

    def _forward(self, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
        kept = {"content-type": self.content_type} if body else {}
        url = f"{self._path(method, path)}{'?' if self.query else ''}{urlencode(self.query, doseq=True)}"
        try:
            told = self._upstream[self.node].request(method, url, content=body, headers=kept)
        except httpx.TransportError as error:
            return 503, f"no answer from the server: {error}"
        if not told.headers.get("content-type", "").startswith("application/json"):
            return told.status_code, told.content if told.status_code == httpx.codes.OK else told.text
        result = told.json()
        if told.status_code != httpx.codes.OK:
            return told.status_code, self._shown(result["status"]["error"] if "status" in result else result)
        return 200, self._shown(self._own(path, result["result"]))

    def _path(self, method: str, path: str) -> str:
        parts = path.split("/")  # "", "collections", its name, …
        if len(parts) > 2 and parts[1] == "collections" and not (method == "POST" and path == "/collections/aliases"):
            parts[2] = self.prefix + parts[2]
        if unquote(parts[-1]) in self._snapshots:
            parts[-1] = self.prefix + parts[-1]
        return "/".join(parts)

    def _renamed(self, body: Any) -> Any:
        """A body with the names that collections have on the server."""
        if not isinstance(body, dict) or "actions" not in body:
            return body

        def renamed(what: dict[str, str]) -> dict[str, str]:
            return {key: self.prefix + one if key in _NAMED else one for key, one in what.items()}

        return {"actions": [{kind: renamed(what) for kind, what in action.items()} for action in body["actions"]]}

    def _own(self, path: str, result: Any) -> Any:
        """Of all collections and aliases, those of this test."""
        if path == "/collections":
            return {"collections": [one for one in result["collections"] if one["name"].startswith(self.prefix)]}
        if path == "/aliases":
            return {"aliases": [one for one in result["aliases"] if one["alias_name"].startswith(self.prefix)]}
        if isinstance(result, dict) and str(result.get("name", "")).startswith(self.prefix):
            self._snapshots.add(result["name"].removeprefix(self.prefix))
        return result

    def _shown(self, result: Any) -> Any:
        """With the names that they have here."""
        text = json.dumps(result)
        return json.loads(text.replace(self.prefix, "")) if self.prefix in text else result
