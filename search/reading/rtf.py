"""What does the office library (kreuzberg 4.10) lose of rich text? Boxes and signs between words.

It also puts spaces into words, and what is at the margins of pages in front of the text; and it takes letters of all fonts for
those of one encoding.
"""

import codecs
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from search.reading.text import of_windows

_SIGNS = {
    b"_": b"-",  # a hyphen that does not break
    b"~": b" ",
    **dict.fromkeys((b"emspace", b"enspace", b"qmspace"), b" "),
    **dict.fromkeys((b"page", b"column", b"sect"), b"\\par "),
    **dict.fromkeys((b"nestcell", b"nestrow"), b"\\line "),
}
_SIGN = re.compile(rb"(?<!\\)((?:\\\\)*)\\(?:(_|~)|(emspace|enspace|qmspace|page|column|sect|nestcell|nestrow)(?![a-z0-9]) ?)")
_END = re.compile(
    rb"(?<!\\)((?:\\\\)*)\}(?![{}])"
)  # of a group, behind which it puts a space, within words, too, unless another begins
_GROUP = re.compile(rb"\\.|\{\\shptxt(?![a-z])|[{}]", re.DOTALL)  # where one begins, of a box or another, and ends
_BOX, _INFO = re.compile(rb"\{\\shptxt(?![a-z])"), re.compile(rb"\{\\info(?![a-z])")
_TITLE = re.compile(rb"\{\\title(?![a-z]) ?")
_MARGIN = re.compile(rb"\{\\(?:header|footer)[lrf]?(?![a-z])")
_CHARSETS = {  # of fonts, and Windows' numbers of the encodings of their letters
    **dict(
        zip(range(77, 90), (10000, 10001, 10003, 10008, 10002, 1361, 10005, 10004, 10006, 10081, 10021, 10029, 10007), strict=True)
    ),
    128: 932,
    129: 949,
    130: 1361,
    134: 936,
    136: 950,
    161: 1253,
    162: 1254,
    163: 1258,
    177: 1255,
    178: 1256,
    186: 1257,
    204: 1251,
    222: 874,
    238: 1250,
    254: 437,
    255: 850,
}
_SYSTEMS = {b"mac": 10000, b"pc": 437, b"pca": 850}  # that a document was written on
_FONTS, _LETTER = re.compile(rb"\{\\fonttbl(?![a-z])"), re.compile(rb"\\'[89a-fA-F]")
_FONT = re.compile(rb"\\f(\d{1,9})(?![a-z0-9])(?:(?!\\f\d).)*?\\(fcharset|cpg)(\d{1,5})", re.DOTALL)
_ENCODING, _FIRST_FONT = re.compile(rb"\\ansicpg(\d{1,5})"), re.compile(rb"\\deff(\d{1,9})")
TOKEN = re.compile(rb"\\'([0-9a-fA-F]{2})|\\([a-z]{1,32})(-?\d{1,10})? ?|\\.|[{}]|[\r\n]+|[^\\{}\r\n]+", re.DOTALL)
_WESTERN = "cp1252"
_SYSTEM = re.compile(rb"\{\\rtf\d*\s*\\(mac|pca?)(?![a-z])")
_BYTE = re.compile(rb"[\x80-\xff]")
_TWO_BYTES = re.compile(rb"[\x81-\xfe][\x40-\xfe]|[\x80-\xff]")  # of which the second may look like a brace
_OF_JAPAN = re.compile(rb"[\x81-\x9f\xe0-\xfc][\x40-\xfc]|[\x80-\xff]")
_BYTES = {"cp932": _OF_JAPAN, **dict.fromkeys(("gbk", "cp949", "cp950", "johab", "big5", "gb18030"), _TWO_BYTES)}
_NUMBERED = re.compile(r"(?:[^\x00-\x7f]|[\\{}])+")  # signs of a text that are written by their numbers
_ESCAPED = (b"\\\\", b"\\{", b"\\}")
_PAIR = re.compile(rb"\\u(-10[0-2]\d\d|-9[2-9]\d\d|5[56]\d{3})(?: |\?|\\'[0-9a-fA-F]{2}){0,3}\\u(-?\d{1,5})(?![0-9])")
_HIGH, _LOW, _PRIVATE = range(0xD800, 0xDC00), range(0xDC00, 0xE000), range(0xE000, 0xF000)
_FALLBACKS = re.compile(rb"\\uc\d{1,2}(?![0-9])")
_DATA = re.compile(rb"(?<!\\)((?:\\\\)*\\bin)(\d{1,10})(?![0-9]) ?")


