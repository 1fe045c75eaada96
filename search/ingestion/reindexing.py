"""How does a collection come to another embedder, chunking or storage while it is searched?

A new one is filled beside it from its own documents, compared with it, and then the name is led to the new one in a single step.
The old one stays, to be led back to. What is interrupted goes on when it is started again. Where nothing but words is missing, and
the engine can, they are added to the collection itself, and nothing is copied. Where nothing is missing at all, that can be told;
payload indexes are made in place.
"""

import re
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from heapq import nsmallest
from typing import Any

from search.documents import Document, Retrieval, SparseVector, check_number, check_strings, counted
from search.embedding.dense import Embedder
from search.embedding.sparse import WordsLike
from search.errors import IndexMismatch, InvalidQuery, ReindexRefused
from search.index.collections import CollectionInfo, Collections, as_replaced
from search.index.contract import CollectionSpec, Payload, VectorIndex, check_spec
from search.index.points import FIRST_PASSAGES, passages, searchable_text
from search.index.retrying import Attempts, PatientIndex
from search.index.tenants import PartIndex, parts_of
from search.ingestion.chunking import Chunker
from search.ingestion.copying import copy
from search.ingestion.damage import Damage, survey
from search.ingestion.judging import Judged, checked_judged, measurable
from search.ingestion.lookup import Selection, digest_of
from search.ingestion.partwise import part_by_part
from search.ingestion.report import IngestReport, OnProgress, Progress, together
from search.ingestion.restoring import documents
from search.ingestion.run import Ingestion
from search.query.retrieval import Retriever
from search.settings import StorageSettings, checked_collection

_VERSION = re.compile(r"(.+)\.v(\d+)")
_SAMPLED = 50  # queries, where the caller has none
_WORDS = 12  # of a document, as a query
_TOP = 10
_CANDIDATES = 50  # passages, from which the first ten documents come
_TOLERANCE = 0.01  # nDCG@10 that the new one may lose where there are judgements


@dataclass(frozen=True, slots=True)
class Check:
    """How the new collection answers beside the live one, by retrieval alone."""

    queries: int  # how many were sent to both
    overlap: float  # mean share of the first ten documents that both find, 0 to 1
    live_ndcg: float | None  # mean nDCG@10 of the live one, None without judgements
    new_ndcg: float | None  # likewise
    passed: bool  # whether the name may be led to the new one
    because: str  # why not; empty if it may
    # "dense" where both were asked by vectors alone, since the live one's words cannot be made here any more:
    retrieval: Retrieval | None = None
    notes: tuple[str, ...] = ()  # which of the judgements did not count, in words


@dataclass(frozen=True, slots=True)
class ReindexReport:
    """What became of it."""

    live: str  # the collection that the name led to
    new: str  # the one beside it
    ingest: IngestReport  # how that was filled
    check: Check | None  # how it was compared
    switched: bool  # whether the name leads to it now
    damaged: int = 0  # points of the live one that hold no whole passage, and were left out …
    foreign: int = 0  # … and those that another program wrote
    unowned: int = 0  # those that name no tenant, if they were to be left out
    repeated: int = 0  # points of the live one that repeat a passage of another, and were left out
    worded: int | None = None  # passages that were given words where they are; None where a new collection was filled
    copied: int = 0  # passages that were copied with their vectors, before `ingest` brought what has to be embedded
    as_is: bool = False  # whether nothing differed but payload indexes, made in place: nothing was copied, `new` is the live one

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return {**asdict(self), "ingest": self.ingest.to_dict()}


