"""Clients of other rerank services work by changing the base URL alone: their requests, their answers, their errors."""

import math
from collections.abc import Iterator
from typing import Any

import cohere
import numpy as np
import pytest
from langchain_cohere import CohereRerank
from langchain_core.documents import Document as LangChainDocument
from serving import Served, serving

from search.reranking.cross_encoder import CrossEncoder
from search.settings import Settings

CAPITALS = [  # of Cohere's and Jina's documented examples
    "Carson City is the capital city of the American state of Nevada.",
    "The Commonwealth of the Northern Mariana Islands is a group of islands in the Pacific Ocean. Its capital is Saipan.",
    "Washington, D.C. is the capital of the United States.",
    "Capital punishment has existed in the United States since before it was a country.",
]
QUESTION = "What is the capital of the United States?"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(Settings(data_dir=tmp_path_factory.mktemp("data")), max_texts=100, max_characters=5_000) as one:
        yield one


@pytest.fixture(scope="module")
def expected(bundled_reranker: CrossEncoder) -> list[float]:
    """Probabilities of the same model, asked directly."""
    scores = bundled_reranker.score(QUESTION, CAPITALS).scores
    probabilities = [bundled_reranker.recipe.probability(float(score)) for score in scores]
    return [one for one in probabilities if one is not None]


def best_first(scores: list[float]) -> list[int]:
    return sorted(range(len(scores)), key=lambda i: -scores[i])


def test_tei(served: Served, expected: list[float], bundled_reranker: CrossEncoder) -> None:
    answer = served.http.post("/rerank", json={"query": QUESTION, "texts": CAPITALS, "raw_scores": False})
    told = answer.json()
    assert [one["index"] for one in told] == best_first(expected)
    assert [set(one) for one in told] == [{"index", "score"}] * 4
    assert [one["score"] for one in told] == pytest.approx(sorted(expected, reverse=True), abs=1e-4)
    assert answer.headers["x-compute-type"] == "cpu"
    raw = served.http.post("/rerank", json={"query": QUESTION, "texts": CAPITALS, "raw_scores": True, "return_text": True}).json()
    scores = bundled_reranker.score(QUESTION, CAPITALS).scores
    assert {one["text"]: one["score"] for one in raw} == pytest.approx(
        dict(zip(CAPITALS, map(float, scores), strict=True)), abs=1e-3
    )
    info = served.http.get("/info").json()
    assert (info["model_id"], info["max_client_batch_size"]) == ("minilm-reranker", 100)
    assert "reranker" in info["model_type"]


@pytest.mark.parametrize(
    ("given", "status", "kind"),
    [
        ({"query": "x", "texts": []}, 400, "Empty"),
        ({"query": "x"}, 422, "Validation"),
        ({"query": "x", "texts": [1]}, 422, "Validation"),
        ({"query": " ", "texts": ["a"]}, 422, "Validation"),
        ({"query": "x", "texts": ["a"] * 101}, 422, "Validation"),
        ({"query": "x", "texts": ["a" * 5_001]}, 422, "Validation"),
        ({"query": "x", "texts": ["word " * 900], "truncate": False}, 422, "Validation"),
        ({"query": "x", "texts": ["a"], "truncation_direction": "Left"}, 422, "Validation"),
    ],
)
def test_errors_of_tei(served: Served, given: Any, status: int, kind: str) -> None:
    answer = served.http.post("/rerank", json=given)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error", "error_type"}
    assert answer.json()["error_type"] == kind


def test_long_texts_are_cut_as_tei_does_when_told_to(served: Served) -> None:
    answer = served.http.post("/rerank", json={"query": "x", "texts": ["word " * 900, "b"], "truncate": True})
    assert (answer.status_code, answer.headers["x-truncated-texts"]) == (200, "1")


def test_the_cohere_client(served: Served, expected: list[float]) -> None:
    client = cohere.ClientV2("any", base_url=served.url, httpx_client=served.http)
    answer = client.rerank(model="rerank-v3.5", query=QUESTION, documents=CAPITALS, top_n=2)
    assert [one.index for one in answer.results] == best_first(expected)[:2]
    assert [one.relevance_score for one in answer.results] == pytest.approx(sorted(expected, reverse=True)[:2], abs=1e-4)
    assert answer.id
    assert answer.meta
    assert answer.meta.api_version
    assert answer.meta.api_version.version == "2"
    assert not hasattr(answer.results[0], "document")
    with pytest.raises(cohere.UnprocessableEntityError, match="`documents` cannot be empty"):
        client.rerank(model="any", query=QUESTION, documents=[])
    first = cohere.Client("any", base_url=served.url, httpx_client=served.http)
    old = first.rerank(query=QUESTION, documents=[{"text": text} for text in CAPITALS], return_documents=True)
    assert old.results[0].document
    assert old.results[0].document.text == CAPITALS[best_first(expected)[0]]


