"""What does a web page say? Its tree as a browser builds it, then Markdown without furniture; nothing of it costs recursion.

Documents of other formats come here as HTML, too, so that one place writes Markdown.
"""

import codecs
import html
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from search.errors import InvalidDocument
from search.reading.content import PARAGRAPHS, content_of, walk
from search.reading.entries import LONG
from search.reading.text import UTF_8, decode

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_LINES = frozenset(
    ("li", "dt", "dd", "tr", "caption", "figcaption", "summary", "address", "option", "optgroup", "label", "legend")
) | {"select", "thead", "tbody", "tfoot", "button", "td", "th"}
_CELLS = frozenset(("td", "th"))
_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_ENTRIES = ("##### ", "###### ")  # of references, and what is described within them
_DESCRIBED = frozenset(  # by lists of Sphinx
    (
        "function",
        "method",
        "classmethod",
        "staticmethod",
        "class",
        "exception",
        "attribute",
        "property",
        "data",
        "decorator",
        "option",
    )
) | {
    "envvar",
    "macro",
    "member",
    "struct",
    "enum",
    "type",
    "describe",
    "confval",
    "setting",
    "directive",
    "role",
    "fixture",
    "object",
}
_DEEPEST_ENTRIES, _NAMES = 3, 8  # in each other; of one, with what stands between
_FENCES = ("```", "~~~")
_DEEPEST = 8  # lists and quotations in each other that are shown as such
_LAYOUT = "table, h1, h2, h3, h4, h5, h6, pre"  # in a cell: such a table lays out a page
_BOX = re.compile(
    r"(?<![\w-])(?:note|notecard|warning|tip|hint|caution|attention|danger|important|admonition|alert|callout)(?![\w-])"
)
_DEEPEST_IN_A_BOX = 3  # elements around its heading
_POWER = re.compile(r"[-+\u2212]?\d+|[a-z]")
_OPERATORS = {"msup": "^", "mfrac": "/", "msub": "_", "msubsup": "_^"}  # of formulas, between their parts
_BLANKS = re.compile(r"[ \t\n\r\f]+")
_TAG = re.compile(r"<[^<>]*>")
MARGINS = "Headers and footers"  # what their section is called, by this package
_META = re.compile(rb"<(?:meta[^>]+charset|\?xml[^>]+encoding)\s*=\s*[\"']?\s*([^\s\"'/>;]+)", re.IGNORECASE)
_VOID = frozenset(("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"))  # of HTML
_MARKUP = re.compile(  # of XML
    r"<!--.*?(?:-->|\Z)"
    r"|<!\[CDATA\[(?P<data>.*?)(?P<end>\]\]>|\Z)"
    r"|<(?P<slash>/?)(?:(?P<prefix>[a-zA-Z_][\w.-]*+):)?(?P<name>[a-zA-Z][\w:.-]*+)"
    r"(?P<rest>(?:[^<>\"']|\"[^\"<]*+\"|'[^'<]*+'|[\"'])*+)>"
    r"|&(?P<entity>[\w:.-]++);",
    re.DOTALL,
)
_DECLARED = re.compile(  # a document type that declares something itself
    r"(?:\s|\ufeff|<\?[^>]*+>|(?><!--.*?-->))*+"
    r"<!DOCTYPE(?:[^<>\[\]\"']|\"[^\"]*+\"|'[^']*+')*+"
    r"\[((?:[^\]\"'<]|\"[^\"]*+\"|'[^']*+'|(?><!--.*?-->)|(?><\?.*?\?>)|<(?!!--|\?))*+)\]\s*+>",
    re.DOTALL | re.IGNORECASE,
)
_ENTITY = re.compile(
    r"<!--.*?(?:-->|\Z)|<!ENTITY\s++(?P<name>[\w:.-]++)\s++(?:\"(?P<double>[^\"]*+)\"|'(?P<single>[^']*+)')\s*+>", re.DOTALL
)
_LETTER = re.compile(r"&#(?:\d{1,7}|x[0-9a-fA-F]{1,6});")
_PREFIX = re.compile(  # of elements that a browser knows
    r"\bxmlns:([\w.-]++)\s*+=\s*+[\"']http://www\.w3\.org/(?:1999/xhtml|1998/Math/MathML|2000/svg)[\"']"
)
_SIGNS = frozenset(("lt", "gt", "amp", "quot", "apos"))  # entities that always mean the same
_MOST_OF_ENTITIES = 1_000_000  # characters that they stand for in a page
_BEGINNING = 4096  # bytes, in which a page declares its encoding
_WIDEST, _HIGHEST = 100, 65534  # columns and rows that one cell of a table may span
_LONGEST_REPEATED = 200  # characters of a cell that stand in each of its rows; of a longer one the place is kept alone
_ROWS = frozenset(("tr", "thead", "tbody", "tfoot"))  # and groups of them
_MOST_CELLS = 1_000_000
_WORDS_OF_A_DESCRIPTION = 4  # fewer, in the place of a picture, are a name or a badge
_WEB_ENCODINGS = {  # what labels of pages mean, where that is more than their name says (WHATWG, Encoding)
    **dict.fromkeys(("ascii", "iso8859-1"), "cp1252"),
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
    **dict.fromkeys(("utf-16", "utf-16-le", "utf-16-be"), UTF_8),  # it was read to be found, so it is none of them
}


