"""What is there to filter by? The fields that documents have, with their most frequent values, or their range of numbers."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from search.index.contract import VectorIndex
from search.index.filters import path_of
from search.index.points import FIRST_PASSAGES, passages

_LOOKED_AT = 5_000  # passages, for what there is to filter by
_FIELDS = 100  # those that most documents have
_VALUES = 30  # of a field, the most frequent ones
_LONGEST = 100  # characters of a value that is shown to choose
_LONGEST_PATH = 200  # characters of a field's path
_COUNTED = 200_000  # fields and values that are counted at all
_FIELDS_NOTED = 10_000  # of those left out, so that each is counted once
_PLAIN = bool | str | int | float
_INEXACT_FROM = 2**53


def facets(index: VectorIndex) -> dict[str, Any]:
    """Counted over documents, as far as the first passages go; numbers by their range."""
    counted = _Facets()
    seen: set[str] = set()
    wanted = ["document_id", "metadata", "media_type"]
    for record in passages(index.scroll(FIRST_PASSAGES, wanted), wanted):
        if (document_id := str(record.payload["document_id"])) in seen:  # in another program's collection
            continue
        seen.add(document_id)
        counted.add(record.payload.get("media_type", "text/plain"), record.payload["metadata"])
        if len(seen) == _LOOKED_AT:
            break
    return {"documents": len(seen), "complete": len(seen) < _LOOKED_AT, **counted.answer()}


class _Facets:
    """What documents have, counted within bounds; all that is offered can be sent back as a filter, and finds what was counted."""

    def __init__(self) -> None:
        self._documents: Counter[str] = Counter()  # by field
        self._values: dict[str, Counter[bool | str]] = {}
        self._numbers: dict[str, tuple[float, float]] = {}
        self._counted = 0
        self._fields_left_out: set[str] = set()
        self._values_left_out: Counter[str] = Counter()

    def add(self, media_type: str, metadata: Mapping[str, Any]) -> None:
        """Count what a document has."""
        self._count("media_type", media_type)
        for name, value in metadata.items():
            field = path_of("metadata", name) if len(name) <= _LONGEST_PATH else None
            if field is None or not (field in self._documents or self._has_room()):
                self._leave_out(name)
            else:
                self._count(field, value)

    def answer(self) -> dict[str, Any]:
        """The fields that most documents have, by name, with their most frequent values or their range."""
        fields = sorted(field for field, _ in self._documents.most_common(_FIELDS))
        left_out = len(self._documents) - len(fields) + len(self._fields_left_out)
        values = {field: self._values[field] for field in fields if field in self._values}
        return {
            "fields": [
                {"field": field, "values": [{"value": item, "documents": number} for item, number in counted.most_common(_VALUES)]}
                for field, counted in values.items()
            ],
            "ranges": [
                {"field": field, "least": self._numbers[field][0], "most": self._numbers[field][1]}
                for field in fields
                if field in self._numbers
            ],
            "left_out": {
                "fields": left_out,
                "values": sum(max(0, len(counted) - _VALUES) for counted in values.values())
                + sum(self._values_left_out[field] for field in fields),
            },
        }

    def _count(self, field: str, value: Any) -> None:
        values = {(type(item), item): item for item in (value if isinstance(value, list) else [value]) if isinstance(item, _PLAIN)}
        if not values:
            return
        self._documents[field] += 1
        counted = self._values.get(field, Counter())
        for item in values.values():
            if isinstance(item, bool | str):
                if len(str(item)) > _LONGEST or not (item in counted or self._has_room()):
                    self._values_left_out[field] += 1
                else:
                    counted[item] += 1
                    self._values[field] = counted
            elif abs(item) < _INEXACT_FROM:  # which a range filter can name
                least, most = self._numbers.get(field, (item, item))
                self._numbers[field] = (min(least, item), max(most, item))
            else:
                self._values_left_out[field] += 1

    def _has_room(self) -> bool:
        self._counted += 1
        return self._counted <= _COUNTED

    def _leave_out(self, name: str) -> None:
        if len(self._fields_left_out) < _FIELDS_NOTED:
            self._fields_left_out.add(name[:_LONGEST_PATH])
