"""What do models and words read of a passage? Its title and its text, without what no reader sees.

The text that is stored and shown stays as it was written.
"""

import re
import unicodedata
from collections.abc import Iterator

from search.kinds import AS_MARKDOWN

_COMMENTS = (("<!--", "-->"), ("{/*", "*/}"))
_PICTURE = re.compile(r"!\[[^\[\]]*\](?:\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)|\[[^\[\]]*\])")
_LINK = re.compile(
    r"\[([^\[\]\n]*)\]\((?=[^()\s]*[./#:])(?:<[^<>\n]*>|[^()\s]*(?:\([^()\s]*\)[^()\s]*)*)"
    r"(?:\s+(?:\"[^\"\n]*\"|'[^'\n]*'))?\)"
)
_REFERENCE = re.compile(  # where a link leads that is named so
    r"^ {0,3}\[(?!\^)[^\[\]\n]+\]:[ \t]*(?=\S*[./#:])\S+(?:[ \t]+(?:\"[^\"\n]*\"|'[^'\n]*'|\([^()\n]*\)))?[ \t]*$", re.MULTILINE
)
_TICKS = re.compile("`+")
_ATTRIBUTES = re.compile(r" ?\{:?[ \t]?[#.][\w:.# -]*\}")
_TAG = re.compile(
    r"</?(?:a|abbr|b|big|br|center|details|div|dd|dl|dt|em|figcaption|figure|font|h[1-6]|hr|i|img|kbd|li|nobr|ol|p|picture|small"
    r"|source|span|strong|sub|summary|sup|table|tbody|td|th|thead|tr|tt|u|ul|video)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
_SOFT = str.maketrans("", "", "\u00ad\u2060\ufeff")  # hyphens that show at the end of a line only, marks of no width
_WORD = re.compile(r"\w")
_STACK = re.compile(r"[^\w\s\x00-\u02ff]{31,}")
_MARKS = 30  # of one letter, as in Unicode's stream-safe texts: putting endless ones in order takes quadratic time


def passage_of(title: str, text: str, media_type: str) -> str:
    """What a model reads: the title, a space and the text."""
    return f"{readable(title)} {readable(text, media_type)}".strip()


def readable(text: str, media_type: str = "text/plain") -> str:
    """A text as it is meant: ligatures and wide letters as plain ones, words without soft hyphens.

    Of what was read as Markdown comments, pictures, anchors and the addresses of links go, too.
    """
    if media_type in AS_MARKDOWN:
        text = without_marks(text)
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", few_marks(text.translate(_SOFT)))


def few_marks(text: str) -> str:
    """A text without what stands upon a letter beyond 30 marks, to be normalised."""
    return _STACK.sub(_lowered, text)


def _lowered(stack: re.Match[str]) -> str:
    kept, marks = [], 0
    for sign in stack[0]:
        marks = marks + 1 if unicodedata.combining(sign) else 0
        if marks <= _MARKS:
            kept.append(sign)
    return "".join(kept)


def without_marks(text: str) -> str:
    """Markdown without what is not shown: comments, pictures, anchors, HTML's tags, the addresses of links. Code stays as it is."""
    if "`" not in text:
        return _without_marks(text)
    parts: list[str] = []
    at = 0
    for start, end, _ in code_spans(text):
        parts += [_without_marks(text[at:start]), text[start:end]]
        at = end
    return "".join([*parts, _without_marks(text[at:])])


def code_spans(text: str) -> Iterator[tuple[int, int, int]]:
    """Where code stands in Markdown, with the ticks around it, and how many they are: behind it as many as before it."""
    ticks = [match.span() for match in _TICKS.finditer(text)]
    alike: dict[int, list[int]] = {}  # those of one length, the last ones first
    for at in reversed(range(len(ticks))):
        alike.setdefault(ticks[at][1] - ticks[at][0], []).append(at)
    at = 0
    while at < len(ticks):
        start, end = ticks[at]
        later = alike[end - start]
        while later and later[-1] <= at:
            later.pop()
        if later:
            at = later[-1]
            yield start, ticks[at][1], end - start
        at += 1


def _without_marks(text: str) -> str:
    if "<" in text or "{" in text:
        for begin, end in _COMMENTS:
            text = _without(text, begin, end)
        text = _ATTRIBUTES.sub("", _TAG.sub("", text))
    if "](" in text or "][" in text:
        text = _LINK.sub(r"\1", _PICTURE.sub("", text))
    return _REFERENCE.sub("", text) if "]:" in text else text


def _without(text: str, begin: str, end: str) -> str:
    """The text without what stands between two marks; in one pass, however many marks begin and never end."""
    visible: list[str] = []
    at = 0
    while (first := text.find(begin, at)) >= 0 and (last := text.find(end, first + len(begin))) >= 0:
        visible.append(text[at:first])
        at = last + len(end)
    return "".join([*visible, text[at:]]) if at else text


def has_words(text: str) -> bool:
    """Whether there is a letter or a digit in it."""
    return _WORD.search(text) is not None
