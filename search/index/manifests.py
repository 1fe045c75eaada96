"""What is in a snapshot? Files in a folder, and a manifest, which says of which collection, and holds them to be whole."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Self

from search.errors import IndexFull, IndexRejected
from search.system.files import is_full, make_private

NAME = "snapshot.json"
_VERSION = 1
_LARGEST = 50_000_000  # bytes of a manifest


@dataclass(frozen=True)
class StoredFile:
    """One file of a snapshot."""

    path: str  # inside the folder, with / between its parts
    size: int  # bytes
    sha256: str

    @classmethod
    def taken(cls, folder: Path, path: str, pieces: Iterable[bytes]) -> Self:
        """Write a file of pieces into the folder, down to the disk."""
        digest, size = hashlib.sha256(), 0
        with (folder / path).open("xb") as stream:
            for piece in pieces:
                digest.update(piece)
                size += stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
        return cls(path, size, digest.hexdigest())

    @classmethod
    def of(cls, folder: Path, path: str) -> Self:
        """What a file in the folder is."""
        with (folder / path).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256")
            return cls(path, stream.tell(), digest.hexdigest())


@dataclass(frozen=True)
class Manifest:
    """A snapshot.

    Attributes:
        engine: that made it, "edge" or "qdrant".
        collection: of which it is, by its own name.
        aliases: that led there.
        files: all of them.
        least: points that it holds; None where nobody counted, or it was written to meanwhile.
        most: likewise.
        details: what else the engine needs to make the collection again.
    """

    engine: str
    collection: str
    aliases: tuple[str, ...]
    files: tuple[StoredFile, ...]
    least: int | None = None
    most: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@contextlib.contextmanager
def unfinished(into: Path) -> Iterator[Path]:
    """A folder that gets its name when it is filled, and is gone if that fails.

    Raises:
        IndexRejected: there is one of that name, or it cannot be made.
        IndexFull: this machine has no room for what is written into it.
    """
    folder = into.with_name(f"{into.name}.unfinished")
    try:
        if into.exists():
            raise IndexRejected(f"{into} is there already; name a folder that is not")
        shutil.rmtree(folder, ignore_errors=True)  # what an interrupted one left
        make_private(folder.parent)
        folder.mkdir(mode=0o700)  # nobody else's, and no link
    except OSError as error:
        raise not_written(into, error) from error
    try:
        yield folder
        folder.rename(into)
    except OSError as error:
        raise not_written(into, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def not_written(into: Path, error: OSError) -> IndexFull | IndexRejected:
    """What is wrong with a folder of this machine that a snapshot cannot be written to."""
    if is_full(error):
        return IndexFull(f"the disk of this machine has no room for a snapshot in {into}; make room, or name another place")
    return IndexRejected(f"no snapshot can be written to {into} ({error}); name another place")


def written(manifest: Manifest, folder: Path) -> None:
    """Write the manifest, the last file of a snapshot."""
    with (folder / NAME).open("x", encoding="utf-8") as stream:
        json.dump({"version": _VERSION, **asdict(manifest)}, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a snapshot; IndexRejected if there is none, as of one that was not finished, or it cannot be read."""
    file = folder / NAME
    try:
        return _understood(file.read_text(encoding="utf-8") if file.stat().st_size < _LARGEST else "")
    except FileNotFoundError as error:
        raise IndexRejected(
            f"{folder} is no whole snapshot: it has no {NAME}; give a folder that `search collections snapshot` has finished"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IndexRejected(f"{file} cannot be read as the manifest of a snapshot ({error}); take another snapshot") from error


def _understood(text: str) -> Manifest:
    told = json.loads(text)
    if told.pop("version") != _VERSION:
        raise ValueError("it is of another version")
    files = tuple(StoredFile(str(one["path"]), int(one["size"]), str(one["sha256"])) for one in told.pop("files"))
    if not (isinstance(told["details"], dict) and isinstance(told["collection"], str) and files):
        raise TypeError("it lacks something")
    return Manifest(**{**told, "aliases": tuple(map(str, told["aliases"])), "files": files})


def checked_files(manifest: Manifest, folder: Path, copied_to: Path | None = None) -> list[Path]:
    """The files of a snapshot, each in its folder and as it was written, or in another one, which it was copied to.

    Raises:
        IndexRejected: one is missing, damaged or elsewhere.
    """
    there = copied_to or folder
    paths = []
    for wanted in manifest.files:
        path = PurePosixPath(wanted.path)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise IndexRejected(f"the manifest in {folder} names a file that is not in it: {wanted.path!r}")
        try:
            found = StoredFile.of(there, wanted.path)
        except OSError as error:
            raise IndexRejected(
                f"{folder / wanted.path} of the snapshot cannot be read ({error}); a part is not brought back: get it, or take "
                "another snapshot"
            ) from error
        if found != wanted:
            raise IndexRejected(
                f"{folder / wanted.path} is not as it was written into the snapshot ({found.size:,} bytes of {wanted.size:,}); a "
                "part is not brought back: get it again, or take another snapshot"
            )
        paths.append(there / wanted.path)
    return paths
