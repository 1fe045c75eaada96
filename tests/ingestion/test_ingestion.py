"""Whatever happens on the way, a collection ends up holding each document once, in its last version."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import apart
import numpy as np
import pytest
from conftest import OpenIndex
from filelock import FileLock, Timeout
from held import LONG, contents, ingest
from standin import Fault, QdrantStandIn
from upstream import everywhere

from search.documents import Document, Rejection
from search.embedding.dense import FastEmbedEmbedder
from search.errors import (
    CollectionNotFound,
    IndexBusy,
    IndexCorrupt,
    IndexFailure,
    IndexFull,
    IndexHindered,
    IndexRejected,
    InvalidDocument,
    SearchError,
)
from search.index.contract import CollectionSpec, Point, Query, VectorIndex
from search.index.edge.collections import EdgeCollections
from search.index.edge.index import EdgeIndex
from search.index.edge.process import EdgeProcess
from search.index.edge.shard import load, translated
from search.index.server.connection import connect
from search.index.server.index import QdrantIndex
from search.ingestion import planning
from search.ingestion.chunking import Chunker
from search.ingestion.report import IngestReport, Progress
from search.ingestion.run import Ingestion
from search.reading import Reading
from search.searcher import Searcher, open_search
from search.settings import ChunkingSettings, Settings, StorageSettings


def test_added_changed_unchanged(local_index: VectorIndex, bundled_embedder: FastEmbedEmbedder) -> None:
    first = [Document(id="a", text=LONG), Document(id="b", text="Short."), Document(id="c", text="Short too.")]
    report = ingest(local_index, bundled_embedder, first)
    assert (report.added, report.changed, report.unchanged, report.rejected) == (3, 0, 0, 0)
    assert report.chunks == local_index.count() > 8
    second = [Document(id="a", text="Shorter now."), first[1], Document(id="c", text="Short too.", metadata={"new": True})]
    report = ingest(local_index, bundled_embedder, second)
    assert (report.added, report.changed, report.unchanged, report.chunks) == (0, 2, 1, 2)
    assert contents(local_index) == {
        "a": [(0, "Shorter now.", {})],
        "b": [(0, "Short.", {})],
        "c": [(0, "Short too.", {"new": True})],
    }


def test_another_chunking_replaces_every_passage(local_index: VectorIndex, bundled_embedder: FastEmbedEmbedder) -> None:
    ingest(local_index, bundled_embedder, [Document(id="a", text=LONG)])
    before = local_index.count()
    chunker = Chunker(bundled_embedder.tokenizer, 128, 0)
    report = Ingestion(bundled_embedder, local_index, chunker, max_characters=10_000).run([Document(id="a", text=LONG)])
    assert report.changed == 1
    assert local_index.count() < before
    assert "".join(text for _, text, _ in contents(local_index)["a"]).replace(" ", "") == LONG.replace(" ", "")


def test_rejections_are_counted_and_handed_on(local_index: VectorIndex, bundled_embedder: FastEmbedEmbedder) -> None:
    malformed = Rejection("f.jsonl", 3, None, "not JSON")
    seen: list[Rejection] = []
    documents = [Document(id="a", text="One."), malformed, Document(id="a", text="Two."), Document(id="b", text="x" * 10_001)]
    report = ingest(local_index, bundled_embedder, documents, on_rejection=seen.append)
    assert (report.added, report.rejected) == (1, 3)
    assert list(report.rejections) == seen
    assert [str(rejection).split(": ", 1)[1] for rejection in seen] == [
        "not JSON",
        "the id stands twice in this run; the first one was taken",
        "10,001 characters are more than 10,000; split it, or raise SEARCH_CHUNKING__MAX_CHARACTERS",
    ]
    assert contents(local_index)["a"] == [(0, "One.", {})]


def test_a_document_of_five_megabytes(tmp_path: Path) -> None:
    with open_search(Settings(data_dir=tmp_path)) as searcher:
        report = searcher.ingest([Document(id="a", text="word " * 1_000_000), Document(id="b", text="Short.")])
    assert (report.added, report.rejected) == (1, 1)
    assert "5,000,000 characters are more than 4,000,000" in report.rejections[0].reason


def test_nothing_to_ingest(local_index: VectorIndex, bundled_embedder: FastEmbedEmbedder) -> None:
    report = ingest(local_index, bundled_embedder, [])
    assert (report.added, report.chunks) == (0, 0)


def test_text_the_embedder_does_not_know_is_counted(local_index: VectorIndex, bundled_embedder: FastEmbedEmbedder) -> None:
    documents = [Document(id="zh", text="请告诉我们你的想法"), Document(id="en", text="Tell us what you think.")]
    assert ingest(local_index, bundled_embedder, documents).unknown == 1


def test_long_documents_are_taken_few_at_a_time(
    local_index: VectorIndex, quick_embedder: FastEmbedEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading stays behind writing by a bounded number of characters, not only of documents."""
    monkeypatch.setattr(planning, "_GROUP_CHARACTERS", 4_000)
    ahead: list[int] = []
    run = Ingestion(quick_embedder, local_index, Chunker(quick_embedder.tokenizer, 254, 0), max_characters=3_000)

    def documents() -> Iterator[Document]:
        for i in range(20):
            ahead.append(i - sum(run._counts.values()))
            yield Document(id=str(i), text=f"{i} " + "word " * 400 + "end.")

    assert run.run(documents()).added == 20
    assert max(ahead) <= 6  # two to a group, which is three steps, and four steps may be under way


