"""One collection, several customers: a part of it that is all there is for whoever has it.

The tenant stands in a field of the metadata, so it is part of a document's content, and with that of its revision and of the ids
of its points: documents of two tenants may have the same id, and none of them takes the place of another's.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from search.documents import Document, Json, Rejection, listed
from search.errors import CollectionNotFound, CollectionUnshared, IndexRejected, InvalidQuery
from search.index.bases import WordsAsMade, WrappedIndex
from search.index.contract import (
    CollectionSpec,
    Matches,
    Payload,
    PlainFilter,
    Point,
    Query,
    Record,
    VectorIndex,
    to_engine_id,
)


@dataclass(frozen=True)
class Tenant:
    """Whose documents are meant.

    Attributes:
        field: where they say so, such as metadata.customer.
        name: of the tenant.
    """

    field: str
    name: str

    @property
    def documents(self) -> PlainFilter:
        """A filter that its passages pass, and no others."""
        return {"must": [{"key": self.field, "match": {"value": self.name}}]}

    @property
    def others(self) -> PlainFilter:
        """A condition that passages pass which name another one, alone or beside this tenant."""
        return {"key": self.field, "match": {"except": [self.name]}}

    def owns(self, payload: Payload) -> bool:
        """Whether the payload of a passage names this tenant, and no other one beside it."""
        return not self.objection(payload)

    def objection(self, payload: Payload) -> str:
        """Why a passage is not this tenant's alone, by its payload; "" if it is."""
        said = value_at(payload, self.field)
        return "" if said == self.name else self._is_not(said)

    def stamped(self, document: Document) -> Document | Rejection:
        """A document as this tenant's; why not, where it says that it is another one's."""
        steps = self.field.split(".")[1:]
        said = _at(document.metadata, steps)
        if said == self.name:
            return document
        if said is not None:
            return Rejection.of(document, self._is_not(said))
        metadata = _placed(document.metadata, steps, self.name)
        if metadata is None:
            return Rejection.of(
                document, f"{self.field} has no place in it, since what is above that is no object; rename it there"
            )
        return replace(document, metadata=metadata)

    def _is_not(self, said: Json) -> str:
        return f"its {self.field} is {_shown(said)}, and this is for the tenant {_shown(self.name)}"

    def check_patch(self, patch: Mapping[str, Json]) -> None:
        """Refuse to change whose documents are: InvalidQuery if metadata that is to be set names another tenant, or none."""
        inner: Any = patch
        for step in self.field.split(".")[1:]:
            if not isinstance(inner, Mapping):
                break
            if step not in inner:
                return
            inner = inner[step]
        if inner != self.name:
            raise InvalidQuery(f"{self.field} says whose a document is, and stays; leave it out of what is to be set")


