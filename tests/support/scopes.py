"""What an API key may do at a Qdrant server, by route: keys and JWTs, as in its source (lib/storage/src/rbac, src/common/auth)."""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

_LEEWAY_S = 30  # of a token that has expired

READ, WRITE, EXTRAS, MANAGE = "read", "write", "extras", "manage"  # extras: payload indexes, snapshots, what the cluster tells


def token(secret: str, access: Any, **claims: Any) -> str:
    """A JWT as whoever holds the server's own key makes one.

    Args:
        secret: the server's key.
        access: "r" or "m" for all collections, or [{"collection": …, "access": "r", "rw" or "prw"}].
        claims: others, such as exp.
    """
    parts = [_encoded(json.dumps(one).encode()) for one in ({"alg": "HS256", "typ": "JWT"}, {"access": access, **claims})]
    return ".".join([*parts, _signature(".".join(parts), secret)])


class Denied(Exception):
    """A key that the server does not know, or no longer: with the status and the plain text that it answers."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Access(NamedTuple):
    """What a key may do."""

    everywhere: str = "m"  # "r", "m", or "" if it is for some collections
    by_name: Mapping[str, str] = {}

    def refusal(self, method: str, path: str) -> str:
        """Why a request is forbidden, in the server's words; empty if it is not."""
        name, needs = _needed(method, path)
        if self.everywhere:
            return "Global manage access is required" if self.everywhere == "r" and needs & {WRITE, MANAGE} else ""
        if name is None:
            return "Global access is required" if needs else ""
        return self._of_collection(name, needs)

    def shown(self, path: str, result: Any) -> Any:
        """An answer without what the key may not see: lists of collections and of aliases are cut, not refused."""
        match path:
            case "/collections" if not self.everywhere:
                return {"collections": [one for one in result["collections"] if one["name"] in self.by_name]}
            case "/aliases" if not self.everywhere:
                known = [one for one in result["aliases"] if {one["alias_name"], one["collection_name"]} <= self.by_name.keys()]
                return {"aliases": known}
            case _:
                return result

    def _of_collection(self, name: str, needs: frozenset[str]) -> str:
        access = self.by_name.get(name)  # as it stands in the path: aliases are not resolved
        if access is None:
            return f"Access to collection {name} is required"
        if EXTRAS in needs and access == "prw":
            return f"Only points access is allowed for collection {name}"
        if WRITE in needs and access == "r":
            return f"Write access to collection {name} is required"
        return ""


def access_of(secret: str | None, headers: Mapping[str, str], path: str) -> Access:
    """What the sender of a request may do.

    Args:
        secret: the server's key; None if it wants none.
        headers: of the request.
        path: likewise.

    Raises:
        Denied: there is no key, or a wrong one.
    """
    if secret is None or path == "/":
        return Access()
    key = headers.get("api-key") or headers.get("authorization", "").removeprefix("Bearer ")
    if not key:
        raise Denied(401, "Must provide an API key or an Authorization bearer token")
    if key == secret:
        return Access()
    match key.split("."):
        case [head, body, signature]:
            return _of_claims(f"{head}.{body}", signature, secret)
        case _:
            raise Denied(401, "Invalid API key or JWT")


def _of_claims(signed: str, signature: str, secret: str) -> Access:
    try:
        claims = json.loads(_decoded(signed.partition(".")[2]))
    except (ValueError, binascii.Error) as error:
        raise Denied(401, "Invalid API key or JWT") from error
    if not hmac.compare_digest(signature, _signature(signed, secret)):
        raise Denied(403, "InvalidSignature")
    if claims.get("exp", time.time()) < time.time() - _LEEWAY_S:
        raise Denied(403, "ExpiredSignature")
    access = claims.get("access", "m")
    return Access(access) if isinstance(access, str) else Access("", {one["collection"]: one["access"] for one in access})


def _needed(method: str, path: str) -> tuple[str | None, frozenset[str]]:
    """The collection that a request is about, as it names it, and what that takes."""
    match [method, *map(unquote, path.strip("/").split("/"))]:
        case ["GET", "collections"] | ["GET", "aliases"] | ["GET", "issues"]:
            return None, frozenset()
        case ["POST", "collections", "aliases"] | ["PUT" | "PATCH" | "DELETE", "collections", _]:
            return None, frozenset({WRITE, MANAGE})
        case ["GET", "collections", name, "cluster" | "snapshots", *_]:
            return name, frozenset({EXTRAS})
        case [_, "collections", _, "shards", _, "snapshots", "upload" | "recover"]:
            return None, frozenset({WRITE, MANAGE})
        case ["GET", "collections", name, "shards", _, "snapshots", *_]:
            return name, frozenset({EXTRAS})
        case [_, "collections", name, "shards", _, "snapshots", *_]:
            return name, frozenset({WRITE, EXTRAS})
        case ["GET", "collections", name, *_]:
            return name, frozenset({READ})
        case ["POST", "collections", name, "facet"]:
            return name, frozenset({READ})
        case ["POST", "collections", name, "points", *rest] if not rest or rest[0] in {"query", "scroll", "count", "search"}:
            return name, frozenset({READ})
        case [_, "collections", name, "points", *_]:
            return name, frozenset({WRITE})
        case [_, "collections", name, "index" | "snapshots" | "vectors", *_]:
            return name, frozenset({WRITE, EXTRAS})
        case ["GET", *_]:
            return None, frozenset({READ})
        case _:
            return None, frozenset({WRITE, MANAGE})


def _encoded(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _signature(signed: str, secret: str) -> str:
    return _encoded(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())
