"""What is in a compound file, in which Microsoft's programs of before 2007 keep their streams (MS-CFB)?"""

import struct
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

MARK = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # which one begins with
_LONGS = struct.Struct("<I")
_END = 0xFFFFFFFA  # from here on numbers of sectors mean something else
_IN_HEADER = 109  # sectors of the table that the header names
_ENTRY, _SMALL_SECTOR, _SMALL = 128, 64, 4096  # bytes
_STREAM = 2  # the type of an entry
_DAMAGED = "its streams are damaged"


class _Entry(NamedTuple):
    """A line of the directory, and the numbers of others."""

    name: str
    type: int
    beside: tuple[int, int]  # in the same storage
    inside: int  # the first one of a storage
    start: int
    size: int


def streams(content: bytes) -> dict[str, bytes]:
    """The streams of a compound file, by name; those of a storage in it behind the storage's and a slash.

    Raises:
        ValueError: it is damaged.
    """
    try:
        return _Compound(content).streams()
    except (struct.error, IndexError) as error:
        raise ValueError(_DAMAGED) from error


class _Compound:
    def __init__(self, content: bytes) -> None:
        if not content.startswith(MARK):
            raise ValueError("it is no compound file")
        self._content = content
        self._size = 1 << min(int.from_bytes(content[30:32], "little"), 16)
        names = dict.fromkeys(name for name in self._names() if name < _END)
        self._next = [number for name in names for number in _numbers(self._sector(name))]
        self._small_next = list(_numbers(b"".join(self._chain(_long(content, 60)))))

    def streams(self) -> dict[str, bytes]:
        """All of them."""
        entries = list(_entries(b"".join(self._chain(_long(self._content, 48)))))
        root = entries[0]
        small = b"".join(self._chain(root.start))
        found: dict[str, bytes] = {}
        left = len(self._content)
        for name, one in _inside(entries, root.inside):
            found[name] = self._stream(one, small)
            left -= len(found[name])
            if left < 0:  # several are in the same sectors
                raise ValueError(_DAMAGED)
        return found

    def _names(self) -> Iterator[int]:
        """The sectors of the table: those that the header names, and those in further sectors, which lead to each other."""
        yield from _numbers(self._content[76 : 76 + 4 * _IN_HEADER])
        following, seen = _long(self._content, 68), set[int]()
        while len(seen) < _long(self._content, 72) and following < _END and following not in seen:
            seen.add(following)
            numbers = list(_numbers(self._sector(following)))
            yield from numbers[:-1]
            following = numbers[-1]

    def _stream(self, entry: _Entry, small: bytes) -> bytes:
        if entry.size >= _SMALL:
            return b"".join(islice(self._chain(entry.start), entry.size // self._size + 1))[: entry.size]
        places = islice(_followed(entry.start, self._small_next), _SMALL // _SMALL_SECTOR)
        return b"".join(small[at * _SMALL_SECTOR : (at + 1) * _SMALL_SECTOR] for at in places)[: entry.size]

    def _chain(self, start: int) -> Iterator[bytes]:
        return map(self._sector, _followed(start, self._next))

    def _sector(self, number: int) -> bytes:
        return self._content[(number + 1) * self._size : (number + 2) * self._size]


def _followed(start: int, following: list[int]) -> Iterator[int]:
    """The sectors from one on. A chain that leads back into itself ends there."""
    seen = set[int]()
    while start < _END and start not in seen:
        seen.add(start)
        yield start
        start = following[start]


def _entries(directory: bytes) -> Iterator[_Entry]:
    for at in range(0, len(directory) - _ENTRY + 1, _ENTRY):
        length = int.from_bytes(directory[at + 64 : at + 66], "little")
        name = directory[at : at + max(min(length, 64) - 2, 0)].decode("utf-16-le", "replace")
        left, right, inside = (_long(directory, at + place) for place in (68, 72, 76))
        yield _Entry(name, directory[at + 66], (left, right), inside, _long(directory, at + 116), _long(directory, at + 120))


def _inside(entries: list[_Entry], first: int) -> Iterator[tuple[str, _Entry]]:
    """All streams that are in a storage, and in those in it."""
    waiting, seen = [("", first)], set[int]()
    while waiting:
        before, number = waiting.pop()
        if number < len(entries) and number not in seen:
            seen.add(number)
            entry = entries[number]
            waiting += [(before, beside) for beside in entry.beside]
            if entry.type == _STREAM:
                yield before + entry.name, entry
            else:
                waiting.append((f"{before}{entry.name}/", entry.inside))


def _long(content: bytes, at: int) -> int:
    number: int = _LONGS.unpack_from(content, at)[0]
    return number


def _numbers(content: bytes) -> Iterator[int]:
    return (number for (number,) in _LONGS.iter_unpack(content[: len(content) // 4 * 4]))
