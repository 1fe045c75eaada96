"""Which collection does a name lead to? The one that it is an alias of, or the one that is called so."""

import contextlib

from qdrant_client import QdrantClient

from search.errors import IndexDenied
from search.index.server.errors import Translated


class Name:
    """One name, as far as a key tells: lists hold only what it is for, and a gate may refuse them."""

    def __init__(self, client: QdrantClient, name: str, translated: Translated) -> None:
        self.veiled = False  # whether it is an alias, and nobody tells this key where it leads
        self._client = client
        self._name = name
        self._translated = translated
        self._seen = False  # whether it was seen to be a collection's own

    def target(self) -> str | None:
        """The collection's own name; the name itself where it is veiled; None if it leads nowhere.

        Raises:
            IndexDenied: the key may not even ask whether it is there.
        """
        aliases: dict[str, str] = {}
        with contextlib.suppress(IndexDenied), self._translated():
            aliases = {alias.alias_name: alias.collection_name for alias in self._client.get_aliases().aliases}
        if self._name in aliases:
            self._seen = self.veiled = False
            return aliases[self._name]
        with self._translated():
            there = self._client.collection_exists(self._name)
        self._seen = there and (self._seen or self._name in self.collections())
        self.veiled = there and not self._seen
        return self._name if there else None

    def collections(self) -> list[str]:
        """All collections that there are; none for a key that may not list them."""
        with contextlib.suppress(IndexDenied), self._translated():
            return sorted(one.name for one in self._client.get_collections().collections)
        return []
