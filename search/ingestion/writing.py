"""How are points written? New ones first, then old ones deleted, in the thread that writes; refused ones are reported apart."""

import threading
from collections import deque
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from search.documents import Rejection
from search.embedding.sparse import WordsLike, words_like
from search.errors import IndexRejected
from search.index.contract import Point, Vector, VectorIndex
from search.index.points import to_point
from search.inference.tokens import MUCH_UNKNOWN, TextTokenizer
from search.ingestion.embedding import Apart, Embedded, with_words
from search.ingestion.lookup import of_documents, written_of
from search.ingestion.planning import Passage, Step
from search.ingestion.report import State

_REMEMBERED = 16  # points


class Outcome(NamedTuple):
    """What became of a step."""

    chunks: int  # written
    reused: int  # of them, with a vector that was there already
    tokens: int  # embedded for the others
    unknown: set[str]  # documents with a passage of which the embedder does not know more than a fifth
    rejections: list[Rejection]  # documents that the embedder fails on or the index refuses
    concluded: dict[str, tuple[State, str]]  # documents that are complete now: state and revision
    characters: float  # of the texts that it did away with


class Writing:
    """Writes step by step."""

    def __init__(self, index: VectorIndex, using: threading.Lock, tokenizer: TextTokenizer, words: WordsLike = words_like) -> None:
        """Keep the index, the lock that is held during each request to it, the embedder's tokenizer, and what gives words."""
        self._worded = Apart(lambda points: with_words(points, index.spec.lexical, words), _document_of)
        self._index = index
        self._tokenizer = tokenizer
        self._using = using
        self._refused: dict[str, str] = {}  # by this run, and why
        self._taken: deque[Point] = deque(maxlen=_REMEMBERED)  # the last points that were written

    def write(self, step: Step, embedded: Embedded) -> Outcome:
        """Write points; of documents that are complete with it delete older passages, of those that were refused the new ones.

        Raises:
            IndexFailure: the index gave up, or takes nothing at all.
        """
        passages, refused = embedded
        # Without a passage there may be no collection yet, to ask for its words.
        points, wordless = self._worded.work(self._to_points(passages)) if passages else ([], {})
        with self._using:
            for document_id, reason in (refused | wordless | self._upsert(points)).items():
                self._refused.setdefault(document_id, reason)
            complete = {one: standing for one, standing in step.concluded.items() if one not in self._refused}
            changed = {one: revision for one, (state, revision) in complete.items() if state == "changed"}
            if changed:
                self._index.delete(filter=written_of(list(changed), revisions_but=list(changed.values())))
            rejections = []
            for one in step.concluded.keys() - complete.keys():
                rejections.append(Rejection.of(step.documents[one], self._refused[one]))
                self._index.delete(filter=of_documents([one], revisions=[step.concluded[one][1]]))
        written = [point.payload for point in points if _document_of(point) not in self._refused]
        reused = [one.vector is not None for one, _ in passages if one.chunk.document_id not in self._refused]
        tokens = sum(payload["tokens_embedded"] for payload, known in zip(written, reused, strict=True) if not known)
        unknown = {payload["document_id"] for payload in written if payload["unknown_share"] > MUCH_UNKNOWN}
        return Outcome(len(written), sum(reused), tokens, unknown, rejections, complete, step.characters)

    def _to_points(self, passages: Sequence[tuple[Passage, Vector]]) -> list[Point]:
        tallies = self._tokenizer.tally([passage.chunk.passage for passage, _ in passages])
        return [
            to_point(one.chunk, vector, tally, self._tokenizer.window, one.revision, one.chunks, one.generation)
            for (one, vector), tally in zip(passages, tallies, strict=True)
        ]

    def _upsert(self, points: list[Point]) -> dict[str, str]:
        """Write points; of the documents that the index refuses, the reason."""
        if not points:
            return {}
        try:
            self._index.upsert(points)
        except IndexRejected as error:
            refused: dict[str, list[Point]] = {}
            for document_id, group in groupby(points, _document_of):
                passages = list(group)
                try:
                    self._index.upsert(passages)
                    self._taken.append(passages[0])
                except IndexRejected:
                    refused[document_id] = passages
            return self._confirmed(refused, error)
        self._taken.append(points[0])
        return {}

    def _confirmed(self, refused: dict[str, list[Point]], error: IndexRejected) -> dict[str, str]:
        """Those documents that are refused again, right after the index has taken what it took before.

        So a fault of the engine is never laid on a document: whether it passes or stays, one of the two writes tells it.
        """
        reasons: dict[str, str] = {}
        for document_id, passages in refused.items():
            known = (point for point in reversed(self._taken) if point.payload["document_id"] not in self._refused)
            good = next(known, None)
            if good is None:
                raise error from None  # the index has taken no point yet, so it may refuse all
            self._index.upsert([good])
            try:
                self._index.upsert(passages)
                self._taken.append(passages[0])
            except IndexRejected as reason:
                reasons[document_id] = str(reason)
        return reasons


def _document_of(point: Point) -> str:
    return str(point.payload["document_id"])
