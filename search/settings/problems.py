"""What is wrong with settings? In words: the setting by its name, where it was said, and what was likely meant."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from search.settings.files import MISSING, value_of


class Place(NamedTuple):
    """What says settings."""

    said: Mapping[str, Any]
    called: str  # in messages
    variables: Collection[str] | None = None  # by which it says them, as settings know these; None for a file and for arguments


def problems(error: ValidationError, root: type[BaseModel], places: Sequence[Place] = (), within: tuple[str, ...] = ()) -> str:
    """All that is wrong; values, which may be keys, are left out. Places are given strongest first.

    `root` is the model of all settings, and `within` the setting that was validated, if not all were.
    """
    faults = error.errors(include_input=False, include_url=False)
    return "; ".join(_problem((*within, *map(str, fault["loc"])), fault, root, places) for fault in faults)


def place_of(name: Sequence[str], places: Sequence[Place]) -> str | None:
    """Which of some places says a setting, with the variable that says it, by itself or with others; None if none does."""
    wholes = [name[:end] for end in range(len(name), 0, -1)]
    for said, called, variables in places:
        if value_of(said, name) is MISSING:
            continue
        if variables is None:
            return called
        by = next((one for one in wholes if f"search_{'__'.join(one)}" in variables), wholes[0])
        return f"{called}, SEARCH_{'__'.join(part.upper() if part.islower() else part for part in by)}"
    return None


@dataclass(frozen=True)
class _Section:
    """Which names a section has and, where it may be of several kinds, those of each and the setting that says of which it is."""

    names: Sequence[str] = ()
    kinds: Mapping[str, Iterable[str]] = field(default_factory=dict)
    chooser: str = ""


def _problem(loc: tuple[str, ...], fault: Any, root: type[BaseModel], places: Sequence[Place]) -> str:
    name, section = _resolved(loc, root)
    if fault["type"] == "union_tag_invalid":
        name.append(fault["ctx"]["discriminator"].strip("'"))
    dotted = ".".join(name)
    place = place_of(name, places)
    where = f" (in {place})" if place else ""
    match fault["type"]:
        case "extra_forbidden":
            return f"{dotted}{where} {_unknown(name[:-1], name[-1], section)}"
        case "union_tag_invalid":
            kinds = fault["ctx"]["expected_tags"].replace("'", "")
            return f"{dotted}{where}: there is no {fault['ctx']['tag']!r:.100}; there are {kinds}"
        case "missing":
            return f"{dotted} is missing"
        case "int_parsing" | "int_type" | "int_from_float":
            return f"{dotted}{where} is to be a whole number"
        case "float_parsing" | "float_type":
            return f"{dotted}{where} is to be a number"
        case "tuple_type" | "frozen_set_type":
            return f'{dotted}{where} is to be a list, such as ["one", "two"]'
        case "dict_type" | "model_type" | "model_attributes_type":
            return f'{dotted}{where} is to be a table, such as {{"name": "value"}}'
        case _:
            return f"{dotted}{where}: {fault['msg'].removeprefix('Value error, ')}"


def _unknown(within: list[str], name: str, section: _Section) -> str:
    """What is wrong with a name that a section does not have; it may be of another kind of the section."""
    others = sorted({other for names in section.kinds.values() for other in names})
    near = [name] if name in others else get_close_matches(name, section.names, 1) or get_close_matches(name, others, 1)
    if not near:
        return f"is no setting (there are {', '.join(section.names)})"
    meant = ".".join([*within, near[0]])
    if near[0] in section.names:
        return f"is no setting (did you mean {meant}?)"
    chooser = [*within, section.chooser]
    kinds = [kind for kind, names in section.kinds.items() if near[0] in names]
    owner = f"{'.'.join(chooser)} = " + " or ".join(f'"{kind}"' for kind in kinds)
    if near[0] != name:
        return f"is no setting (did you mean {meant}, of {owner}?)"
    variable = f"set that, too (SEARCH_{'__'.join(chooser).upper()}={kinds[0]})"
    return f"belongs to {owner}; {variable if len(kinds) == 1 else 'set one of these, too'}"


def _resolved(loc: tuple[str, ...], root: type[BaseModel]) -> tuple[list[str], _Section]:
    """A setting's name as it is written, without what pydantic says of kinds and types, and the section that it stands in."""
    name: list[str] = []
    models, kinds, chooser, section = [root], [root], "", _Section()
    is_chosen = False  # by the user, as the name of a collection is
    for part in (part for part in loc if part != "[key]"):
        if is_chosen:
            name.append(part)
            is_chosen = False
            continue
        names = sorted({field for model in models for field in model.model_fields})
        of_kind = [model for model in models if any(field.default == part for field in model.model_fields.values())]
        if part not in names and of_kind and len(models) > 1:
            models = of_kind
            continue
        name.append(part)
        by_kind = {str(model.model_fields[chooser].default): model.model_fields for model in kinds} if chooser else {}
        section = _Section(names, by_kind, chooser)
        if part in names:
            fields = [model.model_fields[part] for model in models if part in model.model_fields]
            models = kinds = [one for field in fields for one in models_in(field.annotation)]
            chooser = str(fields[0].discriminator or "")
            is_chosen = get_origin(fields[0].annotation) is dict
            if not models and not any(map(_holds_several, fields)):
                break
    return name, section


def _holds_several(field: FieldInfo) -> bool:
    """Whether a setting is a list or a table, whose parts have names or numbers."""
    return any(get_origin(one) in {dict, frozenset, tuple} for one in (field.annotation, *get_args(field.annotation)))


def of_chosen_kinds(root: type[BaseModel], said: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What sources say, strongest first, without names that other kinds of a section have than the one a stronger source chose."""
    kept = [dict(one) for one in said]
    for section, setting in root.model_fields.items():
        if not isinstance(setting.discriminator, str):
            continue
        kinds = {
            str(model.model_fields[setting.discriminator].default): model.model_fields for model in models_in(setting.annotation)
        }
        chosen: Mapping[str, FieldInfo] | None = None
        for one in kept:
            own = one.get(section)
            if not isinstance(own, Mapping):
                continue
            if chosen is not None:
                own = one[section] = {name: value for name, value in own.items() if name in chosen or not _is_of_any(name, kinds)}
            else:
                chosen = kinds.get(str(own.get(setting.discriminator)))
    return kept


def _is_of_any(name: str, kinds: Mapping[str, Mapping[str, FieldInfo]]) -> bool:
    return any(name in names for names in kinds.values())


def models_in(annotation: Any) -> Iterable[type[BaseModel]]:
    """The sections that a setting of a type may be."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)
