"""Write what the examples print into docs/examples.md, behind the line that names each.

.venv/bin/python scripts/gallery.py
"""

import contextlib
import io
import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "examples.md"
_SHOWN = re.compile(r"^`python (examples/\w+\.py)`\n\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples() -> dict[str, str]:
    """The programs that the page names, each with what the page says that it prints."""
    return dict(_SHOWN.findall(PAGE.read_text(encoding="utf-8")))


def printed(example: str) -> str:
    """What a program prints, without spaces at the ends of lines."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        runpy.run_path(str(ROOT / example), run_name="__main__")
    return "".join(f"{line.rstrip()}\n" for line in output.getvalue().splitlines())


def main() -> None:
    """Run them all, and write the page."""
    page = PAGE.read_text(encoding="utf-8")
    for example in examples():
        shown = f"`python {example}`\n\n```text\n"
        before, _, rest = page.partition(shown)
        page = before + shown + printed(example) + rest[rest.index("```") :]
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
