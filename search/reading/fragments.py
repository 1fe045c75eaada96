"""What does HTML say that stands in a cell of a table or a string of JSON, as shops, help desks and blogs export their texts?

Such a value is a piece of a page in a few tags. Pages are read by `webpages`.
"""

import html
import re

_LINE, _APART = "\n", "\n\n"
_BREAKS = {  # what an opening or closing tag stands for
    **dict.fromkeys(("br", "div", "tr", "ul", "ol", "dl", "dd", "dt", "section", "table", "figcaption"), _LINE),
    **dict.fromkeys(("p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "hr"), _APART),
    **dict.fromkeys(("td", "th"), " "),
    "li": "",
    **dict.fromkeys(
        ("a", "abbr", "b", "big", "center", "cite", "code", "em", "figure", "font", "i", "img", "mark", "s", "small", "span"), ""
    ),
    **dict.fromkeys(("strong", "sub", "sup", "tbody", "thead", "u"), ""),
}
_UNSEEN = ("script", "style")
_KNOWN = {*_BREAKS, *_UNSEEN}
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*+)(?:\s[^<>]*+)?/?>|<!--|-->")
_ENTITY = re.compile(r"&(?:[a-zA-Z]{2,8}|#\d{2,6}|#x[\da-fA-F]{2,5});")
_VOID = frozenset(("br", "hr", "img", "p", "li"))  # what may stand without a closing tag
_LONGEST_NUMBER = re.compile(r"&#(?=[0-9]{9})")  # of no character, and which Python may refuse to read
_POWER = re.compile(r"[-+\u2212]?\d+</sup>", re.IGNORECASE)
_EMPTY = re.compile(r"\n{3,}")


def without_html(value: str) -> str:
    """A value as it is meant, if it is HTML: with tags at both of its ends, or with tags and entities and no code of Markdown."""
    return _text_of(value) if _is_html(value) else value


def _is_html(value: str) -> bool:
    if "<" not in value or ">" not in value:
        return False
    tags = [tag for tag in _TAG.finditer(value) if tag[2] and tag[2].lower() in _KNOWN]
    if not any(tag[1] or tag[2].lower() in _VOID for tag in tags):  # which are named at most
        return False
    first = tags[0]
    is_whole = not value[: first.start()].strip() and value.rstrip().endswith(">")
    return is_whole or ("`" not in value and _ENTITY.search(value) is not None)


def _text_of(value: str) -> str:
    """The words, in lines; tags that HTML has not are words."""
    parts: list[str] = []
    at, until = 0, ""  # what ends that which nobody sees
    for tag in _TAG.finditer(value):
        closes, name = bool(tag[1]), (tag[2] or tag[0]).lower()
        if until:
            if name != until or not (closes or name == "-->"):
                continue  # if nothing ends it, it is words
            until = ""
        elif name in _KNOWN or name == "<!--":
            power = "^" if name == "sup" and _POWER.match(value, tag.end()) else ""
            parts += [_unescaped(value[at : tag.start()]), power or _break(name, closes=closes)]
            until = "-->" if name == "<!--" else name if name in _UNSEEN and not closes else ""
        else:
            continue
        at = tag.end()
    text = "".join([*parts, _unescaped(value[at:])]).replace("\xa0", " ")
    return _EMPTY.sub(_APART, "\n".join(map(str.rstrip, text.split("\n")))).strip()


def _unescaped(words: str) -> str:
    return html.unescape(_LONGEST_NUMBER.sub("&amp;#", words))


def _break(name: str, *, closes: bool) -> str:
    """What stands in place of a tag."""
    return "\n- " if name == "li" and not closes else _BREAKS.get(name, "")
