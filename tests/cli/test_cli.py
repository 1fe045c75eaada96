"""The command as a user meets it: data on stdout, one clear line for an error, honest exit statuses."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer.main
from chatting import Answer, ChatStandIn
from commands import COMMAND, as_json, error, one_line, search, search_apart, wrong
from judged import CORPUS, QRELS, QUERIES, lines, write
from standin import QdrantStandIn
from tiny import BUNDLED

import search as library
from search.cli import collections
from search.cli.app import app
from search.cli.output import excerpt
from search.evaluation.datasets import load_dataset
from search.index.edge.index import EdgeIndex
from search.models import manifest
from search.system.extras import _EXTRAS

COMMANDS = [
    *("demo", "ingest", "delete", "query", "context", "citations", "rerank", "evaluate", "explain", "calibrate"),
    *("dedupe", "reindex", "push", "export", "models", "settings", "doctor", "collections"),
]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "cats.md").write_text("# Cats\n\nCats sleep most of the day.")
    (folder / "dogs.txt").write_text("Dogs bark at strangers.")
    (folder / "broken.txt").write_bytes(b"\0")
    lines = [{"id": "paris", "text": "Paris is the capital of France.", "metadata": {"year": 508}}, {"id": "x"}]
    (folder / "more.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


def test_ingest_and_query(notes: Path, tmp_path: Path) -> None:
    where = ("--data-dir", tmp_path / "data")
    done = search("ingest", notes, *where)
    assert done.stdout.startswith("3 added, 0 changed, 0 unchanged, 2 rejected; 3 passages written in ")
    assert "rejected notes/broken.txt: not text: it holds zero bytes; name the --encoding if it is text\n" in done.stderr
    assert "rejected notes/more.jsonl:2 (x): there is no text\n" in done.stderr
    again = as_json("ingest", notes, *where)
    assert (again["unchanged"], again["rejected"], len(again["rejections"])) == (3, 2, 2)

    found = as_json("query", "Where is the French capital?", "--limit", 2, *where)
    assert found["hits"][0]["document_id"] == "paris"
    assert len(found["hits"]) == 2
    assert (found["rerank_status"], found["hits"][0]["rank"]) == ("full", 1)
    filtered = as_json("query", "x", "--filter", '{"must": [{"key": "metadata.year", "range": {"lt": 600}}]}', *where)
    assert [hit["document_id"] for hit in filtered["hits"]] == ["paris"]
    assert "\n           year: 508\n" in search("query", "capital", "--no-rerank", *where).stdout
    assert as_json("query", "x", "--no-rerank", *where)["rerank_status"] == "skipped"
    assert as_json("query", "x", "--budget-ms", "0.001", *where)["reason"].startswith("the time budget was spent")

    (notes / "twice.jsonl").write_text('{"id": "paris", "text": "Again."}\n')
    (notes / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    warned = search("ingest", notes, *where).stderr
    assert "rejected notes/twice.jsonl:1 (paris): the id stands twice in this run" in warned
    left_out = (
        f"left out 1 file (1 .png), such as {notes / 'photo.png'}: without a text, links to folders, or named by an ignore file"
    )
    assert f"{left_out} or a pattern" in warned
    shown = search("query", "Where is the French capital?", *where).stdout
    assert "  1        paris\n" in shown
    assert "Paris is the capital of France." in shown
    assert "reranking: full, order: 0.35 z(reranker) + 0.65 z(retrieval); embed " in shown
    other = ("--collection", "other", *where)
    search("ingest", "-", *other, stdin='{"id": "1", "text": "From standard input."}\n')
    assert [hit["document_id"] for hit in as_json("query", "input", *other)["hits"]] == ["1"]


def test_commands_take_what_a_search_takes(tmp_path: Path) -> None:
    where = ("--data-dir", tmp_path)
    documents = ({"id": "long", "text": "The pump hums, and nobody hears it. " * 60}, {"id": "short", "text": "A pump."})
    search("ingest", "-", *where, stdin="\n".join(map(json.dumps, documents)))
    merged, grouped = (as_json("context", "pump", *options, *where)["sources"] for options in ((), ("--group-by", "document")))
    assert sorted(len(one["chunk_ids"]) for one in grouped) == [1, 1] < sorted(len(one["chunk_ids"]) for one in merged)
    assert as_json("context", "pump", "--budget-ms", 0.001, *where)["rerank_status"] == "skipped"
    for command in ("query", "explain"):
        told = as_json(command, "pump", "--lexical-share", 0.9, *where)
        assert told["retrieval_ranking"].startswith("0.9 z(words)")
    (warned,) = as_json("context", "pump", "--lexical-share", 0.9, "--retrieval", "dense", "--no-rerank", *where)["warnings"]
    assert warned.startswith("lexical_share counts for nothing")


def test_the_first_line_says_why_nothing_is_found(notes: Path, tmp_path: Path) -> None:
    where = ("--data-dir", tmp_path / "data")
    search("ingest", notes, *where)

    def first(*command: object) -> str:
        return search(*command, *where).stdout.splitlines()[0]

    high = ("capital", "--min-score", "1")
    assert first("query", *high).startswith("No hit reached --min-score 1; the best one has 0.")
    assert first("query", *high, "--group-by", "document").startswith("No hit reached --min-score 1; the best one has 0.")
    assert as_json("query", *high, *where)["empty_because"].startswith("no hit reached min_score 1; the best one has 0.")
    absent = ("--filter", '{"must": [{"key": "document_id", "match": {"value": "nobody"}}]}')
    for command in ("query", "explain"):
        assert first(command, "capital", *absent).startswith("The filter excludes all of ")
        assert first(command, "zyzzyva", "--retrieval", "lexical").startswith("No passage has a word of the query; ")
    told = search("context", "capital", *absent, *where).stderr.splitlines()
    assert told[0].startswith("The filter excludes all of ")
    assert as_json("context", *high, *where)["empty_because"].startswith("no hit reached min_score 1")
    search("delete", *{hit["document_id"] for hit in as_json("query", "capital", "--limit", 50, *where)["hits"]}, *where)
    empty = "The collection 'documents' is empty: ingest documents first, as with `search ingest`"
    shown = search("query", "capital", *where).stdout
    assert shown.splitlines()[0] == empty
    assert shown.count("empty") == 1
    assert first("explain", "capital") == empty


def test_a_service_over_a_server_by_environment_alone(notes: Path) -> None:
    with QdrantStandIn(api_key="s3cret") as server:
        settings = {"SEARCH_INDEX__ENGINE": "qdrant", "SEARCH_INDEX__URL": server.url, "SEARCH_INDEX__API_KEY": "s3cret"}
        search("ingest", notes, status=0, **settings)
        assert as_json("query", "Where is the French capital?", **settings)["hits"][0]["document_id"] == "paris"
        assert "did not accept the API key" in error("query", "x", **(settings | {"SEARCH_INDEX__API_KEY": "other"}))
    assert "cannot be reached" in error("query", "x", **settings)


def test_errors_are_one_line(tmp_path: Path) -> None:
    where = ("--data-dir", tmp_path / "data")
    assert "`search ingest` makes one" in error("query", "cat", *where)
    assert not (tmp_path / "data").exists()
    assert "limit is 0" in wrong("query", "cat", "--limit", 0, *where)
    assert "depth 3 is less than limit 5" in wrong("query", "cat", "--limit", 5, "--depth", 3, *where)
    assert "the query is empty" in wrong("query", " ", *where)
    assert "the filter is not JSON" in wrong("query", "cat", "--filter", "year=3", *where)
    assert "does not exist" in error("ingest", tmp_path / "absent", *where)
    assert "invalid settings: collection" in wrong("query", "cat", "--collection", "../x", *where)
    assert "no embedder is called 'nobody'" in error("query", "cat", *where, SEARCH_EMBEDDER__MODEL="nobody")
    assert "device is cuda" in error("rerank", "cat", stdin="x", SEARCH_DEVICE="cuda")


@pytest.mark.parametrize(
    ("library", "arguments", "extra"),
    [
        ("fastembed", ["query", "cat"], "cpu or gpu"),
        ("fastembed", ["rerank", "cat"], "cpu or gpu"),
        ("onnxruntime", ["query", "cat"], "cpu or gpu"),
        ("onnxruntime", ["rerank", "cat"], "cpu or gpu"),
        ("pytrec_eval", ["evaluate", "."], "evaluate"),
        ("onnxruntime", ["evaluate", "judged.jsonl"], "cpu or gpu"),
        ("fastembed", ["models", "--all"], "cpu or gpu"),
    ],
)
def test_an_extra_that_is_not_installed_is_one_line(
    library: str, arguments: list[str], extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("judged.jsonl").write_text('{"query": "cats", "relevant": ["1"]}\n')
    monkeypatch.setenv("SEARCH_RERANKER__MODEL", "BAAI/bge-reranker-base")  # bundled models take no FastEmbed
    if library == "fastembed":
        monkeypatch.setenv("SEARCH_EMBEDDER__MODEL", "BAAI/bge-small-en")
    script = (
        f"import sys; sys.modules[{library!r}] = None; sys.argv = {['search', *arguments]}; from search.cli.app import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], input="x", capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"search: {library} is not installed; install this package with its extra {extra}, as in pip install"
    )
    assert done.stderr.count("\n") == 1


WITHOUT_EXTRAS: dict[str, Sequence[str]] = {  # for how it ends, what a command line says
    "": ["collections list", "key bob", "models", "settings"],
    "there is no collection": [
        f"collections {line}" for line in ("info a", "drop a --yes", "snapshot a", "index a number integer")
    ],
    "is no whole snapshot": ["collections restore a"],
    "is on a Qdrant server": ["adopt a --as b"],
    "cannot be read": ["citations a"],
    "does not answer": ["health --port 9"],
    "cpu or gpu": [
        *("ingest note.txt", "update {} a", "delete a", "query a", "context a", "rerank a", "explain a", "dedupe", "reindex"),
        *("models --all", "collections alias a b", "calibrate judged.jsonl", "demo", "--config remote.toml push"),
    ],
    "PROBLEM": ["doctor"],
    "evaluate": ["evaluate judged.jsonl", "evaluate judged.jsonl --out report"],
    **{extra: [line] for extra, line in {"export": "export a b", "serve": "serve", "mcp": "mcp"}.items()},
}
BARE = """
import sys
from importlib.machinery import PathFinder
find, absent = PathFinder.find_spec, set(sys.argv.pop().split())
PathFinder.find_spec = lambda name, *more: None if name.partition(".")[0] in absent else find(name, *more)
from search.cli.app import main
for line in sys.argv[1:]:
    sys.argv, sys.stdin = ["search", *line.split()], open("note.txt")
    try:
        main()
    except SystemExit as end:
        print(f"{line} ends with {end.code}", file=sys.stderr)
