"""Passages fit the budget, lie where they say, and together hold everything."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.documents import Chunk, Document
from search.embedding.dense import FastEmbedEmbedder
from search.index.contract import Payload
from search.index.points import to_document, to_point
from search.inference.tokens import Tally, TextTokenizer
from search.ingestion import chunking
from search.ingestion.chunking import Chunker
from search.passages import has_words
from search.reading.structure import Block, title_of


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


@pytest.mark.parametrize(
    "sentence",
    [
        "\u092f\u0939 \u090f\u0915 \u0935\u093e\u0915\u094d\u092f \u0939\u0948\u0964",
        "\u092f\u0939 \u0936\u094d\u0932\u094b\u0915 \u0939\u0948\u0965",
        "\u0647\u0644 \u0647\u0630\u0647 \u062c\u0645\u0644\u0629\u061f",
        "\u06cc\u06c1 \u0627\u06cc\u06a9 \u062c\u0645\u0644\u06c1 \u06c1\u06d2\u06d4",
        "\u054d\u0561 \u0576\u0561\u056d\u0561\u0564\u0561\u057d\u0578\u0582\u0569\u0575\u0578\u0582\u0576 \u0567\u0589",
        "\u12ed\u1205 \u12d3\u1228\u134d\u1270 \u1290\u1308\u122d \u1290\u12cd\u1362",
        "\u12ed\u1205 \u121d\u1295\u12f5\u1295 \u1290\u12cd\u1367",
        "\u1012\u102b\u1000 \u1005\u102c\u1000\u103c\u1031\u102c\u1004\u103a\u1038\u1015\u102b\u104b",
        "\u1793\u17c1\u17c7\u1787\u17b6\u1794\u17d2\u179a\u1799\u17c4\u1782\u17d4",
    ],
)
def test_sentences_end_in_every_script(sentence: str, tokenizer: TextTokenizer) -> None:
    text = " ".join([sentence] * 9)
    passages = texts(tokenizer, text, 2 * tokenizer.tally([sentence])[0].tokens + 1)
    assert len(passages) > 1
    assert {passage.replace(sentence, "").strip() for passage in passages} == {""}
    chunker = Chunker(tokenizer, 60, 0)
    assert [chunker.state(Document("d", one))[-2:] for one in (text, text[:20], "Any. " * 20)] == ["/4", "/0", "/3"]


@pytest.mark.parametrize(
    ("before", "sentence"),
    [
        ("১।", "প্রথম কাজ শেষ হয়েছে।"),
        ("(१२।", "पहला काम पूरा हुआ।"),
        ("\u06f1\u06d4", "\u06cc\u06c1 \u0627\u06cc\u06a9 \u062c\u0645\u0644\u06c1 \u06c1\u06d2\u06d4"),
        ("၁။", "ဒါက စာကြောင်းပါ။"),
        ("ក។", "នេះជាប្រយោគ។"),
        ("1\u0589", "\u054d\u0561 \u0576\u0561\u056d\u0561\u0564\u0561\u057d\u0578\u0582\u0569\u0575\u0578\u0582\u0576\u0589"),
        ("፩።", "ይህ ዓረፍተ ነገር ነው።"),
    ],
)
def test_a_number_stays_with_its_item_in_every_script(before: str, sentence: str, tokenizer: TextTokenizer) -> None:
    item = f"{before} {sentence}"
    text = "\n".join([item] * 9)
    passages = texts(tokenizer, text, 2 * tokenizer.tally([item])[0].tokens - 1)
    assert passages == [item] * 9
    assert Chunker(tokenizer, 60, 0).state(Document("d", text))[-2:] == "/5"


@pytest.mark.parametrize("verse", ["यह श्लोक है ॥ १२॥", "ក្រដាស ប៊ិច សៀវភៅ ។ល។"])
def test_what_has_the_same_sign_before_its_last_word_is_cut_behind_that(verse: str, tokenizer: TextTokenizer) -> None:
    text = " ".join([verse] * 9)
    assert texts(tokenizer, text, 2 * tokenizer.tally([verse])[0].tokens - 1) == [verse] * 9
    assert Chunker(tokenizer, 20, 0).state(Document("d", text))[-2:] == "/5"


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


GUIDE = """# Guide

