"""The report as one HTML file: escaped, the differences marked, no script."""

import re
import time
from html import unescape
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.deduplication.page import differences, to_html
from search.deduplication.report import Cluster, Duplicate, Duplicates
from search.documents import Document


def test_differences_are_marked_and_all_else_is_escaped() -> None:
    assert "".join(differences("a <b> & one", "a <b> & two")) == "a &lt;b&gt; &amp; <del>one</del><ins>two</ins>"


def marked(before: str, after: str) -> list[tuple[str, str]]:
    """What is marked, in its order."""
    return re.findall("<(ins|del)>(.*?)</", "".join(differences(before, after)), re.DOTALL)


@pytest.mark.parametrize("words", ["yes no", "ab cd ef gh ij"])
def test_in_a_long_text_of_few_different_words_what_changed_is_marked(words: str) -> None:
    text = Random(1).choices(words.split(), k=3000)  # noqa: S311 -- no secret
    changed = [*text[:1000], "new", *text[1001:2000], *text[2003:]]
    found = marked(" ".join(text), " ".join(changed))
    assert [some for kind, some in found if kind == "ins"] == ["new "]
    assert sum(len(some.split()) for kind, some in found if kind == "del") == 4


@pytest.mark.parametrize("words", ["yes no", "ab cd ef gh ij", " ".join(f"w{at}" for at in range(500))])
def test_texts_that_have_little_in_common_are_compared_in_no_time(words: str) -> None:
    """Of 3,000 words each, of processor time."""
    chance = Random(1)  # noqa: S311 -- no secret
    one, other = (" ".join(chance.choices(words.split(), k=3000)) for _ in range(2))
    started = time.process_time()
    assert len(marked(one, other)) > 100
    assert time.process_time() - started < 2


def test_in_scripts_without_spaces_single_signs_are_marked() -> None:
    before = "\u732b\u5728\u57ab\u5b50\u4e0a\u7761\u89c9\uff0c\u4e0d\u5403\u9c7c\u3002"
    assert marked(before, before.replace("\u7761", "\u5750")) == [("del", "\u7761"), ("ins", "\u5750")]


def test_of_what_changed_places_the_longer_part_is_unmarked() -> None:
    long, short = ([f"{name} line {at} of it\n" for at in range(count)] for name, count in (("first", 80), ("second", 60)))
    assert marked("".join(long + short), "".join(short + long)) == [("ins", "".join(short)), ("del", "".join(short))]


@given(*[st.text(st.sampled_from("ab\u732b .\n<"), max_size=80)] * 2)
def test_both_texts_can_be_read(one: str, other: str) -> None:
    page = "".join(differences(one, other))
    for text, left_out in ((one, "ins"), (other, "del")):
        assert unescape(re.sub("<.*?>", "", re.sub(f"<{left_out}>.*?</{left_out}>", "", page, flags=re.DOTALL))) == text


def test_what_is_not_compared_is_said() -> None:
    assert "the rest is not shown" in "".join(differences("a " * 5000, "a " * 5000))


@pytest.mark.parametrize("bad", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "\x1b[31m\x00"])
def test_nothing_in_a_document_becomes_part_of_the_page(bad: str) -> None:
    one, other = (Document(f"{at}{bad.replace(chr(0), '')}", f"{bad} {at}", title=bad.replace(chr(0), "")) for at in "12")
    near = Duplicate(other, "near", 0.95, {"shingles": 0.9}, (1.0, 2.0))
    page = to_html(Duplicates(bad, (Cluster(one, (near,)),), 2, 2, 1, 0.9, bad, notes=(bad,)))
    assert not any(mark in page for mark in ("<script", "<img", "\x00"))
    assert "probability 0.950" in page
    assert "default-src 'none'" in page
