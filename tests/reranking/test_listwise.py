"""Windows from the last text to the first, and what a model wrote read as an order: whatever it wrote, every text has one place."""

from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.reranking.contract import Deadline, Vector
from search.reranking.listwise import by_windows, permutation

# What models write: any text at all, and texts made of what an answer is made of.
WRITTEN = st.text() | st.lists(st.sampled_from(["[", "]", " > ", "<think>", "</think>", "0", "1", "2", "10", "99999999999"])).map(
    "".join
)


@st.composite
def windows(draw: st.DrawFn) -> tuple[int, int]:
    """A window, and a stride that is smaller."""
    window = draw(st.integers(2, 12))
    return window, draw(st.integers(1, window - 1))


def best_first(scores: Vector) -> list[int]:
    return [int(i) for i in np.argsort(-scores)]


def visited(count: int, window: int, stride: int) -> list[list[int]]:
    """The numbers in each window, when the model leaves everything where it stands."""
    seen: list[list[int]] = []

    def order(numbers: Sequence[int]) -> Sequence[int]:
        seen.append(list(numbers))
        return numbers

    by_windows(count, window, stride, order, None)
    return seen


@given(WRITTEN, st.integers(0, 30))
def test_whatever_is_written_is_a_permutation_or_none(answer: str, count: int) -> None:
    order = permutation(answer, count)
    assert not order or sorted(order) == list(range(count))


@given(
    st.permutations(range(12)),
    st.sampled_from(["[{}]", "{}", "[ {} ]", "({})", "Passage {}"]),
    st.sampled_from([" > ", ", ", "\n"]),
)
def test_an_order_is_read_as_it_is_written(numbers: list[int], style: str, between: str) -> None:
    assert permutation(between.join(style.format(number + 1) for number in numbers), 12) == numbers


READINGS: dict[str, tuple[str, list[int]]] = {
    "what was asked for": ("[3] > [1] > [4] > [2]", [2, 0, 3, 1]),
    "what is missing follows as it stood": ("[3]", [2, 0, 1, 3]),
    "the first mention counts": ("[2] > [2] > [1] > [2] > [4] > [3]", [1, 0, 3, 2]),
    "numbers nobody has": ("[0] > [5] > [4] > [-7] > [2]", [3, 1, 0, 2]),
    "a number too long for one is not two": ("1234567892 > 1000000004 > 3", [2, 0, 1, 3]),
    "nothing": ("", []),
    "prose": ("I am sorry, I cannot order these.", []),
    "names with digits": ("R2-D2 and C3PO cannot order these.", []),
    "a JSON list": ("[4, 3, 1, 2]", [3, 2, 0, 1]),
    "a numbered list": ("1. [4]\n2. [2]\n3. [1]\n4. [3]", [3, 1, 0, 2]),
    "the question repeated": ("The order of the 4 passages: [2] > [1] > [3] > [4]", [1, 0, 2, 3]),
    "space in the brackets": ("Passages 1 to 4 in order: [ 4 ] > [2 ] > [ 1]", [3, 1, 0, 2]),
    "thoughts": ("<think>[4] is long, [3] is off topic</think>[2] > [1] > [3] > [4]", [1, 0, 2, 3]),
    "thoughts begun in the prompt": ("[4] is long, [3] is off topic</think>\n\n[2] > [1]", [1, 0, 2, 3]),
    "thoughts without end": ("<think>[4] is long, [3] is off topic, and", []),
}


@pytest.mark.parametrize("name", READINGS)
def test_answers_are_read(name: str) -> None:
    answer, order = READINGS[name]
    assert permutation(answer, 4) == order


@given(windows(), st.integers(0, 60), st.randoms(use_true_random=False))
def test_any_order_gives_every_place_once(sizes: tuple[int, int], count: int, random: Random) -> None:
    def order(numbers: Sequence[int]) -> list[int]:
        shuffled = list(numbers)
        random.shuffle(shuffled)
        return shuffled

    scores = by_windows(count, *sizes, order, None)
    assert scores.dtype == np.float32
    assert sorted(scores, reverse=True) == [np.float32(1 / place) for place in range(1, count + 1)]


@given(windows(), st.integers(0, 60).flatmap(lambda count: st.permutations(range(count))))
def test_the_best_rise_to_the_top_from_wherever_they_stood(sizes: tuple[int, int], relevance: list[int]) -> None:
    window, stride = sizes
    scores = by_windows(len(relevance), window, stride, lambda numbers: sorted(numbers, key=lambda i: -relevance[i]), None)
    truth = sorted(range(len(relevance)), key=lambda i: -relevance[i])
    right = len(relevance) if len(relevance) <= window else window - stride
    assert best_first(scores)[:right] == truth[:right]


def test_windows_go_from_the_end_to_the_beginning() -> None:
    assert visited(30, 20, 10) == [list(range(10, 30)), list(range(20))]
    assert visited(25, 20, 10) == [list(range(5, 25)), list(range(15))]
    assert visited(9, 4, 2) == [[5, 6, 7, 8], [3, 4, 5, 6], [1, 2, 3, 4], [0, 1, 2]]
    assert visited(5, 4, 3) == [[1, 2, 3, 4], [0, 1]]


def test_what_fits_one_window_is_ordered_once() -> None:
    assert visited(20, 20, 10) == [list(range(20))]
    assert visited(3, 20, 10) == [[0, 1, 2]]
    assert visited(1, 20, 10) == [[0]]
    assert visited(0, 20, 10) == []


@given(windows(), st.integers(0, 60))
def test_every_text_is_seen_and_no_window_is_too_large(sizes: tuple[int, int], count: int) -> None:
    seen = visited(count, *sizes)
    assert {number for numbers in seen for number in numbers} == set(range(count))
    assert all(len(numbers) <= sizes[0] for numbers in seen)


def test_what_rises_is_seen_again() -> None:
    asked: list[list[int]] = []

    def order(numbers: Sequence[int]) -> list[int]:
        asked.append(list(numbers))
        return list(numbers)[::-1]

    scores = by_windows(6, 4, 2, order, None)
    assert asked == [[2, 3, 4, 5], [0, 1, 5, 4]]
    assert best_first(scores) == [4, 5, 1, 0, 3, 2]


def test_nothing_and_one_text() -> None:
    assert by_windows(0, 4, 2, list, None).tolist() == []
    assert by_windows(1, 4, 2, list, None).tolist() == [1]
    assert permutation("[1] > [2]", 0) == []
    assert permutation("[2] > [1]", 1) == [0]


def test_a_deadline_that_has_passed_asks_for_nothing() -> None:
    def order(numbers: Sequence[int]) -> Sequence[int]:
        raise AssertionError(numbers)

    scores = by_windows(5, 4, 2, order, Deadline.after_ms(-1))
    assert scores.dtype == np.float32
    assert np.isnan(scores).tolist() == [True] * 5


def test_a_deadline_that_passes_between_windows_leaves_nothing_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("search.reranking.contract.time.monotonic", lambda: now)
    asked: list[list[int]] = []

    def order(numbers: Sequence[int]) -> Sequence[int]:
        nonlocal now
        now += 1
        asked.append(list(numbers))
        return numbers

    assert np.isnan(by_windows(8, 4, 2, order, Deadline(1.5))).all()
    assert asked == [[4, 5, 6, 7], [2, 3, 4, 5]]
    now = 0.0
    assert by_windows(8, 4, 2, order, Deadline(2.5)).tolist() == pytest.approx([1 / place for place in range(1, 9)])
