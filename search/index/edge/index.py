"""Qdrant Edge: the Qdrant engine inside this process, its collections under one data folder.

data_dir/collections/NAME/collection.json   the spec; written last, so a folder without it was never finished
data_dir/collections/NAME/shard/        the engine's own files
"""

import contextlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from search.documents import SparseVector, counted
from search.errors import CollectionNotFound, IndexBusy, IndexCorrupt, IndexFailure, IndexFull
from search.index.bases import EmbeddedIndex, WordsAsMade, not_open
from search.index.collections import as_made, made_otherwise, refuse_to_begin_anew
from search.index.contract import (
    LEXICAL,
    Attempt,
    CollectionSpec,
    Matches,
    OnBuild,
    Payload,
    PlainFilter,
    Point,
    Query,
    Record,
    check_points,
    check_spec,
    once,
    to_engine_id,
    vectors_of,
)
from search.index.edge import booleans
from search.index.edge.building import settle
from search.index.edge.conversion import (
    OF_TENANTS,
    ON_DISK,
    SCHEMAS,
    to_config,
    to_edge,
    to_point,
    to_search_params,
    to_sparse,
)
from search.index.edge.folder import (
    DataFolder,
    full_disk,
    held_by_parent,
    is_described,
    read_description,
    read_spec,
    replace_json,
)
from search.index.edge.shard import OpenShard, load, room_to_open, translated
from search.index.exact import indexed_path
from search.index.hybrid import Listing, Scored, matches
from search.settings import StorageSettings
from search.system.files import make_private
from search.system.forks import watch

_log = logging.getLogger("search.index")
_PAGE = 256
_OPTIMIZED_EVERY = 20_000  # points written: so the engine's memory does not grow with the collection
_COPIES = 3  # of what is written: the log, the segment, and files growing ahead of it
_MARGIN = 4_000_000  # bytes, beside what opening takes; to delete all of 15,000 passages takes a tenth of it
_ROOM = 40_000_000  # bytes that stay free: what an empty collection takes, and the log grows by


