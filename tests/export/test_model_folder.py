"""`search export`: a folder that serves, or none at all, and a reason."""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from checkpoints import CONFIGS, token_rows, tokenizer, write_checkpoint
from filelock import FileLock
from languages import GOLDEN, checkpoint, exported, recipe_file
from tokenizers import Tokenizer
from tokenizers.models import Unigram
from tokenizers.pre_tokenizers import Metaspace
from tokenizers.processors import TemplateProcessing

from search.errors import (
    DeviceUnavailable,
    ExportFailed,
    InvalidSettings,
    ModelCorrupt,
    ModelIncomplete,
    ModelNotFound,
    SearchError,
    UnsupportedModel,
)
from search.export import plan
from search.export.model_folder import ExportReport, export
from search.export.plan import make_plan
from search.export.precision import precision
from search.export.rope import rope_tables
from search.export.shapes import DecoderShape
from search.factory import build_reranker
from search.reranking.causal import CausalReranker
from search.reranking.cross_encoder import CrossEncoder
from search.reranking.language_model import LanguageModel
from search.reranking.listwise import ListwiseReranker
from search.reranking.pairwise import PairwiseReranker
from search.reranking.recipe import find, names, published_for
from search.settings import Settings

FP32 = precision("fp32")
SEARCH = Path(sys.executable).with_name("search")


def run(source: Path | str, out: Path, recipe: Path | str | None = None, **options: Any) -> ExportReport:
    weights = options.pop("precision", FP32)
    return export(
        str(source), out, precision=weights, recipe=str(recipe) if recipe else None, cache=out.parent / "cache", **options
    )


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return checkpoint(tmp_path / "checkpoint", "llama")


@pytest.mark.parametrize("name", ["bert", "roberta", "xlm-roberta"])
def test_cross_encoders_give_the_scores_of_transformers(name: str, tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "checkpoint", name)
    (source / "tokenizer_config.json").write_text('{"pad_token": "<|endoftext|>", "model_max_length": 10000}')
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({"pad_token_id": 440, **config}))
    report = run(source, tmp_path / "model")
    assert (report.recipe, report.golden) == ("none", 0)
    assert report.max_tokens == 130 - (0 if name == "bert" else 2)
    reranker = CrossEncoder(str(tmp_path / "model"), device="cpu", cache=tmp_path)
    assert reranker.recipe.max_tokens == report.max_tokens
    session = reranker._model.model
    rows = token_rows(CONFIGS[name], tuple(GOLDEN["lengths"]))
    longest = max(map(len, rows))
    lengths = np.array([[len(row)] for row in rows])
    feed = {
        "input_ids": np.array([row + [3] * (longest - len(row)) for row in rows], np.int64),
        "attention_mask": (np.arange(longest) < lengths).astype(np.int64),
    }
    wanted = {entry.name for entry in session.get_inputs()}
    if "token_type_ids" in wanted:
        feed["token_type_ids"] = np.zeros_like(feed["input_ids"])
    assert session.run(None, feed)[0] == pytest.approx(np.array(GOLDEN["models"][name]["scores"]), abs=1e-4)


@pytest.mark.parametrize(
    ("chosen", "devices"),
    [(("fp32",), ("cpu",)), (("fp16",), ("cpu", "cuda")), (("bf16",), ("cuda",)), (("int4", "bf16"), ("cuda",))],
)
def test_the_report_says_where_a_model_runs(chosen: tuple[Any, ...], devices: tuple[str, ...], llama: Path, tmp_path: Path) -> None:
    assert run(llama, tmp_path / "model", "yes-no", precision=precision(*chosen)).devices == devices
    if devices == ("cuda",):
        with pytest.raises(DeviceUnavailable, match="calculates in bf16"):
            LanguageModel(str(tmp_path / "model"), device="auto")


@pytest.mark.parametrize("weights", ["fp16", "int8", "int4"])
def test_cross_encoders_in_other_precisions(weights: str, tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "checkpoint", "bert")
    (source / "tokenizer_config.json").write_text('{"pad_token": "<|endoftext|>"}')
    run(source, tmp_path / "exact")
    run(source, tmp_path / "rounded", precision=precision(weights))
    texts = ["the cat sleeps", "a dog", "What is the answer?", "no", "passage query relevant", "yes yes yes"] * 3
    texts = [f"{text} {number}" for number, text in enumerate(texts)]
    exact, rounded = (
        CrossEncoder(str(tmp_path / name), device="cpu", cache=tmp_path).score("cat", texts).scores for name in ("exact", "rounded")
    )
    assert np.corrcoef(exact, rounded)[0, 1] > (0.6 if weights == "int4" else 0.98)


