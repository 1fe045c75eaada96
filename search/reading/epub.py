"""What does a book say? The pages of an EPUB, in the order in which they are read.

They are read as those of the web are: the office library (kreuzberg 4.10) loses lists of definitions, and captions of pictures.
"""

import io
import posixpath
import zipfile
from collections.abc import Iterator
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from search.errors import InvalidDocument
from search.reading import webpages
from search.reading.packages import DAMAGED, elements, parsed

_CONTAINER, _ENCRYPTION = "META-INF/container.xml", "META-INF/encryption.xml"
_PAGES = {"application/xhtml+xml", "text/html", "application/x-dtbook+xml", "text/x-oeb1-document"}


def read(content: bytes) -> tuple[str, str]:
    """Title and Markdown.

    Raises:
        InvalidDocument: it is encrypted, or a page of it is in an encoding that cannot be told.
        ValueError: it is damaged.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            package = elements(parsed(archive, _CONTAINER), "rootfile")[0].get("full-path", "")
            book = parsed(archive, package)
            texts = [webpages.read(page, is_xml=True, whole=True)[1] for page in _pages(archive, book, package)]
    except IndexError:
        raise ValueError("its container names no book") from None
    except DAMAGED as error:
        raise ValueError(str(error).strip('"')) from error
    title = "".join("".join(one.itertext()) for one in elements(book, "title")[:1])
    return title, "\n".join(text for text in texts if text)


def _pages(archive: zipfile.ZipFile, book: Element, package: str) -> Iterator[bytes]:
    """Those that are there; a book of which one is missing is read all the same."""
    names = set(archive.namelist())
    locked = elements(parsed(archive, _ENCRYPTION), "CipherReference") if _ENCRYPTION in names else []
    encrypted = {unquote(one.get("URI", "")) for one in locked}
    items = {one.get("id"): one for one in elements(book, "item") if one.get("media-type") in _PAGES}
    for reference in elements(book, "itemref"):
        item = items.get(reference.get("idref"))
        path = "" if item is None else posixpath.normpath(posixpath.join(posixpath.dirname(package), unquote(item.get("href", ""))))
        if path in encrypted:
            raise InvalidDocument("is encrypted; save it without the protection against copying")
        if path in names:
            yield archive.read(path)
