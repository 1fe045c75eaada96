"""A server without room, not even for the claim of a writer: what only removes goes on, as long as nobody else writes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import error, search
from standin import QdrantStandIn
from standin_grpc import GrpcStandIn

from search.documents import Document
from search.errors import IndexBusy, IndexFull
from search.index.server.connection import connect
from search.index.server.index import QdrantIndex
from search.index.server.lease import Lease
from search.index.server.reserved import RESERVED
from search.searcher import Searcher, open_search
from search.settings import Settings

DISK = (507, "Disk usage is at 96% of total capacity, exceeding the configured limit of 95%. Help: Reduce disk usage.")
FULL = {"PUT */points": DISK, "PUT */points/vectors": DISK}
DOCUMENTS = [Document(id=name, text=f"Text {name}.") for name in "abcd"]
COPIES = [Document(id=f"copy {number}", text="The same words about cats, twice or more.") for number in range(3)]

pytestmark = pytest.mark.usefixtures("brief_lease")


@pytest.fixture(params=["rest", "grpc"])
def settings_there(
    request: pytest.FixtureRequest, standin: QdrantStandIn, standin_grpc: GrpcStandIn, model_folder: Path, tmp_path: Path
) -> Settings:
    index = {**standin.index, "protocol": request.param, "grpc_port": standin_grpc.port}
    embedder = {"model": str(model_folder / "embedder-mean")}
    return Settings(index=index, embedder=embedder, data_dir=tmp_path, reranker={"kind": "none"}, ingestion={"patience_s": 0})


@pytest.fixture
def searcher(settings_there: Settings, standin: QdrantStandIn) -> Iterator[Searcher]:
    """A collection on a server that is full by now."""
    with open_search(settings_there) as opened:
        opened.ingest([*DOCUMENTS, *COPIES])
        standin.refusals = FULL
        yield opened


@pytest.fixture
def other(searcher: Searcher, standin: QdrantStandIn) -> Iterator[QdrantIndex]:
    """Another writer, opened."""
    index = QdrantIndex(connect(standin.url), "documents", standin.url)
    index.ensure(searcher.opened().spec, create=False)
    yield index
    index.close()


def there(searcher: Searcher) -> set[str]:
    return {record.payload["document_id"] for record in searcher.opened().scroll(None, ["document_id"])}


def test_copies_go(searcher: Searcher, standin: QdrantStandIn, standin_grpc: GrpcStandIn) -> None:
    standin_grpc.ordering.clear()
    done = searcher.remove_duplicates(searcher.duplicates())
    assert len(done.removed) == 2
    sent = [query["ordering"][0] for request, query in standin.queries if request.endswith("/delete")] + standin_grpc.ordering
    assert sent == ["strong"]  # through the leader, since what a later claim wrote is spared on a condition
    assert there(searcher) == {*"abcd", done.removed[0].instead}


def test_a_sync_that_adds_nothing_removes(searcher: Searcher) -> None:
    report = searcher.ingest(DOCUMENTS[:3], sync=True, max_delete=1.0)
    assert (report.unchanged, report.removed, report.rejected) == (3, 4, 0)
    assert there(searcher) == {*"abc"}


def test_what_writes_ends_at_its_first_write_and_removes_nothing(searcher: Searcher, standin: QdrantStandIn) -> None:
    room = r"the disk of the Qdrant server .* is full .*make room there .search delete works, and so do search dedupe --delete"
    uses: list[Callable[[], Any]] = [
        lambda: searcher.ingest([*DOCUMENTS[:2], Document(id="new", text="New.")], sync=True, max_delete=1.0),
        lambda: searcher.ingest([Document(id="a", text="Another one.")], sync=True, max_delete=1.0),
        lambda: searcher.ingest(DOCUMENTS),
        lambda: searcher.update({"old": True}, ids=["a"]),
    ]
    for use in uses:
        with pytest.raises(IndexFull, match=room):
            use()
        assert there(searcher) == {*"abcd", "copy 0", "copy 1", "copy 2"}
    standin.refusals = {}
    assert searcher.update({"old": True}, ids=["a"]).changed == 1


@pytest.mark.parametrize("full", [{"PATCH *": DISK}, {"PUT *": DISK}], ids=["metadata", "points and indexes"])
@pytest.mark.parametrize("strict", [{}, {"unindexed_filtering_retrieve": False, "unindexed_filtering_update": False}])
def test_documents_go_whatever_there_is_no_room_for(
    full: dict[str, tuple[int, str]],
    strict: dict[str, bool],
    searcher: Searcher,
    settings_there: Settings,
    standin: QdrantStandIn,
) -> None:
    """The note for earlier versions, the claim, or the index by which later claims are told, which strict mode asks for."""
    standin.strict, standin.refusals = strict, full
    with open_search(settings_there) as opened:
        assert opened.delete(ids=["a"]) == 1
        assert opened.delete(ids=["b"]) == 1
    assert there(searcher) == {"c", "d", "copy 0", "copy 1", "copy 2"}


def test_no_passage_is_written_without_a_claim_though_there_is_room_again(searcher: Searcher, standin: QdrantStandIn) -> None:
    def documents() -> Iterator[Document]:
        standin.refusals = {}
        yield Document(id="new", text="New.")

    with pytest.raises(IndexFull):
        searcher.ingest(documents(), sync=True, max_delete=1.0)
    assert "new" not in there(searcher)


def test_from_the_command_line(searcher: Searcher, standin: QdrantStandIn, tmp_path: Path) -> None:
    where: dict[str, Any] = {"SEARCH_DATA_DIR": str(tmp_path), "SEARCH_INGESTION__PATIENCE_S": "0", **standin.environment}
    where["SEARCH_EMBEDDER__MODEL"] = str(searcher.settings.embedder.model)
    assert "\n2 removed; " in search("dedupe", "--delete", "--yes", **where).stdout
    assert "make room there (search delete works" in error("update", '{"old": true}', "a", **where)
    assert search("delete", "a", **where).stdout == "1 removed\n"


@pytest.mark.parametrize("let_go", [False, True])
def test_who_claims_meanwhile_ends_it(
    let_go: bool,  # noqa: FBT001
    searcher: Searcher,
    other: QdrantIndex,
    standin: QdrantStandIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between two batches, whether or not that one is done by then."""
    monkeypatch.setattr("search.ingestion.changes.AT_ONCE", 1)
    claim = other.claimed()
    claimed: list[Any] = []

    def changed(*_: str) -> None:
        if not claimed:
            standin.refusals = {}
            claimed.append(claim.__enter__())
            if let_go:
                claim.__exit__(None, None, None)

    with pytest.raises(IndexBusy, match=r"is written to by .* now, which saw no claim of this one.* until the same is run again"):
        searcher.delete(ids=["a", "b", "c"], on_change=changed)
    assert len(there(searcher)) == 6
    if not let_go:
        claim.__exit__(None, None, None)
    assert searcher.delete(ids=["a", "b", "c"]) == 2


