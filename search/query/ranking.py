"""In which order do hits stand? The one place that sorts: by the policy in the reranker's recipe, whatever the reranker did."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from search.documents import Candidate, Hit, RankedText, RerankResult, RerankStatus, check_query, check_strings, counted
from search.errors import InvalidQuery
from search.index.hybrid import z
from search.passages import readable
from search.query.fusion import vote
from search.query.verbatim import as_searched, foremost
from search.reranking.contract import Deadline, Reranker, Scoring
from search.reranking.recipe import Recipe

_log = logging.getLogger(__name__)
_MUCH = 0.25  # share of a model's window, from which on a query is why a passage did not fit into it
_CANDIDATE = tuple(field.name for field in fields(Candidate))  # what a hit has of it


@dataclass(frozen=True)
class Ranking:
    """The candidates in their final order, and how it came about.

    Attributes:
        hits: best first.
        status: how much of the reranking happened.
        reason: why not all of it.
        words: what Hit.score means.
        scoring: what the reranker said, None where it said nothing usable.
    """

    hits: list[Hit]
    status: RerankStatus
    reason: str
    words: str
    scoring: Scoring | None


def rank(
    query: str,
    candidates: Sequence[Candidate],
    reranker: Reranker | None,
    deadline: Deadline | None = None,
    *,
    retrieval: str = "cosine similarity",
) -> Ranking:
    """The second stage: score the candidates and put them in order. Whatever happens, every candidate comes back.

    They come in retrieval order, which `retrieval` puts in words. What is not scored by the deadline keeps it, behind the rest, and
    so do all without a reranker. Their precedence counts before any score.
    """

    def unranked(status: RerankStatus, reason: str) -> Ranking:
        hits = [_hit(candidate, place, candidate.first_stage_score) for place, candidate in enumerate(candidates, 1)]
        return Ranking(hits, status, reason, retrieval, None)

    if reranker is None:
        return unranked("skipped", "reranking is switched off")
    if not candidates:
        return unranked("skipped", "there is nothing to rerank")
    if deadline is not None and deadline.expired:
        return unranked("skipped", "the time budget was spent before reranking began")
    try:
        considered = candidates[: reranker.recipe.max_texts]
        asked = as_searched(readable(query), candidates)
        scoring = reranker.score(asked, [candidate.passage for candidate in considered], deadline=deadline)
        scored = _scored_prefix(scoring, len(considered), deadline)
    except Exception as error:  # whatever it is, the user still gets retrieval order
        _log.warning("the reranker %s failed", reranker.name, exc_info=True)
        return unranked("failed", f"the reranker {reranker.name} failed: {str(error) or type(error).__name__}")
    if isinstance(scored, str):
        return unranked("failed", f"the reranker {reranker.name} {scored}")
    if scored == 0:
        return unranked("skipped", "the time budget was spent before a candidate was scored")
    hits, words = _reranked(candidates[:scored], scoring, reranker.recipe)
    hits += [_hit(candidate, place, None) for place, candidate in enumerate(candidates[scored:], scored + 1)]
    words = foremost(words, [hit.precedence for hit in hits])
    hits = _by_precedence(hits)
    if scored == len(candidates):
        return Ranking(hits, "full", "", words, scoring)
    cause = "the time budget was spent" if scored < len(considered) else f"{reranker.name} stops by its recipe"
    reason = f"{cause} after {scored:,} of {counted(len(candidates), 'candidate')}; the rest follows in retrieval order"
    return Ranking(hits, "partial", reason, words, scoring)


def rank_texts(query: str, texts: Sequence[str], reranker: Reranker) -> RerankResult:
    """Texts by the reranker's score alone.

    Raises:
        InvalidQuery: an empty query, or no text.
        ModelError: the reranker failed.
    """
    check_query(query)
    texts = check_strings(texts, "texts", "texts")
    if not texts:
        raise InvalidQuery("there is nothing to rank; give at least one text")
    scoring = reranker.score(query, texts)
    seen, total = scoring.tokens_seen, scoring.tokens_total
    results = [
        RankedText(i, float(scoring.scores[i]), scoring.probability(reranker.recipe, i), int(seen[i]), int(total[i]), texts[i])
        for i in best_first(scoring.scores)
    ]
    read, of = scoring.query_tokens_seen, scoring.query_tokens_total
    warnings = partly_read(query, {"reranker": read} if read < of else {})
    if cut := int((seen < total).sum()):
        some = f"{cut:,} of {counted(len(texts), 'text')}"
        warnings.append(too_long(some, cut, total[seen < total], read, reranker.recipe))
    if scoring.query_unread:
        warnings.append(unread_query(reranker.name))
    elif scoring.unread is not None and (unread := int(scoring.unread.sum())):
        some = f"{unread:,} of {counted(len(texts), 'text')} {'holds' if unread == 1 else 'hold'}"
        warnings.append(f"{some} no word that {reranker.name} knows, so {'it has' if unread == 1 else 'they have'} no probability")
    return RerankResult(
        query,
        read,
        of,
        reranker.name,
        reranker.device,
        reranker.verified,
        tuple(results),
        tuple(warnings),
    )


def partly_read(query: str, seen: Mapping[str, int]) -> list[str]:
    """How many tokens of a query the models read that did not read all of it; totals would differ by their tokenizers."""
    read = " and ".join(f"the {reader} read {tokens:,} tokens" for reader, tokens in seen.items())
    return [f"the query has {len(query):,} characters; {read}, of its beginning and its end"] if seen else []


def too_long(some: str, number: int, totals: Sequence[int] | NDArray[np.int64], query: int, recipe: Recipe) -> str:
    """That some passages, whose tokens are `totals`, were not read whole: for their own length, or for the query's tokens."""
    was = "was" if number == 1 else "were"
    window = recipe.max_tokens
    if window is None or query < window * _MUCH or max(totals) > window:
        return f"{some} {was} longer than the model's window"
    return f"{some} {was} longer than what the query left of the model's window"


