"""Who may do what? Keys with scopes, of which only hashes are stored."""

import hashlib
import hmac
import secrets
import ssl
from collections.abc import Mapping
from typing import NamedTuple, get_args

from search.errors import InvalidSettings
from search.network.addresses import is_local
from search.settings import KeySettings, Scope, ServiceSettings
from search.system.files import open_regular

EVERYTHING: frozenset[Scope] = frozenset(get_args(Scope))
_PREFIX = "sk_"  # so that people and scanners of secrets know one when they see it


def new_key() -> tuple[str, str]:
    """A key and its hash. The key has 256 random bits, so that a plain hash of it cannot be guessed."""
    key = _PREFIX + secrets.token_urlsafe(32)
    return key, hashed(key)


def hashed(key: str) -> str:
    """The SHA-256 of a key, in hexadecimal digits."""
    return hashlib.sha256(key.encode()).hexdigest()


class Known(NamedTuple):
    """A key without the key."""

    name: str
    scopes: frozenset[Scope]
    tenant: str | None  # whose documents alone it is for


class Keys:
    """The keys that are known."""

    def __init__(self, keys: Mapping[str, KeySettings]) -> None:
        self._keys = [(bytes.fromhex(key.sha256), Known(name, key.scopes, key.tenant)) for name, key in keys.items()]

    @property
    def any(self) -> bool:
        """Whether a key is required at all."""
        return bool(self._keys)

    def find(self, key: str) -> Known | None:
        """What is known of a key; None if it is unknown. All are compared, each in constant time."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        match = None
        for own, known in self._keys:
            if hmac.compare_digest(digest, own):
                match = known
        return match


def check_listening(service: ServiceSettings) -> None:
    """Refuse to be reached by others without a key.

    Raises:
        InvalidSettings: the address is not this machine's own, and there are no keys; or what TLS needs is missing, or is none.
    """
    if not service.api_keys and not is_local(service.host):
        raise InvalidSettings(
            f"{service.host} is reached by others, and there are no keys: make one with `search key NAME`, "
            "or listen on 127.0.0.1 behind a proxy that asks for one"
        )
    certificate, private_key = service.certificate, service.private_key
    if certificate is None and private_key is None:
        return
    if certificate is None or private_key is None:
        raise InvalidSettings("TLS needs both: SEARCH_SERVICE__CERTIFICATE and SEARCH_SERVICE__PRIVATE_KEY")
    for file in (certificate, private_key):
        try:
            open_regular(file).close()
        except (OSError, ValueError) as error:
            raise InvalidSettings(f"{file} cannot be read for TLS: {error}") from error
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, private_key, password="")  # else it would be asked for
    except ssl.SSLError as error:
        raise InvalidSettings(
            f"{certificate} and {private_key} do not fit for TLS ({error}): name a certificate in PEM, and the private key that it "
            "was made with, without a password"
        ) from error
