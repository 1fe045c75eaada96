"""What does a document of an office say? Word, PowerPoint, OpenDocument, RTF, EPUB, Outlook: one library reads them all."""

import io
import re
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from search.errors import InvalidDocument
from search.kinds import HTML, MAIL, OFFICE, PLAIN, by_name
from search.reading import (
    compound,
    encapsulated,
    epub,
    fictionbook,
    mail,
    opendocument,
    outlook,
    packages,
    rtf,
    signs,
    slides,
    webpages,
    word,
    word97,
)
from search.reading.files import LONGEST
from search.reading.text import decode
from search.reading.unread import COMMENTS, OBJECTS, unread
from search.reading.webpages import to_markdown

_SMALL = 1_000_000  # bytes that a text in a packed document may unpack to, however small it is …
_RATIO = 100  # … and times its size that a larger one may
_TEXTS = (".xml", ".rels", ".html", ".xhtml", ".htm")
_PICTURE = re.compile(r"!\[([^\[\]]*)\]\([^()\s]*\)")
_ROW = "| "  # what one of a table begins with
_BAR, _BETWEEN_CELLS = re.compile(r"(?<!\\)\|"), re.compile(r"(?<!\\)\|(?: ---(?= \|))?")
_DEEPEST = 3  # documents in each other
_READERS: Mapping[str, Callable[[bytes], str]] = {  # of documents inside others
    HTML: lambda content: webpages.read(content)[1],
    MAIL: lambda content: mail.read(content)[1],
    PLAIN: lambda content: decode(content).text,
    OFFICE[".rtf"]: lambda content: read(content, OFFICE[".rtf"])[1],
}


def read(content: bytes, media_type: str) -> tuple[str, str, Mapping[str, Any]]:
    """Title, Markdown, and metadata: what of the document is not read.

    Raises:
        InvalidDocument: it is protected by a password, or would unpack to far more than a document has.
        ValueError: it is damaged, or of a version that cannot be read.
    """
    metadata = _check_packed(content) if content.startswith(b"PK") else {}
    if "presentation" in media_type:
        title, html, others = _presentation(content, media_type)
        return title, to_markdown(html)[1], {**metadata, **others}
    if content.startswith(compound.MARK) and media_type == OFFICE[".doc"]:
        old = word97.read(content)
        left_out = {name: count for name, count in ((COMMENTS, old.comments), (OBJECTS, old.objects)) if count}
        return _title_of(content, media_type), to_markdown(old.html)[1], left_out
    if media_type == OFFICE[".msg"]:
        return outlook.read(content, _READERS[OFFICE[".rtf"]])
    if "word" in media_type:
        title, text, unread = _word(content, media_type)
        objects = metadata.get(OBJECTS, 0) + unread
        return title, text, {**metadata, OBJECTS: objects} if objects else metadata
    if media_type == OFFICE[".odt"]:
        found = opendocument.read(content)
        return found.title, to_markdown(found.html)[1], {**metadata, OBJECTS: found.objects} if found.objects else metadata
    if media_type == OFFICE[".epub"]:
        title, text, missing = epub.read(content)
        return title, text, {**metadata, "missing_pages": missing} if missing else metadata
    if media_type == OFFICE[".rtf"]:
        if before := encapsulated.read(content):
            return (*to_markdown(before.text), metadata) if before.is_page else ("", before.text, metadata)
        ready = rtf.prepared(content)
        shown = str.maketrans(dict(ready.signs))
        parts = (ready.text, ready.margins, ready.title)
        html, beside, title = (_extracted(part, media_type)[1].translate(shown) if part else "" for part in parts)
        return webpages.words_of(title), to_markdown(html + webpages.margins([beside]))[1], metadata
    if media_type == OFFICE[".fb2"]:
        with suppress(ValueError):  # the library takes much that is no XML
            title, html = fictionbook.read(content)
            return title, to_markdown(html)[1], metadata
        content = signs.hidden(signs.in_utf_8(content))
    about, html = _extracted(content, media_type)
    return signs.shown(str(about.get("title") or "")), to_markdown(signs.shown_in_html(html))[1], metadata


