"""Every embedder keeps the contract: bundled, from a folder, by name."""

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from tiny import BUNDLED, FP32, HUB_STATIC, tiny_model, tiny_weights

from search.embedding.dense import Embedder, FastEmbedEmbedder
from search.errors import (
    DeviceUnavailable,
    InferenceFailed,
    ModelCorrupt,
    ModelIncomplete,
    ModelNotFound,
    ModelUnavailable,
    RuntimeConflict,
)
from search.export.bert import build_bert
from search.export.graph import GraphBuilder
from search.export.shapes import BertShape
from search.inference.runtime import check_runtimes, installed_runtimes, loading, running

TEXTS = [
    "A cat sat on the mat.",
    "",
    "Qdrant keeps vectors. " * 30,
    "!",
    "The treatment of hypertension with beta blockers is an established therapy.",
    "cat",
]


def test_vectors_are_unit_length_and_typed(embedder: Embedder) -> None:
    query = embedder.embed_query("where do cats sit?")
    passages = embedder.embed_passages(TEXTS)
    assert query.shape == (embedder.dimension,)
    assert passages.shape == (len(TEXTS), embedder.dimension)
    assert query.dtype == passages.dtype == np.float32
    lengths = np.linalg.norm(np.vstack([query, passages]), axis=1)
    assert lengths[[0, 1, 3, 4, 5, 6]] == pytest.approx(1, abs=1e-5)
    of_nothing = 0 if embedder.name == HUB_STATIC[0] else 1  # the empty text has no token of its own
    assert lengths[2] == pytest.approx(of_nothing, abs=1e-5)


def test_a_batch_gives_what_single_texts_give_in_any_order(embedder: Embedder) -> None:
    together = embedder.embed_passages(TEXTS)
    alone = np.vstack([embedder.embed_passages([text]) for text in TEXTS])
    assert together == pytest.approx(alone, abs=1e-5)
    order = [3, 0, 5, 1, 4, 2]
    assert embedder.embed_passages([TEXTS[i] for i in order]) == pytest.approx(together[order], abs=1e-5)


def test_no_texts_give_no_vectors(embedder: Embedder) -> None:
    assert embedder.embed_passages([]).shape == (0, embedder.dimension)


def test_what_a_text_means_shows_in_its_vector(bundled_embedder: FastEmbedEmbedder) -> None:
    query = bundled_embedder.embed_query("Where do cats sit?")
    scores = bundled_embedder.embed_passages([TEXTS[0], TEXTS[4]]) @ query
    assert scores[0] > 0.5
    assert scores[1] < 0.1


def test_bundled_embedder_reads_256_tokens(bundled_embedder: FastEmbedEmbedder) -> None:
    assert bundled_embedder.tokenizer.max_tokens == 256
    words = ["cat"] * 254
    same, longer = bundled_embedder.embed_passages([" ".join(words), " ".join([*words, "submarine", "warfare"])])
    assert same == pytest.approx(longer, abs=1e-6)
    assert bundled_embedder.tokenizer.tally([" ".join([*words, "submarine", "warfare"])])[0].tokens == 256


def test_fingerprint_names_weights_and_pooling(model_folder: Path, hub_cache: Path, bundled_embedder: FastEmbedEmbedder) -> None:
    mean, cls = (FastEmbedEmbedder(str(model_folder / f"embedder-{p}"), device="cpu", cache=hub_cache) for p in ("mean", "cls"))
    digests = {embedder.fingerprint.partition("@")[2] for embedder in (mean, cls, bundled_embedder)}
    assert len(digests) == 3
    assert mean.embed_query("cat") != pytest.approx(cls.embed_query("cat"), abs=1e-3)


def test_loading_works_where_nothing_can_be_written(model_folder: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()  # a cache folder cannot be made below a file
    FastEmbedEmbedder(str(model_folder / "embedder-mean"), device="cpu", cache=blocked / "cache")


def test_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="search models"):
        FastEmbedEmbedder("nobody/nothing", device="cpu", cache=tmp_path)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="not a folder"):
        FastEmbedEmbedder(str(tmp_path / "nowhere"), device="cpu", cache=tmp_path)


