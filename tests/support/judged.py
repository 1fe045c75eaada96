"""Small judged data: in BEIR's layout, and as queries of which a planted reranker knows the answers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from search.documents import Document
from search.evaluation.datasets import Dataset
from search.reranking.contract import Deadline, Scoring
from search.reranking.recipe import Recipe

CORPUS = [
    {"_id": "cat", "title": "Cats", "text": "Cats sleep most of the day."},
    {"_id": "dog", "title": "", "text": "Dogs bark at strangers."},
    {"_id": "paris", "title": "Paris, the capital of France", "text": ""},
    {"_id": "empty", "title": "", "text": " "},
]
QUERIES = [{"_id": "q1", "text": "sleeping cats"}, {"_id": "q2", "text": "capital of France"}, {"_id": "q3", "text": "unjudged"}]
QRELS = "q1\tcat\t2\nq1\tdog\t0\nq2\tparis\t1\n"


def lines(file: Path, rows: list[dict[str, Any]]) -> Path:
    """A file of JSON lines."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def write(folder: Path, corpus: list[dict[str, Any]], queries: list[dict[str, Any]], qrels: str, split: str = "test") -> Path:
    """A BEIR folder."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    lines(folder / "corpus.jsonl", corpus)
    lines(folder / "queries.jsonl", queries)
    (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + qrels)
    return folder


TOPICS = ["cats", "dogs", "bread", "ships", "rivers", "chess", "tea", "violins", "glass", "snow"]


def stories(topics: Sequence[str]) -> Dataset:
    """Four queries a topic with one relevant document each, which retrieval cannot tell from three others."""
    parts = [(topic, number) for topic in topics for number in range(4)]
    documents = [Document(id=f"{t} {n}", text=f"About {t}: part {n} of the story of {t}.") for t, n in parts]
    queries = {f"{topic} {number}": f"{'the ' * number}story of {topic}" for topic, number in parts}  # not saying which part
    return Dataset("topics", "all", tuple(documents), queries, {name: {name: 1} for name in queries})


@dataclass
class Oracle:
    """A reranker that scores passages by the grades it is given."""

    grades: dict[str, dict[str, float]]  # by query and passage
    name: str = "oracle"
    device: str = "cpu"
    verified: str = ""
    recipe: Recipe = field(default_factory=Recipe)
    calls: list[int] = field(default_factory=list)
    broken: str = ""  # a query it fails on
    wrong: bool = False  # whether it gives too few scores

    def score(self, query: str, texts: Sequence[str], *, deadline: Deadline | None = None) -> Scoring:
        self.calls.append(len(texts))
        if query == self.broken:
            message = "out of order"
            raise RuntimeError(message)
        scores = np.array([self.grades[query].get(text, 0.0) for text in texts], np.float32)
        tokens = np.full(len(texts), 3)
        return Scoring(scores[1:] if self.wrong else scores, tokens, tokens + 1, 2, 3)


def knowing(dataset: Dataset) -> Oracle:
    """One that knows the judgements of a data set."""
    texts = {document.id: document.passage for document in dataset.documents}
    return Oracle({dataset.queries[q]: {texts[d]: float(grade) for d, grade in g.items()} for q, g in dataset.qrels.items()})
