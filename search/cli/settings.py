"""Settings: the command that lists them, with what each is now and where that was said."""

import json
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated, Any

import typer

from search.cli.options import CONFIG, AsJson, WrongUsage, load_settings, print_json
from search.settings.listing import Setting, listing
from search.system.terminal import show


def settings(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="Only these, or those of a section, such as index or collections.documents.",
            show_default=False,
        ),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List what can be set: what it is now, where that was said, and what it means. Keys are never shown."""
    config = CONFIG.get()
    every = listing(load_settings(None, None), {"config": config} if config else {}, names or ())
    chosen = _chosen(list(every), names or ())
    if as_json:
        print_json({"settings": [one.to_dict() for one in chosen]})
        return
    above = None
    for one in sorted(chosen, key=lambda one: "." in one.name):  # what is in no section comes first, as in search.toml
        if above != (one.section, one.kind):
            show(*([""] if above else []), f"# {one.section}" + (f" With {one.kind}:" if one.kind else ""))
            above = one.section, one.kind
        _print(one)


def _chosen(every: list[Setting], names: Sequence[str]) -> list[Setting]:
    """Those of some names or sections, all for none; WrongUsage if there is none of a name."""
    for name in names:
        if not any(_is_within(one, name) for one in every):
            known = {part for one in every for part in (one.name, one.name.partition(".")[0])}
            close = get_close_matches(name, sorted(known), 1)
            raise WrongUsage(
                f"there is no setting {name} ({f'did you mean {close[0]}?' if close else 'search settings lists all'})"
            )
    return [one for one in every if not names or any(_is_within(one, name) for name in names)]


def _is_within(setting: Setting, name: str) -> bool:
    return f"{setting.name}.".startswith(f"{name}.")


def _print(setting: Setting) -> None:
    value = setting.default if setting.value is None else setting.value
    said = f"   (by {setting.place}; default {_written(setting.default)})" if setting.place else ""
    show(f"{setting.name} = {_written(value)}{said}")
    choices = f" One of {', '.join(setting.choices)}." if setting.choices else ""
    show(f"    {setting.description}{choices}")


def _written(value: Any) -> str:
    """As search.toml has it; None, as descriptions call it, for what is not set."""
    match value:
        case None:
            return "None"
        case dict():
            fields = (f"{json.dumps(name, ensure_ascii=False)} = {_written(one)}" for name, one in value.items())
            return f"{{{', '.join(fields)}}}"
        case list():
            return f"[{', '.join(map(_written, value))}]"
        case _:
            return json.dumps(value, ensure_ascii=False)
