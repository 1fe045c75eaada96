"""How do the vectors of tokens become one? As the files of a model's folder say."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from search.errors import ModelIncomplete
from search.models import ModelFolder
from search.models.files import is_there, read_any_json, read_json

_HASHED = "1_Pooling"  # the folder whose config.json counts in a model's fingerprint
_MODULES = {"Transformer", "Pooling", "Normalize"}  # of sentence-transformers, which are run here
_OF_RECIPES = {"mean", "cls", "last_token", "disabled"}
_OF_SENTENCE_TRANSFORMERS = {"mean": "MEAN", "cls": "CLS", "lasttoken": "LAST_TOKEN"}
_EARLIER = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_lasttoken": "lasttoken"}


class Pooling(NamedTuple):
    """How the vectors of a text's tokens become one."""

    mode: str  # FastEmbed's word for it
    hashed: bool  # whether a file says so that counts in the folder's fingerprint
    with_prompt: bool  # whether the tokens of a prompt count, too


def pooling_of(folder: ModelFolder) -> Pooling:
    """From the recipe, else from sentence-transformers' own files, else the mean.

    Raises:
        ModelIncomplete: it cannot be run, or a further layer would be left out.
    """
    if "pooling" in folder.recipe:
        asked = folder.recipe["pooling"]
        if not isinstance(asked, str) or asked.lower() not in _OF_RECIPES:
            raise ModelIncomplete(
                f"the recipe.json of {folder.path} asks for the pooling {asked!r:.40}; write mean, cls, last_token or disabled"
            )
        return Pooling(asked.upper(), hashed=True, with_prompt=True)
    place = _place(folder.path / "modules.json")
    file = folder.path / place / "config.json"
    if not is_there(file):
        return Pooling("MEAN", hashed=False, with_prompt=True)
    said = read_json(file)
    wanted = _wanted(said)
    if len(wanted) != 1 or wanted[0] not in _OF_SENTENCE_TRANSFORMERS:
        asked = " and ".join(wanted)[:80] or "none"
        raise ModelIncomplete(f"{file} asks for the pooling {asked}; mean, cls or lasttoken can be run")
    return Pooling(_OF_SENTENCE_TRANSFORMERS[wanted[0]], place == _HASHED, said.get("include_prompt") is not False)


def _wanted(said: Mapping[str, Any]) -> list[str]:
    """The poolings that a file asks for, in either of sentence-transformers' forms."""
    if "pooling_mode" in said:
        modes = said["pooling_mode"]
        return list(map(str, modes if isinstance(modes, list) else [modes]))
    if not any(name.startswith("pooling_mode_") for name in said):
        return []
    return [_EARLIER.get(name, name) for name, on in said.items() if name.startswith("pooling_mode_") and on is True]


def _place(file: Path) -> str:
    """Where the pooling's file is, by sentence-transformers' list of what follows the graph.

    A further layer would be left out without a word, and is refused.
    """
    if not is_there(file):
        return _HASHED
    modules = read_any_json(file)
    try:
        kinds = [(str(module["type"]).rpartition(".")[2], module.get("path")) for module in modules]
    except (TypeError, KeyError, AttributeError) as error:
        raise ModelIncomplete(f"{file} is no list of modules, each with its type; copy the model again") from error
    if others := sorted({kind for kind, _ in kinds} - _MODULES):
        raise ModelIncomplete(
            f"{file} names {', '.join(others)[:80]} behind the graph, which is not run here: export the model with it, as one "
            'vector a text, and write {"pooling": "disabled"} into its recipe.json'
        )
    place = next((path for kind, path in kinds if kind == "Pooling" and path is not None), _HASHED)
    if not isinstance(place, str) or PurePosixPath(place).is_absolute() or ".." in PurePosixPath(place).parts:
        raise ModelIncomplete(f"{file} says that the pooling is in {place!r:.80}, which is no folder inside; copy the model again")
    return place.rstrip("/")
