"""How does what a manual sets become Markdown? Paragraphs and items on a line each, lines that are set as they are, tables."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from search.reading.webpages import fence_for

_BULLETS = frozenset("•·*o+-\u2013—●○◦□■▪∙⋅")
_COUNTED = re.compile(r"\[?\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{2,5})[.)\]]{1,2}")  # the number of an item
_ENDED = tuple(".:;,!?—\u2013=\u3002\uff1a\uff1b\uff0c\uff01\uff1f")  # what a term ends with that needs no colon
_AS_MARKUP = re.compile(r"(?=#{1,6}(?:\s|$)|```|~~~|(?:=+|-+)\s*$|<(?:[!?]|(?:script|pre|style|textarea)\b))", re.IGNORECASE)
_REQUEST = re.compile(r"[.'](?!\d)")  # between the rows of a table
_WIDE = ("W", "F")
_HANGUL = range(0xAC00, 0xD7A4)


class Writer:
    """Takes words as they come.

    Attributes:
        is_glued: whether the next words stand close to the last ones.
    """

    def __init__(self) -> None:
        self.is_glued = False
        self._blocks = list[str]()
        self._words = list[str]()  # of the paragraph, or of a line that is set as it is
        self._lines: list[str] | None = None  # that are set as they are; None where lines are filled
        self._terms = list[str]()  # that the next paragraph explains
        self._is_term = False  # whether what comes is one
        self._around = list[list[str]]()  # words around what is taken apart

    @property
    def is_filled(self) -> bool:
        """Whether lines are filled."""
        return self._lines is None or bool(self._around)

    def add(self, words: str, *, close: bool = False) -> None:
        """Words behind those before, with a blank between them unless they stand close."""
        if not words:
            return
        if self._words and not (close or self.is_glued or _stand_close(self._words[-1][-1], words[0])):
            self._words.append(" ")
        self._words.append(words)
        self.is_glued = False

    def line(self) -> None:
        """End a line."""
        self.is_glued = False
        if self.is_filled:
            self._words += ["\n"] if self._words and not (self._is_term or self._around) else []
        elif self._lines is not None:
            self._lines.append("".join(self._words).rstrip())
            self._words.clear()

    def paragraph(self) -> None:
        """End a paragraph; of lines that are set as they are, leave one empty."""
        if self._around:
            return
        self.end_term()
        if self._lines is None:
            self._flush()
        else:
            self.line()

    def fill(self, *, filled: bool) -> None:
        """Fill lines from here on, or set them as they are."""
        if not self._around and filled != self.is_filled:
            self.end_term()
            self._flush()
            self._lines = None if filled else []

    def heading(self, level: int, words: str) -> None:
        """A heading; behind it lines are filled."""
        if self._around:
            self.add(words)
            return
        self.fill(filled=True)
        self._end()
        if words.strip():
            self._blocks.append(f"{'#' * level} {_on_one_line(words)}")

    def begin_term(self) -> None:
        """What comes is what the paragraph behind it explains."""
        if not self._around:
            self.end_term()
            self._flush()
            self._is_term = True

    def end_term(self) -> None:
        """What comes is the explanation."""
        if self._is_term and not self._around:
            self._is_term = False
            self._keep_term()

    def item(self, mark: str) -> None:
        """What comes is an item with a mark, a bullet or a number."""
        if self._around:
            self.add(mark)
            return
        self._end()
        self._terms.append(mark)

    def as_term(self, longest: int) -> None:
        """End a paragraph, and take it for a term if it looks like one."""
        if self._around:
            return
        is_explanation = self._is_term or self._terms or self._lines is not None
        words = "" if is_explanation else _on_one_line("".join(self._words))
        if words and len(words) <= longest and not words.endswith(_ENDED):
            self._keep_term()
        else:
            self.paragraph()

    def begin_apart(self) -> None:
        """Take what comes apart."""
        self._around.append(self._words)
        self._words, self.is_glued = [], False

    def end_apart(self) -> str:
        """What came since, on one line."""
        words = _on_one_line("".join(self._words))
        self._words = self._around.pop()
        return words

    def table(self, rows: Iterable[Sequence[str]]) -> None:
        """A table, of which the first row is the header."""
        shown = [row for row in rows if any(row)]
        width = max(map(len, shown), default=0)
        if self._around:
            for row in shown:
                self.add(" ".join(row))
        elif width == 1:
            self._end()
            self._blocks.append("\n".join(_safe(row[0]) for row in shown))
        elif width:
            self._end()
            first, *others = [[cell.replace("|", "\\|") for cell in row] for row in shown]
            header = [*first, *[""] * (width - len(first))]
            lines = [f"| {' | '.join(row)} |" for row in [header, ["---"] * width, *others]]
            self._blocks.append("\n".join(lines))

    def text(self) -> str:
        """All of it."""
        self._end()
        return "\n\n".join(self._blocks) + "\n" if self._blocks else ""

    def _end(self) -> None:
        """Write what is not written yet, terms that nothing explains as well."""
        self.end_term()
        self._flush()
        self._write("")

    def _keep_term(self) -> None:
        self.is_glued = False
        if term := _on_one_line("".join(self._words)):
            self._terms.append(term)
        self._words.clear()

    def _flush(self) -> None:
        if self._lines is not None:
            if self._words:
                self.line()
            lines, self._lines = self._lines, []
            self._write_lines(lines)
            return
        words, self._words, self.is_glued = "".join(self._words), [], False
        if shown := "\n".join(_safe(one) for line in words.split("\n") if (one := _on_one_line(line))):
            self._write(shown)

    def _write(self, words: str) -> None:
        """A paragraph, behind the terms that it explains."""
        *above, term = self._terms or [""]
        self._terms = []
        if words[:1] in _BULLETS and words[1:2] == " ":
            words = f"-{words[1:]}"
        if term in _BULLETS:
            words = f"- {words}" if words else ""
        elif term:
            between = " " if term.endswith(_ENDED) or _COUNTED.fullmatch(term) else ": "
            words = f"{_safe(term)}{between}{words}" if words else _safe(term)
        if shown := "\n".join([*map(_safe, above), *([words] if words else [])]):
            self._blocks.append(shown)

    def _write_lines(self, lines: list[str]) -> None:
        while lines and not lines[-1].strip():
            lines.pop()
        first = next((number for number, line in enumerate(lines) if line.strip()), 0)
        if lines:
            self._write("")
            fence = fence_for("\n".join(lines))
            self._blocks.append("\n".join([fence, *lines[first:], fence]))


def cells_of(lines: Sequence[str]) -> list[list[list[str]]]:
    """The rows of a table of tbl, each cell of lines: one, or those of a block of text, with what they ask for."""
    sign, rows, at = "\t", list[list[list[str]]](), 0
    if lines and lines[0].rstrip().endswith(";"):
        at = 1
        if found := re.search(r"tab *\((.)\)", lines[0]):
            sign = found[1]
    at = _behind_formats(lines, at)
    while at < len(lines):
        line = lines[at]
        at += 1
        if line.startswith((".T&", "'T&")):
            at = _behind_formats(lines, at)
        elif not _REQUEST.match(line) and line.strip() not in {"_", "="}:
            row, at = _row(line, lines, at, sign)
            rows.append(row)
    return rows


def _row(line: str, lines: Sequence[str], at: int, sign: str) -> tuple[list[list[str]], int]:
    row = list[list[str]]()
    while True:
        *cells, last = line.split(sign)
        row += [[_cell(one)] for one in cells]
        if last.strip() != "T{":
            return [*row, [_cell(last)]], at
        end = next((number for number in range(at, len(lines)) if lines[number].startswith("T}")), len(lines))
        row.append(list(lines[at:end]))
        at = end + 1
        if end == len(lines) or not lines[end].startswith("T}" + sign):
            return row, at
        line = lines[end][2 + len(sign) :]


def _cell(cell: str) -> str:
    """What is in it; nothing of a rule, or of what goes on from above."""
    return "" if cell.strip() in {"_", "=", "\\_", "\\=", "\\^"} or cell.startswith("\\R") else f"\\&{cell}"


def _behind_formats(lines: Sequence[str], at: int) -> int:
    end = next((number for number in range(at, len(lines)) if lines[number].rstrip().endswith(".")), None)
    return len(lines) if end is None else end + 1


def _on_one_line(words: str) -> str:
    return " ".join(words.split())


def _safe(line: str) -> str:
    """A line that Markdown takes for nothing but words."""
    return f"\\{line}" if _AS_MARKUP.match(line) else line


def _stand_close(before: str, behind: str) -> bool:
    """Whether nothing is to stand between two signs: a line begins, or no blanks divide their words, as in Chinese."""
    return before == "\n" or (_is_wide(before) and _is_wide(behind))


def _is_wide(sign: str) -> bool:
    return sign > "\u2e7f" and ord(sign) not in _HANGUL and unicodedata.east_asian_width(sign) in _WIDE
