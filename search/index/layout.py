"""Where do passages lie in a collection that another program filled? Found by what is there, or as the settings say.

Such a collection is searched and never written to. Its payloads are read as if they were this package's, and filters on the
metadata and the id of documents are asked of the fields that hold them.
"""

import json
import re
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any, NamedTuple

from pydantic import ValidationError

from search.errors import IndexMismatch, UnsupportedFilter
from search.index.contract import Payload, PlainFilter, to_engine_id
from search.index.filters import conditions_of, with_each
from search.settings import LayoutSettings

# In the order of preference, of LangChain, LangChain.js and Haystack, LlamaIndex, Qdrant's MCP server, Open WebUI, and others.
_TEXTS = ("page_content", "content", "_node_content.text", "document", "text", "chunk", "body", "passage")
_METADATA = ("metadata", "meta")
_SOURCES = ("source", "file_path", "path", "url", "file_name", "document_id", "doc_id", "ref_doc_id", "file_id", "id")
_TITLES = ("title", "file_name", "name")
_ADDRESSES = ("file_path", "path", "url")
_ADDRESS = re.compile(r"[/\\.]")
# What passages of a document are in order by: a page, and a place on it or in the whole document.
_PAGES = ("page", "page_number", "page_label", "loc.pageNumber")
_CHARACTERS = ("start_index", "split_idx_start", "start_char_idx")  # … of which these count characters, mostly
_PLACES = (
    *("start_index", "split_id", "split_idx_start", "_node_content.start_char_idx", "loc.lines.from"),
    *("chunk_index", "chunk_number", "chunk_id", "chunk", "index", "position", "part"),
)
_LEAST_SHARE = 0.5  # of the points that have a field of text, or an object of metadata …
_LEAST_NAMED = 0.9  # … and of those that say in one field which document they are of
_NEARLY = 0.5  # of the characters of the longest of some fields, or of the points that have the commonest
_DEEPEST, _MOST_PATHS = 3, 500  # objects in objects, and fields, that are looked at
_LONGEST_NUMBER = 15  # digits, below which a float is exact
_LONGEST_ID = 20  # digits
_MOST_NUMBER, _MOST_ID = 2**63, 2**64  # below which whole numbers of a field, and ids of points, are
_PROSE = 20  # characters that a text has on average, where a field is taken for one that is called like none of these
_TEMPLATES = ("metadata_template", "metadata_separator", "text_template")
_NOTED = ("text", "document_id", "order", "title", "metadata", "beside")  # of a layout, by a copy, in this order
_NODE = "_node_"  # how fields begin that are LlamaIndex's own
_OF_NODE = ("metadata", "excluded_embed_metadata_keys", *_TEMPLATES)  # of LlamaIndex
_FIRST = {"key": "number", "match": {"value": 0}}
_NONE = {"has_id": list[Any]()}  # a condition that no point meets


Place = tuple[float | None, ...]  # None for a field of the order that a passage does not have
Begin = tuple[Place, int]


