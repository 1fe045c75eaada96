"""A command loads the libraries that it needs and no others, in a process of its own. What it costs: benchmarks/startup.py."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from search.documents import Document
from search.searcher import open_search
from search.settings import Settings

# What settings and the command line take, with what they bring along themselves.
SETTINGS = {"pydantic", "pydantic_core", "pydantic_settings", "annotated_types", "typing_inspection", "typing_extensions", "dotenv"}
SHELL = {"search", "typer", "annotated_doc", "shellingham"} | SETTINGS
EDGE = {"qdrant_edge", "numpy", "filelock"}
MODELS = {"onnxruntime", "tokenizers", "numpy"}
MEASURES = {"pytrec_eval", "pytrec_eval_ext", "scipy", "charset_normalizer", "rich"}  # what scipy brings along, too
PAGES = {"rich", "pygments", "markdown_it", "mdurl", "attr"}  # of help

FILTER = '{"must":[{"is_empty":{"key":"page"}}]}'

COMMANDS = [
    ("query When do cats sleep?", SHELL | EDGE | MODELS),
    ("query When do cats sleep? --no-rerank --json", SHELL | EDGE | MODELS),
    (f"query When do cats sleep? --filter {FILTER}", SHELL | EDGE | MODELS),
    ("context When do cats sleep?", SHELL | EDGE | MODELS),
    ("citations context.json", SHELL),
    ("rerank cats", SHELL | MODELS),
    ("ingest note.txt", SHELL | EDGE | MODELS | {"rich"}),
    ("collections list", SHELL | EDGE),
    ("collections info documents", SHELL | EDGE),
    (f'update {{"seen":true}} --filter {FILTER}', SHELL | EDGE | MODELS),
    (f"delete --filter {FILTER}", SHELL | EDGE | MODELS),
    ("models", SHELL),
    ("--help", SHELL | PAGES),
    ("evaluate judged.jsonl", SHELL | EDGE | MODELS | MEASURES),
    ("doctor", SHELL | EDGE | MODELS),
]
SCRIPT = """
import atexit, sys
start = set(sys.modules)
def tell():
    names = {name.partition(".")[0] for name in set(sys.modules) - start if getattr(sys.modules[name], "__file__", None)}
    names -= sys.stdlib_module_names
    print("loaded", *(name for name in names if not name.startswith("_")), file=sys.stderr)
atexit.register(tell)
from search.cli.app import main
main()
"""


@pytest.mark.parametrize(("line", "bound"), COMMANDS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_command_loads_no_library_that_it_does_not_need(line: str, bound: set[str], tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("Dogs sleep less than cats.\n")
    with open_search(Settings(data_dir=tmp_path / "data")) as searcher:
        searcher.ingest([Document(id="1", text="Cats sleep for most of the day."), Document(id="2", text="Dogs bark.")])
        made = searcher.search("cats", rerank=False).context()
    (tmp_path / "context.json").write_text(json.dumps(made.to_dict()))
    (tmp_path / "judged.jsonl").write_text('{"query": "cats", "relevant": ["1"]}\n')
    words = line.split()
    if words[0] in {"query", "context"}:
        words = [words[0], " ".join(words[1:5]), *words[5:]]
    if words[0] not in {"--help", "citations", "rerank", "models"}:
        words += ["--data-dir", str(tmp_path / "data")]
    command = [sys.executable, "-c", SCRIPT, *words]
    done = subprocess.run(command, cwd=tmp_path, input="cats\ndogs\n", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stderr.splitlines()[-1].split()[1:])
    assert "search" in loaded
    assert loaded <= bound, f"{line} loads {sorted(loaded - bound)}"
