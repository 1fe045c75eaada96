"""Each example prints what the page about it says, offline."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from standin import QdrantStandIn
from upstream import everywhere

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


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_prints_what_the_page_says(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # it finds its files wherever it is started
    printed = gallery.printed(example)
    assert alike(printed, EXAMPLES[example]) if example == "examples/films.py" else printed == EXAMPLES[example]
    assert not list(tmp_path.iterdir())


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
    for name, value in standin.environment.items():
        monkeypatch.setenv(name, value)
    example = "examples/any_engine.py"
    assert gallery.printed(example) == EXAMPLES[example].replace("edge: ", "qdrant: ")
