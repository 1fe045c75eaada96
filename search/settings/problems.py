"""What is wrong with settings? In words: the setting by its name, where it was said, and what was likely meant."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from search.settings.files import MISSING, value_of

Place = tuple[Mapping[str, Any], str]  # what a source of settings says, and how messages call it
VARIABLE = "…"  # stands in that for the name of the setting, as variables have it


def problems(error: ValidationError, root: type[BaseModel], places: Sequence[Place] = (), within: tuple[str, ...] = ()) -> str:
    """All that is wrong; values, which may be keys, are left out. Places are given strongest first.

    `root` is the model of all settings, and `within` the setting that was validated, if not all were.
    """
    faults = error.errors(include_input=False, include_url=False)
    return "; ".join(_problem((*within, *map(str, fault["loc"])), fault, root, places) for fault in faults)


def _problem(loc: tuple[str, ...], fault: Any, root: type[BaseModel], places: Sequence[Place]) -> str:
    name, siblings = _resolved(loc, root)
    if fault["type"] == "union_tag_invalid":
        name.append(fault["ctx"]["discriminator"].strip("'"))
    dotted = ".".join(name)
    place = next((place for said, place in places if value_of(said, name) is not MISSING), "")
    where = f" (in {place.replace(VARIABLE, '__'.join(name).upper())})" if place else ""
    match fault["type"]:
        case "extra_forbidden":
            close = get_close_matches(name[-1], siblings, 1)
            meant = f"did you mean {'.'.join([*name[:-1], close[0]])}?" if close else f"there are {', '.join(siblings)}"
            return f"{dotted}{where} is no setting ({meant})"
        case "union_tag_invalid":
            kinds = fault["ctx"]["expected_tags"].replace("'", "")
            return f"{dotted}{where}: there is no {fault['ctx']['tag']!r:.100}; there are {kinds}"
        case "missing":
            return f"{dotted} is missing"
        case _:
            return f"{dotted}{where}: {fault['msg'].removeprefix('Value error, ')}"


def _resolved(loc: tuple[str, ...], root: type[BaseModel]) -> tuple[list[str], list[str]]:
    """A setting's name as it is written, without the kinds that pydantic puts between, and all names beside it."""
    name, models = [], [root]
    for part in loc:
        siblings = sorted({field for model in models for field in model.model_fields})
        of_kind = [model for model in models if any(field.default == part for field in model.model_fields.values())]
        if part not in siblings and of_kind and len(models) > 1:
            models = of_kind
            continue
        name.append(part)
        if part in siblings:
            models = [
                one for model in models if part in model.model_fields for one in models_in(model.model_fields[part].annotation)
            ]
    return name, siblings if loc else []


def models_in(annotation: Any) -> Iterable[type[BaseModel]]:
    """The sections that a setting of a type may be."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)
