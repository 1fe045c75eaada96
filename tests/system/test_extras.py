"""What is missing is named with the command that installs it, in a clone and where there is none."""

import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from search.system import extras
from search.system.extras import how_to_install, is_of_extra

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("library", "extra", "wanted"), [("fastembed", "cpu", "'fastembed>=0.9.1'"), ("mcp.server", "mcp", "'mcp>=2.0'")]
)
def test_what_is_missing_can_be_installed_with_and_without_a_clone(
    library: str, extra: str, wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = ModuleNotFoundError(name=library)
    assert how_to_install(error).startswith(f"{library} is not installed; install this package with its extra {extra}")
    assert how_to_install(error).endswith(f"as in pip install '.[{extra}]'")
    monkeypatch.setattr(extras, "_PROJECT", tmp_path / "pyproject.toml")
    assert how_to_install(error).startswith(f"{library} is not installed; install this package's extra {extra}")
    assert how_to_install(error).endswith(f"as in pip install {wanted}")
    monkeypatch.setattr(metadata, "requires", lambda _: None)  # as of a package that was never installed
    assert how_to_install(error).endswith(f"as in pip install '.[{extra}]'")


def test_what_an_extra_takes_is_what_the_project_says() -> None:
    said = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra in ("cpu", "files", "evaluate", "serve"):
        assert [one.split(">")[0] for one in said[extra]] == [one.split(">")[0].split("<")[0] for one in extras.requirements(extra)]


def test_what_no_extra_has_is_a_fault() -> None:
    assert is_of_extra(ModuleNotFoundError(name="onnxruntime.capi"))
    assert not is_of_extra(ModuleNotFoundError(name="filelock"))
    assert not is_of_extra(ModuleNotFoundError())
