"""How does a collection that another program filled become one of this package's? Its points are copied as passages.

Vectors are kept, words are added, and nothing is embedded. Points that name the same document become its passages, in reading
order, if something tells that order; else each of them is a document of its own.
"""

import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from search.documents import Chunk, Document, Rejection
from search.embedding.dense import Embedder
from search.embedding.sparse import WordsLike, words_like
from search.errors import IndexMismatch, IndexRejected, InvalidDocument, SearchError
from search.index.contract import CollectionSpec, Record, VectorIndex, to_engine_id
from search.index.layout import noted_of
from search.index.points import ADOPTED, adopted_id, as_passage, to_point
from search.index.tenants import Tenant
from search.ingestion.copying import copy
from search.ingestion.damage import Damage
from search.ingestion.joining import in_reading_order, joined, shared
from search.ingestion.lookup import digest_of, opened
from search.ingestion.relay import in_groups
from search.ingestion.report import EXAMPLES, LISTED, IngestReport, Noted, OnProgress
from search.query.proof import prove
from search.settings import section_of

_AT_ONCE = 256  # points
_MOST_PASSAGES = 10_000  # of a document; what more points name is no document
_MADE_BY = 4  # of what a copy notes: its source, and what documents are made by
_ENTRY = np.dtype([("name", "<u8"), ("numbered", "?"), ("id", "V16")])  # of a point: a hash of its document's name, and its id


@dataclass(frozen=True, slots=True)
class Adoption:
    """What became of it."""

    source: str  # the collection that another program filled
    layout: str  # where its passages lie, in words
    points: int  # how many there are that count
    left_out: int  # of them, those without text or without a vector …
    examples: tuple[str, ...]  # … and the ids of some
    apart: int  # documents that share their name with others, since nothing tells their order: NAME#POINT
    ingest: IngestReport  # how the collection of this package was filled; it keeps documents that were ingested into it since

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return {**asdict(self), "ingest": self.ingest.to_dict()}


def adopt(
    source: VectorIndex,
    target: VectorIndex,
    embedder: Embedder,
    *,
    lexical: str = "",
    words: WordsLike = words_like,
    tenant: Tenant | None = None,
    dry_run: bool = False,
    on_progress: OnProgress | None = None,
) -> Adoption:
    """Copy. Killed, the same call goes on; run again later, it brings what is new or changed, and removes nothing.

    Args:
        source: a collection that another program filled. It is only read.
        target: is made if it does not exist.
        embedder: of both, which is proved.
        lexical: the words of a collection that is made, as search.embedding.sparse describes them; "" for none.
        words: gives what makes words like a collection's.
        tenant: whose documents they are, of which both indexes hold no others; one that is another's, too, is rejected.
        dry_run: write nothing, and report what would be.
        on_progress: called after every group of documents.

    Raises:
        IndexRejected: this package made the source.
        IndexMismatch: another embedder filled it, its passages are not found, or the target was not made by this package for it.
        CollectionNotFound: there is no source.
        IndexBusy: another process writes to the target.
        IndexFailure: either of them gave up; what was written stays, and the same call again goes on from there.
    """
    spec = CollectionSpec(embedder.dimension, embedder.fingerprint, lexical)
    source.ensure(spec, create=False)
    if not source.spec.layout:
        message = f"collection {source.name!r} at {source.location} was made by this package; it is ingested into as it is"
        raise IndexRejected(message)
    provable = tenant is None or source.count() > 0  # a tenant may have nothing there
    spec = _proved(source, target, spec, embedder) if provable else _as_before(source, target, spec)
    reading = _Reading(source, embedder, tenant)
    report = copy(
        source,
        target,
        spec,
        dry_run=dry_run,
        on_progress=on_progress,
        damage=Damage(),
        words=words,
        documents=reading.documents(),
        keep=lambda _, standing: not standing.revision.startswith(ADOPTED),
    )
    if not report.dry_run:
        with suppress(SearchError):
            target.discard()  # which does so only where nothing came of what it was made for
    rejections = (*reading.rejections.first, *report.rejections)[:LISTED]
    report = replace(report, rejected=report.rejected + reading.rejections.count, rejections=rejections)
    left_out = reading.left_out
    return Adoption(source.name, source.spec.layout, reading.points, left_out.count, tuple(left_out.first), reading.apart, report)


def _proved(source: VectorIndex, target: VectorIndex, spec: CollectionSpec, embedder: Embedder) -> CollectionSpec:
    """What the copy is to be, once the embedder is proved; of both that may be wrong, the embedder is told first."""
    try:
        spec = _as_before(source, target, spec)
    except IndexMismatch:
        prove(source, embedder)
        raise
    prove(source, embedder)
    return spec


def _as_before(source: VectorIndex, target: VectorIndex, spec: CollectionSpec) -> CollectionSpec:
    """What the copy is to be: if there is one of this source, made by the layout that it notes, where the settings say no other.

    Raises:
        IndexMismatch: its documents would be made otherwise, so that each would be there twice, by both of its names.
    """

    def noted() -> list[Any]:
        return [source.target, *json.loads(source.spec.adopted)]

    def made(note: list[Any]) -> str:
        return json.dumps(note[:_MADE_BY])

    if not opened(target, spec, create=False, needed=False):
        return replace(spec, adopted=json.dumps(noted()))
    before = noted_of(target.spec.adopted)
    if before[:1] == [source.target]:
        source.ensure(replace(spec, adopted=json.dumps(before[1:])), create=False)
        if made(before) != made(noted()):
            raise IndexMismatch(
                f"collection {target.name!r} is a copy whose documents were made otherwise than they are now: by collection, text, "
                f"name and order {made(before)}, and now {made(noted())}; say how (`text`, `document_id`, `order` under "
                f"{section_of(source.name)} in search.toml), or adopt into another collection (--as NAME)"
            )
    return replace(spec, adopted=json.dumps(noted()))