def read(content: bytes, *, is_xml: bool = False, whole: bool = False) -> tuple[str, str, Mapping[str, Any]]:
    """Title, Markdown, and metadata: of an encoding that was guessed. What begins with `<?xml` is XML, too.

    Args:
        content: the page.
        is_xml: whether it is XML, whatever it begins with.
        whole: whether all of it is read, as of a book: with what stands beside its main part, and notes that pop up.

    Raises:
        InvalidDocument: it is no text, or nothing tells its encoding.
    """
    page, metadata = _decoded(content)
    if is_xml or page[:_BEGINNING].lstrip("\ufeff \r\n").startswith("<?xml"):
        page = _Xml(page).as_html()
    title, text = to_markdown(page, whole=whole)
    return title, text, metadata


def to_markdown(page: str, *, whole: bool = False) -> tuple[str, str]:
    """The title in the head of a page, empty if it has none, and its words as Markdown; the whole of them, or the main part.

    Raises:
        InvalidDocument: a table has more cells than a document has.
        MemoryError: the tree is larger than what is left.
    """
    from selectolax.lexbor import LexborHTMLParser, SelectolaxError

    try:
        tree = LexborHTMLParser(page)
    except SelectolaxError as error:  # whatever the page, it is one: what failed is to get memory
        raise MemoryError(str(error)) from error
    head = tree.css_first("head > title")
    title = " ".join(head.text().split()) if head else ""
    if not tree.body:
        return title, ""
    return title, _Writer().write([tree.body] if whole else content_of(tree.body), with_notes=whole)


def words_of(page: str) -> str:
    """The words of a piece of HTML, on one line."""
    return " ".join(html.unescape(_TAG.sub("", page)).split())


def margins(found: Iterable[str]) -> str:
    """Headers and footers in HTML, each once, in a section of their own; not those without a letter, such as numbers of pages."""
    shown = [one for one in dict.fromkeys(found) if any(map(str.isalpha, html.unescape(_TAG.sub("", one))))]
    return "".join([f"<h2>{MARGINS}</h2>", *shown]) if shown else ""


def _decoded(content: bytes) -> tuple[str, Mapping[str, Any]]:
    """By its mark of byte order, by what the page declares, or by what can be found out."""
    marked = content.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    label = None if marked else _META.search(content[:_BEGINNING])
    try:
        if label:
            name = codecs.lookup(label[1].decode("ascii")).name
            return content.decode(_WEB_ENCODINGS.get(name, name)), {}
    except (LookupError, UnicodeDecodeError):
        pass  # it declares what it is not
    decoded = decode(content)
    return decoded.text, decoded.metadata


class _Xml:
    """A page in XML, where that means something else than the same does in HTML."""

    def __init__(self, page: str) -> None:
        declared = _DECLARED.match(page)
        self._page = f"<!DOCTYPE html>{page[declared.end() :]}" if declared else page
        self._entities = _entities(declared[1]) if declared else {}
        self._left = _MOST_OF_ENTITIES
        self._prefixes = set(_PREFIX.findall(page))

    def as_html(self) -> str:
        """The same page: elements that are empty end, and what are plain words there looks like no markup."""
        return _MARKUP.sub(self._rewritten, self._page)

    def _rewritten(self, found: re.Match[str]) -> str:
        if found["name"]:
            return self._tag(found)
        if found["entity"]:
            return self._entity(found)
        return html.escape(found["data"], quote=False) if found["end"] else found[0]

    def _tag(self, found: re.Match[str]) -> str:
        prefix, name, rest = found["prefix"], found["name"], found["rest"]
        if prefix and prefix not in self._prefixes:
            name = f"{prefix}:{name}"
        if found["slash"] or not rest.endswith("/") or name in _VOID:
            return f"<{found['slash']}{name}{rest}>"
        return f"<{name}{rest[:-1]}></{name}>"

    def _entity(self, found: re.Match[str]) -> str:
        """What it stands for, in which no other is looked for: few of them would make a page without end."""
        value = self._entities.get(found["entity"])
        if value is None or len(value) > self._left:
            return found[0]
        self._left -= len(value)
        return value