def test_every_recipe_is_for_something() -> None:
    assert names() == [
        "bge-reranker-v2-m3",
        "listwise",
        "pairwise",
        "query-likelihood",
        "qwen3-reranker",
        "yes-no",
        "zerank-1",
        "zerank-1-small",
        "zerank-2",
    ]
    assert published_for("zeroentropy/zerank-1-small") == published_for("zerank-1-small") == "zerank-1-small"
    assert published_for("Qwen/Qwen3-Reranker-0.6B") == "qwen3-reranker"
    assert published_for("BAAI/bge-reranker-v2-m3") == "bge-reranker-v2-m3"
    assert published_for("somebody/zerank-1-small-finetuned") is None
    assert find("zerank-2").note


@pytest.mark.parametrize(
    ("recipe", "kind"),
    [
        ("yes-no", CausalReranker),
        ("query-likelihood", CausalReranker),
        ("listwise", ListwiseReranker),
        ("pairwise", PairwiseReranker),
    ],
)
def test_the_recipe_decides_the_kind_of_reranker(recipe: str, kind: type, tmp_path: Path) -> None:
    folder = exported(tmp_path, "mistral-whole", recipe, weights="int8")
    settings = Settings(data_dir=tmp_path, device="cpu", reranker={"kind": "causal", "model": str(folder), "weight": 0.5})
    reranker = build_reranker(settings)
    assert type(reranker) is kind
    assert reranker is not None
    assert reranker.recipe.weight == 0.5
    assert (reranker.name, reranker.device) == ("model", "cpu")


def test_one_model_under_two_settings_that_do_not_fit(tmp_path: Path) -> None:
    folder = exported(tmp_path, "llama", "yes-no")
    with pytest.raises(ModelIncomplete, match="SEARCH_RERANKER__KIND=causal"):
        CrossEncoder(str(folder), device="cpu", cache=tmp_path)


def test_a_folder_with_a_published_name_needs_no_recipe(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "zerank-1-small", "qwen3")
    with pytest.raises(UnsupportedModel, match=r"for another tokenizer: it wants the ids \{'Yes': 9454\}"):
        run(source, tmp_path / "model")
    unknown = checkpoint(tmp_path / "mine", "qwen3")
    with pytest.raises(UnsupportedModel, match=r"say with --recipe how it is to be asked.*zerank-2.*plausible but wrong"):
        run(unknown, tmp_path / "model")


