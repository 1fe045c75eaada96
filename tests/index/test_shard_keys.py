"""A collection that is sharded by tenants: each is stored, and asked for, where its key is, and nothing is lost on the way."""

import uuid
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient
from scopes import token
from standin import QdrantStandIn
from standin_grpc import GrpcStandIn
from theirs import fill

from search.documents import Document, Retrieval
from search.embedding.dense import FastEmbedEmbedder
from search.errors import CollectionNotFound, IndexFailure, IndexRejected, InvalidSettings
from search.index.contract import Point, Query, VectorIndex
from search.index.server.reserved import RESERVED
from search.index.tenants import PartIndex, Tenant
from search.searcher import Searcher, open_search
from search.settings import Settings

FIELD = "metadata.customer"
SHARED = "everybody else"
RETRIEVALS: list[Retrieval] = ["dense", "lexical", "hybrid"]


def of(name: str, *texts: str) -> list[Document]:
    return [Document(f"{name}-{number}", text, metadata={"customer": name}) for number, text in enumerate(texts)]


ACME, BOLT = of("acme", "Acme plans a merger.", "Cats sleep."), of("bolt", "Bolt plans layoffs.", "Dogs sleep.", "Cats wake.")


@pytest.fixture(params=["rest", "grpc"])
def index(request: pytest.FixtureRequest, cluster: QdrantStandIn) -> Iterator[dict[str, Any]]:
    given = {**cluster.index, "shard_key": SHARED}
    if request.param == "rest":
        yield given
        return
    with GrpcStandIn(cluster) as port:
        yield {**given, "protocol": "grpc", "grpc_port": port.port}
        assert port.calls


def opened(index: dict[str, Any], model_folder: Path, **more: Any) -> Searcher:
    models: dict[str, Any] = {"embedder": {"model": str(model_folder / "embedder-mean")}, "reranker": {"kind": "none"}}
    return open_search(Settings(**{"index": index, "tenant_field": FIELD, **models, **more}))


@pytest.fixture
def shared(index: dict[str, Any], cluster: QdrantStandIn, model_folder: Path) -> Iterator[Searcher]:
    """Acme has shards of its own, Bolt none."""
    with opened(index, model_folder) as searcher:
        searcher.of_tenant("bolt").ingest(BOLT)
        cluster.shard_keys["documents.v1"]["acme"] = 2
        searcher.of_tenant("acme").ingest(ACME)
        yield searcher


def held(cluster: QdrantStandIn, name: str = "documents.v1") -> Counter[str]:
    """How many passages lie under each key."""
    there = {record.id for record in cluster._client.scroll(name, limit=1000)[0]} - {RESERVED}
    return Counter(key for point, key in cluster.held[name].items() if point in there)


def whole(searcher: Searcher) -> VectorIndex:
    """The collection of all tenants, as whoever keeps it has it."""
    index = PartIndex(searcher.collections.named("documents", searcher.settings.storage), FIELD, None)
    with searcher.of_tenant("acme").using() as opened:
        index.ensure(opened.spec, create=True)
    return index


def asked(cluster: QdrantStandIn) -> list[Any]:
    """The keys that the last requests went to."""
    return [one.get("shard_key") for _, body in cluster.bodies for one in body.get("searches", [body] if "filter" in body else [])]


def test_each_tenant_is_stored_and_asked_for_where_its_key_is(shared: Searcher, cluster: QdrantStandIn) -> None:
    assert held(cluster) == {"acme": 2, SHARED: 3}
    for name, key, documents in (("acme", "acme", ACME), ("bolt", SHARED, BOLT)):
        cluster.bodies.clear()
        tenant = shared.of_tenant(name)
        for retrieval in RETRIEVALS:
            found = tenant.search("plans cats sleep", limit=9, retrieval=retrieval).hits
            assert {hit.document_id for hit in found} <= {one.id for one in documents}
            assert found
        assert tenant.count() == len(documents)
        assert tenant.get(documents[1].id) == documents[1]
        assert len(asked(cluster)) >= 5
        assert [keys for keys in asked(cluster) if keys != [key]] == []
    assert shared.of_tenant("nobody").count() == 0
    assert cluster.held["documents.v1"][RESERVED] == SHARED


def test_the_keys_are_told(shared: Searcher, cluster: QdrantStandIn) -> None:
    info = shared.collections.info("documents").details
    assert (info["shards"], info["shard_key"], info["shard_keys"]) == (3, SHARED, {SHARED: 1, "acme": 2})
    shards = {one.name: one.detail for one in shared.collections.health("documents", {})}["shards"]
    assert shards == f"3, each with 1 replica: 3 Active, by shard keys: {SHARED} (1, shared), acme (2)"
    cluster.shard_keys["documents.v1"] |= {"bolt": 1, "corp": 1}
    shards = {one.name: one.detail for one in shared.collections.health("documents", {})}["shards"]
    assert shards.endswith("acme (2), bolt (1) and 1 more key")


