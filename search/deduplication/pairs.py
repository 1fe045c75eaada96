"""Do two documents say the same? A probability, from cheap signs; what the reranker says of a pair is shown, and counts nothing."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from search.deduplication.candidates import Closest, Contents, OnStep
from search.deduplication.comparing import Profile, profile_of, signs_of
from search.errors import SearchError
from search.passages import has_words
from search.reranking.contract import Reranker

_MOST_LOGIT = 6.0  # of the reranker, either way: beyond it a model is sure, and says no more
_WORTH = 0.02  # probability by signs alone, below which the reranker is not asked
_PROFILES = 128  # that are kept: one of a book takes megabytes


class Weights(NamedTuple):
    """Of a logistic map, as benchmarks/dedupe.py fitted it."""

    constant: float
    signs: tuple[float, ...]  # in the order of comparing.SIGNS


# By whether both are code. Fitted on pairs of train texts, where what the reranker says came out as 0; see docs/decisions.md.
WEIGHTS: dict[bool, Weights] = {
    False: Weights(5.129, (0.0, 0.0, 0.0, -6.758, -6.86, -8.566, -15.36, -6.798, 0.0, -5.138, -19.412, -0.319)),
    True: Weights(4.845, (0.0, 0.0, 0.0, 0.0, -12.463, -1.217, -15.594, 0.0, 0.0, 0.0, 0.0, 0.0)),
}


class Judged(NamedTuple):
    """A pair of documents, by ids in order."""

    first: str
    second: str
    probability: float  # that they are duplicates, 0 to 1
    signs: tuple[float, ...]  # in the order of comparing.SIGNS
    code: bool
    logits: tuple[float, float] | None = None  # of the reranker: the second for the first as query, and the other way round


class Judge:
    """Gives pairs their probability. Asks the reranker, if there is one, as long as it answers."""

    def __init__(self, contents: Contents, reranker: Reranker | None) -> None:
        """Keep the documents, and a reranker with a map from score to probability; None asks none."""
        self._contents = contents
        self._reranker = reranker
        self.failure: str | None = None  # why the reranker was given up
        self._profile: Callable[[str], Profile] = lru_cache(_PROFILES)(lambda one: profile_of(contents.entries[one].document))

    def judge(self, pairs: Sequence[Closest], on_step: OnStep) -> list[Judged]:
        """The probability of each pair, in their order; on_step counts pairs, and what the reranker is asked after them."""
        judged: list[Judged] = []
        for done, pair in enumerate(pairs, 1):
            profiles = self._profile(pair.first), self._profile(pair.second)
            signs, code = tuple(signs_of(*profiles)), all(profile.code for profile in profiles)
            judged.append(Judged(pair.first, pair.second, probability(signs, code=code), signs, code))
            on_step(done, len(pairs))
        asked = [(at, pairs[at]) for at, one in enumerate(judged) if one.probability >= _WORTH]
        for at, logits in self._ask(asked, on_step).items():
            judged[at] = judged[at]._replace(logits=logits)
        return judged

    def _ask(self, asked: Sequence[tuple[int, Closest]], on_step: OnStep) -> dict[int, tuple[float, float]]:
        """The reranker's logits of pairs in both directions, by their places; those are missing that it does not judge."""
        jobs: dict[tuple[str, int], list[tuple[int, int, tuple[str, int]]]] = defaultdict(list)
        for at, pair in asked:
            ends = (pair.first, pair.passages[0]), (pair.second, pair.passages[1])
            for direction in range(2):
                jobs[ends[direction]].append((at, direction, ends[1 - direction]))
        logits: dict[tuple[int, int], float] = {}
        done = 0
        for query, others in jobs.items():
            if self._reranker is None or self.failure is not None:
                break
            scored = self._score(self._reranker, self._text(query), [self._text(other) for _, _, other in others])
            logits |= {(at, way): one for (at, way, _), one in zip(others, scored, strict=True) if one is not None}
            done += len(others)
            on_step(done, 2 * len(asked))
        both = [at for at, _ in asked if (at, 0) in logits and (at, 1) in logits]
        return {at: (logits[at, 0], logits[at, 1]) for at in both}

    def _score(self, reranker: Reranker, query: str, texts: list[str]) -> list[float | None]:
        """The logit of each text's probability; None where the model has none, or read none of it."""
        if not has_words(query):
            return [None] * len(texts)
        try:
            scoring = reranker.score(query, texts)
        except SearchError as error:
            self.failure = str(error)
            return [None] * len(texts)
        found = [scoring.probability(reranker.recipe, place) for place in range(len(texts))]
        return [None if one is None or math.isnan(one) else _logit(one) for one in found]

    def _text(self, end: tuple[str, int]) -> str:
        document_id, place = end
        return self._contents.entries[document_id].passages[place].text


def probability(signs: Sequence[float], *, code: bool) -> float:
    """That two documents are duplicates, 0 to 1, by their signs in the order of comparing.SIGNS, and by whether both are code."""
    weights = WEIGHTS[code]
    total = weights.constant + sum(weight * sign for weight, sign in zip(weights.signs, signs, strict=True))
    return 0.5 * (1 + math.tanh(total / 2))


def _logit(chance: float) -> float:
    if not 0 < chance < 1:
        return math.copysign(_MOST_LOGIT, chance - 0.5)
    return max(-_MOST_LOGIT, min(_MOST_LOGIT, math.log(chance / (1 - chance))))
