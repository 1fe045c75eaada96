"""Cross-encoders: query and text go through one encoder together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.documents import counted
from search.errors import InferenceFailed, ModelIncomplete
from search.inference.batching import plan_batches
from search.inference.bundled import BundledModel, is_bundled
from search.inference.runtime import CPU, Provider, left_to_parent, load_on, loading, running
from search.inference.session import feed
from search.inference.tokens import LEAST_ROOM, Cut, TextTokenizer
from search.models import ModelFolder, locate
from search.reranking.contract import Deadline, Scoring, Vector, check_texts, slices
from search.reranking.recipe import Recipe
from search.reranking.selftest import self_test
from search.settings import CudaSettings, Device
from search.system.forks import watch

_FEW = 40  # labels, and characters of one, that a message quotes


class CrossEncoder:
    """Any cross-encoder of FastEmbed's kind: bundled, in a local folder, or by FastEmbed's name for it."""

    def __init__(
        self,
        model: str,
        *,
        device: Device = "auto",
        threads: int | None = None,
        cache: Path,
        weight: float | None = None,
        max_tokens: int | None = None,
        batch_tokens: int = 4096,
        slice_size: int = 8,
        cuda: CudaSettings | None = None,
    ) -> None:
        """Load the model and test it. All choices are those of CrossEncoderSettings and Settings.

        Raises:
            ModelError: one of its kinds, saying which file, name or device is at fault.
        """
        with loading(model):
            folder = self.folder = locate(model, "reranker")
            self.name = folder.name if folder else model
            options = {} if is_bundled(folder) else _options(model, folder, cache)

        recipe = Recipe.read(folder.recipe, f"the recipe of {folder.name}") if folder else Recipe()
        if recipe.head is not None:
            raise ModelIncomplete(f"{model} is a language model; set the reranker's kind to causal (SEARCH_RERANKER__KIND=causal)")

        def load(provider: Provider) -> Any:
            if is_bundled(folder) and provider == CPU:
                return BundledModel(folder, provider, threads)
            from search.inference.fastembed import Rerankers

            where: dict[str, Any] = {"providers": [provider], "threads": threads, "cuda": False}
            return Rerankers(**where, **options or _options(model, folder, cache)).model

        with loading(model, options):
            self._model, self.device = load_on(device, load, lambda loaded: loaded.model, cuda)
            self._tokenizer = TextTokenizer(self._model.tokenizer)
        self._window = self._shortened_window(max_tokens)
        recipe = recipe if weight is None else recipe.weighted(weight)
        self.recipe = recipe.model_copy(update={"max_tokens": self._window})
        watch(self)
        self._batch_tokens = batch_tokens
        self._slice_size = slice_size
        self._labels = _labels(folder.config) if folder else ""
        self._logits("cat", ["A cat."])  # which refuses a head that gives something else than a score
        self.verified = self_test(self.name, self.recipe, self.score)

    def _shortened_window(self, max_tokens: int | None) -> int:
        """The tokens that the model reads of query and text, no more than the settings allow."""
        window = min(max_tokens or self._tokenizer.max_tokens, self._tokenizer.max_tokens)
        if window - self._tokenizer.special_tokens(pair=True) < LEAST_ROOM:
            raise ModelIncomplete(
                f"the model {self.name} reads {window} tokens by its tokenizer_config.json, which leaves no room for a query "
                "and a text; correct model_max_length there"
            )
        return window

    def after_fork(self) -> None:
        """The threads of the runtime are gone in a forked child."""
        self._model = left_to_parent(self.name, self._model)

    def score(self, query: str, texts: Sequence[str], *, deadline: Deadline | None = None) -> Scoring:
        """Score each text against the query; a text's score does not depend on the others.

        Of a query longer than half the window its ends are read, in that half, and of a text as much as the query leaves.
        Under a deadline, texts are scored in slices of their given order until it has passed. For errors see `Reranker`.
        """
        check_texts(query, texts)
        room = self._window - self._tokenizer.special_tokens(pair=True)
        query_cut = self._tokenizer.cut_query(query, room // 2, plain=True)
        scores = np.full(len(texts), np.nan, np.float32)
        seen, total = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.int64)
        unread = np.zeros(len(texts), np.bool_)
        for part in slices(len(texts), self._slice_size, deadline):
            cuts = self._tokenizer.cut(texts[part], room - query_cut.seen, plain=True)
            scores[part] = self._score_slice(query_cut, cuts)
            seen[part] = [cut.seen for cut in cuts]
            total[part] = [cut.total for cut in cuts]
            unread[part] = [query_cut.known == 0 or cut.known == 0 for cut in cuts]
        unknown_share = self._tokenizer.tally([query_cut.text])[0].unknown_share
        return Scoring(scores, seen, total, query_cut.seen, query_cut.total, unread, query_cut.known == 0, unknown_share)

    def _score_slice(self, query: Cut, texts: Sequence[Cut]) -> Vector:
        """Score texts that fit the window, in batches of like length."""
        scores = np.empty(len(texts), np.float32)
        for batch in plan_batches([query.seen + text.seen for text in texts], self._batch_tokens):
            scores[batch] = self._logits(query.text, [texts[i].text for i in batch])
        if not np.isfinite(scores).all():
            raise InferenceFailed(f"the model {self.name} gave a score that is not a number; its weights or precision are at fault")
        return scores

    def _logits(self, query: str, texts: Sequence[str]) -> Vector:
        """The score of each text (texts,), of a batch that runs as one.

        FastEmbed itself takes the first column of whatever the graph gives, which of two classes is mostly "not relevant".

        Raises:
            ModelIncomplete: the graph gives something else than a score for each text, and the recipe does not say which it is.
            InferenceFailed: the model gave an error, or the wrong number of scores.
        """
        with running(self.name):
            pairs = self._model.tokenizer.encode_batch([(query, text) for text in texts])
            output = np.asarray(self._model.model.run(None, feed(self._model.model, pairs))[0])
        logits = output[:, None] if output.ndim == 1 else output
        if logits.ndim != 2 or logits.shape[1] == 0:  # noqa: PLR2004
            sizes = " x ".join(map(str, output.shape))
            raise ModelIncomplete(
                f"the model {self.name} gives {sizes} numbers for {counted(len(texts), 'pair')}, no score for each: "
                "it is no cross-encoder. Export it with its classifier (…ForSequenceClassification), or name another model"
            )
        if len(logits) != len(texts):
            raise InferenceFailed(f"the model {self.name} gave {counted(len(logits), 'score')} for {counted(len(texts), 'text')}")
        return self._of_column(logits.astype(np.float64))

    def _of_column(self, logits: NDArray[np.float64]) -> Vector:
        columns, column = logits.shape[1], self.recipe.column
        if column is None and columns == 1:
            column = 0
        if column is None or column >= columns:
            there = "there is 0 alone" if columns == 1 else f"they are 0 to {columns - 1}"
            said = "does not say which one means relevant" if column is None else f"names column {column}, and {there}"
            raise ModelIncomplete(
                f"the model {self.name} gives {counted(columns, 'score')} a pair{self._labels}, and its recipe {said}: "
                'name its number, from 0, in the recipe.json of its folder, as in {"column": 1}'
            )
        with np.errstate(all="ignore"):  # what is no number is looked for later
            score = logits[:, column]
            if columns > 1:  # the log-odds of this class, which is what its softmax stands for
                score = score - np.logaddexp.reduce(np.delete(logits, column, axis=1), axis=1)
            scores: Vector = score.astype(np.float32)
        return scores


def _labels(config: Mapping[str, Any]) -> str:
    """What config.json calls the columns, for messages."""
    labels = config.get("id2label")
    if not isinstance(labels, dict) or len(labels) > _FEW:
        return ""
    return f" ({', '.join(f'{key}: {value}'[:_FEW] for key, value in labels.items())})"


def _options(model: str, folder: ModelFolder | None, cache: Path) -> dict[str, Any]:
    """What FastEmbed loads the model by."""
    from search.inference.fastembed import Rerankers, fetch, register

    return fetch(model, Rerankers, cache) if folder is None else register(folder, Rerankers)
