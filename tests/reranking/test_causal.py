"""Language models score texts by the published procedure and by the definition of each head, or refuse to serve."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from languages import GOLDEN, exported, reference_logits
from tokenizers import Tokenizer

from search.documents import Candidate
from search.errors import (
    InferenceFailed,
    InvalidSettings,
    ModelCorrupt,
    ModelIncomplete,
    ModelNotFound,
    OutOfMemory,
    SelfTestFailed,
    UnsupportedModel,
)
from search.inference import decoder as inference
from search.query.ranking import rank
from search.reranking.causal import CausalReranker
from search.reranking.contract import Deadline
from search.reranking.language_model import LanguageModel
from search.reranking.listwise import ListwiseReranker
from search.reranking.pairwise import PairwiseReranker
from search.reranking.recipe import find

PAIRS: list[tuple[str, str]] = [(query, document) for query, document in GOLDEN["texts"]]
RAW = Tokenizer.from_str(json.dumps(GOLDEN["tokenizer"]))
QUERY = "when does the cat sleep?"
TEXTS = [
    "the cat sleeps on the mat",
    "dogs",
    "a document about dogs and cats\n" * 4,
    "What is the answer?",
    "No",
    "passage relevant",
]


def load(folder: Path, **options: Any) -> LanguageModel:
    return LanguageModel(str(folder), device="cpu", **options)


@pytest.fixture(scope="module")
def zerank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("zerank"), "qwen3", "zerank-2")


@pytest.mark.parametrize("name", ["qwen3", "qwen3-wide-head", "qwen3-sliding"])
@pytest.mark.parametrize("recipe", ["zerank-1-small", "qwen3-reranker"])
def test_texts_get_the_scores_of_the_published_procedure(name: str, recipe: str, tmp_path: Path) -> None:
    reranker = CausalReranker(load(exported(tmp_path, name, recipe)))
    expected = GOLDEN["models"][name]["pairs"]["zerank" if recipe.startswith("zerank") else recipe]
    scores = [reranker.score(query, [document]).scores[0] for query, document in PAIRS]
    assert scores == pytest.approx(expected, abs=2e-4)


def test_a_classifier_takes_the_prompt_of_the_model_it_was_made_from(tmp_path: Path) -> None:
    reranker = CausalReranker(load(exported(tmp_path, "qwen3-classifier", "zerank-1-small")))
    assert reranker.recipe.model_dump()["head"] == {"kind": "classification"}
    scores = [reranker.score(query, [document]).scores[0] for query, document in PAIRS]
    assert scores == pytest.approx(GOLDEN["models"]["qwen3-classifier"]["pairs"]["classifier"], abs=2e-4)


def last_logits(model: str, prompt: str) -> Any:
    return reference_logits(model, RAW.encode(prompt).ids)[-1]


def test_yes_less_no_by_its_definition(tmp_path: Path) -> None:
    reranker = CausalReranker(load(exported(tmp_path, "llama", "yes-no")))
    yes, no = (RAW.encode(token).ids[0] for token in (" Yes", " No"))
    logits = [last_logits("llama", find("yes-no").prompt().format(query=QUERY, document=text)) for text in TEXTS]
    assert reranker.score(QUERY, TEXTS).scores == pytest.approx([row[yes] - row[no] for row in logits], abs=2e-4)
    chance = np.exp(logits[0][yes]) / (np.exp(logits[0][yes]) + np.exp(logits[0][no]))  # the softmax of the two
    assert reranker.recipe.probability(float(logits[0][yes] - logits[0][no])) == pytest.approx(chance)


def test_query_likelihood_by_its_definition(tmp_path: Path) -> None:
    reranker = CausalReranker(load(exported(tmp_path, "llama", "query-likelihood")))
    template = find("query-likelihood").prompt()
    expected = []
    for text in TEXTS:
        encoding = RAW.encode(template.format(query=QUERY, document=text))
        ids = encoding.ids
        logits = reference_logits("llama", ids)
        chances = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        begin = len(template.format(query="", document=text))
        of_query = [i for i, (_, end) in enumerate(encoding.offsets) if end > begin]
        expected.append(np.mean([chances[i - 1, ids[i]] for i in of_query]))
    scoring = reranker.score(QUERY, TEXTS)
    assert scoring.scores == pytest.approx(expected, abs=2e-4)
    assert reranker.recipe.unit == "mean log-probability of the query"


def test_a_window_is_ordered_by_the_logits_of_its_letters(tmp_path: Path) -> None:
    reranker = ListwiseReranker(load(exported(tmp_path, "llama", "listwise")))
    recipe = find("listwise")
    items = "".join(f"[{'ABCDEF'[place]}] {text}\n\n" for place, text in enumerate(TEXTS))
    letters = [RAW.encode(letter).ids[0] for letter in "ABCDEF"]
    logits = last_logits("llama", recipe.prompt().format(query=QUERY, passages=items))[letters]
    scoring = reranker.score(QUERY, TEXTS)
    assert np.argsort(-scoring.scores).tolist() == np.argsort(-logits).tolist()
    assert sorted(scoring.scores) == pytest.approx(sorted(1 / np.arange(1, 7)))
    assert scoring.tokens_seen.tolist() == scoring.tokens_total.tolist()
    assert scoring.tokens_total[4] == 1


def test_more_texts_than_a_window_and_texts_longer_than_their_share(tmp_path: Path) -> None:
    head = {**find("listwise").to_dict()["head"], "window": 4, "stride": 2}
    reranker = ListwiseReranker(load(exported(tmp_path, "llama", "listwise", head=head, max_tokens=200)))
    texts = [f"{text} " * 60 for text in TEXTS] * 2
    scoring = reranker.score(QUERY, texts)
    assert sorted(scoring.scores) == pytest.approx(sorted(1 / np.arange(1, 13)))
    assert (scoring.tokens_seen < scoring.tokens_total).all()
    assert (scoring.tokens_seen > 0).all()
    late = reranker.score(QUERY, texts, deadline=Deadline.after_ms(0))
    assert np.isnan(late.scores).all()
    assert not late.tokens_seen.any()
    assert reranker.score(QUERY, []).scores.tolist() == []
    assert reranker.score(QUERY, ["one"]).scores.tolist() == [1]


def test_pairs_are_compared_in_both_orders(tmp_path: Path) -> None:
    reranker = PairwiseReranker(load(exported(tmp_path, "llama", "pairwise")))
    template = find("pairwise").prompt()
    a_token, b_token = (RAW.encode(token).ids[0] for token in (" A", " B"))
    texts = TEXTS[:4]

    def wins(a: str, b: str) -> float:
        logits = last_logits("llama", template.format(query=QUERY, a=a, b=b))
        return float(1 / (1 + np.exp(logits[b_token] - logits[a_token])))

    expected = [np.mean([(wins(a, b) + 1 - wins(b, a)) / 2 for b in texts if b != a]) for a in texts]
    scoring = reranker.score(QUERY, texts)
    assert scoring.scores == pytest.approx(expected, abs=2e-4)
    assert scoring.scores.sum() == pytest.approx(len(texts) / 2, abs=1e-4)
    assert reranker.score(QUERY, texts[:1]).scores.tolist() == [0.5]
    assert reranker.score(QUERY, []).scores.tolist() == []
    assert np.isnan(reranker.score(QUERY, texts, deadline=Deadline.after_ms(0)).scores).all()


def test_what_joined_before_the_deadline_is_a_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reranker = PairwiseReranker(load(exported(tmp_path, "llama", "pairwise")))
    rounds = iter([False, False, False, True])
    monkeypatch.setattr(Deadline, "expired", property(lambda _: next(rounds)))
    scoring = reranker.score(QUERY, TEXTS, deadline=Deadline(0))
    monkeypatch.undo()
    assert np.isfinite(scoring.scores).tolist() == [True] * 3 + [False] * 3
    assert scoring.scores[:3] == pytest.approx(reranker.score(QUERY, TEXTS[:3]).scores, abs=1e-5)
    assert scoring.tokens_total[3:].tolist() == [0] * 3


def test_instructions_are_read_and_white_space_is_not(zerank: Path) -> None:
    plain = CausalReranker(load(zerank))
    told = CausalReranker(load(zerank, instruction="Prefer answers about dogs."))
    assert abs(plain.score(QUERY, TEXTS).scores - told.score(QUERY, TEXTS).scores).max() > 0.1
    spaced = plain.score(f"  {QUERY}\n", [f"\n {text} " for text in TEXTS]).scores
    assert spaced == pytest.approx(plain.score(QUERY, TEXTS).scores, abs=1e-5)


def test_golden_scores_are_compared_as_they_were_recorded(verified: Path) -> None:
    told = CausalReranker(load(verified, instruction="Prefer answers about dogs."))
    assert told.verified == "transformers"
    assert abs(told.score(QUERY, TEXTS).scores - CausalReranker(load(verified)).score(QUERY, TEXTS).scores).max() > 0.1


def test_a_query_without_tokens_is_not_likely(tmp_path: Path) -> None:
    reranker = CausalReranker(load(exported(tmp_path, "llama", "query-likelihood")))
    with pytest.raises(InferenceFailed, match="the query has no tokens"):
        reranker.score("", TEXTS)


def test_an_instruction_for_a_model_that_takes_none(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="no place for an instruction"):
        load(exported(tmp_path, "llama", "yes-no"), instruction="Be strict.")


def test_long_texts_and_queries_are_counted(zerank: Path) -> None:
    reranker = CausalReranker(load(zerank))
    scoring = reranker.score("cat " * 2000, ["dog " * 2000, "a"])
    assert scoring.query_tokens_seen < scoring.query_tokens_total
    assert scoring.tokens_seen[0] < scoring.tokens_total[0]
    assert scoring.tokens_seen[1] == scoring.tokens_total[1]
    assert np.isfinite(scoring.scores).all()


def test_a_deadline_leaves_a_prefix(zerank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reranker = CausalReranker(load(zerank), slice_size=2)
    rounds = iter([False, False, True])
    monkeypatch.setattr(Deadline, "expired", property(lambda _: next(rounds)))
    scoring = reranker.score(QUERY, TEXTS, deadline=Deadline(0))
    monkeypatch.undo()
    assert np.isfinite(scoring.scores).tolist() == [True] * 4 + [False] * 2
    assert scoring.scores[:4] == pytest.approx(reranker.score(QUERY, TEXTS).scores[:4], abs=1e-5)
    assert scoring.tokens_total[4:].tolist() == [0, 0]


def golden_file(folder: Path, score: float, **more: Any) -> Path:
    line = {"query": PAIRS[0][0], "document": PAIRS[0][1], "score": score, "source": "transformers", "tolerance": 0.01, **more}
    file = folder / "golden.jsonl"
    file.write_text(json.dumps(line) + "\n\n")
    return file


TRUE_SCORE: float = GOLDEN["models"]["qwen3"]["pairs"]["zerank"][0]


def rewritten(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    recipe = json.loads((folder / "recipe.json").read_text())
    change(recipe)
    (folder / "recipe.json").write_text(json.dumps(recipe))
    return folder


@pytest.fixture
def verified(tmp_path: Path) -> Path:
    golden = golden_file(tmp_path, TRUE_SCORE, probability=1 / (1 + np.exp(-TRUE_SCORE / 5)))
    return exported(tmp_path, "qwen3", "zerank-2", golden=golden)


def test_a_model_with_golden_scores_of_others_is_verified(verified: Path, zerank: Path) -> None:
    assert CausalReranker(load(verified)).verified == "transformers"
    assert CausalReranker(load(zerank)).verified == ""


def test_scores_of_the_export_itself_verify_nothing(tmp_path: Path) -> None:
    folder = exported(tmp_path, "qwen3", "zerank-2", golden=golden_file(tmp_path, TRUE_SCORE, source="export"))
    assert CausalReranker(load(folder)).verified == ""


def test_a_missing_template_is_refused(verified: Path) -> None:
    rewritten(verified, lambda recipe: recipe.update(template="{query}\n{document}"))
    with pytest.raises(SelfTestFailed, match=rf"whose score is {TRUE_SCORE:.3f} by transformers"):
        CausalReranker(load(verified))


def test_a_wrong_scale_is_refused(verified: Path) -> None:
    rewritten(verified, lambda recipe: recipe.update(scale=1.0))
    with pytest.raises(SelfTestFailed, match="its scale is wrong"):
        CausalReranker(load(verified))


def test_a_map_of_the_users_own_is_another_than_was_published(verified: Path) -> None:
    rewritten(verified, lambda recipe: recipe.update(scale=1.0, calibrated_on="platt on notes"))
    assert CausalReranker(load(verified)).recipe.scale == 1.0


def test_a_wrong_token_in_the_graph_is_refused(tmp_path: Path) -> None:
    head = {"kind": "token_logits", "tokens": {"yes": 1.0}}
    folder = exported(tmp_path, "qwen3", "zerank-2", head=head, golden=golden_file(tmp_path, TRUE_SCORE))
    with pytest.raises(SelfTestFailed, match="another token"):
        CausalReranker(load(folder))


def test_a_token_id_that_the_tokenizer_does_not_know(verified: Path) -> None:
    rewritten(verified, lambda recipe: recipe["head"].update(ids={"Yes": 9454}))
    with pytest.raises(ModelIncomplete, match=r"reads the token 'Yes' as 9454, its tokenizer as \d+"):
        CausalReranker(load(verified))


def test_padding_on_the_left_is_refused(zerank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = inference._padded

    def left(rows: Any, length: int) -> Any:
        feed = plain(rows, length)
        for padded, row in zip(feed["input_ids"], rows, strict=True):
            padded[:] = np.roll(padded, length - len(row))
        return feed

    monkeypatch.setattr(inference, "_padded", left)
    with pytest.raises(SelfTestFailed, match="its padding is wrong"):
        CausalReranker(load(zerank))


def test_weights_that_are_not_numbers_are_refused(verified: Path) -> None:
    data = np.fromfile(verified / "model.onnx.data", np.float32)
    data[:] = np.nan
    data.tofile(verified / "model.onnx.data")
    with pytest.raises(SelfTestFailed, match="not a number"):
        CausalReranker(load(verified))


def test_memory_that_does_not_hold_the_model_is_no_damage(zerank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        message = "[ONNXRuntimeError] : 1 : FAIL : … Failed to allocate memory for requested buffer of size 3443329283"
        raise RuntimeError(message)

    monkeypatch.setattr(inference, "Session", full)
    with pytest.raises(OutOfMemory, match=r"does not hold the model model; export it as int8 or int4, .* cuda\.memory_mib\)"):
        load(zerank)


def test_a_device_that_fills_up_in_the_self_test_says_so(zerank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(zerank)

    def full(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(model.decoder._session, "run", full)
    with pytest.raises(OutOfMemory, match="batch_tokens"):
        CausalReranker(model)


def test_folders_that_cannot_be_loaded(zerank: Path, tmp_path: Path, model_folder: Path) -> None:
    import shutil

    with pytest.raises(ModelNotFound, match="write one with `search export MODEL zerank`"):
        load(Path("zerank"))
    with pytest.raises(ModelIncomplete, match="set the reranker's kind to cross-encoder"):
        load(model_folder / "cross-encoder")
    truncated = shutil.copytree(zerank, tmp_path / "truncated")
    (truncated / "model.onnx.data").write_bytes((truncated / "model.onnx.data").read_bytes()[:1000])
    with pytest.raises(ModelCorrupt, match="damaged"):
        load(truncated)
    bare = shutil.copytree(zerank, tmp_path / "bare")
    (bare / "tokenizer.json").unlink()
    with pytest.raises(ModelIncomplete, match=r"lacks tokenizer\.json"):
        load(bare)
    rewritten(truncated, lambda recipe: recipe.update(head={"kind": "magic"}))
    with pytest.raises(ModelIncomplete, match="cannot be used"):
        load(truncated)


@pytest.mark.parametrize(
    ("recipe", "kind"), [("listwise", CausalReranker), ("yes-no", ListwiseReranker), ("yes-no", PairwiseReranker)]
)
def test_a_recipe_of_another_kind(recipe: str, kind: Any, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="the recipe of model"):
        kind(load(exported(tmp_path, "llama", recipe)))


def test_a_batch_beyond_memory_leaves_retrieval_order(zerank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ONNX Runtime says when a GPU is full, planted, for there may be none; the real thing on the CPU is tested apart."""
    reranker = CausalReranker(load(zerank))

    def full(*_: Any) -> Any:
        message = "Non-zero status code … Failed to allocate memory for requested buffer of size 51539607552"
        raise RuntimeError(message)

    monkeypatch.setattr(reranker._model.decoder._session, "run", full)
    candidates = [
        Candidate(
            document_id=text,
            chunk_id=text,
            title="",
            text=text,
            metadata={},
            start=0,
            end=1,
            retrieval_rank=place,
            retrieval_score=1 - place / 10,
            tokens_seen=1,
            tokens_total=1,
            unknown_share=0.0,
        )
        for place, text in enumerate(TEXTS, 1)
    ]
    ranking = rank(QUERY, candidates, reranker)
    assert ranking.status == "failed"
    assert "does not hold a batch" in ranking.reason
    assert "batch_tokens" in ranking.reason
    assert [hit.text for hit in ranking.hits] == TEXTS
    monkeypatch.undo()
    assert rank(QUERY, candidates, reranker).status == "full"
