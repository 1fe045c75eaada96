"""Headings and blocks of every kind of text; what no reader looks for is in none."""

import re

import pytest

from search.kinds import SOURCE
from search.reading.frontmatter import end_of_front_matter, front_matter
from search.reading.structure import hides, sections, title_of

Divided = list[tuple[tuple[str, ...], list[str]]]


def divided(text: str, media_type: str) -> Divided:
    """Headings and the texts of blocks, without the white space around them."""
    return [
        (section.headings, [text[block.start : block.end].strip() for block in section.blocks])
        for section in sections(text, media_type)
    ]


# Front matter


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("---\ntitle: A title\ntags: [a, b]\n---\nText", {"title": "A title", "tags": ["a", "b"]}),
        ("---\r\ntitle: A title\r\n---\r\nText", {"title": "A title"}),
        ("\ufeff---\ntitle: A\n...\nText", {"title": "A"}),
        (
            "---\n# a remark\n\ndate: 2026-11-28\ntime: 2026-11-28 12:00:00\n---", {"date": "2026-11-28",
            "time": "2026-11-28T12:00:00"},
        ),
        ('+++\ntitle = "A"\n[extra]\nn = 1\n+++\nText', {"title": "A", "extra": {"n": 1}}),
        (
            "---\nn: .nan\nbig: 99999999999999999999\nnone: ~\non it: true\n---\n", {"n": "nan", "big": "99999999999999999999",
            "none": None, "on it": True},
        ),
        ("---\ntitle: {{ page.title }}\n---\nText", {}),
        ("---\na: &x [1]\nb: *x\n---\nText", {}),
        ("---\ntitle: [Draft] Care of pumps\ntags: [a\nn: 2\n---\nText", {"title": "[Draft] Care of pumps", "n": 2}),
        (
            "---\ntitle: Search: a guide\ntags:\n  - a\n  - b\nby: @ann\nn: 2\n---\nText", {"title": "Search: a guide",
            "tags": ["a", "b"], "by": "@ann", "n": 2},
        ),
        ("+++\ntitle = \n+++\nText", {}),
        ("---\na: " + "[" * 5_000 + "\n---\nText", {}),
        ("---\na: [" + "1, " * 2_000 + "]\n---\nText", {}),
    ],
)  # fmt: skip
def test_front_matter(text: str, fields: dict[str, object]) -> None:
    assert front_matter(text) == fields
    assert hides(text, "text/markdown")
    assert not any("title" in block for _, blocks in divided(text, "text/markdown") for block in blocks)


AS_WRITTEN = """1.10 010 01234 1_000 12:30 190:20:30 +1 0x1F 0b11 0.1234567890123456789 1. -0 123456789012345678.12
9007199254740993 1.5e+3 -1.50 !!int'010'"""


@pytest.mark.parametrize("value", AS_WRITTEN.split())
def test_numbers_in_front_that_would_be_written_otherwise_stay_text(value: str) -> None:
    value = value.replace("!!int", "!!int ")
    written = value.removeprefix("!!int ").strip("'")
    assert front_matter(f"---\nn: {value}\nin: {{a: {value}, {value}: b}}\n---\n") == {
        "n": written,
        "in": {"a": written, written: "b"},
    }


@pytest.mark.parametrize("value", ["0", "-7", "1.5", "2.0", "-0.5", "9007199254740992", "1234567.891"])
def test_numbers_in_front_that_would_be_written_the_same_are_numbers(value: str) -> None:
    for front in (f"---\nn: {value}\nof: ['x', {value}]\n---\n", f"+++\nn = {value}\nof = ['x', {value}]\n+++\n"):
        fields = front_matter(front)
        assert fields == {"n": float(value), "of": ["x", float(value)]}
        assert repr(fields["n"]) == value


def test_numbers_of_toml_stay_as_they_are_written() -> None:
    front = (
        "+++\nversion = 1.10\nn = 1_000\nlong = 0.1234567890123456789\nmuch = 1e3\nend = inf\nhash = 18446744073709551615\n+++\n"
    )
    assert front_matter(front) == {
        "version": "1.10",
        "n": 1000,  # which TOML itself says is a whole number
        "long": "0.1234567890123456789",
        "much": "1e3",
        "end": "inf",
        "hash": "18446744073709551615",
    }


