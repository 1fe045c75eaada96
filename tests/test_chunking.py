"""Passages fit the budget, lie where they say, and together hold everything."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.chunking import Chunker
from search.documents import Document
from search.embedding import FastEmbedEmbedder
from search.inference.tokens import TextTokenizer


@pytest.fixture(scope="module")
def tokenizer(bundled_embedder: FastEmbedEmbedder) -> TextTokenizer:
    return bundled_embedder.tokenizer


def texts(tokenizer: TextTokenizer, text: str, tokens: int, overlap: int = 0, title: str = "") -> list[str]:
    return [chunk.text for chunk in Chunker(tokenizer, tokens, overlap).chunk(Document(id="d", text=text, title=title))]


def test_a_short_document_is_one_passage(tokenizer: TextTokenizer) -> None:
    assert texts(tokenizer, "  One sentence.\nAnother one.  ", 200) == ["One sentence.\nAnother one."]


def test_sentences_stay_whole(tokenizer: TextTokenizer) -> None:
    text = "The cat sat down. The dog ran off! Was it afraid? Nobody knows."
    assert texts(tokenizer, text, 10) == ["The cat sat down. The dog ran off!", "Was it afraid? Nobody knows."]


def test_chinese_sentences_end_without_a_space(tokenizer: TextTokenizer) -> None:
    assert texts(tokenizer, "我是人。你是人。他是人。", 8) == ["我是人。你是人。", "他是人。"]


def test_overlap_repeats_whole_sentences(tokenizer: TextTokenizer) -> None:
    text = "One is here. Two is here. Three is here. Four is here. Five is here."
    assert texts(tokenizer, text, 8) == ["One is here. Two is here.", "Three is here. Four is here.", "Five is here."]
    assert texts(tokenizer, text, 8, overlap=4) == [
        "One is here. Two is here.",
        "Two is here. Three is here.",
        "Three is here. Four is here.",
        "Four is here. Five is here.",
    ]


def test_a_sentence_longer_than_the_budget_is_cut_between_tokens(tokenizer: TextTokenizer) -> None:
    words = [f"word{i}" for i in range(50)]
    pieces = texts(tokenizer, " ".join(words), 16)
    assert len(pieces) > 3
    assert " ".join(pieces) == " ".join(words)


def test_a_word_longer_than_the_budget_is_cut_within(tokenizer: TextTokenizer) -> None:
    word = "unbelievably" * 8
    pieces = texts(tokenizer, word, 8)
    assert len(pieces) > 3
    assert "".join(pieces) == word


def test_the_title_counts_but_takes_at_most_half(tokenizer: TextTokenizer) -> None:
    text = " ".join(f"This is sentence {i}." for i in range(40))
    untitled, titled, overwhelmed = (texts(tokenizer, text, 40, title=title) for title in ("", "Two words", "word " * 100))
    assert len(untitled) < len(titled) < len(overwhelmed)
    assert all(tokenizer.tally([f"Two words {piece}"])[0].tokens <= 40 for piece in titled)
    assert all(tokenizer.tally([piece])[0].tokens <= 20 for piece in overwhelmed)


def test_a_passage_with_its_title_fits_the_model(tokenizer: TextTokenizer) -> None:
    document = Document(id="d", text=" ".join(f"This is sentence {i}." for i in range(200)), title="word " * 400)
    passages = [chunk.passage for chunk in Chunker(tokenizer, 200, 30).chunk(document)]
    assert all(tally.tokens <= 200 for tally in tokenizer.tally(passages))
    assert len({passage[-30:] for passage in passages}) == len(passages)


def test_passages_never_exceed_the_model(tokenizer: TextTokenizer) -> None:
    text = " ".join(f"This is sentence number {i} of many." for i in range(400))
    assert all(tally.tokens <= 254 for tally in tokenizer.tally(texts(tokenizer, text, 10_000)))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("filler", ["\n", " ", ". ", ".\n\n ", "\u3002", "\n\t", "\u200b\n"])
def test_many_characters_of_nothing_take_no_time(tokenizer: TextTokenizer, filler: str) -> None:
    text = filler * (300_000 // len(filler)) + " end"
    pieces = texts(tokenizer, text, 200)
    assert pieces[-1].endswith("end")


WORDS = st.sampled_from(
    ["cat", "dog.", "Paris!", "unbelievably", "\n", "\n\n", "  ", "世界。", "🙂", "e\u0301", "x" * 150, "1,000.5", "ok?"]
)


@given(st.lists(WORDS, min_size=1, max_size=120).map(" ".join).filter(str.strip), st.integers(12, 60), st.integers(0, 40))
@settings(deadline=None, max_examples=150)
def test_everything_is_somewhere_and_nothing_is_too_long(tokenizer: TextTokenizer, text: str, tokens: int, overlap: int) -> None:
    document = Document(id="d", text=text)
    chunks = list(Chunker(tokenizer, tokens, overlap).chunk(document))
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    covered = [False] * len(text)
    for chunk in chunks:
        assert chunk.text == text[chunk.start : chunk.end]
        assert chunk.text.strip()
        covered[chunk.start : chunk.end] = [True] * (chunk.end - chunk.start)
    assert all(seen or character.isspace() for seen, character in zip(covered, text, strict=True))
    starts = [chunk.start for chunk in chunks]
    assert starts == sorted(set(starts))
    assert all(tally.tokens <= tokens for tally in tokenizer.tally([chunk.text for chunk in chunks]))
