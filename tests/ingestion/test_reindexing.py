"""A collection moves to other settings while it is searched; what is interrupted goes on, and the way back stays open."""

import os
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import apart
import pytest
from held import contents
from standin import Fault, QdrantStandIn
from upstream import SERVERS, Serve, everywhere

from search.documents import Document
from search.errors import (
    CollectionNotFound,
    IndexBusy,
    IndexMismatch,
    IndexRejected,
    InvalidInput,
    InvalidQuery,
    InvalidSettings,
    MissingExtra,
    ModelNotFound,
    ReindexRefused,
)
from search.index.contract import CollectionSpec, Point
from search.index.edge.collections import EdgeCollections
from search.ingestion.copying import copy
from search.ingestion.judging import Judged
from search.ingestion.reindexing import lead, roll_back
from search.ingestion.restoring import documents
from search.ingestion.run import Ingestion
from search.searcher import Searcher, open_search
from search.settings import Settings

COUNT = 14  # documents, if a test needs no more
TEXT = "# Cats\n\nCats sleep. They purr.\n\n## Food\n\n```\nmice = 3\n```\n\nCats eat mice.\n"


@pytest.fixture(params=["edge", *SERVERS])
def place(request: pytest.FixtureRequest, tmp_path: Path, serve: Serve) -> dict[str, str]:
    """One engine, as variables name it."""
    return {"SEARCH_DATA_DIR": str(tmp_path / "data"), **({} if request.param == "edge" else serve(request.param).environment)}


