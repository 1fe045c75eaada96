"""How many tokens a model reads: what its tokenizer's files say, and no more than its graph has positions for."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny import HUB_CROSS_ENCODER, HUB_EMBEDDER, POSITIONS, into_hub_cache, tiny_model

from search import Document, Settings, open_search
from search.embedding.dense import FastEmbedEmbedder
from search.errors import ModelIncomplete
from search.reranking.cross_encoder import CrossEncoder

LONG = "cat dog " * 1_000


def folder_with(root: Path, head: Any, tokenizer: dict[str, Any], config: dict[str, Any]) -> Path:
    folder = tiny_model(root, head)
    for name, said in (("tokenizer_config.json", tokenizer), ("config.json", config)):
        content = json.loads((folder / name).read_text()) | said
        (folder / name).write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    return folder


@pytest.mark.parametrize(
    ("tokenizer", "config", "window"),
    [
        pytest.param(600, {"max_position_embeddings": POSITIONS}, POSITIONS, id="more than there are"),
        pytest.param(200, {"max_position_embeddings": POSITIONS}, 200, id="fewer"),
        pytest.param(400, {"max_position_embeddings": 100}, 400, id="a graph that goes further"),
        pytest.param(
            514, {"model_type": "roberta", "pad_token_id": 1, "max_position_embeddings": 514}, POSITIONS, id="two are no text's"
        ),
        pytest.param(None, {"max_position_embeddings": POSITIONS}, POSITIONS, id="said by config.json alone"),
        pytest.param(10**30, {"model_type": "mpnet", "pad_token_id": 1, "max_position_embeddings": 102}, 100, id="no limit"),
    ],
)
def test_a_window_is_no_longer_than_the_graph_has_positions(
    tokenizer: int | None, config: dict[str, Any], window: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    said = {"model_max_length": tokenizer}
    embedder = FastEmbedEmbedder(str(folder_with(tmp_path / "e", "encoder", said, config)), device="cpu", threads=1, cache=tmp_path)
    reranker = CrossEncoder(str(folder_with(tmp_path / "r", "classifier", said, config)), device="cpu", threads=1, cache=tmp_path)
    assert embedder.tokenizer.max_tokens == reranker.recipe.max_tokens == window
    long, cut = embedder.embed_passages([LONG, embedder.tokenizer.cut([LONG], embedder.tokenizer.window)[0].text])
    assert long == pytest.approx(cut, abs=1e-6)
    assert reranker.score("cat", [LONG]).scores.shape == (1,)
    assert capfd.readouterr().err == ""


def test_long_documents_are_ingested_and_reranked_by_such_models(tmp_path: Path) -> None:
    said, config = {"model_max_length": 600}, {"max_position_embeddings": POSITIONS}
    for head, names in (("encoder", HUB_EMBEDDER), ("classifier", HUB_CROSS_ENCODER)):
        into_hub_cache(folder_with(tmp_path / head, head, said, config), tmp_path / "cache", *names)
    settings = Settings(
        data_dir=tmp_path / "data",
        model_cache=tmp_path / "cache",
        embedder={"model": HUB_EMBEDDER[0]},
        reranker={"model": HUB_CROSS_ENCODER[0]},
        chunking={"tokens": 1_000},
    )
    with open_search(settings) as searcher:
        report = searcher.ingest([Document(id="a", text=LONG), Document(id="b", text="Dogs bark")])
        assert report.rejected == 0
        result = searcher.search("cats")
    assert (result.rerank_status, {hit.document_id for hit in result.hits}) == ("full", {"a", "b"})


def test_a_model_whose_window_nothing_says(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "model", "encoder", {"model_max_length": None}, {})
    with pytest.raises(ModelIncomplete, match="model_max_length"):
        FastEmbedEmbedder(str(folder), device="cpu", cache=tmp_path)
