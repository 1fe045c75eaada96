"""Signs that the office library loses: `&` and others that XML writes as references, of which it makes nothing.

They go through it as characters for private use, one each. Such characters of the file's own mean nothing to anyone else, and go.
"""

import codecs
import re
from collections.abc import Mapping

_FIRST = 0x100000  # of the plane of which all is for private use
_LAST = _FIRST + 0xFFFD
_SIGNS = "&<>\"'"
_NAMES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_REFERENCE = re.compile(
    rb"&(?:(amp|lt|gt|quot|apos)|#(\d{1,7})|#[xX]([\da-fA-F]{1,6}));|<!\[CDATA\[((?:(?!<!\[CDATA\[).)*?)\]\]>", re.DOTALL
)
_DECLARED = re.compile(rb"(<\?xml\s[^>]*?\bencoding\s*=\s*[\"'])([\w.:-]+)([\"'][^>]*>)")
_ENCODING = re.compile(r"\A(<\?xml\s[^>]*?\bencoding\s*=\s*[\"'])[\w.:-]+([\"'])")
_MARKS_OF_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_PRIVATE = re.compile(rb"\xf4[\x80-\x8f][\x80-\xbf]{2}")
_STANDS_FOR = dict(zip(_SIGNS, map(chr, range(_FIRST, _FIRST + len(_SIGNS))), strict=True))
_HIDE = str.maketrans(_STANDS_FOR)
_SHOWN = {mark: sign for sign, mark in _STANDS_FOR.items()}
_SHOWN_IN_HTML = {mark: f"&#{ord(sign)};" for sign, mark in _STANDS_FOR.items()}
_NONE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # characters that XML has not
_MARK = re.compile(f"[{chr(_FIRST)}-{chr(_LAST)}]")
MARKS = range(_FIRST + len(_SIGNS), _LAST + 1)  # codes of the characters that are left, for others to mark places by


def hidden(xml: bytes) -> bytes:
    """XML in UTF-8 without references to characters and without CDATA: what they stand for is there as it is, or hidden."""
    if b"&" not in xml and b"<![CDATA[" not in xml and b"\xf4" not in xml:
        return xml
    return _REFERENCE.sub(_plain, _PRIVATE.sub(b"", xml))


def shown(text: str) -> str:
    """A text with its signs."""
    return replaced(text, _SHOWN)


def shown_in_html(html: str, others: Mapping[str, str] | None = None) -> str:
    """HTML with its signs, and with what stands in it in the place of other marks."""
    return replaced(html, {**_SHOWN_IN_HTML, **(others or {})})


def replaced(text: str, marks: Mapping[str, str]) -> str:
    """A text with something in the place of each mark; nothing in that of others."""
    return _MARK.sub(lambda mark: marks.get(mark[0], ""), text)


def in_utf_8(xml: bytes) -> bytes:
    """XML in the encoding that it declares, or that its mark of byte order says, in UTF-8; as it was if it is in another one."""
    if xml.startswith(_MARKS_OF_UTF_16):
        text = xml.decode("utf-16", "replace")
        return _ENCODING.sub(r"\1utf-8\2", text, count=1).encode()
    declared = _DECLARED.match(xml)
    if declared is None or declared[2].lower() in {b"utf-8", b"utf8"}:
        return xml
    try:
        text = xml[declared.end() :].decode(declared[2].decode())
    except (LookupError, UnicodeDecodeError):
        return xml
    return declared[1] + b"utf-8" + declared[3] + text.encode()


def _plain(match: re.Match[bytes]) -> bytes:
    name, decimal, hexadecimal, data = match.groups()
    if name:
        text = _NAMES[name.decode()]
    elif data is not None:
        text = data.decode("utf-8", "replace")
    else:
        code = int(decimal) if decimal else int(hexadecimal, 16)
        text = _NONE.sub("", chr(code)) if code < _FIRST else ""
    return text.translate(_HIDE).encode()
