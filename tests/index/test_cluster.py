"""A cluster of several nodes: nothing covers half a collection without a word, and what replaces a collection is spread like it."""

from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient, models
from standin import Fault, QdrantStandIn
from theirs import FACTS, on
from upstream import on_every_cluster

from search.documents import Document
from search.embedding.dense import FastEmbedEmbedder
from search.errors import IndexFull, IndexRejected
from search.searcher import Searcher, open_search
from search.settings import Settings

TEXTS = [Document(id=f"d{i}", text=f"Number {i} is about cats.") for i in range(6)]


def opened(server: QdrantStandIn, model_folder: Path, embedder: str = "embedder-mean", **index: Any) -> Searcher:
    where = {"engine": "qdrant", "url": server.url, **index}
    return open_search(Settings(index=where, embedder={"model": str(model_folder / embedder)}, reranker={"kind": "none"}))


def spread(searcher: Searcher, name: str) -> tuple[Any, ...]:
    details = searcher.collections.info(name).details
    return details["shards"], details["replicas"], details["write_consistency"]


@pytest.mark.parametrize(("replicas", "missing"), [(1, 2), (2, 1), (3, 0)])
def test_a_snapshot_covers_every_shard_or_is_refused(
    replicas: int, missing: int, cluster: QdrantStandIn, model_folder: Path
) -> None:
    with opened(cluster, model_folder, replicas=replicas) as searcher:
        searcher.ingest(TEXTS)
        if missing:
            with pytest.raises(IndexRejected, match=rf"lack {missing} of the 3 shards of 'documents.v1'.*every node write its own"):
                searcher.collections.snapshot("documents")
            assert not [request for request in cluster.requests if request.endswith("/snapshots")]
        else:
            assert searcher.collections.snapshot("documents").endswith("documents.v1-1.snapshot")
            cluster.dead = {1}
            with pytest.raises(IndexRejected, match="lack 1 of the 3 shards"):
                searcher.collections.snapshot("documents")


def test_all_shards_on_one_node_are_covered(standin: QdrantStandIn, model_folder: Path) -> None:
    with opened(standin, model_folder, shards=4) as searcher:
        searcher.ingest(TEXTS)
        assert searcher.collections.snapshot("documents").endswith(".snapshot")


@on_every_cluster
def test_what_replaces_a_collection_is_spread_like_it(cluster: QdrantStandIn, model_folder: Path) -> None:
    with opened(cluster, model_folder, shards=6, replicas=2, write_consistency=2) as searcher:
        searcher.ingest(TEXTS)
        assert spread(searcher, "documents.v1") == (6, 2, 2)
    with opened(cluster, model_folder, "embedder-cls") as searcher:  # whose settings say nothing of it
        assert searcher.reindex(check=False).new == "documents.v2"
        assert spread(searcher, "documents.v2") == (6, 2, 2)
        searcher.roll_back()
        assert spread(searcher, "documents") == (6, 2, 2)
    with opened(cluster, model_folder, "embedder-cls", replicas=3) as searcher:  # what they say counts
        searcher.collections.switch("documents", "documents.v2")
        assert searcher.opened().differing == ("index.replicas",)
        searcher.reindex(Settings(**{**dict(searcher.settings), "chunking": {"tokens": 20, "overlap": 0}}), check=False)
        assert spread(searcher, "documents.v3") == (6, 3, 2)


def test_what_replaces_a_collection_is_quantized_like_it(standin: QdrantStandIn, model_folder: Path) -> None:
    def again(**storage: Any) -> tuple[str, dict[str, Any]]:
        """What becomes of the collection with settings that say this of storage."""
        settings: dict[str, Any] = {**dict(searcher.settings), "storage": storage}
        settings["chunking"] = {"tokens": 20 + len(searcher.collections.names()), "overlap": 0}
        new = searcher.reindex(Settings(**settings), check=False).new
        told = searcher.collections.info(new).details
        return told["quantization"], told["storage"]

    with opened(standin, model_folder) as searcher:
        searcher.ingest(TEXTS)
        assert again(quantization="scalar", oversampling=5.0)[0] == "scalar"
        quantization, storage = again(on_disk=True)
        assert quantization == "scalar"
        assert (storage["quantization"], storage["oversampling"], storage["on_disk"]) == ("scalar", 5.0, True)
        assert searcher.search("cats", limit=3).hits
        assert again(quantization="none")[0] == "none"
        assert again()[0] == "none"


