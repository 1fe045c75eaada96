r"""Does a cluster lose anything when a node is lost? Loses some on purpose, while a collection is written to and searched.

    .venv/bin/python scripts/cluster_drill.py http://node1:6333 http://node2:6333 http://node3:6333 \
        --names node1 node2 node3 --kill 'docker kill {name}' --start 'docker start {name}' \
        --stop 'docker pause {name}' --go-on 'docker unpause {name}' \
        --fill 'docker exec {name} sh -c "cat /dev/zero > storage/ballast || true"' --empty 'docker exec {name} rm storage/ballast'

The commands run in a shell here, with the name of a node in them ({number}, from 0 on, and {url} are known, too). For each drill a
collection of three shards and two replicas is filled by `search ingest`, and searched all the while; the loss comes with the first
passages in it, and is mended after some seconds. Then the same is ingested once more, and every node has to count all passages:

- a node: another one than the leader is killed, and started again;
- the leader: likewise;
- the writer: `search ingest` itself is killed, and run again;
- a stop: a node is stopped, so that it accepts connections and says nothing, and goes on again;
- a full disk: that of a node is filled, so that `search ingest` ends with an error, and emptied again.

The key is that of SEARCH_INDEX__API_KEY; it has to be one that may make collections. Exits with 1 if something was lost.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from search import SearchError, Settings, open_search
from search.index.server.connection import ServerClient, connect
from search.index.server.reserved import passages_only

SEARCH = Path(sys.executable).parent / "search"
DRILLS = ("a node", "the leader", "the writer", "a stop", "a full disk")
_EVERY_S = 0.05  # a search
_BEGUN_WITHIN_S = 60.0


class Row(NamedTuple):
    """What came of one drill."""

    drill: str
    lost: str  # which node, or the writer
    documents: str  # that `search ingest` wrote, and rejected, and how often it was run
    searches: int
    failed: int
    longest_ms: float
    counts: tuple[int, ...]  # passages, by node
    kept: bool


class Cluster:
    """The nodes, and how they are lost."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Keep the addresses and the commands."""
        self.options = options
        self.urls: list[str] = options.urls
        self.names: list[str] = options.names or [str(number) for number in range(len(self.urls))]
        self.key = os.environ.get("SEARCH_INDEX__API_KEY")

    def run(self, command: str, number: int) -> None:
        """Run one of the commands for a node."""
        named = command.format(name=self.names[number], number=number, url=self.urls[number])
        subprocess.run(named, shell=True, check=True, stdout=subprocess.DEVNULL)  # noqa: S602  # whoever calls this wrote it

    def asked(self, number: int) -> ServerClient:
        """A client of one node alone."""
        return connect(self.urls[number], api_key=self.key, timeout_s=5)

    def leader(self) -> int:
        """Which node leads the others."""
        peers, leader = {}, None
        for number in range(len(self.urls)):
            client = self.asked(number)
            told: Any = client.cluster_status()
            client.close()
            if told.status != "enabled":
                sys.exit(f"{self.urls[number]} is no node of a cluster")
            peers[told.peer_id], leader = number, told.raft_info.leader or leader
        return peers[leader] if leader in peers else sys.exit("the nodes that are named have no leader among them")

    def counts(self, collection: str) -> tuple[int, ...]:
        """How many passages each node counts; -1 for one that does not answer."""
        numbers = []
        for number in range(len(self.urls)):
            client = self.asked(number)
            try:
                numbers.append(client.count(collection, passages_only(None), exact=True).count)
            except Exception:  # whatever it is, it is looked at again
                numbers.append(-1)
            client.close()
        return tuple(numbers)


class Searching(threading.Thread):
    """Searches again and again, and notes what came of it."""

    def __init__(self, settings: Settings) -> None:
        """Prepare to search."""
        super().__init__(daemon=True)
        self._settings, self.ended = settings, threading.Event()
        self.took: list[float] = []
        self.errors: list[str] = []
        self.begun = threading.Event()  # there are passages

    def run(self) -> None:
        """Search until it is ended."""
        with open_search(self._settings) as searcher:
            while not self.ended.wait(_EVERY_S):
                started = time.monotonic()
                try:
                    hits = searcher.search("the harbour in winter", limit=5).hits
                except SearchError as error:
                    if self.begun.is_set():
                        self.errors.append(str(error))
                    continue
                if hits:
                    self.begun.set()
                if self.begun.is_set():
                    self.took.append(time.monotonic() - started)


