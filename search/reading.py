"""Which documents does a path hold? JSON lines, text and Markdown files, folders of them, or standard input.

Nothing is dropped without a word: what cannot be taken comes out as a Rejection, with its place and the reason.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from search.documents import Document, Rejection
from search.errors import InvalidDocument

SUFFIXES = (".jsonl", ".txt", ".md")
_FIELDS = {"id", "text", "title", "metadata"}
_LONGEST_LINE = 64_000_000  # bytes; longer lines and files are skipped unread, so that memory stays bounded


def read(path: str) -> Iterator[Document | Rejection]:
    """Read a file, a folder with everything below it, or "-" for JSON lines on standard input.

    Raises:
        InvalidDocument: the path does not exist, or is a file of another kind.
    """
    if path == "-":
        yield from read_jsonl(sys.stdin.buffer, "stdin")
        return
    for file, name in files(path):
        if file.suffix.lower() == ".jsonl":
            try:
                with file.open("rb") as stream:
                    yield from read_jsonl(stream, name)
            except OSError as error:
                yield Rejection(name, None, None, f"cannot be read: {error.strerror}")
        else:
            yield _read_text(file, name)


def files(path: str) -> list[tuple[Path, str]]:
    """The files that `read` will read, each with the name it goes by: that of its folder, and its place in it.

    Raises:
        InvalidDocument: the path does not exist, or nothing in it can be read.
    """
    root = Path(path).expanduser()
    if not root.exists():
        message = f"{path} does not exist"
        raise InvalidDocument(message)
    found = [file for file in _visible(root) if file.suffix.lower() in SUFFIXES]
    if not found:
        message = f"{path} holds no {', '.join(SUFFIXES)}; convert it, or write its documents as JSON lines"
        raise InvalidDocument(message)
    folder = root if root.is_dir() else root.parent
    return [(file, f"{folder.resolve().name}/{file.relative_to(folder).as_posix()}".lstrip("/")) for file in found]


def left_out(path: str) -> list[str]:
    """The visible files below a path that `read` leaves alone, for they are of other kinds."""
    return [str(file) for file in _visible(Path(path).expanduser()) if file.suffix.lower() not in SUFFIXES]


def _visible(root: Path) -> list[Path]:
    """The path itself if it is a file, else the files below it that are not hidden, in order."""
    if not root.is_dir():
        return [root]
    files = sorted(file for file in root.rglob("*") if file.is_file() or (file.is_symlink() and not file.exists()))
    return [file for file in files if not any(part.startswith(".") for part in file.relative_to(root).parts)]


def count(path: str) -> int | None:
    """How many documents `read` will give, rejected ones included; None for standard input."""
    if path == "-":
        return None
    return sum(_lines(file) if file.suffix.lower() == ".jsonl" else 1 for file, _ in files(path))


def read_jsonl(stream: BinaryIO, source: str) -> Iterator[Document | Rejection]:
    """Read one document a line: {"id": …, "text": …, "title": …, "metadata": {…}}. Blank lines are passed over."""
    number = 0
    while line := stream.readline(_LONGEST_LINE):
        number += 1
        if not line.endswith(b"\n") and len(line) == _LONGEST_LINE:
            while (rest := stream.readline(_LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
            yield Rejection(source, number, None, f"the line is longer than {_LONGEST_LINE:,} bytes; split the document")
        elif line.strip():
            yield _parse(line, source, number)


def _parse(line: bytes, source: str, number: int) -> Document | Rejection:
    try:
        fields = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        return Rejection(source, number, None, f"not UTF-8 at byte {error.start + 1} of the line; convert it")
    except (ValueError, RecursionError) as error:
        return Rejection(source, number, None, f"not JSON: {error}")
    if not isinstance(fields, dict):
        return Rejection(source, number, None, f"not an object but {type(fields).__name__}")
    if "_id" in fields and "id" not in fields:  # as BEIR writes it
        fields["id"] = fields.pop("_id")
    name = fields["id"] if isinstance(fields.get("id"), str) else None
    if extra := sorted(fields.keys() - _FIELDS):
        return Rejection(source, number, name, f"unknown fields {', '.join(extra)}; put them under metadata")
    if missing := sorted({"id", "text"} - fields.keys()):
        return Rejection(source, number, name, f"there is no {' and no '.join(missing)}")
    try:
        return Document(**fields, origin=f"{source}:{number}")
    except InvalidDocument as error:
        return Rejection(source, number, name, str(error))


def _read_text(file: Path, name: str) -> Document | Rejection:
    try:
        if file.stat().st_size > _LONGEST_LINE:
            return Rejection(name, None, name, f"larger than {_LONGEST_LINE:,} bytes; split it")
        text = file.read_bytes().decode("utf-8-sig")
        return Document(id=name, text=text, title=_title(file, text), metadata={"path": name}, origin=name)
    except UnicodeDecodeError as error:
        return Rejection(name, None, name, f"not UTF-8 at byte {error.start + 1}; convert it")
    except OSError as error:
        return Rejection(name, None, name, f"cannot be read: {error.strerror}")
    except InvalidDocument as error:
        return Rejection(name, None, name, str(error))


def _title(file: Path, text: str) -> str:
    """The first heading of a Markdown file, else the file's name."""
    if file.suffix.lower() == ".md":
        headings = (line.lstrip("#").strip() for line in text.splitlines() if line.startswith("#"))
        return next(headings, "") or file.stem
    return file.stem


def _lines(file: Path) -> int:
    """Lines that are not blank."""
    try:
        with file.open("rb") as stream:
            return sum(1 for line in iter(lambda: stream.readline(_LONGEST_LINE), b"") if line.strip())
    except OSError:
        return 1
