"""A managed server in strict mode: requests keep to its limits, and what it refuses comes with what helps."""

from pathlib import Path
from typing import Any

import pytest
from commands import error, search, wrong
from qdrant_client import QdrantClient
from serving import PETS, serving
from standin import Fault, QdrantStandIn, conditions
from standin_grpc import GrpcStandIn
from theirs import FACTS, fill, on

from search import Settings, open_search
from search.documents import Document, Retrieval
from search.embedding.dense import FastEmbedEmbedder
from search.errors import (
    CollectionNotFound,
    IndexFailure,
    IndexFaulted,
    IndexRejected,
    InvalidQuery,
    ModelError,
    UnsupportedFilter,
)
from search.searcher import Searcher

STRICT = {
    "unindexed_filtering_retrieve": False,
    "unindexed_filtering_update": False,
    "max_query_limit": 30,
    "search_allow_exact": False,
    "upsert_max_batchsize": 20,
    "search_max_batchsize": 2,
    "condition_max_size": 25,
    "search_max_oversampling": 1.5,
}
TEXTS = [Document(id=f"d{i}", text=f"Number {i} is about cats and words.", metadata={"year": i}) for i in range(70)]


def opened(standin: QdrantStandIn, model_folder: Path, tmp_path: Path, **more: Any) -> Searcher:
    where = more.pop("index", {"engine": "qdrant", "url": standin.url})
    settings = {"embedder": {"model": str(model_folder / "embedder-mean")}, "reranker": {"kind": "none"}, **more}
    return open_search(Settings(index=where, data_dir=tmp_path, **settings))


def test_everything_goes_on_within_the_limits(standin: QdrantStandIn, model_folder: Path, tmp_path: Path) -> None:
    standin.strict = STRICT
    storage = {"quantization": "scalar", "oversampling": 4.0}
    with opened(standin, model_folder, tmp_path, storage=storage) as searcher:
        assert searcher.ingest(TEXTS).added == 70
        assert searcher.ingest(TEXTS).unchanged == 70
        assert searcher.ingest(TEXTS[:60], sync=True).removed == 10
        result = searcher.search("cats", limit=25, depth=25)
        assert (len(result.hits), result.warnings) == (25, ())
        assert searcher.search("Number 7 is about", retrieval="lexical").hits[0].document_id == "d7"
        assert searcher.get("d7") == TEXTS[7]
        assert searcher.update({"old": True}, ids=["d1"]).changed == 1
        assert searcher.delete(ids=["d2"]) == 1
        assert searcher.count() == 59
        assert searcher.collections.info("documents").points == 59
        other = Settings(**{**dict(searcher.settings), "chunking": {"tokens": 20, "overlap": 0}})
        report = searcher.reindex(other)
        assert report.switched
        assert report.check
        assert report.check.overlap > 0.5
    with serving(searcher.settings) as served:
        assert served.http.get("/v1/collections/documents/facets").json()["documents"] == 59


def test_filters_of_many_values_are_asked_in_parts(standin: QdrantStandIn, model_folder: Path, tmp_path: Path) -> None:
    ids = [f"d{i}" for i in range(70)]
    with opened(standin, model_folder, tmp_path) as searcher:
        searcher.ingest(TEXTS)
        these = {"must": [{"key": "document_id", "match": {"any": ids}}, {"key": "revision", "match": {"except": ["none"]}}]}
        index = searcher.opened()
        whole = [record.id for record in index.scroll(these)]
        assert len(whole) == 70
    standin.strict = {"condition_max_size": 25, "max_query_limit": 10}
    with opened(standin, model_folder, tmp_path) as searcher:
        index = searcher.opened()
        assert [record.id for record in index.scroll(these)] == whole  # in the order of ids all the same, so that it can go on
        assert [record.id for record in index.scroll(these, start=whole[33])] == whole[33:]
        assert index.count(these) == 70
        others = {"must_not": [{"key": "document_id", "match": {"any": ids[:60]}}]}
        assert index.count(others) == 10
        index.delete(filter={"must": [{"key": "document_id", "match": {"any": ids[:60]}}]})
        assert index.count() == 10
        listed = {"must": [{"key": "metadata.tags", "match": {"any": ids}}]}  # of which one document may have several
        with pytest.raises(IndexRejected, match="Condition size limit reached"):
            index.count(listed)