@dataclass
class Reindexing:
    """Moves a name from one collection to a new one."""

    collections: Collections  # of the engine
    name: str  # what is searched by
    embedder: Embedder  # of the new collection
    chunker: Chunker  # likewise
    storage: StorageSettings  # likewise
    lexical: str  # its words, as search.embedding.sparse describes them; "" for none
    words: WordsLike  # gives what makes words like a collection's
    tenant_field: str  # where documents name their tenant, if the new one is to be shared; a live one that is shared stays so
    drop_unowned: bool  # leave out what names no tenant
    on_progress: OnProgress | None  # called after every step of filling
    spec: CollectionSpec = field(init=False)  # of the new collection, once the live one is known

    def run(
        self,
        *,
        live_embedder: Callable[[str], Embedder] | None,
        queries: Sequence[str] = (),
        judged: Judged | None = None,
        min_overlap: float = 0.5,
        only_if_needed: bool = False,
        attempts: Attempts,
    ) -> ReindexReport:
        """Fill, check and switch; or add words to the live one, where that is all and there is nothing to compare it with.

        There is something to do if embedder, passages, words, storage, shards or tenants of the live one are not those of the
        settings, or if it holds points that are damaged, repeated, or another program's. Payload indexes alone are made in place.

        Args:
            live_embedder: gives the live collection's embedder by its fingerprint; None leaves the check out.
            queries: sent to both collections, so that there are two; beginnings of documents if there are none.
            judged: decide by nDCG@10 instead of the overlap; of them counts what is relevant and in the live collection.
            min_overlap: with less, 0 to 1, the name stays where it is.
            only_if_needed: copy nothing where there is nothing to do, nor to compare by queries or judgements.
            attempts: carries out requests.

        Raises:
            InvalidQuery: queries are no strings, or one string in their place, or one is empty; they stand beside judgements, or
                without a check; judgements are no Judged of texts and whole grades; min_overlap is no share.
            InvalidDataset: the live collection holds no relevant document of the judgements.
            ReindexRefused: the live collection holds documents that cannot be restored whole, or names no tenant where what is
                nobody's is to be left out.
            IndexBusy: another process writes to the collection.
            IndexFailure: the index gave up; the same call again goes on from there.
            ModelError: likewise an embedder.
        """
        queries, judged = _checked_texts(queries), None if judged is None else checked_judged(judged)
        _check_share(min_overlap)
        if judged and queries:
            raise InvalidQuery("judged and queries both say what to compare by; leave out one of them")
        if live_embedder is None and (judged or queries):
            raise InvalidQuery("queries and judgements are for the check, which is to be left out; leave out either")
        info = attempts(lambda: self.collections.info(self.name))
        live_spec = self._of_ours(info)
        self.storage, self.spec = as_replaced(self.storage, info.details), self._wanted(live_spec)
        old_embedder = None if live_embedder is None else live_embedder(live_spec.fingerprint)  # before hours of embedding
        with closing(PatientIndex(self.collections.open(info.name, self.storage), attempts)) as live:
            if not (queries or judged) and (done := self._in_place(live, live_spec, only_if_needed=only_if_needed)):
                return done
            attempts(lambda: self.collections.check_alias(self.name))
            purpose = f"{self.name} after {info.name}{', of tenants alone' if self.drop_unowned else ''}"
            new_name = attempts(lambda: self._new_name(info.name, purpose))
            made = self.collections.open(new_name, self.storage, purpose, like=info.name)
            with closing(PatientIndex(made, attempts)) as new:
                live.ensure(live_spec, create=False)
                judged, notes = (judged, ()) if judged is None else self._measurable(live, judged)
                with live.claimed():  # what came in meanwhile would be missing
                    damage = survey(live, repeated=True)
                    unowned = self._unowned(live)
                    report, copied = self._filled(live, new, live_spec, damage)
                    check = None
                    if old_embedder is not None:
                        asked = judged or self._asked(live, queries)
                        check = replace(self._checked(live, new, old_embedder, asked, min_overlap), notes=notes)
                    if switched := check is None or check.passed:
                        attempts(lambda: self.collections.switch(self.name, new_name))
        left_out = (damage.damaged, damage.foreign, unowned, len(damage.repeated))
        return ReindexReport(info.name, new_name, report, check, switched, *left_out, copied=copied)

    def _of_ours(self, info: CollectionInfo) -> CollectionSpec:
        if info.spec is None:
            raise ReindexRefused(
                f"collection {self.name!r} at {info.location} was not made by this package, and is searched as it is; "
                f"`search adopt {shlex.quote(self.name)} --as NAME` copies it into one that can be reindexed"
            )
        return info.spec

    def _wanted(self, live: CollectionSpec) -> CollectionSpec:
        """What the settings want the collection to be; its tenants are those that the live one notes, if it does.

        Raises:
            ReindexRefused: the settings name another field of tenants, or none, or none at all where what is nobody's is to be
                left out.
        """
        try:
            check_spec(self.name, live, replace(live, tenant=self.tenant_field))
        except IndexMismatch as error:
            raise ReindexRefused(str(error)) from error
        if self.drop_unowned and not self.tenant_field:
            raise ReindexRefused(f"{self.name!r} has no tenants here, so that nothing in it is nobody's; set tenant_field")
        embedder = self.embedder
        return CollectionSpec(
            embedder.dimension, embedder.fingerprint, self.lexical, tenant=self.tenant_field, adopted=live.adopted
        )

    def _unowned(self, live: VectorIndex) -> int:
        """How many points are left out since they name no tenant.

        Raises:
            ReindexRefused: none names one, so that the field is hardly the right one.
        """
        if not self.drop_unowned:
            return 0
        *tenants, nobodys = parts_of(self.spec.tenant, live)
        unowned = live.count(nobodys)
        if unowned and not tenants:
            raise ReindexRefused(
                f"no document of {self.name!r} names a tenant in {self.spec.tenant}, so that the new collection would hold "
                "nothing; set tenant_field to where they do"
            )
        return unowned

    def _filled(self, live: VectorIndex, new: VectorIndex, spec: CollectionSpec, damage: Damage) -> tuple[IngestReport, int]:
        """Bring the documents over; those of each tenant by themselves, since another one's may have the same ids.

        Returns:
            What became of them, and how many passages were copied with their vectors.
        """
        alike = _digest_of(spec) == _digest_of(self.spec)
        copied: list[int] = []

        def brought(live: VectorIndex, new: VectorIndex) -> IngestReport:
            if alike and self._cut_alike(live):
                done = copy(live, new, self.spec, sync=True, on_progress=self.on_progress, damage=damage, words=self.words)
                copied.append(done.chunks)
            new.ensure(self.spec, create=True)  # though there be no document: the name is led to it
            report = self._ingestion(new).run(documents(live), sync=True, max_delete=sys.maxsize)
            if report.rejected:
                raise ReindexRefused(
                    f"{counted(report.rejected, 'document')} cannot be given back whole, such as {report.rejections[0]}; "
                    f"the new collection {new.name!r} was filled with the others, and {self.name!r} stays as it is"
                )
            return report

        if self.spec.tenant:
            report = part_by_part(live, new, self.spec, brought, unowned=not self.drop_unowned)
        else:
            report = brought(live, new)
        return report, sum(copied)

    def _alike(self, live: CollectionSpec) -> bool:
        """Whether the settings want the live collection to be what it is, but for words and storage."""
        wanted = self.spec
        return (_digest_of(live), live.dimension, live.tenant) == (_digest_of(wanted), wanted.dimension, wanted.tenant)

    def _in_place(self, live: VectorIndex, spec: CollectionSpec, *, only_if_needed: bool) -> ReindexReport | None:
        """Add words to the live one, or leave it, where nothing else is to be done; None where it is to be copied."""
        if self._alike(spec):
            if self.lexical and not spec.lexical:
                return self._worded(live, spec)
            if only_if_needed and self.lexical == spec.lexical:
                return self._as_it_is(live, spec)
        return None

    def _asked(self, live: VectorIndex, queries: Sequence[str]) -> Judged:
        """What both collections are asked: the queries, or beginnings of documents."""
        texts = queries or sampled(self._compared(live))
        return Judged({str(number): text for number, text in enumerate(texts)}, {})

    def _measurable(self, live: VectorIndex, judged: Judged) -> tuple[Judged, tuple[str, ...]]:
        """What of the judgements names documents of the live collection, and what does not, in words."""
        ids = sorted({document for grades in judged.qrels.values() for document in grades})
        return measurable(judged, frozenset(Selection(ids, None).among(self._compared(live)) if ids else ()))

    def _worded(self, live: VectorIndex, spec: CollectionSpec) -> ReindexReport | None:
        """Add words to the live collection; None if that is not possible, or would not be all there is to do."""
        if self.drop_unowned:
            return None
        live.ensure(spec, create=False)
        words = self.words(self.lexical)
        if words is None or live.differing or not live.can_add_words():
            return None
        with live.claimed():
            report = None if live.spec.lexical else self._unchanged(live)
            if report is None:
                return None
            unchanged, seconds = report.unchanged, report.seconds

            def embed(payloads: Sequence[Payload]) -> list[SparseVector | None]:
                return words.embed_passages([searchable_text(payload, words.fields) for payload in payloads])

            def on_added(passages: int) -> None:
                if self.on_progress:
                    self.on_progress(Progress(unchanged, passages, 0, 0, seconds))

            added = live.add_words(self.lexical, embed, on_added=on_added)
        return ReindexReport(live.target, live.target, report, None, switched=True, worded=added)

    def _as_it_is(self, live: VectorIndex, spec: CollectionSpec) -> ReindexReport | None:
        """Read the live collection, and leave it as it is, but for payload indexes; None if there is something to do."""
        live.ensure(spec, create=False, writing=True)  # payload indexes that are missing are made in place, as by an ingestion
        if live.differing:
            return None
        with live.claimed():
            report = None if self._unowned(live) else self._unchanged(live)
        return None if report is None else ReindexReport(live.target, live.target, report, None, switched=True, as_is=True)

    def _unchanged(self, live: VectorIndex) -> IngestReport | None:
        """The account of a live collection whose documents, ingested into it now, would leave every point as it is; else None."""
        if str(survey(live, repeated=True)):  # says what there is to leave out
            return None
        tenant = self.spec.tenant
        parts = [PartIndex(live, tenant, part) for part in parts_of(tenant, live)] if tenant else [live]
        report = together([self._ingestion(part).run(documents(part), dry_run=True) for part in parts])
        return None if report.changed or report.added or report.rejected else replace(report, dry_run=False)

    def _ingestion(self, index: VectorIndex) -> Ingestion:
        return Ingestion(
            self.embedder,
            index,
            self.chunker,
            max_characters=sys.maxsize,
            lexical=self.lexical,
            words=self.words,
            on_progress=self.on_progress,
        )

    def _new_name(self, live: str, purpose: str) -> str:
        """The name of the next version, or of one that an earlier run began with the same settings, which is continued."""
        match = _VERSION.fullmatch(live)
        version = int(match[2]) if match else 1
        taken = self.collections.names()
        while True:
            version += 1
            name = f"{match[1] if match else live}.v{version}"
            if name not in taken or self._fits(self.collections.info(name, exact=True), purpose):
                return name

    def _fits(self, begun: CollectionInfo, purpose: str) -> bool:
        if begun.aliases or begun.spec is None or begun.details.get("purpose") != purpose:
            return False  # somebody's own
        made, wanted = ((_digest_of(spec), spec.lexical, spec.tenant) for spec in (begun.spec, self.spec))
        return made == wanted and begun.details.get("storage") == self.storage.model_dump()

    def _cut_alike(self, live: VectorIndex) -> bool:
        """Whether the first document is cut as it would be now; others, too, are copied then, and cut anew where they are not."""
        first = next(documents(live), None)
        if not isinstance(first, Document):
            return False
        revision = first.content_hash(self.chunker.state(first))
        stored = live.scroll({"must": [{"key": "document_id", "match": {"value": first.id}}]}, ["revision"])
        return all(record.payload["revision"] == revision for record in passages(stored, ["revision"]))

    def _checked(self, live: VectorIndex, new: VectorIndex, embedder: Embedder, judged: Judged, min_overlap: float) -> Check:
        retrieval = self._comparable(live)
        live = self._compared(live)
        before = {one: self._first_documents(live, embedder, text, retrieval) for one, text in judged.queries.items()}
        after = {one: self._first_documents(new, self.embedder, text, retrieval) for one, text in judged.queries.items()}
        shared = [len(set(before[one]) & set(after[one])) / len(before[one]) for one in judged.queries if before[one]]
        overlap = sum(shared) / len(shared) if shared else 1.0
        if not judged.qrels:
            because = "" if overlap >= min_overlap else f"only {overlap:.0%} of the first {_TOP} documents are the same"
            return Check(len(before), overlap, None, None, not because, because, retrieval)
        from search.evaluation.measures import mean, measure, ranked

        old, now = (
            mean(measure({one: ranked(document_ids) for one, document_ids in run.items()}, judged.qrels, ["nDCG@10"]))["nDCG@10"]
            for run in (before, after)
        )
        because = "" if now >= old - _TOLERANCE else f"nDCG@10 falls from {old:.3f} to {now:.3f}"
        return Check(len(before), overlap, old, now, not because, because, retrieval)

    def _compared(self, live: VectorIndex) -> VectorIndex:
        """What of the live collection is to be found in the new one, too."""
        return (
            PartIndex(live, self.spec.tenant, {"must_not": [{"is_empty": {"key": self.spec.tenant}}]})
            if self.drop_unowned
            else live
        )

    def _comparable(self, live: VectorIndex) -> Retrieval | None:
        """How both are asked: by words, too, unless those of the live one cannot be made here any more."""
        try:
            self.words(live.spec.lexical)
        except IndexMismatch:
            return "dense"
        return None

    def _first_documents(self, index: VectorIndex, embedder: Embedder, query: str, retrieval: Retrieval | None) -> list[str]:
        whole = PartIndex(index, self.spec.tenant, None) if self.spec.tenant else index
        retriever = Retriever(embedder, whole, words=self.words)
        candidates = retriever.retrieve(query, _CANDIDATES, retrieval=retrieval).candidates
        return list(dict.fromkeys(candidate.document_id for candidate in candidates))[:_TOP]


