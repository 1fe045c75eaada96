"""Which stretches of documents do passages make? Neighbours joined, overlaps removed, and no text twice."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search.documents import Hit


@dataclass(frozen=True, slots=True)
class Stretch:
    """Text of a document without a gap, and the hits that it was made of."""

    hits: "tuple[Hit, ...]"  # in the order of the document
    text: str  # what stands in the document from the first to the last of them
    start: int  # characters into the document …
    end: int  # … and where it ends
    after: str | None  # what stands behind it, up to the document's next passage; None where nobody knows
    also: tuple[str, ...] = ()  # further documents that have the text of one of its passages
    cut: bool = False  # whether it was shortened

    @classmethod
    def of(cls, hit: "Hit") -> "Stretch":
        """A single passage."""
        return cls((hit,), hit.text, hit.start, hit.end, hit.after)

    @property
    def rank(self) -> int:
        """Of its best hit."""
        return min(hit.rank for hit in self.hits)

    @property
    def chunk_ids(self) -> tuple[str, ...]:
        """Of its hits."""
        return tuple(hit.chunk_id for hit in self.hits)


def added(stretches: Sequence[Stretch], grown: Stretch) -> tuple[list[Stretch], Stretch]:
    """Stretches and one more, which may join two of them, by the ranks of their best hits; and the one that it is in now."""
    others = []
    for one in stretches:
        first, second = sorted((one, grown), key=lambda stretch: (stretch.start, -stretch.end))
        joined = _joined(first, second)
        if joined is None:
            others.append(one)
        else:
            grown = joined
    return sorted([*others, grown], key=lambda stretch: stretch.rank), grown


def _joined(first: Stretch, second: Stretch) -> Stretch | None:
    """Two stretches as one, if nothing but what is known stands between them, or if they overlap."""
    one, other = first.hits[0], second.hits[0]
    if (one.document_id, one.media_type) != (other.document_id, other.media_type):
        return None
    if any(len(stretch.text) != stretch.end - stretch.start for stretch in (first, second)):
        return None  # offsets of another program, which count something else
    gap = second.start - first.end
    if gap >= 0:
        if first.after is None or len(first.after) != gap:
            return None
        text = first.text + first.after + second.text
    else:
        shared = first.text[second.start - first.start :][: len(second.text)]
        if not second.text.startswith(shared):
            return None  # of another version, or another program's
        text = first.text + second.text[len(shared) :]
    last = second if second.end >= first.end else first
    hits = tuple(sorted((*first.hits, *second.hits), key=lambda hit: (hit.start, hit.end)))
    also = tuple(dict.fromkeys((*first.also, *second.also)))
    return replace(first, hits=hits, text=text, end=last.end, after=last.after, also=also)
