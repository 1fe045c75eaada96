"""What do clients get? Answers as GET /openapi.json describes them: nothing is made or checked by these shapes at run time."""

import inspect
import re
from collections.abc import Sequence
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, JsonValue, create_model

from search import documents
from search.context import values
from search.ingestion import report

_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)


def _shape(
    name: str, value: type, only: Sequence[str] = (), *, base: type[BaseModel] = BaseModel, **others: tuple[str, str]
) -> type[BaseModel]:
    """What a value is as JSON: its fields, or some, as its docstring tells them; and others, each a type and what it is."""
    doc = inspect.cleandoc(value.__doc__ or "")
    told = {field: " ".join(words.split()) for field, words in _ATTRIBUTE.findall(doc.partition("Attributes:\n")[2])}
    hints = {field: kind for field, kind in get_type_hints(value).items() if (not only and field in told) or field in only}
    fields = {**hints, **{field: kind for field, (kind, _) in others.items()}}
    told |= {field: words for field, (_, words) in others.items()}
    described: dict[str, Any] = {field: (kind, Field(description=_in_json(told.get(field, "")))) for field, kind in fields.items()}
    return create_model(name, __base__=base, __module__=__name__, __doc__=doc.partition("\n")[0], **described)


def _in_json(words: str) -> str:
    """What Python is told, for JSON: a sentence."""
    plain = re.sub(r"\bNone\b", "null", words)
    return plain[:1].upper() + plain[1:]


class _Answer(BaseModel):
    request_id: str = Field(description="By which the log of the service knows the request; as in the header X-Request-Id.")


class Health(BaseModel):
    """That the process answers."""

    status: str = Field(description="Always ok.")


class Readiness(BaseModel):
    """Whether requests are taken."""

    ready: bool = Field(description="Whether requests are taken.")


class ErrorBody(BaseModel):
    """What went wrong."""

    type: str = Field(description="The kind of error.", examples=["InvalidQuery"])
    message: str = Field(description="What to do about it.", examples=["the query is empty; ask something"])
    request_id: str = Field(description="By which the log of the service knows the request.")


class Failure(BaseModel):
    """An answer that is no success."""

    error: ErrorBody = Field(description="What went wrong.")


Responses = dict[int | str, dict[str, Any]]  # as FastAPI describes them, by status
FAILING: Responses = {"default": {"model": Failure}}


def gives(shape: Any) -> Responses:
    """The description of a success, which nothing is checked by."""
    return {200: {"model": shape}}


_TIMINGS = ("dict[str, float]", "Milliseconds of each stage: queue, embed, retrieve, rerank, and total without the queue.")
_RANKS = ("rank", "retrieval_rank", "document_id", "chunk_id", "score", "retrieval_score", "dense_rank", "lexical_rank")

Hit = _shape(
    "Hit", documents.Hit, truncated=("bool", "Whether the model that judged the passage did not read all of it: see tokens_seen.")
)
Placed = _shape(
    "Placed",
    documents.Hit,
    (*_RANKS, "lexical_score", "fusion_score", "rerank_score", "precedence"),
    moved=("int", "Ranks that the second stage moved it up; below 0, down."),
)


class _Explained(_Answer):
    explanation: list[Placed] = Field(  # type: ignore[valid-type]  # made above
        default_factory=list, description="Where each stage put every candidate; only where the request says explain."
    )


Found = _shape(
    "SearchAnswer",
    documents.SearchResult,
    base=_Explained,
    hits=("list[Hit]", "Passages, best first."),
    timings_ms=_TIMINGS,
)


class FoundBatch(_Answer):
    """Answers to several queries."""

    results: list[Found | Failure] = Field(  # type: ignore[valid-type]  # made above
        description="In the order of the searches; an error where one cannot be answered."
    )


Source = _shape("Source", values.Source)
LeftOut = _shape("LeftOut", values.LeftOut)
Account = _shape("Account", documents.SearchResult, ("rerank_status", "reason", "warnings", "empty_because"), base=_Answer)
Context = _shape(
    "ContextAnswer",
    values.Context,
    base=Account,
    sources=("list[Source]", "In the order of their numbers."),
    left_out=("list[LeftOut]", "Hits that are not in it, and why."),
    timings_ms=_TIMINGS,
)

Rejection = _shape("Rejection", documents.Rejection, ("source", "line", "document_id", "reason"))
Remark = _shape("Remark", report.Remark)
Report = _shape(
    "IngestReport",
    report.IngestReport,
    rejections=("list[Rejection]", "The first thousand of them, each with its place in the request and the reason."),
    remarks=("list[Remark]", "The first ten thousand of each kind."),
)
Document = _shape("Document", documents.Document, ("id", "text", "title", "metadata", "media_type", "modified"))


class Removed(BaseModel):
    """What was removed."""

    removed: int = Field(description="How many documents.")
    dry_run: bool = Field(description="Whether they only would be.")
    document_ids: list[str] = Field(description="Which.")
    not_found: list[str] = Field(description="Ids that were named and are not there.")
    warnings: list[str] = Field(description="What may be wrong with a filter that nothing passes, each in a sentence.")


class Passages(BaseModel):
    """How many passages there are."""

    passages: int = Field(description="How many passages pass the filter, or there are.")
    warnings: list[str] = Field(description="What may be wrong with a filter that nothing passes, each in a sentence.")


class Named(BaseModel):
    """A collection, and the names that lead to it."""

    name: str = Field(description="Of the collection.")
    aliases: list[str] = Field(description="That lead to it.")


