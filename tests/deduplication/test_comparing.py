"""Cheap signs of two texts, and the hash of what is left of them without case and white space."""

import pytest

from search.deduplication import opposites
from search.deduplication.calls import foreign_calls
from search.deduplication.comparing import SIGNS, digest_of, profile_of, signs_of
from search.deduplication.pairs import probability
from search.documents import Document

TEXT = "In 1998 the <b>harbour</b> of Oslo took 1,200 ships. It did not freeze."
CODE = "def add(first, second):\n    total = first + second\n    return total * 2\n"


def digest(text: str, media_type: str = "text/plain") -> bytes:
    return digest_of(Document("1", text, media_type=media_type))


def signs(one: str, other: str, media_type: str = "text/plain") -> dict[str, float]:
    profiles = [profile_of(Document("1", text, media_type=media_type)) for text in (one, other)]
    there, back = signs_of(*profiles), signs_of(*reversed(profiles))
    assert there == back
    return dict(zip(SIGNS, there, strict=True))


@pytest.mark.parametrize("copy", [TEXT.upper(), TEXT.replace(" ", "\n  ")])
def test_white_space_and_case_make_no_other_text(copy: str) -> None:
    assert digest(copy) == digest(TEXT)


def test_a_title_makes_no_other_text() -> None:
    assert digest_of(Document("1", "See attached.", "Invoice 2023")) == digest_of(Document("2", "See attached.", "Invoice 2024"))


APART = [
    ("Use C++ for this service.", "Use C# for this service."),
    ("It costs $100 per seat.", "It costs €100 per seat."),
    ("Accept if x < 5 and y > 3.", "Accept if x > 5 and y < 3."),
    ("timeout: >5", "timeout: <5"),
    ("Review: 👍", "Review: 👎"),
    ("At most 5% are lost.", "At most 5‰ are lost."),
    ("नदी की धारा", "नद का धार"),
    ("ฉันกินข้าว", "ฉันกันข้าว"),
    ("[the form](files/2023.pdf)", "[the form](files/2024.pdf)"),
]


@pytest.mark.parametrize(("one", "other"), APART)
def test_signs_marks_and_links_make_other_texts(one: str, other: str) -> None:
    assert digest(one) != digest(other)


@pytest.mark.parametrize(("one", "other"), [*APART[:2], *APART[3:-1]])  # neither what changes places nor a link does
def test_signs_and_marks_show_in_what_is_crossed(one: str, other: str) -> None:
    told = signs(one, other)
    assert told["crossed words"] + told["crossed numbers"] > 0


@pytest.mark.parametrize(
    "other",
    [TEXT.replace("1998", "1989"), TEXT.replace("1,200", "1,201"), TEXT.replace("not ", ""), TEXT.replace("1,200", "-1,200")],
)
def test_numbers_and_words_do(other: str) -> None:
    assert digest(other) != digest(TEXT)


def test_code_is_compared_with_its_case_and_signs() -> None:
    spaced = CODE.replace("\n", "  \r\n\r\n")
    assert digest(spaced, "text/x-python") == digest(CODE, "text/x-python")
    assert digest(CODE.replace("    return", "  return"), "text/x-python") != digest(CODE, "text/x-python")
    assert digest(CODE.replace("+", "-"), "text/x-python") != digest(CODE, "text/x-python")
    assert digest(CODE.replace("total", "Total"), "text/x-python") != digest(CODE, "text/x-python")
    assert digest(CODE, "text/x-python") != digest(CODE)


def test_a_text_without_words_is_taken_as_it_is() -> None:
    assert digest("!!!") == digest(" !!!\n")
    assert digest("!!!") != digest("???")


def test_signs_of_the_same_text() -> None:
    assert signs(TEXT, TEXT) == dict(zip(SIGNS, (1.0, 1.0, *[0.0] * (len(SIGNS) - 2)), strict=True))


def test_a_sentence_less_crosses_nothing() -> None:
    less = signs(TEXT, "In 1998 the harbour of Oslo took 1,200 ships.")
    assert (less["crossed words"], less["crossed numbers"], less["crossed names"]) == (0.0, 0.0, 0.0)
    assert less["shingles"] < 1


