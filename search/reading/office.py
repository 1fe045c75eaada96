"""What does a document of an office say? Word, PowerPoint, OpenDocument, RTF, EPUB, Outlook: one library reads them all."""

import io
import re
import zipfile
from collections.abc import Mapping
from typing import Any

from search.errors import InvalidDocument
from search.kinds import OFFICE
from search.reading.comments import LEFT_OUT, comments
from search.reading.files import LONGEST
from search.reading.slides import notes_to_html, slides, to_html, with_whole_words
from search.reading.webpages import to_markdown

_SMALL = 1_000_000  # bytes that a text in a packed document may unpack to, however small it is …
_RATIO = 100  # … and times its size that a larger one may
_TEXTS = (".xml", ".rels", ".html", ".xhtml", ".htm")
_PICTURE = re.compile(r"!\[([^\[\]]*)\]\([^()\s]*\)")
_LEFT_OUT = {"charts": re.compile(r"\w+/charts/chart\d*\.xml"), "diagrams": re.compile(r"\w+/diagrams/data\d*\.xml")}


def read(content: bytes, media_type: str) -> tuple[str, str, Mapping[str, Any]]:
    """Title, Markdown, and metadata: what of the document is not read.

    Raises:
        InvalidDocument: it is protected by a password, or would unpack to far more than a document has.
        ValueError: it is damaged, or of a version that cannot be read.
    """
    import kreuzberg

    metadata = _check_packed(content) if content.startswith(b"PK") else {}
    config = kreuzberg.ExtractionConfig(
        use_cache=False,
        enable_quality_processing=False,
        output_format="html",
        postprocessor=kreuzberg.PostProcessorConfig(enabled=False),
        content_filter=kreuzberg.ContentFilterConfig(include_headers=True, include_footers=True, strip_repeating_text=False),
    )
    found = slides(content) if "presentation" in media_type else []
    content = with_whole_words(content) if found else content
    about: Mapping[str, Any] = {}
    try:
        result = kreuzberg.extract_bytes_sync(content, media_type, config)
        html, about = _PICTURE.sub(r"\1", result.content), result.metadata
    except kreuzberg.ParsingError as error:
        if "password" in str(error).lower():
            raise InvalidDocument("is encrypted; save it without a password") from error
        html = to_html(found)  # of pictures that are linked, or missing, it makes an error
        if not html:
            raise ValueError(str(error).rpartition("ParsingError: ")[2]) from error
    if found:  # of which the library leaves out the notes
        html += notes_to_html(found)
        damaged = sum(one.notes is None for one in found)
        metadata = {**metadata, "notes_left_out": damaged} if damaged else metadata
    title = about.get("title") or (about.get("subject") if media_type == OFFICE[".msg"] else "")
    return str(title or ""), to_markdown(html)[1], metadata


def _check_packed(content: bytes) -> Mapping[str, Any]:
    """Look into a packed document before it is unpacked; what of it will not be read."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
    texts = [entry for entry in entries if entry.filename.lower().endswith(_TEXTS)]  # pictures may be all white
    bomb = any(entry.file_size > max(_SMALL, _RATIO * entry.compress_size) for entry in texts)
    if bomb or sum(entry.file_size for entry in entries) > 4 * LONGEST:
        raise InvalidDocument("unpacks to far more than a document has; split it")
    counts = {what: sum(bool(name.fullmatch(entry.filename)) for entry in entries) for what, name in _LEFT_OUT.items()}
    found = {f"{what}_left_out": count for what, count in counts.items()} | {LEFT_OUT: comments(io.BytesIO(content))}
    return {what: count for what, count in found.items() if count}
