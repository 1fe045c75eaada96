"""A FictionBook is read with its notes and tables, and its words as they are written."""

from pathlib import Path

import pytest
from readers import readers_of

pytestmark = pytest.mark.usefixtures("reader_kept")
_, taken = readers_of("a.fb2")
_LINK = '<p>Note<a l:href="#n1" type="note"><sup>[1]</sup></a>.</p>'
_NOTES = '</body><body name="notes"><section id="{}"><title><p>1</p></title><p>Small.</p></section>'


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (f"<section>{_LINK}</section>{_NOTES.format('n1')}", "Note[^1].\n\n[^1]: Small."),
        (f"<section><p>Text.</p></section>{_NOTES.format('n2')}", "Text.\n\n## 1\n\nSmall."),
        ("<section><p>An <emphasis>o</emphasis>tter, <strong>swims</strong>.</p></section>", "An otter, swims."),
        ("<table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td>&amp;</td></tr></table>", "| A | B |\n| --- | --- |\n| 1 | & |"),
        ("<title><p>A</p><p>B</p></title><section><title><p>C</p></title><p>D.</p></section>", "# A B\n\n## C\n\nD."),
        ("<section><poem><stanza><v>First</v><v>Second</v></stanza></poem></section>", "First\n\nSecond"),
        ("<section>" * 2000 + "<p>Deep.</p>" + "</section>" * 2000, "Deep."),
    ],
)  # fmt: skip
def test_words_are_read_wherever_they_stand(tmp_path: Path, body: str, text: str) -> None:
    book = f'<FictionBook xmlns="http://www.gribuser.ru/xml/fictionbook/2.0" xmlns:l="http://www.w3.org/1999/xlink"><body>{body}</body></FictionBook>'
    assert taken(tmp_path, book.encode()).text == f"{text}\n"


def test_an_encoding_that_there_is_not_costs_no_word(tmp_path: Path) -> None:
    book = '<?xml version="1.0" encoding="utf-9"?><FictionBook><body><section><p>Text.</p></section></body></FictionBook>'
    assert taken(tmp_path, book.encode()).text == "Text.\n"
