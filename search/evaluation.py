"""Does the second stage help? A judged data set in, the field's measures out, with and without reranking."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytrec_eval

from search.documents import Chunk, Document
from search.embedding import Embedder
from search.errors import InvalidDataset, InvalidQuery
from search.index import CollectionSpec, VectorIndex
from search.index.points import to_point
from search.ingestion import in_groups
from search.ranking import rank
from search.reranking import Reranker
from search.service import SearchService

MEASURES = {"nDCG@10": "ndcg_cut_10", "Recall@100": "recall_100", "RR@10": "recip_rank"}
_RETRIEVED = 100
_BATCH = 256
_RESAMPLES = 10_000

Run = Mapping[str, Sequence[str]]  # query id -> document ids, best first
Measures = Mapping[str, Mapping[str, float]]  # query id -> measure -> value


@dataclass(frozen=True)
class Dataset:
    """A BEIR folder: corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv.

    Attributes:
        name: the folder's name.
        split: the qrels that were read.
        documents: the corpus; a document without text stands for its title, one without either cannot be found and is left out.
        queries: the judged queries, text by id.
        qrels: grade by query id and document id; above 0 is relevant.
    """

    name: str
    split: str
    documents: tuple[Document, ...]
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]

    @property
    def corpus_hash(self) -> str:
        """The same for the same corpus: 12 hexadecimal digits."""
        digest = hashlib.sha256()
        for document in self.documents:
            digest.update(document.content_hash().encode())
        return digest.hexdigest()[:12]


def load_dataset(folder: Path, split: str | None = None) -> Dataset:
    """Read a BEIR folder.

    Args:
        folder: where corpus.jsonl stands.
        split: the name of a file in qrels/; None takes test, else dev.

    Raises:
        InvalidDataset: a file is missing or cannot be understood, or the judgements name no query that is there.
    """
    wanted = [split] if split else ["test", "dev"]
    found = next((name for name in wanted if (folder / "qrels" / f"{name}.tsv").is_file()), None)
    if found is None:
        message = f"{folder} has no qrels/{' or '.join(f'{name}.tsv' for name in wanted)}; a BEIR folder has, beside corpus.jsonl"
        raise InvalidDataset(message)
    qrels = _read_qrels(folder / "qrels" / f"{found}.tsv")
    queries = {row["_id"]: row["text"] for row in _rows(folder / "queries.jsonl", ("_id", "text")) if row["_id"] in qrels}
    if missing := sorted(qrels.keys() - queries.keys()):
        message = f"{folder}: {len(missing)} judged queries are not in queries.jsonl, such as {missing[0]!r}"
        raise InvalidDataset(message)
    documents = []
    for row in _rows(folder / "corpus.jsonl", ("_id", "text")):
        title, text = row.get("title") or "", row["text"]
        if text.strip():
            documents.append(Document(id=row["_id"], text=text, title=title))
        elif title.strip():
            documents.append(Document(id=row["_id"], text=title))
    if len({document.id for document in documents}) < len(documents):
        message = f"{folder}/corpus.jsonl names a document twice; each _id must be unique"
        raise InvalidDataset(message)
    return Dataset(folder.resolve().name, found, tuple(documents), queries, qrels)


def evaluate(
    dataset: Dataset,
    embedder: Embedder,
    reranker: Reranker | None,
    index: VectorIndex,
    *,
    depth: int,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Run every judged query and measure.

    Each document is one vector of its title and text, unchunked. Retrieval gives 100 documents, or `depth` if that is more;
    reranking reorders the first `depth` of them. A judged query without an answer counts as zero.

    Args:
        dataset: what to search and what is relevant in it.
        embedder: the first stage.
        reranker: the second stage; None measures retrieval alone.
        index: a collection for this corpus and embedder; vectors it holds already are not computed again.
        depth: candidates reranked.
        on_progress: called with what is being done, how much of it is, and of how much.

    Returns:
        Plain data: `runs` holds each run's mean measures, `gain` what reranking adds to nDCG@10 and its confidence interval,
        `latency_ms` the median of each stage over the queries.

    Raises:
        SearchError: as the parts raise it.
    """
    if depth < 1:
        message = f"depth is {depth}; rerank at least 1 candidate"
        raise InvalidQuery(message)
    report = on_progress or (lambda _what, _done, _total: None)
    embed_corpus(dataset, embedder, index, report)
    service = SearchService(embedder, index, lambda: reranker)
    runs: dict[str, dict[str, list[str]]] = {name: {} for name in (("retrieval", "reranked") if reranker else ("retrieval",))}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    statuses: Counter[str] = Counter()
    words = "cosine similarity"
    truncated = 0
    for done, (query_id, query) in enumerate(dataset.queries.items(), 1):
        started = time.perf_counter()
        candidates = service.retrieve(query, max(_RETRIEVED, depth)) if query.strip() else []
        seconds["retrieval"].append(time.perf_counter() - started)
        runs["retrieval"][query_id] = [candidate.document_id for candidate in candidates]
        if reranker:
            started = time.perf_counter()
            ranking = rank(query, candidates[:depth], reranker)
            seconds["reranked"].append(time.perf_counter() - started)
            statuses[ranking.status] += 1
            words = ranking.words
            truncated += sum(hit.truncated for hit in ranking.hits)
            rest = [candidate.document_id for candidate in candidates[depth:]]
            runs["reranked"][query_id] = [hit.document_id for hit in ranking.hits] + rest
        report("querying", done, len(dataset.queries))
    measured = {name: measure(run, dataset.qrels) for name, run in runs.items()}
    return {
        "dataset": dataset.name,
        "split": dataset.split,
        "documents": len(dataset.documents),
        "queries": len(dataset.queries),
        "depth": depth,
        "embedder": embedder.name,
        "reranker": reranker.name if reranker else None,
        "device": embedder.device,
        "ranking": words,
        "rerank_statuses": dict(statuses),
        "passages_truncated": truncated,
        "runs": {name: mean(measures) for name, measures in measured.items()},
        "gain": gain(measured["retrieval"], measured["reranked"]) if reranker else None,
        "latency_ms": {name: float(np.median(values) * 1000) for name, values in seconds.items()},
    }


