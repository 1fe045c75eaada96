"""Sparse models give the words that FastEmbed gives, from a folder and by name; what a collection notes finds them again."""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import pytest
from tiny import HUB_SPLADE, into_hub_cache, tiny_bm25, tiny_bm42, tiny_minicoil, tiny_splade

from search.documents import SparseVector
from search.embedding.sparse import describe, words_like
from search.embedding.sparse_models import FastEmbedSparseModel, SparseEmbedders, find_sparse
from search.errors import IndexMismatch, InferenceFailed, ModelCorrupt, ModelIncomplete, ModelNotFound, ModelUnavailable
from search.factory import build_words
from search.index.contract import CollectionSpec
from search.settings import LexicalSettings, Settings

TEXTS = ["A cat sleeps on the mat.", "", "pump " * 300, "The bark of dogs, of XJ-9000-C", "cats"]
BM42, MINICOIL, BM25 = "Qdrant/bm42-all-minilm-l6-v2-attentions", "Qdrant/minicoil-v1", "Qdrant/bm25"


@pytest.fixture(scope="module")
def splade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_splade(tmp_path_factory.mktemp("splade") / "mine")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory, splade: Path) -> Path:
    """A cache that looks as if FastEmbed had downloaded one model of each kind."""
    made, cache = tmp_path_factory.mktemp("made"), tmp_path_factory.mktemp("cache")
    into_hub_cache(splade, cache, *HUB_SPLADE)
    into_hub_cache(tiny_bm42(made / "bm42"), cache, BM42, "Qdrant/all_miniLM_L6_v2_with_attentions", "model.onnx")
    into_hub_cache(tiny_minicoil(made / "minicoil"), cache, MINICOIL, MINICOIL, "onnx/model.onnx")
    into_hub_cache(tiny_bm25(made / "bm25"), cache, BM25, BM25, "config.json")
    return cache


def words(model: str, cache: Path, **lexical: Any) -> SparseEmbedders:
    return build_words(Settings(model_cache=cache, device="cpu", lexical={"model": model, **lexical}))


def loaded(folder: Path) -> FastEmbedSparseModel:
    return FastEmbedSparseModel(find_sparse(LexicalSettings(model=str(folder)), folder), device="cpu")


def by_fastembed(name: str, **options: Any) -> Any:
    from fastembed import SparseTextEmbedding

    return SparseTextEmbedding(name, providers=["CPUExecutionProvider"], cuda=False, **options)


def same(ours: SparseVector | None, theirs: Any) -> bool:
    nonzero = {index: value for index, value in theirs.as_dict().items() if value}
    return (dict(zip(*ours, strict=True)) if ours else {}) == pytest.approx(nonzero, abs=1e-5)


@pytest.mark.parametrize(("name", "idf"), [(HUB_SPLADE[0], False), (BM42, True), (MINICOIL, True), (BM25, True)])
def test_words_are_fastembeds(name: str, idf: bool, cache: Path) -> None:  # noqa: FBT001
    theirs = by_fastembed(name, cache_dir=str(cache), local_files_only=True)
    made = words(name, cache)
    description = made.description
    ours = made(description)
    assert ours is not None
    passages = ours.embed_passages(TEXTS)
    for text, vector in zip(TEXTS, passages, strict=True):
        assert same(vector, next(iter(theirs.passage_embed([text]))))
        assert same(ours.embed_query(text), next(iter(theirs.query_embed(text))))
    assert passages[0]
    assert passages[3]
    noted = json.loads(description)
    assert (noted["model"], noted["idf"], CollectionSpec(8, "model@1", description).idf) == (name, idf, idf)
    assert re.fullmatch("[0-9a-f]{16}", noted["fingerprint"])


@pytest.mark.parametrize("make", [tiny_splade, tiny_bm42, tiny_minicoil])
def test_a_folder_is_the_model_whose_files_it_holds(make: Callable[[Path], Path], tmp_path: Path) -> None:
    folder = make(tmp_path / "mine")
    name = {tiny_splade: HUB_SPLADE[0], tiny_bm42: BM42, tiny_minicoil: MINICOIL}[make]
    theirs = by_fastembed(name, specific_model_path=str(folder))
    made = words(str(folder), tmp_path)
    ours = made(made.description)
    assert ours is not None
    assert json.loads(made.description)["model"] == "mine"
    for text, vector in zip(TEXTS, ours.embed_passages(TEXTS), strict=True):
        assert same(vector, next(iter(theirs.passage_embed([text]))))


