"""What does each configuration answer? Every judged query through retrieval and through every reranker, with times and faults."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from search.documents import Candidate, Hit, Retrieval, counted
from search.embedding.dense import Embedder
from search.embedding.sparse import WordsLike, words_like
from search.errors import InferenceFailed, InvalidQuery
from search.evaluation.corpus import Report
from search.evaluation.datasets import Dataset
from search.index.contract import VectorIndex
from search.query.fusion import Mix
from search.query.ranking import Ranking, rank
from search.query.retrieval import LISTED, Retriever
from search.reranking.contract import Deadline, Reranker, Scoring
from search.reranking.recipe import Recipe

SHOWN = 10  # ranks that a report shows


@dataclass(frozen=True)
class Configuration:
    """One way to answer, beside retrieval alone as the settings have it.

    Attributes:
        name: how results call it.
        reranker: the second stage; configurations with the same one share its scores. None for another retrieval alone.
        depth: candidates it sees.
        weight: its share in the ranking; None: its recipe's.
        retrieval: how its candidates are found; None: as the settings have it.
        extra: whether it is only there for a curve, and nothing depends on it.
    """

    name: str
    reranker: Reranker | None
    depth: int
    weight: float | None = None
    retrieval: Retrieval | None = None
    extra: bool = False


@dataclass
class Answers:
    """What one configuration made of the judged queries.

    Attributes:
        name: of the configuration.
        depth: candidates reranked; 0 for retrieval alone.
        line: the same for configurations that differ in nothing but depth.
        extra: as of the configuration.
        reranker: its name; None for retrieval alone.
        device: where it ran.
        orders: what the order is by, in words, and of how many queries.
        documents: the ranking of every query, best first.
        seconds: by stage, one value a query: embed, retrieve, and rerank.
        statuses: how many queries were reranked in full, in part, not at all, or failed.
        failures: queries whose reranking failed, and why.
        passages_cut: passages of which the reranker did not read the end.
        queries_cut: queries of which it did not.
        considered: of every query, the documents among its first `depth` candidates.
        scored: of every query, the reranker's scores (n,) and the ids of the documents they are of.
        hits: of every query, the passages among the first ten in either order, and the relevant ones; with `keep_hits` only.
    """

    name: str
    depth: int = 0
    line: int = 0
    extra: bool = False
    reranker: str | None = None
    device: str | None = None
    orders: Counter[str] = field(default_factory=Counter)
    documents: dict[str, list[str]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)
    passages_cut: int = 0
    queries_cut: int = 0
    considered: dict[str, list[str]] = field(default_factory=dict)
    scored: dict[str, tuple[NDArray[np.float64], list[str]]] = field(default_factory=dict)
    hits: dict[str, list[Hit]] = field(default_factory=dict)

    @property
    def ranking(self) -> str:
        """What the order is by, in words: of most queries, if not of all."""
        if not self.orders:
            return "nothing, as no query found anything"
        most, count = self.orders.most_common(1)[0]
        others = self.orders.total() - count
        return f"{most}, of {counted(others, 'query', 'queries')} otherwise" if others else most


def compare(
    dataset: Dataset,
    embedder: Embedder,
    index: VectorIndex,
    configurations: Sequence[Configuration],
    *,
    retrieval: Retrieval | None = None,
    mix: Mix | None = None,
    retrieved: int = 100,
    keep_hits: bool = False,
    report: Report | None = None,
    words: WordsLike = words_like,
) -> list[Answers]:
    """Answer every judged query by retrieval alone and by each configuration.

    Each reranker scores a passage once for all depths and shares: the time of a depth is that of the parts up to it. Only
    rerankers that compare passages with one another score them anew for each depth. Where documents have several
    passages, a document stands where its best passage does. A ranking has `retrieved` documents at least: what was not reranked
    follows in retrieval order. Candidates are those that a search of that depth has: beyond 100 of them scores are normalised over
    more passages, which can change the order of the first. `words` gives what makes words like the collection's.

    Returns:
        Retrieval alone, then the configurations in their order.

    Raises:
        InvalidQuery: as of `check`.
        SearchError: as embedder and index raise it. A failing reranker raises nothing: its failures are counted.
    """
    check(configurations)
    retriever = Retriever(embedder, index, mix, words)
    alone = Answers("retrieval", device=embedder.device)
    others = {c.name: _answers(c, configurations) for c in configurations}
    shared, views = _views(configurations)
    depths: dict[tuple[Retrieval | None, int], int] = {(None, LISTED): SHOWN}  # the deepest, of each kind of list
    for one in configurations:
        depths[_kind(one)] = max(one.depth, depths.get(_kind(one), 0))
    for done, (query_id, query) in enumerate(dataset.queries.items(), 1):
        lists = {
            (way, listed): _listed(retriever, query, (depth, listed), retrieved, way or retrieval)
            for (way, listed), depth in depths.items()
        }
        first = lists[None, LISTED]
        alone.documents[query_id] = _distinct(one.document_id for one in first.candidates)
        alone.orders += Counter({first.ranking: 1} if first.candidates else {})
        _add(alone.seconds, first.seconds)
        for reranker in shared:
            reranker.forget()
        for configuration in sorted(configurations, key=lambda c: c.depth):
            answers, view = others[configuration.name], views.get(configuration.name)
            ranking = _ranked(answers, query_id, query, lists[_kind(configuration)], configuration.depth, view)
            if keep_hits and configuration is configurations[0]:
                answers.hits[query_id] = [hit for hit in ranking.hits if _worth_showing(hit, dataset.qrels[query_id])]
        if report:
            report("querying", done, len(dataset.queries))
    return [alone, *others.values()]


class _Listed(NamedTuple):
    """What one way of retrieval finds for a query."""

    candidates: list[Candidate]
    ranking: str  # what their order is by
    seconds: dict[str, float]  # that the first of them took, as a search has them


def _kind(configuration: Configuration) -> tuple[Retrieval | None, int]:
    """Configurations of one kind have one list of candidates: how it is found, and over how many passages scores are normalised."""
    return configuration.retrieval, max(LISTED, configuration.depth)


def _listed(retriever: Retriever, query: str, depths: tuple[int, int], wanted: int, retrieval: Retrieval | None) -> _Listed:
    """What is found for a query.

    Args:
        retriever: the first stage.
        query: its text; blank ones find nothing.
        depths: of the search whose time counts; and how many passages stand as a search of that many has them.
        wanted: how many documents the list has at least, if there are so many.
        retrieval: how they are found.
    """
    if not query.strip():
        return _Listed([], "", {"embed": 0.0, "retrieve": 0.0})
    depth, listed = depths
    started = time.perf_counter()
    first = retriever.retrieve(query, depth, retrieval=retrieval)
    seconds = {"embed": first.embed_s, "retrieve": time.perf_counter() - started - first.embed_s}
    if depth < listed:
        first = retriever.retrieve(query, listed, retrieval=retrieval)
    more, limit = first.candidates, listed
    while len(more) >= limit and len({one.document_id for one in more}) < wanted:
        limit = max(2 * limit, wanted)
        more = retriever.retrieve(query, limit, retrieval=retrieval).candidates
    known = {one.chunk_id for one in first.candidates}
    return _Listed([*first.candidates, *(one for one in more if one.chunk_id not in known)], first.ranking, seconds)


def _ranked(answers: Answers, query_id: str, query: str, listed: _Listed, depth: int, view: "_View | None") -> Ranking:
    """Rank the first passages as a configuration does, and write down what came of it."""
    if view:
        view.seconds = 0.0  # it is not asked where nothing was found
    ranking = rank(query, listed.candidates[:depth], view, retrieval=listed.ranking)
    rest = [one.document_id for one in listed.candidates[depth:]]
    _add(answers.seconds, listed.seconds | ({"rerank": view.seconds} if view else {}))
    answers.considered[query_id] = _distinct(hit.document_id for hit in ranking.hits)
    answers.documents[query_id] = _distinct([*answers.considered[query_id], *rest])
    answers.statuses[ranking.status] += 1
    if ranking.status == "failed":
        answers.failures[query_id] = ranking.reason
    if ranking.scoring is not None or (answers.reranker is None and listed.candidates):
        answers.orders[ranking.words] += 1
    if ranking.scoring is not None:
        scored = [hit for hit in ranking.hits if hit.rerank_score is not None]
        answers.scored[query_id] = (np.array([h.rerank_score for h in scored]), [h.document_id for h in scored])
        answers.passages_cut += sum(hit.truncated for hit in scored)
        answers.queries_cut += ranking.scoring.query_tokens_seen < ranking.scoring.query_tokens_total
    return ranking


def _answers(configuration: Configuration, configurations: Sequence[Configuration]) -> Answers:
    kinds = list(dict.fromkeys((id(c.reranker), c.weight, c.retrieval) for c in configurations))
    line = kinds.index((id(configuration.reranker), configuration.weight, configuration.retrieval))
    reranker = configuration.reranker
    depth, name, device = (0, None, None) if reranker is None else (configuration.depth, reranker.name, reranker.device)
    return Answers(configuration.name, depth, line, configuration.extra, name, device)


class _Shared:
    """A reranker that scores each passage of a query once, for all configurations that have it."""

    def __init__(self, reranker: Reranker) -> None:
        self.reranker = reranker
        self.forget()

    def forget(self) -> None:
        """Go on to another query."""
        self._known: Scoring | None = None
        self._seconds = 0.0

    def score(self, query: str, texts: Sequence[str]) -> tuple[Scoring, float]:
        """The scores of passages, those of the last call and perhaps more behind them, and the seconds all of them took."""
        if self.reranker.recipe.compares:
            self.forget()
        if self._known is None or len(texts) > len(self._known.scores):
            started = time.perf_counter()
            new = texts[0 if self._known is None else len(self._known.scores) :]
            part = self.reranker.score(query, new)
            if wrong := {values.shape for values in part[:3]} - {(len(new),)}:
                raise InferenceFailed(f"it gave {' x '.join(map(str, min(wrong)))} scores for {counted(len(new), 'passage')}")
            self._known = part if self._known is None else Scoring.joined([self._known, part])
            self._seconds += time.perf_counter() - started
        return self._known, self._seconds


class _View:
    """A shared reranker as one configuration asks for it; it keeps the contract of a reranker."""

    def __init__(self, shared: _Shared, weight: float | None) -> None:
        reranker = shared.reranker
        self.name, self.verified, self.device = reranker.name, reranker.verified, reranker.device
        self.recipe: Recipe = reranker.recipe if weight is None else reranker.recipe.weighted(weight)
        self.seconds = 0.0  # of the last call
        self._shared = shared

    def score(self, query: str, texts: Sequence[str], *, deadline: Deadline | None = None) -> Scoring:  # noqa: ARG002  # nothing hurries here
        """The shared scores; `seconds` says how long they took."""
        started = time.perf_counter()
        self.seconds = 0.0
        try:
            scoring, self.seconds = self._shared.score(query, texts)
        except Exception:
            self.seconds = time.perf_counter() - started
            raise
        return scoring


def _views(configurations: Sequence[Configuration]) -> tuple[list[_Shared], dict[str, _View]]:
    """Each reranker once for a kind of list, and what each configuration sees of it."""
    reranked = [(c, c.reranker) for c in configurations if c.reranker is not None]
    shared = {(id(reranker), _kind(c)): _Shared(reranker) for c, reranker in reranked}
    return list(shared.values()), {c.name: _View(shared[id(reranker), _kind(c)], c.weight) for c, reranker in reranked}


def check(configurations: Sequence[Configuration]) -> None:
    """InvalidQuery for a depth below 1, or two configurations of one name."""
    names = [configuration.name for configuration in configurations]
    if twice := [name for name, count in Counter(["retrieval", *names]).items() if count > 1]:
        raise InvalidQuery(f"two configurations are called {twice[0]!r}; leave one out")
    if shallow := [configuration.depth for configuration in configurations if configuration.depth < 1]:
        raise InvalidQuery(f"depth is {shallow[0]}; rerank at least 1 candidate")


def _distinct(documents: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(documents))


def _add(columns: dict[str, list[float]], row: Mapping[str, float]) -> None:
    for name, value in row.items():
        columns.setdefault(name, []).append(value)


def _worth_showing(hit: Hit, grades: Mapping[str, int]) -> bool:
    return min(hit.rank, hit.retrieval_rank) <= SHOWN or grades.get(hit.document_id, 0) > 0