def test_the_cohere_client_of_langchain(served: Served, expected: list[float]) -> None:
    client = cohere.ClientV2("any", base_url=served.url, httpx_client=served.http)
    compressor = CohereRerank(client=client, model="any", top_n=3)
    documents = [LangChainDocument(page_content=text, metadata={"number": i}) for i, text in enumerate(CAPITALS)]
    found = compressor.compress_documents(documents, QUESTION)
    assert [one.metadata["number"] for one in found] == best_first(expected)[:3]
    assert found[0].metadata["relevance_score"] == pytest.approx(max(expected), abs=1e-4)


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank"])
def test_jina_and_vllm(path: str, served: Served, expected: list[float]) -> None:
    given = {"model": "jina-reranker-v2-base-multilingual", "query": QUESTION, "documents": CAPITALS, "top_n": 3}
    told = served.http.post(path, json=given).json()
    assert told["results"][0]["document"] == {"text": CAPITALS[best_first(expected)[0]]}
    assert (len(told["results"]), told["usage"]["total_tokens"] > 20) == (3, True)
    assert told["usage"]["prompt_tokens"] == told["usage"]["total_tokens"]
    assert told["model"] == "minilm-reranker"
    without = served.http.post(path, json={**given, "return_documents": False, "top_n": len(CAPITALS)}).json()
    assert [set(one) for one in without["results"]] == [{"index", "relevance_score"}] * 4
    answer = served.http.post(path, json={"query": "x", "documents": []})
    told = answer.json()
    assert answer.status_code == 422
    assert told["detail"] == told["message"] == told["error"]["message"] == "`documents` cannot be empty"
    assert (told["error"]["code"], told["error"]["type"]) == (422, "Validation")


@pytest.mark.parametrize("path", ["/score", "/v1/score"])
def test_the_scores_of_vllm(path: str, served: Served, expected: list[float]) -> None:
    told = served.http.post(path, json={"model": "x", "text_1": QUESTION, "text_2": CAPITALS}).json()
    assert (told["object"], [one["index"] for one in told["data"]]) == ("list", [0, 1, 2, 3])
    assert [one["score"] for one in told["data"]] == pytest.approx(expected, abs=1e-4)
    assert {one["object"] for one in told["data"]} == {"score"}
    pairs = served.http.post(path, json={"text_1": [QUESTION] * 4, "text_2": CAPITALS}).json()
    assert [one["score"] for one in pairs["data"]] == pytest.approx(expected, abs=1e-4)
    single = served.http.post(path, json={"text_1": QUESTION, "text_2": CAPITALS[2]}).json()
    assert single["data"][0]["score"] == pytest.approx(expected[2], abs=1e-4)
    wrong = served.http.post(path, json={"text_1": ["a", "b"], "text_2": ["a", "b", "c"]})
    assert (wrong.status_code, wrong.json()["error"]["message"]) == (
        422,
        "text_1 has 2 texts and text_2 3; send one, or as many of each",
    )
    assert served.http.post(path, json={"text_1": [], "text_2": "a"}).status_code == 422


def test_large_requests_are_split_and_come_out_as_one(served: Served, bundled_reranker: CrossEncoder) -> None:
    texts = [f"Text number {number} speaks of {'cats' if number % 7 == 0 else 'other things'}." for number in range(100)]
    told = served.http.post("/rerank", json={"query": "cats", "texts": texts, "raw_scores": True}).json()
    scores = {one["index"]: one["score"] for one in told}
    whole = bundled_reranker.score("cats", texts).scores
    np.testing.assert_allclose([scores[i] for i in range(100)], whole, atol=1e-3)
    assert [one["score"] for one in told] == sorted(scores.values(), reverse=True)


def test_without_a_map_a_score_becomes_what_tei_makes_of_it(settings: Settings, model_folder: Any) -> None:
    model = {"kind": "cross-encoder", "model": str(model_folder / "cross-encoder")}
    with serving(settings.model_copy(update={"reranker": Settings(reranker=model).reranker})) as served:
        raw, squashed = (
            served.http.post("/rerank", json={"query": "x", "texts": ["a", "b"], "raw_scores": raw}).json() for raw in (True, False)
        )
        assert [one["score"] for one in squashed] == pytest.approx([1 / (1 + math.exp(-one["score"])) for one in raw], abs=1e-6)


def test_a_service_that_reranks_nothing_says_so(settings: Settings) -> None:
    with serving(settings.model_copy(update={"reranker": Settings(reranker={"kind": "none"}).reranker})) as served:
        answer = served.http.post("/v2/rerank", json={"query": "x", "documents": ["a"]})
        assert (answer.status_code, answer.json()["error"]["type"]) == (501, "NoReranker")