class Prepared(NamedTuple):
    """Rich text in parts, each a document for the library to read; empty where there is none."""

    text: bytes
    margins: bytes  # headers and footers
    title: bytes
    signs: Mapping[str, str]  # what characters for private use stand for


def prepared(content: bytes) -> Prepared:
    """Rich text with plain signs, and whole words, of which boxes stand at the end."""
    content, signs = _without_pairs(lettered(content))
    title = _title(content)
    text, beside = _without_margins(in_unicode(content))
    margins = _document(content, [b"{\\pard\\plain " + one + b"\\par}" for one in dict.fromkeys(beside)])
    return Prepared(
        _with_all_words(text), _with_all_words(margins) if beside else b"", _with_all_words(title) if title else b"", signs
    )


def _without_pairs(content: bytes) -> tuple[bytes, Mapping[str, str]]:
    """Without signs of two numbers, such as emoji, of which the library makes nothing: with characters for private use for them."""
    marks: dict[str, int] = {}

    def mark(pair: re.Match[bytes]) -> bytes:
        units = [int(number) % 65536 for number in pair.groups()]
        if units[0] not in _HIGH or units[1] not in _LOW:
            return pair[0]
        sign = bytes(array("H", units)).decode("utf-16", "replace")
        return b"\\u%d" % (marks.setdefault(sign, _PRIVATE[len(marks) % len(_PRIVATE)]) - 65536)

    content = _PAIR.sub(mark, content)
    return content, {chr(number): sign for sign, number in marks.items()}


def _document(content: bytes, parts: Sequence[bytes]) -> bytes:
    """A document of its own, of parts of another one."""
    declared = _ENCODING.search(content)
    return b"{\\rtf1\\ansi" + (declared[0] if declared else b"") + b" " + b"".join(parts) + b"}"


def _title(content: bytes) -> bytes:
    """A document of nothing but the title; empty without one. Where it stands twice, the last one is that in Unicode."""
    about = _about(content)
    titles = list(_TITLE.finditer(content, about.start, about.stop))
    if not titles:
        return b""
    begin, end = titles[-1].end(), _group(content, titles[-1]).stop - 1
    fallbacks = _FALLBACKS.findall(content, 0, begin)[-1:]
    letters = _Letters(_usual(content), {}, 0)
    return _document(content, [*fallbacks, b" ", *letters.rewritten(content[begin:end])])


def _with_all_words(content: bytes) -> bytes:
    end = content.rfind(b"}")
    boxes = b"".join(b"{\\par\\pard\\plain " + box + b"\\par}" for box in _boxes(content))
    plain = _SIGN.sub(lambda match: match[1] + _SIGNS[match[2] or match[3]], content[:end] + boxes)
    about = _about(plain)
    return _END.sub(lambda match: match[0] if match.start() in about else match[0] + b"{}", plain) + content[end:]


def _without_margins(content: bytes) -> tuple[bytes, list[bytes]]:
    """Without headers and footers; and what is in each."""
    kept, found = list[bytes](), list[bytes]()
    at = depth = 0
    opened: tuple[int, int] | None = None  # how deep it is, and where what is in it begins
    for brace in _GROUP.finditer(content) if _MARGIN.search(content) else ():
        if brace[0] == b"}":
            if opened and depth == opened[0]:
                found.append(content[opened[1] : brace.start()])
                opened, at = None, brace.end()
            depth -= 1
        elif brace[0].startswith(b"{"):
            depth += 1
            if not opened and (margin := _MARGIN.match(content, brace.start())):
                kept.append(content[at : brace.start()] + b"{}")  # which ends a word that is a command
                opened = depth, margin.end()
    if opened:  # which nothing closes
        return content, []
    return b"".join([*kept, content[at:]]), found


