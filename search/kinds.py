"""What is in a file? Its name says, and where that says nothing, its beginning."""

import re
from pathlib import Path

from search.errors import InvalidDocument

HTML = "text/html"
PDF = "application/pdf"
MAIL = "message/rfc822"
NOTEBOOK = "application/x-ipynb+json"
MARKDOWN = "text/markdown"
PLAIN = "text/plain"
_OPEN_XML = "application/vnd.openxmlformats-officedocument"
OFFICE = {  # what one library reads
    ".docx": f"{_OPEN_XML}.wordprocessingml.document",
    ".docm": "application/vnd.ms-word.document.macroEnabled.12",
    ".dotx": f"{_OPEN_XML}.wordprocessingml.template",
    ".doc": "application/msword",
    ".pptx": f"{_OPEN_XML}.presentationml.presentation",
    ".pptm": "application/vnd.ms-powerpoint.presentation.macroEnabled.12",
    ".ppsx": f"{_OPEN_XML}.presentationml.slideshow",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".rtf": "application/rtf",
    ".epub": "application/epub+zip",
    ".fb2": "application/x-fictionbook+xml",
    ".msg": "application/vnd.ms-outlook",
}
PAGES = {  # that libraries read, in a process of their own
    **dict.fromkeys((".html", ".htm", ".xhtml"), HTML),
    ".pdf": PDF,
    ".eml": MAIL,
    ".ipynb": NOTEBOOK,
    **OFFICE,
}
_OF_TEXT = frozenset((HTML, MAIL, NOTEBOOK, OFFICE[".rtf"], OFFICE[".fb2"]))  # of these, what is written in letters
AS_MARKDOWN = frozenset((MARKDOWN, *PAGES.values())) - {PDF}  # of texts that are read as Markdown: pages become it
MARKUP = {  # texts whose marks of headings are known
    **dict.fromkeys((".md", ".markdown", ".mdown", ".mkd", ".mdx", ".qmd", ".rmd"), MARKDOWN),
    ".rst": "text/x-rst",
    ".org": "text/x-org",
    ".tex": "text/x-tex",
    ".typ": "text/x-typst",
    **dict.fromkeys((".adoc", ".asciidoc"), "text/asciidoc"),
}
_LANGUAGES = {  # of source code, each with its suffixes
    "assembly": "asm s",
    "astro": "astro",
    "batch": "bat cmd",
    "c": "c h",
    "c++": "cc cpp cxx hpp hh",
    "clojure": "clj cljs",
    "cmake": "cmake",
    "csharp": "cs",
    "css": "css scss sass less",
    "cython": "pyx pxd",
    "d": "d",
    "dart": "dart",
    "elixir": "ex exs",
    "elm": "elm",
    "erlang": "erl",
    "fortran": "f f90 f95",
    "fsharp": "fs",
    "go": "go",
    "graphql": "graphql gql",
    "groovy": "groovy gradle",
    "haskell": "hs",
    "ini": "ini cfg conf properties",
    "java": "java",
    "javascript": "js mjs cjs jsx",
    "julia": "jl",
    "kotlin": "kt kts",
    "lisp": "lisp el",
    "lua": "lua",
    "make": "mk",
    "nim": "nim",
    "nix": "nix",
    "objective-c": "m mm",
    "ocaml": "ml mli",
    "pascal": "pas",
    "perl": "pl pm",
    "php": "php",
    "powershell": "ps1 psm1",
    "protobuf": "proto",
    "python": "py pyi",
    "r": "r",
    "racket": "rkt",
    "ruby": "rb",
    "rust": "rs",
    "scala": "scala",
    "scheme": "scm",
    "shell": "sh bash zsh fish",
    "solidity": "sol",
    "sql": "sql",
    "starlark": "bzl",
    "svelte": "svelte",
    "swift": "swift",
    "terraform": "tf",
    "thrift": "thrift",
    "toml": "toml",
    "typescript": "ts tsx mts",
    "vb": "vb",
    "vue": "vue",
    "xml": "xml xsd xsl xslt",
    "yaml": "yaml yml",
    "zig": "zig",
}
SOURCE = frozenset(f"text/x-{language}" for language in _LANGUAGES)  # texts of lines, which indentation divides
_TEXTS = {
    ".txt": PLAIN,
    ".text": PLAIN,
    **MARKUP,
    **{f".{suffix}": f"text/x-{language}" for language, suffixes in _LANGUAGES.items() for suffix in suffixes.split()},
}
_UNREADABLE = {  # why, by the end of a name
    **dict.fromkeys((".ppt", ".pps"), "a presentation of PowerPoint 97 to 2003; save it as .pptx"),
    ".odp": "a presentation of OpenDocument; save it as .pptx",
    ".pages": "a document of Pages; export it as .docx",
    ".key": "a presentation of Keynote, or a key; export a presentation as .pptx",
    ".numbers": "a spreadsheet of Numbers; export it as .xlsx",
}
_NOTHING_TO_READ = (".svg", ".map", ".lock", ".min.js", ".min.css", "-lock.json", "-lock.yaml")  # texts, but no person's
BEGINNING = 4096  # bytes that say what is in a file
_CONTROL = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f]")
_MOST_CONTROLS = 0.02  # of the bytes of a text
_PAGE = re.compile(rb"\s*(?:<!--.*?-->\s*)?<(?:!doctype\s+html|html[\s>])", re.IGNORECASE | re.DOTALL)
_SECRET = b"PRIVATE KEY-----"
_MARKS = (b"\xff\xfe", b"\xfe\xff")  # of UTF-16 and UTF-32


