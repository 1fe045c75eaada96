"""What do clients of other rerank services send? Their formats, each field honoured, refused, or let pass for a reason.

A field that would change the ranking or the answer there and cannot do so here is refused: an answer by other rules than the
request's looks like any other. A field that is null counts as left out.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    JsonValue,
    StrictBool,
    StrictInt,
    StrictStr,
    Tag,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

Text = StrictStr
Texts = Annotated[list[Text], Field(fail_fast=True)]
OneOrMany = Annotated[
    Annotated[Text, Tag("text")] | Annotated[Texts, Tag("texts")],
    Discriminator(lambda sent: "texts" if isinstance(sent, list) else "text"),
]
Count = Annotated[StrictInt, Field(ge=1)]

_LONGEST_NAME = 80  # of a field, in messages
_RAW = "The reranker's own scores in the place of probabilities."


class _Format(BaseModel):
    """A request of another service."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_fields(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        names = {name: choices(field.validation_alias, name) for name, field in cls.model_fields.items()}
        known = {name for spellings in names.values() for name in spellings}
        if unknown := [name for name in fields if name not in known]:
            shown = ", ".join(sorted(known - _IGNORED))
            raise ValueError(f"there is no field {str(unknown[0])[:_LONGEST_NAME]!r} here; there are {shown}")
        return {name: value for name, value in fields.items() if value is not None}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, describe: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Each field by all of its names, and null where one may be left out."""
        schema = describe(core)
        described = describe.resolve_ref_schema(schema)
        required, fields = described.pop("required", []), described["properties"]
        for name, field in cls.model_fields.items():
            first, *others = choices(field.validation_alias, name)
            if others or name not in required:
                fields[name] = _or_null(fields[name])
            for other in others:
                fields[other] = {"anyOf": fields[name]["anyOf"], "description": f"Another name of {first}; send one of them."}
            if others and name in required:
                described.setdefault("allOf", []).append({"anyOf": [{"required": [one]} for one in (first, *others)]})
                required.remove(name)
        if required:
            described["required"] = required
        return schema


def choices(alias: str | AliasPath | AliasChoices | None, name: str) -> list[str]:
    """The names by which a field may be sent."""
    return [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else [name]


def _or_null(schema: JsonSchemaValue) -> JsonSchemaValue:
    null = {"type": "null"}
    if "$ref" in schema or null in schema.get("anyOf", []):  # any JSON; already
        return schema
    told = {name: value for name, value in schema.items() if name in {"title", "description", "default", "examples"}}
    return {"anyOf": [{name: value for name, value in schema.items() if name not in told}, null], **told}


_CHANGES_NOTHING = "Let pass: it changes no answer."


class _Scheduled(_Format):
    """What says when and for whom a request is answered, and nothing of the answer; vLLM's and Cohere's."""

    user: JsonValue = Field(None, description=_CHANGES_NOTHING)
    priority: JsonValue = Field(None, description=_CHANGES_NOTHING)
    request_id: JsonValue = Field(None, description=_CHANGES_NOTHING)
    cache_salt: JsonValue = Field(None, description=_CHANGES_NOTHING)
    padding: JsonValue = Field(None, description=_CHANGES_NOTHING)
    mm_processor_kwargs: JsonValue = Field(None, description="Let pass: it is about images, and there are none.")


_IGNORED = set(_Scheduled.model_fields)


class _Windowed(_Scheduled):
    """How much is read, and whether scores are probabilities: as vLLM has it."""

    model: Text | None = Field(None, description="Let pass: this service has one reranker, which the answer names.")
    truncate_prompt_tokens: Annotated[StrictInt, Field(ge=-1)] | None = Field(
        None, description="Refused where query and text have more tokens than that and were read."
    )
    truncation_side: Literal["right"] | None = Field(None, description="Of a text only the end can be cut, of a query its middle.")
    use_activation: StrictBool | None = Field(
        None,
        validation_alias=AliasChoices("use_activation", "activation", "softmax"),
        description="false: the reranker's own scores in the place of probabilities.",
    )

    @property
    def raw(self) -> bool:
        """Whether the reranker's own scores are wanted."""
        return self.use_activation is False


class TeiRerank(_Format):
    """TEI: POST /rerank."""

    query: Text = Field(description="What texts are judged against.", examples=["What is Deep Learning?"])
    texts: Texts = Field(description="What is judged.", examples=[["Deep Learning is not...", "Deep learning is..."]])
    raw_scores: StrictBool = Field(default=False, description=_RAW)
    return_text: StrictBool = Field(default=False, description="Give each text back with its score.")
    truncate: StrictBool | None = Field(None, description="false: a query or text that is too long is refused; else it is cut.")
    top_n: Annotated[StrictInt, Field(ge=0)] | None = Field(
        None, description="How many scores, the best; 0 or none: all. Not of TEI, but of clients that speak to it."
    )
    truncation_direction: Literal["right", "Right"] = Field(
        "right", description="Of a text only the end can be cut, of a query its middle."
    )


