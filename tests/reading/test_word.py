"""What a Word document says is read, wherever in it that stands: the office library loses much of it."""

import io
import re
import time
import zipfile
from pathlib import Path

import pytest
from papers import docx, word
from readers import readers_of

from search.documents import Document
from search.reading import Reading
from search.reading.structure import sections
from search.reading.word import prepared

pytestmark = pytest.mark.usefixtures("reader_kept")
read, taken = readers_of("a.docx")
HEADER = '<w:hdr xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:p><w:r><w:t>{}</w:t></w:r></w:p></w:hdr>'
NOTES = '<w:{0}notes xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">{1}</w:{0}notes>'
SEPARATORS = (
    '<w:{0}note w:type="separator" w:id="-1"><w:p><w:r><w:separator/></w:r></w:p></w:{0}note>'
    '<w:{0}note w:type="continuationSeparator" w:id="0"><w:p><w:r><w:continuationSeparator/></w:r></w:p></w:{0}note>'
)


def run(inside: str) -> str:
    return f"<w:r>{inside}</w:r>"


def words(text: str) -> str:
    return f'<w:t xml:space="preserve">{text}</w:t>'


def paragraph(*texts: str) -> str:
    """Of XML where it begins with a tag, else of words."""
    return f"<w:p>{''.join(text if text.startswith('<') else run(words(text)) for text in texts)}</w:p>"


def box(*texts: str) -> str:
    """One of those that old programs show; new ones have another edition of it, which they prefer."""
    paragraphs = (text if text.startswith("<") else paragraph(text) for text in texts)
    content = f"<w:txbxContent>{''.join(paragraphs)}</w:txbxContent>"
    old = f"<w:pict><v:shape><v:textbox>{content}</v:textbox></v:shape></w:pict>"
    new = f"<w:drawing><wp:anchor><wps:txbx>{content}</wps:txbx></wp:anchor></w:drawing>"
    return run(
        f'<mc:AlternateContent><mc:Choice Requires="wps">{new}</mc:Choice><mc:Fallback>{old}</mc:Fallback></mc:AlternateContent>'
    )


def edition(*inside: str) -> str:
    """The last one is for old programs."""
    *new, old = inside
    choices = "".join(f'<mc:Choice Requires="x{number}">{one}</mc:Choice>' for number, one in enumerate(new))
    return f"<mc:AlternateContent>{choices}<mc:Fallback>{old}</mc:Fallback></mc:AlternateContent>"


def signed(font: str, code: str) -> str:
    return run(f'<w:sym w:font="{font}" w:char="{code}"/>')


def ruby(base: str, reading: str) -> str:
    return run(f"<w:ruby><w:rt>{run(words(reading))}</w:rt><w:rubyBase>{run(words(base))}</w:rubyBase></w:ruby>")


def formula(inside: str) -> str:
    return f"<m:oMath>{inside}</m:oMath>"


def symbol(text: str) -> str:
    return f"<m:r><m:t>{text}</m:t></m:r>"


def note(kind: str, number: int, text: str) -> str:
    return f'<w:{kind}note w:id="{number}">{paragraph(text)}</w:{kind}note>'