def test_progress_counts_up(local_index: VectorIndex, quick_embedder: FastEmbedEmbedder) -> None:
    steps: list[Progress] = []
    ingest(local_index, quick_embedder, [Document(id=str(i), text=f"Text {i}.") for i in range(300)], on_progress=steps.append)
    assert [step.documents for step in steps] == sorted(step.documents for step in steps)
    assert (steps[-1].documents, steps[-1].chunks) == (300, 300)


def test_documents_are_read_as_they_are_needed(local_index: VectorIndex, quick_embedder: FastEmbedEmbedder) -> None:
    written: list[int] = []

    def documents() -> Iterator[Document]:
        for i in range(1000):
            assert i - (written[-1] if written else 0) <= 400
            yield Document(id=str(i), text=f"Text {i}.")

    run = Ingestion(
        quick_embedder,
        local_index,
        Chunker(quick_embedder.tokenizer, 64, 0),
        max_characters=100,
        on_progress=lambda progress: written.append(progress.chunks),
    )
    assert run.run(documents()).added == 1000


@pytest.mark.usefixtures("brief_lease")
@pytest.mark.parametrize("fault", [Fault(500), Fault(429), Fault(delay_s=0.8)], ids=["error", "busy", "slow"])
@everywhere
def test_a_server_that_fails_midway_loses_nothing(fault: Fault, standin: QdrantStandIn, quick_embedder: FastEmbedEmbedder) -> None:
    documents = [Document(id=str(i), text=f"Text {i}. " + LONG[: i * 20]) for i in range(40)]
    clean = QdrantIndex(connect(standin.url), "clean", standin.url)
    ingest(clean, quick_embedder, documents)
    brief: Any = 0.5
    index = QdrantIndex(connect(standin.url, timeout_s=brief), "documents", standin.url)
    index.ensure(CollectionSpec(quick_embedder.dimension, quick_embedder.fingerprint), create=True)
    for healthy in range(6):  # requests that go well before the fault
        standin.faults += [*[Fault()] * healthy, fault]
        with suppress(IndexFailure):  # which kind is test_qdrant's concern, and some faults come too late to matter
            ingest(index, quick_embedder, documents)
        standin.faults.clear()
    ingest(index, quick_embedder, documents)
    assert contents(index) == contents(clean)
    index.close()
    clean.close()


KILLED = """
import os, sys, time
from search import Document, Settings, open_search
version = sys.argv[2]
documents = [
    Document(id=str(i), text=f"Document {i}, version {version}. " + "A sentence about nothing. " * (i * 7 % 12)) for i in range(400)
]
def report(progress):
    print(progress.chunks, flush=True)
    if len(sys.argv) > 3 and progress.chunks >= int(sys.argv[3]):
        time.sleep(30)  # while what was embedded is written by another thread: a tiny model would be done before the signal comes

with open_search(Settings(data_dir=sys.argv[1], chunking={"tokens": 30, "overlap": 0})) as searcher:
    searcher.ingest(documents, on_progress=report)
"""