"""


def test_no_command_fails_without_a_word_where_no_extra_is_installed(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("Cats sleep.")
    (tmp_path / "judged.jsonl").write_text('{"query": "cats", "relevant": ["1"]}\n')
    (tmp_path / "remote.toml").write_text('[index]\nengine = "qdrant"\nurl = "http://127.0.0.1:9"\n')
    every = [line for ones in WITHOUT_EXTRAS.values() for line in ones]
    assert {*vars(typer.main.get_command(app))["commands"]} <= {word for line in every for word in line.split()}
    variables = {**os.environ, "HOME": str(tmp_path), "SEARCH_DATA_DIR": str(tmp_path / "data")}
    command = [sys.executable, "-c", BARE, *every, " ".join(_EXTRAS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=variables)
    assert done.returncode == 0, done.stderr
    told = iter(done.stderr.splitlines())
    for said, line in ((said, line) for said, ones in WITHOUT_EXTRAS.items() for line in ones):
        if said and line != "doctor":
            assert said in next(told), line
        assert next(told) == f"{line} ends with {int(bool(said))}"


@pytest.mark.parametrize("kind", ["embedder", "reranker"])
def test_a_graph_that_does_not_load_leaves_standard_output_alone(kind: str, tmp_path: Path) -> None:
    """ONNX Runtime prints there what went wrong."""
    where = ["--data-dir", tmp_path / "data"]
    search("ingest", "-", *where, stdin='{"id": "1", "text": "Cats sleep."}\n')
    folder = tmp_path / "model"
    shutil.copytree(BUNDLED / {"embedder": "all-MiniLM-L6-v2", "reranker": "minilm-reranker"}[kind], folder)
    (folder / "manifest.json").unlink(missing_ok=True)
    graph = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(graph.replace(b"MatMulNBits", b"MatMulN\xffits"))  # it fails to say why it fails
    done = search("query", "cats", "--json", *where, status=1, **{f"SEARCH_{kind.upper()}__MODEL": str(folder)})
    assert done.stdout == ""
    assert "*** EP Error ***" in done.stderr or sys.version_info < (3, 11, 5)  # which is told nothing, and prints nothing
    assert done.stderr.splitlines()[-1].startswith(f"search: the model {folder} cannot be")


def test_a_data_folder_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    """Whoever may read everything, as in a container, is refused by the name alone."""
    dataset = write(tmp_path / "pets", CORPUS, QUERIES, QRELS)
    (tmp_path / "a.txt").write_text("Cats sleep.")
    data: dict[str, Any] = {"SEARCH_DATA_DIR": str(tmp_path / ("x" * 300))}
    asking = [("query", "x"), ("context", "x"), ("explain", "x"), ("rerank", "x"), ("evaluate", dataset)]
    named = [
        ("list",),
        ("info", "a"),
        ("drop", "a", "--yes"),
        ("alias", "a", "b"),
        ("snapshot", "a"),
        ("index", "a", "title", "keyword"),
    ]
    writing = [("ingest", tmp_path / "a.txt"), ("delete", "a"), ("dedupe",), ("reindex",)]
    for command in (*asking, *writing, *(("collections", *one) for one in named)):
        told = error(*command, stdin="a text", **data)
        assert "cannot be read (File name too long); run this as the user whose it is, or choose another --data-dir" in told
    assert "cannot be read (File name too long)" in search("doctor", status=1, **data).stdout


@pytest.mark.parametrize("lacking", [ImportError("Exception caught: std::bad_alloc"), MemoryError()])
def test_a_library_that_finds_no_memory_is_one_line(lacking: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise lacking

    monkeypatch.setattr("search.searcher.build_embedder", refused)
    (tmp_path / "a.txt").write_text("Cats sleep.")
    assert "there is too little memory" in error("ingest", tmp_path / "a.txt", "--data-dir", tmp_path / "data")


def test_a_busy_folder_is_one_line(tmp_path: Path) -> None:
    from search.index.contract import CollectionSpec

    index = EdgeIndex(tmp_path, "documents")
    index.ensure(CollectionSpec(384, "model@1"), create=True)
    assert f"is in use by process {os.getpid()}" in one_line(search_apart("query", "cat", "--data-dir", tmp_path, status=1))
    index.close()
    assert "was built with the embedder model@1" in error("query", "cat", "--data-dir", tmp_path)


def test_debug_shows_the_traceback_wherever_it_stands() -> None:
    for arguments in ("--debug query", "query --debug", "collections --debug info", "collections info --debug"):
        assert "Traceback" in search(*arguments.split(), " ", status=None).stderr


def test_debug_that_is_a_value_or_stands_behind_two_hyphens_is_no_option(tmp_path: Path) -> None:
    assert "'--debug' cannot name a collection" in wrong("query", "cats", "--collection", "--debug")
    assert "there is no collection 'documents'" in error("query", "--data-dir", tmp_path, "--", "--debug")


def test_help_is_shown_however_it_is_asked_for() -> None:
    for asked, plain in (
        ("-h", "--help"),
        ("help", "--help"),
        ("help help", "--help"),
        ("collections list -h", "collections list --help"),
    ):
        assert search(*asked.split()).stdout == search(*plain.split()).stdout
    assert search("help", "collections", "list").stdout == search("collections", "list", "--help").stdout


def test_a_shell_completes_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("zsh", "/bin/zsh"))  # though no shell may have started the tests
    assert "_SEARCH_COMPLETE=complete_zsh" in search("--show-completion").stdout
    for shell in ("bash", "zsh", "fish"):
        assert f"_SEARCH_COMPLETE=complete_{shell}" in search("--show-completion", shell).stdout
    assert search("--show-completion", "tcsh", status=2).stderr.endswith(
        "no shell 'tcsh'; there are bash, zsh, fish, powershell, pwsh\n"
    )
    assert "fish completes commands" in search("--install-completion", "fish").stdout
    assert "complete_fish" in (tmp_path / ".config/fish/completions/search.fish").read_text()
    said: dict[str, Any] = {"_SEARCH_COMPLETE": "complete_bash", "COMP_WORDS": "search collections al", "COMP_CWORD": "2"}
    assert search(**said).stdout == "alias\n"


def test_the_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "search", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"search {version('two-stage-search')}\n"


def test_the_version_is_told() -> None:
    assert search("--version").stdout == f"search {version('two-stage-search')}\n"
    assert library.__version__ == version("two-stage-search")


def test_wrong_usage_is_status_2() -> None:
    for arguments in (["query"], ["query", "cat", "--colour"], ["fetch"], ["query", "cat", "--limit", "many"]):
        assert "Usage: search" in search(*arguments, status=2).stderr


def test_nothing_taken_is_a_failure(tmp_path: Path) -> None:
    done = search("ingest", "-", "--data-dir", tmp_path, stdin="not JSON\n", status=1)
    assert "0 added, 0 changed, 0 unchanged, 1 rejected" in done.stdout
    assert "rejected stdin:1: not JSON" in done.stderr


SAME_IDS = (
    "folders of the same name give the same ids, and so do tables with an id column; "
    "ingest one of them with --prefix NAME/ to keep both"
)


def test_folders_of_one_name_replace_each_other_but_not_silently(tmp_path: Path) -> None:
    where = ["--data-dir", tmp_path / "data"]
    for above in ("one", "two"):
        docs = tmp_path / above / "docs"
        docs.mkdir(parents=True)
        for name in ("a.txt", "b.html", "c.txt"):
            (docs / name).write_text(f"The text of {name} in {above}.")
    (tmp_path / "two" / "docs" / "c.txt").write_text("The text of c.txt in one.")
    (tmp_path / "one" / "docs" / "d.txt").write_text("Only here.")
    one, two = tmp_path / "one" / "docs", tmp_path / "two" / "docs"
    assert search("ingest", one, *where).stderr == ""
    would = search("ingest", two, *where, "--sync", "--max-delete", "100%", "--dry-run").stderr
    assert would == (
        "3 documents that would be changed or removed had been read elsewhere, such as docs/a.txt, docs/b.html, docs/d.txt: "
        f"{SAME_IDS}\n"
    )
    kept = search("ingest", two, *where, "--prefix", "two/")
    assert (kept.stdout.split(";")[0], kept.stderr) == ("3 added, 0 changed, 0 unchanged, 0 rejected", "")
    done = as_json("ingest", two, *where)
    assert (done["changed"], done["unchanged"]) == (2, 1)
    assert (done["elsewhere"], done["elsewhere_ids"]) == (2, ["docs/a.txt", "docs/b.html"])
    assert search("ingest", two, *where).stderr == ""  # by now they are its own
    (two / "a.txt").write_text("Changed where it is.")
    assert search("ingest", two, *where).stderr == ""
    search("update", '{"read": true}', "docs/a.txt", *where)
    assert search("ingest", two, *where).stderr == ""  # which changes it back, where it was read
    twice = search("ingest", one / "a.txt", two / "a.txt", *where).stderr.splitlines()[0]
    assert twice.endswith(
        "the id stands twice in this run; the first one was taken; ingest the other by itself with a --prefix to keep both"
    )
    named = search("ingest", one, one / "a.txt", *where).stderr
    assert "the first one was taken; name a file or its folder, and each once\n" in named
    assert "the prefix is 'two'; write a name with a slash at its end" in wrong("ingest", two, *where, "--prefix", "two")


def test_a_file_that_gets_another_id_than_before_is_told(tmp_path: Path) -> None:
    where = ["--data-dir", tmp_path / "data"]
    docs, one = tmp_path / "docs", tmp_path / "docs" / "sub" / "one.md"
    one.parent.mkdir(parents=True)
    one.write_text("# One\n\nIt is about cats.\n")
    (docs / "two.md").write_text("# Two\n\nIt is about dogs.\n")
    (docs / "sub" / "rows.csv").write_text("name,blurb\nAda,A programmer who wrote programs.\nBob,A builder who built houses.\n")
    assert search("ingest", docs, *where).stderr == ""
    assert search("ingest", docs / "two.md", *where).stderr == ""  # whose folder is the same
    twice = (
        "1 document {} there twice, since an id begins with the folder that is named: {} is also {}; "
        "remove one of them (search delete), and name the same folder each time\n"
    )
    assert search("ingest", one, *where, "--dry-run").stderr == twice.format("would stand", "sub/one.md", "docs/sub/one.md")
    done = search("ingest", one, *where)
    assert (done.stdout.split(",")[0], done.stderr) == ("1 added", twice.format("stands", "sub/one.md", "docs/sub/one.md"))
    assert search("ingest", one, *where).stderr == search("ingest", docs, *where).stderr == ""  # nothing changes
    one.write_text("# One\n\nIt is about mice.\n")
    assert search("ingest", docs, *where).stderr == twice.format("stands", "docs/sub/one.md", "sub/one.md")
    rows = as_json("ingest", docs / "sub" / "rows.csv", *where)
    assert (rows["added"], rows["doubled"]) == (2, 2)
    assert rows["doubled_ids"] == [[f"sub/rows.csv#{row}", f"docs/sub/rows.csv#{row}"] for row in (1, 2)]
    assert search("ingest", one, *where, "--prefix", "mine/").stderr == ""  # which is asked for
    kept = search("ingest", docs, *where, "--sync", "--max-delete", "100%")
    assert "5 removed" not in kept.stdout
    assert "there twice" not in kept.stderr
    both = search("ingest", docs, one, "--data-dir", tmp_path / "other").stderr
    assert both == twice.format("stands", "sub/one.md", "docs/sub/one.md")
    assert search("ingest", docs, one, "--data-dir", tmp_path / "other").stderr == ""  # nothing changes


def test_files_of_an_archive_that_get_other_ids_are_told(tmp_path: Path) -> None:
    where = ["--archives", "--data-dir", tmp_path / "data"]
    packed = tmp_path / "docs" / "sub" / "a.zip"
    packed.parent.mkdir(parents=True)
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("notes/one.md", "# One\n\nIt is about cats.\n")
    search("ingest", tmp_path / "docs", *where)
    done = as_json("ingest", packed, *where)
    assert done["doubled_ids"] == [["sub/a.zip/notes/one.md", "docs/sub/a.zip/notes/one.md"]]


def test_tables_with_numbered_rows_replace_each_other_but_not_silently(tmp_path: Path) -> None:
    where = ["--data-dir", tmp_path / "data"]
    people, things = tmp_path / "shop" / "people.csv", tmp_path / "shop" / "things.json"
    people.parent.mkdir()
    people.write_text("id,name,description\n1,Ada,From London.\n2,Bob,From Paris.\n")
    things.write_text('[{"id": 1, "text": "A kettle."}, {"id": 2, "text": "A corkscrew."}, {"id": 3, "text": "A cup."}]')
    assert search("ingest", people, *where).stderr == ""
    would = search("ingest", things, *where, "--dry-run").stderr
    assert would == f"2 documents that would be changed or removed had been read elsewhere, such as 1, 2: {SAME_IDS}\n"
    twice = search("ingest", people.parent, *where)
    assert (
        "rejected shop/things.json:1 (1): the id stands twice in this run; the first one was taken; ingest the other"
        in twice.stderr
    )
    kept = search("ingest", things, *where, "--prefix", "things/", "--sync", "--max-delete", "100%")
    assert (kept.stdout.split(";")[0], kept.stderr) == ("3 added, 0 changed, 0 unchanged, 3 removed, 0 rejected", "")
    assert "A cup." in search("query", "cup", *where).stdout
    things.write_text('[{"id": 1, "text": "A pot."}, {"id": 2, "text": ""}, {"id": 3, "text": "A cup."}]')
    kept = search("ingest", things, *where, "--prefix", "things/", "--sync")
    assert kept.stdout.split(";")[0] == "0 added, 1 changed, 1 unchanged, 0 removed, 1 rejected"  # which stays as it was
    assert "elsewhere" not in kept.stderr


def test_a_table_that_was_emptied_loses_its_rows_by_a_sync(tmp_path: Path) -> None:
    folder, where = tmp_path / "shop", ["--data-dir", tmp_path / "data"]
    folder.mkdir()
    (folder / "a.csv").write_text("id,text\n1,A kettle.\n")
    (folder / "b.csv").write_text("id,text\n2,A corkscrew.\n3,A cup.\n4,A pot.\n5,A pan.\n6,A lid.\n")
    search("ingest", folder, *where, "--sync")
    (folder / "a.csv").write_text("id,text\n")
    done = search("ingest", folder, *where, "--sync")
    assert done.stdout.split(";")[0] == "0 added, 0 changed, 5 unchanged, 1 removed, 1 rejected"


def test_what_needs_posix_says_so_elsewhere(tmp_path: Path) -> None:
    """Where Python has no `resource`, as on Windows."""
    for name in ("a.html", "b.txt"):
        (tmp_path / name).write_text("Cats sleep.")

    def without(*arguments: object, status: int = 1) -> str:
        code = "import sys; sys.modules['resource'] = None; from search.cli.app import main; main()"
        command = [sys.executable, "-c", code, *map(str, arguments), "--data-dir", str(tmp_path / "data")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        return done.stderr

    elsewhere = "needs a POSIX system, such as Linux, macOS, WSL or a container, since this Python has no module resource\n"
    assert without("serve") == f"search: search serve {elsewhere}"
    pages = "reading pages, PDF, office documents, spreadsheets, archives, Parquet and JSON files"
    assert without("ingest", tmp_path / "a.html") == f"search: {pages} {elsewhere}"
    assert without("ingest", tmp_path) == f"search: reading folders and patterns {elsewhere}"
    without("ingest", tmp_path / "b.txt", status=0)
    without("query", "cats", status=0)


def test_rows_that_are_no_document_are_rejected_and_come_again(tmp_path: Path) -> None:
    columns = {"id": ["1", "2"], "text": [" ", "two"]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    where = ["--data-dir", tmp_path / "data", "--rejects", tmp_path / "rejects.jsonl"]
    done = search("ingest", tmp_path / "a.parquet", *where)
    assert "1 added, 0 changed, 0 unchanged, 1 rejected" in done.stdout
    assert "a.parquet:1 (1): it has no text" in done.stderr
    assert json.loads((tmp_path / "rejects.jsonl").read_text())["rejected"]["document_id"] == "1"
    again = search("ingest", tmp_path / "rejects.jsonl", *where[:2], status=1)
    assert "it has no text" in again.stderr


def test_where_a_warning_comes_from_is_told_with_debug() -> None:
    code = "import warnings; from search.cli.app import app, main; app.command('warn')(lambda: warnings.warn('odd')); main()"
    for given, wanted in ((["warn"], "note: odd\n"), (["warn", "--debug"], "<string>:1: UserWarning: odd\n")):
        done = subprocess.run([sys.executable, "-c", code, *given], capture_output=True, text=True, check=True)
        assert done.stderr == wanted


def test_rerank() -> None:
    texts = "Dogs bark.\n\nCats sleep most of the day.\n"
    ranked = as_json("rerank", "What do cats do?", stdin=texts)
    assert [row["text"] for row in ranked["results"]] == ["Cats sleep most of the day.", "Dogs bark."]
    assert [row["index"] for row in ranked["results"]] == [1, 0]
    assert ranked["reranker"] == "minilm-reranker"
    shown = search("rerank", "What do cats do?", stdin=texts).stdout.splitlines()
    assert shown[0].endswith("  Cats sleep most of the day.")
    note = search("rerank", "cat " * 100, stdin="dog " * 200).stderr
    assert note == (
        "note: the query has 400 characters; the reranker read 94 tokens, of its beginning and its end\n"
        "note: 1 of 1 text was longer than the model's window\n"
    )
    note = search("rerank", "c" * 90_000, stdin="dog").stderr
    assert note.startswith("note: the query has 90,000 characters; the reranker read 2 tokens, of its beginning and its end\n")
    assert "there is nothing to rank" in error("rerank", "cats", stdin="\n")
    assert "half of a surrogate pair" in wrong("rerank", os.fsdecode(b"caf\xe9"), stdin="x")
    broken = subprocess.run([str(COMMAND), "rerank", "cats"], input=b"ok\n\xff\n", capture_output=True, check=False)
    assert broken.stderr == b"search: standard input is not UTF-8 at byte 4; convert it\n"
    assert len(as_json("rerank", "cats", stdin="one\u2028line\r\n")["results"]) == 1
    assert len(as_json("rerank", "cats", stdin="Dogs bark.\rCats sleep.\r")["results"]) == 2
    assert "the query is empty" in wrong("rerank", "", stdin="x")
    assert "switch reranking off" in error("rerank", "cats", stdin="x", SEARCH_RERANKER__KIND="none")


def test_evaluate(tmp_path: Path) -> None:
    dataset = write(tmp_path / "pets", CORPUS, QUERIES, QRELS)
    where = ("--data-dir", tmp_path / "data")
    measured = as_json("evaluate", dataset, "--depth", 2, *where)
    assert (measured["dataset"], measured["queries"], measured["split"]) == ("pets", 2, "test")
    assert set(measured["runs"]) == {"retrieval", "reranked"}
    for measure in ("nDCG@10", "Recall@100", "RR@10"):
        assert measured["runs"]["reranked"][measure] == 1
    assert measured["configurations"]["reranked"]["verdict"] == "no evidence"
    shown = search("evaluate", dataset, "--no-rerank", *where).stdout
    assert "pets (test): 2 queries, 3 documents\n" in shown
    assert "1.0000" in shown
    assert "reranked" not in shown
    both = search("evaluate", dataset, "--depth", 2, "--depth", 1, "--with", "reranker.weight=1", *where).stdout
    assert "reranked: no evidence that it helps or hurts: +0.0000 nDCG@10, 95 % interval +0.0000 to +0.0000" in both
    assert "reranker.weight=1, depth 1: no evidence" in both
    assert "order by reranker logit; the best order of these candidates would have Recall@1 1.0000, nDCG@10 1.0000" in both
    one = as_json("evaluate", dataset, "--measure", "P@1", "--with", "depth=1 reranker.weight=0", *where)
    assert set(one["runs"]) == {"retrieval", "reranked", "depth=1 reranker.weight=0"}
    assert one["runs"]["retrieval"] == {"P@1": 1}
    assert "depth is 0; rerank at least 1 candidate" in wrong("evaluate", dataset, "--depth", 0, *where)
    assert "depth is more than 2,147,483,647" in wrong("evaluate", dataset, "--depth", 10**20, *where)
    assert set(as_json("evaluate", dataset, *("--with", "retrieval=dense") * 2, *where)["runs"]) == {
        *measured["runs"],
        "retrieval=dense",
    }
    assert "has no qrels/train.tsv" in error("evaluate", dataset, "--split", "train", *where)
    assert "reranks nothing" in wrong("evaluate", dataset, "--with", "reranker.kind=none", *where)
    assert "'index.url' cannot differ" in wrong("evaluate", dataset, "--with", "index.url=http://127.0.0.1", *where)
    assert "'50' is no setting" in wrong("evaluate", dataset, "--with", "50", *where)
    assert "cannot be read: No closing quotation" in wrong("evaluate", dataset, "--with", "'x", *where)
    assert "sets depth twice" in wrong("evaluate", dataset, "--with", "depth=1 depth=2", *where)
    assert "--with names no setting" in wrong("evaluate", dataset, "--with", " ", *where)


def test_evaluate_decides_for_a_pipeline(tmp_path: Path, model_folder: Path) -> None:
    dataset = write(tmp_path / "pets", CORPUS, QUERIES, "q1\tdog\t1\nq2\tparis\t1\n")
    where = ("--data-dir", tmp_path / "data")
    search("evaluate", dataset, "--fail-if-worse", "--fail-under", "nDCG@10=.3", "--fail-under", "P@2=0.1", *where)
    low = search("evaluate", dataset, "--fail-under", "P@1=0.9", "--json", *where, status=1)
    assert low.stderr == "search: reranked has P@1 0.5000, less than 0.9\n"
    assert json.loads(low.stdout)["runs"]["reranked"]["P@1"] == 0.5
    alone = search("evaluate", dataset, "--fail-under", "P@1=0.9", "--no-rerank", *where, status=1)
    assert alone.stderr == "search: retrieval has P@1 0.5000, less than 0.9\n"
    assert "'nDCG@10': write a measure and a number" in wrong("evaluate", dataset, "--fail-under", "nDCG@10", *where)
    assert "'nDCG@10=nan': write a measure" in wrong("evaluate", dataset, "--fail-under", "nDCG@10=nan", *where)
    assert "nothing is" in wrong("evaluate", dataset, "--fail-if-worse", "--no-rerank", *where)
    twice = search("evaluate", dataset, "--fail-under", "P@1=0.9", "--fail-under", "P@1=0.1", *where, status=1)
    assert twice.stderr == "search: reranked has P@1 0.5000, less than 0.9\n"
    assert "'F1' is no measure" in wrong("evaluate", dataset, "--fail-under", "F1=0.9", *where)
    things = ["bread", "chess", "glass", "rivers", "ships", "snow", "tea", "violins", "wool", "yeast"]
    corpus = [{"_id": thing, "text": f"All about {thing} and more {thing}."} for thing in things]
    queries = [{"_id": thing, "text": f"a book on {thing}"} for thing in things]
    easy = write(tmp_path / "easy", corpus, queries, "".join(f"{thing}\t{thing}\t1\n" for thing in things))
    random: dict[str, Any] = {"SEARCH_RERANKER__MODEL": str(model_folder / "cross-encoder"), "SEARCH_RERANKER__WEIGHT": "1"}
    done = search("evaluate", easy, "--fail-if-worse", *where, status=1, **random)
    assert "reranked: hurts: -" in done.stdout
    assert done.stderr == "search: reranked is worse than retrieval alone\n"
    search("evaluate", easy, *where, **random)
    # A report's further depths decide nothing: with a quarter of the depth, not every relevant document is a candidate.
    deep = ("--depth", 8, "--measure", "Recall@8", "--fail-under", "Recall@8=1.0")
    search("evaluate", easy, *deep, *where, **random)
    reported = search("evaluate", easy, *deep, "--out", tmp_path / "report", *where, **random)
    assert "  depth 2 " in reported.stdout
    assert "depth 2:" not in reported.stdout
    (tmp_path / "file").write_text("")
    unwritable = error("evaluate", easy, "--out", tmp_path / "file", *where)
    assert "file cannot be written" in unwritable
    before = {file: file.read_bytes() for file in (tmp_path / "report").iterdir()}
    wrong("evaluate", easy, "--out", tmp_path / "report", "--with", "reranker.nope=1", *where)
    assert {file: file.read_bytes() for file in (tmp_path / "report").iterdir()} == before
    assert "has a queries.jsonl that is of no report" in error("evaluate", easy, "--out", easy, *where)
    assert len(load_dataset(easy).queries) == len(things)
    error("evaluate", lines(tmp_path / "labels.jsonl", [{"query": "x", "relevant": ["y"]}]), "--out", tmp_path / "new", *where)
    assert not (tmp_path / "new").exists()
    # The mean of three tenths and two nothings is a hair below a tenth.
    judged = "".join(f"bread\t{thing}\t1\n" for thing in things[:3]) + "chess\tdeaf\t1\nglass\tdeaf\t1\n"
    tenth = write(tmp_path / "tenth", corpus, queries, judged)
    search("evaluate", tenth, "--no-rerank", "--fail-under", "P@10=0.1", *where)


def test_a_reranker_that_fails_fails_the_pipeline(tmp_path: Path) -> None:
    dataset = write(tmp_path / "pets", CORPUS, QUERIES, QRELS)
    where = ("--data-dir", tmp_path / "data")
    dead = {"SEARCH_RERANKER__KIND": "chat", "SEARCH_RERANKER__URL": "http://127.0.0.1:9/v1", "SEARCH_RERANKER__MODEL": "none"}
    told: dict[str, Any] = dead
    done = search("evaluate", dataset, "--fail-if-worse", *where, status=1, **told)
    assert done.stderr == "search: reranked failed on 2 of 2 queries\n"
    assert "2 queries; reranking failed on 2 of them" in done.stdout
    assert as_json("evaluate", dataset, *where, **told)["configurations"]["reranked"]["rerank_statuses"] == {"failed": 2}
    assert "only a reranker that scores each passage by itself" in error("calibrate", dataset, *where, **told)


def test_evaluate_a_collection(tmp_path: Path) -> None:
    where = ("--data-dir", tmp_path / "data", "--collection", "pets")
    documents = "".join(json.dumps({"id": row["_id"], "text": row["text"] or row["title"]}) + "\n" for row in CORPUS[:3])
    search("ingest", "-", *where, stdin=documents)
    labels = lines(
        tmp_path / "labels.jsonl", [{"query": "sleeping cats", "relevant": ["cat"]}, {"query": "barking", "relevant": ["dog"]}]
    )
    measured = as_json("evaluate", labels, *where)
    assert measured["documents"] == 3
    assert measured["runs"]["retrieval"]["nDCG@10"] == 1
    assert "none of 1 judged document of" in error("evaluate", lines(labels, [{"query": "x", "relevant": ["y"]}]), *where)
    assert "collection" in error("evaluate", labels, "--data-dir", tmp_path / "empty")
    own = write(tmp_path / "own", CORPUS, QUERIES, QRELS)
    for command in ("evaluate", "calibrate"):
        assert "--collection pets would not be searched: own has documents of its own" in wrong(command, own, *where)
        assert "--tenant bob would not be searched" in wrong(command, own, *where[:2], "--tenant", "bob")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("where do cats sleep", "The cat sleeps"),
        ("wifi", "our wi-fi is slow"),
        ("wi-fi", "our wifi is slow"),
        ("9784981017665", "ISBN 978-4-98-101766-5"),
        ("978-4-98-101766-5", "ISBN 9784981017665"),
        ("0301234567", "call (030) 123 4567"),
        ("5km", "a way of 5 km"),
        ("1234.50", "1,234.50 euros"),
        ("книга", "много книг здесь"),
        ("1948", "سنة ۱۹۴۸"),
        ("?! a b", "It rains"),
    ],
)
def test_a_passage_is_shown_where_it_has_words_of_the_query(query: str, words: str) -> None:
    text = "It rains on the hills, and it goes on. " * 9 + words + "." + " And then it stops for an hour." * 9
    assert words in excerpt(text, query, 150)
    assert len(excerpt(text, query, 150)) == 150


def test_explain_and_replay(notes: Path, tmp_path: Path) -> None:
    where = ("--data-dir", tmp_path / "data")
    search("ingest", notes, *where)
    trace = tmp_path / "trace.json"
    shown = search("explain", "where do cats sleep?", "--save", trace, *where).stdout
    assert shown.startswith(
        "rank  was  moved  cosine   at   words   at  reranker   prob.   order  read         document\n   1    1 "
    )
    assert "reranking: full, order: " in shown
    head, *lines = search("explain", '"most of the day" -capital', *where).stdout.splitlines()
    assert head.startswith("rank  was  moved  first  cosine ")
    assert [line[head.index("first") :][:5].strip() for line in lines[:3]] == ["1", "", "-1"]
    told = as_json("explain", "where do cats sleep?", "--depth", 2, *where)
    assert [hit["rank"] for hit in told["hits"]] == [1, 2]
    own: dict[str, Any] = {"SEARCH_DATA_DIR": str(tmp_path / "data"), "SEARCH_RETRIEVAL": "dense"}  # which say nothing of a replay
    again = search("explain", "--replay", trace, "--with", "reranker.weight=1", **own).stdout
    assert "now: minilm-reranker, full, order: reranker logit; " in again
    for deep in (("--with", "depth=1"), ("--depth", 1)):
        replayed = as_json("explain", "--replay", trace, *deep)
        assert [c["now"]["rerank_score"] is None for c in replayed["candidates"]] == [False, True, True]
    nowhere = tmp_path / "none" / "trace.json"  # which is told before anything is looked for
    told_at_once = error("explain", "cats", "--save", nowhere, "--data-dir", tmp_path / "empty")
    assert f"the trace cannot be written to {nowhere}" in told_at_once
    assert "give a query, or --replay" in wrong("explain", *where)
    assert "give a query, or --replay" in wrong("explain", "cats", "--replay", trace, *where)
    assert "--with reranker.kind=none leaves nothing to" in wrong("explain", "--replay", trace, "--with", "reranker.kind=none")
    assert "reranker.kind is none in the settings" in error("explain", "--replay", trace, SEARCH_RERANKER__KIND="none")
    assert "is no trace" in error("explain", "--replay", notes / "cats.md")


def test_what_says_nothing_of_a_replay_is_refused_beside_it(notes: Path, tmp_path: Path) -> None:
    where = ("--data-dir", tmp_path / "data")
    search("ingest", notes, *where)
    trace, other = tmp_path / "trace.json", tmp_path / "other.json"
    search("explain", "cats", "--save", trace, *where)
    for option, value in {
        "--filter": '{"must": []}',
        "--retrieval": "dense",
        "--save": other,
        "--data-dir": tmp_path / "data",
        "--tenant": "bob",
        "--with": "retrieval=dense",
    }.items():
        named = "--with retrieval" if option == "--with" else option
        told = wrong("explain", "--replay", trace, option, value)
        assert f"{named} changes nothing of what --replay ranks again; leave out one of them" in told
    assert not other.exists()
    for option, value in (("depth", 3), ("retrieval", "lexical")):
        told = wrong("explain", "cats", "--with", "depth=2 retrieval=dense", f"--{option}", value, *where)
        assert f"--{option} and --with {option}=… are one setting; leave out one of them" in told
    shutil.copytree(BUNDLED / "all-MiniLM-L6-v2", tmp_path / "other")
    own = {"SEARCH_COLLECTIONS": json.dumps({"code": {"embedder": str(tmp_path / "other")}})}
    assert as_json("explain", "--replay", trace, **own)["notes"] == []
    (told,) = as_json("explain", "--replay", trace, "--collection", "code", **own)["notes"]  # whose embedder it is compared with
    assert "retrieved by all-MiniLM-L6-v2, not by other" in told


def test_files_are_named_from_home(notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell does not spell them out behind a sign of equality."""
    where = ("--data-dir", tmp_path / "data")
    search("ingest", notes, *where)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    search("explain", "cats", "--save=~/trace.json", *where)
    search("explain", "--replay=~/trace.json")
    search("context", "cats", "--save=~/context.json", *where)
    (home / "answer.txt").write_text("They sleep [1].")
    assert "by 1 number" in search("citations", "~/context.json", "~/answer.txt").stderr
    assert {file.name for file in home.iterdir()} == {"trace.json", "context.json", "answer.txt"}
    assert not (tmp_path / "~").exists()
    nobody = "~nobody-of-this-name/x.json"
    for words in (
        ["explain", "x", "--save", nobody, *where],
        ["explain", "--replay", nobody],
        ["context", "x", "--save", nobody, *where],
        ["context", "x", "--tokenizer", nobody, *where],
        ["citations", nobody],
    ):
        assert "~nobody-of-this-name has no home folder here" in " ".join(search(*words, status=2).stderr.split())


