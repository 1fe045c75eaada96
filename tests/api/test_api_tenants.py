"""The service for several customers: a key sees its tenant's documents alone, whatever is asked."""

import asyncio
import io
import json
import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import closing, redirect_stderr
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from commands import as_json, error, search, wrong
from mcp.client.client import Client as Assistant
from serving import Served, serving, wait_until
from standin import QdrantStandIn

from search.api.keys import new_key
from search.api.logs import write_logs
from search.cli.doctor import examine
from search.client import Client
from search.documents import Document
from search.errors import DocumentNotFound, InvalidSettings, ServiceRefused, TenantRequired
from search.factory import build_collections
from search.index.contract import Point
from search.ingestion.pushing import push
from search.mcp_server import build_assistant
from search.searcher import Searcher, open_search
from search.settings import Settings

FIELD = "metadata.customer"
ACME = [
    Document("plan", "Acme plans a merger in spring.", "Plan", {"kind": "secret"}),
    Document("notes", "Cats sleep most of the day.", "Notes", {"kind": "open"}),
]
BOLT = [
    Document("plan", "Bolt plans layoffs in autumn.", "Plan", {"kind": "secret", "colour": "red"}),
    Document("letters", "Dogs sleep at night.", "Letters", {"kind": "open"}),
]
ESCAPES: list[dict[str, Any]] = [
    {"should": [{"key": FIELD, "match": {"value": "bolt"}}]},
    {"must_not": [{"key": FIELD, "match": {"value": "acme"}}]},
    {"must": [{"key": "document_id", "match": {"any": ["plan", "letters"]}}]},
    {"min_should": {"conditions": [{"key": FIELD, "match": {"value": "bolt"}}], "min_count": 1}},
]
SCOPES = {"acme": ["search", "write"], "bolt": ["search", "write"], "backend": ["search", "write"], "root": ["search", "admin"]}
KEYS = {name: new_key() for name in SCOPES}


def settings_of(model_folder: Path, folder: Path, **more: Any) -> Settings:
    models: dict[str, Any] = {"embedder": {"model": str(model_folder / "embedder-mean")}, "reranker": {"kind": "none"}}
    return Settings(**{"data_dir": folder, "tenant_field": FIELD, **models, **more})


def filled(searcher: Searcher) -> None:
    searcher.of_tenant("acme").ingest(ACME)
    searcher.of_tenant("bolt").ingest(BOLT)


