"""Metadata changes without embedding again, and passages that stay as they were keep their vectors."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import as_json, search, wrong
from held import contents
from standin import QdrantStandIn
from standin_grpc import GrpcStandIn
from upstream import SERVERS, Serve

from search.documents import Document
from search.embedding.dense import FastEmbedEmbedder
from search.errors import CollectionNotFound, IndexFull, InvalidQuery
from search.index.contract import VectorIndex
from search.ingestion.changes import merged
from search.ingestion.chunking import Chunker
from search.ingestion.report import IngestReport
from search.ingestion.run import Ingestion
from search.searcher import open_search
from search.settings import Settings


@pytest.fixture(params=["edge", *SERVERS])
def index(request: pytest.FixtureRequest, serve: Serve) -> dict[str, Any]:
    """Settings of an index that is empty."""
    return {"engine": "edge"} if request.param == "edge" else serve(request.param).index


class Counting:
    """An embedder that remembers what it was given."""

    def __init__(self, embedder: FastEmbedEmbedder) -> None:
        self._embedder = embedder
        self.texts: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    def embed_passages(self, texts: Sequence[str]) -> Any:
        self.texts += texts
        return self._embedder.embed_passages(texts)


def ingest(index: VectorIndex, embedder: Any, documents: Sequence[Document]) -> IngestReport:
    return Ingestion(embedder, index, Chunker(embedder.tokenizer, 32, 0), max_characters=10_000).run(documents)


def vectors(index: VectorIndex) -> dict[str, Any]:
    return {record.payload["text"]: record.vector for record in index.scroll(vectors=True)}


def test_of_a_changed_document_only_new_passages_are_embedded(local_index: VectorIndex, quick_embedder: FastEmbedEmbedder) -> None:
    sentences = [f"Sentence {number} speaks of {number} cats and of a great many other things." for number in range(20)]
    ingest(local_index, quick_embedder, [Document(id="a", text="\n\n".join(sentences)), Document(id="b", text=sentences[0])])
    before = vectors(local_index)
    counting = Counting(quick_embedder)
    sentences[11] = "Another sentence that speaks of dogs and of not so very much else, to be sure."
    report = ingest(local_index, counting, [Document(id="a", text="\n\n".join(sentences))])
    after = vectors(local_index)
    new = sorted(after.keys() - before.keys())
    assert 0 < len(new) < 4
    assert sorted(counting.texts) == new
    assert (report.changed, report.chunks, report.reused) == (1, len(contents(local_index)["a"]), report.chunks - len(new))
    assert report.tokens == sum(tally.tokens for tally in quick_embedder.tokenizer.tally(new))
    for text in after.keys() & before.keys():
        np.testing.assert_allclose(after[text], before[text], atol=1e-6)
    clean = quick_embedder.embed_passages(list(after))
    np.testing.assert_allclose(np.array(list(after.values())), clean, atol=1e-5)


def test_a_new_title_is_embedded_since_passages_carry_it(local_index: VectorIndex, quick_embedder: FastEmbedEmbedder) -> None:
    ingest(local_index, quick_embedder, [Document(id="a", text="Cats sleep.", title="Pets")])
    report = ingest(local_index, quick_embedder, [Document(id="a", text="Cats sleep.", title="Animals")])
    assert (report.changed, report.chunks, report.reused) == (1, 1, 0)


@pytest.mark.parametrize(
    ("metadata", "patch", "expected"),
    [  # cases of RFC 7396, appendix A, that an object can be
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merging(metadata: dict[str, Any], patch: dict[str, Any], expected: dict[str, Any]) -> None:
    assert merged(metadata, patch) == expected


@pytest.fixture
def settings(index: dict[str, Any], tmp_path: Path, model_folder: Path) -> Settings:
    model = {"model": str(model_folder / "embedder-mean")}
    rest = {"reranker": {"kind": "none"}, "chunking": {"tokens": 30, "overlap": 0}}
    return Settings(data_dir=tmp_path / "data", embedder=model, index=index, **rest)


DOCUMENTS = [
    Document(id=f"{kind}{i}", text=f"A {kind}. " + "It lives here. " * 20, metadata={"kind": kind, "at": {"x": i}})
    for kind in ("cat", "dog")
    for i in range(3)
]
CATS = {"must": [{"key": "metadata.kind", "match": {"value": "cat"}}]}


def test_metadata_changes_and_nothing_is_embedded(settings: Settings) -> None:
    with open_search(settings) as searcher:
        searcher.ingest(DOCUMENTS)
        changes: list[tuple[str, str]] = []
        dry = searcher.update({"kind": "lion"}, filter=CATS, dry_run=True, on_change=lambda *change: changes.append(change))
        assert (dry.changed, sorted(one for _, one in changes)) == (3, ["cat0", "cat1", "cat2"])
        patch = {"kind": None, "at": {"y": 1}}
        with pytest.raises(InvalidQuery, match="not by both"):
            searcher.update(patch, ids=["dog1"], filter=CATS)
        by_ids = searcher.update(patch, ids=["dog1", "nobody"])
        assert (by_ids.changed, by_ids.added, by_ids.tokens, by_ids.rejected) == (1, 0, 0, 1)
        assert str(by_ids.rejections[0]) == "documents (nobody): there is no document of this id"
        report = searcher.update(patch, filter=CATS)
        assert (report.changed, report.added, report.tokens, report.rejected) == (3, 0, 0, 0)
        assert report.reused == report.chunks > 3
        assert searcher.index.count(CATS) == 0
        held = {hit.document_id: hit.metadata for hit in searcher.search("What?", limit=100).hits}
        assert held["cat2"] == {"at": {"x": 2, "y": 1}}
        assert held["dog1"] == {"at": {"x": 1, "y": 1}}
        assert held["dog2"] == {"kind": "dog", "at": {"x": 2}}
        assert searcher.update({"at": {"y": 1}}, ids=["dog1"]).unchanged == 1
        from_source = searcher.ingest(DOCUMENTS)  # which has not heard of it
        assert (from_source.changed, from_source.unchanged, from_source.tokens) == (4, 2, 0)


UNFIT = [
    ({"a": float("nan")}, "^metadata.a is nan, which JSON cannot hold"),
    ({"a": {"b": [np.int64(1)]}}, r"^metadata.a.b\[0\] is a int64; use strings, numbers"),
    ({"a": {1, 2}}, "^metadata.a is a set"),
    ({1: 2}, "^metadata has the key '1'; keys must be strings"),
    ({"a": 2**70}, "^metadata.a is beyond 64 bits; write it as a string"),
    ({"a": "\ud800"}, "^metadata.a holds half of a surrogate pair"),
]


def test_updates_that_cannot_be(settings: Settings) -> None:
    with open_search(settings) as searcher:
        with pytest.raises(CollectionNotFound, match="there is no collection 'documents'"):
            searcher.update({"a": 1}, ids=["a"])
        assert not searcher.collections.names()
        searcher.ingest(DOCUMENTS)
        nothings: list[Any] = [{}, ["a"]]
        for nothing in nothings:
            with pytest.raises(InvalidQuery, match="an object with at least one field"):
                searcher.update(nothing, ids=["cat0"])
        with pytest.raises(InvalidQuery, match="name the documents that are meant"):
            searcher.update({"a": 1})
        unfit: Any
        for unfit, message in UNFIT:
            with pytest.raises(InvalidQuery, match=message):
                searcher.update(unfit, ids=["cat0", "cat1"])
        assert searcher.update({"a": "b" * 20_000}, ids=["cat0"]).rejected == 1
        assert searcher.ingest(DOCUMENTS).unchanged == len(DOCUMENTS)


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
@pytest.mark.parametrize(
    "refusal",
    [
        (507, "Disk usage is at 96% of total capacity, exceeding the configured limit"),
        (400, "Max points count limit of 2 reached!"),
    ],
)
def test_where_there_is_no_room_documents_are_deleted_all_the_same(
    refusal: tuple[int, str], protocol: str, standin: QdrantStandIn, standin_grpc: GrpcStandIn, model_folder: Path, tmp_path: Path
) -> None:
    index = {**standin.index, "protocol": protocol, "grpc_port": standin_grpc.port}
    embedder = {"model": str(model_folder / "embedder-mean")}
    with open_search(Settings(index=index, embedder=embedder, data_dir=tmp_path)) as searcher:
        searcher.ingest([Document(id="a", text="One."), Document(id="b", text="Two.")])
        standin.refusals = {"PUT */points": refusal}
        with pytest.raises(IndexFull):
            searcher.ingest([Document(id="c", text="Three.")])
        assert searcher.delete(ids=["a"]) == 1
        assert searcher.count() == 1


def test_from_the_command_line(index: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH_INDEX", json.dumps(index))
    where = ("--data-dir", tmp_path / "data")
    (tmp_path / "pets.jsonl").write_text('{"id": "a", "text": "Cats."}\n{"id": "b", "text": "Dogs.", "metadata": {"old": 1}}\n')
    search("ingest", tmp_path / "pets.jsonl", *where)
    patch = '{"status": "archived", "old": null}'
    old = '{"must": [{"key": "metadata.old", "match": {"value": 1}}]}'
    assert search("update", patch, "--filter", old, "--dry-run", *where).stdout == (
        "~ b\nwould be: 1 changed, 0 were so already, 0 rejected\n"
    )
    nothing = '{"must_not": [{"key": "metadata.team"}]}'
    for command in (("delete",), ("update", patch), ("query", "cats")):
        assert "must_not[0]: a key alone tests nothing" in wrong(*command, "--filter", nothing, *where)
    assert search("update", patch, "b", "a", *where).stdout == "2 changed, 0 were so already, 0 rejected\n"
    unknown = search("update", patch, "nobody", "c", "nobody", "--dry-run", *where, status=1)
    assert unknown.stdout == "would be: 0 changed, 0 were so already, 2 rejected\n"
    assert "rejected documents (nobody): there is no document of this id\n" in unknown.stderr
    again = as_json("update", patch, "a", *where)
    assert (again["unchanged"], again["document_ids"]) == (1, [])
    hits = as_json("query", "What barks?", *where)["hits"]
    assert {hit["document_id"]: hit["metadata"] for hit in hits} == {"a": {"status": "archived"}, "b": {"status": "archived"}}
    assert re.search("METADATA is not JSON .*write an object", wrong("update", "{", "a", *where))
    assert "metadata.x is beyond 64 bits" in wrong("update", f'{{"x": {2**70}}}', "a", *where)
    long = search("update", f'{{"x": "{"y" * 20_000}"}}', "a", *where, status=1)
    assert "every passage carries them" in long.stderr
