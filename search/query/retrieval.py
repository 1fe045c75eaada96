"""The first stage: which passages may answer a query? Embedded, searched by vector, by words or by both, and put in order."""

import copy
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import NamedTuple

from search.documents import Candidate, Retrieval, SparseVector
from search.embedding.dense import Embedder
from search.embedding.sparse import SparseEmbedder, WordsLike, words_like
from search.errors import IndexFailure, IndexRejected, IndexTimeout, InvalidQuery, UnsupportedFilter
from search.index.contract import CollectionSpec, PlainFilter, Query, VectorIndex
from search.index.points import Found, find, to_candidate
from search.network.deadlines import together
from search.passages import readable
from search.query import elsewhere
from search.query.fusion import Mix
from search.query.proof import prove
from search.query.typos import Speller, wildcards
from search.query.verbatim import PASSAGES, Verbatim, Wording, foremost, phrase_filter, wording
from search.reranking.contract import Deadline

LISTED = 100  # passages by vector and by words, at least, that both scores are normalised over
NO_WORD = "the query has no word that counts, only stop words or punctuation"
_LEAST_S = 0.5  # that a server has to answer, however little is left of a budget
_PHRASE_S = 0.3  # that an engine has to look for a phrase in all passages …
_PHRASE_AMONG = 20_000  # … of which there are so many at most: Qdrant Edge looks at a hundred in a millisecond
_WITH_PHRASE = 10  # that are found so


class Retrieved(NamedTuple):
    """What the first stage found."""

    candidates: list[Candidate]  # in retrieval order
    damaged: int  # points among the closest that hold no passage, and were left out
    ranking: str  # what the order is by, in words
    retrieval: Retrieval  # how they were found; "dense" where the collection has no words
    warnings: list[str]
    embed_s: float  # seconds until the query was embedded
    wordless: bool  # whether words were to count, and the query has none that does


class _Asked(NamedTuple):
    """How passages are to be found, whatever the query."""

    depth: int
    words: SparseEmbedder | None
    retrieval: Retrieval
    share: float | None
    filter: PlainFilter | None
    deadline: Deadline | None


class _FirstStage(NamedTuple):
    """What was found by one reading of a query, and by what."""

    found: Found
    precedences: list[int]  # of its matches
    verbatim: Verbatim
    speller: Speller | None
    wanted: Query
    embedded: float  # when the query was


