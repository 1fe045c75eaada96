"""The tutorial runs as it stands, block after block, in one shell, and prints what it says."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from standin import QdrantStandIn

PAGE = (Path(__file__).parents[1] / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|python|text)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
END = "=== end of a block ==="


def pattern(text: str) -> str:
    """What the page says is printed, with … for anything."""
    return "".join(
        r"(?:.*\n)*" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + r"[ ]*\n" for line in text.splitlines()
    )


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl here, which the tutorial asks the service with")
def test_the_tutorial_runs_as_it_stands(tmp_path: Path, standin: QdrantStandIn) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    script = ["set -eu -o pipefail"]
    for kind, content in BLOCKS:
        if kind != "text":
            script += [content if kind == "sh" else f"python - <<'END'\n{content}END\n", f"echo '{END}'"]
    lines = "\n".join(script).replace("http://127.0.0.1:6333", standin.url).replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "COLUMNS": "120",
        "SEARCH_SERVICE__PORT": str(port),
    }
    done = subprocess.run(["bash", "-c", lines], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed = done.stdout.split(f"{END}\n")[:-1]
    number = -1
    for kind, content in BLOCKS:
        number += kind != "text"
        if kind == "text":
            assert re.fullmatch(pattern(content), printed[number]), f"{content}\n--- printed:\n{printed[number]}\n{done.stderr}"
    assert not {one.name for one in tmp_path.iterdir()} - {"kitchen", ".cache", ".local", ".config"}
