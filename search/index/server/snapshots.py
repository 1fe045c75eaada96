"""How is a collection of a server or a cluster written into a folder, whole, and brought back?

Shard by shard, each from a node that holds it whole, and each to every node that holds it where it is brought back: so it does
not matter how many nodes there are then, nor which shard lies on which. The collection's description goes along, and what makes
sure that nothing is missing: a digest of each file, and how many points there were.
"""

import contextlib
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
from pydantic import ValidationError
from qdrant_client import models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from search.errors import IndexFailure, IndexFaulted, IndexGarbled, IndexRejected
from search.index.collections import Restored
from search.index.manifests import NAME as MANIFEST
from search.index.manifests import Manifest, StoredFile, checked_files, not_written, written
from search.index.server.connection import ServerClient
from search.index.server.errors import translated
from search.index.server.limits import counted, limits_of
from search.index.server.nodes import Node
from search.index.server.reserved import Ordering, ReservedPoint
from search.index.server.sharding import is_keyed

_LONGEST_S = 3_600.0  # for a node to write or to take in one shard
_ACTIVE_WITHIN_S = 120.0  # after it was taken in
_LOOKED_AT_EVERY_S = 0.2
_UNFINISHED = "a snapshot is being restored"  # begins a collection's purpose until it is whole, and then stands by whom


class Part(NamedTuple):
    """What of a collection lies on one node that was reached."""

    node: Node
    whole: frozenset[int]  # shards that it holds, and can be read from it
    held: frozenset[int]  # all of those that it holds


def save(client: ServerClient, target: str, aliases: Sequence[str], folder: Path) -> None:
    """Write a snapshot of each shard into a folder that is there, and then the manifest.

    Raises:
        IndexRejected: a shard is whole on no node that was reached, or the collection is sharded by keys.
        IndexFailure: see search.index.server.errors; the folder holds no manifest then.
        IndexFull: this machine has no room for it.
    """
    location = " or ".join(node.url for node in client.nodes.nodes)
    with translated(f"the Qdrant server at {location}"):
        info = client.get_collection(target)
        if is_keyed(info.config.params):
            raise IndexRejected(f"collection {target!r} at {location} is sharded by keys, which cannot be brought back from shards")
        limits = limits_of(info.config)
        parts, shards = _parts(client, target)
        places = {shard: next((part.node for part in parts if shard in part.whole), None) for shard in shards}
        if missing := [shard for shard, node in places.items() if node is None]:
            raise IndexRejected(lacking(target, location, missing, len(shards), _silent(client, parts)))
        quiet_before, before = _unclaimed(client, target, location), counted(client, target, None, limits, exactly=True)
        files = [_fetched(node, target, shard, folder) for shard, node in places.items() if node is not None]
        after, quiet_after = counted(client, target, None, limits, exactly=True), _unclaimed(client, target, location)
        version = client.info().version
    # A document's new passages come before its old ones go, so that at a shard's turn it may hold more, or fewer, than ever count.
    meanwhile = quiet_before is None or quiet_after != quiet_before or before != after
    metadata = {name: value for name, value in (info.config.metadata or {}).items() if name not in {"writer", "previous"}}
    described = {
        "config": {**info.config.model_dump(mode="json", exclude_none=True), "metadata": metadata},
        "payload_schema": {field: one.model_dump(mode="json", exclude_none=True) for field, one in info.payload_schema.items()},
        "exact": True,  # else they were counted about, as earlier versions did under strict mode
        "written_meanwhile": meanwhile,
        "server": version,
    }
    number = None if meanwhile else before
    written(Manifest("qdrant", target, tuple(aliases), tuple(files), least=number, most=number, details=described), folder)