def test_a_list_of_numbers_in_front_has_one_type() -> None:
    assert front_matter("---\nversions: [1.9, 1.10, 2]\n---\n") == {"versions": ["1.9", "1.10", "2"]}
    assert front_matter("+++\nversions = [1.9, 1.10, 2]\n+++\n") == {"versions": ["1.9", "1.10", "2"]}
    assert front_matter("---\nsizes: [1.5, 2, -3]\nof: [1, x, true]\n---\n") == {"sizes": [1.5, 2, -3], "of": [1, "x", True]}


@pytest.mark.parametrize(
    "text", ["---\nA line.\n---\nText", "Text\n---\na: 1\n---\n", "---\ntitle: A\n", "----\na: 1\n----\n", "---\n---\n"]
)
def test_what_is_no_front_matter_stays(text: str) -> None:
    assert (front_matter(text), end_of_front_matter(text), hides(text, "text/markdown")) == ({}, 0, False)


# Markdown


def test_comments_and_anchors_are_in_no_block() -> None:
    text = "# A\n\n<!-- Old\n\nheadings -->\n\n<a id='x'></a>\n\nText <!-- y --> of it.\n\n<details>\nMore.\n</details>\n"
    assert divided(text, "text/markdown") == [(("A",), ["# A", "Text <!-- y --> of it.\n\n<details>\nMore.\n</details>"])]


def test_headings_are_words() -> None:
    text = "# Using `Vec<T>` {#vec}\n\n## A [link](https://example.org/a_(b)) ![x](y.png)\n\nText.\n"
    assert divided(text, "text/markdown")[-1][0] == ("Using `Vec<T>`", "A link")
    assert title_of("<!-- x -->\n# The <a id='t'></a>title\n") == "The title"


def test_pictures_written_in_letters_are_in_no_block() -> None:
    run = "iVBORw0KGgoAAAANSUhEUgAA" * 20
    lines = "\n".join(["QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5"] * 5)
    for kind in ("text/plain", "text/markdown", "text/x-python"):
        text = f"Before.\n\n{run}\n\nBetween.\n\n{lines}\n\nBehind.\n"
        blocks = [block for _, blocks in divided(text, kind) for block in blocks]
        assert "\n".join(blocks).split() == ["Before.", "Between.", "Behind."]
        assert hides(text, kind)
    assert not hides("an ordinary sentence " * 100, "text/plain")


LONG = {
    "keys in hex": ("5f3a9c0eb7d148f2" * 25, False),
    "a key": ("MIICVjCCAb+gAwIBAgIFAIbQ7t4wDQYJKoZIhvcNAQEFBQAwJjEQMA4GA1UEAxMH" * 5, False),
    "DNA": ("GATTACACCTGA" * 50, True),
    "DNA in lines": (("GATTACACCTGA" * 6 + "\n") * 9, True),
    "protein in lines": (("MKVLAAGIVGLLLAQPSFADEPTRHNW" * 3 + "\n") * 9, True),
    "a path": ("/usr/share/some-package/Version_2/" * 20, True),
    "an identifier": ("NameOfSomethingLong" * 20, True),
    "a number": ("31415926535897932384" * 20, True),
    "a rule": ("-" * 400 + " end", True),
    "a word": ("a" * 5_000, True),
}


@pytest.mark.parametrize("name", LONG)
def test_only_long_words_that_are_no_language_are_in_no_block(name: str) -> None:
    long, is_seen = LONG[name]
    text = f"Before.\n\n{long}\n\nBehind.\n"
    for kind in ("text/plain", "text/markdown", "text/x-python"):
        blocks = [block for _, blocks in divided(text, kind) for block in blocks]
        assert "\n".join(blocks).split() == (text if is_seen else "Before. Behind.").split()
        assert hides(text, kind) is not is_seen


