"""Which words do two texts have in common, in order? All but few are found in time that grows with the words, not their squares."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

_RUN = 4  # words in a row, that each text has once: where they are, both go on alike
_CHANGES = 100  # words in a row that are looked at for the fewest changes; what lies behind them, for itself

_Place: TypeAlias = tuple[int, int]  # of a word in the first text and in the second one, from 0
_Chain: TypeAlias = "tuple[int, int, int, _Chain] | None"  # words in common: their first places, how many, and those before them


def aligned(one: Sequence[str], other: Sequence[str]) -> list[_Place]:
    """Places of words that both have, rising in both.

    Runs of words that each text has once are paired first, of those that changed places the larger part (Szymanski, 1975). What
    lies between them is compared by Myers' algorithm (1986), a part at a time.
    """
    found: list[_Place] = []
    at = other_at = 0
    for end, other_end in [*_anchors(one, other), (len(one), len(other))]:
        while at < end and other_at < other_end:
            common, (done, other_done) = _fewest_changes(one[at:end], other[other_at:other_end])
            found += [(at + place, other_at + other_place) for place, other_place in common]
            at, other_at = at + done, other_at + other_done
        at, other_at = end, other_end
    return found


def _anchors(one: Sequence[str], other: Sequence[str]) -> list[_Place]:
    """Places of runs that each text has once; as many as rise in both."""
    runs, others = (list(zip(*(words[skipped:] for skipped in range(_RUN)), strict=False)) for words in (one, other))
    counts, other_counts = Counter(runs), Counter(others)
    places = {run: place for place, run in enumerate(others) if other_counts[run] == 1}
    ends: list[int] = []  # of rising rows of each length: the least last place in the second text …
    rows: list[_Chain] = []  # … and the row
    for at, run in enumerate(runs):
        if counts[run] == 1 and (place := places.get(run)) is not None:
            length = bisect_left(ends, place)
            ends[length : length + 1] = [place]
            rows[length : length + 1] = [(at, place, 1, rows[length - 1] if length else None)]
    return _unrolled(rows[-1] if rows else None)


def _fewest_changes(one: Sequence[str], other: Sequence[str]) -> tuple[list[_Place], _Place]:
    """Words in common, up to places from where on it is to be looked again; these lie behind the first of one of both."""
    reached: dict[int, tuple[int, _Chain]] = {0: _slid(one, other, 0, 0, None)}  # by place less other place: the furthest
    for _ in range(_CHANGES):
        if len(one) - len(other) in reached and reached[len(one) - len(other)][0] == len(one):
            break
        further: dict[int, tuple[int, _Chain]] = {}
        for lead, (at, chain) in reached.items():
            for new, place in ((lead + 1, at + 1), (lead - 1, at)):
                if place <= len(one) and place - new <= len(other) and (new not in further or further[new][0] < place):
                    further[new] = place, chain
        reached = {lead: _slid(one, other, at, at - lead, chain) for lead, (at, chain) in further.items()}
    lead, (at, chain) = max(reached.items(), key=lambda item: 2 * item[1][0] - item[0])
    return _unrolled(chain), (at, at - lead)


def _slid(one: Sequence[str], other: Sequence[str], at: int, other_at: int, chain: _Chain) -> tuple[int, _Chain]:
    """The place behind the words that are equal from two places on, and the chain with them."""
    end, ahead = at, other_at - at
    while end < len(one) and end + ahead < len(other) and one[end] == other[end + ahead]:
        end += 1
    return end, ((at, other_at, end - at, chain) if end > at else chain)


def _unrolled(chain: _Chain) -> list[_Place]:
    places: list[_Place] = []
    while chain is not None:
        at, other_at, count, chain = chain
        places += [(at + more, other_at + more) for more in reversed(range(count))]
    return places[::-1]
