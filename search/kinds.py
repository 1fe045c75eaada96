"""What is in a file? Its name says, and where that says nothing, its beginning."""

import io
import re
from contextlib import suppress
from pathlib import Path

from search.errors import InvalidDocument

HTML = "text/html"
PDF = "application/pdf"
MAIL = "message/rfc822"
MAILBOX = "application/mbox"  # of many documents
ROFF = "text/troff"  # manual pages
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
    **dict.fromkeys((".eml", ".emlx", ".mhtml", ".mht"), MAIL),
    ".ipynb": NOTEBOOK,
    **dict.fromkeys((".roff", ".troff", ".mdoc"), ROFF),
    **OFFICE,
}
PACKED = frozenset(  # zip archives, of which the texts alone are read
    OFFICE[suffix] for suffix in (".docx", ".docm", ".dotx", ".pptx", ".pptm", ".ppsx", ".odt", ".epub")
)
_OF_TEXT = frozenset((HTML, MAIL, NOTEBOOK, ROFF, OFFICE[".rtf"], OFFICE[".fb2"]))  # of these, what is written in letters
AS_MARKDOWN = frozenset((MARKDOWN, *PAGES.values())) - {PDF}  # of texts that are read as Markdown: pages become it
MARKUP = {  # texts whose marks of headings are known
    **dict.fromkeys((".md", ".markdown", ".mdown", ".mkd", ".mdx", ".qmd", ".rmd"), MARKDOWN),
    ".rst": "text/x-rst",
    ".org": "text/x-org",
    ".tex": "text/x-tex",
    ".typ": "text/x-typst",
    ".pod": "text/x-pod",
    ".textile": "text/x-textile",
    **dict.fromkeys((".texi", ".texinfo"), "text/x-texinfo"),
    **dict.fromkeys((".mediawiki", ".wiki"), "text/x-wiki"),
    ".canvas": MARKDOWN,  # which it is read as
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
_OF_MACHINES = ("-lock.json", "-lock.yaml", "py.typed")
_NOTHING_TO_READ = (".svg", ".map", ".lock", ".min.js", ".min.css", *_OF_MACHINES)  # texts, but no person's
BEGINNING = 4096  # bytes that say what is in a file
_CONTROL = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f]")
_MOST_CONTROLS = 0.02  # of the bytes of a text
_PAGE = re.compile(rb"\s*(?:<!--.*?-->\s*)?<(?:!doctype\s+html|html[\s>])", re.IGNORECASE | re.DOTALL)
_MANUAL = re.compile(  # what names a page or begins a part of it, behind other requests; or comments as far as one sees
    rb"\s*+(?=[.']|\\\")(?:(?![.'][ \t]*(?:TH|Dt|SH|Sh)[ \t])[^\n]*+\n)*[.'][ \t]*(?:TH|Dt|SH|Sh)[ \t]"
    rb"|\s*+[.']\\+\" Automatically generated by Pod::Man|(?:[.']\\+\"[^\n]*+\n|\s*+\n)++(?:[.']\\+\"[^\n]*+)?\Z"
)
_LINK = re.compile(rb"(?:[.']\\+\"[^\n]*+\n|\s*+\n)*+[.'][ \t]*so[ \t]+\S++\s*+")
_SECRET = b"PRIVATE KEY-----"
_HEADERS = re.compile(
    rb"(?:\d{1,9}[ \t]*+\r?\n)?(From [^\n]*+\n)?((?:[!-9;-~]++:[^\n]*+\n(?:[ \t][^\n]*+\n)*)+)(\r?\n)?"
)  # of a mail
_HEADER = re.compile(rb"^([!-9;-~]++):", re.MULTILINE)
_OF_MAIL = {b"message-id", b"mime-version", b"received", b"return-path", b"delivered-to"}  # which no person writes
_PATCH = re.compile(rb"From [0-9a-f]{40} ")  # as git writes one
_PARTS = {  # of packed documents, each with the suffix of those that have it
    "word/document.xml": ".docx",
    "xl/workbook.xml": ".xlsx",
    "xl/workbook.bin": ".xlsb",
    "ppt/presentation.xml": ".pptx",
}
_MIMETYPES = {  # what a packed document says of itself
    "application/vnd.oasis.opendocument.text": ".odt",
    "application/vnd.oasis.opendocument.spreadsheet": ".ods",
    "application/vnd.oasis.opendocument.presentation": ".odp",
    "application/epub+zip": ".epub",
}
_OF_PARTS = "[Content_Types].xml"  # in every document of those; what has it and none of their parts is damaged
_STREAMS = {  # the same of Microsoft's programs of before 2007
    "WordDocument": ".doc",
    "Workbook": ".xls",
    "PowerPoint Document": ".ppt",
    "__properties_version1.0": ".msg",
}
_ENTRIES = {  # as directories have them, with their lengths
    name.encode("utf-16-le").ljust(64, b"\0") + (2 * len(name) + 2).to_bytes(2, "little"): suffix
    for name, suffix in _STREAMS.items()
}
_ALIKE = ((".docx", ".docm", ".dotx"), (".pptx", ".pptm", ".ppsx"))  # of the same parts
_OF_TABLES = frozenset((".xlsx", ".xlsb", ".xls", ".ods"))  # which have no media type
_COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MARKS = (b"\xff\xfe", b"\xfe\xff")  # of UTF-16 and UTF-32


