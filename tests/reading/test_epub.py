"""A book is read whole, in its order, as pages of the web are."""

from pathlib import Path

import pytest
from papers import epub
from readers import readers_of

pytestmark = pytest.mark.usefixtures("reader_kept")
read, taken = readers_of("a.epub")


@pytest.mark.parametrize(
    ("chapter", "text"),
    [
        ("<dl><dt>Otter</dt><dd>Swims.</dd></dl>", "Otter\nSwims."),
        ("<figure><img alt='A red house in Rome'/><figcaption>Of 1901</figcaption></figure>", "A red house in Rome\nOf 1901"),
        ("<table><tr><td>a<p>b</p></td><td><ul><li>c</li><li>d</li></ul></td></tr></table>", "| a b | c d |\n| --- | --- |"),
        ("<p>10<sup>23</sup> <ruby>東<rt>to</rt></ruby> R&amp;D</p>", "10^23 東(to) R&D"),
        ("<a id='p1'/><p>Before <span class='x'/>after.</p><script src='x'/><p>Last.</p>", "Before after.\n\nLast."),
        ("<p>Note<a href='#f'>1</a></p><aside id='f'><p>The note.</p></aside>", "Note1\n\nThe note."),
        ("<p>Before.</p><article><p>One, two, three, four.</p></article>", "Before.\n\nOne, two, three, four."),
        ("<p>One two three.</p><main><p>Four.</p></main><p>Five.</p>", "One two three.\n\nFour.\n\nFive."),
        ("<p>A.</p><aside epub:type='footnote' hidden='hidden'><p>The note.</p></aside>", "A.\n\nThe note."),
        ("<p>A.</p><section role='doc-endnotes' aria-hidden='true'><p>Notes.</p></section>", "A.\n\nNotes."),
        ("<p>A.</p><div hidden='hidden'>Code.</div><nav epub:type='endnotes'>Contents</nav>", "A."),
        ("<nav><ol><li>Contents</li></ol></nav><p>Text.</p>", "Text."),
    ],
)  # fmt: skip
def test_words_are_read_wherever_they_stand(tmp_path: Path, chapter: str, text: str) -> None:
    assert taken(tmp_path, epub("T", [chapter])).text == f"{text}\n"


def test_chapters_come_in_their_order_and_encodings(tmp_path: Path) -> None:
    page = '<?xml version="1.0" encoding="{}"?><html><head><title/></head><body><p>{}</p></body></html>'
    others = {
        f"c{number}.xhtml": page.format(encoding, text).encode(encoding)
        for number, (encoding, text) in enumerate(
            [("utf-8", "Erstens: ä"), ("iso-8859-1", "Zweitens: ü"), ("utf-16", "Drittens: ö")]
        )
    }
    document = taken(tmp_path, epub("R&amp;D", ["", "", "", "<p>Last.</p>"], dict(others)))
    assert (document.title, document.text) == ("R&D", "Erstens: ä\n\nZweitens: ü\n\nDrittens: ö\n\nLast.\n")


def test_pages_that_are_missing_are_counted_and_cost_no_other(tmp_path: Path) -> None:
    package = (
        '<package><metadata/><manifest><item id="a" href="x/gone.xhtml" media-type="application/xhtml+xml"/>'
        '<item id="b" href="./a%20b.xhtml" media-type="application/xhtml+xml"/>'
        '<item id="c" href="c.png" media-type="image/png"/></manifest>'
        '<spine><itemref idref="a"/><itemref idref="c"/><itemref idref="nobody"/><itemref idref="b"/></spine></package>'
    )
    document = taken(tmp_path, epub("T", [], {"book.opf": package, "a b.xhtml": "<p>Here.</p>"}))
    assert (document.text, document.metadata["missing_pages"]) == ("Here.\n", 1)


def test_each_page_is_read_once(tmp_path: Path) -> None:
    spine = "".join(f'<itemref idref="{name}"/>' for name in "abcdabca")
    package = (
        '<package><metadata/><manifest><item id="a" href="a.xhtml#x" media-type="application/xhtml+xml"/>'
        '<item id="b" href="./a.xhtml#y" media-type="application/xhtml+xml"/>'
        '<item id="c" href="c.HTML" media-type="application/xml"/>'
        f'<item id="d" href="d.xml" media-type="application/xml"/></manifest><spine>{spine}</spine></package>'
    )
    others = {"book.opf": package, "a.xhtml": "<p>One.</p>", "c.HTML": "<p>Two.</p>", "d.xml": "<p>No.</p>"}
    assert taken(tmp_path, epub("T", [], others)).text == "One.\n\nTwo.\n"


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    locked = '<encryption><CipherReference URI="{}"/></encryption>'
    encrypted = epub("T", ["<p>x</p>"], {"META-INF/encryption.xml": locked.format("c0.xhtml")})
    assert "is encrypted; save it without the protection against copying" in str(read(tmp_path, encrypted))
    assert taken(tmp_path, epub("T", ["<p>x</p>"], {"META-INF/encryption.xml": locked.format("font.otf")})).text == "x\n"
    for path, content, because in [
        ("META-INF/container.xml", "<container/>", "its container names no book"),
        ("book.opf", "<package>", "no element found"),
        ("META-INF/container.xml", '<c><rootfile full-path="gone.opf"/></c>', "There is no item named 'gone.opf'"),
    ]:
        assert f"cannot be read as EPUB: {because}" in str(read(tmp_path, epub("T", ["<p>x</p>"], {path: content})))
