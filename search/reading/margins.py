"""What of printed pages is no text of theirs? Running heads, numbers of pages, contents with their dots."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise

_PAGE = r"\b(?:page|pg|p|seite|s|folie|slide|página|pág|pagina|sida|side|sivu|strona|стр)\b\.? *"
_NUMBER = r"(?P<number>\d{1,5})(?P<total> *(?:/|of|von|de|sur|di|van|av|af|из) *\d{1,5})?"
_AT_BEGINNING = re.compile(rf"\W*(?P<word>{_PAGE})?{_NUMBER}(?![\w.,:-])(?P<rest>.*)", re.IGNORECASE)
_AT_END = re.compile(rf"(?P<rest>.*?)(?P<word>{_PAGE})?(?<![\w.,:-]){_NUMBER}\W*", re.IGNORECASE)
_BETWEEN_DIGITS = re.compile(r"[\W\d_]*\d[\W\d_]*|[^\w]+\Z|\A[^\w]+")
_DIGIT = re.compile(r"\d")
_AMOUNT = re.compile(r"\d[.,]\d\d(?!\w)")  # as at the end of a bill
_LONGEST = 200  # characters of a line on the margin
_FEWEST = 3  # pages on which it stands
_PART_OF_PAGES = 1 / 3  # that bear numbers which count with them
_PART_WITH_DIGITS = 1 / 2  # of all pages, which have a running head with digits of its own
_PART_OF_STRETCH = 0.4  # of the pages from a running head's first to its last: every second one, but for some
_FEWEST_WORDS = 3  # before a number at the top: "Week 3" is the title of a page
_MOST_LOOKED_UP = 1000  # running heads, and as many names of contents
_MOST_NAMES = 50  # of a page
_DOTS = re.compile(r"[.·…](?: ?[.·…]){4,}")
_ENTRY = re.compile(r"(?<![.·…])(?<![.·…] )[.·…](?: ?[.·…]){2,} *(?:(\d{1,5})|[ivxlcIVXLC]{1,7})\s*\Z")
_DOTTED_END = re.compile(r"(?<![.·…])[.·…](?: ?[.·…]){2,} *\w*\s*\Z")
_NO_LETTERS = re.compile(r"[\W\d_]+")
_ENTRY_WITHOUT_DOTS = re.compile(r"\S.* \d{1,5}\s*\Z")
_ENTRIES = 5  # that make contents of lines
_PART_IN_ORDER = 0.9
_WORDS_OF_A_HEADING = 5  # above contents, at most

_Line = tuple[int, str]  # which of a page's lines it is, and its words


def without_margins(pages: Sequence[str]) -> list[str]:
    """Pages without what stands on the margins of many, and without contents, whose entries head the text.

    Numbers go that count with the pages, and a running head wherever its words stand before. Dots in a row become one sign.
    """
    lines = [page.split("\n") for page in pages]
    if len(pages) >= _FEWEST:
        _Margins(pages, lines).remove()
    texts: list[str] = []
    fewest = _ENTRIES
    names: _Names | None = None
    for number, page in enumerate(lines):
        text = "\n".join(page)
        if not _DOTS.search(text):
            fewest = _ENTRIES
        else:
            names = names or _Names(pages)
            left = _without_contents(page, number, names, fewest)
            fewest = 1 if len(left) < len(page) else _ENTRIES  # where contents go on, a few are enough
            text = _DOTS.sub("…", "\n".join(left))
        texts.append(text)
    return texts if any(map(str.strip, texts)) else list(pages)


class _Margins:
    """The first and the last lines of pages."""

    def __init__(self, pages: Sequence[str], lines: list[list[str]]) -> None:
        self._lines = lines
        self._with_text = sum(any(map(str.strip, page)) for page in lines)
        self._text = "\f".join(pages).lower()
        self._starts = list(accumulate((len(page.lower()) + 1 for page in pages), initial=0))
        self._told: set[tuple[str, ...]] = set()  # words of running heads that stand in what stays
        self._gone: list[set[int]] = [set() for _ in lines]  # of each page, lines

    def remove(self) -> None:
        """At each end the outermost line, and the next one where that or this one is nothing but a number."""
        for is_top in (True, False):
            first = self._outermost(is_top=is_top, beyond=dict.fromkeys(range(len(self._lines))))
            found = self._numbered(first, is_top=is_top) | self._repeated(first, is_top=is_top)
            second = self._outermost(is_top=is_top, beyond={page: first[page][0] for page in found})
            numbers = {page for page in self._numbered(second, is_top=is_top) if not _words_of(second[page][1])}
            beside = {page: line for page, line in second.items() if not _words_of(first[page][1])}
            self._remove(found, first)
            self._remove(numbers | self._numbered(beside, is_top=is_top) | self._repeated(beside, is_top=is_top), second)
        for page, gone in enumerate(self._gone):
            self._lines[page][:] = [line for number, line in enumerate(self._lines[page]) if number not in gone]

    def _outermost(self, *, is_top: bool, beyond: Mapping[int, int | None]) -> dict[int, _Line]:
        """Of some pages the first or the last line with words, beyond one where there is one, if it is no long one."""
        found: dict[int, _Line] = {}
        for page, edge in beyond.items():
            lines = self._lines[page]
            start = (0 if is_top else len(lines) - 1) if edge is None else edge + (1 if is_top else -1)
            numbers = range(start, len(lines)) if is_top else range(start, -1, -1)
            at = next((number for number in numbers if lines[number].strip()), None)
            if at is not None and at not in self._gone[page] and len(lines[at]) <= _LONGEST:
                found[page] = at, " ".join(lines[at].split())
        return found

    def _numbered(self, lines: Mapping[int, _Line], *, is_top: bool) -> set[int]:
        """Pages whose line bears a number that counts with the pages."""
        offsets: defaultdict[int, set[int]] = defaultdict(set)
        matches = [(page, match) for page, line in lines.items() for match in _numbers_of(line[1])]
        for page, match in matches:
            offsets[int(match["number"]) - page].add(page)
        fewest = max(_FEWEST, self._with_text * _PART_OF_PAGES)
        counting = [(page, match) for page, match in matches if len(offsets[int(match["number"]) - page]) >= fewest]
        on_both_sides = {match["rest"].strip() for _, match in counting if match.re is _AT_BEGINNING}
        return {
            page
            for page, match in counting
            if not (is_top and match.re is _AT_END and 0 < len(match["rest"].split()) < _FEWEST_WORDS)
            or match["word"]
            or match["total"]
            or match["rest"].strip() in on_both_sides
        }

    def _repeated(self, lines: Mapping[int, _Line], *, is_top: bool) -> set[int]:
        """Pages whose line stands on several, and on most between these."""
        pages: defaultdict[str, list[int]] = defaultdict(list)
        for page, (_, words) in lines.items():
            if _words_of(words) and (is_top or not _AMOUNT.search(words)):
                pages[words].append(page)
        return {
            page
            for words, found in pages.items()
            if len(found) >= _FEWEST and len(found) >= _PART_OF_STRETCH * (found[-1] - found[0] + 1)
            if not _DIGIT.search(words) or len(found) >= _PART_WITH_DIGITS * self._with_text
            for page in found
        }

    def _remove(self, pages: set[int], lines: Mapping[int, _Line]) -> None:
        """Take away the lines of some pages, but one that says what no text before it does, or that is all there is."""
        for page in sorted(pages):
            at, line = lines[page]
            words = _words_of(line)
            is_all = not any(one.strip() for number, one in enumerate(self._lines[page]) if number not in {at, *self._gone[page]})
            if not words or (not is_all and self._is_told(words, page, self._lines[page][at])):
                self._gone[page].add(at)

    def _is_told(self, words: tuple[str, ...], page: int, line: str) -> bool:
        """Whether what a running head says stands before it, too."""
        if words in self._told:
            return True
        if len(self._told) == _MOST_LOOKED_UP:
            return False
        self._told.add(words)
        place = self._text.find(line.lower(), self._starts[page], self._starts[page + 1])
        return place > 0 and all(self._text.find(part, 0, place) >= 0 for part in words)


def is_number_of_page(line: str) -> bool:
    """Whether it says nothing else."""
    return not all(match["rest"] for match in _numbers_of(line))


def _numbers_of(line: str) -> Iterator[re.Match[str]]:
    return (match for one in (_AT_BEGINNING, _AT_END) if (match := one.fullmatch(line)))


def _words_of(line: str) -> tuple[str, ...]:
    """What stands between numbers; nothing if the line is the number of a page."""
    if is_number_of_page(line):
        return ()
    return tuple(part for part in _BETWEEN_DIGITS.split(line.lower()) if part)


class _Names:
    """Which names of contents head the text? The entries of a price list stand nowhere else."""

    def __init__(self, pages: Sequence[str]) -> None:
        letters = [_letters_of(page) for page in pages]
        self._text = "\f".join(letters)
        self._starts = list(accumulate((len(page) + 1 for page in letters), initial=0))
        self._left = _MOST_LOOKED_UP
        self.pages = len(pages)

    def head_text(self, names: Sequence[str], page: int) -> bool:
        """Whether most of them stand on another page."""
        looked_up = [letters for name in names if (letters := _letters_of(name))][: min(_MOST_NAMES, self._left)]
        self._left -= len(looked_up)
        start, end = self._starts[page : page + 2]
        found = sum(self._text.find(one, 0, start) >= 0 or self._text.find(one, end) >= 0 for one in looked_up)
        return bool(looked_up) and 2 * found >= len(looked_up)


def _letters_of(text: str) -> str:
    """Without numbers, which a heading may have elsewhere."""
    return _NO_LETTERS.sub("", text.lower())


def _without_contents(lines: list[str], page: int, names: _Names, fewest: int) -> list[str]:
    """The lines of a page without entries of contents, with dots between names and numbers of pages, in order."""
    entries = {number: match[1] for number, line in enumerate(lines) if (match := _ENTRY.search(line[-_LONGEST:]))}  # and its page
    if len(entries) < fewest:
        return lines
    first, last = min(entries), max(entries)
    named = [int(number) for number in entries.values() if number]
    in_order = sum(one <= other for one, other in pairwise(named))
    if max(named, default=0) > names.pages or in_order < _PART_IN_ORDER * (len(named) - 1):
        return lines
    if not names.head_text([_DOTTED_END.sub("", lines[number][-_LONGEST:]) for number in entries], page):
        return lines
    while first and _ENTRY_WITHOUT_DOTS.match(lines[first - 1]):
        first -= 1
    while last + 1 < len(lines) and _ENTRY_WITHOUT_DOTS.match(lines[last + 1]):
        last += 1
    inside = [line for number, line in enumerate(lines[first : last + 1], first) if line.strip() and number not in entries]
    others = sum(not _ENTRY_WITHOUT_DOTS.match(line) for line in inside)
    if 2 * others > len(inside) + len(entries):
        return lines
    left = lines[:first] + lines[last + 1 :]
    return left if sum(len(line.split()) for line in left) > _WORDS_OF_A_HEADING else []