@dataclass(frozen=True)
class Layout:
    """The paths of fields; steps lead through objects, and through strings that hold JSON.

    Attributes:
        text: of the passage.
        title: likewise; "" for none.
        document_id: what names the document; "" for the id of the point.
        metadata: the object that holds it; "" for all fields that are nothing else.
        vector: the name of the vector; "" for the unnamed one.
        filter: which points count at all; None for all.
        order: the fields that passages of a document are in reading order by, the first one first; empty if none is known.
        encoded: fields that are strings with JSON in them, which no filter looks into.
        beside: fields that are metadata, too, though they lie beside the object that holds it.
    """

    text: str
    title: str = ""
    document_id: str = ""
    metadata: str = ""
    vector: str = ""
    filter: PlainFilter | None = None
    order: tuple[str, ...] = ()
    encoded: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def noted(self) -> str:
        """What a copy notes of it: first what documents are made by, so that where it differs the same points make others."""
        return json.dumps([getattr(self, name) for name in _NOTED])

    def __str__(self) -> str:
        parts = {
            "text": self.text,
            "title": self.title,
            "document": self.document_id or "the point's id",
            "metadata": self.metadata,
            "order": " and ".join(self.order),
        }
        words = [f"{name} in {path}" for name, path in parts.items() if path]
        return ", ".join([*words, f"vector {self.vector or 'unnamed'}"])

    def passage(self, point_id: str, payload: Payload) -> Payload:
        """The payload of a point as that of a passage of this package; empty for a point without text, which is none."""
        text, title = _at(payload, self.text), _at(payload, self.title)
        if not isinstance(text, str) or not text.strip():
            return {}
        name = _at(payload, self.document_id) if self.document_id else point_id
        title = title if isinstance(title, str) else ""
        metadata = self._rest(payload)
        if self.metadata:
            inside = _read(_at(payload, self.metadata))
            metadata = {field: metadata[field] for field in self.beside if field in metadata}
            metadata |= inside if isinstance(inside, Mapping) else {}
        return {
            "document_id": str(name) if _is_name(name) else point_id,
            "number": 0,
            "chunks": 1,
            "revision": "-",
            "start": 0,
            "end": len(text),
            "title": title,
            "text": text,
            "document_title": title,
            "before": "",
            "after": "",  # so that a document of one passage is whole
            "tokens": 0,
            "tokens_embedded": 0,
            "unknown_share": 0.0,  # nobody counted them
            "metadata": metadata,
        }

    def place(self, payload: Payload) -> Place | None:
        """Where a passage stands in its document, compared with others that have the same fields; None where nothing tells."""
        places = tuple(_place(_at(payload, path)) for path in self.order)
        return places if any(place is not None for place in places) else None

    def begins(self, payload: Payload) -> Begin | None:
        """The page that a passage stands on, as far as it names one, and the character that it begins at; None if none is told."""
        if not self.order or self.order[-1].rpartition(".")[2] not in _CHARACTERS:
            return None
        *page, character = (_place(_at(payload, path)) for path in self.order)
        return None if character is None else (tuple(page), int(character))

    def embedded(self, payload: Payload) -> str:
        """What the other program embedded of a point: of a LlamaIndex node its metadata, as the node says, and the text."""
        text, node = str(_at(payload, self.text)), {name: _at(payload, f"_node_content.{name}") for name in _OF_NODE}
        metadata, excluded = node["metadata"], node["excluded_embed_metadata_keys"]
        if not isinstance(metadata, Mapping) or not isinstance(excluded, list):
            return text
        form, separator, whole = (str(node[name]) for name in _TEMPLATES)
        lines = [form.replace("{key}", name).replace("{value}", str(one)) for name, one in metadata.items() if name not in excluded]
        return whole.replace("{metadata_str}", separator.join(lines)).replace("{content}", text).strip() if lines else text

    def points_in(self, filter: PlainFilter | None) -> list[Any]:
        """The ids of points that a filter may mean by names of documents: those of points that name none."""
        if not self.document_id or filter is None:
            return []
        found: list[Any] = []
        for condition in conditions_of(filter):
            if condition.get("key") == "document_id" and "match" in condition:
                found += [to_engine_id(one) for one in _names_in(condition["match"]) if _is_point_id(one)]
            elif not condition.keys() & {"key", "nested", "is_empty", "is_null", "has_id"}:
                found += self.points_in(condition)
        return found

    def names(self, payload: Payload) -> bool:
        """Whether a point names its document, which goes by the point's id otherwise."""
        return _is_name(_at(payload, self.document_id))

    def filter_of(self, filter: PlainFilter | None, unnamed: Collection[Any] = ()) -> PlainFilter | None:
        """A filter on passages of this package as one on this collection's points, among those that count at all.

        `unnamed` are those of `points_in` that name no document.
        """
        renamed = None if filter is None else with_each(filter, partial(self._condition, unnamed=unnamed))
        if self.filter is None:
            return renamed
        return {"must": [self.filter, *([] if renamed is None else [renamed])]}

    def in_ours(self, path: str) -> str | None:
        """Where a field of theirs lies in a passage of this package, if filters can ask for it there."""
        if path == self.title:
            return "title"
        first = path.partition(".")[0]
        if self.metadata and first not in self.beside:
            return f"metadata{path.removeprefix(self.metadata)}" if path.startswith(f"{self.metadata}.") else None
        return None if path in self._taken or first.startswith(_NODE) else f"metadata.{path}"

    @property
    def _taken(self) -> set[str]:
        return {path for path in (self.text, self.title, self.document_id) if path}

    def _rest(self, payload: Payload) -> dict[str, Any]:
        rest = {name: value for name, value in payload.items() if not name.startswith(_NODE)}
        for path in self._taken:
            rest = _without(rest, path)
        return rest

    def _condition(self, condition: Mapping[str, Any], unnamed: Collection[Any]) -> Mapping[str, Any]:
        if "key" in condition:
            if condition == _FIRST:  # which this package asks for itself, and every point here is
                return {"must_not": [_NONE]}
            if condition["key"] == "number":
                raise UnsupportedFilter("the passages of a collection that another program filled have no numbers to filter by")
            if condition["key"] == "document_id" and "match" in condition:
                match = condition["match"]
                named = self._named(_names_in(match), unnamed)
                return {"must_not": [named]} if "except" in match else named
            return {**condition, "key": self._key(condition["key"])}
        for kind in ("nested", "is_empty", "is_null"):
            if kind in condition:
                return {kind: {**condition[kind], "key": self._key(condition[kind]["key"])}}
        return condition if "has_id" in condition else with_each(condition, partial(self._condition, unnamed=unnamed))

    def _named(self, names: list[str], unnamed: Collection[Any]) -> Mapping[str, Any]:
        """Those whose document has one of some names; a name may be a number there."""
        numbers = [int(one) for one in names if _is_number(one) and -_MOST_NUMBER <= int(one) < _MOST_NUMBER]
        ids = [to_engine_id(one) for one in names if _is_point_id(one)]
        if not self.document_id:
            return {"has_id": ids}
        self._check_seen(self.document_id)
        by_id = [one for one in ids if one in unnamed]
        named = [{"key": self.document_id, "match": {"any": some}} for some in (names, numbers) if some]
        return {"should": [*named, *([{"has_id": by_id}] if by_id else [])]}

    def _key(self, key: str) -> str:
        head, dot, rest = key.partition(".")
        named = {"document_id": self.document_id, "text": self.text, "title": self.title, "metadata": self.metadata}
        path = named.get(key) or key
        if head == "metadata" and dot:
            path = f"{self.metadata}.{rest}" if self.metadata and rest.partition(".")[0] not in self.beside else rest
        self._check_seen(path)
        return path

    def _check_seen(self, path: str) -> None:
        inside = next((one for one in self.encoded if path.startswith(f"{one}.")), None)
        if inside is not None:
            raise UnsupportedFilter(
                f"{path} lies in {inside}, which is a string with JSON in it, and a server looks into none; filter by another "
                "field, or copy the collection (`search adopt`), where all metadata can be asked for"
            )


