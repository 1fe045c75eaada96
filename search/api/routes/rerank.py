"""Reranking as other services offer it: TEI's, Cohere's, Jina's and vLLM's clients work by changing the base URL alone.

A score is a probability by the map in the reranker's recipe, or, where there is none, the logistic function of the raw score,
as TEI has it; `raw_scores` gives the raw ones. See `rerank_bodies.py` for what is honoured, refused and let pass.
"""

import math
import time
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse

from search.api.errors import Refused, quoted
from search.api.parsing import parsed_route
from search.api.routes import answers
from search.api.routes.answers import FAILING, Responses, gives
from search.api.routes.bodies import Answer
from search.api.routes.rerank_bodies import AnyRerank, RerankFailure, RerankRequest, ScoreRequest, TeiFailure, TeiRerank, TextObject
from search.api.state import Judged, Service
from search.query.ranking import best_first
from search.reranking.contract import Scoring
from search.reranking.recipe import Recipe

_IN_A_UNIT = 100  # texts, as Cohere counts


def rerank_routes(service: Service) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["reranking"], route_class=parsed_route(service.parsing, others_query=True))
    others = {"x-scope": "search", "x-errors": "rerank", "x-queue": "search"}
    of_either: Responses = {"default": {"model": TeiFailure | RerankFailure}}
    of_others: Responses = {"default": {"model": RerankFailure}}

    # Whose client it is shows in the body, and so does how to refuse it: without x-queue, which refuses before that is read.
    @router.post(
        "/rerank",
        openapi_extra={"x-scope": "search", "x-errors": "tei"},
        response_model=None,
        responses=of_either | gives(list[answers.TeiScore] | answers.Ranked),
    )
    async def rerank(request: Request, body: AnyRerank) -> JSONResponse:
        """Score texts as TEI, or rank documents as Cohere, Jina and vLLM.

        TEI's format is that of a request with `texts`, the others' that of one with `documents`.
        """
        if isinstance(body, TeiRerank):
            return await _tei(service, request, body)
        request.state.dialect = "rerank"
        return await _ranked(service, request, body, version="1")

    @router.post("/v1/rerank", openapi_extra=others, response_model=None, responses=of_others | gives(answers.Ranked))
    async def rerank_v1(request: Request, body: RerankRequest) -> JSONResponse:
        """Rank documents, as Jina, vLLM and Cohere's first version have it."""
        return await _ranked(service, request, body, version="1")

    @router.post("/v2/rerank", openapi_extra=others, response_model=None, responses=of_others | gives(answers.Ranked))
    async def rerank_v2(request: Request, body: RerankRequest) -> JSONResponse:
        """Rank documents, as Cohere's second version has it.

        Without the documents, unless the request wants them.
        """
        return await _ranked(service, request, body, version="2")

    @router.post("/score", openapi_extra=others, response_model=None, responses=of_others | gives(answers.Scored))
    @router.post("/v1/score", openapi_extra=others, response_model=None, responses=of_others | gives(answers.Scored))
    async def score(request: Request, body: ScoreRequest) -> JSONResponse:
        """Score one text against many, or pairs, as vLLM has it."""
        return await _scored(service, request, body)

    @router.get("/v1/models", openapi_extra={"x-scope": "search"}, responses=FAILING | gives(answers.Models))
    async def models() -> Answer:
        """List what can be named as a model, as OpenAI's clients do: the reranker."""
        return {"object": "list", "data": _models(service)}

    @router.get("/v1/models/{name:path}", openapi_extra={"x-scope": "search"}, responses=FAILING | gives(answers.Model))
    async def model(name: Annotated[str, Path(description="As the list of models has it.")]) -> Answer:
        """Describe a model, as OpenAI's clients ask for it."""
        return _model(service, name)

    @router.get("/info", openapi_extra={"x-scope": "search"}, responses=FAILING | gives(answers.Info))
    async def info() -> Answer:
        """Describe the reranker, as TEI does its model."""
        reranker = service.reranker
        return {
            "model_id": reranker.name,
            "model_type": {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}},
            "max_input_length": reranker.recipe.max_tokens,
            "max_client_batch_size": service.limits.max_texts,
            "device": reranker.device,
        }

    return router


