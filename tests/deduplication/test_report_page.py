"""The report as one HTML file: escaped, the differences marked, no script."""

import pytest

from search.deduplication.page import differences, to_html
from search.deduplication.report import Cluster, Duplicate, Duplicates
from search.documents import Document


def test_differences_are_marked_and_all_else_is_escaped() -> None:
    assert "".join(differences("a <b> & one", "a <b> & two")) == "a &lt;b&gt; &amp; <del>one</del><ins>two</ins>"


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