def run_version(data_dir: Path, version: str, model: Path, kill_after: int | None = None) -> None:
    """Ingest one version of the documents; kill -9 once this many passages are written."""
    environment = {**os.environ, "SEARCH_EMBEDDER__MODEL": str(model), "SEARCH_THREADS": "1"}
    last = () if kill_after is None else (kill_after,)
    with apart.python(KILLED, data_dir, version, *last, environment=environment) as process:
        for line in process.stdout:
            if kill_after is not None and int(line) >= kill_after:
                time.sleep(random.random() * 0.05)  # noqa: S311  # anywhere in the work that follows
                process.kill()
                break
        assert process.wait() == (0 if kill_after is None else -signal.SIGKILL)


def edge_contents(data_dir: Path, embedder: FastEmbedEmbedder) -> dict[str, list[tuple[int, str, Any]]]:
    index = EdgeIndex(data_dir, "documents")
    index.ensure(CollectionSpec(embedder.dimension, embedder.fingerprint), create=False)
    try:
        return contents(index)
    finally:
        index.close()


def test_killed_and_run_again_equals_one_clean_run(tmp_path: Path, quick_embedder: FastEmbedEmbedder, model_folder: Path) -> None:
    model = model_folder / "embedder-mean"
    run_version(tmp_path / "clean", "2", model)
    run_version(tmp_path / "killed", "1", model, kill_after=256)
    run_version(tmp_path / "killed", "1", model, kill_after=128)
    run_version(tmp_path / "killed", "2", model, kill_after=256)
    run_version(tmp_path / "killed", "2", model)
    expected = edge_contents(tmp_path / "clean", quick_embedder)
    assert len(expected) == 400
    assert edge_contents(tmp_path / "killed", quick_embedder) == expected


def test_a_second_process_is_told_who_has_the_folder(tmp_path: Path) -> None:
    with open_search(Settings(data_dir=tmp_path)) as searcher:
        searcher.ingest([Document(id="a", text="One.")])
        script = f"from search import *; print(open_search(Settings(data_dir={str(tmp_path)!r})).search('one'))"
        second = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert f"IndexBusy: {tmp_path} is in use by process {os.getpid()}" in second.stderr
        assert "give this one another --data-dir" in second.stderr
        with pytest.raises(IndexBusy, match="another searcher of this program"):
            open_search(Settings(data_dir=tmp_path)).search("one")
        assert searcher.search("one").hits[0].document_id == "a"
    again: Searcher = open_search(Settings(data_dir=tmp_path))
    assert again.search("one").hits[0].document_id == "a"
    again.close()


def test_threads_open_search_and_close_one_folder(tmp_path: Path) -> None:
    with open_search(Settings(data_dir=tmp_path)) as searcher:
        searcher.ingest([Document(id="a", text="One."), Document(id="b", text="Two.")])
    for opened_here in (True, False):
        searcher = open_search(Settings(data_dir=tmp_path))
        if opened_here:
            searcher.search("one")
        index = searcher.index  # held, lest its end releases what its closing did not
        with ThreadPoolExecutor(8) as threads:
            results = list(threads.map(lambda _, searcher=searcher: searcher.search("one").hits[0].document_id, range(24)))
            assert results == ["a"] * 24
            threads.submit(searcher.close).result()
            with open_search(Settings(data_dir=tmp_path)) as again:
                assert again.search("one").hits[0].document_id == "a"
        index.close()


def test_a_document_half_written_or_half_replaced_is_repaired(
    local_index: VectorIndex, bundled_embedder: FastEmbedEmbedder
) -> None:
    documents = [Document(id="a", text=LONG), Document(id="b", text="Short.")]
    ingest(local_index, bundled_embedder, documents)
    expected = contents(local_index)
    victim = next(record for record in local_index.scroll() if record.payload["document_id"] == "a")
    local_index.delete(ids=[victim.id])  # as if the run had ended before it was written
    report = ingest(local_index, bundled_embedder, documents)
    assert (report.changed, report.unchanged) == (1, 1)
    assert contents(local_index) == expected
    vector = bundled_embedder.embed_query("old")
    stale = Point(str(uuid.uuid4()), vector, {**victim.payload, "revision": "old", "text": "old"})
    local_index.upsert([stale])  # as if the run had ended before it was deleted
    assert ingest(local_index, bundled_embedder, documents).changed == 1
    assert contents(local_index) == expected


