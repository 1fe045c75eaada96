"""Which words does a text have by a model, which may see more than those that are written? Sparse models, run by FastEmbed.

SPLADE, miniCOIL, BM42 and the like. A collection's description holds the model's name and the hash of its files, and by these its
words are made, whoever searches it.
"""

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from search.documents import SparseVector
from search.embedding.dense import in_batches
from search.embedding.sparse import SparseEmbedder, describe, noted, words_like
from search.errors import IndexMismatch, InferenceFailed, ModelError, ModelIncomplete
from search.inference.runtime import CPU, Provider, left_to_parent, load_on, loading, running
from search.inference.tokens import TextTokenizer, head
from search.models import fingerprint, locate
from search.settings import ActiveDevice, CudaSettings, Device, LexicalSettings
from search.system.forks import watch

_BATCH_TOKENS = 4096
_BATCH_NUMBERS = 1 << 25  # of a batch's output: SPLADE gives one for each token and word of the vocabulary
_MOST_WORDS = 1 << 32  # as Qdrant numbers them
_SHOWN = 100  # characters of what a collection notes, in messages


class SparseFiles(NamedTuple):
    """A sparse model that is here, not loaded yet."""

    name: str
    digest: str  # of all its files
    idf: bool  # whether the engine is to multiply by inverse document frequencies
    graph: str  # relative to its folder; for a model that has none, some file of it
    expands: bool  # whether its graph weighs all words of the vocabulary, as SPLADE's does, which no other file of it tells
    options: dict[str, Any]  # what FastEmbed loads it by


def find_sparse(settings: LexicalSettings, cache: Path) -> SparseFiles:
    """The model that settings name, by its name or its folder, fetched into FastEmbed's `cache` if need be.

    Raises:
        ModelError: one of its kinds, saying which file or name is at fault.
    """
    with loading(settings.model):
        folder = locate(settings.model, "sparse model")
        if folder is None:
            return _named_files(settings, cache, download=True)
        from search.inference.fastembed import like_folder

        described = like_folder(folder)
        options = {"model_name": described["model"], "specific_model_path": str(folder.path), "cache_dir": str(folder.path)}
        return _files(folder.name, folder.graph, described, options, settings.language)


def _named_files(settings: LexicalSettings, cache: Path, *, download: bool) -> SparseFiles:
    from search.inference.fastembed import SparseModels, fetch

    options = fetch(settings.model, SparseModels, cache, download=download)
    described = next(one for one in SparseModels.list_supported_models() if one["model"].lower() == settings.model.lower())
    return _files(described["model"], described["model_file"], described, options, settings.language)


def _files(name: str, graph: str, described: Mapping[str, Any], options: Mapping[str, Any], language: str) -> SparseFiles:
    from search.inference.fastembed import SparseModels

    whole = {**options, "disable_stemmer": True} if language == "none" else {**options, "language": language}
    # FastEmbed keeps the folder of a downloaded model to itself, and nothing else leads to the bytes of its weights.
    model: Any = SparseModels(**whole, lazy_load=True).model
    path = Path(model._model_dir)  # noqa: SLF001
    others = described["additional_files"]
    return SparseFiles(name, fingerprint(path, graph, others), bool(described["requires_idf"]), graph, not others, whole)


