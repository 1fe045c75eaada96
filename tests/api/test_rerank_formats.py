"""Clients of other rerank services work by changing the base URL alone: their requests, their answers, their errors."""

import json
import math
from collections.abc import Iterator
from typing import Any

import cohere
import numpy as np
import pytest
from serving import JSON, Served, serving

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


def test_errors_of_tei_are_called_what_they_are(served: Served) -> None:
    given = {"query": "x", "texts": ["a"]}
    for headers, status in [({"Content-Type": "text/plain"}, 415), ({"X-Tenant": "a"}, 422)]:
        answer = served.http.post("/rerank", content=json.dumps(given), headers=JSON | headers)
        assert (answer.status_code, answer.json()["error_type"]) == (status, "Validation")


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
    from langchain_cohere import CohereRerank  # which takes a second
    from langchain_core.documents import Document as LangChainDocument

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
    assert told["meta"]["api_version"] == {"version": "1"}
    assert served.http.post("/v2/rerank", json=given).json()["meta"]["api_version"] == {"version": "2"}
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


LONG = "word " * 900
BOTH = {"query": "x", "documents": ["a", "b"]}
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/rerank", {"rank_fields": ["title", "text"]}, "rank_fields: documents are judged by their text alone"),
    ("/v1/rerank", {"max_chunks_per_doc": 10, "documents": [LONG]}, "documents are not judged in chunks here"),
    ("/v2/rerank", {"max_tokens_per_doc": 20, "documents": [LONG]}, "max_tokens_per_doc is 20, and the model read"),
    ("/v1/rerank", {"max_doc_length": 20, "documents": [LONG]}, "max_tokens_per_doc is 20, and the model read"),
    ("/v1/rerank", {"max_query_length": 20, "query": LONG}, "max_tokens_per_query is 20, and the model read"),
    ("/v1/rerank", {"max_tokens_per_query": 20, "query": LONG}, "max_tokens_per_query is 20, and the model read"),
    ("/v1/rerank", {"truncate_prompt_tokens": 20, "documents": [LONG]}, "truncate_prompt_tokens is 20, and the model read"),
    ("/v1/rerank", {"truncation_side": "left"}, "truncation_side: Input should be 'right'"),
    ("/v1/rerank", {"truncate": False, "documents": ["a", LONG]}, "text 1 is longer than"),
    ("/v1/rerank", {"truncation": False, "documents": ["a", LONG]}, "text 1 is longer than"),
    ("/v1/rerank", {"truncate": False, "query": LONG}, "the query is longer than"),
    ("/rerank", {"truncate": False, "query": LONG}, "the query is longer than"),
    ("/v1/rerank", {"return_embeddings": True}, "return_embeddings: Input should be False"),
    ("/v1/rerank", {"modality": "image"}, "modality: Input should be 'text'"),
    ("/v1/rerank", {"instruction": "Find cats."}, "there is no field 'instruction' here; there are activation, documents"),
    ("/v1/rerank", {"top_k": 1}, "there is no field 'top_k' here"),
    ("/v2/rerank", {"chat_template": "{}"}, "there is no field 'chat_template' here"),
    ("/rerank", {"top_k": 1}, "there is no field 'top_k' here"),
    ("/rerank", {"texts": ["a"]}, "there is no field 'documents' here; there are query, raw_scores, return_text, texts, top_n"),
    ("/v1/rerank", {"documents": [{"text": "a", "image": "http://x/a.png"}]}, "image cannot be judged here"),
    ("/v1/rerank", {"documents": [{"text": "a", "rank": float("nan")}]}, "a number that JSON has not"),
    ("/v1/rerank", {"top_n": True}, "top_n: Input should be a valid integer"),
]


@pytest.mark.parametrize(("path", "field", "message"), REFUSED, ids=[f"{path} {str(field)[:40]}" for path, field, _ in REFUSED])
def test_what_would_change_the_answer_is_honoured_or_refused(
    path: str, field: dict[str, Any], message: str, served: Served
) -> None:
    answer = served.http.post(path, content=json.dumps(BOTH | field), headers=JSON)
    assert (answer.status_code, message in answer.text) == (422, True), answer.text
    assert len(answer.text) < 2_000


def test_what_changes_nothing_is_let_pass(served: Served, expected: list[float]) -> None:
    of_vllm = {"user": "u", "priority": 3, "request_id": "r", "cache_salt": "s", "padding": "do_not_pad"}
    of_vllm |= {"mm_processor_kwargs": {"a": 1}, "truncate_prompt_tokens": -1, "truncation_side": "right", "use_activation": True}
    of_cohere = {"rank_fields": ["text"], "max_chunks_per_doc": 10, "max_tokens_per_doc": 4096, "priority": 0}
    of_jina = {"return_embeddings": False, "max_doc_length": 2048, "max_query_length": 512, "truncation": True}
    null = dict.fromkeys(
        ["rank_fields", "max_tokens_per_doc", "priority", "use_activation", "top_n", "return_documents", "truncate"]
    )
    for passed in (of_vllm, of_cohere, of_jina, null):
        body = {"query": QUESTION, "documents": CAPITALS} | passed
        told = served.http.post("/v1/rerank", json=body).raise_for_status().json()
        assert [one["relevance_score"] for one in told["results"]] == pytest.approx(sorted(expected, reverse=True), abs=1e-4)
    answer = served.http.post("/score", json={"text_1": QUESTION, "text_2": CAPITALS} | of_vllm)
    assert [one["score"] for one in answer.raise_for_status().json()["data"]] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", ["use_activation", "activation", "softmax"])
