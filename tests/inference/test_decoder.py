"""Exported decoders give the scores that transformers gives, whatever stands beside them in the batch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from checkpoints import CONFIGS, is_decoder, token_rows
from languages import GOLDEN, checkpoint, exported, recipe_file, reference_logits

from search.errors import DeviceUnavailable, InferenceFailed, ModelCorrupt, UnsupportedModel
from search.export.checkpoint import Checkpoint
from search.export.decoder import build_decoder
from search.export.graph import GraphBuilder
from search.export.model_folder import export
from search.export.precision import Precision, precision
from search.export.shapes import DecoderShape
from search.inference import decoder as inference
from search.inference import runtime
from search.inference.batching import bucket
from search.inference.decoder import Decoder
from search.models import ModelFolder, locate
from search.reranking.attention import attention_kernels, named_in
from search.reranking.language_model import LanguageModel
from search.settings import CudaSettings, Device

TOLERANCE = 1e-4
DECODERS = [name for name, config in CONFIGS.items() if is_decoder(config)]
LANGUAGE_MODELS = [name for name in DECODERS if "CausalLM" in CONFIGS[name]["architectures"][0]]
ROWS = {name: token_rows(config, tuple(GOLDEN["lengths"])) for name, config in CONFIGS.items()}


def built(folder: Path, name: str, rows: Any, weights: Precision, *, continues: bool = False, **options: Any) -> Decoder:
    """A decoder from a checkpoint, without recipe or tokenizer."""
    source = Checkpoint(checkpoint(folder / "checkpoint", name))
    shape = DecoderShape.from_config(source.config)
    with (folder / "model.onnx.data").open("wb") as data:
        graph = GraphBuilder(weights, data)
        build_decoder(source, shape, source.config, rows, graph, max_tokens=1024, path=folder / "model.onnx", continues=continues)
    return Decoder(
        ModelFolder(name, folder, "model.onnx", {}, {}), activations=weights.calculated_in, max_tokens=1024, device="cpu", **options
    )


@pytest.mark.parametrize("name", DECODERS)
def test_scores_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    golden = np.array(GOLDEN["models"][name]["scores"])
    assert golden.std() >= 1
    rows = "score" if "classifier" in name else GOLDEN["tokens"]
    model = built(tmp_path, name, rows, Precision(), batch_tokens=300)
    together = model.scores(ROWS[name])
    assert together == pytest.approx(golden, abs=TOLERANCE)
    assert np.concatenate([model.scores([row]) for row in ROWS[name]]) == pytest.approx(together, abs=1e-5)
    assert model.scores(ROWS[name][::-1])[::-1] == pytest.approx(together, abs=1e-5)


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_log_probabilities_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    model = built(tmp_path, name, "all", Precision(), batch_tokens=300)
    found = model.log_probabilities(ROWS[name], [range(len(row)) for row in ROWS[name]])
    assert [len(chances) for chances in found] == [length - 1 for length in GOLDEN["lengths"]]
    means = [chances.mean() if len(chances) else 0.0 for chances in found]
    assert means == pytest.approx(GOLDEN["models"][name]["mean_log_probability"], abs=TOLERANCE)


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_the_goldens_would_notice_a_missing_part(name: str) -> None:
    moved = GOLDEN["models"][name]["moved_without"]
    assert {"rope", "mask"} <= moved.keys()
    assert ("head_norm" in moved) == name.startswith("qwen3")
    assert min(moved.values()) >= 100 * TOLERANCE


@pytest.mark.parametrize("name", ["qwen3", "qwen3-wide-head", "qwen2", "llama", "mistral-whole"])
@pytest.mark.parametrize("length", [1, 15, 16, 17, 200])
def test_scores_follow_from_the_definitions(name: str, length: int, tmp_path: Path) -> None:
    row = token_rows(CONFIGS[name], (length,), seed=length)[0]
    expected = reference_logits(name, row)
    tokens = [9, 77, 511]
    assert built(tmp_path, name, tokens, Precision()).scores([row])[0] == pytest.approx(expected[-1, tokens], abs=TOLERANCE)


def watched(model: Decoder, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes that a model is run on from now on."""
    shapes: list[tuple[int, ...]] = []
    run = model._session.run

    def noting(feed: Any, outputs: Any) -> Any:
        shapes.append(feed["input_ids"].shape)
        return run(feed, outputs)

    monkeypatch.setattr(model._session, "run", noting)
    return shapes


