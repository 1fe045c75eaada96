"""Each example prints what the page about it says, offline."""

import importlib.util
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
    assert gallery.printed(example) == EXAMPLES[example]
    assert not list(tmp_path.iterdir())


@everywhere
def test_engines_differ_by_settings_alone(standin: QdrantStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in standin.environment.items():
        monkeypatch.setenv(name, value)
    example = "examples/any_engine.py"
    assert gallery.printed(example) == EXAMPLES[example].replace("edge: ", "qdrant: ")
