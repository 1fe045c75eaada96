"""Which files are settings read from, and what may each of them decide?

A folder that one works in may be somebody else's: a clone, an unpacked archive, a shared disk. So what its `.env` and `search.toml`
say is taken, but for what would send texts to another machine or let others in: that only arguments, the environment, the user's
own file or a file that is named may say.
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from search.errors import InvalidSettings
from search.network.addresses import is_local
from search.system.files import open_regular

DOTENV, TOML = Path(".env"), Path("search.toml")  # in the working folder
_LARGEST = 1_000_000  # bytes
_Name = tuple[str, ...]  # of a setting, section by section
_URLS: tuple[_Name, ...] = (("index", "url"), ("index", "urls"), ("reranker", "url"), ("service", "traces_url"))
_KEY_FILES: tuple[_Name, ...] = (("index", "api_key_file"), ("reranker", "api_key_file"))
_ANYBODY = 0o002
MISSING = object()


@dataclass(frozen=True)
class SettingsFile:
    """A file that settings are read from, if it is there.

    Attributes:
        path: as it was named.
        reason: why it may not send texts elsewhere or let others in; None if it may.
        required: whether it is an error that it is not there.
    """

    path: Path
    reason: str | None = None
    required: bool = False

    def text(self) -> str | None:
        """What stands in it; None if there is no such file. A folder is none: `.env` is one where Python keeps an environment.

        Raises:
            InvalidSettings: it cannot be read, is no regular file, is longer than a megabyte or not in UTF-8.
        """
        try:
            data = self._bytes()
        except OSError as error:
            raise InvalidSettings(f"the settings in {self.path} cannot be read: {error.strerror}") from error
        if data is None:
            if self.required:
                raise InvalidSettings(f"there is no file {self.path}, which --config or SEARCH_CONFIG names")
            return None
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            message = f"the settings in {self.path} are not UTF-8 at byte {error.start + 1}; convert the file"
            raise InvalidSettings(message) from error

    def is_there(self) -> bool:
        """Whether there is such a file. In a working folder that this user may not enter, as root's, nobody looks for settings."""
        try:
            return not self.path.is_dir() and self.path.exists()
        except PermissionError:
            return self.path.is_absolute()

    def table(self) -> dict[str, Any]:
        """What a TOML file says; InvalidSettings as by `text`, or if it is not TOML."""
        try:
            return tomllib.loads(self.text() or "")
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise InvalidSettings(f"the settings in {self.path} cannot be read: {error}") from error

    def _bytes(self) -> bytes | None:
        if self.required and self.path == Path(os.devnull):  # which says that there is none
            return b""
        try:
            with open_regular(self.path) as stream:
                data = stream.read(_LARGEST + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            if self.required or self.is_there():
                raise
            return None
        if len(data) > _LARGEST:
            raise InvalidSettings(f"the settings in {self.path} cannot be read: it is longer than a megabyte")
        return data


Source = tuple[Mapping[str, Any], SettingsFile | None]  # what it says, and its file; None for arguments and the environment


def settings_files(named: Path | None, home: Path | None) -> list[SettingsFile]:
    """Where settings are read from, strongest first: `.env`, a file that is named or else `search.toml`, the user's own.

    Args:
        named: by an argument or the environment, instead of the working folder's `search.toml`.
        home: the folder of the user's settings, where there is one.
    """
    foreign = "it is in the working folder"
    toml = SettingsFile(TOML, foreign) if named is None else SettingsFile(at_home(named), required=True)
    own = [] if home is None else [home / "two-stage-search" / TOML]
    return [SettingsFile(DOTENV, foreign), toml, *(SettingsFile(one, _writable_by_others(one)) for one in own)]


def at_home(path: Path) -> Path:
    """A path with ~ replaced by the home folder; ValueError where there is none."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"{path.parts[0]} has no home folder here: write the path in full") from error


def _writable_by_others(file: Path) -> str | None:
    try:
        status = file.stat()
    except OSError:
        return None  # nothing there
    if os.name == "posix" and (status.st_mode & _ANYBODY or status.st_uid not in {0, os.geteuid()}):
        return "others than you may write it (chmod o-w, and chown, mend that)"
    return None


def check_consent(sources: Sequence[Source]) -> None:
    """Refuse what a file decides that may not, of sources that stand strongest first.

    Raises:
        InvalidSettings: with the file, the setting and how to go on.
    """
    for values, file in sources:
        if file and "config" in values:
            raise InvalidSettings(f"{file.path} names another file of settings (config); name it by --config or SEARCH_CONFIG")
    sends = [name for name in _URLS if not _is_loopback(_effective(sources, name)[0])]
    if {("index", "url"), ("index", "urls")} & set(sends):
        sends.append(("index", "ca_file"))  # who may pass for the server
    opens: list[_Name] = [("service", "hosts"), ("service", "origins")]
    others_reach_it = not is_local(str(_effective(sources, ("service", "host"))[0] or "localhost"))
    if others_reach_it:
        opens.append(("service", "host"))
    keys = [(_effective([one], ("service", "api_keys"))[0], one[1]) for one in sources]  # of all sources together
    if others_reach_it or any(named and not (file and file.reason) for named, file in keys):  # by a proxy, or keys would be none
        opens += [("service", "api_keys", key) for named, _ in keys if isinstance(named, Mapping) for key in named]
        opens.append(("tenant_field",))  # by which keys are kept apart
    does = dict.fromkeys(sends, "sends texts to others") | dict.fromkeys(opens, "lets others in")
    for name, deed in (does | dict.fromkeys(_KEY_FILES, "sends what is in a file to others")).items():
        value, file = _effective(sources, name)
        if file and file.reason and value:
            last = sources[-1][1]
            own = f"your own file, {last.path}, or into " if last and not (last.reason or last.required) else ""
            raise InvalidSettings(
                f"{file.path} sets {'.'.join(name)}, which {deed}, and "
                f"{file.reason}. If you want that, name a search.toml of yours (search --config FILE …, or SEARCH_CONFIG=FILE), or "
                f"write it into {own}the environment (SEARCH_{'__'.join(name[:2]).upper()})"
            )


def _is_loopback(url: Any) -> bool:
    """Whether a URL, or each of several, stays on this machine; so does none at all, and what is none is refused elsewhere."""
    if isinstance(url, list | tuple):
        return all(_is_loopback(one) for one in url)
    if not isinstance(url, str):
        return True
    try:
        return is_local(urlsplit(url).hostname or "")
    except ValueError:
        return False


def _effective(sources: Sequence[Source], name: _Name) -> tuple[Any, SettingsFile | None]:
    """A setting's value, and the file that it is from: the strongest source that has any; None if none has."""
    for values, file in sources:
        if (value := value_of(values, name)) is not MISSING:
            return value, file
    return None, None


def value_of(values: Any, name: Sequence[str]) -> Any:
    """What a source says of a setting, section by section; MISSING if it says nothing."""
    for part in name:
        values = values.get(part, MISSING) if isinstance(values, Mapping) else MISSING
    return values
