"""Why does a Qdrant server refuse an API key, and what helps? Nobody has one, a wrong one, or one that may do less than this takes.

What it says is in its source: lib/storage/src/rbac/mod.rs and src/common/auth of version 1.19.
"""

import re

from search.errors import IndexDenied, IndexFailure, IndexFaulted

UNKNOWN, FORBIDDEN = 401, 403
_OF_QDRANT = ("Must provide an API key", "Invalid API key or JWT", "InvalidSignature", "ExpiredSignature")  # as plain text
_OF_A_PROXY = "http2 header with status"  # over gRPC
_CLAIMS = 'docs/collections.md, "Which key for what", has the claims of each'
_REMEDIES = {
    r"Write access to collection (.+) is required": (
        'it may read {0!r} and not write to it; set SEARCH_INDEX__API_KEY to one with the access "rw"'
    ),
    r"Access to collection (.+) is required": (
        "a key is for the names that stand in it, and an alias is another name than its collection's; name one that it is for "
        "(--collection), or have one made for {0!r}"
    ),
    r"Only points access is allowed for collection (.+)": (
        'it may read and write points of {0!r} ("prw"), and not index fields or make snapshots, which takes one with "rw"'
    ),
    r"Global manage access is required": "it may only read; set SEARCH_INDEX__API_KEY to one that may write",
    r"(?:Global|Manage) access .*is required": (
        'to make, lead and remove collections takes one for all of them ("m"); run this one command with such a key, after which '
        "one for the collection will do"
    ),
}


def denied(status: int, reason: str, server: str) -> IndexFailure:
    """The error of ours for an answer of 401 or 403.

    Args:
        status: which of them; over gRPC, UNAUTHENTICATED and PERMISSION_DENIED.
        reason: what the server says; empty if that is not known to be Qdrant's.
        server: for people.
    """
    said = reason.removeprefix("Forbidden: ")
    if "Must provide an API key" in said:
        return IndexDenied(f"{server} wants an API key, and none was sent; set SEARCH_INDEX__API_KEY")
    if "ExpiredSignature" in said:
        return IndexDenied(f"the API key for {server} has expired; have a new one made and set SEARCH_INDEX__API_KEY")
    if not said or _OF_A_PROXY in said:
        return IndexDenied(
            f"what stands before {server}, such as a proxy, refused it ({status}): give it its user and password "
            "(http://user:password@… in SEARCH_INDEX__URL), or have it let this request through; before a managed cluster, "
            "SEARCH_INDEX__API_KEY may be wrong"
        )
    if status == UNKNOWN or "InvalidSignature" in said:
        return IndexDenied(f"{server} did not accept the API key; set SEARCH_INDEX__API_KEY to one that it knows")
    if said.startswith("Storage locked"):  # 403, too, though it is no key's fault
        return IndexFaulted(f"{server} is locked for this ({said}); unlock it there (/locks), and run the same again")
    return IndexDenied(f"the API key may not do this at {server} ({said}): {_remedy(said)}")


def known(text: str) -> str:
    """What Qdrant says, without JSON, to a key that it does not know; empty if it is not Qdrant's."""
    return text if text.startswith(_OF_QDRANT) else ""


def _remedy(said: str) -> str:
    for words, remedy in _REMEDIES.items():
        if found := re.search(words, said):
            return f"{remedy.format(*found.groups())} ({_CLAIMS})"
    return f"set SEARCH_INDEX__API_KEY to one that may ({_CLAIMS})"
