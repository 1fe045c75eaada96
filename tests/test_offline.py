"""Nothing asks the network for anything: neither the library nor the command, from import to answer."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import sys
from search import Document, Settings, open_search
with open_search(Settings(data_dir=sys.argv[1])) as searcher:
    searcher.ingest([Document(id="1", text="The cat sat on the mat.")])
    assert searcher.search("cat", filter={"must": [{"key": "document_id", "match": {"value": "1"}}]}).rerank_status == "full"
"""
FORBIDDEN = """
import sys
def forbid(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}:
        raise SystemExit(f"{event}{arguments}")
sys.addaudithook(forbid)
"""


def test_no_connection_is_ever_tried(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", FORBIDDEN + SCRIPT, str(tmp_path)], check=True)


def test_the_guard_above_would_notice() -> None:
    tried = "import socket\nsocket.create_connection(('127.0.0.1', 9))"
    done = subprocess.run([sys.executable, "-c", FORBIDDEN + tried], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "socket." in done.stderr


def test_starting_without_a_network_takes_no_longer(tmp_path: Path) -> None:
    cut_off = ["unshare", "--net", "--map-root-user"]
    if not shutil.which("unshare") or subprocess.run([*cut_off, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this system makes no network namespaces")
    seconds: dict[str, list[float]] = {"with": [], "without": []}
    for turn in range(3):
        for name, prefix in (("with", []), ("without", cut_off)):
            started = time.perf_counter()
            subprocess.run([*prefix, sys.executable, "-c", SCRIPT, str(tmp_path / f"{name}{turn}")], check=True)
            seconds[name].append(time.perf_counter() - started)
    assert min(seconds["without"]) < 1.5 * min(seconds["with"]) + 0.5  # a single refused download waits far longer