@pytest.mark.timeout(20)
def test_long_words_take_no_time() -> None:
    for text in ("x" * 3_000_000, ("aB1" * 99 + " ") * 10_000, "aB1" * 1_000_000, ("ACGT" * 15 + "\n") * 50_000):
        assert hides(text, "text/plain") is (len(text) == 3_000_000 and "B" in text)


NAVIGATION = [
    "[Previous](a.md) | [Next](b.md)",
    "[← Previous: Installing](a.md) | [Next: Usage →](b.md)",
    "← [Installing](a.md) | [Usage](b.md) →",
    "**Next:** [Usage](b.md)",
    "Previous: [Installing](a.md) · [Home](README.md) · Next: [Usage](b.md)",
    "[⬆ back to top](#top)",
    "« [Prev][p] · [Next][n] »",
    "- [Previous chapter](a.md)\n- [Table of contents](toc.md)\n- [Next chapter](b.md)",
    "| [Prev](a.md) | [Up](i.md) | [Next](b.md) |\n|---|---|---|",
    '<p align="center"><a href="a.md">Previous</a> | <a href="b.md">&rarr; Next</a></p>',
    "[上一页](a.md) [目录](i.md) [下一页](b.md)",
    "[Page précédente](a.md) | [Page suivante](b.md)",
    "[Zurück](a.md) \u2013 [Inhaltsverzeichnis](i.md) \u2013 [Weiter](b.md)",
    "[Назад](a.md) | [Содержание](i.md) | [Далее](b.md)",
    "[前へ](a.md) | [次へ](b.md)",
]
LINKS = [
    "[Next.js](https://nextjs.org/)",
    "Next steps: [Usage](b.md)",
    "- [Installing](a.md)\n- [Usage](b.md)",
    "[Docs](a.md) | [Chat](https://a.example/)",
    "[Learn more →](b.md)",
    "See [Previous](a.md) for the rest.",
    "[Home](a.md) > [Guide](b.md) > Usage",
    "Next: we leave the harbour.",
    "[Back pain](b.md)",
    "[«Rückwärts»](a.md) [«Vorwärts»](b.md)",
    "```\n[Previous](a.md)\n```",
]


@pytest.mark.parametrize("links", NAVIGATION)
def test_navigation_at_the_ends_of_a_page_is_in_no_block(links: str) -> None:
    for text in (
        f"{links}\n\n# Ferries\n\nThey float.\n\n---\n\n{links}\n",
        f"# Ferries\n\n{links}\n\nThey float.\n\n{links}\n\n<!-- end -->\n",
    ):
        ((_, blocks),) = divided(text, "text/markdown")
        assert re.findall(r"\w+", " ".join(blocks)) == ["Ferries", "They", "float"]
        assert title_of(text) == "Ferries"
        assert hides(text, "text/markdown")
        assert not hides(text, "text/plain")


@pytest.mark.parametrize("links", LINKS)
def test_links_that_say_what_is_behind_them_stay(links: str) -> None:
    text = f"{links}\n\nThey float.\n\n{links}"
    ((_, blocks),) = divided(text, "text/markdown")
    assert "\n\n".join(blocks) == text


def test_navigation_within_a_page_stays() -> None:
    text = "Before.\n\n[Previous](a.md) | [Next](b.md)\n\nBehind."
    assert divided(text, "text/markdown") == [((), [text])]


