"""Which headings, blocks and pages does a text have? Offsets count its characters."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import accumulate, islice, takewhile
from typing import Any, NamedTuple

from search.kinds import AS_MARKDOWN, PLAIN, SOURCE
from search.passages import has_words, without_marks
from search.reading.entries import shortened
from search.reading.frontmatter import end_of_front_matter, with_line_feeds
from search.reading.headings import LOWEST, Heading, blanked, headings
from search.reading.markup import Span, unseen
from search.reading.navigation import is_navigation, is_perhaps_there

PAGE_BREAK = "\f"

_LINE = re.compile(r"[^\n]*(?:\n|$)")
_HIGHEST = re.compile(r"^\s*(?:#(?!#)|=)")
_HIGHEST_OF_OFFICES = re.compile(r"^\s*##?(?!#)")  # where the first level is for what a style calls a title
_PERHAPS_HEADING = re.compile(r"^ {0,3}(?:#{1,6}(?:[ \t].*)?|=+[ \t]*|-+[ \t]*)$", re.MULTILINE)
_MARK_OF_NOTE = re.compile(r"[ \t]?\[\^[^\[\]\s]+\]")
_BEGINNING = 20_000  # characters
_TRIES = 20
_PERHAPS_NO_LANGUAGE = re.compile(  # pictures, keys and the like, written in letters: a run of them, or lines
    r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_=-]{300,}|(?:^[ \t]*[A-Za-z0-9+/]{60,}={0,2}[ \t]*(?:\n|\Z)){4,}", re.MULTILINE
)
_OF_LINKS = {"paragraph_open", "html_block", "bullet_list_open", "ordered_list_open", "table_open"}
_REPEATED = re.compile(r"([^\s])\1+")
_OF_A_KIND = re.compile(r"[a-z]+|[A-Z]+|[0-9]+|[+/_=-]+")
_MIXED = 0.42  # of all characters begin another kind: in base64 .45 to .65, in hex .47, in paths and identifiers up to .39
_MIXED_CAPITALS = 0.3  # where most are capitals, as in base64 of plain text, of numbers and of nearly empty pictures
_TELLING = 10_000  # characters
_STATED = {  # titles that a text names as such
    "text/x-texinfo": re.compile(r"^@settitle[ \t]+(\S.*)$", re.MULTILINE),
    "text/x-org": re.compile(r"^#\+title:[ \t]*(\S.*)$", re.MULTILINE | re.IGNORECASE),
    "text/x-tex": re.compile(r"\\title(?:\[[^\]]*\])?\{((?:[^{}]|\{[^{}]*\})+)\}"),
    "text/x-typst": re.compile(r"#set\s+document\([^()]*\btitle:\s*\"([^\"\n]+)\""),
}
_LONG = 600  # characters of a definition that has a heading of its own
_SHORT = 120  # characters that are no passage of their own beside a definition
_LONGEST_HEAD = 40  # lines
_DEEPEST = 3  # definitions in each other
_CONTROL = re.compile(  # what is indented below these is part of a definition, and none itself
    r"[\W_]*(?:if|elif|elsif|else|unless|for|foreach|while|until|loop|do|begin|try|except|rescue|catch|finally|ensure|with|switch|case"
    r"|default|match|select|when|return|yield|await|raise|throw|assert|print)\b"
)


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
    """Divide a text; without headings it is a single section. A heading without a text of its own joins the next one.

    What no reader looks for is in no block: front matter, comments, pictures that are written in letters.
    """
    hidden = _of_no_language(text)
    if media_type in AS_MARKDOWN:
        divided = _of_markdown(text)
    elif media_type in SOURCE:
        divided = _of_source(text)
    else:
        spans = unseen(with_line_feeds(text), media_type)
        visible = blanked(text, spans)
        divided = _under(headings(text, media_type), visible)
        hidden = sorted([*hidden, *spans])
    if not hidden:
        return divided
    left = [Section(headings, tuple(_without(blocks, hidden, text))) for headings, blocks in divided]
    return [section for section in left if section.blocks]


def title_of(text: str, media_type: str = "text/markdown") -> str:
    """What a text calls itself; empty if its beginning does not say.

    That is its first heading, where nothing stands before it and no other of its level or of a higher one follows: else it is the
    heading of a part. In Markdown one of those is enough for a heading of the first level, since many a README has several; in
    reStructuredText, whose levels count as they come, a first heading is the title. Of other markup the beginning is looked at.
    """
    plain = with_line_feeds(text)
    if media_type in AS_MARKDOWN:
        highest = _HIGHEST if media_type in {"text/markdown", "text/html"} else _HIGHEST_OF_OFFICES
        return _title_of_markdown(plain[end_of_front_matter(plain) :][:_BEGINNING], highest)
    beginning = plain[:_BEGINNING]
    if media_type in _STATED and (stated := _STATED[media_type].search(beginning)):
        return " ".join(stated[1].split())
    found = [one for one in headings(plain if media_type == PLAIN else beginning, media_type) if one.level < LOWEST]
    if media_type == PLAIN and found and plain[: found[0].start].strip():
        return ""
    is_alone = media_type == "text/x-rst" or all(one.level > found[0].level for one in found[1:])
    return found[0].words if found and is_alone else ""


def _title_of_markdown(text: str, highest: re.Pattern[str]) -> str:
    for line in islice(_PERHAPS_HEADING.finditer(text), _TRIES):  # parsing all of it would take longer than reading it
        divided = _of_markdown(text[: line.end()])
        title = next((section.headings[0] for section in divided if section.headings), "")
        if not title:
            continue
        is_first, is_highest = all(section.headings for section in divided), bool(highest.match(line[0]))
        if is_first and is_highest:
            return title
        if not (is_first or is_highest):
            return ""
        others = _PERHAPS_HEADING.finditer(text, line.end())  # of which those of lower levels do not matter, nor need to be parsed
        is_alone = all(_level_of(other[0]) > _level_of(line[0]) for other in others)
        return title if is_alone or all(section.headings[:1] in {(), (title,)} for section in _of_markdown(text)) else ""
    return ""


def _level_of(line: str) -> int:
    """Of a line that is a heading, or the end of one."""
    marks = line.strip()
    return len(marks) - len(marks.lstrip("#")) if marks.startswith("#") else 1 + marks.startswith("-")


def hides(text: str, media_type: str) -> bool:
    """Whether some of a text is in no section, or may be in none: navigation is looked for near its ends."""
    if _of_no_language(text) or unseen(with_line_feeds(text), media_type):
        return True
    return media_type in AS_MARKDOWN and (end_of_front_matter(with_line_feeds(text)) > 0 or is_perhaps_there(text))


def is_divided_anew(text: str, media_type: str) -> bool:
    """Whether a text is divided in another way than by versions of before, of which not all revisions tell."""
    long_words = sum(1 for _ in _PERHAPS_NO_LANGUAGE.finditer(text))
    if len(_of_no_language(text)) < long_words or unseen(with_line_feeds(text), media_type):
        return True
    return media_type in AS_MARKDOWN and is_perhaps_there(text)


def _of_no_language(text: str) -> list[Span]:
    """Pictures, keys and the like; DNA, paths and words may be as long, and change the kind of their characters less often."""
    return [match.span() for match in _PERHAPS_NO_LANGUAGE.finditer(text) if _is_mixed("".join(match[0][:_TELLING].split()))]


def _is_mixed(letters: str) -> bool:
    """Whether small and capital letters and digits stand in no order, as base64 and hex have them."""
    once = _REPEATED.sub(r"\1", letters)  # what is empty in a picture is one letter many times
    capitals, small, digits = (sum(map(kind, once)) for kind in (str.isupper, str.islower, str.isdigit))
    least = _MIXED_CAPITALS if small and capitals > len(once) / 2 else _MIXED
    return digits > 0 and len(_OF_A_KIND.findall(once)) >= least * len(once)


class Pages:
    """On which page does a character stand? Pages end with a form feed."""

    def __init__(self, text: str) -> None:
        self._breaks = [match.start() for match in re.finditer(PAGE_BREAK, text)]

    def of(self, place: int) -> int | None:
        """The page from 1, None in a text without pages."""
        return bisect_right(self._breaks, place) + 1 if self._breaks else None


def _of_markdown(text: str) -> list[Section]:
    # markdown-it counts lines; it takes a form feed for no line break, and neither do we.
    plain = with_line_feeds(text)
    starts = list(accumulate((len(line) for line in _LINE.findall(plain)), initial=0))
    hidden = end_of_front_matter(plain)
    visible = "\n" * plain.count("\n", 0, hidden) + plain[hidden:]
    result: list[Section] = []
    path: list[tuple[int, str]] = []  # level and words
    blocks: list[Block] = []
    bare = False  # so far there is nothing but headings in this section
    at = hidden
    tokens = _parser().parse(visible)
    spans = {
        number: (starts[token.map[0]], starts[min(token.map[1], len(starts) - 1)])
        for number, token in enumerate(tokens)
        if token.map is not None and not token.level
    }
    navigation = _navigation(text, tokens, spans)
    for number, (start, end) in spans.items():
        token = tokens[number]
        if number in navigation:
            blocks.append(Block(at, start, is_code=False))
            at = end
        elif token.type == "heading_open":
            if not bare:
                blocks.append(Block(at, start, is_code=False))
                result.append(_section(path, blocks, text))
                blocks, at = [], start
            level = int(token.tag[1:])
            words = " ".join(_MARK_OF_NOTE.sub("", without_marks(tokens[number + 1].content)).split())
            path = [*(outer for outer in path if outer[0] < level), (level, shortened(words))]
            bare = True
        elif token.type in {"fence", "code_block", "table_open"}:
            blocks += [Block(at, start, is_code=False), Block(start, end, is_code=True)]
            at, bare = end, False
        elif token.type in {"html_block", "paragraph_open"} and not has_words(without_marks(text[start:end])):
            blocks.append(Block(at, start, is_code=False))
            at = end
        else:
            bare = False
    result.append(_section(path, [*blocks, Block(at, len(text), is_code=False)], text))
    return [section for section in result if section.blocks]


def _navigation(text: str, tokens: Sequence[Any], spans: Mapping[int, Span]) -> set[int]:
    """Which tokens are navigation: the first blocks of a page and the last ones, headings and what is not shown aside."""

    def leads_elsewhere(number: int) -> bool:
        return tokens[number].type in _OF_LINKS and is_navigation(text[slice(*spans[number])])

    def blocks(numbers: Iterable[int]) -> Iterator[int]:
        between = (number for number in numbers if tokens[number].type not in {"heading_open", "hr"})
        return (number for number in between if has_words(without_marks(text[slice(*spans[number])])))

    numbers = list(spans)
    return {number for way in (numbers, numbers[::-1]) for number in takewhile(leads_elsewhere, blocks(way))}


def _under(found: Iterable[Heading], text: str) -> list[Section]:
    """Sections from one heading to the next."""
    result: list[Section] = []
    path: list[tuple[int, str]] = []
    at = 0
    last = None
    for heading in found:
        bare = last is not None and not text[last.end : heading.start].strip()
        if not bare:
            result.append(_section(path, [Block(at, heading.start, is_code=False)], text))
            at = heading.start
        path = [outer for outer in path if outer[0] < heading.level]
        path += [(heading.level, heading.words)] if heading.words else []
        last = heading
    result.append(_section(path, [Block(at, len(text), is_code=False)], text))
    return [section for section in result if section.blocks]


def _of_source(text: str) -> list[Section]:
    """Definitions by their indentation, whatever the language; a long one is a section of its own, its first line the heading."""
    plain = with_line_feeds(text)
    lines = [_Line(match.start(), match.end(), match[0]) for match in _LINE.finditer(plain) if match[0]]
    quotes, opened = "", len(lines)  # of the string of several lines that is open, and the line that opened it
    for number, line in enumerate(lines):
        line.is_quoted = bool(quotes)
        at_end = quotes or next((three for three in ('"""', "'''") if three in line.words), "")
        if at_end and line.words.count(at_end) % 2:
            quotes, opened = ("", len(lines)) if quotes else (at_end, number)
    for line in lines[opened + 1 :]:  # which nothing ends: it was none
        line.is_quoted = False
    behind = 0  # the indentation of the next line that is not empty
    for line in reversed(lines):
        line.is_followed_by_deeper = behind > line.indentation
        behind = line.indentation if line.words else behind
    result: list[Section] = []
    for names, parts in _definitions(lines, (), 0):
        blocks = tuple(Block(part[0].start, part[-1].end, is_code=True) for part in parts)
        if result and (result[-1].headings == names or _is_rest(parts)):
            result[-1] = Section(result[-1].headings, (*result[-1].blocks, *blocks))
        else:
            result.append(Section(names, blocks))
    return result


