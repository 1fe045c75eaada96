"""Passages are found by vectors and by words, the same by every engine, and the answer says which of them found what."""

import math
import time
import unicodedata
import uuid
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import numpy as np
import pytest
import qdrant_edge
from commands import as_json, error, search, wrong
from conftest import OpenIndex
from judged import write
from numpy.typing import NDArray
from serving import serving, with_pets
from upstream import everywhere

from search import Settings, open_search
from search.client import Client
from search.documents import Document, Fusion, Retrieval, SparseVector
from search.embedding.dense import FastEmbedEmbedder
from search.embedding.joins import joined
from search.embedding.sparse import Bm25, describe, words_like
from search.errors import IndexMismatch, InvalidQuery, InvalidSettings
from search.evaluation.datasets import load_dataset
from search.evaluation.verdict import evaluate
from search.factory import build_corpus_index, build_embedder
from search.index.contract import LEXICAL, CollectionSpec, Payload, Point, Query, VectorIndex
from search.index.edge.conversion import to_sparse
from search.index.edge.index import EdgeIndex
from search.index.hybrid import Listing, Read, Scored, matches, z
from search.index.points import searchable_text
from search.inference.tokens import TextTokenizer
from search.ingestion.chunking import Chunker
from search.ingestion.embedding import with_words
from search.ingestion.run import Ingestion
from search.passages import readable
from search.query.fusion import Mix, vote
from search.query.options import SearchOptions
from search.query.service import SearchService
from search.reranking.recipe import Recipe
from search.searcher import Searcher
from search.settings import LexicalSettings

pytestmark = pytest.mark.one_shard

WORDS = describe(LexicalSettings())
FIRST, SECOND = (WORDS.replace('"version": 3', f'"version": {earlier}') for earlier in (1, 2))
SPEC = CollectionSpec(8, "model@1", WORDS)
SUBJECTS = [
    "getValue returns the value",
    "get_value returns it",
    "a pump XJ-9000-A",
    "a pump XJ-9000-C",
    "error E0382",
    "the of and",
]
NEAR = {"rel_tol": 1e-5, "abs_tol": 1e-5}


def unit(seed: int) -> NDArray[np.float32]:
    values = np.random.default_rng(seed).normal(size=8)
    vector: NDArray[np.float32] = (values / np.linalg.norm(values)).astype(np.float32)
    return vector


def points(number: int) -> list[Point]:
    made = []
    for i in range(number):
        text = f"{SUBJECTS[i % 6]} {'again ' * (i % 4)}{'pump' if i % 3 else ''}" if i % 6 != 5 else SUBJECTS[5]
        payload = {"document_id": "-", "title": "", "text": text, "metadata": {"even": i % 2 == 0}}
        made.append(Point(str(uuid.uuid5(uuid.NAMESPACE_OID, str(i))), unit(i), payload))
    return with_words(made, WORDS)


POINTS = points(60)


def by_the_formula(query: SparseVector) -> dict[str, float]:
    """BM25 as Qdrant has it: ln((N - n + .5) / (n + .5) + 1) for each word, times what the passage's vector holds of it."""
    vectors = [dict(zip(*point.lexical, strict=True)) if point.lexical else {} for point in POINTS]
    number = sum(map(bool, vectors))  # of passages: one that has no word does not count
    holds = {word: sum(word in vector for vector in vectors) for word in query.indices}
    idf = {word: math.log((number - n + 0.5) / (n + 0.5) + 1) for word, n in holds.items()}
    return {
        point.id: sum(idf[word] * vector.get(word, 0.0) for word in query.indices)
        for point, vector in zip(POINTS, vectors, strict=True)
    }


def words(text: str) -> SparseVector:
    made = words_like(WORDS)
    assert made
    vector = made.embed_query(text)
    assert vector
    return vector


@pytest.fixture
def filled(open_index: OpenIndex) -> VectorIndex:
    index = open_index("documents")
    index.ensure(SPEC, create=True)
    index.upsert(POINTS)
    return index


@pytest.mark.parametrize("filter", [None, {"must": [{"key": "metadata.even", "match": {"value": True}}]}], ids=["all", "filtered"])
@pytest.mark.parametrize("text", ["getValue", "pump XJ-9000-C", "E0382 again"])
def test_every_engine_finds_the_same_by_both(filled: VectorIndex, text: str, filter: Any) -> None:
    vector, lexical = unit(1000), words(text)
    right = by_the_formula(lexical)
    let = [point for point in POINTS if filter is None or point.payload["metadata"]["even"]]
    cosines = {point.id: float(point.vector @ vector) for point in let}
    nearest = sorted(cosines, key=lambda one: -cosines[one])[:7]
    best = sorted((right[point.id] for point in let), reverse=True)[:7]
    whole = filled.query(Query(vector, lexical, "hybrid", filter), 60)
    both = np.array([(right[match.id], cosines[match.id]) for match in whole])
    assert {match.id for match in whole} == cosines.keys()
    assert [match.fused for match in whole] == pytest.approx(0.3 * z(both[:, 0]) + 0.7 * z(both[:, 1]), abs=1e-5)
    assert [match.fused for match in whole] == sorted((match.fused or 0 for match in whole), reverse=True)
    found = filled.query(Query(vector, lexical, "hybrid", filter, listed=10), 7)
    assert len(found) == 7
    for match in found:
        assert match.lexical is not None
        assert math.isclose(match.score, cosines[match.id], **NEAR)  # though some were found by words alone,
        assert math.isclose(match.lexical, right[match.id], **NEAR)  # and others by their vectors
        assert match.payload == next(point.payload for point in POINTS if point.id == match.id)
    alone = filled.query(Query(vector, lexical, "lexical", filter), 7)
    assert [match.lexical for match in alone] == pytest.approx([one for one in best if one > 0], abs=1e-5)
    assert all(math.isclose(match.score, cosines[match.id], **NEAR) for match in alone)
    assert [match.id for match in filled.query(Query(vector, lexical, "dense", filter), 7)] == nearest


def test_of_equal_words_the_closest_are_found_whatever_was_written_last(filled: VectorIndex) -> None:
    same = with_words([point._replace(payload={**point.payload, "text": "a lighthouse"}) for point in POINTS[:40]], WORDS)
    vector = unit(1000)
    nearest = sorted(same, key=lambda point: -float(point.vector @ vector))
    for written in (same, same[::-1], nearest[:3]):
        filled.upsert(written)
        found = filled.query(Query(vector, words("lighthouse"), "lexical"), 5)
        assert [match.id for match in found] == [point.id for point in nearest[:5]]
        assert [match.lexical_rank for match in found] == [1, 2, 3, 4, 5]