def mixed(logits: NDArray[np.float64], retrieval: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
    """The scores by which hits stand: the reranker's alone, or a mix in which neither stage's scale counts.

    Args:
        logits: (n,), the reranker's scores.
        retrieval: (n,), what the first stage says of the same candidates.
        weight: the reranker's share, 0 to 1.

    Returns:
        (n,): `logits` if the share is 1, else weight * z(logits) + (1 - weight) * z(retrieval), z over these candidates.
    """
    return logits if weight == 1 else weight * z(logits) + (1 - weight) * z(retrieval)


def unread_query(reranker: str) -> str:
    """What to tell of scores for a query that the reranker knows nothing of."""
    return f"{reranker} knows no word of the query, so its scores say little and have no probability"


def best_first(scores: NDArray[np.floating]) -> list[int]:
    """Positions of the scores, highest first; equal ones keep their order."""
    return [int(i) for i in np.argsort(-scores, kind="stable")]


def _reranked(candidates: Sequence[Candidate], scoring: Scoring, recipe: Recipe) -> tuple[list[Hit], str]:
    """Candidates that all have a score, best first, and what that order is by, in words."""
    weight = recipe.share(fused=candidates[0].fusion_score is not None) * vote(scoring.query_unknown_share)
    first_stage = np.array([candidate.first_stage_score for candidate in candidates], np.float64)
    logits = scoring.scores[: len(candidates)].astype(np.float64)
    final = mixed(logits, first_stage, weight)
    hits = [
        _hit(
            candidates[i],
            place,
            float(final[i]),
            rerank_score=float(logits[i]),
            rerank_probability=scoring.probability(recipe, i),
            tokens=(int(scoring.tokens_seen[i]), int(scoring.tokens_total[i])),
        )
        for place, i in enumerate(best_first(final), 1)
    ]
    return hits, recipe.unit if weight == 1 else f"{weight:.2g} z(reranker) + {1 - weight:.2g} z(retrieval)"


def _by_precedence(hits: list[Hit]) -> list[Hit]:
    """The same hits, those with the highest precedence first, and else in their order."""
    if not any(hit.precedence for hit in hits):
        return hits
    return [replace(hit, rank=place) for place, hit in enumerate(sorted(hits, key=lambda hit: -hit.precedence), 1)]


def _scored_prefix(scoring: Scoring, expected: int, deadline: Deadline | None) -> int | str:
    """How many candidates were scored, or what is wrong with the scores."""
    for values in (scoring.scores, scoring.tokens_seen, scoring.tokens_total):
        if values.shape != (expected,):
            return f"gave {' x '.join(map(str, values.shape))} scores for {counted(expected, 'candidate')}"
    finite = np.isfinite(scoring.scores)
    scored = expected if finite.all() else int(finite.argmin())
    left_out = scoring.scores[scored:]
    if left_out.size and (deadline is None or not deadline.expired or not np.isnan(left_out).all()):
        return f"gave a score that is not a number for candidate {scored + 1}"
    return scored


def _hit(
    candidate: Candidate,
    rank: int,
    score: float | None,
    *,
    rerank_score: float | None = None,
    rerank_probability: float | None = None,
    tokens: tuple[int, int] | None = None,
) -> Hit:
    values = {name: getattr(candidate, name) for name in _CANDIDATE}
    if tokens is not None:
        values |= {"tokens_seen": tokens[0], "tokens_total": tokens[1]}
    return Hit(**values, rank=rank, score=score, rerank_score=rerank_score, rerank_probability=rerank_probability)
