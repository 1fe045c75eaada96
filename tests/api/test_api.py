"""The service's own API, over HTTP: what it answers, and what it says when it cannot."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import FOUR, JSON, Served, resident, serving, with_pets

from search.api.kept import Kept
from search.client import Client
from search.settings import Settings


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One service for the tests that only ask."""
    with serving(Settings(data_dir=tmp_path_factory.mktemp("data")), with_pets) as one:
        yield one


@pytest.fixture
def fresh(settings: Settings) -> Iterator[Served]:
    """A service of one's own, to change."""
    with serving(settings, with_pets) as one:
        yield one


def test_a_search_says_what_happened(served: Served) -> None:
    answer = served.http.post("/v1/search", json={"query": "What sleeps?", "limit": 2}, headers={"X-Request-Id": "mine-1"})
    told = answer.json()
    here = served.searcher.search("What sleeps?", limit=2)
    assert [hit["document_id"] for hit in told["hits"]] == [hit.document_id for hit in here.hits]
    assert told["hits"][0]["rerank_score"] == pytest.approx(here.hits[0].rerank_score, abs=1e-4)
    assert (told["rerank_status"], told["reason"], told["reranker"]) == ("full", "", "minilm-reranker")
    assert told["request_id"] == answer.headers["x-request-id"] == "mine-1"
    assert set(told["timings_ms"]) == {"queue", "embed", "retrieve", "rerank", "total"}
    assert re.fullmatch(r"(queue|embed|retrieve|rerank|total);dur=[\d.]+(, \w+;dur=[\d.]+){4}", answer.headers["server-timing"])


def test_every_option_of_a_search(served: Served) -> None:
    def hits(**asked: Any) -> list[str]:
        told = served.http.post("/v1/search", json={"query": "What sleeps?", **asked}).raise_for_status().json()
        return [hit["document_id"] for hit in told["hits"]]

    assert sorted(hits(filter=FOUR)) == ["dogs", "pets/cats.md"]
    assert len(hits(limit=1, depth=3)) == 1
    assert hits(min_score=0.999999) == []
    assert len(hits(group_by="document")) == 3
    skipped = served.http.post("/v1/search", json={"query": "What sleeps?", "rerank": False}).json()
    assert (skipped["rerank_status"], skipped["hits"][0]["rerank_score"]) == ("skipped", None)
    late = served.http.post("/v1/search", json={"query": "What sleeps?", "budget_ms": 0.001}).json()
    assert (late["rerank_status"], len(late["hits"])) == ("skipped", 3)
    assert "time budget" in late["reason"]
    explained = served.http.post("/v1/search", json={"query": "What sleeps?", "limit": 1, "explain": True}).json()
    assert (len(explained["hits"]), len(explained["explanation"])) == (1, 3)
    assert [one["moved"] for one in explained["explanation"]] == [
        one["retrieval_rank"] - one["rank"] for one in explained["explanation"]
    ]


def test_what_is_not_asked_for_is_never_too_much(settings: Settings) -> None:
    """The settings' depth and limit are more than this service lets anybody ask for."""
    with serving(settings, with_pets, max_depth=2) as few:
        told = few.http.post("/v1/search", json={"query": "cats", "explain": True}).raise_for_status().json()
        assert (len(told["hits"]), len(told["explanation"])) == (2, 2)
        assert len(few.http.post("/v1/context", json={"query": "cats"}).raise_for_status().json()["sources"]) == 2
        searches = [{"query": "cats"}, {"query": "birds", "limit": 3}]
        told = few.http.post("/v1/search/batch", json={"searches": searches}).raise_for_status().json()["results"]
        assert (len(told[0]["hits"]), told[1]["error"]["message"]) == (2, "limit is 3; this service retrieves 2 at most")


def test_a_batch_answers_each_as_by_itself(served: Served) -> None:
    searches = [{"query": "cats"}, {"query": " "}, {"query": "birds", "limit": 1}, {"query": "x", "collection": "none"}]
    told = served.http.post("/v1/search/batch", json={"searches": searches}).raise_for_status().json()["results"]
    assert [one.get("error", {}).get("type") for one in told] == [None, "InvalidQuery", None, "CollectionNotFound"]
    assert [hit["document_id"] for hit in told[2]["hits"]] == ["birds"]


