"""Collections that other programs filled are searched as they are, and never written to."""

import json
import random
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import as_json, error, search
from qdrant_client import QdrantClient, models
from serving import serving
from standin import QdrantStandIn
from theirs import FACTS, LAYOUTS, Payload, fill, on
from upstream import everywhere

from search import Settings, open_search
from search.client import Client
from search.documents import Document
from search.embedding.dense import FastEmbedEmbedder
from search.errors import (
    CollectionForeign,
    DocumentIncomplete,
    DocumentNotFound,
    IndexMismatch,
    IndexTimeout,
    InvalidQuery,
    InvalidSettings,
    ReindexRefused,
    UnsupportedFilter,
)
from search.index.layout import Layout, find_layout, noted_of, without_field
from search.searcher import Searcher
from search.settings import LayoutSettings


@pytest.mark.parametrize("kind", LAYOUTS)
@everywhere
def test_collections_of_every_kind_are_searched_and_reranked(
    kind: str, client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    payload, vector, document = LAYOUTS[kind]
    fill(client, bundled_embedder, payload, vector)
    before = len(standin.requests)
    with open_search(on(standin, tmp_path)) as searcher:
        for key, (text, question) in FACTS.items():
            result = searcher.search(question, limit=3)
            assert (result.hits[0].document_id, result.hits[0].text) == (f"{key}.md", text)
            assert (result.rerank_status, result.retrieval, result.warnings) == ("full", "dense", ())
        assert searcher.count() == 10
        assert f"document in {document}" in searcher.index.spec.layout
    read = ("/query/batch", "/scroll", "/count")
    written = [one for one in standin.requests[before:] if not one.startswith("GET ") and not one.endswith(read)]
    assert written == []


@everywhere
def test_filters_and_facets_ask_the_fields_that_are_there(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    fill(client, bundled_embedder, lambda name, text: {"id": name, "content": text, "meta": {"letters": len(name), "of": [name]}})
    fill(client, bundled_embedder, lambda name, text: {"text": text, "letters": len(name)}, name="flat")

    with open_search(on(standin, tmp_path)) as searcher:
        four = {"must": [{"key": "metadata.letters", "match": {"value": 4}}]}
        for collection in (searcher, searcher.beside("flat")):
            assert {hit.metadata["letters"] for hit in collection.search("water", filter=four, limit=10).hits} == {4}
            assert collection.count({"must_not": [{"is_empty": {"key": "metadata.letters"}}]}) == 10
            nested = {"min_should": {"conditions": [{"must": four["must"]}], "min_count": 1}}
            assert collection.count(nested) == collection.count(four) > 1
        assert searcher.count({"must": [{"key": "document_id", "match": {"any": ["cats", "tea"]}}]}) == 2
        flat = searcher.beside("flat")
        named = flat.search("cats", limit=1).hits[0].document_id  # by the id of the point, since nothing else tells them apart
        assert flat.count({"must": [{"key": "document_id", "match": {"value": named}}]}) == 1
        assert flat.count({"must": [{"key": "document_id", "match": {"value": "cats"}}]}) == 0
        assert flat.count({"must": [{"key": "document_id", "match": {"except": [named]}}]}) == 9
        assert searcher.count({"must": [{"key": "document_id", "match": {"except": ["cats", "tea"]}}]}) == 8
        for wrong in ("must", "must_not", "should"):
            with pytest.raises(UnsupportedFilter, match="no numbers to filter by"):
                searcher.count({wrong: [{"key": "number", "match": {"value": 5}}]})
        assert searcher.get("cats") == Document("cats", FACTS["cats"][0], metadata={"letters": 4, "of": ["cats"]})
        with pytest.raises(DocumentNotFound):
            searcher.get("absent")


@everywhere
def test_documents_may_be_named_by_numbers_or_by_nothing_that_names(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    numbers = {name: number for number, name in enumerate(FACTS, 1)}
    fill(client, bundled_embedder, lambda name, text: {"text": text, "id": numbers[name]})
    odd: dict[str, Any] = {"cats": ["a", "tides"], "tea": {"an": "object"}, "gold": None, "owls": ""}
    odd |= dict(zip((name for name in FACTS if name not in {*odd, "tides", "bread", "iron"}), (1.5, True), strict=False))
    fill(client, bundled_embedder, lambda name, text: {"text": text, "url": odd.get(name, name)}, name="odd")
    with open_search(on(standin, tmp_path, collections={"odd": {"document_id": "url"}})) as searcher:
        assert searcher.search(FACTS["tides"][1]).hits[0].document_id == "2"
        assert searcher.count({"must": [{"key": "document_id", "match": {"value": "2"}}]}) == 1
        assert searcher.get("2").text == FACTS["tides"][0]
        found = searcher.beside("odd").search(FACTS["cats"][1], limit=10, depth=10).hits
        assert found[0].text == FACTS["cats"][0]
        assert {hit.document_id for hit in found} >= {"tides", "bread", "iron"}
        assert len({hit.document_id for hit in found}) == 10
        named = {hit.text: hit.document_id for hit in found}
        for name in odd:  # by the ids of their points
            assert searcher.beside("odd").get(named[FACTS[name][0]]).text == FACTS[name][0]
        assert searcher.beside("odd").get("tides").text == FACTS["tides"][0]
        of_points = [named[FACTS[name][0]] for name in odd]
        for match, number in (({"any": [*of_points, "bread"]}, 7), ({"except": of_points}, 4)):
            assert searcher.beside("odd").count({"must": [{"must": [{"key": "document_id", "match": match}]}]}) == number
        (point,) = client.scroll(
            "odd", models.Filter(must=[models.FieldCondition(key="url", match=models.MatchValue(value="iron"))])
        )[0]
        with pytest.raises(DocumentNotFound):  # which has a name
            searcher.beside("odd").get(str(point.id))


@everywhere
def test_nothing_is_written(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    fill(client, bundled_embedder)
    with open_search(on(standin, tmp_path)) as searcher:
        writes: list[Callable[..., object]] = [
            partial(searcher.ingest, [Document("a", "A cat.")]),
            partial(searcher.delete, ids=["cats.md"]),
            partial(searcher.update, {"a": 1}, ids=["cats.md"]),
        ]
        writes += [*(partial(one, dry_run=True) for one in writes), searcher.reindex]
        for write in writes:
            with pytest.raises((CollectionForeign, ReindexRefused), match="not made by this package"):
                write()
        index = searcher.opened()
        with pytest.raises(CollectionForeign, match="never written to"):
            index.upsert([])
        with pytest.raises(CollectionForeign, match="never written to"):
            index.delete(ids=["1"])
    assert client.count("theirs").count == 10


@everywhere
def test_the_embedder_is_proved(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, model_folder: Path, tmp_path: Path
) -> None:
    fill(client, bundled_embedder)
    wrong = {"model": str(model_folder / "embedder-mean")}
    with open_search(on(standin, tmp_path, embedder=wrong)) as searcher:
        with pytest.raises(IndexMismatch, match=r"384 dimensions, and those of .* sentence-transformers/all-MiniLM-L6-v2"):
            searcher.search("cats")
        assert searcher.count() == 10  # for which no embedder is needed
    for point, (text, _) in zip(client.scroll("theirs", limit=10)[0], FACTS.values(), strict=True):
        client.upsert("theirs", [models.PointStruct(id=point.id, vector=[1.0, *[0.0] * 383], payload={"page_content": text})])
    with (
        open_search(on(standin, tmp_path)) as searcher,
        pytest.raises(IndexMismatch, match=r"makes other vectors of its texts .median cosine.*say `passage_prompt` there"),
    ):
        searcher.search("cats")


@everywhere
def test_points_without_text_are_left_out_and_counted(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    fill(
        client, bundled_embedder, lambda name, text: {"page_content": text if name != "cats" else "", "metadata": {"source": name}}
    )
    with open_search(on(standin, tmp_path)) as searcher:
        result = searcher.search(FACTS["cats"][1], limit=10, depth=10)
        assert len(result.hits) == 9
        assert any("1 point that was found holds no passage" in warning for warning in result.warnings)


@pytest.mark.parametrize("distance", [models.Distance.DOT, models.Distance.EUCLID, models.Distance.MANHATTAN])
@everywhere
def test_other_distances(
    distance: models.Distance, client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    fill(client, bundled_embedder, distance=distance)
    with open_search(on(standin, tmp_path)) as searcher:
        if distance == models.Distance.DOT:
            assert searcher.search(FACTS["cats"][1]).hits[0].document_id == "cats.md"
        else:
            with pytest.raises(IndexMismatch, match=f"compared by {distance.value} distance"):
                searcher.search("cats")


@everywhere
def test_what_cannot_be_searched_is_told(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    fill(client, bundled_embedder, distance=models.Distance.DOT, factor=2.0, name="long")
    fill(client, bundled_embedder, distance=models.Distance.DOT, factor=0.5, name="short")
    params = models.VectorParams(size=384, distance=models.Distance.COSINE)
    client.create_collection("two", {"a": params, "b": params, "c": params.model_copy(update={"size": 8})})
    client.create_collection("empty", params)
    client.create_collection("words", {}, sparse_vectors_config={"words": models.SparseVectorParams()})
    many = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    client.create_collection("tokens", {"a": params.model_copy(update={"multivector_config": many})})
    client.create_collection("numbers", params)
    client.upsert("numbers", [models.PointStruct(id=1, vector=[0.1] * 384, payload={"count": 5, "tags": ["a"]})])
    told = {
        "empty": "it is empty",
        "long": "not of length 1",
        "short": "not of length 1",
        "words": r"it has no dense vectors; .*filled anew",
        "two": r"not plain which of its vectors to search .*'a' \(384\), 'b' \(384\), 'c' \(8\)",
        "tokens": "one for each token",
        "numbers": r"no field of its points holds text \(there are: count, tags\)",
    }
    for name, words in told.items():
        with (
            open_search(on(standin, tmp_path).model_copy(update={"collection": name})) as searcher,
            pytest.raises(IndexMismatch, match=words),
        ):
            searcher.search("cats")
    filled_later = on(standin, tmp_path, collections={"empty": {"text": "words", "title": "head"}})
    with open_search(filled_later.model_copy(update={"collection": "empty"})) as searcher:
        assert searcher.count() == 0
        with pytest.raises(IndexMismatch, match="nothing proves by which embedder"):
            searcher.search("cats")


@everywhere
def test_settings_say_what_is_not_found(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    def payload(name: str, text: str) -> Payload:
        return {"text": "the same for all", "inner": {"words": text, "no": name, "head": name.upper()}, "tenant": name[0]}

    fill(client, bundled_embedder, payload, "a")
    layout = {"text": "inner.words", "document_id": "inner.no", "title": "inner.head", "metadata": "inner", "vector": "a"}
    layout["filter"] = {"must_not": [{"key": "tenant", "match": {"value": "b"}}]}  # type: ignore[assignment]
    with open_search(on(standin, tmp_path, collections={"theirs": layout})) as searcher:
        first = searcher.search(FACTS["cats"][1], limit=10, depth=10).hits
        assert (first[0].document_id, first[0].title, len(first)) == ("cats", "CATS", 8)
        assert searcher.count() == 8
        assert searcher.count({"must": [{"key": "metadata.no", "match": {"value": "bees"}}]}) == 0
        assert searcher.count({"must": [{"key": "title", "match": {"value": "CATS"}}]}) == 1
    for wrong, told in (({"vector": "b"}, "no vector 'b'"), ({"filter": {"must": [{"key": "a"}]}}, "its filter cannot be asked")):
        with (
            open_search(on(standin, tmp_path, collections={"theirs": wrong})) as searcher,
            pytest.raises(IndexMismatch, match=told),
        ):
            searcher.search("cats")
    with pytest.raises(InvalidSettings, match="collections"):
        Settings(collections={"theirs": {"body": "x"}})


@everywhere
def test_the_command_line_and_the_service_search_it(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    fill(client, bundled_embedder)
    where: dict[str, Any] = {"SEARCH_INDEX__ENGINE": "qdrant", "SEARCH_INDEX__URL": standin.url}
    options = ("--collection", "theirs", "--data-dir", tmp_path)
    (tmp_path / "a.txt").write_text("A cat.")
    told = as_json("query", FACTS["tides"][1], *options, **where)
    assert told["hits"][0]["document_id"] == "tides.md"
    assert "10 passages, of another program: text in page_content" in search("doctor", *options, **where).stdout
    for dry_run in ([], ["--dry-run"]):
        assert "never written to" in error("ingest", tmp_path / "a.txt", *dry_run, *options, **where)
    assert "without words to be found by" in error("query", "x", "--retrieval", "lexical", *options, **where)

    def nothing(_: Searcher) -> None:
        """It is filled already."""

    with serving(on(standin, tmp_path), nothing) as served, Client(served.url) as asking:
        assert asking.search(FACTS["gold"][1]).hits[0].document_id == "gold.md"
        facets = served.http.get("/v1/collections/theirs/facets").json()
        assert "metadata.source" in {one["field"] for one in facets["fields"]}


def lead(client: QdrantClient, alias: str, collection: str) -> None:
    made = models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=collection, alias_name=alias))
    there = {one.alias_name for one in client.get_aliases().aliases}
    gone = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))
    client.update_collection_aliases([gone, made] if alias in there else [made])


@everywhere
def test_a_name_that_is_led_elsewhere_is_followed_and_proved(
    client: QdrantClient,
    standin: QdrantStandIn,
    bundled_embedder: FastEmbedEmbedder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To another program's collection or to a copy; at once where the one before is dropped."""
    followed = "search.index.server.index._FOLLOWED_EVERY_S"
    fill(client, bundled_embedder, name="one")
    fill(client, bundled_embedder, lambda _, text: {"text": text, "metadata": {"source": text[:9]}}, name="two")
    fill(client, bundled_embedder, lambda name, text: {"text": text, "url": f"{name}.txt"}, name="three")
    fill(client, Turned(bundled_embedder), name="turned")
    lead(client, "theirs", "one")
    with serving(on(standin, tmp_path)) as served:

        def first() -> str:
            told = served.http.post("/v1/search", json={"query": FACTS["cats"][1]}).raise_for_status().json()
            return str(told["hits"][0]["document_id"])

        assert first() == "cats.md"
        lead(client, "theirs", "two")
        client.delete_collection("one")
        assert first() == "Cats slee"
        monkeypatch.setattr(followed, 0.0)
        lead(client, "theirs", "three")
        assert first() == "cats.txt"
        for _ in range(2):
            lead(client, "theirs", "turned")
            answer = served.http.post("/v1/search", json={"query": FACTS["cats"][1]})
            assert (answer.status_code, answer.json()["error"]["type"]) == (409, "IndexMismatch")
        with open_search(on(standin, tmp_path / "other").model_copy(update={"collection": "ours"})) as searcher:
            searcher.adopt("three")
        lead(client, "theirs", "ours.v1")
        assert first() == "cats.txt"


class Turned:
    """Another embedder of the same dimension."""

    def __init__(self, embedder: FastEmbedEmbedder) -> None:
        self.dimension, self._embedder = embedder.dimension, embedder

    def embed_passages(self, texts: list[str]) -> Any:
        return np.roll(self._embedder.embed_passages(texts), 7, axis=1)


@everywhere
def test_a_collection_that_is_made_anew_under_its_name_is_noticed_and_proved(
    client: QdrantClient,
    standin: QdrantStandIn,
    bundled_embedder: FastEmbedEmbedder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As LangChain makes it with force_recreate; and points that are only added embed nothing again."""
    monkeypatch.setattr("search.index.server.index._FOLLOWED_EVERY_S", 0.0)
    proved = []
    embed = FastEmbedEmbedder.embed_passages

    def counted(self: FastEmbedEmbedder, texts: Any) -> Any:
        proved.append(len(texts))
        return embed(self, texts)

    def number(texts: dict[str, Any]) -> None:
        client.upsert("theirs", [models.PointStruct(id=99, vector=[1.0, *[0.0] * 383], payload=texts)])

    fill(client, bundled_embedder, distance=models.Distance.DOT)  # numbers for ids
    with open_search(on(standin, tmp_path)) as searcher:
        assert searcher.search(FACTS["cats"][1]).hits[0].document_id == "cats.md"
        with monkeypatch.context() as patched:
            patched.setattr(FastEmbedEmbedder, "embed_passages", counted)
            number({"page_content": "One more."})
            assert searcher.search(FACTS["cats"][1]).hits[0].document_id == "cats.md"
            assert searcher.count() == 11
            assert searcher.search(FACTS["cats"][1]).hits[0].document_id == "cats.md"
            assert proved == []
        client.delete_collection("theirs")
        renamed: Callable[[str, str], Payload] = lambda name, text: {"text": text, "url": name}  # noqa: E731
        fill(client, bundled_embedder, renamed, distance=models.Distance.DOT)
        assert searcher.search(FACTS["cats"][1]).hits[0].document_id == "cats"
        client.delete_collection("theirs")
        fill(client, Turned(bundled_embedder), renamed, distance=models.Distance.DOT)
        for _ in range(2):
            with pytest.raises(IndexMismatch, match="makes other vectors of its texts"):
                searcher.search(FACTS["cats"][1])
        client.delete_collection("theirs")
        fill(client, bundled_embedder, distance=models.Distance.DOT)
        assert searcher.search(FACTS["cats"][1]).hits[0].document_id == "cats.md"


@everywhere
def test_lexical_retrieval_needs_words(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    fill(client, bundled_embedder)
    with open_search(on(standin, tmp_path)) as searcher, pytest.raises(InvalidQuery, match="another program made collection"):
        searcher.search("cats", retrieval="lexical")


def test_a_field_that_is_the_same_everywhere_names_no_document() -> None:
    payloads: list[Payload] = [{"text": f"text {i}", "source": "wiki", "name": f"n{i}"} for i in range(3)]
    assert find_layout(payloads, LayoutSettings(), "") == Layout("text", title="name")
    assert find_layout([{"a": "{broken", "b": "x" * 30}], LayoutSettings(), "") == Layout("b")
    assert Layout("text").passage("7", {"text": "x", "_hidden": 1, "left": 2})["metadata"] == {"_hidden": 1, "left": 2}
    assert Layout("text", document_id="a.b").passage("7", {"text": "x", "a": 5})["document_id"] == "7"
    assert Layout("text").passage("7", {"text": " "}) == {}
    assert find_layout([{"text": "x", "source": "wiki"}], LayoutSettings(), "").document_id == "source"


ODD: dict[str, tuple[Callable[[str, str], Payload], str, dict[str, Any]]] = {
    "a name in document": (lambda name, text: {"document": f"{name}.pdf", "text": text}, "", {}),
    "a kind in content": (lambda name, text: {"content": "text/plain", "text": text, "url": name}, "{name}", {}),
    "metadata as JSON": (
        lambda name, text: {"text": text, "metadata": json.dumps({"source": name, "n": 1})},
        "{name}",
        {"source": "cats", "n": 1},
    ),
    "all of it as JSON": (lambda name, text: {"data": json.dumps({"content": text, "source": name})}, "{name}", {}),
    "two deep": (lambda name, text: {"payload": {"chunk": {"text": text}, "url": name}}, "{name}", {}),
}


@pytest.mark.parametrize("kind", ODD)
@everywhere
def test_texts_are_found_where_they_are(
    kind: str, client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    """Not in what is only called like one, and inside objects and strings with JSON in them."""
    payload, document, metadata = ODD[kind]
    fill(client, bundled_embedder, payload)
    with open_search(on(standin, tmp_path)) as searcher:
        (hit,) = searcher.search(FACTS["cats"][1], limit=1).hits
        assert hit.text == FACTS["cats"][0]
        if document:
            assert hit.document_id == document.format(name="cats")
        if metadata:
            assert hit.metadata == metadata
            one: dict[str, Any] = {"must": [{"key": "metadata.n", "match": {"value": 1}}]}
            with pytest.raises(UnsupportedFilter, match=r"metadata\.n lies in metadata, which is a string with JSON.*search adopt"):
                searcher.count(one)
            with pytest.raises(UnsupportedFilter, match=r"metadata\.n lies in metadata"):
                searcher.search("cats", filter=one)
            with pytest.raises(UnsupportedFilter, match=r"metadata\.source lies in metadata"):
                searcher.get("cats")


@everywhere
def test_what_was_not_embedded_is_named_where_the_proof_fails(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    fill(client, bundled_embedder, lambda name, text: {"content": f"{name} " * 40, "words": text})
    with open_search(on(standin, tmp_path)) as searcher, pytest.raises(IndexMismatch, match=r"text in content.* say `text` there"):
        searcher.search("cats")
    with open_search(on(standin, tmp_path, collections={"theirs": {"text": "words"}})) as searcher:
        assert searcher.search(FACTS["cats"][1], limit=1).hits[0].text == FACTS["cats"][0]


@everywhere
def test_the_proof_takes_points_that_have_a_vector(client: QdrantClient, standin: QdrantStandIn, tmp_path: Path) -> None:
    """However many have none before them; and where none has one, nothing is proved."""
    client.create_collection("theirs", {"dense": models.VectorParams(size=384, distance=models.Distance.COSINE)})
    without = [models.PointStruct(id=n, vector={}, payload={"text": f"Point {n} has none."}) for n in range(1, 13)]
    client.upsert("theirs", without)
    with open_search(on(standin, tmp_path)) as searcher, pytest.raises(IndexMismatch, match="nothing proves by which embedder"):
        searcher.search("cats")
    draw = np.random.default_rng(0)
    wrong = [
        models.PointStruct(id=100 + n, vector={"dense": draw.normal(size=384).tolist()}, payload={"text": f"Point {n} has one."})
        for n in range(10)
    ]
    client.upsert("theirs", wrong)
    with open_search(on(standin, tmp_path)) as searcher, pytest.raises(IndexMismatch, match="makes other vectors of its texts"):
        searcher.search("cats")


@everywhere
def test_documents_are_named_though_the_first_points_are_all_of_one(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    """And one that says nothing of its source costs no other its name."""
    client.create_collection("theirs", models.VectorParams(size=384, distance=models.Distance.COSINE))
    texts = [f"Report, part {number}." for number in range(70)] + [f"{text} {n}" for n in range(7) for text, _ in FACTS.values()]
    names = ["report.pdf"] * 70 + [f"{name}.md" for name in FACTS] * 7
    points = [
        models.PointStruct(
            id=n,
            vector=vector.tolist(),
            payload={"page_content": text, "metadata": {"page": n, **({"source": name} if n != 71 else {})}},
        )
        for n, (text, name, vector) in enumerate(zip(texts, names, bundled_embedder.embed_passages(texts), strict=True), 1)
    ]
    client.upsert("theirs", points)
    with open_search(on(standin, tmp_path)) as searcher:
        whole = searcher.get("report.pdf")
        assert whole.text.startswith("Report, part 0.\n\nReport, part 1.\n\n")
        assert whole.text.endswith("Report, part 69.")
        assert whole.metadata == {"source": "report.pdf"}
        assert searcher.get("71").text == texts[70]


@everywhere
def test_documents_of_several_points_are_given_whole_and_counted_once(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    def payload(name: str, text: str) -> Payload:
        return {"page_content": text, "metadata": {"source": name[0], "start_index": len(text)}}

    fill(client, bundled_embedder, payload)  # bread and bees are b, tides and tea t
    fill(client, bundled_embedder, lambda name, text: {"page_content": text, "metadata": {"source": name[0]}}, name="unordered")
    with serving(on(standin, tmp_path)) as served:
        told = served.http.get("/v1/documents/b").raise_for_status().json()
        assert told["text"] == "\n\n".join(FACTS[name][0] for name in ("bread", "bees"))
        facets = served.http.get("/v1/collections/theirs/facets").raise_for_status().json()
        assert facets["documents"] == len({name[0] for name in FACTS})
        (source,) = [one for one in facets["fields"] if one["field"] == "metadata.source"]
        assert {value["documents"] for value in source["values"]} == {1}
        answer = served.http.post("/v1/documents", json={"documents": [{"id": "a", "text": "x"}]})
        assert (answer.status_code, answer.json()["error"]["type"]) == (409, "CollectionForeign")
        assert "another program made the collection" in answer.json()["error"]["message"]
    with (
        open_search(on(standin, tmp_path)) as searcher,
        pytest.raises(DocumentIncomplete, match=r"it is 2 points, and nothing tells their order; name what does .`order`"),
    ):
        searcher.beside("unordered").get("b")


@everywhere
def test_an_alias_of_such_a_collection_leaves_it_as_it_is(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    fill(client, bundled_embedder, LAYOUTS["LangChain"][0])
    before = client.get_collection("theirs").config
    with open_search(on(standin, tmp_path)) as searcher:
        standin.requests.clear()
        searcher.collections.switch("mine", "theirs")
        assert searcher.beside("mine").search(FACTS["cats"][1], limit=1).hits[0].document_id == "cats.md"
    assert not [request for request in standin.requests if request.startswith("PATCH")]
    assert client.get_collection("theirs").config == before


@everywhere
def test_what_lies_beside_the_metadata_is_metadata(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    """As Open WebUI says whose a point is."""

    def payload(name: str, text: str) -> Payload:
        whose = "a" if name[0] < "m" else "b"
        return {
            "text": text,
            "metadata": {"source": f"{name}.md"},
            "tenant_id": whose,
            "nested": {"x": 1},
            "other": [0.5],
            "_own": 1,
        }

    fill(client, bundled_embedder, payload)
    with open_search(on(standin, tmp_path)) as searcher:
        (hit,) = searcher.search(FACTS["cats"][1], limit=1).hits
        assert hit.metadata == {"source": "cats.md", "tenant_id": "a", "nested": {"x": 1}, "_own": 1}
        assert searcher.count({"must": [{"key": "metadata.nested.x", "match": {"value": 1}}]}) == len(FACTS)
        assert searcher.count({"must": [{"key": "metadata.tenant_id", "match": {"value": "b"}}]}) == sum(n[0] >= "m" for n in FACTS)
    with open_search(on(standin, tmp_path, tenant_field="metadata.tenant_id")) as searcher:
        for tenant in "ab":
            found = searcher.of_tenant(tenant).search("water", limit=10, depth=10).hits
            assert {hit.document_id for hit in found} == {f"{n}.md" for n in FACTS if ("a" if n[0] < "m" else "b") == tenant}


def many(client: QdrantClient, embedder: FastEmbedEmbedder, payload: Callable[[int, str], Payload], number: int = 600) -> None:
    """More points than are looked at, with numbers for ids."""
    client.create_collection("theirs", models.VectorParams(size=384, distance=models.Distance.COSINE))
    texts = [text for text, _ in FACTS.values()]
    vectors = embedder.embed_passages(texts).tolist()
    points = [models.PointStruct(id=n, vector=vectors[n % 10], payload=payload(n, texts[n % 10])) for n in range(number)]
    client.upsert("theirs", points)


@everywhere
def test_the_layout_is_the_same_each_time(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    """Whatever share of the points has a field."""

    def payload(n: int, text: str) -> Payload:
        inner = {"id": n, **({"url": f"https://x/{n}"} if n % 10 != 9 else {}), **({"title": f"Title {n}"} if n % 3 else {})}
        inner |= {"start_index": 0} if n < 590 else {}
        return {"page_content": text, "metadata": inner, **({"lang": "en"} if n % 4 < 2 else {})}

    many(client, bundled_embedder, payload)
    told = set()
    for _ in range(4):
        with open_search(on(standin, tmp_path)) as searcher:
            told.add(searcher.opened().spec)
            assert searcher.count({"must": [{"key": "metadata.lang", "match": {"value": "en"}}]}) == 300
            assert {hit.title != "" for hit in searcher.search("water", limit=100, depth=100, rerank=False).hits} == {True, False}
    assert len(told) == 1, told
    (spec,) = told
    assert "title in metadata.title" in spec.layout
    assert "order in metadata.start_index" in spec.layout


@pytest.mark.parametrize("ids", ["numbers", "UUIDs", "UUIDs in the order of time", "both"])
@everywhere
def test_points_from_all_over_tell_the_layout(ids: str, client: QdrantClient, standin: QdrantStandIn, tmp_path: Path) -> None:
    """What begins far behind the first points is there."""
    client.create_collection("theirs", models.VectorParams(size=384, distance=models.Distance.COSINE))
    kinds: dict[str, list[int | str]] = {
        "numbers": [10**18 + n for n in range(1000)],
        "UUIDs": sorted(str(uuid.uuid5(uuid.NAMESPACE_OID, str(n))) for n in range(1000)),
        "UUIDs in the order of time": [str(uuid.UUID(int=(0x0190 << 112) + (n << 70))) for n in range(1000)],
        "both": [*range(500), *sorted(str(uuid.uuid5(uuid.NAMESPACE_OID, str(n))) for n in range(500))],
    }
    vector = [1.0, *[0.0] * 383]
    payloads: list[Payload] = [
        {"text": f"Some text, number {n}.", "url": f"u{n}", **({"title": "late"} if n > 300 else {})} for n in range(1000)
    ]
    points = [models.PointStruct(id=one, vector=vector, payload=p) for one, p in zip(kinds[ids], payloads, strict=True)]
    client.upsert("theirs", points)
    with open_search(on(standin, tmp_path)) as searcher:
        before = len(standin.requests)
        assert "title in title" in searcher.opened().spec.layout
        assert len(standin.requests) - before < 25


@everywhere
def test_what_stands_beside_a_text_in_an_object_is_metadata(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    def payload(name: str, text: str) -> Payload:
        return {"data": {"content": text, "author": name, "year": len(name)}, "kind": "fact", "_lang": "en"}

    fill(client, bundled_embedder, payload)
    client.create_payload_index("theirs", "data.year", models.PayloadSchemaType.INTEGER)
    fill(client, bundled_embedder, lambda name, text: {**payload(name, text), "metadata": {"n": 1}}, name="both")
    fill(client, bundled_embedder, lambda name, text: {"data": json.dumps(payload(name, text)["data"])}, name="encoded")
    whole = {"data": {"author": "cats", "year": 4}, "kind": "fact", "_lang": "en"}
    expected = {"theirs": whole, "both": {**whole, "n": 1}, "encoded": {"data": {"author": "cats", "year": 4}}}
    year: dict[str, Any] = {"must": [{"key": "metadata.data.year", "match": {"value": 4}}]}
    for name, metadata in expected.items():
        with open_search(on(standin, tmp_path).model_copy(update={"collection": name})) as searcher:
            assert searcher.search(FACTS["cats"][1], limit=1).hits[0].metadata == metadata
            if name != "encoded":
                assert searcher.count(year) == sum(len(one) == 4 for one in FACTS)
    with open_search(on(standin, tmp_path).model_copy(update={"collection": "ours"})) as searcher:
        searcher.adopt("theirs")
        assert searcher.search(FACTS["cats"][1], limit=1).hits[0].metadata == whole
        assert searcher.count(year) == sum(len(one) == 4 for one in FACTS)
        if standin.indexed:  # of the stand-in, which tells
            assert "metadata.data.year" in standin.indexed["ours.v1"]


@pytest.mark.parametrize(
    ("layout", "told"),
    [
        ({"title": "heda"}, r"`title` is heda, and no point has such a field \(did you mean head\?\)"),
        ({"document_id": "metadata.sourse"}, r"`document_id` is metadata\.sourse.*did you mean metadata\.source"),
        ({"metadata": "metadat"}, r"`metadata` is metadat.*did you mean metadata"),
        ({"metadata": "head"}, r"`metadata` is head, and no point has an object there"),
        ({"order": ["metadata.page", "metadata.pgae"]}, r"`order` is metadata\.pgae.*did you mean metadata\.page"),
        ({"text": "page_contents"}, r"`text` is page_contents.*did you mean page_content"),
        ({"filter": {"must": [{"key": "metadata.yaer", "match": {"value": 1}}]}}, r"`filter` under .* excludes all of its points"),
    ],
    ids=str,
)
@everywhere
def test_settings_that_name_no_field_are_told(
    layout: dict[str, Any],
    told: str,
    client: QdrantClient,
    standin: QdrantStandIn,
    bundled_embedder: FastEmbedEmbedder,
    tmp_path: Path,
) -> None:
    def payload(name: str, text: str) -> Payload:
        return {"page_content": text, "head": name, "metadata": {"source": name, "page": 1, "year": 2000}}

    fill(client, bundled_embedder, payload)
    with (
        open_search(on(standin, tmp_path, collections={"theirs": layout})) as searcher,
        pytest.raises(IndexMismatch, match=told),
    ):
        searcher.search("cats")
    variables = {"SEARCH_COLLECTIONS": json.dumps({"theirs": layout})}
    environment: dict[str, Any] = {**standin.environment, **variables}
    doctor = search("doctor", "--collection", "theirs", "--data-dir", tmp_path, status=1, **environment)
    assert "PROBLEM" in doctor.stdout


@everywhere
def test_a_field_that_hardly_any_point_has_may_be_named(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    many(client, bundled_embedder, lambda n, text: {"text": text, "url": str(n), **({"rare": "Rare"} if n == 599 else {})})
    with open_search(on(standin, tmp_path, collections={"theirs": {"title": "rare"}})) as searcher:
        rare = {"must": [{"key": "document_id", "match": {"value": "599"}}]}
        found = searcher.search("owls", filter=rare)
        assert found.hits[0].title == "Rare"


@everywhere
def test_documents_may_be_named_by_any_whole_number_and_by_what_only_looks_like_one(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    names: dict[str, int | str] = dict(zip(FACTS, (-1, -(2**63), "007", 7, "-0", 0, 2**63 - 1, "9" * 40, "a", "-"), strict=True))
    fill(client, bundled_embedder, lambda name, text: {"text": text, "url": names[name]})
    with open_search(on(standin, tmp_path)) as searcher:
        for key, name in names.items():
            assert searcher.get(str(name)).text == FACTS[key][0]
            assert searcher.count({"must": [{"key": "document_id", "match": {"value": str(name)}}]}) == 1


@everywhere
def test_a_kind_of_source_names_no_document_where_an_address_does(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    fill(client, bundled_embedder, lambda name, text: {"text": text, "source": f"kind{len(name) % 2}", "url": f"https://x/{name}"})
    fill(
        client,
        bundled_embedder,
        lambda name, text: {"text": text, "source": f"{len(name) % 2}.pdf", "url": f"https://x/{name}"},
        name="files",
    )
    with open_search(on(standin, tmp_path)) as searcher:
        assert len(searcher.search("cats", limit=10, group_by="document").hits) == 10
        assert searcher.get("https://x/cats").text == FACTS["cats"][0]
        assert len(searcher.beside("files").search("cats", limit=10, group_by="document").hits) == 2


@everywhere
def test_of_several_vectors_the_one_that_can_be_searched_is(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    params = models.VectorParams(size=384, distance=models.Distance.COSINE)
    many_each = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    tokens, far = (
        params.model_copy(update={"multivector_config": many_each}),
        params.model_copy(update={"distance": models.Distance.EUCLID}),
    )
    client.create_collection("theirs", {"tokens": tokens, "far": far, "dense": params})
    texts = [text for text, _ in FACTS.values()]
    vectors = bundled_embedder.embed_passages(texts).tolist()
    client.upsert(
        "theirs",
        [
            models.PointStruct(id=n, vector={"tokens": [v], "far": v, "dense": v}, payload={"text": t})
            for n, (t, v) in enumerate(zip(texts, vectors, strict=True))
        ],
    )
    with open_search(on(standin, tmp_path)) as searcher:
        assert searcher.search(FACTS["cats"][1], limit=1).hits[0].text == FACTS["cats"][0]


@everywhere
def test_remedies_are_those_that_help(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    fill(client, bundled_embedder)
    fill(client, bundled_embedder, distance=models.Distance.EUCLID, name="euclid")
    with open_search(on(standin, tmp_path)) as searcher:
        with pytest.raises(IndexMismatch, match=r"by cosine similarity; .*filled anew") as told:
            searcher.beside("euclid").search("cats")
        assert "say where" not in str(told.value)
        with pytest.raises(ReindexRefused, match=r"searched as it is.*search adopt theirs --as NAME"):
            searcher.reindex()
        for write in (lambda: searcher.ingest([Document("a", "A cat.")]), lambda: searcher.delete(ids=["cats.md"])):
            with pytest.raises(CollectionForeign, match="search adopt theirs --as NAME"):
                write()


class Doubled:
    """An embedder of twice as many dimensions."""

    def __init__(self, embedder: FastEmbedEmbedder) -> None:
        self.dimension, self._embedder = 2 * embedder.dimension, embedder

    def embed_passages(self, texts: list[str]) -> Any:
        return np.tile(self._embedder.embed_passages(texts), 2) / np.sqrt(2)


@everywhere
def test_a_name_that_is_led_to_vectors_of_another_length_is_told_as_another_embedders(
    client: QdrantClient,
    standin: QdrantStandIn,
    bundled_embedder: FastEmbedEmbedder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And not in the server's words, which refuses the query before anything is compared."""
    monkeypatch.setattr("search.index.server.index._FOLLOWED_EVERY_S", 0.0)
    fill(client, bundled_embedder, name="one")
    fill(client, Doubled(bundled_embedder), name="wide")
    lead(client, "theirs", "one")
    with open_search(on(standin, tmp_path)) as searcher:
        assert searcher.search(FACTS["cats"][1]).hits[0].document_id == "cats.md"
        lead(client, "theirs", "wide")
        for _ in range(2):
            with pytest.raises(IndexMismatch, match="its vectors have 768 dimensions"):
                searcher.search(FACTS["cats"][1])
        lead(client, "theirs", "one")
        assert searcher.search(FACTS["cats"][1]).hits[0].document_id == "cats.md"


def test_searches_at_once_all_follow_a_name_whose_collection_is_dropped(
    client: QdrantClient,
    standin: QdrantStandIn,
    bundled_embedder: FastEmbedEmbedder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("search.index.server.index._FOLLOWED_EVERY_S", 1_000.0)
    fill(client, bundled_embedder, name="one")
    fill(client, bundled_embedder, name="two")
    lead(client, "theirs", "one")
    together, followed, answer = threading.Barrier(4), threading.Event(), standin.answer

    def answered(method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """One of them hears that it is gone, and has followed before the others do."""
        if path.startswith("/collections/one/points/query") and together.wait(30):
            followed.wait(30)
        if path.startswith("/collections/two/points/query"):
            followed.set()
        return answer(method, path, body)

    with open_search(on(standin, tmp_path)) as searcher, ThreadPoolExecutor(4) as threads:
        searcher.search("cats")
        lead(client, "theirs", "two")
        client.delete_collection("one")
        standin.answer = answered  # type: ignore[method-assign]
        found = threads.map(lambda _: searcher.search(FACTS["cats"][1], rerank=False).hits[0].document_id, range(4))
        assert list(found) == ["cats.md"] * 4


def test_a_budget_holds_for_the_proof_of_what_a_name_is_led_to(
    client: QdrantClient,
    standin: QdrantStandIn,
    bundled_embedder: FastEmbedEmbedder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(client, bundled_embedder, name="one")
    fill(client, bundled_embedder, lambda _, text: {"text": text}, name="two")
    lead(client, "theirs", "one")
    answer, proofs = standin.answer, threading.Event()

    def answered(method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path.endswith("/scroll") and body["limit"] > 64:  # a page that the proof reads
            proofs.wait(5)
        return answer(method, path, body)

    with open_search(on(standin, tmp_path)) as searcher:
        searcher.search(FACTS["cats"][1])
        monkeypatch.setattr("search.index.server.index._FOLLOWED_EVERY_S", 0.0)
        lead(client, "theirs", "two")
        standin.answer = answered  # type: ignore[method-assign]
        with pytest.raises(IndexTimeout, match="a budget left it"):
            searcher.search(FACTS["cats"][1], budget_ms=200)
        proofs.set()
        assert searcher.search(FACTS["cats"][1], budget_ms=5_000).hits[0].text == FACTS["cats"][0]


def test_which_points_have_no_name_is_asked_once_a_search_and_within_its_budget(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    fill(client, bundled_embedder, lambda name, text: {"text": text, "url": "" if name == "cats" else name})
    answer, looked, asked = standin.answer, threading.Event(), []

    def answered(method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path.endswith("/points") and "ids" in body:
            asked.append(body["ids"])
            looked.wait(5)
        return answer(method, path, body)

    with open_search(on(standin, tmp_path, collections={"theirs": {"document_id": "url"}})) as searcher:
        name = searcher.search(FACTS["cats"][1]).hits[0].document_id
        of_one = {"must": [{"key": "document_id", "match": {"value": name}}]}
        standin.answer = answered  # type: ignore[method-assign]
        with pytest.raises(IndexTimeout, match="a budget left it"):
            searcher.search(FACTS["cats"][1], filter=of_one, budget_ms=200)
        looked.set()
        asked.clear()
        assert [hit.document_id for hit in searcher.search(FACTS["cats"][1], filter=of_one, budget_ms=5_000).hits] == [name]
        assert asked == [[name]]


def test_a_collection_that_gives_few_points_at_a_time_is_not_taken_for_another_one(
    client: QdrantClient,
    standin: QdrantStandIn,
    bundled_embedder: FastEmbedEmbedder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("search.index.server.index._FOLLOWED_EVERY_S", 0.0)
    standin.strict = {"max_query_limit": 5}
    many(client, bundled_embedder, lambda n, text: {"text": text, "url": str(n)}, 100)
    with open_search(on(standin, tmp_path)) as searcher:
        searcher.search("owls", limit=2, depth=2, rerank=False)
        before = len(standin.requests)
        searcher.search("owls", limit=2, depth=2, rerank=False)
        assert "GET /collections/theirs" not in standin.requests[before:]


def test_the_layout_is_the_same_in_whatever_order_fields_come() -> None:
    """Over gRPC a server gives them in another order each time."""

    def points(shuffled: Callable[[list[str]], None]) -> list[Payload]:
        made = []
        for number in range(20):
            inner: dict[str, Payload] = {f"part{n}": {"text": f"Words of part {n}, number {number}."} for n in range(9)}
            names = list(inner)
            shuffled(names)
            made.append({"link": f"https://x/{number}", **{name: inner[name] for name in names}})
        return made

    told = {find_layout(points(random.Random(n).shuffle), LayoutSettings(), "") for n in range(5)}  # noqa: S311  # no secret
    assert len(told) == 1, told
    lengths: list[Payload] = [{"answer": {"text": "a" * 30}, "question": {"text": "q" * 40}}]
    assert find_layout(lengths, LayoutSettings(), "").text == "question.text"


def test_of_hundreds_of_fields_the_one_with_text_has_to_be_named() -> None:
    wide = {**{f"field{n}": n for n in range(600)}, "text": "Some text."}
    with pytest.raises(IndexMismatch, match="no field of its points holds text"):
        find_layout([wide], LayoutSettings(), "")
    assert find_layout([wide], LayoutSettings(text="text"), "").text == "text"


def test_an_id_beside_the_metadata_is_none() -> None:
    """Haystack's of its own, say."""
    payloads: list[Payload] = [{"id": f"i{n}", "text": "x", "lang": "en", "meta": {"url": f"u{n}"}} for n in range(3)]
    assert find_layout(payloads, LayoutSettings(), "").beside == ("lang",)


def test_what_a_copy_noted_beside_the_metadata_holds_as_long_as_there_is_metadata() -> None:
    noted = Layout("text", metadata="meta", beside=("lang",)).noted
    with_metadata, without = ({"text": "x", "meta": {"n": 1}}, {"text": "x", "n": 1})
    assert find_layout([with_metadata], LayoutSettings(), "", noted).beside == ("lang",)
    assert find_layout([without], LayoutSettings(), "", noted).beside == ()


def test_a_field_inside_of_json_is_not_known_to_be_missing() -> None:
    payloads = [{"text": "x", "data": '{"a": 1}', "other": {"a": 1}}]
    chosen = LayoutSettings(title="data.b", document_id="other.b")
    layout = find_layout(payloads, chosen, "")
    assert [one.setting for one in without_field(layout, chosen, payloads)] == ["document_id"]


def test_fields_are_told_where_filters_ask_for_them_in_a_copy() -> None:
    """As whoever copies a collection finds them in it."""
    payload = {"text": "x", "head": "H", "id": "a", "data": {"year": 1, "of": {"k": 2}}, "tenant": {"no": 3}, "_node_type": "x"}
    inside = Layout("text", title="head", document_id="id", metadata="data", beside=("tenant",))
    around = Layout("text", title="head", document_id="id")
    for layout, told in [
        (inside, {"head": "title", "data.year": "metadata.year", "data.of.k": "metadata.of.k", "tenant.no": "metadata.tenant.no"}),
        (around, {"head": "title", "data.year": "metadata.data.year", "tenant.no": "metadata.tenant.no"}),
    ]:
        ours = layout.passage("1", payload)
        for theirs, path in told.items():
            assert layout.in_ours(theirs) == path
            assert reached(ours, path) == reached(payload, theirs)
            asked = layout.filter_of({"must": [{"key": path, "match": {"value": 1}}]})
            assert asked == {"must": [{"key": theirs, "match": {"value": 1}}]}
        assert [layout.in_ours(path) for path in ("text", "id", "_node_type")] == [None] * 3


def reached(payload: Any, path: str) -> Any:
    for step in path.split("."):
        payload = payload[step]
    return payload


def test_a_title_that_most_points_have_comes_before_the_name_of_a_file_that_all_have() -> None:
    def layout(titled: int, placed: int = 20) -> Layout:
        inner: list[Payload] = [
            {"file_name": f"{n}.pdf", "chunk_index": n, **({"title": f"T{n}"} if n < titled else {})} for n in range(20)
        ]
        for one in inner[:placed]:
            one["start_index"] = 0
        return find_layout([{"text": "Some text.", "metadata": one} for one in inner], LayoutSettings(document_id=""), "")

    assert (layout(15).title, layout(5).title) == ("metadata.title", "metadata.file_name")
    assert (layout(0).order, layout(0, 3).order) == (("metadata.start_index",), ("metadata.chunk_index",))


def test_a_field_that_is_looked_for_too_long_is_taken_as_the_settings_have_it(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    """Without an index a server reads all points for it, and a proxy may give up first."""
    many(client, bundled_embedder, lambda n, text: {"text": text, "url": str(n), **({"rare": "Rare"} if n == 599 else {})})
    answer, looked = standin.answer, threading.Event()

    def answered(method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if "is_empty" in json.dumps(body):
            looked.wait(30)
        return answer(method, path, body)

    standin.answer = answered  # type: ignore[method-assign]
    rare = {"must": [{"key": "document_id", "match": {"value": "599"}}]}
    for timeout_s in (60, 1):
        began = time.monotonic()
        settings = Settings(
            data_dir=tmp_path,
            index={**standin.index, "timeout_s": timeout_s},
            collection="theirs",
            collections={"theirs": {"title": "rare"}},
        )
        with open_search(settings) as searcher:
            searcher.opened()
            assert time.monotonic() - began < 20
            looked.set()
            assert searcher.search("owls", filter=rare).hits[0].title == "Rare"
            looked.clear()
    looked.set()


def test_a_filter_of_the_settings_that_no_index_answers_is_for_the_other_program_to_index(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    fill(client, bundled_embedder)
    standin.strict = {"unindexed_filtering_retrieve": False}
    counted = {"must": [{"key": "metadata.source", "match": {"value": "cats.md"}}]}
    with (
        open_search(on(standin, tmp_path, collections={"theirs": {"filter": counted}})) as searcher,
        pytest.raises(
            UnsupportedFilter, match=r"metadata\.source is not indexed: .* another program's, which would have to index it"
        ),
    ):
        searcher.search("cats")


def test_what_was_found_of_a_collection_is_not_looked_for_at_each_call(
    client: QdrantClient,
    standin: QdrantStandIn,
    bundled_embedder: FastEmbedEmbedder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """But every five seconds, since fields may be added to it."""
    monkeypatch.setattr("search.index.server.described._FOUND_FOR_S", 1_000.0)
    monkeypatch.setattr("search.index.server.index._FOLLOWED_EVERY_S", 1_000.0)
    many(client, bundled_embedder, lambda n, text: {"text": text, "url": str(n)})
    with open_search(on(standin, tmp_path)) as searcher:
        assert searcher.get("5").title == ""
        before = len(standin.requests)
        assert searcher.count() == 600
        assert not [one for one in standin.requests[before:] if one.endswith("/scroll")]
        titled = models.PointStruct(id=5, vector=[1.0, *[0.0] * 383], payload={"text": "Titled.", "url": "5", "title": "T"})
        client.upsert("theirs", [titled])
        monkeypatch.setattr("search.index.server.described._FOUND_FOR_S", 0.0)
        monkeypatch.setattr("search.index.server.index._FOLLOWED_EVERY_S", 0.0)
        assert searcher.get("5").title == "T"


def test_a_collection_that_is_made_anew_with_a_vector_of_another_name_is_found_again(
    client: QdrantClient,
    standin: QdrantStandIn,
    bundled_embedder: FastEmbedEmbedder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server refuses to give a vector that is not there, in the words of Qdrant 1.19."""
    monkeypatch.setattr("search.index.server.index._FOLLOWED_EVERY_S", 0.0)
    answer = standin.answer

    def answered(method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if body.get("with_vector") == ["old"]:
            return 400, "Wrong input: Not existing vector name error: old"
        return answer(method, path, body)

    fill(client, bundled_embedder, vector="old")
    with open_search(on(standin, tmp_path)) as searcher:
        assert searcher.search(FACTS["cats"][1]).hits[0].document_id == "cats.md"
        client.delete_collection("theirs")
        fill(client, bundled_embedder, lambda name, text: {"text": text, "url": name}, vector="new")
        standin.answer = answered  # type: ignore[method-assign]
        assert searcher.search(FACTS["cats"][1]).hits[0].document_id == "cats"


def test_a_note_that_is_no_note_is_none() -> None:
    for note in ("", "text", "{}", "7", "[" * 200_000):
        assert noted_of(note) == []
