"""The more words stand in place of others, the less sure it is that two texts say the same; numbers in words are numbers."""

from itertools import pairwise, permutations

import pytest

from search.deduplication.comparing import SIGNS, profile_of, signs_of
from search.deduplication.numerals import in_digits
from search.deduplication.pairs import probability
from search.deduplication.synonyms import senses
from search.documents import Document

LEASE = (
    "The tenant shall pay the rent of the flat by the third day of each month, and the deposit within ten days of moving in. "
    "The tenant has to keep the stairs clean and to heat the rooms in winter. The contract ends after two years without notice."
)
DELIVERY = (
    "Orders are delivered within five working days from the warehouse in Bremen, and the customer may send them back at the cost "
    "of the seller for thirty days. Damaged goods are replaced once the carrier has seen them, and the customer is told by letter."
)
KITCHEN = (
    "Put the butter into a bowl, add half a cup of sugar and stir until it is pale. Bake the cake on the middle shelf for forty "
    "minutes, let it cool on a rack, and cover it with lemon icing before the guests have come. It feeds eight hungry people."
)
REPLACED = {  # of each text four words by others; the first of each text by a number
    "lease": (LEASE, {"two": "five", "third": "tenth", "stairs": "cellar", "winter": "autumn"}),
    "delivery": (DELIVERY, {"five": "ten", "thirty": "sixty", "Bremen": "Hamburg", "letter": "phone"}),
    "kitchen": (KITCHEN, {"forty": "fifty", "butter": "cheese", "half": "twice", "lemon": "coffee"}),
    "things": (KITCHEN, {"butter": "cheese", "lemon": "coffee", "middle": "bottom", "guests": "neighbours"}),
}
NUMBERS = [
    ("two", "five"),
    ("third", "tenth"),
    ("thirty", "sixty"),
    ("once", "twice"),
    ("half", "double"),
    ("two hundred", "two thousand"),
    ("twenty-one", "twenty-two"),
    ("two", "3"),
]
SAME_NUMBERS = [
    ("five", "5"),
    ("third", "3rd"),
    ("twenty-third", "23rd"),
    ("two hundred and fifty", "250"),
    ("one thousand", "1,000"),
    ("five million", "5 million"),
    ("twice", "double"),
]


def signs(one: str, other: str) -> dict[str, float]:
    profiles = [profile_of(Document("1", text)) for text in (one, other)]
    there, back = signs_of(*profiles), signs_of(*reversed(profiles))
    assert there == back
    return dict(zip(SIGNS, there, strict=True))


def chance(one: str, other: str) -> float:
    return probability(list(signs(one, other).values()), code=False)


def changed(text: str, *words: tuple[str, str]) -> str:
    for word, other in words:
        assert word in text
        text = text.replace(word, other, 1)
    return text


@pytest.mark.parametrize("kind", REPLACED)
def test_a_further_replaced_word_makes_it_less_sure_in_whatever_order(kind: str) -> None:
    text, words = REPLACED[kind]
    for order in permutations(words.items()):
        chances = [chance(text, changed(text, *order[:count])) for count in range(5)]
        assert chances[0] > 0.99
        assert all(less < more or more < 1e-12 for more, less in pairwise(chances))
        assert chances[1] < 0.9


@pytest.mark.parametrize("kind", REPLACED)
@pytest.mark.parametrize("more", ["# Terms\n\n{}", "# Terms\n{}", "{} This was read aloud.", "Of the rest, later. {}"])
def test_a_heading_or_a_sentence_more_hides_no_replaced_word(kind: str, more: str) -> None:
    text, words = REPLACED[kind]
    for count in range(1, 5):
        other = changed(text, *list(words.items())[:count])
        assert chance(text, more.format(other)) <= 1.01 * chance(text, other)  # a stretch is a smaller share of a longer text
        assert chance(text, other) < 0.9
        assert chance(text, more.format(text)) > 0.9