def test_the_searches_of_a_batch_have_a_limit_together(settings: Settings) -> None:
    def batch(*depths: int | None, limit: int = 1) -> httpx.Response:
        searches = [{"query": "cats", "limit": limit, "depth": depth} for depth in depths]
        return own.http.post("/v1/search/batch", json={"searches": searches})

    with serving(settings, with_pets, max_batch_candidates=100) as own:
        assert batch(50, 50).status_code == 200
        for refused in (batch(50, 51), batch(*[None] * 6), batch(None, limit=101), batch(*[200] * 3)):
            assert (refused.status_code, refused.json()["error"]["type"]) == (422, "InvalidQuery")
            assert "takes 100 (SEARCH_SERVICE__MAX_BATCH_CANDIDATES)" in refused.json()["error"]["message"]
            assert "send fewer searches at once, or ask for less depth" in refused.json()["error"]["message"]
        beyond = batch(10**9, 50).json()["results"]  # refused by itself, as ever
        assert "retrieves 200 at most" in beyond[0]["error"]["message"]
        assert beyond[1]["hits"]


@pytest.mark.parametrize(
    ("method", "path", "given", "status", "kind", "message"),
    [
        ("POST", "/v1/search", {}, 422, "InvalidRequest", "query: Field required"),
        ("POST", "/v1/search", {"query": " "}, 422, "InvalidQuery", "the query is empty"),
        ("POST", "/v1/search", {"query": "x", "limit": 5, "depth": 2}, 422, "InvalidQuery", "depth 2 is less than limit 5"),
        (
            "POST",
            "/v1/search",
            {"query": "x", "depth": 10_000},
            422,
            "InvalidQuery",
            "depth is 10000; this service retrieves 200 at most",
        ),
        (
            "POST",
            "/v1/search",
            {"query": "x", "limit": 3_000},
            422,
            "InvalidQuery",
            "limit is 3000; this service retrieves 200 at most",
        ),
        ("POST", "/v1/search", {"query": "x", "surprise": 1}, 422, "InvalidRequest", "surprise: Extra inputs"),
        ("POST", "/v1/search", {"query": "x", "filter": {"must": [{"key": "price"}]}}, 422, "UnsupportedFilter", ""),
        ("POST", "/v1/search", {"query": "\ud800"}, 422, "", ""),
        (
            "POST",
            "/v1/search",
            {"query": "x", "collection": "../../etc"},
            422,
            "InvalidRequest",
            "no collection is called so",
        ),
        ("POST", "/v1/search", {"query": "x", "collection": "none"}, 404, "CollectionNotFound", "POST /v1/documents makes one"),
        ("GET", "/v1/documents/nobody", None, 404, "DocumentNotFound", "there is no document 'nobody'"),
        ("GET", "/v1/collections/none", None, 404, "CollectionNotFound", "there is no such collection"),
        ("DELETE", "/v1/collections/none", None, 404, "CollectionNotFound", "such collection; GET /v1/collections lists them"),
        ("POST", "/v1/documents/delete", {}, 422, "InvalidQuery", "name the documents that are meant"),
        (
            "PATCH",
            "/v1/documents",
            {"ids": ["a"], "metadata": {}},
            422,
            "InvalidRequest",
            "metadata: Dictionary should have",
        ),
        ("GET", "/nowhere", None, 404, "HTTPError", "GET /openapi.json lists them"),
        ("PUT", "/v1/search", {"query": "x"}, 405, "HTTPError", "other methods"),
        (
            "POST",
            "/v1/search/batch",
            {"searches": [{"query": "x"}] * 1001},
            422,
            "InvalidQuery",
            "1,001 searches are more than",
        ),
        ("DELETE", "/v1/collections/documents", None, 409, "CollectionServed", "is what this service serves"),
    ],
)
def test_what_is_wrong_is_said(served: Served, method: str, path: str, given: Any, status: int, kind: str, message: str) -> None:
    content = None if given is None else json.dumps(given)
    answer = served.http.request(method, path, content=content, headers={"Content-Type": "application/json"})
    told = answer.json()["error"]
    assert (answer.status_code, told["request_id"]) == (status, answer.headers["x-request-id"])
    assert kind in told["type"]
    assert message in told["message"]


