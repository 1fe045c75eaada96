"""Settings come from arguments, environment, .env and search.toml, in that order, and mistakes are named."""

import functools
import json
import math
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import error, search

from search.errors import InvalidSettings
from search.factory import build_collections, build_reranker
from search.index.edge.index import EdgeIndex
from search.index.server.index import QdrantIndex
from search.settings import (
    ChatSettings,
    CrossEncoderSettings,
    EdgeSettings,
    NoReranker,
    ServerSettings,
    Settings,
    StorageSettings,
    files_read,
    unknown_names,
    varied,
)


def test_defaults() -> None:
    settings = Settings()
    assert isinstance(settings.index, EdgeSettings)
    assert isinstance(settings.reranker, CrossEncoderSettings)
    assert (settings.limit, settings.depth, settings.device) == (10, 20, "auto")


def test_the_stronger_source_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "search.toml").write_text(
        'limit = 1\ndepth = 11\ncollection = "toml"\n[embedder]\nmodel = "toml"\nbatch_tokens = 7\n'
    )
    (tmp_path / ".env").write_text("SEARCH_LIMIT=2\nSEARCH_EMBEDDER__MODEL=dotenv\nSOMETHING_ELSE=1\n")
    monkeypatch.setenv("SEARCH_LIMIT", "3")
    settings = Settings(collection="argument")
    assert (settings.collection, settings.limit, settings.depth) == ("argument", 3, 11)
    assert (settings.embedder.model, settings.embedder.batch_tokens) == ("dotenv", 7)


def test_a_server_by_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH_INDEX__ENGINE", "qdrant")
    monkeypatch.setenv("SEARCH_INDEX__URL", "http://127.0.0.1:7000")
    monkeypatch.setenv("SEARCH_INDEX__API_KEY", "s3cret")
    monkeypatch.setenv("SEARCH_RERANKER__KIND", "none")
    settings = Settings()
    assert isinstance(settings.index, ServerSettings)
    assert isinstance(settings.reranker, NoReranker)
    assert settings.index.api_key
    assert settings.index.api_key.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(settings)
    assert build_reranker(settings) is None
    index = build_collections(settings).named(settings.collection, settings.storage)
    assert isinstance(index, QdrantIndex)
    assert index.location == "http://127.0.0.1:7000"
    index.close()


@pytest.mark.parametrize(("given", "kind"), [({"engine": "edge"}, EdgeIndex), ({"engine": "memory"}, QdrantIndex)])
def test_every_engine_is_built(given: dict[str, Any], kind: type, tmp_path: Path) -> None:
    index = build_collections(Settings(index=given, data_dir=tmp_path)).named("documents", StorageSettings())
    assert isinstance(index, kind)
    index.close()


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "unknown name": ({"colection": "x"}, "colection"),
    "unknown name inside": ({"embedder": {"modell": "x"}}, r"embedder\.modell"),
    "unknown engine": ({"index": {"engine": "faiss"}}, "index"),
    "passages of nothing": ({"chunking": {"tokens": 1}}, r"chunking\.tokens"),
    "zero": ({"limit": 0}, "limit"),
    "weight above one": ({"reranker": {"kind": "cross-encoder", "weight": 1.5}}, "weight"),
    "device": ({"device": "tpu"}, "device"),
    "collection that is a path": ({"collection": "../other"}, "collection"),
    "truth for a whole number": ({"depth": True}, "depth is to be a whole number"),
    "truth for a number": ({"budget_ms": True}, "budget_ms is to be a number"),
    "truth for a number inside": ({"service": {"port": True}}, r"service\.port is to be a whole number"),
    "truth for a number or a word": (
        {"index": {"engine": "qdrant", "read_consistency": True}},
        r"index\.read_consistency is to be a whole number; index\.read_consistency: Input should be 'majority'",
    ),
    "without an end": ({"budget_ms": math.inf}, "budget_ms: Input should be a finite number"),
    "without an end inside": ({"service": {"queue_s": math.inf}}, r"service\.queue_s: Input should be a finite number"),
    "more than any clock tells": ({"service": {"shutdown_s": 10**30}}, r"service\.shutdown_s: Input should be less than"),
    "more than any clock tells, a file": ({"ingestion": {"file_seconds": 1e300}}, r"file_seconds: Input should be less than"),
    "more than any clock tells, a server": (
        {"index": {"engine": "qdrant", "timeout_s": 10**10}},
        r"timeout_s: Input should be less",
    ),
    "more memory than there is": ({"ingestion": {"file_memory_mb": 10**30}}, r"file_memory_mb: Input should be less than"),
    "no port": ({"index": {"engine": "qdrant", "grpc_port": 65_536}}, r"grpc_port: Input should be less than"),
    "more than an engine is asked for": ({"depth": 2**31}, "depth: Input should be less than"),
    "host without a name": ({"service": {"host": ""}}, r"service\.host: String should have at least 1 character"),
    "no field": ({"storage": {"payload_indexes": {"year": "integer"}}}, r"storage\.payload_indexes\.year: String should match"),
    "no field among several": ({"lexical": {"fields": ["metadata.a", 3]}}, r"lexical\.fields\.1: Input should be a valid string"),
    "no list": ({"service": {"hosts": "a"}}, r'service\.hosts is to be a list, such as \["one", "two"\]'),
    "no section": ({"service": 3}, r'service is to be a table, such as \{"name": "value"\}'),
}


