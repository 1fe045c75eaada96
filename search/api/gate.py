"""What does every request pass? Checks of host and key, limits of size and time, metrics and a log line.

Written against ASGI itself: what is refused is refused before its body is read, and nothing delays an answer.
"""

import asyncio
import json
import logging
import re
import time
import uuid
from typing import Any
from urllib.parse import unquote

from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from search.api.errors import Refused, body, quoted, refused, unended
from search.api.keys import EVERYTHING
from search.api.state import Service
from search.api.traces import Traces
from search.errors import ServiceOverloaded
from search.network.addresses import is_local, plain_name
from search.settings import checked_tenant

_log = logging.getLogger("search.api")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", _POLICY.encode()),
]
_PORT = re.compile(r":\d*$")
_METHODS = {"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"}
_WITHOUT_BODY = {"GET", "HEAD", "OPTIONS"}
_ELSEWHERE = "manage collections with `search collections` or another service, and read metrics with a key of the scope admin"
_PUBLIC = {"", "open"}  # scopes that need no key: of no route, of health checks, and of the page's own files


class Gate:
    """ASGI middleware around the app."""

    def __init__(self, app: ASGIApp, service: Service, *, routes: Any) -> None:
        """Wrap the app; `routes` gives its routes, each of which names its scope."""
        self._app = app
        self._service = service
        self._shared, self._tenant = service.settings.tenant_field is not None, service.settings.tenant
        self._names = {plain_name(name) for name in service.limits.hosts}
        self._untraced = Traces(None)
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or refuse it; log and count the outcome."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        sent_id = headers.get(b"x-request-id", "")
        request_id = sent_id if _REQUEST_ID.fullmatch(sent_id) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        method = scope["method"] if scope["method"] in _METHODS else "other"  # lest strangers fill the memory with them
        if method == "HEAD":
            scope = {**scope, "method": "GET"}  # the server leaves the answer's body out
        route, name, required = self._route(scope)
        scope["state"]["dialect"] = _extra(route).get("x-errors", "")
        traces = self._untraced if required in _PUBLIC else self._service.traces
        status, answered = 500, False

        async def counted(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status, answered = message["status"], True
                own = {name for name, _ in message.get("headers", [])}
                added = [(b"x-request-id", request_id.encode()), *((name, value) for name, value in _HEADERS if name not in own)]
                closing = [(b"connection", b"close")] if self._is_last(scope) and b"connection" not in own else []
                message["headers"] = [*message.get("headers", []), *added, *closing]
            await send(message)

        with traces.request(f"{method} {name}", headers) as span:
            try:
                self._admit(scope, headers, route, required)
                limited = self._limited(headers, receive)
                if not _closes(scope, headers):
                    self._find_room(route, request_id)
                await self._app(scope, limited, counted)
            except Refused as refusal:
                await answer(counted, scope["state"], refusal)
            except asyncio.CancelledError:  # the service ends, and its time for this is over
                if answered:
                    raise
                await answer(counted, scope["state"], unended(written=scope["state"].get("written", False)))
            finally:
                seconds = time.perf_counter() - started
                self._service.metrics.requests.labels(name, method, str(status)).inc()
                self._service.metrics.request_seconds.labels(name).observe(seconds)
                span.attributes = {"http.request.method": method, "http.route": name, "http.response.status_code": status}
                span.attributes["search.request_id"] = request_id
                fields = {"request_id": request_id, "method": method, "route": name, "status": status}
                fields |= {"ms": round(seconds * 1000, 1), "key": scope["state"].get("key")}
                fields |= {"tenant": scope["state"]["tenant"]} if scope["state"].get("tenant") else {}
                fields |= {"trace_id": span.trace_id} if span.trace_id else {}
                _log.info("%s %s %s", method, name, status, extra={"fields": fields})

    def _is_last(self, scope: Scope) -> bool:
        """Whether a connection takes nothing more: it is one too many, or the service ends."""
        return bool(scope["state"].get("full")) or not self._service.ready

    def _route(self, scope: Scope) -> tuple[Any, str, str | None]:
        """The route that will answer, its name for metrics, and the scope that it requires; None where there is no rule."""
        for route in self._routes():
            match, _ = route.matches(scope)
            if match is Match.FULL:
                return route, route.path, rule_of(route)
        return None, "unknown", ""

    def _admit(self, scope: Scope, headers: dict[bytes, str], route: Any, required: str | None) -> None:
        host = _PORT.sub("", headers.get(b"host", ""))
        if not self._service.keys.any and not (is_local(host) or plain_name(host) in self._names):
            message = f"this service is not called {quoted(host)}; SEARCH_SERVICE__HOSTS names what else it is called"
            raise Refused(421, "WrongHost", message)  # lest a web page reaches it by a name of its own
        if required is None:
            raise Refused(403, "Forbidden", f"{route.path} is closed, since nobody said who may use it")
        if required in _PUBLIC:
            return
        if scope["state"].get("full"):
            message = "there are too many connections; come again in 1 s, and keep fewer open"
            raise Refused(503, "TooManyConnections", message, {"Retry-After": "1", "Connection": "close"})
        if self._service.keys.any:
            scheme, _, bearer = headers.get(b"authorization", "").partition(" ")
            key = headers.get(b"x-api-key") or (bearer.strip() if scheme.lower() == "bearer" else "")
            known = self._service.keys.find(key) if key else None
            if known is None:
                what = "this key is not known" if key else "a key is needed: send Authorization: Bearer KEY"
                raise Refused(401, "Unauthorized", what, {"WWW-Authenticate": "Bearer"})
            scope["state"]["key"], scopes, bound = known
        else:
            scopes, bound = EVERYTHING, None
        if required not in scopes:
            raise Refused(403, "Forbidden", f"this key may not do that: it needs the scope {required}")
        if required == "admin" and self._tenant is not None and not (self._service.keys.any and scope["method"] == "GET"):
            raise Refused(403, "Forbidden", f"this service is for one tenant, and this is for all; {_ELSEWHERE}")
        scope["state"]["tenant"], scope["state"]["bound"] = self._tenant_of(scope, bound), (bound or self._tenant) is not None
        scope["state"]["admitted"] = True
        if scope["method"] not in _WITHOUT_BODY and (headers.get(b"content-length", "0") != "0" or b"transfer-encoding" in headers):
            _check_body(scope, headers)

    def _tenant_of(self, scope: Scope, bound: str | None) -> str | None:
        """For which tenant a request is: that of its key, of the service, or of its header; None if nobody said.

        Raises:
            Refused: it may not be for that one, or nothing here knows of tenants.
        """
        sent = [value for name, value in scope["headers"] if name.lower() == b"x-tenant"]
        own = [one for one in (bound, self._tenant) if one is not None]
        if sent and not self._shared:
            raise Refused(
                422, "InvalidQuery", "there are no tenants here (the setting tenant_field is not set); leave out X-Tenant"
            )
        try:
            named = [checked_tenant(unquote(one.decode("ascii"), errors="strict")) for one in sent]
        except ValueError:
            named = []
        if len(sent) > 1 or len(named) < len(sent):
            message = "X-Tenant is sent once, with the tenant's name in UTF-8, percent-encoded where it is not ASCII"
            raise Refused(422, "InvalidQuery", message)
        if len({*own, *named}) > 1:
            what = "this key" if bound is not None else "this service"
            raise Refused(
                403, "Forbidden", f"{what} is for one tenant, and not for another; leave out X-Tenant, or send another key"
            )
        return next(iter({*own, *named}), None)

    def _find_room(self, route: Any, request_id: str) -> None:
        """Refuse a request whose queue is full, before its body is read."""
        queue = self._service.queues.get(_extra(route).get("x-queue", ""))
        try:
            if queue is not None:
                queue.refuse_if_full()
        except ServiceOverloaded as error:
            self._service.metrics.refusals.inc()
            raise refused(error, request_id) from error

    def _limited(self, headers: dict[bytes, str], receive: Receive) -> Receive:
        """Receive no more than is allowed, and not for longer."""
        limits = self._service.limits
        limit = int(limits.max_body_mb * 1_000_000)
        length = headers.get(b"content-length", "")
        too_large = Refused(413, "TooLarge", f"the request is larger than {limits.max_body_mb:g} MB; send it in parts")
        if length.isdecimal() and int(length) > limit:
            raise too_large
        ends = time.monotonic() + limits.receive_s
        seen, whole = 0, False

        async def limited() -> Message:
            nonlocal seen, whole
            if whole:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, ends - time.monotonic()))
            except TimeoutError as error:
                raise Refused(408, "TooSlow", f"the request did not arrive within {limits.receive_s:g} s") from error
            seen += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if seen > limit:
                raise too_large
            return message

        return limited


