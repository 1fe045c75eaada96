"""What does a PDF say? Its text with a form feed between pages, and what was filled into its forms."""

import re
from collections.abc import Iterator, Mapping
from ctypes import c_ushort
from typing import Any

from search.errors import InvalidDocument
from search.reading.files import LONGEST
from search.reading.structure import PAGE_BREAK

_HYPHEN = re.compile("[\u0002\ufffe]\\r?\\n?")  # what the library has for a hyphen at the end of a line, inside a word
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
        if not text.strip() and next(page.get_objects([pypdfium2.raw.FPDF_PAGEOBJ_IMAGE], max_depth=2), None):
            unread["pages_without_text"].append(number)
        page.close()
    title = document.get_metadata_value("Title").strip("\0 ")
    found = {what: numbers for what, numbers in unread.items() if numbers}
    return title, PAGE_BREAK.join(pages).encode("utf-8", "replace").decode(), found


def _text_of(page: Any) -> str:
    words = page.get_textpage()
    count = words.count_chars()
    text = words.get_text_bounded(errors="replace") if count else ""
    if count > _OUTSIDE * len(text):
        text = words.get_text_range(errors="replace")
    words.close()
    filled = [value for value in _form_values(page) if value not in text]
    return "\n".join([joined(text), *filled])


def joined(text: str) -> str:
    """The text of a page as it is meant: words whole that a line divides, lines that end with a line feed."""
    return _HYPHEN.sub("", text).replace("\r\n", "\n").replace("\r", "\n").replace(PAGE_BREAK, "\n").replace("\0", "")


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
