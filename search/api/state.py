"""What does the app hold on to? The searcher and its collections, the queues, the metrics; and how a request is carried out."""

import asyncio
import functools
import logging
import math
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from starlette.requests import Request

from search.api.admission import Admission
from search.api.errors import Refused, refused
from search.api.health import EngineHealth, Reachability
from search.api.kept import Kept
from search.api.keys import Keys
from search.api.metrics import Metrics
from search.api.traces import Traces
from search.context.counting import counter
from search.documents import SearchResult, counted
from search.errors import (
    CollectionNotFound,
    IndexDenied,
    IndexFaulted,
    IndexOverloaded,
    IndexTimeout,
    IndexUnreachable,
    InferenceFailed,
    SearchError,
    ServiceOverloaded,
    TenantRequired,
)
from search.index.collections import Apart, Collections
from search.ingestion.reindexing import lead
from search.network.deadlines import together
from search.query.options import SearchOptions
from search.reranking.contract import Deadline, IntVector, Reranker, Scoring
from search.searcher import Searcher
from search.settings import Settings, declared_indexes

Done = TypeVar("Done")

_log = logging.getLogger("search.api")
STAGES = ("embed", "retrieve", "rerank")
_TOLERATED = (CollectionNotFound, IndexUnreachable, IndexTimeout, IndexOverloaded, IndexFaulted)
_CLIENT_GONE = 499
CLOSES_S = 20.0  # for writes, and whatever else does not end, when the time for what was accepted is over
_LEAST_CLOSING_S = 0.5  # for a queue in which nothing is left
_NOBODY = "-"  # a tenant to warm up with, where there has to be one
_WARM_TEXTS = 8
_WARM_WORDS = 120
_WARM_REMOTE_MS = 5_000.0  # that a remote reranker may take; the service starts without it
_LEAST_BUDGET_MS = 1.0
_LEAST_FINDING_S = 0.5  # that a server has to say which collection a name leads to, however little is left of a budget
_PART_S = 0.2  # about how long one turn of a large request may take …
_LEAST_PART, _MOST_PART = 4, 64  # … within so many passages
_PASSAGE = 1_000  # characters of one
_FACETS_S = 60.0
_MOST_READ = 4_000  # characters of a text, by most models


class Judged(NamedTuple):
    """What the reranker says of texts, of one query or of several."""

    scoring: Scoring
    query_seen: IntVector  # (n,) tokens that were read of each text's query
    queries_cut: int  # how many queries were longer than what was read of them
    queries_unread: int  # of how many the model knows no word
    texts_unread: int  # of how many texts, where it knows the query