class _Line:
    """A line of source code."""

    def __init__(self, start: int, end: int, text: str) -> None:
        self.start, self.end = start, end
        self.words = text.strip()
        self.indentation = len(text.expandtabs(4)) - len(text.expandtabs(4).lstrip())
        self.is_followed_by_deeper = False
        self.is_quoted = False  # it stands in a string that began before


_Part = list[_Line]


def _definitions(lines: _Part, headings: tuple[str, ...], depth: int) -> Iterator[tuple[tuple[str, ...], list[_Part]]]:
    """Short parts together, long ones apart, each with the first lines of those around it."""
    together: list[_Part] = []
    for part in (one for whole in _parts(lines) for one in _taken_apart(whole, depth)):
        if part.lines[-1].end - part.lines[0].start <= _LONG:
            together.append(part.lines)
            continue
        above, head, body = part.lines[: part.start], part.lines[part.start : part.body], part.lines[part.body :]
        if above and above[-1].end - above[0].start <= _SHORT:
            above, head = [], [*above, *head]
        if above or together:
            yield headings, [*together, above] if above else together
            together = []
        if part.head is None:
            yield headings, [body]
            continue
        inside = (*headings, part.head.words.rstrip(" {:(["))
        inner = _definitions(body, inside, depth + 1)
        path, (first, *others) = next(inner, (inside, [[]]))
        yield path, [[*head, *first], *others]  # a first line alone says little
        yield from inner
    if together:
        yield headings, together


