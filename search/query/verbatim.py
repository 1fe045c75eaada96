"""What of the query must stand in a passage as it is? Phrases in quotation marks and rare names; or must not: -words at its end.

A phrase has two words or more. A name is what has a digit, or a sign inside that joins its parts, as an address, a path or a
version has, and counts where few passages have it; one of two parts or one not within a sentence, which says more than it.
Passages are compared by the words that they are searched by, case, white space and all other signs aside. Scripts without spaces
between words are left alone.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise, takewhile
from typing import Any, NamedTuple

from search.documents import Candidate
from search.index.contract import Match, PlainFilter
from search.index.points import searchable_text

_PHRASE = re.compile(r'(?<!\w)(-?)(?:"([^"]+)"|[“„]([^“”„]+)[“”]|«([^«»]+)»)(?!\w)')
_FRAME = re.compile(r"\bFile $")  # what stands before the name of a file in a traceback of Python …
_FRAME_OR_VALUE = re.compile(r"(?:\bFile |[=:][ \t]?)$")  # … and before a value, where lines were pasted
_BEFORE = 8  # characters, at least as many
_NAME = re.compile(r"(?<!\S)\S*(?:\d|\w[./\\@:_#&+]+\w)\S*")
# A year or a count, the 14th, the 1980s; U.S., e.g.; and/or: no names.
_NO_NAME = re.compile(r"\d{1,4}|\d+(?:st|nd|rd|th|s)|(?:[^\W\d_]\.)+[^\W\d_]?|[^\W\d_]+/[^\W\d_]+", re.IGNORECASE)
_BESIDE_NAMES = 2  # parts of a name that counts only where fewer other words stand beside it
_AROUND = "()[]{}<>,;!?'\""  # a name, none of it
_EXCLUDED = re.compile(r"-([^\W\d_]{3,})[,.;]?")
_WORD = re.compile(r"[^\W_]+")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u9fff\uac00-\ud7af]")
_LABELS = (re.compile(r"^v(?=\d)", re.IGNORECASE), re.compile(r":\d+$"), re.compile(r"^\w+:(?!//)"))  # version, port, field
_ENDING = re.compile(r"(ing|ies|es|s|e|y)$")
_PHRASES, _NAMES = 4, 8  # at most: a query with more is a text that was pasted, and says by all its words what it is about
_RARE = 10  # passages, of those that are looked at, that have a name: with fewer it is rare
_SHOWN = 200  # characters of a phrase
PASSAGES = 100  # that are looked at by the words of phrases and names alone


class Wording(NamedTuple):
    """What a query says of the wording of passages."""

    rest: str  # the query without what is excluded: what is searched by
    phrases: tuple[str, ...] = ()  # as the query has them, without marks
    names: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()  # words, or phrases

    @property
    def asks(self) -> bool:
        """Whether it says anything."""
        return bool(self.phrases or self.names or self.excluded)

    @property
    def words(self) -> str:
        """All that passages are to have, or not."""
        return " ".join([*self.phrases, *self.names, *self.excluded])


def wording(query: str, *, excluding: bool = True) -> Wording:
    """What a query says of the wording; without `excluding`, a dash before a word says nothing."""
    pasted = _FRAME_OR_VALUE if "\n" in query else _FRAME
    matches = [one for one in _PHRASE.finditer(query) if not pasted.search(query, max(0, one.start() - _BEFORE), one.start())]
    quoted = [(match[1], next(filter(None, match.groups()[1:]))) for match in matches]
    phrases = [phrase for dash, phrase in quoted if " " in _plain(phrase) and not _UNSPACED.search(phrase) and not dash]
    bare = _PHRASE.sub(" ", query)
    rest = _PHRASE.sub(lambda match: " " if match[1] else match[0], query).strip()
    last = [match[1] for match in takewhile(bool, map(_EXCLUDED.fullmatch, reversed(rest.split()))) if match]
    excluded = last[::-1] + [phrase for dash, phrase in quoted if dash and _plain(phrase)]
    rest = rest.rsplit(None, len(last))[0] if last and len(rest.split()) > len(last) else "" if last else rest
    if not excluding or "\n" in query or not excluded or not _WORD.search(rest):
        excluded, rest = [], query
    return Wording(rest, _few(phrases, _PHRASES), _few(_names(bare), _NAMES), tuple(dict.fromkeys(excluded)))


def as_searched(query: str, candidates: Sequence[Candidate]) -> str:
    """The query that candidates were searched by: without the words that a dash excludes, where it does."""
    said = wording(query)
    if not said.excluded or any(one.precedence < 0 for one in candidates):
        return said.rest
    return query if any(_has_dashed(said, f"{one.title} {one.text}") for one in candidates) else said.rest


def foremost(ordered: str, precedences: Sequence[int]) -> str:
    """What an order is by, in words, with what counts before it; `precedences` are in the order that it would be without."""
    first = any(before < after for before, after in pairwise(max(one, 0) for one in precedences))
    last = any(before < after for before, after in pairwise(min(one, 0) for one in precedences))
    ordered = f"what has phrases or rare names of the query as they stand first, then by {ordered}" if first else ordered
    return f"{ordered}, and what has excluded words last" if last else ordered


class Verbatim:
    """The wording of one query, and the passages that keep to it."""

    def __init__(self, said: Wording, fields: Sequence[str] = ()) -> None:
        """Begin with no passage; `fields` are metadata that passages are searched by, too."""
        self.said = said
        self._fields = fields
        self._texts: dict[str, str] = {}  # of all passages that were looked at
        self._literal = False

    @property
    def literal(self) -> bool:
        """Whether a passage has what seems excluded with its dash, as of a command, so that nothing is excluded."""
        return self._literal

    def look_at(self, matches: Sequence[Match]) -> None:
        """Take passages into account."""
        for match in matches:
            if match.id not in self._texts:
                text = searchable_text(match.payload, self._fields)
                self._literal = self._literal or _has_dashed(self.said, text)
                self._texts[match.id] = f" {_plain(text)} "

    def holders(self) -> list[str]:
        """The passages that stand first, by their ids."""
        standing = self._standing()
        return [one for one in self._texts if standing(one) > 0]

    def unheld(self) -> list[str]:
        """The phrases that no passage has of those that were looked at."""
        return [phrase for phrase in self.said.phrases if not self._having(phrase)]

    def precedences(self, matches: Sequence[Match]) -> list[int]:
        """What counts before the scores of some matches, which are looked at, too."""
        if not self.said.asks:
            return [0] * len(matches)
        self.look_at(matches)
        standing = self._standing()
        return [standing(match.id) for match in matches]

    def notes(self, candidates: Sequence[Candidate]) -> list[str]:
        """Which phrases no passage has, and which words were taken for excluded."""
        unheld, excluded = self.unheld() if candidates else [], self.said.excluded
        notes = [f'no passage that was found has "{_begun(phrase)}" as it stands' for phrase in unheld]
        return notes + [f'passages with "{_begun(one)}" stand last; write it without - to look for it' for one in excluded]

    def _standing(self) -> Callable[[str], int]:
        """Gives the precedence of a passage: a phrase counts for more than all names, and what is excluded against them all."""
        phrases = [self._having(phrase) for phrase in self.said.phrases]
        names = [having for name in self.said.names if 0 < len(having := self._having(*_forms(name))) < _RARE]
        bad = [_stem(_plain(one)) for one in self.said.excluded]

        def of(passage: str) -> int:
            if bad and any(f" {one} " in _stems(self._texts[passage]) for one in bad):
                return -1
            return (len(names) + 1) * sum(passage in having for having in phrases) + sum(passage in having for having in names)

        return of

    def _having(self, *forms: str) -> set[str]:
        """The passages that have the first of some forms of words that any has."""
        held = ({one for one, text in self._texts.items() if f" {_plain(form)} " in text} for form in forms)
        return next(filter(None, held), set())


def phrase_filter(phrase: str, filter: PlainFilter | None) -> PlainFilter:
    """The passages that pass a filter and have a phrase, as engines find it without an index: by looking at each of them."""
    condition: Mapping[str, Any] = {"key": "text", "match": {"phrase": phrase}}
    return {"must": [condition, *([filter] if filter else [])]}


def _names(text: str) -> list[str]:
    """The names of a text: those of three parts or more, and others where hardly anything stands beside them, as in no sentence."""
    names = [name for name in _NAME.findall(text) if _is_name(name)]
    beside = len(_WORD.findall(text)) - sum(len(_WORD.findall(name)) for name in names)
    return [name for name in names if len(_WORD.findall(name)) > _BESIDE_NAMES or beside < len(_WORD.findall(name))]


def _is_name(token: str) -> bool:
    plain = _plain(token)
    ordinary = _NO_NAME.fullmatch(token.strip(_AROUND)) or _NO_NAME.fullmatch(token.strip(f"{_AROUND}.:#-&%$"))
    return bool(plain) and not ordinary and not _UNSPACED.search(plain)


def _few(found: Sequence[str], most: int) -> tuple[str, ...]:
    """What was found, each once; none of too many."""
    once = tuple(dict.fromkeys(found))
    return once if len(once) <= most else ()


def _forms(name: str) -> list[str]:
    """A name as it is, and without what people write beside it."""
    bare = name.strip(f"{_AROUND}.")
    return list(dict.fromkeys([name, *(form for label in _LABELS if _is_name(form := label.sub("", bare)))]))


def _begun(words: str) -> str:
    return words if len(words) <= _SHOWN else f"{words[:_SHOWN]}…"


def _plain(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))


def _stem(words: str) -> str:
    return " ".join(_ENDING.sub("", word) for word in words.split())


def _stems(text: str) -> str:
    return f" {_stem(text)} "


def _has_dashed(said: Wording, text: str) -> bool:
    return any(re.search(rf"(?<![\w-])-{re.escape(one)}(?!\w)", text, re.IGNORECASE) for one in said.excluded)
