"""Which program runs Python? What embeds it, such as uWSGI, gives its own name in place of that, or none."""

import errno
import sys
from pathlib import Path


def interpreter() -> str:
    """The program to start further processes of Python with: this one's, or else that of its environment.

    Raises:
        FileNotFoundError: Python is embedded, and the environment has none; or it is frozen, so that the package is in no other.
    """
    own, frozen = sys.executable or "", hasattr(sys, "frozen")
    if "py" in Path(own).name and not frozen:
        return own
    folder = Path(sys.exec_prefix, "bin")
    names = [f"python{sys.version_info.major}.{sys.version_info.minor}"]
    names += ["python"] if sys.prefix != sys.base_prefix else []  # of a virtual environment, which has no others
    if not frozen and (found := next((one for name in names if (one := folder / name).is_file()), None)):
        return str(found)
    where = "it is frozen" if frozen else f"it is embedded in {own or 'another program'}, and there is no {folder / names[0]}"
    raise FileNotFoundError(errno.ENOENT, f"no Python to start it with ({where}); run this by a Python of its own")


def has_interpreter() -> bool:
    """Whether there is one."""
    try:
        interpreter()
    except FileNotFoundError:
        return False
    return True