def _entities(declarations: str) -> dict[str, str]:
    """What names stand for in a page. Of those that are declared twice, the first counts."""
    found: dict[str, str] = {}
    for one in _ENTITY.finditer(declarations):
        if one["name"] and one["name"] not in _SIGNS:
            value = one["single"] if one["double"] is None else one["double"]
            found.setdefault(one["name"], _LETTER.sub(lambda letter: html.unescape(letter[0]), value))
    return found


def fence_for(code: str) -> str:
    """What stands around lines of code, and nowhere in them."""
    return max(["```", *("`" * (len(run) + 1) for run in re.findall("`{3,}", code))], key=len)


class _Writer:
    """Writes Markdown, a node after the other."""

    def __init__(self) -> None:
        self._out: list[str] = []
        self._breaks = 0  # line breaks that stand between what was written and what comes
        self._blank = False  # whether a blank does
        self._quotations = 0  # that are open
        self._quoted = ""  # what the last line began with
        self._marker = ""  # of the next words: a heading's, an item's
        self._term = 0  # how much was written in front of what a list of definitions defines
        self._is_below_term = False  # whether nothing was written since
        self._headed = [False]  # of what is described around here, whether something within it heads its text
        self._lists: list[int] = []  # of each list that is open, the number of its next item; 0 of those without
        self._cells = 0  # of all tables

    def write(self, roots: Iterable["LexborNode"], *, with_notes: bool = False) -> str:
        """All of some elements."""
        for root in roots:
            self._write(walk(root, with_notes=with_notes))
            self._breaks = 2
        return "".join(self._out) + "\n" if self._out else ""

    def _write(self, events: Iterator[tuple["LexborNode", bool]]) -> None:
        for node, begins in events:
            if node.is_text_node:
                self._add(_BLANKS.sub(" ", node.text_content or ""))
            elif not begins:
                self._end(node.tag or "")
            elif node.tag == "pre":
                self._add_code(_text(_inside(node, events)))
            elif node.tag == "code":
                self._add_name(_text(_inside(node, events)))
            elif node.tag == "math":
                self._add(_BLANKS.sub(" ", "".join(_formula(_inside(node, events)))))
            elif node.tag == "table" and not node.css_first(f":is(td, th) :is({_LAYOUT})"):
                self._add_table(_inside(node, events))
            else:
                self._begin(node)

    def _begin(self, node: "LexborNode") -> None:
        tag = node.tag or ""
        self._space(tag)
        if tag in _HEADINGS:
            self._marker = "" if _is_of_a_box(node) else _HEADINGS[tag]
            self._headed[-1] &= not self._marker
        elif tag == "dt":
            self._term = len(self._out)
            if not (self._is_below_term or self._lists):
                self._breaks = 2
            if not self._lists and self._heads(node):
                self._marker = _ENTRIES[len(self._headed) > 1]
        elif tag == "dd":
            self._headed.append(False)
        elif tag in {"ul", "ol"}:
            self._lists.append(int(tag == "ol"))
        elif tag == "li" and self._lists:
            number = self._lists[-1]
            self._marker = self._indentation(len(self._lists) - 1) + (f"{number}. " if number else "- ")
            self._lists[-1] += bool(number)
        elif tag == "blockquote":
            self._quotations += 1
        elif tag == "br":
            self._breaks = max(self._breaks, 1)
        else:
            self._add(_instead(node))

    def _end(self, tag: str) -> None:
        if tag in _HEADINGS or tag == "li":
            self._marker = ""  # of one without words
        elif tag in {"ul", "ol"} and self._lists:
            self._lists.pop()
        elif tag == "blockquote":
            self._quotations -= 1
        elif tag == "rt":
            self._add(")")
        elif tag == "dd" and len(self._headed) > 1:
            self._headed.pop()
        elif tag in {"dt", "dl"}:
            self._is_below_term = tag == "dt" and len(self._out) > self._term
            self._marker = ""
        self._space(tag)

    def _heads(self, term: "LexborNode") -> bool:
        """Whether a name heads its description: if that is long, or another does before it, which would go on otherwise."""
        kinds = (term.parent.attributes.get("class") or "").split() if term.parent else []
        if len(self._headed) > _DEEPEST_ENTRIES or _DESCRIBED.isdisjoint(kinds):
            return False
        described = term.next
        for _ in range(_NAMES):
            if described is not None and described.tag != "dd":
                described = described.next
        self._headed[-1] |= described is not None and described.tag == "dd" and len(described.text(deep=True)) > LONG
        return self._headed[-1]

    def _space(self, tag: str) -> None:
        """What stands in front of an element and behind it."""
        if tag in PARAGRAPHS:
            self._breaks = max(self._breaks, 1 if self._lists and tag not in _HEADINGS else 2)
        elif tag in _LINES:
            self._breaks = max(self._breaks, 1)

    def _add(self, words: str) -> None:
        """Words, between them single blanks."""
        self._blank |= words.startswith(" ")
        if stripped := words.strip(" "):
            if self._breaks or not self._out:
                if self._is_below_term:
                    self._breaks = 1 if stripped.strip("-=") else 2  # or it would make a heading of the term
                self._begin_line(self._marker or self._indentation(len(self._lists)))
                if stripped.startswith(_FENCES):  # which would make code of all that comes
                    self._out.append("\\")
            elif self._blank:
                self._out.append(" ")
            self._out.append(stripped)
            self._blank = words.endswith(" ")

    def _begin_line(self, marker: str) -> None:
        quotes = "> " * min(self._quotations, _DEEPEST)
        if self._out:
            self._out.append(f"\n{min(quotes, self._quoted).rstrip()}" * (self._breaks - 1) + "\n")
        self._out.append(quotes + marker)
        self._quoted = quotes
        self._marker, self._breaks, self._blank, self._is_below_term = "", 0, False, False

    @staticmethod
    def _indentation(lists: int) -> str:
        return "  " * min(lists, _DEEPEST)

    def _add_name(self, code: str) -> None:
        """Code in the middle of a text, on one line."""
        words = _BLANKS.sub(" ", code)
        if words.strip():
            longest = max(map(len, re.findall("`+", words)), default=0)
            marks, pad = "`" * (longest + 1), " " * (longest > 0)
            self._blank |= words.startswith(" ")
            self._add(f"{marks}{pad}{words.strip()}{pad}{marks}{' ' * words.endswith(' ')}")

    def _add_code(self, code: str) -> None:
        """Lines of code, without the empty ones around them."""
        lines = code.split("\n")
        while lines and not lines[-1].strip():
            lines.pop()
        first = next((number for number, line in enumerate(lines) if line.strip()), 0)
        if lines:
            fence = fence_for(code)
            self._add_lines([fence, *lines[first:], fence])

    def _add_lines(self, lines: list[str]) -> None:
        self._breaks = 2
        self._begin_line(self._indentation(len(self._lists)))
        self._out.append(f"\n{self._quoted}{self._indentation(len(self._lists))}".join(lines))
        self._breaks = 2

    def _add_table(self, events: Iterator[tuple["LexborNode", bool]]) -> None:
        table = _Table(_MOST_CELLS - self._cells)
        words: list[str] = []  # of the cell, or the caption
        for node, begins in events:
            tag = node.tag or ""
            if node.is_text_node:
                words.append(node.text_content or "")
            elif tag == "math" and begins:
                words += _formula(_inside(node, events))
            elif begins:
                words = [] if tag in _CELLS else [*words, " " * (tag in PARAGRAPHS or tag in _LINES or tag == "br"), _instead(node)]
            elif tag in _CELLS:
                table.add(node, " ".join("".join(words).split()).replace("|", "\\|"))
            elif tag in _ROWS:
                table.end(tag)
            elif tag == "caption":
                self._add(_BLANKS.sub(" ", "".join(words)))
            else:
                words.append(" " if tag in PARAGRAPHS or tag in _LINES else ")" * (tag == "rt"))
        self._cells = _MOST_CELLS - table.room
        if table.rows:
            width = max(map(len, table.rows))
            lines = [f"| {' | '.join([*row, *[''] * (width - len(row))])} |" for row in table.rows]
            self._add_lines([lines[0], f"| {' | '.join(['---'] * width)} |", *lines[1:]])


