"""What does the office library (kreuzberg 4.10) lose of rich text? Boxes and signs between words.

It also puts spaces into words, and what is at the margins of pages in front of the text.
"""

import re

from search.reading.webpages import margins

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
_MARGIN = re.compile(rb"\{\\(?:header|footer)[lrf]?(?![a-z])")
_BEFORE_MARGINS = "What stands at the margins of pages: 7d1f0a3c"  # a line that no document has
_DATA = re.compile(rb"(?<!\\)((?:\\\\)*\\bin)(\d{1,10})(?![0-9]) ?")


def with_all_words(content: bytes) -> bytes:
    """Rich text with plain signs and whole words, and at its end what is in boxes, and at the margins; see `completed`."""
    content, beside = _without_margins(_without_data(content))
    end = content.rfind(b"}")
    boxes = b"".join(b"{\\par\\pard " + box + b"\\par}" for box in _boxes(content))
    if beside:
        boxes += b"".join(b"{\\par\\pard " + one + b"\\par}" for one in [_BEFORE_MARGINS.encode(), *dict.fromkeys(beside)])
    plain = _SIGN.sub(lambda match: match[1] + _SIGNS[match[2] or match[3]], content[:end] + boxes)
    about = _about(plain)
    return _END.sub(lambda match: match[0] if match.start() in about else match[0] + b"{}", plain) + content[end:]


def completed(html: str) -> str:
    """What the library made of rich text, with headers and footers in a section of their own."""
    text, _, beside = html.partition(f"<p>{_BEFORE_MARGINS}</p>")
    return text + margins([beside])


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
    """Where a document says what is known about it, in which a title is taken as it stands."""
    begin = _INFO.search(content)
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
