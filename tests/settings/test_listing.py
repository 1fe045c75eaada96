"""Every setting is listed with what it is now, where that was said and what it means; no key is shown."""

import re
from pathlib import Path

import pytest
from commands import as_json, search, wrong
from pydantic import BaseModel

from search.settings import Settings
from search.settings.listing import Setting, listing
from search.settings.problems import models_in


def listed(**values: object) -> dict[str, Setting]:
    return {one.name: one for one in listing(Settings(**values), values)}


def test_every_setting_is_there_and_says_what_it_means() -> None:
    def names(section: type[BaseModel]) -> set[str]:
        fields = section.model_fields.items()
        return {name for name, field in fields if not {*models_in(field.annotation)}}.union(
            *(names(one) for _, field in fields for one in models_in(field.annotation))
        )

    every = list(listing(Settings(), {}))
    assert {one.name.rpartition(".")[2] for one in every} == names(Settings)
    assert [one.name for one in every if not one.description or not one.section] == []
    half = r"(And|Likewise|As|At|For|Of|None|0)\b|…"  # of a sentence that another setting begins
    assert [one.description for one in every if re.match(half, one.description) or one.description.endswith("…")] == []
    assert "And at" not in search("health", "--help").stdout
    assert [one.name for one in every if one.place] == ["threads"]  # of all tests
    by_name = {(one.name, one.kind): one for one in every}
    assert by_name["index.engine", None].choices == ("edge", "qdrant", "memory")
    assert by_name["index.protocol", 'index.engine = "qdrant"'].default == "auto"
    assert by_name["storage.quantization", None].choices == ("none", "scalar", "binary")
    assert by_name["index.read_consistency", 'index.engine = "qdrant"'].choices == ()  # it may be a number
    assert by_name["collections.NAME.embedder", None].value is None


def test_where_a_setting_was_said_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "config" / "two-stage-search" / "search.toml"
    own.parent.mkdir(parents=True)
    own.write_text("limit = 3\ndepth = 4\n[collections.cats]\nembedder = 'x'\n")
    Path("search.toml").write_text("limit = 5\n[chunking]\ntokens = 99\n")
    Path(".env").write_text("SEARCH_RETRIEVAL=dense\n")
    monkeypatch.setenv("SEARCH_LEXICAL__SHARE", "0.25")
    monkeypatch.setenv("SEARCH_STORAGE", '{"hnsw_m": 8}')
    every = listed(budget_ms=7)
    said = {
        name: (one.value, one.default, one.place) for name, one in every.items() if one.place and name != "threads"
    }  # of all tests
    assert said == {
        "limit": (5, 10, "search.toml"),
        "depth": (4, 20, str(own)),
        "collections.cats.embedder": ("x", None, str(own)),
        "chunking.tokens": (99, 170, "search.toml"),
        "retrieval": ("dense", "hybrid", ".env"),
        "lexical.share": (0.25, None, "the environment, SEARCH_LEXICAL__SHARE"),
        "storage.hnsw_m": (8, 16, "the environment, SEARCH_STORAGE"),
        "budget_ms": (7, None, "an argument"),
    }


def test_what_is_said_for_one_kind_is_not_said_for_the_others(tmp_path: Path) -> None:
    (tmp_path / "search.toml").write_text('[reranker]\nkind = "causal"\nmodel = "folder"\n')
    every = [one for one in listing(Settings(), {}) if one.name == "reranker.model"]
    assert [(one.value, one.place) for one in every] == [(None, None), ("folder", "search.toml"), (None, None)]


def test_the_command_lists_settings_and_shows_no_key(tmp_path: Path) -> None:
    file = tmp_path / "ours.toml"
    file.write_text(
        '[index]\nengine = "qdrant"\nurl = "http://me:s3cret@127.0.0.1:1"\napi_key = "s3cret"\n'
        'urls = ["me:s3cret@127.0.0.1:2"]\n'  # which lacks its scheme
        '[reranker]\nkind = "chat"\nurl = "http://me:s3cret@127.0.0.1:1/v1"\nmodel = "m"\n'
        '[collections.theirs.filter]\nmust = [{key = "url", match = {value = "http://me:s3cret@a/"}}]\n'
    )
    shown = search("--config", file, "settings", SEARCH_CLIENT_KEY="s3cret", SEARCH_LIMIT="4").stdout
    assert "s3cret" not in shown
    assert "s3cret" not in search("--config", file, "settings", "--json", SEARCH_CLIENT_KEY="s3cret").stdout
    assert "s3cret" not in repr(Settings(config=file))
    assert '\nindex.urls = ["me:127.0.0.1:2"]   (by' in shown
    assert '\ncollections.theirs.filter = {"must" = [{"key" = "url", "match" = {"value" = "http://a/"}}]}   (by' in shown
    assert listed(client_key="")["client_key"].value == ""
    assert f'config = "{file}"   (by an argument; default None)\n' in shown
    assert f'index.api_key = "…"   (by {file}; default None)\n    The key itself' in shown
    assert 'client_key = "…"   (by the environment, SEARCH_CLIENT_KEY; default None)\n' in shown
    assert "\nlimit = 4   (by the environment, SEARCH_LIMIT; default 10)\n    Hits returned.\n" in shown
    assert '\n\n# A Qdrant server or cluster. With index.engine = "qdrant":\nindex.api_key' in shown
    assert "\n\n# Qdrant Edge: the engine" in shown


def test_some_settings_are_listed_by_name_or_section() -> None:
    names = [one["name"] for one in as_json("settings", "limit", "cuda")["settings"]]
    assert names == [*(f"cuda.{name}" for name in ("device", "memory_mib", "arena", "shrink", "attention")), "limit"]
    assert "\n\n# How the GPU is used, where there is one.\ncuda.device = 0\n" in search("settings", "limit", "cuda").stdout
    assert search("settings", "limit").stdout == "# What holds for all.\nlimit = 10\n    Hits returned.\n"
    assert wrong("settings", "limt") == "search: there is no setting limt (did you mean limit?)\n"
    assert [one["name"] for one in as_json("settings", "collections.cats")["settings"]][-1] == "collections.cats.passage_prompt"
    for name in ("collections.v2.docs.text", "collections.NAME.text", "service.api_keys.web.tenant"):
        assert f"\n{name} = None\n" in search("settings", name, SEARCH_COLLECTIONS='{"cats": {"text": "body"}}').stdout
    text = search("settings", "collections.cats.text", SEARCH_COLLECTIONS='{"cats": {"text": "body"}}').stdout
    assert '\ncollections.cats.text = "body"   (by' in text
    assert wrong("settings", "collections.cats.txet").endswith("collections.cats.txet (did you mean collections.cats.text?)\n")
    assert wrong("settings", "index.ulr") == "search: there is no setting index.ulr (did you mean index.url?)\n"