@pytest.fixture
def settings(place: dict[str, str], model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Settings for it, with a tiny embedder; the other one is embedder-cls."""
    for name, value in place.items():
        monkeypatch.setenv(name, value)

    def make(embedder: str = "embedder-mean", **changes: Any) -> Settings:
        return Settings(embedder={"model": str(model_folder / embedder)}, **{"reranker": {"kind": "none"}, **changes})

    return make


def filled(searcher: Searcher, count: int = COUNT) -> dict[str, Document]:
    texts = [f"{TEXT}\n\nNumber {i}. {'It is long. ' * (i % 9)}" for i in range(count)]
    given = [
        Document(id=f"{i}", text=text, title=f"Title {i}", metadata={"n": i}, media_type="text/markdown")
        for i, text in enumerate(texts)
    ]
    assert searcher.ingest(given).added == count
    return {document.id: document for document in given}


def held(searcher: Searcher) -> dict[str, Document]:
    searcher.index.ensure(CollectionSpec(searcher.embedder.dimension, searcher.embedder.fingerprint), create=False)
    return {document.id: document for document in documents(searcher.index) if isinstance(document, Document)}


def test_documents_are_given_back_as_they_came(settings: Callable[..., Settings]) -> None:
    with open_search(settings(chunking={"tokens": 20, "overlap": 6})) as searcher:
        given = filled(searcher)
        assert searcher.index.count() > 4 * COUNT
        assert held(searcher) == given


def test_another_embedder_and_other_chunks(settings: Callable[..., Settings]) -> None:
    with open_search(settings()) as searcher:
        given = filled(searcher)
        before = searcher.index.count()
        wanted = settings("embedder-cls", chunking={"tokens": 20, "overlap": 4})
        report = searcher.reindex(wanted, min_overlap=0)
        assert (report.live, report.new, report.switched) == (searcher_first(searcher), "documents.v2", True)
        assert report.check
        assert report.check.queries == COUNT
        assert 0 < report.check.overlap < 1
        assert held(searcher) == given
        assert searcher.index.count() > before
        assert searcher.search("Cats eat mice.").embedder == "embedder-cls"
        assert searcher.ingest(given.values()).unchanged == COUNT  # as if they had been ingested so
    with open_search(wanted) as searcher:
        assert held(searcher) == given
    with open_search(settings()) as searcher, pytest.raises(IndexMismatch):
        searcher.search("Cats eat mice.")


def test_a_collection_without_documents_is_brought_to_another_embedder(settings: Callable[..., Settings]) -> None:
    """Though an ingestion makes no collection for nothing."""
    with open_search(settings()) as searcher:
        document = Document("a", "Cats sleep.")
        assert searcher.ingest([document]).added == 1
        assert searcher.delete(ids=["a"]) == 1
        report = searcher.reindex(settings("embedder-cls"), check=False)
        assert (report.new, report.switched, searcher.count()) == ("documents.v2", True, 0)
        assert searcher.ingest([document]).added == 1


def test_a_collection_that_was_left_can_be_dropped_at_once(settings: Callable[..., Settings]) -> None:
    with open_search(settings()) as searcher:
        filled(searcher)
        searcher.search("Cats eat mice.")
        left, passages = searcher_first(searcher), searcher.count()
        with searcher.using() as before:  # as a search that is under way
            assert searcher.reindex(settings(chunking={"tokens": 20, "overlap": 4}), check=False).switched
            assert before.count() == passages
            if isinstance(searcher.collections, EdgeCollections):
                with pytest.raises(IndexBusy):
                    searcher.collections.drop(left)
        searcher.collections.drop(left)
        assert searcher.collections.names() == ["documents.v2"]
        assert searcher.search("Cats eat mice.").hits


def test_a_name_that_was_led_back_to_its_own_collection_is_no_alias(tmp_path: Path, model_folder: Path) -> None:
    given = Settings(data_dir=tmp_path, embedder={"model": str(model_folder / "embedder-mean")}, reranker={"kind": "none"})
    with open_search(given) as searcher:
        filled(searcher, 3)
        engine = searcher.collections
        lead(engine, "documents", "documents")
        assert (engine.aliases(), engine.previous("documents")) == ({}, None)
        assert searcher.reindex(replace_chunking(given), check=False).switched
        for _ in range(2):  # which leaves alone what is so
            engine.switch("documents", "documents.v2")
            assert engine.previous("documents") == "documents"
        assert lead(engine, "live", "documents") == lead(engine, "live", "live") == "documents.v2"
        assert searcher.roll_back() == ("documents.v2", "documents")
        engine.unalias("live")
        assert (engine.aliases(), engine.info("documents").aliases) == ({}, ())
        with pytest.raises(CollectionNotFound, match="there is no alias 'documents'"):
            engine.unalias("documents")
        with searcher.using() as index, index.claimed(), pytest.raises(IndexBusy):
            lead(engine, "documents", "documents.v2")  # what is written would be where nobody searches
        assert searcher.roll_back() == ("documents", "documents.v2")  # and forth
        assert searcher.roll_back() == ("documents.v2", "documents")
        searcher.index.close()
        engine.drop("documents")
        assert (engine.names(), engine.aliases()) == (["documents.v2"], {})
        assert "previous" not in (tmp_path / "aliases.json").read_text()


def test_what_a_name_led_to_before_is_known_though_it_is_led_there_again(settings: Callable[..., Settings]) -> None:
    with open_search(settings()) as searcher:
        filled(searcher)
        first = searcher_first(searcher)
        assert searcher.reindex(settings(chunking={"tokens": 20, "overlap": 4}), check=False).switched
        for _ in range(2):
            lead(searcher.collections, "documents", "documents.v2")
            assert searcher.collections.previous("documents") == first
        assert searcher.roll_back() == ("documents.v2", first)


def test_a_name_that_leads_nowhere_any_more_begins_no_collection_anew(settings: Callable[..., Settings]) -> None:
    with open_search(settings()) as searcher:
        filled(searcher)
        assert searcher.reindex(settings(chunking={"tokens": 20, "overlap": 4}), check=False).switched
        engine, first = searcher.collections, searcher_first(searcher)
        engine.unalias("documents")
        if first == "documents":  # its own name again
            searcher.follow("documents")
            engine.drop(first)
        before = {name: engine.info(name).points for name in engine.names()}
    with open_search(settings()) as searcher:
        with pytest.raises(IndexRejected, match=r"'documents' leads nowhere .*search collections alias documents documents\.v2"):
            searcher.ingest([Document(id="new", text="Cats.")])
        assert {name: searcher.collections.info(name).points for name in searcher.collections.names()} == before
        searcher.collections.switch("documents", "documents.v2")
        assert searcher.ingest([Document(id="new", text="Cats.")]).added == 1


def test_a_collection_that_is_only_called_like_a_version_is_in_nobodys_way(settings: Callable[..., Settings]) -> None:
    for collection in ("manual.v2", "manual"):
        with open_search(settings(collection=collection)) as searcher:
            assert searcher.ingest([Document(id="1", text="Cats.")]).added == 1


def searcher_first(searcher: Searcher) -> str:
    return "documents" if isinstance(searcher.collections, EdgeCollections) else "documents.v1"


def test_other_storage_alone_embeds_nothing(settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    with open_search(settings()) as searcher:
        given = filled(searcher)
        monkeypatch.setattr(type(searcher.embedder), "embed_passages", lambda *_: pytest.fail("something was embedded"))
        report = searcher.reindex(settings(storage={"quantization": "scalar", "hnsw_m": 32}))
        assert report.check
        assert (report.switched, report.check.overlap) == (True, 1.0)
        assert held(searcher) == given
        info = searcher.collections.info("documents")
        assert (report.copied, report.ingest.chunks) == (info.points, 0)
        assert info.details["storage"]["hnsw_m"] == 32


def test_a_new_collection_that_finds_other_things_is_not_switched_to(settings: Callable[..., Settings]) -> None:
    with open_search(settings()) as searcher:
        filled(searcher)
        report = searcher.reindex(settings("embedder-cls"), min_overlap=1)
        assert report.check
        assert not report.switched
        assert "of the first 10 documents are the same" in report.check.because
        assert searcher.search("Cats").embedder == "embedder-mean"
        again = searcher.reindex(settings("embedder-cls"), min_overlap=0)
        assert (again.new, again.switched, again.ingest.unchanged, again.ingest.chunks) == (report.new, True, COUNT, 0)


def test_judgements_decide(settings: Callable[..., Settings]) -> None:
    with open_search(settings()) as searcher:
        given = filled(searcher)
        queries = {one: document.text[-60:] for one, document in list(given.items())[:8]}
        found = {one: searcher.search(text, limit=10, depth=50, group_by="document").hits for one, text in queries.items()}
        as_before = {one: {hit.document_id: 1 for hit in hits[:3]} for one, hits in found.items()}
        report = searcher.reindex(settings("embedder-cls"), judged=Judged(queries, as_before))
        assert report.check
        assert report.check.live_ndcg == pytest.approx(1)
        assert report.check.new_ndcg is not None
        assert report.check.new_ndcg < 0.9
        assert (report.switched, report.check.because) == (False, f"nDCG@10 falls from 1.000 to {report.check.new_ndcg:.3f}")


def test_judgements_count_as_far_as_they_name_documents_that_are_there(settings: Callable[..., Settings]) -> None:
    """Else a fall would be divided by all that nobody can find, or nothing would be measured at all."""
    with open_search(settings()) as searcher:
        given = filled(searcher)
        queries = {one: document.text[-60:] for one, document in list(given.items())[:4]}
        found = {one: searcher.search(text, limit=10, depth=50, group_by="document").hits for one, text in queries.items()}
        as_before = {one: {hit.document_id: 1 for hit in hits[:3]} for one, hits in found.items()}
        absent = {f"absent {number}": {"gone": 1} for number in range(500)}
        judged = Judged(
            queries | dict.fromkeys(absent, "Cats") | {"blank": " "},
            as_before | absent | {"0": {**as_before["0"], "lost": 2}, "blank": {"1": 1}},
        )
        report = searcher.reindex(settings("embedder-cls"), judged=judged)
        assert report.check
        assert report.check.live_ndcg == pytest.approx(1)
        assert (report.check.queries, report.switched) == (4, False)
        relevant = len({one for grades in judged.qrels.values() for one in grades})
        assert report.check.notes == (
            f"2 of {relevant} relevant documents are not in the collection and did not count, such as 'gone'",
            "501 of 505 judged queries had no relevant document there, or no text, and did not count, such as 'absent 0'",
        )


UNUSABLE: dict[str, tuple[dict[str, Any], str]] = {
    "a dict": ({"judged": {"q": "Cats"}}, r"judged is a dict; give search\.ingestion\.judging\.Judged"),
    "an empty dict": ({"judged": {}}, "judged is a dict"),
    "nothing": ({"judged": Judged({}, {})}, "the judgements name no relevant document"),
    "nothing relevant": ({"judged": Judged({"q": "Cats"}, {"q": {"1": 0}})}, "the judgements name no relevant document"),
    "queries without text": ({"judged": Judged({"q": "Cats"}, {"z": {"1": 1}})}, "1 judged query has no text, such as 'z'"),
    "other documents": (
        {"judged": Judged({"q": "Cats"}, {"q": {"nope": 1, "1": 0}})},
        "none of 1 relevant document of the judgements, such as 'nope', is in the collection",
    ),
    "empty queries": ({"judged": Judged({"q": " "}, {"q": {"1": 1}})}, "every query with a relevant document .* is empty"),
    "half a grade": ({"judged": Judged({"q": "Cats"}, {"q": {"1": 1.5}})}, "the grade of '1' for 'q' is 1.5; give a whole number"),  # type: ignore[dict-item]
    "a grade that is a table": ({"judged": Judged({"q": "Cats"}, {"q": {"1": 10**9}})}, "is 1,000,000,000; grades are up to 1,000"),
    "a list of grades": ({"judged": Judged({"q": "Cats"}, {"q": ["1"]})}, r"judged\.qrels\['q'\] is a list"),  # type: ignore[dict-item]
    "a list of queries": ({"judged": Judged(["Cats"], {})}, r"judged\.queries is a list"),  # type: ignore[arg-type]
    "numbers as queries": ({"judged": Judged({"q": 1}, {})}, r"judged\.queries\[1\] is a int"),  # type: ignore[dict-item]
    "an empty query": ({"queries": ["Cats", " "]}, r"queries\[1\] is empty"),
    **{
        f"an overlap of {share}": ({"min_overlap": share}, f"min_overlap is {told}; give a")
        for share, told in [(5, "5"), (-1, "-1"), (float("nan"), "nan"), ("x", "a str"), (True, "a bool"), (None, "a NoneType")]
    },
}


@pytest.mark.parametrize("asked", UNUSABLE.values(), ids=UNUSABLE)
def test_what_nothing_can_be_compared_by_is_refused_before_anything_is_filled(
    asked: tuple[dict[str, Any], str], tmp_path: Path, model_folder: Path
) -> None:
    models: dict[str, Any] = {"embedder": {"model": str(model_folder / "embedder-mean")}, "reranker": {"kind": "none"}}
    arguments, told = asked
    with open_search(Settings(data_dir=tmp_path, **models)) as searcher:
        searcher.ingest([Document("1", "Cats sleep.")])
        with pytest.raises(InvalidInput, match=told):
            searcher.reindex(Settings(data_dir=tmp_path, **models, chunking={"tokens": 20, "overlap": 0}), **arguments)
        assert searcher.collections.names() == ["documents"]


def test_judgements_without_what_measures_them_are_refused_at_once(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pytrec_eval", None)
    monkeypatch.delitem(sys.modules, "search.evaluation.measures", raising=False)
    with open_search(settings()) as searcher:
        filled(searcher, 1)
        with pytest.raises(MissingExtra, match="pytrec_eval is not installed"):
            searcher.reindex(judged=Judged({"q": "Cats"}, {"q": {"0": 1}}))
        assert searcher.collections.names() == [searcher_first(searcher)]


def test_what_to_compare_by_is_said_once(settings: Callable[..., Settings]) -> None:
    judged = Judged({"q": "Cats"}, {"q": {"d": 1}})
    with open_search(settings()) as searcher:
        filled(searcher)
        for asked in ({"queries": ["Cats"]}, {"judged": judged}):
            with pytest.raises(InvalidQuery, match="are for the check, which is to be left out"):
                searcher.reindex(settings("embedder-cls"), check=False, **asked)
        with pytest.raises(InvalidQuery, match="judged and queries both say what to compare by"):
            searcher.reindex(settings("embedder-cls"), queries=["Cats"], judged=judged)
        assert searcher.collections.info("documents").name == searcher_first(searcher)


def test_the_way_back(settings: Callable[..., Settings]) -> None:
    with open_search(settings()) as searcher:
        given = filled(searcher)
        with pytest.raises(ReindexRefused, match="there is nothing to lead 'documents' back to"):
            searcher.roll_back()
        searcher.reindex(settings("embedder-cls"), min_overlap=0)
        searcher.ingest([Document(id="new", text="Only in the new one.")])
    with open_search(settings()) as searcher:
        left, now = searcher.roll_back()
        assert (left, now) == ("documents.v2", searcher_first(searcher))
        assert held(searcher) == given
        searcher.search("Cats")
        third = searcher.reindex(settings(chunking={"tokens": 20, "overlap": 0}), min_overlap=0)
        assert third.new == "documents.v3"  # v2 is of the other embedder
        assert third.switched
        assert searcher.collections.previous("documents") == searcher_first(searcher)


def test_a_collection_of_somebodys_own_is_left_alone(settings: Callable[..., Settings]) -> None:
    """One that happens to be called like the next version."""
    with open_search(settings()) as searcher:
        filled(searcher)
        own = searcher.collections.open("documents.v2", searcher.settings.storage)
        Ingestion(searcher.embedder, own, searcher_chunker(searcher), max_characters=1_000).run([Document(id="own", text="Mine.")])
        report = searcher.reindex(settings(chunking={"tokens": 20, "overlap": 0}), min_overlap=0)
        assert (report.new, report.switched) == ("documents.v3", True)
        assert list(contents(own)) == ["own"]
        own.close()


def test_what_was_live_before_a_rollback_is_not_filled_again(settings: Callable[..., Settings]) -> None:
    with open_search(settings()) as searcher:
        filled(searcher)
        new = settings(chunking={"tokens": 20, "overlap": 0})
        searcher.reindex(new, min_overlap=0)
        searcher.ingest([Document(id="late", text="Came while the second one was live.")])
        searcher.roll_back()
        assert searcher.reindex(new, min_overlap=0).new == "documents.v3"
        second = searcher.collections.info("documents.v2", exact=True)
        assert second.points > searcher.collections.info("documents").points


def test_an_ingestion_that_waits_for_it_writes_into_the_new_one(settings: Callable[..., Settings]) -> None:
    with open_search(settings()) as searcher:
        filled(searcher, 60)
        reindexing = threading.Thread(target=lambda: searcher.reindex(settings("embedder-cls"), min_overlap=0))
        reindexing.start()
        while not searcher._parts.writing.locked():
            time.sleep(0.001)
        assert searcher.ingest([Document(id="late", text="It came late.")]).added == 1
        reindexing.join()
        assert "late" in held(searcher)
        assert searcher.search("late").embedder == "embedder-cls"


def test_documents_that_are_not_whole_stop_it(settings: Callable[..., Settings]) -> None:
    with open_search(settings(chunking={"tokens": 20, "overlap": 0})) as searcher:
        filled(searcher)
        victim = next(record for record in searcher.index.scroll() if record.payload["number"] == 1)
        searcher.index.delete(ids=[victim.id])
        with pytest.raises(ReindexRefused, match=r"1 document cannot be given back whole.* ingest it again from its source"):
            searcher.reindex(settings("embedder-cls"), min_overlap=0)
        assert searcher.search("Cats").embedder == "embedder-mean"


def test_an_embedder_that_is_gone_needs_no_check(settings: Callable[..., Settings]) -> None:
    with open_search(settings()) as searcher:
        filled(searcher)
    with open_search(settings("embedder-cls")) as searcher:
        with pytest.raises(ModelNotFound, match="leave out the check"):
            searcher.reindex(min_overlap=0)
        assert searcher.collections.names() == [searcher_first(searcher)]  # found out before anything is embedded
        assert searcher.reindex(check=False).switched
        assert searcher.search("Cats").embedder == "embedder-cls"


def test_it_is_reindexed_where_it_is(settings: Callable[..., Settings]) -> None:
    with open_search(settings()) as searcher:
        with pytest.raises(InvalidSettings, match="reindexed where it is"):
            searcher.reindex(settings(collection="other"))
        with pytest.raises(CollectionNotFound):
            searcher.reindex()


def test_searches_go_on_meanwhile(settings: Callable[..., Settings]) -> None:
    """A client at a constant rate sees no failed and no empty answer, and in the end the new embedder's."""
    with open_search(settings()) as searcher:
        filled(searcher, 60)
        answers: list[tuple[str, int]] = []
        stop = threading.Event()

        def client() -> None:
            while not stop.is_set():
                result = searcher.search("Cats eat mice.")
                answers.append((result.embedder, len(result.hits)))
                time.sleep(0.05)

        threads = [threading.Thread(target=client) for _ in range(2)]
        for thread in threads:
            thread.start()
        report = searcher.reindex(settings("embedder-cls", chunking={"tokens": 40, "overlap": 0}), min_overlap=0)
        time.sleep(0.2)
        stop.set()
        for thread in threads:
            thread.join()
    assert report.switched
    assert {count for _, count in answers} == {10}
    embedders = [name for name, _ in answers]
    assert set(embedders) == {"embedder-mean", "embedder-cls"}
    assert embedders[-1] == "embedder-cls"


@everywhere
def test_another_process_follows_the_name(standin: QdrantStandIn, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One with the same embedder goes over to the new collection; one with the old embedder stays with the old collection."""
    monkeypatch.setattr("search.index.server.index._FOLLOWED_EVERY_S", 0.0)

    def opened(embedder: str) -> Searcher:
        model = {"model": str(model_folder / embedder)}
        return open_search(Settings(embedder=model, index=standin.index, reranker={"kind": "none"}))

    with opened("embedder-mean") as first, opened("embedder-mean") as other:
        filled(first)
        assert other.search("Cats", limit=30, depth=30).hits
        count = other.index.count()
        first.reindex(replace_chunking(first.settings), min_overlap=0)
        other.search("Cats")
        assert other.index.count() > count
        first.reindex(
            Settings(**{**dict(first.settings), "embedder": {"model": str(model_folder / "embedder-cls")}}), min_overlap=0
        )
        assert len(other.search("Cats", limit=10).hits) == 10  # from the old collection, which is still there
        assert first.search("Cats").embedder == "embedder-cls"


def replace_chunking(settings: Settings) -> Settings:
    return Settings(**{**dict(settings), "chunking": {"tokens": 20, "overlap": 0}})


@everywhere
@pytest.mark.usefixtures("brief_lease", "brief_pauses")
def test_a_server_that_fails_meanwhile_loses_nothing(standin: QdrantStandIn, model_folder: Path) -> None:
    given = {"index": standin.index, "reranker": {"kind": "none"}}
    old, new = (Settings(embedder={"model": str(model_folder / name)}, **given) for name in ("embedder-mean", "embedder-cls"))
    draw = random.Random(3)  # noqa: S311  # no secret
    with open_search(old) as searcher:
        expected = filled(searcher)
        assert searcher.search("Cats").hits
        for _ in range(3):
            standin.faults += [Fault()] * 12 + [Fault(503) if draw.random() < 0.4 else Fault() for _ in range(20)]
            try:
                report = searcher.reindex(new, min_overlap=0)
                break
            except Exception:  # where it is tried once only: opening, switching
                standin.faults.clear()
        else:
            report = searcher.reindex(new, min_overlap=0)
        standin.faults.clear()
        assert report.switched
        assert held(searcher) == expected


RUN = """
import sys
from search import Settings, open_search
from search.index.server import lease
lease._RENEWED_EVERY_S, lease._DEAD_AFTER_S = 0.2, 0.8  # a killed writer is given up after a moment, not after twelve seconds
lease._LOOKED_AT_EVERY_S, lease._SETTLED_AFTER_S = 0.05, 0.01
with open_search(Settings(reranker={"kind": "none"}, chunking={"tokens": 24, "overlap": 0})) as searcher:
    print("ready", flush=True)
    searcher.reindex(check=False)
"""


def test_killed_anywhere_and_run_again_equals_one_clean_run(
    settings: Callable[..., Settings],
    place: dict[str, str],
    model_folder: Path,
    in_full: bool,  # noqa: FBT001  # a fixture
) -> None:
    draw = random.Random(8)  # noqa: S311  # no secret
    with open_search(settings()) as searcher:
        given = filled(searcher, 80)
    environment = {**os.environ, **place, "SEARCH_THREADS": "1"}
    took = 0.5  # seconds that a whole run takes
    for turn in range(25 if in_full else 3):
        embedder = ("embedder-cls", "embedder-mean")[turn % 2]
        environment["SEARCH_EMBEDDER__MODEL"] = str(model_folder / embedder)
        for kill in (True, True, False):
            with apart.python(RUN, environment=environment) as process:
                assert process.stdout.readline() == "ready\n"
                began = time.monotonic()
                if kill:
                    time.sleep(draw.random() * took)
                    process.kill()
                assert process.wait() in ({0, -signal.SIGKILL} if kill else {0})
                took = took if kill else time.monotonic() - began
        with open_search(settings(embedder, chunking={"tokens": 24, "overlap": 0})) as searcher:
            assert held(searcher) == given
            found = contents(searcher.index)
            clean = searcher.collections.open(f"clean{turn}", searcher.settings.storage)
            chunker = searcher_chunker(searcher)
            Ingestion(searcher.embedder, clean, chunker, max_characters=10**6).run(given.values())
            assert found == contents(clean)
            clean.close()


def searcher_chunker(searcher: Searcher) -> Any:
    from search.ingestion.chunking import Chunker

    return Chunker(searcher.embedder.tokenizer, 24, 0)


def test_a_copy_takes_the_newest_version_that_is_whole(settings: Callable[..., Settings]) -> None:
    """A killed ingestion left a fragment of a new version beside an old one, and of another document nothing else."""
    with open_search(settings(chunking={"tokens": 20, "overlap": 0})) as searcher:
        given = filled(searcher, 3)
        spec = CollectionSpec(searcher.embedder.dimension, searcher.embedder.fingerprint)
        target = searcher.collections.open("copied", searcher.settings.storage)
        copy(searcher.index, target, spec)
        old = [record for record in searcher.index.scroll(vectors=True) if record.payload["document_id"] == "1"]
        searcher.ingest([replace(given["1"], text="Entirely different. " * 30)])
        fragment = [record.id for record in searcher.index.scroll() if record.payload["document_id"] == "1"][1:]
        searcher.index.delete(ids=fragment)
        searcher.index.upsert([Point(record.id, record.vector, record.payload) for record in old if record.vector is not None])
        gone = [record.id for record in searcher.index.scroll() if record.payload["document_id"] == "2"][1:]
        searcher.index.delete(ids=gone)
        before = contents(target)
        report = copy(searcher.index, target, spec, sync=True)
        assert (report.unchanged, report.changed, report.removed, report.rejected) == (2, 0, 0, 1)
        assert report.rejections[0].document_id == "2"
        assert contents(target) == before
        target.delete(ids=[next(record.id for record in target.scroll() if record.payload["document_id"] == "0")])
        report = copy(searcher.index, target, spec, keep=lambda *_: True)  # what is not whole is nobody's edit
        assert (report.changed, report.kept, contents(target)) == (1, 0, before)
        target.close()


# Collections


def test_dropping_that_was_killed_is_in_the_way_of_nothing(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next collection is called like the one that was half removed."""

    def killed(folder: Path) -> None:
        del folder
        raise KeyboardInterrupt

    embedder = {"model": str(model_folder / "embedder-mean")}
    with open_search(Settings(data_dir=tmp_path, embedder=embedder, reranker={"kind": "none"})) as searcher:
        filled(searcher)
        passages = searcher.count()
        assert searcher.reindex(check=False).new == "documents.v2"
        searcher.roll_back()
        with monkeypatch.context() as patched:
            patched.setattr(shutil, "rmtree", killed)
            with pytest.raises(KeyboardInterrupt):
                searcher.collections.drop("documents.v2")
        assert searcher.collections.names() == ["documents"]
        assert searcher.reindex(check=False).new == "documents.v2"
        assert searcher.count() == passages
        searcher.collections.drop("documents")
        assert [folder.name for folder in (tmp_path / "collections").iterdir()] == ["documents.v2"]  # nor is anything left


def test_names_aliases_and_dropping(settings: Callable[..., Settings]) -> None:
    with open_search(settings()) as searcher:
        filled(searcher, 3)
        collections, first = searcher.collections, searcher_first(searcher)
        assert collections.names() == [first]
        collections.switch("live", "documents")
        assert collections.aliases()["live"] == first
        info = collections.info("live")
        assert (info.name, info.points, "live" in info.aliases) == (first, searcher.index.count(), True)
        assert info.spec
        assert info.spec.dimension == searcher.embedder.dimension
        with pytest.raises(IndexRejected, match="lead it elsewhere or remove it first"):
            collections.drop(first)
        for alias in collections.aliases():
            collections.unalias(alias)
        with pytest.raises(CollectionNotFound, match="there is no alias 'live'"):
            collections.unalias("live")
        if isinstance(collections, EdgeCollections):
            with pytest.raises(IndexBusy, match="close the searcher"):
                collections.drop(first)
            searcher.index.close()
        collections.drop(first)
        assert collections.names() == []
        with pytest.raises(CollectionNotFound):
            collections.drop("")
        for refused in (lambda: collections.info("x"), lambda: collections.drop("x"), lambda: collections.switch("a", "x")):
            with pytest.raises(CollectionNotFound, match="there is no collection 'x'"):
                refused()


def test_an_alias_is_led_back_to_a_collection_that_an_alias_hides(tmp_path: Path, model_folder: Path) -> None:
    given = Settings(data_dir=tmp_path, embedder={"model": str(model_folder / "embedder-mean")}, reranker={"kind": "none"})
    with open_search(given) as searcher:
        filled(searcher, 3)
        engine = searcher.collections
        assert lead(engine, "live", "documents") == "documents"
        searcher.reindex(replace_chunking(given), check=False)
        assert lead(engine, "live", "documents") == "documents.v2"
        assert roll_back(engine, "live") == ("documents.v2", "documents")
        assert engine.aliases() == {"documents": "documents.v2", "live": "documents"}


def test_a_snapshot_is_the_collection_as_it_was(tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "strftime", lambda _: "20260101-000000")
    given = Settings(data_dir=tmp_path / "data", embedder={"model": str(model_folder / "embedder-mean")}, reranker={"kind": "none"})
    with open_search(given) as searcher:
        expected = filled(searcher, 5)
        searcher.index.close()
        copy = Path(searcher.collections.snapshot("documents"))
        assert Path(searcher.collections.snapshot("documents")).name == f"{copy.name}-2"  # within the same second
    assert copy.parent == tmp_path / "data" / "snapshots"
    copy.rename(tmp_path / "data" / "collections" / "restored")
    with open_search(replace_collection(given, "restored")) as searcher:
        assert held(searcher) == expected


def replace_collection(settings: Settings, name: str) -> Settings:
    return settings.model_copy(update={"collection": name})


def test_a_server_writes_snapshots_itself(standin: QdrantStandIn, model_folder: Path) -> None:
    given = {"index": standin.index, "reranker": {"kind": "none"}}
    with open_search(Settings(embedder={"model": str(model_folder / "embedder-mean")}, **given)) as searcher:
        filled(searcher, 2)
        made = searcher.collections.snapshot("documents")
    assert made == f"{standin.url}/collections/documents.v1/snapshots/documents.v1-1.snapshot"


@everywhere
def test_a_collection_made_by_name_cannot_lead_elsewhere(standin: QdrantStandIn, model_folder: Path) -> None:
    """As it was before aliases came: it is served, and reindexing says what to do."""
    given = {"index": standin.index, "reranker": {"kind": "none"}}
    settings = Settings(embedder={"model": str(model_folder / "embedder-mean")}, **given)
    with open_search(settings) as searcher:
        index = searcher.collections.open("documents", settings.storage)
        Ingestion(searcher.embedder, index, searcher_chunker(searcher), max_characters=1_000).run([Document(id="a", text="Text.")])
        assert searcher.search("text").hits[0].document_id == "a"
        with pytest.raises(IndexRejected, match=r"search collections alias NAME documents"):
            searcher.reindex(replace_chunking(settings), check=False)


def test_a_half_replaced_document_comes_in_its_newest_whole_version(settings: Callable[..., Settings]) -> None:
    with open_search(settings(chunking={"tokens": 20, "overlap": 0})) as searcher:
        given = filled(searcher, 4)
        old = [record for record in searcher.index.scroll(vectors=True) if record.payload["document_id"] == "1"]
        searcher.ingest([replace(given["1"], text="Entirely different. " * 30)])
        rest = [record for record in old if record.payload["number"] != 2]
        searcher.index.upsert([Point(record.id, record.vector, record.payload) for record in rest if record.vector is not None])
        found = held(searcher)
        assert set(found) == {"0", "1", "2", "3"}
        assert found["1"].text == "Entirely different. " * 30


@everywhere
def test_a_name_that_another_embedder_took_over(standin: QdrantStandIn, model_folder: Path) -> None:
    """Whoever has the old embedder is told so, and never gets what its vectors mean to the new one."""
    index = standin.index

    def with_model(name: str) -> Settings:
        return Settings(index=index, embedder={"model": str(model_folder / name)}, reranker={"kind": "none"})

    with open_search(with_model("embedder-mean")) as old, open_search(with_model("embedder-cls")) as new:
        old.ingest([Document(id=str(number), text=f"Document {number} of ten.") for number in range(10)])
        before = old.search("Document 3").hits
        assert new.reindex(check=False).switched
        with pytest.raises(IndexMismatch, match="bring this one to the new embedder"):
            old.count()
        after = old.search("Document 3").hits
        assert [hit.document_id for hit in after] == [hit.document_id for hit in before]
        scores = [hit.score for hit in before]
        cosines = [hit.retrieval_score for hit in before]
        assert [hit.retrieval_score for hit in after] == pytest.approx(cosines, abs=1e-6)  # sums may differ in their last bit …
        assert [hit.score for hit in after] == pytest.approx(scores, abs=1e-5)  # … which z-scores of cosines so near enlarge
