"""What import-linter (pyproject.toml) does not see: what is loaded when, printed, read from the environment, and run."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "search").rglob("*.py"))


def test_every_error_stands_behind_its_kind() -> None:
    from search import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    tree = {kind.__name__: [one.__name__ for one in kinds if one.__base__ is kind] for kind in kinds}
    lines = (errors.__doc__ or "").partition(":\n\n")[2].replace("\n        ", " ").split("\n")
    told = {kind.strip(): ones.split(", ") for kind, _, ones in (line.partition(": ") for line in lines if line)}
    assert told == {kind: ones for kind, ones in tree.items() if ones}


def test_public_names() -> None:
    import search

    assert search.__all__ == [
        "Context",
        "Document",
        "Hit",
        "Rejection",
        "SearchError",
        "SearchResult",
        "Searcher",
        "Settings",
        "citations",
        "open_search",
        "read",
    ]
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
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.environ", "os.getenv"}
    }
    switches = {"system/caches.py", "system/telemetry.py"}  # of libraries, which read them while they are imported
    assert readers == {"settings/__init__.py"} | switches


def test_a_child_process_imports_nothing_from_the_working_folder() -> None:
    """Python puts it first on the path for -m and -c, and a stranger's `numpy.py` there would run; -P leaves it out."""
    commands = [
        (file, [ast.unparse(word) for word in node.elts])
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.List) and node.elts and ast.unparse(node.elts[0]) == "interpreter()"
    ]
    assert len(commands) >= 4
    assert [file.name for file in FILES if "sys.executable" in file.read_text()] == ["interpreter.py"]  # it may be another program
    assert [(file.name, words) for file, words in commands if words[1] not in {"'-P'", "'-I'"}] == []


def test_no_group_is_possessive_that_older_pythons_lose_their_way_in() -> None:
    """Before 3.11.5 one that tries several ways within may match too much, or nothing; these match alike in 3.11.2 and 3.11.7."""
    possessive = {
        file.relative_to(ROOT / "search").as_posix(): number
        for file in FILES
        if (number := len(re.findall(r"\)[*+?]\+", file.read_text())))
    }
    assert possessive == {
        "kinds.py": 2,
        "reading/lines.py": 1,
        "reading/manuals/__init__.py": 1,
        "reading/manuals/roff.py": 2,
        "reading/patterns.py": 1,
        "reading/separated.py": 1,
        "reading/webpages.py": 4,
    }
