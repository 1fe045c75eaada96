"""Make judged pairs out of texts that bring their own question, as a BEIR folder to train on.

    python scripts/pair_texts.py titles DATASETS/scifact OUT           # an article's title is answered by its abstract
    python scripts/pair_texts.py sentences DATASETS/scifact OUT        # a few sentences of a text by the rest of it
    python scripts/pair_texts.py answers DATASETS/medquad train OUT    # judged questions by passages of up to 230 words
    python scripts/pair_texts.py functions OUT PACKAGE [PACKAGE …]     # a function's summary, or its name, by its source

`functions` reads installed packages and takes those alone whose metadata names a permissive licence; "stdlib" is Python's own.
Of every second function the summary in its docstring asks for the body without it; of the others the words of the name ask for the
whole, renamed `f`: so neither is found by copying.
"""

import argparse
import ast
import hashlib
import importlib.metadata
import json
import random
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from search.evaluation.datasets import load_dataset

PERMISSIVE = re.compile(r"\b(MIT|BSD|Apache|PSF|Python Software Foundation|ISC|HPND|Unlicense|Zlib)\b", re.IGNORECASE)
RESTRICTIVE = re.compile(r"GPL|General Public|MPL|Mozilla|Proprietary|Commercial|CC-BY-NC", re.IGNORECASE)
SUMMARY_WORDS = range(4, 21)
QUESTION_WORDS = range(8, 100)
NAME_WORDS = 3  # at least
ABSTRACT_WORDS = 50  # at least
ANSWER_WORDS = range(20, 231)
SOURCE_CHARACTERS = range(80, 1500)


class Pair(NamedTuple):
    """A question and the text that answers it."""

    question: str
    text: str


def titles(folder: Path) -> Iterator[Pair]:
    """Title and abstract of every document of a BEIR corpus."""
    with (folder / "corpus.jsonl").open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            title = row.get("title", "").strip().rstrip(".")
            if len(title.split()) >= SUMMARY_WORDS.start and len(row["text"].split()) >= ABSTRACT_WORDS:
                yield Pair(title, row["text"])


def sentences(folder: Path) -> Iterator[Pair]:
    """One to three sentences out of every document of a BEIR corpus, and the document without them (arXiv:1906.00300)."""
    with (folder / "corpus.jsonl").open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            found = re.split(r"(?<=[.!?])\s+", " ".join(row["text"].split()))
            draw = random.Random(row["_id"])  # noqa: S311  # nothing to keep secret
            count = draw.randint(1, 3)
            start = draw.randrange(max(len(found) - count + 1, 1))
            asked = " ".join(found[start : start + count])
            rest = " ".join([*found[:start], *found[start + count :]])
            if len(asked.split()) in QUESTION_WORDS and len(rest.split()) >= ABSTRACT_WORDS:
                yield Pair(asked, rest)


def answers(folder: Path, split: str) -> Iterator[Pair]:
    """Questions of a BEIR folder and passages that answer them, those that are neither short nor longer than a model reads."""
    dataset = load_dataset(folder, split)
    passages = {document.id: document.passage for document in dataset.documents}
    for query, grades in dataset.qrels.items():
        for document, grade in grades.items():
            if grade > 0 and len(passages.get(document, "").split()) in ANSWER_WORDS:
                yield Pair(dataset.queries[query], passages[document])


def functions(package: str) -> Iterator[Pair]:
    """Documented functions of an installed package."""
    for file in sources(package):
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and (pair := question(node)):
                yield pair


