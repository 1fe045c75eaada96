"""What a reranker is trained on: held-out queries stay out, negatives are hard and not hidden positives, the order is fixed."""

from pathlib import Path

import pytest
from judged import write
from planted import Planted
from training import mixture
from training.copies import Known
from training.mining import Miner, Pool, carve

from search.embedding.dense import FastEmbedEmbedder
from search.errors import InvalidDataset
from search.evaluation.corpus import embed_corpus
from search.evaluation.datasets import Dataset, load_dataset
from search.factory import build_words
from search.index.edge.index import EdgeIndex
from search.reranking.recipe import Recipe
from search.settings import Settings

SUBJECTS = ["cats", "ships", "volcanoes", "violins", "bees", "glaciers", "bridges", "comets"]


def judged(folder: Path, count: int = 40, per_document: int = 2) -> Dataset:
    corpus = [{"_id": f"d{i}", "title": "", "text": f"Passage {i} about {SUBJECTS[i % len(SUBJECTS)]}."} for i in range(count)]
    queries = [{"_id": f"q{i}", "text": f"question {i}"} for i in range(count * per_document)]
    qrels = "".join(f"q{i}\td{i % count}\t1\n" for i in range(count * per_document))
    return load_dataset(write(folder, corpus, queries, qrels), "test")


def test_parts_share_no_query_and_no_relevant_document(tmp_path: Path) -> None:
    dataset = judged(tmp_path)
    parts = carve(dataset, {"choose": 10, "check": 7}, seed=1)
    assert {name: len(queries) for name, queries in parts.items() if name != "train"} == {"choose": 10, "check": 7}
    documents = {name: {d for query in queries for d in dataset.qrels[query]} for name, queries in parts.items()}
    assert not documents["choose"] & documents["check"]
    assert not documents["train"] & (documents["choose"] | documents["check"])
    assert len(parts["train"]) == 80 - 10 - 8  # the eighth of "check" shares its document with the seventh


def test_a_seed_takes_the_same_documents_of_a_larger_data_set(tmp_path: Path) -> None:
    def taken(count: int, seed: int) -> set[str]:
        dataset = judged(tmp_path / f"{count}-{seed}", count)
        return {d for query in carve(dataset, {"check": 10}, seed)["check"] for d in dataset.qrels[query]}

    assert len(taken(40, 3) & taken(41, 3)) >= 4
    assert taken(40, 3) != taken(40, 4)


def test_a_query_whose_documents_fall_into_two_parts_is_in_none(tmp_path: Path) -> None:
    corpus = [{"_id": f"d{i}", "title": "", "text": f"text {i}"} for i in range(4)]
    queries = [{"_id": f"q{i}", "text": f"question {i}"} for i in range(5)]
    qrels = "q0\td0\t1\nq1\td1\t1\nq2\td2\t1\nq3\td3\t1\n" + "".join(f"q4\td{i}\t1\n" for i in range(4))
    parts = carve(load_dataset(write(tmp_path, corpus, queries, qrels), "test"), {"choose": 1, "check": 1}, seed=0)
    assert "q4" not in {query for queries in parts.values() for query in queries}


def test_everything_may_be_held_out(tmp_path: Path) -> None:
    parts = carve(judged(tmp_path), {"check": 80}, seed=0)
    assert (len(parts["check"]), parts["train"]) == (80, [])


CATS = "Cats sleep for most of the day, and they hunt at dawn and at dusk, when mice are about."
CORPUS = [
    {"_id": "right", "title": "Cats", "text": CATS},
    {"_id": "copy", "title": "", "text": f"{CATS} This is known."},
    {"_id": "near", "title": "", "text": "Dogs sleep at night and for half of the day."},
    {"_id": "graded", "title": "", "text": "Cats purr when they are content."},
    {"_id": "lexical", "title": "", "text": "The sleepers of a railway hold its rails; sleep hunt dawn dusk."},
    {"_id": "far", "title": "", "text": "The treaty was signed in Vienna."},
]
QRELS = "q1\tright\t1\nq1\tgraded\t0\n"


@pytest.fixture
def miner(tmp_path: Path, bundled_embedder: FastEmbedEmbedder) -> Miner:
    return mining(tmp_path, bundled_embedder)


def mining(folder: Path, embedder: FastEmbedEmbedder, qrels: str = QRELS, words: str = "", **options: float) -> Miner:
    queries = [{"_id": "q1", "text": "when do cats sleep and hunt: dawn or dusk"}]
    dataset = load_dataset(write(folder / "beir", CORPUS, queries, qrels), "test")
    index = EdgeIndex(folder / "data", "corpus")
    embed_corpus(dataset, embedder, index, lambda _what, _done, _total: None, words)
    return Miner(dataset, embedder, index, **options)  # type: ignore[arg-type]  # int and float


def test_negatives_are_near_and_neither_judged_nor_copies(miner: Miner) -> None:
    (pool,) = miner.pools(["q1"])
    assert pool.positives == ("right",)
    assert pool.negatives[0] == "near"
    assert set(pool.negatives) == {"near", "lexical", "far"}