def reference(kind: str, number: int) -> str:
    return run(f'<w:{kind}noteReference w:id="{number}"/>')


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (paragraph("R&amp;D at AT&amp;T: a &lt; b, &quot;so&quot; it&apos;s &gt; c"), "R&D at AT&T: a < b, \"so\" it's > c"),
        (paragraph("caf&#233; &#x1F600;&#38;co <![CDATA[a<b&c]]>"), "café 😀&co a<b&c"),
        (paragraph("Not &amp;amp; but &amp;lt;b&amp;gt;"), "Not &amp; but &lt;b&gt;"),
        (paragraph("Sum", run(f"<w:tab/>{words('Date')}")), "Sum Date"),
        (paragraph("Total", run('<w:ptab w:alignment="right" w:relativeTo="margin"/>'), "42"), "Total 42"),
        (f'<w:p><w:pPr><w:tabs><w:tab w:val="left" w:pos="700"/></w:tabs></w:pPr>{run(words("Set"))}</w:p>', "Set"),
        (paragraph("LINE ONE", run("<w:cr/>"), "LINE TWO"), "LINE ONE LINE TWO"),
        (paragraph("well", run(f"<w:noBreakHyphen/>{words('known')}")), "well-known"),
        (paragraph("私は", ruby("東京", "とうきょう"), "へ"), "私は東京(とうきょう)へ"),
        (paragraph("Hi ", run(edition("", "<w:t>\U0001f60a</w:t>")), " bye"), "Hi \U0001f60a bye"),
        (paragraph("One ", run(edition(box("In it."), box("Twice."), box("Old."))), "text"), "One text\n\nIn it."),
        (paragraph(signed("Symbol", "F062"), signed("Wingdings", "F0FC"), signed("X", "F041"), signed("X", "2192")), "β✓ →"),
        (paragraph(signed("Symbol", "0062"), signed("Wingdings", "FC"), signed("Arial", "003C"), signed("Arial", "26")), "β✓<&"),
        (paragraph("a", signed("Arial", "none"), "b", signed("Arial", ""), "c", signed("Arial", "D83D"), "d"), "a b cd"),
        (paragraph("T", f'<w:del w:id="1">{reference("foot", 1)}{formula(symbol("x"))}{box("Gone.")}</w:del>', "ext"), "Text"),
        (paragraph("<!-- <w:txbxContent> & --><?x <w:del> ?>", "Before ", box("Boxed."), "after."), "Before after.\n\nBoxed."),
        (paragraph('<w:moveFrom w:id="1"><w:r><w:t>MOVED</w:t></w:r></w:moveFrom>', "Stays."), "Stays."),
        (paragraph("Before ", formula(symbol("E=m")), " and ", formula(symbol("a&lt;b")), " after."), "Before E=m and a<b after."),
        (
            paragraph("Half is ", formula(f"<m:f><m:num>{symbol('1')}</m:num><m:den>{symbol('2')}</m:den></m:f>"), "."),
            "Half is \\frac{1}{2}.",
        ),
        (paragraph("Before ", f"<m:oMathPara>{formula(symbol('x'))}</m:oMathPara>", " after."), "Before x after."),
        (paragraph("Before ", box("In the box.", "Twice."), "after."), "Before after.\n\nIn the box.\n\nTwice."),
        (paragraph("Before ", box("One."), "between ", box("Two."), "after."), "Before between after.\n\nOne.\n\nTwo."),
        (paragraph("All", box(paragraph("x", box("Deep."), "y"))), "All\n\nxy\n\nDeep."),
        (f"<w:tbl><w:tr><w:tc>{paragraph('A')}</w:tc><w:tc>{paragraph('B ', box('C'), formula(symbol('x')))}</w:tc></w:tr></w:tbl>",
         "| A | B x C |\n| --- | --- |"),
        (f"<w:tbl><w:tr><w:tc>{paragraph(run('<w:rPr><w:b/></w:rPr>' + words('Bold')), ' and not')}</w:tc></w:tr></w:tbl>",
         "| Bold and not |\n| --- |"),
    ],
)  # fmt: skip
def test_words_are_read_wherever_they_stand(tmp_path: Path, body: str, text: str) -> None:
    assert taken(tmp_path, word(body)).text == f"{text}\n"


def row(*cells: tuple[str, str] | str, about: str = "") -> str:
    """Of cells with what they say of their place; or of words alone."""
    written = (("", one) if isinstance(one, str) else one for one in cells)
    return f"<w:tr>{about}{''.join(f'<w:tc><w:tcPr>{place}</w:tcPr>{paragraph(text)}</w:tc>' for place, text in written)}</w:tr>"


def test_cells_of_several_columns_are_read_once(tmp_path: Path) -> None:
    two, begins, goes_on = '<w:gridSpan w:val="2"/>', '<w:vMerge w:val="restart"/>', "<w:vMerge/>"
    was = f"<w:tcPrChange><w:tcPr>{two}</w:tcPr></w:tcPrChange>"
    inner = f"<w:tbl>{row((two, 'x'), 'y')}</w:tbl>"
    long = "long " * 41
    rows = [
        row(("<w:gridSpan w:val='3'/>", "A"), "B"),
        row((two + begins, "C"), (was, "D"), (begins, long)),
        row((two + goes_on, ""), "E", (goes_on, "")),
        row("F", about='<w:trPr><w:gridBefore w:val="1"/></w:trPr>'),
        f"<w:tr><w:tc>{paragraph('G')}{inner}</w:tc><w:tc><w:tcPr>{two}</w:tcPr>{paragraph('H')}</w:tc></w:tr>",
    ]
    lines = taken(tmp_path, word(f"<w:tbl>{''.join(rows)}</w:tbl>")).text.splitlines()
    assert [line for line in lines if "---" not in line] == [
        "| A |  |  | B |",
        f"| C |  | D | {long.strip()} |",
        "| C |  | E |  |",
        "|  | F |  |  |",
        "| G x y | H |  |  |",
    ]


