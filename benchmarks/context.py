"""Is what answers a question in its context? Beside passages that are put in a row without numbers, titles and fences.

    .venv/bin/python benchmarks/context.py DATASETS/nq-qed [--cache FOLDER]

The argument is a BEIR folder. Its judgements name the passage that answers a question, not the words that do; so a context holds
the answer if the whole text of a relevant passage stands in it. Tokens are the bundled embedder's. Searches are kept in the
cache, and a run that was ended goes on from there.
"""

import argparse
import functools
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import record
from tokenizers import Tokenizer

import search.models
from search.documents import Hit, SearchResult
from search.evaluation.corpus import embed_corpus
from search.evaluation.datasets import Dataset, load_dataset
from search.evaluation.statistics import gain
from search.factory import build_corpus_index
from search.query.options import SearchOptions
from search.query.service import SearchService
from search.searcher import open_search
from search.settings import Settings

DEPTH, BUDGETS, PLAIN = 20, (500, 1000, 2000), 10
FILE = Path(search.models.__file__).parent / "all-MiniLM-L6-v2" / "tokenizer.json"


def searched(dataset: Dataset, file: Path) -> Iterator[tuple[SearchResult, SearchResult]]:
    """The answer to each question, with all candidates, by a file that holds those of before; and the one by vectors alone."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = file.read_text().splitlines() if file.is_file() else []
    known: dict[str, Any] = {row["query"]: row for row in map(json.loads, lines)}
    options = SearchOptions(limit=DEPTH, depth=DEPTH)
    alone = SearchOptions(limit=PLAIN, depth=PLAIN, rerank=False, retrieval="dense")
    with open_search(Settings()) as searcher, file.open("a") as kept:
        index = build_corpus_index(searcher.settings, dataset.corpus_hash, searcher.embedder)
        embed_corpus(dataset, searcher.embedder, index, _tell, searcher.words.description, searcher.words)
        service = SearchService(searcher.embedder, index, lambda: searcher.reranker, words=searcher.words)
        for number, query in enumerate(dataset.queries.values(), 1):
            if query not in known:
                known[query] = service.search(query, options).to_dict()
                kept.write(json.dumps(known[query], default=list) + "\n")
                kept.flush()
                if number % 100 == 0:
                    _tell("asking", number, len(dataset.queries))
            yield _result(known[query]), service.search(query, alone)
        index.close()


def in_retrieval_order(result: SearchResult) -> SearchResult:
    """The same answer as it would be without the reranker."""
    hits = sorted(result.hits, key=lambda hit: hit.retrieval_rank)
    return replace(result, hits=tuple(replace(hit, rank=rank) for rank, hit in enumerate(hits, 1)))


class Tally:
    """How much of the relevant passages each kind of context holds, and what it takes."""

    def __init__(self, dataset: Dataset) -> None:
        self._texts = {document.id: _words(document.text) for document in dataset.documents}
        self._qrels = {dataset.queries[query_id]: grades for query_id, grades in dataset.qrels.items()}
        self.whole: dict[str, list[float]] = {}
        self.part: dict[str, list[float]] = {}
        self.tokens: dict[str, list[float]] = {}

    def add(self, kind: str, query: str, held: Sequence[str], tokens: int) -> None:
        """Count the texts that a context of a question holds."""
        relevant = [self._texts[document] for document, grade in self._qrels[query].items() if grade > 0]
        texts = [_words(text) for text in held]
        share = max(_share(one, text) for one in relevant for text in texts or [""])
        self.whole.setdefault(kind, []).append(float(share == 1))
        self.part.setdefault(kind, []).append(share)
        self.tokens.setdefault(kind, []).append(tokens)

    def figures(self) -> dict[str, Any]:
        """Of each kind the share of questions, its interval, the share of the text, and tokens."""
        figures = {}
        for kind, whole in self.whole.items():
            held = gain(np.zeros(len(whole)), np.array(whole))
            figures[kind] = {
                "holds the relevant passage": held.difference,
                "low": held.low,
                "high": held.high,
                "share of its text": statistics.mean(self.part[kind]),
                "tokens": statistics.mean(self.tokens[kind]),
            }
        return figures

    def gain(self, before: str, after: str) -> dict[str, Any]:
        """What one kind has over another, in share of questions."""
        return gain(np.array(self.whole[before]), np.array(self.whole[after])).to_dict()


def measured(dataset: Dataset, file: Path) -> dict[str, Any]:
    """Contexts and plain passages, by both orders and each budget."""
    tally = Tally(dataset)
    for result, by_vectors in searched(dataset, file):
        for order, ranked in (("reranked", result), ("retrieval", in_retrieval_order(result))):
            for budget in BUDGETS:
                context = ranked.context(max_tokens=budget, tokenizer=FILE)
                assert context.tokens <= budget  # noqa: S101  # what is measured is what is promised
                tally.add(f"context, {order}, {budget}", result.query, [source.text for source in context.sources], context.tokens)
                plain, tokens = _in_a_row([hit.text for hit in ranked.hits], budget)
                tally.add(f"plain, {order}, {budget}", result.query, plain, tokens)
            first = [hit.text for hit in ranked.hits[:PLAIN]]
            for name, most in ((f"first {PLAIN}, {order}", 10**9), (f"first {PLAIN}, {order}, 2000", 2000)):
                tally.add(name, result.query, *_in_a_row(first, most))
        tally.add(f"first {PLAIN}, vectors, 2000", result.query, *_in_a_row([hit.text for hit in by_vectors.hits], 2000))
    gains = {
        f"{order}, {budget}": tally.gain(f"plain, {order}, {budget}", f"context, {order}, {budget}")
        for order in ("reranked", "retrieval")
        for budget in BUDGETS
    }
    over = {
        f"{of}, against the first {PLAIN} by {order}": tally.gain(f"first {PLAIN}, {order}, 2000", f"context, {of}, 1000")
        for of in ("reranked", "retrieval")
        for order in ("reranked", "retrieval", "vectors")
    }
    return {
        "dataset": dataset.name,
        "split": dataset.split,
        "questions": len(dataset.queries),
        "kinds": tally.figures(),
        "context over plain": gains,
        "context of 1000 over ten plain passages of 2000": over,
    }


def _in_a_row(texts: Sequence[str], budget: int) -> tuple[list[str], int]:
    """The texts with an empty line between them, the last one cut at the budget; and the tokens they have."""
    held = []
    left = budget
    for text in texts:
        offsets = _offsets(text)
        held.append(text if len(offsets) <= left else text[: offsets[left - 1][1]] if left else "")
        left -= min(left, len(offsets))
    return held, budget - left


@functools.lru_cache(maxsize=100)
def _offsets(text: str) -> list[tuple[int, int]]:
    """Where the tokens of a text are."""
    offsets: list[tuple[int, int]] = _tokenizer().encode(text, add_special_tokens=False).offsets
    return offsets


@functools.cache
def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(FILE))
    tokenizer.no_truncation()
    return tokenizer


def _share(relevant: str, text: str) -> float:
    """How much of a relevant text stands in another one, from its beginning on."""
    if relevant in text:
        return 1.0
    return len(text) / len(relevant) if text and relevant.startswith(text) else 0.0


def _words(text: str) -> str:
    return " ".join(text.split())


def _tell(what: str, done: int, of: int) -> None:
    print(f"{what}: {done:,} of {of:,}", flush=True)


def _result(row: dict[str, Any]) -> SearchResult:
    hits = tuple(Hit(**{name: value for name, value in hit.items() if name != "truncated"}) for hit in row["hits"])
    return SearchResult(**{**row, "hits": hits})


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--cache", type=Path, default=Path("context-cache"))
    given = parser.parse_args()
    dataset = load_dataset(given.dataset)
    record.write("context", measured(dataset, given.cache / f"{dataset.name}-{dataset.split}.jsonl"))


if __name__ == "__main__":
    main()
