"""A collection that another program filled becomes one of this package's: vectors kept, words added, then ingested into."""

import os
import random
import signal
import uuid
from pathlib import Path
from typing import Any

import apart
import numpy as np
import pytest
from commands import as_json, error, search
from qdrant_client import QdrantClient, models
from standin import QdrantStandIn
from theirs import FACTS, LAYOUTS, Payload, fill, on
from upstream import everywhere

from search import Settings, open_search
from search.documents import Document
from search.embedding.dense import FastEmbedEmbedder
from search.errors import CollectionNotFound, IndexDenied, IndexMismatch, IndexRejected, InvalidSettings, TenantRequired
from search.index.contract import Point, VectorIndex
from search.index.edge.collections import EdgeCollections
from search.index.points import embedded_text
from search.index.server.collections import QdrantCollections
from search.index.server.connection import connect
from search.ingestion.adopting import adopt
from search.ingestion.joining import joined, shared
from search.searcher import Searcher
from search.settings import LayoutSettings, StorageSettings


def ours(standin: QdrantStandIn, tmp_path: Path, name: str = "ours", **more: Any) -> Searcher:
    return open_search(on(standin, tmp_path, **more).model_copy(update={"collection": name}))


def points_of(index: VectorIndex) -> dict[str, tuple[Any, ...]]:
    """All that a collection holds, but for the generations."""
    return {
        record.id: (
            {name: value for name, value in record.payload.items() if name != "generation"},
            None if record.vector is None else record.vector.round(5).tolist(),  # the engine normalises them batch by batch
            None if record.lexical is None else dict(zip(record.lexical.indices, record.lexical.values, strict=True)),
        )
        for record in index.scroll(vectors=True)
    }


def put(client: QdrantClient, embedder: FastEmbedEmbedder, payloads: list[Payload], name: str = "theirs") -> None:
    """Points with random ids."""
    texts = [str(payload.get("text") or "x") for payload in payloads]
    if not client.collection_exists(name):
        client.create_collection(name, models.VectorParams(size=embedder.dimension, distance=models.Distance.COSINE))
    vectors = embedder.embed_passages(texts).tolist()
    ids = [str(uuid.UUID(int=random.Random(number).getrandbits(128), version=4)) for number in range(len(texts))]  # noqa: S311
    made = [models.PointStruct(id=one, vector=v, payload=p) for one, v, p in zip(ids, vectors, payloads, strict=True)]
    for first in range(0, len(made), 100):
        client.upsert(name, made[first : first + 100])


