"""Which documents may say the same? Those of one normalised text, and for every passage its nearest others in the index.

The cost grows with the passages, each of which is one query, and with what these find; never with all pairs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from search.deduplication.comparing import digest_of, overlap, sketch_of, words_of
from search.documents import Document
from search.index.contract import Query, Record, VectorIndex
from search.index.points import find, to_document
from search.ingestion.restoring import by_document, newest_whole

NEAREST = 10  # passages that a query gives, of which its own document's are some
_MOST = 200  # passages, where many copies of one text stand before all others
_COMMON = 0.3  # of the words of the shorter text, that both have: below it, no pair is looked at

OnStep = Callable[[int, int | None], None]  # how much is done, and of how much, if that is known


class Passage(NamedTuple):
    """What a query is made from."""

    number: int
    text: str
    record: Record


@dataclass(frozen=True)
class Entry:
    """A document of the collection with what is kept of it."""

    document: Document  # as it was ingested
    passages: tuple[Passage, ...]  # its texts with their vectors
    length: int  # words, in characters, without markup and white space
    digest: bytes  # the same for copies
    sketch: NDArray[np.uint32]  # its words, as uint32 (n,)


class Closest(NamedTuple):
    """A pair of documents, and the places of those of their passages that are closest to one another."""

    first: str
    second: str
    passages: tuple[int, int]
    cosine: float


@dataclass(frozen=True)
class Contents:
    """What a collection holds."""

    entries: dict[str, Entry]  # by the ids of documents
    incomplete: tuple[str, ...] = ()  # ids of documents that are not whole, and were left out
    copies: dict[bytes, list[str]] = field(default_factory=dict)  # ids of documents by their digest, in order


def read_contents(index: VectorIndex, on_step: OnStep) -> Contents:
    """All documents of a collection. They are in memory, with their vectors: some 5 kB each."""
    entries: dict[str, Entry] = {}
    incomplete: list[str] = []
    copies: dict[bytes, list[str]] = {}
    for document_id, records in by_document(index, vectors=True):
        whole = newest_whole(records)
        document = to_document([record.payload for record in whole])
        if document is None:
            incomplete.append(document_id)
            continue
        words = words_of(document)
        ordered = sorted(whole, key=lambda record: int(record.payload["number"]))
        passages = tuple(Passage(int(one.payload["number"]), one.payload["text"], one._replace(payload={})) for one in ordered)
        digest = digest_of(document)
        entries[document_id] = Entry(document, passages, sum(map(len, words)), digest, sketch_of(words))
        copies.setdefault(digest, []).append(document_id)
        on_step(len(entries), None)
    return Contents(entries, tuple(sorted(incomplete)), {digest: sorted(ids) for digest, ids in copies.items()})


def nearest_pairs(index: VectorIndex, contents: Contents, on_step: OnStep) -> list[Closest]:
    """Pairs of documents of which a passage is among the nearest of one of the other's, and which share words.

    Of copies of one text only the first is asked for, and only the first is given. `on_step` hears of each passage that was.
    """
    best: dict[tuple[str, str], Closest] = {}
    firsts = [ids[0] for ids in contents.copies.values()]
    passages = [(one, place) for one in firsts for place in range(len(contents.entries[one].passages))]
    for done, (document_id, place) in enumerate(passages, 1):
        entry = contents.entries[document_id]
        for other_id, number, cosine in _nearest(index, contents, entry, place):
            first, second = sorted((document_id, other_id))
            found = best.get((first, second))
            if found is None and overlap(entry.sketch, contents.entries[other_id].sketch) < _COMMON:
                continue
            if found is None or cosine > found.cosine:
                places = (place, number) if first == document_id else (number, place)
                best[first, second] = Closest(first, second, places, cosine)
        on_step(done, len(passages))
    return [best[pair] for pair in sorted(best)]


def _nearest(index: VectorIndex, contents: Contents, entry: Entry, place: int) -> list[tuple[str, int, float]]:
    """The nearest passages of other texts: document, number and cosine."""
    record = entry.passages[place].record
    if record.vector is None:
        return []
    own = len(contents.copies[entry.digest]) - 1
    limit = min(NEAREST + own, _MOST)
    query = Query(record.vector, record.lexical, "hybrid" if record.lexical else "dense")
    near: list[tuple[str, int, float]] = []
    for match in find(index, query, limit).matches:
        other = contents.entries.get(match.payload["document_id"])
        if other is None or other.digest == entry.digest:
            continue
        number = int(match.payload["number"])
        if number < len(other.passages):
            near.append((contents.copies[other.digest][0], number, match.score))
    return near


def closest_passages(contents: Contents, first: str, second: str) -> Closest:
    """Two documents, by ids in order, with those of their passages that are closest to one another."""
    entries = contents.entries[first], contents.entries[second]
    vectors = [np.array([passage.record.vector for passage in entry.passages], np.float32) for entry in entries]
    cosines = vectors[0] @ vectors[1].T
    place, number = np.unravel_index(int(cosines.argmax()), cosines.shape)
    return Closest(first, second, (int(place), int(number)), float(cosines.max()))


def representative_first(contents: Contents, ids: Sequence[str]) -> list[str]:
    """Documents in the order in which they represent others: the longest first, of equal ones the oldest, then by id."""

    def key(document_id: str) -> tuple[int, float, str]:
        entry = contents.entries[document_id]
        modified = entry.document.modified
        return -entry.length, float("inf") if modified is None else modified, document_id

    return sorted(ids, key=key)