def test_tied_embeddings_that_are_stored_twice(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "checkpoint", "qwen3")
    held = safetensors.numpy.load_file(source / "model.safetensors")
    held |= {"lm_head.weight": held["model.embed_tokens.weight"], "model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(4)}
    safetensors.numpy.save_file(held, source / "model.safetensors")
    run(source, tmp_path / "model", recipe_file(tmp_path, "zerank-2"))


def edited(source: Path, change: Any) -> None:
    held = safetensors.numpy.load_file(source / "model.safetensors")
    change(held)
    safetensors.numpy.save_file(held, source / "model.safetensors")


def refuse(
    source: Path | str, error: type[SearchError], words: str, tmp_path: Path, recipe: str = "yes-no", **options: Any
) -> None:
    with pytest.raises(error, match=words):
        run(source, tmp_path / "model", recipe, **options)
    left = {path.name for path in tmp_path.iterdir()}
    assert not [name for name in left if name.startswith(("model", ".model"))], left


def test_a_missing_tensor(llama: Path, tmp_path: Path) -> None:
    edited(llama, lambda held: held.pop("model.layers.1.mlp.up_proj.weight"))
    refuse(llama, ModelIncomplete, r"lacks 1 tensor of its config\.json, such as model\.layers\.1\.mlp\.up_proj\.weight", tmp_path)


def test_a_tensor_too_many(llama: Path, tmp_path: Path) -> None:
    edited(llama, lambda held: held.update({"model.layers.0.self_attn.q_norm.weight": np.ones(32, np.float32)}))
    refuse(llama, UnsupportedModel, r"1 tensor that a model of its config\.json has no use for, such as .*q_norm", tmp_path)


def test_a_weight_too_large_for_half_precision(llama: Path, tmp_path: Path) -> None:
    edited(llama, lambda held: held["model.layers.0.mlp.up_proj.weight"].__setitem__((0, 0), 1e5))
    refuse(llama, UnsupportedModel, "larger than fp16 can hold; export with bf16 or fp32", tmp_path, precision=precision("fp16"))


def test_several_classes(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "checkpoint", "llama-classifier")
    edited(source, lambda held: held.update({"score.weight": np.ones((3, 128), np.float32)}))
    refuse(source, UnsupportedModel, "gives 3 scores; a reranker has one", tmp_path)
    source = checkpoint(tmp_path / "encoder", "bert")
    edited(source, lambda held: held.update({"classifier.weight": np.ones((2, 64), np.float32)}))
    with pytest.raises(UnsupportedModel, match="gives 2 scores"):
        run(source, tmp_path / "model")


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_missing_file(file: str, llama: Path, tmp_path: Path) -> None:
    (llama / file).unlink()
    refuse(llama, ModelIncomplete, re.escape(file), tmp_path)


def test_a_corrupt_file(llama: Path, tmp_path: Path) -> None:
    weights = llama / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    refuse(llama, ModelCorrupt, r"model\.safetensors is damaged", tmp_path)


def test_tensors_of_another_size_or_kind(llama: Path, tmp_path: Path) -> None:
    name = "model.layers.0.mlp.down_proj.weight"
    edited(llama, lambda held: held.update({name: np.ascontiguousarray(held[name].T)}))
    refuse(llama, ModelIncomplete, "down_proj.weight is 288 x 128, but 128 x 288 by config.json", tmp_path)
    edited(llama, lambda held: held.update({name: held[name].T.astype(np.int8)}))
    refuse(llama, UnsupportedModel, "down_proj.weight is stored as I8; export from the original weights", tmp_path)


@pytest.mark.parametrize("weights", ["fp32", "int8", "int4"])
def test_weights_that_are_not_numbers(weights: str, llama: Path, tmp_path: Path) -> None:
    edited(llama, lambda held: held["model.layers.1.mlp.up_proj.weight"].__setitem__((3, 3), np.nan))
    refuse(llama, ModelCorrupt, "up_proj.weight holds values that are not numbers", tmp_path, precision=precision(weights))


def test_a_head_that_is_stored_beside_tied_embeddings_and_differs_is_read(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "checkpoint", "qwen3")
    recipe = recipe_file(tmp_path, "zerank-2", max_tokens=300)
    run(source, tmp_path / "tied", recipe)
    edited(source, lambda held: held.update({"lm_head.weight": held["model.embed_tokens.weight"] * 2}))
    run(source, tmp_path / "apart", recipe)
    rerankers = [CausalReranker(LanguageModel(str(tmp_path / name), device="cpu")) for name in ("tied", "apart")]
    tied, apart = (reranker.score("a", ["cat"]).scores[0] for reranker in rerankers)
    assert apart == pytest.approx(2 * tied, rel=1e-4)


def test_shards_lie_beside_their_index(llama: Path, tmp_path: Path) -> None:
    (llama / "model.safetensors.index.json").write_text('{"weight_map": {"model.norm.weight": "/etc/passwd"}}')
    refuse(llama, ModelIncomplete, "lacks the shards passwd", tmp_path)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"is_causal": False}, UnsupportedModel, "is_causal = False"),
        ({"auto_map": {"AutoModelForCausalLM": "modeling.Model"}}, UnsupportedModel, "code of its own for AutoModelForCausalLM"),
        ({"rope_parameters": {"full_attention": {"rope_theta": 1e6}}}, UnsupportedModel, "rotary embeddings for full_attention"),
        ({"intermediate_size": None}, ModelIncomplete, "does not say 'intermediate_size'"),
        ({"rope_scaling": "yarn"}, ModelIncomplete, "cannot be understood"),
        ({"rope_scaling": {"rope_type": "linear", "factor": "two"}}, ModelIncomplete, "cannot be understood"),
        ({"num_hidden_layers": "three"}, ModelIncomplete, "cannot be understood"),
        ({"num_attention_heads": 0}, ModelIncomplete, "cannot be understood"),
        ({"architectures": 5}, ModelIncomplete, "cannot be understood"),
    ],
)
def test_configs_that_the_graph_would_get_wrong(
    changes: dict[str, Any], error: type[SearchError], words: str, llama: Path, tmp_path: Path
) -> None:
    refuse(changed_config(llama, **changes), error, words, tmp_path)


def test_code_that_changes_nothing_is_no_obstacle(tmp_path: Path) -> None:
    """zerank's checkpoints name a configuration of their own, which is Qwen3's."""
    source = checkpoint(tmp_path / "zerank-1-small", "qwen3")
    changed_config(source, auto_map={"AutoConfig": "modeling_zeranker.ZEConfig", "AutoModelForCausalLM": "modeling_zeranker.Model"})
    recipe = recipe_file(tmp_path, "zerank-1-small", max_tokens=300)
    run(source, tmp_path / "model", recipe)


