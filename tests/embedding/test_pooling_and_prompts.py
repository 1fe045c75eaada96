"""How a dense model is used: as its files say, as the settings say, and so that a collection knows what its vectors depend on."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import HUB_EMBEDDER, into_hub_cache, tiny_model

from search import Document, Settings, open_search
from search.embedding.dense import FastEmbedEmbedder
from search.errors import IndexMismatch, InvalidSettings, ModelIncomplete
from search.factory import build_embedder, build_live_embedder
from search.settings import embedder_of

BGE = ("BAAI/bge-small-en-v1.5", "Qdrant/bge-small-en-v1.5-onnx-Q", "model_optimized.onnx")
TEXTS = ["Cats sleep most of the day", "Dogs bark at night"]


def loaded(folder: Path | str, **more: Any) -> FastEmbedEmbedder:
    return FastEmbedEmbedder(str(folder), device="cpu", threads=1, cache=Path(folder), **more)


def digest(embedder: FastEmbedEmbedder) -> str:
    return embedder.fingerprint.rpartition("@")[2]


def written(folder: Path, name: str, content: Any) -> Path:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(content))
    return folder


@pytest.fixture
def unstated(tmp_path: Path) -> Path:
    """A folder that says nothing of its pooling, as FastEmbed downloads them."""
    folder = tiny_model(tmp_path / "unstated", "encoder")
    shutil.rmtree(folder / "1_Pooling")
    return folder


def test_a_name_and_a_folder_of_its_files_that_is_pooled_otherwise_are_two_embedders(unstated: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    into_hub_cache(unstated, cache, *BGE)
    copied = shutil.copytree(next(cache.glob("models--*/snapshots/*")), tmp_path / "bge-small")
    where: dict[str, Any] = {"data_dir": tmp_path / "data", "model_cache": cache, "reranker": {"kind": "none"}}
    with open_search(Settings(embedder={"model": BGE[0]}, **where)) as named:
        named.ingest([Document(id=str(number), text=text) for number, text in enumerate(TEXTS)])
        by_name = named.embedder.fingerprint
    with open_search(Settings(embedder={"model": str(copied)}, **where)) as searcher, pytest.raises(IndexMismatch) as caught:
        searcher.search(TEXTS[0])
    assert by_name in str(caught.value)


def test_only_what_the_files_leave_open_is_added_to_the_fingerprint(unstated: Path, tmp_path: Path) -> None:
    from search.models import fingerprint

    stated = tiny_model(tmp_path / "stated", "encoder")
    assert digest(loaded(stated)) == fingerprint(stated, "model.onnx")
    assert digest(loaded(unstated)) != fingerprint(unstated, "model.onnx")
    written(unstated, "recipe.json", {"pooling": "mean"})
    assert digest(loaded(unstated)) == fingerprint(unstated, "model.onnx")


@pytest.mark.parametrize("mode", ["mean", "cls", "lasttoken", ["cls"]])
def test_pooling_as_sentence_transformers_writes_it_now(mode: Any, tmp_path: Path) -> None:
    now, before = (tiny_model(tmp_path / name, "encoder") for name in ("now", "before"))
    written(now, "1_Pooling/config.json", {"embedding_dimension": 64, "pooling_mode": mode, "include_prompt": True})
    known = {"mean": "mean_tokens", "cls": "cls_token", "lasttoken": "lasttoken"}
    old = known[mode if isinstance(mode, str) else mode[0]]
    written(before, "1_Pooling/config.json", {f"pooling_mode_{one}": one == old for one in known.values()})
    assert loaded(now).embed_passages(TEXTS) == pytest.approx(loaded(before).embed_passages(TEXTS), abs=1e-6)


@pytest.mark.parametrize("mode", ["max", ["mean", "cls"], [], 7])
def test_a_pooling_that_cannot_be_run_is_quoted(mode: Any, tmp_path: Path) -> None:
    folder = written(tiny_model(tmp_path / "model", "encoder"), "1_Pooling/config.json", {"pooling_mode": mode})
    asked = mode if isinstance(mode, str) else " and ".join(mode) if mode and isinstance(mode, list) else ""
    with pytest.raises(ModelIncomplete, match=f"asks for the pooling {asked}.*mean, cls or lasttoken"):
        loaded(folder)


def test_pooling_stands_where_the_list_of_modules_says(unstated: Path) -> None:
    guessed = loaded(unstated)
    modules = [{"type": "sentence_transformers.models.Transformer", "path": ""}]
    modules.append({"type": "sentence_transformers.models.Pooling", "path": "2_Pooling"})
    written(unstated, "modules.json", modules)
    written(unstated, "2_Pooling/config.json", {"pooling_mode_cls_token": True})
    cls = loaded(unstated)
    assert cls.embed_query("cat") != pytest.approx(guessed.embed_query("cat"), abs=1e-3)
    written(unstated, "2_Pooling/config.json", {"pooling_mode_mean_tokens": True})
    mean = loaded(unstated)
    assert len({digest(one) for one in (cls, mean)}) == 2
    assert mean.embed_query("cat") == pytest.approx(guessed.embed_query("cat"), abs=1e-6)
    for path in ("../2_Pooling", "/2_Pooling", 7):
        written(unstated, "modules.json", [modules[0], {**modules[1], "path": path}])
        with pytest.raises(ModelIncomplete, match=r"modules\.json"):
            loaded(unstated)


def test_prompts_of_sentence_transformers_go_before_texts(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", "encoder")
    plain = loaded(folder)
    written(folder, "config_sentence_transformers.json", {"prompts": {"query": "query: ", "document": "passage: "}})
    asked = loaded(folder)
    assert asked.embed_query(TEXTS[0]) == pytest.approx(plain.embed_query(f"query: {TEXTS[0]}"), abs=1e-6)
    assert asked.embed_passages(TEXTS) == pytest.approx(plain.embed_passages([f"passage: {one}" for one in TEXTS]), abs=1e-6)
    assert digest(asked) != digest(plain)
    assert asked.tokenizer.window == plain.tokenizer.window - 2
    without = loaded(folder, query_prompt="", passage_prompt="")
    assert digest(without) == digest(plain)
    assert without.embed_query("cat") == pytest.approx(plain.embed_query("cat"), abs=1e-6)


@pytest.mark.parametrize(
    ("said", "query", "passage"),
    [
        ({"prompts": {"query": "q: ", "passage": "p: "}}, "q: ", "p: "),
        ({"prompts": {"query": "q: ", "document": ""}}, "q: ", ""),
        ({"prompts": {"s2p": "ask: ", "s2s": "like: "}}, "", ""),
        ({"prompts": {"s2p": "ask: "}, "default_prompt_name": "s2p"}, "", ""),  # of `encode` alone
        ({"prompts": {"query": "", "document": ""}, "default_prompt_name": None}, "", ""),
        ({"prompts": None}, "", ""),
    ],
)
def test_which_prompts_a_folder_gives(said: Any, query: str, passage: str, tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", "encoder")
    plain = loaded(folder)
    asked = loaded(written(folder, "config_sentence_transformers.json", said))
    assert asked.embed_query("cat") == pytest.approx(plain.embed_query(f"{query}cat"), abs=1e-6)
    assert asked.embed_passages(["cat"]) == pytest.approx(plain.embed_passages([f"{passage}cat"]), abs=1e-6)
    assert (digest(asked) == digest(plain)) == (not passage)


def test_a_recipe_and_then_the_settings_say_other_prompts(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", "encoder")
    plain = loaded(folder)
    written(folder, "config_sentence_transformers.json", {"prompts": {"query": "query: ", "document": "passage: "}})
    written(folder, "recipe.json", {"query_prompt": "ask: ", "passage_prompt": "text: "})
    by_recipe, by_settings = loaded(folder), loaded(folder, query_prompt="say: ")
    assert by_recipe.embed_query("cat") == pytest.approx(plain.embed_query("ask: cat"), abs=1e-6)
    assert by_recipe.embed_passages(["cat"]) == pytest.approx(plain.embed_passages(["text: cat"]), abs=1e-6)
    assert by_settings.embed_query("cat") == pytest.approx(plain.embed_query("say: cat"), abs=1e-6)
    assert digest(by_settings) == digest(by_recipe)  # the passages' vectors are the same
    assert len({digest(loaded(folder, passage_prompt=one)) for one in ("", "a: ", "b: ", "text: ")}) == 4


def test_a_long_text_is_cut_behind_its_prompt(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", "encoder")
    embedder = loaded(folder, passage_prompt="passage: ")
    cut = embedder.tokenizer.cut(["cat " * 500], embedder.tokenizer.window)[0].text
    whole, short = embedder.embed_passages(["cat " * 500, cut])
    assert whole == pytest.approx(short, abs=1e-6)
    with pytest.raises(ModelIncomplete, match="prompt"):
        loaded(folder, query_prompt="cat " * 60)


def test_a_prompt_of_queries_takes_nothing_from_passages(tmp_path: Path) -> None:
    """A collection that was filled without it is of the same embedder, and no document of it has changed."""
    folder = tiny_model(tmp_path / "model", "encoder")
    where: dict[str, Any] = {"data_dir": tmp_path / "data", "chunking": {"tokens": 500}, "reranker": {"kind": "none"}}
    documents = [Document(id="a", text="cat " * 62), Document(id="b", text="cat " * 500)]
    with open_search(Settings(embedder={"model": str(folder)}, **where)) as searcher:
        searcher.ingest(documents)
    with open_search(Settings(embedder={"model": str(folder), "query_prompt": "cat cat: "}, **where)) as searcher:
        assert searcher.ingest(documents).unchanged == 2
        result = searcher.search("cat " * 62)
        assert not any(hit.truncated for hit in result.hits)
        assert [note for note in result.warnings if "embedder" in note] == [
            "the query has 248 characters; the embedder read 59 tokens, of its beginning and its end"
        ]


@pytest.mark.parametrize(
    ("name", "said", "match"),
    [
        ("recipe.json", {"query_prefix": "query: "}, "query_prefix.*query_prompt"),
        ("recipe.json", {"column": 1}, "column.*reranker"),
        ("recipe.json", {"query_prompt": 7}, "query_prompt"),
        ("recipe.json", {"pooling": "last"}, "'last'.*mean, cls, last_token or disabled"),
        ("recipe.json", {"pooling": None}, "mean, cls, last_token or disabled"),
        ("recipe.json", {"dimension": 16}, r"16 by its recipe\.json"),
        ("config.json", {"hidden_size": 16}, r"16 by its config\.json"),
        ("config_sentence_transformers.json", {"prompts": ["query: "]}, "prompts"),
        ("config_sentence_transformers.json", {"prompts": {"query": 7}}, "prompts"),
    ],
)
def test_what_a_folder_says_wrongly(name: str, said: Any, match: str, tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", "encoder")
    before = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
    with pytest.raises(ModelIncomplete, match=match):
        loaded(written(folder, name, before | said))


def test_a_model_that_pools_without_its_prompt_gets_none(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", "encoder")
    written(folder, "1_Pooling/config.json", {"pooling_mode": "mean", "include_prompt": False})
    loaded(folder)
    with pytest.raises(ModelIncomplete, match="include_prompt"):
        loaded(folder, query_prompt="query: ")


def test_names_that_need_prompts_get_them(unstated: Path, tmp_path: Path) -> None:
    for name, repository, graph in (
        ("nomic-ai/nomic-embed-text-v1", "nomic-ai/nomic-embed-text-v1", "onnx/model.onnx"),
        HUB_EMBEDDER,
    ):
        into_hub_cache(unstated, tmp_path / "cache", name, repository, graph)
    plain, nomic = (
        build_embedder(Settings(data_dir=tmp_path, model_cache=tmp_path / "cache", embedder={"model": name}))
        for name in (HUB_EMBEDDER[0], "Nomic-AI/nomic-embed-text-v1")
    )
    assert nomic.embed_query("cat") == pytest.approx(plain.embed_query("search_query: cat"), abs=1e-6)
    assert nomic.embed_passages(["cat"]) == pytest.approx(plain.embed_passages(["search_document: cat"]), abs=1e-6)
    assert nomic.fingerprint.rpartition("@")[2] != plain.fingerprint.rpartition("@")[2]


def test_every_name_that_fastembed_calls_in_need_of_prompts_has_one() -> None:
    from search.embedding.prompts import NAMED
    from search.inference.fastembed import Embedders

    described = {one["model"]: one["description"] for one in Embedders.list_supported_models()}
    needing = {
        name for name, said in described.items() if "necessary" in said and "not necessary" not in said and "not so" not in said
    }
    needing |= {name for name, said in described.items() if "Prefixes for queries/documents: `" in said}
    assert needing == set(NAMED)


def test_prompts_of_the_settings_are_those_of_their_model(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", "encoder")
    own: dict[str, Any] = {"mine": {"embedder": str(folder)}, "other": {"embedder": "another"}}
    settings = Settings(
        data_dir=tmp_path, embedder={"model": str(folder), "query_prompt": "q: ", "passage_prompt": "p: "}, collections=own
    )
    assert embedder_of(settings, "mine") == settings.embedder
    assert (embedder_of(settings, "other").query_prompt, embedder_of(settings, "other").passage_prompt) == (None, None)
    embedder, plain = build_embedder(settings), loaded(folder)
    assert embedder.embed_query("cat") == pytest.approx(plain.embed_query("q: cat"), abs=1e-6)
    with pytest.raises(InvalidSettings, match="query_prompt"):
        Settings(embedder={"query_prompt": 7})


def test_a_collection_may_have_prompts_of_its_own(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", "encoder")
    other = tiny_model(tmp_path / "other", "encoder")
    written(other, "config_sentence_transformers.json", {"prompts": {"query": "query: ", "document": "passage: "}})
    own: dict[str, Any] = {
        "before": {"embedder": str(other), "query_prompt": "", "passage_prompt": ""},
        "now": {"embedder": str(other)},
        "asked": {"query_prompt": "ask: "},
    }
    settings = Settings(data_dir=tmp_path / "data", embedder={"model": str(folder), "query_prompt": "q: "}, collections=own)
    asked, usual = embedder_of(settings, "asked"), embedder_of(settings, "usual")
    assert (asked.model, asked.query_prompt, usual.query_prompt) == (str(folder), "ask: ", "q: ")
    plain = loaded(other, query_prompt="", passage_prompt="")
    with open_search(settings) as searcher, searcher.beside("before") as before, searcher.beside("now") as now:
        for one in (before, now):
            one.ingest([Document(id="a", text=TEXTS[0])])
        assert before.embedder.fingerprint == plain.fingerprint != now.embedder.fingerprint
        assert now.embedder.embed_query("cat") == pytest.approx(plain.embed_query("query: cat"), abs=1e-6)
        assert searcher.beside("other").embedder is searcher.embedder
    changed = Settings(data_dir=tmp_path / "data", embedder={"model": str(other)})
    with open_search(changed) as searcher, pytest.raises(IndexMismatch, match="`embedder` or `passage_prompt` under"):
        searcher.beside("before").search("cats")


def test_another_prompt_is_told_and_a_collection_without_one_is_still_asked(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    folder = tiny_model(tmp_path / "model", "encoder")
    into_hub_cache(folder, cache, "", "nomic-ai/nomic-embed-text-v1", "onnx/model.onnx")
    where: dict[str, Any] = {"data_dir": tmp_path / "data", "model_cache": cache, "reranker": {"kind": "none"}}
    name = "nomic-ai/nomic-embed-text-v1"
    settings = Settings(embedder={"model": name, "query_prompt": "", "passage_prompt": ""}, **where)
    with open_search(settings) as searcher:
        searcher.ingest([Document(id="a", text=TEXTS[0])])
        fingerprint = searcher.embedder.fingerprint
    now = Settings(embedder={"model": name}, **where)
    with open_search(now) as searcher, pytest.raises(IndexMismatch, match=r'embedder\.passage_prompt = ""'):
        searcher.search("cats")
    live = build_live_embedder(now, fingerprint, [])
    assert live.fingerprint == fingerprint
    assert np.allclose(live.embed_passages(TEXTS), build_embedder(settings).embed_passages(TEXTS), atol=1e-6)
