"""Where do libraries keep what they have computed? Beside what this package keeps, and nowhere else in the home folder."""

import contextlib
import os
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
    with contextlib.suppress(RuntimeError):  # nobody's home: the library finds a place of its own
        os.environ[_VARIABLE] = str(Path.home() / CACHE / "matplotlib")
    try:
        yield
    finally:
        os.environ.pop(_VARIABLE, None)