def test_documents_are_put_in_changed_given_back_and_taken_out(fresh: Served) -> None:
    http = fresh.http
    new = {"id": "fish/a b?.md", "text": "Fish swim.\n\nAll day.", "title": "Fish", "metadata": {"legs": 0}, "modified": 5.0}
    documents = [new, {"id": "bad", "text": " "}, {"id": "birds", "text": "Birds sing at dusk."}]
    dry = http.post("/v1/documents", json={"documents": documents, "dry_run": True}).json()
    report = http.post("/v1/documents", json={"documents": documents}).json()
    for told in (dry, report):
        assert (told["added"], told["changed"], told["rejected"]) == (1, 1, 1)
    assert report["rejections"][0] | {"reason": ""} == {"source": "documents[1]", "line": None, "document_id": "bad", "reason": ""}
    assert http.get("/v1/documents/fish/a%20b%3F.md").json() == {**new, "media_type": "text/plain"}
    assert http.patch("/v1/documents", json={"ids": ["dogs"], "metadata": {"good": None, "legs": 3}}).json()["changed"] == 1
    assert http.get("/v1/documents/dogs").json()["metadata"] == {"kind": "dog", "legs": 3}
    assert http.post("/v1/documents/count", json={"filter": FOUR}).json() == {"passages": 1, "warnings": []}
    assert http.post("/v1/documents/delete", json={"filter": FOUR, "dry_run": True}).json()["removed"] == 1
    both = {"ids": ["birds"], "filter": FOUR}
    for refused in (http.post("/v1/documents/delete", json=both), http.patch("/v1/documents", json=both | {"metadata": {"a": 1}})):
        assert (refused.status_code, refused.json()["error"]["type"]) == (422, "InvalidQuery")
        assert "by ids or by a filter, not by both" in refused.json()["error"]["message"]
    gone = http.post("/v1/documents/delete", json={"ids": ["nobody", "birds", "nobody"], "filter": None}).json()
    assert (gone["removed"], gone["document_ids"], gone["not_found"]) == (1, ["birds"], ["nobody"])
    gone = http.post("/v1/documents/delete", json={"ids": [], "filter": FOUR}).json()
    assert (gone["removed"], gone["document_ids"], gone["not_found"]) == (1, ["pets/cats.md"], [])
    unknown = http.patch("/v1/documents", json={"ids": ["nobody"], "metadata": {"legs": 3}}).json()
    assert (unknown["rejected"], unknown["rejections"][0]["document_id"]) == (1, "nobody")
    assert http.post("/v1/documents/count", json={}).json() == {"passages": 2, "warnings": []}


def test_collections_and_aliases(fresh: Served) -> None:
    http = fresh.http
    one = {"documents": [{"id": "a", "text": "Other."}], "collection": "other"}
    assert http.post("/v1/documents", json=one).json()["added"] == 1
    assert http.post("/v1/search", json={"query": "other", "collection": "other"}).json()["hits"][0]["document_id"] == "a"
    assert http.post("/v1/collections/aliases", json={"alias": "live", "collection": "other"}).status_code == 200
    told = http.get("/v1/collections").json()
    assert told["default"] == "documents"
    assert told["collections"][1] == {"name": "other", "aliases": ["live"]}
    assert http.post("/v1/search", json={"query": "other", "collection": "live"}).json()["hits"][0]["document_id"] == "a"
    described = http.get("/v1/collections/live").json()
    assert (described["name"], described["passages"], described["dimension"]) == ("other", 1, 384)
    refused = http.delete("/v1/collections/other")
    assert (refused.status_code, refused.json()["error"]["type"]) == (409, "CollectionAliased")
    assert "the alias 'live' leads to 'other'" in refused.json()["error"]["message"]


def test_what_there_is_to_filter_by(served: Served) -> None:
    told = served.http.get("/v1/collections/documents/facets").json()
    fields = {one["field"]: {value["value"]: value["documents"] for value in one["values"]} for one in told["fields"]}
    assert fields["metadata.kind"] == {"cat": 1, "bird": 1, "dog": 1}
    assert fields["metadata.tags"] == {"air": 1, "song": 1}
    assert fields["metadata.good"] == {True: 1}
    assert told["ranges"] == [{"field": "metadata.legs", "least": 2, "most": 4}]
    assert (told["documents"], told["complete"]) == (3, True)


NAMES = ["due date", "Straße", "a.b", "日本", "plain", "a[0]", "", "it's", "metadata.x", "x=y", "[]"]


