"""Which numbers in brackets does a text have, and which sources do those of an answer lead to?"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from search.context.values import Citation, Citations, Context
from search.errors import InvalidQuery
from search.passages import code_spans

_BRACKETS = re.compile(r"[\[\uff3b\u3010]([^\[\]\uff3b\uff3d\u3010\u3011]{1,500})[\]\uff3d\u3011]")
_MARKS = str.maketrans("", "", "*_^\\")  # of Markdown: bold, a footnote, a bracket that is no link
_DASH = "[-~\u2010-\u2015\u2212\u301c\uff0d\uff5e]"
_SOURCE = (
    "(?:sources?|src|refs?|references?|citations?|doc(?:ument)?s?|passages?|quellen?|fuentes?|fontes?|fonti|bron(?:nen)?"
    "|источники?|来源|來源|出典|資料|資料|출처)[ .:#\uff1a]{0,2}"
)
_WHERE = (
    rf"[,:\uff0c\uff1a]? ?(?:(?:pp?|pages?|seiten?|sections?|chapters?|lines?|§+)[. ]{{0,2}}\d+(?: ?{_DASH} ?\d+)?|†[^;\uff1b]*)"
)
_AND = r"(?: ?[,&\uff0c\u3001\u060c] ?(?:and )?| (?:and|und|et|y|e|и) | ?[和与與と] ?)"
_RANGE = re.compile(rf"(\d+)(?: ?{_DASH} ?(\d+))?")
_ONE = rf"(?:{_SOURCE})?\d{{1,9}}(?: ?{_DASH} ?\d{{1,9}})?"
_GROUP = rf"{_ONE}(?:{_AND}{_ONE})*(?:{_WHERE})?"
_SEMICOLON = " ?[;\uff1b\u061b] ?"
_CITED = re.compile(rf"{_GROUP}(?:{_SEMICOLON}{_GROUP})*", re.IGNORECASE)
_BEHIND = re.compile(rf"{_WHERE}(?={_SEMICOLON}|\Z)", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![A-Za-z\d])(?<!\d[.,])(?<!(?<!\S)-)\d{1,9}(?![A-Za-z\d]|\.\d)")  # none of 1.5, -1 and B12
_WIDEST = 1000  # numbers of a range
_FENCE = 3  # marks, at least


class _Named(NamedTuple):
    """One number of what stands in brackets, or the first and the last of a range."""

    first: int
    last: int
    start: int  # of the brackets, in characters of the text
    end: int
    clear: bool  # whether it is certain that they are a source's


def citations(answer: str, context: Context) -> Citations:
    """What an answer cites, led back to the sources of a context, in the order of the answer.

    `[3]`, `[3, 5]`, `[3-5]`, `[^3]`, `[Source 3]`, `[3, p. 7]` and the like cite sources, in wide signs, too. Of what else has
    numbers in brackets nobody knows what it cites: these are unresolved. What stands in code is no citation, unless all of the
    answer is a block of code in no language, or a block is of Markdown.

    Raises:
        InvalidQuery: the answer is no text, or the context none.
    """
    if not isinstance(answer, str):
        raise InvalidQuery(f"the answer is a {type(answer).__name__}; give it as a string")
    if not isinstance(context, Context):
        raise InvalidQuery(f"the context is a {type(context).__name__}; give what result.context() returned")
    sources = {source.number: source for source in context.sources}
    found = []
    for first, last, start, end, clear in _named(_without_code(answer)):
        if not clear and (answer[start - 1 : start] == "\\" or answer[end : end + 1] == "("):
            continue  # a formula, or a link
        inside = [number for number in sources if first < number < last] if last - first <= _WIDEST else []
        numbers = dict.fromkeys([first, *inside, last])
        found += [Citation(number, start, end, sources.get(number) if clear else None) for number in numbers]
    resolved = tuple(one for one in found if one.source is not None)
    return Citations(resolved, tuple(one for one in found if one.source is None))


def numbers_in(text: str) -> set[int]:
    """All that stand in brackets in a text, as an answer might have copied them, whatever else stands there."""
    numbers: set[int] = set()
    for first, last, *_ in _named(text):
        numbers |= set(range(first, last + 1)) if last - first <= _WIDEST else {first, last}
    return numbers


def _named(text: str) -> Iterator[_Named]:
    for brackets in _BRACKETS.finditer(text):
        inside = " ".join(brackets[1].translate(_MARKS).split())
        if clear := _CITED.fullmatch(inside) is not None:
            ranges = [(int(one[1]), int(one[2] or one[1])) for one in _RANGE.finditer(_BEHIND.sub("", inside))]
        else:
            ranges = [(int(one[0]), int(one[0])) for one in _NUMBER.finditer(inside)]
        for one, other in ranges:
            yield _Named(min(one, other), max(one, other), brackets.start(), brackets.end(), clear)


def _without_code(answer: str) -> str:
    """An answer with marks in place of code, in which brackets are an index."""

    def marks(code: str, _: int) -> str:
        return "`" * len(code)

    def marks_unless_prose(code: str, ticks: int) -> str:
        name, line_end, text = code[ticks:-ticks].partition("\n")
        language = name.strip().casefold()
        whole = language in {"", "text", "txt"} and code == answer.strip()
        if ticks < _FENCE or not line_end or not (whole or language in {"markdown", "md"}):
            return marks(code, ticks)
        return "".join([code[:ticks], name, line_end, _replaced(text, marks), code[:ticks]])

    return _replaced(answer, marks_unless_prose)


def _replaced(text: str, instead: Callable[[str, int], str]) -> str:
    """A text with something in place of each piece of code, which goes by that and the number of its ticks."""
    parts: list[str] = []
    at = 0
    for start, end, ticks in code_spans(text):
        parts += [text[at:start], instead(text[start:end], ticks)]
        at = end
    return "".join([*parts, text[at:]])
