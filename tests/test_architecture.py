"""The house stands as ARCHITECTURE.md draws it: imports point one way, heavy libraries stay behind their borders."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "search").rglob("*.py"))

# Each part may import from parts above it and from those beside it in its own row.
ROWS = (
    {"errors", "system", "network"},
    {"documents", "settings"},
    {"models", "inference", "reading"},
    {"embedding", "index", "reranking"},
    {"query"},
    {"ingestion", "evaluation", "export"},
    {"factory"},
    {"searcher", "parts", "client"},
    {"api", "mcp_server"},
    {"cli"},
)
BORDERS = {
    "qdrant_client": {
        *("index/filters.py", "index/server/connection.py", "index/server/index.py"),
        *("index/server/collections.py", "index/server/errors.py", "index/server/conversion.py"),
    },
    "qdrant_edge": {"index/edge/index.py", "index/edge/shard.py", "index/edge/conversion.py"},
    "onnxruntime": {"inference/runtime.py", "inference/session.py"},
    "fastembed": {"embedding/dense.py", "reranking/cross_encoder.py"},
    "onnx": {"export/graph.py", "export/bert.py", "export/decoder.py", "export/precision.py"},
    "safetensors": {"export/checkpoint.py"},
    "huggingface_hub": {"export/hub.py"},
    "httpx": {
        "client.py",
        "network/transport.py",
        "index/server/connection.py",
        "index/server/errors.py",
        "index/server/transport.py",
        "reranking/chat.py",
    },
    "httpcore": {"network/transport.py"},
    "pytrec_eval": {"evaluation/measures.py"},
    "scipy": {"evaluation/calibration.py", "evaluation/statistics.py"},
    "matplotlib": {"evaluation/charts.py"},
    "jinja2": {"evaluation/report.py"},
    **{key: set() for key in ("bm25s", "torch", "transformers", "sentence_transformers", "datasets")},
    "fastapi": {
        *("api/app.py", "api/parsing.py"),
        *(f"api/routes/{name}.py" for name in ("collections", "documents", "page", "rerank", "search")),
    },
    "uvicorn": {"api/server.py"},
    "mcp": {"mcp_server.py"},
    "opentelemetry": {"api/traces.py"},
    "prometheus_client": {"api/metrics.py"},
    "rich": {"cli/progress.py"},
    "typer": {
        *(
            f"cli/{name}.py"
            for name in ("app", "collections", "doctor", "evaluate", "ingest", "models", "options", "query", "serve")
        )
    },
    "markdown_it": {"reading/structure.py"},
    "charset_normalizer": {"reading/text.py"},
    "bs4": {"reading/pages.py"},
    "markdownify": {"reading/pages.py"},
    "mammoth": {"reading/pages.py"},
    "pypdf": {"reading/pages.py"},
    "pyarrow": {"reading/tables.py"},
}


def imported(tree: ast.AST) -> set[str]:
    """Dotted names that a file imports, those for type checkers alone left out."""
    names: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        else:
            names |= imported(node)
    return names


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_one_way(file: Path) -> None:
    name = file.relative_to(ROOT / "search").as_posix()
    part = name.split("/")[0].removesuffix(".py")
    names = imported(ast.parse(file.read_text()))
    for library, homes in BORDERS.items():
        if any(imported_name.split(".")[0] == library for imported_name in names):
            assert name in homes, f"{library} is imported in {name}, but belongs in {homes}"
    if part == "__init__":
        return
    row = next(number for number, parts in enumerate(ROWS) if part in parts)
    allowed = {above for parts in ROWS[: row + 1] for above in parts}
    inside = {imported_name.split(".")[1] for imported_name in names if imported_name.startswith("search.")}
    assert inside <= allowed, f"{name} imports {inside - allowed}, which stands below it"


def test_public_names() -> None:
    import search

    assert search.__all__ == ["Document", "Hit", "Rejection", "SearchError", "SearchResult", "Searcher", "Settings", "open_search"]
    assert all(hasattr(search, name) for name in search.__all__)


@pytest.mark.parametrize("code", ["import search", "from search import *; open_search(Settings(data_dir='nowhere')).close()"])
def test_importing_and_opening_load_nothing_heavy(code: str) -> None:
    heavy = {"onnxruntime", "fastembed", "qdrant_client", "qdrant_edge", "tokenizers", "numpy", "grpc", "httpx"}
    script = f"{code}\nimport sys\nprint(*({heavy} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []


def test_searching_an_embedded_collection_never_loads_the_server_client(tmp_path: Path) -> None:
    script = f"""
import sys
from search import Document, Settings, open_search
with open_search(Settings(data_dir={str(tmp_path)!r})) as searcher:
    searcher.ingest([Document(id="1", text="The cat sat on the mat.")])
    assert searcher.search("cat").rerank_status == "full"
print(*({{"qdrant_client", "grpc"}} & set(sys.modules)))
"""
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []


def test_all_that_is_printed_goes_through_one_door() -> None:
    """Which leaves nothing in it that a terminal obeys."""
    printing = {
        file.relative_to(ROOT / "search").as_posix()
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"print", "typer.echo", "sys.stderr.write", "sys.stdout.write"}
    }
    assert printing == {"system/terminal.py", "cli/options.py"}


def test_only_settings_reads_the_environment() -> None:
    readers = {
        file.relative_to(ROOT / "search").as_posix()
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if ast.unparse(node) in {"os.environ", "os.getenv"}
    }
    assert readers == {"settings/__init__.py", "system/telemetry.py"}


def test_a_child_process_imports_nothing_from_the_working_folder() -> None:
    """Python puts it first on the path for -m and -c, and a stranger's `numpy.py` there would run; -P leaves it out."""
    commands = [
        (file, [ast.unparse(word) for word in node.elts])
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.List) and node.elts and ast.unparse(node.elts[0]) == "sys.executable"
    ]
    assert len(commands) >= 2
    assert [(file.name, words) for file, words in commands if words[1] not in {"'-P'", "'-I'"}] == []
