"""The demo reads the standard library without importing it and finds its way in it."""

import ast
import shutil
import sys
import sysconfig
from pathlib import Path

import pytest
from chatting import Answer, ChatStandIn
from typer.testing import CliRunner, Result

from search.cli import demo
from search.cli.app import app
from search.errors import SearchError


def test_the_standard_library_holds_what_the_questions_ask_for() -> None:
    documents = {document.id: document for document in demo.standard_library()}
    assert len(documents) >= 3000
    for question in demo.QUESTIONS:
        assert any(question.answered_by(name) for name in documents), question
    assert documents["shutil.copytree"].title.startswith("shutil.copytree(src, dst")
    assert documents["shutil.copytree"].metadata["kind"] == "function"
    assert documents["json"].text.startswith("JSON (JavaScript Object Notation)")
    private = [name for name in documents if any(part.startswith("_") for part in name.split("."))]
    assert not private
    assert not {"antigravity", "this", "turtledemo.clock"} & set(sys.modules)  # nothing is imported


def test_a_parser_that_miscounts_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.11 does, when another thread parses at the same moment."""
    parse, faults = ast.parse, iter([SystemError("AST constructor recursion depth mismatch (before=147, after=71)")])

    def miscounts_once(source: bytes) -> ast.Module:
        for fault in faults:
            raise fault
        return parse(source)

    monkeypatch.setattr(ast, "parse", miscounts_once)
    assert next(demo.standard_library()).id


def test_a_python_without_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "template.py").write_text("def {")
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(SearchError, match="no source"):
        list(demo.standard_library())


def test_the_demo_from_end_to_end_on_part_of_the_library(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    in_full: bool,  # noqa: FBT001  # a fixture
) -> None:
    real = Path(sysconfig.get_paths()["stdlib"])
    names = ["gzip.py", "tempfile.py", "bisect.py", "functools.py"]
    if in_full:
        names += ["shutil.py", "difflib.py", "smtplib.py", "json/__init__.py"]
    for name in names:
        (tmp_path / "lib" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(real / name, tmp_path / "lib" / name)
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path / "lib")})
    first = CliRunner().invoke(app, ["demo", "--data-dir", str(tmp_path / "my data")], catch_exceptions=False)
    assert first.exit_code == 0
    answered = int(first.output.split(" of 10 expected answers in the top 3")[0].rsplit(maxsplit=1)[-1])
    assert answered >= len(names) - 1  # of those that these files hold, one each
    assert "4. temporary directory that is deleted afterwards\n" in first.output
    assert f"search query \"read a file line by line\" --collection python-stdlib --data-dir '{tmp_path}/my data'" in first.output

    def refuse() -> None:
        message = "the second run must use the index that is there"
        raise AssertionError(message)

    monkeypatch.setattr(demo, "standard_library", refuse)
    few = {"SEARCH_DEPTH": "5"}  # passages to rerank: that the answers are found is known by now
    second = CliRunner().invoke(app, ["demo", "--data-dir", str(tmp_path / "my data")], env=few, catch_exceptions=False)
    assert second.output.count("expected") == first.output.count("expected")

    monkeypatch.undo()  # a collection that is gone is made again
    (tmp_path / "less").mkdir()  # two files are enough for it
    for name in ("gzip.py", "tempfile.py"):
        shutil.copy(real / name, tmp_path / "less" / name)
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path / "less")})
    shutil.rmtree(tmp_path / "my data" / "collections")
    third = CliRunner().invoke(app, ["demo", "--data-dir", str(tmp_path / "my data")], env=few, catch_exceptions=False)
    assert third.output.count("expected") == first.output.count("expected")


def asked(data: Path, **variables: str) -> Result:
    variables["SEARCH_DEPTH"] = "5"
    return CliRunner().invoke(app, ["demo", "--data-dir", str(data)], env=variables, catch_exceptions=False)


def test_the_demo_says_what_became_of_reranking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path(sysconfig.get_paths()["stdlib"])
    (tmp_path / "lib").mkdir()
    for name in ("gzip.py", "bisect.py"):
        shutil.copy(real / name, tmp_path / "lib" / name)
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path / "lib")})
    data = tmp_path / "data"
    switched_off = asked(data, SEARCH_RERANKER__KIND="none")
    assert switched_off.exit_code == 0
    assert switched_off.output.count("   not reranked: reranking is switched off\n") == 10
    assert "after reranking" not in switched_off.output
    with ChatStandIn() as server:
        chat = {"SEARCH_RERANKER__KIND": "chat", "SEARCH_RERANKER__URL": server.url, "SEARCH_RERANKER__MODEL": "m"}
        server.planted += [Answer(status=500)] * 9
        once = asked(data, **chat)
    assert once.exit_code == 0
    failed = f"   not reranked: the reranker m failed: {server.url}/chat/completions answered 500; it is busy or failing"
    assert (once.output.count(failed), once.output.count("after reranking")) == (9, 1)
    never = asked(data, **chat)
    assert never.exit_code == 1
    assert never.output.count("   not reranked: the reranker m failed: ") == 10
    assert "No question was reranked; search doctor says what to mend.\n" in never.output
