"""What is in a package of Office's, which is a zip archive of XML? Parts, and what refers to what."""

import io
import lzma
import posixpath
import re
import zipfile
import zlib
from collections.abc import Mapping
from typing import BinaryIO, NamedTuple
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element, ParseError

from search.errors import InvalidDocument
from search.reading import signs
from search.reading.files import LONGEST

_EDITION = re.compile(rb"<(/?)mc:(AlternateContent|Choice|Fallback)(?=[\s/>])([^<>]*?)(/?)>")
_PREFIX = re.compile(rb"\s(xmlns:[\w.-]+)=(\"[^\"]*\"|'[^']*')")
_ROOT = re.compile(rb"<[A-Za-z][\w.-]*:[^<>]*")
_DEEPEST = 50  # editions in each other
_SHOWN = re.compile(
    r"\.(?:png|jpe?g|jfif|gif|bmp|tiff?|webp|avif|emf|wmf|wdp|jxr|svg|mp[34]|m4[av]|mov|avi|wm[av]|mpe?g|wav|ogg|fntdata|odttf|ttf|otf|woff2?)$",
    re.IGNORECASE,
)
_OPEN_XML = "http://schemas.openxmlformats.org"
_USUAL = {  # namespaces, and the prefixes that Office writes for them
    f"{_OPEN_XML}/wordprocessingml/2006/main": "w",
    f"{_OPEN_XML}/presentationml/2006/main": "p",
    f"{_OPEN_XML}/drawingml/2006/main": "a",
    f"{_OPEN_XML}/officeDocument/2006/math": "m",
    f"{_OPEN_XML}/officeDocument/2006/relationships": "r",
    f"{_OPEN_XML}/markup-compatibility/2006": "mc",
    "http://schemas.microsoft.com/office/drawing/2010/main": "a14",
    "urn:schemas-microsoft-com:vml": "v",
}
# Both begin with letters of their own, by which a large part is gone through fast. Of ISO 29500's strict edition:
_STRICT = re.compile(rb"http(?<=[\"']http)://purl\.oclc\.org/ooxml/(\w+)/")
_NAMESPACE = re.compile(rb"xmlns(?::([\w.-]+))?\s*=\s*[\"']([^\"']*)")
_XML, _OF_OTHERS = (".xml", ".rels"), "customXml/"
DAMAGED = (LookupError, ParseError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)  # as reading a part raises


class Target(NamedTuple):
    """What a part refers to within its package."""

    kind: str  # such as "slide"
    path: str


def targets(archive: zipfile.ZipFile, path: str) -> dict[str, Target]:
    """What a part refers to, by the names that it uses. The part "" is the package itself."""
    relations, folder = relations_of(path), posixpath.dirname(path)
    if relations not in archive.namelist():
        return {}
    inside = [one for one in elements(parsed(archive, relations), "Relationship") if one.get("TargetMode") != "External"]
    return {
        one.get("Id", ""): Target(
            posixpath.basename(one.get("Type", "")),
            posixpath.normpath(posixpath.join("/", folder, one.get("Target", ""))).lstrip("/"),
        )
        for one in inside
    }


def relations_of(path: str) -> str:
    """The part that says what a part refers to."""
    folder, name = posixpath.split(path)
    return posixpath.join(folder, "_rels", f"{name}.rels")


def parsed(archive: zipfile.ZipFile, path: str) -> Element:
    """A part as a tree."""
    return ET.fromstring(archive.read(path))  # noqa: S314  # in a child process with limits; expat bounds what entities make


def elements(element: Element, name: str) -> list[Element]:
    """The elements of a name below one, whichever edition of the format its namespace is of."""
    return [one for one in element.iter() if local_name(one) == name]


def local_name(element: Element) -> str:
    """Its name without its namespace."""
    return element.tag.rpartition("}")[2]


def value_of(element: Element, name: str) -> str:
    """An attribute, whatever its namespace; empty if there is none."""
    return next((value for key, value in element.items() if key.rpartition("}")[2] == name), "")


