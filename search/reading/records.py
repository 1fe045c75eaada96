"""Which document does a record make? The id, title and text of a row of a table or an object of JSON; the rest is metadata."""

import math
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any, NamedTuple

from search.documents import Document, is_time, listed
from search.errors import InvalidDocument
from search.reading.columns import Path, as_text
from search.reading.fragments import without_html
from search.reading.text import without_pictures

FIELDS = ("id", "text", "title")
NAMED = (*FIELDS, "metadata")  # what columns can be named for
TEXTS = ("text", "content", "body", "description", "abstract", "passage")  # what columns of texts are called, …
TITLES = ("title", "name", "heading", "headline", "subject")  # … those of titles, …
IDS = ("id", "_id")  # … and of ids
AS_IT_IS = frozenset(("metadata", "media_type", "modified"))  # what is of the type that it is given, whatever that is of others
_DOCUMENT = {"id", "text", "title", "metadata", "media_type", "modified"}  # what an object of JSON may say of a document itself
_SHORTEST_VECTOR = 64  # numbers
_AROUND = {  # objects that exports put a record into, each with what its title is called there
    "fields": ("title", "summary"),  # Jira
    "attributes": ("title",),  # JSON:API, Strapi
    "properties": ("title",),  # GeoJSON
    "_source": ("title", "headline", "subject"),  # Elasticsearch
}
_LONGEST_TITLE = 300  # characters of one in there
_OF_MACHINES = re.compile(r"self|.*(?:avatar|icon).*", re.IGNORECASE)  # names of addresses that say nothing
_ADDRESS = re.compile(r"https?://\S+")
_JOINTS = {"id": "/", "text": "\n\n", "title": ", "}  # between several columns


class Roles(NamedTuple):
    """Where a record has what a document needs."""

    id: tuple[Path, ...]  # of one or several values; () where the record has none, and goes by the name of its file and its number
    text: tuple[Path, ...]  # likewise; () where all columns of text are the text, as "name: value" lines, and what is in others
    title: tuple[Path, ...]  # likewise; () for none
    by_name: bool  # whether id and text are called so, or were named by the user: then nothing is guessed
    kept: tuple[Path, ...] = ()  # what the user named as metadata, which it is beside anything else


def checked(fields: Any) -> Mapping[str, str]:
    """Columns by field.

    Raises:
        InvalidDocument: a field that is none of id, text, title, metadata, or a column that is no string, or none.
    """
    if not isinstance(fields, Mapping):
        raise InvalidDocument(f"fields is a {type(fields).__name__}; give a mapping such as {{'text': 'body'}}")
    if unknown := sorted(fields.keys() - set(NAMED), key=str):
        raise InvalidDocument(f"{unknown[0]!r:.100} is no field; name the columns for {', '.join(NAMED)}, as in text=body")
    for field, column in fields.items():
        if not isinstance(column, str):
            raise InvalidDocument(f"the column for {field} is a {type(column).__name__}; name it as a string")
        if not parts_of(column):
            raise InvalidDocument(f"no column is named for {field}; name one, as in text=body")
    return fields


def key_of(source: str, number: int | str, sheet: str = "") -> str:
    """The id of a record that has none: its file, its sheet if there are several, and its number or name, as in "books.csv#12"."""
    return f"{source}#{sheet}!{number}" if sheet else f"{source}#{number}"


def titled(document: Document, called: str) -> Document:
    """A document with the name of its record as its title, if it has none and the name is no number or id."""
    return document if document.title or not called or any(map(str.isdecimal, called)) else replace(document, title=called)


def id_of(record: Mapping[str, Any]) -> Any:
    """The id that a record gives itself: its `id`, or `_id` where that is missing or null; None where it has neither."""
    return record.get("_id") if record.get("id") is None else record["id"]


def missing(names: Sequence[str], field: str, fields: Mapping[str, str]) -> tuple[list[str], int]:
    """What the user named as a field and a record has not; and of how many names."""
    named = list(paths_of(fields[field], names)) if field in fields else []
    return [part for part, path in named if path is None], len(named)