def sources(package: str) -> list[Path]:
    """A package's Python files, tests left out."""
    if package == "stdlib":
        root = Path(sysconfig.get_path("stdlib"))
        left_out = {"test", "tests", "site-packages", "idlelib"}
        return sorted(file for file in root.rglob("*.py") if not left_out & set(file.relative_to(root).parts))
    distribution = importlib.metadata.distribution(package)
    about = distribution.metadata.json
    named = [about.get("license_expression", ""), str(about.get("license", ""))[:200], *about.get("classifier", ())]
    licence = " ".join(name for name in named if not name.startswith(("Topic", "Programming Language", "Framework")))
    if not PERMISSIVE.search(licence) or RESTRICTIVE.search(licence):
        raise SystemExit(f"{package} names no permissive licence, but {licence.strip()[:80]!r}; leave it out")
    named_files = [file for file in distribution.files or [] if file.suffix == ".py" and not {"test", "tests"} & set(file.parts)]
    files = [Path(str(distribution.locate_file(file))) for file in named_files if not file.name.startswith(("test_", "conftest"))]
    return sorted(file for file in files if file.is_file())


def question(function: ast.FunctionDef) -> Pair | None:
    """A pair from one function, if it is documented and of a size to be read."""
    docstring = ast.get_docstring(function) or ""
    summary = " ".join(docstring.split("\n\n")[0].split()).rstrip(".")
    words = re.sub(r"([a-z])([A-Z])", r"\1 \2", function.name).replace("_", " ").lower().split()
    if len(summary.split()) not in SUMMARY_WORDS or not summary.isascii() or not function.body[1:]:
        return None
    name = function.name
    drawn = hashlib.sha256(name.encode() + summary.encode()).digest()[0]
    function.decorator_list = []
    if drawn % 2 and len(words) >= NAME_WORDS:
        asked, function.name = " ".join(words), "f"
        function.body[0] = ast.Expr(ast.Constant(summary))
    else:
        asked, function.body = summary, function.body[1:]
    if drawn % 3 == 0:
        asked = f"python {asked[0].lower()}{asked[1:]}"  # as people ask a search engine
    source = ast.unparse(function)
    copied = function.name == "f" and name in source  # it calls itself
    return Pair(asked, source) if len(source) in SOURCE_CHARACTERS and not copied else None


def write(pairs: Iterator[Pair], out: Path, limit: int | None, seed: int) -> int:
    """Write a BEIR folder with the one split "train"; a question or a text that comes twice is taken once."""
    by_question = {pair.question.lower(): pair for pair in pairs}
    chosen = list({pair.text: pair for pair in by_question.values()}.values())
    random.Random(seed).shuffle(chosen)  # noqa: S311  # nothing to keep secret
    chosen = chosen[:limit]
    if out.exists():
        raise SystemExit(f"{out} exists already; name another folder, or remove it first")
    (out / "qrels").mkdir(parents=True)
    with (
        (out / "corpus.jsonl").open("w", encoding="utf-8") as corpus,
        (out / "queries.jsonl").open("w", encoding="utf-8") as queries,
    ):
        for number, pair in enumerate(chosen):
            corpus.write(json.dumps({"_id": f"d{number}", "title": "", "text": pair.text}, ensure_ascii=False) + "\n")
            queries.write(json.dumps({"_id": f"q{number}", "text": pair.question}, ensure_ascii=False) + "\n")
    judged = "".join(f"q{number}\td{number}\t1\n" for number in range(len(chosen)))
    (out / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    return len(chosen)


def main() -> None:
    """Write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    for name in ("titles", "sentences", "answers"):
        kind = kinds.add_parser(name)
        kind.add_argument("folder", type=Path)
        if name == "answers":
            kind.add_argument("split")
        kind.add_argument("out", type=Path)
    from_functions = kinds.add_parser("functions")
    from_functions.add_argument("out", type=Path)
    from_functions.add_argument("packages", nargs="+")
    for kind in kinds.choices.values():
        kind.add_argument("--limit", type=int, help="take as many, drawn by the seed")
        kind.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.kind == "titles":
        pairs = titles(arguments.folder)
    elif arguments.kind == "sentences":
        pairs = sentences(arguments.folder)
    elif arguments.kind == "answers":
        pairs = answers(arguments.folder, arguments.split)
    else:
        pairs = (pair for package in arguments.packages for pair in functions(package))
    print(f"{write(pairs, arguments.out, arguments.limit, arguments.seed):,} pairs in {arguments.out}")


if __name__ == "__main__":
    main()
