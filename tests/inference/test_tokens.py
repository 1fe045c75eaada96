"""Tokens are counted as the model counts them, and texts are cut where it would stop reading."""

import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import BUNDLED
from tokenizers import Tokenizer
from tokenizers.models import Unigram

from search.embedding.dense import FastEmbedEmbedder
from search.inference.batching import plan_batches
from search.inference.tokens import Cut, TextTokenizer


@pytest.fixture(scope="module")
def tokenizer(bundled_embedder: FastEmbedEmbedder) -> TextTokenizer:
    return bundled_embedder.tokenizer


def test_a_cut_keeps_as_many_tokens_as_it_says(tokenizer: TextTokenizer) -> None:
    assert tokenizer.cut(["The cat sat down.", "cat", ""], 3) == [
        Cut("The cat sat", 3, 5, 3),
        Cut("cat", 1, 1, 1),
        Cut("", 0, 0, 0),
    ]
    assert tokenizer.cut(["cat"], 0) == [Cut("", 0, 1, 0)]


@given(st.text(max_size=200), st.integers(0, 40))
def test_what_is_kept_is_the_beginning_and_fits(tokenizer: TextTokenizer, text: str, limit: int) -> None:
    if any("\ud800" <= character <= "\udfff" for character in text):
        return
    cut = tokenizer.cut([text], limit)[0]
    assert text.startswith(cut.text)
    assert cut.seen == min(cut.total, limit)
    assert tokenizer.tally([cut.text])[0].tokens <= limit


def test_tally(tokenizer: TextTokenizer) -> None:
    known, unknown, empty = tokenizer.tally(["the cat", "cat \u732b\u54aa", ""])
    assert (known.tokens, known.unknown_share) == (2, 0)
    assert unknown.unknown_share == pytest.approx(2 / 3)
    assert (empty.tokens, empty.unknown_share) == (0, 0)
    assert (tokenizer.special_tokens(pair=False), tokenizer.special_tokens(pair=True)) == (2, 3)


def test_a_tokenizer_without_a_limit_reads_everything(tokenizer: TextTokenizer) -> None:
    assert tokenizer.max_tokens == 256
    unlimited = Tokenizer.from_file(str(BUNDLED / "all-MiniLM-L6-v2" / "tokenizer.json"))
    assert TextTokenizer(unlimited).max_tokens == sys.maxsize


def test_a_unigram_tokenizer_knows_what_it_does_not_know() -> None:
    loaded = Tokenizer(Unigram([("<unk>", 0.0), ("cat", -1.0), ("dog", -1.0)], unk_id=0, byte_fallback=False))
    tally = TextTokenizer(loaded).tally(["catzdog"])[0]
    assert (tally.tokens, tally.unknown) == (3, 1)


@given(st.lists(st.integers(0, 600), max_size=80), st.integers(1, 4096))
def test_batches_hold_everything_once_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = plan_batches(lengths, budget)
    assert sorted(position for batch in batches for position in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[position] for position in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget


def test_of_a_text_far_beyond_the_window_only_the_beginning_is_read(tokenizer: TextTokenizer) -> None:
    long = "word " * 200_000
    began = time.perf_counter()
    cut, mostly_space, special = tokenizer.cut([long, "cat" + " " * 1_000_000, "[SEP]" * 200_000], 100, plain=True)
    assert time.perf_counter() - began < 5
    assert (cut.text, cut.seen) == (("word " * 100).rstrip(), 100)
    assert 100 < cut.total <= 4_001
    assert (mostly_space.seen, mostly_space.total) == (1, 1)
    assert (special.seen, special.total > 100) == (100, True)


def test_what_was_not_looked_at_counts_as_not_read(tokenizer: TextTokenizer) -> None:
    text = "cat" + " " * 50_000 + "dog"
    cut = tokenizer.cut([text], 100)[0]
    assert (cut.text.strip(), cut.seen, cut.total) == ("cat", 1, 2)
    assert tokenizer.cut([text], sys.maxsize)[0] == Cut(text, 2, 2, known=2)


def test_white_space_before_a_text_takes_no_room(tokenizer: TextTokenizer) -> None:
    text = " " * 50_000 + "cat" + "\n" * 50_000
    for cut in (*tokenizer.cut([text], 100), tokenizer.cut_query(text, 100)):
        assert (cut.text.strip(), cut.seen, cut.total) == ("cat", 1, 1)


def test_texts_of_a_usual_length_are_counted_whole(tokenizer: TextTokenizer) -> None:
    assert tokenizer.cut(["word " * 3_999], 10)[0].total == 3_999
