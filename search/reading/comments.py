"""How many comments does a document of an office have? They are not read; a document says so."""

import re
import zipfile
from typing import BinaryIO

from search.reading.files import LONGEST

LEFT_OUT = "comments_left_out"  # the field of metadata
_OF_EACH = {  # parts of packed documents, and what a comment is called in them
    re.compile(r"word/comments\d*\.xml"): "comment",
    re.compile(r"ppt/comments/[^/]+\.xml"): "cm|reply",
    re.compile(r"xl/threadedComments/[^/]+\.xml"): "threadedComment",
    re.compile(r"content\.xml"): "annotation",  # of OpenDocument
}
_NOTES = re.compile(r"xl/(?:comments/)?comments?\d*\.xml")  # of cells, among which each thread stands once again …
_AUTHOR = re.compile(rb"<(?:\w+:)?author(?:\s[^<>]*)?(?:/>|>([^<]*)<)")
_BY = re.compile(rb"<(?:\w+:)?comment\s[^<>]*?\bauthorId=[\"'](\d+)[\"']")
_THREAD = b"tc="  # … by an author of this name


def comments(stream: BinaryIO) -> int:
    """How many there are in a packed document: Word's, PowerPoint's, Excel's, OpenDocument's; 0 of what cannot be unpacked."""
    try:
        with zipfile.ZipFile(stream) as archive:
            return sum(_in(archive, name) for name in archive.namelist())
    except Exception:  # as unpackers raise of what is damaged: its reader may manage, and says what is wrong where it does not
        return 0


def _in(archive: zipfile.ZipFile, name: str) -> int:
    called = next((one for part, one in _OF_EACH.items() if part.fullmatch(name)), "")
    if not (called or _NOTES.fullmatch(name)):
        return 0
    with archive.open(name) as part:
        content = part.read(LONGEST)
    if called:
        return len(re.findall(rf"<(?:\w+:)?(?:{called})[\s/>]".encode(), content))
    authors = _AUTHOR.findall(content)
    by = [int(number) for number in _BY.findall(content)]
    return sum(not (number < len(authors) and authors[number].startswith(_THREAD)) for number in by)
