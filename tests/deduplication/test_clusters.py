"""Clusters are stars: every member is confirmed against its representative."""

from collections.abc import Callable, Iterable
from random import Random

import pytest

from search.deduplication.clusters import Star, stars, unjudged
from search.deduplication.pairs import Judged


def pair(first: str, second: str, probability: float) -> Judged:
    return Judged(first, second, probability, (), code=False)


def test_no_chain_joins_what_is_unlike() -> None:
    judged = [pair("a", "b", 0.95), pair("b", "c", 0.95), pair("a", "c", 0.1)]
    assert stars(["a", "b", "c"], judged, 0.9) == [Star("a", (("b", 0.95),))]


def test_who_could_join_two_joins_the_likelier() -> None:
    judged = [pair("a", "c", 0.92), pair("b", "c", 0.97)]
    assert stars(["a", "b", "c"], judged, 0.9) == [Star("b", (("c", 0.97),))]


def test_below_the_threshold_nothing_is_joined() -> None:
    assert stars(["a", "b"], [pair("a", "b", 0.89)], 0.9) == []


def test_pairs_of_representatives_that_no_query_found_are_named() -> None:
    judged = [pair("a", "b", 0.95), pair("b", "c", 0.95)]
    assert unjudged("abc", stars("abc", judged, 0.9), judged, 0.9) == [("a", "c")]
    judged.append(pair("a", "c", 0.96))
    assert unjudged("abc", stars("abc", judged, 0.9), judged, 0.9) == []
    assert stars("abc", judged, 0.9) == [Star("a", (("c", 0.96), ("b", 0.95)))]


@pytest.mark.parametrize("nearest", [lambda at, _: range(at + 1, at + 6), lambda _, chance: chance.sample(range(1000), 9)])
def test_what_says_the_same_becomes_one_cluster_by_few_more_pairs(nearest: Callable[[int, Random], Iterable[int]]) -> None:
    """Whether candidates are a chain, or each has others from anywhere. Half a million pairs there are."""
    chance = Random(1)  # noqa: S311 -- no secret
    documents = [f"{at:03}" for at in range(1000)]
    pairs = {
        (min(at, other), max(at, other)) for at in range(1000) for other in nearest(at, chance) if other != at and other < 1000
    }
    judged = [pair(documents[at], documents[other], chance.uniform(0.95, 1)) for at, other in sorted(pairs)]
    candidates = len(judged)
    chance.shuffle(documents)
    found = stars(documents, judged, 0.9)
    assert len(found) > 1
    while missing := unjudged(documents, found, judged, 0.9):
        judged += [pair(*one, chance.uniform(0.95, 1)) for one in missing]
        found = stars(documents, judged, 0.9)
    assert [len(star.members) for star in found] == [999]
    assert len(judged) < 1.6 * candidates


def test_clusters_that_are_none_together_are_asked_about_once() -> None:
    judged = [pair("a", "b", 0.95), pair("b", "c", 0.95), pair("c", "d", 0.95), pair("a", "c", 0.1)]
    found = stars("abcd", judged, 0.9)
    assert found == [Star("a", (("b", 0.95),)), Star("c", (("d", 0.95),))]
    assert unjudged("abcd", found, judged, 0.9) == []
