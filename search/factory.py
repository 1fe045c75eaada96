"""Settings in, working parts out: the only place that chooses between implementations."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from search.errors import MissingExtra, ModelError, ModelNotFound
from search.network.addresses import without_secrets
from search.settings import (
    CausalSettings,
    ChatSettings,
    CrossEncoderSettings,
    EdgeSettings,
    EmbedderSettings,
    MemorySettings,
    NoReranker,
    ServerSettings,
    Settings,
    embedder_of,
)
from search.system.extras import how_to_install, is_of_extra

if TYPE_CHECKING:
    from search.embedding.dense import Embedder
    from search.embedding.sparse_models import SparseEmbedders
    from search.index.collections import Collections
    from search.index.contract import VectorIndex
    from search.reranking.contract import Reranker


@contextmanager
def needs_extra() -> Iterator[None]:
    """Around the import of a part whose libraries come with an extra: MissingExtra has the command that installs it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if not is_of_extra(error):
            raise
        raise MissingExtra(how_to_install(error)) from error


def _where(settings: Settings) -> dict[str, Any]:
    """Where models run."""
    from search.inference.runtime import at_most_cores

    return {"device": settings.device, "threads": at_most_cores(settings.threads), "cuda": settings.cuda}


@needs_extra()
def build_embedder(settings: Settings) -> "Embedder":
    """The embedder that the settings name for their collection."""
    from search.embedding.dense import FastEmbedEmbedder

    chosen = embedder_of(settings)
    return FastEmbedEmbedder(
        chosen.model,
        cache=settings.model_cache,
        batch_tokens=chosen.batch_tokens,
        query_prompt=chosen.query_prompt,
        passage_prompt=chosen.passage_prompt,
        **_where(settings),
    )


def build_live_embedder(settings: Settings, fingerprint: str, known: "Iterable[Embedder | None]") -> "Embedder":
    """The embedder that a collection was made with: a known one, or the bundled or named one of its name, or ModelNotFound."""
    digest = fingerprint.rpartition("@")[2]
    for one in known:
        if one is not None and one.fingerprint.rpartition("@")[2] == digest:
            return one
    name = fingerprint.rpartition("@")[0]
    try:
        for prompt in (None, ""):  # those of the model, or none
            chosen = EmbedderSettings(model=name, query_prompt=prompt, passage_prompt=prompt)
            embedder = build_embedder(settings.model_copy(update={"embedder": chosen, "collections": {}}))
            if embedder.fingerprint.rpartition("@")[2] == digest:
                return embedder
    except ModelError as error:
        reason = str(error)
    else:
        reason = f"the model of that name is {embedder.fingerprint} now"
    message = f"the live collection was made with {fingerprint}, which is not here to compare with ({reason}); leave out the check"
    raise ModelNotFound(message)


@needs_extra()
def build_words(settings: Settings, before: "SparseEmbedders | None" = None) -> "SparseEmbedders":
    """What makes words, by the settings and, for collections of before, by other settings."""
    from search.embedding.sparse_models import FastEmbedSparseModel, SparseEmbedders, SparseFiles

    def load(files: SparseFiles) -> FastEmbedSparseModel:
        return FastEmbedSparseModel(files, **_where(settings))

    return SparseEmbedders(settings.lexical, settings.model_cache, load, before)


@needs_extra()
def build_reranker(settings: Settings) -> "Reranker | None":
    """The reranker that the settings name."""
    match settings.reranker:
        case CrossEncoderSettings() as chosen:
            from search.reranking import calibrated
            from search.reranking.cross_encoder import CrossEncoder

            reranker = CrossEncoder(
                chosen.model,
                cache=settings.model_cache,
                weight=chosen.weight,
                max_tokens=chosen.max_tokens,
                batch_tokens=chosen.batch_tokens,
                slice_size=chosen.slice_size,
                **_where(settings),
            )
            reranker.recipe = calibrated.with_kept(
                reranker.recipe, calibrated.map_file(chosen.model, reranker.folder, settings.data_dir)
            )
            return reranker
        case CausalSettings() as chosen:
            return _language_model(chosen, settings)
        case ChatSettings() as chosen:
            from search.reranking.chat import ChatReranker

            return ChatReranker(
                chosen.url,
                chosen.model,
                api_key=chosen.key(),
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
    from search.reranking.heads import Listwise, Pairwise
    from search.reranking.language_model import LanguageModel

    model = LanguageModel(
        chosen.model,
        batch_tokens=chosen.batch_tokens,
        weight=chosen.weight,
        instruction=chosen.instruction,
        **_where(settings),
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


def build_collections(settings: Settings) -> "Collections":
    """All collections of the engine that the settings name."""
    match settings.index:
        case EdgeSettings(own_process=True):
            from search.index.edge.process import EdgeProcess

            return EdgeProcess(settings.data_dir)
        case EdgeSettings():
            from search.index.edge.collections import EdgeCollections

            return EdgeCollections(settings.data_dir)
        case ServerSettings() as server:
            from search.index.server.collections import QdrantCollections
            from search.index.server.connection import connect
            from search.index.server.nodes import Agreement
            from search.index.server.sharding import Sharding

            client = connect(
                server.url,
                api_key=server.key(),
                urls=server.urls,
                protocol=server.spoken,
                grpc_port=server.grpc_port,
                timeout_s=server.timeout_s,
                ca_file=server.ca_file,
                agreement=Agreement(server.read_consistency, server.write_ordering),
            )
            sharding = Sharding(server.shards, server.replicas, server.write_consistency, server.shard_key)
            location = " or ".join(dict.fromkeys(without_secrets(one) for one in (server.url, *server.urls)))
            return QdrantCollections(client, location, sharding, layouts=settings.collections)
        case MemorySettings():
            from search.index.server.collections import QdrantCollections
            from search.index.server.connection import in_memory

            return QdrantCollections(in_memory(), ":memory:", layouts=settings.collections)


def build_corpus_index(settings: Settings, corpus_hash: str, embedder: "Embedder") -> "VectorIndex":
    """The embedded collection of a judged data set's corpus, one for each corpus, embedder and words, away from the user's own."""
    name = f"{corpus_hash}-{embedder.fingerprint.rpartition('@')[2]}"
    if words := build_words(settings).description:
        name += f"-{hashlib.sha256(words.encode()).hexdigest()[:16]}"
    folder = settings.data_dir / "evaluation"
    from search.index.edge.index import EdgeIndex

    return EdgeIndex(folder, name)
