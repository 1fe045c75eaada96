"""A checkpoint by its name on the model hub: a stand-in speaks as much of the hub's HTTP as a download needs."""

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from commands import one_line, search_apart
from languages import checkpoint, recipe_file

COMMIT = "5" * 40
UNWANTED = ("pytorch_model.bin", "consolidated.safetensors", "onnx/model.onnx", "README.md", "original/model.safetensors")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of a hub with one model, somebody/tiny, and the files that were fetched from it."""
    source = checkpoint(tmp_path / "theirs", "llama", shards=2)
    files = {file.name: file.read_bytes() for file in source.iterdir()} | dict.fromkeys(UNWANTED, b"not wanted")
    fetched: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True  # or every answer waits 40 ms for an acknowledgement
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def _answer(self, *, body: bool) -> None:
            path = self.path.partition("?")[0]
            name = path.removeprefix(f"/somebody/tiny/resolve/{COMMIT}/")
            if path.startswith("/api/models/somebody/tiny/tree/"):
                listed: list[dict[str, Any]] = [
                    {"type": "file", "path": file, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}  # noqa: S324
                    for file, content in files.items()
                ]
                self._send(200, json.dumps(listed).encode(), {}, body=body)
            elif path.startswith("/api/models/somebody/tiny"):
                told = {"id": "somebody/tiny", "sha": COMMIT, "siblings": [{"rfilename": file} for file in files]}
                self._send(200, json.dumps(told).encode(), {}, body=body)
            elif name in files:
                if body:
                    fetched.append(name)
                etag = hashlib.sha256(files[name]).hexdigest()
                self._send(200, files[name], {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}, body=body)
            else:
                self._send(404, b"", {"X-Error-Code": "RepoNotFound"}, body=body)

        def _send(self, status: int, content: bytes, headers: dict[str, str], *, body: bool) -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", fetched
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_model_is_downloaded_once_and_only_what_it_takes(hub: tuple[str, list[str]], tmp_path: Path) -> None:
    url, fetched = hub
    environment: dict[str, Any] = {
        "HF_ENDPOINT": url,
        "SEARCH_MODEL_CACHE": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    recipe = recipe_file(tmp_path, "yes-no", max_tokens=300)
    search_apart("export", "somebody/tiny", tmp_path / "first", "--recipe", recipe, **environment)
    wanted = {"config.json", "tokenizer.json", "model.safetensors.index.json"}
    assert set(fetched) == wanted | {f"model-0000{number}-of-00002.safetensors" for number in (1, 2)}
    count = len(fetched)
    search_apart("export", "somebody/tiny", tmp_path / "second", "--recipe", recipe, **environment)
    assert len(fetched) == count
    assert (tmp_path / "first" / "model.onnx.data").read_bytes() == (tmp_path / "second" / "model.onnx.data").read_bytes()


def test_a_model_that_is_not_on_the_hub(hub: tuple[str, list[str]], tmp_path: Path) -> None:
    environment: dict[str, Any] = {**os.environ, "HF_ENDPOINT": hub[0], "SEARCH_MODEL_CACHE": str(tmp_path / "cache")}
    told = one_line(search_apart("export", "somebody/else", tmp_path / "out", status=1, **environment))
    assert "the model somebody/else is not in" in told
    assert "copy the checkpoint's folder here and give its path" in told
