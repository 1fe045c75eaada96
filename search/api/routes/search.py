"""Queries: one, or several at once."""

import functools
import logging
from dataclasses import replace

import anyio.to_thread
from fastapi import APIRouter, Request, Response

from search.api.errors import Refused, body
from search.api.routes import answers
from search.api.routes.answers import gives
from search.api.routes.bodies import Answer, ContextRequest, SearchBatch, SearchRequest, own_router
from search.api.state import STAGES, Service
from search.documents import SearchResult
from search.errors import SearchError, ServiceOverloaded
from search.query.options import SearchOptions

_log = logging.getLogger("search.api")


def search_routes(service: Service) -> APIRouter:
    """The routes."""
    router = own_router(service.parsing, "search", "/v1")
    can = {"x-scope": "search", "x-queue": "search"}

    @router.post("/search", openapi_extra=can, responses=gives(answers.Found))
    async def search(request: Request, response: Response, search_request: SearchRequest) -> Answer:
        """Answer a query.

        `rerank_status` is full, partial, skipped or failed, `reason` says why; every hit has the ranks and scores of each stage.
        """
        result, waited = await _answered(service, request, search_request)
        response.headers["Server-Timing"] = server_timing(result, waited)
        return _to_answer(service, result, waited, request.state.request_id, search_request)

    @router.post("/context", openapi_extra=can, responses=gives(answers.Context))
    async def context(request: Request, response: Response, context_request: ContextRequest) -> Answer:
        """Answer a query with what a language model is to read.

        Passages within a budget of tokens, numbered to be cited: `sources` says where each number leads, `left_out` which hits are
        not in it and why, `counted_by` what tokens are here.
        """
        given = context_request.model_dump(exclude={"query", "collection", "max_tokens", "form"})
        given["limit"] = context_request.limit or context_request.depth or service.depth
        result, waited = await service.search(
            request, context_request.query, SearchOptions(**given), context_request.collection, whole=False, let_in=False
        )
        response.headers["Server-Timing"] = server_timing(result, waited)
        budget = context_request.max_tokens or service.settings.context.max_tokens
        form, request_id = context_request.form, request.state.request_id
        beside = service.settings.context.metadata
        make = functools.partial(result.context, max_tokens=budget, tokenizer=service.counter, form=form, metadata=beside)
        made = await anyio.to_thread.run_sync(make)
        account = {"rerank_status": result.rerank_status, "reason": _reason(result, request_id), "warnings": result.warnings}
        account["empty_because"] = result.empty_because
        timings = {"queue": waited * 1000, **result.timings_ms}
        return made.to_dict() | account | {"timings_ms": timings, "request_id": request_id}

    @router.post("/search/batch", openapi_extra=can, responses=gives(answers.FoundBatch))
    async def search_batch(request: Request, batch: SearchBatch) -> Answer:
        """Answer several queries.

        Each as by itself, with an `error` in the place of an answer where one cannot be given.
        """
        if len(batch.searches) > service.limits.max_texts:
            message = f"{len(batch.searches):,} searches are more than {service.limits.max_texts:,}; send fewer at once"
            raise Refused(422, "InvalidQuery", message)
        _check_candidates(service, batch)
        given: list[Answer] = []
        let_in = False
        # One after the other: once one search had its turn, the batch is let in, and the others wait as long as it takes.
        for search_request in batch.searches:
            answer, had_turn = await _or_error(service, request, search_request, let_in=let_in)
            let_in = let_in or had_turn
            given.append(answer)
        return {"results": given, "request_id": request.state.request_id}

    return router


def server_timing(result: SearchResult, waited_s: float) -> str:
    """The header that browsers' tools show; in milliseconds."""
    stages = [("queue", waited_s * 1000), *((stage, result.timings_ms[stage]) for stage in (*STAGES, "total"))]
    return ", ".join(f"{name};dur={took:.1f}" for name, took in stages)


def _check_candidates(service: Service, batch: SearchBatch) -> None:
    """Refuse a batch that asks for too much, though each search may be let in; those that may not are refused by themselves."""
    depths = [one.depth or max(service.depth, one.limit or service.limit) for one in batch.searches]
    together = sum(depth for depth in depths if depth <= service.limits.max_depth)
    if together > (most := service.limits.max_batch_candidates):
        raise Refused(
            422,
            "InvalidQuery",
            f"these {len(depths):,} searches retrieve {together:,} candidates together, and this service takes {most:,} "
            "(SEARCH_SERVICE__MAX_BATCH_CANDIDATES); send fewer searches at once, or ask for less depth",
        )


async def _answered(
    service: Service, request: Request, search_request: SearchRequest, *, let_in: bool = False
) -> tuple[SearchResult, float]:
    options = SearchOptions(**search_request.model_dump(exclude={"query", "collection", "explain"}))
    return await service.search(
        request, search_request.query, options, search_request.collection, whole=search_request.explain, let_in=let_in
    )


async def _or_error(service: Service, request: Request, search_request: SearchRequest, *, let_in: bool) -> tuple[Answer, bool]:
    """An answer, or why there is none; and whether it had its turn."""
    request_id = request.state.request_id
    try:
        result, waited = await _answered(service, request, search_request, let_in=let_in)
    except ServiceOverloaded:  # none had its turn yet, so it is refused for them all
        raise
    except SearchError as error:
        return body("", service.refusal(request, error), request_id), True
    except Refused as refusal:
        if refusal.kind == "ClientGone":
            raise
        return body("", refusal, request_id), False
    return _to_answer(service, result, waited, request_id, search_request), True


def _reason(result: SearchResult, request_id: str) -> str:
    """Why not all was reranked. A reranker that fails has words of its own, which may name servers and paths."""
    if result.rerank_status != "failed":
        return result.reason
    _log.warning("request %s: %s", request_id, result.reason)
    return f"the reranker {result.reranker} failed; the log of the service has the rest under request {request_id}"


def _to_answer(service: Service, result: SearchResult, waited_s: float, request_id: str, search_request: SearchRequest) -> Answer:
    shown = result.hits[: search_request.limit or service.limit]  # of an explained search there are all candidates
    answer: Answer = replace(result, hits=shown).to_dict()
    answer["timings_ms"] = {"queue": waited_s * 1000, **answer["timings_ms"]}
    answer["request_id"] = request_id
    answer["reason"] = _reason(result, request_id)
    if search_request.explain:
        answer["explanation"] = [
            {"rank": hit.rank, "retrieval_rank": hit.retrieval_rank, "moved": hit.retrieval_rank - hit.rank}
            | {"document_id": hit.document_id, "chunk_id": hit.chunk_id, "score": hit.score}
            | {"retrieval_score": hit.retrieval_score, "dense_rank": hit.dense_rank, "lexical_rank": hit.lexical_rank}
            | {"lexical_score": hit.lexical_score, "fusion_score": hit.fusion_score, "rerank_score": hit.rerank_score}
            | {"precedence": hit.precedence}
            for hit in result.hits
        ]
    return answer
