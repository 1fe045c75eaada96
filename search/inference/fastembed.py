"""A model that FastEmbed runs: by its name for it, on this machine already or to be fetched, or in a folder.

Importing this takes a third of a second, and brings image models, the hub's client and its HTTP libraries: it is done late.
"""

import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import onnxruntime
from fastembed import SparseTextEmbedding, TextEmbedding
from fastembed.common.model_description import ModelSource, PoolingType
from fastembed.rerank.cross_encoder import TextCrossEncoder
from huggingface_hub import constants
from loguru import logger

from search.errors import ModelNotFound, ModelUnavailable
from search.inference.runtime import first_line, share_cores
from search.inference.session import fit_window
from search.models import ModelFolder, of_another_kind
from search.models.files import is_there, read_json
from search.models.tokenizer_files import plain_tokenizer_files
from search.settings import variable

logger.disable("fastembed")  # whose errors become ours, in one message
_ELSEWHERE = "from the cache of a machine that has it"
_FEW = 10  # names, that a message lists
registering = threading.Lock()  # FastEmbed's registries are lists without one
if hasattr(os, "register_at_fork"):  # so that no child begins with a lock that a thread of its parent holds
    os.register_at_fork(before=registering.acquire, after_in_parent=registering.release, after_in_child=registering.release)


def adapted(registry: Iterable[Any]) -> list[Any]:
    """FastEmbed's classes of models, but with sessions that `share_cores`, and for tokenizer files in every spelling.

    A download is tried once: FastEmbed waits 39 seconds between three tries, and the hub's client tries again by itself.
    """
    return [_with_session(_once(kind)) if hasattr(kind, "add_extra_session_options") else _once(kind) for kind in registry]


def _once(kind: Any) -> Any:
    class Once(kind):  # type: ignore[misc]  # of a kind that is known when it runs
        _fault: Exception | None = None  # of the hub, which FastEmbed only logs

        @classmethod
        def download_files_from_huggingface(cls, *args: Any, **kwargs: Any) -> str:
            try:
                folder: str = super().download_files_from_huggingface(*args, **kwargs)
            except Exception as fault:
                cls._fault = fault
                raise
            return folder

        @classmethod
        def download_model(cls, model: Any, cache_dir: str, retries: int = 1, **kwargs: Any) -> Path:
            try:
                folder: Path = super().download_model(model, cache_dir, retries, **kwargs)
            except ValueError as error:
                raise error from cls._fault
            finally:
                cls._fault = None
            return folder

    return Once


def _with_session(kind: Any) -> Any:
    class Adapted(kind):  # type: ignore[misc]
        @classmethod
        def add_extra_session_options(cls, session_options: onnxruntime.SessionOptions, extra_options: dict[str, Any]) -> None:
            super().add_extra_session_options(session_options, extra_options)
            share_cores(session_options)

        def _load_tokenizer(self, model_dir: Path) -> None:
            with plain_tokenizer_files(Path(model_dir)) as folder:
                super()._load_tokenizer(folder)
            if self.model is not None:
                fit_window(self.tokenizer, self.model, read_json(Path(model_dir) / "config.json", default={}))

    return Adapted


class Embedders(TextEmbedding):
    """FastEmbed's dense models, adapted."""

    EMBEDDINGS_REGISTRY = adapted(TextEmbedding.EMBEDDINGS_REGISTRY)
    kind = "embedder"


class Rerankers(TextCrossEncoder):
    """FastEmbed's cross-encoders, adapted."""

    CROSS_ENCODER_REGISTRY = adapted(TextCrossEncoder.CROSS_ENCODER_REGISTRY)
    kind = "reranker"


class SparseModels(SparseTextEmbedding):
    """FastEmbed's sparse models, adapted."""

    EMBEDDINGS_REGISTRY = adapted(SparseTextEmbedding.EMBEDDINGS_REGISTRY)
    kind = "sparse model"


