"""The point with the claim of a collection's writer never shows, and what a later claim wrote stays."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import search
from qdrant_client import QdrantClient, models
from serving import serving
from standin import QdrantStandIn
from theirs import FACTS, fill, on
from upstream import SERVERS, Serve, everywhere

from search.cli.doctor import examine
from search.documents import Document, SparseVector
from search.embedding.dense import FastEmbedEmbedder
from search.errors import IndexDenied, IndexFaulted
from search.index.contract import CollectionSpec, Point, Query
from search.index.server.connection import connect, in_memory
from search.index.server.index import QdrantIndex
from search.index.server.limits import Limits
from search.index.server.reserved import RESERVED, Ordering, ReservedPoint
from search.ingestion.damage import survey
from search.searcher import Searcher, open_search
from search.settings import Settings

pytestmark = pytest.mark.usefixtures("numbers_from_one")

SPEC = CollectionSpec(4, "embedder@1", lexical="{}")
VECTOR, WORDS = np.array([1, 0, 0, 0], np.float32), SparseVector([1], [1.0])
MATCHING_IT = [None, {}, {"must_not": [{"key": "document_id", "match": {"value": "x"}}]}, {"must": [{"is_empty": {"key": "text"}}]}]


def point(number: int, **payload: Any) -> Point:
    vector = np.array([1, number, 0, 0], np.float32)
    return Point(f"8c0d6a8e-5a39-5f0c-9a5e-{number:012}", vector / np.linalg.norm(vector), payload, WORDS)


@pytest.fixture(params=["memory", *SERVERS])
def pair(request: pytest.FixtureRequest, serve: Serve) -> Iterator[tuple[QdrantIndex, QdrantIndex]]:
    """Two who write to one collection, which holds two points and the claim of one who was there before."""
    url = ":memory:" if request.param == "memory" else (standin := serve(request.param)).url
    client = in_memory() if request.param == "memory" else connect(url, urls=standin.urls[1:])
    both = QdrantIndex(client, "documents", url, owned=False), QdrantIndex(client, "documents", url, owned=False)
    for one in both:
        one.ensure(SPEC, create=True)
    with both[0].claimed():
        both[0].upsert([point(1), point(2)])
    yield both
    client.close()


@pytest.fixture
def index(pair: tuple[QdrantIndex, QdrantIndex]) -> QdrantIndex:
    assert ReservedPoint(pair[0]._client, "documents", Ordering(), pair[0]._translated).read()["number"] == 1
    return pair[0]


@pytest.mark.parametrize("filter", MATCHING_IT)
def test_it_is_neither_counted_nor_paged(filter: dict[str, Any] | None, index: QdrantIndex) -> None:
    assert index.count(filter) == 2
    for records in (index.scroll(filter), index.scroll(filter, ["text"], vectors=True), index.scroll(filter, start=point(1).id)):
        assert [record.id for record in records] == [point(1).id, point(2).id]
    assert [record.id for record in index.scroll(filter, start=RESERVED)] == [point(1).id, point(2).id]


def test_nor_is_it_where_nothing_is_counted_exactly(index: QdrantIndex) -> None:
    index._open = index._collection._replace(limits=Limits(exact=False))
    assert index.count() == 2
    index._open = index._collection._replace(limits=Limits(exact=False, found=1))
    assert index.count() == 2


@pytest.mark.parametrize("filter", MATCHING_IT)
def test_no_search_finds_it(filter: dict[str, Any] | None, index: QdrantIndex) -> None:
    for query in (Query(VECTOR), Query(VECTOR, WORDS, "hybrid"), Query(VECTOR, WORDS, "lexical"), Query(VECTOR, WORDS, "dense")):
        found = index.query(Query(**{**vars(query), "filter": filter or None}), 10)
        assert {match.id for match in found} == {point(1).id, point(2).id}
        assert all(match.payload == {} for match in found)  # the number of the claim is left out, too


@pytest.mark.parametrize("filter", MATCHING_IT[1:])
@pytest.mark.parametrize("claimed", [True, False])
def test_it_stays_when_everything_is_deleted(filter: dict[str, Any], index: QdrantIndex, *, claimed: bool) -> None:
    if claimed:
        with index.claimed():
            index.delete(filter=filter)
    else:
        index.delete(ids=[RESERVED])
        index.delete(filter=filter)
    assert index.count() == 0
    assert ReservedPoint(index._client, "documents", Ordering(), index._translated).read()["number"] == 1 + claimed


def test_a_batch_of_who_lost_overwrites_and_removes_nothing_of_the_winners(
    pair: tuple[QdrantIndex, QdrantIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the loser was away between looking after its claim and writing: checks are left out, and the server decides."""
    loser, winner = pair
    with loser.claimed():
        lease = loser._claim.lease
        assert lease
        monkeypatch.setattr(lease, "check", lambda: None)
        note = lease._noted.read()
        lease._noted.put({**note, "claim": "", "beat": 0}, note)  # dead, in the eyes of the winner
        with winner.claimed():
            assert winner._claim.lease
            assert winner._claim.lease.number > lease.number
            winner.upsert([point(1, text="winner's"), point(3, text="winner's")])
            loser.upsert([point(1, text="loser's"), point(2, text="loser's"), point(3, text="loser's")])
            loser.delete(ids=[point(3).id])
            loser.delete(filter={"must": [{"key": "text", "match": {"value": "winner's"}}]})
            loser.delete(filter={})
            assert [(record.id, record.payload) for record in winner.scroll()] == [
                (point(1).id, {"text": "winner's"}),
                (point(3).id, {"text": "winner's"}),
            ]
            winner.delete(ids=[point(3).id])
            winner.upsert([point(1, text="anew")])
        monkeypatch.undo()
        lease._lost = "another process"
        lease._said = True
    assert [record.payload for record in winner.scroll()] == [{"text": "anew"}]


