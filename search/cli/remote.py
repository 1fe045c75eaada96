"""What of a collection can be changed through a service? Its documents, in requests of a few, each of which may be sent again."""

import hashlib
import random
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from search.client import Client
from search.documents import Document, Json, Rejection
from search.errors import InvalidDocument, InvalidQuery, ServiceError, ServiceOverloaded, ServiceRefused, ServiceUnreachable
from search.ingestion.report import LISTED, IngestReport, OnChange, OnProgress, OnRejection, Progress, Remarks

Answer = TypeVar("Answer")
OnWait = Callable[[ServiceError, float], None]
TIMEOUT_S = 600.0  # for a request, which a slow model takes its time for
_DOCUMENTS = 64  # in a request …
_CHARACTERS = 200_000  # … and of their texts: some seconds of work, in parts of which a service answers searches, too
_PLACE = re.compile(r"documents\[(\d+)\]")  # of a document in a request
_TOO_LARGE = 413
_FIRST_PAUSE_S = 0.5
NO_SYNC = (
    "--sync compares with all that the collection holds, which a service does not list; end the service and run this "
    "without --url, or name what is gone to `search delete --url`"
)
_LONGEST_PAUSE_S = 30.0
_MAY_PASS = 503  # of a service that ends, or has too many connections
_OF_PROXIES = (502, 504)  # where there is no service behind one
_COUNTED = ("added", "changed", "unchanged", "chunks", "reused", "tokens", "unknown", "repeated")  # by the service


class Remote:
    """The documents of a collection that a service owns, with the methods of a Searcher that change them."""

    def __init__(self, client: Client, patience_s: float) -> None:
        self._client = client
        self._patience_s = patience_s

    def ingest(
        self,
        documents: Iterable[Document | Rejection],
        *,
        sync: bool = False,
        max_delete: float = 0.2,  # noqa: ARG002  # of what a sync removes
        dry_run: bool = False,
        on_progress: OnProgress | None = None,
        on_rejection: OnRejection | None = None,
        on_change: OnChange | None = None,  # noqa: ARG002  # which a service does not say
        on_wait: OnWait | None = None,
    ) -> IngestReport:
        """See Searcher.ingest.

        Raises:
            InvalidQuery: a sync is asked for.
            ServiceError: the service gave up; what was written stays, and the same call again goes on from there.
        """
        if sync:
            raise InvalidQuery(NO_SYNC)
        sending = _Sending(self._client, _Patience(self._patience_s, on_wait), on_progress, on_rejection)
        return sending.run(documents, dry_run=dry_run)

    def update(
        self,
        metadata: Mapping[str, Json],
        *,
        ids: Sequence[str] = (),
        filter: str | None = None,
        dry_run: bool = False,
        on_rejection: OnRejection | None = None,
        on_change: OnChange | None = None,  # noqa: ARG002  # which a service does not say
        on_wait: OnWait | None = None,
    ) -> IngestReport:
        """See Searcher.update."""
        patience = _Patience(self._patience_s, on_wait)
        report = patience.send(lambda: self._client.update(metadata, ids=ids, filter=filter, dry_run=dry_run))
        if on_rejection:
            for rejection in report.rejections:
                on_rejection(rejection)
        return report

    def delete(
        self,
        *,
        ids: Sequence[str] = (),
        filter: str | None = None,
        dry_run: bool = False,
        on_change: OnChange | None = None,
        on_wait: OnWait | None = None,
    ) -> int:
        """See Searcher.delete."""
        patience = _Patience(self._patience_s, on_wait)
        return patience.send(lambda: self._client.delete(ids=ids, filter=filter, dry_run=dry_run, on_change=on_change))