Cats are small. Dogs are not.

## Install

### Windows

Run the installer. Then restart.

```python
# no heading
x = 1

y = 2
```

After the code.

## Use

Just use it.
"""


def chunks_of(tokenizer: TextTokenizer, document: Document, tokens: int = 200) -> list[Chunk]:
    return list(Chunker(tokenizer, tokens, 30).chunk(document))


def test_no_passage_reaches_over_a_heading(tokenizer: TextTokenizer) -> None:
    guide = Document(id="d", text=GUIDE, title="Guide", media_type="text/markdown")
    one, two, three = chunks_of(tokenizer, guide)
    assert (one.text, one.headings, one.title) == ("# Guide\n\nCats are small. Dogs are not.", ("Guide",), "Guide")
    assert two.headings == ("Guide", "Install", "Windows")
    assert two.title == "Guide \u203a Install \u203a Windows"  # what the models read in front of the text
    assert two.text.startswith("## Install\n\n### Windows\n\nRun")  # a heading without a text of its own joins the next
    assert two.text.endswith("After the code.")
    assert (three.text, three.headings) == ("## Use\n\nJust use it.", ("Guide", "Use"))
    assert all(GUIDE[chunk.start : chunk.end] == chunk.text for chunk in (one, two, three))
    plain = chunks_of(tokenizer, Document(id="d", text=GUIDE, title="Guide"))
    assert [(chunk.text, chunk.headings, chunk.title) for chunk in plain] == [(GUIDE.strip(), (), "Guide")]


def test_code_stays_whole_where_it_fits_and_is_cut_between_lines(tokenizer: TextTokenizer) -> None:
    code = "```\n" + "\n".join(f"value_{i} = {i} . 5" for i in range(12)) + "\n```"
    document = Document(id="d", text=f"One sentence here. Two is here.\n\n{code}\n\nThe end is here.", media_type="text/markdown")
    tokens = tokenizer.tally([code])[0].tokens
    whole = [chunk.text for chunk in chunks_of(tokenizer, document, tokens + 2)]
    assert whole == ["One sentence here. Two is here.", code, "The end is here."]
    pieces = [chunk.text for chunk in Chunker(tokenizer, tokens // 2, 0).chunk(document)]
    assert len(pieces) > 2
    lines = [line for piece in pieces for line in piece.split("\n") if line.startswith("value_")]
    assert lines == [f"value_{i} = {i} . 5" for i in range(12)]


def test_a_table_is_cut_between_rows(tokenizer: TextTokenizer) -> None:
    rows = [f"| {i} | a cell. And more of it |" for i in range(30)]
    document = Document(id="d", text="| a | b |\n|---|---|\n" + "\n".join(rows), media_type="text/html")
    pieces = [chunk.text for chunk in chunks_of(tokenizer, document, 60)]
    assert len(pieces) > 3
    assert {line for piece in pieces for line in piece.split("\n")} >= set(rows)


@pytest.mark.parametrize(
    ("text", "headings"),
    [
        ("---\ntitle: x\n# no heading\n---\n# Real\ntext", ("Real",)),
        ("Under\n=====\n\ntext", ("Under",)),
        ("# One\n#### Deep\ntext", ("One", "Deep")),
        ("## Two\n# One\ntext", ("One",)),
        ("# *Marked* `words`\ntext", ("*Marked* `words`",)),
        ("#\ntext", ()),
        ("\r\n# One\r\n\r\n## Two\r\ntext\r\n", ("One", "Two")),
        ("> # Quoted\ntext", ()),
        ("    # indented code\ntext", ()),
    ],
)
def test_headings(text: str, headings: tuple[str, ...], tokenizer: TextTokenizer) -> None:
    *_, last = chunks_of(tokenizer, Document(id="d", text=text, media_type="text/markdown"))
    assert last.headings == headings
    assert last.text.endswith("text")


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_lines_may_end_as_on_other_systems(end: str, tokenizer: TextTokenizer) -> None:
    """Front matter, headings, code and sentences are where they are with line feeds."""
    code = "```\n" + "\n".join(f"value_{i} = {i} . 5" for i in range(12)) + "\n```"
    verse = "\n".join(f"line {i} of a verse" for i in range(20))
    text = f"---\ntitle: x\n---\n\n#\nintro\n\nOne \n=====\n\ntext\n\n## Two\n\n{code}\n\n### Three\n\n{verse}\n"
    given = text.replace("\n", end)
    for media_type in ("text/markdown", "text/plain"):
        expected = chunks_of(tokenizer, Document(id="d", text=text, media_type=media_type), 40)
        found = chunks_of(tokenizer, Document(id="d", text=given, media_type=media_type), 40)
        assert [chunk.text.replace(end, "\n") for chunk in found] == [chunk.text for chunk in expected]
        assert [chunk.headings for chunk in found] == [chunk.headings for chunk in expected]
        assert all(given[chunk.start : chunk.end] == chunk.text for chunk in found)
    assert [title_of(one.replace("\n", end)) for one in (text, "Under\n===\ntext", "#\n# One\n")] == ["One", "Under", "One"]


def test_passages_know_their_page(tokenizer: TextTokenizer) -> None:
    text = "\f".join(" ".join(f"This is sentence {i} of page {page}." for i in range(8)) for page in (1, 2, 3))
    found = chunks_of(tokenizer, Document(id="d", text=text, media_type="application/pdf"), 40)
    assert {chunk.page for chunk in found} == {1, 2, 3}
    assert all(f"of page {chunk.page}." in chunk.text.split("\f")[0] for chunk in found)
    assert [chunk.page for chunk in chunks_of(tokenizer, Document(id="d", text="No pages."))] == [None]


def test_japanese_quotes_end_with_their_sentence(tokenizer: TextTokenizer) -> None:
    assert texts(tokenizer, "「私は人。」君も人。彼は人。", 8) == ["「私は人。」", "君も人。彼は人。"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("filler", ["\n", " ", ". ", ".\n\n ", "\u3002", "\n\t", "\u200b\n"])
def test_many_characters_of_nothing_take_no_time(tokenizer: TextTokenizer, filler: str) -> None:
    text = filler * (300_000 // len(filler)) + " end"
    pieces = texts(tokenizer, text, 200)
    assert pieces[-1].endswith("end")


@pytest.mark.timeout(5)
def test_how_long_a_line_is_does_not_matter_to_where_its_sentences_end() -> None:
    text = "x" * 50_000_000 + " It ends." * 20_000 + " Dr. No."
    ends = [found for found in chunking._SENTENCE.finditer(text, 50_000_000) if not chunking._is_no_end(text, found)]
    assert len(ends) == 20_000


WORDS = st.sampled_from(
    [
        *(
            "cat",
            "dog.",
            "Paris!",
            "unbelievably",
            "\n",
            "\n\n",
            "  ",
            "世界。",
            "🙂",
            "e\u0301",
            "x" * 150,
            "1,000.5",
            "ok?",
            "\f",
            "\r\n",
        ),
        *("\n# Head\n", "\n```\n", "\n| a | b |\n|---|---|\n| c | d |\n", "\n---\n", "\n## ", "\n    code\n", "- x\n"),
    ]
)
KINDS = st.sampled_from(["text/plain", "text/markdown"])


@given(st.lists(WORDS, min_size=1, max_size=120).map(" ".join).filter(str.strip), st.integers(12, 60), st.integers(0, 40), KINDS)
@settings(deadline=None, max_examples=200)
def test_everything_is_somewhere_and_nothing_is_too_long(
    tokenizer: TextTokenizer, text: str, tokens: int, overlap: int, kind: str
) -> None:
    document = Document(id="d", text=text, media_type=kind)
    chunks = list(Chunker(tokenizer, tokens, overlap).chunk(document))
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    covered = [False] * len(text)
    for chunk in chunks:
        assert chunk.text == text[chunk.start : chunk.end]
        assert chunk.text.strip()
        covered[chunk.start : chunk.end] = [True] * (chunk.end - chunk.start)
    without = "".join(" " if seen else character for seen, character in zip(covered, text, strict=True))
    assert not has_words(without) or not has_words(text)
    points = [to_point(chunk, np.zeros(2, np.float32), Tally(1, 0), 1, "r", len(chunks), 1) for chunk in chunks]
    assert to_document([point.payload for point in reversed(points)]) == document
    starts = [chunk.start for chunk in chunks]
    assert starts == sorted(set(starts))
    assert all(tally.tokens <= tokens for tally in tokenizer.tally([chunk.passage for chunk in chunks]))


def test_a_passage_never_holds_the_one_before_it_whole(tokenizer: TextTokenizer) -> None:
    document = Document(id="d", text="\n##  cat dog. dog. cat", media_type="text/markdown")
    chunks = list(Chunker(tokenizer, 13, 5).chunk(document))
    assert [chunk.text for chunk in chunks] == ["##  cat dog.", "dog. cat"]


@pytest.mark.parametrize(
    ("kind", "lead", "below"),
    [
        ("text/x-rst", ".. py:data:: NAME_{}", "\n\n    It sets how many cats there are. More of them are better.\n\n"),
        ("text/html", "module.name_{}(cats, dogs)", "\nIt counts all cats and dogs. More of them are better.\n\n"),
        ("text/markdown", "It is set for a cat or for {} of them:", "\n\n```\ncats = 5\ndogs = 6\n```\n\n"),
        ("text/plain", "name {}", "\n    It counts all cats and dogs. More of them are better.\n"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_no_passage_ends_with_what_announces_the_next_one(
    kind: str, lead: str, below: str, end: str, tokenizer: TextTokenizer
) -> None:
    text = "".join(lead.format(number) + below for number in range(12)).replace("\n", end)
    chunks = [one for tokens in range(60, 90) for one in Chunker(tokenizer, tokens, 12).chunk(Document("d", text, media_type=kind))]
    assert len(chunks) > 60
    words = lead.partition("{}")[0]
    assert not [chunk.text for chunk in chunks if chunk.text.splitlines()[-1].lstrip().startswith(words)]


@pytest.mark.parametrize(
    ("title", "path"),
    [
        ("Guide", ("Guide", "Install")),
        ("tempfile \u2014 Files \u2014 Python 3", ("tempfile \u2014 Files \u2014 Python 3", "Install")),
        ("tempfile(1)", ("`tempfile` (1) page", "Install")),
        ("Temp", ("Temp", "{}", "Install")),
        ("", ("{}", "Install")),
    ],
)
def test_a_heading_that_repeats_the_title_is_not_read_twice(title: str, path: tuple[str, ...], tokenizer: TextTokenizer) -> None:
    heading = {"Guide": "Guide", "tempfile(1)": "`tempfile` (1) page"}.get(title, "``tempfile`` \u2014 Files")
    text = f"# {heading}\n\n## Install\n\nDo it.\n"
    (chunk,) = Chunker(tokenizer, 200, 0).chunk(Document("d", text, title, media_type="text/html"))
    assert chunk.title == " \u203a ".join(path).format(heading)
    assert chunk.headings == (heading, "Install")


def test_a_long_heading_is_not_carried_whole_by_each_passage(tokenizer: TextTokenizer) -> None:
    text = f"# {'long ' * 60_000}\n\n" + "## Below\n\nA sentence is here. And another one.\n\n" * 100
    chunks = list(Chunker(tokenizer, 60, 0).chunk(Document(id="d", text=text, media_type="text/markdown")))
    assert len(chunks) > 100
    assert {len(chunk.headings[0]) for chunk in chunks} == {1000}
    assert chunks[-1].headings[0].endswith("…")
    assert chunks[-1].headings[1] == "Below"
    assert sum(len(chunk.title) for chunk in chunks) < 1_000_000
    assert "".join(chunk.before + chunk.text + chunk.after for chunk in chunks) == text


# Pieces worth finding


@pytest.mark.parametrize("letters", ["\u0436", "a", "ACGT", "/path-of/Words", "LongIdentifier"])
def test_a_word_without_end_is_bounded_in_characters(letters: str, tokenizer: TextTokenizer) -> None:
    word = letters * (500_000 // len(letters))  # outside the vocabulary: one token, whatever its length
    pieces = texts(tokenizer, f"Before it. {word} Behind it.", 50)
    assert max(map(len, pieces)) <= 50 * 20
    assert pieces[0].startswith("Before it.")
    assert pieces[-1].endswith("Behind it.")
    assert "".join(pieces).count(letters[-1]) == word.count(letters[-1]) + "Before it.Behind it.".count(letters[-1])


def test_a_passage_without_words_is_none(tokenizer: TextTokenizer) -> None:
    markdown = Document("d", "![x](a.png)\n\n# Top\n\nText.\n\n## Below\n\n---\n\n![y](b.png)\n", media_type="text/markdown")
    chunks = list(Chunker(tokenizer, 16, 0).chunk(markdown))
    assert [(chunk.number, chunk.text) for chunk in chunks] == [(0, "# Top\n\nText."), (1, "## Below\n\n---")]
    assert to_document([stored(chunk, len(chunks)) for chunk in chunks]) == markdown
    for text in ("| --- |\n***", "\U0001f642", "Q" * 400, "---\ntitle: A\n---", "<!-- x -->"):  # a document keeps something
        alone = list(Chunker(tokenizer, 200, 0).chunk(Document("d", text, media_type="text/markdown")))
        assert "".join(chunk.before + chunk.text + chunk.after for chunk in alone) == text


def test_letters_that_say_nothing_divide_passages(tokenizer: TextTokenizer) -> None:
    blob = "QUJDREVGR0hJSktMTU5P" * 50
    document = Document("d", f"Before it.\n{blob}\nBehind it.")
    chunks = list(Chunker(tokenizer, 200, 0).chunk(document))
    assert [chunk.text for chunk in chunks] == ["Before it.", "Behind it."]
    assert to_document([stored(chunk, len(chunks)) for chunk in chunks]) == document


@pytest.mark.parametrize(
    ("kind", "hidden"),
    [
        ("text/x-rst", ".. note to us\n"),
        ("text/x-rst", ".. _anchor:\n"),
        ("text/x-org", "# note to us\n"),
        ("text/asciidoc", "// note to us\n[[anchor]]\n"),
        ("text/x-tex", "% note to us\n"),
        ("text/x-typst", "// note to us\n"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_no_model_reads_what_is_hidden_between_two_paragraphs(kind: str, hidden: str, end: str, tokenizer: TextTokenizer) -> None:
    text = f"The first one.\n\n{hidden}\nThe second one.\n".replace("\n", end)
    document = Document("d", text, media_type=kind)
    chunks = list(Chunker(tokenizer, 200, 0).chunk(document))
    assert [chunk.passage.strip() for chunk in chunks] == ["The first one.", "The second one."]
    assert to_document([stored(chunk, len(chunks)) for chunk in chunks]) == document
    assert Chunker(tokenizer, 200, 0).state(document).endswith("/readable/2")


def test_a_comment_between_two_paragraphs_of_markdown_divides_none(tokenizer: TextTokenizer) -> None:
    document = Document("d", "The first one.\n\n<!-- note to us -->\n\nThe second one.", media_type="text/markdown")
    (chunk,) = Chunker(tokenizer, 200, 0).chunk(document)
    assert chunk.passage.split() == ["The", "first", "one.", "The", "second", "one."]
    assert Chunker(tokenizer, 200, 0).state(document).endswith("/readable")


def test_front_matter_is_no_passage_and_comes_back(tokenizer: TextTokenizer) -> None:
    document = Document("d", "---\r\ntitle: A\r\n---\r\n\r\nText.\r\n", "A", media_type="text/markdown")
    chunks = list(Chunker(tokenizer, 200, 0).chunk(document))
    assert [chunk.text for chunk in chunks] == ["Text."]
    assert to_document([stored(chunk, len(chunks)) for chunk in chunks]) == document


def stored(chunk: Chunk, chunks: int) -> Payload:
    return to_point(chunk, np.zeros(4, np.float32), Tally(1, 0), 512, "r", chunks, 1).payload


def test_only_documents_with_something_to_clean_are_new_ones(tokenizer: TextTokenizer) -> None:
    chunker = Chunker(tokenizer, 200, 30)
    as_before = [("A text.", "text/plain"), ("# A\n\nText [1] of it.", "text/markdown"), ("a ![x](y)", "text/plain")]
    assert [chunker.state(Document("d", text, media_type=kind)) for text, kind in as_before] == [
        "200/30",
        "200/30/text/markdown",
        "200/30",
    ]
    for text, kind in [
        ("eﬃcient", "text/plain"),
        ("---\na: 1\n---\nx", "text/markdown"),
        ("![x](y) z", "text/markdown"),
        ("QUJDREVGR0hJSktMTU5P" * 20 + " x", "text/plain"),
    ]:
        assert chunker.state(Document("d", text, media_type=kind)).removesuffix("/3").endswith("/readable")
    assert chunker.state(Document("d", ".. hidden\n\nx", media_type="text/x-rst")).endswith("/2")  # what was shown before
    for text, kind in [("Q" * 400 + " x", "text/plain"), ("---\na: 1\n---\n" + "Q" * 400, "text/markdown")]:
        assert chunker.state(Document("d", text, media_type=kind))[-2:] in {"/2", "/3"}  # what was hidden before
    several, titled = Document("d", "A text. " * 20), Document("d", "# A", "A", media_type="text/markdown")
    underlined = Document("d", "Aaa\r\n---\r\nA text."), Document("d", "Aaa\n---\nA text.", media_type="text/asciidoc")
    assert [chunker.state(one)[-2:] for one in (several, titled)] == ["/3", "/3"]  # what was divided or called otherwise
    described = Document("d", ".. class:: A\r\n\r\n   " + "A text. " * 90, media_type="text/x-rst")
    assert [chunker.state(one)[-2:] for one in (*underlined, described)] == ["/4"] * 3  # what had no headings


class Watched:
    """A tokenizer that remembers the longest text that it was given."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer
        self.longest = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def offsets(self, text: str) -> list[tuple[int, int]]:
        self.longest = max(self.longest, len(text))
        return self._tokenizer.offsets(text)

    def tally(self, texts: Sequence[str]) -> list[Tally]:
        self.longest = max([self.longest, *map(len, texts)])
        return self._tokenizer.tally(texts)


