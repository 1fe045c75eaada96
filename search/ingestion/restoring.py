"""Which documents does a collection hold? Given back as they were before they were cut."""

from collections.abc import Iterator

from search.documents import Document, Rejection
from search.index import Record, VectorIndex
from search.index.points import to_document
from search.ingestion.comparison import of
from search.ingestion.overlap import in_groups

_AT_ONCE = 128  # documents
FIRST_PASSAGES = {"must": [{"key": "number", "match": {"value": 0}}]}


def documents(index: VectorIndex) -> Iterator[Document | Rejection]:
    """Every document of a collection, in no order; of one that was half replaced its newest version, if that is whole."""
    for _, records in by_document(index):
        generations = sorted({record.payload.get("generation", 0) for record in records}, reverse=True)
        versions = ([one.payload for one in records if one.payload.get("generation", 0) == at] for at in generations)
        whole = (document for version in versions if (document := to_document(version)) is not None)
        document_id = str(records[0].payload["document_id"])
        reason = "what is stored of it is not all of it; ingest it again from its source"
        yield next(whole, None) or Rejection(index.name, None, document_id, reason)


def by_document(index: VectorIndex, *, vectors: bool = False) -> Iterator[tuple[str, list[Record]]]:
    """All passages of each document that has a first one."""
    firsts = (str(record.payload["document_id"]) for record in index.scroll(FIRST_PASSAGES, ["document_id"]))
    twice: set[str] = set()  # half replaced, with two first passages
    for group in in_groups(firsts, _AT_ONCE):
        found: dict[str, list[Record]] = {}
        for record in index.scroll(of(group), vectors=vectors):
            found.setdefault(str(record.payload["document_id"]), []).append(record)
        for document_id, records in found.items():
            if document_id not in twice:
                yield document_id, records
            if sum(record.payload["number"] == 0 for record in records) > 1:
                twice.add(document_id)