class EdgeIndex(EmbeddedIndex, WordsAsMade):
    """One collection in a data folder that this process owns while it is open."""

    def __init__(
        self, data: Path | DataFolder, name: str, storage: StorageSettings | None = None, *, exact: bool = False, purpose: str = ""
    ) -> None:
        """Keep the name, which is `exact`ly the collection's, or may be an alias, which is followed when the collection is opened.

        A collection that is made stores its points by `storage`, and notes the purpose until an alias leads to it.
        """
        self.name = name
        self._exact = exact
        self._purpose = purpose
        self._storage = storage or StorageSettings()
        self._searched = self._storage  # by what the collection is, once it is open
        self._data = data if isinstance(data, DataFolder) else DataFolder(data)
        self._folder = self._data.collections / name
        self.location = str(self._folder)
        self._shard: OpenShard | None = None
        self._wanted = False  # a graph of what was written since the one was begun that is being built
        self._made_here = False  # by this object, and nothing was written since
        self._keeps_folder = False  # for a collection that is to be made
        self._left_to = 0  # the parent, in a forked child that would have had this from it
        watch(self)

    @property
    def target(self) -> str:
        """The collection that the name led to when it was opened."""
        return self._folder.name

    def ensure(self, spec: CollectionSpec, *, create: bool, writing: bool = False) -> None:
        """Open the collection; `create` makes one that is missing, and `writing` opens one to write to."""
        writing = writing or create
        with self._data.opening:
            self._left_to = 0
            if self._shard is not None:
                check_spec(self.name, read_spec(self._folder / "collection.json"), spec)
                if writing:
                    self._index_payload(spec.tenant or self.spec.tenant)
                return
            self._made_here = False
            self._folder = self._data.collections / (self.name if self._exact else self._data.leads_to(self.name))
            self.location = str(self._folder)
            described = self._folder / "collection.json"
            if not writing:
                self._check_there(described)
            if not self._keeps_folder:
                self._data.hold()
            self._keeps_folder = not create and not is_described(described)
            if self._keeps_folder:  # so that who is to write is told at once if somebody else has it, and then nobody else does
                self._check_there(described)
            try:
                if is_described(described):
                    check_spec(self.name, read_spec(described), spec)
                self._shard = self._data.share(self._folder.name, lambda: self._opened_or_made(described, spec))
                self._spec = read_spec(described)
                noted = read_description(described)["storage"]
                made = (self._storage, noted.get("quantization") or "none", noted)
                self._searched, self._differing = as_made(*made), made_otherwise(*made)
                if writing:
                    self._check_room(0)
                    self._index_payload(spec.tenant or self._spec.tenant)
            except BaseException:
                with contextlib.suppress(OSError):
                    self._remove() if self._made_here else self._forget()
                raise

    def _check_there(self, described: Path) -> None:
        if not is_described(described):
            raise CollectionNotFound(f"there is no collection {self.name!r} in {self._data.path}; `search ingest` makes one")

    def claimed(self, attempt: Attempt = once, *, removing: bool = False) -> contextlib.AbstractContextManager[Any]:  # noqa: ARG002  # the contract's
        """Keep those out that reach the collection by another name; no other process does, since this one owns the data folder."""
        return self._data.claims.of(self.target)

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points, replacing those with the same id; now and then a graph begins to be built beside."""
        self.write(points)
        if self._opened.ahead >= _OPTIMIZED_EVERY:
            self._opened.end(self._check_room, wait=True)

    def write(self, points: Sequence[Point]) -> None:
        """As `upsert`, for those who look whether they `must_hold_off`."""
        check_points(points)
        size = sum(4 * point.vector.size + _words(point) + _size(point.payload) for point in points)
        self._check_room(size)
        self._opened.update(edge.UpdateOperation.upsert_points([to_point(point) for point in points]), len(points), size)
        self._made_here = False
        self.look_after()
        if self._opened.written >= _OPTIMIZED_EVERY:
            self._opened.begin(self._check_building)

    def must_hold_off(self) -> bool:
        """Whether whoever writes should wait: while files are copied, and when so much was written since that it fills memory."""
        return self._opened.copying or self._opened.ahead >= _OPTIMIZED_EVERY

    def is_building(self) -> bool:
        """Whether a graph is being built."""
        return self._shard is not None and self._shard.building

    def must_wait(self) -> bool:
        """Whether a graph is being built; raises why the last one could not be."""
        if self._opened.failure is not None:
            raise self._opened.failure.with_traceback(None)
        return self.is_building()

    def look_after(self) -> None:
        """Search by the graph that was being built, if it is finished; one that failed is tried again later."""
        if self._shard is None or not self._shard.building:
            return
        try:
            self._shard.end(self._check_room, wait=False)
            if self._wanted and not self._shard.building:
                self.begin()
        except IndexFailure as failure:
            _log.warning("%s", failure)

    def query(self, query: Query, limit: int) -> Matches:
        """The `limit` best points by vector, by words, or by both, as the query says, best first."""
        return matches(query, limit, self._listed, self._read)

    def _listed(self, listings: Sequence[Listing]) -> list[list[Scored]]:
        requests = [self._request(listing) for listing in listings]
        with self._opened.use() as shard:
            answers = shard.query_batch(edge.QueryBatchRequest(requests))
        return [
            [(one.id, one.score, booleans.without_names(one.payload or {}) if listing.payload else {}) for one in points]
            for listing, points in zip(listings, answers, strict=True)
        ]

    def _read(self, ids: Sequence[Any]) -> dict[Any, Payload]:
        with self._opened.use() as shard:
            records = shard.retrieve(list(ids), with_payload=True, with_vector=False)
        return {one.id: booleans.without_names(one.payload or {}) for one in records}

    def _request(self, listing: Listing) -> edge.QueryRequest:
        if isinstance(listing.vector, SparseVector):
            nearest = edge.Query.Nearest(to_sparse(listing.vector), using=LEXICAL)
        else:
            nearest = edge.Query.Nearest(listing.vector.tolist())
        return edge.QueryRequest(
            query=nearest,
            limit=listing.limit,
            filter=to_edge(listing.filter),
            with_payload=listing.payload,
            params=to_search_params(self._searched),
        )

    def delete(self, *, ids: Sequence[str] = (), filter: PlainFilter | None = None) -> None:
        """Remove points by id, or all that pass a filter."""
        self._need(_MARGIN + _COPIES * (sum(map(len, ids)) + _size(filter or {})), "to delete; make room and run the same again")
        if ids:
            self._opened.update(edge.UpdateOperation.delete_points([to_engine_id(one) for one in ids]))
        if filter is not None:
            self._opened.update(edge.UpdateOperation.delete_points_by_filter(to_edge(filter) or edge.Filter()))

    def scroll(
        self,
        filter: PlainFilter | None = None,
        fields: Sequence[str] | None = None,
        *,
        vectors: bool = False,
        start: str | None = None,
    ) -> Iterator[Record]:
        """Every point that passes the filter, by id, from `start` on, with the named payload fields, and `vectors` if wanted."""
        offset: Any = None if start is None else to_engine_id(start)
        wanted: bool | list[str] = True if fields is None else list(fields)
        while True:
            with self._opened.use() as shard:
                request = edge.ScrollRequest(
                    offset=offset, limit=_PAGE, filter=to_edge(filter), with_payload=wanted, with_vector=vectors
                )
                records, offset = shard.scroll(request)
            for record in records:
                yield Record(str(record.id), booleans.without_names(record.payload or {}), *vectors_of(record.vector))
            if offset is None:
                return

    def count(self, filter: PlainFilter | None = None) -> int:
        """How many points pass the filter."""
        with self._opened.use() as shard:
            return shard.count(edge.CountRequest(exact=True, filter=to_edge(filter)))

    def index_field(self, field: str, kind: str) -> None:
        """Make a payload index of a field."""
        name, schema = (booleans.FIELD, "keyword") if kind == "bool" else (indexed_path(field), kind)
        self._check_room(0)
        kind_of = ON_DISK if name == "document_id" else SCHEMAS[schema]
        self._opened.update(edge.UpdateOperation.create_field_index(name, kind_of))

    def optimize(self, on_build: OnBuild | None = None) -> None:
        """Merge segments and build the HNSW graph, where that gains anything; searches, and writes of others, go on meanwhile."""
        while (building := self.begin()) is not None:  # again, where one was under way and much was written since
            if on_build:
                on_build(building)
            self._opened.end(self._check_room, wait=True)

    def begin(self) -> int | None:
        """As `optimize`, without waiting for it: of how many passages a graph is being built; None if it gains nothing."""
        self.look_after()
        self._wanted = self._opened.building
        if not self._wanted and self._opened.is_due(4 * self.spec.dimension):
            self._opened.begin(self._check_building)
        return self.count() if self._opened.building else None

    def _check_building(self) -> None:
        self._check_room(sum(file.stat().st_size for file in (self._folder / "shard").rglob("*") if file.is_file()))

    def discard(self) -> None:
        """Remove the collection again, if `ensure` made it and nothing was written since, and nobody else here has it open."""
        if self._made_here and not self.count():
            with self._data.opening:
                self._remove()
        self._let_folder_go()

    def _let_folder_go(self) -> None:
        with self._data.opening:
            kept, self._keeps_folder = self._keeps_folder, False
            if kept:
                self._data.let_go()

    def _remove(self) -> None:
        self._made_here = False
        with self._data.held():  # while this lets go of it
            self._forget()
            if not self._data.is_open(self._folder.name):
                (self._folder / "collection.json").unlink(missing_ok=True)  # first: without it, it was never finished
                shutil.rmtree(self._folder)

    def close(self) -> None:
        """Flush, close, and let another process have the folder."""
        with self._data.opening:
            if self._shard is not None:
                self._forget()
        self._let_folder_go()

    def details(self) -> dict[str, Any]:
        """Figures of the engine about the collection, and its stored settings."""
        with self._opened.use() as shard:
            info = shard.info()
        described = read_description(self._folder / "collection.json")
        return {
            "segments": info.segments_count,
            "indexed_vectors": info.indexed_vectors_count,
            "payload_indexes": sorted(info.payload_schema),
            "index_types": {field: str(one.data_type).rpartition(".")[2].lower() for field, one in info.payload_schema.items()},
            **{name: described.get(name) for name in ("storage", "purpose", "lexical")},
        }

    def after_fork(self) -> None:
        """The engine's threads are gone in a forked child, and its files are the parent's; `DataFolder` sees to what was open."""
        self._keeps_folder = False
        if self._shard is not None:
            self._shard, self._left_to = None, os.getppid()

    def _check_room(self, size: int) -> None:
        """IndexFull where it might not fit: the engine writes into mapped files, and a full disk would end the process."""
        self._need(_COPIES * size + _ROOM, "to go on; make room and run the same again, what was written stays")

    def _need(self, needed: int, advice: str) -> None:
        free = shutil.disk_usage(self._data.path).free
        if free < needed:
            wanted = -(-needed // 1_000_000)
            raise IndexFull(
                f"{free // 1_000_000:,} MB are left on the disk of {self._data.path}, and {wanted:,} are needed {advice}"
            )

    @property
    def _opened(self) -> OpenShard:
        if self._shard is None:
            if self._left_to:
                raise IndexBusy(held_by_parent(self._data.path, self._left_to))
            raise not_open(self.name)
        return self._shard

    def _forget(self) -> None:
        """Let go of what was opened; the last one to do so closes it."""
        shard, self._shard = self._shard, None
        try:
            if shard is not None and self._data.unshare(self._folder.name):
                shard.close()
        finally:
            self._data.let_go()

    def _opened_or_made(self, described: Path, spec: CollectionSpec) -> OpenShard:
        shard = self._folder / "shard"
        if is_described(described):
            settle(shard)
            on_disk = read_description(described)["storage"].get("on_disk_payload") is not False
            needed = _MARGIN + room_to_open(shard, payload_on_disk=on_disk)
            self._need(needed, f"to open {self.name!r}; make room (`search collections drop` needs none) and go on")
            return OpenShard(shard, load(self.name, shard), self._data.awake)
        if not self._exact:
            refuse_to_begin_anew(self.name, str(self._data.path), self._data.left_by(self.name))
        self._check_room(room_to_open(shard, payload_on_disk=False))
        if shard.exists():
            self._clear(shard)
        with full_disk(self._data.path), translated():
            make_private(self._folder)
            made = edge.EdgeShard.create(str(shard), to_config(spec, self._storage))
        replace_json(described, {**asdict(spec), "storage": self._storage.model_dump(), "purpose": self._purpose})
        self._made_here = True
        return OpenShard(shard, made, self._data.awake)

    def _index_payload(self, tenant: str) -> None:
        for field, kind in {"document_id": "keyword", **self._storage.payload_indexes}.items():
            if field != tenant:
                self.index_field(field, kind)
        if tenant:
            self._opened.update(edge.UpdateOperation.create_field_index(tenant, OF_TENANTS))

    def _clear(self, shard: Path) -> None:
        """Remove what an interrupted creation left; it never holds points, and may have no segment that could be opened."""
        if any(shard.glob("segments/*/segment.json")):
            left = load(self.name, shard)
            points = left.info().points_count
            left.close()
            if points:
                held = counted(points, "point")
                message = f"{self._folder} holds {held} but no collection.json; restore that file or delete the folder"
                raise IndexCorrupt(message)
        shutil.rmtree(shard)


def _words(point: Point) -> int:
    return 0 if point.lexical is None else 8 * len(point.lexical.indices)


def _size(payload: Payload) -> int:
    return len(json.dumps(payload, default=list))
