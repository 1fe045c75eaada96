"""The collections in a data folder of Qdrant Edge."""

import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, count
from pathlib import Path

from search.documents import check_strings
from search.errors import CollectionNotFound, IndexBusy, IndexFull, IndexRejected
from search.index.collections import CollectionInfo, HealthCheck, Restored, check_free, checked_index
from search.index.edge.building import settle
from search.index.edge.folder import DataFolder, full_disk, is_described, read_description, read_spec, replace_json
from search.index.edge.index import EdgeIndex
from search.index.manifests import NAME as MANIFEST
from search.index.manifests import Manifest, StoredFile, checked_files, read_manifest, unfinished, written
from search.settings import StorageSettings, checked_collection
from search.system.files import make_private

_REMOVED = "~removed"  # at the end of a folder's name, where no collection's can have it


class EdgeCollections:
    """All collections in one folder, which is owned only while something is done to them."""

    def __init__(self, data: Path | DataFolder) -> None:
        """Name the folder, or one that is held together with others."""
        self._data = data if isinstance(data, DataFolder) else DataFolder(data)
        self.location = str(self._data.path)

    def names(self) -> list[str]:
        """The collections, without aliases."""
        return [name for name in self._data.described() if not name.endswith(_REMOVED)]

    def aliases(self) -> dict[str, str]:
        """The collection that each alias leads to; a name that was led back to the collection of its own is none."""
        leading = ((alias, str(known["name"])) for alias, known in self._data.aliases().items())
        return {alias: target for alias, target in leading if alias != target}

    def previous(self, alias: str) -> str | None:
        """The collection that an alias led to before its last switch, if that is still there."""
        known = self._data.aliases().get(alias, {}).get("previous")
        return known if known in self.names() else None

    def info(self, name: str, *, exact: bool = False) -> CollectionInfo:
        """What is known of a collection, by its name or an alias, or `exact`ly by its name."""
        folder = self._data.collections / name if exact and name in self.names() else self._folder(name)
        with self._opened(folder) as index:
            return CollectionInfo(
                folder.name, str(folder), self._leading_to(folder.name), index.count(), index.spec, index.details()
            )

    def health(self, name: str, declared: Mapping[str, str]) -> list[HealthCheck]:  # noqa: ARG002
        """Nothing: there is no server."""
        return []

    def named(self, name: str, storage: StorageSettings, like: str | None = None) -> EdgeIndex:  # noqa: ARG002
        """What is searched and filled by a name, not yet opened. There is one machine, so it is like any other."""
        return EdgeIndex(self._data, name, storage)

    def open(self, name: str, storage: StorageSettings, purpose: str = "", like: str | None = None) -> EdgeIndex:  # noqa: ARG002
        """A collection by its own name, not yet opened. There is one machine, so it is like any other."""
        return EdgeIndex(self._data, name, storage, exact=True, purpose=purpose)

    def index_field(self, name: str, field: str, kind: str) -> None:
        """Make a payload index, in place."""
        checked_index(field, kind)
        with self._opened(self._folder(name)) as index:
            index.index_field(field, kind)

    def check_alias(self, alias: str) -> None:
        """Any name can be led anywhere."""

    def switch(self, alias: str, name: str) -> None:
        """Lead an alias to a collection, in one step. A collection that is called like the alias stays, and can be led back to."""
        check_strings([alias, name], "names", "names")
        target = name if name in self.names() else self._folder(name).name
        with self._data.held():
            before = self._data.leads_to(alias)
            described = self._data.collections / target / "collection.json"
            stored = read_description(described)
            led_here = sorted({*stored["led_here"], alias})
            replace_json(described, {**stored, "purpose": "", "led_here": led_here})  # nothing fills it from now on but who uses it
            if before != target:
                self._data.write_aliases({**self._data.aliases(), alias: {"name": target, "previous": before}})

    def unalias(self, alias: str) -> None:
        """Forget an alias; the collection stays."""
        if alias not in self.aliases():
            raise CollectionNotFound(f"there is no alias {alias!r} in {self.location}; search collections list shows them")
        with self._data.held():
            self._data.write_aliases({one: known for one, known in self._data.aliases().items() if one != alias})

    def drop(self, name: str) -> None:
        """Remove a collection for good."""
        is_one = name in self.names()
        if not is_one:
            self._folder(name)  # an alias, or nothing
        aliases = self.aliases()
        if leading := [alias for alias, target in aliases.items() if name == target or (name == alias and not is_one)]:
            raise IndexRejected(f"the alias {leading[0]!r} leads to {aliases[leading[0]]!r}; lead it elsewhere or remove it first")
        with self._closed(name):
            self._remove(name, () if name in aliases else (name,))  # with what it was led back from

    def snapshot(self, name: str, into: Path | None = None) -> str:
        """Copy a collection's folder, `into` another one if one is named; where the copy is."""
        folder = self._folder(name)
        with self._closed(folder.name):
            settle(folder / "shard")
            into = into or self._free_name(f"{folder.name}-{time.strftime('%Y%m%d-%H%M%S')}")
            with unfinished(into) as copy:
                size = sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())
                if shutil.disk_usage(copy).free < size:
                    raise IndexFull(f"a copy of {folder} takes {size // 1_000_000:,} MB, and the disk has less room; make room")
                shutil.copytree(folder, copy, dirs_exist_ok=True)
                names = sorted(file.relative_to(copy).as_posix() for file in copy.rglob("*") if file.is_file())
                files = tuple(StoredFile.of(copy, one) for one in names)
                written(Manifest("edge", folder.name, self._leading_to(folder.name), files), copy)
        return str(into)

    def restore(self, folder: Path, name: str | None = None) -> Restored:
        """Make a collection of a copy."""
        manifest = read_manifest(folder)
        if manifest.engine != "edge":
            raise IndexRejected(f"{folder} is a snapshot of a Qdrant server; restore it there (SEARCH_INDEX__ENGINE=qdrant)")
        name = name or manifest.collection
        with self._data.held():
            made = self._data.collections / checked_collection(name)
            check_free(name, self.location, [*self.names(), *self.aliases(), *([name] if made.exists() else [])])
            coming = self._data.path / "snapshots" / f"{name}.restoring"
            shutil.rmtree(coming, ignore_errors=True)  # what an interrupted one left
            if shutil.disk_usage(self._data.path).free < sum(file.size for file in manifest.files):
                raise IndexFull(f"{folder} takes more room than the disk has; make room")
            try:
                with full_disk(self._data.path):
                    make_private(coming.parent)
                    shutil.copytree(folder, coming, ignore=shutil.ignore_patterns(MANIFEST))
                    checked_files(manifest, folder, copied_to=coming)
                    make_private(self._data.collections)
                    coming.rename(made)
            except OSError as error:
                raise IndexRejected(
                    f"{folder} cannot be copied to {made} ({error}); see that both can be read and written"
                ) from error
            finally:
                shutil.rmtree(coming, ignore_errors=True)
            free = tuple(alias for alias in manifest.aliases if alias not in {*self.names(), *self.aliases()})
            try:
                for alias in free:
                    self.switch(alias, name)
                points = self.info(name, exact=True).points
            except BaseException:
                with contextlib.suppress(Exception):  # what went wrong before counts
                    self._remove(name, free)
                raise
        return Restored(name, points, free)

    @contextlib.contextmanager
    def _opened(self, folder: Path) -> Iterator[EdgeIndex]:
        index = EdgeIndex(self._data, folder.name, exact=True)
        index.ensure(read_spec(folder / "collection.json"), create=False)
        with contextlib.closing(index):
            yield index

    @contextlib.contextmanager
    def _closed(self, name: str) -> Iterator[None]:
        """Own the folder, in which nobody has this collection open."""
        with self._data.held():
            if self._data.is_open(name):
                raise IndexBusy(f"collection {name!r} is open in this process; close the searcher that uses it")
            yield

    def _leading_to(self, name: str) -> tuple[str, ...]:
        return tuple(alias for alias, leads_to in self.aliases().items() if leads_to == name)

    def _remove(self, name: str, aliases: Sequence[str]) -> None:
        """Take a collection away, with aliases of it."""
        kept = {alias: known for alias, known in self._data.aliases().items() if alias not in aliases}
        if kept != self._data.aliases():
            self._data.write_aliases(kept)
        for left in self._data.collections.glob(f"*{_REMOVED}"):  # by one that was killed
            shutil.rmtree(left)
        gone = self._data.collections / f"{name}{_REMOVED}"
        (self._data.collections / name).rename(gone)  # in one step, so that none is half removed and in the way of the next
        shutil.rmtree(gone)

    def _free_name(self, name: str) -> Path:
        """A folder among the snapshots that does not exist, though two are made in a second, or the clock was set back."""
        names = chain([name], (f"{name}-{number}" for number in count(2)))
        return next(copy for one in names if not (copy := self._data.path / "snapshots" / one).exists())

    def close(self) -> None:
        """Nothing is held."""

    def _folder(self, name: str) -> Path:
        folder = self._data.collections / self._data.leads_to(name)
        if folder.parent != self._data.collections or not is_described(folder / "collection.json"):
            raise CollectionNotFound(f"there is no collection {name!r} in {self.location}; search collections list shows them")
        return folder
