"""Where is a model? Bundled with this package and checked, in a folder of the user's, or known to FastEmbed by name."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from search.errors import ModelCorrupt, ModelIncomplete, ModelNotFound

LOCAL = "local/"  # FastEmbed knows our folders as this and their fingerprint
_FOLDER = Path(__file__).parent
_GRAPHS = ("model.onnx", "onnx/model.onnx", "model_optimized.onnx", "onnx/model_optimized.onnx")
_HASHED = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "config.json",
    "recipe.json",
    "1_Pooling/config.json",
)


@dataclass(frozen=True)
class ModelFolder:
    """A model on disk.

    Attributes:
        name: how results and errors call it.
        path: the folder.
        graph: the ONNX file, relative to the folder.
        config: config.json, empty if there is none.
        recipe: recipe.json, empty if there is none: pooling of an embedder; of a reranker, search.recipes.Recipe.
    """

    name: str
    path: Path
    graph: str
    config: Mapping[str, Any]
    recipe: Mapping[str, Any]

    @cached_property
    def fingerprint(self) -> str:
        """Depends on the bytes of graph, weights, tokenizer, pooling and recipe: 16 hexadecimal digits."""
        return fingerprint(self.path, self.graph)


@cache
def manifest() -> Mapping[str, Any]:
    """The bundled models by name: kind, licence, source, precision, and sha256 and size of each file."""
    loaded: dict[str, Any] = json.loads((_FOLDER / "manifest.json").read_text())
    return loaded


def locate(model: str) -> ModelFolder | None:
    """Find a bundled model or a local folder; None means a name to ask FastEmbed for.

    Raises:
        ModelNotFound: it is written as a path and no such folder exists.
        ModelIncomplete: the folder lacks a file, or one of its JSON files cannot be parsed.
        ModelCorrupt: a bundled file differs from the manifest.
    """
    if model in manifest():
        folder = _FOLDER / model
        verify(folder, manifest()[model]["files"])
        return open_folder(folder, model)
    path = Path(model).expanduser()
    if path.is_dir():
        return open_folder(path, path.resolve().name)
    if model.startswith((".", "/", "~")) or path.exists():
        message = f"{model} is not a folder; a local model is a folder with the ONNX file, tokenizer.json and tokenizer_config.json"
        raise ModelNotFound(message)
    return None


def open_folder(path: Path, name: str) -> ModelFolder:
    """Describe a model folder after checking that it holds what loading it takes."""
    graph = next((candidate for candidate in _GRAPHS if (path / candidate).is_file()), None)
    missing = [file for file in ("tokenizer.json", "tokenizer_config.json") if not (path / file).is_file()]
    if graph is None:
        missing.insert(0, f"an ONNX file ({', '.join(_GRAPHS)})")
    if graph is None or missing:
        message = f"the model folder {path} lacks {' and '.join(missing)}"
        raise ModelIncomplete(message)
    read_json(path / "tokenizer.json")
    read_json(path / "tokenizer_config.json")
    config, recipe = (read_json(path / file, default={}) for file in ("config.json", "recipe.json"))
    return ModelFolder(name, path, graph, config, recipe)


def fingerprint(path: Path, graph: str) -> str:
    """A hash of all that a model's answers depend on: the file with its graph or weights, their external data, and settings."""
    weights = sorted(file for file in (path / graph).parent.iterdir() if file.suffix in {".onnx_data", ".data"})
    hashed = [path / graph, *weights, *(path / file for file in _HASHED if (path / file).is_file())]
    return hashlib.sha256("".join(sha256(file) for file in hashed).encode()).hexdigest()[:16]


def verify(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare files with their recorded sha256.

    Raises:
        ModelCorrupt: one is missing or differs.
    """
    for name, recorded in files.items():
        file = folder / name
        if not file.is_file() or sha256(file) != recorded["sha256"]:
            message = f"{file} is not the file this package was released with; install the package again"
            raise ModelCorrupt(message)


def sha256(file: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_json(file: Path, default: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """A JSON object; the default if there is no such file.

    Raises:
        ModelIncomplete: it cannot be read, or is no object.
    """
    if default is not None and not file.is_file():
        return default
    try:
        loaded = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"{file} cannot be read: {error}"
        raise ModelIncomplete(message) from error
    if not isinstance(loaded, dict):
        message = f"{file} holds no JSON object"
        raise ModelIncomplete(message)
    return loaded