def roles(names: Sequence[str], texts: Iterable[str], fields: Mapping[str, str]) -> Roles:
    """Find out what the columns of a record are.

    Args:
        names: of all columns, in order.
        texts: those that hold text.
        fields: what the user named: a column, several ("a,b"), or a path into objects ("body.content").
    """
    named = {field: tuple(path for _, path in paths_of(fields[field], names) if path) for field in NAMED if field in fields}
    texts = set(texts)
    columns = {
        "id": named.get("id") or _called(names, IDS),
        "text": named.get("text") or (_called(names, TEXTS[:1]) or _called([name for name in names if name in texts], TEXTS)),
    }
    by_name = all(field in named or columns[field] == ((field,),) for field in columns)
    title = named.get("title", (("title",),) if "title" in names else ())
    if not (title or by_name or "title" in named):
        taken = {path[0] for paths in columns.values() for path in paths}
        title = _called([name for name in names if name in texts and name not in taken], TITLES)
    return Roles(columns["id"], columns["text"], title, by_name, named.get("metadata", ()))


def values_of(record: Mapping[str, Any], parts: Roles, texts: Iterable[str], key: str, kind: str = "column") -> dict[str, Any]:
    """The id, text and title of a record, and everything else as metadata.

    Args:
        record: plain data by name.
        parts: where to look.
        texts: names of columns that hold text, in order.
        key: the id of a record that has none.
        kind: what its values are called in messages.

    Raises:
        InvalidDocument: an id, text or title is none.
    """
    values: dict[str, Any] = {}
    for field in FIELDS:
        pieces = [_text(field, value_at(record, path), kind, ".".join(path)) for path in getattr(parts, field)]
        pieces = pieces if field == "id" else [without_html(piece) for piece in pieces]
        values[field] = _JOINTS[field].join(piece for piece in pieces if piece.strip()) if len(pieces) > 1 else "".join(pieces)
    if not parts.id:
        values["id"] = key
    used = {path for field in FIELDS for path in getattr(parts, field)}
    if not parts.text:
        lines = {name: record[name] for name in texts if (name,) not in used and (record.get(name) or "").strip()}
        used |= {(name,) for name in lines}
        inside = _without({name: value for name, value in record.items() if name != "metadata" and _is_nested(value)}, used)
        nested = strings_of(inside) if lines or values["title"] else ()
        values["text"] = "\n".join([*(f"{name}: {_said(value)}" for name, value in lines.items()), *nested])
    if not (parts.by_name or values["text"].strip()):
        values["text"], values["title"] = values["title"], ""
    used = {path for path in used if not any(path[: len(one)] == one[: len(path)] for one in parts.kept)}
    return values | {"metadata": _without(record, used)}


def document_of(
    record: Mapping[str, Any], fields: Mapping[str, str], key: str, of_text: AbstractSet[Path] = frozenset(), **more: Any
) -> Document:
    """The document of an object of JSON: {"id": …, "text": …, "title": …, "metadata": {…}}, or any other.

    Args:
        record: the object.
        fields: see `roles`.
        key: the id of an object that has none; "" if it needs one.
        of_text: names whose values are text, since others of their file are; see `columns.Types`.
        more: further arguments of the Document; `folder` is that of a key.

    Raises:
        InvalidDocument: it makes none.
    """
    try:
        return _document_of(record, fields, key, of_text, **more)
    except RecursionError as error:
        raise InvalidDocument("its values are too deep in each other; flatten them") from error


def _document_of(
    record: Mapping[str, Any], fields: Mapping[str, str], key: str, of_text: AbstractSet[Path], **more: Any
) -> Document:
    record = {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in record.items()}
    record = {name: value for name, value in record.items() if value is not None or name not in _DOCUMENT - {"id", "text"}}
    if record.get("id") is None and record.get("_id") is not None:
        record.pop("id", None)
    ours = {"id" if name == "_id" and "id" not in record else name: value for name, value in record.items()}  # BEIR's _id
    is_plain = ours.keys() <= _DOCUMENT and isinstance(ours.get("id"), str) and isinstance(ours.get("text"), str)
    absent = {field: missing(list(record), field, fields) for field in fields}
    if is_plain and (not fields or any(gone for gone, _ in absent.values())):
        ours |= {"metadata": storable(ours["metadata"])} if "metadata" in ours else {}
        return Document(**ours, **{name: value for name, value in more.items() if name != "folder"})
    for field, (gone, of) in absent.items():
        if (field == "id" and gone) or (field == "text" and len(gone) == of):
            raise InvalidDocument(f"there is no {' and no '.join(gone)} but {listed(list(record))}")
    about = {name: record[name] for name in ("media_type", "modified") if _is_about(name, record.get(name))}
    given = {name: value for name, value in record.items() if name not in about}
    rest = as_text(given, of_text) if of_text else given
    texts = [name for name, value in rest.items() if isinstance(value, str)]
    parts = roles(list(rest), texts, fields)
    _check_id(given, parts, key)
    values = values_of(rest, parts, texts, key, "field")
    if not (parts.title or "title" in fields):
        values["title"] = _title_inside(given)
    if not (parts.text or values["text"]):  # it may be deeper
        about_it = {name: value for name, value in values["metadata"].items() if name == "metadata"}
        deeper = {name: value for name, value in values["metadata"].items() if name != "metadata"}
        values |= {"text": "\n".join(strings_of(deeper)), "metadata": {**about_it, **(without_strings(deeper) or {})}}
    if not values["text"]:
        raise InvalidDocument("there is no text")
    if isinstance(rest.get("metadata"), Mapping):
        metadata = values["metadata"].pop("metadata", {})
        if twice := sorted(metadata.keys() & values["metadata"].keys()):
            raise InvalidDocument(f"{listed(twice)} stands in the object and under its metadata, too; name it once")
        values["metadata"] = {**metadata, **values["metadata"]}
    values["metadata"], vectors = without_vectors(storable(values["metadata"]), parts)
    values["metadata"] = {**vectors, **values["metadata"]}
    return Document(**values, remarks=vectors, **about, **(more if not parts.id else {**more, "folder": ""}))