def test_a_graph_may_stand_where_models_have_it(splade: Path, tmp_path: Path) -> None:
    theirs = by_fastembed(HUB_SPLADE[0], specific_model_path=str(splade))
    moved = loaded(tiny_splade(tmp_path / "moved", graph="onnx/model.onnx"))
    assert same(moved.embed_query("cat"), next(iter(theirs.query_embed("cat"))))


def test_batches_are_what_single_texts_are(splade: Path) -> None:
    model = loaded(splade)
    many = [f"{'pump ' * (i % 40)} number {i}" for i in range(60)]
    for text, vector in zip(many, model.embed_passages(many), strict=True):
        alone = model.embed_passages([text])[0]
        assert vector
        assert alone
        assert dict(zip(*vector, strict=True)) == pytest.approx(dict(zip(*alone, strict=True)), abs=1e-4)
    assert model.embed_passages([]) == []
    assert model._batch_tokens * 30522 <= 1 << 25  # numbers that the graph gives at once


def test_what_lies_behind_the_window_is_not_read(splade: Path) -> None:
    model = loaded(splade)
    assert model.max_tokens == 64
    begun = "cat " * 62
    first, longer = model.embed_passages([begun, begun + "submarine warfare " * 50_000])
    assert first == longer
    with patch.object(model._model, "passage_embed", wraps=model._model.passage_embed) as asked:
        model.embed_passages(["submarine warfare " * 50_000])
    assert len(asked.call_args.args[0][0]) == 20_000  # of what is read to no end, not all is split into tokens


def test_a_model_may_find_no_word(tmp_path: Path) -> None:
    model = loaded(tiny_splade(tmp_path / "mine", bias=-1e6))
    assert model.embed_query("cat") is None
    assert model.embed_passages(["cat", "dog"]) == [None, None]


@pytest.mark.parametrize("bias", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(bias: float, tmp_path: Path) -> None:
    model = loaded(tiny_splade(tmp_path / "mine", bias=bias))
    for ask in (lambda: model.embed_query("cat"), lambda: model.embed_passages(["cat", "a longer text"])):
        with pytest.raises(InferenceFailed, match="mine gave a weight that is not finite"):
            ask()


def test_an_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"no sparse model is called 'splade'.*prithivida/Splade_PP_en_v1.*Qdrant/minicoil-v1"):
        _ = words("splade", tmp_path).description
    with pytest.raises(ModelNotFound, match="is not a folder"):
        _ = words(str(tmp_path / "nowhere"), tmp_path).description


def test_a_model_that_cannot_be_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelUnavailable, match="HF_HUB_OFFLINE"):
        _ = words(HUB_SPLADE[0], tmp_path).description


@pytest.mark.parametrize("file", ["model.onnx", "tokenizer.json", "tokenizer_config.json"])
def test_a_folder_without_a_file(file: str, splade: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(splade, tmp_path / "mine"))
    (folder / file).unlink()
    with pytest.raises(ModelIncomplete, match="lacks"):
        _ = words(str(folder), tmp_path).description


def test_folders_of_other_models_are_told(splade: Path, model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ModelIncomplete, match=r"gives 1 x 3 x 64 numbers for one text \(last_hidden_state\), not a weight for each of"
    ):
        _ = words(str(model_folder / "embedder-mean"), tmp_path).model
    with pytest.raises(ModelIncomplete, match=r"gives 1 x 1 numbers for one text \(logits\)"):
        _ = words(str(model_folder / "cross-encoder"), tmp_path).model
    without = tiny_bm42(tmp_path / "bm42")
    (without / "stopwords.txt").unlink()
    with pytest.raises(ModelIncomplete, match="with all files of its folder"):
        _ = words(str(without), tmp_path).model
    other = Path(shutil.copytree(splade, tmp_path / "other"))
    (other / "stopwords.txt").touch()
    with pytest.raises(ModelIncomplete, match=r"has the files of Qdrant/bm42.* gives logits, not attention_6"):
        _ = words(str(other), tmp_path).model
    damaged = Path(shutil.copytree(splade, tmp_path / "damaged"))
    (damaged / "model.onnx").write_bytes(b"\x08\x09")
    with pytest.raises((ModelCorrupt, ModelIncomplete)):
        _ = words(str(damaged), tmp_path).model


