"""What of a mail did one before it in the same box say? What it quotes below its answer, signatures, footers of a list."""

import re
from collections.abc import Iterator, Sequence

_MARKS = re.compile(r"^(?:[ \t]*>)+[ \t]?")
_SIGNS = re.compile(r"-- ?|[_-]{20,}")  # lines that begin a signature, or what a list writes below
_LONGEST_SIGNATURE = 15  # lines
_LONGEST_ATTRIBUTION = 3  # lines that say who wrote what is quoted below
_ORIGINAL = re.compile(  # how Outlook begins what is answered: a line, or its headers
    r"^[ \t>*]*+-{2,}+[ \t]*+[^\W\d][^\n-]{3,40}?[ \t]*-{2,}[ \t]*$(?=\s*^[ \t*]*\w+:)"
    r"|^[ \t*]*(?:From|Von|De|Da|Van|Från|Fra)[ \t]?:(?=[^\n]+\n(?:[^\n:]{2,20}:[^\n]*\n){2,5})",
    re.MULTILINE,
)
_HEADERS = re.compile(r"(?:[ \t>*]*+-[^\n]*+\n\s*+)?(?:[^\n:]{2,20}:[^\n]*(?:\n|\Z))*")
_WORD = re.compile(r"\w+")
_IN_A_ROW = 4  # words
_MOST = 300_000  # of such rows that are kept, about 30 MB
_SAME = 0.8  # of them


class Said:
    """The words of a box so far, four in a row; of a large one, of its last mails."""

    def __init__(self) -> None:
        self._rows: dict[int, None] = {}  # the oldest first

    def new_of(self, text: str) -> tuple[str, int]:
        """A mail's text without what stands at its end and was said before, and how many lines these are.

        Where nothing else is in it, all of it is kept, as is what is quoted above an answer and in it.
        """
        lines = text.split("\n")
        own = next((at for at, line in enumerate(lines) if _WORD.search(line) and not _is_quoted(line)), len(lines))
        cut = 0
        for start, end, words in _ends(tuple(lines)):
            if start > own and self._has(_rows(words)):
                cut += sum(1 for line in lines[start:end] if line.strip())
                del lines[start:end]
        kept = "\n".join(lines).strip() if cut else text
        self._add(_rows(kept))
        return kept, cut

    def _has(self, rows: Sequence[int]) -> bool:
        return bool(rows) and sum(row in self._rows for row in rows) >= _SAME * len(rows)

    def _add(self, rows: Sequence[int]) -> None:
        self._rows |= dict.fromkeys(rows)
        if len(self._rows) > _MOST:
            self._rows = dict.fromkeys(list(self._rows)[-_MOST // 2 :])


def _rows(words: str) -> list[int]:
    found = _WORD.findall("\n".join(_MARKS.sub("", line) for line in words.lower().splitlines()))
    return [hash(tuple(found[at : at + _IN_A_ROW])) for at in range(len(found) - _IN_A_ROW + 1)]


def _ends(lines: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """From the last to the first: lines that a signature, a footer or a quotation takes at the end of a mail, and what it says."""
    end = len(lines)
    if original := _ORIGINAL.search("\n".join(lines)):
        start = "\n".join(lines)[: original.start()].count("\n")
        whole = "\n".join(lines[start:])
        yield start, end, whole[_HEADERS.match(whole).end() :]  # type: ignore[union-attr]  # it may be empty
        end = start
    while end:
        if not lines[end - 1].strip():
            end -= 1
        elif _is_quoted(lines[end - 1]):
            start = end
            while start and (_is_quoted(lines[start - 1]) or not lines[start - 1].strip()):
                start -= 1
            above = start
            while above and lines[above - 1].strip() and start - above < _LONGEST_ATTRIBUTION:
                above -= 1
            is_attributed = lines[start - 1].rstrip(" \t*_").endswith(":") and not (above and lines[above - 1].strip())
            first = above if start and is_attributed else start
            yield first, end, "\n".join(lines[start:end])
            end = first
        else:
            near = range(end - 1, max(end - _LONGEST_SIGNATURE, 0) - 1, -1)
            start = next((one for one in near if _SIGNS.fullmatch(lines[one]) or _is_quoted(lines[one])), -1)
            if start < 0 or _is_quoted(lines[start]):
                return
            yield start, end, "\n".join(lines[start:end])
            end = start


def _is_quoted(line: str) -> bool:
    return line.lstrip().startswith(">")
