"""Documents of Word 97 to 2003 are read whole: their text in every script, and what stands beside it."""

import tracemalloc
from pathlib import Path

import papers
import pytest
from papers import word97
from readers import readers_of

from search.reading import compound

pytestmark = pytest.mark.usefixtures("reader_kept")
read, taken = readers_of("a.doc")
BEGIN, RESULT, END, CELL = "\x13", "\x14", "\x15", "\x07"


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("第一章节的内容一段话。\r有点长\r", "第一章节的内容一段话。\n\n有点长"),
        ("Привет 😀 R&D <b>\r", "Привет 😀 R&D <b>"),
        (f"See {BEGIN} HYPERLINK x {RESULT}the page{END}.\r", "See the page."),
        (f"{BEGIN} IF {BEGIN} PAGE {RESULT}7{END} = 7 {RESULT}right{END}\r", "right"),
        (f"{BEGIN} TOC \r {RESULT}One\rTwo{END}\rText.\r", "One\n\nTwo\n\nText."),
        (f"{BEGIN} XE hidden {END}Shown.\r", "Shown."),
        (f"Never ends {BEGIN} here\r", "Never ends  here"),
        (f"{END}Never began\r", "Never began"),
        (f"A{CELL}B{CELL}{CELL}C{CELL}D{CELL}{CELL}Text\r", "A | B\n\nC | D\n\nText"),
        ("one\x0btwo\x0cthree\r", "one\ntwo\n\nthree"),
        ("well\x1eknown in\x1fside 5\xa0kg\x01\x02\x08.\r", "well-known inside 5 kg."),
    ],
)  # fmt: skip
def test_words_are_read_in_every_script(tmp_path: Path, written: str, text: str) -> None:
    assert taken(tmp_path, word97([written])).text == f"{' '.join(text.split('  '))}\n"


def test_letters_of_one_byte(tmp_path: Path) -> None:
    content = word97(["The Plan\rA “café”.\r"], headings={0: 1}, one_byte=True)
    document = taken(tmp_path, content)
    assert (document.title, document.text) == ("The Plan", "## The Plan\n\nA “café”.\n")


def test_headings_are_told_by_their_styles(tmp_path: Path) -> None:
    content = word97(["One 😀\rText.\rTwo\rMore.\rNine\r"], headings={0: 1, 2: 2, 3: 10, 4: 9})
    assert taken(tmp_path, content).text == "## One 😀\n\nText.\n\n### Two\n\nMore.\n\n###### Nine\n"


def test_what_stands_beside_the_text_is_read(tmp_path: Path) -> None:
    parts = [
        "Text\x02 and\x05\r",
        "\x02 A note.\r",
        "\r7\x0b8\rThe firm\rThe firm\r",
        "",
        "\x05A comment.\r",
        "The end.\r",
        "In a box.\r",
        "Above.\r",
    ]
    document = taken(tmp_path, word97(parts))
    margins = "## Headers and footers\n\nThe firm\n\nAbove."
    assert document.text == f"Text and\n\nIn a box.\n\nA note.\n\nThe end.\n\n{margins}\n"
    assert document.metadata["comments_left_out"] == 1


def test_a_document_inside_is_not_the_document_and_is_counted(tmp_path: Path) -> None:
    inside = compound.streams(word97(["Another one.\r"]))
    document = taken(tmp_path, word97(["This one.\r"], beside=inside))
    assert (document.text, document.metadata["objects_left_out"]) == ("This one.\n", 1)


@pytest.mark.parametrize(
    ("content", "because"),
    [
        (word97(["x\r"], flags=0x0300), "is encrypted; save it without a password"),
        (word97(["x\r"], version=0x68), "it is of Word 95, or older; save it as .docx"),
        (papers.compound({"Workbook": b"x"}), "it holds XLS; rename it to .xls"),
        (papers.compound({"Anything": b"x"}), "it holds no document of Word"),
        (word97(["x\r"])[:300], "its streams are damaged"),
        (word97(["x\r"], flags=0), "it has no table of its text"),
        (compound.MARK + bytes(600), "its streams are damaged"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, content: bytes, because: str) -> None:
    assert because in str(read(tmp_path, content))


def test_streams_that_lead_back_into_themselves_end() -> None:
    content = bytearray(word97(["x" * 6000 + "\r"]))
    table = 512 + 512 * int.from_bytes(content[76:80], "little")
    content[table : table + 8] = bytes([1, 0, 0, 0, 0, 0, 0, 0])  # the first sector leads to the second, and that to the first
    assert len(compound.streams(bytes(content))["WordDocument"]) == 1024


def test_a_table_that_leads_back_into_itself_takes_no_memory() -> None:
    content = compound.MARK + bytes(22) + bytes([9, 0]) + bytes(36) + bytes(4) + b"\xff" * 4 + bytes(4 * 109) + bytes(200_000)
    tracemalloc.start()
    assert compound.streams(content) == {}
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_streams_have_sectors_of_their_own() -> None:
    content = bytearray(papers.compound({"big": bytes(40_000), **{f"{number}": b"x" for number in range(50)}}))
    directory = 512 + 512 * int.from_bytes(content[48:52], "little")
    for entry in range(directory + 128, directory + 128 * 52, 128):
        content[entry + 116 : entry + 124] = (0).to_bytes(4, "little") + (40_000).to_bytes(4, "little")
    with pytest.raises(ValueError, match="its streams are damaged"):
        compound.streams(bytes(content))
