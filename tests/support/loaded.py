"""Models, loaded once in this process: else every searcher and service of the tests would load its own."""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
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


@lru_cache(maxsize=8)
def _of_folder(_files: tuple[tuple[str, int, int], ...], chosen: str) -> Embedder:
    settings = json.loads(chosen)
    return factory.build_embedder(Settings(data_dir=_NOWHERE, model_cache=_NOWHERE, **settings))


def _files_of(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """What is in a folder: another model, or none, once somebody changed it."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)


def build_embedder(settings: Settings) -> Embedder:
    """A copy of it, which a test may change; a model by name is loaded."""
    chosen = embedder_of(settings)
    if chosen.model.startswith("/") and Path(chosen.model).is_dir():
        given = {"embedder": chosen.model_dump(mode="json"), "device": settings.device, "threads": settings.threads}
        made = copy.copy(_of_folder(_files_of(Path(chosen.model)), json.dumps(given, sort_keys=True)))
    elif settings.device == "auto" and chosen == EmbedderSettings():
        made = copy.copy(_embedder(settings.threads))
    else:
        return factory.build_embedder(settings)
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
