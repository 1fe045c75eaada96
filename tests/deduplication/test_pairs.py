"""What the judge makes of pairs of each kind: duplicates lie above .9, near misses below .5."""

import re

import pytest

from search.deduplication.candidates import Closest, Contents, Entry
from search.deduplication.comparing import digest_of, sketch_of, words_of
from search.deduplication.pairs import Judge
from search.documents import Document
from search.kinds import SOURCE

TEXT = (
    "The committee met in the town hall on a rainy evening in March. Its members heard what the engineers had to say about the "
    "bridge over the river, which had been closed since 2019. The plan was accepted after a long debate, and work begins when the "
    "river is low. Neighbours were told to keep their boats away until the piers are finished. The mayor of Lyon paid for supper."
)
CLAUSE = "Neighbours were told to keep their boats away until the piers are finished"
LONG = (  # sentence, with a few words in a row that the text has elsewhere, too
    "Whoever crosses it by boat for pleasure or with goods for the market, until the piers are finished, pays a small fee to the "
    "keeper of the lock in front of it."
)
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


RULE = (
    "Boats are allowed on the lake from May to October, and the boathouse is open if the neighbours agree. Everybody who rents one "
    "pays ten euros to the keeper before noon. Dogs swim wherever they like as long as nobody complains about it. The keeper hands "
    "out oars and vests, and writes down who has taken which of them."
)
TURNED = {
    "unless": ("is open if the", "is open unless the"),
    "only if": ("is open if the", "is open only if the"),
    "an exception": ("wherever they like", "wherever they like, except on Sundays"),
    **{word: ("are allowed", f"are {word} allowed") for word in ("hardly", "barely", "scarcely", "nowhere", "only")},
}
ABROAD = {  # that boats may be rented in summer, or not
    "Chinese": (
        "\u590f\u5929\u8fd9\u91cc\u53ef\u4ee5\u79df\u8239\uff0c\u665a\u4e0a\u8981\u8fd8\u3002",
        "\u53ef\u4ee5",
        "\u4e0d\u53ef\u4ee5",
    ),
    "Japanese": (
        "\u590f\u306f\u3053\u3053\u3067\u8239\u3092\u501f\u308a\u307e\u3059\u3002\u591c\u306b\u8fd4\u3057\u307e\u3059\u3002",
        "\u501f\u308a\u307e\u3059",
        "\u501f\u308a\u307e\u305b\u3093",
    ),
    "Russian": ("Летом здесь можно брать лодки на весь день, вечером их возвращают.", "Летом здесь", "Летом здесь никогда не"),
    "Spanish": ("En verano se alquilan aquí barcas para todo el día, y por la noche se devuelven.", "verano se", "verano nunca se"),
    "Spanish, too": (
        "En verano se alquilan aquí barcas para todo el día, y por la noche se devuelven.",
        "verano se",
        "verano jamás se",
    ),
    "German": ("Im Sommer sind hier Boote für den ganzen Tag zu mieten, abends bringt man sie zurück.", "hier", "hier keineswegs"),
    "French": ("En été on loue ici des barques pour la journée, le soir on les rend au gardien.", "on loue", "on ne loue pas"),
    "French, too": ("En été il est permis de louer des barques, le soir on les rend au gardien.", "il est", "il n\u2019est guère"),
    "Portuguese": ("No verão alugam-se aqui barcos para o dia inteiro, e à noite devolvem-se.", "verão alugam", "verão não alugam"),
    "Italian": ("In estate qui si affittano barche per tutto il giorno, e la sera si riportano.", "qui si", "qui non si"),
    "Polish": ("Latem wypożycza się tu łodzie na cały dzień, a wieczorem się je oddaje.", "Latem", "Latem nie"),
    "Dutch": ("In de zomer verhuurt men hier boten voor de hele dag, en men brengt ze terug.", "hier boten", "hier nooit boten"),
    "Arabic": ("تؤجر القوارب هنا في الصيف طوال اليوم وتعاد في المساء.", "تؤجر", "لا تؤجر"),
    "Hindi": ("गर्मी में यहाँ नाव किराए पर मिलती है और शाम को लौटाई जाती है।", "मिलती", "नहीं मिलती"),
}
CALLS = """def clean(path, limit):
    found = listed(path)
    if size_of(found) > limit:
        delete_everything(path)
    return found
"""
DUPLICATES = {
    "a copy with markup": (TEXT, TEXT.replace("committee", "**committee**").replace(". ", ".\n\n")),
    "an edit": (TEXT, edited(TEXT, closed="shut", heard="learned", supper="dinner")),
    "a sentence less": (TEXT, TEXT.replace(f"{CLAUSE}. ", "")),
    "a long sentence more": (TEXT, TEXT.replace("2019. ", f"2019. {LONG} ")),
    "a long sentence more beside changed words": (
        TEXT,
        edited(TEXT.replace("2019. ", f"2019. {LONG} "), closed="shut", heard="learned", supper="dinner"),
    ),
    "a sentence moved": (TEXT, " ".join(TEXT.partition(". ")[::-1])),
    "a paraphrase": (
        TEXT,
        edited(TEXT, met="gathered", heard="learned", debate="discussion", finished="done", told="informed", keep="hold"),
    ),
    "a misspelt word": (TEXT, edited(TEXT, committee="comittee")),
    "a misspelt denial": (TEXT.replace("were told", "were never told"), TEXT.replace("were told", "were nevre told")),
}
MISSES = {
    "another number": (TEXT, edited(TEXT, **{"2019": "2018"})),
    "another name": (TEXT, edited(TEXT, Lyon="Graz", March="April")),
    "negated": (TEXT, TEXT.replace("was accepted", "was not accepted")),
    "no more negated": (TEXT.replace("were told", "were never told"), TEXT),
    "an opposite": (TEXT, edited(TEXT, accepted="rejected")),
    "an opposite by its prefix": (TEXT, edited(TEXT, finished="unfinished")),
    "one word for another": (TEXT, edited(TEXT, engineers="lawyers")),
    "several words for others": (TEXT, edited(TEXT, engineers="lawyers", rainy="windy", supper="beer")),
    "a number in words for another": (TEXT.replace("a long", "three long"), TEXT.replace("a long", "four long")),
    "another clause": (
        TEXT,
        TEXT.replace(CLAUSE, "Whoever lives beside it gets a share of what tolls bring in during its first two summers"),
    ),
    "another one behind it": (TEXT, f"{TEXT} {' '.join(f'word{at} of another text' for at in 'abcdefghijklmnop')}."),
    "clauses more in one place": (
        TEXT,
        TEXT.replace(
            "2019. ",
            "2019. Whoever crosses it by boat pays a small fee to the keeper of the lock. Complaints are to be sent to the office "
            "by letter within a week of them. ",
        ),
    ),
    "short sentences more in one place": (
        TEXT,
        f"{TEXT} Frogs sat there. Nobody saw them. Rain came down. Lamps went out. Music played on. Cars drove by.",
    ),
    "a sentence more that is too long for one": (TEXT, TEXT.replace("2019. ", f"2019. {LONG[:-1]}, {LONG[0].lower()}{LONG[1:]} ")),
    "a sentence more that is half of the text": ("Boats are let here.", "Boats are let here. Ask the keeper inside."),
    "a word for another beside a long sentence more": (
        TEXT,
        edited(TEXT.replace("2019. ", f"2019. {LONG} "), engineers="lawyers", supper="beer"),
    ),
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


@pytest.mark.parametrize("kind", TURNED)
def test_what_holds_under_another_condition_is_none(kind: str) -> None:
    assert TURNED[kind][0] in RULE
    assert probability(RULE, RULE.replace(*TURNED[kind])) < 0.5


@pytest.mark.parametrize("language", ABROAD)
def test_what_is_denied_in_another_language_is_none(language: str) -> None:
    text, said, denied = ABROAD[language]
    assert text.count(said) == 1
    assert probability(f"{text} {text}", f"{text} {text.replace(said, denied)}") < 0.5


@pytest.mark.parametrize("call", ["delete_everything", "size_of", "listed"])
def test_what_code_calls_has_to_be_the_same(call: str) -> None:
    assert probability(CALLS, CALLS.replace(call, "keep_everything"), "text/x-python") < 0.5


@pytest.mark.parametrize(
    ("code", "media_type", "own"),
    [
        (
            "def each(act, values):\n    return [act(value) for value in values]\n\n\neach(print, [])\n",
            "text/x-python",
            "each act value values",
        ),
        ("for name, act in steps:\n    act(name)\nhow = lambda get: get(3)\n", "text/x-python", "name act how get"),
        ("import tools as ours\nours(3)\nfirst, last = ends(4)\nlast(first)\n", "text/x-python", "ours first last"),
        ("class Box:\n    pass\n\n\nwith opened(3) as box:\n    Box(box)\n", "text/x-python", "Box box"),
        (
            "int twice(int (*act)(int), int x) {\n  return act(act(x));\n}\nint main() { return twice(0, 3); }\n",
            "text/x-c",
            "twice act x",
        ),
        (
            "const twice = (act, x) => act(act(x));\nlet once = get => get(1);\ntwice(once, 3);\n",
            "text/x-javascript",
            "twice act x once get",
        ),
        ("fn twice<F>(act: F, x: i32) -> i32 {\n  let mut y = act(x);\n  y\n}\n", "text/x-rust", "twice act x y"),
        ("func twice(act func(int) int, x int) int {\n\ty := act(x)\n\treturn act(y)\n}\n", "text/x-go", "twice act x y"),
    ],
)
def test_own_names_may_be_others_where_they_are_called(code: str, media_type: str, own: str) -> None:
    code = f"{code}\n{code}"
    assert media_type in SOURCE
    renamed = edited(code, **{name: f"other_{name}" for name in own.split()})
    assert probability(code, renamed, media_type) > 0.9


@pytest.mark.parametrize("kind", OTHER_CODE)
def test_code_that_does_something_else_is_not(kind: str) -> None:
    assert OTHER_CODE[kind] != CODE
    assert probability(CODE, OTHER_CODE[kind], "text/x-python") < 0.5
