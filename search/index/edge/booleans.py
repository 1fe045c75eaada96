"""Booleans as keywords: Qdrant Edge's Python binding takes a match on True for a match on the integer 1 and finds nothing.

So a point is stored with the names of its booleans, and a match on a boolean asks for the name.
"""

import re
from collections.abc import Iterator
from typing import Any

from search.index.contract import Payload

FIELD = "_booleans"
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_QUOTED = re.compile(r'"([^"]+)"')


def with_names(payload: Payload) -> dict[str, Any]:
    """The payload, and under FIELD what is true and what is false in it."""
    names = sorted(set(_names(payload, "")))
    return {**payload, FIELD: names} if names else dict(payload)


def without_names(payload: Payload) -> Payload:
    """The payload as it came."""
    return {key: value for key, value in payload.items() if key != FIELD} if FIELD in payload else payload


def name(path: str, *, value: bool) -> str:
    """How a boolean at a path of keys is called, quoted only where it must be."""
    return f"{_QUOTED.sub(lambda quoted: _segment(quoted[1]), path)}={str(value).lower()}"


def _segment(key: str) -> str:
    return key if _PLAIN.fullmatch(key) else f'"{key}"'


def _names(value: Any, path: str) -> Iterator[str]:
    match value:
        case bool():
            yield name(path, value=value)
        case dict():
            for key, inner in value.items():
                yield from _names(inner, f"{path}.{_segment(key)}" if path else _segment(key))
        case list() | tuple():
            for inner in value:
                yield from _names(inner, f"{path}[]")
                if isinstance(inner, bool):  # a list's elements answer to the list's own name, too
                    yield from _names(inner, path)