def test_without_an_activation_scores_are_raw(name: str, served: Served, bundled_reranker: CrossEncoder) -> None:
    raw = list(map(float, bundled_reranker.score(QUESTION, CAPITALS).scores))
    told = served.http.post("/v1/rerank", json={"query": QUESTION, "documents": CAPITALS, name: False}).raise_for_status().json()
    assert [one["relevance_score"] for one in told["results"]] == pytest.approx(sorted(raw, reverse=True), abs=1e-3)
    told = served.http.post("/score", json={"text_1": QUESTION, "text_2": CAPITALS, name: False}).raise_for_status().json()
    assert [one["score"] for one in told["data"]] == pytest.approx(raw, abs=1e-3)


@pytest.mark.parametrize("names", [("queries", "documents"), ("queries", "items"), ("data_1", "data_2"), ("text_1", "text_2")])
def test_every_pair_of_names_of_a_score(names: tuple[str, str], served: Served, expected: list[float]) -> None:
    one, many = names
    told = served.http.post("/score", json={one: QUESTION, many: CAPITALS}).raise_for_status().json()
    assert [each["score"] for each in told["data"]] == pytest.approx(expected, abs=1e-4)
    wrong = served.http.post("/score", json={one: QUESTION, many: CAPITALS, "text_3": "a"})
    assert (wrong.status_code, "there is no field 'text_3' here" in wrong.text) == (422, True)
    twice = served.http.post("/score", json={one: QUESTION, many: CAPITALS} | {"data_1": "a", "text_1": "b"})
    assert twice.status_code == 422


def test_a_query_that_was_cut_is_told_in_every_format(served: Served) -> None:
    cut: dict[str, dict[str, Any]] = {
        "/rerank": {"query": LONG, "texts": ["a"]},
        "/v1/rerank": {"query": LONG, "documents": ["a"]},
        "/v2/rerank": {"query": LONG, "documents": ["a"]},
        "/score": {"text_1": [LONG, "x", LONG], "text_2": ["a", LONG, "b"]},
    }
    for path, body in cut.items():
        headers = served.http.post(path, json=body).raise_for_status().headers
        several = path == "/score"
        assert (headers["x-truncated-queries"], headers["x-truncated-texts"]) == (("2", "1") if several else ("1", "0")), path
        whole = served.http.post(path, json={name: "x" if value == LONG else value for name, value in body.items()})
        assert several or whole.headers["x-truncated-queries"] == "0"


def test_what_the_reranker_knows_no_word_of_is_told_in_every_format(served: Served) -> None:
    strange = "ꯀꯁꯂ ꯃꯄ"
    told: list[tuple[str, dict[str, Any], tuple[str, str]]] = [
        ("/rerank", {"query": strange, "texts": ["a cat", strange]}, ("1", "0")),
        ("/rerank", {"query": "x", "texts": ["a cat", strange]}, ("0", "1")),
        ("/v1/rerank", {"query": strange, "documents": ["a cat"] * 60}, ("1", "0")),
        ("/v2/rerank", {"query": "x", "documents": [strange] * 60}, ("0", "60")),
        ("/score", {"text_1": [strange, "x", strange], "text_2": ["a cat", strange, strange]}, ("2", "1")),
        ("/score", {"text_1": "x", "text_2": "a cat"}, ("0", "0")),
    ]
    for path, body, expected in told:
        headers = served.http.post(path, json=body).raise_for_status().headers
        assert (headers["x-unread-queries"], headers["x-unread-texts"]) == expected, path


def test_errors_look_as_whoever_sent_documents_expects(served: Served) -> None:
    told = served.http.post("/rerank", json={"query": "x", "documents": ["a"], "top_k": 1}).json()
    assert told["message"] == told["detail"] == told["error"]["message"]
    assert told["message"].startswith("there is no field 'top_k'") or "no field 'top_k'" in told["message"]
    assert set(served.http.post("/rerank", json={"query": "x", "texts": ["a"], "top_k": 1}).json()) == {"error", "error_type"}


def test_other_fields_of_a_document_come_back_with_it(served: Served) -> None:
    documents = [{"text": text, "title": str(number)} for number, text in enumerate(CAPITALS)]
    told = served.http.post("/v1/rerank", json={"query": QUESTION, "documents": documents}).raise_for_status().json()
    assert [one["document"] for one in told["results"]] == [documents[one["index"]] for one in told["results"]]


def test_few_results_of_tei(served: Served) -> None:
    told = served.http.post("/rerank", json={"query": QUESTION, "texts": CAPITALS, "top_n": 2}).raise_for_status().json()
    assert len(told) == 2


def test_models_are_listed_as_openai_does(served: Served) -> None:
    told = served.http.get("/v1/models").raise_for_status().json()
    assert told["object"] == "list"
    assert [(one["id"], one["object"]) for one in told["data"]] == [("minilm-reranker", "model")]
    assert isinstance(told["data"][0]["created"], int)
    assert served.http.get("/v1/models/minilm-reranker").raise_for_status().json() == told["data"][0]
    for name in ("other", "an%2Fother", "an/other"):
        answer = served.http.get(f"/v1/models/{name}")
        assert (answer.status_code, answer.json()["error"]["type"]) == (404, "ModelNotFound")


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
        assert served.http.get("/v1/models").json() == {"object": "list", "data": []}
        assert served.http.get("/v1/models/minilm-reranker").status_code == 404