def test_notes_are_read_whatever_their_numbers(tmp_path: Path) -> None:
    body = paragraph("Body", reference("foot", 1), " and", reference("end", 1), " more", reference("foot", 2), reference("foot", 9))
    feet = SEPARATORS.format("foot") + note("foot", 1, "R&amp;D.") + note("foot", 2, "Second.") + note("foot", 3, "Unused.")
    ends = SEPARATORS.format("end") + note("end", 1, "At the end.")
    parts = {
        "footnotes.xml": ("footnotes", NOTES.format("foot", feet)),
        "endnotes.xml": ("endnotes", NOTES.format("end", ends)),
    }
    text = "Body[^1] and[^2] more[^3]\n\n[^1]: R&D.\n\n[^2]: At the end.\n\n[^3]: Second.\n"
    assert taken(tmp_path, word(body, parts)).text == text


def test_headers_and_footers_are_read_once(tmp_path: Path) -> None:
    references = "".join(
        f'<w:headerReference w:type="{kind}" r:id="{name}"/>'
        for kind, name in {"default": "a.xml", "first": "b.xml", "even": "c.xml"}.items()
    )
    body = paragraph("Body.") + f'<w:sectPr>{references}<w:footerReference w:type="default" r:id="d.xml"/></w:sectPr>'
    headers = {
        name: ("header", HEADER.format(text))
        for name, text in {"a.xml": "Smith &amp; Co", "b.xml": "First", "c.xml": "First"}.items()
    }
    footer = HEADER.format("- 7 -").replace("hdr", "ftr")
    document = taken(tmp_path, word(body, {**headers, "d.xml": ("footer", footer), "e.xml": ("header", HEADER.format("Unused"))}))
    assert document.text == "Body.\n\n## Headers and footers\n\nSmith & Co\n\nFirst\n"
    assert document.title == "a"


def test_a_document_of_nothing_but_a_header_is_one(tmp_path: Path) -> None:
    body = '<w:sectPr><w:headerReference w:type="default" r:id="a.xml"/></w:sectPr>'
    document = taken(tmp_path, word(body, {"a.xml": ("header", HEADER.format("The firm"))}))
    assert (document.title, document.text) == ("a", "## Headers and footers\n\nThe firm\n")


def test_documents_inside_are_read(tmp_path: Path) -> None:
    inside: dict[str, str | bytes] = {
        "a.html": "<html><head><title>T</title></head><body><main><p>HTML &amp; words</p></main><p>aside</p></body></html>",
        "b.docx": word(paragraph("Word's, with ", formula(symbol("x")), ".")),
        "c.rtf": r"{\rtf1\ansi Rich text\par}",
        "d.txt": "Plain text",
        "e.mht": "Subject: S\r\nContent-Type: text/html\r\n\r\n<p>Of the web</p>",
        "f.xml": "<pkg/>",
        "g.docx": b"damaged",
    }
    chunks = "".join(f'<w:altChunk r:id="{name}"/>' for name in inside)
    parts = {name: ("aFChunk", content) for name, content in inside.items()}
    document = taken(tmp_path, word(paragraph("Before.") + chunks + paragraph("After."), parts))
    texts = ["Before.", "HTML & words", "Word's, with x.", "Rich text", "Plain text", "Of the web", "After."]
    assert document.text == "\n\n".join(texts) + "\n"
    assert document.metadata["objects_left_out"] == 2


def test_documents_in_documents_end(tmp_path: Path) -> None:
    content = word(paragraph("Innermost."))
    for number in range(6):
        content = word(paragraph(f"Number {number}.") + '<w:altChunk r:id="a.docx"/>', {"a.docx": ("aFChunk", content)})
    document = taken(tmp_path, content)
    assert document.text == "Number 5.\n\nNumber 4.\n\nNumber 3.\n\nNumber 2.\n"
    assert document.metadata["objects_left_out"] == 1


