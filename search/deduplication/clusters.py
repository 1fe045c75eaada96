"""Which documents stand for which? Every member is confirmed against its representative, so that no chain joins what is unlike."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from search.deduplication.pairs import Judged


class Star(NamedTuple):
    """A representative, and the members with their probability."""

    representative: str
    members: tuple[tuple[str, float], ...]


def stars(ordered: Sequence[str], judged: Sequence[Judged], threshold: float) -> list[Star]:
    """Clusters of more than one document, in the order of their representatives.

    A document joins the likeliest of the representatives before it that it is confirmed against; one that joins none becomes one.

    Args:
        ordered: documents, who represents others first.
        judged: pairs of them.
        threshold: the least probability.
    """
    confirmed = neighbours(judged, threshold)
    members: dict[str, list[tuple[str, float]]] = {}
    for document in ordered:
        near = {other: chance for other, chance in confirmed.get(document, {}).items() if other in members}
        if near:
            representative = max(near, key=lambda one: (near[one], one))
            members[representative].append((document, near[representative]))
        else:
            members[document] = []
    return [
        Star(one, tuple(sorted(joined, key=lambda member: (-member[1], member[0])))) for one, joined in members.items() if joined
    ]


def unjudged(found: Sequence[Star], judged: Sequence[Judged], threshold: float) -> list[tuple[str, str]]:
    """Pairs of a document and the representative of one that it is confirmed against, that nobody has judged yet; ids in order."""
    known = {(one.first, one.second) for one in judged}
    leads = {member: star.representative for star in found for member, _ in star.members}
    missing: set[tuple[str, str]] = set()
    for one, others in neighbours(judged, threshold).items():
        for other in others:
            for document, representative in ((one, leads.get(other)), (leads.get(one), leads.get(other))):
                if document is not None and representative is not None and document != representative:
                    missing.add((min(document, representative), max(document, representative)))
    return sorted(missing - known)


def neighbours(judged: Sequence[Judged], threshold: float) -> Mapping[str, Mapping[str, float]]:
    """What every document is confirmed against, with the probability."""
    confirmed: dict[str, dict[str, float]] = {}
    for one in judged:
        if one.probability >= threshold:
            confirmed.setdefault(one.first, {})[one.second] = one.probability
            confirmed.setdefault(one.second, {})[one.first] = one.probability
    return confirmed
