"""Every choice a user can make, in one place: the only reader of the environment, `.env` and `search.toml`.

Sources, strongest first: arguments, environment (`SEARCH_EMBEDDER__MODEL=…`), `.env` and `search.toml` in the working folder
(or, instead of the latter, a file that SEARCH_CONFIG names), the user's own `~/.config/two-stage-search/search.toml`, defaults.
What the files in the working folder may not decide stands in `files.py`.
"""

import contextlib
import io
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, get_origin

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from search.documents import Retrieval, encodable
from search.errors import InvalidSettings
from search.settings.files import SettingsFile, check_consent, settings_files
from search.settings.problems import Place, of_chosen_kinds, problems
from search.settings.sections import (
    ActiveDevice,
    CausalSettings,
    ChatSettings,
    ChunkingSettings,
    CollectionSettings,
    ContextSettings,
    CrossEncoderSettings,
    CudaSettings,
    Device,
    EdgeSettings,
    EmbedderSettings,
    IngestionSettings,
    KeySettings,
    LayoutSettings,
    LexicalSettings,
    MemorySettings,
    NamedPath,
    NoReranker,
    PayloadType,
    RerankerSettings,
    Scope,
    ServerSettings,
    ServiceSettings,
    StorageSettings,
    checked_tenant,
    shown_value,
    true_is_no_number,
)
from search.settings.variables import BETWEEN, PREFIX, names_in, read_variables, unknown
from search.system.caches import CACHE
from search.system.files import replacing_file

__all__ = [
    "COLLECTION_NAME",
    "LONGEST_COLLECTION_NAME",
    "MOST_HITS",
    "ActiveDevice",
    "CausalSettings",
    "ChatSettings",
    "ChunkingSettings",
    "CollectionSettings",
    "ContextSettings",
    "CrossEncoderSettings",
    "CudaSettings",
    "Device",
    "EdgeSettings",
    "EmbedderSettings",
    "IngestionSettings",
    "KeySettings",
    "LayoutSettings",
    "LexicalSettings",
    "MemorySettings",
    "NoReranker",
    "PayloadType",
    "RerankerSettings",
    "Scope",
    "ServerSettings",
    "ServiceSettings",
    "Settings",
    "StorageSettings",
    "check_tenancy",
    "checked_collection",
    "checked_tenant",
    "child_environment",
    "declared_indexes",
    "embedder_of",
    "files_read",
    "section_of",
    "unknown_names",
    "variable",
    "varied",
]


_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"  # of a collection that this package makes
_PIECE = r"[^\x00-\x1f\x7f/\\]"
# Of any that a Qdrant server may have; not "." nor "..", which lead elsewhere in a URL.
COLLECTION_NAME = rf"^(?:\.{{0,2}}[^\x00-\x1f\x7f/\\.]{_PIECE}*|\.\.\.{_PIECE}*)$"
LONGEST_COLLECTION_NAME = 255
MOST_HITS = 2**31 - 1  # or candidates, that an engine is asked for


def _of_a_collection(name: str) -> str:
    if not re.fullmatch(COLLECTION_NAME, name) or len(name) > LONGEST_COLLECTION_NAME or not encodable(name):
        shown = name.encode(errors="replace").decode()[:100]
        raise ValueError(
            f"no collection is called {shown!r}: a name has 1 to 255 characters, no slash, no control character, and is not . or .."
        )
    return name


class _Environment(EnvSettingsSource):
    """Variables, of which most say nothing where they are empty."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return read_variables(os.environ, self.settings_cls)

    def decode_complex_value(self, field_name: str, field: FieldInfo | None, value: Any) -> Any:
        """What is written as JSON; ValueError with the variable's name if it is none."""
        try:
            return super().decode_complex_value(field_name, field, value)  # type: ignore[arg-type]  # none of a name of the user's
        except ValueError as error:
            ours = re.compile(rf"search_(?:\w+__)?{re.escape(field_name)}", re.IGNORECASE)
            named = (name for name, said in self.env_vars.items() if said is value and ours.fullmatch(name))
            variable = next(named, field_name).upper()
            form = '["one", "two"]' if field and get_origin(field.annotation) in {tuple, frozenset} else '{"name": "value"}'
            raise ValueError(f"{variable} is to be JSON, such as {form}") from error


class _DotEnv(_Environment, DotEnvSettingsSource):
    """A `.env` file is shared with other programs: what is no setting of ours is theirs."""

    def __init__(self, settings_cls: type[BaseSettings], file: SettingsFile) -> None:
        self._text = file.text() or ""
        super().__init__(settings_cls)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return read_variables(dotenv_values(stream=io.StringIO(self._text)), self.settings_cls)

    def __call__(self) -> dict[str, Any]:
        known = self.settings_cls.model_fields
        return {name: value for name, value in super().__call__().items() if name in known}


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError as error:
        raise InvalidSettings("there is no home folder: set HOME, or data_dir (SEARCH_DATA_DIR)") from error