def test_calibrate_gives_scores_a_meaning(tmp_path: Path, model_folder: Path) -> None:
    things = ["bread", "chess", "glass", "rivers", "ships", "snow", "tea", "violins", "wool", "yeast"]
    corpus = [{"_id": thing, "text": f"All about {thing} and more {thing}."} for thing in things]
    queries = [{"_id": thing, "text": f"a book on {thing}"} for thing in things]
    dataset = write(tmp_path / "things", corpus, queries, "".join(f"{thing}\t{thing}\t1\n" for thing in things))
    where = ("--data-dir", tmp_path / "data")
    own = {"SEARCH_RERANKER__MODEL": str(shutil.copytree(BUNDLED / "minilm-reranker", tmp_path / "own"))}
    for reranker, kept in (({}, tmp_path / "data" / "calibrations"), (own, tmp_path / "own" / "recipe.json")):
        bare: dict[str, Any] = dict(reranker)
        before = kept.read_text() if kept.is_file() else None
        dry = as_json("calibrate", dataset, "--dry-run", *where, **bare)
        assert dry["kept_in"] is None
        assert (kept.read_text() if kept.is_file() else None) == before
        shown = search("calibrate", dataset, *where, **bare).stdout
        assert f"kept in {kept}" in shown
        assert "after   expected calibration error" in shown
        bare["SEARCH_DATA_DIR"] = str(tmp_path / "data")
        ranked = as_json("rerank", "a book on tea", stdin="All about tea and more tea.\nAll about wool.", **bare)
        assert ranked["results"][0]["probability"] > 0.5 > ranked["results"][1]["probability"]
    recipe = json.loads((tmp_path / "own" / "recipe.json").read_text())
    assert recipe["calibrated_on"] == "platt on things (test): 10 queries, 100 passages"
    assert recipe["weight"] == json.loads((BUNDLED / "minilm-reranker" / "recipe.json").read_text())["weight"]
    isotonic = as_json("calibrate", dataset, "--method", "isotonic", "--folds", 2, *where, **own)
    assert isotonic["before"]["pairs"] == isotonic["after"]["pairs"] == 100
    changed = json.loads((tmp_path / "own" / "recipe.json").read_text())
    assert changed["points"] == isotonic["found"]["points"]
    assert "scale" not in changed
    random = {"SEARCH_RERANKER__MODEL": str(model_folder / "cross-encoder")}
    assert isotonic["notes"][0].startswith(f"the map before was fitted too ({recipe['calibrated_on']})")
    others = [*things[1:], things[0]]
    qrels = "".join(f"{asked}\t{other}\t1\n" for asked, other in zip(things, others, strict=True))
    wrong = write(tmp_path / "wrong", corpus, queries, qrels)
    before = (tmp_path / "own" / "recipe.json").read_text()
    useless = search("calibrate", wrong, *where, status=1, **own)
    assert "search: " in useless.stderr
    assert (tmp_path / "own" / "recipe.json").read_text() == before
    few = lines(tmp_path / "few.jsonl", [{"query": "x", "relevant": ["tea"]}])
    assert "1 query has scored passages" in error("calibrate", few, "--corpus", dataset / "corpus.jsonl", *where, **random)
    none = {"SEARCH_RERANKER__KIND": "none"}
    assert "only a reranker that scores each passage by itself" in error("calibrate", dataset, *where, **none)
    next((tmp_path / "data" / "calibrations").iterdir()).write_text("{")
    assert "cannot be read: " in error("calibrate", dataset, *where)


