"""What is stored with a vector? The payload of a chunk, written, read and checked in one place.

What an engine gives is not always a passage of this package: a cluster that was restarted during deletes leaves points without
a payload, and another program may write into the collection. Whoever reads payloads reads them through `as_passage`.
"""

import math
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from search.documents import Candidate, Chunk, Document, chunk_id
from search.errors import InvalidDocument
from search.index.contract import Match, Payload, Point, Query, Record, Vector, VectorIndex
from search.inference.tokens import Tally
from search.passages import passage_of, readable

_LEADING_ZEROS = re.compile(r"(?<!\d)0+(?=[1-9])")  # of pep-0517, which people call 517
_LONGEST_GAP = 200  # characters between two passages that a hit tells; there may be a picture in letters
_ROUNDS = 3  # of asking for more, where points among the closest are no passages
FIRST_PASSAGES = {"must": [{"key": "number", "match": {"value": 0}}]}  # of each document
ADOPTED = "adopted-"  # how revisions of documents begin that were copied from another program, and not ingested since


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_REQUIRED: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("document_id", "revision"), _is_name),
    **dict.fromkeys(("number", "chunks", "start", "end", "tokens", "tokens_embedded"), _is_count),
    **dict.fromkeys(("title", "text"), _is_text),
    "unknown_share": _is_number,
    "metadata": lambda value: isinstance(value, Mapping),
}
_OPTIONAL: dict[str, Callable[[Any], bool]] = {  # collections made by 0.1.0 have none of these; some stand in first passages only
    "generation": _is_count,
    "headings": lambda value: isinstance(value, list | tuple) and all(isinstance(one, str) for one in value),
    "page": lambda value: value is None or _is_count(value),
    "modified": lambda value: value is None or _is_number(value),
    "document_metadata": lambda value: isinstance(value, Mapping),
    "pushed": lambda value: isinstance(value, bool),  # from an embedded collection, and not ingested since
    **dict.fromkeys(("media_type", "after", "before", "document_title", "folder"), _is_text),
}
_CHECKS = _REQUIRED | _OPTIONAL
_OURS = {"revision", "generation", "chunks", "tokens_embedded", "unknown_share"}  # fields that hardly anybody else writes
_UUID_OF_CONTENT = 5  # the version of our ids


def as_passage(payload: Payload, fields: Iterable[str] | None = None) -> Payload | None:
    """The payload of a point as that of a passage, by `fields` that the engine was to return, or by all; None if it is none."""
    for name in _CHECKS if fields is None else fields:
        if name in payload:
            if not _CHECKS[name](payload[name]):
                return None
        elif name in _REQUIRED:
            return None
    return payload


def passages(records: Iterable[Record], fields: Iterable[str] | None = None) -> Iterator[Record]:
    """Those of some points that are passages; for the fields see `as_passage`."""
    return (record for record in records if as_passage(record.payload, fields) is not None)


def document_of(payload: Payload) -> str | None:
    """The document that a damaged payload of this package belongs to; None if it is another program's, or says nothing.

    A payload is taken for this package's if it names a document, has a field that hardly anybody else writes, and none that this
    package never writes: what may be somebody else's is never removed.
    """
    known = payload.keys() <= _CHECKS.keys() and not payload.keys().isdisjoint(_OURS)
    return str(payload["document_id"]) if known and _is_name(payload.get("document_id")) else None


def may_be_ours(point_id: str) -> bool:
    """Whether a point's id may be one of this package; the ids of another program may be numbers, or random."""
    try:
        return uuid.UUID(point_id).version == _UUID_OF_CONTENT
    except ValueError:
        return False


class Found(NamedTuple):
    """The matches of a query that are passages."""

    matches: list[Match]  # passages, best first
    damaged: int  # points among the closest that are no passages, and were left out
    absent: tuple[int, ...] = ()  # which of the query's probes no point has; then nothing was looked for
    most: int | None = None  # as many as the engine gives at all, where more were asked for