def test_short_rows_are_not_padded_to_long_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = built(tmp_path, "llama", [5], Precision())
    shapes = watched(model, monkeypatch)
    model.scores([[9] * length for length in (100, 8, 80, 10, 99)])
    assert shapes == [(3, 100), (2, 10)]


def test_warming_up_fills_a_batch_on_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for output in ([5], "all"):
        model = built(tmp_path / str(output), "llama", output, Precision("fp16"), batch_tokens=1100)
        shapes = watched(model, monkeypatch)
        model.warm_up()
        monkeypatch.setattr(model, "device", "cuda")
        model.warm_up()
        assert shapes == [(1, 256), (4, 256)]


def test_the_attention_kernels_that_were_named(tmp_path: Path) -> None:
    line = "Operator=GroupQueryAttention Node=attention.0 DataType=fp16 SdpaKernel=FLASH_ATTENTION\n"
    assert named_in(line * 2 + line.replace("FLASH_ATTENTION", "MATH")) == ["FLASH_ATTENTION", "MATH"]
    folder = exported(tmp_path, "llama", "yes-no", weights="fp16")
    assert attention_kernels(folder, CudaSettings()) == []  # the CPU names none
    with pytest.raises(InferenceFailed, match=r"could not be found out: .*nowhere"):
        attention_kernels(tmp_path / "nowhere", CudaSettings())


