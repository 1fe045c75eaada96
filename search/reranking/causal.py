"""Language models that score one text at a time: by a few tokens' logits, by a classifier, or by how likely they find the query."""

from collections.abc import Sequence

import numpy as np

from search.errors import InferenceFailed, UnsupportedModel
from search.inference.prompt import QUERY, Encoded
from search.reranking.contract import Deadline, Scoring, Vector, check_texts, slices
from search.reranking.heads import Listwise, Pairwise, QueryLikelihood, TokenLogits
from search.reranking.language_model import LanguageModel
from search.reranking.selftest import self_test


class CausalReranker:
    """zerank, Qwen3-Reranker, any model that answers yes or no, …ForSequenceClassification, and query likelihood."""

    def __init__(self, model: LanguageModel, slice_size: int = 8) -> None:
        """Test the model.

        Raises:
            UnsupportedModel: the recipe's head compares texts with one another.
            SelfTestFailed: it does not give the scores its recipe records.
        """
        if isinstance(model.head, Listwise | Pairwise):
            raise UnsupportedModel(f"the recipe of {model.name} compares texts with one another; it has no score for one")
        self.name, self.device, self.recipe = model.name, model.device, model.recipe
        self._model = model
        self._prompt = model.prompt(model.exported.prompt())  # as it was when the golden scores were recorded
        self._slice_size = slice_size
        if self.device == "cuda":
            model.decoder.warm_up()
        self.verified = self_test(self.name, self.recipe, self.score, in_batches=self._score_in_batches)
        self._prompt = model.prompt(model.recipe.prompt())

    def score(self, query: str, texts: Sequence[str], *, deadline: Deadline | None = None) -> Scoring:
        """Score each text against the query; a text's score does not depend on the others.

        Under a deadline, texts are scored in slices of their given order until it has passed. For errors see `Reranker`.
        """
        check_texts(query, texts)
        scores = np.full(len(texts), np.nan, np.float32)
        seen, total = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.int64)
        stripped = self._model.strip(query)
        unread, query_unread = np.zeros(len(texts), np.bool_), False
        query_seen = query_total = 0
        for part in slices(len(texts), self._slice_size, deadline):
            prompts = self._prompt.encode([{QUERY: stripped, "document": self._model.strip(text)} for text in texts[part]])
            scores[part] = self._scores(prompts)
            seen[part] = [prompt.seen["document"] for prompt in prompts]
            total[part] = [prompt.total["document"] for prompt in prompts]
            query_unread = prompts[0].known[QUERY] == 0
            unread[part] = [query_unread or prompt.known["document"] == 0 for prompt in prompts]
            query_seen, query_total = min((prompt.seen[QUERY], prompt.total[QUERY]) for prompt in prompts)
        return Scoring(scores, seen, total, query_seen, query_total, unread, query_unread)

    def _score_in_batches(self, query: str, texts: Sequence[str]) -> Scoring:
        with self._model.decoder.whole_prompts():
            return self.score(query, texts)

    def _scores(self, prompts: Sequence[Encoded]) -> Vector:
        rows = [prompt.ids for prompt in prompts]
        match self._model.head:
            case QueryLikelihood():
                chances = self._model.decoder.log_probabilities(rows, [prompt.query for prompt in prompts])
                if any(chance.size == 0 for chance in chances):
                    raise InferenceFailed(f"the query has no tokens for {self.name} to find likely")
                return np.array([chance.mean() for chance in chances], np.float32)
            case TokenLogits() as head:
                return self._model.decoder.scores(rows) @ np.array(list(head.tokens.values()), np.float32)
            case _:
                return self._model.decoder.scores(rows)[:, 0]
