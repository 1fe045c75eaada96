"""Files of others, which may be anything, and files that are replaced whole.

Only regular ones are opened, unless somebody names a pipe: a pipe keeps its reader waiting, a device has no end.
"""

import contextlib
import functools
import os
import stat
from collections.abc import Iterator
from errno import EACCES, EAGAIN, EDQUOT, EFBIG, EINVAL, EIO, EMFILE, ENFILE, ENOMEM, ENOSPC, EROFS
from io import BufferedReader
from pathlib import Path

from search.errors import InvalidQuery

_FULL = (ENOSPC, EDQUOT, EFBIG)
_NO_MEMORY = "there is too little memory, or too few mappings are allowed: give it more (ulimit -v, vm.max_map_count)"
_LACKING = ("out of memory", "bad_alloc", "failed to map segment")  # what libraries say of that
_REMEDIES = {
    ENOMEM: _NO_MEMORY,
    EAGAIN: "no thread can be started: allow more (ulimit -u, the container's pids), or more memory (ulimit -v)",
    EMFILE: "too many files are open: allow more (ulimit -n)",
    ENFILE: "too many files are open on this machine: allow more (fs.file-max)",
    EACCES: "change its owner or permissions",
    EROFS: "the engine writes while it is open: copy it to a disk that can be written",
    EIO: "the disk fails: see the system's log",
}
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def open_regular(path: Path, folder: int | None = None, *, or_pipe: bool = False) -> BufferedReader:
    """Open a regular file for reading.

    Args:
        path: of the file; links are followed, unless a folder is given.
        folder: descriptor of the one that the path starts from; None for the working folder.
        or_pipe: take a pipe, too, as a shell makes one of `<(command)`, where somebody named it. It is empty if nobody writes.

    Raises:
        OSError: it cannot be opened, or is something else.
        ValueError: no file can have this name.
    """
    follow = folder is None
    _check(os.stat(path, dir_fd=folder, follow_symlinks=follow), path, or_pipe=or_pipe)  # opening some devices does something
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(path, flags, dir_fd=folder)
    try:
        _check(os.fstat(descriptor), path, or_pipe=or_pipe)  # what is opened may be another one by now
        if or_pipe:
            os.set_blocking(descriptor, True)  # what writes into it takes its time
        return open(descriptor, "rb")  # noqa: PTH123  # a descriptor, not a path
    except BaseException:
        os.close(descriptor)
        raise


def is_regular(file: Path) -> bool:
    """Whether a regular file stands under this name; OSError if that cannot be seen, as in a folder of another user."""
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


@contextlib.contextmanager
def writing(what: str, file: Path) -> Iterator[None]:
    """Around the writing of a file that somebody named: InvalidQuery, which says what it was to hold, if it cannot be written."""
    try:
        yield
    except OSError as error:
        raise InvalidQuery(f"{what} cannot be written to {file}: {error.strerror}; name another place") from error


def check_writable(file: Path) -> None:
    """Find out whether a file can be written before it is known what; OSError if not. It is left as it was, and none is made."""
    if file.exists() and not (file.is_file() or file.is_dir()):
        return  # opening a pipe waits for who reads it, and closing it would be the end
    there = os.path.lexists(file)
    file.open("a").close()
    if not there:
        file.unlink()


def is_full(error: Exception) -> bool:
    """Whether a disk, or the quota on it, is full, or a file may not grow: Qdrant Edge and shutil.Error say so in words only."""
    return getattr(error, "errno", None) in _FULL or any(os.strerror(number) in str(error) for number in _FULL)


def lack_of_room(where: str, error: Exception) -> str:
    """Why files cannot grow there, by an error that `is_full`, and what to do."""
    if getattr(error, "errno", None) == EFBIG or os.strerror(EFBIG) in str(error):
        return f"a limit on the size of files is in the way of {where} ({error}); raise it (ulimit -f)"
    return f"the disk of {where} is full ({error}); make room"


def hindrance(error: BaseException) -> str:
    """What of this machine, and no damage, is in an engine's way, and what to do; empty if it is nothing of the kind."""
    said = str(error)
    if isinstance(error, MemoryError) or any(one in said.lower() for one in _LACKING):
        return _NO_MEMORY
    return next((remedy for number, remedy in _REMEDIES.items() if os.strerror(number) in said), "")


def make_private(path: Path) -> None:
    """Make a folder that its owner alone may read, texts being in it; one that is there stays as it was set."""
    for folder in reversed([one for one in (path, *path.parents) if not one.exists()]):
        folder.mkdir(mode=0o700, exist_ok=True)


def expanded(path: str | Path) -> Path:
    """A path with ~ replaced by the home folder; that of an unknown user stays as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def replace_file(file: Path, text: str) -> None:
    """Write a file in place of an earlier one; it is on the disk when this returns.

    Raises:
        OSError: it cannot be written; an earlier one is as it was.
    """
    with replacing_file(file, text):
        pass


@contextlib.contextmanager
def replacing_file(file: Path, text: str, mode: int = 0o666) -> Iterator[None]:
    """The same around what has to go well first, with permissions of `mode` less the umask: it takes its place at the end."""
    unfinished = file.with_name(f"{file.name}.unfinished")
    try:
        unfinished.unlink(missing_ok=True)  # which might have other permissions
        with open(unfinished, "w", encoding="utf-8", opener=functools.partial(os.open, mode=mode)) as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        yield
        unfinished.replace(file)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):  # CIFS, FUSE and 9p cannot sync a folder
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # or a crash might bring the old name back
        finally:
            os.close(folder)


def _check(status: os.stat_result, path: Path, *, or_pipe: bool) -> None:
    if not (stat.S_ISREG(status.st_mode) or (or_pipe and stat.S_ISFIFO(status.st_mode))):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise OSError(EINVAL, f"it is {kind} and no regular file", str(path))