@pytest.mark.parametrize("kind", LAYOUTS)
@everywhere
def test_collections_of_every_kind_are_adopted(
    kind: str,
    client: QdrantClient,
    standin: QdrantStandIn,
    bundled_embedder: FastEmbedEmbedder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    payload, vector, _ = LAYOUTS[kind]
    fill(client, bundled_embedder, payload, vector)
    before, requests = points_at(client), len(standin.requests)
    embedded: list[str] = []
    embed = FastEmbedEmbedder.embed_passages

    def counted(self: FastEmbedEmbedder, texts: Any) -> Any:
        embedded.extend(texts)
        return embed(self, texts)

    monkeypatch.setattr(FastEmbedEmbedder, "embed_passages", counted)
    with ours(standin, tmp_path) as searcher:
        done = searcher.adopt("theirs")
        assert len(embedded) == 16  # eight texts, with and without titles, by which the embedder is proved
        assert (done.points, done.left_out, done.apart) == (10, 0, 0)
        assert (done.ingest.added, done.ingest.chunks, done.ingest.reused, done.ingest.tokens) == (10, 10, 10, 0)
        held = {record.payload["document_id"]: record for record in searcher.opened().scroll(vectors=True)}
        assert held.keys() == {f"{key}.md" for key in FACTS}
        stored = {text_of(payload): np.array(vector) for payload, vector in before.values()}
        for key, (text, question) in FACTS.items():
            record = held[f"{key}.md"]
            assert record.vector is not None
            assert record.lexical is not None
            assert record.vector == pytest.approx(next(one for words, one in stored.items() if text in words), abs=1e-6)
            assert record.payload["tokens"] > 5
            result = searcher.search(question, limit=3)
            assert (f"{key}.md", text) in [(hit.document_id, hit.text) for hit in result.hits]
            assert result.retrieval == "hybrid"
            result = searcher.search(question, limit=1, retrieval="dense")
            assert (result.hits[0].document_id, result.hits[0].text, result.warnings) == (f"{key}.md", text, ())
        assert searcher.search("tarnish", limit=1, retrieval="lexical").hits[0].document_id == "gold.md"
        again = searcher.adopt("theirs")
        assert (again.ingest.added, again.ingest.changed, again.ingest.unchanged, again.ingest.chunks) == (0, 0, 10, 0)
    assert points_at(client) == before
    written = [one for one in standin.requests[requests:] if not one.startswith("GET ") and "/theirs" in one]
    assert {one.rpartition("/")[2] for one in written} == {"scroll"}  # which reads


def points_at(client: QdrantClient, name: str = "theirs") -> dict[Any, tuple[Payload, Any]]:
    def first(vectors: Any) -> Any:
        return next(iter(vectors.values())) if isinstance(vectors, dict) else vectors

    return {one.id: (one.payload or {}, first(one.vector)) for one in client.scroll(name, limit=1000, with_vectors=True)[0]}


def text_of(payload: Payload) -> str:
    return str(payload)


@everywhere
def test_what_was_adopted_is_ingested_into_synced_and_updated(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    fill(client, bundled_embedder, lambda name, text: {"text": text, "metadata": {"source": name, "letters": len(name)}})
    with ours(standin, tmp_path) as searcher:
        searcher.adopt("theirs")
        searcher.ingest([Document("moon", "The moon is made of rock.")])
        assert searcher.search("what is the moon made of?").hits[0].document_id == "moon"
        assert searcher.get("cats") == Document("cats", FACTS["cats"][0], metadata={"source": "cats", "letters": 4})
        changed = searcher.update({"status": "old"}, ids=["cats", "tea"])
        assert (changed.changed, changed.reused, changed.tokens) == (2, 2, 0)  # a short text is one passage here, too
        assert searcher.count({"must": [{"key": "metadata.status", "match": {"value": "old"}}]}) == 2
        searcher.delete(ids=["tea"])

        again = searcher.adopt("theirs")
        assert (again.ingest.added, again.ingest.changed, again.ingest.unchanged, again.ingest.kept) == (1, 0, 8, 1)
        assert again.ingest.kept_because == "they were ingested into it since"
        assert searcher.get("cats").metadata["status"] == "old"

        there = [Document(key, text, metadata={"source": key}) for key, (text, _) in FACTS.items() if key != "gold"]
        synced = searcher.ingest(there, sync=True)
        assert (synced.changed, synced.removed, synced.tokens) == (9, 2, 0)
        assert searcher.count() == 9
        assert searcher.reindex(check=False).switched


PARTS = [
    "Cats sleep most of the day.",
    "They hunt at night and at dawn.",
    "A cat purrs when it is content.",
    "Cats land on their feet.",
]


@everywhere
def test_points_of_a_document_are_its_passages_in_reading_order(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    overlapping = [f"{PARTS[i]} {PARTS[i + 1]}" for i in range(3)]
    pages = [
        {"text": text, "metadata": {"source": "cats.pdf", "page": page, "start_index": start, "of": "zoo"}}
        for text, page, start in zip(overlapping, (9, 10, 10), (0, 0, 28), strict=True)
    ]
    others = [
        {"text": text, "metadata": {"source": f"{name}.pdf", "page": 1, "start_index": 0, "of": "zoo"}}
        for name, text in (("bees", FACTS["bees"][0]), ("owls", FACTS["owls"][0]))
    ]
    put(client, bundled_embedder, [pages[2], others[0], pages[0], others[1], pages[1]])
    with ours(standin, tmp_path) as searcher:
        done = searcher.adopt("theirs")
        assert "order in metadata.page and metadata.start_index" in done.layout
        assert (done.points, done.apart, done.ingest.added, done.ingest.chunks) == (5, 0, 3, 5)
        whole = searcher.get("cats.pdf")
        assert whole.text == " ".join(PARTS)  # what passages repeat stands in it once
        assert whole.metadata == {"source": "cats.pdf", "of": "zoo"}  # what they have in common
        assert searcher.count({"must": [{"key": "metadata.page", "match": {"value": 10}}]}) == 2  # and each keeps its own
        hits = searcher.search("when does a cat purr?", limit=10).hits
        assert {(hit.document_id, hit.start) for hit in hits if hit.document_id == "cats.pdf"} == {
            ("cats.pdf", whole.text.index(text)) for text in overlapping
        }
        assert {hit.text for hit in searcher.search("cats", limit=10).hits} == {*overlapping, FACTS["bees"][0], FACTS["owls"][0]}
        assert searcher.update({"of": "farm"}, ids=["cats.pdf"]).changed == 1  # cut as this package cuts now
        assert searcher.get("cats.pdf").text == " ".join(PARTS)


@pytest.mark.parametrize("places", [None, [0, 1, 1, 2]], ids=["none", "twice the same"])
@everywhere
def test_without_an_order_each_point_is_a_document(
    places: list[int] | None, client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    payloads: list[Payload] = [{"text": text, "source": "cats.md", "n": i} for i, text in enumerate(PARTS)]
    payloads.append({"text": FACTS["tea"][0], "source": "tea.md", "n": 0})
    for payload, place in zip(payloads, [*(places or []), 0], strict=False):
        if places:
            payload["chunk_index"] = place
    if places:
        payloads[4]["chunk_index"] = 0
    put(client, bundled_embedder, payloads)
    ids = {(one.payload or {})["n"]: one.id for one in client.scroll("theirs")[0] if (one.payload or {})["source"] == "cats.md"}
    with ours(standin, tmp_path) as searcher:
        done = searcher.adopt("theirs")
        assert (done.points, done.apart, done.ingest.added) == (5, 4, 5)
        assert searcher.get(f"cats.md#{ids[1]}").text == PARTS[1]
        assert searcher.get("tea.md").text == FACTS["tea"][0]


@everywhere
def test_the_settings_may_name_the_order(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    payloads: list[Payload] = [{"text": text, "source": "a", "rank": str(i + 9)} for i, text in enumerate(PARTS)]
    put(client, bundled_embedder, [*payloads, {"text": FACTS["tea"][0], "source": "b", "rank": "0"}])
    with ours(standin, tmp_path, collections={"theirs": {"order": ["rank"]}}) as searcher:
        assert searcher.adopt("theirs").apart == 0
        assert searcher.get("a").text == "\n\n".join(PARTS)
    with ours(standin, tmp_path, "apart", collections={"theirs": {"order": []}}) as searcher:
        assert searcher.adopt("theirs").apart == 4


@everywhere
def test_what_is_no_passage_is_counted_and_named(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    fill(client, bundled_embedder, vector="v", payload=lambda name, text: {"text": text if name != "cats" else " ", "url": name})
    client.upsert("theirs", [models.PointStruct(id=7, vector={}, payload={"text": "No vector.", "url": "bare"})])
    client.upsert(
        "theirs", [models.PointStruct(id=8, vector={"v": [0.1] * 384}, payload={"text": "Deep.", "url": "deep", "a": deep()})]
    )
    client.upsert("theirs", [models.PointStruct(id=9, vector={"v": [0.1] * 384}, payload={"text": "Numbered.", "url": "nine"})])
    with ours(standin, tmp_path) as searcher:
        done = searcher.adopt("theirs")
        assert (done.points, done.left_out, done.ingest.added, done.ingest.rejected) == (13, 2, 10, 1)
        assert len(done.examples) == 2
        assert "7" in done.examples
        assert [(one.source, one.document_id) for one in done.ingest.rejections] == [("theirs", "deep")]
        assert "levels" in done.ingest.rejections[0].reason
        assert searcher.get("nine").text == "Numbered."


def deep() -> Any:
    value: Any = 1
    for _ in range(70):
        value = {"a": value}
    return value


ADOPT = """
import os, signal, sys
from search import Settings, open_search
from search.index.server import lease
from search.index.server.index import QdrantIndex
from search.ingestion import copying
lease._RENEWED_EVERY_S, lease._DEAD_AFTER_S = 0.2, 0.8  # a killed writer is given up after a moment, not after twelve seconds
lease._LOOKED_AT_EVERY_S, lease._SETTLED_AFTER_S = 0.05, 0.01
copying._GROUP = 16
last, upsert = int(sys.argv[1]), QdrantIndex.upsert
def killed(self, points):
    global last
    last -= 1
    if last == 0:
        upsert(self, points[: len(points) // 2 + 1])
        os.kill(os.getpid(), signal.SIGKILL)
    upsert(self, points)
QdrantIndex.upsert = killed
with open_search(Settings()) as searcher:
    print(searcher.adopt("theirs").ingest.unchanged)
"""


@everywhere
def test_killed_anywhere_and_run_again_equals_one_clean_run(
    client: QdrantClient, standin: QdrantStandIn, quick_embedder: FastEmbedEmbedder, model_folder: Path, tmp_path: Path
) -> None:
    payloads = [
        {"text": f"Number {i}, part {part} of it. A sentence about nothing.", "source": str(i), "part": part}
        for i in range(60)
        for part in range(1 + i % 4)
    ]
    put(client, quick_embedder, payloads)
    model = str(model_folder / "embedder-mean")
    place = {**standin.environment, "SEARCH_EMBEDDER__MODEL": model}

    def run(name: str, last: int = 0) -> tuple[int, str, str]:
        environment = {**os.environ, **place, "SEARCH_COLLECTION": name, "SEARCH_THREADS": "1", "SEARCH_DATA_DIR": str(tmp_path)}
        with apart.python(ADOPT, last, environment=environment) as process:
            printed, said = process.stdout.read(), process.stderr.read()
            return process.wait(), printed, said

    for last in (1, 2):
        assert run("killed", last)[0] == -signal.SIGKILL
    status, unchanged, said = run("killed")
    assert (status, said) == (0, "")
    assert 0 < int(unchanged) < 60  # what was there was not copied again
    assert run("clean")[0] == 0
    settings = {"embedder": {"model": model}, "reranker": {"kind": "none"}}
    with ours(standin, tmp_path, "killed", **settings) as one, ours(standin, tmp_path, "clean", **settings) as other:
        assert points_of(one.opened()) == points_of(other.opened())
        assert one.count() == len(payloads)


@everywhere
def test_a_dry_run_writes_nothing(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    fill(client, bundled_embedder)
    where: dict[str, Any] = {**standin.environment, "SEARCH_DATA_DIR": str(tmp_path)}
    told = search("adopt", "theirs", "--as", "ours", "--dry-run", **where).stdout
    assert "theirs: 10 points; text in page_content, document in metadata.source" in told
    assert "10 added, 0 changed, 0 unchanged, 0 rejected: so it would be, and nothing was written" in told
    assert [one.name for one in client.get_collections().collections] == ["theirs"]
    assert (
        "10 added, 0 changed, 0 unchanged, 0 rejected; 10 passages written to ours in"
        in search("adopt", "theirs", "--as", "ours", **where).stdout
    )
    assert as_json("adopt", "theirs", "--as", "ours", "--dry-run", **where)["ingest"]["unchanged"] == 10
    with ours(standin, tmp_path) as searcher:
        (one, *_) = searcher.opened().scroll(vectors=True)
        assert one.vector is not None
        searcher.opened().upsert([Point(str(uuid.uuid4()), one.vector, one.payload, one.lexical)])
    repeated = "1 point repeated a passage of another, and "
    assert f"{repeated}would be removed\n" in search("adopt", "theirs", "--as", "ours", "--dry-run", **where).stderr
    assert f"{repeated}was removed\n" in search("adopt", "theirs", "--as", "ours", **where).stderr
    asked = as_json("query", FACTS["gold"][1], "--collection", "ours", **where)
    assert (asked["hits"][0]["document_id"], asked["retrieval"]) == ("gold.md", "hybrid")


@everywhere
def test_what_cannot_be_adopted_is_told_and_leaves_nothing(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, model_folder: Path, tmp_path: Path
) -> None:
    fill(client, bundled_embedder)
    wrong = {"model": str(model_folder / "embedder-mean")}
    with ours(standin, tmp_path, embedder=wrong) as searcher, pytest.raises(IndexMismatch, match="with another embedder"):
        searcher.adopt("theirs")
    with ours(standin, tmp_path) as searcher:
        with pytest.raises(CollectionNotFound, match="no collection 'absent'"):
            searcher.adopt("absent")
        for dry_run in (True, False):
            with pytest.raises(IndexMismatch, match="was not made by this package"):
                searcher.beside("theirs").adopt("theirs", dry_run=dry_run)
        assert [one.name for one in client.get_collections().collections] == ["theirs"]
        searcher.adopt("theirs")
        with pytest.raises(IndexRejected, match=r"'ours' .* was made by this package"):
            searcher.beside("more").adopt("ours")
    with ours(standin, tmp_path, embedder=wrong) as searcher, pytest.raises(IndexMismatch, match="with another embedder"):
        searcher.adopt("theirs")
    assert "SEARCH_INDEX__ENGINE=qdrant" in error("adopt", "theirs", "--as", "ours", "--data-dir", tmp_path)
    with open_search(Settings(data_dir=tmp_path)) as searcher, pytest.raises(InvalidSettings, match="on a Qdrant server"):
        searcher.adopt("theirs")


def test_the_new_one_is_spread_like_theirs(bundled_embedder: FastEmbedEmbedder, tmp_path: Path) -> None:
    with QdrantStandIn(nodes=3) as server:
        client = QdrantClient(url=server.url, check_compatibility=False)
        fill(client, bundled_embedder)
        server._spread["theirs"] |= {"shard_number": 6, "replication_factor": 2, "write_consistency_factor": 2}
        client.close()
        for name, index, expected in (("ours", {}, (6, 2, 2)), ("told", {"replicas": 3}, (6, 3, 2))):
            with open_search(
                Settings(data_dir=tmp_path, collection=name, index={"engine": "qdrant", "url": server.url, **index})
            ) as searcher:
                searcher.adopt("theirs")
                details = searcher.collections.info(name).details
                assert (details["shards"], details["replicas"], details["write_consistency"]) == expected


@everywhere
def test_documents_of_many_points(
    client: QdrantClient,
    standin: QdrantStandIn,
    bundled_embedder: FastEmbedEmbedder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("search.ingestion.adopting._AT_ONCE", 3)
    monkeypatch.setattr("search.ingestion.adopting._MOST_PASSAGES", 5)
    monkeypatch.setattr("search.ingestion.copying._GROUP_PASSAGES", 2)
    numbers = {"one": 1, "two": 2, "four": 4, "five": 5, "seven": 7}  # points of each document
    payloads = [
        {"text": f"Part {i} of {name}.", "source": name, "part": i} for name, count in numbers.items() for i in range(count)
    ]
    random.Random(3).shuffle(payloads)  # noqa: S311  # no secret
    put(client, bundled_embedder, payloads)
    with ours(standin, tmp_path) as searcher:
        done = searcher.adopt("theirs")
        assert (done.points, done.apart, done.ingest.added, done.ingest.chunks) == (19, 7, 11, 19)
        for name, count in list(numbers.items())[:4]:
            assert searcher.get(name).text == "\n\n".join(f"Part {i} of {name}." for i in range(count))
        assert searcher.adopt("theirs").ingest.unchanged == 11


@everywhere
def test_a_vector_is_of_what_the_other_program_embedded(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    written = "The \ufb01sh swim in the \uff33\uff45\uff41."  # which this package would embed with plain letters
    put(client, bundled_embedder, [{"text": written, "source": "fish"}, {"text": FACTS["tea"][0], "source": "tea"}])
    with ours(standin, tmp_path) as searcher:
        searcher.adopt("theirs")
        texts = {record.payload["document_id"]: embedded_text(record) for record in searcher.opened().scroll()}
        assert texts == {"fish": written, "tea": FACTS["tea"][0]}
        assert searcher.update({"wet": True}, ids=["fish"]).reused == 0  # its vector is of other letters
        texts = {record.payload["document_id"]: embedded_text(record) for record in searcher.opened().scroll()}
        assert texts["fish"] == "The fish swim in the Sea."


def test_passages_as_one_text() -> None:
    assert joined(["One."]) == ("One.", [0])
    assert joined(["One.", "Two."]) == ("One.\n\nTwo.", [0, 6])
    assert joined(["a cat", "at home"]) == ("a cat\n\nat home", [0, 7])  # two letters in common are chance
    text = "".join(random.Random(5).choices("ab ", k=400))  # noqa: S311  # no secret
    for size, step in ((40, 20), (100, 37), (17, 1), (390, 10)):
        starts = list(range(0, len(text) - size + 1, step))
        made, found = joined([text[start : start + size] for start in starts])
        assert made == text[: starts[-1] + size]
        assert found == starts
    assert joined(["x" * 30, "x" * 20])[1] == [0, 10]
    blanks = ["initials: ____________________", "____________________ (the seller)"]
    assert joined(blanks, [((), 0), ((), 30)])[0] == "".join(blanks)  # though they would overlap
    assert joined(blanks, [((), 0), ((), 40)])[0] == "\n\n".join(blanks)
    assert joined(["Sign ____", "____ here"], [((), 0), ((), 5)])[0] == "Sign ____ here"  # few letters, and no chance
    assert joined(blanks, [((1,), 0), ((2,), 30)])[0] == joined(blanks)[0]  # of two pages
    assert joined(blanks, [((), 0), None])[0] == joined(blanks, [((), 0), ((), 3)])[0] == joined(blanks)[0]  # tells nothing
    german = "Üöäü sind Zeichen aus je zwei Bytes. " * 3
    first, second, beginning = german[:80], german[50:], len(german[:50].encode())
    assert joined([first, second], [((), 0), ((), beginning)])[0] == german  # counted in bytes
    assert joined([german, german], [((), 0), ((), len(german))])[0] == german * 2
    assert shared([{"a": 1, "b": [1]}, {"a": True, "b": [1], "c": 2}]) == {"b": [1]}


@everywhere
def test_of_a_collection_that_customers_share_each_has_its_own(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    """As Open WebUI lays it out, with a tenant beside text and metadata, and documents of one name in two tenants."""
    payloads: list[Payload] = [
        {"text": "Acme plans a merger.", "metadata": {"source": "plan.md"}, "tenant_id": "acme"},
        {"text": "Bolt plans layoffs.", "metadata": {"source": "plan.md"}, "tenant_id": "bolt"},
        {"text": "Bolt writes letters.", "metadata": {"source": "letters.md"}, "tenant_id": "bolt"},
        {"text": "Of nobody.", "metadata": {"source": "old.md"}},
        *({"text": f"Bolt's number {i}.", "metadata": {"source": f"{i}.md"}, "tenant_id": "bolt"} for i in range(9)),
    ]
    put(client, bundled_embedder, payloads)
    layout = {"theirs": {"metadata": "", "document_id": "metadata.source"}}
    shared_by: dict[str, Any] = {"tenant_field": "metadata.tenant_id", "collections": layout}
    with open_search(on(standin, tmp_path, **shared_by)) as theirs:
        acme, bolt = theirs.of_tenant("acme"), theirs.of_tenant("bolt")
        assert [hit.text for hit in acme.search("plans letters", limit=10).hits] == ["Acme plans a merger."]
        assert acme.get("plan.md").text == "Acme plans a merger."
        assert (acme.count(), bolt.count(), theirs.of_tenant("x").count()) == (1, 11, 0)
        with pytest.raises(TenantRequired):
            theirs.search("plans")
    with ours(standin, tmp_path, **shared_by) as whole:
        with pytest.raises(TenantRequired):
            whole.adopt("theirs")
        acme, bolt = whole.of_tenant("acme"), whole.of_tenant("bolt")
        done = acme.adopt("theirs")
        assert (done.points, done.ingest.added) == (1, 1)
        assert bolt.count() == 0
        assert bolt.adopt("theirs").ingest.added == 11
        assert acme.adopt("theirs").ingest.unchanged == 1
        assert (acme.get("plan.md").text, bolt.get("plan.md").text) == ("Acme plans a merger.", "Bolt plans layoffs.")
        assert acme.get("plan.md").metadata["tenant_id"] == "acme"
        assert whole.collections.info("ours").points == 12
        assert acme.ingest([Document("new", "Acme's own.")], sync=True, max_delete=1.0).removed == 1
        assert bolt.count() == 11


@everywhere
def test_a_passage_of_several_customers_is_rejected_and_the_rest_comes(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    payloads: list[Payload] = [
        *({"text": f"Acme's number {i}.", "metadata": {"source": f"{i}.md"}, "tenant_id": "acme"} for i in range(9)),
        {"text": "Of both of them.", "metadata": {"source": "both.md"}, "tenant_id": ["acme", "bolt"]},
    ]
    put(client, bundled_embedder, payloads)
    layout = {"theirs": {"metadata": "", "document_id": "metadata.source"}}
    with ours(standin, tmp_path, tenant_field="metadata.tenant_id", collections=layout) as whole:
        for dry_run in (True, False):
            done = whole.of_tenant("acme").adopt("theirs", dry_run=dry_run)
            assert (done.points, done.ingest.added, done.ingest.rejected) == (10, 9, 1)
            (rejection,) = done.ingest.rejections
            assert (rejection.document_id, rejection.reason) == (
                "both.md",
                "its metadata.tenant_id is ['acme', 'bolt'], and this is for the tenant 'acme'",
            )
        assert whole.of_tenant("acme").count() == 9
        assert whole.of_tenant("acme").adopt("theirs").ingest.unchanged == 9


def test_no_collection_is_made_of_documents_that_are_all_rejected(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    both: list[Payload] = [
        {"text": f"Of both, {i}.", "metadata": {"source": f"{i}.md"}, "tenant_id": ["acme", "bolt"]} for i in range(3)
    ]
    put(client, bundled_embedder, both)
    layout = {"theirs": {"metadata": "", "document_id": "metadata.source"}}
    with ours(standin, tmp_path, tenant_field="metadata.tenant_id", collections=layout) as whole:
        done = whole.of_tenant("acme").adopt("theirs").ingest
        assert (done.added, done.rejected) == (0, 3)
        assert whole.collections.names() == ["theirs"]
        put(client, bundled_embedder, [{"text": "Of one.", "metadata": {"source": "one.md"}, "tenant_id": "acme"}])
        assert whole.of_tenant("acme").adopt("theirs").ingest.added == 1
        assert whole.of_tenant("acme").count() == 1


@pytest.mark.parametrize("engine", ["edge", "qdrant"])
@everywhere
def test_documents_that_would_be_made_otherwise_are_not_added_beside_those_of_before(
    engine: str, client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    """Else each would be there twice, by both of its names."""
    fill(client, bundled_embedder, LAYOUTS["LangChain"][0])
    with ours(standin, tmp_path) as searcher:
        source = searcher.collections.named("theirs", searcher.settings.storage)
        kept = EdgeCollections(tmp_path / "kept").named("kept", StorageSettings())
        target = kept if engine == "edge" else searcher.collections.named("ours", searcher.settings.storage)
        assert adopt(source, target, searcher.embedder).ingest.added == 10
        before = points_of(target)
        layouts = {"theirs": LayoutSettings(document_id="")}
        otherwise = QdrantCollections(connect(standin.url), standin.url, layouts=layouts).named("theirs", StorageSettings())
        for dry_run in (True, False):
            with pytest.raises(IndexMismatch, match=r"were made otherwise.*`document_id`.* under .*collections.theirs.*--as NAME"):
                adopt(otherwise, target, searcher.embedder, dry_run=dry_run)
        assert points_of(target) == before
        assert adopt(source, target, searcher.embedder).ingest.unchanged == 10
        fill(client, bundled_embedder, lambda name, text: {"text": text, "url": f"https://{name}.example"}, name="others")
        another = searcher.collections.named("others", searcher.settings.storage)  # which may be made by other fields
        assert adopt(another, target, searcher.embedder).ingest.added == 10
        target.close()
    with ours(standin, tmp_path, "nobodys", tenant_field="metadata.source", tenant="nobody") as searcher:
        assert searcher.adopt("theirs").points == 0  # a tenant who has nothing there, by which nothing could be proved


def test_an_adoption_that_fails_before_anything_is_written_leaves_no_collection(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    fill(client, bundled_embedder)
    client.create_payload_index("theirs", "metadata.source", models.PayloadSchemaType.KEYWORD)
    standin.refusals = {"PUT /collections/ours.v1/index": (400, "Bad request: maximum number of payload indices (0).")}
    with ours(standin, tmp_path) as searcher:
        with pytest.raises(IndexRejected, match="maximum number of payload indices"):
            searcher.adopt("theirs")
        assert (searcher.collections.names(), searcher.collections.aliases()) == (["theirs"], {})


def test_nothing_is_proved_where_the_copy_cannot_be_looked_at(
    client: QdrantClient,
    standin: QdrantStandIn,
    bundled_embedder: FastEmbedEmbedder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What failed is told at once, as is an interrupt; but another embedder comes before a copy that was made otherwise."""
    fill(client, bundled_embedder)
    with ours(standin, tmp_path) as searcher:
        searcher.adopt("theirs")
    with ours(standin, tmp_path, collections={"theirs": {"document_id": ""}}) as searcher, monkeypatch.context() as patched:
        patched.setattr("search.ingestion.adopting.prove", lambda *_: pytest.fail("was proved"))
        standin.refusals = {"GET /collections/ours.v1": (403, "Forbidden: Access to collection ours.v1 is required")}
        with pytest.raises(IndexDenied):
            searcher.adopt("theirs")
    standin.refusals = {}
    monkeypatch.setattr("search.query.proof._LEAST_COSINE", 1.1)
    with (
        ours(standin, tmp_path, collections={"theirs": {"document_id": ""}}) as searcher,
        pytest.raises(IndexMismatch, match="makes other vectors"),
    ):
        searcher.adopt("theirs")


@everywhere
def test_a_copy_goes_on_by_the_layout_that_it_was_made_by(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    """Though most of what came since says otherwise; and what the settings say holds."""
    old: list[Payload] = [{"text": f"{text} {n}", "metadata": {"source": f"d{n}"}} for n, (text, _) in enumerate(FACTS.values())]
    put(client, bundled_embedder, old)
    with ours(standin, tmp_path) as searcher:
        done = searcher.adopt("theirs")
        assert (done.ingest.added, done.apart) == (10, 0)
        texts = [f"New, number {n}." for n in range(60)]
        made = bundled_embedder.embed_passages(texts).tolist()
        more = {"title": "New", "start_index": 0, "file_path": "f"}
        client.upsert(
            "theirs",
            [
                models.PointStruct(
                    id=n,
                    vector=vector,
                    payload={"text": text, "metadata": {"source": f"new{n}", **more}, "lang": "en"},
                )
                for n, (text, vector) in enumerate(zip(texts, made, strict=True))
            ],
        )
        again = searcher.adopt("theirs")
        assert (again.layout, again.ingest.added, again.ingest.changed, again.ingest.unchanged) == (done.layout, 60, 0, 10)
        assert searcher.get("new1").title == ""
        assert searcher.get("new1").metadata == {"source": "new1", **more, "lang": "en"}
    with ours(standin, tmp_path, collections={"theirs": {"title": "metadata.title"}}) as searcher:
        assert searcher.adopt("theirs").ingest.changed == 60
        assert searcher.get("new1").title == "New"


@everywhere
def test_what_neighbours_have_in_common_stands_twice_where_their_places_say_so(
    client: QdrantClient, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, tmp_path: Path
) -> None:
    sentence = "Payment is due within thirty days of receipt. "
    parts = [sentence, "By initials: ____________________", "____________________ (the seller). ", sentence, sentence]
    begins = [len("".join(parts[:n])) for n in range(len(parts))]
    payloads: list[Payload] = [
        {"text": text, "metadata": {"source": "a.txt", "start_index": at}} for text, at in zip(parts, begins, strict=True)
    ]
    put(client, bundled_embedder, [*payloads, {"text": "Other.", "metadata": {"source": "b.txt", "start_index": 0}}])
    with ours(standin, tmp_path) as searcher:
        assert searcher.beside("theirs").get("a.txt").text == "".join(parts)
        searcher.adopt("theirs")
        assert searcher.get("a.txt").text == "".join(parts)
