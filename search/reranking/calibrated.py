"""Which map from score to probability did the user's own judgements give a model? Kept in its recipe, or beside the collections."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.errors import ModelIncomplete
from search.models import ModelFolder, manifest
from search.models.files import is_there, read_json
from search.reranking.recipe import Recipe
from search.system.files import is_regular, replace_file

_MAP = ("scale", "bias", "points", "calibrated_on")
_SAME_SCORES = {"eff63dc7ef1662fa": "1a40a31e93d8825f"}  # bundled models that give the scores of an earlier one, with another share


def map_file(model: str, folder: ModelFolder | None, data_dir: Path) -> Path:
    """The file that holds a model's map: the recipe of a folder of the user's, or one in the data folder for other models.

    A model is named as in the settings; one that FastEmbed knows by name has no folder.
    """
    if folder is not None and model not in manifest():
        return folder.path / "recipe.json"
    # Of a bundled model the map goes with its files: the next version of the package may bring others.
    names = [model] if folder is None else [f"{model}-{folder.fingerprint}"]
    if folder is not None and folder.fingerprint in _SAME_SCORES:
        names.append(f"{model}-{_SAME_SCORES[folder.fingerprint]}")
    files = [data_dir / "calibrations" / f"{name.replace('/', '--')}.json" for name in names]
    return next((file for file in files if is_there(file)), files[0])


def keep(file: Path, mapping: Mapping[str, Any]) -> None:
    """Write a map (scale and bias, or points; and where they come from) in place of an earlier one; the rest of a recipe stays.

    Raises:
        ModelIncomplete: the file cannot be read or written; it is as it was.
    """
    rest = {name: value for name, value in read_json(file, default={}).items() if name not in _MAP}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file, json.dumps(rest | dict(mapping), indent=1) + "\n")
    except OSError as error:
        raise ModelIncomplete(f"{file} cannot be written: {error}") from error


def with_kept(recipe: Recipe, file: Path) -> Recipe:
    """The recipe with the map that a file holds, itself where there is none; ModelIncomplete if that cannot be understood."""
    try:
        if not is_regular(file):
            return recipe
    except OSError as error:
        message = f"{file} cannot be read ({error.strerror}); run this as the user whose it is, or choose another --data-dir"
        raise ModelIncomplete(message) from error
    plain = {name: value for name, value in recipe.to_dict().items() if name not in _MAP}
    return Recipe.read(plain | {name: value for name, value in read_json(file, default={}).items() if name in _MAP}, str(file))
