"""A snapshot in a folder holds all of a collection, however many nodes it lies on, and comes back whole or not at all."""

import contextlib
import errno
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from commands import error, search
from qdrant_client import models
from standin import Fault, QdrantStandIn
from upstream import on_every_cluster

from search.documents import Document
from search.errors import (
    CollectionNotFound,
    IndexFailure,
    IndexFaulted,
    IndexFull,
    IndexRejected,
    IndexUnreachable,
    InvalidSettings,
)
from search.index.manifests import StoredFile, read_manifest, unfinished
from search.searcher import Searcher, open_search
from search.settings import Settings

TEXTS = [Document(id=f"d{i}", text=f"Number {i} is about cats.", metadata={"year": 2000 + i}) for i in range(30)]
Opened = Callable[..., Searcher]


@pytest.fixture
def opened(model_folder: Path, tmp_path: Path) -> Opened:
    def open_(server: QdrantStandIn | None, **index: Any) -> Searcher:
        where: dict[str, Any] = {"engine": "edge"}
        if server is not None:
            where = {"engine": "qdrant", "url": server.url, "urls": server.urls[1:]}
        model = {"model": str(model_folder / "embedder-mean")}
        return open_search(Settings(index=where | index, embedder=model, reranker={"kind": "none"}, data_dir=tmp_path / "data"))

    return open_


def held(searcher: Searcher) -> dict[str, Any]:
    return {one.id: (one.text, dict(one.metadata)) for one in (searcher.get(f"d{i}") for i in range(30))}


@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_every_shard_on_every_node_comes_back(replicas: int, cluster: QdrantStandIn, opened: Opened, tmp_path: Path) -> None:
    """Of a cluster onto another one that has one node less, where the shards lie elsewhere."""
    folder = tmp_path / "snapshot"
    with opened(cluster, shards=3, replicas=replicas, write_consistency=replicas) as searcher:
        searcher.ingest(TEXTS)
        expected = held(searcher)
        assert searcher.collections.snapshot("documents", folder) == str(folder)
        told = searcher.collections.info("documents").details
    assert sorted(path.name for path in folder.iterdir()) == [*(f"shard-{shard}.snapshot" for shard in range(3)), "snapshot.json"]
    assert not cluster.files  # nothing is left on the nodes
    assert not list(tmp_path.glob("*.unfinished"))
    with QdrantStandIn(nodes=3) as other:
        other.lost = {2}
        with opened(other) as searcher:
            done = searcher.collections.restore(folder)
            assert done == ("documents.v1", 30, ("documents",))
            assert held(searcher) == expected
            assert searcher.search("cats", limit=5).hits
            again = searcher.collections.info("documents").details
            same = ("shards", "replicas", "write_consistency", "payload_indexes", "storage", "lexical", "quantization")
            assert {name: again[name] for name in same} == {name: told[name] for name in same}
            assert searcher.ingest(TEXTS).unchanged == 30
            assert not again["purpose"]


def test_a_replica_that_can_be_read_nowhere_is_no_part_of_a_snapshot(
    cluster: QdrantStandIn, opened: Opened, tmp_path: Path
) -> None:
    with opened(cluster, shards=3, replicas=1) as searcher:
        searcher.ingest(TEXTS)
        cluster.lost = {1}
        lacking = (
            rf"would lack 1 of the 3 shards of 'documents\.v1'.*; {cluster.urls[1]} did not answer, start what is missing there"
        )
        with pytest.raises(IndexRejected, match=lacking):
            searcher.collections.snapshot("documents", tmp_path / "snapshot")
    assert not list(tmp_path.glob("snapshot*"))
    cluster.lost = set()
    unnamed = pytest.raises(IndexRejected, match=r"lack 1 of the 3 shards .*name the URLs of these \(SEARCH_INDEX__URLS\)")
    with opened(cluster, urls=cluster.urls[1:2]) as searcher, unnamed:  # one is not named
        searcher.collections.snapshot("documents", tmp_path / "snapshot")
    with opened(cluster, urls=cluster.urls[1:2], replicas=2) as searcher:
        searcher.collections.unalias("documents")
        searcher.collections.drop("documents.v1")
        searcher.ingest(TEXTS)
        searcher.collections.snapshot("documents", tmp_path / "snapshot")  # where two of three hold all, they are enough
        cluster.dead = {0}
        searcher.collections.snapshot("documents", tmp_path / "another")  # by another node's replica of the same shard


