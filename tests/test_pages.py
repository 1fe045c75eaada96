"""What the pages on collections and on serving show runs as it stands, block after block, in the order of the page."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from commands import COMMAND, search
from qdrant_client import QdrantClient
from standin import QdrantStandIn
from theirs import fill

from search import errors
from search.api.errors import refused
from search.api.metrics import Metrics
from search.embedding.dense import FastEmbedEmbedder

PAGES = Path(__file__).parents[1] / "docs"
API = Path(__file__).parents[1] / "search" / "api"
SERVER = "https://qdrant.example.com:6333"
RESTORED = "search collections restore backup/monday --as documents.v2"
ASKS = ("search dedupe --delete", "search collections drop ")  # before it removes anything


def blocks(page: str) -> list[list[str]]:
    """The commands of each block of shell, without what is said about them, in order."""
    text = (PAGES / page).read_text(encoding="utf-8")
    found = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [[re.sub(r"\s+#.*", "", line) for line in block.splitlines()] for block in found]


def run(line: str, environment: dict[str, str]) -> str:
    """What a command of a page prints."""
    words = shlex.split(f"{line} --yes" if line.startswith(ASKS) else line)
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        environment = {**environment, name: value}
    assert words.pop(0) == "search"
    variables: dict[str, Any] = dict(environment)
    return search(*words, **variables).stdout


def test_the_page_on_collections_is_true(
    standin: QdrantStandIn, client: QdrantClient, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    """Its text tells what stands here between its blocks: other settings, and what has happened."""
    for name, text in {
        "notes/old.md": "---\nteam: sales\nyear: 2019\n---\nDogs bark at night.",
        "notes/cats.md": "# Cats\n\nCats sleep most of the day.",
        "notes/copy.md": "# Cats\n\nCats sleep most of the day.",
        "acme/contract.md": "Nobody pays before March, it was agreed on.",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    fill(client, bundled_embedder)
    here = {"SEARCH_DATA_DIR": str(tmp_path / "data")}
    there = here | {"SEARCH_INDEX__ENGINE": "qdrant", "SEARCH_INDEX__URL": standin.url}
    shorter = there | {"SEARCH_CHUNKING__TOKENS": "100"}
    shared = here | {"SEARCH_TENANT_FIELD": "metadata.customer", "SEARCH_COLLECTION": "shared"}
    where = {"search reindex": shorter, "search reindex --rollback": shorter, "search adopt theirs --as ours --dry-run": there}
    where |= {"search ingest acme/ --tenant acme --sync": shared, "search collections list": there, RESTORED: there}
    made_before = {"search reindex": "search ingest notes/", "search collections drop documents.v1": "search reindex"}
    printed = {}
    for block in blocks("collections.md"):
        environment = where.get(block[0], here)
        for line in block:
            if line in made_before:
                run(made_before[line], there if line == block[0] else environment)
            if line == RESTORED:
                client.delete_collection("documents.v2")  # the loss of which the page speaks
            printed[line] = run(line.replace(SERVER, standin.url), environment)
    for line, words in {
        "search ingest notes/ --sync --dry-run": "would be: 3 added",
        "search ingest notes/ --sync": "3 added, 0 changed",
        "search reindex --rollback": "documents leads to documents.v1 again",
        "search collections drop documents.v1": "documents.v1 is removed, 3 passages",
        "search adopt theirs --as ours --dry-run": "10 added, 0 changed",
        "search adopt theirs --as ours": "10 added, 0 changed",
        RESTORED: "documents.v2 is restored, 3 passages",
    }.items():
        assert words in printed[line], line
    assert all(printed.values())


@contextmanager
def started(line: str, environment: dict[str, str], log: list[str] | None = None) -> Iterator[str]:
    """The URL that a command of a page serves at, with a port of its own, until the context ends; its log is added to `log`."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    line = (
        f"exec {COMMAND.parent}/{line}" if line.startswith("search") else line.replace(" search", f" exec {COMMAND.parent}/search")
    )
    line = line.replace("0.0.0.0", "127.0.0.1").replace("9000", port)  # noqa: S104  # tests listen to this machine alone
    environment = {**os.environ, "SEARCH_SERVICE__PORT": port, **environment}
    with subprocess.Popen(["sh", "-c", line], env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            yield next(said.split()[-1] for said in process.stderr if said.startswith("listening on "))
        finally:
            process.terminate()
            (log if log is not None else []).extend(process.stderr)
    assert process.returncode == 0, line


def test_the_page_on_serving_is_true(tmp_path: Path) -> None:
    home = {"SEARCH_DATA_DIR": str(tmp_path / "data"), "XDG_CONFIG_HOME": str(tmp_path)}
    (tmp_path / "cats.txt").write_text("Cats sleep on mats.")
    run("search ingest cats.txt", home)
    (plain, logged), (asked,), (keep, to_others), (for_a_tenant,), (_, traced) = blocks("serving.md")
    page = (PAGES / "serving.md").read_text()
    reranking, client = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    with started(plain, home) as url:
        answer = subprocess.run(["sh", "-c", asked.replace("localhost:8000", url)], capture_output=True, check=True).stdout
        assert [hit["document_id"] for hit in json.loads(answer)["hits"]] == [f"{tmp_path.name}/cats.txt"]
        code = reranking.replace("http://127.0.0.1:8000", url).replace("client.rerank", "answer = client.rerank") + "print(answer)"
        assert b"relevance_score=" in subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    log: list[str] = []
    for line in (logged, traced):
        with started(line, home, log) as url:
            assert httpx.get(f"{url}/healthz").status_code == 200
    said = re.search(r"^A line of `--log json` has .*?\n\n", page, re.MULTILINE | re.DOTALL)
    assert said
    answered = next(entry for line in log if line.startswith("{") and "route" in (entry := json.loads(line)))
    assert {*answered, "tenant", "trace_id", "exception"} == {*re.findall(r"`(\w+)`", said[0])}
    key = run(keep, home).splitlines()[0].split()[-1]
    with started(to_others, home) as url:
        body = {"query": "Where do cats sleep?"}
        assert httpx.post(f"{url}/v1/search", json=body).status_code == 401
        names: dict[str, Any] = {}
        exec(client.replace("http://127.0.0.1:8000", url).replace("…", key), names)  # noqa: S102  # the page's own
        assert [hit.document_id for hit in names["result"].hits] == [f"{tmp_path.name}/cats.txt"]
    assert 'tenant = "acme"' in run(for_a_tenant, home)


# What no request meets: roots of others, and what stops a service before it serves, or commands alone.
UNMET = {
    "SearchError",
    "InvalidInput",
    "IndexFailure",
    "ModelError",
    "InvalidSettings",
    "InvalidDataset",
    "ReaderFailed",
    "MissingExtra",
}
UNMET |= {
    "ReindexRefused",
    "ServiceError",
    "ServiceUnreachable",
    "ServiceRefused",
    "ExportFailed",
    "RuntimeConflict",
    "ModelIncomplete",
}
UNMET |= {"ModelNotFound", "ModelCorrupt", "ModelUnavailable", "UnsupportedModel", "SelfTestFailed", "DeviceUnavailable"}
STATUS = {"_UNPROCESSABLE": 422, "_PASSES": 503}


def kinds(of: type[errors.SearchError]) -> Iterator[type[errors.SearchError]]:
    yield of
    for kind in of.__subclasses__():
        yield from kinds(kind)


def test_the_page_on_serving_names_all_errors_with_their_status() -> None:
    page = (PAGES / "serving.md").read_text()
    rows = re.findall(r"^\| (\d{3}) \| ([^|]+) \|", page, re.MULTILINE)
    told = {(int(status), name) for status, names in rows for name in re.findall(r"`(\w+)`", names)}
    met = [kind for kind in kinds(errors.SearchError) if kind.__module__ == errors.__name__ and kind.__name__ not in UNMET]
    answered = {(refused(kind.__new__(kind), "").status, kind.__name__) for kind in met if kind is not errors.ServiceOverloaded}
    code = "".join(file.read_text() for file in API.rglob("*.py"))
    written = {(STATUS.get(status, status), name) for status, name in re.findall(r'Refused\(\s*(\w+), "(\w+)"', code)}
    written = {(int(status), name) for status, name in written if status != "_CLIENT_GONE"}  # who has gone hears nothing
    assert told == answered | written | {(429, "ServiceOverloaded"), (404, "HTTPError"), (405, "HTTPError")}


def test_the_page_on_serving_names_all_metrics() -> None:
    there = {f"{one.name}_total" if one.type == "counter" else one.name for one in Metrics().registry.collect()}
    assert there == {*re.findall(r"`(search_\w+)`", (PAGES / "serving.md").read_text())}
