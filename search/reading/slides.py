"""What does a presentation say that the office library does not give: the speaker's notes, or all of it where that fails?"""

import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from html import escape
from typing import NamedTuple
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element

from search.reading import signs
from search.reading.packages import DAMAGED, elements, in_one_edition, local_name, parsed, relations_of, targets, with_parts

_TITLES = {"title", "ctrTitle"}
_SLIDE = re.compile(r"ppt/slides/[^/]+\.xml")
_NUMBERED = re.compile(r"ppt/slides/slide[1-9]\d*\.xml")
_NEXT_RUN = re.compile(  # where one run of a paragraph ends and the next begins, which may be within a word
    rb"</a:t>\s*</a:r>\s*<a:r>\s*(?:<a:rPr\b[^<>]*/>|<a:rPr\b[^<>]*(?<!/)>(?:(?!</?a:r>).){0,4000}?</a:rPr>)?"
    rb"\s*<a:t(?:\s[^<>]*)?(?<!/)>",
    re.DOTALL,
)
_WORDS = re.compile(rb"<a:t[\s>]|<a14:m[\s>]")
_FORMULA = re.compile(rb"<a14:m(?:\s[^<>]*)?>((?:(?!</?a14:m\b).)*)</a14:m>", re.DOTALL)
_FIELD = re.compile(rb"<a:fld\b(?![^<>]*type=\"slidenum\")[^<>]*(?<!/)>((?:(?!</?a:fld\b).)*)</a:fld>", re.DOTALL)
_PROPERTIES = re.compile(rb"<a:rPr\b[^<>]*>")
_TABLE = re.compile(rb"<a:tbl>(?:(?!<a:tbl>).)*?</a:tbl>", re.DOTALL)
_ROW = re.compile(rb"<a:tr[\s>](?:(?!<a:tr[\s>]).)*?</a:tr>", re.DOTALL)
_CELL = re.compile(rb"(<a:tc(?:\s[^<>]*)?>)((?:(?!<a:tc[\s>]).)*?)(?=</a:tc>)", re.DOTALL)
_REACHED = re.compile(rb'\svMerge="(?:1|true)"')  # by a cell of a row above
_LONGEST_REPEATED = 4000  # bytes of a cell that stands in each of its rows
_EMPHASIS = re.compile(rb'\s(?:b|i|u|strike)="[^"]*"')


class Slide(NamedTuple):
    """A slide, its paragraphs in the order of the file."""

    title: str  # "" if it has none
    text: list[str]  # everything else on it
    notes: list[str] | None  # the speaker's; None where they are damaged


