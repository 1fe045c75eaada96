"""What do clients send? Requests of our own API, checked before anything is done."""

import re
from concurrent.futures import Executor
from typing import Annotated, Any, ClassVar, Literal

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetJsonSchemaHandler, JsonValue, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from search.api.parsing import parsed_route
from search.api.routes.answers import FAILING
from search.context.values import Form
from search.ingestion import planning
from search.settings import COLLECTION_NAME, LONGEST_COLLECTION_NAME

_DEEPEST = 20
_MOST_PARTS = 5_000
_MOST_FIELDS = 50
_MOST_TOKENS = 1_000_000
LONGEST_ID = 10_000  # of a document that is meant; new ones are shorter


def _reasonable(filter: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Refuse a filter that would take for ever."""
    level: list[JsonValue] = [filter]
    parts = 0
    for _ in range(2 * _DEEPEST):  # a list and an object for each level
        level = [
            one
            for value in level
            if isinstance(value, dict | list)
            for one in (value.values() if isinstance(value, dict) else value)
        ]
        parts += len(level)
        if parts > _MOST_PARTS:
            raise ValueError(f"has more than {_MOST_PARTS:,} parts; ask for less at once")
        if not level:
            return filter
    raise ValueError(f"is nested more than {_DEEPEST} levels deep; flatten it")


Filter = Annotated[dict[str, JsonValue], AfterValidator(_reasonable)]


def _possible(name: str) -> str:
    if not re.fullmatch(COLLECTION_NAME, name):
        most = LONGEST_COLLECTION_NAME
        raise ValueError(
            f"no collection is called so: a name has 1 to {most} characters, no slash, no control character, and is not . or .."
        )
    return name


CollectionName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=LONGEST_COLLECTION_NAME,
        description="A collection, or an alias.",
        examples=["documents"],
        json_schema_extra={"pattern": COLLECTION_NAME},
    ),
    AfterValidator(_possible),
]
DocumentId = Annotated[str, Field(min_length=1, max_length=LONGEST_ID, examples=["notes/cats.md"])]

_FILTER: dict[str, JsonValue] = {"must": [{"key": "metadata.legs", "match": {"value": 4}}]}


class Body(BaseModel):
    """The base of all request bodies. Unknown fields are refused; checking ends at the first error: there may be a million."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, body: Any) -> Any:
        if isinstance(body, dict) and len(body) > _MOST_FIELDS:
            raise ValueError(f"{len(body):,} fields are more than this request has; see GET /openapi.json")
        return body


class Query(Body):
    """A query, and how it is to be answered. What is left out comes from the settings."""

    query: str = Field(max_length=100_000, description="What to look for.", examples=["Where do cats sleep?"])
    collection: CollectionName | None = Field(None, description="Which collection, or alias.")
    limit: int | None = Field(None, ge=1, description="Hits returned.", examples=[5])
    depth: int | None = Field(None, ge=1, description="Candidates retrieved and reranked; at least limit.", examples=[20])
    filter: Filter | None = Field(None, description="Which documents may be found: a Qdrant filter.", examples=[_FILTER])
    group_by: Literal["document"] | None = Field(None, description="Of each document its best passage only.")
    min_score: float | None = Field(None, ge=0, le=1, description="Least probability of being relevant.")
    budget_ms: float | None = Field(
        None, gt=0, description="Milliseconds for everything, waiting included; what is not reranked by then says so."
    )
    rerank: bool = Field(default=True, description="False: retrieval order.")
    retrieval: Literal["hybrid", "dense", "lexical"] | None = Field(
        None, description="How candidates are found: by vectors and words, or by one of them."
    )
    lexical_share: float | None = Field(None, ge=0, le=1, description="Of the words in retrieval order.")


class SearchRequest(Query):
    """A query, and how it is to be answered. What is left out comes from the settings."""

    explain: bool = Field(default=False, description="Also say where each stage put every candidate.")


class ContextRequest(Query):
    """A query, and what a language model is to get of its answer. What is left out comes from the settings."""

    limit: int | None = Field(None, ge=1, description="Passages considered; without, as many as depth.")
    max_tokens: int | None = Field(
        None, ge=1, le=_MOST_TOKENS, description="For all of it, numbers, headings and prompt included.", examples=[1000]
    )
    form: Form = Field(
        "text", description="As text, as Markdown, or as messages for a chat, with a prompt that asks for citations."
    )


class SearchBatch(Body):
    """Several queries in one request."""

    searches: Annotated[list[SearchRequest], Field(fail_fast=True)] = Field(
        min_length=1, description="Each is answered as by itself."
    )


class DocumentBody(Body):
    """A document."""

    id: Annotated[
        DocumentId,
        Field(
            description="One of your own; a document that has it is replaced.", json_schema_extra={"maxLength": planning.LONGEST_ID}
        ),
    ]
    text: str = Field(
        min_length=1, description="What is cut into passages, embedded and found.", examples=["Cats sleep most of the day."]
    )
    title: str = Field("", description="Read in front of each of its passages.", examples=["Cats"])
    metadata: dict[str, JsonValue] = Field(
        {}, description="Given back with hits, and filtered by as metadata.….", examples=[{"legs": 4}]
    )
    media_type: str = Field(
        "text/plain",
        max_length=planning.LONGEST_TYPE,
        description="Says whether the text has Markdown's headings and code blocks.",
        examples=["text/markdown"],
    )
    modified: float | None = Field(None, description="When, in seconds since 1970; a new time alone changes nothing.")


class _Documented:
    """Makes any value be described as a document."""

    def __get_pydantic_json_schema__(self, _: CoreSchema, describe: GetJsonSchemaHandler) -> JsonSchemaValue:
        return describe(DocumentBody.__pydantic_core_schema__)


class Upsert(Body):
    """Documents to add; those that are there under the same id are replaced, unchanged ones left alone."""

    apart: ClassVar[str] = "documents"  # each is checked by itself, so that the fault of one is not all others'
    documents: list[Annotated[Any, _Documented()]] = Field(min_length=1, description="What to add or replace.")
    collection: CollectionName | None = Field(None, description="Into which collection, or alias.")
    dry_run: bool = Field(default=False, description="Write nothing, and say what would change.")


def _example(**fields: JsonValue) -> ConfigDict:
    """One whole body, where examples of all fields would not go together."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class Selected(Body):
    """Documents that are meant: by ids, or by a filter that any of their passages passes, not by both."""

    ids: Annotated[list[DocumentId], Field(fail_fast=True)] = Field([], description="Which documents; without a filter.")
    filter: Filter | None = Field(
        None, description="Documents with a passage that passes a Qdrant filter; without ids.", examples=[_FILTER]
    )
    collection: CollectionName | None = Field(None, description="Of which collection, or alias.")


class Update(Selected):
    """Metadata to set."""

    model_config = _example(ids=["notes/cats.md"], metadata={"status": "archived"}, dry_run=True)

    metadata: dict[str, JsonValue] = Field(
        min_length=1, description="A JSON Merge Patch: null removes a field.", examples=[{"status": "archived"}]
    )
    dry_run: bool = Field(default=False, description="Write nothing, and say what would change.")


class Removal(Selected):
    """Documents to remove."""

    model_config = _example(ids=["notes/cats.md"], dry_run=True)

    dry_run: bool = Field(default=False, description="Remove nothing, and say what would be.")


class Count(Body):
    """Passages to count."""

    filter: Filter | None = Field(None, description="Which passages: a Qdrant filter; without, all.", examples=[_FILTER])
    collection: CollectionName | None = Field(None, description="Of which collection, or alias.")


class Alias(Body):
    """Where a name is to lead."""

    model_config = _example(alias="live", collection="documents")

    alias: CollectionName = Field(description="The name.", examples=["live"])
    collection: CollectionName = Field(description="The collection that it is to lead to, or a name that leads there.")


Answer = dict[str, Any]


def own_router(parsing: Executor, subject: str, prefix: str) -> APIRouter:
    """For routes of our own API, whose bodies are parsed in that thread where they are large."""
    return APIRouter(prefix=prefix, route_class=parsed_route(parsing), tags=[subject], responses=FAILING)
