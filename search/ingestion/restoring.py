"""Which documents does a collection hold? Given back as they were before they were cut."""

from collections.abc import Iterator

from search.documents import Document, Rejection, listed
from search.errors import DocumentIncomplete, DocumentNotFound
from search.index.contract import Record, VectorIndex
from search.index.points import as_passage, each_once, passages, to_document
from search.ingestion.joining import in_reading_order, joined, shared
from search.ingestion.lookup import Selection, digest_of, of_documents
from search.ingestion.relay import in_groups
from search.settings import section_of

_AT_ONCE = 128  # documents


def documents(index: VectorIndex) -> Iterator[Document | Rejection]:
    """Every document of a collection, in no order; of one that was half replaced its newest version that is whole."""
    for document_id, records in by_document(index):
        yield _document(index, document_id, records)


def selected(index: VectorIndex, selection: Selection) -> Iterator[Document | Rejection]:
    """The same of some of them; a document that is changed while this is iterated comes once all the same."""
    for group in in_groups(selection.among(index), _AT_ONCE):
        for document_id, records in _records(index, group, vectors=bool(index.spec.layout)).items():
            yield _joined(index, document_id, records) if index.spec.layout else _document(index, document_id, records)


def restored(index: VectorIndex, document_id: str) -> Document:
    """One document as it came.

    Raises:
        DocumentNotFound: there is none of this id.
        DocumentIncomplete: some of its passages are missing.
    """
    document = next(selected(index, Selection([document_id], None)), None)
    if document is None:
        raise DocumentNotFound(f"there is no document {listed([document_id])!r}")
    if isinstance(document, Rejection):
        raise DocumentIncomplete(f"{listed([document_id])!r}: {document.reason}")
    return document


def settled(index: VectorIndex, document_ids: list[str]) -> Iterator[tuple[Document, str]]:
    """Those of some documents of which one whole version is stored, and nothing else, with its revision."""
    for group in in_groups(document_ids, _AT_ONCE):
        for records in _records(index, group).values():
            whole = newest_whole(records)
            document = to_document([record.payload for record in whole])
            if document is not None and len(whole) == len(records):
                yield document, whole[0].payload["revision"]


def by_document(index: VectorIndex, *, vectors: bool = False) -> Iterator[tuple[str, list[Record]]]:
    """All passages of each document, none of one of which no passage is whole. Memory stays bounded by some 80 bytes for each."""
    seen: set[bytes] = set()

    def unseen() -> Iterator[str]:
        for record in passages(index.scroll(None, ["document_id", "revision"]), ["document_id", "revision"]):
            document_id = str(record.payload["document_id"])
            if (digest := digest_of(document_id)) not in seen:
                seen.add(digest)
                yield document_id

    for group in in_groups(unseen(), _AT_ONCE):
        yield from _records(index, group, vectors=vectors).items()


def newest_whole(records: list[Record]) -> list[Record]:
    """The passages of the newest version of a document that is whole, each once; none if no version is."""
    versions: dict[tuple[int, str], list[Record]] = {}
    for record in records:
        versions.setdefault((record.payload.get("generation", 0), record.payload["revision"]), []).append(record)
    once = {key: each_once(version) for key, version in versions.items()}
    whole = (key for key, version in once.items() if len(version) == version[0].payload["chunks"])
    newest = max(whole, default=None)
    return [] if newest is None else once[newest]


def incomplete(index: VectorIndex, document_id: str) -> Rejection:
    """A document of which no version is whole."""
    return Rejection(index.name, None, document_id, "what is stored of it is not all of it; ingest it again from its source")


def _records(index: VectorIndex, group: list[str], *, vectors: bool = False) -> dict[str, list[Record]]:
    """The passages of some documents; none of one of which no passage is whole."""
    records: dict[str, list[Record]] = {}
    asked = set(group)
    for record in index.scroll(of_documents(group), vectors=vectors):
        if not isinstance(document_id := record.payload.get("document_id"), str) or document_id not in asked:
            continue  # a list that holds the id, as another program may have it
        whole = records.setdefault(document_id, [])
        if as_passage(record.payload) is not None and (record.vector is not None or not vectors):
            whole.append(record)
    return records


def _joined(index: VectorIndex, document_id: str, records: list[Record]) -> Document | Rejection:
    """A document of another program's collection."""
    if not records:
        return Rejection(index.name, None, document_id, "no point of it has both a text and a vector")
    ordered = in_reading_order(records)
    if ordered is None:
        reason = (
            f"it is {len(records)} points, and nothing tells their order; name what does (`order` under "
            f"{section_of(index.name)} in search.toml)"
        )
        return Rejection(index.name, None, document_id, reason)
    payloads = [record.payload for record in ordered]
    text = joined([payload["text"] for payload in payloads], [payload["begins"] for payload in payloads])[0]
    metadata = shared([payload["metadata"] for payload in payloads])
    return Document(document_id, text, payloads[0]["title"], metadata)


def _document(index: VectorIndex, document_id: str, records: list[Record]) -> Document | Rejection:
    return to_document([record.payload for record in newest_whole(records)]) or incomplete(index, document_id)
