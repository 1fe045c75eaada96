"""A forked child gets right answers, from what it opens itself, or a clear error: it never hangs, and takes nobody's answers."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import httpx
import pytest
from forked import OF_SEARCHERS
from forked import start as forked_from
from serving import serving
from standin import QdrantStandIn
from standin_grpc import GrpcStandIn

from search.documents import Document
from search.index.edge.folder import DataFolder
from search.index.server.connection import ServerClient
from search.index.server.nodes import Agreement, Node, Nodes
from search.index.server.transport import BoundedTransport
from search.searcher import Searcher
from search.settings import Settings
from search.system.forks import watch

CHILDREN = 4
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # whose thread, where it is on, hangs a fork as it exits, though it did nothing

# Each part is one of a script that runs in a process of its own: what is opened, and how it is forked.
OPEN = """
import json, multiprocessing, os, sys, threading, time
from search import Document, SearchError, Settings, open_search

documents = [Document(id=str(number), text=f"Document {number} about {number * 7} of them.") for number in range(60)]
texts = [f"Document {number} about {number * 7} of them." for number in range(0, 60, 3)]
searcher = open_search(Settings())
searcher.ingest(documents)

def answer(number):
    result = searcher.search(texts[number % len(texts)], limit=3)
    return [(hit.document_id, round(hit.score, 4)) for hit in result.hits], result.rerank_status

right = [answer(number) for number in range(len(texts))]

def ask(queries):
    told = {"right": 0, "wrong": 0, "errors": []}
    for number in range(queries):
        try:
            told["right" if answer(number) == right[number % len(texts)] else "wrong"] += 1
        except SearchError as error:
            told["errors"].append(f"{type(error).__name__}: {error}")
    return {**told, "errors": sorted(set(told["errors"])), "failed": len(told["errors"])}
"""
FORK = """
ended, all_forked = threading.Event(), threading.Event()
meanwhile = []
def go_on():  # the parent asks, too: in the moment of the fork, and now and then afterwards
    while not ended.wait(.05 if all_forked.is_set() else 0):
        meanwhile.append(ask(1))
asking = threading.Thread(target=go_on)
asking.start()
while not meanwhile:
    time.sleep(.01)
children = []
for _ in range(%(children)d):
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.write(write, json.dumps(ask(%(queries)d)).encode())
        searcher.close()
        sys.exit(0)  # by way of all finalisers
    os.close(write)
    children.append((child, read))
all_forked.set()
told = []
for child, read in children:
    said = os.fdopen(read).read()  # nothing, if it died
    told.append({**json.loads(said or "{}"), "status": os.waitpid(child, 0)[1]})
