"""PDFs, mails and notebooks."""

import io
import json
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pypdf
import pypdfium2
import pytest
from papers import docx, pdf

from search.documents import Document, Rejection
from search.reading import Reading, mail, notebooks, replies, rtf
from search.reading import pdf as reading_pdf
from search.reading.margins import without_margins
from search.reading.structure import sections

pytestmark = pytest.mark.usefixtures("reader_kept")


def taken(path: Path) -> Document:
    (document,) = Reading([str(path)])
    assert isinstance(document, Document), document
    return document


def rejected(path: Path) -> str:
    (rejection,) = map(str, Reading([str(path)]))
    return rejection


def test_a_pdf_that_needs_no_password_is_read(tmp_path: Path) -> None:
    writer = pypdf.PdfWriter(io.BytesIO(pdf(["The harbour is deep."])))
    writer.encrypt("", "owner", algorithm="RC4-128")
    writer.write(tmp_path / "a.pdf")
    assert taken(tmp_path / "a.pdf").text == "The harbour is deep."


def with_field(kind: str, value: str, lines: str | list[str] = "Tenant:") -> bytes:
    """A PDF with a field of a form."""
    writer = pypdf.PdfWriter(io.BytesIO(pdf([lines])))
    name = pypdf.generic.NameObject
    field = pypdf.generic.DictionaryObject(
        {
            name("/Type"): name("/Annot"),
            name("/Subtype"): name("/Widget"),
            name("/FT"): name(kind),
            name("/T"): pypdf.generic.TextStringObject("tenant"),
            name("/V"): pypdf.generic.TextStringObject(value),
            name("/Rect"): pypdf.generic.ArrayObject([pypdf.generic.NumberObject(one) for one in (100, 100, 300, 120)]),
        }
    )
    reference = writer._add_object(field)  # there is no other way to write a field
    writer.pages[0][name("/Annots")] = pypdf.generic.ArrayObject([reference])
    writer.root_object[name("/AcroForm")] = pypdf.generic.DictionaryObject(
        {name("/Fields"): pypdf.generic.ArrayObject([reference])}
    )
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


@pytest.mark.parametrize(("kind", "value"), [("/Tx", "Grace Hopper"), ("/Tx", "Straße 12 €"), ("/Ch", "Monthly")])
def test_what_was_filled_into_a_form_is_read(kind: str, value: str) -> None:
    assert reading_pdf.read(with_field(kind, value))[1] == f"Tenant:\n{value}"


def test_what_was_filled_into_a_form_is_no_rest_of_a_word() -> None:
    page = ["Many words."] * 51 + ["Ten-", "oner"]  # of which the last line is outside of the page
    assert reading_pdf.read(with_field("/Tx", "Hopper", page))[1].endswith("words.\nTen-\nHopper")


def test_hyphens_at_the_end_of_lines_join_words() -> None:
    assert reading_pdf.joined("har\ufffe\r\nbour and twenty-\r\none") == "harbour and twenty-\none"
    assert reading_pdf.joined("a\x02b\fc\0d\re") == "ab\ncd\ne"


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["a har-", "bour of the well-", "known city, known well"], "a harbour of the wellknown city, known well"),
        (["well-known: a well-", "known har-", "bour, the harbour"], "well-known: a well-known harbour, the harbour"),
        (["co-op, wellknown, a well-", "known co-", "op"], "co-op, wellknown, a wellknown co-op"),
        (["an X-", "Ray of COVID-", "19 by e-", "mail, A-", "4"], "an X-Ray of COVID-19 by e-mail, A-4"),
        (
            ["the HAR-", "BOUR of Rhein-", "Main, TraceMonkey, Trace-", "Monkey"],
            "the HARBOUR of Rhein-Main, TraceMonkey, TraceMonkey",
        ),
        (["the state of-", "the-art of the well-estab-", "lished"], "the state of-the-art of the well-established"),
    ],
)
def test_hyphens_of_words_stay_where_they_end_a_line(lines: list[str], text: str) -> None:
    """As the library reads them out of a file."""
    assert reading_pdf.read(pdf([lines]))[1] == text


def test_a_word_that_two_pages_divide_is_on_the_first() -> None:
    assert reading_pdf.joined("the har\x02", "bour, a harbour") == "the harbour\f, a harbour"
    assert reading_pdf.joined("the har\x02", "bour") == "the har-\fbour"


@pytest.mark.timeout(20)
def test_no_hyphens_take_long() -> None:
    for part, end in (("\x02", ""), ("a\x02", ""), ("a-", "\x02"), ("a", "\x02b"), ("\x02\n\f", ""), ("-", "\x02")):
        reading_pdf.joined(part * 100_000 + end)


def with_bookmarks(pages: list[str | list[str]], *bookmarks: tuple[int, str, int]) -> bytes:
    """A PDF with bookmarks: their levels and titles, and to which pages they lead, both from 0."""
    writer = pypdf.PdfWriter(io.BytesIO(pdf(pages)))
    above: list[Any] = [None]
    for level, title, page in bookmarks:
        above[level + 1 :] = [writer.add_outline_item(title=title, page_number=page, parent=above[level])]
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def test_bookmarks_of_a_pdf_head_its_text() -> None:
    content = with_bookmarks(
        [
            ["CHAPTER", "ONE", "CARE OF PUMPS", "Clean them.", "1.1 Valves", "Close them."],
            ["# make oil", "Pumps: Parts and", "prices of 2026", "Two of each."],
            "Three more.",
        ],
        (0, "Care of pumps", 0),
        (1, "Valves", 0),
        (1, "2. Pumps: parts and prices of 2026", 1),
        (0, "Appendix", 2),
        (0, "Page 3", 2),
    )
    text = reading_pdf.read(content)[1]
    assert text == (
        "# CHAPTER ONE Care of pumps\n\nClean them.\n\n## 1.1 Valves\n\nClose them."
        "\f # make oil\n\n## Pumps: Parts and prices of 2026\n\nTwo of each.\f# Appendix\n\nThree more."
    )
    first = "CHAPTER ONE Care of pumps"
    assert [section.headings for section in sections(text, "application/pdf")] == [
        (first,),
        (first, "1.1 Valves"),
        (first, "Pumps: Parts and prices of 2026"),
        ("Appendix",),
    ]


