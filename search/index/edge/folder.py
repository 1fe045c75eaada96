"""Who uses a data folder of Qdrant Edge, and which names lead where in it?

data_dir/lock           held while a process uses the folder
data_dir/owner.json     which process that is
data_dir/aliases.json   {"documents": {"name": "documents.v2", "previous": "documents"}}, replaced as a whole
"""

import contextlib
import itertools
import json
import math
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from filelock import FileLock, Timeout

from search.errors import IndexBusy, IndexCorrupt, IndexFull, IndexRejected
from search.index.collections import versions
from search.index.contract import CollectionSpec
from search.system.files import hindrance, is_full, is_regular, lack_of_room, make_private, replace_file
from search.system.forks import abandon, ancestors, watch
from search.system.garbage import collect

if TYPE_CHECKING:
    from search.index.edge.shard import OpenShard

Opened = TypeVar("Opened")
_MENDED = 'restore it, or write what it should say, as {"live": {"name": "documents"}}'
_PROGRAM = secrets.token_hex(8)  # told from those of other containers, whose processes have the same numbers
_AWAKE, _MOST_AWAKE = 32, 128  # collections, of each of which the engine maps 30 MB and more; to open one takes 0.1 s
_IDLE_S = 60.0  # until those beyond the first of these numbers close
_ENDS_WITHIN_S = 1.0  # an engine's process whose searcher was dropped


class User(NamedTuple):
    """A process that an engine in a process of its own works for."""

    pid: int
    command: str
    ancestors: Sequence[int]  # the processes that it is a fork of
    program: str

    @classmethod
    def this(cls) -> "User":
        """The process that asks."""
        return cls(os.getpid(), " ".join(sys.argv[:3]), tuple(ancestors), _PROGRAM)

    def is_of(self, owner: Mapping[str, Any]) -> bool:
        """Whether a data folder's owner is this process."""
        return (owner.get("pid"), owner.get("program")) == (self.pid, self.program)


class Claims:
    """Which collections of a process are being written: each by one at a time, whatever names it is reached by."""

    def __init__(self) -> None:
        self._held: dict[str, threading.Lock] = {}

    @contextlib.contextmanager
    def of(self, collection: str) -> Iterator[None]:
        """Write a collection, by its own name, for the time of a context; IndexBusy if it is being written."""
        lock = self._held.setdefault(collection, threading.Lock())
        if not lock.acquire(blocking=False):
            raise IndexBusy(f"{collection!r} is being written under another name, by this program: wait until it is done")
        try:
            yield
        finally:
            lock.release()


class Awake:
    """Of what is open in a data folder, what has its files open: what was used longest ago closes them until it is used again."""

    def __init__(self) -> None:
        self._shards: WeakKeyDictionary[OpenShard, float] = WeakKeyDictionary()  # when each was last used, in that order
        self._turn = threading.Lock()

    def used(self, shard: "OpenShard") -> None:
        """Note a use, and have another rest where there are too many."""
        with self._turn:
            self._shards.pop(shard, None)
            self._shards[shard] = time.monotonic()
            self._rest(_MOST_AWAKE, math.inf)

    def rest_idle(self) -> bool:
        """Have one rest that was not used for a while; whether others may have to."""
        with self._turn:
            self._rest(_AWAKE, time.monotonic() - _IDLE_S)
            return len(self._shards) > _AWAKE

    def forget(self, shard: "OpenShard") -> None:
        """Count one no longer that is closed."""
        with self._turn:
            self._shards.pop(shard, None)

    def _rest(self, most: int, before: float) -> None:
        """Have the first rest that can, of those beyond so many, if it was used before then."""
        beyond = itertools.islice(self._shards.items(), max(0, len(self._shards) - most))
        if idle := next((shard for shard, used in beyond if used < before and shard.rest()), None):
            del self._shards[idle]


