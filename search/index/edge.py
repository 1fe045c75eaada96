"""Qdrant Edge: the Qdrant engine inside this process, its collections under one data folder.

data_dir/lock                           held while a process uses the folder
data_dir/owner.json                     which process that is
data_dir/collections/NAME/collection.json   the spec; written last, so a folder without it was never finished
data_dir/collections/NAME/shard/        the engine's own files
"""

import contextlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import qdrant_edge as edge
from filelock import FileLock, Timeout

from search.errors import CollectionNotFound, IndexBusy, IndexCorrupt, IndexFailure, IndexFull, IndexRejected
from search.index import (
    KEYWORD_FIELDS,
    CollectionSpec,
    Match,
    Payload,
    PlainFilter,
    Point,
    Record,
    Vector,
    booleans,
    check_points,
    check_spec,
)
from search.index.edge_filters import to_edge
from search.settings import StorageSettings

_PAGE = 256
_COPIES = 3  # of what is written: the log, the segment, and files growing ahead of it
_ROOM = 40_000_000  # bytes that stay free: what an empty collection takes, and the log grows by
_FULL_SCAN_KB = 10_000  # of vectors; a filter that leaves less is answered without the graph, as on the server
_SCHEMAS = {
    "keyword": edge.PayloadSchemaType.Keyword,
    "integer": edge.PayloadSchemaType.Integer,
    "float": edge.PayloadSchemaType.Float,
}


class EdgeIndex:
    """One collection in a data folder that this process owns while it is open."""

    def __init__(self, data_dir: Path, name: str, storage: StorageSettings | None = None) -> None:
        """Keep the names; `storage` says how the collection is kept if it is made."""
        self.name = name
        self._storage = storage or StorageSettings()
        self._data_dir = data_dir
        self._folder = data_dir / "collections" / name
        self.location = str(self._folder)
        # Held by the object, not by a thread of it: one thread may open what another closes.
        self._lock = FileLock(data_dir / "lock", timeout=0, thread_local=False)
        self._opening = threading.Lock()
        self._shard: edge.EdgeShard | None = None

    def ensure(self, spec: CollectionSpec, *, create: bool) -> None:
        """Open the collection, making it if asked to.

        Raises:
            CollectionNotFound: it does not exist and is not to be made.
            IndexBusy: another process, or another searcher in this one, uses the data folder.
            IndexMismatch: it was made for another spec.
            IndexCorrupt: its files cannot be opened.
        """
        described = self._folder / "collection.json"
        with self._opening:
            if self._shard is not None:
                check_spec(self.name, _read_spec(described), spec)
                return
            if not create and not described.is_file():
                message = f"there is no collection {self.name!r} in {self._data_dir}; `search ingest` makes one"
                raise CollectionNotFound(message)
            self._acquire()
            try:
                self._open(described, spec, create=create)
            except BaseException:
                self._release()
                raise

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points, replacing those with the same id."""
        check_points(points)
        self._check_room(sum(4 * point.vector.size + _size(point.payload) for point in points))
        converted = [edge.Point(point.id, point.vector.tolist(), booleans.with_names(point.payload)) for point in points]
        with _translated():
            self._opened.update(edge.UpdateOperation.upsert_points(converted))

    def query(self, vector: Vector, limit: int, filter: PlainFilter | None = None) -> list[Match]:
        """The `limit` closest points that pass the filter, closest first."""
        with _translated():
            request = edge.QueryRequest(
                query=edge.Query.Nearest(vector.tolist()),
                limit=limit,
                filter=to_edge(filter),
                with_payload=True,
                params=self._search_params(),
            )
            found = self._opened.query(request)
        return [Match(str(point.id), point.score, booleans.without_names(point.payload or {})) for point in found]

    def delete(self, *, ids: Sequence[str] = (), filter: PlainFilter | None = None) -> None:
        """Remove points by id, or all that pass a filter."""
        with _translated():
            if ids:
                self._opened.update(edge.UpdateOperation.delete_points(list(ids)))
            if filter is not None:
                self._opened.update(edge.UpdateOperation.delete_points_by_filter(to_edge(filter) or edge.Filter()))

    def scroll(self, filter: PlainFilter | None = None, fields: Sequence[str] | None = None) -> Iterator[Record]:
        """Every point that passes the filter, with the named payload fields or all of them."""
        offset = None
        wanted: bool | list[str] = True if fields is None else list(fields)
        while True:
            with _translated():
                request = edge.ScrollRequest(offset=offset, limit=_PAGE, filter=to_edge(filter), with_payload=wanted)
                records, offset = self._opened.scroll(request)
            yield from (Record(str(record.id), booleans.without_names(record.payload or {})) for record in records)
            if offset is None:
                return

    def count(self, filter: PlainFilter | None = None) -> int:
        """How many points pass the filter."""
        with _translated():
            return self._opened.count(edge.CountRequest(exact=True, filter=to_edge(filter)))

    def optimize(self) -> None:
        """Merge segments and build the HNSW graph. It holds the interpreter's lock: seconds for 20,000 points."""
        self._check_room(sum(file.stat().st_blocks * 512 for file in (self._folder / "shard").rglob("*") if file.is_file()))
        with _translated():
            self._opened.optimize()

    def close(self) -> None:
        """Flush, close, and let another process have the folder."""
        with self._opening:
            if self._shard is None:
                return
            try:
                with _translated():
                    self._shard.close()
            finally:
                self._shard = None
                self._release()

    def _check_room(self, size: int) -> None:
        """Refuse to write where it might not fit: the engine writes into mapped files, and a full disk would end the process.

        Raises:
            IndexFull: there is too little room.
        """
        free = shutil.disk_usage(self._data_dir).free
        if free < _COPIES * size + _ROOM:
            message = (
                f"{free // 1_000_000:,} MB are left on the disk of {self._data_dir}, and {(_COPIES * size + _ROOM) // 1_000_000:,} "
                "are needed to go on; make room and run the same again, what was written stays"
            )
            raise IndexFull(message)

    @property
    def _opened(self) -> edge.EdgeShard:
        if self._shard is None:
            message = f"collection {self.name!r} is not open; call ensure() first"
            raise CollectionNotFound(message)
        return self._shard

    def _acquire(self) -> None:
        owner = self._data_dir / "owner.json"
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout as error:
            known = _read_owner(owner)
            message = (
                f"{self._data_dir} is in use by process {known.get('pid', 'unknown')} ({known.get('command', 'unknown command')}): "
                "wait until it is done, or give this one another --data-dir"
            )
            raise IndexBusy(message) from error
        except OSError as error:
            message = f"{self._data_dir} cannot be written ({error.strerror}); choose another --data-dir"
            raise IndexRejected(message) from error
        with contextlib.suppress(OSError):  # only for the message above
            owner.write_text(json.dumps({"pid": os.getpid(), "command": " ".join(sys.argv[:3])}))

    def _release(self) -> None:
        with contextlib.suppress(OSError):
            (self._data_dir / "owner.json").unlink(missing_ok=True)
        self._lock.release()

    def _open(self, described: Path, spec: CollectionSpec, *, create: bool) -> None:
        shard = self._folder / "shard"
        if described.is_file():
            check_spec(self.name, _read_spec(described), spec)
            self._shard = self._load(shard)
            if create:
                self._index_payload()
            return
        if shard.exists():
            self._clear(shard)
        self._check_room(0)
        with _translated():
            self._folder.mkdir(parents=True, exist_ok=True)
            self._shard = edge.EdgeShard.create(str(shard), _config(spec, self._storage))
        self._index_payload()  # before the load, which it would hold up
        temporary = described.with_suffix(".new")
        temporary.write_text(json.dumps({"dimension": spec.dimension, "fingerprint": spec.fingerprint}))
        temporary.replace(described)

    def _index_payload(self) -> None:
        wanted = {**dict.fromkeys(KEYWORD_FIELDS, "keyword"), **self._storage.payload_indexes}
        with _translated():
            for field, kind in wanted.items():
                name, schema = (booleans.FIELD, "keyword") if kind == "bool" else (field, kind)
                self._opened.update(edge.UpdateOperation.create_field_index(name, _SCHEMAS[schema]))

    def _search_params(self) -> edge.SearchParams | None:
        if self._storage.quantization == "none":
            return None
        rescored = edge.QuantizationSearchParams(rescore=True, oversampling=self._storage.oversampling)
        return edge.SearchParams(quantization=rescored)

    def _load(self, shard: Path) -> edge.EdgeShard:
        try:
            with _translated():
                return edge.EdgeShard.load(str(shard))
        except IndexFailure as error:
            message = f"collection {self.name!r} cannot be opened ({error}); restore or delete the folder {self._folder}"
            raise IndexCorrupt(message) from error

    def _clear(self, shard: Path) -> None:
        """Remove what an interrupted creation left; it never holds points."""
        left = self._load(shard)
        points = left.info().points_count
        left.close()
        if points:
            message = f"{self._folder} holds {points} points but no collection.json; restore that file or delete the folder"
            raise IndexCorrupt(message)
        shutil.rmtree(shard)