def test_bookmarks_that_lead_to_no_line_stand_above_those_that_follow() -> None:
    writer = pypdf.PdfWriter(io.BytesIO(pdf(["", ["The valve is closed.", "Oil", "Two litres."]])))
    part = writer.add_outline_item(title="Care", page_number=0)
    below = pypdf.generic.Fit.xyz(top=300)
    writer.add_outline_item(title="Nowhere", page_number=1, parent=part, fit=below)
    writer.add_outline_item(title="Oil", page_number=1, parent=part, fit=below)
    out = io.BytesIO()
    writer.write(out)
    assert reading_pdf.read(out.getvalue())[1] == "\fThe valve is closed.\n\n# Care\n\n## Oil\n\nTwo litres."


def test_titles_that_cannot_be_decoded_are_none() -> None:
    writer = pypdf.PdfWriter(io.BytesIO(pdf(["Care", "Oil"])))
    damaged = {pypdf.generic.NameObject("/Title"): pypdf.generic.ByteStringObject(b"\xfe\xff\xd8\x00\x00A")}
    writer.add_outline_item(title="Care", page_number=0)
    bookmark = writer.add_outline_item(title="Oil", page_number=1).get_object()
    for one in (bookmark, writer._info):  # no other way writes it undecoded
        assert isinstance(one, pypdf.generic.DictionaryObject)
        one.update(damaged)
    out = io.BytesIO()
    writer.write(out)
    assert reading_pdf.read(out.getvalue())[:2] == ("", "# Care\n\fOil")


BOOK = [
    ["Pumps, Release 2.18", "Chapter 1: Care of pumps", "Oil them.", "1"],
    ["Pumps, Release 2.18", "Clean them.", "2 Chapter 1. Care of pumps"],
    ["Pumps, Release 2.18", "Paint them.", "1.2. Care of pumps 3"],
    ["Pumps, Release 2.18", "Total 7", "4 Chapter 2. Wells"],
    ["Pumps, Release 2.18", "Dig them.", "5"],
]


@pytest.mark.parametrize(
    ("pages", "texts"),
    [
        (
            BOOK,
            [
                "Pumps, Release 2.18\nChapter 1: Care of pumps\nOil them.",
                "Clean them.",
                "Paint them.",
                "Total 7\n4 Chapter 2. Wells",
                "Dig them.",
            ],
        ),
        ([[f"Week {one}", f"Run {one} km."] for one in range(1, 5)], None),
        ([[f"Seite {one}", f"Lauf {one} km."] for one in range(1, 5)], [f"Lauf {one} km." for one in range(1, 5)]),
        (
            [["Acme", f"Page {one} of 3", f"A{one}", "Net 210.50"] for one in range(1, 4)],
            ["Acme\nA1\nNet 210.50", "A2\nNet 210.50", "A3\nNet 210.50"],
        ),
        ([["Go.", "end"], ["Run."], ["Stop."], ["Sit."], ["Up.", "end"], ["No."], [], ["X"], ["Y", "end"], ["Z"]], None),
        ([["Same."], ["Same."], ["Same."]], None),
        ([["Go.", "3"], ["Run.", "9"], ["Stop.", "1"]], None),
        ([["Pumps", "Go.", "1"], ["Pumps", "Run.", "2"]], None),
        ([["1"], ["2"], ["3"]], None),
    ],
    ids=["book", "titles", "numbers", "bills", "code", "alone", "no_order", "few", "nothing_else"],
)  # fmt: skip
def test_running_heads_and_numbers_of_pages_are_no_text(pages: list[list[str]], texts: list[str] | None) -> None:
    assert reading_pdf.read(pdf(pages))[1].split("\f") == (texts or ["\n".join(page) for page in pages])


def test_contents_are_no_text_and_other_dots_are_few() -> None:
    entries = [
        "Contents",
        "1 Care 1",
        *(f"1.{number} Oil {'. ' * 20}{number // 2}" for number in range(9)),
        "A long",
        f"name{'.' * 20} 4",
    ]
    menu = [f"Coffee {'.' * 20} {price}" for price in ("2", "3.50", "1", "4", "900", "7")]
    few = [line.replace("." * 20, "…") for line in menu]
    text = "Care. Oil, of a long name. Wells."
    pages = reading_pdf.read(pdf([entries, [f"2 Wells {'. ' * 9} 4", "iii"], text, menu]))[1].split("\f")
    assert pages == ["", "", text, "\n".join(few)]
    extract = reading_pdf.read(pdf([entries, "Text."]))[1]  # which has not the pages that its contents name
    assert "A long\nname… 4\fText." in extract


def test_prices_in_order_are_no_contents() -> None:
    menu = [
        f"{name} {'.' * 20} {price}" for name, price in zip(("Coffee", "Tea", "Milk", "Beer", "Wine"), range(2, 7), strict=True)
    ]
    text = reading_pdf.read(pdf([["Drinks", *menu], *(f"Pumps of {one}." for one in "abcdef")]))[1]
    assert text.startswith("Drinks\nCoffee … 2\nTea … 3")


def test_margins_take_no_long_time() -> None:
    for page in (
        "1 " * 90 + "\nx\n" + "." * 190,
        ". " * 50_000,
        "a\n" * 50_000,
        "9" * 150 + "\n" + " " * 190 + "x",
        "a ..... 1\n" * 10_000,
    ):
        without_margins([page] * 50)


