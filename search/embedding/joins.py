"""What is also one word, besides its parts? Numbers that are written in groups, with units or points, hyphened words, signs, IT."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from itertools import chain

HYPHENED = re.compile(r"(?<!-)\b[^\W\d_]+[-\u2010][^\W\d_]+(?:[-\u2010][^\W\d_]+){0,2}\b(?!-)")  # wi-fi
_GROUPS = re.compile(r"(?<!\d)\d+(?:\)?[- /]{1,2}\(?\d+)+")  # 978-4-98-101766-5, (030) 123 4567
_BEGINS, _ENDS = re.compile(r"(?<![\w.,/-])"), re.compile(r"(?![\w-]|[.,:]\d)")  # such a number, where one of its groups does
_GROUP = re.compile(r"\d+")
_SHORTEST, _LONGEST, _MOST = 7, 16, 8  # digits of such a number, and its groups
_DOTTED = re.compile(r"(?<![\w.-])[vV]?(\d+(?:\.\d+){2,7})(?![\w-]|\.\d)")  # 10.1.143.92, v1.2.3
_MARKED = re.compile(
    r"(?<![\w.,'])([1-9]\d{0,2}(?:,\d{3})+|[1-9]\d{0,2}(?:\.\d{3})+(?=,\d)|[1-9]\d{0,2}(?:['\u2019]\d{3})+)(?!\w|,\d{3})"
)
_COMMIT = re.compile(r"(?<![\w-])[0-9a-fA-F]{7,40}(?![\w-])")
_SHORT = 7  # digits by which a commit is named
_MEASURED = re.compile(
    r"(?<![\w.,])(\d+) ?((?:[kcmµμn]?m|[kmµμ]?g|[mcdh]?l|[kmgtp]i?b|[kmg]?hz|m?s|min|h|[kmg]?w|k?wh|mah?|ah|[km]?v|ohm|k?pa|bar|psi"
    r"|[kmg]?bit|[kmg]bps|fps|dpi|rpm|mph|kmh|px|pt|ft|lbs?|oz|db|kcal|k?j)(?:[23])?)(?!\w)",
    re.IGNORECASE,
)
_CAPITALS = re.compile(r"(?<![A-Z] )(?<![\w.'-])[A-Z]{2,5}(?![\w'-]|\.\w| [A-Z]{2})")  # not within a line of capitals
_TIMES = 3  # that a word is written to be another one
_DIGITS = re.compile(r"\d")
_SIGNS = {"So", "Sm", "Sc"}
_DRAWN = re.compile("[\u2044\u2500-\u259f\u2800-\u28ff\ufffc\ufffd]")  # of fractions, lines and boxes, and for what is lost


def joined(text: str, is_stop_word: Callable[[str], bool]) -> list[str]:
    """What a text has as one word, too, in a form that the tokenizer keeps."""
    found = [_measures(text), _numbers(text)] if _DIGITS.search(text) else []
    return [*chain(*found, _hyphened(text), _signs(text), _abbreviations(text, is_stop_word))]


def _hyphened(text: str) -> Iterator[str]:
    for match in HYPHENED.finditer(text) if "-" in text or "\u2010" in text else ():
        yield re.sub(r"\W", "", match[0]).lower()  # or capitals would be cut off


def _numbers(text: str) -> Iterator[str]:
    for groups in _grouped(text):
        if _SHORTEST <= sum(map(len, groups)) <= _LONGEST and len(groups) <= _MOST:
            yield "".join(groups)
    for match in _DOTTED.finditer(text):
        yield "n" + match[1].replace(".", "z")
    for match in _MARKED.finditer(text):
        yield re.sub(r"\D", "", match[1])
    for match in _COMMIT.finditer(text):
        if not match[0].isdecimal() and not match[0].isalpha():
            yield "h" + match[0][:_SHORT].lower()


def _grouped(text: str) -> Iterator[list[str]]:
    """The groups of each number: of those that stand together from the first that may begin one to the last that may end one."""
    for match in _GROUPS.finditer(text):
        groups = list(_GROUP.finditer(text, *match.span()))
        first = next((at for at, group in enumerate(groups) if _BEGINS.match(text, group.start())), len(groups))
        last = next((at for at in reversed(range(len(groups))) if _ENDS.match(text, groups[at].end())), 0)
        if first < last:
            yield [group[0] for group in groups[first : last + 1]]


def _measures(text: str) -> Iterator[str]:
    for match in _MEASURED.finditer(text):
        yield (match[1] + match[2]).lower()


def _signs(text: str) -> Iterator[str]:
    if not text.isascii():
        for sign in sorted({sign for sign in text if sign > "\x7f" and unicodedata.category(sign) in _SIGNS}):
            if not _DRAWN.match(sign):
                yield "sign" + "".join(chr(ord("a") + int(digit, 16)) for digit in f"{ord(sign):x}")


def _abbreviations(text: str, is_stop_word: Callable[[str], bool]) -> Iterator[str]:
    for match in _CAPITALS.finditer(text):
        if is_stop_word(match[0]):
            yield match[0].lower() * _TIMES
