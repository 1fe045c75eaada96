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

    Documents are in the order in which they represent others. Each joins the likeliest of the representatives before it that it is
    confirmed against, by the threshold at least; one that joins none becomes one.
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


def unjudged(ordered: Sequence[str], found: Sequence[Star], judged: Sequence[Judged], threshold: float) -> list[tuple[str, str]]:
    """Pairs of representatives that have members confirmed against one another, and that nobody has judged; ids in order.

    A document that joined none represents itself. Of each only the pair with the first before it is given, which many others
    may join, too: so asking again and again takes few pairs, where all of a great cluster would be squares of its documents.
    """
    known = {(one.first, one.second) for one in judged}
    place = {document: at for at, document in enumerate(ordered)}
    leads = {member: star.representative for star in found for member, _ in star.members}
    first_of: dict[str, str] = {}
    for one in judged:
        if one.probability >= threshold:
            before, behind = sorted((leads.get(end, end) for end in (one.first, one.second)), key=lambda end: place[end])
            pair = min(before, behind), max(before, behind)
            if before != behind and pair not in known and place[before] < place[first_of.get(behind, behind)]:
                first_of[behind] = before
    return sorted((min(pair), max(pair)) for pair in first_of.items())


def neighbours(judged: Sequence[Judged], threshold: float) -> Mapping[str, Mapping[str, float]]:
    """What every document is confirmed against, with the probability."""
    confirmed: dict[str, dict[str, float]] = {}
    for one in judged:
        if one.probability >= threshold:
            confirmed.setdefault(one.first, {})[one.second] = one.probability
            confirmed.setdefault(one.second, {})[one.first] = one.probability
    return confirmed
