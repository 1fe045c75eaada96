"""What if a word of the query is misspelt? Where no passage has it, passages are found that have words spelt like it."""

import re
from collections.abc import Callable, Sequence

from search.documents import Candidate, SparseVector
from search.embedding.sparse import SparseEmbedder
from search.index.points import Found, searchable_text

_MISSPELT = 3  # words of a query, at most: one with more that no passage has is of another language, or about something else
_SHOWN = 3  # words that were looked for in place of one

_WILDCARD = re.compile(r"(?<!\S)[^\W\d_]{2,}\*(?!\S)")
_TYPED = 8  # words of a query, at most, in which a star is meant: more are pasted

Search = Callable[[SparseVector, Sequence[SparseVector]], Found]


class Speller:
    """The words of one query, and what is looked for in place of those that no passage has."""

    def __init__(self, words: SparseEmbedder, query: str) -> None:
        """Choose the words of a query whose spelling is checked; `words` makes those of the collection."""
        self._words = words
        self._checked = words.words_to_check(query)
        self._spelt_like: dict[str, SparseVector] = {}  # without words of the query itself

    def find(self, lexical: SparseVector, search: Search) -> Found:
        """What a query finds by its words. Only where the collection lacks one of them is there a second search.

        `search` finds passages by words; nothing, if the collection lacks one of the single words that come second.
        """
        matches = search(lexical, list(self._checked.values()))
        if not matches.absent:
            return matches
        absent = [list(self._checked)[at] for at in matches.absent]
        own = dict(zip(*lexical, strict=True))
        weights = dict(own)
        for word in absent if len(absent) <= _MISSPELT else []:
            near = dict(zip(*(self._words.spelt_like(word) or SparseVector([], [])), strict=True))
            others = {index: weight for index, weight in near.items() if index not in own}
            self._spelt_like[word] = SparseVector(list(others), list(others.values()))
            weights |= others
        return search(SparseVector(list(weights), list(weights.values())), [])

    def notes(self, candidates: Sequence[Candidate]) -> list[str]:
        """In place of which word which others were looked for, as far as candidates have them."""
        texts = [_searchable(candidate, self._words.fields) for candidate in candidates] if self._spelt_like else []
        return [
            f'no passage has the word "{word}"; {_listed(similar)} looked for in its place'
            for word, vector in self._spelt_like.items()
            if (similar := self._words.stand_ins(word, vector, texts))
        ]


def wildcards(query: str) -> list[str]:
    """That the star of `conf*` stands for nothing."""
    stars = dict.fromkeys(_WILDCARD.findall(query)) if "*" in query and len(query.split()) <= _TYPED else ()
    return [f'"{star}" was looked for as "{star[:-1]}", since there are no wildcards; write the whole word' for star in stars]


def _searchable(candidate: Candidate, fields: Sequence[str]) -> str:
    names = ("title", "headings", "text", "document_id", "metadata")
    return searchable_text({name: getattr(candidate, name) for name in names}, fields)


def _listed(words: Sequence[str]) -> str:
    """Words as the subject of a sentence, with its verb."""
    quoted = [f'"{word}"' for word in words[:_SHOWN]]
    if len(words) == 1:
        return f"{quoted[0]} was"
    last = "others" if len(words) > _SHOWN else quoted.pop()
    return f"{', '.join(quoted)} and {last} were"