@pytest.mark.parametrize(
    ("make", "file"),
    [
        (tiny_splade, "model.onnx"),
        (tiny_splade, "tokenizer_config.json"),
        (tiny_bm42, "stopwords.txt"),
        (tiny_minicoil, "minicoil.triplet.model.npy"),
        (tiny_minicoil, "minicoil.triplet.model.vocab"),
    ],
)
def test_the_fingerprint_sees_every_file(make: Callable[[Path], Path], file: str, tmp_path: Path) -> None:
    folder = make(tmp_path / "mine")
    before = json.loads(words(str(folder), tmp_path).description)
    if file == "model.onnx":
        shutil.rmtree(folder)
        tiny_splade(folder, seed=8)
    else:
        (folder / file).write_bytes((folder / file).read_bytes() + b" ")
    after = json.loads(words(str(folder), tmp_path).description)
    assert before.pop("fingerprint") != after.pop("fingerprint")
    assert before == after


def test_a_collection_finds_its_model_by_what_it_notes(splade: Path, cache: Path, tmp_path: Path) -> None:
    named, own = words(HUB_SPLADE[0], cache, fields=["metadata.isbn"]), words(str(splade), cache)
    assert json.loads(named.description)["fingerprint"] == json.loads(own.description)["fingerprint"]  # a name is for people
    by_bm25 = words("bm25", cache)
    found = by_bm25(named.description)  # from the cache
    assert found is not None
    assert found.fields == ("metadata.isbn",)
    one, other = found.embed_query("cat"), own(named.description)
    assert one
    assert other
    assert one == other.embed_query("cat")
    assert by_bm25(own.description.replace('"mine"', '"prithivida/Splade_PP_en_v1"')) is not None
    for description in (own.description, named.description):
        with pytest.raises(IndexMismatch, match=r"set lexical.model to it, or bring .* over .* with `search reindex`"):
            words("bm25", tmp_path)(description)  # whose cache is empty
    assert words(str(splade.rename(splade.parent / "yours")), cache)(own.description) is not None
    (splade.parent / "yours").rename(splade)
    assert by_bm25("") is None
    assert by_bm25(describe(LexicalSettings())) is words_like(describe(LexicalSettings()))
    assert build_words(Settings(model_cache=tmp_path), before=words(str(splade), cache))(own.description) is not None
    changed = json.dumps(json.loads(named.description) | {"fingerprint": "0" * 16})
    with pytest.raises(IndexMismatch, match="which is not here"):
        by_bm25(changed)  # one of that name is in the cache


def test_what_a_collection_notes_opens_no_folder_and_fetches_nothing(
    splade: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastembed.common.model_management import ModelManagement

    asked = Mock(side_effect=OSError)
    monkeypatch.setattr(ModelManagement, "download_files_from_huggingface", asked)
    monkeypatch.setattr("time.sleep", lambda _: None)
    noted = words(str(splade), tmp_path).description
    for name in (str(splade), HUB_SPLADE[0], "\x1b[2J" + "x" * 9000):
        with pytest.raises(IndexMismatch, match="which is not here") as raised:
            words("bm25", tmp_path)(json.dumps(json.loads(noted) | {"model": name}))
        assert len(str(raised.value)) < 1000
    assert asked.call_count
    assert all(call.kwargs["local_files_only"] for call in asked.call_args_list)


def test_another_versions_words_are_refused(splade: Path, tmp_path: Path) -> None:
    made = words(str(splade), tmp_path)
    for description in (
        made.description.replace('"version": 1', '"version": 99'),
        json.dumps(json.loads(made.description) | {"fingerprint": 7}),
        json.dumps(json.loads(made.description) | {"fields": "all"}),
        '{"version": 1, "model": "splade", "language": "english", "fields": []}',
    ):
        with pytest.raises(IndexMismatch, match="search reindex"):
            made(description)
        with pytest.raises(IndexMismatch, match="search reindex"):
            words_like(description)


def test_fastembeds_bm25_goes_by_the_language(cache: Path) -> None:
    def of(text: str, language: str) -> SparseVector | None:
        made = words(BM25, cache, language=language)
        ours = made(made.description)
        assert ours is not None
        return ours.embed_query(text)

    assert of("the of", "english") is None
    assert of("the of", "none") is not None
    assert of("Häuser", "german") == of("Häusern", "german") != of("Häuser", "none")
    with pytest.raises(ModelIncomplete, match="chinese language is not supported"):
        of("the", "chinese")


def test_a_forked_child_loads_its_own(splade: Path) -> None:
    model = loaded(splade)
    if not (child := os.fork()):
        try:
            model.embed_query("cat")
        except InferenceFailed as error:
            os._exit(0 if "load it again" in str(error) else 2)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert model.embed_query("cat") is not None


def test_fastembed_is_not_imported_for_bm25(tmp_path: Path) -> None:
    import subprocess

    script = (
        "import sys; from search.factory import build_words; from search.settings import Settings; "
        "words = build_words(Settings()); words(words.description).embed_query('cats'); sys.exit('fastembed' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