@pytest.mark.parametrize("file", ["model.onnx", "tokenizer.json", "tokenizer_config.json"])
def test_folder_without_a_file(file: str, tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", "encoder")
    (folder / file).unlink()
    with pytest.raises(ModelIncomplete, match="lacks"):
        FastEmbedEmbedder(str(folder), device="cpu", cache=tmp_path)


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json", "config.json"])
def test_folder_with_a_broken_json_file(file: str, tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", "encoder")
    (folder / file).write_text("{")
    with pytest.raises(ModelIncomplete, match=file):
        FastEmbedEmbedder(str(folder), device="cpu", cache=tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("1_Pooling/config.json", "{", "cannot be read"),
        ("config.json", "[]", "holds no JSON object"),
        ("recipe.json", '{"pooling": "max"}', "asks for the pooling 'max'"),
    ],
)
def test_folder_with_a_mistaken_setting(file: str, content: str, message: str, tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", "encoder")
    (folder / file).write_text(content)
    with pytest.raises(ModelIncomplete, match=message):
        FastEmbedEmbedder(str(folder), device="cpu", cache=tmp_path)


def test_a_cache_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelUnavailable, match="could not be downloaded"):
        FastEmbedEmbedder("BAAI/bge-small-en-v1.5", device="cpu", cache=tmp_path / "file" / "cache")


def test_tokenizer_that_is_none(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", "encoder")
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises((ModelCorrupt, ModelIncomplete), match="model"):
        FastEmbedEmbedder(str(folder), device="cpu", cache=tmp_path)


def test_folder_without_a_dimension(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", "encoder")
    (folder / "config.json").write_text("{}")
    with pytest.raises(ModelIncomplete, match="hidden_size"):
        FastEmbedEmbedder(str(folder), device="cpu", cache=tmp_path)


def test_pooling_that_cannot_be_run(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", "encoder")
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(ModelIncomplete, match="pooling_mode_max_tokens"):
        FastEmbedEmbedder(str(folder), device="cpu", cache=tmp_path)


def test_corrupt_model_file(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", "encoder")
    (folder / "model.onnx").write_bytes(b"\x00garbage" * 100)
    with pytest.raises(ModelCorrupt, match="damaged"):
        FastEmbedEmbedder(str(folder), device="cpu", cache=tmp_path)


def test_weights_that_are_not_numbers(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", "encoder")
    weights = tiny_weights(1)
    weights["encoder.layer.0.output.dense.weight"][:] = np.nan
    shape = BertShape(layers=2, heads=4, width=64, epsilon=1e-12)
    (folder / "model.onnx").write_bytes(build_bert(weights, shape, "encoder", GraphBuilder(FP32)).SerializeToString())
    with pytest.raises(InferenceFailed, match="not finite"):
        FastEmbedEmbedder(str(folder), device="cpu", cache=tmp_path)


def test_a_bundled_file_that_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import search.models

    shutil.copytree(BUNDLED, tmp_path / "models")
    with (tmp_path / "models" / "all-MiniLM-L6-v2" / "model.onnx").open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"\x01\x02\x03\x04")
    monkeypatch.setattr(search.models, "_FOLDER", tmp_path / "models")
    with pytest.raises(ModelCorrupt, match="install the package again"):
        FastEmbedEmbedder("all-MiniLM-L6-v2", device="cpu", cache=tmp_path)


def test_cuda_never_falls_back(tmp_path: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this environment has CUDA")
    with pytest.raises(DeviceUnavailable, match="extra gpu"):
        FastEmbedEmbedder("all-MiniLM-L6-v2", device="cuda", cache=tmp_path)


def test_auto_says_what_it_came_to(tmp_path: Path) -> None:
    assert FastEmbedEmbedder("all-MiniLM-L6-v2", device="auto", cache=tmp_path).device in {"cpu", "cuda"}


def test_every_exception_of_onnx_runtime_is_translated() -> None:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    kinds = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) > 8
    for kind in [*kinds, ValueError, RuntimeError, OSError, KeyError, TypeError]:
        with pytest.raises((ModelCorrupt, ModelIncomplete), match="the model x cannot be"), loading("x"):
            raise kind("planted\nsecond line")
        with pytest.raises(InferenceFailed, match=r"^the model x failed: .*planted"), running("x"):
            raise kind("planted")


def test_two_runtimes_in_one_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(installed_runtimes()) == 1
    check_runtimes()
    monkeypatch.setattr("search.inference.runtime.installed_runtimes", lambda: ["onnxruntime", "onnxruntime-gpu"])
    with pytest.raises(RuntimeConflict, match="pip uninstall"):
        check_runtimes()


def test_the_threads_of_a_model_rest_when_it_has_answered(embedder: Embedder) -> None:
    embedder.embed_passages(TEXTS)
    began = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - began < 0.01
