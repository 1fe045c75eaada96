"""Settings in, working parts out: the only place that chooses between implementations."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from search.errors import MissingExtra
from search.settings import (
    CausalSettings,
    ChatSettings,
    CrossEncoderSettings,
    EdgeSettings,
    MemorySettings,
    NoReranker,
    ServerSettings,
    Settings,
    StorageSettings,
)

if TYPE_CHECKING:
    from search.embedding import Embedder
    from search.index import VectorIndex
    from search.reranking import Reranker


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

            return EdgeIndex(settings.data_dir.expanduser(), settings.collection, settings.storage)
        case ServerSettings() as server:
            from search.index.qdrant import QdrantIndex, Sharding, connect

            client = connect(
                server.url,
                api_key=server.api_key.get_secret_value() if server.api_key else None,
                grpc_port=server.grpc_port if server.grpc else None,
                timeout_s=server.timeout_s,
                ca_file=server.ca_file,
            )
            sharding = Sharding(server.shards, server.replicas, server.write_consistency)
            return QdrantIndex(client, settings.collection, server.url, settings.storage, sharding)
        case MemorySettings():
            from search.index.qdrant import QdrantIndex, in_memory

            return QdrantIndex(in_memory(), settings.collection, ":memory:", settings.storage)


def build_corpus_index(settings: Settings, corpus_hash: str, embedder: "Embedder") -> "VectorIndex":
    """The embedded collection of a judged data set's corpus, one for each corpus and embedder, away from the user's own."""
    name = f"{corpus_hash}-{embedder.fingerprint.rpartition('@')[2]}"
    folder = settings.data_dir / "evaluation"
    return build_index(
        settings.model_copy(update={"data_dir": folder, "collection": name, "index": EdgeSettings(), "storage": StorageSettings()})
    )
