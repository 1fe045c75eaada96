"""How long is a text for a model, where may it be cut, and does the model know its words?"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from tokenizers import Encoding, Tokenizer
from tokenizers.models import Unigram, WordPiece

from search.errors import InferenceFailed, ModelIncomplete, SearchError, UnsupportedModel

MUCH_UNKNOWN = 0.2  # a text with more unknown tokens than this is reported
LEAST_ROOM = 8  # tokens that a model's own ones must leave for texts
_PROBE = "The cat. \u6f22\u5b57 \U00010348 \ufffd\u0001"  # words, other scripts and characters that no vocabulary has
_BLANKS = ("\u2581", "\u0120", " ")  # white space as tokenizers write it
_SHORT = 20_000  # characters, which any tokenizer reads in a few milliseconds
_TRACEBACK = "Traceback (most recent call last):"
_OF_A_TOKEN = 16  # characters, far more than tokens have on average in any language


def head(text: str, max_tokens: int) -> str:
    """As much of a text as fills a window of so many tokens, and several times more; what follows would only take time."""
    most = _most(max_tokens)
    return text if len(text) <= most else text.lstrip()[:most]


def ends(text: str, max_tokens: int) -> str:
    """Of a query as much as `head` has, half of it from the beginning and half from the end."""
    most = _most(max_tokens)
    whole = text.strip() if len(text) > most else text
    return whole if len(whole) <= most else f"{whole[: most // 2]} {whole[-(most // 2) :]}"


def _most(max_tokens: int) -> int:
    return sys.maxsize if max_tokens == sys.maxsize else max(_SHORT, _OF_A_TOKEN * max_tokens)


def goes_on(text: str, max_tokens: int) -> bool:
    """Whether a text has more to read than `head` or `ends` have of it."""
    most = _most(max_tokens)
    return len(text) > most and len(text.strip()) > most


class Cut(NamedTuple):
    """A text shortened at the border of a token."""

    text: str
    seen: int  # tokens of the shortened text
    total: int  # tokens before; see TextTokenizer.cut of long texts
    known: int  # tokens of the shortened text that are words to the model: in its vocabulary, and more than white space


class Tally(NamedTuple):
    """What a tokenizer makes of a text, special tokens left out."""

    tokens: int
    unknown: int

    @property
    def unknown_share(self) -> float:
        """Share of tokens outside the vocabulary, 0 to 1."""
        return self.unknown / self.tokens if self.tokens else 0.0


class PromptTokens(NamedTuple):
    """What a model reads before texts, in tokens."""

    query: int
    passage: int


class TextTokenizer:
    """A model's tokenizer without padding and truncation, so that what would be lost can be counted.

    Attributes:
        max_tokens: the model's window, special tokens included; sys.maxsize for a static model, which reads everything.
        prompts: how many tokens stand before every query, and before every passage.
        added: ids of the tokens that are more than text to the model, such as [SEP] and <|im_end|>.
    """

    def __init__(self, loaded: Tokenizer) -> None:
        """Copy the tokenizer and try it.

        Raises:
            ModelIncomplete: its vocabulary is empty, or it cannot cope with characters that it does not know.
        """
        truncation = loaded.truncation
        self.max_tokens = int(truncation["max_length"]) if truncation else sys.maxsize
        self.prompts = PromptTokens(0, 0)
        self._tokenizer = copied(loaded)
        if self._tokenizer.get_vocab_size(with_added_tokens=False) == 0:
            raise ModelIncomplete("tokenizer.json has an empty vocabulary; copy the model's own file again")
        self._unknown = self._unknown_id()
        self._wordless = {self._unknown, *(self._tokenizer.token_to_id(blank) for blank in _BLANKS)} - {None}
        try:
            self.tally([_PROBE])
        except InferenceFailed as error:
            raise ModelIncomplete(f"tokenizer.json cannot be used ({error}); copy the model's own file again") from error
        added = self._tokenizer.get_added_tokens_decoder()
        self.added = sorted(number for number, token in added.items() if token.content.strip() and number != self._unknown)

    def _unknown_id(self) -> int | None:
        """The token that stands for what is not in the vocabulary; a byte-level tokenizer has none."""
        model = self._tokenizer.model
        if isinstance(model, Unigram):  # which tells its id only in writing
            unknown_id: int | None = json.loads(self._tokenizer.to_str())["model"].get("unk_id")
            return unknown_id
        unknown = getattr(model, "unk_token", None)
        return self._tokenizer.token_to_id(unknown) if unknown else None

    def known(self, ids: Sequence[int]) -> int:
        """How many tokens are words to the model: in its vocabulary, and more than white space."""
        return sum(number not in self._wordless for number in ids)

    def special_tokens(self, *, pair: bool) -> int:
        """Tokens the model adds around a text, or around a pair of them."""
        return int(self._tokenizer.num_special_tokens_to_add(pair))

    @property
    def window(self) -> int:
        """Tokens of a passage that the model reads at most, special ones and the prompt's left out."""
        return self.max_tokens - self.special_tokens(pair=False) - self.prompts.passage

    @property
    def query_window(self) -> int:
        """Likewise of a query."""
        return self.max_tokens - self.special_tokens(pair=False) - self.prompts.query

    def tally(self, texts: Sequence[str]) -> list[Tally]:
        """Count the tokens of each text."""
        encodings = self.encode(texts, special_tokens=False)
        return [
            Tally(len(encoding.ids), 0 if self._unknown is None else encoding.ids.count(self._unknown)) for encoding in encodings
        ]

    def unread_share(self, text: str) -> float:
        """Share of a text's tokens that say nothing to the model, 0 to 1.

        Those are tokens outside the vocabulary, and letters that WordPiece has spelled a word out by, as it does with Russian in an
        English vocabulary, or with a part number: what no word of the model's training looked like.
        """
        encoding = self.encode([text], special_tokens=False)[0]
        ids, words = encoding.ids, encoding.word_ids
        spells = isinstance(self._tokenizer.model, WordPiece)
        single = [spells and len(token.removeprefix("##")) == 1 for token in encoding.tokens]
        spelled = [
            single[at] and any(single[near] and words[near] == words[at] for near in (at - 1, at + 1) if 0 <= near < len(ids))
            for at in range(len(ids))
        ]
        unread = sum(number == self._unknown or is_letter for number, is_letter in zip(ids, spelled, strict=True))
        return unread / len(ids) if ids else 0.0

    def encode(self, texts: Sequence[str], *, special_tokens: bool) -> list[Encoding]:
        """What the model reads, whole; InferenceFailed if the tokenizer gave an error."""
        with translated(lambda error: InferenceFailed(f"the tokenizer failed: {str(error)[:500]}")):
            encodings: list[Encoding] = self._tokenizer.encode_batch(list(texts), add_special_tokens=special_tokens)
        return encodings

    def next_token(self, text: str, token: str) -> int:
        """The id of a token when it comes next after a text; UnsupportedModel if there it is no single token."""
        before, after = (encoding.ids for encoding in self.encode([text, text + token], special_tokens=False))
        if after[:-1] != before:
            message = (
                f"{token!r:.100}, whose score the recipe reads, is no single token of this model after its prompt; choose another"
            )
            raise UnsupportedModel(message)
        return int(after[-1])

    def plain(self, text: str) -> str:
        """The text with a space inside whatever the tokenizer would take for one of its added tokens, so that it is only text."""
        added = set(self.added)
        while True:
            encoding = self.encode([text], special_tokens=False)[0]
            spans = [span for number, span in zip(encoding.ids, encoding.offsets, strict=True) if number in added]
            if not spans:
                return text
            parts, done = [], 0
            for start, end in spans:
                inside = text[start:end].strip()
                parts += [text[done:start], f"{inside[0]} {inside[1:]}" if len(inside) > 1 else " "]
                done = end
            text = "".join([*parts, text[done:]])

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Where each token begins and ends, in characters."""
        spans: list[tuple[int, int]] = self.encode([text], special_tokens=False)[0].offsets
        return spans

    def cut(self, texts: Sequence[str], max_tokens: int, *, plain: bool = False) -> list[Cut]:
        """Shorten each text to at most `max_tokens`, at the end of a token; with `plain`, after making it plain.

        Of a text that is far longer than its `head`, the total is what the head has, and one: at least so many.
        """
        cuts = []
        added = set(self.added) if plain else set()
        heads = [head(text, max_tokens) for text in texts]
        for whole, text, encoding in zip(texts, heads, self.encode(heads, special_tokens=False), strict=True):
            if not added.isdisjoint(encoding.ids):
                text = self.plain(text)  # noqa: PLW2901 -- it takes the text's place
                encoding = self.encode([text], special_tokens=False)[0]  # noqa: PLW2901
            total = len(encoding.ids)
            more = goes_on(whole, max_tokens)
            if total > max_tokens:
                end = encoding.offsets[max_tokens - 1][1] if max_tokens > 0 else 0
                cuts.append(Cut(text[:end], max_tokens, total + more, self.known(encoding.ids[:max_tokens])))
            else:
                cuts.append(Cut(text, total, total + more, self.known(encoding.ids)))
        return cuts

    def cut_query(self, query: str, max_tokens: int, *, plain: bool = False) -> Cut:
        """Shorten a query to its first and its last part, each half of `max_tokens`; with `plain`, after making it plain.

        What is asked for stands in one of both: a title, a question behind what it is about, the error below its traceback.
        Of a query far longer than its `ends`, the total is what these have, and one: at least so many.
        """
        text = ends(query, max_tokens)
        more = goes_on(query, max_tokens)
        encoding = self.encode([text], special_tokens=False)[0]
        if plain and not set(self.added).isdisjoint(encoding.ids):
            text = self.plain(text)
            encoding = self.encode([text], special_tokens=False)[0]
        if (total := len(encoding.ids)) > max_tokens and _TRACEBACK in query:
            text = _error_first(text)
            encoding = self.encode([text], special_tokens=False)[0]
        read, short = encoding, text
        spans = encoding.offsets if total > max_tokens else []
        for kept in range(max_tokens, -1, -1):  # where parts meet, there may be a token or two more than before
            if len(read.ids) <= max_tokens:
                break
            short = joined_ends(text, spans, kept)
            read = self.encode([short], special_tokens=False)[0]
        return Cut(short, len(read.ids), total + more, self.known(read.ids))


def _error_first(text: str) -> str:
    """A traceback of Python's with its last line, which says what went wrong, in front of the frames."""
    frames, _, error = text.rstrip().rpartition("\n")
    return f"{error}\n{frames}"


