"""Which passages does a document fall into? As many whole sentences as fit the budget of tokens, with their place in the text.

A passage never reaches over a heading; a code block stays whole where it fits, and is cut between its lines where it does not.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, zip_longest
from typing import NamedTuple

from search.documents import Chunk, Document
from search.inference.tokens import TextTokenizer
from search.ingestion.relay import in_groups
from search.kinds import AS_MARKDOWN
from search.passages import has_words, readable
from search.reading.structure import Block, Pages, Section, hides, is_divided_anew, sections

# After a sentence's end and its white space; after a line break; after a Chinese or Japanese sentence's end and its quotes.
_SENTENCE = re.compile("(?<=[.!?])\\s+|[\\r\\n]\\s*|[\u3002\uff01\uff1f\uff61][\u300d\u300f\u3011\u300b\u3009\uff09\u201d\u2019]*")
_NO_END = re.compile(  # a full stop behind the number of a list's item, a single letter, or what is commonly abbreviated
    r"(?:^[ \t>*+-]*\(?(?:\d{1,3}|[ivxIVX]{2,5})|(?<![\w.])(?:[^\W\d_]|Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|Mme|Sra?|No|Nr|Figs?|Eq|Vol|pp"
    r"|cf|vs|e\.g|i\.e|approx|ca|Abb|Art|Bd|bzw|vgl|ggf|d\. ?h|u\. ?a))\.\Z"
)
_ABBREVIATED = 12  # characters in front of a sentence's end that tell
_LINE = re.compile("[\\r\\n]")
_EMPTY_LINE = re.compile(r"\n[ \t]*\r?\n|\r[ \t]*\r")
_TALLIED_AT_ONCE = 512
_LONGEST_TOKEN = 20  # characters; what has more of them counts as several, so that a passage is bounded by these, too
_SLICE = 200_000  # characters of a sentence that are tokenized at once
_WIDEST_GAP = 200  # characters between two sentences that no passage holds, and that a passage reaches over
_LONGEST_HEADING = 1000  # characters, which every passage below it carries
_JOINT = " \u203a "  # between a title and the headings below it


class _Sentence(NamedTuple):
    start: int
    end: int
    tokens: int


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
        anew = is_divided_anew(document.text, document.media_type)
        return f"{self._tokens}/{self._overlap}{kind}{'/readable' if cleaned else ''}{'/2' if anew else ''}"

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
        number = 0
        for section in divided:
            headings = tuple(_clipped(heading) for heading in section.headings)
            above = headings[1:] if section.headings[:1] == (document.title,) else headings
            words = readable(_JOINT.join(part for part in (document.title, *above) if part))
            title = self._tokenizer.cut([words], self._tokens // 2)[0]  # a long one takes half of each passage, and ends there
            for start, end in self._spans(document, section.blocks, self._tokens - title.seen):
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

    def _spans(self, document: Document, blocks: tuple[Block, ...], budget: int) -> Iterator[tuple[int, int]]:
        """As many passages as it takes, of about the same length: a rest of a few words would be found by its title alone."""
        text, is_read = document.text, document.media_type not in AS_MARKDOWN  # what a passage reaches over, by models
        sentences = list(self._sentences(text, blocks, budget))
        total = sum(sentence.tokens for sentence in sentences)
        overlap = min(self._overlap, budget // 2)
        passages = max(1, -(-(total - overlap) // (budget - overlap)))
        length = (total + (passages - 1) * overlap) / passages
        packed: list[_Sentence] = []
        tokens = 0
        for sentence in sentences:
            hidden = (packed[-1].end, sentence.start) if packed else (0, 0)
            gap = self._weights(text, [hidden])[0] if text[slice(*hidden)].strip() else 0
            apart = gap > 0 and (hidden[1] - hidden[0] > _WIDEST_GAP or (is_read and bool(_EMPTY_LINE.search(text, *hidden))))
            is_long = passages > 1 and tokens + gap + sentence.tokens / 2 > length
            if packed and (apart or is_long or tokens + gap + sentence.tokens > budget):
                yield packed[0].start, packed[-1].end
                passages -= 1
                packed = [] if gap else self._tail(text, packed, budget - sentence.tokens)
                tokens, gap = sum(one.tokens for one in packed), 0
            packed.append(sentence)
            tokens += gap + sentence.tokens
        if packed:
            yield packed[0].start, packed[-1].end

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


def _slices(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A span in parts that are tokenized in little memory, between words where there are any."""
    while end - start > _SLICE:
        space = text.rfind(" ", start + _SLICE // 2, start + _SLICE)
        cut = start + _SLICE if space < 0 else space + 1
        yield start, cut
        start = cut
    yield start, end


def _is_no_end(text: str, border: re.Match[str]) -> bool:
    """Whether what looks like a sentence's end is a full stop within one, on the same line."""
    at = border.start()
    if text[at - 1 : at] != "." or "\n" in border[0] or "\r" in border[0]:
        return False
    start = max(text.rfind("\n", 0, at) + 1, at - _ABBREVIATED)
    return _NO_END.search(text[start:at]) is not None


def _clipped(heading: str) -> str:
    return heading if len(heading) <= _LONGEST_HEADING else f"{heading[: _LONGEST_HEADING - 1]}…"


def _strip(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without the white space at its ends."""
    span = text[start:end]
    stripped = span.lstrip()
    return end - len(stripped), end - len(stripped) + len(stripped.rstrip())