def lettered(content: bytes) -> bytes:
    """Rich text without the bytes of pictures, and with bytes that are no ASCII as letters, unless they are UTF-8."""
    content = _without_data(content)
    if content.isascii():
        return content
    try:
        content.decode()
    except UnicodeDecodeError:
        return _BYTES.get(_usual(content), _BYTE).sub(lambda found: _as_letters(found[0]), content)
    return content


def _as_letters(letters: bytes) -> bytes:
    return b"".join(b"\\'%02x" % letter for letter in letters)


def in_unicode(content: bytes) -> bytes:
    """With the letters of encodings other than the West's by their numbers, but in what is known about the document."""
    usual, fonts = _usual(content), _fonts(content)
    if not _LETTER.search(content) or {usual, *fonts.values()} == {_WESTERN}:
        return content
    first = _FIRST_FONT.search(content)
    letters, about = _Letters(usual, fonts, int(first[1]) if first else 0), _about(content)
    before, told, text = content[: about.start], content[about.start : about.stop], content[about.stop :]
    return b"".join([*letters.rewritten(before), told, *letters.rewritten(text)])


def _usual(content: bytes) -> str:
    """The encoding of letters that no font has another for: the one that is declared, else that of the system."""
    declared, system = _ENCODING.search(content), _SYSTEM.match(content)
    number = int(declared[1]) if declared else _SYSTEMS[system[1]] if system else 0
    return of_windows(number) or _WESTERN


def _fonts(content: bytes) -> Mapping[int, str]:
    """The encodings of fonts, by their numbers, of those that name one."""
    table = _group(content, _FONTS.search(content))
    found = _FONT.findall(content, table.start, table.stop)
    named = ((int(font), of_windows(int(n) if kind == b"cpg" else _CHARSETS.get(int(n), 0))) for font, kind, n in found)
    return {font: encoding for font, encoding in named if encoding}


class _Letters:
    """Goes through a text, and writes letters by their numbers, which they have by the encoding of their font."""

    def __init__(self, usual: str, fonts: Mapping[int, str], first: int) -> None:
        self._usual, self._fonts, self._first = usual, fonts, first
        self._states = [(first, 1)]  # of each group: the font, and how many signs behind a number stand for it elsewhere
        self._skipped = 0  # such signs that are still to come
        self._encoding, self._decoder = "", codecs.getincrementaldecoder(usual)()
        self._text, self._written = "", bytearray()  # letters in a row, and as they are written
        self._is_in_row = self._is_none = False  # whether the next one may be among them, and whether they are none there

    def rewritten(self, content: bytes) -> Iterator[bytes]:
        """The text, in pieces."""
        for token in TOKEN.finditer(content):
            if token[1] and not self._skipped:
                yield self._begun()
                self._add(bytes([int(token[1], 16)]), token[0])
            elif not self._is_second_half(token[0]):
                yield self._numbered(is_end=token[0][0] not in b"\\{}\r\n")
                is_between = self._skipped and token[0][:1] in b"\r\n"  # of a number and what stands for it: that is no sign
                self._followed(token[0], token[2], token[3])
                yield b" " if is_between else token[0]
        yield self._numbered(is_end=True)

    def _begun(self) -> bytes:
        """What is written before letters of the font, if those before them are of another encoding."""
        encoding = self._fonts.get(self._states[-1][0], self._usual)
        if encoding == self._encoding:
            return b""
        before = self._numbered(is_end=True)
        self._encoding, self._decoder = encoding, codecs.getincrementaldecoder(encoding)()
        return before

    def _add(self, letters: bytes, written: bytes) -> None:
        self._written += written
        self._is_in_row = True
        try:
            self._text += self._decoder.decode(letters)
        except UnicodeDecodeError:
            self._is_none = True
            self._decoder.reset()

    def _is_second_half(self, token: bytes) -> bool:
        """Whether a token is among the letters, of which its first sign may be the second half of one."""
        if not self._is_in_row or (token[0] in b"\\{}" and not (token in _ESCAPED and self._half())):
            return False
        self._add(token[1:] if token in _ESCAPED else token.strip(b"\r\n"), token)
        return True

    def _half(self) -> bytes:
        """Of a letter, the other one of which is still to come."""
        return self._decoder.getstate()[0]

    def _followed(self, token: bytes, word: bytes | None, number: bytes | None) -> None:
        font, fallbacks = self._states[-1]
        if token == b"{":
            self._states.append((font, fallbacks))
        elif token == b"}":
            del self._states[max(1, len(self._states) - 1) :]
        elif word in {b"f", b"plain"}:
            self._states[-1] = int(number or self._first), fallbacks
        elif word == b"uc":
            self._states[-1] = font, int(number or 1)
        signs = 0 if token[0] in b"\r\n" else 1 if token[0] in b"\\{}" else len(token)
        self._skipped = fallbacks if word == b"u" and number else max(0, self._skipped - signs)

    def _numbered(self, *, is_end: bool) -> bytes:
        """The letters so far, those beyond ASCII by their numbers, in a group of their own; the half of one if that is the end."""
        text, written, half = self._text, bytes(self._written), self._half()
        is_none, self._is_none, self._is_in_row, self._text = self._is_none, False, False, ""
        self._written[:] = b"" if is_none or is_end else _as_letters(half)
        if is_none or is_end:
            self._decoder.reset()
        if is_none:
            return written
        signs = _NUMBERED.sub(lambda found: _numbers_of(found[0]), text).encode()
        return (b"{\\uc1 " + signs + b"}" if text else b"") + _as_letters(half) * is_end


