"""The sections of the settings: what each of them lets a user choose."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    StringConstraints,
    model_validator,
)

from search.context.values import MAX_TOKENS
from search.documents import Fusion, encodable
from search.errors import InvalidSettings
from search.network.addresses import read_address, without_secrets
from search.settings.files import at_home
from search.system.files import open_regular

Device = Literal["auto", "cpu", "cuda"]
ActiveDevice = Literal["cpu", "cuda"]  # what auto came to

_LONGEST_KEY = 10_000  # characters; beyond that a file is no key's
_LONGEST = 1_000_000_000  # seconds; what systems wait for ends not far beyond
_MOST_MEMORY = 1_000_000_000  # megabytes, likewise


def _said(path: Any) -> Any:
    if path == "":
        raise ValueError("the path is empty; the working folder is .")
    return path


def _of_a_server(url: str) -> str:
    read_address(url)
    return url


NamedPath = Annotated[Path, BeforeValidator(_said), AfterValidator(at_home)]


def shown_value(name: str, value: Any) -> Any:
    """A value of a setting as messages may show it: no password in a URL, though that lacks its scheme."""
    match value:
        case str():
            is_url = "://" in value or name.rpartition(".")[2] in {"url", "urls"}
            return without_secrets(value) if is_url else value
        case list() | tuple() | frozenset():
            return type(value)(shown_value(name, one) for one in value)
        case dict():
            return {key: shown_value(name, one) for key, one in value.items()}
        case _:
            return value


def true_is_no_number(cls: type[BaseModel], values: Any) -> Any:
    """What is said of settings, with the word for a truth where a number is wanted: Python would take it for 0 or 1."""
    if not isinstance(values, dict):
        return values
    numbers = {name for name, field in cls.model_fields.items() if _is_number(field.annotation)}
    return {name: str(value).lower() if isinstance(value, bool) and name in numbers else value for name, value in values.items()}


def _is_number(annotation: Any) -> bool:
    """Whether a setting of a type may be a number, and no truth."""
    kinds = {annotation, *(get_args(one)[0] if get_origin(one) is Annotated else one for one in get_args(annotation))}
    return bool(kinds & {int, float}) and bool not in kinds


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)  # which may be a key
    _numbers = model_validator(mode="before")(true_is_no_number)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """As pydantic shows a value, but no password in a URL."""
        for name, value in super().__repr_args__():
            yield name, shown_value(name or "", value)


class _WithKey(_Section):
    """What is reached by a key, which stands here or in a file of its own."""

    api_key: SecretStr | None = Field(None, description="The key itself, which others may read where they read this.")
    api_key_file: NamedPath | None = Field(
        None, description="A file that has the key in it, such as a secret that is mounted; without `api_key`."
    )

    def key(self) -> str | None:
        """The key; None where there is none.

        Raises:
            InvalidSettings: the file cannot be read, or has no key in it.
        """
        if self.api_key:
            return self.api_key.get_secret_value()
        if self.api_key_file is None:
            return None
        try:
            with open_regular(self.api_key_file) as stream:
                key = stream.read(_LONGEST_KEY + 1).decode().strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InvalidSettings(
                f"the key in {self.api_key_file} cannot be read: {reason}; api_key_file names the file"
            ) from error
        if not key or len(key) > _LONGEST_KEY:
            raise InvalidSettings(
                f"{self.api_key_file} holds {'no key' if not key else 'more than a key'}; api_key_file names the file"
            )
        return key


class EmbedderSettings(_Section):
    """Which model turns text into vectors."""

    model: str = Field(
        "all-MiniLM-L6-v2", min_length=1, description="A bundled model, a local directory, or a name that FastEmbed serves."
    )
    batch_tokens: PositiveInt = Field(4096, description="Padded tokens in one batch.")
    query_prompt: str | None = Field(
        None, description='What the model reads before a query, such as "query: "; None: what belongs to the model; "": nothing.'
    )
    passage_prompt: str | None = Field(
        None,
        description='What the model reads before a passage, whose vectors depend on it, such as "passage: "; None: what belongs to '
        'the model; "": nothing.',
    )


Language = Literal[
    "arabic", "azerbaijani", "basque", "bengali", "catalan", "chinese", "danish", "dutch", "english", "finnish", "french",
    "german", "greek", "hebrew", "hinglish", "hungarian", "indonesian", "italian", "japanese", "kazakh", "nepali", "none",
    "norwegian", "portuguese", "romanian", "russian", "slovene", "spanish", "swedish", "tajik", "turkish",
]  # fmt: skip


class LexicalSettings(_Section):
    """By which words passages are found. Model, language and fields are a collection's own; `search reindex` makes it anew."""

    model: str = Field(
        "bm25",
        min_length=1,
        description="bm25; none: passages have no words, and are found by their vectors alone; or a sparse model, as SPLADE or "
        "miniCOIL: a local directory, or a name that FastEmbed serves (`search models --all`).",
    )
    language: Language = Field(
        "english",
        description="The language whose stop words BM25 leaves out, and by whose rules it stems words; none: all words count as "
        "they are. Sparse models have their own.",
    )
    fields: tuple[Annotated[str, StringConstraints(pattern=r"^metadata\..+$")], ...] = Field(
        (), description='Metadata by which passages are found, too, such as ["metadata.isbn"]; title, headings and id always are.'
    )
    share: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of the words in retrieval order; None: .3 with zscore, .5 with rrf and dbsf; more where few passages "
        "have a word of the query, or the embedder cannot read it.",
    )
    fusion: Fusion = Field(
        "zscore",
        description="How both scores become one: z-scores, or Qdrant's own rank fusion (rrf) or distribution-based fusion (dbsf).",
    )
    typos: bool = Field(
        default=True,
        description="Whether, in place of a word of the query that no passage has, words spelt like it are looked for.",
    )


