"""Which model a name or a folder stands for, and what is said where it is another one, or not here."""

import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from tiny import HUB_CROSS_ENCODER, HUB_EMBEDDER, HUB_SPLADE, HUB_STATIC, into_hub_cache, tiny_model, tiny_splade, tiny_static_model

from search.embedding.dense import FastEmbedEmbedder
from search.errors import ModelCorrupt, ModelError, ModelIncomplete, ModelNotFound, ModelUnavailable
from search.factory import build_embedder, build_reranker, build_words
from search.reranking.cross_encoder import CrossEncoder
from search.settings import Settings

LOADS: list[tuple[Any, Any, tuple[str, str, str]]] = [
    (FastEmbedEmbedder, "encoder", HUB_EMBEDDER),
    (CrossEncoder, "classifier", HUB_CROSS_ENCODER),
]


@pytest.mark.parametrize("name", ["onnx/model_quantized.onnx", "onnx/model_int8.onnx", "text_model.onnx"])
@pytest.mark.parametrize(("load", "head", "_names"), LOADS)
def test_a_folder_with_one_graph_may_call_it_anything(load: Any, head: Any, _names: Any, name: str, tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", head)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / "model.onnx").rename(folder / name)
    load(str(folder), device="cpu", cache=tmp_path)
    shutil.copy(folder / name, folder / "other.onnx")
    with pytest.raises(ModelIncomplete, match=r"several.*other\.onnx.*call one model\.onnx"):
        load(str(folder), device="cpu", cache=tmp_path)
    shutil.copy(folder / name, folder / "model.onnx")
    load(str(folder), device="cpu", cache=tmp_path)


@pytest.mark.parametrize(("load", "_head", "names"), LOADS)
def test_offline_no_download_is_said_to_have_been_tried(
    load: Any,
    _head: Any,
    names: tuple[str, str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # as it is where the variable was set when the process began
    folder = f"models--{names[1].replace('/', '--')}"
    with pytest.raises(ModelUnavailable, match=rf"HF_HUB_OFFLINE.*{folder}") as caught:
        load(names[0], device="cpu", cache=tmp_path)
    assert "could not be downloaded" not in str(caught.value)
    assert capfd.readouterr().err == ""


DOWNLOADS = """
import sys, time
from search.errors import ModelUnavailable
from search.embedding.dense import FastEmbedEmbedder
waits = []
time.sleep = waits.append
try:
    FastEmbedEmbedder(sys.argv[1], device="cpu", cache=sys.argv[2])
except ModelUnavailable as error:
    print(sum(waits), error)
"""


@pytest.mark.parametrize("name", [HUB_EMBEDDER[0], HUB_STATIC[0]])
def test_a_hub_that_does_not_answer_is_told_soon_and_in_one_message(name: str, tmp_path: Path) -> None:
    variables = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9"}
    variables.pop("HF_HUB_OFFLINE", None)
    command = [sys.executable, "-c", DOWNLOADS, name, str(tmp_path / "cache")]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    waited, told = done.stdout.split(" ", 1)
    assert float(waited) < 15
    assert re.search(r"could not be downloaded \(.*Connection refused\); connect this machine", told)
    assert done.stderr == ""


def test_a_cache_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelUnavailable, match=r"could not be downloaded \(.*Not a directory.*\); connect"):
        FastEmbedEmbedder(HUB_EMBEDDER[0], device="cpu", cache=tmp_path / "file" / "cache")


@pytest.mark.parametrize(("load", "head", "names"), LOADS)
def test_a_damaged_download_is_told_with_what_to_delete(
    load: Any, head: Any, names: tuple[str, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    into_hub_cache(tiny_model(tmp_path / "model", head), tmp_path / "cache", *names)
    graph = next((tmp_path / "cache").rglob("*.onnx"))
    graph.write_bytes(graph.read_bytes()[:1000])
    folder = f"models--{names[1].replace('/', '--')}"
    with pytest.raises(ModelCorrupt, match=rf"delete .*{folder}.*downloaded again"):
        load(names[0], device="cpu", cache=tmp_path / "cache")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelCorrupt, match=rf"copy .*{folder} again from the cache of a machine that has it$"):
        load(names[0], device="cpu", cache=tmp_path / "cache")


def test_a_damaged_download_of_other_kinds(tmp_path: Path) -> None:
    into_hub_cache(tiny_static_model(tmp_path / "static"), tmp_path / "cache", *HUB_STATIC)
    into_hub_cache(tiny_splade(tmp_path / "splade"), tmp_path / "cache", *HUB_SPLADE)
    for file in (tmp_path / "cache").rglob("model.*"):
        file.write_bytes(file.read_bytes()[:1000])
    settings = Settings(data_dir=tmp_path, model_cache=tmp_path / "cache", lexical={"model": HUB_SPLADE[0]})
    with pytest.raises(ModelError, match=r"delete .*models--minishlab"):
        FastEmbedEmbedder(HUB_STATIC[0], device="cpu", cache=tmp_path / "cache")
    with pytest.raises(ModelError, match=r"models--Qdrant--Splade.*copy the model again|delete .*models--Qdrant--Splade"):
        _ = build_words(settings).model


@pytest.mark.parametrize(
    ("section", "model", "match"),
    [
        ("embedder", "minilm-reranker", "minilm-reranker is a reranker, no embedder.*reranker.model"),
        ("reranker", "all-MiniLM-L6-v2", "all-MiniLM-L6-v2 is an embedder, no reranker.*embedder.model"),
        ("lexical", "all-MiniLM-L6-v2", "is an embedder, no sparse model.*embedder.model"),
        ("embedder", HUB_CROSS_ENCODER[0], "is a reranker, no embedder"),
        ("embedder", HUB_SPLADE[0].lower(), "is a sparse model, no embedder.*lexical.model"),
        ("reranker", HUB_EMBEDDER[0], "is an embedder, no reranker"),
        ("lexical", HUB_EMBEDDER[0], "is an embedder, no sparse model"),
    ],
)
def test_a_model_of_another_kind(section: str, model: str, match: str, tmp_path: Path) -> None:
    chosen: dict[str, Any] = {section: {"model": model}}
    settings = Settings(data_dir=tmp_path, model_cache=tmp_path, **chosen)
    build: Any = {"embedder": build_embedder, "reranker": build_reranker, "lexical": lambda given: build_words(given).model}[
        section
    ]
    with pytest.raises(ModelNotFound, match=match):
        build(settings)


def test_more_threads_than_cores_are_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(data_dir=tmp_path, threads=64)
    before = len(list(Path("/proc/self/task").iterdir()))
    with caplog.at_level(logging.WARNING, "search"):
        build_embedder(settings).embed_query("cat")
        build_reranker(settings)
    cores = len(os.sched_getaffinity(0))
    assert len(list(Path("/proc/self/task").iterdir())) - before <= 2 * cores
    assert [f"{cores} threads" in record.getMessage() for record in caplog.records] == [True]
