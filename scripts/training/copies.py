"""Is a passage the same as another, under another id? By runs of words: a copy, a window that overlaps, a quotation."""

import re
from collections import Counter
from collections.abc import Iterable

_RUN = 5  # words
_ALIKE = 0.5  # share of the shorter text's runs that the longer one has, too
_WORD = re.compile(r"\w+")

Shingles = frozenset[str]


def shingles(text: str) -> Shingles:
    """Every run of five words; of a shorter text, all its words."""
    words = _WORD.findall(text.lower())
    return frozenset(" ".join(words[i : i + _RUN]) for i in range(max(len(words) - _RUN + 1, 1)))


def alike(one: Shingles, other: Shingles) -> bool:
    """Whether more than half of the shorter text stands in the longer one."""
    return len(one & other) > _ALIKE * min(len(one), len(other))


class Known:
    """Texts among which copies are looked for."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._sizes: list[int] = []
        self._places: dict[str, list[int]] = {}
        for number, text in enumerate(dict.fromkeys(texts)):
            own = shingles(text)
            self._sizes.append(len(own))
            for shingle in own:
                self._places.setdefault(shingle, []).append(number)

    def holds(self, text: str) -> bool:
        """Whether one of the texts is alike to this one."""
        own = shingles(text)
        shared = Counter(number for shingle in own for number in self._places.get(shingle, ()))
        return any(count > _ALIKE * min(len(own), self._sizes[number]) for number, count in shared.items())