def test_objects_that_others_made_are_counted(tmp_path: Path) -> None:
    parts = {"embeddings/a.xlsx": ("package", b""), "embeddings/b.bin": ("oleObject", b"")}
    assert taken(tmp_path, word(paragraph("Text."), parts)).metadata["objects_left_out"] == 2


def test_the_main_part_may_have_another_name(tmp_path: Path) -> None:
    notes = {"footnotes2.xml": ("footnotes", NOTES.format("foot", note("foot", 1, "A note.")))}
    content = word(paragraph("Text", reference("foot", 1)), notes, main="word/document2.xml")
    assert taken(tmp_path, content).text == "Text[^1]\n\n[^1]: A note.\n"


NOTE = {"footnotes.xml": ("footnotes", NOTES.format("foot", note("foot", 1, "A note.")))}


@pytest.mark.parametrize(
    ("gone", "text"),
    [
        ("word/footnotes.xml", "R&D x\n\n## Headers and footers\n\nThe firm"),
        ("word/a.xml", "R&D x[^1]\n\n[^1]: A note."),
        ("word/_rels/document.xml.rels", "R&D x"),
    ],
)
def test_a_missing_part_costs_no_other(gone: str, text: str, tmp_path: Path) -> None:
    body = paragraph("R&amp;D", run(f"<w:tab/>{words('x')}"), reference("foot", 1))
    body += '<w:sectPr><w:headerReference w:type="default" r:id="a.xml"/></w:sectPr>'
    content = word(body, {**NOTE, "a.xml": ("header", HEADER.format("The firm"))}, others={gone: b"<damaged"})
    assert taken(tmp_path, content).text == f"{text}\n"
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(made, "w") as copy:
        for name in archive.namelist():
            if name != gone:
                copy.writestr(name, archive.read(name))
    assert taken(tmp_path, made.getvalue()).text == f"{text}\n"


def test_notes_that_are_referred_to_again_stand_there_once(tmp_path: Path) -> None:
    itself = f'<w:footnote w:id="1">{paragraph("In itself", reference("foot", 1))}</w:footnote>'
    content = word(
        paragraph("a", reference("foot", 1), " b", reference("foot", 1)), {"f.xml": ("footnotes", NOTES.format("foot", itself))}
    )
    assert taken(tmp_path, content).text == "a[^1] b[^1]\n\n[^1]: In itself[^1]\n"


def test_titles_have_no_marks_of_notes_and_no_section_of_ours(tmp_path: Path) -> None:
    heading = f'<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr>{run(words("Report"))}{reference("foot", 1)}</w:p>'
    body = heading + paragraph("Body.") + '<w:sectPr><w:headerReference w:type="default" r:id="a.xml"/></w:sectPr>'
    document = taken(tmp_path, word(body, {**NOTE, "a.xml": ("header", HEADER.format("The firm"))}))
    assert document.title == "Report"
    assert sections(document.text, document.media_type)[0].headings == ("Report",)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
@pytest.mark.parametrize("prefix", ["ns0", "a.b", ""])
def test_another_prefix_and_another_encoding(prefix: str, encoding: str, tmp_path: Path) -> None:
    body = paragraph("R&amp;D caf\u00e9", formula(symbol("x")), reference("foot", 1))
    body += '<w:sectPr><w:headerReference w:type="default" r:id="a.xml"/></w:sectPr>'
    parts = {**NOTE, "a.xml": ("header", HEADER.format("The firm"))}
    with zipfile.ZipFile(io.BytesIO(word(body, parts))) as archive:
        main = archive.read("word/document.xml").decode()
    main = re.sub(r"(</?|xmlns:| )([mr])(?=[:=])", r"\1\2\2", main).replace('"1.0"', f'"1.0" encoding="{encoding}"')
    if prefix:
        main = main.replace("xmlns:w=", f"xmlns:{prefix}=").replace(" w:", f" {prefix}:")
    else:
        main = main.replace("<w:document", f'<w:document xmlns="{HEADER.split(chr(34))[1]}"')  # attributes have one all the same
    main = re.sub("(</?)w:", rf"\1{prefix}{':' * bool(prefix)}", main)
    content = word("", parts, others={"word/document.xml": main.encode(encoding)})
    text = "R&D caf\u00e9x[^1]\n\n[^1]: A note.\n\n## Headers and footers\n\nThe firm\n"
    assert taken(tmp_path, content).text == text