def test_changes_reach_the_tenants_key(shared: Searcher, cluster: QdrantStandIn) -> None:
    acme = shared.of_tenant("acme")
    assert acme.update({"x": 1}, ids=["acme-0"]).changed == 1
    assert acme.get("acme-0").metadata == {"customer": "acme", "x": 1}
    assert acme.ingest([ACME[0], *of("acme", "x", "New.")[1:]], sync=True).changed == 2
    assert held(cluster) == {"acme": 2, SHARED: 3}
    assert acme.ingest(of("acme", "Left."), sync=True, max_delete=1.0).removed == 1
    assert acme.delete(ids=["acme-0"]) == 1
    assert held(cluster) == {SHARED: 3}


def test_whoever_keeps_it_reads_and_changes_all_of_it(shared: Searcher, cluster: QdrantStandIn) -> None:
    index = whole(shared)
    records = {str(record.payload["document_id"]): record for record in index.scroll(vectors=True)}
    assert len(records) == index.count() == 5
    vector = records["acme-0"].vector
    assert vector is not None
    assert len(index.query(Query(vector), 9)) == 5
    nobodys = Point(str(uuid.uuid4()), vector, {"document_id": "nobodys", "metadata": {}})
    index.upsert([nobodys])
    assert held(cluster) == {"acme": 2, SHARED: 4}
    index.delete(ids=[records["acme-0"].id, nobodys.id])
    assert held(cluster) == {"acme": 1, SHARED: 3}
    index.delete(filter={"must": [{"key": "document_id", "match": {"any": ["acme-1", "bolt-0"]}}]})
    assert held(cluster) == {SHARED: 2}
    shares = Point(str(uuid.uuid4()), vector, {"document_id": "both", "metadata": {"customer": ["acme", "bolt"]}})
    with pytest.raises(IndexRejected, match=r"'both' has a list in metadata.customer.* give each of them a document of its own"):
        index.upsert([shares])
    assert held(cluster) == {SHARED: 2}


def test_a_tenant_is_moved_while_everybody_goes_on(shared: Searcher, cluster: QdrantStandIn) -> None:
    """As Qdrant does it: from then on what was sent to the shared key goes to the tenant's own."""
    bolt = shared.of_tenant("bolt")
    theirs = {record.id for record in whole(shared).scroll(Tenant(FIELD, "bolt").documents)}
    cluster.shard_keys["documents.v1"]["bolt"] = 1
    cluster.held["documents.v1"] |= dict.fromkeys(theirs, "bolt")
    assert held(cluster) == {"acme": 2, "bolt": 3}
    assert bolt.count() == 3
    assert bolt.ingest([*BOLT, *of("bolt", "x", "x", "x", "More cats.")[3:]]).unchanged == 3
    assert held(cluster) == {"acme": 2, "bolt": 4}
    assert bolt.delete(ids=["bolt-1"]) == 1
    assert {hit.document_id for hit in bolt.search("cats plans", limit=9).hits} == {"bolt-0", "bolt-2", "bolt-3"}


def test_what_replaces_it_has_its_keys(shared: Searcher, cluster: QdrantStandIn, model_folder: Path) -> None:
    index = {name: value for name, value in dict(shared.settings.index).items() if name in {"url", "urls", "protocol", "grpc_port"}}
    with opened({"engine": "qdrant", **index}, model_folder, embedder={"model": str(model_folder / "embedder-cls")}) as searcher:
        assert searcher.reindex(check=False).new == "documents.v2"  # whose settings name no key
        assert cluster.shard_keys["documents.v2"] == {SHARED: 1, "acme": 2}
        assert held(cluster, "documents.v2") == {"acme": 2, SHARED: 3}
        assert len(searcher.of_tenant("bolt").search("plans cats", limit=9).hits) == 3
        searcher.of_tenant("acme").ingest(of("acme", "Acme plans more."))
        assert held(cluster, "documents.v2")["acme"] == 2


def test_a_collection_of_before_is_sharded_by_reindexing(index: dict[str, Any], cluster: QdrantStandIn, model_folder: Path) -> None:
    plain = {name: value for name, value in index.items() if name != "shard_key"}
    with opened(plain, model_folder) as searcher:
        searcher.of_tenant("acme").ingest(ACME)
        searcher.of_tenant("bolt").ingest(BOLT)
    with opened(index, model_folder, embedder={"model": str(model_folder / "embedder-cls")}) as searcher:
        searcher.reindex(check=False)
        assert cluster.shard_keys == {"documents.v2": {SHARED: 3}}  # as many as it had
        assert held(cluster, "documents.v2") == {SHARED: 5}
        assert searcher.of_tenant("bolt").count() == 3


