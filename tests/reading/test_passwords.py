"""Documents of Microsoft Office that need a password are told from damaged ones."""

from pathlib import Path

import pytest

from search.documents import Rejection
from search.reading import Reading

CONTAINER = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".ljust(512, b"\0")  # and its streams, each from a sector on
WORD = b"\xec\xa5\xc1\0" + bytes(6)
BOOK, USER, PASSWORD = (
    kind + size.to_bytes(2, "little") + bytes(size) for kind, size in ((b"\x09\x08", 16), (b"\xe1\0", 2), (b"/\0", 6))
)
PLAIN = {
    "no stream that it needs": ("a.docx", "EncryptionInfo".encode("utf-16-le")),
    "a text of Word": ("a.doc", WORD + b"\0\x02"),
    "bytes that begin as one": ("a.doc", b"\xec\xa5\0\0" + bytes(6) + b"\0\x03"),
    "a workbook": ("a.xls", BOOK + USER),
    "no container": ("b.xls", b""),
}
ENCRYPTED = {
    "a text of today": ("a.docx", "EncryptedPackage".encode("utf-16-le")),
    "slides of today": ("a.pptx", "EncryptedPackage".encode("utf-16-le")),
    "a workbook of today": ("a.xlsx", "EncryptedPackage".encode("utf-16-le")),
    "a text of Word": ("a.doc", WORD + b"\0\x03"),
    "a workbook": ("a.xls", BOOK + PASSWORD),
    "a workbook of a user": ("b.xls", BOOK + USER + PASSWORD),
}


def reason(file: Path) -> str:
    (item,) = Reading([str(file)])
    assert isinstance(item, Rejection)
    return item.reason


@pytest.mark.parametrize("name", ENCRYPTED)
def test_what_needs_a_password_says_so(name: str, tmp_path: Path) -> None:
    called, stream = ENCRYPTED[name]
    (tmp_path / called).write_bytes(CONTAINER + bytes(512) + stream.ljust(512, b"\0"))
    kind = called.rpartition(".")[2].upper()
    assert reason(tmp_path / called) == f"cannot be read as {kind}: it is encrypted; save it without a password"


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_damaged_needs_none(name: str, tmp_path: Path) -> None:
    called, stream = PLAIN[name]
    (tmp_path / called).write_bytes((CONTAINER if stream else b"") + stream.ljust(512, b"\1"))
    said = reason(tmp_path / called)
    assert said.startswith(f"cannot be read as {called.rpartition('.')[2].upper()}: ")
    assert "encrypted" not in said
