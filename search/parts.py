"""Which parts does a searcher work with? Each is built when it is first needed, and once; models and engine may be lent."""

import contextlib
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from search.errors import SearchError
from search.factory import build_collections, build_embedder, build_reranker
from search.settings import MemorySettings, Settings
from search.system.forks import abandon, watch

if TYPE_CHECKING:
    from search.embedding.dense import Embedder
    from search.index.collections import Collections
    from search.index.contract import VectorIndex
    from search.query.service import SearchService
    from search.reranking.contract import Reranker

_LENT = {"embedder", "reranker", "collections"}


class Parts:
    """Built under a lock, since several threads may be the first to need one."""

    def __init__(self, settings: Settings, lender: "Parts | None" = None) -> None:
        """Keep the settings.

        Args:
            settings: what the parts are built by.
            lender: whose models and engine are used; it is closed last.
        """
        self.settings = settings
        self.writing = threading.Lock()  # held by whoever changes the collection
        self._lender = lender
        self._borrowers: weakref.WeakSet[Parts] = weakref.WeakSet()
        self._building = threading.RLock()
        self._closed = False
        self._parts: dict[str, Any] = {}
        self._retired: list[VectorIndex] = []  # collections that searches under way may still ask
        self._torn = False  # a copy of a collection in memory, made while another thread wrote to it
        if lender is not None:
            lender._borrowers.add(self)  # noqa: SLF001  # another of its kind
        watch(self)

    @property
    def embedder(self) -> "Embedder":
        """The first stage's model."""
        embedder: Embedder = self._once("embedder", build_embedder)
        return embedder

    @property
    def loaded_embedder(self) -> "Embedder | None":
        """The same, if it was needed so far."""
        return self._parts.get("embedder")

    @property
    def reranker(self) -> "Reranker | None":
        """The second stage's model; None if there is none."""
        reranker: Reranker | None = self._once("reranker", build_reranker)
        return reranker

    @property
    def collections(self) -> "Collections":
        """All collections of the engine."""
        collections: Collections = self._once("collections", build_collections)
        return collections

    @property
    def index(self) -> "VectorIndex":
        """The collection, opened or not."""
        index: VectorIndex = self._once("index", lambda settings: self.collections.named(settings.collection, settings.storage))
        return index

    @property
    def service(self) -> "SearchService":
        """The two stages."""

        def build(_: Settings) -> "SearchService":
            embedder = self.embedder  # before what imports its module, so that a missing extra is named
            from search.query.service import SearchService

            return SearchService(embedder, self.index, lambda: self.reranker)

        service: SearchService = self._once("service", build)
        return service

    def opened(self) -> "VectorIndex":
        """The collection, opened; CollectionNotFound if there is none."""
        embedder = self.embedder
        from search.index.contract import CollectionSpec

        self.index.ensure(CollectionSpec(embedder.dimension, embedder.fingerprint), create=False)
        return self.index

    def go_over_to(self, settings: Settings, embedder: "Embedder | None" = None) -> None:
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

    def close(self) -> None:
        """Close the collection, and the engine if it is one's own. Closing twice is no error."""
        with self._building:
            self._closed = True
            with (
                contextlib.ExitStack() as closing
            ):  # every one of them, whatever another raises; the last that is entered is the first
                for part in [self._parts.pop("collections", None), self._parts.pop("index", None), *reversed(self._retired)]:
                    if part is not None:
                        closing.callback(part.close)
                self._parts.clear()
                self._retired.clear()

    def after_fork(self) -> None:
        """Build everything anew in a forked child, when it is needed there, but for collections in memory, which are a copy."""
        abandon(self._parts, *self._retired)
        in_memory = isinstance(self.settings.index, MemorySettings) and "collections" in self._parts
        self._torn = in_memory and self._is_written()  # the lender's comes before its borrowers', which replace their locks
        self._parts = {"collections": self._parts["collections"]} if in_memory else {}
        self._retired = []
        self._building, self.writing = threading.RLock(), threading.Lock()

    def _is_written(self) -> bool:
        return self.writing.locked() or any(one._is_written() for one in list(self._borrowers))  # noqa: SLF001  # others of its kind

    def _once(self, name: str, build: Callable[[Settings], Any]) -> Any:
        with self._building:
            if self._torn and name == "collections":
                message = (
                    "this process was forked while another thread wrote to the collection in memory; fork before that or after it"
                )
                raise SearchError(message)
            if self._closed:
                message = "this searcher is closed; open another with open_search()"
                raise SearchError(message)
            if self._lender is not None and name in _LENT and name not in self._parts:
                return self._lender._once(name, build)  # noqa: SLF001  # another of its kind
            if name not in self._parts:
                self._parts[name] = build(self.settings)
            return self._parts[name]
