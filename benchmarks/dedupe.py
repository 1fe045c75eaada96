"""Are near-duplicates found, and near misses left apart? Precision and recall by kind, on copies that are planted in real texts.

    .venv/bin/python benchmarks/dedupe.py fill ../shared/data FOLDER       # the collection that is measured; run it again to go on
    .venv/bin/python benchmarks/dedupe.py fit ../shared/data FOLDER        # coefficients, from train texts and other templates
    .venv/bin/python benchmarks/dedupe.py measure ../shared/data FOLDER    # figures, into results/dedupe.json

Measured: web passages of nq-qed, abstracts of scifact, functions of cosqa. Fitted on: passages of squad-train, and functions of the
standard library. Neither has a text, a template or a clause of the other.
"""

import argparse
import ast
import json
import random
import sysconfig
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import planting

from search import Document, Settings, open_search

PLANTED = 100  # of each of four kinds; 60 where coefficients are fitted
MISSES = 40  # groups of three of one template, and pairs with another clause; 30 there
WORDS = range(30, 131)  # of a text
TEXT, CODE = "text/plain", "text/x-python"


class Corpus(NamedTuple):
    """Documents, and what is known of pairs of them, by their ids in order."""

    documents: list[Document]
    planted: dict[tuple[str, str], str]
    misses: dict[tuple[str, str], str]


def main() -> None:
    """Fill, fit or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("fill", "fit", "measure"))
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--most", type=int, default=100_000, help="documents")
    arguments = parser.parse_args()
    fitted = arguments.step == "fit"
    corpus = (train if fitted else test)(arguments.data)
    settings = Settings(data_dir=arguments.folder, collection="fit" if fitted else "measured", device="cpu")
    with open_search(settings) as searcher:
        if arguments.step != "measure":
            for start in range(0, min(arguments.most, len(corpus.documents)), 200):
                done = searcher.ingest(corpus.documents[start : min(start + 200, arguments.most)])
                print(time.strftime("%H:%M:%S"), start, done.chunks, f"{done.seconds:.1f} s", flush=True)


def test(data: Path) -> Corpus:
    """What is measured."""
    texts = [row["text"] for name in ("nq-qed", "scifact") for row in _rows(data / "evaluate" / name)]
    code = [row["text"] for row in _rows(data / "evaluate" / "cosqa")]
    return _corpus(texts, code, random.Random(27), planting.TEMPLATES, planting.CLAUSES)


def train(data: Path) -> Corpus:
    """What coefficients are fitted on: texts, templates and clauses of their own."""
    chance = random.Random(1)
    texts = [row["text"] for row in _rows(data / "train" / "squad-train")]
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    code = [piece for file in files for piece in _functions(file.read_text(encoding="utf-8", errors="replace"))]
    chance.shuffle(code)
    chance.shuffle(texts)
    return _corpus(texts, code, random.Random(2), planting.OTHER_TEMPLATES, planting.OTHER_CLAUSES, planted_of_each=60, groups=30)


def _corpus(
    texts: list[str],
    code: list[str],
    chance: random.Random,
    templates: tuple[str, ...],
    clauses: tuple[str, ...],
    *,
    planted_of_each: int = PLANTED,
    groups: int = MISSES,
) -> Corpus:
    texts, code = (list(dict.fromkeys(one for one in some if len(one.split()) in WORDS)) for some in (texts, code))
    chance.shuffle(texts)
    chance.shuffle(code)
    first: list[Document] = []
    planted: dict[tuple[str, str], str] = {}
    misses: dict[tuple[str, str], str] = {}

    def plant(original: str, made: str, kind: str, media_type: str) -> None:
        at = len(planted)
        ids = (f"original-{at:04}", f"planted-{at:04}")
        first.extend(Document(id, text, media_type=media_type) for id, text in zip(ids, (original, made), strict=True))
        planted[ids] = kind

    for _ in range(planted_of_each):
        if chance.random() < 0.25:
            original = code.pop()
            plant(original, planting.copied(original, chance, code=True), "copy", CODE)
        else:
            original = texts.pop()
            plant(original, planting.copied(original, chance), "copy", TEXT)
        original = texts.pop()
        plant(original, planting.edited(original, chance), "edit", TEXT)
        original = texts.pop()
        plant(original, planting.paraphrased(original, chance), "paraphrase", TEXT)
    made = 0
    while made < planted_of_each:
        original = f"{code.pop()}\n\n\n{code.pop()}" if made % 2 else code.pop()  # of two functions, whose order changes
        if (other := planting.moved(original, chance)) is not None:
            plant(original, other, "moved code", CODE)
            made += 1
    for at in range(groups):
        for kind, group in (
            ("other numbers", planting.templated(chance, templates, 3)),
            ("another clause", planting.boilerplate(chance, clauses)),
        ):
            ids = [f"{kind.replace(' ', '-')}-{at:03}-{place}" for place in range(len(group))]
            first.extend(Document(id, text) for id, text in zip(ids, group, strict=True))
            misses |= {(one, other): kind for place, one in enumerate(ids) for other in ids[place + 1 :]}
    rest = [Document(f"text-{at:05}", text) for at, text in enumerate(texts)]
    rest += [Document(f"code-{at:05}", text, media_type=CODE) for at, text in enumerate(code)]
    chance.shuffle(rest)
    return Corpus(first + rest, planted, misses)


def _functions(text: str) -> Iterable[str]:
    """The functions of a file."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return
    yield from (ast.get_source_segment(text, node) or "" for node in tree.body if isinstance(node, ast.FunctionDef))


def _rows(folder: Path) -> list[dict[str, Any]]:
    with (folder / "corpus.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


if __name__ == "__main__":
    main()
