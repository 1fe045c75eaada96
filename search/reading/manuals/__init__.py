"""What does a manual page say? Its title with the section, and its text as Markdown, by the macros of man or of mdoc."""

import codecs
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from search.errors import InvalidDocument
from search.reading.manuals.man import Man
from search.reading.manuals.mdoc import Mdoc
from search.reading.text import decode

_FIRST = re.compile(r"^[.'][ \t]*(?:(Dd|Dt)|TH)\b", re.MULTILINE)
_ENCODING = re.compile(rb"\A(?:[^\n]*\n)?[.'][ \t]*\\\"[^\n]*?coding:[ \t]*([\w.-]+)")
_LINK = re.compile(r"(?:[.'][ \t]*\\\".*\n|\s*\n)*+[.'][ \t]*so[ \t]+([^\s]{1,200})\s*\Z")


def read(content: bytes) -> tuple[str, str, Mapping[str, Any]]:
    """Title, Markdown, and metadata: of an encoding that was guessed.

    Raises:
        InvalidDocument: it is no text, nothing tells its encoding, it is a mere link to another page, or its macros have no end.
    """
    text, metadata = _decoded(content)
    if link := _LINK.match(text):
        raise InvalidDocument(f"it is a mere link to {link[1]}; ingest that")
    first = _FIRST.search(text)
    macros = (Mdoc if first and first[1] else Man)(len(text))
    macros.roff.run(text.splitlines())
    return macros.title(), macros.written(), metadata


def _decoded(content: bytes) -> tuple[str, Mapping[str, Any]]:
    """By what its first lines declare, or by what can be found out."""
    if declared := _ENCODING.match(content):
        with suppress(LookupError, UnicodeDecodeError):
            return content.decode(codecs.lookup(declared[1].decode().removesuffix("-unix")).name), {}
    decoded = decode(content)
    return decoded.text, decoded.metadata
