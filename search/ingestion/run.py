"""How do documents get into the index? Compared with what is there, chunked, embedded, written, and accounted for.

Three threads share the work: the caller's reads, compares and cuts (`planning.py`) and keeps the account, one embeds
(`embedding.py`), one writes (`writing.py`). A document's new chunks are written before its old ones are deleted, and every chunk
names the revision it belongs to and how many there are of it. So a run that was killed leaves nothing that the next one would
take for complete.
"""

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from functools import partial

from search.documents import Document, Rejection, counted
from search.embedding.dense import Embedder
from search.embedding.sparse import WordsLike, words_like
from search.errors import SearchError
from search.index.contract import CollectionSpec, VectorIndex, kept_if_done
from search.index.tenants import Tenant, check_noted
from search.ingestion.changes import check_max_delete, most
from search.ingestion.chunking import Chunker
from search.ingestion.damage import Damage, survey
from search.ingestion.embedding import Apart, Embedded, with_vectors
from search.ingestion.lookup import AT_ONCE, folders_of, opened, others, written_of
from search.ingestion.planning import Planning, folder_of
from search.ingestion.relay import Relay, in_groups
from search.ingestion.report import EXAMPLES, LISTED, IngestReport, Noted, OnChange, OnProgress, OnRejection, Progress, State
from search.ingestion.writing import Outcome, Writing

_STEPS = 4  # that reading is ahead of writing; a batch of passages is one