class Retriever:
    """The first stage over one collection. Safe to call from several threads."""

    def __init__(self, embedder: Embedder, index: VectorIndex, mix: Mix | None = None, words: WordsLike = words_like) -> None:
        """Keep the parts; see SearchService for them."""
        self._mix = mix or Mix()
        self._words_like = words
        self._embedder = embedder
        self._collection = self._index = index
        self._opened = threading.Event()  # of all parts of it
        self._proved_of = [""]  # the beginning of another program's collection that the embedder is proved of, likewise

    def over(self, part: VectorIndex) -> "Retriever":
        """The same over a part of the collection; what was opened stays so."""
        made = copy.copy(self)
        made._index = part  # noqa: SLF001  # another of its kind
        return made

    def retrieve(
        self,
        query: str,
        depth: int,
        *,
        retrieval: Retrieval | None = None,
        share: float | None = None,
        filter: PlainFilter | None = None,
        deadline: Deadline | None = None,
    ) -> Retrieved:
        """The `depth` best passages for a query; the deadline bounds how long a server may take.

        Without `retrieval`, by words, too, if the collection has any; without a `share` of these, as the mix has it. What has
        phrases and rare names of the query stands first, and what has words that a dash excludes last.

        Raises:
            InvalidQuery: retrieval is lexical, and the collection has no words.
            IndexMismatch: words like the collection's cannot be made here.
            IndexFailure: the collection cannot be searched.
            ModelError: the embedder failed, or the model of the words.
        """
        started = time.perf_counter()
        self._open(deadline)
        words, warnings = self._words(retrieval)
        retrieval = "dense" if words is None else retrieval or "hybrid"
        if share is not None and retrieval != "hybrid":
            by = "vectors" if retrieval == "dense" else "words"
            warnings.append(f"lexical_share counts for nothing where passages are found by their {by} alone")
        query = readable(query)
        asked = _Asked(depth, words, retrieval, share, filter, deadline)
        for excluding in (True, False):
            first = self._find(wording(query, excluding=excluding), asked)
            if not first.verbatim.literal:
                break
        placed = sorted(zip(first.found.matches, first.precedences, strict=True), key=lambda one: -one[1])[:depth]
        passages = [match for match, _ in placed]
        candidates = [to_candidate(match, rank, precedence) for rank, (match, precedence) in enumerate(placed, 1)]
        wordless = words is not None and first.wanted.lexical is None
        if retrieval == "hybrid" and wordless:
            warnings.append(NO_WORD)
        warnings += [*first.verbatim.notes(candidates), *(first.speller.notes(candidates) if first.speller else [])]
        warnings += elsewhere.notes(query, candidates, words.fields if words else ())
        warnings += wildcards(query) if words else []
        if retrieval == "hybrid" and not wordless and passages and not any(match.lexical for match in passages):
            warnings += self._without_match(replace(first.wanted, retrieval="lexical", timeout_s=_left(deadline)))
        if (most := first.found.most) is not None and most < depth:
            warnings.append(f"the server gives {most} candidates at most (its strict mode), of the {depth} that were asked for")
        share = first.wanted.share if not passages or passages[0].share is None else passages[0].share
        ranking = foremost(self._mix.described(retrieval, share), first.precedences)
        return Retrieved(candidates, first.found.damaged, ranking, retrieval, warnings, first.embedded - started, wordless)

    def _find(self, said: Wording, asked: _Asked) -> _FirstStage:
        """Find passages; those beyond the depth come in the place of what is excluded."""
        words, share, deadline = asked.words, asked.share, asked.deadline
        vector = self._embedder.embed_query(said.rest)
        lexical = None if words is None else words.embed_query(said.rest)
        embedded = time.perf_counter()
        rare_share = None
        if share is None:
            share = self._share(said.rest)
            rare_share = self._mix.rare_share_for(share)
        wanted = Query(vector, lexical, asked.retrieval, asked.filter, None, share, rare_share, self._mix.fusion, LISTED)
        verbatim = Verbatim(said, words.fields if words else ())
        if words and said.asks:
            self._look(verbatim, words.embed_query(said.words), wanted, deadline)
            wanted = replace(wanted, also=verbatim.holders())
        most = max(asked.depth, PASSAGES) if said.excluded else asked.depth

        def search(lexical: SparseVector | None, probes: Sequence[SparseVector]) -> Found:
            return find(self._index, replace(wanted, lexical=lexical, probes=probes, timeout_s=_left(deadline)), most)

        speller = Speller(words, said.rest) if words and self._mix.typos else None
        found = self._proved(lambda: speller.find(lexical, search) if speller and lexical else search(lexical, []), deadline)
        return _FirstStage(found, verbatim.precedences(found.matches), verbatim, speller, wanted, embedded)

    def _look(self, verbatim: Verbatim, own: SparseVector | None, wanted: Query, deadline: Deadline | None) -> None:
        """Look at the passages that words of phrases and names find by themselves, and for phrases that none of them has."""
        with suppress(IndexFailure, UnsupportedFilter):  # an answer is there without them
            if own:
                by_words = replace(wanted, lexical=own, retrieval="lexical", timeout_s=_left(deadline))
                verbatim.look_at(find(self._index, by_words, PASSAGES).matches)
            in_time = deadline is None or deadline.remaining_ms > 1000 * _PHRASE_S
            unheld = verbatim.unheld() if in_time and not self._index.spec.layout else []
            for phrase in unheld if unheld and len(unheld) * self._index.count() <= _PHRASE_AMONG else []:
                among = phrase_filter(phrase, wanted.filter)
                by_phrase = replace(wanted, lexical=None, retrieval="dense", filter=among, timeout_s=_PHRASE_S)
                verbatim.look_at(find(self._index, by_phrase, _WITH_PHRASE).matches)

    def _open(self, deadline: Deadline | None) -> None:
        if self._opened.is_set():  # once: on a server it costs two requests
            return
        with _in_time(deadline):
            self._index.ensure(CollectionSpec(self._embedder.dimension, self._embedder.fingerprint), create=False)
            self._prove()
        self._opened.set()

    def _proved(self, ask: Callable[[], Found], deadline: Deadline | None) -> Found:
        """An answer of what the name leads to by now, once the embedder is proved of it; or why that refuses the question."""
        try:
            found = ask()
        except IndexRejected:  # as of vectors of another length
            with _in_time(deadline):
                self._prove()
            raise
        with _in_time(deadline):
            self._prove()
        return found

    def _prove(self) -> None:
        beginning = self._index.spec.beginning
        if beginning not in {"", *self._proved_of}:
            prove(self._collection, self._embedder)
            self._proved_of[:] = [beginning]

    def _words(self, retrieval: Retrieval | None) -> tuple[SparseEmbedder | None, list[str]]:
        """What makes words like the collection's; None where they do not count, and what there is to say of it."""
        words = None if retrieval == "dense" else self._words_like(self._index.spec.lexical)
        if words is None and retrieval == "lexical":
            raise InvalidQuery(f"{self._without_words()}; or ask for retrieval dense")
        if words is None and retrieval == "hybrid" and not self._index.spec.layout:
            return None, [f"{self._without_words()}; passages were found by their vectors alone"]
        return words, []

    def _without_words(self) -> str:
        name = self._index.name
        if self._index.spec.layout:
            return f"another program made collection {name!r}, without words to be found by"
        return f"collection {name!r} was made without words to be found by; add them (`search reindex`, which embeds nothing again)"

    def _without_match(self, by_words: Query) -> list[str]:
        """That no passage at all has a word of the query, if so: those that were found are not all that there are."""
        with suppress(IndexFailure):  # an answer is there without it
            if not find(self._index, by_words, 1).matches:
                among = " that passes the filter" if by_words.filter else ""
                return [f"no passage{among} has a word of the query; passages were found by their vectors alone"]
        return []

    def _share(self, query: str) -> float:
        tokenizer = self._embedder.tokenizer
        return self._mix.share_for(tokenizer.unread_share(tokenizer.cut_query(query, tokenizer.query_window).text))


def _left(deadline: Deadline | None) -> float | None:
    """Seconds that a server has to answer."""
    return None if deadline is None else max(_LEAST_S, deadline.remaining_ms / 1000)


@contextmanager
def _in_time(deadline: Deadline | None) -> Iterator[None]:
    """Around requests beside a query's own."""
    seconds = _left(deadline)
    try:
        with together(seconds):
            yield
    except IndexTimeout as error:
        if seconds is None:
            raise
        raise IndexTimeout(f"{error}; a budget left it {seconds * 1000:.0f} ms, so give a larger budget_ms, or none") from error
