"""Nothing that a terminal obeys is printed, whatever documents, files and servers have in their names and texts."""

import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commands import COMMAND
from rich.console import Console

from search.api.logs import write_logs
from search.cli.app import main
from search.cli.progress import ProgressReport
from search.system.terminal import clean, clean_lines, note, show

EVIL = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\x9b31m\x9d\x7f\x08\r\u202egnp\u2066\u2028\x85."
FILE = EVIL.replace("/", "")
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")  # tabs and line breaks are ours

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, in this process; what it prints, which a terminal obeys nothing of."""
    monkeypatch.setenv("SEARCH_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)

    def command(*arguments: str, status: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["search", *arguments])
        root = logging.getLogger("search")
        handlers = list(root.handlers)
        with pytest.raises(SystemExit) as ended:
            main()
        root.handlers = handlers
        out, error = capfd.readouterr()
        assert (ended.value.code or 0) == status, out + error
        assert not OBEYED.search(out + error), ascii(out + error)
        return out + error

    return command


def evil_documents(folder: Path) -> Path:
    headed = {"id": f"b{EVIL}", "media_type": "text/markdown", "text": f"# Cats {EVIL}\n\nCats sleep {EVIL} all day."}
    rows: Sequence[dict[str, Any]] = [
        {"id": f"a{EVIL}", "title": f"On cats {EVIL}", "text": f"Cats {EVIL} hunt.", "metadata": {f"k{EVIL}": f"v{EVIL}"}},
        headed,
        {**headed, "id": f"z{EVIL}"},
        {"id": f"c{EVIL}", "text": " "},
        {"id": "d", "text": "x", f"field{EVIL}": 1},
        {"id": "e", "text": "x", "metadata": {f"n{EVIL}": float("nan")}},
    ]
    folder.mkdir()
    (folder / f"rows{FILE}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / f"bad{FILE}.jsonl").write_text(f"{EVIL.splitlines()[0]}\n")
    (folder / f"table{FILE}.csv").write_text(f"nr{EVIL.splitlines()[0]},body\n1,x\n")
    (folder / f"note{FILE}.md").write_text(f"# Dogs {EVIL}\n\nDogs bark {EVIL}.")
    (folder / f"zero{FILE}.txt").write_bytes(b"\0")
    (folder / f"page{FILE}.docx").write_bytes(b"PK")
    (folder / f"left{FILE}.xyz").touch()
    (folder / f"link{FILE}.txt").symlink_to("/etc/hostname")
    (folder / ".gitignore").write_text(f"[[:none:]]{EVIL}\n")
    return folder


@pytest.mark.timeout(300)
def test_no_command_prints_what_a_terminal_obeys(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = evil_documents(tmp_path / f"folder{FILE}")
    shown = run("ingest", str(folder))
    assert "\\x1b]52;c;" in shown
    assert "rejected" in shown
    assert "left out" in shown
    assert "leads out of its folder" in shown
    assert "can match nothing" in shown
    run("ingest", str(folder), "--dry-run", "--sync", "--max-delete", "0")
    json.loads(run("ingest", str(folder), "--json").splitlines()[0])
    run("ingest", f"absent{EVIL}", status=1)
    run("--debug", "ingest", f"absent{EVIL}", status=1)
    run("ingest", str(folder), "--exclude", f"[[:none:]]{EVIL}", status=1)
    run("ingest", str(folder), "--encoding", EVIL, status=2)
    run("ingest", str(folder), f"--option{EVIL}", status=2)
    run(f"command{EVIL}", status=2)
    shown = run("query", f"cats {EVIL}")
    assert "Cats \\x1b]52" in shown
    (tmp_path / "trace").mkdir()
    run("explain", "cats", "--save", str(tmp_path / f"trace/{FILE}"))
    run("explain", "--replay", str(tmp_path / f"trace/{FILE}"))
    run("explain", "--replay", str(tmp_path / f"absent{FILE}"), status=1)
    answer = run("query", f"cats {EVIL}", "--json")
    assert {hit["document_id"] for hit in json.loads(answer.splitlines()[0])["hits"]} >= {f"a{EVIL}", f"b{EVIL}"}
    run("query", "cats", "--filter", f'{{"must": [{{"key": "{FILE}"}}]}}', status=2)
    everything = '{"must": [{"key": "number", "range": {"gte": 0}}]}'
    run("update", json.dumps({f"x{EVIL}": EVIL}), "--filter", everything, "--dry-run")
    run("update", json.dumps({f"x{EVIL}": EVIL}), f"a{EVIL}")
    run("update", EVIL, "a", status=2)
    run("delete", "--filter", everything, "--dry-run")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(f"one {EVIL}\ntwo".encode())))
    run("rerank", f"cats {EVIL}")
    run("collections", "list")
    run("collections", "info", "documents")
    run("collections", "info", EVIL, status=1)
    run("collections", "alias", "other", "documents")
    run("collections", "snapshot", "documents")
    run("doctor")
    judged = tmp_path / f"judged{FILE}.jsonl"
    judged.write_text(json.dumps({"query": f"cats {EVIL}", "relevant": [f"a{EVIL}"]}) + "\n")
    run("evaluate", str(judged))
    run("evaluate", str(judged), "--measure", f"nDCG{EVIL}", status=2)
    run("evaluate", str(tmp_path / f"absent{FILE}"), status=1)
    monkeypatch.setenv("SEARCH_RERANKER__MODEL", EVIL)
    run("doctor", status=1)
    run("query", "cats", status=1)
    monkeypatch.setenv("SEARCH_DEVICE", EVIL)
    run("query", "cats", status=1)


@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize("words", ["models", "models --json", "--help"])
def test_a_full_disk_under_what_is_printed_is_told_in_a_line(words: str, buffered: str) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123  # a device
        command: list[Path | str] = [COMMAND, *words.split()]
        variables = {**os.environ, "PYTHONUNBUFFERED": buffered}
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=variables)
    assert (done.returncode, done.stderr) == (1, "search: what it prints cannot be written: No space left on device\n")


def test_whoever_reads_what_is_printed_may_have_enough() -> None:
    for buffered in ("", "1"):
        read, write = os.pipe()
        os.close(read)
        with open(write, "w") as gone:  # noqa: PTH123  # a descriptor
            variables = {**os.environ, "PYTHONUNBUFFERED": buffered}
            done = subprocess.run([COMMAND, "models"], stdout=gone, stderr=subprocess.PIPE, text=True, check=False, env=variables)
        assert (done.returncode, done.stderr) == (1, "")


def closed(streams: str, *command: object, stdin: str = "") -> tuple[int, str, str]:
    """A command whose shell has closed some of its streams; its status, and what it printed."""
    line = ["sh", "-c", f'exec "$@" {streams}', "sh", *map(str, command)]
    done = subprocess.run(line, input=stdin, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("streams", [">&-", "<&- >&- 2>&-"])
def test_no_file_takes_the_place_of_a_stream_that_is_closed(streams: str) -> None:
    """Nor in a process that is started then."""
    opened = "import os, sys; sys.exit(os.open(os.devnull, os.O_WRONLY))"
    code = "import subprocess, sys; from search.system.terminal import note, prepare, show; prepare(); show('a'); note('b'); "
    code += f"sys.stdin.buffer.read(); assert subprocess.call([sys.executable, '-c', {opened!r}]) > 2; {opened}"
    status, out, _ = closed(streams, sys.executable, "-c", code)
    assert (status > 2, out) == (True, "")


def test_a_stream_that_is_closed_is_an_empty_one() -> None:
    assert closed(">&-", COMMAND, "models") == (0, "", "")
    assert closed("2>&-", COMMAND, "query", " ") == (2, "", "")  # whose line is not on stdout then
    assert closed("<&-", COMMAND, "rerank", "cats") == closed("</dev/null", COMMAND, "rerank", "cats")


@pytest.mark.parametrize(
    ("streams", "reason"), [(">&-", "standard output is closed"), (">/dev/full", "what it prints cannot be written")]
)
def test_a_key_that_nobody_sees_is_not_kept(streams: str, reason: str, tmp_path: Path) -> None:
    status, _, error = closed(streams, COMMAND, "key", "bob", "--keep", "--json")
    assert status == 1
    assert error.startswith(f"search: {reason}")
    assert not list((tmp_path / "config").rglob("*.toml*"))


def test_neither_a_context_nor_duplicates_print_what_a_terminal_obeys(run: Run, tmp_path: Path) -> None:
    run("ingest", str(evil_documents(tmp_path / "folder")))
    assert "Cats \ufffd]52;c;" in run("context", f"cats {EVIL}")  # a language model gets no such letters either
    run("context", f"cats {EVIL}", "--form", "messages")
    made = json.loads(run("context", f"cats {EVIL}", "--json").splitlines()[0])
    assert {source["document_id"] for source in made["sources"]} >= {f"a{EVIL}"}
    assert "same  z\\x1b]52" in run("dedupe")
    told = json.loads(run("dedupe", "--json").splitlines()[0])
    assert f"z{EVIL}" in [one["document_id"] for cluster in told["clusters"] for one in cluster["duplicates"]]
    run("dedupe", "--html", str(tmp_path / f"absent{FILE}" / FILE), status=1)


REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "a key's name": (("key", EVIL), "cannot name a key"),
    "a key's scope": (("key", "name", "--scope", EVIL), "there is no scope"),
    "a key's tenant": (("key", "name", "--tenant", EVIL), "no tenant is called"),
    "a tenant": (("query", "cats", "--tenant", EVIL), "no tenant is called"),
    "what is adopted, by Edge": (("adopt", EVIL, "--as", "ours"), "is on a Qdrant server"),
    "what is adopted, as": (("adopt", "theirs", "--as", EVIL), "no collection is called"),
    "files to compare": (("dedupe", f"absent{EVIL}"), "matches no file"),
    "a tokenizer": (("context", "cats", "--tokenizer", f"absent{FILE}"), "cannot be read"),
    "an address": (("ingest", __file__, "--url", EVIL), "is no address of a service"),
    "a host": (("ingest", __file__, "--url", f"http://{EVIL}"), "is no address of a service"),
    "a path": (("ingest", __file__, "--url", f"http://127.0.0.1:9/{EVIL}"), "is no address of a service"),
    "a password": (("ingest", __file__, "--url", f"http://user:{EVIL}@127.0.0.1:9"), "is no address of a service"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_shown_without_what_a_terminal_obeys(name: str, run: Run) -> None:
    arguments, reason = REFUSED[name]
    assert reason in run(*arguments, status=1 if name in {"what is adopted, by Edge", "files to compare", "a tokenizer"} else 2)


def test_what_is_printed_stays_readable(capsys: pytest.CaptureFixture[str]) -> None:
    plain = "Žluťoučký kůň, 日本語, עברית \u200f العربية, e\u0301, 👩‍👧, \t100 %"
    assert clean(plain) == plain
    assert clean("a\nb\x1b\x9b\x7f\u202e") == r"a\nb\x1b\x9b\x7f\u202e"
    assert clean_lines("a\nb\x1b") == "a\nb\\x1b"
    show("a", "b\nc")
    show()
    note(1)
    assert capsys.readouterr() == ("a\nb\\nc\n\n", "1\n")


def test_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal in (False, True):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=200)
        monkeypatch.setattr("search.cli.progress._SECONDS_BETWEEN_LINES", 0)
        with ProgressReport(f"[red]reading\x1b]52;{'' if terminal else EVIL}", "files", console) as report:
            report.update(1, f"[b]{EVIL}", total=2)
            report.update(2, f"[b]{EVIL}")
        assert isinstance(console.file, io.StringIO)
        written = console.file.getvalue()
        assert "]52;" in written
        assert "\x1b]52" not in written
        assert "\u202e" not in written
        assert "[b]" in written


@pytest.mark.parametrize("as_json", [False, True])
def test_logs_of_the_service(as_json: bool, capfd: pytest.CaptureFixture[str]) -> None:  # noqa: FBT001
    loggers = [logging.getLogger(name) for name in ("search", "uvicorn", "opentelemetry")]
    before = [(one.handlers, one.level, one.propagate) for one in loggers]
    try:
        write_logs(as_json=as_json)
        try:
            raise ValueError(EVIL)  # noqa: TRY301  # to have a traceback
        except ValueError:
            logging.getLogger("search").exception("failed on %s", EVIL)
        logging.getLogger("uvicorn.error").warning("Invalid %s", EVIL)
    finally:
        for one, (handlers, level, propagate) in zip(loggers, before, strict=True):
            one.handlers, one.propagate = handlers, propagate
            one.setLevel(level)
    written = capfd.readouterr().err
    assert len(re.findall("52;c;", written)) >= 3
    assert not OBEYED.search(written), ascii(written)
