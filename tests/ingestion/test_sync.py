"""After a sync the collection holds what the sources hold, and nothing is removed that nobody meant to remove."""

import json
import math
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from held import LONG, contents
from standin import QdrantStandIn
from upstream import everywhere

from search.documents import Document, Rejection
from search.embedding.dense import FastEmbedEmbedder
from search.errors import (
    CollectionNotFound,
    IndexFull,
    IndexRejected,
    InferenceFailed,
    InvalidDocument,
    InvalidQuery,
    UnsupportedFilter,
)
from search.index.contract import CollectionSpec, Point, VectorIndex
from search.index.edge.index import EdgeIndex
from search.index.server.connection import connect, in_memory
from search.index.server.index import QdrantIndex
from search.ingestion import planning
from search.ingestion.changes import remove
from search.ingestion.chunking import Chunker
from search.ingestion.lookup import Selection
from search.ingestion.report import IngestReport, State
from search.ingestion.run import Ingestion
from search.query.options import SearchOptions
from search.query.service import SearchService
from search.reading import Reading

Change = tuple[State, str]


def ingest(index: VectorIndex, embedder: FastEmbedEmbedder, documents: Any, **options: Any) -> IngestReport:
    run = Ingestion(
        embedder, index, Chunker(embedder.tokenizer, 64, 8), max_characters=10_000, on_change=options.pop("on_change", None)
    )
    return run.run(documents, **options)


def texts(*ids: str) -> list[Document]:
    return [Document(id=one, text=f"The text of {one}.") for one in ids]


def test_what_is_not_given_any_more_is_removed(local_index: VectorIndex, quick_embedder: FastEmbedEmbedder) -> None:
    ingest(local_index, quick_embedder, texts(*"abcdefghij"))
    changes: list[Change] = []
    now = [*texts(*"abcdefgh"), Document(id="k", text=LONG)]
    now[0] = Document(id="a", text="Another text.")
    report = ingest(local_index, quick_embedder, now, sync=True, on_change=lambda *change: changes.append(change))
    assert (report.added, report.changed, report.unchanged, report.removed) == (1, 1, 7, 2)
    assert sorted(changes) == [("added", "k"), ("changed", "a"), ("removed", "i"), ("removed", "j")]
    assert sorted(contents(local_index)) == list("abcdefghk")
    again = ingest(local_index, quick_embedder, now, sync=True)
    assert (again.unchanged, again.removed, again.chunks) == (9, 0, 0)


def test_without_sync_nothing_is_removed(local_index: VectorIndex, quick_embedder: FastEmbedEmbedder) -> None:
    ingest(local_index, quick_embedder, texts("a", "b"))
    assert ingest(local_index, quick_embedder, texts("a")).removed == 0
    assert sorted(contents(local_index)) == ["a", "b"]


@pytest.mark.parametrize(
    ("max_delete", "allowed"),
    [
        (0.2, 2),
        (0.49, 4),
        (0.5, 5),
        (1.0, 10),
        (np.float32(1), 10),
        (1, 1),
        (4, 4),
        (np.int64(5), 5),
        (0, 0),
        (0.0, 0),
        (10**400, 10**400),
    ],
    ids=["20%", "49%", "50%", "all", "all, of NumPy", "one", "4", "5", "none", "0%", "any"],
)
def test_more_than_max_delete_is_not_removed(
    max_delete: float, allowed: int, local_index: VectorIndex, quick_embedder: FastEmbedEmbedder
) -> None:
    """Five of ten would go, and one that comes does not count among those that were there."""
    ingest(local_index, quick_embedder, texts(*"abcdefghij"))
    told: list[Change] = []
    now, on_change = texts(*"abcdek"), lambda *change: told.append(change)
    report = ingest(local_index, quick_embedder, now, sync=True, max_delete=max_delete, on_change=on_change)
    removed = 5 if allowed >= 5 else 0
    assert (report.added, report.removed, report.kept) == (1, removed, 5 - removed)
    assert local_index.count() == 11 - removed
    because = f"5 of 10 documents are more than the {allowed} that may be; --dry-run lists them, and --max-delete 5 lets them go"
    assert sorted(told) == [("added", "k"), *(("removed" if removed else "kept", one) for one in "fghij")]
    assert report.kept_because == ("" if removed else because)


