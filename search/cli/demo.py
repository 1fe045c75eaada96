"""What does it do on real text? The documentation of the Python that runs this, parsed from source, and ten questions about it."""

import ast
import inspect
import json
import platform
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from search.documents import Document, SearchResult
from search.errors import SearchError
from search.searcher import Searcher

if TYPE_CHECKING:
    from search.ingestion.run import Progress

COLLECTION = "python-stdlib"
# Tests, applications, private parts, and distutils, which Python 3.12 removed.
_LEFT_OUT = {
    "distutils",
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "site-packages",
    "dist-packages",
    "turtledemo",
    "__pycache__",
    "ensurepip",
}


@dataclass(frozen=True)
class Question:
    """A question and where its answer is: names that the answer's id is, or begins with."""

    text: str
    answers: tuple[str, ...]

    def answered_by(self, document_id: str) -> bool:
        """Whether this is one of the expected answers."""
        return any(document_id == answer or document_id.startswith(f"{answer}.") for answer in self.answers)


QUESTIONS = (
    Question("parse a JSON document", ("json.loads", "json.load")),
    Question("compress data with gzip", ("gzip.compress", "gzip.open")),
    Question("run a function in a pool of processes", ("concurrent.futures", "multiprocessing.pool")),
    Question("temporary directory that is deleted afterwards", ("tempfile.TemporaryDirectory",)),
    Question("copy a directory tree", ("shutil.copytree",)),
    Question("difference between two lists of lines", ("difflib",)),
    Question("parse command line arguments", ("argparse.ArgumentParser",)),
    Question("cache the results of a function", ("functools.lru_cache", "functools.cache")),
    Question("send an email", ("smtplib", "email")),
    Question("bisect a sorted list to insert", ("bisect",)),
)


def standard_library() -> Iterator[Document]:
    """Every public module, class and function of the standard library that has documentation. Nothing is imported.

    Raises:
        SearchError: this Python comes without its source.
    """
    root = _root()
    found = False
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        names = parts[:-1] if parts[-1] == "__init__" else parts
        if _LEFT_OUT.isdisjoint(parts) and not any(part.startswith(("_", "config-")) for part in names):
            for document in _documented(file, ".".join(names)):
                found = True
                yield document
    if not found:
        message = f"this Python has no source in {root}; run the demo with another one"
        raise SearchError(message)


def prepare(searcher: Searcher, on_progress: "Callable[[Progress], None]") -> int:
    """Ingest the standard library, unless this Python's is there already; give the number of passages."""
    from search.index.contract import CollectionSpec

    done = searcher.settings.data_dir.expanduser() / "demo.json"
    embedder = searcher.embedder
    searcher.index.ensure(CollectionSpec(embedder.dimension, embedder.fingerprint), create=True)

    def state() -> str:
        """What the collection holds, in words that change when it does."""
        chunking = searcher.settings.chunking.model_dump()
        python = platform.python_version(), str(_root())
        return json.dumps([searcher.index.location, searcher.index.count(), *python, embedder.fingerprint, chunking])

    if not done.is_file() or done.read_text() != state():
        searcher.ingest(standard_library(), on_progress=on_progress)
        done.parent.mkdir(parents=True, exist_ok=True)
        done.write_text(state())
    return searcher.index.count()


def place_of_answer(question: Question, result: SearchResult) -> int | None:
    """The rank of the first hit that answers the question."""
    return next((hit.rank for hit in result.hits if question.answered_by(hit.document_id)), None)


def _root() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])


def _documented(file: Path, module: str) -> Iterator[Document]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the parser, about escapes in old sources
            tree = ast.parse(file.read_bytes())
    except (OSError, ValueError, SyntaxError):
        return  # a template or a file for another Python, not a module of this one
    seen: set[str] = set()
    for name, node in _nodes(tree, module):
        text = ast.get_docstring(node)
        if text and text.strip() and name not in seen:
            seen.add(name)
            kind = {ast.Module: "module", ast.ClassDef: "class"}.get(type(node), "function")
            metadata = {"module": module, "kind": kind, "line": getattr(node, "lineno", 1)}
            yield Document(id=name, text=inspect.cleandoc(text), title=_signature(name, node), metadata=metadata)


def _nodes(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, name: str
) -> Iterator[tuple[str, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
    yield name, node
    if isinstance(node, ast.Module | ast.ClassDef):
        for inner in node.body:
            if isinstance(inner, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not inner.name.startswith("_"):
                yield from _nodes(inner, f"{name}.{inner.name}")


def _signature(name: str, node: ast.AST) -> str:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return f"{name}({', '.join(argument.arg for argument in node.args.args if argument.arg != 'self')})"
    return name
