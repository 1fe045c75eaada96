"""A server's collection without words is given some where it is, misleads nobody meanwhile, and is then as if made with them."""

import json
import os
import signal
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apart
import pytest
from commands import as_json, search
from qdrant_client import QdrantClient, models
from standin import Fault, QdrantStandIn
from standin_grpc import GrpcStandIn
from upstream import everywhere

from search.documents import Document, SearchResult
from search.errors import IndexBusy, IndexFailure
from search.index.contract import LEXICAL, CollectionSpec, Point
from search.index.server.conversion import noted
from search.index.server.index import QdrantIndex
from search.index.server.words import AddedWords
from search.ingestion.judging import Judged
from search.searcher import Searcher, open_search
from search.settings import Settings

COUNT = 30
TEXTS = [Document(f"{i}.md", f"Number {i} is about cats. " + "They purr and sleep. " * (i % 5), f"T{i}") for i in range(COUNT)]
QUESTIONS = ["number 7", "purr", "T12 cats", "13.md"]
WORDLESS = {"lexical": {"model": "none"}}
Opened = Callable[..., Searcher]


@pytest.fixture
def opened(standin: QdrantStandIn, model_folder: Path, tmp_path: Path) -> Opened:
    """A searcher with a tiny embedder and small passages; with the settings that are given."""
    model = {"model": str(model_folder / "embedder-mean")}

    def open_(**more: Any) -> Searcher:
        given = {"index": standin.index, "embedder": model, "reranker": {"kind": "none"}, "data_dir": tmp_path / "data"}
        return open_search(Settings(**{**given, "chunking": {"tokens": 16, "overlap": 0}, **more}))

    return open_


def wordless(opened: Opened, documents: list[Document] = TEXTS, **more: Any) -> int:
    """Make the collection, as it was before words came; how many passages it has."""
    with opened(**WORDLESS, **more) as searcher:
        searcher.ingest(documents)
        return searcher.count()


def fresh(opened: Opened, documents: list[Document], **more: Any) -> dict[str, Any]:
    with opened(collection="fresh", **more) as searcher:
        searcher.ingest(documents)
        return answers(searcher)


def answers(searcher: Searcher) -> dict[str, Any]:
    """What is found, with all scores."""

    def told(result: SearchResult) -> dict[str, tuple[Any, ...]]:
        assert result.retrieval == "hybrid"
        assert not result.warnings
        return {hit.chunk_id: (hit.retrieval_score, hit.lexical_score, hit.fusion_score) for hit in result.hits}

    return {question: told(searcher.search(question, limit=10, depth=50)) for question in QUESTIONS}


