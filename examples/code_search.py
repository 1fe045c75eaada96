"""Functions of the standard library by what they do: source code is cut at its definitions.

python examples/code_search.py
"""

import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory

from search import Searcher, Settings, read
from search.settings import EdgeSettings

EMBEDDED = {"index": EdgeSettings()}  # also where settings name a server
MODULES = ("bisect", "colorsys", "fnmatch", "heapq", "shutil", "textwrap")
QUESTIONS = [
    "convert RGB colours to HSV",
    "remove common leading white space from every line",
    "delete a directory and all that is in it",
    "the n largest items of an iterable",
    "find where to insert into a sorted list",
    "names of a list that match a pattern",
    "shutil.disk_usage",
]


def main() -> None:
    """Print the function that each answer is of, or begins with."""
    library = Path(sysconfig.get_path("stdlib"))
    with TemporaryDirectory() as folder, Searcher(Settings(data_dir=Path(folder)).model_copy(update=EMBEDDED)) as searcher:
        searcher.ingest(read([library / f"{module}.py" for module in MODULES]))
        for question in QUESTIONS:
            (hit,) = searcher.search(question, limit=1).hits
            lines = [*hit.headings, *hit.text.splitlines()]
            names = [line.split("def ")[1].partition("(")[0] for line in lines if line.lstrip().startswith("def ")]
            print(f"{question:52} {Path(hit.document_id).stem:12} {names[0] if names else 'its beginning'}")


if __name__ == "__main__":
    main()
