"""Keys of a Qdrant server: the least one that each command needs, and what is said to one that may do less."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from scopes import Access, access_of, token
from standin import Fault, QdrantStandIn
from standin_grpc import GrpcStandIn

from search.cli.doctor import examine
from search.documents import Document
from search.errors import IndexDenied, IndexFailure, IndexFaulted, IndexMismatch, IndexRejected, SearchError
from search.index.server.connection import connect
from search.index.server.errors import too_large, translate, translated
from search.index.server.index import QdrantIndex
from search.ingestion.copying import copy
from search.searcher import Searcher, open_search
from search.settings import Settings

OWN_KEY = "s3cret"  # of the server: JWTs are signed with it
FIRST = [Document(id="a", text="Gold melts at 1064 degrees."), Document(id="b", text="Iron rusts in rain.")]

Open = Callable[..., Searcher]


def of(*names: str, access: str = "rw") -> str:
    return token(OWN_KEY, [{"collection": name, "access": access} for name in names])


@pytest.fixture
def server() -> Iterator[QdrantStandIn]:
    with QdrantStandIn(api_key=OWN_KEY) as standin:
        yield standin


@pytest.fixture
def with_key(server: QdrantStandIn, model_folder: Path) -> Iterator[Open]:
    """A searcher with a key, over a collection that somebody else made: "documents", an alias of "documents.v1"."""
    opened: list[Searcher] = []

    def make(key: str | None, collection: str = "documents") -> Searcher:
        settings = Settings(
            collection=collection,
            index={"engine": "qdrant", "url": server.url, **({"api_key": key} if key else {})},
            embedder={"model": str(model_folder / "embedder-mean")},
            reranker={"kind": "none"},
            ingestion={"patience_s": 0},
        )
        opened.append(open_search(settings))
        return opened[-1]

    make(OWN_KEY).ingest(FIRST)
    server.requests.clear()
    yield make
    for searcher in opened:
        searcher.close()


@pytest.mark.parametrize(
    ("names", "collection"),
    [
        (["documents"], "documents"),
        (["documents.v1"], "documents.v1"),
        (["documents", "documents.v1"], "documents"),
    ],
    ids=["alias", "collection", "both"],
)
@pytest.mark.parametrize("access", ["rw", "prw"])
def test_a_key_for_one_collection_is_enough_to_keep_it(access: str, names: list[str], collection: str, with_key: Open) -> None:
    searcher = with_key(of(*names, access=access), collection)
    assert searcher.ingest([FIRST[0], Document(id="c", text="Copper conducts.")], sync=True, max_delete=1).removed == 1
    assert searcher.update({"metal": "copper"}, ids=["c"]).changed == 1
    for retrieval in ("dense", "hybrid"):
        assert {hit.document_id for hit in searcher.search("conducts", limit=10, retrieval=retrieval).hits} == {"a", "c"}
    assert [hit.metadata for hit in searcher.search("conducts", retrieval="lexical").hits] == [{"metal": "copper"}]
    copper = {"must": [{"key": "metadata.metal", "match": {"value": "copper"}}]}
    assert [hit.document_id for hit in searcher.search("x", filter=copper).hits] == ["c"]
    assert searcher.delete(ids=["c"]) == 1
    assert searcher.index.count() == 1


def test_a_key_for_reading_searches_and_is_told_what_writing_takes(with_key: Open) -> None:
    for key, sentence in [
        (of("documents", access="r"), r"it may read 'documents' and not write to it; set SEARCH_INDEX__API_KEY to one .* \"rw\""),
        (token(OWN_KEY, "r"), "it may only read; set SEARCH_INDEX__API_KEY to one that may write"),
    ]:
        searcher = with_key(key)
        assert searcher.search("gold", limit=1, retrieval="lexical").hits[0].document_id == "a"
        writes: list[Callable[[Searcher], object]] = [
            lambda one: one.ingest([Document(id="c", text="x")]),
            lambda one: one.update({"x": 1}, ids=["a"]),
            lambda one: one.delete(ids=["a"]),
        ]
        for write in writes:
            with pytest.raises(IndexDenied, match=sentence):
                write(searcher)
    assert with_key(OWN_KEY).count() == 2


def test_what_a_key_may_is_told_alike_over_grpc(server: QdrantStandIn, with_key: Open) -> None:
    with_key(OWN_KEY)
    with GrpcStandIn(server) as port:

        def opened(key: str) -> QdrantIndex:
            client = connect(server.url, api_key=key, protocol="grpc", grpc_port=port.port)
            return QdrantIndex(client, "documents", server.url)

        spec = with_key(OWN_KEY).opened().spec
        reading = opened(of("documents", access="r"))
        reading.ensure(spec, create=False)
        assert reading.count() == 2
        with pytest.raises(IndexDenied, match=r"it may read 'documents' and not write to it; set SEARCH_INDEX__API_KEY"):
            reading.delete(ids=["1"])
        server.api_key = "another-key"
        with pytest.raises(IndexDenied):
            reading.count()
        reading.close()
        assert port.calls == ["count", "delete", "count"]


def test_a_key_for_another_name_is_told_so(with_key: Open) -> None:
    uses: list[Callable[[Searcher], object]] = [lambda one: one.search("gold"), lambda one: one.ingest(FIRST)]
    for key, name in [(of("documents.v1"), "documents"), (of("documents"), "documents.v1"), (of("others"), "documents")]:
        for use in uses:
            with pytest.raises(
                IndexDenied, match=rf"Access to collection {name} is required\): a key is for the names .* '{name}'"
            ):
                use(with_key(key, name))


def test_what_takes_a_key_for_all_of_them_says_so(with_key: Open) -> None:
    takes_all = r'takes one for all of them \("m"\); run this one command with such a key'
    with pytest.raises(IndexDenied, match=takes_all):
        with_key(of("new", "new.v1"), "new").ingest(FIRST)
    with pytest.raises(IndexDenied, match=takes_all):
        with_key(of("documents", "documents.v1")).reindex()
    with pytest.raises(IndexDenied, match=takes_all):
        with_key(of("documents", "documents.v1")).collections.unalias("documents")
    assert with_key(OWN_KEY).index.name == "documents"


def test_the_key_of_the_documentation_is_one() -> None:
    text = (Path(__file__).parents[2] / "docs" / "collections.md").read_text()
    block = text.partition("## Which key for what")[2].partition("```python\n")[2].partition("```")[0]
    made = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, check=True).stdout.strip()
    assert access_of("the server's key", {"api-key": made}, "/collections") == Access("", {"documents": "prw"})


def test_collections_are_copied_into_by_a_key_for_points(with_key: Open, model_folder: Path, tmp_path: Path) -> None:
    """What search push and search adopt do, where the collection that is written to is there."""
    embedder = {"model": str(model_folder / "embedder-mean")}
    with open_search(Settings(data_dir=tmp_path, embedder=embedder, reranker={"kind": "none"})) as embedded:
        embedded.ingest([Document(id="c", text="Copper conducts.")])
        source, target = embedded.opened(), with_key(of("documents", access="prw"))
        assert copy(source, target.index, source.spec, words=target.words).added == 1
    assert target.count() == 3


@pytest.mark.parametrize("names", [["documents"], ["documents", "documents.v1", "documents.v2"]], ids=["alias", "both"])
def test_a_search_under_way_sees_where_the_name_leads_now(
    names: list[str], with_key: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key for the alias alone never hears which collection that leads to, and asks the new one as what it is all the same."""
    monkeypatch.setattr("search.index.server.index._FOLLOWED_EVERY_S", 0.0)
    searcher, owner = with_key(of(*names, access="r")), with_key(OWN_KEY)
    assert [hit.document_id for hit in searcher.search("gold", limit=1, retrieval="lexical").hits] == ["a"]
    wordless = {"lexical": {"model": "none"}, "storage": {"quantization": "scalar"}}
    owner.reindex(Settings(**{**dict(owner.settings), **wordless}), check=False)
    result = searcher.search("gold", limit=2)
    assert {hit.document_id for hit in result.hits} == {"a", "b"}
    assert result.hits[0].lexical_score is None
    assert searcher.index.spec.lexical == ""


