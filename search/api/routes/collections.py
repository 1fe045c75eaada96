"""Collections: which there are, what is in them to filter by, where names lead."""

from fastapi import APIRouter, Request

from search.api.routes import answers
from search.api.routes.answers import gives
from search.api.routes.bodies import Alias, Answer, CollectionName, own_router
from search.api.state import Service


def collection_routes(service: Service) -> APIRouter:
    """The routes."""
    router = own_router(service.parsing, "collections", "/v1/collections")
    may_look, may_manage = {"x-scope": "search", "x-queue": "look"}, {"x-scope": "admin", "x-queue": "write"}

    @router.get("", openapi_extra=may_look, responses=gives(answers.Collections))
    async def list_collections(request: Request) -> Answer:
        """List collections and the names that lead to them."""
        names, aliases = await service.look(request, lambda: (service.engine.names(), service.engine.aliases()))
        rows = [{"name": name, "aliases": [alias for alias, target in aliases.items() if target == name]} for name in names]
        return {"collections": rows, "default": service.settings.collection}

    @router.get("/{name}", openapi_extra=may_look, responses=gives(answers.Collection))
    async def describe(request: Request, name: CollectionName) -> Answer:
        """Describe a collection: passages, embedder, storage."""
        if not request.state.bound:
            info = await service.look(request, lambda: service.engine.info(name))
            return {"name": info.name, **info.described(), **info.details}

        def work() -> Answer:
            searcher = service.searcher(request, name)
            return {"name": name, "passages": searcher.count(), "embedder": searcher.embedder.fingerprint}

        return await service.look(request, work)

    # Without x-queue, since they are mostly known without waiting.
    @router.get("/{name}/facets", openapi_extra={"x-scope": "search"}, responses=gives(answers.Facets))
    async def facets(request: Request, name: CollectionName) -> Answer:
        """List what there is to filter by.

        The fields that documents have, with their most frequent values, or their range of numbers.
        """
        whose = (request.state.tenant, name)
        if (kept := service.facets.get(whose)) is not None:
            return kept
        writes = service.facets.writes
        counted = await service.look(request, lambda: service.searcher(request, name).facets())
        service.facets.put(whose, counted, writes)
        return counted

    @router.delete("/{name}", openapi_extra=may_manage, responses=gives(answers.Dropped))
    async def drop(request: Request, name: CollectionName) -> Answer:
        """Remove a collection for good.

        Not one that an alias leads to, nor one that is in use.
        """
        await service.write(request, lambda: service.drop(name), units=1)
        return {"dropped": name}

    @router.post("/aliases", openapi_extra=may_manage, responses=gives(answers.Led))
    async def lead_alias(request: Request, body: Alias) -> Answer:
        """Lead an alias to a collection.

        To the one that is searched by a name; to the one of its own name, and it is no alias any more.
        """
        target = await service.write(request, lambda: service.lead(body.alias, body.collection), units=1)
        return {"alias": body.alias, "collection": target}

    @router.delete("/aliases/{name}", openapi_extra=may_manage, responses=gives(answers.Forgotten))
    async def forget_alias(request: Request, name: CollectionName) -> Answer:
        """Forget an alias; the collection stays."""
        await service.write(request, lambda: service.forget(name), units=1)
        return {"forgotten": name}

    return router
