r"""What is printed for people? Lines without anything that a terminal obeys, whatever a document has in its id or its text.

An escape sequence may write to the clipboard, rename the window or draw over what stands there; a line break may feign a line
of ours; what turns the direction of writing may show a name as another one. They are printed as Python writes them, such as \x1b.
"""

import io
import os
import re
import sys
from typing import Any

# Controls of both sets but tabs; separators of lines; overrides and isolates of the direction of writing.
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def clean(text: object) -> str:
    """A text as one line that any terminal may be given."""
    return _CONTROLS.sub(_visible, str(text))


def clean_lines(text: str) -> str:
    """The same of a text whose line breaks are meant, such as a traceback."""
    return "\n".join(clean(line) for line in text.split("\n"))


class NotPrinted(Exception):
    """Standard output takes no more: the disk that it goes to is full, say."""


class _Output(io.FileIO):
    """Standard output, of which a failure is told apart from those of other files."""

    _failed = False

    def write(self, data: Any, /) -> int:
        if self._failed:
            return len(data)  # Python writes what is left once more as it ends, and would complain
        try:
            return super().write(data)
        except OSError as error:
            self._failed = True
            if isinstance(error, BrokenPipeError):  # who reads it has had enough
                raise
            raise NotPrinted(f"what it prints cannot be written: {error.strerror}") from error


def prepare() -> None:
    """Whatever is printed from now on: a character that a terminal cannot show is escaped, and a full disk raises NotPrinted.

    Where a standard stream is closed, nothing is read or printed, and no file that is opened later takes its place.
    """
    _open_closed()
    out = sys.stdout
    if (
        isinstance(out, io.TextIOWrapper)
        and out is sys.__stdout__
        and isinstance(getattr(out.buffer, "raw", out.buffer), io.FileIO)
    ):
        out.flush()
        buffer: Any = _Output(out.fileno(), "w", closefd=False)
        buffer = buffer if out.write_through else io.BufferedWriter(buffer)
        sys.stdout = io.TextIOWrapper(
            *(buffer, out.encoding, "backslashreplace"), line_buffering=out.line_buffering, write_through=out.write_through
        )
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _open_closed() -> None:
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003  # the lowest number that is free is this one
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # as Python has one that was closed when it started
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115  # until the end


def check_shown() -> None:
    """What was shown has arrived where standard output leads; NotPrinted if it leads nowhere, or takes no more."""
    if sys.__stdout__ is None:
        raise NotPrinted("standard output is closed, and what it prints is shown nowhere else")
    sys.stdout.flush()


def show(*lines: object, flush: bool = False) -> None:
    """Print lines on stdout; without any, an empty one."""
    print(*map(clean, lines or [""]), sep="\n", flush=flush)


def note(*lines: object) -> None:
    """Print lines on stderr."""
    print(*map(clean, lines), sep="\n", file=sys.stderr, flush=True)


def _visible(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
