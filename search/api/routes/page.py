"""The page at /: a search box, for people."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Response

_FOLDER = Path(__file__).parents[1] / "page"
_FILES = {"": "index.html", "style.css": "style.css", "script.js": "script.js", "icon.svg": "icon.svg"}
_TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def page_routes() -> APIRouter:
    """The routes. Anybody may have the page; what it asks for needs a key like any other request."""
    router = APIRouter(include_in_schema=False)
    for path, name in _FILES.items():
        router.add_api_route(f"/{path}", _giving(_FOLDER / name), openapi_extra={"x-scope": "open"})
    return router


def _giving(file: Path) -> Callable[[], Coroutine[Any, Any, Response]]:
    content, kind = file.read_bytes(), _TYPES[file.suffix]

    async def give() -> Response:
        return Response(content, headers={"Content-Type": kind, "Cache-Control": "no-cache"})

    return give
