"""Which libraries come with an extra of this package, and how is it installed?"""

import re
from importlib import metadata
from pathlib import Path

_PROJECT = Path(__file__).parents[2] / "pyproject.toml"  # of a clone; nothing, where the package was installed without one
_EXTRAS = {
    **dict.fromkeys(("onnxruntime", "fastembed"), "cpu"),
    **dict.fromkeys(("pytrec_eval", "scipy", "matplotlib", "jinja2"), "evaluate"),
    **dict.fromkeys(("fastapi", "starlette", "uvicorn", "prometheus_client"), "serve"),
    "mcp": "mcp",
    "opentelemetry": "traces",
    **dict.fromkeys(("onnx", "ml_dtypes", "safetensors", "huggingface_hub"), "export"),
    **dict.fromkeys(("chardet", "kreuzberg", "pyarrow", "pypdfium2", "python_calamine", "selectolax", "yaml"), "files"),
}


def how_to_install(error: ModuleNotFoundError) -> str:
    """Which library is missing, and the command that installs it with what else its extra has."""
    extra = _EXTRAS.get(_library(error), "files")  # whatever else a reader of files lacks
    called = "cpu or gpu" if extra == "cpu" else extra
    wanted = requirements(extra)
    if _PROJECT.is_file() or not wanted:
        way = f"install this package with its extra {called}, as in pip install '.[{extra}]'"
    else:
        way = f"install this package's extra {called}, as in pip install {' '.join(map(repr, wanted))}"
    return f"{error.name} is not installed; {way}"


def is_of_extra(error: ModuleNotFoundError) -> bool:
    """Whether the library that is missing comes with an extra."""
    return _library(error) in _EXTRAS


def _library(error: ModuleNotFoundError) -> str:
    return (error.name or "").partition(".")[0]


def requirements(extra: str) -> list[str]:
    """What an extra of this package takes, as pip has it; empty where the package itself is not installed."""
    try:
        lines = metadata.requires("two-stage-search") or []
    except metadata.PackageNotFoundError:
        return []
    marked = (line.partition(";") for line in lines)
    return [wanted.strip() for wanted, _, marker in marked if re.search(rf"\bextra == ['\"]{extra}['\"]", marker)]