def test_pages_that_are_pictures_are_told(tmp_path: Path) -> None:
    document = pypdfium2.PdfDocument(pdf(["Cats sleep.", "", ""]))
    picture = pypdfium2.PdfImage.new(document)
    picture.set_bitmap(pypdfium2.PdfBitmap.new_native(8, 8, pypdfium2.raw.FPDFBitmap_BGR))
    page = document[1]
    page.insert_obj(picture)
    page.gen_content()
    document.save(tmp_path / "a.pdf")
    scanned = taken(tmp_path / "a.pdf")
    assert scanned.text == "Cats sleep.\f\f"
    assert scanned.metadata["pages_without_text"] == [2]


class Damaged:
    """A PDF of which some pages cannot be loaded, as the library has it."""

    def __init__(self, document: Any, damaged: set[int]) -> None:
        self._document, self._damaged = document, damaged

    def __len__(self) -> int:
        return len(self._document)

    def __getitem__(self, at: int) -> Any:
        if at in self._damaged:
            raise pypdfium2.PdfiumError("Failed to load page.")
        return self._document[at]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._document, name)


def test_a_damaged_page_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    original = pypdfium2.PdfDocument
    monkeypatch.setattr(pypdfium2, "PdfDocument", lambda content: Damaged(original(content), {1}))
    assert reading_pdf.read(pdf(["One.", "Two.", "Three."])) == ("", "One.\f\fThree.", {"damaged_pages": [2]})
    monkeypatch.setattr(pypdfium2, "PdfDocument", lambda content: Damaged(original(content), {0, 1}))
    with pytest.raises(pypdfium2.PdfiumError):
        reading_pdf.read(pdf(["One.", "Two."]))


def test_a_mail_says_who_wrote_what_to_whom(tmp_path: Path) -> None:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = "Grüße vom Hafen", "Ada <ada@example.org>", "Grace <grace@example.org>"
    message["Date"] = "Sat, 28 Nov 2026 12:00:00 +0000"
    message.set_content("Dear Grace,\n\nthe pump works.\n")
    message.add_alternative("<p>Dear Grace, <b>the pump</b> works.</p>", subtype="html")
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="pump.pdf")
    (tmp_path / "a.eml").write_bytes(bytes(message))
    document = taken(tmp_path / "a.eml")
    assert document.title == "Grüße vom Hafen"
    assert document.text == (
        "From: Ada <ada@example.org>  \nTo: Grace <grace@example.org>  \nDate: Sat, 28 Nov 2026 12:00:00 +0000  \n\n"
        "Dear Grace,\n\nthe pump works.\n"
    )
    assert (document.metadata["from"], document.metadata["attachments"]) == ("Ada <ada@example.org>", ["pump.pdf"])


def test_each_mail_of_a_box_is_a_document(tmp_path: Path) -> None:
    message = EmailMessage()
    message["Subject"], message["From"] = "Elephants", "Ada <ada@example.org>"
    message.set_content("An elephant.\n\n>From here on\n", cte="base64")
    box = b"From ada Sat Nov 28 12:00:00 2026\n" + bytes(message) + b"\n"
    box += b"From bob Sat Nov 28 12:00:00 2026\nSubject: Pumps\n\nNot so.\n>From them.\nFrom us.\n\n"
    box += b"From eve Sat Nov 28 12:00:00 2026\nSubject: Nothing\n\n"
    (tmp_path / "a.mbox").write_bytes(box)
    reading = Reading([str(tmp_path)])
    first, second, third = list(reading)
    assert isinstance(first, Document)
    assert isinstance(second, Document)
    assert (first.id, first.title, first.media_type) == (f"{tmp_path.name}/a.mbox#1", "Elephants", "message/rfc822")
    assert first.text == "From: Ada <ada@example.org>  \n\nAn elephant.\n\n>From here on\n"
    assert first.metadata == {"path": f"{tmp_path.name}/a.mbox", "from": "Ada <ada@example.org>"}
    assert (second.title, second.text) == ("Pumps", "Not so.\nFrom them.\nFrom us.\n")
    assert isinstance(third, Rejection)
    assert third.document_id == f"{tmp_path.name}/a.mbox#3"
    assert "has no text" in third.reason
    assert reading.count() == 4  # about: a line of a text begins so, too
    damaged = b"From x Sat\nContent-Type: text/html; charset=\0utf-8\nFrom: \0\n\n<p>x</p>\n\n"
    (tmp_path / "a.mbox").write_bytes(damaged + b"From bob Sat\nSubject: Pumps\n\nThey work.\n")
    assert isinstance(list(Reading([str(tmp_path)]))[-1], Document)
    (tmp_path / "a.mbox").write_text("Nothing of the kind.")
    (none,) = Reading([str(tmp_path)])
    assert "holds no mail" in str(none)


def boxed(tmp_path: Path, *bodies: str) -> list[Document]:
    mails = "".join(f"From x Sat Nov 28 12:00:00 2026\nSubject: Pumps\n\n{body}\n\n" for body in bodies)
    (tmp_path / "a.mbox").write_text(mails, encoding="utf-8")
    return [one for one in Reading([str(tmp_path / "a.mbox")]) if isinstance(one, Document)]


ASKED = "Which pump stands in the cellar of the house by the old harbour?"
SIGNED = "-- \nAda Lovelace\nHarbour Street 3, London\n"
QUOTED = "> -- \n> Ada Lovelace\n> Harbour Street 3, London\n"


