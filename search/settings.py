"""Every choice a user can make, in one place: the only reader of the environment, `.env` and `search.toml`.

Sources, strongest first: arguments, environment (`SEARCH_EMBEDDER__MODEL=…`), `.env`, `search.toml` in the
working folder, defaults.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from search.errors import InvalidSettings

Device = Literal["auto", "cpu", "cuda"]
ActiveDevice = Literal["cpu", "cuda"]  # what auto came to


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EmbedderSettings(_Section):
    """Which model turns text into vectors."""

    model: str = Field("all-MiniLM-L6-v2", description="A bundled model, a local directory, or a name that FastEmbed serves.")
    batch_tokens: PositiveInt = Field(4096, description="Padded tokens in one batch.")


class CrossEncoderSettings(_Section):
    """An ONNX cross-encoder, run by FastEmbed."""

    kind: Literal["cross-encoder"] = "cross-encoder"
    model: str = Field("minilm-reranker", description="A bundled model, a local directory, or a name that FastEmbed serves.")
    weight: float | None = Field(None, ge=0, le=1, description="Share of the reranker in the ranking; None: the model's recipe.")
    max_tokens: int | None = Field(None, ge=16, description="Tokens read of query and passage; None: all that the model can.")
    batch_tokens: PositiveInt = Field(4096, description="Padded tokens in one batch.")
    slice_size: PositiveInt = Field(8, description="Candidates scored between two looks at the clock, under a budget.")


class CausalSettings(_Section):
    """A language model that `search export` wrote; its recipe says how it is asked."""

    kind: Literal["causal"] = "causal"
    model: str = Field(description="The folder.")
    weight: float | None = Field(None, ge=0, le=1, description="Share of the reranker in the ranking; None: the model's recipe.")
    instruction: str | None = Field(None, description="What relevance means here, for models that take instructions.")
    batch_tokens: PositiveInt | None = Field(
        None, description="Padded tokens in one batch; None: 1,024 on the CPU, 16,384 on CUDA."
    )
    slice_size: PositiveInt = Field(8, description="Candidates scored between two looks at the clock, under a budget.")


class ChatSettings(_Section):
    """A language model behind an OpenAI-compatible chat endpoint, which orders windows of passages."""

    kind: Literal["chat"] = "chat"
    url: str = Field(description="Up to /v1, such as http://127.0.0.1:8000/v1.")
    model: str
    api_key: SecretStr | None = None
    weight: float | None = Field(None, ge=0, le=1, description="Share of the reranker in the ranking; None: 1.")
    window: int = Field(20, ge=2, description="Passages in one request.")
    stride: PositiveInt = Field(10, description="How far the window moves; less than the window.")
    max_words: PositiveInt = Field(300, description="The longest passage, in words; the rest is cut and reported.")
    timeout_s: PositiveFloat = Field(60, description="Seconds until a request counts as lost.")

    @model_validator(mode="after")
    def _windows_overlap(self) -> Self:
        if self.stride >= self.window:
            message = "the stride must be smaller than the window, or nothing could rise from one window to the next"
            raise ValueError(message)
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

    quantization: Literal["none", "scalar", "binary"] = Field(
        "none", description="Copies of the vectors in int8 or in single bits, which are searched first: 4 or 32 times less memory."
    )
    oversampling: float = Field(
        3.0, ge=1, description="With quantization: times as many candidates are found with it and rescored with the whole vectors."
    )
    on_disk: bool = Field(default=False, description="Leave whole vectors on disk; with quantization that saves memory.")
    on_disk_payload: bool = Field(default=False, description="Leave texts and metadata on disk.")
    hnsw_m: int = Field(16, ge=0, description="Edges of a vector in the search graph.")
    hnsw_ef_construct: int = Field(100, ge=4, description="Neighbours considered for them.")
    payload_indexes: dict[Annotated[str, StringConstraints(pattern=_FIELD)], PayloadType] = Field(
        default_factory=dict, description='Fields that filters ask about often, by type, such as {"metadata.year": "integer"}.'
    )


class EdgeSettings(_Section):
    """Qdrant Edge: the engine inside this process, its files under `data_dir`."""

    engine: Literal["edge"] = "edge"


class ServerSettings(_Section):
    """A Qdrant server or cluster."""

    engine: Literal["qdrant"] = "qdrant"
    url: str = Field("http://127.0.0.1:6333", description="https:// for TLS.")
    api_key: SecretStr | None = None
    grpc: bool = Field(default=False, description="Speak gRPC for points, at `grpc_port`.")
    grpc_port: PositiveInt = 6334
    timeout_s: PositiveInt = Field(10, description="Seconds until a request counts as lost.")
    ca_file: Path | None = Field(None, description="Certificate authority of the server, for TLS with a private one.")
    shards: PositiveInt | None = Field(None, description="Of a collection that is made; None: the server's choice.")
    replicas: PositiveInt | None = Field(None, description="Copies of each shard; None: the server's choice.")
    write_consistency: PositiveInt | None = Field(None, description="Replicas that confirm a write; None: the server's choice.")


class MemorySettings(_Section):
    """A collection that is gone with the process; exact and slow, for tests."""

    engine: Literal["memory"] = "memory"


class ChunkingSettings(_Section):
    """How documents are cut into passages, in the embedder's tokens."""

    tokens: int = Field(200, ge=16, description="The longest passage, title included.")
    overlap: NonNegativeInt = Field(30, description="Tokens a passage repeats of the one before.")
    max_characters: PositiveInt = Field(4_000_000, description="A longer document is rejected.")