class TextObject(BaseModel):
    """A document with fields of its own, of which its text is judged; the others are returned with it."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, JsonValue]
    text: Text = Field(description="What is judged.")

    @model_validator(mode="after")
    def _judged_by_its_text(self) -> "TextObject":
        if seen := sorted(_MEDIA & self.__pydantic_extra__.keys()):
            raise ValueError(f"{seen[0]} cannot be judged here, where documents are text; leave it out")
        try:
            json.dumps(self.__pydantic_extra__, allow_nan=False)
        except ValueError as error:
            raise ValueError("a document holds a number that JSON has not, such as NaN") from error
        return self


_MEDIA = {"image", "image_url", "images", "video", "audio", "content", "multi_modal"}  # of Jina's and vLLM's documents


Document = Annotated[
    Annotated[Text, Tag("text")] | Annotated[TextObject, Tag("object")],
    Discriminator(lambda one: "object" if isinstance(one, dict | TextObject) else "text"),
]


class RerankRequest(_Windowed):
    """Cohere, Jina, vLLM and Infinity: documents instead of texts."""

    query: Text = Field(description="What documents are judged against.", examples=["What is the capital of the United States?"])
    documents: Annotated[list[Document], Field(fail_fast=True)] = Field(
        description="What is judged: texts, or objects with one.",
        examples=[["Carson City is the capital of Nevada.", "Washington, D.C. is."]],
    )
    top_n: Annotated[StrictInt, Field(ge=0)] | None = Field(None, description="How many results, the best; 0 or none: all.")
    return_documents: StrictBool | None = Field(
        None, description="Give each document back with its score; left out, /rerank and /v1/rerank do, and /v2/rerank does not."
    )
    raw_scores: StrictBool = Field(default=False, description=_RAW)
    truncate: StrictBool | None = Field(
        None,
        validation_alias=AliasChoices("truncate", "truncation"),
        description="false: a query or document that is too long is refused; else it is cut.",
    )
    rank_fields: Texts | None = Field(None, description='Only ["text"]: that is what documents are judged by.')
    max_chunks_per_doc: Count | None = Field(None, description="More than 1 is refused where a document is longer than one.")
    max_tokens_per_doc: Count | None = Field(
        None,
        validation_alias=AliasChoices("max_tokens_per_doc", "max_doc_length"),  # Cohere's and vLLM's name, and Jina's
        description="Refused where a document has more tokens than that and they were read.",
    )
    max_tokens_per_query: Count | None = Field(
        None,
        validation_alias=AliasChoices("max_tokens_per_query", "max_query_length"),
        description="Refused where the query has more tokens than that and they were read.",
    )
    return_embeddings: Literal[False] | None = Field(None, description="There are none to return.")
    modality: Literal["text"] | None = Field(None, description="Only text is judged.")

    @field_validator("rank_fields")
    @classmethod
    def _text_alone(cls, fields: list[str] | None) -> list[str] | None:
        if fields not in (None, ["text"]):
            raise ValueError("documents are judged by their text alone; write there what counts, and leave rank_fields out")
        return fields

    @property
    def raw(self) -> bool:
        """Likewise, by either field."""
        return self.raw_scores or super().raw


class ScoreRequest(_Windowed):
    """vLLM: POST /score, by each of its pairs of names."""

    text_1: OneOrMany = Field(
        validation_alias=AliasChoices("text_1", "queries", "data_1"),
        description="One text for all of text_2, or as many as those are.",
        examples=["What is the capital of France?"],
    )
    text_2: OneOrMany = Field(
        validation_alias=AliasChoices("text_2", "documents", "items", "data_2"),
        description="What is judged, one text or several.",
        examples=[["Paris is the capital of France.", "Berlin is a city."]],
    )


def _tag(body: Any) -> str:
    """Whose client sent it: TEI's sends texts, all others documents."""
    if isinstance(body, dict):
        return "Cohere" if "documents" in body and "texts" not in body else "TEI"
    return "Cohere" if isinstance(body, RerankRequest) else "TEI"


AnyRerank = Annotated[Annotated[TeiRerank, Tag("TEI")] | Annotated[RerankRequest, Tag("Cohere")], Discriminator(_tag)]


class TeiFailure(BaseModel):
    """An answer that is no success, as TEI's clients expect it."""

    error: str = Field(description="What to do about it.")
    error_type: str = Field(description="The kind, as TEI names it.", examples=["Validation"])


class FailureDetails(BaseModel):
    """The same, as vLLM's clients read it."""

    message: str = Field(description="What to do about it.")
    type: str = Field(description="The kind of error.")
    param: None = Field(description="Always null.")
    code: int = Field(description="The status of the answer.")


class RerankFailure(BaseModel):
    """An answer that is no success: Cohere's clients read message, Jina's detail, vLLM's error."""

    message: str = Field(description="What to do about it.")
    detail: str = Field(description="The same.")
    id: str = Field(description="By which the log of the service knows the request.")
    error: FailureDetails = Field(description="The same, as vLLM's clients read it.")