def _cache() -> Any:
    """Where downloads are kept in a home folder, if there is one."""
    with contextlib.suppress(InvalidSettings):
        return _home() / CACHE


class Settings(BaseSettings):
    """All settings.

    Unknown names in the environment and in `.env` are let pass, for they may be other programs'; `unknown_names` tells them.

    Raises:
        InvalidSettings: a value out of range, an unknown name in arguments, search.toml or a section, or a file that cannot be read
            or says what it may not.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=BETWEEN,
        extra="forbid",
        allow_inf_nan=False,
        frozen=True,
        hide_input_in_errors=True,  # it may be a key
        nested_model_default_partial_update=True,
    )

    config: Path | None = Field(None, description="A file of settings to read instead of search.toml; no file may name one.")
    data_dir: NamedPath = Field(
        default_factory=lambda: _home() / ".local/share/two-stage-search", description="The folder of the embedded collections."
    )
    collection: Annotated[str, AfterValidator(_of_a_collection)] = Field(
        "documents", description="The collection that is searched and written."
    )
    index: Annotated[EdgeSettings | ServerSettings | MemorySettings, Field(discriminator="engine")] = EdgeSettings()
    storage: StorageSettings = StorageSettings()
    tenant_field: str | None = Field(
        None,
        pattern=r"^metadata(\.[A-Za-z0-9_-]+)+$",
        description="Where documents say whose they are, in collections that several customers share, such as metadata.customer; "
        "everything is then read and written for one tenant.",
    )
    tenant: Annotated[str, AfterValidator(checked_tenant)] | None = Field(
        None, description="The one whose documents are read and written, where `tenant_field` is set; None: each request names it."
    )
    collections: dict[str, CollectionSettings] = Field(
        {}, description="By name, what holds for one collection alone; in a variable capitals alone are small letters."
    )
    embedder: EmbedderSettings = EmbedderSettings()
    lexical: LexicalSettings = LexicalSettings()
    reranker: RerankerSettings = CrossEncoderSettings()
    context: ContextSettings = ContextSettings()
    chunking: ChunkingSettings = ChunkingSettings()
    ingestion: IngestionSettings = IngestionSettings()
    service: ServiceSettings = ServiceSettings()
    client_key: SecretStr | None = Field(None, description="The key by which commands ask a running service (--url).")
    device: Device = Field("auto", description="auto: CUDA if this environment has it, else CPU. cuda: never anything else.")
    cuda: CudaSettings = CudaSettings()
    threads: PositiveInt | None = Field(
        None, le=65_535, description="Threads a model may use, no more than there are cores; None: all cores."
    )
    model_cache: NamedPath = Field(
        default_factory=_cache,
        validate_default=True,
        description="Where downloads are kept: FastEmbed's models, and checkpoints to export; without a home folder models/ of "
        "`data_dir`.",
    )
    limit: PositiveInt = Field(10, le=MOST_HITS, description="Hits returned.")
    retrieval: Retrieval = Field("hybrid", description="How passages are found: by vectors and words, or by one of them.")
    depth: PositiveInt = Field(20, le=MOST_HITS, description="Candidates retrieved and reranked.")
    budget_ms: PositiveFloat | None = Field(
        None, description="Time for a search; what is not reranked by then keeps retrieval order."
    )

    _numbers = model_validator(mode="before")(true_is_no_number)

    @field_validator("model_cache", mode="before")
    @classmethod
    def _beside_data_without_a_home(cls, value: Any, info: ValidationInfo) -> Any:
        return info.data.get("data_dir", Path()) / "models" if value is None else value

    @field_validator("config", mode="before")
    @classmethod
    def _named_or_none(cls, value: Any) -> Any:
        return value or None  # an empty variable names nothing

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            wrong = problems(error, Settings, self._places(values))
            raise InvalidSettings(f"invalid settings: {wrong}. `search settings` lists what can be set") from error
        except (ValueError, OSError) as error:  # a variable that cannot be parsed
            reason = error.__cause__ if isinstance(error, SettingsError) else error
            raise InvalidSettings(f"settings cannot be read: {reason}") from error
        checked_collection(self.collection, self.index)
        bound = next((name for name, key in self.service.api_keys.items() if key.tenant is not None), None)
        if bound is not None and self.tenant_field is None:  # it would see everything
            raise InvalidSettings(f"the key {bound} is for a tenant, and tenant_field does not say where documents name theirs")
        if isinstance(self.index, ServerSettings) and self.index.shard_key is not None and self.tenant_field is None:
            raise InvalidSettings("index.shard_key shards by tenants, and tenant_field does not say where documents name theirs")

    @classmethod
    def _places(cls, values: dict[str, Any]) -> list[Place]:
        """What says what, for messages, strongest first."""
        source = _Environment(cls)
        environment = source()
        files = _files(values.get("config") or environment.get("config"))
        said = [_DotEnv(cls, files[0])(), *(one.table() for one in files[1:])]
        return [
            Place(values, ""),
            Place(environment, "the environment", source.env_vars.keys()),
            *(Place(table, str(one.path)) for table, one in zip(said, files, strict=True)),
        ]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Add files below the environment, if they say nothing that they may not; of `.env`, leave out other programs' names."""
        environment = _Environment(settings_cls)
        files = _files(init_settings().get("config") or environment().get("config"))
        tables = [InitSettingsSource(settings_cls, one.table()) for one in files[1:]]
        sources = (init_settings, environment, _DotEnv(settings_cls, files[0]), *tables)
        said = [source() for source in sources]
        kept = of_chosen_kinds(settings_cls, said)
        check_consent(list(zip(kept, [None, None, *files], strict=True)))
        of_each = zip(sources, said, kept, strict=True)
        return tuple(source if own == left else InitSettingsSource(settings_cls, left) for source, own, left in of_each)


