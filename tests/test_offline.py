"""Nothing asks the network for anything: neither the library nor the command, from import to answer."""

import ast
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
COMMAND = str(Path(sys.executable).parent / "search")

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
SERVED = """
import json, subprocess, sys, urllib.request
server = subprocess.Popen([sys.argv[1], "serve", "--port", "0", "--log", "none"], stderr=subprocess.PIPE, text=True)
url = next(line.split()[-1] for line in server.stderr if line.startswith("listening on "))
body = json.dumps({"query": "cats"}).encode()
request = urllib.request.Request(url + "/v1/search", body, {"content-type": "application/json"})
with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
    assert json.load(answer)["hits"]
server.terminate()
server.wait(60)
"""
# A network namespace with a route that leads nowhere: without one, what reports home finds no network and does not try.
ROUTED = (
    "ip link set lo up && ip link add here type veth peer name there && ip addr add 192.0.2.1/24 dev here && "
    'ip link set here up && ip link set there up && ip route add default via 192.0.2.2 && exec "$@"'
)


class Traces(NamedTuple):
    written: set[str]  # files and folders made or opened for writing
    asked: set[str]  # system calls that look a name up or reach for another machine


def traced(home: Path, *command: str, **environment: str) -> Traces:
    """What a command does in a fresh home, without the variables that make telemetry hold still (CI)."""
    log = home.with_suffix(".strace")
    cut_off = ["unshare", "--net", "--map-root-user", "sh", "-c", ROUTED, "sh"]
    tracer = ["strace", "-f", "--seccomp-bpf", "-o", str(log)]  # which stops at these calls alone
    probe = [*cut_off, *tracer, "true"]
    if not shutil.which("unshare") or subprocess.run(probe, check=False, capture_output=True).returncode:
        pytest.skip("needs strace, unshare and ip, and a system that lets them make a network")
    calls = "trace=connect,sendto,sendmsg,sendmmsg,open,openat,creat,mkdir,mkdirat"
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [*cut_off, *tracer, "-y", "-s", "400", "-e", calls, *command],
        env={"HOME": str(home), "TMPDIR": str(home / "tmp"), "PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        cwd=home,
        stdin=subprocess.DEVNULL,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = log.read_text(errors="replace").splitlines()
    opened = [
        match[1] for line in lines if re.search(r"O_(WRONLY|RDWR|CREAT)", line) and (match := re.search(r"= \d+<([^>]+)>", line))
    ]
    made = [match[1] for line in lines if (match := re.search(r'mkdir(?:at)?\(.*?"([^"]+)".*= 0$', line))]
    asked = {line for line in lines if "/etc/resolv.conf" in line or ("sa_family=AF_INET" in line and '"127.0.0.1"' not in line)}
    nothing = ("/dev/", "pipe:", "socket:")  # though the home may be in /dev/shm
    return Traces({one for one in (*opened, *made) if one.startswith(str(home)) or not one.startswith(nothing)}, asked)


def astray(home: Path, traces: Traces) -> set[str]:
    """What was written outside data, cache and temporary files; folders on the way to them are none of it."""
    places = [home / part for part in (".local/share/two-stage-search", ".cache/two-stage-search", "tmp")]
    return {
        name
        for name in traces.written
        if Path(name).is_absolute() and not any(Path(name).is_relative_to(one) or one.is_relative_to(name) for one in places)
    }


def test_no_command_reports_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "notes").mkdir(parents=True)
    (home / "notes" / "cats.md").write_text("# Cats\n\nCats sleep all day.")
    (home / "judged.jsonl").write_text('{"query": "cats", "relevant": ["notes/cats.md"]}\n')
    for command in (
        [COMMAND, "models"],
        [COMMAND, "ingest", "notes"],
        [COMMAND, "query", "cats"],
        [COMMAND, "context", "cats"],
        [COMMAND, "dedupe"],
        [COMMAND, "evaluate", "judged.jsonl", "--out", "tmp/report"],
        [COMMAND, "mcp"],
        [COMMAND, "doctor"],
        [sys.executable, "-c", SERVED, COMMAND],  # with Edge in a child process
        [sys.executable, "-c", "import search.inference.runtime"],
    ):
        traces = traced(home, *command)
        assert (astray(home, traces), traces.asked) == (set(), set()), command


def test_the_tracing_above_would_notice_and_the_user_decides(tmp_path: Path) -> None:
    home = tmp_path / "home"
    traces = traced(home, COMMAND, "doctor", ORT_DISABLE_TELEMETRY="0")
    assert [name for name in astray(home, traces) if "deviceid" in name], "onnxruntime reports no more; see whether that is so"
    looked_up = "import socket\ntry: socket.getaddrinfo('example.com', 443)\nexcept OSError: pass"
    assert traced(home, sys.executable, "-c", looked_up).asked


def test_telemetry_is_off_unless_the_environment_says_otherwise() -> None:
    script = "import os, search; print(os.environ['ORT_DISABLE_TELEMETRY'], search.system.telemetry.telemetry_off())"
    for value, expected in ((None, "1 True"), ("", "1 True"), ("true", "true True"), ("0", "0 False")):
        environment = {name: kept for name, kept in os.environ.items() if "TELEMETRY" not in name}
        environment |= {} if value is None else {"ORT_DISABLE_TELEMETRY": value}
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected


@pytest.mark.parametrize("folder", ["benchmarks", "scripts", "examples"])
def test_nothing_imports_a_runtime_before_search_switched_its_telemetry_off(folder: str) -> None:
    """Qdrant's client imports FastEmbed where it is installed, and that ONNX Runtime."""
    for file in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.parse(file.read_text()).body:  # at the top, where third parties come first
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
                modules = {name.partition(".")[0] for name in names}
                if modules & {"search", "record"}:  # which imports the former
                    break
                assert not modules & {"onnxruntime", "fastembed", "qdrant_client"}, file


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
    for turn in range(2):  # again only where this machine had other things to do meanwhile
        for name, prefix in (("with", []), ("without", cut_off)):
            started = time.perf_counter()
            subprocess.run([*prefix, sys.executable, "-c", SCRIPT, str(tmp_path / f"{name}{turn}")], check=True)
            seconds[name].append(time.perf_counter() - started)
        if min(seconds["without"]) < 1.5 * min(seconds["with"]) + 0.5:
            break
    assert min(seconds["without"]) < 1.5 * min(seconds["with"]) + 0.5  # a single refused download waits far longer