def test_a_collection_is_brought_back_beside_what_is_left_of_it(cluster: QdrantStandIn, opened: Opened, tmp_path: Path) -> None:
    """A node and its disk are lost, without replicas: the copy gets another name, and the alias follows on command."""
    with opened(cluster, shards=3, replicas=1) as searcher:
        searcher.ingest(TEXTS)
        expected = held(searcher)
        searcher.collections.snapshot("documents", tmp_path / "snapshot")
        cluster.lost = {0}
        with pytest.raises(IndexRejected, match=r"'documents.v1' is there already .* restore it under another name \(--as NAME\)"):
            searcher.collections.restore(tmp_path / "snapshot")
        done = searcher.collections.restore(tmp_path / "snapshot", "documents.v2")
        assert done == ("documents.v2", 30, ())
        searcher.collections.switch("documents", "documents.v2")
    with opened(cluster) as searcher:
        assert held(searcher) == expected
        with pytest.raises(InvalidSettings, match="cannot name a collection"):
            searcher.collections.restore(tmp_path / "snapshot", "../x")


@pytest.mark.parametrize("engine", ["edge", "edge process", "server"])
def test_a_part_of_a_snapshot_is_not_brought_back(engine: str, standin: QdrantStandIn, opened: Opened, tmp_path: Path) -> None:
    server = standin if engine == "server" else None
    index: dict[str, Any] = {"own_process": True} if engine == "edge process" else {"shards": 2} if server else {}
    folder = tmp_path / "snapshot"
    with opened(server, **index) as searcher:
        searcher.ingest(TEXTS)
        expected = held(searcher)
        searcher.index.close()
        searcher.collections.snapshot("documents", folder)
        with pytest.raises(IndexRejected, match="is there already; name a folder that is not"):
            searcher.collections.snapshot("documents", folder)
        collections = searcher.collections
        before = (collections.names(), collections.aliases())
        largest = max((file for file in folder.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)
        data = largest.read_bytes()

        def refused(words: str) -> None:
            with pytest.raises(IndexRejected, match=words):
                collections.restore(folder, "restored")
            assert (collections.names(), collections.aliases()) == before

        largest.write_bytes(data[: len(data) // 2])
        refused(f"^{re.escape(str(largest))} is not as it was written into the snapshot")
        largest.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        refused(f"^{re.escape(str(largest))} is not as it was written into the snapshot")
        largest.unlink()
        refused("cannot be read .*a part is not brought back")
        largest.write_bytes(data)
        manifest = (folder / "snapshot.json").read_text()
        (folder / "snapshot.json").unlink()
        refused("is no whole snapshot: it has no snapshot.json")
        for broken in ("", "{}", "[]", manifest[:100], manifest.replace('"version": 1', '"version": 9'), "[" * 100_000):
            (folder / "snapshot.json").write_text(broken)
            refused("cannot be read as the manifest of a snapshot")
        told = json.loads(manifest)
        outside = {**told["files"][0], "path": "../outside"}
        (folder / "snapshot.json").write_text(json.dumps({**told, "files": [outside, *told["files"][1:]]}))
        refused("names a file that is not in it")
        (folder / "snapshot.json").write_text(json.dumps({**told, "engine": "edge" if server else "qdrant"}))
        refused("is a snapshot of")
        if server:
            (folder / "snapshot.json").write_text(json.dumps({**told, "files": told["files"][1:]}))
            refused(r"holds shards \[1\] of 2, so it is not a whole snapshot")
        (folder / "snapshot.json").write_text(manifest)
        assert collections.restore(folder, "restored")[:2] == ("restored", 30)
        beside = searcher.beside("restored")
        assert held(beside) == expected
        beside.close()


def test_a_restoring_that_fails_leaves_nothing(cluster: QdrantStandIn, opened: Opened, tmp_path: Path) -> None:
    with opened(cluster, shards=3, replicas=2) as searcher:
        searcher.ingest(TEXTS)
        collections = searcher.collections
        collections.snapshot("documents", tmp_path / "snapshot")
        shard_file = cluster.shard_file

        def refused(kind: type[IndexFailure], words: str) -> None:
            with pytest.raises(kind, match=words):
                collections.restore(tmp_path / "snapshot", "restored")
            assert collections.names() == ["documents.v1"]

        cluster.ailing_upload = True  # it says yes, and has nothing
        refused(IndexFaulted, r"\d+ of 30 points came back, so 'restored' was removed again")
        cluster.ailing_upload = False
        cluster.shard_file = lambda *asked: (500, "planted") if "upload" in asked[1] else shard_file(*asked)  # type: ignore[method-assign]
        refused(IndexFaulted, "planted")
        cluster.shard_file = lambda *asked: (403, "planted") if "upload" in asked[1] else shard_file(*asked)  # type: ignore[method-assign]
        refused(IndexFailure, "the API key may not do this")

        def going(*asked: Any) -> tuple[int, Any]:
            if "upload" in asked[1]:
                cluster.lost = {cluster.node}
            return shard_file(*asked)

        cluster.shard_file = going  # type: ignore[assignment, method-assign]
        with pytest.raises(IndexFailure):
            collections.restore(tmp_path / "snapshot", "restored")
        cluster.lost = set()
        cluster.shard_file = shard_file  # type: ignore[method-assign]
        searcher.collections._client.nodes.nodes[0].left_out_until = 0  # type: ignore[attr-defined]
        assert collections.names() == ["documents.v1"]
        assert collections.restore(tmp_path / "snapshot", "restored").points == 30


def test_a_restoring_that_was_killed_is_begun_anew(cluster: QdrantStandIn, opened: Opened, tmp_path: Path) -> None:
    """After what it left was dropped on command: from outside, one that was killed looks like one that is under way."""
    with opened(cluster, shards=3) as searcher:
        searcher.ingest(TEXTS)
        collections = searcher.collections
        collections.snapshot("documents", tmp_path / "snapshot")
        cluster._client.create_collection(
            "restored",
            models.VectorParams(size=4, distance=models.Distance.COSINE),
            metadata={"purpose": "a snapshot is being restored"},
        )
        cluster._spread["restored"], cluster._placed["restored"] = cluster._spread["documents.v1"], [0, 1, 2]
        with pytest.raises(IndexRejected, match=r"if it was ended, `search collections drop restored` removes what it left"):
            collections.restore(tmp_path / "snapshot", "restored")
        collections.drop("restored")
        assert collections.restore(tmp_path / "snapshot", "restored").points == 30


def test_a_restored_collection_is_nobodys_leftover(cluster: QdrantStandIn, opened: Opened, tmp_path: Path) -> None:
    """Whatever its metadata, which the server merges: that of another program's has no purpose."""
    mark = {"purpose": "a snapshot is being restored by process 1 on elsewhere since yesterday"}
    for number, metadata in enumerate(({"team": "sales"}, {}, None, mark, {"purpose": None})):
        with opened(cluster, shards=3) as searcher:
            collections, name, folder = searcher.collections, f"restored{number}", tmp_path / f"snapshot{number}"
            searcher.ingest(TEXTS)
            collections.snapshot("documents", folder)
            manifest = json.loads((folder / "snapshot.json").read_text())
            manifest["details"]["config"]["metadata"] = metadata
            (folder / "snapshot.json").write_text(json.dumps(manifest))
            collections.restore(folder, name)
            assert cluster._client.get_collection(name).config.metadata == {**(metadata or {}), "purpose": ""}
            with pytest.raises(IndexRejected, match=f"'{name}' is there already"):
                collections.restore(folder, name)
            assert cluster._client.count(name).count >= 30


@on_every_cluster
def test_two_restorings_under_one_name_do_not_undo_each_other(cluster: QdrantStandIn, opened: Opened, tmp_path: Path) -> None:
    with opened(cluster, shards=3) as searcher, opened(cluster) as second:
        searcher.ingest(TEXTS)
        searcher.collections.snapshot("documents", tmp_path / "snapshot")
        shard_file = cluster.shard_file
        seen: list[str] = []

        def meanwhile(*asked: Any) -> tuple[int, Any]:
            if "upload" in asked[1] and not seen:
                seen.append("")
                with pytest.raises(IndexRejected) as refused:
                    second.collections.restore(tmp_path / "snapshot", "restored")
                seen.append(str(refused.value))
            return shard_file(*asked)

        cluster.shard_file = meanwhile  # type: ignore[assignment, method-assign]
        assert searcher.collections.restore(tmp_path / "snapshot", "restored").points == 30
        assert f"is being restored by process {os.getpid()} on " in seen[1]
        assert held(searcher.beside("restored")) == held(searcher)


@on_every_cluster
def test_one_that_fails_leaves_what_another_one_made_in_its_place(cluster: QdrantStandIn, opened: Opened, tmp_path: Path) -> None:
    """Where somebody dropped what looked like a leftover."""
    with opened(cluster, shards=3) as searcher, opened(cluster) as second:
        searcher.ingest(TEXTS)
        searcher.collections.snapshot("documents", tmp_path / "snapshot")
        shard_file, begun = cluster.shard_file, [False]

        def meanwhile(*asked: Any) -> tuple[int, Any]:
            if "upload" in asked[1] and not begun[0]:
                begun[0] = True
                second.collections.drop("restored")
                assert second.collections.restore(tmp_path / "snapshot", "restored").points == 30
                return 500, "planted"
            return shard_file(*asked)

        cluster.shard_file = meanwhile  # type: ignore[assignment, method-assign]
        with pytest.raises(IndexFaulted, match="planted"):
            searcher.collections.restore(tmp_path / "snapshot", "restored")
        assert searcher.collections.info("restored").points == 30


@on_every_cluster
def test_aliases_that_cannot_be_made_take_the_collection_with_them(cluster: QdrantStandIn, opened: Opened, tmp_path: Path) -> None:
    with opened(cluster, shards=3) as searcher:
        searcher.ingest(TEXTS)
        collections = searcher.collections
        collections.snapshot("documents", tmp_path / "snapshot")
        collections.unalias("documents")
        collections.drop("documents.v1")
        answer = cluster.answer

        def answering(method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
            return (500, "planted") if path == "/collections/aliases" else answer(method, path, body)

        cluster.answer = answering  # type: ignore[method-assign]
        with pytest.raises(IndexFaulted, match="planted"):
            collections.restore(tmp_path / "snapshot")
        cluster.answer = answer  # type: ignore[method-assign]
        assert (collections.names(), collections.aliases()) == ([], {})
        assert collections.restore(tmp_path / "snapshot") == ("documents.v1", 30, ("documents",))


def test_a_snapshot_of_what_is_written_to_comes_back(cluster: QdrantStandIn, opened: Opened, tmp_path: Path) -> None:
    """With more or fewer passages than there were before and after: of each shard what it had at its turn."""
    changed = [Document(id=one.id, text=f"{one.text} And of dogs.") for one in TEXTS]
    folder = tmp_path / "snapshot"
    with opened(cluster, shards=3) as searcher, opened(cluster) as second:
        searcher.ingest(TEXTS)
        searcher.collections.snapshot("documents", tmp_path / "quiet")
        shard_file, begun = cluster.shard_file, [False]

        def meanwhile(*asked: Any) -> tuple[int, Any]:
            told = shard_file(*asked)
            if asked[0] == "POST" and not begun[0]:
                begun[0] = True
                assert second.ingest(changed).changed == 30
            return told

        cluster.shard_file = meanwhile  # type: ignore[assignment, method-assign]
        searcher.collections.snapshot("documents", folder)
        assert begun == [True]
        cluster.shard_file = shard_file  # type: ignore[method-assign]
        assert searcher.count() == 30
        done = searcher.collections.restore(folder, "restored")
        assert done.points == sum(len(json.loads(file.read_bytes())) for file in folder.glob("shard-*")) - 1  # of the claim
        assert done.points != 30
        manifest, quiet = read_manifest(folder), read_manifest(tmp_path / "quiet")
        assert (manifest.least, manifest.most, manifest.details["written_meanwhile"]) == (None, None, True)
        assert (quiet.least, quiet.most, quiet.details["written_meanwhile"]) == (30, 30, False)
        searcher.collections.drop("restored")
        cluster.ailing_upload = True  # on one node of three, as it turns out
        took = cluster._take_in

        def taken_in(*asked: Any) -> bool:
            cluster.ailing_upload = asked[1] == 0
            return took(*asked)

        cluster._take_in = taken_in  # type: ignore[assignment, method-assign]
        with pytest.raises(IndexFaulted, match=r"the nodes do not count alike .* so 'restored' was removed again"):
            searcher.collections.restore(folder, "restored")


@pytest.mark.parametrize("writer", ["this version's", "an earlier version's", "another program's"])
def test_who_writes_while_a_snapshot_is_taken(writer: str, cluster: QdrantStandIn, opened: Opened, tmp_path: Path) -> None:
    folder = tmp_path / "snapshot"
    with opened(cluster, shards=3) as searcher:
        searcher.ingest(TEXTS)
        shard_file = cluster.shard_file
        note = {"claim": "c", "who": "process 1 on elsewhere", "beat": 1, "number": 1}
        claimed = searcher.index.claimed() if writer == "this version's" else contextlib.nullcontext()

        def meanwhile(*asked: Any) -> tuple[int, Any]:
            if writer == "an earlier version's":
                cluster._client.update_collection("documents.v1", metadata={"writer": note})
            elif writer == "another program's":
                cluster._client.delete("documents.v1", models.Filter(must=[models.HasIdCondition(has_id=[some])]))
            return shard_file(*asked)

        some = next(iter(searcher.index.scroll())).id
        cluster.shard_file = meanwhile  # type: ignore[assignment, method-assign]
        with claimed:
            searcher.collections.snapshot("documents", folder)
        assert read_manifest(folder).details["written_meanwhile"] is True
        assert read_manifest(folder).least is None


@on_every_cluster
def test_an_answer_that_breaks_off_is_no_snapshot(cluster: QdrantStandIn, opened: Opened, tmp_path: Path) -> None:
    with opened(cluster, shards=3) as searcher:
        searcher.ingest(TEXTS)
        shard_file = cluster.shard_file

        def cut(*asked: Any) -> tuple[int, Any]:
            if asked[0] == "POST":
                cluster.faults.append(Fault(cut=True))
            return shard_file(*asked)

        cluster.shard_file = cut  # type: ignore[assignment, method-assign]
        with pytest.raises(IndexUnreachable):
            searcher.collections.snapshot("documents", tmp_path / "snapshot")
        cluster.faults.clear()

        def garbled(*asked: Any) -> tuple[int, Any]:
            status, told = shard_file(*asked)
            return status, b"garbled" if isinstance(told, bytes) else told

        cluster.shard_file = garbled  # type: ignore[assignment, method-assign]
        with pytest.raises(IndexFaulted, match=r"shard 0 of 'documents.v1' did not come as the node at .* wrote it"):
            searcher.collections.snapshot("documents", tmp_path / "snapshot")
        assert not list(tmp_path.glob("snapshot*"))


def test_where_nothing_can_be_written(
    standin: QdrantStandIn, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with opened(standin) as searcher:
        searcher.ingest(TEXTS)
        with pytest.raises(IndexRejected, match="no snapshot can be written to"):
            searcher.collections.snapshot("documents", tmp_path / "file" / "snapshot")
        for number in (errno.ENOSPC, errno.EDQUOT):  # of the disk, and of who writes on it
            full = OSError(number, "No space left")
            monkeypatch.setattr("search.index.manifests.os.fsync", lambda _, full=full: (_ for _ in ()).throw(full))
            with pytest.raises(IndexFull, match="the disk of this machine has no room"):
                searcher.collections.snapshot("documents", tmp_path / "snapshot")
        monkeypatch.undo()
        with pytest.raises(CollectionNotFound):
            searcher.collections.snapshot("absent", tmp_path / "snapshot")
        searcher.collections.snapshot("documents", tmp_path / "made" / "here" / "snapshot")


def test_where_an_embedded_collection_cannot_be_copied_to(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with opened(None) as searcher:
        searcher.ingest(TEXTS)
        searcher.index.close()
        with pytest.raises(IndexRejected, match="no snapshot can be written to"):
            searcher.collections.snapshot("documents", tmp_path / "file" / "snapshot")
        searcher.collections.snapshot("documents", tmp_path / "made" / "here" / "snapshot")
        (tmp_path / "data" / "collections" / "taken").mkdir()
        for name, words in (("taken", "is there already"), ("documents", "is there already"), ("../x", "cannot name a collection")):
            with pytest.raises((IndexRejected, InvalidSettings), match=words):
                searcher.collections.restore(tmp_path / "made" / "here" / "snapshot", name)
        assert searcher.collections.names() == ["documents"]
        assert not list((tmp_path / "data" / "snapshots").glob("*"))


@pytest.mark.parametrize("engine", ["edge", "server"])
def test_a_name_that_no_folder_can_have(engine: str, standin: QdrantStandIn, opened: Opened, tmp_path: Path) -> None:
    with opened(standin if engine == "server" else None) as searcher:
        searcher.ingest(TEXTS[:1])
        searcher.index.close()
        for folder in (tmp_path / ("x" * 300), tmp_path / ("x" * 300) / "snapshot", tmp_path / ("x" * 250)):
            with pytest.raises(IndexRejected, match=r"no snapshot can be written to .*; name another place"):
                searcher.collections.snapshot("documents", folder)
    assert not list(tmp_path.glob("x*"))


@pytest.mark.parametrize("broken", ["collection.json", "largest"])
def test_an_embedded_collection_that_cannot_be_opened_is_not_brought_back(broken: str, opened: Opened, tmp_path: Path) -> None:
    """Though each file is as it was written: neither it nor its aliases stay."""
    folder, spoiled = tmp_path / "snapshot", tmp_path / "spoiled"
    with opened(None) as searcher:
        searcher.ingest(TEXTS)
        searcher.index.close()
        collections = searcher.collections
        collections.switch("live", "documents")
        collections.snapshot("documents", folder)
        shutil.copytree(folder, spoiled)
        files = [file for file in spoiled.rglob("*") if file.is_file() and file.name not in {"collection.json", "snapshot.json"}]
        for file in [spoiled / broken] if broken == "collection.json" else files:
            file.write_bytes(b"spoiled")
        told = json.loads((spoiled / "snapshot.json").read_text())
        told["files"] = [asdict(StoredFile.of(spoiled, one["path"])) for one in told["files"]]
        (spoiled / "snapshot.json").write_text(json.dumps(told))
        collections.unalias("live")
        collections.drop("documents")
        with pytest.raises(IndexFailure):
            collections.restore(spoiled)
        assert (collections.names(), collections.aliases()) == ([], {})
        assert not list((tmp_path / "data" / "collections").glob("*"))
        assert collections.restore(folder) == ("documents", 30, ("live",))
    with opened(None) as searcher:
        assert len(held(searcher)) == 30


def test_there_is_none_of_memory(tmp_path: Path, model_folder: Path) -> None:
    model = {"model": str(model_folder / "embedder-mean")}
    with open_search(Settings(index={"engine": "memory"}, embedder=model, reranker={"kind": "none"})) as searcher:
        searcher.ingest(TEXTS[:1])
        with pytest.raises(IndexRejected, match="makes no snapshots"):
            searcher.collections.snapshot("documents", tmp_path / "snapshot")


@pytest.mark.parametrize("engine", ["edge", "server"])
@on_every_cluster
def test_the_commands(engine: str, cluster: QdrantStandIn, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "cats.md").write_text("Cats sleep most of the day.")
    (notes / "dogs.md").write_text("Dogs bark at night.")
    where: dict[str, Any] = {"SEARCH_DATA_DIR": str(tmp_path / "data")}
    if engine == "server":
        more = {"SEARCH_INDEX__URLS": json.dumps(cluster.urls[1:])}
        where |= {"SEARCH_INDEX__ENGINE": "qdrant", "SEARCH_INDEX__URL": cluster.url, **more}
    search("ingest", notes, **where)
    folder = tmp_path / "snapshot"
    assert search("collections", "snapshot", "documents", "--to", folder, **where).stdout == f"{folder}\n"
    assert "is there already" in error("collections", "restore", folder, **where)
    assert search("collections", "restore", folder, "--as", "again", **where).stdout == "again is restored, 2 passages\n"
    if engine == "server":
        search("collections", "alias", "documents", "--remove", **where)
        search("collections", "drop", "documents.v1", "--yes", **where)
        restored = search("collections", "restore", folder, **where).stdout
        assert restored == "documents.v1 is restored, 2 passages; documents leads there\n"
    else:
        shutil.rmtree(tmp_path / "data" / "collections" / "documents")
        assert search("collections", "restore", folder, **where).stdout == "documents is restored, 2 passages\n"
    assert "Cats sleep" in search("query", "What sleeps?", **where).stdout


@on_every_cluster
def test_the_command_says_that_it_was_written_to_meanwhile(cluster: QdrantStandIn, opened: Opened, tmp_path: Path) -> None:
    where: dict[str, Any] = {"SEARCH_INDEX__ENGINE": "qdrant", "SEARCH_INDEX__URL": cluster.url}
    where["SEARCH_INDEX__URLS"] = json.dumps(cluster.urls[1:])
    with opened(cluster) as searcher:
        searcher.ingest(TEXTS)
        for folder in (tmp_path / "quiet", tmp_path / "busy"):
            with searcher.index.claimed() if folder.name == "busy" else contextlib.nullcontext():
                done = search("collections", "snapshot", "documents", "--to", folder, **where)
            assert done.stdout == f"{folder}\n"
            assert ("documents was written to meanwhile; " in done.stderr) is (folder.name == "busy")


@pytest.mark.parametrize("everywhere_strict", [True, False])
def test_under_strict_mode_every_point_is_counted_all_the_same(
    everywhere_strict: bool,  # noqa: FBT001
    cluster: QdrantStandIn,
    opened: Opened,
    tmp_path: Path,
) -> None:
    """One by one, where the server counts nothing exactly; the mode itself comes back when all else is there."""
    strict = {"search_allow_exact": False, "max_query_limit": 4}
    with opened(cluster, shards=3, replicas=1) as searcher:
        searcher.ingest([Document(f"d{number}", f"Number {number} is about cats.") for number in range(30)])
        collections = searcher.collections
        if everywhere_strict:  # as of a managed cluster
            cluster.strict = strict
        else:
            cluster._spread["documents.v1"]["strict"] = {"enabled": True, **strict}
        collections.snapshot("documents", tmp_path / "copy")
        manifest = read_manifest(tmp_path / "copy")
        assert (manifest.least, manifest.most) == (30, 30)
        cluster.ailing_upload = True
        with pytest.raises(IndexFaulted, match="of 30 points came back, so 'part' was removed again"):
            collections.restore(tmp_path / "copy", "part")
        assert "part" not in collections.names()
        cluster.ailing_upload = False
        assert collections.restore(tmp_path / "copy", "whole").points == 30
        if not everywhere_strict:
            assert cluster._spread["whole"]["strict"] == {"enabled": True, **strict}


@pytest.mark.parametrize(
    "broken",
    [
        {"details": {}},
        {"details": {"config": {}, "payload_schema": {}}},
        {"details": {"config": {"params": 5}, "payload_schema": {}}},
        {"details": {"config": None, "payload_schema": {}}},
        {"details": {"payload_schema": {}}},
    ],
)
def test_a_manifest_that_does_not_say_what_the_collection_is(
    broken: dict[str, Any], cluster: QdrantStandIn, opened: Opened, tmp_path: Path
) -> None:
    with opened(cluster) as searcher:
        searcher.ingest([Document("a", "A cat.")])
        searcher.collections.snapshot("documents", tmp_path / "copy")
        file = tmp_path / "copy" / "snapshot.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | broken))
        with pytest.raises(IndexRejected, match=r"does not say what the collection is .*; take the snapshot anew"):
            searcher.collections.restore(tmp_path / "copy", "again")
        assert "again" not in searcher.collections.names()


def test_what_stands_at_the_place_of_an_unfinished_one_is_left_alone(tmp_path: Path) -> None:
    """Where it cannot be removed, nothing is written into it, and a snapshot that is refused removes nothing."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "a.unfinished").symlink_to(elsewhere)
    with pytest.raises(IndexRejected, match=r"a \(.*exists"), unfinished(tmp_path / "a"):
        pytest.fail("it was written")
    assert (list(elsewhere.iterdir()), (tmp_path / "a").exists()) == ([], False)
    (tmp_path / "b").mkdir()
    (tmp_path / "b.unfinished").mkdir()
    with pytest.raises(IndexRejected, match="is there already"), unfinished(tmp_path / "b"):
        pytest.fail("it was written")
    assert (tmp_path / "b.unfinished").exists()
