"""Does the second stage help, by how much, and at what cost? What a comparison came to, in figures and in words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from search.documents import Retrieval, counted
from search.embedding.dense import Embedder
from search.embedding.sparse import WordsLike, words_like
from search.errors import InvalidQuery
from search.evaluation.calibration import Relevant, Reliability, Scores, reliability
from search.evaluation.corpus import cut, documents_in, embed_corpus
from search.evaluation.datasets import Dataset, checked
from search.evaluation.measures import MEASURES, Measure, Measures, mean, measure, ranked
from search.evaluation.runs import Answers, Configuration, check, compare
from search.evaluation.statistics import Gain, gain
from search.index.contract import CollectionSpec, VectorIndex
from search.query.fusion import Mix

_PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Evaluation:
    """What each configuration reached on a judged data set.

    Attributes:
        dataset: as it was measured.
        documents: how many the corpus has.
        notes: what is remarkable about the judgements.
        embedder: name of the first stage's model.
        names: of the measures; the first is what verdicts are about.
        answers: retrieval alone, then each configuration.
    """

    dataset: Dataset
    documents: int
    notes: Sequence[str]
    embedder: str
    names: Sequence[str]
    answers: Sequence[Answers]

    @cached_property
    def measures(self) -> dict[str, Measures]:
        """By configuration, query and measure."""
        return {
            answers.name: measure({q: ranked(d) for q, d in answers.documents.items()}, self.dataset.qrels, self.names)
            for answers in self.answers
        }

    @cached_property
    def means(self) -> dict[str, dict[str, float]]:
        """By configuration and measure."""
        return {name: mean(measures) for name, measures in self.measures.items()}

    @cached_property
    def gains(self) -> dict[str, Gain]:
        """By configuration: what it has over retrieval alone, in the first measure."""
        before, *others = (self.values(answers.name) for answers in self.answers)
        return {answers.name: gain(before, after) for answers, after in zip(self.answers[1:], others, strict=True)}

    def values(self, name: str) -> np.ndarray:
        """The first measure of every query, in the order of the data set's queries."""
        return np.array([self.measures[name][query][self.names[0]] for query in self.dataset.queries])

    def milliseconds(self, answers: Answers) -> dict[str, dict[str, float]]:
        """Median and high percentiles of each stage and of all together, over the queries."""
        stages = {name: np.array(values) * 1000 for name, values in answers.seconds.items()}
        stages["total"] = np.sum(list(stages.values()), axis=0)
        return {
            name: {f"p{percentile}": float(np.percentile(values, percentile)) for percentile in _PERCENTILES}
            for name, values in stages.items()
        }

    def ceiling(self, answers: Answers) -> dict[str, float]:
        """The share of relevant documents among the candidates, and what the best order of these, above the rest, would reach."""
        qrels = self.dataset.qrels
        recall = mean(measure({q: ranked(d) for q, d in answers.considered.items()}, qrels, ["Recall@9999"]))["Recall@9999"]
        best = {}
        for query, considered in answers.considered.items():
            first = sorted(considered, key=lambda document: -qrels[query].get(document, 0))
            best[query] = ranked([*first, *answers.documents[query][len(first) :]])
        return {f"Recall@{answers.depth}": recall, self.names[0]: mean(measure(best, qrels, self.names[:1]))[self.names[0]]}

    def judged(self, answers: Answers) -> list[tuple[Scores, Relevant]]:
        """Of every query of which passages were scored, the scores (n,) and whether the passages' documents are relevant (n,)."""
        qrels = self.dataset.qrels
        return [
            (scores, np.array([qrels[query].get(document, 0) > 0 for document in documents], bool))
            for query, (scores, documents) in answers.scored.items()
        ]

    def reliability(self, answers: Answers, probability: Callable[[float], float | None]) -> Reliability | None:
        """How true a map from score to probability is on these judgements; None where there is no map, or nothing was scored."""
        judged = self.judged(answers)
        chances = [probability(float(score)) for scores, _ in judged for score in scores]
        if not chances or None in chances:
            return None
        return reliability(np.array(chances, np.float64), np.concatenate([relevant for _, relevant in judged]))

    def verdict(self, answers: Answers) -> str:
        """In a sentence: whether it helps, by how much, at what cost."""
        result, name = self.gains[answers.name], self.names[0]
        words = {"helps": "helps", "hurts": "hurts", "no evidence": "no evidence that it helps or hurts"}[result.judgement]
        milliseconds = self.milliseconds(answers)
        cost = milliseconds.get("rerank", milliseconds["total"])["p50"]
        failed = f"; reranking failed on {len(answers.failures):,} of them" if answers.failures else ""
        return (
            f"{words}: {result.difference:+.4f} {name}, 95 % interval {result.low:+.4f} to {result.high:+.4f}, p = {result.p:.2g}, "
            f"for {cost:.0f} ms a query, {counted(len(self.dataset.queries), 'query', 'queries')}{failed}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as JSON takes it: means by run, and of each configuration how it came about."""
        return {
            "dataset": self.dataset.name,
            "split": self.dataset.split,
            "documents": self.documents,
            "queries": len(self.dataset.queries),
            "embedder": self.embedder,
            "notes": list(self.notes),
            "runs": self.means,
            "configurations": {answers.name: self._configuration(answers) for answers in self.answers},
        }

    def _configuration(self, answers: Answers) -> dict[str, Any]:
        fields: dict[str, Any] = {"device": answers.device, "ranking": answers.ranking, "latency_ms": self.milliseconds(answers)}
        if answers is self.answers[0]:
            return fields
        result = self.gains[answers.name]
        fields["gain"] = {"measure": self.names[0], **result.to_dict()}
        fields |= {"verdict": result.judgement, "words": self.verdict(answers)}
        if answers.reranker is None:
            return fields
        return fields | {
            "reranker": answers.reranker,
            "depth": answers.depth,
            "rerank_statuses": dict(answers.statuses),
            "failures": answers.failures,
            "passages_truncated": answers.passages_cut,
            "queries_truncated": answers.queries_cut,
            "ceiling": self.ceiling(answers),
        }


def evaluate(
    dataset: Dataset,
    embedder: Embedder,
    index: VectorIndex,
    configurations: Sequence[Configuration],
    *,
    names: Sequence[str] = MEASURES,
    retrieval: Retrieval | None = None,
    mix: Mix | None = None,
    lexical: str = "",
    words: WordsLike = words_like,
    keep_hits: bool = False,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Evaluation:
    """Measure retrieval alone and each configuration on a judged data set.

    Args:
        dataset: queries and judgements; its documents, if it has any, are embedded, each as one vector of its title and text.
        embedder: the first stage.
        index: a collection for this corpus and embedder, whose vectors are not computed again; or, where the data set has no
            documents of its own, the collection that the judgements are about.
        configurations: what to compare with retrieval alone.
        names: measures, see `Measure`; verdicts are about the first.
        retrieval: how passages are found where a configuration does not say; None: by words, too, if the collection has any.
        mix: how much words and vectors count in retrieval order.
        lexical: the words of the data set's documents, see search.embedding.sparse; "" for none.
        words: gives what makes words like a collection's.
        keep_hits: whether to keep the passages that a report shows.
        on_progress: called with what is being done, how much of it is, and of how much.

    Raises:
        InvalidDataset: no judged document is in the corpus.
        InvalidQuery: a measure that there is not, several configurations of one name, or words where there are none.
        SearchError: as the parts raise it.
    """
    report = on_progress or (lambda _what, _done, _total: None)
    if not names:
        raise InvalidQuery("no measure is named; take nDCG@10")
    retrieved = max(Measure.of(name).reach for name in names)
    check(configurations)
    wordless = bool(dataset.documents) and not lexical
    if by_words := [one for one in configurations if wordless and one.retrieval in {"hybrid", "lexical"}]:
        message = f"{by_words[0].name}: nothing can be found by words, as the settings have none (lexical.model is none)"
        raise InvalidQuery(message)
    if dataset.documents:
        known = {document.id for document in dataset.documents}
    else:
        index.ensure(CollectionSpec(embedder.dimension, embedder.fingerprint), create=False)
        known = documents_in(index)
    dataset, notes = checked(dataset, known)
    measure({}, dataset.qrels, names)  # what cannot be measured fails now, not in an hour
    if dataset.documents:
        embed_corpus(dataset, embedder, index, report, lexical, words)
    ways: dict[str, Any] = {"retrieval": retrieval, "mix": mix, "words": words, "retrieved": retrieved}
    answers = compare(dataset, embedder, index, configurations, **ways, keep_hits=keep_hits, report=report)
    return Evaluation(dataset, len(known), [*notes, *cut(dataset, embedder, index)], embedder.name, names, answers)
