"""What is in a package of Office's, which is a zip archive of XML? Parts, and what refers to what."""

import io
import posixpath
import zipfile
import zlib
from collections.abc import Mapping
from typing import NamedTuple
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element, ParseError

DAMAGED = (KeyError, ParseError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)  # as reading a part raises


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


def with_parts(archive: zipfile.ZipFile, changed: Mapping[str, bytes]) -> bytes:
    """The package with some of its parts, or further ones, in other words; what is damaged of the rest is empty."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as copy:
        for name in dict.fromkeys([*archive.namelist(), *changed]):
            copy.writestr(name, changed[name] if name in changed else _whole(archive, name))
    return made.getvalue()


def _whole(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except DAMAGED:  # such as a picture, which nobody reads
        return b""
