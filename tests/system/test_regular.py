"""Files that may be anything are looked at before they are opened."""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.api.keys import check_listening
from search.cli.collections import _lines
from search.errors import IndexRejected, InvalidDataset, InvalidQuery, InvalidSettings, ModelIncomplete
from search.evaluation.datasets import load_dataset
from search.index.server.connection import connect
from search.models.files import read_bytes
from search.query.replay import replay
from search.reading.files import SourceFile
from search.settings import ServiceSettings
from search.settings.files import SettingsFile
from search.system.files import check_writable, open_regular

READERS: dict[str, tuple[Callable[[Path], Any], type[Exception]]] = {
    "open_regular": (open_regular, OSError),
    "model": (read_bytes, ModelIncomplete),
    "settings": (lambda file: SettingsFile(file).text(), InvalidSettings),
    "documents": (lambda file: SourceFile(file, "x").open(), OSError),
    "an authority": (lambda file: connect("https://127.0.0.1:1", ca_file=file), IndexRejected),
    "a certificate": (lambda file: check_listening(ServiceSettings(certificate=file, private_key=file)), InvalidSettings),
}
NAMED: dict[str, tuple[Callable[[Path], Any], type[Exception], str]] = {
    "judgements": (load_dataset, InvalidDataset, '{"query": "x", "relevant": ["a"]}\n'),
    "a trace": (lambda file: replay(file, NOBODY, None, ""), InvalidQuery, "{}"),
    "queries": (_lines, InvalidQuery, "one\ntwo\n"),
}
NOBODY: Any = None


@pytest.mark.timeout(30)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_regular_file_is_never_opened(reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening some devices does something already, such as rewinding a tape."""
    read, kind = READERS[reader]
    os.mkfifo(tmp_path / "a named pipe")
    (tmp_path / "a device").symlink_to("/dev/null")
    opened: list[str] = []
    open_ = os.open

    def noted(path: Any, *arguments: Any, **options: Any) -> int:
        opened.append(str(path))
        return open_(path, *arguments, **options)

    monkeypatch.chdir(tmp_path)  # since the name of a socket is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("a socket")
        monkeypatch.setattr(os, "open", noted)
        for name in ("a named pipe", "a device", "a socket"):
            with pytest.raises(kind, match=f"it is {name} and no regular file"):
                read(tmp_path / name)
    assert opened == []


@pytest.mark.timeout(30)
@pytest.mark.parametrize("reader", NAMED)
def test_what_somebody_names_may_be_a_pipe_and_no_device(reader: str, tmp_path: Path) -> None:
    """As shells make one of `<(command)`; a device may have no end."""
    read, kind, content = NAMED[reader]
    (tmp_path / "zero.jsonl").symlink_to("/dev/zero")
    with pytest.raises(kind, match="it is a device and no regular file"):
        read(tmp_path / "zero.jsonl")
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    with pytest.raises(kind):  # nobody writes, so it is empty
        read(pipe)
    (tmp_path / "plain.jsonl").write_text(content)
    plain = outcome(read, tmp_path / "plain.jsonl")
    with open(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)) as kept, pipe.open("w") as writer:  # noqa: PTH123  # a descriptor
        writer.write(content)
        writer.flush()
        threading.Timer(0.2, writer.close).start()
        assert outcome(read, pipe) == plain.replace("plain.jsonl", "pipe.jsonl").replace("'plain'", "'pipe'")
        assert not kept.read()


def outcome(read: Callable[[Path], Any], file: Path) -> str:
    try:
        return str(read(file))
    except InvalidQuery as error:
        return str(error)


def test_whether_a_file_can_be_written_is_seen_without_writing(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("earlier")
    os.mkfifo(tmp_path / "pipe")
    for name in ("there", "new", "pipe"):
        check_writable(tmp_path / name)
    assert (tmp_path / "there").read_text() == "earlier"
    assert not (tmp_path / "new").exists()
    for wrong in (tmp_path, tmp_path / "nowhere" / "new", tmp_path / "there" / "new", tmp_path / ("x" * 300)):
        with pytest.raises(OSError, match=r"\[Errno"):
            check_writable(wrong)
