"""Two-stage search you can install and trust: retrieve with Qdrant, rerank with an ONNX cross-encoder.

    from search import Document, Settings, open_search

    with open_search(Settings(data_dir="data")) as searcher:
        searcher.ingest([Document(id="1", text="…")])
        result = searcher.search("…")

Importing this loads no model, no ONNX Runtime and no Qdrant client; they load when they are first needed.
Nor does it load the parts themselves, so that a process that only reads files starts in a moment.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import search.system.telemetry as _telemetry  # before any library that reports home  # noqa: F401

if TYPE_CHECKING:
    from search.context.citing import citations
    from search.context.values import Context
    from search.documents import Document, Hit, Rejection, SearchResult
    from search.errors import SearchError
    from search.reading import read
    from search.searcher import Searcher, open_search
    from search.settings import Settings

__all__ = [
    "Context",
    "Document",
    "Hit",
    "Rejection",
    "SearchError",
    "SearchResult",
    "Searcher",
    "Settings",
    "citations",
    "open_search",
    "read",
]

_HOMES = {
    "citations": "context.citing",
    "Context": "context.values",
    **dict.fromkeys(("Document", "Hit", "Rejection", "SearchResult"), "documents"),
    "SearchError": "errors",
    **dict.fromkeys(("Searcher", "open_search"), "searcher"),
    "Settings": "settings",
    "read": "reading",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("two-stage-search")
    if name in _HOMES.values():
        return import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
