"""Passages are found by the words of a sparse model, the same by every engine; a collection keeps the model it was made with."""

import math
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import numpy as np
import pytest
from commands import as_json, error, search
from conftest import OpenIndex
from judged import write
from numpy.typing import NDArray
from serving import serving
from tiny import HUB_SPLADE, into_hub_cache, tiny_splade
from upstream import SERVERS, Serve

from search import Settings, open_search
from search.documents import Document, SparseVector
from search.embedding.dense import FastEmbedEmbedder
from search.embedding.sparse_models import FastEmbedSparseModel, SparseEmbedders
from search.errors import IndexMismatch, InferenceFailed, ModelUnavailable
from search.factory import build_words
from search.index.contract import CollectionSpec, Point, Query
from search.index.points import searchable_text
from search.ingestion.embedding import with_words
from search.searcher import Searcher

pytestmark = pytest.mark.one_shard

TEXTS = ["Cats sleep most of the day.", "The pump XJ-9000-C", "Dogs bark.", "", "A law on the sale of goods", "pump " * 200]
DOCUMENTS = [Document(id=f"d{i}", text=f"{TEXTS[i % 3]} It is number {i} of many.") for i in range(12)]


@pytest.fixture(scope="module")
def splade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_splade(tmp_path_factory.mktemp("splade") / "mine")


@pytest.fixture
def given(tmp_path: Path, model_folder: Path, splade: Path) -> dict[str, Any]:
    """Settings for words of the model, and an embedder that is quick."""
    return {
        "data_dir": tmp_path / "data",
        "model_cache": tmp_path / "models",
        "device": "cpu",
        "embedder": {"model": str(model_folder / "embedder-mean")},
        "reranker": {"kind": "none"},
        "lexical": {"model": str(splade)},
    }


def words(folder: Path) -> SparseEmbedders:
    return build_words(Settings(model_cache=folder, device="cpu", lexical={"model": str(folder)}))


@lru_cache(maxsize=2)
def fastembeds_own(folder: Path, _made_ns: int) -> Any:
    from fastembed import SparseTextEmbedding

    return SparseTextEmbedding(HUB_SPLADE[0], specific_model_path=str(folder), providers=["CPUExecutionProvider"], cuda=False)


def by_fastembed(folder: Path, text: str) -> dict[int, float]:
    model = fastembeds_own(folder, (folder / "model.onnx").stat().st_mtime_ns)
    found: dict[int, float] = next(iter(model.query_embed(text))).as_dict()
    return found


def unit(seed: int) -> NDArray[np.float32]:
    values = np.random.default_rng(seed).normal(size=8)
    vector: NDArray[np.float32] = (values / np.linalg.norm(values)).astype(np.float32)
    return vector


def points() -> list[Point]:
    payloads = [{"document_id": "-", "title": "", "text": f"{text} {i}", "metadata": {}} for i, text in enumerate(TEXTS * 4)]
    return [Point(str(uuid.uuid5(uuid.NAMESPACE_OID, str(i))), unit(i), payload) for i, payload in enumerate(payloads)]


def dot(one: dict[int, float], other: dict[int, float]) -> float:
    return sum(value * other.get(index, 0.0) for index, value in one.items())


def z(scores: dict[str, float]) -> dict[str, float]:
    values = np.array(list(scores.values()))
    return dict(zip(scores, (values - values.mean()) / values.std(), strict=True))


def test_every_engine_scores_by_the_dot_product(open_index: OpenIndex, splade: Path) -> None:
    made = words(splade)
    spec = CollectionSpec(8, "model@1", made.description)
    index = open_index("documents")
    index.ensure(spec, create=True)
    index.upsert(with_words(points(), index.spec.lexical, made))
    assert index.spec == spec
    right = {point.id: by_fastembed(splade, searchable_text(point.payload)) for point in points()}
    for record in index.scroll(vectors=True):
        assert record.lexical
        assert dict(zip(*record.lexical, strict=True)) == pytest.approx(right[record.id], abs=1e-5)
    asked, vector = by_fastembed(splade, "do cats sleep?"), unit(99)
    query = SparseVector(list(asked), list(asked.values()))
    scores = {one: dot(asked, stored) for one, stored in right.items()}
    alone = index.query(Query(vector, query, "lexical"), 10)
    assert [match.lexical for match in alone] == pytest.approx(sorted(scores.values(), reverse=True)[:10], rel=1e-5)
    cosines = {point.id: float(point.vector @ vector) for point in points()}
    both = index.query(Query(vector, query, "hybrid", share=0.5, listed=len(right)), 10)
    for match in both:
        assert match.lexical == pytest.approx(scores[match.id], rel=1e-5)
        assert match.score == pytest.approx(cosines[match.id], abs=1e-5)
    mixed = {one: z(scores)[one] + z(cosines)[one] for one in right}
    assert [match.id for match in both] == sorted(mixed, key=lambda one: -mixed[one])[:10]


