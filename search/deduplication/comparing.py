"""How alike are two texts? Cheap signs, whatever the language: shared words and shingles, and numbers and names that differ.

What models say comes later (pairs.py). Nothing here depends on the order of the two.
"""

import hashlib
import math
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.deduplication.calls import foreign_calls
from search.deduplication.numerals import in_digits
from search.deduplication.opposites import DENIALS, DENYING_ENDS, GRAMMAR, ITALIAN, turned
from search.deduplication.replacing import CLAUSE, Side, is_swapped, replaced
from search.documents import Document
from search.kinds import SOURCE
from search.passages import readable

CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # scripts without spaces: every sign is a word
_NUMBER = r"[-\u2212]?\d+(?:[.,:]\d+)*"
_MARKS = "".join(one for one in map(chr, range(0x300, 0xFE30)) if unicodedata.category(one).startswith("M"))  # vowels of Hindi, say
_WORD = rf"{_NUMBER}|[{CJK}]|[^\W\d_{CJK}](?:[^\W\d_{CJK}]|[{_MARKS}])*(?:['\u2019][a-z]+|[+#]+)?"
_BREAK = r"[.!?](?=\s|\Z)|[\u3002\uff01\uff1f]|\n\s*\n"  # between sentences
_WORDS, _PARTS = re.compile(_WORD), re.compile(f"{_WORD}|({_BREAK})")
_SIGN = re.compile(r"(?<!\S)[<>\u2264\u2265]=?(?=\s?\w)|[%\u2030&]")  # signs that say as much as a number: x < 5, 5 %
_TOKENS = re.compile(r"[^\W\d]\w*|\d[\w.]*|[^\w\s]")
_STRING = re.compile(r"""(?<!["'])(["'])([^"'\n]+)\1(?!["'])""")  # on one line: what stands in three quotes explains code
_IS_NUMBER = re.compile(rf"{_NUMBER}\Z")
_KEYWORDS = frozenset(  # of common languages: names that say what code does, whatever its own names are
    re.findall(
        r"\w+",
        """
        and as assert async await break case catch class const continue def default del do elif else enum except export extends
        false finally fn for from func function goto if impl import in interface is lambda let match mod mut new nil none not null
        or pass private protected public pub raise return self static struct super switch this throw true try type use var void
        while with yield len range print int str list dict set open True False None min max sum any all abs round sorted reversed
        """,
    )
)
_TURNING = frozenset(  # of those, what turns the sense of code where one stands for another
    re.findall(r"\w+", "and or not in is true false none null nil True False None min max sum any all abs round sorted reversed")
)
_MOST_CHANGED = CLAUSE  # words in a row, or a quarter of a short text: from there on it is another text
_MOST_ADDED = 40  # words in a row, more than most sentences have, or half of a short text
_PART = 3  # of the words of a text one, from which on a sentence more makes it another text, however short it is
_END = "."  # of a sentence, where words of a text are listed
_SENTENCE = 8  # words in a row that the other text has not: a clause of its own
_MOST_TURNED = 3  # that count: from there on two pieces of code are others anyway
_SHINGLE = {False: 3, True: 4}  # words, or tokens of code
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no two runs of a few words come out alike but by chance
SIGNS = (
    "shingles",
    "words",
    "crossed words",
    "crossed numbers",
    "crossed names",
    "negations",
    "turned words",
    "changed stretch",
    "added stretch",
    "replaced word",
    "further stretches",
    "further replaced words",
)


@dataclass(frozen=True)
class Profile:
    """What is compared of a text."""

    code: bool  # whether it is source code
    words: Counter[str]  # how often each stands in it, in lower case but for code
    told: tuple[str, ...]  # all of them in order, numbers in digits
    begins: NDArray[np.bool_]  # whether a sentence begins with each of those, and True for the end: bool (k + 1,)
    # Hashes of three words each, in order; of code, of four tokens, in which its own names are alike: uint64 (n,):
    runs: NDArray[np.uint64]
    shingles: NDArray[np.uint64]  # the same, each once: uint64 (m,)
    numbers: Counter[str]  # how often each stands in it, in words or digits, and each sign of currency, comparison or mood
    said: Counter[str]  # how often each of those that are told stands in it, but for words of grammar and denials; of code, none
    # Words with a capital letter inside a sentence, how often each is there; of code, those of strings and what it asks of others:
    names: Counter[str]
    negations: NDArray[np.bool_]  # which words say no, in their order: bool (k,)


def is_code(document: Document) -> bool:
    """Whether a document is source code, by its media type."""
    return document.media_type in SOURCE


def words_of(document: Document) -> list[str]:
    """The words of a text as they are compared: without markup, in lower case; of code its tokens, as they are."""
    if is_code(document):
        return _TOKENS.findall(document.text)
    return _WORDS.findall(readable(document.text, "text/markdown").casefold())


