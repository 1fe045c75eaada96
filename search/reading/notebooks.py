"""What does a notebook of Jupyter say? Its texts, its code, and what that printed, as Markdown."""

import json
import re
from collections.abc import Mapping
from typing import Any

from search.errors import InvalidDocument
from search.reading.webpages import fence_for, to_markdown

_MOST = 20_000  # characters of an output that shows something else than what was printed
_OBJECT = re.compile(r"\s*<[^<>]*>\s*")  # what Python calls one, in place of what it shows
_COLOURS = re.compile(  # and what else a terminal is told, such as where a link leads
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]+[0-~])"
)
_LANGUAGES = (("kernelspec", "language"), ("language_info", "name"))  # parts of what a notebook says about itself
_WORDS = re.compile(r"[\w+#. -]+")


def read(content: bytes) -> tuple[str, str, Mapping[str, Any]]:
    """No title, text, and metadata: how many outputs are longer than what is read of one.

    Raises:
        InvalidDocument: it holds no cells.
        ValueError: it is no JSON.
    """
    notebook = json.loads(content)
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list):
        raise InvalidDocument("it holds no cells as notebooks of version 4 have them; open it in Jupyter, and save it")
    language = _language(notebook.get("metadata"))
    parts: list[str] = []
    cut = 0
    for cell in cells:
        if not isinstance(cell, dict):
            raise InvalidDocument("one of its cells is none; open it in Jupyter, and save it")
        source = _joined(cell.get("source"))
        if cell.get("cell_type") == "code":
            outputs = cell.get("outputs")
            parts.append(_fenced(source, language))
            shown = [_shown(output) for output in (outputs if isinstance(outputs, list) else ()) if isinstance(output, dict)]
            cut += sum(len(one) > _MOST for one, is_printed in shown if not is_printed)
            parts += [
                one if not is_printed and len(one) <= _MOST else _fenced(one if is_printed else one[:_MOST])
                for one, is_printed in shown
            ]
        else:
            parts.append(source)
    return "", "\n\n".join(part for part in parts if part.strip()) + "\n", {"outputs_left_out": cut} if cut else {}


def _language(about: Any) -> str:
    """What the code is written in; empty if the notebook does not say."""
    told = ((about.get(part), name) for part, name in _LANGUAGES) if isinstance(about, dict) else ()
    names = (part.get(name) for part, name in told if isinstance(part, dict))
    return next((name for name in names if isinstance(name, str) and _WORDS.fullmatch(name)), "")


def _shown(output: Mapping[str, Any]) -> tuple[str, bool]:
    """What a reader of the notebook sees of an output, if that is text; and whether it was printed, or is Markdown."""
    if output.get("output_type") == "error":
        return _COLOURS.sub("", f"{output.get('ename', '')}: {output.get('evalue', '')}")[:_MOST], True
    data = output.get("data")
    kinds = data if isinstance(data, dict) else {}
    printed = _COLOURS.sub("", _joined(output.get("text") or kinds.get("text/plain")))
    if written := _joined(kinds.get("text/markdown")):
        return written, False
    if printed.strip() and not _OBJECT.fullmatch(printed):
        return printed, True
    page = to_markdown(_joined(kinds.get("text/html")))[1].strip() if "text/html" in kinds else ""
    written = page or _joined(kinds.get("text/latex"))
    if written or any(kind.startswith("image/") for kind in kinds):
        return written, False
    return printed, True


def _joined(lines: Any) -> str:
    """Text, or lines of it; nothing of anything else."""
    return lines if isinstance(lines, str) else "".join(map(str, lines)) if isinstance(lines, list) else ""


def _fenced(code: str, language: str = "") -> str:
    """Lines of code between fences; nothing without any."""
    fence = fence_for(code)
    return f"{fence}{language}\n{code.strip(chr(10))}\n{fence}" if code.strip() else ""
