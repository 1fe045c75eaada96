"""Memory does not grow with the number of documents."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = """
import resource, sys
from search import Document, Settings, open_search
count, room, kept = int(sys.argv[1]), int(sys.argv[2]) * 1_000_000, []
def held():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmData"))
    return int(line.split()[1]) * 1024
def documents():
    for number in range(count):
        if number == 1_000:  # models, threads and buffers are there
            resource.setrlimit(resource.RLIMIT_DATA, (held() + room, held() + room))
        document = Document(id=str(number), text=f"Document {number} says nothing.", metadata={"long": f"{number} " * 3_000})
        if "keep" in sys.argv:
            kept.append(document)
        yield document
with open_search(Settings()) as searcher:
    print(searcher.ingest(documents()).added)
"""
ROOM = 100  # MB


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits anonymous memory")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("keep", [False, True], ids=["as it is", "if documents were kept"])
def test_documents_under_a_memory_cap(keep: bool, tmp_path: Path, model_folder: Path, in_full: bool) -> None:  # noqa: FBT001
    count = 20_000 if in_full else 8_000  # of 16 kB each: what is anonymous may grow by far less than that
    settings = {"SEARCH_DATA_DIR": str(tmp_path), "SEARCH_EMBEDDER__MODEL": str(model_folder / "embedder-mean")}
    command = [sys.executable, "-c", RUN, str(count), str(ROOM), *(["keep"] if keep else [])]
    done = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=False)
    if keep:
        assert done.returncode != 0
    else:
        assert (done.stdout.split(), done.returncode) == ([str(count)], 0), done.stderr
