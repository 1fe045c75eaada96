"""Over which shards is a collection spread, and which of them does a request go to?

With shard keys, Qdrant's custom sharding, each tenant whose name is a key has shards of its own, and all others share those of one
key. The server decides which of the two it is, request by request, so that a tenant can be moved while everybody goes on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from search.documents import listed
from search.errors import IndexRejected
from search.index.contract import Payload, PlainFilter
from search.index.tenants import value_at

_NOTE = "shard_key"  # in the collection's metadata


@dataclass(frozen=True)
class Sharding:
    """Over how many machines a collection is spread; None leaves it to the server.

    Attributes:
        shards: of the collection, or of each shard key.
        replicas: of each shard.
        write_consistency: replicas that confirm a write.
        key: that tenants share which have none of their own; None for a collection without shard keys.
    """

    shards: int | None = None
    replicas: int | None = None
    write_consistency: int | None = None
    key: str | None = None


@dataclass(frozen=True)
class ShardKeys:
    """Which key a request names, in a collection that is sharded by tenants.

    Attributes:
        field: where passages name their tenant, such as metadata.customer.
        shared: the key of whoever has none of his own.
    """

    field: str
    shared: str

    def of_filter(self, filter: PlainFilter | None) -> models.ShardKeyWithFallback | None:
        """The key of the one tenant whose passages alone a filter lets pass; None if it may be several."""
        for condition in (filter or {}).get("must", []):
            match condition:
                case {"key": self.field, "match": {"value": str(tenant)}}:
                    return models.ShardKeyWithFallback(target=tenant, fallback=self.shared)
        return None

    def placed(self, points: Sequence[models.PointStruct]) -> list[tuple[models.ShardKeySelector, list[models.PointStruct]]]:
        """Points by the key that they are written under.

        Raises:
            IndexRejected: one of them is several tenants', who may be kept apart.
        """
        by_tenant: dict[str | None, list[models.PointStruct]] = {}
        for point in points:
            by_tenant.setdefault(self._tenant_of(point.payload or {}), []).append(point)
        return [
            (self.shared if name is None else models.ShardKeyWithFallback(target=name, fallback=self.shared), some)
            for name, some in by_tenant.items()
        ]

    def _tenant_of(self, payload: Payload) -> str | None:
        value = value_at(payload, self.field)
        if isinstance(value, list | tuple):
            document_id = listed([str(payload.get("document_id"))])
            raise IndexRejected(
                f"a passage of {document_id!r} has a list in {self.field}, and a collection that is sharded by tenants has no "
                "place for what several of them share; give each of them a document of its own"
            )
        return value if isinstance(value, str) else None


def shard_keys(config: models.CollectionConfig, tenant: str) -> ShardKeys | None:
    """The keys of a collection that this package made with some; None for another one."""
    shared = shared_key(config)
    return ShardKeys(tenant, shared) if is_keyed(config.params) and shared and tenant else None


def shared_key(config: models.CollectionConfig) -> str | None:
    """The key that tenants share which have none of their own, in a collection that this package made with some."""
    noted = (config.metadata or {}).get(_NOTE)
    return noted if isinstance(noted, str) else None


def inherited(wanted: Sharding, config: models.CollectionConfig) -> Sharding:
    """What the settings name, and for the rest what a collection has that is to be replaced."""
    params = config.params
    return Sharding(
        wanted.shards or params.shard_number,
        wanted.replicas or params.replication_factor,
        wanted.write_consistency or params.write_consistency_factor,
        wanted.key or shared_key(config),
    )


def spread_otherwise(wanted: Sharding, config: models.CollectionConfig) -> tuple[str, ...]:
    """Settings of shards that a collection was made by otherwise, where they name any."""
    asked, made = inherited(wanted, config), inherited(Sharding(), config)
    names = {"shards": "shards", "replicas": "replicas", "write_consistency": "write_consistency", "key": "shard_key"}
    return tuple(f"index.{setting}" for name, setting in names.items() if getattr(asked, name) != getattr(made, name))


def to_params(sharding: Sharding) -> dict[str, Any]:
    """How a collection is made, as far as it says where its points are."""
    return {
        "shard_number": sharding.shards,
        "replication_factor": sharding.replicas,
        "write_consistency_factor": sharding.write_consistency,
        **({"sharding_method": models.ShardingMethod.CUSTOM} if sharding.key else {}),
    }


def to_note(sharding: Sharding) -> Mapping[str, str]:
    """What a collection's metadata says of it."""
    return {_NOTE: sharding.key} if sharding.key else {}


def is_keyed(params: models.CollectionParams) -> bool:
    """Whether shards have keys, by which whoever writes places points, and whose ids are unique within a key alone."""
    return params.sharding_method == models.ShardingMethod.CUSTOM


def keyed(collection: str, location: str) -> str:
    """What there is to say to whoever wants to write into, or copy, a collection that another program made with shard keys."""
    return (
        f"collection {collection!r} at {location} is sharded by keys (sharding_method custom) of another program, so that it is "
        "searched as it is, over all of them, and never written to; ingest its sources into another collection (--collection NAME)"
    )


def keys_of(client: QdrantClient, target: str) -> dict[Any, int]:
    """The shard keys of a collection, and over how many shards each is spread."""
    return keys_in(client.collection_cluster_info(target))


def keys_in(cluster: models.CollectionClusterInfo) -> dict[Any, int]:
    """The same, of what the server tells of its shards."""
    replicas: list[models.LocalShardInfo | models.RemoteShardInfo] = [*cluster.local_shards, *cluster.remote_shards]
    shards = {(replica.shard_key, replica.shard_id) for replica in replicas}
    keys = [key for key, _ in sorted(shards, key=lambda one: one[1]) if key is not None]
    return {key: keys.count(key) for key in keys}


def create_keys(client: QdrantClient, target: str, shared: str, like: str | None) -> None:
    """Give a collection its shared key, and all those that another one has which it replaces; what is there stays."""
    there = keys_of(client, target)
    wanted: dict[Any, int | None] = {shared: None, **(keys_of(client, like) if like else {})}
    for key, shards in wanted.items():
        if key in there:
            continue
        try:
            client.create_shard_key(target, key, shards_number=shards)
        except UnexpectedResponse:
            if key not in keys_of(client, target):  # else another process was quicker
                raise


def missing_shards(cluster: models.CollectionClusterInfo) -> tuple[int, int]:
    """How many shards of a collection the node that answers does not hold whole, and how many there are."""
    whole = {shard.shard_id for shard in cluster.local_shards if shard.state == models.ReplicaState.ACTIVE}
    known = {shard.shard_id for shard in cluster.local_shards} | {shard.shard_id for shard in cluster.remote_shards}
    number = max(cluster.shard_count, len(known))
    return number - len(whole), number