def test_where_a_document_was_read_is_content_of_nobody(tmp_path: Path) -> None:
    """What earlier collections do not know changes nothing, and is told of nobody; what is known is kept."""
    with open_search(Settings(data_dir=tmp_path)) as searcher:
        old = [Document("docs/a", "Cats sleep."), Document("docs/b", "Dogs bark.")]
        searcher.ingest(old)
        report = searcher.ingest([replace(old[0], folder="one"), Document("docs/b", "Dogs bark at night.", folder="one")])
        assert (report.unchanged, report.changed, report.elsewhere) == (1, 1, 0)
        assert (searcher.get("docs/a").folder, searcher.get("docs/b").folder) == ("", "one")
        report = searcher.ingest([Document("docs/b", "Dogs bark all night.")])  # nobody knows where that was read
        assert (report.changed, report.elsewhere) == (1, 0)
        searcher.ingest([Document(f"docs/{number}", "Birds sing.", folder="one") for number in range(5)])
        searcher.update({"kind": "bird"}, ids=["docs/0"])
        assert searcher.get("docs/0").folder == "one"
        report = searcher.ingest([Document("docs/0", "Birds fly.", folder="two")], sync=True, max_delete=1.0)
        assert (report.changed, report.removed, report.elsewhere) == (1, 6, 5)
        assert report.elsewhere_ids == ("docs/0", "docs/1", "docs/2")


def test_two_threads_ingesting_leave_one_version(tmp_path: Path) -> None:
    with open_search(Settings(data_dir=tmp_path)) as searcher, ThreadPoolExecutor(2) as threads:
        for turn in range(4):
            versions = [[Document(id=f"{turn}-{i}", text=f"Version {version} of {i}.") for i in range(40)] for version in (1, 2)]
            list(threads.map(searcher.ingest, versions))
        assert all(len(chunks) == 1 for chunks in contents(searcher.index).values())


def test_a_closed_searcher_stays_closed(tmp_path: Path) -> None:
    with open_search(Settings(data_dir=tmp_path)) as searcher:
        searcher.ingest([Document(id="a", text="One.")])
    with pytest.raises(SearchError, match="is closed"):
        searcher.search("one")


def test_title_and_metadata_have_a_limit(local_index: VectorIndex, bundled_embedder: FastEmbedEmbedder) -> None:
    heavy = Document(id="a", text=LONG, metadata={"html": "x" * 20_000}, origin="pages.jsonl:7")
    report = ingest(local_index, bundled_embedder, [heavy, Document(id="b", text="Short.")])
    assert (report.added, report.rejected) == (1, 1)
    assert str(report.rejections[0]).startswith("pages.jsonl:7 (a): title and metadata have 20,006 characters")


def test_what_every_passage_carries_has_a_limit(local_index: VectorIndex, quick_embedder: FastEmbedEmbedder) -> None:
    """In characters, whatever these take in bytes or as JSON."""
    taken = [
        Document(id="i" * 4096, text=LONG),
        Document(id="b", text=LONG, metadata={"正文": "三千" * 9_990}),
        Document(id="c", text=LONG, metadata={"quotes": '"\n\\' * 6_600}),
        Document(id="d", text=LONG, media_type="x" * 255),
    ]
    refused = [
        Document(id="i" * 500_000, text=LONG),
        Document(id="e", text=LONG, media_type="x" * 256),
        Document(id="f", text=LONG, title="三" * 20_001),
        Document(id="g", text=LONG, metadata={"a": [None] * 5_000 + [[]] * 15_000}),
    ]
    report = ingest(local_index, quick_embedder, [*taken, *refused])
    assert (report.added, report.rejected) == (4, 4)
    reasons = [str(rejection) for rejection in report.rejections]
    assert "the id has 500,000 characters, and every passage carries it; keep it to 4,096" in reasons[0]
    assert "media_type has 256 characters, and every passage carries it; keep it to 255" in reasons[1]
    assert all("title and metadata have" in reason for reason in reasons[2:])
    assert max(map(len, reasons)) < 300
    assert max(len(str(record.payload)) for record in local_index.scroll()) < 60_000


