"""How are near-duplicates found? Contents, copies, candidates, probabilities, clusters: the steps in their order."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from search.deduplication.candidates import Contents, closest_passages, nearest_pairs, read_contents, representative_first
from search.deduplication.clusters import Star, stars, unjudged
from search.deduplication.comparing import SIGNS
from search.deduplication.pairs import Judge, Judged
from search.deduplication.report import Cluster, Duplicate, Duplicates
from search.documents import counted
from search.errors import IndexMismatch, InvalidQuery
from search.index.contract import VectorIndex
from search.reranking.contract import Reranker

THRESHOLD = 0.9
_BY_WORDS = "words, numbers and names"
_MOST_AGAIN = 2  # times as many pairs are judged as were candidates, since clusters turned out to be neighbours


@dataclass(frozen=True)
class Progress:
    """How far it is."""

    step: str  # "reading documents", "finding candidates" or "comparing pairs"; "removing documents"
    done: int  # of this step
    total: int | None  # likewise; None if unknown


OnProgress = Callable[[Progress], None]


def check_threshold(threshold: Any) -> float:
    """The threshold, if it is one.

    Raises:
        InvalidQuery: it is none.
    """
    if isinstance(threshold, bool) or not isinstance(threshold, Real) or not 0 < float(threshold) <= 1:
        raise InvalidQuery(
            f"threshold is {threshold!r}; give the least probability of a duplicate, above 0 and up to 1, such as 0.9 "
            "(1: identical texts alone)"
        )
    return float(threshold)


def find_duplicates(
    index: VectorIndex,
    reranker: Reranker | None,
    *,
    threshold: float = THRESHOLD,
    rerank: bool = True,
    on_progress: OnProgress | None = None,
) -> Duplicates:
    """The near-duplicates of a collection, in clusters with a representative each.

    Args:
        index: the collection, opened.
        reranker: is asked about likely pairs in both directions, and its answers are reported; they count nothing.
        threshold: the least probability of what is reported, above 0 and up to 1.
        rerank: whether a reranker was asked for at all, so that it is said where there is none, or one without probabilities.
        on_progress: called after every step's part.

    Raises:
        InvalidQuery: the threshold is out of range, or another program made the collection.
        IndexMismatch: the name was led to another collection meanwhile.
        IndexFailure: the collection cannot be read.
    """
    threshold, started = check_threshold(threshold), time.perf_counter()

    def step(name: str) -> Callable[[int, int | None], None]:
        return lambda done, total: on_progress(Progress(name, done, total)) if on_progress else None

    if index.spec.layout:
        raise InvalidQuery(
            f"collection {index.name!r} was made by another program, whose points do not say how they make a document; copy it "
            "into one of your own (search adopt) and compare that"
        )
    confirming, notes = _confirming(reranker) if rerank else (None, [])
    target = index.target
    contents = read_contents(index, step("reading documents"))
    judged: list[Judged] = []
    judge = Judge(contents, confirming)
    if threshold < 1:
        judged = judge.judge(nearest_pairs(index, contents, step("finding candidates")), step("comparing pairs"))
    firsts = representative_first(contents, [ids[0] for ids in contents.copies.values()])
    found = stars(firsts, judged, threshold)
    most = _MOST_AGAIN * len(judged)
    while (missing := unjudged(firsts, found, judged, threshold)) and len(judged) < most:
        judged += judge.judge([closest_passages(contents, *pair) for pair in missing], step("comparing pairs"))
        found = stars(firsts, judged, threshold)
    if index.target != target:
        raise IndexMismatch(f"{index.name!r} was led from {target!r} to {index.target!r} while it was compared; compare it again")
    return Duplicates(
        collection=index.name,
        clusters=_clusters(contents, found, judged),
        documents=len(contents.entries),
        passages=sum(len(entry.passages) for entry in contents.entries.values()),
        pairs=len(judged),
        threshold=threshold,
        confirmed_by=_BY_WORDS if confirming is None else f"{_BY_WORDS}; {confirming.name} was asked in both directions, too",
        incomplete=contents.incomplete,
        notes=(*notes, *_left_out(len(missing), judge, len(contents.incomplete))),
        seconds=time.perf_counter() - started,
        target=target,
    )


def _left_out(uncompared: int, judge: Judge, incomplete: int) -> list[str]:
    """What was not compared, or not asked about, and why."""
    notes = []
    if uncompared:
        notes.append(f"at least {uncompared:,} more pairs of clusters were not compared, since that took too long; some may be one")
    if judge.failure is not None:
        notes.append(f"the reranker failed ({judge.failure}), and was asked nothing from there on; no probability depends on it")
    if incomplete:
        one = "document is not whole, and was left out; ingest it again from its source"
        several = "documents are not whole, and were left out; ingest them again from their source"
        notes.append(counted(incomplete, one, several))
    return notes


def _confirming(reranker: Reranker | None) -> tuple[Reranker | None, list[str]]:
    """The reranker, if it can say anything of pairs, and what is to be said where it cannot."""
    if reranker is None:
        return None, ["no reranker was asked (it is off); no probability depends on one"]
    if not reranker.recipe.has_probability or reranker.recipe.compares:
        return None, [f"the reranker {reranker.name} was not asked, since it gives no probability (search calibrate fits one)"]
    return reranker, []


def _clusters(contents: Contents, found: Sequence[Star], judged: Sequence[Judged]) -> tuple[Cluster, ...]:
    """Clusters of documents, in which the copies of each text take their places."""
    by_pair = {(one.first, one.second): one for one in judged}
    joined = {star.representative: star.members for star in found}
    alone = [ids[0] for ids in contents.copies.values() if len(ids) > 1]
    members = {member for star in found for member, _ in star.members}
    leads = [*joined, *(one for one in alone if one not in joined and one not in members)]
    clusters: list[Cluster] = []
    for lead in representative_first(contents, leads):
        copies = representative_first(contents, contents.copies[contents.entries[lead].digest])
        duplicates = [Duplicate(contents.entries[one].document, "identical", 1.0, {}) for one in copies[1:]]
        for member, chance in joined.get(lead, ()):
            pair = by_pair[min(lead, member), max(lead, member)]
            logits = pair.logits if pair.logits is None or pair.first == lead else pair.logits[::-1]
            signs = dict(zip(SIGNS, pair.signs, strict=True))
            for one in representative_first(contents, contents.copies[contents.entries[member].digest]):
                duplicates.append(Duplicate(contents.entries[one].document, "near", chance, signs, logits))  # noqa: PERF401
        clusters.append(Cluster(contents.entries[copies[0]].document, tuple(duplicates)))
    return tuple(clusters)
