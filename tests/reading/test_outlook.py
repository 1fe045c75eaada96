"""A mail that Outlook saved is read as others are: who wrote what to whom, and which files came with it."""

import datetime as dt
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest
from papers import compound
from readers import readers_of

from search.documents import Document
from search.reading import Reading, outlook

pytestmark = pytest.mark.usefixtures("reader_kept")
read_file, taken_file = readers_of("a.msg")
SENT, CAME, ENCODING, RECEIVER = 0x0039, 0x0E06, 0x3FFD, 0x0C15
TIME = (
    (dt.datetime(2024, 5, 1, 12, 30, tzinfo=dt.UTC) - dt.datetime(1601, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1) * 10
)


def properties(numbers: Mapping[int, int], head: int = 32) -> bytes:
    kinds = {SENT: 0x40, CAME: 0x40}
    return bytes(head) + b"".join(struct.pack("<HHIQ", kinds.get(name, 3), name, 0, value) for name, value in numbers.items())


def letters(texts: Mapping[int, str]) -> dict[str, bytes]:
    return {f"__substg1.0_{name:04X}001F": text.encode("utf-16-le") for name, text in texts.items()}


def mail(texts: Mapping[int, str], numbers: Mapping[int, int] | None = None, **others: bytes) -> dict[str, bytes]:
    return {**letters(texts), "__properties_version1.0": properties(numbers or {}), **others}


def within(storage: str, streams: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"{storage}/{name}": content for name, content in streams.items()}


def read(folder: Path, streams: Mapping[str, bytes]) -> Document | str:
    return read_file(folder, compound(streams))


def taken(folder: Path, streams: Mapping[str, bytes]) -> Document:
    return taken_file(folder, compound(streams))


def test_who_wrote_what_to_whom(tmp_path: Path) -> None:
    streams = mail(
        {0x0037: "R&D: 計画", 0x1000: "Dear all,\r\n\r\nsee there.\r\n", 0x0C1A: "Ada", 0x5D01: "ada@a.org", 0x0E04: "Bo; Cy"},
        {SENT: TIME, CAME: TIME + 1},
    )
    receivers = [("Bo", "bo@b.org", 1), ("Cy", "/O=FIRM/CN=CY", 1), ("dan@d.org", "dan@d.org", 2), ("Eve", "", 0x10000001)]
    for number, (name, address, kind) in enumerate(receivers):
        inside = letters({0x3001: name, 0x39FE: address}) | {"__properties_version1.0": properties({RECEIVER: kind}, 8)}
        streams |= within(f"__recip_version1.0_#{number:08X}", inside)
    for number, (long, short) in enumerate([("plan.pdf", "PLAN~1.PDF"), ("", "b.txt")]):
        streams |= within(f"__attach_version1.0_#{number:08X}", letters({0x3707: long, 0x3704: short}))
    document = taken(tmp_path, streams)
    assert document.title == "R&D: 計画"
    head = "From: Ada <ada@a.org>  \nTo: Bo <bo@b.org>, Cy, Eve  \nCc: dan@d.org  \nDate: 2024-05-01T12:30:00+00:00  \n\n"
    assert document.text == head + "Dear all,\n\nsee there.\n"
    expected = {"from": "Ada <ada@a.org>", "date": "2024-05-01T12:30:00+00:00", "attachments": ["plan.pdf", "b.txt"]}
    assert {name: document.metadata[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("streams", "text"),
    [
        (mail({}, {ENCODING: 1251}, **{"__substg1.0_10130102": "<p>Привет <b>мир</b></p>".encode("cp1251")}), "Привет мир"),
        (mail({}, {ENCODING: 65001}, **{"__substg1.0_10130102": "<p>Grüße, 世界</p>".encode()}), "Grüße, 世界"),
        (mail({}, {}, **{"__substg1.0_10130102": '<meta charset="koi8-r"><p>Привет'.encode("koi8-r")}), "Привет"),
        (mail({}, {ENCODING: 65001}, **{"__substg1.0_10130102": '<meta charset="cp1252">Grüße'.encode("cp1252")}), "Grüße"),
        (mail({0x1013: "<p>Of letters</p>"}), "Of letters"),
        (mail({}, {ENCODING: 20127}, **{"__substg1.0_1000001E": "Grüße".encode("cp1252")}), "Grüße"),
        (mail({}, {ENCODING: 28595}, **{"__substg1.0_1000001E": "Привет".encode("iso8859-5")}), "Привет"),
        (mail({}, {ENCODING: 4711}, **{"__substg1.0_1000001E": "Grüße".encode()}), "Grüße"),
        (mail({0x1000: "Plain"}, {}, **{"__substg1.0_10130102": b"<p>Not this"}), "Plain"),
    ],
)
def test_texts_in_every_encoding(streams: Mapping[str, bytes], text: str, tmp_path: Path) -> None:
    assert taken(tmp_path, streams).text == f"{text}\n"


def test_mails_in_mails(tmp_path: Path) -> None:
    streams = mail({0x1000: "Innermost."})
    for number in range(7):
        attached = within("__substg1.0_3701000D", {**streams, "__properties_version1.0": properties({}, 24)}) | letters(
            {0x3001: "Forwarded"}
        )
        streams = mail({0x1000: f"Number {number}."}) | within("__attach_version1.0_#00000000", attached)
    document = taken(tmp_path, streams)
    assert document.text == "".join(f"Number {number}.\n\n" for number in range(6, 1, -1)) + "Number 1.\n"
    assert document.metadata["attachments"] == ["Forwarded"]


def packed(rich: bytes) -> bytes:
    """With the beginning that all rich texts have taken from before, and the rest in letters."""
    assert rich.startswith(b"{\\rtf1\\ansi")
    literals = rich[11:]
    out = bytes([0b00000001]) + struct.pack(">H", 0 << 4 | 9) + literals[:7]
    for at in range(7, len(literals), 8):
        out += b"\0" + literals[at : at + 8]
    return struct.pack("<II4sI", len(out) + 12, len(rich), b"LZFu", 0) + out


def test_rich_text_is_read_where_there_is_no_other(tmp_path: Path) -> None:
    rich = b"{\\rtf1\\ansi Rich {\\b t}ext that was packed\\par}"
    assert taken(tmp_path, mail({}, {}, **{"__substg1.0_10090102": packed(rich)})).text == "Rich text that was packed\n"
    plain = struct.pack("<II4sI", len(rich) + 12, len(rich), b"MELA", 0) + rich
    assert taken(tmp_path, mail({}, {}, **{"__substg1.0_10090102": plain})).text == "Rich text that was packed\n"
    ends = struct.pack("<II4sI", 20, 99, b"LZFu", 0) + b"\x02a" + struct.pack(">H", (207 + 1) << 4) + b"not this"
    assert outlook._unpacked(ends) == b"a"


PAGE = rb"""{\rtf1\ansi\ansicpg1252\fromhtml1 \deff0{\fonttbl
{\f0\fswiss Arial;}
{\f1\fnil\fcharset204 Cyr;}}
{\colortbl\red0\green0\blue0;}
\uc1\pard\plain\f0\fs24
{\*\htmltag34 <head>}{\*\htmltag161 <title>}Caf\'e9{\*\htmltag169 </title>}{\*\htmltag41 </head>}
{\*\htmltag50 <body>}\htmlrtf {\htmlrtf0 {\*\htmltag64 <h1>}{\htmlrtf \b not this\htmlrtf0 Head}\htmlrtf \par}\htmlrtf0
{\*\htmltag72 </h1>}{\*\htmltag64 <p>}R{\*\htmltag84 &amp;}\htmlrtf &\htmlrtf0 D {\*\htmltag84 <b>}\htmlrtf {\b
\htmlrtf0 a < b{\*\htmltag92 </b>}
\htmlrtf }\htmlrtf0 {\*\htmltag4 \par }{\*\htmltag64 <ul>}{\*\htmltag64 <li>}\htmlrtf {\pntext\'b7\tab}\htmlrtf0
{\f1 \'cf\'f0\'e8} \u26085\'3f\u-10179?\u-8704?
{\*\htmltag64 <li>}{\*\mhtmltag84 <img>}\lquote x\rquote\~\{\endash\}{\*\htmltag58 </ul></body>}}"""
TEXT = rb"{\rtf1\ansi\ansicpg1251\fromtext \deff0{\fonttbl{\f0 Arial;}}\uc1\pard\f0 Line \'cf\par\par - two\tab x < \{y\}\par}"


def test_what_outlook_wrote_into_rich_text_is_read_as_it_was(tmp_path: Path) -> None:
    def read_rich(rich: bytes) -> str:
        plain = struct.pack("<II4sI", len(rich) + 12, len(rich), b"MELA", 0) + rich
        return taken(tmp_path, mail({}, {}, **{"__substg1.0_10090102": plain})).text

    assert read_rich(PAGE) == "# Head\n\nR&D a < b\n\n- При 日😀\n- ‘x’\u00a0{–}\n"  # noqa: RUF001
    assert read_rich(rb"{\rtf1\fromhtml1 {\u8217 }x{\u8217 {y}}}") == "\u2019x\u2019y\n"
    assert read_rich(TEXT) == "Line П\n\n- two\tx < {y}\n"
    commands = rb"{\rtf1 \fromhtml1 {\*\htmltag64 <p>}info{\*\htmltag72 </p>}header{\*\htmltag4 <br>}uc}"
    assert read_rich(commands) == "info\n\nheader\nuc\n"
    assert read_rich(rb"{\rtf1\ansi" + rb" \plain" * 40 + rb" by hand\par}") == "by hand\n"
    (tmp_path / "b.rtf").write_bytes(PAGE)
    (document,) = Reading([str(tmp_path / "b.rtf")])
    assert isinstance(document, Document)
    assert document.title == "Café"


def test_what_is_no_mail_is_rejected(tmp_path: Path) -> None:
    assert "cannot be read as MSG: it holds no mail" in str(read(tmp_path, {"x": b"y"}))
    assert "cannot be read as MSG: it is damaged" in str(read(tmp_path, mail({}, {}, **{"__substg1.0_10090102": b"short"})))
    assert taken(tmp_path, mail({0x1000: "x"}, {SENT: 2**63})).text == "x\n"
