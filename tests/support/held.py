"""What a collection is given, and what it then holds."""

from collections.abc import Sequence
from typing import Any

from search.embedding.dense import FastEmbedEmbedder
from search.index.contract import VectorIndex
from search.ingestion.chunking import Chunker
from search.ingestion.report import IngestReport
from search.ingestion.run import Ingestion

LONG = "A sentence about nothing in particular. " * 60


def ingest(index: VectorIndex, embedder: FastEmbedEmbedder, documents: Sequence[Any], **options: Any) -> IngestReport:
    return Ingestion(embedder, index, Chunker(embedder.tokenizer, 64, 8), max_characters=10_000, **options).run(documents)


def contents(index: VectorIndex) -> dict[str, list[tuple[int, str, Any]]]:
    """What the collection holds, document by document."""
    held: dict[str, list[tuple[int, str, Any]]] = {}
    for record in index.scroll():
        entry = (record.payload["number"], record.payload["text"], dict(record.payload["metadata"]))
        held.setdefault(record.payload["document_id"], []).append(entry)
    return {document: sorted(chunks, key=lambda chunk: chunk[0]) for document, chunks in held.items()}
