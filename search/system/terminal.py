r"""What is printed for people? Lines without anything that a terminal obeys, whatever a document has in its id or its text.

An escape sequence may write to the clipboard, rename the window or draw over what stands there; a line break may feign a line
of ours; what turns the direction of writing may show a name as another one. They are printed as Python writes them, such as \x1b.
"""

import re
import sys

# Controls of both sets but tabs; separators of lines; overrides and isolates of the direction of writing.
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def clean(text: object) -> str:
    """A text as one line that any terminal may be given."""
    return _CONTROLS.sub(_visible, str(text))


def clean_lines(text: str) -> str:
    """The same of a text whose line breaks are meant, such as a traceback."""
    return "\n".join(clean(line) for line in text.split("\n"))


def show(*lines: object, flush: bool = False) -> None:
    """Print lines on stdout; without any, an empty one."""
    print(*map(clean, lines or [""]), sep="\n", flush=flush)


def note(*lines: object) -> None:
    """Print lines on stderr."""
    print(*map(clean, lines), sep="\n", file=sys.stderr, flush=True)


def _visible(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
