"""Which documents are meant? By id, or by a filter; always whole ones."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from search.documents import check_strings
from search.errors import InvalidQuery
from search.index.contract import PlainFilter, VectorIndex
from search.index.points import passages
from search.ingestion.lookup import of
from search.ingestion.relay import in_groups

if TYPE_CHECKING:
    from qdrant_client.models import Filter

AT_ONCE = 512  # documents


class Selection:
    """Documents named by id, and those of which any passage passes a filter."""

    def __init__(self, ids: Sequence[str], filter: "Filter | Mapping[str, Any] | str | None") -> None:
        """Keep what names them; for the filter see search.index.filters.

        Raises:
            InvalidQuery: neither ids nor a filter, ids that are no strings, or a filter that every passage passes.
            UnsupportedFilter: see search.index.filters.
        """
        ids = check_strings(ids, "ids", "document ids")
        plain = _plain(filter)
        if not ids and plain is None:
            message = "name the documents that are meant, by ids or by a filter"
            raise InvalidQuery(message)
        self._named = [of(group) for group in in_groups(ids, AT_ONCE)]
        self._filters = [] if plain is None else [plain]

    def among(self, index: VectorIndex) -> list[str]:
        """The ids of those that an index holds, each once. What a filter meets without a revision may be another program's."""
        by_id, by_filter = ["document_id"], ["document_id", "revision"]
        asked = [*((one, by_id) for one in self._named), *((one, by_filter) for one in self._filters)]
        documents = {
            str(record.payload["document_id"]): None  # a set that keeps its order
            for condition, fields in asked
            for record in passages(index.scroll(condition, fields), fields)
        }
        return list(documents)


def _plain(filter: "Filter | Mapping[str, Any] | str | None") -> PlainFilter | None:
    if filter is None:
        return None
    from search.index.filters import asks_anything, to_plain  # costs half a second, and only filters need it

    plain = to_plain(filter)
    if not asks_anything(plain):
        message = "an empty filter means every document, which is hardly meant; write a condition"
        raise InvalidQuery(message)
    return plain
