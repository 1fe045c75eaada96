"""Where do libraries keep what they have computed? Beside what this package keeps, and nowhere else in the home folder."""

import atexit
import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

CACHE = ".cache/two-stage-search"  # below the home folder
_VARIABLE = "MPLCONFIGDIR"


@contextlib.contextmanager
def importing_matplotlib() -> Iterator[None]:
    """Matplotlib, imported meanwhile, keeps its list of fonts and looks for settings there, unless the environment says where."""
    if os.environ.get(_VARIABLE):
        yield
        return
    os.environ[_VARIABLE] = str(_of_matplotlib())
    try:
        yield
    finally:
        os.environ.pop(_VARIABLE, None)


def _of_matplotlib() -> Path:
    """In the home folder; where none can be written to, a folder that is gone with the process."""
    with contextlib.suppress(RuntimeError, OSError):
        folder = Path.home() / CACHE / "matplotlib"
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    folder = Path(tempfile.mkdtemp(prefix="search-matplotlib-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