def _title_inside(record: Mapping[str, Any]) -> str:
    """That of the object which an export puts around all that it says of a record; empty if there is none."""
    found = (value_at(record, (outer, name)) for outer, names in _AROUND.items() for name in names if outer in record)
    titles = (one for one in found if isinstance(one, str) and 0 < len(one.strip()) <= _LONGEST_TITLE)
    return next((" ".join(_said(one).split()) for one in titles), "")


def reading_of(fields: Mapping[str, str], of_text: AbstractSet[Path], called: str = "") -> dict[str, Any]:
    """What a file of rejects says of how a line or an object was read; see `document_of`."""
    return (
        ({"fields": dict(fields)} if fields else {})
        | ({"of_text": sorted(map(list, of_text))} if of_text else {})
        | ({"called": called} if called else {})
    )


def _said(value: str) -> str:
    """What a string says to people."""
    return without_html(without_pictures(value))


def strings_of(value: Any, *names: str) -> Iterator[str]:
    """All strings in plain data but pictures and tags, as "name: value" lines; those in objects inside have paths as names."""
    match value:
        case str():
            if value.strip():
                words = _said(value)
                yield f"{'.'.join(names)}: {words}" if names else words
        case Mapping():
            for name, inner in value.items():
                if not _leads_only(str(name), inner):
                    yield from strings_of(inner, *names, str(name))
        case list() | tuple():
            for inner in value:
                yield from strings_of(inner, *names)


def _leads_only(name: str, value: Any) -> bool:
    """Whether values are addresses that an interface gives to programs: of an object itself, or of its picture."""
    if not _OF_MACHINES.fullmatch(name):
        return False
    inner = value.values() if isinstance(value, Mapping) else [value]
    return all(isinstance(one, str) and _ADDRESS.fullmatch(one) for one in inner)


def without_strings(value: Any) -> Any:
    """What is left of plain data without its strings; None if nothing is."""
    match value:
        case str():
            return None
        case Mapping():
            return {name: rest for name, inner in value.items() if (rest := without_strings(inner)) is not None} or None
        case list() | tuple():
            return [rest for inner in value if (rest := without_strings(inner)) is not None] or None
        case _:
            return value


def without_vectors(metadata: Mapping[str, Any], parts: Roles) -> tuple[dict[str, Any], dict[str, int]]:
    """Metadata without vectors that nobody named, as models make them; and the remark that counts them."""
    named = {path[0] for path in parts.kept}
    rest = {name: value for name, value in metadata.items() if name in named or not _is_vector(value)}
    left_out = len(metadata) - len(rest)
    return rest, {"vectors_left_out": left_out} if left_out else {}


def _is_vector(value: Any) -> bool:
    """Whether a value is a list of many numbers of both signs, as prices and counts are not."""
    return (
        isinstance(value, list)
        and len(value) >= _SHORTEST_VECTOR
        and all(type(one) in {int, float} for one in value)
        and any(type(one) is float for one in value)
        and min(value) < 0 < max(value)
    )


def storable(value: Any) -> Any:
    """Plain data with numbers as JSON and filters have them: one beyond 64 bits, or infinite, becomes text; NaN is no value."""
    match value:
        case bool():
            return value
        case int():
            return value if -(2**63) <= value < 2**63 else str(value)
        case float():
            return value if math.isfinite(value) else None if math.isnan(value) else str(value)
        case Mapping():
            return {name: storable(inner) for name, inner in value.items()}
        case list() | tuple():
            return [storable(inner) for inner in value]
        case _:
            return value