def drilled(cluster: Cluster, drill: str, lose: Callable[[subprocess.Popen[str]], str], mend: Callable[[], None]) -> Row:
    """Fill a collection, lose something meanwhile, mend it, and count."""
    name = f"drill-{uuid.uuid4().hex[:8]}"
    environment = {
        **os.environ,
        "SEARCH_INDEX__ENGINE": "qdrant",
        "SEARCH_INDEX__URL": cluster.urls[0],
        "SEARCH_INDEX__URLS": json.dumps(cluster.urls[1:]),
        "SEARCH_INDEX__SHARDS": "3",
        "SEARCH_INDEX__REPLICAS": str(min(2, len(cluster.urls))),
        "SEARCH_COLLECTION": name,
    }
    index = {"engine": "qdrant", "url": cluster.urls[0], "urls": cluster.urls[1:], "api_key": cluster.key}
    searching = Searching(Settings(index=index, collection=name, reranker={"kind": "none"}))
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.jsonl"
        corpus.write_text(
            "\n".join(json.dumps({"id": str(n), "text": f"Ship {n} in harbour {n * 7}."}) for n in range(cluster.options.documents))
        )
        command: list[str | Path] = [SEARCH, "ingest", corpus, "--json", "--data-dir", folder]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
        searching.start()
        with subprocess.Popen(command, **pipes) as writer:  # noqa: S603
            searching.begun.wait(_BEGUN_WITHIN_S)
            lost = lose(writer)
            time.sleep(cluster.options.seconds)
            mend()
            writer.communicate()
        again = subprocess.run(command, check=False, **pipes)  # noqa: S603
    told = json.loads(again.stdout) if again.returncode == 0 else {}
    wanted, until = cluster.options.documents, time.monotonic() + cluster.options.settled
    while set(counts := cluster.counts(name)) != {wanted} and time.monotonic() < until:
        time.sleep(1)
    searching.ended.set()
    searching.join()
    with suppress(Exception):  # what is left is called drill-…
        client = connect(cluster.urls[0], urls=cluster.urls[1:], api_key=cluster.key)
        client.delete_collection(f"{name}.v1")
        client.close()
    if again.returncode:
        print(again.stderr, file=sys.stderr)
    for error in sorted(set(searching.errors)):
        print(f"{drill}: a search failed: {error}", file=sys.stderr)
    kept = set(counts) == {wanted} and not searching.errors and not told.get("rejected", 1)
    documents = f"{told.get('added', 0) + told.get('unchanged', 0)} of {wanted}, {told.get('rejected', '?')} rejected"
    longest = 1000 * max(searching.took, default=0.0)
    return Row(drill, lost, documents, len(searching.took), len(searching.errors), longest, counts, kept)


def drills(cluster: Cluster) -> list[Row]:
    """All of them that there are commands for."""
    options, rows = cluster.options, list[Row]()
    cluster.leader()  # or there is none to lose
    lost = [0]

    def losing(command: str, number: Callable[[], int]) -> Callable[[Any], str]:
        def lose(_: Any) -> str:
            lost[0] = number()
            cluster.run(command, lost[0])
            return cluster.names[lost[0]]

        return lose

    def kill(writer: subprocess.Popen[str]) -> str:
        writer.kill()
        return "the writer"

    def follower() -> int:
        return (cluster.leader() + 1) % len(cluster.urls)

    ways: dict[str, tuple[str | None, str | None, Callable[[], int]]] = {
        "a node": (options.kill, options.start, follower),
        "the leader": (options.kill, options.start, cluster.leader),
        "a stop": (options.stop, options.go_on, follower),
        "a full disk": (options.fill, options.empty, follower),
    }
    for drill in options.only or DRILLS:
        if drill == "the writer":
            rows.append(drilled(cluster, drill, kill, lambda: None))
            continue
        lose, mend, number = ways[drill]
        if lose and mend:
            rows.append(drilled(cluster, drill, losing(lose, number), partial(lambda mend: cluster.run(mend, lost[0]), mend)))
    return rows


def shown(rows: Sequence[Row]) -> str:
    """A table of them, in Markdown."""
    lines = [
        "| drill | lost | documents | searches | failed | longest, ms | passages by node | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        counts, verdict = " · ".join(map(str, row.counts)), "nothing lost" if row.kept else "LOST"
        cells = (row.drill, row.lost, row.documents, row.searches, row.failed, f"{row.longest_ms:.0f}", counts, verdict)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> None:
    """Drill, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("urls", nargs="+", metavar="URL", help="of the nodes")
    parser.add_argument("--names", nargs="*", help="of the nodes, for the commands; their numbers otherwise")
    parser.add_argument("--kill", help="the command that kills a node")
    parser.add_argument("--start", help="the command that starts it again")
    parser.add_argument("--stop", help="the command that stops a node without ending it")
    parser.add_argument("--go-on", help="the command that lets it go on")
    parser.add_argument("--fill", help="the command that fills a node's disk")
    parser.add_argument("--empty", help="the command that makes room on it again")
    parser.add_argument("--only", action="append", choices=DRILLS, help="one of the drills, or several, in place of all")
    parser.add_argument("--documents", type=int, default=2_000, help="in the collection (2000)")
    parser.add_argument("--seconds", type=float, default=8.0, help="that a node is gone (8)")
    parser.add_argument("--settled", type=float, default=120.0, help="seconds until all nodes have to count the same (120)")
    options = parser.parse_args()
    if options.names and len(options.names) != len(options.urls):
        parser.error("as many names as URLs")
    rows = drills(Cluster(options))
    print(shown(rows))
    sys.exit(0 if all(row.kept for row in rows) else 1)


if __name__ == "__main__":
    main()