def media_type(path: Path, beginning: bytes) -> str:
    """What a file holds, of one document; empty if it is no text, nor anything that can be read."""
    return by_name(path) or _by_beginning(beginning)


def _by_beginning(beginning: bytes) -> str:
    if beginning.startswith(b"%PDF-"):
        return PDF
    if _PAGE.match(beginning):
        return HTML
    return PLAIN if is_text(beginning) and _SECRET not in beginning else ""


def named(kind: str) -> str:
    """The media type of a kind of file, as people call it: text, markdown, mail, notebook, a language, or a suffix.

    Raises:
        InvalidDocument: there is none of this name.
    """
    called = {"text": PLAIN, "markdown": MARKDOWN, "mail": MAIL, "notebook": NOTEBOOK}
    name = kind.lower().removeprefix(".")
    media_type = f"text/x-{name}" if name in _LANGUAGES else called.get(name) or by_name(Path(f"a.{name}"))
    if not media_type:
        message = (
            f"there is no kind of file {kind!r}; write text, markdown, html, a language such as python, or a suffix such as docx"
        )
        raise InvalidDocument(message)
    return media_type


def by_name(path: Path) -> str:
    """The same, if the name says so; else empty."""
    suffix = path.suffix.lower()
    return PAGES.get(suffix) or _TEXTS.get(suffix, "")


def name_of(media_type: str) -> str:
    """What people call a kind that a library reads: by its first suffix, as in DOCX."""
    return next((suffix[1:].upper() for suffix, kind in PAGES.items() if kind == media_type), media_type)


def other_than(media_type: str, content: bytes) -> str:
    """Why a file is none of this kind, and what to do; empty if its beginning does not tell. Tables have no media type."""
    if not content:
        return "it is empty"
    found = _by_beginning(content[:BEGINNING])
    if found in {"", media_type} or (found == PLAIN and media_type in _OF_TEXT):
        return ""
    name = "text" if found == PLAIN else name_of(found)
    return f"it holds {name}; read it as that with --as {name.lower()}"


def unreadable(path: Path) -> str:
    """Why a document of a known kind cannot be read; empty for every other file."""
    return _UNREADABLE.get(path.suffix.lower(), "")


def is_of_machines(path: Path) -> bool:
    """Whether a file is text that programs write for programs: below a folder nobody looks for its words."""
    return path.name.lower().endswith(_NOTHING_TO_READ)


def is_text(beginning: bytes) -> bool:
    """Whether these bytes are text, in whatever encoding."""
    beginning = beginning[:BEGINNING]
    if beginning.startswith(_MARKS):
        return True
    return b"\0" not in beginning and len(_CONTROL.findall(beginning)) <= _MOST_CONTROLS * len(beginning)