class Lacking(NamedTuple):
    """What the settings say of a field that none of some points has."""

    setting: str
    path: str
    what: str  # is not there, in words
    elsewhere: bool  # whether other points may have it


def find_layout(payloads: Sequence[Payload], chosen: LayoutSettings, vector: str, noted: str = "") -> Layout:
    """The layout of a collection, by some of its points, as far as the settings do not say it.

    Args:
        payloads: of these points.
        chosen: what the settings say.
        vector: the name of its vector.
        noted: `Layout.noted` of when a copy was made, which holds as long as the points have such fields.

    Raises:
        IndexMismatch: no field holds text, or there is no point.
    """
    if not payloads and chosen.text is None:
        raise IndexMismatch("it is empty, so nothing tells where its passages would lie")
    encoded: dict[str, None] = {}
    payloads = [_unfolded(payload, "", 1, encoded) for payload in payloads]
    chosen, beside_before = _as_noted(payloads, chosen, noted)
    text = chosen.text or _text(payloads, [path for path in _paths(payloads) if _share(payloads, path, _is_text) >= _LEAST_SHARE])
    if text is None:
        known = ", ".join(sorted({name for payload in payloads for name in payload})) or "none"
        raise IndexMismatch(f"no field of its points holds text (there are: {known})")
    metadata = chosen.metadata
    if metadata is None:
        metadata = next((path for path in _METADATA if _share(payloads, path, _is_object) >= _LEAST_SHARE), "")
    steps = text.split(".")[:-1]
    around = [".".join([*steps[:number], ""]) for number in range(len(steps), 0, -1)]
    inner = [f"{metadata}." if metadata else "", "", *around]
    document_id = chosen.document_id
    if document_id is None:
        document_id = _document_id(payloads, [path for path in _under(inner, _SOURCES) if path != text])
    title = chosen.title
    if title is None:
        titles = [path for path in _under(inner, _TITLES) if path not in {text, document_id}]
        title = _commonest(payloads, titles, _is_text)
    order = chosen.order
    if order is None:
        found = (_commonest(payloads, _under(inner, names), lambda one: _place(one) is not None) for names in (_PAGES, _PLACES))
        order = tuple(path for path in found if path)
    beside = _beside(payloads, metadata, {text, title, document_id, metadata.partition(".")[0]})
    beside = tuple(dict.fromkeys([*beside_before, *beside]))
    return Layout(text, title, document_id, metadata, vector, chosen.filter, order, tuple(encoded), beside)


