"""What does a program hold on to? A collection with its models, each loaded when it is first needed."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from search.assembly import build_collections, build_embedder, build_live_embedder, build_reranker
from search.documents import Document, Rejection, SearchResult
from search.errors import InvalidSettings, SearchError
from search.settings import Settings

if TYPE_CHECKING:
    from qdrant_client.models import Filter

    from search.embedding import Embedder
    from search.index import VectorIndex
    from search.index.collections import Collections
    from search.index.patient import OnWait, PatientIndex
    from search.ingestion import Ingestion, IngestReport, OnChange, OnProgress, OnRejection
    from search.reindexing import Judged, ReindexReport
    from search.reranking import Reranker
    from search.service import GroupBy, SearchService


def open_search(settings: Settings | None = None) -> "Searcher":
    """Open a collection for ingesting and searching; use it as a context manager, or close it.

    Nothing heavy happens until the first call that needs it: models load then, and the data folder is locked then.
    """
    return Searcher(settings or Settings())


class Searcher:
    """A collection with its models: what a program holds on to. Safe to call from several threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._building = threading.RLock()
        self._writing = threading.Lock()
        self._closed = False
        self._parts: dict[str, Any] = {}
        self._retired: list[Any] = []  # collections that searches under way may still ask

    def ingest(
        self,
        documents: Iterable[Document | Rejection],
        *,
        sync: bool = False,
        max_delete: float = 0.2,
        dry_run: bool = False,
        on_progress: "OnProgress | None" = None,
        on_rejection: "OnRejection | None" = None,
        on_change: "OnChange | None" = None,
        on_wait: "OnWait | None" = None,
    ) -> "IngestReport":
        """Add documents, replace changed ones, leave unchanged ones alone, and with `sync` remove all others.

        See Ingestion.run for arguments and errors, Ingestion for the callbacks, and search.index.patient for `on_wait`.
        """
        with self._writing:  # two runs at once would each miss what the other has just written, or where it led the name
            run = self._ingestion(on_wait, on_progress=on_progress, on_rejection=on_rejection, on_change=on_change)
            return run.run(documents, sync=sync, max_delete=max_delete, dry_run=dry_run)

    def delete(
        self,
        *,
        ids: Sequence[str] = (),
        filter: "Filter | Mapping[str, Any] | str | None" = None,
        dry_run: bool = False,
        on_change: "OnChange | None" = None,
        on_wait: "OnWait | None" = None,
    ) -> int:
        """Remove documents, each with all its passages; see search.ingestion.removal for arguments and errors.

        Returns:
            How many there were; those that are not there are no error.
        """
        with self._writing:
            embedder = self.embedder
            from search.ingestion.removal import remove
            from search.ingestion.selection import Selection

            chosen = Selection(ids, filter)
            return remove(self._patiently(self.index, on_wait), embedder, chosen, dry_run=dry_run, on_change=on_change)

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
        """Change the metadata of documents. Nothing is embedded again, unless the settings would cut documents otherwise now.

        Args:
            metadata: fields to set; None removes one, an object inside is merged likewise (JSON Merge Patch, RFC 7396).
            ids: of documents; those that are not there are no error.
            filter: documents of which any passage passes; see search.index.filters.
            dry_run: write nothing, and report what would be.
            on_rejection: see Ingestion.
            on_change: likewise.
            on_wait: see search.index.patient.

        Raises:
            InvalidQuery: neither ids nor a filter, a filter that every passage passes, or nothing to set.
            CollectionNotFound: there is no such collection.
            IndexFailure: the index gave up; the same call again goes on from there.
        """
        with self._writing:
            run = self._ingestion(on_wait, on_rejection=on_rejection, on_change=on_change)
            from search.ingestion.selection import Selection
            from search.ingestion.updating import updated

            documents = updated(self._patiently(self.index, on_wait), Selection(ids, filter), metadata)
            return run.run(documents, dry_run=dry_run, create=False)

    def reindex(
        self,
        settings: Settings | None = None,
        *,
        check: bool = True,
        queries: Sequence[str] = (),
        judged: "Judged | None" = None,
        min_overlap: float = 0.5,
        on_progress: "OnProgress | None" = None,
        on_wait: "OnWait | None" = None,
    ) -> "ReindexReport":
        """Fill a new collection from this one's documents, with other settings, and lead the name to it. Searches go on meanwhile.

        Args:
            settings: with another embedder, chunking or storage; None for this searcher's, of which the collection may differ.
                If the name is led to the new collection, this searcher goes on with these settings.
            check: compare what both collections find before; see search.reindexing for the rest, and for errors.
            queries: asked of both.
            judged: judgements to decide by.
            min_overlap: the least share of the first ten documents that are the same.
            on_progress: called after every step.
            on_wait: see search.index.patient.
        """
        with self._writing:
            wanted, now = settings or self.settings, self.settings
            if (wanted.index, wanted.data_dir, wanted.collection) != (now.index, now.data_dir, now.collection):
                message = "a collection is reindexed where it is; open another searcher for another engine, data_dir or collection"
                raise InvalidSettings(message)
            embedder = self.embedder if wanted.embedder == now.embedder else build_embedder(wanted)
            from search.chunking import Chunker
            from search.reindexing import Reindexing

            def live_embedder(fingerprint: str) -> "Embedder":
                return build_live_embedder(now, fingerprint, (embedder, self._parts.get("embedder")))

            chunker = Chunker(embedder.tokenizer, wanted.chunking.tokens, wanted.chunking.overlap)
            work = Reindexing(self.collections, wanted.collection, embedder, chunker, wanted.storage)
            report = work.run(
                live_embedder=live_embedder if check else None,
                queries=queries,
                judged=judged,
                min_overlap=min_overlap,
                on_progress=on_progress,
                wrap=lambda index: self._patiently(index, on_wait),
            )
            if report.switched:
                self._go_over_to(wanted, embedder)
        return report

    def roll_back(self) -> tuple[str, str]:
        """Lead the name back to the collection it led to before the last reindexing: which one it leaves, and leads to now.

        Raises:
            ReindexRefused: there is none.
        """
        from search.reindexing import roll_back

        with self._writing:
            left, now = roll_back(self.collections, self.settings.collection)
            self._go_over_to(self.settings)
        return left, now

    def _go_over_to(self, settings: Settings, embedder: "Embedder | None" = None) -> None:
        """From the next search on, ask what the name leads to now, with these settings."""
        with self._building:
            self._parts.pop("service", None)
            if (index := self._parts.pop("index", None)) is not None:
                self._retired.append(index)
            if settings.reranker != self.settings.reranker:
                self._parts.pop("reranker", None)
            self.settings = settings
            if embedder is not None:
                self._parts["embedder"] = embedder

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
        group_by: "GroupBy | None" = None,
    ) -> SearchResult:
        """Answer a query; what is left out comes from the settings. See SearchService.search for arguments and errors."""
        limit = self.settings.limit if limit is None else limit
        return self.service.search(
            query,
            limit=limit,
            depth=max(self.settings.depth, limit) if depth is None else depth,
            filter=filter,
            budget_ms=self.settings.budget_ms if budget_ms is None else budget_ms,
            min_score=min_score,
            rerank=rerank,
            group_by=group_by,
        )

    def close(self) -> None:
        """Close the collection for good. Closing twice is no error."""
        with self._building:
            self._closed = True
            for part in [*self._retired, self._parts.pop("index", None), self._parts.pop("collections", None)]:
                if part is not None:
                    part.close()
            self._parts.clear()
            self._retired.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def embedder(self) -> "Embedder":
        """The first stage's model, loaded on first use."""
        embedder: Embedder = self._once("embedder", build_embedder)
        return embedder

    @property
    def reranker(self) -> "Reranker | None":
        """The second stage's model, loaded on first use; None if there is none."""
        reranker: Reranker | None = self._once("reranker", build_reranker)
        return reranker

    @property
    def index(self) -> "VectorIndex":
        """The collection."""
        index: VectorIndex = self._once("index", lambda settings: self.collections.named(settings.collection, settings.storage))
        return index

    @property
    def collections(self) -> "Collections":
        """All collections of the engine."""
        collections: Collections = self._once("collections", build_collections)
        return collections

    @property
    def service(self) -> "SearchService":
        """The two stages."""

        def build(_: Settings) -> "SearchService":
            embedder = self.embedder  # before what imports its module, so that a missing extra is named
            from search.service import SearchService

            return SearchService(embedder, self.index, lambda: self.reranker)

        service: SearchService = self._once("service", build)
        return service

    def _ingestion(self, on_wait: "OnWait | None", **callbacks: Any) -> "Ingestion":
        embedder = self.embedder  # before what imports its module, so that a missing extra is named
        from search.chunking import Chunker
        from search.ingestion import Ingestion

        chunking = self.settings.chunking
        chunker = Chunker(embedder.tokenizer, chunking.tokens, chunking.overlap)
        index = self._patiently(self.index, on_wait)
        return Ingestion(embedder, index, chunker, max_characters=chunking.max_characters, **callbacks)

    def _patiently(self, index: "VectorIndex", on_wait: "OnWait | None") -> "PatientIndex":
        from search.index.patient import Patience, PatientIndex

        return PatientIndex(index, Patience(self.settings.ingestion.patience_s), on_wait)

    def _once(self, name: str, build: Callable[[Settings], Any]) -> Any:
        with self._building:
            if self._closed:
                message = "this searcher is closed; open another with open_search()"
                raise SearchError(message)
            if name not in self._parts:
                self._parts[name] = build(self.settings)
            return self._parts[name]
