"""What does the office library (kreuzberg 4.10) lose of rich text? Boxes and signs between words; and it puts spaces into words."""

import re

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
_BOX = re.compile(rb"\{\\shptxt(?![a-z])")
_BRACE = re.compile(rb"\\.|[{}]", re.DOTALL)


def with_all_words(content: bytes) -> bytes:
    """Rich text with plain signs, and whole words, and what is in boxes at its end."""
    end = content.rfind(b"}")
    boxes = b"".join(b"{\\par\\pard " + box + b"\\par}" for box in _boxes(content))
    plain = _SIGN.sub(lambda match: match[1] + _SIGNS[match[2] or match[3]], content[:end] + boxes)
    return _END.sub(rb"\1}{}", plain) + content[end:]


def _boxes(content: bytes) -> list[bytes]:
    found = []
    for box in _BOX.finditer(content):
        depth = 1
        for brace in _BRACE.finditer(content, box.end()):
            depth += (brace[0] == b"{") - (brace[0] == b"}")
            if not depth:
                found.append(content[box.end() : brace.start()])
                break
    return found
