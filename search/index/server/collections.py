"""The collections of a Qdrant server, and of qdrant-client's in-memory mode."""

import contextlib
import shlex
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from qdrant_client import QdrantClient, models

from search.documents import check_strings
from search.errors import CollectionNotFound, IndexDenied, IndexRejected, IndexTimeout
from search.index.collections import CollectionInfo, HealthCheck, Restored, check_free, checked_index
from search.index.contract import VectorIndex
from search.index.exact import indexed_path
from search.index.manifests import read_manifest, unfinished
from search.index.server.connection import ServerClient
from search.index.server.conversion import OF_TENANTS, noted, quantization_of, spec_of, to_schema
from search.index.server.errors import IN_MEMORY, translated
from search.index.server.health import ASKED_S, checks
from search.index.server.index import QdrantIndex
from search.index.server.limits import counted, limits_of
from search.index.server.sharding import Sharding, is_keyed, keys_of, missing_shards, shared_key
from search.index.server.snapshots import being_restored, lacking, restore, save
from search.network.addresses import without_secrets
from search.network.deadlines import within
from search.settings import LayoutSettings, StorageSettings


class QdrantCollections:
    """All collections that a client reaches, which is closed with this."""

    def __init__(
        self,
        client: QdrantClient,
        location: str,
        sharding: Sharding | None = None,
        *,
        layouts: Mapping[str, LayoutSettings] | None = None,
    ) -> None:
        """Keep the client; `layouts` say by name where passages lie in collections that other programs filled."""
        self._layouts = layouts or {}
        self.location = without_secrets(location)
        self._client = client
        self._sharding = sharding

    def names(self) -> list[str]:
        """The collections, without aliases."""
        with self._translated():
            return sorted(one.name for one in self._client.get_collections().collections)

    def aliases(self) -> dict[str, str]:
        """The collection that each alias leads to."""
        with self._translated():
            return {one.alias_name: one.collection_name for one in self._client.get_aliases().aliases}

    def previous(self, alias: str) -> str | None:
        """The collection that an alias led to before its last switch, if that is still there."""
        with self._translated():
            known = noted(self._client.get_collection(self._target(alias)).config, "previous").get(alias)
        return known if known in self.names() else None

    def info(self, name: str, *, exact: bool = False) -> CollectionInfo:  # noqa: ARG002  # no alias is called like a collection
        """What is known of a collection, by its name or an alias."""
        target = self._target(name)
        with self._translated():
            info = self._client.get_collection(target)
            points = counted(self._client, target, None, limits_of(info.config))
        keys = self._shard_keys(target, info.config)
        details = {
            "status": str(info.status.value),
            "segments": info.segments_count,
            "indexed_vectors": info.indexed_vectors_count,
            "quantization": quantization_of(info.config),
            "payload_indexes": sorted(info.payload_schema),
            "shards": sum(keys.get("shard_keys", {}).values()) or info.config.params.shard_number,
            **keys,
            "replicas": info.config.params.replication_factor,
            "write_consistency": info.config.params.write_consistency_factor,
            **{name: (info.config.metadata or {}).get(name) for name in ("storage", "purpose", "lexical")},
        }
        return CollectionInfo(target, self.location, self._leading_to(target), points, spec_of(info.config), details)

    def _shard_keys(self, target: str, config: models.CollectionConfig) -> dict[str, Any]:
        """Where there are shard keys: the one that tenants share, and the shards of each, if they are told."""
        if not is_keyed(config.params):
            return {}
        keys: dict[Any, int] = {}
        with contextlib.suppress(IndexDenied), self._translated():
            keys = keys_of(self._client, target)
        return {"shard_key": shared_key(config), "shard_keys": keys}

    def health(self, name: str, declared: Mapping[str, str]) -> list[HealthCheck]:
        """What the server tells of itself, and of a collection if it is there."""
        if self.location == IN_MEMORY:
            return []
        target: str | None = name
        try:
            with within(ASKED_S):
                target = self._target(name)
        except CollectionNotFound:
            target = None
        except IndexDenied:  # a key for one collection may not list them
            pass
        return list(checks(self._client, self.location, target, declared))

    def named(self, name: str, storage: StorageSettings, like: str | None = None) -> VectorIndex:
        """What is searched and filled by a name, not yet opened; a collection that is made gets it as an alias."""
        layouts = {"layout": self._layouts.get(name), "like_layout": self._layouts.get(like or "")}
        return self._index(name, storage, like=like, **layouts)

    def open(self, name: str, storage: StorageSettings, purpose: str = "", like: str | None = None) -> VectorIndex:
        """A collection by its own name, not yet opened."""
        return self._index(name, storage, like=like, aliased=False, purpose=purpose)

    def index_field(self, name: str, field: str, kind: str) -> None:
        """Make a payload index, in place; the server goes on with a large one by itself."""
        checked_index(field, kind)
        target = self._target(name)
        with self._translated():
            config = self._client.get_collection(target).config
        if (spec := spec_of(config)) is None:
            raise IndexRejected(
                f"collection {name!r} at {self.location} was not made by this package, and is not changed by it; whoever fills it "
                f"indexes a field (PUT {self.location}/collections/{quote(target, safe='')}/index)"
            )
        indexed_only = limits_of(config).indexed_only
        path = indexed_path(field, indexed_only=indexed_only)
        of_tenants = path == spec.tenant and kind == "keyword"
        schema = OF_TENANTS if of_tenants else to_schema(kind, indexed_only=indexed_only)
        try:
            with self._translated(), warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Payload indexes have no effect in the local Qdrant", UserWarning)
                self._client.create_payload_index(target, path, schema)
        except IndexTimeout:
            with self._translated():
                there = self._client.get_collection(target).payload_schema
            if path not in there:
                raise

    def check_alias(self, alias: str) -> None:
        """Refuse a name that is a collection's own."""
        if alias in self.names():
            raise IndexRejected(
                f"{alias!r} at {self.location} is a collection itself, and cannot lead to another one; make an alias of another "
                f"name (search collections alias NAME {shlex.quote(alias)}), search by that one, and reindex it"
            )

    def switch(self, alias: str, name: str) -> None:
        """Lead an alias to a collection, in one request, which the server carries out as one step."""
        check_strings([alias, name], "names", "names")
        target = self._target(name)
        self.check_alias(alias)
        before = self.aliases().get(alias)
        with self._translated():
            config = self._client.get_collection(target).config
            if spec_of(config) is not None:  # nothing is noted in what another program made
                left = {alias: before} if before and before != target else {}
                previous = {**noted(config, "previous"), **left}
                self._client.update_collection(target, metadata={"previous": previous, "purpose": ""})
            lead = models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=target, alias_name=alias))
            forget = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))
            self._client.update_collection_aliases([forget, lead] if before else [lead])

    def unalias(self, alias: str) -> None:
        """Forget an alias; the collection stays."""
        if alias not in self.aliases():
            raise CollectionNotFound(f"there is no alias {alias!r} at {self.location}; search collections list shows them")
        with self._translated():
            forget = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))
            self._client.update_collection_aliases([forget])

    def drop(self, name: str) -> None:
        """Remove a collection for good."""
        self._target(name)
        aliases = self.aliases()
        if leading := [alias for alias, target in aliases.items() if name in {alias, target}]:
            raise IndexRejected(f"the alias {leading[0]!r} leads to {aliases[leading[0]]!r}; lead it elsewhere or remove it first")
        with self._translated():
            self._client.delete_collection(name)

    def snapshot(self, name: str, into: Path | None = None) -> str:
        """Have the server write a snapshot, which it keeps, or fetch all shards into a folder; where it is."""
        target = self._target(name)
        if into is not None:
            with unfinished(into) as folder:
                save(self._server(), target, self._leading_to(target), folder)
            return str(into)
        missing, shards = 0, 0
        with self._translated(), contextlib.suppress(NotImplementedError):  # the client's own memory is no cluster
            missing, shards = missing_shards(self._client.collection_cluster_info(target))
        if missing:
            raise IndexRejected(lacking(target, self.location, range(missing), shards))
        with self._translated():
            made = self._client.create_snapshot(target, wait=True)
        if made is None:
            raise IndexRejected(f"{self.location} makes no snapshots")
        at = self._client.nodes.asked.url if isinstance(self._client, ServerClient) else self.location
        return f"{at}/collections/{quote(target, safe='')}/snapshots/{quote(made.name, safe='')}"

    def restore(self, folder: Path, name: str | None = None) -> Restored:
        """Make a collection of a snapshot in a folder; see search.index.server.snapshots."""
        manifest = read_manifest(folder)
        if manifest.engine != "qdrant":
            raise IndexRejected(
                f"{folder} is a snapshot of the embedded engine; restore it there, and bring it here by `search push`"
            )
        client, name = self._server(), name or manifest.collection
        taken = self.names()
        if name in taken:
            self._refuse_unfinished(name)
        check_free(name, self.location, [*taken, *self.aliases()])
        return restore(client, manifest, folder, name)

    def _index(self, name: str, storage: StorageSettings, **options: Any) -> QdrantIndex:
        return QdrantIndex(self._client, name, self.location, storage, self._sharding, owned=False, **options)

    def _refuse_unfinished(self, name: str) -> None:
        """Leave what another restoring makes, or left when it was killed, to whoever knows which of the two it is."""
        with self._translated():
            told = being_restored(self._client.get_collection(name).config)
        if told:
            raise IndexRejected(
                f"{name!r} at {self.location} is not whole: {told[:200]}; wait until that is done, or, if it was ended, "
                f"`search collections drop {shlex.quote(name)}` removes what it left"
            )

    def _server(self) -> ServerClient:
        if not isinstance(self._client, ServerClient):
            raise IndexRejected(f"{self.location} makes no snapshots")
        return self._client

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _leading_to(self, target: str) -> tuple[str, ...]:
        return tuple(alias for alias, leads_to in self.aliases().items() if leads_to == target)

    def _target(self, name: str) -> str:
        target = self.aliases().get(name, name)
        with self._translated():  # a key for an alias alone sees it in no list
            there = target in self.names() or (target != "" and self._client.collection_exists(target))
        if not there:
            raise CollectionNotFound(f"there is no collection {name!r} at {self.location}; search collections list shows them")
        return target

    def _translated(self) -> contextlib.AbstractContextManager[None]:
        return translated(f"the Qdrant server at {self.location}")