def test_a_server_that_is_no_cluster_says_so_and_keeps_nothing(standin: QdrantStandIn, model_folder: Path) -> None:
    with opened({**standin.index, "shard_key": SHARED}, model_folder) as searcher:
        with pytest.raises(IndexRejected, match=r"runs alone .*QDRANT__CLUSTER__ENABLED=true.* leave out SEARCH_INDEX__SHARD_KEY"):
            searcher.of_tenant("acme").ingest(ACME)
        assert searcher.collections.names() == []
        assert searcher.collections.aliases() == {}
        with pytest.raises(CollectionNotFound):
            searcher.of_tenant("acme").search("cats")


@pytest.mark.parametrize("kept", [True, False])
def test_a_creation_that_was_interrupted_is_finished_by_the_next(
    kept: bool,  # noqa: FBT001
    index: dict[str, Any],
    cluster: QdrantStandIn,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Be it that the server failed on the key, or that the process was killed before it."""
    answer = cluster.answer

    def failing(method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path.endswith("/shards") or (kept and method == "DELETE"):
            return 500, "planted"
        return answer(method, path, body)

    with opened(index, model_folder, ingestion={"patience_s": 0}) as searcher:
        with monkeypatch.context() as patched:
            patched.setattr(cluster, "answer", failing)
            with pytest.raises(IndexFailure):
                searcher.of_tenant("acme").ingest(ACME)
        assert cluster.shard_keys == ({"documents.v1": {}} if kept else {})
        assert searcher.of_tenant("acme").ingest(ACME).added == 2
        assert held(cluster) == {SHARED: 2}


def test_two_that_make_it_at_once_both_have_it(index: dict[str, Any], cluster: QdrantStandIn, model_folder: Path) -> None:
    answer = cluster.answer

    def slower(method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if method == "PUT" and path.endswith("/shards"):
            cluster.shard_keys["documents.v1"].setdefault(SHARED, 1)  # another process was quicker
        return answer(method, path, body)

    cluster.answer = slower  # type: ignore[method-assign]
    with opened(index, model_folder) as searcher:
        assert searcher.of_tenant("acme").ingest(ACME).added == 2


def test_it_is_not_brought_back_from_shards(shared: Searcher, tmp_path: Path) -> None:
    with pytest.raises(IndexRejected, match="is sharded by keys, which cannot be brought back from shards"):
        shared.collections.snapshot("documents", tmp_path / "copy")


def test_without_tenants_there_is_nothing_to_shard_by(model_folder: Path) -> None:
    with pytest.raises(InvalidSettings, match="shard_key shards by tenants, and tenant_field does not say where"):
        opened({"engine": "qdrant", "shard_key": SHARED}, model_folder, tenant_field=None)
    with pytest.raises(InvalidSettings, match="shard_key"):
        opened({"engine": "qdrant", "shard_key": ""}, model_folder)


def test_a_key_for_points_alone_writes_for_tenants(model_folder: Path) -> None:
    with QdrantStandIn(api_key="secret", nodes=3) as server:
        index = {**server.index, "shard_key": SHARED}
        with opened({**index, "api_key": "secret"}, model_folder) as searcher:
            searcher.of_tenant("acme").ingest(ACME)
        points = token("secret", [{"collection": "documents.v1", "access": "prw"}])
        with opened({**index, "api_key": points}, model_folder, collection="documents.v1") as searcher:
            acme = searcher.of_tenant("acme")
            assert acme.ingest([ACME[0], *of("acme", "x", "New.")[1:]], sync=True).changed == 1
            assert acme.delete(ids=["acme-0"]) == 1
            assert acme.search("new", limit=1).hits[0].text == "New."
        assert held(server) == {SHARED: 1}


def test_what_another_program_sharded_by_keys_is_not_copied(
    cluster: QdrantStandIn, model_folder: Path, bundled_embedder: FastEmbedEmbedder
) -> None:
    """One id may stand for several points there, one under each key."""

    def payload(name: str, text: str) -> dict[str, Any]:
        return {"page_content": text, "metadata": {"source": name, "customer": "acme"}}

    fill(QdrantClient(cluster.url), bundled_embedder, payload)
    cluster._spread["theirs"]["sharding_method"] = "custom"
    with opened({**cluster.index, "shard_key": SHARED}, model_folder, embedder={}, tenant="acme") as searcher:
        with pytest.raises(IndexRejected, match=r"is sharded by keys .sharding_method custom. of another program"):
            searcher.adopt("theirs")
        assert searcher.collections.names() == ["theirs"]


def test_a_dry_run_over_keys_of_others_is_refused_as_well(cluster: QdrantStandIn, model_folder: Path) -> None:
    with opened(cluster.index, model_folder, tenant_field=None) as searcher:
        searcher.ingest(ACME)
    cluster._spread["documents.v1"]["sharding_method"] = "custom"
    with opened(cluster.index, model_folder, tenant_field=None) as searcher:
        for dry_run in (True, False):
            for write in (partial(searcher.ingest, ACME), partial(searcher.delete, ids=["acme-0"])):
                with pytest.raises(IndexRejected, match="of another program, so that it is searched as it is"):
                    write(dry_run=dry_run)
