"""What does strict mode, which managed clusters switch on, allow of one request? And how do requests keep to it?"""

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

from qdrant_client import QdrantClient, models
from qdrant_client.qdrant_remote import QdrantRemote

from search.index.contract import KEYWORD_FIELDS, PlainFilter, to_engine_id
from search.index.hybrid import Listing, Scored
from search.index.server.reserved import NUMBER, passages_only

Item = TypeVar("Item")

PAGE = 256  # points
_UNINDEXED = re.compile(r'Index required but not found for "(.+?)"(?: of one of the following types: \[([^\]]*)\])?')
_TOO_MANY = re.compile(r"Filter condition limit reached \((\d+) > (\d+)\)")
_TYPES = ("keyword", "integer", "float", "bool")  # that an index can have here


@dataclass(frozen=True)
class Limits:
    """Of one collection; None for none.

    Attributes:
        indexed_only: whether filters ask indexed fields alone.
        found: points that a query or a page gives at most.
        exact: whether points may be counted exactly.
        upserted: points in one write, each of which the rate of writes counts.
        searches: queries in one request.
        values: in one condition, ids of points among them.
        conditions: in one filter, those within conditions among them.
        oversampling: with quantization.
        timeout_s: seconds that a request may ask for.
    """

    indexed_only: bool = False
    found: int | None = None
    exact: bool = True
    upserted: int | None = None
    searches: int | None = None
    values: int | None = None
    conditions: int | None = None
    oversampling: float | None = None
    timeout_s: int | None = None

    @property
    def page(self) -> int:
        """Points that are read at a time."""
        return min(PAGE, self.found or PAGE)


def limits_of(config: models.CollectionConfig) -> Limits:
    """What a collection's strict mode says."""
    strict = config.strict_mode_config
    if strict is None or not strict.enabled:
        return Limits()
    return Limits(
        indexed_only=strict.unindexed_filtering_retrieve is False or strict.unindexed_filtering_update is False,
        found=strict.max_query_limit,
        exact=strict.search_allow_exact is not False,
        upserted=min((one for one in (strict.upsert_max_batchsize, strict.write_rate_limit) if one), default=None),
        searches=strict.search_max_batchsize,
        values=strict.condition_max_size,
        conditions=strict.filter_max_conditions,
        oversampling=strict.search_max_oversampling,
        timeout_s=strict.max_timeout,
    )


def indexes_needed(declared: Mapping[str, str], limits: Limits) -> dict[str, str]:
    """The fields that need a payload index, by type: what this package filters by itself, and what the settings declare."""
    # Numbers of passages, by which documents are told apart, and of claims, by which a delete spares what a later one wrote.
    numbers = {"number": "integer", NUMBER: "integer"} if limits.indexed_only else {}
    return {**dict.fromkeys(KEYWORD_FIELDS, "keyword"), **numbers, **declared}


def in_requests(listings: Sequence[Listing], limits: Limits) -> Iterator[list[tuple[int, Listing]]]:
    """Listings as the server takes them, request by request, each with its place among them."""
    parts = [(at, part) for at, listing in enumerate(listings) for part in _parts(listing, limits)]
    for some in in_steps(parts, limits.searches or len(parts) or 1):
        yield list(some)


def joined(answers: Sequence[tuple[int, list[Scored]]], number: int) -> list[list[Scored]]:
    """The answers to so many listings, of those to their parts."""
    return [list(chain.from_iterable(points for at, points in answers if at == place)) for place in range(number)]


def _parts(listing: Listing, limits: Limits) -> list[Listing]:
    return [part for one in filters_of(listing.filter, limits) for part in _by_ids(listing._replace(filter=one), limits)]


