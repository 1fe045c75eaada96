"""What does a Markdown text say of itself, in front? YAML between lines of ---, TOML between lines of +++."""

import datetime as dt
import re
import tomllib
from collections.abc import Mapping
from typing import Any

_FRONT_MATTER = re.compile(
    r"\A\ufeff?(---|\+\+\+)[ \t]*\n(?=(?:[ \t]*(?:#.*)?\n)*(?:[\"'\w][^:=\n]*[ \t]*[:=]|\[))(.*?\n)(?:\1|\.\.\.)[ \t]*(?:\n|\Z)",
    re.DOTALL,
)
_LONGEST = 20_000  # characters
_MOST_VALUES = 1_000
_MOST = 1 << 63  # what integers of an index reach up to


def end_of_front_matter(text: str) -> int:
    """How many characters it takes, with its marks; 0 without one. Lines end with a line feed."""
    match = _FRONT_MATTER.match(text[:_LONGEST])
    return match.end() if match else 0


def front_matter(text: str) -> dict[str, Any]:
    """Its fields, as JSON holds them; empty without one, or where it is neither YAML nor TOML."""
    match = _FRONT_MATTER.match(with_line_feeds(text[:_LONGEST]))
    try:
        fields: Any = {} if match is None else tomllib.loads(match[2]) if match[1] == "+++" else _yaml(match[2])
        return _plain(fields, [_MOST_VALUES]) if isinstance(fields, dict) else {}
    except (ValueError, RecursionError):
        return {}


def with_line_feeds(text: str) -> str:
    """The same in as many characters, however its lines end: to Markdown a blank at the end of a line means nothing here."""
    return text.replace("\r\n", " \n").replace("\r", "\n")


def _yaml(text: str) -> Any:
    """What YAML holds, of which no value stands for another one: a few lines could stand for gigabytes.

    Raises:
        ValueError: it is no YAML, or has aliases.
    """
    try:
        import yaml
    except ModuleNotFoundError:
        return {}
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, loader)):
            raise ValueError("one of its values stands for another")
        return yaml.load(text, loader)  # noqa: S506  # either is a safe one
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _plain(value: Any, left: list[int]) -> Any:
    """The same without what JSON has not.

    Args:
        value: of YAML or TOML.
        left: how many values it may have; counted down.

    Raises:
        ValueError: it has more.
    """
    left[0] -= 1
    if left[0] < 0:
        raise ValueError("it has too many values")
    match value:
        case Mapping():
            return {str(key): _plain(inner, left) for key, inner in value.items()}
        case list() | tuple() | set():
            return [_plain(inner, left) for inner in value]
        case dt.date() | dt.time():
            return value.isoformat()
        case bool() | str() | None:
            return value
        case int() | float() if abs(value) < _MOST:  # which no number that is none is
            return value
        case _:
            return str(value)