def test_what_was_written_without_numbers_is_overwritten(pair: tuple[QdrantIndex, QdrantIndex]) -> None:
    """By an earlier version of this package, that is."""
    index, other = pair
    other.upsert([point(1, text="old"), point(4, text="old")])
    with index.claimed():
        index.upsert([point(1, text="new")])
        index.delete(ids=[point(4).id])
    assert [record.payload for record in index.scroll()] == [{"text": "new"}, {}]


def test_every_write_under_a_claim_goes_through_the_leader(standin: QdrantStandIn) -> None:
    index = QdrantIndex(connect(standin.url), "documents", standin.url)
    index.ensure(SPEC, create=True)
    with index.claimed():
        index.upsert([point(1)])
        index.delete(ids=[point(1).id])
        index.delete(filter={})
    writes = [query["ordering"] for path, query in standin.queries if "/points" in path and "ordering" in query]
    paths = [path for path, _ in standin.queries if path.startswith("PUT") or path.endswith("/delete")]
    assert writes == [["strong"]] * 5
    assert sum("/points" in path for path in paths) == 5
    reads = [query for path, query in standin.queries if path == "POST /collections/documents.v1/points"]
    assert reads
    assert all(query["consistency"] == ["majority"] for query in reads)
    index.close()


def test_where_the_leader_is_lost_others_do(standin: QdrantStandIn) -> None:
    index = QdrantIndex(connect(standin.url), "documents", standin.url)
    index.ensure(SPEC, create=True)
    standin.leaderless = True
    with index.claimed():
        index.upsert([point(1), point(2)])
        index.delete(ids=[point(1).id])
    assert index.count() == 1
    assert [query["ordering"] for path, query in standin.queries if "ordering" in query] == [["medium"]] * 4
    index.close()


def test_a_server_that_fails_is_not_asked_twice(standin: QdrantStandIn) -> None:
    sent: list[models.WriteOrdering] = []

    def send(ordering: models.WriteOrdering) -> None:
        sent.append(ordering)
        raise IndexFaulted("the server failed on the request (500): planted")

    with pytest.raises(IndexFaulted):
        Ordering().write(send)
    assert sent == [models.WriteOrdering.STRONG]
    assert not standin.requests


# With everything that reads a collection


TEXTS = [Document(id=f"{one}.md", text=f"{one} is a metal.", metadata={"of": one}) for one in ("gold", "iron", "copper")]


@pytest.fixture
def settings(standin: QdrantStandIn, model_folder: Path, tmp_path: Path) -> Settings:
    return Settings(
        index=standin.index,
        embedder={"model": str(model_folder / "embedder-mean")},
        reranker={"kind": "none"},
        data_dir=tmp_path / "data",
    )


@pytest.fixture
def filled(settings: Settings) -> Iterator[Searcher]:
    with open_search(settings) as searcher:
        searcher.ingest(TEXTS)
        yield searcher


def stored(client: QdrantClient, name: str) -> list[str]:
    """The ids of all points, as another program sees them; the reserved one is the last, or there is none."""
    ids = sorted(str(record.id) for record in client.scroll(name, limit=100)[0])
    return [*(one for one in ids if one != RESERVED), *(one for one in ids if one == RESERVED)]


