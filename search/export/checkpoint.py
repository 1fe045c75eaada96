"""A checkpoint as its trainer left it, in a folder or on the model hub: configuration, tokenizer, and tensors one at a time."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from search.documents import counted
from search.errors import InvalidSettings, ModelCorrupt, ModelIncomplete, ModelNotFound, ModelUnavailable, UnsupportedModel
from search.models.files import is_folder, is_there, read_json
from search.system.files import expanded

_INDEX = "model.safetensors.index.json"
_FLOATS = ("F32", "F16", "BF16", "F64")
# What some trainers stored without need: it names no part of the model.
_LEFTOVERS = ("rotary_emb.inv_freq", "embeddings.position_ids", "roberta.pooler.dense.weight", "roberta.pooler.dense.bias")


class StoredTensor:
    """A tensor on disk, which is read when it is sliced. The file is closed again, so that nothing of it stays in memory."""

    def __init__(self, file: Path, name: str, on_read: Callable[[int], None]) -> None:
        self._file = file
        self._name = name
        self._on_read = on_read
        with _opened(file) as opened:
            stored = opened.get_slice(name)
            self.shape: tuple[int, ...] = tuple(stored.get_shape())
            self.dtype = str(stored.get_dtype())

    def __getitem__(self, part: slice) -> NDArray[Any]:
        with _opened(self._file) as opened:
            values: NDArray[Any] = opened.get_slice(self._name)[slice(*part.indices(self.shape[0]))]
        self._on_read(values.nbytes)
        if not np.isfinite(values).all():
            raise ModelCorrupt(f"{self._file}: {self._name} holds values that are not numbers; copy the checkpoint again")
        return values


class Checkpoint(Mapping[str, StoredTensor]):
    """The tensors of a folder by name, whether in one file or in shards.

    Attributes:
        path: the folder.
        config: config.json.
        total_bytes: of all tensors.
    """

    def __init__(self, path: Path, on_progress: Callable[[int, int], None] = lambda _read, _total: None) -> None:
        """Look at a folder; `on_progress` is called with the bytes read so far, and all, after each read.

        Raises:
            UnsupportedModel: an adapter, a quantized checkpoint, or weights in another format.
            ModelIncomplete: a file is missing or says nothing that can be understood.
            ModelCorrupt: a file of weights is damaged.
        """
        self.path = path
        self._on_progress, self._read = on_progress, 0
        if (path / "adapter_config.json").is_file():
            message = f"{path} holds a LoRA adapter; merge it into its base model, save that as safetensors, and export the result"
            raise UnsupportedModel(message)
        self.config = read_json(path / "config.json")
        if method := self.config.get("quantization_config"):
            name = method.get("quant_method", "unknown method") if isinstance(method, dict) else method
            raise UnsupportedModel(f"{path} is quantized already ({str(name)[:100]}); export from the original weights")
        self._files = self._locate()
        self.total_bytes = sum(file.stat().st_size for file in set(self._files.values()))

    def _locate(self) -> dict[str, Path]:
        if (self.path / _INDEX).is_file():
            try:
                files = {name: self.path / Path(file).name for name, file in read_json(self.path / _INDEX)["weight_map"].items()}
            except (KeyError, AttributeError, TypeError) as error:
                raise ModelIncomplete(f"{self.path / _INDEX} has no weight_map; copy the checkpoint again") from error
            if missing := sorted({file.name for file in files.values() if not file.is_file()}):
                raise ModelIncomplete(f"{self.path} lacks the shards {', '.join(missing)}; copy the checkpoint again")
            held = {file: self._names(file) for file in set(files.values())}
            if missing := sorted(name for name, file in files.items() if name not in held[file]):
                lacking = f"the shards lack {counted(len(missing), 'tensor')} that the index names"
                raise ModelIncomplete(f"{self.path}: {lacking}, such as {missing[0]}")
            return files
        file = self.path / "model.safetensors"
        if file.is_file():
            return dict.fromkeys(self._names(file), file)
        other = next((name for name in ("pytorch_model.bin", "pytorch_model.bin.index.json") if (self.path / name).is_file()), None)
        if other:
            message = (
                f"{self.path} holds {other}, which only torch can read; save it with save_pretrained(…, safe_serialization=True)"
            )
            raise UnsupportedModel(message)
        raise ModelIncomplete(f"{self.path} lacks model.safetensors, or its index and shards")

    def _names(self, file: Path) -> set[str]:
        with _opened(file) as opened:
            return set(opened.keys())

    def __getitem__(self, name: str) -> StoredTensor:
        if name not in self._files:
            message = (
                f"{self.path} lacks the tensor {name}; copy the checkpoint again, or export the model that config.json describes"
            )
            raise ModelIncomplete(message)
        return StoredTensor(self._files[name], name, self._note_read)

    def _note_read(self, size: int) -> None:
        self._read = min(self._read + size, self.total_bytes)
        self._on_progress(self._read, self.total_bytes)

    def __contains__(self, name: object) -> bool:
        return name in self._files

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def check(self, wanted: Mapping[str, tuple[int, ...]]) -> None:
        """Compare the tensors with those that config.json describes, before any is read.

        Raises:
            ModelIncomplete: one is missing or of another size.
            UnsupportedModel: one is left over, or stored as something else than floating-point numbers.
        """
        missing = [name for name in wanted if name not in self._files]
        if missing:
            lacking = f"{self.path} lacks {counted(len(missing), 'tensor')} of its config.json, such as {missing[0]}"
            raise ModelIncomplete(f"{lacking}; copy the checkpoint again")
        extra = sorted(name for name in self._files if name not in wanted and not name.endswith(_LEFTOVERS))
        if extra:
            raise UnsupportedModel(
                f"{self.path} has {counted(len(extra), 'tensor')} that a model of its config.json has no use for, "
                f"such as {extra[0]}; correct config.json, or export the model that the tensors belong to"
            )
        for name, sizes in wanted.items():
            tensor = self[name]
            if tensor.dtype not in _FLOATS:
                message = (
                    f"{self.path}: {name} is stored as {tensor.dtype}; export from the original weights in {', '.join(_FLOATS)}"
                )
                raise UnsupportedModel(message)
            if tensor.shape != sizes:
                stored, expected = (" x ".join(map(str, shape)) for shape in (tensor.shape, sizes))
                raise ModelIncomplete(f"{self.path}: {name} is {stored}, but {expected} by config.json; copy the checkpoint again")


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    try:
        with safe_open(str(file), framework="numpy") as handle:
            yield handle
    except (SafetensorError, OSError) as error:
        raise ModelCorrupt(f"{file} is damaged ({str(error)[:500]}); copy the checkpoint again") from error


_WANTED = [
    "config.json",
    "model.safetensors",
    "model-*.safetensors",
    "model.safetensors.index.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "adapter_config.json",
]


def fetch(model: str, revision: str | None, cache: Path) -> Path:
    """The folder of a checkpoint, downloaded if it is named and not here.

    Raises:
        InvalidSettings: a revision of a folder.
        ModelNotFound: it is written as a path and no such folder exists.
        ModelUnavailable: it could not be downloaded.
    """
    path = expanded(model)
    if is_folder(path):
        if revision is not None:
            raise InvalidSettings(f"{model} is a folder, which has no revision {revision}; leave --revision out")
        return path
    if model.startswith((".", "/", "~")) or is_there(path) or model.count("/") != 1:
        message = f"{model} is neither a folder with a checkpoint nor a name on the model hub, such as zeroentropy/zerank-1-small"
        raise ModelNotFound(message)
    from huggingface_hub import snapshot_download  # half a second, and only names need it

    from search.network.transport import check_proxies

    check_proxies(ModelUnavailable)
    try:
        return Path(snapshot_download(model, revision=revision, cache_dir=cache, allow_patterns=_WANTED))
    except Exception as error:  # it raises those of its HTTP library, and some of its own
        raise ModelUnavailable(
            f"the model {model} is not in {cache} and could not be downloaded ({type(error).__name__}); connect this machine to "
            "the model hub, or copy the checkpoint's folder here and give its path"
        ) from error
