"""Scores become probabilities that are true, or there is an error."""

import numpy as np
import pytest

from search.errors import InvalidDataset, ModelIncomplete
from search.evaluation.calibration import Method, calibrate, fit_isotonic, fit_platt, reliability
from search.reranking.recipe import Recipe


def drawn(scale: float, bias: float, seed: int = 0, count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = rng.normal(3.0, 5.0, count)
    return scores, rng.random(count) < 1 / (1 + np.exp(-(scores / scale + bias)))


@pytest.mark.parametrize(("scale", "bias"), [(1.0, 0.0), (0.2, -3.0), (4.0, -2.0), (50.0, 1.0)])
def test_a_map_that_made_the_data_is_found_again(scale: float, bias: float) -> None:
    scores, relevant = drawn(scale, bias)
    found = fit_platt(scores, relevant)
    assert found[1] == pytest.approx(bias, abs=0.15)
    assert 1 / found[0] == pytest.approx(1 / scale, rel=0.1, abs=0.004)


def test_the_recipe_s_probability_is_what_was_fitted() -> None:
    scores, relevant = drawn(2.0, -4.0)
    scale, bias = fit_platt(scores, relevant)
    recipe = Recipe(scale=scale, bias=bias)
    probabilities = np.array([recipe.probability(float(score)) for score in scores])
    assert np.allclose(probabilities, 1 / (1 + np.exp(-(scores / scale + bias))))
    unseen, truth = drawn(2.0, -4.0, seed=1)
    measured = reliability(np.array([recipe.probability(float(score)) for score in unseen]), truth)
    assert measured.error < 0.01
    assert all(abs(b.probability - b.relevant) < 0.05 for b in measured.bins if b.pairs > 300)
    assert 0.4 < measured.skill < 0.5


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("apart", [3.0, 4.0, 6.0])
def test_rare_and_well_separated_pairs_get_the_likeliest_map(seed: int, apart: float) -> None:
    rng = np.random.default_rng(seed)
    relevant = rng.random(4000) < 0.02
    scores = -rng.gamma(2.0, 1.0, 4000) + relevant * apart * 1.5  # most pairs far below, with a tail
    scale, bias = fit_platt(scores, relevant)

    def cost(scale: float, bias: float) -> float:
        positives, negatives = relevant.sum(), (~relevant).sum()
        targets = np.where(relevant, (positives + 1) / (positives + 2), 1 / (negatives + 2))
        margins = scores / scale + bias
        return float(np.logaddexp(0, margins).sum() - targets @ margins)

    best = cost(scale, bias)
    assert scale > 0.05
    for factor, shift in ((1.02, 0), (0.98, 0), (1, 0.05), (1, -0.05)):
        assert best < cost(scale * factor, bias + shift)


@pytest.mark.parametrize("relevant", [[True, True], [False, False]])
def test_one_kind_of_pair_alone_says_nothing(relevant: list[bool]) -> None:
    with pytest.raises(InvalidDataset, match="judge more queries"):
        fit_platt(np.array([1.0, 2.0]), np.array(relevant))


def test_scores_that_fall_with_relevance_are_refused() -> None:
    scores, relevant = drawn(1.0, 0.0)
    with pytest.raises(InvalidDataset, match="not more often relevant"):
        fit_platt(-scores, relevant)


def test_scores_that_separate_perfectly_still_give_a_finite_map() -> None:
    scale, bias = fit_platt(np.arange(20.0), np.arange(20) >= 10)
    assert 0 < scale < 5
    assert -scale * bias == pytest.approx(9.5, abs=0.5)  # where the probability is a half


def test_reliability_follows_its_definitions() -> None:
    probabilities = np.array([0.05, 0.15, 0.15, 0.95, 1.0])
    measured = reliability(probabilities, np.array([False, False, True, True, True]))
    assert measured.base_rate == pytest.approx(0.6)
    assert measured.brier == pytest.approx((0.05**2 + 0.15**2 + 0.85**2 + 0.05**2) / 5)
    assert measured.skill == pytest.approx(1 - measured.brier / 0.24)
    assert [(b.low, b.pairs) for b in measured.bins] == [(0.0, 1), (0.1, 2), (0.9, 2)]
    assert measured.error == pytest.approx((0.05 + 2 * 0.35 + 2 * 0.025) / 5)


def test_one_kind_alone_leaves_no_skill_to_have() -> None:
    assert reliability(np.array([0.1, 0.2]), np.array([False, False])).skill == 0.0


def test_the_closest_rising_curve() -> None:
    scores = np.array([1.0, 2.0, 2.0, 3.0, 4.0, 5.0])
    relevant = np.array([False, True, False, False, True, True])
    # 1 alone; 2, 2 and 3 together, of which one of three is relevant; 4 and 5 together.
    assert fit_isotonic(scores, relevant) == [(1.0, 0.0), (pytest.approx(7 / 3), pytest.approx(1 / 3)), (4.5, 1.0)]
    with pytest.raises(InvalidDataset, match="not more often relevant"):
        fit_isotonic(-scores, np.sort(relevant))
    with pytest.raises(InvalidDataset, match="judge more queries"):
        fit_isotonic(scores, np.ones(6, bool))


def test_points_are_joined_by_straight_lines() -> None:
    recipe = Recipe(points=((-1.0, 0.1), (1.0, 0.5), (2.0, 0.5), (3.0, 0.9)))
    found = [recipe.probability(score) for score in (-9.0, -1.0, 0.0, 1.0, 1.5, 2.25, 3.0, 9.0)]
    assert found == [0.1, 0.1, pytest.approx(0.3), 0.5, 0.5, pytest.approx(0.6), 0.9, 0.9]
    assert recipe.has_probability
    assert not Recipe().has_probability
    assert Recipe.read(recipe.to_dict(), "it") == recipe
    for wrong, message in (
        ({"points": ((1, 0.5), (1, 0.6))}, "must rise"),
        ({"points": ((1, 0.5), (2, 0.4))}, "must rise"),
        ({"points": ((1, 1.5),)}, "less than or equal to 1"),
        ({"points": ((1, 0.5),), "scale": 1}, "not both"),
    ):
        with pytest.raises(ModelIncomplete, match=message):
            Recipe.read(wrong, "it")


def queries(count: int, seed: int, depth: int = 20) -> list[tuple[np.ndarray, np.ndarray]]:
    scores, relevant = drawn(3.0, -2.0, seed, count * depth)
    return list(zip(scores.reshape(count, depth), relevant.reshape(count, depth), strict=True))


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_a_calibration_is_measured_on_queries_it_was_not_fitted_to(method: Method) -> None:
    judged = queries(300, 0)
    bad = Recipe(scale=0.5, bias=2.0)
    found = calibrate([*judged, (np.array([]), np.array([], bool))], method, bad.probability)
    assert (found.queries, found.after.pairs) == (300, 6000)
    assert found.before
    assert found.before.error > 0.15
    assert found.after.error < 0.03
    assert found.after.skill > 0.3
    recipe = Recipe(**found.found)
    unseen, truth = drawn(3.0, -2.0, 9)
    assert reliability(np.array([recipe.probability(float(score)) for score in unseen]), truth).error < 0.03
    assert calibrate(judged, method, Recipe().probability).before is None
    assert calibrate(judged, method, Recipe().probability).after == calibrate(judged, method, bad.probability).after


def test_folds_hold_whole_queries_out() -> None:
    """Where every query has a level of its own, and the map is any curve, only queries in the fit are known too well."""
    rng = np.random.default_rng(3)
    judged = [(np.full(20, float(number)), rng.random(20) < rng.random()) for number in range(60)]
    found = calibrate(judged, "isotonic", Recipe().probability)
    scores, relevant = (np.concatenate(column) for column in zip(*judged, strict=True))
    seen = reliability(np.array([Recipe(**found.found).probability(float(score)) for score in scores]), relevant)
    assert seen.skill > found.after.skill + 0.02


def test_too_little_to_calibrate_on() -> None:
    with pytest.raises(InvalidDataset, match="4 queries have scored passages, and 5 folds need as many at least"):
        calibrate(queries(4, 0), "platt", Recipe().probability)
    with pytest.raises(InvalidDataset, match="judge more queries"):
        calibrate([(np.arange(3.0), np.zeros(3, bool))] * 5, "platt", Recipe().probability)
