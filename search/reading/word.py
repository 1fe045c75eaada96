"""What does a Word document say that the office library (kreuzberg 4.10) loses? Its main part is written anew before it is read.

Of references to characters (`&amp;`), tabs, hyphens that do not break, headers, footers, notes of number 1 and documents inside the
library makes nothing; it loses the paragraph around a box, puts formulas before theirs, and repeats a cell in all of its columns.
So all of these become paragraphs, runs and cells, some as marks, single characters, which are replaced in what the library made.
"""

import io
import re
import zipfile
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from search.reading import signs, webpages
from search.reading.packages import DAMAGED, Target, in_one_edition, relations_of, targets, with_parts

_MAIN = "word/document.xml"  # where the library looks for it, whatever the package says
_RUNS = (  # what in a run is read as something else
    (re.compile(rb"<w:(?:tab\s*|ptab\b[^<>]*?)(?:/>|></w:p?tab>)"), b'<w:t xml:space="preserve">\t</w:t>'),
    (re.compile(rb"<w:cr\s*(?:/>|></w:cr>)"), b"<w:br/>"),
    (re.compile(rb"<w:noBreakHyphen\s*(?:/>|></w:noBreakHyphen>)"), b"<w:t>-</w:t>"),
    (re.compile(rb"<w:(t[cr]PrChange)[\s>](?:(?!</?w:t[cr]PrChange).)*</w:\1>", re.DOTALL), b""),  # what a table was before
    (re.compile(rb"<w:(?:b|i|u|strike|dstrike)(?:\s[^<>]*)?/>"), b""),  # words in tables would have asterisks
    (  # how a word is read stands in brackets behind it
        re.compile(rb"<w:rt>((?:(?!</?w:rt>).)*)</w:rt>\s*<w:rubyBase>((?:(?!</?w:rubyBase>).)*)</w:rubyBase>", re.DOTALL),
        rb"\2<w:r><w:t>(</w:t></w:r>\1<w:r><w:t>)</w:t></w:r>",
    ),
)
_OF_TABLES = re.compile(rb"<(/?)w:(tbl|tr|tc|gridSpan|gridBefore|vMerge)(?=[\s/>])([^<>]*?)(/?)>")
_NUMBER = re.compile(rb"\bw:val\s*=\s*[\"'](\d{1,5})")
_EMPTY_CELL = b"<w:tc><w:p/></w:tc>"
_WIDEST = 63  # columns, of a table of Word's
_LONGEST_REPEATED = 200  # characters of a cell that stands in each of its rows
_FORMULAS = (b"m:oMathPara", b"m:oMath")
_NOTES = {b"w:footnoteReference": "footnotes", b"w:endnoteReference": "endnotes"}  # kinds of the parts that hold them
_CUT = (*_FORMULAS, b"w:del", b"w:moveFrom")  # taken out, with all that is in them
_WORDS = re.compile(rb"<(?:w:t|m:t|w:txbxContent)[\s>]")
_DEEPEST = 50  # boxes in each other
_SPECIAL = (b"w:txbxContent", b"w:altChunk", *_CUT, *_NOTES)
_TOKEN = re.compile(rb"<(/?)(w:p|%b)(?=[\s/>])([^<>]*?)(/?)>" % b"|".join(_SPECIAL))
_SYMBOL = re.compile(rb"<w:sym\b([^<>]*?)(?:/>|></w:sym>)")
_ATTRIBUTE = re.compile(rb"\bw:(font|char)\s*=\s*[\"']([^\"']*)")
_CODE = re.compile(rb"[\da-fA-F]*?([\da-fA-F]{1,4})")
_PRIVATE = 0xE000  # from here on fonts of symbols have theirs
_OF_SYMBOL = dict(  # by the last byte of their codes
    zip(
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-\xa3\xa5\xae\xb0\xb1\xb3\xb4\xb6\xb7\xb8\xb9\xba\xbb\xce\xd6\xe5\xf2",
        "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖαβχδεφγηιϕκλμνοπθρστυϖωξψζ−≤∞→°±≥×∂•÷≠≡≈∈√∑∫",  # noqa: RUF001  # Greek
        strict=True,
    )
)
_OF_WINGDINGS = dict(zip(b"\x6f\xa7\xa8\xe0\xfc\xfd\xfe", "☐•☐→✓☒☑", strict=True))
_PARAGRAPH = re.compile(rb"<w:p(?:\s[^<>]*)?(?<!/)>")
_ID = re.compile(rb"\b(?:w|r):id\s*=\s*[\"']([^\"']*)")
_NOTE = re.compile(rb"<w:(?:foot|end)note\s([^<>]*)(?<!/)>((?:(?!<w:(?:foot|end)note\s).)*?)</w:(?:foot|end)note>", re.DOTALL)
_COMMENT = re.compile(rb"<!--(?:(?!<!--).)*?-->|<\?(?!xml\s)(?:(?!<\?).)*?\?>", re.DOTALL)  # of those who wrote the XML
_MARGIN = re.compile(rb"<w:(?:header|footer)Reference\s([^<>]*?)/?>")
_BEGIN_OF_MARGIN = re.compile(rb"<w:(?:hdr|ftr)(?:\s[^<>]*)?(?<!/)>")
_LINK = re.compile(rb"\br:(?:id|embed|link)\s*=\s*(?:\"[^\"]*\"|'[^']*')")  # which leads elsewhere in another part
_XML_TAG = re.compile(rb"<[^<>]*>")
_LETTER = re.compile(r"[^\W\d_]")
_BEFORE_FORMULAS, _BEFORE_MARGINS = map(chr, signs.MARKS[:2])
_FORMULA = re.compile(
    f"<p>([{chr(signs.MARKS[0])}-{chr(signs.MARKS[-1])}])</p>"
    r'\s*(?:<p><span data-math-style="\w+">(.*?)</span></p>)?',
    re.DOTALL,
)