def _check_body(scope: Scope, headers: dict[bytes, str]) -> None:
    """Refuse a body that is no JSON as it stands."""
    if headers.get(b"content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "UnsupportedMediaType", "send Content-Type: application/json")
    coded = {value.strip().lower() for name, value in scope["headers"] if name.lower() == b"content-encoding"}
    if coded - {b"", b"identity"}:
        message = "send the body as it is, without Content-Encoding"
        raise Refused(415, "UnsupportedMediaType", message, {"Accept-Encoding": "identity"})


def _closes(scope: Scope, headers: dict[bytes, str]) -> bool:
    """Whether the connection ends with the answer: one that comes before the body is read would be lost with what still arrives."""
    return scope["http_version"] == "1.0" or "close" in headers.get(b"connection", "").lower()


def rule_of(route: Any) -> str | None:
    """The scope that a route requires, "open" for anybody; None where it names none."""
    rule: str | None = _extra(route).get("x-scope")
    return rule


def _extra(route: Any) -> dict[str, Any]:
    return getattr(route, "openapi_extra", None) or {}


async def answer(send: Send, state: dict[str, Any], refusal: Refused) -> None:
    """Send a refusal."""
    content = json.dumps(body(state.get("dialect", ""), refusal, state["request_id"])).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in refusal.headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
