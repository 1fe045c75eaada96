"""Every reranker keeps the contract: bundled, from a folder, by name."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tiny import FP32, SHAPE, tiny_model, tiny_weights

from search.errors import DeviceUnavailable, ModelCorrupt, ModelIncomplete, ModelNotFound, ModelUnavailable, SelfTestFailed
from search.export.bert import build_bert
from search.export.graph import GraphBuilder
from search.reranking.contract import Deadline, Reranker
from search.reranking.cross_encoder import CrossEncoder

TEXTS = [
    "A cat sat on the mat.",
    "",
    "Qdrant keeps vectors. " * 30,
    "!",
    "The treatment of hypertension with beta blockers is an established therapy.",
    "cat",
]


def test_scores_are_finite_and_typed(every_reranker: Reranker) -> None:
    scoring = every_reranker.score("where do cats sit?", TEXTS)
    assert scoring.scores.dtype == np.float32
    assert scoring.scores.shape == scoring.tokens_seen.shape == scoring.tokens_total.shape == (len(TEXTS),)
    assert np.isfinite(scoring.scores).all()
    assert np.std(scoring.scores) > 0.01


def test_a_batch_gives_what_single_texts_give_in_any_order(every_reranker: Reranker) -> None:
    reranker = every_reranker
    if reranker.recipe.compares:  # a text's score is its place among others, so that it has none alone
        assert reranker.score("where do cats sit?", TEXTS[:1]).scores[0] in {0.5, 1.0}
        return
    together = reranker.score("where do cats sit?", TEXTS).scores
    alone = np.concatenate([reranker.score("where do cats sit?", [text]).scores for text in TEXTS])
    assert together == pytest.approx(alone, abs=1e-4)
    order = [3, 0, 5, 1, 4, 2]
    assert reranker.score("where do cats sit?", [TEXTS[i] for i in order]).scores == pytest.approx(together[order], abs=1e-4)


def test_no_texts_give_no_scores(every_reranker: Reranker) -> None:
    assert every_reranker.score("cat", []).scores.shape == (0,)


def test_the_input_is_left_alone(every_reranker: Reranker) -> None:
    texts = list(TEXTS)
    every_reranker.score("cat", texts)
    assert texts == TEXTS


def test_several_threads_get_what_one_gets(every_reranker: Reranker, in_full: bool) -> None:  # noqa: FBT001  # a fixture
    queries = [f"where do cats sit, number {number}?" for number in range(12 if in_full else 5)]
    alone = [every_reranker.score(query, TEXTS).scores for query in queries]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda query: every_reranker.score(query, TEXTS).scores, queries))
    assert all(a == pytest.approx(b, abs=1e-4) for a, b in zip(together, alone, strict=True))


def test_the_query_is_capped_at_half_the_window_and_the_text_gets_the_rest(reranker: Reranker) -> None:
    room = (reranker.recipe.max_tokens or 0) - 3
    scoring = reranker.score("dog " * 1000, ["cat " * 1000, "cat"])
    assert (scoring.query_tokens_seen, scoring.query_tokens_total) == (room // 2, 1000)
    assert scoring.tokens_seen.tolist() == [room - room // 2, 1]
    assert scoring.tokens_total.tolist() == [1000, 1]
    short = reranker.score("dog", ["cat " * 1000])
    assert (short.query_tokens_seen, short.tokens_seen[0]) == (1, room - 1)


def test_what_lies_beyond_the_window_does_not_matter(reranker: Reranker) -> None:
    room = (reranker.recipe.max_tokens or 0) - 3 - 1
    texts = ["cat " * room, "cat " * room + "submarine warfare"]
    scores = reranker.score("dog", texts).scores
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    closer = reranker.score("dog", ["cat " * (room - 1), "cat " * (room - 2) + "submarine"]).scores
    assert abs(closer[0] - closer[1]) > 1e-4  # and what lies within does


def test_a_deadline_leaves_a_prefix(bundled_reranker: CrossEncoder) -> None:
    texts = ["a passage of some length about nothing in particular " * 8] * 64
    whole = bundled_reranker.score("cat", texts[:8])
    started = time.monotonic()
    bundled_reranker.score("cat", texts[:8], deadline=Deadline.after_ms(60_000))
    slice_ms = (time.monotonic() - started) * 1000
    scores = bundled_reranker.score("cat", texts, deadline=Deadline.after_ms(1.5 * slice_ms)).scores
    scored = int(np.isfinite(scores).sum())
    assert 8 <= scored < 64
    assert scored % 8 == 0
    assert np.isfinite(scores[:scored]).all()
    assert np.isnan(scores[scored:]).all()
    assert scores[:8] == pytest.approx(whole.scores, abs=1e-4)


def test_a_deadline_in_the_past_scores_nothing(every_reranker: Reranker) -> None:
    assert np.isnan(every_reranker.score("cat", TEXTS, deadline=Deadline.after_ms(-1)).scores).all()


def test_relevance_shows_in_the_score(bundled_reranker: CrossEncoder) -> None:
    scores = bundled_reranker.score("Where do cats sit?", TEXTS).scores
    assert scores.argmax() == 0
    chances = [bundled_reranker.recipe.probability(float(score)) or 0.0 for score in scores]
    assert max(chances) > 0.3
    assert sorted(chances)[-2] < 0.2


def test_the_window_can_be_shortened_but_not_widened(bundled_reranker: CrossEncoder, tmp_path: Path) -> None:
    text = "Cats sit where it is warm. " * 20
    short = CrossEncoder("minilm-reranker", device="cpu", cache=tmp_path, max_tokens=32)
    assert short.recipe.max_tokens == 32
    scoring = short.score("cats", [text])
    assert (scoring.query_tokens_seen, scoring.tokens_seen[0]) == (1, 28)
    beginning = short.score("cats", [text[:200]]).scores
    assert scoring.scores == pytest.approx(beginning, abs=1e-4)
    assert scoring.scores != pytest.approx(bundled_reranker.score("cats", [text]).scores, abs=1e-3)
    wide = CrossEncoder("minilm-reranker", device="cpu", cache=tmp_path, max_tokens=100_000)
    assert wide.recipe.max_tokens == bundled_reranker.recipe.max_tokens


def test_weight_can_be_set(model_folder: Path, tmp_path: Path) -> None:
    model = str(model_folder / "cross-encoder")
    assert CrossEncoder(model, device="cpu", cache=tmp_path).recipe.weight == 1
    assert CrossEncoder(model, device="cpu", cache=tmp_path, weight=0.5).recipe.weight == 0.5


def test_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="no reranker is called"):
        CrossEncoder("nobody/nothing", device="cpu", cache=tmp_path)


def test_named_model_that_cannot_be_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelUnavailable, match="HF_HUB_OFFLINE"):
        CrossEncoder("BAAI/bge-reranker-base", device="cpu", cache=tmp_path)


def test_folder_without_tokenizer(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", "classifier")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelIncomplete, match=r"tokenizer\.json"):
        CrossEncoder(str(folder), device="cpu", cache=tmp_path)


@pytest.mark.parametrize("weight", ["5", '"x"'])
def test_a_weight_that_is_no_share(weight: str, tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", "classifier")
    (folder / "recipe.json").write_text(f'{{"weight": {weight}}}')
    with pytest.raises(ModelIncomplete, match="cannot be used"):
        CrossEncoder(str(folder), device="cpu", cache=tmp_path)


def test_weights_that_are_not_numbers(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", "classifier")
    weights = tiny_weights(1)
    weights["classifier.weight"][:] = np.nan
    (folder / "model.onnx").write_bytes(build_bert(weights, SHAPE, "classifier", GraphBuilder(FP32)).SerializeToString())
    with pytest.raises(SelfTestFailed, match="not a number"):
        CrossEncoder(str(folder), device="cpu", cache=tmp_path).score("cat", TEXTS)


def test_tokenizer_without_a_maximum(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", "classifier")
    (folder / "tokenizer_config.json").write_text('{"pad_token": "[PAD]"}')
    with pytest.raises(ModelIncomplete, match="model_max_length"):
        CrossEncoder(str(folder), device="cpu", cache=tmp_path)


def test_corrupt_model_file(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", "classifier")
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:5000])
    with pytest.raises(ModelCorrupt, match="damaged"):
        CrossEncoder(str(folder), device="cpu", cache=tmp_path)


def test_an_encoder_is_not_a_cross_encoder(model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises((ModelIncomplete, SelfTestFailed), match="embedder-mean"):
        CrossEncoder(str(model_folder / "embedder-mean"), device="cpu", cache=tmp_path).score("cat", TEXTS)


def test_cuda_never_falls_back(tmp_path: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this environment has CUDA")
    with pytest.raises(DeviceUnavailable, match="extra gpu"):
        CrossEncoder("minilm-reranker", device="cuda", cache=tmp_path)


def test_the_threads_of_a_model_rest_when_it_has_answered(every_reranker: Reranker) -> None:
    every_reranker.score("where do cats sit?", TEXTS)
    began = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - began < 0.01


def test_a_column_that_the_model_does_not_have(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", "classifier")
    (folder / "recipe.json").write_text('{"column": 5}')
    with pytest.raises(ModelIncomplete, match=r"gives 1 score a pair.*names column 5.*there is 0 alone"):
        CrossEncoder(str(folder), device="cpu", cache=tmp_path)