@pytest.mark.parametrize("idf", [True, False])
def test_words_count_by_how_many_have_them_where_the_model_wants_it(open_index: OpenIndex, idf: bool) -> None:  # noqa: FBT001
    index = open_index("documents")
    index.ensure(CollectionSpec(8, "model@1", f'{{"model": "some", "fingerprint": "1", "idf": {str(idf).lower()}}}'), create=True)
    vectors = [SparseVector([1], [0.5]), SparseVector([1, 2], [1.5, 0.25]), SparseVector([3], [1.0])]
    index.upsert([one._replace(lexical=vector) for one, vector in zip(points(), vectors, strict=False)])
    weights = [math.log((3 - n + 0.5) / (n + 0.5) + 1) if idf else 1.0 for n in (2, 1)]
    found = index.query(Query(unit(99), SparseVector([1, 2], [1.0, 2.0]), "lexical"), 10)
    right = [1.5 * weights[0] + 2 * 0.25 * weights[1], 0.5 * weights[0]]
    assert [match.lexical for match in found] == pytest.approx(right, abs=1e-5)


@contextmanager
def counted() -> Iterator[list[str]]:
    """The passages that are embedded meanwhile."""
    embedded: list[str] = []
    embed = FastEmbedEmbedder.embed_passages

    def noting(self: FastEmbedEmbedder, texts: Any) -> Any:
        embedded.extend(texts)
        return embed(self, texts)

    with patch.object(FastEmbedEmbedder, "embed_passages", noting):
        yield embedded


def lexical_of(searcher: Searcher) -> str:
    return searcher.opened().spec.lexical


@pytest.mark.parametrize("engine", ["edge", "edge process", "memory", *SERVERS])
def test_a_collection_goes_over_to_a_model_and_back(engine: str, given: dict[str, Any], splade: Path, serve: Serve) -> None:
    index = {"edge": {}, "edge process": {"own_process": True}, "memory": {"engine": "memory"}}.get(engine)
    index = serve(engine).index if index is None else index
    by_model, by_bm25 = Settings(**given, index=index), Settings(**given | {"lexical": {}}, index=index)
    with open_search(by_bm25) as searcher:
        searcher.ingest(DOCUMENTS)
        with counted() as embedded:
            report = searcher.reindex(by_model)
            assert (report.switched, report.ingest.unchanged, report.ingest.tokens) == (True, 12, 0)
            assert report.check
            assert report.check.retrieval is None  # by words, too
            assert '"model": "mine"' in lexical_of(searcher)
            found = searcher.search("Dogs bark.", limit=12)
            assert (found.retrieval, found.retrieval_ranking) == ("hybrid", "0.3 z(words) + 0.7 z(cosine)")
            alone = searcher.search("Dogs bark.", retrieval="lexical", limit=12)
            asked = by_fastembed(splade, "Dogs bark.")
            scores = {hit.document_id: hit.lexical_score for hit in alone.hits}
            for document in DOCUMENTS:
                assert scores[document.id] == pytest.approx(dot(asked, by_fastembed(splade, f" {document.text} {document.id}")))
            assert searcher.ingest(DOCUMENTS).unchanged == 12
            report = searcher.reindex(by_bm25)
            assert (report.switched, report.ingest.unchanged, report.ingest.tokens) == (True, 12, 0)
            assert report.check
            assert report.check.retrieval is None  # for the model is still known
            assert '"model": "bm25"' in lexical_of(searcher)
            assert searcher.search("Dogs bark.", retrieval="lexical", limit=12).hits[0].document_id in {"d2", "d5", "d8", "d11"}
        assert embedded == []


def test_a_collection_is_searched_by_the_model_it_was_made_with(given: dict[str, Any], splade: Path, tmp_path: Path) -> None:
    with open_search(Settings(**given)) as searcher:
        searcher.ingest(DOCUMENTS)
        right = [(hit.document_id, hit.lexical_score) for hit in searcher.search("do cats sleep?").hits]
    with open_search(Settings(**given | {"lexical": {}})) as searcher, counted() as embedded:
        for ask in (lambda: searcher.search("cats"), lambda: searcher.ingest([Document(id="new", text="A new one.")])):
            with pytest.raises(IndexMismatch, match=r"made by the model mine@.*\(lexical.model is bm25\): set lexical.model to it"):
                ask()
        assert searcher.search("cats", retrieval="dense").retrieval == "dense"
        assert (searcher.count(), embedded) == (12, [])
    into_hub_cache(splade, tmp_path / "models", *HUB_SPLADE)
    by_name = Settings(**given | {"lexical": {"model": HUB_SPLADE[0]}})
    with open_search(by_name) as searcher:  # the same bytes, whatever they are called
        assert [(hit.document_id, hit.lexical_score) for hit in searcher.search("do cats sleep?").hits] == right


