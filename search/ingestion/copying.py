"""How does a collection get into another one without being embedded again? Point by point, what is there already left out."""

import time

from search.documents import Rejection
from search.embedding.sparse import WordsLike, words_like
from search.index.contract import CollectionSpec, Point, VectorIndex
from search.ingestion.damage import Damage, survey
from search.ingestion.embedding import with_words
from search.ingestion.lookup import compare, others, written_of
from search.ingestion.relay import in_groups
from search.ingestion.report import IngestReport, OnProgress, Progress, State
from search.ingestion.restoring import by_document, incomplete, newest_whole

_GROUP = 128  # documents compared at a time
_DELETED_AT_ONCE = 512  # documents


def copy(
    source: VectorIndex,
    target: VectorIndex,
    spec: CollectionSpec,
    *,
    sync: bool = False,
    on_progress: OnProgress | None = None,
    damage: Damage | None = None,
    words: WordsLike = words_like,
) -> IngestReport:
    """Copy all documents with their vectors, each in its newest version that is whole. Killed, the same call goes on.

    Args:
        source: an open collection.
        target: is made if it does not exist.
        spec: of both.
        sync: also remove documents of the target that are not in the source.
        on_progress: called after every group of documents.
        damage: of the source, where it is known.
        words: gives what makes words like the target's.

    Raises:
        IndexMismatch: the target is of another embedder, or words like its cannot be made here.
        ModelError: the model of the words failed.
        IndexBusy: another process writes to the target.
        IndexFailure: either of them gave up.
    """
    target.ensure(spec, create=True)
    with target.claimed():
        damage = survey(source) if damage is None else damage
        return _copy(source, target, damage, words, sync=sync, on_progress=on_progress)


def _copy(
    source: VectorIndex, target: VectorIndex, damage: Damage, words: WordsLike, *, sync: bool, on_progress: OnProgress | None
) -> IngestReport:
    started = time.monotonic()
    counts: dict[State, int] = {"added": 0, "changed": 0, "unchanged": 0, "removed": 0}
    chunks = 0
    source_ids: set[str] = set()
    rejections: list[Rejection] = []
    for group in in_groups(by_document(source, vectors=True), _GROUP):
        held = {document_id: version for document_id, records in group if (version := newest_whole(records))}
        rejections += [incomplete(source, document_id) for document_id, _ in group if document_id not in held]
        source_ids |= {document_id for document_id, _ in group}
        revisions = {document_id: str(records[0].payload["revision"]) for document_id, records in held.items()}
        stored = compare(target, revisions)
        fresh = [document_id for document_id, standing in stored.items() if standing.state != "unchanged"]
        points = [
            Point(record.id, record.vector, {**record.payload, "generation": stored[document_id].generation + 1}, record.lexical)
            for document_id in fresh
            for record in held[document_id]
            if record.vector is not None  # which holds of all, see by_document
        ]
        if points:
            alike = source.spec.lexical == target.spec.lexical
            target.upsert(points if alike else with_words(points, target.spec.lexical, words))
        if changed := {one: revisions[one] for one in fresh if stored[one].state == "changed"}:
            target.delete(filter=written_of(list(changed), revisions_but=list(changed.values())))
        for standing in stored.values():
            counts[standing.state] += 1
        chunks += len(points)
        if on_progress:
            on_progress(Progress(sum(counts.values()), chunks, 0, len(rejections), time.monotonic() - started))
    if sync:
        absent = sorted(others(target, source_ids.__contains__))
        for batch in in_groups(absent, _DELETED_AT_ONCE):
            target.delete(filter=written_of(batch))
        counts["removed"] = len(absent)
    if chunks:
        target.optimize()
    return IngestReport(
        **counts,
        elsewhere_ids=(),
        rejected=len(rejections),
        chunks=chunks,
        reused=chunks,
        tokens=0,
        unknown=0,
        seconds=time.monotonic() - started,
        kept=0,
        kept_because="",
        dry_run=False,
        rejections=tuple(rejections),
        damaged=damage.damaged,
        foreign=damage.foreign,
    )