@everywhere
def test_whoever_reads_a_collection_sees_its_passages_only(filled: Searcher, client: QdrantClient, settings: Settings) -> None:
    assert len(stored(client, "documents")) == 4
    assert filled.count() == 3
    assert filled.collections.info("documents").points == 3
    assert filled.collections.info("documents.v1", exact=True).points == 3
    damage = survey(filled.opened())
    assert (damage.damaged, damage.foreign) == (0, 0)
    told = {one.name: one.detail for one in examine(settings)}
    assert told["points"] == "all hold passages"
    assert told["size"].startswith("3 points")
    assert ": 3 passages" in told["collection"]
    for retrieval in ("dense", "lexical", "hybrid"):
        result = filled.search("metal", limit=10, retrieval=retrieval)
        assert {hit.document_id for hit in result.hits} == {"gold.md", "iron.md", "copper.md"}
        assert not result.warnings
    assert filled.get("gold.md") == TEXTS[0]
    report = filled.ingest(TEXTS, sync=True)
    assert (report.unchanged, report.removed, report.damaged, report.foreign) == (3, 0, 0, 0)


@everywhere
def test_nor_do_those_who_ask_the_service(filled: Searcher, settings: Settings) -> None:
    filled.close()
    with serving(settings) as served:
        facets = served.http.get("/v1/collections/documents/facets").json()
        assert facets["documents"] == 3
        assert served.http.get("/v1/collections/documents").json()["passages"] == 3


@everywhere
def test_it_is_not_copied(filled: Searcher, client: QdrantClient) -> None:
    before = stored(client, "documents.v1")
    assert before[-1] == RESERVED
    filled.ingest(TEXTS)
    report = filled.reindex(check=False)
    assert report.switched
    assert stored(client, report.new) == before  # its own, since it was written to, too
    claims = [client.retrieve(name, [RESERVED])[0].payload for name in ("documents.v1", report.new)]
    assert claims[0] != claims[1]
    assert filled.count() == 3
    assert filled.roll_back()
    assert filled.count() == 3


@everywhere
def test_it_is_not_pushed_nor_does_it_make_a_collection_seem_filled(
    settings: Settings, standin: QdrantStandIn, client: QdrantClient, tmp_path: Path
) -> None:
    embedded = settings.model_copy(update={"index": Settings(data_dir=tmp_path).index})
    with open_search(embedded) as searcher:
        searcher.ingest(TEXTS)
    variables: dict[str, Any] = {
        "SEARCH_DATA_DIR": str(tmp_path / "data"),
        "SEARCH_EMBEDDER__MODEL": settings.embedder.model,
        "SEARCH_INDEX__ENGINE": "qdrant",
        "SEARCH_INDEX__URL": standin.url,
    }
    for _ in range(2):
        search("push", **variables)
        assert len(stored(client, "documents")) == 4
    with open_search(settings) as searcher:
        assert searcher.count() == 3
        searcher.delete(filter={"must": [{"key": "metadata.of", "match": {"any": ["gold", "iron", "copper"]}}]})
        assert stored(client, "documents") == [RESERVED]
        assert searcher.collections.info("documents").points == 0
        searcher.collections.unalias("documents")
    with open_search(settings) as searcher:  # which would refuse if it took the old version for one that holds something
        assert searcher.ingest(TEXTS).added == 3


def test_a_key_for_reading_cannot_claim(standin: QdrantStandIn) -> None:
    index = QdrantIndex(connect(standin.url), "documents", standin.url)
    index.ensure(SPEC, create=True)
    standin.api_key = "s3cret"
    with pytest.raises(IndexDenied), index.claimed():
        pytest.fail("nobody may write here")
    index.close()


def test_a_field_of_that_name_of_another_program_is_its_own(
    standin: QdrantStandIn, client: QdrantClient, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    fill(client, bundled_embedder, lambda name, text: {"answer_text": text, "claim": f"of {name}", "url": f"{name}.md"})
    with open_search(on(standin, tmp_path)) as searcher:
        assert searcher.search(FACTS["gold"][1], limit=1).hits[0].metadata["claim"] == "of gold"
        assert searcher.beside("ours").adopt("theirs").ingest.added == 10
        ours = searcher.beside("ours").search(FACTS["gold"][1], limit=1).hits[0]
        assert ours.metadata["claim"] == "of gold"
