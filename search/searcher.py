"""What does a program hold on to? A collection with its models, each loaded when it is first needed."""

import contextlib
import copy
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from search.documents import Document, Number, Rejection, RerankResult, Retrieval, SearchResult, check_flags
from search.errors import IndexFailure, InvalidQuery, InvalidSettings, SearcherClosed, SearchError, TenantRequired
from search.factory import build_collections, build_embedder, build_live_embedder, build_reranker, build_words, needs_extra
from search.settings import EdgeSettings, MemorySettings, Settings, check_tenancy, checked_collection, embedder_of, section_of
from search.system.forks import abandon, watch

if TYPE_CHECKING:
    from qdrant_client.models import Filter

    from search.deduplication.finding import OnProgress as OnDuplicatesProgress
    from search.deduplication.removing import Removal
    from search.deduplication.report import Duplicates
    from search.embedding.dense import Embedder
    from search.embedding.sparse_models import SparseEmbedders
    from search.index.collections import Collections
    from search.index.contract import OnBuild, VectorIndex
    from search.index.retrying import Attempts, OnWait, PatientIndex
    from search.index.tenants import Tenant
    from search.ingestion.adopting import Adoption
    from search.ingestion.judging import Judged
    from search.ingestion.reindexing import ReindexReport
    from search.ingestion.report import IngestReport, OnChange, OnProgress, OnRejection
    from search.ingestion.run import Ingestion
    from search.query.options import GroupBy, SearchOptions
    from search.query.service import SearchService
    from search.reranking.contract import Reranker

Part = TypeVar("Part")

_CLOSED = "this searcher is closed; open another with open_search()"
_LENT = {"embedder", "words", "reranker", "collections"}


def open_search(settings: Settings | None = None) -> "Searcher":
    """Open a collection for ingesting and searching; use it as a context manager, or close it.

    Nothing heavy happens until the first call that needs it: models load then, and the data folder is locked then.
    """
    return Searcher(Settings() if settings is None else settings)


