"""Write what the examples print into docs/examples.md, behind the line that names each.

.venv/bin/python scripts/gallery.py
"""

import argparse
import contextlib
import io
import os
import re
import runpy
import sys
from pathlib import Path
from unittest.mock import patch

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "examples.md"
_SHOWN = re.compile(r"^`python (examples/\w+\.py)`\n\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples() -> dict[str, str]:
    """The programs that the page names, each with what the page says that it prints."""
    return dict(_SHOWN.findall(PAGE.read_text(encoding="utf-8")))


def printed(example: str) -> str:
    """What a program prints, without spaces at the ends of lines. In the place of a language model there is the tests' stand-in."""
    from chatting import CitingStandIn

    with (
        CitingStandIn() as model,
        patch.dict(os.environ, {"OPENAI_BASE_URL": model.url}),
        contextlib.redirect_stdout(io.StringIO()) as output,
    ):
        runpy.run_path(str(ROOT / example), run_name="__main__")
    return "".join(f"{line.rstrip()}\n" for line in output.getvalue().splitlines())


def main() -> None:
    """Run them all, and write the page."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    sys.path.append(str(ROOT / "tests" / "support"))
    page = PAGE.read_text(encoding="utf-8")
    for example in examples():
        shown = f"`python {example}`\n\n```text\n"
        before, _, rest = page.partition(shown)
        page = before + shown + printed(example) + rest[rest.index("```") :]
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