@pytest.mark.parametrize(
    "below",
    [
        f"On Sat, 28 Nov 2026, Ada <ada@example.org> wrote:\n> {ASKED[:31]}\n> {ASKED[32:]}\n",
        f"Am 28.11.2026 um 10:00 schrieb Ada\n<ada@example.org>:\n\n> {ASKED}\n>\n{QUOTED}",
        f"-----Original Message-----\nFrom: Ada\nSent: Saturday\nTo: Grace\nSubject: Pumps\n\n{ASKED}\n",
        f"Von: Ada\nGesendet: Samstag\nAn: Grace\nBetreff: Pumpen\n\n{ASKED}\n",
        f"> {ASKED}\n",
    ],
)
def test_what_a_mail_quotes_below_its_answer_is_left_out_where_its_box_has_it(below: str, tmp_path: Path) -> None:
    asked, answered, foreign = boxed(
        tmp_path, f"{ASKED}\n\n{SIGNED}", f"The red one.\n\n{below}", below.replace(ASKED[:20], "Why is ")
    )
    assert asked.text == f"{ASKED}\n\n{SIGNED}"
    assert answered.text == "The red one.\n"
    assert answered.metadata["repeated_lines_left_out"] == sum(1 for line in below.splitlines() if line.strip())
    assert "repeated_lines_left_out" not in {*asked.metadata, *foreign.metadata}
    assert mail.read(f"Subject: x\n\nThe red one.\n\n{below}".encode())[1].endswith(below)  # alone, it may be all that is left


def test_signatures_and_footers_stand_once_in_a_box(tmp_path: Path) -> None:
    footer = f"{'_' * 40}\nThe list of pumps\nhttps://example.org/lists/pumps\n"
    first, second, third = boxed(
        tmp_path,
        f"One.\n\n{SIGNED}\n{footer}",
        f"Two.\n{SIGNED}\n{footer}",
        f"Three.\n\n-- \nGrace Hopper, who is new here\n{footer}",
    )
    assert [SIGNED in one.text for one in (first, second)] == [True, False]
    assert (second.text, second.metadata["repeated_lines_left_out"]) == ("Two.\n", 6)
    assert third.text == "Three.\n\n-- \nGrace Hopper, who is new here\n"


@pytest.mark.parametrize("answer", [f"> {ASKED}\n\nThe red one.\n", f"Well.\n> {ASKED}\nThe red one.\n\nGrace\n", f"> {ASKED}\n"])
def test_what_is_quoted_above_an_answer_and_in_it_stays(answer: str, tmp_path: Path) -> None:
    assert boxed(tmp_path, ASKED, answer)[1].text == answer


def test_what_a_large_box_said_long_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "_MOST", 20)
    said = replies.Said()
    said.new_of(ASKED)
    assert said.new_of(f"Red.\n> {ASKED}")[1] == 1
    said.new_of(" ".join(f"word{number}" for number in range(60)))
    assert said.new_of(f"Red.\n> {ASKED}")[1] == 0


def test_a_mail_of_a_box_that_is_too_long_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "LONGEST", 20)
    box = io.BytesIO(b"From a\nSubject: x\n\n" + b"long " * 9 + b"\n\nFrom b\nSubject: y\n\nz\n")
    assert list(mail.messages(box)) == [(1, None), (6, b"Subject: y\n\nz\n")]


def test_a_mail_may_be_a_page_or_of_an_encoding_that_is_none() -> None:
    page = b"Content-Type: text/html; charset=utf-8\n\n<p>The <b>pump</b> works.</p>"
    assert mail.read(page)[1] == "The pump works.\n"
    unknown = b"Content-Type: text/plain; charset=klingon\n\nThe pump works."
    assert mail.read(unknown)[1] == "The pump works.\n"
    assert mail.read(b"Content-Type: image/png\nSubject: x\n\nxx")[:2] == ("x", "\n")
    assert mail.read(b"From: a@b.c\n\n" + "Grüße aus Köln\n".encode())[1] == "From: a@b.c  \n\nGrüße aus Köln\n"
    assert (
        "Grüße"
        in mail.read(b"Content-Type: text/plain; charset=idna\n\n" + "Grüße aus Köln, es grüßt die Fähre".encode("cp1252"))[1]
    )
    odd = b"To: @@\nFrom: =?utf-8?q?a?= <\nDate: foo\nSubject: \xff\n\nThe pump works."
    assert "The pump works." in mail.read(odd)[1]


def test_every_text_of_a_mail_is_read_and_those_it_forwards() -> None:
    inner = EmailMessage()
    inner["Subject"], inner["From"] = "Inner", "Ada <ada@example.org>"
    inner.set_content("Forwarded words.")
    outer = EmailMessage()
    outer["From"] = "Grace <grace@example.org>"
    outer.set_content("First part.")
    outer.add_attachment("Second part.", disposition="inline")
    outer.add_attachment("Not this.", filename="notes.txt")
    outer.add_attachment(inner, disposition="inline")
    text, metadata = mail.read(bytes(outer))[1:]
    assert text == (
        "From: Grace <grace@example.org>  \n\nFirst part.\n\nSecond part.\n\nFrom: Ada <ada@example.org>  \n\nForwarded words.\n"
    )
    assert metadata["attachments"] == ["notes.txt"]
    assert "no boundary" in mail.read(b"From: a@b.c\nContent-Type: multipart/mixed\n\nno boundary")[1]


ALTERNATIVES = "From: a@b.c\nMIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=X\n\n"
LONG = "The ferry to Kos leaves at nine, and the one to Rhodes an hour later."