def files_read(settings: Settings) -> list[SettingsFile]:
    """The files that settings as these are read from here, of those that are there."""
    return [file for file in _files(settings.config) if file.is_there()]


def _files(named: Any) -> list[SettingsFile]:
    """Where settings are read from, if an argument or the environment names a file of them, or if none does."""
    return settings_files(Path(named) if named else None, _config_home())


@contextlib.contextmanager
def adding_to_own(section: str) -> Iterator[Path]:
    """A further section of the user's own file of settings, which is made where there is none.

    Args:
        section: as TOML has it, with its heading.

    Yields:
        The file, which only the user may read; the section stands in it once the block has ended without an error.

    Raises:
        InvalidSettings: the file cannot be read or written, has the section already, or others may write it; or there is nowhere to
            keep one. It is as it was.
    """
    home = _config_home()
    if home is None:
        raise InvalidSettings("there is no home folder to keep settings in: set HOME or XDG_CONFIG_HOME")
    own = settings_files(None, home)[-1]
    if own.reason:
        raise InvalidSettings(f"{own.path}: {own.reason}")
    own.table()  # whose own faults come first
    text = f"{(own.text() or '').rstrip()}\n\n{section}\n".lstrip()
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        heading = section.splitlines()[0]
        message = f"{own.path} has {heading}, or what stands in its place: choose another name, or take that out first"
        raise InvalidSettings(message) from error
    with contextlib.ExitStack() as writing:
        with _written(own.path):
            own.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            writing.enter_context(replacing_file(own.path.resolve(), text, mode=0o600))
        yield own.path
        with _written(own.path):
            writing.close()


@contextlib.contextmanager
def _written(file: Path) -> Iterator[None]:
    """Around a step of writing a file of settings: InvalidSettings if that fails."""
    try:
        yield
    except OSError as error:
        raise InvalidSettings(f"{file} cannot be written: {error.strerror}") from error


def _config_home() -> Path | None:
    try:
        return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    except RuntimeError:  # nobody's home
        return None


def varied(settings: Settings, changes: Mapping[str, str]) -> Settings:
    """The settings with another depth or retrieval, or another reranker or one used otherwise.

    Args:
        settings: what the rest comes from.
        changes: by name, such as "depth", "retrieval" or "reranker.weight"; another "reranker.kind" starts from its defaults.

    Raises:
        InvalidSettings: another name, or a value out of range.
    """
    chosen = {name.removeprefix("reranker."): value for name, value in changes.items() if name.startswith("reranker.")}
    if other := sorted(name for name in changes if name not in {"depth", "retrieval"} and not name.startswith("reranker.")):
        message = (
            f"{other[0]!r} cannot differ within one evaluation; depth, retrieval and reranker.… can, such as reranker.weight=0.5"
        )
        raise InvalidSettings(message)
    kind = chosen.get("kind", settings.reranker.kind)
    base = dict(settings.reranker) if kind == settings.reranker.kind else {"kind": kind}
    wanted = {"reranker": base | chosen, "depth": changes.get("depth", settings.depth)}
    wanted["retrieval"] = changes.get("retrieval", settings.retrieval)
    kinds: dict[str, Any] = {"reranker": RerankerSettings, "depth": PositiveInt, "retrieval": Retrieval}
    checked = {}
    for name, value in wanted.items():
        try:
            checked[name] = TypeAdapter[Any](kinds[name]).validate_python(value)
        except ValidationError as error:
            message = f"{' '.join(shown_changes(changes))}: {problems(error, Settings, within=(name,))}"
            raise InvalidSettings(message) from None  # the cause would repeat a key
    return settings.model_copy(update=checked)