class Service:
    """One process of the service."""

    def __init__(self, settings: Settings, searcher: Searcher) -> None:
        """Keep the searcher; models load when it is warmed up."""
        self.settings = settings
        self.limits = settings.service
        # of a search that does not say how many hits it wants, and of how many candidates:
        self.limit, self.depth = (min(unasked, self.limits.max_depth) for unasked in (settings.limit, settings.depth))
        self.keys = Keys(settings.service.api_keys)
        self.metrics = Metrics()
        self.traces = Traces(settings.service.traces_url)
        self.reading = Admission("search", settings.service.workers, settings.service.queue_s)
        self.parsing = ThreadPoolExecutor(1, thread_name_prefix="parse")  # of large bodies
        self.queues = {"search": self.reading} | {name: Admission(name, 1, settings.service.queue_s) for name in ("look", "write")}
        self.metrics.waiting.set_function(lambda: sum(queue.waiting for queue in self.queues.values()))  # as it is when it is read
        self.metrics.running.set_function(lambda: sum(queue.running for queue in self.queues.values()))
        self.ready = False
        self.writing: set[asyncio.Task[Any]] = set()  # requests that change a collection, or wait for their turn to
        self.closes_by = math.inf  # by then all is to be closed, on the clock of time.monotonic
        self.started = int(time.time())
        self.facets = Kept(_FACETS_S)
        self.counter = counter(settings.context.tokenizer)
        self._searcher = searcher
        self._apart: Apart | None = None  # an engine that has a process of its own, once it is warmed up
        self.health = EngineHealth(lambda: self.engine.health(settings.collection, declared_indexes(settings)), self.metrics)
        self.reachability = Reachability(lambda: self._for_nobody.search("warm up", rerank=False, limit=1), self.metrics.ready.set)

    def searcher(self, request: Request, collection: str | None, *, make: bool = False) -> Searcher:
        """The searcher of a collection, or of the one that the settings name, for the tenant that a request is for.

        Asks the engine, so not for the event loop.

        Raises:
            CollectionNotFound: there is none, and it is not to be made; a key of a tenant makes none but the service's own.
            TenantRequired: collections are shared, and the request does not say for whom it is.
        """
        make = make and self.makes(request, collection)
        searcher = self._searcher if collection is None else self._beside(collection, make=make)
        if self.settings.tenant_field is None:
            return searcher
        if request.state.tenant is None:
            raise TenantRequired(
                "documents of several tenants are in this collection; say whose are meant: send X-Tenant: NAME, as commands do "
                "with --tenant NAME"
            )
        return searcher.of_tenant(request.state.tenant)

    def makes(self, request: Request, collection: str | None) -> bool:
        """Whether a request may make the collection that it names, or that the settings name."""
        return not request.state.bound or collection in {None, self.settings.collection}

    def refusal(self, request: Request, error: SearchError) -> Refused:
        """What to answer to an error of this package that a request met."""
        remedy = ""
        if isinstance(error, CollectionNotFound) and not request.url.path.startswith("/v1/collections"):
            remedy = ", and POST /v1/documents makes one"
            if request.state.bound:
                remedy = f", and for one tenant none is made but {self.settings.collection!r}: ask whoever keeps the service"
        return refused(error, request.state.request_id, remedy)

    def _beside(self, collection: str, *, make: bool) -> Searcher:
        if not make and not self._searcher.knows(collection):
            engine = self._searcher.collections
            if collection not in engine.aliases() and collection not in engine.names():
                try:
                    engine.info(collection)  # a key for some collections sees their aliases in no list
                except (CollectionNotFound, IndexDenied) as error:
                    raise CollectionNotFound(f"there is no collection {collection!r}") from error
        return self._searcher.beside(collection)

    def drop(self, collection: str) -> None:
        """Remove a collection for good.

        Raises:
            CollectionNotFound: there is none.
            Refused: it is the one that is served, an alias, or what an alias leads to.
        """
        aliases = self.engine.aliases()
        if collection == self.settings.collection:
            raise Refused(409, "CollectionServed", f"{collection!r} is what this service serves; drop it when that has ended")
        leading = [alias for alias, target in aliases.items() if collection in {alias, target}]
        if leading:
            message = f"the alias {leading[0]!r} leads to {aliases[leading[0]]!r}; lead it elsewhere first"
            way = "" if self.settings.collection in leading else f", or DELETE /v1/collections/aliases/{leading[0]} forgets it"
            raise Refused(409, "CollectionAliased", message + way)
        self._searcher.let_go(collection)
        self.engine.drop(collection)

    def forget(self, alias: str) -> None:
        """Forget an alias; the collection stays.

        Raises:
            Refused: there is none, or it leads to what is served.
        """
        if alias not in self.engine.aliases():
            raise Refused(404, "CollectionNotFound", f"there is no alias {alias!r}; GET /v1/collections lists them")
        if alias == self.settings.collection:
            raise Refused(409, "CollectionServed", f"{alias!r} is what this service serves; lead it elsewhere")
        self.engine.unalias(alias)
        self._searcher.follow(alias)

    def lead(self, alias: str, collection: str) -> str:
        """Lead an alias where a collection is searched by its name, and search there from now on; which one that is.

        See search.ingestion.reindexing for errors.
        """
        target = lead(self.engine, alias, collection)
        self._searcher.follow(alias)
        return target

    @property
    def answering(self) -> bool:
        """Whether it takes requests, and its engine answers them; without a call to the engine, which might hang."""
        return self.ready and self.reachability.answers and not (self._apart and self._apart.stuck)

    @property
    def _for_nobody(self) -> Searcher:
        """The searcher of the collection that is served, for a tenant with no documents where it has to be for one."""
        if self.settings.tenant_field is not None and self.settings.tenant is None:
            return self._searcher.of_tenant(_NOBODY)
        return self._searcher

    def abort(self) -> None:
        """Kill an engine that has a process of its own."""
        if self._apart:
            self._apart.abort()

    @property
    def engine(self) -> Collections:
        """All collections."""
        return self._searcher.collections

    @property
    def reranker(self) -> Reranker:
        """The reranker; Refused where the settings name none."""
        reranker = self._searcher.reranker
        if reranker is None:
            raise Refused(501, "NoReranker", "this service reranks nothing: its settings say SEARCH_RERANKER__KIND=none")
        return reranker

    @property
    def reranker_name(self) -> str | None:
        """What the reranker is called; None where there is none."""
        reranker = self._searcher.reranker
        return None if reranker is None else reranker.name

    def warm_up(self) -> None:
        """Load the models, have each do something, and open the collection, before the first request.

        Raises:
            ModelError: a model cannot be loaded.
            IndexFailure: the collection is not fit to be searched.

        That a server does not answer now, of Qdrant or of a remote reranker, is no error: it may be back.
        """
        words = " ".join(["word"] * _WARM_WORDS)
        answers = True
        with self.metrics.loading("embedder"):
            self._searcher.embedder.embed_query("warm up")
        with self.metrics.loading("reranker"):
            if (reranker := self._searcher.reranker) is not None:
                answers = self._warm_up(reranker, words)
        try:
            self._for_nobody.search("warm up", rerank=answers)
        except _TOLERATED as failure:
            _log.warning("%s", failure)
        if isinstance(self.engine, Apart):
            self._apart = self.engine
            self._apart.waits = False  # for graphs, lest the next write did
        self.ready = True
        self.metrics.ready.set(1)

    def _warm_up(self, reranker: Reranker, words: str) -> bool:
        """Whether the reranker answers. A remote one may be back later; until then searches keep retrieval order, and say so."""
        remote = reranker.device == "remote"
        try:
            reranker.score("warm up", [words])
            started = time.perf_counter()
            deadline = Deadline.after_ms(_WARM_REMOTE_MS) if remote else None
            scores = reranker.score("warm up", [words] * _WARM_TEXTS, deadline=deadline).scores
        except InferenceFailed as failure:
            if not remote:
                raise
            _log.warning("%s", failure)
            return False
        if not np.isfinite(scores).all():
            _log.warning("the reranker %s did not answer within %g s", reranker.name, _WARM_REMOTE_MS / 1000)
            return False
        self.reading.learn("texts", (time.perf_counter() - started) / _WARM_TEXTS)
        return True

    async def search(
        self, request: Request, query: str, options: SearchOptions, collection: str | None, *, whole: bool, let_in: bool
    ) -> tuple[SearchResult, float]:
        """Answer a query, with `whole` by all its candidates; the result, and the seconds it waited for its turn.

        With `let_in` it belongs to a request that was let in before, and is not refused for overload.
        """
        limit = options.limit or self.limit
        asked = options.depth
        depth = asked or max(self.depth, limit)
        options = replace(options, limit=limit, depth=depth).by(self.settings)
        budget_ms = options.budget_ms
        if depth > self.limits.max_depth:
            name = "limit" if asked is None else "depth"  # which says how deep, if nothing else does
            raise Refused(422, "InvalidQuery", f"{name} is {depth}; this service retrieves {self.limits.max_depth} at most")
        arrived = time.perf_counter()

        def work() -> SearchResult:
            waited_ms = (time.perf_counter() - arrived) * 1000
            left = None if budget_ms is None else max(_LEAST_BUDGET_MS, budget_ms - waited_ms)
            chosen = replace(options, limit=depth if whole else options.limit, budget_ms=left)
            try:
                with together(None if left is None else max(_LEAST_FINDING_S, left / 1000)):
                    searcher = self.searcher(request, collection)
                answer = searcher.answer(query, chosen)
            except SearchError as failure:
                self.reachability.heard(failure)
                raise
            self.reachability.heard(None)
            return answer

        units = depth if options.rerank and self._searcher.reranker is not None else 1
        kind = "texts" if units > 1 else "queries"
        with self.traces.part("search") as span:
            result, waited = await self.unless_gone(request, self.reading.run(work, kind=kind, units=units, let_in=let_in))
            span.stages = [("queue", waited), *((name, result.timings_ms[name] / 1000) for name in STAGES)]
            span.attributes = {"search.depth": depth, "search.embedder": result.embedder, "search.reranker": result.reranker or ""}
            span.attributes |= {"search.rerank_status": result.rerank_status, "search.reranked": result.reranked}
            span.attributes |= {"search.rerank_tokens": result.rerank_tokens}
        self.metrics.searched(result, waited)
        return result, waited

    async def score(self, request: Request, groups: Sequence[tuple[str, list[str]]]) -> Judged:
        """Score the texts of each group against its query, in parts that take turns with other requests."""
        reranker = self.reranker
        fitting = self.reading.units_in("texts", _PART_S)
        step = sys.maxsize if reranker.recipe.compares else max(_LEAST_PART, min(_MOST_PART, fitting))
        parts = [(number, query, part) for number, (query, texts) in enumerate(groups) for part in _in_parts(texts, step)]
        work = [(functools.partial(reranker.score, query, part), sum(map(_units, part))) for _, query, part in parts]
        number = sum(len(part) for _, _, part in parts)
        try:
            with self.traces.part("rerank") as span:
                scorings, waited = await self.unless_gone(request, self.reading.run_parts(work, kind="texts"))
                joined = _joined(scorings, number)
                span.stages = [("queue", waited)]
                span.attributes = {"search.reranker": reranker.name, "search.reranked": number}
                span.attributes |= {"search.rerank_tokens": int(joined.tokens_seen.sum())}
        except (Refused, SearchError):
            raise
        except Exception as error:  # whatever a reranker does
            request_id = request.state.request_id
            _log.exception("request %s: the reranker %s failed", request_id, reranker.name)
            message = f"the reranker failed; the log of the service has the rest under request {request_id}"
            raise Refused(500, "RerankFailed", message) from error
        self.metrics.judged(number, int(joined.tokens_seen.sum()))
        query_seen = np.repeat([scoring.query_tokens_seen for scoring in scorings], [len(part) for _, _, part in parts])
        of_query = [(part[0], own) for part, own in zip(parts, scorings, strict=True)]
        cut = {number for number, own in of_query if own.query_tokens_seen < own.query_tokens_total}
        unread = {number for number, own in of_query if own.query_unread}
        texts_unread = sum(int(own.unread.sum()) for own in scorings if own.unread is not None and not own.query_unread)
        return Judged(joined, query_seen, len(cut), len(unread), texts_unread)

    async def look(self, request: Request, work: Callable[[], Done]) -> Done:
        """Ask the index something that takes no model; it does not wait for those that do."""
        return await self._in_turn(request, "look", work, kind="queries", units=1)

    async def write(self, request: Request, work: Callable[[], Done], *, units: int) -> Done:
        """Change a collection, one request at a time."""

        def written() -> Done:
            request.state.written = True  # or it may have
            try:
                return work()
            finally:  # though the client be gone by now
                self.facets.forget()

        if (task := asyncio.current_task()) is not None:
            self.writing.add(task)
            task.add_done_callback(self.writing.discard)
        return await self._in_turn(request, "write", written, kind="documents", units=units)

    async def _in_turn(self, request: Request, name: str, work: Callable[[], Done], *, kind: str, units: int) -> Done:
        with self.traces.part(name) as span:
            answer, waited = await self.unless_gone(request, self.queues[name].run(work, kind=kind, units=units))
            span.stages = [("queue", waited)]
        return answer

    async def unless_gone(self, request: Request, work: Awaitable[Done]) -> Done:
        """Await work, unless the client disconnects first.

        Raises:
            ServiceOverloaded: see Admission.
            Refused: the client is gone; nobody will read it.
        """
        task = asyncio.ensure_future(work)
        disconnect = asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait({task, disconnect}, return_when=asyncio.FIRST_COMPLETED)
            if disconnect.done():
                raise Refused(_CLIENT_GONE, "ClientGone", "the client went away")
            return task.result()
        except ServiceOverloaded:
            self.metrics.refusals.inc()
            raise
        finally:
            task.cancel()
            disconnect.cancel()

    def close(self) -> None:
        """Finish what was begun, and let go of the collections."""
        self.reachability.close()
        self.ready = False
        self.metrics.ready.set(0)
        until = min(self.closes_by, time.monotonic() + CLOSES_S)
        ended = [queue.close(max(_LEAST_CLOSING_S, until - time.monotonic())) for queue in self.queues.values()]  # each of them
        if not all(ended):
            _log.error("something that was begun does not end; it is cut off")
            self.abort()
        self.parsing.shutdown(wait=False, cancel_futures=True)
        self.health.close()
        self._searcher.close()
        self.traces.close()


def _in_parts(texts: list[str], most: int) -> Iterator[list[str]]:
    """The texts in parts of at most so many units, and at least one text."""
    part: list[str] = []
    units = 0
    for text in texts:
        own = _units(text)
        if part and units + own > most:
            yield part
            part, units = [], 0
        part.append(text)
        units += own
    if part:
        yield part


def _units(text: str) -> int:
    """How much work a text is, in passages: longer ones fill the window, and what is beyond it is hardly looked at."""
    return 1 + min(len(text), _MOST_READ) // _PASSAGE


def _joined(scorings: list[Scoring], expected: int) -> Scoring:
    joined = Scoring.joined(scorings)
    if joined.scores.shape != (expected,) or not np.isfinite(joined.scores).all():
        raise ValueError(f"it gave {counted(int(np.isfinite(joined.scores).sum()), 'score')} for {counted(expected, 'text')}")
    return joined


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