def test_an_encoder_that_masks_what_comes_later(tmp_path: Path) -> None:
    source = changed_config(checkpoint(tmp_path / "checkpoint", "roberta"), is_decoder=True)
    with pytest.raises(UnsupportedModel, match="is_decoder = True"):
        run(source, tmp_path / "model")


def test_windows_of_configs_that_leave_them_out() -> None:
    sliding = {key: value for key, value in CONFIGS["qwen3-sliding"].items() if key not in {"sliding_window", "max_window_layers"}}
    assert DecoderShape.from_config({**sliding, "num_hidden_layers": 30}).windows == (*[-1] * 28, 4096, 4096)
    assert DecoderShape.from_config({**sliding, "sliding_window": None}).windows == (-1,) * 3
    mistral = {key: value for key, value in CONFIGS["mistral"].items() if key != "sliding_window"}
    assert DecoderShape.from_config(mistral).windows == (4096,) * 3
    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    assert DecoderShape.from_config({**CONFIGS["qwen3-sliding"], "layer_types": kinds}).windows == (12, -1, 12)
    with pytest.raises(UnsupportedModel, match="layer_types"):
        DecoderShape.from_config({**CONFIGS["qwen3-sliding"], "layer_types": ["chunked_attention"] * 3})


def test_the_original_length_beside_the_rope_comes_first() -> None:
    config = {**CONFIGS["llama-yarn"], "original_max_position_embeddings": 64}
    rope = {key: value for key, value in config["rope_scaling"].items() if key != "original_max_position_embeddings"}
    stated, beside = (rope_tables(each, 32, 50) for each in (CONFIGS["llama-yarn"], {**config, "rope_scaling": rope}))
    assert all(np.array_equal(a, b) for a, b in zip(stated, beside, strict=True))


def sentencepiece(source: Path) -> Path:
    """A tokenizer of Llama 2's kind: words begin with a mark, and a text with one, too."""
    pieces = ["<unk>", "▁Yes", "Yes", "▁No", "No", *"▁\n[abcdefghijklmnopqrstuvwxyz"]
    made = Tokenizer(Unigram([(piece, -1.0 if len(piece) > 1 else -3.0) for piece in pieces], unk_id=0))
    made.pre_tokenizer = Metaspace(prepend_scheme="first", split=True)
    made.save(str(source / "tokenizer.json"))
    return source


def test_a_token_is_the_one_that_comes_after_the_prompt(llama: Path, tmp_path: Path) -> None:
    """Alone, "Yes" would be another token than behind a line break."""
    head = {"kind": "token_logits", "tokens": {"Yes": 1.0, " No": -1.0}}
    recipe = recipe_file(tmp_path / "recipes", "yes-no", head=head, template="{query}{document}\n[")
    run(sentencepiece(llama), tmp_path / "model", recipe)
    told = json.loads((tmp_path / "model" / "recipe.json").read_text())
    assert told["head"]["ids"] == {"Yes": 2, " No": 3}


@pytest.mark.parametrize(
    ("single", "words"), [("$A <|endoftext|>", "behind the prompt"), ("<|im_start|> $A", "once more the one it begins with")]
)
def test_tokenizers_that_add_tokens_where_none_may_be(single: str, words: str, tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "checkpoint", "qwen3")
    made = Tokenizer.from_file(str(source / "tokenizer.json"))
    special = [(token, made.token_to_id(token)) for token in ("<|endoftext|>", "<|im_start|>")]
    made.post_processor = TemplateProcessing(single=single, special_tokens=special)
    made.save(str(source / "tokenizer.json"))
    recipe = recipe_file(tmp_path / "recipes", "zerank-2", max_tokens=300)
    refuse(source, UnsupportedModel, words, tmp_path, str(recipe))
    run(source, tmp_path / "model", recipe_file(tmp_path / "recipes", "zerank-2", max_tokens=300, special_tokens=False))


def test_golden_pairs_stand_on_lines_of_json_which_other_separators_do_not_end(tmp_path: Path) -> None:
    golden = tmp_path / "golden.jsonl"
    pairs = [{"query": query, "document": "a\u0085b", "score": 1.0, "source": "c"} for query in ("one\u2028still", "two")]
    golden.write_bytes("\r\n".join(json.dumps(pair, ensure_ascii=False) for pair in pairs).encode())
    assert [pair.query for pair in plan._golden(golden)] == ["one\u2028still", "two"]


