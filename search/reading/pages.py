"""What does a page say, whatever its format? A title, and Markdown or, of PDF, text with a form feed between pages."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from search.documents import Document, Rejection
from search.errors import InvalidDocument
from search.reading import kinds, mail, office, pdf, webpages
from search.reading.files import LONGEST, SourceFile, missing, read_at_most
from search.reading.structure import title_of

_LONGEST_TITLE = 500
_NO_TITLE = re.compile(  # what programs write where nobody wrote one
    r"\(?anonymous\)?|untitled.*|(?:slide|folie|document|dokument|presentation|präsentation)\s*\d*|powerpoint.presentation"
    r"|microsoft (?:word|powerpoint|excel) - .*",
    re.IGNORECASE,
)
_READERS: Mapping[str, Callable[[bytes], tuple[str, str, Mapping[str, Any]]]] = {
    kinds.HTML: webpages.read,
    kinds.PDF: pdf.read,
    kinds.MAIL: mail.read,
}


def read(stream: BinaryIO, file: SourceFile) -> Document | Rejection:
    """A page, whatever its format, as a document."""
    media_type = file.media_type or kinds.by_name(file.path)
    content = read_at_most(stream, LONGEST)
    try:
        if media_type == kinds.NOTEBOOK:
            title, text, metadata = _notebook(content)
        elif media_type in _READERS:
            title, text, metadata = _READERS[media_type](content)
        else:
            title, text, metadata = office.read(content, media_type)
    except ModuleNotFoundError as error:
        return file.reject(missing(error))
    except (InvalidDocument, MemoryError):
        raise
    except Exception as error:  # these libraries raise whatever a malformed file makes them
        return file.reject(f"cannot be read as {_name(file)}: {str(error) or type(error).__name__}")
    if not text.strip():
        scanned = media_type == kinds.PDF
        return file.reject(f"there is no text in it{'; if it is scanned, recognise its text first (OCR)' if scanned else ''}")
    is_paged = media_type == kinds.PDF
    title = " ".join(title.split())[:_LONGEST_TITLE]
    return Document(
        id=file.name,
        text=text,
        title=title if title and not _NO_TITLE.fullmatch(title) else ("" if is_paged else title_of(text)) or file.path.stem,
        metadata={**metadata, "path": file.name},
        media_type=media_type,
        origin=file.name,
    )


def _name(file: SourceFile) -> str:
    return file.path.suffix[1:].upper() or file.media_type


def _notebook(content: bytes) -> tuple[str, str, Mapping[str, Any]]:
    """The cells of a notebook of Jupyter: texts, code, and what code printed.

    Raises:
        InvalidDocument: it holds no cells.
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
    fence = webpages.fence_for(code)
    return f"{fence}{language}\n{code.strip(chr(10))}\n{fence}" if code.strip() else ""