INDEXED = {"payload_indexes": {"metadata.kind": "keyword"}}
OTHER = [{"key": f"metadata.{name}", "match": {"except": ["x"]}} for name in ("kind", "tags", "year")]


def test_a_filter_goes_out_in_as_many_conditions_as_a_collection_takes(
    standin: QdrantStandIn, standin_grpc: GrpcStandIn, model_folder: Path, tmp_path: Path
) -> None:
    tagged = [Document("a", "A cat.", metadata={"kind": 1, "tags": ["x", ["x"]], "year": None}), Document("b", "A dog.")]
    tagged += [Document("c", "A cow.", metadata={"kind": "y", "tags": ["z"], "year": 7})]
    filters: list[dict[str, Any]] = [{"must": OTHER}, {"should": OTHER}, {"must_not": OTHER}, {"must": OTHER[:2]}]
    filters += [{"must": [{"key": "metadata.year", "match": {"any": [7, 8]}}]}]

    def found(searcher: Searcher) -> list[Any]:
        index = searcher.opened()
        counts = [(searcher.count(one), [record.payload["document_id"] for record in index.scroll(one)]) for one in filters]
        return [counts, [len(searcher.search("cat", filter=one, rerank=False).hits) for one in filters]]

    with opened(standin, model_folder, tmp_path, storage=INDEXED) as searcher:
        searcher.ingest(tagged)
        free = found(searcher)
    where = {"engine": "qdrant", "url": standin.url, "protocol": "grpc", "grpc_port": standin_grpc.port}
    for index in ({"engine": "qdrant", "url": standin.url}, where):
        standin.strict = {"filter_max_conditions": 12}
        with opened(standin, model_folder, tmp_path, index=index) as searcher:
            assert found(searcher) == free
            standin.bodies.clear()
            searcher.count(filters[4])
            assert len(standin.bodies[-1][1]["filter"]["must"][0]["must"]) == 2  # with what makes it fast, where there is room
            assert searcher.delete(filter={"must": [*OTHER, {"key": "document_id", "match": {"value": "absent"}}]}) == 0
        standin.strict = {"filter_max_conditions": 9}
        with opened(standin, model_folder, tmp_path, index=index) as searcher:
            assert searcher.count({"must": OTHER[1:]}) == free[0][0][0]
            assert searcher.count({"must": OTHER[:1]}) == 2
            limit = (
                r"the filter has 11 conditions as the Qdrant server at http.* gets it, and collection 'documents' takes 9 at most "
                r".filter_max_conditions of its strict mode.: .* have the limit raised .PATCH http.*/collections/documents\.v1.$"
            )
            with pytest.raises(UnsupportedFilter, match=limit):
                searcher.count({"must": OTHER})
            with pytest.raises(UnsupportedFilter, match=r"the filter has 1\d conditions"):
                searcher.search("cat", filter={"must": OTHER})
            with pytest.raises(UnsupportedFilter, match=r"the filter has 1\d conditions"):
                searcher.delete(filter={"must": OTHER})
            with serving(searcher.settings) as served:
                answer = served.http.post("/v1/search", json={"query": "cats", "filter": {"must": OTHER}})
                assert (answer.status_code, answer.json()["error"]["type"]) == (422, "UnsupportedFilter")


