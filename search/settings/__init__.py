"""Every choice a user can make, in one place: the only reader of the environment, `.env` and `search.toml`.

Sources, strongest first: arguments, environment (`SEARCH_EMBEDDER__MODEL=…`), `.env`, `search.toml` in the
working folder, defaults.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr, TypeAdapter, ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from search.errors import InvalidSettings
from search.settings.sections import (
    ActiveDevice,
    CausalSettings,
    ChatSettings,
    ChunkingSettings,
    CrossEncoderSettings,
    CudaSettings,
    Device,
    EdgeSettings,
    EmbedderSettings,
    IngestionSettings,
    KeySettings,
    MemorySettings,
    NoReranker,
    PayloadType,
    RerankerSettings,
    Scope,
    ServerSettings,
    ServiceSettings,
    StorageSettings,
)

__all__ = [
    "ActiveDevice",
    "CausalSettings",
    "ChatSettings",
    "ChunkingSettings",
    "CrossEncoderSettings",
    "CudaSettings",
    "Device",
    "EdgeSettings",
    "EmbedderSettings",
    "IngestionSettings",
    "KeySettings",
    "MemorySettings",
    "NoReranker",
    "PayloadType",
    "RerankerSettings",
    "Scope",
    "ServerSettings",
    "ServiceSettings",
    "Settings",
    "StorageSettings",
    "checked_collection",
    "telemetry_off",
    "unknown_names",
    "varied",
]


_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"  # of a collection

# Libraries that report home unless they are told otherwise read these when they are imported, and child processes inherit them.
# ONNX Runtime makes a device id and queues its first event on import; the hub's client says in each download what runs here.
_TELEMETRY_SWITCHES = ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY")
for _switch in _TELEMETRY_SWITCHES:
    if not os.environ.get(_switch):
        os.environ[_switch] = "1"


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
    collection: str = Field("documents", pattern=_NAME)
    index: Annotated[EdgeSettings | ServerSettings | MemorySettings, Field(discriminator="engine")] = EdgeSettings()
    storage: StorageSettings = StorageSettings()
    embedder: EmbedderSettings = EmbedderSettings()
    reranker: RerankerSettings = CrossEncoderSettings()
    chunking: ChunkingSettings = ChunkingSettings()
    ingestion: IngestionSettings = IngestionSettings()
    service: ServiceSettings = ServiceSettings()
    client_key: SecretStr | None = Field(None, description="For commands that ask a running service (--url).")
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


def checked_collection(name: str) -> str:
    """The name of a collection, if it can be one.

    Raises:
        InvalidSettings: it cannot.
    """
    if not re.fullmatch(_NAME, name):
        message = f"{name[:100]!r} cannot name a collection; use letters, digits, points, hyphens and underscores, 100 at most"
        raise InvalidSettings(message)
    return name


def unknown_names() -> list[str]:
    """Environment variables that begin like our settings and are none: misspelt, or of another program."""
    prefix = str(Settings.model_config["env_prefix"])
    names = [name for name in os.environ if name.startswith(prefix)]
    return sorted(name for name in names if name.removeprefix(prefix).lower().partition("__")[0] not in Settings.model_fields)


def telemetry_off() -> bool:
    """Whether ONNX Runtime's telemetry stays off: always, unless the environment says otherwise (ORT_DISABLE_TELEMETRY=0)."""
    return os.environ.get("ORT_DISABLE_TELEMETRY", "").lower() in {"1", "true", "yes", "on"}
