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
        ("Nothing: [a], [1.5], [], [^2], [-1], 1], [2, [1 2], \\[x\\].", [], []),
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
        assert one.number in numbers_in(answer[one.start : one.end]) or "-" in answer[one.start : one.end]
    assert [source.number for source in found.sources] == list(dict.fromkeys(cited))
    assert json.loads(json.dumps(found.to_dict()))["unresolved"] == [
        {"number": one.number, "start": one.start, "end": one.end, "source": None} for one in found.unresolved
    ]


def test_what_an_answer_copies_from_a_passage_cites_nothing() -> None:
    context = result(hit(1, "wiki", "Cats sleep all day.[1][2]"), hit(2, "b", "Dogs bark.")).context()
    found = citations("Cats sleep all day.[1][2] Dogs bark [4].", context)
    assert [one.source.document_id for one in found.resolved if one.source] == ["b"]
    assert [one.number for one in found.unresolved] == [1, 2]


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


def test_long_answers_are_read_in_one_go() -> None:
    """Each of these would take hours if brackets, or code, were looked for again and again from each place."""
    for answer in ("[1, 2" * 40_000, "`` ` " * 40_000, "[" * 200_000, "[1" + " " * 200_000, "`" * 100_000, "`x` [7-" * 30_000):
        assert citations(answer, CONTEXT).resolved == ()
    assert len(citations("`a[1]` [1] " * 10_000, CONTEXT).resolved) == 10_000