ended.set()
asking.join()
print(json.dumps({"pid": os.getpid(), "children": told, "parent": meanwhile, "after": ask(20)}))
searcher.close()
"""


class Told(NamedTuple):
    pid: int
    children: list[dict[str, Any]]
    parent: list[dict[str, Any]]
    after: dict[str, Any]


def run(script: str, environment: dict[str, str], timeout_s: float = 500, imports: tuple[str, ...] = OF_SEARCHERS) -> str:
    """What a script prints, in a process group of its own, all of which is ended if it hangs."""
    with TemporaryFile("w+") as stdout, TemporaryFile("w+") as stderr:
        process = forked_from(
            imports,
            ["-c", script],
            handles={1: stdout.fileno(), 2: stderr.fileno()},
            environment={**os.environ, **environment},
        )
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            status = None
        printed, said = (os.pread(one.fileno(), os.fstat(one.fileno()).st_size, 0).decode() for one in (stdout, stderr))
    assert status is not None, f"it hangs: {printed, said}"
    assert status == 0, said
    return printed


def forked(environment: dict[str, str], children: int, queries: int) -> Told:
    # gRPC prepares for forks as it is imported; where that was before a fork of its own, children crash now and then.
    imports = () if "SEARCH_INDEX__GRPC_PORT" in environment else OF_SEARCHERS
    return Told(**json.loads(run(OPEN + FORK % {"children": children, "queries": queries}, environment, imports=imports)))


@pytest.fixture
def models(model_folder: Path, tmp_path: Path) -> dict[str, str]:
    return {
        "SEARCH_EMBEDDER__MODEL": str(model_folder / "embedder-mean"),
        "SEARCH_RERANKER__MODEL": str(model_folder / "cross-encoder"),
        "SEARCH_DATA_DIR": str(tmp_path / "data"),
        "SEARCH_DEPTH": "10",
    }


@pytest.fixture(params=["edge", "own process", "server", "grpc", "memory"])
def engine(request: pytest.FixtureRequest, models: dict[str, str]) -> Iterator[dict[str, str]]:
    match request.param:
        case "edge":
            yield models
        case "own process":
            yield models | {"SEARCH_INDEX__ENGINE": "edge", "SEARCH_INDEX__OWN_PROCESS": "true"}
        case "memory":
            yield models | {"SEARCH_INDEX__ENGINE": "memory"}
        case "grpc":
            with QdrantStandIn() as server, GrpcStandIn(server) as port:
                where = {"SEARCH_INDEX__URL": server.url, "SEARCH_INDEX__GRPC_PORT": str(port.port)}
                yield models | {"SEARCH_INDEX__ENGINE": "qdrant", **where}
        case _:
            with QdrantStandIn() as server:
                yield models | {"SEARCH_INDEX__ENGINE": "qdrant", "SEARCH_INDEX__URL": server.url}


@pytest.mark.timeout(600)
def test_each_child_gets_right_answers_or_a_clear_error(engine: dict[str, str], tmp_path: Path, in_full: bool) -> None:  # noqa: FBT001
    here = engine.get("SEARCH_INDEX__ENGINE", "edge") == "edge"
    queries = 400 if in_full else 150 if here else 50  # which are slow where a stand-in answers
    told = forked(engine, CHILDREN, queries)
    for child in told.children:
        assert child["status"] == 0
        assert child["wrong"] == 0
        if here:  # whose folder is the parent's
            assert child["failed"] == queries
            (error,) = child["errors"]
            assert error.startswith(f"IndexBusy: {tmp_path / 'data'} is in use by process {told.pid}, of which this one is a fork")
            assert "open the searcher after forking" in error
        else:
            assert child["right"] == queries, child["errors"]
    assert sum(one["wrong"] + one["failed"] for one in told.parent) == 0
    assert told.after["right"] == 20
    folder = DataFolder(tmp_path / "data")  # which nobody holds by now
    folder.hold()
    folder.let_go()


def test_real_models_are_loaded_anew(models: dict[str, str]) -> None:
    """Whose threads work together, so that one that the parent loaded would wait for those that are gone."""
    real = {"SEARCH_EMBEDDER__MODEL": "all-MiniLM-L6-v2", "SEARCH_RERANKER__MODEL": "minilm-reranker", "SEARCH_THREADS": "2"}
    with QdrantStandIn() as server:
        told = forked(models | real | {"SEARCH_INDEX__ENGINE": "qdrant", "SEARCH_INDEX__URL": server.url}, 2, 10)
    assert [child["right"] for child in told.children] == [10, 10], told.children
    assert told.after["right"] == 20


POOL = """
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(4) as pool:
        print(json.dumps(pool.map(ask, [20] * 8)))
"""


def test_a_pool_of_processes(models: dict[str, str]) -> None:
    with QdrantStandIn() as server:
        printed = run(OPEN + POOL, models | {"SEARCH_INDEX__ENGINE": "qdrant", "SEARCH_INDEX__URL": server.url})
    assert [one["right"] for one in json.loads(printed)] == [20] * 8


PRELOADED = """
searcher.close()
searcher = open_search(Settings())  # as gunicorn --preload has it: made by the parent, used by children alone
read, write = os.pipe()
if os.fork() == 0:
    os.write(write, json.dumps(ask(20)).encode())
    searcher.close()
    sys.exit(0)
