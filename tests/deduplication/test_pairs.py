"""What the judge makes of pairs of each kind: duplicates lie above .9, near misses below .5."""

import re

import pytest

from search.deduplication.candidates import Closest, Contents, Entry
from search.deduplication.comparing import digest_of, sketch_of, words_of
from search.deduplication.pairs import Judge
from search.documents import Document

TEXT = (
    "The committee met in the town hall on a rainy evening in March. Its members heard what the engineers had to say about the "
    "bridge over the river, which had been closed since 2019. The plan was accepted after a long debate, and work begins when the "
    "river is low. Neighbours were told to keep their boats away until the piers are finished. The mayor of Lyon paid for supper."
)
CLAUSE = "Neighbours were told to keep their boats away until the piers are finished"
CODE = '''def load(path, limit=10):
    """Rows of a table, the first ones of each kind."""
    rows = []
    for line in open(path, encoding="utf-8"):
        name, count = line.split(",")
        if int(count) > limit and name not in rows:
            rows.append(name.strip())
    return sorted(rows)


def total(values):
    """The sum of some numbers."""
    result = 0
    for value in values:
        result += value
    return result
'''
FIRST, SECOND = CODE.split("\n\n\n")
RENAMED = {"load": "read", "path": "file", "limit": "least", "rows": "found", "line": "row", "values": "numbers", "result": "acc"}


def probability(one: str, other: str, media_type: str = "text/plain") -> float:
    """Of two documents being duplicates, whichever comes first."""
    pair = [Document(name, text, media_type=media_type) for name, text in (("a", one), ("b", other))]
    entries = {each.id: Entry(each, (), 1, digest_of(each), sketch_of(words_of(each))) for each in pair}
    (judged,) = Judge(Contents(entries), None).judge([Closest("a", "b", (0, 0), 1.0)], lambda *_: None)
    return judged.probability


def edited(text: str, **changes: str) -> str:
    """A text with other words."""
    for word, other in changes.items():
        assert re.search(rf"\b{word}\b", text)
        text = re.sub(rf"\b{word}\b", other, text)
    return text


DUPLICATES = {
    "a copy with markup": (TEXT, TEXT.replace("committee", "**committee**").replace(". ", ".\n\n")),
    "an edit": (TEXT, edited(TEXT, rainy="wet", heard="learned", supper="dinner")),
    "a sentence less": (TEXT, TEXT.replace(f"{CLAUSE}. ", "")),
    "a sentence moved": (TEXT, " ".join(TEXT.partition(". ")[::-1])),
    "a paraphrase": (
        TEXT,
        edited(TEXT, met="came together", evening="night", debate="discussion", finished="done", told="asked", keep="hold"),
    ),
    "a misspelt word": (TEXT, edited(TEXT, committee="comittee")),
}
MISSES = {
    "another number": (TEXT, edited(TEXT, **{"2019": "2018"})),
    "another name": (TEXT, edited(TEXT, Lyon="Graz", March="April")),
    "negated": (TEXT, TEXT.replace("was accepted", "was not accepted")),
    "no more negated": (TEXT.replace("were told", "were never told"), TEXT),
    "an opposite": (TEXT, edited(TEXT, accepted="rejected")),
    "an opposite by its prefix": (TEXT, edited(TEXT, finished="unfinished")),
    "one word for another": (TEXT, edited(TEXT, engineers="lawyers")),
    "another clause": (
        TEXT,
        TEXT.replace(CLAUSE, "Whoever lives beside it gets a share of what tolls bring in during its first two summers"),
    ),
    "another one behind it": (TEXT, f"{TEXT} {' '.join(f'word{at} of another text' for at in 'abcdefghijklmnop')}."),
    "clauses more in several places": (
        TEXT,
        TEXT.replace("2019. ", "2019. Whoever crosses it by boat pays a small fee to the keeper of the lock. ").replace(
            "finished. ", "finished. Complaints are to be sent to the office by letter within a week of them. "
        ),
    ),
}
OTHER_CODE = {
    "another operator": CODE.replace("> limit", "< limit"),
    "another sign": CODE.replace("+=", "-="),
    "another method": CODE.replace("strip", "lower"),
    "another string": CODE.replace('"utf-8"', '"latin"'),
    "another constant": CODE.replace("limit=10", "limit=20"),
    "or in place of and": CODE.replace(" and ", " or "),
    "no more negated": CODE.replace("name not in", "name in"),
}


@pytest.mark.parametrize("kind", DUPLICATES)
def test_duplicates_lie_above_the_threshold(kind: str) -> None:
    assert probability(*DUPLICATES[kind]) > 0.9


@pytest.mark.parametrize("kind", MISSES)
def test_near_misses_are_none(kind: str) -> None:
    limit = 0.9 if kind == "one word for another" else 0.5  # which a synonym may be: nobody is sure
    assert probability(*MISSES[kind]) < limit


def test_moved_code_with_other_names_is_the_same() -> None:
    assert probability(CODE, edited(f"{SECOND}\n\n{FIRST}", **RENAMED), "text/x-python") > 0.9


@pytest.mark.parametrize("kind", OTHER_CODE)
def test_code_that_does_something_else_is_not(kind: str) -> None:
    assert OTHER_CODE[kind] != CODE
    assert probability(CODE, OTHER_CODE[kind], "text/x-python") < 0.5
