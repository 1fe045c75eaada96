"""What does an OpenDocument text say? Its paragraphs, headings, lists and tables as HTML, with what stands beside them.

The office library (kreuzberg 4.10) loses words before a change of style, lists and tables in cells, headers, footers, ruby, boxes
outside of paragraphs and notes in tables.
"""

import io
import re
import zipfile
from collections.abc import Generator, Iterable
from html import escape
from typing import NamedTuple, TypeAlias
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element

from search.errors import InvalidDocument
from search.reading.packages import DAMAGED, elements, local_name, parsed, value_of
from search.reading.webpages import margins

_DRAWING = ":xmlns:drawing:"  # in the namespaces of what stands beside the text
_INDEXES = {"table-of-content", "illustration-index", "table-index", "object-index", "user-index", "alphabetical-index"}
_LEFT_OUT = _INDEXES | {"script", "tracked-changes", "annotation", "forms", "note-citation", "covered-table-cell"}
_TAGS = {"list": "ul", "list-item": "li", "list-header": "li", "table": "table", "table-row": "tr", "table-cell": "td"}
_PARAGRAPHS = {"p", "h"}
_LOWEST = 6  # heading
_MOST_BLANKS = 100
_HEADING = re.compile(r"<(/?)h[1-6]>")
_MOST_REPEATED = 100  # cells
_SPANS = {"colspan": "number-columns-spanned", "rowspan": "number-rows-spanned"}
_DEEPEST = 30_000  # steps in each other, a few for an element
_TOO_DEEP = "its elements are nested too deep"
_MATH = "http://www.w3.org/1998/Math/MathML"


_Step: TypeAlias = Generator["_Step", str, str]  # of writing, which waits for what others write


class Read(NamedTuple):
    """What was read."""

    title: str  # empty if the document has none
    html: str
    objects: int  # charts and others, which are not read


