"""Which points of a collection hold no passage, and whose are they?"""

from dataclasses import dataclass, field

from search.index.contract import VectorIndex
from search.index.points import as_passage, document_of, may_be_ours

_EXAMPLES = 3


@dataclass(frozen=True)
class Damage:
    """Points that no search can give back.

    Attributes:
        empty: ids of those without a payload, as a cluster leaves them that was restarted during deletes.
        partial: ids of those that hold part of a passage, by the document they belong to.
        foreign: how many hold something else, so that another program wrote them; never removed.
        examples: ids of some of those.
    """

    empty: list[str] = field(default_factory=list)
    partial: dict[str, list[str]] = field(default_factory=dict)
    foreign: int = 0
    examples: tuple[str, ...] = ()

    @property
    def damaged(self) -> int:
        """How many points are empty or partial."""
        return len(self.empty) + sum(map(len, self.partial.values()))

    def __str__(self) -> str:
        """What there is, in words; empty if there is nothing."""
        words = []
        if self.damaged:
            some = [*self.empty, *(one for ids in self.partial.values() for one in ids)][:_EXAMPLES]
            words.append(f"{self.damaged:,} points hold no whole passage (such as {', '.join(some)})")
        if self.foreign:
            words.append(f"{self.foreign:,} points were written by another program (such as {', '.join(self.examples)})")
        return "; ".join(words)


def survey(index: VectorIndex) -> Damage:
    """Look at every point. Memory grows with what is damaged.

    Raises:
        IndexFailure: the index gave up.
    """
    empty: list[str] = []
    partial: dict[str, list[str]] = {}
    foreign = 0
    examples: list[str] = []
    for record in index.scroll():
        if as_passage(record.payload) is not None:
            continue
        document_id = document_of(record.payload)
        if document_id is not None:
            partial.setdefault(document_id, []).append(record.id)
        elif not record.payload and may_be_ours(record.id):
            empty.append(record.id)
        else:
            foreign += 1
            if len(examples) < _EXAMPLES:
                examples.append(record.id)
    return Damage(empty, partial, foreign, tuple(examples))
