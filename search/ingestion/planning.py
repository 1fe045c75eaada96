"""What is to be done? Documents compared with the index and cut into passages, step by step, in the thread that reads."""

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from search.documents import Chunk, Document, Json, Rejection, checked_documents
from search.index.contract import Vector, VectorIndex
from search.index.points import passages
from search.index.tenants import Tenant
from search.ingestion.chunking import Chunker
from search.ingestion.damage import compared
from search.ingestion.lookup import AT_ONCE, Stored, digest_of, of_documents, vectors_of
from search.ingestion.relay import in_groups
from search.ingestion.report import Remarks, State

_GROUP = 128  # documents compared with the index at a time …
_GROUP_CHARACTERS = 4_000_000  # … unless they are long
_BATCH = 256  # chunks embedded and written at a time
# What every passage of a document carries, in characters:
_EXTRA = 20_000  # title and metadata
LONGEST_ID = 4096  # as long as a path, or an address that browsers take
LONGEST_TYPE = 255  # of a media type, by RFC 6838

_Group = tuple[list[Rejection], list[Document], int]  # rejections, what is compared together, and how many characters were refused


class Passage(NamedTuple):
    """A chunk on its way, with what is stored beside it."""

    chunk: Chunk
    revision: str
    chunks: int  # of its document
    generation: int
    vector: Vector | None = None  # where the version before has the same passage


@dataclass(frozen=True)
class Step:
    """What comes next: something to refuse, something to embed and write, documents that are complete then."""

    rejections: list[Rejection] = field(default_factory=list)
    passages: list[Passage] = field(default_factory=list)
    concluded: dict[str, tuple[State, str]] = field(default_factory=dict)  # state and revision
    documents: dict[str, Document] = field(default_factory=dict)  # those of them that were cut
    characters: float = 0  # of the texts that it does away with; of a document that is cut, each passage has the same share