def _parts(text: str) -> list[str]:
    """The words of a text without markup, and what ends its sentences."""
    return [_END if match[1] else match[0] for match in _PARTS.finditer(readable(text, "text/markdown").casefold())]


def digest_of(document: Document) -> bytes:
    """The same for texts that differ in case and white space alone, whatever their title; of code, in empty lines and line ends."""
    if is_code(document):
        kind, text = "code", "\n".join(line.rstrip() for line in document.text.splitlines() if line.strip())
    else:
        kind, text = "text", " ".join(document.text.casefold().split())
    return hashlib.blake2b(f"{kind}\n{text}".encode(errors="surrogatepass"), digest_size=16).digest()


def sketch_of(words: Sequence[str]) -> NDArray[np.uint32]:
    """Hashes of the words of a text, each once, in order: uint32 (n,)."""
    return np.unique(np.array([zlib.crc32(word.casefold().encode()) for word in words], np.uint32))


def overlap(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> float:
    """The share of the words of the text with fewer words that the other one has, 0 to 1."""
    fewer = min(len(one), len(other))
    return len(np.intersect1d(one, other, assume_unique=True)) / fewer if fewer else 0.0


def profile_of(document: Document) -> Profile:
    """What is compared of a document."""
    code = is_code(document)
    parts = words_of(document) if code else _parts(document.text)
    said = parts if code else in_digits(parts)
    ends = np.array([not code and part == _END for part in said], bool)
    told = [part for part, end in zip(said, ends, strict=True) if not end]
    begins = np.array([True, *ends])[[*~ends, True]]
    begins[-1] = True
    words = [part for part in parts if code or part != _END]
    size = _SHINGLE[code]
    shape = ["name" if word[0].isidentifier() and word not in _KEYWORDS else word for word in told] if code else told
    runs = _runs(shape, size)
    lowered = [word.casefold() for word in told]
    pairs = zip(lowered, [*lowered[1:], ""], strict=False)  # of no words, too
    italian = len(ITALIAN.intersection(lowered)) > 1
    return Profile(
        code,
        Counter(words),
        tuple(told),
        begins,
        runs,
        np.unique(runs),
        Counter([*(word for word in told if _is_number(word, code=code)), *_signs(document, code=code)]),
        Counter() if code else Counter(word for word in told if word not in GRAMMAR and not _denies(word, "")),
        _names(document.text, code=code),
        np.array([_denies(word, behind) or (italian and word == "non") for word, behind in pairs], bool),
    )


def signs_of(one: Profile, other: Profile) -> list[float]:
    """How alike two texts are, in the order of SIGNS.

    The first two are shares of what both have (Dice), 0 to 1. What is crossed is in either text and not in the other: of a text
    with a sentence less nothing is, of one with another number two are. A stretch is of words in a row that stand in no run of the
    other text. Words that were changed here and there make short ones, a clause in place of another a long one in both (changed), a
    sentence more one in either (added): squares of shares of what makes another text. Sentences more than one (further), in one
    place or in several, do so each: their words beside the longest, less those of such sentences of the other text; and so do words
    of that one beyond those that most sentences have, or beyond a third of the text. A word in place of another (replaced) says
    most, and each further one something more. Of code, operators and keywords are what turns it, since its names may be others.
    """
    both = len(np.intersect1d(one.shingles, other.shingles, assume_unique=True))
    shared = 2 * both / max(1, len(one.shingles) + len(other.shingles))
    own, others = one.words - other.words, other.words - one.words
    count, other_count = one.words.total(), other.words.total()
    common, crossed = count - own.total(), min(own.total(), others.total())
    numbers = min((one.numbers - other.numbers).total(), (other.numbers - one.numbers).total())
    names = min((one.names - other.names).total(), (other.names - one.names).total())
    alone = _stretches(one, other), _stretches(other, one)
    longest = [int(stretches.max(initial=0)) for stretches in alone]
    further = _further(_clauses(one, alone[0]), _clauses(other, alone[1]), min(_MOST_ADDED, max(count, other_count) / _PART))
    sides = (
        Side(text.told, text.begins, text.runs, lengths, text.said - counterpart.said)
        for text, counterpart, lengths in ((one, other, alone[0]), (other, one, alone[1]))
    )
    further_words = replaced(*sides) - 1
    kept = [stretches < _SENTENCE for stretches in alone]  # what a whole sentence more or less denies, turns nothing else
    return [
        shared,
        2 * common / max(1, count + other_count),
        math.sqrt(crossed / max(1, min(count, other_count))),
        math.log1p(numbers),
        math.log1p(names),
        float(abs(int(one.negations[kept[0]].sum()) - int(other.negations[kept[1]].sum())) > _misspelt_denials(own, others)),
        math.log1p(_turned_code(own, others) if one.code and other.code else max(turned(own, others), turned(others, own))),
        min(1.0, min(longest) / min(_MOST_CHANGED, max(1, min(count, other_count) / 4))) ** 2,
        min(1.0, max(longest) / min(_MOST_ADDED, max(1, max(count, other_count) / 2))) ** 2,
        float(further_words >= 0),
        min(1.0, further / min(_MOST_ADDED, max(1, max(count, other_count) / 2))),
        math.log1p(max(0, further_words)),
    ]


def _runs(words: Sequence[str], size: int) -> NDArray[np.uint64]:
    """Hashes of every run of `size` words, in order; of fewer words, of all of them: uint64 (n,)."""
    codes = np.array([zlib.crc32(word.encode(errors="surrogatepass")) + 1 for word in words], np.uint64)
    size = max(1, min(size, len(codes)))
    runs = np.zeros(len(codes) - size + 1, np.uint64)
    for at in range(size if len(codes) else 0):
        runs = runs * _BASE + codes[at : at + len(runs)]
    return runs


def _stretches(one: Profile, other: Profile) -> NDArray[np.int64]:
    """Of every word of a text, how many in a row with it stand in no run of the other one; 0 where it does itself: int64 (k,)."""
    count = len(one.negations)
    if not count:
        return np.zeros(0, np.int64)
    known = np.isin(one.runs, other.shingles)
    covered = np.convolve(known, np.ones(count - len(one.runs) + 1, np.int64)) > 0
    starts = np.flatnonzero(np.diff(covered, prepend=~covered[:1]))
    lengths = np.diff(starts, append=count)
    return np.repeat(np.where(covered[starts], 0, lengths), lengths)


def _clauses(text: Profile, alone: NDArray[np.int64]) -> tuple[int, int]:
    """How many words of a text are of clauses that the other one has not, and how many are of one such, at most.

    A clause is no longer than a sentence. Few words that the other text happens to have in a row do not end it; many do, since
    what has no full stops, as a list, may have more in several places. Shorter ones count where they are new as a whole.
    """
    new = alone > 0
    begins = text.begins[:-1]
    starts = np.flatnonzero(begins | np.diff(new, prepend=False))
    if not len(starts):
        return 0, 0
    lengths = np.diff(starts, append=len(new))
    in_a_row = np.where(new[starts], lengths, 0)
    parts = np.flatnonzero(begins[starts] | (~new[starts] & (lengths >= _SENTENCE)))
    longest, words = np.maximum.reduceat(in_a_row, parts), np.add.reduceat(in_a_row, parts)
    whole = (words == np.add.reduceat(lengths, parts)) & (np.maximum.reduceat(alone[starts], parts) >= _SENTENCE)
    clause = (longest >= _SENTENCE) | whole
    return int(words[clause].sum()), int(np.where(clause, words, longest).max())


def _further(one: tuple[int, int], other: tuple[int, int], most: float) -> float:
    """How many words of clauses either text has more, but for those of one; of that, those beyond the most count."""
    (words, longest), (other_words, other_longest) = one, other
    beside = abs(words - other_words) - min(most, longest if words > other_words else other_longest)
    return max(0.0, beside, max(longest, other_longest) - most)


def _denies(word: str, behind: str) -> bool:
    return (
        word in DENIALS
        or word.endswith(("n't", "n\u2019t"))
        or word.startswith(("n'", "n\u2019"))  # of French
        or word + behind in DENYING_ENDS
    )


def _misspelt_denials(own: Counter[str], others: Counter[str]) -> int:
    """How many denials stand in the other text with two letters in each other's place: slips of a hand, which deny all the same."""
    return sum(
        any(is_swapped(word.casefold(), other.casefold()) for other in behind)
        for some, behind in ((own, others), (others, own))
        for word in some
        if _denies(word.casefold(), "")
    )


def _is_number(word: str, *, code: bool) -> bool:
    return word[0].isdigit() or (not code and _IS_NUMBER.match(word) is not None)


def _turned_code(own: Counter[str], others: Counter[str]) -> int:
    """How many operators, numbers and words that turn the sense of code the other one has not; a few at most."""
    counts = [
        sum(count for word, count in some.items() if not word[0].isidentifier() or word in _TURNING) for some in (own, others)
    ]
    return min(_MOST_TURNED, max(counts))


def _signs(document: Document, *, code: bool) -> list[str]:
    if code:  # whose tokens they are
        return []
    pictures = [one for one in document.text if unicodedata.category(one) in {"Sc", "So"}]
    return pictures + _SIGN.findall(document.text)


def _names(text: str, *, code: bool) -> Counter[str]:
    if code:  # what is asked of others keeps its name, whatever one's own are, and a string says what it says
        strings = _STRING.findall(text)
        return Counter(
            [
                *re.findall(r"\.([^\W\d]\w+)", text),
                *foreign_calls(text),
                *(word for _, string in strings for word in re.findall(r"\w+", string)),
            ]
        )
    found = re.findall(r"(?<=[^\W\d_,;:] )[A-Z][^\W\d_]+", readable(text, "text/markdown"))
    return Counter(name.casefold() for name in found)
