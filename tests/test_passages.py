"""What models read of a passage: its words, and nothing that no reader sees."""

import numpy as np
import pytest

from search.documents import Chunk
from search.index.contract import Record
from search.index.points import embedded_text, to_point
from search.inference.tokens import Tally
from search.passages import has_words, readable


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("An eﬃcient ﬂow of 10²³", "An efficient flow of 1023"),
        ("\uff31\uff44\uff52\uff41\uff4e\uff54 \uff11\uff0e\uff11\uff19 \uff76\uff9e", "Qdrant 1.19 ガ"),
        ("har\u00adbour\ufeff", "harbour"),
        ("<!-- a --> x [l](u)", "<!-- a --> x [l](u)"),
    ],
)
def test_letters_are_plain_ones(text: str, read: str) -> None:
    assert readable(text) == read


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("A <!-- note\nto us --> text {/* too */}.", "A  text ."),
        ("See [the guide](https://example.org/a_(b) 'Title'), [it][1].", "See the guide, [it][1]."),
        ("[1]: https://example.org\nText", "\nText"),
        ("[![build](https://img.example/x.svg)](https://ci.example) Fine", " Fine"),
        ("![A duck](data:image/png;base64,AAAA) here", " here"),
        ("## Install {#install .x}", "## Install"),
        ("<a id='x'></a>Text<br/> in <kbd>Ctrl</kbd> of Vec<T> and <name>", "Text in Ctrl of Vec<T> and <name>"),
        ("a[0](1) = {x: 1}; f'{name}'", "a[0](1) = {x: 1}; f'{name}'"),
        ("x < 3 and y > 2", "x < 3 and y > 2"),
        ("[^1]: The contract ends on 31 May.", "[^1]: The contract ends on 31 May."),
        ("[10:32]: hello there everybody", "[10:32]: hello there everybody"),
        ("Use `<!--` to begin and `-->` to end.", "Use `<!--` to begin and `-->` to end."),
        ("`` ` <b> `` <b>x</b> ``` <b>y</b> `", "`` ` <b> `` x ``` y `"),
        ("```\n<table>\nfns[key](obj.attr)\n```\n<b>x</b>", "```\n<table>\nfns[key](obj.attr)\n```\nx"),
    ],
)
def test_markdown_is_its_words(text: str, read: str) -> None:
    assert readable(text, "text/markdown") == read


@pytest.mark.timeout(20)
def test_no_text_takes_long() -> None:
    for text in (
        "[" * 50_000,
        "![" * 50_000,
        "<!--" * 50_000,
        "<a " * 50_000,
        "{#" * 50_000,
        "[a](" * 50_000,
        "[a](b(" * 30_000,
        "`a``" * 30_000,
        "a".join("`" * number for number in range(1, 1800)),
        "[x]: " * 30_000,
    ):
        readable(text, "text/markdown")


def test_has_words() -> None:
    assert has_words("x") and has_words("3") and has_words("語")  # noqa: PT018  # one claim
    assert not has_words("|---|---|\n***")


def test_a_passage_is_known_by_what_models_read_of_it() -> None:
    plain = Chunk("d", 0, "A text.", 0, 7)
    assert Chunk("d", 0, "A text.", 0, 7, media_type="text/markdown").id == plain.id
    picture = Chunk("d", 0, "A text. ![x](y)", 0, 15)
    assert Chunk("d", 0, "A text. ![x](y)", 0, 15, media_type="text/markdown").id != picture.id
    assert Chunk("d", 0, "A text. ![x](y)", 0, 15, media_type="text/markdown").passage == "A text."


def test_a_vector_that_an_earlier_version_made_is_of_the_text_as_it_was() -> None:
    chunk = Chunk("d", 0, "An eﬃcient ﬂow", 0, 14, "On ﬂow")
    point = to_point(chunk, np.zeros(4, np.float32), Tally(1, 0), 512, "revision", 1, 1)
    assert embedded_text(Record(point.id, point.payload)) == "On flow An efficient flow"
    assert embedded_text(Record("8c0d6a8e-5a39-5f0c-9a5e-0d8c1c3a6b1f", point.payload)) == "On ﬂow An eﬃcient ﬂow"
    plain = to_point(Chunk("d", 0, "Flow", 0, 4), np.zeros(4, np.float32), Tally(1, 0), 512, "revision", 1, 1)
    assert embedded_text(Record("whatever", plain.payload)) == "Flow"