@pytest.mark.parametrize("amount", [-1, -0.1, 1.5, 50.0, math.nan, math.inf, True, False, None, "20%"])
def test_what_is_neither_a_number_nor_a_share_is_refused(amount: Any, quick_embedder: FastEmbedEmbedder) -> None:
    index = QdrantIndex(in_memory(), "documents", ":memory:")
    ingest(index, quick_embedder, texts("a"))
    with pytest.raises(InvalidDocument, match=f"max_delete is {amount!r}; give a number"):
        ingest(index, quick_embedder, texts("b"), sync=True, max_delete=amount)
    assert sorted(contents(index)) == ["a"]


def test_what_was_rejected_is_not_removed(local_index: VectorIndex, quick_embedder: FastEmbedEmbedder) -> None:
    """A file that cannot be read this time is no file that is gone."""
    ingest(local_index, quick_embedder, texts("a", "b", "c"))
    known = [*texts("a"), Rejection("b", None, "b", "cannot be read")]
    report = ingest(local_index, quick_embedder, known, sync=True, max_delete=5)
    assert (report.removed, report.kept) == (1, 0)
    assert sorted(contents(local_index)) == ["a", "b"]
    unknown = [*texts("a"), Rejection("f.jsonl", 3, None, "not JSON")]
    told: list[Change] = []
    report = ingest(local_index, quick_embedder, unknown, sync=True, max_delete=5, on_change=lambda *change: told.append(change))
    assert (report.removed, report.kept, told) == (0, 1, [("kept", "b")])
    assert report.kept_because == "1 rejection may be any of them; mend what was rejected first"
    assert sorted(contents(local_index)) == ["a", "b"]


def test_a_table_that_cannot_be_read_this_time_keeps_its_rows(
    tmp_path: Path, local_index: VectorIndex, quick_embedder: FastEmbedEmbedder
) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    for name in range(20):
        (folder / f"{name}.txt").write_text(f"Text {name}.")
    (folder / "data.csv").write_text("id,text\nr1,Row one.\nr2,Row two.\n")
    assert ingest(local_index, quick_embedder, Reading([str(folder)]), sync=True).added == 22
    (folder / "data.csv").write_text("id,nr\nr1,1\nr2,2\n")
    report = ingest(local_index, quick_embedder, Reading([str(folder)]), sync=True)
    assert (report.unchanged, report.removed, report.kept) == (20, 0, 2)
    assert {"r1", "r2"} <= contents(local_index).keys()


def test_an_id_that_cannot_be_stored_is_rejected(local_index: VectorIndex, quick_embedder: FastEmbedEmbedder) -> None:
    half = Rejection("f.jsonl", 1, "a\ud800", "the document's id holds half of a surrogate pair")
    assert ingest(local_index, quick_embedder, [half, *texts("b")]).rejected == 1


class Failing:
    """An index that takes no points, but deletes."""

    def __init__(self, index: VectorIndex) -> None:
        self._index = index

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)

    def upsert(self, points: Sequence[Point]) -> None:
        message = "there is no room"
        raise IndexFull(message)


@pytest.mark.parametrize("failing", ["index", "embedder"])
def test_a_run_that_fails_leaves_the_old_version(failing: str, local_index: VectorIndex, quick_embedder: FastEmbedEmbedder) -> None:
    """What deletes the old passages comes behind what writes the new ones, in another thread."""
    ingest(local_index, quick_embedder, texts(*"abcde"))
    before = contents(local_index)
    changed = [Document(id=one, text=f"Poison for {one}.") for one in "abcde"]
    index: Any = Failing(local_index) if failing == "index" else local_index
    embedder: Any = Poisoned(quick_embedder, "Poison") if failing == "embedder" else quick_embedder
    with pytest.raises((IndexFull, InferenceFailed)):
        ingest(index, embedder, changed)
    assert contents(local_index) == before


