"""How many words of a text stand in place of others? Neither synonyms of a list nor words that are spelt alike are counted."""

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from search.deduplication.synonyms import senses

CLAUSE = 15  # words in a row, more than a phrase has: where that many are others, it is another text
_SPELT_ALIKE = 0.75  # of the letters of two words, that both have in order: recieve and receive, house and houses
_MOST_PLACES = 100  # that are looked up in the other text, of stretches that it has nothing in place of
_MOST_SPELT = 500  # different words that either has alone: from there on they are not compared by how they are spelt
_FARTHEST = 2  # times the words of a stretch: what is farther apart leaves no place for them

_Place = tuple[bool, int]  # whether a stretch is before it, and the run that stands there


class Side(NamedTuple):
    """A text beside another one."""

    told: Sequence[str]  # its words in order
    begins: NDArray[np.bool_]  # whether a sentence begins with each of them, and at the end, where one would: bool (k + 1,)
    runs: NDArray[np.uint64]  # hashes of a few words each, in order: uint64 (n,)
    alone: NDArray[np.int64]  # of every word, how many in a row with it stand in no run of the other text: int64 (k,)
    left: Counter[str]  # the words that the other text has not, and how many of each


class _Stretch(NamedTuple):
    """Words in a row that stand in no run of the other text."""

    length: int
    before: _Place
    behind: _Place
    parts: int  # how many of them stand in no sentence that the stretch has whole
    words: list[str]  # that are left of those
    sentences: list[list[str]]  # what is left of each sentence that it has whole

    @property
    def left(self) -> list[str]:
        """What is left of all."""
        return [word for words in (self.words, *self.sentences) for word in words]


def replaced(one: Side, other: Side) -> int:
    """How many words of either text stand in place of others, any of which may turn the sense. What is left of the sides is taken.

    In place of one another are words with the same words before or behind them, wherever their sentences have gone: so neither a
    heading nor a sentence more hides one, and a word that is gone is none. Words that change places are not seen.
    """
    sides = one, other
    if not (one.left and other.left):
        return 0
    spelt = min(int(side.alone.max(initial=0)) for side in sides) < CLAUSE  # else it is another text, whatever its words are
    found = [list(_stretches(side)) for side in sides]
    places: dict[_Place, _Place] = {}  # stretches lead from what is before them to what is behind; by that they come together
    for stretch in chain(*found):
        places[_root(places, stretch.before)] = _root(places, stretch.behind)
    together: dict[_Place, tuple[list[_Stretch], list[_Stretch]]] = {}
    for which, stretches in enumerate(found):
        for stretch in stretches:
            together.setdefault(_root(places, stretch.before), ([], []))[which].append(stretch)
    both = [stretches for stretches in together.values() if all(stretches)]
    exchanged = [_exchanged(*stretches) for stretches in both]
    for own, others in exchanged:
        _match([own], [others], spelt=spelt)
    _match([own for own, _ in exchanged], [others for _, others in exchanged], spelt=False)  # of clauses that moved
    counts = [min(own.total(), others.total()) for own, others in exchanged]
    hidden = [stretches for stretches in together.values() if not all(stretches)]
    hidden += [stretches for stretches, count in zip(both, counts, strict=True) if not count]
    if spelt:
        counts += [_repeated(sides[1 - which], [one for stretches in hidden for one in stretches[which]]) for which in range(2)]
    return sum(counts)


def is_swapped(word: str, other: str) -> bool:
    """Whether two words are the same but for two letters in each other's place."""
    differing = [at for at, (one, two) in enumerate(zip(word, other, strict=False)) if one != two]
    first = differing[0] if differing else 0
    swapped = word[:first] + word[first : first + 2][::-1] + word[first + 2 :]
    return len(differing) == 2 and swapped == other  # noqa: PLR2004  # letters


def _exchanged(stretches: list[_Stretch], others: list[_Stretch]) -> tuple[Counter[str], Counter[str]]:
    """What is left of either, but for what either has more of whole sentences: they stand in place of none."""
    sides = stretches, others
    whole = [sorted((some for stretch in side for some in stretch.sentences), key=len, reverse=True) for side in sides]
    alike = len({any(stretch.parts for stretch in side) for side in sides}) == 1  # else what is a sentence here is none there
    most = (min if alike else max)(map(len, whole))
    own, other = (
        Counter(word for words in [*(stretch.words for stretch in side), *some[:most]] for word in words)
        for side, some in zip(sides, whole, strict=True)
    )
    return own, other


