"""Models that order passages by looking at several at once: in a sliding window from the last candidates to the first."""

import re
from collections.abc import Callable, Sequence

import numpy as np

from search.errors import UnsupportedModel
from search.inference.prompt import QUERY, Prompt
from search.reranking.contract import Deadline, Scoring, Vector, check_texts
from search.reranking.heads import Listwise
from search.reranking.language_model import LanguageModel
from search.reranking.selftest import smoke_test


class ListwiseReranker:
    """A local language model that reads a window of passages; the logits of their identifiers order it, in one prefill."""

    def __init__(self, model: LanguageModel) -> None:
        """Prepare the model.

        Raises:
            UnsupportedModel: its recipe is not listwise, or a window does not fit the longest prompt.
            SelfTestFailed: it gives no order.
        """
        if not isinstance(model.head, Listwise):
            raise UnsupportedModel(f"the recipe of {model.name} orders no lists")
        self.name, self.device, self.recipe, self.verified = model.name, model.device, model.recipe, ""
        self._model = model
        self._head = model.head
        self._prompts: dict[int, Prompt] = {}
        self._prompt(self._head.window)  # which refuses one that does not fit
        smoke_test(self.name, self.score)

    def score(self, query: str, texts: Sequence[str], *, deadline: Deadline | None = None) -> Scoring:
        """Order the texts; a text's score is 1 / its place. Nothing is scored when the deadline passes before the last window.

        For errors see `Reranker`.
        """
        check_texts(query, texts)
        seen, total = np.zeros((2, len(texts)), np.int64)
        query_tokens = [0, 0]
        unread, query_known = np.zeros(len(texts), np.bool_), [1]

        def order(window: Sequence[int]) -> list[int]:
            passages = {f"p{place}": self._model.strip(texts[i]) for place, i in enumerate(window)}
            prompt = self._prompt(len(window)).encode([{QUERY: self._model.strip(query), **passages}])[0]
            for place, i in enumerate(window):
                seen[i], total[i] = prompt.seen[f"p{place}"], prompt.total[f"p{place}"]
                unread[i] = prompt.known[f"p{place}"] == 0
            query_tokens[:] = prompt.seen[QUERY], prompt.total[QUERY]
            query_known[0] = prompt.known[QUERY]
            logits = self._model.decoder.scores([prompt.ids])[0, : len(window)]
            return [window[int(place)] for place in np.argsort(-logits, kind="stable")]

        scores = by_windows(len(texts), self._head.window, self._head.stride, order, deadline)
        if np.isnan(scores).any():
            seen[:], total[:] = 0, 0
        return Scoring(scores, seen, total, query_tokens[0], query_tokens[1], unread, query_known[0] == 0)

    def _prompt(self, count: int) -> Prompt:
        """The template for so many passages."""
        if count not in self._prompts:
            self._prompts[count] = self._model.prompt(self.recipe.prompts()[count - 1])
        return self._prompts[count]


def by_windows(
    count: int, window: int, stride: int, order: Callable[[Sequence[int]], Sequence[int]], deadline: Deadline | None
) -> Vector:
    """Order everything by ordering windows, from the end to the beginning, so that the best rise to the top (arXiv:2304.09542).

    Args:
        count: how many texts there are.
        window: how many are ordered at once.
        stride: how far the window moves; smaller than the window.
        order: gets the numbers of some texts and gives the same numbers, best first.
        deadline: looked at before every window.

    Returns:
        (count,) 1 / place of each text; all NaN if the deadline passed before the first window of the ranking was reached.
    """
    places = list(range(count))
    end = count
    while end > 0:
        if deadline is not None and deadline.expired:
            return np.full(count, np.nan, np.float32)
        start = max(0, end - window)
        places[start:end] = order(places[start:end])
        end = end - stride if start else 0
    scores = np.empty(count, np.float32)
    scores[places] = 1 / np.arange(1, count + 1)
    return scores


def permutation(answer: str, count: int) -> list[int]:
    """The order that a model wrote down, such as "[2] > [1]", as numbers from 0; empty if it names none that there is.

    Else it is total: what is named twice or does not exist is passed over, what is missing follows as it stood.
    Thoughts in <think>…</think> are no answer, and beside numbers in brackets bare ones are prose ("the order of the 3: [2] >").
    """
    text = answer.rpartition("</think>")[2].partition("<think>")[0]
    numbers = re.findall(r"\[\s*(\d{1,9})\s*\]", text) or re.findall(r"(?<!\w)\d{1,9}(?!\w)", text)
    named = [int(number) - 1 for number in numbers if 1 <= int(number) <= count]
    return list(dict.fromkeys([*named, *range(count)])) if named else []
