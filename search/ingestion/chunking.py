"""Which passages does a document fall into? As many whole sentences as fit the budget of tokens, with their place in the text.

A passage never reaches over a heading, and ends with no line that announces what comes, if another border is near; a code block
stays whole where it fits, and is cut between its lines where it does not.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise, zip_longest
from typing import NamedTuple

from search.documents import Chunk, Document
from search.inference.tokens import TextTokenizer
from search.ingestion.relay import in_groups
from search.kinds import AS_MARKDOWN, SOURCE
from search.passages import has_words, readable
from search.reading.frontmatter import with_line_feeds
from search.reading.headings import is_headed_anew
from search.reading.structure import Block, Pages, Section, hides, is_divided_anew, sections

# Ends of sentences: Armenian, Arabic, Urdu, of India, Ethiopic; Burmese and Khmer, which write no space behind them.
_STOPS, _BARE_STOPS = "\u0589\u061f\u06d4\u0964\u0965\u1362\u1367", "\u104b\u17d4"
_ALSO_ENDS = re.compile(f"[{_STOPS}{_BARE_STOPS}]")
# After a sentence's end and its white space; after a line break; after a Chinese or Japanese sentence's end and its quotes.
_SENTENCE = re.compile(
    f"(?<=[.!?{_STOPS}])\\s+|[\\r\\n]\\s*"
    f"|[{_BARE_STOPS}\u3002\uff01\uff1f\uff61][\u300d\u300f\u3011\u300b\u3009\uff09\u201d\u2019]*"
)
_NUMBER = r"^[ \t>*+-]*\(?(?:\d{1,3}|[ivxIVX]{2,5}|[^\W\d_])"  # of a list's item, or its letter
_NUMBERED = f"{_NUMBER}[\u0589\u06d4\u0964\u0965\u1362{_BARE_STOPS}]"
_NO_END = (
    re.compile(  # a stop behind the number of a list's item, a full stop behind a single letter or what is commonly abbreviated
        rf"(?:{_NUMBERED}|{_NUMBER}\.|(?<![\w.])(?:[^\W\d_]|Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|Mme|Sra?|No|Nr|Figs?|Eq|Vol|pp"
        r"|cf|vs|e\.g|i\.e|approx|ca|Abb|Art|Bd|bzw|vgl|ggf|d\. ?h|u\. ?a)\.)\Z"
    )
)
_GOES_ON = "\u0965[ \t]+\\d{1,4}[ \t]?\u0965|\u17d4[ \u200b]?\u179b[ \u200b]?\u17d4"  # a verse's number; Khmer for "and so on"
_WITH_MORE = re.compile(_GOES_ON)
_ENDS_NOT = re.compile(f"{_NUMBERED}|{_GOES_ON}", re.MULTILINE)
_ABBREVIATED = 12  # characters in front of a sentence's end that tell
_LINE = re.compile("[\\r\\n]")
_EMPTY_LINE = re.compile(r"\n[ \t]*\r?\n|\r[ \t]*\r")
_END = re.compile(f"[.!?\u2026\u3002\uff01\uff1f\uff61{_STOPS}{_BARE_STOPS}][^\\w\\s]{{0,4}}\\Z")  # of a sentence
_ITEM = re.compile(r"(?:[-*+>|\u2022\u2013]|\d{1,3}[.)])\s")  # of a list, or the row of a table
_OF_A_LINE, _OF_A_SENTENCE, _OF_A_LEAD = 0.1, 0.2, 0.7  # see `_cost`; none of a paragraph
_TALLIED_AT_ONCE = 512
_LONGEST_TOKEN = 20  # characters; what has more of them counts as several, so that a passage is bounded by these, too
_SLICE = 200_000  # characters of a sentence that are tokenized at once
_WIDEST_GAP = 200  # characters between two sentences that no passage holds, and that a passage reaches over
_NAME = re.compile(r"\w+")
_LONGEST_HEADING = 1000  # characters, which every passage below it carries
_JOINT = " \u203a "  # between a title and the headings below it


class _Sentence(NamedTuple):
    start: int
    end: int
    tokens: int


class _Border(NamedTuple):
    """What stands between a sentence and the one before it."""

    gap: int  # tokens of what is not shown there
    is_apart: bool  # no passage reaches over it
    cost: float  # of a passage that begins behind it, see `_cost`


_FIRST = _Border(0, is_apart=False, cost=0)


class Chunker:
    """Cuts documents by a model's tokens."""

    def __init__(self, tokenizer: TextTokenizer, tokens: int, overlap: int) -> None:
        """Keep the budget.

        Args:
            tokenizer: the embedder's, whose tokens count.
            tokens: the longest passage, title and headings included; never more than the embedder's window.
            overlap: tokens a passage may repeat of the one before, in whole sentences.
        """
        self._tokenizer = tokenizer
        self._tokens = min(tokens, tokenizer.window)
        self._overlap = min(overlap, self._tokens // 2)

    def state(self, document: Document) -> str:
        """Whatever the passages depend on besides the document's content; a change of it changes the document's revision."""
        kind = "" if document.media_type == "text/plain" else f"/{document.media_type}"
        cleaned = document.passage != f"{document.title} {document.text}".strip() or hides(document.text, document.media_type)
        anew = "/2" if is_divided_anew(document.text, document.media_type) else ""
        has_path = bool(kind and document.title)
        is_divided = len(document.text) > self._tokens // 2  # into several passages, perhaps
        way = "/3" if has_path or is_divided else anew
        ends_otherwise = is_divided and _ALSO_ENDS.search(document.text)
        way = "/4" if ends_otherwise or is_headed_anew(document.text, document.media_type) else way
        way = "/5" if ends_otherwise and _ENDS_NOT.search(document.text) else way
        return f"{self._tokens}/{self._overlap}{kind}{'/readable' if cleaned else ''}{way}"

    def chunk(self, document: Document) -> Iterator[Chunk]:
        """Cut one document; a short one gives one chunk. Offsets count characters of `document.text`."""
        chunks = list(self._chunks(document))
        for chunk, following in zip_longest(chunks, (one.start for one in chunks[1:])):
            before = "" if chunk.number else document.text[: chunk.start]
            yield replace(chunk, before=before, after=document.text[chunk.end : following])

    def _chunks(self, document: Document) -> Iterator[Chunk]:
        """Those with words in them; of a document without any, all that it has."""
        divided = sections(document.text, document.media_type)
        chunks = self._cut(document, divided, lambda text: has_words(readable(text, document.media_type)))
        if first := next(chunks, None):
            yield first
            yield from chunks
        else:
            yield from self._cut(document, [Section((), (Block(0, len(document.text), is_code=False),))], bool)

    def _cut(self, document: Document, divided: Sequence[Section], wanted: Callable[[str], bool]) -> Iterator[Chunk]:
        pages = Pages(document.text)
        plain = with_line_feeds(document.text)
        number = 0
        for section in divided:
            headings = tuple(_clipped(heading) for heading in section.headings)
            words = readable(_JOINT.join(part for part in _path(document.title, headings) if part))
            title = self._tokenizer.cut([words], self._tokens // 2)[0]  # a long one takes half of each passage, and ends there
            for start, end in self._spans(document.text, plain, document.media_type, section.blocks, self._tokens - title.seen):
                if not wanted(document.text[start:end]):
                    continue
                yield Chunk(
                    document.id,
                    number,
                    document.text[start:end],
                    start,
                    end,
                    title.text,
                    document.metadata,
                    headings,
                    pages.of(start),
                    document.media_type,
                    document.modified,
                    document.title,
                    folder=document.folder,
                )
                number += 1

    def _spans(self, text: str, plain: str, media_type: str, blocks: tuple[Block, ...], budget: int) -> Iterator[tuple[int, int]]:
        """As many passages as it takes, of about the same length: a rest of a few words would be found by its title alone.

        None ends with a line that announces the next one, where another end is near. `plain` is the text with line feeds.
        """
        sentences = list(self._sentences(text, blocks, budget))
        borders = [_FIRST, *(self._border(plain, media_type, *pair) for pair in pairwise(sentences))]
        filled = list(accumulate((border.gap + one.tokens for border, one in zip(borders, sentences, strict=False)), initial=0))
        overlap = min(self._overlap, budget // 2)
        passages, length = _shares(sum(sentence.tokens for sentence in sentences), budget, overlap)
        tail: list[_Sentence] = []
        start = 0
        while start < len(sentences):
            empty = filled[start] + borders[start].gap - sum(one.tokens for one in tail)
            last = start + 1  # where it is full, or may not go on
            while last < len(sentences) and not borders[last].is_apart and filled[last + 1] - empty <= budget:
                last += 1
            half = (filled[end] + borders[end].gap + sentences[end].tokens / 2 - empty for end in range(start + 1, last))
            usual = next((end for end, tokens in enumerate(half, start + 1) if passages > 1 and tokens > length), last)
            end = usual
            if usual < len(sentences) and borders[usual].cost == _OF_A_LEAD:
                ends = [usual, *range(start + 1, min(last + 1, len(sentences)))]
                end = min(ends, key=lambda one: borders[one].cost + abs(filled[one] - empty - length) / length)
            packed = [*tail, *sentences[start:end]]
            yield packed[0].start, packed[-1].end
            passages, start = passages - 1, end
            if end < len(sentences):
                tail = [] if borders[end].gap else self._tail(text, packed, budget - sentences[end].tokens)
            if end != usual:
                left = filled[-1] - filled[end] - borders[end].gap + sum(one.tokens for one in tail)
                passages, length = _shares(left, budget, overlap)

    def _border(self, text: str, media_type: str, before: _Sentence, after: _Sentence) -> _Border:
        hidden, is_read = (before.end, after.start), media_type not in AS_MARKDOWN  # what a passage reaches over, by models
        gap = self._weights(text, [hidden])[0] if text[slice(*hidden)].strip() else 0
        is_long = hidden[1] - hidden[0] > _WIDEST_GAP
        is_apart = gap > 0 and (is_long or (is_read and bool(_EMPTY_LINE.search(text, *hidden))))
        return _Border(gap, is_apart, 0 if is_apart else _cost(text, before, after, is_source=media_type in SOURCE))

    def _tail(self, text: str, packed: list[_Sentence], room: int) -> list[_Sentence]:
        """The last sentences that fit the overlap and leave room for the next one; not all, or that passage would hold this one."""
        tail: list[_Sentence] = []
        tokens = 0
        for sentence in reversed(packed[1:]):
            tokens += sentence.tokens
            if tokens > min(self._overlap, room) or (tail and text[sentence.end : tail[0].start].strip()):
                break
            tail.insert(0, sentence)
        return tail

    def _sentences(self, text: str, blocks: tuple[Block, ...], budget: int) -> Iterator[_Sentence]:
        """Sentences and blocks of code without the white space around them; what is longer than the budget comes in pieces."""
        for block in blocks:
            if not block.is_code:
                yield from self._divided(text, block.start, block.end, _SENTENCE, budget)
                continue
            start, end = _strip(text, block.start, block.end)
            (tokens,) = self._weights(text, [(start, end)])
            if tokens <= budget:
                yield _Sentence(start, end, tokens)
            else:
                yield from self._divided(text, start, end, _LINE, budget)

    def _divided(self, text: str, first: int, last: int, border: re.Pattern[str], budget: int) -> Iterator[_Sentence]:
        ends = (match for match in border.finditer(text, first, last) if not _is_no_end(text, match))
        borders = [first, *(match.end() for match in ends), last]
        spans = (_strip(text, start, end) for start, end in pairwise(borders))
        for batch in in_groups(((start, end) for start, end in spans if start < end), _TALLIED_AT_ONCE):
            for (start, end), tokens in zip(batch, self._weights(text, batch), strict=True):
                if tokens <= budget:
                    yield _Sentence(start, end, tokens)
                else:
                    for piece in _slices(text, start, end):
                        yield from self._pieces(text, *piece, budget)

    def _pieces(self, text: str, start: int, end: int, budget: int) -> Iterator[_Sentence]:
        """Cut between words, and within one only if it is longer than the budget by itself."""
        offsets = self._tokenizer.offsets(text[start:end])
        ends = [last for _, last in offsets]
        longest = budget * _LONGEST_TOKEN
        first = 0
        while first < len(offsets):
            within = bisect_right(ends, offsets[first][0] + longest, first)
            if within == first:  # one that is unknown, whatever its length
                for at in range(*offsets[first], longest):
                    piece = start + at, start + min(at + longest, ends[first])
                    (tokens,) = self._weights(text, [piece])
                    yield from [_Sentence(*piece, tokens)] if tokens <= budget else self._pieces(text, *piece, budget)
                first += 1
                continue
            after = min(first + budget, within)
            if after < len(offsets):
                words = (i for i in range(after, first, -1) if text[start + offsets[i][0] - 1].isspace())
                after = next(words, after)
            while True:
                last = offsets[after][0] if after < len(offsets) else end - start
                piece = _strip(text, start + offsets[first][0], start + last)
                (tokens,) = self._weights(text, [piece])
                if tokens <= budget or after == first + 1:
                    break
                after = first + max(1, (after - first) * budget // tokens)  # its letters are more when they are plain ones
            yield _Sentence(*piece, tokens)
            first = after

    def _weights(self, text: str, spans: Sequence[tuple[int, int]]) -> list[int]:
        """How much of a budget of tokens each span takes, as models read it; of what is beyond any budget its length tells."""
        longest = self._tokens * _LONGEST_TOKEN
        tallies = self._tokenizer.tally([readable(text[start:end]) if end - start <= longest else "" for start, end in spans])
        return [max(tally.tokens, -(-(end - start) // _LONGEST_TOKEN)) for (start, end), tally in zip(spans, tallies, strict=True)]


def _shares(tokens: int, budget: int, overlap: int) -> tuple[int, float]:
    """How many passages so many tokens take, and how long each is where all are of one length."""
    passages = max(1, -(-(tokens - overlap) // (budget - overlap)))
    return passages, (tokens + (passages - 1) * overlap) / passages


def _cost(text: str, before: _Sentence, after: _Sentence, *, is_source: bool) -> float:
    """How bad it is to end a passage between two sentences: by which part of its length it may be longer or shorter instead."""
    between = text[before.end : after.start]
    if not _LINE.search(between):
        return _OF_A_SENTENCE
    if _leads(text, before, after, is_source=is_source):
        return _OF_A_LEAD
    return 0 if _EMPTY_LINE.search(between) else _OF_A_LINE


def _leads(text: str, before: _Sentence, after: _Sentence, *, is_source: bool) -> bool:
    """Whether a line announces what is below it: by a colon, by an indentation, or as the first one of a paragraph."""
    if _END.search(text, max(before.start, before.end - _ABBREVIATED), before.end):
        return False
    start = text.rfind("\n", 0, before.end) + 1
    line = text[start : before.end]
    indentation = len(line) - len(line.lstrip())
    deeper = after.start - text.rfind("\n", 0, after.start) - 1 - indentation
    if deeper or line.endswith((":", "\uff1a")):
        return deeper >= 0
    if is_source or before.start != start + indentation or _ITEM.match(line, indentation):
        return False
    return not text[text.rfind("\n", 0, max(start - 1, 0)) + 1 : start].strip()


def _slices(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A span in parts that are tokenized in little memory, between words where there are any."""
    while end - start > _SLICE:
        space = text.rfind(" ", start + _SLICE // 2, start + _SLICE)
        cut = start + _SLICE if space < 0 else space + 1
        yield start, cut
        start = cut
    yield start, end


def _is_no_end(text: str, border: re.Match[str]) -> bool:
    """Whether what looks like a sentence's end is a stop within one, on the same line."""
    at = border.start() + (border[0][0] in _BARE_STOPS)
    if text[at - 1 : at] not in {".", *_STOPS, *_BARE_STOPS} or "\n" in border[0] or "\r" in border[0]:
        return False
    earliest = max(0, at - _ABBREVIATED)
    start = max(text.rfind("\n", earliest, at) + 1, earliest)
    return bool(_NO_END.search(text[start:at]) or _WITH_MORE.match(text, at - 1))


def _path(title: str, headings: tuple[str, ...]) -> tuple[str, ...]:
    """A title and the headings below it; where one of the title and the highest begins with the other, the longer one alone."""
    named, highest = (" ".join(_NAME.findall(part.casefold())) + " " for part in (title, *headings[:1], "")[:2])
    if not headings or highest.startswith(named):
        return headings or (title,)
    return (title, *headings[named.startswith(highest) :])


def _clipped(heading: str) -> str:
    return heading if len(heading) <= _LONGEST_HEADING else f"{heading[: _LONGEST_HEADING - 1]}…"


def _strip(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without the white space at its ends."""
    span = text[start:end]
    stripped = span.lstrip()
    return end - len(stripped), end - len(stripped) + len(stripped.rstrip())
