"""How does a Qdrant server fare? As it tells itself: its version, its nodes, a collection's shards, optimizer and indexes."""

import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, get_args

from qdrant_client import QdrantClient, models

from search.documents import counted
from search.errors import CollectionNotFound, IndexDenied, IndexFailure
from search.index.collections import HealthCheck
from search.index.exact import indexed_path
from search.index.server.connection import OLDEST, ServerClient, numbers_of
from search.index.server.conversion import spec_of, to_schema
from search.index.server.errors import translated
from search.index.server.limits import indexes_needed, limits_of
from search.index.server.reserved import is_reserved
from search.index.server.sharding import keys_in, shared_key
from search.index.server.words import IN_PLACE
from search.network.deadlines import within
from search.settings import PayloadType

ASKED_S = 3.0  # for each request
_READS = {models.ReplicaState.ACTIVE, models.ReplicaState.ACTIVEREAD}  # states of replicas that answer searches
_MEASURED = (1, 19)
_LISTED = 3  # nodes or shards in a message
_BYTES = 4  # of a number in a vector
_UNINDEXED = "UNINDEXED_FIELD/"  # in front of the collection and the field, in what a server notes

Told = tuple[str, str, Mapping[str, float]]  # of one subject: what there is, what is wrong with it, and figures


@dataclass(frozen=True)
class _Asked:
    client: QdrantClient
    location: str
    target: str  # the collection's own name
    declared: Mapping[str, str]  # fields that the settings want indexed, by type

    @cached_property
    def info(self) -> models.CollectionInfo:
        """What the server tells of the collection."""
        return self.client.get_collection(self.target)


Look = Callable[[_Asked], Told]


def checks(client: QdrantClient, location: str, target: str | None, declared: Mapping[str, str]) -> Iterator[HealthCheck]:
    """What the server tells, one subject after the other; what a key may not ask, or an older server does not tell, is said so.

    `target` is the collection's own name, None if there is none yet; `declared` are fields that the settings want indexed, by type.
    """
    asked = _Asked(client, location, target or "", declared)
    looks: dict[str, Look] = {"server": _server, "protocol": _protocol, "nodes": _nodes}
    if target is not None:
        looks |= {"shards": _shards, "optimizer": _optimizer, "payload indexes": _payload_indexes}
        looks |= {"slow filters": _slow_filters, "size": _size}
    for name, look in looks.items():
        yield _looked(name, asked, look)


def _looked(name: str, asked: _Asked, look: Look) -> HealthCheck:
    try:
        with within(ASKED_S), translated(f"the Qdrant server at {asked.location}"):
            detail, problem, figures = look(asked)
    except IndexDenied:
        return HealthCheck(name, ok=True, detail="not told to this API key, which may not ask for it")
    except CollectionNotFound:  # a path that it does not have, since the collection was there before
        return HealthCheck(name, ok=True, detail="not told by a server of this version")
    except IndexFailure as error:
        return HealthCheck(name, ok=False, detail=str(error))
    return HealthCheck(name, ok=not problem, detail=f"{detail}; {problem}" if problem else detail, figures=figures)


def _server(asked: _Asked) -> Told:
    version = asked.client.info().version
    numbers, least = numbers_of(version), ".".join(map(str, OLDEST))
    if numbers is None:
        return f"it does not tell its version ({version!r}), of which {least} is the least", "", {}
    old = f"upgrade it, one minor version after the other: collections need {least} or newer" if numbers < OLDEST else ""
    newer = f" ({least} is the least, and {'.'.join(map(str, _MEASURED))} the one that this package is measured with)"
    if numbers < IN_PLACE:
        newer += f"; from {'.'.join(map(str, IN_PLACE))} on a collection without words is given some where it is"
    return f"Qdrant {version} at {asked.location}{newer if numbers < _MEASURED else ''}", old, {}


def _protocol(asked: _Asked) -> Told:
    """What is spoken with each address; several ones are looked at one by one."""
    nodes = asked.client.nodes.nodes if isinstance(asked.client, ServerClient) else []
    if len(nodes) == 1:
        return nodes[0].spoken(), "", {}
    lines, silent = [], []
    for node in nodes:
        try:
            with translated(f"the Qdrant server at {node.url}"):
                lines.append(f"{node.url} (Qdrant {node.rest.info().version}): {node.spoken()}")
        except IndexFailure as error:
            silent.append(str(error))
    do = "does" if len(silent) == 1 else "do"
    of_all = f"{len(silent)} of {counted(len(nodes), 'address', 'addresses')}"
    problem = f"{of_all} {do} not answer: {'; '.join(silent)}" if silent else ""
    return "; ".join(lines) or "none", problem, {"addresses": len(nodes), "addresses_failing": len(silent)}