def test_a_change_that_is_refused_leaves_the_old_version(
    local_index: VectorIndex, quick_embedder: FastEmbedEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "_BATCH", 1)
    embedder: Any = Poisoned(quick_embedder, "Poison")
    ingest(local_index, embedder, [Document(id="a", text=LONG), *texts("b")])
    before = contents(local_index)
    report = ingest(local_index, embedder, [Document(id="a", text=f"{LONG} Poison."), *texts("b", "c")])
    assert (report.added, report.unchanged, report.rejected) == (1, 1, 1)
    assert report.rejections[0].content
    assert report.rejections[0].content["text"] == f"{LONG} Poison."
    assert {one: held for one, held in contents(local_index).items() if one != "c"} == before


def test_a_dry_run_says_what_would_change_and_writes_nothing(local_index: VectorIndex, quick_embedder: FastEmbedEmbedder) -> None:
    changes: list[Change] = []
    nothing_yet = ingest(local_index, quick_embedder, texts("a"), dry_run=True, sync=True)
    assert (nothing_yet.added, nothing_yet.dry_run) == (1, True)
    ingest(local_index, quick_embedder, texts("a", "b", "c"))
    before = contents(local_index)
    now = [Document(id="a", text="Changed."), *texts("c", "d"), *texts("d")]
    report = ingest(
        local_index, quick_embedder, now, sync=True, max_delete=1, dry_run=True, on_change=lambda *change: changes.append(change)
    )
    assert (report.added, report.changed, report.unchanged, report.removed, report.rejected) == (1, 1, 1, 1, 1)
    assert (report.chunks, report.dry_run) == (0, True)
    assert sorted(changes) == [("added", "d"), ("changed", "a"), ("removed", "b")]
    assert contents(local_index) == before


@everywhere
def test_a_dry_run_makes_no_collection(quick_embedder: FastEmbedEmbedder, standin: QdrantStandIn) -> None:
    index = QdrantIndex(connect(standin.url), "documents", standin.url)
    assert ingest(index, quick_embedder, texts("a"), dry_run=True, sync=True).added == 1
    assert [request for request in standin.requests if not request.startswith("GET")] == []
    index.close()


# A folder through random edits


def edited(folder: Path, draw: random.Random, edits: int) -> None:
    """Edit, add, remove and rename files at random."""
    for _ in range(edits):
        files = sorted(folder.rglob("*.md"))
        chosen = draw.choice(files)
        match draw.randrange(5):
            case 0:
                chosen.write_text(document(draw))
            case 1:
                new = folder / f"sub{draw.randrange(5)}" / f"{draw.randrange(10**6)}.md"
                new.parent.mkdir(exist_ok=True)
                new.write_text(document(draw))
            case 2 if len(files) > 2:
                chosen.unlink()
            case 3:
                chosen.rename(chosen.with_name(f"renamed{draw.randrange(10**6)}.md"))
            case _:
                chosen.touch()  # a new time and no new content


def document(draw: random.Random) -> str:
    words = ["cat", "dog", "owl", "hunts", "sleeps", "barks.", "purrs!", "\n\n## Head\n\n", "\n"]
    return "# Title\n\n" + " ".join(draw.choice(words) for _ in range(draw.randrange(1, 200)))


