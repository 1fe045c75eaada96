"""The app: its routes behind the gate, and its answers to errors."""

import contextlib
import functools
import importlib.metadata
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio.to_thread
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from search.api.errors import Refused, body, quoted, said, status
from search.api.gate import Gate
from search.api.metrics import CONTENT_TYPE
from search.api.routes.answers import FAILING, Health, Readiness, Responses, gives
from search.api.routes.collections import collection_routes
from search.api.routes.documents import document_routes
from search.api.routes.page import page_routes
from search.api.routes.rerank import rerank_routes
from search.api.routes.search import search_routes
from search.api.state import Service
from search.errors import SearchError

_log = logging.getLogger("search.api")
_SHOWN = 3  # problems of a request that a message names
_UNPROCESSABLE = 422
_DESCRIPTION = """Two-stage search: retrieval from Qdrant, reranking by an ONNX cross-encoder.

Every answer says what happened: `rerank_status`, `reason`, models, timings, `request_id`. Errors say what to do next.
Send a key as `Authorization: Bearer KEY` where the service asks for one, and where several customers share its collections and
the key is not for one of them, the header `X-Tenant` says whose documents are meant.
"""
_KEYS = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_TENANT = {
    "name": "X-Tenant",
    "in": "header",
    "description": "For whom, where the key does not say it; percent-encoded where it is not ASCII.",
    "schema": {"type": "string", "minLength": 1},
}


def build_app(service: Service) -> ASGIApp:
    """The whole of it, for a service that is warmed up."""
    app = build_routes(service)
    gated: ASGIApp = Gate(app, service, routes=lambda: app.routes)
    if service.limits.origins:
        gated = CORSMiddleware(
            gated,
            allow_origins=sorted(service.limits.origins),
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-Id", "X-Tenant", "traceparent", "tracestate"],
            expose_headers=["*"],
        )
    return gated


def build_routes(service: Service) -> FastAPI:
    """The app without its gate."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await anyio.to_thread.run_sync(service.close)

    app = FastAPI(
        title="Two-stage search",
        description=_DESCRIPTION,
        version=importlib.metadata.version("two-stage-search"),
        lifespan=lifespan,
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # they lead to whatever Host says
    )
    _add_operations(app, service)
    for add in (search_routes, document_routes, collection_routes, rerank_routes):
        app.router.routes.extend(add(service).routes)  # flat, so that the gate knows which one answers
    app.router.routes.extend(page_routes().routes)
    _add_failures(app, service)
    return app


def _add_operations(app: FastAPI, service: Service) -> None:
    public = {"x-scope": "open"}
    unready: Responses = {503: {"model": Readiness}}
    written: Responses = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}

    @app.get("/healthz", openapi_extra=public, tags=["operations"], responses=FAILING | gives(Health))
    @app.get("/health", openapi_extra=public, tags=["operations"], responses=FAILING | gives(Health))
    async def healthz() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @app.get("/readyz", openapi_extra=public, tags=["operations"], response_model=Readiness, responses=FAILING | unready)
    async def readyz() -> Response:
        """Whether it takes requests.

        Models are loaded, the engine answers, and it is not shutting down.
        """
        ready = service.answering
        return JSONResponse({"ready": ready}, 200 if ready else 503)

    @app.get(
        "/metrics", openapi_extra={"x-scope": "admin"}, tags=["operations"], response_class=Response, responses=FAILING | written
    )
    async def metrics() -> Response:
        """What was counted since the start, for Prometheus."""
        await service.health.refresh()
        return Response(service.metrics.written(), media_type=CONTENT_TYPE)

    @functools.cache
    def described() -> dict[str, Any]:
        return _completed(app.openapi(), service)

    @app.get("/openapi.json", openapi_extra=public, include_in_schema=False)
    async def openapi() -> JSONResponse:
        """This description."""
        return JSONResponse(described())


def _completed(described: dict[str, Any], service: Service) -> dict[str, Any]:
    """The description, with what each operation is in one line, and what shows who asks, and for whom."""
    described["components"]["securitySchemes"] = _KEYS
    for operation in (one for methods in described["paths"].values() for one in methods.values()):
        first, _, rest = operation.get("description", operation["summary"]).partition("\n\n")
        operation["summary"] = first.removesuffix(".")
        scope = operation["x-scope"]
        whose = "For anybody, without a key." if scope == "open" else f"For keys of the scope `{scope}`, where there are keys."
        operation["description"] = f"{rest}\n\n{whose}".strip()
        for content in operation["responses"]["200"]["content"].values():
            if reference := content["schema"].get("$ref"):  # beside it stands what is so of any object
                content["schema"] = {"$ref": reference}
        if scope == "open":
            continue
        operation["security"] = [*([] if service.keys.any else [{}]), *({name: []} for name in _KEYS)]  # {}: none is needed
        if service.settings.tenant_field is not None:
            operation["parameters"] = [*operation.get("parameters", []), _TENANT]
    return described


def _add_failures(app: FastAPI, service: Service) -> None:
    def respond(request: Request, refusal: Refused) -> JSONResponse:
        state = request.state
        return JSONResponse(body(state.dialect, refusal, state.request_id), status(state.dialect, refusal), refusal.headers)

    def known(request: Request, error: SearchError) -> JSONResponse:
        refusal = service.refusal(request, error)
        if refusal.status >= 500:  # noqa: PLR2004  # the service's own fault
            _log.error("request %s failed", request.state.request_id, exc_info=error)
        return respond(request, refusal)

    def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        return respond(request, Refused(_UNPROCESSABLE, "InvalidRequest", _problems(error)))

    def of_http(request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error.__cause__, Refused):  # while the body was read
            return respond(request, error.__cause__)
        if isinstance(error.__cause__, RequestValidationError):  # likewise
            return malformed(request, error.__cause__)
        message = {404: "there is no such path; GET /openapi.json lists them", 405: "this path takes other methods"}
        words = message.get(error.status_code, str(error.detail))
        return respond(request, Refused(error.status_code, "HTTPError", words, _with_head(dict(error.headers or {}))))

    def unforeseen(request: Request, error: Exception) -> JSONResponse:
        _log.error("request %s failed", request.state.request_id, exc_info=error)
        message = f"the service failed; its log has the rest under request {request.state.request_id}"
        return respond(request, Refused(500, "InternalError", message))

    handlers: dict[type[Exception], Callable[[Request, Any], Response]] = {
        Refused: respond,
        SearchError: known,
        RequestValidationError: malformed,
        HTTPException: of_http,
        Exception: unforeseen,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def _with_head(headers: dict[str, str]) -> dict[str, str]:
    """Headers that allow HEAD where they allow GET; see Gate."""
    allowed = headers.get("Allow", "")
    return headers | {"Allow": f"{allowed}, HEAD"} if "GET" in allowed.split(", ") else headers


def _problems(error: RequestValidationError) -> str:
    """What is wrong with a request, without repeating it."""
    errors = error.errors()
    shown = [_problem(entry) for entry in errors[:_SHOWN]]
    more = f"; and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else ""
    return "; ".join(dict.fromkeys(shown)) + more


def _problem(entry: dict[str, Any]) -> str:
    if entry["type"] == "json_invalid":
        return f"the body is no JSON: {entry['ctx']['error']} at character {int(entry['loc'][-1]) + 1}"
    return f"{'.'.join(map(_step, entry['loc'][1:])) or 'body'}: {said(entry)}"


def _step(step: object) -> str:
    """A field's name, which the client may have made up; or a place in a list."""
    return quoted(step)[1:-1]
