"""Where may a number or a name of the query stand that no passage has? In metadata, which words are not looked for in."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from search.documents import Candidate

_MOST = 3  # such words of a query
_WORD = re.compile(r"(?<![\w./-])\w[\w./-]{3,62}\w(?!\w)")
_NAME = re.compile(r"[\w-]+")
_LETTERS = re.compile(r"[^\W\d_]+")


def notes(query: str, candidates: Sequence[Candidate]) -> list[str]:
    """Which field holds values like a word with digits of the query that no candidate has, and the filter that asks for it."""
    words = [word for word in dict.fromkeys(_WORD.findall(query)) if any(map(str.isdecimal, word))][:_MOST]
    if not words or not candidates:
        return []
    texts = "\n".join(f"{one.title}\n{one.document_id}\n{one.text}" for one in candidates).casefold()
    found = []
    for word in words:
        if word.casefold() in texts:
            continue
        alike = (pair for one in candidates for pair in _values(one.metadata, "metadata") if _shape(pair[1]) == _shape(word))
        if field := next(alike, None):
            name, value = field
            asked = {"must": [{"key": name, "match": {"value": int(word) if isinstance(value, int) else word}}]}
            found.append(
                f'no passage that was found has "{word}"; {name!r} holds such values, which words do not find: filter by it, '
                f"{json.dumps(asked)}, or name {name.replace('[]', '')} in lexical.fields and reindex"
            )
    return found


def _values(value: Any, path: str) -> Iterator[tuple[str, str | int]]:
    """Texts and whole numbers in metadata, with paths of filters."""
    match value:
        case bool():
            pass
        case str() | int():
            yield path, value
        case Mapping():
            for name, inner in value.items():
                if _NAME.fullmatch(name):
                    yield from _values(inner, f"{path}.{name}")
        case list() | tuple():
            for inner in value:
                yield from _values(inner, path if isinstance(inner, str | int) else f"{path}[]")
        case _:
            pass


def _shape(value: str | int) -> str:
    """What a number or a name looks like: its digits as 9, each of its words as a."""
    return _LETTERS.sub("a", re.sub(r"\d", "9", str(value)))
