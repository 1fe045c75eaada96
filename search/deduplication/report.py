"""What was found: clusters of near-duplicates with a representative each, as values, text and JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from search.documents import Document

Kind = Literal["identical", "near"]


@dataclass(frozen=True)
class Duplicate:
    """A document that says the same as its cluster's representative.

    Attributes:
        document: as it was ingested.
        kind: "identical" where white space and case alone differ, else "near".
        probability: that it says the same, 0 to 1; 1 for identical ones.
        signs: how alike both are, by the names of search.deduplication.comparing.SIGNS; empty for identical ones.
        reranker: the logits of the reranker's probabilities, with the representative as query and the other way round; None where
            it was not asked.
    """

    document: Document
    kind: Kind
    probability: float
    signs: Mapping[str, float]
    reranker: tuple[float, float] | None = None


@dataclass(frozen=True)
class Cluster:
    """A representative (the longest text, of equal ones the oldest, then by id), and what says the same, the likeliest first."""

    representative: Document
    duplicates: tuple[Duplicate, ...]


@dataclass(frozen=True)
class Duplicates:
    """The near-duplicates of a collection.

    Attributes:
        collection: its name.
        clusters: in the order of their representatives.
        documents: how many there are in all.
        passages: how many there are in all.
        pairs: how many pairs of documents were judged; copies of one text count as one document there.
        threshold: the least probability of what is reported.
        confirmed_by: what the probabilities are from, in words.
        incomplete: ids of documents that are not whole, and were left out.
        notes: what else is to be said.
        seconds: how long it took.
        target: the collection that the name led to.
    """

    collection: str
    clusters: tuple[Cluster, ...]
    documents: int
    passages: int
    pairs: int
    threshold: float
    confirmed_by: str
    incomplete: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    target: str = ""

    @property
    def duplicate_ids(self) -> tuple[str, ...]:
        """Ids of all documents but the representatives."""
        return tuple(one.document.id for cluster in self.clusters for one in cluster.duplicates)

    @property
    def expected_share(self) -> float | None:
        """The share of true duplicates to be expected among those reported: the mean of their probabilities; None for none."""
        chances = [one.probability for cluster in self.clusters for one in cluster.duplicates]
        return sum(chances) / len(chances) if chances else None

    def to_dict(self) -> dict[str, Any]:
        """Plain data, without the texts but for their beginnings."""
        return {
            "collection": self.collection,
            "documents": self.documents,
            "passages": self.passages,
            "pairs": self.pairs,
            "threshold": self.threshold,
            "confirmed_by": self.confirmed_by,
            "expected_share": self.expected_share,
            "duplicates": len(self.duplicate_ids),
            "clusters": [
                {
                    "representative": _named(cluster.representative),
                    "duplicates": [
                        {
                            **_named(one.document),
                            "kind": one.kind,
                            "probability": one.probability,
                            "signs": dict(one.signs),
                            "reranker": one.reranker,
                        }
                        for one in cluster.duplicates
                    ],
                }
                for cluster in self.clusters
            ],
            "incomplete": list(self.incomplete),
            "notes": list(self.notes),
            "seconds": self.seconds,
        }


def _named(document: Document) -> dict[str, Any]:
    return {"document_id": document.id, "title": document.title, "beginning": " ".join(document.text[:400].split())[:200]}
