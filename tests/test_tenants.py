"""One collection, several customers: nothing that is asked for one of them reads or changes what is another's."""

import random
import re
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from standin import QdrantStandIn
from upstream import KINDS, SERVERS, Serve, everywhere

from search.documents import Document, Retrieval, SearchResult
from search.errors import (
    CollectionUnshared,
    DocumentNotFound,
    IndexMismatch,
    IndexRejected,
    InvalidQuery,
    InvalidSettings,
    ReindexRefused,
    TenantRequired,
    UnsupportedFilter,
)
from search.index.contract import OnBuild, Point
from search.index.server.index import QdrantIndex
from search.index.server.reserved import ReservedPoint
from search.index.tenants import PartIndex, Tenant, TenantIndex, parts_of
from search.searcher import Searcher, open_search
from search.settings import Settings

FIELD = "metadata.customer"
RETRIEVALS: list[Retrieval] = ["dense", "lexical", "hybrid"]
ACME = [
    Document("plan", "Acme plans a merger in spring.", "Plan", {"kind": "secret", "year": 2026}),
    Document("notes", "Cats sleep most of the day.", "Notes", {"kind": "open"}),
]
BOLT = [
    Document("plan", "Bolt plans zyzzyva layoffs in autumn.", "Plan", {"kind": "secret", "year": 2027, "colour": "red"}),
    Document("letters", "Dogs sleep at night.", "Letters", {"kind": "open"}),
]


def settings_of(model_folder: Path, folder: Path, server: QdrantStandIn | None = None, **more: Any) -> Settings:
    given: dict[str, Any] = {"index": server.index} if server else {}
    models: dict[str, Any] = {"embedder": {"model": str(model_folder / "embedder-mean")}, "reranker": {"kind": "none"}}
    return Settings(**{"data_dir": folder, "tenant_field": FIELD, **models, **given, **more})