# Other markup


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("text/x-rst", "=====\nTitle\n=====\n\nIntro.\n\nFirst\n-----\n\nOne.\n\nDeep\n~~~~\n\nTwo.\n\nSecond\n------\n\nThree.\n"),
        ("text/x-org", "* Title\n\nIntro.\n\n** First\n\nOne.\n\n*** TODO Deep\n\nTwo.\n\n** Second\n\nThree.\n"),
        ("text/asciidoc", "= Title\n\nIntro.\n\n== First\n\nOne.\n\n=== Deep\n\nTwo.\n\n== Second\n\nThree.\n"),
        (
            "text/asciidoc",
            "Title\n=====\n\nIntro.\n\nFirst\n-----\n\nOne.\n\nDeep\n~~~~\nTwo.\n\nSecond\n------\n\nThree.\n",
        ),
        (
            "text/x-typst",
            "= Title\r\n\r\nIntro.\r\n\r\n== First\r\n\r\nOne.\r\n\r\n=== Deep\r\n\r\nTwo.\r\n\r\n== Second\r\n\r\nThree.\r\n",
        ),
        (
            "text/plain",
            "Title\r\n=====\r\n\r\nIntro.\r\n\r\nFirst\r\n-----\r\n\r\nOne.\r\n\r\nDeep\r\n~~~~\r\nTwo.\r\n\r\nSecond\r\n------\r\nThree.\r\n",
        ),
        ("text/x-pod", "=head1 Title\n\nIntro.\n\n=head2 First\n\nOne.\n\n=head3 Deep\n\nTwo.\n\n=head2 Second\n\nThree.\n"),
        ("text/x-textile", "h1. Title\n\nIntro.\n\nh2(a). First\n\nOne.\n\nh3. Deep\n\nTwo.\n\nh2. Second\n\nThree.\n"),
        ("text/x-wiki", "= Title =\n\nIntro.\n\n==First==\n\nOne.\n\n=== Deep ===\n\nTwo.\n\n== Second ==\n\nThree.\n"),
        (
            "text/x-texinfo",
            "@top Title\n\nIntro.\n\n@chapter First\n\nOne.\n\n@section Deep\n\nTwo.\n\n@unnumbered Second\n\nThree.\n",
        ),
        (
            "text/x-tex",
            "\\chapter{Title}\n\nIntro.\n\n\\section{First}\n\nOne.\n\n\\subsection*{Deep}\n\nTwo.\n\n\\section{Second}\n\nThree.\n",
        ),
    ],
)  # fmt: skip
def test_headings_of_other_markup(kind: str, text: str) -> None:
    headings = [section.headings for section in sections(text, kind)]
    assert headings == [("Title",), ("Title", "First"), ("Title", "First", "Deep"), ("Title", "Second")]
    assert "".join(text[block.start : block.end] for section in sections(text, kind) for block in section.blocks) == text
    assert title_of(text, kind) == "Title"


@pytest.mark.parametrize(
    ("text", "headings"),
    [
        ("[[a]]\nNAME\n----\nboil\n\n////\nOLD\n---\n////\n\nUSE\n---\n----\nHOW\n---\n----\nIt.", [("NAME",), ("USE",)]),
        ("A paragraph\nof lines\n--------\ncode\n--------\n\n.Title\n------\n== code\n------\n", [()]),
        ("| a\n---\n\n* one\n-----\n\n[abc]\n-----\n\ntoo long for it\n---\n\nab\n--\nIt.\n--\n", [()]),
        ("A boiler\n========\n:toc:\n\nBoil\n-----\nIt.\n\nBoil it\n-----\nThat.", [("A boiler", "Boil")]),
    ],
)
def test_titles_of_two_lines_in_asciidoc(text: str, headings: list[tuple[str, ...]]) -> None:
    assert [section.headings for section in sections(text, "text/asciidoc")] == headings


@pytest.mark.parametrize(
    "text",
    [
        "Name  Age\n---------\nBob    50\n",
        "Name\tAge\n--------\nBob\t50\n",
        "| Name |\n--------\n| Bob  |\n",
        "one\ntwo\n---\n",
        "one\n-----\n\ntwo\n\n---\n\n-----\n-----\n",
        f"{'long ' * 30}\n{'-' * 150}\n",
        "# a setting\nvalue\n",
    ],
)
def test_tables_and_rules_of_plain_texts_are_no_headings(text: str) -> None:
    assert [section.headings for section in sections(text, "text/plain")] == [()]
    assert title_of(text, "text/plain") == ""


@pytest.mark.parametrize(
    ("heading", "words"),
    [
        ("async boil(water, *, heat=100, until='it whistles', lid=True)", "boil()"),
        ("class boil.Boiler(water, *, heat=100, until='it whistles')[source]", "boil.Boiler()"),
        ("boil(water, heat)", "boil(water, heat)"),
        (
            "The boiler (a red one that stands in the cellar and whistles)",
            "The boiler (a red one that stands in the cellar and whistles)",
        ),
    ],
)
def test_a_long_signature_heads_a_text_without_its_parameters(heading: str, words: str) -> None:
    assert [section.headings for section in sections(f"## {heading}\n\nIt boils.\n", "text/markdown")] == [(words,)]


