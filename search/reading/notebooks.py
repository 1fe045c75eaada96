"""What does a notebook of Jupyter say? Its texts, its code, and what that printed, as Markdown."""

import json
from collections.abc import Mapping
from typing import Any

from search.errors import InvalidDocument
from search.reading.webpages import fence_for


def read(content: bytes) -> tuple[str, str, Mapping[str, Any]]:
    """No title, text, and no metadata.

    Raises:
        InvalidDocument: it holds no cells.
        ValueError: it is no JSON.
    """
    notebook = json.loads(content)
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list):
        raise InvalidDocument("it holds no cells as notebooks of version 4 have them; open it in Jupyter, and save it")
    about = notebook.get("metadata")
    kernel = about.get("kernelspec") if isinstance(about, dict) else None
    language = str(kernel.get("language", "")) if isinstance(kernel, dict) else ""
    parts: list[str] = []
    for cell in cells:
        if not isinstance(cell, dict):
            raise InvalidDocument("one of its cells is none; open it in Jupyter, and save it")
        source = _joined(cell.get("source"))
        if cell.get("cell_type") == "code":
            outputs = cell.get("outputs")
            parts.append(_fenced(source, language))
            parts += [_fenced(_printed(output)) for output in (outputs if isinstance(outputs, list) else ())]
        else:
            parts.append(source)
    return "", "\n\n".join(part for part in parts if part.strip()) + "\n", {}


def _printed(output: Any) -> str:
    """What a reader of the notebook sees of an output, if that is text."""
    if not isinstance(output, dict):
        return ""
    data = output.get("data")
    return _joined(output.get("text") or (data.get("text/plain") if isinstance(data, dict) else ""))


def _joined(lines: Any) -> str:
    """Text, or lines of it; nothing of anything else."""
    return lines if isinstance(lines, str) else "".join(map(str, lines)) if isinstance(lines, list) else ""


def _fenced(code: str, language: str = "") -> str:
    """Lines of code between fences; nothing without any."""
    fence = fence_for(code)
    return f"{fence}{language}\n{code.strip(chr(10))}\n{fence}" if code.strip() else ""