def test_a_folder_after_random_edits_equals_a_fresh_ingest(
    tmp_path: Path,
    quick_embedder: FastEmbedEmbedder,
    open_local: Callable[[str], VectorIndex],
    in_full: bool,  # noqa: FBT001  # a fixture
) -> None:
    synced = open_local("synced")
    # qdrant-client's own engine, which the stand-in has, too, is not made for as many passages.
    files, rounds = ((1_000, 20) if isinstance(synced, EdgeIndex) else (300, 6)) if in_full else (50, 3)
    draw = random.Random(files)  # noqa: S311  # no secret
    folder = tmp_path / "notes"
    folder.mkdir()
    for number in range(files):
        (folder / f"{number}.md").write_text(document(draw))
    for turn in range(rounds):
        if turn:
            edited(folder, draw, draw.randrange(1, files // 3))
        report = ingest(synced, quick_embedder, Reading([str(folder)]), sync=True, max_delete=files)
        fresh = open_local(f"fresh{turn}")
        ingest(fresh, quick_embedder, Reading([str(folder)]))
        assert contents(synced) == contents(fresh)
        assert report.rejected == report.kept == 0
    assert report.unchanged > 0


# No answer mixes two versions of a document


class Watched:
    """An index that shows what a search would find after each of its writes."""

    def __init__(self, index: VectorIndex, look: Callable[[], None]) -> None:
        self._index = index
        self._look = look

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)

    def upsert(self, points: Sequence[Point]) -> None:
        for point in points:  # one by one: whatever an engine might show in between
            self._index.upsert([point])
            self._look()

    def delete(self, **options: Any) -> None:
        self._index.delete(**options)
        self._look()


def test_a_document_is_never_absent_and_never_of_two_versions(
    local_index: VectorIndex, quick_embedder: FastEmbedEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "_BATCH", 3)
    service = SearchService(quick_embedder, local_index, lambda: None)
    seen: list[set[str]] = []

    def look() -> None:
        hits = service.search("Which version is it?", SearchOptions(limit=50, depth=50)).hits
        assert {hit.document_id for hit in hits} == {"a", "b"}
        seen.append({hit.text.split()[1] for hit in hits if hit.document_id == "a"})

    def version(number: int, sentences: int) -> list[Document]:
        text = "\n\n".join(f"Version {number} says in sentence {i} that " + "word " * 40 for i in range(sentences))
        return [Document(id="a", text=text), Document(id="b", text="Version of nothing.")]

    ingest(local_index, quick_embedder, version(1, 9))
    watched: Any = Watched(local_index, look)
    ingest(watched, quick_embedder, version(2, 5))
    ingest(watched, quick_embedder, version(3, 12))
    assert all(len(versions) == 1 for versions in seen)
    assert set.union(*seen) == {"2", "3"}  # the newest that is there


# Poison


class Poisoned:
    """An embedder that fails on some texts."""

    def __init__(self, embedder: FastEmbedEmbedder, poison: str) -> None:
        self._embedder = embedder
        self._poison = poison

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    def embed_passages(self, texts: Sequence[str]) -> Any:
        if any(self._poison in text for text in texts):
            message = "the model gave a vector that is not finite"
            raise InferenceFailed(message)
        return self._embedder.embed_passages(texts)


def test_a_document_that_the_embedder_fails_on_is_rejected_alone(
    local_index: VectorIndex, quick_embedder: FastEmbedEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "_BATCH", 4)
    documents = [*texts("a", "b"), Document(id="c", text=LONG + "Poison is in here. " + LONG), *texts("d", "e")]
    embedder: Any = Poisoned(quick_embedder, "Poison")
    report = ingest(local_index, embedder, documents)
    assert (report.added, report.rejected) == (4, 1)
    assert [str(one) for one in report.rejections] == ["documents (c): the model gave a vector that is not finite"]
    assert sorted(contents(local_index)) == ["a", "b", "d", "e"]  # what was written of it is gone again
    mended = [Document(id="c", text=LONG + LONG)]
    assert ingest(local_index, embedder, mended).added == 1


def test_an_embedder_that_fails_on_everything_is_an_error(local_index: VectorIndex, quick_embedder: FastEmbedEmbedder) -> None:
    embedder: Any = Poisoned(quick_embedder, "text")
    with pytest.raises(InferenceFailed, match="not finite"):
        ingest(local_index, embedder, texts("a", "b", "c"))
    with pytest.raises(CollectionNotFound):  # it was made for nothing
        local_index.ensure(CollectionSpec(quick_embedder.dimension, quick_embedder.fingerprint), create=False)
    ingest(local_index, quick_embedder, texts("a"))
    with pytest.raises(InferenceFailed, match="not finite"):
        ingest(local_index, embedder, texts("b", "c"))
    assert local_index.count() == 1


def test_a_document_that_the_server_refuses_is_rejected_alone(standin: QdrantStandIn, quick_embedder: FastEmbedEmbedder) -> None:
    standin.refused = "Poison"
    index = QdrantIndex(connect(standin.url), "documents", standin.url)
    documents = [*texts("a", "b"), Document(id="c", text="Poison."), *texts("d")]
    report = ingest(index, quick_embedder, documents)
    assert (report.added, report.rejected) == (3, 1)
    assert "refused the request (400)" in report.rejections[0].reason
    assert sorted(contents(index)) == ["a", "b", "d"]
    index.close()


def test_a_server_that_refuses_everything_is_an_error(standin: QdrantStandIn, quick_embedder: FastEmbedEmbedder) -> None:
    standin.refused = "text"
    index = QdrantIndex(connect(standin.url), "documents", standin.url)
    with pytest.raises(Exception, match="refused the request"):
        ingest(index, quick_embedder, texts("a", "b"))
    index.close()


class Faulty:
    """An index that calls its own faults refusals, as Qdrant Edge does: so many, from the third write on."""

    def __init__(self, index: VectorIndex, faults: int) -> None:
        self._index = index
        self._faults = faults
        self._writes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)

    def upsert(self, points: Sequence[Point]) -> None:
        self._writes += 1
        if 2 < self._writes <= 2 + self._faults:
            message = "Qdrant Edge refused the request: Service runtime error: planted"
            raise IndexRejected(message)
        self._index.upsert(points)