@dataclass
class _Sending:
    """One run: documents in, report out, as search.ingestion.run.Ingestion has it."""

    client: Client
    patience: "_Patience"
    on_progress: OnProgress | None
    on_rejection: OnRejection | None
    counts: dict[str, Any] = field(default_factory=lambda: dict.fromkeys((*_COUNTED, "rejected"), 0))
    rejections: list[Rejection] = field(default_factory=list)
    taken: dict[bytes, str] = field(default_factory=dict)  # ids, and the folder that each is from
    remarks: Remarks = field(default_factory=Remarks)  # of the readers here: a service knows no files
    characters: int = 0
    started: float = field(default_factory=time.monotonic)

    def run(self, items: Iterable[Document | Rejection], *, dry_run: bool) -> IngestReport:
        for group in self._groups(items):
            self._send(group, dry_run=dry_run)
        seconds, rejections = time.monotonic() - self.started, tuple(self.rejections)
        never: dict[str, Any] = {"removed": 0, "kept": 0, "kept_because": ""}  # without a sync
        said: dict[str, Any] = {"remarked": dict(self.remarks.counts), "remarks": tuple(self.remarks.first)}
        return IngestReport(**self.counts, **never, **said, seconds=seconds, dry_run=dry_run, rejections=rejections)

    def _groups(self, items: Iterable[Document | Rejection]) -> Iterator[list[Document]]:
        group: list[Document] = []
        characters = 0
        for item in items:
            if isinstance(item, Rejection):
                self._reject(item)
            elif self._is_new(item):
                group.append(item)
                characters += len(item.text)
            if len(group) == _DOCUMENTS or characters >= _CHARACTERS:
                yield group
                group, characters = [], 0
        if group:
            yield group

    def _is_new(self, document: Document) -> bool:
        """Whether a document's id is the first of its kind: a service would take the second one's text for a change."""
        digest = _digest(document.id)
        if (folder := self.taken.get(digest)) is not None:
            self.characters += len(document.text)
            self._reject(Rejection.repeated(document, folder))
            return False
        self.taken[digest] = sys.intern(document.folder)
        self.remarks.note(document)
        return True

    def _send(self, group: Sequence[Document], *, dry_run: bool) -> None:
        """Send documents; those that are too many for one request of this service in two halves."""
        try:
            report = self.patience.send(lambda: self.client.ingest(group, dry_run=dry_run))
        except (ServiceRefused, InvalidDocument) as error:
            if isinstance(error, ServiceRefused) and error.status != _TOO_LARGE:
                raise
            if len(group) > 1:
                self._send(group[: len(group) // 2], dry_run=dry_run)
                self._send(group[len(group) // 2 :], dry_run=dry_run)
                return
            self._reject(Rejection.of(group[0], str(error)))
        else:
            for name in _COUNTED:
                self.counts[name] += getattr(report, name)
            for rejection in report.rejections:
                place = _PLACE.fullmatch(rejection.source)
                mine = group[int(place[1])] if place and int(place[1]) < len(group) else None
                if mine:
                    self.taken.pop(_digest(mine.id), None)
                self._reject(Rejection.of(mine, rejection.reason) if mine else rejection)
        self.characters += sum(len(document.text) for document in group)
        self._tell()

    def _reject(self, rejection: Rejection) -> None:
        self.counts["rejected"] += 1
        if len(self.rejections) < LISTED:
            self.rejections.append(rejection)
        if self.on_rejection:
            self.on_rejection(rejection)

    def _tell(self) -> None:
        if self.on_progress:
            documents = sum(self.counts[name] for name in ("added", "changed", "unchanged", "rejected"))
            seconds = time.monotonic() - self.started
            chunks, tokens, rejected = (self.counts[name] for name in ("chunks", "tokens", "rejected"))
            self.on_progress(Progress(documents, chunks, tokens, rejected, seconds, self.characters))


@dataclass
class _Patience:
    """Sends a request again while the service is busy or ends, or, once it has answered, is not there.

    Nothing is done twice by that.
    """

    seconds: float
    on_wait: OnWait | None
    answered: bool = False

    def send(self, request: Callable[[], Answer]) -> Answer:
        deadline = time.monotonic() + self.seconds
        pause = _FIRST_PAUSE_S
        while True:
            try:
                answer = request()
            except (ServiceOverloaded, ServiceUnreachable, ServiceRefused) as failure:
                if time.monotonic() >= deadline or not self._passes(failure):
                    raise
                least = failure.retry_after_s if isinstance(failure, ServiceOverloaded) else 0
                seconds = min(least + random.uniform(0, pause), _LONGEST_PAUSE_S)  # noqa: S311  # so that many do not come at once
                if self.on_wait:
                    self.on_wait(failure, seconds)
                time.sleep(seconds)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            else:
                self.answered = True
                return answer

    def _passes(self, failure: ServiceError) -> bool:
        """Whether the same request may be answered later: an address that leads nowhere is told at once."""
        status = failure.status if isinstance(failure, ServiceRefused) else None
        gone = isinstance(failure, ServiceUnreachable) or status in _OF_PROXIES
        return isinstance(failure, ServiceOverloaded) or status == _MAY_PASS or (gone and self.answered)


def _digest(document_id: str) -> bytes:
    return hashlib.blake2b(document_id.encode(), digest_size=8).digest()