def read(content: bytes) -> list[Slide]:
    """The slides of a .pptx, in order; none if that cannot be told, and nothing on those that are damaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return list(_slides(archive))
    except DAMAGED:
        return []


class Prepared(NamedTuple):
    """A presentation for the library to read, and the formulas that it is to find marks for."""

    content: bytes
    formulas: list[tuple[str, bytes]]  # each with its mark


def prepared(content: bytes) -> Prepared:
    """A .pptx with the runs of each paragraph in one, nothing bold, and cells in all of their rows; as it was if it is damaged.

    The office library puts spaces between runs, and marks what is bold as Markdown does, in HTML, too. It makes nothing of
    formulas, of fields such as a date, and of what is there in several editions, as every text with a formula in it is. It takes
    slides by the numbers in their names, whatever their order is.
    """
    formulas: list[tuple[str, bytes]] = []
    marks = map(chr, signs.MARKS)

    def in_place_of(formula: re.Match[bytes]) -> bytes:
        mark = next(marks, "")
        formulas.append((mark, formula[1]))
        return b"<a:r><a:t>" + mark.encode() + b"</a:t></a:r>"

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist() if _SLIDE.fullmatch(name)}
            plain = {name: _plain(_FORMULA.sub(in_place_of, in_one_edition(part, _WORDS))) for name, part in parts.items()}
            changed = plain | _in_order(archive, plain)
            return Prepared(content if changed == parts else with_parts(archive, changed), formulas)
    except DAMAGED:
        return Prepared(content, [])


def _in_order(archive: zipfile.ZipFile, slides: Mapping[str, bytes]) -> dict[str, bytes]:
    """Slides that are shown in another order than that of their names, each under the name of its place, with what it refers to."""
    try:
        shown = [path for path in dict.fromkeys(_shown(archive)) if path in slides and _NUMBERED.fullmatch(path)]
    except DAMAGED:
        return {}
    places = sorted(shown, key=lambda path: (len(path), path))
    moved = {place: path for place, path in zip(places, shown, strict=True) if place != path}
    there = set(archive.namelist())
    relations = {relations_of(place): relations_of(path) for place, path in moved.items()}
    return {place: slides[path] for place, path in moved.items()} | {
        place: archive.read(path) if path in there else b"" for place, path in relations.items()
    }


def _plain(slide: bytes) -> bytes:
    calm = _PROPERTIES.sub(lambda found: _EMPHASIS.sub(b"", found[0]), _FIELD.sub(rb"<a:r>\1</a:r>", slide))
    return _NEXT_RUN.sub(b"", _TABLE.sub(_filled, calm) if b"vMerge" in calm else calm)


def _filled(table: re.Match[bytes]) -> bytes:
    """A table in which a cell of several rows stands in each."""
    above: list[bytes] = []

    def row(found: re.Match[bytes]) -> bytes:
        cells: list[bytes] = []

        def cell(found: re.Match[bytes]) -> bytes:
            at = len(cells)
            is_reached = _REACHED.search(found[1]) and at < len(above) and len(above[at]) <= _LONGEST_REPEATED
            cells.append(above[at] if is_reached else found[2])
            return found[1] + cells[-1]

        written = _CELL.sub(cell, found[0])
        above[:] = cells
        return written

    return _ROW.sub(row, table[0])


def to_html(found: list[Slide]) -> str:
    """All that is on the slides, under their titles."""
    return "".join(_section(one.title, one.text) for one in found)


def notes_to_html(found: list[Slide]) -> str:
    """The speaker's notes, under the numbers of their slides."""
    return "".join(_section(f"Notes of slide {number}", one.notes) for number, one in enumerate(found, 1) if one.notes)


def _section(title: str, paragraphs: list[str]) -> str:
    head = f"<h2>{escape(title)}</h2>" if title else ""
    return head + "".join(f"<p>{escape(one)}</p>".replace("\n", "<br>") for one in paragraphs)


def _slides(archive: zipfile.ZipFile) -> Iterator[Slide]:
    for path in _shown(archive):
        try:
            yield _slide(archive, path)
        except DAMAGED:
            yield Slide("", [], [])


def _shown(archive: zipfile.ZipFile) -> list[str]:
    """The slides' parts in the order in which they are shown."""
    presentation = "ppt/presentation.xml"
    paths = {name: path for name, (_, path) in targets(archive, presentation).items()}
    ids = [element.items() for element in elements(parsed(archive, presentation), "sldId")]
    found = (next((paths[value] for name, value in one if name.endswith("}id") and value in paths), None) for one in ids)
    return [path for path in found if path is not None]


def _slide(archive: zipfile.ZipFile, path: str) -> Slide:
    page = ET.fromstring(in_one_edition(archive.read(path), _WORDS))  # noqa: S314  # see `parsed`
    titles = [one for shape in elements(page, "sp") if _placeholder(shape) in _TITLES for one in elements(shape, "p")]
    text = [_text(one) for one in elements(page, "p") if one not in titles]
    return Slide(" ".join(filter(None, map(_text, titles))), [one for one in text if one], _notes(archive, path))


def _notes(archive: zipfile.ZipFile, slide: str) -> list[str] | None:
    try:
        pages = [parsed(archive, path) for kind, path in targets(archive, slide).values() if kind == "notesSlide"]
    except DAMAGED:
        return None
    shapes = [
        shape for page in pages for shape in elements(page, "sp") if _placeholder(shape) == "body"
    ]  # not its number, or the date
    return [text for shape in shapes for one in elements(shape, "p") if (text := _text(one))]


def _placeholder(shape: Element) -> str | None:
    return next((one.get("type", "body") for one in elements(shape, "ph")), None)


def _text(paragraph: Element) -> str:
    pieces = [one.text or "" if local_name(one) == "t" else "\n" for one in paragraph.iter() if local_name(one) in {"t", "br"}]
    return "".join(pieces).strip()