def test_another_number_another_name_and_a_negation_show() -> None:
    assert signs(TEXT, TEXT.replace("1998", "1989"))["crossed numbers"] > 0
    assert signs(TEXT, TEXT.replace("Oslo", "Bergen"))["crossed names"] > 0
    assert signs(TEXT, TEXT.replace("not ", "never not "))["negations"] == 1


LONG = (
    "The committee met in the town hall on a rainy evening. Its members heard what the engineers had to say about the bridge. "
    "The plan was accepted after a long debate, and work begins when the river is low. Neighbours were told to keep boats away."
)


@pytest.mark.parametrize(
    ("word", "other"),
    [("accepted", "rejected"), ("after", "before"), ("begins", "ends"), ("low", "high"), ("rainy", "unrainy"), ("away", "away")],
)
def test_words_that_turn_the_sense_show(word: str, other: str) -> None:
    assert (signs(LONG, LONG.replace(word, other))["turned words"] > 0) == (word != other)


def test_the_opposites_of_a_word_are_made_once() -> None:
    assert opposites._opposites("accepted") is opposites._opposites("accepted")


def test_a_word_in_place_of_another_shows_unless_both_are_spelt_alike() -> None:
    assert signs(LONG, LONG.replace("rainy", "windy"))["replaced word"] == 1
    assert signs(LONG, LONG.replace("committee", "comittee"))["replaced word"] == 0
    assert signs(LONG, LONG.replace("when", "while"))["replaced word"] == 0
    assert signs(LONG, LONG.replace("rainy ", ""))["replaced word"] == 0
    assert signs(LONG, LONG.replace("long", "extended"))["replaced word"] == 1
    assert signs(LONG, LONG.replace("told", "informed"))["replaced word"] == 0
    assert signs(LONG, LONG.replace("rainy", "windy"))["further replaced words"] == 0
    assert signs(LONG, LONG.replace("rainy", "windy").replace("boats", "ships"))["further replaced words"] > 0


def test_words_changed_here_and_there_are_no_clause_in_place_of_another() -> None:
    edited = signs(LONG, LONG.replace("rainy", "windy").replace("boats", "ships").replace("long", "brief"))
    clause = signs(
        LONG, LONG.replace("Its members heard what the engineers had to say about the bridge", "A band played for an hour")
    )
    assert edited["changed stretch"] < 0.05
    assert clause["changed stretch"] > 0.2
    assert edited["added stretch"] < 0.05


def test_a_sentence_more_is_an_added_stretch_and_no_changed_one() -> None:
    more = signs(LONG, LONG + " The mayor thanked everybody and went home on foot.")
    assert more["changed stretch"] == 0 < more["added stretch"] < 1


def test_sentences_more_in_several_places_are_further_stretches_and_make_another_text() -> None:
    kept = [
        f"Paragraph {word} binds both parties from the first day of the contract on." for word in ["one", "two", "three", "four"]
    ]
    first = "The supplier carries the cost of transport until the goods have been accepted."
    second = "Disputes are brought before the courts at the seat of the supplier alone."
    whole, once = " ".join(kept), " ".join([*kept[:2], first, *kept[2:]])
    twice = " ".join([kept[0], first, *kept[1:3], second, kept[3]])
    told = {name: signs(whole, other) for name, other in (("once", once), ("twice", twice))}
    assert told["once"]["further stretches"] == 0 < told["twice"]["further stretches"] < 1
    assert told["once"]["added stretch"] == pytest.approx(told["twice"]["added stretch"], abs=0.05)
    chances = {name: probability(list(one.values()), code=False) for name, one in told.items()}
    assert chances["once"] > 0.9
    assert chances["twice"] < 0.5


FIRST = "Whoever crosses it by boat pays a small fee to the keeper of the lock."
SECOND = "Complaints are sent to the office by letter within a week."


def test_a_clause_more_is_one_wherever_it_stands_and_two_are_further_ones_in_one_place_too() -> None:
    once = signs(LONG, LONG.replace("bridge. ", f"bridge. {FIRST} "))
    together = signs(LONG, LONG.replace("bridge. ", f"bridge. {FIRST} {SECOND} "))
    apart = signs(LONG, LONG.replace("bridge. ", f"bridge. {FIRST} ").replace("low. ", f"low. {SECOND} "))
    assert once["further stretches"] == 0 < together["further stretches"]
    assert together["further stretches"] == apart["further stretches"]