def test_headings_of_tex_have_their_words_alone() -> None:
    text = "\\section{\\texorpdfstring{$\\Pi$}{Pi}-types of~\\emph{a} {B}oiler: $x^2$}\nThey boil.\n"
    assert [section.headings for section in sections(text, "text/x-tex")] == [("Pi-types of a Boiler: $x^2$",)]


@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize(
    ("lines", "headings"),
    [
        ("PART ONE||Chapter I: Rain||It rains.||CHAPTER II||It stops.", ["PART ONE>Chapter I: Rain", "PART ONE>CHAPTER II"]),
        ("By me||||TALE I. RAIN||I.||It rains.||II.||It stops.", ["", "TALE I. RAIN>I.", "TALE I. RAIN>II."]),
        (
            "Chapter 1. Rain.||It rains.||Kapitel 2 Regen||Es regnet.||Act III||It rains.",
            ["Chapter 1. Rain.", "Kapitel 2 Regen", "Act III"],
        ),
        ("NAME|   boil||SYNOPSIS|   boil [it]", ["NAME", "SYNOPSIS"]),
        (
            "1. Use||Boil.||1.1 Heat||Hot.||1.1.2. Of it||Hot.||2. End||Cool.",
            ["1. Use", "1. Use>1.1 Heat", "1. Use>1.1 Heat>1.1.2. Of it", "2. End"],
        ),
        ("第一章 雨||下雨了。||第二章||雨停了。", ["第一章 雨", "第二章"]),
        ("Глава 3||Дождь.||Часть вторая||Солнце.", ["Глава 3"]),
        ("Akt 1||Szene 2||Regen.", ["Akt 1>Szene 2"]),
    ],
)
def test_lines_that_stand_alone_head_a_plain_text(lines: str, headings: list[str], ends: str) -> None:
    text = lines.replace("|", ends) + ends
    assert [">".join(section.headings) for section in sections(text, "text/plain")] == headings


@pytest.mark.parametrize(
    "text",
    [
        "ACME DRILL 500",
        "2 Liter Bottle\n\nof glass\n",
        "Chapter 3\n",
        "HAMLET\nTo be.\n\nOPHELIA\nMy lord.\n",
        "WEBVTT\n\n00:01.000 --> 00:02.000\nIt rains.\n",
        "OK\n\nFYI\n\nIt rains.\n",
        "It rains.\nCHAPTER I\n\nIt rains.\n",
        "WARNING: HOT!\n\nThe act 3 of it\n\nIt rains.\n",
        "Letter I wrote\n\nArticle 5 says so.\n\nPart one of it\n\nIt rains.\n",
        "IT RAINS.\n\nIT RAINS AND RAINS.\n\nIT STOPS.\n\nIt rains.\n",
        "1. Boil it, or let\n   it be\n\nKapitel 2 Regen\n   ist nass\n\nIt rains.\n",
        "TCP (也叫 TCP) 用作签名\n\nIt rains.\n\nIt stops.\n",
        "1. boil it\n\n2. Cool it.\n\nIt rains.\n",
        "NAME  AGE\n\nBob   50\n\nAnn   40\n\nEve   30\n\n",
    ],
)
def test_other_lines_of_a_plain_text_head_nothing(text: str) -> None:
    assert [section.headings for section in sections(text, "text/plain")] == [()]
    assert title_of(text, "text/plain") == ""


def test_what_stands_first_titles_a_plain_text() -> None:
    assert title_of("\nBOILERS\n\nThey boil.\n\n1. Use\n\nBoil.\n", "text/plain") == "BOILERS"
    assert title_of("CHAPTER I\n\n" + AT_LENGTH * 40 + "\n\nCHAPTER II\n\nIt cools.\n", "text/plain") == ""
    assert title_of("By me\n\nBOILERS\n\nThey boil.\n\nAnd cool.\n\nAnd boil.\n", "text/plain") == ""


