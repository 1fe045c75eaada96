"""Files that may be anything are looked at before they are opened."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.errors import InvalidSettings, ModelIncomplete
from search.models.files import read_bytes
from search.reading.files import SourceFile
from search.settings.files import SettingsFile
from search.system.files import open_regular

READERS: dict[str, tuple[Callable[[Path], Any], type[Exception]]] = {
    "open_regular": (open_regular, OSError),
    "model": (read_bytes, ModelIncomplete),
    "settings": (lambda file: SettingsFile(file).text(), InvalidSettings),
    "documents": (lambda file: SourceFile(file, "x").open(), OSError),
}


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
