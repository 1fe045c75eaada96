"""What does a mail say? Who wrote what to whom, as Markdown, and which files came with it."""

import re
from collections.abc import Iterator, Mapping
from email import message_from_bytes, policy
from email.message import MIMEPart
from typing import Any, BinaryIO

from search.documents import Document, Rejection
from search.errors import InvalidDocument
from search.reading import webpages
from search.reading.files import LONGEST, Item, SourceFile
from search.reading.records import key_of
from search.reading.text import decode

_HEADERS = ("From", "To", "Cc", "Date")
_DEEPEST = 5  # mails in each other
_QUOTED = re.compile(rb"^>(>*From )")  # a line of a text in an mbox file that would begin a mail


def read(content: bytes) -> tuple[str, str, Mapping[str, Any]]:
    """Subject, text, and metadata: sender, time and attachments.

    Raises:
        InvalidDocument: its text is in no encoding that can be told.
    """
    message = message_from_bytes(content, policy=policy.default)
    metadata: dict[str, Any] = {"from": _header(message, "From"), "date": _header(message, "Date")}
    metadata["attachments"] = [name for part in message.walk() if (name := part.get_filename())]
    text = "\n\n".join(_pieces(message, 0))
    return _header(message, "Subject"), text + "\n", {name: value for name, value in metadata.items() if value}


def messages(stream: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """The mails of an mbox file, with the lines that they begin at; None for one that is too long."""
    begun, lines, size, is_blank = 0, list[bytes](), 0, True
    for number, line in enumerate(stream, 1):
        if is_blank and line.startswith(b"From "):
            if begun:
                yield begun, b"".join(lines) if size <= LONGEST else None
            begun, lines, size = number, [], 0
        elif begun and (size := size + len(line)) <= LONGEST:
            lines.append(_QUOTED.sub(rb"\1", line))
        is_blank = not line.strip()
    if begun:
        yield begun, b"".join(lines) if size <= LONGEST else None


def documents(stream: BinaryIO, file: SourceFile) -> Iterator[Item]:
    """Each mail of an mbox file."""
    for number, (line, content) in enumerate(messages(stream), 1):
        key, place = key_of(file.name, number), f"{file.name}:{line}"
        if content is None:
            yield Rejection(file.name, line, key, f"larger than {LONGEST:,} bytes; split it")
            continue
        try:
            title, words, about = read(content)
            yield Document(key, words, title, {"path": file.name, **about}, "message/rfc822", origin=place, folder=file.folder)
        except InvalidDocument as error:
            yield Rejection(file.name, line, key, str(error))
        except Exception as error:  # as the library raises of what is no mail; the next one may be
            yield Rejection(file.name, line, key, f"cannot be read: {str(error) or type(error).__name__}")


def head_of(values: Mapping[str, str]) -> Iterator[str]:
    """Who wrote to whom, by name, a line each; nothing if nobody says."""
    if lines := [f"{name}: {value}  " for name, value in values.items() if value]:
        yield "\n".join(lines)


def _pieces(message: MIMEPart, depth: int) -> Iterator[str]:
    """Headers, then every part that is a text and no attachment, and of those that say the same the plain one."""
    yield from head_of({name: _header(message, name) for name in _HEADERS})
    yield from _texts(message, depth)


def _texts(part: MIMEPart, depth: int) -> Iterator[str]:
    kind = part.get_content_type()
    if part.get_content_disposition() == "attachment":
        return
    if kind == "message/rfc822" and depth < _DEEPEST:
        for inner in part.iter_parts():
            yield from _pieces(inner, depth + 1)
    elif kind == "multipart/alternative":
        inside = [inner for inner in part.iter_parts() if inner.get_content_disposition() != "attachment"]
        plain = [inner for inner in inside if inner.get_content_type() == "text/plain"]
        for inner in plain or inside[-1:]:
            yield from _texts(inner, depth)
    elif part.is_multipart() and depth < _DEEPEST:
        for inner in part.iter_parts():
            yield from _texts(inner, depth + 1)
    elif kind.startswith(("text/", "multipart/")) and (words := _words(part).strip()):  # one without borders is a text
        yield words


def _words(part: MIMEPart) -> str:
    """The text of a part, by the encoding that it names, if it is in that."""
    payload = part.get_payload(decode=True)
    content = payload if isinstance(payload, bytes) else str(part.get_payload()).encode("utf-8", "surrogateescape")
    try:
        words = content.decode(part.get_content_charset() or "utf-8")
    except (LookupError, UnicodeError):
        words = decode(content).text
    return webpages.to_markdown(words)[1] if part.get_content_type() == "text/html" else words.replace("\r\n", "\n")


def _header(message: MIMEPart, name: str) -> str:
    """A header in letters; as it stands, if it is none that mails may have."""
    try:
        value = message.get(name)
    except (LookupError, ValueError, AttributeError, TypeError):
        value = next((raw for key, raw in message.raw_items() if key.lower() == name.lower()), "")
    words = " ".join(str(value or "").split())
    return words.encode("utf-8", "replace").decode()
