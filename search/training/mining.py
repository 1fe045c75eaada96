"""Which passages are hard to tell from the right one? What the embedder and BM25 find instead of it."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import bm25s
import numpy as np

from search.documents import Candidate
from search.errors import InvalidDataset
from search.evaluation import Dataset
from search.service import SearchService

Grades = Mapping[str, int]  # by document id
_SHINGLE = 5  # words
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Pool:
    """The passages among which a query's relevant ones are to be found.

    Attributes:
        query: the query's id.
        positives: ids of the relevant documents.
        negatives: ids of documents that look relevant and are not judged so, those the embedder puts first at the front.
    """

    query: str
    positives: tuple[str, ...]
    negatives: tuple[str, ...]


def carve(dataset: Dataset, parts: Mapping[str, int], seed: int) -> dict[str, list[str]]:
    """Hold queries out, by document: a relevant document of a held-out query is no relevant document of any other part.

    Args:
        dataset: what to carve.
        parts: how many queries each part should have; what is left is the part "train".
        seed: which queries are taken. The same seed takes the same ones, whatever else is in the data set.

    Returns:
        Query ids by part. A query whose relevant documents fall into several parts is in none.

    Raises:
        InvalidDataset: no query would be left to train on.
    """
    relevant = {query: sorted(d for d, grade in grades.items() if grade > 0) for query, grades in dataset.qrels.items()}
    relevant = {query: documents for query, documents in relevant.items() if documents and dataset.queries[query].strip()}
    asking: dict[str, list[str]] = {}
    for query, documents in relevant.items():
        for document in documents:
            asking.setdefault(document, []).append(query)
    order = sorted(asking, key=lambda document: _drawn(seed, document), reverse=True)  # taken from its end
    home: dict[str, str] = {}
    carved: dict[str, list[str]] = {}
    for part, size in parts.items():
        chosen: set[str] = set()
        while len(chosen) < size and order:
            document = order.pop()
            home[document] = part
            chosen |= {query for query in asking[document] if all(home.get(d) == part for d in relevant[query])}
        carved[part] = sorted(chosen, key=lambda query: _drawn(seed, query))[:size]
    carved["train"] = sorted(query for query, documents in relevant.items() if not any(d in home for d in documents))
    if not carved["train"]:
        message = f"{dataset.name}: holding out {sum(parts.values())} queries leaves none to train on; hold out fewer"
        raise InvalidDataset(message)
    return carved


class Miner:
    """Finds candidates of queries in one data set, by the embedder and by BM25."""

    def __init__(self, dataset: Dataset, service: SearchService, *, depth: int = 30, lexical: int = 10, guard: float = 1.1) -> None:
        """Index the passages for BM25.

        Args:
            dataset: the passages and their judgements.
            service: searches a collection of the same passages.
            depth: how many candidates the embedder proposes for a query.
            lexical: how many BM25 adds.
            guard: a passage closer to the query than this many times the closest relevant one is probably relevant and not judged.
        """
        self._dataset, self._service, self._depth, self._lexical, self._guard = dataset, service, depth, lexical, guard
        self._passages = {document.id: document.passage for document in dataset.documents}
        self._ids = list(self._passages)
        self._bm25 = bm25s.BM25()
        self._bm25.index(self._words(list(self._passages.values())), show_progress=False)
        self._shingled: dict[str, frozenset[int]] = {}

    def candidates(self, query: str) -> list[Candidate]:
        """What the embedder finds for a query of this id, closest first."""
        return self._service.retrieve(self._dataset.queries[query], self._depth)

    def pools(self, queries: Sequence[str]) -> Iterator[Pool]:
        """One pool a query; those without a relevant document in the corpus or without a negative are left out."""
        texts = [self._dataset.queries[query] for query in queries]
        count = min(self._lexical, len(self._ids))
        found, _ = self._bm25.retrieve(self._words(texts), k=max(count, 1), show_progress=False)
        for query, lexical in zip(queries, found, strict=True):
            grades = self._dataset.qrels[query]
            positives = tuple(sorted(d for d, grade in grades.items() if grade > 0 and d in self._passages))
            candidates = self.candidates(query)
            proposed = {candidate.document_id: candidate.retrieval_score for candidate in candidates}
            scores = [proposed[d] for d in positives if d in proposed]
            limit = max(scores) * self._guard if scores else np.inf
            near = [document for document, score in proposed.items() if score <= limit]
            # A passage that BM25 alone found is further from the query than all that the embedder found.
            further = [self._ids[place] for place in lexical[:count] if self._ids[place] not in proposed]
            negatives = tuple(d for d in [*near, *further] if d not in grades and not self._copies(d, positives))
            if positives and negatives:
                yield Pool(query, positives, negatives)

    def _copies(self, document: str, positives: Sequence[str]) -> bool:
        """Whether most of one text stands in the other: the same passage under another id, or a window that overlaps."""
        own = self._shingles(document)
        others = [self._shingles(positive) for positive in positives]
        return any(len(own & other) > 0.5 * min(len(own), len(other)) for other in others)

    def _shingles(self, document: str) -> frozenset[int]:
        if document not in self._shingled:
            words = _WORD.findall(self._passages[document].lower())
            grams = (" ".join(words[i : i + _SHINGLE]) for i in range(max(len(words) - _SHINGLE + 1, 1)))
            self._shingled[document] = frozenset(hash(gram) for gram in grams)
        return self._shingled[document]

    @staticmethod
    def _words(texts: Sequence[str]) -> "bm25s.tokenization.Tokenized":
        return bm25s.tokenize(list(texts), stopwords="en", show_progress=False)


def _drawn(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{name}".encode()).digest()
