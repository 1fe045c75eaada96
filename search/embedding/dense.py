"""What is the vector of a text? Dense models of FastEmbed's kind."""

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from search.documents import counted
from search.embedding.pooling import Pooling, pooling_of
from search.embedding.prompts import Prompts, prompts_of
from search.errors import InferenceFailed, ModelIncomplete
from search.inference.batching import plan_batches
from search.inference.bundled import BundledModel, is_bundled
from search.inference.runtime import CPU, Provider, left_to_parent, load_on, loading, running
from search.inference.tokens import LEAST_ROOM, PromptTokens, TextTokenizer, head
from search.models import ModelFolder, fingerprint, locate
from search.settings import ActiveDevice, CudaSettings, Device
from search.system.forks import watch

Vector = NDArray[np.float32]
Matrix = NDArray[np.float32]

_WIDEST = 65_536  # dimensions, as Qdrant has it
_RECIPE = {"dimension", "passage_prompt", "pooling", "query_prompt"}  # what the recipe of an embedder may say


class Embedder(Protocol):
    """Turns texts into unit vectors. Texts longer than the window are cut; `tokenizer` tells which."""

    name: str
    device: ActiveDevice
    dimension: int
    fingerprint: str  # what passages' vectors depend on: weights, tokenizer, pooling, window, prompt
    tokenizer: TextTokenizer

    def embed_query(self, text: str) -> Vector:
        """One query as float32 (dimension,), of length 1."""

    def embed_passages(self, texts: Sequence[str]) -> Matrix:
        """Passages as float32 (n, dimension), rows of length 1, or 0 for a text of no known token; no row depends on another."""


def known_embedders(dimension: int) -> list[str]:
    """The names of the models that FastEmbed serves with vectors of this dimension."""
    from search.inference.fastembed import Embedders

    return [one["model"] for one in Embedders.list_supported_models() if one["dim"] == dimension]