def _extracted(content: bytes, media_type: str) -> tuple[Mapping[str, Any], str]:
    """What the library makes of a document: what it says about itself, and HTML."""
    import kreuzberg

    config = kreuzberg.ExtractionConfig(
        use_cache=False,
        enable_quality_processing=False,
        output_format="html",
        postprocessor=kreuzberg.PostProcessorConfig(enabled=False),
        content_filter=kreuzberg.ContentFilterConfig(include_headers=True, include_footers=True, strip_repeating_text=False),
    )
    try:
        result = kreuzberg.extract_bytes_sync(content, media_type, config)
    except kreuzberg.ParsingError as error:
        if "password" in str(error).lower():
            raise InvalidDocument("is encrypted; save it without a password") from error
        raise ValueError(str(error).rpartition("ParsingError: ")[2]) from error
    return result.metadata, _PICTURE.sub(r"\1", result.content)


def _title_of(content: bytes, media_type: str) -> str:
    """What a document says about itself, whose text the library is not asked for."""
    try:
        return str(_extracted(content, media_type)[0].get("title") or "")
    except (InvalidDocument, ValueError):
        return ""


def _presentation(content: bytes, media_type: str) -> tuple[str, str, Mapping[str, Any]]:
    """Title, HTML, and metadata. Of slides the library leaves out the notes."""
    content = packages.as_usual(content)
    found = slides.read(content)
    title = ""
    try:
        ready = slides.prepared(content)
        about, html = _extracted(ready.content, media_type)
        formulas = word.formulas_in(_extracted(word.of_formulas(ready.formulas), OFFICE[".docx"])[1]) if ready.formulas else {}
        html = signs.shown_in_html(html, formulas)
        title = str(about.get("title") or "")
    except ValueError:
        html = slides.to_html(found)  # of pictures that are linked, or missing, the library makes an error
        if not html and not any(one.notes for one in found):
            raise
    damaged = sum(one.notes is None for one in found)
    return title, html + slides.notes_to_html(found), {"notes_left_out": damaged} if damaged else {}


def _word(content: bytes, media_type: str, depth: int = 0) -> tuple[str, str, int]:
    """Title, Markdown with what is in the documents inside, and how many of those cannot be read."""
    ready = word.prepared(packages.as_usual(content))
    about, html = _extracted(ready.content, media_type)
    chunks = {mark: _chunk(chunk, depth) for mark, chunk in ready.chunks.items()}
    inside = {mark: words for mark, (words, _) in chunks.items() if words}
    lines = to_markdown(ready.completed(html, inside))[1].split("\n")
    on_one_line = {mark: _in_a_cell(words) for mark, words in inside.items()}
    text = "\n".join(signs.replaced(line, on_one_line if line.startswith(_ROW) else inside) for line in lines)
    return str(about.get("title") or ""), text, sum(unread for _, unread in chunks.values())


def _in_a_cell(markdown: str) -> str:
    """Words of some Markdown on one line, and of tables in it nothing but these."""
    lines = (_BETWEEN_CELLS.sub(" ", line) if line.startswith(_ROW) else line for line in markdown.split("\n"))
    return _BAR.sub(r"\|", " ".join(" ".join(lines).split()))


def _chunk(chunk: word.Chunk, depth: int) -> tuple[str, int]:
    """The Markdown of a document inside another one, and how many of it and of those inside of it cannot be read."""
    path = Path(chunk.path)
    kind = by_name(path)
    try:
        if "word" in kind and depth < _DEEPEST:
            _, text, unread = _word(chunk.content, kind, depth + 1)
            return text.strip(), unread
        if kind in _READERS:
            return _READERS[kind](chunk.content).strip(), 0
    except (InvalidDocument, ValueError):
        return "", 1
    return "", 1


def _check_packed(content: bytes) -> Mapping[str, Any]:
    """Look into a packed document before it is unpacked; what of it will not be read."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
    texts = [entry for entry in entries if entry.filename.lower().endswith(_TEXTS)]  # pictures may be all white
    bomb = any(entry.file_size > max(_SMALL, _RATIO * entry.compress_size) for entry in texts)
    if bomb or sum(entry.file_size for entry in entries) > 4 * LONGEST:
        raise InvalidDocument("unpacks to far more than a document has; split it")
    return unread(io.BytesIO(content))
