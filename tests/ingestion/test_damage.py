"""Points that hold no passage: a search goes on without them, they are named, and a sync mends what is this package's."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import as_json, search
from serving import serving
from standin import QdrantStandIn
from upstream import SERVERS, Serve

from search.cli.options import note_damage, note_repeated
from search.documents import Document, Rejection
from search.errors import ReindexRefused
from search.index.contract import Matches, Payload, Point, Query, VectorIndex
from search.index.points import as_passage, document_of, find, to_document
from search.index.server.collections import QdrantCollections
from search.index.server.connection import in_memory
from search.index.server.index import QdrantIndex
from search.ingestion.copying import copy
from search.ingestion.damage import survey
from search.ingestion.restoring import documents
from search.searcher import Searcher, open_search
from search.settings import Settings

COUNT = 12
TEXTS = [Document(id=f"d{i}", text=f"Number {i} is about cats. " * (1 + i % 3), metadata={"n": i}) for i in range(COUNT)]
LANGCHAIN = {"page_content": "Somebody else's text.", "metadata": {"source": "a.txt"}}
LLAMA = {"document_id": "None", "doc_id": "None", "_node_content": "{}"}
EMPTY = str(uuid.uuid5(uuid.NAMESPACE_OID, "empty"))
Spoil = Callable[[Searcher], Point]


def stored(searcher: Searcher, document_id: str) -> Point:
    """The first passage of a document, as it stands in the index."""
    passage = {"must": [{"key": "document_id", "match": {"value": document_id}}, {"key": "number", "match": {"value": 0}}]}
    record = next(searcher.opened().scroll(passage, vectors=True))
    assert record.vector is not None
    return Point(record.id, record.vector, record.payload)


def unknown(payload: Payload, number: int | None = None) -> Spoil:
    """A point of its own, in the place where the passage of d0 is."""

    def make(searcher: Searcher) -> Point:
        own = uuid.uuid5(uuid.NAMESPACE_OID, uuid.uuid4().hex)  # an id as this package gives
        return Point(str(own) if number is None else str(number), stored(searcher, "d0").vector, payload)

    return make


def changed(**changes: Any) -> Spoil:
    """The passage of d3 with other fields; without those that are ...."""

    def make(searcher: Searcher) -> Point:
        point = stored(searcher, "d3")
        payload = {name: value for name, value in {**point.payload, **changes}.items() if value is not ...}
        return point._replace(payload=payload)

    return make


DAMAGED: dict[str, Spoil] = {
    "no payload": unknown({}),
    "a document and its revision": unknown({"document_id": "d0", "revision": "1"}),
    "a document that is gone": unknown({"document_id": "gone", "chunks": 1}),
    "no text": changed(text=...),
    "no metadata": changed(metadata=...),
    "a number as text": changed(text=5),
    "a list as metadata": changed(metadata=["a"]),
    "text as a number": changed(number="first"),
    "no revision": changed(revision=...),
    "null for generation": changed(generation=None),
    "true as a count": changed(chunks=True),
    "headings that are none": changed(headings=[1]),
}
FOREIGN: dict[str, Spoil] = {
    "LangChain's": unknown(LANGCHAIN),
    "LlamaIndex's": unknown(LLAMA),
    "text and metadata, as some name them": unknown({"text": "x", "metadata": {}}),
    "a number as id": unknown(LANGCHAIN, 9),
    "no payload, a number as id": unknown({}, 7),
    "a ticket": unknown({"document_id": "d2", "text": "It is broken.", "title": "Help", "metadata": {"n": 2}}),
    "half of it like ours": unknown({"document_id": "d1", "text": 5, "tenant_id": "t"}),
}


@pytest.fixture(params=["edge", "edge process", "memory", *SERVERS])
def searcher(request: pytest.FixtureRequest, serve: Serve, tmp_path: Path, model_folder: Path) -> Iterator[Searcher]:
    engines = {
        "edge": {"engine": "edge"},
        "edge process": {"engine": "edge", "own_process": True},
        "memory": {"engine": "memory"},
    }
    index = engines.get(request.param) or serve(request.param).index
    given = {"index": index, "embedder": {"model": str(model_folder / "embedder-mean")}, "reranker": {"kind": "none"}}
    with open_search(Settings(data_dir=tmp_path / "data", chunking={"tokens": 16, "overlap": 0}, **given)) as opened:
        opened.ingest(TEXTS)
        yield opened


def held(searcher: Searcher) -> dict[str, Document]:
    return {one.id: one for one in documents(searcher.opened()) if isinstance(one, Document)}


def test_a_search_goes_on_without_them_and_a_sync_mends_what_is_damaged(searcher: Searcher) -> None:
    for name, spoil in DAMAGED.items():
        point = spoil(searcher)
        searcher.opened().upsert([point])
        result = searcher.search("Number 0 is about cats.", limit=5, depth=3 * COUNT)
        assert len(result.hits) == 5, name
        assert result.warnings == ("1 point that was found holds no passage, and was left out; search doctor names some",), name
        assert point.id not in {hit.chunk_id for hit in result.hits}
        before = survey(searcher.opened())
        assert (before.damaged, before.foreign) == (1, 0), name
        dry = searcher.ingest(TEXTS, sync=True, dry_run=True)
        assert dry.damaged == 1, name
        assert survey(searcher.opened()) == before
        report = searcher.ingest(TEXTS, sync=True)
        assert (report.damaged, report.foreign, report.kept, report.rejected) == (1, 0, 0, 0), name
        assert held(searcher) == {one.id: one for one in TEXTS}, name
        assert searcher.search("Number 0 is about cats.").warnings == (), name
        again = searcher.ingest(TEXTS, sync=True)
        assert (again.unchanged, again.damaged, again.chunks) == (COUNT, 0, 0), name


def test_what_another_program_wrote_is_left_alone(searcher: Searcher) -> None:
    for spoil in FOREIGN.values():
        searcher.opened().upsert([spoil(searcher)])
    result = searcher.search("Number 0 is about cats.", limit=5, depth=3 * COUNT)
    assert (len(result.hits), len(result.warnings)) == (5, 1)
    report = searcher.ingest(TEXTS[:-1], sync=True, max_delete=5)
    assert (report.removed, report.damaged, report.foreign, report.kept) == (1, 0, len(FOREIGN), 0)
    everything = {"must_not": [{"key": "metadata.n", "match": {"value": -1}}]}
    assert searcher.delete(filter=everything, dry_run=True) == COUNT - 1
    found = survey(searcher.opened())
    assert found.foreign == len(FOREIGN)
    assert f"{len(FOREIGN)} points were written by another program (such as " in str(found)
    assert held(searcher) == {one.id: one for one in TEXTS[:-1]}


def test_a_document_that_another_program_names_is_changed_and_removed_without_its_points(searcher: Searcher) -> None:
    ticket = FOREIGN["a ticket"](searcher)
    searcher.opened().upsert([ticket])
    there = {"must": [{"has_id": [ticket.id]}]}
    assert searcher.ingest([replace(TEXTS[2], text="It is about dogs.")]).changed == 1
    assert searcher.opened().count(there) == 1
    assert searcher.delete(ids=["d2"]) == 1
    assert searcher.opened().count(there) == 1
    assert searcher.ingest(TEXTS[:2], sync=True, max_delete=COUNT).removed == COUNT - 3
    assert searcher.opened().count(there) == 1


def repeat(searcher: Searcher, *document_ids: str) -> list[Point]:
    """Passages of some documents written a second time, under ids as another program gives."""
    these = {"must": [{"key": "document_id", "match": {"any": list(document_ids)}}]}
    records = list(searcher.opened().scroll(these, vectors=True))
    copies = [Point(str(uuid.uuid4()), one.vector, one.payload) for one in records if one.vector is not None]
    searcher.opened().upsert(copies)
    return copies


def test_points_that_repeat_passages_are_named_and_removed(searcher: Searcher) -> None:
    before = searcher.count()
    copies = repeat(searcher, "d1", "d2", "d5")
    assert len(copies) > 3
    named = survey(searcher.opened(), repeated=True)
    assert sorted(named.repeated) == sorted(one.id for one in copies)
    assert f"{len(copies)} points repeat passages of others (such as " in str(named)
    assert str(survey(searcher.opened())) == ""
    assert held(searcher) == {one.id: one for one in TEXTS}
    assert searcher.get("d2") == TEXTS[2]
    dry = searcher.ingest(TEXTS[:2], dry_run=True)
    assert (dry.unchanged, dry.repeated, searcher.count()) == (2, 1, before + len(copies))
    assert searcher.ingest(TEXTS[:2]).repeated == 1
    report = searcher.ingest(TEXTS, sync=True)
    assert (report.unchanged, report.repeated, report.chunks, report.removed) == (COUNT, len(copies) - 1, 0, 0)
    assert str(survey(searcher.opened(), repeated=True)) == ""
    assert searcher.count() == before
    assert searcher.ingest(TEXTS, sync=True).repeated == 0


def test_the_only_point_of_a_passage_stays_whatever_its_id(searcher: Searcher) -> None:
    """Points that another program copied, and whose originals are gone."""
    before = searcher.count()
    own = [one.id for one in searcher.opened().scroll({"must": [{"key": "document_id", "match": {"any": ["d2", "d4"]}}]})]
    assert len(repeat(searcher, "d2", "d4")) == len(own)
    searcher.opened().delete(ids=own)
    assert (survey(searcher.opened(), repeated=True).repeated, searcher.count()) == ([], before)
    report = searcher.ingest(TEXTS, sync=True)
    assert (report.unchanged, report.repeated, report.chunks) == (COUNT, 0, 0)
    twice = len(repeat(searcher, "d2"))
    assert searcher.ingest(TEXTS).repeated == twice
    assert (held(searcher), searcher.count()) == ({one.id: one for one in TEXTS}, before)


def test_a_repeated_passage_stands_for_no_other(searcher: Searcher) -> None:
    """A document of which one passage is missing, and another there twice, is not whole."""
    before = searcher.count()
    first = stored(searcher, "d2")
    copies = repeat(searcher, "d2")
    spare = next(one for one in copies if one.payload["number"] == 1)
    searcher.opened().delete(ids=[first.id, *(one.id for one in copies if one.id != spare.id)])
    assert searcher.count() == before
    report = searcher.ingest(TEXTS, sync=True)
    assert (report.changed, report.repeated) == (1, 1)
    assert (held(searcher), searcher.count()) == ({one.id: one for one in TEXTS}, before)


def test_reindexing_leaves_out_what_repeats_a_passage(searcher: Searcher) -> None:
    before, copies = searcher.count(), repeat(searcher, "d1", "d2")
    report = searcher.reindex()
    assert (report.switched, report.repeated) == (True, len(copies))
    assert (held(searcher), searcher.count()) == ({one.id: one for one in TEXTS}, before)


def test_what_is_to_be_mended_is_something_to_do(searcher: Searcher) -> None:
    live = searcher.opened().target
    assert searcher.reindex(only_if_needed=True).as_is
    assert searcher.reindex(only_if_needed=True, queries=["cats"]).as_is is False
    spoil: dict[str, Callable[[], list[Point]]] = {
        "damaged": lambda: [unknown({})(searcher)],
        "foreign": lambda: [unknown(LANGCHAIN)(searcher)],
        "repeated": lambda: repeat(searcher, "d1"),
    }
    for made in spoil.values():
        searcher.opened().upsert(made())
        report = searcher.reindex(only_if_needed=True, check=False)
        assert (report.as_is, report.switched, report.damaged + report.foreign + report.repeated) == (False, True, 1)
        assert held(searcher) == {one.id: one for one in TEXTS}
        report = searcher.reindex(only_if_needed=True)
        assert (report.as_is, report.switched, report.new, report.ingest.unchanged) == (True, True, report.live, COUNT)
        assert searcher.opened().target == report.live != live


def test_a_copy_that_is_written_to_again_is_rid_of_what_repeats_a_passage(searcher: Searcher) -> None:
    from search.index.contract import CollectionSpec

    spec = CollectionSpec(searcher.embedder.dimension, searcher.embedder.fingerprint, searcher.index.spec.lexical)
    source = QdrantCollections(in_memory(), ":memory:").named("source", searcher.settings.storage)
    copy(searcher.opened(), source, spec)
    before, copies = searcher.count(), repeat(searcher, "d1", "d2")
    report = copy(source, searcher.opened(), spec)
    assert (report.unchanged, report.repeated, searcher.count()) == (COUNT, len(copies), before)
    source.close()


def test_under_strict_mode_too(standin: QdrantStandIn, tmp_path: Path, model_folder: Path) -> None:
    """No filter asks a field without an index."""
    standin.strict = {"unindexed_filtering_retrieve": False, "unindexed_filtering_update": False}
    given: dict[str, Any] = {"embedder": {"model": str(model_folder / "embedder-mean")}, "reranker": {"kind": "none"}}
    with open_search(Settings(data_dir=tmp_path / "data", index=standin.index, **given)) as searcher:
        searcher.ingest(TEXTS)
        before, copies = searcher.count(), repeat(searcher, "d1", "d2")
        assert len(survey(searcher.opened(), repeated=True).repeated) == len(copies)
        assert searcher.ingest(TEXTS, sync=True).repeated == len(copies)
        assert searcher.count() == before


def test_documents_of_damaged_points_count_among_those_that_may_go(searcher: Searcher) -> None:
    vector = stored(searcher, "d0").vector
    searcher.opened().upsert([Point(str(uuid.uuid4()), vector, {"document_id": f"gone{i}", "revision": "1"}) for i in range(5)])
    report = searcher.ingest(TEXTS, sync=True)
    assert (report.removed, report.kept) == (0, 5)
    assert survey(searcher.opened()).damaged == 5
    assert searcher.ingest(TEXTS, sync=True, max_delete=5).removed == 5
    assert survey(searcher.opened()).damaged == 0


def test_many_of_them_among_the_closest(searcher: Searcher) -> None:
    """As many good hits as were asked for, though most of the closest points are none."""
    vector = stored(searcher, "d0").vector
    searcher.opened().upsert([Point(str(uuid.uuid4()), vector, {}) for _ in range(20)])
    result = searcher.search(TEXTS[0].text, limit=8, depth=8)
    assert len(result.hits) == 8
    assert "20 points that were found hold no passage" in result.warnings[0]


def test_everything_else_goes_on(searcher: Searcher) -> None:
    for number, spoil in enumerate([*DAMAGED.values(), *FOREIGN.values()]):
        point = spoil(searcher) if number < 3 or number >= len(DAMAGED) else None
        if point is not None:
            searcher.opened().upsert([point])
    assert held(searcher) == {one.id: one for one in TEXTS}
    assert searcher.count() > COUNT
    assert searcher.update({"seen": True}, ids=["d1"]).changed == 1
    assert searcher.delete(ids=["d1"]) == 1
    assert searcher.delete(filter={"must": [{"key": "metadata.n", "match": {"value": 2}}]}) == 1
    assert searcher.delete(filter={"must_not": [{"key": "metadata.n", "range": {"gte": 0}}]}, dry_run=True) <= 4
    assert searcher.ingest(TEXTS[:3]).added == 2
    rejected = [one for one in documents(searcher.opened()) if isinstance(one, Rejection)]
    assert [one.document_id for one in rejected] == []


def test_duplicates_and_contexts_go_on_without_them(searcher: Searcher) -> None:
    searcher.ingest([replace(TEXTS[0], id="copy")])
    damaged = DAMAGED["no text"](searcher)
    others = [spoil(searcher) for spoil in (*DAMAGED.values(), *FOREIGN.values())]
    beside = [one._replace(id=str(uuid.uuid4())) if one.id == damaged.id else one for one in others]
    searcher.opened().upsert([damaged, *beside])
    good = {"copy", *(one.id for one in TEXTS)} - {"d3"}
    found = searcher.duplicates()
    clusters = [(one.representative.id, [other.document.id for other in one.duplicates]) for one in found.clusters]
    assert (clusters, found.documents) == ([("copy", ["d0"])], len(good))
    made = searcher.search("Number 0 is about cats.", limit=3 * COUNT, depth=3 * COUNT).context(max_tokens=5_000)
    assert {one for source in made.sources for one in (source.document_id, *source.also)} == good


def test_reindexing_leaves_them_out_and_says_so(searcher: Searcher) -> None:
    searcher.opened().upsert([unknown({})(searcher), unknown(LANGCHAIN)(searcher)])
    report = searcher.reindex(searcher.settings.model_copy(update={"chunking": Settings(chunking={"tokens": 64}).chunking}))
    assert (report.switched, report.damaged, report.foreign) == (True, 1, 1)
    assert held(searcher) == {one.id: one for one in TEXTS}
    assert str(survey(searcher.opened())) == ""


def test_reindexing_loses_no_document_without_a_word(searcher: Searcher) -> None:
    searcher.opened().upsert([changed(text=...)(searcher)])
    with pytest.raises(ReindexRefused, match=r"1 document cannot be given back whole.* ingest it again from its source"):
        searcher.reindex(check=False)


def test_a_copy_leaves_them_out_and_says_so(searcher: Searcher) -> None:
    from search.index.contract import CollectionSpec

    spec = CollectionSpec(searcher.embedder.dimension, searcher.embedder.fingerprint)
    target = QdrantCollections(in_memory(), ":memory:").named("copied", searcher.settings.storage)
    searcher.opened().upsert([unknown({})(searcher), unknown(LANGCHAIN)(searcher), changed(text=5)(searcher)])
    report = copy(searcher.opened(), target, spec)
    assert (report.added, report.rejected, report.damaged, report.foreign) == (COUNT - 1, 1, 2, 1)
    assert report.rejections[0].document_id == "d3"
    target.close()


def test_the_service_answers(tmp_path: Path, model_folder: Path) -> None:
    given: dict[str, Any] = {"embedder": {"model": str(model_folder / "embedder-mean")}, "reranker": {"kind": "none"}}
    with open_search(Settings(data_dir=tmp_path / "data", **given)) as searcher:
        searcher.ingest(TEXTS)
        points = [unknown({}, 3)(searcher), unknown(LANGCHAIN)(searcher), unknown({"document_id": "d0", "revision": "1"})(searcher)]
        foreign = unknown({"number": 0, "metadata": 5, "media_type": 5})(searcher)
        searcher.opened().upsert([*points, changed(text=5)(searcher), foreign])
    with serving(Settings(data_dir=tmp_path / "data", **given)) as served:
        http = served.http
        found = http.post("/v1/search", json={"query": "Number 0 is about cats."})
        assert found.status_code == 200
        assert "5 points" in found.json()["warnings"][0]
        assert http.get("/v1/documents/d0").status_code == 200
        assert http.get("/v1/documents/d3").status_code == 409
        assert http.post("/v1/documents/count", json={}).json() == {"passages": COUNT + 4, "warnings": []}
        facets = http.get("/v1/collections/documents/facets")
        assert facets.status_code == 200
        assert facets.json()["ranges"] == [{"field": "metadata.n", "least": 0, "most": COUNT - 1}]


def test_the_commands_name_them(tmp_path: Path, model_folder: Path) -> None:
    settings: dict[str, Any] = {
        "SEARCH_DATA_DIR": str(tmp_path / "data"),
        "SEARCH_EMBEDDER__MODEL": str(model_folder / "embedder-mean"),
        "SEARCH_RERANKER__KIND": "none",
    }
    given: dict[str, Any] = {"embedder": {"model": settings["SEARCH_EMBEDDER__MODEL"]}, "reranker": {"kind": "none"}}
    (tmp_path / "notes").mkdir()
    for number in range(6):
        (tmp_path / "notes" / f"{number}.txt").write_text(f"Number {number} is about cats.")
    search("ingest", "notes", **settings)
    assert "all hold passages" in search("doctor", **settings).stdout
    with open_search(Settings(data_dir=tmp_path / "data", **given)) as searcher:
        vector = next(searcher.opened().scroll(vectors=True)).vector
        assert vector is not None
        searcher.opened().upsert([Point(EMPTY, vector, {}), Point("42", vector, LANGCHAIN)])
    told = " ".join(search("doctor", status=1, **settings).stdout.split())
    assert (
        f"PROBLEM points 1 point holds no whole passage (such as {EMPTY}); 1 point was written by another program (such as 42)"
        in told
    )
    assert "with --sync" in told
    assert len(as_json("query", "cats", "--limit", 6, **settings)["hits"]) == 6
    made = search("context", "cats", **settings).stderr
    assert made.startswith("6 sources, ")
    assert "note: 2 points that were found hold no passage, and were left out; search doctor names some\n" in made
    synced = search("ingest", "notes", "--sync", **settings)
    assert "1 point held no whole passage, and was removed or written anew" in synced.stderr
    assert "1 point was written by another program, and left alone" in synced.stderr
    with open_search(Settings(data_dir=tmp_path / "data", **given)) as searcher:
        (copied,) = repeat(searcher, "notes/1.txt")
    told = " ".join(search("doctor", status=1, **settings).stdout.split())
    assert f"1 point repeats passages of others (such as {copied.id}); 1 point was written by another program" in told
    assert "ingest the documents again that are there twice so" in told
    dry = search("ingest", "notes", "--dry-run", **settings)
    assert "1 point repeated a passage of another, and would be removed\n" in dry.stderr
    assert "1 point repeated a passage of another, and was removed\n" in search("ingest", "notes", **settings).stderr
    reindexed = search("reindex", "--no-check", **settings, SEARCH_CHUNKING__TOKENS="32")
    assert "1 point was written by another program" in reindexed.stderr


def test_each_command_that_removes_repeats_tells_of_them(standin: QdrantStandIn, tmp_path: Path, model_folder: Path) -> None:
    here: dict[str, Any] = {
        "SEARCH_DATA_DIR": str(tmp_path / "data"),
        "SEARCH_EMBEDDER__MODEL": str(model_folder / "embedder-mean"),
        "SEARCH_RERANKER__KIND": "none",
    }
    there = here | standin.environment
    embedder = {"model": here["SEARCH_EMBEDDER__MODEL"]}
    on_server = Settings(data_dir=tmp_path / "data", index=standin.index, embedder=embedder, reranker={"kind": "none"})
    told = "1 point repeated a passage of another, and {}\n".format
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("A text about cats.")
    search("ingest", "notes", **here)
    search("push", **there)

    def again() -> None:
        with open_search(on_server) as searcher:
            (_,) = repeat(searcher, "notes/a.txt")

    again()
    assert told("was removed") in search("push", **there).stderr
    assert search("push", **there).stderr == ""
    update = ("update", '{"year": 1999}', "notes/a.txt")
    search(*update, **there)
    again()
    assert told("would be removed") in search(*update, "--dry-run", **there).stderr
    assert told("was removed") in search(*update, **there).stderr


def test_what_became_of_them_agrees_with_their_number(capsys: pytest.CaptureFixture[str]) -> None:
    for number in (0, 1, 2):
        note_damage(number, 0, "was not copied", "were not copied")
        note_repeated(number, "stays in a", "stay in a")
        note_repeated(number, "would be removed")
    assert capsys.readouterr().err.splitlines() == [
        "1 point held no whole passage, and was not copied",
        "1 point repeated a passage of another, and stays in a",
        "1 point repeated a passage of another, and would be removed",
        "2 points held no whole passage, and were not copied",
        "2 points repeated passages of others, and stay in a",
        "2 points repeated passages of others, and would be removed",
    ]


class Answering:
    """An index of given answers, which counts how often it is asked."""

    def __init__(self, good: int, bad: int) -> None:
        from search.index.contract import Match

        whole = {**dict.fromkeys(("number", "start", "end", "tokens", "tokens_embedded"), 1), "chunks": 1, "unknown_share": 0.0}
        texts = {"document_id": "a", "revision": "r", "title": "", "text": "x", "metadata": {}}
        matches = [Match(str(i), 1.0, {}) for i in range(bad)]
        self.matches = matches + [Match(str(bad + i), 0.5, {**whole, **texts}) for i in range(good)]
        self.asked = 0

    def query(self, _: Query, limit: int) -> Matches:
        self.asked += 1
        return Matches(self.matches[:limit])


@pytest.mark.parametrize(
    ("good", "bad", "candidates", "asked"),
    [(50, 0, 10, 1), (50, 3, 10, 2), (50, 10, 10, 2), (5, 3, 5, 1), (0, 0, 0, 1), (50, 999, 0, 4)],
)
def test_more_is_asked_for_only_where_it_is_needed(good: int, bad: int, candidates: int, asked: int) -> None:
    index: Any = Answering(good, bad)
    found = find(index, Query(np.ones(2, np.float32)), 10)
    assert (len(found.matches), index.asked) == (candidates, asked)


def test_what_a_payload_is_taken_for() -> None:
    assert as_passage({}) is None
    assert as_passage({"document_id": " "}, ["document_id"]) is None
    assert as_passage({"document_id": "a"}, ["document_id"]) == {"document_id": "a"}
    assert as_passage({}, ["generation"]) == {}
    assert document_of({"document_id": "a", "chunks": 2}) == "a"
    assert document_of({"document_id": "a", "text": "x", "metadata": {}}) is None
    assert document_of({"document_id": 5}) is None
    assert document_of({}) is None
    assert document_of(LLAMA) is None


def test_a_document_whose_passages_do_not_fit_together(searcher: Searcher) -> None:
    index: VectorIndex = searcher.opened()
    payloads = [record.payload for record in index.scroll({"must": [{"key": "document_id", "match": {"value": "d2"}}]})]
    assert to_document(payloads) == replace(TEXTS[2])
    assert to_document([{**one, "start": one["start"] + 1_000} for one in payloads]) is None
    assert to_document([{**one, "text": "", "before": "", "after": ""} for one in payloads]) is None
    assert to_document([{name: one[name] for name in one if name != "after"} for one in payloads]) is None
    assert to_document([]) is None


def test_points_without_vectors(standin: QdrantStandIn) -> None:
    """A server keeps points without the vector, as another program writes them; qdrant-client's engine does not."""
    from search.index.contract import CollectionSpec
    from search.index.server.connection import connect

    index = QdrantIndex(connect(standin.url), "documents", standin.url)
    index.ensure(CollectionSpec(2, "model@1"), create=True)
    answer = standin.answer

    def without(method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path.endswith("/scroll"):
            return 200, {"points": [{"id": 5, "payload": {"a": 1}, "vector": {}}, {"id": 6}], "next_page_offset": None}
        return answer(method, path, body)

    standin.answer = without  # type: ignore[method-assign]
    assert [(record.id, record.vector) for record in index.scroll(vectors=True)] == [("5", None), ("6", None)]
    index.close()
