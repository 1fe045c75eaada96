"""Where do vectors live? The contract that every engine keeps, and the values that pass through it."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from search.documents import Fusion, Retrieval, SparseVector
from search.errors import IndexMismatch, IndexRejected, SearchError
from search.settings import section_of

Vector = NDArray[np.float32]
Payload = Mapping[str, Any]
PlainFilter = Mapping[str, Any]  # a qdrant_client.models.Filter as plain data, each clause a list: see filters.to_plain

LEXICAL_SHARE = 0.3  # of the words in the order; see docs/decisions.md, 47
LEXICAL = "bm25"  # the name of the sparse vector of a point, whatever makes it; the dense one has none
KEYWORD_FIELDS = ("document_id", "revision")  # indexed, because ingestion looks documents up by them


@dataclass(frozen=True)
class CollectionSpec:
    """What the vectors of a collection have in common."""

    dimension: int
    fingerprint: str  # of the embedder
    lexical: str = ""  # what the sparse vectors depend on, as search.embedding.sparse describes it; "" where there are none
    layout: str = ""  # where passages lie, in words, if another program filled it; the fingerprint is "" then
    tenant: str = ""  # the field by which documents say whose they are, where tenants share it; "" where none do
    adopted: str = ""  # what documents are made by, in another program's collection; in a copy, of which collection and by what
    beginning: str = ""  # a digest of the first points, if another program filled it: another one is noticed behind the name by it

    @property
    def idf(self) -> bool:
        """Whether the engine multiplies by inverse document frequencies: for BM25, and where the description says so."""
        try:
            return json.loads(self.lexical).get("idf", True) is not False
        except (ValueError, AttributeError):
            return True


class Point(NamedTuple):
    """One vector with what comes back with it."""

    id: str  # a UUID, or the digits of a number, as other programs have them
    vector: Vector  # float32 (dimension,)
    payload: Payload
    lexical: SparseVector | None = None  # None for a passage without a word, and where words do not count


@dataclass(frozen=True)
class Query:
    """What is looked for.

    Attributes:
        vector: float32 (dimension,), of unit length.
        lexical: the words; None if there are none, or do not count.
        retrieval: by which of them points are found. The other one's scores are filled in where it is there and words count.
        filter: which points may be found; None for all.
        timeout_s: seconds until IndexTimeout, where they are fewer than a server has anyway. Qdrant Edge cannot be interrupted.
        share: of the words in the order of what both find, 0 to 1.
        rare_share: likewise, where hardly any point has one of the words, as with a part number; None for no other share.
        fusion: how both scores become one.
        listed: points by vector, and by words, at least, that are looked at where both find them.
        probes: single words that the collection must have, whatever the filter: if it lacks one, nothing is looked for.
        scope: the points that are all there are for whoever asks, so that probes find no others; None for all.
        also: ids of points that come back whatever their scores, beyond the limit.
    """

    vector: Vector
    lexical: SparseVector | None = None
    retrieval: Retrieval = "dense"
    filter: PlainFilter | None = None
    timeout_s: float | None = None
    share: float = LEXICAL_SHARE
    rare_share: float | None = None
    fusion: Fusion = "zscore"
    listed: int = 0
    probes: Sequence[SparseVector] = ()
    scope: PlainFilter | None = None
    also: Sequence[str] = ()


class Match(NamedTuple):
    """One answer of a query."""

    id: str
    score: float  # cosine similarity, higher is closer
    payload: Payload
    lexical: float | None = None  # score of the words, 0 where the point has none of them; None where they do not count
    dense_rank: int | None = None  # from 1 in the list by vector; None where it is not in it
    lexical_rank: int | None = None  # likewise in the list by words
    fused: float | None = None  # what the order is by, where words count …
    share: float | None = None  # … and how much they did


class Matches(list[Match]):
    """The answers of a query, best first."""

    absent: tuple[int, ...]  # which of the query's probes no point has; then there is no match
    most: int | None  # as many as the engine gives at all, where more were asked for

    def __init__(self, matches: Iterable[Match] = (), absent: Sequence[int] = (), most: int | None = None) -> None:
        super().__init__(matches)
        self.absent = tuple(absent)
        self.most = most


class Record(NamedTuple):
    """A stored point; with its vectors only where the request wants them."""

    id: str
    payload: Payload
    vector: Vector | None = None
    lexical: SparseVector | None = None


def to_engine_id(id: str) -> int | str:
    """The id of a point as engines take it: points of other programs may have numbers for ids."""
    return int(id) if id.isascii() and id.isdecimal() else id


def to_vector(value: Any) -> Vector | None:
    """A vector as an engine gave it; None if it is none, as of a point that another program wrote without one."""
    try:
        vector = np.array(value, np.float32)
    except (TypeError, ValueError):
        return None
    return vector if vector.ndim == 1 and vector.size and np.isfinite(vector).all() else None


def vectors_of(stored: Any) -> tuple[Vector | None, SparseVector | None]:
    """The dense and the sparse vector that an engine gave of a point; None for what is not there."""
    if not isinstance(stored, Mapping):
        return to_vector(stored), None
    words: Any = stored.get(LEXICAL)
    return to_vector(stored.get("")), SparseVector(list(words.indices), list(words.values)) if hasattr(words, "indices") else None


Attempt = Callable[[Callable[[], Any]], Any]
OnBuild = Callable[[int], None]  # told of how many passages a graph is being built, before that is waited for
EmbedWords = Callable[[Sequence[Payload]], Sequence[SparseVector | None]]  # of passages; None for one without a word


def once(ask: Callable[[], Any]) -> Any:
    """Ask, and take the answer or the failure as it comes."""
    return ask()


@contextmanager
def kept_if_done(index: "VectorIndex") -> Iterator[None]:
    """Make a collection, claim it and fill it, in a context at whose failure one that was made for nothing goes again."""
    try:
        yield
    except BaseException:
        with suppress(SearchError):
            index.discard()
        raise


class VectorIndex(Protocol):
    """One collection of one engine. All methods raise kinds of IndexFailure; `ensure` comes first."""

    name: str
    location: str  # where the collection lies, for people

    @property
    def target(self) -> str:
        """The collection that the name led to when it was opened, or was followed last: its own name."""

    @property
    def spec(self) -> CollectionSpec:
        """What the collection was made for; CollectionNotFound if it is not open."""

    @property
    def differing(self) -> tuple[str, ...]:
        """Settings, such as storage.on_disk, that the open collection was made by otherwise, and keeps; none if it is not open."""

    def ensure(self, spec: CollectionSpec, *, create: bool, writing: bool = False) -> None:
        """Open the collection; `create` makes one that is missing, `writing` says that one which is there is to be written to.

        Then payload indexes that it lacks are made; `create` says so, too. What it makes goes again if it fails. A collection keeps
        the words that it was made with, whatever the spec says of them. Where there is none to write to, Edge keeps the folder for
        the one that is to be made, until `discard` or `close`.

        Raises:
            CollectionNotFound: it does not exist and is not to be made.
            IndexMismatch: it was made for another embedder, or by another program, and is to be written to or cannot be searched.
            IndexBusy: on Edge, another process, or another searcher in this one, uses the data folder.
            IndexCorrupt: likewise, its files cannot be opened.
            IndexFull: likewise, the disk has too little room to open them.
        """

    def check_writable(self) -> None:
        """Refuse what is never written to, as each write does: CollectionForeign, or IndexRejected for shard keys of others."""

    def claimed(self, attempt: Attempt = once, *, removing: bool = False) -> AbstractContextManager[Any]:
        """Claim the collection for the time of a context, so that no other claimant writes; IndexBusy if another one has it.

        Args:
            attempt: carries out the requests that claiming takes.
            removing: whether it may be that nothing is written, and room is made: where there is none for a claim, and nobody has
                one, it goes on without. Writing is then refused (IndexFull), and deleting, once another one claims it (IndexBusy).
        """

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points, replacing those with the same id. The next query sees them."""

    def query(self, query: Query, limit: int) -> Matches:
        """The `limit` best points by vector, by words, or by both, as the query says, best first."""

    def delete(self, *, ids: Sequence[str] = (), filter: PlainFilter | None = None) -> None:
        """Remove points by id, or all that pass a filter. Removing what is not there is no error."""

    def scroll(
        self,
        filter: PlainFilter | None = None,
        fields: Sequence[str] | None = None,
        *,
        vectors: bool = False,
        start: str | None = None,
    ) -> Iterator[Record]:
        """Every point that passes the filter, in the order of ids.

        Args:
            filter: which points; None for all.
            fields: of the payload; None for all of it.
            vectors: whether the vectors are wanted, too, dense and sparse.
            start: the id to begin at, that one included.
        """

    def count(self, filter: PlainFilter | None = None) -> int:
        """How many points pass the filter."""

    def can_add_words(self) -> bool:
        """Whether a collection without words can be given some where it is, and needs nothing else by the settings."""

    def add_words(
        self, lexical: str, embed: EmbedWords, attempt: Attempt = once, on_added: Callable[[int], None] = lambda _: None
    ) -> int:
        """Give every passage its words, where that can be done; how many were given some. Within a claim. Killed, it goes on.

        Searches and writers see them when all passages have theirs.

        Args:
            lexical: describes them.
            embed: makes them of payloads.
            attempt: carries out each request.
            on_added: called now and then with the number so far.
        """

    def optimize(self, on_build: OnBuild | None = None) -> None:
        """Build the search graph now, where that gains anything; until then search is exact and slower.

        On Edge this waits for it; `on_build` is called before, with the number of passages. A server does it by itself.
        """

    def discard(self) -> None:
        """Remove the collection again, if `ensure` made it, nothing was written since, and nobody else claims it; else leave it."""

    def close(self) -> None:
        """Write everything down and let go of it. Closing twice is no error."""


