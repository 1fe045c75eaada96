"""What a graph gives is looked at before anything is ranked by it: a wrong head gives plausible numbers."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from languages import exported
from onnx import helper
from tiny import FP32, HUB_CROSS_ENCODER, SHAPE, into_hub_cache, tiny_model, tiny_weights

from search.embedding.dense import FastEmbedEmbedder
from search.errors import ModelError, ModelIncomplete
from search.export.bert import build_bert
from search.export.graph import GraphBuilder
from search.factory import build_reranker
from search.reranking.cross_encoder import CrossEncoder
from search.settings import Settings

TEXTS = ["A cat sat on the mat.", "Qdrant keeps vectors.", "", "cat"]


def edited(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**(json.loads(file.read_text()) if file.is_file() else {}), **changes}))


def classifier(folder: Path, columns: int, *, declared: int | str | None = None, squeezed: bool = False) -> Path:
    """A cross-encoder whose classifier gives several numbers: the first is the negative of what one alone would give."""
    tiny_model(folder, "classifier")
    weights = tiny_weights(7)
    row, bias = weights["classifier.weight"], weights["classifier.bias"]
    weights["classifier.weight"] = np.concatenate([-row, row, *[0.3 * row] * columns])[:columns] if columns > 1 else row
    weights["classifier.bias"] = np.concatenate([-bias, bias, *[bias + 1] * columns])[:columns] if columns > 1 else bias
    model = build_bert(weights, SHAPE, "classifier", GraphBuilder(FP32))
    output = model.graph.output[0]
    if squeezed:
        model.graph.node.append(helper.make_node("Squeeze", ["logits", "one"], ["flat"]))  # `one` is an axis of the graph's own
        output.name = "flat"
        del output.type.tensor_type.shape.dim[1]
    else:
        output.type.tensor_type.shape.dim[1].Clear()
        if isinstance(declared, int):
            output.type.tensor_type.shape.dim[1].dim_value = declared
        elif declared:
            output.type.tensor_type.shape.dim[1].dim_param = declared
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder


def load(folder: Path) -> CrossEncoder:
    return CrossEncoder(str(folder), device="cpu", cache=folder.parent)


@pytest.mark.parametrize("declared", [2, "labels", None])
def test_a_head_of_two_scores_needs_a_recipe_that_says_which(declared: int | str | None, tmp_path: Path) -> None:
    one = load(classifier(tmp_path / "one", 1)).score("where do cats sit?", TEXTS).scores
    folder = classifier(tmp_path / "two", 2, declared=declared)
    edited(folder / "config.json", id2label={"0": "irrelevant", "1": "relevant"}, num_labels=2)
    with pytest.raises(
        ModelIncomplete, match=r'gives 2 scores a pair \(0: irrelevant, 1: relevant\).*recipe\.json.*\{"column": 1\}'
    ):
        load(folder)
    (folder / "recipe.json").write_text('{"column": 1}')
    assert load(folder).score("where do cats sit?", TEXTS).scores == pytest.approx(2 * one, abs=1e-3)  # the log-odds of the second
    (folder / "recipe.json").write_text('{"column": 0}')
    assert load(folder).score("where do cats sit?", TEXTS).scores == pytest.approx(-2 * one, abs=1e-3)


def test_the_score_of_a_column_is_the_log_odds_of_its_softmax(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "three", 3)
    (folder / "recipe.json").write_text('{"column": 1, "scale": 1}')
    reranker = load(folder)
    model = reranker._model
    pairs = model.tokenize([("cat", text) for text in TEXTS])
    logits = model.model.run(None, model._build_onnx_input(pairs))[0].astype(np.float64)
    chances = np.exp(logits[:, 1]) / np.exp(logits).sum(axis=1)
    scores = reranker.score("cat", TEXTS).scores
    assert [reranker.recipe.probability(float(score)) for score in scores] == pytest.approx(chances, abs=1e-4)


@pytest.mark.parametrize("recipe", ['{"column": 2}', '{"column": -1}', '{"column": 1.5}', '{"column": "relevant"}'])
def test_a_column_that_is_not_there(recipe: str, tmp_path: Path) -> None:
    folder = classifier(tmp_path / "two", 2)
    (folder / "recipe.json").write_text(recipe)
    with pytest.raises(ModelIncomplete, match="column"):
        load(folder)
    folder = classifier(tmp_path / "one", 1)
    (folder / "recipe.json").write_text('{"column": 1}')
    with pytest.raises(ModelIncomplete, match=r"gives 1 score a pair.*names column 1"):
        load(folder)


def test_one_logit_a_text_without_a_dimension_of_its_own(tmp_path: Path) -> None:
    one, flat = classifier(tmp_path / "one", 1), classifier(tmp_path / "flat", 1, squeezed=True)
    assert load(flat).score("cat", TEXTS).scores == pytest.approx(load(one).score("cat", TEXTS).scores, abs=1e-5)


def test_an_encoder_gives_no_score(tmp_path: Path) -> None:
    for name, folder in (
        ("tokens", tiny_model(tmp_path / "tokens", "encoder")),
        ("sentences", sentence_level(tiny_model(tmp_path / "sentences", "encoder"))),
    ):
        with pytest.raises(ModelIncomplete, match=rf"{name} gives (1 x .* numbers for 1 pair|64 scores a pair)"):
            load(folder)


def test_a_named_model_with_two_scores_is_refused(tmp_path: Path) -> None:
    into_hub_cache(classifier(tmp_path / "model", 2), tmp_path / "cache", *HUB_CROSS_ENCODER)
    with pytest.raises(ModelIncomplete, match="gives 2 scores a pair, and its recipe"):
        CrossEncoder(HUB_CROSS_ENCODER[0], device="cpu", cache=tmp_path / "cache")


def test_a_classifier_of_two_classes_is_not_exported(tmp_path: Path) -> None:
    folder = exported(tmp_path, "llama-classifier", "yes-no")
    graph = onnx.load(folder / "model.onnx", load_external_data=False)
    assert graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value == 1


@pytest.mark.parametrize("other", ["zerank-2", "pairwise", "listwise"])
def test_a_language_model_gives_what_its_head_reads(other: str, tmp_path: Path) -> None:
    """A graph that was exported for one head, with the recipe of another: too few scores, or too many."""
    graph = exported(tmp_path / "of", "qwen3", "yes-no" if other != "pairwise" else "zerank-2")
    recipe = exported(tmp_path / "other", "qwen3", other)
    shutil.copy(recipe / "recipe.json", graph)
    with pytest.raises(ModelIncomplete, match=r"gives \d scores, and its recipe reads \d+; export it again"):
        build_reranker(Settings(data_dir=tmp_path, device="cpu", reranker={"kind": "causal", "model": str(graph)}))


def test_a_language_model_without_the_output_that_its_head_reads(tmp_path: Path) -> None:
    graph, recipe = exported(tmp_path / "of", "qwen3", "yes-no"), exported(tmp_path / "other", "qwen3", "query-likelihood")
    shutil.copy(recipe / "recipe.json", graph)
    with pytest.raises(ModelIncomplete, match="has no output log_probabilities"):
        build_reranker(Settings(data_dir=tmp_path, device="cpu", reranker={"kind": "causal", "model": str(graph)}))


def test_a_cross_encoder_is_no_language_model(tmp_path: Path) -> None:
    graph, recipe = tiny_model(tmp_path / "of", "classifier"), exported(tmp_path / "other", "qwen3", "yes-no")
    for name in ("recipe.json", "tokenizer.json"):
        shutil.copy(recipe / name, graph)
    with pytest.raises(ModelIncomplete, match="has no input"):
        build_reranker(Settings(data_dir=tmp_path, device="cpu", reranker={"kind": "causal", "model": str(graph)}))


def sentence_level(folder: Path, name: str = "sentence_embedding") -> Path:
    """An embedder whose graph gives one vector a text."""
    model = onnx.load(folder / "model.onnx")
    axes = helper.make_tensor("axes", onnx.TensorProto.INT64, [1], [1])
    model.graph.initializer.append(axes)
    model.graph.node.append(helper.make_node("ReduceMean", ["last_hidden_state", "axes"], [name], keepdims=0))
    model.graph.output[0].name = name
    del model.graph.output[0].type.tensor_type.shape.dim[1]
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder


def embedder(folder: Path) -> FastEmbedEmbedder:
    return FastEmbedEmbedder(str(folder), device="cpu", cache=folder.parent)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last_token"])
def test_vectors_of_texts_are_not_pooled(pooling: str, tmp_path: Path) -> None:
    folder = sentence_level(tiny_model(tmp_path / "model", "encoder"))
    (folder / "recipe.json").write_text(json.dumps({"pooling": pooling}))
    with pytest.raises(ModelIncomplete, match=r'one vector a text \(sentence_embedding\).*\{"pooling": "disabled"\}'):
        embedder(folder)
    (folder / "recipe.json").write_text('{"pooling": "disabled"}')
    assert embedder(folder).embed_query("cat").shape == (64,)


def test_vectors_of_tokens_are_pooled(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", "encoder")
    (folder / "recipe.json").write_text('{"pooling": "disabled"}')
    with pytest.raises(ModelIncomplete, match="name the pooling"):
        embedder(folder)


def test_a_head_is_no_embedder(tmp_path: Path) -> None:
    with pytest.raises(ModelIncomplete, match="gives the logits of a head"):
        embedder(tiny_model(tmp_path / "classifier", "classifier"))
    folder = tiny_model(tmp_path / "model", "encoder")
    model = onnx.load(folder / "model.onnx")
    words = np.random.default_rng(1).normal(size=(64, 300)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(words, "head"))
    model.graph.node.append(helper.make_node("MatMul", ["last_hidden_state", "head"], ["prediction"]))
    model.graph.output[0].name = "prediction"
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_value = 300
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(
        ModelIncomplete, match=r'vectors of 300 dimensions \(prediction\), and 64 by its config.*\{"dimension": 300\}'
    ):
        embedder(folder)
    (folder / "recipe.json").write_text('{"dimension": 300}')
    assert embedder(folder).dimension == 300


def test_a_layer_behind_the_pooling_is_not_left_out(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", "encoder")
    kinds = ["models.Transformer", "models.Pooling", "models.Dense", "models.Normalize"]
    modules = [{"idx": n, "type": f"sentence_transformers.{kind}"} for n, kind in enumerate(kinds)]
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelIncomplete, match=r"modules\.json names Dense behind the graph"):
        embedder(folder)
    (folder / "modules.json").write_text(json.dumps([modules[0], modules[1], modules[3]]))
    embedder(folder)
    (folder / "modules.json").write_text('{"a": 1}')
    with pytest.raises(ModelIncomplete, match="no list of modules"):
        embedder(folder)


PADS = ["[PAD]", {"content": "[PAD]"}, {"__type": "AddedToken", "content": "[PAD]", "lstrip": False, "normalized": False}]


def test_special_tokens_as_objects(tmp_path: Path) -> None:
    """As transformers has written them, in either file; the vectors are the same, and so are scores."""
    vectors, scores = [], []
    for number, pad in enumerate(PADS):
        dense, pairs = tiny_model(tmp_path / f"dense{number}", "encoder"), tiny_model(tmp_path / f"pairs{number}", "classifier")
        for folder in (dense, pairs):
            edited(folder / "tokenizer_config.json", pad_token=pad)
            edited(folder / "special_tokens_map.json", pad_token=pad, additional_special_tokens=[pad])
        vectors.append(embedder(dense).embed_passages(TEXTS))
        scores.append(load(pairs).score("cat", TEXTS).scores)
    for other in (1, 2):
        assert vectors[other] == pytest.approx(vectors[0], abs=1e-6)
        assert scores[other] == pytest.approx(scores[0], abs=1e-6)


def test_a_second_folder_with_the_same_bytes(tmp_path: Path) -> None:
    """Both work, in one process, though their graphs lie in different places; and so does one that takes the place of another."""
    dense, pairs = tiny_model(tmp_path / "dense", "encoder"), tiny_model(tmp_path / "pairs", "classifier")
    first, scores = embedder(dense), load(pairs).score("cat", TEXTS).scores
    for folder in (dense, pairs):
        shutil.copytree(folder, tmp_path / f"{folder.name}-copy" / "onnx" / "..", dirs_exist_ok=True)
        copy = tmp_path / f"{folder.name}-copy"
        (copy / "onnx").mkdir(exist_ok=True)
        (copy / "model.onnx").rename(copy / "onnx" / "model.onnx")
        shutil.rmtree(folder)
    second = embedder(tmp_path / "dense-copy")
    assert second.fingerprint.partition("@")[2] == first.fingerprint.partition("@")[2]
    assert second.embed_query("cat") == pytest.approx(first.embed_query("cat"), abs=1e-6)
    assert load(tmp_path / "pairs-copy").score("cat", TEXTS).scores == pytest.approx(scores, abs=1e-6)
    tiny_model(dense, "encoder", seed=9)
    assert embedder(dense).embed_query("cat") != pytest.approx(first.embed_query("cat"), abs=1e-3)


@pytest.mark.parametrize("tokens", [1, 4, 10])
def test_a_window_without_room(tokens: int, tmp_path: Path) -> None:
    with pytest.raises(ModelIncomplete, match="leaves no room"):
        load(tiny_model(tmp_path / "pairs", "classifier", max_tokens=tokens))
    with pytest.raises(ModelIncomplete, match="leaves no room"):
        embedder(tiny_model(tmp_path / "dense", "encoder", max_tokens=min(tokens, 9)))


@pytest.mark.parametrize("model", ["WordPiece", "WordLevel", "Unigram", "BPE", "no unknown"])
def test_tokenizers_without_words(model: str, tmp_path: Path) -> None:
    for folder, make in (
        (tiny_model(tmp_path / "dense", "encoder"), embedder),
        (tiny_model(tmp_path / "pairs", "classifier"), load),
    ):
        content = json.loads((folder / "tokenizer.json").read_text())
        match model:
            case "no unknown":
                content["model"]["vocab"].pop("[UNK]")
                content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] != "[UNK]"]
            case "Unigram":
                content["model"] = {"type": model, "vocab": [], "unk_id": None}
            case _:
                content["model"] = {**content["model"], "type": model, "vocab": {}, **({"merges": []} if model == "BPE" else {})}
        (folder / "tokenizer.json").write_text(json.dumps(content))
        with pytest.raises(ModelIncomplete, match=r"tokenizer\.json|cannot be used"):
            make(folder)


@pytest.mark.parametrize(
    "name", ["config.json", "special_tokens_map.json", "tokenizer.json", "1_Pooling/config.json", "model.onnx"]
)
@pytest.mark.timeout(60)
def test_a_pipe_among_the_files(name: str, tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", "encoder")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ModelError, match="no regular file"):
        embedder(folder)
