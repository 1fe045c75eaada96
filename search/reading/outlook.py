"""What does a mail say that Outlook saved (MS-OXMSG)? As of others, who wrote what to whom, and which files came with it.

The office library (kreuzberg 4.10) loses texts that are HTML alone, names no attachments, and reads every other encoding as UTF-8.
"""

import datetime as dt
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from search.reading import webpages
from search.reading.compound import streams
from search.reading.mail import head_of
from search.reading.text import decode, of_windows

_STREAM = "__substg1.0_"
_PROPERTIES = "__properties_version1.0"
_SUBJECT, _TEXT, _HTML, _RICH = 0x0037, 0x1000, 0x1013, 0x1009
_SENDER, _ADDRESS, _NET_ADDRESS = 0x0C1A, 0x0C1F, 0x5D01
_TO, _COPIES = 0x0E04, 0x0E03
_TIMES = (0x0039, 0x0E06)  # when it was sent, and when it came
_ENCODINGS = (0x3FFD, 0x3FDE)  # of texts that are not Unicode, by Windows' numbers
_NAMES = (0x3707, 0x3704, 0x3001)  # of an attachment
_NAME, _ADDRESSES, _KIND = 0x3001, (0x39FE, 0x3003), 0x0C15  # of a receiver
_RECEIVER = re.compile(r"(__recip_version1\.0_#[0-9A-Fa-f]{8}/)[^/]*")
_ATTACHED = re.compile(r"(__attach_version1\.0_#[0-9A-Fa-f]{8}/)[^/]*")
_INSIDE = "__substg1.0_3701000D/"  # a mail that is attached
_WINDOW = 4096
_BEFORE = (  # what counts as having stood before
    b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor "
    b"MS Sans SerifSymbolArialTimes New RomanCourier"
    b"{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"
)
_DEEPEST = 5  # mails in each other
_BEGIN_OF_TIME = dt.datetime(1601, 1, 1, tzinfo=dt.UTC)
_UNITS = 10  # of a microsecond


def read(content: bytes, read_rich: Callable[[bytes], str]) -> tuple[str, str, Mapping[str, Any]]:
    """Subject, text, and metadata: sender, time and attachments.

    Args:
        content: the file.
        read_rich: what reads rich text (RTF), in which a mail is that has no other.

    Raises:
        InvalidDocument: its text is in no encoding that can be told.
        ValueError: it is damaged, or no mail.
    """
    found = streams(content)
    if _PROPERTIES not in found:
        raise ValueError("it holds no mail")
    mail = _Mail(found, "", read_rich)
    metadata = {"from": mail.sender, "date": mail.time, "attachments": mail.attachments}
    try:
        text = "\n\n".join(mail.pieces(0)) + "\n"
    except struct.error as error:
        raise ValueError("it is damaged") from error
    return mail.text(_SUBJECT), text, {name: value for name, value in metadata.items() if value}


