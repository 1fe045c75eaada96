"""Collections on a server may be called as they please; those that this package makes have names for every engine."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from commands import as_json, error, search
from qdrant_client import QdrantClient, models
from serving import serving
from standin import QdrantStandIn
from theirs import FACTS, fill, on

from search import Settings, open_search
from search.client import Client
from search.documents import Document
from search.embedding.dense import FastEmbedEmbedder
from search.errors import CollectionNotFound, IndexMismatch, InvalidSettings
from search.index.edge.collections import EdgeCollections

NAMES = [
    *(
        "größe der Dinge",
        "_private",
        "100%",
        "a+b&c=d",
        "#1;x",
        "名前",
        "gro\u0308\u00dfe",
        "-x",
        "...",
        ".hidden",
        "aliases",
        "{name}",
    ),
    *("it's", "a%2Fb", "%2e%2e", " ", "x" * 255),
]
FIRST: dict[str, Any] = {"reranker": {"kind": "none"}}  # settings, for nothing here is about the second stage
NONE = ["", ".", "..", "a/b", "../x", "a\\b", "a\0b", "a\nb", "\x7f", "x" * 256, "half \ud800"]


@pytest.mark.parametrize("name", NAMES)
def test_a_collection_is_searched_whatever_it_is_called(
    name: str, client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    fill(client, bundled_embedder, name=name)
    with open_search(on(standin, tmp_path, **FIRST).model_copy(update={"collection": "other"})) as searcher:
        theirs = searcher.beside(name)
        assert theirs.search(FACTS["gold"][1], limit=1).hits[0].document_id == "gold.md"
        assert theirs.count() == 10
        assert theirs.get("cats.md").text == FACTS["cats"][0]
        assert searcher.collections.names() == [name]
        assert searcher.collections.info(name).points == 10
        with pytest.raises(IndexMismatch, match="never written to"):
            theirs.ingest([Document("a", "A cat.")])
        assert searcher.beside("ours").adopt(name).ingest.added == 10
        assert quote(name, safe="") in searcher.collections.snapshot(name)
        searcher.collections.drop(name)
        assert searcher.collections.names() == ["ours.v1"]


@pytest.mark.parametrize("name", NAMES[:10])
def test_commands_and_the_service_take_every_name(
    name: str, client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    fill(client, bundled_embedder, name=name)
    where: dict[str, Any] = {"SEARCH_INDEX__ENGINE": "qdrant", "SEARCH_INDEX__URL": standin.url, "SEARCH_DATA_DIR": str(tmp_path)}
    where["SEARCH_RERANKER__KIND"] = "none"
    assert as_json("query", FACTS["tea"][1], "--collection", name, **where)["hits"][0]["document_id"] == "tea.md"
    assert as_json("query", FACTS["tea"][1], **where, SEARCH_COLLECTION=name)["hits"][0]["document_id"] == "tea.md"
    assert f"{name} at " in search("doctor", f"--collection={name}", **where).stdout
    assert json.loads(search("collections", "info", "--json", "--", name, **where).stdout)["name"] == name
    assert name in search("collections", "list", **where).stdout
    with (
        serving(on(standin, tmp_path, **FIRST).model_copy(update={"collection": name})) as served,
        Client(served.url, collection=name) as asking,
    ):
        assert asking.search(FACTS["gold"][1]).hits[0].document_id == "gold.md"
        assert asking.get("gold.md").text == FACTS["gold"][0]
        path = f"/v1/collections/{quote(name, safe='')}"
        assert served.http.get(path).json()["name"] == name
        assert served.http.get(f"{path}/facets").json()["documents"] == 10
        assert name in [one["name"] for one in served.http.get("/v1/collections").json()["collections"]]


def test_settings_name_it_in_quotation_marks(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, model_folder: Path, tmp_path: Path
) -> None:
    fill(client, bundled_embedder, lambda name, text: {"words": text, "text": "none", "url": name}, name="größe der Dinge")
    own = tmp_path / "mine.toml"
    own.write_text(f'[index]\nengine = "qdrant"\nurl = "{standin.url}"\n[collections."größe der Dinge"]\ntext = "words"\n')
    options = ("--collection", "größe der Dinge", "--data-dir", tmp_path)
    told = as_json("query", FACTS["tea"][1], *options, SEARCH_CONFIG=str(own))
    assert told["hits"][0]["text"] == FACTS["tea"][0]
    wrong = str(model_folder / "embedder-mean")
    message = error("query", "x", *options, SEARCH_CONFIG=str(own), SEARCH_EMBEDDER__MODEL=wrong)
    assert 'under [collections."größe der Dinge"] in search.toml' in message


def test_what_this_package_makes_has_a_plain_name(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    fill(client, bundled_embedder)
    with open_search(on(standin, tmp_path)) as searcher:
        for name in ("größe der Dinge", "_private", "C:", "so <called>?"):  # the last two no server gives to a new one
            with pytest.raises(InvalidSettings, match=f"'{re.escape(name)}' cannot name a collection; use letters, digits"):
                searcher.beside(name).ingest([Document("a", "A cat.")])
            with pytest.raises(InvalidSettings, match=f"'{re.escape(name)}' cannot name a collection"):
                searcher.beside(name).adopt("theirs")
            with pytest.raises(CollectionNotFound, match=f"no collection '{re.escape(name)}'"):
                searcher.beside(name).search("cats")
    assert [one.name for one in client.get_collections().collections] == ["theirs"]
    with serving(on(standin, tmp_path)) as served:
        body = {"collection": "a b", "documents": [{"id": "a", "text": "A cat."}]}
        answer = served.http.post("/v1/documents", json=body)
        assert (answer.status_code, answer.json()["error"]["type"]) == (422, "InvalidSettings")
        assert "'a b' cannot name a collection" in answer.json()["error"]["message"]


@pytest.mark.parametrize("name", NONE)
def test_no_collection_is_called_so(name: str, standin: QdrantStandIn, tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="collection"):
        Settings(collection=name, index={"engine": "qdrant", "url": standin.url})
    with open_search(on(standin, tmp_path)) as searcher:
        with pytest.raises(InvalidSettings, match=r"no collection is called .*: a name has 1 to 255 characters"):
            searcher.beside(name)
        with pytest.raises(InvalidSettings, match="no collection is called"):
            searcher.adopt(name)
    assert standin.requests == []


def test_in_a_folder_names_are_no_paths(tmp_path: Path) -> None:
    for name in ("größe der Dinge", "_x", "..", "../x"):
        with pytest.raises(InvalidSettings, match="collection"):
            Settings(data_dir=tmp_path, collection=name)
    with open_search(Settings(data_dir=tmp_path / "data")) as searcher:
        searcher.ingest([Document("a", "A cat.")])
        with pytest.raises(InvalidSettings, match="'a b' cannot name a collection"):
            searcher.beside("a b")
    with open_search(Settings(data_dir=tmp_path / "out")) as searcher:
        searcher.ingest([Document("a", "A cat.")])
    inside = EdgeCollections(tmp_path / "data")
    for path in ("../../out/collections/documents", str(tmp_path / "out" / "collections" / "documents"), "..", "."):
        for use in (inside.info, inside.drop, inside.snapshot, lambda name: inside.switch("other", name)):
            with pytest.raises(CollectionNotFound):
                use(path)
    with serving(Settings(data_dir=tmp_path / "data")) as served:
        for name, status in (("a%20b", 404), ("%2e%2e", 422), ("..%2fx", 404)):
            assert served.http.get(f"/v1/collections/{name}").status_code == status


def test_an_alias_of_any_name_leads_to_it(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    fill(client, bundled_embedder)
    lead = models.CreateAlias(collection_name="theirs", alias_name="größe der Dinge")
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=lead)])
    with open_search(on(standin, tmp_path).model_copy(update={"collection": "größe der Dinge"})) as searcher:
        assert searcher.search(FACTS["tea"][1]).hits[0].document_id == "tea.md"
