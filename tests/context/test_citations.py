"""What do the numbers in brackets of an answer lead to?"""

import json
from typing import Any

import pytest
from hits import hit, result

from search import citations
from search.context.citing import numbers_in
from search.errors import InvalidQuery

CONTEXT = result(*(hit(number, f"d{number}", f"Text {number}.") for number in range(1, 7))).context()


@pytest.mark.parametrize(
    ("answer", "cited", "nothing"),
    [
        ("Cats sleep [1].", [1], []),
        ("Cats sleep [2][1], and purr [1].", [2, 1, 1], []),
        ("Both [1, 3] say so; others [4;6].", [1, 3, 4, 6], []),
        ("All of them [2-4], [5\u20136].", [2, 3, 4, 5, 6], []),
        ("A range that is the wrong way round [4-2].", [2, 3, 4], []),
        ("Made up [9], and half of it [1, 12].", [1], [9, 12]),
        ("A range beyond the last [5-9].", [5, 6], [9]),
        ("No end [1-99999].", [1], [99999]),
        ("In the year [2019] and at [0].", [], [2019, 0]),
        ("A link [1](https://example.com) and 【2】.", [1, 2], []),
        ("Code has an index: `a[1]`, and\n```\nb[2] = [3]\n```\nsays [4].", [4], []),
        ("Nothing: [a], [1.5], [], [-1], [B12], 1], [2, \\[x\\], \\[a + 1\\], [Chapter 3](https://example.com).", [], []),
        (
            "Wide \uff3b1\uff3d, [\uff11], \uff3b\uff12\uff0c\uff13\uff3d, [4\uff0c5], [5\u30016], [1\uff1b2], [3\uff5e5].",
            [1, 1, 2, 3, 4, 5, 5, 6, 1, 2, 3, 4, 5],
            [],
        ),
        ("Other digits [\u0661] and [\u0967], a hyphen that breaks no line [2\u20113].", [1, 1, 2, 3], []),
        ("A footnote [^1], [^2, ^3], in bold [**4**], **[5]**, escaped \\[6\\].", [1, 2, 3, 4, 5, 6], []),
        (
            "[Source 1], [source: 2], [Sources 3 and 4], [Quelle 5], [\u6765\u6e906], [Source 1, Source 2].",
            [1, 2, 3, 4, 5, 6, 1, 2],
            [],
        ),
        ("[1 and 2], [3, 4, and 5], [5 & 6], [1 und 2], [3\u548c4].", [1, 2, 3, 4, 5, 5, 6, 1, 2, 3, 4], []),
        ("[1, p. 3], [2, pp. 3-5], [3, page 4; 4, p. 9], [5 \u00a7 2], \u30106\u2020L5-L9\u3011.", [1, 2, 3, 4, 5, 6], []),
        ("Unclear: [1, p. 3, 5], [1 2], [see 3], [1 in 6], [2019-01-02].", [], [1, 3, 5, 1, 2, 3, 1, 6, 2019, 1, 2]),
        ("```\nCats sleep [1].\n\nThey purr, `a[2]` [3].\n```", [1, 3], []),
        (" ```text\nCats sleep [1].\n``` \n", [1], []),
        ("So:\n\n```markdown\nCats sleep [1].\n```\n", [1], []),
        ("```python\nprint(a[1])\n```", [], []),
        ("```\na[1]\n```\nand\n```\na[2]\n```", [], []),
        ("", [], []),
    ],
)
def test_numbers_lead_to_sources_or_are_named(answer: str, cited: list[int], nothing: list[int]) -> None:
    found = citations(answer, CONTEXT)
    assert [one.number for one in found.resolved] == cited
    assert [one.source.document_id for one in found.resolved if one.source] == [f"d{number}" for number in cited]
    assert [one.number for one in found.unresolved] == nothing
    assert all(one.source is None for one in found.unresolved)
    for one in (*found.resolved, *found.unresolved):
        assert one.number in numbers_in(answer[one.start : one.end])
    assert [source.number for source in found.sources] == list(dict.fromkeys(cited))
    assert json.loads(json.dumps(found.to_dict()))["unresolved"] == [
        {"number": one.number, "start": one.start, "end": one.end, "source": None} for one in found.unresolved
    ]


def test_what_an_answer_copies_from_a_passage_cites_nothing() -> None:
    context = result(hit(1, "wiki", "Cats sleep all day.[1][2]"), hit(2, "b", "Dogs bark.")).context()
    found = citations("Cats sleep all day.[1][2] Dogs bark [4].", context)
    assert [one.source.document_id for one in found.resolved if one.source] == ["b"]
    assert [one.number for one in found.unresolved] == [1, 2]


@pytest.mark.parametrize(
    "own",
    [
        "[3]",
        "\uff3b3\uff3d",
        "[\uff13]",
        "[1\uff0c3]",
        "[1\u30013]",
        "[^3]",
        "[**3**]",
        "[Source 3]",
        "[3, p. 9]",
        "[1 and 3]",
        "[see 3]",
        "[`[`3]",
    ],
)
def test_no_number_is_one_that_a_passage_has_however_it_is_written(own: str) -> None:
    """An answer that copies it cites nothing, and one that writes it plainly neither."""
    context = result(*(hit(number, f"d{number}", f"Text {number}. {own}") for number in range(1, 5))).context()
    assert 3 not in [source.number for source in context.sources]
    for answer in (own, context.sources[0].text, "[3]"):
        assert citations(answer, context).resolved == ()


def test_without_a_source_every_number_cites_nothing() -> None:
    assert [one.number for one in citations("Surely [1].", result().context()).unresolved] == [1]


@pytest.mark.parametrize(
    ("answer", "context", "message"),
    [
        (None, CONTEXT, "the answer is a NoneType; give it as a string"),
        ("[1]", CONTEXT.to_dict(), "the context is a dict; give what result.context"),
        ("[1]", result(hit(1, "a", "b")), "the context is a SearchResult"),
    ],
)
def test_what_is_no_answer_or_no_context(answer: Any, context: Any, message: str) -> None:
    with pytest.raises(InvalidQuery, match=message):
        citations(answer, context)


@pytest.mark.timeout(20)
def test_long_answers_are_read_in_one_go() -> None:
    """Each of these would take hours if brackets, or code, were looked for again and again from each place."""
    for answer in (
        "[1, 2" * 40_000,
        "[" + "1;" * 200_000,
        "[1;2,3-4 and " * 30_000,
        "[" + "1, p. " * 80 + "]",
        "`` ` " * 40_000,
        "[" * 200_000,
        "[1" + " " * 200_000,
        "`" * 100_000,
        "`x` [7-" * 30_000,
        " ".join("`" * ticks for ticks in range(1, 1_500)),
    ):
        assert citations(answer, CONTEXT).resolved == ()
    assert len(citations("`a[1]` [1] " * 10_000, CONTEXT).resolved) == 10_000