os.close(write)
print(os.fdopen(read).read())
os.wait()
"""


def test_what_the_parent_has_not_opened_is_the_childs(engine: dict[str, str]) -> None:
    if engine.get("SEARCH_INDEX__ENGINE") == "memory":
        pytest.skip("closed, a collection in memory is gone")
    assert json.loads(run(OPEN + PRELOADED, engine))["right"] == 20


IDLE = """
index, model, reranker = searcher.opened(), searcher.embedder, searcher.reranker
owner = (searcher.settings.data_dir / "owner.json")
if (child := os.fork()) == 0:
    told = []
    for use in (index.count, lambda: model.embed_query("x"), lambda: reranker.score("x", ["y"])):
        try:
            use()
        except SearchError as error:
            told.append(f"{type(error).__name__}: {error}")
    index.close()
    print(json.dumps(told))
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert owner.exists()
from search.index.edge.folder import DataFolder
try:
    DataFolder(owner.parent).hold()
except SearchError as error:
    assert "is in use by another searcher of this program" in str(error)
else:
    raise AssertionError("the child let go of what its parent holds")
searcher.close()
DataFolder(owner.parent).hold()
"""


@pytest.mark.parametrize("own_process", ["false", "true"])
def test_parts_that_are_held_directly_say_that_they_are_the_parents(models: dict[str, str], own_process: str) -> None:
    engine = {"SEARCH_INDEX__ENGINE": "edge", "SEARCH_INDEX__OWN_PROCESS": own_process}
    index, model, reranker = json.loads(run(OPEN + IDLE, models | engine))
    assert index.startswith("IndexBusy: ")
    assert "of which this one is a fork" in index
    for error in (model, reranker):
        assert error.startswith("InferenceFailed: the model ")
        assert "of which this one is a fork; load it again" in error


EARLIER = "import os; os.register_at_fork(after_in_child=lambda: [[number] for number in range(100_000)])"  # which collects
GARBAGE = """
import gc
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 4
cycle = [onnxruntime.InferenceSession(os.path.join(os.environ["SEARCH_RERANKER__MODEL"], "model.onnx"), options)]
cycle.append(cycle)
gc.disable()
del cycle
gc.enable()
if (child := os.fork()) == 0:
    gc.collect()
    os._exit(0 if gc.isenabled() else 1)
assert gc.isenabled()
for _ in range(300):
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended:
        break
    time.sleep(.1)
else:
    os.kill(child, 9)
print(status if ended else "hangs")
"""


def test_what_the_parent_had_not_collected_is_not_finalised_in_a_child(models: dict[str, str]) -> None:
    assert run(EARLIER + OPEN + GARBAGE, models, imports=()).strip() == "0"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_collector_that_is_off_stays_off_in_a_child() -> None:
    off = "import gc, os, search.system.forks; gc.disable(); child = os.fork(); on = gc.isenabled()"
    run(f"{off}\nif child: on |= bool(os.waitpid(child, 0)[1])\nos._exit(on)", {})


HOLD = """
import sys
from pathlib import Path
from search.index.edge.folder import DataFolder
DataFolder(Path(sys.argv[1])).hold()
"""
OUTLIVED = """
if os.fork() == 0:
    time.sleep(60)
    os._exit(0)
