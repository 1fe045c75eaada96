"""How does an embedded collection get to a server? Copied with its vectors and words, tenant by tenant where tenants share it."""

from contextlib import closing
from dataclasses import replace

from search.embedding.sparse import WordsLike
from search.errors import IndexMismatch
from search.index.collections import Collections, as_replaced
from search.index.contract import VectorIndex
from search.index.retrying import Attempts, OnWait, Patience, PatientIndex
from search.index.tenants import Tenant, parts_of
from search.ingestion.copying import copy
from search.ingestion.partwise import part_by_part
from search.ingestion.report import IngestReport, OnProgress
from search.settings import Settings, check_tenancy


def push(
    embedded: Collections,
    server: Collections,
    settings: Settings,
    *,
    words: WordsLike,
    on_progress: OnProgress | None = None,
    on_wait: OnWait | None = None,
) -> IngestReport:
    """Copy the collection that the settings name, under its name. Killed, the same call goes on; run again, it brings what is new.

    Args:
        embedded: has the collection, which is only read.
        server: gets it. What is not there is made, quantized and indexed like what is copied, unless the settings say otherwise.
        settings: name the collection, the tenant whose documents alone are meant, and how long failures are waited out.
        words: gives what makes words like the collection's.
        on_progress: called after every group of documents.
        on_wait: called before each pause for a failure that may pass.

    Raises:
        InvalidSettings: a tenant is named, and not in which field documents name theirs.
        CollectionNotFound: there is no such collection.
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

        def copied(here: VectorIndex, there: VectorIndex) -> IngestReport:
            return copy(here, there, spec, on_progress=on_progress, words=words)

        if not spec.tenant:
            return copied(source, target)
        parts = parts_of(spec.tenant, source) if settings.tenant is None else [Tenant(spec.tenant, settings.tenant).documents]
        return part_by_part(source, target, spec, copied, parts)
