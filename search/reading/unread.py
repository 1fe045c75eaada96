"""What of a packed document of an office is not read? Comments, charts, diagrams, objects of others.

Of spreadsheets text boxes, and formulas that no program has worked out. They are counted; a document says so in its metadata.
"""

import re
import zipfile
from collections import Counter
from contextlib import suppress
from typing import BinaryIO

from search.reading.files import LONGEST

COMMENTS, OBJECTS = "comments_left_out", "objects_left_out"  # fields of metadata
_PARTS = {  # of which each is one
    re.compile(r"\w+/charts/chart\d*\.xml"): "charts_left_out",
    re.compile(r"\w+/diagrams/data\d*\.xml"): "diagrams_left_out",
}
_INSIDE = {  # parts, what they hold, and how that looks in them
    re.compile(r"word/comments\d*\.xml"): (COMMENTS, re.compile(rb"<(?:\w+:)?comment[\s/>]")),
    re.compile(r"ppt/comments/[^/]+\.xml"): (COMMENTS, re.compile(rb"<(?:\w+:)?(?:cm|reply)[\s/>]")),
    re.compile(r"xl/threadedComments/[^/]+\.xml"): (COMMENTS, re.compile(rb"<(?:\w+:)?threadedComment[\s/>]")),
    re.compile(r"content\.xml"): (COMMENTS, re.compile(rb"<(?:\w+:)?annotation[\s/>]")),  # of OpenDocument
    re.compile(r"(?:word|ppt/slides|xl/worksheets)/_rels/[^/]+\.rels"): (
        OBJECTS,
        re.compile(rb"/relationships/(?:oleObject|package)[\"']"),
    ),
}
_SHEETS = re.compile(r"xl/worksheets/[^/]+\.xml")
_FORMULA = re.compile(  # without a value; a text may be empty
    rb"<c(?=\s|>)(?![^<>]*\st=\"str\")[^<>]*+(?<!/)>\s*<f(?:\s[^<>]*)?(?:/>|(?<!/)>[^<]*</f>)\s*+(?:<v\s*+/>|<v>\s*+</v>)?\s*+</c>"
    rb"|<c(?=\s|>)[^<>]*+(?<!/)>\s*<f(?:\s[^<>]*)?(?:/>|(?<!/)>[^<]*</f>)\s*</c>"
)
_DRAWINGS = re.compile(r"xl/drawings/drawing\d*\.xml")
_END_OF_BOX = re.compile(rb"</(?:\w+:)?txBody>")
_NOTES = re.compile(r"xl/(?:comments/)?comments?\d*\.xml")  # of cells, among which each thread stands once again …
_AUTHOR = re.compile(rb"<(?:\w+:)?author(?:\s[^<>]*)?(?:/>|>([^<]*)<)")
_BY = re.compile(rb"<(?:\w+:)?comment\s[^<>]*?\bauthorId=[\"'](\d+)[\"']")
_THREAD = b"tc="  # … by an author of this name


def unread(stream: BinaryIO) -> dict[str, int]:
    """How many of what there are, by the fields of metadata that say so; nothing of what cannot be unpacked."""
    found: Counter[str] = Counter()
    with suppress(Exception), zipfile.ZipFile(stream) as archive:  # as unpackers raise of what is damaged: its reader may manage
        for name in archive.namelist():
            found.update(_in(archive, name))
    return dict(+found)


def _in(archive: zipfile.ZipFile, name: str) -> dict[str, int]:
    found = {what: 1 for part, what in _PARTS.items() if part.fullmatch(name)}
    if any(part.fullmatch(name) for part in (*_INSIDE, _NOTES, _DRAWINGS, _SHEETS)):
        with archive.open(name) as opened:
            content = opened.read(LONGEST)
        found |= {what: len(look.findall(content)) for part, (what, look) in _INSIDE.items() if part.fullmatch(name)}
        found |= {COMMENTS: _notes(content)} if _NOTES.fullmatch(name) else {}
        found |= {"formulas_left_out": len(_FORMULA.findall(content))} if _SHEETS.fullmatch(name) else {}
        found |= {"boxes_left_out": _boxes(content)} if _DRAWINGS.fullmatch(name) else {}
    return found


def _boxes(content: bytes) -> int:
    """Boxes with words in them."""
    return sum(b":t>" in box for box in _END_OF_BOX.split(content)[:-1])


def _notes(content: bytes) -> int:
    """Comments of cells, without those of threads."""
    authors = _AUTHOR.findall(content)
    by = [int(number) for number in _BY.findall(content)]
    return sum(not (number < len(authors) and authors[number].startswith(_THREAD)) for number in by)
