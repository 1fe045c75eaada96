"""Documents are changed and removed: metadata is set on what the collection gives back, and passages go with their document."""

import math
from collections.abc import Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

from search.documents import Document, Json, Rejection, checked_json
from search.embedding.dense import Embedder
from search.errors import IndexFull, InvalidDocument, InvalidQuery
from search.index.contract import CollectionSpec, OnBuild, VectorIndex
from search.ingestion.lookup import AT_ONCE, Selection, written_of
from search.ingestion.relay import in_groups
from search.ingestion.report import OnChange
from search.ingestion.restoring import selected


def updated(index: VectorIndex, selection: Selection, patch: Json) -> Iterator[Document | Rejection]:
    """The documents that are meant, with the patch merged into their metadata; to be ingested again.

    Those that are named and not there are rejections.

    Raises:
        InvalidQuery: the patch is no object, an empty one, or cannot be stored; before the first document.
    """
    check_patch(patch)
    return _updated(index, selection, patch)


def check_patch(patch: Json) -> None:
    """Refuse what sets nothing, and what no document could hold.

    Raises:
        InvalidQuery: it is no object, an empty one, or JSON or Qdrant cannot hold it.
    """
    if not isinstance(patch, Mapping) or not patch:
        raise InvalidQuery('metadata to set is an object with at least one field, such as {"status": "archived"}')
    try:
        checked_json(patch, "metadata")
    except InvalidDocument as error:
        raise InvalidQuery(str(error)) from error


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


def _updated(index: VectorIndex, selection: Selection, patch: Mapping[str, Json]) -> Iterator[Document | Rejection]:
    absent = dict.fromkeys(selection.ids)
    for item in selected(index, selection):
        absent.pop(str(item.id if isinstance(item, Document) else item.document_id), None)
        yield item if isinstance(item, Rejection) else replace(item, metadata=merged(item.metadata, patch), origin=index.name)
    for document_id in absent:
        yield Rejection(index.name, None, document_id, "there is no document of this id")


_ROUNDING = 1e-9  # 0.29 of 100 are 29


def remove(
    index: VectorIndex,
    embedder: Embedder,
    selection: Selection,
    *,
    dry_run: bool = False,
    on_change: OnChange | None = None,
    on_build: OnBuild | None = None,
) -> int:
    """Remove documents with all their passages, or in a dry run only count them; how many there were.

    `on_change` is called for every document that is removed, or would be; `on_build` if so much is that the rest gets a new graph,
    which gives back the room on the disk, with the number of its passages.

    Raises:
        CollectionNotFound: there is no collection.
        IndexBusy: another process writes to the collection.
        IndexFailure: the index gave up; the same call again goes on from there.
        IndexMismatch: it was built with another embedder.
    """
    index.ensure(CollectionSpec(embedder.dimension, embedder.fingerprint), create=False)
    index.check_writable()
    with nullcontext() if dry_run else index.claimed(removing=True):
        document_ids = selection.among(index)
        for group in in_groups(document_ids, AT_ONCE):
            if not dry_run:
                index.delete(filter=written_of(group))
            for document_id in group:
                if on_change:
                    on_change("removed", document_id)
        if document_ids and not dry_run:
            give_room_back(index, on_build)
    return len(document_ids)


def give_room_back(index: VectorIndex, on_build: OnBuild | None) -> None:
    """Have the rest built a new graph where so much was removed that it gains; without room for that, by a later ingestion."""
    with suppress(IndexFull):
        index.optimize(on_build)


def most(max_delete: Any, of_all: int) -> int:
    """How many documents may be removed; see `check_max_delete`."""
    return int(max_delete) if isinstance(max_delete, Integral) else int(max_delete * of_all + _ROUNDING)


def check_max_delete(max_delete: Any) -> None:
    """Tell a number of documents (an int) from a share of them (a float): 1 is one document, 1.0 all.

    Raises:
        InvalidDocument: it is neither.
    """
    number, whole = isinstance(max_delete, Real), isinstance(max_delete, Integral)
    if isinstance(max_delete, bool) or not number or not 0 <= max_delete <= (math.inf if whole else 1):
        message = f"max_delete is {max_delete!r}; give a number of documents, such as 50, or a share from 0.0 to 1.0, such as 0.2"
        raise InvalidDocument(message)