def restore(client: ServerClient, manifest: Manifest, folder: Path, name: str) -> Restored:
    """Make a collection of a snapshot, under a name that nothing has yet, and its aliases. Nothing is left if that fails.

    Raises:
        IndexRejected: a file is missing or damaged, or a shard would lie on no node that is reached.
        IndexFaulted: the collection does not hold what was written, or not on every node.
        IndexFailure: see search.index.server.errors.
    """
    location = " or ".join(node.url for node in client.nodes.nodes)
    files = {_number_of(path): path for path in checked_files(manifest, folder)}
    config, indexes = _described(manifest, folder)
    if sorted(files) != list(range(config.params.shard_number or 1)):
        raise IndexRejected(f"{folder} holds shards {sorted(files)} of {config.params.shard_number}, so it is not a whole snapshot")
    now = datetime.now(UTC).isoformat()  # to the microsecond, so that no two are called alike
    mark = f"{_UNFINISHED} by process {os.getpid()} on {socket.gethostname()} since {now}"
    purpose = "" if being_restored(config) else (config.metadata or {}).get("purpose") or ""
    metadata = {**(config.metadata or {}), "purpose": purpose}  # the server would keep what is not named
    with translated(f"the Qdrant server at {location}"):
        _create(client, name, config, mark)
        ours = [mark]
        try:
            for field, schema in indexes.items():
                client.create_payload_index(name, field, schema.params or schema.data_type)
            parts = _sent_in(client, name, files, location)
            _wait_until_active(client, name, parts)
            points = _checked(client, name, manifest, parts)
            if config.strict_mode_config is not None:  # which may let nobody count
                strict = _other(models.StrictModeConfig, config.strict_mode_config)
                client.update_collection(name, strict_mode_config=strict)
            ours.append(purpose)
            client.update_collection(name, metadata=metadata)
            aliases = _led_there(client, name, manifest.aliases)
        except BaseException:
            with contextlib.suppress(Exception):  # what went wrong before counts
                _removed(client, name, ours)
            raise
    return Restored(name, points, aliases)


def _described(manifest: Manifest, folder: Path) -> tuple[models.CollectionConfig, dict[str, models.PayloadIndexInfo]]:
    """What the manifest says of the collection and of its payload indexes."""
    try:
        config = models.CollectionConfig.model_validate(manifest.details["config"])
        indexes = dict(manifest.details["payload_schema"])
        return config, {name: models.PayloadIndexInfo.model_validate({"points": 0, **one}) for name, one in indexes.items()}
    except (KeyError, TypeError, ValueError) as error:
        reason = repr(error)
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False, include_input=False)[0]
            reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise IndexRejected(
            f"{folder / MANIFEST} does not say what the collection is ({reason}); take the snapshot anew"
        ) from error


def _number_of(path: Path) -> int:
    try:
        return int(path.stem.removeprefix("shard-"))
    except ValueError as error:
        raise IndexRejected(f"{path} is no snapshot of a shard; take the snapshot anew") from error


def being_restored(config: models.CollectionConfig) -> str:
    """What a collection says that is not whole yet, or was left so by a restoring that was ended; empty for any other.

    Which of the two it is cannot be told from outside.
    """
    purpose = str((config.metadata or {}).get("purpose", ""))
    return purpose if purpose.startswith(_UNFINISHED) else ""


def lacking(target: str, location: str, missing: Sequence[int], shards: int, silent: str = "") -> str:
    """Why no snapshot is made, and what to do; `silent` says which addresses did not answer."""
    return (
        f"a snapshot made at {location} would lack {len(missing)} of the {shards} shards of {target!r}, which are whole on "
        f"other nodes of the cluster only; {silent}name the URLs of these (SEARCH_INDEX__URLS) and have all shards fetched (search "
        "collections snapshot NAME --to FOLDER), or have every node write its own (curl -X POST http://NODE:6333/collections/"
        f"{quote(target, safe='')}/snapshots), and recover each on its node"
    )


def _silent(client: ServerClient, parts: Sequence[Part]) -> str:
    """Which of the addresses did not answer, and what to do; empty if all did."""
    reached = [part.node for part in parts]
    silent = [node.url for node in client.nodes.nodes if node not in reached]
    return f"{' and '.join(silent)} did not answer, start what is missing there; or " if silent else ""