class ContextSettings(_Section):
    """What a language model gets of a result, by `search context`, over HTTP and by MCP."""

    max_tokens: PositiveInt = Field(MAX_TOKENS, description="The most tokens of a context, with numbers, headings and prompt.")
    tokenizer: NamedPath | None = Field(
        None, description="The tokenizer.json of the model that reads it, or its folder; None: a token is four characters."
    )
    metadata: bool = Field(
        default=True, description="Whether the short metadata of rows and other records, such as a price, stands beside their text."
    )


class CrossEncoderSettings(_Section):
    """An ONNX cross-encoder."""

    kind: Literal["cross-encoder"] = "cross-encoder"
    model: str = Field(
        "minilm-reranker", min_length=1, description="A bundled model, a local directory, or a name that FastEmbed serves."
    )
    weight: float | None = Field(None, ge=0, le=1, description="Share of the reranker in the ranking; None: the model's recipe.")
    max_tokens: int | None = Field(
        None, ge=16, description="Tokens read of query and passage, special ones included; None: all that the model can."
    )
    batch_tokens: PositiveInt = Field(4096, description="Padded tokens in one batch.")
    slice_size: PositiveInt = Field(8, description="Candidates scored between two looks at the clock, under a budget.")


class CausalSettings(_Section):
    """A language model that `search export` wrote; its recipe says how it is asked."""

    kind: Literal["causal"] = "causal"
    model: str = Field(min_length=1, description="The folder that `search export` wrote.")
    weight: float | None = Field(None, ge=0, le=1, description="Share of the reranker in the ranking; None: the model's recipe.")
    instruction: str | None = Field(None, description="What relevance means here, for models that take instructions.")
    batch_tokens: PositiveInt | None = Field(
        None, description="Padded tokens in one batch; None: 1,024 on the CPU, 16,384 on CUDA."
    )
    slice_size: PositiveInt = Field(8, description="Candidates scored between two looks at the clock, under a budget.")


