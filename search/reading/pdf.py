"""What does a PDF say? Its text with a form feed between pages, headings of its bookmarks, and what was filled into its forms."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from ctypes import c_ushort
from typing import Any

from search.errors import InvalidDocument
from search.reading.files import LONGEST
from search.reading.margins import without_margins
from search.reading.outline import with_headings
from search.reading.structure import PAGE_BREAK

_HYPHEN = re.compile("[\u0002\ufffe]\\n?")  # what the library has for a hyphen at the end of a line, inside a word
_AT_END = re.compile(f"{_HYPHEN.pattern}\\Z")
_DIVIDED = re.compile(f"(?<![^\\W_])(?:[^\\W_]*{_HYPHEN.pattern})+[^\\W_]*")
_OF_TWO_PAGES = re.compile(f"(?<![^\\W_])([^\\W_]+){_HYPHEN.pattern}{PAGE_BREAK}([^\\W_]+)")
_WORD = re.compile(r"[^\W_]+")
_END_OF_WORD = re.compile(r"[^\W_]*\Z")
_WITH_HYPHEN = re.compile(r"(?<![^\W_])(?=([^\W_]+-[^\W_]+)(?![^\W_]))")
_LONGEST_WORD = 100  # characters
_OUTSIDE = 1.5  # times the characters inside the borders of a page: what is outside counts, too


def read(content: bytes) -> tuple[str, str, Mapping[str, Any]]:
    """Title, text, and metadata: which pages are damaged, or pictures without a text, from 1.

    Raises:
        InvalidDocument: it is encrypted, or has more text than a document may have.
        PdfiumError: it is no PDF, or none of its pages can be read.
    """
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise InvalidDocument("is encrypted; save it without a password") from error
        raise
    if document.get_formtype():
        document.init_forms()
    pages: list[str] = []
    unread: dict[str, list[int]] = {"damaged_pages": [], "pages_without_text": []}
    length = 0
    for number in range(1, len(document) + 1):
        try:
            page = document[number - 1]
        except pypdfium2.PdfiumError:
            if len(unread["damaged_pages"]) + 1 == len(document):
                raise
            unread["damaged_pages"].append(number)
            pages.append("")
            continue
        text = _text_of(page)
        pages.append(text)
        length += len(text)
        if length > LONGEST:
            raise InvalidDocument(f"has more than {LONGEST:,} characters; split it")
        if not _HYPHEN.sub("", text).strip() and next(page.get_objects([pypdfium2.raw.FPDF_PAGEOBJ_IMAGE], max_depth=2), None):
            unread["pages_without_text"].append(number)
        page.close()
    try:
        title = document.get_metadata_value("Title").strip("\0 ")
    except UnicodeDecodeError:
        title = ""
    found = {what: numbers for what, numbers in unread.items() if numbers}
    return (
        title,
        _whole(PAGE_BREAK.join(with_headings(without_margins(pages), document))).encode("utf-8", "replace").decode(),
        found,
    )


def _text_of(page: Any) -> str:
    words = page.get_textpage()
    count = words.count_chars()
    text = words.get_text_bounded(errors="replace") if count else ""
    if count > _OUTSIDE * len(text):
        text = words.get_text_range(errors="replace")
    words.close()
    filled = [value for value in _form_values(page) if value not in text]
    return "\n".join([_AT_END.sub("-", _plain(text)), *filled]) if filled else _plain(text)


def joined(*pages: str) -> str:
    """The text of pages as it is meant: words whole that a line divides, lines that end with a line feed."""
    return _whole(PAGE_BREAK.join(map(_plain, pages)))


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace(PAGE_BREAK, "\n").replace("\0", "")


def _whole(text: str) -> str:
    """A text with each hyphen at the end of a line where it belongs to the word, and without it where only the line divides it.

    A word that is divided by two pages, and stands whole elsewhere, goes to the first one.
    """
    if not _HYPHEN.search(text):
        return text
    known = _known(_DIVIDED.sub(" ", text).lower())

    def of_two_pages(match: re.Match[str]) -> str:
        is_one = known[f"{match[1]}{match[2]}".lower()] > 0
        return f"{match[1]}{match[2]}{PAGE_BREAK}" if is_one else f"{match[1]}-{PAGE_BREAK}{match[2]}"

    def of_two_lines(match: re.Match[str]) -> str:
        left = _END_OF_WORD.search(match.string, max(0, match.start() - _LONGEST_WORD), match.start())
        right = _WORD.match(match.string, match.end(), match.end() + _LONGEST_WORD)
        return "-" if left and right and _belongs(left, right, known) else ""

    return _HYPHEN.sub(of_two_lines, _OF_TWO_PAGES.sub(of_two_pages, text))


def _known(text: str) -> Counter[str]:
    """How often there are which words, and which two with a hyphen between them."""
    return Counter(match[0] for match in _WORD.finditer(text)) + Counter(match[1] for match in _WITH_HYPHEN.finditer(text))


def _belongs(left: re.Match[str], right: re.Match[str], known: Counter[str]) -> bool:
    """Whether a hyphen between two parts belongs to the word. How it is written elsewhere says so, else how it looks."""
    first, last = left[0], right[0]
    as_one, as_two = known[f"{first}{last}".lower()], known[f"{first}-{last}".lower()]
    if not first or as_one or as_two:
        return bool(first) and as_two > as_one
    if first.isupper() and last.isupper() and min(len(first), len(last)) > 1:  # of a heading in capitals
        return False
    if not first[-1].isalpha() or not last[0].isalpha() or last[0].isupper() or (len(first) == 1 < len(last)):
        return True
    around = left.string[left.start() - 1 : left.start()] + right.string[right.end() : right.end() + 1]
    return "-" in around and known[first.lower()] > 0 and known[last.lower()] > 0  # state-of-the-art


def _form_values(page: Any) -> Iterator[str]:
    """What stands in the fields of a page: texts that were written, entries that were chosen."""
    import pypdfium2.raw as pdfium

    if page.formenv is None:
        return
    for index in range(pdfium.FPDFPage_GetAnnotCount(page)):
        annotation = pdfium.FPDFPage_GetAnnot(page, index)
        try:
            if pdfium.FPDFAnnot_GetSubtype(annotation) != pdfium.FPDF_ANNOT_WIDGET:
                continue
            if pdfium.FPDFAnnot_GetFormFieldType(page.formenv, annotation) not in {
                pdfium.FPDF_FORMFIELD_TEXTFIELD,
                pdfium.FPDF_FORMFIELD_COMBOBOX,
                pdfium.FPDF_FORMFIELD_LISTBOX,
            }:
                continue
            size = pdfium.FPDFAnnot_GetFormFieldValue(page.formenv, annotation, None, 0)
            value = (c_ushort * (size // 2))()
            pdfium.FPDFAnnot_GetFormFieldValue(page.formenv, annotation, value, size)
            if words := bytes(value).decode("utf-16-le", "replace").strip("\0").strip():
                yield words
        finally:
            pdfium.FPDFPage_CloseAnnot(annotation)