@pytest.mark.parametrize(
    ("plain", "others", "text"),
    [
        (" \n", {"html": f"<p>{LONG}</p>"}, LONG),
        ("Your mail client does not support HTML.", {"html": f"<p>{LONG}</p>"}, LONG),
        ("Look here:\nhttps://example.org/" + "x" * 200, {"html": f"<p>{LONG}</p>"}, LONG),
        ("\n", {"html": f"<p>{LONG}</p>", "calendar": "BEGIN:VCALENDAR"}, LONG),
        ("\n", {"calendar": "BEGIN:VCALENDAR"}, "BEGIN:VCALENDAR"),
        ("See you.", {"calendar": f"BEGIN:VCALENDAR\n{LONG}"}, "See you."),
        ("HTML was fun.", {"html": ""}, "HTML was fun."),
        (f"{LONG} *Nine.*", {"html": f"<p>{LONG} <b>Nine.</b></p><p>Unsubscribe"}, f"{LONG} *Nine.*"),
    ],
)
def test_a_mail_is_its_page_where_its_plain_text_says_little(plain: str, others: dict[str, str], text: str) -> None:
    parts = "".join(f"--X\nContent-Type: text/{kind}\n\n{words}\n" for kind, words in {"plain": plain, **others}.items())
    assert mail.read(f"{ALTERNATIVES}{parts}--X--".encode())[1] == f"From: a@b.c  \n\n{text}\n"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("From: Jürgen <a@b.c>\nSubject: Größe\n\n".encode("cp1252"), ("Größe", "Jürgen <a@b.c>")),
        ("From: Jürgen <a@b.c>\nSubject: Größe\n\n".encode(), ("Größe", "Jürgen <a@b.c>")),
        ("From: Иван <a@b.c>\nSubject: Погода\n на море\nContent-Type: text/plain; charset=koi8-r\n\n".encode("koi8-r"),
         ("Погода на море", "Иван <a@b.c>")),
        ("From: Иван <a@b.c>\nSubject: Погода\nContent-Type: text/plain; charset=utf-16\nX: charset=klingon\n\n".encode(),
         ("Погода", "Иван <a@b.c>")),
    ],
)  # fmt: skip
def test_headers_of_bytes_are_read_by_what_they_are(content: bytes, expected: tuple[str, str]) -> None:
    title, _, metadata = mail.read(content)
    assert (title, metadata["from"]) == expected


def test_names_of_attachments_of_bytes_are_read_by_what_they_are() -> None:
    content = ALTERNATIVES.replace("alternative", "mixed") + '--X\nContent-Disposition: attachment; filename="Käse.txt"\n\nx\n--X--'
    assert mail.read(content.encode("cp1252"))[2]["attachments"] == ["Käse.txt"]


SAVED = (
    "From: <Saved by Blink>\nSnapshot-Content-Location: https://example.org/\nSubject: =?utf-8?Q?F=C3=A4hren?=\n"
    "Date: Mon, 1 Jan 2024 00:00:00 -0000\nMIME-Version: 1.0\nContent-Type: multipart/related; boundary=X\n\n"
    "--X\nContent-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n<h1>F=C3=A4hren</h1><p>They le=\nave.</p>\n"
    "--X\nContent-Type: text/css\n\np { color: red }\n--X\nContent-Type: text/html\n\n<p>Buy a car!</p>\n--X--\n"
)
MAIL = "Return-Path: <a@b.c>\r\nReceived: from x\r\n\tby y\r\nFrom: a@b.c\r\nSubject: Ferries\r\n\r\nThey leave.\r\n"


@pytest.mark.parametrize(
    ("name", "content", "title", "text"),
    [
        ("a.mhtml", SAVED, "Fähren", "# Fähren\n\nThey leave.\n"),
        ("a.mht", SAVED, "Fähren", "# Fähren\n\nThey leave.\n"),
        ("saved", SAVED, "Fähren", "# Fähren\n\nThey leave.\n"),
        (
            "a.eml",
            MAIL.replace(": a@b.c", ": Saved by Grace <a@b.c>"),
            "Ferries",
            "From: Saved by Grace <a@b.c>  \n\nThey leave.\n",
        ),
        ("1234.M1P1.host:2,S", MAIL, "Ferries", "From: a@b.c  \n\nThey leave.\n"),
        ("a.emlx", f"{len(MAIL)}\n{MAIL}<?xml><plist>", "Ferries", "From: a@b.c  \n\nThey leave.\n"),
        ("long", MAIL.replace("by y", "by y" + "\r\n\tby z" * 1000), "Ferries", "From: a@b.c  \n\nThey leave.\n"),
    ],
)
def test_mails_and_saved_pages_are_known_by_name_or_beginning(
    name: str, content: str, title: str, text: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content.encode())
    document = taken(tmp_path / name)
    assert (document.title, document.text, document.media_type) == (title, text, "message/rfc822")


