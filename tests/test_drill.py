"""The drill of a cluster, over a stand-in whose nodes are lost and stopped by commands: files that they make and remove."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from standin import QdrantStandIn

SCRIPT = Path(__file__).parents[1] / "scripts/cluster_drill.py"


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


def drill(server: QdrantStandIn, folder: Path, *options: str) -> tuple[int, list[list[str]], str]:
    """The exit status, the rows of the table without the head, and stderr."""
    command = [sys.executable, str(SCRIPT), *server.urls, "--documents", "150", "--seconds", "1", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()]
    return done.returncode, rows[2:], done.stderr


@pytest.mark.timeout(300)
def test_nothing_is_lost_with_a_node_a_leader_or_a_writer(cluster: QdrantStandIn, tmp_path: Path, in_full: bool) -> None:  # noqa: FBT001
    """Each is lost in a full run, else the writer and a node that hangs, which is the longest way there is to lose one."""
    kill, start, stop, go_on = (
        f"{what} {tmp_path}/{loss}-{{number}}" for loss in ("killed", "stopped") for what in ("touch", "rm")
    )
    killing = ("--kill", kill, "--start", start) if in_full else ()
    status, rows, told = drill(cluster, tmp_path, *killing, "--stop", stop, "--go-on", go_on, "--names", "a", "b", "c")
    losses = [["a node", "b"], ["the leader", "a"]] if in_full else []
    assert (status, [row[:2] for row in rows]) == (0, [*losses, ["the writer", "the writer"], ["a stop", "b"]]), told
    for row in rows:
        assert row[2] == "150 of 150, 0 rejected"
        assert int(row[3]) > 5
        assert row[4] == "0"
        assert row[6:] == ["150 · 150 · 150", "nothing lost"]
    assert not cluster._client.get_collections().collections  # it leaves nothing behind


@pytest.mark.timeout(200)
def test_what_is_lost_is_told(cluster: QdrantStandIn, tmp_path: Path) -> None:
    answer = cluster.answer

    def forgetful(method: str, path: str, body: dict[str, object]) -> tuple[int, object]:
        status, told = answer(method, path, body)
        if path.endswith("/points/count") and cluster.node == 2 and isinstance(told, dict):
            told = {"count": told["count"] - 1}
        return status, told

    cluster.answer = forgetful  # type: ignore[method-assign]
    status, rows, _ = drill(cluster, tmp_path, "--settled", "2")
    assert (status, [row[0] for row in rows]) == (1, ["the writer"])
    assert rows[0][6:] == ["150 · 150 · 149", "LOST"]


def test_what_cannot_be_drilled_is_told(standin: QdrantStandIn, tmp_path: Path) -> None:
    assert drill(standin, tmp_path, "--names", "a", "b")[0] == 2
    status, _, told = drill(standin, tmp_path, "--kill", "true", "--start", "true")
    assert status == 1
    assert f"{standin.url} is no node of a cluster" in told