def _parts(client: ServerClient, target: str) -> tuple[list[Part], list[int]]:
    """What the nodes that are reached hold of a collection, and which shards it has."""
    parts, known, failed = [], set[int](), None
    for node in client.nodes.nodes:
        try:
            with translated(f"the Qdrant server at {node.url}"):
                told = node.rest.collection_cluster_info(target)
        except IndexFailure as error:  # it may hold nothing that another one lacks
            failed = error
            continue
        whole = frozenset(one.shard_id for one in told.local_shards if one.state == models.ReplicaState.ACTIVE)
        parts.append(Part(node, whole, frozenset(one.shard_id for one in told.local_shards)))
        known |= set(_replicas(told)) or set(range(told.shard_count))
    if not parts and failed is not None:
        raise failed
    return parts, sorted(known)


def _unclaimed(client: ServerClient, target: str, location: str) -> int | None:
    """How often a collection has been claimed that nobody writes to now, as far as writers say so; None if one may be writing."""
    if (client.get_collection(target).config.metadata or {}).get("writer"):  # of an earlier version
        return None
    try:
        note = ReservedPoint(client, target, Ordering(), lambda: translated(f"the Qdrant server at {location}")).read()
    except IndexGarbled:  # another program wrote there
        return None
    return None if note.get("claim") else int(note.get("number", 0))


def _fetched(node: Node, target: str, shard: int, folder: Path) -> StoredFile:
    """Have a node write a snapshot of one shard, and bring it here."""
    path = f"/collections/{quote(target, safe='')}/shards/{shard}/snapshots"
    with _files(node) as http:
        made = _answered(http.post(path, params={"wait": "true"}))["result"]
        at = f"{path}/{quote(made['name'], safe='')}"
        try:
            with http.stream("GET", at) as answer:
                if answer.status_code != httpx.codes.OK:
                    answer.read()
                    raise UnexpectedResponse.for_response(answer)
                try:
                    stored = StoredFile.taken(folder, f"shard-{shard}.snapshot", answer.iter_bytes())
                except OSError as error:
                    raise not_written(folder, error) from error
        finally:
            with contextlib.suppress(httpx.HTTPError):  # it stays there, and does no harm
                http.delete(at)
    if (told := made.get("checksum")) and told != stored.sha256:
        raise IndexFaulted(f"shard {shard} of {target!r} did not come as the node at {node.url} wrote it; run the same again")
    return stored


def _led_there(client: ServerClient, name: str, wanted: Sequence[str]) -> tuple[str, ...]:
    """Lead the aliases to a collection that lead nowhere."""
    taken = {one.name for one in client.get_collections().collections} | {one.alias_name for one in client.get_aliases().aliases}
    free = tuple(alias for alias in wanted if alias not in taken)
    leads = [models.CreateAlias(collection_name=name, alias_name=alias) for alias in free]
    if leads:
        client.update_collection_aliases([models.CreateAliasOperation(create_alias=one) for one in leads])
    return free


def _removed(client: ServerClient, name: str, purposes: Sequence[Any]) -> None:
    """Remove a collection, and its aliases with it, if it is still the one that was made here."""
    if (client.get_collection(name).config.metadata or {}).get("purpose") in purposes:
        client.delete_collection(name)


def _create(client: ServerClient, name: str, config: models.CollectionConfig, mark: str) -> None:
    params = config.params
    client.create_collection(
        name,
        vectors_config=params.vectors,
        sparse_vectors_config=params.sparse_vectors,
        shard_number=params.shard_number,
        replication_factor=params.replication_factor,
        write_consistency_factor=params.write_consistency_factor,
        on_disk_payload=params.on_disk_payload,
        hnsw_config=_other(models.HnswConfigDiff, config.hnsw_config),
        optimizers_config=_other(models.OptimizersConfigDiff, config.optimizer_config),
        wal_config=_other(models.WalConfigDiff, config.wal_config),
        quantization_config=config.quantization_config,
        metadata={"purpose": mark},
    )