def test_models() -> None:
    listed = as_json("models")["models"]
    assert [row["name"] for row in listed] == list(manifest())
    assert all(row["bundled"] and row["megabytes"] > 20 for row in listed)
    names = search("models", "--all").stdout
    assert "BAAI/bge-reranker-base" in names
    assert "BAAI/bge-small-en-v1.5" in names


def test_doctor(tmp_path: Path) -> None:
    where = ("--data-dir", tmp_path / "data")
    report = as_json("doctor", *where)
    assert report["ok"]
    found = {finding["name"]: finding["detail"] for finding in report["findings"]}
    assert "CPUExecutionProvider" in found["onnx runtime"]
    assert "every sha256 as released" in found["bundled models"]
    assert "nothing ingested yet" in found["collection"]
    assert found["context"] == "2,000 tokens, by characters ÷ 4, an estimate"
    assert found["reranker"].startswith("minilm-reranker, weight 0.35, by vectors or words alone 0.55, 192 tokens, on cpu")
    assert not (tmp_path / "data").exists()
    shared: dict[str, Any] = {"SEARCH_TENANT": "acme", "SEARCH_TENANT_FIELD": "metadata.customer"}
    traced = search("doctor", *where, SEARCH_SERVICE__TRACES_URL="http://127.0.0.1:9", **shared).stdout
    assert "no keys, so for this machine only, traces to http://127.0.0.1:9" in " ".join(traced.split())
    assert "ok       tenant          acme alone, by metadata.customer\n" in traced
    unbound = search("doctor", *where, status=1, SEARCH_CONTEXT__TOKENIZER="/nope", SEARCH_TENANT="acme").stdout
    assert "PROBLEM  context         the tokenizer /nope cannot be read" in unbound
    assert "PROBLEM  tenant          for the tenant 'acme' alone, and in which field documents name theirs is not said" in unbound
    absent = {"SEARCH_SERVICE__HOST": "192.0.2.1", "SEARCH_SERVICE__API_KEYS": json.dumps({"a": {"sha256": "0" * 64}})}
    unheard = search("doctor", *where, status=1, **absent).stdout
    assert "PROBLEM  service         nothing can listen on 192.0.2.1:8000: this machine has no such address; choose" in unheard
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        told = search("doctor", *where, SEARCH_SERVICE__PORT=str(port)).stdout
    assert f"ok       service         127.0.0.1:{port}, where a program listens now, no keys" in told
    broken = search("doctor", *where, status=1, SEARCH_DEVICE="cuda").stdout
    assert "PROBLEM  embedder" in broken
    assert "install the extra gpu" in broken
    assert (
        "PROBLEM  settings        the environment variable SEARCH_DEVCE is no setting of this program (did you mean SEARCH_DEVICE?)"
        in search("doctor", *where, status=1, SEARCH_DEVCE="cuda").stdout
    )
    assert (
        "note: the environment variable SEARCH_DEVCE is no setting of this program (did you mean SEARCH_DEVICE?)\n"
        in search("query", "x", *where, status=1, SEARCH_DEVCE="x").stderr
    )
    settings = {"SEARCH_INDEX__ENGINE": "qdrant", "SEARCH_INDEX__URL": "http://127.0.0.1:9"}
    assert "PROBLEM  collection" in search("doctor", status=1, **settings).stdout


