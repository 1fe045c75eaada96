"""What is pinned is audited: by a stand-in of the OSV service, spoken to over real HTTP."""

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts/audit.py"


class Osv(ThreadingHTTPServer):
    """Knows some packages as vulnerable."""

    vulnerable: frozenset[str] = frozenset()

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.asked: list[tuple[str, str]] = []


class Handler(BaseHTTPRequestHandler):
    disable_nagle_algorithm = True  # or every answer waits 40 ms for an acknowledgement
    server: Osv

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["content-length"])))
        package = query["package"]
        self.server.asked.append((package["name"], query["version"]))
        answer: dict[str, Any] = {}
        if package["name"] in self.server.vulnerable:
            events = [{"introduced": "0"}, {"fixed": "99.1"}]
            affected = {"package": package, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
            answer["vulns"] = [{"id": "PYSEC-0000-1", "summary": "It leaks.", "affected": [affected]}]
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def osv() -> Iterator[Osv]:
    with Osv(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def audit(osv: Osv, script: Path = SCRIPT) -> "subprocess.CompletedProcess[str]":
    options = ["--vulnerability-service", "osv", "--osv-url", f"http://127.0.0.1:{osv.server_port}/v1/query"]
    return subprocess.run([sys.executable, script, *options], capture_output=True, text=True, check=False)


def project(folder: Path, **requirements: str) -> Path:
    """The script, over other files than ours."""
    (folder / "scripts").mkdir()
    (folder / "requirements").mkdir()
    for name, lines in requirements.items():
        (folder / "requirements" / f"{name}.txt").write_text(lines)
    return Path(shutil.copy(SCRIPT, folder / "scripts"))


def test_what_is_vulnerable_is_named(osv: Osv, tmp_path: Path, in_full: bool) -> None:  # noqa: FBT001  # a fixture
    """All of our files in a full run, else two of them: .ci/run asks who really knows about all."""
    pinned = {name: (SCRIPT.parents[1] / "requirements" / f"{name}.txt").read_text() for name in ("cpu", "torch-cpu")}
    (tmp_path / "clean").mkdir()
    clean = audit(osv, project(tmp_path / "clean", cpu=pinned["cpu"]))
    assert (clean.returncode, clean.stdout.endswith("; 0 vulnerabilities\n")) == (0, True), clean.stderr
    osv.vulnerable = frozenset({"qdrant-client"})
    told = audit(osv, SCRIPT if in_full else project(tmp_path, **pinned))
    assert (told.returncode, len(osv.asked) > (300 if in_full else 100)) == (1, True), told.stderr
    assert "NOT AUDITED" not in told.stdout
    assert "PYSEC-0000-1, fixed in 99.1" in told.stdout
    assert told.stdout.count("  qdrant-client ") == (6 if in_full else 1)  # of nine files, or of two


def test_that_nobody_could_be_asked_is_no_success(osv: Osv, tmp_path: Path) -> None:
    osv.server_close()
    told = audit(osv, project(tmp_path, cpu="annotated-doc==0.0.4\n"))
    assert told.stdout == "cpu.txt: 0 of 1 packages are known to who was asked\n  NOT AUDITED: annotated-doc 0.0.4\n"
    assert (told.returncode, told.stderr != "") == (3, True)


@pytest.mark.parametrize(("option", "status"), [("--help", 0), ("--osv-ulr", 2)])
def test_help_and_options_that_there_are_not_audit_nothing(option: str, status: int, tmp_path: Path) -> None:
    told = subprocess.run([sys.executable, project(tmp_path), option], capture_output=True, text=True, check=False)
    assert (told.returncode, "usage: audit.py" in told.stdout + told.stderr, "--osv-url URL" in told.stdout) == (
        status,
        True,
        status == 0,
    )


def test_pins_of_other_platforms_and_pythons_are_asked_about(osv: Osv, tmp_path: Path) -> None:
    lines = "colorama==0.4.6 ; sys_platform == 'plan9' \\\n    --hash=sha256:0\nnumpy==2.4.6 ; python_full_version < '3.12'\n"
    script = project(tmp_path, cpu=f"{lines}numpy==2.5.5 ; python_full_version >= '3.12'\nUvicorn[standard]==1.0+cpu # why\n")
    assert audit(osv, script).returncode == 0
    assert sorted(osv.asked) == [("colorama", "0.4.6"), ("numpy", "2.4.6"), ("numpy", "2.5.5"), ("uvicorn", "1.0")]
    osv.vulnerable = frozenset({"colorama"})
    assert audit(osv, script).returncode == 1


@pytest.mark.parametrize(
    ("requirements", "words"),
    [
        ({"cpu": "typer==1.0\nrich>=13\n"}, "NOT AUDITED: rich>=13"),
        ({"cpu": "typer==1.0\nx @ https://127.0.0.1/x.whl\n"}, "NOT AUDITED: x @ https://127.0.0.1/x.whl"),
        (
            {"cpu": "typer==1.0\n", "gpu": "# none\n"},
            "gpu.txt: 0 of 0 packages are known to who was asked\n  NOT",
        ),
        ({}, ""),
    ],
    ids=["a range", "an address", "an empty file", "no file"],
)
def test_what_is_not_audited_is_no_success(requirements: dict[str, str], words: str, osv: Osv, tmp_path: Path) -> None:
    told = audit(osv, project(tmp_path, **requirements))
    assert (told.returncode, words in told.stdout) == (3, True), told.stdout


def test_a_package_that_who_was_asked_does_not_know_is_named(tmp_path: Path) -> None:
    """As the registry's answer has it: pip-audit skips what is not found there."""
    script = project(tmp_path, cpu="typer==1.0\nours_alone==0.1\n")
    skipped = {"name": "ours-alone", "skip_reason": "Dependency not found"}
    answer = {"dependencies": [{"name": "typer", "version": "1.0", "vulns": []}, skipped]}
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "bin" / "pip-audit").write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    (tmp_path / "bin" / "pip-audit").chmod(0o755)
    told = subprocess.run([tmp_path / "bin" / "python", script], capture_output=True, text=True, check=False)
    assert told.returncode == 3
    assert told.stdout == "cpu.txt: 1 of 2 packages are known to who was asked; 0 vulnerabilities\n  NOT AUDITED: ours_alone 0.1\n"


@pytest.mark.parametrize("file", sorted((SCRIPT.parents[1] / "requirements").glob("*.txt")), ids=lambda file: file.stem)
def test_everything_that_is_pinned_is_pinned_by_hash(file: Path) -> None:
    entries = [line for line in file.read_text().replace("\\\n", " ").splitlines() if line.strip(" #") and line[0] != "#"]
    assert entries
    assert [line[:60] for line in entries if not re.match(r"[a-z0-9._-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)] == []


@pytest.mark.parametrize("name", [".ci/run", "scripts/install", "Dockerfile"])
def test_what_is_installed_comes_by_hash_or_brings_nothing_along(name: str) -> None:
    text = (SCRIPT.parents[1] / name).read_text()
    installs = re.findall(r"pip install.*", text)
    assert installs
    assert [line for line in installs if "--require-hashes" not in line and "--no-deps --no-build-isolation" not in line] == []