def find(index: VectorIndex, query: Query, limit: int) -> Found:
    """The passages that a query finds. Points that are none are left out, and others looked for in their place.

    Asking for more costs nothing where all points are passages, and one more query where some are not; excluding them by a
    filter would make the engine look at every payload. After three more queries there may be fewer than `limit`.
    Of a document that is being replaced, only passages of the newest generation are returned: no answer mixes two versions.
    """
    wanted = limit
    for _ in range(1 + _ROUNDS):
        matches = index.query(query, wanted)
        good = [match for match in matches if as_passage(match.payload) is not None]
        damaged = len(matches) - len(good)
        if len(good) >= limit or len(matches) < wanted:
            break
        wanted = limit + 2 * damaged
    good = good[: limit + len(query.also)]
    newest: dict[str, int] = {}
    for match in good:
        document_id = match.payload["document_id"]
        newest[document_id] = max(newest.get(document_id, 0), match.payload.get("generation", 0))
    current = [match for match in good if match.payload.get("generation", 0) == newest[match.payload["document_id"]]]
    cut = matches.most is not None and len(matches) >= matches.most
    return Found(current, damaged, matches.absent, matches.most if cut else None)


def to_point(chunk: Chunk, vector: Vector, tally: Tally, window: int, revision: str, chunks: int, generation: int) -> Point:
    """A chunk as it is stored, without its words.

    Args:
        chunk: the passage.
        vector: its embedding, float32 (dimension,).
        tally: its tokens.
        window: how many tokens the embedder reads.
        revision: hash of the document's content and of how it was chunked: one value for all its chunks.
        chunks: how many chunks the document has, so that a half-written one is noticed.
        generation: higher than that of the passages it replaces, so that no answer holds both.
    """
    payload = {
        "document_id": chunk.document_id,
        "number": chunk.number,
        "chunks": chunks,
        "revision": revision,
        "generation": generation,
        "title": chunk.title,
        "headings": list(chunk.headings),
        "text": chunk.text,
        "start": chunk.start,
        "end": chunk.end,
        "page": chunk.page,
        "media_type": chunk.media_type,
        "modified": chunk.modified,
        "tokens": tally.tokens,
        "tokens_embedded": min(tally.tokens, window),
        "unknown_share": round(tally.unknown_share, 4),
        "metadata": dict(chunk.metadata),
        "after": chunk.after,
    }
    if chunk.number == 0:  # with the others' texts, enough to give the document back as it was
        payload |= {"document_title": chunk.document_title, "before": chunk.before}
    if chunk.folder:
        payload["folder"] = chunk.folder
    # Of its revision, too: a new version's passage never takes the place of an old one, which may still be wanted.
    return Point(_point_id(chunk.id, revision), vector, payload)


def embedded_text(record: Record) -> str:
    """The text that a passage's vector is of: what models read of it, or all of it where an earlier version embedded it."""
    payload = record.payload
    title, text, media_type = payload["title"], payload["text"], payload.get("media_type", "text/plain")
    passage, whole = passage_of(title, text, media_type), f"{title} {text}".strip()
    if passage == whole:
        return whole
    chunk = chunk_id(payload["document_id"], payload["number"], title, text, media_type)
    return passage if record.id == _point_id(chunk, payload["revision"]) else whole


def each_once(version: Sequence[Record]) -> list[Record]:
    """The passages of one version of a document, each once: the point whose id is made of what it holds, where there are several.

    Another program that writes points anew gives them ids of its own; each passage stands there twice then.
    """
    several: dict[int, list[Record]] = {}
    for record in version:
        several.setdefault(record.payload["number"], []).append(record)
    return [next(filter(has_own_id, same), same[0]) if len(same) > 1 else same[0] for same in several.values()]


def has_own_id(record: Record) -> bool:
    """Whether a passage stands in the point that this package makes of it."""
    payload, revision = record.payload, record.payload["revision"]
    media_type = payload.get("media_type", "text/plain")
    own = _point_id(chunk_id(payload["document_id"], payload["number"], payload["title"], payload["text"], media_type), revision)
    return record.id == (adopted_id(own) if revision.startswith(ADOPTED) else own)


