"""What do documents look like with other metadata? Given back by the collection, with some fields set."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from search.documents import Document, Json, Rejection
from search.errors import InvalidDocument, InvalidQuery
from search.index.contract import VectorIndex
from search.ingestion.restoring import selected
from search.ingestion.selection import Selection


def updated(index: VectorIndex, selection: Selection, patch: Json) -> Iterator[Document | Rejection]:
    """The documents that are meant, with the patch merged into their metadata; to be ingested again.

    Raises:
        InvalidQuery: the patch is no object, or an empty one; before the first document.
    """
    if not isinstance(patch, Mapping) or not patch:
        message = 'metadata to set is an object with at least one field, such as {"status": "archived"}'
        raise InvalidQuery(message)
    return (_patched(index, item, patch) for item in selected(index, selection))


def merged(metadata: Mapping[str, Json], patch: Mapping[str, Json]) -> dict[str, Json]:
    """Metadata with some fields set, and without those that are null in the patch (JSON Merge Patch, RFC 7396)."""
    result = dict(metadata)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            inner = result.get(key)
            result[key] = merged(inner if isinstance(inner, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def _patched(index: VectorIndex, item: Document | Rejection, patch: Mapping[str, Json]) -> Document | Rejection:
    if isinstance(item, Rejection):
        return item
    try:
        return replace(item, metadata=merged(item.metadata, patch), origin=index.name)
    except InvalidDocument as error:  # what is set cannot be stored
        return Rejection(index.name, None, item.id, str(error))
