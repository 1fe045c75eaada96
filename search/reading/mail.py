"""What does a mail say? Who wrote what to whom, as Markdown, and which files came with it."""

from collections.abc import Mapping
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from search.reading.webpages import to_markdown

_HEADERS = ("From", "To", "Cc", "Date")


def read(content: bytes) -> tuple[str, str, Mapping[str, Any]]:
    """Subject, text, and metadata: sender, time and attachments."""
    message = message_from_bytes(content, policy=policy.default)
    headers = {name: _clean(message.get(name)) for name in _HEADERS}
    names = [name for part in message.iter_attachments() if (name := part.get_filename())]
    lines = [f"{name}: {value}  " for name, value in headers.items() if value]
    metadata = {"from": headers["From"], "date": headers["Date"], "attachments": names}
    text = "\n\n".join(part for part in ("\n".join(lines), _body(message).strip()) if part)
    return _clean(message.get("Subject")), text + "\n", {name: value for name, value in metadata.items() if value}


def _body(message: EmailMessage) -> str:
    """The plain text, or the page where there is none."""
    part = message.get_body(("plain", "html"))
    if part is None:
        return ""
    try:
        words = part.get_content()
    except LookupError:  # an encoding that nobody knows
        words = bytes(part.get_payload(decode=True) or b"").decode("utf-8", "replace")
    return to_markdown(words)[1] if part.get_content_type() == "text/html" else words.replace("\r\n", "\n")


def _clean(value: Any) -> str:
    return " ".join(str(value or "").split())
