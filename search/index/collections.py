"""Which collections does an engine hold, and by which names? The contract, and what is known of one.

An alias is a name that leads to a collection. Switching it to another one is a single step: every search sees the one or the other.
"""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from pydantic import ValidationError

from search.errors import IndexRejected, InvalidQuery
from search.index.contract import KEYWORD_FIELDS, CollectionSpec, VectorIndex
from search.settings import StorageSettings, checked_collection


class CollectionInfo(NamedTuple):
    """What is known of a collection without its embedder."""

    name: str
    location: str
    aliases: tuple[str, ...]
    points: int
    spec: CollectionSpec | None  # None if this package did not make it
    details: Mapping[str, Any]  # as the engine tells them: quantization, segments, status

    def described(self) -> dict[str, Any]:
        """What every collection has beside its name and the details, as it is told outside."""
        return {
            "aliases": list(self.aliases),
            "passages": self.points,
            "embedder": self.spec.fingerprint if self.spec else None,
            "dimension": self.spec.dimension if self.spec else None,
            "tenant_field": (self.spec.tenant or None) if self.spec else None,
        }


class Restored(NamedTuple):
    """What became of a copy."""

    name: str
    points: int
    aliases: tuple[str, ...]  # that lead there now


class HealthCheck(NamedTuple):
    """What an engine says of one subject, such as its nodes or a collection's shards."""

    name: str
    ok: bool
    detail: str  # what there is, and, if it is not ok, how to mend it
    figures: Mapping[str, float] = {}  # the same in numbers


@runtime_checkable
class Apart(Protocol):
    """Collections whose engine runs in a process of its own, which whoever serves them looks after."""

    waits: bool  # whether `optimize` returns when the graph is built, or when that has begun

    @property
    def stuck(self) -> bool:
        """Whether it owes an answer and has done nothing for seconds. Asked without waiting."""

    def abort(self) -> None:
        """Kill the engine now, whatever it does; a call under way fails."""


class Collections(Protocol):
    """All collections of one engine.

    Methods raise kinds of IndexFailure: CollectionNotFound where no collection or alias is called as they are told, and on Edge
    IndexBusy where something else uses the collection, or another process the data folder.
    """

    location: str

    def names(self) -> list[str]:
        """The collections, without aliases."""

    def aliases(self) -> dict[str, str]:
        """The collection that each alias leads to."""

    def previous(self, alias: str) -> str | None:
        """The collection that an alias led to before its last switch, if that is still there."""

    def info(self, name: str, *, exact: bool = False) -> CollectionInfo:
        """What is known of a collection, by its name or an alias, or `exact`ly by its name."""

    def health(self, name: str, declared: Mapping[str, str]) -> list[HealthCheck]:
        """How the engine fares, and a collection if it is there; empty for an engine inside this process. Nothing is changed.

        `declared` are fields that the settings want indexed, by type.
        """

    def named(self, name: str, storage: StorageSettings, like: str | None = None) -> VectorIndex:
        """What is searched and filled by a name, not yet opened, and closed by itself.

        `storage` and `like` are for one that is made: it is spread over machines like that other collection, where one is named
        and the settings say nothing else.
        """

    def open(self, name: str, storage: StorageSettings, purpose: str = "", like: str | None = None) -> VectorIndex:
        """One collection by its own name. One that is made gets this name, and stores the purpose until an alias leads to it.

        For `like` see `named`.
        """

    def index_field(self, name: str, field: str, kind: str) -> None:
        """Make a payload index, in place; one that is there of this type stays, and a server goes on with a large one by itself.

        Raises:
            InvalidQuery: see `checked_index`.
            IndexRejected: another program made the collection.
        """

    def check_alias(self, alias: str) -> None:
        """IndexRejected if a name cannot be led to another collection."""

    def switch(self, alias: str, name: str) -> None:
        """Lead an alias to a collection, in one step. An embedded one that is called like the alias stays, and can be led back to.

        Raises:
            IndexRejected: see `check_alias`.
            InvalidQuery: a name is no text that can be stored.
        """

    def unalias(self, alias: str) -> None:
        """Forget an alias; the collection stays."""

    def drop(self, name: str) -> None:
        """Remove a collection for good; IndexRejected if an alias leads to it."""

    def snapshot(self, name: str, into: Path | None = None) -> str:
        """Copy a collection as it is now, `into` a folder that is made, if one is named; where the copy is.

        Raises:
            IndexRejected: there is such a folder, this engine makes no copies, or no node that answers holds some shard whole.
            IndexFull: this machine has no room for it.
        """

    def restore(self, folder: Path, name: str | None = None) -> Restored:
        """Make a collection of a folder that `snapshot` made, whole or not at all, under its own name or another one.

        Aliases that led to the copied one and lead nowhere now come back.

        Raises:
            IndexRejected: the copy is not whole, is of another engine, cannot be opened, or the name is taken.
            IndexFull: the disk has no room for it.
        """

    def close(self) -> None:
        """Let go of the engine."""