def without_field(layout: Layout, chosen: LayoutSettings, payloads: Sequence[Payload]) -> Iterator[Lacking]:
    """What the settings say of fields that none of some points has.

    What lies in strings with JSON is left out, since no server could tell whether another point has it.
    """
    unfolded = [_unfolded(payload, "", 1, {}) for payload in payloads]
    for name in ("text", "title", "document_id", "metadata", "order"):
        said = getattr(chosen, name) or ()
        for path in said if isinstance(said, tuple) else (said,):
            values = [value for payload in unfolded if (value := _at(payload, path)) is not None]
            if not values and not any(path.startswith(f"{one}.") for one in layout.encoded):
                near = get_close_matches(path, _paths(unfolded), 1)
                yield Lacking(name, path, f"such a field{f' (did you mean {near[0]}?)' if near else ''}", elsewhere=True)
            elif values and name == "metadata" and not any(map(_is_object, values)):
                yield Lacking(name, path, "an object there", elsewhere=False)


def noted_of(adopted: str) -> list[Any]:
    """The source of a copy and how it was made, as a collection notes them; empty for what is no copy, or was noted otherwise."""
    try:
        note = json.loads(adopted)
    except (ValueError, RecursionError):  # in a collection's metadata anybody may write
        return []
    return note if isinstance(note, list) else []


def _as_noted(payloads: Sequence[Payload], chosen: LayoutSettings, noted: str) -> tuple[LayoutSettings, tuple[str, ...]]:
    """The settings, completed by what a copy noted as far as there are such fields; and what it noted beside the metadata."""
    try:
        told = dict(zip(_NOTED, noted_of(noted), strict=False))
        beside = tuple(map(str, told.pop("beside", ())))
        known = LayoutSettings.model_validate(told)
    except (TypeError, ValidationError):
        return chosen, ()

    def is_there(value: str | tuple[str, ...] | None) -> bool:
        paths = value if isinstance(value, tuple) else (value or (),)
        return all(_share(payloads, path, lambda one: one is not None) for path in paths if path)

    still = {name: value for name in told if getattr(chosen, name) is None and is_there(value := getattr(known, name))}
    return chosen.model_copy(update=still), beside if still.get("metadata") else ()


def _document_id(payloads: Sequence[Payload], paths: Sequence[str]) -> str:
    """What names the document of nearly each point; a kind of source does not where an address tells more of them apart."""
    named = {path: names for path in paths if (names := _names(payloads, path))}
    for path, names in named.items():
        addresses = (
            other for one, other in named.items() if one.rpartition(".")[2] in _ADDRESSES and all(map(_ADDRESS.search, other))
        )
        kind = path.rpartition(".")[2] == _SOURCES[0] and not any(map(_ADDRESS.search, names))
        if not kind or not any(len(other) > len(names) for other in addresses):
            return path
    return ""


def _names(payloads: Sequence[Payload], path: str) -> set[str]:
    """The names that nearly each point has there; none if they are all the same, as a kind of source would be."""
    names = [str(name) for payload in payloads if _is_name(name := _at(payload, path))]
    tell = len(names) >= len(payloads) * _LEAST_NAMED and (len(set(names)) > 1 or len(names) == 1)
    return set(names) if tell else set()


def _under(prefixes: Sequence[str], names: Sequence[str]) -> list[str]:
    return [f"{prefix}{name}" for prefix in dict.fromkeys(prefixes) for name in names]


def _commonest(payloads: Sequence[Payload], paths: Sequence[str], holds: Callable[[Any], bool]) -> str:
    """The path that most points have something at, or the first one that nearly as many have; empty if none has."""
    shares = {path: _share(payloads, path, holds) for path in paths}
    most = max(shares.values(), default=0.0)
    return next((path for path in paths if most and shares[path] >= most * _NEARLY), "")


