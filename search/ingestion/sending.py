"""Which documents go to a service in one request, and what became of all of them? In one report, as of a run here."""

import hashlib
import re
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator
from typing import Any

from search.documents import Document, Rejection, check_document, checked_documents
from search.errors import InvalidDocument, SearchError, ServiceRefused
from search.ingestion.report import LISTED, IngestReport, OnProgress, OnRejection, Progress, Remarks

_DOCUMENTS = 64  # in a request …
_CHARACTERS = 200_000  # … and of their texts: some seconds of work, in parts of which a service answers searches, too
_ITEMS = (Document, Rejection)
_PLACE = re.compile(r"documents\[(\d+)\]")  # of a document in a request
TOO_LARGE = 413
_COUNTED = ("added", "changed", "unchanged", "chunks", "reused", "tokens", "unknown", "repeated")  # by the service


class Sending:
    """One run: documents in, report out, as search.ingestion.run.Ingestion has it; whoever has the connection sends the parts."""

    def __init__(self, on_progress: OnProgress | None = None, on_rejection: OnRejection | None = None) -> None:
        """Nothing is drawn yet."""
        self._on_progress = on_progress
        self._on_rejection = on_rejection
        self._counts: dict[str, Any] = dict.fromkeys((*_COUNTED, "rejected"), 0)
        self._rejections: list[Rejection] = []
        self._taken: dict[bytes, str] = {}  # ids, and the folder that each is from
        self._remarks = Remarks()  # of the readers here: a service knows no files
        self._group: list[Document] = []  # to which further documents are added
        self._group_characters = 0
        self._open: list[list[Document]] = []  # to be sent, the next one last
        self._characters = 0  # of what was sent
        self._started = time.monotonic()

    def parts(self, items: Iterable[Document | Rejection]) -> Iterator[list[Document]]:
        """What to send, request by request. Before the next one, either `take` or `refuse` says what became of it.

        Raises:
            InvalidDocument: the argument is no list, or an item of it neither a Document nor a Rejection.
        """
        for item in checked_documents(items, _ITEMS):
            yield from self._with(item)
        yield from self._rest()

    async def parts_of_either(
        self, items: Iterable[Document | Rejection] | AsyncIterable[Document | Rejection]
    ) -> AsyncGenerator[list[Document], None]:
        """The same of what may be drawn with await."""
        if isinstance(items, AsyncIterable):
            number = 0
            async for item in items:
                check_document(item, number, _ITEMS)
                for part in self._with(item):
                    yield part
                number += 1
            for part in self._rest():
                yield part
        else:
            for part in self.parts(items):
                yield part

    def take(self, part: list[Document], report: IngestReport) -> None:
        """Add what the service says of a part.

        Raises:
            SearchError: it is no report, as of an `attempt` that forgets to return one.
        """
        if not isinstance(report, IngestReport):
            raise SearchError(
                f"attempt returned a {type(report).__name__}, no report; let it return what it is given gives: "
                "`return request()`, or `return await request()` with AsyncClient"
            )
        for name in _COUNTED:
            self._counts[name] += getattr(report, name)
        for rejection in report.rejections:
            place = _PLACE.fullmatch(rejection.source)
            mine = part[int(place[1])] if place and int(place[1]) < len(part) else None
            self._reject(self._untaken(mine, rejection.reason) if mine else rejection)
        self._tell(part)

    def refuse(self, part: list[Document], error: SearchError) -> None:
        """Send a part that is more than the service takes at once in two halves, or reject its only document.

        Raises:
            SearchError: the same, if it says something else.
        """
        if not isinstance(error, InvalidDocument) and not (isinstance(error, ServiceRefused) and error.status == TOO_LARGE):
            raise error
        if len(part) > 1:
            half = len(part) // 2
            self._open += [part[half:], part[:half]]
            return
        self._reject(self._untaken(part[0], str(error)))
        self._tell(part)

    def report(self, *, dry_run: bool) -> IngestReport:
        """What became of every document."""
        never: dict[str, Any] = {"removed": 0, "kept": 0, "kept_because": ""}  # without a sync
        said: dict[str, Any] = {"remarked": dict(self._remarks.counts), "remarks": tuple(self._remarks.first)}
        seconds, rejections = time.monotonic() - self._started, tuple(self._rejections)
        return IngestReport(**self._counts, **never, **said, seconds=seconds, dry_run=dry_run, rejections=rejections)

    def _with(self, item: Document | Rejection) -> Iterator[list[Document]]:
        """What to send, once this is there, too."""
        if isinstance(item, Rejection):
            self._reject(item)
        elif self._is_new(item):
            self._group.append(item)
            self._group_characters += len(item.text)
            if len(self._group) == _DOCUMENTS or self._group_characters >= _CHARACTERS:
                yield from self._rest()

    def _rest(self) -> Iterator[list[Document]]:
        if self._group:
            self._open.append(self._group)
        self._group, self._group_characters = [], 0
        while self._open:
            yield self._open.pop()

    def _is_new(self, document: Document) -> bool:
        """Whether a document's id is the first of its kind: a service would take the second one's text for a change."""
        digest = _digest(document.id)
        if (folder := self._taken.get(digest)) is not None:
            self._characters += len(document.text)
            self._reject(Rejection.repeated(document, folder))
            return False
        self._taken[digest] = sys.intern(document.folder)
        self._remarks.note(document)
        return True

    def _untaken(self, document: Document, reason: str) -> Rejection:
        """Why a document was not taken, so that a later one may have its id."""
        self._taken.pop(_digest(document.id), None)
        return Rejection.of(document, reason)

    def _reject(self, rejection: Rejection) -> None:
        self._counts["rejected"] += 1
        if len(self._rejections) < LISTED:
            self._rejections.append(rejection)
        if self._on_rejection:
            self._on_rejection(rejection)

    def _tell(self, part: list[Document]) -> None:
        self._characters += sum(len(document.text) for document in part)
        if self._on_progress:
            documents = sum(self._counts[name] for name in ("added", "changed", "unchanged", "rejected"))
            seconds = time.monotonic() - self._started
            chunks, tokens, rejected = (self._counts[name] for name in ("chunks", "tokens", "rejected"))
            self._on_progress(Progress(documents, chunks, tokens, rejected, seconds, self._characters))


def _digest(document_id: str) -> bytes:
    return hashlib.blake2b(document_id.encode(), digest_size=8).digest()
