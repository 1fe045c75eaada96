"""A Qdrant server or cluster, and qdrant-client's in-memory mode for tests: one collection of either."""

import contextlib
import heapq
import json
import math
import re
import shlex
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import quote

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from search.documents import SparseVector
from search.errors import (
    CollectionForeign,
    CollectionNotFound,
    IndexDenied,
    IndexFailure,
    IndexMismatch,
    IndexRejected,
    IndexTimeout,
    SearchError,
    UnsupportedFilter,
)
from search.index.bases import EngineIndex
from search.index.collections import as_made, as_replaced, made_otherwise, refuse_to_begin_anew, versions
from search.index.contract import (
    LEXICAL,
    Attempt,
    CollectionSpec,
    EmbedWords,
    Matches,
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
from search.index.exact import indexed_path
from search.index.hybrid import Listing, Scored, matches
from search.index.layout import Layout, noted_of
from search.index.server.claims import Claim
from search.index.server.connection import check_version
from search.index.server.conversion import (
    MOST_BYTES,
    OF_TENANTS,
    by_bytes,
    bytes_of,
    noted,
    quantization_config_of,
    quantization_of,
    spec_of,
    to_creation,
    to_filter,
    to_point,
    to_schema,
    to_search_params,
    to_sparse,
)
from search.index.server.errors import IN_MEMORY, too_large, translated
from search.index.server.foreign import Wanted, beginning, described, named
from search.index.server.limits import (
    Limits,
    counted,
    filters_of,
    in_order,
    in_requests,
    indexes_needed,
    joined,
    limits_of,
    too_many_conditions,
    unindexed,
)
from search.index.server.reserved import NUMBER, RESERVED, is_unused, passages_only, replaceable, unnumbered
from search.index.server.sharding import (
    Sharding,
    ShardKeys,
    create_keys,
    inherited,
    is_keyed,
    keyed,
    keys_of,
    shard_keys,
    spread_otherwise,
)
from search.index.server.words import AddedWords, can_be_added
from search.network.addresses import without_secrets
from search.network.deadlines import together, within
from search.settings import LayoutSettings, StorageSettings, checked_collection, section_of

_CONFLICT = 409
FIRST = ".v1"  # of the names of collections that one alias leads to, one after the other
_FOLLOWED_EVERY_S = 5.0
_INDEXED_FOR_S = 1.0  # what is known of payload indexes counts, where it decides how a filter is written
_GONE = re.compile(r"Collection \S+ doesn't exist")
_LEAST_S = 0.01  # for a request, where its time is over


class _Described(NamedTuple):
    """What a collection is, by what its server tells of it."""

    spec: CollectionSpec
    limits: Limits  # of its strict mode
    searched: StorageSettings  # how it is searched
    layout: Layout | None  # if another program filled it
    indexed: dict[str, str]  # which fields have a payload index, of which type
    keys: ShardKeys | None  # if this package shards it by tenants
    foreign_keys: bool  # whether another program gave its shards keys, by which whoever writes has to place points
    differing: tuple[str, ...]  # settings that it was made by otherwise, if this package made it


class QdrantIndex(EngineIndex):
    """One collection, reached through a client that this object owns."""

    def __init__(
        self,
        client: QdrantClient,
        name: str,
        location: str,
        storage: StorageSettings | None = None,
        sharding: Sharding | None = None,
        *,
        owned: bool = True,
        aliased: bool = True,
        purpose: str = "",
        like: str | None = None,
        layout: LayoutSettings | None = None,
        like_layout: LayoutSettings | None = None,
    ) -> None:
        """Keep the names.

        Args:
            client: reaches the server.
            name: of the collection, or an alias of it.
            location: of the server, for people.
            storage: how a collection that is made stores its points.
            sharding: over how many machines.
            owned: whether the client is closed with this.
            aliased: whether a collection that is made gets the name as an alias only.
            purpose: stored with a collection that is made, until an alias leads to it.
            like: a collection that it is to replace: it is spread over machines likewise, where `sharding` says nothing
                else, and has its payload indexes, too.
            layout: where passages lie, if another program filled it.
            like_layout: likewise, of the one that it is to replace.
        """
        self.name = name
        self._storage = storage or StorageSettings()
        self._searched = self._storage  # by what the collection is, once it is open
        self._sharding = sharding or Sharding()
        self.location = without_secrets(location)
        self._client = client
        self._owned = owned
        self._aliased = aliased
        self._purpose = purpose
        self._like, self._like_layout = like, like_layout or LayoutSettings()
        self._chosen = layout or LayoutSettings()
        self._layout: Layout | None = None  # where passages lie, once it is open and another program filled it
        self._found_last: tuple[str, Wanted, CollectionSpec, Layout] | None = None  # of another program's collection …
        self._found_at = -math.inf  # … and when
        self._target = name  # what the name leads to
        self._claim = Claim(client, self._translated)
        self._resolved_at = 0.0
        self._most_bytes = MOST_BYTES  # of a write, until something in between takes less
        self._limits = Limits()  # of its strict mode
        self._indexed: dict[str, str] = {}  # which fields have a payload index, of which type
        self._indexed_at = -math.inf  # when that was looked up by itself
        self._made_here = False  # by this object, and nothing was written since
        self._was_missing = False  # when it was opened to be made, so that nothing is lost if it goes again
        self._tenant = ""  # the field of tenants that whoever opened it goes by, though the collection may not note it yet
        self._keys: ShardKeys | None = None  # if it is sharded by tenants, once it is open
        self._foreign_keys = False  # whether another program gave its shards keys
        self._unfit = ""  # what the name leads to by now, though it is of another embedder
        self._seen = False  # whether the name was seen to be a collection's own
        self._unseen = False  # whether the name is an alias, and nobody tells this key where it leads

    @property
    def target(self) -> str:
        """The collection that the name led to when it was opened, or was followed last."""
        return self._target

    def ensure(self, spec: CollectionSpec, *, create: bool, writing: bool = False) -> None:
        """Open the collection; `create` makes one that is missing, and `writing` opens one to write to."""
        writing = writing or create
        if self._claim.lease and self._spec:  # a run is writing to what the name led to when it began
            check_spec(self.name, self._spec, spec)
            return
        made_before = self._made_here
        self._was_missing = False
        try:
            try:
                self._ensure(spec, create=create, writing=writing)
            except CollectionNotFound:
                if not create:
                    raise
                self._made_here = made_before
                self._ensure(spec, create=create, writing=writing)  # who made it has removed it again, as nothing was written
        except BaseException:
            with contextlib.suppress(SearchError):
                if not made_before:
                    self.discard()  # rather than leave what is not whole
            raise

    def _ensure(self, spec: CollectionSpec, *, create: bool, writing: bool) -> None:
        with self._translated():
            target = self._resolve()
            if target is None:
                if not create:
                    raise CollectionNotFound(f"there is no collection {self.name!r} at {self.location}; `search ingest` makes one")
                self._was_missing = True
                target = self._create(spec)
        stored = self._described(target, spec.dimension, spec.adopted)
        if stored.layout and writing:
            raise CollectionForeign(self._never_written())
        check_spec(self.name, stored.spec, spec)  # before the first request to it
        self._take(target, stored)
        if writing:
            self._check_ours()
            with self._translated():
                # Here, lest a creation was interrupted before them.
                if self._keys:
                    self._create_keys(self._keys)
                self._create_payload_indexes(spec.tenant or stored.spec.tenant)
                if self._like is not None:
                    self._create_inherited_indexes(self._like, stored)
        self._spec, self._tenant, self._opened_for = stored.spec, spec.tenant, spec
        self._resolved_at = time.monotonic()

    @contextlib.contextmanager
    def claimed(self, attempt: Attempt = once, *, removing: bool = False) -> Iterator[None]:
        """Be the only writer for the time of a context; see search.index.server.claims. Who removes alone takes no room."""
        self._check_ours()
        with contextlib.ExitStack() as claim:
            try:
                claim.enter_context(self._claimed(attempt, removing=removing))
            except CollectionNotFound:
                if not self._was_missing:  # what it held is gone, and whoever dropped it may not want it back
                    raise
                # Another first ingestion, which failed, has removed what this one found or made: what is to come begins it anew.
                self.ensure(self._wanted, create=True)
                claim.enter_context(self._claimed(attempt, removing=removing))
            if not self.spec.lexical:  # by now another writer may have added words, without which nothing is written any more
                self._spec = attempt(lambda: self._described(self._target, self.spec.dimension)).spec
            yield

    def _claimed(self, attempt: Attempt, *, removing: bool) -> contextlib.AbstractContextManager[None]:
        def prepare() -> None:
            if self._limits.indexed_only:  # deletes ask for the numbers of claims
                with self._translated():
                    self._create_payload_indexes(self._tenant or self.spec.tenant)

        what, key = f"collection {self.name!r} at {self.location}", self._keys.shared if self._keys else None
        return self._claim.held(what, self._target, key, attempt, prepare, removing=removing)

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points, replacing those with the same id, in requests the server takes; those that a later claim wrote stay."""
        check_points(points)
        self._check_ours()
        left = list(points)
        while left:
            batch = next(by_bytes(left, self._limits.upserted, self._most_bytes))
            number = self._claim.number()
            try:
                self._upsert([to_point(point, number) for point in batch], number)
            except IndexRejected as error:
                if not too_large(error):
                    raise
                size = bytes_of(batch)
                if len(batch) == 1:
                    raise IndexRejected(f"{error}; one passage alone has about {size / 1000:.0f} kB") from error
                self._most_bytes = size // 2
                continue
            left = left[len(batch) :]
            self._made_here = False

    def _upsert(self, points: list[models.PointStruct], number: int | None) -> None:
        def send(ordering: models.WriteOrdering | None) -> None:
            condition = None if number is None else replaceable(number)
            for key, some in self._keys.placed(points) if self._keys else [(None, points)]:
                with self._translated():
                    self._client.upsert(
                        self._target, some, wait=True, ordering=ordering, update_filter=condition, shard_key_selector=key
                    )

        self._claim.write(number, send)

    def query(self, query: Query, limit: int) -> Matches:
        """The `limit` best points by vector, by words, or by both, as the query says, best first."""
        ends = None if query.timeout_s is None else time.monotonic() + query.timeout_s  # of all requests together
        with self._translated(query.timeout_s):
            with together(query.timeout_s):
                self._follow()
            asked = self._target
            try:
                found = self._found(query, limit, ends)
            except IndexRejected:  # as of vectors of another length
                if not self._is_another(ends):
                    raise
                return self._found(query, limit, ends)
            except CollectionNotFound:  # dropped, once the name was led elsewhere
                if not self._leads_on(asked, ends):
                    raise
                return self._found(query, limit, ends)
            return self._found(query, limit, ends) if self._is_another(ends) else found

    def _found(self, query: Query, limit: int, ends: float | None) -> Matches:
        if not self.spec.lexical:  # by now: the name may have been led to a collection without words
            query = replace(query, lexical=None, retrieval="dense")
        most = self._limits.found or max(limit, query.listed)
        query = replace(query, listed=min(query.listed, most))
        key = self._keys.of_filter(query.filter) if self._keys else None  # also of what asks for passages by their ids
        with self._translated():
            found = matches(query, min(limit, most), lambda listings: self._listed(listings, ends, key), foresee=True)
        found.most = most if most < limit else None
        return found

    def _is_another(self, ends: float | None) -> bool:
        """Whether an alias that this key does not see through leads to another collection by now, which is taken then.

        Asked after each query, since nothing else tells it: the server leads requests there at once.

        Raises:
            IndexMismatch: it is of another embedder, so that what it answered means nothing.
        """
        if not self._unseen or self._spec is None or self._layout is not None:
            return False
        with within(None if ends is None else max(_LEAST_S, ends - time.monotonic())):
            stored = self._described(self._target, self._spec.dimension)
        if stored.layout:
            raise IndexMismatch(self._not_ours("and the name was led there just now; open it anew"))
        check_spec(self.name, stored.spec, self._wanted)
        if (stored.spec, stored.limits, stored.searched) == (self._spec, self._limits, self._searched):
            return False
        self._take(self._target, stored)
        self._spec = stored.spec
        return True

    def _listed(self, listings: Sequence[Listing], ends: float | None, key: models.ShardKeySelector | None) -> list[list[Scored]]:
        answers: list[tuple[int, list[Scored]]] = []
        for parts in in_requests(listings, self._limits):
            requests = [self._request(listing, key) for _, listing in parts]
            left = None if ends is None else max(_LEAST_S, ends - time.monotonic())
            with within(left):
                timeout = None if left is None else min(math.ceil(left), self._limits.timeout_s or math.ceil(left))
                told = self._client.query_batch_points(self._target, requests, timeout=timeout)
            for (at, _), answer in zip(parts, told, strict=True):
                answers.append((at, [(one.id, one.score, self._payload(one)) for one in answer.points]))
        return joined(answers, len(listings))

    def _payload(self, point: Any) -> Payload:
        payload: Payload = point.payload or {}
        if self._layout is None:
            return unnumbered(payload)
        return self._layout.passage(str(point.id), payload) if payload else payload

    def _request(self, listing: Listing, key: models.ShardKeySelector | None) -> models.QueryRequest:
        by_words = isinstance(listing.vector, SparseVector)
        return models.QueryRequest(
            query=to_sparse(listing.vector) if isinstance(listing.vector, SparseVector) else listing.vector.tolist(),
            using=LEXICAL if by_words else self._vector,
            limit=listing.limit,
            filter=self._filter(listing.filter),
            with_payload=listing.payload,
            params=to_search_params(self._searched, self._limits.oversampling),
            shard_key=key,
        )

    def delete(self, *, ids: Sequence[str] = (), filter: PlainFilter | None = None) -> None:
        """Remove points by id, or all that pass a filter; those that a later claim wrote stay."""
        self._check_ours()
        by_ids: PlainFilter | None = {"must": [{"has_id": [to_engine_id(one) for one in ids]}]} if ids else None
        for wanted in (by_ids, filter):
            for part in filters_of(wanted, self._limits) if wanted is not None else []:
                numbered = not self._limits.indexed_only or NUMBER in self._indexed
                self._delete(part, self._claim.number(removing=True, numbered=numbered))

    def _delete(self, filter: PlainFilter | None, number: int | None) -> None:
        beside = 1 if number is None else 2
        selector = models.FilterSelector(filter=passages_only(self._filter(filter, beside), number))

        def send(ordering: models.WriteOrdering | None) -> None:
            with self._translated():
                key: models.ShardKeySelector | None = None
                if self._keys:  # without one, a write goes nowhere, and not to all of them as a search does
                    key = self._keys.of_filter(filter) or list(keys_of(self._client, self._target))
                self._client.delete(self._target, selector, wait=True, ordering=ordering, shard_key_selector=key)

        self._claim.write(number, send)

    def scroll(
        self,
        filter: PlainFilter | None = None,
        fields: Sequence[str] | None = None,
        *,
        vectors: bool = False,
        start: str | None = None,
    ) -> Iterator[Record]:
        """Every point that passes the filter, by id, from `start` on, with the named payload fields, and `vectors` if wanted."""
        parts = [self._scrolled(part, fields, start, vectors=vectors) for part in filters_of(filter, self._limits)]
        return parts[0] if len(parts) == 1 else heapq.merge(*parts, key=lambda record: in_order(record.id))

    def _scrolled(
        self,
        filter: PlainFilter | None,
        fields: Sequence[str] | None,
        start: str | None,
        *,
        vectors: bool,
    ) -> Iterator[Record]:
        offset: Any = None if start is None else to_engine_id(start)
        wanted: bool | list[str] = True if fields is None or self._layout else list(fields)
        with_vectors: bool | list[str] = [self._vector] if vectors and self._vector else vectors
        while True:
            with self._translated():
                records, offset = self._client.scroll(
                    self._target,
                    self._filter(filter),
                    self._limits.page,
                    offset=offset,
                    with_payload=wanted,
                    with_vectors=with_vectors,
                    shard_key_selector=self._keys.of_filter(filter) if self._keys else None,
                )
            for record in records:
                if record.id == RESERVED:
                    continue
                if self._layout:
                    payload, vector = self._payload(record), named(record.vector, self._layout.vector)
                    if vectors and payload:  # for whoever copies it, or proves its embedder
                        stored = record.payload or {}
                        layout = self._layout
                        placed = {"place": layout.place(stored), "begins": layout.begins(stored)}
                        payload = {**payload, "embedded": layout.embedded(stored), **placed}
                    yield Record(str(record.id), payload, vector)
                else:
                    yield Record(str(record.id), self._payload(record), *vectors_of(record.vector))
            if offset is None:
                return

    def count(self, filter: PlainFilter | None = None) -> int:
        """How many points pass the filter; about, where strict mode lets nobody count exactly, and they are many."""
        with self._translated():
            parts = filters_of(filter, self._limits)
            key = self._keys.of_filter(filter) if self._keys else None
            return sum(counted(self._client, self._target, self._filter(part, 1), self._limits, key) for part in parts)

    def can_add_words(self) -> bool:
        """Whether the collection can be given words where it is: see search.index.server.words."""
        self._check_ours()
        with self._translated():
            return can_be_added(self._client, self._target, self._sharding)

    def add_words(
        self, lexical: str, embed: EmbedWords, attempt: Attempt = once, on_added: Callable[[int], None] = lambda _: None
    ) -> int:
        """Give every passage its words, where it is: see search.index.server.words."""
        self._check_ours()
        work = AddedWords(self._client, self._target, self._limits, self._claim, self._translated)
        added = work.add(lexical, embed, attempt, on_added)
        self._spec = replace(self.spec, lexical=lexical)
        return added

    def optimize(self) -> None:
        """Nothing to ask for: the server optimizes by itself."""

    def discard(self) -> None:
        """Remove the collection again, if `ensure` made it, nothing was written since, and nobody else claims it."""
        if not self._made_here:
            return
        with self._translated():
            earlier = noted(self._client.get_collection(self._target).config, "writer")  # where versions before claim it
            if earlier or not is_unused(self._client, self._target):  # a write that seemed to fail may have been carried out
                return
            self._client.delete_collection(self._target)  # with its alias
        self._made_here, self._spec = False, None

    def close(self) -> None:
        """Close the connections."""
        if self._owned:
            self._client.close()

    def _resolve(self) -> str | None:
        """The collection that the name means: its alias's, or its own; None if there is neither."""
        aliases: dict[str, str] = {}
        with contextlib.suppress(IndexDenied), self._translated():  # a key for one collection may not list them
            aliases = {alias.alias_name: alias.collection_name for alias in self._client.get_aliases().aliases}
        if self.name in aliases:
            self._seen = self._unseen = False
            return aliases[self.name]
        try:
            with self._translated():
                there = self._client.collection_exists(self.name)
        except IndexDenied:
            if self._purpose:  # it is to be made, which takes a key for all of them, and that is what is to be said
                return None
            raise
        self._seen = there and (self._seen or self.name in self._names())
        self._unseen = there and not self._seen
        return self.name if there else None

    @property
    def _wanted(self) -> CollectionSpec:
        """What a collection has to be that the name is led to."""
        return replace(self.spec, tenant=self._tenant)

    def _names(self) -> list[str]:
        """All collections; none for a key that may not list them."""
        with contextlib.suppress(IndexDenied), self._translated():
            return sorted(one.name for one in self._client.get_collections().collections)
        return []

    def _leads_on(self, asked: str, ends: float | None) -> bool:
        """Whether the name leads to another collection than the one that was asked, which is taken then, unless a thread did."""
        if self._target == asked:
            self._resolved_at = -math.inf
            with within(None if ends is None else max(_LEAST_S, ends - time.monotonic())):
                self._follow()
        return self._target != asked

    def _follow(self) -> None:
        """Go over to the collection that the alias was switched to, if it was made for the same embedder.

        One that another program filled is noticed, too, where it was made anew by its name.
        """
        if self._spec is None or self._claim.lease or time.monotonic() < self._resolved_at + _FOLLOWED_EVERY_S:
            return
        self._resolved_at = -math.inf if self._layout else time.monotonic()  # until another program's is known to be what it was
        with self._translated():
            target = self._resolve()
        wordless = not (self._spec.lexical or self._layout)  # and may be given words where it is
        same = target == self._target and not wordless and not self._is_anew()
        if not (target is None or target == self._unfit or same):
            self._go_over_to(target)
        self._resolved_at = time.monotonic()

    def _go_over_to(self, target: str) -> None:
        """Take what the name leads to now. The embedder of what another program filled is proved by whoever searches it."""
        self._found_last = None
        stored = self._described(target, self.spec.dimension)
        try:
            check_spec(self.name, stored.spec, self._opened_for if self._layout else self._wanted)
            fits = self._layout is not None or stored.layout is None
        except IndexMismatch:
            fits = False
        if fits:
            self._take(target, stored)
            self._spec = stored.spec
        else:
            self._unfit = target  # the old one answers until this is opened anew

    def _is_anew(self) -> bool:
        """Whether another program's collection begins with other points than when it was taken."""
        if self._layout is None:
            return False
        try:
            with self._translated():
                return beginning(self._client, self._target, self._layout, self._limits) != self.spec.beginning
        except IndexRejected:  # as where it has no vector of that name any more
            return True

    def _described(self, target: str, dimension: int, noted_layout: str = "") -> "_Described":
        with self._translated():
            info = self._client.get_collection(target)
        config = info.config
        spec, layout = spec_of(config), None
        if spec is None:
            spec, layout = self._found_of(target, config, Wanted(self._chosen, section_of(self.name), dimension, noted_layout))
        storage, quantization = noted(config, "storage"), quantization_of(config)
        searched = as_made(self._storage, quantization, storage)
        made = storage.get("quantization") or "none" if self.location == IN_MEMORY else quantization  # there it is of no effect
        differing = () if layout else made_otherwise(self._storage, made, storage) + spread_otherwise(self._sharding, config)
        indexed = {field: str(one.data_type.value) for field, one in info.payload_schema.items()}
        keys = shard_keys(config, spec.tenant)
        foreign_keys = is_keyed(config.params) and keys is None
        return _Described(spec, limits_of(config), searched, layout, indexed, keys, foreign_keys, differing)

    def _found_of(self, target: str, config: models.CollectionConfig, wanted: Wanted) -> tuple[CollectionSpec, Layout]:
        """What another program's collection is, by its points; what was found a moment ago counts."""
        last = self._found_last
        if last is not None and last[:2] == (target, wanted) and time.monotonic() < self._found_at + _FOLLOWED_EVERY_S:
            return last[2:]
        try:
            with self._translated(foreign=True):
                spec, layout = described(self._client, target, config, wanted)
        except IndexMismatch as error:
            raise IndexMismatch(self._not_ours(str(error))) from error
        self._found_last, self._found_at = (target, wanted, spec, layout), time.monotonic()
        return spec, layout

    def _never_written(self) -> str:
        copied = f"`search adopt {shlex.quote(self.name)} --as NAME` copies it into one that is"
        return self._not_ours(f"it is searched as it is, and never written to; choose another --collection, or {copied}")

    def _not_ours(self, problem: str) -> str:
        return f"collection {self.name!r} at {self.location} was not made by this package: {problem}"

    def _take(self, target: str, stored: "_Described") -> None:
        self._target, self._limits, self._searched = target, stored.limits, stored.searched
        self._indexed_at = -math.inf
        self._layout, self._indexed = stored.layout, stored.indexed
        self._keys, self._foreign_keys, self._differing = stored.keys, stored.foreign_keys, stored.differing

    def _check_ours(self) -> None:
        if self._layout is not None:
            raise CollectionForeign(self._never_written())
        if self._foreign_keys:
            raise IndexRejected(keyed(self.name, self.location))

    def _create(self, spec: CollectionSpec) -> str:
        """Make the collection, and the name as an alias of it, so that it can be led to another one."""
        check_version(self._client, self.location)
        if not self._aliased:
            self._make(self.name, spec)
            return self.name
        checked_collection(self.name)
        first = f"{self.name}{FIRST}"
        left = [
            one for one in versions(self.name, self._names()) if self._client.count(one, passages_only(None), exact=False).count
        ]
        if left and (target := self._resolve()) is not None:  # another process was quicker
            return target
        refuse_to_begin_anew(self.name, self.location, left)
        self._make(first, spec)
        lead = models.CreateAlias(collection_name=first, alias_name=self.name)
        self._client.update_collection_aliases([models.CreateAliasOperation(create_alias=lead)])
        return first

    def _make(self, name: str, spec: CollectionSpec) -> None:
        sharding, storage, quantization = self._sharding, self._storage, None
        if self._like is not None:
            config = self._client.get_collection(self._like).config
            storage = as_replaced(storage, {"quantization": quantization_of(config), "storage": noted(config, "storage")})
            sharding, quantization = inherited(sharding, config), quantization_config_of(config)
            if is_keyed(config.params) and inherited(Sharding(), config).key is None:  # whose ids may stand for several points
                raise IndexRejected(keyed(self._like, self.location))
        try:
            self._client.create_collection(name, **to_creation(spec, storage, sharding, self._purpose, quantization))
            self._target, self._made_here = name, True
        except UnexpectedResponse as error:
            if error.status_code != _CONFLICT:  # another process was quicker; what it made is compared next
                raise

    def _create_keys(self, keys: ShardKeys) -> None:
        try:
            with self._translated():
                create_keys(self._client, self._target, keys.shared, self._like)
        except IndexFailure as error:
            if not isinstance(error, IndexDenied) or self._made_here:  # a key for points alone may not look
                raise

    def _create_payload_indexes(self, tenant: str) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Payload indexes have no effect in the local Qdrant", UserWarning)
            if tenant and self._indexed.get(tenant) != "keyword":  # first, lest it be made without saying what it is for
                self._client.create_payload_index(self._target, tenant, OF_TENANTS)
                self._indexed[tenant] = "keyword"
            for field, kind in indexes_needed(self._storage.payload_indexes, self._limits).items():
                indexed_only = self._limits.indexed_only
                path, schema = indexed_path(field, indexed_only=indexed_only), to_schema(kind, indexed_only=indexed_only)
                if path != tenant and self._indexed.get(path) != schema.value:
                    self._client.create_payload_index(self._target, path, schema)
                    self._indexed[path] = schema.value

    def _create_inherited_indexes(self, like: str, stored: "_Described") -> None:
        """Those that somebody made on the collection that this one replaces, whoever filled it; what is here already stays."""
        info = self._client.get_collection(like)
        layout = None
        if info.payload_schema and spec_of(info.config) is None:
            copied = json.dumps(noted_of(stored.spec.adopted)[1:])
            theirs = Wanted(self._like_layout, section_of(like), stored.spec.dimension, copied)
            layout = described(self._client, like, info.config, theirs)[1]
        wanted = indexes_needed(self._storage.payload_indexes, self._limits)
        own = {indexed_path(field, indexed_only=self._limits.indexed_only) for field in wanted} | {stored.spec.tenant}
        for field, one in info.payload_schema.items():
            path = layout.in_ours(field) if layout else field
            if path is None or path in own or path in stored.indexed:
                continue
            schema: Any = one.params or one.data_type
            if one.data_type == models.PayloadSchemaType.INTEGER:
                schema = to_schema("integer", indexed_only=self._limits.indexed_only)
            self._client.create_payload_index(self._target, path, schema)

    @property
    def _vector(self) -> str | None:
        return self._layout.vector or None if self._layout else None

    def _filter(self, filter: PlainFilter | None, beside: int = 0) -> models.Filter | None:
        """A filter as it goes out, to which so many conditions are added."""
        asked = self._layout.filter_of(filter) if self._layout else filter
        most = None if self._limits.conditions is None else self._limits.conditions - beside
        return to_filter(asked, indexed_only=self._limits.indexed_only, most=most, indexed=self._indexed_now)

    def _indexed_now(self) -> dict[str, str]:
        """Which fields have a payload index, though somebody made it since this was opened."""
        if time.monotonic() >= self._indexed_at + _INDEXED_FOR_S:
            with self._translated():
                schema = self._client.get_collection(self._target).payload_schema
            self._indexed = {field: str(one.data_type.value) for field, one in schema.items()}
            self._indexed_at = time.monotonic()
        return self._indexed

    def _needs_index(self, field: str, kind: str, *, foreign: bool) -> str:
        problem = (
            f"the Qdrant server at {self.location} takes filters on indexed fields only (strict mode), and {field} is not indexed"
        )
        if foreign:
            return f"{problem}: collection {self.name!r} is another program's, which would have to index it"
        return f"{problem}: `search collections index {self.name} {shlex.quote(field)} {kind}` indexes it"

    def _too_many(self, conditions: int, most: int) -> str:
        return (
            f"the filter has {conditions} conditions as the Qdrant server at {self.location} gets it, and collection {self.name!r} "
            f"takes {most} at most (filter_max_conditions of its strict mode): ask for less at once, list values in one "
            f"`match: any`, or have the limit raised (PATCH {self.location}/collections/{quote(self._target, safe='')})"
        )

    @contextlib.contextmanager
    def _translated(self, timeout_s: float | None = None, *, foreign: bool = False) -> Iterator[None]:
        try:
            with translated(f"the Qdrant server at {self.location}"):
                yield
        except IndexRejected as error:
            if (missing := unindexed(str(error))) is not None:
                raise UnsupportedFilter(self._needs_index(*missing, foreign=foreign or self._layout is not None)) from error
            if (numbers := too_many_conditions(str(error))) is not None:
                raise UnsupportedFilter(self._too_many(*numbers)) from error
            raise
        except CollectionNotFound as error:
            if self._spec is None or not _GONE.search(str(error)):
                raise
            raise CollectionNotFound(
                f"collection {self.name!r} at {self.location} is gone since it was opened: somebody dropped it, or a first "
                "ingestion failed and removed what it had made; run the same again"
            ) from error
        except IndexTimeout as error:
            if timeout_s is None:
                raise
            message = f"the Qdrant server at {self.location} did not answer in the {timeout_s * 1000:.0f} ms that a budget left it"
            raise IndexTimeout(f"{message}; give a larger budget_ms, or none") from error