def _models(service: Service) -> list[Answer]:
    name = service.reranker_name
    return [] if name is None else [{"id": name, "object": "model", "created": service.started, "owned_by": "two-stage-search"}]


def _model(service: Service, name: str) -> Answer:
    for one in _models(service):
        if one["id"] == name:
            return one
    raise Refused(404, "ModelNotFound", f"there is no model {quoted(name)}; GET /v1/models lists what there is")


async def _tei(service: Service, request: Request, body: TeiRerank) -> JSONResponse:
    if not body.texts:
        raise Refused(400, "Empty", "`texts` cannot be empty")
    started = time.perf_counter()
    judged = await _judged(service, request, [(body.query, body.texts)])
    if body.truncate is False:
        _refuse_if_cut(judged, "send truncate: true to have it cut")
    scoring = judged.scoring
    scores = _scores(service.reranker.recipe, scoring, raw=body.raw_scores)
    answer: list[Answer] = [{"index": i, "score": scores[i]} for i in best_first(scoring.scores)]
    if body.return_text:
        answer = [{**result, "text": body.texts[result["index"]]} for result in answer]
    took = str(round((time.perf_counter() - started) * 1000))
    headers = {"x-compute-type": service.reranker.device, "x-total-time": took, **_headers(service, judged)}
    return JSONResponse(answer[: body.top_n or None], headers=headers)


async def _ranked(service: Service, request: Request, body: RerankRequest, *, version: str) -> JSONResponse:
    texts = [document if isinstance(document, str) else document.text for document in body.documents]
    if not texts:
        raise Refused(422, "Validation", "`documents` cannot be empty")
    judged = await _judged(service, request, [(body.query, texts)])
    _check_window(body, judged)
    scoring = judged.scoring
    scores = _scores(service.reranker.recipe, scoring, raw=body.raw)
    wanted = version == "1" if body.return_documents is None else body.return_documents
    results = [
        {"index": i, "relevance_score": scores[i], **({"document": _document(body.documents[i])} if wanted else {})}
        for i in best_first(scoring.scores)
    ]
    tokens = int(scoring.tokens_seen.sum())
    meta = {"api_version": {"version": version}, "billed_units": {"search_units": math.ceil(len(texts) / _IN_A_UNIT)}}
    return JSONResponse(
        {
            "id": request.state.request_id,
            "model": service.reranker.name,
            "usage": {"total_tokens": tokens, "prompt_tokens": tokens},
            "results": results if body.top_n in {None, 0} else results[: body.top_n],
            "meta": meta,
        },
        headers=_headers(service, judged),
    )


async def _scored(service: Service, request: Request, body: ScoreRequest) -> JSONResponse:
    queries = [body.text_1] if isinstance(body.text_1, str) else body.text_1
    texts = [body.text_2] if isinstance(body.text_2, str) else body.text_2
    if not queries or not texts:
        raise Refused(422, "Validation", "text_1 and text_2 cannot be empty")
    if len(queries) == 1:
        groups = [(queries[0], texts)]
    elif len(queries) == len(texts):
        groups = [(query, [text]) for query, text in zip(queries, texts, strict=True)]
    else:
        raise Refused(422, "Validation", f"text_1 has {len(queries)} texts and text_2 {len(texts)}; send one, or as many of each")
    recipe = service.reranker.recipe
    if recipe.compares:
        raise Refused(422, "Validation", f"{service.reranker.name} compares texts, and has no score for one by itself")
    judged = await _judged(service, request, groups)
    _check_prompts(body.truncate_prompt_tokens, judged)
    scoring = judged.scoring
    scores = _scores(recipe, scoring, raw=body.raw)
    tokens = int(scoring.tokens_seen.sum())
    return JSONResponse(
        {
            "id": request.state.request_id,
            "object": "list",
            "created": int(time.time()),
            "model": service.reranker.name,
            "data": [{"index": i, "object": "score", "score": score} for i, score in enumerate(scores)],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0},
        },
        headers=_headers(service, judged),
    )