def _nodes(asked: _Asked) -> Told:
    status = asked.client.cluster_status()
    if not isinstance(status, models.ClusterStatusOneOf1):
        return "one, which is no cluster", "", {"nodes": 1, "nodes_failing": 0}
    failing = status.message_send_failures
    problems = []
    if failing:
        shown = ", ".join(f"{address} ({one.latest_error or 'no reason given'})" for address, one in [*failing.items()][:_LISTED])
        problems.append(
            f"{len(failing)} do not answer the one that was asked: {shown}; look whether they run, and reach each other"
        )
    if status.raft_info.leader is None:
        problems.append("they have no leader, so too few of them are there for a quorum; start those that are missing")
    working = status.consensus_thread_status
    if not isinstance(working, models.ConsensusThreadStatusOneOf):
        reason = getattr(working, "err", "it says no more")
        problems.append(f"the one that was asked takes no part in consensus any more ({reason}); restart it")
    waiting = status.raft_info.pending_operations
    more = f", {waiting:,} operations of the cluster to be applied" if waiting else ""
    figures = {"nodes": len(status.peers), "nodes_failing": len(failing), "pending_operations": waiting}
    return f"{len(status.peers)}{more}", "; ".join(problems), figures


def _shards(asked: _Asked) -> Told:
    cluster = asked.client.collection_cluster_info(asked.target)
    wanted = asked.info.config.params.replication_factor or 1
    replicas = [(shard.shard_id, cluster.peer_id, shard.state) for shard in cluster.local_shards]
    replicas += [(shard.shard_id, shard.peer_id, shard.state) for shard in cluster.remote_shards]
    states = Counter(str(state.value) for *_, state in replicas)
    whole = Counter(shard for shard, _, state in replicas if state in _READS)
    known = sorted({shard for shard, *_ in replicas}) or list(range(cluster.shard_count))
    missing = {shard: wanted - whole[shard] for shard in known if whole[shard] < wanted}
    lost = [shard for shard in missing if not whole[shard]]
    detail = f"{len(known)}, each with {wanted} {'replica' if wanted == 1 else 'replicas'}: "
    detail += ", ".join(f"{number} {state}" for state, number in sorted(states.items())) or "no replica"
    moving = len(cluster.shard_transfers)
    detail += f", {moving} being copied" if moving else ""
    detail += _by_key(keys_in(cluster), shared_key(asked.info.config))
    problem = ""
    if lost:
        problem = f"no replica of {_named(lost)} answers, so searches fail; start the nodes that hold them"
    elif missing and moving:
        detail += f", {counted(sum(missing.values()), 'replica on its way', 'replicas on their way')}"
    elif missing:
        problem = (
            f"replicas are missing: {sum(missing.values())} of {_named([*missing])}; start the nodes that hold them, or have "
            "others made (POST /collections/NAME/cluster with replicate_shard)"
        )
    figures = {"replicas_dead": 0.0, **{f"replicas_{state.lower()}": float(number) for state, number in states.items()}}
    return detail, problem, {"shards": len(known), "replicas_missing": sum(missing.values()), "transfers": moving, **figures}


def _by_key(keys: Mapping[Any, int], shared: str | None) -> str:
    """Over how many shards each key is spread: of the tenants together, and of each that has one of its own."""
    shown = [f"{key} ({shards:,}{', shared' if key == shared else ''})" for key, shards in keys.items()]
    more = f" and {counted(len(shown) - _LISTED, 'more key')}" if len(shown) > _LISTED else ""
    return f", by shard keys: {', '.join(shown[:_LISTED])}{more}" if shown else ""


def _named(shards: list[int]) -> str:
    shown = ", ".join(map(str, shards[:_LISTED]))
    more = f" and {len(shards) - _LISTED} more" if len(shards) > _LISTED else ""
    return f"{'shard' if len(shards) == 1 else 'shards'} {shown}{more}"


def _optimizer(asked: _Asked) -> Told:
    info = asked.info
    queue, left, figures = info.update_queue, "", {"indexed_vectors": float(info.indexed_vectors_count or 0)}
    failed = isinstance(info.optimizer_status, models.OptimizersStatusOneOf1)
    idle = not failed and (queue is None or not queue.length)
    if queue is not None:
        waiting = f", {counted(queue.deferred_points, 'point')} not yet found" if queue.deferred_points else ""
        left = f", {counted(queue.length, 'update')} in its queue{waiting}"
        figures |= {"update_queue": queue.length, "deferred_points": queue.deferred_points or 0}
    with suppress(IndexFailure), translated(asked.location):  # an older server has no such path
        summary = asked.client.get_optimizations(asked.target).summary
        if summary.queued_segments:
            idle = False
            left += f", {counted(summary.queued_segments, 'segment')} of {counted(summary.queued_points, 'point')} to be optimized"
        figures |= {"segments_queued": summary.queued_segments}
    states = {
        models.CollectionStatus.GREEN: "nothing to do" if idle else "not at work",
        models.CollectionStatus.YELLOW: "at work",
        models.CollectionStatus.GREY: "work to do, with which it begins at the next write",
        models.CollectionStatus.RED: "stopped",
    }
    detail = states[info.status] + left
    problem = ""
    if isinstance(info.optimizer_status, models.OptimizersStatusOneOf1):
        problem = f"it failed: {info.optimizer_status.error}; look into the server's log, mend that and restart it"
    elif info.status == models.CollectionStatus.RED:
        problem = "some operation failed and was not recovered; look into the server's log, mend that and restart it"
    detail += "".join(f"; the server warns: {one.message}" for one in info.warnings or ())
    return detail, problem, figures