def parts_of(named: str) -> list[str]:
    """The columns and paths that are named for a field."""
    return [part.strip() for part in named.split(",") if part.strip()]


def paths_of(named: str, names: Container[str]) -> Iterator[tuple[str, Path | None]]:
    """Each column that is named, with the path to it; None where there is none."""
    if named in names:
        yield named, (named,)
        return
    for part in parts_of(named):
        steps = part.split(".")
        heads = (".".join(steps[:length]) for length in range(len(steps), 0, -1))
        head = next((head for head in heads if head in names), None)
        rest = tuple(part.removeprefix(f"{head}.").split(".")) if head not in {None, part} else ()
        yield part, None if head is None else (head, *rest)


def _called(names: Sequence[str], wanted: Sequence[str]) -> tuple[Path, ...]:
    """The one column that is called by the first of some names, or by any of them; () if none is, or several are."""
    for exact in wanted[:2] if wanted is IDS else wanted[:1]:
        if exact in names:
            return ((exact,),)
    for some in (wanted[:1], wanted):
        matching = [name for name in names if name.strip().casefold() in some]
        if len(matching) == 1:
            return ((matching[0],),)
        if matching:
            break
    return ()


def value_at(value: Any, path: Path) -> Any:
    """The value at a path; in a list, those of its objects."""
    for number, name in enumerate(path):
        if isinstance(value, list | tuple):
            values = [value_at(one, path[number:]) for one in value]
            return [one for one in values if one is not None] or None
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple)


def _text(field: str, value: Any, kind: str, name: str) -> str:
    """A value as text; of a list of strings, a line each."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bytes():
            raise InvalidDocument(f"the {kind} {name} holds bytes that are no text")
        case list() | tuple() if field != "id" and all(isinstance(one, str) for one in value):
            return ("\n" if field == "text" else ", ").join(value)
        case list() | tuple() if field != "id" and value and all(isinstance(piece, str) for piece in map(_piece, value)):
            return ("" if any(isinstance(one, str) for one in value) else "\n").join(map(_piece, value))
        case list() | tuple() | Mapping():
            path = _to_text(value)
            inside = f"name one of text with --field {field}={'.'.join((name, *path))}" if path else "write it as a string"
            raise InvalidDocument(f"the {kind} {name} holds lists or objects; {inside}")
        case _:
            return str(value)


def _piece(value: Any) -> Any:
    """What a piece of a text says, as chats write them: `"See "`, `{"type": "link", "text": …}`."""
    return value.get("text") if isinstance(value, Mapping) and "type" in value else value


def _to_text(value: Any) -> Path | None:
    """What leads to the first text in lists and objects; None where nothing does, or nothing that --field can name."""
    match value:
        case str():
            return ()
        case Mapping():
            inside = ((name, _to_text(inner)) for name, inner in value.items() if not {".", ","} & set(name))
            return next(((name, *path) for name, path in inside if path is not None), None)
        case list() | tuple():
            return next((path for path in map(_to_text, value) if path), None if any(map(_is_nested, value)) else ())
        case _:
            return None


def _without(record: Mapping[str, Any], used: set[Path]) -> dict[str, Any]:
    """A record without the values at some paths, and without what is empty then."""
    rest: dict[str, Any] = {}
    inside: dict[str, set[Path]] = {}
    for path in used:
        inside.setdefault(path[0], set()).add(path[1:])
    for name, value in record.items():
        inner = inside.get(name, set())
        if () in inner:
            continue
        left = _pruned(value, inner) if inner else value
        if left is not None or not inner:
            rest[name] = left
    return rest


def _pruned(value: Any, used: set[Path]) -> Any:
    if isinstance(value, Mapping):
        return _without(value, used) or None
    if isinstance(value, list | tuple):
        return [left for one in value if (left := _pruned(one, used)) is not None] or None
    return value


def _is_about(name: str, value: Any) -> bool:
    """Whether a field of an object says something of the document, and is no metadata that happens to be called so."""
    if name == "media_type":
        return isinstance(value, str) and "/" in value
    return value is not None and is_time(value)


def _check_id(record: Mapping[str, Any], parts: Roles, key: str) -> None:
    if not parts.id and not key:
        raise InvalidDocument("there is no id, and standard input has no name to make one of; name it with --field id=NAME")
    for path in parts.id:
        value = value_at(record, path)
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise InvalidDocument(f"the {'.'.join(path)} must be a string or a whole number, not {type(value).__name__}")
