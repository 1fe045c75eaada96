"""What was the document, of which another program stored the passages? Put together by where they say that they stand in it."""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from search.index.contract import Record
from search.index.layout import Begin

_LEAST_OVERLAP = 16  # characters that a passage repeats of the one before, where it is no chance
_LONGEST_OVERLAP = 20_000
_BETWEEN = "\n\n"  # passages that do not overlap


def in_reading_order(records: Sequence[Record]) -> list[Record] | None:
    """The passages of one document, scrolled with vectors, in order; None where they are several and nothing tells it."""
    places = [record.payload["place"] for record in records]
    told = {place and tuple(one is None for one in place) for place in places}  # which fields of the order they have
    if len(records) > 1 and (None in places or len(told) > 1 or len(set(places)) < len(records)):
        return None
    return sorted(records, key=lambda record: record.payload["place"] or ())


def joined(texts: Sequence[str], begins: Sequence[Begin | None] = ()) -> tuple[str, list[int]]:
    """Passages in reading order as one text, and where in it each begins; what two have in common stands in it once.

    Args:
        texts: of the passages.
        begins: the pages and characters that they say they begin at. What two neighbours merely have alike stands in it twice.
    """
    text, starts = texts[0], [0]
    for number, (before, following) in enumerate(pairwise(texts)):
        repeated = _repeated(before, following, *begins[number : number + 2]) if begins else None
        between = _BETWEEN
        if repeated is None:
            repeated = _overlap(before, following)
        elif repeated <= 0:
            repeated, between = 0, _BETWEEN if repeated else ""
        starts.append(len(text) - repeated if repeated else len(text) + len(between))
        text += following[repeated:] if repeated else between + following
    return text, starts


def _repeated(before: str, following: str, first: Begin | None, second: Begin | None) -> int | None:
    """How many characters a passage repeats of the one before; below 0, how many are between them; None where nothing tells.

    Programs count characters or bytes, from a page or a document; so texts have to agree with it.
    """
    if first is None or second is None or first[0] != second[0]:
        return None
    repeated = first[1] + len(before) - second[1]
    if repeated > 0 and before[-repeated:] == following[:repeated]:
        return repeated
    encoded = before.encode("utf-8", "surrogatepass")
    in_bytes = first[1] + len(encoded) - second[1]
    tail = encoded[-in_bytes:].decode("utf-8", "ignore") if 0 < in_bytes <= len(encoded) else ""
    if len(tail) >= _LEAST_OVERLAP and following.startswith(tail):
        return len(tail)
    return None if repeated > 0 else repeated


def _overlap(before: str, following: str) -> int:
    """How many characters a text ends with that another one begins with, if that is hardly by chance."""
    longest = min(len(before), len(following), _LONGEST_OVERLAP)
    head, tail = following[:longest], before[-longest:]
    borders = [0] * len(head)  # the prefix function of Knuth, Morris and Pratt, so that no text takes quadratic time
    length = 0
    for at in range(1, len(head)):
        while length and head[at] != head[length]:
            length = borders[length - 1]
        length += head[at] == head[length]
        borders[at] = length
    length = 0
    for character in tail:
        while length and (length == len(head) or character != head[length]):
            length = borders[length - 1]
        length += character == head[length]
    return length if length >= _LEAST_OVERLAP else 0


def shared(metadata: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The metadata that all passages have in common."""
    first, *rest = metadata
    written = [{name: json.dumps(value, sort_keys=True) for name, value in one.items()} for one in rest]
    return {
        name: value for name, value in first.items() if all(one.get(name) == json.dumps(value, sort_keys=True) for one in written)
    }
