"""A query from end to end, with real models and every local engine, and what goes wrong on the way."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pytest
from held import ingest
from planted import Planted

from search.documents import Document, Retrieval
from search.embedding.dense import FastEmbedEmbedder
from search.embedding.sparse import describe
from search.errors import CollectionNotFound, InvalidQuery, UnsupportedFilter
from search.index.contract import CollectionSpec, VectorIndex
from search.index.server.connection import in_memory
from search.index.server.index import QdrantIndex
from search.ingestion.chunking import Chunker
from search.ingestion.run import Ingestion
from search.query.options import SearchOptions
from search.query.service import SearchService
from search.reranking.cross_encoder import CrossEncoder
from search.reranking.recipe import Recipe
from search.settings import LexicalSettings

DOCUMENTS = [
    Document(id="paris", text="Paris is the capital and the largest city of France.", title="Paris", metadata={"year": 508}),
    Document(id="berlin", text="Berlin is the capital of Germany.", metadata={"year": 1237}),
    Document(id="cats", text="Cats are carnivores that sleep most of the day.", metadata={"animal": True}),
    Document(id="gzip", text="The gzip module compresses files.", metadata={"year": 1992}),
    Document(id="long", text="An essay on the French capital. " + "It says nothing new about the city. " * 23),
    Document(id="zh", text="如果你不知道,请告诉我们你的想法,我们会尽快回复你的问题"),
]


def filled(index: VectorIndex, embedder: FastEmbedEmbedder) -> VectorIndex:
    Ingestion(embedder, index, Chunker(embedder.tokenizer, 200, 0), max_characters=10_000).run(DOCUMENTS)
    return index


@pytest.fixture
def service(local_index: VectorIndex, bundled_embedder: FastEmbedEmbedder, bundled_reranker: CrossEncoder) -> SearchService:
    return SearchService(bundled_embedder, filled(local_index, bundled_embedder), lambda: bundled_reranker)


@pytest.fixture(scope="module")
def memory_index(bundled_embedder: FastEmbedEmbedder) -> Iterator[VectorIndex]:
    index = filled(QdrantIndex(in_memory(), "documents", ":memory:"), bundled_embedder)
    yield index
    index.close()


def test_the_answer_and_its_account(service: SearchService) -> None:
    result = service.search("What is the capital of France?", SearchOptions(limit=3, depth=5))
    assert result.hits[0].document_id == "paris"
    assert [hit.rank for hit in result.hits] == [1, 2, 3]
    assert result.hits[0].metadata == {"year": 508}
    assert result.hits[0].text == DOCUMENTS[0].text
    assert (result.rerank_status, result.reason) == ("full", "")
    assert result.ranking == "0.55 z(reranker) + 0.45 z(retrieval)"
    assert (result.embedder, result.reranker, result.device) == ("all-MiniLM-L6-v2", "minilm-reranker", "cpu")
    assert set(result.timings_ms) == {"embed", "retrieve", "rerank", "total"}
    assert result.timings_ms["total"] == pytest.approx(sum(result.timings_ms.values()) / 2, rel=1e-6)
    assert all(hit.rerank_score is not None for hit in result.hits)
    assert result.to_dict()["hits"][0]["truncated"] is False


def test_without_reranking(service: SearchService) -> None:
    result = service.search("capital", SearchOptions(limit=6, depth=6, rerank=False))
    assert (result.rerank_status, result.reason, result.reranker) == ("skipped", "reranking is switched off", None)
    assert [hit.retrieval_rank for hit in result.hits] == [1, 2, 3, 4, 5, 6]
    assert [hit.score for hit in result.hits] == sorted((hit.retrieval_score for hit in result.hits), reverse=True)


def test_the_best_passage_of_each_document(
    local_index: VectorIndex, bundled_embedder: FastEmbedEmbedder, bundled_reranker: CrossEncoder
) -> None:
    about = {"cats": "Cats sleep. Cats purr. Cats hunt.", "dogs": "Dogs bark. Dogs hunt.", "owls": "Owls hunt."}
    documents = [Document(id=name, text=text.replace(". ", ".\n\n")) for name, text in about.items()]
    Ingestion(bundled_embedder, local_index, Chunker(bundled_embedder.tokenizer, 5, 0), max_characters=1_000).run(documents)
    assert local_index.count() == 6
    service = SearchService(bundled_embedder, local_index, lambda: bundled_reranker)
    everything = service.search("Which animal hunts?", SearchOptions(limit=6, depth=6))
    best = service.search("Which animal hunts?", SearchOptions(limit=6, depth=6, group_by="document"))
    firsts = {hit.document_id: hit.text for hit in reversed(everything.hits)}
    assert {hit.document_id: hit.text for hit in best.hits} == firsts
    assert [hit.rank for hit in best.hits] == [1, 2, 3]
    assert best.warnings == ("the 6 candidates are of 3 documents, fewer than 6; raise depth for more",)
    assert service.search("Which animal hunts?", SearchOptions(limit=3, depth=6, group_by="document")).warnings == ()
    with pytest.raises(InvalidQuery, match="group_by is 'passage'"):
        service.search("x", SearchOptions(limit=1, depth=1, group_by=cast("Any", "passage")))


def test_too_few_documents_are_told_of_the_candidates_and_not_of_what_min_score_leaves(
    memory_index: VectorIndex, bundled_embedder: FastEmbedEmbedder
) -> None:
    service = SearchService(bundled_embedder, memory_index, lambda: with_probability([-4.0, 4.0, -5.0, -6.0, 2.0, -9.0]))
    result = service.search("capital", SearchOptions(limit=5, depth=6, min_score=0.5, group_by="document"))
    assert (len(result.hits), result.warnings) == (2, ())


def test_filter_and_nothing_found(service: SearchService) -> None:
    recent = {"must": [{"key": "metadata.year", "range": {"gte": 1000}}]}
    chosen = SearchOptions(limit=5, depth=5)
    assert {hit.document_id for hit in service.search("capital", replace(chosen, filter=recent)).hits} == {"berlin", "gzip"}
    animals = '{"must": [{"key": "metadata.animal", "match": {"value": true}}]}'
    assert [hit.document_id for hit in service.search("capital", replace(chosen, filter=animals)).hits] == ["cats"]
    nobody = service.search(
        "x", SearchOptions(limit=5, depth=5, filter={"must": [{"key": "metadata.year", "range": {"gt": 3000}}]})
    )
    assert (nobody.hits, nobody.rerank_status, nobody.warnings) == ((), "skipped", ())
    assert nobody.empty_because == "the filter excludes all of 6 passages"
    assert service.search("capital", chosen).empty_because == ""
    unknown = service.search(
        "x", SearchOptions(limit=5, depth=5, filter={"must": [{"key": "metadata.yaer", "range": {"gt": 3000}}]})
    )
    assert unknown.warnings == ("no document has the field 'metadata.yaer' that the filter asks about",)


def test_a_filter_that_asks_a_field_for_what_it_never_holds_is_noted(
    local_index: VectorIndex, bundled_embedder: FastEmbedEmbedder
) -> None:
    told = {"date": "2024-05-01", "price": "19,99", "year": 2024, "mixed": ["a", 1]}
    documents = [Document("a", "Cats sleep.", metadata=told), Document("b", "Dogs bark.", metadata={"year": 1999.5})]
    ingest(local_index, bundled_embedder, documents)
    asking = SearchService(bundled_embedder, local_index, lambda: None)

    def warnings(**condition: Any) -> tuple[str, ...]:
        condition["key"] = f"metadata.{condition['key']}"
        return asking.search("x", SearchOptions(limit=1, depth=1, filter={"must": [{"should": [condition]}]})).warnings

    for condition in ({"range": {"gte": 10}}, {"match": {"value": 2024}}, {"match": {"any": [2023, 2024]}}):
        for field in ("date", "price"):
            (told_of,) = warnings(key=field, **condition)
            assert told_of.startswith(
                f"no document has a number in the field 'metadata.{field}' that the filter asks about; a range"
            )
    (text,) = warnings(key="year", match={"value": "2024"})
    assert (
        text
        == "all that have the field 'metadata.year' have a number there, and the filter asks for a text; write it without quotes"
    )
    for fits in ({"range": {"gt": 3000}}, {"match": {"value": 2000}}):
        assert warnings(key="year", **fits) == warnings(key="mixed", **fits) == ()
    for passed in ({"match": {"value": "b"}}, {"match": {"except": ["2024-05-01"]}}, {"is_null": True}):
        assert warnings(key="date", **passed) == ()


def test_a_match_with_a_whole_number_that_is_there_with_a_point_is_noted(
    local_index: VectorIndex, bundled_embedder: FastEmbedEmbedder
) -> None:
    years: list[dict[str, Any]] = [{"year": 1990.0, "several": [1990.0, 1.5]}, {"year": 1991.0}, {"year": 1992, "large": 2.0**53}]
    documents = [Document(str(number), "Books.", metadata=one) for number, one in enumerate(years)]
    ingest(local_index, bundled_embedder, documents)
    asking = SearchService(bundled_embedder, local_index, lambda: None)

    def warnings(key: str, **match: Any) -> tuple[str, ...]:
        asked = {"must": [{"key": f"metadata.{key}", "match": match}]}
        return asking.search("x", SearchOptions(limit=1, depth=1, filter=asked)).warnings

    for field, number, match in (
        ("year", 1991, {"value": 1991}),
        ("year", 1990, {"any": [2000, 1990, 1991]}),
        ("year", 1991, {"any": [*range(2000, 2020), 1991]}),
        ("several", 1990, {"value": 1990}),
    ):
        by_range = f'a range does: {{"gte": {number}, "lte": {number}}}'
        assert warnings(field, **match) == (
            f"the field 'metadata.{field}' holds {number}.0, which a match with {number} does not find; {by_range}",
        )
    assert warnings("year", value=1992) == warnings("year", value=1993) == warnings("year", any=[1993, 2**60]) == ()
    assert warnings("several", value=1) == warnings("large", value=2**53) == ()


def test_a_whole_number_that_is_excluded_and_there_with_a_point_is_noted(
    local_index: VectorIndex, bundled_embedder: FastEmbedEmbedder
) -> None:
    years: list[dict[str, Any]] = [{"year": 1991.0}, {"year": 1990}, {"in": [{"the year": 7.0}, 1.5]}]
    ingest(local_index, bundled_embedder, [Document(str(number), "Books.", metadata=one) for number, one in enumerate(years)])
    asking = SearchService(bundled_embedder, local_index, lambda: None)

    def warnings(key: str, **match: Any) -> tuple[str, ...]:
        asked = {"must_not": [{"key": f"metadata.{key}", "match": match}]}
        return asking.search("x", SearchOptions(limit=5, depth=5, filter=asked)).warnings

    for key, number, match in (
        ("year", 1991, {"value": 1991}),
        ("year", 1991, {"any": [1990, 1991]}),
        ('in[]."the year"', 7, {"value": 7}),
        ('in[0]."the year"', 7, {"value": 7}),
    ):
        by_range = f'a range excludes it: {{"gte": {number}, "lte": {number}}}'
        told = f"the field 'metadata.{key}' of hits holds {number}.0, which must_not with a match of {number} lets pass; {by_range}"
        assert warnings(key, **match) == (told,)
    assert warnings("year", value=1990) == warnings("year", value=1) == warnings("in", value=1) == ()


def test_a_filter_that_asks_for_a_text_where_there_are_booleans_or_the_other_way_round_is_noted(
    local_index: VectorIndex, bundled_embedder: FastEmbedEmbedder
) -> None:
    told = {"done": True, "word": "true", "number": 1, "several": [True], "mixed": ["a", True], "in two words": False}
    others = {"done": False, "word": "false", "number": 0, "several": [True, False], "mixed": "b", "in two words": True}
    ingest(local_index, bundled_embedder, [Document("a", "Cats sleep.", metadata=told), Document("b", "Dogs.", metadata=others)])
    asking = SearchService(bundled_embedder, local_index, lambda: None)

    nobody = [{"key": "document_id", "match": {"any": ["a", "b"]}}]

    def warnings(key: str, **match: Any) -> tuple[str, ...]:
        asked = {"must": [{"key": f"metadata.{key}", "match": match}], "must_not": nobody}
        return asking.search("x", SearchOptions(limit=1, depth=1, filter=asked)).warnings

    for field in ("done", "several", "several[]", '"in two words"'):
        there = f"all that have the field 'metadata.{field}' have a boolean there"
        for match in ({"value": "true"}, {"any": ["true", "yes"]}):
            assert warnings(field, **match) == (f"{there}, and the filter asks for a text; write it without quotes",)
        assert warnings(field, value=True) == ()
        assert warnings(field, value=1)[0].startswith(f"no document has a number in the field 'metadata.{field}'")
    for field in ("word", "number"):
        (told_of,) = warnings(field, value=True)
        none = f"no document has a boolean in the field 'metadata.{field}' that the filter asks about"
        assert told_of.startswith(f"{none}; true and false without quotes find booleans alone")
    assert warnings("word", value="true") == warnings("mixed", value=True) == warnings("mixed", value="c") == ()


def test_no_word_of_the_query_is_said_of_what_passes_the_filter_alone(
    local_index: VectorIndex, bundled_embedder: FastEmbedEmbedder
) -> None:
    texts = ("Cats sleep.", "Dogs bark at the mailman.")
    documents = [Document(text, text, metadata={"n": number}) for number, text in enumerate(texts)]
    ingest(local_index, bundled_embedder, documents, lexical=describe(LexicalSettings()))
    asking = SearchService(bundled_embedder, local_index, lambda: None)

    def because(query: str, filter: Any) -> str:
        return asking.search(query, SearchOptions(limit=1, depth=1, filter=filter, retrieval="lexical")).empty_because

    first = {"must": [{"key": "metadata.n", "match": {"value": 0}}]}
    others = "retrieval by vectors, or by both, finds others"
    assert because("mailman", first) == f"no passage that passes the filter has a word of the query; {others}"
    assert because("zyzzyva", None) == because("zyzzyva", {}) == f"no passage has a word of the query; {others}"


def test_words_alone_are_found_without_a_word_of_the_embedder(
    local_index: VectorIndex, bundled_embedder: FastEmbedEmbedder, bundled_reranker: CrossEncoder
) -> None:
    ingest(local_index, bundled_embedder, [Document("tea", "喝茶")], lexical=describe(LexicalSettings()))
    asking = SearchService(bundled_embedder, local_index, lambda: bundled_reranker)

    def warnings(retrieval: Retrieval, *, rerank: bool = False) -> str:
        options = SearchOptions(limit=1, depth=1, retrieval=retrieval, rerank=rerank)
        return " ".join(asking.search("喝茶 " * 400, options).warnings)

    of_the_embedder = ("the embedder read 254", "tokens are unknown to", "tokens unknown to the embedder")
    assert [told for told in of_the_embedder if told not in warnings("hybrid")] == []
    assert warnings("lexical") == ""
    assert "the reranker read" in warnings("lexical", rerank=True)
    assert "embedder" not in warnings("lexical", rerank=True)


def test_truncation_is_reported_on_the_hit(service: SearchService) -> None:
    result = service.search("French capital", SearchOptions(limit=6, depth=6))
    by_id = {hit.document_id: hit for hit in result.hits}
    assert by_id["long"].truncated
    assert by_id["long"].tokens_seen < by_id["long"].tokens_total
    assert not by_id["paris"].truncated
    assert any("longer than the model's window" in warning for warning in result.warnings)


def test_a_star_is_no_wildcard_and_the_result_says_so(local_index: VectorIndex, bundled_embedder: FastEmbedEmbedder) -> None:
    ingest(local_index, bundled_embedder, [Document("tea", "Configure it.")], lexical=describe(LexicalSettings()))
    asking = SearchService(bundled_embedder, local_index, lambda: None)

    def told(query: str) -> list[str]:
        return [one for one in asking.search(query, SearchOptions(limit=1, depth=1)).warnings if "wildcards" in one]

    assert told("conf* file") == ['"conf*" was looked for as "conf", since there are no wildcards; write the whole word']
    assert told("*conf* or int *p and 2 * 3") == told("int* p = a; " * 9) == []


READ = "the embedder read 254 tokens and the reranker read 94 tokens, of its beginning and its end"


def test_a_query_longer_than_the_windows_is_reported(service: SearchService) -> None:
    result = service.search("capital of France " * 120, SearchOptions(limit=3, depth=3))
    assert result.rerank_status == "full"
    assert result.warnings == (
        f"the query has 2,160 characters; {READ}",
        "1 of 3 passages was longer than what the query left of the model's window and judged by its beginning",
    )


def test_of_a_long_query_the_end_counts_as_its_beginning_does(
    memory_index: VectorIndex, bundled_embedder: FastEmbedEmbedder, bundled_reranker: CrossEncoder
) -> None:
    """The error stands below its traceback, a question behind what it is about."""
    asking = SearchService(bundled_embedder, memory_index, lambda: bundled_reranker)
    frames = "".join(f'  File "/srv/app/handlers/{n}.py", line {n}, in run\n    return self.call(*args)\n' for n in range(2_000))
    asked = "What is the capital of France?"
    for query in (f"{asked}\n{frames}", f"{frames}{asked}", f"Traceback (most recent call last):\n{frames}{asked}\n"):
        result = asking.search(query, SearchOptions(limit=6, depth=6, retrieval="dense"))
        assert result.hits[0].document_id == "paris"
        assert result.rerank_status == "full"
        ranked = asking.search(query, SearchOptions(limit=6, depth=6, retrieval="dense", rerank=False))
        assert ranked.hits[0].document_id == "paris"


def test_what_neither_half_can_read_is_in_order_by_the_vectors(
    local_index: VectorIndex, bundled_embedder: FastEmbedEmbedder
) -> None:
    ingest(local_index, bundled_embedder, [Document("tea", "Tea."), Document("cat", "A cat.")], lexical=describe(LexicalSettings()))
    result = SearchService(bundled_embedder, local_index, lambda: None).search("🎉", SearchOptions(limit=6, depth=6, rerank=False))
    assert result.retrieval_ranking == "0 z(words) + 1 z(cosine)"
    assert not any("count for more" in warning for warning in result.warnings)
    assert any("nor has a passage a word of it" in warning for warning in result.warnings)


def test_a_query_of_one_word_that_never_ends_is_reported(service: SearchService) -> None:
    warnings = service.search("a" * 60_000, SearchOptions(limit=3, depth=3)).warnings
    read = "the embedder read 2 tokens and the reranker read 2 tokens, of its beginning and its end"
    assert warnings[0] == f"the query has 60,000 characters; {read}"
    assert (
        service.search("a" * 20_000 + " " * 40_000, SearchOptions(limit=3, depth=3)).warnings[0].startswith("100% of the query's")
    )


def test_text_that_the_model_does_not_know_is_reported(service: SearchService) -> None:
    result = service.search("请告诉我们你的想法", SearchOptions(limit=6, depth=6))
    assert any("of the query's tokens are unknown" in warning for warning in result.warnings)
    assert any("1 of 6 passages has more than 20%" in warning for warning in result.warnings)
    assert {hit.document_id: hit.unknown_share > 0.2 for hit in result.hits}["zh"]
    assert not service.search("capital of France", SearchOptions(limit=1, depth=1)).warnings


def test_budget(memory_index: VectorIndex, bundled_embedder: FastEmbedEmbedder, bundled_reranker: CrossEncoder) -> None:
    service = SearchService(bundled_embedder, memory_index, lambda: bundled_reranker)
    assert service.search("capital", SearchOptions(limit=2, depth=6, budget_ms=60_000)).rerank_status == "full"
    spent = service.search("capital", SearchOptions(limit=2, depth=6, budget_ms=0.001))
    assert (spent.rerank_status, len(spent.hits)) == ("skipped", 2)


@pytest.mark.parametrize(
    ("reranker", "reason"),
    [
        (Planted([], error=ValueError("boom")), "boom"),
        (Planted([1.0]), "1 scores for 6"),
        (Planted([math.nan] * 6), "not a number"),
        (Planted([], error=MemoryError()), "MemoryError"),
    ],
    ids=["raises", "wrong length", "NaN", "out of memory"],
)
def test_a_failing_reranker_never_fails_the_search(
    reranker: Planted, reason: str, memory_index: VectorIndex, bundled_embedder: FastEmbedEmbedder
) -> None:
    result = SearchService(bundled_embedder, memory_index, lambda: reranker).search("capital", SearchOptions(limit=3, depth=6))
    assert result.rerank_status == "failed"
    assert reason in result.reason
    assert [hit.retrieval_rank for hit in result.hits] == [1, 2, 3]
    assert result.ranking == "cosine similarity"


def with_probability(scores: list[float], **more: Any) -> Planted:
    return Planted(scores, Recipe(scale=2.0), **more)


def test_min_score_is_a_probability(memory_index: VectorIndex, bundled_embedder: FastEmbedEmbedder) -> None:
    service = SearchService(bundled_embedder, memory_index, lambda: with_probability([-4.0, 4.0, 0.0, -1.0, 2.0, -9.0]))
    result = service.search("capital", SearchOptions(limit=6, depth=6, min_score=0.5))
    assert [hit.rerank_score for hit in result.hits] == [4.0, 2.0, 0.0]
    assert [hit.rerank_probability for hit in result.hits] == pytest.approx([1 / (1 + math.exp(-score / 2)) for score in (4, 2, 0)])
    assert [hit.rank for hit in result.hits] == [1, 2, 3]
    assert not [warning for warning in result.warnings if "min_score" in warning]
    assert len(service.search("capital", SearchOptions(limit=2, depth=6, min_score=0.1)).hits) == 2
    nothing = service.search("capital", SearchOptions(limit=6, depth=6, min_score=1.0))
    assert (nothing.hits, nothing.warnings) == ((), ())
    assert nothing.empty_because == "no hit reached min_score 1; the best one has 0.88"
    near = SearchService(bundled_embedder, memory_index, lambda: with_probability([3.927] * 6))  # of 0.8769, which is nearly 0.88
    close = near.search("capital", SearchOptions(limit=6, depth=6, min_score=0.88, group_by="document"))
    assert (close.hits, close.empty_because) == ((), "no hit reached min_score 0.88; the best one has 0.877")
    assert len(service.search("capital", SearchOptions(limit=6, depth=6, min_score=0.0)).hits) == 6


@pytest.mark.parametrize("rerank", [True, False])
def test_what_was_not_reranked_passes_min_score_and_is_counted(
    memory_index: VectorIndex, bundled_embedder: FastEmbedEmbedder, *, rerank: bool
) -> None:
    failing = with_probability([], error=ValueError("boom"))
    result = SearchService(bundled_embedder, memory_index, lambda: failing).search(
        "capital", SearchOptions(limit=3, depth=6, min_score=0.9, rerank=rerank)
    )
    assert len(result.hits) == 3
    assert "3 of 3 passages were not reranked, so min_score could not judge them" in result.warnings


def test_part_of_the_candidates_reranked(memory_index: VectorIndex, bundled_embedder: FastEmbedEmbedder) -> None:
    partly = with_probability([-9.0, 9.0, *[math.nan] * 4], delay_s=0.3)
    result = SearchService(bundled_embedder, memory_index, lambda: partly).search(
        "capital", SearchOptions(limit=6, depth=6, budget_ms=250, min_score=0.5)
    )
    assert result.rerank_status == "partial"
    assert [hit.rerank_score for hit in result.hits] == [9.0, None, None, None, None]
    assert "4 of 5 passages were not reranked, so min_score could not judge them" in result.warnings


def test_min_score_needs_a_map_and_a_share(memory_index: VectorIndex, bundled_embedder: FastEmbedEmbedder) -> None:
    without = SearchService(bundled_embedder, memory_index, lambda: Planted([1.0] * 6))
    with pytest.raises(InvalidQuery, match="planted has no map from its score to a probability; search calibrate fits one"):
        without.search("capital", SearchOptions(limit=3, depth=6, min_score=0.5))
    for wrong in (-0.1, 1.5, math.nan):
        with pytest.raises(InvalidQuery, match="it is a probability, between 0 and 1"):
            without.search("capital", SearchOptions(limit=3, depth=6, min_score=wrong))


def test_a_reranker_that_overruns_its_budget_still_answers(memory_index: VectorIndex, bundled_embedder: FastEmbedEmbedder) -> None:
    slow = Planted([math.nan] * 6, delay_s=0.3)
    result = SearchService(bundled_embedder, memory_index, lambda: slow).search(
        "capital", SearchOptions(limit=3, depth=6, budget_ms=250)
    )
    assert (result.rerank_status, len(result.hits)) == ("skipped", 3)
    assert "time budget" in result.reason


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "empty": ({"query": ""}, "the query is empty"),
    "white space": ({"query": " \n\t"}, "the query is empty"),
    "half a surrogate pair": ({"query": "caf\udce9"}, "surrogate"),
    "limit 0": ({"limit": 0}, "limit is 0"),
    "negative limit": ({"limit": -3}, "limit is -3"),
    "negative depth": ({"depth": -1}, "depth is -1; rerank at least 1 candidate"),
    "depth below limit": ({"limit": 5, "depth": 4}, "depth 4 is less than limit 5"),
    "budget 0": ({"budget_ms": 0}, "budget_ms is 0"),
    "budget that is not a number": ({"budget_ms": math.nan}, "budget_ms is nan"),
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid_queries(name: str, memory_index: VectorIndex, bundled_embedder: FastEmbedEmbedder) -> None:
    given, message = INVALID[name]
    arguments: dict[str, Any] = {"query": "cat", "limit": 3, "depth": 3} | given
    with pytest.raises(InvalidQuery, match=message):
        SearchService(bundled_embedder, memory_index, lambda: None).search(arguments.pop("query"), SearchOptions(**arguments))


def test_invalid_filter(memory_index: VectorIndex, bundled_embedder: FastEmbedEmbedder) -> None:
    with pytest.raises(UnsupportedFilter, match="unknown filter field"):
        SearchService(bundled_embedder, memory_index, lambda: None).search(
            "cat", SearchOptions(limit=1, depth=1, filter={"must": [{"key": "year", "match": {"value": 1}}]})
        )


def test_searching_before_ingesting(local_index: VectorIndex, bundled_embedder: FastEmbedEmbedder) -> None:
    with pytest.raises(CollectionNotFound, match="search ingest"):
        SearchService(bundled_embedder, local_index, lambda: None).search("cat", SearchOptions(limit=1, depth=1))


def test_an_empty_collection_says_so(
    local_index: VectorIndex, bundled_embedder: FastEmbedEmbedder, bundled_reranker: CrossEncoder
) -> None:
    local_index.ensure(CollectionSpec(bundled_embedder.dimension, bundled_embedder.fingerprint), create=True)
    service = SearchService(bundled_embedder, local_index, lambda: bundled_reranker)
    result = service.search("capital", SearchOptions(limit=3, depth=6))
    because = f"the collection {local_index.name!r} is empty: ingest documents first, as with `search ingest`"
    assert (result.hits, result.warnings, result.empty_because) == ((), (), because)
    animals = {"must": [{"key": "metadata.animal", "match": {"value": True}}]}
    for options in ({"filter": animals}, {"min_score": 0.9}, {"group_by": "document"}):
        chosen = SearchOptions(limit=3, depth=6, **cast("Any", options))
        assert service.search("capital", chosen).empty_because == because, options
