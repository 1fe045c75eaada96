"""The commands that change documents, through a running service, over real HTTP."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from commands import as_json, error, one_line, search, search_apart, wrong
from papers import scanned
from serving import Served, serving

from search.api.keys import new_key
from search.cli import remote
from search.client import Client
from search.documents import Document
from search.errors import ServiceOverloaded, ServiceRefused, ServiceUnreachable
from search.settings import Settings


@pytest.fixture
def served(settings: Settings) -> Iterator[Served]:
    with serving(settings) as one:
        yield one


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "cats.md").write_text("# Cats\n\nCats sleep most of the day.")
    (folder / "broken.txt").write_bytes(b"\0")
    (folder / "birds.csv").write_text("name,description,legs\nGull,Gulls cry.,2\nOwl,Owls hoot.,2\n")
    return folder


def test_documents_go_into_a_running_service(served: Served, notes: Path) -> None:
    where = ("--url", served.url)
    done = search("ingest", notes, *where)
    assert done.stdout.startswith("3 added, 0 changed, 0 unchanged, 1 rejected; 3 passages written in ")
    assert "rejected notes/broken.txt: not text: it holds zero bytes" in done.stderr
    assert served.searcher.get("notes/birds.csv#2") == Document("notes/birds.csv#2", "Owls hoot.", "Owl", {"legs": 2})
    assert served.searcher.get("notes/cats.md").media_type == "text/markdown"
    (notes / "cats.md").write_text("# Cats\n\nCats purr.")
    again = as_json("ingest", notes, *where)
    assert (again["added"], again["changed"], again["unchanged"], again["rejected"]) == (0, 1, 2, 1)
    assert again["rejections"][0]["source"] == "notes/broken.txt"


def test_a_dry_run_counts(served: Served, notes: Path) -> None:
    done = search("ingest", notes, "--dry-run", "--url", served.url)
    assert done.stdout == "would be: 3 added, 0 changed, 0 unchanged, 1 rejected\n"
    assert "changes" not in as_json("ingest", notes, "--dry-run", "--url", served.url)
    assert not served.searcher.settings.data_dir.joinpath("collections", "documents").exists()


def test_updating_and_deleting(served: Served, notes: Path) -> None:
    where = ("--url", served.url)
    search("ingest", notes, *where)
    two = '{"must": [{"key": "metadata.legs", "match": {"value": 2}}]}'
    assert search("update", '{"kind": "bird"}', "--filter", two, *where).stdout == "2 changed, 0 were so already, 0 rejected\n"
    done = as_json("update", '{"kind": "bird"}', "notes/birds.csv#1", *where)
    assert (done["changed"], done["unchanged"], "document_ids" in done) == (0, 1, False)
    unknown = search("update", '{"kind": "bird"}', "nobody", *where, status=1)
    assert unknown.stderr == "rejected documents (nobody): there is no document of this id\n"
    shown = search("delete", "--filter", two, "--dry-run", *where).stdout
    assert sorted(shown.splitlines()) == ["- notes/birds.csv#1", "- notes/birds.csv#2", "would be: 2 removed"]
    answer = as_json("delete", "notes/birds.csv#1", "nobody", *where)
    assert answer == {
        "removed": 1,
        "dry_run": False,
        "document_ids": ["notes/birds.csv#1"],
        "not_found": ["nobody"],
        "warnings": [],
    }
    assert "name the documents that are meant" in wrong("delete", *where)
    assert "the filter is not JSON" in wrong("delete", "--filter", "{", *where)
    assert "not a Qdrant filter: this is no object" in wrong("delete", "--filter", "[]", *where)
    assert "there is no such collection" in error("delete", "x", "--collection", "other", *where)


def test_other_collections_and_keys(settings: Settings, notes: Path) -> None:
    key, digest = new_key()
    with serving(settings, api_keys={"a": {"sha256": digest, "scopes": {"write", "search"}}}) as served:
        assert "a key is needed" in error("ingest", notes / "cats.md", "--url", served.url)
        assert "search: " in error("ingest", notes / "cats.md", "--url", served.url, "--key", "wrong")
        search("ingest", notes / "cats.md", "--url", served.url, "--key", key, "--collection", "pets")
        assert as_json("ingest", notes / "cats.md", "--url", served.url, SEARCH_CLIENT_KEY=key)["added"] == 1
        assert served.searcher.beside("pets").count() == 1


def test_what_a_service_cannot_do_is_refused(served: Served, notes: Path, tmp_path: Path) -> None:
    said = wrong("ingest", notes, "--sync", "--url", served.url)
    assert "--sync compares with all that the collection holds, which a service does not list" in said
    assert "--data-dir names a folder here" in wrong("ingest", notes, "--url", served.url, "--data-dir", tmp_path)
    assert "--key is for the service that --url names" in wrong("ingest", notes, "--key", "x", "--data-dir", tmp_path)
    assert "is no address of a service" in wrong("ingest", notes / "cats.md", "--url", "nowhere")
    assert "does not answer" in error("delete", "x", "--url", "http://127.0.0.1:9")


def test_the_error_that_names_the_owner_names_the_way(served: Served, notes: Path, settings: Settings) -> None:
    search("ingest", notes, "--url", served.url)
    for command in (("ingest", notes / "cats.md"), ("update", '{"a": 1}', "notes/cats.md"), ("delete", "notes/cats.md")):
        said = search_apart(*command, "--data-dir", settings.data_dir, status=1)
        assert "is in use by process" in one_line(said)
        assert "if it is a service, give its address with --url, such as http://127.0.0.1:8000" in said.stderr


def test_the_error_that_names_a_service_names_the_way_once(notes: Path, tmp_path: Path) -> None:
    command = [
        str(Path(sys.executable).parent / "search"),
        "serve",
        "--port",
        "0",
        "--log",
        "none",
        "--data-dir",
        str(tmp_path / "data"),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        url = process.stderr.readline().split()[-1]
        search("ingest", notes, "--url", url)
        said = one_line(search("ingest", notes, "--data-dir", tmp_path / "data", status=1))
        process.terminate()
    assert "ask that service over HTTP" in said
    assert said.count("--url") == 1


def test_rejections_name_their_place_and_come_again(settings: Settings, tmp_path: Path) -> None:
    """Those of the service, too, which knows no files."""
    rows = [{"id": "1", "text": "Fine."}, {"id": "2", "text": "x " * 200}, {"id": "1", "text": "Twice."}, {"id": "4", "text": ""}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rejects = tmp_path / "rejects.jsonl"
    with serving(settings, max_characters=100) as served:
        done = search("ingest", tmp_path / "a.jsonl", "--rejects", rejects, "--url", served.url)
        name = f"{tmp_path.name}/a.jsonl"
        assert f"rejected {name}:2 (2): 400 characters are more than 100; split it\n" in done.stderr
        assert f"rejected {name}:3 (1): the id stands twice in this run; the first one was taken\n" in done.stderr
        assert f"rejected {name}:4 (4): it has no text" in done.stderr
        (tmp_path / "b.txt").write_text("Fine.")
        named = search("ingest", tmp_path / "b.txt", tmp_path / "b.txt", "--url", served.url).stderr
        assert named.endswith("the first one was taken; name a file or its folder, and each once\n")
        assert served.searcher.get("1").text == "Fine."
        rejects.write_text(rejects.read_text().replace("x " * 200, "Short."))
        assert as_json("ingest", rejects, "--url", served.url)["added"] == 1
        assert served.searcher.get("2").text == "Short."
        (tmp_path / "b.jsonl").write_text('{"id": "2", "text": ""}\n')
        assert as_json("ingest", tmp_path / "a.jsonl", "--url", served.url)["changed"] == 1  # back from what stood there twice
        search("ingest", tmp_path / "b.jsonl", "--url", served.url, status=1)  # nothing was taken


def test_what_readers_here_leave_out_is_told(served: Served, tmp_path: Path) -> None:
    (tmp_path / "report.pdf").write_bytes(scanned(["One.", "", ""]))
    done = search("ingest", tmp_path / "report.pdf", "--url", served.url, "--json")
    name = f"{tmp_path.name}/report.pdf"
    assert f"(metadata.pages_without_text)\n  {name}: pages 2\u20133\n" in done.stderr
    remark = {"kind": "pages_without_text", "document_id": name, "source": name, "found": [2, 3]}
    report = json.loads(done.stdout)
    assert (report["remarked"], report["remarks"]) == ({"pages_without_text": 1}, [remark])


def test_no_collection_is_made_of_documents_that_a_service_rejects(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": "1", "text": "x " * 200}))
    with serving(settings, max_characters=100) as served:
        search("ingest", tmp_path / "a.jsonl", "--url", served.url, status=1)
        assert served.searcher.collections.names() == []


def test_requests_are_as_large_as_the_service_takes(settings: Settings, tmp_path: Path, model_folder: Path) -> None:
    rows = [{"id": str(number), "text": f"Row {number}. " + "word " * 100} for number in range(100)]
    rows.append({"id": "long", "text": "word " * 20_000})
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tiny = {"embedder": {"model": str(model_folder / "embedder-mean")}, "reranker": {"kind": "none"}}
    with serving(settings.model_copy(update=tiny), max_body_mb=0.02, max_texts=10) as served:
        done = search("ingest", tmp_path / "a.jsonl", "--url", served.url)
        assert done.stdout.startswith("100 added, 0 changed, 0 unchanged, 1 rejected")
        assert "a.jsonl:101 (long): the request is larger than 0.02 MB; send it in parts" in done.stderr


class Flaky:
    """A client of which some requests fail."""

    def __init__(self, *failures: Exception | None) -> None:
        self.failures = list(failures)

    def delete(self, **options: Any) -> int:
        if failure := self.failures.pop(0):
            raise failure
        return 1


def test_a_busy_service_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    waits: list[str] = []
    client: Any = Flaky(ServiceOverloaded("busy", 3), ServiceOverloaded("busy", 500), None)
    assert remote.Remote(client, 60).delete(ids=["x"], on_wait=lambda failure, _: waits.append(str(failure))) == 1
    assert waits == ["busy", "busy"]
    assert 3 <= slept[0] < 4
    assert slept[1] == 30
    gone = ServiceUnreachable("gone")
    client = Flaky(gone)
    with pytest.raises(ServiceUnreachable):  # an address that leads nowhere is told at once
        remote.Remote(client, 60).delete(ids=["x"])
    client = Flaky(ServiceRefused("ends", 503), None)
    assert remote.Remote(client, 60).delete(ids=["x"]) == 1
    for failure in (ServiceRefused("a key is needed", 401), ServiceRefused("a proxy without a service", 502)):
        with pytest.raises(ServiceRefused):
            remote.Remote(cast("Any", Flaky(failure)), 60).delete(ids=["x"])
    patience = remote._Patience(60, None)
    client = Flaky(None, gone, ServiceRefused("a proxy without a service", 502), None)
    assert [patience.send(client.delete) for _ in range(2)] == [1, 1]
    client = Flaky(gone)
    hasty = remote._Patience(0, None)
    hasty.answered = True
    with pytest.raises(ServiceUnreachable):
        hasty.send(client.delete)


def test_a_service_that_ends_and_comes_back_in_the_middle(settings: Settings, tmp_path: Path) -> None:
    rows = [{"id": str(number), "text": f"Row {number}."} for number in range(200)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sent, back, waited = threading.Event(), threading.Event(), threading.Event()

    def documents() -> Iterator[Document]:
        for row in rows:
            if row["id"] == "130":
                sent.set()
                back.wait(60)
            yield Document(row["id"], row["text"])

    reports: list[Any] = []
    with serving(settings) as served:
        port = int(served.url.rpartition(":")[2])
        client = Client(served.url)
        working = threading.Thread(
            target=lambda: reports.append(remote.Remote(client, 60).ingest(documents(), on_wait=lambda *_: waited.set()))
        )
        working.start()
        assert sent.wait(60)
    back.set()
    assert waited.wait(60)
    with serving(settings, port=port) as served:
        working.join(60)
        assert reports[0].added == 200
        assert served.searcher.count() == 200
    client.close()


def test_a_document_that_was_refused_may_come_again(settings: Settings, tmp_path: Path) -> None:
    rows = [{"id": "x", "text": "word " * 100}, *({"id": str(number), "text": "Fine."} for number in range(70))]
    rows.append({"id": "x", "text": "Short."})
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with serving(settings, max_characters=100) as served:
        done = search("ingest", tmp_path / "a.jsonl", "--url", served.url)
        assert done.stdout.startswith("71 added, 0 changed, 0 unchanged, 1 rejected")
        assert served.searcher.get("x").text == "Short."