class ChatSettings(_WithKey):
    """A language model behind an OpenAI-compatible chat endpoint, which orders windows of passages."""

    kind: Literal["chat"] = "chat"
    url: Annotated[str, AfterValidator(_of_a_server)] = Field(
        description="Where the endpoint is, up to /v1, such as http://127.0.0.1:8080/v1."
    )
    model: str = Field(description="What the endpoint calls the model.")
    weight: float | None = Field(None, ge=0, le=1, description="Share of the reranker in the ranking; None: 1.")
    window: int = Field(20, ge=2, description="Passages in one request.")
    stride: PositiveInt = Field(10, description="How far the window moves; less than the window.")
    max_words: PositiveInt = Field(300, description="The longest passage, in words; the rest is cut and reported.")
    timeout_s: PositiveFloat = Field(60, le=_LONGEST, description="Seconds until a request counts as lost.")

    @model_validator(mode="after")
    def _windows_overlap(self) -> Self:
        if self.stride >= self.window:
            raise ValueError("the stride must be smaller than the window, or nothing could rise from one window to the next")
        return self


class NoReranker(_Section):
    """Retrieval order only."""

    kind: Literal["none"] = "none"


RerankerSettings = Annotated[CrossEncoderSettings | CausalSettings | ChatSettings | NoReranker, Field(discriminator="kind")]


class CudaSettings(_Section):
    """How the GPU is used, where there is one."""

    device: NonNegativeInt = Field(0, description="Which GPU.")
    memory_mib: PositiveInt | None = Field(None, description="GPU memory one model may take, in MiB; None: all.")
    arena: Literal["same-as-requested", "next-power-of-two"] = Field(
        "same-as-requested", description="By how much a model's memory grows when it is too small."
    )
    shrink: bool = Field(default=False, description="Give unused memory back after every batch; slower.")
    attention: Literal["auto", "flash", "memory-efficient", "cudnn", "math"] = Field(
        "auto", description="Which attention kernel; auto: flash for language models, ONNX Runtime's choice for others."
    )


_FIELD = r"^(metadata\..+|title|headings|page|number|media_type|modified)$"  # that a filter may ask about
PayloadType = Literal["keyword", "integer", "float", "bool"]


class StorageSettings(_Section):
    """How a collection is kept. Decided when it is made; `search reindex` makes it anew."""

    quantization: Literal["none", "scalar", "binary"] | None = Field(
        None,
        description="Copies of the vectors in int8 or in single bits, which are searched first: 4 or 32 times less memory. None: "
        "as the collection has it that is replaced or adopted, and none in others.",
    )
    oversampling: float = Field(
        3.0, ge=1, description="With quantization: times as many candidates are found with it and rescored with the whole vectors."
    )
    on_disk: bool = Field(default=False, description="Leave whole vectors on disk; with quantization that saves memory.")
    on_disk_payload: bool | None = Field(
        None, description="Leave texts and metadata on disk until a hit needs them; None: in the embedded engine, not on a server."
    )
    hnsw_m: int = Field(16, ge=0, le=65_535, description="Edges of a vector in the search graph.")
    hnsw_ef_construct: int = Field(100, ge=4, le=65_535, description="Neighbours considered for the edges of a vector.")
    payload_indexes: dict[Annotated[str, StringConstraints(pattern=_FIELD)], PayloadType] = Field(
        default_factory=dict, description='Fields that filters ask about often, by type, such as {"metadata.year": "integer"}.'
    )


class LayoutSettings(_Section):
    """Where passages lie in a collection that another program filled. What is not said is found by what is there.

    Paths of payload fields have steps with points between them, which lead through objects, and through strings that hold JSON.
    """

    text: str | None = Field(None, min_length=1, description="The field with the text of a passage.")
    title: str | None = Field(None, description="The field with the title of a passage; empty for none.")
    document_id: str | None = Field(
        None, description="The field that names the document of a passage; empty for the id of the point."
    )
    metadata: str | None = Field(None, description="The object that holds the metadata; empty for all other fields.")
    vector: str | None = Field(None, description="The name of the vector that is searched; empty for the unnamed one.")
    filter: dict[str, Any] | None = Field(None, description="Which points count at all: a Qdrant filter on fields as they are.")
    order: tuple[Annotated[str, StringConstraints(min_length=1)], ...] | None = Field(
        None, description="What passages of a document are in order by, such as a page and a place on it; empty for nothing."
    )


