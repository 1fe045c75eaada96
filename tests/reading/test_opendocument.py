"""What an OpenDocument text says is read, wherever in it that stands."""

from pathlib import Path

import pytest
from papers import open_document
from readers import readers_of

pytestmark = pytest.mark.usefixtures("reader_kept")
read, taken = readers_of("a.odt")
MATH = (
    '<math xmlns="http://www.w3.org/1998/Math/MathML">'
    "<semantics><mrow>{}</mrow><annotation>not read</annotation></semantics></math>"
)
RUBY = "<text:ruby><text:ruby-base>東京</text:ruby-base><text:ruby-text>とうきょう</text:ruby-text></text:ruby>"


def paragraph(text: str) -> str:
    return f"<text:p>{text}</text:p>"


def items(*texts: str) -> str:
    return f"<text:list>{''.join(f'<text:list-item>{text}</text:list-item>' for text in texts)}</text:list>"


def table(*rows: list[str]) -> str:
    cells = ("".join(f"<table:table-cell>{cell}</table:table-cell>" for cell in row) for row in rows)
    return f"<table:table>{''.join(f'<table:table-row>{row}</table:table-row>' for row in cells)}</table:table>"


def box(*texts: str) -> str:
    return f"<draw:frame><draw:text-box>{''.join(map(paragraph, texts))}</draw:text-box></draw:frame>"


def note(text: str) -> str:
    body = f"<text:note-body>{paragraph(text)}</text:note-body>"
    return f"<text:note><text:note-citation>i</text:note-citation>{body}</text:note>"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (paragraph("<text:span>Lorem</text:span> is R&amp;D<text:tab/>and<text:line-break/>more"), "Lorem is R&D and\nmore"),
        (paragraph('one<text:s text:c="3"/>two<text:s/>three'), "one two three"),
        (paragraph(f"{RUBY}へ"), "東京(とうきょう)へ"),
        (paragraph("<text:ruby><text:ruby-base>東京</text:ruby-base></text:ruby>へ"), "東京へ"),
        (paragraph(f"<text:ruby><text:ruby-base>{RUBY}</text:ruby-base></text:ruby>へ"), "東京(とうきょう)へ"),
        (paragraph("a<text:script>code()</text:script>b"), "ab"),
        ("<draw:frame><svg:desc>A red house in Rome</svg:desc></draw:frame>" + paragraph("x"), "A red house in Rome\n\nx"),
        (table([paragraph("A"), paragraph("B")]).replace("-cell>", '-cell table:number-columns-repeated="2">', 1),
         "| A | A | B |\n| --- | --- | --- |"),
        (table([paragraph("A"), paragraph("B")], ["", paragraph("C")]).replace("<table:table-cell>", '<table:table-cell '
         'table:number-rows-spanned="2">', 1).replace("<table:table-cell></table:table-cell>", "<table:covered-table-cell/>"),
         "| A | B |\n| --- | --- |\n| A | C |"),
        (paragraph(f"One{note('x').replace('text:p>', 'text:h>')}"), "One[^1]\n\n[^1]: x"),
        (paragraph(f"Before {box('In the box.', 'Twice.')}after."), "Before after.\n\nIn the box.\n\nTwice."),
        (box("By itself.") + paragraph("Text."), "By itself.\n\nText."),
        (paragraph("a<draw:custom-shape><text:p>In a shape.</text:p></draw:custom-shape>b"), "ab\n\nIn a shape."),
        (paragraph("<draw:frame><svg:desc>A red house in Rome</svg:desc></draw:frame>"), "A red house in Rome"),
        (f"<text:section>{paragraph('In a section.')}</text:section>", "In a section."),
        (f"<text:table-of-content>{paragraph('Chapter 9')}</text:table-of-content>{paragraph('x')}", "x"),
        (f"<text:bibliography>{paragraph('A. Smith, 1999')}</text:bibliography>", "A. Smith, 1999"),
        (f"<text:tracked-changes><text:deletion>{paragraph('Gone')}</text:deletion></text:tracked-changes>{paragraph('x')}", "x"),
        (items(paragraph("One") + items(paragraph("Inner")), paragraph("Two") + paragraph("on")), "- One\n  - Inner\n- Two\n  on"),
        (table([paragraph("A") + paragraph("B"), items(paragraph("C"), paragraph("D"))], [paragraph("E"), ""]),
         "| A B | C D |\n| --- | --- |\n| E |  |"),
        (table([paragraph(f"A{note('In a cell.')}")]), "| A[^1] |\n| --- |\n\n[^1]: In a cell."),
        (paragraph(f"One{note('Outer@').replace('@', note('Inner.'))}"), "One[^1]\n\n[^1]: Outer[^2]\n\n[^2]: Inner."),
        (paragraph(f"One{note('First.')} two{note('Second.')}"), "One[^1] two[^2]\n\n[^1]: First.\n\n[^2]: Second."),
    ],
)  # fmt: skip
def test_words_are_read_wherever_they_stand(tmp_path: Path, body: str, text: str) -> None:
    assert taken(tmp_path, open_document(body)).text == f"{text}\n"