def read(content: bytes) -> Read:
    """An OpenDocument text.

    Raises:
        InvalidDocument: it is encrypted.
        ValueError: it is damaged, or nested deeper than documents are.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            manifest, about, styles = (_other(archive, path) for path in ("META-INF/manifest.xml", "meta.xml", "styles.xml"))
            if elements(manifest, "encryption-data"):
                raise InvalidDocument("is encrypted; save it without a password")
            writer = _Writer(archive)
            html = writer.document(parsed(archive, "content.xml"), elements(styles, "master-page"))
            title = "".join("".join(one.itertext()) for one in elements(about, "title")[:1])
            return Read(title, html, writer.objects)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    except DAMAGED as error:
        raise ValueError(str(error).strip('"')) from error


def _other(archive: zipfile.ZipFile, path: str) -> Element:
    """A part that a text can do without."""
    try:
        return parsed(archive, path)
    except DAMAGED:
        return Element("nothing")


class _Writer:
    """Writes HTML, an element after the other; nothing of it costs recursion."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._titles = {"Title"}  # styles of paragraphs that are titles
        self._notes: list[str] = []
        self.objects = 0

    def document(self, content: Element, pages: Iterable[Element]) -> str:
        """What it says, its notes, and its headers and footers, each once."""
        styles = elements(content, "style")
        self._titles |= {value_of(style, "name") for style in styles if value_of(style, "parent-style-name") == "Title"}
        text = "".join(_written(self._blocks(one)) for one in elements(content, "text"))
        beside = margins(_written(self._blocks(margin)) for page in pages for margin in page)
        return text + "".join(self._notes) + beside

    def _blocks(self, element: Element) -> _Step:
        """The paragraphs, lists and tables in an element."""
        found = []
        for child in element:
            found += [(yield self._block(child))]
        return "".join(found)

    def _block(self, element: Element) -> _Step:
        name = local_name(element)
        if name in _LEFT_OUT:
            return ""
        if name in _PARAGRAPHS:
            beside: list[str] = []
            words = yield self._inline(element, beside)
            tag = self._tag(element)
            return f"<{tag}>{words}</{tag}>{''.join(beside)}"
        if name in _TAGS:
            times = min(_number(element, "number-columns-repeated"), _MOST_REPEATED) if name == "table-cell" else 1
            spans = "".join(f' {tag}="{n}"' for tag, one in _SPANS.items() if (n := _number(element, one)) > 1)
            return f"<{_TAGS[name]}{spans}>{yield self._blocks(element)}</{_TAGS[name]}>" * times
        if _DRAWING in element.tag:
            blocks: list[str] = []
            shown = yield self._drawing(element, blocks)
            return "".join([f"<p>{shown}</p>" if shown else "", *blocks])
        return (yield self._blocks(element))

    def _tag(self, paragraph: Element) -> str:
        if local_name(paragraph) == "h":
            return f"h{min(_number(paragraph, 'outline-level'), _LOWEST)}"
        return "h1" if value_of(paragraph, "style-name") in self._titles else "p"

    def _inline(self, element: Element, beside: list[str]) -> _Step:
        """The words in an element; what stands beside them is put aside."""
        found = [escape(element.text or "")]
        for child in element:
            found += [(yield self._word(child, beside)), escape(child.tail or "")]
        return "".join(found)

    def _word(self, element: Element, beside: list[str]) -> _Step:
        name = local_name(element)
        if name in _LEFT_OUT:
            return ""
        if name == "s":
            return " " * min(_number(element, "c"), _MOST_BLANKS)
        if name in {"tab", "line-break"}:
            return " " if name == "tab" else "<br>"
        if name == "note":
            return (yield self._note(element))
        if name == "ruby":
            return (yield self._ruby(element, beside))
        return (yield self._drawing(element, beside) if _DRAWING in element.tag else self._inline(element, beside))

    def _ruby(self, element: Element, beside: list[str]) -> _Step:
        found = []
        for part in ("ruby-base", "ruby-text"):
            for one in [one for one in element if local_name(one) == part][:1]:
                found += [(yield self._inline(one, beside))]
        return f"<ruby>{'<rt>'.join(found)}</ruby>"

    def _note(self, note: Element) -> _Step:
        label = f"[^{len(self._notes) + 1}]"
        number = len(self._notes)
        self._notes.append("")
        words = []
        for body in [one for one in note if local_name(one) == "note-body"]:  # another note may be in it
            words += [(yield self._blocks(body))]
        self._notes[number] = _HEADING.sub(r"<\1p>", "".join(words)).replace("<p>", f"<p>{label}: ", 1)
        return label

    def _drawing(self, element: Element, beside: list[str]) -> _Step:
        """A formula, or what a picture shows; the paragraphs of a box are put aside."""
        found = [one for one in element if local_name(one) in {"object", "object-ole"}]
        if found:
            return self._object(found[0])
        beside.append((yield self._blocks(element)))
        described = [one.text for one in element if local_name(one) == "desc" and one.text]
        return f'<img alt="{escape(described[0])}">' if described else ""

    def _object(self, element: Element) -> str:
        """A formula, in HTML; nothing of other objects, which are counted."""
        path = value_of(element, "href").removeprefix("./")
        inside = _other(self._archive, f"{path}/content.xml")
        if inside.tag != f"{{{_MATH}}}math":
            self.objects += 1
            return ""
        ET.register_namespace("", _MATH)
        return ET.tostring(inside, "unicode")


def _written(first: _Step) -> str:
    """What a step writes.

    Raises:
        ValueError: too many wait for each other.
    """
    waiting: list[_Step] = [first]
    written: str | None = None  # by the step that has ended
    while waiting:
        try:
            waiting.append(waiting[-1].send(written))  # type: ignore[arg-type]  # None begins one
            written = None
        except StopIteration as end:
            waiting.pop()
            written = end.value
        if len(waiting) > _DEEPEST:
            raise ValueError(_TOO_DEEP)
    return written or ""


def _number(element: Element, name: str) -> int:
    """An attribute that is a number; 1 if it is none."""
    value = value_of(element, name)
    return max(int(value[:3]), 1) if value.isascii() and value.isdecimal() else 1
