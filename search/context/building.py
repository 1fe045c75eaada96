"""How does a result become a context? Its passages in rank order, as long as they fit, with a number each."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count, islice
from typing import TYPE_CHECKING

from search.context.citing import numbers_in
from search.context.counting import Counter
from search.context.facts import all_facts, facts_of
from search.context.forms import block, shown, written
from search.context.merging import Stretch, added
from search.context.values import Context, Form, LeftOut, Reason, Source
from search.errors import InvalidQuery

if TYPE_CHECKING:
    from search.documents import Hit

_SENTENCE = re.compile(r"[.!?](?=\s)|[\u3002\uff01\uff1f]")
_WORD = re.compile(r"\S+")
_LONG_PART = 40  # characters, which stand in another text hardly by chance
_LONGEST_WORD = 20  # characters; what has more is cut inside, as where no spaces are written


def build(query: str, hits: "Sequence[Hit]", max_tokens: int, counter: Counter, form: Form, *, metadata: bool = True) -> Context:
    """Make a context of hits in rank order, within a budget for all that is handed over; of records with their short metadata.

    A passage that does not fit is left out, and the next ones tried; only the first is shortened, where it does not fit by itself.

    Raises:
        InvalidQuery: the budget does not hold the citation of the first passage with a word of it, or, without hits, the words
            which say that nothing was found; or the tokenizer failed.
    """
    return _Building(query, hits, max_tokens, counter, form, metadata=metadata).context()


class _Building:
    """The passages that were taken so far."""

    def __init__(self, query: str, hits: "Sequence[Hit]", max_tokens: int, counter: Counter, form: Form, *, metadata: bool) -> None:
        self._query = query
        self._hits = hits
        self._max_tokens = max_tokens
        self._counter = counter
        self._form: Form = form
        self._metadata = metadata
        self._numbers = _free_numbers(query, hits)
        self._overhead = counter.count("")  # of a tokenizer that marks the ends of a text, say
        self._plain = {hit.text: " ".join(hit.text.split()) for hit in hits}
        self._taken: list[Hit] = []

    def context(self) -> Context:
        stretches = self._fitting()
        while stretches and self._tokens(stretches) > self._max_tokens:  # together they are more than each by itself
            self._taken.pop()
            stretches = _joined(map(self._stretch, self._taken))
        if not stretches and self._hits:
            self._metadata = False  # before any of its text
            stretches = [self._shortened(self._stretch(self._hits[0]))]
        sources = self._sources(stretches)
        messages = self._messages(sources)
        tokens = self._count(messages)
        if tokens > self._max_tokens:
            raise self._too_few(tokens, "to say that nothing was found")
        return Context(
            query=self._query,
            form=self._form,
            text="\n\n".join(message["content"] for message in messages),
            messages=messages if self._form == "messages" else (),
            sources=sources,
            left_out=tuple(self._left_out(stretches, sources)),
            tokens=tokens,
            max_tokens=self._max_tokens,
            counted_by=self._counter.name,
        )

    def _fitting(self) -> list[Stretch]:
        """The stretches of as many hits as fit, by what each takes alone; of none, if the first does not."""
        stretches: list[Stretch] = []
        costs: dict[tuple[str, ...], int] = {}
        frame = self._count(self._messages([], blocks=[""]))
        for hit in self._hits:
            if any(self._holds(taken, hit) for taken in self._taken):
                continue
            more, grown = added(stretches, self._stretch(hit))
            kept = set(map(id, more))
            merged = [one for one in stretches if id(one) not in kept]
            if merged:
                cost = sum(costs[one.chunk_ids] for one in merged) + sum(map(self._alone, _new_text(grown, merged)))
            else:
                cost = self._alone(self._block(_source(grown, self._numbers[len(more) - 1])) + "\n\n")
            if frame + cost + sum(costs[one.chunk_ids] for one in more if one is not grown) <= self._max_tokens:
                stretches = more
                costs[grown.chunk_ids] = cost
                self._taken.append(hit)
            elif not stretches:
                break
        return stretches

    def _holds(self, first: "Hit", hit: "Hit") -> bool:
        """Whether a hit has the text of another one, white space apart: the same, or of another document a part."""
        whole, text = self._plain[first.text], self._plain[hit.text]
        return text == whole or (len(text) >= _LONG_PART and first.document_id != hit.document_id and text in whole)

    def _stretch(self, hit: "Hit") -> Stretch:
        text = self._plain[hit.text]
        others = (other.document_id for other in self._hits if self._plain[other.text] == text)
        return replace(Stretch.of(hit), also=tuple(dict.fromkeys(other for other in others if other != hit.document_id)))

    def _shortened(self, stretch: Stretch) -> Stretch:
        """As much of a passage as fits, up to the end of a sentence or a word.

        Raises:
            InvalidQuery: not even its first word.
        """

        def cut(end: int) -> Stretch:
            text = stretch.text[:end].rstrip()
            return replace(stretch, text=text, end=stretch.start + len(text), after=None, cut=True)

        if self._tokens([stretch]) <= self._max_tokens:  # with nothing beside it
            return stretch
        ends = _ends(stretch.text) or [0]
        fitting = bisect_right(ends, self._max_tokens, key=lambda end: self._tokens([cut(end)]))
        last = ends[max(fitting, 1) - 1]
        longest = cut(last)
        least = self._tokens([longest])
        if least > self._max_tokens:
            raise self._too_few(
                least, "the first passage's citation, with a word of it,", ", or some hundreds for a passage or two"
            )
        sentences = [end for end in _sentence_ends(stretch.text) if last / 2 <= end <= last]
        shorter = cut(sentences[-1]) if sentences else longest
        return shorter if self._tokens([shorter]) <= self._max_tokens else longest  # as a function may count oddly

    def _tokens(self, stretches: Sequence[Stretch]) -> int:
        return self._count(self._messages(self._sources(stretches)))

    def _sources(self, stretches: Sequence[Stretch]) -> tuple[Source, ...]:
        return tuple(_source(stretch, number) for stretch, number in zip(stretches, self._numbers, strict=False))

    def _messages(self, sources: Sequence[Source], blocks: Sequence[str] = ()) -> tuple[Mapping[str, str], ...]:
        shown = blocks or [self._block(source) for source in sources]
        return written(self._query, self._form, shown, self._numbers[0])

    def _block(self, source: Source) -> str:
        return block(source, self._form, facts_of(source) if self._metadata else "")

    def _count(self, messages: Sequence[Mapping[str, str]]) -> int:
        return sum(self._counter.count(message["content"]) for message in messages)

    def _alone(self, text: str) -> int:
        return self._counter.count(text) - self._overhead

    def _too_few(self, least: int, what: str, more: str = "") -> InvalidQuery:
        """A budget is too small for the least that can be said."""
        asked = self._alone(shown(self._query)) if self._form == "messages" else 0
        if asked > least / 2:
            what, more = f"a question of {asked}, with what stands beside it,", ", or ask in fewer words"
        return InvalidQuery(f"max_tokens is {self._max_tokens}, and {what} takes {least}; give at least {least}{more}")

    def _left_out(self, stretches: Sequence[Stretch], sources: Sequence[Source]) -> "Iterator[LeftOut]":
        standing = [(hit, source) for stretch, source in zip(stretches, sources, strict=True) for hit in stretch.hits]
        there = {id(hit) for hit, _ in standing}
        for hit in self._hits:
            if id(hit) in there:
                continue
            text = self._plain[hit.text]
            having = (source for whole, source in standing if self._holds(whole, hit))
            source = next((one for one in having if text in " ".join(one.text.split())), None)  # which may have been shortened
            reason: Reason = "budget" if source is None else "duplicate"
            words = f"its text stands in [{source.number}]" if source else f"no room was left for it in {self._max_tokens:,} tokens"
            yield LeftOut(hit.rank, hit.document_id, hit.chunk_id, hit.start, hit.end, reason, words)


def _new_text(grown: Stretch, merged: Sequence[Stretch]) -> Iterator[str]:
    """What of a stretch is in none of those that were merged into it."""
    at = grown.start
    for one in sorted(merged, key=lambda stretch: stretch.start):
        yield grown.text[at - grown.start : one.start - grown.start]
        at = max(at, one.end)
    yield grown.text[at - grown.start :]


def _source(stretch: Stretch, number: int) -> Source:
    first = stretch.hits[0]
    return Source(
        number=number,
        document_id=first.document_id,
        title=first.title,
        headings=first.headings,
        page=first.page,
        start=stretch.start,
        end=stretch.end,
        text=stretch.text,
        metadata=first.metadata,
        media_type=first.media_type,
        ranks=tuple(sorted(hit.rank for hit in stretch.hits)),
        chunk_ids=stretch.chunk_ids,
        cut=stretch.cut,
        also=stretch.also,
    )


def _joined(stretches: Iterable[Stretch]) -> list[Stretch]:
    joined: list[Stretch] = []
    for one in stretches:
        joined, _ = added(joined, one)
    return joined


def _free_numbers(query: str, hits: "Sequence[Hit]") -> list[int]:
    """As many numbers as there are hits, and at least one, without those that the question or a source may have in brackets.

    So whatever an answer copies from a source cites nothing. What stands between passages, and what they give where they meet,
    is among it.
    """
    texts = [query, *(text for hit in hits for text in (hit.title, hit.document_id, all_facts(hit.metadata)))]
    texts += [stretch.text for stretch in _joined(map(Stretch.of, hits))]
    theirs = {number for text in texts for number in numbers_in(" ".join(shown(text).split()))}
    return list(islice((number for number in count(1) if number not in theirs), max(1, len(hits))))


def _ends(text: str) -> list[int]:
    """Where a text may be cut: behind its words, and inside of what is too long for one."""
    ends: list[int] = []
    for word in _WORD.finditer(text):
        ends += [*range(word.start() + _LONGEST_WORD, word.end(), _LONGEST_WORD), word.end()]
    return ends


def _sentence_ends(text: str) -> list[int]:
    return [match.end() for match in _SENTENCE.finditer(text)]
