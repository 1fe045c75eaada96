"""Near-duplicates of a collection, found with the bundled models and the real engine."""

from collections.abc import Iterator, Sequence
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from search.deduplication import finding
from search.deduplication.finding import Progress, find_duplicates
from search.deduplication.report import Duplicates
from search.documents import Document
from search.errors import CollectionNotFound, InferenceFailed, InvalidQuery
from search.reranking.cross_encoder import CrossEncoder
from search.searcher import Searcher, open_search
from search.settings import Settings

CATS = (
    "Cats sleep for most of the day, wherever it is warm, and hunt mice in the barn at night. Nobody has taught them how they "
    "do it, and nobody could. In winter they move into the house and lie beside the stove until the snow has gone."
)
BREAD = "Dough rises because yeast makes gas. Bakers let it rest for two hours before they shape loaves and heat the oven."
ORDER = "Order {} of the mill in {}: {} sacks of flour, {} pallets of salt and {} boxes of yeast, to be delivered before noon."
CODE = '''def mean(values):
    """The arithmetic mean of some numbers; 0 for none."""
    total = 0
    for value in values:
        total += value
    return total / len(values) if values else 0


def spread(values):
    """How far the largest lies from the smallest."""
    low, high = min(values), max(values)
    return abs(high - low)
'''
MOVED = '''def width(row):
    """How far the largest lies from the smallest."""
    left, right = min(row), max(row)
    return abs(right - left)


def centre(row):
    """The arithmetic mean of some numbers; 0 for none."""
    acc = 0
    for item in row:
        acc += item
    return acc / len(row) if row else 0
'''
DOCUMENTS = [
    Document("cats", CATS),
    Document("cats, loud", CATS.upper()),
    Document("cats, edited", CATS.replace("most of", "much of").replace("has taught", "has ever taught")),
    Document("bread", BREAD),
    Document("order 1", ORDER.format(17, "Lyon", 120, 4, 33)),
    Document("order 2", ORDER.format(58, "Graz", 75, 9, 210)),
    Document("code", CODE, media_type="text/x-python"),
    Document("code, moved", MOVED, media_type="text/x-python"),
]

EQUAL = [("text", CATS, "text/plain"), ("code", CODE, "text/x-python")]


@pytest.fixture
def searcher(settings: Settings) -> Iterator[Searcher]:
    with open_search(settings) as opened:
        yield opened


def ids(found: Duplicates) -> dict[str, set[str]]:
    return {cluster.representative.id: {one.document.id for one in cluster.duplicates} for cluster in found.clusters}


def test_copies_edits_and_moved_code_are_found_and_near_misses_are_not(searcher: Searcher) -> None:
    searcher.ingest(DOCUMENTS)
    steps: list[Progress] = []
    found = searcher.duplicates(rerank=True, on_progress=steps.append)
    clusters = [{representative, *others} for representative, others in ids(found).items()]
    assert sorted(map(sorted, clusters)) == [["cats", "cats, edited", "cats, loud"], ["code", "code, moved"]]
    assert (found.documents, found.threshold, found.notes) == (8, 0.9, ())
    assert "in both directions" in found.confirmed_by
    near = [one for cluster in found.clusters for one in cluster.duplicates if one.kind == "near"]
    assert near
    assert all(one.probability >= 0.9 and one.reranker for one in near)
    assert found.expected_share is not None
    assert 0.9 <= found.expected_share <= 1
    assert [step for at, step in enumerate(one.step for one in steps) if at == 0 or steps[at - 1].step != step] == [
        "reading documents",
        "finding candidates",
        "comparing pairs",
    ]
    assert searcher.count() == found.passages  # nothing was written
    with pytest.raises(FrozenInstanceError):
        found.clusters[0].representative.id = "x"  # type: ignore[misc]


def test_the_longest_then_the_oldest_then_the_first_by_id_represents(searcher: Searcher) -> None:
    searcher.ingest(
        [
            Document("a", CATS, modified=200.0),
            Document("b", f"  {CATS}\n\n", modified=100.0),  # white space makes no text longer
            Document("c", CATS.upper()),
            Document("d", BREAD),
            Document("e", BREAD.lower()),
        ]
    )
    assert ids(searcher.duplicates(threshold=1)) == {"b": {"a", "c"}, "d": {"e"}}


def test_many_copies_of_one_text_hide_nothing_behind_them(searcher: Searcher) -> None:
    edited = CATS.replace("most of", "much of")
    copies = [Document(f"copy {at:02}", CATS + "\n" * at) for at in range(30)]
    searcher.ingest([*copies, Document("edited", edited), Document("bread", BREAD)])
    (cluster,) = searcher.duplicates().clusters
    assert {cluster.representative.id, *(one.document.id for one in cluster.duplicates)} == {*(one.id for one in copies), "edited"}


def test_texts_are_equal_whatever_their_titles(searcher: Searcher) -> None:
    """One of them stands for all where pairs are looked for and judged."""
    titled = [
        Document(f"{kind} {at:02}", text, f"Title {at}", media_type=media_type)
        for kind, text, media_type in EQUAL
        for at in range(30)
    ]
    searcher.ingest([*titled, Document("edited", CATS.replace("most of", "much of")), Document("bread", BREAD)])
    texts, code = (tuple(f"{kind} {at:02}" for at in range(30)) for kind, _, _ in EQUAL)
    exact = searcher.duplicates(threshold=1)
    assert exact.pairs == 0
    assert [{cluster.representative.id, *(one.document.id for one in cluster.duplicates)} for cluster in exact.clusters] == [
        {*code},
        {*texts},
    ]
    found = searcher.duplicates()
    assert found.pairs < 10
    kinds = {one.document.id: (one.kind, one.probability) for cluster in found.clusters for one in cluster.duplicates}
    assert len(found.clusters) == 2
    assert sorted(kinds) == sorted({*texts, *code, "edited"} - {cluster.representative.id for cluster in found.clusters})
    assert all(kinds[one] == ("identical", 1.0) for one in code[1:])