class _Table:
    """Rows of a table, in which a cell that reaches down stands in each.

    Attributes:
        rows: those with words of their own, that have ended.
        room: how many cells it may have yet.
    """

    def __init__(self, room: int) -> None:
        self.rows: list[list[str]] = []
        self.room = room
        self._row: list[str] = []
        self._number = 0  # of the row
        self._is_told = False  # whether it has words of its own
        self._reaching: dict[int, tuple[str, int]] = {}  # by column, what stands in it, and up to which row

    def add(self, cell: "LexborNode", words: str) -> None:
        """A cell that has ended.

        Raises:
            InvalidDocument: with it there are too many.
        """
        self._repeat()
        columns = [words, *[""] * (_span(cell, "colspan", _WIDEST) - 1)]
        last = self._number + (_span(cell, "rowspan", _HIGHEST) or _HIGHEST) - 1  # 0: up to the end
        if last > self._number:
            repeated = [words if len(words) <= _LONGEST_REPEATED else "", *columns[1:]]
            self._reaching.update({len(self._row) + at: (one, last) for at, one in enumerate(repeated)})
        self._put(columns)
        self._is_told |= bool(words)

    def end(self, tag: str) -> None:
        """A row has ended, or a group of them, beyond which no cell reaches."""
        if tag != "tr":
            self._reaching.clear()
            return
        for column in sorted(self._reaching):
            if column >= len(self._row):
                self._put([""] * (column - len(self._row)))
                self._repeat()
        if self._is_told:
            self.rows.append(self._row)
        self._row, self._is_told = [], False
        self._number += 1
        self._reaching = {column: one for column, one in self._reaching.items() if one[1] >= self._number}

    def _repeat(self) -> None:
        """What reaches down to where the row has come to."""
        while found := self._reaching.get(len(self._row)):
            self._put([found[0]])

    def _put(self, cells: list[str]) -> None:
        self._row += cells
        self.room -= len(cells)
        if self.room < 0:
            raise InvalidDocument(f"its tables have more than {_MOST_CELLS:,} cells; split it")


