"""What is the vector of a text? Dense models, run by FastEmbed."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from fastembed import TextEmbedding
from fastembed.common.model_description import ModelSource, PoolingType
from numpy.typing import NDArray

from search.errors import InferenceFailed, ModelIncomplete
from search.inference.batching import plan_batches
from search.inference.hub import fetch, registering
from search.inference.runtime import Provider, load_on, loading, running, sharing_cores
from search.inference.tokens import TextTokenizer
from search.models import LOCAL, ModelFolder, fingerprint, locate
from search.models.files import read_json
from search.settings import ActiveDevice, CudaSettings, Device

Vector = NDArray[np.float32]
Matrix = NDArray[np.float32]


class Embedder(Protocol):
    """Turns texts into unit vectors. Texts longer than the window are cut; `tokenizer` tells which."""

    name: str
    device: ActiveDevice
    dimension: int
    fingerprint: str  # what the vectors depend on: weights, tokenizer, pooling, window
    tokenizer: TextTokenizer

    def embed_query(self, text: str) -> Vector:
        """One query as float32 (dimension,), of length 1."""

    def embed_passages(self, texts: Sequence[str]) -> Matrix:
        """Passages as float32 (n, dimension), rows of length 1, or 0 for a text of no known token; no row depends on another."""


class _Sharing(TextEmbedding):
    EMBEDDINGS_REGISTRY = sharing_cores(TextEmbedding.EMBEDDINGS_REGISTRY)


class FastEmbedEmbedder:
    """Any dense model that FastEmbed runs: bundled, in a local folder, or by FastEmbed's name for it."""

    def __init__(
        self,
        model: str,
        *,
        device: Device = "auto",
        threads: int | None = None,
        cache: Path,
        batch_tokens: int = 4096,
        cuda: CudaSettings | None = None,
    ) -> None:
        """Load the model.

        Raises:
            ModelError: one of its kinds, saying which file, name or device is at fault.
        """
        options: dict[str, Any] = {"threads": threads, "cuda": False}
        with loading(model):
            folder = locate(model)
            self.name = folder.name if folder else model
            if folder is None:
                names = [description["model"] for description in supported_models()]
                options |= fetch(model, "embedder", names, TextEmbedding, cache)
            else:
                options |= _registered(folder)

        def load(provider: Provider) -> Any:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".* is a static model", UserWarning)  # as `device` will say
                return _Sharing(providers=[provider], **options).model

        with loading(model):
            self._model, self.device = load_on(device, load, lambda loaded: getattr(loaded, "model", None), cuda)
            self.tokenizer = TextTokenizer(self._model.tokenizer)
        self._batch_tokens = batch_tokens
        self.dimension = self.embed_query("dimension").shape[0]
        if folder is None:
            # FastEmbed keeps the folder of a downloaded model to itself, and nothing else leads to the bytes of its weights.
            digest = fingerprint(Path(self._model._model_dir), self._model.model_description.model_file)  # noqa: SLF001
        else:
            digest = folder.fingerprint
        self.fingerprint = f"{self.name}@{digest}"

    def embed_query(self, text: str) -> Vector:
        """One query as float32 (dimension,), of length 1.

        Raises:
            InferenceFailed: the model gave an error, or a vector that is not finite.
        """
        with running(self.name):
            vectors = list(self._model.query_embed(text))
        vector: Vector = _unit_rows(vectors, "query")[0]
        return vector

    def embed_passages(self, texts: Sequence[str]) -> Matrix:
        """Passages as float32 (n, dimension), rows of length 1, or 0 for a text of no known token; no row depends on another.

        Raises:
            InferenceFailed: the model gave an error, too few vectors, or one that is not finite.
        """
        matrix = np.empty((len(texts), self.dimension), np.float32)
        lengths = [min(tally.tokens, self.tokenizer.max_tokens) for tally in self.tokenizer.tally(texts)]
        for batch in plan_batches(lengths, self._batch_tokens):
            with running(self.name):
                vectors = list(self._model.passage_embed([texts[i] for i in batch], batch_size=len(batch)))
            if len(vectors) != len(batch):
                message = f"the model {self.name} gave {len(vectors)} vectors for {len(batch)} texts"
                raise InferenceFailed(message)
            matrix[batch] = _unit_rows(vectors, "passage")
        return matrix


def supported_models() -> list[dict[str, Any]]:
    """The dense models FastEmbed serves by name."""
    return TextEmbedding.list_supported_models()


def _unit_rows(vectors: list[Any], kind: str) -> Matrix:
    rows = np.stack(vectors).astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(rows).all():
        message = f"the embedder gave a {kind} vector that is not finite; the model's weights or precision are at fault"
        raise InferenceFailed(message)
    lengths[lengths == 0] = 1  # a static model gives zeros for a text it knows nothing of
    unit: Matrix = rows / lengths
    return unit


def _registered(folder: ModelFolder) -> dict[str, Any]:
    """Make a folder known to FastEmbed under its fingerprint; the registry holds a name once and for all."""
    dimension = folder.config.get("hidden_size") or folder.recipe.get("dimension")
    if not dimension:
        message = f"{folder.path}/config.json must state hidden_size, the dimension of the vectors"
        raise ModelIncomplete(message)
    name = f"{LOCAL}{folder.fingerprint}"
    with registering:
        if name not in {description["model"] for description in supported_models()}:
            TextEmbedding.add_custom_model(
                model=name,
                pooling=_pooling(folder),
                normalization=True,
                sources=ModelSource(hf=name),
                dim=int(dimension),
                model_file=folder.graph,
            )
    return {"model_name": name, "specific_model_path": str(folder.path), "cache_dir": str(folder.path)}


def _pooling(folder: ModelFolder) -> PoolingType:
    """From the recipe, else from sentence-transformers' own file, else the mean."""
    if "pooling" in folder.recipe:
        return PoolingType(str(folder.recipe["pooling"]).upper())
    file = folder.path / "1_Pooling" / "config.json"
    modes = read_json(file, {"pooling_mode_mean_tokens": True})
    known = {
        "pooling_mode_mean_tokens": PoolingType.MEAN,
        "pooling_mode_cls_token": PoolingType.CLS,
        "pooling_mode_lasttoken": PoolingType.LAST_TOKEN,
    }
    wanted = [mode for mode, on in modes.items() if mode.startswith("pooling_mode_") and on is True]
    if len(wanted) != 1 or wanted[0] not in known:
        message = f"{file} asks for the pooling {' and '.join(wanted) or 'none'}; one of {', '.join(known)} can be run"
        raise ModelIncomplete(message)
    return known[wanted[0]]
