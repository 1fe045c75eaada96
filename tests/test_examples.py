"""Each example prints what the page about it says, offline, and leaves alone what is on a server."""

import importlib.util
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from chatting import Answer, ChatStandIn
from standin import QdrantStandIn
from upstream import everywhere

from search import Document, Settings, open_search

ROOT = Path(__file__).parents[1]


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gallery", ROOT / "scripts" / "gallery.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


gallery = loaded()
EXAMPLES: dict[str, str] = gallery.examples()


def test_the_page_shows_every_example() -> None:
    assert sorted(EXAMPLES) == sorted(f"examples/{path.name}" for path in (ROOT / "examples").glob("*.py"))


@pytest.fixture(scope="module")
def theirs() -> Iterator[QdrantStandIn]:
    """A server with a collection of somebody who runs the examples."""
    with QdrantStandIn() as server, pytest.MonkeyPatch.context() as patch:
        over(server, patch)
        with open_search(Settings(reranker={"kind": "none"})) as searcher:
            searcher.ingest([Document(id="tea", text="Green tea is best at 80 degrees.")])
        yield server


def over(server: QdrantStandIn, patch: pytest.MonkeyPatch) -> None:
    for name, value in server.environment.items():
        patch.setenv(name, value)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_prints_what_the_page_says_and_leaves_a_server_alone(
    example: str, theirs: QdrantStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in a shell whose settings name a server, as the tutorial's do in the end."""
    over(theirs, monkeypatch)
    monkeypatch.chdir(tmp_path)  # it finds its files wherever it is started
    before = held()
    printed = gallery.printed(example)
    told = EXAMPLES[example].replace("edge: ", "qdrant: ")
    assert alike(printed, told) if example == "examples/films.py" else printed == told
    assert held() == before
    assert not list(tmp_path.iterdir())


def held() -> tuple[dict[str, str], dict[str, int]]:
    """The aliases of the server that the settings name, and how many passages each collection has."""
    with open_search(Settings(reranker={"kind": "none"})) as searcher:
        engine = searcher.collections
        return engine.aliases(), {name: engine.info(name, exact=True).points for name in engine.names()}


def alike(printed: str, page: str) -> bool:
    """Whether they are the same, or differ by one in a rank behind the first.

    Processors without VNNI round the models' products otherwise, and neighbours that are as good as each other change places: in
    the table of ranks one third place is a second one there.
    """
    pairs = list(zip(*(re.findall(r"\d+|\D+", one) for one in (printed, page)), strict=True))
    ranks = [sorted(map(int, pair)) for pair in pairs if pair[0] != pair[1] and all(map(str.isdigit, pair))]
    others = [pair for pair in pairs if pair[0] != pair[1] and not all(map(str.isdigit, pair))]
    return not others and all(low > 1 and high - low == 1 for low, high in ranks)


def test_what_is_alike() -> None:
    assert alike("a 1 3 3", "a 1 2 3")
    assert not alike("a 1 4", "a 1 2")
    assert not alike("a 2", "a 1")
    assert not alike("b 2", "a 2")


@everywhere
def test_engines_differ_by_settings_alone(standin: QdrantStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    example = "examples/any_engine.py"
    assert gallery.printed(example) == EXAMPLES[example]
    over(standin, monkeypatch)
    assert gallery.printed(example) == EXAMPLES[example].replace("edge: ", "qdrant: ")
    assert held() == ({}, {})


@pytest.mark.parametrize(("status", "told"), [(None, "no model answers at"), (401, "answered with HTTP 401")])
def test_an_assistant_without_a_model_says_what_to_do(status: int | None, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with ChatStandIn() as model:
        if status:
            model.planted.append(Answer(status=status))
        monkeypatch.setenv("OPENAI_BASE_URL", model.url if status else "http://127.0.0.1:1/v1")
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / "examples" / "assistant.py"), run_name="__main__")
    message = str(ended.value.code)
    assert told in message
    assert "OPENAI_BASE_URL" in message
    assert "\n" not in message