@pytest.mark.parametrize("recipe", ["listwise", "pairwise"])
def test_models_that_compare_have_no_golden_scores_but_their_tokens_are_checked(recipe: str, tmp_path: Path) -> None:
    golden = tmp_path / "golden.jsonl"
    golden.write_text(json.dumps({"query": "a", "document": "b", "score": 1, "source": "c"}))
    with pytest.raises(UnsupportedModel, match="compares texts with one another"):
        exported(tmp_path / "golden", "llama", recipe, golden=golden)
    folder = exported(tmp_path / "model", "llama", recipe)
    text = (folder / "tokenizer.json").read_text()
    made = json.loads(text)
    vocabulary = made["model"]["vocab"]
    first, second = ("A", "B") if recipe == "listwise" else ("ĠA", "ĠB")
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (folder / "tokenizer.json").write_text(json.dumps(made))
    with pytest.raises(ModelIncomplete, match="its tokenizer as"):
        LanguageModel(str(folder), device="cpu")


def test_longest_prompts_that_hold_no_prompt(llama: Path, tmp_path: Path) -> None:
    refuse(llama, UnsupportedModel, "tokens without query and document", tmp_path, max_tokens=10)
    refuse(llama, UnsupportedModel, "tokens without query and document", tmp_path, "listwise", max_tokens=60)


def test_an_encoder_that_does_not_say_what_pads(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "checkpoint", "bert")
    with pytest.raises(ModelIncomplete, match="add pad_token to its tokenizer_config"):
        run(source, tmp_path / "model")
    pad = Tokenizer.from_file(str(source / "tokenizer.json")).token_to_id("<|endoftext|>")
    run(changed_config(source, pad_token_id=pad), tmp_path / "model")
    assert CrossEncoder(str(tmp_path / "model"), device="cpu", cache=tmp_path).score("a", ["b"]).scores.shape == (1,)


@pytest.mark.parametrize("name", ["tokenizer_config.json", "special_tokens_map.json"])
def test_special_tokens_that_are_objects(name: str, tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "checkpoint", "xlm-roberta")
    token = {"__type": "AddedToken", "content": "<|endoftext|>", "lstrip": False, "normalized": False}
    (source / name).write_text(json.dumps({"pad_token": token, "eos_token": token, "additional_special_tokens": [token]}))
    run(source, tmp_path / "model")
    assert CrossEncoder(str(tmp_path / "model"), device="cpu", cache=tmp_path).score("a", ["b", "c d"]).scores.shape == (2,)


def test_tensors_that_old_trainers_left(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "checkpoint", "roberta")
    (source / "tokenizer_config.json").write_text('{"pad_token": "<|endoftext|>"}')
    pooler = {"roberta.pooler.dense.weight": np.ones((64, 64), np.float32), "roberta.pooler.dense.bias": np.ones(64, np.float32)}
    edited(source, lambda held: held.update(pooler))
    run(source, tmp_path / "model")


def test_positions_of_configs_that_say_nothing() -> None:
    config = {key: value for key, value in CONFIGS["llama"].items() if key != "rope_theta"}
    assert all(
        np.array_equal(a, b) for a, b in zip(rope_tables(config, 32, 50), rope_tables(CONFIGS["llama"], 32, 50), strict=True)
    )


def test_a_tokenizer_that_is_none(llama: Path, tmp_path: Path) -> None:
    (llama / "tokenizer.json").write_text('{"model": 5}')
    refuse(llama, ModelIncomplete, r"tokenizer\.json is no tokenizer", tmp_path)