def _span(cell: "LexborNode", name: str, most: int) -> int:
    """Of how many columns or rows a cell is."""
    span = cell.attributes.get(name) or ""
    return min(int(span[:5]), most) if span.isascii() and span.isdecimal() else 1


def _is_of_a_box(heading: "LexborNode") -> bool:
    """Whether it is of a note or the like, and not of what stands below that."""
    box = heading.parent if heading.tag != "h1" else None
    for _ in range(_DEEPEST_IN_A_BOX):
        if box is None or box.tag in {"article", "main", "body"}:
            return False
        if box.tag == "aside" or box.attributes.get("role") == "note" or _BOX.search(box.attributes.get("class") or ""):
            return True
        box = box.parent
    return False


def _instead(node: "LexborNode") -> str:
    """What is written where an element begins that shows something else than words: a picture, a power, how a word is read."""
    tag = node.tag
    if tag == "img":
        description = _BLANKS.sub(" ", node.attributes.get("alt") or "")
        return f" {description} " if len(description.split()) >= _WORDS_OF_A_DESCRIPTION else ""
    if tag == "sup":
        return "^" if _POWER.fullmatch(node.text(deep=True)) and not node.css_first("a") else ""
    return "(" if tag == "rt" else ""


def _formula(events: Iterator[tuple["LexborNode", bool]]) -> Iterator[str]:
    """The signs of a formula, with operators between parts that stand above each other, and brackets around those of several."""
    operators = [""]  # of each element that is open, between its parts
    parts = [0]  # that have begun in each
    brackets = [""]  # that end each
    for node, begins in events:
        if node.is_text_node:
            yield "" if operators[-1] else node.text_content or ""
        elif begins:
            between = operators[-1]
            is_of_several = bool(between) and node.tag == "mrow" and len(list(node.iter(include_text=False))) > 1
            yield between[min(parts[-1], len(between)) - 1] * bool(parts[-1]) + "(" * is_of_several if between else ""
            parts[-1] += 1
            operators.append(_OPERATORS.get(node.tag or "", ""))
            parts.append(0)
            brackets.append(")" * is_of_several)
        else:
            operators.pop()
            parts.pop()
            yield brackets.pop()


def _inside(node: "LexborNode", events: Iterator[tuple["LexborNode", bool]]) -> Iterator[tuple["LexborNode", bool]]:
    """What comes up to the end of an element that has begun."""
    for inner, begins in events:
        if not begins and inner.mem_id == node.mem_id:
            return
        yield inner, begins


def _text(events: Iterator[tuple["LexborNode", bool]]) -> str:
    """Words as they stand, with their line breaks."""
    return "".join(
        (node.text_content or "") if node.is_text_node else "\n" * (begins and node.tag == "br") for node, begins in events
    )
