"""How does a collection get into another one without being embedded again? Point by point, what is there already left out."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field

from search.documents import Rejection
from search.embedding.sparse import WordsLike, words_like
from search.index.contract import CollectionSpec, Payload, Point, Record, VectorIndex, kept_if_done
from search.ingestion.damage import Damage, compared, survey
from search.ingestion.embedding import with_words
from search.ingestion.lookup import AT_ONCE, Stored, opened, others, written_of
from search.ingestion.relay import in_groups
from search.ingestion.report import LISTED, IngestReport, Noted, OnProgress, Progress, State
from search.ingestion.restoring import by_document, incomplete, newest_whole

Documents = Iterable[tuple[str, list[Record]]]  # ids with all passages

_GROUP = 128  # documents compared at a time …
_GROUP_PASSAGES = 4096  # … unless they have many passages


def copy(
    source: VectorIndex,
    target: VectorIndex,
    spec: CollectionSpec,
    *,
    sync: bool = False,
    dry_run: bool = False,
    on_progress: OnProgress | None = None,
    damage: Damage | None = None,
    words: WordsLike = words_like,
    documents: Documents | None = None,
    keep: Callable[[str, Stored], bool] = lambda *_: False,
    pushed: bool = False,
) -> IngestReport:
    """Copy all documents with their vectors, each in its newest version that is whole. Killed, the same call goes on.

    Args:
        source: an open collection.
        target: is made if it does not exist.
        spec: of both.
        sync: also remove documents of the target that are not in the source.
        dry_run: write nothing, and report what would be.
        on_progress: called after every group of documents.
        damage: of the source, where it is known.
        words: gives what makes words like the target's.
        documents: what is copied; None for all that the source holds.
        keep: whether the target keeps a document that differs from the source's, by its id and how it stands.
        pushed: note with what is written that it came so.

    Raises:
        IndexMismatch: the target is of another embedder or another program, or words like its cannot be made here.
        ModelError: the model of the words failed.
        IndexBusy: another process writes to the target.
        IndexFailure: either of them gave up.
    """
    with kept_if_done(target):
        exists = opened(target, spec, create=not dry_run, needed=not dry_run)
        if exists:
            target.check_writable()
        if exists and source.spec.lexical != target.spec.lexical:
            words(target.spec.lexical)  # which fails now, not after the first passages
        with nullcontext() if dry_run else target.claimed():
            damage = survey(source) if damage is None else damage
            run = _Copying(source, target, words, keep, {"pushed": True} if pushed else {}, on_progress, dry_run, exists)
            return run.run(by_document(source, vectors=True) if documents is None else documents, damage, sync=sync)


@dataclass
class _Copying:
    """One run, with its account."""

    source: VectorIndex
    target: VectorIndex
    words: WordsLike
    keep: Callable[[str, Stored], bool]
    noted: Payload  # with each passage
    on_progress: OnProgress | None
    dry_run: bool
    exists: bool
    counts: dict[State, int] = field(default_factory=lambda: {"added": 0, "changed": 0, "unchanged": 0, "removed": 0})
    kept: int = 0
    repeated: int = 0
    chunks: int = 0
    rejections: Noted[Rejection] = field(default_factory=lambda: Noted(LISTED))
    started: float = field(default_factory=time.monotonic)

    def run(self, documents: Documents, damage: Damage, *, sync: bool) -> IngestReport:
        """Copy group by group; then, with `sync`, remove what is not there."""
        ids: set[str] = set()
        for group in _groups(documents):
            if sync:
                ids |= group.keys()
            versions = {document_id: newest_whole(records) for document_id, records in group.items()}
            self._copy({document_id: version for document_id, version in versions.items() if version})
            for document_id in (document_id for document_id, version in versions.items() if not version):
                self.rejections.add(incomplete(self.source, document_id))
            self._tell_progress()
        if sync:
            absent = sorted(others(self.target, ids.__contains__))
            for batch in in_groups(absent, AT_ONCE):
                self.target.delete(filter=written_of(batch))
            self.counts["removed"] = len(absent)
        if self.chunks:
            self.target.optimize(self._tell_progress)
        return IngestReport(
            **self.counts,
            elsewhere_ids=(),
            doubled_ids=(),
            remarked={},
            remarks=(),
            warnings=(),
            repeated=self.repeated,
            rejected=self.rejections.count,
            chunks=self.chunks,
            reused=self.chunks,
            tokens=0,
            unknown=0,
            seconds=time.monotonic() - self.started,
            kept=self.kept,
            kept_because="they were ingested into it since" if self.kept else "",
            dry_run=self.dry_run,
            rejections=tuple(self.rejections.first),
            damaged=damage.damaged,
            foreign=damage.foreign,
        )

    def _tell_progress(self, building: int = 0) -> None:
        if self.on_progress:
            seen, seconds = sum(self.counts.values()) + self.kept, time.monotonic() - self.started
            self.on_progress(Progress(seen, self.chunks, 0, self.rejections.count, seconds, building=building))

    def _copy(self, held: dict[str, list[Record]]) -> None:
        """Write those documents of a group that are not there, and replace those that differ."""
        revisions = {document_id: str(records[0].payload["revision"]) for document_id, records in held.items()}
        stored = {one: Stored("added", 0) for one in revisions}
        if self.exists:
            stored, repeated = compared(self.target, revisions, dry_run=self.dry_run)
            self.repeated += repeated
        edited = {one: standing for one, standing in stored.items() if standing.revision not in {"", revisions[one]}}
        unmoved = {one for one, standing in edited.items() if self.keep(one, standing)}
        fresh = [one for one, standing in stored.items() if standing.state != "unchanged" and one not in unmoved]
        noted = {one: {**self.noted, "generation": stored[one].generation + 1} for one in fresh}
        points = [
            Point(record.id, record.vector, {**record.payload, **noted[document_id]}, record.lexical)
            for document_id in fresh
            for record in held[document_id]
            if record.vector is not None  # which holds of all, see by_document
        ]
        if points and not self.dry_run:
            alike = self.source.spec.lexical == self.target.spec.lexical
            self.target.upsert(points if alike else with_words(points, self.target.spec.lexical, self.words))
            self.chunks += len(points)
        changed = {one: revisions[one] for one in fresh if stored[one].state == "changed"}
        if changed and not self.dry_run:
            self.target.delete(filter=written_of(list(changed), revisions_but=list(changed.values())))
        for document_id, standing in stored.items():
            self.counts[standing.state] += document_id not in unmoved
        self.kept += len(unmoved)


def _groups(documents: Documents) -> Iterator[dict[str, list[Record]]]:
    """Documents in groups that memory holds."""
    group: dict[str, list[Record]] = {}
    passages = 0
    for document_id, records in documents:
        group[document_id] = records
        passages += len(records)
        if len(group) == _GROUP or passages >= _GROUP_PASSAGES:
            yield group
            group, passages = {}, 0
    if group:
        yield group