def test_titles_and_headings(tmp_path: Path) -> None:
    body = (
        '<text:p text:style-name="P1">The Plan</text:p><text:h text:outline-level="1">One</text:h><text:h>Two</text:h>'
        + paragraph("Text.")
    )
    styles = '<style:style style:name="P1" style:parent-style-name="Title"/>'
    document = taken(tmp_path, open_document(body, styles=styles))
    assert (document.title, document.text) == ("The Plan", "# The Plan\n\n# One\n\n# Two\n\nText.\n")
    assert taken(tmp_path, open_document(body, about="<dc:title>R&amp;D</dc:title>")).title == "R&D"


def test_headers_and_footers_are_read_once(tmp_path: Path) -> None:
    header, number = f"<style:header>{paragraph('The firm')}</style:header>", "<text:page-number>7</text:page-number>"
    margins = f"{header}{header.replace('header', 'header-left')}<style:footer>{paragraph(f'- {number} -')}</style:footer>"
    document = taken(tmp_path, open_document(paragraph("Body."), margins=margins))
    assert document.text == "Body.\n\n## Headers and footers\n\nThe firm\n"
    numbers = f"<style:header>{table([paragraph('7'), paragraph('8')])}</style:header>"
    assert taken(tmp_path, open_document(paragraph("Body."), margins=numbers)).text == "Body.\n"


def test_formulas_are_read_and_other_objects_are_counted(tmp_path: Path) -> None:
    power = "<mi>E</mi><mo>=</mo><mi>m</mi><msup><mi>c</mi><mn>2</mn></msup>"
    first, second, third = (f'<draw:frame><draw:object xlink:href="./Object {number}"/></draw:frame>' for number in (1, 2, 3))
    body = paragraph(f"Before {first} after.{second}") + third.replace("object", "object-ole")
    objects: dict[str, str | bytes] = {
        "Object 1/content.xml": MATH.format(power),
        "Object 2/content.xml": "<chart/>",
        "Object 3": b"OLE",
    }
    document = taken(tmp_path, open_document(body, others=objects))
    assert document.text == "Before E=mc^2 after.\n"
    assert document.metadata["objects_left_out"] == 2


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    manifest = '<m:manifest xmlns:m="urn:m"><m:file-entry><m:encryption-data/></m:file-entry></m:manifest>'
    encrypted = open_document(paragraph("x"), others={"META-INF/manifest.xml": manifest, "content.xml": b"\x01\x02"})
    assert "is encrypted; save it without a password" in str(read(tmp_path, encrypted))
    assert "cannot be read as ODT: mismatched tag" in str(read(tmp_path, open_document("<text:p>")))
    deep = "<text:span>" * 20_000 + "x" + "</text:span>" * 20_000
    assert "cannot be read as ODT: its elements are nested too deep" in str(read(tmp_path, open_document(paragraph(deep))))


def test_nothing_is_too_deep_that_a_person_wrote(tmp_path: Path) -> None:
    depth = 1000
    words = [f"L{number}" for number in range(depth)]
    for begin, end in (
        ("<text:list><text:list-item><text:p>{}</text:p>", "</text:list-item></text:list>"),
        (
            "<table:table><table:table-row><table:table-cell><text:p>{}</text:p>",
            "</table:table-cell></table:table-row></table:table>",
        ),
        ("<text:section><text:p>{}</text:p>", "</text:section>"),
        ("<text:p><text:span>{} <draw:frame><draw:text-box>", "</draw:text-box></draw:frame></text:span></text:p>"),
    ):
        text = taken(tmp_path, open_document("".join(map(begin.format, words)) + end * depth)).text
        assert text.replace("-", "").split() == words
    spans = "<text:p>" + "".join(f"<text:span>{word} " for word in words) + "</text:span>" * depth + "</text:p>"
    assert taken(tmp_path, open_document(spans)).text.split() == words


def test_parts_that_a_text_can_do_without_may_be_damaged(tmp_path: Path) -> None:
    damaged: dict[str, str | bytes] = dict.fromkeys(("meta.xml", "styles.xml", "META-INF/manifest.xml"), "<damaged")
    assert taken(tmp_path, open_document(paragraph("Text."), others=damaged)).text == "Text.\n"
