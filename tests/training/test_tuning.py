"""The recipe's figures come from held-out queries, and no data set is left below retrieval."""

import importlib
import sys
from dataclasses import replace

import numpy as np
import pytest
from planted import Planted
from training.mixture import Example
from training.preparation import PARTS, apart
from training.tuning import HeldOut, best_mean, best_weight, means, pairs, per_query, score, weight_curve

from search.documents import Candidate
from search.errors import InvalidDataset


def held_out(dataset: str, relevant: int, count: int = 5) -> HeldOut:
    """A query whose relevant document retrieval has put at this place, from 0."""
    candidates = [Candidate(f"c{i}", f"d{i}", f"text {i}", "", {}, 0, 6, i + 1, 1 - i / 10, 2, 2, 0.0) for i in range(count)]
    return HeldOut(dataset, "choose", "query", tuple(candidates), {f"d{relevant}": 1})


def quality(queries: list[HeldOut], scores: list[np.ndarray], weight: float, depth: int | None = None) -> dict[str, float]:
    return means(per_query(queries, scores, weight, depth))


def test_a_share_of_nothing_is_retrieval_and_of_all_the_reranker() -> None:
    queries, scores = [held_out("a", relevant=2)], [np.array([0.0, 1.0, 5.0, 2.0, 3.0])]
    assert quality(queries, scores, 0) == {"a": pytest.approx(1 / np.log2(4))}
    assert quality(queries, scores, 1) == {"a": 1.0}


def test_the_share_is_chosen_by_the_mean_over_data_sets_of_which_none_may_lose() -> None:
    helpful = np.array([0.0, 0.0, 1.0, 0.0, 0.0])
    harmful = np.array([1.0, 1.5, 0.0, 0.0, 0.0])
    queries, scores = [held_out("a", 2), held_out("b", 0)], [helpful, harmful]
    curve = weight_curve(queries, scores)
    weight = best_weight(curve)
    assert 0 < weight < 1
    measured = {share: means(values) for share, values in curve.items()}
    assert measured[weight]["a"] > measured[0.0]["a"]
    assert measured[weight]["b"] == measured[0.0]["b"]
    assert measured[1.0]["b"] < measured[0.0]["b"]


def test_a_loss_within_its_own_noise_is_borne_and_a_certain_one_is_not() -> None:
    retrieval, gain = np.full(40, 0.5), {"sure": np.full(40, 0.7)}
    noisy, certain = np.full(40, 0.5), np.full(40, 0.47)
    noisy[:3] = 0.0, 0.1, 0.4  # a mean loss of .025, with a standard error of .015
    before = {"sure": retrieval, "other": retrieval}
    assert best_weight({0.0: before, 0.5: gain | {"other": noisy}}) == 0.5
    assert best_weight({0.0: before, 0.5: gain | {"other": certain}}) == 0.0
    assert best_weight({0.0: before, 0.5: gain | {"other": retrieval - 0.004}}) == 0.5


def test_data_held_out_whole_counts_as_much_as_all_that_was_taught() -> None:
    before = {name: np.full(4, 0.5) for name in ("a", "b", "c", "unseen")}
    taught = {name: np.full(4, 0.56) for name in ("a", "b", "c")}
    curve = {0.0: before, 0.4: before | {"unseen": np.full(4, 0.52)}, 0.7: taught | {"unseen": np.full(4, 0.499)}}
    assert best_weight(curve) == best_weight(curve, {"unseen"}) == 0.7
    curve[0.4]["unseen"] = np.full(4, 0.57)
    assert best_weight(curve) == 0.7
    assert best_weight(curve, {"unseen"}) == 0.4


def test_states_are_compared_by_the_mean_alone() -> None:
    before = {"a": np.array([0.2]), "b": np.array([1.0])}
    curve = {0.0: before, 0.5: {"a": np.array([0.9]), "b": np.array([0.6])}, 1.0: {"a": np.array([0.9]), "b": np.array([0.5])}}
    assert (best_mean(curve), best_weight(curve)) == (0.5, 0.0)
    assert best_mean({0.0: before, 0.5: before}) == 0.0


def test_a_reranker_that_helps_nowhere_gets_no_share() -> None:
    assert best_weight(weight_curve([held_out("a", 0)], [np.array([0.0, 1.0, 2.0, 3.0, 4.0])])) == 0.0


def test_a_query_without_candidates_counts_as_zero() -> None:
    empty = HeldOut("a", "choose", "query", (), {"d0": 1})
    assert quality([empty, held_out("a", 0)], [np.array([]), np.zeros(5)], 0.5) == {"a": 0.5}


def test_pairs_are_scored_by_the_reranker_itself() -> None:
    query = held_out("a", relevant=1)
    scores = score([query], Planted([3, 1, 4, 1, 5]))
    logits, relevant = pairs([query], scores)
    assert logits.tolist() == [3, 1, 4, 1, 5]
    assert relevant.tolist() == [False, True, False, False, False]


def test_candidates_below_the_depth_keep_their_place() -> None:
    queries, scores = [held_out("a", relevant=4)], [np.array([0.0, 0.0, 0.0, 0.0, 9.0])]
    assert quality(queries, scores, 1, depth=4) == quality(queries, scores, 0)
    assert quality(queries, scores, 1, depth=5) == {"a": 1.0}


def test_a_part_whose_passages_are_all_taught_is_refused() -> None:
    example = Example("a", "q", ("d0", "d1"), (1.0, 0.0))
    texts = {
        "a": ({"q": "question"}, {"d0": "the passage that is taught", "d1": "another one of its own", "d2": "and a third of these"})
    }
    parts = [replace(held_out("a", relevant=2), part=part) for part in PARTS]
    assert apart(parts, [example], texts) == parts
    with pytest.raises(InvalidDataset, match="held out to check none has a passage of its own"):
        apart([*parts[:2], replace(held_out("a", relevant=0), part="check")], [example], texts)


@pytest.mark.parametrize(
    ("words", "told"),
    [("--help", "--loss {bce,"), ("--base a --out b --data c train 1", "torch is missing; run this by .venv-train/")],
    ids=["help", "a run"],
)
def test_options_are_told_where_torch_is_missing(
    words: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(sys, "argv", ["train_reranker.py", *words.split()])
    with pytest.raises(SystemExit) as end:
        importlib.import_module("train_reranker").main()
    assert told in f"{capsys.readouterr().out}{end.value.code}"
