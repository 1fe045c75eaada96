"""Settings come from arguments, environment, .env and search.toml, in that order, and mistakes are named."""

from pathlib import Path
from typing import Any

import pytest

from search.assembly import build_collections, build_reranker
from search.errors import InvalidSettings
from search.index.edge import EdgeIndex
from search.index.qdrant import QdrantIndex
from search.settings import CrossEncoderSettings, EdgeSettings, NoReranker, ServerSettings, Settings, StorageSettings


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
    (tmp_path / ".env").write_text("SEARCH_COLOUR=1\n")
    with pytest.raises(InvalidSettings, match="colour"):
        Settings()
    (tmp_path / "search.toml").write_text("limit = \n")
    with pytest.raises(InvalidSettings, match="cannot be read"):
        Settings()


def test_secrets_are_not_shown_by_mistakes() -> None:
    with pytest.raises(InvalidSettings) as caught:
        Settings(index={"engine": "qdrant", "api_key": "s3cret", "timeout_s": 0})
    assert "s3cret" not in str(caught.value)