def test_vectors_of_both_kinds_come_back(filled: VectorIndex) -> None:
    stored = {record.id: record for record in filled.scroll(vectors=True)}
    assert filled.spec == SPEC
    assert sum(record.lexical is None for record in stored.values()) == 10  # whose words are all stop words
    for point in POINTS:
        record = stored[point.id]
        assert record.vector == pytest.approx(point.vector, abs=1e-6)
        assert (record.lexical is None) == (point.lexical is None)
        if record.lexical and point.lexical:
            assert dict(zip(*record.lexical, strict=True)) == pytest.approx(dict(zip(*point.lexical, strict=True)))
    assert all(record.vector is None and record.lexical is None for record in filled.scroll())


def test_a_query_without_a_word_finds_by_its_vector(filled: VectorIndex) -> None:
    found = filled.query(Query(unit(1), None, "hybrid"), 5)
    assert [match.lexical for match in found] == [0.0] * 5
    assert found[0].id == POINTS[1].id
    assert filled.query(Query(unit(1), None, "lexical"), 5) == []


def test_a_filter_may_leave_nothing_in_one_list(filled: VectorIndex) -> None:
    only = {"must": [{"has_id": [POINTS[5].id, POINTS[11].id]}]}  # stop words
    found = filled.query(Query(unit(1), words("pump"), "hybrid", only), 5)
    assert {match.id: match.lexical for match in found} == {POINTS[5].id: 0.0, POINTS[11].id: 0.0}
    assert filled.query(Query(unit(1), words("pump"), "lexical", only), 5) == []


def test_a_collection_keeps_the_words_it_was_made_with(open_index: OpenIndex) -> None:
    index = open_index("documents")
    index.ensure(CollectionSpec(8, "model@1"), create=True)
    index.ensure(SPEC, create=True)
    assert index.spec.lexical == ""
    index.upsert([point._replace(lexical=None) for point in POINTS])
    assert index.query(Query(unit(3)), 1)[0].id == POINTS[3].id


def of(text: str, **settings: Any) -> set[int]:
    vector = Bm25(LexicalSettings(**settings)).embed_passages([text])[0]
    return set(vector.indices) if vector else set()


def asked(text: str, **settings: Any) -> set[int]:
    vector = Bm25(LexicalSettings(**settings)).embed_query(text)
    return set(vector.indices) if vector else set()


def before(text: str) -> set[int]:
    vector = Bm25(LexicalSettings(), 2).embed_passages([text])[0]
    return set(vector.indices) if vector else set()


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("call getValue() first", "get_value"),
        ("call get_value first", "getValue"),
        ("call getValue", "getvalue"),
        ("see PEP 517", "pep-517"),
        ("borrow of moved value: E0382", "e0382"),
        ("Le café est fermé", "cafe"),
        ("houses", "house"),
        ("全球变暖的原因", "什么导致全球变暖?"),
        ("日本の首都は東京です", "首都"),
        ("서울의 인구", "인구는"),
        ("ประเทศไทย", "ไทย"),
        ("我喜欢喝茶。每天早上喝一杯", "茶"),
        ("我喜欢喝茶。每天早上喝一杯", "tea, 茶?"),
        ("企业所得税的计算方法", "税"),
        ("黒い猫が好きです", "猫"),
        ("책을 읽다", "책"),
        ("2015年夏天", "2015年"),
        ("茶", "茶"),
        ("зелёная ёлка зимой", "елка"),
        ("зелёная елка зимой", "ёлка"),
        ("Старый за́мок", "замок"),
        ("Старый замок", "за́мок"),
        ("Στην Αθήνα", "ΑΘΗΝΑ"),
        ("Προϋπολογισμός", "προυπολογισμος"),
        ("ᾠδή", "ωδη"),
        ("שָׁלוֹם עולם", "שלום"),
        ("كِتَابٌ جديد", "كتاب"),
        ("كتاب جديد", "كتــــاب"),
    ],
)
def test_words_are_found_however_they_are_written(text: str, query: str) -> None:
    assert of(text) & asked(query)


@pytest.mark.parametrize("language", ["english", "russian", "greek", "hebrew", "arabic", "none"])
@pytest.mark.parametrize(
    ("text", "query"), [("ёлка", "елка"), ("за́мок", "замок"), ("Αθήνα", "αθηνα"), ("שָׁלוֹם", "שלום"), ("كِتَابٌ", "كتاب")]
)
def test_marks_are_folded_in_every_language(text: str, query: str, language: str) -> None:
    assert of(text, language=language) == asked(query, language=language) != set()


def test_marks_that_make_another_letter_stay() -> None:
    for one, other in (
        ("йод", "иод"),
        ("воўк", "воук"),
        ("їжа", "іжа"),
        ("ガス", "カス"),
        ("हिंदी", "हद"),
        ("ѓон", "гон"),
    ):
        assert of(one) != of(other), one
        assert of(one) == of(readable(unicodedata.normalize("NFD", one)))


def test_single_characters_are_asked_for_by_queries_of_single_characters_alone() -> None:
    """So that whatever else is asked for is found as it would be without them."""
    pairs = asked("喝茶 茶叶")
    assert (len(pairs), of("喝茶。茶叶") - pairs) == (2, asked("喝") | asked("茶") | asked("叶"))
    assert asked("茶 2015年") == asked("茶") | asked("2015") | asked("年")
    assert asked("喝茶 2015年") - asked("喝茶") - asked("2015") == asked("年 喝茶") - asked("喝茶") != asked("年")
    assert not asked("年 喝茶") & of("夏年末")
    often, once = (
        dict(zip(*vector, strict=True)) for vector in Bm25(LexicalSettings()).embed_passages(["茶叶 茶树", "茶叶 花树"]) if vector
    )
    (tea, leaf) = (*asked("茶"), *asked("茶叶"))
    assert often[tea] > once[tea]
    assert often[leaf] == once[leaf]


def test_a_part_number_is_also_one_word() -> None:
    whole = (of("XJ-9000-C") & of("xj9000c")) - of("XJ 9000 C")
    assert len(whole) == 1
    assert whole <= of("the pump XJ-9000-C, of steel")
    assert whole.isdisjoint(of("XJ-9000-A, C"))