def check_spec(collection: str, stored: CollectionSpec, wanted: CollectionSpec) -> None:
    """Compare what a collection was made for with what is wanted of it; one of another program is compared by its vectors, later.

    Raises:
        IndexMismatch: they differ; the message says how to go on. Whoever does not know that tenants share it is let nowhere near.
    """
    # What stands before the @ is a name for people, and a folder may be renamed.
    if stored.layout:
        return
    if stored.tenant not in {"", wanted.tenant}:
        said = f"the settings name {wanted.tenant}" if wanted.tenant else "the settings name no field"
        raise IndexMismatch(
            f"collection {collection!r} is shared by tenants, which its documents name in {stored.tenant}, and {said}: "
            f"set tenant_field = {stored.tenant!r} (SEARCH_TENANT_FIELD={stored.tenant})"
        )
    (name, _, digest), (other_name, _, other_digest) = (spec.fingerprint.rpartition("@") for spec in (stored, wanted))
    if stored.dimension != wanted.dimension or digest != other_digest:
        why = 'other files, pooling or prompt (embedder.passage_prompt = "" is none); ' if name == other_name else ""
        raise IndexMismatch(
            f"collection {collection!r} was built with the embedder {stored.fingerprint} ({stored.dimension} dimensions), "
            f"but the settings name {wanted.fingerprint} ({wanted.dimension}): {why}"
            f"set the embedder back (for this collection alone: `embedder` or `passage_prompt` under {section_of(collection)} in "
            "search.toml), ingest into another collection (--collection NAME), or bring this one to the new embedder with "
            "`search reindex`"
        )


def check_points(points: Sequence[Point]) -> None:
    """Refuse vectors that engines take and then never find: IndexRejected for one that is not finite."""
    for point in points:
        if not np.isfinite(point.vector).all():
            raise IndexRejected(f"the vector of point {point.id} is not finite; nothing was written")