class Planning:
    """Draws documents and says what is to be done with them."""

    def __init__(
        self, index: VectorIndex, using: threading.Lock, chunker: Chunker, max_characters: int, tenant: Tenant | None = None
    ) -> None:
        """Keep the parts.

        Each request to the index holds the lock. Documents with more characters are rejected. They become the tenant's; None where
        nobody shares the collection, or they say so already.
        """
        self._tenant = tenant
        self._index = index
        self._using = using
        self._chunker = chunker
        self._max_characters = max_characters
        self._taken: dict[bytes, str] = {}  # and the folder that each is from
        self._rejected: set[bytes] = set()
        self.folders: set[str] = set()  # that documents of this run were read in
        self.elsewhere: set[str] = set()  # documents under way of which another folder's version is replaced
        self.doubled: dict[str, str] = {}  # documents that another one is of the same place of the same file, and that one
        self.others_go = False  # whether documents that this run does not read are removed
        self._filled: bool | None = None  # whether the collection held anything when the run began, once that is known
        self.partial: dict[str, list[str]] = {}  # damaged points, which a sync removes, by document
        self.remarks = Remarks()  # of the readers of documents that were taken
        self.repeated = 0  # points that repeated a passage of a document of this run, and were removed

    def know(self, document_id: str) -> None:
        """Remember the id of a document that was read and rejected."""
        self._rejected.add(digest_of(document_id))

    def knows(self, document_id: str) -> bool:
        """Whether a document was read in this run, accepted or rejected."""
        digest = digest_of(document_id)
        return digest in self._taken or digest in self._rejected

    def steps(
        self,
        documents: Iterable[Document | Rejection],
        *,
        exists: bool = True,
        chunked: bool = True,
        make: Callable[[], None] | None = None,
    ) -> Iterator[Step]:
        """Draw documents and plan.

        Args:
            documents: the documents of the run, and those that reading rejected.
            exists: whether there is a collection to compare them with.
            chunked: whether passages are wanted, too; if not, nothing is written.
            make: makes the collection, where there is none, when the first document is drawn that is to be written into it.
        """
        for drawn in self._grouped(documents, None if exists else make):
            exists = exists or bool(make and drawn[1])  # by now another run may have written into it, too
            rejections, group, refused = self._without_shared(drawn, self._tenant) if exists and self._tenant else drawn
            revisions = {document.id: document.content_hash(self._chunker.state(document)) for document in group}
            with self._using:
                if damaged := [point for document in group for point in self.partial.pop(document.id, ())]:
                    self._index.delete(ids=damaged)  # so that their documents are not whole, and are written anew
                stored = {one: Stored("added", 0) for one in revisions}
                if exists and group:
                    stored, repeated = compared(self._index, revisions, dry_run=not chunked)
                    self.repeated += repeated
            for document in group:
                there = stored[document.id]
                if there.state == "changed" and there.folder and document.folder and there.folder != document.folder:
                    self.elsewhere.add(document.id)
            self._note_doubled([one for one in group if stored[one.id].state != "unchanged"], exists=exists)
            fresh = [document for document in group if stored[document.id].state != "unchanged"] if chunked else []
            yield Step(rejections, characters=refused)
            states = {one: (standing.state, revisions[one]) for one, standing in stored.items()}
            cut = {document.id: document for document in fresh}
            for batch in in_groups(self._passages(fresh, revisions, stored), _BATCH):
                whole = [one.chunk.document_id for one in batch if one.chunk.number == one.chunks - 1]
                yield Step(
                    passages=batch,
                    concluded={one: states.pop(one) for one in whole},
                    documents={one: cut[one] for one in whole},
                    characters=sum(len(cut[one.chunk.document_id].text) / one.chunks for one in batch),
                )
            yield Step(concluded=states, characters=sum(len(document.text) for document in group if document.id not in cut))

    def _grouped(self, documents: Iterable[Document | Rejection], make: Callable[[], None] | None) -> Iterator[_Group]:
        """Draw documents in groups; what makes the collection is called when the first one is taken, before the next is drawn."""
        rejections: list[Rejection] = []
        group: list[Document] = []
        characters = refused = 0
        for given in checked_documents(documents, (Document, Rejection)):
            item = self._tenant.stamped(given) if self._tenant and isinstance(given, Document) else given
            if rejection := item if isinstance(item, Rejection) else self._objection(item):
                rejections.append(rejection)
                refused += len(given.text) if isinstance(given, Document) else 0
            elif isinstance(item, Document):
                if twice := next((one for one, folder in item.places if self._taken.get(digest_of(one)) == folder), None):
                    self.doubled[item.id] = twice
                self._taken[digest_of(item.id)] = sys.intern(item.folder)
                self.remarks.note(item)
                if make:
                    make()
                    make = None
                self.folders |= {folder_of(item.folder)} if item.folder else set()
                group.append(item)
                characters += len(item.text)
            if len(group) + len(rejections) == _GROUP or characters >= _GROUP_CHARACTERS:
                yield rejections, group, refused
                rejections, group, characters, refused = [], [], 0, 0
        if rejections or group:
            yield rejections, group, refused

    def _without_shared(self, drawn: _Group, tenant: Tenant) -> _Group:
        """Reject documents in the place of which there is one of several tenants, as another program may have written it."""
        rejections, group, refused = drawn
        reason = f"it is another tenant's, too, by its {tenant.field}, and stays as it is"
        condition = {"must": [*of_documents([document.id for document in group])["must"], tenant.others]}
        with self._using:
            records = self._index.scroll(condition, ["document_id"]) if group else ()
            held = {record.payload.get("document_id") for record in records}
        shared = [document for document in group if document.id in held]
        rejected = [*rejections, *(Rejection.of(document, reason) for document in shared)]
        kept = [document for document in group if document.id not in held]
        return rejected, kept, refused + sum(len(document.text) for document in shared)

    def _note_doubled(self, documents: list[Document], *, exists: bool) -> None:
        """Look for what was read before at the same places, by the names of other folders."""
        places = {place: document.id for document in documents for place in document.places}
        if not places or not exists or self.others_go:
            return
        with self._using:
            if self._filled is None:
                self._filled = next(self._index.scroll(None, ["document_id"]), None) is not None
            if not self._filled:
                return
            fields = ["document_id", "folder"]
            for ids in in_groups(dict.fromkeys(one for one, _ in places), AT_ONCE):
                for record in passages(self._index.scroll(of_documents(ids), fields), fields):
                    there = (record.payload["document_id"], record.payload.get("folder", ""))
                    if there in places:
                        self.doubled[places[there]] = there[0]

    def _objection(self, document: Document) -> Rejection | None:
        if (folder := self._taken.get(digest_of(document.id))) is not None:
            return Rejection.repeated(document, folder)
        reason = self._too_much(document)
        return Rejection.of(document, reason) if reason else None

    def _too_much(self, document: Document) -> str:
        """What a document has more of than it may, or than each of its passages may repeat; empty if nothing."""
        if self._max_characters == sys.maxsize:  # it comes from a collection, which took it
            return ""
        if len(document.text) > self._max_characters:
            return (
                f"{len(document.text):,} characters are more than {self._max_characters:,}; "
                "split it, or raise SEARCH_CHUNKING__MAX_CHARACTERS"
            )
        if len(document.id) > LONGEST_ID:
            return f"the id has {len(document.id):,} characters, and every passage carries it; keep it to {LONGEST_ID:,}"
        if len(document.media_type) > LONGEST_TYPE:
            length = len(document.media_type)
            return f"media_type has {length:,} characters, and every passage carries it; keep it to {LONGEST_TYPE:,}"
        extra = len(document.title) + _characters(document.metadata)
        if extra > _EXTRA:
            return f"title and metadata have {extra:,} characters, and every passage carries them; keep them below {_EXTRA:,}"
        return ""

    def _passages(self, documents: list[Document], revisions: dict[str, str], stored: dict[str, Stored]) -> Iterator[Passage]:
        for document in documents:
            chunks = list(self._chunker.chunk(document))
            known: dict[str, Vector] = {}
            if stored[document.id].state == "changed":
                with self._using:
                    known = vectors_of(self._index, document.id)
            for chunk in chunks:
                vector = known.get(chunk.passage)
                yield Passage(chunk, revisions[document.id], len(chunks), stored[document.id].generation + 1, vector)


def _characters(value: Json) -> int:
    """How much there is of metadata, whatever its letters take in bytes or as JSON; something without letters counts as one."""
    match value:
        case str():
            return len(value) + 1
        case Mapping():
            return 1 + sum(len(key) + _characters(inner) for key, inner in value.items())
        case list() | tuple():
            return 1 + sum(map(_characters, value))
        case _:
            return len(str(value))


def folder_of(place: str) -> str:
    """The folder of what was read in it, or in a file of it."""
    return place.partition("/")[0]
