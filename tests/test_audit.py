"""What is pinned is audited: by a stand-in of the OSV service, spoken to over real HTTP."""

import json
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
    asked = 0


class Handler(BaseHTTPRequestHandler):
    server: Osv

    def do_POST(self) -> None:
        package = json.loads(self.rfile.read(int(self.headers["content-length"])))["package"]
        self.server.asked += 1
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


def audit(osv: Osv) -> "subprocess.CompletedProcess[str]":
    options = ["--vulnerability-service", "osv", "--osv-url", f"http://127.0.0.1:{osv.server_port}/v1/query"]
    return subprocess.run([sys.executable, SCRIPT, *options], capture_output=True, text=True, check=False)


def test_what_is_vulnerable_is_named(osv: Osv) -> None:
    clean = audit(osv)
    assert (clean.returncode, osv.asked > 300) == (0, True), clean.stderr
    osv.vulnerable = frozenset({"qdrant-client"})
    told = audit(osv)
    assert told.returncode == 1
    assert "PYSEC-0000-1, fixed in 99.1" in told.stdout
    assert told.stdout.count("  qdrant-client ") == 3  # of four files


def test_that_nobody_could_be_asked_is_no_success(osv: Osv) -> None:
    osv.server_close()
    told = audit(osv)
    assert (told.returncode, "cpu.txt: " in told.stderr) == (3, True)
