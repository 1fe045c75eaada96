"""One searcher, one service, collections of different embedders: each is filled and searched by its own."""

from pathlib import Path
from typing import Any

import pytest
from commands import as_json, error, search
from qdrant_client import QdrantClient
from serving import PETS, serving
from standin import QdrantStandIn
from theirs import FACTS, fill, on
from upstream import everywhere

from search import Settings, open_search
from search.client import Client
from search.documents import Document
from search.embedding.dense import FastEmbedEmbedder
from search.errors import CollectionNotFound, IndexMismatch, InvalidSettings
from search.searcher import Searcher

BIRDS = "Birds sing at dawn."  # of which a random model, too, makes the vector of the passage


@pytest.fixture
def mixed(tmp_path: Path, model_folder: Path) -> Settings:
    """The bundled model, but for three collections, of which two have the same other one."""
    tiny = {"embedder": str(model_folder / "embedder-mean")}
    third = {"embedder": str(model_folder / "embedder-cls")}
    return Settings(data_dir=tmp_path / "data", collections={"tiny": tiny, "too": tiny, "third": third}, reranker={"kind": "none"})


def with_pets_everywhere(searcher: Searcher) -> None:
    for name in ("documents", "tiny", "too", "third"):
        searcher.beside(name).ingest(PETS)


def test_collections_of_different_embedders_are_searched_beside_each_other(mixed: Settings) -> None:
    with open_search(mixed) as searcher:
        with_pets_everywhere(searcher)
        tiny, too, third = (searcher.beside(name) for name in ("tiny", "too", "third"))
        assert tiny.embedder is too.embedder
        assert len({id(one.embedder) for one in (searcher, tiny, third)}) == 3
        for one in (searcher, tiny, too, third):
            result = one.search(BIRDS, limit=1, retrieval="dense")
            assert (result.hits[0].document_id, result.embedder) == ("birds", one.embedder.name)
            assert one.opened().spec.fingerprint == one.embedder.fingerprint
        assert searcher.beside("other").embedder is searcher.embedder
    with open_search(mixed.model_copy(update={"collection": "tiny"})) as searcher:  # and from the other side
        assert searcher.search("birds", limit=1).hits[0].document_id == "birds"
        assert searcher.beside("documents").search("birds", limit=1).hits[0].document_id == "birds"
        assert searcher.beside("documents").embedder.name != searcher.embedder.name


def test_others_keep_the_settings_that_it_was_opened_with(settings: Settings) -> None:
    """Whether they were asked for before this one was reindexed, or after."""
    text = Document("a", "The cat sat on the mat and slept all day long. " * 8)
    with open_search(settings) as searcher:
        for name in ("documents", "before", "after"):
            searcher.beside(name).ingest([text])
        searcher.let_go("after")
        wanted = settings.model_copy(update={"chunking": Settings(chunking={"tokens": 24, "overlap": 0}).chunking})
        before = searcher.opened()
        searcher.reindex(wanted, check=False)
        for left in (before, searcher.index):
            with pytest.raises(CollectionNotFound, match=r"no longer, as after a reindexing: searcher\.opened\(\) gives it open"):
                left.count()
        assert searcher.opened().count() == searcher.index.count() > 1
        assert searcher.ingest([text]).unchanged == 1
        assert searcher.beside("before").ingest([text]).unchanged == 1
        assert searcher.beside("after").ingest([text]).unchanged == 1
        assert searcher.beside("after").settings.chunking == settings.chunking


def test_a_service_searches_collections_of_different_embedders(mixed: Settings) -> None:
    with serving(mixed, with_pets_everywhere) as served:
        for name in ("documents", "tiny", "third"):
            with Client(served.url, collection=name) as client:
                assert client.search(BIRDS, retrieval="dense").hits[0].document_id == "birds"
        assert served.http.get("/readyz").status_code == 200


def test_one_that_does_not_fit_is_told_with_where_to_name_it(mixed: Settings, model_folder: Path, tmp_path: Path) -> None:
    with open_search(mixed) as searcher:
        with_pets_everywhere(searcher)
    with (
        open_search(Settings(data_dir=mixed.data_dir, collection="tiny")) as searcher,
        pytest.raises(
            IndexMismatch,
            match=r"for this collection alone: `embedder` or `passage_prompt` under \[collections\.tiny\] in search\.toml",
        ),
    ):
        searcher.search("birds")
    toml = tmp_path / "search.toml"
    toml.write_text(f'[collections.tiny]\nembedder = "{model_folder / "embedder-mean"}"\n')
    place = ("--collection", "tiny", "--data-dir", mixed.data_dir)
    assert as_json("query", "birds", "--retrieval", "dense", "--no-rerank", *place)["embedder"] == "embedder-mean"
    assert "tiny at" in search("doctor", *place).stdout
    toml.write_text('[collections.tiny]\nembedder = "no/such-model"\n')
    assert "no/such-model" in error("query", "birds", *place)
    toml.write_text('[collections.tiny]\nembedder = ""\n')
    assert "collections.tiny.embedder" in error("query", "birds", *place)


def test_a_collection_is_reindexed_by_its_own_embedder(mixed: Settings) -> None:
    with open_search(mixed.model_copy(update={"collection": "tiny"})) as searcher:
        searcher.ingest(PETS)
        before = searcher.embedder
        assert searcher.reindex(queries=["birds"]).switched
        assert searcher.embedder is before
        other = mixed.model_copy(update={"collection": "tiny", "collections": {"tiny": mixed.collections["third"]}})
        assert searcher.reindex(other, queries=["birds", "cats", "dogs"], min_overlap=0).switched
        assert searcher.embedder.name == "embedder-cls"
        assert searcher.search("birds", limit=1).embedder == "embedder-cls"


@everywhere
def test_what_is_adopted_keeps_the_embedder_of_its_source(
    standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, model_folder: Path, tmp_path: Path
) -> None:
    client = QdrantClient(url=standin.url, check_compatibility=False)
    fill(client, bundled_embedder)
    client.close()
    tiny = {"model": str(model_folder / "embedder-mean")}
    of_theirs: dict[str, Any] = {"theirs": {"embedder": "all-MiniLM-L6-v2"}}
    chosen = on(standin, tmp_path, embedder=tiny, collections=of_theirs)
    with open_search(chosen) as searcher:
        assert searcher.search(FACTS["cats"][1], limit=1).hits[0].document_id == "cats.md"
        with pytest.raises(InvalidSettings, match=r"keep its vectors; name the same one under \[collections\.ours\]"):
            searcher.beside("ours").adopt("theirs")
    with open_search(on(standin, tmp_path, embedder=tiny, collections={**of_theirs, "ours": of_theirs["theirs"]})) as searcher:
        assert searcher.beside("ours").adopt("theirs").ingest.added == 10
        assert searcher.beside("ours").search(FACTS["cats"][1], limit=1).hits[0].document_id == "cats.md"
    with open_search(on(standin, tmp_path, embedder=tiny)) as searcher:
        with pytest.raises(IndexMismatch, match=r"SEARCH_EMBEDDER__MODEL, or `embedder` under \[collections\.theirs\]"):
            searcher.search("cats")
        with pytest.raises(IndexMismatch, match=r"under \[collections\.ours\]"):
            searcher.beside("ours").search("cats")