class _Reading:
    """Documents of a collection that another program filled, with an account of what they are not made of.

    Read twice: for the names of documents, and then document by document. Memory holds some 50 bytes for each point.
    """

    def __init__(self, source: VectorIndex, embedder: Embedder, tenant: Tenant | None) -> None:
        self._source = source
        self._tenant = tenant
        self._tokenizer = embedder.tokenizer
        self.points = 0
        self.left_out = Noted[str](EXAMPLES)  # ids of points
        self.apart = 0
        self.rejections = Noted[Rejection](LISTED)

    def documents(self) -> Iterator[tuple[str, list[Record]]]:
        """Ids with the passages of each as this package stores them, but for the generation."""
        for named, ids in self._groups():
            passages: dict[str, list[Record]] = {}
            for record in self._points(ids):
                if as_passage(record.payload) is None or record.vector is None:
                    self.left_out.add(record.id)
                else:
                    passages.setdefault(str(record.payload["document_id"]), []).append(record)
            for name, records in passages.items():
                if named and (ordered := in_reading_order(records)):
                    yield from self._document(name, ordered)
                else:
                    for record in records:
                        self.apart += 1
                        yield from self._document(f"{name}#{record.id}", [record])

    def _groups(self) -> Iterator[tuple[bool, list[str]]]:
        """Ids of points, those of one document together, after whether they are named by what can be a document."""
        entries = self._entries()
        order = np.argsort(entries["name"], kind="stable")
        names = entries["name"][order]
        borders = np.flatnonzero(names[1:] != names[:-1]) + 1
        group: list[str] = []
        first_of_name = 0
        for border in chain(map(int, borders), [len(order)]):
            places, first_of_name = order[first_of_name:border], border
            if len(places) > _MOST_PASSAGES:
                for some in in_groups(places, _AT_ONCE):
                    yield False, [_id_of(entries[place]) for place in some]
                continue
            if group and len(group) + len(places) > _AT_ONCE:
                yield True, group
                group = []
            group += [_id_of(entries[place]) for place in places]
        if group:
            yield True, group

    def _entries(self) -> np.ndarray:
        entries = bytearray()
        for record in self._source.scroll():
            self.points += 1
            if as_passage(record.payload) is None:
                self.left_out.add(record.id)
                continue
            point = to_engine_id(record.id)
            key = point.to_bytes(16, "big") if isinstance(point, int) else uuid.UUID(point).bytes
            entries += digest_of(str(record.payload["document_id"])) + bytes([isinstance(point, int)]) + key
        return np.frombuffer(entries, _ENTRY)

    def _points(self, ids: Sequence[str]) -> Iterator[Record]:
        for some in in_groups(map(to_engine_id, ids), _AT_ONCE):
            yield from self._source.scroll({"must": [{"has_id": some}]}, vectors=True)

    def _document(self, document_id: str, records: Sequence[Record]) -> Iterator[tuple[str, list[Record]]]:
        try:
            reason = next(filter(None, (self._tenant.objection(record.payload) for record in records)), "") if self._tenant else ""
            made = [] if reason else self._passages(document_id, records)
        except InvalidDocument as error:
            reason, made = str(error), []
        if made:
            yield document_id, made
        else:
            self.rejections.add(Rejection(self._source.name, None, document_id, reason))

    def _passages(self, document_id: str, records: Sequence[Record]) -> list[Record]:
        stored = [record.payload for record in records]
        text, starts = joined([str(payload["text"]) for payload in stored], [payload["begins"] for payload in stored])
        title, metadata = str(stored[0]["title"]), shared([payload["metadata"] for payload in stored])
        document = Document(document_id, text, title, metadata)  # which checks all of it
        cut = [[payload["title"], payload["text"], payload["metadata"]] for payload in stored]
        revision = f"{ADOPTED}{document.content_hash(cut)}"
        chunks = []
        for number, (payload, start) in enumerate(zip(stored, starts, strict=True)):
            end = start + len(payload["text"])
            after = text[end : starts[number + 1]] if number + 1 < len(starts) else ""
            own = Document(document_id, payload["text"], payload["title"], payload["metadata"])
            chunks.append(
                Chunk(document_id, number, own.text, start, end, own.title, own.metadata, document_title=title, after=after)
            )
        made = []
        tallies = self._tokenizer.tally([chunk.passage for chunk in chunks])
        for record, chunk, tally in zip(records, chunks, tallies, strict=True):
            assert record.vector is not None  # noqa: S101  # see documents
            point = to_point(chunk, record.vector, tally, self._tokenizer.window, revision, len(chunks), 0)
            more = {"document_metadata": dict(metadata)} if chunk.number == 0 and metadata != chunk.metadata else {}
            made.append(Record(adopted_id(point.id), {**point.payload, **more}, point.vector))
        return made


def _id_of(entry: Any) -> str:
    point = bytes(entry["id"])
    return str(int.from_bytes(point, "big")) if entry["numbered"] else str(uuid.UUID(bytes=point))