@pytest.mark.parametrize(
    "text", ["\ufdfa" * 30_000, "word " * 10_000, "x = [" + "1,\n" * 20_000 + "]"], ids=["a word", "words", "lines"]
)
def test_a_sentence_without_end_is_never_read_at_once(text: str, tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain letters of one may be eighteen, and a token takes hundreds of bytes."""
    monkeypatch.setattr(chunking, "_SLICE", 20_000)
    watched: Any = Watched(tokenizer)
    media_type = "text/x-python" if text.startswith("x") else "text/plain"
    chunks = list(Chunker(watched, 100, 0).chunk(Document("d", text, media_type=media_type)))
    assert "".join("".join(chunk.text.split()) for chunk in chunks) == "".join(text.split())
    assert watched.longest <= 18 * 20 * 100  # plain letters, of the longest token, of a passage


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        (
            "Before it.\n\n2.  Click on it. Then wait.\n> iv. Go on.",
            ["Before it.", "2.  Click on it.", "Then wait.", "> iv. Go on."],
        ),
        ("Ask Dr. Weber, cf. p. 12, or J. R. Hart. They know.", ["Ask Dr. Weber, cf. p. 12, or J. R. Hart.", "They know."]),
        ("Das gilt z. B. hier, vgl. Abb. 3. Sonst nicht.", ["Das gilt z. B. hier, vgl. Abb. 3.", "Sonst nicht."]),
        ("There are 5. It is version 3.14. No! Yes.", ["There are 5.", "It is version 3.14.", "No!", "Yes."]),
    ],
)
def test_a_full_stop_within_a_sentence_ends_none(text: str, sentences: list[str], tokenizer: TextTokenizer) -> None:
    found = Chunker(tokenizer, 200, 0)._sentences(text, (Block(0, len(text), is_code=False),), 200)
    assert [text[one.start : one.end] for one in found] == sentences