class _Definition(NamedTuple):
    """Lines with at most one definition, at their end."""

    lines: _Part  # what stands before it, and all of it
    head: _Line | None  # its first line; None where there is none
    start: int  # which of the lines it begins at, with comments and decorators above its head
    body: int  # which of the lines its body begins at


def _taken_apart(part: _Part, depth: int) -> Iterator[_Definition]:
    """A long part, by its outermost definitions."""
    start = 0
    if depth < _DEEPEST and part[-1].end - part[0].start > _LONG:
        number = 0
        while number < len(part):
            if _opens(part[number]):
                body = _end_of_head(part, number)
                end = _end_of_body(part, body, part[number].indentation)
                above = takewhile(lambda line: line.words and _is_comment(line), reversed(part[start:number]))
                yield _Definition(part[start:end], part[number], number - start - len(list(above)), body - start)
                start = number = end
            else:
                number += 1
    if start < len(part):
        yield _Definition(part[start:], None, 0, 0)


def _end_of_head(part: _Part, head: int) -> int:
    """Where the body begins of what a line opens: behind all of its brackets, unless that line has opened the body already."""
    if part[head].words.endswith(("{", ":", "=>")):
        return head + 1
    depth = 0
    for number, line in enumerate(part[head : head + _LONGEST_HEAD], head + 1):
        depth += sum(line.words.count(sign) for sign in "([") - sum(line.words.count(sign) for sign in ")]")
        if depth <= 0:
            return number
    return head + 1


