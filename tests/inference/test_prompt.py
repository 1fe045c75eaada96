"""A prompt is the published template around the texts, whatever the texts are and however long."""

import json
from string import Formatter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from languages import GOLDEN
from tokenizers import Tokenizer

from search.errors import UnsupportedModel
from search.inference.prompt import Prompt
from search.inference.tokens import TextTokenizer
from search.reranking.recipe import Recipe, find, names

TOKENIZER = TextTokenizer(Tokenizer.from_str(json.dumps(GOLDEN["tokenizer"])))
RAW = Tokenizer.from_str(json.dumps(GOLDEN["tokenizer"]))
ZERANK = "<|im_start|>system\n{query}<|im_end|>\n<|im_start|>user\n{document}<|im_end|>\n<|im_start|>assistant\n"
SPECIAL = {"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"}
TEXTS = st.text(max_size=60) | st.lists(
    st.sampled_from([*sorted(SPECIAL), "cat ", "<|im_", "end|>", "<", "\n", "é"]), max_size=8
).map("".join)


def special(ids: list[int]) -> list[str]:
    tokens = [RAW.id_to_token(number) for number in ids]
    return [token for token in tokens if token in SPECIAL]


def test_published_templates_to_the_byte() -> None:
    for name in ("zerank-1", "zerank-1-small", "zerank-2"):
        recipe = find(name)
        assert recipe.prompt() == ZERANK
        assert recipe.strip
        assert recipe.model_dump()["head"] == {"kind": "token_logits", "tokens": {"Yes": 1.0}, "ids": {"Yes": 9454}}
        assert recipe.probability(5.4062) == pytest.approx(0.7467, abs=1e-4)
        told = recipe.model_copy(update={"instruction": "Prefer {new} ones."})
        assert told.prompt().format(query="cats", document="A cat.") == (
            "<|im_start|>system\n<query>cats</query>\n<instruction>Prefer {new} ones.</instruction><|im_end|>\n"
            "<|im_start|>user\nA cat.<|im_end|>\n<|im_start|>assistant\n"
        )
    assert [golden.score for golden in find("zerank-2").golden] == [5.4062, -4.5]
    assert find("qwen3-reranker").prompt().format(query="cats", document="A cat.") == (
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct provided. "
        'Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
        "<Instruct>: Given a web search query, retrieve relevant passages that answer the query\n<Query>: cats\n"
        "<Document>: A cat.<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )


def test_the_tokens_are_those_of_the_whole_text() -> None:
    for name in names():
        recipe = find(name)
        if recipe.head is None or recipe.head.kind == "listwise":
            continue
        values = {slot: f" some {slot}.\n" for _, slot, _, _ in Formatter().parse(recipe.prompt()) if slot}
        prompt = Prompt(recipe.prompt(), TOKENIZER, max_tokens=4000)
        assert prompt.encode([values])[0].ids == RAW.encode(recipe.prompt().format(**values)).ids


@settings(deadline=None, max_examples=200)
@given(query=TEXTS, document=TEXTS, limit=st.integers(41, 90))
def test_no_text_can_break_out_of_its_place(query: str, document: str, limit: int) -> None:
    prompt = Prompt(ZERANK, TOKENIZER, max_tokens=limit)
    encoded = prompt.encode([{"query": query, "document": document}])[0]
    assert special(encoded.ids) == ["<|im_start|>", "<|im_end|>", "<|im_start|>", "<|im_end|>", "<|im_start|>"]
    assert len(encoded.ids) <= limit
    suffix = RAW.encode("<|im_end|>\n<|im_start|>assistant\n").ids
    assert encoded.ids[-len(suffix) :] == suffix
    assert encoded.ids[0] == RAW.token_to_id("<|im_start|>")


@settings(deadline=None, max_examples=100)
@given(query=st.text(max_size=200), document=st.text(max_size=400), limit=st.integers(41, 200))
def test_what_is_cut_is_counted(query: str, document: str, limit: int) -> None:
    prompt = Prompt(ZERANK, TOKENIZER, max_tokens=limit)
    encoded = prompt.encode([{"query": query, "document": document}])[0]
    empty = len(prompt.encode([{"query": "", "document": ""}])[0].ids)
    for slot in ("query", "document"):
        assert 0 <= encoded.seen[slot] <= encoded.total[slot]
    if encoded.seen["query"] < encoded.total["query"]:  # only beyond half of the room, up to what a cut itself costs
        assert encoded.total["query"] > (limit - empty) // 2 - 16
    if len(RAW.encode(ZERANK.format(query=query, document=document)).ids) <= limit and not special(
        RAW.encode(query + document).ids
    ):
        assert encoded.seen == encoded.total


def test_a_long_document_is_cut_at_its_end_and_nothing_else() -> None:
    prompt = Prompt(ZERANK, TOKENIZER, max_tokens=60)
    document = " ".join(f"word{n}" for n in range(500))
    encoded = prompt.encode([{"query": "the cat", "document": document}])[0]
    text = RAW.decode(encoded.ids, skip_special_tokens=False)
    before, after = "user\n", "<|im_end|>\n<|im_start|>assistant\n"
    kept = text.partition(before)[2].removesuffix(after)
    assert text.startswith("<|im_start|>system\nthe cat<|im_end|>\n<|im_start|>user\n")
    assert text.endswith(after)
    assert document.startswith(kept)
    assert 55 <= len(encoded.ids) <= 60
    assert encoded.seen["document"] == len(RAW.encode(kept).ids)
    assert encoded.total["document"] == len(RAW.encode(document).ids)
    assert encoded.seen["query"] == encoded.total["query"] == len(RAW.encode("the cat").ids)


def test_a_long_document_is_read_twice_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = Prompt(ZERANK, TOKENIZER, max_tokens=60)
    encode, calls = prompt._encode, []

    def counted(rows: Any) -> Any:
        calls.append(len(rows))
        return encode(rows)

    monkeypatch.setattr(prompt, "_encode", counted)
    prompt.encode([{"query": "the cat", "document": " ".join(f"word{n}" for n in range(500))}])
    assert calls == [1, 1]


def test_passages_share_what_room_there_is() -> None:
    prompt = Prompt("Query: {query}\nA: {a}\nB: {b}\n", TOKENIZER, max_tokens=100)
    long, short = "dog " * 500, "cat"
    encoded = prompt.encode([{"query": "q", "a": long, "b": short}, {"query": "q", "a": long, "b": long}])
    assert encoded[0].seen["b"] == encoded[0].total["b"]
    assert encoded[0].seen["a"] > 50
    assert abs(encoded[1].seen["a"] - encoded[1].seen["b"]) <= 1
    assert all(90 <= len(one.ids) <= 100 for one in encoded)


def test_the_span_of_the_query() -> None:
    prompt = Prompt("Passage: {document}\nQuestion: {query}", TOKENIZER, max_tokens=100)
    encoded = prompt.encode([{"query": "What is the answer?", "document": "a cat"}])[0]
    assert encoded.query.stop == len(encoded.ids)
    assert RAW.decode(encoded.ids[encoded.query.start :]).strip() == "What is the answer?"


def test_a_document_of_a_million_characters() -> None:
    prompt = Prompt(ZERANK, TOKENIZER, max_tokens=100)
    for document in ("word " * 200_000, "a" * 1_000_000, "<|im_end|>" * 100_000):
        encoded = prompt.encode([{"query": "cat", "document": document}])[0]
        assert len(encoded.ids) <= 100
        assert encoded.total["document"] > 10 * encoded.seen["document"]  # at least: it is not read to its end


def test_a_template_that_leaves_no_room() -> None:
    with pytest.raises(UnsupportedModel, match="at most 30 are allowed; raise max_tokens"):
        Prompt(ZERANK, TOKENIZER, max_tokens=30)


def test_braces_in_an_instruction_are_text() -> None:
    recipe = Recipe.read(
        {
            "head": {"kind": "classification"},
            "template": "{query} {document}",
            "query_with_instruction": "{instruction}: {query}",
            "instruction": "{document} {x} }{",
        },
        "recipe",
    )
    assert recipe.prompt().format(query="q", document="d") == "{document} {x} }{: q d"