@pytest.mark.parametrize("followed_every_s", [0.0, 3600.0])
def test_a_key_for_the_alias_alone_is_never_answered_by_another_embedder(
    followed_every_s: float, with_key: Open, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.index.server.index._FOLLOWED_EVERY_S", followed_every_s)
    searcher, owner = with_key(of("documents", access="r")), with_key(OWN_KEY)
    assert len(searcher.search("gold").hits) == 2
    owner.reindex(Settings(**{**dict(owner.settings), "embedder": {"model": str(model_folder / "embedder-cls")}}), check=False)
    for _ in range(2):
        with pytest.raises(IndexMismatch, match="was built with the embedder embedder-cls"):
            searcher.search("gold")
    assert owner.search("gold").embedder == "embedder-cls"
    with_key(OWN_KEY).roll_back()
    assert searcher.search("gold").embedder == "embedder-mean"  # without being opened anew


def test_a_collection_that_was_seen_by_its_name_is_not_looked_for_again(
    with_key: Open, server: QdrantStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a name is an alias that a key does not see through is asked once, and not at each opening and look."""
    monkeypatch.setattr("search.index.server.index._FOLLOWED_EVERY_S", 0.0)
    for key, wanted in [(OWN_KEY, 1), (of("documents.v1", access="r"), 1)]:
        searcher = with_key(key, "documents.v1")
        server.requests.clear()
        for _ in range(3):
            assert searcher.search("gold").hits
            assert searcher.count() == 2
        assert server.requests.count("GET /collections") == wanted


@pytest.mark.parametrize("names", [["documents"], ["documents", "documents.v1"]], ids=["alias", "both"])
def test_a_collection_is_described_and_indexed_by_a_key_for_it(names: list[str], with_key: Open, server: QdrantStandIn) -> None:
    collections = with_key(of(*names)).collections
    assert collections.info("documents").points == 2
    collections.index_field("documents", "metadata.year", "integer")
    assert server.indexed["documents.v1"]["metadata.year"] == "float"
    assert "/snapshots/" in collections.snapshot("documents")
    points_only = with_key(of(*names, access="prw")).collections
    assert points_only.info("documents").points == 2
    for refused in (
        lambda: points_only.index_field("documents", "metadata.month", "integer"),
        lambda: points_only.snapshot("documents"),
    ):
        with pytest.raises(IndexDenied, match=r"read and write points of 'documents.*' .* takes one with \"rw\""):
            refused()


def test_doctor_says_what_a_key_may_not_ask(with_key: Open) -> None:
    for access, hidden in [("r", {"nodes"}), ("rw", {"nodes"}), ("prw", {"nodes", "shards"})]:
        told = {one.name: one for one in examine(with_key(of("documents", access=access)).settings)}
        assert {name for name, one in told.items() if "not told to this API key" in one.detail} == hidden
        assert {name for name, one in told.items() if not one.ok} <= {"reranker", "data folder"}
        assert told["points"].detail == "all hold passages"


def test_no_key_a_wrong_one_and_an_old_one_are_told_apart(with_key: Open) -> None:
    for key, sentence in [
        (None, "wants an API key, and none was sent; set SEARCH_INDEX__API_KEY"),
        ("wrong", "did not accept the API key; set SEARCH_INDEX__API_KEY to one that it knows"),
        ("a.b.c", "did not accept the API key"),
        (token("another", "m"), "did not accept the API key"),
        (token(OWN_KEY, "m", exp=int(time.time()) - 60), "has expired; have a new one made"),
    ]:
        with pytest.raises(IndexDenied, match=sentence) as caught:
            with_key(key).search("gold")
        assert key is None or key not in str(caught.value)


@pytest.mark.parametrize("name", ["documents", "documents.v1"])
def test_a_gate_may_refuse_the_lists(name: str, with_key: Open, server: QdrantStandIn) -> None:
    answer = server.answer

    def answered(method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        return (403, "No lists.") if path in {"/aliases", "/collections"} else answer(method, path, body)

    server.answer = answered  # type: ignore[method-assign]
    assert with_key(OWN_KEY, name).search("gold", limit=1, retrieval="lexical").hits[0].document_id == "a"


def test_gate_of_somebody_else(with_key: Open, server: QdrantStandIn) -> None:
    """A proxy's page of 403 is not shown; a server that is locked, which answers 403 as well, is not the key's fault."""
    searcher = with_key(OWN_KEY)
    for body, kind, sentence in [
        (b"<html>no entry: s3cret page</html>", IndexDenied, r"what stands before .* refused it \(403\)"),
        (
            b'{"status": {"error": "Storage locked: maintenance"}, "time": 0}',
            IndexFaulted,
            "is locked for this .Storage locked: maint",
        ),
    ]:
        server.faults.append(Fault(403, body=body))
        with pytest.raises(kind, match=sentence) as caught:
            searcher.collections.names()
        assert "entry" not in str(caught.value)


class _Answer(grpc.RpcError, grpc.Call):  # type: ignore[misc]  # grpc ships no types
    """What the client raises over gRPC."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        self._answer = code, details

    def code(self) -> Any:
        return self._answer[0]

    def details(self) -> Any:
        return self._answer[1]

    initial_metadata = trailing_metadata = is_active = time_remaining = cancel = add_callback = None


@pytest.mark.parametrize(
    ("code", "details", "sentence"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, "Must provide an API key or an Authorization bearer token", "none was sent"),
        (grpc.StatusCode.UNAUTHENTICATED, "Invalid API key or JWT", "did not accept the API key"),
        (grpc.StatusCode.PERMISSION_DENIED, "ExpiredSignature", "has expired"),
        (grpc.StatusCode.PERMISSION_DENIED, "Forbidden: Write access to collection x is required", "may read 'x' and not write"),
        (grpc.StatusCode.PERMISSION_DENIED, "Forbidden: Access to collection x is required", "names that stand in it"),
        (grpc.StatusCode.PERMISSION_DENIED, "Forbidden: Global access is required", "for all of them"),
        (grpc.StatusCode.PERMISSION_DENIED, "Received http2 header with status: 403", "what stands before it"),
    ],
)
def test_grpc_says_the_same(code: grpc.StatusCode, details: str, sentence: str) -> None:
    error: IndexFailure = translate(_Answer(code, details), "it")
    assert isinstance(error, IndexDenied)
    assert isinstance(error, SearchError)
    assert sentence in str(error)


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (grpc.StatusCode.OUT_OF_RANGE, "Error, decoded message length too large: found 9 bytes, the limit is: 8 bytes"),
        (grpc.StatusCode.UNKNOWN, "Received http2 header with status: 413"),
    ],
)
def test_over_grpc_what_is_too_large_is_known_as_such(code: grpc.StatusCode, details: str) -> None:
    with pytest.raises(IndexRejected, match="client_max_body_size") as caught, translated("it"):
        raise _Answer(code, details)
    assert too_large(caught.value)
