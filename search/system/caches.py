"""Where do libraries keep what they have computed? Beside what this package keeps, and nowhere else in the home folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CACHE = ".cache/two-stage-search"  # below the home folder
_VARIABLE = "MPLCONFIGDIR"


@contextmanager
def matplotlib_at() -> Iterator[None]:
    """While it is imported: where Matplotlib keeps its list of fonts, and looks for settings, unless the environment says it."""
    try:
        folder = os.environ.get(_VARIABLE) or str(Path.home() / CACHE / "matplotlib")
    except RuntimeError:  # nobody's home
        folder = ""
    before = os.environ.get(_VARIABLE)
    try:
        os.environ[_VARIABLE] = folder  # where it is empty, the library finds a place of its own
        yield
    finally:
        os.environ.pop(_VARIABLE)
        os.environ.update({_VARIABLE: before} if before is not None else {})