def test_texts_of_which_all_pairs_are_duplicates_are_one_cluster(searcher: Searcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of twenty, a query gives ten; what they are compared with beyond that, clusters tell."""
    words = CATS.split()
    long = [at for at, word in enumerate(words) if len(word) > 3 and word[1] != word[2] and word.casefold() != "nobody"][:20]
    misspelt = [
        " ".join(word[0] + word[2] + word[1] + word[3:] if place == at else word for place, word in enumerate(words)) for at in long
    ]
    searcher.ingest([Document(f"{at:02}", text, f"Title {at}") for at, text in enumerate(misspelt)])
    found = searcher.duplicates()
    assert {one: len(others) for one, others in ids(found).items()} == {"00": 19}
    assert found.pairs < 20 * 19 / 2
    monkeypatch.setattr(finding, "_MOST_AGAIN", 1)
    unfinished = searcher.duplicates()
    assert len(unfinished.clusters) > 1
    assert "more pairs of clusters were not compared" in unfinished.notes[0]
    assert found.notes == ()


TURNS = [
    *[("it is warm", "it is not warm"), ("at night", "by day"), ("In winter", "In summer"), ("has taught", "has not taught")],
    *[("and hunt", "and never hunt"), ("they move into", "they do not move into"), ("has gone", "has not gone")],
    *[("Cats sleep", "Cats never sleep"), ("beside the stove", "without the stove")],
]


def test_near_misses_that_lie_nearer_hide_no_duplicate(searcher: Searcher) -> None:
    edited = (
        "In the barn cats hunt mice at night; for much of the day they sleep, wherever it is warm. Nobody has ever taught them "
        "how they do it, and nobody could. They move into the house in winter and lie near the stove until the snow has gone."
    )
    turned = [Document(f"turned {at}", CATS.replace(*turn)) for at, turn in enumerate(TURNS)]
    searcher.ingest([Document("cats", CATS), Document("edited", edited), *turned])
    assert {"cats", "edited"} in [{one, *others} for one, others in ids(searcher.duplicates()).items()]


def test_a_collection_of_one_and_an_empty_one_and_none(searcher: Searcher) -> None:
    with pytest.raises(CollectionNotFound):
        searcher.duplicates()
    searcher.ingest([Document("a", CATS)])
    found = searcher.duplicates()
    assert (found.clusters, found.documents, found.duplicate_ids, found.expected_share) == ((), 1, (), None)
    searcher.delete(ids=["a"])
    assert searcher.duplicates().documents == 0


@pytest.mark.parametrize("threshold", [0, -0.1, 1.01, 90, float("nan"), "0.9", True])
def test_a_threshold_out_of_range_says_what_to_give(searcher: Searcher, threshold: Any) -> None:
    searcher.ingest([Document("a", CATS)])
    with pytest.raises(InvalidQuery, match=r"threshold is .* above 0 and up to 1, such as 0\.9"):
        searcher.duplicates(threshold=threshold)


def test_without_a_reranker_signs_alone_decide_and_it_is_said(tmp_path: Any) -> None:
    off = Settings(data_dir=tmp_path, reranker={"kind": "none"})
    with open_search(off) as searcher:
        searcher.ingest(DOCUMENTS)
        found = searcher.duplicates(threshold=0.7, rerank=True)
    assert {"cats", "cats, edited", "cats, loud"} in [{one, *others} for one, others in ids(found).items()]
    assert found.confirmed_by == "words, numbers and names"
    assert "it is off" in found.notes[0]
    assert all(one.reranker is None for cluster in found.clusters for one in cluster.duplicates)


class Failing:
    """The bundled reranker, which breaks down after some queries, or has no map to a probability."""

    def __init__(self, real: CrossEncoder, answers: int) -> None:
        self.name, self.recipe, self.verified, self.device = real.name, real.recipe, real.verified, real.device
        self._real, self._answers = real, answers

    def score(self, query: str, texts: Sequence[str], *, deadline: Any = None) -> Any:
        self._answers -= 1
        if self._answers < 0:
            raise InferenceFailed("the graph gave up")
        return self._real.score(query, texts)


def test_a_reranker_that_fails_or_has_no_probability(searcher: Searcher, bundled_reranker: CrossEncoder) -> None:
    searcher.ingest(DOCUMENTS)
    index = searcher.opened()
    for answers in (0, 1):
        found = find_duplicates(index, Failing(bundled_reranker, answers))
        assert any("the graph gave up" in note for note in found.notes)
        assert "cats, loud" in found.duplicate_ids or "cats" in found.duplicate_ids
    raw = Failing(bundled_reranker, 100)
    raw.recipe = raw.recipe.model_copy(update={"scale": None, "points": ()})
    found = find_duplicates(index, raw)
    assert "gives no probability (search calibrate fits one)" in found.notes[0]


def test_json_holds_what_the_values_hold(searcher: Searcher) -> None:
    searcher.ingest(DOCUMENTS[:4])
    found = searcher.duplicates()
    told = found.to_dict()
    assert told["duplicates"] == len(found.duplicate_ids) == 2
    assert {one["kind"] for one in told["clusters"][0]["duplicates"]} <= {"identical", "near"}
    assert told["clusters"][0]["representative"]["document_id"] == found.clusters[0].representative.id
