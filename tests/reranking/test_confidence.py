"""No confidence without reading: what a reranker knows nothing of gets no probability, and the answer says why."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from languages import exported
from tiny import tiny_model

from search.documents import Document
from search.embedding.dense import FastEmbedEmbedder
from search.index.server.connection import in_memory
from search.index.server.index import QdrantIndex
from search.ingestion.chunking import Chunker
from search.ingestion.run import Ingestion
from search.query.options import SearchOptions
from search.query.service import SearchService
from search.reranking.causal import CausalReranker
from search.reranking.cross_encoder import CrossEncoder
from search.reranking.language_model import LanguageModel

UNKNOWN = "𐍈𐌰 𐌲𐌿𐌸"  # Gothic, of which the bundled models' vocabulary has no letter
KNOWN = ["Paris is the capital of France.", "Cats sleep most of the day.", "The gzip module compresses files."]


def service(embedder: FastEmbedEmbedder, reranker: CrossEncoder, texts: list[str]) -> SearchService:
    index = QdrantIndex(in_memory(), "documents", ":memory:")
    documents = [Document(id=str(number), text=text) for number, text in enumerate(texts)]
    Ingestion(embedder, index, Chunker(embedder.tokenizer, 200, 0), max_characters=10_000).run(documents)
    return SearchService(embedder, index, lambda: reranker)


def test_a_query_of_unknown_tokens_has_no_probability(bundled_embedder: FastEmbedEmbedder, bundled_reranker: CrossEncoder) -> None:
    searching = service(bundled_embedder, bundled_reranker, KNOWN)
    result = searching.search(UNKNOWN, SearchOptions(limit=3, depth=3))
    assert [hit.rerank_probability for hit in result.hits] == [None] * 3
    assert all(hit.rerank_score is not None for hit in result.hits)
    told = "minilm-reranker knows no word of the query, so its scores say little and have no probability"
    assert told in result.warnings
    kept = searching.search(UNKNOWN, SearchOptions(limit=3, depth=3, min_score=0.99))
    assert len(kept.hits) == 3
    assert "3 of 3 passages have no probability, so min_score could not judge them" in kept.warnings
    mixed = searching.search(f"{UNKNOWN} cats", SearchOptions(limit=3, depth=3))
    assert all(hit.rerank_probability is not None for hit in mixed.hits)
    assert told not in mixed.warnings


def test_a_passage_of_unknown_tokens_has_none(bundled_embedder: FastEmbedEmbedder, bundled_reranker: CrossEncoder) -> None:
    searching = service(bundled_embedder, bundled_reranker, [*KNOWN, UNKNOWN])
    result = searching.search("Where do cats sleep?", SearchOptions(limit=4, depth=4, min_score=0.0))
    chances = {hit.document_id: hit.rerank_probability for hit in result.hits}
    assert chances.pop("3") is None
    assert None not in chances.values()
    assert "1 of 4 passages holds no word that minilm-reranker knows, so it has no probability" in result.warnings
    assert "1 of 4 passages has no probability, so min_score could not judge it" in result.warnings


@pytest.mark.parametrize("text", ["", " \n", UNKNOWN, "\u200b"])
def test_rerankers_tell_what_they_know_nothing_of(text: str, bundled_reranker: CrossEncoder) -> None:
    scoring = bundled_reranker.score("cats", ["cats", text])
    assert scoring.unread is not None
    assert scoring.unread.tolist() == [False, True]
    assert not scoring.query_unread
    assert scoring.probability(bundled_reranker.recipe, 0) is not None
    assert scoring.probability(bundled_reranker.recipe, 1) is None
    blind = bundled_reranker.score(text, ["cats", "dogs"])
    assert blind.query_unread
    assert [blind.probability(bundled_reranker.recipe, i) for i in range(2)] == [None, None]


@pytest.mark.parametrize("text", ["", " \n \n"])
def test_a_language_model_that_reads_nothing(text: str, tmp_path: Path) -> None:
    """A tokenizer of bytes knows every character, so that only what is empty is unread."""
    reranker = CausalReranker(LanguageModel(str(exported(tmp_path, "qwen3", "zerank-2")), device="cpu"))
    scoring = reranker.score("cats", ["cats", text, UNKNOWN])
    assert scoring.unread is not None
    assert scoring.unread.tolist() == [False, True, False]
    assert [scoring.probability(reranker.recipe, i) is None for i in range(3)] == [False, True, False]
    assert reranker.score(text or " ", ["cats"]).query_unread


def test_white_space_of_sentencepiece_is_no_word(tmp_path: Path) -> None:
    """There a word that is unknown comes with a token of its own for the space before it."""
    folder = tiny_model(tmp_path / "model", "classifier")
    content = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = [["[PAD]", 0.0], ["[UNK]", 0.0], ["[CLS]", 0.0], ["[SEP]", 0.0], ["▁", -1.0], ["▁cats", -2.0]]
    content["model"] = {"type": "Unigram", "unk_id": 1, "vocab": vocabulary}
    content["pre_tokenizer"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    content["normalizer"], content["decoder"] = None, None
    content["added_tokens"] = [
        {**token, "id": number, "content": name}
        for number, (name, token) in enumerate(zip(("[PAD]", "[UNK]", "[CLS]", "[SEP]"), content["added_tokens"], strict=False))
    ]
    pieces = {name: {"id": name, "ids": [number], "tokens": [name]} for number, name in ((2, "[CLS]"), (3, "[SEP]"))}
    content["post_processor"]["special_tokens"] = pieces
    (folder / "tokenizer.json").write_text(json.dumps(content))
    reranker = CrossEncoder(str(folder), device="cpu", cache=tmp_path)
    assert reranker._tokenizer.encode(["дом"], special_tokens=False)[0].tokens[0] == "▁"
    scoring = reranker.score("cats", ["cats", "дом"])
    assert scoring.unread is not None
    assert scoring.unread.tolist() == [False, True]


def test_parts_of_a_scoring_that_are_joined_keep_what_is_unread(bundled_reranker: CrossEncoder) -> None:
    from search.api.state import _joined

    parts = [bundled_reranker.score("cats", texts) for texts in (["cats", UNKNOWN], ["dogs"])]
    joined = _joined(parts, 3)
    assert joined.unread is not None
    assert joined.unread.tolist() == [False, True, False]
    assert _joined([parts[0]._replace(unread=None), parts[1]], 3).unread is None
    assert np.isfinite(joined.scores).all()


def test_the_command_says_so() -> None:
    command = [str(Path(sys.executable).with_name("search")), "rerank", UNKNOWN, "--json"]
    done = subprocess.run(command, input="cats\ndogs\n", capture_output=True, text=True, check=True)
    assert [row["probability"] for row in json.loads(done.stdout)["results"]] == [None, None]
    noted = subprocess.run(command[:-1], input="cats\n", capture_output=True, text=True, check=True).stderr
    assert noted == "note: minilm-reranker knows no word of the query, so its scores say little and have no probability\n"
