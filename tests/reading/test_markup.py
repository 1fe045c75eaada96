"""Lines of other markup than Markdown that no reader sees are in no passage; code, and what only looks like them, stays."""

import pytest

from search.reading.markup import unseen
from search.reading.structure import hides, sections, title_of

KINDS = ("text/x-rst", "text/x-org", "text/asciidoc", "text/x-tex", "text/x-texinfo", "text/x-typst", "text/x-pod", "text/x-wiki")
HIDDEN = [
    ("x-rst", ":orphan:\n:tocdepth: 2\n\nText.\n:orphan:\n", "Text.\n:orphan:"),
    ("x-rst", "One.\n\n.. note to us\n   goes on\n\n   and on\n\nTwo.", "One.\nTwo."),
    ("x-rst", "One.\n\n..\n   to us\n\n..\n\n   A quotation.", "One.\n..\n   A quotation."),
    ("x-rst", ".. _a label:\n\n   A quotation.\n.. _b: https://a.example/\n   b\n__ c", "A quotation.\n__ c"),
    ("x-rst", "- One.\n\n  .. index:: one\n\n  More.\n", "- One.\n\n  More."),
    ("x-rst", ".. toctree::\n   :maxdepth: 1\n\n   a\n   b\n\nText.\n", "Text."),
    ("x-rst", ".. |x| replace:: y\n.. image:: a.svg\n   :target: b\nText |x|.", "Text |x|."),
    ("x-rst", ".. note::\n   Seen.\n\n   .. to us\n\n   Seen.", ".. note::\n   Seen.\n   Seen."),
    ("x-rst", "Title\n=====\n.. _a:\n\nText.", "Title\n=====\nText."),
    ("x-org", "# to us\n#+OPTIONS: toc:nil\nText.\n#+begin_comment\nto us\n#+END_COMMENT\n", "Text."),
    ("x-org", "* A\n:PROPERTIES:\n:ID: 1\n:END:\n#+title: Seen\n", "* A\n#+title: Seen"),
    ("asciidoc", "// to us\n:toc: left\n[[id]]\n[source,java]\n----\nx\n----\n////\nto us\n////\n", "----\nx\n----"),
    ("asciidoc", "NAME\n----\n// to us\nboil\n\nUSES\n----\nIt.", "NAME\n----\nboil\n\nUSES\n----\nIt."),
    ("x-tex", "% to us\nA \\% of it % seen\n  \\label{sec:a}\n\\begin{comment}\nto us\n\\end{comment}", "A \\% of it % seen"),
    ("x-pod", "=pod\n\n=over 4\n\n=item A\n\nText.\n\n=back\n\n=cut\n", "=item A Text."),
    (
        "x-tex",
        "\\documentclass[a]{b}\n\\usepackage{b} % us\n\\newcommand{\\a}[1]{\\b{#1}}\n\\begin{document}\n\\maketitle\nText.\n",
        "Text.",
    ),
    ("x-tex", "\\index{a!b|(}%\n\\index{a}\\label{b}\nText.\\index{c}\n\\end{document}\n", "Text.\\index{c}"),
    ("x-texinfo", "\\input texinfo\n@c us\n@node A, B\n@menu\n* B::\n@end menu\n@cindex a\nText.\n@bye\n", "Text."),
    ("x-wiki", "__NOTOC__\n<!-- to us -->\nText.\n[[Category:A]]\n", "Text."),
    ("x-typst", "// to us\n= A\n<a-label>\nhttps://a.example // x\n", "= A\nhttps://a.example // x"),
]
SEEN = [
    ("x-rst", ".. note:: Seen.\n\n.. c:function:: f(x)\n.. [1] Seen.\n... and so."),
    ("x-rst", "And then\n.. he stopped talking\nfor good."),
    ("x-rst", "Write::\n\n   .. toctree::\n\n      a\n\n   .. _a:\n\n.. code-block:: rst\n\n   .. to us\n"),
    ("x-org", "#+BEGIN_SRC c\n#include <a.h>\n# first\n#+END_SRC\n#+html: <b>Sale</b>\n"),
    ("x-org", "#+begin_comment\nNothing ends it."),
    ("asciidoc", "[quote, A. Nonymous]\nhttps://a.example // x\n[1]\n\n[Draft]\nText.\n:author: One\n"),
    ("asciidoc", "----\n[dependencies]\n:root: x\n// first\n----\n....\n//////\n....\nText.\n....\n//////\n....\n"),
    ("x-tex", "\\begin{lstlisting}[language=C]\n% first\n\\end{lstlisting}\n\\begin{comment}\nNothing ends it."),
    ("x-typst", "```c\n// first\n```\n"),
    ("x-tex", "\\begin{abstract}\n\\input{a} and so on\n\\newcommand it is.\n\\include{a\n"),
    ("x-texinfo", "@example\n@c first\n@menu\n@end example\n@menu\nNothing ends it.\n@itemize\n@item A"),
    ("x-pod", "=head1 A\n\n=item B\n\n=podium\n"),
    ("plain", ".. to us\n// text\n% text\n"),
]


def in_blocks(text: str, media_type: str) -> list[str]:
    return [word for section in sections(text, media_type) for start, end, _ in section.blocks for word in text[start:end].split()]


@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize(("kind", "text", "left"), HIDDEN)
def test_lines_that_are_not_shown_are_in_no_block(kind: str, text: str, left: str, ends: str) -> None:
    text = text.replace("\n", ends)
    assert in_blocks(text, f"text/{kind}") == left.split()
    assert hides(text, f"text/{kind}")


@pytest.mark.parametrize(("kind", "text"), SEEN)
def test_what_is_shown_stays(kind: str, text: str) -> None:
    assert in_blocks(text, f"text/{kind}") == text.split()
    assert not hides(text, f"text/{kind}")


def test_headings_around_lines_that_are_not_shown_are_one() -> None:
    text = "Aaa\n===\n\n.. _b:\n\nBbb\n---\n\nText.\n\n.. _c:\n\nCcc\n---\n\n.. toctree::\n\n   d\n\n..\n   Heading\n   -------\n"
    assert [section.headings for section in sections(text, "text/x-rst")] == [("Aaa", "Bbb"), ("Aaa", "Ccc")]


def test_a_heading_that_is_not_shown_is_no_title() -> None:
    assert title_of("////\n= Licence\n////\n= Real title\n", "text/asciidoc") == "Real title"
    assert title_of("..\n   Licence\n   -------\n\nReal title\n==========\n", "text/x-rst") == "Real title"


@pytest.mark.timeout(20)
def test_no_text_takes_long() -> None:
    for kind in KINDS:
        for one in (
            ".. x\n",
            ".. _x\n",
            "..\n",
            "x::\n",
            ":PROPERTIES:\n",
            "////\n",
            "----\n",
            "#+begin_src\n",
            "@menu\n",
            "\\index{a}",
            "\\index{",
            "{}",
            "=over\n",
            "<!--",
            " ",
            "\n",
            " \n",
            "[",
            ":x",
            "% ",
            "#+",
        ):
            unseen(one * 8_000, kind)
            unseen(f".. x{one * 8_000}", kind)