class FastEmbedSparseModel:
    """A loaded sparse model. Texts longer than its window are cut."""

    def __init__(
        self, files: SparseFiles, *, device: Device = "auto", threads: int | None = None, cuda: CudaSettings | None = None
    ) -> None:
        """Load the model.

        Raises:
            ModelError: one of its kinds, saying which file or device is at fault.
        """
        self.name, self.fingerprint = files.name, f"{files.name}@{files.digest}"

        def load(provider: Provider) -> Any:
            from search.inference.fastembed import SparseModels

            where: dict[str, Any] = {"providers": [provider], "threads": threads, "cuda": False}
            model: Any = SparseModels(**files.options, **where, lazy_load=True).model
            if hasattr(model, "load_onnx_model"):
                # A folder may have its graph elsewhere than FastEmbed's model.
                model.model_description = replace(model.model_description, model_file=files.graph)
                model.load_onnx_model()
            return model

        self.device: ActiveDevice = "cpu"
        self.tokenizer: TextTokenizer | None = None  # None for a model that reads everything, and has no graph
        self._batch_tokens = sys.maxsize
        with loading(files.name, files.options):
            if not files.graph.endswith(".onnx"):
                self._model = load(CPU)
            else:
                self._model, self.device = load_on(device, load, lambda loaded: loaded.model, cuda)
                self.tokenizer = TextTokenizer(self._model.tokenizer)
        watch(self)
        if self.tokenizer is not None:
            with running(self.name):
                self._batch_tokens = min(_BATCH_TOKENS, _BATCH_NUMBERS // _checked_width(files, self._model))

    @property
    def max_tokens(self) -> int:
        """The window; sys.maxsize for a model that reads everything."""
        return sys.maxsize if self.tokenizer is None else self.tokenizer.max_tokens

    def after_fork(self) -> None:
        """The threads of the runtime are gone in a forked child."""
        self._model = left_to_parent(self.name, self._model)

    def embed_query(self, text: str) -> SparseVector | None:
        """The words of a query with their weights; None if it has none.

        Raises:
            InferenceFailed: the model gave an error, or a weight that is not finite.
        """
        read = text if self.tokenizer is None else self.tokenizer.cut_query(text, self.tokenizer.query_window).text
        with running(self.name), np.errstate(invalid="ignore"):
            vectors = list(self._model.query_embed(read))
        return self._plain(vectors[0])

    def embed_passages(self, texts: Sequence[str]) -> list[SparseVector | None]:
        """The words of each passage with their weights; None for one that has none.

        Raises:
            InferenceFailed: the model gave an error, too few vectors, or a weight that is not finite.
        """
        made: list[SparseVector | None] = [None] * len(texts)
        texts = [head(text, self.max_tokens) for text in texts]
        tokens = [1] * len(texts) if self.tokenizer is None else [one.tokens for one in self.tokenizer.tally(texts)]
        lengths = [min(one, self.max_tokens) for one in tokens]
        with np.errstate(invalid="ignore"):
            for batch, vectors in in_batches(self.name, self._model, texts, lengths, self._batch_tokens):
                for position, one in zip(batch, vectors, strict=True):
                    made[position] = self._plain(one)
        return made

    def _plain(self, embedding: Any) -> SparseVector | None:
        """A vector of FastEmbed's, without the words that weigh nothing."""
        values = np.asarray(embedding.values, np.float32)
        if not np.isfinite(values).all():
            message = f"the model {self.name} gave a weight that is not finite; the model's weights or precision are at fault"
            raise InferenceFailed(message)
        indices = np.asarray(embedding.indices)[values != 0]
        if indices.size and not 0 <= indices.min() <= indices.max() < _MOST_WORDS:
            raise InferenceFailed(f"the model {self.name} numbers its words from {indices.min()} to {indices.max()}")
        return SparseVector(indices.tolist(), values[values != 0].tolist()) if indices.size else None


def _checked_width(files: SparseFiles, model: Any) -> int:
    """How many numbers the graph gives for a token. FastEmbed takes whatever comes for weights of words.

    Raises:
        ModelIncomplete: it is no graph of this kind; the message says which, and what may be done.
    """
    outputs = [output.name for output in model.model.get_outputs()]
    if missing := set(model.ONNX_OUTPUT_NAMES or []) - set(outputs):
        raise ModelIncomplete(
            f"the model {files.name} has the files of {model.model_name}, but its graph gives {' and '.join(outputs)}, not "
            f"{' and '.join(missing)}; copy the whole folder of the model again"
        )
    shape = np.shape(model.onnx_embed(["words"]).model_output)
    vocabulary = model.tokenizer.get_vocab_size()
    if files.expands and (len(shape) != 3 or shape[2] < vocabulary):  # noqa: PLR2004
        raise ModelIncomplete(
            f"the model {files.name} gives {' x '.join(map(str, shape))} numbers for one text ({outputs[0]}), not a weight for "
            f"each of the {vocabulary:,} words of its tokenizer: name a sparse model, such as SPLADE, with all files of its "
            "folder, and exported with its head (fill-mask)"
        )
    return max(int(shape[-1]), 1)


class _Words:
    """A model as a collection asks it."""

    def __init__(self, model: FastEmbedSparseModel, fields: tuple[str, ...]) -> None:
        self.embed_query, self.embed_passages = model.embed_query, model.embed_passages
        self.fields = fields

    def words_to_check(self, text: str) -> dict[str, SparseVector]:  # noqa: ARG002  # as the protocol has it
        """None: a model reads a misspelt word in parts."""
        return {}

    def spelt_like(self, word: str) -> SparseVector | None:  # noqa: ARG002
        """Nothing, likewise."""
        return None

    def stand_ins(self, word: str, spelt_like: SparseVector, texts: Sequence[str]) -> list[str]:  # noqa: ARG002
        """None, likewise."""
        return []


class SparseEmbedders:
    """What makes words: for new collections as the settings say, for others as is noted with them. Each model is loaded once.

    Safe to call from several threads.
    """

    def __init__(
        self,
        lexical: LexicalSettings,
        cache: Path,
        load: Callable[[SparseFiles], FastEmbedSparseModel],
        before: "SparseEmbedders | None" = None,
    ) -> None:
        """Keep what words are made by; nothing is loaded.

        Those `before` are of other settings, and know models that these do not; what they have loaded is shared.
        """
        self._lexical = lexical
        self._cache = cache
        self._load = load
        self._before = before
        self._files: SparseFiles | None = None  # of the settings' model
        self._models: dict[tuple[str, str], FastEmbedSparseModel] = {}  # by hash and language
        self._loading = threading.RLock()
        if before is not None:
            self._models, self._loading = before._models, before._loading  # noqa: SLF001  # another of its kind

    @property
    def description(self) -> str:
        """What the words of new collections depend on; empty for none. ModelError if the settings' model is not here."""
        if not self._is_model:
            return describe(self._lexical)
        files = self._named()
        return describe(self._lexical.model_copy(update={"model": files.name}), fingerprint=files.digest, idf=files.idf)

    @property
    def model(self) -> FastEmbedSparseModel | None:
        """The settings' model, loaded (ModelError if it cannot be); None for BM25 and for none."""
        if not self._is_model:
            return None
        with self._loading:
            files = self._named()
            return self._loaded((files.digest, self._lexical.language), lambda: files)

    def __call__(self, description: str) -> SparseEmbedder | None:
        """What makes words like those of a collection, by its description; None for a collection without.

        Raises:
            IndexMismatch: its model is not here, or another version of this program made them.
            ModelError: the model cannot be loaded.
        """
        settings, more = noted(description)
        if settings is None or not isinstance(more.get("fingerprint"), str):
            return words_like(description)
        try:
            digest = more["fingerprint"]
            model = self._loaded((digest, settings.language), lambda: self._like(settings, digest))
            return _Words(model, settings.fields)
        except IndexMismatch:
            if self._before is None:
                raise
            return self._before(description)

    @property
    def _is_model(self) -> bool:
        return self._lexical.model not in {"bm25", "none"}

    def _named(self) -> SparseFiles:
        with self._loading:
            if self._files is None:
                self._files = find_sparse(self._lexical, self._cache)
            return self._files

    def _like(self, settings: LexicalSettings, digest: str) -> SparseFiles:
        """The settings' own model, or one of FastEmbed's that was downloaded before: what a collection notes fetches nothing."""
        here = "lexical.model is " + self._lexical.model
        if self._is_model:
            named = self._named()
            if named.digest == digest:
                same = self._lexical.language == settings.language
                return named if same else find_sparse(self._lexical.model_copy(update={"language": settings.language}), self._cache)
            here += f", and that is {named.name}@{named.digest} now"
        with suppress(ModelError), loading(settings.model):
            files = _named_files(settings, self._cache, download=False)
            if files.digest == digest:
                return files
        raise IndexMismatch(
            f"the collection's words were made by the model {settings.model[:_SHOWN]}@{digest[:_SHOWN]}, which is not here "
            f"({here}): set lexical.model to it, or bring the collection over to what the settings name with `search reindex`, "
            "which embeds nothing again but words, or search it with --retrieval dense"
        )

    def _loaded(self, key: tuple[str, str], find: Callable[[], SparseFiles]) -> FastEmbedSparseModel:
        with self._loading:
            if key not in self._models:
                self._models[key] = self._load(find())
            return self._models[key]
