"""Documents: put in, changed, taken out, given back, counted."""

from dataclasses import asdict

from fastapi import APIRouter, Request

from search.api.bodies import Answer, CollectionName, Count, Failure, Removal, Update, Upsert
from search.api.failures import Refused
from search.api.service import Service
from search.documents import Document, Rejection
from search.errors import InvalidDocument
from search.ingestion import IngestReport
from search.ingestion.restoring import selected
from search.ingestion.selection import Selection


def document_routes(service: Service) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1/documents", tags=["documents"], responses={"default": {"model": Failure}})
    _add_writing(router, service)
    _add_reading(router, service)
    return router


def _add_writing(router: APIRouter, service: Service) -> None:
    may_write = {"x-scope": "write", "x-queue": "write"}

    @router.post("", openapi_extra=may_write)
    async def upsert(request: Request, given: Upsert) -> Answer:
        """Add documents, replace changed ones, leave unchanged ones alone. What cannot be taken stands in `rejections`."""
        _few_enough(service, len(given.documents), "documents")
        items = [_document(number, one.model_dump(), service) for number, one in enumerate(given.documents)]

        def work() -> IngestReport:
            return service.searcher(given.collection, make=True).ingest(items, dry_run=given.dry_run)

        return (await service.write(request, work, units=len(items))).to_dict()

    @router.patch("", openapi_extra=may_write)
    async def update(request: Request, given: Update) -> Answer:
        """Change the metadata of documents, without embedding them again."""

        def work() -> IngestReport:
            searcher = service.searcher(given.collection)
            return searcher.update(given.metadata, ids=given.ids, filter=given.filter, dry_run=given.dry_run)

        return (await service.write(request, work, units=max(1, len(given.ids)))).to_dict()

    @router.post("/delete", openapi_extra=may_write)
    async def delete(request: Request, given: Removal) -> Answer:
        """Remove documents, by id or by a filter."""
        gone: list[str] = []

        def work() -> int:
            return service.searcher(given.collection).delete(
                ids=given.ids, filter=given.filter, dry_run=given.dry_run, on_change=lambda _, one: gone.append(one)
            )

        removed = await service.write(request, work, units=max(1, len(given.ids)))
        return {"removed": removed, "dry_run": given.dry_run, "document_ids": gone}


def _add_reading(router: APIRouter, service: Service) -> None:
    may_search = {"x-scope": "search", "x-queue": "look"}

    @router.post("/count", openapi_extra=may_search)
    async def count(request: Request, given: Count) -> Answer:
        """Count the passages that pass a filter, or all."""
        return {"passages": await service.look(request, lambda: service.searcher(given.collection).count(given.filter))}

    @router.get("/{document_id:path}", openapi_extra=may_search)
    async def get(request: Request, document_id: str, collection: CollectionName | None = None) -> Answer:
        """Give a document back as it came."""

        def work() -> list[Document | Rejection]:
            return list(selected(service.searcher(collection).opened(), Selection([document_id], None)))

        found = await service.look(request, work)
        if not found:
            raise Refused(404, "DocumentNotFound", f"there is no document {document_id!r}")
        if isinstance(found[0], Rejection):
            raise Refused(409, "DocumentIncomplete", f"{found[0].document_id!r}: {found[0].reason}")
        told = asdict(found[0])
        del told["origin"]
        return told


def _few_enough(service: Service, number: int, what: str) -> None:
    if number > service.limits.max_texts:
        raise Refused(422, "InvalidDocument", f"{number:,} {what} are more than {service.limits.max_texts:,}; send fewer at once")


def _document(number: int, fields: Answer, service: Service) -> Document | Rejection:
    """A document, or why it is none. Paths of this machine mean nothing here: only text is taken."""
    place = f"documents[{number}]"
    if len(fields["text"]) > service.limits.max_characters:
        reason = f"{len(fields['text']):,} characters are more than {service.limits.max_characters:,}; split it"
        return Rejection(place, None, fields["id"], reason)
    try:
        return Document(**fields, origin=place)
    except InvalidDocument as error:
        return Rejection(place, None, fields["id"], str(error))
