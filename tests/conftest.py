"""Real parts, made once: the bundled models, tiny models of every shape, and each engine."""

import gc
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import certifi
import httpx
import pytest
from forked import engines_forked
from languages import exported
from loaded import loaded_once
from qdrant_client import QdrantClient
from qdrant_client.embed import schema_parser
from qdrant_client.embed._inspection_cache import CACHE_STR_PATH, DEFS
from readers import kept
from standin import QdrantStandIn
from tiny import HUB_CROSS_ENCODER, HUB_EMBEDDER, HUB_STATIC, into_hub_cache, tiny_model, tiny_static_model
from upstream import KEY, NODE_URLS, OVER_GRPC, REAL, SERVERS, SPREAD, Serve, Upstream

from search.embedding.dense import Embedder, FastEmbedEmbedder
from search.errors import CollectionNotFound
from search.factory import build_reranker
from search.index import retrying
from search.index.collections import Collections
from search.index.contract import VectorIndex
from search.index.edge.index import EdgeIndex
from search.index.edge.process import EdgeProcess
from search.index.retrying import Attempts, Patience, PatientIndex
from search.index.server import lease
from search.index.server.collections import QdrantCollections
from search.index.server.connection import connect, in_memory
from search.index.server.index import QdrantIndex
from search.index.server.sharding import Sharding
from search.reranking.contract import Reranker
from search.reranking.cross_encoder import CrossEncoder
from search.settings import Settings, StorageSettings

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from standin_grpc import GrpcStandIn

OpenIndex = Callable[[str], VectorIndex]
_ROOM = 6 << 30  # bytes of memory that temporary files may take


def pytest_configure() -> None:
    """What runs in the background (nohup, &) ignores signals that tests send, and so would every process that they start."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _keep_temporary_files_in_memory()


def _keep_temporary_files_in_memory() -> None:
    """Collections are made by the hundred, and each waits for the disk several times; TMPDIR names another place."""
    memory = Path("/dev/shm")  # noqa: S108  # pytest makes a folder there that nobody else may read
    if "TMPDIR" in os.environ or not os.access(memory, os.W_OK):
        return
    place = os.statvfs(memory)
    if place.f_bavail * place.f_frsize < _ROOM or place.f_flag & os.ST_NOEXEC:
        return
    os.environ["TMPDIR"] = tempfile.tempdir = str(memory)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long tests in full, not samples of them")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is imported and collected stays, so nobody looks for garbage meanwhile, and less often ever after."""
    gc.disable()
    yield
    gc.set_threshold(20_000, 10, 20)
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        for item in items:
            item.add_marker(pytest.mark.timeout(3 * 3600), append=False)


@pytest.fixture(scope="session")
def in_full(request: pytest.FixtureRequest) -> bool:
    """Whether the long tests are run in full."""
    return bool(request.config.getoption("--long"))


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # in this order: what is patched is not when files go
    """No test sees the settings of whoever runs it; a model has one thread, for tests run beside one another."""
    for name in list(os.environ):
        if name.startswith("SEARCH_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SEARCH_THREADS", "1")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))  # in place of ~/.config
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session", autouse=True)
def _models_loaded_once() -> Iterator[None]:
    with loaded_once():
        yield


@pytest.fixture(scope="session", autouse=True)
def _engines_forked() -> Iterator[None]:
    with engines_forked():
        yield


@pytest.fixture(scope="session", autouse=True)
def _certificates_read_once() -> Iterator[None]:
    """Every HTTP client would read them anew, though most speak to this machine alone."""
    make = ssl.create_default_context
    usual = os.environ.get("SSL_CERT_FILE") or certifi.where()  # as httpx chooses
    shared = make(cafile=usual)

    def made(*arguments: Any, **options: Any) -> ssl.SSLContext:
        return shared if (arguments, options) == ((), {"cafile": usual}) else make(*arguments, **options)

    with patch("ssl.create_default_context", made):
        yield


@pytest.fixture(scope="session", autouse=True)
def _schemas_copied_quickly() -> Iterator[None]:
    """Every qdrant-client has a copy of all its models' schemas, to which it adds; a test makes several clients."""
    known = {id(DEFS), id(CACHE_STR_PATH)}  # which stay
    with patch.object(schema_parser, "deepcopy", lambda one: dict(one) if id(one) in known else deepcopy(one)):
        yield


