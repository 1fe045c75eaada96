"""What does a page say, whatever its format? A title, and Markdown or, of PDF, text with a form feed between pages."""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from search import kinds
from search.documents import Document, Rejection
from search.errors import InvalidDocument
from search.reading import mail, manuals, notebooks, office, pdf, webpages
from search.reading.files import LONGEST, SourceFile, read_whole
from search.reading.packages import without_pictures
from search.reading.passwords import ENCRYPTED, needs_password
from search.reading.structure import title_of
from search.system.extras import how_to_install

_LONGEST_TITLE = 500
_LEFT_OUT = "_left_out"  # how fields of metadata end that count what a reader left out
_REMARKED = {"missing_pages", "damaged_pages", "pages_without_text", "encoding", "replaced_characters"}
_OWN_SECTION = re.compile(rf"^## (?:{webpages.MARGINS}|Notes of slide \d+)$", re.MULTILINE)  # which no document has written
_MARK_OF_NOTE = re.compile(r" ?\[\^\d+\]")
_PAGES_NAMED = 20  # in metadata, which every passage carries
_NO_TITLE = re.compile(  # what programs write where nobody wrote one
    r"\(?anonymous\)?|untitled.*|(?:slide|folie|document|dokument|presentation|präsentation)\s*\d*|powerpoint.presentation"
    r"|microsoft (?:word|powerpoint|excel) - .*",
    re.IGNORECASE,
)
_READERS: Mapping[str, Callable[[bytes], tuple[str, str, Mapping[str, Any]]]] = {
    kinds.HTML: webpages.read,
    kinds.PDF: pdf.read,
    kinds.MAIL: mail.read,
    kinds.NOTEBOOK: notebooks.read,
    kinds.ROFF: manuals.read,
}


def read(stream: BinaryIO, file: SourceFile) -> Document | Rejection:
    """A page, whatever its format, as a document."""
    media_type = file.media_type or kinds.by_name(file.path)
    is_large = media_type in kinds.PACKED and os.fstat(stream.fileno()).st_size > LONGEST
    content = without_pictures(stream) if is_large else read_whole(stream)
    try:
        if media_type in _READERS:
            title, text, metadata = _READERS[media_type](content)
        else:
            title, text, metadata = office.read(content, media_type)
    except ModuleNotFoundError as error:
        return file.reject(how_to_install(error))
    except (InvalidDocument, MemoryError):
        raise
    except Exception as error:  # these libraries raise whatever a malformed file makes them
        found = ENCRYPTED if needs_password(content) else kinds.other_than(media_type, content)
        return file.reject(f"cannot be read as {kinds.name_of(media_type)}: {found or str(error) or type(error).__name__}")
    if not text.strip():
        if media_type in kinds.OFFICE.values() and (found := kinds.other_than(media_type, content)):
            return file.reject(f"cannot be read as {kinds.name_of(media_type)}: {found}")
        scanned = media_type == kinds.PDF
        return file.reject(f"there is no text in it{'; if it is scanned, recognise its text first (OCR)' if scanned else ''}")
    is_paged = media_type == kinds.PDF
    remarks = {name: found for name, found in metadata.items() if name.endswith(_LEFT_OUT) or name in _REMARKED}
    bounded = {name: found[:_PAGES_NAMED] if isinstance(found, list) else found for name, found in remarks.items()}
    own = _OWN_SECTION.search(text)
    titles = (title, "" if is_paged else title_of(text[: own.start()] if own else text, media_type))
    return Document(
        id=file.name,
        text=text,
        title=next((words for one in titles if (words := _title(one))), file.path.stem),
        metadata={**metadata, **bounded, "path": file.name},
        media_type=media_type,
        origin=file.name,
        remarks=remarks,
    )


def _title(title: str) -> str:
    """On one line; empty if it is none, or in an encoding that was not told."""
    words = " ".join(_MARK_OF_NOTE.sub("", title).split())[:_LONGEST_TITLE]
    return "" if _NO_TITLE.fullmatch(words) or "\ufffd" in words else words
