"""What does a document of Word 97 to 2003 say (MS-DOC)? Its text, and what stands beside it, as HTML.

The office library (kreuzberg 4.10) reads Chinese as Western letters, shows the commands of fields, and reads no notes, headers,
footers and text boxes.
"""

import re
import struct
from bisect import bisect_right
from collections.abc import Iterator
from html import escape
from itertools import pairwise
from typing import NamedTuple

from search.errors import InvalidDocument
from search.reading.compound import streams
from search.reading.webpages import margins

_MAIN = "WordDocument"
_BEGINNING = 0xA5EC
_OLDEST = 0xC1  # version of Word 97
_ENCRYPTED, _FIRST_TABLE = 0x0100, 0x0200  # flags
_PARTS = ("text", "footnotes", "headers", "macros", "comments", "endnotes", "boxes", "boxes of headers")  # in the order of the text
_PIECES, _PARAGRAPHS = 33, 13  # places among the pairs of offset and length
_COMPRESSED = 0x40000000  # of one byte a letter
_PAGE = 512  # bytes
_LOWEST = 9  # style of a heading; those of paragraphs have these fixed numbers from 1 on
_FIELD = re.compile("[\x13-\x15]")  # where one begins, where its result does, and where it ends
_SURROGATE = re.compile("[\ud800-\udfff]")
_CELL = "\x07"  # what ends one, and behind the last one of a row the row
_SIGNS = str.maketrans({"\x1e": "-", "\x1f": None, "\xa0": " ", "\x0b": "\n", "\x0e": "\n"})
_NOT_SHOWN = re.compile("[\x00-\x08\x0f-\x1f\ufffe\uffff]")
_END = re.compile("[\r\x0c]")
_COMMENT = "\x05"
_OBJECTS = "ObjectPool/"  # the storage in which each has one of its own


class Read(NamedTuple):
    """What was read."""

    html: str
    comments: int
    objects: int  # of other programs, or documents inside this one, none of which is read


class _Piece(NamedTuple):
    """A run of characters that stand in a row in the file."""

    text: str  # a letter beyond the first plane is two characters, as it is where places are counted
    at: int  # bytes
    width: int  # bytes a character


def read(content: bytes) -> Read:
    """A document of these versions.

    Raises:
        InvalidDocument: it is encrypted.
        ValueError: it is damaged, or of an older version.
    """
    found = streams(content)
    if _MAIN not in found:
        raise ValueError("it holds no document of Word")
    try:
        return _Document(found).read()
    except (struct.error, IndexError) as error:
        raise ValueError("it is damaged") from error