def checked_index(field: str, kind: str) -> None:
    """Refuse what cannot be indexed: InvalidQuery if no filter asks this field, or there is no index of this type."""
    if field in KEYWORD_FIELDS and kind == "keyword":
        return
    try:
        StorageSettings.model_validate({"payload_indexes": {field: kind}})
    except ValidationError as error:
        raise InvalidQuery(
            f"{field!r} cannot be indexed as {kind!r}: fields are metadata.…, title, headings, page, number, media_type and "
            "modified, types keyword, integer, float and bool"
        ) from error


def as_made(storage: StorageSettings, quantization: str, noted: Any) -> StorageSettings:
    """How a collection is searched, which its own quantization decides, whatever the settings of whoever asks.

    Args:
        storage: of whoever asks; their oversampling counts where they name the same quantization.
        quantization: the collection's; one that no settings name is searched as the engine does by itself.
        noted: what was noted of its storage when it was made, from a file or a server, where anybody may write.
    """
    if quantization == (storage.quantization or "none"):
        return storage
    try:
        return StorageSettings.model_validate({"oversampling": noted["oversampling"], "quantization": quantization})
    except (KeyError, TypeError, ValidationError):
        known = quantization if quantization in _QUANTIZATIONS else "none"
        return StorageSettings.model_validate({"quantization": known})


_QUANTIZATIONS = {"none", "scalar", "binary"}  # that settings name
_LASTING = ("on_disk", "on_disk_payload", "hnsw_m", "hnsw_ef_construct")  # of the storage settings: what a collection keeps


def made_otherwise(storage: StorageSettings, quantization: str, noted: Any) -> tuple[str, ...]:
    """Storage settings that a collection was made by otherwise, and keeps; for the arguments see `as_made`.

    Which quantization it has counts where the settings name one. Oversampling is a search's, and fields are indexed in place.
    """
    names = ["quantization"] if storage.quantization not in {None, quantization} else []
    try:
        made = StorageSettings.model_validate(noted if isinstance(noted, Mapping) else {})
        names += [name for name in _LASTING if getattr(made, name) != getattr(storage, name)]
    except ValidationError:  # nobody knows by what
        return ("storage",)
    return tuple(f"storage.{name}" for name in names)


def _indexed(details: Mapping[str, Any], noted: Mapping[str, Any]) -> dict[str, Any]:
    """The indexed fields of a collection that settings could name, by type: that which they had when it was made, if they did."""
    found = {}
    for field, kind in (dict(details.get("index_types") or {}) | dict(noted.get("payload_indexes") or {})).items():
        with suppress(InvalidQuery):
            checked_index(field, kind)
            found[field] = kind
    return {field: kind for field, kind in found.items() if field not in KEYWORD_FIELDS}


def as_replaced(storage: StorageSettings, details: Mapping[str, Any]) -> StorageSettings:
    """How a collection is made in the place of another, or as a copy: quantized like it, where the settings say nothing of that.

    So are fields indexed, if what the engine tells of it has types (`index_types`). A server's has not: its indexes are copied with
    all that they are, when the collection is made.
    """
    noted = details.get("storage")
    noted = noted if isinstance(noted, Mapping) else {}
    changes: dict[str, Any] = {}
    quantization = details.get("quantization") or noted.get("quantization") or "none"
    if storage.quantization is None and quantization in _QUANTIZATIONS:  # else the engine hands it on, whatever it is
        made = as_made(storage, quantization, noted)
        changes = {"quantization": made.quantization, "oversampling": made.oversampling}
    if "index_types" in details:
        changes["payload_indexes"] = _indexed(details, noted) | storage.payload_indexes
    return storage.model_copy(update=changes)


def check_free(name: str, location: str, taken: Iterable[str]) -> None:
    """Refuse to restore a copy over something.

    Raises:
        InvalidSettings: it is no name for a collection.
        IndexRejected: a collection or an alias is called so.
    """
    checked_collection(name)
    if name in set(taken):
        raise IndexRejected(
            f"{name!r} is there already at {location}, and is not overwritten; restore it under another name (--as NAME), look at "
            "it, and lead the alias there (search collections alias)"
        )


def versions(name: str, names: Iterable[str]) -> list[str]:
    """Those of some collections that are called NAME.v1, NAME.v2 and so on, as what a reindexing fills is."""
    return [one for one in names if re.fullmatch(rf"{re.escape(name)}\.v\d+", one)]


def refuse_to_begin_anew(name: str, location: str, left: list[str]) -> None:
    """Refuse to make a collection where versions of it, with passages, are left that its name does not lead to any more."""
    if left:
        raise IndexRejected(
            f"{name!r} leads nowhere at {location}, and there still is {' and '.join(left)}: lead it there (search collections "
            f"alias {name} {left[-1]}), drop what is left, or take another name (--collection NAME)"
        )
