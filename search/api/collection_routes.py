"""Collections: which there are, what is in them to filter by, where names lead."""

import time
from collections import Counter
from typing import Any

from fastapi import APIRouter, Request

from search.api.bodies import Alias, Answer, CollectionName, Failure
from search.api.parsing import parsed_route
from search.api.service import Service
from search.index.collections import CollectionInfo
from search.searcher import Searcher

_LOOKED_AT = 5_000  # passages, for what there is to filter by
_VALUES = 30  # of a field, the most frequent ones
_LONGEST = 100  # characters of a value that is shown to choose
_KEPT_S = 60.0


def collection_routes(service: Service) -> APIRouter:
    """The routes."""
    router = APIRouter(
        prefix="/v1/collections",
        route_class=parsed_route(service.parsing),
        tags=["collections"],
        responses={"default": {"model": Failure}},
    )
    may_look, may_manage = {"x-scope": "search", "x-queue": "look"}, {"x-scope": "admin", "x-queue": "write"}
    known: dict[str, tuple[float, Answer]] = {}

    @router.get("", openapi_extra=may_look)
    async def list_collections(request: Request) -> Answer:
        """List collections and the names that lead to them."""
        names, aliases = await service.look(request, lambda: (service.engine.names(), service.engine.aliases()))
        rows = [{"name": name, "aliases": [alias for alias, target in aliases.items() if target == name]} for name in names]
        return {"collections": rows, "default": service.settings.collection}

    @router.get("/{name}", openapi_extra=may_look)
    async def describe(request: Request, name: CollectionName) -> Answer:
        """Describe a collection: passages, embedder, storage."""
        return _told(await service.look(request, lambda: service.engine.info(name)))

    @router.get("/{name}/facets", openapi_extra={"x-scope": "search"})  # which are mostly known without waiting
    async def facets(request: Request, name: CollectionName) -> Answer:
        """The fields that documents have, with their most frequent values, to filter by."""
        at, answer = known.get(name, (float("-inf"), {}))
        if time.monotonic() < at + _KEPT_S:
            return answer
        found = await service.look(request, lambda: _facets(service.searcher(name)))
        known[name] = (time.monotonic(), found)
        return found

    @router.delete("/{name}", openapi_extra=may_manage)
    async def drop(request: Request, name: CollectionName) -> Answer:
        """Remove a collection for good; not one that an alias leads to, nor one that is in use."""
        await service.write(request, lambda: service.drop(name), units=1)
        return {"dropped": name}

    @router.post("/aliases", openapi_extra=may_manage)
    async def lead_alias(request: Request, given: Alias) -> Answer:
        """Lead an alias to a collection, in one step."""
        await service.write(request, lambda: service.lead(given.alias, given.collection), units=1)
        return {"alias": given.alias, "collection": given.collection}

    return router


def _told(info: CollectionInfo) -> Answer:
    return {
        "name": info.name,
        "aliases": list(info.aliases),
        "passages": info.points,
        "embedder": info.spec.fingerprint if info.spec else None,
        "dimension": info.spec.dimension if info.spec else None,
        **info.details,
    }


def _facets(searcher: Searcher) -> Answer:
    """Counted over documents, as far as the first passages go; numbers by their range."""
    values: dict[str, Counter[Any]] = {}
    numbers: dict[str, list[float]] = {}
    seen = 0
    for record in searcher.opened().scroll({"must": [{"key": "number", "match": {"value": 0}}]}, ["metadata", "media_type"]):
        seen += 1
        fields = {"media_type": record.payload["media_type"]}
        fields |= {f"metadata.{key}": value for key, value in record.payload["metadata"].items()}
        for name, value in fields.items():
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, bool | str) and len(str(one)) <= _LONGEST:
                    values.setdefault(name, Counter())[one] += 1
                elif isinstance(one, int | float):
                    numbers.setdefault(name, []).append(one)
        if seen == _LOOKED_AT:
            break
    shown = [
        {"field": name, "values": [{"value": one, "documents": number} for one, number in counted.most_common(_VALUES)]}
        for name, counted in sorted(values.items())
    ]
    ranges = [{"field": name, "least": min(found), "most": max(found)} for name, found in sorted(numbers.items())]
    return {"documents": seen, "complete": seen < _LOOKED_AT, "fields": shown, "ranges": ranges}