FORMS = [
    ("Старые законы", "законом"),
    ("Нові закони", "законів"),
    ("п\u2019ятниця", "пятниця"),
    ("της χώρας νόμοι", "νόμος"),
    ("أحمد في المدرسة", "احمد"),
    ("أحمد في المدرسة", "مدرسه"),
    ("كتاب جديد", "والكتاب"),
    ("کتابی", "كتابي"),
    ("۱۹۴۸", "1948"),
    ("१९४८", "١٩٤٨"),
    ("हिन्दी भाषा", "हिन्दी"),
    ("மனிதர்கள்", "மனிதன்"),
    ("स्वतंत्रता", "स्वतंत्र"),
    ("הבית הגדול", "בבית"),
    (unicodedata.normalize("NFD", "ọ̀rọ̀ yìí"), "ọ̀rọ̀"),
]


@pytest.mark.parametrize(("text", "query"), FORMS)
def test_forms_of_a_word_are_found_in_scripts_beyond_latin(text: str, query: str) -> None:
    assert of(text) & asked(query)


def test_a_word_counts_as_a_whole_beside_its_beginning() -> None:
    law, legal = of("закон"), of("законный")
    assert (len(law), len(legal), len(law & legal)) == (2, 2, 1)
    assert of("स्वर") & of("स्वतंत्रता") == set()
    assert of("स्वतंत्रता") >= of("स्वतं")  # no word ends where a vowel is left out
    for language, word in (("russian", "законами"), ("greek", "νόμοι"), ("arabic", "كتابان"), ("none", "законами")):
        assert len(of(word, language=language)) == 1


JOINED = [
    ("wi-fi", "wifi"),
    ("веб-сайт", "вебсайт"),
    ("978-4-98-101766-5", "9784981017665"),
    ("(030) 123 4567", "0301234567"),
    ("on 2024-05-12 10:22", "20240512"),
    ("page 1-030 123 4567-x", "1030123"),
    ("on 10.1.143.92:8080", "10.1.143.92"),
    ("release 3.11.2", "v3.11.2"),
    ("a total of 1,234.50 euros", "1234.50"),
    ("1.234.567,80", "1234567"),
    ("commit 8bd7954c1e", "8bd7954"),
    ("it took 5 km", "5km"),
    ("16GB", "16 gb"),
    ("a party 🎉", "🎉"),
    ("x ≤ y", "≤"),
    ("Ask the IT department", "IT"),
    ("The WHO says", "WHO"),
]


@pytest.mark.parametrize(("text", "query"), [*JOINED, *((query, text) for text, query in JOINED)])
def test_what_is_also_one_word_is_found_either_way(text: str, query: str) -> None:
    shared = of(text) & asked(query)
    assert shared - (before(text) & before(query))


def test_ids_and_metadata_are_read_as_they_are_meant() -> None:
    """As names of files on macOS are written."""
    name, title = (unicodedata.normalize("NFD", one) for one in ("ガイド", "서울"))
    payload = {"document_id": f"{name}.md", "title": "", "text": "A text.", "metadata": {"of": [title]}}
    words_of_it = of(searchable_text(payload, ["metadata.of"]))
    assert words_of_it >= asked("ガイド") | asked("서울")


def test_words_of_the_second_version_are_still_made() -> None:
    made = words_like(SECOND)
    assert made
    assert [len((made.embed_query(text) or ([],))[0]) for text in ("законный", "wi-fi", "🎉")] == [1, 2, 0]
    with pytest.raises(IndexMismatch, match="search reindex"):
        words_like(SECOND.replace('"version": 2', '"version": 1.5'))


def test_what_is_no_name_is_no_word_more() -> None:
    for text in ("the state of the art", "WHO ARE THE US", "it is", "5 of 7", "3.5 in 2024", "12 34 56", "1990s", "─── a"):
        assert of(text) == before(text), text
    assert asked("US-based") - before("US-based") == before("usbased")


def test_a_collection_of_english_has_the_words_it_had() -> None:
    """Those that are joined are more, and nothing else counts otherwise for them."""
    settings = LexicalSettings()
    text = "The state-of-the-art pump XJ-9000-C, getValue() of 2010, and a café; from 10.1.143.92, WHO."
    before, now = (dict(zip(*(Bm25(settings, version).embed_passages([text])[0] or ((), ())), strict=True)) for version in (2, 3))
    assert len(now) - len(before) == 3
    assert before.items() <= now.items()


def test_a_language_says_which_words_are_the_same() -> None:
    assert of("Häuser", language="german") & of("Haus", language="german")
    assert not of("der die das", language="german")
    assert of("the of", language="none")
    assert not of("running", language="none") & of("runs", language="none")
    with pytest.raises(InvalidSettings, match="language"):
        Settings(lexical={"language": "klingon"})


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("arabic", "إلى على أن إذا الآن"),
        ("hebrew", "יותר כאשר אותו"),
        ("kazakh", "барлық кейін туралы"),
        ("tajik", "барои"),
        ("nepali", "पहिले गरेको"),
        ("bengali", "কোনো থাকবে"),
    ],
)
def test_stop_words_of_other_scripts_are_none_in_other_letters_or_by_their_beginnings(language: str, text: str) -> None:
    assert not asked(text, language=language)
    assert asked(text)


def test_what_is_a_stop_word_without_its_article_is_found() -> None:
    third = asked("الثالث", language="arabic")
    assert third
    assert third == asked("للثالث", language="arabic")
    assert not asked("ثالث", language="arabic")
    assert of("বার্তা", language="bengali")  # the tokenizer cuts it into two


def test_endless_marks_take_no_time() -> None:
    """To sort those of one letter is quadratic in Python's unicodedata."""
    for text in ("\u03b1" + "\u0301\u0316" * 100_000, "א" + "\u05b0\u0591\u0323" * 66_000, "e" + "\u0301\u0316" * 100_000):
        began = time.process_time()
        Bm25(LexicalSettings()).embed_query(readable(text))
        Bm25(LexicalSettings()).embed_query(text)
        assert time.process_time() - began < 5
    assert readable("─" * 50 + "e\u0301" + "\u0316" * 50) == "─" * 50 + "é" + "\u0316" * 29


@pytest.mark.timeout(20)
def test_endless_groups_of_digits_take_no_time() -> None:
    for group in ("1- ", "1 ", "1-", "(1) ", "1/", "12"):
        assert joined(group * 25_000 + "2a", lambda _: False) == []


def test_odd_texts_have_words_or_none() -> None:
    made = Bm25(LexicalSettings())
    assert made.embed_query("the of ?!") is None
    assert made.embed_query("") is None
    assert made.embed_passages(["", "?! … the"]) == [None, None]
    long = made.embed_passages(["x" * 100_000, "a_" * 50_000, "1-" * 50_000 + "b", "\0 word \x7f \ufeff"])
    assert [vector and len(vector.indices) for vector in long][3] == 1
    assert all(vector is None or len(set(vector.indices)) == len(vector.indices) for vector in long)