def fetch(model: str, models: type[Embedders | Rerankers | SparseModels], cache: Path, *, download: bool = True) -> dict[str, Any]:
    """Make sure that the files of a named model are in FastEmbed's cache, and give the options that load it from there.

    Raises:
        ModelNotFound: FastEmbed does not know the name.
        ModelUnavailable: the files are not here, and could not be downloaded, or may not.
    """
    names = [description["model"] for description in models.list_supported_models()]
    if model.lower() not in map(str.lower, names):
        for others in (Embedders, Rerankers, SparseModels):
            if model.lower() in [description["model"].lower() for description in others.list_supported_models()]:
                raise of_another_kind(model, others.kind, models.kind)
        listed = f" ({', '.join(names)})" if len(names) <= _FEW else ""
        message = f"no {models.kind} is called {model!r}; `search models --all` lists the names{listed}, or give the path of a "
        message += "model folder"
        if is_there(Path(model)):
            message += ", and what stands there under this name holds no model"
        raise ModelNotFound(message)
    here: dict[str, Any] = {"model_name": model, "cache_dir": str(cache), "local_files_only": True}
    try:
        models(**here, lazy_load=True)
    except (ValueError, OSError) as absent:
        kept = _kept_in(here)
        missing = f"the model {model} is not, or not whole, in {cache}"
        copy = f"copy {kept.name if kept else 'it'} there {_ELSEWHERE}"
        if not download:
            raise ModelUnavailable(missing) from absent
        if _offline():
            raise ModelUnavailable(f"{missing}, and HF_HUB_OFFLINE forbids to download it; unset that, or {copy}") from absent
        from search.network.transport import check_proxies  # which only a download needs

        check_proxies(ModelUnavailable)
        try:
            models(model_name=model, cache_dir=str(cache), lazy_load=True)
        except Exception as error:
            why = first_line(error.__cause__ or error)
            raise ModelUnavailable(
                f"{missing} and could not be downloaded ({why}); connect this machine to the model hub, or {copy}"
            ) from error
    return here


def _offline() -> bool:
    """Whether the hub's client may not ask it, by what it was imported with or by what holds now, as FastEmbed has it."""
    return constants.HF_HUB_OFFLINE or variable("HF_HUB_OFFLINE").strip().upper() in constants.ENV_VARS_TRUE_VALUES


def mend(options: Mapping[str, Any]) -> str:
    """What to do where a model's download is damaged; empty if such options load none."""
    kept = _kept_in(options) if "local_files_only" in options else None
    if kept is None:
        return ""
    return f"; copy {kept} again {_ELSEWHERE}" if _offline() else f"; delete {kept}, and it is downloaded again"


def _kept_in(options: Mapping[str, Any]) -> Path | None:
    """The folder of FastEmbed's cache from which such options load a named model; None if it would be called otherwise."""
    known = [one for kind in (Embedders, Rerankers, SparseModels) for one in kind.list_supported_models()]
    sources: Mapping[str, str | None] = next(
        (one["sources"] for one in known if one["model"].lower() == options["model_name"].lower()), {}
    )
    repository = sources.get("hf")
    return Path(options["cache_dir"]) / f"models--{repository.replace('/', '--')}" if repository else None


def register(folder: ModelFolder, models: type[Embedders | Rerankers], **described: Any) -> dict[str, Any]:
    """Make a folder known to FastEmbed, whose registry holds a name once and for all, and give the options that load it.

    An embedder is described by pooling and dim, as FastEmbed has them.
    """
    name = folder.registered
    if "pooling" in described:
        name += f"-{described['pooling']}"
        described |= {"pooling": PoolingType(described["pooling"]), "normalization": True}
    with registering:
        if name not in {description["model"] for description in models.list_supported_models()}:
            models.add_custom_model(model=name, sources=ModelSource(hf=name), model_file=folder.graph, **described)
    return {"model_name": name, "specific_model_path": str(folder.path), "cache_dir": str(folder.path)}


def like_folder(folder: ModelFolder) -> dict[str, Any]:
    """FastEmbed's description of the sparse model that a folder's files are those of: the one that has most of them.

    FastEmbed runs a folder by the name of a model that it knows, and takes no other sparse ones.
    """
    known = SparseModels.list_supported_models()
    whole = [one for one in known if all(is_there(folder.path / file) for file in one["additional_files"])]
    return max(whole, key=lambda one: len(one["additional_files"]))