def joined_ends(text: str, spans: Sequence[Sequence[int]], kept: int) -> str:
    """The first and the last of a text's tokens, `kept` in all, by the characters where each begins and ends."""
    last = kept // 2
    if last == 0:
        return text[: spans[kept - 1][1]] if kept else ""
    return f"{text[: spans[kept - last - 1][1]]} {text[spans[-last][0] :]}"


def copied(tokenizer: Tokenizer) -> Tokenizer:
    """A tokenizer that does the same without truncation and padding, and shares the vocabulary, whose parsing takes long."""
    copy = Tokenizer(tokenizer.model)
    for part in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        if (value := getattr(tokenizer, part)) is not None:
            setattr(copy, part, value)
    copy.encode_special_tokens = tokenizer.encode_special_tokens
    added = tokenizer.get_added_tokens_decoder()
    copy.add_tokens([added[number] for number in sorted(added)])  # the order in which files have them
    return copy


@contextmanager
def translated(into: Callable[[BaseException], SearchError], let_pass: type[Exception] = SearchError) -> Iterator[None]:
    """Raise an error of this package in the place of whatever libraries raise: bare exceptions, and kinds of their own."""
    try:
        yield
    except (SearchError, let_pass):
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # of Rust, which is none to Python
            raise
        raise into(error) from error
