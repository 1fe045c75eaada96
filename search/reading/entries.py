"""Which things does a reference describe? Functions, classes, options: in reStructuredText each with what is indented below it."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_LINE = re.compile(r"[^\n]*(?:\n|$)")
_DESCRIBED = re.compile(  # by directives of Sphinx, with or without their language
    r"^[ \t]*\.\. (?:\w+:)?(?:(?:abstract|async|awaitable|class|coroutine|decorator|static)*(?:function|method)|attribute|class"
    r"|cmdoption|command|confval|constant|data|decorator|describe|directive|enum|envvar|exception|fixture|hook|interface|macro|member"
    r"|module|object|option|property|role|setting|struct|type|union|var)::[ \t]+(?P<signature>\S.*)$",
    re.MULTILINE,
)
_SIGNATURE = re.compile(r"(?:\w+ ){0,3}[\w.:$]*\w\((?=.{40}).*\).*")
_WORDS_BEFORE = re.compile(r"(?:(?:abstract|async|await|class|const|def|final|static|virtual)\s+)+")
LONG = 600  # characters of one that heads its text, as in source code
_DEEPEST = 3  # in each other


class Entry(NamedTuple):
    """A thing that is described.

    Attributes:
        start, end: characters of a text.
        depth: how many others it stands in.
        name: without parameters.
    """

    start: int
    end: int
    depth: int
    name: str


def long_entries(text: str) -> list[Entry]:
    """Those that are no short remark, in order; lines end with a line feed."""
    found = _entries(text) if _DESCRIBED.search(text) else ()
    return [entry for entry in sorted(found) if entry.end - entry.start > LONG and entry.depth < _DEEPEST]


def _entries(text: str) -> Iterator[Entry]:
    around: list[tuple[int, int, str]] = []  # indentation, start and name of those that have not ended
    end = 0  # of the last line with words
    for match in _LINE.finditer(text):
        line = match[0].expandtabs(8)
        if not line.strip():
            continue
        indentation = len(line) - len(line.lstrip())
        while around and indentation <= around[-1][0]:
            _, start, name = around.pop()
            yield Entry(start, end, len(around), name)
        if described := _DESCRIBED.fullmatch(match[0].rstrip("\n")):
            around.append((indentation, match.start(), _name(described["signature"])))
        end = match.end()
    while around:
        _, start, name = around.pop()
        yield Entry(start, end, len(around), name)


def shortened(heading: str) -> str:
    """A heading without parameters, if it is a signature that has many."""
    return _name(heading) if _SIGNATURE.fullmatch(heading) else heading


def _name(signature: str) -> str:
    """What stands before the parameters: `open()` of `open(file, mode="r")`, and an option as it is."""
    name, bracket, _ = signature.partition("(")
    return f"{_WORDS_BEFORE.sub('', name).strip()}()" if bracket and name.strip() else signature.strip()
