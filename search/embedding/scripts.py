"""What is a word in scripts beyond Latin? Letters by what they mean, and of a word what its forms have in common.

The tokenizer stems by one language's rules and leaves other words as they are; those of India it cuts where a vowel is left out.
"""

import re
import unicodedata
from collections.abc import Callable

_BEGINNING = 4  # letters that the forms of a word have in common
_PIECE = 3  # letters that make a word, where words begin with what elsewhere stands before them
_INDIA = "\u0900-\u0dff"
_CUT = {  # with the language by whose rules words are stemmed already
    "greek": "\u0370-\u03ff\u1f00-\u1fff",
    "russian": "\u0400-\u052f\u1c80-\u1c8f\u2de0-\u2dff\ua640-\ua69f",
    "arabic": "\u0620-\u06ff\u0750-\u077f\u08a0-\u08ff",
    "": _INDIA,
}
_STOPPED = {  # with the scripts of their stop words, which are none by another letter, a beginning or a piece of them
    "arabic": _CUT["arabic"],
    "bengali": _INDIA,
    "hebrew": "\u05d0-\u05ea",
    "kazakh": _CUT["russian"],
    "nepali": _INDIA,
    "tajik": _CUT["russian"],
}
_LONGEST = 20  # letters that a stop word has at most
_HEBREW = re.compile("[\u05d0-\u05ea]{4,}")
_OF_INDIA = re.compile(f"[{_INDIA}][{_INDIA}\u200c\u200d]*")
_SILENT = re.compile(  # signs for a vowel that is left out, dots that many leave out, and what joins letters or keeps them apart
    "[\u093c\u094d\u09bc\u09cd\u0a3c\u0a4d\u0abc\u0acd\u0b3c\u0b4d\u0bcd\u0c3c\u0c4d\u0cbc\u0ccd\u0d3b\u0d3c\u0d4d\u0dca\u200c\u200d]"
)
# Alefs, yeh and kaf of Persian, and two ends of words that many write as another letter.
_ARABIC = str.maketrans("\u0623\u0625\u0622\u0671\u0649\u06cc\u06a9\u0629", "\u0627\u0627\u0627\u0627\u064a\u064a\u0643\u0647")
_ARTICLE = re.compile(
    "(?<![\u0620-\u06ff])(?:[\u0648\u0628\u0644\u0641\u0643]?\u0627\u0644|\u0644\u0644)([\u0620-\u064a\u066e-\u06d3]{3,})"
)
_THE = "\u0627\u0644"
_DIGIT = re.compile(r"(?![0-9])\d")
_APOSTROPHE = re.compile("(?<=[\u0400-\u052f])['\u2019\u02bc`\u02b9](?=[\u0400-\u052f])")
_UPON_LATIN = re.compile("(?<=[A-Za-z\u00c0-\u024f\u1e00-\u1eff])[\u0300-\u036f]+")


def folded(text: str) -> str:
    """A text whose digits are plain ones, and whose letters are one where many write one for the other."""
    text = _DIGIT.sub(lambda digit: str(unicodedata.digit(digit[0])), _UPON_LATIN.sub("", text))
    return _OF_INDIA.sub(_spoken, _APOSTROPHE.sub("", text).translate(_ARABIC))


class Forms:
    """What the forms of a word have in common, where a language's rules say nothing of its letters."""

    def __init__(self, language: str | None, is_stop_word: Callable[[str], bool]) -> None:
        """None: there is no language, and of all words but those of India nothing but the whole counts."""
        self._stems = language is not None
        self._is_stop_word: Callable[[str], bool] = lambda word: len(word) <= _LONGEST and is_stop_word(word)
        self._stopped = re.compile(f"[{_STOPPED[language]}]+") if language in _STOPPED else None
        scripts = "".join(of for one, of in _CUT.items() if one != language) if self._stems else _INDIA
        self._cut = re.compile(f"[{scripts}]{{{_BEGINNING + 1},}}")

    def without_stop_words(self, text: str) -> str:
        """A text that is not folded yet, without stop words that the tokenizer would not know any more."""
        return self._stopped.sub(self._counting, text) if self._stopped else text

    def _counting(self, word: re.Match[str]) -> str:
        cut = _SILENT.search(word[0])  # by the tokenizer, into what may be stop words where it is none
        return word[0] if cut or not self._is_stop_word(word[0]) else ""

    def added(self, text: str) -> str:
        """A folded text with the first letters of its words, too; without Arabic's article, and Hebrew's words in pieces."""
        if self._stems:
            text = _HEBREW.sub(_pieces, _ARTICLE.sub(self._without_article, text))
        return self._cut.sub(lambda word: f"{word[0][:_BEGINNING]} {word[0]}", text)

    def _without_article(self, word: re.Match[str]) -> str:
        return _THE + word[1] if self._is_stop_word(word[1]) else word[1]  # which only the stemmer takes off, behind the list


def _spoken(word: re.Match[str]) -> str:
    return _SILENT.sub("", unicodedata.normalize("NFD", word[0]))


def _pieces(word: re.Match[str]) -> str:
    return " ".join(word[0][at : at + _PIECE] for at in range(len(word[0]) - _PIECE + 1))
