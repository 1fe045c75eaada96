"""Which headings, code blocks and pages does a text have? Offsets count its characters."""

import re
from bisect import bisect_right
from functools import cache
from itertools import accumulate, islice
from typing import Any, NamedTuple

MARKDOWN = frozenset(
    {
        "text/markdown",
        "text/html",  # this and the next are read as Markdown
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    }
)
PAGE_BREAK = "\f"

_LINE = re.compile(r"[^\n]*(?:\n|$)")
_PERHAPS_HEADING = re.compile(r"^ {0,3}(?:#{1,6}(?:[ \t].*)?|=+[ \t]*|-+[ \t]*)$", re.MULTILINE)
_BEGINNING = 20_000  # characters
_TRIES = 20
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n.*?^---[ \t]*$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """Lines that are better not taken apart."""

    start: int
    end: int
    is_code: bool  # a code block or a table: its lines are no sentences


class Section(NamedTuple):
    """What stands under a heading, up to the next one."""

    headings: tuple[str, ...]  # outermost first
    blocks: tuple[Block, ...]


def sections(text: str, media_type: str) -> list[Section]:
    """Divide a text; without Markdown it is a single section. A heading without a text of its own joins the next one."""
    if media_type not in MARKDOWN:
        return [Section((), (Block(0, len(text), is_code=False),))]
    # markdown-it counts lines; it takes a form feed for no line break, and neither do we.
    plain = _with_line_feeds(text)
    starts = list(accumulate((len(line) for line in _LINE.findall(plain)), initial=0))
    front = _FRONT_MATTER.match(plain)
    hidden = front.end() if front else 0
    visible = "\n" * plain.count("\n", 0, hidden) + plain[hidden:] if front else plain
    result: list[Section] = []
    path: list[tuple[int, str]] = []  # level and words
    blocks: list[Block] = []
    bare = False  # so far there is nothing but headings in this section
    at = 0
    tokens = _parser().parse(visible)
    for number, token in enumerate(tokens):
        if token.map is None or token.level:
            continue
        start, end = starts[token.map[0]], starts[min(token.map[1], len(starts) - 1)]
        if token.type == "heading_open":
            if not bare:
                blocks.append(Block(at, start, is_code=False))
                result.append(_section(path, blocks, text))
                blocks, at = [], start
            level = int(token.tag[1:])
            path = [*(outer for outer in path if outer[0] < level), (level, " ".join(tokens[number + 1].content.split()))]
            bare = True
        elif token.type in {"fence", "code_block", "table_open"}:
            blocks += [Block(at, start, is_code=False), Block(start, end, is_code=True)]
            at, bare = end, False
        else:
            bare = False
    result.append(_section(path, [*blocks, Block(at, len(text), is_code=False)], text))
    return [section for section in result if section.blocks]


def title_of(text: str) -> str:
    """The first heading of a Markdown text, empty if its beginning has none."""
    plain = _with_line_feeds(text)
    front = _FRONT_MATTER.match(plain)
    beginning = plain[front.end() if front else 0 :][:_BEGINNING]
    for line in islice(_PERHAPS_HEADING.finditer(beginning), _TRIES):  # parsing all of it would take longer than reading it
        for section in sections(beginning[: line.end()], "text/markdown"):
            if section.headings:
                return section.headings[0]
    return ""


class Pages:
    """On which page does a character stand? Pages end with a form feed."""

    def __init__(self, text: str) -> None:
        self._breaks = [match.start() for match in re.finditer(PAGE_BREAK, text)]

    def of(self, place: int) -> int | None:
        """The page from 1, None in a text without pages."""
        return bisect_right(self._breaks, place) + 1 if self._breaks else None


def _with_line_feeds(text: str) -> str:
    """The same in as many characters, however its lines end: to Markdown a blank at the end of a line means nothing here."""
    return text.replace("\r\n", " \n").replace("\r", "\n")


def _section(path: list[tuple[int, str]], blocks: list[Block], text: str) -> Section:
    return Section(
        tuple(words for _, words in path if words), tuple(block for block in blocks if text[block.start : block.end].strip())
    )


@cache
def _parser() -> Any:
    """Markdown's, which takes a moment to load, and a process that reads PDFs needs none."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.disable("inline")  # what stands inside a line does not matter here, and takes most of the time
    return parser