@pytest.mark.parametrize("name", ["qwen3", "qwen3-sliding", "qwen2", "llama-yarn", "mistral"])
@pytest.mark.parametrize("shared", [20, 40])
def test_what_rows_begin_with_is_read_once(name: str, shared: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = token_rows(CONFIGS[name], (shared,), seed=8)[0]
    rows = [prefix + row for row in ROWS[name]] + [[*prefix, 9]]
    plain = built(tmp_path / "plain", name, GOLDEN["tokens"], Precision())
    reused = built(tmp_path / "reused", name, GOLDEN["tokens"], Precision(), continues=True)
    shapes = watched(reused, monkeypatch)
    assert reused.scores(rows) == pytest.approx(plain.scores(rows), abs=1e-4)
    assert shapes == [(1, shared), *((1, len(row) - shared) for row in rows)]
    with reused.whole_prompts():
        assert reused.scores(rows) == pytest.approx(plain.scores(rows), abs=1e-4)
    assert len(shapes) < 2 * (len(rows) + 1)
    shapes.clear()
    reused.scores(rows)
    assert shapes[0] == (1, shared)


def test_equal_rows_and_rows_within_each_other(tmp_path: Path) -> None:
    model = built(tmp_path, "qwen3", GOLDEN["tokens"], Precision(), continues=True)
    row = token_rows(CONFIGS["qwen3"], (60,))[0]
    alone = [model.scores([part])[0] for part in (row, row, row[:30], row[:20])]
    assert model.scores([row, row, row[:30], row[:20]]) == pytest.approx(np.array(alone), abs=1e-5)


def test_padding_holds_what_it_likes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = built(tmp_path, "qwen3", GOLDEN["tokens"], Precision())
    plain = inference._padded

    def noisy(rows: Any, length: int) -> Any:
        feed = plain(rows, length)
        for padded, row in zip(feed["input_ids"], rows, strict=True):
            padded[len(row) :] = 400
        return feed

    before = model.scores(ROWS["qwen3"])
    monkeypatch.setattr(inference, "_padded", noisy)
    assert model.scores(ROWS["qwen3"]) == pytest.approx(before, abs=1e-6)


def test_padding_to_a_bucket_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = built(tmp_path, "llama", GOLDEN["tokens"], Precision())
    before = model.scores(ROWS["llama"])
    monkeypatch.setattr(model, "device", "cuda")  # where lengths are rounded up
    assert model.scores(ROWS["llama"]) == pytest.approx(before, abs=1e-5)


@pytest.mark.parametrize("length", [500, 1000, 1024])
def test_a_bucket_is_never_longer_than_the_graph_can_read(length: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = exported(tmp_path, "llama", "yes-no", max_tokens=length)
    model = LanguageModel(str(folder), device="cpu").decoder
    row = token_rows(CONFIGS["llama"], (length,))[0]
    before = model.scores([row])
    monkeypatch.setattr(model, "device", "cuda")
    assert model.scores([row]) == pytest.approx(before, abs=1e-5)


def test_many_places_take_several_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = built(tmp_path, "llama", "all", Precision())
    rows = token_rows(CONFIGS["llama"], (300, 40, 300))
    spans = [range(300), range(10, 40), range(20, 300)]
    before = model.log_probabilities(rows, spans)
    monkeypatch.setattr(inference, "_PLACES", 50)
    shapes = watched(model, monkeypatch)
    after = model.log_probabilities(rows, spans)
    assert all(a == pytest.approx(b, abs=1e-5) for a, b in zip(before, after, strict=True))
    assert len(shapes) > 10


@pytest.mark.parametrize("weights", ["fp32", "fp16", "bf16"])
def test_attention_names_all_that_the_kernel_on_cuda_writes(weights: str, tmp_path: Path) -> None:
    folder = exported(tmp_path, "qwen3", "zerank-2", weights=weights)
    graph = onnx.load(str(folder / "model.onnx"), load_external_data=False).graph
    attention = [node for node in graph.node if node.op_type == "GroupQueryAttention"]
    assert len(attention) == 3
    assert all(len(node.output) == 3 and all(node.output) for node in attention)
    assert len({name for node in attention for name in node.output}) == 9
    assert (len(graph.input) > 4) == (weights == "fp32")  # what was read before costs memory, which only the CPU is asked for


def test_buckets_are_few_and_never_too_small() -> None:
    lengths = [bucket(length) for length in range(1, 8193)]
    assert all(have >= need for need, have in enumerate(lengths, 1))
    assert all(have < need + max(16, need / 4) for need, have in enumerate(lengths, 1))
    assert len(set(lengths)) <= 40


def test_no_rows_have_no_scores(tmp_path: Path) -> None:
    assert len(built(tmp_path, "qwen3", [5], Precision()).scores([])) == 0


@pytest.mark.parametrize(("weights", "correlation"), [("fp16", 0.999), ("int8", 0.99), ("int4", 0.5)])
@pytest.mark.parametrize("name", ["llama", "qwen3-wide-head"])
def test_other_precisions_stay_close(name: str, weights: str, correlation: float, tmp_path: Path) -> None:
    rows = token_rows(CONFIGS[name], (20,) * 24, seed=5)
    exact = built(tmp_path / "exact", name, GOLDEN["tokens"], Precision()).scores(rows)
    model = built(tmp_path / "rounded", name, GOLDEN["tokens"], precision(weights))
    rounded = model.scores(rows)
    assert np.corrcoef(exact.ravel(), rounded.ravel())[0, 1] > correlation
    assert np.concatenate([model.scores([row]) for row in rows]) == pytest.approx(rounded, abs=2e-2 if weights == "fp16" else 1e-4)
    chances = built(tmp_path / "chances", name, "all", precision(weights)).log_probabilities(rows[:2], [range(5, 20)] * 2)
    exact_chances = built(tmp_path / "exact-chances", name, "all", Precision()).log_probabilities(rows[:2], [range(5, 20)] * 2)
    assert np.corrcoef(np.concatenate(chances), np.concatenate(exact_chances))[0, 1] > correlation


def test_integers_with_half_precision_activations(tmp_path: Path) -> None:
    mixed = built(tmp_path / "mixed", "llama", GOLDEN["tokens"], precision("int8", "fp16")).scores(ROWS["llama"])
    plain = built(tmp_path / "plain", "llama", GOLDEN["tokens"], precision("int8")).scores(ROWS["llama"])
    assert mixed == pytest.approx(plain, abs=0.3)


def test_bfloat16_is_not_for_the_cpu(tmp_path: Path) -> None:
    with pytest.raises(DeviceUnavailable, match="no kernels for; export it as int8, int4 or fp32"):
        built(tmp_path, "llama", [5], Precision("bf16"))


def test_float32_is_not_for_cuda(tmp_path: Path) -> None:
    folder = ModelFolder("model", tmp_path, "model.onnx", {}, {})
    with pytest.raises(DeviceUnavailable, match="no attention kernel; export it with --activations fp16"):
        Decoder(folder, activations="fp32", max_tokens=9, device="cuda")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_checkpoints_of_sixteen_bits_in_shards(dtype: str, tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "checkpoint", "qwen3", dtype=dtype, shards=3)
    recipe = recipe_file(tmp_path, "zerank-1-small", max_tokens=512)
    export(str(source), tmp_path / "model", precision=Precision(), recipe=str(recipe), cache=tmp_path)
    rounded, exact = (
        Decoder(folder, activations="fp32", max_tokens=512, device="cpu").scores(ROWS["qwen3"])
        for path in (tmp_path / "model", exported(tmp_path / "exact", "qwen3", "zerank-1-small"))
        if (folder := locate(str(path)))
    )
    assert rounded == pytest.approx(exact, abs=1.5)
    assert np.corrcoef(rounded.ravel(), exact.ravel())[0, 1] > 0.99


@pytest.mark.parametrize(
    ("name", "changed", "words"),
    [
        ("llama", {"model_type": "gemma2"}, "model_type = 'gemma2'"),
        ("llama", {"hidden_act": "gelu"}, "hidden_act = 'gelu'"),
        ("llama", {"head_dim": 24}, "heads of 24 dimensions"),
        ("llama", {"rope_scaling": {"rope_type": "longrope"}}, "rope_type = 'longrope'"),
        ("llama", {"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope_type = 'dynamic'"),
        ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor = 0.5"),
        ("llama", {"rope_scaling": {"rope_type": "yarn", "factor": 2.0, "mscale": 1.0}}, "mscale"),
    ],
)
def test_what_is_not_implemented_is_refused_by_name(name: str, changed: dict[str, Any], words: str, tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "checkpoint", name)
    config = {**CONFIGS[name], **changed}
    (source / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedModel, match=words):
        export(str(source), tmp_path / "model", precision=Precision(), recipe="yes-no", cache=tmp_path)
    assert not (tmp_path / "model").exists()


CUDA_FAILS = "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version"


@pytest.fixture
def broken_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime that has CUDA, on a machine whose driver is too old for it."""
    real = onnxruntime.InferenceSession

    def session(*arguments: Any, providers: list[Any], **options: Any) -> onnxruntime.InferenceSession:
        if providers[0][0] == "CUDAExecutionProvider":
            raise RuntimeError(CUDA_FAILS)
        return real(*arguments, providers=providers, **options)

    monkeypatch.setattr(runtime, "available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)


@pytest.mark.usefixtures("broken_cuda")
def test_cuda_that_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Another device is taken only where none was named, and the model's file is not to blame."""
    built(tmp_path, "llama", [5], Precision("fp16"))
    folder = ModelFolder("model", tmp_path, "model.onnx", {}, {})
    assert Decoder(folder, activations="fp16", max_tokens=512, device="auto").device == "cpu"
    assert f"runs on the CPU, since ONNX Runtime did not load it on CUDA: {CUDA_FAILS}" in caplog.text
    for activations in ("fp16", "bf16"):  # the CPU has no kernels for the second
        with pytest.raises(DeviceUnavailable, match=f"could not load CUDA and cuDNN: {CUDA_FAILS}; run `search doctor`"):
            Decoder(folder, activations=activations, max_tokens=512, device="cuda")


@pytest.mark.usefixtures("broken_cuda")
@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_damaged_file_where_cuda_fails(device: Device, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"damaged")
    folder = ModelFolder("model", tmp_path, "model.onnx", {}, {})
    with pytest.raises(ModelCorrupt, match="its file is damaged") as failure:
        Decoder(folder, activations="fp16", max_tokens=9, device=device)
    assert failure.value.__cause__ is not None
    assert str(failure.value.__cause__.__context__) == CUDA_FAILS


def test_why_onnx_runtime_itself_took_the_cpu_is_in_the_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It raises nothing then, and prints why."""
    built(tmp_path, "llama", [5], Precision("fp32"))
    real = onnxruntime.InferenceSession._create_inference_session

    def create(session: Any, providers: list[Any], *arguments: Any) -> None:
        if providers[0] == "CUDAExecutionProvider":
            session._fallback_providers = ["CPUExecutionProvider"]
            raise RuntimeError(f"{CUDA_FAILS}\nand more")
        real(session, providers, *arguments)

    monkeypatch.setattr(runtime, "available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime.InferenceSession, "_create_inference_session", create)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)

    def load(provider: runtime.Provider) -> onnxruntime.InferenceSession:
        name = provider if isinstance(provider, str) else provider[0]
        return onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=[name])

    with pytest.raises(DeviceUnavailable, match=f"could not load CUDA and cuDNN: EP Error {CUDA_FAILS}; run `search doctor`"):
        runtime.load_on("cuda", load, lambda session: session)
