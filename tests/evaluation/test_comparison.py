"""Configurations side by side: real models on small data, and planted rerankers of which everyone knows what they are worth."""

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judged import CORPUS, QRELS, QUERIES, TOPICS, Oracle, knowing, stories, write

from search.cli.configurations import configurations
from search.documents import Document, Retrieval
from search.embedding.dense import FastEmbedEmbedder
from search.errors import CollectionNotFound, InvalidDataset, InvalidQuery
from search.evaluation import corpus
from search.evaluation.datasets import Dataset, load_dataset
from search.evaluation.runs import Configuration
from search.evaluation.verdict import evaluate
from search.factory import build_words
from search.index.contract import CollectionSpec
from search.index.edge.index import EdgeIndex
from search.query.options import SearchOptions
from search.query.service import SearchService
from search.reranking.chat import ChatReranker
from search.reranking.contract import Reranker
from search.reranking.cross_encoder import CrossEncoder
from search.reranking.heads import Listwise
from search.reranking.recipe import Recipe
from search.settings import Settings


@pytest.fixture(scope="module")
def topics() -> Dataset:
    return stories(TOPICS)


def alike(dataset: Dataset) -> Oracle:
    return Oracle({query: {} for query in dataset.queries.values()}, name="identity")


def shuffling(dataset: Dataset) -> Oracle:
    rng = np.random.default_rng(0)
    texts = [document.passage for document in dataset.documents]
    return Oracle({query: {text: float(rng.random()) for text in texts} for query in dataset.queries.values()}, name="shuffle")


def test_no_name_of_a_configuration_shows_a_key_or_a_password() -> None:
    words = "reranker.kind=chat reranker.url=http://user:s3cret@a/v1 reranker.model='a model' reranker.api_key=s3cret"
    plain = "reranker.kind=chat reranker.url=http://a/v1 reranker.model='a model'"
    told = [one.name for one in configurations(Settings(reranker={"kind": "none"}), [5], [words, plain])]
    assert told == ["reranker.kind=chat reranker.url=http://a/v1 reranker.model=a model reranker.api_key=…", plain]


def test_the_verdict_is_right_where_everyone_knows_it(topics: Dataset, tmp_path: Path, bundled_embedder: FastEmbedEmbedder) -> None:
    index = EdgeIndex(tmp_path, "topics")
    rerankers: dict[str, Reranker] = {"oracle": knowing(topics), "identity": alike(topics), "shuffle": shuffling(topics)}
    configurations = [Configuration(name, reranker, 20) for name, reranker in rerankers.items()]
    evaluation = evaluate(topics, bundled_embedder, index, configurations)
    index.close()
    told = evaluation.to_dict()["configurations"]
    assert [told[name]["verdict"] for name in rerankers] == ["helps", "no evidence", "hurts"]
    assert "helps: +" in told["oracle"]["words"]
    assert told["identity"]["gain"]["difference"] == 0
    assert evaluation.means["oracle"]["nDCG@10"] == pytest.approx(told["shuffle"]["ceiling"]["nDCG@10"])
    assert evaluation.means["identity"] == evaluation.means["retrieval"]


def test_real_models_end_to_end(tmp_path: Path, bundled_embedder: FastEmbedEmbedder, bundled_reranker: CrossEncoder) -> None:
    dataset = load_dataset(write(tmp_path / "pets", CORPUS, QUERIES, QRELS))
    index = EdgeIndex(tmp_path / "data", "pets")
    steps: list[str] = []

    def note(what: str, done: int, total: int) -> None:
        steps.append(f"{what} {done}/{total}")

    chosen = [Configuration("reranked", bundled_reranker, 2)]
    told = evaluate(dataset, bundled_embedder, index, chosen, on_progress=note).to_dict()
    assert steps == ["embedding 3/3", "querying 1/2", "querying 2/2"]
    assert told["runs"]["retrieval"]["nDCG@10"] == told["runs"]["reranked"]["nDCG@10"] == 1
    assert (told["queries"], told["documents"]) == (2, 3)
    assert told["notes"] == ["1 document has neither title nor text and is left out"]
    found = told["configurations"]["reranked"]
    assert (found["depth"], found["rerank_statuses"], found["failures"]) == (2, {"full": 2}, {})
    assert found["latency_ms"].keys() == {"embed", "retrieve", "rerank", "total"}
    assert found["latency_ms"]["total"]["p50"] > found["latency_ms"]["rerank"]["p50"] > 0
    assert found["verdict"] == "no evidence"
    steps.clear()
    assert evaluate(dataset, bundled_embedder, index, [], on_progress=note).to_dict()["runs"].keys() == {"retrieval"}
    assert steps == ["querying 1/2", "querying 2/2"]  # nothing is embedded twice
    index.close()


