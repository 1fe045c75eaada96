"""Which passages are hard to tell from the right one? What retrieval finds instead of it."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from search.documents import Candidate, Retrieval
from search.embedding.dense import Embedder
from search.embedding.sparse import WordsLike, words_like
from search.evaluation.datasets import Dataset
from search.index.contract import VectorIndex
from search.query.retrieval import Retriever
from training.copies import Shingles, alike, shingles


@dataclass(frozen=True)
class Pool:
    """The passages among which a query's relevant ones are to be found.

    Attributes:
        query: the query's id.
        positives: ids of the relevant documents.
        negatives: ids of documents that look relevant and are not judged so, those retrieval puts first at the front.
    """

    query: str
    positives: tuple[str, ...]
    negatives: tuple[str, ...]


def carve(dataset: Dataset, parts: Mapping[str, int], seed: int) -> dict[str, list[str]]:
    """Hold queries out, by document: a relevant document of a held-out query is no relevant document of any other part.

    Args:
        dataset: what to carve.
        parts: how many queries each part should have; what is left is the part "train".
        seed: which queries are taken.

    Returns:
        Query ids by part. A query whose relevant documents fall into several parts is in none.
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
    return carved


class Miner:
    """Finds candidates of queries in one data set, as a search would, and which of them are no answers."""

    def __init__(
        self,
        dataset: Dataset,
        embedder: Embedder,
        index: VectorIndex,
        words: WordsLike = words_like,
        *,
        depth: int = 30,
        guard: float = 1.1,
        retrieval: Retrieval | None = None,
    ) -> None:
        """Keep the parts.

        Args:
            dataset: the passages and their judgements.
            embedder: what is close to a query.
            index: a collection of the same passages; if it has words, they count as they do in a search.
            words: makes words as the collection has them.
            depth: how many candidates a query has.
            guard: a passage closer to the query than this many times the closest relevant one is probably relevant and not judged.
            retrieval: what finds candidates; None: vectors, and words if the collection has any.
        """
        self._dataset, self._embedder, self._depth, self._guard = dataset, embedder, depth, guard
        self._retriever, self._retrieval = Retriever(embedder, index, words=words), retrieval
        self._passages = {document.id: document.passage for document in dataset.documents}
        self._shingled: dict[str, Shingles] = {}

    def candidates(self, query: str) -> list[Candidate]:
        """What the first stage finds for a query of this id, best first."""
        return self._retriever.retrieve(self._dataset.queries[query], self._depth, retrieval=self._retrieval).candidates

    def pools(self, queries: Sequence[str]) -> Iterator[Pool]:
        """One pool a query; those without a relevant document in the corpus or without a negative are left out."""
        for query in queries:
            grades = self._dataset.qrels[query]
            positives = tuple(sorted(d for d, grade in grades.items() if grade > 0 and d in self._passages))
            if not positives:
                continue
            cosines = {candidate.document_id: candidate.retrieval_score for candidate in self.candidates(query)}
            closest = self._closest(query, positives, cosines)
            limit = closest + (self._guard - 1) * abs(closest)
            near = [document for document, cosine in cosines.items() if cosine <= limit]
            negatives = tuple(d for d in near if d not in grades and not self._copies(d, positives))
            if negatives:
                yield Pool(query, positives, negatives)

    def _closest(self, query: str, positives: Sequence[str], proposed: Mapping[str, float]) -> float:
        """The similarity of the closest relevant passage, whether the embedder has found it or not."""
        found = [proposed[document] for document in positives if document in proposed]
        if found:
            return max(found)
        vectors = self._embedder.embed_passages([self._passages[document] for document in positives])
        return float((vectors @ self._embedder.embed_query(self._dataset.queries[query])).max())

    def _copies(self, document: str, positives: Sequence[str]) -> bool:
        return any(alike(self._shingles(document), self._shingles(positive)) for positive in positives)

    def _shingles(self, document: str) -> Shingles:
        if document not in self._shingled:
            self._shingled[document] = shingles(self._passages[document])
        return self._shingled[document]


def _drawn(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{name}".encode()).digest()
