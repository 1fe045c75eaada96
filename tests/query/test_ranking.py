"""The one place that sorts: whatever the reranker does, every candidate comes back, once, and the result says what happened."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted import Planted

from search.documents import Candidate
from search.query.ranking import rank
from search.reranking.contract import Deadline
from search.reranking.recipe import Recipe


def candidates(scores: Sequence[float]) -> list[Candidate]:
    return [Candidate(f"c{i}", f"d{i}", f"text {i}", "", {}, 0, 6, i + 1, score, 3, 3, 0.0) for i, score in enumerate(scores)]


def order(reranker: Planted | None, retrieval: Sequence[float], deadline: Deadline | None = None) -> list[str]:
    return [hit.chunk_id for hit in rank("q", candidates(retrieval), reranker, deadline).hits]


def test_score_alone_orders_by_the_reranker() -> None:
    ranking = rank("q", candidates([0.9, 0.8, 0.7]), Planted([-1, 5, 2]))
    assert [hit.chunk_id for hit in ranking.hits] == ["c1", "c2", "c0"]
    assert [hit.score for hit in ranking.hits] == [hit.rerank_score for hit in ranking.hits] == [5, 2, -1]
    assert [(hit.rank, hit.retrieval_rank) for hit in ranking.hits] == [(1, 2), (2, 3), (3, 1)]
    assert (ranking.status, ranking.reason, ranking.words) == ("full", "", "reranker logit")


def test_a_mix_adds_normalised_scores() -> None:
    retrieval, logits = [0.9, 0.5, 0.1], [-8.0, 2.0, 3.0]
    ranking = rank("q", candidates(retrieval), Planted(logits, Recipe(weight=0.3)))

    def z(values: Sequence[float]) -> list[float]:
        mean = sum(values) / len(values)
        spread = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
        return [(value - mean) / spread for value in values]

    expected = {f"c{i}": 0.3 * a + 0.7 * b for i, (a, b) in enumerate(zip(z(logits), z(retrieval), strict=True))}
    assert {hit.chunk_id: hit.score for hit in ranking.hits} == pytest.approx(expected)
    assert [hit.chunk_id for hit in ranking.hits] == sorted(expected, key=lambda name: -expected[name])
    assert ranking.words == "0.3 z(reranker) + 0.7 z(retrieval)"


def test_a_single_hit_and_equal_scores_have_no_spread() -> None:
    assert rank("q", candidates([0.4]), Planted([3], Recipe(weight=0.3))).hits[0].score == 0
    assert order(Planted([1, 1, 1], Recipe(weight=0.3)), [0.3, 0.2, 0.1]) == ["c0", "c1", "c2"]


def test_ties_keep_retrieval_order() -> None:
    assert order(Planted([1, 2, 1, 2]), [0.4, 0.3, 0.2, 0.1]) == ["c1", "c3", "c0", "c2"]


FAILURES = {
    "raises": (Planted([], error=RuntimeError("out of memory")), "out of memory"),
    "raises without a word": (Planted([], error=ZeroDivisionError()), "ZeroDivisionError"),
    "too few": (Planted([1, 2]), "2 scores for 3"),
    "too many": (Planted([1, 2, 3, 4]), "4 scores for 3"),
    "NaN": (Planted([1, math.nan, 3]), "not a number for candidate 2"),
    "NaN with time left": (Planted([math.nan] * 3), "not a number for candidate 1"),
    "another shape": (Planted([[1], [2], [3]]), "3 x 1 scores for 3"),  # type: ignore[list-item]  # on purpose
    "infinite": (Planted([1, 2, math.inf]), "not a number for candidate 3"),
}


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("budget", [False, True])
def test_a_failing_reranker_leaves_retrieval_order(name: str, budget: bool) -> None:  # noqa: FBT001  # a test's parameter
    reranker, reason = FAILURES[name]
    ranking = rank("q", candidates([0.9, 0.8, 0.7]), reranker, Deadline.after_ms(60_000) if budget else None)
    assert [hit.chunk_id for hit in ranking.hits] == ["c0", "c1", "c2"]
    assert ranking.status == "failed"
    assert reason in ranking.reason
    assert all(hit.rerank_score is None and hit.score == hit.retrieval_score for hit in ranking.hits)


def test_a_spent_budget_leaves_a_scored_prefix_above_the_rest() -> None:
    reranker = Planted([1, 3, math.nan, math.nan], delay_s=0.3)
    ranking = rank("q", candidates([0.9, 0.8, 0.7, 0.6]), reranker, Deadline.after_ms(250))
    assert [hit.chunk_id for hit in ranking.hits] == ["c1", "c0", "c2", "c3"]
    assert [hit.score for hit in ranking.hits] == [3, 1, None, None]
    assert ranking.status == "partial"
    assert "2 of 4" in ranking.reason


def test_a_recipe_may_limit_how_many_are_reranked() -> None:
    limited = Planted([1, 3, 2], Recipe(max_texts=3))
    ranking = rank("q", candidates([0.5, 0.4, 0.3, 0.2, 0.1]), limited)
    assert [hit.chunk_id for hit in ranking.hits] == ["c1", "c2", "c0", "c3", "c4"]
    assert ranking.status == "partial"
    assert ranking.reason == "planted stops by its recipe after 3 of 5 candidates; the rest follows in retrieval order"
    assert rank("q", candidates([0.5, 0.4, 0.3]), limited).status == "full"


def test_unscored_candidates_without_a_budget_are_a_failure() -> None:
    assert rank("q", candidates([0.9, 0.8]), Planted([1, math.nan])).status == "failed"


SKIPPED: dict[str, tuple[Planted | None, list[float], float | None, str]] = {
    "none": (None, [0.5], None, "switched off"),
    "nothing found": (Planted([]), [], None, "nothing to rerank"),
    "too late to begin": (Planted([1]), [0.5], -1, "before reranking began"),
    "too late for one": (Planted([math.nan], delay_s=0.3), [0.5], 250, "before a candidate was scored"),
}


@pytest.mark.parametrize("name", SKIPPED)
def test_reranking_that_did_not_happen_says_why(name: str) -> None:
    reranker, retrieval, budget_ms, reason = SKIPPED[name]
    deadline = None if budget_ms is None else Deadline.after_ms(budget_ms)
    ranking = rank("q", candidates(retrieval), reranker, deadline)
    assert ranking.status == "skipped"
    assert reason in ranking.reason
    assert len(ranking.hits) == len(retrieval)


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(-20, 20, width=32)), min_size=1, max_size=30),
    st.floats(0, 1),
    st.integers(0, 30),
)
def test_every_candidate_comes_back_once(pairs: list[tuple[float, float]], weight: float, scored: int) -> None:
    retrieval = sorted((score for score, _ in pairs), reverse=True)
    logits = [logit if i < scored else math.nan for i, (_, logit) in enumerate(pairs)]
    reranker = Planted(logits, Recipe(weight=weight), delay_s=0.006)
    hits = rank("q", candidates(retrieval), reranker, Deadline.after_ms(5)).hits
    assert sorted(hit.chunk_id for hit in hits) == sorted(f"c{i}" for i in range(len(pairs)))
    assert [hit.rank for hit in hits] == list(range(1, len(pairs) + 1))
    reranked = [hit.score for hit in hits if hit.score is not None and hit.rerank_score is not None]
    assert reranked == sorted(reranked, reverse=True)
