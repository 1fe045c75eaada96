"""Documents: upsert, update, delete, get, count."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import ValidationError
from starlette.convertors import Convertor, register_url_convertor

from search.api.errors import Refused, said
from search.api.parsing import repeated
from search.api.routes import answers
from search.api.routes.answers import gives
from search.api.routes.bodies import LONGEST_ID, Answer, CollectionName, Count, DocumentBody, Removal, Update, Upsert, own_router
from search.api.state import Service
from search.documents import Document, Number, Rejection, counted, encodable, half_surrogate
from search.errors import InvalidDocument
from search.ingestion.report import IngestReport

_SHOWN = 3  # faults of a document …
_SHOWN_NAME = 80  # … and characters of a field's name


class _Id(Convertor[str]):
    """A part of a path that is any id at all, with slashes and line breaks."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("id", _Id())


def document_routes(service: Service) -> APIRouter:
    """The routes."""
    router = own_router(service.parsing, "documents", "/v1/documents")
    may_write, may_search = {"x-scope": "write", "x-queue": "write"}, {"x-scope": "search", "x-queue": "look"}

    @router.post("", openapi_extra=may_write, responses=gives(answers.Report))
    async def upsert(request: Request, body: Upsert) -> Answer:
        """Add documents, replace changed ones, leave unchanged ones alone.

        What cannot be taken stands in `rejections`.
        """
        if (number := len(body.documents)) > (most := service.limits.max_texts):
            raise Refused(422, "InvalidDocument", f"{counted(number, 'document')} are more than {most:,}; send fewer at once")

        def work() -> IngestReport:
            items = (_document(place, document, service) for place, document in enumerate(body.documents))
            searcher, create = service.searcher(request, body.collection, make=True), service.makes(request, body.collection)
            return searcher.ingest(items, dry_run=body.dry_run, create=create)

        return (await service.write(request, work, units=number)).to_dict()

    @router.patch("", openapi_extra=may_write, responses=gives(answers.Report))
    async def update(request: Request, body: Update) -> Answer:
        """Change the metadata of documents, by ids or by a filter, without embedding them again.

        Ids that are not there stand in `rejections`.
        """

        def work() -> IngestReport:
            searcher = service.searcher(request, body.collection)
            return searcher.update(body.metadata, ids=body.ids, filter=body.filter, dry_run=body.dry_run)

        return (await service.write(request, work, units=max(1, len(body.ids)))).to_dict()

    @router.post("/delete", openapi_extra=may_write, responses=gives(answers.Removed))
    async def delete(request: Request, body: Removal) -> Answer:
        """Remove documents, by ids or by a filter.

        Ids that are not there are no error, and stand in `not_found`.
        """
        gone: list[str] = []

        def work() -> Number:
            return service.searcher(request, body.collection).delete(
                ids=body.ids, filter=body.filter, dry_run=body.dry_run, on_change=lambda _, document_id: gone.append(document_id)
            )

        removed: Number = await service.write(request, work, units=max(1, len(body.ids)))
        there = set(gone)
        absent = [one for one in dict.fromkeys(body.ids) if one not in there]
        about = {"document_ids": gone, "not_found": absent, "warnings": removed.warnings}
        return {"removed": int(removed), "dry_run": body.dry_run, **about}

    @router.post("/count", openapi_extra=may_search, responses=gives(answers.Passages))
    async def count(request: Request, body: Count) -> Answer:
        """Count the passages that pass a filter, or all.

        `warnings` say of a filter that none passes what may be wrong with it.
        """
        passages: Number = await service.look(request, lambda: service.searcher(request, body.collection).count(body.filter))
        return {"passages": int(passages), "warnings": passages.warnings}

    @router.get("/{document_id:id}", openapi_extra=may_search, responses=gives(answers.Document))
    async def get(
        request: Request,
        document_id: Annotated[str, Path(description="As it was ingested, slashes as they are.")],
        collection: Annotated[CollectionName | None, Query(description="Of which collection, or alias.")] = None,
    ) -> Answer:
        """Return a document as it was ingested."""
        document = asdict(await service.look(request, lambda: service.searcher(request, collection).get(document_id)))
        del document["origin"], document["folder"], document["places"], document["remarks"]
        return document

    return router


def _faults(value: Any, error: ValidationError) -> str:
    if (name := repeated(value)) is not None:
        return f"{name} stands twice in one object; send it once"
    if (half := half_surrogate(value)) is not None:
        return f"{half} holds half of a surrogate pair; re-encode it"
    errors = error.errors(include_url=False, include_input=False)[:_SHOWN]
    return "; ".join(
        f"{'.'.join(str(part)[:_SHOWN_NAME] for part in entry['loc']) or 'document'}: {said(entry)}" for entry in errors
    )


def _document(number: int, value: Any, service: Service) -> Document | Rejection:
    """A document, or why it is none. Paths of this machine mean nothing here: only text is taken."""
    place = f"documents[{number}]"
    document_id = value.get("id") if isinstance(value, dict) else None
    if not isinstance(document_id, str) or not encodable(document_id) or len(document_id) > LONGEST_ID:
        document_id = None
    try:
        fields = DocumentBody.model_validate(value).model_dump()
        if len(fields["text"]) > service.limits.max_characters:
            reason = f"{len(fields['text']):,} characters are more than {service.limits.max_characters:,}; split it"
            return Rejection(place, None, document_id, reason)
        return Document(**fields, origin=place)
    except ValidationError as error:
        return Rejection(place, None, document_id, _faults(value, error))
    except InvalidDocument as error:
        return Rejection(place, None, document_id, str(error))