def test_doctor_asks_a_chat_reranker(tmp_path: Path) -> None:
    where = ("--data-dir", tmp_path / "data")
    with ChatStandIn() as server:
        chat: dict[str, Any] = {"SEARCH_RERANKER__KIND": "chat", "SEARCH_RERANKER__URL": server.url, "SEARCH_RERANKER__MODEL": "m"}
        assert "ok       reranker        m, weight 1, on remote, which gave an order\n" in search("doctor", *where, **chat).stdout
        assert len(server.requests) == 1
        server.planted.append(Answer(status=404, body=b'{"error": "no such model"}'))
        assert (
            "answered 404 (no such model); check the reranker's url and model" in search("doctor", *where, status=1, **chat).stdout
        )
        server.planted.append(Answer("I cannot help with that."))
        assert (
            "named no passage (it wrote 24 characters); try another model; it wrote: I cannot help with that."
            in search("doctor", *where, status=1, **chat).stdout
        )
    assert "PROBLEM  reranker        http://127.0.0.1" in search("doctor", *where, status=1, **chat).stdout
    chat["SEARCH_RERANKER__URL"] = "localhost:11434/v1"
    refused = "reranker.url (in the environment, SEARCH_RERANKER__URL): it begins with neither http:// nor https://"
    assert refused in search("doctor", *where, status=1, **chat).stderr


