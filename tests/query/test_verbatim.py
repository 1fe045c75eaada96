"""Where passages stand that have a phrase or a rare name of the query, or what a dash excludes: the same by every engine."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import OpenIndex
from planted import Planted
from standin import QdrantStandIn

from search.documents import Document, Fusion, Retrieval, SearchResult
from search.embedding.dense import FastEmbedEmbedder
from search.embedding.sparse import Bm25, describe
from search.index.contract import Query, VectorIndex
from search.index.server.connection import connect
from search.index.server.index import QdrantIndex
from search.ingestion.chunking import Chunker
from search.ingestion.run import Ingestion
from search.query.options import SearchOptions
from search.query.replay import replay, save
from search.query.service import SearchService
from search.query.verbatim import wording
from search.settings import LexicalSettings

pytestmark = pytest.mark.one_shard

HAMLET = "There is more to it than that: to be or **not** to be, and by then it was all over."
TEXTS = {
    "hamlet": HAMLET,
    "gateway": "Ticket: the gateway answers at 10.34.136.93 since release 4.2.1.",
    "baker": "Bread made of wheat, with all the gluten of the flour.",
    "rice": "A loaf of rice flour, for those who cannot eat wheat.",
    "find": "The command find . -name bread looks for a file that is called bread.",
    **{f"host{i}": f"Ticket: the gateway answers at 10.34.{i}.7, and the release is {i}." for i in range(15)},
    **{f"bread{i}": f"Bread, and a name for bread number {i}." for i in range(3)},
}


def service_of(embedder: FastEmbedEmbedder, index: VectorIndex) -> SearchService:
    documents = [Document(id=name, text=text, media_type="text/markdown") for name, text in TEXTS.items()]
    Ingestion(embedder, index, Chunker(embedder.tokenizer, 200, 0), max_characters=10_000, lexical=describe(LexicalSettings())).run(
        documents
    )
    return SearchService(embedder, index, lambda: None)


@pytest.fixture
def service(local_index: VectorIndex, quick_embedder: FastEmbedEmbedder) -> SearchService:
    return service_of(quick_embedder, local_index)


def asked(service: SearchService, query: str, **options: Any) -> SearchResult:
    return service.search(query, SearchOptions(**{"limit": 3, "depth": 3} | options))


def names(result: SearchResult) -> list[str]:
    return [hit.document_id for hit in result.hits]


def test_every_engine_puts_first_what_has_a_phrase_and_last_what_is_excluded(
    open_index: OpenIndex, quick_embedder: FastEmbedEmbedder
) -> None:
    service = service_of(quick_embedder, open_index("documents"))
    for query in ('gateway "Not to be"', "ticket “more to it than that”", "gateway 10.34.136.93", "gateway 10.34.136.93:443"):
        result = asked(service, query)
        first = names(result)[0]
        assert first == ("gateway" if "10." in query else "hamlet")
        assert [hit.precedence > 0 for hit in result.hits] == [True, False, False]
        assert result.ranking == result.retrieval_ranking
        moved = result.hits[0].score != max(hit.score or 0 for hit in result.hits)
        assert result.ranking.startswith("what has phrases or rare names of the query as they stand first, then by 0.") == moved
    assert "baker" not in names(asked(service, "bread -gluten", limit=20, depth=20))  # others come in its place
    result = asked(service, "bread -gluten", limit=30, depth=30)
    assert names(result)[-1] == "baker"
    assert result.ranking.endswith(", and what has excluded words last")
    assert 'passages with "gluten" stand last; write it without - to look for it' in result.warnings


@pytest.mark.parametrize("options", [{"retrieval": "lexical"}, {"group_by": "document"}, {"lexical_share": 0.9}])
def test_a_phrase_of_stop_words_is_found_however_passages_are(service: SearchService, options: dict[str, Any]) -> None:
    result = asked(service, '"to be or not to be"', **options)
    assert names(result)[:1] == ["hamlet"]
    assert [hit.rank for hit in result.hits] == [*range(1, len(result.hits) + 1)]


@pytest.mark.parametrize("fusion", ["zscore", "rrf", "dbsf"])
@pytest.mark.parametrize("retrieval", ["hybrid", "lexical"])
def test_scores_stay_what_they_are(
    local_index: VectorIndex, quick_embedder: FastEmbedEmbedder, retrieval: Retrieval, fusion: Fusion
) -> None:
    service_of(quick_embedder, local_index)
    words = Bm25(LexicalSettings()).embed_query("release gateway")
    query = Query(quick_embedder.embed_query("release gateway"), words, retrieval, fusion=fusion, listed=8)
    everything = {match.id: match for match in local_index.query(replace(query, listed=100), 100)}
    plain = local_index.query(query, 5)
    last = [*everything][-1]
    also = local_index.query(replace(query, also=[last, plain[0].id]), 5)
    assert [match.id for match in also] == [*(match.id for match in plain), last]
    assert [match.fused for match in also[:5]] == pytest.approx([match.fused for match in plain])
    assert (also[5].score, also[5].lexical) == pytest.approx((everything[last].score, everything[last].lexical))
    assert also[5].payload == everything[last].payload


def test_a_phrase_that_no_passage_has_changes_nothing_and_is_told(service: SearchService) -> None:
    result = asked(service, '"gateway of the bread"')
    assert 'no passage that was found has "gateway of the bread" as it stands' in result.warnings
    assert not result.ranking.startswith("what has")
    assert {hit.precedence for hit in result.hits} == {0}


def test_a_long_phrase_is_told_by_its_beginning(service: SearchService) -> None:
    phrase = "gateway of the bread " * 20
    assert f'no passage that was found has "{phrase[:200]}…" as it stands' in asked(service, f'"{phrase}"').warnings


def test_a_server_that_refuses_to_look_for_a_phrase_answers_all_the_same(
    standin: QdrantStandIn, quick_embedder: FastEmbedEmbedder
) -> None:
    service = service_of(quick_embedder, QdrantIndex(connect(standin.url), "documents", standin.url))
    standin.strict = {"unindexed_filtering_retrieve": False}
    result = asked(service, '"gateway of the bread"')
    assert len(result.hits) == 3
    assert 'no passage that was found has "gateway of the bread" as it stands' in result.warnings


def test_a_filter_applies_to_what_has_a_phrase_too(service: SearchService) -> None:
    only = {"must": [{"key": "document_id", "match": {"value": "baker"}}]}
    assert names(asked(service, '"to be or not to be"', filter=only)) == ["baker"]


@pytest.mark.parametrize("query", ["find bread -name", "release 10.34", "bread (not -so-much)"])
def test_what_passages_have_with_its_dash_and_what_many_have_is_no_wording(service: SearchService, query: str) -> None:
    result = asked(service, query)
    assert {hit.precedence for hit in result.hits} == {0}
    assert not [warning for warning in result.warnings if "stand last" in warning]


def test_it_counts_before_the_reranker_and_when_it_is_replayed(
    local_index: VectorIndex, quick_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    by_retrieval = service_of(quick_embedder, local_index)
    against = Planted([0.0, 1.0, 2.0])
    result = asked(by_retrieval.reranked_by(lambda: against), "gateway 10.34.136.93")
    assert names(result)[0] == "gateway"
    assert [hit.rank for hit in result.hits] == [1, 2, 3]
    assert result.hits[0].rerank_score == 0.0
    save(result, tmp_path / "trace")
    again = replay(tmp_path / "trace", against, None, result.embedder)
    assert [move.hit.document_id for move in again.moves] == names(result)
    assert again.now.words == result.ranking
    old = replace(result, hits=tuple(replace(hit, precedence=0) for hit in result.hits))
    save(old, tmp_path / "old")  # as one that was saved before hits had it
    assert replay(tmp_path / "old", against, None, result.embedder).moves[0].hit.document_id != "gateway"


@pytest.mark.parametrize(
    ("query", "phrases", "excluded"),
    [
        ('who said "I have a dream"?', ["I have a dream"], []),
        ("„zwei Wörter“ «deux mots» “two words”", ["two words", "zwei Wörter", "deux mots"], []),
        ('a board of 12" x 24" or 3\'6" by two', [], []),
        ("don't 'quote me' on \"it\"", [], []),
        ('「東京 タワー」 "東京 タワー"', [], []),
        ('tea -"green tea" -matcha', [], ["matcha", "green tea"]),
        ("find -name pattern -type", [], ["type"]),
        ('bread -gluten "rye flour"', ["rye flour"], []),
        ("psql -host localhost -port 5432", [], []),
        ("well-known -a - b --flag -x1 2 -three-", [], []),
        ("-gluten", [], []),
        ("list:\n-eggs\n-milk", [], []),
        ('print("hello world")', ["hello world"], []),
        ('  File "/srv/app/run.py", line 3, in go', [], []),
        ('[server]\nname = "my first server"\n"title": "of it"\nwhere is "such a file" read?', ["such a file"], []),
        ('title: "a book of tea"', ["a book of tea"], []),
    ],
)
def test_what_is_a_phrase_and_what_is_excluded(query: str, phrases: list[str], excluded: list[str]) -> None:
    said = wording(query)
    assert (sorted(said.phrases), sorted(said.excluded)) == (sorted(phrases), sorted(excluded))
    assert excluded or said.rest == query


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("top 10 films of 1999 (2000).", []),
        ("U.S. films of the 1980s, e.g. the 14th and/or 15th (i.e., #15).", []),
        ("state-of-the-art and its well-known limits, please.", []),
        ("why does XJ-9000 fail, and python3, at 78%?", []),
        ("XJ-9000 manual", ["XJ-9000"]),
        ("8bd7954", ["8bd7954"]),
        ("why does the gateway at 10.34.136.93 not answer", ["10.34.136.93"]),
        ("v1.2.3 of a_b at C:\\x\\y or joe@example.org", ["v1.2.3", "C:\\x\\y", "joe@example.org"]),
        (" ".join(f"x{i}" for i in range(9)), []),
    ],
)
def test_what_is_a_name(query: str, expected: list[str]) -> None:
    assert list(wording(query).names) == expected