print(os.getpid(), flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("own_process", ["false", "true"])
def test_a_child_that_outlives_its_parent_does_not_keep_the_folder(
    models: dict[str, str], own_process: str, tmp_path: Path
) -> None:
    engine = {"SEARCH_INDEX__ENGINE": "edge", "SEARCH_INDEX__OWN_PROCESS": own_process}
    command = [sys.executable, "-c", OPEN + OUTLIVED]
    with subprocess.Popen(
        command, env={**os.environ, **models, **engine}, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline()
        process.wait()
        try:
            for left in reversed(range(100)):  # the engine sees its parent end, and ends
                done = subprocess.run([sys.executable, "-c", HOLD, tmp_path / "data"], capture_output=True, text=True, check=False)
                if done.returncode == 0:
                    break
                assert left, done.stderr
        finally:
            os.killpg(process.pid, 9)


TORN = """
from search.index.server.index import QdrantIndex
writing, go_on = threading.Event(), threading.Event()
class Slow(list):
    def __iter__(self):
        writing.set()
        go_on.wait()
        return super().__iter__()
thread = threading.Thread(target=lambda: searcher.ingest(Slow()))
thread.start()
writing.wait()
if os.fork() == 0:
    print(json.dumps(ask(3)), flush=True)
    os._exit(0)
os.wait()
go_on.set()
"""


def test_a_copy_of_memory_in_the_middle_of_a_write_is_not_used(models: dict[str, str]) -> None:
    told = json.loads(run(OPEN + TORN, models | {"SEARCH_INDEX__ENGINE": "memory"}))
    assert told["errors"] == [
        "SearchError: this process was forked while another thread wrote to the collection in memory; fork before that or after it"
    ]


ASKING = """
held, go_on = threading.Event(), threading.Event()
client = searcher.collections._client
def ask_slowly():
    with client._turn:  # as in the middle of a search
        held.set()
        go_on.wait()
thread = threading.Thread(target=ask_slowly)
thread.start()
held.wait()
if (child := os.fork()) == 0:
    print(json.dumps(ask(3)), flush=True)
    os._exit(0)
go_on.set()
os.waitpid(child, 0)
"""


def test_a_copy_of_memory_in_the_middle_of_a_search_is_used(models: dict[str, str]) -> None:
    told = json.loads(run(OPEN + ASKING, models | {"SEARCH_INDEX__ENGINE": "memory"}, timeout_s=60))
    assert (told["right"], told["errors"]) == (3, [])


TORN_BESIDE = """
beside = [searcher.beside(f"other{number}") for number in range(10)]
missed = 0
for one in beside:
    with one._parts.writing:
        if (child := os.fork()) == 0:
            os._exit(1 if ask(1)["errors"] == [] else 0)
        missed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(missed)
"""


def test_a_write_to_a_collection_beside_is_seen_in_every_fork(models: dict[str, str]) -> None:
    assert run(OPEN + TORN_BESIDE, models | {"SEARCH_INDEX__ENGINE": "memory"}).strip() == "0"


class _Broken:
    def __init__(self) -> None:
        self.connection = "the parent's"

    def use(self) -> str:
        return self.connection

    def after_fork(self) -> None:
        raise OSError("no descriptors")


def test_what_could_not_be_made_anew_is_not_used_in_a_child() -> None:
    parent = os.getpid()

    def carried() -> dict[str, Any]:
        if os.getpid() != parent:
            raise OSError("no descriptors")
        return {"url": "http://127.0.0.1:1", "transport": BoundedTransport(httpx.HTTPTransport(), 1), "check_compatibility": False}

    client = ServerClient(Nodes([Node("http://127.0.0.1:1", carried, None)], 1, Agreement()))
    broken = _Broken()
    watch(broken)
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        errors = []
        for use in (lambda: broken.use(), lambda: client.get_collections()):  # noqa: PLW0108  # looked up in the child
            try:
                use()
                errors.append("was used")
            except Exception as raised:
                errors.append(f"{type(raised).__name__}: {raised}")
        os.write(write, json.dumps(errors).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        errors = json.loads(stream.read())
    os.waitpid(child, 0)
    assert len(errors) == 2
    for error in errors:
        assert error.startswith(("SearchError: ", "IndexFaulted: ")), error
        assert "of which this one is a fork; open another" in error
    assert broken.use() == "the parent's"


CLIENT = """
import json, os, sys
from search.client import Client
client = Client(sys.argv[1])
def answers():
    return [client.search(text).hits[0].document_id for text in ("Document 1", "Document 2", "Document 7")]
right = answers()
pipes = []
for _ in range(4):
    read, write = os.pipe()
    if os.fork() == 0:
        same = sum(answers() == right for _ in range(30))
        os.write(write, str(same).encode())
        sys.exit(0)
    os.close(write)
    pipes.append(read)
print(*(os.fdopen(read).read() for read in pipes))
"""


@pytest.mark.timeout(600)
def test_the_services_client_connects_anew(settings: Settings, model_folder: Path) -> None:
    def fill(searcher: Searcher) -> None:
        searcher.ingest([Document(id=str(number), text=f"Document {number}") for number in range(10)])

    models = {"model": str(model_folder / "embedder-mean")}
    quick = settings.model_copy(update={"embedder": models, "reranker": {"kind": "none"}})
    with serving(quick, fill, queue_s=60) as served:
        command = [sys.executable, "-c", CLIENT, served.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.stdout.split() == ["30"] * 4, done.stderr