def bearer(name: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {KEYS[name][0]}", **more}


@pytest.fixture
def served(model_folder: Path, tmp_path: Path) -> Iterator[Served]:
    """Keys of two tenants, one of a program that works for all of them, and an administrator's."""
    keys = {name: {"sha256": KEYS[name][1], "scopes": scopes} for name, scopes in SCOPES.items()}
    keys["acme"]["tenant"] = "acme"
    keys["bolt"]["tenant"] = "bolt"
    settings = settings_of(model_folder, tmp_path, index={"engine": "memory"})
    with serving(settings, filled, api_keys=keys) as running:
        yield running


def whole(served: Served, tenant: str) -> dict[str, str]:
    """Ids and texts of a tenant, as the library has them."""
    searcher = served.searcher.of_tenant(tenant)
    with searcher.using() as index:
        return {str(one.payload["document_id"]): str(one.payload["text"]) for one in index.scroll()}


@pytest.mark.parametrize("filter", [None, *ESCAPES], ids=range(1 + len(ESCAPES)))
def test_a_key_reaches_its_tenants_documents_alone(served: Served, filter: dict[str, Any] | None) -> None:
    http, headers, before = served.http, bearer("acme"), whole(served, "bolt")
    body = {"query": "plans layoffs sleep", **({"filter": filter} if filter else {})}
    for path, sent in [
        ("/v1/search", {**body, "limit": 10}),
        ("/v1/search", {**body, "limit": 10, "explain": True}),
        ("/v1/context", body),
        ("/v1/search/batch", {"searches": [{**body, "limit": 10}, {**body, "collection": "documents"}]}),
    ]:
        answer = http.post(path, json=sent, headers=headers)
        assert answer.status_code == 200
        assert not any(word in answer.text for word in ("Bolt", "Dogs", "letters", "red"))
    counted = http.post("/v1/documents/count", json={"filter": filter} if filter else {}, headers=headers).json()
    assert counted["passages"] <= 2
    if filter:
        patched = http.request("PATCH", "/v1/documents", json={"metadata": {"kind": "seen"}, "filter": filter}, headers=headers)
        assert patched.status_code == 200
        assert patched.json()["changed"] <= 2
        removed = http.post("/v1/documents/delete", json={"filter": filter}, headers=headers).json()
        assert set(removed["document_ids"]) <= {"plan", "notes"}
    assert whole(served, "bolt") == before
    assert http.get("/v1/documents/letters", headers=headers).status_code == 404
    assert http.post("/v1/documents/delete", json={"ids": ["letters"]}, headers=headers).json()["removed"] == 0
    assert whole(served, "bolt") == before


def test_the_same_id_is_another_document_for_each(served: Served) -> None:
    http = served.http
    for name, text in [("acme", ACME[0].text), ("bolt", BOLT[0].text)]:
        answer = http.get("/v1/documents/plan", headers=bearer(name)).json()
        assert (answer["text"], answer["metadata"]["customer"]) == (text, name)
    new = {"documents": [{"id": "letters", "text": "Acme's own."}, {"id": "x", "text": "y", "metadata": {"customer": "bolt"}}]}
    report = http.post("/v1/documents", json=new, headers=bearer("acme")).json()
    assert (report["added"], report["rejected"]) == (1, 1)
    assert "its metadata.customer is 'bolt', and this is for the tenant 'acme'" in report["rejections"][0]["reason"]
    assert whole(served, "bolt")["letters"] == BOLT[1].text
    refused = http.request(
        "PATCH", "/v1/documents", json={"metadata": {"customer": "bolt"}, "ids": ["plan"]}, headers=bearer("acme")
    )
    assert (refused.status_code, refused.json()["error"]["type"]) == (422, "InvalidQuery")


def test_what_is_counted_and_kept_for_one_is_not_shown_to_another(served: Served) -> None:
    """Facets are kept for a minute: by tenant."""
    http = served.http
    for name, there, not_there in [("bolt", "metadata.colour", None), ("acme", "metadata.kind", "metadata.colour")] * 2:
        answer = http.get("/v1/collections/documents/facets", headers=bearer(name)).json()
        fields = {one["field"]: one["values"] for one in answer["fields"]}
        assert answer["documents"] == 2
        assert there in fields
        assert not_there not in fields
        assert fields[FIELD] == [{"value": name, "documents": 2}]
    for tenant in ("bolt", "acme", "nobody"):
        headers = bearer("backend", **{"X-Tenant": tenant})
        assert http.get("/v1/collections/documents/facets", headers=headers).json()["documents"] == (2 if tenant != "nobody" else 0)
    told = http.get("/v1/collections/documents", headers=bearer("acme")).json()
    assert told == {"name": "documents", "passages": 2, "embedder": served.searcher.embedder.fingerprint}
    assert http.get("/v1/collections/documents", headers=bearer("root")).json()["passages"] == 4


def test_a_key_without_a_tenant_names_one(served: Served) -> None:
    http, query = served.http, {"query": "plans", "limit": 10}
    for name in ("backend", "root"):
        for method, path, body in [
            ("POST", "/v1/search", query),
            ("POST", "/v1/context", {"query": "plans"}),
            ("POST", "/v1/documents/count", {}),
            ("GET", "/v1/documents/plan", None),
            ("GET", "/v1/collections/documents/facets", None),
            *(
                [
                    ("POST", "/v1/documents", {"documents": [{"id": "x", "text": "y"}]}),
                    ("PATCH", "/v1/documents", {"metadata": {"x": 1}, "ids": ["plan"]}),
                    ("POST", "/v1/documents/delete", {"ids": ["plan"]}),
                ]
                if name == "backend"
                else []
            ),
        ]:
            answer = http.request(method, path, json=body, headers=bearer(name))
            assert (answer.status_code, answer.json()["error"]["type"]) == (422, "TenantRequired")
            assert "send X-Tenant: NAME" in answer.json()["error"]["message"]
        several = http.post("/v1/search/batch", json={"searches": [query, query]}, headers=bearer(name)).json()
        assert [one["error"]["type"] for one in several["results"]] == ["TenantRequired"] * 2
        for tenant, text in [("acme", ACME[0].text), ("bolt", BOLT[0].text)]:
            headers = bearer(name, **{"X-Tenant": tenant})
            assert http.get("/v1/documents/plan", headers=headers).json()["text"] == text
            hits = http.post("/v1/search", json=query, headers=headers).json()["hits"]
            assert {hit["metadata"]["customer"] for hit in hits} == {tenant}


def test_the_header_does_not_change_a_keys_tenant(served: Served) -> None:
    http, query = served.http, {"query": "plans", "limit": 10}
    for sent in ("bolt", "Acme", "acme,bolt", "ac%6De%00"):
        answer = http.post("/v1/search", json=query, headers=bearer("acme", **{"X-Tenant": sent}))
        assert answer.status_code in {403, 422}
    twice = [*bearer("acme").items(), ("X-Tenant", "acme"), ("X-Tenant", "bolt")]
    assert http.post("/v1/search", json=query, headers=twice).status_code == 422
    for sent in ("acme", "ac%6De"):
        hits = http.post("/v1/search", json=query, headers=bearer("acme", **{"X-Tenant": sent})).json()["hits"]
        assert {hit["document_id"] for hit in hits} == {"plan", "notes"}
    for sent in ("", "%ff", "a%0Ab", "x" * 256, "größe"):
        raw = [(b"Authorization", bearer("backend")["Authorization"].encode()), (b"X-Tenant", sent.encode())]
        answer = http.post("/v1/search", json=query, headers=raw)
        assert answer.status_code == 422
        assert "X-Tenant is sent once" in answer.json()["error"]["message"]
    assert http.post("/v1/search", json={**query, "tenant": "bolt"}, headers=bearer("acme")).status_code == 422


def test_a_tenants_key_makes_no_collection(served: Served) -> None:
    """Their names are shown to all."""
    http, engine = served.http, served.searcher.collections
    new = {"documents": [{"id": "x", "text": "y"}], "collection": "acmes-secret"}

    def refuses(**more: Any) -> None:
        answer = http.post("/v1/documents", json={**new, **more}, headers=bearer("acme"))
        told = (
            "there is no such collection; GET /v1/collections lists them, and for one tenant none is made but 'documents': "
            "ask whoever keeps the service"
        )
        assert (answer.status_code, answer.json()["error"]["message"]) == (404, told)
        assert engine.names() == ["documents.v1"]

    for_acme, of_acmes = bearer("backend", **{"X-Tenant": "acme"}), {"query": "y", "collection": "acmes-secret"}
    refuses()
    refuses(dry_run=True)
    assert http.post("/v1/documents", json={**new, "dry_run": True}, headers=for_acme).json()["added"] == 1
    refuses()
    assert http.post("/v1/documents", json=new, headers=for_acme).status_code == 200
    assert http.post("/v1/search", json=of_acmes, headers=bearer("bolt")).json()["hits"] == []
    assert http.post("/v1/documents", json=new, headers=bearer("bolt")).json()["added"] == 1  # there is one now
    for path in ("aliases/acmes-secret", "acmes-secret.v1"):
        assert http.delete(f"/v1/collections/{path}", headers=bearer("root")).status_code == 200
    refuses()
    assert http.post("/v1/documents", json=new, headers=for_acme).status_code == 200
    engine.unalias("acmes-secret")  # as another process may
    engine.drop("acmes-secret.v1")
    refuses()
    several = http.post("/v1/search/batch", json={"searches": [of_acmes]}, headers=bearer("acme")).json()["results"]
    assert several[0]["error"]["message"].endswith("ask whoever keeps the service")
    assert http.get("/v1/collections/acmes-secret/facets", headers=bearer("acme")).json()["error"]["message"].endswith("lists them")


def test_a_tenants_key_makes_the_collection_that_is_served(model_folder: Path, tmp_path: Path) -> None:
    keys = {"acme": {"sha256": KEYS["acme"][1], "scopes": SCOPES["acme"], "tenant": "acme"}}
    new = {"documents": [{"id": "x", "text": "y"}]}
    with serving(settings_of(model_folder, tmp_path, index={"engine": "memory"}), api_keys=keys) as served:
        for body in (new, {**new, "collection": "documents"}):
            assert served.http.post("/v1/documents", json=body, headers=bearer("acme")).status_code == 200
            served.searcher.collections.unalias("documents")
            served.searcher.collections.drop("documents.v1")


def test_a_tenants_key_writes_into_no_collection_that_is_open_to_others(served: Served) -> None:
    legacy = open_search(served.searcher.settings.model_copy(update={"collection": "legacy", "tenant_field": None}))
    legacy._parts._parts["collections"] = served.searcher.collections
    legacy.ingest([Document("old", "Of before.", metadata={"customer": "acme"}), Document("theirs", "Nobody's.")])
    new = {"documents": [{"id": "x", "text": "y"}], "collection": "legacy"}
    patch = {"metadata": {"x": 1}, "ids": ["old"], "collection": "legacy"}
    for headers in (bearer("acme"), bearer("backend", **{"X-Tenant": "acme"})):
        for answer in (
            served.http.post("/v1/documents", json=new, headers=headers),
            served.http.request("PATCH", "/v1/documents", json=patch, headers=headers),
        ):
            assert (answer.status_code, answer.json()["error"]["type"]) == (422, "CollectionUnshared")
            assert "`search reindex`" in answer.json()["error"]["message"]
        assert served.http.get("/v1/documents/old?collection=legacy", headers=headers).json()["text"] == "Of before."
    assert legacy.count() == 2


def test_logs_say_for_whom_and_metrics_add_up(served: Served) -> None:
    stream = io.StringIO()
    handlers = logging.getLogger("search").handlers[:]
    with redirect_stderr(stream):
        write_logs(as_json=True)
        served.http.post("/v1/search", json={"query": "plans merger"}, headers=bearer("acme"))
        served.http.post("/v1/search", json={"query": "plans"}, headers=bearer("backend", **{"X-Tenant": "bolt"}))
        served.http.post("/v1/search", json={"query": "plans"}, headers=bearer("backend"))
        wait_until(lambda: stream.getvalue().count('"route": "/v1/search"') == 3)  # a line is written after its answer
    for handler in logging.getLogger("search").handlers[:]:
        if handler not in handlers:
            logging.getLogger("search").removeHandler(handler)
    lines = [json.loads(line) for line in stream.getvalue().splitlines() if '"route": "/v1/search"' in line]
    assert [(line["key"], line.get("tenant")) for line in lines] == [("acme", "acme"), ("backend", "bolt"), ("backend", None)]
    assert "merger" not in stream.getvalue()
    assert served.http.get("/metrics", headers=bearer("acme")).status_code == 403
    metrics = served.http.get("/metrics", headers=bearer("root")).text
    assert "acme" not in metrics
    assert "bolt" not in metrics


def test_without_keys_the_header_is_wanted_all_the_same(model_folder: Path, tmp_path: Path) -> None:
    settings = settings_of(model_folder, tmp_path, index={"engine": "memory"})
    with serving(settings, filled) as open_to_all:
        http = open_to_all.http
        assert http.post("/v1/search", json={"query": "plans"}).json()["error"]["type"] == "TenantRequired"
        answer = http.post("/v1/search", json={"query": "plans"}, headers={"X-Tenant": "acme"})
        assert {hit["document_id"] for hit in answer.json()["hits"]} == {"plan", "notes"}
    with serving(settings.model_copy(update={"tenant": "acme"}), filled_of_one) as of_one:
        http = of_one.http
        assert len(http.post("/v1/search", json={"query": "plans"}).json()["hits"]) == 2
        assert http.post("/v1/search", json={"query": "plans"}, headers={"X-Tenant": "bolt"}).status_code == 403
    bolts = {"bolt": {"sha256": KEYS["bolt"][1], "tenant": "bolt"}}
    with serving(settings.model_copy(update={"tenant": "acme"}), filled_of_one, api_keys=bolts) as of_one:
        for headers in (bearer("bolt"), bearer("bolt", **{"X-Tenant": "acme"}), bearer("bolt", **{"X-Tenant": "bolt"})):
            assert of_one.http.post("/v1/search", json={"query": "plans"}, headers=headers).status_code == 403
    alone = settings.model_copy(update={"tenant_field": None})
    with serving(alone, lambda searcher: searcher.ingest(ACME)) as unshared:
        answer = unshared.http.post("/v1/search", json={"query": "plans"}, headers={"X-Tenant": "acme"})
        assert answer.status_code == 422  # whoever sends it believes in a fence
        assert "there are no tenants here" in answer.json()["error"]["message"]
        assert unshared.http.post("/v1/search", json={"query": "plans"}).status_code == 200


def test_a_service_of_one_tenant_manages_nothing_of_all(model_folder: Path, tmp_path: Path) -> None:
    """Not even with an administrator's key, which may read metrics there; without keys nobody may."""
    settings = settings_of(model_folder, tmp_path, index={"engine": "memory"}, tenant="acme")
    root = {"root": {"sha256": KEYS["root"][1], "scopes": ["search", "admin"]}}
    for keys, headers, metrics in [({}, {}, 403), (root, bearer("root"), 200)]:
        with serving(settings, filled_of_one, api_keys=keys) as served:
            served.searcher.collections.switch("live", "documents.v1")
            served.searcher.beside("others").ingest(ACME)
            for method, path, body in [
                ("DELETE", "/v1/collections/others.v1", None),
                ("POST", "/v1/collections/aliases", {"alias": "live", "collection": "others.v1"}),
            ]:
                answer = served.http.request(method, path, json=body, headers=headers)
                assert (answer.status_code, answer.json()["error"]["type"]) == (403, "Forbidden")
                assert "this service is for one tenant, and this is for all" in answer.json()["error"]["message"]
            assert served.searcher.collections.aliases()["live"] == "documents.v1"
            assert "others.v1" in served.searcher.collections.names()
            assert served.http.get("/metrics", headers=headers).status_code == metrics
            assert served.http.post("/v1/search", json={"query": "plans"}, headers=headers).status_code == 200


def filled_of_one(searcher: Searcher) -> None:
    searcher.ingest(ACME)


def test_clients_and_assistants_say_for_whom(served: Served) -> None:
    key = KEYS["backend"][0]
    with Client(served.url, key=key, tenant="acme") as acme, Client(served.url, key=key) as nobody:
        assert acme.get("plan").text == ACME[0].text
        assert acme.count() == 2
        with pytest.raises(DocumentNotFound):
            acme.get("letters")
        for use in (lambda: nobody.search("plans"), nobody.count, lambda: nobody.get("plan")):
            with pytest.raises(TenantRequired, match="send X-Tenant"):
                use()
    with Client(served.url, key=key, tenant="größe & söhne 100%") as other:
        assert other.ingest([Document("a", "Of size.")]).added == 1
        assert other.get("a").metadata == {"customer": "größe & söhne 100%"}
        assert other.search("size").hits[0].document_id == "a"
    with pytest.raises(InvalidSettings, match="no tenant is called"):
        Client(served.url, tenant="a\nb")
    with Client(served.url, key=KEYS["acme"][0], tenant="bolt") as forged, pytest.raises(ServiceRefused, match="for one tenant"):
        forged.search("plans")

    async def asked(source: Any) -> list[str]:
        async with Assistant(build_assistant(source, may_ingest=True)) as assistant:
            calls: list[tuple[str, dict[str, Any]]] = [
                ("search", {"query": "plans sleep", "limit": 20, "filter": ESCAPES[0]}),
                ("search", {"query": "plans sleep", "limit": 20}),
                ("context", {"query": "plans sleep"}),
                ("get_document", {"document_id": "plan"}),
                ("get_document", {"document_id": "letters"}),
                ("ingest", {"id": "new", "text": "x", "metadata": {"customer": "bolt"}}),
                ("ingest", {"id": "letters", "text": "Acme's letters."}),
                ("facets", {}),
            ]
            return [str(await assistant.call_tool(name, arguments)) for name, arguments in calls]

    before = whole(served, "bolt")
    with Client(served.url, key=KEYS["acme"][0]) as client:
        for source in (served.searcher.of_tenant("acme"), client):
            answers = asyncio.run(asked(source))
            assert not any("Bolt" in one or "Dogs" in one for one in answers)
            assert "merger" in answers[1]
            assert "there is no document" in answers[4]
            assert "this is for the tenant" in answers[5]
            assert "metadata.kind" in answers[-1]
            assert "metadata.colour" not in answers[-1]
            served.searcher.of_tenant("acme").delete(ids=["letters"])
    assert whole(served, "bolt") == before


def test_on_the_command_line(model_folder: Path, tmp_path: Path) -> None:
    where: dict[str, Any] = {
        "SEARCH_DATA_DIR": str(tmp_path / "data"),
        "SEARCH_TENANT_FIELD": FIELD,
        "SEARCH_EMBEDDER__MODEL": str(model_folder / "embedder-mean"),
        "SEARCH_RERANKER__KIND": "none",
    }
    for tenant, documents in [("acme", ACME), ("bolt", BOLT)]:
        lines = "\n".join(json.dumps({"id": one.id, "text": one.text, "title": one.title}) for one in documents)
        assert as_json("ingest", "-", "--tenant", tenant, stdin=lines, **where)["added"] == 2
    assert "say for which one: --tenant NAME, SEARCH_TENANT" in error("query", "plans", **where)
    for words in (["query", "plans"], ["context", "plans"], ["explain", "plans"], ["dedupe"]):
        assert "tenant" in error(*words, **where)
        shown = search(*words, "--tenant", "acme", **where).stdout
        assert "Bolt" not in shown
        assert "Dogs" not in shown
    assert {hit["text"] for hit in as_json("query", "plans", **where, SEARCH_TENANT="bolt")["hits"]} == {one.text for one in BOLT}
    only = json.dumps({"id": "plan", "text": ACME[0].text, "title": "Plan"})
    synced = as_json("ingest", "-", "--sync", "--max-delete", "1", "--tenant", "acme", stdin=only, **where)
    assert (synced["removed"], synced["unchanged"]) == (1, 1)
    updated = json.loads(search("update", '{"x": 1}', "plan", "letters", "--tenant", "acme", "--json", status=1, **where).stdout)
    assert (updated["changed"], [one["document_id"] for one in updated["rejections"]]) == (1, ["letters"])
    assert as_json("delete", "plan", "letters", "--tenant", "acme", **where)["removed"] == 1
    assert as_json("collections", "info", "documents", **where)["tenant_field"] == FIELD
    assert as_json("collections", "info", "documents", **where)["passages"] == 2
    forgetful = {name: value for name, value in where.items() if name != "SEARCH_TENANT_FIELD"}
    assert "is shared by tenants, which its documents name in metadata.customer" in error("query", "plans", **forgetful)
    assert "set tenant_field" in error("query", "plans", "--tenant", "acme", **forgetful)
    key = as_json("key", "acme", "--scope", "search", "--scope", "write", "--tenant", "acme")
    assert (key["tenant"], key["scopes"]) == ("acme", ["search", "write"])
    assert 'tenant = "größe"' in search("key", "acme", "--tenant", "größe").stdout
    said = wrong("key", "acme", "--scope", "admin", "--tenant", "acme")
    assert said == "search: a key with the scope admin is for all tenants; leave out admin, or the tenant\n"
    assert "no tenant is called" in wrong("key", "acme", "--tenant", " x")
    assert "set tenant_field first" in error("key", "acme", "--tenant", "acme", "--keep")  # else every command would refuse it
    assert "for the tenant acme" in search("key", "acme", "--tenant", "acme", "--keep", **where).stdout
    with patch.dict(os.environ, where):
        assert Settings().service.api_keys["acme"].tenant == "acme"


def test_pushed_tenant_by_tenant(standin: QdrantStandIn, model_folder: Path, tmp_path: Path) -> None:
    """What the server holds of another tenant under the same ids stays."""
    given = settings_of(model_folder, tmp_path)
    with open_search(given) as embedded:
        filled(embedded)
    where: dict[str, Any] = {
        "SEARCH_DATA_DIR": str(tmp_path),
        "SEARCH_TENANT_FIELD": FIELD,
        "SEARCH_EMBEDDER__MODEL": str(model_folder / "embedder-mean"),
        "SEARCH_RERANKER__KIND": "none",
        "SEARCH_INDEX__ENGINE": "qdrant",
        "SEARCH_INDEX__URL": standin.url,
    }
    on_server = given.model_copy(update={"index": Settings(index={"engine": "qdrant", "url": standin.url}).index})
    with open_search(on_server) as remote:
        remote.of_tenant("corp").ingest([Document("plan", "Corp plans."), Document("letters", "Corp writes.")])
        assert as_json("push", "--tenant", "acme", **where)["added"] == 2
        said = f"the tenant 'acm' has no documents in collection 'documents' at {tmp_path}"
        assert said in error("push", "--tenant", "acm", **where)
        assert remote.of_tenant("bolt").count() == 0
        report = as_json("push", **where)
        assert (report["added"], report["unchanged"], report["changed"]) == (2, 2, 0)
        assert (report["only_there"], sorted(report["only_there_ids"])) == (2, ["letters", "plan"])  # corp's
        for tenant, text in [("acme", ACME[0].text), ("bolt", BOLT[0].text), ("corp", "Corp plans.")]:
            assert remote.of_tenant(tenant).get("plan").text == text
        told = {one.name: one for one in examine(on_server)}
        assert (told["tenants"].ok, told["tenants"].detail) == (True, "3 named in metadata.customer")
        assert told["payload indexes"].ok
        del standin.indexed["documents.v1"][FIELD]
        remote._parts.index.upsert([])
        missing = {one.name: one for one in examine(on_server)}["payload indexes"]
        assert not missing.ok
        assert "missing: metadata.customer keyword; the next ingestion makes them" in missing.detail
        remote.collections.index_field("documents", FIELD, "keyword")
        assert standin.indexed["documents.v1"][FIELD] == {"type": "keyword", "is_tenant": True}


def test_what_is_nobodys_here_takes_no_tenants_place_there(standin: QdrantStandIn, model_folder: Path, tmp_path: Path) -> None:
    """Nor that of a tenant whom nobody here knows."""
    with open_search(settings_of(model_folder, tmp_path, tenant_field=None)) as embedded:
        embedded.ingest([Document("plan", "Nobody's."), Document("notes", "Acme's.", metadata={"customer": "acme"})])
    given = settings_of(model_folder, tmp_path, index={"engine": "qdrant", "url": standin.url})
    with open_search(given) as remote:
        remote.of_tenant("corp").ingest([Document("plan", "Corp plans.")])
        with closing(build_collections(settings_of(model_folder, tmp_path))) as embedded:
            done = push(embedded, remote.collections, given, words=remote.words, overwrite=True)
        assert (done.ingest.added, done.ingest.changed, done.only_there) == (2, 0, 1)
        assert remote.of_tenant("corp").get("plan").text == "Corp plans."


def test_doctor_counts_what_is_nobodys(model_folder: Path, tmp_path: Path) -> None:
    with open_search(settings_of(model_folder, tmp_path, tenant_field=None)) as searcher:
        searcher.ingest([Document("old", "Nobody's."), Document("plan", "Acme's of old.", metadata={"customer": "acme"})])
    told = {one.name: one for one in examine(settings_of(model_folder, tmp_path))}["tenants"]
    assert not told.ok
    assert "1 named in metadata.customer; 1 passage names none, and is in no search" in told.detail
    assert told.detail.endswith("`search reindex --drop-unowned` then leaves out the rest")
    where: dict[str, Any] = {
        "SEARCH_DATA_DIR": str(tmp_path),
        "SEARCH_TENANT_FIELD": FIELD,
        "SEARCH_EMBEDDER__MODEL": str(model_folder / "embedder-mean"),
        "SEARCH_RERANKER__KIND": "none",
    }
    done = search("reindex", "--drop-unowned", **where)
    assert "1 passage that names no tenant stays in documents" in done.stderr
    told = {one.name: one for one in examine(settings_of(model_folder, tmp_path))}["tenants"]
    assert (told.ok, told.detail) == (True, "1 named in metadata.customer")


def test_one_tenant_is_pushed_only_where_a_field_is_known(standin: QdrantStandIn, model_folder: Path, tmp_path: Path) -> None:
    """Without one, everybody's documents would be copied for the one that is named."""
    where: dict[str, Any] = {
        "SEARCH_DATA_DIR": str(tmp_path),
        "SEARCH_EMBEDDER__MODEL": str(model_folder / "embedder-mean"),
        "SEARCH_RERANKER__KIND": "none",
        "SEARCH_INDEX__ENGINE": "qdrant",
        "SEARCH_INDEX__URL": standin.url,
    }
    with open_search(settings_of(model_folder, tmp_path, tenant_field=None)) as embedded:
        embedded.ingest([Document(name, f"{name} plans.", metadata={"customer": name}) for name in ("acme", "bolt")])
    assert "in which field documents name theirs is not said: set tenant_field" in error("push", "--tenant", "acme", **where)
    assert not standin.indexed  # of any collection
    assert as_json("push", "--tenant", "acme", **where, SEARCH_TENANT_FIELD=FIELD)["added"] == 1
    other: dict[str, Any] = {**where, "SEARCH_COLLECTION": "open"}
    with open_search(settings_of(model_folder, tmp_path, tenant_field=None, collection="open")) as embedded:
        embedded.ingest([Document("acme", "Acme plans.", metadata={"customer": "acme"})])
    assert as_json("push", **other)["added"] == 1  # into a collection that notes no field, and takes nothing of tenants
    with open_search(settings_of(model_folder, tmp_path, tenant_field=None, collection="open")) as embedded:
        embedded.ingest([Document("new", "Acme plans more.", metadata={"customer": "acme"})])
    for words in (["push"], ["push", "--tenant", "acme"]):
        assert "does not note that tenants share it" in error(*words, **other, SEARCH_TENANT_FIELD=FIELD)
    assert FIELD not in standin.indexed["open.v1"]  # what is refused changes nothing
    assert as_json("push", **other)["added"] == 1


def test_doctor_says_what_mends_points_that_are_no_tenants(model_folder: Path, tmp_path: Path) -> None:
    """No tenant's sync sees what has no payload."""
    settings = settings_of(model_folder, tmp_path)
    with open_search(settings) as searcher:
        filled(searcher)
        with searcher.of_tenant("acme").using() as part:
            record = next(part.scroll(vectors=True))
        assert record.vector is not None
        searcher._parts.index.upsert([Point(str(uuid.uuid5(uuid.NAMESPACE_URL, "x")), record.vector, {})])
    told = {one.name: one for one in examine(settings)}["points"]
    assert not told.ok
    assert "1 point holds no whole passage" in told.detail
    assert told.detail.endswith("`search reindex` leaves out what is damaged, and the sources can be ingested again then")
    with open_search(settings) as searcher:
        assert searcher.reindex().damaged == 1
    assert {one.name: one for one in examine(settings)}["points"].ok
