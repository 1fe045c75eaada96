"""What does the index hold of these documents already, and what of others?"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from search.documents import passage_of
from search.index.contract import PlainFilter, Vector, VectorIndex
from search.index.points import passages
from search.ingestion.report import State


class Stored(NamedTuple):
    """How a document stands to what the index holds of it."""

    state: State
    generation: int  # the highest that any of its passages has; 0 if there is none


def compare(index: VectorIndex, revisions: Mapping[str, str]) -> dict[str, Stored]:
    """Look some documents up.

    Args:
        index: what holds them.
        revisions: by document id, what each should be at.
    """
    stored: dict[str, list[tuple[str, int, int]]] = {document_id: [] for document_id in revisions}
    fields = ["document_id", "revision", "chunks", "generation"]
    for record in passages(index.scroll(of(list(revisions)), fields), fields):
        payload = record.payload
        stored[payload["document_id"]].append((payload["revision"], payload["chunks"], payload.get("generation", 0)))

    def standing(document_id: str, revision: str) -> Stored:
        chunks = stored[document_id]
        if not chunks:
            return Stored("added", 0)
        complete = all(chunk[:2] == (revision, len(chunks)) for chunk in chunks)
        return Stored("unchanged" if complete else "changed", max(chunk[2] for chunk in chunks))

    return {document_id: standing(document_id, revision) for document_id, revision in revisions.items()}


def vectors_of(index: VectorIndex, document_id: str) -> dict[str, Vector]:
    """The vectors of a document's passages, by what was embedded: of any of its versions, since all are of one embedder."""
    fields = ["title", "text"]
    return {
        passage_of(record.payload["title"], record.payload["text"]): record.vector
        for record in passages(index.scroll(of([document_id]), fields, vectors=True), fields)
        if record.vector is not None
    }


def others(index: VectorIndex, known: Callable[[str], bool]) -> Iterator[str]:
    """Documents in the index that are not known, each once. What names no revision, too, may be another program's."""
    seen: set[str] = set()
    fields = ["document_id", "revision"]
    for record in passages(index.scroll(None, fields), fields):
        document_id = record.payload["document_id"]
        if document_id not in seen and not known(document_id):
            seen.add(document_id)
            yield document_id


def of(document_ids: list[str]) -> PlainFilter:
    """A filter for the passages of these documents."""
    return {"must": [{"key": "document_id", "match": {"any": document_ids}}]}


def written_of(document_ids: list[str], *, revisions_but: list[str] | None = None) -> PlainFilter:
    """The same for what is to be removed: without points of other programs that name such a document, which have no revision.

    Args:
        document_ids: of which documents.
        revisions_but: the revisions that stay.
    """
    stay = [{"key": "revision", "match": {"any": revisions_but}}] if revisions_but else []
    return {**of(document_ids), "must_not": [{"is_empty": {"key": "revision"}}, *stay]}