class CollectionSettings(LayoutSettings):
    """What holds for one collection: by which model it is searched and filled, and where another program put its passages."""

    embedder: str | None = Field(None, min_length=1, description="The embedder, as embedder.model names one; None: that one.")
    query_prompt: str | None = Field(
        None,
        description="What the embedder reads before a query; None: what embedder.query_prompt says, if the embedder is that one.",
    )
    passage_prompt: str | None = Field(
        None,
        description="What it reads before a passage; None: what embedder.passage_prompt says, if the embedder is that one.",
    )


class EdgeSettings(_Section):
    """Qdrant Edge: the engine without a server, its files under `data_dir`."""

    engine: Literal["edge"] = "edge"
    own_process: bool = Field(
        default=False, description="Run it in a process of its own, so that nothing waits while it works; search serve does."
    )


class ServerSettings(_WithKey):
    """A Qdrant server or cluster."""

    engine: Literal["qdrant"] = "qdrant"
    url: str = Field("http://127.0.0.1:6333", description="Where it is; https:// for TLS.")
    urls: tuple[str, ...] = Field((), description="URLs of other nodes of the same cluster, asked where `url` does not answer.")
    protocol: Literal["auto", "grpc", "rest"] = Field(
        "auto",
        description="How points are read and written; auto: gRPC where the same server speaks it, REST otherwise. All else is "
        "asked over REST.",
    )
    grpc_port: PositiveInt | None = Field(
        None,
        le=65_535,
        description="The port for gRPC; None: 6334, which auto asks only beside a `url` of port 6333 without a path or a proxy.",
    )
    grpc: bool | None = Field(
        None,
        description="The former name of `protocol`: true is grpc, false rest. Leave it out; beside a `protocol` that says "
        "otherwise it is refused.",
    )
    read_consistency: PositiveInt | Literal["majority", "quorum", "all"] | None = Field(
        None, description="Replicas that have to agree on what is read; None: the one that is asked."
    )
    write_ordering: Literal["weak", "medium", "strong"] | None = Field(
        None, description="In which order replicas apply writes; None: the server's choice, weak."
    )
    timeout_s: PositiveInt = Field(10, le=_LONGEST, description="Seconds until a request counts as lost.")
    ca_file: NamedPath | None = Field(None, description="Certificate authority of the server, for TLS with a private one.")
    shards: PositiveInt | None = Field(None, description="Shards of a collection that is made; None: the server's choice.")
    replicas: PositiveInt | None = Field(None, description="Copies of each shard; None: the server's choice.")
    write_consistency: PositiveInt | None = Field(None, description="Replicas that confirm a write; None: the server's choice.")
    shard_key: str | None = Field(
        None,
        min_length=1,
        max_length=256,
        description="With `tenant_field`, on a cluster: a collection that is made is sharded by tenants. Those whose name is a "
        "shard key have shards of their own; all others share those of this key. None: as what is replaced, or not at all.",
    )

    @model_validator(mode="after")
    def _said_once(self) -> Self:
        if self.grpc is not None and "protocol" in self.model_fields_set and self.protocol != self.spoken:
            said = str(self.grpc).lower()
            raise ValueError(f"grpc = {said} and protocol = {self.protocol!r} contradict each other; leave grpc out")
        return self

    @property
    def spoken(self) -> Literal["auto", "grpc", "rest"]:
        """The protocol that was asked for, in the one way or the other."""
        return self.protocol if self.grpc is None else "grpc" if self.grpc else "rest"


class MemorySettings(_Section):
    """A collection that is gone with the process; exact and slow, for tests."""

    engine: Literal["memory"] = "memory"


class ChunkingSettings(_Section):
    """How documents are cut into passages, in the embedder's tokens."""

    tokens: int = Field(
        170, ge=16, description="The longest passage, title included; with a short query it fits the bundled reranker."
    )
    overlap: NonNegativeInt = Field(30, description="Tokens a passage repeats of the one before.")
    max_characters: PositiveInt = Field(4_000_000, description="A longer document is rejected.")


