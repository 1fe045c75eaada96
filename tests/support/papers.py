"""Small PDF and office files, written by hand, so that no test needs a program that makes them."""

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence

_OPEN_XML = "http://schemas.openxmlformats.org"
_WORD = f"{_OPEN_XML}/wordprocessingml/2006/main"
_RELATION = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_WORD_NAMESPACES = {
    "w": _WORD,
    "r": _RELATION,
    "m": f"{_OPEN_XML}/officeDocument/2006/math",
    "mc": f"{_OPEN_XML}/markup-compatibility/2006",
    "v": "urn:schemas-microsoft-com:vml",
    "wp": f"{_OPEN_XML}/drawingml/2006/wordprocessingDrawing",
    "wps": "http://schemas.microsoft.com/office/word/2010/wordprocessingShape",
}
_PACKAGES = f"{_OPEN_XML}/package/2006/relationships"
_TYPES = """<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Default Extension="xml" ContentType="application/xml"/>
<Override PartName="/word/document.xml"
 ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>"""
_RELATIONS = """<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
<Relationship Id="r1" Target="word/document.xml"
 Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"/></Relationships>"""


def pdf(pages: Sequence[str | Sequence[str]], title: str = "") -> bytes:
    """A PDF with a line of text, or several, on each page."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for text in pages:
        lines = [text] if isinstance(text, str) else text
        stream = f"BT /F1 12 Tf 14 TL 72 720 Td {' T* '.join(f'({line}) Tj' for line in lines)} ET" if text else ""
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        resources = f"<< /Font << /F1 3 0 R >> >> /Contents {len(objects)} 0 R"
        objects.append(f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources {resources} >>")
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    objects.append(f"<< /Title ({title}) >>")
    out = io.BytesIO(b"")
    out.write(b"%PDF-1.4\n")
    places = []
    for number, content in enumerate(objects, 1):
        places.append(out.tell())
        out.write(f"{number} 0 obj\n{content}\nendobj\n".encode("latin-1"))
    start = out.tell()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}".encode())
    out.write(f"trailer << /Size {len(objects) + 1} /Root 1 0 R /Info {len(objects)} 0 R >>\nstartxref\n{start}\n%%EOF".encode())
    return out.getvalue()


def scanned(pages: Sequence[str]) -> bytes:
    """The same with a picture on each page that has no text."""
    import pypdfium2

    document = pypdfium2.PdfDocument(pdf(pages))
    for number in (number for number, text in enumerate(pages) if not text):
        picture = pypdfium2.PdfImage.new(document)
        picture.set_bitmap(pypdfium2.PdfBitmap.new_native(8, 8, pypdfium2.raw.FPDFBitmap_BGR))
        page = document[number]
        page.insert_obj(picture)
        page.gen_content()
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def docx(paragraphs: Sequence[tuple[str, str]], others: Mapping[str, bytes] | None = None) -> bytes:
    """A Word document: paragraphs with their styles, such as ("Heading1", "Title"); other files in it, by name."""
    body = "".join(
        f'<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr><w:r><w:t xml:space="preserve">{text}</w:t></w:r></w:p>'
        for style, text in paragraphs
    )
    return word(body, others=others)


def word(
    body: str,
    parts: Mapping[str, tuple[str, str | bytes]] | None = None,
    main: str = "word/document.xml",
    others: Mapping[str, bytes] | None = None,
) -> bytes:
    """A Word document: its body in XML, and what that refers to by names, such as footnotes.xml, each with its kind."""
    parts = parts or {}
    namespaces = "".join(f' xmlns:{prefix}="{uri}"' for prefix, uri in _WORD_NAMESPACES.items())
    relations = "".join(
        f'<Relationship Id="{name}" Type="{_RELATION}/{kind}" Target="{name}"/>' for name, (kind, _) in parts.items()
    )
    folder, _, name = main.rpartition("/")
    files: dict[str, str | bytes] = {
        "[Content_Types].xml": _TYPES.replace("word/document.xml", main),
        "_rels/.rels": _RELATIONS.replace("word/document.xml", main),
        main: f'<?xml version="1.0"?><w:document{namespaces}><w:body>{body}</w:body></w:document>',
        f"{folder}/_rels/{name}.rels": f'<Relationships xmlns="{_PACKAGES}">{relations}</Relationships>',
        **{f"{folder}/{name}": content for name, (_, content) in parts.items()},
        **(others or {}),
    }
    return _packed(files)


def pptx(slides: Sequence[tuple[str, str]], others: Mapping[str, str] | None = None) -> bytes:
    """A presentation: slides of a title and a text; other files in it, by name."""
    drawing, presentation = f"{_OPEN_XML}/drawingml/2006/main", f"{_OPEN_XML}/presentationml/2006/main"
    relations = f"{_OPEN_XML}/officeDocument/2006/relationships"

    def shape(kind: str, text: str) -> str:
        return (
            f'<p:sp><p:nvSpPr><p:cNvPr id="2" name="x"/><p:cNvSpPr/><p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr><p:spPr/>'
            f"<p:txBody><a:bodyPr/><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>"
        )

    ids = "".join(f'<p:sldId id="{256 + number}" r:id="r{number}"/>' for number in range(len(slides)))
    targets = "".join(
        f'<Relationship Id="r{number}" Type="{relations}/slide" Target="slides/slide{number + 1}.xml"/>'
        for number in range(len(slides))
    )
    return _packed(
        {
            "[Content_Types].xml": _TYPES,
            "ppt/presentation.xml": f'<p:presentation xmlns:p="{presentation}" xmlns:r="{relations}">'
            f"<p:sldIdLst>{ids}</p:sldIdLst></p:presentation>",
            "ppt/_rels/presentation.xml.rels": f'<Relationships xmlns="{_PACKAGES}">{targets}</Relationships>',
            **{
                f"ppt/slides/slide{number}.xml": f'<p:sld xmlns:p="{presentation}" xmlns:a="{drawing}"><p:cSld><p:spTree>'
                f"{shape('title', title)}{shape('body', text)}</p:spTree></p:cSld></p:sld>"
                for number, (title, text) in enumerate(slides, 1)
            },
            **(others or {}),
        }
    )


def odt(paragraphs: Sequence[tuple[int, str]]) -> bytes:
    """An OpenDocument text: paragraphs with the levels of headings, 0 for those that are none."""
    return open_document(
        "".join(
            f'<text:h text:outline-level="{level}">{text}</text:h>' if level else f"<text:p>{text}</text:p>"
            for level, text in paragraphs
        )
    )


def open_document(
    body: str, *, styles: str = "", margins: str = "", about: str = "", others: Mapping[str, str | bytes] | None = None
) -> bytes:
    """An OpenDocument text in XML: body, styles, headers and footers, what it says about itself; other files in it."""
    name = "urn:oasis:names:tc:opendocument:xmlns:"
    namespaces = "".join(f' xmlns:{prefix}="{name}{prefix}:1.0"' for prefix in ("office", "text", "table", "style", "meta"))
    namespaces += f' xmlns:draw="{name}drawing:1.0" xmlns:svg="{name}svg-compatible:1.0" xmlns:xlink="http://www.w3.org/1999/xlink"'
    namespaces += ' xmlns:dc="http://purl.org/dc/elements/1.1/"'

    def part(kind: str, content: str) -> str:
        return f"<office:document-{kind}{namespaces}>{content}</office:document-{kind}>"

    content = (
        f"<office:automatic-styles>{styles}</office:automatic-styles><office:body><office:text>{body}</office:text></office:body>"
    )
    page = f'<office:master-styles><style:master-page style:name="Standard">{margins}</style:master-page></office:master-styles>'
    return _packed(
        {
            "mimetype": "application/vnd.oasis.opendocument.text",
            "content.xml": part("content", content),
            "styles.xml": part("styles", page),
            "meta.xml": part("meta", f"<office:meta>{about}</office:meta>"),
            **(others or {}),
        }
    )


def epub(title: str, chapters: Sequence[str], others: Mapping[str, str | bytes] | None = None) -> bytes:
    """A book: its chapters as HTML; other files in it, by name."""
    items = "".join(
        f'<item id="c{number}" href="c{number}.xhtml" media-type="application/xhtml+xml"/>' for number in range(len(chapters))
    )
    spine = "".join(f'<itemref idref="c{number}"/>' for number in range(len(chapters)))
    return _packed(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>'
            '<rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>',
            "book.opf": '<package xmlns="http://www.idpf.org/2007/opf" version="3.0">'
            f'<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title></metadata>'
            f"<manifest>{items}</manifest><spine>{spine}</spine></package>",
            **{
                f"c{number}.xhtml": f'<html xmlns="http://www.w3.org/1999/xhtml"><body>{chapter}</body></html>'
                for number, chapter in enumerate(chapters)
            },
            **(others or {}),
        }
    )


def word97(
    parts: Sequence[str],
    *,
    headings: Mapping[int, int] | None = None,
    one_byte: bool = False,
    flags: int = 0x0200,
    version: int = 0xC1,
    beside: Mapping[str, bytes] | None = None,
) -> bytes:
    """A document of Word 97: its text, and what stands beside it, in Word's order; styles of paragraphs by their numbers.

    Paragraphs end with "\\r". Of one byte a letter, all that can be; `beside` are streams of a document inside it.
    """
    text = "".join(parts)
    encoded = text.encode("cp1252" if one_byte else "utf-16-le", "surrogatepass")
    width = 1 if one_byte else 2
    at, page = 2048, 2
    letters = text if one_byte else "".join(map(chr, memoryview(encoded).cast("H")))
    ends = [at + width * (end + 1) for end, letter in enumerate(letters) if letter == "\r"]
    borders = [at, *ends]
    places = struct.pack(f"<{len(borders)}I", *borders)
    properties = b"".join(
        bytes([2]) + struct.pack("<H", (headings or {}).get(number, 0))[:2] + b"\0" for number in range(len(ends))
    )
    records = b"".join(bytes([(300 + 4 * number) // 2]) + bytes(12) for number in range(len(ends)))
    paragraphs = (places + records).ljust(300, b"\0") + properties
    paragraphs = paragraphs.ljust(511, b"\0") + bytes([len(ends)])
    pieces = struct.pack("<2I", 0, len(letters)) + struct.pack("<HIH", 0, at * 2 | 0x40000000 if one_byte else at, 0)
    table = b"\x01\x02\0ab" + b"\x02" + struct.pack("<I", len(pieces)) + pieces
    bins = struct.pack("<3I", at, at + len(encoded), page)
    sizes = [len(part.encode("utf-16-le", "surrogatepass")) // 2 for part in parts]
    numbers = [0, 0, 0, *sizes, *[0] * (8 - len(sizes))]
    pairs = [0] * 186
    pairs[2 * 33 : 2 * 33 + 2] = [0, len(table)]
    pairs[2 * 13 : 2 * 13 + 2] = [len(table), len(bins)]
    head = struct.pack("<HHHHHH", 0xA5EC, version, 0, 0, 0, flags).ljust(32, b"\0") + struct.pack("<H", 14) + bytes(28)
    head += struct.pack("<H22I", 22, *numbers, *[0] * (22 - len(numbers))) + struct.pack("<H186I", 93, *pairs)
    stream = head.ljust(page * 512, b"\0") + paragraphs
    stream = stream.ljust(at, b"\0") + encoded
    inside = {f"ObjectPool/_1/{name}": content for name, content in (beside or {}).items()}
    return compound({"WordDocument": stream.ljust(4096, b"\0"), "1Table": table + bins, **inside})


def compound(streams: Mapping[str, bytes]) -> bytes:
    """A compound file: its streams, those of storages in it behind a slash. Those below 4,096 bytes are in sectors of 64."""
    sectors: list[bytes] = []
    following: list[int] = []
    small, small_following = b"", list[int]()
    entries: list[bytes] = []
    end, none = 0xFFFFFFFE, 0xFFFFFFFF

    def kept(content: bytes) -> int:
        first, count = len(sectors), -(-len(content) // 512)
        sectors.extend(content[512 * number : 512 * (number + 1)].ljust(512, b"\0") for number in range(count))
        following.extend([*range(first + 1, first + count), end] if count else [])
        return first if count else end

    def kept_small(content: bytes) -> int:
        nonlocal small
        start, count = len(small_following), -(-len(content) // 64)
        small += content.ljust(64 * count, b"\0")
        small_following.extend([*range(start + 1, start + count), end] if count else [])
        return start if count else end

    def entry(name: str, kind: int, right: int, child: int, start: int, size: int) -> bytes:
        named = (name + "\0").encode("utf-16-le")
        fields = struct.pack("<HBBIII", len(named), kind, 1, none, right, child).ljust(52, b"\0")
        return named.ljust(64, b"\0") + fields + struct.pack("<IQ", start, size)

    def storage(inside: Mapping[str, bytes]) -> int:
        """The number of its first entry."""
        names = list(dict.fromkeys(name.partition("/")[0] for name in inside))
        following_one = none
        for name in reversed(names):
            if name in inside:
                content = inside[name]
                start = kept(content) if len(content) >= 4096 else kept_small(content)
                made = entry(name, 2, following_one, none, start, len(content))
            else:
                within = {
                    rest: content for whole, content in inside.items() for first, _, rest in [whole.partition("/")] if first == name
                }
                made = entry(name, 1, following_one, storage(within), 0, 0)
            entries.append(made)
            following_one = len(entries)
        return following_one

    child = storage(streams)
    root = entry("Root Entry", 5, none, child, kept(small), len(small))
    directory = kept(b"".join([root, *entries]))
    small_table = kept(struct.pack(f"<{len(small_following)}I", *small_following).ljust(512, b"\xff"))
    table = len(sectors)
    following.append(0xFFFFFFFD)
    sectors.append(struct.pack(f"<{len(following)}I", *following).ljust(512, b"\xff"))
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(10)
    header += struct.pack("<IIIIIIIII", 1, directory, 0, 4096, small_table, 1, end, 0, table)
    return header.ljust(512, b"\xff") + b"".join(sectors)


def _packed(files: Mapping[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()