class DataFolder:
    """A folder that one process owns while it holds it; several collections of one searcher hold it together."""

    def __init__(self, path: Path, user: User | None = None) -> None:
        """Name the folder, and the process that this one works for, if it does; nothing is made or locked yet."""
        self.path = path
        self._user = user
        self.collections = path / "collections"
        self._begin()
        watch(self)

    def _begin(self) -> None:
        # Held by the object, not by a thread of it: one thread may open what another closes.
        self._lock = FileLock(self.path / "lock", timeout=0, thread_local=False)
        self.opening = threading.RLock()  # held while a collection is opened or closed
        self._shared: dict[str, tuple[Any, int]] = {}  # what is open, and how many hold it
        self._counting = threading.Lock()
        self._holders = 0
        self.awake = Awake()
        self.claims = Claims()

    def after_fork(self) -> None:
        """The lock is the parent's: the child closes its copy of the descriptor, without unlocking, and holds nothing."""
        abandon(self._lock, self._shared)  # lest either unlocks or writes when it is finalised
        context = getattr(self._lock, "_context", None)  # filelock before 4.2 leaves the descriptor open, which outlives the parent
        if (descriptor := getattr(context, "lock_file_fd", None)) is not None:
            os.close(descriptor)
        self._begin()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Own the folder for the time of a context; for errors see `hold`."""
        self.hold()
        try:
            yield
        finally:
            self.let_go()

    def hold(self) -> None:
        """Own the folder, making it if need be.

        Raises:
            IndexBusy: another process, or another searcher in this one, uses it.
            IndexRejected: it cannot be written.
            IndexFull: the disk has no room for it.
        """
        with self._counting:
            if self._holders == 0:
                self._acquire()
            self._holders += 1

    def let_go(self) -> None:
        """Let another process have the folder, once as often as it was held."""
        with self._counting:
            self._holders -= 1
            if self._holders == 0:
                with contextlib.suppress(OSError):
                    (self.path / "owner.json").unlink(missing_ok=True)
                self._lock.release()

    def share(self, name: str, load: Callable[[], Opened]) -> Opened:
        """What is open under a name, or what `load` opens: the engine opens no folder twice."""
        with self.opening:
            opened, holders = self._shared.get(name) or (load(), 0)
            self._shared[name] = (opened, holders + 1)
            return opened

    def unshare(self, name: str) -> bool:
        """Hold it no longer; whether nobody else does."""
        with self.opening:
            opened, holders = self._shared.pop(name)
            if holders > 1:
                self._shared[name] = (opened, holders - 1)
            return holders == 1

    def is_open(self, name: str) -> bool:
        """Whether anybody in this process has the collection open."""
        return name in self._shared

    def leads_to(self, name: str) -> str:
        """The collection that a name means: its alias's, or its own."""
        return str(self.aliases().get(name, {}).get("name", name))

    def described(self) -> dict[str, Path]:
        """The description of every collection, by its name; IndexCorrupt if the folder cannot be read."""
        try:
            files = [folder / "collection.json" for folder in sorted(self.collections.iterdir())]
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise unreadable(self.collections, error) from error
        return {file.parent.name: file for file in files if is_described(file)}

    def left_by(self, name: str) -> list[str]:
        """The versions of a name, NAME.v1 and so on, that it was led to; others only happen to be called so."""
        described = self.described()
        return [one for one in versions(name, described) if name in read_description(described[one])["led_here"]]

    def aliases(self) -> dict[str, dict[str, Any]]:
        """For each alias, the collection that it leads to and the one before; IndexCorrupt if the file cannot be read."""
        file = self.path / "aliases.json"
        try:
            stored = json.loads(file.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise unreadable(file, error) from error
        except (ValueError, RecursionError) as error:
            raise IndexCorrupt(f"{file} cannot be read ({error}); {_MENDED}") from error
        if not isinstance(stored, dict) or not all(map(_leads_somewhere, stored.values())):
            raise IndexCorrupt(f"{file} does not say of each alias where it leads; {_MENDED}")
        return stored

    def write_aliases(self, aliases: dict[str, dict[str, Any]]) -> None:
        """Replace all aliases; see `replace_json`."""
        replace_json(self.path / "aliases.json", aliases)

    def _acquire(self) -> None:
        owner = self.path / "owner.json"
        try:
            with full_disk(self.path):
                make_private(self.path)
                self._lock_file(owner)
        except Timeout as error:
            raise self._busy(read_owner(owner)) from error
        except OSError as error:
            advice = " or ".join(filter(None, (hindrance(error), "choose another --data-dir")))
            raise IndexRejected(f"{self.path} cannot be written ({error.strerror}); {advice}") from error
        user = self._user or User.this()
        with contextlib.suppress(OSError):  # only for messages
            engine = {} if self._user is None else {"engine": os.getpid()}
            owner.write_text(json.dumps({"pid": user.pid, "command": user.command, "program": user.program, **engine}))

    def _lock_file(self, file: Path) -> None:
        with contextlib.suppress(Timeout):
            self._lock.acquire()
            return
        owner = read_owner(file)
        own = self._is_own(owner)
        if own:
            collect()  # whose it is may have been dropped
        self._lock.acquire(timeout=_ENDS_WITHIN_S if own and "engine" in owner else 0)

    def _is_own(self, owner: Mapping[str, Any]) -> bool:
        return (self._user or User.this()).is_of(owner)

    def _busy(self, owner: Mapping[str, Any]) -> IndexBusy:
        if owner.get("pid") in (ancestors if self._user is None else self._user.ancestors):
            return IndexBusy(held_by_parent(self.path, owner["pid"]))
        if self._is_own(owner):
            return IndexBusy(
                f"{self.path} is in use by another searcher of this program: close that one, as `with open_search(…)` does after "
                "an error, too, share it between threads, or ask it for another collection (searcher.beside)"
            )
        engine = f", whose Qdrant Edge is process {owner['engine']}" if "engine" in owner else ""
        who = f"process {owner.get('pid', 'unknown')} ({owner.get('command', 'unknown command')}){engine}"
        way = "wait until it is done"
        if "serve" in str(owner.get("command")).split()[1:2]:
            way = "ask that service over HTTP (search.client, or --url where a command has it), stop it for what only commands do"
        return IndexBusy(f"{self.path} is in use by {who}: {way}, or give this one another --data-dir")


def _leads_somewhere(known: Any) -> bool:
    return isinstance(known, dict) and isinstance(known.get("name"), str)


def held_by_parent(path: Path, parent: int) -> str:
    """The message for a forked child that opens its parent's folder."""
    return (
        f"{path} is in use by process {parent}, of which this one is a fork, and one process owns a data folder: "
        "open the searcher after forking, in one process only, or let `search serve` own it and ask that (search.client, --url)"
    )


def unreadable(path: Path, error: OSError) -> IndexCorrupt:
    """The error for a part of a data folder that may not be read, which there is nothing to restore of."""
    return IndexCorrupt(f"{path} cannot be read ({error.strerror}); run this as the user whose it is, or choose another --data-dir")


def is_described(described: Path) -> bool:
    """Whether a collection has its description, without which it was never finished; IndexCorrupt if that cannot be seen."""
    try:
        return is_regular(described)
    except OSError as error:
        raise unreadable(described, error) from error


def read_owner(file: Path) -> dict[str, Any]:
    """Who uses a data folder, or did last; empty if that cannot be read."""
    try:
        owner = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return owner if isinstance(owner, dict) else {}


def replace_json(file: Path, content: Mapping[str, Any]) -> None:
    """Replace a file in one step, which outlives a crash; IndexFull if the disk has no room for it."""
    with full_disk(file.parent):
        replace_file(file, json.dumps(content))


@contextlib.contextmanager
def full_disk(path: Path) -> Iterator[None]:
    """Around whatever writes files: IndexFull if there is no room for them."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise IndexFull(f"{lack_of_room(str(path), error)} and run the same again") from error


def read_spec(described: Path) -> CollectionSpec:
    """What a collection was made for; see `read_description` for errors."""
    stored = read_description(described)
    return CollectionSpec(
        stored["dimension"], stored["fingerprint"], stored["lexical"], tenant=stored["tenant"], adopted=stored["adopted"]
    )


def read_description(described: Path) -> dict[str, Any]:
    """What is known of a collection.

    Returns:
        `dimension`, `fingerprint`, `lexical`, `tenant` and `adopted`, see CollectionSpec; the `storage` it was made with; the
        `purpose` for which it is being filled; and the names that were `led_here`.

    Raises:
        IndexCorrupt: it cannot be read, or is no description.
    """
    problem: object = "it is no description of a collection"
    try:
        texts = ("lexical", "tenant", "adopted", "purpose")
        stored = {**dict.fromkeys(texts, ""), "storage": {}, "led_here": [], **json.loads(described.read_text())}
        kinds = (("dimension", int), *((name, str) for name in ("fingerprint", *texts)), ("storage", dict), ("led_here", list))
        if all(isinstance(stored.get(name), kind) for name, kind in kinds):
            return stored
    except (FileNotFoundError, ValueError, TypeError, RecursionError) as error:
        problem = error
    except OSError as error:
        raise unreadable(described, error) from error
    raise IndexCorrupt(f"{described} cannot be read ({problem}); restore or delete the folder {described.parent}")