class FastEmbedEmbedder:
    """Any dense model of FastEmbed's kind: bundled, in a local folder, or by FastEmbed's name for it."""

    def __init__(
        self,
        model: str,
        *,
        device: Device = "auto",
        threads: int | None = None,
        cache: Path,
        batch_tokens: int = 4096,
        cuda: CudaSettings | None = None,
        query_prompt: str | None = None,
        passage_prompt: str | None = None,
    ) -> None:
        """Load the model. All choices are those of EmbedderSettings and Settings.

        Raises:
            ModelError: one of its kinds, saying which file, name or device is at fault.
        """
        with loading(model):
            folder = locate(model, "embedder")
            self.name = folder.name if folder else model
            pooling = None if folder is None else _described(folder)
            own = prompts_of(model, folder)
            self._prompts = Prompts(
                own.query if query_prompt is None else query_prompt, own.passage if passage_prompt is None else passage_prompt
            )
            options = {} if is_bundled(folder) else _options(model, folder, cache)

        def load(provider: Provider) -> Any:
            if is_bundled(folder) and provider == CPU:
                return BundledModel(folder, provider, threads)
            from search.inference.fastembed import Embedders

            where: dict[str, Any] = {"providers": [provider], "threads": threads, "cuda": False}
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".* is a static model", UserWarning)  # as `device` will say
                return Embedders(**where, **options or _options(model, folder, cache)).model

        with loading(model, options):
            self._model, self.device = load_on(device, load, lambda loaded: getattr(loaded, "model", None), cuda)
            self.tokenizer = TextTokenizer(self._model.tokenizer)
        self._leave_room(pooling)
        watch(self)
        self._batch_tokens = batch_tokens
        if folder is not None and not is_bundled(folder):
            with running(self.name):
                _check_output(folder, self._model)
        self.dimension = self.embed_query("dimension").shape[0]
        self.fingerprint = f"{self.name}@{self._digest(folder, pooling)}"

    def _leave_room(self, pooling: Pooling | None) -> None:
        """Count the tokens of prompts; ModelIncomplete if no text fits the window behind them, or they may not be pooled."""
        prompts = [prompt for prompt in self._prompts if prompt]
        if prompts and pooling is not None and not pooling.with_prompt:
            raise ModelIncomplete(
                f"the model {self.name} leaves its prompt out of the pooling (include_prompt), which is not run here; do without "
                'prompts (embedder.query_prompt = "", embedder.passage_prompt = ""), or name another model'
            )
        if self.tokenizer.window < LEAST_ROOM:
            raise ModelIncomplete(
                f"the model {self.name} reads {self.tokenizer.max_tokens} tokens by its tokenizer_config.json, which leaves no "
                "room for a text; correct model_max_length there"
            )
        self.tokenizer.prompts = PromptTokens(*(self.tokenizer.tally([one])[0].tokens if one else 0 for one in self._prompts))
        if min(self.tokenizer.window, self.tokenizer.query_window) < LEAST_ROOM:
            raise ModelIncomplete(
                f"the model {self.name} reads {self.tokenizer.max_tokens} tokens, and a prompt of {max(self.tokenizer.prompts)} "
                "leaves no room for a text; shorten it (embedder.query_prompt, embedder.passage_prompt)"
            )

    def _digest(self, folder: ModelFolder | None, pooling: Pooling | None) -> str:
        """The hash of the model's files, and of what passages' vectors depend on that those do not say."""
        if folder is None:
            # FastEmbed keeps the folder of a downloaded model to itself, and nothing else leads to the bytes of its weights.
            digest = fingerprint(Path(self._model._model_dir), self._model.model_description.model_file)  # noqa: SLF001
        else:
            digest = folder.fingerprint
        more = [] if pooling is None or pooling.hashed else [pooling.mode]
        if self._prompts.passage != ("" if folder is None else folder.recipe.get("passage_prompt") or ""):
            more.append(f"passage_prompt {self._prompts.passage}")
        return hashlib.sha256("\n".join([digest, *more]).encode()).hexdigest()[:16] if more else digest

    def after_fork(self) -> None:
        """The threads of the runtime are gone in a forked child."""
        self._model = left_to_parent(self.name, self._model)

    def embed_query(self, text: str) -> Vector:
        """One query as float32 (dimension,), of length 1; of one longer than the window, its first and its last part.

        Raises:
            InferenceFailed: the model gave an error, or a vector that is not finite.
        """
        read = self.tokenizer.cut_query(text, self.tokenizer.query_window).text
        with running(self.name):
            vectors = list(self._model.query_embed(self._prompts.query + read))
        vector: Vector = _unit_rows(vectors, "query")[0]
        return vector

    def embed_passages(self, texts: Sequence[str]) -> Matrix:
        """Passages as float32 (n, dimension), rows of length 1, or 0 for a text of no known token; no row depends on another.

        Raises:
            InferenceFailed: the model gave an error, too few vectors, or one that is not finite.
        """
        matrix = np.empty((len(texts), self.dimension), np.float32)
        texts = [self._prompts.passage + head(text, self.tokenizer.max_tokens) for text in texts]
        lengths = [min(tally.tokens, self.tokenizer.max_tokens) for tally in self.tokenizer.tally(texts)]
        for batch, vectors in in_batches(self.name, self._model, texts, lengths, self._batch_tokens):
            matrix[batch] = _unit_rows(vectors, "passage")
        return matrix


def in_batches(
    name: str, model: Any, texts: Sequence[str], lengths: Sequence[int], batch_tokens: int
) -> Iterator[tuple[list[int], list[Any]]]:
    """What a model of FastEmbed's kind gives for passages, batch by batch, each with the places of its texts.

    Raises:
        InferenceFailed: the model gave an error, or too few vectors.
    """
    for batch in plan_batches(lengths, batch_tokens):
        with running(name):
            vectors = list(model.passage_embed([texts[i] for i in batch], batch_size=len(batch)))
        if len(vectors) != len(batch):
            raise InferenceFailed(f"the model {name} gave {counted(len(vectors), 'vector')} for {counted(len(batch), 'text')}")
        yield batch, vectors