def roll_back(collections: Collections, name: str) -> tuple[str, str]:
    """Lead a name back to the collection it led to before: which one it leaves, and which it leads to now.

    Raises:
        ReindexRefused: there is none.
        IndexBusy: another process writes to the one it leads to.
    """
    info = collections.info(name)
    previous = collections.previous(name)
    if previous is None:
        raise ReindexRefused(
            f"there is nothing to lead {name!r} back to: it was never led elsewhere, or the collection before was dropped; "
            "reindex it with the old settings"
        )
    _lead(collections, name, previous)
    return info.name, previous


def lead(collections: Collections, alias: str, name: str) -> str:
    """Lead an alias to the collection that is searched by a name, while nobody writes to what it leads to now; which one that is.

    Writers would go on where nobody searches. An alias that is led to its own name leads to the collection that is called so.

    Raises:
        CollectionNotFound: there is no such collection.
        IndexBusy: another process writes to the one that the alias leads to.
        IndexRejected: on a server, a collection is called like the alias.
        InvalidSettings: it is no valid name of a collection, so no request could name it.
    """
    checked_collection(alias)
    own = alias == name and name in collections.names()
    target = name if own else collections.aliases().get(name, name)
    _lead(collections, alias, target)
    return target


def _lead(collections: Collections, alias: str, target: str) -> None:
    """Lead an alias to a collection by its own name; likewise."""
    collections.check_alias(alias)
    leads_to = collections.aliases().get(alias, alias)
    spec = collections.info(leads_to, exact=True).spec if leads_to in collections.names() else None
    if spec is None:
        collections.switch(alias, target)
        return
    with closing(collections.open(leads_to, StorageSettings())) as live:
        live.ensure(spec, create=False)
        with live.claimed():
            collections.switch(alias, target)


