"""Which numbers in brackets does a text have, and which sources do those of an answer lead to?"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from search.context.values import Citation, Citations, Context
from search.errors import InvalidQuery

_BRACKETS = re.compile(r"[\[【]\s{0,3}([0-9]{1,9}(?:\s{0,3}[,;\u2013-]\s{0,3}[0-9]{1,9})*)\s{0,3}[\]】]")
_RANGE = re.compile(r"([0-9]+)(?:\s*[\u2013-]\s*([0-9]+))?")
_WIDEST = 1000  # numbers of a range
_CODE = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)  # in which brackets are an index


class _Named(NamedTuple):
    """One number of what stands in brackets, or the first and the last of a range."""

    first: int
    last: int
    start: int  # of the brackets, in characters of the text
    end: int


def citations(answer: str, context: Context) -> Citations:
    """What an answer cites: `[3]`, `[3, 5]`, `[3][5]` and `[3-5]` led back to the sources of a context, in the order of the answer.

    What stands in code is no citation.

    Raises:
        InvalidQuery: the answer is no text, or the context none.
    """
    if not isinstance(answer, str):
        raise InvalidQuery(f"the answer is a {type(answer).__name__}; give it as a string")
    if not isinstance(context, Context):
        raise InvalidQuery(f"the context is a {type(context).__name__}; give what result.context() returned")
    sources = {source.number: source for source in context.sources}
    found = []
    for first, last, start, end in _named(_CODE.sub(lambda code: " " * len(code[0]), answer)):
        inside = [number for number in sources if first < number < last] if last - first <= _WIDEST else []
        numbers = dict.fromkeys([first, *inside, last])
        found += [Citation(number, start, end, sources.get(number)) for number in numbers]
    resolved = tuple(one for one in found if one.source is not None)
    return Citations(resolved, tuple(one for one in found if one.source is None))


def numbers_in(text: str) -> set[int]:
    """All that stand in brackets in a text, as an answer might have copied them."""
    numbers: set[int] = set()
    for first, last, _, _ in _named(text):
        numbers |= set(range(first, last + 1)) if last - first <= _WIDEST else {first, last}
    return numbers


def _named(text: str) -> Iterator[_Named]:
    for brackets in _BRACKETS.finditer(text):
        for one in _RANGE.finditer(brackets[1]):
            first, last = int(one[1]), int(one[2] or one[1])
            yield _Named(min(first, last), max(first, last), brackets.start(), brackets.end())