def _beside(payloads: Sequence[Payload], metadata: str, taken: set[str]) -> tuple[str, ...]:
    """Fields that points have beside their metadata, and none in it, such as whose they are; vectors are none of them."""
    if not metadata:
        return ()
    inside = {name for payload in payloads if isinstance(held := _at(payload, metadata), Mapping) for name in held}
    names = dict.fromkeys(name for payload in payloads for name in payload)
    wanted = [name for name in names if name not in inside | taken | {"id"} and not name.startswith(_NODE)]
    return tuple(name for name in wanted if _share(payloads, name, _tells))


def _without(fields: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Fields without one, and without the objects around it that held nothing else."""
    first, _, rest = path.partition(".")
    inner = _read(fields.get(first))
    if rest and not isinstance(inner, Mapping):
        return dict(fields)
    left = _without(inner, rest) if rest else {}
    return {name: left if name == first else value for name, value in fields.items() if name != first or left}


def _at(payload: Any, path: str) -> Any:
    """What stands at a path; None for nothing."""
    value = payload if path else None
    for step in path.split("."):
        inner = _read(value)
        value = inner.get(step) if isinstance(inner, Mapping) else None
    return value


def _read(value: Any) -> Any:
    """What a string with an object in JSON stands for; anything else as it is."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _unfolded(fields: Mapping[str, Any], prefix: str, depth: int, encoded: dict[str, None]) -> dict[str, Any]:
    """Fields with objects in place of the strings that hold them as JSON, whose paths are noted.

    They are in the order of their names, since over gRPC they come in any.
    """
    unfolded: dict[str, Any] = {}
    for name, value in sorted(fields.items()):
        inner = _read(value)
        if isinstance(value, str) and isinstance(inner, Mapping):
            encoded[f"{prefix}{name}"] = None
        deeper = depth < _DEEPEST and isinstance(inner, Mapping)
        unfolded[name] = _unfolded(inner, f"{prefix}{name}.", depth + 1, encoded) if deeper else inner
    return unfolded


def _paths(payloads: Sequence[Payload]) -> list[str]:
    """The fields that points have, and those inside objects."""
    paths: dict[str, None] = {}

    def add(fields: Mapping[str, Any], prefix: str, depth: int) -> None:
        for name, value in fields.items():
            if len(paths) >= _MOST_PATHS:
                return
            paths[f"{prefix}{name}"] = None
            if depth < _DEEPEST and isinstance(value, Mapping):
                add(value, f"{prefix}{name}.", depth + 1)

    for payload in payloads:
        add(payload, "", 1)
    return list(paths)


def _share(payloads: Sequence[Payload], path: str, holds: Callable[[Any], bool]) -> float:
    return sum(holds(_at(payload, path)) for payload in payloads) / len(payloads) if payloads else 0.0


def _text(payloads: Sequence[Payload], strings: Sequence[str]) -> str | None:
    """The field called like one of text that has most of it, or nearly as much and a commoner name; or else the longest one."""
    lengths = {path: sum(len(str(_at(payload, path) or "")) for payload in payloads) / len(payloads) for path in strings}
    longest = sorted(strings, key=lambda path: -lengths[path])
    called = [path for path in _TEXTS if path in lengths]
    called += [path for path in longest if path not in called and path.rpartition(".")[2] in _TEXTS]
    if called:
        most = max(lengths[path] for path in called)
        return next(path for path in called if lengths[path] >= most * _NEARLY)
    return longest[0] if longest and lengths[longest[0]] >= _PROSE else None


def _place(value: Any) -> float | None:
    """A number of a page, say, from 0; None if it is none."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _LONGEST_NUMBER:
        value = int(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 10**_LONGEST_NUMBER
    return float(value) if is_number else None


def _names_in(match: Mapping[str, Any]) -> list[str]:
    return [str(one) for one in match.get("any", match.get("except", [match.get("value")]))]


def _is_name(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""


def _tells(value: Any) -> bool:
    return value is not None and not (isinstance(value, list) and any(isinstance(one, float) for one in value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_number(name: str) -> bool:
    """Whether a name is how a whole number is written, and not only looks like one, as 007 does."""
    digits = name.removeprefix("-")
    return digits.isascii() and digits.isdecimal() and len(digits) <= _LONGEST_ID and str(int(name)) == name


def _is_point_id(value: str) -> bool:
    if value.isascii() and value.isdecimal():
        return _is_number(value) and int(value) < _MOST_ID
    try:
        uuid.UUID(value)
    except ValueError:
        return False
    return True