def test_words_add_what_the_embedder_does_not_reach(tmp_path: Path, bundled_embedder: FastEmbedEmbedder) -> None:
    (shallow,) = mining(tmp_path / "1", bundled_embedder, depth=3).pools(["q1"])
    (both,) = mining(tmp_path / "2", bundled_embedder, words=build_words(Settings()).description, depth=3).pools(["q1"])
    assert "lexical" not in shallow.negatives
    assert "lexical" in both.negatives


def test_what_is_closer_than_the_guard_allows_is_no_negative(tmp_path: Path, bundled_embedder: FastEmbedEmbedder) -> None:
    (strict,) = mining(tmp_path / "1", bundled_embedder, guard=0.3).pools(["q1"])
    assert "near" not in strict.negatives
    assert "far" in strict.negatives


def test_the_guard_holds_where_the_embedder_did_not_find_the_relevant_passage(
    tmp_path: Path, bundled_embedder: FastEmbedEmbedder
) -> None:
    judgement = "q1\tfar\t1\n"
    (loose,) = mining(tmp_path / "1", bundled_embedder, judgement, depth=2, guard=100.0).pools(["q1"])
    assert len(loose.negatives) == 2
    assert list(mining(tmp_path / "2", bundled_embedder, judgement, depth=2).pools(["q1"])) == []


def test_nothing_is_mined_for_no_queries(miner: Miner) -> None:
    assert list(miner.pools([])) == []


def test_copies_are_known_under_any_name() -> None:
    known = Known([CATS, "Ships cross the sea in a week, and in winter they take longer than that."])
    assert known.holds(f"As is said: {CATS}")
    assert known.holds(CATS.upper())
    assert known.holds(" ".join(CATS.split()[:15]))
    assert not known.holds("Cats sleep at night, and dogs do, too; that is known of them.")
    assert not Known([]).holds(CATS)


def test_a_query_whose_relevant_document_is_not_there_is_left_out(tmp_path: Path, bundled_embedder: FastEmbedEmbedder) -> None:
    assert list(mining(tmp_path, bundled_embedder, "q1\tgone\t1\n").pools(["q1"])) == []


def pools(count: int) -> dict[str, dict[str, Pool]]:
    numbers = range(count)
    return {
        name: {f"{name}{i}": Pool(f"{name}{i}", (f"p{i}",), tuple(f"n{i}-{j}" for j in range(5))) for i in numbers} for name in "ab"
    }


def test_shares_order_and_choices_follow_seed_and_weight() -> None:
    known = pools(10)
    drawn = mixture.draw_queries({name: list(values) for name, values in known.items()}, {"a": 3, "b": 1}, 40, seed=5)
    assert {name: len(queries) for name, queries in drawn.items()} == {"a": 30, "b": 10}
    assert all(drawn["a"].count(query) == 3 for query in known["a"])
    assert drawn["a"][:10] != drawn["a"][10:20]  # each epoch has an order of its own
    examples = mixture.draw_examples(drawn, known, 3, seed=5)
    assert len(examples) == 40
    assert examples == mixture.draw_examples(drawn, known, 3, seed=5)
    assert examples != mixture.draw_examples(drawn, known, 3, seed=6)
    assert all(len(set(e.documents)) == 4 and e.documents[0].startswith("p") and e.labels == (1, 0, 0, 0) for e in examples)
    assert len({e.documents for e in examples if e.query == "a0"}) > 1  # chosen anew in every epoch


def test_queries_with_too_few_negatives_are_passed_over() -> None:
    known = pools(3)
    known["a"]["a0"] = Pool("a0", ("p",), ("n",))
    examples = mixture.draw_examples({"a": ["a0", "a1", "gone"]}, known, 2, seed=0)
    assert [example.query for example in examples] == ["a1"]
    with pytest.raises(InvalidDataset, match="fewer negatives"):
        mixture.draw_examples({"a": ["a1"]}, known, 6, seed=0)


def test_examples_are_kept_as_they_were_drawn(tmp_path: Path) -> None:
    examples = mixture.draw_examples({"a": ["a1", "a2"]}, pools(3), 2, seed=0)
    mixture.write(examples, tmp_path / "examples.jsonl")
    assert list(mixture.read(tmp_path / "examples.jsonl")) == examples
    assert [file.name for file in tmp_path.iterdir()] == ["examples.jsonl"]


TAUGHT = {
    "score": (True, Recipe(), 2.0),
    "logistic function": (False, Recipe(), 0.8808),
    "recipe's probability": (False, Recipe(scale=0.5), 0.9820),
}


@pytest.mark.parametrize("name", TAUGHT)
def test_a_teacher_labels_by_score_or_by_probability(name: str) -> None:
    raw, recipe, label = TAUGHT[name]
    examples = [mixture.Example("a", "q", ("d1", "d2"), (1.0, 0.0))]
    texts = {"a": ({"q": "question"}, {"d1": "one", "d2": "two"})}
    (example,) = mixture.taught(examples, texts, Planted([2.0, -2.0], recipe), raw=raw)
    assert example.labels == pytest.approx((label, -2.0 if raw else 1 - label), abs=1e-4)
    assert (example.query, example.documents) == ("q", ("d1", "d2"))
