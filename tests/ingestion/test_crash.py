"""Killed at any point and run again, or on a full disk: the end equals one clean run."""

import errno
import inspect
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apart
import numpy as np
import pytest
from commands import one_line, search, search_apart
from held import contents
from upstream import SERVERS, Serve

from search.embedding.dense import FastEmbedEmbedder
from search.errors import IndexFull, IndexRejected
from search.index.contract import CollectionSpec, Point, Query, VectorIndex
from search.index.edge.collections import EdgeCollections
from search.index.edge.folder import DataFolder
from search.index.edge.index import EdgeIndex
from search.index.server.connection import connect
from search.index.server.index import QdrantIndex
from search.system.files import is_full, lack_of_room

RUN = """
import sys
from search import Document, Settings, open_search
from search.index.server import lease
lease._RENEWED_EVERY_S, lease._DEAD_AFTER_S = 0.2, 0.8  # a killed writer is given up after a moment, not after twelve seconds
lease._LOOKED_AT_EVERY_S, lease._SETTLED_AFTER_S = 0.05, 0.01
version, count, words = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
def documents():
    for i in range(count):
        if (i + version) % 10:  # some come and some go with every version
            text = f"Document {i}, version {version if i % 3 else 0}. " + "A sentence about nothing. " * (i * 7 % words)
            yield Document(id=str(i), text=text)
with open_search(Settings(chunking={"tokens": 30, "overlap": 0})) as searcher:
    print("ready", flush=True)
    searcher.ingest(documents(), sync=True, max_delete=count)
"""
DOCUMENTS = 150


@pytest.fixture(params=["edge", *SERVERS])
def place(request: pytest.FixtureRequest, serve: Serve, tmp_path: Path, model_folder: Path) -> Callable[[str], dict[str, str]]:
    """The settings that put a collection of some name into one engine, for a process of its own."""
    shared = {**os.environ, "SEARCH_EMBEDDER__MODEL": str(model_folder / "embedder-mean"), "SEARCH_THREADS": "1"}
    server = {} if request.param == "edge" else serve(request.param).environment

    def settings(name: str) -> dict[str, str]:
        return {**shared, **server, "SEARCH_COLLECTION": name} if server else {**shared, "SEARCH_DATA_DIR": str(tmp_path / name)}

    return settings


def held(settings: dict[str, str], embedder: FastEmbedEmbedder) -> dict[str, list[tuple[int, str, object]]]:
    index: VectorIndex
    if url := settings.get("SEARCH_INDEX__URL"):
        index = QdrantIndex(connect(url), settings["SEARCH_COLLECTION"], url)
    else:
        index = EdgeIndex(Path(settings["SEARCH_DATA_DIR"]), "documents")
    index.ensure(CollectionSpec(embedder.dimension, embedder.fingerprint), create=False)
    found = contents(index)
    index.close()
    return found


def run(version: int, settings: dict[str, str], kill_after_s: float | None = None, *, words: int = 12) -> float:
    """One run; killed, if asked, some seconds after it was ready to begin. How long it took from then."""
    with apart.python(RUN, version, DOCUMENTS, words, environment=settings) as process:
        assert process.stdout.readline() == "ready\n"
        started = time.monotonic()
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            process.kill()
        assert process.wait() in ({0} if kill_after_s is None else {0, -signal.SIGKILL})
    return time.monotonic() - started


def test_killed_anywhere_and_run_again_equals_one_clean_run(
    place: Callable[[str], dict[str, str]],
    quick_embedder: FastEmbedEmbedder,
    in_full: bool,  # noqa: FBT001  # a fixture
) -> None:
    """Version after version, each killed once or twice before it is run to its end."""
    draw = random.Random(4)  # noqa: S311  # no secret
    took = run(1, place("killed"))
    for version in range(2, 27 if in_full else 4):
        for _ in range(2):
            run(version, place("killed"), draw.random() * took)
        took = run(version, place("killed"))
        clean = place(f"clean{version}")
        run(version, clean)
        assert held(place("killed"), quick_embedder) == held(clean, quick_embedder)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A disk of so many megabytes; asked again, the same one with another size."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def disk(megabytes: int) -> Path:
        options = f"{'remount,' if os.path.ismount(folder) else ''}size={megabytes}m"  # pathlib's is the same
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("only root may mount a small disk")
        return folder

    yield disk
    subprocess.run(["umount", folder], capture_output=True, check=False)