def _point_id(chunk: str, revision: str) -> str:
    return str(uuid.uuid5(uuid.UUID(chunk), revision))


def adopted_id(own: str) -> str:
    """The id of a point that was made of another program's, whose vector is not of this package, see `embedded_text`."""
    return str(uuid.uuid5(uuid.UUID(own), ADOPTED))


def searchable_text(payload: Payload, fields: Sequence[str] = ()) -> str:
    """The text that a passage is searched by: title and headings, its text, the document's id, and metadata that the settings name.

    `fields` are paths into the payload, such as "metadata.isbn".
    """
    title, document_id = payload["title"], payload["document_id"]
    headings = (heading for heading in payload.get("headings", ()) if heading not in title)  # a long title ends before them
    values = (str(one) for field in fields for one in _values(payload, field.split(".")))
    bare = {_LEADING_ZEROS.sub("", document_id)} - {document_id}
    text = readable(payload["text"], payload.get("media_type", "text/plain"))
    return f"{readable(' '.join([title, *headings]))} {text} {readable(' '.join([document_id, *bare, *values]))}"


def _values(value: Any, path: Sequence[str]) -> list[Any]:
    """What stands at a path, in all elements of the lists on the way."""
    if isinstance(value, list | tuple):
        return [one for element in value for one in _values(element, path)]
    if not path:
        return [] if value is None or isinstance(value, Mapping) else [value]
    return _values(value[path[0]], path[1:]) if isinstance(value, Mapping) and path[0] in value else []


def to_document(payloads: Sequence[Payload]) -> Document | None:
    """A document as it was before it was cut, from all passages stored of one of its revisions; None if that is not all of it."""
    passages = sorted(payloads, key=lambda payload: int(payload["number"]))
    first = passages[0] if passages else {}
    if [payload["number"] for payload in passages] != list(range(first.get("chunks", -1))):
        return None
    if "document_title" not in first or "before" not in first or any("after" not in payload for payload in passages):
        return None  # made by 0.1.0
    pieces, at = [first["before"]], len(first["before"])
    for payload in passages:
        if payload["start"] > at:  # something is missing in between
            return None
        pieces += [payload["text"][at - payload["start"] :], payload["after"]]  # passages may overlap
        at = payload["end"] + len(payload["after"])
    text, title = "".join(pieces), first["document_title"]
    media_type, modified = first.get("media_type", "text/plain"), first.get("modified")
    metadata = first.get("document_metadata", first["metadata"])  # of passages that another program cut, they differ
    try:
        return Document(first["document_id"], text, title, metadata, media_type, modified, folder=first.get("folder", ""))
    except InvalidDocument:  # such as no ingestion accepts
        return None


def to_candidate(match: Match, rank: int, precedence: int = 0) -> Candidate:
    """A match as a candidate, at its place in retrieval order."""
    payload = match.payload
    after = payload.get("after")
    return Candidate(
        chunk_id=match.id,
        document_id=payload["document_id"],
        text=payload["text"],
        title=payload["title"],
        metadata=payload["metadata"],
        start=payload["start"],
        end=payload["end"],
        retrieval_rank=rank,
        retrieval_score=match.score,
        tokens_seen=payload["tokens_embedded"],
        tokens_total=payload["tokens"],
        unknown_share=payload["unknown_share"],
        headings=tuple(payload.get("headings", ())),  # collections made by 0.1.0 have none of these
        page=payload.get("page"),
        media_type=payload.get("media_type", "text/plain"),
        modified=payload.get("modified"),
        lexical_score=match.lexical,
        dense_rank=match.dense_rank,
        lexical_rank=match.lexical_rank,
        fusion_score=match.fused,
        after=after if after is not None and len(after) <= _LONGEST_GAP else None,
        precedence=precedence,
    )
