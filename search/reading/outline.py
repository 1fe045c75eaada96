"""Which lines of a PDF are headings? Those that its bookmarks lead to: they are marked as in Markdown, between empty lines."""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from itertools import accumulate, islice
from typing import Any, NamedTuple

from search.passages import few_marks
from search.reading.margins import is_number_of_page

_MOST = 20_000  # bookmarks
_LONGEST = 300  # characters of a heading
_LINES = 3  # that a heading is of, at most
_DEEPEST = 6
_TRIES = 100
_TOP = 2 / 3  # of a page's height: above it, a bookmark leads to the page as a whole
_CHAPTER = (
    "chapter|part|section|appendix|annex|kapitel|teil|abschnitt|anhang|chapitre|partie|annexe|capítulo|parte|capitolo|глава|часть"
    "|приложение|第"
)
_NUMBERING = re.compile(  # at the beginning of a title
    rf"\A\W*(?:(?:{_CHAPTER})\s*)?(?:\d+(?:\.\d+)*|[a-z](?:\.\d+)+|[ivxlc]+|[a-z])(?:[.:)章节節部]|\s)\W*", re.IGNORECASE
)
_BEFORE = re.compile(rf"(?:{_CHAPTER})?(?:[a-z]?\d{{1,9}}|[ivxlc]+|[a-z])?[章节節部]?")  # the same in letters and digits
_OPENING = re.compile(rf"\s*(?:{_CHAPTER})\W+\w+(?:[ -]\w+)?\s*", re.IGNORECASE)  # "CHAPTER" and "ONE", on lines above a title
_NO_WORDS = bytes(sign for sign in range(128) if sign != ord("\n") and not chr(sign).isalnum())
_UNBROKEN = re.compile(r"(?<=[\x02\ufffe]) ")  # behind what the library has for a hyphen at the end of a line
_LIKE_HEADING = re.compile(r"^(?=#{1,6} )", re.MULTILINE)


class _Bookmark(NamedTuple):
    """Where one leads.

    Attributes:
        level: from 1.
        title: on one line.
        place: on a page, as pypdfium2 has it.
    """

    level: int
    title: str
    place: Any


def with_headings(pages: Sequence[str], document: Any) -> list[str]:
    """Pages whose headings are marked, and those of pages that show none written above them.

    Args:
        pages: what each says.
        document: pypdfium2's.
    """
    plain = [_LIKE_HEADING.sub(" ", page) if "# " in page else page for page in pages]  # a line of code is no heading
    bookmarks = _bookmarks(document)
    above: list[_Bookmark] = []  # that lead to no line, and are above those that follow
    for number in sorted(bookmarks):
        if number < len(plain):
            plain[number] = _marked(plain[number], bookmarks[number], above)
    return plain


def _bookmarks(document: Any) -> dict[int, list[_Bookmark]]:
    """By the page that they lead to, from 0."""
    found: defaultdict[int, list[_Bookmark]] = defaultdict(list)
    for one in islice(document.get_toc(), _MOST):
        place = one.get_dest()
        page = place.get_index() if place else None
        if page is not None and one.level < _DEEPEST and (title := _title(one)):
            found[page].append(_Bookmark(one.level + 1, title, place))
    return found


def _title(bookmark: Any) -> str:
    """On one line; empty if it is damaged, or only numbers a page."""
    try:
        title = " ".join(bookmark.get_title().replace("\0", "").split())[:_LONGEST]
    except UnicodeDecodeError:
        return ""
    return "" if is_number_of_page(title) else title


def _marked(page: str, bookmarks: Sequence[_Bookmark], above: list[_Bookmark]) -> str:
    """A page with its headings, and with those above them that lead to no line; further ones of these are added to `above`."""
    lines = page.split("\n")
    known = _Lines(page)
    written: list[str] = []
    at = 0  # the next line to be written
    for one in bookmarks:
        place = known.find(one.title, at)
        above[:] = [other for other in above if other.level < one.level]
        if place is None and (at or not page.strip() or not _is_of_page(one.place)):
            above.append(one)
            continue
        start, end = place or (at, at)
        opening = lines[:start] if at == 0 and _OPENING.fullmatch(" ".join(lines[:start])) else []
        shown = _UNBROKEN.sub("", " ".join(line.strip() for line in lines[start:end]))
        words = one.title if not shown or (shown.isupper() and not one.title.isupper()) else shown
        written += lines[at + len(opening) : start]
        for level, heading in [*((other.level, other.title) for other in above), (one.level, " ".join([*opening, words]))]:
            written += [*[""] * bool(written and written[-1]), f"{'#' * level} {heading}", ""]
        above.clear()
        at = end
    return "\n".join([*written, *lines[at:]])


def _is_of_page(place: Any) -> bool:
    """Whether a bookmark leads to a page as a whole, and not to a place further down."""
    import pypdfium2.raw as pdfium

    kind, at = place.get_view()
    height = {pdfium.PDFDEST_VIEW_XYZ: 1, pdfium.PDFDEST_VIEW_FITH: 0, pdfium.PDFDEST_VIEW_FITBH: 0, pdfium.PDFDEST_VIEW_FITR: 3}
    which = height.get(kind, len(at))
    return which >= len(at) or not 0 < at[which] < _TOP * place.pdf.get_page_size(place.get_index())[1]


class _Lines:
    """The lines of a page, by their letters and digits alone."""

    def __init__(self, page: str) -> None:
        lines = _plain(page).split(b"\n")
        self._text = b"".join(lines)
        self._starts = list(accumulate(map(len, lines), initial=0))

    def find(self, title: str, first: int) -> tuple[int, int] | None:
        """The first lines from one on that say a title, but for its number; None where there are none."""
        words = _NUMBERING.sub("", title)
        wanted = _plain(words) or _plain(title)
        at = self._starts[first] - 1
        for _ in range(_TRIES if wanted else 0):
            at = self._text.find(wanted, at + 1)
            if at < 0:
                break
            start = bisect_right(self._starts, at) - 1
            end = bisect_left(self._starts, at + len(wanted))
            before = self._text[max(self._starts[start], at - _LONGEST) : at].decode("utf-8", "replace")
            is_whole = self._starts[end] == at + len(wanted) and _BEFORE.fullmatch(before)
            if is_whole and end - start <= _LINES:
                return start, end
        return None


def _plain(text: str) -> bytes:
    """Without what is neither letter nor digit, where that is ASCII; lines stay apart."""
    words = unicodedata.normalize("NFKC", few_marks(text)).casefold() if not text.isascii() else text.lower()
    return words.replace("\ufffe", "").encode("utf-8", "replace").translate(None, _NO_WORDS)