def sampled(index: VectorIndex) -> list[str]:
    """Beginnings of some documents, the same each time, as queries."""
    scrolled = passages(index.scroll(FIRST_PASSAGES, ["document_id"]), ["document_id"])
    firsts = (str(record.payload["document_id"]) for record in scrolled)
    chosen = nsmallest(_SAMPLED, firsts, key=digest_of)
    if not chosen:
        return []
    these = {"must": [*FIRST_PASSAGES["must"], {"key": "document_id", "match": {"any": chosen}}]}
    texts = (str(record.payload["text"]) for record in passages(index.scroll(these, ["text"]), ["text"]))
    return sorted(" ".join(text.split()[:_WORDS]) for text in texts if text.strip())


def _checked_texts(queries: Sequence[str]) -> list[str]:
    texts = check_strings(queries, "queries", "queries")
    if (empty := next((number for number, text in enumerate(texts) if not text.strip()), None)) is not None:
        raise InvalidQuery(f"queries[{empty}] is empty, so that nothing can be compared by it; leave it out")
    return texts


def _check_share(min_overlap: Any) -> None:
    check_number("min_overlap", min_overlap)
    if not 0 <= min_overlap <= 1:
        raise InvalidQuery(f"min_overlap is {min_overlap:g}; give a share of the first documents from 0 to 1, such as 0.5")


def _digest_of(spec: CollectionSpec) -> str:
    return spec.fingerprint.rpartition("@")[2]
