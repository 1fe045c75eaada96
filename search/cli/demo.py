"""The command demo: the documentation of the Python that runs this, parsed from source, and ten questions about it."""

import ast
import inspect
import json
import platform
import shlex
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from search.cli.options import DataDir, load_settings
from search.cli.output import clip, hit_line, timings
from search.documents import Document, SearchResult, counted
from search.errors import SearchError
from search.searcher import Searcher, open_search
from search.system.files import replace_file
from search.system.terminal import show

if TYPE_CHECKING:
    from search.ingestion.report import Progress

_Node = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef  # what has a docstring

COLLECTION = "python-stdlib"
TOP = 3  # hits that are shown, and where the answer is expected
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


def demo(data_dir: DataDir = None) -> None:
    """Index the documentation of this Python's standard library and answer ten questions from it."""
    from search.cli.progress import ProgressReport

    show("Two-stage search over the documentation of this Python's standard library.", flush=True)
    answered = reranked = 0
    settings = load_settings(data_dir, COLLECTION).model_copy(update={"tenant_field": None, "tenant": None})
    with open_search(settings) as searcher:
        with ProgressReport("ingesting", "documents") as report:
            passages = prepare(searcher, lambda progress: report.update(progress.documents))
        show(f"{counted(passages, 'passage')} indexed in {searcher.settings.data_dir}", "")
        for number, question in enumerate(QUESTIONS, 1):
            result = searcher.search(question.text, limit=searcher.settings.depth)
            place = place_of_answer(question, result)
            answered += place is not None and place <= TOP
            reranked += result.reranked > 0
            print_question(number, question, result)
    show(f"{answered} of {len(QUESTIONS)} expected answers in the top {TOP}. Ask your own:")
    where = f" --data-dir {shlex.quote(str(data_dir))}" if data_dir else ""
    show(f'    search query "read a file line by line" --collection {COLLECTION}{where}')
    if not reranked and settings.reranker.kind != "none":
        show("No question was reranked; search doctor says what to mend.")
        raise typer.Exit(1)


def standard_library() -> Iterator[Document]:
    """Every public module, class and function of the standard library that has documentation; SearchError if there is no source."""
    root = _root()
    yielded = False
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        names = parts[:-1] if parts[-1] == "__init__" else parts
        if _LEFT_OUT.isdisjoint(parts) and not any(part.startswith(("_", "config-")) for part in names):
            for document in _documented(file, ".".join(names)):
                yielded = True
                yield document
    if not yielded:
        raise SearchError(f"this Python has no source in {root}; run the demo with another one")


def prepare(searcher: Searcher, on_progress: "Callable[[Progress], None]") -> int:
    """Ingest the standard library, unless this Python's is there already; give the number of passages."""
    from search.index.contract import CollectionSpec

    done = searcher.settings.data_dir / "demo.json"
    embedder = searcher.embedder
    spec = CollectionSpec(embedder.dimension, embedder.fingerprint, searcher.words.description)
    searcher.index.ensure(spec, create=True)

    def state() -> str:
        """What the collection holds, in words that change when it does."""
        chunking = searcher.settings.chunking.model_dump() | {"lexical": searcher.index.spec.lexical}
        python = platform.python_version(), str(_root())
        return json.dumps([searcher.index.location, searcher.index.count(), *python, embedder.fingerprint, chunking])

    if not done.is_file() or done.read_text() != state():
        searcher.ingest(standard_library(), on_progress=on_progress)
        done.parent.mkdir(parents=True, exist_ok=True)
        replace_file(done, state())
    return searcher.index.count()


def place_of_answer(question: Question, result: SearchResult) -> int | None:
    """The rank of the first hit that answers the question."""
    return next((hit.rank for hit in result.hits if question.answered_by(hit.document_id)), None)


def print_question(number: int, question: Question, result: SearchResult) -> None:
    """One question of the demo: the top hits before and after reranking, side by side; what was not reranked, and why."""
    before = sorted(result.hits, key=lambda hit: hit.retrieval_rank)
    place = place_of_answer(question, result)
    show(f"{number}. {question.text}")
    if result.reason:
        show(f"   {'partly' if result.reranked else 'not'} reranked: {result.reason}")
    show(f"   before reranking               score{'   after reranking                 score' if result.reranked else ''}")
    for left, right in zip(before[:TOP], result.hits[:TOP], strict=True):
        after = f"   {hit_line(right)}" if result.reranked else ""
        show(f"   {clip(left.document_id, 30):30} {left.first_stage_score:5.2f}{after}")
    show(f"   expected {' or '.join(question.answers)}: {f'at rank {place}' if place else 'not found'}; {timings(result)}", "")


def _root() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])


def _documented(file: Path, module: str) -> Iterator[Document]:
    try:
        tree = _parsed(file.read_bytes())
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


def _parsed(source: bytes) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the parser, about escapes in old sources
        try:
            return ast.parse(source)
        except SystemError:  # Python 3.11 counts how deep it is for all threads together, see python/cpython#106905
            return ast.parse(source)


def _nodes(node: _Node, name: str) -> Iterator[tuple[str, _Node]]:
    yield name, node
    if isinstance(node, ast.Module | ast.ClassDef):
        for inner in node.body:
            if isinstance(inner, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not inner.name.startswith("_"):
                yield from _nodes(inner, f"{name}.{inner.name}")


def _signature(name: str, node: ast.AST) -> str:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return f"{name}({', '.join(argument.arg for argument in node.args.args if argument.arg != 'self')})"
    return name
