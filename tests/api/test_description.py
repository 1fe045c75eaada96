"""The description of the service at /openapi.json, against what it takes and answers."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it ships none
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from serving import JSON, Served, serving, with_pets

from search.api.keys import new_key
from search.documents import Document
from search.settings import Settings


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(Settings(data_dir=tmp_path_factory.mktemp("data")), with_pets) as one:
        yield one


@pytest.fixture(scope="module")
def described(served: Served) -> dict[str, Any]:
    document: dict[str, Any] = served.http.get("/openapi.json").raise_for_status().json()
    return document


def closed(schema: Any) -> Any:
    """The same, where objects have only the fields that are described, unless it says that they may have others."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(one) for name, one in schema.items()}
    return {"additionalProperties": False} | inner if schema.get("type") == "object" and "properties" in schema else inner


def checker(described: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    """What checks a value by a schema that stands in the description."""
    registry = Registry().with_resource("urn:described", DRAFT202012.create_resource(described))
    absolute = json.loads(json.dumps(schema).replace('"#/', '"urn:described#/'))
    return Draft202012Validator(absolute, registry=registry)


def faults(described: dict[str, Any], schema: dict[str, Any], value: Any) -> list[str]:
    return [error.message[:200] for error in checker(described, schema).iter_errors(value)]


def body_of(described: dict[str, Any], path: str, method: str = "post") -> dict[str, Any]:
    schema: dict[str, Any] = described["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"]
    return schema


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    def references(part: Any) -> Iterator[str]:
        for name, value in part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ():
            if name == "$ref":
                yield value
            else:
                yield from references(value)

    found = list(references(described))
    for reference in found:
        part = described
        for step in reference.removeprefix("#/").split("/"):
            assert step in part, reference
            part = part[step]
    assert len(found) > 30
    assert "$defs" not in json.dumps(described)


DOCUMENT = {"id": "new", "text": "Fish swim.", "metadata": {"legs": 0, "of": {"a": [None]}}}
LED = {"alias": "live", "collection": "documents"}
MODEL = "/v1/models/{name}"
ANSWERS: list[tuple[str, str, str, Any, int]] = [
    ("get", "/healthz", "", None, 200),
    ("get", "/health", "", None, 200),
    ("get", "/readyz", "", None, 200),
    ("get", "/metrics", "", None, 200),
    ("post", "/v1/search", "", {"query": "cats", "explain": True}, 200),
    ("post", "/v1/search", "", {"query": " "}, 422),
    ("post", "/v1/search/batch", "", {"searches": [{"query": "cats"}, {"query": " "}]}, 200),
    ("post", "/v1/search/batch", "", {"searches": []}, 422),
    ("post", "/v1/context", "", {"query": "cats"}, 200),
    ("post", "/v1/context", "", {"query": "cats", "form": "messages", "max_tokens": 120}, 200),
    ("post", "/v1/context", "", {"query": "cats", "collection": "none"}, 404),
    ("post", "/v1/documents", "", {"documents": [DOCUMENT, {"id": "none"}]}, 200),
    ("post", "/v1/documents", "", {"documents": [DOCUMENT], "collection": "other"}, 200),
    ("post", "/v1/documents", "", {}, 422),
    ("patch", "/v1/documents", "", {"ids": ["new"], "metadata": {"legs": 1}}, 200),
    ("patch", "/v1/documents", "", {}, 422),
    ("post", "/v1/documents/count", "", {}, 200),
    ("post", "/v1/documents/count", "", {"filter": []}, 422),
    ("get", "/v1/documents/{document_id}", "/v1/documents/new", None, 200),
    ("get", "/v1/documents/{document_id}", "/v1/documents/none", None, 404),
    ("post", "/v1/documents/delete", "", {"ids": ["new", "none"]}, 200),
    ("post", "/v1/documents/delete", "", {}, 422),
    ("get", "/v1/collections", "", None, 200),
    ("get", "/v1/collections/{name}", "/v1/collections/documents", None, 200),
    ("get", "/v1/collections/{name}", "/v1/collections/none", None, 404),
    ("get", "/v1/collections/{name}/facets", "/v1/collections/documents/facets", None, 200),
    ("get", "/v1/collections/{name}/facets", "/v1/collections/none/facets", None, 404),
    ("post", "/v1/collections/aliases", "", LED, 200),
    ("post", "/v1/collections/aliases", "", {}, 422),
    ("delete", "/v1/collections/aliases/{name}", "/v1/collections/aliases/live", None, 200),
    ("delete", "/v1/collections/aliases/{name}", "/v1/collections/aliases/live", None, 404),
    ("delete", "/v1/collections/{name}", "/v1/collections/documents", None, 409),
    ("delete", "/v1/collections/{name}", "/v1/collections/other", None, 200),
    ("post", "/rerank", "", {"query": "x", "texts": ["a", "b"], "return_text": True}, 200),
    ("post", "/rerank", "", {"query": "x", "documents": ["a", {"text": "b", "n": [1]}]}, 200),
    ("post", "/rerank", "", {"query": "x", "texts": []}, 400),
    ("post", "/rerank", "", {"query": "x"}, 422),
    ("post", "/rerank", "", {"query": "x", "documents": []}, 422),
    ("post", "/v1/rerank", "", {"query": "x", "documents": ["a"]}, 200),
    ("post", "/v1/rerank", "", {"query": "x", "documents": []}, 422),
    ("post", "/v2/rerank", "", {"query": "x", "documents": ["a"], "top_n": 1}, 200),
    ("post", "/v2/rerank", "", {"query": "x"}, 422),
    ("post", "/score", "", {"text_1": "x", "text_2": ["a", "b"]}, 200),
    ("post", "/score", "", {"text_1": "x"}, 422),
    ("post", "/v1/score", "", {"text_1": ["x"], "text_2": "a"}, 200),
    ("post", "/v1/score", "", {"text_1": [], "text_2": "a"}, 422),
    ("get", "/v1/models", "", None, 200),
    ("get", MODEL, "/v1/models/minilm-reranker", None, 200),
    ("get", MODEL, "/v1/models/none", None, 404),
    ("get", "/info", "", None, 200),
]


def check_answer(described: dict[str, Any], operation: dict[str, Any], answer: Any) -> None:
    responses = operation["responses"]
    told = responses.get(str(answer.status_code), responses.get("default"))
    assert told, answer.status_code
    kind = answer.headers["content-type"].partition(";")[0]
    schema = told["content"][kind]["schema"]
    assert schema.keys() - {"title"} != {"type", "additionalProperties"}, "any object at all"
    told = answer.json() if kind == "application/json" else answer.text
    assert faults(closed(described), closed(schema), told) == [], answer.text


def test_every_answer_is_as_described(served: Served, described: dict[str, Any]) -> None:
    asked = set()
    for method, path, address, body, status in ANSWERS:
        answer = served.http.request(method, address or path, json=body)
        assert answer.status_code == status, (method, path, answer.text)
        check_answer(described, described["paths"][path][method], answer)
        asked.add((path, method))
    assert asked == {(path, method) for path, methods in described["paths"].items() for method in methods}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            assert "HTTPValidationError" not in json.dumps(operation)
            answer = served.http.request(method, path, headers={"Host": "evil.example"})  # which the gate refuses
            assert answer.status_code == 421
            check_answer(described, operation, answer)


def test_everything_is_described(described: dict[str, Any]) -> None:
    """In whole sentences, each operation in one line, with the scope that it needs."""
    operations = [(path, method, one) for path, methods in described["paths"].items() for method, one in methods.items()]
    summaries = [one["summary"] for _, _, one in operations]
    assert [one for one in summaries if not 12 < len(one) < 90 or one.istitle()] == []
    assert len(summaries) - len(set(summaries)) == 2  # /health and /healthz, /score and /v1/score
    told: dict[str, str] = {}
    for path, method, operation in operations:
        scope = operation["x-scope"]
        assert ("without a key" if scope == "open" else f"keys of the scope `{scope}`") in operation["description"], path
        told |= {f"{method} {path} {one['name']}": one.get("description", "") for one in operation.get("parameters", [])}
    schemas = described["components"]["schemas"]
    for name, schema in schemas.items():
        for field, one in schema.get("properties", {}).items():
            of_kind = schemas[one["$ref"].rpartition("/")[2]] if "$ref" in one else {}
            told[f"{name}.{field}"] = one.get("description", of_kind.get("description", ""))
    assert len(told) > 250
    fragment = re.compile(r"And\b|and\b|Likewise|…|$")
    assert {name: words for name, words in told.items() if fragment.match(words) or not words.endswith((".", "….", "…)."))} == {}


def test_the_page_on_serving_names_every_field_of_rerank_requests(described: dict[str, Any]) -> None:
    page = (Path(__file__).parents[2] / "docs/serving.md").read_text(encoding="utf-8")
    section = page.partition("## For clients of other services\n")[2].partition("\n## ")[0]
    kinds = [described["components"]["schemas"][name] for name in ("TeiRerank", "RerankRequest", "ScoreRequest")]
    assert {field for kind in kinds for field in kind["properties"] if f"`{field}`" not in section} == set()


def test_an_example_can_be_sent_as_it_stands(served: Served, described: dict[str, Any]) -> None:
    for method, path in (("patch", "/v1/documents"), ("post", "/v1/documents/delete"), ("post", "/v1/collections/aliases")):
        kind = body_of(described, path, method)["$ref"].rpartition("/")[2]
        (example,) = described["components"]["schemas"][kind]["examples"]
        answer = served.http.request(method, path, json=example)
        assert answer.status_code == 200, (path, answer.text)
        assert "filter" not in example
    served.http.delete("/v1/collections/aliases/live").raise_for_status()


def test_a_service_that_is_not_ready_says_so_as_described(settings: Settings) -> None:
    with serving(settings) as own:
        described = own.http.get("/openapi.json").json()
        own.service.ready = False
        answer = own.http.get("/readyz")
        assert answer.status_code == 503
        check_answer(described, described["paths"]["/readyz"]["get"], answer)
        assert "503" in described["paths"]["/readyz"]["get"]["responses"]


TEXTS = {"query": "a", "texts": ["b"]}
DOCUMENTS = {"query": "a", "documents": ["b"]}
PAIR = {"text_1": "a", "text_2": "b"}
TAKEN: list[tuple[str, Any]] = [
    ("/score", {"queries": "a", "documents": ["b"]}),
    ("/score", {"data_1": "a", "data_2": ["b"]}),
    ("/v1/score", {"queries": ["a"], "items": "b"}),
    ("/v1/score", {**PAIR, "queries": None, "softmax": False, "model": None, "user": None}),
    ("/v1/rerank", {**DOCUMENTS, "truncation": True, "max_doc_length": 100, "max_query_length": 100, "activation": True}),
    ("/v2/rerank", {**DOCUMENTS, "raw_scores": None, "truncation": None, "max_doc_length": None, "softmax": None}),
    ("/v1/rerank", {**DOCUMENTS, "use_activation": None, "rank_fields": None, "modality": None, "return_embeddings": None}),
    ("/rerank", {**DOCUMENTS, "truncation": True, "documents": [{"text": "b", "n": None}]}),
    ("/rerank", {**TEXTS, "raw_scores": None, "return_text": None, "truncation_direction": None, "truncate": None, "top_n": None}),
    ("/rerank", {**TEXTS, "truncation_direction": "Right"}),
    ("/v1/documents", {"documents": [DOCUMENT], "dry_run": True}),
]
REFUSED: list[tuple[str, Any]] = [
    ("/score", {"text_1": "a"}),
    ("/score", {"queries": "a", "text_3": "b"}),
    ("/score", {**PAIR, "text_3": "b"}),
    ("/v1/rerank", {"query": "a"}),
    ("/v1/rerank", {**DOCUMENTS, "query": None}),
    ("/v1/rerank", {**DOCUMENTS, "documents": [{"n": 1}]}),
    ("/v1/rerank", {**DOCUMENTS, "truncation": 1}),
    ("/rerank", {**TEXTS, "truncation_direction": "Left"}),
    ("/rerank", {**TEXTS, "top_k": 1}),
    ("/v1/search", {"query": "a", "collection": "a/b"}),
]


@pytest.mark.parametrize(("path", "body"), TAKEN, ids=[f"{path} {body}"[:80] for path, body in TAKEN])
def test_what_is_taken_is_described(path: str, body: Any, served: Served, described: dict[str, Any]) -> None:
    assert served.http.post(path, json=body).status_code == 200
    assert faults(described, body_of(described, path), body) == []


@pytest.mark.parametrize(("path", "body"), REFUSED, ids=[f"{path} {body}"[:80] for path, body in REFUSED])
def test_what_is_described_as_wrong_is_refused(path: str, body: Any, served: Served, described: dict[str, Any]) -> None:
    assert served.http.post(path, json=body).status_code == 422
    assert faults(described, body_of(described, path), body)


@pytest.mark.parametrize(("field", "longest"), [("id", 4_096), ("media_type", 255)])
def test_a_text_is_as_long_as_described(field: str, longest: int, served: Served, described: dict[str, Any]) -> None:
    """And as long as an ingestion takes it."""
    assert described["components"]["schemas"]["DocumentBody"]["properties"][field]["maxLength"] == longest
    for length, added in ((longest, 1), (longest + 1, 0)):
        body: dict[str, Any] = {"documents": [{"id": "a", "text": "Cats."} | {field: "a" * length}], "dry_run": True}
        assert served.searcher.ingest([Document(**one) for one in body["documents"]], dry_run=True).added == added
        assert served.http.post("/v1/documents", json=body).raise_for_status().json()["added"] == added
        assert bool(faults(described, body_of(described, "/v1/documents"), body)) == (not added)


def test_who_may_ask_is_described(described: dict[str, Any], model_folder: Path, tmp_path: Path) -> None:
    """By the service that is asked: whether it wants keys, and knows tenants."""
    key, digest = new_key()
    field = {"tenant_field": "metadata.customer", "reranker": {"kind": "none"}}
    given = Settings(data_dir=tmp_path, embedder={"model": str(model_folder / "embedder-mean")}, **field)
    keys = {"all": {"sha256": digest, "scopes": ["search", "write", "admin"]}}
    with serving(given, api_keys=keys) as own:
        locked = own.http.get("/openapi.json").json()
        schemes = locked["components"]["securitySchemes"]
        assert described["components"]["securitySchemes"] == schemes
        assert schemes["bearer"] == {"type": "http", "scheme": "bearer"}
        assert schemes["header"] == {"type": "apiKey", "in": "header", "name": "X-API-Key"}
        for path, methods in locked["paths"].items():
            for method, operation in methods.items():
                public = operation["x-scope"] == "open"
                wanted: list[dict[str, list[str]]] = [] if public else [{"bearer": []}, {"header": []}]
                assert operation.get("security", []) == wanted, path
                assert described["paths"][path][method].get("security", []) == ([] if public else [{}, *wanted])
                names = [one["name"] for one in operation.get("parameters", [])]
                assert ("X-Tenant" in names) == (not public), path
                assert "X-Tenant" not in json.dumps(described["paths"][path])
        for header in ({"Authorization": f"Bearer {key}"}, {"X-API-Key": key}):
            body = {"documents": [DOCUMENT], "dry_run": True}
            answer = own.http.post("/v1/documents", content=json.dumps(body), headers={**JSON, **header, "X-Tenant": "acme"})
            assert answer.json()["added"] == 1
