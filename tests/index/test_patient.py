"""A server that fails for a while costs time and nothing else; one that stays dead is not hammered."""

import random
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from commands import search
from held import contents, ingest
from qdrant_client import QdrantClient
from standin import Fault, QdrantStandIn
from theirs import fill
from upstream import everywhere

from search import Settings, open_search
from search.documents import Document
from search.embedding.dense import FastEmbedEmbedder
from search.errors import (
    IndexDenied,
    IndexFailure,
    IndexFaulted,
    IndexGarbled,
    IndexOverloaded,
    IndexRejected,
    IndexTimeout,
    IndexUnreachable,
)
from search.index.contract import CollectionSpec
from search.index.retrying import Attempts, Patience, PatientIndex
from search.index.server.connection import connect
from search.index.server.index import QdrantIndex

BRIEF = Patience(total_s=20, first_s=0.02, longest_s=0.1)
SPEC = CollectionSpec(2, "planted")
TRANSIENT = {
    "error": (Fault(500), IndexFaulted),
    "not ready": (Fault(503), IndexUnreachable),
    "gateway": (Fault(504), IndexTimeout),
    "busy": (Fault(429), IndexOverloaded),
    "busy, try later": (Fault(429, (("Retry-After", "1"),)), IndexOverloaded),
    "reset": (Fault(reset=True), IndexUnreachable),
    "answer cut off": (Fault(cut=True), IndexUnreachable),
    "a proxy's page": (Fault(200, body=b"<html>We will be back soon</html>"), IndexGarbled),
    "a proxy's own 404": (Fault(404, body=b"no such backend"), IndexGarbled),
    "redirect": (Fault(302, (("Location", "http://127.0.0.1:1/login"),), body=b""), IndexGarbled),
    "other JSON": (Fault(200, body=b'{"result": 5}'), IndexGarbled),
    "slow": (Fault(delay_s=1.5), IndexTimeout),
}
Waits = list[tuple[IndexFailure, float]]
Open = Callable[..., tuple[PatientIndex, Waits]]


@pytest.fixture
def open_patient(standin: QdrantStandIn) -> Iterator[Open]:
    opened: list[PatientIndex] = []

    def open_(patience: Patience, timeout_s: Any = 1) -> tuple[PatientIndex, Waits]:
        waits: Waits = []
        inner = QdrantIndex(connect(standin.url, timeout_s=timeout_s), "documents", standin.url)
        opened.append(PatientIndex(inner, Attempts(patience, lambda error, pause: waits.append((error, pause)))))
        return opened[-1], waits

    yield open_
    for index in opened:
        index.close()


@pytest.mark.parametrize("name", TRANSIENT)
def test_what_may_pass_is_waited_out(name: str, standin: QdrantStandIn, open_patient: Open) -> None:
    fault, kind = TRANSIENT[name]
    index, waits = open_patient(BRIEF)
    index.ensure(SPEC, create=True)
    standin.faults += [fault, fault]
    assert index.count() == 0
    assert [type(error) for error, _ in waits] == [kind, kind]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(400), IndexRejected),
        (Fault(401), IndexDenied),
        (Fault(200, (("Content-Encoding", "gzip"),), body=b"bomb"), IndexGarbled),
    ],
)
def test_what_will_not_pass_is_told_at_once(
    fault: Fault, kind: type[IndexFailure], standin: QdrantStandIn, open_patient: Open
) -> None:
    index, waits = open_patient(BRIEF)
    index.ensure(SPEC, create=True)
    standin.faults += [fault]
    with pytest.raises(kind):
        index.count()
    assert waits == []


def test_a_server_that_is_not_there_is_told_at_once() -> None:
    waits: Waits = []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    index = PatientIndex(
        QdrantIndex(connect(url), "documents", url), Attempts(BRIEF, lambda error, pause: waits.append((error, pause)))
    )
    with pytest.raises(IndexUnreachable):
        index.ensure(SPEC, create=True)
    assert waits == []
    index.close()


@pytest.mark.parametrize("name", ["not ready", "busy"])
def test_a_server_that_is_busy_is_there_and_waited_for_from_the_first_request_on(
    name: str, standin: QdrantStandIn, open_patient: Open
) -> None:
    fault, kind = TRANSIENT[name]
    index, waits = open_patient(BRIEF)
    standin.faults += [fault, Fault(reset=True), fault]
    index.ensure(SPEC, create=True)
    assert [type(error) for error, _ in waits] == [kind, IndexUnreachable, kind]