def test_words_of_a_model_whose_files_changed(given: dict[str, Any], tmp_path: Path) -> None:
    folder = tiny_splade(tmp_path / "splade")
    settings = Settings(**given | {"lexical": {"model": str(folder)}})
    with open_search(settings) as searcher:
        searcher.ingest(DOCUMENTS)
        before = lexical_of(searcher)
    shutil.rmtree(folder)
    tiny_splade(folder, seed=8)
    with open_search(settings) as searcher:
        with pytest.raises(IndexMismatch, match=r"splade@\w{16}, which is not here .* that is splade@\w{16} now.*search reindex"):
            searcher.search("cats")
        with counted() as embedded:
            report = searcher.reindex()
        assert (embedded, report.switched, report.ingest.unchanged) == ([], True, 12)
        assert report.check
        assert (report.check.retrieval, report.check.overlap) == ("dense", 1.0)
        assert lexical_of(searcher) != before
        hits = searcher.search("do cats sleep?", retrieval="lexical", limit=1).hits
        asked = by_fastembed(folder, "do cats sleep?")
        text = next(f" {document.text} {document.id}" for document in DOCUMENTS if document.id == hits[0].document_id)
        assert hits[0].lexical_score == pytest.approx(dot(asked, by_fastembed(folder, text)))


def test_words_go_along_where_nothing_else_changes(given: dict[str, Any]) -> None:
    with open_search(Settings(**given)) as searcher:
        searcher.ingest(DOCUMENTS)
        before = {record.id: record.lexical for record in searcher.opened().scroll(vectors=True)}
        with patch.object(FastEmbedSparseModel, "embed_passages", return_value=[]) as asked:
            assert searcher.reindex(Settings(**given, storage={"quantization": "scalar"})).switched
        assert all(call.args == ([],) for call in asked.call_args_list)
        after = {record.id: record.lexical for record in searcher.opened().scroll(vectors=True)}
        assert sorted(map(str, before.values())) == sorted(map(str, after.values()))


def test_what_a_passage_is_searched_by_is_the_same_text(given: dict[str, Any], splade: Path) -> None:
    given["lexical"] |= {"fields": ["metadata.isbn"]}
    document = Document(id="peps/0007", title="Gardens", text="A book.", metadata={"isbn": "978013"})
    with open_search(Settings(**given)) as searcher:
        searcher.ingest([document])
        (record,) = searcher.opened().scroll(vectors=True)
        assert record.lexical
        wanted = by_fastembed(splade, "Gardens A book. peps/0007 peps/7 978013")
        assert dict(zip(*record.lexical, strict=True)) == pytest.approx(wanted, abs=1e-5)
        searcher.update({"isbn": "111"}, ids=[document.id])
        (record,) = searcher.opened().scroll(vectors=True)
        assert record.lexical
        wanted = by_fastembed(splade, "Gardens A book. peps/0007 peps/7 111")
        assert dict(zip(*record.lexical, strict=True)) == pytest.approx(wanted, abs=1e-5)


def test_documents_that_the_model_fails_on_are_rejected(given: dict[str, Any], tmp_path: Path) -> None:
    folder = tiny_splade(tmp_path / "splade", fails_on="volcano")
    with open_search(Settings(**given | {"lexical": {"model": str(folder)}})) as searcher:
        with pytest.raises(InferenceFailed, match="not finite"):  # on all there are
            searcher.ingest([Document(id="one", text="A volcano."), Document(id="two", text="The volcano.")])
        report = searcher.ingest([*DOCUMENTS[:4], Document(id="bad", text="A volcano."), *DOCUMENTS[4:]])
        assert (report.added, report.rejected) == (12, 1)
        assert "weight that is not finite" in str(report.rejections[0])
        assert {record.payload["document_id"] for record in searcher.opened().scroll()} == {one.id for one in DOCUMENTS}
        with pytest.raises(InferenceFailed, match="not finite"):
            searcher.search("volcano")


def test_a_model_without_a_word_for_anything(given: dict[str, Any], tmp_path: Path) -> None:
    folder = tiny_splade(tmp_path / "splade", bias=-1e6)
    with open_search(Settings(**given | {"lexical": {"model": str(folder)}})) as searcher:
        searcher.ingest(DOCUMENTS)
        result = searcher.search("cats", limit=12)
        assert (result.retrieval, len(result.hits)) == ("hybrid", 12)
        assert any("no word that counts" in warning for warning in result.warnings)
        assert searcher.search("cats", retrieval="lexical").hits == ()