async def _judged(service: Service, request: Request, groups: list[tuple[str, list[str]]]) -> Judged:
    """Score the texts of each group against its query."""
    limits = service.limits
    number = sum(len(texts) for _, texts in groups)
    if number > limits.max_texts:
        raise Refused(422, "Validation", f"{number:,} texts are more than {limits.max_texts:,}; send fewer at once")
    for query, texts in groups:
        if not query.strip():
            raise Refused(422, "Validation", "the query is empty; ask something")
        if (longest := max(map(len, (query, *texts)))) > limits.max_characters:
            raise Refused(422, "Validation", f"a text of {longest:,} characters is longer than {limits.max_characters:,}; cut it")
    return await service.score(request, groups)


def _scores(recipe: Recipe, scoring: Scoring, *, raw: bool) -> list[float]:
    return [score if raw else _relevance(recipe, score) for score in map(float, scoring.scores)]


def _relevance(recipe: Recipe, score: float) -> float:
    probability = recipe.probability(score)
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, score)))) if probability is None else probability


def _headers(service: Service, judged: Judged) -> dict[str, str]:
    """Our own account, where the format has no place for it."""
    cut = int((judged.scoring.tokens_seen < judged.scoring.tokens_total).sum())
    return {
        "x-rerank-model": service.reranker.name,
        "x-truncated-texts": str(cut),
        "x-truncated-queries": str(judged.queries_cut),
        "x-unread-texts": str(judged.texts_unread),
        "x-unread-queries": str(judged.queries_unread),
    }


def _document(document: str | TextObject) -> dict[str, Any]:
    return {"text": document} if isinstance(document, str) else document.model_dump()


def _refuse_if_cut(judged: Judged, advice: str, *, queries: bool = True) -> None:
    """Refuse a request of which the model did not read the whole query and all texts."""
    scoring = judged.scoring
    if queries and judged.queries_cut:
        message = f"the query is longer than the {judged.query_seen.max()} tokens that the model reads of it"
        raise Refused(422, "Validation", f"{message}; {advice}")
    cut = np.flatnonzero(scoring.tokens_seen < scoring.tokens_total)
    if cut.size:
        message = f"text {cut[0]} is longer than the {scoring.tokens_seen[cut[0]]} tokens that the model reads of it"
        raise Refused(422, "Validation", f"{message}; {advice}")


def _check_window(body: RerankRequest, judged: Judged) -> None:
    """Refuse to read less than this service did, or more, where that would have made another answer."""
    if body.truncate is False:
        _refuse_if_cut(judged, "send truncate: true to have it cut")
    if (body.max_chunks_per_doc or 1) > 1:
        _refuse_if_cut(
            judged, "documents are not judged in chunks here: leave max_chunks_per_doc out, or send chunks", queries=False
        )
    for name, most, seen in (
        ("max_tokens_per_doc", body.max_tokens_per_doc, judged.scoring.tokens_seen),
        ("max_tokens_per_query", body.max_tokens_per_query, judged.query_seen),
    ):
        if most is not None and seen.max() > most:
            message = f"{name} is {most}, and the model read {seen.max()} tokens; leave it out, or send shorter texts"
            raise Refused(422, "Validation", message)
    _check_prompts(body.truncate_prompt_tokens, judged)


def _check_prompts(most: int | None, judged: Judged) -> None:
    longest = int((judged.query_seen + judged.scoring.tokens_seen).max())
    if most is not None and 0 <= most < longest:
        message = (
            f"truncate_prompt_tokens is {most}, and the model read {longest} tokens of query and text; leave it out or send -1"
        )
        raise Refused(422, "Validation", message)
