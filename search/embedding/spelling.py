"""Which words of a query may be misspelt, and which words are spelt like one: a letter more, less or other, or two swapped?

Names are no words here: what has digits, underscores or capitals inside, what a hyphen, a dot or a slash joins to something, and
what stands in quotation marks is looked for as it is written.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable

from search.documents import SparseVector
from search.embedding.joins import HYPHENED

_CHECKED = 16  # words of a query, from its beginning
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_LEAST = 5  # letters of a word: shorter ones have too many neighbours
_MARKS = ('""', "``", "“”", "””", "„“", "„”", "«»", "»«", "\u2039\u203a", "\u203a\u2039", "「」", "『』")  # of quotations
_ALSO_APOSTROPHES = ("''", "\u2018\u2019", "\u201a\u2018")
_QUOTED = re.compile(
    "|".join(
        [f"{marks[0]}[^{marks}]*{marks[1]}" for marks in _MARKS]
        + [rf"(?<!\w){marks[0]}(?:[^{marks}]|(?<=\w){marks[1]}(?=\w))*{marks[1]}(?!\w)" for marks in _ALSO_APOSTROPHES]
    )
)
_WORD = re.compile(rf"(?<![\w\-./\\:@#$&=])[^\W\d_]{{{_LEAST},32}}(?![\w(]|[-./\\:@&=]\w)")
_RUN = re.compile(r"[^\W\d_][^\W\d_A-Z]{3,39}|[A-Z]{4,40}")  # also of getValue
_HYPHEN = re.compile("[-\u2010]")
_BEGINNING = 3  # letters that words of one stem share


def checkable(text: str) -> list[str]:
    """The words of a query that may be misspelt, as they are written, each once; at most `_CHECKED`."""
    words: dict[str, str] = {}
    for match in _WORD.finditer(_QUOTED.sub(" ", text)):
        word = match[0]
        if word[1:].islower() and _plain(word):
            words.setdefault(_plain(word), word)
            if len(words) == _CHECKED:
                break
    return list(words.values())


def one_edit_from(word: str) -> list[str]:
    """All that one typing error makes of a word (Damerau, 1964), in lower case and in a fixed order: 54 a letter."""
    plain = _plain(word)
    cuts = [(plain[:at], plain[at:]) for at in range(len(plain) + 1)]
    made = [before + after[1:] for before, after in cuts if after]
    made += [before + after[1] + after[0] + after[2:] for before, after in cuts if len(after) > 1]
    made += [before + letter + after[1:] for before, after in cuts if after for letter in _LETTERS]
    made += [before + letter + after for before, after in cuts for letter in _LETTERS]
    return [one for one in dict.fromkeys(made) if one != plain and len(one) >= _LEAST]


def stand_ins(word: str, texts: Iterable[str], words_of: Callable[[str], SparseVector | None], wanted: set[int]) -> list[str]:
    """The words of passages that count as one typing error of a word, as they stand there: of each stem one, most frequent first.

    `words_of` gives what a text is found by; `wanted` is what all that is `one_edit_from` the word is found by.
    """
    beginnings = {one[:_BEGINNING] for one in one_edit_from(word)}
    counts: Counter[int] = Counter()
    shown: dict[int, str] = {}
    text = " ".join(texts)
    for run, number in Counter([*_RUN.findall(text), *HYPHENED.findall(text)]).items():
        bare = _HYPHEN.sub("", run)
        beginning = bare[:_BEGINNING].lower() if bare.isascii() else _plain(bare)[:_BEGINNING]
        if beginning in beginnings and (vector := words_of(bare)) and (as_written := words_of(run)):
            for index in wanted.intersection(vector.indices, as_written.indices):
                counts[index] += number
                shown.setdefault(index, run)
    return [shown[index] for index, _ in counts.most_common()]


def _plain(word: str) -> str:
    """In lower case and without accents; empty for a word of another script, whose spelling is not checked."""
    if not word.isascii():
        word = "".join(part for part in unicodedata.normalize("NFKD", word) if not unicodedata.combining(part))
    return word.lower() if word.isascii() and word.isalpha() else ""
