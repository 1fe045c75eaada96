"""Which settings are there, what is each of them now, and where was it said?"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from search.errors import InvalidSettings
from search.settings import Settings
from search.settings.problems import Place, models_in, place_of
from search.settings.sections import shown_value

_ANY_NAME = "NAME"  # stands for what the user chooses, as of a collection


@dataclass(frozen=True)
class Setting:
    """One setting, as plain data: paths are strings, sets are lists, and a secret is a mark that there is one.

    Attributes:
        name: section by section, such as "index.url".
        value: None where nothing is set, and of kinds that are not chosen.
        default: likewise.
        place: where the value was said, such as "search.toml"; None: nowhere, so it is the default, or of a kind not chosen.
        description: one sentence or a few, with the unit.
        choices: the words that it may be; none where it may be something else.
        kind: with which kind of the section alone it means something, such as 'index.engine = "qdrant"'; None: always.
        section: what the section is about.
    """

    name: str
    value: Any
    default: Any
    place: str | None
    description: str
    choices: tuple[str, ...]
    kind: str | None
    section: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as JSON has it."""
        return asdict(self)


def listing(settings: Settings, arguments: dict[str, Any], asked: Sequence[str] = ()) -> Iterator[Setting]:
    """Every setting, also those of kinds that are not chosen, of settings that were made here with some arguments.

    What is asked for by a name of the user's, such as collections.cats.text, is there also if nothing says it.
    """
    return _Listing(Settings._places(arguments), asked).within(Settings, settings, ())  # noqa: SLF001  # of this package


class _Listing:
    def __init__(self, places: Sequence[Place], asked: Sequence[str]) -> None:
        self._places = places
        self._asked = asked

    def within(
        self, section: type[BaseModel], value: BaseModel | None, prefix: tuple[str, ...], kind: str | None = None, but: str = ""
    ) -> Iterator[Setting]:
        """The settings of a section but for one; no value where it is of another kind."""
        about = "What holds for all." if section is Settings else _first_paragraph(section)
        for name, field in section.model_fields.items():
            path, models = (*prefix, name), list(models_in(field.annotation))
            found = getattr(value, name, None)
            if name == but:
                continue
            if not models:
                yield self._setting(path, field, found, None if value is None else self._place(path), kind, about)
            elif get_origin(field.annotation) is dict:
                named = dict.fromkeys(self._named(path, models[0]))
                for one, said in {**named, **(found or {_ANY_NAME: None})}.items():
                    yield from self.within(models[0], said, (*path, one))
            elif isinstance(field.discriminator, str):
                yield from self._kinds(path, field.discriminator, models, field.get_default(), found)
            else:
                yield from self.within(models[0], found, path)

    def _named(self, path: tuple[str, ...], section: type[BaseModel]) -> Iterator[str]:
        """The user's names for a section, by what is asked for: the section, or one of its settings, which may be misspelt."""
        within = f"{'.'.join(path)}."
        for asked in (name.removeprefix(within) for name in self._asked if name.startswith(within)):
            named, _, last = asked.rpartition(".")
            yield named if named and get_close_matches(last, section.model_fields, 1) else asked

    def _kinds(
        self, path: tuple[str, ...], by: str, models: Sequence[type[BaseModel]], default: Any, found: Any
    ) -> Iterator[Setting]:
        """A section that is of one of several kinds: which, and what each of them has."""
        choices = tuple(model.model_fields[by].default for model in models)
        name = (*path, by)
        about = f"Which kind of {path[-1]}."
        yield Setting(
            ".".join(name), getattr(found, by), getattr(default, by), self._place(name), about, choices, kind=None, section=about
        )
        for model, choice in zip(models, choices, strict=True):
            kind = f'{".".join(name)} = "{choice}"'
            yield from self.within(model, found if isinstance(found, model) else None, path, kind, by)

    def _setting(
        self, path: tuple[str, ...], field: FieldInfo, value: Any, place: str | None, kind: str | None, section: str
    ) -> Setting:
        default = None
        with contextlib.suppress(InvalidSettings):  # there is no home folder that it could be in
            default = None if field.is_required() else field.get_default(call_default_factory=True)
        return Setting(
            ".".join(path),
            _plain(path[-1], value),
            _plain(path[-1], default),
            place,
            field.description or "",
            _choices(field.annotation),
            kind,
            section,
        )

    def _place(self, path: tuple[str, ...]) -> str | None:
        """What says a setting; None: nothing."""
        place = place_of(path, self._places)
        return "an argument" if place == "" else place


def _plain(name: str, value: Any) -> Any:
    match shown_value(name, value):
        case SecretStr() as key:
            return "…" if key else ""
        case Path() as path:
            return str(path)
        case frozenset() as members:
            return sorted(members)
        case tuple() as parts:
            return list(parts)
        case shown:
            return shown


def _choices(annotation: Any) -> tuple[str, ...]:
    """The words of a type that has no other values than these and None."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    others = [part for part in get_args(annotation) if part is not NoneType]
    return _choices(others[0]) if len(others) == 1 and get_origin(annotation) in {Union, UnionType} else ()


def _first_paragraph(section: type[BaseModel]) -> str:
    return " ".join((section.__doc__ or "").partition("\n\n")[0].split())