def test_a_stopped_embedding_goes_on(
    topics: Dataset, tmp_path: Path, bundled_embedder: FastEmbedEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = EdgeIndex(tmp_path, "topics")
    monkeypatch.setattr(corpus, "_BATCH", 16)

    def stop(_what: str, done: int, _total: int) -> None:
        if done == 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        corpus.embed_corpus(topics, bundled_embedder, index, stop)
    index.close()
    index = EdgeIndex(tmp_path, "topics")
    steps: list[int] = []
    corpus.embed_corpus(topics, bundled_embedder, index, lambda _what, done, _total: steps.append(done))
    assert steps == [40]  # what was written is there, and only the rest is embedded
    assert corpus.documents_in(index) == {document.id for document in topics.documents}
    index.close()


def test_depths_tell_apart_what_the_reranker_cannot_read(
    tmp_path: Path, bundled_embedder: FastEmbedEmbedder, bundled_reranker: CrossEncoder
) -> None:
    """Passages that are scored in several parts, of which only the last holds one without a known word."""
    words = "how do I descale a kettle"
    documents = [Document(str(number), f"Descale the kettle, part {number}.") for number in range(4)] + [Document("4", "ᚠᚢᚦ ᚨᚱᚲ")]
    dataset = Dataset("runes", "test", tuple(documents), {"q": words}, {"q": {"0": 1, "4": 1}})
    index = EdgeIndex(tmp_path, "runes")
    chosen = [Configuration(str(depth), bundled_reranker, depth) for depth in (5, 2, 4)]
    hits = evaluate(dataset, bundled_embedder, index, chosen, keep_hits=True).answers[1].hits["q"]
    assert {hit.document_id: hit.rerank_probability is None for hit in hits} == {
        document.id: document.id == "4" for document in documents
    }
    index.close()


def test_depths_and_shares_are_scored_once(topics: Dataset, tmp_path: Path, bundled_embedder: FastEmbedEmbedder) -> None:
    index = EdgeIndex(tmp_path, "topics")
    few = replace(topics, queries=dict(list(topics.queries.items())[:3]), qrels=dict(list(topics.qrels.items())[:3]))
    together = knowing(topics)
    wanted = [("deep", 20, None), ("shallow", 5, None), ("mixed", 20, 0.5), ("none", 10, 0.0)]
    evaluation = evaluate(few, bundled_embedder, index, [Configuration(n, together, d, w) for n, d, w in wanted])
    assert together.calls == [5, 5, 10] * 3
    for name, depth, weight in wanted:
        alone = evaluate(few, bundled_embedder, index, [Configuration(name, knowing(topics), depth, weight)])
        assert alone.answers[1].documents == next(a for a in evaluation.answers if a.name == name).documents
    assert [answers.name for answers in evaluation.answers] == ["retrieval", "deep", "shallow", "mixed", "none"]
    assert evaluation.means["none"] == evaluation.means["retrieval"]
    by_name = {answers.name: answers for answers in evaluation.answers}
    assert by_name["mixed"].ranking == "0.5 z(reranker) + 0.5 z(retrieval)"
    assert all(a < b for a, b in zip(by_name["shallow"].seconds["rerank"], by_name["deep"].seconds["rerank"], strict=True))
    # What compares passages with one another is asked for each depth anew.
    window = Listwise(item="{identifier} {document}")
    for recipe in (Recipe(head=window, template="{query} {passages}"), Recipe(ordered=True)):
        comparing = replace(knowing(topics), recipe=recipe, calls=[])
        evaluate(few, bundled_embedder, index, [Configuration(n, comparing, d) for n, d in (("a", 5), ("b", 10))])
        assert comparing.calls == [5, 10] * 3
    assert ChatReranker("http://127.0.0.1:1/v1", "x").recipe.compares
    index.close()


def test_the_ceiling_is_above_every_order_of_the_candidates(
    topics: Dataset, tmp_path: Path, bundled_embedder: FastEmbedEmbedder
) -> None:
    index = EdgeIndex(tmp_path, "topics")
    rerankers = {"oracle": knowing(topics), "identity": alike(topics), "shuffle": shuffling(topics)}
    chosen = [Configuration(f"{name} {depth}", one, depth) for name, one in rerankers.items() for depth in (1, 2, 3, 5, 20)]
    for measure in ("nDCG@10", "MAP", "Recall@10"):
        evaluation = evaluate(topics, bundled_embedder, index, chosen, names=[measure])
        for answers in evaluation.answers[1:]:
            reached, ceiling = evaluation.means[answers.name][measure], evaluation.ceiling(answers)[measure]
            assert reached <= ceiling + 1e-9
            if answers.reranker == "oracle":
                assert reached == pytest.approx(ceiling)
    index.close()


def test_measures_see_as_many_documents_as_they_ask_for(tmp_path: Path, bundled_embedder: FastEmbedEmbedder) -> None:
    documents = tuple(Document(id=f"d{n}", text=f"{'cats and ' * (n % 7)} number {n}") for n in range(300))
    dataset = Dataset("numbers", "all", documents, {"q": "cats"}, {"q": {document.id: 1 for document in documents}})
    index = EdgeIndex(tmp_path, "numbers")
    for depth in (5, 200):
        chosen = [Configuration("reranked", Oracle({"cats": {}}), depth)]
        means = evaluate(dataset, bundled_embedder, index, chosen, names=["MAP", "Recall@250", "Recall@1000"]).means
        assert means["retrieval"] == means["reranked"] == {"MAP": 1, "Recall@250": pytest.approx(250 / 300), "Recall@1000": 1}
    index.close()


def test_what_else_is_compared_changes_nothing(tmp_path: Path, bundled_embedder: FastEmbedEmbedder) -> None:
    """Scores are normalised over as many passages as are asked for, beyond a hundred, which can change the order of the first."""
    draw = random.Random(5)  # noqa: S311  # nothing to keep secret
    things = ["bread", "chess", "glass", "rivers", "ships", "snow", "tea", "violins", "wool", "yeast"]
    documents = tuple(Document(id=f"d{n}", text=" ".join(draw.choices(things, k=draw.randint(3, 12)))) for n in range(400))
    queries = {one: f"{one} and {other}" for one, other in pairwise(things)}
    dataset = Dataset("things", "all", documents, queries, {query: {"d0": 1} for query in queries})
    words = build_words(Settings())
    index = EdgeIndex(tmp_path, "things")
    oracle = Oracle({text: {} for text in queries.values()}, recipe=Recipe(weight=0.5))

    def orders(
        depths: list[int], ways: Sequence[Retrieval | None] = (None,), measure: str = "nDCG@10"
    ) -> dict[str, list[list[str]]]:
        chosen = [Configuration(f"{way} {depth}", oracle, depth, retrieval=way) for way in ways for depth in depths]
        more: dict[str, Any] = {"lexical": words.description, "names": [measure]}
        answers = evaluate(dataset, bundled_embedder, index, chosen, **more).answers
        return {one.name: [documents[:100] for documents in one.documents.values()] for one in answers}

    alone = orders([20])
    assert orders([20, 350]) == alone | {"None 350": orders([350])["None 350"]}
    assert orders([350])["retrieval"] == orders([5], measure="Recall@300")["retrieval"] == alone["retrieval"]
    both = orders([20, 50], (None, "dense"))
    assert (both["retrieval"], both["None 20"]) == (alone["retrieval"], alone["None 20"])
    service = SearchService(bundled_embedder, index, lambda: oracle, words=words)
    for depth in (20, 350):
        found = [service.search(query, SearchOptions(limit=20, depth=depth)).hits for query in queries.values()]
        assert [[hit.document_id for hit in hits] for hits in found] == [one[:20] for one in orders([depth])[f"None {depth}"]]
    index.close()


def test_the_order_is_told_of_most_queries_and_time_of_those_that_were_reranked(
    tmp_path: Path, bundled_embedder: FastEmbedEmbedder
) -> None:
    dataset = load_dataset(write(tmp_path / "pets", CORPUS, QUERIES, QRELS))
    queries = {"q1": "sleeping cats", "q2": "capital of France", "q3": "\u732b\u5728\u7761\u89c9", "q4": " "}
    dataset = replace(dataset, queries=queries, qrels={query: {"cat": 1} for query in queries})
    index = EdgeIndex(tmp_path / "data", "pets")
    oracle = Oracle({text: {} for text in queries.values()})
    more: dict[str, Any] = {"lexical": build_words(Settings()).description}
    alone, reranked = evaluate(dataset, bundled_embedder, index, [Configuration("reranked", oracle, 2)], **more).answers
    assert alone.ranking == "0.3 z(words) + 0.7 z(cosine), of 1 query otherwise"
    assert reranked.ranking == "reranker logit"
    assert [seconds > 0 for seconds in reranked.seconds["rerank"]] == [True, True, True, False]
    nothing = replace(dataset, queries={"q4": " "}, qrels={"q4": {"cat": 1}})
    assert evaluate(nothing, bundled_embedder, index, []).answers[0].ranking == "nothing, as no query found anything"
    index.close()


def test_what_is_wrong_is_said_before_anything_is_embedded(
    tmp_path: Path, topics: Dataset, bundled_embedder: FastEmbedEmbedder
) -> None:
    index = EdgeIndex(tmp_path, "topics")
    lexical = Configuration("retrieval=lexical", None, 5, retrieval="lexical")
    with pytest.raises(InvalidQuery, match="retrieval=lexical: nothing can be found by words, as the settings have none"):
        evaluate(topics, bundled_embedder, index, [lexical])
    with pytest.raises(InvalidQuery, match="two configurations are called 'a'"):
        evaluate(topics, bundled_embedder, index, [Configuration("a", knowing(topics), 5)] * 2)
    with pytest.raises(CollectionNotFound):
        index.ensure(CollectionSpec(bundled_embedder.dimension, bundled_embedder.fingerprint), create=False)


def test_what_the_embedder_did_not_read_is_told(tmp_path: Path, bundled_embedder: FastEmbedEmbedder) -> None:
    long = "cats sleep and dogs bark " * 100
    documents = (Document(id="long", text=long), Document(id="short", text="cats"))
    dataset = Dataset("long", "all", documents, {"q": long, "r": "cats"}, {"q": {"long": 1}, "r": {"short": 1}})
    index = EdgeIndex(tmp_path, "long")
    evaluation = evaluate(dataset, bundled_embedder, index, [])
    index.close()
    assert evaluation.notes == [
        "the embedder did not read the end of 1 of 2 passages",
        "the embedder did not read the end of 1 of 2 queries",
    ]


def test_a_failing_reranker_is_counted_and_shown(topics: Dataset, tmp_path: Path, bundled_embedder: FastEmbedEmbedder) -> None:
    index = EdgeIndex(tmp_path, "topics")
    bad = next(iter(topics.queries))
    some = replace(knowing(topics), broken=topics.queries[bad])
    none = replace(knowing(topics), wrong=True, name="miscounting")
    chosen = [Configuration("a", some, 5), Configuration("b", some, 10), Configuration("c", none, 10), Configuration("d", none, 5)]
    evaluation = evaluate(topics, bundled_embedder, index, chosen)
    index.close()
    told = evaluation.to_dict()["configurations"]
    for name in ("a", "b"):
        assert told[name]["rerank_statuses"] == {"full": 39, "failed": 1}
        assert told[name]["failures"] == {bad: "the reranker oracle failed: out of order"}
    for name, depth in (("c", 10), ("d", 5)):
        assert told[name]["rerank_statuses"] == {"failed": 40}
        assert told[name]["failures"][bad].startswith(f"the reranker miscounting failed: it gave {depth - 1} scores")
        assert evaluation.measures[name] == evaluation.measures["retrieval"]
    assert evaluation.measures["a"][bad] == evaluation.measures["retrieval"][bad]
    assert told["a"]["words"].endswith("40 queries; reranking failed on 1 of them")
    assert (told["a"]["passages_truncated"], told["a"]["queries_truncated"]) == (39 * 5, 39)


def test_a_collection_of_chunks_is_measured_by_document(tmp_path: Path, bundled_embedder: FastEmbedEmbedder) -> None:
    """Judgements about what was ingested: a document stands where its best passage does, and passages do not crowd it out."""
    from search.ingestion.chunking import Chunker
    from search.ingestion.run import Ingestion

    index = EdgeIndex(tmp_path, "documents")
    long = " ".join(f"Cats, part {n}: cats sleep most of the day, and cats hunt at night." for n in range(400))
    documents = [Document(id="cats", text=long), *(Document(id=t, text=f"All about {t} and more {t}.") for t in TOPICS[1:])]
    Ingestion(bundled_embedder, index, Chunker(bundled_embedder.tokenizer, 40, 0), max_characters=100_000).run(documents)
    labels = Dataset(
        "labels", "all", (), {"1": "cats", "2": "snow", "3": " "}, {"1": {"snow": 1}, "2": {"snow": 1}, "3": {"tea": 1}}
    )
    reranker = Oracle({"cats": {}, "snow": {}})
    evaluation = evaluate(labels, bundled_embedder, index, [Configuration("reranked", reranker, 5)], names=["Recall@100", "P@1"])
    found = evaluation.answers[0].documents["1"]
    assert found[0] == "cats"
    assert sorted(found) == sorted(TOPICS)  # though the first hundred passages are all of one document
    assert evaluation.measures["retrieval"] == {
        "1": {"Recall@100": 1, "P@1": 0},
        "2": {"Recall@100": 1, "P@1": 1},
        "3": {"Recall@100": 0, "P@1": 0},
    }
    assert evaluation.answers[1].statuses == {"full": 2, "skipped": 1}
    assert evaluation.documents == len(TOPICS)
    assert evaluation.notes == ["1 query is empty and counts 0 in every run, such as '3'"]
    with pytest.raises(InvalidDataset, match="none of 1 judged document of"):
        evaluate(replace(labels, qrels={"1": {"x": 1}}, queries={"1": "x"}), bundled_embedder, index, [])
    index.close()
    with pytest.raises(CollectionNotFound):
        evaluate(labels, bundled_embedder, EdgeIndex(tmp_path, "nowhere"), [])


def test_what_cannot_be_compared(topics: Dataset, tmp_path: Path, bundled_embedder: FastEmbedEmbedder) -> None:
    index = EdgeIndex(tmp_path, "topics")
    reranker = knowing(topics)
    with pytest.raises(InvalidQuery, match="depth is 0; rerank at least 1"):
        evaluate(topics, bundled_embedder, index, [Configuration("a", reranker, 0)])
    with pytest.raises(InvalidQuery, match="two configurations are called 'retrieval'"):
        evaluate(topics, bundled_embedder, index, [Configuration("retrieval", reranker, 5)])
    with pytest.raises(InvalidQuery, match="is no measure"):
        evaluate(topics, bundled_embedder, index, [], names=["nDCG"])
    graded = replace(topics, qrels={query: {query: 17} for query in topics.qrels})
    with pytest.raises(InvalidQuery, match="grade above 16"):
        evaluate(graded, bundled_embedder, EdgeIndex(tmp_path, "untouched"), [], names=["nDCG(exp)@10"])
    assert not (tmp_path / "untouched").exists()
    with pytest.raises(InvalidQuery, match="no measure is named"):
        evaluate(topics, bundled_embedder, index, [], names=[])
    index.close()


def test_a_real_set_comes_out_as_measured(
    data: Path,
    tmp_path: Path,
    bundled_embedder: FastEmbedEmbedder,
    bundled_reranker: CrossEncoder,
    in_full: bool,  # noqa: FBT001  # a fixture
) -> None:
    """Part of a real set, so that a change that ruins either stage cannot pass: figures as measured, less a little."""
    queries, others, depth, least = (30, 250, 20, 0.73) if in_full else (8, 40, 10, 0.86)
    whole = load_dataset(data / "evaluate" / "med")
    qrels = {query: dict(list(grades.items())[:5]) for query, grades in list(whole.qrels.items())[:queries]}
    judged = {document for grades in qrels.values() for document in grades}
    documents = [document for document in whole.documents if document.id in judged or int(document.id) <= others]
    dataset = replace(whole, documents=tuple(documents), queries={query: whole.queries[query] for query in qrels}, qrels=qrels)
    index = EdgeIndex(tmp_path, "med")
    means = evaluate(dataset, bundled_embedder, index, [Configuration("reranked", bundled_reranker, depth)]).means
    index.close()
    assert means["retrieval"]["nDCG@10"] > least
    assert means["reranked"]["nDCG@10"] > means["retrieval"]["nDCG@10"] - 0.01