def test_doctor_wants_a_folder_for_data(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    for name, problem in (("file", "file"), ("file/below", "file"), ("link", "link")):
        told = {one["name"]: one for one in as_json("doctor", "--data-dir", tmp_path / name, status=1)["findings"]}
        expected = f"{tmp_path / problem} is no folder; choose another data_dir"
        assert (told["data folder"]["ok"], told["data folder"]["detail"]) == (False, expected)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(command: str) -> None:
    shown = search(*command.split(), "--help").stdout
    assert "Usage: search" in shown
    if not command:
        listed = [name for name in re.findall("^│ (\\w+)", shown, re.MULTILINE) if name in COMMANDS]
        assert listed == COMMANDS


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("collections drop", "an alias itself is refused"),
        ("models", "List the bundled models; with --all also those that FastEmbed downloads by name"),
        ("key", "[default: (search)]"),
        ("query", "Hits shown. [default: (the settings', 10)]"),
        ("query", "Candidates retrieved and reranked. [default: (the settings', 20, or limit if more)]"),
        ("explain", "Candidates retrieved and reranked. [default: (the settings', 20)]"),
        ("context", "numbers, headings and prompt included. [default: (the settings', 2000)]"),
        ("health", "[default: (the settings', 8000)]"),
        ("delete", "by ids or by a filter, not both"),
        ("update", "show what would change; with --url only of how many documents"),
        ("ingest", "show what would change; with --url only of how many documents"),
    ],
)
def test_help_says_what_the_command_does(command: str, words: str) -> None:
    shown = search(*command.split(), "--help", COLUMNS="200").stdout
    assert words in " ".join(shown.replace("│", " ").split())