class Ingestion:
    """One run: documents in, report out. Memory stays bounded by the longest documents and some 80 bytes for each id."""

    def __init__(
        self,
        embedder: Embedder,
        index: VectorIndex,
        chunker: Chunker,
        *,
        max_characters: int,
        lexical: str = "",
        words: WordsLike = words_like,
        tenant: Tenant | None = None,
        on_progress: OnProgress | None = None,
        on_rejection: OnRejection | None = None,
        on_change: OnChange | None = None,
    ) -> None:
        """Keep the parts.

        Args:
            embedder: makes the vectors.
            index: takes them; the collection is made if it does not exist, once there is something to write.
            chunker: cuts the documents.
            max_characters: a longer document is rejected.
            lexical: the words of a collection that is made, as search.embedding.sparse describes them; "" for none.
            words: gives what makes words like a collection's.
            tenant: whose documents they become, of which the index holds no others; see search.index.tenants.
            on_progress: called after every step, in the thread that runs.
            on_rejection: called for every rejection, as it happens.
            on_change: called for every document that is added, changed or removed, or would be, and for what a sync kept.
        """
        self._spec = CollectionSpec(embedder.dimension, embedder.fingerprint, lexical)
        self._index = index
        self._tenant = tenant
        using = threading.Lock()  # the index, which reading and writing both ask
        self._planning = Planning(index, using, chunker, max_characters, tenant)
        self._embedding = Apart(partial(with_vectors, embedder), lambda one: one.chunk.document_id)
        self._writing = Writing(index, using, embedder.tokenizer, words)
        self._words_like = words
        self._on_progress = on_progress
        self._on_rejection = on_rejection
        self._on_change = on_change
        self._counts: dict[State, int] = {"added": 0, "changed": 0, "unchanged": 0, "removed": 0}
        self._unknown: set[str] = set()  # of documents under way
        self._unknown_documents = 0
        self._rejections = Noted[Rejection](LISTED)
        self._nameless = 0  # rejections of which nobody knows which document they were
        self._elsewhere = Noted[str](EXAMPLES)
        self._doubled = Noted[tuple[str, str]](EXAMPLES)
        self._chunks = 0
        self._reused = 0
        self._tokens = 0
        self._characters = 0.0
        self._started = 0.0
        self._exists = False  # whether there is a collection, by now

    def run(
        self,
        documents: Iterable[Document | Rejection],
        *,
        sync: bool = False,
        max_delete: float = 0.2,
        dry_run: bool = False,
        create: bool = True,
    ) -> IngestReport:
        """Ingest everything.

        Args:
            documents: drawn in this thread, a few hundred ahead of what is written.
            sync: also remove documents of the collection that are not among these, and mend what is damaged of those that are.
                Points that another program wrote are left alone.
            max_delete: how many a sync may remove: as an int a number of documents, as a float a share of all documents of the
                collection, from 0.0 to 1.0. If there are more, none is removed and the report says so; likewise if something was
                rejected that may be one of them.
            dry_run: write nothing, and report what would be.
            create: make the collection if it does not exist, before the first document that is not rejected by itself. If there is
                none, nothing is made.

        Raises:
            CollectionNotFound: there is no collection, and it is not to be made.
            CollectionUnshared: it does not note that tenants share it, and documents are one's.
            InvalidDocument: max_delete is negative, or a float above 1.0, or no number.
            IndexBusy: another process writes to the collection.
            IndexMismatch: it was made for another embedder, or words like its cannot be made here.
            IndexFailure: the index gave up; what was written stays, and the same call again goes on from there.
            ModelError: the embedder gave up, or the model of the words; likewise.
        """
        check_max_delete(max_delete)
        self._started = time.monotonic()
        with kept_if_done(self._index), ExitStack() as claim:

            def begin() -> None:
                """What is wrong with the collection shows itself now, not when the first passages are embedded."""
                self._exists = True
                self._index.check_writable()
                if self._tenant is not None:
                    check_noted(self._index.name, self._index.spec, self._tenant.field)
                if not dry_run:
                    claim.enter_context(self._index.claimed(removing=sync))
                    self._words_like(self._index.spec.lexical)

            def make() -> None:
                self._index.ensure(self._spec, create=True)
                begin()

            self._exists = False
            if opened(self._index, self._spec, create=False, needed=not create, writing=create and not dry_run):
                begin()
            elif not dry_run:
                claim.callback(self._let_go)
            return self._run(documents, None if dry_run else make, sync=sync, max_delete=max_delete, dry_run=dry_run)

    def _let_go(self) -> None:
        """Leave nothing behind that was kept or made for documents, where none came."""
        with suppress(SearchError):
            self._index.discard()

    def _run(
        self,
        documents: Iterable[Document | Rejection],
        make: Callable[[], None] | None,
        *,
        sync: bool,
        max_delete: float,
        dry_run: bool,
    ) -> IngestReport:
        damage = survey(self._index) if sync and self._exists else Damage()
        self._planning.others_go = sync
        if not dry_run:
            for batch in in_groups(damage.empty, AT_ONCE):
                self._index.delete(ids=batch)
            self._planning.partial = dict(damage.partial)
        if dry_run:
            for step in self._planning.steps(documents, exists=self._exists, chunked=False):
                self._refuse(step.rejections)
                self._settle(Outcome(0, 0, 0, set(), [], step.concluded, step.characters))
        else:
            with Relay[Embedded, Outcome](_STEPS) as relay:
                for step in self._planning.steps(documents, exists=self._exists, make=make):
                    self._refuse(step.rejections)
                    for outcome in relay.do(partial(self._embedding.work, step.passages), partial(self._writing.write, step)):
                        self._settle(outcome)
                for outcome in relay.finish():
                    self._settle(outcome)
        retained, because = self._remove_others(damage, max_delete, dry_run=dry_run) if sync and self._exists else (0, "")
        if self._exists and not dry_run:
            self._index.optimize(self._tell_progress)  # which leaves a small collection, and one that is as it was, alone
        return IngestReport(
            **self._counts,
            rejected=self._rejections.count,
            chunks=self._chunks,
            reused=self._reused,
            tokens=self._tokens,
            unknown=self._unknown_documents,
            seconds=time.monotonic() - self._started,
            kept=retained,
            kept_because=because,
            warnings=(),
            dry_run=dry_run,
            rejections=tuple(self._rejections.first),
            damaged=damage.damaged,
            foreign=damage.foreign,
            elsewhere=self._elsewhere.count,
            elsewhere_ids=tuple(self._elsewhere.first),
            repeated=self._planning.repeated,
            doubled=self._doubled.count,
            doubled_ids=tuple(self._doubled.first),
            remarked=dict(self._planning.remarks.counts),
            remarks=tuple(self._planning.remarks.first),
        )

    def _settle(self, outcome: Outcome) -> None:
        """Account for what was written."""
        self._chunks += outcome.chunks
        self._reused += outcome.reused
        self._tokens += outcome.tokens
        self._characters += outcome.characters
        self._unknown |= outcome.unknown
        self._refuse(outcome.rejections)
        for document_id, (state, _) in outcome.concluded.items():
            self._counts[state] += 1
            self._unknown_documents += document_id in self._unknown
            if document_id in self._planning.elsewhere:
                self._planning.elsewhere.remove(document_id)
                self._elsewhere.add(document_id)
            other = self._planning.doubled.pop(document_id, None)
            if other and state != "unchanged":
                self._doubled.add((document_id, other))
            if state != "unchanged":
                self._tell(state, [document_id])
        self._unknown -= outcome.concluded.keys()
        self._tell_progress()

    def _tell_progress(self, building: int = 0) -> None:
        if self._on_progress:
            rejected = self._rejections.count
            seen, seconds = sum(self._counts.values()) + rejected, time.monotonic() - self._started
            self._on_progress(Progress(seen, self._chunks, self._tokens, rejected, seconds, self._characters, building))

    def _refuse(self, rejections: list[Rejection]) -> None:
        for rejection in rejections:
            self._rejections.add(rejection)
            if rejection.document_id is None:
                self._nameless += 1
            else:
                self._planning.know(rejection.document_id)
            if self._on_rejection:
                self._on_rejection(rejection)

    def _remove_others(self, damage: Damage, max_delete: float, *, dry_run: bool) -> tuple[int, str]:
        """Remove documents that this run did not read; how many were left in the collection instead, and why."""
        damaged = (document_id for document_id in damage.partial if not self._planning.knows(document_id))
        absent = sorted({*others(self._index, self._planning.knows), *damaged})
        of_all = len(absent) + self._counts["changed"] + self._counts["unchanged"]  # what was there before
        allowed, because = most(max_delete, of_all), ""
        if absent and self._nameless:
            because = f"{counted(self._nameless, 'rejection')} may be any of them; mend what was rejected first"
        elif len(absent) > allowed:
            of_them = f"{len(absent):,} of {counted(of_all, 'document')} {'is' if len(absent) == 1 else 'are'}"
            because = f"{of_them} more than the {allowed:,} that may be; --dry-run lists them, and "
            because += f"--max-delete {len(absent)} lets them go"
        if because:
            self._tell("kept", absent)
            return len(absent), because
        for batch in in_groups(absent, AT_ONCE):
            for document_id, folder in sorted(folders_of(self._index, batch).items()):
                if folder_of(folder) not in self._planning.folders:
                    self._elsewhere.add(document_id)
            if not dry_run:
                self._index.delete(filter=written_of(batch))
                if points := [point for document_id in batch for point in damage.partial.get(document_id, ())]:
                    self._index.delete(ids=points)
            self._counts["removed"] += len(batch)
            self._tell("removed", batch)
        return 0, ""

    def _tell(self, state: State, document_ids: list[str]) -> None:
        for document_id in document_ids:
            if self._on_change:
                self._on_change(state, document_id)