QUANTIZATIONS: dict[str, models.QuantizationConfig] = {
    "product": models.ProductQuantization(product=models.ProductQuantizationConfig(compression=models.CompressionRatio.X16)),
    "turbo": models.TurboQuantization(turbo=models.TurboQuantQuantizationConfig()),
    "binary": models.BinaryQuantization(
        binary=models.BinaryQuantizationConfig(always_ram=False, encoding=models.BinaryQuantizationEncoding.TWO_BITS)
    ),
    "scalar": models.ScalarQuantization(
        scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.9, always_ram=False)
    ),
}


@pytest.mark.parametrize("kind", QUANTIZATIONS)
@pytest.mark.parametrize("of_vector", [False, True])
def test_quantizations_that_no_settings_name_are_handed_on(
    kind: str,
    of_vector: bool,  # noqa: FBT001
    client: QdrantClient,
    standin: QdrantStandIn,
    bundled_embedder: FastEmbedEmbedder,
    tmp_path: Path,
) -> None:
    given: dict[str, Any] = {"quantization_config": QUANTIZATIONS[kind]}
    size = bundled_embedder.dimension
    params = models.VectorParams(size=size, distance=models.Distance.COSINE, **(given if of_vector else {}))
    client.create_collection("theirs", params, **({} if of_vector else given))
    vectors = bundled_embedder.embed_passages([text for text, _ in FACTS.values()]).tolist()
    points = [
        models.PointStruct(id=number, vector=vector, payload={"page_content": text, "metadata": {"source": name}})
        for number, ((name, (text, _)), vector) in enumerate(zip(FACTS.items(), vectors, strict=True))
    ]
    client.upsert("theirs", points)
    settings = on(standin, tmp_path).model_copy(update={"collection": "ours"})
    with open_search(settings) as searcher:
        searcher.adopt("theirs")
        assert client.get_collection("ours.v1").config.quantization_config == QUANTIZATIONS[kind]
        cut = settings.model_copy(update={"chunking": Settings(chunking={"tokens": 20, "overlap": 0}).chunking})
        assert searcher.reindex(cut, check=False).new == "ours.v2"
        assert client.get_collection("ours.v2").config.quantization_config == QUANTIZATIONS[kind]
        whole = cut.model_copy(update={"storage": Settings(storage={"quantization": "none"}).storage})
        assert searcher.reindex(whole, check=False).new == "ours.v3"
        assert client.get_collection("ours.v3").config.quantization_config is None


def made_by_hand(client: QdrantClient, name: str, prefix: str = "metadata.") -> None:
    client.create_payload_index(name, f"{prefix}team", models.PayloadSchemaType.KEYWORD)
    client.create_payload_index(name, f"{prefix}year", models.PayloadSchemaType.INTEGER)
    client.create_payload_index(name, f"{prefix}place", models.PayloadSchemaType.GEO)
    tenants = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
    client.create_payload_index(name, f"{prefix}tenant", tenants)


BY_HAND = {
    "metadata.team": "keyword",
    "metadata.year": "float",  # see search.index.exact
    "metadata.place": "geo",
    "metadata.tenant": {"type": "keyword", "is_tenant": True},
}
OURS = {"document_id": "keyword", "revision": "keyword"}


def test_what_replaces_a_collection_has_the_indexes_that_somebody_made(
    standin: QdrantStandIn, client: QdrantClient, model_folder: Path
) -> None:
    with opened(standin, model_folder) as searcher:
        searcher.ingest(TEXTS)
        made_by_hand(client, "documents.v1")
    with opened(standin, model_folder, "embedder-cls") as searcher:
        assert searcher.reindex(check=False).new == "documents.v2"
        assert standin.indexed["documents.v2"] == OURS | BY_HAND
        standin.requests.clear()
        searcher.ingest(TEXTS)
        assert not [one for one in standin.requests if one.endswith("/index")]


@pytest.mark.parametrize("nested", [True, False], ids=["in an object", "flat"])
def test_what_is_adopted_keeps_the_indexes_of_its_metadata(
    nested: bool,  # noqa: FBT001
    standin: QdrantStandIn,
    client: QdrantClient,
    model_folder: Path,
) -> None:
    """Under their names here; of fields that are no metadata there is none to keep."""
    with opened(standin, model_folder) as searcher:
        client.create_collection("theirs", models.VectorParams(size=searcher.embedder.dimension, distance=models.Distance.COSINE))
        vectors = searcher.embedder.embed_passages([one.text for one in TEXTS])
        points = []
        for number, (one, vector) in enumerate(zip(TEXTS, vectors, strict=True)):
            about = {"source": one.id, "year": 2000}
            payload = {"page_content": one.text, **({"metadata": about} if nested else about)}
            points.append(models.PointStruct(id=number, vector=vector.tolist(), payload=payload))
        client.upsert("theirs", points)
        made_by_hand(client, "theirs", "metadata." if nested else "")
        client.create_payload_index("theirs", "page_content", models.PayloadSchemaType.TEXT)
        for _ in range(2):  # what is there is not made again
            standin.requests.clear()
            searcher.adopt("theirs")
        assert not [one for one in standin.requests if one.endswith("/index")]
        assert standin.indexed["documents.v1"] == OURS | BY_HAND
        assert searcher.search("cats", limit=3).hits


