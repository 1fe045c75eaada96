"""Which documents go? By id, or by a filter; always whole ones."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from search.embedding import Embedder
from search.errors import InvalidQuery
from search.index import CollectionSpec, PlainFilter, VectorIndex
from search.ingestion.comparison import of
from search.ingestion.overlap import in_groups
from search.ingestion.report import OnChange

if TYPE_CHECKING:
    from qdrant_client.models import Filter

_AT_ONCE = 512  # documents


def remove(
    index: VectorIndex,
    embedder: Embedder,
    *,
    ids: Sequence[str] = (),
    filter: "Filter | Mapping[str, Any] | str | None" = None,
    dry_run: bool = False,
    on_change: OnChange | None = None,
) -> int:
    """Remove documents with all their passages.

    Args:
        index: what holds them.
        embedder: the one the collection was built with.
        ids: of documents.
        filter: documents of which any passage passes; see search.index.filters.
        dry_run: remove nothing, and count.
        on_change: called for every document that is removed, or would be.

    Returns:
        How many of them there were.

    Raises:
        InvalidQuery: neither ids nor a filter, or a filter that every passage passes.
        UnsupportedFilter: see search.index.filters.
        IndexFailure: the index gave up; the same call again goes on from there.
    """
    if isinstance(ids, str):
        message = f"ids is a list of document ids; write [{ids!r}]"
        raise InvalidQuery(message)
    plain = _plain(filter)
    if not ids and plain is None:
        message = "name what is to be removed, by ids or by a filter"
        raise InvalidQuery(message)
    index.ensure(CollectionSpec(embedder.dimension, embedder.fingerprint), create=False)
    conditions = [*(of(group) for group in in_groups(ids, _AT_ONCE)), *([] if plain is None else [plain])]
    with nullcontext() if dry_run else index.claimed():
        found = {
            str(record.payload["document_id"]): None  # a set that keeps its order
            for condition in conditions
            for record in index.scroll(condition, ["document_id"])
        }
        for group in in_groups(found, _AT_ONCE):
            if not dry_run:
                index.delete(filter=of(group))
            for document_id in group:
                if on_change:
                    on_change("removed", document_id)
    return len(found)


def _plain(filter: "Filter | Mapping[str, Any] | str | None") -> PlainFilter | None:
    if filter is None:
        return None
    from search.index.filters import asks_anything, to_plain  # costs half a second, and only filters need it

    plain = to_plain(filter)
    if not asks_anything(plain):
        message = "an empty filter would remove every document; drop the collection if that is meant"
        raise InvalidQuery(message)
    return plain