def test_a_document_that_a_collection_took_is_given_back_to_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the limits were then."""
    monkeypatch.setattr("search.ingestion.planning.LONGEST_ID", 600_000)
    with open_search(Settings(data_dir=tmp_path)) as searcher:
        searcher.ingest([Document(id="i" * 5000, text="One.")])
    monkeypatch.undo()
    with open_search(Settings(data_dir=tmp_path, chunking=ChunkingSettings(tokens=100))) as searcher:
        assert searcher.reindex(check=False).switched
        assert searcher.search("one").hits[0].document_id == "i" * 5000
        assert searcher.ingest([Document(id="i" * 5000, text="Two.")]).rejected == 1


def filled_edge(tmp_path: Path) -> Path:
    """A closed collection with points in it; the folder of its shard."""
    index = EdgeIndex(tmp_path, "documents")
    index.ensure(CollectionSpec(4, "model@1"), create=True)
    index.upsert([Point(str(uuid.UUID(int=i)), np.ones(4, np.float32), {"document_id": str(i)}) for i in range(50)])
    index.close()
    return tmp_path / "collections" / "documents" / "shard"


REFUSALS = {
    "an index": {"PUT */index": (400, "Bad request: Collection already has the maximum number of payload indices (1).")},
    "the alias": {"POST /collections/aliases": (500, "Service internal error: planted")},
    "a claim, by a full disk": {"PUT */points": (500, "Service internal error: No space left on device: WAL buffer size")},
    "a claim, by a quota": {"PUT */points": (507, "Disk usage is at 96% of total capacity, exceeding the configured limit.")},
    "a look at the claim": {"POST */points": (500, "Service internal error: planted")},
}


@pytest.mark.parametrize("refused", REFUSALS)
def test_a_first_ingestion_that_fails_leaves_no_collection(
    refused: str, standin: QdrantStandIn, model_folder: Path, tmp_path: Path
) -> None:
    embedder = {"model": str(model_folder / "embedder-mean")}
    settings = Settings(index=standin.index, data_dir=tmp_path, embedder=embedder, ingestion={"patience_s": 0})
    with open_search(settings) as searcher:
        standin.refusals = REFUSALS[refused]
        with pytest.raises(IndexFailure):
            searcher.ingest([Document(id="a", text="One.")])
        assert (searcher.collections.names(), searcher.collections.aliases()) == ([], {})
        standin.refusals = {}
        assert searcher.ingest([Document(id="a", text="One.")]).added == 1


def test_what_another_run_has_claimed_is_left_alone(standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder) -> None:
    one, other = (QdrantIndex(connect(standin.url), "documents", standin.url) for _ in range(2))
    spec = CollectionSpec(bundled_embedder.dimension, bundled_embedder.fingerprint)
    one.ensure(spec, create=True)
    other.ensure(spec, create=True)
    with other.claimed():
        with pytest.raises(IndexBusy):
            ingest(one, bundled_embedder, [Document(id="a", text="One.")])
        other.upsert([Point(str(uuid.uuid4()), np.ones(spec.dimension, np.float32), {"document_id": "b"})])
    assert other.count() == 1
    one.close()
    other.close()


class Meanwhile:
    """Has something happen right before a request is carried out, once."""

    def __init__(self, standin: QdrantStandIn, monkeypatch: pytest.MonkeyPatch, request: str, happens: Callable[[], None]) -> None:
        answer, self.happened = standin.answer, False

        def answered(method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
            if f"{method} {path}" == request and not self.happened:
                self.happened = True
                happens()
            return answer(method, path, body)

        monkeypatch.setattr(standin, "answer", answered)


@pytest.fixture
def two(standin: QdrantStandIn) -> Iterator[tuple[QdrantIndex, QdrantIndex]]:
    one, other = (QdrantIndex(connect(standin.url), "documents", standin.url) for _ in range(2))
    yield one, other
    one.close()
    other.close()


@pytest.mark.parametrize("claims", [False, True])
def test_what_a_failed_first_ingestion_removes_is_made_again_by_who_was_about_to_write(
    claims: bool,  # noqa: FBT001
    two: tuple[QdrantIndex, QdrantIndex],
    standin: QdrantStandIn,
    bundled_embedder: FastEmbedEmbedder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the moment between the look, whether anybody has claimed it, and the removal."""
    one, other = two
    spec = CollectionSpec(bundled_embedder.dimension, bundled_embedder.fingerprint)
    one.ensure(spec, create=True)

    def opened() -> None:
        other.ensure(spec, create=True)
        if claims:
            other.claimed().__enter__()

    meanwhile = Meanwhile(standin, monkeypatch, "DELETE /collections/documents.v1", opened)
    one.discard()
    assert meanwhile.happened
    if claims:
        with pytest.raises(
            CollectionNotFound, match=r"is gone since it was opened: .* removed what it had made; run the same again"
        ):
            other.upsert([Point(str(uuid.uuid4()), np.ones(spec.dimension, np.float32), {"document_id": "a"})])
        other = QdrantIndex(connect(standin.url), "documents", standin.url)
    assert ingest(other, bundled_embedder, [Document(id="a", text="One.")]).added == 1
    assert other.count() == 1
    other.close()


