"""Any file that holds a text is a document; what is in it is known by its name or its beginning."""

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from papers import docx, epub, odt, pdf, pptx
from sheets import xlsx

from search import kinds
from search.documents import Document, Rejection
from search.errors import InvalidDocument
from search.reading import Reading, pages
from search.reading.files import by_kind
from search.reading.unread import unread

pytestmark = pytest.mark.usefixtures("reader_kept")


def read(path: Path, **options: Any) -> list[Document | Rejection]:
    return list(Reading([str(path)], **options))


def taken(path: Path) -> Document:
    (document,) = read(path)
    assert isinstance(document, Document), document
    return document


@pytest.mark.parametrize(
    ("name", "content", "media_type"),
    [
        ("Makefile", b"all:\n\techo\n", "text/plain"),
        ("notes", b"Just words.", "text/plain"),
        ("server.log", b"12:00 \x1b[31merror\x1b[0m\n", "text/plain"),
        ("a.py", b"x = 1\n", "text/x-python"),
        ("a.RS", b"fn main() {}\n", "text/x-rust"),
        ("a.yaml", b"a: 1\n", "text/x-yaml"),
        ("a.mdx", b"# A\n", "text/markdown"),
        ("a.rst", b"A\n=\n\nx\n", "text/x-rst"),
        ("page", b" <!-- x -->\n<!DOCTYPE html><p>x", "text/html"),
        ("paper", pdf(["x"]), "application/pdf"),
        ("wide", "Größe".encode("utf-16"), "text/plain"),
    ],
)
def test_any_text_is_a_document(name: str, content: bytes, media_type: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert taken(tmp_path).media_type == media_type


def test_what_is_no_text_is_left_out_of_a_folder_and_told_by_kind(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A text.")
    key = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"
    for name, content in {
        "picture.png": b"\x89PNG\0\1",
        "other.png": b"\x89PNG\0\2",
        "font.woff": bytes(range(1, 32)) * 9,
        "empty.py": b"",
        "chart.svg": b"<svg><path d='M0'/></svg>",
        "a.min.js": b"var a=1",
        "package-lock.json": b"{}",
        "uv.lock": b"x",
        "server.pem": key.encode(),
    }.items():
        (tmp_path / name).write_bytes(content)
    reading = Reading([str(tmp_path)])
    assert [item.id for item in reading if isinstance(item, Document)] == [f"{tmp_path.name}/a.txt"]
    assert len(reading.left_out) == 9
    told = by_kind([Path(file) for file in reading.left_out]).split(", ")
    assert told[0] == "2 .png"
    assert {"1 .js", "1 .svg", "1 .woff"} < set(told)
    named = taken(tmp_path / "chart.svg")  # by itself it is wanted
    assert named.text == "<svg><path d='M0'/></svg>"


def test_by_kind_names_the_most_frequent() -> None:
    files = [
        Path(f"a{number}.{suffix}") for suffix, count in zip("abcdefghij", range(20, 0, -2), strict=True) for number in range(count)
    ]
    assert by_kind(files) == "20 .a, 18 .b, 16 .c, 14 .d, 12 .e, 10 .f, 8 .g, 6 .h, 6 others"


@pytest.mark.parametrize(
    ("name", "way_out"), [("a.ppt", "save it as .pptx"), ("b.odp", "save it as .pptx"), ("c.pages", "export it")]
)
def test_documents_that_nobody_reads_are_rejected_by_name(name: str, way_out: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\xd0\xcf\x11\xe0\0")
    (tmp_path / "z.txt").write_text("A text.")
    refused, fine = read(tmp_path)
    assert isinstance(refused, Rejection)
    assert way_out in refused.reason
    assert isinstance(fine, Document)


def test_words_of_slides_are_whole_whatever_they_are_made_of(tmp_path: Path) -> None:
    """PowerPoint begins a new run where the language, the spelling or the font changes, also within a word."""
    run = "</a:t></a:r><a:r>{}<a:t>"
    bold = run.format('<a:rPr lang="en" b="1" dirty="0"/>')
    spelt = run.format('<a:rPr i="1"><a:solidFill><a:srgbClr val="FF0000"/></a:solidFill></a:rPr>')
    (tmp_path / "a.pptx").write_bytes(pptx([("Sa" + bold + "les", f"Total rev{bold}enue {spelt}gr{run.format('')}ew")]))
    assert taken(tmp_path).text == "## Sales\n\nTotal revenue grew\n"


def test_no_paragraph_of_a_slide_is_lost_behind_an_empty_run(tmp_path: Path) -> None:
    """Nor is a slide that has a damaged picture beside it."""
    bold = '</a:t></a:r><a:r><a:rPr b="1"/><a:t/></a:r></a:p><a:p><a:r><a:t>'
    coloured = "</a:t></a:r><a:r><a:rPr><a:solidFill/></a:rPr><a:t>"
    content = pptx([("Top", f"First{bold}Second{bold}Th{coloured}ird")], {"ppt/media/a.png": "not read " * 50})
    (tmp_path / "a.pptx").write_bytes(content)
    assert taken(tmp_path).text == "## Top\n\nFirst\n\nSecond\n\nThird\n"
    place = content.index(b"not read not read") if b"not read not read" in content else content.index(b"ppt/media/a.png") + 18
    (tmp_path / "a.pptx").write_bytes(content[:place] + b"\xff\xff" + content[place + 2 :])
    assert "Second" in taken(tmp_path).text


def test_notes_are_read_where_a_slide_is_nothing_but_a_linked_picture(tmp_path: Path) -> None:
    base = "http://schemas.openxmlformats.org"
    relations = f"{base}/officeDocument/2006/relationships"
    names = f'xmlns:p="{base}/presentationml/2006/main" xmlns:a="{base}/drawingml/2006/main" xmlns:r="{relations}"'
    target = f'<Relationship Id="r8" Type="{relations}/notesSlide" Target="../notesSlides/n.xml"/>'
    parts = {
        "ppt/slides/slide1.xml": f"<p:sld {names}><p:cSld><p:spTree><p:pic><p:nvPicPr><p:cNvPr id='4' name='x'/></p:nvPicPr>"
        "<p:blipFill><a:blip r:link='r9'/></p:blipFill><p:spPr/></p:pic></p:spTree></p:cSld></p:sld>",
        "ppt/slides/_rels/slide1.xml.rels": f'<Relationships xmlns="{base}/package/2006/relationships">{target}</Relationships>',
        "ppt/notesSlides/n.xml": f"<p:notes {names}><p:cSld><p:spTree><p:sp><p:nvSpPr><p:nvPr><p:ph type='body'/></p:nvPr>"
        "</p:nvSpPr><p:txBody><a:p><a:r><a:t>Otters</a:t></a:r></a:p></p:txBody></p:sp></p:spTree></p:cSld></p:notes>",
    }
    (tmp_path / "a.pptx").write_bytes(pptx([("", "")], parts))
    assert taken(tmp_path).text == "## Notes of slide 1\n\nOtters\n"


def test_slides_of_the_strict_edition_and_of_other_prefixes_are_read(tmp_path: Path) -> None:
    run = '</a:t></a:r><a:r><a:rPr b="1"/><a:t>'
    content = pptx([("Sa" + run + "les", "R&amp;D"), ("Next", "More.")])
    strict = (
        re.compile(rb"http://schemas\.openxmlformats\.org/(\w+)/2006/(?=main|relationships[/\"])"),
        rb"http://purl.oclc.org/ooxml/\1/",
    )
    for pattern, new in (strict, (re.compile(rb"(?<=[</:])a(?=[:=])"), rb"x.y")):
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(out, "w") as copy:
            for name in archive.namelist():
                copy.writestr(name, pattern.sub(new, archive.read(name)))
        (tmp_path / "a.pptx").write_bytes(out.getvalue())
        assert taken(tmp_path).text == "## Sales\n\nR&D\n\n## Next\n\nMore.\n"


def test_documents_of_offices_become_markdown(tmp_path: Path) -> None:
    for name, content in {
        "a.docx": docx([("Heading1", "Top"), ("", "Text of it.")]),
        "b.pptx": pptx([("Top", "Ships &amp; piers"), ("Next", "**Bold** *words*, 2 * 3, 5*3, count(*), f(**kwargs)")]),
        "c.odt": odt([(1, "Top"), (0, "Text of it."), (2, "Below"), (0, "More.")]),
        "d.epub": epub("A book", ["<h1>One</h1><p>First.</p>", "<h1>Two</h1><p>Second.</p>"]),
        "e.rtf": rb"{\rtf1\ansi{\b Harbour} is deep.\par Second \u8364? line.}",
    }.items():
        (tmp_path / name).write_bytes(content)
    documents = [item for item in Reading([str(tmp_path)]) if isinstance(item, Document)]
    assert [(document.title, document.text) for document in documents] == [
        ("Top", "## Top\n\nText of it.\n"),
        ("Top", "## Top\n\nShips & piers\n\n## Next\n\n**Bold** *words*, 2 * 3, 5*3, count(*), f(**kwargs)\n"),
        ("Top", "# Top\n\nText of it.\n\n## Below\n\nMore.\n"),
        ("A book", "# One\n\nFirst.\n\n# Two\n\nSecond.\n"),
        ("e", "Harbour is deep.\n\nSecond € line.\n"),
    ]
    assert [document.media_type for document in documents] == [
        kinds.OFFICE[f".{suffix}"] for suffix in ["docx", "pptx", "odt", "epub", "rtf"]
    ]


_DRAWING = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
_SLIDES = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'


def with_notes(number: int, shapes: str) -> dict[str, str]:
    """The parts of a presentation that give a slide notes."""
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/notesSlide"
    return {
        f"ppt/slides/_rels/slide{number}.xml.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f'<Relationship Id="r1" Type="{kind}" Target="../notesSlides/notesSlide{number}.xml"/></Relationships>',
        f"ppt/notesSlides/notesSlide{number}.xml": f"<p:notes {_SLIDES} {_DRAWING}>{shapes}</p:notes>",
    }


def shape(kind: str, *paragraphs: str) -> str:
    runs = "".join(f"<a:p><a:r><a:t>{one}</a:t></a:r></a:p>" for one in paragraphs)
    return f'<p:sp><p:nvSpPr><p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr><p:txBody>{runs}</p:txBody></p:sp>'


def test_notes_of_a_speaker_are_read(tmp_path: Path) -> None:
    said = with_notes(2, shape("body", "Ask &lt;them&gt; first.", "Then *wait*.") + shape("sldNum", "2"))
    (tmp_path / "a.pptx").write_bytes(pptx([("Top", "Text"), ("Next", "More")], said))
    assert taken(tmp_path / "a.pptx").text.endswith("More\n\n## Notes of slide 2\n\nAsk <them> first.\n\nThen *wait*.\n")
    (tmp_path / "b.pptx").write_bytes(pptx([("Top", "Text"), ("Next", "More")], with_notes(1, "<p:sp>")))
    damaged = taken(tmp_path / "b.pptx")
    assert damaged.metadata["notes_left_out"] == 1
    assert damaged.text == "## Top\n\nText\n\n## Next\n\nMore\n"


def test_slides_are_read_in_the_order_in_which_they_are_shown(tmp_path: Path) -> None:
    said = with_notes(2, shape("body", "Said."))
    slides = [(f"S{number}", "Text") for number in range(1, 11)]
    order = "".join(f'<p:sldId id="{300 + number}" r:id="r{number}"/>' for number in (1, 0, 9, *range(2, 9)))
    relations = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
    shown = f"<p:presentation {_SLIDES} {relations}><p:sldIdLst>{order}</p:sldIdLst></p:presentation>"
    picture = f'<p:pic {relations}><p:nvPicPr><p:cNvPr id="9" name="x"/></p:nvPicPr><a:blip r:embed="r9"/></p:pic>'
    pictured = f"<p:sld {_SLIDES} {_DRAWING}><p:cSld><p:spTree>{shape('title', 'S2')}{picture}</p:spTree></p:cSld></p:sld>"
    parts = {**said, "ppt/presentation.xml": shown, "ppt/slides/slide2.xml": pictured, "ppt/media/a.png": ""}
    link = '<Relationship Id="r9" Type="image" Target="../media/a.png"/></Relationships>'
    rels = "ppt/slides/_rels/slide2.xml.rels"
    (tmp_path / "a.pptx").write_bytes(pptx(slides, {**parts, rels: said[rels].replace("</Relationships>", link)}))
    text = taken(tmp_path / "a.pptx").text
    assert re.findall(r"## (.*)", text) == [f"S{n}" for n in (2, 1, 10, *range(3, 10))] + ["Notes of slide 1"]


@pytest.mark.parametrize(
    "damaged", ["<p:sld>", "<mc:Choice></mc:AlternateContent>", '<?xml version="1.0" encoding="utf-9"?><p:sld/>']
)
def test_notes_keep_their_numbers_where_another_slide_is_damaged(tmp_path: Path, damaged: str) -> None:
    parts = {"ppt/slides/slide1.xml": damaged, **with_notes(2, shape("body", "Said."))}
    (tmp_path / "a.pptx").write_bytes(pptx([("Top", "Text"), ("Next", "More")], parts))
    assert taken(tmp_path / "a.pptx").text == "## Next\n\nMore\n\n## Notes of slide 2\n\nSaid.\n"


def test_a_presentation_that_the_library_cannot_read_is_read_all_the_same(tmp_path: Path) -> None:
    picture = "<p:pic><p:nvPicPr><p:cNvPr id='9' name='x'/><p:cNvPicPr/><p:nvPr/></p:nvPicPr><p:blipFill/><p:spPr/></p:pic>"
    shapes = f"{shape('title', 'Top')}{picture}{shape('body', 'One', 'Two')}"
    slide = f"<p:sld {_SLIDES} {_DRAWING}><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>"
    broken = {"ppt/slides/slide1.xml": slide, **with_notes(1, shape("body", "Said."))}
    (tmp_path / "a.pptx").write_bytes(pptx([("", "")], broken))
    assert taken(tmp_path / "a.pptx").text == "## Top\n\nOne\n\nTwo\n\n## Notes of slide 1\n\nSaid.\n"


_EDITIONS = "http://schemas.openxmlformats.org/markup-compatibility/2006"
_OF_2010 = "http://schemas.microsoft.com/office/drawing/2010/main"
_MATH = "http://schemas.openxmlformats.org/officeDocument/2006/math"


def editions(new: str, old: str) -> str:
    """As programs write what old ones cannot show: each edition with the names that it uses."""
    choice = f'<mc:Choice xmlns:a14="{_OF_2010}" Requires="a14">{new}</mc:Choice>'
    return f'<mc:AlternateContent xmlns:mc="{_EDITIONS}">{choice}<mc:Fallback xmlns="">{old}</mc:Fallback></mc:AlternateContent>'


def formula(inside: str) -> str:
    return f'<a14:m><m:oMath xmlns:m="{_MATH}">{inside}</m:oMath></a14:m>'


def symbols(text: str) -> str:
    return f"<m:r><m:t>{text}</m:t></m:r>"


_HALF = formula(f"<m:f><m:num>{symbols('a&lt;b')}</m:num><m:den>{symbols('2')}</m:den></m:f>")


@pytest.mark.parametrize(
    ("paragraph", "text"),
    [
        (f"<a:r><a:t>R&amp;D: </a:t></a:r>{_HALF}<a:r><a:t> after</a:t></a:r>", "R&D: \\frac{a<b}{2} after"),
        (f"{formula(symbols('E=m'))}<a:r><a:t>, </a:t></a:r>{formula(symbols('x'))}", "E=m, x"),
        ('<a:r><a:t>On </a:t></a:r><a:fld id="{}" type="datetime1"><a:rPr/><a:t>1 May</a:t></a:fld>', "On 1 May"),
        ('<a:r><a:t>Page </a:t></a:r><a:fld type="slidenum"><a:rPr/><a:t>7</a:t></a:fld><a:r><a:t>only</a:t></a:r>', "Page only"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_apart", [True, False])
def test_slides_are_read_whole(paragraph: str, text: str, is_apart: bool, tmp_path: Path) -> None:  # noqa: FBT001
    text_shape = shape("body", "x").replace("<a:r><a:t>x</a:t></a:r>", paragraph)
    shapes = (
        editions(text_shape, shape("body", "Old")) if is_apart else text_shape.replace("<a14:m>", f'<a14:m xmlns:a14="{_OF_2010}">')
    )
    slide = f"<p:sld {_SLIDES} {_DRAWING}><p:cSld><p:spTree>{shape('title', 'Top')}{shapes}</p:spTree></p:cSld></p:sld>"
    (tmp_path / "a.pptx").write_bytes(pptx([("", "")], {"ppt/slides/slide1.xml": slide}))
    assert taken(tmp_path / "a.pptx").text == f"## Top\n\n{text}\n"


def cell(text: str, about: str = "") -> str:
    return f"<a:tc{about}><a:txBody><a:bodyPr/><a:p><a:r><a:t>{text}</a:t></a:r></a:p></a:txBody></a:tc>"


@pytest.mark.timeout(20)
def test_cells_of_several_rows_of_a_slide_stand_in_each(tmp_path: Path) -> None:
    reached = ' vMerge="1"'
    rows = [
        cell("Region") + cell("City"),
        cell("North", ' rowSpan="3"') + cell("Oslo"),
        cell("", reached) + cell("Bergen"),
        cell("", reached) + cell("Bodø"),
        cell("South") + cell("Rome", ' rowSpan="2"'),
        cell("Centre") + cell("", reached),
    ]
    table = "<a:tbl><a:tblGrid/>" + "".join(f"<a:tr h='1'>{row}</a:tr>" for row in rows) + "</a:tbl>"
    data = f'<a:graphicData uri="http://schemas.openxmlformats.org/drawingml/2006/table">{table}</a:graphicData>'
    frame = f"<p:graphicFrame><p:nvGraphicFramePr/><p:xfrm/><a:graphic>{data}</a:graphic></p:graphicFrame>"
    slide = f"<p:sld {_SLIDES} {_DRAWING}><p:cSld><p:spTree>{shape('title', 'Top')}{frame}</p:spTree></p:cSld></p:sld>"
    (tmp_path / "a.pptx").write_bytes(pptx([("", "")], {"ppt/slides/slide1.xml": slide}))
    assert taken(tmp_path / "a.pptx").text.splitlines()[4:] == [
        "| North | Oslo |",
        "| North | Bergen |",
        "| North | Bodø |",
        "| South | Rome |",
        "| Centre | Rome |",
    ]
    for piece in ("<a:tbl>", "<a:tbl><a:tr>", "<a:tc vMerge='1'>"):
        (tmp_path / "a.pptx").write_bytes(pptx([("", "")], {"ppt/slides/slide1.xml": f"vMerge{piece * 20_000}"}))
        read(tmp_path / "a.pptx")


def test_editions_within_editions_and_without_an_end(tmp_path: Path) -> None:
    inner = editions(shape("body", "Inner"), shape("body", "Old"))
    shapes = shape("title", "Top") + editions(f"{inner}{shape('body', 'New')}", f"{inner}{shape('body', 'Older')}")
    slide = f"<p:sld {_SLIDES} {_DRAWING}><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>"
    (tmp_path / "a.pptx").write_bytes(pptx([("", "")], {"ppt/slides/slide1.xml": slide}))
    assert taken(tmp_path / "a.pptx").text == "## Top\n\nInner\n\nNew\n"
    (tmp_path / "b.pptx").write_bytes(pptx([("", "")], {"ppt/slides/slide1.xml": slide.replace("</mc:AlternateContent>", "", 1)}))
    assert "cannot be read as PPTX" in str(read(tmp_path / "b.pptx")[0])


def test_what_is_not_read_of_a_presentation_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.pptx").write_bytes(pptx([("Top", "Text")], {"ppt/charts/chart1.xml": "<c/>", "ppt/charts/chart2.xml": "<c/>"}))
    assert taken(tmp_path / "a.pptx").metadata["charts_left_out"] == 2


_COMMENTS: dict[str, dict[str, str]] = {  # parts with two of them
    "a.docx": {"word/comments.xml": '<w:comments><w:comment w:id="0"/><w:comment w:id="1"><w:p/></w:comment></w:comments>'},
    "b.pptx": {"ppt/comments/comment1.xml": '<p:cmLst><p:cm idx="1"/><p:cm idx="2"></p:cm></p:cmLst>'},
    "c.pptx": {"ppt/comments/modernComment_1.xml": "<m:cmLst><m:cm><m:replyLst><m:reply/></m:replyLst></m:cm></m:cmLst>"},
    "d.xlsx": {
        "xl/comments1.xml": "<comments><authors><author>Ada</author><author>tc={1}</author></authors><commentList>"
        '<comment ref="A1" authorId="0"/><comment ref="A2" authorId="1"/></commentList></comments>',
        "xl/threadedComments/threadedComment1.xml": '<ThreadedComments><threadedComment ref="A2"/></ThreadedComments>',
    },
}


@pytest.mark.parametrize("name", _COMMENTS)
def test_comments_that_are_not_read_are_counted(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(office_file(name, _COMMENTS[name]))
    first, *others = [item for item in read(tmp_path / name) if isinstance(item, Document)]
    assert first.metadata["comments_left_out"] == 2
    assert not any("comments_left_out" in one.metadata for one in others)
    (tmp_path / f"none{name}").write_bytes(office_file(name, {}))
    assert not any("comments_left_out" in item.metadata for item in read(tmp_path / f"none{name}") if isinstance(item, Document))


def test_what_is_not_read_of_a_spreadsheet_is_counted(tmp_path: Path) -> None:
    shape = "<xdr:sp><xdr:txBody>{}</xdr:txBody></xdr:sp>"
    run = "<a:p><a:r><a:t>{}</a:t></a:r></a:p>"
    relation = '<Relationship Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/{}" Target="x"/>'
    parts = {
        "xl/charts/chart1.xml": "<c/>",
        "xl/charts/style1.xml": "<c/>",
        "xl/worksheets/_rels/sheet1.xml.rels": f"<r>{relation.format('oleObject')}{relation.format('drawing')}</r>",
        "xl/drawings/drawing1.xml": shape.format(run.format("A box") + run.format("on."))
        + shape.format("<a:p/>")
        + shape.format(run),
    }
    (tmp_path / "a.xlsx").write_bytes(office_file("a.xlsx", parts))
    first, *others = [item for item in read(tmp_path / "a.xlsx") if isinstance(item, Document)]
    found = {name: value for name, value in first.metadata.items() if name.endswith("_left_out")}
    assert found == {"charts_left_out": 1, "objects_left_out": 1, "boxes_left_out": 2} == first.remarks
    assert not any(one.remarks for one in others)


@pytest.mark.parametrize("packed", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("name", ["a.docx", "d.xlsx"])
def test_comments_that_are_damaged_are_in_the_way_of_nothing(name: str, packed: int, tmp_path: Path) -> None:
    part = next(iter(_COMMENTS[name]))
    made = io.BytesIO(office_file(name, {}))
    with zipfile.ZipFile(made, "a", packed) as archive:
        archive.writestr(part, bytes(range(256)) * 9)
        there = archive.getinfo(part)
    content = bytearray(made.getvalue())
    begins = there.header_offset + 30 + len(part)  # behind the part's own header, which has these many bytes and its name …
    begins += 9 if packed == zipfile.ZIP_LZMA else 0  # … and how it is packed, which may be whole
    content[begins : begins + 40] = b"\xff" * 40
    (tmp_path / name).write_bytes(content)
    first, *_ = [item for item in read(tmp_path / name) if isinstance(item, Document)]
    assert ("Text" if name.endswith(".docx") else "One.") in first.text
    assert "comments_left_out" not in first.metadata


def office_file(name: str, parts: dict[str, str]) -> bytes:
    if name.endswith(".docx"):
        return docx([("", "Text")], {part: content.encode() for part, content in parts.items()})
    if name.endswith(".pptx"):
        return pptx([("Top", "Text")], parts)
    made = io.BytesIO(xlsx({"Sheet1": [["id", "text"], ["a", "One."], ["b", "Two."]]}))
    with zipfile.ZipFile(made, "a") as archive:
        for part, content in parts.items():
            archive.writestr(part, content)
    return made.getvalue()


def test_annotations_of_opendocument_are_counted() -> None:
    content = "<x><office:annotation office:name='a'/><office:annotation-end/><office:annotation><p/></office:annotation></x>"
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("content.xml", content)
    assert unread(made) == {"comments_left_out": 2}
    assert unread(io.BytesIO(b"no archive")) == {}


@pytest.mark.parametrize(
    ("name", "content"), [("a.pptx", pptx([("Kites", "They fly.")])), ("a.odt", odt([(1, "Kites"), (0, "They fly.")]))]
)
def test_pictures_of_a_document_may_be_of_any_size(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    read_before = taken(tmp_path / name)
    with zipfile.ZipFile(tmp_path / name, "a") as archive:
        archive.writestr("ppt/media/image1.PNG", bytes(65_000_000))
    assert "They fly." in read_before.text
    assert taken(tmp_path / name).text == read_before.text


def test_a_large_document_is_told_what_to_do(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.docx", "w") as archive:
        archive.writestr("word/document.xml", bytes(129_000_000))
    (tmp_path / "b.docx").write_bytes(bytes(65_000_000))
    (tmp_path / "c.eml").write_bytes(bytes(65_000_000))
    assert [str(item).partition(": ")[2] for item in read(tmp_path)] == [
        "larger than 128,000,000 bytes without its pictures; split it",
        "larger than 64,000,000 bytes, and damaged: File is not a zip file",
        "larger than 64,000,000 bytes; split it",
    ]


def test_formulas_that_nobody_worked_out_are_counted(tmp_path: Path) -> None:
    made = io.BytesIO()
    book = io.BytesIO(xlsx({"S": [["kite", "sum"], ["red", 1], ["blue", 2], ["green", 3], ["grey", 4]]}))
    with zipfile.ZipFile(book) as read_from, zipfile.ZipFile(made, "w") as copy:
        for name in read_from.namelist():
            part = read_from.read(name)
            part = part.replace(b"<v>1</v>", b"<f>A1&lt;2</f><v/>").replace(b"<v>2</v>", b'<f t="shared" si="0"/>')
            copy.writestr(name, part.replace(b"<v>3</v>", b"<f>A1</f><v>3</v>").replace(b'"B5">', b'"B5" t="str"><f>A1</f>'))
    assert unread(made) == {"formulas_left_out": 2}
    (tmp_path / "a.xlsx").write_bytes(made.getvalue())
    first, *others = read(tmp_path / "a.xlsx")
    assert isinstance(first, Document)
    assert (first.text, first.remarks) == ("kite: red", {"formulas_left_out": 2})
    assert len(others) == 3


@pytest.mark.timeout(20)
def test_no_formula_takes_long_to_be_counted() -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("xl/worksheets/sheet1.xml", f"<c><f>x</f>{' ' * 500_000}<c>")
    assert unread(made) == {}


@pytest.mark.parametrize(
    ("name", "part"), [("a.docm", "word/document.xml"), ("a.ppsx", "ppt/presentation.xml"), ("a.xlsm", "xl/workbook.xml")]
)
def test_a_damaged_document_is_not_said_to_be_what_it_is_called(name: str, part: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(zipped(part))
    (item,) = read(tmp_path / name)
    assert isinstance(item, Rejection)
    assert "it holds" not in item.reason


def test_damaged_documents_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.doc").write_bytes(b"\xd0\xcf\x11\xe0 no document")
    (tmp_path / "b.pptx").write_bytes(b"PK\3\4 cut")
    for item, suffix in zip(read(tmp_path), ("DOC", "PPTX"), strict=True):
        assert isinstance(item, Rejection)
        assert item.reason.startswith(f"cannot be read as {suffix}: ")


PAGE = b"<!DOCTYPE html><html><body><p>Cats sleep.</p></body></html>"
COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def zipped(*names: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in names:
            archive.writestr(name, "<x/>")
    return made.getvalue()


def entry(name: str) -> bytes:
    """The beginning of an entry in the directory of a compound file."""
    return name.encode("utf-16-le").ljust(64, b"\0") + (2 * len(name) + 2).to_bytes(2, "little")


THEME = zipped("[Content_Types].xml", "theme/theme/theme1.xml")  # as Word keeps one in a document of before 2007


@pytest.mark.parametrize(
    ("name", "kind", "content", "reason"),
    [
        ("a.html", ".docx", PAGE, "as DOCX: it holds HTML; read it as that with --as html"),
        ("a.doc", None, PAGE, "as DOC: it holds HTML; read it as that with --as html"),
        ("a.docx", None, b"Cats sleep.", "as DOCX: it holds text; read it as that with --as text"),
        ("a", "odt", b"Cats sleep.", "as ODT: it holds text; read it as that with --as text"),
        ("a.txt", "pptx", b"%PDF-1.7 ", "as PPTX: it holds PDF; read it as that with --as pdf"),
        ("a.txt", "pdf", b"Cats sleep.", "as PDF: it holds text; read it as that with --as text"),
        ("a", "epub", b"", "as EPUB: it is empty"),
        ("a.ipynb", None, PAGE, "as IPYNB: it holds HTML; read it as that with --as html"),
        ("a.ipynb", None, b'{"cells": [}', "as IPYNB: Expecting value: line 1 column 12 (char 11)"),
        ("a.xls", None, PAGE, "as XLS: it holds HTML; read it as that with --as html"),
        ("a.xlsx", None, b"id,text\n1,x\n", "as XLSX: it holds text; read it as that with --as text"),
        ("a.parquet", None, b"id,text\n1,x\n", "as Parquet: it holds text; read it as that with --as text"),
        ("a.docx", None, xlsx({"S": [["x"]]}), "as DOCX: it holds XLSX; rename it to .xlsx"),
        ("a.pptx", None, docx([("Normal", "x")]), "as PPTX: it holds DOCX; read it as that with --as docx"),
        ("a.doc", None, docx([("Normal", "x")]), "as DOC: it holds DOCX; read it as that with --as docx"),
        ("a.doc", None, b"{\\rtf1 Cats.}", "as DOC: it holds RTF; read it as that with --as rtf"),
        ("a.odt", None, pptx([("a", "b")]), "as ODT: it holds PPTX; read it as that with --as pptx"),
        ("a.epub", None, odt([(0, "x")]), "as EPUB: it holds ODT; read it as that with --as odt"),
        (
            "a.docx",
            None,
            COMPOUND + entry("PowerPoint Document"),
            "as DOCX: it holds a presentation of PowerPoint 97 to 2003; save it as .pptx",
        ),
        ("a.docx", None, zipped("readme.txt"), "as DOCX: it holds ZIP; rename it to .zip"),
        (
            "a.doc",
            None,
            COMPOUND + "A Workbook".encode("utf-16-le") + entry("WordDocument") + THEME,
            "as DOC: its streams are damaged",
        ),
        (
            "a.doc",
            None,
            COMPOUND + "WordDocument".encode("utf-16-le") + entry("Workbook"),
            "as DOC: it holds XLS; rename it to .xls",
        ),
        ("a.xls", None, COMPOUND + entry("Workbook") + THEME, "as XLS: Cannot detect file format"),
        ("a.docx", None, THEME, "as DOCX: DOCX parsing failed: Required file not found in DOCX: word/document.xml"),
        ("a.xlsx", None, zipped(), "as XLSX: Cannot detect file format"),
        ("a.xlsx", None, docx([("Normal", "x")]), "as XLSX: it holds DOCX; read it as that with --as docx"),
        ("a.pdf", None, b"From a\nFrom: a@b.c\nMessage-ID: <1>\n\nx\n", "as PDF: it holds MBOX; rename it to .mbox"),
        ("a.pdf", None, b"From: a@b.c\nMessage-ID: <1>\n\nx\n", "as PDF: it holds EML; read it as that with --as eml"),
        ("a.parquet", None, b"", "as Parquet: it is empty"),
    ],
)
def test_what_is_of_another_kind_says_so(name: str, kind: str | None, content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    (item,) = read(tmp_path / name, kind=kind)
    assert isinstance(item, Rejection)
    assert item.reason == f"cannot be read {reason}"


def test_titles_that_programs_write_are_none(tmp_path: Path) -> None:
    for title in ("Untitled", "(anonymous)", "Slide 1", "PowerPoint Presentation", "Microsoft Word - a.doc"):
        (tmp_path / "a.pdf").write_bytes(pdf(["Cats sleep."], title.replace("(", r"\(").replace(")", r"\)")))
        assert taken(tmp_path / "a.pdf").title == "a", title


def test_every_page_has_a_reader() -> None:
    assert set(pages.__dict__["_READERS"]) | set(kinds.OFFICE.values()) == set(kinds.PAGES.values())


def test_files_are_what_one_says_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("# A title\n\nText.")
    (tmp_path / "b.csv").write_text("id,text\n1,x\n")
    (tmp_path / "c.png").write_bytes(b"\x89PNG\0")
    (tmp_path / "d.md").write_text("")
    for kind in ("markdown", "md", ".MD"):
        documents = [item for item in read(tmp_path, kind=kind) if isinstance(item, Document)]
        assert [(document.title, document.media_type) for document in documents] == [
            ("A title", "text/markdown"),
            ("b", "text/markdown"),
        ]
    (tmp_path / "e").write_bytes(docx([("", "Words.")]))
    (document,) = read(tmp_path / "e", kind="docx")
    assert isinstance(document, Document)
    assert document.text == "Words.\n"
    assert kinds.named("python") == kinds.named("py") == "text/x-python"
    with pytest.raises(InvalidDocument, match="there is no kind of file 'klingon'; write text, markdown, html, a language"):
        read(tmp_path, kind="klingon")


def test_only_code_may_be_empty_without_a_word(tmp_path: Path) -> None:
    """A text that is empty may be written to just now, and a sync has to keep its document."""
    for name in ("README", "a.py", "b.txt"):
        (tmp_path / name).touch()
    readme, text = map(str, read(tmp_path))
    assert "has no text" in readme
    assert "has no text" in text


def test_titles_in_front_need_not_be_text(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("---\ntitle: 1984\n---\nText.")
    (tmp_path / "b.md").write_text("---\ntitle: [a, b]\n---\n# Of its own\n")
    one, other = [item for item in read(tmp_path) if isinstance(item, Document)]
    assert (one.title, other.title, other.metadata["title"]) == ("1984", "Of its own", ["a", "b"])