class _Document:
    def __init__(self, found: dict[str, bytes]) -> None:
        self._stream = stream = found[_MAIN]
        self._objects = len({name.split("/")[1] for name in found if name.startswith(_OBJECTS)})
        beginning, version = struct.unpack_from("<HH", stream)
        (flags,) = struct.unpack_from("<H", stream, 10)
        if beginning != _BEGINNING or version < _OLDEST:
            raise ValueError("it is of Word 95, or older; save it as .docx")
        if flags & _ENCRYPTED:
            raise InvalidDocument("is encrypted; save it without a password")
        self._table = found.get("1Table" if flags & _FIRST_TABLE else "0Table", b"")
        words = 32 + 2 + 2 * struct.unpack_from("<H", stream, 32)[0]  # where the numbers begin, behind those of two bytes
        self._sizes = dict(zip(_PARTS, struct.unpack_from("<8I", stream, words + 2 + 3 * 4), strict=True))
        self._pairs = words + 2 + 4 * struct.unpack_from("<H", stream, words)[0] + 2

    def read(self) -> Read:
        """All of it: boxes and notes behind the text, headers and footers in a section of their own."""
        pieces = list(self._pieces())
        whole = "".join(piece.text for piece in pieces)
        parts: dict[str, str] = {}
        levels = self._levels(pieces)
        at = 0
        for name, size in self._sizes.items():
            parts[name] = whole[at : at + size]
            at += size
        text = "".join(_paragraphs(parts["text"], levels))
        beside = "".join("".join(_paragraphs(parts[name], {})) for name in ("boxes", "footnotes", "endnotes"))
        html = text + beside + margins(_paragraphs(parts["headers"] + "\r" + parts["boxes of headers"], {}))
        return Read(html, parts["text"].count(_COMMENT) if parts["comments"] else 0, self._objects)

    def _pair(self, place: int) -> bytes:
        start, size = struct.unpack_from("<II", self._stream, self._pairs + 8 * place)
        return self._table[start : start + size]

    def _pieces(self) -> Iterator[_Piece]:
        table = self._pair(_PIECES)
        at = 0
        while table[at : at + 1] == b"\x01":  # properties that pieces share
            at += 3 + int.from_bytes(table[at + 1 : at + 3], "little")
        if table[at : at + 1] != b"\x02":
            raise ValueError("it has no table of its text")
        count = (int.from_bytes(table[at + 1 : at + 5], "little") - 4) // 12
        at += 5
        places = struct.unpack_from(f"<{count + 1}I", table, at)
        for number, (start, end) in enumerate(pairwise(places)):
            (where,) = struct.unpack_from("<I", table, at + 4 * (count + 1) + 8 * number + 2)
            width = 1 if where & _COMPRESSED else 2
            first = (where & ~_COMPRESSED) // (3 - width)
            letters = self._stream[first : first + width * max(end - start, 0)]
            text = letters.decode("cp1252", "replace") if width == 1 else "".join(map(chr, memoryview(letters).cast("H")))
            yield _Piece(text, first, width)

    def _levels(self, pieces: list[_Piece]) -> dict[int, int]:
        """The levels of headings, by the places of the characters that end them."""
        borders, styles = self._styles()
        found: dict[int, int] = {}
        at = 0  # among characters as Python counts them
        for piece in pieces:
            for end in _END.finditer(piece.text):
                style = bisect_right(borders, piece.at + piece.width * end.start()) - 1
                if 0 <= style < len(styles) and 1 <= styles[style] <= _LOWEST:
                    found[at + end.start()] = styles[style]
            at += len(piece.text)
        return found

    def _styles(self) -> tuple[list[int], list[int]]:
        """Where paragraphs begin, in bytes, and the numbers of their styles."""
        table = self._pair(_PARAGRAPHS)
        count = max((len(table) - 4) // 8, 0)
        found: dict[int, int] = {}
        for number in range(count):
            (page,) = struct.unpack_from("<I", table, 4 * (count + 1) + 4 * number)
            content = self._stream[(page & 0x3FFFFF) * _PAGE :][:_PAGE]
            if len(content) < _PAGE:
                continue
            for paragraph in range(min(content[-1], _PAGE // 17)):
                (begins,) = struct.unpack_from("<I", content, 4 * paragraph)
                at = 2 * content[4 * (content[-1] + 1) + 13 * paragraph]  # of its properties; 0 if it has none
                style = at + (1 if content[at] else 2)
                found[begins] = int.from_bytes(content[style : style + 2], "little") if at else 0
        borders = sorted(found)
        return borders, [found[border] for border in borders]


def _paragraphs(text: str, levels: dict[int, int]) -> Iterator[str]:
    """Paragraphs and headings with words in them."""
    shown = _without_commands(text).replace(_CELL + _CELL, _CELL + "\r")
    start = 0
    for end in [*(match.start() for match in _END.finditer(shown)), len(shown)]:
        words = shown[start:end].translate(_SIGNS).strip(_CELL + " ").replace(_CELL, " | ")
        words = _NOT_SHOWN.sub("", words).strip()
        if words:
            tag = f"h{min(levels[end] + 1, 6)}" if end in levels else "p"
            yield f"<{tag}>{'<br>'.join(map(escape, _whole(words).split(chr(10))))}</{tag}>"
        start = end + 1


def _without_commands(text: str) -> str:
    """The text with nothing in place of the commands of fields, whose results stay; as many characters."""
    parts: list[str] = []
    at = hidden = 0
    commands: list[bool] = []  # whether it is still in its command, of each field that is open
    for mark in _FIELD.finditer(text):
        before = text[at : mark.start()]
        parts += ["\0" * len(before) if hidden else before, "\0"]
        at = mark.end()
        if mark[0] == "\x13":
            commands.append(True)
            hidden += 1
        elif commands:
            hidden -= commands[-1]
            commands[-1] = False
            if mark[0] == "\x15":
                commands.pop()
    return text if commands else "".join([*parts, text[at:]])


def _whole(text: str) -> str:
    """A text with its letters beyond the first plane in one character each."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace") if _SURROGATE.search(text) else text
