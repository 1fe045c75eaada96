"""Addresses of servers: understood before anything is sent, and shown without what is secret in them."""

import ipaddress
import re
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from search.errors import InvalidSettings

_LABEL = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")
_LONGEST_HOST = 253
_SECRET = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*:/*)?.*@", re.DOTALL)  # up to the last @: a password may hold one
_BEHIND = re.compile(r"[?#].*", re.DOTALL)  # where some keep keys


class Address(NamedTuple):
    """What a URL says."""

    url: str  # without user and password
    host: str
    credentials: tuple[str, str] | None  # user and password


def read_address(url: str) -> Address:
    """Understand the URL of a server, as every library on the way will understand it.

    Raises:
        ValueError: what is wrong with it; the text repeats nothing of it.
    """
    if not url.isascii():
        raise ValueError("it holds a character that is not ASCII; write the host as xn--…, and anything else with %")
    if not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("it holds white space, a backslash or a control character")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        if host and ":" in host:
            ipaddress.IPv6Address(host)
    except ValueError:
        raise ValueError("its host or port cannot be understood") from None  # the cause would repeat a password
    place = (f"[{host}]" if host and ":" in host else host or "") + (f":{port}" if port else "")
    if parts.scheme not in {"http", "https"}:
        message = "it begins with neither http:// nor https://"
    elif not host:
        message = "it names no host"
    elif ":" not in host and not (_HOST.fullmatch(host) and len(host) <= _LONGEST_HOST):
        message = "its host is no name and no address"
    elif port == 0 or parts.netloc.rpartition("@")[2].lower() not in {place, f"{place}:"}:
        message = "its port is none"
    elif "?" in url or "#" in url:
        message = "it goes on behind its path"
    else:
        credentials = None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))
        return Address(f"{parts.scheme}://{place}{parts.path}", host, credentials)
    raise ValueError(message)


def apart(url: str) -> tuple[str, tuple[str, str] | None]:
    """A URL without user and password, and these; httpx logs the URLs that it asks. What cannot be understood stays as it is."""
    try:
        address = read_address(url)
    except ValueError:
        return url, None
    return address.url, address.credentials


def plain_name(host: str) -> str:
    """A name as it is compared: letters of either case are the same, and so is a name with the root's point at its end."""
    name = host.lower().removesuffix(".")
    return name[1:-1] if name.startswith("[") and name.endswith("]") else name


def is_local(host: str) -> bool:
    """Whether a name or an address, of IPv6 with or without brackets, can be reached from this machine only."""
    name = plain_name(host)
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def without_secrets(url: str) -> str:
    """A URL as messages and logs may show it, though it may be none: without user and password, and what is behind its path."""
    return _BEHIND.sub("", _SECRET.sub(r"\1", url))


def checked_key(key: str | None, name: str) -> str | None:
    """A key that is sent in a header; None, also for an empty one. Libraries would quote it in errors, if it cannot stand there.

    Raises:
        InvalidSettings: it holds white space or a character that is not ASCII, or is no string; the message names the setting.
    """
    given: Any = key
    if not isinstance(given, str | None):
        raise InvalidSettings(f"{name} is a {type(given).__name__}; give it as a string")
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        raise InvalidSettings(f"{name} holds white space or a character that is not ASCII; set it without")
    return key or None