def test_words_of_the_first_version_are_found_and_brought_over_without_embedding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=tmp_path)

    def found(query: str) -> list[str]:
        return [hit.document_id for hit in searcher.search(query, retrieval="lexical", rerank=False).hits]

    with open_search(settings) as searcher:
        spec = CollectionSpec(searcher.embedder.dimension, searcher.embedder.fingerprint, FIRST)
        searcher.index.ensure(spec, create=True)
        searcher.ingest([Document(id="tea", text="我喜欢喝茶"), Document(id="tree", text="ёлка")])
        assert (found("喝茶"), found("ёлка"), found("елка"), found("茶")) == (["tea"], ["tree"], [], [])
        assert searcher.index.spec.lexical == FIRST
        monkeypatch.setattr(type(searcher.embedder), "embed_passages", Mock(side_effect=AssertionError))
        searcher.reindex(check=False)
        assert (found("茶"), found("елка")) == (["tea"], ["tree"])


def test_words_of_another_version_are_refused() -> None:
    assert words_like("") is None
    for description in (WORDS.replace('"version": 3', '"version": 99'), "{", "[]", '{"version": 1, "model": "splade"}', '"x"'):
        with pytest.raises(IndexMismatch, match="search reindex"):
            words_like(description)


class Lists:
    """What an engine would answer, of points whose scores are known; and what it was asked."""

    def __init__(self, scores: Mapping[str, tuple[float, float]]) -> None:
        self._scores = scores
        self.requests: list[list[Listing]] = []

    def __call__(self, listings: Sequence[Listing]) -> list[list[Scored]]:
        self.requests.append(list(listings))
        return [self._answer(listing) for listing in listings]

    def _answer(self, listing: Listing) -> list[Scored]:
        column = int(isinstance(listing.vector, SparseVector))
        these = listing.filter["must"][0]["has_id"] if listing.filter else self._scores
        scored: list[Scored] = [(one, self._scores[one][column], {"id": one} if listing.payload else {}) for one in these]
        return sorted((one for one in scored if column == 0 or one[1] > 0), key=lambda one: -one[1])[: listing.limit]


WANTED = Query(unit(1), SparseVector([1], [1.0]), "hybrid", listed=2)


def test_scores_are_normalised_and_mixed_by_one_share() -> None:
    lists = Lists({"a": (0.9, 0.0), "b": (0.5, 6.0), "c": (0.1, 3.0)})
    both = matches(WANTED, 3, lists)
    unit = np.sqrt(1.5)
    assert [one.id for one in both] == ["a", "b", "c"]
    assert [one.fused for one in both] == pytest.approx([0.4 * unit, 0.3 * unit, -0.7 * unit])
    assert [(one.dense_rank, one.lexical_rank) for one in both] == [(1, None), (2, 1), (3, 2)]
    assert [(one.score, one.lexical, one.payload["id"]) for one in both] == [(0.9, 0.0, "a"), (0.5, 6.0, "b"), (0.1, 3.0, "c")]
    assert [one.id for one in matches(replace(WANTED, share=1.0), 3, lists)] == ["b", "c", "a"]
    assert [one.id for one in matches(replace(WANTED, retrieval="lexical"), 3, lists)] == ["b", "c"]
    dense = matches(replace(WANTED, retrieval="dense"), 2, lists)
    assert [(one.id, one.score, one.dense_rank, one.fused, one.lexical) for one in dense] == [
        ("a", 0.9, 1, None, None),
        ("b", 0.5, 2, None, None),
    ]


def test_scores_that_a_list_lacks_are_requested_and_payloads_come_along() -> None:
    lists = Lists({f"p{i:03}": (1 - i / 300, float(i % 7) / 3 + i / 200) for i in range(300)})
    found = matches(replace(WANTED, listed=100), 20, lists)
    assert [(listing.limit, listing.payload) for listing in lists.requests[0]] == [(100, False), (100, False)]
    assert [listing.payload for listing in lists.requests[1]] == [False, False, True]
    assert lists.requests[1][2].limit == 40
    assert len(lists.requests) <= 3
    assert len(found) == 20
    assert all(one.payload == {"id": one.id} for one in found)
    assert all((one.score, one.lexical) == lists._scores[one.id] for one in found)
    assert {one.dense_rank is None for one in found} | {one.lexical_rank is None for one in found} == {True, False}
    order = [one.fused for one in found]
    assert order == sorted(order, key=lambda score: -(score or 0))


@pytest.mark.parametrize(
    ("words", "most", "limits"),
    [(6.0, None, [[11], [300], [300]]), (6.0, 10, [[10], [10]]), (6.0, 50, [[11], [50], [50]]), (None, None, [[11], [10]])],
    ids=["equal ones", "no more at once", "few at once", "none are equal"],
)
def test_more_is_asked_for_only_where_the_last_of_a_list_has_equals(
    words: float | None, most: int | None, limits: list[list[int]]
) -> None:
    lists = Lists({f"p{i:03}": (i / 500, words or float(i + 1)) for i in range(400)})
    found = matches(replace(WANTED, retrieval="lexical"), 10, lists, lambda ids: {one: {} for one in ids}, most)
    assert len(found) == 10
    assert [[listing.limit for listing in request] for request in lists.requests] == limits


@pytest.mark.parametrize(("fall", "left", "there"), [(1e-6, 400, 10), (0.0, 7, 7), (0.0, 0, 0)], ids=["scores", "few", "none"])
def test_what_is_written_between_two_requests_takes_no_point_that_is_there(fall: float, left: int, there: int) -> None:
    scores = {f"p{i:03}": (i / 500, 6.0) for i in range(400)}
    lists = Lists(scores)

    def ask(listings: Sequence[Listing]) -> list[list[Scored]]:
        answers = lists(listings)
        changed = {one: (cosine, words - fall) for one, (cosine, words) in list(scores.items())[:left]}
        scores.clear()
        scores.update(changed)
        return answers

    assert len(matches(replace(WANTED, retrieval="lexical"), 10, ask, lambda ids: {one: {} for one in ids})) == there


def test_where_requests_cost_nothing_no_payload_is_read_for_nothing() -> None:
    scores = {f"p{i:03}": (1 - i / 300, float(i % 7) / 3 + i / 200) for i in range(300)}
    lists, travelling = Lists(scores), Lists(scores)
    wanted = replace(WANTED, listed=100)
    read: list[str] = []

    def payloads(ids: Sequence[str]) -> dict[str, Payload]:
        read.extend(ids)
        return {one: {"id": one} for one in ids}

    found = matches(wanted, 20, lists, payloads)
    assert found == matches(wanted, 20, travelling)
    assert [[listing.payload for listing in request] for request in lists.requests] == [[False, False], [False, False]]
    assert read == [one.id for one in found]


