"""The drill of a cluster, over a stand-in whose nodes are lost and stopped by commands: files that they make and remove."""

import io
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cluster_drill
import pytest
from standin import QdrantStandIn


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[QdrantStandIn]:
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.01):
            server.lost = {node for node in range(3) if (tmp_path / f"killed-{node}").exists()}
            server.stopped = {node for node in range(3) if (tmp_path / f"stopped-{node}").exists()}

    with QdrantStandIn(nodes=3) as server:
        looking = threading.Thread(target=look)
        looking.start()
        yield server
        ended.set()
        looking.join()


def drill(server: QdrantStandIn, *options: str) -> tuple[object, list[list[str]], str]:
    """The exit status, or what is said instead; the rows of the table without the head, and stderr."""
    command = ["cluster_drill.py", *server.urls, "--documents", "150", "--seconds", "1", *options]
    output, errors = io.StringIO(), io.StringIO()
    with patch.object(sys, "argv", command), redirect_stdout(output), redirect_stderr(errors), pytest.raises(SystemExit) as ended:
        cluster_drill.main()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in output.getvalue().splitlines()]
    return ended.value.code, rows[2:], errors.getvalue()


@pytest.mark.timeout(300)
def test_nothing_is_lost_with_a_node_a_leader_or_a_writer(cluster: QdrantStandIn, tmp_path: Path, in_full: bool) -> None:  # noqa: FBT001
    """Each is lost in a full run, else the writer and a node that hangs, which is the longest way there is to lose one."""
    kill, start, stop, go_on = (
        f"{what} {tmp_path}/{loss}-{{number}}" for loss in ("killed", "stopped") for what in ("touch", "rm")
    )
    killing = ("--kill", kill, "--start", start) if in_full else ()
    status, rows, told = drill(cluster, *killing, "--stop", stop, "--go-on", go_on, "--names", "a", "b", "c")
    losses = [["a node", "b"], ["the leader", "a"]] if in_full else []
    assert (status, [row[:2] for row in rows]) == (0, [*losses, ["the writer", "the writer"], ["a stop", "b"]]), told
    for row in rows:
        assert row[2] == "150 of 150, 0 rejected"
        assert int(row[3]) > 5
        assert row[4] == "0"
        assert row[6:] == ["150 · 150 · 150", "nothing lost"]
    assert not cluster._client.get_collections().collections  # it leaves nothing behind


@pytest.mark.timeout(200)
def test_a_full_disk_ends_the_ingestion_and_loses_nothing(cluster: QdrantStandIn, tmp_path: Path) -> None:
    answer, refused, taken, was_full = cluster.answer, [0], set[str](), [False]

    def full(method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if (method, path.endswith("/points")) != ("PUT", True):
            return answer(method, path, body)
        until = time.monotonic() + 3
        while path in taken and not was_full[0] and len(body["points"]) > 1 and time.monotonic() < until:
            time.sleep(0.01)  # so that the writer is not done before
            was_full[0] |= (tmp_path / "full-1").exists()
        if (tmp_path / "full-1").exists():
            refused[0] += 1
            return 500, "Service internal error: IO Error: No space left on device (os error 28)"
        if len(body["points"]) > 1:
            taken.add(path)
        return answer(method, path, body)

    cluster.answer = full  # type: ignore[method-assign]
    fill, empty = (f"{what} {tmp_path}/full-{{number}}" for what in ("touch", "rm"))
    status, rows, told = drill(cluster, "--only", "a full disk", "--fill", fill, "--empty", empty)
    assert (status, [row[:2] for row in rows]) == (0, [["a full disk", "1"]]), told
    assert rows[0][2] == "150 of 150, 0 rejected"
    assert rows[0][6:] == ["150 · 150 · 150", "nothing lost"]
    assert 0 < refused[0] <= 4  # it is not waited for


@pytest.mark.timeout(200)
def test_what_is_lost_is_told(cluster: QdrantStandIn) -> None:
    answer = cluster.answer

    def forgetful(method: str, path: str, body: dict[str, object]) -> tuple[int, object]:
        status, told = answer(method, path, body)
        if path.endswith("/points/count") and cluster.node == 2 and isinstance(told, dict):
            told = {"count": told["count"] - 1}
        return status, told

    cluster.answer = forgetful  # type: ignore[method-assign]
    status, rows, _ = drill(cluster, "--settled", "2")
    assert (status, [row[0] for row in rows]) == (1, ["the writer"])
    assert rows[0][6:] == ["150 · 150 · 149", "LOST"]


def test_what_cannot_be_drilled_is_told(standin: QdrantStandIn) -> None:
    assert drill(standin, "--names", "a", "b")[0] == 2
    told, _, _ = drill(standin, "--kill", "true", "--start", "true")
    assert f"{standin.url} is no node of a cluster" == told  # which is an exit status of 1, and said on stderr