class Chunk(NamedTuple):
    """Another document inside this one."""

    path: str
    content: bytes


class Prepared(NamedTuple):
    """A Word document for the library to read, and what is to be put into what it makes of it."""

    content: bytes
    labels: dict[str, str]  # by the marks for them
    formulas: bool
    margins: bool
    chunks: dict[str, Chunk]

    def completed(self, html: str, chunks: Collection[str]) -> str:
        """What the library made, with signs, formulas and labels in their places, and headers and footers at the end.

        The marks of some chunks are still there.
        """
        text, _, apart = html.partition(_border(_BEFORE_FORMULAS)) if self.formulas else (html, "", "")
        text, _, beside = text.partition(_border(_BEFORE_MARGINS)) if self.margins else (text, "", "")
        text += webpages.margins([beside])
        found = formulas_in(apart)
        kept = {mark: mark for mark in chunks}
        return signs.shown_in_html(text, self.labels | found | kept)


def of_formulas(formulas: list[tuple[str, bytes]]) -> bytes:
    """A document of nothing but formulas, each behind its mark; `formulas_in` finds them in what the library makes of it."""
    made = io.BytesIO()
    body = _paragraphs([(mark, signs.hidden(formula)) for mark, formula in formulas])
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(_MAIN, b"<w:document><w:body>" + body + b"</w:body></w:document>")
    return made.getvalue()


def formulas_in(html: str) -> dict[str, str]:
    """Formulas in HTML, by their marks; of one that says nothing, nothing."""
    return {match[1]: signs.shown_in_html(match[2] or "") for match in _FORMULA.finditer(html)}


def prepared(content: bytes) -> Prepared:
    """A document that the library loses nothing of; as it was if it is damaged, or has nothing that would be lost."""
    as_it_is = Prepared(content, {}, formulas=False, margins=False, chunks={})
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _Document(archive).prepared() or as_it_is
    except DAMAGED:
        return as_it_is


def _border(mark: str) -> str:
    return f"<p>{mark}</p>"


