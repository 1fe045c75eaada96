"""A saved answer, replayed: under the same configuration nothing moves, under another what moves is told."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from planted import Planted

from search.documents import Document, SearchResult
from search.embedding.dense import FastEmbedEmbedder
from search.errors import InvalidQuery
from search.index.edge.index import EdgeIndex
from search.ingestion.chunking import Chunker
from search.ingestion.run import Ingestion
from search.query.options import SearchOptions
from search.query.replay import replay, save
from search.query.service import SearchService
from search.reranking.cross_encoder import CrossEncoder
from search.reranking.recipe import Recipe

WORDS = ["cats", "dogs", "bread", "ships", "rivers", "chess", "tea", "violins", "glass", "snow", "wool", "yeast"]


@pytest.fixture(scope="module")
def result(
    tmp_path_factory: pytest.TempPathFactory, bundled_embedder: FastEmbedEmbedder, bundled_reranker: CrossEncoder
) -> SearchResult:
    index = EdgeIndex(tmp_path_factory.mktemp("data"), "documents")
    documents = [Document(id=word, text=f"All about {word}.", metadata={"letters": [*word]}) for word in WORDS]
    Ingestion(bundled_embedder, index, Chunker(bundled_embedder.tokenizer, 40, 0), max_characters=1000).run(documents)
    found = SearchService(bundled_embedder, index, lambda: bundled_reranker).search(
        "a cup of tea", SearchOptions(limit=12, depth=12)
    )
    index.close()
    return found


@pytest.fixture
def trace(result: SearchResult, tmp_path: Path) -> Path:
    save(result, tmp_path / "trace.json")
    return tmp_path / "trace.json"


def test_under_the_same_configuration_nothing_moves(trace: Path, result: SearchResult, bundled_reranker: CrossEncoder) -> None:
    found = replay(trace, bundled_reranker, None, result.embedder)
    assert [(move.hit.rank, move.hit.chunk_id) for move in found.moves] == [(hit.rank, hit.chunk_id) for hit in result.hits]
    assert all(move.rank == move.hit.rank for move in found.moves)
    for move, hit in zip(found.moves, result.hits, strict=True):
        assert move.hit.rerank_score == pytest.approx(hit.rerank_score, abs=1e-4)
        assert move.hit.metadata == hit.metadata
    assert (found.overlap, found.notes, found.now.status) == (1.0, [], "full")
    assert found.before["timings_ms"] == result.timings_ms


def test_another_configuration_shows_what_moves(trace: Path, result: SearchResult) -> None:
    backwards = Planted([float(i) for i in range(12)], Recipe(scale=2.0))
    found = replay(trace, backwards, None, "another")
    retrieved = sorted(result.hits, key=lambda hit: hit.retrieval_rank)
    assert [move.hit.document_id for move in found.moves] == [hit.document_id for hit in reversed(retrieved)]
    assert [move.rank for move in found.moves] == [hit.rank for hit in reversed(retrieved)]
    assert found.overlap == 0.8  # of twelve, the two that were last stand among the first ten now, and so do eight others
    assert found.notes == [f"the candidates were retrieved by {result.embedder}, not by another; only the order is another"]
    told = json.loads(json.dumps(found.to_dict()))
    assert told["overlap@10"] == 0.8
    assert told["before"]["reranker"] == "minilm-reranker"
    assert told["now"].pop("timings_ms")["rerank"] > 0
    assert told["now"] == {"reranker": "planted", "ranking": "reranker logit", "rerank_status": "full", "reason": ""}
    assert all(one["moved"] == one["before"]["rank"] - one["now"]["rank"] for one in told["candidates"])
    first = told["candidates"][0]
    assert first["retrieval_rank"] == 12
    assert first["now"] == {"rank": 1, "rerank_score": 11.0, "score": 11.0}
    assert first["before"]["rerank_score"] == retrieved[-1].rerank_score


def test_a_lesser_depth_leaves_the_rest_in_retrieval_order(trace: Path, result: SearchResult) -> None:
    found = replay(trace, Planted([0.0, 1.0, 2.0]), 3, result.embedder)
    assert [move.hit.retrieval_rank for move in found.moves] == [3, 2, 1, *range(4, 13)]
    assert [move.hit.rank for move in found.moves] == list(range(1, 13))
    assert {move.hit.rerank_score for move in found.moves[3:]} == {None}
    deeper = replay(trace, Planted([0.0] * 12), 50, result.embedder)
    assert deeper.notes == ["the trace has 12 candidates, fewer than the depth of 50; save it with more"]


def test_a_trace_that_an_editor_saved_again(trace: Path, result: SearchResult, tmp_path: Path) -> None:
    saved = tmp_path / "again.json"
    saved.write_bytes(b"\xef\xbb\xbf" + trace.read_bytes().replace(b"\n", b"\r\n"))
    assert replay(saved, Planted([0.0] * 12), None, result.embedder).query == result.query


def test_a_depth_of_nothing(trace: Path) -> None:
    for depth in (0, -1):
        with pytest.raises(InvalidQuery, match=f"depth is {depth}; rerank at least 1"):
            replay(trace, Planted([]), depth, "x")


def test_a_failing_reranker_leaves_retrieval_order(trace: Path, result: SearchResult) -> None:
    found = replay(trace, Planted([], error=RuntimeError("broken")), None, result.embedder)
    assert (found.now.status, found.now.reason) == ("failed", "the reranker planted failed: broken")
    assert [move.hit.retrieval_rank for move in found.moves] == list(range(1, 13))


def test_what_is_no_trace(trace: Path, tmp_path: Path, result: SearchResult) -> None:
    whole: dict[str, Any] = json.loads(trace.read_text())
    file = tmp_path / "broken.json"
    hit, timings = whole["hits"][0], whole["timings_ms"]
    wrong: dict[str, dict[str, Any]] = {
        "hits.0.text: Input should be a valid string": {"hits": [{**hit, "text": None}]},
        "hits.0.retrieval_rank: Input should be a valid integer": {"hits": [{**hit, "retrieval_rank": None}]},
        "hits.0.headings.0: Input should be a valid string": {"hits": [{**hit, "headings": [1]}]},
        "hits.0.rank: Field required": {"hits": [{name: value for name, value in hit.items() if name != "rank"}]},
        "hits: Input should be a valid array": {"hits": {}},
        "query: Input should be a valid string": {"query": 1},
        "timings_ms.rerank: Field required": {"timings_ms": {"embed": 1.0}},
        "timings_ms.rerank: Input should be a valid number": {"timings_ms": {**timings, "rerank": "1"}},
    }
    unranked = json.dumps({name: value for name, value in whole.items() if name != "ranking"})
    faults = {json.dumps(whole | change): message for message, change in wrong.items()} | {unranked: "ranking: Field required"}
    faults |= dict.fromkeys(("", "[]", "3", "{}", "[" * 200_000, '{"version": 1, "hits": ' + "[" * 500), "")
    for broken, message in faults.items():
        file.write_text(broken)
        says = rf"broken\.json is no trace that search explain --save wrote: {message or '.'}"
        with pytest.raises(InvalidQuery, match=says) as error:
            replay(file, Planted([]), None, "x")
        assert len(str(error.value)) < 300
        assert "\n" not in str(error.value)
    file.write_text(json.dumps({**whole, "hits": [*whole["hits"], hit]}))
    assert replay(file, Planted([0.0] * 13), None, "x").overlap <= 1
    file.write_text(json.dumps({**whole, "version": 2}))
    with pytest.raises(InvalidQuery, match="is a trace of version 2, and this program reads version 1"):
        replay(file, Planted([]), None, "x")
    with pytest.raises(InvalidQuery, match="is no trace"):
        replay(tmp_path / "nowhere", Planted([]), None, "x")
    with pytest.raises(InvalidQuery, match="the trace cannot be written to"):
        save(replace(result, query="x"), tmp_path / "no" / "where")