@pytest.mark.parametrize("name", INVALID)
def test_mistakes_are_named(name: str) -> None:
    given, message = INVALID[name]
    with pytest.raises(InvalidSettings, match=message):
        Settings(**given)


def test_mistakes_in_the_environment_and_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCH_DEPTH", "many")
    with pytest.raises(InvalidSettings, match="depth"):
        Settings()
    monkeypatch.delenv("SEARCH_DEPTH")
    (tmp_path / "search.toml").write_text("limit = 3\ncolour = 1\n")
    with pytest.raises(InvalidSettings, match="colour"):
        Settings()
    (tmp_path / "search.toml").unlink()
    (tmp_path / ".env").write_text("SEARCH_EMBEDDER__COLOUR=1\n")
    with pytest.raises(InvalidSettings, match=r"embedder\.colour \(in \.env\) is no setting"):
        Settings()
    (tmp_path / ".env").unlink()
    for name in ("SERVICE__API_KEYS__A", "COLLECTIONS__A"):  # a table by a name of the user's
        with monkeypatch.context() as patch:
            patch.setenv(f"SEARCH_{name}", "s3cret")
            place = rf"{name.replace('__', '.').lower()} \(in the environment, SEARCH_{name}\)"
            with pytest.raises(InvalidSettings, match=rf"^invalid settings: {place} is to be a table, such as "):
                Settings()
    (tmp_path / "search.toml").write_text("limit = \n")
    with pytest.raises(InvalidSettings, match="cannot be read"):
        Settings()


@pytest.mark.parametrize(
    "given",
    [
        {"index": {"engine": "qdrant", "api_key": "s3cret", "timeout_s": 0}},
        {"client_key": ["s3cret"]},
        {"reranker": {"kind": "chat", "api_key": {"s3cret": 1}}},
        {"service": {"api_keys": {"a": {"sha256": "s3cret"}}}},
    ],
)
def test_secrets_are_not_shown_by_mistakes(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidSettings) as caught:
        Settings(**given)
    shown = "".join(traceback.format_exception(caught.value))  # with what it came from, as a log has it
    assert "s3cret" not in shown


def test_keys_of_another_reranker_are_not_shown_by_mistakes() -> None:
    changes = {"reranker.kind": "chat", "reranker.url": "http://127.0.0.1/v1", "reranker.api_key": "s3cret", "reranker.window": "0"}
    with pytest.raises(InvalidSettings, match=r"reranker\.window=0") as caught:
        varied(Settings(), changes)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("section", [ServerSettings, functools.partial(ChatSettings, url="http://127.0.0.1/v1", model="m")])
