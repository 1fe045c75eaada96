"""What does a mail say? Who wrote what to whom, as Markdown, and which files came with it."""

import codecs
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from email import message_from_bytes
from email.message import MIMEPart
from email.policy import EmailPolicy
from typing import Any, BinaryIO

from search.documents import Document, Rejection
from search.errors import InvalidDocument
from search.reading import webpages
from search.reading.files import LONGEST, Item, SourceFile
from search.reading.records import key_of
from search.reading.replies import Said
from search.reading.text import decode

_HEADERS = ("From", "To", "Cc", "Date")
_DEEPEST = 5  # mails in each other
_QUOTED = re.compile(rb"^>(>*From )")  # a line of a text in an mbox file that would begin a mail
_SIZE = re.compile(rb"\s*+(\d{1,9})[ \t]*+\r?\n")  # of a mail, before it, as Apple's program keeps one; its notes are behind it
_SAVED = re.compile(r"\W*Saved by [^@]*\Z")  # who "wrote" a page that a browser saved, and has no address
_WRITTEN = ("text/", "multipart/")  # of which one without borders is a text
_STYLES = frozenset(("text/css", "text/javascript"))  # of a page
_CHARSET = re.compile(rb"charset\s*+=\s*+[\"']?([\w.:-]++)", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://\S+")
_TIMES = 3  # as long as the plain text, a page says what that only points to …
_STUB = re.compile(r"(?=.*\bhtml\b).{1,200}", re.IGNORECASE | re.DOTALL)  # … as does whatever is there for one that says this alone


def read(content: bytes, said: Said | None = None) -> tuple[str, str, Mapping[str, Any]]:
    """Subject, text, and metadata: sender, time and attachments; of a box without what ends a mail and was said before.

    Raises:
        InvalidDocument: its text is in no encoding that can be told.
    """
    if size := _SIZE.match(content):
        content = content[size.end() :][: int(size[1])]
    message = message_from_bytes(content, policy=_Policy(encodings=_declared(content)))  # type: ignore[call-overload]
    metadata: dict[str, Any] = {name.lower(): value for name, value in _heads(message) if name in {"From", "Date"}}
    metadata["attachments"] = [name for part in message.walk() if (name := part.get_filename())]
    body = "\n\n".join(_texts(message, 0))
    if said:
        body, metadata["repeated_lines_left_out"] = said.new_of(body)
    text = "\n\n".join([*head_of(dict(_heads(message))), *([body] if body else [])])
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
    said = Said()
    for number, (line, content) in enumerate(messages(stream), 1):
        key, place = key_of(file.name, number), f"{file.name}:{line}"
        if content is None:
            yield Rejection(file.name, line, key, f"larger than {LONGEST:,} bytes; split it")
            continue
        try:
            title, words, about = read(content, said)
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
    yield from head_of(dict(_heads(message)))
    yield from _texts(message, depth)


def _heads(message: MIMEPart) -> Iterator[tuple[str, str]]:
    """Who wrote when to whom; nothing of a page that a browser saved."""
    if not _SAVED.match(_header(message, "From")):
        yield from ((name, _header(message, name)) for name in _HEADERS)


def _texts(part: MIMEPart, depth: int) -> Iterator[str]:
    kind = part.get_content_type()
    if part.get_content_disposition() == "attachment":
        return
    if kind == "message/rfc822" and depth < _DEEPEST:
        for inner in part.iter_parts():
            yield from _pieces(inner, depth + 1)
    elif kind == "multipart/alternative":
        yield from _alternative([one for one in part.iter_parts() if one.get_content_disposition() != "attachment"], depth)
    elif kind == "multipart/related" and depth < _DEEPEST:  # a page, and what it shows
        yield from next((texts for one in part.iter_parts() if (texts := list(_texts(one, depth + 1)))), ())
    elif part.is_multipart() and depth < _DEEPEST:
        for inner in part.iter_parts():
            yield from _texts(inner, depth + 1)
    elif kind.startswith(_WRITTEN) and kind not in _STYLES and (words := _words(part).strip()):
        yield words


def _alternative(parts: Sequence[MIMEPart], depth: int) -> list[str]:
    """Of parts that say the same, the plain ones, unless they say little of what the others do."""
    others = [one for one in parts if one.get_content_type() != "text/plain"]
    pages = [one for one in others if one.is_multipart() or one.get_content_type() == "text/html"]
    plain = [words for one in parts if one not in others for words in _texts(one, depth)]
    shown = [words for one in (pages if plain else pages or others)[-1:] for words in _texts(one, depth)]
    is_stub = bool(shown) and _STUB.fullmatch("".join(plain)) is not None
    return shown if is_stub or _length(shown) > _TIMES * _length(plain) else plain


def _length(texts: Sequence[str]) -> int:
    """How many characters are read, and no addresses, which a plain text spells out."""
    return sum(len("".join(_ADDRESS.sub("", one).split())) for one in texts)


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


class _Policy(EmailPolicy):
    """Headers of bytes that are no ASCII, as many programs write them, are read by what they are."""

    encodings: Sequence[str] = ()  # that the mail names

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        """Name and value of a header. See the library."""
        written = "".join(sourcelines)
        try:
            written.encode()
        except UnicodeEncodeError:
            written = self._decoded(written.encode("utf-8", "surrogateescape"))
        return super().header_source_parse([written])

    def _decoded(self, header: bytes) -> str:
        for encoding in ("utf-8", *self.encodings):
            try:
                return header.decode(encoding)
            except UnicodeError:
                continue
        try:
            return decode(header).text
        except InvalidDocument:
            return header.decode("cp1252", "replace")


def _declared(content: bytes) -> list[str]:
    """The encodings that a mail names, of those that a header may be in."""
    found = []
    for label in dict.fromkeys(_CHARSET.findall(content)):
        with suppress(LookupError, UnicodeError):
            name = codecs.lookup(label.decode()).name
            if b"From".decode(name) == "From":
                found.append(name)
    return found