def _payload_indexes(asked: _Asked) -> Told:
    info = asked.info
    there = {field: str(one.data_type.value) for field, one in info.payload_schema.items()}
    detail = ", ".join(f"{field} ({kind})" for field, kind in sorted(there.items())) or "none"
    figures = {"payload_indexes": len(there)}
    limits = limits_of(info.config)
    strict = limits.indexed_only
    if (spec := spec_of(info.config)) is None:
        return detail + ("; strict mode refuses filters on other fields" if strict else ""), "", figures
    missing = [
        f"{field} {kind}"
        for field, kind in indexes_needed({**asked.declared, **({spec.tenant: "keyword"} if spec.tenant else {})}, limits).items()
        if there.get(indexed_path(field, indexed_only=strict)) != to_schema(kind, indexed_only=strict).value
    ]
    if strict:
        detail += "; strict mode refuses filters on other fields (`search collections index NAME FIELD TYPE` indexes one)"
    if spec.tenant in there and not getattr(info.payload_schema[spec.tenant].params, "is_tenant", False):
        detail += f"; that of {spec.tenant} was made without is_tenant, so passages of one tenant lie apart on the disk"
    remedy = "the next ingestion makes them, and so does `search collections index NAME FIELD TYPE`"
    return (
        detail,
        f"missing: {', '.join(missing)}; {remedy}" if missing else "",
        {**figures, "payload_indexes_missing": len(missing)},
    )


def _slow_filters(asked: _Asked) -> Told:
    """Fields without an index by which somebody filtered, and waited: each node notes those of searches that took over a second."""
    fields: dict[str, str] = {}
    for node in asked.client.nodes.nodes if isinstance(asked.client, ServerClient) else []:
        with suppress(IndexFailure), translated(f"the Qdrant server at {node.url}"):  # one that is gone is told of elsewhere
            report: Any = node.rest.http.beta_api.get_issues()
            for issue in report["result"]["issues"]:
                if issue.get("related_collection") == asked.target and issue["id"].startswith(_UNINDEXED):
                    field = issue["id"].removeprefix(f"{_UNINDEXED}{asked.target}/")
                    fields[field] = min(_types_in(issue["solution"]), default="TYPE")
    figures = {"slow_filters": len(fields)}
    if not fields:
        return "none that the server noted", "", figures
    indexed_only = limits_of(asked.info.config).indexed_only
    named = {indexed_path(field, indexed_only=indexed_only): kind for field, kind in fields.items()}
    made = ", ".join(f"`search collections index {asked.target} {shlex.quote(field)} {kind}`" for field, kind in named.items())
    ours = spec_of(asked.info.config) is not None
    remedy = f"{made} makes them faster" if ours else "whoever fills the collection may index them"
    if ours and (lists := [field for field in fields if field not in named]):
        remedy += f", once filters name {', '.join(map(indexed_path, lists))} in place of {', '.join(lists)}"
    return f"by {', '.join(fields)}", f"these fields have no index, and searches by them were slow; {remedy}", figures


def _types_in(solution: Any) -> Iterator[str]:
    """The kinds of an index that a server proposes, as far as this package makes them."""
    match solution:
        case {"field_schema": {"type": str(kind)}} | {"field_schema": str(kind)} if kind in get_args(PayloadType):
            yield kind
        case Mapping():
            yield from chain.from_iterable(map(_types_in, solution.values()))
        case list():
            yield from chain.from_iterable(map(_types_in, solution))


def _size(asked: _Asked) -> Told:
    info = asked.info
    points = (info.points_count or 0) - is_reserved(asked.client, asked.target)
    params = info.config.params.vectors
    vectors = [params] if isinstance(params, models.VectorParams) else [*(params or {}).values()]
    size = points * _BYTES * sum(one.size for one in vectors)
    replicas = info.config.params.replication_factor or 1
    detail = f"{counted(points, 'point')} in {counted(info.segments_count, 'segment')}, vectors of {size / 1e6:,.0f} MB"
    detail += f" in each of {replicas} replicas" if replicas > 1 else ""
    return detail, "", {"points": points, "segments": info.segments_count, "vector_bytes": size}
