"""Which documents does an index hold, in which state, and which of them are meant?"""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from search.documents import checked_ids
from search.errors import CollectionNotFound, InvalidQuery
from search.index.contract import CollectionSpec, Payload, PlainFilter, Vector, VectorIndex
from search.index.filters import asks_anything, to_plain
from search.index.points import embedded_text, passages
from search.ingestion.relay import in_groups
from search.ingestion.report import State

if TYPE_CHECKING:
    from qdrant_client.models import Filter

AT_ONCE = 512  # documents that are looked up, or deleted


def opened(index: VectorIndex, spec: CollectionSpec, *, create: bool, needed: bool, writing: bool = False) -> bool:
    """Open a collection, as `VectorIndex.ensure` does; whether there is one.

    Raises:
        CollectionNotFound: there is none, and it is needed.
        IndexMismatch: it was made for another embedder.
    """
    try:
        index.ensure(spec, create=create, writing=writing)
    except CollectionNotFound:
        if needed:
            raise
        return False
    return True


class Stored(NamedTuple):
    """How a document stands to what the index holds of it."""

    state: State
    generation: int  # the highest that any of its passages has; 0 if there is none
    folder: str = ""  # where those were read; "" where that is not known
    revision: str = ""  # of those; "" if there is none
    repeats: bool = False  # whether there are more passages at the revision that it should be at than it has
    pushed: bool = False  # whether those came from an embedded collection


def compare(index: VectorIndex, revisions: Mapping[str, str], *, without: Collection[str] = ()) -> dict[str, Stored]:
    """Look documents up by the revision that each should be at; points with the ids in `without` do not count."""
    stored: dict[str, list[Payload]] = {document_id: [] for document_id in revisions}
    fields = ["document_id", "revision", "chunks", "number", "generation", "folder", "pushed"]
    for record in passages(index.scroll(of_documents(list(revisions)), fields), fields):
        if record.id not in without:
            stored[record.payload["document_id"]].append(record.payload)

    def standing(document_id: str, revision: str) -> Stored:
        held = stored[document_id]
        if not held:
            return Stored("added", 0)
        there = [one for one in held if one["revision"] == revision]
        numbers, sizes = {one["number"] for one in there}, {one["chunks"] for one in there}
        repeats = len(there) > len(numbers) or len(sizes) > 1
        complete = len(there) == len(held) and not repeats and sizes == {len(held)}
        newest = max(held, key=lambda one: one.get("generation", 0))
        generation, folder = newest.get("generation", 0), newest.get("folder", "")
        state: State = "unchanged" if complete else "changed"
        return Stored(state, generation, folder, newest["revision"], repeats, newest.get("pushed", False))

    return {document_id: standing(document_id, revision) for document_id, revision in revisions.items()}


def vectors_of(index: VectorIndex, document_id: str) -> dict[str, Vector]:
    """The vectors of a document's passages, by what was embedded: of any of its versions, since all are of one embedder."""
    fields = ["title", "text", "document_id", "number", "revision", "media_type"]
    return {
        embedded_text(record): record.vector
        for record in passages(index.scroll(of_documents([document_id]), fields, vectors=True), fields)
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


def folders_of(index: VectorIndex, document_ids: list[str]) -> dict[str, str]:
    """Where documents were read, as far as that is known."""
    fields = ["document_id", "folder"]
    records = passages(index.scroll(of_documents(document_ids), fields), fields)
    return {record.payload["document_id"]: record.payload["folder"] for record in records if record.payload.get("folder")}


def digest_of(document_id: str) -> bytes:
    """Eight bytes for an id: a million of them collide by a chance of one in forty million."""
    return hashlib.blake2b(document_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def of_documents(document_ids: list[str], *, revisions: list[str] | None = None) -> PlainFilter:
    """A filter for the passages of these documents, at any revision or at one of these."""
    at = [] if revisions is None else [{"key": "revision", "match": {"any": revisions}}]
    return {"must": [{"key": "document_id", "match": {"any": document_ids}}, *at]}


def written_of(document_ids: list[str], *, revisions_but: list[str] | None = None) -> PlainFilter:
    """The same for what is to be removed, but for some revisions that stay.

    Points of other programs that name such a document have no revision, and stay, too.
    """
    stay = [{"key": "revision", "match": {"any": revisions_but}}] if revisions_but else []
    return {**of_documents(document_ids), "must_not": [{"is_empty": {"key": "revision"}}, *stay]}


class Selection:
    """Documents named by ids, or those of which any passage passes a filter."""

    def __init__(self, ids: Sequence[str], filter: "Filter | Mapping[str, Any] | str | None") -> None:
        """Keep what names them; for the filter see search.index.filters.

        Raises:
            InvalidQuery: neither ids nor a filter, or both, ids that are no strings, or a filter that every passage passes.
            UnsupportedFilter: see search.index.filters.
        """
        self.ids = list(dict.fromkeys(checked_ids(ids, filter)))
        if not self.ids and filter is None:
            raise InvalidQuery("name the documents that are meant, by ids or by a filter")
        self._named = [of_documents(group) for group in in_groups(self.ids, AT_ONCE)]
        self._filters = [] if filter is None else [to_plain(filter)]
        if not all(map(asks_anything, self._filters)):
            raise InvalidQuery("an empty filter means every document, which is hardly meant; write a condition")

    def among(self, index: VectorIndex) -> list[str]:
        """The ids of those that an index holds, each once. For a filter, points without a revision are not this package's."""
        by_id, by_filter = ["document_id"], ["document_id", "revision"]
        asked, found = set(self.ids), dict[str, None]()  # a set that keeps its order
        for condition in self._named:
            ids = (str(record.payload["document_id"]) for record in passages(index.scroll(condition, by_id), by_id))
            found |= dict.fromkeys(one for one in ids if one in asked)  # not of a list that holds one, as of another program
        for condition in self._filters:
            records = passages(index.scroll(condition, by_filter), by_filter)
            found |= {str(record.payload["document_id"]): None for record in records}
        return list(found)