def shown_changes(changes: Mapping[str, str]) -> list[str]:
    """What differs, as messages and reports may show it: no key, and no password in a URL."""
    return [f"{name}={'…' if name.endswith('key') else shown_value(name, value)}" for name, value in changes.items()]


def check_tenancy(field: str | None, tenant: str | None) -> None:
    """Refuse a tenant that nothing would be bound to.

    Raises:
        InvalidSettings: no field is named, or it is no name.
    """
    if tenant is None:
        return
    given: Any = tenant
    if not isinstance(given, str):
        raise InvalidSettings(f"a tenant's name is a string, not a {type(given).__name__}")
    if field is None:
        raise InvalidSettings(
            f"for the tenant {tenant!r:.100} alone, and in which field documents name theirs is not said: set tenant_field "
            "(SEARCH_TENANT_FIELD=metadata.customer)"
        )
    try:
        checked_tenant(tenant)
    except ValueError as error:
        raise InvalidSettings(str(error)) from error


def checked_collection(name: str, index: EdgeSettings | ServerSettings | MemorySettings | None = None) -> str:
    """The name of a collection, if it can be one.

    Args:
        name: what is asked for.
        index: the engine, where the collection may be somebody else's: a server has names that this package gives to none. None for
            a collection or an alias that is made.

    Raises:
        InvalidSettings: it cannot.
    """
    if not isinstance(name, str):
        raise InvalidSettings(f"a collection's name is a string, not a {type(name).__name__}")
    if isinstance(index, ServerSettings):
        try:
            return _of_a_collection(name)
        except ValueError as error:
            raise InvalidSettings(str(error)) from error
    if not re.fullmatch(_NAME, name):
        message = f"{name[:100]!r} cannot name a collection; use letters, digits, points, hyphens and underscores, 100 at most"
        raise InvalidSettings(message)
    return name


def embedder_of(settings: Settings, collection: str | None = None) -> EmbedderSettings:
    """Which model turns text into vectors for a collection, the settings' own if none is named. Prompts are those of one model."""
    chosen = settings.collections.get(collection or settings.collection)
    if chosen is None:
        return settings.embedder
    prompts = {"query_prompt": chosen.query_prompt, "passage_prompt": chosen.passage_prompt}
    if chosen.embedder not in {None, settings.embedder.model}:
        return settings.embedder.model_copy(update={"model": chosen.embedder, **prompts})
    return settings.embedder.model_copy(update={name: prompt for name, prompt in prompts.items() if prompt is not None})


def declared_indexes(settings: Settings) -> dict[str, str]:
    """The fields that these settings want indexed, by type: those that filters ask about, and that of the tenants."""
    of_tenants = {} if settings.tenant_field is None else {settings.tenant_field: "keyword"}
    return {**settings.storage.payload_indexes, **of_tenants}


def section_of(collection: str) -> str:
    """The section of search.toml that is about one collection, for messages."""
    name = collection if re.fullmatch(r"[A-Za-z0-9_-]+", collection) else json.dumps(collection, ensure_ascii=False)
    return f"[collections.{name}]"


def variable(name: str) -> str:
    """A variable of a library's, as it stands in the environment now; empty if it does not."""
    return os.environ.get(name, "")


def child_environment(**more: str) -> dict[str, str]:
    """The environment of a process that reads what others wrote: what Python needs to start, and no secrets."""
    needed = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME")
    return {name: os.environ[name] for name in needed if name in os.environ} | more


def unknown_names() -> list[str]:
    """What of the environment and of `.env` says nothing: in words.

    Names that begin like our settings and are none, misspelt or of another program, and lines that cannot be read.

    Raises:
        InvalidSettings: `.env` cannot be read.
    """
    dotenv = settings_files(None, None)[0]
    names, lines = names_in(dotenv.text() or "")
    places = {"the environment variable {}": os.environ, f"{{}} in {dotenv.path}": names}
    return [
        *(
            f"{place.format(name)} is no setting of this program{f' (did you mean {meant}?)' if meant else ''}"
            for place, names in places.items()
            for name, meant in unknown(names, Settings).items()
        ),
        *(f"line {line} of {dotenv.path} cannot be read" for line in lines),
    ]