def test_folders_that_cannot_be_written(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for out, words in ((tmp_path / "file" / "out", "cannot be written"), (tmp_path / "link", "exists already")):
        with pytest.raises(ExportFailed, match=words):
            run(llama, out, "yes-no")
    with pytest.raises(ExportFailed, match="cannot be written"):
        run(llama, tmp_path / ("n" * 300), "yes-no")


def test_a_folder_that_another_export_finished_meanwhile(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    def slowly(*arguments: Any) -> Any:
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "theirs").touch()
        return make_plan(*arguments)

    monkeypatch.setattr("search.export.model_folder.make_plan", slowly)
    with pytest.raises(ExportFailed, match="exists already"):
        run(llama, tmp_path / "model", "yes-no")
    assert (tmp_path / "model" / "theirs").exists()


def test_shards(llama: Path, tmp_path: Path) -> None:
    write_checkpoint(llama, CONFIGS["llama"], shards=3)
    (llama / "model.safetensors").unlink()
    shard = llama / "model-00002-of-00003.safetensors"
    kept = shard.read_bytes()
    shard.write_bytes(kept[:100])
    refuse(llama, ModelCorrupt, "model-00002-of-00003.safetensors is damaged", tmp_path)
    shard.unlink()
    refuse(llama, ModelIncomplete, "lacks the shards model-00002-of-00003.safetensors", tmp_path)
    shutil.copy(llama / "model-00001-of-00003.safetensors", shard)
    refuse(llama, ModelIncomplete, r"the shards lack \d+ tensors that the index names", tmp_path)
    (llama / "model.safetensors.index.json").write_text("{}")
    refuse(llama, ModelIncomplete, "has no weight_map", tmp_path)


def test_other_formats(llama: Path, tmp_path: Path) -> None:
    (llama / "model.safetensors").rename(llama / "pytorch_model.bin")
    refuse(llama, UnsupportedModel, r"only torch can read; save it with save_pretrained", tmp_path)
    (llama / "adapter_config.json").write_text("{}")
    refuse(llama, UnsupportedModel, "LoRA adapter; merge it", tmp_path)


def changed_config(source: Path, **changes: Any) -> Path:
    config = json.loads((source / "config.json").read_text())
    config = {key: value for key, value in {**config, **changes}.items() if value is not None}
    (source / "config.json").write_text(json.dumps(config))
    return source


def test_other_architectures(llama: Path, tmp_path: Path) -> None:
    refuse(
        changed_config(llama, quantization_config={"quant_method": "fp8"}), UnsupportedModel, r"quantized already \(fp8\)", tmp_path
    )
    changed_config(llama, quantization_config=None)
    for name in ("GemmaForCausalLM", "LlamaModel", "BertModel"):
        refuse(changed_config(llama, architectures=[name]), UnsupportedModel, f"of the architecture {name}", tmp_path)
    refuse(
        changed_config(llama, architectures=["LlamaForCausalLM"], num_hidden_layers=None),
        ModelIncomplete,
        "num_hidden_layers",
        tmp_path,
    )


def test_recipes_that_do_not_fit(llama: Path, tmp_path: Path) -> None:
    refuse(llama, UnsupportedModel, "no recipe is called 'nothing'", tmp_path, "nothing")
    refuse(llama, UnsupportedModel, "bge-reranker-v2-m3 is for encoders", tmp_path, "bge-reranker-v2-m3")
    head = {"kind": "token_logits", "tokens": {"certainly": 1.0}}
    file = recipe_file(tmp_path / "recipes", "yes-no", head=head)
    refuse(llama, UnsupportedModel, "'certainly', whose score the recipe reads, is no single token", tmp_path, str(file))
    file = recipe_file(tmp_path / "recipes", "yes-no", head={"kind": "classification"})
    refuse(llama, UnsupportedModel, "reads a classifier, and LlamaForCausalLM has none", tmp_path, str(file))
    file.write_text('{"template": "{query} {document}", "head": {"kind": "listwise", "item": "{document}"}, "scale": -1}')
    refuse(llama, ModelIncomplete, "cannot be used: ", tmp_path, str(file))
    file.write_text("[]")
    refuse(llama, ModelIncomplete, "holds no JSON object", tmp_path, str(file))
    classifier = checkpoint(tmp_path / "classifier", "llama-classifier")
    refuse(classifier, UnsupportedModel, "has a classifier instead", tmp_path, "listwise")
    encoder = checkpoint(tmp_path / "encoder", "bert")
    refuse(encoder, UnsupportedModel, "takes no prompt", tmp_path, "yes-no")
    with pytest.raises(UnsupportedModel, match="not calculated in bf16"):
        run(encoder, tmp_path / "model", precision=precision("bf16"))


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"template": "{query}"}, "a template without a head"),
        ({"head": {"kind": "classification"}, "template": "{query} {text}"}, r"has the slots \['query', 'text'\]"),
        ({"head": {"kind": "classification"}, "template": "{query}{document}", "instruction": "x"}, "says where it stands"),
        (
            {"head": {"kind": "listwise", "item": "{identifier}{document}", "window": 30}, "template": "{query}{passages}"},
            "as many different identifiers",
        ),
        (
            {"head": {"kind": "listwise", "item": "{identifier}{document}", "stride": 20}, "template": "{query}{passages}"},
            "smaller than the window",
        ),
        ({"weight": 2}, "weight"),
        ({"wait": 1}, "wait"),
    ],
)
def test_recipes_that_contradict_themselves(recipe: dict[str, Any], words: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    with pytest.raises(ModelIncomplete, match=words):
        find(str(tmp_path / "recipe.json"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("fp8",), "weights fp8 are not known"),
        (("int4", "int8"), "activations int8 are not known"),
        (("fp16", "fp32"), "only int8 and int4 take other activations"),
        (("int4", None, 7), "blocks of 7"),
        (("fp16", None, 32), "weights in fp16 have no blocks"),
    ],
)
def test_precisions_that_do_not_exist(given: tuple[Any, ...], words: str) -> None:
    with pytest.raises(InvalidSettings, match=words):
        precision(*given)