@pytest.mark.parametrize("command", ["adopt", "push", "reindex", "ingest", "update", "delete"])
def test_no_request_is_the_one_that_must_not_meet_a_busy_server(
    command: str, bundled_embedder: FastEmbedEmbedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.uniform", lambda *_: 0.01)
    cat = Document("cat", "A cat sleeps.")
    with open_search(Settings(data_dir=tmp_path)) as embedded:
        embedded.ingest([cat])
    with QdrantStandIn() as server:
        client = QdrantClient(url=server.url, check_compatibility=False)
        fill(client, bundled_embedder)
        client.close()
        with open_search(Settings(data_dir=tmp_path / "server", index=server.index)) as searcher:
            if command in {"reindex", "update", "delete"}:
                searcher.ingest([cat])
            server.turned_away = set()
            match command:
                case "adopt":
                    assert searcher.adopt("theirs").ingest.added == 10
                case "push":
                    pushed = search("push", "--data-dir", tmp_path, **cast(dict[str, Any], server.environment))
                    assert pushed.returncode == 0
                case "reindex":
                    assert searcher.reindex(check=False).switched
                case "ingest":
                    assert searcher.ingest([cat]).added == 1
                case "update":
                    assert searcher.update({"a": 1}, ids=["cat"]).changed == 1
                case _:
                    searcher.delete(ids=["cat"])
            assert len(server.turned_away) >= 5


def test_a_dead_server_is_given_up_and_not_hammered(standin: QdrantStandIn, open_patient: Open) -> None:
    index, waits = open_patient(Patience(total_s=1.0, first_s=0.1, longest_s=0.4))
    index.ensure(SPEC, create=True)
    standin.faults += [Fault(500)] * 1000
    started = time.monotonic()
    with pytest.raises(IndexFaulted):
        index.count()
    assert time.monotonic() - started < 1.5
    assert len(waits) == 1000 - len(standin.faults) - 1 < 60
    standin.faults.clear()
    hasty, waits = open_patient(Patience(total_s=0))
    hasty.ensure(SPEC, create=False)
    standin.faults += [Fault(500)]
    with pytest.raises(IndexFaulted):
        hasty.count()
    assert waits == []


def test_pauses_grow_to_a_bound(standin: QdrantStandIn, open_patient: Open) -> None:
    longest = [0.0] * 8
    for _ in range(20):
        index, waits = open_patient(Patience(total_s=60, first_s=0.001, longest_s=0.02))
        index.ensure(SPEC, create=True)
        standin.faults += [Fault(500)] * 8
        index.count()
        longest = [max(one) for one in zip(longest, (pause for _, pause in waits), strict=True)]
    bounds = [min(0.001 * 2**failures, 0.02) for failures in range(8)]
    assert all(bound / 2 < pause <= bound for pause, bound in zip(longest, bounds, strict=True))


def test_a_server_is_waited_for_as_long_as_it_asks_within_bounds(standin: QdrantStandIn, open_patient: Open) -> None:
    index, waits = open_patient(Patience(total_s=20, first_s=0.01, longest_s=5))
    index.ensure(SPEC, create=True)
    standin.faults += [Fault(429, (("Retry-After", "1"),))]
    index.count()
    assert waits[0][1] == 1.0
    index, waits = open_patient(Patience(total_s=20, first_s=0.01, longest_s=0.2))
    index.ensure(SPEC, create=False)
    standin.faults += [Fault(429, (("Retry-After", "86400"),))]
    index.count()
    assert waits[0][1] == 0.2


@pytest.mark.parametrize("seed", range(3))
@everywhere
def test_an_ingestion_over_a_faulty_server_loses_nothing_and_writes_nothing_twice(
    seed: int, standin: QdrantStandIn, quick_embedder: FastEmbedEmbedder, open_patient: Open
) -> None:
    draw = random.Random(seed)  # noqa: S311  # no secret
    old = [Document(id=str(i), text=f"Text {i}. " + "A sentence. " * (i * 7 % 60)) for i in range(30)]
    new = [Document(id=d.id, text=f"New {d.text}" if int(d.id) % 3 else d.text) for d in old]
    clean = QdrantIndex(connect(standin.url), "clean", standin.url)
    for version in (old, new):
        ingest(clean, quick_embedder, version)
    index, waits = open_patient(BRIEF, 0.3)
    faults = [fault._replace(delay_s=fault.delay_s and 0.4) for fault, _ in TRANSIENT.values()]
    for version in (old, new):
        first = 9 if version is old else 4  # requests that open the collection, which are not repeated
        standin.faults += [Fault()] * first + [draw.choice(faults) if draw.random() < 0.5 else Fault() for _ in range(20)]
        ingest(index, quick_embedder, version)
        standin.faults.clear()
    assert waits
    assert contents(index) == contents(clean)
    clean.close()