def test_what_is_offered_to_filter_by_finds_what_was_counted(fresh: Served) -> None:
    given = [
        {"yes": True, **dict.fromkeys(NAMES, "one"), 'a"b': "lost", "back\\slash": "lost", "nothing": None, "object": {"a": 1}},
        {**{name: ["one", "two", "one"] for name in NAMES}, "yes": [True, False], "size": [1, 2.5], "big": 2**60},
        {**dict.fromkeys(NAMES, "two"), "mixed": [1, True, "1", "true", 1.0], "size": -3, "long": "x" * 101, "big": 7},
    ]
    documents = [{"id": f"d{number}", "text": "Cats.", "metadata": metadata} for number, metadata in enumerate(given)]
    fresh.http.post("/v1/documents", json={"documents": documents, "collection": "new"}).raise_for_status()
    told = fresh.http.get("/v1/collections/new/facets").json()

    def found(condition: dict[str, Any]) -> int:
        body = {"filter": {"must": [condition]}, "collection": "new"}
        return int(fresh.http.post("/v1/documents/count", json=body).raise_for_status().json()["passages"])

    fields = {one["field"]: one["values"] for one in told["fields"]}
    for name in NAMES:
        quoted = name if name == "plain" else f'"{name}"'
        assert {value["value"]: value["documents"] for value in fields[f"metadata.{quoted}"]} == {"one": 2, "two": 2}, name
    assert {value["value"]: value["documents"] for value in fields["metadata.yes"]} == {True: 2, False: 1}
    for field, values in fields.items():
        for value in values:
            assert found({"key": field, "match": {"value": value["value"]}}) == value["documents"], (field, value)
    ranges = {one["field"]: (one["least"], one["most"]) for one in told["ranges"]}
    assert ranges == {"metadata.big": (7, 7), "metadata.mixed": (1, 1), "metadata.size": (-3, 2.5)}
    assert found({"key": "metadata.size", "range": {"gte": -3, "lte": 2.5}}) == 2
    assert told["left_out"] == {"fields": 2, "values": 2}  # two names that no path can be written for; what is long, and large


def test_what_there_is_to_filter_by_is_bounded(fresh: Served) -> None:
    many = [
        {f"field {number} {i} ".ljust(180, "x"): [f"{value}".ljust(100, "y") for value in range(40)] for number in range(3)}
        for i in range(60)
    ]
    for metadata in many:
        metadata |= {"everywhere": ["1"], "k" * 5_000: ["1"]}
    documents = [{"id": f"d{number}", "text": "Cats.", "metadata": metadata} for number, metadata in enumerate(many)]
    fresh.http.post("/v1/documents", json={"documents": documents, "collection": "new"}).raise_for_status()
    answer = fresh.http.get("/v1/collections/new/facets")
    told = answer.json()
    assert len(told["fields"]) == 100
    assert all(len(one["values"]) <= 30 for one in told["fields"])
    assert "metadata.everywhere" in {one["field"] for one in told["fields"]}
    assert told["left_out"] == {"fields": 60 * 3 + 2 - 100 + 1, "values": 98 * 10}  # the key of 5,000 characters, too
    assert len(answer.content) < 600_000


def test_a_condition_that_tests_nothing_is_refused_everywhere(fresh: Served) -> None:
    nothing = {"must_not": [{"key": "metadata.kind", "match": None}]}
    for method, path, body in (
        ("POST", "/v1/search", {"query": "x"}),
        ("POST", "/v1/context", {"query": "x"}),
        ("POST", "/v1/documents/count", {}),
        ("POST", "/v1/documents/delete", {}),
        ("PATCH", "/v1/documents", {"metadata": {"kind": "gone"}}),
    ):
        answer = fresh.http.request(method, path, json={**body, "filter": nothing})
        assert (answer.status_code, answer.json()["error"]["type"]) == (422, "UnsupportedFilter"), path
        assert "must_not[0]: match of null tests nothing" in answer.json()["error"]["message"]
    batch = fresh.http.post("/v1/search/batch", json={"searches": [{"query": "x", "filter": nothing}]}).json()
    assert batch["results"][0]["error"]["type"] == "UnsupportedFilter"
    assert fresh.http.post("/v1/documents/count", json={}).json() == {"passages": 3, "warnings": []}
    assert fresh.http.post("/v1/documents/count", json={"filter": {}}).json() == {"passages": 3, "warnings": []}