class IngestionSettings(_Section):
    """How documents are brought in."""

    patience_s: NonNegativeFloat = Field(120, description="Seconds that one request may fail before a run is given up; 0: none.")


class _DotEnv(DotEnvSettingsSource):
    """A `.env` file is shared with other programs: what does not carry our prefix is theirs."""

    def __call__(self) -> dict[str, Any]:
        known = self.settings_cls.model_fields
        return {name: value for name, value in super().__call__().items() if name in known or name.startswith("search_")}


class Settings(BaseSettings):
    """All settings.

    Unknown names in the environment are let pass, for they may be other programs'; `unknown_names` tells them.

    Raises:
        InvalidSettings: a value out of range, or an unknown name in arguments, `.env` or search.toml.
    """

    model_config = SettingsConfigDict(
        env_prefix="SEARCH_",
        env_nested_delimiter="__",
        env_file=".env",
        toml_file="search.toml",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    data_dir: Path = Field(default_factory=lambda: Path.home() / ".local/share/two-stage-search")
    collection: str = Field("documents", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    index: Annotated[EdgeSettings | ServerSettings | MemorySettings, Field(discriminator="engine")] = EdgeSettings()
    storage: StorageSettings = StorageSettings()
    embedder: EmbedderSettings = EmbedderSettings()
    reranker: RerankerSettings = CrossEncoderSettings()
    chunking: ChunkingSettings = ChunkingSettings()
    ingestion: IngestionSettings = IngestionSettings()
    device: Device = Field("auto", description="auto: CUDA if this environment has it, else CPU. cuda: never anything else.")
    cuda: CudaSettings = CudaSettings()
    threads: PositiveInt | None = Field(None, description="Threads a model may use; None: all cores.")
    model_cache: Path = Field(
        default_factory=lambda: Path.home() / ".cache/two-stage-search",
        description="Where downloads are kept: FastEmbed's models, and checkpoints to export.",
    )
    limit: PositiveInt = Field(10, description="Hits returned.")
    depth: PositiveInt = Field(20, description="Candidates retrieved and reranked.")
    budget_ms: PositiveFloat | None = Field(
        None, description="Time for a search; what is not reranked by then keeps retrieval order."
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
            message = f"invalid settings: {problems}. See `search --help` and README.md for what can be set"
            raise InvalidSettings(message) from error
        except (ValueError, OSError) as error:  # a search.toml or .env that cannot be parsed
            message = f"settings cannot be read: {error}"
            raise InvalidSettings(message) from error

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Add `search.toml` below the environment; read `.env` with other programs' names left out."""
        return init_settings, env_settings, _DotEnv(settings_cls), TomlConfigSettingsSource(settings_cls)


def varied(settings: Settings, changes: Mapping[str, str]) -> Settings:
    """The settings with another depth, or another reranker or one used otherwise.

    Args:
        settings: what the rest comes from.
        changes: by name, such as "depth" or "reranker.weight"; another "reranker.kind" starts from that kind's defaults.

    Raises:
        InvalidSettings: another name, or a value out of range.
    """
    chosen = {name.removeprefix("reranker."): value for name, value in changes.items() if name.startswith("reranker.")}
    if other := sorted(name for name in changes if name != "depth" and not name.startswith("reranker.")):
        message = f"{other[0]!r} cannot differ within one evaluation; depth and reranker.… can, such as reranker.weight=0.5"
        raise InvalidSettings(message)
    kind = chosen.get("kind", settings.reranker.kind)
    base = dict(settings.reranker) if kind == settings.reranker.kind else {"kind": kind}
    try:
        reranker = TypeAdapter[Any](RerankerSettings).validate_python(base | chosen)
        depth = TypeAdapter(PositiveInt).validate_python(changes.get("depth", settings.depth))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'depth'}: {e['msg']}" for e in error.errors(include_input=False))
        message = f"{' '.join(f'{name}={value}' for name, value in changes.items())}: {problems}"
        raise InvalidSettings(message) from error
    return settings.model_copy(update={"reranker": reranker, "depth": depth})


def unknown_names() -> list[str]:
    """Environment variables that begin like our settings and are none: misspelt, or of another program."""
    prefix = str(Settings.model_config["env_prefix"])
    names = [name for name in os.environ if name.startswith(prefix)]
    return sorted(name for name in names if name.removeprefix(prefix).lower().partition("__")[0] not in Settings.model_fields)
