"""Which of the columns and paths that a user named for fields do records have? What none of them has is told, not passed over."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from search.documents import listed
from search.reading.columns import Path
from search.reading.records import parts_of, paths_of, value_at

_NEAR = 0.75  # how much of two names is the same, where one may stand for the other
_MOST_NAMES = 1000  # that are remembered, to say what there is in place of one that is absent


class Named:
    """What a user named for fields, and which of it some record had."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = fields
        self._open = list(fields)  # those of which something was in no record so far
        self._found: set[tuple[str, str]] = set()  # a field, and what is named for it
        self._names: dict[str, None] = {}  # that records have
        self._records = 0
        self._is_known = True

    def see(self, record: Mapping[str, Any]) -> None:
        """Look for what is named in a record."""
        self._records += 1
        for field in [*self._open]:
            for part, path in paths_of(self._fields[field], record):
                inside = list(_inside(record, path)) if path else []
                if path and (len(path) == 1 or ".".join(path) in inside):
                    self._found.add((field, part))
                else:
                    self._remember(inside)
            if not self._absent(field):
                self._open.remove(field)
        if self._open:
            self._remember(record)

    def to_dict(self) -> dict[str, Any]:
        """What is known, as plain data."""
        return {"found": sorted(self._found), "names": list(self._names), "records": self._records}

    def add(self, known: Mapping[str, Any]) -> None:
        """Take over what is known of other records, as `to_dict` gives it."""
        self._found.update((field, part) for field, part in known["found"])
        self._remember(known["names"])
        self._records += known["records"]
        self._open = [field for field in self._open if self._absent(field)]

    def forget(self) -> None:
        """Some records are lost, and nobody knows what they had."""
        self._is_known = False

    def notes(self, *, had_tables: bool) -> list[str]:
        """What to tell the user, after all was read; tables and files of JSON that were refused have told it themselves."""
        if not (self._is_known and self._fields):
            return []
        if not (self._records or had_tables):
            return [f"no table and no JSON was read, for which {listed(list(self._fields))} of --field would be"]
        return [self._note(field, part) for field in self._open for part in self._absent(field) if self._records]

    def _remember(self, names: Iterable[str]) -> None:
        if len(self._names) < _MOST_NAMES:
            self._names.update(dict.fromkeys(names))

    def _absent(self, field: str) -> list[str]:
        """What of a field was in no record."""
        whole = self._fields[field]
        return [] if (field, whole) in self._found else [part for part in parts_of(whole) if (field, part) not in self._found]

    def _note(self, field: str, part: str) -> str:
        by_name = {name.casefold(): name for name in self._names}
        near = get_close_matches(part.casefold(), by_name, 1, _NEAR)
        rest = f"; is {listed([by_name[near[0]]])} meant?" if near else f", but {listed(list(self._names))}"
        return f"no record has {listed([part])}, which is named for {field}{rest}"


def _inside(record: Mapping[str, Any], path: Path) -> Iterator[str]:
    """The names in what a path leads through."""
    for length in range(1, len(path)):
        value = value_at(record, path[:length])
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Mapping):
                yield from (".".join((*path[:length], name)) for name in one)
