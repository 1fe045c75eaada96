"""What can an assistant do with a collection? Search it, read a document, and, where that is allowed, put one in: by MCP."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Protocol

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from search.client import Client
from search.documents import Document, Json, SearchResult
from search.errors import InvalidDocument, SearchError
from search.ingestion.report import IngestReport
from search.ingestion.restoring import selected
from search.ingestion.selection import Selection
from search.searcher import Searcher

_MOST = 20  # passages in an answer, which an assistant has to read
_LONGEST = 100_000  # characters of a document


class Source(Protocol):
    """What is searched: a collection of this process, or one behind a service."""

    def search(self, query: str, **options: Any) -> SearchResult:
        """Answer a query."""

    def get(self, document_id: str) -> Document:
        """A document as it came."""

    def ingest(self, documents: Sequence[Document]) -> IngestReport:
        """Add or replace documents."""


class _Local:
    """A collection of this process."""

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher

    def search(self, query: str, **options: Any) -> SearchResult:
        return self._searcher.search(query, **options)

    def ingest(self, documents: Sequence[Document]) -> IngestReport:
        return self._searcher.ingest(documents)

    def get(self, document_id: str) -> Document:
        found = next(iter(selected(self._searcher.opened(), Selection([document_id], None))), None)
        if not isinstance(found, Document):
            message = f"there is no document {document_id!r}" if found is None else f"{document_id!r}: {found.reason}"
            raise SearchError(message)
        return found


@contextmanager
def _told() -> Iterator[None]:
    """Errors that say what to do reach the assistant; others only the log."""
    try:
        yield
    except SearchError as error:
        raise ToolError(str(error)) from error


def build_assistant(source: Searcher | Client, *, may_ingest: bool) -> MCPServer[Any]:
    """A server of tools.

    Args:
        source: what is searched.
        may_ingest: whether there is a tool that changes it.
    """
    known: Source = _Local(source) if isinstance(source, Searcher) else source
    instructions = "Search first; read a document whole only where its passages do not suffice. Cite document ids."
    server: MCPServer[Any] = MCPServer("two-stage-search", instructions=instructions, log_level="WARNING")
    reads = ToolAnnotations(read_only_hint=True, open_world_hint=False)

    @server.tool(annotations=reads)
    def search(
        query: Annotated[str, Field(description="A question or a few words, in plain language.")],
        limit: Annotated[int, Field(ge=1, le=_MOST, description="Passages wanted.")] = 5,
        filter: Annotated[dict[str, Any] | None, Field(description="A Qdrant filter over metadata.… and other fields.")] = None,
    ) -> dict[str, Any]:
        """Find the passages that answer a question best: retrieved by meaning, then reranked."""
        with _told():
            result = known.search(query, limit=limit, filter=filter)
        return {
            "passages": [
                {
                    "document_id": hit.document_id,
                    "title": hit.title,
                    "text": hit.text,
                    "page": hit.page,
                    "metadata": dict(hit.metadata),
                    "probability": hit.rerank_probability,
                }
                for hit in result.hits
            ],
            "reranking": result.rerank_status,
            "notes": [note for note in (result.reason, *result.warnings) if note],
        }

    @server.tool(annotations=reads)
    def get_document(
        document_id: Annotated[str, Field(description="As search gave it.")],
        start: Annotated[int, Field(ge=0, description="The first character wanted, of a long one.")] = 0,
    ) -> dict[str, Any]:
        """Read a whole document, by its id."""
        with _told():
            document = known.get(document_id)
        text = document.text[start : start + _LONGEST]
        after = start + len(text)
        rest = after if after < len(document.text) else None
        return {"id": document.id, "title": document.title, "text": text, "metadata": dict(document.metadata), "goes_on_at": rest}

    if may_ingest:

        @server.tool(annotations=ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=False))
        def ingest(
            id: Annotated[str, Field(description="One of your own; a document that has it is replaced.")],
            text: str,
            title: str = "",
            metadata: dict[str, Json] | None = None,
        ) -> dict[str, Any]:
            """Add a document, or replace the one with its id."""
            with _told():
                report = known.ingest([Document(id=id, text=text, title=title, metadata=metadata or {})])
                if report.rejections:
                    raise InvalidDocument(report.rejections[0].reason)
            return {"added": report.added, "changed": report.changed, "unchanged": report.unchanged, "passages": report.chunks}

    return server