def test_a_model_that_is_not_here_stops_before_anything_is_embedded(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with (
        open_search(Settings(**given | {"lexical": {"model": HUB_SPLADE[0]}})) as searcher,
        counted() as embedded,
        pytest.raises(ModelUnavailable, match="HF_HUB_OFFLINE"),
    ):
        searcher.ingest(DOCUMENTS)
    assert embedded == []


def test_collections_beside_one_another_share_the_model(given: dict[str, Any]) -> None:
    with open_search(Settings(**given)) as searcher:
        other = searcher.beside("other")
        searcher.ingest(DOCUMENTS)
        other.ingest(DOCUMENTS)
        first = searcher.words
        assert other.words is first
        searcher.reindex(Settings(**given | {"lexical": given["lexical"] | {"fields": ["metadata.isbn"]}}))
        assert '"fields": ["metadata.isbn"]' in lexical_of(searcher)
        searcher.roll_back()
        assert searcher.search("cats").retrieval == other.search("cats").retrieval == "hybrid"
        assert len(searcher.words._models) == 1
        assert searcher.words is not first
        assert searcher.words._models is first._models


def test_a_service_searches_by_the_model(given: dict[str, Any]) -> None:
    with serving(Settings(**given), lambda searcher: searcher.ingest(DOCUMENTS)) as served:
        asked = {"query": "cats", "retrieval": "lexical", "limit": 1}
        answer = httpx.post(f"{served.url}/v1/search", json=asked).raise_for_status().json()
        assert (answer["retrieval"], len(answer["hits"])) == ("lexical", 1)
        info = httpx.get(f"{served.url}/v1/collections/documents").raise_for_status().json()
        assert '"model": "mine"' in str(info)


def test_an_evaluation_goes_by_the_model(splade: Path, tmp_path: Path) -> None:
    corpus = [{"_id": "cat", "text": "Cats sleep."}, {"_id": "part", "text": "XJ-9000-C"}, {"_id": "dog", "text": "Dogs bark."}]
    dataset = write(tmp_path / "parts", corpus, [{"_id": "q1", "text": "Dogs bark."}], "q1\tdog\t1\n")
    asked = ("evaluate", dataset, "--every-retrieval", "--no-rerank", "--data-dir", tmp_path / "data")
    told = as_json(*asked, SEARCH_LEXICAL__MODEL=str(splade))
    assert told["runs"]["lexical"]["nDCG@10"] > 0
    as_json(*asked)
    assert len(list((tmp_path / "data" / "evaluation" / "collections").iterdir())) == 2  # of one corpus, by other words


def test_the_command_line_tells_of_the_model(splade: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Cats sleep.")
    where = ("--data-dir", tmp_path / "data")
    model: dict[str, Any] = {"SEARCH_LEXICAL__MODEL": str(splade)}
    search("ingest", tmp_path / "a.txt", *where, **model)
    assert as_json("query", "cats", "--retrieval", "lexical", "--no-rerank", *where, "--json", **model)["hits"]
    told = {one["name"]: one["detail"] for one in as_json("doctor", *where, **model)["findings"]}
    assert told["words"].startswith("mine@")
    assert told["words"].endswith(", 64 tokens, on cpu")
    assert "made otherwise" not in told["collection"]
    assert "note: " not in search("query", "cats", *where, **model).stderr
    refused = as_json("doctor", *where, status=1)
    assert "set lexical.model to it" in next(one["detail"] for one in refused["findings"] if one["name"] == "collection")
    assert "search reindex" in error("query", "cats", *where)
    assert "lexical.model" in search("query", "cats", "--retrieval", "dense", *where).stderr
    assert "by vectors alone" in search("reindex", *where).stdout
    assert as_json("query", "cats", "--retrieval", "lexical", *where)["hits"]
    for unlike in (splade, "prithivida/Splade_PP_en_v1", tmp_path / "nowhere"):  # which is neither read nor downloaded for a note
        noted = search("query", "cats", *where, SEARCH_LEXICAL__MODEL=str(unlike)).stderr
        assert (
            noted
            == "note: the collection keeps how it was made, not lexical.model of the settings; `search reindex` brings it over\n"
        )
    listed = {row["name"]: row["kind"] for row in as_json("models", "--all")["models"]}
    assert listed[HUB_SPLADE[0]] == "sparse model"
    unknown = error("ingest", tmp_path / "a.txt", "--data-dir", tmp_path / "other", SEARCH_LEXICAL__MODEL="splade")
    assert "no sparse model is called 'splade'" in unknown
