"""What is stored with a vector? The payload of a chunk, written and read in one place."""

import uuid
from collections.abc import Sequence

from search.documents import Candidate, Chunk, Document
from search.index import Match, Payload, Point, Vector
from search.inference.tokens import Tally


def to_point(chunk: Chunk, vector: Vector, tally: Tally, window: int, revision: str, chunks: int, generation: int) -> Point:
    """A chunk as it is stored.

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
    # Of its revision, too: a new version's passage never takes the place of an old one, which may still be wanted.
    return Point(str(uuid.uuid5(uuid.UUID(chunk.id), revision)), vector, payload)


def to_document(payloads: Sequence[Payload]) -> Document | None:
    """A document as it was before it was cut, from all that is stored of one of its revisions; None if that is not all of it."""
    passages = sorted(payloads, key=lambda payload: int(payload["number"]))
    first = passages[0] if passages else {}
    if "document_title" not in first or [payload["number"] for payload in passages] != list(range(first["chunks"])):
        return None
    pieces, at = [first["before"]], len(first["before"])
    for payload in passages:
        pieces += [payload["text"][at - payload["start"] :], payload["after"]]  # passages may overlap
        at = payload["end"] + len(payload["after"])
    text, title = "".join(pieces), first["document_title"]
    return Document(first["document_id"], text, title, first["metadata"], first["media_type"], first["modified"])


def to_candidates(matches: Sequence[Match]) -> list[Candidate]:
    """What a query found, ranked; equal scores stand in the order of their ids, so that answers repeat.

    Of a document that is being replaced, only passages of the newest generation found are kept: no answer mixes two versions.
    """
    newest: dict[str, int] = {}
    for match in matches:
        document_id = match.payload["document_id"]
        newest[document_id] = max(newest.get(document_id, 0), match.payload.get("generation", 0))
    current = [match for match in matches if match.payload.get("generation", 0) == newest[match.payload["document_id"]]]
    ordered = sorted(current, key=lambda match: (-match.score, match.id))
    return [
        Candidate(
            chunk_id=match.id,
            document_id=match.payload["document_id"],
            text=match.payload["text"],
            title=match.payload["title"],
            metadata=match.payload["metadata"],
            start=match.payload["start"],
            end=match.payload["end"],
            retrieval_rank=rank,
            retrieval_score=match.score,
            tokens_embedded=match.payload["tokens_embedded"],
            tokens_total=match.payload["tokens"],
            unknown_share=match.payload["unknown_share"],
            headings=tuple(match.payload.get("headings", ())),  # collections made by 0.1.0 have none of these
            page=match.payload.get("page"),
            media_type=match.payload.get("media_type", "text/plain"),
            modified=match.payload.get("modified"),
        )
        for rank, match in enumerate(ordered, 1)
    ]
