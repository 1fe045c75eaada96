"""Which headings does a text have that is no Markdown? Offsets count its characters."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from search.kinds import PLAIN
from search.reading.entries import long_entries
from search.reading.frontmatter import with_line_feeds
from search.reading.markup import Span, code, is_title, unseen

_LINE = re.compile(r"[^\n]*(?:\n|$)")
_NO_BREAK = re.compile(r"[^\r\n]")
_UNDERLINES = "=-~^+"  # of AsciiDoc and of plain texts, by the level
_UNDERLINED = re.compile(
    rf"^(?:(?P<before>.*)\n)?(?P<words>\S.{{,119}})\n(?P<line>([{re.escape(_UNDERLINES)}])\4{{2,}})[ \t]*$", re.MULTILINE
)
_UNDERLINING = {PLAIN, "text/asciidoc"}
_COLUMNS = re.compile(r"\S(?:  |\t)")
_UNDERLINE = re.compile(r"([=\-~^\"'`#*+:.<>_])\1{2,}[ \t]*")  # of reStructuredText, where it is as long as the line above
_LEVELS = {  # of TeX and Texinfo
    command: level
    for level, commands in enumerate(
        (
            "top part",
            "chapter unnumbered appendix",
            "section unnumberedsec appendixsec heading",
            "subsection unnumberedsubsec appendixsubsec subheading",
            "subsubsection",
            "paragraph",
        )
    )
    for command in commands.split()
}
_COMMAND = re.compile(r"\\texorpdfstring\{[^{}]*\}(?=\{)|\\[a-zA-Z]+\*?(?=\{)|[{}]")  # of TeX, around words of a heading
_MARKED = {  # headings of one line: their marks, each of which counts a level where they are no number or command, and their words
    "application/pdf": re.compile(r"(?:\A|(?<=\n\n)|(?<=\f))(#{1,6}) ([^\n\f]+)(?=\n\n|\n?(?:\f|\Z))"),  # bookmarks
    "text/x-org": re.compile(r"^(\*+)[ \t]+(?:(?:TODO|DONE)[ \t]+)?(.+)$", re.MULTILINE),
    "text/asciidoc": re.compile(r"^(={1,6})[ \t]+(.+)$", re.MULTILINE),
    "text/x-typst": re.compile(r"^(={1,6})[ \t]+(.+)$", re.MULTILINE),
    "text/x-pod": re.compile(r"^=head([1-6])[ \t]+(.+)$", re.MULTILINE),
    "text/x-textile": re.compile(r"^h([1-6])(?:\([^()\n]*\))?\.[ \t]+(.+)$", re.MULTILINE),
    "text/x-texinfo": re.compile(rf"^@({'|'.join(_LEVELS)})[ \t]+(.+)$", re.MULTILINE),
    "text/x-wiki": re.compile(r"^(={1,6})[ \t]*([^=\s](?:[^\n]*[^=\s])?)[ \t]*\1[ \t]*$", re.MULTILINE),
    "text/x-tex": re.compile(
        r"^[ \t]*\\(part|chapter|section|subsection|subsubsection|paragraph)\*?(?:\[[^\]\n]*\])?\{((?:[^{}\n]|\{[^{}\n]*\})+)\}",
        re.MULTILINE,
    ),
}
_ALONE = re.compile(  # lines of a plain text between empty ones, or with what is indented below them, as only capitals have it
    r"(?:\A\s*|^[ \t]*\n|\f)(?P<words>(?!WEBVTT)[^\W_][^\n\f]{0,99})(?=(?P<empty>\n[ \t]*\n)\s*\S|\n[ \t]+\S)", re.MULTILINE
)
_NUMBER = (  # of a chapter, before its title
    r"(?:(?:[ivxlc]+|[a-z]|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)(?:\s*[-.:)\u2013\u2014].*)?"
    r"|\d{1,3}(?:\s*[-.:)\u2013\u2014].*|(?:\s.*)?(?<![.,;:!?])))"
)
_NAMED = re.compile(
    rf"""
    (?:(?P<part>part|book|volume|teil|buch|band|partie|livre|tome|parte|libro|том|часть|книга)
    |(?P<chapter>chapter|letter|canto|act|appendix|article|kapitel|anhang|artikel|akt|chapitre|annexe|acte|capítulo|capitolo|atto|acto
        |глава)
    |section|scene|abschnitt|szene|scène|sección|sezione|scena|escena|раздел)\s+{_NUMBER}
    |第[0-9一二三四五六七八九十百千]+(?:(?P<volume>[部卷编])|[章回])(?:\s.*)?
    """,
    re.IGNORECASE | re.VERBOSE,
)
_NUMBERED = re.compile(r"(?P<number>\d{1,2}(?:(?:\.\d{1,2}){1,4}\.?|\.))[ \t]+[^\W\d_a-z].*(?<![.,;:!?])|[IVXLC]{1,6}\.?")
_CAPITALS = re.compile(r"(?=.*[^\W\d_]{4}).*(?<![,;:!?])")
_WORDS = re.compile(r"^[ \t]*\S", re.MULTILINE)
_PARTS = 10  # level: headings with a line below them stand above
_MOST = 1 / 2  # of the lines of a text may be headings by their capitals: where there are more, all is written so
LOWEST = 100  # level: all headings stand above entries


class Heading(NamedTuple):
    """A line or two of a text, above what they head."""

    start: int
    end: int  # of its words and marks
    level: int
    words: str  # none: only what stood above it ends


def headings(text: str, media_type: str) -> Iterator[Heading]:
    """The headings of a text of another markup, in order: lines that are shown, and no code."""
    plain = with_line_feeds(text)
    plain = blanked(plain, sorted([*unseen(plain, media_type), *code(plain, media_type)]))
    if media_type == "text/x-rst":
        return iter(sorted([*_of_restructured_text(plain), *_of_entries(plain)]))
    found = [_marked(match) for match in _MARKED[media_type].finditer(plain)] if media_type in _MARKED else []
    if media_type in _UNDERLINING:
        found += _underlined(plain)
    if media_type == PLAIN:
        found += _alone(plain)
    return iter(sorted(found))


def is_headed_anew(text: str, media_type: str) -> bool:
    """Whether a text has headings that versions of before did not see."""
    plain = with_line_feeds(text)
    if media_type == "text/x-rst":
        return bool(long_entries(plain))
    return media_type in _UNDERLINING and (any(_underlined(plain)) or (media_type == PLAIN and bool(_alone(plain))))


def _of_entries(text: str) -> Iterator[Heading]:
    """A heading where each long entry of a reference begins, and none where it ends."""
    for start, end, depth, name in long_entries(text):
        first = text.find("\n", start)
        yield Heading(start, first, LOWEST + depth, name)
        yield Heading(end, end, LOWEST + depth, "")


def _marked(match: re.Match[str]) -> Heading:
    mark = match[1]
    level = int(mark) if mark.isdecimal() else _LEVELS.get(mark, len(mark))
    words = _COMMAND.sub("", match[2]).replace("~", " ") if mark in _LEVELS else match[2]
    return Heading(match.start(), match.end(), level, " ".join(words.split()))


def _underlined(text: str) -> Iterator[Heading]:
    """Lines behind an empty one with a line of one sign below that is as long, which says their level; of a table none."""
    for match in _UNDERLINED.finditer(text):
        words, line = match["words"], match["line"]
        if is_title(match["before"] or "", words, line) and not _COLUMNS.search(words):
            yield Heading(match.start("words"), match.end("line"), 1 + _UNDERLINES.index(line[0]), " ".join(words.split()))


def _alone(text: str) -> list[Heading]:
    """Lines of a plain text that are a chapter's, have a number and no end of a sentence, or nothing but capitals."""
    found, in_capitals = [], []
    for match in _ALONE.finditer(text):
        words = " ".join(match["words"].split())
        if _COLUMNS.search(match["words"].strip()):
            continue
        heading = Heading(match.start("words"), match.end("words"), 0, words)
        if match["empty"] and (named := _NAMED.fullmatch(words)):
            level = 0 if named["part"] or named["volume"] else 1 if named["chapter"] or words[0] == "第" else 2
            found.append(heading._replace(level=_PARTS + level))
        elif _CAPITALS.fullmatch(words) and all(map(str.isupper, filter(str.isalpha, words))):
            in_capitals.append(heading._replace(level=_PARTS + 3))
        elif match["empty"] and (numbered := _NUMBERED.fullmatch(words)):
            found.append(heading._replace(level=_PARTS + 4 + (numbered["number"] or "").strip(".").count(".")))
    are_few = len(in_capitals) <= _MOST * len(_WORDS.findall(text))
    return [*found, *in_capitals] if are_few else found


def _of_restructured_text(text: str) -> Iterator[Heading]:
    """Lines with a line of punctuation below them that is as long, or with one above, too; styles count levels as they come."""
    styles: list[str] = []
    lines = [(match.start(), match[0].rstrip("\n")) for match in _LINE.finditer(text)]
    for (before_start, before), (start, line), (below, after) in zip([(0, ""), *lines], lines, lines[1:], strict=False):
        words = line.strip()
        if not words or (line[:1].isspace() and before.strip() != after.strip()) or not _UNDERLINE.fullmatch(after):
            continue
        if _UNDERLINE.fullmatch(line) or len(after.rstrip()) < len(line.rstrip()):
            continue
        overlined = before.rstrip() == after.rstrip()
        style = after[0] * (1 + overlined)
        if style not in styles:
            styles.append(style)
        yield Heading(before_start if overlined else start, below + len(after), styles.index(style), words)


def blanked(text: str, spans: Sequence[Span]) -> str:
    """The same in as many characters and lines, with nothing in some spans."""
    parts: list[str] = []
    at = 0
    for start, end in spans:
        parts += [text[at:start], _NO_BREAK.sub(" ", text[start:end])]
        at = end
    return "".join([*parts, text[at:]])
