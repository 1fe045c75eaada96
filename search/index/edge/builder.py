"""The program of the process that builds a graph: copy a collection's files, have the engine optimize the copy, say how it went.

Most are linked: in a segment that takes no more points, known by its `matrix.dat`, the engine writes vectors, graph, texts and
words once, and marks beside them what is removed.

It is run by its path and imports nothing of this package, so it runs wherever the program that starts it does. It ends with that.
"""

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import sys
from functools import partial
from pathlib import Path

# Payloads stand in page_*.dat, into which the engine could write in place when one is set, cleared or deleted. It does not: of a
# segment that takes no more points, it removes the point, by a bit in another file, and writes it into one that takes some.
_WRITTEN_ONCE = ("matrix.dat", "quantized.data", "links*.bin", "inverted_index.dat", "page_*.dat", "id_tracker.?2?", "*_to_*.bin")
_NICE = 5  # whoever searches meanwhile goes first
_BLOCK = 65_536  # bytes


def build(folder: str, copy: str) -> None:
    """Leave in `copy` what the engine makes of the files in `folder`; lines on stdout say when they are copied, and how it went."""
    import qdrant_edge as edge

    shutil.copytree(folder, copy, copy_function=partial(_copy, written_once(Path(folder))))
    _say("copied")
    shard = edge.EdgeShard.load(copy)
    built = shard.optimize()
    shard.close()
    sync(Path(copy))
    _say({"built": built})


def sync(folder: Path) -> None:
    """Have a folder and all in it on the disk."""
    for path in (folder, *folder.rglob("*")):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError:
            if not path.is_dir():  # CIFS, FUSE and 9p cannot sync a folder
                raise
        finally:
            os.close(descriptor)


def written_once(folder: Path) -> set[str]:
    """The files that the engine does not write into again."""
    segments = [file.parent.parent for file in folder.glob("segments/*/vector_storage/matrix.dat")]
    return {str(file) for segment in segments for name in _WRITTEN_ONCE for file in segment.rglob(name)}


def _copy(linked: set[str], source: str, target: str) -> None:
    """Leave out what is zero, of which files that grow ahead are full: two small ones would become 64 MB."""
    if source in linked:
        with contextlib.suppress(OSError):  # where there are no links, as on FAT
            os.link(source, target)
            return
    zeros = bytes(_BLOCK)
    with open(source, "rb") as old, open(target, "wb") as new:  # noqa: PTH123  # as copytree names them
        while block := old.read(_BLOCK):
            if block == zeros[: len(block)]:
                new.seek(len(block), os.SEEK_CUR)
            else:
                new.write(block)
        new.truncate(old.tell())


def _say(message: object) -> None:
    os.write(1, f"{json.dumps(message)}\n".encode())


def _end_with_parent() -> None:
    """The engine lets no Python run while it works, so the system ends this process when nobody holds the far end of its input."""
    with contextlib.suppress(OSError):  # where a pipe tells nothing: what is left over goes when the collection is opened again
        fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)  # SIGIO, whose default is the end
    if select.select([0], [], [], 0)[0]:
        sys.exit()


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # what ends the parent, ends this
    _end_with_parent()
    os.nice(_NICE)
    sys.path[:] = json.loads(sys.argv[3])
    try:
        build(sys.argv[1], sys.argv[2])
    except Exception as error:
        _say({"error": str(error)})
