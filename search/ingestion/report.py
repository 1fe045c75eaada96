"""What became of every document? Progress on the way, a report at the end."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Generic, Literal, TypeVar

from search.documents import Document, Json, Rejection

State = Literal["added", "changed", "unchanged", "removed", "kept"]  # kept: a sync would have removed it, but did not
OnProgress = Callable[["Progress"], None]
OnRejection = Callable[[Rejection], None]
OnChange = Callable[[State, str], None]

LISTED = 1000  # rejections; all are counted
REMARKED = 10_000  # documents of each kind of remark; likewise
EXAMPLES = 3
Item = TypeVar("Item")


class Noted(Generic[Item]):
    """How many there were of something, and the first of them."""

    def __init__(self, most: int) -> None:
        """Keep no more than that many."""
        self.count = 0
        self.first: list[Item] = []
        self._most = most

    def add(self, item: Item) -> None:
        """Count it."""
        self.count += 1
        if len(self.first) < self._most:
            self.first.append(item)


@dataclass(frozen=True, slots=True)
class Remark:
    """What the reader of a file left out of a document, or could not tell for certain.

    Attributes:
        kind: the field of the document's metadata that says so, too, such as pages_without_text. Only what is
            said of a whole table whose rows are documents stands in none, as encoding, lines_above_header and short_rows; the first
            one has it.
        document_id: which document.
        source: the file that it was read from; of a row of a table behind it a colon and the line.
        found: of pages_without_text and damaged_pages the numbers of all of them, from 1, of which metadata names the first 20; of
            encoding what the file was read as; else how many there are of what the kind says.
    """

    kind: str
    document_id: str
    source: str
    found: Json


class Remarks:
    """How many documents there were with each kind of remark, and the first of them."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.counts: Counter[str] = Counter()
        self.first: list[Remark] = []

    def note(self, document: Document) -> None:
        """Take down what the document's reader remarked."""
        for kind, found in document.remarks.items():
            self.counts[kind] += 1
            if self.counts[kind] <= REMARKED:
                self.first.append(Remark(kind, document.id, document.origin, found))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an ingestion is.

    Attributes:
        documents: done with, rejected ones included.
        chunks: passages written.
        tokens: embedded.
        rejected: documents that were not taken.
        seconds: since the first.
        characters: of the texts that this much of is written, or that needed nothing, or were rejected.
        building: passages of which a graph is being built, when all else is done; only Qdrant Edge says so.
    """

    documents: int
    chunks: int
    tokens: int
    rejected: int
    seconds: float
    characters: float = 0
    building: int = 0


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of every document.

    Attributes:
        added: documents that were not in the collection.
        changed: documents whose passages were replaced.
        unchanged: documents that were there already, neither embedded nor written.
        removed: documents that were in the collection and not among those read; only a sync removes any.
        rejected: documents that were not taken.
        chunks: passages written.
        reused: passages written whose vectors were in the collection already, and were not computed again.
        tokens: embedded, special ones left out.
        unknown: documents with a passage of which the embedder does not know more than a fifth of the tokens.
        seconds: from first to last.
        kept: documents that a sync would have removed, or a copy replaced, but did not; see kept_because.
        kept_because: why they were kept; empty if there are none.
        dry_run: whether nothing was written, and the figures say what would have been; chunks and tokens are then 0.
        rejections: the first thousand of those rejected, each with file, line and reason.
        damaged: points that hold no whole passage, as a sync or a copy met them. A sync removes them, and writes the documents
            anew that they were of; a copy leaves them out.
        foreign: points that another program wrote, as a sync or a copy met them; both leave them alone.
        elsewhere: documents that were changed or removed though they had been read in another folder or file: folders of the same
            name give the same ids, and so do tables whose rows are numbered.
        elsewhere_ids: the first of those read elsewhere.
        doubled: documents that were added or changed though the same file, or row of it, stands there by another id as well, since
            an id begins with the folder that is named.
        doubled_ids: the first of those that stand there twice, each with that other id.
        repeated: points that repeated a passage of a document that was given, as another program writes them that copies points
            under ids of its own; they were removed. One that goes with the passages of before, since its document was changed and
            is written anew, is not counted.
        remarked: how many documents had which remark of their reader, by its kind; see Remark. Only those that `search.read` gave
            may have one. Unchanged documents count, too, and rejected ones do not.
        remarks: the first ten thousand of each kind of remark.
        warnings: of an update by a filter that nothing passes, the fields that it asks about and no document has, or has otherwise.
    """

    added: int
    changed: int
    unchanged: int
    removed: int
    rejected: int
    chunks: int
    reused: int
    tokens: int
    unknown: int
    seconds: float
    kept: int
    kept_because: str
    dry_run: bool
    rejections: tuple[Rejection, ...]
    damaged: int = 0
    foreign: int = 0
    elsewhere: int = 0
    elsewhere_ids: tuple[str, ...] = ()
    repeated: int = 0
    doubled: int = 0
    doubled_ids: tuple[tuple[str, str], ...] = ()
    remarked: Mapping[str, int] = field(default_factory=dict)
    remarks: tuple[Remark, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return {**asdict(self), "rejections": [rejection.to_dict() for rejection in self.rejections]}


def together(reports: Sequence[IngestReport]) -> IngestReport:
    """One report of several runs into one collection, each of other documents."""
    first = reports[0]
    sums = {
        field.name: sum(getattr(one, field.name) for one in reports)
        for field in fields(IngestReport)
        if isinstance(getattr(first, field.name), int | float) and not isinstance(getattr(first, field.name), bool)
    }
    because = next((one.kept_because for one in reports if one.kept_because), "")
    listed = tuple(rejection for one in reports for rejection in one.rejections)[:LISTED]
    examples = tuple(example for one in reports for example in one.elsewhere_ids)[:EXAMPLES]
    pairs = tuple(pair for one in reports for pair in one.doubled_ids)[:EXAMPLES]
    return replace(first, **sums, kept_because=because, rejections=listed, elsewhere_ids=examples, doubled_ids=pairs)