AT_LENGTH = "It boils. " * 70


def test_a_long_entry_of_a_reference_heads_its_text_until_it_ends() -> None:
    text = f"""\
Boilers
=======

.. currentmodule:: boil

.. class:: async Boiler(water, *,
                        heat=1)

   A boiler.

   .. py:method:: boil(how)

      {AT_LENGTH}

      .. note:: {AT_LENGTH}

   .. attribute:: heat

      Its heat.

.. function:: cool()

   Short.

.. option:: --heat DEGREES

   {AT_LENGTH}

.. note:: {AT_LENGTH}

Others
------

.. data:: NONE

   {AT_LENGTH}
"""
    divided = sections(text, "text/x-rst")
    assert [section.headings for section in divided] == [
        ("Boilers", "Boiler()"),
        ("Boilers", "Boiler()", "boil()"),
        ("Boilers", "Boiler()"),
        ("Boilers",),
        ("Boilers", "--heat DEGREES"),
        ("Boilers",),
        ("Boilers", "Others", "NONE"),
    ]
    shown = [block for section in divided for block in section.blocks]
    assert "".join(text[block.start : block.end] for block in shown).split() == text.replace(".. currentmodule:: boil", "").split()
    assert title_of(text[text.index(".. class") : text.index("Others")], "text/x-rst") == ""
    assert {section.headings for section in sections(text.replace("class::", "code::"), "text/x-rst")} >= {("Boilers", "boil()")}


@pytest.mark.timeout(20)
def test_endless_headings_take_no_time() -> None:
    for one in (
        "a\n\n",
        "A b\n\n",
        "\n",
        " \n",
        "CHAPTER I\n\n",
        "1. A\n\n",
        "I\n\n",
        " ",
        "\f",
        "1.",
        "=\n",
        "===\n",
        "a\n===\n\n",
    ):
        sections(one * 100_000, "text/plain")
    deep = "".join(f"{' ' * depth}.. class:: A{depth}\n" for depth in range(2_000))
    (section,) = sections(deep + " " * 2_000 + AT_LENGTH, "text/x-rst")
    assert section.headings == ("A0", "A1", "A2")
    sections(".. class:: A\n\n   B\n\n" * 20_000, "text/x-rst")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("text/x-org", "* A\n#+begin_src c\n* B\n#+end_src\n"),
        ("text/asciidoc", "= A\n\n----\n== B\n----\n"),
        ("text/x-typst", "= A\n```\n== B\n```\n"),
        ("text/x-tex", "\\section{A}\n\\begin{verbatim}\n\\section{B}\n\\end{verbatim}\n"),
    ],
)
def test_code_has_no_headings(kind: str, text: str) -> None:
    assert [section.headings for section in sections(text, kind)] == [("A",)]


@pytest.mark.parametrize(
    ("kind", "text", "title"),
    [
        ("text/asciidoc", "boil(1)\n=======\n\nNAME\n----\nboil - boils\n", "boil(1)"),
        ("text/markdown", "All about our boiler.\n\n## Warranty\n\nFive years.\n\n## Maintenance\n\nClean it.\n", ""),
        ("text/markdown", "## Warranty\n\nFive years.\n\n## Maintenance\n\nClean it.\n", ""),
        ("text/markdown", "## Boiler\n\nIt is old.\n\n### Warranty\n\nFive years.\n", "Boiler"),
        ("text/markdown", "All about it.\n\n# Boiler\n\nIt is old.\n\n## Warranty\n\nFive years.\n", "Boiler"),
        ("text/markdown", "All about it.\n\n# Warranty\n\nFive years.\n\n# Maintenance\n\nClean it.\n", ""),
        ("text/markdown", "![](a.png)\n<!-- old -->\n\nBoiler\n======\n\n# Warranty\n\nFive years.\n", "Boiler"),
        ("text/html", "## Warranty\n\nFive years.\n\n## Maintenance\n\nClean it.\n", ""),
        ("application/x-ipynb+json", "## Boiler\n\n## Maintenance\n\nClean it.\n", "Boiler"),
        ("text/x-org", "#+AUTHOR: Me\n#+Title:  The boiler\n\n* Warranty\n\nFive years.\n", "The boiler"),
        ("text/x-org", "* Warranty\n\nFive years.\n\n* Maintenance\n\nClean it.\n", ""),
        ("text/x-tex", "\\title[Short]{The\n boiler}\n\\section{Warranty}\n", "The boiler"),
        ("text/x-tex", "\\section{Warranty}\n\n\\section{Maintenance}\n", ""),
        ("text/x-texinfo", "\\input texinfo\n@settitle The boiler\n@node Top\n@top Boilers\n", "The boiler"),
        ("text/x-typst", '#set document(author: "Me", title: "The boiler")\n= Warranty\n', "The boiler"),
        ("text/x-rst", "Boiler\n======\n\nOld.\n\nWarranty\n========\n\nFive years.\n", "Boiler"),
    ],
)  # fmt: skip
def test_the_heading_of_a_part_is_no_title(kind: str, text: str, title: str) -> None:
    assert title_of(text, kind) == title