def test_a_service_without_documents_takes_them(settings: Settings) -> None:
    with serving(settings) as empty:
        missing = empty.http.post("/v1/search", json={"query": "x"})
        assert (missing.status_code, missing.json()["error"]["type"]) == (404, "CollectionNotFound")
        assert empty.http.get("/readyz").json() == {"ready": True}
        assert empty.http.post("/v1/documents", json={"documents": [{"id": "a", "text": "Cats."}]}).json()["added"] == 1
        assert empty.http.post("/v1/search", json={"query": "x"}).json()["hits"][0]["document_id"] == "a"


def test_what_a_document_says_of_itself_is_no_remark_of_a_reader(fresh: Served) -> None:
    document = {"id": "a", "text": "Cats.", "metadata": {"pages_without_text": [3]}}
    report = fresh.http.post("/v1/documents", json={"documents": [document]}).json()
    assert (report["added"], report["remarked"], report["remarks"]) == (1, {}, [])
    assert "remarks" not in fresh.http.get("/v1/documents/a").json()


def test_an_answer_without_hits_says_why(served: Served) -> None:
    absent = {"filter": {"must": [{"key": "document_id", "match": {"value": "nobody"}}]}}
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"min_score": 1}, "no hit reached min_score 1; the best one has 0."),
        (absent, "the filter excludes all of "),
        ({"retrieval": "lexical", "query": "zyzzyva"}, "no passage has a word of the query; "),
    )
    for asked, because in cases:
        body = {"query": "cats"} | asked
        for path in ("/v1/search", "/v1/context"):
            answer = served.http.post(path, json=body).json()
            assert answer["empty_because"].startswith(because)
        (one,) = served.http.post("/v1/search/batch", json={"searches": [body]}).json()["results"]
        assert one["empty_because"].startswith(because)
        with Client(served.url) as client:
            options = {name: value for name, value in body.items() if name != "query"}
            assert client.search(body["query"], **options).empty_because == one["empty_because"]
    assert served.http.post("/v1/search", json={"query": "cats"}).json()["empty_because"] == ""


def test_a_service_makes_no_collection_of_documents_that_are_all_rejected(settings: Settings) -> None:
    with serving(settings) as empty:
        bad = {"documents": [{"id": "a", "text": " "}]}
        for named in ({}, {"collection": "other"}):
            assert empty.http.post("/v1/documents", json=bad | named).json()["rejected"] == 1
            said = empty.http.post("/v1/search", json={"query": "x"} | named)
            assert (said.status_code, said.json()["error"]["type"]) == (404, "CollectionNotFound")
        assert empty.http.get("/v1/collections").json()["collections"] == []


def test_the_description_is_true(fresh: Served) -> None:
    """Every example of every request is accepted by the route that it stands at."""
    described = fresh.http.get("/openapi.json").json()
    schemas = described["components"]["schemas"]

    def example(schema: Any) -> Any:
        if "$ref" in schema:
            return example(schemas[schema["$ref"].rpartition("/")[2]])
        if schema.get("examples"):
            return schema["examples"][0]
        if "properties" in schema:
            wanted = {n: s for n, s in schema["properties"].items() if n in schema.get("required", []) or s.get("examples")}
            return {name: example(inner) for name, inner in wanted.items()}
        if schema.get("type") == "array":
            return [example(schema["items"])]
        return example(schema["anyOf"][0]) if "anyOf" in schema else "documents"

    asked = 0
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            assert operation["description"]
            if "requestBody" in operation and not path.endswith("aliases"):
                schema = operation["requestBody"]["content"]["application/json"]["schema"]
                for one in schema.get("anyOf") or schema.get("oneOf") or [schema]:
                    given = example(one) | ({"dry_run": True} if "delete" in path or method == "patch" else {})
                    answer = fresh.http.request(method, path, json=given)
                    assert answer.status_code == 200, (path, given, answer.text)
                    asked += 1
    assert asked >= 11


def test_metrics_and_health(served: Served) -> None:
    served.http.post("/v1/search", json={"query": "cats"})
    text = served.http.get("/metrics").text
    assert 'search_rerank_status_total{status="full"}' in text
    assert re.search(r'search_stage_seconds_count\{stage="rerank"\} [1-9]', text)
    assert re.search(r'search_requests_total\{method="POST",route="/v1/search",status="200"\} [1-9]', text)
    assert float(re.findall(r"search_resident_memory_bytes ([\d.e+]+)", text)[0]) > 50_000_000
    for path in ("/healthz", "/health"):
        assert served.http.get(path).json() == {"status": "ok"}


