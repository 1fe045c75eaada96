"""Where may a number or a name of the query stand that no passage has? In metadata, which words are not looked for in."""

import json
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from search.documents import Candidate
from search.embedding.joins import joined

_MOST = 3  # such words of a query
_LOOKED_AT = 200  # values of a candidate
_WORD = re.compile(r"(?<![\w./-])\w[\w./-]{3,62}\w(?!\w)")
_NAME = re.compile(r"[\w-]+")
_LETTERS = re.compile(r"[^\W\d_]+")


def notes(query: str, candidates: Sequence[Candidate], fields: Container[str] = ()) -> list[str]:
    """Which field holds values like a word with digits of the query that no candidate has, and the filter that asks for it.

    In some `fields`, such as metadata.isbn, words are looked for: what stands there a candidate has.
    """
    words = [word for word in dict.fromkeys(_WORD.findall(query)) if any(map(str.isdecimal, word))][:_MOST]
    if not words or not candidates:
        return []
    values = [pair for one in candidates for pair in islice(_values(one.metadata, "metadata"), _LOOKED_AT)]
    said = [str(value) for name, value in values if _plain(name) in fields]
    texts = "\n".join([*(f"{one.title}\n{one.document_id}\n{one.text}" for one in candidates), *said]).casefold()
    shapes = [(name, value, _shape(value)) for name, value in values if _plain(name) not in fields]
    found = []
    for word in words:
        alike = _shape(word)
        field = next(((name, value) for name, value, shape in shapes if shape == alike), None)
        if field is None or _has(texts, word.casefold()):
            continue
        name, value = field
        asked = {"must": [{"key": name, "match": {"value": int(word) if isinstance(value, int) else word}}]}
        found.append(
            f'no passage that was found has "{word}"; {name!r} holds such values, which words do not find: filter by it, '
            f"{json.dumps(asked)}, or name {_plain(name)} in lexical.fields and reindex"
        )
    return found


def _has(texts: str, word: str) -> bool:
    """Whether texts have a word, in one or in parts, as an ISBN or a telephone number is written."""
    ways = {word, *_joined(word)}
    return any(way in texts for way in ways) or not ways.isdisjoint(_joined(texts))


def _joined(text: str) -> list[str]:
    return joined(text, lambda _: False)


def _plain(name: str) -> str:
    """A path of filters as settings write it."""
    return name.replace("[]", "")


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