@pytest.mark.parametrize("read", [None, lambda ids: {one: {} for one in ids if one != "b"}])
def test_what_is_deleted_before_its_payload_is_read_is_left_out(read: Read | None) -> None:
    lists = Lists({"a": (0.9, 0.0), "b": (0.5, 6.0), "c": (0.1, 3.0)})

    def ask(listings: Sequence[Listing]) -> list[list[Scored]]:
        return [
            [one for one in points if one[0] != "b" or not listing.payload]
            for listing, points in zip(listings, lists(listings), strict=True)
        ]

    assert [one.id for one in matches(WANTED, 3, ask, read)] == ["a", "c"]


@pytest.mark.parametrize("retrieval", ["dense", "hybrid", "lexical"])
def test_a_point_that_a_list_has_twice_is_found_once(retrieval: Retrieval) -> None:
    """As where it was asked for in parts, of which it is in several."""
    lists, wanted = Lists({"a": (0.9, 0.0), "b": (0.5, 6.0), "c": (0.1, 3.0)}), replace(WANTED, retrieval=retrieval, listed=3)
    assert matches(wanted, 3, lambda listings: [points * 2 for points in lists(listings)]) == matches(wanted, 3, lists)


def test_a_payload_that_was_not_expected_is_requested() -> None:
    # By the lowest cosine of the list in the place of its own, "z" stands first; by its own, which is far lower, last.
    scores = {f"p{i:03}": (0.9, 1.0 + i / 1000) for i in range(40)} | {f"z{i:03}": (-1.0, 1.5 + i / 1000) for i in range(40)}
    lists = Lists(scores)
    found = matches(replace(WANTED, listed=40), 10, lists)
    assert len(lists.requests) == 3
    assert [one.id for one in found] == [f"p{i:03}" for i in range(39, 29, -1)]
    assert all(one.payload == {"id": one.id} for one in found)


def test_rare_words_count_for_more_in_a_collection_of_many_points() -> None:
    query = replace(WANTED, rare_share=0.5, listed=100)
    scores = {f"p{i:03}": (0.5 + i / 1000, 0.0) for i in range(120)}
    assert {one.share for one in matches(query, 20, Lists(scores | {"part": (0.4, 9.0)}))} == {0.5}
    assert matches(query, 20, Lists(scores | {"part": (0.4, 9.0)}))[0].id == "part"
    assert {one.share for one in matches(query, 20, Lists(scores))} == {0.0}  # there are none
    assert {one.share for one in matches(replace(query, rare_share=None), 20, Lists(scores | {"part": (0.4, 9.0)}))} == {0.3}
    common = scores | {f"part{i}": (0.4, 9.0) for i in range(10)}
    assert {one.share for one in matches(query, 20, Lists(common))} == {0.3}
    few = {f"p{i}": (0.5 + i / 1000, float(i == 3)) for i in range(20)}
    assert {one.share for one in matches(query, 20, Lists(few))} == {0.3}
    assert [Mix().rare_share_for(0.3), Mix().rare_share_for(0.8), Mix(0.3).rare_share_for(0.3)] == [0.5, 0.8, None]


def test_a_stranger_among_near_equal_passages_does_not_outweigh_the_words() -> None:
    """Cosines of part numbers are all alike, so that one other passage is many standard deviations away, and says nothing."""
    alike = {f"p{i:03}": (0.1 + i / 1e6, 0.0) for i in range(99)}
    found = matches(replace(WANTED, listed=100, share=0.4), 20, Lists(alike | {"stranger": (0.14, 0.0), "exact": (0.1, 9.0)}))
    assert [one.id for one in found[:2]] == ["exact", "stranger"]
    assert found[1].fused == pytest.approx(0.6 * 5 - 0.4 * 0.1, abs=0.01)


def test_what_has_none_of_the_words_stands_by_its_cosine_and_equals_by_their_ids() -> None:
    lists = Lists({"a": (0.1, 0.0), "b": (0.5, 0.0), "c": (0.2, 4.0), "e": (0.5, 0.0), "d": (0.5, 0.0)})
    assert [one.id for one in matches(replace(WANTED, share=1.0), 10, lists)] == ["c", "b", "d", "e", "a"]
    assert matches(WANTED, 10, Lists({})) == []
    assert [one.fused for one in matches(WANTED, 10, Lists({"a": (0.5, 2.0)}))] == [0.0]


def test_equals_stand_by_numbers_before_uuids(tmp_path: Path) -> None:
    names = ["10", "9", str(uuid.UUID(int=2)), str(uuid.UUID(int=1))]  # other programs number points
    with closing(EdgeIndex(tmp_path, "documents")) as index:
        index.ensure(SPEC, create=True)
        index.upsert([POINTS[0]._replace(id=name) for name in names])
        for retrieval in ("dense", "hybrid", "lexical"):
            found = index.query(Query(unit(1000), words("getValue"), retrieval, listed=10), 10)
            assert [one.id for one in found] == ["9", "10", *sorted(names[2:])]
            assert [one.lexical_rank for one in found] == ([None] * 4 if retrieval == "dense" else [1, 2, 3, 4])


def test_ids_of_found_points_alone_become_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    as_text = uuid.UUID.__str__

    def counted(one: uuid.UUID) -> str:
        texts.append(as_text(one))
        return texts[-1]

    with closing(EdgeIndex(tmp_path, "documents")) as index:
        index.ensure(SPEC, create=True)
        index.upsert(POINTS)
        monkeypatch.setattr(uuid.UUID, "__str__", counted)
        found = index.query(Query(unit(1000), words("pump again"), "hybrid", listed=40), 10)
    assert texts == [one.id for one in found]


