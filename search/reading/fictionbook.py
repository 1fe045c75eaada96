"""What does a FictionBook say? Its sections, poems and tables as HTML, and its notes at the end.

The office library (kreuzberg 4.10) loses tables and notes, and puts spaces around words that are emphasised.
"""

import re
from html import escape
from typing import NamedTuple
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element, ParseError

from search.reading import signs
from search.reading.packages import elements, local_name, value_of

_TAGS = {
    **{name: name for name in ("p", "table", "tr", "th", "td", "code", "sup")},
    **dict.fromkeys(("v", "text-author", "date"), "p"),
    **dict.fromkeys(("cite", "epigraph"), "blockquote"),
    **dict.fromkeys(("section", "poem", "stanza", "annotation"), "div"),
}
_SPANS = ("colspan", "rowspan")
_LOWEST = 6  # heading
_NOTES = {"notes", "comments", "footnotes"}  # bodies of these names hold them
_FIRST = re.compile("<p>|$")


class _Place(NamedTuple):
    """An element that is still to be written, and how deep it is in sections; or what is written behind others."""

    what: Element | str
    depth: int = 0
    is_titled: bool = False  # in a title, which is one line


def read(content: bytes) -> tuple[str, str]:
    """Title, and HTML.

    Raises:
        ValueError: it is damaged.
    """
    try:
        book = ET.fromstring(signs.in_utf_8(content))  # noqa: S314  # in a child process with limits; expat bounds what entities make
    except (LookupError, ParseError) as error:  # an encoding that there is not
        raise ValueError(str(error)) from error
    about = elements(book, "title-info")[:1]
    title = "".join("".join(one.itertext()) for part in about for one in elements(part, "book-title")[:1])
    bodies = [one for one in book if local_name(one) == "body"]
    notes = {
        name: one
        for body in bodies
        if value_of(body, "name") in _NOTES
        for one in elements(body, "section")
        if (name := value_of(one, "id"))
    }
    links = (value_of(one, "href").removeprefix("#") for body in bodies for one in elements(body, "a"))
    labels = {name: f"[^{number}]" for number, name in enumerate(dict.fromkeys(name for name in links if name in notes), 1)}
    introduced = [one for part in about for one in elements(part, "annotation")]
    written = [_html(one, labels) for one in (*introduced, *bodies)]
    return title, "".join([*written, *(_note(notes[name], label, labels) for name, label in labels.items())])


def _note(section: Element, label: str, labels: dict[str, str]) -> str:
    """A note, whose title is the label that it had."""
    html = "".join(_html(one, labels) for one in section if local_name(one) != "title")
    return _FIRST.sub(lambda found: f"{found[0]}{label}: ", html, count=1)


def _html(root: Element, labels: dict[str, str]) -> str:
    """An element, without notes that have a label; nothing of it costs recursion."""
    out: list[str] = []
    waiting = [_Place(root)]
    while waiting:
        what, depth, is_titled = waiting.pop()
        if isinstance(what, str):
            out.append(what)
            continue
        name = local_name(what)
        if name == "section" and value_of(what, "id") in labels:
            continue
        begin, end = ("", " ") if is_titled and name == "p" else _tags(what, name, depth)
        label = labels.get(value_of(what, "href").removeprefix("#")) if name == "a" else None
        out += [begin, label or escape(what.text or "")]
        waiting.append(_Place(end))
        inner = depth + (name in {"section", "poem", "stanza"})
        for child in reversed([] if label else what):
            waiting += [_Place(escape(child.tail or "")), _Place(child, inner, is_titled or name == "title")]
    return "".join(out)


def _tags(element: Element, name: str, depth: int) -> tuple[str, str]:
    """What an element begins and ends with in HTML."""
    if name in {"title", "subtitle"}:
        heading = f"h{min(depth + 1 + (name == 'subtitle'), _LOWEST)}"
        return f"<{heading}>", f"</{heading}>"
    if name == "image":
        return f'<img alt="{escape(value_of(element, "alt"))}">', ""
    tag = _TAGS.get(name)
    spans = "".join(f' {span}="{escape(value)}"' for span in _SPANS if (value := value_of(element, span)))
    return (f"<{tag}{spans}>", f"</{tag}>") if tag else ("", "")
