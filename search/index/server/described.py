"""What is a collection, by what its server tells of it? One of this package, or one that another program filled."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

from qdrant_client import QdrantClient, models

from search.errors import IndexMismatch
from search.index.collections import as_made, made_otherwise
from search.index.contract import CollectionSpec
from search.index.layout import Layout
from search.index.server.conversion import noted, quantization_of, spec_of
from search.index.server.errors import IN_MEMORY
from search.index.server.foreign import Wanted, spec_and_layout
from search.index.server.limits import Limits, limits_of
from search.index.server.sharding import Sharding, ShardKeys, is_keyed, shard_keys, spread_otherwise
from search.settings import LayoutSettings, StorageSettings, section_of

_FOUND_FOR_S = 5.0  # what was found out of another program's collection counts


class Described(NamedTuple):
    """A collection, as it was when it was looked at."""

    target: str  # its own name
    spec: CollectionSpec
    limits: Limits  # of its strict mode
    searched: StorageSettings  # how it is searched
    layout: Layout | None  # if another program filled it
    indexed: dict[str, str]  # which fields have a payload index, of which type; whoever makes one adds it
    keys: ShardKeys | None  # if this package shards it by tenants
    keyed_by_others: bool  # whether another program gave its shards keys, by which whoever writes has to place points
    differing: tuple[str, ...]  # settings that it was made by otherwise, if this package made it

    @property
    def vector(self) -> str | None:
        """The name of the vector that is searched; None for the one without a name."""
        return self.layout.vector or None if self.layout else None


@dataclass(frozen=True)
class Access:
    """One name at a server: how it is asked there, and what whoever asks has settings for.

    Attributes:
        client: reaches the server.
        name: of a collection, or an alias of it.
        location: of the server, for people.
        translated: stands around requests; with `foreign=True` around those to what another program filled.
        storage: how a collection that is made stores its points.
        sharding: over how many machines.
    """

    client: QdrantClient
    name: str
    location: str
    translated: Callable[..., AbstractContextManager[None]]
    storage: StorageSettings
    sharding: Sharding


class Describer:
    """Looks at the collections that one name leads to."""

    def __init__(self, access: Access, chosen: LayoutSettings) -> None:
        """`chosen` says where passages lie, if another program filled the collection."""
        self._access = access
        self._chosen = chosen
        self._found_last: tuple[str, Wanted, CollectionSpec, Layout] | None = None  # of another program's collection …
        self._found_at = -math.inf  # … and when

    def describe(self, target: str, dimension: int, noted_layout: str = "", *, anew: bool = False) -> Described:
        """A collection by its own name; `anew` also if another program's was looked at a moment ago.

        Raises:
            IndexMismatch: another program filled it in a way that cannot be searched.
        """
        access = self._access
        with access.translated():
            info = access.client.get_collection(target)
        config = info.config
        spec, layout = spec_of(config), None
        if spec is None:
            wanted = Wanted(self._chosen, section_of(access.name), dimension, noted_layout)
            spec, layout = self._found(target, config, wanted, anew=anew)
        storage, quantization = noted(config, "storage"), quantization_of(config)
        made = storage.get("quantization") or "none" if access.location == IN_MEMORY else quantization  # there it is of no effect
        differing = () if layout else made_otherwise(access.storage, made, storage) + spread_otherwise(access.sharding, config)
        keys = shard_keys(config, spec.tenant)
        return Described(
            target,
            spec,
            limits_of(config),
            as_made(access.storage, quantization, storage),
            layout,
            indexed_of(info),
            keys,
            is_keyed(config.params) and keys is None,
            differing,
        )

    def _found(self, target: str, config: models.CollectionConfig, wanted: Wanted, *, anew: bool) -> tuple[CollectionSpec, Layout]:
        """What another program's collection is, by its points."""
        last = None if anew else self._found_last
        if last is not None and last[:2] == (target, wanted) and time.monotonic() < self._found_at + _FOUND_FOR_S:
            return last[2:]
        try:
            with self._access.translated(foreign=True):
                spec, layout = spec_and_layout(self._access.client, target, config, wanted)
        except IndexMismatch as error:
            raise IndexMismatch(not_ours(self._access.name, self._access.location, str(error))) from error
        self._found_last, self._found_at = (target, wanted, spec, layout), time.monotonic()
        return spec, layout


def indexed_of(info: Any) -> dict[str, str]:
    """The fields that have a payload index, and of which type, by what a server tells of a collection."""
    return {field: str(one.data_type.value) for field, one in info.payload_schema.items()}


def not_ours(name: str, location: str, problem: str) -> str:
    """What there is to say of a collection that another program filled."""
    return f"collection {name!r} at {location} was not made by this package: {problem}"