@pytest.mark.parametrize("request_", ["GET /collections/documents.v1", "PUT /collections/documents.v1/index"])
def test_what_goes_while_it_is_opened_is_made_again(
    request_: str,
    two: tuple[QdrantIndex, QdrantIndex],
    standin: QdrantStandIn,
    bundled_embedder: FastEmbedEmbedder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = two
    one.ensure(CollectionSpec(bundled_embedder.dimension, bundled_embedder.fingerprint), create=True)
    standin.indexed.clear()
    meanwhile = Meanwhile(standin, monkeypatch, request_, one.discard)
    assert ingest(other, bundled_embedder, [Document(id="a", text="One.")]).added == 1
    assert (meanwhile.happened, other.count()) == (True, 1)


def test_what_is_dropped_between_its_opening_and_its_claiming_is_not_made_anew(
    two: tuple[QdrantIndex, QdrantIndex],
    standin: QdrantStandIn,
    bundled_embedder: FastEmbedEmbedder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = two
    assert ingest(one, bundled_embedder, [Document(id="a", text="One.")]).added == 1
    with closing(connect(standin.url)) as client:

        def drop() -> None:
            client.delete_collection("documents.v1")

        meanwhile = Meanwhile(standin, monkeypatch, "POST /collections/documents.v1/points", drop)  # for the note of its writer
        with pytest.raises(CollectionNotFound, match=r"is gone since it was opened: somebody dropped it.* run the same again"):
            ingest(other, bundled_embedder, [Document(id="b", text="Two.")])
        assert (meanwhile.happened, client.get_collections().collections) == (True, [])
    assert ingest(other, bundled_embedder, [Document(id="b", text="Two.")]).added == 1  # which is what it says


def test_what_is_gone_is_not_made_again_by_who_only_changes_it(
    two: tuple[QdrantIndex, QdrantIndex], standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder
) -> None:
    one, other = two
    spec = CollectionSpec(bundled_embedder.dimension, bundled_embedder.fingerprint)
    one.ensure(spec, create=True)
    other.ensure(spec, create=False)
    one.discard()
    with pytest.raises(CollectionNotFound, match="is gone since it was opened"), other.claimed():
        pass
    with pytest.raises(CollectionNotFound, match="there is no collection"):
        other.ensure(spec, create=False)
    assert "documents.v1" not in standin.indexed


@pytest.mark.parametrize("sync", [False, True])
def test_nothing_is_made_where_everything_is_rejected(
    sync: bool,  # noqa: FBT001
    open_index: OpenIndex,
    quick_embedder: FastEmbedEmbedder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(planning, "_GROUP", 2)
    index = open_index("documents")
    rejected: list[Document | Rejection] = [
        Rejection("a.pdf", None, "a.pdf", "it is damaged"),
        Document(id="b", text=LONG * 10),
        Document(id="c", text=LONG * 10),
    ]
    chunker = Chunker(quick_embedder.tokenizer, 64, 8)

    def run(*documents: Document | Rejection) -> IngestReport:
        return Ingestion(quick_embedder, index, chunker, max_characters=10_000).run(documents, sync=sync)

    report = run(*rejected)
    assert (report.added, report.rejected, report.chunks) == (0, 3, 0)
    with pytest.raises(CollectionNotFound, match="there is no collection"):
        index.ensure(CollectionSpec(quick_embedder.dimension, quick_embedder.fingerprint), create=False)
    report = run(*rejected, Document(id="d", text="Good."))
    assert (report.added, report.rejected, index.count()) == (1, 3, 1)
    report = run(*rejected)
    assert (report.kept, index.count()) == (0, 1) if not sync else (0, 0)  # what is empty by now was not made for nothing


@pytest.mark.parametrize("apart", [False, True])
def test_the_folder_is_kept_until_there_is_a_document_or_the_run_is_over(
    apart: bool,  # noqa: FBT001
    tmp_path: Path,
    quick_embedder: FastEmbedEmbedder,
) -> None:
    """As it is while there is a collection: nobody else comes between."""
    collections = EdgeProcess(tmp_path) if apart else EdgeCollections(tmp_path)
    index = collections.named("documents", StorageSettings())
    spec = CollectionSpec(quick_embedder.dimension, quick_embedder.fingerprint)

    def is_free() -> bool:
        try:
            FileLock(tmp_path / "lock", timeout=0).acquire().lock.release()
        except Timeout:
            return False
        return True

    def drawn(*, fails: bool = False) -> Iterator[Rejection]:
        assert not is_free()
        with pytest.raises(CollectionNotFound):
            index.ensure(spec, create=False)  # as a search does meanwhile, which lets nothing go
        assert not is_free()
        if fails:
            raise InvalidDocument("planted")
        yield Rejection("a.pdf", None, "a.pdf", "it is damaged")

    chunker = Chunker(quick_embedder.tokenizer, 64, 8)
    for _ in range(2):
        assert Ingestion(quick_embedder, index, chunker, max_characters=10_000).run(drawn()).rejected == 1
        assert is_free()
    with pytest.raises(InvalidDocument):
        Ingestion(quick_embedder, index, chunker, max_characters=10_000).run(drawn(fails=True))
    assert is_free()
    index.close()
    collections.close()


@pytest.mark.parametrize("sync", [False, True])
def test_what_another_run_makes_before_the_first_document_is_compared_with(
    sync: bool,  # noqa: FBT001
    two: tuple[QdrantIndex, QdrantIndex],
    bundled_embedder: FastEmbedEmbedder,
) -> None:
    one, other = two

    def drawn() -> Iterator[Document]:
        assert ingest(one, bundled_embedder, [Document(id="a", text="One."), Document(id="b", text="Two.")]).added == 2
        yield Document(id="a", text="One, and more.")

    chunker = Chunker(bundled_embedder.tokenizer, 64, 8)
    report = Ingestion(bundled_embedder, other, chunker, max_characters=10_000).run(drawn(), sync=sync, max_delete=1.0)
    assert (report.added, report.changed, report.removed) == (0, 1, int(sync))
    assert contents(other) == {"a": [(0, "One, and more.", {})]} | ({} if sync else {"b": [(0, "Two.", {})]})


def test_a_first_ingestion_on_a_disk_that_fills_up_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_search(Settings(data_dir=tmp_path)) as searcher:
        with monkeypatch.context() as planted:
            planted.setattr(EdgeIndex, "index_field", lambda *_: (_ for _ in ()).throw(IndexFull("planted")))
            with pytest.raises(IndexFull):
                searcher.ingest([Document(id="a", text="One.")])
        assert searcher.collections.names() == []
        assert searcher.ingest([Document(id="a", text="One.")]).added == 1


def test_damaged_files_are_an_error_of_ours_and_the_folder_is_let_go(tmp_path: Path) -> None:
    """Each of the engine's status files in turn is emptied; some of that makes the engine panic."""

    def victims(shard: Path) -> list[Path]:
        return sorted(shard.rglob("*.dat"))

    refused = 0
    for number in range(len(victims(filled_edge(tmp_path / "whole")))):
        folder = tmp_path / str(number)
        victims(filled_edge(folder))[number].write_bytes(b"")
        damaged = EdgeIndex(folder, "documents")
        try:
            damaged.ensure(CollectionSpec(4, "model@1"), create=False)
            damaged.query(Query(np.ones(4, np.float32)), 3)
        except IndexFailure:
            refused += 1
        damaged.close()
        with FileLock(folder / "lock", timeout=0):
            pass
    assert refused


def test_a_collection_without_its_description_is_not_wiped(tmp_path: Path) -> None:
    described = filled_edge(tmp_path).parent / "collection.json"
    kept = described.read_bytes()
    described.unlink()
    index = EdgeIndex(tmp_path, "documents")
    with pytest.raises(IndexCorrupt, match=r"holds 50 points but no collection\.json"):
        index.ensure(CollectionSpec(4, "model@1"), create=True)
    described.write_bytes(kept)
    index.ensure(CollectionSpec(4, "model@1"), create=True)
    assert index.count() == 50
    index.close()


def test_odd_things_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "owner.json").mkdir()
    index = EdgeIndex(tmp_path, "documents")
    index.ensure(CollectionSpec(4, "model@1"), create=True)
    index.close()
    (tmp_path / "collections" / "file").touch()
    with pytest.raises(IndexRejected):
        EdgeIndex(tmp_path, "file").ensure(CollectionSpec(4, "model@1"), create=True)


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    spec = CollectionSpec(4, "model@1")
    index = EdgeIndex(tmp_path, "documents")
    index.ensure(spec, create=True)
    index.close()
    folder = tmp_path / "collections" / "documents"
    for damaged in ("{", "[]", '{"dimension": 4, "fingerprint": "model@1", "storage": "none"}'):
        (folder / "collection.json").write_text(damaged)
        with pytest.raises(IndexCorrupt, match=r"collection\.json cannot be read"):
            EdgeIndex(tmp_path, "documents").ensure(spec, create=True)
    (folder / "collection.json").write_text('{"dimension": 4, "fingerprint": "model@1"}')
    (folder / "shard" / "edge_config.json").write_text("garbage")
    for segment in (folder / "shard" / "segments").iterdir():
        (segment / "segment.json").write_text("garbage")
    with pytest.raises(IndexCorrupt, match="restore or delete the folder"):
        EdgeIndex(tmp_path, "documents").ensure(spec, create=True)


def test_what_stands_in_the_engines_way_is_no_damage(tmp_path: Path) -> None:
    """Or people would delete what is whole."""
    spec = CollectionSpec(4, "model@1")
    filled = EdgeIndex(tmp_path, "documents")
    filled.ensure(spec, create=True)
    filled.close()
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, most))
    try:
        with pytest.raises(IndexHindered, match=r"Too many open files.*; too many files are open: allow more \(ulimit -n\)$"):
            load("documents", tmp_path / "collections" / "documents" / "shard")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (least, most))
    EdgeIndex(tmp_path, "documents").ensure(spec, create=False)
    for said in ("Failed to open mmap: Cannot allocate memory (os error 12)", "Out of memory, free: 22690181120"):
        with pytest.raises(IndexHindered, match=r"vm\.max_map_count"), translated():
            raise RuntimeError(said)
    with pytest.raises(IndexHindered, match="no thread can be started: allow more"), translated():
        raise RuntimeError("failed to build edge edge-search thread pool: Resource temporarily unavailable (os error 11)")


