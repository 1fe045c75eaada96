"""Clusters are stars: every member is confirmed against its representative."""

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


def test_pairs_with_a_representative_that_no_query_found_are_named() -> None:
    judged = [pair("a", "b", 0.95), pair("b", "c", 0.95)]
    assert unjudged(stars(["a", "b", "c"], judged, 0.9), judged, 0.9) == [("a", "c")]
    judged.append(pair("a", "c", 0.96))
    assert unjudged(stars(["a", "b", "c"], judged, 0.9), judged, 0.9) == []
    assert stars(["a", "b", "c"], judged, 0.9) == [Star("a", (("c", 0.96), ("b", 0.95)))]
