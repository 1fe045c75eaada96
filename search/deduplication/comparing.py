"""How alike are two texts? Cheap signs, whatever the language: shared words and shingles, and numbers and names that differ.

What models say comes later (pairs.py). Nothing here depends on the order of the two.
"""

import hashlib
import math
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.documents import Document
from search.passages import readable
from search.reading.kinds import SOURCE

_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # scripts without spaces: every sign is a word
_NUMBER = r"[-\u2212]?\d+(?:[.,:]\d+)*"
_MARKS = "".join(one for one in map(chr, range(0x300, 0xFE30)) if unicodedata.category(one).startswith("M"))  # vowels of Hindi, say
_WORDS = re.compile(rf"{_NUMBER}|[{_CJK}]|[^\W\d_{_CJK}](?:[^\W\d_{_CJK}]|[{_MARKS}])*(?:['\u2019][a-z]+|[+#]+)?")
_SIGN = re.compile(r"(?<!\S)[<>\u2264\u2265]=?(?=\s?\w)|[%\u2030&]")  # signs that say as much as a number: x < 5, 5 %
_TOKENS = re.compile(r"[^\W\d]\w*|\d[\w.]*|[^\w\s]")
_IS_NUMBER = re.compile(rf"{_NUMBER}\Z")
_NEGATIONS = frozenset(
    ("not", "no", "never", "none", "nor", "neither", "without", "cannot", "nicht", "kein", "keine", "nie", "ohne")
)
_KEYWORDS = frozenset(  # of common languages: names that say what code does, whatever its own names are
    re.findall(
        r"\w+",
        """
        and as assert async await break case catch class const continue def default del do elif else enum except export extends
        false finally fn for from func function goto if impl import in interface is lambda let match mod mut new nil none not null
        or pass private protected public pub raise return self static struct super switch this throw true try type use var void
        while with yield len range print int str list dict set open
        """,
    )
)
_SHINGLE = {False: 3, True: 4}  # words, or tokens of code
SIGNS = ("shingles", "words", "crossed words", "crossed numbers", "crossed names", "negations")


@dataclass(frozen=True)
class Profile:
    """What is compared of a text.

    Attributes:
        code: whether it is source code.
        words: how often each stands in it, in lower case but for code.
        shingles: runs of three words; of code, of four tokens, in which its own names are alike.
        numbers: how often each stands in it, and each sign of currency, comparison or mood.
        names: words with a capital letter inside a sentence; of code, its strings' words and what it calls.
        negations: how many words say no.
    """

    code: bool
    words: Counter[str]
    shingles: frozenset[Hashable]
    numbers: Counter[str]
    names: frozenset[str]
    negations: int


def is_code(document: Document) -> bool:
    """Whether a document is source code, by its media type."""
    return document.media_type in SOURCE


def words_of(document: Document) -> list[str]:
    """The words of a text as they are compared: without markup, in lower case; of code its tokens, as they are."""
    if is_code(document):
        return _TOKENS.findall(document.text)
    return _WORDS.findall(readable(document.text, "text/markdown").casefold())


def digest_of(document: Document) -> bytes:
    """The same for texts of one title that differ in case and white space alone; of code, in empty lines and ends of lines."""
    if is_code(document):
        kind, text = "code", "\n".join(line.rstrip() for line in document.text.splitlines() if line.strip())
    else:
        kind, text = "text", " ".join(document.text.casefold().split())
    content = "\n".join((kind, " ".join(document.title.casefold().split()), text))
    return hashlib.blake2b(content.encode(errors="surrogatepass"), digest_size=16).digest()


def sketch_of(words: Sequence[str]) -> NDArray[np.uint32]:
    """Hashes of the words of a text, each once, in order: uint32 (n,)."""
    return np.unique(np.array([zlib.crc32(word.casefold().encode()) for word in words], np.uint32))


def overlap(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> float:
    """The share of the words of the text with fewer words that the other one has, 0 to 1."""
    fewer = min(len(one), len(other))
    return len(np.intersect1d(one, other, assume_unique=True)) / fewer if fewer else 0.0


def profile_of(document: Document) -> Profile:
    """What is compared of a document."""
    words = words_of(document)
    code = is_code(document)
    size = _SHINGLE[code]
    shape = ["name" if word[0].isidentifier() and word not in _KEYWORDS else word for word in words] if code else words
    shingles = frozenset(tuple(shape[at : at + size]) for at in range(max(1, len(shape) - size + 1)))
    lowered = [word.casefold() for word in words]
    return Profile(
        code,
        Counter(words),
        shingles,
        Counter(
            [*(word for word in words if (word[0].isdigit() if code else _IS_NUMBER.match(word))), *_signs(document, code=code)]
        ),
        _names(document.text, code=code),
        sum(word in _NEGATIONS or word.endswith(("n't", "n\u2019t")) for word in lowered),
    )


def signs_of(one: Profile, other: Profile) -> list[float]:
    """How alike two texts are, in the order of SIGNS.

    The first two are shares of what both have (Dice), 0 to 1. What is crossed is in either text and not in the other: of a text
    with a sentence less nothing is, of one with another number two are.
    """
    shared = 2 * len(one.shingles & other.shingles) / (len(one.shingles) + len(other.shingles))
    common = (one.words & other.words).total()
    count, other_count = one.words.total(), other.words.total()
    crossed = min(count, other_count) - common
    numbers = min((one.numbers - other.numbers).total(), (other.numbers - one.numbers).total())
    names = min(len(one.names - other.names), len(other.names - one.names))
    return [
        shared,
        2 * common / max(1, count + other_count),
        math.sqrt(crossed / max(1, min(count, other_count))),
        math.log1p(numbers),
        math.log1p(names),
        float(one.negations != other.negations),
    ]


def _signs(document: Document, *, code: bool) -> list[str]:
    if code:  # whose tokens they are
        return []
    pictures = [one for one in document.text if unicodedata.category(one) in {"Sc", "So"}]
    return pictures + _SIGN.findall(document.text)


def _names(text: str, *, code: bool) -> frozenset[str]:
    if code:
        return frozenset(re.findall(r"\.([^\W\d]\w+)", text))  # what is asked of others keeps its name, whatever one's own are
    found = re.findall(r"(?<=[^\W\d_,;:] )[A-Z][^\W\d_]+", readable(text, "text/markdown"))
    return frozenset(name.casefold() for name in found)