class Searcher:
    """A collection with its models: what a program holds on to. Safe to call from several threads.

    Where a method takes `dry_run`, nothing is written, and what would be is reported. `on_progress` is called after every step, and
    `on_wait` before a request is tried again, see search.index.retrying.
    """

    def __init__(self, settings: Settings, lender: "_Parts | None" = None) -> None:
        if not isinstance(settings, Settings):
            raise InvalidSettings(f"settings is a {type(settings).__name__}; write open_search(Settings(data_dir=…))")
        check_tenancy(settings.tenant_field, settings.tenant)
        self._opened_with = settings  # which reindexing may change for the collection itself
        self._parts = _Parts(settings, lender)
        self._tenant = settings.tenant
        self._whole: Searcher | None = None  # the one that this is a tenant's view of
        self._naming = threading.Lock()
        self._beside: dict[str, Searcher] = {}
        watch(self)

    def ingest(
        self,
        documents: Iterable[Document | Rejection],
        *,
        sync: bool = False,
        max_delete: float = 0.2,
        dry_run: bool = False,
        create: bool = True,
        on_progress: "OnProgress | None" = None,
        on_rejection: "OnRejection | None" = None,
        on_change: "OnChange | None" = None,
        on_wait: "OnWait | None" = None,
    ) -> "IngestReport":
        """Add documents, replace changed ones, leave unchanged ones alone, and with `sync` remove all others.

        `max_delete` bounds that: as an int a number of documents, as a float a share of all of them, up to 1.0.
        A collection that is not there is made, or, without `create`, CollectionNotFound.
        As documents are drawn, and in callbacks, this collection can be searched and others written; to write it is a SearchError,
        or, in another thread that is waited for there, goes on for ever.
        See Ingestion.run for arguments and errors, and Ingestion for the callbacks.
        """
        check_flags(sync=sync, dry_run=dry_run, create=create)
        with self._parts.changing():  # two runs at once would each miss what the other has just written, or where it led the name
            run = self._ingestion(on_wait, on_progress=on_progress, on_rejection=on_rejection, on_change=on_change)
            return run.run(documents, sync=sync, max_delete=max_delete, dry_run=dry_run, create=create)

    def delete(
        self,
        *,
        ids: Sequence[str] = (),
        filter: "Filter | Mapping[str, Any] | str | None" = None,
        dry_run: bool = False,
        on_change: "OnChange | None" = None,
        on_wait: "OnWait | None" = None,
        on_build: "OnBuild | None" = None,
    ) -> Number:
        """Remove documents, by ids or by a filter that any passage passes (search.index.filters), not both; how many there were.

        Those that are not there are no error; `warnings` of what is returned say what may be wrong with a filter that met none. If
        more than a fifth goes, Edge builds the rest a new graph, which gives room on the disk back; `on_build` is called before,
        with the number of passages.

        See search.ingestion.changes for the rest, and for errors.
        """
        check_flags(dry_run=dry_run)
        with self._parts.changing():
            embedder, index = self.embedder, self.index
            from search.ingestion.changes import remove
            from search.ingestion.lookup import Selection

            chosen = Selection(ids, filter)
            patient = self._patiently(index, on_wait)
            removed = remove(patient, embedder, chosen, dry_run=dry_run, on_change=on_change, on_build=on_build)
            return Number.of(removed, () if removed else _misfits(index, filter))

    def update(
        self,
        metadata: Mapping[str, Any],
        *,
        ids: Sequence[str] = (),
        filter: "Filter | Mapping[str, Any] | str | None" = None,
        dry_run: bool = False,
        on_rejection: "OnRejection | None" = None,
        on_change: "OnChange | None" = None,
        on_wait: "OnWait | None" = None,
    ) -> "IngestReport":
        """Change the metadata of documents, chosen as by `delete`; see Ingestion for the callbacks.

        Fields of `metadata` are set, None removes one, and an object inside is merged likewise (JSON Merge Patch, RFC 7396).
        Nothing is embedded again, unless the settings would cut documents otherwise now.

        Raises:
            InvalidQuery: neither ids nor a filter, or both, a filter that every passage passes, nothing to set, what cannot be
                stored, or another tenant.
        """
        check_flags(dry_run=dry_run)
        with self._parts.changing():
            if (tenant := self.owner()) is not None and isinstance(metadata, Mapping):
                tenant.check_patch(metadata)
            run = self._ingestion(on_wait, on_rejection=on_rejection, on_change=on_change)
            from search.ingestion.changes import updated
            from search.ingestion.lookup import Selection

            documents = updated(self._patiently(self.index, on_wait), Selection(ids, filter), metadata)
            report = run.run(documents, dry_run=dry_run, create=False)
            return report if report.changed or report.unchanged else replace(report, warnings=tuple(_misfits(self.index, filter)))

    def reindex(
        self,
        settings: Settings | None = None,
        *,
        check: bool = True,
        queries: Sequence[str] = (),
        judged: "Judged | None" = None,
        min_overlap: float = 0.5,
        drop_unowned: bool = False,
        only_if_needed: bool = False,
        on_progress: "OnProgress | None" = None,
        on_wait: "OnWait | None" = None,
    ) -> "ReindexReport":
        """Fill a new collection from this one's documents, with other settings, and lead the name to it. Searches go on meanwhile.

        Where nothing but words is missing, and the server can, they are added to this one, unless there are queries to compare by.

        Args:
            settings: with another embedder, chunking or storage, and the same tenants; None for this searcher's, of which the
                collection may differ. This searcher goes on with them if the name is led to the new collection.
            check: compare what both collections find before; see search.ingestion.reindexing for the rest, and for errors.
            queries: sent to both.
            judged: judgements to decide by, a search.ingestion.judging.Judged, instead of queries.
            min_overlap: the least share of the first ten documents that are the same.
            drop_unowned: leave out what names no tenant.
            only_if_needed: copy nothing, and report so (`as_is`), where the collection is as the settings want it and nothing in it
                is damaged, unless there are queries or judgements to compare by. Missing payload indexes are made in place.
            on_progress: called after every step.
            on_wait: see search.index.retrying.
        """
        self._check_whole("a collection is reindexed for all tenants at once")
        check_flags(check=check, drop_unowned=drop_unowned, only_if_needed=only_if_needed)
        if not isinstance(settings, Settings | None):
            raise InvalidSettings(f"settings is a {type(settings).__name__}; give Settings, or None for this searcher's")
        if judged is not None:
            with needs_extra():
                import_module("search.evaluation.measures")  # missing, it would be missed when all is filled
        with self._parts.changing():
            wanted, now = settings or self.settings, self.settings
            _check_same_place(wanted, now)
            embedder = self.embedder if embedder_of(wanted) == embedder_of(now) else build_embedder(wanted)
            words = self.words if wanted.lexical == now.lexical else build_words(wanted, self.words)
            from search.ingestion.chunking import Chunker
            from search.ingestion.reindexing import Reindexing

            chunker = Chunker(embedder.tokenizer, wanted.chunking.tokens, wanted.chunking.overlap)
            work = Reindexing(
                *(self.collections, wanted.collection, embedder, chunker, wanted.storage, words.description, words),
                tenant_field=wanted.tenant_field or "",
                drop_unowned=drop_unowned,
                on_progress=on_progress,
            )
            report = work.run(
                live_embedder=partial(build_live_embedder, now, known=(embedder, self._parts.loaded_embedder)) if check else None,
                queries=queries,
                judged=judged,
                min_overlap=min_overlap,
                only_if_needed=only_if_needed,
                attempts=self._attempts(on_wait),
            )
            if report.switched:
                self._parts.go_over_to(wanted, embedder, words)
        return report

    def adopt(
        self, collection: str, *, dry_run: bool = False, on_progress: "OnProgress | None" = None, on_wait: "OnWait | None" = None
    ) -> "Adoption":
        """Copy a collection that another program filled on the same server into this one, with its vectors. Killed, it goes on.

        It is only read. See search.ingestion.adopting for errors, and for what becomes of its points.
        """
        check_flags(dry_run=dry_run)
        if isinstance(self.settings.index, EdgeSettings):
            raise InvalidSettings(
                "what another program filled is on a Qdrant server: name it (SEARCH_INDEX__ENGINE=qdrant, SEARCH_INDEX__URL=…)"
            )
        own = self.settings.collection
        wanted, ours = (embedder_of(self.settings, one).model for one in (collection, own))
        if wanted != ours:
            raise InvalidSettings(
                f"the settings name {wanted} as the embedder of {collection!r}, and {ours} as that of {own!r}, "
                f"which is to keep its vectors; name the same one under {section_of(own)} in search.toml"
            )
        with self._parts.changing():
            embedder, words, storage = self.embedder, self.words, self.settings.storage
            from search.ingestion.adopting import adopt

            named = self.collections.named
            read = named(checked_collection(collection, self.settings.index), storage)
            written = named(self.settings.collection, storage, like=collection)
            source, target = (self._patiently(self._bound(one), on_wait) for one in (read, written))
            try:
                return adopt(
                    *(source, target, embedder),
                    lexical=words.description,
                    words=words,
                    tenant=self.owner(),
                    dry_run=dry_run,
                    on_progress=on_progress,
                )
            finally:
                source.close()
                target.close()

    def roll_back(self) -> tuple[str, str]:
        """Lead the name back to the collection it led to before the last reindexing: which one it leaves, and leads to now.

        Raises:
            ReindexRefused: there is none.
        """
        self._check_whole("a name is led back for all tenants at once")
        from search.ingestion.reindexing import roll_back

        with self._parts.changing():
            left, now = roll_back(self.collections, self.settings.collection)
            self._parts.go_over_to(self.settings)
        return left, now

    def search(
        self,
        query: str,
        *,
        limit: int | None = None,
        depth: int | None = None,
        filter: "Filter | Mapping[str, Any] | str | None" = None,
        budget_ms: float | None = None,
        min_score: float | None = None,
        rerank: bool = True,
        retrieval: Retrieval | None = None,
        lexical_share: float | None = None,
        group_by: "GroupBy | None" = None,
    ) -> SearchResult:
        """Answer a query; what is left out comes from the settings. See SearchOptions for arguments, SearchService for errors."""
        from search.query.options import SearchOptions

        chosen = SearchOptions(
            limit=limit,
            depth=depth,
            filter=filter,
            budget_ms=budget_ms,
            min_score=min_score,
            rerank=rerank,
            retrieval=retrieval,
            lexical_share=lexical_share,
            group_by=group_by,
        )
        return self.answer(query, chosen)

    def answer(self, query: str, options: "SearchOptions") -> SearchResult:
        """The same as `search`, by options that are one value."""
        with self._parts.using() as (service, index):
            return self._over(service, index).search(query, options.by(self.settings))

    def rerank(self, query: str, texts: Sequence[str]) -> RerankResult:
        """Rank texts that need no collection, one at least, by the reranker's score alone.

        Raises:
            InvalidQuery: an empty query, no text, or a reranker that the settings switch off.
            ModelError: the reranker failed, or cannot be loaded.
        """
        from search.query.ranking import rank_texts

        reranker = self.reranker
        if reranker is None:
            raise InvalidQuery("the settings switch reranking off (SEARCH_RERANKER__KIND=none)")
        return rank_texts(query, texts, reranker)

    def duplicates(
        self, *, threshold: float | None = None, rerank: bool = False, on_progress: "OnDuplicatesProgress | None" = None
    ) -> "Duplicates":
        """The near-duplicates of the collection, in clusters with a representative each; nothing is written.

        `threshold` is the least probability of what is reported, above 0 and up to 1; None for 0.9. With `rerank`, the reranker is
        asked, too, and its answers are reported, on which no probability depends.

        See search.deduplication.finding for errors, and `opened` for those of the collection.
        """
        check_flags(rerank=rerank)
        with self.using() as index:
            from search.deduplication.finding import THRESHOLD, check_threshold, find_duplicates

            least = check_threshold(THRESHOLD if threshold is None else threshold)
            reranker = self.reranker if rerank else None
            return find_duplicates(index, reranker, threshold=least, rerank=rerank, on_progress=on_progress)

    def remove_duplicates(
        self,
        found: "Duplicates",
        *,
        near: float | None = None,
        any_metadata: bool = False,
        on_progress: "OnDuplicatesProgress | None" = None,
        on_wait: "OnWait | None" = None,
    ) -> "Removal":
        """Remove what a report of `duplicates` names beside the representatives and is certain; what has changed since then stays.

        `near` is the least probability of near-duplicates that go, too; None for equal texts alone. With `any_metadata` a document
        may go whose title or metadata are not its representative's, and are lost.

        Returns:
            What went, and what stays for which reason. See search.deduplication.removing for errors.
        """
        check_flags(any_metadata=any_metadata)
        with self._parts.changing():
            embedder = self.embedder
            from search.deduplication.finding import Progress
            from search.deduplication.removing import planned, remove_duplicates

            def step(done: int, total: int | None) -> None:
                if on_progress:
                    on_progress(Progress("removing documents", done, total))

            def build(passages: int) -> None:
                if on_progress:
                    on_progress(Progress("building the graph", 0, passages))

            plan = planned(found, near=near, any_metadata=any_metadata)
            index = self._patiently(self.index, on_wait)
            return remove_duplicates(index, embedder, found, plan, leads_to=self._led_to, on_step=step, on_build=build)

    def _led_to(self) -> str:
        """The collection that the name leads to now, whatever it led to when this searcher opened it."""
        index = self._bound(self.collections.named(self.settings.collection, self.settings.storage))
        with contextlib.closing(index):
            return self._parts.opened(index).target

    def get(self, document_id: str) -> Document:
        """A document as it came; see `opened` for errors of the collection.

        Raises:
            DocumentNotFound: there is none of this id.
            DocumentIncomplete: some of its passages are missing.
        """
        from search.ingestion.restoring import restored

        with self.using() as index:
            return restored(index, document_id)

    def facets(self) -> dict[str, Any]:
        """What there is to filter by: see search.query.facets, and `opened` for errors of the collection.

        Of the first 5,000 `documents` (`complete` if those are all) the 100 `fields` that most have, as filters write them, each
        with its most frequent `values`, and `ranges` of numbers; `left_out` counts fields and values that are not told.
        """
        from search.query.facets import facets

        with self.using() as index:
            return facets(index)

    def opened(self) -> "VectorIndex":
        """The collection, opened; CollectionNotFound if there is none, IndexMismatch if it was made for another embedder."""
        return self._parts.opened(self.index)

    @contextlib.contextmanager
    def using(self) -> "Iterator[VectorIndex]":
        """The same, which stays open for the time of a context, though its name be led elsewhere meanwhile."""
        with self._parts.using() as (_, index):
            yield self._parts.opened(self._bound(index))

    def count(self, filter: "Filter | Mapping[str, Any] | str | None" = None) -> Number:
        """How many passages pass a filter, or there are in all; see `opened` for errors, and search.index.filters."""
        from search.query.service import plain_filter

        with self.using() as index:
            number = index.count(plain_filter(filter, index))
            return Number.of(number, () if number else _misfits(index, filter))

    def of_tenant(self, name: str) -> "Searcher":
        """The same collection for one tenant, whose documents are all there are: none other is found, counted, given or changed.

        It shares all that this searcher has, costs nothing to make, and is closed with it.

        Raises:
            InvalidSettings: the settings do not say in which field documents name their tenant, or no tenant can be called so.
            TenantRequired: this searcher is another tenant's.
        """
        check_tenancy(self.settings.tenant_field, name)
        if self._tenant not in {None, name}:
            raise TenantRequired(f"this is for the tenant {self._tenant!r}; another one has a searcher of its own")
        if self._whole is not None:
            return self
        view = copy.copy(self)
        view._tenant, view._whole = name, self  # noqa: SLF001  # another of its kind
        return view

    def owner(self) -> "Tenant | None":
        """Whose documents there are; None where nobody shares the collection.

        Raises:
            TenantRequired: it is shared, and nobody is named.
            InvalidSettings: a tenant is named, and no field.
        """
        field = self.settings.tenant_field
        if field is None:
            check_tenancy(field, self._tenant)  # however a tenant's searcher came to lack it, it is not shown all
            return None
        if self._tenant is None:
            raise TenantRequired(
                f"collections are shared by tenants here ({field}); say for which one: --tenant NAME, SEARCH_TENANT, "
                "searcher.of_tenant(NAME), or over HTTP the header X-Tenant"
            )
        from search.index.tenants import Tenant

        return Tenant(field, self._tenant)

    def beside(self, collection: str) -> "Searcher":
        """Another collection of the same engine, with the same models: the same one until it is closed, by itself or with this one.

        It has the settings that this one was opened with, whatever this one's collection was reindexed to since.
        """
        _check_name(collection)
        if collection == self.settings.collection:
            return self
        if self._whole is not None and self._tenant is not None:
            return self._whole.beside(collection).of_tenant(self._tenant)
        with self._naming:
            if collection not in self._beside or self._beside[collection]._parts.closed:  # noqa: SLF001  # another of its kind
                other = self._opened_with.model_copy(update={"collection": checked_collection(collection, self.settings.index)})
                self._beside[collection] = Searcher(other, self._parts)
            return self._beside[collection]

    def knows(self, collection: str) -> bool:
        """Whether a collection is this one's, or was opened beside it."""
        _check_name(collection)
        return collection == self.settings.collection or collection in self._beside

    def follow(self, name: str) -> None:
        """Look up what a name leads to now, if it is this one's or was opened beside it."""
        _check_name(name)
        with self._naming:
            for parts in (one._parts for one in (self, *self._beside.values())):  # noqa: SLF001  # others of its kind
                if parts.settings.collection == name:
                    parts.go_over_to(parts.settings)

    def let_go(self, collection: str) -> None:
        """Close a collection that was opened beside this one, so that it can be dropped."""
        _check_name(collection)
        with self._naming:
            if (other := self._beside.pop(collection, None)) is not None:
                other.close()

    def close(self) -> None:
        """Close the collection for good. Closing twice is no error; what a tenant has of it closes nothing."""
        if self._whole is not None:
            return
        with contextlib.ExitStack() as closing:  # all of them, whatever one raises
            closing.callback(self._parts.close)
            for other in list(self._beside.values()):
                closing.callback(other.close)

    def after_fork(self) -> None:
        """In a forked child, a thread that held the lock is gone; see _Parts for the rest."""
        self._naming = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def settings(self) -> Settings:
        """What it goes by; a reindexing may change them."""
        return self._parts.settings

    @property
    def embedder(self) -> "Embedder":
        """The first stage's model, loaded on first use."""
        return self._parts.embedder

    @property
    def words(self) -> "SparseEmbedders":
        """What makes words; its models are loaded when they are first needed."""
        return self._parts.words

    @property
    def reranker(self) -> "Reranker | None":
        """The second stage's model, loaded on first use; None if there is none."""
        return self._parts.reranker

    @property
    def index(self) -> "VectorIndex":
        """The collection, or the tenant's part of it, opened or not; TenantRequired where it is shared and none is named."""
        return self._bound(self._parts.index)

    @property
    def whole_index(self) -> "VectorIndex":
        """The collection of all tenants, opened or not, for whoever keeps it."""
        return self._parts.index

    @property
    def collections(self) -> "Collections":
        """All collections of the engine, whole, for whoever keeps them: what is opened there is of no tenant."""
        return self._parts.collections

    @property
    def service(self) -> "SearchService":
        """The two stages."""
        return self._over(self._parts.service, self._parts.index)

    def _bound(self, index: "VectorIndex") -> "VectorIndex":
        """All of a collection that there is for this searcher: whatever asks, asks this."""
        tenant = self.owner()
        if tenant is None:
            return index
        from search.index.tenants import TenantIndex

        return TenantIndex(index, tenant)

    def _over(self, service: "SearchService", index: "VectorIndex") -> "SearchService":
        bound = self._bound(index)
        return service if bound is index else service.over(bound)

    def _check_whole(self, reason: str) -> None:
        if self._whole is not None:
            raise TenantRequired(f"{reason}; this is for the tenant {self._tenant!r} alone, so ask the searcher that it is of")

    def _ingestion(self, on_wait: "OnWait | None", **callbacks: Any) -> "Ingestion":
        embedder = self.embedder  # before what imports its module, so that a missing extra is named
        from search.ingestion.chunking import Chunker
        from search.ingestion.run import Ingestion

        tenant, chunking = self.owner(), self.settings.chunking
        chunker = Chunker(embedder.tokenizer, chunking.tokens, chunking.overlap)
        index = self._patiently(self.index, on_wait)
        return Ingestion(
            embedder,
            index,
            chunker,
            max_characters=chunking.max_characters,
            lexical=self.words.description,
            words=self.words,
            tenant=tenant,
            **callbacks,
        )

    def _patiently(self, index: "VectorIndex", on_wait: "OnWait | None") -> "PatientIndex":
        from search.index.retrying import PatientIndex

        return PatientIndex(index, self._attempts(on_wait))

    def _attempts(self, on_wait: "OnWait | None") -> "Attempts":
        from search.index.retrying import Attempts, Patience

        def waited(error: IndexFailure, seconds: float) -> None:
            if self._parts.closed:
                raise SearcherClosed(_CLOSED) from error
            if on_wait:
                with self._parts.at_work():  # in the thread that writes, too
                    on_wait(error, seconds)

        return Attempts(Patience(self.settings.ingestion.patience_s), waited)


