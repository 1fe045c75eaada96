"""What of a collection can be changed through a service? Its documents, in requests of a few, each of which may be sent again."""

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from search.client import Client
from search.documents import Document, Json, Number, Rejection
from search.errors import InvalidQuery, ServiceError, ServiceOverloaded, ServiceRefused, ServiceUnreachable
from search.index.contract import OnBuild
from search.ingestion.report import IngestReport, OnChange, OnProgress, OnRejection

Answer = TypeVar("Answer")
OnWait = Callable[[ServiceError, float], None]
TIMEOUT_S = 600.0  # for a request, which a slow model takes its time for
_FIRST_PAUSE_S = 0.5
NO_SYNC = (
    "--sync compares with all that the collection holds, which a service does not list; end the service and run this "
    "without --url, or name what is gone to `search delete --url`"
)
_LONGEST_PAUSE_S = 30.0
_MAY_PASS = 503  # of a service that ends, or has too many connections
_OF_PROXIES = (502, 504)  # where there is no service behind one


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
        patience = _Patience(self._patience_s, on_wait)
        return self._client.ingest(
            documents, dry_run=dry_run, on_progress=on_progress, on_rejection=on_rejection, attempt=patience.send
        )

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
        on_build: OnBuild | None = None,  # noqa: ARG002  # the service's own matter
    ) -> Number:
        """See Searcher.delete."""
        patience = _Patience(self._patience_s, on_wait)
        return patience.send(lambda: self._client.delete(ids=ids, filter=filter, dry_run=dry_run, on_change=on_change))


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