def measure(run: Run, qrels: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, float]]:
    """Measures of each judged query, by trec_eval's definitions: linear gain, and relevant means a grade above 0."""
    # trec_eval sorts by score, so a rank is handed over as a falling score; it has no RR@10, only RR of what it is given.
    full = {query: {document: float(-place) for place, document in enumerate(run.get(query, ()))} for query in qrels}
    top = {query: dict(list(documents.items())[:10]) for query, documents in full.items()}
    grades = {query: dict(documents) for query, documents in qrels.items()}
    deep = pytrec_eval.RelevanceEvaluator(grades, {"ndcg_cut_10", "recall_100"}).evaluate(full)
    first = pytrec_eval.RelevanceEvaluator(grades, {"recip_rank"}).evaluate(top)
    merged = {query: deep.get(query, {}) | first.get(query, {}) for query in qrels}
    return {query: {name: merged[query].get(key, 0.0) for name, key in MEASURES.items()} for query in qrels}


def mean(measures: Measures) -> dict[str, float]:
    """Average over the queries."""
    return {name: float(np.mean([values[name] for values in measures.values()])) for name in MEASURES}


def gain(before: Measures, after: Measures) -> dict[str, float]:
    """What one run has over another in nDCG@10, query by query.

    Returns:
        The mean difference, and `low` and `high`, its 95% confidence interval: percentiles of 10,000 paired bootstrap resamples.
    """
    differences = np.array([after[query]["nDCG@10"] - values["nDCG@10"] for query, values in before.items()])
    draw = np.random.default_rng(0)
    means = [float(draw.choice(differences, len(differences)).mean()) for _ in range(_RESAMPLES)]
    low, high = np.percentile(means, (2.5, 97.5))
    return {"nDCG@10": float(differences.mean()), "low": float(low), "high": float(high)}


def embed_corpus(dataset: Dataset, embedder: Embedder, index: VectorIndex, report: Callable[[str, int, int], None]) -> None:
    """Put one vector for each document into the collection, where it is not there yet; see `evaluate` for the arguments."""
    index.ensure(CollectionSpec(embedder.dimension, embedder.fingerprint), create=True)
    window = embedder.tokenizer.max_tokens - embedder.tokenizer.special_tokens(pair=False)
    held = {record.payload["document_id"] for record in index.scroll(fields=["document_id"])}
    missing = [document for document in dataset.documents if document.id not in held]
    done = len(held)
    for group in in_groups(missing, _BATCH):
        chunks = [Chunk(d.id, 0, d.text, 0, len(d.text), d.title) for d in group]
        passages = [chunk.passage for chunk in chunks]
        tallies = embedder.tokenizer.tally(passages)
        vectors = embedder.embed_passages(passages)
        rows = zip(chunks, vectors, tallies, group, strict=True)
        index.upsert([to_point(chunk, vector, tally, window, d.content_hash(), 1) for chunk, vector, tally, d in rows])
        done += len(group)
        report("embedding", done, len(dataset.documents))


def _rows(file: Path, fields: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not all(isinstance(row.get(field), str) for field in fields):
                    message = f"{file}:{number} lacks the string {' or '.join(fields)}"
                    raise InvalidDataset(message)
                rows.append(row)
    except (OSError, ValueError, AttributeError) as error:
        message = f"{file} cannot be read: {error}"
        raise InvalidDataset(message) from error
    return rows


def _read_qrels(file: Path) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    try:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines()):
            query, document, grade = line.split("\t")
            if number > 0:  # the first line is a header
                qrels.setdefault(query, {})[document] = int(grade)
    except (OSError, ValueError) as error:
        message = f"{file} is not lines of query-id, corpus-id and score, separated by tabs, below a header: {error}"
        raise InvalidDataset(message) from error
    if not qrels:
        message = f"{file} holds no judgements"
        raise InvalidDataset(message)
    return qrels