def test_tables_and_lists_of_restructured_text_are_no_headings() -> None:
    text = "Title\n=====\n\n=====  =====\nName   Size\n=====  =====\ncat    small\n=====  =====\n\n- a\n- b\n"
    text += "\n    code\n    ----\n\nshort\n--\n"
    assert [section.headings for section in sections(text, "text/x-rst")] == [("Title",)]


# Source code


CODE = '''import os

LIMIT = 3


class Ferry:
    """Carries things over a lake."""

    def __init__(self, name):
        self.name = name

    def load(self, goods):
{body}

    def sink(self):
        raise SystemExit
'''


def test_long_definitions_are_sections_of_their_own() -> None:
    body = "\n".join(f"        self.cargo_{number} = goods[{number}]" for number in range(30))
    text = CODE.format(body=body)
    parts = divided(text, "text/x-python")
    assert [headings for headings, _ in parts] == [
        (),
        ("class Ferry",),
        ("class Ferry", "def load(self, goods)"),
        ("class Ferry",),
    ]
    assert [blocks[0].partition("\n")[0] for _, blocks in parts[1:3]] == ["class Ferry:", "def load(self, goods):"]
    assert parts[0][1] == ["import os", "LIMIT = 3"]
    assert parts[-1][1] == ["def sink(self):\n        raise SystemExit"]
    assert "\n".join("\n".join(blocks) for _, blocks in parts).split() == text.split()


def test_a_definition_keeps_its_head_and_ends_where_its_body_does() -> None:
    """And neither a test in it, nor a line of its documentation, opens anything."""
    fill = "".join(f"    cargo_{number} = goods[{number}]\n" for number in range(30))
    text = f'''@cached
def load(
    goods,
    number: int = (3),
) -> Ferry:
    """Loads goods.

    :param goods: what is carried, which may be
        anything at all
    """
    if not goods:
        return None
{fill}    return goods
LIMIT = 3
def unload():
{fill}
'''
    (first, (head, *_)), (second, (between, *_)) = divided(text, "text/x-python")
    assert (first, second) == (("def load",), ("def unload()",))
    assert between.startswith("LIMIT = 3\ndef unload():\n    cargo_0")
    assert head.startswith("@cached\ndef load(\n    goods,\n    number: int = (3),\n) -> Ferry:")
    script = (
        "/**\n * Loads goods.\n */\nexport async function load(goods, {\n" + fill.replace(" = ", ": ") + "}) {\n" + fill + "}\n"
    )
    ((headings, blocks),) = divided(f"{script}\nfunction unload() {{\n  return 2;\n}}\n", "text/x-javascript")[:1]
    assert headings == ("export async function load(goods,",)
    assert blocks[0].startswith("/**")