def test_a_key_may_stand_in_a_file_of_its_own(section: Callable[..., ServerSettings | ChatSettings], tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("s3cret\n")
    assert section(api_key_file=file).key() == "s3cret"
    assert section(api_key="other", api_key_file=file).key() == "other"
    assert section(api_key="", api_key_file=file).key() == "s3cret"  # as Compose has it for a variable that is not set
    assert (section().key(), section(api_key="").key()) == (None, None)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "key in .* cannot be read: No such file"),
        (b"", "holds no key"),
        (b" \n", "holds no key"),
        (b"\xff\xfe", "key in .* cannot be read: 'utf-8' codec"),
        (b"k" * 10_001, "holds more than a key"),
    ],
)
def test_a_file_without_a_key_is_named(content: bytes | None, reason: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    settings = Settings(index={"engine": "qdrant", "api_key_file": tmp_path / "key"})
    with pytest.raises(InvalidSettings, match=reason) as caught:
        build_collections(settings)
    assert str(tmp_path / "key") in str(caught.value)


def test_passwords_in_urls_are_not_shown() -> None:
    settings = Settings(index={"engine": "qdrant", "url": "http://user:s3cret@127.0.0.1:6333"})
    assert "s3cret" not in f"{settings!r} {settings} {settings.index!r}"
    assert "127.0.0.1:6333" in repr(settings)
    chat = Settings(reranker={"kind": "chat", "url": "http://s3cret@127.0.0.1/v1", "model": "m"})
    assert "s3cret" not in repr(chat)


@pytest.mark.parametrize(
    "url", ["", "localhost:11434/v1", "ftp://a/v1", "http://a/v1?key=s3cret", "http://", "http://s3cret:p", "http://s3cret@[::1/v1"]
)
def test_a_chat_rerankers_url_begins_with_http(url: str) -> None:
    with pytest.raises(InvalidSettings, match=r"reranker\.url: its? ") as caught:
        Settings(reranker={"kind": "chat", "url": url, "model": "m"})
    assert "s3cret" not in str(caught.value)


def write_toml(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


REMOTE: dict[str, tuple[str, str]] = {
    "index.url": ('[index]\nengine = "qdrant"\nurl = "https://evil.example:6333"', "SEARCH_INDEX__URL"),
    "index.urls": ('[index]\nengine = "qdrant"\nurls = ["https://evil.example:6333"]', "SEARCH_INDEX__URLS"),
    "index.ca_file": ('[index]\nca_file = "evil.pem"', "SEARCH_INDEX__CA_FILE"),
    "index.api_key_file": ('[index]\nengine = "qdrant"\napi_key_file = "/etc/passwd"', "SEARCH_INDEX__API_KEY_FILE"),
    "reranker.url": ('[reranker]\nkind = "chat"\nmodel = "m"\nurl = "http://192.0.2.1/v1"', "SEARCH_RERANKER__URL"),
    "reranker.api_key_file": (
        '[reranker]\nkind = "chat"\nmodel = "m"\nurl = "http://127.0.0.1/v1"\napi_key_file = "/etc/passwd"',
        "SEARCH_RERANKER__API_KEY_FILE",
    ),
    "service.traces_url": ('[service]\ntraces_url = "http://127.0.0.1.evil.example"', "SEARCH_SERVICE__TRACES_URL"),
    "service.host": ('[service]\nhost = "0.0.0.0"', "SEARCH_SERVICE__HOST"),
    "service.hosts": ('[service]\nhosts = ["evil.example"]', "SEARCH_SERVICE__HOSTS"),
    "service.origins": ('[service]\norigins = ["https://evil.example"]', "SEARCH_SERVICE__ORIGINS"),
    "service.api_keys.evil": ('[service.api_keys.evil]\nsha256 = "%s"' % ("0" * 64), "SEARCH_SERVICE__API_KEYS"),
    "tenant_field": ('tenant_field = "metadata.evil"', "SEARCH_TENANT_FIELD"),
}
BESIDE = {  # what the user says beside it, and makes it matter
    "index.ca_file": {"SEARCH_INDEX__ENGINE": "qdrant", "SEARCH_INDEX__URL": "https://own.example"},
    "service.api_keys.evil": {"SEARCH_SERVICE__HOST": "0.0.0.0"},  # noqa: S104  # which is what opens it
    "tenant_field": {"SEARCH_SERVICE__HOST": "0.0.0.0"},  # noqa: S104  # likewise
}


@pytest.mark.parametrize("name", REMOTE)
def test_a_working_folder_sends_nothing_elsewhere_and_lets_nobody_in(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, variable = REMOTE[name]
    for one, value in BESIDE.get(name, {}).items():
        monkeypatch.setenv(one, value)
    file = write_toml(tmp_path / "search.toml", text)
    with pytest.raises(InvalidSettings) as caught:
        Settings()
    assert all(words in str(caught.value) for words in (f"search.toml sets {name}", variable, "--config", "SEARCH_CONFIG"))
    own = tmp_path / "config" / "two-stage-search" / "search.toml"
    assert str(own) in str(caught.value)

    named = Settings(config=file)  # by an argument
    monkeypatch.setenv("SEARCH_CONFIG", "search.toml")
    assert Settings().model_copy(update={"config": file}) == named
    monkeypatch.delenv("SEARCH_CONFIG")
    file.rename(write_toml(own, ""))
    assert Settings().model_copy(update={"config": file}) == named  # in the user's own file


@pytest.mark.skipif(os.name != "posix", reason="files have no modes here")
def test_an_own_file_that_others_may_write_is_as_good_as_a_strangers(tmp_path: Path) -> None:
    own = write_toml(tmp_path / "config" / "two-stage-search" / "search.toml", REMOTE["index.url"][0])
    own.chmod(0o646)
    with pytest.raises(InvalidSettings, match="others than you may write it") as refused:
        Settings()
    assert "your own file" not in str(refused.value)  # which is this one
    assert "(search --config FILE …, or SEARCH_CONFIG=FILE), or write it into the environment (SEARCH_INDEX__URL)" in str(
        refused.value
    )
    write_toml(own, "limit = 3")
    assert Settings().limit == 3


def test_what_stays_on_this_machine_is_not_asked_about(tmp_path: Path) -> None:
    lines = ['limit = 3\n[index]\nengine = "qdrant"\nurl = "http://localhost:7000"', "[service]", 'host = "127.0.0.1"']
    lines += ['traces_url = "http://[::1]:4318"', "[service.api_keys.team]", f'sha256 = "{"0" * 64}"']
    write_toml(tmp_path / "search.toml", "\n".join(lines))
    assert Settings().limit == 3


def test_a_dotenv_file_sends_nothing_elsewhere_but_may_be_overruled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for line in ("SEARCH_INDEX__URL=https://evil.example", 'SEARCH_INDEX={"engine": "qdrant", "url": "https://evil.example"}'):
        (tmp_path / ".env").write_text(f"SEARCH_INDEX__ENGINE=qdrant\n{line}\n")
        with pytest.raises(InvalidSettings, match=r"\.env sets index\.url"):
            Settings()
    monkeypatch.setenv("SEARCH_INDEX__URL", "https://own.example")
    settings = Settings()
    assert isinstance(settings.index, ServerSettings)
    assert settings.index.url == "https://own.example"
    assert Settings(index={"url": "https://other.example"}).index != settings.index


def test_files_of_settings_stand_in_their_order(tmp_path: Path) -> None:
    write_toml(tmp_path / "config" / "two-stage-search" / "search.toml", 'limit = 1\ndepth = 11\ncollection = "own"')
    write_toml(tmp_path / "search.toml", 'limit = 2\ncollection = "folder"')
    named = write_toml(tmp_path / "elsewhere" / "mine.toml", 'collection = "named"')
    assert (Settings().limit, Settings().depth, Settings().collection) == (2, 11, "folder")
    assert (Settings(config=named).limit, Settings(config=named).collection) == (1, "named")


def test_no_file_names_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_toml(tmp_path / "search.toml", 'config = "other.toml"')
    with pytest.raises(InvalidSettings, match="names another file"):
        Settings()
    (tmp_path / "search.toml").unlink()
    (tmp_path / ".env").write_text("SEARCH_CONFIG=other.toml")
    with pytest.raises(InvalidSettings, match="names another file"):
        Settings()
    (tmp_path / ".env").unlink()
    with pytest.raises(InvalidSettings, match="there is no file"):
        Settings(config="nowhere.toml")
    monkeypatch.setenv("SEARCH_CONFIG", "")
    assert (Settings().config, files_read(Settings())) == (None, [])


@pytest.mark.parametrize("name", [".env", "search.toml"])
@pytest.mark.timeout(20)
def test_settings_are_read_from_plain_files_only(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    os.mkfifo(file)  # which nobody writes to
    with pytest.raises(InvalidSettings, match=rf"{name} cannot be read: it is a named pipe and no regular file"):
        Settings()
    file.unlink()
    file.symlink_to("/dev/zero")
    with pytest.raises(InvalidSettings, match="no regular file"):
        Settings()
    file.unlink()
    with file.open("wb") as stream:
        stream.truncate(1 << 33)
    with pytest.raises(InvalidSettings, match="longer than a megabyte"):
        Settings()
    file.write_bytes(b"# caf\xe9\n")
    with pytest.raises(InvalidSettings, match=rf"{name} are not UTF-8 at byte 6"):
        Settings()
    file.write_bytes(b"\xef\xbb\xbf" + (b"SEARCH_LIMIT=3" if name == ".env" else b"limit = 3"))  # as Windows' editors begin
    assert Settings().limit == 3
    file.unlink()
    file.mkdir()  # an environment of Python's often is called .env
    assert Settings().limit == 10


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    write_toml(tmp_path / "search.toml", "limit = 3").chmod(0)
    with pytest.raises(InvalidSettings, match=r"search\.toml cannot be read: Permission denied"):
        Settings()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root becomes somebody else")
def test_a_working_folder_that_may_not_be_entered_has_no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nowhere")
    write_toml(tmp_path / "search.toml", "limit = 3")
    tmp_path.chmod(0o700)
    os.seteuid(65534)
    try:
        assert (Settings().limit, files_read(Settings())) == (10, [])
        with pytest.raises(InvalidSettings, match=r"search\.toml cannot be read: Permission denied"):
            Settings(config=Path("search.toml"))
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("said", ["SEARCH_INDEX__ENGINE=edge", 'SEARCH_INDEX={"engine": "edge"}', "search.toml", "an argument"])
def test_who_chooses_a_kind_leaves_what_a_weaker_source_says_of_another(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "config" / "two-stage-search"
    own.mkdir(parents=True)
    write_toml(own / "search.toml", '[index]\nengine = "qdrant"\nurl = "http://a:6333"\n[reranker]\nmodel = "m"\nweight = 0.5')
    assert Settings().index == ServerSettings(url="http://a:6333")
    given: dict[str, Any] = {}
    if said == "search.toml":
        write_toml(tmp_path / said, '[index]\nengine = "edge"\n[reranker]\nkind = "none"')
    elif said == "an argument":
        given = {"index": {"engine": "edge"}, "reranker": {"kind": "none"}}
    else:
        monkeypatch.setenv(*said.split("=", 1))
        monkeypatch.setenv("SEARCH_RERANKER__KIND", "none")
    assert (Settings(**given).index, Settings(**given).reranker) == (EdgeSettings(), NoReranker())
    monkeypatch.setenv("SEARCH_INDEX__URL", "http://b:6333")  # beside the choice, or stronger: that is a mistake
    if said != "an argument":
        with pytest.raises(InvalidSettings, match=r"index\.url .* belongs to index\.engine"):
            Settings()
    monkeypatch.delenv("SEARCH_INDEX__URL")
    write_toml(own / "search.toml", '[index]\nengine = "qdrant"\nurl = "http://a:6333"\nulr = "b"')
    with pytest.raises(InvalidSettings, match=r"index\.ulr"):
        Settings(**given)


def test_an_address_that_is_left_aside_needs_no_consent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_toml(tmp_path / "search.toml", '[index]\nengine = "qdrant"\nurl = "http://a:6333"')
    with pytest.raises(InvalidSettings, match=r"sets index\.url, which sends texts to others"):
        Settings()
    assert Settings(index={"engine": "edge"}).index == EdgeSettings()
    monkeypatch.setenv("SEARCH_INDEX__ENGINE", "edge")
    assert Settings().index == EdgeSettings()


def test_deep_toml_is_no_crash(tmp_path: Path) -> None:
    write_toml(tmp_path / "search.toml", "a = " + "[" * 100_000)
    with pytest.raises(InvalidSettings, match=r"search\.toml"):
        Settings()


def command(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    program = [str(Path(sys.executable).parent / "search"), *arguments]
    return subprocess.run(program, cwd=folder, capture_output=True, text=True, check=False)


def test_the_command_takes_a_named_file_and_doctor_says_which_were_read(tmp_path: Path) -> None:
    file = write_toml(tmp_path / "search.toml", REMOTE["service.hosts"][0] + '\n[index]\nengine = "memory"')
    refused = command("doctor", folder=tmp_path)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("search: search.toml sets service.hosts")
    assert refused.stderr.count("\n") == 1
    told = command("--config", "search.toml", "doctor", folder=tmp_path).stdout
    assert f"{file} (trusted)" in told
    write_toml(file, "limit = 3")
    assert (
        f"{file} (may not send texts elsewhere or let others in: it is in the working folder)"
        in command("doctor", folder=tmp_path).stdout
    )


def test_a_folder_adds_no_key_to_those_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service on loopback may be reached by others, too: through a proxy."""
    monkeypatch.chdir(tmp_path)
    write_toml(tmp_path / "search.toml", REMOTE["service.api_keys.evil"][0])
    assert set(Settings().service.api_keys) == {"evil"}  # alone it lets nobody in who was kept out
    monkeypatch.setenv("SEARCH_SERVICE__API_KEYS", json.dumps({"me": {"sha256": "1" * 64}}))
    with pytest.raises(InvalidSettings, match=r"search\.toml sets service\.api_keys\.evil"):
        Settings()


def test_no_file_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_toml(tmp_path / "search.toml", "limit = 3")
    monkeypatch.setenv("SEARCH_CONFIG", os.devnull)
    assert Settings().limit == 10


PATHS = {
    "data_dir": {},
    "model_cache": {},
    "context.tokenizer": {},
    "index.api_key_file": {"SEARCH_INDEX__ENGINE": "qdrant"},
    "index.ca_file": {"SEARCH_INDEX__ENGINE": "qdrant"},
    "reranker.api_key_file": {
        "SEARCH_RERANKER__KIND": "chat",
        "SEARCH_RERANKER__URL": "http://127.0.0.1/v1",
        "SEARCH_RERANKER__MODEL": "m",
    },
    "service.certificate": {},
    "service.private_key": {},
}


def value_at(settings: Settings, name: str) -> Any:
    return functools.reduce(getattr, name.split("."), settings)


@pytest.mark.parametrize("name", PATHS)
def test_an_empty_path_is_none_and_a_tilde_is_the_home_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty one would be the working folder."""
    monkeypatch.chdir(tmp_path)
    for variable, value in PATHS[name].items():
        monkeypatch.setenv(variable, value)
    variable, default = f"SEARCH_{name.replace('.', '__').upper()}", value_at(Settings(), name)
    (tmp_path / ".env").write_text(f"{variable}=\n")
    assert value_at(Settings(), name) == default
    monkeypatch.setenv(variable, "")
    assert value_at(Settings(), name) == default
    for given, path in [(".", Path()), ("~/x", Path.home() / "x")]:
        monkeypatch.setenv(variable, given)
        assert value_at(Settings(), name) == path
    monkeypatch.setenv(variable, "~nobody-of-this-name/x")
    with pytest.raises(
        InvalidSettings, match=rf"{name} \(in the environment, {variable}\): ~nobody-of-this-name has no home folder"
    ):
        Settings()
    monkeypatch.delenv(variable)
    section, _, key = name.rpartition(".")
    (tmp_path / "search.toml").write_text(f"{f'[{section}]' if section else ''}\n{key} = ''\n")
    with pytest.raises(InvalidSettings, match=rf"{name} \(in search.toml\): the path is empty; the working folder is \."):
        Settings()


EMPTY = [
    "collections",
    "cuda.shrink",
    "device",
    "index",
    "index.engine",
    "index.urls",
    "lexical.fields",
    "limit",
    "reranker.kind",
    "reranker.weight",
    "service.hosts",
    "service.origins",
    "storage",
    "storage.payload_indexes",
]


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_variable_says_nothing(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As Compose has it for a variable that is not set."""
    if name == "index.urls":
        monkeypatch.setenv("SEARCH_INDEX__ENGINE", "qdrant")
    default, variable = value_at(Settings(), name), f"SEARCH_{name.replace('.', '__').upper()}"
    (tmp_path / ".env").write_text(f"{variable}=\n")
    assert value_at(Settings(), name) == default
    monkeypatch.setenv(variable, "")
    assert value_at(Settings(), name) == default


@pytest.mark.parametrize("name", ["TENANT", "TENANT_FIELD", "SERVICE__API_KEYS", "SERVICE__HOST", "COLLECTION"])
def test_an_empty_variable_of_what_guards_or_of_a_text_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"SEARCH_{name}", "")
    with pytest.raises(InvalidSettings, match=rf"in the environment, SEARCH_{name}\)"):
        Settings()


def test_an_empty_variable_of_the_service_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """For its keys may have stood there."""
    monkeypatch.setenv("SEARCH_SERVICE__HOST", "")
    monkeypatch.setenv("SEARCH_SERVICE", "")
    with pytest.raises(InvalidSettings, match="SEARCH_SERVICE is to be JSON"):
        Settings()


def test_an_empty_text_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SEARCH_EMBEDDER__QUERY_PROMPT", "SEARCH_COLLECTIONS__THEIRS__TITLE", "SEARCH_CLIENT_KEY"):
        monkeypatch.setenv(name, "")
    settings = Settings()
    assert (settings.embedder.query_prompt, settings.collections["theirs"].title) == ("", "")


@pytest.mark.parametrize("in_a_file", [False, True])
def test_names_of_the_users_have_their_capitals_in_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, in_a_file: bool
) -> None:
    said = {
        "SEARCH_COLLECTIONS__Books__vector": "dense",
        "SEARCH_COLLECTIONS__OTHERS__VECTOR": "dense",
        "Search_Service__Api_Keys__Team-A__SHA256": "0" * 64,
        "SEARCH_STORAGE__PAYLOAD_INDEXES__metadata.bornIn": "integer",
    }
    if in_a_file:
        (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in said.items()))
    else:
        for name, value in said.items():
            monkeypatch.setenv(name, value)
    settings = Settings()
    assert {name: one.vector for name, one in settings.collections.items()} == {"Books": "dense", "others": "dense"}
    assert [*settings.service.api_keys] == ["Team-A"]
    assert settings.storage.payload_indexes == {"metadata.bornIn": "integer"}
    monkeypatch.setenv("SEARCH_COLLECTIONS__Books__TXT", "body")
    with pytest.raises(InvalidSettings, match=r"\.Books\.txt \(in the environment, SEARCH_COLLECTIONS__Books__TXT\)"):
        Settings()


def test_a_model_has_a_name() -> None:
    for given in ({"embedder": {"model": ""}}, {"reranker": {"model": ""}}, {"reranker": {"kind": "causal", "model": ""}}):
        with pytest.raises(InvalidSettings, match=r"\.model: String should have at least 1 character"):
            Settings(**given)


@pytest.fixture
def homeless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who has no home folder, as in a container that runs as any number."""

    def unknown(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_CONFIG_HOME", "SEARCH_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)


@pytest.mark.usefixtures("homeless")
def test_without_a_home_folder_a_data_folder_is_enough(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"^there is no home folder: set HOME, or data_dir \(SEARCH_DATA_DIR\)$"):
        Settings()
    with pytest.raises(InvalidSettings, match=r"^invalid settings: depth: Input should be greater than 0\. `search"):
        Settings(data_dir=tmp_path, depth=0)
    with pytest.raises(InvalidSettings, match=r"^invalid settings: data_dir: ~ has no home folder here: write the path in full\. "):
        Settings(data_dir="~/data")
    with pytest.raises(InvalidSettings, match="~nobody-of-this-name has no home folder"):
        Settings(data_dir=tmp_path, config="~nobody-of-this-name/search.toml")
    assert Settings(data_dir=tmp_path).model_cache == tmp_path / "models"
    ran: dict[str, Any] = {"SEARCH_DATA_DIR": str(tmp_path / "data")}
    search("ingest", "-", stdin=json.dumps({"id": "1", "text": "Cats sleep."}), **ran)
    assert "Cats sleep." in search("query", "cats", **ran).stdout
    assert "there is no home folder: set HOME" in error("query", "cats")


def test_a_variable_that_is_to_be_json_is_named_with_its_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for variable, form in [
        ("SEARCH_LEXICAL__FIELDS", r'\["one", "two"\]'),
        ("SEARCH_SERVICE__HOSTS", r'\["one", "two"\]'),
        ("SEARCH_STORAGE__PAYLOAD_INDEXES", r'\{"name": "value"\}'),
        ("SEARCH_SERVICE", r'\{"name": "value"\}'),
    ]:
        message = rf"^settings cannot be read: {variable} is to be JSON, such as {form}$"
        monkeypatch.setenv("ANOTHERS", "x")  # Python has each string of one character once
        monkeypatch.setenv(variable, "x")
        with pytest.raises(InvalidSettings, match=message):
            Settings()
        monkeypatch.setenv(variable, "metadata.date")
        with pytest.raises(InvalidSettings, match=message):
            Settings()
        monkeypatch.delenv(variable)
        (tmp_path / ".env").write_text(f"{variable}=metadata.date\n")
        with pytest.raises(InvalidSettings, match=message):
            Settings()
        (tmp_path / ".env").unlink()


@pytest.mark.parametrize(
    ("name", "kinds"), [("reranker.kind", "cross-encoder, causal, chat, none"), ("index.engine", "edge, qdrant, memory")]
)
def test_a_kind_that_there_is_not_is_named(name: str, kinds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = f"SEARCH_{name.replace('.', '__').upper()}"
    monkeypatch.setenv(variable, "foo")
    with pytest.raises(InvalidSettings) as caught:
        Settings()
    assert f"invalid settings: {name} (in the environment, {variable}): there is no 'foo'; there are {kinds}. " in str(caught.value)


def test_a_host_on_the_command_line_asks_about_keys_of_the_folder(tmp_path: Path) -> None:
    write_toml(tmp_path / "search.toml", REMOTE["service.api_keys.evil"][0])
    refused = command("serve", "--host", "0.0.0.0", folder=tmp_path)  # noqa: S104  # which is refused
    assert "search.toml sets service.api_keys.evil" in refused.stderr


def test_what_is_wrong_is_named_with_its_place_and_what_was_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def told(**values: Any) -> str:
        with pytest.raises(InvalidSettings) as caught:
            Settings(**values)
        return str(caught.value)

    (tmp_path / "search.toml").write_text("[reranker]\nwieght = 0.5\n")
    message = "reranker.wieght (in search.toml) is no setting (did you mean reranker.weight?)"
    assert told() == f"invalid settings: {message}. `search settings` lists what can be set"
    (tmp_path / "search.toml").write_text('[service.api_keys.a]\nsha = "s3cret"\n')
    assert (
        "service.api_keys.a.sha256 is missing; service.api_keys.a.sha (in search.toml) is no setting (did you mean service"
        in told()
    )
    assert "s3cret" not in told()
    (tmp_path / "search.toml").write_text("[collections.embedder]\ncolour = 1\n")  # a name that is a setting's, too
    assert "collections.embedder.colour (in search.toml) is no setting (there are document_id, " in told()
    (tmp_path / "search.toml").write_text("[service.api_keys.tenant]\nsha256 = 's3cret'\n")
    assert "service.api_keys.tenant.sha256 (in search.toml): String should match" in told()
    (tmp_path / "search.toml").unlink()
    (tmp_path / ".env").write_text("SEARCH_EMBEDDER__MODL=x\n")
    assert "embedder.modl (in .env) is no setting (did you mean embedder.model?)" in told()
    (tmp_path / ".env").unlink()
    monkeypatch.setenv("SEARCH_INDEX__ENGINE", "qdrant")
    monkeypatch.setenv("SEARCH_INDEX__ULR", "x")
    assert "index.ulr (in the environment, SEARCH_INDEX__ULR) is no setting (did you mean index.url?)" in told()
    monkeypatch.delenv("SEARCH_INDEX__ULR")
    monkeypatch.delenv("SEARCH_INDEX__ENGINE")
    monkeypatch.setenv("SEARCH_INDEX__URL", "http://127.0.0.1:6333")
    assert (
        'index.url (in the environment, SEARCH_INDEX__URL) belongs to index.engine = "qdrant"; set that, too '
        "(SEARCH_INDEX__ENGINE=qdrant). " in told()
    )
    monkeypatch.delenv("SEARCH_INDEX__URL")
    monkeypatch.setenv("SEARCH_COLLECTIONS__A", '{"embedder": 3}')
    assert "collections.a.embedder (in the environment, SEARCH_COLLECTIONS__A): Input should be a valid string" in told()
    monkeypatch.delenv("SEARCH_COLLECTIONS__A")
    (tmp_path / "search.toml").write_text("[index]\nshrads = 3\n[reranker]\nmax_words = 3\n")
    assert 'index.shrads (in search.toml) is no setting (did you mean index.shards, of index.engine = "qdrant"?); ' in told()
    assert 'reranker.max_words (in search.toml) belongs to reranker.kind = "chat"; set that, too' in told()
    (tmp_path / "search.toml").unlink()
    unused = {"kind": "none", "batch_tokens": 1}
    message = 'reranker.batch_tokens belongs to reranker.kind = "cross-encoder" or "causal"; set one of these, too'
    assert message in told(reranker=unused)
    assert "lmit is no setting (did you mean limit?)" in told(lmit=3)
    assert "context.zzz is no setting (there are max_tokens, metadata, tokenizer)" in told(context={"zzz": 1})
    assert "invalid settings: depth: Input should be greater than 0" in told(depth=0)
    assert "invalid settings: reranker.model is missing." in told(reranker={"kind": "causal"})
    with pytest.raises(
        InvalidSettings, match=r"^reranker\.wieght=1: reranker\.wieght is no setting \(did you mean reranker\.weight\?\)$"
    ):
        varied(Settings(), {"reranker.wieght": "1"})
    chat = {"reranker.kind": "chat", "reranker.url": "http://user:s3cret@a", "reranker.api_key": "s3cret"}
    with pytest.raises(InvalidSettings, match=r"^reranker.kind=chat reranker.url=http://a reranker.api_key=…: ") as caught:
        varied(Settings(), chat)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(InvalidSettings, match=r"^retrieval=x: retrieval: Input should be"):
        varied(Settings(), {"retrieval": "x"})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SEARCH_DEPT", "SEARCH_DEPTH"),
        ("Search_dept", "SEARCH_DEPTH"),
        ("SEARCH_INDEX_URL", "SEARCH_INDEX__URL"),
        ("SEARCH_INDX__ENGINE", "SEARCH_INDEX__ENGINE"),
        ("SEARCH_DEPTH__MOST", ""),  # of what is no section
        ("SEARCH_COLOUR", ""),
        ("SEARCH_SERVICE_PORT", "SEARCH_SERVICE__PORT"),  # as Kubernetes sets for its service search
    ],
)
def test_what_only_begins_like_a_setting_stops_nothing_and_is_told(
    name: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = f"is no setting of this program{f' (did you mean {meant}?)' if meant else ''}"
    (tmp_path / ".env").write_text(f"SOMETHING_ELSE=1\n{name}=abc\nSEARCH_LIMIT=3\n")
    assert (Settings().limit, unknown_names()) == (3, [f"{name} in .env {told}"])
    monkeypatch.setenv(name, "abc")
    assert (Settings().limit, unknown_names()) == (3, [f"the environment variable {name} {told}", f"{name} in .env {told}"])


def test_lines_of_other_programs_that_cannot_be_read_stop_nothing_and_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".env").write_text("# theirs\ncannot be (( read\nSEARCH_LIMIT=3\n")
    assert (Settings().limit, unknown_names()) == (3, ["line 2 of .env cannot be read"])
    assert "line 2" in caplog.text  # as a library says it
    assert search("settings", "limit").stderr == "note: line 2 of .env cannot be read\n"