def _size(payload: Payload) -> int:
    return len(json.dumps(payload, default=list))


def _config(spec: CollectionSpec, storage: StorageSettings) -> edge.EdgeConfig:
    quantization: Any = None
    match storage.quantization:
        case "scalar":
            quantization = edge.ScalarQuantizationConfig(edge.ScalarType.Int8, always_ram=True)
        case "binary":
            quantization = edge.BinaryQuantizationConfig(always_ram=True)
    vectors = edge.EdgeVectorParams(
        size=spec.dimension,
        distance=edge.Distance.Cosine,
        on_disk=storage.on_disk,
        quantization_config=quantization,
        hnsw_config=edge.HnswIndexConfig(storage.hnsw_m, storage.hnsw_ef_construct, _FULL_SCAN_KB),
    )
    return edge.EdgeConfig(vectors=vectors, on_disk_payload=storage.on_disk_payload)


def _read_spec(described: Path) -> CollectionSpec:
    try:
        stored = json.loads(described.read_text())
        return CollectionSpec(stored["dimension"], stored["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{described} cannot be read ({error}); restore or delete the folder {described.parent}"
        raise IndexCorrupt(message) from error


def _read_owner(file: Path) -> dict[str, Any]:
    try:
        owner: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return owner


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Edge raises bare exceptions with a sentence in them, and panics that are not even exceptions."""
    try:
        yield
    except IndexFailure:
        raise
    except Exception as error:
        message = f"Qdrant Edge refused the request: {error}"
        raise IndexRejected(message) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # the binding's own, a BaseException that cannot be imported
            raise
        message = f"Qdrant Edge gave up, the collection's files may be damaged: {error}"
        raise IndexCorrupt(message) from error
