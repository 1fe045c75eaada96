"""A Qdrant server or cluster, and qdrant-client's in-memory mode for tests: one collection of either."""

import contextlib
import heapq
import math
import re
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from qdrant_client import QdrantClient, models

from search.documents import SparseVector
from search.errors import (
    CollectionForeign,
    CollectionNotFound,
    IndexDenied,
    IndexMismatch,
    IndexRejected,
    IndexTimeout,
    SearchError,
    UnsupportedFilter,
)
from search.index.bases import not_open
from search.index.contract import (
    LEXICAL,
    Attempt,
    CollectionSpec,
    EmbedWords,
    Matches,
    OnBuild,
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
from search.index.hybrid import Listing, Scored, matches
from search.index.server.claims import Claim
from search.index.server.conversion import (
    MOST_BYTES,
    by_bytes,
    bytes_of,
    to_filter,
    to_point,
    to_search_params,
    to_sparse,
)
from search.index.server.creation import Creation
from search.index.server.described import Access, Described, Describer, indexed_of, not_ours
from search.index.server.errors import too_large, translated
from search.index.server.foreign import beginning, named
from search.index.server.limits import (
    counted,
    filters_of,
    in_order,
    in_requests,
    joined,
    too_many_conditions,
    unindexed,
)
from search.index.server.names import Name
from search.index.server.reserved import NUMBER, RESERVED, passages_only, replaceable, unnumbered
from search.index.server.sharding import (
    Sharding,
    keyed,
    keys_of,
)
from search.index.server.words import AddedWords, can_be_added
from search.network.addresses import without_secrets
from search.network.deadlines import together, within
from search.settings import LayoutSettings, StorageSettings

_FOLLOWED_EVERY_S = 5.0
_INDEXED_FOR_S = 1.0  # what is known of payload indexes counts, where it decides how a filter is written
_GONE = re.compile(r"Collection \S+ doesn't exist")
_LEAST_S = 0.01  # for a request, where its time is over


class QdrantIndex:
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
        storage, sharding = storage or StorageSettings(), sharding or Sharding()
        self.name = name
        self.location = without_secrets(location)
        self._client = client
        self._owned = owned
        self._aliased = aliased
        self._purpose = purpose
        self._sharding = sharding
        self._named = Name(client, name, self._translated)
        access = Access(client, name, self.location, self._translated, storage, sharding)
        self._describer = Describer(access, layout or LayoutSettings())
        self._creation = Creation(access, like, like_layout or LayoutSettings())
        self._claim = Claim(client, self._translated)
        self._open: Described | None = None  # what the name leads to, once it is open
        self._opened_for: CollectionSpec | None = None
        self._resolved_at = 0.0
        self._most_bytes = MOST_BYTES  # of a write, until something in between takes less
        self._looked_up: tuple[Described, float, dict[str, str]] | None = None  # payload indexes: of which collection, and when
        self._was_missing = False  # when it was opened to be made, so that nothing is lost if it goes again
        self._unfit = ""  # what the name leads to by now, though it is of another embedder

    @property
    def target(self) -> str:
        """The collection that the name led to when it was opened, or was followed last."""
        return self._open.target if self._open else self.name

    @property
    def spec(self) -> CollectionSpec:
        """What the collection was made for."""
        return self._collection.spec

    @property
    def differing(self) -> tuple[str, ...]:
        """Settings that the open collection was made by otherwise."""
        return self._open.differing if self._open else ()

    @property
    def _collection(self) -> Described:
        if self._open is None:
            raise not_open(self.name)
        return self._open

    def ensure(self, spec: CollectionSpec, *, create: bool, writing: bool = False) -> None:
        """Open the collection; `create` makes one that is missing, and `writing` opens one to write to."""
        writing = writing or create
        if self._claim.lease and self._open:  # a run is writing to what the name led to when it began
            check_spec(self.name, self.spec, spec)
            return
        made_before = self._creation.made
        self._was_missing = False
        try:
            try:
                self._ensure(spec, create=create, writing=writing)
            except CollectionNotFound:
                if not create:
                    raise
                self._creation.made = made_before
                self._ensure(spec, create=create, writing=writing)  # who made it has removed it again, as nothing was written
        except BaseException:
            with contextlib.suppress(SearchError):
                if not made_before:
                    self.discard()  # rather than leave what is not whole
            raise

    def _ensure(self, spec: CollectionSpec, *, create: bool, writing: bool) -> None:
        with self._translated():
            target = self._led_to()
            if target is None:
                if not create:
                    raise CollectionNotFound(f"there is no collection {self.name!r} at {self.location}; `search ingest` makes one")
                self._was_missing = True
                creation = self._creation
                target = creation.make_aliased(spec, self._named) if self._aliased else creation.make(spec, self._purpose)
        collection = self._describer.describe(target, spec.dimension, spec.adopted)
        if writing:
            self._check_ours(collection)
        check_spec(self.name, collection.spec, spec)  # before the first request to it
        if writing:
            self._creation.complete(collection, spec.tenant or collection.spec.tenant)
        self._open, self._opened_for = collection, spec
        self._resolved_at = time.monotonic()

    def check_writable(self) -> None:
        """Refuse what another program filled, or gave shard keys of its own."""
        self._check_ours(self._collection)

    @contextlib.contextmanager
    def claimed(self, attempt: Attempt = once, *, removing: bool = False) -> Iterator[None]:
        """Be the only writer for the time of a context; see search.index.server.claims. Who removes alone takes no room."""
        self.check_writable()
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
                self._open = attempt(lambda: self._describer.describe(self.target, self.spec.dimension))
            yield

    def _claimed(self, attempt: Attempt, *, removing: bool) -> contextlib.AbstractContextManager[None]:
        collection = self._collection

        def prepare() -> None:
            if collection.limits.indexed_only:  # deletes ask for the numbers of claims
                with self._translated():
                    self._creation.index_payload(collection, self._wanted.tenant or collection.spec.tenant)

        what, key = f"collection {self.name!r} at {self.location}", collection.keys.shared if collection.keys else None
        return self._claim.held(what, collection.target, key, attempt, prepare, removing=removing)

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points, replacing those with the same id, in requests the server takes; those that a later claim wrote stay."""
        check_points(points)
        self.check_writable()
        left = list(points)
        while left:
            batch = next(by_bytes(left, self._collection.limits.upserted, self._most_bytes))
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
            self._creation.made = ""

    def _upsert(self, points: list[models.PointStruct], number: int | None) -> None:
        target, keys = self._collection.target, self._collection.keys

        def send(ordering: models.WriteOrdering | None) -> None:
            condition = None if number is None else replaceable(number)
            for key, some in keys.placed(points) if keys else [(None, points)]:
                with self._translated():
                    self._client.upsert(target, some, wait=True, ordering=ordering, update_filter=condition, shard_key_selector=key)

        self._claim.write(number, send)

    def query(self, query: Query, limit: int) -> Matches:
        """The `limit` best points by vector, by words, or by both, as the query says, best first."""
        ends = None if query.timeout_s is None else time.monotonic() + query.timeout_s  # of all requests together
        with self._translated(query.timeout_s):
            with together(query.timeout_s):
                self._follow()
            asked = self._collection
            try:
                found = self._found(asked, query, limit, ends)
            except IndexRejected:  # as of vectors of another length
                if not self._is_another(asked, ends):
                    raise
                return self._found(self._collection, query, limit, ends)
            except CollectionNotFound:  # dropped, once the name was led elsewhere
                if not self._leads_on(asked, ends):
                    raise
                return self._found(self._collection, query, limit, ends)
            return self._found(self._collection, query, limit, ends) if self._is_another(asked, ends) else found

    def _found(self, collection: Described, query: Query, limit: int, ends: float | None) -> Matches:
        if not collection.spec.lexical:  # by now: the name may have been led to a collection without words
            query = replace(query, lexical=None, retrieval="dense")
        most = collection.limits.found or max(limit, query.listed)
        query = replace(query, listed=min(query.listed, most))
        key = collection.keys.of_filter(query.filter) if collection.keys else None  # also of what asks for passages by their ids
        with within(_left(ends)):
            unnamed = self._unnamed(collection, query.filter)
        with self._translated():
            found = matches(
                query,
                min(limit, most),
                lambda listings: self._listed(collection, listings, ends, key, unnamed),
                most=collection.limits.found,
            )
        found.most = most if most < limit else None
        return found

    def _is_another(self, asked: Described, ends: float | None) -> bool:
        """Whether an alias that this key does not see through leads to another collection by now, which is taken then.

        Asked after each query, since nothing else tells it: the server leads requests there at once.

        Raises:
            IndexMismatch: it is of another embedder, so that what it answered means nothing.
        """
        if not self._named.veiled or asked.layout is not None:
            return False
        with within(_left(ends)):
            collection = self._describer.describe(asked.target, asked.spec.dimension)
        if collection.layout:
            raise IndexMismatch(not_ours(self.name, self.location, "and the name was led there just now; open it anew"))
        check_spec(self.name, collection.spec, self._wanted)
        if (collection.spec, collection.limits, collection.searched) == (asked.spec, asked.limits, asked.searched):
            return False
        self._open = collection
        return True

    def _listed(
        self,
        collection: Described,
        listings: Sequence[Listing],
        ends: float | None,
        key: models.ShardKeySelector | None,
        unnamed: set[Any],
    ) -> list[list[Scored]]:
        answers: list[tuple[int, list[Scored]]] = []
        for parts in in_requests(listings, collection.limits):
            requests = [self._request(collection, listing, key, unnamed) for _, listing in parts]
            left = _left(ends)
            with within(left):
                timeout = None if left is None else min(math.ceil(left), collection.limits.timeout_s or math.ceil(left))
                told = self._client.query_batch_points(collection.target, requests, timeout=timeout)
            for (at, _), answer in zip(parts, told, strict=True):
                answers.append((at, [(one.id, one.score, _payload(collection, one)) for one in answer.points]))
        return joined(answers, len(listings))

    def _request(
        self, collection: Described, listing: Listing, key: models.ShardKeySelector | None, unnamed: set[Any]
    ) -> models.QueryRequest:
        by_words = isinstance(listing.vector, SparseVector)
        return models.QueryRequest(
            query=to_sparse(listing.vector) if isinstance(listing.vector, SparseVector) else listing.vector.tolist(),
            using=LEXICAL if by_words else collection.vector,
            limit=listing.limit,
            filter=self._filter(collection, listing.filter, unnamed=unnamed),
            with_payload=listing.payload,
            params=to_search_params(collection.searched, collection.limits.oversampling),
            shard_key=key,
        )

    def delete(self, *, ids: Sequence[str] = (), filter: PlainFilter | None = None) -> None:
        """Remove points by id, or all that pass a filter; those that a later claim wrote stay."""
        self.check_writable()
        collection = self._collection
        by_ids: PlainFilter | None = {"must": [{"has_id": [to_engine_id(one) for one in ids]}]} if ids else None
        for wanted in (by_ids, filter):
            for part in filters_of(wanted, collection.limits) if wanted is not None else []:
                numbered = not collection.limits.indexed_only or NUMBER in collection.indexed
                self._delete(collection, part, self._claim.number(removing=True, numbered=numbered))

    def _delete(self, collection: Described, filter: PlainFilter | None, number: int | None) -> None:
        beside = 1 if number is None else 2
        selector = models.FilterSelector(filter=passages_only(self._filter(collection, filter, beside), number))

        def send(ordering: models.WriteOrdering | None) -> None:
            with self._translated():
                key: models.ShardKeySelector | None = None
                if collection.keys:  # without one, a write goes nowhere, and not to all of them as a search does
                    key = collection.keys.of_filter(filter) or list(keys_of(self._client, collection.target))
                self._client.delete(collection.target, selector, wait=True, ordering=ordering, shard_key_selector=key)

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
        collection = self._collection
        parts = [self._scrolled(collection, part, fields, start, vectors=vectors) for part in filters_of(filter, collection.limits)]
        return parts[0] if len(parts) == 1 else heapq.merge(*parts, key=lambda record: in_order(record.id))

    def _scrolled(
        self,
        collection: Described,
        filter: PlainFilter | None,
        fields: Sequence[str] | None,
        start: str | None,
        *,
        vectors: bool,
    ) -> Iterator[Record]:
        offset: Any = None if start is None else to_engine_id(start)
        wanted: bool | list[str] = True if fields is None or collection.layout else list(fields)
        with_vectors: bool | list[str] = [collection.vector] if vectors and collection.vector else vectors
        while True:
            with self._translated():
                records, offset = self._client.scroll(
                    collection.target,
                    self._filter(collection, filter),
                    collection.limits.page,
                    offset=offset,
                    with_payload=wanted,
                    with_vectors=with_vectors,
                    shard_key_selector=collection.keys.of_filter(filter) if collection.keys else None,
                )
            yield from (_record(collection, one, vectors=vectors) for one in records if one.id != RESERVED)
            if offset is None:
                return

    def count(self, filter: PlainFilter | None = None) -> int:
        """How many points pass the filter; about, where strict mode lets nobody count exactly, and they are many."""
        collection = self._collection
        with self._translated():
            key = collection.keys.of_filter(filter) if collection.keys else None
            return sum(
                counted(self._client, collection.target, self._filter(collection, part, 1), collection.limits, key)
                for part in filters_of(filter, collection.limits)
            )

    def can_add_words(self) -> bool:
        """Whether the collection can be given words where it is: see search.index.server.words."""
        self.check_writable()
        with self._translated():
            return can_be_added(self._client, self.target, self._sharding)

    def add_words(
        self, lexical: str, embed: EmbedWords, attempt: Attempt = once, on_added: Callable[[int], None] = lambda _: None
    ) -> int:
        """Give every passage its words, where it is: see search.index.server.words."""
        self.check_writable()
        collection = self._collection
        work = AddedWords(self._client, collection.target, collection.limits, self._claim, self._translated)
        added = work.add(lexical, embed, attempt, on_added)
        self._open = collection._replace(spec=replace(collection.spec, lexical=lexical))
        return added

    def optimize(self, on_build: OnBuild | None = None) -> None:
        """Nothing to ask for: the server optimizes by itself."""

    def discard(self) -> None:
        """Remove the collection again, if `ensure` made it, nothing was written since, and nobody else claims it."""
        if self._creation.undo():
            self._open = None

    def close(self) -> None:
        """Close the connections."""
        if self._owned:
            self._client.close()

    def _led_to(self) -> str | None:
        """The collection that the name means; None if there is none."""
        try:
            return self._named.target()
        except IndexDenied:
            if self._purpose:  # it is to be made, which takes a key for all of them, and that is what is to be said
                return None
            raise

    @property
    def _wanted(self) -> CollectionSpec:
        """What a collection has to be that the name is led to."""
        return replace(self.spec, tenant=self._opened_for.tenant if self._opened_for else "")

    def _leads_on(self, asked: Described, ends: float | None) -> bool:
        """Whether the name leads to another collection than the one that was asked, which is taken then, unless a thread did."""
        if self.target == asked.target:
            self._resolved_at = -math.inf
            with within(_left(ends)):
                self._follow()
        return self.target != asked.target

    def _follow(self) -> None:
        """Go over to the collection that the alias was switched to, if it was made for the same embedder.

        One that another program filled is noticed, too, where it was made anew by its name.
        """
        now = self._open
        if now is None or self._claim.lease or time.monotonic() < self._resolved_at + _FOLLOWED_EVERY_S:
            return
        self._resolved_at = -math.inf if now.layout else time.monotonic()  # until another program's is known to be what it was
        with self._translated():
            target = self._led_to()
        wordless = not (now.spec.lexical or now.layout)  # and may be given words where it is
        same = target == now.target and not wordless and not self._is_anew(now)
        if not (target is None or target == self._unfit or same):
            self._go_over_to(target, now)
        self._resolved_at = time.monotonic()

    def _go_over_to(self, target: str, now: Described) -> None:
        """Take what the name leads to now. The embedder of what another program filled is proved by whoever searches it."""
        collection = self._describer.describe(target, now.spec.dimension, anew=True)
        try:
            check_spec(self.name, collection.spec, self._opened_for if now.layout and self._opened_for else self._wanted)
            fits = now.layout is not None or collection.layout is None
        except IndexMismatch:
            fits = False
        if fits:
            self._open = collection
        else:
            self._unfit = target  # the old one answers until this is opened anew

    def _is_anew(self, now: Described) -> bool:
        """Whether another program's collection begins with other points than when it was taken."""
        if now.layout is None:
            return False
        try:
            with self._translated():
                return beginning(self._client, now.target, now.layout, now.limits) != now.spec.beginning
        except IndexRejected:  # as where it has no vector of that name any more
            return True

    def _check_ours(self, collection: Described) -> None:
        if collection.layout is not None:
            copied = f"`search adopt {shlex.quote(self.name)} --as NAME` copies it into one that is"
            problem = f"it is searched as it is, and never written to; choose another --collection, or {copied}"
            raise CollectionForeign(not_ours(self.name, self.location, problem))
        if collection.keyed_by_others:
            raise IndexRejected(keyed(self.name, self.location))

    def _filter(
        self, collection: Described, filter: PlainFilter | None, beside: int = 0, unnamed: set[Any] | None = None
    ) -> models.Filter | None:
        """A filter as it goes out, to which so many conditions are added; `unnamed` where it was asked already."""
        layout, limits = collection.layout, collection.limits
        if unnamed is None:
            unnamed = self._unnamed(collection, filter)
        asked = layout.filter_of(filter, unnamed) if layout else filter
        most = None if limits.conditions is None else limits.conditions - beside
        return to_filter(asked, indexed_only=limits.indexed_only, most=most, indexed=lambda: self._indexed_now(collection))

    def _unnamed(self, collection: Described, filter: PlainFilter | None) -> set[Any]:
        """The points that a filter may mean by names of documents and that name none, which is seen in them alone."""
        layout = collection.layout
        if layout is None or not (ids := layout.points_in(filter)):
            return set()
        with self._translated():
            points = self._client.retrieve(collection.target, ids, with_payload=[layout.document_id.partition(".")[0]])
        return {one.id for one in points if not layout.names(one.payload or {})}

    def _indexed_now(self, collection: Described) -> dict[str, str]:
        """Which fields have a payload index, though somebody made it since this was opened."""
        last = self._looked_up
        if last is None or last[0] is not collection or time.monotonic() >= last[1] + _INDEXED_FOR_S:
            with self._translated():
                indexed = indexed_of(self._client.get_collection(collection.target))
            self._looked_up = last = collection, time.monotonic(), indexed
        return last[2]

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
            f"`match: any`, or have the limit raised (PATCH {self.location}/collections/{quote(self.target, safe='')})"
        )

    @contextlib.contextmanager
    def _translated(self, timeout_s: float | None = None, *, foreign: bool = False) -> Iterator[None]:
        is_foreign = self._open is not None and self._open.layout is not None
        try:
            with translated(f"the Qdrant server at {self.location}"):
                yield
        except IndexRejected as error:
            if (missing := unindexed(str(error))) is not None:
                raise UnsupportedFilter(self._needs_index(*missing, foreign=foreign or is_foreign)) from error
            if (numbers := too_many_conditions(str(error))) is not None:
                raise UnsupportedFilter(self._too_many(*numbers)) from error
            raise
        except CollectionNotFound as error:
            if self._open is None or not _GONE.search(str(error)):
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


def _left(ends: float | None) -> float | None:
    """The seconds until then, or the least that a request is given."""
    return None if ends is None else max(_LEAST_S, ends - time.monotonic())


def _payload(collection: Described, point: Any) -> Payload:
    payload: Payload = point.payload or {}
    if collection.layout is None:
        return unnumbered(payload)
    return collection.layout.passage(str(point.id), payload) if payload else payload


def _record(collection: Described, record: Any, *, vectors: bool) -> Record:
    """A point that was scrolled to; another program's has with `vectors` what is wanted of one that is copied, or proved."""
    payload, layout = _payload(collection, record), collection.layout
    if layout is None:
        return Record(str(record.id), payload, *vectors_of(record.vector))
    if vectors and payload:
        stored = record.payload or {}
        placed = {"place": layout.place(stored), "begins": layout.begins(stored)}
        payload = {**payload, "embedded": layout.embedded(stored), **placed}
    return Record(str(record.id), payload, named(record.vector, layout.vector))