class _Document:
    """The main part of a package, while it is written anew."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._main = next((path for kind, path in _targets(archive, "").values() if kind == "officeDocument"), _MAIN)
        self._targets = _targets(archive, self._main)
        self._marks = map(chr, signs.MARKS[2:])
        self._formulas: list[tuple[str, bytes]] = []
        self._chunks: dict[str, Chunk] = {}
        self._labels: dict[str, str] = {}
        self._marks_of_notes: dict[tuple[str, bytes], str] = {}
        self._notes: list[bytes] = []
        self._known_notes = {kind: self._notes_of(kind) for kind in _NOTES.values()}

    def prepared(self) -> Prepared | None:
        """None if there is nothing to change."""
        original = self._archive.read(self._main)
        body = self._flat(_plain(original))
        margins = list(self._margins(original))
        parts = [*self._notes, *([_mark(_BEFORE_MARGINS), *margins] if margins else [])]
        if self._formulas:
            parts += [_mark(_BEFORE_FORMULAS), _paragraphs(self._formulas)]
        end = body.rfind(b"</w:body>")
        if end < 0 or (body == original and not parts and self._main == _MAIN):
            return None
        changed = {_MAIN: body[:end] + b"".join(parts) + body[end:]}
        changed |= {path: b"<w:notes/>" for kind, path in self._targets.values() if kind in self._known_notes}
        if self._main != _MAIN:
            changed["word/_rels/document.xml.rels"] = self._archive.read(relations_of(self._main))
        packed = with_parts(self._archive, changed)
        return Prepared(packed, self._labels, formulas=bool(self._formulas), margins=bool(margins), chunks=self._chunks)

    def _notes_of(self, kind: str) -> dict[bytes, bytes]:
        """Paragraphs of the notes of a kind, by their ids."""
        paths = [path for one, path in self._targets.values() if one == kind]
        notes = [match for path in paths for match in _NOTE.finditer(_plain(self._part(path)))]
        return {number[1]: _LINK.sub(b"", match[2]) for match in notes if (number := _ID.search(match[1]))}

    def _margins(self, main: bytes) -> Iterator[bytes]:
        """Headers and footers that the document refers to, each once, but for those without a letter, such as numbers of pages."""
        seen = set()
        names = (found[1] for reference in _MARGIN.finditer(main) if (found := _ID.search(reference[1])))
        for name in dict.fromkeys(names):  # every section may refer to the same ones
            target = self._targets.get(name.decode())
            margin = _plain(self._part(target.path)) if target else b""
            begin, end = _BEGIN_OF_MARGIN.search(margin), margin.rfind(b"</w:")
            paragraphs = self._flat(_LINK.sub(b"", margin[begin.end() : end])) if begin else b""
            words = _XML_TAG.sub(b"", paragraphs).decode("utf-8", "replace").strip()
            if _LETTER.search(words) and words not in seen:
                seen.add(words)
                yield paragraphs

    def _flat(self, xml: bytes) -> bytes:
        """A part with its paragraphs one after the other, and with marks in it; as it was if an element does not end."""
        if not any(b"<" + name in xml for name in _SPECIAL):
            return xml
        return _Flattening(xml, self._in_place_of).result() or xml

    def _in_place_of(self, name: bytes, element: bytes, attributes: bytes) -> bytes:
        """A mark for a formula, a note or another document; nothing for what stands there a second time."""
        number = _ID.search(attributes)
        if name in _FORMULAS and (mark := next(self._marks, None)):
            self._formulas.append((mark, element))
            return _run(mark)
        if name in _NOTES and number:
            return self._label(_NOTES[name], number[1])
        if name == b"w:altChunk" and number and (target := self._targets.get(number[1].decode())):
            return self._chunk(target.path)
        return b""

    def _chunk(self, path: str) -> bytes:
        mark = next(self._marks, None)
        if mark is None:
            return b""
        self._chunks[mark] = Chunk(path, self._part(path))
        return _mark(mark)

    def _label(self, kind: str, number: bytes) -> bytes:
        """A mark for a note, which stands at the end once, however often it is referred to."""
        mark = self._marks_of_notes.get((kind, number))
        if mark is None:
            note, mark = self._known_notes[kind].get(number), next(self._marks, None)
            if note is None or mark is None:
                return b""
            self._marks_of_notes[kind, number] = mark
            self._labels[mark] = f"[^{len(self._labels) + 1}]"
            place = len(self._notes)
            self._notes.append(b"")
            label = _run(f"{mark}: ")
            self._notes[place] = _PARAGRAPH.sub(lambda first: first[0] + label, self._flat(note), count=1)
        return _text(mark)

    def _part(self, path: str) -> bytes:
        """A part beside the main one; empty if it is damaged, or missing."""
        try:
            return self._archive.read(path)
        except DAMAGED:
            return b""


def _targets(archive: zipfile.ZipFile, path: str) -> dict[str, Target]:
    try:
        return targets(archive, path)
    except DAMAGED:
        return {}


class _Level(NamedTuple):
    """Paragraphs that are not in each other."""

    out: list[bytes]
    boxes: list[bytes]  # in the paragraph that is open


class _Flattening:
    """A part while its paragraphs are put one after the other, those of a box behind the one that the box is in."""

    def __init__(self, xml: bytes, in_place_of: Callable[[bytes, bytes, bytes], bytes]) -> None:
        self._xml = xml
        self._in_place_of = in_place_of
        self._levels = [_Level([], [])]
        self._at = 0  # up to where it is written
        self._cut, self._depth, self._start = b"", 0, 0  # the element that is being taken out

    def result(self) -> bytes | None:
        """None if an element does not end, or ends without a beginning."""
        for token in _TOKEN.finditer(self._xml):
            closes, name, attributes, is_empty = token.groups()
            if self._cut:
                self._within(token)
            elif name == b"w:p":
                if closes and self._levels[-1].boxes:
                    self._put(token, token[0], *self._levels[-1].boxes)
                    self._levels[-1].boxes.clear()
            elif name == b"w:txbxContent" and not is_empty:
                if (closes and len(self._levels) == 1) or len(self._levels) > _DEEPEST:
                    return None
                self._cross(token)
            elif name in _CUT and not (is_empty or closes):
                self._cut, self._depth, self._start = name, 1, token.start()
            else:
                self._put(token, b"" if closes or name in _CUT else self._in_place_of(name, token[0], attributes))
        if self._cut or len(self._levels) > 1:
            return None
        return b"".join([*self._levels[0].out, self._xml[self._at :]])

    def _within(self, token: re.Match[bytes]) -> None:
        """Look for the end of the element that is taken out."""
        closes, name, _, is_empty = token.groups()
        if name == self._cut and not is_empty:
            self._depth += -1 if closes else 1
            if not self._depth:
                element = self._xml[self._start : token.end()]
                self._put(token, self._in_place_of(name, element, b""), start=self._start)
                self._cut = b""

    def _cross(self, token: re.Match[bytes]) -> None:
        """Into a box, or out of it."""
        self._put(token)
        if token[1]:
            inner = self._levels.pop()
            self._levels[-1].boxes.extend((*inner.out, *inner.boxes))
        else:
            self._levels.append(_Level([], []))

    def _put(self, token: re.Match[bytes], *instead: bytes, start: int | None = None) -> None:
        """What stands before a token, or before a place, and something in place of all that follows up to the token's end."""
        self._levels[-1].out.extend((self._xml[self._at : token.start() if start is None else start], *instead))
        self._at = token.end()