class PartIndex(WordsAsMade, WrappedIndex):
    """Those passages of a collection that pass a filter, as if there were no others."""

    def __init__(self, index: VectorIndex, field: str, part: PlainFilter | None) -> None:
        """Wrap an index.

        Args:
            index: the whole collection.
            field: where documents say whose they are, which is noted with a collection that is made.
            part: what the passages pass; None for all of them, as whoever keeps the collection needs them.
        """
        super().__init__(index)
        self._field = field
        self._part = part

    def ensure(self, spec: CollectionSpec, *, create: bool, writing: bool = False) -> None:
        """Open the collection, made with a note of the field; CollectionUnshared if it is to be written to, and has none."""
        spec = replace(spec, tenant=self._field)
        if create or writing:
            with suppress(CollectionNotFound):
                self._index.ensure(spec, create=False)
                check_noted(self.name, self.spec, self._field)  # before anything is made there
        self._index.ensure(spec, create=create, writing=writing)
        self.location = self._index.location  # which an alias decides

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points, replacing those with the same id; CollectionUnshared if the collection does not note the field."""
        check_noted(self.name, self.spec, self._field)
        self._index.upsert(points)

    def query(self, query: Query, limit: int) -> Matches:
        """The `limit` best points of the part, as if the collection held no others."""
        return self._index.query(replace(query, filter=self._narrowed(query.filter), scope=self._narrowed(query.scope)), limit)

    def delete(self, *, ids: Sequence[str] = (), filter: PlainFilter | None = None) -> None:
        """Remove points of the part, by id, or all that pass a filter."""
        if ids:
            self._index.delete(filter=self._narrowed({"must": [{"has_id": [to_engine_id(one) for one in ids]}]}))
        if filter is not None:
            self._index.delete(filter=self._narrowed(filter))

    def scroll(
        self,
        filter: PlainFilter | None = None,
        fields: Sequence[str] | None = None,
        *,
        vectors: bool = False,
        start: str | None = None,
    ) -> Iterator[Record]:
        """Every point of the part that passes the filter, in the order of ids."""
        return self._index.scroll(self._narrowed(filter), fields, vectors=vectors, start=start)

    def count(self, filter: PlainFilter | None = None) -> int:
        """How many points of the part pass the filter."""
        return self._index.count(self._narrowed(filter))

    def _narrowed(self, filter: PlainFilter | None) -> PlainFilter | None:
        """A filter that no point outside the part passes, whatever it asks: all clauses of a filter have to hold."""
        if self._part is None:
            return filter
        if filter is None:
            return self._part
        joined = dict(filter)
        for clause in ("must", "must_not"):
            if conditions := [*self._part.get(clause, []), *filter.get(clause, [])]:
                joined[clause] = conditions
        return joined


class TenantIndex(PartIndex):
    """The part of a collection that is one tenant's, which nothing else is written into."""

    def __init__(self, index: VectorIndex, tenant: Tenant) -> None:
        super().__init__(index, tenant.field, tenant.documents)
        self.tenant = tenant

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points, replacing those with the same id; IndexRejected, and none written, if one is not this tenant's."""
        for point in points:
            if not self.tenant.owns(point.payload):
                document_id = listed([str(point.payload.get("document_id"))])
                raise IndexRejected(f"a passage of {document_id!r} is not of the tenant {_shown(self.tenant.name)}")
        super().upsert(points)


def check_noted(name: str, spec: CollectionSpec, field: str) -> None:
    """Refuse to write for tenants into a collection that whoever does not know the field sees whole, and changes.

    Raises:
        CollectionUnshared: a collection of this package's does not note a field.
    """
    if not spec.tenant and not spec.layout:
        raise CollectionUnshared(
            f"collection {name!r} does not note that tenants share it ({field}), so that nothing is written into it "
            "for them: `search reindex`, with tenant_field set, makes it one that does; or choose another --collection"
        )


def parts_of(field: str, *indexes: VectorIndex) -> list[PlainFilter]:
    """What the passages of each tenant pass, and in the end those that name none: together, all of some collections.

    Documents of two tenants may have one id. So whoever copies a collection does it part by part.
    """
    names: set[str] = set()
    for index in indexes:
        for record in index.scroll(None, ["metadata"]):
            value = value_at(record.payload, field)
            names |= {one for one in (value if isinstance(value, list | tuple) else [value]) if isinstance(one, str)}
    nobodys = {"must_not": [{"key": field, "match": {"any": sorted(names)}}]} if names else {"must_not": []}
    return [*(Tenant(field, name).documents for name in sorted(names)), nobodys]


def value_at(payload: Payload, field: str) -> Json:
    """What a passage has in a field, such as metadata.customer; None if it has nothing there."""
    return _at(payload, field.split("."))


def _at(value: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _placed(metadata: Mapping[str, Json], steps: Sequence[str], name: str) -> dict[str, Json] | None:
    """Metadata with a name at a place; None where something else stands in the way."""
    first, *rest = steps
    if not rest:
        return {**metadata, first: name}
    inner = metadata.get(first)
    if not isinstance(inner, Mapping | None):
        return None
    placed = _placed(inner or {}, rest, name)
    return None if placed is None else {**metadata, first: placed}


def _shown(value: Json) -> str:
    return repr(value)[:100]
