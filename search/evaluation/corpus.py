"""What is searched? The corpus of a data set, embedded once for each embedder, or a collection that is there already."""

from collections.abc import Callable

from search.documents import Chunk, counted
from search.embedding.dense import Embedder
from search.embedding.sparse import WordsLike, words_like
from search.evaluation.datasets import Dataset
from search.index.contract import CollectionSpec, VectorIndex
from search.index.points import passages, to_point
from search.ingestion.embedding import with_words
from search.ingestion.relay import in_groups

_BATCH = 256

Report = Callable[[str, int, int], None]  # what is being done, how much of it is, and of how much


def embed_corpus(
    dataset: Dataset,
    embedder: Embedder,
    index: VectorIndex,
    report: Report,
    lexical: str = "",
    words: WordsLike = words_like,
) -> None:
    """Put each document with one vector, of its title and text, and its words into the collection, where it is not there yet.

    What is written stays if a part fails, and the next call goes on from there.
    """
    index.ensure(CollectionSpec(embedder.dimension, embedder.fingerprint, lexical), create=True)
    tokenizer, held = embedder.tokenizer, documents_in(index)
    missing = [document for document in dataset.documents if document.id not in held]
    done = len(held)
    for group in in_groups(missing, _BATCH):
        chunks = [Chunk(d.id, 0, d.text, 0, len(d.text), d.title) for d in group]
        passages = [chunk.passage for chunk in chunks]
        tallies = tokenizer.tally(passages)
        vectors = embedder.embed_passages(passages)
        rows = zip(chunks, vectors, tallies, group, strict=True)
        points = [to_point(chunk, vector, tally, tokenizer.window, d.content_hash(), 1, 1) for chunk, vector, tally, d in rows]
        index.upsert(with_words(points, index.spec.lexical, words))
        done += len(group)
        report("embedding", done, len(dataset.documents))


def documents_in(index: VectorIndex) -> set[str]:
    """The ids of a collection's documents."""
    return {record.payload["document_id"] for record in passages(index.scroll(fields=["document_id"]), ["document_id"])}


def cut(dataset: Dataset, embedder: Embedder, index: VectorIndex) -> list[str]:
    """Notes about the passages and queries that the embedder did not read to their end."""
    fields = ["tokens", "tokens_embedded"]
    records = list(passages(index.scroll(fields=fields), fields))
    shortened = sum(record.payload["tokens_embedded"] < record.payload["tokens"] for record in records)
    tokenizer = embedder.tokenizer
    queries = sum(tally.tokens > tokenizer.query_window for tally in tokenizer.tally(list(dataset.queries.values())))
    counts = [(shortened, counted(len(records), "passage")), (queries, counted(len(dataset.queries), "query", "queries"))]
    return [f"the embedder did not read the end of {some:,} of {of_all}" for some, of_all in counts if some]