def test_a_fault_of_the_engine_rejects_no_good_document(
    local_index: VectorIndex, quick_embedder: FastEmbedEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it lasts: what passes is written after all, and what stays ends the run."""
    monkeypatch.setattr(planning, "_BATCH", 2)
    passed = 0
    for faults in (1, 2, 3, 4, 5, 10**6):
        index: Any = Faulty(local_index, faults)
        documents = texts(*(f"{faults}{one}" for one in "abcdefghi"))
        try:
            report = ingest(index, quick_embedder, documents)
            passed += 1
        except IndexRejected:
            report = ingest(local_index, quick_embedder, documents)
        assert report.rejected == 0
        assert contents(local_index).keys() >= {document.id for document in documents}
    assert passed > 1


# Removing


@pytest.fixture
def animals(local_index: VectorIndex, quick_embedder: FastEmbedEmbedder) -> VectorIndex:
    documents = [Document(id=f"{kind}{i}", text=LONG, metadata={"kind": kind}) for kind in ("cat", "dog") for i in range(3)]
    ingest(local_index, quick_embedder, documents)
    return local_index


CATS = '{"must": [{"key": "metadata.kind", "match": {"value": "cat"}}]}'


def test_documents_are_removed_by_id_and_by_filter(animals: VectorIndex, quick_embedder: FastEmbedEmbedder) -> None:
    gone: list[str] = []
    assert remove(animals, quick_embedder, Selection(["dog1", "nobody"], None), on_change=lambda _, one: gone.append(one)) == 1
    assert gone == ["dog1"]
    assert remove(animals, quick_embedder, Selection([], CATS), dry_run=True) == 3
    assert len(contents(animals)) == 5
    assert remove(animals, quick_embedder, Selection([], CATS)) == 3
    assert sorted(contents(animals)) == ["dog0", "dog2"]


def test_ids_and_a_filter_are_not_taken_together(animals: VectorIndex, quick_embedder: FastEmbedEmbedder) -> None:
    """Documents of either would go, where those of both may be meant."""
    with pytest.raises(InvalidQuery, match="by ids or by a filter, not by both") as refused:
        Selection(["cat1", "dog0"], CATS)
    advised = json.loads(re.search(r"{.*}", str(refused.value))[0].replace("…", "cat1"))  # type: ignore[index]
    assert remove(animals, quick_embedder, Selection([], {"must": [*json.loads(CATS)["must"], advised]})) == 1
    assert sorted(contents(animals)) == ["cat0", "cat2", "dog0", "dog1", "dog2"]


def test_a_document_goes_whole_though_one_passage_passes(animals: VectorIndex, quick_embedder: FastEmbedEmbedder) -> None:
    assert remove(animals, quick_embedder, Selection([], {"must": [{"key": "number", "match": {"value": 2}}]})) == 6
    assert animals.count() == 0


def test_meaning_everything_or_nothing_is_refused() -> None:
    with pytest.raises(InvalidQuery, match="name the documents that are meant"):
        Selection([], None)
    with pytest.raises(InvalidQuery, match="an empty filter means every document"):
        Selection([], {})
    with pytest.raises(InvalidQuery, match="an empty filter"):
        Selection([], {"must": []})
    with pytest.raises(UnsupportedFilter, match=r"must\[0\]: is an empty filter"):
        Selection([], {"must": [{"should": []}]})
    with pytest.raises(InvalidQuery, match=r"write \['dog1'\]"):
        Selection("dog1", None)
