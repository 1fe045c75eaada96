"""What does a page say? HTML and Word documents as Markdown, PDF as text with a form feed between pages."""

import io
import logging
import re
import zipfile
from typing import Any, BinaryIO

from search.documents import Document, Rejection
from search.errors import InvalidDocument
from search.reading.files import LONGEST, SourceFile, missing, read_at_most
from search.reading.structure import PAGE_BREAK, title_of
from search.reading.text import UTF_8, decode, known_encoding

SUFFIXES = (".html", ".htm", ".pdf", ".docx")
_TYPES = {
    ".html": "text/html",
    ".htm": "text/html",
    ".pdf": "application/pdf",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}
_UNREAD = ["script", "style", "noscript", "template", "svg", "nav", "iframe", "object"]  # nothing of the text
_LONGEST_TITLE = 500
_WIDEST = 100  # columns that one cell of a table may span
_BLANKS = re.compile(r"[ \t]{100,}")  # a few take no time
_SMALL = 1_000_000  # bytes that a text in a Word document may unpack to, however small it is …
_RATIO = 100  # … and times its size that a larger one may


def read(stream: BinaryIO, file: SourceFile) -> Document | Rejection:
    """A page, whatever its format, as a document."""
    suffix = file.path.suffix.lower()
    content = read_at_most(stream, LONGEST)
    try:
        title, text = {".pdf": _pdf, ".docx": _docx}.get(suffix, _html)(content)
    except ModuleNotFoundError as error:
        return file.reject(missing(error))
    except (InvalidDocument, MemoryError):
        raise
    except (Exception, RecursionError) as error:  # these libraries raise whatever a malformed file makes them
        return file.reject(f"cannot be read as {suffix[1:].upper()}: {str(error) or type(error).__name__}")
    if not text.strip():
        return file.reject("there is no text in it; if it is scanned, recognise its text first (OCR)")
    return Document(
        id=file.name,
        text=text,
        title=" ".join(title.split())[:_LONGEST_TITLE] or file.path.stem,
        metadata={"path": file.name},
        media_type=_TYPES[suffix],
        origin=file.name,
    )


def _html(content: bytes) -> tuple[str, str]:
    from bs4 import BeautifulSoup

    page = _decoded(content).replace("\r\n", "\n").replace("\r", "\n")  # as HTML has it
    soup = BeautifulSoup(page, "html.parser")
    title = soup.title.get_text() if soup.title else ""
    for element in soup(_UNREAD):
        element.decompose()
    articles = soup.find_all("article")
    main = soup.find("main") or (articles[0] if len(articles) == 1 else None) or soup.body or soup
    text = _to_markdown(main)
    return title or title_of(text), text


def _decoded(content: bytes) -> str:
    """By the encoding that the page declares, else by the detected one."""
    from bs4.dammit import EncodingDetector

    declared = EncodingDetector.find_declared_encoding(content, is_html=True)
    try:
        if declared:
            return content.decode(known_encoding(declared) or UTF_8)
    except (InvalidDocument, UnicodeDecodeError):
        pass  # it declares what it is not
    return decode(content)[0]


def _docx(content: bytes) -> tuple[str, str]:
    import mammoth
    from bs4 import BeautifulSoup

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        texts = [entry for entry in entries if entry.filename.lower().endswith((".xml", ".rels"))]  # pictures may be all white
        bomb = any(entry.file_size > max(_SMALL, _RATIO * entry.compress_size) for entry in texts)
        if bomb or sum(entry.file_size for entry in entries) > 4 * LONGEST:
            raise InvalidDocument("unpacks to far more than a document has; split it")
    html = mammoth.convert_to_html(io.BytesIO(content), convert_image=mammoth.images.img_element(lambda _: {})).value
    text = _to_markdown(BeautifulSoup(html, "html.parser"))
    return title_of(text), text


def _pdf(content: bytes) -> tuple[str, str]:
    import pypdf

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what it cannot read it raises, or leaves out
    reader = pypdf.PdfReader(io.BytesIO(content))
    if reader.is_encrypted and not reader.decrypt(""):
        raise InvalidDocument("is encrypted; save it without a password")
    texts: dict[Any, str] = {}  # by object, since one page may stand in a document thousands of times
    pages: list[str] = []
    length = 0
    for page in reader.pages:
        place = page.indirect_reference and page.indirect_reference.idnum
        if place is None or place not in texts:
            texts[place] = page.extract_text().replace(PAGE_BREAK, "\n")
        pages.append(texts[place])
        length += len(texts[place])
        if length > LONGEST:
            raise InvalidDocument(f"has more than {LONGEST:,} characters; split it")
    text = PAGE_BREAK.join(pages)
    title = reader.metadata.title if reader.metadata else ""
    return title or "", text.encode("utf-8", "replace").decode()


def _to_markdown(soup: Any) -> str:
    from markdownify import MarkdownConverter

    class Converter(MarkdownConverter):
        """Without what takes the square of the time of a text's blanks."""

        def convert_pre(self, el: Any, text: str, parent_tags: Any) -> Any:
            """Code without the empty lines around it."""
            first = re.match(r"(?: *+\n)*+", text)
            return super().convert_pre(el, text[first.end() if first else 0 :].rstrip(" \n"), parent_tags)  # type: ignore[misc]

    for cell in soup.find_all(["td", "th"], colspan=True):
        span = cell["colspan"]
        cell["colspan"] = str(min(int(span[:5]), _WIDEST)) if span.isascii() and span.isdecimal() else "1"
    for words in soup.find_all(string=_BLANKS):
        if not words.find_parent("pre"):
            words.replace_with(type(words)(_BLANKS.sub(" ", words)))
    converter = Converter(
        heading_style="ATX",
        bullets="-",
        strip=["a", "img"],  # their words stay
        strip_pre=None,
        escape_asterisks=False,
        escape_underscores=False,
        escape_misc=False,
    )
    text: str = converter.convert_soup(soup)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
