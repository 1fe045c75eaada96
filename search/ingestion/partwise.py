"""How is something done to a collection that tenants share, document by document? Part by part, since two may have one id."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from search.index.contract import Attempt, CollectionSpec, OnBuild, PlainFilter, VectorIndex, kept_if_done, once
from search.index.tenants import PartIndex, parts_of
from search.ingestion.report import IngestReport, together


class _Claimed(PartIndex):
    """A part of a collection that is claimed as a whole, and whose graph is built as a whole."""

    def claimed(self, attempt: Attempt = once, *, removing: bool = False) -> AbstractContextManager[Any]:  # noqa: ARG002  # the contract's
        return nullcontext()

    def optimize(self, on_build: OnBuild | None = None) -> None:
        pass

    def discard(self) -> None:
        pass


def part_by_part(
    source: VectorIndex,
    target: VectorIndex,
    spec: CollectionSpec,
    work: Callable[[VectorIndex, VectorIndex], IngestReport],
    parts: Sequence[PlainFilter] | None = None,
    *,
    unowned: bool = True,
) -> IngestReport:
    """Bring documents from one collection into another.

    Args:
        source: an open collection.
        target: is made if it does not exist, and claimed meanwhile.
        spec: of the target, with the field of its tenants.
        work: brings those of one part over, from the same part of the source.
        parts: which ones; None for those of all tenants of either collection, and what is nobody's.
        unowned: whether that comes along.

    Raises:
        CollectionUnshared: the target is there, and does not note the field.
        IndexFailure: either of them gave up; for the rest see `work`.
    """
    with kept_if_done(target):
        PartIndex(target, spec.tenant, None).ensure(spec, create=True)
        with target.claimed():
            chosen = parts_of(spec.tenant, source, target)[: None if unowned else -1] if parts is None else parts
            pairs = ([_Claimed(one, spec.tenant, part) for one in (source, target)] for part in chosen)
            report = together([work(here, there) for here, there in pairs])
            target.optimize()
    return report