def _plain(xml: bytes) -> bytes:
    """A part whose runs hold nothing but texts and breaks."""
    xml = in_one_edition(_COMMENT.sub(b"", signs.hidden(xml)), _WORDS)
    xml = _SYMBOL.sub(_symbol, xml)
    for pattern, replacement in _RUNS:
        xml = pattern.sub(replacement, xml)
    return _Cells().in_one_place(xml) if b"<w:gridSpan" in xml or b"<w:gridBefore" in xml or b"<w:vMerge" in xml else xml


class _Table:
    """What is known of a table where a part has come to."""

    def __init__(self) -> None:
        self.column = 0  # of the cell that is open
        self.before = 0  # columns that the row leaves out
        self.span = 1  # columns of the cell
        self.begin = 0  # characters that stand before the cell
        self.reaches = False  # whether the cell begins one of several rows
        self.long = set[int]()  # columns of such cells that are too long to stand in each row


class _Cells:
    """A part while cells of several columns are written once, empty ones behind them, and long ones of several rows once."""

    def __init__(self) -> None:
        self._tables = [_Table()]  # that are open, in each other
        self._characters = 0  # so far

    def in_one_place(self, xml: bytes) -> bytes:
        """The part."""
        out, at = list[bytes](), 0
        for token in _OF_TABLES.finditer(xml):
            between, cells, instead = xml[at : token.start()], b"", token[0]
            self._characters += len(_XML_TAG.sub(b"", between).decode("utf-8", "replace"))
            if token[2] == b"tbl":
                self._cross(begins=not token[1], is_empty=bool(token[4]))
            elif token[2] == b"tr":
                self._tables[-1].column = self._tables[-1].before = 0
            elif token[2] == b"tc":
                cells = _EMPTY_CELL * (self._end() if token[1] else self._begin())
            else:
                instead = self._said(token)
            out += [between, *((instead, cells) if token[1] else (cells, instead))]
            at = token.end()
        return b"".join([*out, xml[at:]])

    def _cross(self, *, begins: bool, is_empty: bool) -> None:
        """Into a table, or out of it."""
        if begins and not is_empty:
            self._tables.append(_Table())
        elif not begins and len(self._tables) > 1:
            self._tables.pop()

    def _begin(self) -> int:
        """How many empty cells stand before one that begins."""
        table = self._tables[-1]
        before, table.before = table.before, 0
        table.column += before
        table.span, table.begin, table.reaches = 1, self._characters, False
        return before

    def _end(self) -> int:
        """How many empty cells stand behind one that has ended."""
        table = self._tables[-1]
        if table.reaches and self._characters - table.begin > _LONGEST_REPEATED:
            table.long.add(table.column)
        table.column += table.span
        return table.span - 1

    def _said(self, token: re.Match[bytes]) -> bytes:
        """What is left of what a cell, or a row, says of its place."""
        table, number = self._tables[-1], _NUMBER.search(token[3])
        if token[2] == b"vMerge":
            table.reaches = b"restart" in token[3]
            if table.reaches:
                table.long.discard(table.column)
            return b"" if table.column in table.long else token[0]
        columns = min(int(number[1]), _WIDEST) if number else 1
        if token[2] == b"gridBefore":
            table.before = columns
            return token[0]
        table.span = max(columns, 1)
        return b""


def _symbol(match: re.Match[bytes]) -> bytes:
    """A sign of a font of symbols, as a letter that means the same; a blank if there is none that is known."""
    attributes = dict(_ATTRIBUTE.findall(match[1]))
    number = _CODE.fullmatch(attributes.get(b"char", b""))
    code = int(number[1], 16) if number else _PRIVATE
    font = attributes.get(b"font", b"").lower()
    known = _OF_SYMBOL if font == b"symbol" else _OF_WINGDINGS if font.startswith(b"wingdings") else {}
    if code < _PRIVATE:
        return _text(known.get(code) or signs.hidden(b"&#%d;" % code).decode())
    return _text(known.get(code & 0xFF, " "))


def _paragraphs(formulas: list[tuple[str, bytes]]) -> bytes:
    return b"".join(_mark(mark) + b"<w:p>" + formula + b"</w:p>" for mark, formula in formulas)


def _text(words: str) -> bytes:
    return b'<w:t xml:space="preserve">' + words.encode() + b"</w:t>"


def _run(words: str) -> bytes:
    return b"<w:r>" + _text(words) + b"</w:r>"


def _mark(mark: str) -> bytes:
    """A paragraph of nothing but a mark."""
    return b"<w:p>" + _run(mark) + b"</w:p>"
