"""The bundled models are run without FastEmbed, and give what FastEmbed gives, to the last bit."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.embedding.dense import FastEmbedEmbedder
from search.inference.bundled import BundledModel
from search.inference.runtime import CPU
from search.inference.tokens import copied
from search.models import ModelFolder, fingerprint, locate
from search.models.external_data import external_data
from search.reranking.cross_encoder import CrossEncoder

EMBEDDER, RERANKER = "all-MiniLM-L6-v2", "minilm-reranker"
TEXTS = [
    "Cats sleep for most of the day.",
    "",
    "[SEP] [MASK] [PAD] unaffable 漢字 \U00010348 \ufffd\u0001 ÉLÈVE",
    "word " * 700,
    "Paris is the capital of France, and has been since 987; Berlin is that of Germany.",
]
LONG = [f"{number} " + "the quick brown fox jumps over the lazy dog " * (3 * number) for number in range(1, 14)]
QUERY = "when do cats [SEP] sleep?"


def bundled(name: str) -> ModelFolder:
    folder = locate(name)
    assert folder is not None
    return folder


def by_fastembed(name: str) -> Any:
    from search.inference.fastembed import Embedders, Rerankers, register

    options: dict[str, Any] = {"providers": [CPU], "threads": 1}
    if name == EMBEDDER:
        return Embedders(**options | register(bundled(name), Embedders, pooling="MEAN", dim=384)).model
    return Rerankers(**options | register(bundled(name), Rerankers)).model


@pytest.mark.parametrize("name", [EMBEDDER, RERANKER])
def test_the_tokenizer_is_fastembeds(name: str) -> None:
    ours, theirs = BundledModel(bundled(name), CPU, 1).tokenizer, by_fastembed(name).tokenizer
    assert ours.to_str() == theirs.to_str()
    assert (ours.padding, ours.truncation) == (theirs.padding, theirs.truncation)


def test_both_models_share_what_a_vocabulary_takes() -> None:
    from search.inference.bundled import _parsed

    _parsed.cache_clear()
    for name in (EMBEDDER, RERANKER):
        BundledModel(bundled(name), CPU, 1)
    assert _parsed.cache_info().misses == 1


RERANKED = """
import re
from pathlib import Path
from search.reranking.cross_encoder import CrossEncoder

def most():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

model = CrossEncoder("minilm-reranker", device="cpu", threads=2, cache=Path())
texts = [" ".join(f"word{word} thing{word * number}" for word in range(200)) for number in range(20)]
before = most()
model.score("How are documents reranked?", texts)
print(most() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells how much memory a process had at most")
def test_no_memory_is_planned_for_each_shape() -> None:
    grown = int(subprocess.run([sys.executable, "-c", RERANKED], capture_output=True, text=True, check=True).stdout)
    assert grown < 24_000  # kB; 20,000 to 21,000, and 7,500 more with such plans


def test_vectors_are_fastembeds(tmp_path: Path) -> None:
    ours, theirs = BundledModel(bundled(EMBEDDER), CPU, 1), by_fastembed(EMBEDDER)
    assert isinstance(FastEmbedEmbedder(EMBEDDER, device="cpu", cache=tmp_path)._model, BundledModel)
    for texts in (TEXTS, TEXTS[:1], TEXTS[2:3], LONG):
        expected = np.stack(list(theirs.passage_embed(texts)))
        vectors = ours.passage_embed(texts)
        assert vectors.dtype == expected.dtype
        assert np.array_equal(vectors, expected)
    assert np.array_equal(ours.query_embed(QUERY), np.stack(list(theirs.query_embed(QUERY))))


def test_scores_are_fastembeds(tmp_path: Path) -> None:
    ours, theirs = CrossEncoder(RERANKER, device="cpu", threads=1, cache=tmp_path), by_fastembed(RERANKER)
    assert isinstance(ours._model, BundledModel)
    for texts in (TEXTS, TEXTS[:1], LONG):  # the last of which run in several pieces here
        assert np.array_equal(ours._logits(QUERY, texts), np.array(list(theirs.rerank(QUERY, texts)), np.float32))


@pytest.mark.parametrize("name", [EMBEDDER, RERANKER])
def test_a_recorded_fingerprint_is_that_of_the_files(name: str) -> None:
    folder = bundled(name)
    assert folder.fingerprint == fingerprint(folder.path, folder.graph)
    assert external_data(folder.path / folder.graph) == []  # so that there is nothing that the manifest does not know


def test_the_fingerprint_of_the_bundled_embedder_is_that_of_stored_collections() -> None:
    assert bundled(EMBEDDER).fingerprint == "77fc0a2629f8c6c4"


def test_a_copied_tokenizer_is_what_writing_it_down_and_reading_it_again_gives() -> None:
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

    apart = {"a": 0, "b": 7, "<in>": 3}  # ids with holes
    for tokenizer in (
        Tokenizer.from_file(str(bundled(EMBEDDER).path / "tokenizer.json")),
        Tokenizer(models.BPE({**apart, "ab": 9}, [("a", "b")])),
        Tokenizer(models.Unigram([("<unk>", 0.0), ("a", -1.0), ("b", -2.0)], unk_id=0)),
        Tokenizer(models.WordLevel(apart, "a")),
    ):
        tokenizer.normalizer = normalizers.Lowercase()
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.add_tokens([AddedToken("New York", normalized=True, single_word=True), AddedToken("<in>", special=True), "b"])
        tokenizer.add_special_tokens([AddedToken("<x>", lstrip=True), "a"])
        copy, written = copied(tokenizer), Tokenizer.from_str(tokenizer.to_str())
        assert copy.to_str() == written.to_str()
        text = "AB new york  <x> b<in> a"
        assert copy.encode(text).ids == written.encode(text).ids
        tokenizer.enable_truncation(1)
        assert len(copy.encode(text).ids) > 1