def _match(own: list[Counter[str]], others: list[Counter[str]], *, spelt: bool) -> None:
    """Take words that may stand for one another from both."""
    all_own, all_others = (Counter(chain.from_iterable(part.elements() for part in some)) for some in (own, others))
    for _, word, stand_in in sorted(_stand_ins(all_own, all_others, spelt=spelt)):
        both = min(all_own[word], all_others[stand_in])
        for one, every, parts in ((word, all_own, own), (stand_in, all_others, others)):
            every[one] -= both
            left = both
            for part in parts if both else ():
                taken = min(left, part[one])
                part[one] -= taken
                left -= taken


def _repeated(side: Side, stretches: list[_Stretch]) -> int:
    """The same where what stands in place of a stretch is known to its text from elsewhere: ascending here, too, not descending."""
    count = 0
    for stretch in [one for one in stretches if one.left][:_MOST_PLACES]:
        own, others = Counter(stretch.left), Counter(_taken(side.left, _between(side, stretch)))
        _match([own], [others], spelt=True)
        count += min(own.total(), others.total())
    return count


def _stretches(side: Side) -> Iterator[_Stretch]:
    """Stretches with the runs before and behind them; 0 at the ends of a text."""
    edges = np.flatnonzero(np.diff((side.alone > 0).astype(np.int8), prepend=0, append=0))
    size, count = _size(side), len(side.told)
    for start, end in edges.reshape(-1, 2).tolist():
        before = int(side.runs[start - size]) if start else 0
        behind = int(side.runs[end]) if end < count else 0
        edge = (np.flatnonzero(side.begins[start : end + 1]) + start).tolist()
        first, last = (edge[0], edge[-1]) if edge else (end, end)
        sentences = [_taken(side.left, side.told[begin:behind_it]) for begin, behind_it in pairwise(edge)]
        words = _taken(side.left, [*side.told[start:first], *side.told[last:end]])
        yield _Stretch(end - start, (False, before), (True, behind), end - start - (last - first), words, sentences)


def _between(side: Side, stretch: _Stretch) -> Sequence[str]:
    """The words that a text has between what is before and behind a stretch of another one; none where that is far apart."""
    (_, before), (_, behind) = stretch.before, stretch.behind
    starts = np.flatnonzero(side.runs == before) + _size(side) if before else np.zeros(1, np.int64)
    ends = np.flatnonzero(side.runs == behind) if behind else np.array([len(side.told)])
    nearest = np.searchsorted(ends, starts)
    starts, nearest = starts[nearest < len(ends)], nearest[nearest < len(ends)]
    if not len(starts):
        return ()
    closest = int(np.argmin(ends[nearest] - starts))
    start, end = int(starts[closest]), int(ends[nearest[closest]])
    return side.told[start:end] if end - start <= _FARTHEST * stretch.length else ()


def _size(side: Side) -> int:
    """Words of a run."""
    return len(side.told) - len(side.runs) + 1


def _root(places: dict[_Place, _Place], place: _Place) -> _Place:
    while places.setdefault(place, place) != place:
        places[place] = place = places[places[place]]
    return place


def _taken(left: Counter[str], words: Sequence[str]) -> list[str]:
    """Those of some words that are left, which are taken."""
    taken = []
    for word in words:
        if left[word] > 0:
            left[word] -= 1
            taken.append(word)
    return taken


def _stand_ins(own: Counter[str], others: Counter[str], *, spelt: bool) -> Iterator[tuple[tuple[float, str, str], str, str]]:
    """Words that may stand for one another, with what sorts them, whichever text is the first: the likest come first."""
    meanings: dict[int, list[str]] = {}
    ends: dict[tuple[int, str], list[str]] = {}  # by their first letter, and by their last
    spelt = spelt and max(len(own), len(others)) <= _MOST_SPELT
    for word in others:
        for sense in senses(word):
            meanings.setdefault(sense, []).append(word)
        for end in (0, -1):
            ends.setdefault((end, word[end]), []).append(word)
    for word in own:
        known = {one for sense in senses(word) for one in meanings.get(sense, ())}
        near = {one for end in (0, -1) for one in ends.get((end, word[end]), ())} if spelt and not word[0].isdigit() else set()
        for other in known | near:
            first, second = min(word, other), max(word, other)
            likeness = 1.0 if other in known else _likeness(first, second)
            if likeness >= _SPELT_ALIKE:
                yield (-likeness, first, second), word, other


def _likeness(first: str, second: str) -> float:
    """The share of letters that two words have in order, 0 to 1: 1 where two are swapped, 0 where lengths alone tell them apart."""
    if is_swapped(first, second):
        return 1.0
    fewer, more = sorted((len(first), len(second)))
    return SequenceMatcher(None, first, second).ratio() if 2 * fewer >= _SPELT_ALIKE * (fewer + more) else 0.0