def check_alike(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for question in QUESTIONS:
        assert found[question].keys() == expected[question].keys()
        for one, scores in found[question].items():
            assert scores == pytest.approx(expected[question][one], abs=1e-5)


@everywhere
@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_it_is_as_if_made_with_them(protocol: str, standin: QdrantStandIn, opened: Opened) -> None:
    with GrpcStandIn(standin) as port:
        index = standin.index | ({"protocol": "grpc", "grpc_port": port.port} if protocol == "grpc" else {})
        passages = wordless(opened, index=index)
        assert passages > COUNT
        with opened(index=index) as searcher:
            assert searcher.search("purr").retrieval == "dense"
            standin.requests.clear()
            report = searcher.reindex()
            assert (report.live, report.new, report.switched, report.check) == ("documents.v1", "documents.v1", True, None)
            assert (report.worded, report.ingest.unchanged, report.ingest.chunks) == (passages, COUNT, 0)
            written = {one for one in standin.requests if one.startswith("PUT")}
            room, words = "PUT /collections/documents.v1/vectors/bm25", "PUT /collections/documents.v1/points/vectors"
            assert written == {room, words, "PUT /collections/documents.v1/points"}  # the last one is the claim
            assert searcher.collections.names() == ["documents.v1"]
            check_alike(answers(searcher), fresh(opened, TEXTS, index=index))
            assert searcher.ingest(TEXTS).unchanged == COUNT
            more = Document("more", "A zebra.")
            searcher.ingest([more])
            assert searcher.search("zebra", retrieval="lexical").hits[0].document_id == "more"
            assert searcher.reindex(check=False).worded is None  # it has them


@everywhere
def test_nobody_searches_by_them_or_writes_without_them_meanwhile(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.index.server.index._FOLLOWED_EVERY_S", 0.0)
    passages = wordless(opened)
    write = AddedWords._write
    found: list[SearchResult] = []
    with opened() as other, opened() as fresh_one, opened() as searcher:
        assert other.search("purr").retrieval == "dense"
        writer = searcher.collections.named("documents", searcher.settings.storage)
        writer.ensure(CollectionSpec(searcher.embedder.dimension, searcher.embedder.fingerprint), create=True)

        def meanwhile(words: AddedWords, points: list[models.PointVectors]) -> None:
            write(words, points[: len(points) // 2])
            found.extend([other.search("purr"), fresh_one.search("purr"), other.search("purr", retrieval="hybrid")])
            with pytest.raises(IndexBusy):
                other.ingest([Document("new", "Dogs.")])
            write(words, points[len(points) // 2 :])

        monkeypatch.setattr(AddedWords, "_write", meanwhile)
        assert searcher.reindex().worded == passages
        assert {one.retrieval for one in found} == {"dense"}
        assert "made without words" in found[2].warnings[0]
        for one in (other, fresh_one):  # which were open all the time
            one.search("purr")
            assert one.search("purr").retrieval == "hybrid"
        assert writer.spec.lexical == ""
        with writer.claimed():  # opened before, and claimed only now
            assert writer.spec.lexical == searcher.opened().spec.lexical != ""
        writer.close()


ADD = """
import os, signal, sys
from search import Settings, open_search
from search.index.server import lease, limits
from search.index.server.words import AddedWords
limits.PAGE = 10  # passages, so that there are several writes
lease._RENEWED_EVERY_S, lease._DEAD_AFTER_S = 0.2, 0.8  # a killed writer is given up after a moment, not after twelve seconds
lease._LOOKED_AT_EVERY_S, lease._SETTLED_AFTER_S = 0.05, 0.01
written, last, step, act = 0, int(sys.argv[1]), sys.argv[2], getattr(AddedWords, sys.argv[2])
def killed(self, *arguments):
    global written
    written += 1
    if written == last:
        if step == "_write":
            act(self, arguments[0][:3])
        os.kill(os.getpid(), signal.SIGKILL)
    act(self, *arguments)
setattr(AddedWords, step, killed)
with open_search(Settings(chunking={"tokens": 16, "overlap": 0})) as searcher:
    searcher.reindex()
"""


@everywhere
@pytest.mark.usefixtures("brief_lease")
@pytest.mark.parametrize(("words", "other"), [({}, {}), ({}, {"fields": ["metadata.n"]})], ids=["the same words", "others"])
def test_killed_on_the_way_it_goes_on(
    words: dict[str, Any], other: dict[str, Any], standin: QdrantStandIn, opened: Opened, model_folder: Path, tmp_path: Path
) -> None:
    passages = wordless(opened)
    place = {**standin.environment, "SEARCH_EMBEDDER__MODEL": str(model_folder / "embedder-mean"), "SEARCH_THREADS": "1"}
    environment = {**os.environ, **place, "SEARCH_RERANKER__KIND": "none", "SEARCH_DATA_DIR": str(tmp_path / "data")}
    environment["SEARCH_LEXICAL"] = json.dumps(words)

    def killed(step: str, last: int) -> None:
        with apart.python(ADD, last, step, environment=environment) as process:
            assert process.wait() == -signal.SIGKILL, process.stderr.read()
        with opened() as searcher:
            assert searcher.search("purr").retrieval == "dense"

    killed("_make_room", 1)
    killed("_write", 1)
    killed("_write", 3)
    more = [Document("more.md", "Number 77 is about zebras."), Document(TEXTS[3].id, "Now it is about dogs.")]
    with opened() as searcher:
        assert searcher.ingest(more).added == 1
    killed("_note", 1)
    now = {one.id: one for one in [*TEXTS, *more]}
    with opened(lexical=other) as searcher:
        lacking = searcher.count() if other else 0
        report = searcher.reindex()
        assert report.worded == lacking
        check_alike(answers(searcher), fresh(opened, list(now.values()), lexical=other))
        assert searcher.search("zebras", retrieval="lexical").hits[0].document_id == "more.md"
    assert passages > COUNT


def test_no_write_is_larger_than_strict_mode_allows(standin: QdrantStandIn, opened: Opened) -> None:
    standin.strict = {"upsert_max_batchsize": 7, "max_query_limit": 60}
    passages = wordless(opened)
    standin.bodies.clear()
    with opened() as searcher:
        assert searcher.reindex().worded == passages
    sizes = [len(body["points"]) for path, body in standin.bodies if path.endswith("/points/vectors")]
    assert max(sizes) == 7
    assert sum(sizes) == passages


@pytest.mark.usefixtures("brief_pauses")
def test_a_server_that_fails_meanwhile_is_waited_for(
    standin: QdrantStandIn, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    passages = wordless(opened)
    make_room = AddedWords._make_room

    def failing(words: AddedWords, lexical: str) -> None:
        make_room(words, lexical)
        standin.faults += [Fault(503), Fault(), Fault(429), Fault(500), Fault(reset=True)]

    monkeypatch.setattr(AddedWords, "_make_room", failing)
    with opened() as searcher:
        assert searcher.reindex().worded == passages
        assert not standin.faults
        check_alike(answers(searcher), fresh(opened, TEXTS))


def test_what_does_not_keep_its_words_is_told(standin: QdrantStandIn, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where another program takes them away again; the collection does not say then that it has words."""
    wordless(opened)
    monkeypatch.setattr(AddedWords, "_write", lambda *_: None)
    with opened() as searcher:
        with pytest.raises(IndexFailure, match="do not keep the words"):
            searcher.reindex()
        assert searcher.search("purr").retrieval == "dense"
        assert not [path for path in standin.requests if path.endswith("/points/vectors")]


def older(standin: QdrantStandIn, opened: Opened) -> None:
    standin.version = "1.18.2"
    wordless(opened)


def of_somebody(standin: QdrantStandIn, opened: Opened) -> None:
    wordless(opened)
    client = QdrantClient(url=standin.url, check_compatibility=False)
    client.create_vector_name("documents", LEXICAL, models.SparseVectorNameConfig(sparse=models.SparseVectorConfig()))
    client.close()


def with_a_point_of_another_program(standin: QdrantStandIn, opened: Opened) -> None:
    """Which a copy leaves out."""
    del standin
    wordless(opened)
    with opened() as searcher:
        first = next(searcher.opened().scroll(vectors=True))
        assert first.vector is not None
        searcher.opened().upsert([Point(str(uuid.uuid4()), first.vector, {"page_content": "Theirs."})])


def half_replaced(standin: QdrantStandIn, opened: Opened) -> None:
    del standin
    wordless(opened)
    with opened() as searcher:
        old = [record for record in searcher.opened().scroll(vectors=True) if record.payload["document_id"] == "4.md"]
        searcher.ingest([Document("4.md", "Dogs. " * 30)])
        searcher.opened().upsert([Point(one.id, one.vector, one.payload) for one in old if one.vector is not None])


@pytest.mark.parametrize("made", [older, of_somebody, with_a_point_of_another_program, half_replaced])
def test_where_it_cannot_be_done_or_is_not_all_a_new_collection_is_made(
    made: Callable[[QdrantStandIn, Opened], None], standin: QdrantStandIn, opened: Opened
) -> None:
    made(standin, opened)
    with opened() as searcher:
        report = searcher.reindex(min_overlap=0)
        assert (report.new, report.switched, report.worded) == ("documents.v2", True, None)
        assert searcher.search("purr").retrieval == "hybrid"


@pytest.mark.parametrize(
    "more",
    [
        {"chunking": {"tokens": 24, "overlap": 0}},
        {"storage": {"quantization": "scalar"}},
        {"storage": {"hnsw_m": 32}},
        {"tenant_field": "metadata.customer"},
    ],
    ids=str,
)
def test_what_else_the_settings_want_takes_a_new_collection(more: dict[str, Any], opened: Opened) -> None:
    wordless(opened)
    with opened(**more) as searcher:
        report = searcher.reindex(min_overlap=0)
        assert (report.new, report.worded) == ("documents.v2", None)


def test_other_shards_take_a_new_collection(standin: QdrantStandIn, opened: Opened) -> None:
    wordless(opened)
    with opened(index=standin.index | {"shards": 2}) as searcher:
        assert searcher.reindex(min_overlap=0).worded is None
        assert searcher.collections.info("documents").details["shards"] == 2


def test_whoever_wants_to_compare_gets_two_to_compare(opened: Opened) -> None:
    wordless(opened)
    with opened() as searcher:
        report = searcher.reindex(queries=["purr"], min_overlap=1.0)
        assert report.check
        assert report.new == "documents.v2"
        searcher.reindex(judged=Judged({"1": "purr"}, {"1": {"4.md": 1}}), min_overlap=0)
    with opened() as searcher:
        assert searcher.search("purr").retrieval in {"hybrid", "dense"}


@everywhere
def test_customers_that_share_a_collection(opened: Opened) -> None:
    field = {"tenant_field": "metadata.customer"}
    with opened(**WORDLESS, **field) as searcher:
        for tenant in ("acme", "bolt"):
            searcher.of_tenant(tenant).ingest([Document("plan", f"Plans of {tenant}: zyzzyva."), Document("note", "Cats sleep.")])
    with opened(**field) as searcher:
        assert searcher.reindex().worded == 4
        (hit,) = searcher.of_tenant("bolt").search("zyzzyva", retrieval="lexical").hits
        assert hit.text == "Plans of bolt: zyzzyva."


@pytest.mark.parametrize("engine", ["edge", "edge process"])
def test_the_embedded_engine_copies(engine: str, opened: Opened) -> None:
    index = {"engine": "edge", "own_process": engine == "edge process"}
    wordless(opened, index=index)
    with opened(index=index) as searcher:
        report = searcher.reindex()
        assert (report.new, report.worded, report.ingest.chunks) == ("documents.v2", None, 0)
        assert searcher.search("purr").retrieval == "hybrid"


@everywhere
def test_a_collection_of_before_aliases_and_notes(standin: QdrantStandIn, client: QdrantClient, opened: Opened) -> None:
    """Which leads nowhere else, so that until now it got no words at all."""
    with opened(collection="pattern", **WORDLESS) as searcher:
        searcher.ingest(TEXTS)
        size, fingerprint = searcher.embedder.dimension, searcher.embedder.fingerprint
    spread = [standin.index.get(name) for name in ("shards", "replicas", "write_consistency")]
    client.create_collection(
        "documents",
        models.VectorParams(size=size, distance=models.Distance.COSINE),
        metadata={"fingerprint": fingerprint},
        **dict(zip(("shard_number", "replication_factor", "write_consistency_factor"), spread, strict=True)),
    )
    with opened(**WORDLESS) as searcher:
        searcher.ingest(TEXTS)
    with opened() as searcher:
        report = searcher.reindex()
        assert report.live == report.new == "documents"
        assert report.worded
        check_alike(answers(searcher), fresh(opened, TEXTS))
    config = client.get_collection("documents").config
    assert noted(config, "adding") == {}
    assert (config.metadata or {})["fingerprint"] == fingerprint


def test_the_command_says_so(standin: QdrantStandIn, tmp_path: Path, model_folder: Path) -> None:
    (tmp_path / "cats.md").write_text("Cats sleep.\n")
    model = {"SEARCH_EMBEDDER__MODEL": str(model_folder / "embedder-mean"), "SEARCH_RERANKER__KIND": "none"}
    place: dict[str, Any] = {**standin.environment, **model}
    search("ingest", tmp_path / "cats.md", SEARCH_LEXICAL__MODEL="none", **place)
    said = search("reindex", **place).stdout
    assert said == "documents.v1: 1 passage was given words where it is; nothing was copied, or embedded again\n"
    assert as_json("query", "cats", **place)["retrieval"] == "hybrid"


def test_in_memory(opened: Opened) -> None:
    with opened(index={"engine": "memory"}, **WORDLESS) as searcher:
        searcher.ingest(TEXTS)
        wanted = searcher.settings.model_copy(update={"lexical": Settings().lexical})
        assert searcher.reindex(wanted).worded == searcher.count()
        assert searcher.search("purr").retrieval == "hybrid"
        assert isinstance(searcher._parts.index, QdrantIndex)


def test_words_that_are_too_many_for_a_proxy_go_out_in_halves(opened: Opened, standin: QdrantStandIn) -> None:
    passages = wordless(opened)
    with opened() as searcher:
        standin.largest = 3_000
        assert searcher.reindex(check=False).worded == passages
        standin.largest = None
        found = answers(searcher)
    check_alike(found, fresh(opened, TEXTS))


def test_words_go_out_as_few_at_a_time_as_a_proxy_took_before(
    opened: Opened, standin: QdrantStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.index.server.limits.PAGE", 8)
    passages = wordless(opened)
    sizes: list[int] = []
    answer = standin.answer

    def answered(method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path.endswith("/points/vectors"):
            sizes.append(len(body["points"]))
            if len(body["points"]) > 4:
                return 400, "JSON payload (9 bytes) is larger than allowed (limit: 8 bytes)."
        return answer(method, path, body)

    standin.answer = answered  # type: ignore[method-assign]
    with opened() as searcher:
        assert searcher.reindex(check=False).worded == passages
    assert [size for size in sizes if size > 4] == [8]