@pytest.mark.parametrize(
    "damaged", ["{", "[" * 100_000, "[]", "null", '{"live": "documents"}', '{"live": {}}', '{"live": {"name": 1}}']
)
def test_aliases_that_cannot_be_read(damaged: str, tmp_path: Path) -> None:
    (tmp_path / "aliases.json").write_text(damaged)
    said = r"aliases\.json .*; restore it, or write what it should say, as {\"live\": {\"name\": \"documents\"}}$"
    with pytest.raises(IndexCorrupt, match=said):
        EdgeIndex(tmp_path, "documents").ensure(CollectionSpec(4, "model@1"), create=False)
    for ask in (engine := EdgeCollections(tmp_path)).aliases, lambda: engine.previous("live"), lambda: engine.unalias("live"):
        with pytest.raises(IndexCorrupt, match=said):
            ask()


def test_an_alias_whose_collection_is_gone_is_led_elsewhere_or_forgotten(tmp_path: Path) -> None:
    filled_edge(tmp_path)
    engine = EdgeCollections(tmp_path)
    mends: list[Callable[[], None]] = [lambda: engine.switch("live", "documents"), lambda: engine.unalias("live")]
    for mend in mends:
        (tmp_path / "aliases.json").write_text('{"live": {"name": "gone"}}')
        with pytest.raises(CollectionNotFound):
            engine.info("live")
        mend()
        assert "gone" not in engine.aliases().values()


def test_a_collection_whose_making_was_interrupted_is_made_again(tmp_path: Path) -> None:
    spec = CollectionSpec(4, "model@1")
    index = EdgeIndex(tmp_path, "documents")
    index.ensure(spec, create=True)
    index.close()
    (tmp_path / "collections" / "documents" / "collection.json").unlink()
    again = EdgeIndex(tmp_path, "documents")
    again.ensure(spec, create=True)
    assert again.query(Query(np.ones(4, np.float32)), 1) == []
    again.close()


def test_a_data_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(IndexRejected, match="choose another --data-dir"):
        EdgeIndex(tmp_path / "file" / "data", "documents").ensure(CollectionSpec(4, "m"), create=True)


def test_a_file_whose_name_is_no_utf_8_is_to_be_renamed(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("Coffee.")
    (rejection,) = Reading([str(tmp_path)])
    assert isinstance(rejection, Rejection)
    assert "half of a surrogate pair, which UTF-8 cannot store; rename the file" in rejection.reason
