"""Pairs made of texts that bring their own question: nothing is found by copying, nothing of a closed licence is taken."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from judged import write

SCRIPT = Path(__file__).parents[2] / "scripts" / "pair_texts.py"
sys.path.insert(0, str(SCRIPT.parent))

import pair_texts  # noqa: E402  # a script, not a module of the package

FUNCTION = '''
def {name}(values, limit):
    """{summary}

    And more about it.
    """
    kept = [value for value in values if value < limit]
    total = sum(kept) / max(len(kept), 1)
    return kept, total
'''


def parsed(name: str, summary: str) -> ast.FunctionDef:
    (function,) = ast.parse(FUNCTION.format(name=name, summary=summary)).body
    assert isinstance(function, ast.FunctionDef)
    return function


def test_a_function_s_question_does_not_stand_in_its_text() -> None:
    kinds = set()
    for number in range(40):
        summary = f"Keep the values below limit number {number}."
        pair = pair_texts.question(parsed("keep_values_below", summary))
        assert pair is not None
        words = pair.question.removeprefix("python ").lower()
        if words == "keep values below":
            kinds.add("name")
            assert pair.text.startswith("def f(values, limit):")
            assert summary.rstrip(".") in pair.text
        else:
            kinds.add("summary")
            assert words == summary.lower().rstrip(".")
            assert "Keep the values" not in pair.text
        ast.parse(pair.text)
    assert kinds == {"name", "summary"}


def test_a_function_that_calls_itself_is_not_asked_for_by_its_name() -> None:
    kept = 0
    for number in range(40):
        function = parsed("keep_values_below", f"Keep the values below limit number {number}.")
        function.body.insert(1, ast.parse("keep_values_below(values, limit - 1)").body[0])
        pair = pair_texts.question(function)
        kept += pair is not None
        assert pair is None or "keep values below" not in pair.question
    assert 5 < kept < 35


@pytest.mark.parametrize("summary", ["Too short", "word " * 30, "Ünïcode is left out of these pairs"])
def test_functions_that_ask_no_question_are_left_out(summary: str) -> None:
    assert pair_texts.question(parsed("keep", summary)) is None


def test_installed_packages_are_read_and_closed_licences_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(list(pair_texts.functions("numpy"))) > 100
    closed = SimpleNamespace(metadata=SimpleNamespace(json={"license": "GPL-3.0"}))
    monkeypatch.setattr("importlib.metadata.distribution", lambda _name: closed)
    with pytest.raises(SystemExit, match="no permissive licence"):
        list(pair_texts.functions("closed"))


def test_titles_become_a_folder_that_can_be_evaluated(tmp_path: Path) -> None:
    abstract = "The quick brown fox is studied at length. " * 10
    rows = [{"_id": str(i), "title": f"On the study of foxes part {i}.", "text": f"{i} {abstract}"} for i in range(5)]
    rows += [{"_id": "a", "title": "Short", "text": abstract}, {"_id": "b", "title": rows[0]["title"], "text": "brief"}]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [sys.executable, str(SCRIPT), "titles", str(tmp_path / "in"), str(tmp_path / "out"), "--limit", "4"]
    assert "4 pairs" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "exists already" in again.stderr
    from search.evaluation.datasets import load_dataset

    dataset = load_dataset(tmp_path / "out", "train")
    assert (len(dataset.documents), len(dataset.queries), len(dataset.qrels)) == (4, 4, 4)
    assert all(text.startswith("On the study of foxes part") and not text.endswith(".") for text in dataset.queries.values())


def test_sentences_ask_for_the_text_without_them(tmp_path: Path) -> None:
    texts = [" ".join(f"Sentence {place} of text {number} says that it is so." for place in range(9)) for number in range(20)]
    rows = [{"_id": str(number), "title": "", "text": text} for number, text in enumerate([*texts, "Too short. For this."])]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = list(pair_texts.sentences(tmp_path))
    assert len(pairs) == 20
    for text, pair in zip(texts, pairs, strict=True):
        assert pair.question in text
        assert pair.question not in pair.text
        assert sorted(f"{pair.question} {pair.text}".split()) == sorted(text.split())
    assert {pair.question.count(".") for pair in pairs} == {1, 2, 3}
    assert pairs == list(pair_texts.sentences(tmp_path))


def test_answers_are_judged_passages_of_a_length_that_is_read_whole(tmp_path: Path) -> None:
    words = {"fits": 100, "longest": 230, "long": 231, "short": 19, "wrong": 100}
    corpus = [{"_id": name, "title": "", "text": f"{name} " * count} for name, count in words.items()]
    queries = [{"_id": f"q {name}", "text": f"what is {name}"} for name in words]
    qrels = "".join(f"q {name}\t{name}\t{int(name != 'wrong')}\n" for name in words) + "q fits\tgone\t1\n"
    pairs = list(pair_texts.answers(write(tmp_path, corpus, queries, qrels), "test"))
    assert [pair.question for pair in pairs] == ["what is fits", "what is longest"]
    assert [len(pair.text.split()) for pair in pairs] == [100, 230]