@pytest.mark.parametrize("fusion", ["rrf", "dbsf"])
def test_fusions_of_qdrants_names_are_qdrants_own(tmp_path: Path, fusion: Fusion) -> None:
    drawn = np.random.default_rng(5).random(size=60)  # so that no two points are equal, whose order would be the engine's
    lexical = SparseVector([7], [1.0])
    with closing(EdgeIndex(tmp_path, "documents")) as index:
        index.ensure(SPEC, create=True)
        index.upsert([point._replace(lexical=SparseVector([7], [drawn[at]])) for at, point in enumerate(POINTS)])
        parts = [
            qdrant_edge.Prefetch(20, qdrant_edge.Query.Nearest(unit(1000).tolist())),
            qdrant_edge.Prefetch(20, qdrant_edge.Query.Nearest(to_sparse(lexical), using=LEXICAL)),
        ]
        own: Any = qdrant_edge.Fusion.Rrf(k=2) if fusion == "rrf" else qdrant_edge.Fusion.Dbsf()
        with index._opened.use() as shard:
            right = shard.query(qdrant_edge.QueryRequest(limit=40, query=own, prefetches=parts))
        query = Query(unit(1000), lexical, "hybrid", share=0.5, fusion=fusion, listed=20)
        found = {one.id: one.fused for one in index.query(query, 20)}
        best = {str(one.id): one.score / 2 for one in right}
        assert len(best) > 20
        assert list(found.values()) == pytest.approx(sorted(best.values(), reverse=True)[:20], abs=1e-6)
        assert all(best[one] == pytest.approx(score, abs=1e-6) for one, score in found.items())


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("Where do cats sleep?", 0.0, 0.0),
        ("embeddings of 200 tokens", 0.0, 0.0),
        ("什么导致全球变暖?", 0.5, 1.0),  # outside the vocabulary
        ("кто написал войну и мир", 0.9, 1.0),  # spelled out
        ("서울의 인구는 얼마입니까", 0.9, 1.0),
        ("XJ-9000-C", 0.2, 0.9),
        ("E0382", 0.3, 0.9),
        ("", 0.0, 0.0),
    ],
)
def test_a_model_cannot_read_what_it_spells_out(bundled_embedder: FastEmbedEmbedder, text: str, least: float, most: float) -> None:
    assert least <= bundled_embedder.tokenizer.unread_share(text) <= most
    assert [Mix().share_for(0.0), Mix(fusion="rrf").share_for(0.0), Mix(0.7).share_for(1.0)] == pytest.approx([0.3, 0.5, 0.7])
    assert Mix(fusion="dbsf").share_for(0.5) == 1.0
    assert [vote(0.0), vote(1 / 6), vote(1 / 3), vote(1.0)] == pytest.approx([1.0, 0.5, 0.0, 0.0])


def searching(
    embedder: FastEmbedEmbedder, index: VectorIndex, documents: Sequence[Document], lexical: str = WORDS
) -> SearchService:
    chunker = Chunker(embedder.tokenizer, 200, 0)
    Ingestion(embedder, index, chunker, max_characters=10_000, lexical=lexical).run(documents)
    return SearchService(embedder, index, lambda: None)


WARMING = {
    "sun": "太阳的能量驱动着地球的气候系统\uff0c并使地球保持温暖。",
    "people": "政府间气候变化专门委员会的结论是\uff0c人类活动导致了近期的全球变暖。",
    "volcanoes": "火山喷发会向大气中释放火山灰和二氧化硫。",
    "fuels": "燃烧化石燃料释放二氧化碳\uff0c是全球变暖的主要原因。",
}


def test_a_language_that_the_models_cannot_read_is_found_by_its_words(tmp_path: Path) -> None:
    with open_search(Settings(data_dir=tmp_path)) as searcher:
        searcher.ingest([Document(id=name, text=text) for name, text in WARMING.items()])
        result = searcher.search("什么导致了全球变暖?")
        assert {hit.document_id for hit in result.hits[:2]} == {"people", "fuels"}
        assert result.rerank_status == "full"
        assert any("so its words count for more" in warning for warning in result.warnings)
        alone = searcher.search("什么导致了全球变暖?", retrieval="lexical", rerank=False)
        assert alone.ranking == alone.retrieval_ranking == "score of the words"


def check_identifiers(index: VectorIndex, embedder: FastEmbedEmbedder, number: int) -> None:
    """Each is first among so many near-identical part numbers and a few others."""
    parts = [
        Document(id=f"part{i}", text=f"Pump XJ-{9000 + i // 26}-{chr(65 + i % 26)}, of steel, for water.") for i in range(number)
    ]
    others = [
        Document(id="rust", text="E0382: a value was used after it was moved."),
        Document(id="python", text="Call get_value before set_value."),
        Document(id="java", text="Call getColor() before setColor()."),
        Document(id="peps/pep-0517.rst", text="A build system that is independent of setuptools."),
    ]
    service = searching(embedder, index, [*parts, *others])
    asked = {"XJ-9000-C": "part2", "xj-9013-q": "part354", "E0382": "rust", "getValue": "python", "PEP 517": "peps/pep-0517.rst"}
    asked |= {"get_color": "java", "get_value": "python"}
    first = {query: service.search(query, SearchOptions(limit=3, depth=20)).hits[0].document_id for query in asked}
    assert first == asked


def test_part_numbers_and_identifiers_come_first(local_index: VectorIndex, quick_embedder: FastEmbedEmbedder) -> None:
    check_identifiers(local_index, quick_embedder, 520)


def test_part_numbers_and_identifiers_come_first_among_five_thousand(tmp_path: Path, quick_embedder: FastEmbedEmbedder) -> None:
    with closing(EdgeIndex(tmp_path, "documents")) as index:
        check_identifiers(index, quick_embedder, 5_000)


def test_metadata_that_the_settings_name_is_searched(local_index: VectorIndex, quick_embedder: FastEmbedEmbedder) -> None:
    books = [
        Document(id=f"b{i}", text="A book.", metadata={"isbn": f"97801311{i:05}", "authors": [{"name": f"Knuth{i}"}]})
        for i in range(30)
    ]
    lexical = describe(LexicalSettings(fields=("metadata.isbn", "metadata.authors.name", "metadata.absent")))
    service = searching(quick_embedder, local_index, books, lexical)
    options = SearchOptions(limit=1, depth=30, retrieval="lexical")
    assert service.search("9780131100007", options).hits[0].document_id == "b7"
    assert service.search("knuth21", options).hits[0].document_id == "b21"


def test_hits_say_which_of_both_found_them(local_index: VectorIndex, bundled_embedder: FastEmbedEmbedder) -> None:
    texts = {"cat": "Cats sleep most of the day.", "law": "Rule Q77 applies.", "gzip": "The gzip module compresses files."}
    service = searching(bundled_embedder, local_index, [Document(id=name, text=text) for name, text in texts.items()])
    result = service.search("What does a tired kitten do under Q77?", SearchOptions(limit=3, depth=3))
    hits = {hit.document_id: hit for hit in result.hits}
    assert (result.retrieval, result.ranking) == ("hybrid", result.retrieval_ranking)
    assert hits["law"].lexical_rank == 1
    assert hits["cat"].dense_rank == 1
    assert (hits["cat"].lexical_rank, hits["cat"].lexical_score) == (None, 0.0)
    assert [hit.score for hit in result.hits] == [hit.fusion_score for hit in result.hits]
    one = service.search("kitten", SearchOptions(limit=3, depth=3, retrieval="hybrid", lexical_share=0.0))
    assert one.retrieval_ranking == "0 z(words) + 1 z(cosine)"
    plain = service.search("kitten", SearchOptions(limit=3, depth=3, retrieval="dense"))
    assert [hit.document_id for hit in one.hits] == [hit.document_id for hit in plain.hits]
    assert {(hit.lexical_rank, hit.lexical_score, hit.fusion_score) for hit in plain.hits} == {(None, None, None)}