def test_a_collection_that_is_sharded_by_keys_is_searched_and_neither_written_to_nor_replaced(
    cluster: QdrantStandIn, model_folder: Path
) -> None:
    """The server would refuse points without a key, one after the other."""
    with opened(cluster, model_folder) as searcher:
        searcher.ingest(TEXTS)
        cluster._spread["documents.v1"]["sharding_method"] = "custom"
    with opened(cluster, model_folder) as searcher:
        wanted = Settings(**{**dict(searcher.settings), "chunking": {"tokens": 20, "overlap": 0}})
        for refused in (
            lambda: searcher.reindex(wanted, check=False),
            lambda: searcher.ingest(TEXTS),
            lambda: searcher.delete(ids=["d1"]),
            lambda: searcher.update({"x": 1}, ids=["d1"]),
        ):
            with pytest.raises(IndexRejected, match=r"is sharded by keys .* ingest its sources into another collection"):
                refused()
        assert len(searcher.search("cats", limit=6).hits) == searcher.count() == 6
        assert searcher.get("d1") == TEXTS[1]


@pytest.mark.usefixtures("brief_pauses")
@pytest.mark.parametrize("status", [400, 500])
def test_a_fault_that_is_called_a_refusal_rejects_no_good_document(status: int, standin: QdrantStandIn, model_folder: Path) -> None:
    """One that passes costs nothing, and one that stays ends the run."""
    with opened(standin, model_folder) as searcher:
        searcher.ingest(TEXTS[:1])
        answer, left = standin.answer, [0]

        def failing(method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
            if (method, path.endswith("/points")) == ("PUT", True) and left[0]:
                left[0] -= 1
                return status, "planted"
            return answer(method, path, body)

        standin.answer = failing  # type: ignore[method-assign]
        for number in range(1, 6):  # refused so many times in a row
            left[0] = number
            fresh = [Document(id=f"{number}-{i}", text=f"Document {i} of {number}.") for i in range(5)]
            try:
                report = searcher.ingest(fresh)
            except IndexRejected:
                left[0] = 0
                assert status == 400
                report = searcher.ingest(fresh)  # the same again goes on from there
            assert report.rejected == 0
            assert report.added + report.unchanged == 5
        left[0] = 10**6
        if status == 400:
            with pytest.raises(IndexRejected, match="planted"):
                searcher.ingest([Document(id=f"last-{i}", text="x") for i in range(3)])


def test_a_document_that_is_refused_among_good_ones_is_still_rejected_alone(standin: QdrantStandIn, model_folder: Path) -> None:
    standin.refused = "Poison"
    with opened(standin, model_folder) as searcher:
        poison = [Document(id=f"p{i}", text=f"Poison {i}.") for i in range(3)]
        report = searcher.ingest([*TEXTS[:3], *poison, *TEXTS[3:]])
        assert (report.added, report.rejected) == (6, 3)
        assert {one.document_id for one in report.rejections} == {"p0", "p1", "p2"}
        assert searcher.count() == 6


def test_a_full_disk_on_the_server_is_named_and_not_waited_for(standin: QdrantStandIn, model_folder: Path) -> None:
    told = b'{"status": {"error": "Service internal error: No space left on device (os error 28)"}, "time": 0.0}'
    with opened(standin, model_folder) as searcher:
        searcher.ingest(TEXTS)
        answer = standin.answer
        full = ("PUT /collections/documents.v1/points", "POST /collections/aliases")
        tried: list[str] = []

        def failing(method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
            if f"{method} {path}" in full:
                tried.append(path)
                return 500, "Service internal error: No space left on device (os error 28)"
            return answer(method, path, body)

        standin.answer = failing  # type: ignore[method-assign]
        standin.requests.clear()
        with pytest.raises(IndexFull, match=r"the disk of the Qdrant server at .* is full"):
            searcher.ingest([Document(id="new", text="New.")])
        assert len(tried) <= 2  # the claim, and giving it back
        with pytest.raises(IndexFull, match="No space left on device"):
            searcher.collections.switch("live", "documents.v1")
        standin.faults.append(Fault(503, body=told))
        with pytest.raises(IndexFull):
            searcher.collections.names()
