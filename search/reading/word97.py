"""How much stands beside the text of a document of Word 97 to 2003? The office library (kreuzberg 4.10) reads the text alone."""

import struct

_CONTAINER = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_SECTOR = 512  # bytes; streams begin at a multiple
_BEGINNING = b"\xec\xa5"  # of Word's stream
_VERSIONS = {0xC1, 0xD9, 0x101, 0x10C, 0x112}  # of its beginning: of Word 97 to 2007 (MS-DOC 2.5.1)
_NUMBERS = struct.Struct(
    "<8i"
)  # characters of the text, notes, headers, one that says nothing, comments, notes at the end, two of boxes
_BESIDE = (1, 4, 5, 6)
_EMPTY = 5  # characters that boxes without a text have


def beside(content: bytes) -> int:
    """Characters of notes, comments and text boxes; 0 of other formats."""
    if not content.startswith(_CONTAINER):
        return 0
    for start in range(_SECTOR, len(content), _SECTOR):
        if content[start : start + 2] == _BEGINNING and _word(content, start + 2) in _VERSIONS:
            at = start + 32 + 2 + 2 * _word(content, start + 32) + 2 + 3 * 4  # behind words that are counted, and three numbers
            if at + _NUMBERS.size > len(content):
                return 0
            numbers = _NUMBERS.unpack_from(content, at)
            total = sum(numbers[place] for place in _BESIDE)
            return total if total > _EMPTY and min(numbers) >= 0 else 0
    return 0


def _word(content: bytes, at: int) -> int:
    return int.from_bytes(content[at : at + 2], "little")