def test_errors_of_the_service_tell_nothing_of_it(settings: Settings, tmp_path: Path) -> None:
    gone = settings.model_copy(update={"index": Settings(index={"engine": "qdrant", "url": "http://127.0.0.1:1"}).index})
    with serving(gone) as served:
        answer = served.http.post("/v1/search", json={"query": "x"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert answer.json()["error"]["message"].startswith("the collection cannot be reached now; the log of the service")
        assert "127.0.0.1" not in answer.text
        assert str(tmp_path) not in answer.text


def test_a_request_that_is_no_json(served: Served) -> None:
    for content in (b"{", b"[1]", b'{"query": NaN}', b"\xff", b'"x"'):
        answer = served.http.post("/v1/search", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422, content
        assert answer.json()["error"]["message"]
    assert httpx.post(f"{served.url}/v1/search", data={"query": "x"}).status_code == 415


@pytest.mark.parametrize("levels", [30, 100, 400, 900, 5_000, 100_000])
def test_what_is_nested_deeply_is_refused(served: Served, levels: int) -> None:
    nested = '{"must": [' * levels + "]}" * levels
    answer = served.http.post("/v1/search", content=f'{{"query": "x", "filter": {nested}}}', headers=JSON)
    assert answer.status_code == 422, (levels, answer.text[:300])
    listed = "[" * levels + "]" * levels
    document = f'{{"documents": [{{"id": "x", "text": "x", "metadata": {{"a": {listed}}}}}], "dry_run": true}}'
    answer = served.http.post("/v1/documents", content=document, headers=JSON)
    assert answer.status_code == 422 or answer.json()["rejected"] == (levels > 60), (levels, answer.text[:300])


def test_the_page_on_serving_is_true(served: Served) -> None:
    page = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()
    for path in served.http.get("/openapi.json").json()["paths"]:
        for part in path.replace("{document_id}", "ID").replace("{name}", "NAME").split("/"):
            assert part in page, path
    fields = type(served.service.limits).model_fields
    names = re.findall(r"SEARCH_SERVICE__([A-Z_]+)", page)
    assert {name.lower() for name in names} <= set(fields)
    assert len(names) > 6


def test_a_name_that_is_led_elsewhere_is_followed_at_once(fresh: Served) -> None:
    http = fresh.http

    def found(name: str) -> list[str]:
        told = http.post("/v1/search", json={"query": "Cats", "collection": name}).raise_for_status().json()
        return sorted(hit["document_id"] for hit in told["hits"])

    for name in ("one", "two"):
        http.post("/v1/documents", json={"documents": [{"id": name, "text": "Cats."}], "collection": name}).raise_for_status()
    for target in ("one", "two"):
        http.post("/v1/collections/aliases", json={"alias": "live", "collection": target}).raise_for_status()
        assert found("live") == [target]
    http.post("/v1/documents", json={"documents": [{"id": "new", "text": "Cats, too."}], "collection": "live"}).raise_for_status()
    assert found("two") == ["new", "two"]
    http.post("/v1/collections/aliases", json={"alias": "documents", "collection": "two"}).raise_for_status()
    assert found("documents") == ["new", "two"]
    for name in ("two", "live", "documents"):
        assert http.delete(f"/v1/collections/{name}").status_code == 409
        assert found("two") == ["new", "two"]
    assert http.delete("/v1/collections/nothing").status_code == 404
    assert http.delete("/v1/collections/one").status_code == 200  # which live has left
    assert http.post("/v1/search", json={"query": "Cats", "collection": "one"}).status_code == 404


def test_what_is_too_much_is_refused_at_its_first_fault(served: Served) -> None:
    """A fault in each of a million parts must not be told a million times."""
    many = "[" + "1," * 1_000_000 + "1]"
    before = resident(served)
    for path, content in {
        "/rerank": f'{{"query": "x", "texts": {many}}}',
        "/v2/rerank": f'{{"query": "x", "documents": {many}}}',
        "/score": f'{{"text_1": "x", "text_2": {many}}}',
        "/v1/documents": f'{{"documents": {many}}}',
        "/v1/search/batch": f'{{"searches": {many}}}',
        "/v1/documents/delete": f'{{"ids": {many}}}',
        "/v1/search": "{" + ",".join(f'"a{number}": 1' for number in range(500_000)) + "}",
    }.items():
        answer = served.http.post(path, content=content, headers=JSON)
        assert answer.status_code == 422, (path, answer.text[:200])
        assert len(answer.text) < 2_000
    wide = {"must": [{"key": f"metadata.a{number}", "match": {"value": 1}} for number in range(5_000)]}
    assert served.http.post("/v1/search", json={"query": "x", "filter": wide}).status_code == 422
    narrower = {"must": [{"key": f"metadata.a{number}", "match": {"value": 1}} for number in range(300)]}
    told = served.http.post("/v1/search", json={"query": "x", "filter": narrower}).json()
    assert len(told["warnings"]) == 5
    assert resident(served) < before + 600_000_000
    pairs = {"text_1": ["a"] * 1_001, "text_2": ["b"] * 1_001}
    assert "1,001 texts are more than 1,000" in served.http.post("/score", json=pairs).text


def test_strange_methods_leave_nothing_behind(served: Served) -> None:
    for number in range(20):
        assert served.http.request(f"ODD{number}", "/v1/search").status_code == 405
    assert "ODD" not in served.http.get("/metrics").text


def test_what_there_is_to_filter_by_is_counted_anew_once_something_was_written(fresh: Served) -> None:
    http = fresh.http

    def told(name: str) -> tuple[int, list[str]]:
        answer = http.get(f"/v1/collections/{name}/facets").raise_for_status().json()
        assert answer["complete"]
        return answer["documents"], [one["field"] for one in answer["fields"]]

    def put(name: str, document_id: str, **metadata: str) -> None:
        one = {"id": document_id, "text": "Cats.", "metadata": metadata}
        http.post("/v1/documents", json={"documents": [one], "collection": name}).raise_for_status()

    put("one", "a", salary="100k")
    put("two", "b", colour="red")
    assert told("one") == (1, ["media_type", "metadata.salary"])
    put("one", "c")
    assert told("one")[0] == 2
    http.post("/v1/collections/aliases", json={"alias": "live", "collection": "one"}).raise_for_status()
    assert told("live")[0] == 2
    put("live", "d")
    assert told("one")[0] == told("live")[0] == 3
    http.post("/v1/collections/aliases", json={"alias": "live", "collection": "two"}).raise_for_status()
    assert told("live") == (1, ["media_type", "metadata.colour"])
    http.patch("/v1/documents", json={"ids": ["b"], "metadata": {"colour": None}, "collection": "two"}).raise_for_status()
    assert told("live") == (1, ["media_type"])
    http.post("/v1/documents/delete", json={"ids": ["a"], "collection": "one"}).raise_for_status()
    assert told("one") == (2, ["media_type"])
    http.delete("/v1/collections/one").raise_for_status()
    assert http.get("/v1/collections/one/facets").status_code == 404
    http.delete("/v1/collections/aliases/live").raise_for_status()
    assert http.get("/v1/collections/live/facets").status_code == 404
    assert told("two")[0] == 1


def test_what_was_counted_before_something_was_written_is_not_kept() -> None:
    kept = Kept(100.0)
    before = kept.writes
    kept.forget()
    kept.put("a", {"documents": 1}, before)
    assert kept.get("a") is None
    kept.put("a", {"documents": 2}, kept.writes)
    assert kept.get("a") == {"documents": 2}
    old = Kept(0.0)
    old.put("a", {"documents": 1}, old.writes)
    assert old.get("a") is None


def test_a_collection_that_was_led_elsewhere_and_back_can_be_dropped(fresh: Served) -> None:
    http = fresh.http

    def lead(alias: str, target: str) -> None:
        http.post("/v1/collections/aliases", json={"alias": alias, "collection": target}).raise_for_status()

    def found(name: str) -> list[str]:
        told = http.post("/v1/search", json={"query": "Cats", "collection": name}).raise_for_status().json()
        return [hit["document_id"] for hit in told["hits"]]

    for name in ("one", "two", "other"):
        http.post("/v1/documents", json={"documents": [{"id": name, "text": "Cats."}], "collection": name}).raise_for_status()
    lead("one", "two")
    assert found("one") == ["two"]
    refused = http.delete("/v1/collections/one")
    assert (refused.status_code, refused.json()["error"]["type"]) == (409, "CollectionAliased")
    assert "DELETE /v1/collections/aliases/one forgets it" in refused.json()["error"]["message"]
    assert "DELETE /v1/collections/aliases/one forgets it" in http.delete("/v1/collections/two").json()["error"]["message"]
    lead("one", "one")
    lead("other", "other")
    assert found("one") == ["one"]
    assert all(not row["aliases"] for row in http.get("/v1/collections").json()["collections"])
    for name in ("one", "two", "other"):
        assert http.delete(f"/v1/collections/{name}").json() == {"dropped": name}
    assert [row["name"] for row in http.get("/v1/collections").json()["collections"]] == ["documents"]


def test_a_search_that_meets_a_drop_says_what_became_of_it(fresh: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    http = fresh.http
    for name in ("one", "two"):
        http.post("/v1/documents", json={"documents": [{"id": name, "text": "Cats."}], "collection": name}).raise_for_status()
    http.post("/v1/collections/aliases", json={"alias": "live", "collection": "two"}).raise_for_status()
    searcher, embedder = fresh.searcher, fresh.searcher.embedder
    embed, held, let_go, go_on = embedder.embed_query, threading.Event(), threading.Event(), threading.Event()

    def slowly(text: str) -> Any:
        held.set()
        assert go_on.wait(20)
        return embed(text)

    def tells(method: Callable[[str], None]) -> Callable[[str], None]:
        def told(name: str) -> None:
            method(name)
            let_go.set()

        return told

    for method in ("let_go", "follow"):
        monkeypatch.setattr(searcher, method, tells(getattr(searcher, method)))
    for path, collection, status in (("aliases/live", "live", 200), ("one", "one", 503)):
        for event in (held, let_go, go_on):
            event.clear()
        with ThreadPoolExecutor() as pool, monkeypatch.context() as patched:
            patched.setattr(embedder, "embed_query", slowly)
            searched = pool.submit(http.post, "/v1/search", json={"query": "Cats", "collection": collection, "rerank": False})
            assert held.wait(20)
            dropping = pool.submit(http.delete, f"/v1/collections/{path}")
            assert let_go.wait(20)
            go_on.set()
            assert dropping.result().status_code == 200
            assert (searched.result().status_code, path) == (status, path)
        assert http.post("/v1/search", json={"query": "Cats", "collection": collection}).status_code == 404


def test_an_alias_leads_where_a_name_is_searched(fresh: Served) -> None:
    http = fresh.http
    for name in ("one", "two"):
        http.post("/v1/documents", json={"documents": [{"id": name, "text": "Cats."}], "collection": name}).raise_for_status()
    for alias, name, target in [("live", "one", "one"), ("now", "live", "one"), ("live", "two", "two"), ("now", "live", "two")]:
        led = http.post("/v1/collections/aliases", json={"alias": alias, "collection": name}).raise_for_status()
        assert led.json() == {"alias": alias, "collection": target}
    hits = http.post("/v1/search", json={"query": "Cats", "collection": "now"}).raise_for_status().json()["hits"]
    assert [hit["document_id"] for hit in hits] == ["two"]


def test_an_alias_is_forgotten(fresh: Served) -> None:
    http = fresh.http
    for name in ("one", "two"):
        http.post("/v1/documents", json={"documents": [{"id": name, "text": "Cats."}], "collection": name}).raise_for_status()
    for alias, target in [("live", "two"), ("one", "two"), ("documents", "two")]:
        http.post("/v1/collections/aliases", json={"alias": alias, "collection": target}).raise_for_status()
    assert http.delete("/v1/collections/aliases/live").json() == {"forgotten": "live"}
    assert http.post("/v1/search", json={"query": "Cats", "collection": "live"}).status_code == 404
    again = http.delete("/v1/collections/aliases/live")
    assert (again.status_code, again.json()["error"]["type"]) == (404, "CollectionNotFound")
    http.delete("/v1/collections/aliases/one").raise_for_status()
    hits = http.post("/v1/search", json={"query": "Cats", "collection": "one"}).raise_for_status().json()["hits"]
    assert [hit["document_id"] for hit in hits] == ["one"]
    served = http.delete("/v1/collections/aliases/documents")
    assert (served.status_code, served.json()["error"]["type"]) == (409, "CollectionServed")
    http.post("/v1/collections/aliases", json={"alias": "documents", "collection": "documents"}).raise_for_status()
    assert http.delete("/v1/collections/two").json() == {"dropped": "two"}
    assert http.post("/v1/search", json={"query": "Cats"}).json()["hits"][0]["document_id"] == "pets/cats.md"