def test_sentences_that_change_places_hide_no_replaced_word() -> None:
    text, words = REPLACED["things"]
    for pair in words.items():
        first, second, third = changed(text, pair).split(". ")
        assert chance(text, f"{second}. {third.rstrip('.')}. {first}.") < 0.9
    first, second, third = text.split(". ")
    assert chance(text, f"{second}. {third.rstrip('.')}. {first}.") > 0.9


def test_a_replaced_word_shows_where_the_other_stands_elsewhere_with_the_same_words_beside_it() -> None:
    text = "Rows are sorted in the urban order of names and then in the rural order of names, as long as nobody wants another one."
    assert signs(text, changed(text, ("urban", "rural")))["replaced word"] == 1


def test_words_that_stand_elsewhere_hide_no_replaced_word() -> None:
    """Neither one that might stand for it, as in a heading, nor the words beside it, that a text has twice."""
    text = DELIVERY.replace("told", "called")
    assert chance(text, f"# Terms\n\n{changed(text, ('called', 'painted'))}") < 0.9
    twice = f"{KITCHEN} Serve it on a rack, and cover it with lemon icing."
    assert chance(twice, twice[: twice.rindex("lemon")] + "coffee icing.") < 0.9


def test_a_sentence_more_beside_a_word_of_grammar_replaces_none() -> None:
    text = KITCHEN.replace("hungry people", "people already")
    assert signs(text, text.replace("already.", "rather. This was tried again later."))["replaced word"] == 0
    assert signs(text, text.replace("already.", "yesterday. This was tried again later."))["replaced word"] == 1


@pytest.mark.parametrize(("word", "other"), NUMBERS)
def test_another_number_in_words_is_another_number(word: str, other: str) -> None:
    text = LEASE.replace("two years", f"{word} years")
    told = signs(text, text.replace(f"{word} years", f"{other} years"))
    assert told["crossed numbers"] > 0
    assert probability(list(told.values()), code=False) < 0.1


@pytest.mark.parametrize(("word", "digits"), SAME_NUMBERS)
def test_a_number_in_words_is_the_same_in_digits(word: str, digits: str) -> None:
    text = LEASE.replace("two years", f"{word} years")
    told = signs(text, text.replace(f"{word} years", f"{digits} years"))
    assert (told["crossed numbers"], told["replaced word"]) == (0, 0)
    assert probability(list(told.values()), code=False) > 0.99


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("five third 3 rd", "5 3rd 3rd"),
        ("nineteen ninety eight", "19 98"),
        ("two thousand six hundred and third", "2603rd"),
        ("one million two hundred thousand and five", "1200005"),
        ("two hundred and the one and two", "200 and the 1 and 2"),
        ("half a dozen or twice that", "1/2 a 12 or 2x that"),
        ("1,200 1200 1.5 -3 007 21 th", "1200 1200 1.5 -3 007 21 th"),
        ("eleventh twelfth twentieth twenty second", "11th 12th 20th 22nd"),
        ("", ""),
    ],
)
def test_numbers_in_words_are_read(words: str, said: str) -> None:
    assert in_digits(words.split()) == said.split()


def test_numbers_without_end_are_read() -> None:
    many = ["two", "hundred", "thousand", "9" * 9_000] * 1_000
    assert len(in_digits(many)) == 2_000


@pytest.mark.parametrize(
    ("word", "other"),
    [
        ("customer", "custmoer"),
        ("goods", "good"),
        ("Damaged goods", "Goods damaged"),
        ("replaced", "replaced again"),
        ("working ", ""),
        ("delivered", "provided"),
        ("letter", "such"),
        ("seen", "sene"),
    ],
)
def test_slips_forms_order_and_words_more_or_less_replace_none(word: str, other: str) -> None:
    text = DELIVERY.replace("delivered", "supplied")
    word = word.replace("delivered", "supplied")
    told = signs(text, changed(text, (word, other)))
    assert told["replaced word"] == 0
    assert probability(list(told.values()), code=False) > 0.9


def test_synonyms_are_of_one_line() -> None:
    assert senses("large") & senses("big")
    assert senses("shows") & senses("demonstrated")
    assert not senses("large") & senses("small")
    assert not senses("first") & senses("last")
    assert not senses("landlord")