def _misfits(index: "VectorIndex", filter: "Filter | Mapping[str, Any] | str | None") -> list[str]:
    from search.query.misfits import misfits
    from search.query.service import plain_filter

    plain = plain_filter(filter, index)
    return [] if plain is None else misfits(index, plain)


def _check_name(collection: Any) -> None:
    if not isinstance(collection, str):
        raise InvalidSettings(f"a collection's name is a string, not a {type(collection).__name__}")


def _check_same_place(wanted: Settings, now: Settings) -> None:
    """Refuse to go on with settings by which something else would be reindexed, or others would be served.

    Raises:
        InvalidSettings: they are for another collection or tenant, or name no field where the present ones do.
    """
    if (wanted.index, wanted.data_dir, wanted.collection) != (now.index, now.data_dir, now.collection):
        raise InvalidSettings(
            "a collection is reindexed where it is; open another searcher for another engine, data_dir or collection"
        )
    if wanted.tenant != now.tenant:
        raise InvalidSettings("those settings are for other tenants than this searcher's; reindex with the same `tenant`")
    if now.tenant_field is not None and wanted.tenant_field is None:
        raise InvalidSettings(f"this searcher's tenants would be bound to nothing: keep tenant_field = {now.tenant_field!r}")


class _Parts:
    """What a searcher works with, each part built when it is first needed, and once; a lender's models and engine are used.

    Built under a lock, since several threads may be the first to need one.
    """

    def __init__(self, settings: Settings, lender: "_Parts | None" = None) -> None:
        self.settings = settings
        self.writing = threading.Lock()  # held by whoever changes the collection
        self._lender = lender
        self._borrowers: weakref.WeakSet[_Parts] = weakref.WeakSet()
        self._at_work: set[int] = set()  # the threads in which that calls back
        self._building = threading.RLock()
        self._closed = False
        self._parts: dict[str, Any] = {}
        self._uses: dict[VectorIndex, int] = {}  # how many ask each collection now
        self._torn = False  # a copy of a collection in memory, made while another thread wrote to it
        if lender is not None:
            lender._borrowers.add(self)  # noqa: SLF001  # another of its kind
        watch(self)

    @property
    def closed(self) -> bool:
        return self._closed or (self._lender is not None and self._lender.closed)

    @property
    def embedder(self) -> "Embedder":
        settings = self.settings  # of which the lender's may name another one
        return self._once("embedder", lambda _: build_embedder(settings), str(embedder_of(settings)))

    @property
    def words(self) -> "SparseEmbedders":
        return self._once("words", build_words)

    @property
    def loaded_embedder(self) -> "Embedder | None":
        """The same, if it was needed so far."""
        return self._parts.get(f"embedder {embedder_of(self.settings)}")

    @property
    def reranker(self) -> "Reranker | None":
        return self._once("reranker", build_reranker)

    @property
    def collections(self) -> "Collections":
        return self._once("collections", build_collections)

    @property
    def index(self) -> "VectorIndex":
        return self._once("index", lambda settings: self.collections.named(settings.collection, settings.storage))

    @property
    def service(self) -> "SearchService":
        def build(_: Settings) -> "SearchService":
            embedder = self.embedder  # before what imports its module, so that a missing extra is named
            from search.query.fusion import Mix
            from search.query.service import SearchService

            return SearchService(embedder, self.index, lambda: None, Mix.of(self.settings.lexical), self.words)

        # What is kept does not hold this, which keeps it: the engine's lock is free as soon as the searcher is dropped.
        return self._once("service", build).reranked_by(lambda: self.reranker)

    @contextlib.contextmanager
    def using(self) -> "Iterator[tuple[SearchService, VectorIndex]]":
        """The two stages and the collection; see `keeping`."""
        with contextlib.ExitStack() as use:
            with self._building:  # or the name might be led elsewhere in between
                service, index = self.service, use.enter_context(self.keeping())
            yield service, index

    @contextlib.contextmanager
    def keeping(self) -> "Iterator[VectorIndex]":
        """The collection, which stays open for the time of a context, wherever its name is led meanwhile.

        Raises:
            SearcherClosed: it was closed meanwhile, of which every engine says something else.
        """
        with self._building:
            index = self.index
            self._uses[index] = self._uses.get(index, 0) + 1
        try:
            yield index
        except IndexFailure as error:
            if self.closed:
                raise SearcherClosed(_CLOSED) from error
            raise
        finally:
            with self._building:
                self._uses[index] -= 1
                if not self._uses[index]:
                    del self._uses[index]
                    if self._parts.get("index") is not index:  # it was left meanwhile
                        index.close()

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Be the only one that changes the collection, for the time of a context; see `keeping`.

        Raises:
            SearchError: this thread is that already, and would wait for itself.
        """
        if threading.get_ident() in self._at_work:
            raise SearchError(
                "this collection is being written by the call that this one comes from, in a callback or as documents are read; "
                "collect what is to be changed, and change it when that is through"
            )
        with self.writing, self.at_work(), self.keeping():
            yield

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Note that what this thread calls belongs to a change, for the time of a context."""
        thread = threading.get_ident()
        noted = thread in self._at_work
        self._at_work.add(thread)
        try:
            yield
        finally:
            if not noted:
                self._at_work.discard(thread)

    def opened(self, index: "VectorIndex") -> "VectorIndex":
        """A collection, opened; CollectionNotFound if there is none."""
        embedder = self.embedder
        from search.index.contract import CollectionSpec

        index.ensure(CollectionSpec(embedder.dimension, embedder.fingerprint), create=False)
        return index

    def go_over_to(self, settings: Settings, embedder: "Embedder | None" = None, words: "SparseEmbedders | None" = None) -> None:
        """From the next search on, ask what the name leads to now, with these settings."""
        with self._building:
            self._parts.pop("service", None)
            index = self._parts.pop("index", None)
            if index is not None and index not in self._uses:
                index.close()
            if settings.reranker != self.settings.reranker:
                self._parts.pop("reranker", None)
            if embedder is not None:
                self._parts.pop(f"embedder {embedder_of(self.settings)}", None)
                self._parts[f"embedder {embedder_of(settings)}"] = embedder
            self.settings = settings
            if words is not None:
                self._parts["words"] = words

    def close(self) -> None:
        """Close the collection, and the engine if it is one's own. Closing twice is no error."""
        with self._building:
            self._closed = True
            with contextlib.ExitStack() as closing:  # all of them, whatever one raises; the last that is entered is closed first
                for part in [self._parts.pop("collections", None), *{self._parts.pop("index", None), *self._uses}]:
                    if part is not None:
                        closing.callback(part.close)
                self._parts.clear()

    def after_fork(self) -> None:
        """Build everything anew in a forked child, when it is needed there, but for collections in memory, which are a copy."""
        abandon(self._parts, *self._uses)
        in_memory = isinstance(self.settings.index, MemorySettings) and "collections" in self._parts
        self._torn = in_memory and self._is_written()  # the lender's comes before its borrowers', which replace their locks
        self._parts = {"collections": self._parts["collections"]} if in_memory else {}
        self._uses = {}
        self._building, self.writing, self._at_work = threading.RLock(), threading.Lock(), set()

    def _is_written(self) -> bool:
        return self.writing.locked() or any(one._is_written() for one in list(self._borrowers))  # noqa: SLF001  # others of its kind

    def _once(self, kind: str, build: Callable[[Settings], Part], which: str = "") -> Part:
        name = f"{kind} {which}".strip()
        with self._building:
            if self._torn and name == "collections":
                raise SearchError(
                    "this process was forked while another thread wrote to the collection in memory; fork before that or after it"
                )
            if self.closed:
                raise SearcherClosed(_CLOSED)
            if self._lender is not None and kind in _LENT and name not in self._parts:
                return self._lender._once(kind, build, which)  # noqa: SLF001  # another of its kind
            if name not in self._parts:
                self._parts[name] = build(self.settings)
            part: Part = self._parts[name]
            return part
