"""How do documents get into the index? Compared with what is there, chunked, embedded, written, and accounted for.

A document's new chunks are written before its old ones are deleted, and every chunk names the revision it belongs to and how
many there are of it. So a run that was killed leaves nothing that the next one would take for complete.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Literal, TypeVar

from search.chunking import Chunker
from search.documents import Chunk, Document, Rejection
from search.embedding import Embedder
from search.index import CollectionSpec, PlainFilter, VectorIndex
from search.index.points import to_point
from search.inference.tokens import MUCH_UNKNOWN

Item = TypeVar("Item")
State = Literal["added", "changed", "unchanged"]

_GROUP = 128  # documents compared with the index at a time …
_GROUP_CHARACTERS = 4_000_000  # … unless they are long
_BATCH = 256  # chunks embedded and written at a time
_EXTRA = 20_000  # characters of title and metadata, which every passage of a document carries
_KEPT = 1000  # rejections listed in the report; all are counted


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an ingestion is."""

    documents: int  # seen, rejected ones included
    chunks: int  # written
    rejected: int
    seconds: float


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of every document.

    Attributes:
        added: documents that were not in the collection.
        changed: documents whose passages were replaced.
        unchanged: documents that were there already, neither embedded nor written.
        rejected: documents that were not taken.
        chunks: passages written.
        unknown: documents with a passage of which the embedder does not know more than a fifth of the tokens.
        seconds: from first to last.
        rejections: the first thousand of them, each with file, line and reason.
    """

    added: int
    changed: int
    unchanged: int
    rejected: int
    chunks: int
    unknown: int
    seconds: float
    rejections: tuple[Rejection, ...]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


class Ingestion:
    """One run: documents in, report out. Memory stays bounded by the longest documents and some 80 bytes for each id."""

    def __init__(
        self,
        embedder: Embedder,
        index: VectorIndex,
        chunker: Chunker,
        *,
        max_characters: int,
        on_progress: Callable[[Progress], None] | None = None,
        on_rejection: Callable[[Rejection], None] | None = None,
    ) -> None:
        """Keep the parts.

        Args:
            embedder: makes the vectors.
            index: takes them; the collection is made if it does not exist.
            chunker: cuts the documents.
            max_characters: a longer document is rejected.
            on_progress: called after every write.
            on_rejection: called for every rejection, as it happens.
        """
        self._embedder = embedder
        self._index = index
        self._chunker = chunker
        self._max_characters = max_characters
        self._on_progress = on_progress
        self._on_rejection = on_rejection
        self._ids: set[bytes] = set()
        self._counts: dict[State, int] = {"added": 0, "changed": 0, "unchanged": 0}
        self._unknown: set[str] = set()  # of the current group
        self._unknown_documents = 0
        self._rejections: list[Rejection] = []
        self._rejected = 0
        self._chunks = 0
        self._started = 0.0

    def run(self, documents: Iterable[Document | Rejection]) -> IngestReport:
        """Ingest everything.

        Raises:
            IndexFailure: the index gave up; what was written stays, and the same call again goes on from there.
            ModelError: the embedder gave up; likewise.
        """
        self._started = time.monotonic()
        self._index.ensure(CollectionSpec(self._embedder.dimension, self._embedder.fingerprint), create=True)
        for group in _by_length(self._accepted(documents)):
            self._ingest(group)
            self._report_progress()
        if self._chunks:
            self._index.optimize()  # a small collection is left as it is
        return IngestReport(
            **self._counts,
            rejected=self._rejected,
            chunks=self._chunks,
            unknown=self._unknown_documents,
            seconds=time.monotonic() - self._started,
            rejections=tuple(self._rejections),
        )

    def _accepted(self, documents: Iterable[Document | Rejection]) -> Iterator[Document]:
        for item in documents:
            if isinstance(item, Rejection):
                self._reject(item)
                continue
            digest = hashlib.blake2b(item.id.encode(), digest_size=8).digest()
            extra = len(item.title) + len(json.dumps(item.metadata))
            if digest in self._ids:
                self._reject(Rejection.of(item, "the id stands twice in this run; the first one was taken"))
            elif len(item.text) > self._max_characters:
                reason = (
                    f"{len(item.text):,} characters are more than {self._max_characters:,}; "
                    "split it, or raise SEARCH_CHUNKING__MAX_CHARACTERS"
                )
                self._reject(Rejection.of(item, reason))
            elif extra > _EXTRA:
                reason = f"title and metadata have {extra:,} characters, and every passage carries them; keep them below {_EXTRA:,}"
                self._reject(Rejection.of(item, reason))
            else:
                self._ids.add(digest)
                yield item

    def _ingest(self, group: list[Document]) -> None:
        revisions = {document.id: document.content_hash(self._chunker.state) for document in group}
        states = self._compare(revisions)
        fresh = (document for document in group if states[document.id] != "unchanged")
        for batch in in_groups(self._chunked(fresh), _BATCH):
            self._write(batch, revisions)
        changed = [document_id for document_id, state in states.items() if state == "changed"]
        if changed:
            current = [revisions[document_id] for document_id in changed]
            self._index.delete(filter={**_of(changed), "must_not": [{"key": "revision", "match": {"any": current}}]})
        for state in states.values():
            self._counts[state] += 1
        self._unknown_documents += len(self._unknown)
        self._unknown.clear()

    def _compare(self, revisions: Mapping[str, str]) -> dict[str, State]:
        """Look up what the index holds of these documents."""
        stored: dict[str, list[tuple[str, int]]] = {document_id: [] for document_id in revisions}
        for record in self._index.scroll(_of(list(revisions)), ["document_id", "revision", "chunks"]):
            stored[record.payload["document_id"]].append((record.payload["revision"], record.payload["chunks"]))

        def state(document_id: str, revision: str) -> State:
            chunks = stored[document_id]
            if not chunks:
                return "added"
            complete = all(chunk == (revision, len(chunks)) for chunk in chunks)
            return "unchanged" if complete else "changed"

        return {document_id: state(document_id, revision) for document_id, revision in revisions.items()}

    def _chunked(self, documents: Iterable[Document]) -> Iterator[tuple[Chunk, int]]:
        for document in documents:
            chunks = list(self._chunker.chunk(document))
            yield from ((chunk, len(chunks)) for chunk in chunks)

    def _write(self, batch: list[tuple[Chunk, int]], revisions: Mapping[str, str]) -> None:
        passages = [chunk.passage for chunk, _ in batch]
        tokenizer = self._embedder.tokenizer
        window = tokenizer.max_tokens - tokenizer.special_tokens(pair=False)
        tallies = tokenizer.tally(passages)
        vectors = self._embedder.embed_passages(passages)
        self._index.upsert(
            [
                to_point(chunk, vector, tally, window, revisions[chunk.document_id], chunks)
                for (chunk, chunks), vector, tally in zip(batch, vectors, tallies, strict=True)
            ]
        )
        self._chunks += len(batch)
        pairs = zip(batch, tallies, strict=True)
        self._unknown |= {chunk.document_id for (chunk, _), tally in pairs if tally.unknown_share > MUCH_UNKNOWN}
        self._report_progress()

    def _reject(self, rejection: Rejection) -> None:
        self._rejected += 1
        if len(self._rejections) < _KEPT:
            self._rejections.append(rejection)
        if self._on_rejection:
            self._on_rejection(rejection)

    def _report_progress(self) -> None:
        if self._on_progress:
            seen = len(self._ids) + self._rejected
            self._on_progress(Progress(seen, self._chunks, self._rejected, time.monotonic() - self._started))


def in_groups(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items, the last one shorter."""
    iterator = iter(items)
    while group := list(islice(iterator, size)):
        yield group


def _by_length(documents: Iterable[Document]) -> Iterator[list[Document]]:
    group: list[Document] = []
    characters = 0
    for document in documents:
        group.append(document)
        characters += len(document.text)
        if len(group) == _GROUP or characters >= _GROUP_CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group


def _of(document_ids: list[str]) -> PlainFilter:
    return {"must": [{"key": "document_id", "match": {"any": document_ids}}]}
