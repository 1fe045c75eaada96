"""Which near-duplicates go? What a report names and is certain, compared once more within the claim that removes it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

from search.deduplication.candidates import OnStep
from search.deduplication.report import Duplicate, Duplicates
from search.documents import Document
from search.embedding.dense import Embedder
from search.errors import IndexMismatch, InvalidQuery
from search.index.contract import CollectionSpec, OnBuild, VectorIndex
from search.ingestion.changes import give_room_back
from search.ingestion.lookup import AT_ONCE, of_documents
from search.ingestion.relay import in_groups
from search.ingestion.restoring import settled

_NOTHING = ""


class Kept(NamedTuple):
    """A document that stays, and why.

    Attributes:
        cause: why, as it may be said of several documents.
        detail: what is of this one alone, such as the document that it is most like.
        fields: what it differs in beside the text, where that alone keeps it.
    """

    document_id: str
    cause: str
    detail: str = ""
    fields: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """Why, in full."""
        return f"{self.cause} ({self.detail})" if self.detail else self.cause

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"document_id": self.document_id, "reason": self.reason, "fields": list(self.fields)}


class Removed(NamedTuple):
    """A document that goes, or went, and the one that stays in its place."""

    document_id: str
    instead: str


@dataclass(frozen=True)
class Removal:
    """What becomes of the documents that a report names beside the representatives."""

    removed: tuple[Removed, ...]  # those that go, or went
    kept: tuple[Kept, ...]  # those that stay

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"removed": [one._asdict() for one in self.removed], "kept": [one.to_dict() for one in self.kept]}


def check_near(near: Any, threshold: float) -> float | None:
    """From which probability on near-duplicates go, too.

    Raises:
        InvalidQuery: it is no probability, or one that is not reported.
    """
    if near is None:
        return None
    if isinstance(near, bool) or not isinstance(near, Real) or not 0 < float(near) <= 1:
        raise InvalidQuery(f"near is {near!r}; give a probability, above 0 and up to 1, such as 0.99, or leave it out")
    if float(near) < threshold:
        raise InvalidQuery(f"near is {near:g}, below the threshold of {threshold:g}; nothing is removed that is not reported")
    return float(near)


def planned(found: Duplicates, *, near: float | None = None, any_metadata: bool = False) -> Removal:
    """What would go by a report.

    Without `near`, of each text one stays; line ends and blank lines around it do not tell it apart. Indentation, case, markup or a
    word may be all that does (Python, US and us, accepted and rejected), and no probability is certain of that.

    Args:
        found: the report.
        near: the least probability of others that go, too, as a choice of whoever has looked at the report; None for none.
        any_metadata: whether a document may go whose title, metadata or media type are not those of what stays, and are lost.

    Raises:
        InvalidQuery: it is no report; or see `check_near`.
    """
    if not isinstance(found, Duplicates):
        raise InvalidQuery(f"found is a {type(found).__name__}; give the report that `duplicates` made")
    least = check_near(near, found.threshold)
    removed: list[Removed] = []
    kept: list[Kept] = []
    for cluster in found.clusters:
        representative = cluster.representative
        staying = {_content(representative, any_metadata=any_metadata): representative.id}
        others = _Staying(representative)
        for one in cluster.duplicates:
            content = _content(one.document, any_metadata=any_metadata)
            lost = [] if any_metadata else _differing(representative, one.document)
            if content in staying:
                removed.append(Removed(one.document.id, staying[content]))
            elif least is not None and one.probability >= least and not lost:
                removed.append(Removed(one.document.id, representative.id))
            else:
                staying[content] = one.document.id
                is_near = least is not None and one.probability >= least
                kept.append(others.kept(one, lost if is_near else []))
                others.add(one.document)
    return Removal(tuple(removed), tuple(kept))


def _content(document: Document, *, any_metadata: bool) -> tuple[str, ...]:
    """The same for documents of which one is as good as the other."""
    text = document.text.replace("\r\n", "\n").strip("\n").rstrip()  # white space within means something in code, lists and tables
    if any_metadata:
        return (text,)
    return text, document.title, document.media_type, _canonical(document.metadata)


def _canonical(metadata: Any) -> str:
    """The same for the same values; true is not 1 here, as to a filter."""
    return json.dumps(metadata, sort_keys=True, ensure_ascii=False, default=list)


def _differing(one: Document, other: Document) -> list[str]:
    """Names of what two documents differ in beside the text."""
    fields = [name for name in ("title", "media_type") if getattr(one, name) != getattr(other, name)]
    absent = ""  # no JSON is empty
    values = [{name: _canonical(value) for name, value in document.metadata.items()} for document in (one, other)]
    names = sorted({*values[0], *values[1]})
    return fields + [f"metadata.{name}" for name in names if values[0].get(name, absent) != values[1].get(name, absent)]


class _Staying:
    """The documents of a cluster that stay: which of them is another one most like, and what tells it from that?"""

    def __init__(self, representative: Document) -> None:
        self._representative = representative
        self._first: dict[tuple[str, str], Document] = {}
        self.add(representative)

    def add(self, document: Document) -> None:
        """Take note of one."""
        for likeness in _likenesses(document):
            self._first.setdefault(likeness, document)

    def kept(self, one: Duplicate, lost: Sequence[str]) -> Kept:
        """Why a document stays; `lost` are the fields that alone keep it from going for the representative."""
        alike = ((kind, self._first[kind, text]) for kind, text in _likenesses(one.document) if (kind, text) in self._first)
        kind, other = next(alike, (None, self._representative))
        beside = "" if other is self._representative else f"from {other.id}"
        if kind == _NOTHING or lost:
            fields = tuple(_differing(other, one.document) if kind == _NOTHING else lost)
            return Kept(one.document.id, f"it differs in {', '.join(fields)}", beside if kind == _NOTHING else "", fields)
        if kind is None:
            return Kept(one.document.id, "its text differs in words or signs", f"probability {one.probability:.3f}")
        return Kept(one.document.id, f"its text differs in {kind}", beside)


def _likenesses(document: Document) -> Iterator[tuple[str, str]]:
    """In what its text differs from others, and what is the same in those; the least difference first."""
    (text,) = _content(document, any_metadata=True)
    words = " ".join(text.split())
    yield _NOTHING, text
    yield "white space", words
    yield "case", text.casefold()
    yield "white space and case", words.casefold()


def remove_duplicates(
    index: VectorIndex,
    embedder: Embedder,
    found: Duplicates,
    plan: Removal,
    *,
    leads_to: Callable[[], str],
    on_step: OnStep | None = None,
    on_build: OnBuild | None = None,
) -> Removal:
    """Remove what a plan names, under one claim; a document stays if it, or what stays for it, is not as the report has it.

    Whoever writes meanwhile waits, or is refused. A run that was ended is begun again with a new report, which names what is left.

    Args:
        index: the collection.
        embedder: the one the collection was built with.
        found: the report.
        plan: what `planned` made of it.
        leads_to: looks up the collection that the name leads to now.
        on_step: called with the documents that were compared again so far, and all of them.
        on_build: called if so much was removed that the rest gets a new graph, with the number of its passages.

    Raises:
        InvalidQuery: the plan names what the report does not; nothing is removed.
        IndexMismatch: the name leads to another collection by now; nothing is removed.
        IndexBusy: somebody else writes to the collection.
        IndexFailure: the index gave up; a new report names what is left.
    """
    documents = _checked(found, plan)
    index.ensure(CollectionSpec(embedder.dimension, embedder.fingerprint), create=False)
    removed: list[Removed] = []
    kept: list[Kept] = []
    with index.claimed(removing=True):
        if not found.target or {index.target, leads_to()} != {found.target}:
            raise IndexMismatch(
                f"{found.collection!r} leads to another collection than when it was compared ({found.target!r}); nothing was "
                "removed: compare it again"
            )
        for group in in_groups(plan.removed, AT_ONCE):
            same, others = _compared(index, group, documents)
            if same:
                index.delete(filter=of_documents(list(same), revisions=sorted(set(same.values()))))
            removed += [one for one in group if one.document_id in same]
            kept += others
            if on_step:
                on_step(len(removed) + len(kept), len(plan.removed))
        if removed:
            give_room_back(index, on_build)
    return Removal(tuple(removed), (*plan.kept, *kept))


def _checked(found: Duplicates, plan: Removal) -> dict[str, Document]:
    """All documents that a report names, by id, if a plan names no other and leaves what it names to stay."""
    duplicates = {one.document.id: one.document for cluster in found.clusters for one in cluster.duplicates}
    documents = duplicates | {cluster.representative.id: cluster.representative for cluster in found.clusters}
    going = {one.document_id for one in plan.removed}
    staying = {one.instead for one in plan.removed}
    wrong = (going - duplicates.keys()) | (going & staying) | (staying - documents.keys())
    if wrong:
        raise InvalidQuery(f"{min(wrong)!r} is no duplicate by this report, or is to stay for one; nothing is removed")
    return documents


def _compared(index: VectorIndex, group: Sequence[Removed], documents: Mapping[str, Document]) -> tuple[dict[str, str], list[Kept]]:
    """What is as it was when it was reported, with its revision, and what is not."""
    ids = list(dict.fromkeys(document_id for one in group for document_id in one))
    now = {one.id: revision for one, revision in settled(index, ids) if _is_unchanged(documents[one.id], one)}
    same: dict[str, str] = {}
    kept: list[Kept] = []
    for one in group:
        if one.instead not in now:
            kept.append(Kept(one.document_id, "what stays for it has changed, or is gone", one.instead))
        elif one.document_id not in now:
            kept.append(Kept(one.document_id, "it has changed, or is gone"))
        else:
            same[one.document_id] = now[one.document_id]
    return same, kept


def _is_unchanged(was: Document, now: Document) -> bool:
    return was.content_hash(was.media_type) == now.content_hash(now.media_type)