def as_usual(content: bytes) -> bytes:
    """A package whose parts are written as Office writes them: in UTF-8, by its prefixes, and in the edition that is not strict.

    As it was if it is so already, or damaged.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [name for name in archive.namelist() if name.endswith(_XML) and not name.startswith(_OF_OTHERS)]
            changed = {name: usual for name in names if (usual := _as_usual(part := _whole(archive, name))) != part}
            return with_parts(archive, changed) if changed else content
    except DAMAGED:
        return content


def _as_usual(part: bytes) -> bytes:
    part = _STRICT.sub(rb"http://schemas.openxmlformats.org/\1/2006/", signs.in_utf_8(part))
    declared = ((prefix.decode(), _USUAL.get(uri.decode("utf-8", "replace"))) for prefix, uri in _NAMESPACE.findall(part))
    if all(usual in {None, prefix} for prefix, usual in declared):
        return part
    for uri, prefix in _USUAL.items():
        ET.register_namespace(prefix, uri)
    try:
        written: bytes = ET.tostring(ET.fromstring(part), "utf-8")  # noqa: S314  # see `parsed`
    except (ParseError, RecursionError):
        return part
    return written


def in_one_edition(xml: bytes, tells: re.Pattern[bytes]) -> bytes:
    """A part with one edition of what is in it in several: the first with words, else the first; as it was if one does not end."""
    if b"AlternateContent" not in xml:
        return xml
    written: list[list[bytes]] = [[]]  # the part, and what is open in it
    editions: list[list[bytes]] = []  # of each that there is in several
    prefixes: dict[bytes, bytes] = {}  # that are declared on what goes
    at = 0
    for token in _EDITION.finditer(xml):
        closes, name, attributes, is_empty = token.groups()
        written[-1].append(xml[at : token.start()])
        at = token.end()
        prefixes.update(_PREFIX.findall(attributes))
        is_whole = name == b"AlternateContent"
        if (closes and (len(written) == 1 or (is_whole and not editions))) or len(editions) > _DEEPEST:
            return xml
        if is_empty:
            continue
        if not closes:
            written.append([])
            editions += [[]] * is_whole
        elif is_whole:
            written.pop()
            found = editions.pop()
            written[-1].append(next((one for one in found if tells.search(one)), b"".join(found[:1])))
        elif editions:
            editions[-1].append(b"".join(written.pop()))
    if len(written) > 1:
        return xml
    return _ROOT.sub(lambda root: _declared(root[0], prefixes), b"".join([*written[0], xml[at:]]), count=1)


def _declared(root: bytes, prefixes: Mapping[bytes, bytes]) -> bytes:
    there = dict(_PREFIX.findall(root))
    return root + b"".join(b" %b=%b" % (prefix, name) for prefix, name in prefixes.items() if prefix not in there)


def with_parts(archive: zipfile.ZipFile, changed: Mapping[str, bytes]) -> bytes:
    """The package with some of its parts, or further ones, in other words; what is damaged of the rest is empty."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as copy:
        for name in dict.fromkeys([*archive.namelist(), *changed]):
            copy.writestr(name, changed[name] if name in changed else _whole(archive, name))
    return made.getvalue()


def without_pictures(stream: BinaryIO) -> bytes:
    """A package whose pictures, sounds, films and fonts, which nobody reads, are empty.

    Raises:
        InvalidDocument: it is too large all the same, or none.
    """
    made = io.BytesIO()
    try:
        with zipfile.ZipFile(stream) as archive, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as copy:
            read = {one.filename: one.file_size for one in archive.infolist() if not _SHOWN.search(one.filename)}
            if sum(read.values()) > 2 * LONGEST:
                raise InvalidDocument(f"larger than {2 * LONGEST:,} bytes without its pictures; split it")
            for name in dict.fromkeys(archive.namelist()):
                copy.writestr(name, archive.read(name) if name in read else b"")
    except DAMAGED as error:
        raise InvalidDocument(f"larger than {LONGEST:,} bytes, and damaged: {error}") from error
    return made.getvalue()


def _whole(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except (*DAMAGED, OSError, lzma.LZMAError):  # such as a picture, which nobody reads
        return b""
