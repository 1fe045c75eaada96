"""Does a document of Microsoft Office need a password? Asked of what could not be read: the libraries see a damaged file."""

from search.reading.compound import MARK

ENCRYPTED = "it is encrypted; save it without a password"
_PACKAGE = "EncryptedPackage".encode("utf-16-le")  # the stream with all of a later one (MS-OFFCRYPTO 2.3.4.4)
_SECTOR = 512  # bytes; streams begin at a multiple
_WORD, _ENCRYPTED = b"\xec\xa5", 0x0100  # how Word's stream begins, and a flag at its tenth byte (MS-DOC 2.5.2)
_VERSIONS = {*range(0x65, 0x6A), 0xC1, 0xD9, 0x101, 0x10C, 0x112}  # at its second: of Word 6 to 2007
_SHEETS = (b"\x09\x08\x10\x00", b"\x09\x08\x08\x00")  # how Excel's stream begins: the records BOF of two versions
_FILE_PASS = 0x2F  # the record that says how the rest is encrypted, one of the next (MS-XLS 2.4.117)


def needs_password(content: bytes) -> bool:
    """Whether a file is encrypted, as far as its beginning and those of its streams say."""
    if not content.startswith(MARK):  # as files of 97 to 2003 do, and later ones that are encrypted
        return False
    sectors = (content[start : start + _SECTOR] for start in range(_SECTOR, len(content), _SECTOR))
    return _PACKAGE in content or any(map(_begins_encrypted, sectors))


def _begins_encrypted(sector: bytes) -> bool:
    def number(at: int) -> int:
        return int.from_bytes(sector[at : at + 2], "little")

    if sector.startswith(_WORD) and number(2) in _VERSIONS:
        return bool(number(10) & _ENCRYPTED)
    at = 0 if sector.startswith(_SHEETS) else len(sector)
    while at + 4 <= len(sector):
        kind, size = number(at), number(at + 2)
        if kind == _FILE_PASS:
            return True
        at += 4 + size
    return False