def _other(kind: Any, value: Any) -> Any:
    """A value of one of the client's types as another one of them that has the same fields."""
    return None if value is None else kind.model_validate(value.model_dump(mode="json", exclude_none=True))


def _sent_in(client: ServerClient, name: str, files: Mapping[int, Path], location: str) -> list[Part]:
    """Send each shard to all nodes that hold it. Where one of them is not reached, it is to get it from the others."""
    parts, shards = _parts(client, name)
    if sorted(files) != shards:
        raise IndexFaulted(f"the new collection {name!r} at {location} has shards {shards}, and the snapshot {sorted(files)}")
    replicas = _replicas(parts[0].node.rest.collection_cluster_info(name))
    if unreached := [shard for shard in shards if not any(shard in part.held for part in parts)]:
        raise IndexRejected(
            f"{len(unreached)} of the {len(shards)} shards of {name!r} would lie on nodes that are not reached; "
            f"{_silent(client, parts)}name the URLs of all nodes (SEARCH_INDEX__URLS), now {location}"
        )
    for shard, path in files.items():
        holders = [part.node for part in parts if shard in part.held]
        alone = len(holders) < replicas[shard]
        for node in holders[:1] if alone else holders:
            with _files(node) as http, path.open("rb") as stream:
                at = f"/collections/{quote(name, safe='')}/shards/{shard}/snapshots/upload"
                asked = {"wait": "true", "priority": "snapshot" if alone else "no_sync"}
                _answered(http.post(at, params=asked, files={"snapshot": (path.name, stream)}))
    return parts


def _replicas(told: models.CollectionClusterInfo) -> dict[int, int]:
    """How many replicas each shard has, wherever they lie."""
    held = [one.shard_id for one in told.local_shards] + [one.shard_id for one in told.remote_shards]
    return {shard: held.count(shard) for shard in held}


def _wait_until_active(client: ServerClient, name: str, parts: Sequence[Part]) -> None:
    until = time.monotonic() + _ACTIVE_WITHIN_S
    while waiting := [part for part in _parts(client, name)[0] if part.held - part.whole]:
        if time.monotonic() > until:
            shards = sorted({shard for part in waiting for shard in part.held - part.whole})
            raise IndexFaulted(f"shards {shards} of {name!r} were taken in and did not become active; look into the servers' logs")
        time.sleep(_LOOKED_AT_EVERY_S)
    if len(parts) != len(_parts(client, name)[0]):
        raise IndexFaulted(f"a node went away while {name!r} was restored; run the same again")


def _checked(client: ServerClient, name: str, manifest: Manifest, parts: Sequence[Part]) -> int:
    """How many points there are, which has to be what was written, as far as that is known, whichever node is asked."""
    limits = limits_of(client.get_collection(name).config)
    numbers = [counted(part.node.rest, name, None, limits, exactly=True) for part in parts]
    least, most = manifest.least, manifest.most
    if least is None or most is None:
        if len(set(numbers)) > 1:
            raise IndexFaulted(
                f"the nodes do not count alike ({', '.join(f'{one:,}' for one in numbers)} points), so {name!r} was removed again; "
                "look into the servers' logs"
            )
        return numbers[0]
    for number in numbers if manifest.details.get("exact") else []:
        if not least <= number <= most:
            wanted = f"{most:,}" if least == most else f"{least:,} to {most:,}"
            raise IndexFaulted(
                f"{number:,} of {wanted} points came back, so {name!r} was removed again; look into the server's log"
            )
    return numbers[0]


@contextlib.contextmanager
def _files(node: Node) -> Iterator[httpx.Client]:
    """A connection to one node, for files of any size."""
    try:
        with node.files(_LONGEST_S) as client:
            yield client
    except httpx.HTTPError as error:
        raise ResponseHandlingException(error) from error


def _answered(answer: httpx.Response) -> dict[str, Any]:
    if answer.status_code != httpx.codes.OK:
        raise UnexpectedResponse.for_response(answer)
    told: dict[str, Any] = answer.json()
    return told
