"""Settings in, working parts out: the only place that chooses between implementations."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from search.documents import Document, Rejection, SearchResult
from search.errors import MissingExtra, SearchError
from search.settings import (
    CausalSettings,
    ChatSettings,
    CrossEncoderSettings,
    EdgeSettings,
    MemorySettings,
    NoReranker,
    ServerSettings,
    Settings,
)

if TYPE_CHECKING:
    from qdrant_client.models import Filter

    from search.embedding import Embedder
    from search.index import VectorIndex
    from search.index.patient import OnWait
    from search.ingestion import IngestReport, Progress
    from search.reranking import Reranker
    from search.service import SearchService


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
        self._ingesting = threading.Lock()
        self._closed = False
        self._parts: dict[str, Any] = {}

    def ingest(
        self,
        documents: Iterable[Document | Rejection],
        *,
        on_progress: "Callable[[Progress], None] | None" = None,
        on_rejection: Callable[[Rejection], None] | None = None,
        on_wait: "OnWait | None" = None,
    ) -> "IngestReport":
        """Add documents, replace changed ones, leave unchanged ones alone; see search.ingestion, and search.index.patient."""
        embedder = self.embedder  # before what imports its module, so that a missing extra is named
        from search.chunking import Chunker
        from search.index.patient import Patience, PatientIndex
        from search.ingestion import Ingestion

        chunking = self.settings.chunking
        run = Ingestion(
            embedder,
            PatientIndex(self.index, Patience(self.settings.ingestion.patience_s), on_wait),
            Chunker(embedder.tokenizer, chunking.tokens, chunking.overlap),
            max_characters=chunking.max_characters,
            on_progress=on_progress,
            on_rejection=on_rejection,
        )
        with self._ingesting:  # two runs at once would each miss what the other has just written
            return run.run(documents)

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
        )

    def close(self) -> None:
        """Close the collection for good. Closing twice is no error."""
        with self._building:
            self._closed = True
            index = self._parts.pop("index", None)
            self._parts.pop("service", None)
            if index is not None:
                index.close()

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
        index: VectorIndex = self._once("index", build_index)
        return index

    @property
    def service(self) -> "SearchService":
        """The two stages."""

        def build(_: Settings) -> "SearchService":
            embedder = self.embedder  # before what imports its module, so that a missing extra is named
            from search.service import SearchService

            return SearchService(embedder, self.index, lambda: self.reranker)

        service: SearchService = self._once("service", build)
        return service

    def _once(self, name: str, build: Callable[[Settings], Any]) -> Any:
        with self._building:
            if self._closed:
                message = "this searcher is closed; open another with open_search()"
                raise SearchError(message)
            if name not in self._parts:
                self._parts[name] = build(self.settings)
            return self._parts[name]


_EXTRAS = {
    **dict.fromkeys(("pytrec_eval", "scipy", "matplotlib", "jinja2"), "evaluate"),
    **dict.fromkeys(("onnx", "ml_dtypes", "safetensors", "huggingface_hub"), "export"),
}


@contextmanager
def needs_extra() -> Iterator[None]:
    """Around the import of a part whose libraries come with an extra.

    Raises:
        MissingExtra: with the command that installs it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        extras = _EXTRAS.get(error.name or "", "cpu or gpu")
        first = extras.partition(" ")[0]
        message = f"{error.name} is not installed; install this package with its extra {extras}, as in pip install '.[{first}]'"
        raise MissingExtra(message) from error


def build_embedder(settings: Settings) -> "Embedder":
    """The embedder that the settings name."""
    with needs_extra():
        from search.embedding import FastEmbedEmbedder

    return FastEmbedEmbedder(
        settings.embedder.model,
        device=settings.device,
        threads=settings.threads,
        cache=settings.model_cache,
        batch_tokens=settings.embedder.batch_tokens,
        cuda=settings.cuda,
    )


def build_reranker(settings: Settings) -> "Reranker | None":
    """The reranker that the settings name."""
    match settings.reranker:
        case CrossEncoderSettings() as chosen:
            with needs_extra():
                from search.reranking.cross_encoder import CrossEncoder

            from search.models import locate
            from search.recipes import kept

            reranker = CrossEncoder(
                chosen.model,
                device=settings.device,
                threads=settings.threads,
                cache=settings.model_cache,
                weight=chosen.weight,
                max_tokens=chosen.max_tokens,
                batch_tokens=chosen.batch_tokens,
                slice_size=chosen.slice_size,
                cuda=settings.cuda,
            )
            reranker.recipe = kept.with_kept(reranker.recipe, kept.map_file(chosen.model, locate(chosen.model), settings.data_dir))
            return reranker
        case CausalSettings() as chosen:
            return _language_model(chosen, settings)
        case ChatSettings() as chosen:
            from search.reranking.chat import ChatReranker

            return ChatReranker(
                chosen.url,
                chosen.model,
                api_key=chosen.api_key.get_secret_value() if chosen.api_key else None,
                weight=1.0 if chosen.weight is None else chosen.weight,
                window=chosen.window,
                stride=chosen.stride,
                max_words=chosen.max_words,
                timeout_s=chosen.timeout_s,
            )
        case NoReranker():
            return None


def _language_model(chosen: CausalSettings, settings: Settings) -> "Reranker":
    """A local language model as the kind of reranker that its recipe's head makes of it."""
    with needs_extra():
        from search.reranking.language_model import LanguageModel

    from search.recipes.heads import Listwise, Pairwise

    model = LanguageModel(
        chosen.model,
        device=settings.device,
        threads=settings.threads,
        cuda=settings.cuda,
        batch_tokens=chosen.batch_tokens,
        weight=chosen.weight,
        instruction=chosen.instruction,
    )
    match model.head:
        case Listwise():
            from search.reranking.listwise import ListwiseReranker

            return ListwiseReranker(model)
        case Pairwise():
            from search.reranking.pairwise import PairwiseReranker

            return PairwiseReranker(model)
        case _:
            from search.reranking.causal import CausalReranker

            return CausalReranker(model, chosen.slice_size)


def build_index(settings: Settings) -> "VectorIndex":
    """The collection that the settings name, not yet opened."""
    match settings.index:
        case EdgeSettings():
            from search.index.edge import EdgeIndex

            return EdgeIndex(settings.data_dir.expanduser(), settings.collection)
        case ServerSettings() as server:
            from search.index.qdrant import QdrantIndex, connect

            client = connect(
                server.url,
                api_key=server.api_key.get_secret_value() if server.api_key else None,
                grpc_port=server.grpc_port if server.grpc else None,
                timeout_s=server.timeout_s,
                ca_file=server.ca_file,
            )
            return QdrantIndex(client, settings.collection, server.url)
        case MemorySettings():
            from search.index.qdrant import QdrantIndex, in_memory

            return QdrantIndex(in_memory(), settings.collection, ":memory:")


def build_corpus_index(settings: Settings, corpus_hash: str, embedder: "Embedder") -> "VectorIndex":
    """The embedded collection of a judged data set's corpus, one for each corpus and embedder, away from the user's own."""
    name = f"{corpus_hash}-{embedder.fingerprint.rpartition('@')[2]}"
    folder = settings.data_dir / "evaluation"
    return build_index(settings.model_copy(update={"data_dir": folder, "collection": name, "index": EdgeSettings()}))