def test_golden_files_that_cannot_be_read(llama: Path, tmp_path: Path) -> None:
    for content in ("[1]", '{"query": "q"}', "{"):
        (tmp_path / "golden.jsonl").write_text(content)
        refuse(llama, ModelIncomplete, "holds no golden pairs, one JSON object a line", tmp_path, golden=tmp_path / "golden.jsonl")


def test_nothing_is_overwritten(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(ExportFailed, match="exists already; name another folder"):
        run(llama, tmp_path / "model", "yes-no")


def test_one_export_at_a_time(llama: Path, tmp_path: Path) -> None:
    with FileLock(tmp_path / ".model.lock"), pytest.raises(ExportFailed, match="another process is exporting"):
        run(llama, tmp_path / "model", "yes-no")


def test_a_disk_that_is_too_small(llama: Path, tmp_path: Path) -> None:
    """A file with holes in it, as large as no disk: refused by its header, before anything is read."""
    config = {**CONFIGS["llama"], "vocab_size": 4_000_000_000}
    (llama / "config.json").write_text(json.dumps(config))
    header: dict[str, Any] = {}
    size = 0
    for name, shape in DecoderShape.from_config(config).tensors().items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [size, size + 4 * math.prod(shape)]}
        size += 4 * math.prod(shape)
    encoded = json.dumps(header).encode()
    with (llama / "model.safetensors").open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        try:
            file.truncate(8 + len(encoded) + size)
        except OSError:
            pytest.skip("this file system has no files with holes of this size")
    refuse(llama, ExportFailed, r"needs about 4,09\d\.\d GB, and .* left; name a folder on another disk", tmp_path)


