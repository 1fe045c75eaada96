"""The bundled models, loaded once in this process: else every searcher and service of the tests would load its own."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from unittest.mock import patch

from search import factory
from search.embedding.dense import Embedder, FastEmbedEmbedder
from search.reranking import calibrated
from search.reranking.contract import Reranker
from search.reranking.cross_encoder import CrossEncoder
from search.settings import CrossEncoderSettings, EmbedderSettings, Settings, embedder_of
from search.system.forks import watch

_NOWHERE = Path("/nonexistent")


@cache
def _embedder(threads: int | None) -> Embedder:
    return factory.build_embedder(Settings(data_dir=_NOWHERE, model_cache=_NOWHERE, threads=threads))


@cache
def _reranker(threads: int | None) -> Reranker | None:
    return factory.build_reranker(Settings(data_dir=_NOWHERE, model_cache=_NOWHERE, threads=threads))


def build_embedder(settings: Settings) -> Embedder:
    """A copy of it, which a test may change; any other model is loaded."""
    if settings.device != "auto" or embedder_of(settings) != EmbedderSettings():
        return factory.build_embedder(settings)
    made = copy.copy(_embedder(settings.threads))
    assert isinstance(made, FastEmbedEmbedder)
    watch(made)
    return made


def build_reranker(settings: Settings) -> Reranker | None:
    """Likewise, with the map of scores to probabilities that stands in the data folder."""
    if settings.device != "auto" or settings.reranker != CrossEncoderSettings():
        return factory.build_reranker(settings)
    made = copy.copy(_reranker(settings.threads))
    assert isinstance(made, CrossEncoder)
    kept = calibrated.map_file(settings.reranker.model, made.folder, settings.data_dir)
    watch(made)
    made.recipe = calibrated.with_kept(made.recipe, kept)
    return made


@contextmanager
def loaded_once() -> Iterator[None]:
    """Every searcher gets them."""
    with patch.multiple("search.searcher", build_embedder=build_embedder, build_reranker=build_reranker):
        yield