@pytest.fixture(scope="module")
def reader_kept() -> Iterator[None]:
    """For tests of what is read, of which none is about the process that reads it."""
    with kept():
        yield


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", model_cache=tmp_path / "models")


@pytest.fixture(scope="session")
def data() -> Path:
    """Judged data sets, beside a checkout of the developers' and never beside a user's clone."""
    folder = Path(os.environ.get("SEARCH_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no data sets in {folder}; SEARCH_TEST_DATA names another place")
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny random models: embedder-mean, embedder-cls, cross-encoder."""
    root = tmp_path_factory.mktemp("models")
    tiny_model(root / "embedder-mean", "encoder", pooling="mean")
    tiny_model(root / "embedder-cls", "encoder", pooling="cls")
    tiny_model(root / "cross-encoder", "classifier")
    tiny_static_model(root / "static")
    return root


@pytest.fixture(scope="session")
def hub_cache(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Path:
    """A cache that looks as if FastEmbed had downloaded two models by name."""
    cache = tmp_path_factory.mktemp("cache")
    into_hub_cache(model_folder / "embedder-mean", cache, *HUB_EMBEDDER)
    into_hub_cache(model_folder / "cross-encoder", cache, *HUB_CROSS_ENCODER)
    into_hub_cache(model_folder / "static", cache, *HUB_STATIC)
    return cache


@pytest.fixture(scope="session")
def bundled_embedder(tmp_path_factory: pytest.TempPathFactory) -> FastEmbedEmbedder:
    return FastEmbedEmbedder("all-MiniLM-L6-v2", device="cpu", threads=1, cache=tmp_path_factory.mktemp("unused"))


@pytest.fixture(scope="session")
def quick_embedder(model_folder: Path) -> FastEmbedEmbedder:
    """A tiny random model, for tests of many documents that are about none of them."""
    return FastEmbedEmbedder(str(model_folder / "embedder-mean"), device="cpu", threads=1, cache=model_folder)


@pytest.fixture(scope="session")
def bundled_reranker(tmp_path_factory: pytest.TempPathFactory) -> CrossEncoder:
    return CrossEncoder("minilm-reranker", device="cpu", threads=1, cache=tmp_path_factory.mktemp("unused"))


@pytest.fixture(scope="session", params=["bundled", "folder, mean", "folder, cls", "by name", "static by name"])
def embedder(request: pytest.FixtureRequest, model_folder: Path, hub_cache: Path) -> Embedder:
    """With as many threads as users have by default."""
    match request.param:
        case "bundled":
            return FastEmbedEmbedder("all-MiniLM-L6-v2", device="cpu", cache=hub_cache)
        case "folder, mean":
            return FastEmbedEmbedder(str(model_folder / "embedder-mean"), device="cpu", cache=hub_cache)
        case "folder, cls":
            return FastEmbedEmbedder(str(model_folder / "embedder-cls"), device="cpu", cache=hub_cache)
        case "by name":
            return FastEmbedEmbedder(HUB_EMBEDDER[0], device="cpu", cache=hub_cache)
        case _:
            return FastEmbedEmbedder(HUB_STATIC[0], device="cpu", cache=hub_cache)


CROSS_ENCODERS = ["bundled", "folder", "by name"]
LANGUAGE_MODELS = ["zerank-2", "query-likelihood", "listwise", "pairwise"]


@pytest.fixture(scope="session")
def cross_encoders(model_folder: Path, hub_cache: Path) -> dict[str, CrossEncoder]:
    """With as many threads as users have by default."""
    return {
        "bundled": CrossEncoder("minilm-reranker", device="cpu", cache=hub_cache),
        "folder": CrossEncoder(str(model_folder / "cross-encoder"), device="cpu", cache=hub_cache),
        "by name": CrossEncoder(HUB_CROSS_ENCODER[0], device="cpu", cache=hub_cache),
    }


@pytest.fixture(scope="session", params=CROSS_ENCODERS)
def reranker(request: pytest.FixtureRequest, cross_encoders: dict[str, CrossEncoder]) -> Reranker:
    return cross_encoders[request.param]


@pytest.fixture(scope="session")
def language_models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Reranker]:
    """Tiny random language models, exported once for each recipe that is asked for, as the settings build them."""
    root = tmp_path_factory.mktemp("language-models")

    def make(recipe: str) -> Reranker:
        folder = root / recipe / "model"
        if not folder.exists():
            exported(root / recipe, "qwen3", recipe)
        given = {"kind": "causal", "model": str(folder)}
        made = build_reranker(Settings(data_dir=root, device="cpu", reranker=given))
        assert made
        return made

    return make


@pytest.fixture(scope="session", params=[*CROSS_ENCODERS, *LANGUAGE_MODELS])
def every_reranker(
    request: pytest.FixtureRequest, cross_encoders: dict[str, CrossEncoder], language_models: Callable[[str], Reranker]
) -> Reranker:
    return cross_encoders[request.param] if request.param in cross_encoders else language_models(request.param)


@pytest.fixture(scope="module")  # while it is open, this thread can run no event loop of another test
def browser() -> Iterator["Browser"]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium here; install it to test pages (on Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def serve(request: pytest.FixtureRequest) -> Iterator[Serve]:
    """Opens one of upstream.SERVERS: the stand-in, or a real server as if it were this test's alone."""
    with ExitStack() as stack:

        def open_(kind: str) -> QdrantStandIn:
            urls = [request.getfixturevalue("server_url")] if kind == "server" else NODE_URLS
            return stack.enter_context(QdrantStandIn() if kind == "standin" else Upstream(urls))

        yield open_


@pytest.fixture
def standin(request: pytest.FixtureRequest, serve: Serve) -> QdrantStandIn:
    """The stand-in; a real server, too, for tests with the mark of upstream.everywhere."""
    return serve(getattr(request, "param", "standin"))


@pytest.fixture
def cluster(request: pytest.FixtureRequest, serve: Serve) -> Iterator[QdrantStandIn]:
    """Three nodes of the stand-in; those of a real cluster, too, for tests with the mark of upstream.on_every_cluster."""
    if getattr(request, "param", "standin") == "cluster":
        yield serve("cluster")
        return
    with QdrantStandIn(nodes=3) as server:
        yield server


@pytest.fixture
def standin_grpc(standin: QdrantStandIn) -> Iterator["GrpcStandIn"]:
    """The gRPC port of the stand-in."""
    from standin_grpc import GrpcStandIn

    with GrpcStandIn(standin) as port:
        yield port


@pytest.fixture
def brief_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that ended without a word is given up after a moment, not after twelve seconds."""
    for name, seconds in {
        "_RENEWED_EVERY_S": 0.2,
        "_DEAD_AFTER_S": 0.8,
        "_LOOKED_AT_EVERY_S": 0.05,
        "_SETTLED_AFTER_S": 0.01,
    }.items():
        monkeypatch.setattr(lease, name, seconds)


@pytest.fixture
def numbers_from_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of claims, not from the moment on: so tests can name them."""
    monkeypatch.setattr(lease, "_first_number", lambda: 1)


@pytest.fixture
def brief_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between tries of what failed and may pass: a twentieth of them."""
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: time.sleep(seconds / 20))
    monkeypatch.setattr(retrying, "time", clock)


@pytest.fixture
def client(standin: QdrantStandIn) -> Iterator[QdrantClient]:
    """Who writes into the stand-in as another program does."""
    client = QdrantClient(url=standin.url, check_compatibility=False)
    yield client
    client.close()


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Qdrant server: the one QDRANT_URL names, or one started from a `qdrant` binary on the PATH."""
    if url := os.environ.get("QDRANT_URL"):
        yield url
        return
    binary = shutil.which("qdrant")
    if not binary:
        pytest.skip("QDRANT_URL names no Qdrant server, and there is no qdrant binary")
    with socket.socket() as first, socket.socket() as second:
        for listener in (first, second):
            listener.bind(("127.0.0.1", 0))
        http, grpc = first.getsockname()[1], second.getsockname()[1]
    service = {"HOST": "127.0.0.1", "HTTP_PORT": str(http), "GRPC_PORT": str(grpc)}
    environment = {**os.environ, **{f"QDRANT__SERVICE__{name}": value for name, value in service.items()}}
    with subprocess.Popen([binary], cwd=tmp_path_factory.mktemp("qdrant"), env=environment, stdout=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{http}"
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                httpx.get(f"{url}/readyz").raise_for_status()
                break
            time.sleep(0.1)
        yield url
        process.terminate()


@pytest.fixture(scope="session")
def edge_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeProcess]:
    """For tests of collections, of which none is about the process."""
    process = EdgeProcess(tmp_path_factory.mktemp("edge"))
    yield process
    process.close()


def _sharding(request: pytest.FixtureRequest, nodes: int) -> Sharding:
    """How a collection lies on a real cluster. Several shards count words each by itself, which some tests compare."""
    if nodes == 1:
        return Sharding()
    return Sharding(1, 3, 3) if request.node.get_closest_marker("one_shard") else Sharding(**SPREAD)


@pytest.fixture(params=["edge", "edge process", "memory", "standin", "grpc", "patient", *REAL, *OVER_GRPC])
def open_index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenIndex]:
    """Opens a collection of one engine by name; every one is closed, and where others would find it dropped, in the end."""
    opened: list[VectorIndex] = []
    names: list[str] = []
    collections: Collections | None = None
    match request.param:
        case "edge":

            def make(name: str) -> VectorIndex:
                return EdgeIndex(tmp_path / f"edge-{name}", name)

        case "edge process":
            child: EdgeProcess = request.getfixturevalue("edge_process")
            collections = child

            def make(name: str) -> VectorIndex:
                names.append(f"test-{name}-{uuid.uuid4()}")
                return child.named(names[-1], StorageSettings())

        case "memory":

            def make(name: str) -> VectorIndex:
                return QdrantIndex(in_memory(), name, ":memory:")

        case "patient":

            def make(name: str) -> VectorIndex:
                return PatientIndex(QdrantIndex(in_memory(), name, ":memory:"), Attempts(Patience()))

        case "standin":
            server: QdrantStandIn = request.getfixturevalue("standin")

            def make(name: str) -> VectorIndex:
                return QdrantIndex(connect(server.url), name, server.url)

        case "grpc":
            port: GrpcStandIn = request.getfixturevalue("standin_grpc")
            over: QdrantStandIn = request.getfixturevalue("standin")

            def make(name: str) -> VectorIndex:
                return QdrantIndex(connect(over.url, grpc_port=port.port), name, over.url)

        case _:
            url, *others = NODE_URLS if request.param == "cluster" else [request.getfixturevalue("server_url")]
            over_grpc = int(os.environ["QDRANT_GRPC_PORT"]) if request.param in OVER_GRPC else None
            sharding = _sharding(request, nodes=1 + len(others))
            collections = QdrantCollections(connect(url, api_key=KEY), url)

            def make(name: str) -> VectorIndex:
                names.append(f"test-{name}-{uuid.uuid4()}")
                return QdrantIndex(connect(url, urls=others, api_key=KEY, grpc_port=over_grpc), names[-1], url, sharding=sharding)

    def open_(name: str) -> VectorIndex:
        opened.append(make(name))
        return opened[-1]

    yield open_
    for index in opened:
        index.close()
    for name in names:
        assert collections
        target = collections.aliases().get(name, name)
        with suppress(CollectionNotFound):
            if target != name:
                collections.unalias(name)
            collections.drop(target)
    if isinstance(collections, QdrantCollections):
        collections.close()


@pytest.fixture(params=["edge", "memory", *SERVERS])
def open_local(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenIndex]:
    """As open_index, on the engines that are everywhere, and on a real server as if it were this test's alone."""
    opened: list[VectorIndex] = []

    def open_(name: str) -> VectorIndex:
        index: VectorIndex
        if request.param == "edge":
            index = EdgeIndex(tmp_path / f"edge-{name}", name)
        elif request.param == "memory":
            index = QdrantIndex(in_memory(), name, ":memory:")
        else:
            server = served[0]
            sharding = _sharding(request, server.nodes)
            index = QdrantIndex(connect(server.url, urls=server.urls[1:]), name, server.url, sharding=sharding)
        opened.append(index)
        return index

    served: list[QdrantStandIn] = [] if request.param in {"edge", "memory"} else [request.getfixturevalue("serve")(request.param)]
    yield open_
    for index in opened:
        index.close()


@pytest.fixture
def local_index(open_local: OpenIndex) -> VectorIndex:
    return open_local("documents")
