"""Which words does a text have, and how much does each count in it? Sparse vectors, for the lexical half of retrieval.

BM25 by Qdrant's own formula: the vector of a passage holds the saturated frequency of each of its words, that of a query ones, and
the engine multiplies by the inverse document frequency of its collection. Nothing is downloaded.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Protocol

import qdrant_edge

from search.documents import SparseVector
from search.embedding.joins import joined
from search.embedding.scripts import Forms, folded
from search.embedding.spelling import checkable, one_edit_from, stand_ins
from search.errors import IndexMismatch
from search.passages import few_marks
from search.settings import LexicalSettings

_VERSION = 3  # of `Bm25`; a query would not match the words of another version
_FIRST, _SECOND = 1, 2  # with marks, and without single characters; without forms and joins: made for collections that note it
_VERSION_OF_MODELS = 1  # which take texts as they are
_AVERAGE_LENGTH = 256.0  # words of a passage, by which length is judged: the engines' own default
_NO_LANGUAGE = "none"
_CJK = (
    "\u1100-\u11ff\u3005-\u3007\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\uff66-\uff9f\U00020000-\U0003ffff"
)
_CHARACTER = re.compile(f"[{_CJK}]")
# Scripts that write no spaces between words: Chinese, Japanese, Korean (which does, but inflects), Thai, Lao, Burmese, Khmer.
_UNSPACED = re.compile(f"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff{_CJK}]+")
_ALONE = 3  # times a character makes the word that it is by itself; pairs are words of two
_WITH_MARKS = "\u0370-\u052f\u0590-\u06ff\u0750-\u077f\u08a0-\u08ff\u1f00-\u1fff\ufb1d-\ufb4f"  # Greek, Cyrillic, Hebrew, Arabic
_MARKED = re.compile(f"[{_WITH_MARKS}][ \u0300-\u036f{_WITH_MARKS}]*")
_VOWELS = (
    "\u0404\u0406\u0410\u0415\u0418\u041e\u0423\u042b\u042d-\u042f\u0430\u0435\u0438\u043e\u0443\u044b\u044d-\u044f\u0454\u0456"
)
# Marks that many leave out, behind their letters. Those that make another letter stay, as that of \u0439.
_MARKS = re.compile(
    "(?<=[\u0370-\u03ff])[\u0300-\u036f]+"  # Greek
    f"|(?<=[\u0415\u0435])\u0308|(?<=[\u0308{_VOWELS}])[\u0300\u0301]"  # Cyrillic: the dots of \u0451, and stress
    "|[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7]"  # Hebrew: points
    # Arabic: vowels, and what makes a word longer
    "|[\u0610-\u061a\u0640\u064b-\u0652\u0656-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed]"
)
# XJ-9000-C, covid-19: letters and digits in parts, which are one word, too.
_COMPOUND = re.compile(r"(?<![\w-])(?=[\w-]*[^\W\d_])(?=[\w-]*\d)[A-Za-z0-9]+(?:[-_][A-Za-z0-9]+){1,7}(?![\w-])", re.ASCII)
_SHOWN = 200  # characters of a description, in messages


class SparseEmbedder(Protocol):
    """Turns texts into the words they have."""

    fields: tuple[str, ...]  # metadata whose words passages are searched by, too, such as "metadata.isbn"

    def embed_query(self, text: str) -> SparseVector | None:
        """The words of a query; None if it has none but stop words."""

    def embed_passages(self, texts: Sequence[str]) -> list[SparseVector | None]:
        """The words of each passage; None for one that has none."""

    def words_to_check(self, text: str) -> dict[str, SparseVector]:
        """The words of a query that may be misspelt, as they are written, each by itself; empty where spelling does not matter."""

    def spelt_like(self, word: str) -> SparseVector | None:
        """All that one typing error makes of a word; None for nothing."""

    def stand_ins(self, word: str, spelt_like: SparseVector, texts: Sequence[str]) -> list[str]:
        """The words of passages that are `spelt_like` a word, as they stand there, most frequent first."""


class Bm25:
    """Okapi BM25 (Robertson and Zaragoza, 2009; k = 1.2, b = 0.75) over words, parts of identifiers, and pairs of characters.

    Words are lower-cased, stripped of accents, stemmed, and left out if they are stop words of the language. `getValue` and
    `get_value` count as a whole and by their parts, and so do `XJ-9000-C` and what else is `joined`. Words of alphabets that
    no rules of the language stem count by their first letters, too (`Forms`). Where a script writes no spaces, every two
    neighbouring characters are a word, as in Lucene's CJKAnalyzer: on xquad-zh that finds as much as a dictionary does (nDCG@10
    .966 and .963). Single characters of Chinese, Japanese and Korean are words that only a query without pairs asks for.
    """

    def __init__(self, settings: LexicalSettings, version: int = _VERSION) -> None:
        self.fields = settings.fields
        self._version = version
        options: dict[str, Any] = {"tokenizer": qdrant_edge.TokenizerType.Code, "avg_len": _AVERAGE_LENGTH, "ascii_folding": True}
        if settings.language == _NO_LANGUAGE:
            options |= {"stopwords": qdrant_edge.StopwordsSet(), "stemmer": qdrant_edge.DisabledStemmer()}
        else:
            options["language"] = settings.language
        self._model = qdrant_edge.Bm25(qdrant_edge.Bm25Config(**options))
        self._is_stop_word = lru_cache(maxsize=1024)(lambda word: not self._model.embed_query(word).indices)
        language = None if settings.language == _NO_LANGUAGE else settings.language
        self._forms = Forms(language, self._is_stop_word) if version > _SECOND else None

    def embed_query(self, text: str) -> SparseVector | None:
        """The words of a query, each counting 1; None if it has none but stop words."""
        return _plain(self._model.embed_query(f"{self._prepared(text, asked=True)} {self._joined(text)}"))

    def embed_passages(self, texts: Sequence[str]) -> list[SparseVector | None]:
        """The words of each passage, by saturated frequency; None for one that has none."""
        return [self._embed_passage(text) for text in texts]

    def _embed_passage(self, text: str) -> SparseVector | None:
        plain, more = self._prepared(text), self._joined(text)
        characters = "" if self._version == _FIRST else " ".join(one * _ALONE for one in _CHARACTER.findall(text))
        # Apart, so that the passage is no longer for them, and its other words count as they would without.
        apart = [f"{plain} {more}"] * bool(more) + [characters] * bool(characters)
        made = [self._model.embed_document(one) for one in (*apart, plain)]
        if not apart:
            return _plain(made[0])
        both = {index: value for one in made for index, value in zip(one.indices, one.values, strict=True)}
        return SparseVector(list(both), list(both.values())) if both else None

    def _joined(self, text: str) -> str:
        return self._prepared(" ".join(joined(text, self._is_stop_word))) if self._forms else ""

    def _prepared(self, text: str, *, asked: bool = False) -> str:
        return prepared(text, asked=asked, version=self._version, forms=self._forms)

    def words_to_check(self, text: str) -> dict[str, SparseVector]:
        """The words of a query that may be misspelt, as they are written, each by itself; for which they are see `spelling`."""
        made = {word: self.embed_query(word) for word in checkable(text)}
        return {word: vector for word, vector in made.items() if vector}

    def spelt_like(self, word: str) -> SparseVector | None:
        """All that one typing error makes of a word, each counting 1: what the collection does not have matches nothing."""
        return self.embed_query(" ".join(one_edit_from(word)))

    def stand_ins(self, word: str, spelt_like: SparseVector, texts: Sequence[str]) -> list[str]:
        """The words of passages that are `spelt_like` a word, as they stand there, most frequent first."""
        return stand_ins(word, texts, self.embed_query, set(spelt_like.indices))


def prepared(text: str, *, asked: bool = False, version: int = _VERSION, forms: Forms | None = None) -> str:
    """A text for the tokenizer: with pairs of characters where a language writes no spaces, and compounds also as one word.

    A query that is asked and has no pair asks for its single characters. `forms` are none before the third version.
    """
    if text.isascii():
        spaced = text
    else:
        text = _MARKED.sub(_unmarked, few_marks(text)) if version != _FIRST else text
        text = folded(forms.without_stop_words(text)) if forms else text
        alone = asked and version != _FIRST and all(len(run) == 1 for run in _UNSPACED.findall(text))
        spaced = _UNSPACED.sub(lambda run: f" {_alone(run[0]) if alone else _pairs(run[0])} ", text)
        spaced = forms.added(spaced) if forms else spaced
    compounds = [re.sub("[-_]", "", compound) for compound in _COMPOUND.findall(text)]
    return " ".join([spaced, *compounds])


WordsLike = Callable[[str], SparseEmbedder | None]
"""Gives what makes words like those of a collection, by its description; None for a collection without."""


def describe(settings: LexicalSettings, **more: Any) -> str:
    """What words depend on, as it is noted with a collection; empty for none. For `more` see search.embedding.sparse_models."""
    if settings.model == "none":
        return ""
    noted = {
        "model": settings.model,
        "version": _version(settings.model),
        "language": settings.language,
        "fields": list(settings.fields),
    }
    return json.dumps(noted | more)


@lru_cache(maxsize=8)
def words_like(description: str) -> SparseEmbedder | None:
    """The same for BM25, which takes no model; IndexMismatch if this version makes no such words."""
    if not description:
        return None
    settings, more = noted(description)
    if settings is not None and settings.model == "bm25" and not more.keys() - {"version"}:
        return Bm25(settings, more.get("version", _VERSION))
    raise IndexMismatch(
        f"the collection's words were made by another version of this program ({description[:_SHOWN]}); bring it over with "
        "`search reindex`, which embeds nothing again, or search it with --retrieval dense"
    )


def noted(description: str) -> tuple[LexicalSettings | None, dict[str, Any]]:
    """The settings that a description notes, and what it says more; None for those that this version does not understand.

    An earlier version whose words are still made is among what it says more.
    """
    try:
        values = json.loads(description)
        version, now = values["version"], _version(values["model"])
        if version in range(1, now + 1):
            if version == now:
                del values["version"]
            own = {name: values.pop(name) for name in ("model", "language", "fields")}
            return LexicalSettings(**own), values
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    return None, {}


def _version(model: str) -> int:
    return _VERSION if model == "bm25" else _VERSION_OF_MODELS


def _unmarked(run: re.Match[str]) -> str:
    return unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFD", run[0])))


def _alone(character: str) -> str:
    return character * _ALONE if _CHARACTER.match(character) else character


def _pairs(run: str) -> str:
    return run if len(run) == 1 else " ".join(run[at : at + 2] for at in range(len(run) - 1))


def _plain(vector: "qdrant_edge.SparseVector") -> SparseVector | None:
    return SparseVector(list(vector.indices), list(vector.values)) if vector.indices else None