def media_type(path: Path, beginning: bytes) -> str:
    """What a file holds, of one document; empty if it is no text, nor anything that can be read."""
    return by_name(path) or _by_beginning(beginning)


def _by_beginning(beginning: bytes) -> str:
    if beginning.startswith(b"%PDF-"):
        return PDF
    if _PAGE.match(beginning):
        return HTML
    if _MANUAL.match(beginning) or is_link(beginning):
        return ROFF
    return _mail(beginning) or _text(beginning)


def _text(beginning: bytes) -> str:
    return PLAIN if is_text(beginning) and _SECRET not in beginning else ""


def _mail(beginning: bytes) -> str:
    """Whether it begins as a mail does, or a box of them; empty if it does not."""
    found = _HEADERS.match(beginning)
    if not found or _PATCH.match(beginning) or not (found[3] or len(beginning) >= BEGINNING):
        return ""
    names = {name.lower() for name in _HEADER.findall(found[2])}
    if not (names & _OF_MAIL and names & {b"from", b"received", b"return-path"}):
        return ""
    return MAILBOX if found[1] else MAIL


def is_link(beginning: bytes) -> bool:
    """Whether a manual page says nothing but which other one to read."""
    return _LINK.fullmatch(beginning) is not None


def named(kind: str) -> str:
    """The media type of a kind of file, as people call it: text, markdown, mail, notebook, a language, or a suffix.

    Raises:
        InvalidDocument: there is none of this name.
    """
    called = {"text": PLAIN, "markdown": MARKDOWN, "mail": MAIL, "notebook": NOTEBOOK, "man": ROFF}
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
    """Why a file is none of this kind, and what to do; empty if it does not tell. Tables have no media type."""
    if not content:
        return "it is empty"
    if suffix := _packed(content):
        return "" if _is_of(suffix, media_type) else _told(suffix)
    found = _by_beginning(content[:BEGINNING])
    if found in {"", media_type} or (found in {PLAIN, MAIL, MAILBOX} and media_type in _OF_TEXT):
        return ""
    if found == MAILBOX:
        return _told(".mbox")
    name = "text" if found == PLAIN else name_of(found)
    return f"it holds {name}; read it as that with --as {name.lower()}"


def _packed(content: bytes) -> str:
    """The suffix of a document of an office, or of an archive, by what is packed into it; empty if it is none, or damaged."""
    import zipfile

    if content.startswith(_COMPOUND):  # in which there may be archives, too
        return next((suffix for entry, suffix in _ENTRIES.items() if entry in content), "")
    if not content.startswith(b"PK"):
        return ".rtf" if content.startswith(b"{\\rtf") else ""
    with suppress(Exception), zipfile.ZipFile(io.BytesIO(content)) as archive:  # as unpackers raise of what is damaged
        names = set(archive.namelist())
        kind = archive.read("mimetype").decode().strip() if "mimetype" in names else ""
        plain = ".zip" if names and _OF_PARTS not in names else ""
        return _MIMETYPES.get(kind) or next((suffix for part, suffix in _PARTS.items() if part in names), plain)
    return ""


def _is_of(suffix: str, media_type: str) -> bool:
    """Whether files of a suffix are of this kind."""
    if not media_type:
        return suffix in _OF_TABLES
    alike = next((group for group in _ALIKE if suffix in group), (suffix,))
    return media_type in {PAGES.get(one) for one in alike}


def _told(suffix: str) -> str:
    """What a file holds, and what to do."""
    name = suffix[1:].upper()
    if why := _UNREADABLE.get(suffix):
        return f"it holds {why}"
    return f"it holds {name}; " + (f"read it as that with --as {suffix[1:]}" if suffix in PAGES else f"rename it to {suffix}")


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