def test_documents_inside_a_cell_stand_on_its_line(tmp_path: Path) -> None:
    table = f"<w:tbl><w:tr><w:tc>{paragraph('a|b')}</w:tc><w:tc>{paragraph('c')}</w:tc></w:tr></w:tbl>"
    parts: dict[str, tuple[str, str | bytes]] = {
        "a.html": ("aFChunk", "<p>One</p><p>two | three</p>"),
        "b.docx": ("aFChunk", word(paragraph("Four") + table)),
    }
    cells = "".join(f'<w:tc><w:altChunk r:id="{name}"/><w:p/></w:tc>' for name in parts)
    document = taken(tmp_path, word(f"<w:tbl><w:tr>{cells}</w:tr></w:tbl>{paragraph('After.')}", parts))
    assert document.text == "| One two \\| three | Four a\\|b c |\n| --- | --- |\n\nAfter.\n"


@pytest.mark.parametrize(
    "part",
    [
        "<![CDATA[" * 40_000,
        "<w:p><w:txbxContent>" * 20_000,
        "<w:footnote x>" * 20_000,
        "<w:tbl><w:tc><w:vMerge w:val='restart'/>" * 5_000 + "</w:tc></w:tbl>" * 5_000,
        "<w:tcPrChange>" * 20_000,
        "<w:ptab" + " " * 100_000,
        "<mc:AlternateContent>" * 50_000,
        "<w:p><w:r><w:footnoteReference w:id='1'/></w:r></w:p>" * 20_000,
        "<w:headerReference r:id='h.xml'/>" * 20_000,
    ],
)
def test_nothing_of_it_takes_long(part: str) -> None:
    content = word(
        part,
        {
            "f.xml": ("footnotes", NOTES.format("foot", note("foot", 1, "long " * 20_000) + part)),
            "h.xml": ("header", HEADER.format("long " * 20_000)),
        },
    )
    started = time.process_time()
    prepared(content)
    assert time.process_time() - started < 5


def test_a_damaged_picture_costs_no_word(tmp_path: Path) -> None:
    content = docx([("Normal", "R&amp;D"), ("Heading1", "Plan")], {"word/media/image1.png": b"picture" * 99})
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entry = archive.getinfo("word/media/image1.png")
    at = entry.header_offset + 30 + len(entry.filename)
    damaged = content[:at] + b"\xff" * entry.compress_size + content[at + entry.compress_size :]
    assert taken(tmp_path, damaged).text == "R&D\n\n## Plan\n"


@pytest.mark.parametrize("tag", ["<w:txbxContent>", "</w:txbxContent>"])
def test_what_ends_where_it_should_not_is_said_to_be_damaged(tmp_path: Path, tag: str) -> None:
    (tmp_path / "a.docx").write_bytes(word(paragraph("Text", tag)))
    (rejection,) = map(str, Reading([str(tmp_path / "a.docx")]))
    assert "cannot be read as DOCX" in rejection


def test_a_formula_without_an_end_costs_no_word(tmp_path: Path) -> None:
    assert taken(tmp_path, word(paragraph("R&amp;D") + "<w:p><m:oMath>")).text == "R&D\n"


def test_signs_for_private_use_are_none_of_ours(tmp_path: Path) -> None:
    assert taken(tmp_path, word(paragraph("a\U00100000b\U00100007c \ue000"))).text == "abc \ue000\n"


def test_a_book_keeps_its_signs(tmp_path: Path) -> None:
    text = "R&amp;D &lt;b&gt; &quot;q&quot; caf&#233;"
    head = f"<description><title-info><book-title>{text}</book-title></title-info></description>"
    book = f"<FictionBook>{head}<body><section><p>{text} Привет</p></section></body></FictionBook>"
    for encoding in ("utf-8", "windows-1251"):
        (tmp_path / "a.fb2").write_bytes(f'<?xml version="1.0" encoding="{encoding}"?>{book}'.encode(encoding))
        (document,) = Reading([str(tmp_path / "a.fb2")])
        assert isinstance(document, Document), document
        assert document.title == 'R&D <b> "q" café'
        assert 'R&D <b> "q" café Привет' in document.text
