"""Where is a model? Bundled with this package and checked, in a folder of the user's, or known to FastEmbed by name."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from search.errors import ModelCorrupt, ModelIncomplete, ModelNotFound
from search.models.external_data import external_data
from search.models.files import is_folder, is_there, read_json, sha256
from search.system.files import expanded

LOCAL = "local/"  # how the names begin by which FastEmbed knows folders
_FOLDER = Path(__file__).parent
_GRAPHS = ("model.onnx", "onnx/model.onnx", "model_optimized.onnx", "onnx/model_optimized.onnx")
_SETTINGS = {"embedder": "embedder.model", "reranker": "reranker.model", "sparse model": "lexical.model"}  # by kinds of models
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
_HASHED = (*_TOKENIZER, "special_tokens_map.json", "config.json", "recipe.json", "1_Pooling/config.json")


@dataclass(frozen=True)
class ModelFolder:
    """A model on disk.

    Attributes:
        name: how results and errors call it.
        path: the folder.
        graph: the ONNX file, relative to the folder.
        config: config.json, empty if there is none.
        recipe: recipe.json, empty if there is none: pooling of an embedder; of a reranker, search.reranking.recipe.Recipe.
        verified: the sha256 of each file of a bundled model, which it has; of other models nobody knows them.
    """

    name: str
    path: Path
    graph: str
    config: Mapping[str, Any]
    recipe: Mapping[str, Any]
    verified: Mapping[str, str] | None = None

    @cached_property
    def fingerprint(self) -> str:
        """Depends on the bytes of graph, weights, tokenizer, pooling and recipe: 16 hexadecimal digits."""
        if self.verified is None:
            return fingerprint(self.path, self.graph)
        return _digest(self.verified[file] for file in (self.graph, *_HASHED) if file in self.verified)

    @property
    def registered(self) -> str:
        """FastEmbed's name for it: of these bytes at this place, since a copy may have its graph elsewhere."""
        place = hashlib.sha256(os.fsencode(self.path.resolve() / self.graph)).hexdigest()[:16]
        return f"{LOCAL}{self.fingerprint}-{place}"


@cache
def manifest() -> Mapping[str, Any]:
    """The bundled models by name: kind, licence, source, precision, and sha256 and size of each file."""
    loaded: dict[str, Any] = json.loads((_FOLDER / "manifest.json").read_text())
    return loaded


def of_another_kind(model: str, kind: str, wanted: str) -> ModelNotFound:
    """What is said of a model that is named where one of another kind is wanted."""
    article = "an" if kind == "embedder" else "a"
    return ModelNotFound(
        f"{model} is {article} {kind}, no {wanted}: name it as {_SETTINGS[kind]}, and as {_SETTINGS[wanted]} another"
    )


def locate(model: str, wanted: str | None = None) -> ModelFolder | None:
    """Find a bundled model or a local folder; None means a name to ask FastEmbed for.

    What is written as a path (with ., / or ~ in front) is one. Anything else is one if a model is there: a folder that happens to
    be called like one of FastEmbed's models does not stand in its place.

    Raises:
        ModelNotFound: it is written as a path and no such folder exists; or it is bundled, and of another kind than what is wanted.
        ModelIncomplete: the folder lacks a file, or one of its files cannot be used.
        ModelCorrupt: a bundled file differs from the manifest, or the graph is damaged.
    """
    if model in manifest():
        if wanted not in {None, kind := manifest()[model]["kind"]}:
            raise of_another_kind(model, kind, str(wanted))
        folder, files = _FOLDER / model, manifest()[model]["files"]
        verify(folder, files)
        digests = {name: recorded["sha256"] for name, recorded in files.items()}
        return ModelFolder(model, folder, _GRAPHS[0], read_json(folder / "config.json"), read_json(folder / "recipe.json"), digests)
    path, is_path = expanded(model), model.startswith((".", "/", "~"))
    if is_folder(path) and (is_path or any(is_there(path / file) for file in (*_GRAPHS, *_TOKENIZER))):
        return open_folder(path, re.sub(r"[^\x20-\x7e\xa0-\ud7ff\ue000-\U0010ffff]", "?", path.resolve().name) or str(path))
    if is_path:
        message = f"{model} is not a folder; a local model is a folder with the ONNX file, tokenizer.json and tokenizer_config.json"
        raise ModelNotFound(message)
    return None


def open_folder(path: Path, name: str) -> ModelFolder:
    """Describe a model folder after checking that it holds what loading it takes, and that each of its files is one.

    Raises:
        ModelIncomplete: a file is missing or cannot be used; see `external_data` for those that the graph names.
        ModelCorrupt: the graph is damaged.
    """
    graph = _graph(path)
    missing = [file for file in _TOKENIZER if not is_there(path / file)]
    if graph is None:
        missing.insert(0, f"an ONNX file ({', '.join(_GRAPHS)})")
    if graph is None or missing:
        raise ModelIncomplete(f"the model folder {path} lacks {' and '.join(missing)}")
    read = {file: read_json(path / file, default={}) for file in _HASHED}  # FastEmbed reads them by itself, pipes and all
    external_data(path / graph, links_out=False)
    return ModelFolder(name, path, graph, read["config.json"], read["recipe.json"])


def _graph(path: Path) -> str | None:
    """The folder's graph, by one of the usual names, or the only one."""
    usual = next((candidate for candidate in _GRAPHS if is_there(path / candidate)), None)
    if usual is not None:
        return usual
    found = sorted(str(file.relative_to(path)) for folder in (path, path / "onnx") for file in folder.glob("*.onnx"))
    if len(found) > 1:
        raise ModelIncomplete(f"the model folder {path} has several graphs ({', '.join(found)[:200]}); call one {_GRAPHS[0]}")
    return found[0] if found else None


def fingerprint(path: Path, graph: str, also: Sequence[str] = ()) -> str:
    """A hash of all that a model's answers depend on: the file with its graph or weights, their external data, and settings.

    Files of the model that are named `also`, relative to its folder as all are, count if they are there.

    Raises:
        ModelIncomplete: a file is missing or cannot be read.
        ModelCorrupt: the graph is damaged.
    """
    named = external_data(path / graph) if graph.endswith(".onnx") else []
    # These two suffixes were hashed before graphs were read, whether a graph names the file or not; what is stored holds that.
    beside = sorted(file for file in (path / graph).parent.iterdir() if file.suffix in {".onnx_data", ".data"} and file.is_file())
    others = [file for file in named if file not in beside]
    hashed = [path / graph, *beside, *(path / file for file in (*_HASHED, *also) if (path / file).is_file()), *others]
    return _digest(sha256(file) for file in hashed)


def _digest(digests: Iterable[str]) -> str:
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:16]


def verify(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare files with their recorded sha256; ModelCorrupt if one is missing or differs."""
    for name, recorded in files.items():
        file = folder / name
        if not is_there(file) or sha256(file) != recorded["sha256"]:
            raise ModelCorrupt(f"{file} is not the file this package was released with; install the package again")
