"""Where do figures go? Into benchmarks/results/, with the machine, the versions and the commit they were measured on."""

import importlib.metadata
import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import search  # noqa: F401  # before what would load ONNX Runtime with its telemetry on

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("two-stage-search", "fastembed", "onnxruntime", "qdrant-client", "qdrant-edge-py", "numpy", "tokenizers")


def write(name: str, figures: dict[str, Any]) -> None:
    """Write results/NAME.json and print it."""
    record = {"measured": datetime.now(UTC).date().isoformat(), "commit": _commit(), **_machine(), "figures": figures}
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(record, indent=2) + "\n"
    (RESULTS / f"{name}.json").write_text(text)
    print(text)


def _machine() -> dict[str, Any]:
    names = [line.split(":", 1)[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    versions = {package: version for package in PACKAGES if (version := _version(package))}
    processor = names[0] if names else platform.processor()
    return {
        "machine": {"processor": processor, "cores": os.cpu_count(), "system": platform.platform()},
        "versions": {"python": platform.python_version(), **versions},
    }


def _cpuinfo() -> list[str]:
    file = Path("/proc/cpuinfo")
    return file.read_text().splitlines() if file.is_file() else []


def _commit() -> str:
    here = Path(__file__).parent
    commit = subprocess.run(["git", "-C", here, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    changed = subprocess.run(["git", "-C", here, "status", "--porcelain", "../search"], capture_output=True, text=True, check=True)
    return commit.stdout.strip() + (" and uncommitted changes" if changed.stdout.strip() else "")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
