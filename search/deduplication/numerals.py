"""Which number does a text say? What English words say of numbers, in the digits that others write them with."""

import math
import re
from collections.abc import Sequence

_SMALL = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen
"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
_CARDINALS = {
    **{word: at for at, word in enumerate(_SMALL.split())},
    **{word: 10 * at for at, word in enumerate(_TENS.split(), 2)},
}
_IRREGULAR = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_ORDINALS = {  # of third: three
    _IRREGULAR.get(word, f"{word.removesuffix('y')}ieth" if word.endswith("y") else f"{word}th"): word
    for word in (*_CARDINALS, *_SCALES)
}
_TIMES = {"once": "1x", "twice": "2x", "thrice": "3x", "double": "2x", "triple": "3x", "half": "1/2", "dozen": "12"}
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+\Z")
_PLAIN = re.compile(r"(?:0|[1-9][0-9]{0,11})\Z")
_SUFFIXES = {1: "st", 2: "nd", 3: "rd"}
_HUNDRED = 100
_TEN = 10


def in_digits(words: Sequence[str]) -> list[str]:
    """Words in lower case, with numbers in digits: five 5, twenty-third 23rd, two hundred and six 206, twice 2x.

    What two numbers in a row say is both, as of years: nineteen ninety-eight 19, 98.
    """
    said: list[str] = []
    at = 0
    while at < len(words):
        end, value, ordinal = _number(words, at)
        if end == at:
            said.append(_TIMES.get(words[at], words[at]))
            at += 1
            continue
        if not ordinal and words[end : end + 1] == [_suffix(value)]:  # of 3rd, which is two words
            ordinal, end = True, end + 1
        said.append(f"{value}{_suffix(value)}" if ordinal else str(value))
        at = end
    return said


def _number(words: Sequence[str], start: int) -> tuple[int, int, bool]:
    """Where a number that starts at a word ends, its value, and whether it is one of order; the end is the start where none is."""
    whole, part, at, ordinal = 0, 0, start, False  # of two thousand six hundred and five: 2,000, and 605
    last, least = 0, math.inf  # the value of the word before, and the scale that was used: those behind it are smaller
    while at < len(words) and not ordinal:
        joined = at > start and words[at] == "and" and last in _SCALES.values() and at + 1 < len(words)
        word = words[at + joined]
        name = _ORDINALS.get(word, word)
        if name == "hundred" and not joined and part < _HUNDRED:
            last = _HUNDRED
            part = max(1, part) * last
        elif name in _SCALES and name != "hundred" and not joined and _SCALES[name] < least:
            last = least = _SCALES[name]
            whole, part = whole + max(1, part) * last, 0
        elif name in _CARDINALS and (at == start or _follows(last, _CARDINALS[name])):
            last = _CARDINALS[name]
            part += last
        elif at == start and (digits := _of_digits(word)):
            part = int(digits)  # and no word but a scale goes on
        else:
            break
        ordinal, at = word in _ORDINALS, at + joined + 1
    return at, whole + part, ordinal


def _follows(last: int, value: int) -> bool:
    """Whether a number goes on: twenty-three, two hundred six; not two three."""
    return last in _SCALES.values() or (2 * _TEN <= last < _HUNDRED and last % _TEN == 0 and 0 < value < _TEN)


def _of_digits(word: str) -> str:
    """The digits of a whole number without what groups them; empty for all other words."""
    plain = word.replace(",", "") if _GROUPED.match(word) else word
    return plain if _PLAIN.match(plain) else ""


def _suffix(value: int) -> str:
    return "th" if value % _HUNDRED // _TEN == 1 else _SUFFIXES.get(value % _TEN, "th")
