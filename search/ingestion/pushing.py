"""How does an embedded collection get to a server? Copied with its vectors and words, tenant by tenant where tenants share it."""

from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import Any

from search.embedding.sparse import WordsLike
from search.errors import IndexMismatch, InvalidQuery
from search.index.collections import Collections, as_replaced
from search.index.contract import PlainFilter, VectorIndex
from search.index.retrying import Attempts, OnWait, Patience, PatientIndex
from search.index.tenants import PartIndex, Tenant
from search.ingestion.copying import copy
from search.ingestion.lookup import Stored, digest_of, others
from search.ingestion.partwise import part_by_part
from search.ingestion.report import EXAMPLES, IngestReport, Noted, OnProgress
from search.settings import Settings, check_tenancy


@dataclass(frozen=True, slots=True)
class Push:
    """What became of it."""

    ingest: IngestReport  # how the server's collection was filled; it keeps documents that were ingested or updated there since
    kept_ids: tuple[str, ...]  # some of those, in order
    only_there: int  # documents that the server's has and the embedded one has not; they stay, too
    only_there_ids: tuple[str, ...]  # some of those, in order

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data, the report's fields among the others."""
        return {**{name: value for name, value in asdict(self).items() if name != "ingest"}, **self.ingest.to_dict()}


def push(
    embedded: Collections,
    server: Collections,
    settings: Settings,
    *,
    words: WordsLike,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
    on_wait: OnWait | None = None,
) -> Push:
    """Copy the collection that the settings name, under its name. Killed, the same call goes on; run again, it brings what is new.

    Nothing is removed there.

    Args:
        embedded: has the collection, which is only read.
        server: gets it. What is not there is made, quantized and indexed like what is copied, unless the settings say otherwise.
        settings: name the collection, the tenant whose documents alone are meant, and how long failures are waited out.
        words: gives what makes words like the collection's.
        overwrite: replace those documents, too, that no push has brought, as they were ingested or updated on the server.
        on_progress: called after every group of documents.
        on_wait: called before each pause for a failure that may pass.

    Raises:
        InvalidSettings: a tenant is named, and not in which field documents name theirs.
        InvalidQuery: the tenant has no documents.
        CollectionNotFound: there is no such collection.
        CollectionUnshared: the server's does not note that tenants share it.
        IndexMismatch: the server's is of another embedder, or another program made either of them.
        IndexBusy: another process uses either of them.
        IndexFailure: either of them gave up; what was written stays.
    """
    info = embedded.info(settings.collection)
    storage = as_replaced(settings.storage, info.details)
    with closing(embedded.named(settings.collection, settings.storage)) as source:
        if info.spec is None:
            raise IndexMismatch(f"collection {info.name!r} at {info.location} was not made by this package")
        spec = replace(info.spec, tenant=info.spec.tenant or settings.tenant_field or "")
        check_tenancy(spec.tenant or None, settings.tenant)
        source.ensure(spec, create=False)
        target = PatientIndex(
            server.named(settings.collection, storage), Attempts(Patience(settings.ingestion.patience_s), on_wait)
        )
        kept, only_there = Noted[str](EXAMPLES), Noted[str](EXAMPLES)

        def keep(document_id: str, standing: Stored) -> bool:
            if overwrite or standing.pushed:
                return False
            kept.add(document_id)
            return True

        def copied(here: VectorIndex, there: VectorIndex) -> IngestReport:
            report = copy(here, there, spec, on_progress=on_progress, words=words, keep=keep, pushed=True)
            ours = {digest_of(document_id) for document_id in others(here, lambda _: False)}
            for document_id in others(there, lambda one: digest_of(one) in ours):
                only_there.add(document_id)
            return report

        if not spec.tenant:
            report = copied(source, target)
        else:
            parts = None if settings.tenant is None else [_part_of(source, Tenant(spec.tenant, settings.tenant))]
            report = part_by_part(source, target, spec, copied, parts)
        return Push(report, tuple(sorted(kept.first)), only_there.count, tuple(sorted(only_there.first)))


def _part_of(source: VectorIndex, tenant: Tenant) -> PlainFilter:
    if not PartIndex(source, tenant.field, tenant.documents).count():
        name, place = source.name, source.location
        raise InvalidQuery(
            f"the tenant {tenant.name!r} has no documents in collection {name!r} at {place}: ingest some for it first"
        )
    return tenant.documents