def _by_ids(listing: Listing, limits: Limits) -> list[Listing]:
    told = listing.filter or {}
    must = told.get("must", [])
    for at, condition in enumerate(must):
        ids = list(dict.fromkeys(condition.get("has_id", [])))
        most = min(limits.found or len(ids), limits.values or len(ids))
        if len(ids) > most:
            parts = [
                listing._replace(
                    limit=min(listing.limit, len(one)), filter={**told, "must": [*must[:at], {"has_id": one}, *must[at + 1 :]]}
                )
                for one in in_steps(ids, most)
            ]
            return [part for one in parts for part in _by_ids(one, limits)]
    return [listing._replace(limit=min(listing.limit, limits.found or listing.limit))]


def filters_of(filter: PlainFilter | None, limits: Limits) -> list[PlainFilter | None]:
    """A filter as several ones that the server takes, by values that are asked for together: a point passes one of them at most."""
    most = limits.values
    if filter is None or most is None:
        return [filter]
    told: dict[str, Any] = dict(filter)
    for clause in ("should", "must_not"):  # where several conditions are as good as one
        if clause in filter:
            told[clause] = [part for condition in filter[clause] for part in _by_values(condition, most)]
    must = filter.get("must", [])
    for at, condition in enumerate(must):
        if condition.get("key", KEYWORD_FIELDS[0]) not in KEYWORD_FIELDS:  # may have several values, and be counted twice
            continue
        if len(parts := _by_values(condition, most)) > 1:
            each = ({**told, "must": [*must[:at], part, *must[at + 1 :]]} for part in parts)
            return [part for one in each for part in filters_of(one, limits)]
    return [told]


def _by_values(condition: Mapping[str, Any], most: int) -> list[Mapping[str, Any]]:
    match condition:
        case {"match": {"any": values}} if len(values) > most:
            return [{**condition, "match": {"any": one}} for one in in_steps(list(dict.fromkeys(values)), most)]
        case {"has_id": ids} if len(ids) > most:
            return [{"has_id": one} for one in in_steps(list(dict.fromkeys(ids)), most)]
        case _:
            return [condition]


def in_steps(values: Sequence[Item], step: int) -> list[Sequence[Item]]:
    """Values in lists of at most so many."""
    return [values[first : first + step] for first in range(0, len(values), step)]


def in_order(point_id: str) -> tuple[bool, int]:
    """By what a server gives points: numbers first, then UUIDs."""
    number = to_engine_id(point_id)
    return (False, number) if isinstance(number, int) else (True, uuid.UUID(number).int)


def counted(
    client: QdrantClient | QdrantRemote,
    target: str,
    filter: models.Filter | None,
    limits: Limits,
    key: models.ShardKeySelector | None = None,
    *,
    exactly: bool = False,
) -> int:
    """How many passages pass a filter, of all or of one shard key's.

    Where the server counts nothing exactly, they are counted one by one if they have to be, and otherwise on one page: what is more
    is its estimate.
    """
    wanted = passages_only(filter)
    if limits.exact:
        return client.count(target, count_filter=wanted, exact=True, shard_key_selector=key).count
    number, offset = 0, None
    while True:
        page, offset = client.scroll(
            *(target, wanted, limits.page), offset=offset, with_payload=False, with_vectors=False, shard_key_selector=key
        )
        number += len(page)
        if offset is None:
            return number
        if not exactly:
            return max(number + 1, client.count(target, count_filter=wanted, exact=False, shard_key_selector=key).count)


def unindexed(message: str) -> tuple[str, str] | None:
    """The field that an index is missing for, and of which type, if that is what a server complains of."""
    found = _UNINDEXED.search(message)
    if found is None:
        return None
    kinds: Any = re.findall(r"[a-z]+", found[2] or "")
    return found[1], next((kind for kind in _TYPES if kind in kinds), "TYPE")


def too_many_conditions(message: str) -> tuple[int, int] | None:
    """How many conditions a filter had, and how many a collection takes, if that is what a server complains of."""
    found = _TOO_MANY.search(message)
    return None if found is None else (int(found[1]), int(found[2]))