class Collections(BaseModel):
    """Which collections there are."""

    collections: list[Named] = Field(description="All of them.")
    default: str = Field(description="The name that requests mean that name no collection.")


class Collection(BaseModel):
    """What is known of a collection; where a key or the service is for one tenant, name, passages and embedder alone."""

    model_config = ConfigDict(extra="allow")  # as the engine tells it

    name: str = Field(description="Of the collection that the name leads to.")
    passages: int = Field(description="How many it holds.")
    embedder: str | None = Field(description="The fingerprint of its embedder; null where another program made it.")
    aliases: list[str] = Field(default_factory=list, description="That lead to it.")
    dimension: int | None = Field(default_factory=int, description="Of its vectors; null where another program made it.")
    tenant_field: str | None = Field(default_factory=str, description="The field that names tenants; null where nobody shares it.")


class Value(BaseModel):
    """A value that documents have in a field."""

    value: bool | str = Field(description="As a filter matches it.")
    documents: int = Field(description="How many have it, of those that were looked at.")


class Values(BaseModel):
    """A field with its most frequent values."""

    field: str = Field(description="As a filter writes it.", examples=["metadata.kind"])
    values: list[Value] = Field(description="The most frequent first.")


class Range(BaseModel):
    """A field of numbers."""

    field: str = Field(description="As a filter writes it.", examples=["metadata.legs"])
    least: float = Field(description="The least number in it.")
    most: float = Field(description="The greatest.")


class NotOffered(BaseModel):
    """How much there is besides."""

    fields: int = Field(description="Fields that fewer documents have, or that no filter can write.")
    values: int = Field(description="Values that are too long, or of which there are too many.")


class Facets(BaseModel):
    """What there is to filter by."""

    documents: int = Field(description="How many were looked at.")
    complete: bool = Field(description="Whether those are all.")
    fields: list[Values] = Field(description="Fields of texts and booleans.")
    ranges: list[Range] = Field(description="Fields of numbers.")
    left_out: NotOffered = Field(description="What there is besides.")


class Dropped(BaseModel):
    """A collection that is gone."""

    dropped: str = Field(description="Its name.")


class Led(BaseModel):
    """Where a name leads now."""

    alias: str = Field(description="The name.")
    collection: str = Field(description="The collection that it leads to.")


class Forgotten(BaseModel):
    """An alias that is gone."""

    forgotten: str = Field(description="Its name.")


class TeiScore(BaseModel):
    """A text's score, as TEI has it."""

    index: int = Field(description="From 0, among the texts of the request.")
    score: float = Field(description="A probability; with raw_scores the reranker's own score.")
    text: str = Field(default_factory=str, description="Only where the request says return_text.")


class Usage(BaseModel):
    """What was read."""

    prompt_tokens: int = Field(description="Tokens of the texts that were read.")
    total_tokens: int = Field(description="The same.")


class Relevance(BaseModel):
    """A document's score."""

    index: int = Field(description="From 0, among the documents of the request.")
    relevance_score: float = Field(description="A probability; with raw_scores the reranker's own score.")
    document: dict[str, JsonValue] = Field(
        default_factory=dict, description="The document with its text, and its other fields; only where return_documents is so."
    )


class Version(BaseModel):
    """Of Cohere's API."""

    version: str = Field(description="1 or 2.")


class Billed(BaseModel):
    """As Cohere counts."""

    search_units: int = Field(description="One for a hundred documents.")


class Meta(BaseModel):
    """What Cohere's clients read."""

    api_version: Version = Field(description="As whose answer this is.")
    billed_units: Billed = Field(description="Nobody bills them here.")


class Ranked(BaseModel):
    """Documents in the order of their scores, as Cohere, Jina and vLLM have it."""

    id: str = Field(description="Of the request.")
    model: str = Field(description="The reranker.")
    usage: Usage = Field(description="What was read.")
    results: list[Relevance] = Field(description="The most relevant first.")
    meta: Meta = Field(description="What Cohere's clients read.")


class PairScore(BaseModel):
    """A pair's score."""

    index: int = Field(description="From 0, among the pairs.")
    object: str = Field(description="Always score.")
    score: float = Field(description="A probability; with use_activation false the reranker's own score.")


class PairUsage(Usage):
    """What was read, as vLLM counts it."""

    completion_tokens: int = Field(description="Always 0.")


class Scored(BaseModel):
    """Scores in the order of the pairs, as vLLM has it."""

    id: str = Field(description="Of the request.")
    object: str = Field(description="Always list.")
    created: int = Field(description="Seconds since 1970.")
    model: str = Field(description="The reranker.")
    data: list[PairScore] = Field(description="In the order of the pairs.")
    usage: PairUsage = Field(description="What was read.")


class Model(BaseModel):
    """A model, as OpenAI's clients list it."""

    id: str = Field(description="Its name.")
    object: str = Field(description="Always model.")
    created: int = Field(description="When the service started, in seconds since 1970.")
    owned_by: str = Field(description="Always two-stage-search.")


class Models(BaseModel):
    """What can be named as a model."""

    object: str = Field(description="Always list.")
    data: list[Model] = Field(description="The reranker; none where nothing is reranked.")


class Info(BaseModel):
    """The reranker, as TEI tells of its model."""

    model_id: str = Field(description="Its name.")
    model_type: dict[str, JsonValue] = Field(description="That it is a reranker.")
    max_input_length: int = Field(description="Tokens of query and text that it reads.")
    max_client_batch_size: int = Field(description="Texts in one request.")
    device: str = Field(description="Where it runs: cpu, cuda or remote.")
