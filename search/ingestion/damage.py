"""Which points of a collection hold no passage, or one that another point holds, too, and whose are they?"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from search.documents import counted
from search.index.contract import Record, VectorIndex
from search.index.points import as_passage, document_of, each_once, has_own_id, may_be_ours, passages
from search.ingestion.lookup import Stored, compare, of_documents
from search.ingestion.relay import in_groups
from search.ingestion.report import EXAMPLES, Noted
from search.ingestion.restoring import newest_whole

_AT_ONCE = 128  # documents


@dataclass(frozen=True)
class Damage:
    """Points that no search can give back, or that it gives back beside the same."""

    # Ids of those without a payload, as a cluster leaves them that was restarted during deletes:
    empty: list[str] = field(default_factory=list)
    # Ids of those that hold part of a passage, by the document they belong to:
    partial: dict[str, list[str]] = field(default_factory=dict)
    foreign: int = 0  # how many hold something else, so that another program wrote them; never removed
    examples: tuple[str, ...] = ()  # ids of some of those
    # Ids of those that repeat a passage which stands in another point, if they were looked for:
    repeated: list[str] = field(default_factory=list)

    @property
    def damaged(self) -> int:
        """How many points are empty or partial."""
        return len(self.empty) + sum(map(len, self.partial.values()))

    def __str__(self) -> str:
        """What there is, in words; empty if there is nothing."""
        words = []
        if self.damaged:
            some = [*self.empty, *(one for ids in self.partial.values() for one in ids)][:EXAMPLES]
            words.append(f"{counted(self.damaged, 'point holds', 'points hold')} no whole passage (such as {', '.join(some)})")
        if self.repeated:
            some = self.repeated[:EXAMPLES]
            repeated = counted(len(self.repeated), "point repeats", "points repeat")
            words.append(f"{repeated} passages of others (such as {', '.join(some)})")
        if self.foreign:
            foreign = counted(self.foreign, "point was", "points were")
            words.append(f"{foreign} written by another program (such as {', '.join(self.examples)})")
        return "; ".join(words)


def survey(index: VectorIndex, *, repeated: bool = False) -> Damage:
    """Look at every point. Memory grows with what is damaged.

    Args:
        index: an open collection.
        repeated: look for points that repeat a passage, too. Memory grows then with the documents of which a point has another id
            than this package gives.

    Raises:
        IndexFailure: the index gave up.
    """
    empty: list[str] = []
    partial: dict[str, list[str]] = {}
    foreign = Noted[str](EXAMPLES)
    suspected: set[str] = set()
    repeated = repeated and not index.spec.layout
    for record in index.scroll():
        if as_passage(record.payload) is not None:
            if repeated and not has_own_id(record):
                suspected.add(record.payload["document_id"])
            continue
        document_id = document_of(record.payload)
        if document_id is not None:
            partial.setdefault(document_id, []).append(record.id)
        elif not record.payload and may_be_ours(record.id):
            empty.append(record.id)
        else:
            foreign.add(record.id)
    again = [one for group in in_groups(sorted(suspected), _AT_ONCE) for one in repeating(index, group)]
    return Damage(empty, partial, foreign.count, tuple(foreign.first), again)


def compared(index: VectorIndex, revisions: Mapping[str, str], *, dry_run: bool = False) -> tuple[dict[str, Stored], int]:
    """Look documents up by the revision that each should be at, and remove points that repeat a passage at it.

    Returns:
        How each document stands without these, as `compare` has it, and how many there were; a dry run removes none.
    """
    stored = compare(index, revisions)
    wanted = {one: revisions[one] for one, standing in stored.items() if standing.repeats}
    points = repeating(index, list(wanted)) if wanted else []
    if not points:
        return stored, 0
    if not dry_run:
        index.delete(ids=points)
    return stored | compare(index, wanted, without=set(points)), len(points)


def repeating(index: VectorIndex, document_ids: list[str]) -> list[str]:
    """The ids of points that repeat passages of some documents; one point of each passage is never among them."""
    revisions: dict[tuple[str, str], list[Record]] = {}
    for record in passages(index.scroll(of_documents(document_ids))):
        revisions.setdefault((record.payload["document_id"], record.payload["revision"]), []).append(record)
    points = []
    for records in revisions.values():
        kept = {record.id for record in newest_whole(records) or _each_once(records)}
        points += [record.id for record in records if record.id not in kept]
    return points


def _each_once(records: list[Record]) -> list[Record]:
    generations: dict[int, list[Record]] = {}
    for record in records:
        generations.setdefault(record.payload.get("generation", 0), []).append(record)
    return [record for version in generations.values() for record in each_once(version)]