def test_what_who_claims_in_the_last_moment_writes_stays(
    searcher: Searcher, standin: QdrantStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the look, before the delete."""
    watch = Lease.watch
    writer = open_search(searcher.settings)

    def watched(self: Lease) -> None:
        watch(self)
        standin.refusals = {}
        writer.ingest([Document(id="a", text="Written just now.")])

    monkeypatch.setattr(Lease, "watch", watched)
    assert searcher.delete(ids=["a"]) == 1
    assert searcher.get("a").text == "Written just now."
    writer.close()


def test_a_writer_that_stood_still_and_goes_on_is_seen(
    searcher: Searcher, other: QdrantIndex, standin: QdrantStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.ingestion.changes.AT_ONCE", 1)
    standin.refusals = {}
    with other.claimed():
        assert other._claim.lease
        other._claim.lease._ended.set()  # so that nothing is renewed
        standin.refusals = FULL

        def changed(*_: str) -> None:
            assert other._claim.lease
            standin.refusals = {}
            other._claim.lease._renew()

        with pytest.raises(IndexBusy, match="saw no claim of this one"):
            searcher.delete(ids=["a", "b"], on_change=changed)
        assert len(there(searcher)) == 6


def test_a_claim_that_there_is_room_for_is_made(searcher: Searcher, standin: QdrantStandIn) -> None:
    standin.refusals = {}
    standin.bodies.clear()
    assert searcher.delete(ids=["a"]) == 1
    assert any(point["id"] == RESERVED for _, body in standin.bodies for point in body.get("points", []) if isinstance(point, dict))


def test_a_lack_of_room_is_forgotten_with_the_claim_that_met_with_it(
    searcher: Searcher, other: QdrantIndex, settings_there: Settings, standin: QdrantStandIn
) -> None:
    """Where strict mode asks for an index that there is no room for, and then somebody else turns out to be the writer."""
    standin.strict = {"unindexed_filtering_retrieve": False, "unindexed_filtering_update": False}
    with open_search(settings_there) as opened:
        standin.refusals = {}
        with other.claimed():
            standin.refusals = {"PUT */index": DISK}
            with pytest.raises(IndexBusy):
                opened.delete(ids=["a"])
        standin.refusals = {}
        assert opened.ingest([Document(id="new", text="New.")]).added == 1
    assert "new" in there(searcher)
