"""What did a mail say before Outlook wrote it into rich text (MS-OXRTFEX)? The page, or the plain text, that is in there whole."""

import re
from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from search.reading.rtf import TOKEN, in_unicode, lettered

_FROM = re.compile(rb"\{\\rtf1\s*(?:\\[a-z]+-?\d*\s*)*?\\from(html1|text)(?![a-z0-9])")
_BESIDE = frozenset((b"fonttbl", b"colortbl", b"stylesheet", b"info", b"pict", b"object", b"header", b"footer", b"mhtmltag"))
_SIGNS = {
    **dict.fromkeys((b"par", b"line"), "\n"),
    b"tab": "\t",
    b"lquote": "\u2018",
    b"rquote": "\u2019",
    b"ldblquote": "\u201c",
    b"rdblquote": "\u201d",
    b"bullet": "\u2022",
    b"endash": "\u2013",
    b"emdash": "\u2014",
    b"\\~": "\u00a0",
    b"\\_": "\u00ad",
    **{b"\\" + sign.encode(): sign for sign in "\\{}"},
}


class Encapsulated(NamedTuple):
    """What was there before."""

    text: str
    is_page: bool  # of HTML


class _Group(NamedTuple):
    """What holds up to the end of a group."""

    fallbacks: int = 1  # signs behind a number, which stand for it elsewhere
    is_shown: bool = True  # in rich text alone, if it is not the page's
    is_tag: bool = False
    is_beside: bool = False


def read(content: bytes) -> Encapsulated | None:
    """What rich text was made of, if a program of mails made it."""
    if not (found := _FROM.match(content)):
        return None
    is_page = found[1] == b"html1"
    text = "".join(_pieces(in_unicode(lettered(content)), is_page=is_page))
    return Encapsulated(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"), is_page)


def _pieces(content: bytes, *, is_page: bool) -> Iterator[str]:
    groups = [_Group()]
    skipped = 0  # signs that are still to come, and stand for a number elsewhere
    for token in TOKEN.finditer(content):
        whole, letter, word, number = token.group(0, 1, 2, 3)
        if whole == b"{":
            groups.append(groups[-1])
            skipped = 0
        elif whole == b"}":
            del groups[max(1, len(groups) - 1) :]
            skipped = 0
        else:
            is_sign = whole[0] not in b"\\\r\n"
            here = groups[-1] = groups[-1] if is_sign else _changed(groups[-1], word or whole, number)
            text = whole[skipped:].decode("utf-8", "replace") if is_sign else "" if letter and skipped else _sign(token)
            skipped = here.fallbacks if word == b"u" else max(0, skipped - (len(whole) if is_sign else bool(letter)))
            if here.is_tag or (here.is_shown and not here.is_beside):
                yield escape(text, quote=False) if is_page and not here.is_tag else text


def _changed(group: _Group, word: bytes, number: bytes | None) -> _Group:
    """What holds behind a word of rich text."""
    if word == b"\\*" or word in _BESIDE:
        return group._replace(is_beside=True, is_tag=False)
    if word == b"htmltag":
        return group._replace(is_tag=True)
    if word == b"htmlrtf":
        return group._replace(is_shown=number == b"0")
    return group._replace(fallbacks=int(number or 1)) if word == b"uc" else group


def _sign(token: re.Match[bytes]) -> str:
    """What a word of rich text, or a letter in it, stands for in a text."""
    letter, word, number = token.group(1, 2, 3)
    if letter:
        return bytes([int(letter, 16)]).decode("cp1252", "replace")
    return chr(int(number) % 65536) if word == b"u" and number else _SIGNS.get(word or token[0], "")