def _numbers_of(signs: str) -> str:
    """Signs by their numbers, one or two each; a number is one of two bytes, and may be negative."""
    units = array("h", signs.encode("utf-16"))[1:]  # behind the mark of the order
    return "".join(f"\\u{unit}?" for unit in units)


def _without_data(content: bytes) -> bytes:
    """Without the bytes of pictures, which may be braces as well."""
    kept, at = list[bytes](), 0
    while found := _DATA.search(content, at):
        behind = found.end() + int(found[2])
        if behind > len(content):  # there are none
            behind = found.end()
        kept.append(content[at : found.end(1)] + b"0 ")
        at = behind
    return b"".join([*kept, content[at:]])


def _about(content: bytes) -> range:
    """Where a document says what is known about it."""
    return _group(content, _INFO.search(content))


def _group(content: bytes, begin: re.Match[bytes] | None) -> range:
    """The group that begins there, to its end; empty where there is none, or nothing closes it."""
    depth = 0
    for brace in _GROUP.finditer(content, begin.start()) if begin else ():
        depth += brace[0].startswith(b"{")
        depth -= brace[0] == b"}"
        if not depth and begin:
            return range(begin.start(), brace.end())
    return range(0)


def _boxes(content: bytes) -> list[bytes]:
    """What is in each box that is closed, without the boxes in it, which come behind it."""
    found: dict[int, bytes] = {}
    opened: list[tuple[int, int, list[bytes]]] = []  # how deep each is, the how manieth, and its pieces
    depth = at = number = 0
    for brace in _GROUP.finditer(content) if _BOX.search(content) else ():
        depth += brace[0].startswith(b"{")
        is_box, is_end = len(brace[0]) > 2, brace[0] == b"}" and bool(opened) and opened[-1][0] == depth  # noqa: PLR2004
        if opened and (is_box or is_end):
            opened[-1][2].append(content[at : brace.start()])
        if is_end:
            _, which, pieces = opened.pop()
            found[which] = b"".join(pieces)
        if is_box:
            number += 1
            opened.append((depth, number, []))
        at = brace.end() if is_box or is_end else at
        depth -= brace[0] == b"}"
    return [found[which] for which in sorted(found)]