def _unit_rows(vectors: list[Any], kind: str) -> Matrix:
    rows = np.stack(vectors).astype(np.float32)
    if rows.ndim != 2 or rows.shape[1] == 0:  # noqa: PLR2004
        given, texts = " x ".join(map(str, rows.shape)), counted(len(vectors), "text")
        message = f"the embedder gave {given} numbers for {texts}, not a vector for each"
        raise InferenceFailed(message)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(rows).all():
        message = f"the embedder gave a {kind} vector that is not finite; the model's weights or precision are at fault"
        raise InferenceFailed(message)
    lengths[lengths == 0] = 1  # a static model gives zeros for a text it knows nothing of
    unit: Matrix = rows / lengths
    return unit


def _options(model: str, folder: ModelFolder | None, cache: Path) -> dict[str, Any]:
    """What FastEmbed loads the model by."""
    from search.inference.fastembed import Embedders, fetch, register

    if folder is None:
        return fetch(model, Embedders, cache)
    return register(folder, Embedders, pooling=pooling_of(folder).mode, dim=_width(folder))


def _described(folder: ModelFolder) -> Pooling:
    """How a folder's model is pooled; ModelIncomplete if its recipe says something else than an embedder's may."""
    if others := sorted(set(folder.recipe) - _RECIPE):
        raise ModelIncomplete(
            f"the recipe.json of {folder.path} has {', '.join(others)[:80]}, and that of an embedder {', '.join(sorted(_RECIPE))} "
            "alone: take it out, or name the model as the reranker, if it is one"
        )
    return pooling_of(folder)


def _width(folder: ModelFolder) -> int:
    """How many numbers the vectors have, as the folder says."""
    width = folder.recipe.get("dimension") or folder.config.get("hidden_size")
    if not width:
        raise ModelIncomplete(f"{folder.path}/config.json must state hidden_size, the dimension of the vectors")
    if not isinstance(width, int) or isinstance(width, bool) or not 0 < width <= _WIDEST:
        message = f"{folder.path} says that its vectors have {str(width)[:20]} dimensions; correct hidden_size in its config.json"
        raise ModelIncomplete(message)
    return width


def _check_output(folder: ModelFolder, model: Any) -> None:
    """Check the shape of the graph's output: vectors of tokens where they are pooled, otherwise vectors of texts.

    Raises:
        ModelIncomplete: the shape is another one; the message says which, and what may be done.
    """
    name, pooling = model.model.get_outputs()[0].name, pooling_of(folder).mode
    shape = np.shape(model.onnx_embed(["dimension"]).model_output)
    wanted = 2 if pooling == "DISABLED" else 3
    problem = ""
    if name == "logits":
        problem = "gives the logits of a head, not vectors: export it without (feature extraction), or name another model"
    elif len(shape) == 2 < wanted:  # noqa: PLR2004
        problem = (
            f'gives one vector a text ({name}), and there is nothing to pool: write {{"pooling": "disabled"}} into its recipe.json'
        )
    elif len(shape) != wanted:
        problem = f"gives {' x '.join(map(str, shape))} numbers for one text ({name}): name the pooling in its recipe.json"
    elif wanted == 3 and shape[2] != _width(folder):  # noqa: PLR2004
        problem = f"gives vectors of {shape[2]} dimensions ({name}), and {_width(folder)} by its "
        if folder.recipe.get("dimension"):
            problem += f"recipe.json: write {shape[2]} there; vectors are not shortened"
        else:
            problem += (
                "config.json: export it for feature extraction, or, if they are meant, write "
                f'{{"dimension": {shape[2]}}} into its recipe.json'
            )
    if problem:
        raise ModelIncomplete(f"the model {folder.name} {problem}")
