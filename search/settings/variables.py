"""Which variables say what of the settings, and which of them only look as if they did?"""

import functools
import io
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from dotenv.parser import parse_stream
from pydantic import BaseModel, SecretStr

from search.settings.problems import models_in

PREFIX = "SEARCH_"
BETWEEN = "__"  # a section and what is in it
_OURS = PREFIX.lower()
_NEAR = 0.8  # as alike, of 1, are a name and the one that was meant
_GUARDS = {f"{_OURS}service", f"{_OURS}service__api_keys"}  # without which anybody is let in, so an empty one is a mistake


def read_variables(variables: Mapping[str, str | None], root: type[BaseModel]) -> dict[str, str | None]:
    """Variables as settings know them, without those that say nothing: the empty ones, but for texts, which may be empty.

    Names are in small letters, but for those of the user's within them, as of collections, that are not in capitals alone.
    """
    spelt = ((_spelt(name, root), value) for name, value in variables.items())
    return {name: value for name, value in spelt if value or name not in _nothing_if_empty(root)}


def names_in(dotenv: str) -> tuple[list[str], list[int]]:
    """The variables that a `.env` file sets, as it writes them, and the numbers of lines that cannot be read."""
    bindings = list(parse_stream(io.StringIO(dotenv)))
    return [one.key for one in bindings if one.key], [one.original.line for one in bindings if one.error]


def unknown(names: Iterable[str], root: type[BaseModel]) -> dict[str, str]:
    """Of variables, those that begin like settings and are none, sorted; with each, the one that was likely meant, or nothing."""
    ours = {name: name.lower().removeprefix(_OURS) for name in sorted(set(names)) if name.lower().startswith(_OURS)}
    return {name: _meant(rest, root) for name, rest in ours.items() if not _is_known(rest, root)}


def _is_known(name: str, root: type[BaseModel]) -> bool:
    """Whether a name is a setting or begins with a section; what is wrong within one is told where the settings are read."""
    first, sign, _ = name.partition(BETWEEN)
    field = root.model_fields.get(first)
    return field is not None and (not sign or any(models_in(field.annotation)))


def _meant(name: str, root: type[BaseModel]) -> str:
    """The variable that a misspelt one is likely to be; empty if none is like it."""
    close = get_close_matches(name, [one.removeprefix(_OURS) for one in _variables(root)], 1, _NEAR)
    return f"{PREFIX}{close[0].upper()}" if close else ""


@functools.cache
def _nothing_if_empty(root: type[BaseModel]) -> frozenset[str]:
    texts = {name for name, kinds in _variables(root).items() if any(map(_is_text, kinds))}
    return frozenset(_variables(root).keys() - texts - _GUARDS)


def _spelt(name: str, root: type[BaseModel]) -> str:
    small = name.lower()
    start = next((len(one) for one in _tables(root) if small.startswith(one)), None)
    if start is None:
        return small
    own, sign, rest = name[start:].partition(BETWEEN)
    return f"{small[:start]}{own.lower() if own.isupper() else own}{sign}{rest.lower()}"


@functools.cache
def _tables(root: type[BaseModel]) -> tuple[str, ...]:
    """How variables begin that name what is called as the user likes."""
    tables = (name for name, kinds in _variables(root).items() if any(get_origin(kind) in {dict, Mapping} for kind in kinds))
    return tuple(f"{name}{BETWEEN}" for name in tables)


@functools.cache
def _variables(root: type[BaseModel]) -> dict[str, list[Any]]:
    """All variables, in small letters, and the types of what they say: several where a section is of several kinds."""

    def within(models: Iterable[type[BaseModel]], prefix: str) -> Iterator[tuple[str, Any]]:
        for name, field in ((name, field) for model in models for name, field in model.model_fields.items()):
            yield f"{prefix}{name}", field.annotation
            if _is_section(field.annotation):
                yield from within(models_in(field.annotation), f"{prefix}{name}{BETWEEN}")

    found: dict[str, list[Any]] = {}
    for name, annotation in within([root], _OURS):
        found.setdefault(name, []).append(annotation)
    return found


def _is_section(annotation: Any) -> bool:
    return get_origin(annotation) is not dict and any(models_in(annotation))


def _is_text(annotation: Any) -> bool:
    if get_origin(annotation) in {Union, UnionType, Annotated}:
        return any(map(_is_text, get_args(annotation)))
    return annotation is str or annotation is SecretStr