@pytest.mark.parametrize(
    "content",
    [
        "From: Bob\nSubject: a memo\n\nNobody sent it.\n",
        "Message-ID: <1>\nFrom: Bob\nThis line is no header, so it is a text.\n",
        "From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\nFrom: a@b.c\nMessage-ID: <1>\n\n--- a\n",
        "From here on it is text.\nMessage-ID: no\n",
        "Received: a parcel.\n",
    ],
)
def test_texts_that_look_like_mails_are_texts(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.patch").write_text(content)
    document = taken(tmp_path / "a.patch")
    assert (document.text, document.media_type) == (content, "text/plain")


def test_a_box_without_a_suffix_is_known_by_its_beginning(tmp_path: Path) -> None:
    (tmp_path / "Inbox").write_text(
        f"From a@b.c Sat Nov 28\n{MAIL}\n\nFrom d@e.f Sun Nov 29\nSubject: Trains\n\nToo.\n", newline=""
    )
    (tmp_path / "notes.txt").write_text("A text.")
    reading = Reading([str(tmp_path)])
    found = [(item.id, item.title) for item in reading if isinstance(item, Document)]
    name = tmp_path.name
    assert found == [(f"{name}/Inbox#1", "Ferries"), (f"{name}/Inbox#2", "Trains"), (f"{name}/notes.txt", "notes")]
    assert reading.count() == 3


def test_a_notebook_is_its_texts_its_code_and_what_that_printed(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Ferries\n", "\n", "On lakes."]},
        {
            "cell_type": "code",
            "source": "print(1)\n",
            "outputs": [
                {"text": ["1\n"]},
                {"data": {"text/plain": "<Figure>", "image/png": "iVBOR"}},
                {"data": {"image/png": "iV"}},
            ],
        },
        {"cell_type": "code", "source": [], "outputs": []},
    ]
    notebook = {"cells": cells, "metadata": {"kernelspec": {"language": "python"}}, "nbformat": 4}
    (tmp_path / "a.ipynb").write_text(json.dumps(notebook))
    document = taken(tmp_path / "a.ipynb")
    assert document.title == "Ferries"
    assert document.text == "# Ferries\n\nOn lakes.\n\n```python\nprint(1)\n```\n\n```\n1\n```\n"


@pytest.mark.parametrize(
    ("output", "text"),
    [
        (
            {"output_type": "error", "ename": "ValueError", "evalue": "bad kite", "traceback": ["x"]},
            "```\nValueError: bad kite\n```",
        ),
        (
            {"data": {"text/markdown": ["**Two** ", "ferries"], "text/plain": "<IPython.core.display.Markdown object>"}},
            "**Two** ferries",
        ),
        ({"data": {"text/html": "<b>Two</b><script>x()</script>", "text/plain": ["<IPython.core.display.HTML object>"]}}, "Two"),
        ({"data": {"text/latex": "$x^2$", "image/png": "iV"}}, "$x^2$"),
        ({"output_type": "stream", "name": "stderr", "text": ["\x1b[33mslow\x1b[0m ", "boat"]}, "```\nslow boat\n```"),
        ({"output_type": "stream", "text": "\x1b]8;;http://x\x1b\\slow\x1b]8;;\x07 \x1b[1 q\x1b(Bboat"}, "```\nslow boat\n```"),
        ({"output_type": "error", "ename": "E", "evalue": "\x1b[1;31mbad\x1b[0m"}, "```\nE: bad\n```"),
        ({"data": {"text/html": "<table><tr><td>1</table>", "text/plain": "   a\n0  1"}}, "```\n   a\n0  1\n```"),
        ({"data": {"text/html": "<div></div>", "text/plain": "<Figure>"}}, "```\n<Figure>\n```"),
    ],
)
def test_what_a_cell_puts_out_is_read_as_it_is_shown(output: dict[str, Any], text: str) -> None:
    notebook = {"cells": [{"cell_type": "code", "source": "x", "outputs": [output, 3]}]}
    assert notebooks.read(json.dumps(notebook).encode()) == ("", f"```\nx\n```\n\n{text}\n", {})


def test_of_a_long_output_the_beginning_is_read_and_the_rest_counted(tmp_path: Path) -> None:
    outputs = [{"data": {"text/markdown": f"```\n{'ferry ' * 9_000}\n```"}}, {"data": {"text/latex": "$x$"}}]
    notebook = {"cells": [{"cell_type": "code", "source": "x", "outputs": outputs}, {"cell_type": "markdown", "source": "# Two"}]}
    (tmp_path / "a.ipynb").write_text(json.dumps(notebook))
    document = taken(tmp_path / "a.ipynb")
    assert document.remarks == {"outputs_left_out": 1}
    assert len(document.text) < 21_000
    assert document.text.endswith("\n````\n\n$x$\n\n# Two\n")


@pytest.mark.parametrize(
    ("about", "language"),
    [
        ({"kernelspec": {"language": None}, "language_info": {"name": "julia"}}, "julia"),
        ({"kernelspec": {"name": "python3"}, "language_info": {"name": "python"}}, "python"),
        ({"kernelspec": {"language": "py\n```\n# Not code"}}, ""),
        ({"kernelspec": "python", "language_info": ["python"]}, ""),
        (None, ""),
    ],
)
def test_code_of_a_notebook_is_in_the_language_that_it_names(about: object, language: str) -> None:
    notebook = {"cells": [{"cell_type": "code", "source": "x"}], "metadata": about}
    assert notebooks.read(json.dumps(notebook).encode())[1] == f"```{language}\nx\n```\n"


def test_a_notebook_without_cells_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").write_text('{"worksheets": []}')
    assert "it holds no cells as notebooks of version 4 have them; open it in Jupyter, and save it" in rejected(
        tmp_path / "a.ipynb"
    )
    (tmp_path / "b.ipynb").write_text('{"cells": [3]}')
    assert "one of its cells is none; open it in Jupyter" in rejected(tmp_path / "b.ipynb")
    odd = {"cell_type": "code", "source": "print('```')\n```", "outputs": [{"data": None}, 3, {"text": {"a": 1}}]}
    cells = [
        odd,
        {"cell_type": "code", "source": {"a": 1}, "outputs": None},
        {"cell_type": "markdown", "source": "# After\n\ntext"},
    ]
    (tmp_path / "c.ipynb").write_text(json.dumps({"cells": cells, "metadata": {"kernelspec": None}}))
    assert taken(tmp_path / "c.ipynb").text == "````\nprint('```')\n```\n````\n\n# After\n\ntext\n"
    assert taken(tmp_path / "c.ipynb").title == "After"


def test_a_title_in_an_encoding_that_was_not_told_is_none(tmp_path: Path) -> None:
    packages, dublin = "http://schemas.openxmlformats.org/package/2006/metadata/core-properties", "http://purl.org/dc/elements/1.1/"
    title = "<dc:title>\ufffd\ufffd \ufffd</dc:title>"
    core = f'<cp:coreProperties xmlns:cp="{packages}" xmlns:dc="{dublin}">{title}</cp:coreProperties>'
    (tmp_path / "a.docx").write_bytes(docx([("Heading1", "The Plan")], {"docProps/core.xml": core.encode()}))
    assert taken(tmp_path / "a.docx").title == "The Plan"


@pytest.mark.parametrize(
    ("rich", "text"),
    [
        (r"well\_known, 5\~kg\emspace away", "well-known, 5 kg away"),
        (r"{\b in}side caf{\'e9}s H{\sub 2}O {x}, {\i y} z\\", "inside cafés H2O x, y z\\"),
        (r"a\\_b \\~ page\{x\}", "a\\_b \\~ page{x}"),
        (r"one\page two\sect three", "one\n\ntwo\n\nthree"),
        (r"{\shp{\*\shpinst{\sp{\sn t}{\sv 2}}{\shptxt\pard In the {\b box}\} x\par}}}Body", "Body\n\nIn the box} x"),
        (r"{\shp{\*\shpinst{\shptxt not closed Body", ""),
        (
            r"{\*\shpinst{\shptxt One {\*\shpinst{\shptxt two}} three}}{\*\shpinst{\shptxt four}}Body",
            "Body\n\nOne three\n\ntwo\n\nfour",
        ),
        (r"A{\pict\bin10 }}}\shptxt}{\*\shpinst{\shptxt boxed}}{\pict\bin3 }a{\bin1 {} e{\b n}d", "A end\n\nboxed"),
        (r"A {\pict\bin99999 }\\bin1 {x}", "A \\bin1 x"),
        (
            (
                r"{\headerl Harbour {\b board}\par}Bo{\footer {\f0 2026}\par}dy\sect"
                r"{\headerl Harbour {\b board}\par}{\footerf Last caf\'e9\par} end"
            ),
            "Body\n\nend\n\n## Headers and footers\n\nHarbour board\n\n2026\n\nLast café",
        ),
        (r"{\footer {\field{\*\fldinst PAGE}{\fldrslt 3}}\par}Body \headery0 text", "Body text"),
        (r"{\*\shpinst{\shptxt In a box}}{\header At the head}Body", "Body\n\nIn a box\n\n## Headers and footers\n\nAt the head"),
        (r"Body {\header {\b not closed", "Body not closed"),
        (r"\trowd\cellx9\intbl\itap2 N\nestcell\intbl\itap1 O\cell\row\pard", "| N O |\n| --- |"),
    ],
)
def test_rich_text_is_read_whole(tmp_path: Path, rich: str, text: str) -> None:
    (tmp_path / "a.rtf").write_bytes(b"{\\rtf1\\ansi " + rich.encode() + b"\\par}")
    if text:
        assert taken(tmp_path / "a.rtf").text == f"{text}\n"
    else:
        assert "there is no text in it" in rejected(tmp_path / "a.rtf")


FONTS = (
    r"{\fonttbl{\f0\fcharset0 Arial;}{\f1\fswiss\fcharset204{\*\fname Arial;}Arial Cyr;}"
    r"{\f2\fcharset128 Gothic;}{\f3\cpg1253 Times;}}"
)


@pytest.mark.parametrize(
    ("rich", "text"),
    [
        (r"\f1 \'cf\'f0\'e8{\b \'e2}\'e5\'f2\f0  caf\'e9", "Привет café"),
        ("\\f1 \\'cf\\'f0\\'e8\r\n\\'e2\\'e5\\'f2, \\'e4\\'e0!", "Привет, да!"),
        (r"{\f1 \'e4\'e0} \'e4 {\f3 \'c5}\plain\'e4", "да ä Εä"),
        (r"\f2 \'93\'fa\'96\'7b{\b \'8c\'ea}\'83e\'83X", "日本語テス"),
        (r"\f1 \u1044\'c4 \uc2\u1072\'e0\'e0\'e9", "Д ай"),
        (r"\f9 \'e4 \f1\'3d\'7b a\{b\'e4\}", "ä ={ a{bд}"),
    ],
)
def test_letters_of_rich_text_are_of_their_font(tmp_path: Path, rich: str, text: str) -> None:
    for usual in ("", r"\ansicpg1252", r"\ansicpg99999"):
        (tmp_path / "a.rtf").write_bytes(b"{\\rtf1\\ansi" + f"{usual}\\deff0{FONTS} {rich}\\par}}".encode())
        assert taken(tmp_path / "a.rtf").text == f"{text}\n"


def test_a_title_of_rich_text_is_of_no_font(tmp_path: Path) -> None:
    content = rb"{\rtf1\ansi\deff0{\fonttbl{\f0\fcharset204 A;}}{\info{\title Caf\'e9}}\f0 \'e4\'e0}"
    (tmp_path / "a.rtf").write_bytes(content)
    document = taken(tmp_path / "a.rtf")
    assert (document.title, document.text) == ("Café", "да\n")


def test_letters_of_rich_text_are_of_its_encoding_where_fonts_name_none(tmp_path: Path) -> None:
    (tmp_path / "a.rtf").write_bytes(rb"{\rtf1\ansi\ansicpg1251{\fonttbl{\f0\fcharset204 A;}{\f1 B;}}\f0 \'e4\f1\'e0}")
    assert taken(tmp_path / "a.rtf").text == "да\n"


ENCODED = [  # what a document says of itself, what of its only font, and words in that encoding
    (r"\mac", "", "mac_roman", "café • “q”"),
    (r"\pc", "", "cp437", "café ä"),
    (r"\pca", "", "cp850", "Ø Þ"),
    *((rf"\ansi\ansicpg{number}", "", encoding, text) for number, encoding, text in [
        (437, "cp437", "café"), (874, "cp874", "ไทย"), (932, "cp932", "日本語テスト表ソ"),
        (936, "gbk", "中文测试"), (949, "cp949", "한국어"),
        (950, "cp950", "許功蓋"), (1361, "johab", "한국어"), (10000, "mac_roman", "café •"), (10007, "mac_cyrillic", "Привет"),
        (65001, "utf-8", "日本é"),
    ]),
    *((r"\ansi", rf"\fcharset{number}", encoding, text) for number, encoding, text in [
        (77, "mac_roman", "café •"), (78, "cp932", "日本語"), (79, "cp949", "한국어"),
        (80, "gbk", "中文"), (81, "big5", "許功"),
        (85, "mac_greek", "Ελ"), (89, "mac_cyrillic", "Привет"), (130, "johab", "한국어"),
        (222, "cp874", "ไทย"), (254, "cp437", "café"),
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("usual", "font", "encoding", "text"), ENCODED)
def test_letters_of_rich_text_are_of_what_it_names(usual: str, font: str, encoding: str, text: str, tmp_path: Path) -> None:
    letters = "".join(f"\\'{byte:02x}" for byte in text.encode(encoding))
    title = "" if font else rf"{{\info{{\title {letters}}}}}"
    head = rf"{{\rtf1{usual}\deff0{{\fonttbl{{\f0{font} A;}}}}{title}"
    (tmp_path / "a.rtf").write_bytes(f"{head}{letters} end\\par}}".encode())
    document = taken(tmp_path / "a.rtf")
    assert (document.title, document.text) == ("a" if font else text, f"{text} end\n")
    if not font:
        (tmp_path / "a.rtf").write_bytes(head.encode() + text.encode(encoding) + rb" end\par}")
        assert taken(tmp_path / "a.rtf").text == f"{text} end\n"


@pytest.mark.parametrize(
    ("rich", "text"),
    [
        (r"\'93{\b \'fa}\'96\b0\'7b end", "日本 end"),
        (r"\'83\\\'83\{\'83\} end", "ソボマ end"),
        (r"\'93{\f1 \'e4}\'96\'7b", "\ufffdд本"),
    ],
)
def test_a_letter_of_rich_text_may_be_in_two_places(rich: str, text: str, tmp_path: Path) -> None:
    fonts = r"{\fonttbl{\f0 A;}{\f1\fcharset204 B;}}"
    (tmp_path / "a.rtf").write_bytes(rf"{{\rtf1\ansi\ansicpg932\deff0{fonts}{rich}\par}}".encode())
    assert taken(tmp_path / "a.rtf").text == f"{text}\n"


def test_what_ends_rich_text_has_no_say_about_its_margins(tmp_path: Path) -> None:
    margins = r"{\header\pard Top {\shp{\*\shpinst{\shptxt \pard Letterhead\par}}}\par}{\footer\pard Foot\par}"
    for end, text in ((r"\b\fs28 Bob", "Bob"), (r"\v hidden", ""), (r"\ul Bob", "Bob"), (r"\f1\'c1", "Б")):
        content = rf"{{\rtf1\ansi{FONTS}{margins}\pard Hello\par\pard{end}\par}}"
        (tmp_path / "a.rtf").write_bytes(content.encode())
        body = f"Hello\n\n{text}\n\n" if text else "Hello\n\n"
        assert taken(tmp_path / "a.rtf").text == f"{body}## Headers and footers\n\nTop\n\nFoot\n\nLetterhead\n"


@pytest.mark.parametrize(
    ("rich", "text"),
    [
        (r"a \u-10179?\u-8704? \u1080?\u-10179\'3f\u-8703\'3f b", "a 😀 и😁 b"),
        (r"\uc0 a\u55357\u56832 b \u-10179 \u-8704 c\u-10179?", "a😀b 😀c?"),
        (r"\f1\u1055" + "\n" + r"\'cf\u1088" + "\r\n" + r"\'f0 end", "Пр end"),
        (r"\f2 \'95 x{\'93\'fa}", "• x日"),
    ],
)
def test_signs_of_rich_text_that_the_library_makes_nothing_of(tmp_path: Path, rich: str, text: str) -> None:
    (tmp_path / "a.rtf").write_bytes(f"{{\\rtf1\\ansi{FONTS} {rich}\\par}}".encode())
    assert taken(tmp_path / "a.rtf").text == f"{text}\n"


TITLES = {
    r"{\info{\title T {\b x} y": "T x y",
    r"\ansi{\info{\title Caf\'e9 \{a\}": "Café {a}",
    r"\ansicpg1251{\info{\title \'cf\'f0\u1080\'e8 \u-10179?\u-8704?\'e2": "При 😀в",
    r"\ansicpg932{\info{\title \'93\'fa\'96\'7b": "日本",
    r"{\info{\upr{\title ??}{\*\ud\uc0{\title {\u1055 \u1088 \u1080}}}": "При",
    r"{\info{\title \uc2\u26085\'93\'fa a\~b\endash c": "日 a b\u2013c",
}


def test_rich_text_says_its_title(tmp_path: Path) -> None:
    for written, title in TITLES.items():
        (tmp_path / "a.rtf").write_bytes(rb"{\rtf1" + written.encode() + rb"}{\author A}}{\b Bo}dy\par}")
        document = taken(tmp_path / "a.rtf")
        assert (document.title, document.text) == (title, "Body\n")


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    "piece",
    [
        b"{\\shptxt",
        b"{\\shptxt }",
        b"{\\info",
        b"\\bin0",
        b"\\\\",
        b"\\bin1",
        b"{\\header",
        b"{\\header}",
        b"{\\fonttbl\\f0\\fcharset204 ",
        b"\\'e4",
        b"\\f0{",
        b"\\'83\\\\",
        b"\\'83{",
    ],
)
def test_long_rich_text_takes_as_long_as_other(piece: bytes) -> None:
    assert len(b"".join(rtf.prepared(b"{\\rtf1\\ansicpg932 " + piece * 20_000 + b"}")[:3])) < 1_000_000
