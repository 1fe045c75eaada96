"""The process that tests/test_model.py asks and kills: one searcher, a command a line on standard input, an answer a line.

It counts what it does to disk and engine, and kills itself, or the engine's process, at the step it is reply to.
"""

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from forked import OF_ENGINES, engines_forked, ready

from search import Document, Searcher, SearchError, Settings
from search.documents import SparseVector
from search.embedding.dense import FastEmbedEmbedder
from search.errors import CollectionNotFound
from search.index import retrying
from search.index.contract import Point, Record, VectorIndex
from search.index.edge.process import EdgeProcess
from search.index.edge.shard import OpenShard
from search.index.server import lease
from search.ingestion.embedding import with_words
from search.ingestion.reindexing import lead
from search.ingestion.restoring import documents
from search.settings import EdgeSettings

# A killed writer is given up after a moment here, not after twelve seconds.
lease._RENEWED_EVERY_S, lease._DEAD_AFTER_S = 0.2, 0.8
lease._LOOKED_AT_EVERY_S, lease._SETTLED_AFTER_S = 0.05, 0.01

# A server that fails is waited for a tenth of the time.
vars(retrying)["time"] = SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: time.sleep(seconds / 10))

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "shutil.copytree"}


class Steps:
    """Counts the steps of a command, and kills this process, or the engine's, at one of them."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._fatal: int | None = None
        self._child = False
        self.taken = 0  # by the command under way
        self.engine: EdgeProcess | None = None

    def begin(self, fatal: int | None, *, child: bool) -> None:
        self.taken, self._fatal, self._child = 0, fatal, child

    def step(self) -> None:
        self.taken += 1
        if self.taken == self._fatal:
            child = self.engine._child if self._child and self.engine else None
            os.kill(child[0].pid if child else os.getpid(), signal.SIGKILL)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not arguments or not str(arguments[0]).startswith(self._folder):
            return
        if event in _CHANGES or (event == "open" and arguments[2] & _WRITES):
            self.step()


def count_steps(steps: Steps) -> None:
    """Before and after everything the engine does, and before everything that changes a file."""
    use, call = OpenShard.use, EdgeProcess.call

    @contextlib.contextmanager
    def counted_use(self: OpenShard) -> Iterator[Any]:
        steps.step()
        with use(self) as shard:
            yield shard
        steps.step()

    def counted_call(self: EdgeProcess, name: str, *arguments: Any) -> Any:
        steps.engine = self
        steps.step()
        answer = call(self, name, *arguments)
        steps.step()
        return answer

    OpenShard.use = counted_use  # type: ignore[method-assign]
    EdgeProcess.call = counted_call  # type: ignore[method-assign]
    sys.addaudithook(steps.audit)


def answer(searcher: Searcher, command: dict[str, Any]) -> Any:
    """Carry a command out."""
    here = searcher.beside(command.get("name", searcher.settings.collection))
    chosen = {key: command[key] for key in ("ids", "filter") if key in command}
    match command["do"]:
        case "ingest":
            given = [Document(**document) for document in command["documents"]]
            return here.ingest(given, sync=command["sync"], max_delete=command["max_delete"]).to_dict()
        case "update":
            return here.update(command["metadata"], **chosen).to_dict()
        case "delete":
            return here.delete(**chosen)
        case "reindex":
            chunking = {"tokens": command["tokens"], "overlap": 0}
            wanted = searcher.settings.model_copy(update={"chunking": Settings(chunking=chunking).chunking})
            return searcher.reindex(wanted, check=False).new
        case "roll_back":
            return searcher.roll_back()
        case "lead":
            lead(searcher.collections, command["alias"], command["to"])
            searcher.follow(command["alias"])
            return None
        case "drop":
            return searcher.collections.drop(command["collection"])
        case "search":
            result = here.search(command["query"], limit=1000, depth=1000, filter=command.get("filter"))
            return [[hit.document_id, hit.text, hit.start, dict(hit.metadata)] for hit in result.hits]
        case "count":
            return here.count(command.get("filter"))
        case "state":
            return state(searcher)
        case _:
            raise ValueError(command)


def state(searcher: Searcher) -> dict[str, Any]:
    """Where names lead, and all that is stored under each of them."""
    engine = searcher.collections
    aliases, names = engine.aliases(), engine.names()
    contents = {}
    for name in {searcher.settings.collection, *aliases}:
        try:
            index = searcher.beside(name).opened()
        except CollectionNotFound:
            continue
        whole, partial = {}, []
        for item in documents(index):
            if isinstance(item, Document):
                whole[item.id] = [item.text, item.title, dict(item.metadata)]
            else:
                partial.append(item.document_id)
        records = list(index.scroll(vectors=True))
        revisions = {(record.payload["document_id"], record.payload["revision"]) for record in records}
        contents[name] = {
            "documents": whole,
            "partial": partial,
            "versions": len(revisions),
            "misworded": misworded(index, records),
        }
    leads = {name: aliases.get(name, name) for name in contents}
    return {"leads": leads, "names": names, "contents": contents}


def misworded(index: VectorIndex, records: Sequence[Record]) -> list[str]:
    """The documents with a passage whose sparse vector is not that of its words."""
    points = [Point(record.id, record.vector, record.payload) for record in records if record.vector is not None]
    assert len(points) == len(records)
    wanted = with_words(points, index.spec.lexical)
    return [
        str(point.payload["document_id"])
        for point, record in zip(wanted, records, strict=True)
        if rounded(point.lexical) != rounded(record.lexical)
    ]


def rounded(vector: SparseVector | None) -> dict[int, float] | None:
    return vector and {index: round(value, 4) for index, value in zip(*vector, strict=True)}


def serve(settings: Settings) -> None:
    """Answer commands until reply to close, or killed."""
    steps = Steps(str(settings.data_dir))
    count_steps(steps)
    with Searcher(settings) as searcher:
        print(json.dumps({"ready": os.getpid()}), flush=True)
        while (command := json.loads(sys.stdin.readline() or '{"do": "close"}'))["do"] != "close":
            steps.begin(command.get("kill_at"), child=command.get("kill_child", False))
            try:
                reply = {"answer": answer(searcher, command)}
            except SearchError as error:
                reply = {"error": type(error).__name__, "message": str(error)}
            except Exception as error:
                reply = {"error": f"traceback of {type(error).__name__}", "message": traceback.format_exc()}
            print(json.dumps(reply | {"steps": steps.taken}), flush=True)
        steps.begin(None, child=False)  # what it was to be killed at did not come; closing is no part of it


@cache
def loaded(model: str) -> FastEmbedEmbedder:
    """With one thread and no pool, so that it outlives a fork, unlike others, which would say that they are the parent's."""
    with patch("search.embedding.dense.watch"), patch("search.inference.session.watch"):
        return FastEmbedEmbedder(model, device="cpu", threads=1, cache=Path())


def main() -> None:
    """A process for each line of settings, one after the other; it begins with everything imported, which takes a second."""
    import qdrant_client  # noqa: F401

    import search.index.edge.index
    import search.index.filters
    import search.index.server.collections
    import search.ingestion.chunking
    import search.query.service  # noqa: F401

    with patch("search.searcher.build_embedder", lambda settings: loaded(settings.embedder.model)), engines_forked():
        for line in iter(sys.stdin.readline, ""):
            settings = Settings(**json.loads(line))
            loaded(settings.embedder.model)
            if isinstance(settings.index, EdgeSettings) and settings.index.own_process:
                ready(OF_ENGINES)
            if (child := os.fork()) == 0:
                serve(settings)
                os._exit(0)  # without the ends of threads that a fork leaves behind
            _, status = os.waitpid(child, 0)
            print(json.dumps({"ended": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    main()
