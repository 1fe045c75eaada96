"""What a language model reads: a template with a query and passages in it, cut to fit where they are long and never elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from string import Formatter

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from search.errors import UnsupportedModel
from search.inference.tokens import TextTokenizer, ends, goes_on, head, joined_ends

Spans = list[tuple[str, int, int]]  # slots, and the characters where each begins and ends

QUERY = "query"
_LEAST_ROOM = 16  # tokens that a template must leave
_TRIES = 8  # a shorter text can have more tokens than was counted, by a few where it was cut


@dataclass(frozen=True)
class Encoded:
    """A prompt as the model reads it.

    Attributes:
        ids: its tokens.
        query: where the query's tokens stand, the first time it occurs.
        seen: tokens of each slot's text that the model reads …
        total: … of how many, at least: a text far longer than the prompt is not read to its end.
        known: how many of those read are words to the model.
    """

    ids: list[int]
    query: range
    seen: Mapping[str, int]
    total: Mapping[str, int]
    known: Mapping[str, int]


class Prompt:
    """A template whose slots are filled with texts."""

    def __init__(self, template: str, tokenizer: TextTokenizer, *, max_tokens: int, special_tokens: bool = True) -> None:
        """Take the template apart, a text with slots such as {query}, where braces that stand for themselves are doubled.

        Raises:
            UnsupportedModel: the template alone leaves no room, or the tokenizer adds tokens where none may be.
        """
        self._parts = [(text, slot) for text, slot, _, _ in Formatter().parse(template)]
        self._slots = [slot for _, slot in self._parts if slot]
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._special_tokens = special_tokens
        self._check_ends(self._encode([dict.fromkeys(self._slots, "x")])[0][0])
        empty = len(self._encode([dict.fromkeys(self._slots, "")])[0][0].ids)
        if empty + _LEAST_ROOM > max_tokens:
            message = (
                f"the prompt has {empty} tokens without query and document, and at most {max_tokens} are allowed; raise max_tokens"
            )
            raise UnsupportedModel(message)

    def _check_ends(self, encoding: Encoding) -> None:
        """The next token comes after the template, not after one that the tokenizer appends, and a text begins only once."""
        added = encoding.special_tokens_mask
        if added[-1] or (added[0] and encoding.ids[:1] == encoding.ids[1:2]):
            raise UnsupportedModel(
                "the tokenizer adds a token of its own behind the prompt, or once more the one it begins with; "
                "set special_tokens to false in the recipe"
            )

    def encode(self, rows: Sequence[Mapping[str, str]]) -> list[Encoded]:
        """Fill the slots, once for each row.

        What the tokenizer would take for one of its own tokens is broken up within the texts. A prompt that is too long has its
        passages cut, the longest first; a query gives way only beyond half of the room, and keeps its first and its last part.
        """
        values = [{slot: (ends if slot == QUERY else head)(text, self._max_tokens) for slot, text in row.items()} for row in rows]
        encoded = self._encode(values)
        fitted = [self._fit(row, *result) for row, result in zip(values, encoded, strict=True)]
        return [self._counted(prompt, row) for prompt, row in zip(fitted, rows, strict=True)]

    def _counted(self, prompt: Encoded, row: Mapping[str, str]) -> Encoded:
        """With one token more for each text that goes on behind its head."""
        total = {slot: count + goes_on(row[slot], self._max_tokens) for slot, count in prompt.total.items()}
        return replace(prompt, total=total)

    def _fit(self, values: dict[str, str], encoding: Encoding, spans: Spans) -> Encoded:
        places = _places(encoding, spans)
        if unsafe := [slot for slot in places if np.isin(np.array(encoding.ids)[places[slot]], self._tokenizer.added).any()]:
            values |= {slot: self._tokenizer.plain(values[slot]) for slot in unsafe}
            encoding, spans = self._encode([values])[0]
            places = _places(encoding, spans)
        total = {slot: len(inside) for slot, inside in places.items()}
        room = self._max_tokens - len(encoding.ids) + sum(total[slot] for slot in self._slots)
        offsets = np.array(encoding.offsets, np.int64).reshape(-1, 2)  # once: the tokenizer makes the list anew each time
        begins = {slot: begin for slot, begin, _ in reversed(spans)}
        cuts = {slot: offsets[inside] - begins[slot] for slot, inside in places.items()}
        for _ in range(_TRIES):
            if len(encoding.ids) <= self._max_tokens:
                break
            allowed = _shares(total, self._slots.count(QUERY), room)
            shorter = {
                slot: _shortened(values[slot], cuts[slot], count, middle=slot == QUERY)
                for slot, count in allowed.items()
                if count < total[slot]
            }
            encoding, spans = self._encode([{**values, **shorter}])[0]
            room -= max(1, len(encoding.ids) - self._max_tokens)
        else:
            raise UnsupportedModel(f"the prompt could not be cut to {self._max_tokens} tokens; raise max_tokens")
        places = _places(encoding, spans)
        query = places.get(QUERY, np.empty(0, np.int64))
        span = range(int(query[0]), int(query[-1]) + 1) if query.size else range(0)
        ids = list(encoding.ids)
        seen = {slot: min(len(places[slot]), total[slot]) for slot in total}
        known = {slot: self._known(ids, places[slot], values[slot]) for slot in total}
        return Encoded(ids, span, seen, total, known)

    def _known(self, ids: Sequence[int], places: NDArray[np.int64], text: str) -> int:
        """Of white space none, though it may be in one token with what stands beside it."""
        return self._tokenizer.known([ids[place] for place in places]) if text.strip() else 0

    def _encode(self, rows: Sequence[Mapping[str, str]]) -> list[tuple[Encoding, Spans]]:
        rendered = [self._render(row) for row in rows]
        encodings = self._tokenizer.encode([text for text, _ in rendered], special_tokens=self._special_tokens)
        return [(encoding, spans) for encoding, (_, spans) in zip(encodings, rendered, strict=True)]

    def _render(self, values: Mapping[str, str]) -> tuple[str, Spans]:
        """The text, and where in it each slot begins and ends."""
        text = ""
        spans: Spans = []
        for literal, slot in self._parts:
            text += literal
            if slot:
                spans.append((slot, len(text), len(text) + len(values[slot])))
                text += values[slot]
        return text, spans


def _shortened(text: str, spans: NDArray[np.int64], count: int, *, middle: bool) -> str:
    """A text of so many of its tokens: without its middle, or without its end."""
    if middle:
        return joined_ends(text, spans.tolist(), count)
    return text[: spans[count - 1][1]] if count else ""


def _places(encoding: Encoding, spans: Spans) -> dict[str, NDArray[np.int64]]:
    """Which tokens overlap each slot, the first time it occurs."""
    offsets = np.array(encoding.offsets, np.int64).reshape(-1, 2)
    places: dict[str, NDArray[np.int64]] = {}
    for slot, begin, end in spans:
        inside = (offsets[:, 0] < end) & (offsets[:, 1] > begin) & (offsets[:, 1] > offsets[:, 0])
        places.setdefault(slot, np.flatnonzero(inside))
    return places


def _shares(total: Mapping[str, int], queries: int, room: int) -> dict[str, int]:
    """How many tokens each slot may keep: the query up to half, the passages what is left, short ones whole and long ones alike."""
    allowed = {QUERY: min(total[QUERY], max(0, room // 2) // max(1, queries))} if QUERY in total else {}
    room = max(0, room - allowed.get(QUERY, 0) * queries)
    passages = sorted((count, slot) for slot, count in total.items() if slot != QUERY)
    for place, (count, slot) in enumerate(passages):
        allowed[slot] = min(count, room // (len(passages) - place))
        room -= allowed[slot]
    return allowed