def test_a_file_of_queries_has_one_a_line_of_its_own_line_breaks_only(tmp_path: Path) -> None:
    file = tmp_path / "queries.txt"
    file.write_bytes("one\u2028and\x0cthe same\r\n\ntwo".encode())
    assert collections._lines(file) == ["one\u2028and\x0cthe same", "two"]


def test_a_name_that_stands_twice_in_what_a_command_takes_is_refused(tmp_path: Path) -> None:
    where = ["--data-dir", tmp_path]
    assert "'x' stands twice in one object" in wrong("update", '{"x": 1, "x": 5}', "a", *where)
    twice = '{"must": [{"is_null": {"key": "page"}}], "must": [{"is_empty": {"key": "page"}}]}'
    for place in (where, ["--url", "http://127.0.0.1:9"]):
        assert "'must' stands twice in one object" in wrong("delete", "--filter", twice, *place)


def test_of_a_long_passage_the_part_that_answers_is_shown(tmp_path: Path) -> None:
    text = "The boiler stands in the cellar, and nobody looks at it. Whoever wants to know what it costs may read its bills. "
    text += "Maintenance: the burner is cleaned every spring. After that nothing happens until somebody bleeds the radiators."
    (tmp_path / "boiler.txt").write_text(text)
    where = ["--data-dir", tmp_path / "data"]
    search("ingest", tmp_path / "boiler.txt", *where)
    for query, columns, shown in (
        ("When are burners cleaned?", "60", "…Maintenance: the burner is cleaned every spring…"),
        ("how to bleed a radiator", "71", "…After that nothing happens until somebody bleeds the radia…"),
        ("where is it", "60", "The boiler stands in the cellar, and nobody look…"),
    ):
        printed = search("query", query, "--no-rerank", *where, COLUMNS=columns).stdout.splitlines()
        assert printed[1] == f"{'':11}{shown}"