def test_a_clause_of_which_some_words_stand_elsewhere_is_one() -> None:
    clause = "Whoever crosses it by boat on a warm day, and what the engineers had to say, pays one to the keeper of the lock."
    assert signs(LONG, LONG.replace("low. ", f"low. {clause} "))["further stretches"] == 0


def test_clauses_more_in_several_places_of_a_list_without_full_stops_are_further_ones() -> None:
    once, twice = (LONG.replace("bridge. ", f"bridge. {FIRST} ").replace("low. ", f"low. {more}") for more in ("", f"{SECOND} "))
    listed = [text.replace(". ", "\n* ").rstrip(".") for text in (LONG, once, twice)]
    assert signs(listed[0], listed[1])["further stretches"] == 0
    assert signs(listed[0], listed[2])["further stretches"] == signs(LONG, twice)["further stretches"] > 0


def test_a_clause_more_counts_beyond_a_third_of_the_text_and_beyond_what_a_sentence_has() -> None:
    assert signs("Boats are let here.", "Boats are let here. Ask us.")["further stretches"] == 0
    assert signs("Boats are let here.", "Boats are let here. Ask the keeper inside.")["further stretches"] > 0
    long = " ".join(f"word{letter}" for letter in "abcdefghijklmnopqrst")
    assert signs(f"{LONG} {LONG}", f"{LONG} {LONG} {long}.")["further stretches"] == 0
    assert signs(f"{LONG} {LONG}", f"{LONG} {LONG} {long} {long[::-1]} {long.upper()[::-1]} end.")["further stretches"] > 0


def test_a_negation_inside_a_sentence_more_turns_nothing_else() -> None:
    assert signs(LONG, LONG + " The mayor did not stay for the music that followed.")["negations"] == 0
    assert signs(LONG, LONG.replace("was accepted", "was not accepted"))["negations"] == 1


@pytest.mark.parametrize(
    ("one", "other"), [("Dear Bob", "Dear Al"), ("Hello world.", "Hello moon."), ("Cats sleep all day.", "Dogs bark.")]
)
def test_short_texts_of_which_a_word_or_two_differ_are_others(one: str, other: str) -> None:
    profiles = [profile_of(Document("1", text)) for text in (one, other)]
    assert probability(signs_of(*profiles), code=False) < 0.5


@pytest.mark.parametrize(
    ("part", "other"), [("+", "-"), ("total * 2", "2 * total"), ("total * 2", "total * 3"), ("* 2", "or None")]
)
def test_operators_and_constants_turn_code(part: str, other: str) -> None:
    turned = signs(CODE, CODE.replace(part, other), "text/x-python")["turned words"]
    assert (turned > 0) == (other != "2 * total")  # what changes places is not seen


def test_what_code_asks_of_others_and_what_its_strings_say_are_names() -> None:
    calls = 'def load(path):\n    return path.open("users").read()\n'
    for other in (calls.replace("users", "orders"), calls.replace("read", "write")):
        assert signs(calls, other, "text/x-python")["crossed names"] > 0


def test_code_that_is_no_code_is_read_in_one_go() -> None:
    """Each of these would take hours if what is defined were looked for again and again from each place."""
    for bad in ("a, ", "(", "for ", "f(", "def ", " ", "f(a, (b), ", "f((a)", "a = ", " ,a", "lambda x"):
        assert foreign_calls("known(1)\n" + bad * (200_000 // len(bad)))[0] == "known"


def test_texts_without_words_are_compared() -> None:
    for one, other in (("!!!", "???"), ("\u2014", "..."), ("\u2014", "\u2014")):
        assert signs(one, other) == dict.fromkeys(SIGNS, 0.0)


def test_renamed_code_has_the_same_shingles() -> None:
    renamed = CODE.replace("first", "a").replace("second", "b").replace("total", "c").replace("add", "d")
    assert signs(CODE, renamed, "text/x-python")["shingles"] == 1
    assert signs(CODE, renamed, "text/x-python")["words"] < 1


def test_texts_without_spaces_have_words() -> None:
    assert 0 < signs("\u732b\u5728\u57ab\u5b50\u4e0a\u7761\u89c9", "\u72d7\u5728\u57ab\u5b50\u4e0a\u7761\u89c9")["words"] < 1
