"""What is said of a record beside its text? Its short metadata, such as the price of a product or the date of a mail."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

_LONGEST, _LONGEST_VALUE = 200, 80  # characters
_MOST_VALUES = 10  # of a list
_NO_CHANCE = 6  # letters that a text has hardly by chance, as it has those of a size
_ADDRESS = re.compile(r"\w+:/?/?\S{20,}|\w+://\S*")
_OF_READERS = re.compile(r"\w+_left_out|encoding|replaced_characters")


class Found(Protocol):
    """A hit, or a source of a context."""

    @property
    def title(self) -> str:
        """Of the document, with headings."""

    @property
    def text(self) -> str:
        """Of the passage."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Of the document."""

    @property
    def headings(self) -> tuple[str, ...]:
        """That its passage stands under."""

    @property
    def page(self) -> int | None:
        """On which it begins."""


def facts_of(found: Found) -> str:
    """The metadata of a record, `price.amount: 159.9 · currency: EUR`, as much as fits and as its text does not say.

    "" for a part of a text, which has headings or pages, and for a whole file.
    """
    if found.page is not None or found.headings or "path" in found.metadata:
        return ""
    facts, room = [], _LONGEST
    for name, value in _facts(found.metadata, ()):
        fact = f"{name}: {value}"
        if len(fact) <= room and not any(_says(text, fact, value) for text in (found.text, found.title)):
            facts.append(fact)
            room -= len(fact) + 3
    return " · ".join(facts)


def all_facts(metadata: Mapping[str, Any]) -> str:
    """What may be said of a record, whatever its text says and however much there is."""
    return " · ".join(f"{name}: {value}" for name, value in _facts(metadata, ()))


def _says(text: str, fact: str, value: str) -> bool:
    """Whether a text says a fact: the value alone may stand there by chance where it is a number or short."""
    return fact in text or (len(value) >= _NO_CHANCE and any(map(str.isalpha, value)) and value in text)


def _facts(metadata: Mapping[str, Any], above: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name, value in metadata.items():
        if isinstance(value, Mapping):
            yield from _facts(value, (*above, name))
        elif not _OF_READERS.fullmatch(name) and (said := _said(value)):
            yield ".".join((*above, name)), said


def _said(value: Any) -> str:
    """A value in short; empty for what says little to people, or much."""
    if isinstance(value, list | tuple):
        values = [_said(one) for one in value] if len(value) <= _MOST_VALUES else []
        said = ", ".join(values) if all(values) else ""
    elif isinstance(value, bool):
        said = "true" if value else "false"
    elif isinstance(value, str):
        said = "" if "\n" in value.strip() or _ADDRESS.fullmatch(value) else " ".join(value.split())
    else:
        said = f"{value}" if isinstance(value, int | float) else ""
    return said if len(said) <= _LONGEST_VALUE else ""