class _Mail:
    """One of the mails in a file: its streams have names that begin alike."""

    def __init__(self, found: Mapping[str, bytes], prefix: str, read_rich: Callable[[bytes], str]) -> None:
        self._streams, self._prefix, self._read_rich = found, prefix, read_rich
        self._numbers = dict(_fixed(found.get(prefix + _PROPERTIES, b""), 24 if prefix else 32))

    @property
    def sender(self) -> str:
        """Name and address, as in other mails."""
        return _named(self.text(_SENDER), self.text(_NET_ADDRESS) or self.text(_ADDRESS))

    def receivers(self, kind: int) -> str:
        """Of 1, those that it was sent to, and of 2, those that got a copy, as Outlook shows them if nothing else names them."""
        found = []
        for folder in self._folders(_RECEIVER):
            properties = dict(_fixed(self._streams.get(folder + _PROPERTIES, b""), 8))
            if properties.get(_KIND, 0) & 0xF == kind:
                address = next((one for number in _ADDRESSES if "@" in (one := self._text(folder, number))), "")
                found.append(_named(self._text(folder, _NAME), address))
        return ", ".join(filter(None, found)) or self.text(_TO if kind == 1 else _COPIES)

    @property
    def time(self) -> str:
        """When it was sent, else when it came; empty if nobody knows."""
        units = next((value for one in _TIMES if (value := self._numbers.get(one))), 0)
        try:
            return (_BEGIN_OF_TIME + dt.timedelta(microseconds=units // _UNITS)).isoformat(timespec="seconds") if units else ""
        except OverflowError:
            return ""

    @property
    def attachments(self) -> list[str]:
        """Their names."""
        names = (next((name for one in _NAMES if (name := self._text(folder, one))), "") for folder in self._folders(_ATTACHED))
        return [name for name in names if name]

    def text(self, number: int) -> str:
        """A property that is a text, on one line."""
        return " ".join(self._text(self._prefix, number).split())

    def pieces(self, depth: int) -> Iterator[str]:
        """Headers, the text, and the mails that are attached."""
        yield from head_of({"From": self.sender, "To": self.receivers(1), "Cc": self.receivers(2), "Date": self.time})
        words = self._text(self._prefix, _TEXT).replace("\r\n", "\n").strip()
        if words := words or self._html().strip() or self._rich().strip():
            yield words
        if depth < _DEEPEST:
            for folder in self._folders(_ATTACHED):
                if f"{folder}{_INSIDE}{_PROPERTIES}" in self._streams:
                    yield from _Mail(self._streams, folder + _INSIDE, self._read_rich).pieces(depth + 1)

    def _folders(self, kind: re.Pattern[str]) -> list[str]:
        """The storages of a kind that are in this one, in order."""
        start = len(self._prefix)
        inside = (kind.match(name, start) for name in self._streams if name.startswith(self._prefix))
        return sorted({self._prefix + match[1] for match in inside if match})

    def _html(self) -> str:
        """The text, where it is a page: of letters, or of bytes in the encoding that the mail or the page names."""
        content = self._streams.get(f"{self._prefix}{_STREAM}{_HTML:04X}0102")
        if content is None:
            return webpages.to_markdown(self._text(self._prefix, _HTML))[1]
        encoding = self._encoding()
        try:
            return webpages.to_markdown(content.decode(encoding))[1] if encoding else webpages.read(content)[1]
        except UnicodeDecodeError:
            return webpages.read(content)[1]

    def _rich(self) -> str:
        content = self._streams.get(f"{self._prefix}{_STREAM}{_RICH:04X}0102", b"")
        return self._read_rich(_unpacked(content)) if content else ""

    def _text(self, folder: str, number: int) -> str:
        name = f"{folder}{_STREAM}{number:04X}"
        if content := self._streams.get(f"{name}001F"):
            return content.decode("utf-16-le", "replace").rstrip("\0")
        content = self._streams.get(f"{name}001E", b"").rstrip(b"\0")
        try:
            return content.decode(self._encoding() or "utf-8")
        except UnicodeDecodeError:
            return decode(content).text

    def _encoding(self) -> str:
        """What the mail says that its bytes are; empty if it says nothing that is known."""
        number = next((value & 0xFFFFFFFF for one in _ENCODINGS if (value := self._numbers.get(one))), 0)
        return of_windows(number)


def _named(name: str, address: str) -> str:
    """Name and address, of which the latter is none within a firm."""
    name, address = " ".join(name.split()), " ".join(address.split())
    address = "" if address.startswith("/") else address
    return f"{name} <{address}>" if name and address and name != address else name or address


def _unpacked(content: bytes) -> bytes:
    """Rich text as it was packed (MS-OXRTFCP): of letters, and of places where the same stood before, among the last 4,096."""
    size, mark = struct.unpack_from("<4xI4s", content)
    if mark != b"LZFu":
        return content[16 : 16 + size]
    out = bytearray(_BEFORE)
    at = 16
    while at < len(content) and len(out) < size + len(_BEFORE):
        control = content[at]
        at += 1
        for bit in range(8):
            if not control >> bit & 1:
                out += content[at : at + 1]
                at += 1
                continue
            place, length = divmod(int.from_bytes(content[at : at + 2], "big"), 16)
            at += 2
            back = (len(out) - place - 1) % _WINDOW + 1
            if back == _WINDOW or at > len(content):  # the end
                return bytes(out[len(_BEFORE) :])
            for _ in range(length + 2):
                out.append(out[-back] if back <= len(out) else 0)
    return bytes(out[len(_BEFORE) :])


def _fixed(properties: bytes, begin: int) -> Iterator[tuple[int, int]]:
    """Numbers of properties of a fixed size, and their values."""
    for at in range(begin, len(properties) - 15, 16):
        kind, number, _, value = struct.unpack_from("<HHIQ", properties, at)
        if kind in {0x0003, 0x0040}:  # a whole number, a time
            yield number, value
