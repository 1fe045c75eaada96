"""What does a text file say? Plain text and Markdown, in whatever encoding."""

import codecs
from typing import BinaryIO

from search.documents import Document, Rejection
from search.errors import InvalidDocument
from search.reading.files import LONGEST, SourceFile, read_at_most
from search.reading.structure import title_of

SUFFIXES = (".txt", ".md")
UTF_8 = "utf-8"
_ENCODINGS = (  # which files are in that are not in UTF-8, the most frequent first
    *("cp1252", "cp932", "gb18030", "cp949", "big5", "euc_jp"),
    *("cp1251", "cp1250", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256"),
)
_LOOKED_AT = 200_000  # bytes, to find out an encoding
_BLOCK = 1_000_000


def read(stream: BinaryIO, file: SourceFile, encoding: str | None) -> Document | Rejection:
    """A text file as a document."""
    decoded, used = decode(read_at_most(stream, LONGEST), encoding)
    is_markdown = file.path.suffix.lower() == ".md"
    title = title_of(decoded) if is_markdown else ""
    return Document(
        id=file.name,
        text=decoded,
        title=title or file.path.stem,
        metadata={"path": file.name} | ({} if used == UTF_8 else {"encoding": used}),
        media_type="text/markdown" if is_markdown else "text/plain",
        origin=file.name,
    )


def decode(content: bytes, encoding: str | None = None) -> tuple[str, str]:
    """The text, and the encoding it is in.

    Raises:
        InvalidDocument: the bytes are not text in the encoding, or in any that could be detected.
    """
    used = encoding or detect(content)
    try:
        return content.decode("utf-8-sig" if used == UTF_8 else used), used
    except UnicodeDecodeError as error:
        raise InvalidDocument(f"not {used} at byte {error.start + 1}; name another --encoding, or convert it") from error


def detect(content: bytes) -> str:
    """The encoding of a text: UTF-8 if it can be decoded as that, else the most likely one.

    Raises:
        InvalidDocument: it is no text, or nothing tells its encoding.
    """
    for mark, name in ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if content.startswith(mark):
            return name
    if b"\0" in content[:_LOOKED_AT]:
        raise InvalidDocument("not text: it holds zero bytes; name the --encoding if it is text")
    try:
        content.decode(UTF_8)
    except UnicodeDecodeError as error:
        if guess := _guess(content):
            return guess
        message = f"not UTF-8 at byte {error.start + 1}, and its encoding cannot be told; name the --encoding, or convert it"
        raise InvalidDocument(message) from error
    return UTF_8


def detect_stream(stream: BinaryIO) -> str:
    """The encoding of a file of any size; its beginning decides where it is not UTF-8.

    Raises:
        InvalidDocument: see `detect`.
    """
    beginning = stream.read(_LOOKED_AT)
    decoder = codecs.getincrementaldecoder(UTF_8)()
    try:
        decoder.decode(beginning)
        while block := stream.read(_BLOCK):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return detect(beginning[: beginning.rfind(b"\n") + 1] or beginning)
    return UTF_8 if b"\0" not in beginning else detect(beginning)


def known_encoding(encoding: str | None) -> str | None:
    """An encoding by Python's own name for it.

    Raises:
        InvalidDocument: there is none of that name.
    """
    try:
        if encoding is None:
            return None
        "".encode(encoding)  # which codecs that are no encodings of text refuse, too
        return codecs.lookup(encoding).name
    except LookupError as error:
        raise InvalidDocument(f"there is no encoding {encoding!r}; write it like cp1252, shift_jis or utf-16") from error


def _guess(content: bytes) -> str | None:
    try:
        from charset_normalizer import from_bytes  # takes a moment, and most files are UTF-8
    except ModuleNotFoundError:
        return None
    matches = from_bytes(content[:_LOOKED_AT], cp_isolation=list(_ENCODINGS))
    likely = [name for match in matches if match.chaos <= matches[0].chaos for name in match.could_be_from_charset]
    return next((name for name in _ENCODINGS if name in likely), None)