def test_what_stands_around_a_callback_is_not_the_callback_s() -> None:
    """Statements before it are of what is around it, its first line stays with its body, brackets below it with it."""
    before = "".join(f"  const cargo{number} = goods[{number}]\n" for number in range(10))
    inside = "".join(f"    t.equal(cargo{number}, {number})\n" for number in range(40))
    text = (
        f"res.load = function (goods, done) {{\n{before}\n  // transfer\n  send(goods, (err) => {{\n{inside}  }})\n  done()\n}}\n"
    )
    (outer, statements), (inner, callback) = divided(text, "text/x-javascript")
    assert outer == ("res.load = function (goods, done)",)
    assert statements[0].startswith("res.load = function (goods, done) {\n  const cargo0")
    assert inner == (*outer, "send(goods, (err) =>")
    assert callback[0].startswith("// transfer\n  send(goods, (err) => {\n    t.equal(cargo0, 0)")
    assert callback[-1].endswith("done()\n}")
    short = f"test('load', async t => {{\n  fastify.inject('/', (err) => {{\n{inside}  }})\n  await close()\n}})\n"
    assert [headings for headings, _ in divided(short, "text/x-javascript")] == [
        ("test('load', async t =>", "fastify.inject('/', (err) =>")
    ]


def test_quotes_that_nothing_ends_hide_no_definition() -> None:
    body = "".join(f"    cargo_{number} = goods[{number}]\n" for number in range(30))
    text = f'# says """ once\ndef load():\n{body}\ndef unload():\n{body}'
    assert [headings for headings, _ in divided(text, "text/x-python")] == [("def load()",), ("def unload()",)]


@pytest.mark.timeout(20)
def test_short_definitions_without_empty_lines_stay_together() -> None:
    text = "".join(f"def f{number}():\n    return {number}\n" for number in range(40_000))
    assert [headings for headings, _ in divided(text, "text/x-python")] == [()]


def test_code_of_any_language_is_whole() -> None:
    samples = {
        "text/x-c": "int main(void)\n{\n" + "    call();\n\n" * 100 + "}\n\nint other(void)\n{\n    return 1;\n}\n",
        "text/x-yaml": "a:\n" + "  b: 1\n\n" * 200 + "c: 2\n",
        "text/x-javascript": "x " * 1_000 + "\n\n\ty\n",
        "text/x-python": "\n\n",
    }
    for kind, text in samples.items():
        parts = divided(text, kind)
        assert "\n".join("\n".join(blocks) for _, blocks in parts).split() == text.split()
    assert set(samples) <= SOURCE


def test_code_nested_beyond_reason_is_divided_all_the_same() -> None:
    text = "".join(f"{' ' * depth}if x{depth}:\n\n" for depth in range(3_000))
    assert "\n".join("\n".join(blocks) for _, blocks in divided(text, "text/x-python")).split() == text.split()


@pytest.mark.timeout(20)
def test_lines_without_end_take_no_time() -> None:
    for text in ("key_a = 1\n" * 60_000, "\n" * 60_000 + "x", "a:\n" + "\n" * 60_000 + " b"):
        assert sections(text, "text/x-ini")


def test_headings_of_latex_end_with_their_braces() -> None:
    text = "\\section{In \\emph{short}}\\label{sec:intro}\n\nText.\n\\section{Two} see {x}\n\nMore.\n"
    assert [section.headings for section in sections(text, "text/x-tex")] == [("In short",), ("Two",)]


def test_footnotes_are_text() -> None:
    text = "Intro.\n\n[^1]: The contract ends on 31 May.\n\n[10:32]: hello there everybody\n\n[x]: https://example.org\n"
    blocks = [block for _, blocks in divided(text, "text/markdown") for block in blocks]
    assert "31 May" in "".join(blocks)
    assert "hello there" in "".join(blocks)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("text/x-rst", "=====\nTitle\n=====\n\nFirst\n-----\n\nOne.\n"),
        ("text/x-rst", "Title\n=====\n\nFirst\n-----\n\nOne.\n"),
        ("text/x-org", "* Title\n\n** First\n\nOne.\n"),
        ("text/x-tex", "\\chapter{Title}\n\n\\section{First}\n\nOne.\n"),
    ],
)
def test_a_heading_without_a_text_joins_the_next_one(kind: str, text: str) -> None:
    ((headings, blocks),) = divided(text, kind)
    assert headings == ("Title", "First")
    assert blocks == [text.strip()]