def test_stop_words_alone_are_told(local_index: VectorIndex, quick_embedder: FastEmbedEmbedder) -> None:
    service = searching(quick_embedder, local_index, [Document(id="a", text="A cat."), Document(id="b", text="The dog.")])
    told = "the query has no word that counts, only stop words or punctuation"
    both = service.search("What is the of?", SearchOptions(limit=2, depth=2))
    assert len(both.hits) == 2
    assert told in both.warnings
    alone = service.search("?!", SearchOptions(limit=2, depth=2, retrieval="lexical"))
    assert (alone.hits, alone.warnings) == ((), ())
    assert alone.empty_because == f"{told}; retrieval by vectors, or by both, finds passages"


def test_a_collection_without_words_is_searched_by_vectors_and_says_so(
    local_index: VectorIndex, quick_embedder: FastEmbedEmbedder
) -> None:
    service = searching(quick_embedder, local_index, [Document(id="a", text="A cat.")], lexical="")
    result = service.search("cat", SearchOptions(limit=1, depth=1, retrieval="hybrid"))
    assert (result.retrieval, result.ranking, len(result.hits)) == ("dense", "cosine similarity", 1)
    assert [warning for warning in result.warnings if "without words" in warning and "search reindex" in warning]
    assert not service.search("cat", SearchOptions(limit=1, depth=1)).warnings  # nobody asked for them
    with pytest.raises(InvalidQuery, match="search reindex"):
        service.search("cat", SearchOptions(limit=1, depth=1, retrieval="lexical"))


def test_a_share_of_words_that_counts_for_nothing_is_told(settings: Settings) -> None:
    told = "lexical_share counts for nothing where passages are found by their {} alone"
    by: list[tuple[Retrieval, str]] = [("dense", "vectors"), ("lexical", "words")]
    with serving(settings, with_pets) as served, Client(served.url) as client:
        for retrieval, what in by:
            for one in (served.searcher, client):
                warnings = one.search("cats", retrieval=retrieval, lexical_share=0.9).warnings
                assert [warning for warning in warnings if "lexical_share" in warning] == [told.format(what)]
                assert "lexical_share" not in str(one.search("cats", retrieval=retrieval).warnings)
        assert not client.search("cats", retrieval="hybrid", lexical_share=0.9).warnings
        assert not client.search("cats", lexical_share=0.9).warnings
    with open_search(settings.model_copy(update={"retrieval": "dense"})) as searcher:
        assert searcher.search("cats", lexical_share=0.9).warnings == (told.format("vectors"),)


def test_reindexing_brings_words_without_embedding_anything(settings: Settings, model_folder: Path) -> None:
    model = {"model": str(model_folder / "embedder-mean")}
    before = settings.model_copy(update={"lexical": LexicalSettings(model="none")})
    before = Settings(**{**before.model_dump(), "embedder": model, "reranker": {"kind": "none"}})
    documents = [Document(id=f"d{i}", title=f"Part {i}", text=f"Number Q{i} of many. " * (1 + i % 30)) for i in range(40)]
    with open_search(before) as searcher:
        searcher.ingest(documents)
        assert searcher.search("Q17").retrieval == "dense"
        assert not searcher.search("Q17").warnings
    after = before.model_copy(update={"lexical": LexicalSettings()})
    with open_search(after) as searcher:
        assert any("without words" in warning for warning in searcher.search("Q17").warnings)
        assert searcher.ingest(documents).unchanged == 40  # which leaves it as it was made
        assert searcher.index.spec.lexical == ""
        report = searcher.reindex()
        assert (report.switched, report.ingest.tokens, report.ingest.unchanged) == (True, 0, 40)
        assert searcher.search("Q17").retrieval == "hybrid"
        assert searcher.ingest(documents).unchanged == 40
        assert searcher.search("Q17", retrieval="lexical").hits[0].document_id == "d17"
        searcher.roll_back()
        assert searcher.search("Q17").retrieval == "dense"


def test_changed_and_updated_documents_have_their_new_words(settings: Settings, model_folder: Path) -> None:
    model = {"model": str(model_folder / "embedder-mean")}
    lexical = {"fields": ["metadata.code"]}
    with open_search(Settings(**settings.model_dump() | {"embedder": model, "lexical": lexical})) as searcher:
        searcher.ingest([Document(id="a", text="A pump."), Document(id="b", text="A valve.")])
        searcher.update({"code": "ZX81"}, ids=["b"])
        assert [hit.document_id for hit in searcher.search("ZX81", retrieval="lexical").hits] == ["b"]
        searcher.ingest([Document(id="a", text="A turbine.")])
        assert searcher.search("pump", retrieval="lexical").hits == ()
        assert [hit.document_id for hit in searcher.search("turbine", retrieval="lexical").hits] == ["a"]


@everywhere
def test_a_server_may_have_lost_its_words_meanwhile(standin: Any, model_folder: Path, tmp_path: Path) -> None:
    given = {"data_dir": tmp_path, "embedder": {"model": str(model_folder / "embedder-mean")}, "reranker": {"kind": "none"}}
    given["index"] = standin.index
    with open_search(Settings(**given, lexical={"model": "none"})) as searcher:
        searcher.ingest([Document(id="a", text="A pump.")])
        with open_search(Settings(**given)) as other:
            other.reindex(queries=["pump"])  # into another collection, which there is something to compare with
            assert other.search("pump").retrieval == "hybrid"
            other.roll_back()
            assert other.search("pump").retrieval == "dense"


def test_the_command_line_chooses_how_passages_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.txt").write_text("The pump XJ-9000-A.")
    (folder / "c.txt").write_text("The pump XJ-9000-C.")
    data = ["--data-dir", str(tmp_path / "data"), "--json"]
    as_json("ingest", str(folder), *data)
    for way, first in (("hybrid", "docs/c.txt"), ("lexical", "docs/c.txt"), ("dense", None)):
        told = as_json("query", "XJ-9000-C", "--retrieval", way, "--no-rerank", *data)
        assert told["retrieval"] == way
        assert first in {None, told["hits"][0]["document_id"]}
    explained = as_json("explain", "XJ-9000-C", *data)
    assert {"dense_rank", "lexical_rank", "lexical_score", "fusion_score"} <= explained["hits"][0].keys()
    assert "'hybrid'" in search("query", "x", "--retrieval", "sparse", *data, status=2).stderr
    with pytest.raises(InvalidQuery, match="between 0 and 1"):
        SearchOptions(lexical_share=1.5)