def _end_of_body(part: _Part, body: int, indentation: int) -> int:
    """Where it ends: at a line that is no deeper than the first one, and no mere bracket."""
    for number in range(body, len(part)):
        line = part[number]
        if line.words and line.indentation <= indentation and has_words(line.words):
            return number
    return len(part)


def _parts(lines: _Part) -> Iterator[_Part]:
    """Lines up to an empty one behind which the indentation is as at the beginning, or less."""
    part: _Part = []
    base = min((line.indentation for line in lines if line.words), default=0)
    for line in lines:
        if line.words and part and not part[-1].words and line.indentation <= base:
            yield part
            part = []
        if part or line.words:
            part.append(line)
    if part:
        yield part


def _opens(line: _Line) -> bool:
    """Whether a line begins a definition: it has letters, tests and repeats nothing, and the next one is indented more."""
    return line.is_followed_by_deeper and has_words(line.words) and not (_is_comment(line) or _CONTROL.match(line.words))


def _is_rest(parts: list[_Part]) -> bool:
    """Whether lines only end what stands before them, as brackets below a callback do."""
    return parts[-1][-1].end - parts[0][0].start <= _SHORT and not any(_opens(line) for part in parts for line in part)


def _is_comment(line: _Line) -> bool:
    """Whether a line is one, or a decorator, or in a string."""
    return line.is_quoted or line.words.startswith(("#", "//", "/*", "*", "--", "@", ";", '"""', "'''"))


def _without(blocks: Iterable[Block], hidden: list[tuple[int, int]], text: str) -> Iterator[Block]:
    """Blocks without some spans."""
    for start, end, is_code in blocks:
        at = start
        for first, last in hidden:
            if at < last and first < end:
                yield from _visible(at, first, text, is_code=is_code)
                at = last
        yield from _visible(at, end, text, is_code=is_code)


def _visible(start: int, end: int, text: str, *, is_code: bool) -> Iterator[Block]:
    if start < end and text[start:end].strip():
        yield Block(start, end, is_code)


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
