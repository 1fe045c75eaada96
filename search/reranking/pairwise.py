"""Models that say which of two passages is better: every candidate meets every other, in both orders."""

from collections.abc import Sequence

import numpy as np

from search.errors import UnsupportedModel
from search.inference.prompt import QUERY
from search.reranking.contract import Deadline, Scoring, check_texts
from search.reranking.heads import Pairwise
from search.reranking.language_model import LanguageModel
from search.reranking.selftest import smoke_test


class PairwiseReranker:
    """A local language model that compares. n texts take n (n - 1) prompts, so its recipe limits how many a search gives it."""

    def __init__(self, model: LanguageModel) -> None:
        """Prepare the model.

        Raises:
            UnsupportedModel: its recipe is not pairwise.
            SelfTestFailed: it gives no scores.
        """
        if not isinstance(model.head, Pairwise):
            raise UnsupportedModel(f"the recipe of {model.name} compares no pairs")
        self.name, self.device, self.recipe, self.verified = model.name, model.device, model.recipe, ""
        self._model = model
        self._prompt = model.prompt(model.recipe.prompt())
        smoke_test(self.name, self.score)

    def score(self, query: str, texts: Sequence[str], *, deadline: Deadline | None = None) -> Scoring:
        """Give each text its mean chance to win against another, 0 to 1, over both orders (arXiv:2306.17563).

        Under a deadline, texts join one by one in their order and meet all that came before, until it has passed. For errors see
        `Reranker`.
        """
        check_texts(query, texts)
        stripped = [self._model.strip(text) for text in texts]
        wins = np.zeros((len(texts), len(texts)))
        seen, total = np.zeros((2, len(texts)), np.int64)
        query_tokens = [0, 0]
        unread, query_known = np.zeros(len(texts), np.bool_), 1
        joined = 0
        for new in range(len(texts)):
            if deadline is not None and deadline.expired:
                break
            pairs = [pair for other in range(new) for pair in ((new, other), (other, new))] or [(new, new)]
            prompts = self._prompt.encode([{QUERY: self._model.strip(query), "a": stripped[a], "b": stripped[b]} for a, b in pairs])
            for prompt, (a, b) in zip(prompts, pairs, strict=True):
                for i, slot in ((a, "a"), (b, "b")):
                    seen[i] = prompt.seen[slot] if total[i] == 0 else min(seen[i], prompt.seen[slot])
                    total[i] = prompt.total[slot]
                    unread[i] = prompt.known[slot] == 0
                query_tokens[:] = prompt.seen[QUERY], prompt.total[QUERY]
                query_known = prompt.known[QUERY]
            if new:
                logits = self._model.decoder.scores([prompt.ids for prompt in prompts]).astype(np.float64)
                for (a, b), (first, second) in zip(pairs, logits, strict=True):
                    chance = 0.5 * (1 + np.tanh((first - second) / 2))
                    wins[a, b] += chance / 2
                    wins[b, a] += (1 - chance) / 2
            joined = new + 1
        scores = np.full(len(texts), np.nan, np.float32)
        scores[:joined] = wins[:joined, :joined].sum(axis=1) / (joined - 1) if joined > 1 else 0.5
        return Scoring(scores, seen, total, query_tokens[0], query_tokens[1], unread, query_known == 0)
