"""Under which claim is a collection of a server written to? That of its one writer, or, where there is no room for one, without it.

Who removes without a claim looks at the note before each request, and spares what the next writer wrote.
"""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from qdrant_client import QdrantClient, models

from search.errors import IndexFull
from search.index.contract import Attempt
from search.index.server.conversion import noted
from search.index.server.errors import Translated
from search.index.server.lease import Lease, Metadata
from search.index.server.reserved import Ordering, ReservedPoint


class Claim:
    """That of one index on its collection."""

    def __init__(self, client: QdrantClient, translated: Translated) -> None:
        self.lease: Lease | None = None  # while this is claimed
        self._client = client
        self._translated = translated
        self._ordering = Ordering()
        self._no_room: IndexFull | None = None  # for a claim, though this removes all the same

    @contextlib.contextmanager
    def held(
        self, what: str, target: str, key: str | None, attempt: Attempt, prepare: Callable[[], None], *, removing: bool
    ) -> Iterator[None]:
        """Be the only writer for the time of a context; see search.index.server.lease.

        `key` is that of the shards with the note, where shards have keys. `prepare` makes what takes room before it. Where there is
        none, who is only `removing` goes on all the same.
        """
        point = ReservedPoint(self._client, target, self._ordering, self._translated, key)
        lease = Lease(what, point, Metadata(partial(self._read, target), partial(self._write, target)), attempt)
        self._no_room = None  # whatever an earlier one met with that did not come about
        with contextlib.ExitStack() as claim:
            for step in (prepare, lambda: claim.enter_context(lease)):
                try:
                    step()
                except IndexFull as error:
                    if not removing:
                        raise
                    self._no_room = error
            self.lease = lease
            try:
                yield
            finally:
                self.lease = self._no_room = None

    def number(self, *, removing: bool = False, numbered: bool = True) -> int | None:
        """The number of the claim under which this writes; None if there is none.

        Args:
            removing: whether it is for a delete.
            numbered: whether the server may be asked for the numbers of claims.

        Raises:
            IndexBusy: another process took over.
            IndexFull: there was no room for a claim, and this is no delete.
        """
        if self.lease is None:
            return None
        if self._no_room is None:
            self.lease.check()
            return self.lease.number
        if not removing:
            raise self._no_room
        self.lease.watch()
        return self.lease.number - 1 if numbered else None  # the next writer gets that number, and what he writes is to stay

    def write(self, number: int | None, send: Callable[[models.WriteOrdering | None], None]) -> None:
        """Send a write under the claim of a number, in an order in which its condition counts; without one, in any."""
        if number is None:
            send(None)
        else:
            self._ordering.write(send)

    def _read(self, target: str) -> dict[str, Any]:
        with self._translated():
            return noted(self._client.get_collection(target).config, "writer")

    def _write(self, target: str, note: dict[str, Any]) -> None:
        with self._translated():
            self._client.update_collection(target, metadata={"writer": note})
