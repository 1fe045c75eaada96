"""Which lines of other markup than Markdown does no reader see? Comments, anchors, what is set for a file.

Code is shown as it is: no line of it is any of these. What nothing ends begins nothing, so that no text is lost by a slip.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from search.passages import has_words

Span = tuple[int, int]  # characters of a text

_LINE = re.compile(r"[^\n]*(?:\n|$)")
_SETTING_OF_TEX = (
    r"label|index\w*|glossary|documentclass|(?:use|Require)package|(?:this)?pagestyle|pagenumbering|setlength|(?:set|addto)counter"
    r"|definecolor|theoremstyle|newtheorem\*?|(?:re|provide)?newcommand|input|include|graphicspath|bibliography(?:style)?|noindent"
    r"|centering|(?:new|clear|cleardouble)page|maketitle|tableofcontents|printindex|(?:begin|end)(?=\{document\})"
)
_GROUP_OF_TEX = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}"
_HIDDEN = {  # lines by themselves
    "text/x-org": r"#(?:\s.*)?|#\+(?!(?:begin|end)_|(?:title|subtitle|caption|description|keywords|author|date|html|latex):)\w+:.*",
    "text/asciidoc": r"//(?!/).*|:!?(?!(?:author|description|keywords|title):)\w[\w-]*!?:(?:\s.*)?|\[\[[^\]]*\]\]",
    "text/x-tex": rf"%.*|(?:\\(?:{_SETTING_OF_TEX})(?:\[[^\[\]]*\]|{_GROUP_OF_TEX})*\s*)+(?:%.*)?",
    "text/x-typst": r"//.*|<[\w:.-]+>",
    "text/x-pod": r"=(?:pod|cut|over|back|encoding|for|begin|end)(?:\s.*)?",
    "text/x-texinfo": r"\\input\s.*|@(?:c|comment|node|[cfkptv]index|set\w*|clear|include|(?:short|summary)?contents"
    r"|page|bye|noindent|syn(?:code)?index|need|anchor|group|end \w+|dircategory|finalout)(?:[\s{].*)?",
    "text/x-wiki": r"<!--.*-->|__[A-Z]+__|\[\[Category:.*\]\]",
}
_CODE = {  # lines that begin it, with a part of the line that ends it
    "text/x-org": (r"#\+begin_(src|example|export)\b.*", "#+end_{}"),
    "text/asciidoc": (r"(-{4,}|\.{4,}|\+{4,}|`{3,})\w*", "{}"),
    "text/x-tex": (r"\\begin\{(verbatim\*?|Verbatim|lstlisting|minted|alltt)\}.*", r"\end{{{}}}"),
    "text/x-typst": (r"(`{3,})[^`]*", "{}"),
    "text/x-texinfo": (r"@(example|smallexample|lisp|verbatim)\b.*", "@end {}"),
}
_COMMENTS = {  # likewise
    "text/x-org": (r"(?:#\+begin_(comment)\b.*|:(?:properties|logbook):)", "#+end_{}"),
    "text/asciidoc": (r"(/{4,})", "{}"),
    "text/x-tex": (r"\\begin\{(comment)\}.*", r"\end{{{}}}"),
    "text/x-texinfo": (r"@(menu|detailmenu|ignore|direntry)\b.*", "@end {}"),
}
_DRAWER = ":end:"  # of Org, whose properties have no name to end by
_STYLE = re.compile(  # of AsciiDoc, what the next lines are
    r"\[(?!quote|verse)(?:NOTE|TIP|IMPORTANT|WARNING|CAUTION|[#.%][^\]]*|[a-z]+(?:[,#.%=][^\]]*)?)\]"
)
_UNDERLINE = re.compile(r"([=\-~^+])\1{2,}")  # of AsciiDoc, by levels
_UNDERLINED = re.compile(r"(?![.\[|*:/])(?=.*\w)\S.*")  # what may be a title above it; no attributes, lists and rows
_BESIDE = 1  # character more or less that a title may have
_DIRECTIVE = re.compile(r"([\w.+:-]+) ?::")
_NO_TEXT = {"contents", "currentmodule", "default-role", "highlight", "image", "index", "sectnum", "tabularcolumns", "toctree"}
_VERBATIM = {"code", "code-block", "parsed-literal", "prompt", "sourcecode"}
_SETTING = re.compile(r":(?:orphan|tocdepth|nosearch|nocomments):.*")  # of Sphinx, at the beginning of a file


class _Line(NamedTuple):
    """A line of a text."""

    start: int
    end: int
    words: str
    indentation: int


class _Part(NamedTuple):
    """Lines that are not text like others."""

    start: int
    end: int
    is_shown: bool  # code


def unseen(text: str, media_type: str) -> list[Span]:
    """The lines that are not shown, in order; none of a text of another kind. Lines end with a line feed."""
    return [(start, end) for start, end, is_shown in _parts(text, media_type) if not is_shown]


def code(text: str, media_type: str) -> list[Span]:
    """The lines of code, in order, but of reStructuredText, which indents them; none of a text of another kind."""
    return [(start, end) for start, end, is_shown in _parts(text, media_type) if is_shown]


def is_title(before: str, line: str, below: str) -> bool:
    """Whether a line of AsciiDoc is a title with its underline below it, and an empty line or nothing before it."""
    if before.strip() or not _UNDERLINE.fullmatch(below.rstrip()) or not _UNDERLINED.fullmatch(line):
        return False
    return abs(len(line.rstrip()) - len(below.rstrip())) <= _BESIDE


def _parts(text: str, media_type: str) -> Iterator[_Part]:
    if media_type != "text/x-rst" and media_type not in _HIDDEN:
        return
    lines = [_line(match) for match in _LINE.finditer(text) if match[0]]
    if media_type == "text/x-rst":
        yield from (_Part(start, end, is_shown=False) for start, end in _of_restructured_text(lines))
    else:
        yield from _of_others(lines, media_type)


def _line(match: re.Match[str]) -> _Line:
    wide = match[0].expandtabs(8)
    return _Line(match.start(), match.end(), match[0].strip(), len(wide) - len(wide.lstrip()))


def _of_others(lines: Sequence[_Line], media_type: str) -> Iterator[_Part]:
    hidden = re.compile(_HIDDEN[media_type], re.IGNORECASE)
    begins = [(re.compile(table[media_type][0], re.IGNORECASE), table) for table in (_CODE, _COMMENTS) if media_type in table]
    last = {line.words.lower(): number for number, line in enumerate(lines)}  # that reads so
    is_asciidoc = media_type == "text/asciidoc"
    before = ""
    number = 0
    while number < len(lines):
        line = lines[number]
        below = lines[number + 1].words if number + 1 < len(lines) else ""
        if is_asciidoc and not line.indentation and is_title(before, line.words, below):
            before, number = "", number + 2
            continue
        before = line.words
        for begin, table in begins:
            if match := begin.fullmatch(line.words):
                closing = table[media_type][1].format(match[1]).lower() if match[1] else _DRAWER
                if last.get(closing, 0) > number:
                    number = next(at for at in range(number + 1, len(lines)) if lines[at].words.lower() == closing)
                    yield _Part(line.start, lines[number].end, is_shown=table is _CODE)
                    break
        else:
            is_style = is_asciidoc and below and _STYLE.fullmatch(line.words)
            if is_style or (line.words and hidden.fullmatch(line.words)):
                yield _Part(line.start, line.end, is_shown=False)
                before = ""
        number += 1


def _of_restructured_text(lines: Sequence[_Line]) -> Iterator[Span]:
    """Explicit markup, with what is indented more below it, as docutils takes it."""
    number = 0
    while number < len(lines) and (not lines[number].words or _SETTING.fullmatch(lines[number].words)):
        if lines[number].words:
            yield lines[number].start, lines[number].end
        number += 1
    while number < len(lines):
        line = lines[number]
        kind = _kind(lines, number)
        end = number + 1
        if kind is not None:
            end = _end_of_block(lines, number, over_blanks=not line.words.startswith(".. _"))
            if kind == "hidden":
                yield line.start, lines[end - 1].end
        number = end


def _kind(lines: Sequence[_Line], number: int) -> str | None:
    """What a line begins: a block that is hidden, or one that is shown as it is; None if it begins neither."""
    line = lines[number]
    rest = line.words[2:].strip()
    if not line.words.startswith(".. ") and line.words != "..":
        return "verbatim" if line.words.endswith("::") else None
    if not _may_begin(lines, number):
        return None
    if not rest:  # a comment begins on the next line, or there is none
        below = lines[number + 1 : number + 2]
        return "hidden" if any(one.words and one.indentation > line.indentation for one in below) else None
    if directive := _DIRECTIVE.match(rest):
        name = directive[1].removeprefix("py:")
        return "hidden" if name in _NO_TEXT else "verbatim" if name in _VERBATIM else None
    return None if rest.startswith("[") else "hidden"  # a footnote, or else a target, a substitution or a comment


def _may_begin(lines: Sequence[_Line], number: int) -> bool:
    """Whether no paragraph goes on: before it is nothing, a rule, other explicit markup or what is indented more."""
    before = lines[number - 1] if number else None
    return (
        before is None
        or not has_words(before.words)
        or before.words.startswith("..")
        or before.indentation > lines[number].indentation
    )


def _end_of_block(lines: Sequence[_Line], number: int, *, over_blanks: bool) -> int:
    end = at = number + 1
    while at < len(lines) and (lines[at].indentation > lines[number].indentation if lines[at].words else over_blanks):
        at += 1
        if lines[at - 1].words:
            end = at
    return end