def test_names_of_the_hub(tmp_path: Path) -> None:
    """Downloaded ones are found without a network; others say what to do. There is no hub here to download from."""
    refuse("zerank", ModelNotFound, "neither a folder with a checkpoint nor a name on the model hub", tmp_path)
    refuse(str(tmp_path / "nowhere"), ModelNotFound, "neither a folder", tmp_path)
    snapshot = tmp_path / "cache" / "models--somebody--tiny" / "snapshots" / ("0" * 40)
    checkpoint(snapshot, "llama")
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0" * 40)
    script = (
        "import sys; from pathlib import Path; from search.export.checkpoint import fetch\n"
        "print(fetch(sys.argv[1], None, Path(sys.argv[2])))"
    )
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9"}

    def fetch(name: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", script, name, str(tmp_path / "cache")]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert fetch("somebody/tiny").stdout.strip() == str(snapshot)
    missing = fetch("somebody/unknown")
    assert "search.errors.ModelUnavailable" in missing.stderr
    assert "copy the checkpoint's folder here and give its path" in missing.stderr


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT])
def test_killed_midway_leaves_nothing_that_looks_finished(signal_number: int, tmp_path: Path) -> None:
    config = {**CONFIGS["llama"], "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 3}
    source = write_checkpoint(tmp_path / "checkpoint", config)
    tokenizer().save(str(source / "tokenizer.json"))
    out = tmp_path / "model"
    command = [str(SEARCH), "export", str(source), str(out), "--weights", "int4", "--recipe", "yes-no"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        unfinished = tmp_path / "model.unfinished" / "model.onnx.data"
        deadline = time.monotonic() + 60
        while not (unfinished.is_file() and unfinished.stat().st_size > 1_000_000) and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal_number)
        process.communicate()
        assert process.returncode != 0
    assert not out.exists()
    assert (tmp_path / "model.unfinished").exists() == (signal_number == signal.SIGKILL)
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert report["weights"] == "int4"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint", "model"]
    assert LanguageModel(str(out), device="cpu").recipe.max_tokens == report["max_tokens"] == 1024


def test_memory_is_bounded_by_tensors_not_by_the_checkpoint(tmp_path: Path) -> None:
    """Twelve times the layers, the same peak within a fifth: nothing of a layer outlives it."""
    if not Path("/proc/self/status").is_file():
        pytest.skip("only Linux tells the peak of a process")
    script = (
        "import re, sys; from pathlib import Path; from search.export.model_folder import export\n"
        "from search.export.precision import precision\n"
        "export(sys.argv[1], Path(sys.argv[2]), precision=precision('fp16'), recipe='yes-no', cache=Path(sys.argv[2]).parent)\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    peaks = []
    for layers in (2, 24):
        config = {**CONFIGS["llama"], "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": layers}
        source = write_checkpoint(tmp_path / f"checkpoint-{layers}", config, dtype="bfloat16", shards=2)
        tokenizer().save(str(source / "tokenizer.json"))
        command = [sys.executable, "-c", script, str(source), str(tmp_path / f"model-{layers}")]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_hidden_layers": 10**9}, "1000000000 layers"),
        ({"num_hidden_layers": 0}, "0 layers"),
        ({"num_hidden_layers": -1}, "-1 layers"),
        ({"head_dim": 16 * 10**9}, "heads of 16000000000 dimensions"),
        ({"head_dim": -16}, "heads of -16 dimensions"),
        ({"max_position_embeddings": -5}, "reads -5 tokens"),
        ({"num_key_value_heads": 3}, "4 heads and 3 for keys"),
        ({"quantization_config": "fp8"}, r"quantized already \(fp8\)"),
        ({"quantization_config": ["fp8"]}, "quantized already"),
        ({"auto_map": ["AutoModel", 5]}, "code of its own"),
        ({"auto_map": "AutoModel"}, "code of its own"),
        ({"rope_theta": float("nan")}, "cannot be understood"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 0}}, "cannot be understood"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 1e308, "attention_factor": 1e308}}, "cannot be understood"),
        ({"rms_norm_eps": float("nan")}, "cannot be understood"),
        ({"rms_norm_eps": -1.0}, "cannot be understood"),
        ({"architectures": [["LlamaForCausalLM"]]}, "of the architecture"),
        ({"architectures": ["x" * 1_000_000]}, "of the architecture"),
        ({"model_type": ["llama"]}, "model_type"),
        ({"hidden_act": {"silu": 1}}, "hidden_act"),
        ({"model_type": "mistral", "sliding_window": 10**30, "architectures": ["MistralForCausalLM"]}, "sliding_window"),
        ({"model_type": "mistral", "sliding_window": -3, "architectures": ["MistralForCausalLM"]}, "sliding_window"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_configs_of_sizes_that_no_model_has(changes: dict[str, Any], words: str, llama: Path, tmp_path: Path) -> None:
    config = json.loads((llama / "config.json").read_text())
    (llama / "config.json").write_text(json.dumps({**config, **changes}))
    started = time.monotonic()
    with pytest.raises((UnsupportedModel, ModelIncomplete), match=words) as caught:
        run(llama, tmp_path / "model", "yes-no")
    assert time.monotonic() - started < 20
    assert len(str(caught.value)) < 2_000
    assert not (tmp_path / "model").exists()


def test_positions_beyond_what_is_read_are_no_matter(llama: Path, tmp_path: Path) -> None:
    changed_config(llama, max_position_embeddings=10**9)
    recipe = recipe_file(tmp_path / "recipes", "yes-no", max_tokens=None)
    words = "reads 1,000,000,000 tokens; name a smaller number with --max-tokens"
    refuse(llama, UnsupportedModel, words, tmp_path, str(recipe))
    run(llama, tmp_path / "model", recipe, max_tokens=300)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_hidden_layers": 10**9}, "1000000000 layers"),
        ({"num_attention_heads": 5}, "64 dimensions in 5 heads"),
        ({"pad_token_id": 200}, "no room"),
        ({"pad_token_id": -9}, "cannot be understood"),
        ({"layer_norm_eps": float("inf")}, "cannot be understood"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_configs_of_encoders_that_no_model_has(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "checkpoint", "roberta")
    (source / "tokenizer_config.json").write_text('{"pad_token": "<|endoftext|>"}')
    with pytest.raises((UnsupportedModel, ModelIncomplete), match=words):
        run(changed_config(source, **changes), tmp_path / "model")


def test_a_classifier_without_dimensions(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "checkpoint", "llama-classifier")
    edited(source, lambda held: held.update({"score.weight": np.array(1.0, np.float32)}))
    refuse(source, ModelIncomplete, "score.weight", tmp_path)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", "golden.jsonl"])
def test_pipes_in_a_checkpoint(name: str, llama: Path, tmp_path: Path) -> None:
    (llama / name).unlink(missing_ok=True)
    os.mkfifo(llama / name)
    script = (
        "import sys; from pathlib import Path; from search.export.model_folder import export\n"
        "from search.export.precision import precision\n"
        "golden = Path(sys.argv[1]) / 'golden.jsonl'\n"
        "export(sys.argv[1], Path(sys.argv[2]), precision=precision('fp32'), recipe='yes-no', cache=Path(sys.argv[2]).parent,"
        " golden=golden if golden.exists() else None)"
    )
    command = [sys.executable, "-c", script, str(llama), str(tmp_path / "model")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert "ModelIncomplete" in done.stderr
    assert name in done.stderr
