"""What does a book say? The pages of an EPUB, in the order in which they are read.

They are read as those of the web are: the office library (kreuzberg 4.10) loses lists of definitions, and captions of pictures.
"""

import io
import posixpath
import zipfile
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from search.errors import InvalidDocument
from search.reading import webpages
from search.reading.packages import DAMAGED, elements, parsed

_CONTAINER, _ENCRYPTION = "META-INF/container.xml", "META-INF/encryption.xml"
_PAGES = {"application/xhtml+xml", "text/html", "application/x-dtbook+xml", "text/x-oeb1-document"}
_XML, _ENDINGS = {"application/xml", "text/xml"}, (".xhtml", ".html", ".htm")  # of pages as well


def read(content: bytes) -> tuple[str, str, int]:
    """Title, Markdown, and how many pages are missing, of a book that is read all the same.

    Raises:
        InvalidDocument: it is encrypted, or a page of it is in an encoding that cannot be told.
        ValueError: it is damaged.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            package = elements(parsed(archive, _CONTAINER), "rootfile")[0].get("full-path", "")
            book = parsed(archive, package)
            pages, held = _pages(archive, book, package), set(archive.namelist())
            texts = [webpages.read(archive.read(page), is_xml=True, whole=True)[1] for page in pages if page in held]
    except IndexError:
        raise ValueError("its container names no book") from None
    except DAMAGED as error:
        raise ValueError(str(error).strip('"')) from error
    title = "".join("".join(one.itertext()) for one in elements(book, "title")[:1])
    return title, "\n".join(text for text in texts if text), len(pages) - len(texts)


def _pages(archive: zipfile.ZipFile, book: Element, package: str) -> list[str]:
    """Where they are, each once, in the order in which they are read."""
    locked = elements(parsed(archive, _ENCRYPTION), "CipherReference") if _ENCRYPTION in archive.namelist() else []
    encrypted = {unquote(one.get("URI", "")) for one in locked}
    paths = {one.get("id"): _path(one, package) for one in elements(book, "item") if _is_page(one)}
    references = (reference.get("idref") for reference in elements(book, "itemref"))
    read = list(dict.fromkeys(paths[reference] for reference in references if reference in paths))
    if encrypted.intersection(read):
        raise InvalidDocument("is encrypted; save it without the protection against copying")
    return read


def _path(item: Element, package: str) -> str:
    """Where a page is in the archive, of which a part may be meant."""
    path, _, _ = item.get("href", "").partition("#")
    return posixpath.normpath(posixpath.join(posixpath.dirname(package), unquote(path)))


def _is_page(item: Element) -> bool:
    kind, (path, _, _) = item.get("media-type"), item.get("href", "").partition("#")
    return kind in _PAGES or (kind in _XML and path.lower().endswith(_ENDINGS))
