"""What does a Markdown text say of itself, in front? YAML between lines of ---, TOML between lines of +++."""

import datetime as dt
import re
import tomllib
from collections.abc import Mapping
from typing import Any, NamedTuple

from search.reading.columns import number

_BEGINS = re.compile(r"\ufeff?(---|\+\+\+)[ \t]*\n")
_ENDS = {
    "---": re.compile(r"^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.MULTILINE),
    "+++": re.compile(r"^\+\+\+[ \t]*(?:\n|\Z)", re.MULTILINE),
}
_FIELD = re.compile(r"[\"'\w][^:=\n]{0,100}[:=](?:[ \t\"'\[{]|$)")
_REST = (" ", "\t", "#", "- ", "[", "]", "}", ")")  # how other lines of it begin
_LABELLED = re.compile(r"\[[^\[\],]*\]\s*\w")  # "[Draft] Care of pumps", which is no list
_LONGEST = 20_000  # characters
_MOST_VALUES = 1_000
_MOST = 1 << 63  # what integers of an index reach up to


class _Numeral(str):
    """What stands for a number, as it is written."""

    __slots__ = ()


class _FrontMatter(NamedTuple):
    """What stands between the marks."""

    is_toml: bool
    text: str
    end: int  # characters, with the marks


def end_of_front_matter(text: str) -> int:
    """How many characters it takes, with its marks; 0 without one. Lines end with a line feed."""
    front = _front_matter(text)
    return front.end if front else 0


def front_matter(text: str) -> dict[str, Any]:
    """Its fields, as JSON holds them; empty without one. Of what is no YAML each field is read by itself, or else is text.

    What a number would not give back as it is written stays text: a version 1.10, 010, a time 12:30.
    """
    front = _front_matter(with_line_feeds(text[:_LONGEST]))
    if front is None:
        return {}
    try:
        fields = tomllib.loads(front.text, parse_float=_numeral) if front.is_toml else _fields(front.text)
        return _plain(fields, [_MOST_VALUES]) if isinstance(fields, dict) else {}
    except (ValueError, RecursionError):
        return {}


def with_line_feeds(text: str) -> str:
    """The same in as many characters, however its lines end: to Markdown a blank at the end of a line means nothing here."""
    return text.replace("\r\n", " \n").replace("\r", "\n")


def _front_matter(text: str) -> _FrontMatter | None:
    """Lines of fields between two marks. Lines of anything else are a text that begins with a rule."""
    begins = _BEGINS.match(text)
    ends = begins and _ENDS[begins[1]].search(text, begins.end(), _LONGEST)
    if not (begins and ends):
        return None
    inside = text[begins.end() : ends.start()]
    lines = [line.rstrip() for line in inside.split("\n") if line.strip()]
    fields = [line for line in lines if not line.startswith(_REST)]
    if not fields or not all(map(_FIELD.match, fields)):
        return None
    return _FrontMatter(begins[1] == "+++", inside, ends.end())


def _fields(text: str) -> Any:
    """What YAML holds; where it is none, such as for a second colon in a title, what each field by itself holds."""
    try:
        return _yaml(text)
    except (ValueError, RecursionError):
        fields: dict[str, Any] = {}
        for field in re.split(r"\n(?=[\"'\w])", text)[:_MOST_VALUES]:
            name, colon, value = (part.strip() for part in field.partition(":"))
            if colon and value and value[0] not in "&*!|>{":
                fields |= _field(name, value, field)
        return fields


def _field(name: str, value: str, written: str) -> dict[str, Any]:
    try:
        found = _yaml(written)
        return found if isinstance(found, dict) else {}
    except (ValueError, RecursionError):
        return (
            {}
            if value.startswith("[") and not _LABELLED.match(value)
            else {name.strip("\"'"): _unquoted(value.partition("\n")[0].strip())}
        )


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


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
        safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        loader: Any = type("Loader", (safe,), {})
        for tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
            loader.add_constructor(tag, lambda loader, node: _numeral(loader.construct_scalar(node)))
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, loader)):
            raise ValueError("one of its values stands for another")
        return yaml.load(text, loader)  # noqa: S506  # it is a safe one
    except (yaml.YAMLError, LookupError, AttributeError, TypeError) as error:  # the others of tags with values that are none
        raise ValueError(str(error)) from error


def _numeral(written: str) -> str:
    """A number of YAML or TOML; what is infinite or none at all is text."""
    name = written.lower().replace(".", "").lstrip("+")
    return name if name.lstrip("-") in {"inf", "nan"} else _Numeral(written)


def _plain(value: Any, left: list[int]) -> Any:
    """The same without what JSON has not; `left` counts down how many values it may have.

    Raises:
        ValueError: it has more.
    """
    left[0] -= 1
    if left[0] < 0:
        raise ValueError("it has too many values")
    match value:
        case Mapping():
            return {str(key): _plain(inner, left) for key, inner in value.items()}
        case set():
            return [_plain(inner, left) for inner in sorted(value, key=str)]
        case list() | tuple():
            if any(isinstance(inner, _Numeral) and number(inner) is None for inner in value):  # then all numbers in it stay text
                value = [str(inner) if type(inner) in {_Numeral, int} else inner for inner in value]
            return [_plain(inner, left) for inner in value]
        case _Numeral():
            found = number(value)
            return str(value) if found is None else found
        case dt.date() | dt.time():
            return value.isoformat()
        case bool() | str() | None:
            return value
        case int() if abs(value) < _MOST:
            return value
        case _:
            return str(value)