@pytest.mark.timeout(300)
def test_a_full_disk_ends_a_run_that_goes_on_when_there_is_room(
    small_disk: Callable[[int], Path], model_folder: Path, tmp_path: Path, quick_embedder: FastEmbedEmbedder
) -> None:
    settings = {**os.environ, "SEARCH_EMBEDDER__MODEL": str(model_folder / "embedder-mean"), "SEARCH_DATA_DIR": str(small_disk(47))}
    run_ = RUN.replace("text=text", "text=text, metadata={'long': f'{i} ' * 1_000}")
    command = [sys.executable, "-c", run_, "1", "800", "12"]
    full = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    assert full.returncode == 1, full.returncode  # and not killed by the system
    assert "IndexFull" in full.stderr
    assert "make room and run the same again, what was written stays" in full.stderr
    small_disk(900)
    written = held(settings, quick_embedder)
    assert 0 < len(written) < 720
    subprocess.run(command, env=settings, check=True, capture_output=True)
    clean = {**settings, "SEARCH_DATA_DIR": str(tmp_path / "clean")}
    subprocess.run(command, env=clean, check=True, capture_output=True)
    assert held(settings, quick_embedder) == held(clean, quick_embedder)


def test_too_little_room_for_a_collection(small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(20)
    index = EdgeIndex(disk, "documents")
    with pytest.raises(IndexFull, match=r"(19|20|21) MB are left"):
        index.ensure(CollectionSpec(8, "model@1"), create=True)
    free = shutil.disk_usage(disk).free
    with pytest.raises(
        IndexFull, match=rf"{free // 1_000_000} MB are left on the disk of .*, and {free // 1_000_000 + 1} are needed to open"
    ):
        index._need(free + 1, "to open")


FILL = """
import sys
from pathlib import Path
import numpy as np
from search.index.contract import CollectionSpec, Point
from search.index.edge import index as edge
from search.index.edge.index import EdgeIndex
edge._OPTIMIZED_EVERY = 6_000  # 12 MB: more than the engine needs to build a graph
index = EdgeIndex(Path(sys.argv[1]), "documents")
index.ensure(CollectionSpec(512, "model@1"), create=True)
written = index.count()
while written < 40_000:
    draw = np.random.default_rng(written)
    vectors = draw.normal(size=(500, 512)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    numbers = range(written, written + 500)
    ids = [f"00000000-0000-0000-0000-{number:012}" for number in numbers]
    index.upsert([Point(one, vector, {"document_id": one}) for one, vector in zip(ids, vectors)])
    written += 500
    print(written, index.details()["indexed_vectors"], flush=True)
"""


@pytest.mark.timeout(300)
def test_killed_while_memory_is_given_back(tmp_path: Path, in_full: bool) -> None:  # noqa: FBT001  # a fixture
    """Every now and then the graph is built and the files are opened anew; what was acknowledged outlives a kill in between."""
    draw = random.Random(6)  # noqa: S311  # no secret
    graphs = 0
    for turn in range(20 if in_full else 2):
        data = tmp_path / str(turn)
        acknowledged = indexed = 0
        with subprocess.Popen([sys.executable, "-c", FILL, str(data)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            least = draw.randrange(6_000, 24_000, 500) if in_full else (6_000, 5_500)[turn]  # a graph is built from the last one on
            built = turn % 2 == 0  # else it is killed while a graph is being built beside
            while (acknowledged < least or (built and not indexed)) and (line := process.stdout.readline()):
                acknowledged, indexed = map(int, line.split())
                graphs += indexed > 0
            time.sleep(draw.random())
            process.kill()
            acknowledged = max([acknowledged, *(int(line.split()[0]) for line in process.stdout if line.endswith("\n"))])
        index = EdgeIndex(data, "documents")
        index.ensure(CollectionSpec(512, "model@1"), create=False)
        held = sorted(record.id for record in index.scroll(fields=[]))
        assert len(held) == len(set(held)) >= acknowledged > 0
        assert held[:acknowledged] == [f"00000000-0000-0000-0000-{number:012}" for number in range(acknowledged)]
        index.close()
    assert graphs


@pytest.mark.parametrize("left", [(), ("segment.json",), ("segments",), ("segments", "config"), ("",)], ids=str)
def test_a_collection_whose_making_was_interrupted_is_made_again(left: tuple[str, ...], tmp_path: Path) -> None:
    """Killed between the engine's files, of which some are there and some are not."""
    spec = CollectionSpec(8, "model@1")
    index = EdgeIndex(tmp_path, "documents")
    index.ensure(spec, create=True)
    index.close()
    folder = tmp_path / "collections" / "documents"
    (folder / "collection.json").unlink()
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and any(part in str(path.relative_to(folder)) for part in left):
            path.unlink()
    index.ensure(spec, create=True)
    assert index.count() == 0
    index.close()


def fill_up(disk: Path, leave: int) -> None:
    """Make a file that takes what room there is, but for so many bytes."""
    step, taken = shutil.disk_usage(disk).free, 0
    with (disk / "filler").open("wb") as filler:
        while (step := min(step, shutil.disk_usage(disk).free - leave)) >= 4_096:
            try:
                os.posix_fallocate(filler.fileno(), taken, step)
                taken += step
            except OSError:
                step //= 2


AT_WORK = """
import sys
import numpy as np
from search.errors import IndexFailure
from search.index.contract import CollectionSpec, Query
from search.index.edge.collections import EdgeCollections
from search.index.edge.process import EdgeProcess
from search.settings import StorageSettings

data, engine, work, leave = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
collections = EdgeProcess(data) if engine == "process" else EdgeCollections(data)
index = collections.named("documents", StorageSettings())

def open_it():
    index.ensure(CollectionSpec(64, "model@1"), create=False)

try:
    match work:
        case "open":
            fill_up(data.parent, leave)
            open_it()
            print(index.count(), len(index.query(Query(np.ones(64, np.float32)), 5)))
        case "info":
            fill_up(data.parent, leave)
            print(collections.info("documents").points)
        case "delete":
            open_it()
            fill_up(data.parent, leave)
            for one in range(3_000):
                index.delete(ids=[f"00000000-0000-0000-0000-{one:012}"])
            index.delete(filter={"must": []})
        case "switch":
            fill_up(data.parent, leave)
            collections.switch("other", "documents")
        case "snapshot":
            fill_up(data.parent, leave)
            collections.snapshot("documents")
    print("done")
except IndexFailure as error:
    print(type(error).__name__, error)
finally:
    index.close()
    collections.close()
"""
FILLING = f"import os, shutil\nfrom pathlib import Path\n{inspect.getsource(fill_up)}"


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with 3,000 points and an alias."""
    data = tmp_path_factory.mktemp("made") / "data"
    vectors = np.random.default_rng(0).normal(size=(3_000, 64)).astype(np.float32)
    ids = [f"00000000-0000-0000-0000-{number:012}" for number in range(3_000)]
    index = EdgeIndex(data, "documents")
    index.ensure(CollectionSpec(64, "model@1"), create=True)
    index.upsert([Point(one, vector, {"document_id": one, "text": "x" * 200}) for one, vector in zip(ids, vectors, strict=True)])
    index.close()
    EdgeCollections(data).switch("name", "documents")
    return data


@pytest.mark.parametrize(
    ("engine", "work", "leave"),
    [
        *(("here", work, leave) for work in ("open", "delete", "switch", "snapshot") for leave in (0, 3_000_000)),
        ("here", "open", 30_000_000),
        ("here", "info", 0),
        *(("process", work, 0) for work in ("open", "delete", "switch")),
    ],
)
def test_on_a_full_disk_it_says_so_and_nothing_is_killed_or_lost(
    work: str, engine: str, leave: int, small_disk: Callable[[int], Path], collection: Path
) -> None:
    disk = small_disk(400)
    data = disk / "data"
    subprocess.run(["cp", "--archive", collection, data], check=True)  # holes in files stay holes, as the engine leaves them
    aliases = (data / "aliases.json").read_text()
    with apart.python(FILLING + AT_WORK, data, engine, work, leave, environment=os.environ) as process:
        printed, said = process.stdout.read(), process.stderr.read()
        assert process.wait() == 0, said  # and not killed by the system
    if work == "switch" and leave:
        assert printed == "done\n"
    elif work != "snapshot" or leave < 30_000_000:
        assert printed.startswith("IndexFull "), printed
        assert "make room" in printed
        assert (data / "aliases.json").read_text() == aliases
    assert not list(data.rglob("*.json.unfinished"))
    assert not list(data.rglob("*.unfinished"))
    assert shutil.disk_usage(disk).free < leave + 60_000_000  # it was full, or as good as
    (disk / "filler").unlink()
    index = EdgeIndex(data, "documents")
    index.ensure(CollectionSpec(64, "model@1"), create=False)
    assert (index.count(), len(index.query(Query(np.ones(64, np.float32)), 5))) == (3_000, 5)
    index.close()


@pytest.mark.parametrize(("work", "leave", "left"), [("open", 60_000_000, 3_000), ("delete", 6_000_000, 0)])
def test_what_takes_little_is_done_where_there_is_little_room(
    work: str, leave: int, left: int, small_disk: Callable[[int], Path], collection: Path
) -> None:
    """The files of a collection that is opened have 130 MB that the disk has not set aside, and it takes a third of them."""
    disk = small_disk(400)
    data = disk / "data"
    subprocess.run(["cp", "--archive", collection, data], check=True)
    with apart.python(FILLING + AT_WORK, data, "here", work, leave, environment=os.environ) as process:
        assert process.stdout.read().endswith("done\n")
        assert process.wait() == 0
    (disk / "filler").unlink()
    index = EdgeIndex(data, "documents")
    index.ensure(CollectionSpec(64, "model@1"), create=False)
    assert index.count() == left
    index.close()


def test_on_a_full_disk_a_query_and_the_doctor_say_so_or_answer(
    small_disk: Callable[[int], Path], model_folder: Path, tmp_path: Path
) -> None:
    disk = small_disk(200)
    environment: dict[str, Any] = {"SEARCH_DATA_DIR": str(disk / "data"), "SEARCH_RERANKER__KIND": "none"}
    environment |= {"SEARCH_EMBEDDER__MODEL": str(model_folder / "embedder-mean")}
    (tmp_path / "cats.txt").write_text("Cats sleep most of the day.")
    for name in ("documents", "other"):
        search("ingest", tmp_path / "cats.txt", "--collection", name, **environment)
    fill_up(disk, 0)
    asked = search_apart("query", "cats", status=None, **environment)
    assert asked.returncode in {0, 1}, asked  # and not killed by the system
    if asked.returncode:
        assert "make room" in one_line(asked)
    else:
        assert "cats.txt" in asked.stdout
    examined = search_apart("doctor", status=None, **environment)
    assert examined.returncode in {0, 1}, examined
    assert examined.stderr == ""
    if examined.returncode:
        (problem,) = [line for line in examined.stdout.splitlines() if line.startswith("PROBLEM")]
        assert "make room" in problem
    assert search("collections", "drop", "other", "--yes", **environment).stdout.startswith("other is removed, ")
    (disk / "filler").unlink()
    assert "cats.txt" in search("query", "cats", **environment).stdout


def test_a_data_folder_on_a_read_only_disk_is_to_be_copied(small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(10)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(
        IndexRejected, match=r"\(Read-only file system\); the engine writes .*: copy it to a disk that can be written"
    ):
        EdgeIndex(disk / "data", "documents").ensure(CollectionSpec(4, "model@1"), create=True)


def test_texts_are_their_owners_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    theirs.chmod(0o755)
    before = os.umask(0)
    try:
        for data in (tmp_path / "parent" / "ours", theirs):
            index = EdgeIndex(data, "documents")
            index.ensure(CollectionSpec(8, "model@1"), create=True)
            index.close()
        EdgeCollections(theirs).snapshot("documents")
    finally:
        os.umask(before)
    assert (tmp_path / "parent" / "ours").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "parent").stat().st_mode & 0o777 == 0o700
    assert theirs.stat().st_mode & 0o777 == 0o755  # as whoever made it has set it
    for made in (theirs / "collections", theirs / "collections" / "documents", theirs / "snapshots"):
        assert made.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_synced_is_written_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync = os.fsync

    def of_files_alone(descriptor: int) -> None:  # as CIFS, FUSE and 9p have it
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync(descriptor)

    monkeypatch.setattr("os.fsync", of_files_alone)
    folder = DataFolder(tmp_path)
    folder.write_aliases({"a": {"name": "b"}})
    assert folder.leads_to("a") == "b"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_known_by_its_number_and_by_its_words(number: int) -> None:
    assert is_full(OSError(number, "whatever"))
    assert is_full(shutil.Error([("a", "b", f"[Errno {number}] {os.strerror(number)}: 'a'")]))
    assert is_full(RuntimeError(f"service error: {os.strerror(number)} (os error {number})"))
    advice = "raise it (ulimit -f)" if number == errno.EFBIG else "make room"
    assert lack_of_room("x", RuntimeError(os.strerror(number))).endswith(f"({os.strerror(number)}); {advice}")
    assert not is_full(OSError(errno.EACCES, os.strerror(errno.EACCES)))