def test_tokenizers_of_other_kinds_spell_nothing_out() -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel

    loaded = Tokenizer(BPE(vocab={letter: number for number, letter in enumerate(sorted(ByteLevel.alphabet()))}, merges=[]))
    loaded.pre_tokenizer = ByteLevel()
    assert TextTokenizer(loaded).unread_share("кто") == 0.0


def test_a_rerankers_share_is_smaller_over_both() -> None:
    assert Recipe(weight=0.4).share(fused=False) == 0.4
    assert Recipe(weight=0.4).share(fused=True) == pytest.approx(0.24)
    assert Recipe(weight=0.4, weight_over_hybrid=0.1).share(fused=True) == 0.1
    assert Recipe().share(fused=True) == 1  # one that ranks by its score alone
    assert Recipe(weight=0.4).weighted(0.7).share(fused=True) == 0.7  # what a user says


def test_a_service_is_asked_for_one_of_them(settings: Settings) -> None:
    def fill(searcher: Searcher) -> None:
        searcher.ingest([Document("a", "The pump XJ-9000-A."), Document("c", "The pump XJ-9000-C."), Document("d", "Dogs bark.")])

    with serving(settings, fill) as served, Client(served.url) as client:
        both = client.search("XJ-9000-C")
        assert (both.retrieval, both.hits[0].document_id, len(both.hits)) == ("hybrid", "c", 3)
        assert {hit.document_id for hit in client.search("XJ-9000-C", retrieval="lexical").hits} == {"a", "c"}
        assert client.search("XJ-9000-C", retrieval="hybrid", lexical_share=0.5).retrieval_ranking == "0.5 z(words) + 0.5 z(cosine)"
        body = {"query": "XJ-9000-C", "explain": True}
        explained = httpx.post(f"{served.url}/v1/search", json=body).raise_for_status().json()["explanation"][0]
        assert (explained["document_id"], explained["lexical_rank"]) == ("c", 1)
        assert explained["fusion_score"] > 0
        for wrong in ({"retrieval": "sparse"}, {"lexical_share": 1.5}):
            assert httpx.post(f"{served.url}/v1/search", json={"query": "x", **wrong}).status_code == 422


def test_chinese_is_found_from_a_clean_clone(data: Path, tmp_path: Path, *, in_full: bool) -> None:
    dataset = load_dataset(data / "evaluate" / "xquad-zh", None)
    if not in_full:
        some = list(dataset.queries)[::12]
        dataset = replace(
            dataset, queries={one: dataset.queries[one] for one in some}, qrels={one: dataset.qrels[one] for one in some}
        )
    settings = Settings(data_dir=tmp_path)
    embedder = build_embedder(settings)
    with closing(build_corpus_index(settings, dataset.corpus_hash, embedder)) as index:
        means = evaluate(dataset, embedder, index, [], lexical=WORDS).means
    assert means["retrieval"]["nDCG@10"] >= 0.93


def test_an_evaluation_compares_every_way_to_find_candidates(tmp_path: Path) -> None:
    corpus = [{"_id": "cat", "text": "Cats sleep."}, {"_id": "part", "text": "XJ-9000-C"}, {"_id": "dog", "text": "Dogs bark."}]
    queries = [{"_id": "q1", "text": "a kitten's nap"}, {"_id": "q2", "text": "XJ-9000-C"}]
    dataset = write(tmp_path / "parts", corpus, queries, "q1\tcat\t1\nq2\tpart\t1\n")
    where = ("--data-dir", tmp_path / "data")
    told = as_json("evaluate", dataset, "--every-retrieval", *where)
    assert set(told["runs"]) == {"retrieval", "reranked", "dense", "lexical", "retrieval=dense", "retrieval=lexical"}
    by_query = {name: values["nDCG@10"] for name, values in told["runs"].items()}
    assert (by_query["retrieval"], by_query["lexical"]) == (1.0, 0.5)  # no word of the first query is in the corpus
    assert told["configurations"]["dense"]["ranking"] == "cosine similarity"
    assert told["configurations"]["lexical"]["gain"]["difference"] == -0.5
    assert told["configurations"]["retrieval=dense"]["ranking"] == "0.55 z(reranker) + 0.45 z(retrieval)"
    other = as_json("evaluate", dataset, *where, SEARCH_LEXICAL__SHARE="1", SEARCH_LEXICAL__FUSION="rrf")
    assert other["configurations"]["retrieval"]["ranking"] == "1 rrf(words) + 0 rrf(cosine)"
    alone = as_json("evaluate", dataset, "--every-retrieval", "--no-rerank", *where)
    assert set(alone["runs"]) == {"retrieval", "dense", "lexical"}
    shown = search("evaluate", dataset, "--every-retrieval", "--out", tmp_path / "report", *where).stdout
    assert "  order by cosine similarity\n" in shown
    assert "Recall@0" not in shown
    assert (tmp_path / "report" / "report.html").is_file()
    assert "retrieval alone is measured anyway" in wrong("evaluate", dataset, "--with", "reranker.kind=none", *where)
    assert "retrieval" in wrong("evaluate", dataset, "--with", "retrieval=sparse", *where)
    assert "nothing is" in wrong("evaluate", dataset, "--fail-if-worse", "--every-retrieval", "--no-rerank", *where)


def test_doctor_tells_of_a_collection_without_words(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Cats sleep.")
    where = ("--data-dir", tmp_path / "data")
    search("ingest", tmp_path / "a.txt", *where, SEARCH_LEXICAL__MODEL="none")
    told = "1 passage, found by vectors alone (search reindex adds words, and embeds nothing again)"
    assert told in search("doctor", *where).stdout
    assert "vectors alone" not in search("doctor", *where, SEARCH_LEXICAL__MODEL="none").stdout
    shown = search("query", "cats", *where)
    assert "note: collection 'documents' was made without words" in shown.stdout
    assert "search reindex" in error("query", "cats", "--retrieval", "lexical", *where)
    search("reindex", *where)
    assert "vectors alone" not in search("doctor", *where).stdout
    assert "retrieval: hybrid, order: 0.3 z(words) + 0.7 z(cosine); reranking: full" in search("query", "cats", *where).stdout
