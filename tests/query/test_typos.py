"""A word that no passage has is looked for as it may have been meant, the same by every engine, and the answer says so."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from commands import as_json, search
from conftest import OpenIndex

from search import Settings, open_search
from search.documents import Document, SearchResult
from search.embedding.dense import FastEmbedEmbedder
from search.embedding.sparse import Bm25, describe
from search.embedding.spelling import checkable, one_edit_from
from search.index import hybrid
from search.index.contract import CollectionSpec, Matches, PlainFilter, Query, VectorIndex
from search.index.hybrid import Listing, Scored
from search.ingestion.chunking import Chunker
from search.ingestion.run import Ingestion
from search.query.options import SearchOptions
from search.query.service import SearchService
from search.query.typos import Speller
from search.settings import LexicalSettings

pytestmark = pytest.mark.one_shard

WORDS = describe(LexicalSettings())
FILMS = {
    "chihiro": "Spirited Away was directed by Hayao Miyazaki.",
    "cars": "2 Fast 2 Furious is about cars, and they are driven furiously.",
    "rome": "The Gladiator fights in the arena, far from havens.",
    "pump": "The pump XJ-9000-A, error E0381, get_value.",
    "other": "Ravens and razors, sailors and tailors, in a zoo. Call askSkipper.",
}
NOTE = 'no passage has the word "miyasaki"; "Miyazaki" was looked for in its place'


def service_of(embedder: FastEmbedEmbedder, index: VectorIndex, films: dict[str, str] = FILMS, **lexical: Any) -> SearchService:
    words = describe(LexicalSettings(**lexical))
    chunker = Chunker(embedder.tokenizer, 200, 0)
    documents = [Document(id=name, text=text, metadata={"year": len(name)}) for name, text in films.items()]
    Ingestion(embedder, index, chunker, max_characters=10_000, lexical=words).run(documents)
    return SearchService(embedder, index, lambda: None)


def by_words(service: SearchService, query: str, filter: Any = None) -> SearchResult:
    return service.search(query, SearchOptions(limit=5, depth=5, retrieval="lexical", filter=filter))


def names(result: SearchResult) -> list[str]:
    return [hit.document_id for hit in result.hits]


@pytest.fixture
def service(local_index: VectorIndex, quick_embedder: FastEmbedEmbedder) -> SearchService:
    return service_of(quick_embedder, local_index)


def test_every_engine_finds_what_was_meant_and_says_so(open_index: OpenIndex, quick_embedder: FastEmbedEmbedder) -> None:
    service = service_of(quick_embedder, open_index("documents"))
    both = service.search("spirited away miyasaki", SearchOptions(limit=5, depth=5))
    scores = {hit.document_id: hit.lexical_score for hit in both.hits}
    assert NOTE in both.warnings
    right = service.search("spirited away miyazaki", SearchOptions(limit=5, depth=5))
    assert scores == pytest.approx({hit.document_id: hit.lexical_score for hit in right.hits})
    assert not [warning for warning in right.warnings if "no passage" in warning]
    assert names(by_words(service, "miyasaki")) == ["chihiro"]


@pytest.mark.parametrize(
    ("query", "first", "note"),
    [
        ("2 fast 2 furios", "cars", '"furios"; "Furious" was'),
        ("galdiator", "rome", '"galdiator"; "Gladiator" was'),
        ("gladiattor's helmet", "rome", '"gladiattor"; "Gladiator" was'),
        ("don't gladiattor's", "rome", '"gladiattor"; "Gladiator" was'),
        ("films\u2019 gladiattor\u2019s helmet", "rome", '"gladiattor"; "Gladiator" was'),
        ("pets' gladiattor, vets'", "rome", '"gladiattor"; "Gladiator" was'),
        ("\u201cbig\u201d gladiattor \u201cred\u201d", "rome", '"gladiattor"; "Gladiator" was'),
        ("\u00e0 la m\u00edyasaki", "chihiro", '"m\u00edyasaki"; "Miyazaki" was'),
        ("xtailors", "other", '"xtailors"; "tailors" was'),
        ("skiper", "other", '"skiper"; "Skipper" was'),
    ],
)
def test_one_error_in_a_word_is_forgiven(service: SearchService, query: str, first: str, note: str) -> None:
    result = by_words(service, query)
    assert result.hits[0].document_id == first
    assert [warning for warning in result.warnings if note in warning and warning.endswith("looked for in its place")]


def test_several_words_may_be_meant(local_index: VectorIndex, quick_embedder: FastEmbedEmbedder) -> None:
    four = {"a": "Maker, baker, baker, baker.", "b": "A maker.", "c": "A taker.", "d": "A faker and a raker."}
    result = by_words(service_of(quick_embedder, local_index, four), "xaker")
    assert set(names(result)) == {"a", "b", "c", "d"}
    expected = 'no passage has the word "xaker"; "baker", "Maker", '
    assert [
        warning
        for warning in result.warnings
        if warning.startswith(expected) and warning.endswith("and others were looked for in its place")
    ]


@pytest.mark.parametrize(("query", "meant"), [("emial", "e-mail"), ("xmail", "e-mail"), ("pripaid", "pre-paid")])
def test_what_a_hyphen_joins_may_be_meant(
    local_index: VectorIndex, quick_embedder: FastEmbedEmbedder, query: str, meant: str
) -> None:
    result = by_words(service_of(quick_embedder, local_index, {"post": "By e-mail, mail, or pre-paid letters."}), query)
    assert names(result) == ["post"]
    assert f'no passage has the word "{query}"; "{meant}" was looked for in its place' in result.warnings


def test_a_word_that_some_passage_has_is_not_touched(service: SearchService) -> None:
    result = by_words(service, "sailors")
    assert (names(result), result.warnings) == (["other"], ())
    mixed = by_words(service, "tailors xailors")  # what the query asks for anyway takes no word's place
    assert 'no passage has the word "xailors"; "sailors" was looked for in its place' in mixed.warnings


@pytest.mark.parametrize(
    "query",
    [
        "XJ-9000-C",
        "E0382",
        "get_valuee",
        "getMiyasaki",
        "GALDIATOR",
        "the GALDIATOR",
        "galdiator.py",
        "galdiator()",
        "/films/galdiator",
        "someone@galdiator",
        "semi-galdiator",
        '"galdiator"',
        '"the galdiator"',
        "`galdiator`",
        "\u201cgaldiator\u201d",
        "films \u201cthe galdiator\u201d",
        "\u201dgaldiator\u201d",
        "\u201egaldiator\u201c",
        "\u201egaldiator\u201d",
        "\u00abgaldiator\u00bb",
        "\u00bbgaldiator\u00ab",
        "\u2039galdiator\u203a",
        "\u203agaldiator\u2039",
        "\u2018galdiator\u2019",
        "\u2018the galdiator\u2019s\u2019",
        "\u201agaldiator\u2018",
        "'galdiator'",
        "\u300cgaldiator\u300d",
        "\u300egaldiator\u300f",
        "zooo",
    ],
)
def test_names_and_short_words_are_not_corrected(service: SearchService, query: str) -> None:
    result = by_words(service, query)
    assert not {"chihiro", "rome", "other"}.intersection(names(result))
    assert not [warning for warning in result.warnings if "no passage" in warning]


def test_other_scripts_are_searched_as_they_are_written(local_index: VectorIndex, quick_embedder: FastEmbedEmbedder) -> None:
    texts = {
        "russian": "\u0432\u043e\u0439\u043d\u0430 \u0438 \u043c\u0438\u0440",
        "chinese": "\u5168\u7403\u53d8\u6696\u7684\u539f\u56e0",
    }
    service = service_of(quick_embedder, local_index, texts)
    for query, found in (
        ("\u0432\u043e\u0439\u043d\u0430", ["russian"]),
        ("\u0432\u0430\u0439\u043d\u0430", []),
        ("\u5168\u7403\u53d8\u6696", ["chinese"]),
        ("\u51b0\u5ddd\u878d\u5316\u5417", []),
    ):
        result = by_words(service, query)
        assert (names(result), [warning for warning in result.warnings if "no passage" in warning]) == (found, [])
        assert checkable(query) == []


def test_a_query_of_another_language_is_not_corrected(service: SearchService) -> None:
    result = by_words(service, "galdiator miyasaki furios sailorz")
    assert (result.hits, result.warnings) == ((), ())
    assert names(by_words(service, "galdiator miyasaki sailorz"))


def test_a_filter_applies_to_what_is_found_and_not_to_which_words_there_are(service: SearchService) -> None:
    def only(name: str) -> dict[str, Any]:
        return {"must": [{"key": "document_id", "match": {"value": name}}]}

    assert names(by_words(service, "galdiator", only("rome"))) == ["rome"]
    elsewhere = by_words(service, "galdiator", only("cars"))
    assert (elsewhere.hits, elsewhere.warnings) == ((), ())
    right = by_words(service, "sailor", only("other"))  # spelt as the collection has it, though near to "tailor"
    assert (names(right), right.warnings) == (["other"], ())
    assert names(by_words(service, "havens")) == ["rome"]
    assert names(by_words(service, "ravens", only("rome"))) == []


class Counting:
    """An index whose queries are counted."""

    def __init__(self, index: VectorIndex) -> None:
        self._index = index
        self.asked: list[Query] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)

    def query(self, query: Query, limit: int) -> Matches:
        self.asked.append(query)
        return self._index.query(query, limit)


def test_there_is_a_second_query_only_where_a_word_is_unknown(local_index: VectorIndex, quick_embedder: FastEmbedEmbedder) -> None:
    service_of(quick_embedder, local_index)
    counting = Counting(local_index)
    service = SearchService(quick_embedder, counting, lambda: None)
    for query, queries in (
        ("spirited gladiator", 1),
        ("spirited galdiator", 2),
        ("E0382 of XJ-9000-C", 2),
    ):  # names ask for their own
        counting.asked.clear()
        service.search(query, SearchOptions(limit=5, depth=5))
        assert len(counting.asked) == queries
    counting.asked.clear()
    service.search("spirited galdiator", SearchOptions(limit=5, depth=5, retrieval="dense"))
    assert [list(one.probes) for one in counting.asked] == [[]]


def test_probes_travel_with_the_lists() -> None:
    words = Bm25(LexicalSettings())
    spirited, unknown = words.embed_query("spirited"), words.embed_query("galdiator")
    assert spirited
    requests: list[list[Listing]] = []

    def ask(listings: Sequence[Listing]) -> list[list[Scored]]:
        requests.append(list(listings))
        there = ("1", 1.0, {"text": "x"})
        return [[] if listing.vector == unknown else [there] for listing in listings]

    only: PlainFilter = {"must": [{"key": "a", "match": {"value": 1}}]}

    def asked(text: str, retrieval: Any) -> Matches:
        requests.clear()
        probes = list(words.words_to_check(text).values())
        return hybrid.matches(Query([0.0], words.embed_query(text), retrieval, only, probes=probes), 10, ask)  # type: ignore[arg-type]

    known = asked("spirited away", "hybrid")
    assert ([len(one) for one in requests], len(known), known.absent) == ([3, 1], 1, ())  # the second one is for payloads
    assert requests[0][2] == Listing(spirited, 1, None, payload=False)
    assert [listing.filter for listing in requests[0][:2]] == [only, only]
    lacking = asked("spirited galdiator", "hybrid")
    assert ([len(one) for one in requests], list(lacking), lacking.absent) == ([4], [], (1,))
    assert asked("spirited galdiator", "lexical").absent == (1,)
    assert asked("spirited galdiator", "dense").absent == ()


def test_the_settings_switch_it_off_and_the_collection_stays_as_it_was(tmp_path: Path, model_folder: Path) -> None:
    given = {"data_dir": tmp_path, "embedder": {"model": str(model_folder / "embedder-mean")}, "reranker": {"kind": "none"}}
    with open_search(Settings(**given)) as searcher:
        searcher.ingest([Document(id=name, text=text) for name, text in FILMS.items()])
        assert NOTE in searcher.search("miyasaki").warnings
        noted = searcher.index.spec.lexical
    with open_search(Settings(**given, lexical={"typos": False})) as searcher:
        result = searcher.search("miyasaki", retrieval="lexical")
        assert (result.hits, result.warnings) == ((), ())
        assert searcher.ingest([Document(id=name, text=text) for name, text in FILMS.items()]).unchanged == len(FILMS)
        assert searcher.index.spec.lexical == noted == describe(LexicalSettings(typos=False)) == WORDS


def test_a_long_query_stays_cheap(service: SearchService) -> None:
    by_words(service, "warm")
    for query in (
        "galdiator " * 10_000,
        "x" * 100_000,
        "a_" * 50_000,
        '"' * 100_000,
        " ".join(f"{'abcdefghij'[i % 10] * 7}{i:x}q" for i in range(9_000)),
    ):
        started = time.perf_counter()
        checked = checkable(query)
        assert time.perf_counter() - started < 1
        assert len(checked) <= 16
    many = " ".join("".join(chr(97 + int(digit)) for digit in f"{i:06}") for i in range(14_000))
    assert len(checkable(many)) == 16
    assert names(by_words(service, "galdiator " * 10_000)) == ["rome"]


def test_one_error_is_a_letter_more_less_other_or_two_swapped() -> None:
    near = one_edit_from("Gl\u00e1diator")
    assert {"gladitor", "galdiator", "gladiater", "gladiattor", "xgladiator"} <= set(near)
    assert "gladiator" not in near
    assert "gladiattro" not in near
    assert len(set(near)) == len(near) < 54 * 9 + 26
    assert min(map(len, one_edit_from("words"))) == 5  # a shorter one has too many neighbours


def test_a_second_search_has_what_is_left_of_the_time(local_index: VectorIndex, quick_embedder: FastEmbedEmbedder) -> None:
    service_of(quick_embedder, local_index)
    counting = Counting(local_index)
    service = SearchService(quick_embedder, counting, lambda: None)
    service.search("galdiator", SearchOptions(limit=5, depth=5, budget_ms=60_000))
    first, second = (one.timeout_s for one in counting.asked)
    assert first is not None
    assert second is not None
    assert 50 < second < first


def test_metadata_that_is_searched_is_named_too(local_index: VectorIndex, quick_embedder: FastEmbedEmbedder) -> None:
    local_index.ensure(
        CollectionSpec(quick_embedder.dimension, quick_embedder.fingerprint, describe(LexicalSettings(fields=("metadata.by",)))),
        create=True,
    )
    chunker = Chunker(quick_embedder.tokenizer, 200, 0)
    Ingestion(
        quick_embedder, local_index, chunker, max_characters=10_000, lexical=describe(LexicalSettings(fields=("metadata.by",)))
    ).run([Document(id="a", text="A book.", metadata={"by": "Tolstoi"})])
    result = by_words(SearchService(quick_embedder, local_index, lambda: None), "tolstoy")
    assert 'no passage has the word "tolstoy"; "Tolstoi" was looked for in its place' in result.warnings


def test_the_command_line_shows_it(tmp_path: Path) -> None:
    (tmp_path / "film.txt").write_text(FILMS["chihiro"])
    (tmp_path / "cars.txt").write_text(FILMS["cars"])
    where = ("--data-dir", tmp_path / "data")
    search("ingest", tmp_path / "film.txt", tmp_path / "cars.txt", *where)
    assert f"note: {NOTE}" in search("query", "miyasaki", "--no-rerank", *where).stdout
    assert NOTE in as_json("query", "miyasaki", *where)["warnings"]
    off = search("query", "miyasaki", "--no-rerank", *where, SEARCH_LEXICAL__TYPOS="false").stdout
    assert "no passage has a word of the query; passages" in off
    assert "looked for" not in off
    explained = as_json("explain", "miyasaki", *where)
    assert explained["hits"][0]["lexical_rank"] == 1


def test_only_words_that_count_by_themselves_are_checked() -> None:
    checked = Bm25(LexicalSettings()).words_to_check("Which galdiator was seen by 2 arches, or Arches?")
    assert list(checked) == ["galdiator", "arches"]  # neither stop words nor short ones, each once
    assert all(len(vector.indices) == 1 for vector in checked.values())
    assert Speller(Bm25(LexicalSettings()), "galdiator").notes([]) == []


GOODS = [
    Document("drill", "A cordless drill, model GSR-12.", metadata={"EAN": 4000381333931, "stock": 12}),
    Document("saw", "A saw, 4000381-333948.", metadata={"EAN": 4000381333948}),
    Document("boots", "Boots for wet hills.", metadata={"variants": [{"sku": "B0BOOT-S"}], "of": "2024-05", "new": True}),
]
OF_EAN = (
    'such values, which words do not find: filter by it, {"must": [{"key": "metadata.EAN", "match": {"value": 4006381333931}}]}'
)
OF_SKU = (
    'filter by it, {"must": [{"key": "metadata.variants[].sku", "match": {"value": "B0BOOT-L"}}]}, or name metadata.variants.sku in'
)


@pytest.mark.parametrize(
    ("query", "told", "nothing"),
    [
        ("4006381333931", OF_EAN, True),
        ("drill 4006381333931", OF_EAN, False),
        ("Is there B0BOOT-L?", OF_SKU, False),
        ("wide receiver zzqx9912", "", True),
        ("drill GSR-12", "", False),
        ("saw 4000381333948", "", False),  # which a passage has in groups
        ("boots", "", False),
        ("in the", "", False),
        ("400638133393", "", True),
    ],
)
def test_what_no_passage_has_is_told_with_the_field_that_has_such(
    query: str, told: str, nothing: Any, local_index: VectorIndex, quick_embedder: FastEmbedEmbedder
) -> None:
    chunker = Chunker(quick_embedder.tokenizer, 200, 0)
    Ingestion(quick_embedder, local_index, chunker, max_characters=10_000, lexical=WORDS).run(GOODS)
    service = SearchService(quick_embedder, local_index, lambda: None)
    warnings = service.search(query, SearchOptions(limit=5, depth=5)).warnings
    of_fields = [warning for warning in warnings if "lexical.fields" in warning]
    assert (len(of_fields), told in "".join(of_fields)) == (bool(told), True)
    none = "no passage has a word of the query; passages were found by their vectors alone"
    assert (none in warnings) == nothing
    drills = {"must": [{"key": "metadata.stock", "match": {"value": 12}}]}
    filtered = service.search("wet hills", SearchOptions(limit=5, depth=5, filter=drills)).warnings
    assert "no passage that passes the filter has a word of the query; passages were found by their vectors alone" in filtered


@pytest.mark.parametrize("query", ["boots B0BOOT-S", "boots B0BOOT-L"])
def test_of_fields_that_words_are_looked_for_in_nothing_is_told(
    query: str, local_index: VectorIndex, quick_embedder: FastEmbedEmbedder
) -> None:
    words = describe(LexicalSettings(fields=("metadata.variants.sku",)))
    Ingestion(quick_embedder, local_index, Chunker(quick_embedder.tokenizer, 200, 0), max_characters=10_000, lexical=words).run(
        GOODS
    )
    warnings = SearchService(quick_embedder, local_index, lambda: None).search(query, SearchOptions(limit=5, depth=5)).warnings
    assert "no passage that was found" not in "".join(warnings)
