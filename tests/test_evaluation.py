"""Measures by their definitions, data sets as they come, and the figures this project claims."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted import Planted

from search.embedding import FastEmbedEmbedder
from search.errors import InvalidDataset, InvalidQuery
from search.evaluation import evaluate, gain, load_dataset, mean, measure
from search.index.edge import EdgeIndex
from search.reranking.cross_encoder import CrossEncoder


def write(folder: Path, corpus: list[dict[str, Any]], queries: list[dict[str, Any]], qrels: str, split: str = "test") -> Path:
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + qrels)
    return folder


CORPUS = [
    {"_id": "cat", "title": "Cats", "text": "Cats sleep most of the day."},
    {"_id": "dog", "title": "", "text": "Dogs bark at strangers."},
    {"_id": "paris", "title": "Paris, the capital of France", "text": ""},
    {"_id": "empty", "title": "", "text": " "},
]
QUERIES = [{"_id": "q1", "text": "sleeping cats"}, {"_id": "q2", "text": "capital of France"}, {"_id": "q3", "text": "unjudged"}]
QRELS = "q1\tcat\t2\nq1\tdog\t0\nq2\tparis\t1\n"


def by_definition(run: dict[str, list[str]], qrels: dict[str, dict[str, int]]) -> dict[str, float]:
    """nDCG@10 with linear gain, Recall@100 and RR@10, from the definitions."""
    values: dict[str, list[float]] = {"nDCG@10": [], "Recall@100": [], "RR@10": []}
    for query, grades in qrels.items():
        answer = run.get(query, [])
        gains = [max(grades.get(document, 0), 0) for document in answer]
        relevant = [document for document, grade in grades.items() if grade > 0]

        def dcg(gains: list[int]) -> float:
            return sum(gain / math.log2(place + 2) for place, gain in enumerate(gains[:10]))

        ideal = dcg(sorted((max(grade, 0) for grade in grades.values()), reverse=True))
        values["nDCG@10"].append(dcg(gains) / ideal if ideal else 0)
        values["Recall@100"].append(len(set(answer[:100]) & set(relevant)) / len(relevant) if relevant else 0)
        values["RR@10"].append(next((1 / (place + 1) for place, gain in enumerate(gains[:10]) if gain > 0), 0))
    return {name: float(np.mean(figures)) for name, figures in values.items()}


@pytest.mark.parametrize("seed", range(20))
def test_measures_follow_their_definitions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    documents = [f"d{i}" for i in range(300)]
    judged = {f"q{q}": rng.choice(documents, rng.integers(1, 40), replace=False) for q in range(12)}
    qrels = {query: {str(document): int(rng.integers(0, 4)) for document in chosen} for query, chosen in judged.items()}
    run = {f"q{q}": [str(d) for d in rng.permutation(documents)[: rng.integers(1, 200)]] for q in range(12) if q % 5}
    assert mean(measure(run, qrels)) == pytest.approx(by_definition(run, qrels), abs=1e-6)


def test_a_gain_has_the_interval_of_the_paired_bootstrap() -> None:
    rng = np.random.default_rng(4)
    before = {f"q{i}": {"nDCG@10": float(value)} for i, value in enumerate(rng.random(400))}
    after = {query: {"nDCG@10": values["nDCG@10"] + rng.normal(0.05, 0.2)} for query, values in before.items()}
    differences = np.array([after[query]["nDCG@10"] - before[query]["nDCG@10"] for query in before])
    found = gain(before, after)
    assert found["nDCG@10"] == pytest.approx(differences.mean())
    half = 1.96 * differences.std() / np.sqrt(len(differences))  # what the normal distribution says of so many
    assert found["low"] == pytest.approx(differences.mean() - half, abs=0.003)
    assert found["high"] == pytest.approx(differences.mean() + half, abs=0.003)
    assert gain(before, before) == {"nDCG@10": 0, "low": 0, "high": 0}


def test_a_missing_answer_counts_as_zero() -> None:
    qrels = {"q1": {"d1": 1}, "q2": {"d2": 1}}
    assert mean(measure({"q1": ["d1"]}, qrels)) == {"nDCG@10": 0.5, "Recall@100": 0.5, "RR@10": 0.5}
    assert measure({"q1": [f"x{i}" for i in range(10)] + ["d1"]}, qrels)["q1"]["RR@10"] == 0


def test_a_data_set_is_read_as_it_comes(tmp_path: Path) -> None:
    dataset = load_dataset(write(tmp_path / "pets", CORPUS, QUERIES, QRELS, "dev"))
    assert (dataset.name, dataset.split) == ("pets", "dev")
    assert [(d.id, d.passage) for d in dataset.documents] == [
        ("cat", "Cats Cats sleep most of the day."),
        ("dog", "Dogs bark at strangers."),
        ("paris", "Paris, the capital of France"),
    ]
    assert dataset.queries == {"q1": "sleeping cats", "q2": "capital of France"}
    assert dataset.qrels == {"q1": {"cat": 2, "dog": 0}, "q2": {"paris": 1}}
    write(tmp_path / "pets", CORPUS, QUERIES, "q1\tdog\t1\n", "test")
    assert load_dataset(tmp_path / "pets").split == "test"
    assert load_dataset(tmp_path / "pets", "dev").split == "dev"


def test_blank_lines_and_empty_queries_are_borne(
    tmp_path: Path, bundled_embedder: FastEmbedEmbedder, bundled_reranker: CrossEncoder
) -> None:
    folder = write(tmp_path / "pets", CORPUS, [{"_id": "q1", "text": " "}, QUERIES[1]], QRELS)
    with (folder / "corpus.jsonl").open("a") as corpus:
        corpus.write("\n")
    index = EdgeIndex(tmp_path / "data", "pets")
    measured = evaluate(load_dataset(folder), bundled_embedder, bundled_reranker, index, depth=3)
    assert measured["runs"]["reranked"]["RR@10"] == 0.5
    with pytest.raises(InvalidQuery, match="depth is 0"):
        evaluate(load_dataset(folder), bundled_embedder, bundled_reranker, index, depth=0)
    index.close()


def test_evaluate_runs_both_stages_and_embeds_once(
    tmp_path: Path, bundled_embedder: FastEmbedEmbedder, bundled_reranker: CrossEncoder
) -> None:
    dataset = load_dataset(write(tmp_path / "pets", CORPUS, QUERIES, QRELS))
    index = EdgeIndex(tmp_path / "data", "pets")
    steps: list[str] = []

    def note(what: str, done: int, total: int) -> None:
        steps.append(f"{what} {done}/{total}")

    def run(reranker: Any) -> dict[str, Any]:
        steps.clear()
        return evaluate(
            dataset,
            bundled_embedder,
            reranker,
            index,
            depth=2,
            on_progress=note,
        )

    measured = run(bundled_reranker)
    assert measured["runs"]["retrieval"] == {"nDCG@10": 1, "Recall@100": 1, "RR@10": 1}
    assert measured["runs"]["reranked"] == {"nDCG@10": 1, "Recall@100": 1, "RR@10": 1}
    assert (measured["queries"], measured["documents"], measured["depth"]) == (2, 3, 2)
    assert measured["rerank_statuses"] == {"full": 2}
    assert steps == ["embedding 3/3", "querying 1/2", "querying 2/2"]
    # The second time nothing is embedded; a reranker that prefers the second candidate shows in the figures.
    measured = run(Planted([0.0, 1.0]))
    assert steps == ["querying 1/2", "querying 2/2"]
    assert measured["runs"]["reranked"]["RR@10"] == 0.5
    assert measured["runs"]["reranked"]["Recall@100"] == 1
    assert "reranked" not in run(None)["runs"]
    index.close()


INVALID: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]], str, str]] = {
    "no text in corpus": ([{"_id": "a"}], QUERIES, QRELS, r"corpus\.jsonl:1 lacks the string _id or text"),
    "number as id": ([{"_id": 1, "text": "x"}], QUERIES, QRELS, r"corpus\.jsonl:1 lacks"),
    "document named twice": ([CORPUS[0], CORPUS[0]], QUERIES, QRELS, "names a document twice"),
    "judged query missing": (CORPUS, QUERIES[:1], QRELS, "1 judged queries are not in queries.jsonl, such as 'q2'"),
    "judgements with two columns": (CORPUS, QUERIES, "q1\tcat\n", "separated by tabs"),
    "grade that is no number": (CORPUS, QUERIES, "q1\tcat\thigh\n", "separated by tabs"),
    "no judgements": (CORPUS, QUERIES, "", "holds no judgements"),
}


@pytest.mark.parametrize("name", INVALID)
def test_data_sets_that_do_not_fit_together(name: str, tmp_path: Path) -> None:
    corpus, queries, qrels, message = INVALID[name]
    with pytest.raises(InvalidDataset, match=message):
        load_dataset(write(tmp_path, corpus, queries, qrels))


def test_files_that_are_missing_or_broken(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match=r"no qrels/test\.tsv or dev\.tsv"):
        load_dataset(tmp_path)
    write(tmp_path, CORPUS, QUERIES, QRELS)
    with pytest.raises(InvalidDataset, match=r"no qrels/train\.tsv"):
        load_dataset(tmp_path, "train")
    (tmp_path / "corpus.jsonl").write_text("{")
    with pytest.raises(InvalidDataset, match=r"corpus\.jsonl cannot be read"):
        load_dataset(tmp_path)
    (tmp_path / "queries.jsonl").unlink()
    with pytest.raises(InvalidDataset, match=r"queries\.jsonl cannot be read"):
        load_dataset(tmp_path)


def test_a_real_set_comes_out_as_measured(
    data: Path, tmp_path: Path, bundled_embedder: FastEmbedEmbedder, bundled_reranker: CrossEncoder
) -> None:
    """Part of a real set, so that a change that ruins either stage cannot pass: figures as measured, less a little."""
    whole = load_dataset(data / "evaluate" / "med")
    judged = {document for grades in whole.qrels.values() for document in list(grades)[:5]}
    documents = [document for document in whole.documents if document.id in judged or int(document.id) <= 250]
    dataset = replace(whole, documents=tuple(documents), qrels={q: dict(list(g.items())[:5]) for q, g in whole.qrels.items()})
    index = EdgeIndex(tmp_path, "med")
    runs = evaluate(dataset, bundled_embedder, bundled_reranker, index, depth=20)["runs"]
    index.close()
    assert runs["retrieval"]["nDCG@10"] > 0.73
    assert runs["reranked"]["nDCG@10"] > runs["retrieval"]["nDCG@10"] - 0.01