class IngestionSettings(_Section):
    """How documents are brought in."""

    patience_s: NonNegativeFloat = Field(
        120, le=_LONGEST, description="Seconds that one request may fail before a run is given up; 0: none."
    )
    file_seconds: PositiveFloat = Field(
        30,
        le=_LONGEST / 1000,  # for the megabytes
        description="Processor time for reading one page, PDF or office document, and as much again for each megabyte of it; for "
        "each row of a Parquet or JSON file or a spreadsheet. What takes more is rejected.",
    )
    file_memory_mb: int = Field(
        1000,
        ge=200,
        le=_MOST_MEMORY,
        description="Memory for reading one page, PDF, office document or table. What takes more is rejected.",
    )


Scope = Literal["search", "write", "admin"]


def checked_tenant(name: str) -> str:
    """The name of a tenant; ValueError if it can be none."""
    given: Any = name
    text = isinstance(given, str) and re.fullmatch(r"[^\x00-\x1f\x7f]{1,255}", given)
    if not text or name != name.strip() or not encodable(name):
        shown = str(name).encode(errors="replace").decode()[:100]
        raise ValueError(
            f"no tenant is called {shown!r}: a name has 1 to 255 characters, no control character, and no space at its ends"
        )
    return name


class KeySettings(_Section):
    """Who may do what; `search key` makes one."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="The hash of the key, which is written down nowhere itself.")
    scopes: frozenset[Scope] = Field(frozenset({"search"}), min_length=1, description="What it may do: search, write, admin.")
    tenant: Annotated[str, AfterValidator(checked_tenant)] | None = Field(
        None, description="The tenant whose documents alone it reads and writes, where `tenant_field` is set; not with admin."
    )

    @model_validator(mode="after")
    def _of_all_or_of_one(self) -> Self:
        if self.tenant is not None and "admin" in self.scopes:
            raise ValueError("a key with the scope admin is for all tenants; leave out admin, or the tenant")
        return self


class ServiceSettings(_Section):
    """How `search serve` listens, and what it refuses."""

    host: str = Field("127.0.0.1", min_length=1, description="The address; any but this machine's own needs keys.")
    port: int = Field(8000, ge=0, le=65535, description="The port; 0: any that is free.")
    api_keys: dict[str, KeySettings] = Field({}, description="By name. Without any, whoever reaches the port may do everything.")
    hosts: frozenset[str] = Field(frozenset(), description="Names that clients call it by, besides localhost.")
    origins: frozenset[str] = Field(
        frozenset(), description="Web pages of other origins that may call it, such as https://example.com."
    )
    workers: PositiveInt = Field(1, description="Requests that run models at the same time.")
    queue_s: PositiveFloat = Field(
        1.0, le=_LONGEST, description="Seconds a request may wait for its turn; beyond that it is refused at once."
    )
    max_body_mb: PositiveFloat = Field(10.0, description="The largest request.")
    max_texts: PositiveInt = Field(1000, description="Texts of one rerank request, queries of one batch, documents of one upsert.")
    max_characters: PositiveInt = Field(1_000_000, description="The longest text in a request.")
    max_depth: PositiveInt = Field(200, description="The most candidates of a search.")
    max_batch_candidates: PositiveInt = Field(20_000, description="The most candidates of all searches of one batch together.")
    max_connections: PositiveInt = Field(500, description="The most connections; requests on more are refused.")
    receive_s: PositiveFloat = Field(
        20.0,
        le=_LONGEST,
        description="Seconds in which a request must have arrived, and in which a client must have read on in its answer.",
    )
    shutdown_s: PositiveInt = Field(30, le=_LONGEST, description="Seconds for what was accepted, when it is told to end.")
    traces_url: str | None = Field(
        None,
        pattern=r"^https?://[^/@?#]+(/[^@?#]*)?$",
        description="The URL of an OpenTelemetry collector that takes OTLP over HTTP, such as http://127.0.0.1:4318; OTEL_… say "
        "the rest, credentials too.",
    )
    certificate: NamedPath | None = Field(
        None, description="The certificate for TLS without a proxy, a PEM file; with `private_key`."
    )
    private_key: NamedPath | None = Field(None, description="The private key of `certificate`, a PEM file.")