def test_an_index_that_somebody_makes_meanwhile_is_reckoned_with(
    standin: QdrantStandIn, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would find no numbers by what goes out where no index is."""
    monkeypatch.setattr("search.index.server.index._INDEXED_FOR_S", 0.0)
    standin.strict = {"filter_max_conditions": 9}
    with opened(standin, model_folder, tmp_path) as searcher, opened(standin, model_folder, tmp_path) as other:
        searcher.ingest(TEXTS[:3])
        for number in (2, 9):  # with the condition that leaves the claim of the writer out
            standin.bodies.clear()
            assert searcher.count({"must": OTHER[:1]}) == 0
            (asked,) = (body for path, body in standin.bodies if path.endswith("/points/count"))  # why it is 0 is no further count
            assert len(conditions(asked["filter"])) == number
            if number == 2:
                other.collections.index_field("documents", "metadata.kind", "keyword")


def test_what_is_indexed_is_told_of_each_collection_by_itself(
    standin: QdrantStandIn, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though pages of the one before are still read while its name leads elsewhere."""
    monkeypatch.setattr("search.index.server.index._FOLLOWED_EVERY_S", 0.0)
    standin.strict = {"filter_max_conditions": 9, "max_query_limit": 2}
    with opened(standin, model_folder, tmp_path) as searcher, opened(standin, model_folder, tmp_path, storage=INDEXED) as other:
        searcher.ingest(TEXTS[:3])
        index = searcher.opened()
        under_way = index.scroll({"must_not": OTHER[:2]})
        next(under_way)
        other.reindex(check=False)
        searcher.search("cats")
        assert index.target == "documents.v2"
        assert len(list(under_way)) == 2
        assert index.count({"must": OTHER[:1]}) == 0
        assert len(conditions(standin.bodies[-1][1]["filter"])) == 9


def test_answers_are_those_of_a_server_without_limits(standin: QdrantStandIn, model_folder: Path, tmp_path: Path) -> None:
    with opened(standin, model_folder, tmp_path) as searcher:
        searcher.ingest(TEXTS)
        free = [
            (hit.document_id, round(hit.retrieval_score, 5), round(hit.lexical_score or 0, 5))
            for hit in searcher.search("cats 7", limit=20).hits
        ]
    standin.strict = {**STRICT, "max_query_limit": 100, "condition_max_size": 100}  # as many as are listed, but two in a request
    with opened(standin, model_folder, tmp_path) as searcher:
        held = [
            (hit.document_id, round(hit.retrieval_score, 5), round(hit.lexical_score or 0, 5))
            for hit in searcher.search("cats 7", limit=20).hits
        ]
    assert held == free


def test_candidates_that_the_server_does_not_give_are_told(standin: QdrantStandIn, model_folder: Path, tmp_path: Path) -> None:
    standin.strict = STRICT
    with opened(standin, model_folder, tmp_path) as searcher:
        searcher.ingest(TEXTS)
        for retrieval in ("hybrid", "dense", "lexical"):
            result = searcher.search("cats", limit=50, depth=50, retrieval=retrieval)
            assert len(result.hits) == 30
            assert result.warnings == ("the server gives 30 candidates at most (its strict mode), of the 50 that were asked for",)
        few = {"must": [{"key": "document_id", "match": {"any": ["d1", "d2"]}}]}
        assert searcher.search("cats", limit=50, depth=50, filter=few).warnings == ()  # there are no more


def test_counts_are_exact_for_a_page_and_about_right_beyond(standin: QdrantStandIn, model_folder: Path, tmp_path: Path) -> None:
    standin.strict = STRICT
    with opened(standin, model_folder, tmp_path) as searcher:
        searcher.ingest(TEXTS)
        assert searcher.count({"must": [{"key": "document_id", "match": {"value": "absent"}}]}) == 0
        assert searcher.count({"must": [{"key": "document_id", "match": {"any": ["d1", "d2"]}}]}) == 2
        assert searcher.count() == 70  # as the stand-in estimates
    assert {body.get("exact", True) for request, body in standin.bodies if request.endswith("/count")} == {False}


@pytest.mark.parametrize("retrieval", ["hybrid", "dense", "lexical"])
def test_a_search_among_many_documents_is_made_in_parts(
    retrieval: Retrieval, standin: QdrantStandIn, model_folder: Path, tmp_path: Path
) -> None:
    ids = [f"d{i}" for i in range(40)]
    wanted: list[dict[str, Any]] = [
        {"must": [{"key": "document_id", "match": {"any": ids}}]},
        {"must_not": [{"key": "document_id", "match": {"any": ids}}]},
        {"should": [{"key": "document_id", "match": {"any": ids}}]},
        {"must": [{"key": "document_id", "match": {"any": [*ids, *ids[:3]]}}]},  # each once, though in two parts
    ]

    def found(searcher: Searcher) -> list[tuple[list[str], int]]:
        searches = [searcher.search("cats 7", limit=40, depth=40, filter=one, retrieval=retrieval) for one in wanted]
        return [
            ([hit.document_id for hit in result.hits], searcher.count(one)) for result, one in zip(searches, wanted, strict=True)
        ]

    with opened(standin, model_folder, tmp_path) as searcher:
        searcher.ingest(TEXTS)
        whole = found(searcher)
    standin.strict = {"condition_max_size": 25}
    with opened(standin, model_folder, tmp_path) as searcher:
        assert found(searcher) == whole
    standin.strict = {"condition_max_size": 25, "search_max_batchsize": 2, "max_query_limit": 100}
    with opened(standin, model_folder, tmp_path) as searcher:
        assert found(searcher) == whole


def test_the_limits_are_kept_over_grpc_too(
    standin: QdrantStandIn, standin_grpc: GrpcStandIn, model_folder: Path, tmp_path: Path
) -> None:
    standin.strict = STRICT
    index = {"engine": "qdrant", "url": standin.url, "protocol": "grpc", "grpc_port": standin_grpc.port}
    with opened(standin, model_folder, tmp_path, index=index) as searcher:
        assert searcher.ingest(TEXTS).added == 70
        assert searcher.ingest(TEXTS[:60], sync=True).removed == 10
        assert searcher.count({"must": [{"key": "document_id", "match": {"any": ["d1", "d2"]}}]}) == 2
        assert searcher.count() == 60
        assert len(searcher.search("cats", limit=25, depth=25).hits) == 25
        assert searcher.delete(ids=["d2"]) == 1
        with pytest.raises(UnsupportedFilter, match=r"index documents metadata\.year integer"):
            searcher.count({"must": [{"key": "metadata.year", "match": {"value": 7}}]})
        assert searcher.collections.info("documents").points == 59
    assert {"scroll", "count", "query/batch", "upsert", "delete"} <= set(standin_grpc.calls)


def test_a_filter_that_needs_an_index_names_what_makes_it(standin: QdrantStandIn, model_folder: Path, tmp_path: Path) -> None:
    standin.strict = STRICT
    where: dict[str, Any] = {"SEARCH_INDEX__ENGINE": "qdrant", "SEARCH_INDEX__URL": standin.url, "SEARCH_DATA_DIR": str(tmp_path)}
    year = {"must": [{"key": "metadata.year", "match": {"value": 7}}]}
    remedy = "`search collections index documents metadata.year integer` indexes it"
    with opened(standin, model_folder, tmp_path) as searcher:
        searcher.ingest(TEXTS)
        for use in (
            lambda: searcher.search("cats", filter=year),
            lambda: searcher.count(year),
            lambda: searcher.delete(filter=year),
        ):
            with pytest.raises(
                UnsupportedFilter, match=f"indexed fields only .strict mode., and metadata.year is not indexed: {remedy}"
            ):
                use()
        text = {"must": [{"key": "metadata.name", "match": {"value": "x"}}]}
        with pytest.raises(UnsupportedFilter, match=r"index documents metadata\.name keyword"):
            searcher.search("cats", filter=text)
        with serving(searcher.settings) as served:
            answer = served.http.post("/v1/search", json={"query": "cats", "filter": year})
            assert (answer.status_code, answer.json()["error"]["type"]) == (422, "UnsupportedFilter")
            assert remedy in answer.json()["error"]["message"]
        told = search("collections", "index", "documents", "metadata.year", "integer", **where).stdout
        assert told.startswith("metadata.year is indexed as integer in documents; write it under [storage.payload_indexes], too")
        assert standin.indexed["documents.v1"]["metadata.year"] == "integer"
        assert [hit.document_id for hit in searcher.search("cats", filter=year).hits] == ["d7"]
        assert (
            "metadata.year (integer)"
            in search("doctor", **where, SEARCH_EMBEDDER__MODEL=str(model_folder / "embedder-mean")).stdout
        )
        assert searcher.delete(filter=year) == 1


def test_fields_are_indexed_in_place_on_every_engine(settings: Settings, standin: QdrantStandIn, tmp_path: Path) -> None:
    server = settings.model_copy(update={"index": on(standin, tmp_path).index})
    process = settings.model_copy(
        update={"index": settings.index.model_copy(update={"own_process": True}), "data_dir": tmp_path / "process"}
    )
    for chosen in (settings, process, server):
        with open_search(chosen) as searcher:
            searcher.ingest(PETS)
            for field, kind in (("metadata.legs", "integer"), ("metadata.kind", "keyword"), ("metadata.tags[]", "keyword")):
                searcher.collections.index_field("documents", field, kind)
            searcher.collections.index_field("documents", "document_id", "keyword")  # which is there
            there = searcher.collections.info("documents").details["payload_indexes"]
            assert {"metadata.legs", "metadata.kind", "metadata.tags"} <= set(there)
            assert searcher.count({"must": [{"key": "metadata.legs", "range": {"gte": 3}}]}) == 2
            for field, kind in (("legs", "integer"), ("metadata.legs", "date"), ("document_id", "integer"), ("text", "keyword")):
                with pytest.raises(InvalidQuery, match="cannot be indexed as"):
                    searcher.collections.index_field("documents", field, kind)
            with pytest.raises(CollectionNotFound):
                searcher.collections.index_field("absent", "metadata.legs", "integer")
    assert standin.indexed["documents.v1"]["metadata.legs"] == "float"  # see search.index.exact


def test_collections_of_others_are_not_indexed(standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path) -> None:
    client = QdrantClient(url=standin.url, check_compatibility=False)
    fill(client, bundled_embedder)
    client.close()
    standin.strict = {**STRICT, "max_query_limit": 5}
    with open_search(on(standin, tmp_path)) as searcher:
        assert searcher.search(FACTS["gold"][1], limit=3, depth=5).hits[0].document_id == "gold.md"
        with pytest.raises(UnsupportedFilter, match=r"metadata\.of is not indexed: collection 'theirs' is another program's"):
            searcher.search("cats", filter={"must": [{"key": "metadata.of", "match": {"value": "x"}}]})
        with pytest.raises(IndexRejected, match=r"whoever fills it indexes a field .PUT .*/collections/theirs/index"):
            searcher.collections.index_field("theirs", "metadata.of", "keyword")
        assert searcher.beside("ours").adopt("theirs").ingest.added == 10
        keywords = {"document_id": "keyword", "revision": "keyword"}
        assert standin.indexed["ours.v1"] == {**keywords, "number": "integer", "claim": "integer"}
    assert "theirs" not in standin.indexed


def test_a_delete_has_the_index_that_it_takes(standin: QdrantStandIn, tmp_path: Path) -> None:
    """Deletes spare what a later claim wrote, so they ask for its number, which earlier versions did not index."""
    standin.strict = STRICT
    settings = on(standin, tmp_path).model_copy(update={"collection": "documents"})
    with open_search(settings) as searcher:
        searcher.ingest([Document(id="a", text="Gold is a metal."), Document(id="b", text="Iron is, too.")])
        assert standin.indexed["documents.v1"].pop("claim") == "integer"
    with open_search(settings) as searcher:
        assert searcher.delete(ids=["a"]) == 1
        assert standin.indexed["documents.v1"]["claim"] == "integer"


@pytest.mark.parametrize("engine", ["edge", "process", "server"])
def test_a_first_ingestion_that_fails_leaves_no_collection(
    engine: str, standin: QdrantStandIn, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings
    if engine == "process":
        chosen = settings.model_copy(update={"index": settings.index.model_copy(update={"own_process": True})})
    if engine == "server":
        chosen = settings.model_copy(update={"index": on(standin, tmp_path).index})
    failing = True
    embed = FastEmbedEmbedder.embed_passages

    def fails(self: FastEmbedEmbedder, texts: Any) -> Any:
        if failing:
            raise ModelError("the model is ill")
        return embed(self, texts)

    monkeypatch.setattr(FastEmbedEmbedder, "embed_passages", fails)
    with open_search(chosen) as searcher:
        with pytest.raises(ModelError, match="ill"):
            searcher.ingest(PETS)
        assert (searcher.collections.names(), searcher.collections.aliases()) == ([], {})
        with pytest.raises(CollectionNotFound):
            searcher.search("cats")
        failing = False
        assert searcher.ingest(PETS).added == 3
        failing = True
        with pytest.raises(ModelError, match="ill"):
            searcher.ingest([Document("more", "Fish swim.")])
        assert searcher.count() == 3  # which was there before


def test_a_first_write_that_is_refused_leaves_no_collection(standin: QdrantStandIn, model_folder: Path, tmp_path: Path) -> None:
    standin.refused = " "
    with opened(standin, model_folder, tmp_path) as searcher:
        with pytest.raises(IndexRejected, match="a limit forbids"):
            searcher.ingest(PETS)
        assert searcher.collections.names() == []
        standin.refused = ""
        assert searcher.ingest(PETS).added == 3
        assert searcher.delete(ids=[one.id for one in PETS]) == 3
        standin.refused = " "
        with pytest.raises(IndexRejected):
            searcher.ingest(PETS)
        assert searcher.count() == 0  # it is empty, and was not made for nothing


@pytest.mark.parametrize("declared", [False, True])
def test_the_elements_of_a_list_are_indexed_as_filters_name_them(
    declared: bool,  # noqa: FBT001
    standin: QdrantStandIn,
    model_folder: Path,
    tmp_path: Path,
) -> None:
    standin.strict = STRICT
    tagged = [Document("a", "A cat.", metadata={"tags": ["x", "y"]}), Document("b", "A dog.", metadata={"tags": ["z"]})]
    storage = {"payload_indexes": {"metadata.tags[]": "keyword"}} if declared else {}
    tag = {"must": [{"key": "metadata.tags[]", "match": {"value": "x"}}]}
    with opened(standin, model_folder, tmp_path, storage=storage) as searcher:
        searcher.ingest(tagged)
        if not declared:
            with pytest.raises(UnsupportedFilter, match=r"index documents 'metadata\.tags\[\]' keyword"):
                searcher.count(tag)
            searcher.collections.index_field("documents", "metadata.tags[]", "keyword")
        assert searcher.count(tag) == 1
        health = {one.name: one for one in searcher.collections.health("documents", {"metadata.tags[]": "keyword"})}
        assert health["payload indexes"].ok


def test_writes_stay_below_the_rate_that_is_allowed(standin: QdrantStandIn, model_folder: Path, tmp_path: Path) -> None:
    standin.strict = {"write_rate_limit": 15}
    with opened(standin, model_folder, tmp_path, ingestion={"patience_s": 0}) as searcher:
        assert searcher.ingest(TEXTS).added == 70


def test_what_was_written_before_a_failure_stays(standin: QdrantStandIn, model_folder: Path, tmp_path: Path) -> None:
    with opened(standin, model_folder, tmp_path, ingestion={"patience_s": 0}) as searcher:

        def documents() -> Any:
            yield from (Document(f"d{i}", f"Text {i}.") for i in range(700))
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            searcher.ingest(documents())
        assert 0 < searcher.count() < 700
        standin.faults.append(Fault(500))
        with pytest.raises(IndexFailure):
            searcher.count()


@pytest.mark.usefixtures("brief_lease")
def test_a_server_that_is_gone_is_not_waited_for_again(standin: QdrantStandIn, model_folder: Path, tmp_path: Path) -> None:
    with opened(standin, model_folder, tmp_path, ingestion={"patience_s": 0}) as searcher:
        searcher.embedder.embed_query("warm")

        def documents() -> Any:
            standin.faults += [Fault(500)] * 50
            yield PETS[0]

        with pytest.raises(IndexFaulted):
            searcher.ingest(documents())
        assert len(standin.faults) > 40
        standin.faults.clear()
        assert searcher.ingest(PETS).added == 3


def test_the_command_says_what_is_wrong(settings: Settings) -> None:
    with open_search(settings) as searcher:
        searcher.ingest(PETS)
    place = ("--data-dir", settings.data_dir)
    assert "cannot be indexed as 'integer': fields are metadata" in wrong(
        "collections", "index", "documents", "legs", "integer", *place
    )
    assert "no collection 'absent'" in error("collections", "index", "absent", "metadata.legs", "integer", *place)
    assert "documents" in search("collections", "index", "documents", "metadata.legs", "integer", *place).stdout
