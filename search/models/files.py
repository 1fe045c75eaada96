"""How is a file of a model folder read? As somebody else's: regular files only, and no more of one than its kind may hold."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from search.errors import ModelIncomplete
from search.system.files import open_regular

# Bytes. The largest tokenizers of published models have some 35 MB; what says how a model is used has kilobytes.
LARGEST_TOKENIZER = 128 << 20
_LARGEST = 16 << 20


@contextmanager
def opened(file: Path) -> Iterator[BufferedReader]:
    """A file to be read, if it is one: a pipe would keep its reader waiting for good, a device has no end.

    Raises:
        ModelIncomplete: it cannot be opened or read, or is no regular file.
    """
    try:
        with open_regular(file) as stream:
            yield stream
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelIncomplete(f"{file} cannot be read: {reason}; put the model's own file there") from error


def is_there(file: Path) -> bool:
    """Whether anything stands under this name, be it a file or not; a name that no file can have has nothing."""
    try:
        return file.exists()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether a folder stands under this name; a name that no folder can have has none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def read_bytes(file: Path, at_most: int = _LARGEST) -> bytes:
    """All of a file; for errors see `opened`, and one that is larger than it may be is ModelIncomplete, too."""
    with opened(file) as stream:
        content = stream.read(at_most + 1)
    if len(content) > at_most:
        raise ModelIncomplete(f"{file} has more than {at_most >> 20} MB, which no model needs there; copy the model again")
    return content


def read_json(file: Path, default: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """A JSON object; the default if nothing stands there.

    Raises:
        ModelIncomplete: it cannot be read, is larger than it may be, or holds no object.
    """
    if default is not None and not is_there(file):
        return default
    loaded = read_any_json(file)
    if not isinstance(loaded, dict):
        raise ModelIncomplete(f"{file} holds no JSON object")
    return loaded


def read_any_json(file: Path) -> Any:
    """Whatever a JSON file holds; ModelIncomplete if it holds none, or as `read_bytes` has it."""
    content = read_bytes(file, LARGEST_TOKENIZER if file.name == "tokenizer.json" else _LARGEST)
    try:
        loaded = json.loads(content.decode("utf-8"))
        if b"\\ud" in content or b"\\uD" in content:
            json.dumps(loaded, ensure_ascii=False).encode()  # which half of a surrogate pair does not survive
    except ValueError as error:
        raise ModelIncomplete(f"{file} cannot be read: {error}") from error
    except RecursionError as error:
        raise ModelIncomplete(f"{file} cannot be read: it is nested too deeply") from error
    return loaded


def sha256(file: Path) -> str:
    """The file's SHA-256 in hexadecimal; for errors see `opened`."""
    with opened(file) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