@pytest.fixture(params=["edge", "edge process", "memory", "grpc", "shard keys", *SERVERS])
def shared(request: pytest.FixtureRequest, serve: Serve, model_folder: Path, tmp_path: Path) -> Iterator[Searcher]:
    """A collection that Acme and Bolt have filled."""
    server = serve(request.param) if request.param in KINDS else None
    engines: dict[str, Any] = {"memory": {"engine": "memory"}, "edge process": {"engine": "edge", "own_process": True}}
    if request.param == "grpc":
        port = request.getfixturevalue("standin_grpc").port
        engines["grpc"] = {**request.getfixturevalue("standin").index, "protocol": "grpc", "grpc_port": port}
    if request.param == "shard keys":
        clustered: QdrantStandIn = request.getfixturevalue("cluster")
        engines["shard keys"] = {**clustered.index, "shard_key": "bolt"}  # which he shares with whoever has none
        answer = clustered.answer

        def with_a_key(method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
            for keys in clustered.shard_keys.values():
                keys.setdefault("acme", 1)
            return answer(method, path, body)

        clustered.answer = with_a_key  # type: ignore[method-assign]
    more = {"index": engines[request.param]} if request.param in engines else {}
    with open_search(settings_of(model_folder, tmp_path, server, **more)) as searcher:
        assert searcher.of_tenant("acme").ingest(ACME).added == 2
        assert searcher.of_tenant("bolt").ingest(BOLT).added == 2
        yield searcher


def found(result: SearchResult) -> set[str]:
    return {hit.text for hit in result.hits}


def texts(documents: list[Document]) -> set[str]:
    return {document.text for document in documents}


def held(searcher: Searcher, tenant: str) -> dict[str, Document]:
    """All that a tenant has."""
    view = searcher.of_tenant(tenant)
    with view.using() as index:
        ids = {str(record.payload["document_id"]) for record in index.scroll()}
    return {one: view.get(one) for one in sorted(ids)}


ESCAPES: list[dict[str, Any]] = [
    {"should": [{"key": FIELD, "match": {"value": "bolt"}}, {"key": "metadata.kind", "match": {"value": "secret"}}]},
    {"should": [{"key": "metadata.kind", "match": {"any": ["secret", "open"]}}]},
    {"must_not": [{"key": FIELD, "match": {"value": "acme"}}]},
    {"must_not": [{"must": [{"key": FIELD, "match": {"value": "acme"}}]}]},
    {"must": [{"key": FIELD, "match": {"any": ["acme", "bolt"]}}]},
    {"must": {"key": FIELD, "match": {"except": ["acme"]}}},
    {"must": [{"should": [{"key": FIELD, "match": {"value": "bolt"}}, {"is_empty": {"key": "metadata.none"}}]}]},
    {"min_should": {"conditions": [{"key": FIELD, "match": {"value": "bolt"}}, {"is_empty": {"key": "page"}}], "min_count": 1}},
    {"must": [{"key": "document_id", "match": {"any": ["plan", "notes", "letters"]}}]},
    {"must_not": [{"key": "document_id", "match": {"value": "no such"}}]},
]


def test_no_filter_leads_out_of_the_tenants_part(shared: Searcher) -> None:
    acme = shared.of_tenant("acme")
    for asked in ESCAPES:
        for retrieval in RETRIEVALS:
            result = acme.search("plans sleep zyzzyva", filter=asked, retrieval=retrieval, limit=10)
            assert found(result) <= texts(ACME), asked
        assert acme.count(asked) <= 2, asked
        acme.delete(filter=asked)
        assert {one.text for one in held(shared, "bolt").values()} == texts(BOLT), asked
        acme.update({"seen": True}, filter=asked) if held(shared, "acme") else None
        assert all("seen" not in one.metadata for one in held(shared, "bolt").values()), asked
        acme.ingest(ACME)  # for the next one
        assert acme.count() == 2


def test_ids_of_points_lead_nowhere_either(shared: Searcher) -> None:
    acme, bolt = shared.of_tenant("acme"), shared.of_tenant("bolt")
    with bolt.using() as index:
        points = [record.id for record in index.scroll()]
    theirs = {"must": [{"has_id": points}]}
    assert len(points) == 2
    assert acme.search("layoffs", filter=theirs).hits == ()
    assert acme.count(theirs) == 0
    assert acme.delete(filter=theirs) == 0
    with acme.using() as index:
        index.delete(ids=points)
        assert list(index.scroll(theirs)) == []
    assert bolt.count() == 2


def test_a_tenant_without_documents_is_told_so_and_nothing_of_others(shared: Searcher) -> None:
    secret = {"must": [{"key": "metadata.kind", "match": {"value": "secret"}}]}
    for chosen in (None, secret):
        result = shared.of_tenant("carl").search("cats", filter=chosen)
        because = "the tenant 'carl' has no documents in collection 'documents': ingest some for it first"
        assert (result.hits, result.empty_because) == ((), because)
    red = {"must": [{"key": "metadata.colour", "match": {"value": "red"}}]}  # as one of the other's is
    assert shared.of_tenant("acme").search("cats", filter=red).empty_because == "the filter excludes all of 2 passages"
    by_words = shared.of_tenant("acme").search("zyzzyva", retrieval="lexical")
    assert (by_words.hits, by_words.empty_because.split(";")[0]) == ((), "no passage of the tenant 'acme' has a word of the query")
    filtered = shared.of_tenant("acme").search("zyzzyva", retrieval="lexical", filter={"must_not": red["must"]})
    assert filtered.empty_because.startswith("no passage of the tenant 'acme' that passes the filter has a word of the query; ")


def test_each_has_documents_of_its_own_under_the_same_id(shared: Searcher) -> None:
    acme, bolt = shared.of_tenant("acme"), shared.of_tenant("bolt")
    assert acme.get("plan").text == ACME[0].text
    assert bolt.get("plan").text == BOLT[0].text
    assert bolt.get("plan").metadata == {**BOLT[0].metadata, "customer": "bolt"}
    with pytest.raises(DocumentNotFound):
        acme.get("letters")
    same = Document("same", "Word for word the same.", "Same", {"kind": "open"})
    assert acme.ingest([same]).added == bolt.ingest([same]).added == 1
    assert acme.ingest([Document("same", "Changed by Acme.")]).changed == 1
    assert bolt.get("same").text == same.text
    assert acme.delete(ids=["plan", "same", "letters"]) == 2
    assert sorted(held(shared, "bolt")) == ["letters", "plan", "same"]


def test_a_sync_removes_the_tenants_own_alone(shared: Searcher) -> None:
    dry = shared.of_tenant("acme").ingest(ACME[:1], sync=True, max_delete=1.0, dry_run=True)
    assert (dry.removed, dry.unchanged) == (1, 1)
    report = shared.of_tenant("acme").ingest(ACME[:1], sync=True, max_delete=1.0)
    assert (report.removed, report.unchanged, report.added, report.changed) == (1, 1, 0, 0)
    assert sorted(held(shared, "acme")) == ["plan"]
    assert sorted(held(shared, "bolt")) == ["letters", "plan"]
    assert shared.of_tenant("acme").ingest(ACME[1:], sync=True, max_delete=0.0).kept == 1  # of one, not of three


def test_ids_changes_and_what_is_told_are_the_tenants(shared: Searcher) -> None:
    acme = shared.of_tenant("acme")
    changes: list[tuple[str, str]] = []
    report = acme.ingest([Document("letters", "Ours now.")], on_change=lambda state, one: changes.append((state, one)))
    assert (report.added, changes) == (1, [("added", "letters")])
    assert acme.update({"kind": "new"}, ids=["plan", "letters"]).changed == 2
    assert held(shared, "bolt")["plan"].metadata["kind"] == "secret"
    assert acme.count() == 3
    assert shared.of_tenant("nobody").count() == 0
    result = shared.of_tenant("nobody").search("plans")
    assert (result.hits, result.warnings) == ((), ())
    assert result.empty_because == "the tenant 'nobody' has no documents in collection 'documents': ingest some for it first"
    assert "colour" not in str(acme.search("x", filter={"must": [{"key": "metadata.colour", "match": {"value": "red"}}]}).hits)
    warned = acme.search("x", filter={"must": [{"key": "metadata.colour", "match": {"value": "red"}}]}).warnings
    assert any("no document has the field 'metadata.colour'" in one for one in warned)


def test_spelling_is_checked_by_the_tenants_own_words(shared: Searcher) -> None:
    """Whether anybody else has a word is not told, neither by what is found nor by what is said."""
    acme, bolt = shared.of_tenant("acme"), shared.of_tenant("bolt")
    acme.ingest([Document("rare", "A zyzzyxa collection of insects.")])
    result = acme.search("zyzzyva")
    assert any("zyzzyva" in one and "zyzzyxa" in one for one in result.warnings)
    assert not bolt.search("zyzzyva").warnings


def test_near_duplicates_are_looked_for_among_the_tenants_own(shared: Searcher) -> None:
    text = "The quick brown fox jumps over the lazy dog and runs through the forest until the evening comes."
    shared.of_tenant("acme").ingest([Document("a1", text), Document("a2", text)])
    shared.of_tenant("bolt").ingest([Document("b1", text)])
    duplicates = shared.of_tenant("acme").duplicates()
    assert duplicates.documents == 4
    assert [cluster.representative.id for cluster in duplicates.clusters] == ["a1"]
    assert list(duplicates.duplicate_ids) == ["a2"]
    assert not shared.of_tenant("bolt").duplicates().clusters


def test_a_document_of_another_tenant_is_refused(shared: Searcher) -> None:
    acme = shared.of_tenant("acme")
    report = acme.ingest(
        [
            Document("one", "Theirs.", metadata={"customer": "bolt"}),
            Document("two", "Of both.", metadata={"customer": ["acme", "bolt"]}),
            Document("three", "Ours.", metadata={"customer": "acme"}),
            Document("four", "Nobody's yet.", metadata={"customer": None}),
        ]
    )
    assert (report.added, report.rejected) == (2, 2)
    assert report.rejections[0].reason == "its metadata.customer is 'bolt', and this is for the tenant 'acme'"
    assert acme.get("four").metadata == {"customer": "acme"}
    for patch in ({"customer": "bolt"}, {"customer": None}, {"customer": {"x": 1}}):
        with pytest.raises(InvalidQuery, match=r"metadata.customer says whose a document is, and stays"):
            acme.update(patch, ids=["one"])
    assert acme.update({"customer": "acme", "kind": "x"}, ids=["three"]).changed == 1


def test_nothing_is_done_for_nobody(shared: Searcher) -> None:
    """Every way in wants a tenant, whichever it is."""
    uses: list[Any] = [
        lambda: shared.search("plans"),
        lambda: shared.get("plan"),
        shared.count,
        lambda: shared.ingest(ACME),
        lambda: shared.ingest(ACME, sync=True, dry_run=True),
        lambda: shared.delete(ids=["plan"]),
        lambda: shared.update({"x": 1}, ids=["plan"]),
        shared.duplicates,
        shared.opened,
        lambda: shared.using().__enter__(),
        lambda: shared.index,
        lambda: shared.service,
        lambda: shared.beside("documents").search("plans"),
    ]
    for use in uses:
        with pytest.raises(TenantRequired, match=r"shared by tenants here .metadata.customer.; say for which one: --tenant NAME"):
            use()
    acme = shared.of_tenant("acme")
    assert acme.of_tenant("acme") is acme
    for refused in (
        lambda: acme.of_tenant("bolt"),
        acme.reindex,
        acme.roll_back,
        lambda: acme.beside("others").of_tenant("bolt"),
    ):
        with pytest.raises(TenantRequired, match="tenant 'acme'"):
            refused()
    for name in ("", " acme", "a\nb", "x" * 256, "\ud800"):
        with pytest.raises(InvalidSettings, match="no tenant is called"):
            shared.of_tenant(name)
    acme.close()  # which closes nothing of the others'
    assert shared.of_tenant("bolt").count() == 2


def test_the_collection_remembers_that_it_is_shared(shared: Searcher) -> None:
    """Settings that forget the field, or name another one, are let nowhere near; and no key is for a tenant without it."""
    assert shared.of_tenant("acme").opened().spec.tenant == FIELD
    index = shared._parts.index
    spec = index.spec
    for field, sentence in [("", "the settings name no field"), ("metadata.other", "the settings name metadata.other")]:
        other = shared.collections.named("documents", shared.settings.storage)
        with pytest.raises(IndexMismatch, match=rf"is shared by tenants, which its documents name in {FIELD}, and {sentence}"):
            other.ensure(type(spec)(spec.dimension, spec.fingerprint, tenant=field), create=False)
    with pytest.raises(InvalidSettings, match=r"which field documents name theirs is not said: set tenant_field"):
        open_search(Settings(data_dir=shared.settings.data_dir, tenant="acme"))
    key = {"sha256": "0" * 64, "tenant": "acme"}
    with pytest.raises(InvalidSettings, match="the key a is for a tenant, and tenant_field does not say"):
        Settings(service={"api_keys": {"a": key}})
    with pytest.raises(InvalidSettings, match="a key with the scope admin is for all tenants"):
        Settings(tenant_field=FIELD, service={"api_keys": {"a": {**key, "scopes": ["admin"]}}})
    for field in ("customer", "metadata", "metadata.", "metadata.a[].b", 'metadata."a"', "text"):
        with pytest.raises(InvalidSettings, match="tenant_field"):
            Settings(tenant_field=field)


def test_a_part_takes_no_passage_of_another(shared: Searcher) -> None:
    """Whatever is written goes through the part once more."""
    with shared.of_tenant("bolt").using() as bolt:
        records = list(bolt.scroll(vectors=True))
    points = [Point(one.id, one.vector, one.payload, one.lexical) for one in records if one.vector is not None]
    with shared.of_tenant("acme").using() as acme, pytest.raises(IndexRejected, match=r"is not of the tenant 'acme'"):
        acme.upsert(points)
    assert len(points) == 2


def test_reindexing_keeps_them_apart(shared: Searcher, model_folder: Path) -> None:
    before = {tenant: held(shared, tenant) for tenant in ("acme", "bolt")}
    for changes in ({"chunking": {"tokens": 20, "overlap": 0}}, {"embedder": {"model": str(model_folder / "embedder-cls")}}):
        report = shared.reindex(Settings(**{**dict(shared.settings), **changes}), min_overlap=0)
        assert report.switched
        assert report.ingest.added + report.ingest.unchanged == 4
        assert {tenant: held(shared, tenant) for tenant in ("acme", "bolt")} == before
        assert shared.of_tenant("acme").opened().spec.tenant == FIELD
    shared.of_tenant("acme").delete(ids=["plan"])
    with pytest.raises(
        ReindexRefused, match=r"metadata.customer, and the settings name metadata.other: set tenant_field = 'metadata.c"
    ):
        shared.reindex(shared.settings.model_copy(update={"tenant_field": "metadata.other"}))
    others: list[tuple[dict[str, Any], str]] = [
        ({"tenant_field": None}, "keep tenant_field"),
        ({"tenant": "acme"}, "for other tenants"),
    ]
    for update, sentence in others:
        with pytest.raises(InvalidSettings, match=sentence):
            shared.reindex(shared.settings.model_copy(update=update), min_overlap=0)
    assert shared.reindex(min_overlap=0).switched
    assert shared.collections.info("documents").spec.tenant == FIELD  # type: ignore[union-attr]


def test_a_tenants_searcher_without_a_field_gives_nothing(model_folder: Path, tmp_path: Path) -> None:
    """However its settings came to lack it: what is bound to nothing is refused, and not shown all."""
    with open_search(settings_of(model_folder, tmp_path, index={"engine": "memory"}, tenant_field=None)) as searcher:
        searcher.ingest([*ACME, Document("theirs", "Bolt's.")])
        settings = searcher.settings
        searcher._parts.settings = settings.model_copy(update={"tenant_field": FIELD})
        acme = searcher.of_tenant("acme")
        searcher._parts.go_over_to(settings)
        uses: list[Any] = [
            lambda: acme.search("plans"),
            lambda: acme.get("plan"),
            acme.count,
            acme.opened,
            lambda: acme.service,
            lambda: acme.delete(ids=["plan"]),
            lambda: acme.ingest([Document("x", "y")]),
            lambda: acme.update({"x": 1}, ids=["plan"]),
        ]
        for use in uses:
            with pytest.raises(InvalidSettings, match="for the tenant 'acme' alone, and in which field"):
                use()
        assert searcher.count() == 3


def test_strict_mode_and_a_collection_that_has_no_index_of_tenants_yet(
    standin: QdrantStandIn, model_folder: Path, tmp_path: Path
) -> None:
    """Searching says what makes one; writing makes it."""
    settings = settings_of(model_folder, tmp_path, standin)
    with open_search(settings.model_copy(update={"tenant_field": None})) as before:
        before.ingest([Document("plan", "Acme's of old.", metadata={"customer": "acme"}), Document("old", "Nobody's.")])
    standin.strict = {"unindexed_filtering_retrieve": False, "unindexed_filtering_update": False}
    with open_search(settings) as searcher:
        acme = searcher.of_tenant("acme")
        with pytest.raises(UnsupportedFilter, match=r"`search collections index documents metadata.customer keyword` indexes it"):
            acme.search("plans")
        assert acme.delete(ids=["plan", "old"]) == 1
        assert standin.indexed["documents.v1"][FIELD] == {"type": "keyword", "is_tenant": True}
        assert acme.search("plans").hits == ()
        assert searcher.collections.info("documents").points == 1


@everywhere
def test_many_tenants_are_reindexed_with_one_claim_and_one_graph(
    standin: QdrantStandIn, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is for the whole collection is done once, not for each of its tenants."""
    put: list[str] = []
    built: list[str] = []
    write, build = ReservedPoint.put, QdrantIndex.optimize

    def noted(point: ReservedPoint, note: dict[str, Any], before: dict[str, Any]) -> None:
        put.append(note["claim"])
        write(point, note, before)

    def counted(index: QdrantIndex, on_build: OnBuild | None = None) -> None:
        built.append(index.name)
        build(index, on_build)

    monkeypatch.setattr(ReservedPoint, "put", noted)
    monkeypatch.setattr(QdrantIndex, "optimize", counted)
    with open_search(settings_of(model_folder, tmp_path, standin)) as searcher:
        for number in range(12):
            searcher.of_tenant(f"c{number}").ingest([Document("same", f"Number {number}."), Document(f"d{number}", "Other.")])
        put.clear()
        built.clear()
        assert searcher.reindex(min_overlap=0).switched
        assert len(set(put) - {""}) == 2  # of the live one, and of the new one
        assert built == ["documents.v2"]
        assert {number: searcher.of_tenant(f"c{number}").get("same").text for number in range(12)} == {
            number: f"Number {number}." for number in range(12)
        }


def test_a_collection_of_before_is_shared_from_now_on(model_folder: Path, tmp_path: Path) -> None:
    """What names no tenant is nobody's: kept by a reindexing, and seen by no tenant."""
    with open_search(settings_of(model_folder, tmp_path, tenant_field=None)) as searcher:
        searcher.ingest([Document("old", "Nobody's."), Document("plan", "Acme's of old.", metadata={"customer": "acme"})])
    with open_search(settings_of(model_folder, tmp_path)) as searcher:
        assert list(held(searcher, "acme")) == ["plan"]
        assert searcher.reindex(min_overlap=0).switched
        assert list(held(searcher, "acme")) == ["plan"]
        assert searcher.collections.info("documents").points == 2
        assert searcher.of_tenant("acme").opened().spec.tenant == FIELD


@pytest.mark.parametrize("only_if_needed", [True, False])
def test_a_shared_collection_is_not_reindexed_by_settings_that_do_not_know_it(
    only_if_needed: bool,  # noqa: FBT001
    model_folder: Path,
    tmp_path: Path,
) -> None:
    with open_search(settings_of(model_folder, tmp_path)) as searcher:
        searcher.of_tenant("acme").ingest(ACME)
    with open_search(settings_of(model_folder, tmp_path, tenant_field=None)) as searcher:
        with pytest.raises(IndexMismatch) as asked:
            searcher.search("plans")
        with pytest.raises(ReindexRefused, match=re.escape(str(asked.value))):
            searcher.reindex(only_if_needed=only_if_needed)
        assert searcher.collections.names() == ["documents"]


@pytest.mark.parametrize("engine", ["edge", "memory", *SERVERS])
def test_nobody_takes_a_document_of_several_for_itself(engine: str, model_folder: Path, tmp_path: Path, serve: Serve) -> None:
    """As another program may have written one: it is read by each, and changed by none of them."""
    server = serve(engine) if engine in KINDS else None
    more: dict[str, Any] = {"index": {"engine": "memory"}} if engine == "memory" else {}
    with open_search(settings_of(model_folder, tmp_path, server, **more, tenant_field=None)) as searcher:
        searcher.ingest(
            [
                Document("both", "Of both.", metadata={"customer": ["acme", "bolt"]}),
                Document("one", "x", metadata={"customer": ["acme"]}),
            ]
        )
        assert searcher.reindex(searcher.settings.model_copy(update={"tenant_field": FIELD}), min_overlap=0).switched
        acme, bolt = searcher.of_tenant("acme"), searcher.of_tenant("bolt")
        assert acme.get("both") == bolt.get("both")
        for dry_run in (True, False):
            for report in (
                acme.update({"customer": "acme"}, ids=["both"], dry_run=dry_run),
                acme.ingest([Document("both", "Acme's alone.")], dry_run=dry_run),
                acme.ingest([Document("both", "Acme's alone.")], sync=True, max_delete=0, dry_run=dry_run),
            ):
                assert (report.rejected, report.changed, report.removed) == (1, 0, 0)
                assert report.rejections[0].reason == "it is another tenant's, too, by its metadata.customer, and stays as it is"
        assert acme.get("both").text == bolt.get("both").text == "Of both."
        assert acme.ingest([Document("one", "y"), Document("new", "Acme's.")]).changed == 1
        assert acme.ingest([Document("theirs", "x", metadata={"customer": "bolt"})]).rejected == 1
        assert bolt.count() == 1


@pytest.mark.parametrize("engine", ["edge", "memory", *SERVERS])
def test_a_reindexing_leaves_out_what_is_nobodys_if_it_is_to(engine: str, model_folder: Path, tmp_path: Path, serve: Serve) -> None:
    server = serve(engine) if engine in KINDS else None
    more: dict[str, Any] = {"index": {"engine": "memory"}} if engine == "memory" else {}
    mixed = [
        *(Document(f"old {n}", f"Plans of nobody, number {n}.") for n in range(15)),
        Document("five", "A number.", metadata={"customer": 5}),
    ]
    with open_search(settings_of(model_folder, tmp_path, server, **more, tenant_field=None)) as searcher:
        searcher.ingest([*mixed, Document("plan", "Acme's plans.", metadata={"customer": "acme"})])
        with pytest.raises(ReindexRefused, match="no tenants here"):
            searcher.reindex(drop_unowned=True)
        with pytest.raises(ReindexRefused, match="would hold nothing"):
            searcher.reindex(searcher.settings.model_copy(update={"tenant_field": "metadata.typo"}), drop_unowned=True)
        with searcher.using() as whole:
            (record,) = whole.scroll({"must": [{"key": "document_id", "match": {"value": "plan"}}]}, vectors=True)
            assert record.vector is not None
            whole.upsert([Point(str(uuid.uuid4()), record.vector, {})])
        wanted = searcher.settings.model_copy(update={"tenant_field": FIELD})
        report = searcher.reindex(wanted, drop_unowned=True)  # compared by what names a tenant
        assert (report.switched, report.unowned, report.ingest.added + report.ingest.unchanged) == (True, 17, 1)
        assert searcher.collections.info("documents").points == 1
        assert searcher.collections.info(report.live, exact=True).points == 18  # as it was
        assert list(held(searcher, "acme")) == ["plan"]
        assert searcher.reindex(drop_unowned=True).unowned == 0


@pytest.mark.parametrize("engine", ["edge", "edge process", "memory", *SERVERS])
def test_nothing_is_written_for_a_tenant_where_others_would_see_it(
    engine: str, model_folder: Path, tmp_path: Path, serve: Serve
) -> None:
    """A collection that does not note the field is open to settings that lack it, or name another one."""
    server = serve(engine) if engine in KINDS else None
    engines: dict[str, Any] = {"memory": {"engine": "memory"}, "edge process": {"engine": "edge", "own_process": True}}
    more = {"index": engines[engine]} if engine in engines else {}
    old = [
        Document("plan", "Acme's of old.", metadata={"customer": "acme"}),
        Document("other", "Acme's, too.", metadata={"customer": "acme"}),
    ]
    with open_search(settings_of(model_folder, tmp_path, server, **more, tenant_field=None)) as searcher:
        searcher.ingest(old)
        searcher._parts.settings = searcher.settings.model_copy(update={"tenant_field": FIELD})
        acme = searcher.of_tenant("acme")
        writes: list[Any] = [
            lambda: acme.ingest(ACME),
            lambda: acme.ingest(ACME, sync=True, max_delete=1.0),
            lambda: acme.ingest([]),
            lambda: acme.update({"x": 1}, ids=["plan"]),
            lambda: acme.ingest(ACME, dry_run=True),
            lambda: acme.update({"x": 1}, ids=["plan"], dry_run=True),
        ]
        for write in writes:
            with pytest.raises(
                CollectionUnshared, match=r"does not note that tenants share it \(metadata.customer\).*`search reindex`"
            ):
                write()
        assert FIELD not in searcher.collections.info("documents").details.get("payload_indexes", {})
        assert {one.text for one in held(searcher, "acme").values()} == texts(old)
        assert all("x" not in one.metadata for one in held(searcher, "acme").values())
        assert acme.search("of old").hits
        assert acme.delete(ids=["other"]) == 1
        assert searcher.reindex(min_overlap=0).switched
        assert acme.ingest(ACME).changed == 1
        assert sorted(held(searcher, "acme")) == ["notes", "plan"]


def test_a_field_may_lie_deeper(model_folder: Path, tmp_path: Path) -> None:
    field = "metadata.org.unit-1.customer"
    with open_search(settings_of(model_folder, tmp_path, tenant_field=field, tenant="größe & söhne")) as searcher:
        report = searcher.ingest(
            [
                Document("a", "Without.", metadata={"org": {"name": "x"}}),
                Document("b", "In the way.", metadata={"org": "x"}),
                Document("c", "Said.", metadata={"org": {"unit-1": {"customer": "größe & söhne"}}}),
            ]
        )
        assert (report.added, report.rejected) == (2, 1)
        assert "metadata.org.unit-1.customer has no place in it" in report.rejections[0].reason
        assert searcher.get("a").metadata == {"org": {"name": "x", "unit-1": {"customer": "größe & söhne"}}}
        assert searcher.count() == 2
        with pytest.raises(InvalidQuery, match="says whose a document is"):
            searcher.update({"org": None}, ids=["a"])
        assert searcher.update({"org": {"name": "y"}}, ids=["a"]).changed == 1
        with pytest.raises(TenantRequired):
            searcher.of_tenant("other")


def test_the_servers_index_knows_that_it_is_of_tenants(standin: QdrantStandIn, model_folder: Path, tmp_path: Path) -> None:
    settings = settings_of(model_folder, tmp_path, standin, storage={"payload_indexes": {FIELD: "keyword"}})
    asked = "PUT /collections/documents.v1/index"
    with open_search(settings) as searcher:
        searcher.of_tenant("acme").ingest(ACME)
        assert standin.indexed["documents.v1"][FIELD] == {"type": "keyword", "is_tenant": True}
        of_field = [body for path, body in standin.bodies if path == asked and body["field_name"] == FIELD]
        assert len(of_field) == 1
    standin.bodies.clear()
    with open_search(settings) as searcher:  # what is there is not asked for again, whoever made it
        standin.indexed["documents.v1"][FIELD] = "keyword"
        searcher.of_tenant("bolt").ingest(BOLT)
        assert [path for path, _ in standin.bodies if path == asked] == []
        del standin.indexed["documents.v1"][FIELD]
        searcher.of_tenant("bolt").ingest([Document("x", "y")])
        assert standin.indexed["documents.v1"][FIELD] == {"type": "keyword", "is_tenant": True}
        searcher.reindex(min_overlap=0)
        assert standin.indexed["documents.v2"][FIELD] == {"type": "keyword", "is_tenant": True}


def test_strict_mode_lets_tenants_search_and_write(standin: QdrantStandIn, model_folder: Path, tmp_path: Path) -> None:
    standin.strict = {
        "unindexed_filtering_retrieve": False,
        "unindexed_filtering_update": False,
        "max_query_limit": 30,
        "search_allow_exact": False,
        "upsert_max_batchsize": 20,
        "search_max_batchsize": 2,
        "condition_max_size": 25,
    }
    many = [Document(f"d{i}", f"Number {i} is about cats.") for i in range(40)]
    with open_search(settings_of(model_folder, tmp_path, standin)) as searcher:
        acme, bolt = searcher.of_tenant("acme"), searcher.of_tenant("bolt")
        assert acme.ingest(many).added == 40
        assert bolt.ingest(many[:3]).added == 3
        assert acme.ingest(many[:35], sync=True).removed == 5
        assert {hit.document_id for hit in bolt.search("cats", limit=25, depth=25).hits} == {"d0", "d1", "d2"}
        assert len(acme.search("cats", limit=25, depth=25).hits) == 25
        with acme.using() as part, bolt.using() as other:
            points = [record.id for record in (*part.scroll(), *other.scroll())]
        assert len(points) == 38
        for retrieval in RETRIEVALS:
            for ids in ([{"has_id": points}], [{"has_id": points}, {"has_id": points[::-1]}]):
                asked = {"must": ids}
                result = acme.search("cats", limit=5, filter=asked, retrieval=retrieval)
                assert len(result.hits) == 5
                if retrieval == "dense":  # of words, all have as many
                    assert result.hits == acme.search("cats", limit=5, retrieval=retrieval).hits
                assert len(acme.search("cats", limit=25, depth=25, filter=asked, retrieval=retrieval).hits) == 25
        assert searcher.reindex(min_overlap=0).switched
        assert (len(held(searcher, "acme")), len(held(searcher, "bolt"))) == (35, 3)


@everywhere
def test_others_follow_to_a_collection_that_notes_the_field(
    standin: QdrantStandIn, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.index.server.index._FOLLOWED_EVERY_S", 0.0)
    settings = settings_of(model_folder, tmp_path, standin)
    with open_search(settings.model_copy(update={"tenant_field": None})) as before:
        before.ingest([Document("plan", "Acme's of old.", metadata={"customer": "acme"})])
        assert len(before.search("plans").hits) == 1
        with open_search(settings) as first, open_search(settings) as other:
            acme = other.of_tenant("acme")
            assert len(acme.search("plans").hits) == 1
            assert first.reindex(min_overlap=0).switched
            first.of_tenant("acme").ingest([Document("new", "Acme's of now.")])
            first.of_tenant("bolt").ingest(BOLT)
            assert {hit.document_id for hit in acme.search("plans").hits} == {"plan", "new"}
        assert len(before.search("plans").hits) == 1  # as it was, until it is opened anew
        with open_search(before.settings) as forgetful, pytest.raises(IndexMismatch, match="is shared by tenants"):
            forgetful.search("plans")


VALUES: list[Any] = [
    "acme",
    "bolt",
    "x",
    1,
    2,
    1.5,
    True,
    False,
    None,
    ["acme", "bolt"],
    ["x", 1],
    {"customer": "bolt"},
    {"deep": 1},
]
CONDITIONS: list[dict[str, Any]] = [
    *(
        {"key": key, "match": {"value": value}}
        for key in (FIELD, "metadata.a", "metadata.b")
        for value in ("acme", "bolt", "x", 1, True)
    ),
    *({"key": key, "match": {"except": ["acme"]}} for key in (FIELD, "metadata.a")),
    *({"key": key, "match": {"any": ["bolt", "x"]}} for key in (FIELD, "metadata.b", "document_id")),
    *({kind: {"key": key}} for kind in ("is_empty", "is_null") for key in (FIELD, "metadata.a", "metadata.b.customer")),
    {"key": "metadata.a", "range": {"gte": 1, "lt": 2}},
    {"key": "metadata.b", "values_count": {"gte": 2}},
    {"key": "document_id", "match": {"any": ["d0", "d1", "d2", "d3"]}},
]


def drawn(draw: random.Random, depth: int = 0) -> dict[str, Any]:
    """Some filter: conditions, and filters within filters, under any clauses."""
    made: dict[str, Any] = {}
    for clause in draw.sample(["must", "should", "must_not", "min_should"], draw.randint(1, 3)):
        inner = [
            drawn(draw, depth + 1) if depth < 2 and draw.random() < 0.3 else draw.choice(CONDITIONS)
            for _ in range(draw.randint(1, 3))
        ]
        made[clause] = {"conditions": inner, "min_count": draw.randint(1, len(inner))} if clause == "min_should" else inner
    return made


@pytest.mark.parametrize("engine", ["edge", "memory", *SERVERS])
def test_a_part_answers_as_a_collection_of_its_own_would(
    engine: str,
    model_folder: Path,
    tmp_path: Path,
    serve: Serve,
    in_full: bool,  # noqa: FBT001
) -> None:
    """Whatever filter is asked for: what a tenant gets is what it would get if there were nobody else."""
    draw = random.Random(7)  # noqa: S311  # no secret
    server = serve(engine) if engine in KINDS else None
    more: dict[str, Any] = {"index": {"engine": "memory"}} if engine == "memory" else {}
    owned: dict[str, list[Document]] = {}
    for tenant in ("acme", "bolt", "x"):
        owned[tenant] = [
            Document(f"d{n}", f"Number {n} of {tenant} sleeps.", metadata={"a": draw.choice(VALUES), "b": draw.choice(VALUES)})
            for n in range(6)
        ]
    settings = settings_of(model_folder, tmp_path / "shared", server, **more)
    alone = settings.model_copy(update={"data_dir": tmp_path / "alone", "collection": "alone"})
    with open_search(settings) as searcher, open_search(alone) as other:
        for tenant, documents in owned.items():
            searcher.of_tenant(tenant).ingest(documents)
        acme, its_own = searcher.of_tenant("acme"), other.of_tenant("acme")
        its_own.ingest(owned["acme"])
        whole = searcher._parts.index
        tried = 0
        while tried < (1000 if in_full else 120):
            asked = drawn(draw)
            try:
                expected = its_own.count(asked)
            except UnsupportedFilter:
                continue
            tried += 1
            assert acme.count(asked) == expected, asked
            wanted = {hit.text for hit in its_own.search("sleeps", filter=asked, limit=20).hits}
            assert {hit.text for hit in acme.search("sleeps", filter=asked, limit=20).hits} == wanted, asked
            assert wanted <= texts(owned["acme"])
        assert whole.count() == 18


def test_two_tenants_are_written_to_at_once(shared: Searcher) -> None:
    """By threads of one process, each of which waits for the other."""

    def fill(tenant: str) -> int:
        return (
            shared.of_tenant(tenant)
            .ingest([Document(f"n{n}", f"{tenant} {n}.") for n in range(20)], sync=True, max_delete=1.0)
            .added
        )

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(fill, ["acme", "bolt", "c", "d"])) == [20] * 4
    assert [len(held(shared, tenant)) for tenant in ("acme", "bolt", "c", "d")] == [20] * 4


def test_parts_are_all_there_is(shared: Searcher) -> None:
    with shared.of_tenant("acme").using():
        whole = shared._parts.index
        parts = parts_of(FIELD, whole)
        assert [PartIndex(whole, FIELD, part).count() for part in parts] == [2, 2, 0]
        assert TenantIndex(whole, Tenant(FIELD, "acme")).count({}) == 2
